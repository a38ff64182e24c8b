/*
 * pair.h: a server of pair.Test in this process, and calls to it.
 */
#ifndef FC_TEST_PAIR_H
#define FC_TEST_PAIR_H

#include "tests/support/test.h"

#include <farcall/farcall.h>

#include <stdatomic.h>

#include "pair.farcall.h"

typedef struct test_pair {
	farcall_server *server;
	farcall_service *service;
	farcall_endpoint *endpoint;
	farcall_channel *channel; /* opened by start */

	/* Wait: the calls that pend, newest last; Custom: what runs */
	farcall_call *_Atomic waiting[64];
	atomic_int n_waiting, n_cancelled, n_handled;
	farcall_code (*custom)(struct test_pair *pair, farcall_call *call,
	    const Pair__Message *request, Pair__Message *reply);
	void *data;
} test_pair;

/* The test runs a second time with FARCALL_TEST_CHOP=SEED: under the filter of chop_filter.h. */
bool test_chopped(void);

/* A server bound to `address`, not started. */
void test_pair_init(test_pair *pair, const char *address);
void test_pair_start(test_pair *pair); /* starts it on a thread, opens the channel */
void test_pair_fini(test_pair *pair);  /* closes and frees both */

/* The first real address of the endpoint. */
const char *test_pair_address(const test_pair *pair);

/* One blocking Echo of `text` with a time-out of 60 s. */
farcall_code test_echo(farcall_channel *channel, const char *text);

/* Waits, at least 30 s, until `*counter` is at least `value`. */
void test_wait_for(const atomic_int *counter, int value);

/* The same, at least 2 s, and whether it is: for what a busy machine may not have done in time. */
bool test_soon(const atomic_int *counter, int value);

/* Log lines instead of standard error: counted, the last one kept. */
void test_log_catch(void);
void test_log_release(void);
int test_log_count(void);
const char *test_log_last(void);

#endif
