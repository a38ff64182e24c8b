/*
 * test_blocking.c: handlers that block. They do not stop others, may call servers, their own one
 * too, and are waited for when the server stops. Each test works only if the loop changes hands:
 * else it waits until its deadline and fails.
 */
#include "tests/support/pair.h"

#include <uv.h>

#include <stdio.h>

static const char *const addresses[] = {"127.0.0.1:0", "mem:blocking", "unix:/tmp/fc-blocking"};

typedef struct gate {
	atomic_bool open;
	atomic_int inside, most, passed, cancelled;
} gate;

static void
enter(gate *g)
{
	int now = atomic_fetch_add(&g->inside, 1) + 1, most = atomic_load(&g->most);

	while (now > most && !atomic_compare_exchange_weak(&g->most, &most, now))
		;
}

static void
pass(gate *g)
{
	for (int i = 0; i < 20000 && !atomic_load(&g->open); i++)
		uv_sleep(1);
	atomic_fetch_sub(&g->inside, 1);
	atomic_fetch_add(&g->passed, 1);
}

/* Custom: blocks until the gate is open. `number` 1: says so first. */
static farcall_code
wait_at_gate(
    test_pair *pair, farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	gate *g = (gate *)pair->data;

	if (request->number == 1)
		farcall_block_begin(call);
	enter(g);
	pass(g);
	if (farcall_call_cancelled(call))
		atomic_fetch_add(&g->cancelled, 1);
	reply->text = farcall_call_printf(call, "passed: %s", request->text);
	farcall_call_add_trailer(call, "gate", "passed");
	return FARCALL_OK;
}

/* ---- callers ---- */

typedef struct caller {
	uv_thread_t thread;
	farcall_channel *channel;
	unsigned number;
	uint64_t timeout_ms;
	farcall_code code;
	char text[200];
} caller;

static void
call_custom(void *data)
{
	caller *c = (caller *)data;
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_call *call = farcall_call_new(c->channel);
	const Pair__Message *reply = NULL;

	request.text = (char *)(uintptr_t) "hello";
	request.number = c->number;
	farcall_call_set_timeout_ms(call, c->timeout_ms);
	c->code = pair_test_custom(call, &request, &reply);
	snprintf(c->text, sizeof c->text, "%s",
	    c->code == FARCALL_OK ? reply->text : farcall_call_error(call));
	if (c->code == FARCALL_OK && farcall_call_trailers(call) != NULL) {
		const char *trailer = farcall_metadata_get(farcall_call_trailers(call), "gate");

		if (trailer == NULL || strcmp(trailer, "passed") != 0)
			c->code = FARCALL_DATA_LOSS;
	}
	farcall_call_free(call);
}

static void
start_caller(caller *c, test_pair *pair, unsigned number, uint64_t timeout_ms)
{
	memset(c, 0, sizeof *c);
	c->channel = pair->channel;
	c->number = number;
	c->timeout_ms = timeout_ms;
	assert_int_equal(uv_thread_create(&c->thread, call_custom, c), 0);
}

static void
assert_passed(caller *c)
{
	uv_thread_join(&c->thread);
	assert_string_equal(c->text, "passed: hello");
	assert_int_equal(c->code, FARCALL_OK);
}

static void
init_gated(test_pair *pair, gate *g, const char *address)
{
	memset(g, 0, sizeof *g);
	test_pair_init(pair, address);
	pair->custom = wait_at_gate;
	pair->data = g;
}

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
			start_caller(&callers[i], &pair, i % 3 == 0, 20000);
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

/* The client of a handler that blocks is told of its deadline in time; the handler can see it. */
static void
deadlines_pass_while_a_handler_blocks(void **state)
{
	test_pair pair;
	caller c;
	gate g;

	(void)state;
	init_gated(&pair, &g, "127.0.0.1:0");
	test_pair_start(&pair);
	start_caller(&c, &pair, 1, 50);
	test_wait_for(&g.inside, 1);
	uv_thread_join(&c.thread);
	assert_int_equal(c.code, FARCALL_DEADLINE_EXCEEDED);
	assert_int_equal(atomic_load(&g.inside), 1);
	atomic_store(&g.open, true);
	test_wait_for(&g.passed, 1);
	assert_int_equal(test_echo(pair.channel, "still here"), FARCALL_OK);
	test_pair_fini(&pair);
	assert_int_equal(atomic_load(&g.cancelled), 1);
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
			start_caller(&callers[i], &pair, i % 2, 20000);
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

static farcall_code
descend(test_pair *pair, unsigned depth, unsigned *reached)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_call *call = farcall_call_new(pair->channel);
	const Pair__Message *reply = NULL;
	farcall_code code;

	request.number = depth;
	farcall_call_set_timeout_ms(call, 15000);
	code = pair_test_custom(call, &request, &reply);
	*reached = code == FARCALL_OK ? reply->number : 0;
	if (code != FARCALL_OK)
		print_message("%s\n", farcall_call_error(call));
	farcall_call_free(call);
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

	farcall_call_set_timeout_ms(call, 10000);
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
		start_caller(&c, &pair, number, 10000);
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
		start_caller(&callers[i], &pair, i % 2, 20000);
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
	farcall_server_stop(pair->server, 200);
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
		start_caller(&c, &pair, number, 10000);
		uv_thread_join(&c.thread);
		assert_string_equal(c.text, "the last one");
		uv_thread_join(&thread);
		assert_int_equal(test_log_count(), 2);
		assert_non_null(strstr(test_log_last(), "misuse"));
		test_pair_fini(&pair);
		test_log_release();
	}
}

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
		start_caller(&callers[i], &pair, i % 2, 20000);
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
		start_caller(&callers[i], &pair, i % 2, 20000);
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
		start_caller(&callers[i], &pair, i % 2, 20000);
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
	    clean_test(others_go_on),
	    clean_test(deadlines_pass_while_a_handler_blocks),
	    clean_test(clients_leave_while_handlers_block),
	    clean_test(a_handler_calls_its_own_server),
	    clean_test(too_deep_ends_at_the_deadline),
	    clean_test(a_handler_completes),
	    clean_test(stopping_waits_for_handlers),
	    clean_test(a_handler_stops_the_server_it_runs_in),
	    clean_test(serial_handlers_do_not_overlap),
	    clean_test(one_thread_is_serial_too),
	    clean_test(declared_methods),
	    clean_test(settings_have_limits),
	    clean_test(calls_that_wait_are_bounded),
	    clean_test(a_lent_loop_keeps_its_handlers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
