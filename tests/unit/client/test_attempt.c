/*
 * test_attempt.c: calls against a server that does what the test says, on one loop with a virtual
 * clock: what counts as an answer, deadlines to the nanosecond, queues.
 */
#include "tests/unit/client/attempts.h"

/* ---- what counts as an answer ---- */

static void
answer_none(tiny_call *call)
{
	tiny_end(call, FARCALL_OK, "");
}

static void
answer_two(tiny_call *call)
{
	tiny_send(call, "", 0);
	tiny_send(call, "", 0);
	tiny_end(call, FARCALL_OK, "");
}

static void
answer_rubbish(tiny_call *call)
{
	tiny_send(call, "\x0a\x02\xff\xff", 4);
	tiny_end(call, FARCALL_OK, "");
}

static void
answer_message_and_failure(tiny_call *call)
{
	tiny_send(call, "", 0);
	tiny_end(call, FARCALL_ABORTED, "after all");
}

static void
answer_cancelled(tiny_call *call)
{
	tiny_end(call, FARCALL_CANCELLED, "by the server");
}

static void
a_unary_answer_is_one_message_and_ok(void **state)
{
	fixture f;

	(void)state;
	begin(&f);
	f.server.on_complete = echo_nothing;
	assert_int_equal(call_with_timeout(&f, UINT64_MAX), FARCALL_OK);
	assert_string_equal(error_text, "");
	f.server.on_complete = answer_none;
	assert_int_equal(call_with_timeout(&f, UINT64_MAX), FARCALL_INTERNAL);
	assert_string_equal(error_text, "INTERNAL: no response message");
	f.server.on_complete = answer_two;
	assert_int_equal(call_with_timeout(&f, UINT64_MAX), FARCALL_INTERNAL);
	assert_string_equal(error_text, "INTERNAL: more than one response message");
	f.server.on_complete = answer_message_and_failure;
	assert_int_equal(call_with_timeout(&f, UINT64_MAX), FARCALL_ABORTED);
	assert_string_equal(error_text, "ABORTED: after all");
	f.server.on_complete = answer_rubbish;
	assert_int_equal(call_with_timeout(&f, UINT64_MAX), FARCALL_INTERNAL);
	assert_non_null(strstr(error_text, "INTERNAL: response: pair.Message.text"));
	f.server.on_complete = echo_nothing;
	assert_int_equal(call_with_timeout(&f, UINT64_MAX), FARCALL_OK);
	assert_int_equal(f.server.n_conns, 1);
	end(&f);
}

/* ---- deadlines ---- */

static void
a_deadline_is_kept_to_the_nanosecond(void **state)
{
	fixture f;
	outcome to;
	farcall_call *call;
	uint64_t start;

	(void)state;
	begin(&f);
	f.server.on_complete = keep;
	start = f.clock.now;
	assert_int_equal(call_with_timeout(&f, 1234), FARCALL_DEADLINE_EXCEEDED);
	assert_int_equal(f.clock.now - start, 1234 * FC_NS_PER_MS);
	assert_string_equal(
	    error_text, "DEADLINE_EXCEEDED: after 1234 ms, waiting for mem:attempt to answer");

	start = f.clock.now;
	call = start_async(&f, 2000, false, &to);
	while (to.times == 0)
		fc_loop_turn(f.loop, FC_NEVER);
	assert_int_equal(f.clock.now - start, 2000 * FC_NS_PER_MS);
	assert_int_equal(to.code, FARCALL_DEADLINE_EXCEEDED);
	farcall_call_free(call);
	end(&f);
}

static void
one_in_time_is_not_late(void **state)
{
	fixture f;
	outcome to;
	farcall_call *call;

	(void)state;
	begin(&f);
	f.server.on_complete = keep;
	call = start_async(&f, 1000, false, &to);
	turns(&f, 20);
	assert_int_equal(n_kept, 1);
	f.clock.now += 999 * FC_NS_PER_MS + 999999;
	echo_nothing(kept[0]);
	turns(&f, 3);
	assert_int_equal(to.times, 1);
	assert_int_equal(to.code, FARCALL_OK);
	farcall_call_free(call);
	end(&f);
}

static void
past_deadlines_send_nothing(void **state)
{
	fixture f;

	(void)state;
	begin(&f);
	f.server.on_complete = echo_nothing;
	assert_int_equal(call_with_timeout(&f, 0), FARCALL_DEADLINE_EXCEEDED);
	assert_int_equal(call_with_timeout(&f, UINT64_MAX), FARCALL_OK);
	assert_int_equal(f.server.n_requests, 1);
	end(&f);
}

static void
cancelled_after_the_deadline_is_the_deadline(void **state)
{
	fixture f;
	outcome to;
	farcall_call *call;

	(void)state;
	begin(&f);
	f.server.on_complete = answer_cancelled;
	assert_int_equal(call_with_timeout(&f, 1000), FARCALL_CANCELLED);
	assert_string_equal(error_text, "CANCELLED: by the server");
	f.server.on_complete = keep;
	call = start_async(&f, 1000, false, &to);
	turns(&f, 20);
	answer_cancelled(kept[0]);
	/* Both in one turn: the answer is read before timers run. */
	f.clock.now += 1000 * FC_NS_PER_MS;
	turns(&f, 3);
	assert_int_equal(to.times, 1);
	assert_int_equal(to.code, FARCALL_DEADLINE_EXCEEDED);
	farcall_call_free(call);
	end(&f);
}

static void
the_channels_timeout_is_the_default(void **state)
{
	fixture f;
	uint64_t start;

	(void)state;
	begin(&f);
	farcall_channel_set_timeout_ms(f.channel, 700);
	f.server.on_complete = keep;
	start = f.clock.now;
	assert_int_equal(call_with_timeout(&f, UINT64_MAX), FARCALL_DEADLINE_EXCEEDED);
	assert_int_equal(f.clock.now - start, 700 * FC_NS_PER_MS);
	start = f.clock.now;
	assert_int_equal(call_with_timeout(&f, 900), FARCALL_DEADLINE_EXCEEDED);
	assert_int_equal(f.clock.now - start, 900 * FC_NS_PER_MS);
	end(&f);
}

static void
the_deadline_bounds_connecting(void **state)
{
	fixture f;
	outcome to;
	farcall_call *call;

	(void)state;
	begin_stopped(&f);
	call = start_async(&f, 5000, true, &to);
	while (to.times == 0)
		fc_loop_turn(f.loop, FC_NEVER);
	assert_int_equal(to.code, FARCALL_DEADLINE_EXCEEDED);
	assert_string_equal(to.error,
	    "DEADLINE_EXCEEDED: after 5000 ms, waiting for mem:attempt to connect (last failure: "
	    "connection refused)");
	farcall_call_free(call);
	end_stopped(&f);
}

/* ---- queues ---- */

static void
calls_above_the_peers_limit_wait_their_turn(void **state)
{
	enum { LIMIT = 5, CALLS = 23 };
	fixture f;
	outcome to[CALLS];
	farcall_call *calls[CALLS];
	int done = 0;

	(void)state;
	begin_stopped(&f);
	f.server.config.max_streams = LIMIT;
	f.server.on_complete = keep;
	tiny_start(&f.server, f.loop, "mem:attempt");
	for (int i = 0; i < CALLS; i++)
		calls[i] = start_async(&f, UINT64_MAX, false, &to[i]);
	turns(&f, 20);
	assert_int_equal(n_kept, LIMIT);
	while (done < CALLS) {
		for (int i = 0; i < n_kept; i++)
			echo_nothing(kept[i]);
		done += n_kept;
		assert_true(n_kept <= LIMIT);
		n_kept = 0;
		turns(&f, 10);
	}
	for (int i = 0; i < CALLS; i++) {
		assert_int_equal(to[i].times, 1);
		assert_int_equal(to[i].code, FARCALL_OK);
		farcall_call_free(calls[i]);
	}
	assert_int_equal(f.server.n_requests, CALLS);
	assert_int_equal(f.server.n_conns, 1);
	end(&f);
}

static void
a_queued_call_can_be_cancelled_and_be_late(void **state)
{
	fixture f;
	outcome first, second, third;
	farcall_call *calls[3];

	(void)state;
	begin_stopped(&f);
	f.server.config.max_streams = 1;
	f.server.on_complete = keep;
	tiny_start(&f.server, f.loop, "mem:attempt");
	calls[0] = start_async(&f, UINT64_MAX, false, &first);
	turns(&f, 20);
	calls[1] = start_async(&f, UINT64_MAX, false, &second);
	calls[2] = start_async(&f, 100, false, &third);
	turns(&f, 5);
	farcall_call_cancel(calls[1]);
	turns(&f, 5);
	assert_int_equal(second.times, 1);
	assert_int_equal(second.code, FARCALL_CANCELLED);
	while (third.times == 0)
		fc_loop_turn(f.loop, FC_NEVER);
	assert_int_equal(third.code, FARCALL_DEADLINE_EXCEEDED);
	assert_string_equal(third.error,
	    "DEADLINE_EXCEEDED: after 100 ms, waiting for mem:attempt to have room for the call");
	assert_int_equal(f.server.n_requests, 1);
	echo_nothing(kept[0]);
	turns(&f, 5);
	assert_int_equal(first.code, FARCALL_OK);
	for (int i = 0; i < 3; i++)
		farcall_call_free(calls[i]);
	end(&f);
}

typedef struct chain {
	fixture *f;
	farcall_call *next;
	outcome of_next;
} chain;

static void
take_long_and_go_on(farcall_call *call, farcall_code code, const Pair__Message *reply, void *data)
{
	chain *c = (chain *)data;

	(void)reply;
	assert_int_equal(code, FARCALL_OK);
	c->f->clock.now += 500 * FC_NS_PER_MS;
	c->next = start_async(c->f, 200, false, &c->of_next);
	farcall_call_free(call);
}

/* The turn in which it starts has lasted longer than its time-out by then. */
static void
a_deadline_counts_from_the_start_also_in_a_long_turn(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	fixture f;
	chain c;

	(void)state;
	begin(&f);
	f.server.on_complete = echo_nothing;
	memset(&c, 0, sizeof c);
	c.f = &f;
	pair_test_echo__async(farcall_call_new(f.channel), &request, take_long_and_go_on, &c);
	while (c.of_next.times == 0)
		fc_loop_turn(f.loop, FC_NEVER);
	assert_string_equal(c.of_next.error, "");
	assert_int_equal(c.of_next.code, FARCALL_OK);
	farcall_call_free(c.next);
	end(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(a_unary_answer_is_one_message_and_ok),
	    clean_test(a_deadline_is_kept_to_the_nanosecond),
	    clean_test(one_in_time_is_not_late),
	    clean_test(past_deadlines_send_nothing),
	    clean_test(a_deadline_counts_from_the_start_also_in_a_long_turn),
	    clean_test(cancelled_after_the_deadline_is_the_deadline),
	    clean_test(the_channels_timeout_is_the_default),
	    clean_test(the_deadline_bounds_connecting),
	    clean_test(calls_above_the_peers_limit_wait_their_turn),
	    clean_test(a_queued_call_can_be_cancelled_and_be_late),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
