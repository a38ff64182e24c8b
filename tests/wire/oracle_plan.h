/*
 * oracle_plan.h: what the calls of a session between two engines shall be, made from a seed, and
 * the checks of what is seen against it. For test_engine_oracle.c.
 */
#ifndef FC_TEST_ORACLE_PLAN_H
#define FC_TEST_ORACLE_PLAN_H

#include "tests/support/check.h"

#include "runtime/protocol/protocol.h"

#define CALLS 16
#define MESSAGES 6
#define PAIRS 7
#define MOST ((size_t)1 << 20)

typedef struct pairs {
	size_t n;
	fc_pair at[PAIRS];
	char texts[PAIRS][2][120];
} pairs;

typedef enum mischief { NONE, CLIENT_CANCELS, SERVER_ABORTS } mischief;

/* What a call shall be. */
typedef struct plan {
	const char *path;
	uint64_t timeout;
	pairs request, head, tail;
	size_t n_requests, n_replies;
	size_t request_size[MESSAGES], reply_size[MESSAGES];
	bool last;     /* half-closes with the last message */
	bool early;    /* the server does not wait for the half-close */
	bool explicit; /* the server sends its head by itself */
	farcall_code code;
	char message[40];
	mischief mischief;
	uint32_t mischief_at; /* after so many turns of the one who does it */
} plan;

typedef struct call {
	struct session *session;
	plan plan;
	uint32_t number;
	/* client */
	fc_stream *stream;
	size_t sent, got;
	bool opened, waiting, half_closed, done, cancelled, head_seen;
	uint32_t turns;
	size_t untaken;
	/* server */
	fc_stream *served;
	size_t answered, received;
	bool server_waiting, server_half_closed, server_head, server_done, server_seen;
	uint32_t server_turns;
	size_t server_untaken;
} call;

typedef struct side {
	const fc_engine_ops *ops;
	fc_engine *engine;
} side;

typedef struct session {
	side client, server;
	fc_pool pool;
	test_random random;
	uint32_t chunk;
	size_t most; /* bytes of a message */
	call calls[CALLS];
	size_t n, started, over;
	bool ready, drained, goaway;
	const char *wrong;
	uint64_t now;
} session;

/* A message about to be sent: what a payload points at. */
typedef struct message {
	const call *call;
	bool reply;
	size_t i;
} message;

#define ORACLE_PATHS 4 /* the last one is unknown to the server */
extern const char *const oracle_paths[ORACLE_PATHS];

void oracle_plan(session *s, call *c);
void oracle_flat(const fc_payload *payload, uint8_t *to);
void oracle_pour(const fc_payload *payload, fc_sink *sink);
void oracle_check(session *s, bool right, const char *what);
void oracle_check_message(call *c, bool reply, size_t i, const uint8_t *at, size_t size);
bool oracle_same_pair(const fc_pair *seen, const fc_pair *expected);
void oracle_check_pairs(
    session *s, size_t n, const fc_pair *seen, const pairs *expected, const char *what);
bool oracle_is_text(fc_text text, const char *expected);
uint64_t oracle_rounded(uint64_t ns);

#endif
