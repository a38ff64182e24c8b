/*
 * duo.h: a client engine and a server engine that talk in memory, cut at random, with calls of all
 * four shapes. What is sent is made from the call's seed, so both ends check every byte.
 */
#ifndef FC_TEST_DUO_H
#define FC_TEST_DUO_H

#include "runtime/protocol/protocol.h"
#include "tests/support/check.h"

typedef enum duo_shape { DUO_UNARY, DUO_SERVER_STREAM, DUO_CLIENT_STREAM, DUO_BIDI } duo_shape;

/* A row of messages, each made from a seed and its number. */
typedef struct duo_row {
	uint32_t seed, count, at;
	size_t most; /* bytes of a message, at most */
} duo_row;

typedef struct duo_call {
	struct duo *duo;
	fc_stream *stream;
	duo_shape shape;
	duo_row requests, replies; /* of the client: to be sent, to be expected; server: likewise */
	bool waiting, half_closed, done, head;
	farcall_code code;
	farcall_cause cause;
	bool unseen;
	struct duo_call *next;
} duo_call;

typedef struct duo {
	fc_pool pool;
	fc_engine *client, *server;
	fc_engine_config client_config, server_config;
	uint64_t now;
	test_random random;
	uint32_t chunk;   /* most bytes that are moved at once; 0: all there are */
	duo_call *calls;  /* the client's, newest first */
	duo_call *served; /* the server's, likewise */
	unsigned open, done, failed, wrong;
	bool ready, drained, goaway, client_dead, server_dead;
	unsigned coding;     /* of all messages but each third; 0: none. Before duo_open() */
	unsigned compressed; /* messages that came so */
	bool slow_server;    /* takes messages only when duo_take() is called */
	fc_error client_why, server_why;
} duo;

void duo_init(duo *d, uint64_t seed); /* configures; may be changed before duo_open() */
bool duo_open(duo *d);                /* false: out of memory */
void duo_fini(duo *d);

/* Begins a call with rows of so many messages; NULL: the client cannot open one now. */
duo_call *duo_start(
    duo *d, duo_shape shape, uint32_t seed, uint32_t requests, uint32_t replies, size_t most);

/* Moves bytes and ticks until all calls are done and nothing moves; false: it does not end. */
bool duo_run(duo *d);
void duo_step(duo *d);

/* Something goes wrong, by chance: a call is aborted on either side, the server drains, or an end
 * of the connection is lost. */
void duo_mischief(duo *d);

#endif
