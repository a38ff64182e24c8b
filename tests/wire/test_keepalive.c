/*
 * Keepalive, by gRFC A8: when a peer is asked whether it is there, when it is given up, and when a
 * client asks too often. Each time at the limit and a nanosecond before.
 */
#include "tests/support/test.h"

#include "tests/support/wire.h"

#include <stdio.h>

static const fc_engine_ops *const ops = &fc_h2_engine;

#define TIME (10 * FC_NS_PER_S)
#define TIMEOUT (20 * FC_NS_PER_S)
#define INTERVAL (300 * FC_NS_PER_S)
#define TWO_HOURS (7200 * FC_NS_PER_S)

static void
set_up_client(wire *w)
{
	w->config.keepalive_ns = TIME;
	w->config.keepalive_timeout_ns = TIMEOUT;
}

static void
set_up_server(wire *w)
{
	w->config.keepalive_ns = TWO_HOURS;
	w->config.keepalive_timeout_ns = TIMEOUT;
	w->config.keepalive_without_calls = true;
	w->config.ping_interval_ns = INTERVAL;
}

#define SCENARIO(name, client, set_up)                    \
	static void name##_(wire *w);                     \
	static void name##_opened(wire *w)                \
	{                                                 \
		set_up(w);                                \
		wire_open(w);                             \
		name##_(w);                               \
	}                                                 \
	static void name(void **state)                    \
	{                                                 \
		(void)state;                              \
		wire_run_unopened(name##_opened, client); \
	}                                                 \
	static void name##_(wire *w)
#define CLIENT(name) SCENARIO(name, true, set_up_client)
#define SERVER(name) SCENARIO(name, false, set_up_server)

/* A client with one call, everything said. */
static void
begin_call(wire *w)
{
	wire_greeting(w);
	wire_open_stream(w);
	wire_said(w);
}

static void
gives_up(wire *w, const char *frames, const char *abort)
{
	char seen[400];

	snprintf(seen, sizeof seen,
	    "%sdead UNAVAILABLE (TIMED_OUT) \"keepalive: the peer sent nothing in 20000 ms, no "
	    "answer "
	    "to a PING either\"\n",
	    abort);
	wire_dies(w, frames, seen);
}

#define GOODBYE \
	"NO_ERROR \"keepalive: the peer sent nothing in 20000 ms, no answer to a PING either\"\n"

/* ---- asking ---- */

CLIENT(a_silent_server_is_asked)
{
	begin_call(w);
	wire_tick(w, TIME - 1);
	wire_says(w, "");
	wire_tick(w, 1);
	wire_says(w, "PING fcalive\n");
	for (int i = 0; i < 5; i++) {
		wire_tick(w, TIMEOUT - 1);
		wire_ping(w, true, "fcalive\0");
		wire_tick(w, TIME - 1);
		wire_says(w, "");
		wire_tick(w, 1);
		wire_says(w, "PING fcalive\n");
	}
	wire_sees(w, "");
}

CLIENT(a_silent_server_is_given_up)
{
	begin_call(w);
	wire_tick(w, TIME);
	wire_says(w, "PING fcalive\n");
	wire_tick(w, TIMEOUT - 1);
	wire_sees(w, "");
	wire_tick(w, 1);
	gives_up(w, "GOAWAY 0 " GOODBYE,
	    "abort 1 UNAVAILABLE (TIMED_OUT) \"keepalive: the peer sent nothing in 20000 ms, no "
	    "answer to a PING either\"\n");
	assert_true(ops->due(w->engine) == FC_NEVER);
}

/* Bytes are looked for when the timer is due, and move it no sooner. */
CLIENT(bytes_that_come_move_no_timer)
{
	uint64_t due;

	begin_call(w);
	due = ops->due(w->engine);
	wire_tick(w, TIME / 2);
	wire_response(w, 1);
	assert_true(ops->due(w->engine) == due);
	wire_tick(w, TIME / 2);
	assert_true(ops->due(w->engine) == due + TIME / 2);
	wire_says(w, "");
	wire_tick(w, TIME / 2);
	wire_says(w, "PING fcalive\n");
}

/* A part of a frame, too. */
CLIENT(any_byte_is_a_sign_of_life)
{
	begin_call(w);
	wire_tick(w, TIME);
	wire_says(w, "PING fcalive\n");
	wire_tick(w, TIMEOUT - 1);
	wire_feed(w, "", 1);
	wire_tick(w, 1);
	wire_says(w, "");
	wire_tick(w, TIME - 2);
	wire_says(w, "");
	wire_tick(w, 1);
	wire_says(w, "PING fcalive\n");
	wire_tick(w, TIMEOUT - 1);
	assert_false(wire_is_dead(w));
	wire_tick(w, 1);
	assert_true(wire_is_dead(w));
}

CLIENT(other_answers_are_none)
{
	begin_call(w);
	wire_tick(w, TIME);
	wire_ping(w, true, "fcaliver");
	wire_tick(w, TIME);
	wire_says(w, "PING fcalive\n"); /* still the first one */
	wire_tick(w, TIME);
	assert_false(wire_is_dead(w)); /* yet it was a sign of life */
	wire_says(w, "PING fcalive\n");
}

/* A server has said nothing itself by then. */
SERVER(nobody_is_asked_before_it_has_said_who_it_is)
{
	w->engine->settings_due = FC_NEVER;
	wire_tick(w, TWO_HOURS);
	wire_tick(w, TIMEOUT);
	wire_says(w, "");
	wire_greeting(w);
	wire_tick(w, TWO_HOURS - 1);
	wire_says(w, "");
	wire_tick(w, 1);
	wire_says(w, "PING fcalive\n");
}

/* ---- without calls ---- */

CLIENT(a_client_without_calls_sleeps)
{
	wire_greeting(w);
	wire_tick(w, TIME);
	wire_says(w, "");
	assert_true(ops->due(w->engine) == FC_NEVER);
	w->now += 100 * TIME;
	wire_open_stream(w);
	assert_true(strncmp(wire_said(w), "PING fcalive\nHEADERS 1", 22) == 0);
	/* The time of the PING is that of the next tick, at once. */
	assert_true(ops->due(w->engine) == 0);
	wire_tick(w, 0);
	wire_tick(w, TIMEOUT - 1);
	wire_says(w, "");
	assert_false(wire_is_dead(w));
	wire_tick(w, 1);
	assert_true(wire_is_dead(w));
}

CLIENT(an_answer_that_comes_before_the_tick_will_do)
{
	wire_greeting(w);
	wire_tick(w, TIME);
	w->now += TIME;
	wire_open_stream(w);
	wire_said(w);
	wire_ping(w, true, "fcalive\0");
	assert_true(ops->due(w->engine) == w->now + TIME);
	wire_tick(w, TIME);
	wire_says(w, "PING fcalive\n");
}

CLIENT(a_server_that_spoke_meanwhile_is_not_asked)
{
	wire_greeting(w);
	wire_tick(w, TIME);
	w->now += TIME;
	wire_window(w, 0, 1);
	wire_tick(w, TIME - 1);
	wire_open_stream(w);
	assert_null(strstr(wire_said(w), "PING"));
	wire_tick(w, 1);
	wire_says(w, "PING fcalive\n");
}

/* A PING that is out when the last call ends is waited for all the same. */
CLIENT(the_last_call_ends_while_it_asks)
{
	begin_call(w);
	wire_tick(w, TIME);
	ops->release(w->engine, wire_stream(w, 1));
	wire_says(w, "PING fcalive\nRST 1 CANCEL\n");
	wire_tick(w, TIMEOUT);
	assert_true(wire_is_dead(w));
}

static void
set_up_watchful(wire *w)
{
	set_up_client(w);
	w->config.keepalive_without_calls = true;
}

SCENARIO(a_watchful_client_asks_without_calls, true, set_up_watchful)
{
	wire_greeting(w);
	wire_tick(w, TIME - 1);
	wire_says(w, "");
	wire_tick(w, 1);
	wire_says(w, "PING fcalive\n");
	wire_tick(w, TIMEOUT);
	gives_up(w, "GOAWAY 0 " GOODBYE, "");
}

static void
set_up_nothing(wire *w)
{
	(void)w;
}

SCENARIO(without_keepalive_nothing_is_ever_due, true, set_up_nothing)
{
	begin_call(w);
	assert_true(ops->due(w->engine) == FC_NEVER);
	wire_tick(w, 1000 * TWO_HOURS);
	wire_says(w, "");
	wire_sees(w, "");
}

SERVER(a_server_asks_after_two_hours)
{
	wire_greeting(w);
	wire_tick(w, TWO_HOURS - 1);
	wire_says(w, "");
	wire_tick(w, 1);
	wire_says(w, "PING fcalive\n");
	wire_tick(w, TIMEOUT - 1);
	wire_sees(w, "");
	wire_tick(w, 1);
	gives_up(w, "GOAWAY 0 " GOODBYE, "");
}

/* Both PINGs are out at once: each has its own answer. */
SERVER(a_drain_and_a_question)
{
	wire_greeting(w);
	wire_call(w, 1, true);
	wire_seen(w);
	wire_tick(w, TWO_HOURS);
	ops->drain(w->engine, w->now, "max_age");
	wire_says(w, "PING fcalive\nGOAWAY 2147483647 NO_ERROR \"max_age\"\nPING fcdrain\n");
	wire_ping(w, true, "fcalive\0");
	wire_says(w, "");
	wire_ping(w, true, "fcdrain\0");
	wire_says(w, "GOAWAY 1 NO_ERROR \"max_age\"\n");
	wire_tick(w, TIMEOUT);
	assert_false(wire_is_dead(w));
}

/* ---- being asked ---- */

static void
ping_is_answered(wire *w)
{
	wire_ping(w, false, "question");
	wire_says(w, "PING ack question\n");
}

SERVER(the_third_early_ping_is_one_too_many)
{
	wire_greeting(w);
	wire_call(w, 1, true);
	wire_seen(w);
	ping_is_answered(w); /* the first may come at any time */
	for (int i = 0; i < 4; i++) {
		wire_tick(w, INTERVAL);
		ping_is_answered(w);
	}
	wire_tick(w, INTERVAL - 1);
	ping_is_answered(w);
	wire_tick(w, 1); /* from the last that came in time */
	ping_is_answered(w);
	ping_is_answered(w);
	wire_ping(w, true, "stray..."); /* an answer is no question */
	wire_ping(w, false, "question");
	wire_dies(w, "GOAWAY 1 ENHANCE_YOUR_CALM \"too_many_pings\"\n",
	    "abort 1 CANCELLED (LIMIT) \"too_many_pings\"\n"
	    "dead RESOURCE_EXHAUSTED (LIMIT) \"too_many_pings\"\n");
}

SERVER(without_calls_it_is_two_hours)
{
	wire_greeting(w);
	for (int i = 0; i < 5; i++) {
		ping_is_answered(w);
		w->now += TWO_HOURS;
	}
	ping_is_answered(w);
	w->now += INTERVAL;
	ping_is_answered(w);
	w->now += TWO_HOURS - INTERVAL - 1;
	ping_is_answered(w);
	wire_ping(w, false, "question");
	wire_dies(w, "GOAWAY 0 ENHANCE_YOUR_CALM \"too_many_pings\"\n",
	    "dead RESOURCE_EXHAUSTED (LIMIT) \"too_many_pings\"\n");
}

static void
set_up_permitting(wire *w)
{
	set_up_server(w);
	w->config.pings_without_calls = true;
}

SCENARIO(unless_it_is_permitted, false, set_up_permitting)
{
	wire_greeting(w);
	for (int i = 0; i < 10; i++) {
		ping_is_answered(w);
		wire_tick(w, INTERVAL);
	}
	ping_is_answered(w);
	wire_tick(w, INTERVAL - 1);
	ping_is_answered(w);
	ping_is_answered(w);
	wire_ping(w, false, "question");
	assert_true(wire_is_dead(w));
}

/* What the server says of calls begins the count anew; what it says otherwise does not. */
SERVER(answers_begin_the_count_anew)
{
	wire_greeting(w);
	for (uint32_t id = 1; id < 200; id += 2) {
		wire_call(w, id, true);
		wire_tail(w, id, FARCALL_OK, "");
		wire_release(w, id);
		w->streams[id / 2] = NULL;
		wire_said(w);
		for (int i = 0; i < 3; i++)
			ping_is_answered(w);
	}
	wire_call(w, 201, true);
	wire_rst(w, 201, FC_H2_CANCEL);
	wire_settings(w, NULL, 0);
	wire_says(w, "SETTINGS ack\n");
	assert_false(wire_is_dead(w));
	wire_ping(w, false, "question");
	assert_true(wire_is_dead(w));
}

SCENARIO(without_an_interval_any_may_come, false, set_up_nothing)
{
	wire_greeting(w);
	for (int i = 0; i < 100; i++)
		ping_is_answered(w);
}

/* ---- being told ---- */

CLIENT(too_many_pings_is_told_apart)
{
	wire_greeting(w);
	wire_goaway(w, 7, FC_H2_NO_ERROR, "too_many_pings");
	wire_goaway(w, 7, FC_H2_ENHANCE_YOUR_CALM, "too_many_pings!");
	wire_goaway(w, 7, FC_H2_ENHANCE_YOUR_CALM, "too_many_ping");
	wire_goaway(w, 7, FC_H2_ENHANCE_YOUR_CALM, "");
	assert_null(strstr(wire_seen(w), "too many pings"));
	assert_int_equal(w->engine->farewell.code, FARCALL_RESOURCE_EXHAUSTED);
	wire_goaway(w, 7, FC_H2_ENHANCE_YOUR_CALM, "too_many_pings");
	wire_sees(w, "too many pings, every 10000 ms\n");
	assert_int_equal(w->engine->farewell.code, FARCALL_UNAVAILABLE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(a_silent_server_is_asked),
	    clean_test(a_silent_server_is_given_up),
	    clean_test(bytes_that_come_move_no_timer),
	    clean_test(any_byte_is_a_sign_of_life),
	    clean_test(other_answers_are_none),
	    clean_test(nobody_is_asked_before_it_has_said_who_it_is),
	    clean_test(a_client_without_calls_sleeps),
	    clean_test(an_answer_that_comes_before_the_tick_will_do),
	    clean_test(a_server_that_spoke_meanwhile_is_not_asked),
	    clean_test(the_last_call_ends_while_it_asks),
	    clean_test(a_watchful_client_asks_without_calls),
	    clean_test(without_keepalive_nothing_is_ever_due),
	    clean_test(a_server_asks_after_two_hours),
	    clean_test(a_drain_and_a_question),
	    clean_test(the_third_early_ping_is_one_too_many),
	    clean_test(without_calls_it_is_two_hours),
	    clean_test(unless_it_is_permitted),
	    clean_test(answers_begin_the_count_anew),
	    clean_test(without_an_interval_any_may_come),
	    clean_test(too_many_pings_is_told_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
