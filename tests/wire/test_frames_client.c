/*
 * A client's frames by RFC 9113: each case whole and one byte at a time.
 */
#include "tests/support/test.h"

#include "tests/support/wire.h"

#include <stdio.h>

static const fc_engine_ops *const ops = &fc_h2_engine;

#define CLIENT(name)                     \
	static void name##_(wire *w);    \
	static void name(void **state)   \
	{                                \
		(void)state;             \
		wire_run(name##_, true); \
	}                                \
	static void name##_(wire *w)

#define FIRST_CALL                                                                 \
	" :method=POST :scheme=http :path=/t.T/Say :authority=host:1 te=trailers " \
	"content-type=application/grpc user-agent=wire/1\n"

CLIENT(introduces_itself_at_once)
{
	wire_says(w, "SETTINGS 2=0 4=65535 6=8192\n");
	wire_settings(w, NULL, 0);
	wire_sees(w, "ready\n");
	wire_settings(w, NULL, 0);
	wire_sees(w, "");
	wire_says(w, "SETTINGS ack\nSETTINGS ack\n");
}

static const struct {
	const char *bytes;
	size_t size;
	const char *text;
} strangers[] = {
    {"HTTP/1.1 400 Bad Request\r\n", 26, "the server speaks HTTP/1, not HTTP/2"},
    {"HTTP/1", 6, "the server speaks HTTP/1, not HTTP/2"}, /* … and closes */
    {"\x15\x03\x01\0\2\2\x46", 7, "the server speaks TLS (it sent an alert), not plaintext HTTP/2"},
    {"SSH-2.0-OpenSSH_9\r\n", 19, "the server speaks SSH, not HTTP/2"},
    {"220 smtp.example.com ESMTP\r\n", 28,
        "the server does not speak HTTP/2: its first bytes are no SETTINGS frame"},
};
static size_t stranger;

static void
what_the_server_speaks_(wire *w)
{
	char events[400], frames[400];

	wire_open_stream(w);
	wire_said(w);
	wire_feed(w, strangers[stranger].bytes, strangers[stranger].size);
	ops->end(w->engine, NULL);
	snprintf(events, sizeof events,
	    "abort 1 UNAVAILABLE (PROTOCOL) \"%s\"\ndead UNAVAILABLE (PROTOCOL) \"%s\"\n",
	    strangers[stranger].text, strangers[stranger].text);
	snprintf(
	    frames, sizeof frames, "GOAWAY 0 PROTOCOL_ERROR \"%s\"\n", strangers[stranger].text);
	wire_sees(w, events);
	wire_says(w, frames);
}

static void
what_the_server_speaks(void **state)
{
	(void)state;
	for (stranger = 0; stranger < FC_COUNT(strangers); stranger++)
		wire_run(what_the_server_speaks_, true);
}

CLIENT(a_server_that_says_nothing)
{
	wire_open_stream(w);
	wire_said(w);
	wire_tick(w, 10 * FC_NS_PER_S);
	wire_sees(w,
	    "abort 1 UNAVAILABLE (TIMED_OUT) \"the peer sent no SETTINGS in 10000 ms\"\n"
	    "dead UNAVAILABLE (TIMED_OUT) \"the peer sent no SETTINGS in 10000 ms\"\n");
}

CLIENT(a_server_that_closes_at_once)
{
	wire_open_stream(w);
	wire_said(w);
	ops->end(w->engine, NULL);
	wire_sees(w,
	    "abort 1 UNAVAILABLE (CONNECTION_LOST) \"the peer closed the connection before it "
	    "spoke "
	    "HTTP/2\"\n"
	    "dead UNAVAILABLE (CONNECTION_LOST) \"the peer closed the connection before it spoke "
	    "HTTP/2\"\n");
}

CLIENT(makes_a_call)
{
	wire_greeting(w);
	assert_int_equal(wire_open_stream(w), 1);
	assert_int_equal(wire_send(w, 1, "hello", true), FC_SEND_OK);
	assert_int_equal(wire_send(w, 1, "more", true), FC_SEND_GONE);
	assert_int_equal(ops->half_close(w->engine, wire_stream(w, 1)), FC_SEND_GONE);
	wire_says(w, "HEADERS 1" FIRST_CALL "DATA 1 end 000000000568656c6c6f\n");
	wire_response(w, 1);
	wire_message(w, 1, false, "world");
	wire_trailers(w, 1, "0", NULL);
	wire_sees(w, "head 1\nmessage 1 \"world\"\ntail 1 OK\n");
	wire_says(w, "");
	wire_release(w, 1);
	/* The second call finds its fields in the table, the third the block made of them. */
	for (uint32_t id = 3; id < 9; id += 2) {
		size_t before;

		wire_take_output(w);
		before = w->out_size;
		assert_int_equal(wire_open_stream(w), id);
		wire_take_output(w);
		assert_int_equal(w->out_size - before, 9 + 7);
		wire_said(w);
		assert_int_equal(ops->half_close(w->engine, wire_stream(w, id)), FC_SEND_OK);
		wire_says(w,
		    id == 3       ? "DATA 3 end \"\"\n"
		        : id == 5 ? "DATA 5 end \"\"\n"
		                  : "DATA 7 end \"\"\n");
	}
}

static const struct {
	const char *name;
	unsigned type, flags;
	uint32_t id, size;
	const char *payload;
	const char *code, *text;
} bad_frames[] = {
    {"PUSH_PROMISE", FC_H2_PUSH_PROMISE, 4, 1, 5, "\0\0\0\2\x88", "PROTOCOL_ERROR",
        "PUSH_PROMISE on stream 1, but push is switched off"},
    {"HEADERS on even", FC_H2_HEADERS, 4, 2, 1, "\x88", "PROTOCOL_ERROR",
        "HEADERS on stream 2: the peer may not use this number"},
    {"HEADERS on idle", FC_H2_HEADERS, 4, 3, 1, "\x88", "PROTOCOL_ERROR",
        "HEADERS on stream 3: the peer may not use this number"},
    {"DATA on idle", FC_H2_DATA, 0, 3, 1, "x", "PROTOCOL_ERROR",
        "DATA on stream 3, which is not open"},
    {"RST_STREAM on idle", FC_H2_RST_STREAM, 0, 3, 4, "\0\0\0\0", "PROTOCOL_ERROR",
        "RST_STREAM on stream 3, which is not open"},
    {"ENABLE_PUSH 1", FC_H2_SETTINGS, 0, 0, 6, "\0\2\0\0\0\1", "PROTOCOL_ERROR",
        "SETTINGS: ENABLE_PUSH is 1, not 0 to 0"},
    {"HEADERS undecodable", FC_H2_HEADERS, 4, 1, 1, "\xff", "COMPRESSION_ERROR",
        "the header block of stream 1 cannot be decoded"},
};
static size_t bad;

static void
frame_that_breaks_a_rule_(wire *w)
{
	char events[400], frames[400];

	wire_greeting(w);
	wire_open_stream(w);
	wire_said(w);
	wire_frame(w, bad_frames[bad].type, bad_frames[bad].flags, bad_frames[bad].id,
	    bad_frames[bad].payload, bad_frames[bad].size);
	snprintf(events, sizeof events,
	    "abort 1 UNAVAILABLE (PROTOCOL) \"%s\"\ndead UNAVAILABLE (PROTOCOL) \"%s\"\n",
	    bad_frames[bad].text, bad_frames[bad].text);
	snprintf(frames, sizeof frames, "GOAWAY 0 %s \"%s\"\n", bad_frames[bad].code,
	    bad_frames[bad].text);
	wire_sees(w, events);
	wire_says(w, frames);
}

static void
frames_that_break_a_rule(void **state)
{
	(void)state;
	for (bad = 0; bad < FC_COUNT(bad_frames); bad++)
		wire_run(frame_that_breaks_a_rule_, true);
}

CLIENT(keeps_the_servers_limit)
{
	static const uint32_t two[] = {3, 2}, three[] = {3, 3}, none[] = {3, 0};

	assert_int_equal(ops->can_open(w->engine), 100); /* before the server has spoken */
	wire_settings(w, two, 1);
	wire_ack(w);
	wire_seen(w);
	assert_int_equal(ops->can_open(w->engine), 2);
	assert_int_equal(wire_open_stream(w), 1);
	assert_int_equal(wire_open_stream(w), 3);
	assert_int_equal(ops->can_open(w->engine), 0);
	assert_int_equal(wire_open_stream(w), 0);
	wire_settings(w, three, 1);
	wire_sees(w, "capacity\n");
	assert_int_equal(wire_open_stream(w), 5);
	assert_int_equal(wire_open_stream(w), 0);
	assert_false(ops->used_up(w->engine));
	wire_settings(w, none, 1); /* those that are open go on */
	wire_sees(w, "");
	wire_trailers(w, 1, "0", NULL);
	wire_seen(w);
	assert_int_equal(ops->can_open(w->engine), 0);
	wire_settings(w, two, 1);
	wire_sees(w, "");
	/* Room made by our own act is told in the next tick. */
	ops->abort(w->engine, wire_stream(w, 3), FARCALL_CANCELLED);
	assert_true(ops->due(w->engine) == 0);
	wire_tick(w, 1);
	wire_sees(w, "capacity\n");
	wire_tick(w, 1);
	wire_sees(w, "");
}

CLIENT(unlimited_when_the_server_sets_none)
{
	wire_greeting(w);
	assert_int_equal(ops->can_open(w->engine), 0x40000000);
}

CLIENT(numbers_run_out)
{
	wire_greeting(w);
	w->engine->next_out = FC_H2_ID_MOST - 2;
	assert_int_equal(ops->can_open(w->engine), 2);
	w->engine->next_out = FC_H2_ID_MOST;
	assert_int_equal(ops->can_open(w->engine), 1);
	assert_false(ops->used_up(w->engine));
	w->engine->next_out += 2;
	assert_int_equal(ops->can_open(w->engine), 0);
	assert_true(ops->used_up(w->engine));
	assert_int_equal(wire_open_stream(w), 0);
}

CLIENT(goaway)
{
	wire_greeting(w);
	wire_open_stream(w);
	wire_open_stream(w);
	wire_open_stream(w);
	wire_goaway(w, 0x7fffffff, FC_H2_NO_ERROR, "max_age");
	wire_sees(w,
	    "goaway UNAVAILABLE (SHUTDOWN) \"the server is going away: GOAWAY NO_ERROR: "
	    "max_age\"\n");
	assert_int_equal(ops->can_open(w->engine), 0);
	assert_true(ops->used_up(w->engine));
	assert_int_equal(wire_open_stream(w), 0);
	wire_goaway(w, 3, FC_H2_NO_ERROR, "");
	wire_sees(w,
	    "abort 5 UNAVAILABLE (SHUTDOWN) unseen \"the server is going away: GOAWAY "
	    "NO_ERROR\"\n");
	ops->half_close(w->engine, wire_stream(w, 1));
	wire_response(w, 1);
	wire_trailers(w, 1, "0", NULL);
	wire_sees(w, "head 1\ntail 1 OK\n");
	wire_said(w);
	wire_response(w, 1);
	wire_says(w, "GOAWAY 0 STREAM_CLOSED \"HEADERS on stream 1, which has ended\"\n");
}

/* gRPC core's server, past a deadline: the connection stands. */
CLIENT(ends_a_stream_twice)
{
	wire_greeting(w);
	wire_open_stream(w);
	wire_said(w);
	wire_response(w, 1);
	wire_trailers(w, 1, "4", NULL);
	wire_sees(w, "head 1\ntail 1 DEADLINE_EXCEEDED\n");
	wire_says(w, "RST 1 NO_ERROR\n");
	wire_rst(w, 1, FC_H2_NO_ERROR);
	wire_trailers(w, 1, "4", NULL);
	wire_sees(w, "");
	wire_says(w, "");
	wire_release(w, 1);
	wire_take_output(w);
	wire_trailers(w, 1, "4", NULL);
	wire_sees(w, "");
	wire_says(w, "");
}

CLIENT(goaway_then_the_rest)
{
	wire_greeting(w);
	wire_open_stream(w);
	wire_open_stream(w);
	wire_goaway(w, 1, FC_H2_ENHANCE_YOUR_CALM, "too_many_pings");
	wire_sees(w,
	    "too many pings, every 0 ms\n"
	    "goaway UNAVAILABLE (LIMIT) \"the server is going away: GOAWAY "
	    "ENHANCE_YOUR_CALM: too_many_pings\"\n"
	    "abort 3 UNAVAILABLE (SHUTDOWN) unseen \"the server is going away: GOAWAY "
	    "ENHANCE_YOUR_CALM: too_many_pings\"\n");
	ops->half_close(w->engine, wire_stream(w, 1));
	wire_response(w, 1);
	wire_trailers(w, 1, "0", NULL);
	wire_sees(w, "head 1\ntail 1 OK\n");
	wire_said(w);
	ops->end(w->engine, NULL);
	wire_sees(w,
	    "dead UNAVAILABLE (LIMIT) \"the server is going away: GOAWAY ENHANCE_YOUR_CALM: "
	    "too_many_pings\"\n");
}

CLIENT(goaway_may_not_rise)
{
	wire_greeting(w);
	wire_goaway(w, 1, FC_H2_NO_ERROR, "");
	wire_goaway(w, 1, FC_H2_NO_ERROR, "");
	assert_false(wire_is_dead(w));
	wire_goaway(w, 3, FC_H2_NO_ERROR, "");
	assert_true(wire_is_dead(w));
}

CLIENT(resets_by_the_server)
{
	static const struct {
		uint32_t code;
		const char *event;
	} rows[] = {
	    {FC_H2_NO_ERROR, "INTERNAL (NONE) \"the server reset the stream: NO_ERROR\"\n"},
	    {FC_H2_PROTOCOL_ERROR,
	        "INTERNAL (PROTOCOL) \"the server reset the stream: PROTOCOL_ERROR\"\n"},
	    {FC_H2_REFUSED_STREAM,
	        "UNAVAILABLE (LIMIT) unseen \"the server reset the stream: REFUSED_STREAM\"\n"},
	    {FC_H2_CANCEL, "CANCELLED (NONE) \"the server reset the stream: CANCEL\"\n"},
	    {FC_H2_ENHANCE_YOUR_CALM,
	        "RESOURCE_EXHAUSTED (LIMIT) \"the server reset the stream: ENHANCE_YOUR_CALM\"\n"},
	    {FC_H2_INADEQUATE_SECURITY,
	        "PERMISSION_DENIED (PROTOCOL) \"the server reset the stream: "
	        "INADEQUATE_SECURITY\"\n"},
	    {1000, "INTERNAL (PROTOCOL) \"the server reset the stream: of an unknown code\"\n"},
	};

	wire_greeting(w);
	for (size_t i = 0; i < FC_COUNT(rows); i++) {
		char event[200];
		uint32_t id = wire_open_stream(w);

		wire_rst(w, id, rows[i].code);
		snprintf(event, sizeof event, "abort %u %s", id, rows[i].event);
		wire_sees(w, event);
		assert_int_equal(wire_send(w, id, "x", false), FC_SEND_GONE);
		wire_release(w, id);
	}
}

CLIENT(what_comes_after_our_reset_is_dropped)
{
	wire_greeting(w);
	wire_open_stream(w);
	ops->abort(w->engine, wire_stream(w, 1), FARCALL_CANCELLED);
	wire_release(w, 1);
	wire_said(w);
	wire_response(w, 1);
	wire_message(w, 1, false, "late");
	wire_trailers(w, 1, "0", NULL);
	wire_rst(w, 1, FC_H2_NO_ERROR);
	wire_sees(w, "");
	wire_says(w, "");
	assert_false(wire_is_dead(w));
}

CLIENT(lost_calls_know_whether_they_were_seen)
{
	fc_piece piece;
	size_t first;

	wire_greeting(w);
	wire_open_stream(w);
	assert_int_equal(ops->output(w->engine, &piece, 1), 1);
	first = piece.size;
	wire_open_stream(w);
	wire_open_stream(w);
	/* All of the first call is written, and one byte of the second. */
	assert_int_equal(ops->output(w->engine, &piece, 1), 1);
	ops->wrote(w->engine, first + 1);
	ops->end(w->engine, NULL);
	wire_sees(w,
	    "abort 5 UNAVAILABLE (CONNECTION_LOST) unseen \"the peer closed the connection\"\n"
	    "abort 1 UNAVAILABLE (CONNECTION_LOST) \"the peer closed the connection\"\n"
	    "abort 3 UNAVAILABLE (CONNECTION_LOST) \"the peer closed the connection\"\n"
	    "dead UNAVAILABLE (CONNECTION_LOST) \"the peer closed the connection\"\n");
	/* The third call's bytes must not follow: a peer that has only stopped sending would serve
	 * a call that is tried again elsewhere. */
	assert_int_equal(ops->output(w->engine, &piece, 1), 0);
}

#define PROMISE "PUSH_PROMISE on stream 1, but push is switched off"

CLIENT(calls_that_leave_before_our_goaway_may_be_seen)
{
	wire_greeting(w);
	w->hold = true;
	wire_open_stream(w);
	wire_send(w, 1, "x", true);
	wire_frame(w, FC_H2_PUSH_PROMISE, FC_H2_END_HEADERS, 1, "\0\0\0\2", 4);
	wire_sees(w,
	    "abort 1 UNAVAILABLE (PROTOCOL) \"" PROMISE "\"\n"
	    "dead UNAVAILABLE (PROTOCOL) \"" PROMISE "\"\n");
	assert_non_null(strstr(wire_said(w), "HEADERS 1"));
}

CLIENT(drains)
{
	wire_greeting(w);
	wire_open_stream(w);
	wire_send(w, 1, "x", true);
	wire_said(w);
	ops->drain(w->engine, w->now, "");
	assert_int_equal(ops->can_open(w->engine), 0);
	wire_says(w, "");
	wire_response(w, 1);
	wire_trailers(w, 1, "0", NULL);
	wire_sees(w, "head 1\ntail 1 OK\ndrained\n");
	wire_says(w, "GOAWAY 0 NO_ERROR \"\"\n");
}

CLIENT(drains_when_idle)
{
	wire_greeting(w);
	ops->drain(w->engine, w->now, "");
	wire_tick(w, 1);
	wire_sees(w, "drained\n");
	wire_says(w, "GOAWAY 0 NO_ERROR \"\"\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(introduces_itself_at_once),
	    clean_test(what_the_server_speaks),
	    clean_test(a_server_that_says_nothing),
	    clean_test(a_server_that_closes_at_once),
	    clean_test(makes_a_call),
	    clean_test(frames_that_break_a_rule),
	    clean_test(keeps_the_servers_limit),
	    clean_test(unlimited_when_the_server_sets_none),
	    clean_test(numbers_run_out),
	    clean_test(goaway),
	    clean_test(ends_a_stream_twice),
	    clean_test(goaway_then_the_rest),
	    clean_test(goaway_may_not_rise),
	    clean_test(resets_by_the_server),
	    clean_test(what_comes_after_our_reset_is_dropped),
	    clean_test(lost_calls_know_whether_they_were_seen),
	    clean_test(calls_that_leave_before_our_goaway_may_be_seen),
	    clean_test(drains),
	    clean_test(drains_when_idle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
