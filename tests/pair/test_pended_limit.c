/*
 * Calls whose begin pends live on when their deadline has ended them for their client: so many of
 * them there may be, and no more, until some are resumed.
 */
#include "tests/support/pair.h"

#include <uv.h>

enum { MOST = 3 };

static farcall_call *held[MOST + 1];
static atomic_int n_held;

static farcall_code
begin(farcall_call *call, const farcall_intercepted *about, void *data)
{
	(void)about;
	(void)data;
	held[atomic_load(&n_held)] = call;
	atomic_fetch_add(&n_held, 1);
	return FARCALL_PENDING;
}

static farcall_code
call_for(test_pair *pair, uint64_t ms, farcall_call **kept)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_call *call = farcall_call_new(pair->channel);
	farcall_code code;

	farcall_call_set_timeout_ms(call, ms);
	code = pair_test_echo(call, &request, NULL);
	if (kept != NULL)
		*kept = call;
	else
		farcall_call_free(call);
	return code;
}

static void
so_many_may_pend(void **state)
{
	const farcall_interceptor hooks = {.begin = begin};
	farcall_call *refused;
	test_pair pair;

	(void)state;
	atomic_store(&n_held, 0);
	test_pair_init(&pair, "127.0.0.1:0");
	farcall_server_intercept(pair.server, &hooks, sizeof hooks, NULL);
	farcall_server_set_max_calls(pair.server, MOST);
	test_pair_start(&pair);
	assert_int_equal(farcall_channel_wait_ready(pair.channel, 20000), FARCALL_OK);
	for (int i = 0; i < MOST; i++) {
		for (uint64_t ms = 100; atomic_load(&n_held) == i; ms *= 4) {
			assert_int_equal(call_for(&pair, ms, NULL), FARCALL_DEADLINE_EXCEEDED);
			test_soon(&n_held, i + 1); /* the server may be late */
		}
		assert_int_equal(atomic_load(&n_held), i + 1);
	}
	assert_int_equal(call_for(&pair, 20000, &refused), FARCALL_RESOURCE_EXHAUSTED);
	assert_string_equal(farcall_call_error(refused),
	    "RESOURCE_EXHAUSTED: too many calls wait for interceptors");
	farcall_call_free(refused);
	assert_int_equal(atomic_load(&n_held), MOST);
	farcall_intercept_resume(held[0], FARCALL_OK); /* one has room again */
	for (uint64_t ms = 100; atomic_load(&n_held) == MOST; ms *= 4) {
		call_for(&pair, ms, NULL);
		test_soon(&n_held, MOST + 1);
	}
	for (int i = 1; i <= MOST; i++)
		farcall_intercept_resume(held[i], FARCALL_OK);
	test_pair_fini(&pair);
}

static farcall_code
begin_and_hold(farcall_call *call, const farcall_intercepted *about, void *data)
{
	farcall_call_hold(call);
	return begin(call, about, data);
}

static void
resume_each(void *unused)
{
	(void)unused;
	for (int i = 0; i < MOST; i++) {
		test_wait_for(&n_held, i + 1);
		farcall_intercept_resume(held[i], FARCALL_OK);
	}
}

/* Who holds one that has ended keeps no other out. */
static void
those_that_have_ended_do_not_count(void **state)
{
	const farcall_interceptor hooks = {.begin = begin_and_hold};
	uv_thread_t thread;
	test_pair pair;

	(void)state;
	atomic_store(&n_held, 0);
	test_pair_init(&pair, "127.0.0.1:0");
	farcall_server_intercept(pair.server, &hooks, sizeof hooks, NULL);
	farcall_server_set_max_calls(pair.server, 1);
	test_pair_start(&pair);
	uv_thread_create(&thread, resume_each, NULL);
	for (int i = 0; i < MOST; i++)
		assert_int_equal(call_for(&pair, 60000, NULL), FARCALL_OK);
	uv_thread_join(&thread);
	for (int i = 0; i < MOST; i++)
		farcall_call_free(held[i]);
	test_pair_fini(&pair);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(so_many_may_pend),
	    clean_test(those_that_have_ended_do_not_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
