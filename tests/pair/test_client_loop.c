/*
 * test_client_loop.c: a channel on a loop that the program turns: steps, poll(), blocking calls
 * that step by themselves, what is refused inside a step, and closing without another step.
 */
#include "tests/support/pair.h"

#include <farcall/uv.h>

#include <poll.h>
#include <stdio.h>

typedef struct fixture {
	farcall_loop *loop;
	test_pair pair; /* its server on the same loop */
	farcall_channel *channel;
} fixture;

static void
begin(fixture *f, const char *address)
{
	f->loop = farcall_loop_new();
	test_pair_init(&f->pair, address);
	farcall_server_set_loop(f->pair.server, f->loop);
	assert_int_equal(farcall_server_start(f->pair.server), FARCALL_OK);
	f->channel = farcall_channel_open(test_pair_address(&f->pair));
	farcall_channel_set_loop(f->channel, f->loop);
}

static void
end(fixture *f)
{
	farcall_channel_close(f->channel);
	farcall_server_stop(f->pair.server, 0);
	for (int i = 0; i < 3000 && !farcall_server_stopped(f->pair.server); i++)
		farcall_loop_step(f->loop, 1);
	farcall_server_free(f->pair.server);
	farcall_loop_free(f->loop);
}

typedef struct outcome {
	int times;
	farcall_code code;
	farcall_channel *channel;
	farcall_code inner;
	char text[128];
} outcome;

static void
note(farcall_call *call, farcall_code code, const Pair__Message *reply, void *data)
{
	outcome *to = (outcome *)data;

	(void)reply;
	to->times++;
	to->code = code;
	farcall_call_free(call);
}

static farcall_call *
start(farcall_channel *channel, outcome *to)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_call *call = farcall_call_new(channel);

	farcall_call_set_timeout_ms(call, 60000);
	memset(to, 0, sizeof *to);
	pair_test_echo__async(call, &request, note, to);
	assert_int_equal(to->times, 0);
	return call;
}

static void
a_step_does_what_is_due(void **state)
{
	outcome to[10];
	fixture f;

	(void)state;
	begin(&f, "127.0.0.1:0");
	for (int i = 0; i < 10; i++)
		start(f.channel, &to[i]);
	assert_int_equal(farcall_loop_timeout_ms(f.loop), 0);
	for (int i = 0; i < 1000 && to[9].times == 0; i++)
		assert_int_equal(farcall_loop_step(f.loop, 100), FARCALL_OK);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(to[i].times, 1);
		assert_int_equal(to[i].code, FARCALL_OK);
	}
	end(&f);
}

static void
the_descriptor_tells_when_to_step(void **state)
{
	struct pollfd files;
	outcome to;
	fixture f;
	int rounds;

	(void)state;
	begin(&f, "127.0.0.1:0");
	files.fd = (int)farcall_loop_fd(f.loop);
	files.events = POLLIN;
	for (int i = 0; i < 20; i++) {
		start(f.channel, &to);
		for (rounds = 0; rounds < 100 && to.times == 0; rounds++) {
			poll(&files, 1, farcall_loop_timeout_ms(f.loop));
			farcall_loop_step(f.loop, 0);
		}
		assert_int_equal(to.code, FARCALL_OK);
	}
	end(&f);
}

static void
a_blocking_call_steps_by_itself(void **state)
{
	outcome to;
	fixture f;

	(void)state;
	begin(&f, "127.0.0.1:0");
	assert_int_equal(test_echo(f.channel, "on one thread"), FARCALL_OK);
	start(f.channel, &to);
	assert_int_equal(test_echo(f.channel, "beside another"), FARCALL_OK);
	for (int i = 0; i < 100 && to.times == 0; i++)
		farcall_loop_step(f.loop, 10);
	assert_int_equal(to.code, FARCALL_OK);
	assert_int_equal(farcall_channel_wait_ready(f.channel, 1000), FARCALL_OK);
	end(&f);
}

static void
call_inside(farcall_call *call, farcall_code code, const Pair__Message *reply, void *data)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	outcome *to = (outcome *)data;
	farcall_call *inner = farcall_call_new(to->channel);

	to->inner = pair_test_echo(inner, &request, NULL);
	snprintf(to->text, sizeof to->text, "%s", farcall_call_error(inner));
	farcall_call_free(inner);
	note(call, code, reply, data);
}

static void
blocking_inside_a_step_is_refused(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	outcome to = {.times = 0};
	fixture f;

	(void)state;
	begin(&f, "127.0.0.1:0");
	to.channel = f.channel;
	pair_test_echo__async(farcall_call_new(f.channel), &request, call_inside, &to);
	for (int i = 0; i < 100 && to.times == 0; i++)
		farcall_loop_step(f.loop, 10);
	assert_int_equal(to.code, FARCALL_OK);
	assert_int_equal(to.inner, FARCALL_FAILED_PRECONDITION);
	assert_string_equal(to.text,
	    "FAILED_PRECONDITION: a blocking call inside a step of the channel's own loop");
	end(&f);
}

static void
close_in_callback(farcall_call *call, farcall_code code, const Pair__Message *reply, void *data)
{
	outcome *to = (outcome *)data;

	farcall_channel_close(to->channel);
	note(call, code, reply, data);
}

/* false: the first step came so late that the deadline had passed. */
static bool
closes_under_a_blocking_call(unsigned ms)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_loop *loop = farcall_loop_new();
	farcall_channel *channel = farcall_channel_open("mem:nobody");
	outcome to = {.channel = channel};
	farcall_call *call, *second;
	bool in_time;

	farcall_channel_set_loop(channel, loop);
	call = farcall_call_new(channel);
	second = farcall_call_new(channel);
	farcall_call_set_wait_for_ready(call, true);
	farcall_call_set_timeout_ms(call, ms);
	pair_test_echo__async(call, &request, close_in_callback, &to);
	farcall_loop_step(loop, 0);
	in_time = to.times == 0;
	uv_sleep(2 * ms);
	assert_int_equal(pair_test_echo(second, &request, NULL), FARCALL_CANCELLED);
	assert_string_equal(farcall_call_error(second), "CANCELLED: the channel has been closed");
	assert_int_equal(to.times, 1);
	assert_int_equal(to.code, FARCALL_DEADLINE_EXCEEDED);
	farcall_call_free(second);
	farcall_loop_free(loop);
	return in_time;
}

/* The call steps the loop before it begins, since nobody has for a while; in that step the channel
 * is closed and gives its loop back. */
static void
a_callback_closes_the_channel_under_a_blocking_call(void **state)
{
	unsigned ms = 20;

	(void)state;
	while (!closes_under_a_blocking_call(ms))
		ms *= 4;
}

static void
blocking_on_a_guest_is_refused(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_channel *channel;
	farcall_call *call;
	farcall_loop *loop;
	uv_loop_t uv;

	(void)state;
	uv_loop_init(&uv);
	loop = farcall_loop_from_uv(&uv);
	channel = farcall_channel_open("mem:nobody");
	farcall_channel_set_loop(channel, loop);
	call = farcall_call_new(channel);
	assert_int_equal(pair_test_echo(call, &request, NULL), FARCALL_FAILED_PRECONDITION);
	assert_non_null(strstr(farcall_call_error(call), "uv_loop_t"));
	farcall_call_free(call);
	assert_int_equal(farcall_channel_wait_ready(channel, 10), FARCALL_FAILED_PRECONDITION);
	farcall_channel_close(channel);
	farcall_loop_free(loop);
	uv_run(&uv, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&uv), 0);
}

static void
a_guest_calls_without_blocking(void **state)
{
	farcall_channel *channel;
	farcall_loop *loop;
	test_pair pair;
	outcome to;
	uv_loop_t uv;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	test_pair_start(&pair);
	uv_loop_init(&uv);
	loop = farcall_loop_from_uv(&uv);
	channel = farcall_channel_open(test_pair_address(&pair));
	farcall_channel_set_loop(channel, loop);
	for (int i = 0; i < 5; i++) {
		start(channel, &to);
		while (to.times == 0)
			uv_run(&uv, UV_RUN_ONCE);
		assert_int_equal(to.code, FARCALL_OK);
	}
	farcall_channel_close(channel);
	farcall_loop_free(loop);
	uv_run(&uv, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&uv), 0);
	test_pair_fini(&pair);
}

static void
failed_loops_fail_the_channel(void **state)
{
	farcall_channel *channel = farcall_channel_open("mem:nobody");

	(void)state;
	farcall_channel_set_loop(channel, NULL);
	assert_int_equal(farcall_channel_code(channel), FARCALL_FAILED_PRECONDITION);
	farcall_channel_close(channel);
}

/* ---- closing ---- */

/* The loop may be freed right after, with no step between, though a connection was open. */
static void
closing_needs_no_step(void **state)
{
	farcall_channel *channel;
	farcall_loop *loop;
	test_pair pair;

	(void)state;
	test_log_catch();
	test_pair_init(&pair, "127.0.0.1:0");
	test_pair_start(&pair);
	loop = farcall_loop_new();
	channel = farcall_channel_open(test_pair_address(&pair));
	farcall_channel_set_loop(channel, loop);
	assert_int_equal(test_echo(channel, "x"), FARCALL_OK);
	farcall_channel_close(channel);
	farcall_loop_free(loop);
	assert_int_equal(test_log_count(), 0);

	loop = farcall_loop_new(); /* and one that was never used */
	channel = farcall_channel_open(test_pair_address(&pair));
	farcall_channel_set_loop(channel, loop);
	farcall_channel_close(channel);
	farcall_loop_free(loop);
	assert_int_equal(test_log_count(), 0);
	test_pair_fini(&pair);
	test_log_release();
}

static void
a_call_outlives_its_channel_and_loop(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	const Pair__Message *reply = NULL;
	farcall_call *call;
	fixture f;

	(void)state;
	begin(&f, "mem:outlives");
	call = farcall_call_new(f.channel);
	request.text = (char *)(uintptr_t) "still there";
	assert_int_equal(pair_test_echo(call, &request, &reply), FARCALL_OK);
	end(&f);
	assert_string_equal(reply->text, "still there");
	farcall_call_cancel(call);
	farcall_call_free(call);
}

static void
pending_callbacks_come_after_close(void **state)
{
	outcome before, after;
	fixture f;

	(void)state;
	begin(&f, "127.0.0.1:0");
	assert_int_equal(test_echo(f.channel, "connected"), FARCALL_OK);
	start(f.channel, &before);
	farcall_loop_step(f.loop, 0);
	start(f.channel, &after); /* not begun yet */
	farcall_channel_close(f.channel);
	f.channel = NULL;
	for (int i = 0; i < 10; i++)
		farcall_loop_step(f.loop, 0);
	assert_int_equal(before.times, 1);
	assert_int_equal(before.code, FARCALL_CANCELLED);
	assert_int_equal(after.times, 1);
	assert_int_equal(after.code, FARCALL_CANCELLED);
	end(&f);
}

static void
close_inside(farcall_call *call, farcall_code code, const Pair__Message *reply, void *data)
{
	outcome *to = (outcome *)data;

	note(call, code, reply, data);
	farcall_channel_close(to->channel);
}

static void
a_callback_may_close_the_channel(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	outcome to = {.times = 0}, other;
	fixture f;

	(void)state;
	begin(&f, "127.0.0.1:0");
	to.channel = f.channel;
	pair_test_echo__async(farcall_call_new(f.channel), &request, close_inside, &to);
	start(f.channel, &other);
	for (int i = 0; i < 100 && (to.times == 0 || other.times == 0); i++)
		farcall_loop_step(f.loop, 10);
	assert_int_equal(to.code, FARCALL_OK);
	assert_int_equal(other.times, 1);
	f.channel = NULL;
	end(&f);
}

/* Every kind of set-up, failing at each of its allocations, with blocking calls. */
static void
blocking_without_memory(void **state)
{
	farcall_channel *channel;
	farcall_code code = FARCALL_OK;
	test_pair pair;

	(void)state;
	test_log_catch();
	test_pair_init(&pair, "mem:blocking-oom");
	test_pair_start(&pair);
	for (size_t nth = 1; nth < 200; nth++) {
		Pair__Message request = PAIR__MESSAGE__INIT;
		farcall_call *call;

		test_allocator_fail_at(nth, false);
		channel = farcall_channel_open("mem:blocking-oom");
		call = farcall_call_new(channel);
		farcall_call_set_timeout_ms(call, 60000);
		code = pair_test_echo(call, &request, NULL);
		farcall_call_free(call);
		farcall_channel_close(channel);
		assert_true(code == FARCALL_OK || code == FARCALL_RESOURCE_EXHAUSTED ||
		    code == FARCALL_UNAVAILABLE || code == FARCALL_INTERNAL);
		if (!test_allocator_failed())
			break;
	}
	assert_false(test_allocator_failed());
	assert_int_equal(code, FARCALL_OK);
	test_allocator_fail_at(0, false);
	test_pair_fini(&pair);
	test_log_release();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(a_step_does_what_is_due),
	    clean_test(the_descriptor_tells_when_to_step),
	    clean_test(a_blocking_call_steps_by_itself),
	    clean_test(blocking_inside_a_step_is_refused),
	    clean_test(a_callback_closes_the_channel_under_a_blocking_call),
	    clean_test(blocking_on_a_guest_is_refused),
	    clean_test(a_guest_calls_without_blocking),
	    clean_test(failed_loops_fail_the_channel),
	    clean_test(closing_needs_no_step),
	    clean_test(a_call_outlives_its_channel_and_loop),
	    clean_test(pending_callbacks_come_after_close),
	    clean_test(a_callback_may_close_the_channel),
	    clean_test(blocking_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
