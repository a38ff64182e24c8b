/*
 * Interceptors on a channel: order, metadata they add, refusals; and what pends: blocking and
 * async, on threads and on a lent loop, with every way to end meanwhile.
 */
#include "tests/pair/hooked.h"

#include <stdio.h>
#include <uv.h>

static hooked a, b;
static test_pair pair;
static char seen_token[64];

static farcall_code
see_token(test_pair *at, farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	const char *token = farcall_metadata_get(farcall_call_metadata(call), "authorization");

	(void)at;
	snprintf(seen_token, sizeof seen_token, "%s", token != NULL ? token : "none");
	*reply = *request;
	return FARCALL_OK;
}

static void
prepare(void)
{
	hooked_init(&a, "a");
	hooked_init(&b, "b");
	hooked_log();
	seen_token[0] = 0;
	test_pair_init(&pair, "mem:interceptors-client");
	pair.custom = see_token;
	test_pair_start(&pair);
	farcall_channel_intercept(pair.channel, &hooked_hooks, sizeof hooked_hooks, &a);
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
blocking(uint64_t timeout_ms)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_call *call = farcall_call_new(pair.channel);
	const Pair__Message *reply = NULL;
	farcall_code code;

	request.text = (char *)"hello";
	farcall_call_add_metadata(call, "who", "me");
	farcall_call_set_timeout_ms(call, timeout_ms);
	code = pair_test_custom(call, &request, &reply);
	snprintf(said, sizeof said, "%s", farcall_call_error(call));
	farcall_call_free(call);
	return code;
}

typedef struct async {
	atomic_int n;
	farcall_code code;
	char error[300];
} async;

static void
on_done(farcall_call *call, farcall_code code, const Pair__Message *reply, void *data)
{
	async *to = (async *)data;

	(void)reply;
	to->code = code;
	snprintf(to->error, sizeof to->error, "%s", farcall_call_error(call));
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
hooks_come_in_order(void **state)
{
	async done;

	(void)state;
	prepare();
	farcall_channel_intercept(pair.channel, &hooked_hooks, sizeof hooked_hooks, &b);
	a.key = "authorization";
	a.value = "Bearer 17";
	assert_int_equal(blocking(60000), FARCALL_OK);
	assert_string_equal(
	    hooked_log(), "begin a, begin b, sent a, sent b, received a, received b, end b, end a");
	assert_string_equal(seen_token, "Bearer 17");
	assert_string_equal(a.path, "/pair.Test/Custom");
	assert_string_equal(a.peer, "mem:interceptors-client");
	assert_int_equal(b.n_metadata, 1); /* what the program has added */
	assert_string_equal(a.seen, "hello");
	assert_int_equal(a.outcome.code, FARCALL_OK);
	assert_int_equal(a.outcome.bytes_sent, 7);
	assert_int_equal(a.outcome.bytes_received, 7);
	assert_int_equal(a.outcome.messages_sent, 1);
	assert_int_equal(a.outcome.messages_received, 1);
	start(&done);
	test_wait_for(&done.n, 1);
	assert_int_equal(done.code, FARCALL_OK);
	assert_string_equal(
	    hooked_log(), "begin a, begin b, sent a, sent b, received a, received b, end b, end a");
	finish();
}

static void
a_refusal_is_not_sent(void **state)
{
	async done;

	(void)state;
	prepare();
	farcall_channel_intercept(pair.channel, &hooked_hooks, sizeof hooked_hooks, &b);
	a.answer = FARCALL_UNAUTHENTICATED;
	a.text = "no token";
	assert_int_equal(blocking(60000), FARCALL_UNAUTHENTICATED);
	assert_string_equal(said, "UNAUTHENTICATED: no token");
	assert_string_equal(hooked_log(), "begin a, end a");
	assert_string_equal(a.error, "no token");
	start(&done);
	test_wait_for(&done.n, 1);
	assert_string_equal(done.error, "UNAUTHENTICATED: no token");
	a.answer = FARCALL_OK;
	a.text = NULL;
	a.key = "Bad Key";
	a.value = "x";
	assert_int_equal(blocking(60000), FARCALL_INVALID_ARGUMENT);
	assert_string_equal(
	    said, "INVALID_ARGUMENT: metadata key \"Bad Key\" has an upper-case letter");
	assert_int_equal(atomic_load(&pair.n_handled), 0);
	finish();
}

static void
end_says_what_failed(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_call *call;

	(void)state;
	prepare();
	call = farcall_call_new(pair.channel);
	request.number = FARCALL_NOT_FOUND;
	request.text = (char *)"no such row";
	pair_test_fail(call, &request, NULL);
	farcall_call_free(call);
	assert_int_equal(a.outcome.code, FARCALL_NOT_FOUND);
	assert_int_equal(a.outcome.cause, FARCALL_CAUSE_NONE);
	assert_string_equal(a.error, "no such row");
	farcall_server_stop(pair.server, 0);
	farcall_server_wait(pair.server);
	assert_int_equal(blocking(60000), FARCALL_UNAVAILABLE);
	assert_int_equal(a.outcome.code, FARCALL_UNAVAILABLE);
	assert_int_equal(a.outcome.cause, FARCALL_CAUSE_CONNECTION_REFUSED);
	assert_int_equal(blocking(0), FARCALL_DEADLINE_EXCEEDED);
	assert_int_equal(a.outcome.code, FARCALL_DEADLINE_EXCEEDED);
	assert_string_equal(
	    hooked_log(), "begin a, sent a, end a, begin a, sent a, end a, begin a, sent a, end a");
	finish();
}

/* ---- what pends ---- */

typedef struct resume {
	farcall_code code;
	const char *text;
	int nth;
} resume;

/* As a token's fetch would: from another thread, with the token. */
static void
resume_it(void *data)
{
	const resume *r = (const resume *)data;
	farcall_call *call = hooked_held(&a, r->nth);

	if (r->text != NULL)
		farcall_call_fail(call, r->code, "%s", r->text);
	else
		farcall_call_add_metadata(call, "authorization", "fetched");
	farcall_intercept_resume(call, r->code);
}

static void
a_blocking_call_waits_for_what_pends(void **state)
{
	resume r = {FARCALL_OK, NULL, 1};
	uv_thread_t thread;

	(void)state;
	prepare();
	farcall_channel_intercept(pair.channel, &hooked_hooks, sizeof hooked_hooks, &b);
	a.answer = FARCALL_PENDING;
	uv_thread_create(&thread, resume_it, &r);
	assert_int_equal(blocking(60000), FARCALL_OK);
	uv_thread_join(&thread);
	assert_string_equal(seen_token, "fetched");
	r = (resume){FARCALL_PERMISSION_DENIED, "not today", 2};
	uv_thread_create(&thread, resume_it, &r);
	assert_int_equal(blocking(60000), FARCALL_PERMISSION_DENIED);
	uv_thread_join(&thread);
	assert_string_equal(said, "PERMISSION_DENIED: not today");
	a.resume_inside = true;
	assert_int_equal(blocking(60000), FARCALL_OK);
	assert_string_equal(seen_token, "none");
	finish();
}

static void
an_async_call_waits_for_what_pends(void **state)
{
	resume r = {FARCALL_OK, NULL, 1};
	async done;

	(void)state;
	prepare();
	farcall_channel_intercept(pair.channel, &hooked_hooks, sizeof hooked_hooks, &b);
	a.answer = FARCALL_PENDING;
	start(&done);
	assert_int_equal(atomic_load(&done.n), 0);
	assert_string_equal(hooked_log(), "begin a");
	resume_it(&r);
	test_wait_for(&done.n, 1);
	assert_int_equal(done.code, FARCALL_OK);
	assert_string_equal(seen_token, "fetched");
	assert_string_equal(hooked_log(), "begin b, received a, received b, end b, end a");
	r = (resume){FARCALL_PERMISSION_DENIED, "not today", 2};
	start(&done);
	resume_it(&r);
	test_wait_for(&done.n, 1);
	assert_string_equal(done.error, "PERMISSION_DENIED: not today");
	finish();
}

/* In each case the interceptor has the call until it resumes it, and end waits for that. */
static void
what_pends_may_end_otherwise(void **state)
{
	resume r = {FARCALL_OK, NULL, 1};
	farcall_call *call;
	async done;

	(void)state;
	prepare();
	a.answer = FARCALL_PENDING;
	assert_int_equal(blocking(20), FARCALL_DEADLINE_EXCEEDED);
	assert_string_equal(said, "DEADLINE_EXCEEDED: after 20 ms, waiting for an interceptor");
	assert_int_equal(atomic_load(&a.n_ended), 0);
	resume_it(&r);
	assert_int_equal(atomic_load(&a.n_ended), 1);
	assert_int_equal(a.outcome.code, FARCALL_DEADLINE_EXCEEDED);

	call = start(&done);
	farcall_call_cancel(call);
	test_wait_for(&done.n, 1);
	assert_int_equal(done.code, FARCALL_CANCELLED);
	r.nth = 2;
	resume_it(&r);
	assert_int_equal(atomic_load(&a.n_ended), 2);

	call = start(&done);
	farcall_channel_close(pair.channel);
	pair.channel = NULL;
	test_wait_for(&done.n, 1);
	assert_string_equal(done.error, "CANCELLED: the channel has been closed");
	r.nth = 3;
	resume_it(&r);
	assert_int_equal(atomic_load(&a.n_ended), 3);
	assert_int_equal(atomic_load(&pair.n_handled), 0);
	finish();
}

/* One thread that steps everything: nothing else may be needed. */
static void
it_works_on_a_lent_loop(void **state)
{
	farcall_loop *loop = farcall_loop_new();
	resume r = {FARCALL_OK, NULL, 1};
	async done;

	(void)state;
	hooked_init(&a, "a");
	hooked_log();
	test_pair_init(&pair, "mem:interceptors-loop");
	pair.custom = see_token;
	farcall_server_set_loop(pair.server, loop);
	farcall_server_intercept(pair.server, &hooked_hooks, sizeof hooked_hooks, &b);
	hooked_init(&b, "b");
	farcall_server_start(pair.server);
	pair.channel = farcall_channel_open(test_pair_address(&pair));
	farcall_channel_set_loop(pair.channel, loop);
	farcall_channel_intercept(pair.channel, &hooked_hooks, sizeof hooked_hooks, &a);
	a.answer = b.answer = FARCALL_PENDING;
	start(&done);
	for (int i = 0; i < 3; i++)
		farcall_loop_step(loop, 0);
	resume_it(&r);
	while (atomic_load(&b.n_held) == 0)
		farcall_loop_step(loop, 10);
	farcall_intercept_resume(b.held, FARCALL_OK);
	while (atomic_load(&done.n) == 0)
		farcall_loop_step(loop, 10);
	assert_int_equal(done.code, FARCALL_OK);
	assert_string_equal(seen_token, "fetched");
	assert_string_equal(
	    hooked_log(), "begin a, begin b, received b, sent b, end b, received a, end a");
	start(&done); /* closed while it pends, and never stepped again */
	farcall_channel_close(pair.channel);
	pair.channel = NULL;
	while (atomic_load(&done.n) == 0)
		farcall_loop_step(loop, 10);
	r.nth = 2;
	resume_it(&r);
	farcall_server_stop(pair.server, 0);
	while (!farcall_server_stopped(pair.server))
		farcall_loop_step(loop, 1);
	finish();
	farcall_loop_free(loop);
}

static void
resumer(void *data)
{
	hooked *h = (hooked *)data;

	for (int i = 0; i < 300; i++) {
		farcall_call *call;

		while ((call = atomic_exchange(&h->held, NULL)) == NULL)
			uv_sleep(0);
		farcall_call_add_metadata(call, "authorization", "fetched");
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
	uv_thread_create(&thread, resumer, &a);
	for (int i = 0; i < 300; i++) {
		farcall_call *call;

		if (i % 3 == 0) {
			blocking(i % 2 == 0 ? 10000 : 1);
		} else {
			call = farcall_call_new(pair.channel);
			farcall_call_hold(call);
			atomic_init(&done.n, 0);
			pair_test_custom__async(
			    call, &(Pair__Message)PAIR__MESSAGE__INIT, on_done, &done);
			if (i % 3 == 1)
				farcall_call_cancel(call);
			test_wait_for(&done.n, 1);
			farcall_call_free(call);
		}
		test_wait_for(&a.n_ended, i + 1);
	}
	uv_thread_join(&thread);
	finish();
}

static void
limits_and_misuse(void **state)
{
	farcall_channel *channel = farcall_channel_open("mem:nowhere");
	farcall_call *call;

	(void)state;
	test_log_catch();
	for (int i = 0; i < 16; i++)
		farcall_channel_intercept(channel, &hooked_hooks, sizeof hooked_hooks, &a);
	assert_int_equal(farcall_channel_code(channel), FARCALL_OK);
	farcall_channel_intercept(channel, &hooked_hooks, sizeof hooked_hooks, &a);
	assert_string_equal(farcall_channel_error(channel), "intercept: more than 16 interceptors");
	assert_int_equal(farcall_channel_code(channel), FARCALL_RESOURCE_EXHAUSTED);
	farcall_channel_close(channel);
	channel = farcall_channel_open("mem:nowhere");
	call = farcall_call_new(channel);
	farcall_channel_intercept(channel, &hooked_hooks, sizeof hooked_hooks, &a);
	assert_string_equal(farcall_channel_error(channel), "intercept after the first call");
	farcall_intercept_resume(call, FARCALL_OK);
	assert_string_equal(test_log_last(), "call: misuse: resume: not a call whose begin pends");
	farcall_call_free(call);
	farcall_channel_close(channel);
	farcall_channel_intercept(NULL, &hooked_hooks, sizeof hooked_hooks, &a);
	test_log_release();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(hooks_come_in_order),
	    clean_test(a_refusal_is_not_sent),
	    clean_test(end_says_what_failed),
	    clean_test(a_blocking_call_waits_for_what_pends),
	    clean_test(an_async_call_waits_for_what_pends),
	    clean_test(what_pends_may_end_otherwise),
	    clean_test(it_works_on_a_lent_loop),
	    clean_test(resuming_and_cancelling_race),
	    clean_test(limits_and_misuse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
