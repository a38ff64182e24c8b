/*
 * test_blocking.c: handlers that block. They do not stop others, may call servers, their own one
 * too, and are waited for when the server stops. Each test works only if the loop changes hands:
 * else it waits until its deadline and fails.
 */
#include "server/internal.h"

#include "tests/pair/gate.h"

static char unix_address[64]; /* of this process alone */
static const char *const addresses[] = {"127.0.0.1:0", "mem:blocking", unix_address};

/* ---- others go on ---- */

static void
others_go_on(void **state)
{
	caller callers[12];
	test_pair pair;
	gate g;

	(void)state;
	for (size_t a = 0; a < 3; a++) {
		init_gated(&pair, &g, addresses[a]);
		test_pair_start(&pair);
		for (unsigned i = 0; i < 12; i++)
			start_caller(&callers[i], &pair, i % 3 == 0, 60000);
		test_wait_for(&g.inside, 12);
		for (int i = 0; i < 50; i++)
			assert_int_equal(test_echo(pair.channel, "meanwhile"), FARCALL_OK);
		assert_int_equal(atomic_load(&g.inside), 12);
		atomic_store(&g.open, true);
		for (int i = 0; i < 12; i++)
			assert_passed(&callers[i]);
		test_pair_fini(&pair);
	}
}

/* Custom: blocks until the call is cancelled, then until the gate is open. */
static farcall_code
wait_for_cancel(
    test_pair *pair, farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	gate *g = (gate *)pair->data;

	if (request->number == 1)
		farcall_block_begin(call);
	enter(g);
	for (int i = 0; i < 20000 && !farcall_call_cancelled(call); i++)
		uv_sleep(1);
	if (farcall_call_cancelled(call))
		atomic_fetch_add(&g->cancelled, 1);
	pass(g);
	(void)reply;
	return FARCALL_OK;
}

/* The client of a handler that blocks is told of its deadline in time; the handler sees it, too,
 * some time later: that is the server's clock, or the client's word, and not bound to its end. */
static void
deadlines_pass_while_a_handler_blocks(void **state)
{
	test_pair pair;
	caller c;
	gate g;

	(void)state;
	for (unsigned number = 0; number < 2; number++) {
		init_gated(&pair, &g, "127.0.0.1:0");
		pair.custom = wait_for_cancel;
		test_pair_start(&pair);
		assert_int_equal(test_echo(pair.channel, "connected"), FARCALL_OK);
		for (uint64_t ms = 100; atomic_load(&g.most) == 0; ms *= 4) {
			start_caller(&c, &pair, number, ms); /* it may not reach its handler */
			uv_thread_join(&c.thread);
			assert_int_equal(c.code, FARCALL_DEADLINE_EXCEEDED);
			assert_int_equal(test_echo(pair.channel, "the server knows"), FARCALL_OK);
		}
		test_wait_for(&g.cancelled, 1);
		assert_in_range(atomic_load(&g.inside), 1, atomic_load(&g.most));
		assert_int_equal(test_echo(pair.channel, "still here"), FARCALL_OK);
		atomic_store(&g.open, true);
		test_wait_for(&g.passed, 1);
		test_pair_fini(&pair);
	}
}

static void
clients_leave_while_handlers_block(void **state)
{
	caller callers[8];
	test_pair pair;
	gate g;

	(void)state;
	for (int round = 0; round < 5; round++) {
		init_gated(&pair, &g, "127.0.0.1:0");
		test_pair_start(&pair);
		for (unsigned i = 0; i < 8; i++)
			start_caller(&callers[i], &pair, i % 2, 60000);
		test_wait_for(&g.inside, 8);
		farcall_channel_close(pair.channel);
		for (int i = 0; i < 8; i++) {
			uv_thread_join(&callers[i].thread);
			assert_int_equal(callers[i].code, FARCALL_CANCELLED);
		}
		pair.channel = farcall_channel_open(test_pair_address(&pair));
		assert_int_equal(test_echo(pair.channel, "the next one"), FARCALL_OK);
		atomic_store(&g.open, true);
		test_pair_fini(&pair);
		assert_int_equal(atomic_load(&g.passed), 8);
		assert_int_equal(atomic_load(&g.cancelled), 8);
	}
}

/* ---- calls from handlers ---- */

typedef struct well {
	farcall_channel *channel; /* to its own server */
	atomic_int depth;
} well;

/* Custom: calls itself, number times, by blocking calls. */
static farcall_code
call_myself(test_pair *pair, farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	well *w = (well *)pair->data;
	Pair__Message next = PAIR__MESSAGE__INIT;
	const Pair__Message *answer = NULL;
	farcall_call *nested;
	farcall_code code = FARCALL_OK;

	reply->number = 1;
	atomic_fetch_add(&w->depth, 1);
	if (request->number == 0)
		return FARCALL_OK;
	nested = farcall_call_new(w->channel);
	farcall_call_set_parent(nested, call);
	next.number = request->number - 1;
	code = pair_test_custom(nested, &next, &answer);
	if (code == FARCALL_OK)
		reply->number += answer->number;
	else
		farcall_call_fail(call, code, "%s", farcall_call_error(nested));
	farcall_call_free(nested);
	return code;
}

static void
a_handler_calls_its_own_server(void **state)
{
	test_pair pair;
	well w;

	(void)state;
	for (size_t a = 0; a < 3; a++) {
		memset(&w, 0, sizeof w);
		test_pair_init(&pair, addresses[a]);
		pair.custom = call_myself;
		pair.data = &w;
		w.channel = farcall_channel_open(test_pair_address(&pair));
		test_pair_start(&pair);
		for (unsigned depth = 1; depth <= 31; depth += 10) {
			unsigned reached;

			assert_int_equal(descend(&pair, depth, &reached), FARCALL_OK);
			assert_int_equal(reached, depth + 1);
		}
		assert_int_equal(atomic_load(&w.depth), 2 + 12 + 22 + 32);
		farcall_channel_close(w.channel);
		test_pair_fini(&pair);
	}
}

/* Nobody waits for the monitor: a blocking call of the library gives the loop away itself. Only a
 * machine that stops right then lets the monitor come first. */
static void
blocking_calls_give_the_loop_away(void **state)
{
	fc_crew_counts counts = {0};
	unsigned reached;
	test_pair pair;
	well w;

	(void)state;
	for (int round = 0; round < 10 && counts.given == 0; round++) {
		memset(&w, 0, sizeof w);
		test_pair_init(&pair, "127.0.0.1:0");
		pair.custom = call_myself;
		pair.data = &w;
		w.channel = farcall_channel_open(test_pair_address(&pair));
		test_pair_start(&pair);
		assert_int_equal(descend(&pair, 1, &reached), FARCALL_OK);
		fc_crew_counts_get(pair.server->loops[0]->crew, &counts);
		farcall_channel_close(w.channel);
		test_pair_fini(&pair);
	}
	assert_true(counts.given > 0);
}

/* More of them than there are threads: those that get none wait until the deadline of those that
 * hold them, and the server is well afterwards. */
static void
too_deep_ends_at_the_deadline(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	const Pair__Message *reply = NULL;
	farcall_call *call;
	test_pair pair;
	well w;

	(void)state;
	memset(&w, 0, sizeof w);
	test_pair_init(&pair, "127.0.0.1:0");
	farcall_server_set_handler_threads(pair.server, 4);
	pair.custom = call_myself;
	pair.data = &w;
	w.channel = farcall_channel_open(test_pair_address(&pair));
	test_pair_start(&pair);
	call = farcall_call_new(pair.channel);
	farcall_call_set_timeout_ms(call, 300);
	request.number = 20;
	assert_int_equal(pair_test_custom(call, &request, &reply), FARCALL_DEADLINE_EXCEEDED);
	farcall_call_free(call);
	assert_int_equal(test_echo(pair.channel, "well"), FARCALL_OK);
	farcall_server_stop(pair.server, 0);
	farcall_server_wait(pair.server); /* for handlers that still go down */
	farcall_channel_close(w.channel);
	test_pair_fini(&pair);
}

/* ---- completion ---- */

/* Custom: completes what pends (number 0), or itself before it returns (number 1). */
static farcall_code
complete_something(
    test_pair *pair, farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	reply->text = farcall_call_strdup(call, "by itself");
	if (request->number == 0) {
		farcall_call_complete(pair->waiting[0], FARCALL_OK);
		return FARCALL_OK;
	}
	farcall_block_begin(call);
	farcall_call_complete(call, FARCALL_OK);
	uv_sleep(5);
	return FARCALL_PENDING;
}

static void
call_wait(void *data)
{
	caller *c = (caller *)data;
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_call *call = farcall_call_new(c->channel);
	const Pair__Message *reply = NULL;

	farcall_call_set_timeout_ms(call, 60000);
	c->code = pair_test_wait(call, &request, &reply);
	farcall_call_free(call);
}

static void
a_handler_completes(void **state)
{
	caller waiting = {.code = FARCALL_UNKNOWN}, c;
	test_pair pair;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	pair.custom = complete_something;
	test_pair_start(&pair);
	waiting.channel = pair.channel;
	assert_int_equal(uv_thread_create(&waiting.thread, call_wait, &waiting), 0);
	test_wait_for(&pair.n_waiting, 1);
	for (unsigned number = 0; number < 2; number++) {
		start_caller(&c, &pair, number, 60000);
		uv_thread_join(&c.thread);
		assert_string_equal(c.text, "by itself");
	}
	uv_thread_join(&waiting.thread);
	assert_int_equal(waiting.code, FARCALL_OK);
	test_pair_fini(&pair);
}

/* ---- the end ---- */

static void
wait_for_server(void *data)
{
	farcall_server_wait((farcall_server *)data);
}

static void
open_later(void *data)
{
	uv_sleep(100);
	atomic_store(&((gate *)data)->open, true);
}

static void
stopping_waits_for_handlers(void **state)
{
	uv_thread_t waits, opens;
	caller callers[4];
	test_pair pair;
	gate g;

	(void)state;
	init_gated(&pair, &g, "127.0.0.1:0");
	test_pair_start(&pair);
	for (unsigned i = 0; i < 4; i++)
		start_caller(&callers[i], &pair, i % 2, 60000);
	test_wait_for(&g.inside, 4);
	farcall_server_stop(pair.server, 0);
	for (int i = 0; i < 4; i++) {
		uv_thread_join(&callers[i].thread);
		assert_int_equal(callers[i].code, FARCALL_UNAVAILABLE);
	}
	assert_int_equal(uv_thread_create(&opens, open_later, &g), 0);
	assert_int_equal(uv_thread_create(&waits, wait_for_server, pair.server), 0);
	uv_thread_join(&waits);
	assert_int_equal(atomic_load(&g.passed), 4);
	uv_thread_join(&opens);
	test_pair_fini(&pair);
	assert_int_equal(atomic_load(&g.cancelled), 4);
}

static farcall_code
stop_and_free(
    test_pair *pair, farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	if (request->number == 1)
		farcall_block_begin(call);
	farcall_server_free(pair->server); /* misuse */
	farcall_server_wait(pair->server);
	farcall_server_stop(pair->server, 20000);
	reply->text = farcall_call_strdup(call, "the last one");
	return FARCALL_OK;
}

static void
listen_here(void *data)
{
	farcall_server_listen((farcall_server *)data);
}

/* The thread in listen() is the first to own the loop, and is not let go before the end. */
static void
a_handler_stops_the_server_it_runs_in(void **state)
{
	uv_thread_t thread;
	test_pair pair;
	caller c;

	(void)state;
	for (unsigned number = 0; number < 2; number++) {
		test_log_catch();
		test_pair_init(&pair, "127.0.0.1:0");
		pair.custom = stop_and_free;
		assert_int_equal(uv_thread_create(&thread, listen_here, pair.server), 0);
		pair.channel = farcall_channel_open(test_pair_address(&pair));
		start_caller(&c, &pair, number, 60000);
		uv_thread_join(&c.thread);
		assert_string_equal(c.text, "the last one");
		uv_thread_join(&thread);
		assert_int_equal(test_log_count(), 2);
		assert_non_null(strstr(test_log_last(), "misuse"));
		test_pair_fini(&pair);
		test_log_release();
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(others_go_on),
	    clean_test(deadlines_pass_while_a_handler_blocks),
	    clean_test(clients_leave_while_handlers_block),
	    clean_test(a_handler_calls_its_own_server),
	    clean_test(blocking_calls_give_the_loop_away),
	    clean_test(too_deep_ends_at_the_deadline),
	    clean_test(a_handler_completes),
	    clean_test(stopping_waits_for_handlers),
	    clean_test(a_handler_stops_the_server_it_runs_in),
	};

	snprintf(
	    unix_address, sizeof unix_address, "unix:/tmp/fc-blocking-%d", (int)uv_os_getpid());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
