/*
 * test_blocking_limits.c: threads and queue at their limits, serial servers, declared methods, lent
 * loops.
 */
#include "tests/pair/gate.h"

/* ---- settings ---- */

static void
serial_handlers_do_not_overlap(void **state)
{
	caller callers[6];
	test_pair pair;
	gate g;

	(void)state;
	init_gated(&pair, &g, "127.0.0.1:0");
	farcall_server_set_serial(pair.server, true);
	test_pair_start(&pair);
	for (unsigned i = 0; i < 6; i++)
		start_caller(&callers[i], &pair, i % 2, 60000);
	test_wait_for(&g.inside, 1);
	uv_sleep(30);
	assert_int_equal(atomic_load(&g.inside), 1);
	atomic_store(&g.open, true);
	for (int i = 0; i < 6; i++)
		assert_passed(&callers[i]);
	test_pair_fini(&pair);
	assert_int_equal(atomic_load(&g.most), 1);
}

static void
one_thread_is_serial_too(void **state)
{
	caller callers[4];
	test_pair pair;
	gate g;

	(void)state;
	init_gated(&pair, &g, "127.0.0.1:0");
	farcall_server_set_handler_threads(pair.server, 1);
	farcall_service_set_blocking(pair.service, "Custom", true);
	test_pair_start(&pair);
	for (unsigned i = 0; i < 4; i++)
		start_caller(&callers[i], &pair, i % 2, 60000);
	test_wait_for(&g.inside, 1);
	atomic_store(&g.open, true);
	for (int i = 0; i < 4; i++)
		assert_passed(&callers[i]);
	test_pair_fini(&pair);
	assert_int_equal(atomic_load(&g.most), 1);
}

static uv_thread_t *
threads_of(test_pair *pair)
{
	return (uv_thread_t *)pair->data;
}

static farcall_code
note_thread(test_pair *pair, farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	threads_of(pair)[request->number] = uv_thread_self();
	if (request->number == 1)
		uv_sleep(20); /* long enough to lose the loop, were it not declared */
	(void)call;
	(void)reply;
	return FARCALL_OK;
}

static void
declared_methods(void **state)
{
	uv_thread_t threads[3];
	test_pair pair;
	unsigned reached;

	(void)state;
	for (int blocking = 0; blocking < 2; blocking++) {
		test_pair_init(&pair, "127.0.0.1:0");
		pair.custom = note_thread;
		pair.data = threads;
		farcall_service_set_blocking(pair.service, "Custom", blocking == 0);
		farcall_service_set_blocking(pair.service, "Custom", blocking != 0);
		test_pair_start(&pair);
		for (unsigned i = 0; i < 3; i++)
			assert_int_equal(descend(&pair, i, &reached), FARCALL_OK);
		if (blocking == 0) {
			assert_true(uv_thread_equal(&threads[0], &threads[1]));
			assert_true(uv_thread_equal(&threads[0], &threads[2]));
		}
		test_pair_fini(&pair);
	}
	test_pair_init(&pair, "127.0.0.1:0");
	farcall_service_set_blocking(pair.service, "Nothing", true);
	assert_int_equal(farcall_server_code(pair.server), FARCALL_NOT_FOUND);
	assert_string_equal(
	    farcall_server_error(pair.server), "set blocking: pair.Test has no method Nothing");
	farcall_service_set_blocking(pair.service, NULL, true);
	farcall_service_set_blocking(NULL, "Echo", true);
	farcall_server_free(pair.server);
}

static void
settings_have_limits(void **state)
{
	static const unsigned good[] = {1, 2, 10000}, bad[] = {0, 10001};
	farcall_server *server;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		server = farcall_server_new();
		farcall_server_set_handler_threads(server, good[i]);
		assert_int_equal(farcall_server_code(server), FARCALL_OK);
		farcall_server_free(server);
	}
	for (size_t i = 0; i < 2; i++) {
		server = farcall_server_new();
		farcall_server_set_handler_threads(server, bad[i]);
		assert_int_equal(farcall_server_code(server), FARCALL_INVALID_ARGUMENT);
		assert_non_null(strstr(farcall_server_error(server), "handler threads"));
		farcall_server_free(server);
	}
	farcall_server_set_handler_threads(NULL, 1);
	farcall_server_set_serial(NULL, true);
	test_log_catch();
	farcall_block_begin(NULL);
	assert_int_equal(test_log_count(), 1);
	assert_non_null(strstr(test_log_last(), "block begin"));
	test_log_release();
}

/* Where no other thread may take the loop, the log says who held it up. */
static void
who_holds_up_the_loop_is_told(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_call *call;
	test_pair pair;

	(void)state;
	test_log_catch();
	test_pair_init(&pair, "127.0.0.1:0");
	farcall_server_set_serial(pair.server, true);
	test_pair_start(&pair);
	request.number = 120;
	call = farcall_call_new(pair.channel);
	assert_int_equal(pair_test_slow(call, &request, NULL), FARCALL_OK);
	farcall_call_free(call);
	assert_non_null(strstr(test_log_last(), "/pair.Test/Slow held up its loop"));
	test_pair_fini(&pair);
	test_log_release();
}

/* ---- the queue ---- */

typedef struct tally {
	atomic_int ok, refused, other;
} tally;

static void
count_answer(farcall_call *call, farcall_code code, const ProtobufCMessage *message, void *data)
{
	tally *t = (tally *)data;

	(void)message;
	if (code == FARCALL_OK)
		atomic_fetch_add(&t->ok, 1);
	else if (code == FARCALL_RESOURCE_EXHAUSTED &&
	    strstr(farcall_call_error(call), "too many calls wait") != NULL)
		atomic_fetch_add(&t->refused, 1);
	else
		atomic_fetch_add(&t->other, 1);
	farcall_call_free(call);
}

static void
send_async(farcall_channel *channel, int n, tally *t)
{
	Pair__Message request = PAIR__MESSAGE__INIT;

	for (; n > 0; n--) {
		farcall_call *call = farcall_call_new(channel);

		farcall_call_set_timeout_ms(call, 60000);
		farcall_call_invoke_async(
		    call, &pair_test__methods[6], &request.base, count_answer, t);
	}
}

/* A channel's thread goes some time after its close. */
static void
settle(void)
{
	for (int i = 0; i < 10000 && test_allocator_live() != 0; i++)
		uv_sleep(1);
}

/* Three threads: one handler at a time, and 1,024 calls that wait for it. Two connections, since
 * one carries no more calls than that. */
static void
calls_that_wait_are_bounded(void **state)
{
	farcall_channel *second;
	test_pair pair;
	tally t;
	gate g;

	(void)state;
	memset(&t, 0, sizeof t);
	init_gated(&pair, &g, "127.0.0.1:0");
	farcall_server_set_handler_threads(pair.server, 3);
	farcall_service_set_blocking(pair.service, "Custom", true);
	farcall_service_set_blocking(pair.service, "Echo", false); /* else it might be learned */
	test_pair_start(&pair);
	second = farcall_channel_open(test_pair_address(&pair));
	send_async(pair.channel, 1, &t);
	test_wait_for(&g.inside, 1);
	send_async(pair.channel, 512, &t);
	send_async(second, 512, &t);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(test_echo(pair.channel, "first"), FARCALL_OK);
		assert_int_equal(test_echo(second, "second"), FARCALL_OK);
	}
	assert_int_equal(atomic_load(&t.refused), 0);
	send_async(second, 1, &t);
	test_wait_for(&t.refused, 1);
	atomic_store(&g.open, true);
	test_wait_for(&t.ok, 1025);
	assert_int_equal(atomic_load(&t.refused), 1);
	assert_int_equal(atomic_load(&t.other), 0);
	farcall_channel_close(second);
	test_pair_fini(&pair);
	settle();
	assert_int_equal(atomic_load(&g.most), 1);
}

/* A call whose deadline passes while it waits for a thread never reaches its handler. */
static void
calls_may_expire_in_the_queue(void **state)
{
	caller first, late[3];
	test_pair pair;
	gate g;

	(void)state;
	init_gated(&pair, &g, "127.0.0.1:0");
	farcall_server_set_handler_threads(pair.server, 3);
	farcall_service_set_blocking(pair.service, "Custom", true);
	farcall_service_set_blocking(pair.service, "Echo", false);
	test_pair_start(&pair);
	start_caller(&first, &pair, 0, 60000);
	test_wait_for(&g.inside, 1);
	for (int i = 0; i < 3; i++)
		start_caller(&late[i], &pair, 0, 50);
	for (int i = 0; i < 3; i++) {
		uv_thread_join(&late[i].thread);
		assert_int_equal(late[i].code, FARCALL_DEADLINE_EXCEEDED);
	}
	assert_int_equal(test_echo(pair.channel, "the server knows"), FARCALL_OK);
	uv_sleep(20); /* its clock has reached the deadlines, too */
	atomic_store(&g.open, true);
	assert_passed(&first);
	test_pair_fini(&pair);
	assert_int_equal(atomic_load(&pair.n_handled), 1);
}

/* ---- a lent loop ---- */

static void
a_lent_loop_keeps_its_handlers(void **state)
{
	farcall_loop *loop = farcall_loop_new();
	caller callers[4];
	test_pair pair;
	gate g;

	(void)state;
	init_gated(&pair, &g, "127.0.0.1:0");
	atomic_store(&g.open, true);
	farcall_server_set_loop(pair.server, loop);
	farcall_service_set_blocking(pair.service, "Custom", true);
	assert_int_equal(farcall_server_start(pair.server), FARCALL_OK);
	pair.channel = farcall_channel_open(test_pair_address(&pair));
	for (unsigned i = 0; i < 4; i++)
		start_caller(&callers[i], &pair, i % 2, 60000);
	while (atomic_load(&g.passed) < 4)
		farcall_loop_step(loop, 10);
	for (int i = 0; i < 4; i++)
		assert_passed(&callers[i]);
	test_pair_fini(&pair);
	farcall_loop_free(loop);
	assert_int_equal(atomic_load(&g.most), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(serial_handlers_do_not_overlap),
	    clean_test(one_thread_is_serial_too),
	    clean_test(declared_methods),
	    clean_test(settings_have_limits),
	    clean_test(who_holds_up_the_loop_is_told),
	    clean_test(calls_that_wait_are_bounded),
	    clean_test(calls_may_expire_in_the_queue),
	    clean_test(a_lent_loop_keeps_its_handlers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
