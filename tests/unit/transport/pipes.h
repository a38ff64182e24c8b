/*
 * pipes.h: what the tests of pipes share: a loop, a listener, and pairs of ends that record what
 * they are told.
 */
#ifndef FC_TEST_PIPES_H
#define FC_TEST_PIPES_H

#include "runtime/transport/transport.h"

#include "tests/support/chop_filter.h"
#include "tests/support/test.h"

typedef struct kind {
	const char *name;
	const char *address;    /* to bind; %s: a scratch name */
	const char *connect_to; /* host to connect to instead of the place that was bound */
	bool socket;            /* it goes through the system */
} kind;

typedef struct filter {
	const char *name;
	const chop_options *options; /* NULL: none */
} filter;

typedef struct variant {
	kind kind;
	filter filter;
	char name[80];
} variant;

enum event { ON_OPEN = 1, ON_BYTES = 2, ON_END = 4, ON_WRITABLE = 8, ON_LOST = 16 };

typedef struct side {
	struct world *world;
	fc_pipe *pipe;
	test_random random;
	size_t to_send, sent, got; /* bytes of a stream known to both */
	uint64_t send_seed, get_seed;
	bool check; /* compare what comes with the stream of get_seed */
	bool shut_when_sent, shut;
	bool pauses;   /* stops reading now and then */
	unsigned told; /* all events so far */
	unsigned close_in;
	int n_writable;
	fc_error why;
	fc_task resume;
} side;

#define SIDES 128

typedef struct world {
	const variant *variant;
	fc_clock clock;
	fc_loop *loop;
	fc_listener *listener;
	fc_place place; /* to connect to */
	side clients[SIDES], servers[SIDES];
	int n_clients, n_servers, n_refuse;
	char path[64];
	int inherited;
} world;

void world_open(world *w, const variant *v);
void world_close(world *w); /* closes sides that are open still */

/* Binds and starts; fails the test if it cannot. */
void world_listen(world *w);
void world_stop_listening(world *w);
farcall_code world_start(world *w, fc_error *error); /* accepts from w->listener */

side *world_connect(world *w); /* fails the test if it cannot begin */
side *world_try_connect(world *w, fc_error *error);
side *world_pair(world *w, side **server);

void side_pump(side *s); /* sends of its stream what can be sent */
void side_close(side *s);
bool side_done(const side *s); /* all sent, the peer's end seen */

/* Turns until `done` or, after a long time, the test fails. */
#define world_until(w, done)                                           \
	do {                                                           \
		uint64_t world_limit = uv_hrtime() + 20 * FC_NS_PER_S; \
                                                                       \
		while (!(done)) {                                      \
			assert_true(uv_hrtime() < world_limit);        \
			fc_loop_turn((w)->loop, 10 * FC_NS_PER_MS);    \
		}                                                      \
	} while (0)

void world_turns(world *w, int n); /* short ones */

uint8_t stream_byte(uint64_t seed, size_t at);

#endif
