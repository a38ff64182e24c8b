/*
 * puppet.h: a client that does what a test says, byte for byte as far as windows go: an engine and
 * a socket, turned by the test's own thread, with calls of stream.Test.
 */
#ifndef FC_TEST_PUPPET_H
#define FC_TEST_PUPPET_H

#include "runtime/protocol/protocol.h"
#include "tests/support/test.h"

#include <farcall/farcall.h>

#include "stream.farcall.h"

#include <uv.h>

typedef struct puppet {
	int fd;
	fc_pool pool;
	fc_engine *engine;
	farcall_loop *loop; /* of the server, if the test steps it; or NULL */
	uint32_t window;    /* of its streams; set before puppet_connect() */
	size_t fail_at;     /* the nth allocation from now inside steps of `loop` fails; 0: none */
	bool deaf;          /* it reads nothing from its socket */
	bool ready, dead;
} puppet;

typedef struct puppet_call {
	puppet *puppet;
	fc_stream *stream; /* NULL: released */
	bool lazy;         /* it takes no message before puppet_take() */
	size_t untaken;    /* bytes of messages */

	unsigned received;
	uint32_t last; /* number of the last one */
	bool disorder; /* that is not its place in the row */
	size_t size;   /* of the data of all */
	bool waiting;  /* a message waits for the server's window */
	bool head;     /* has come */
	char said[64]; /* "said" of the head, "said-last" of the tail */
	char last_said[64];

	bool ended, reset; /* reset: without a tail */
	farcall_code code;
	char text[300];
} puppet_call;

/* `port` of 127.0.0.1. `loop` may be NULL. */
void puppet_connect(puppet *p, unsigned port, uint32_t window, farcall_loop *loop);
void puppet_close(puppet *p); /* without a word */
bool puppet_turn(puppet *p);  /* moves what can be moved, waits a millisecond; false: it is over */

void puppet_open(puppet *p, puppet_call *c, const char *path, unsigned timeout_ms, const char *say);
fc_send puppet_say(puppet_call *c, const Stream__Message *message, bool last);
fc_send puppet_number(puppet_call *c, uint32_t number, size_t size); /* one with so much data */
void puppet_end(puppet_call *c);                                     /* no more will be said */
void puppet_take(puppet_call *c);                                    /* all that was left */
void puppet_cancel(puppet_call *c);

/* Turns until the condition holds; fails after 20 s. */
#define puppet_until(p, condition)                                     \
	do {                                                           \
		uint64_t puppet_end_ = uv_hrtime() + 20 * FC_NS_PER_S; \
		while (!(condition)) {                                 \
			puppet_turn(p);                                \
			assert_true(uv_hrtime() < puppet_end_);        \
		}                                                      \
	} while (0)

/* So many turns in which nothing has to happen. */
void puppet_turns(puppet *p, unsigned n);

#endif
