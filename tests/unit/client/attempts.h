/*
 * attempts.h: a channel and a server that does what the test says, on one loop with a virtual
 * clock.
 */
#ifndef FC_TEST_ATTEMPTS_H
#define FC_TEST_ATTEMPTS_H

#include "tests/support/pair.h"
#include "tests/support/tiny_server.h"

#include "client/internal.h"

typedef struct fixture {
	fc_clock clock;
	fc_loop *loop;
	tiny_server server;
	farcall_channel *channel;
} fixture;

void begin_stopped(fixture *f); /* without a server */
void begin(fixture *f);
void end_stopped(fixture *f);
void end(fixture *f);

/* What the server answers, when the request has come in whole. */
void echo_nothing(tiny_call *call); /* one empty message, OK */
void keep(tiny_call *call);         /* nothing: it is kept */
extern tiny_call *kept[256];
extern int n_kept;

/* One blocking Echo; its error is in error_text. UINT64_MAX: no deadline. */
farcall_code call_with_timeout(fixture *f, uint64_t ms);
extern char error_text[512];

typedef struct outcome {
	int times;
	farcall_code code;
	bool replied;
	char error[256];
} outcome;

void note(farcall_call *call, farcall_code code, const Pair__Message *reply, void *data);
farcall_call *start_async(fixture *f, uint64_t ms, bool wait_for_ready, outcome *to);
void turns(fixture *f, int n);

#endif
