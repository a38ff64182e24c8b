/*
 * test_shortage.c: what the operator is told when calls wait for threads of the server, and the
 * length of their queue.
 */
#include "tests/pair/gate.h"

#include "server/internal.h"

/* Four threads: two handlers at the gate, three calls that wait. */
static void
the_log_says_who_waits_and_what_to_do(void **state)
{
	caller callers[5];
	test_pair pair;
	gate g;

	(void)state;
	test_log_catch();
	init_gated(&pair, &g, "127.0.0.1:0");
	farcall_server_set_handler_threads(pair.server, 4);
	farcall_service_set_blocking(pair.service, "Custom", true);
	test_pair_start(&pair);
	for (int i = 0; i < 2; i++)
		start_caller(&callers[i], &pair, 0, 60000);
	test_wait_for(&g.inside, 2);
	assert_int_equal(test_log_count(), 0);
	for (int i = 2; i < 5; i++)
		start_caller(&callers[i], &pair, 0, 60000);
	for (int i = 0; i < 10000 && test_log_count() == 0; i++)
		uv_sleep(1);
	assert_int_equal(test_log_count(), 1);
	assert_non_null(strstr(test_log_last(), "/pair.Test/Custom has waited "));
	assert_non_null(strstr(test_log_last(), " ms for a thread, one of "));
	assert_non_null(strstr(test_log_last(),
	    " calls that do: 2 of 4 threads are in handlers that block "
	    "or wait in a stream's steps (farcall_server_set_handler_threads)"));
	atomic_store(&g.open, true);
	for (int i = 0; i < 5; i++)
		assert_passed(&callers[i]);
	test_pair_fini(&pair);
	test_log_release();
}

/* Whichever of its loops is short. */
static void
a_server_says_it_once_a_minute(void **state)
{
	const fc_crew_shortage shortage = {
	    .threads = 4, .at_work = 2, .waiting = 3, .name = "/a/B", .waited = FC_NS_PER_S};
	farcall_server *servers[2] = {farcall_server_new(), farcall_server_new()};
	int before;

	(void)state;
	test_log_catch();
	for (int s = 0; s < 2; s++) {
		fc_server_loop one = {.server = servers[s]}, other = {.server = servers[s]};

		before = test_log_count();
		fc_server_on_short(&one, &shortage);
		fc_server_on_short(&one, &shortage);
		fc_server_on_short(&other, &shortage);
		assert_int_equal(test_log_count(), before + 1);
		assert_true(atomic_load(&servers[s]->complain_at) > uv_hrtime() + 50 * FC_NS_PER_S);
		atomic_store(&servers[s]->complain_at, uv_hrtime()); /* the minute is over */
		fc_server_on_short(&other, &shortage);
		assert_int_equal(test_log_count(), before + 2);
		farcall_server_free(servers[s]);
	}
	test_log_release();
}

static void
the_last_thread_is_told(void **state)
{
	const fc_crew_shortage shortage = {
	    .last = true, .threads = 4, .at_work = 3, .name = "/a/B"};
	farcall_server *server = farcall_server_new();
	fc_server_loop at = {.server = server};

	(void)state;
	test_log_catch();
	fc_server_on_short(&at, &shortage);
	assert_string_equal(test_log_last(),
	    "/a/B has taken the last thread but one: 3 of 4 are in handlers that block or wait in "
	    "a "
	    "stream's steps; one more will hold up its loop (farcall_server_set_handler_threads)");
	test_log_release();
	farcall_server_free(server);
}

/* So many items have been given to other threads, or wait for one. */
static void
wait_for_pooled(const test_pair *pair, size_t n)
{
	fc_crew_counts counts;

	for (int i = 0; i < 10000; i++) {
		fc_crew_counts_get(pair->server->loops[0]->crew, &counts);
		if (counts.pooled >= n)
			break;
		uv_sleep(1);
	}
	assert_int_equal(counts.pooled, n);
}

static void
the_queue_is_as_long_as_it_is_set(void **state)
{
	caller callers[3], refused;
	test_pair pair;
	gate g;

	(void)state;
	test_log_catch();
	init_gated(&pair, &g, "127.0.0.1:0");
	farcall_server_set_handler_threads(pair.server, 3);
	farcall_server_set_handler_queue(pair.server, 2);
	farcall_service_set_blocking(pair.service, "Custom", true);
	test_pair_start(&pair);
	start_caller(&callers[0], &pair, 0, 60000);
	test_wait_for(&g.inside, 1);
	start_caller(&callers[1], &pair, 0, 60000);
	start_caller(&callers[2], &pair, 0, 60000);
	wait_for_pooled(&pair, 3);
	start_caller(&refused, &pair, 0, 60000);
	uv_thread_join(&refused.thread);
	assert_int_equal(refused.code, FARCALL_RESOURCE_EXHAUSTED);
	assert_string_equal(
	    refused.text, "RESOURCE_EXHAUSTED: too many calls wait for handlers that block");
	atomic_store(&g.open, true);
	for (int i = 0; i < 3; i++)
		assert_passed(&callers[i]);
	test_pair_fini(&pair);
	test_log_release();
}

static void
the_setting_has_limits(void **state)
{
	static const unsigned good[] = {1, 1000000}, bad[] = {0, 1000001};
	farcall_server *server;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		server = farcall_server_new();
		farcall_server_set_handler_queue(server, good[i]);
		assert_int_equal(farcall_server_code(server), FARCALL_OK);
		farcall_server_set_handler_queue(server, bad[i]);
		assert_int_equal(farcall_server_code(server), FARCALL_INVALID_ARGUMENT);
		assert_non_null(strstr(farcall_server_error(server), "handler queue"));
		farcall_server_free(server);
	}
	farcall_server_set_handler_queue(NULL, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(the_log_says_who_waits_and_what_to_do),
	    clean_test(a_server_says_it_once_a_minute),
	    clean_test(the_last_thread_is_told),
	    clean_test(the_queue_is_as_long_as_it_is_set),
	    clean_test(the_setting_has_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
