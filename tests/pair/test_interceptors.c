/*
 * Interceptors on a server: order, refusals, what pends and how it ends, authorisation, limits.
 * What a client's own do is in test_interceptors_client.c.
 */
#include "tests/pair/hooked.h"

#include <stdio.h>
#include <uv.h>

static hooked a, b;
static test_pair pair;

static farcall_code
echo_custom(test_pair *at, farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	(void)at;
	(void)call;
	*reply = *request;
	return FARCALL_OK;
}

static void
prepare(void)
{
	hooked_init(&a, "a");
	hooked_init(&b, "b");
	hooked_log();
	test_pair_init(&pair, "mem:interceptors");
	pair.custom = echo_custom;
	farcall_server_intercept(pair.server, &hooked_hooks, sizeof hooked_hooks, &a);
}

static void
finish(void)
{
	test_pair_fini(&pair);
	hooked_settle();
	assert_int_equal(a.wrong, 0);
	assert_int_equal(b.wrong, 0);
	assert_int_equal(atomic_load(&a.n_begun), atomic_load(&a.n_ended));
	assert_int_equal(atomic_load(&b.n_begun), atomic_load(&b.n_ended));
}

static char said[300];

static farcall_code
custom_with(const char *text, uint64_t timeout_ms)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_call *call = farcall_call_new(pair.channel);
	const Pair__Message *reply = NULL;
	farcall_code code;

	request.text = (char *)(uintptr_t)text;
	farcall_call_add_metadata(call, "who", "me");
	farcall_call_set_timeout_ms(call, timeout_ms);
	code = pair_test_custom(call, &request, &reply);
	snprintf(said, sizeof said, "%s", farcall_call_error(call));
	if (code == FARCALL_OK)
		assert_string_equal(reply->text, text);
	farcall_call_free(call);
	return code;
}

static void
hooks_come_in_order(void **state)
{
	(void)state;
	prepare();
	farcall_server_intercept(pair.server, &hooked_hooks, sizeof hooked_hooks, &b);
	test_pair_start(&pair);
	assert_int_equal(custom_with("hello", 60000), FARCALL_OK);
	test_wait_for(&a.n_ended, 1);
	assert_string_equal(
	    hooked_log(), "begin a, begin b, received a, received b, sent a, sent b, end b, end a");
	assert_string_equal(a.path, "/pair.Test/Custom");
	assert_string_equal(a.peer, "mem:interceptors");
	assert_string_equal(a.seen, "hello");
	assert_int_equal(a.n_metadata, 2); /* user-agent, too */
	assert_int_equal(a.outcome.code, FARCALL_OK);
	assert_string_equal(a.error, "");
	assert_int_equal(a.outcome.messages_received, 1);
	assert_int_equal(a.outcome.messages_sent, 1);
	assert_int_equal(a.outcome.bytes_received, 7);
	assert_int_equal(a.outcome.bytes_sent, 7);
	assert_true(a.outcome.elapsed_ns > 0);
	finish();
}

static void
a_refusal_ends_the_call_before_its_handler(void **state)
{
	(void)state;
	prepare();
	farcall_server_intercept(pair.server, &hooked_hooks, sizeof hooked_hooks, &b);
	a.answer = FARCALL_UNAUTHENTICATED;
	a.text = "who are you?";
	test_pair_start(&pair);
	assert_int_equal(custom_with("hello", 60000), FARCALL_UNAUTHENTICATED);
	assert_string_equal(said, "UNAUTHENTICATED: who are you?");
	test_wait_for(&a.n_ended, 1);
	assert_string_equal(hooked_log(), "begin a, end a");
	assert_int_equal(a.outcome.code, FARCALL_UNAUTHENTICATED);
	assert_string_equal(a.error, "who are you?");
	a.text = NULL;
	a.answer = (farcall_code)4711;
	assert_int_equal(custom_with("hello", 60000), FARCALL_UNKNOWN);
	assert_string_equal(said, "UNKNOWN: refused by an interceptor");
	assert_int_equal(atomic_load(&pair.n_handled), 0);
	finish();
}

/* What begin adds travels, on a refusal as on success. */
static void
begin_may_add_metadata(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	const Pair__Message *reply;
	farcall_call *call;

	(void)state;
	prepare();
	a.key = "served-by";
	a.value = "me";
	test_pair_start(&pair);
	call = farcall_call_new(pair.channel);
	assert_int_equal(pair_test_custom(call, &request, &reply), FARCALL_OK);
	assert_string_equal(farcall_metadata_get(farcall_call_metadata(call), "served-by"), "me");
	farcall_call_free(call);
	a.key = "Served-By";
	assert_int_equal(custom_with("x", 60000), FARCALL_INTERNAL);
	assert_string_equal(said, "INTERNAL: metadata key \"Served-By\" has an upper-case letter");
	finish();
}

/* ---- what pends ---- */

typedef struct async {
	atomic_int n;
	farcall_code code;
} async;

static void
on_done(farcall_call *call, farcall_code code, const Pair__Message *reply, void *data)
{
	async *to = (async *)data;

	(void)reply;
	to->code = code;
	farcall_call_free(call);
	atomic_fetch_add(&to->n, 1);
}

static farcall_call *
start(async *to)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_call *call = farcall_call_new(pair.channel);

	request.text = (char *)"later";
	atomic_init(&to->n, 0);
	pair_test_custom__async(call, &request, on_done, to);
	return call;
}

static void
what_pends_goes_on_when_it_is_resumed(void **state)
{
	async done;

	(void)state;
	prepare();
	farcall_server_intercept(pair.server, &hooked_hooks, sizeof hooked_hooks, &b);
	a.answer = FARCALL_PENDING;
	test_pair_start(&pair);
	start(&done);
	farcall_call_add_metadata(hooked_held(&a, 1), "added", "while it pended");
	assert_string_equal(hooked_log(), "begin a");
	assert_int_equal(atomic_load(&pair.n_handled), 0);
	farcall_intercept_resume(a.held, FARCALL_OK);
	test_wait_for(&done.n, 1);
	assert_int_equal(done.code, FARCALL_OK);
	test_wait_for(&a.n_ended, 1);
	assert_string_equal(
	    hooked_log(), "begin b, received a, received b, sent a, sent b, end b, end a");
	assert_string_equal(a.seen, "later");

	start(&done);
	farcall_call_fail(hooked_held(&a, 2), FARCALL_PERMISSION_DENIED, "not %s", "you");
	farcall_intercept_resume(a.held, FARCALL_PERMISSION_DENIED);
	test_wait_for(&done.n, 1);
	assert_int_equal(done.code, FARCALL_PERMISSION_DENIED);
	test_wait_for(&a.n_ended, 2);
	assert_string_equal(a.error, "not you");
	assert_int_equal(atomic_load(&pair.n_handled), 1);

	a.resume_inside = true;
	start(&done);
	test_wait_for(&done.n, 1);
	assert_int_equal(done.code, FARCALL_OK);
	finish();
}

/* end waits for the one that pends. */
static void
what_pends_may_be_cancelled_or_late(void **state)
{
	farcall_call *call;
	async done;

	(void)state;
	prepare();
	a.answer = FARCALL_PENDING;
	test_pair_start(&pair);
	call = start(&done);
	hooked_held(&a, 1);
	farcall_call_cancel(call);
	test_wait_for(&done.n, 1);
	assert_int_equal(done.code, FARCALL_CANCELLED);
	for (int i = 0; i < 10000 && !farcall_call_cancelled(a.held); i++)
		uv_sleep(1);
	assert_true(farcall_call_cancelled(a.held));
	assert_int_equal(atomic_load(&a.n_ended), 0);
	farcall_call_add_metadata(a.held, "too", "late");
	farcall_intercept_resume(a.held, FARCALL_OK);
	test_wait_for(&a.n_ended, 1);
	assert_int_equal(a.outcome.code, FARCALL_CANCELLED);

	for (uint64_t ms = 50; atomic_load(&a.n_held) < 2; ms *= 4) {
		assert_int_equal(custom_with("x", ms), FARCALL_DEADLINE_EXCEEDED);
		test_soon(&a.n_held, 2); /* the server may be late, or not see it at all */
	}
	for (int i = 0; i < 10000 && !farcall_call_cancelled(a.held); i++)
		uv_sleep(1);
	farcall_intercept_resume(a.held, FARCALL_OK);
	test_wait_for(&a.n_ended, 2);
	assert_true(a.outcome.code == FARCALL_DEADLINE_EXCEEDED ||
	    a.outcome.code == FARCALL_CANCELLED); /* whoever was first */
	assert_int_equal(atomic_load(&pair.n_handled), 0);
	finish();
}

static void
what_pends_outlives_its_server(void **state)
{
	async done;

	(void)state;
	prepare();
	a.answer = FARCALL_PENDING;
	test_pair_start(&pair);
	start(&done);
	hooked_held(&a, 1);
	farcall_server_stop(pair.server, 0);
	farcall_server_free(pair.server);
	test_wait_for(&done.n, 1);
	assert_int_equal(done.code, FARCALL_UNAVAILABLE);
	assert_int_equal(atomic_load(&a.n_ended), 0);
	farcall_call_add_metadata(a.held, "far", "too late");
	farcall_intercept_resume(a.held, FARCALL_OK);
	assert_int_equal(atomic_load(&a.n_ended), 1);
	assert_int_equal(a.outcome.code, FARCALL_UNAVAILABLE);
	pair.server = NULL;
	finish();
}

/* It is no call yet to the limits. */
static void
what_pends_does_not_count(void **state)
{
	farcall_call *held[3];
	async done[3];

	(void)state;
	prepare();
	farcall_service_set_max_calls(pair.service, 1);
	a.answer = FARCALL_PENDING;
	test_pair_start(&pair);
	for (int i = 0; i < 3; i++) {
		start(&done[i]);
		held[i] = hooked_held(&a, i + 1);
	}
	for (int i = 0; i < 3; i++) {
		farcall_intercept_resume(held[i], FARCALL_OK);
		test_wait_for(&done[i].n, 1);
		assert_int_equal(done[i].code, FARCALL_OK);
	}
	finish();
}

/* ---- misuse and limits ---- */

static void
misuse_is_said(void **state)
{
	async done;

	(void)state;
	prepare();
	test_log_catch();
	test_pair_start(&pair);
	pair.service = NULL;
	farcall_intercept_resume(NULL, FARCALL_OK);
	assert_string_equal(test_log_last(), "call: misuse: resume: not a call whose begin pends");
	a.answer = FARCALL_PENDING;
	start(&done);
	farcall_intercept_resume(hooked_held(&a, 1), FARCALL_PENDING);
	assert_string_equal(
	    test_log_last(), "/pair.Test/Custom: misuse: resume: PENDING is no answer");
	farcall_intercept_resume(a.held, FARCALL_OK);
	test_wait_for(&done.n, 1);
	assert_int_equal(done.code, FARCALL_OK);
	farcall_server_intercept(pair.server, &hooked_hooks, sizeof hooked_hooks, &b);
	assert_int_equal(farcall_server_code(pair.server), FARCALL_FAILED_PRECONDITION);
	assert_string_equal(
	    farcall_server_error(pair.server), "intercept: the server has started already");
	test_pair_fini(&pair);
	hooked_settle();
	test_log_release();
}

static void
sixteen_interceptors_and_one_more(void **state)
{
	farcall_server *server;

	(void)state;
	prepare();
	for (int i = 1; i < 16; i++)
		farcall_server_intercept(pair.server, &hooked_hooks, sizeof hooked_hooks, &a);
	test_pair_start(&pair);
	assert_int_equal(custom_with("x", 60000), FARCALL_OK);
	test_wait_for(&a.n_ended, 16);
	assert_int_equal(atomic_load(&a.n_begun), 16);
	finish();

	server = farcall_server_new();
	for (int i = 0; i < 17; i++)
		farcall_server_intercept(server, &hooked_hooks, sizeof hooked_hooks, &a);
	assert_int_equal(farcall_server_code(server), FARCALL_RESOURCE_EXHAUSTED);
	assert_string_equal(farcall_server_error(server), "intercept: more than 16 interceptors");
	farcall_server_free(server);
	server = farcall_server_new();
	farcall_server_intercept(server, NULL, 0, NULL);
	assert_int_equal(farcall_server_code(server), FARCALL_INVALID_ARGUMENT);
	farcall_server_free(server);
}

static farcall_code
refuse(farcall_call *call, const farcall_intercepted *about, void *data)
{
	(void)about;
	atomic_fetch_add((atomic_int *)data, 1);
	return farcall_call_fail(call, FARCALL_ABORTED, "no");
}

/* A program made for fewer hooks than the library has: what is behind its struct is not read. */
static void
a_shorter_struct_is_taken(void **state)
{
	farcall_begin_hook *short_hooks = refuse;
	atomic_int asked;

	(void)state;
	atomic_init(&asked, 0);
	prepare();
	farcall_server_intercept(pair.server, (const farcall_interceptor *)(void *)&short_hooks,
	    sizeof short_hooks, &asked);
	test_pair_start(&pair);
	assert_int_equal(custom_with("x", 60000), FARCALL_ABORTED);
	test_wait_for(&a.n_ended, 1);
	assert_string_equal(hooked_log(), "begin a, end a");
	assert_int_equal(atomic_load(&asked), 1);
	finish();
}

/* ---- authorisation ---- */

static farcall_code
only_aunt_emma(farcall_call *call, const farcall_intercepted *about, void *data)
{
	const char *who = farcall_metadata_get(about->metadata, "who");

	atomic_fetch_add((atomic_int *)data, 1);
	if (who != NULL && strcmp(who, "emma") == 0)
		return FARCALL_OK;
	return farcall_call_fail(call, FARCALL_PERMISSION_DENIED, "%s is not for %s",
	    farcall_call_method(call)->name, who != NULL ? who : "anybody");
}

static void
a_service_asks_who_may_call(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	const Pair__Message *reply;
	farcall_call *call;
	atomic_int asked;

	(void)state;
	atomic_init(&asked, 0);
	prepare();
	farcall_service_set_authorize(pair.service, only_aunt_emma, &asked);
	test_pair_start(&pair);
	assert_int_equal(custom_with("x", 60000), FARCALL_PERMISSION_DENIED);
	assert_string_equal(said, "PERMISSION_DENIED: Custom is not for me");
	test_wait_for(&a.n_ended, 1);
	assert_string_equal(hooked_log(), "begin a, end a");
	call = farcall_call_new(pair.channel);
	farcall_call_add_metadata(call, "who", "emma");
	assert_int_equal(pair_test_custom(call, &request, &reply), FARCALL_OK);
	farcall_call_free(call);
	assert_int_equal(atomic_load(&asked), 2);
	assert_int_equal(atomic_load(&pair.n_handled), 1);
	test_wait_for(&a.n_ended, 2);
	finish();
}

/* ---- how else calls end ---- */

static void
end_says_how_it_went(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_call *call;
	async done;

	(void)state;
	prepare();
	test_pair_start(&pair);
	call = farcall_call_new(pair.channel);
	request.number = FARCALL_NOT_FOUND;
	request.text = (char *)"no such row";
	pair_test_fail(call, &request, NULL);
	farcall_call_free(call);
	test_wait_for(&a.n_ended, 1);
	assert_int_equal(a.outcome.code, FARCALL_NOT_FOUND);
	assert_string_equal(a.error, "no such row");
	assert_string_equal(hooked_log(), "begin a, received a, end a");

	call = farcall_call_new(pair.channel);
	atomic_init(&done.n, 0);
	pair_test_wait__async(call, &request, on_done, &done);
	test_wait_for(&pair.n_waiting, 1);
	farcall_call_cancel(call);
	test_wait_for(&done.n, 1);
	test_wait_for(&a.n_ended, 2);
	assert_int_equal(a.outcome.code, FARCALL_CANCELLED);
	farcall_call_complete(pair.waiting[0], FARCALL_OK); /* is seen by no hook any more */
	assert_string_equal(hooked_log(), "begin a, received a, end a");

	call = farcall_call_new(pair.channel);
	atomic_init(&done.n, 0);
	pair_test_wait__async(call, &request, on_done, &done);
	test_wait_for(&pair.n_waiting, 2);
	farcall_call_complete(pair.waiting[1], FARCALL_OK);
	test_wait_for(&done.n, 1);
	test_wait_for(&a.n_ended, 3);
	assert_int_equal(a.outcome.messages_sent, 1);
	assert_string_equal(hooked_log(), "begin a, received a, sent a, end a");
	finish();
}

/* Records, staged metadata and all: a warm call takes nothing from the heap. */
static void
hooks_allocate_nothing(void **state)
{
	farcall_channel *channel;
	size_t before;

	(void)state;
	prepare();
	a.key = "served-by";
	a.value = "me";
	farcall_service_set_blocking(pair.service, "Echo", false); /* else it might be learned */
	test_pair_start(&pair);
	channel = farcall_channel_open(test_pair_address(&pair));
	farcall_channel_intercept(channel, &hooked_hooks, sizeof hooked_hooks, &b);
	b.key = "asked-by";
	b.value = "me";
	for (int i = 0; i < 50; i++)
		assert_int_equal(test_echo(channel, "warm"), FARCALL_OK);
	before = test_allocator_calls();
	for (int i = 0; i < 200; i++)
		assert_int_equal(test_echo(channel, "warm"), FARCALL_OK);
	assert_int_equal(test_allocator_calls(), before);
	farcall_channel_close(channel);
	finish();
}

/* Threads that resume, cancel and complete at once: nothing is lost, each begin has its end. */
static void
resumer(void *data)
{
	hooked *h = (hooked *)data;

	for (int i = 0; i < 200; i++) {
		farcall_call *call;

		while ((call = atomic_exchange(&h->held, NULL)) == NULL)
			uv_sleep(0);
		farcall_call_add_trailer(call, "resumed", "yes");
		farcall_intercept_resume(call, i % 7 == 0 ? FARCALL_ABORTED : FARCALL_OK);
	}
}

static void
resuming_and_cancelling_race(void **state)
{
	uv_thread_t thread;
	async done;

	(void)state;
	prepare();
	a.answer = FARCALL_PENDING;
	test_pair_start(&pair);
	uv_thread_create(&thread, resumer, &a);
	for (int i = 0; i < 200; i++) {
		farcall_call *call;

		atomic_init(&done.n, 0);
		call = farcall_call_new(pair.channel);
		farcall_call_hold(call);
		pair_test_custom__async(call, &(Pair__Message)PAIR__MESSAGE__INIT, on_done, &done);
		test_wait_for(&a.n_held, i + 1);
		if (i % 3 == 0)
			farcall_call_cancel(call);
		test_wait_for(&done.n, 1);
		farcall_call_free(call);
		test_wait_for(&a.n_begun, i + 1);
		test_wait_for(&a.n_ended, i + 1);
	}
	uv_thread_join(&thread);
	finish();
}

/* Completes what waits, one after the other. */
static void
completer(void *data)
{
	(void)data;
	for (int i = 0; i < 300; i++) {
		test_wait_for(&pair.n_waiting, i + 1);
		farcall_call_complete(pair.waiting[i % 64], FARCALL_OK);
	}
}

/* end never overtakes the hook that sees the reply, in whichever thread that is: what begin has
 * allocated is there for it. */
static void
completing_and_cancelling_race(void **state)
{
	uv_thread_t thread;
	async done;

	(void)state;
	prepare();
	test_pair_start(&pair);
	uv_thread_create(&thread, completer, NULL);
	for (int i = 0; i < 300; i++) {
		farcall_call *call = farcall_call_new(pair.channel);

		farcall_call_hold(call);
		atomic_init(&done.n, 0);
		pair_test_wait__async(call, &(Pair__Message)PAIR__MESSAGE__INIT, on_done, &done);
		test_wait_for(&pair.n_waiting, i + 1);
		if (i % 4 != 0)
			farcall_call_cancel(call);
		test_wait_for(&done.n, 1);
		farcall_call_free(call);
		test_wait_for(&a.n_ended, i + 1);
	}
	uv_thread_join(&thread);
	finish();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(hooks_come_in_order),
	    clean_test(a_refusal_ends_the_call_before_its_handler),
	    clean_test(begin_may_add_metadata),
	    clean_test(what_pends_goes_on_when_it_is_resumed),
	    clean_test(what_pends_may_be_cancelled_or_late),
	    clean_test(what_pends_outlives_its_server),
	    clean_test(what_pends_does_not_count),
	    clean_test(misuse_is_said),
	    clean_test(sixteen_interceptors_and_one_more),
	    clean_test(a_shorter_struct_is_taken),
	    clean_test(a_service_asks_who_may_call),
	    clean_test(end_says_how_it_went),
	    clean_test(hooks_allocate_nothing),
	    clean_test(resuming_and_cancelling_race),
	    clean_test(completing_and_cancelling_race),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
