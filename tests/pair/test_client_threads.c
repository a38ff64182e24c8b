/*
 * test_client_threads.c: many threads on one channel that has none of its own: one drives, the
 * others sleep, and the role goes round.
 */
#include "tests/support/pair.h"

#include <stdio.h>

#include <uv.h>

/* What other threads still hold goes in a moment. */
static void
settle(void)
{
	for (int i = 0; i < 5000 && test_allocator_live() != 0; i++)
		uv_sleep(1);
}

typedef struct canceller {
	test_pair *pair;
	farcall_call *call;
	uv_thread_t thread;
} canceller;

enum { THREADS = 8, CALLS = 500 };

typedef struct caller {
	farcall_channel *channel;
	int good;
	uv_thread_t thread;
} caller;

static void
call_often(void *data)
{
	caller *c = (caller *)data;
	char text[32];

	for (int i = 0; i < CALLS; i++) {
		snprintf(text, sizeof text, "%p %d", data, i);
		c->good += test_echo(c->channel, text) == FARCALL_OK;
	}
}

static void
many_threads_share_a_channel(void **state)
{
	caller callers[THREADS];
	test_pair pair;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	test_pair_start(&pair);
	for (int i = 0; i < THREADS; i++) {
		callers[i] = (caller){.channel = pair.channel};
		uv_thread_create(&callers[i].thread, call_often, &callers[i]);
	}
	for (int i = 0; i < THREADS; i++) {
		uv_thread_join(&callers[i].thread);
		assert_int_equal(callers[i].good, CALLS);
	}
	test_pair_fini(&pair);
}

/* Deadlines that end a call while other threads' calls are driven. */
static void
call_late(void *data)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	caller *c = (caller *)data;

	for (int i = 0; i < 8; i++) {
		farcall_call *call = farcall_call_new(c->channel);

		farcall_call_set_timeout_ms(call, 1 + (uint64_t)i);
		c->good += pair_test_wait(call, &request, NULL) == FARCALL_DEADLINE_EXCEEDED;
		farcall_call_free(call);
	}
}

static void
deadlines_hold_while_others_drive(void **state)
{
	caller callers[THREADS];
	test_pair pair;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	test_pair_start(&pair);
	for (int i = 0; i < THREADS; i++) {
		callers[i] = (caller){.channel = pair.channel};
		uv_thread_create(&callers[i].thread, i < 4 ? call_late : call_often, &callers[i]);
	}
	for (int i = 0; i < THREADS; i++) {
		uv_thread_join(&callers[i].thread);
		assert_int_equal(callers[i].good, i < 4 ? 8 : CALLS);
	}
	/* Those that reached the server are cancelled there; then no handler runs any more. */
	test_wait_for(&pair.n_cancelled, atomic_load(&pair.n_waiting));
	farcall_server_stop(pair.server, 0);
	farcall_server_wait(pair.server);
	for (int i = 0; i < atomic_load(&pair.n_waiting); i++)
		farcall_call_complete(pair.waiting[i], FARCALL_OK);
	test_pair_fini(&pair);
	settle();
}

static void
close_from_elsewhere(void *data)
{
	canceller *c = (canceller *)data;

	test_wait_for(&c->pair->n_waiting, 1);
	farcall_channel_close(c->pair->channel);
	c->pair->channel = NULL;
}

static void
close_ends_a_blocking_call_of_another_thread(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	const Pair__Message *reply = NULL;
	farcall_call *call;
	canceller c;
	test_pair pair;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	test_pair_start(&pair);
	c.pair = &pair;
	call = farcall_call_new(pair.channel);
	uv_thread_create(&c.thread, close_from_elsewhere, &c);
	assert_int_equal(pair_test_wait(call, &request, &reply), FARCALL_CANCELLED);
	assert_int_equal(farcall_call_cause(call), FARCALL_CAUSE_SHUTDOWN);
	uv_thread_join(&c.thread);
	farcall_call_free(call);
	test_wait_for(&pair.n_cancelled, 1);
	farcall_call_complete(pair.waiting[0], FARCALL_OK);
	test_pair_fini(&pair);
}

/* ---- cancel at any moment, also while the call is being started ---- */

enum { CANCELLED_CALLS = 2000 };

static farcall_call *_Atomic offered[8];
static atomic_bool no_more;
static atomic_int n_done;

static void
count_done(farcall_call *call, farcall_code code, const Pair__Message *reply, void *data)
{
	(void)call;
	(void)reply;
	(void)data;
	if (code == FARCALL_OK || code == FARCALL_CANCELLED)
		atomic_fetch_add(&n_done, 1);
}

static void
offer_and_call(void *data)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	caller *c = (caller *)data;

	for (int i = 0; i < CANCELLED_CALLS; i++) {
		farcall_call *call = farcall_call_new(c->channel);
		const Pair__Message *reply = NULL;
		farcall_code code;

		farcall_call_set_timeout_ms(call, 60000);
		farcall_call_hold(call);
		farcall_call_free(atomic_exchange(&offered[i % 8], call));
		if (i % 2 != 0) {
			pair_test_echo__async(call, &request, count_done, NULL);
		} else {
			code = pair_test_echo(call, &request, &reply);
			if (code == FARCALL_OK || code == FARCALL_CANCELLED)
				atomic_fetch_add(&n_done, 1);
		}
		farcall_call_free(call);
	}
}

static void
cancel_what_is_offered(void *data)
{
	(void)data;
	for (unsigned i = 0; !atomic_load(&no_more); i++) {
		farcall_call *call = atomic_exchange(&offered[i % 8], NULL);

		farcall_call_cancel(call);
		farcall_call_free(call);
	}
}

static void
a_cancel_may_overtake_the_start(void **state)
{
	caller callers[3];
	uv_thread_t killer;
	test_pair pair;

	(void)state;
	atomic_store(&no_more, false);
	atomic_store(&n_done, 0);
	test_pair_init(&pair, "127.0.0.1:0");
	test_pair_start(&pair);
	uv_thread_create(&killer, cancel_what_is_offered, NULL);
	for (int i = 0; i < 3; i++) {
		callers[i] = (caller){.channel = pair.channel};
		uv_thread_create(&callers[i].thread, offer_and_call, &callers[i]);
	}
	for (int i = 0; i < 3; i++)
		uv_thread_join(&callers[i].thread);
	test_wait_for(&n_done, 3 * CANCELLED_CALLS);
	atomic_store(&no_more, true);
	uv_thread_join(&killer);
	for (int i = 0; i < 8; i++)
		farcall_call_free(atomic_exchange(&offered[i], NULL));
	test_pair_fini(&pair);
	settle();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(many_threads_share_a_channel),
	    clean_test(deadlines_hold_while_others_drive),
	    clean_test(close_ends_a_blocking_call_of_another_thread),
	    clean_test(a_cancel_may_overtake_the_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
