/*
 * A server's streams by RFC 9113: their numbers, their ends on either side, their count; drains and
 * the connection's ends. Each case whole and one byte at a time.
 */
#include "tests/support/test.h"

#include "tests/support/wire.h"

#include <stdio.h>

static const fc_engine_ops *const ops = &fc_h2_engine;

#define SERVER(name)                      \
	static void name##_(wire *w);     \
	static void name(void **state)    \
	{                                 \
		(void)state;              \
		wire_run(name##_, false); \
	}                                 \
	static void name##_(wire *w)

/* ---- streams ---- */

SERVER(numbers_must_rise)
{
	wire_greeting(w);
	wire_call(w, 5, true);
	wire_seen(w);
	wire_call(w, 3, true);
	wire_dies(w,
	    "GOAWAY 5 PROTOCOL_ERROR \"HEADERS on stream 3: a higher number has been used "
	    "before\"\n",
	    "abort 5 CANCELLED (PROTOCOL) \"HEADERS on stream 3: a higher number has been used "
	    "before\"\n"
	    "dead UNAVAILABLE (PROTOCOL) \"HEADERS on stream 3: a higher number has been used "
	    "before\"\n");
}

SERVER(data_after_the_end)
{
	wire_greeting(w);
	wire_call(w, 1, true);
	wire_seen(w);
	wire_data(w, 1, false, "x", 1);
	wire_dies(w, "GOAWAY 1 STREAM_CLOSED \"DATA on stream 1, which the peer has ended\"\n",
	    "abort 1 CANCELLED (PROTOCOL) \"DATA on stream 1, which the peer has ended\"\n"
	    "dead UNAVAILABLE (PROTOCOL) \"DATA on stream 1, which the peer has ended\"\n");
}

SERVER(headers_after_the_end)
{
	wire_greeting(w);
	wire_call(w, 1, true);
	wire_call(w, 1, true);
	assert_true(wire_is_dead(w));
	wire_says(w, "GOAWAY 1 STREAM_CLOSED \"HEADERS on stream 1, which the peer has ended\"\n");
}

SERVER(data_on_a_stream_closed_by_both)
{
	wire_greeting(w);
	wire_call(w, 1, true);
	wire_tail(w, 1, FARCALL_OK, "");
	wire_release(w, 1);
	wire_said(w);
	wire_window(w, 1, 10); /* these may cross */
	wire_rst(w, 1, FC_H2_CANCEL);
	wire_says(w, "");
	wire_data(w, 1, false, "x", 1);
	assert_true(wire_is_dead(w));
	wire_says(w, "GOAWAY 1 STREAM_CLOSED \"DATA on stream 1, which the peer has ended\"\n");
}

SERVER(headers_on_a_stream_closed_by_both)
{
	wire_greeting(w);
	wire_call(w, 1, true);
	wire_tail(w, 1, FARCALL_OK, "");
	wire_release(w, 1);
	wire_said(w);
	wire_call(w, 1, true);
	wire_says(w, "GOAWAY 1 STREAM_CLOSED \"HEADERS on stream 1, which has ended\"\n");
}

SERVER(data_after_the_peers_reset)
{
	wire_greeting(w);
	wire_call(w, 1, false);
	wire_rst(w, 1, FC_H2_CANCEL);
	wire_sees(w,
	    "request 1 /t.T/Say at host\nabort 1 CANCELLED (NONE) \"the client reset the stream: "
	    "CANCEL\"\n");
	wire_data(w, 1, false, "x", 1);
	assert_true(wire_is_dead(w));
	wire_says(w, "GOAWAY 1 STREAM_CLOSED \"DATA on stream 1, which the peer has ended\"\n");
}

SERVER(frames_after_our_reset_are_dropped)
{
	static uint8_t bytes[16384];

	wire_greeting(w);
	wire_call(w, 1, false);
	ops->abort(w->engine, wire_stream(w, 1), FARCALL_DEADLINE_EXCEEDED);
	wire_says(w, "RST 1 CANCEL\n");
	wire_seen(w);
	for (int i = 0; i < 3; i++)
		wire_data(w, 1, false, bytes, sizeof bytes);
	wire_says(w, "WINDOW 0 32768\n");
	wire_trailers(w, 1, "0", NULL);
	wire_window(w, 1, 1);
	wire_rst(w, 1, FC_H2_CANCEL);
	wire_release(w, 1);
	wire_take_output(w);
	wire_data(w, 1, true, bytes, 1);
	wire_trailers(w, 1, "0", NULL);
	wire_sees(w, "");
	wire_says(w, "");
	wire_call(w, 3, true);
	wire_sees(w, "request 3 /t.T/Say at host\nhalf-close 3\n");
}

static void
streams_go_while_a_frame_comes_(wire *w)
{
	w->pool.most = 0; /* so that a sanitizer sees the use of what has gone */
	wire_open(w);
	wire_greeting(w);
	wire_call(w, 1, false);
	wire_feed(w, "\0\0\x0a\0\1\0\0\0\1\0\0\0", 12);
	wire_release(w, 1);
	wire_take_output(w);
	wire_tick(w, FC_NS_PER_S); /* the memory of streams goes a second after the last */
	wire_tick(w, FC_NS_PER_S);
	wire_tick(w, FC_NS_PER_S);
	assert_null(w->engine->slabs);
	wire_feed(w, "\0\1abcde", 7);
	wire_window(w, 1, 1);
	wire_says(w, "RST 1 CANCEL\n");
	wire_sees(w, "request 1 /t.T/Say at host\n");
	wire_call(w, 3, true);
	wire_sees(w, "request 3 /t.T/Say at host\nhalf-close 3\n");
}

static void
streams_go_while_a_frame_comes(void **state)
{
	(void)state;
	wire_run_unopened(streams_go_while_a_frame_comes_, false);
}

SERVER(release_resets_what_has_not_ended)
{
	wire_greeting(w);
	wire_call(w, 1, true);
	wire_release(w, 1);
	wire_says(w, "RST 1 CANCEL\n");
	wire_call(w, 3, false);
	ops->abort(w->engine, wire_stream(w, 3), FARCALL_INTERNAL);
	ops->abort(w->engine, wire_stream(w, 3), FARCALL_INTERNAL);
	wire_release(w, 3);
	wire_says(w, "RST 3 INTERNAL_ERROR\n");
}

static void
three_streams_(wire *w)
{
	w->config.max_streams = 3;
	wire_open(w);
	wire_greeting(w);
	wire_call(w, 1, false);
	wire_call(w, 3, true);
	wire_call(w, 5, true);
	wire_says(w, "");
	wire_call(w, 7, true); /* one too many */
	wire_says(w, "RST 7 REFUSED_STREAM\n");
	wire_seen(w);
	/* A reset frees no place while the owner is busy with the call. */
	wire_rst(w, 1, FC_H2_CANCEL);
	wire_sees(w, "abort 1 CANCELLED (NONE) \"the client reset the stream: CANCEL\"\n");
	wire_call(w, 9, true);
	wire_says(w, "RST 9 REFUSED_STREAM\n");
	wire_release(w, 1);
	wire_call(w, 11, true);
	wire_says(w, "");
	wire_sees(w, "request 11 /t.T/Say at host\nhalf-close 11\n");
	/* An answer does, whether or not the owner has released it. */
	wire_tail(w, 3, FARCALL_OK, "");
	wire_said(w);
	wire_call(w, 13, true);
	wire_says(w, "");
	wire_sees(w, "request 13 /t.T/Say at host\nhalf-close 13\n");
	wire_data(w, 7, false, "x", 1); /* refused: dropped */
	wire_says(w, "");
	assert_false(wire_is_dead(w));
}

static void
streams_are_limited(void **state)
{
	(void)state;
	wire_run_unopened(three_streams_, false);
}

SERVER(priority_on_itself)
{
	wire_greeting(w);
	wire_call(w, 1, false);
	wire_seen(w);
	wire_frame(w, FC_H2_PRIORITY, 0, 1, "\x80\0\0\1\0", 5);
	wire_sees(w, "abort 1 CANCELLED (PROTOCOL) \"the stream depends on itself\"\n");
	wire_says(w, "RST 1 PROTOCOL_ERROR\n");
	wire_frame(w, FC_H2_HEADERS, FC_H2_END_HEADERS | FC_H2_WITH_PRIORITY, 3,
	    "\0\0\0\3\0\x83\x86\x84", 8);
	wire_says(w, "RST 3 PROTOCOL_ERROR\n");
	wire_sees(w, "");
}

/* ---- PING, GOAWAY, drain ---- */

SERVER(ping_is_answered)
{
	wire_greeting(w);
	wire_ping(w, false, "abcdefgh");
	wire_ping(w, true, "stray...");
	wire_says(w, "PING ack abcdefgh\n");
}

SERVER(a_clients_goaway_changes_nothing)
{
	wire_greeting(w);
	wire_call(w, 1, true);
	wire_goaway(w, 0, FC_H2_NO_ERROR, "bye");
	wire_tail(w, 1, FARCALL_OK, "");
	wire_release(w, 1);
	wire_sees(w, "request 1 /t.T/Say at host\nhalf-close 1\n");
	wire_says(w, "HEADERS 1 end :status=200 content-type=application/grpc grpc-status=0\n");
}

SERVER(drains_in_two_steps)
{
	wire_greeting(w);
	wire_call(w, 1, true);
	wire_seen(w);
	ops->drain(w->engine, w->now, "");
	ops->drain(w->engine, w->now, "");
	wire_says(w, "GOAWAY 2147483647 NO_ERROR \"\"\nPING fcdrain\n");
	wire_call(w, 3, true); /* was under way */
	wire_sees(w, "request 3 /t.T/Say at host\nhalf-close 3\n");
	wire_ping(w, true, "fcdrain\0");
	wire_says(w, "GOAWAY 3 NO_ERROR \"\"\n");
	wire_call(w, 5, false); /* came too late: ignored, but decoded */
	wire_data(w, 5, false, "x", 1);
	wire_trailers(w, 5, "0", NULL);
	wire_sees(w, "");
	wire_says(w, "");
	wire_tail(w, 1, FARCALL_OK, "");
	wire_release(w, 1);
	wire_tail(w, 3, FARCALL_OK, "");
	wire_release(w, 3);
	wire_sees(w, "");
	assert_true(ops->due(w->engine) == 0);
	wire_tick(w, 1);
	wire_sees(w, "drained\n");
	wire_says(w,
	    "HEADERS 1 end :status=200 content-type=application/grpc grpc-status=0\n"
	    "HEADERS 3 end :status=200 content-type=application/grpc grpc-status=0\n");
	wire_tick(w, FC_NS_PER_S);
	wire_sees(w, "");
}

SERVER(drains_when_idle)
{
	wire_greeting(w);
	ops->drain(w->engine, w->now, "");
	wire_said(w);
	wire_sees(w, "");
	wire_ping(w, true, "fcdrain\0");
	wire_sees(w, "drained\n");
	wire_says(w, "GOAWAY 0 NO_ERROR \"\"\n");
}

SERVER(drains_though_no_ping_comes_back)
{
	wire_greeting(w);
	ops->drain(w->engine, w->now, "");
	wire_said(w);
	wire_tick(w, FC_NS_PER_S - 1);
	wire_sees(w, "");
	wire_tick(w, 1);
	wire_sees(w, "drained\n");
	wire_says(w, "GOAWAY 0 NO_ERROR \"\"\n");
}

SERVER(drains_before_the_preface)
{
	wire_feed_text(w, "PRI");
	ops->drain(w->engine, w->now, "");
	wire_tick(w, 0);
	wire_sees(w, "drained\n");
	wire_says(w, "");
	/* If the owner lets it go on all the same: no call is left in doubt. */
	wire_feed_text(w, &FC_H2_PREFACE[3]);
	wire_settings(w, NULL, 0);
	wire_call(w, 1, true);
	wire_says(w, "SETTINGS 3=100 4=65535 6=8192\nGOAWAY 0 NO_ERROR \"\"\nSETTINGS ack\n");
	wire_sees(w, "");
}

/* ---- ends ---- */

SERVER(the_peer_goes)
{
	fc_error why;

	wire_greeting(w);
	wire_call(w, 1, false);
	wire_call(w, 3, true);
	wire_seen(w);
	fc_error_clear(&why);
	fc_fail(&why, FARCALL_UNAVAILABLE, FARCALL_CAUSE_CONNECTION_RESET, "reset");
	ops->end(w->engine, &why);
	ops->end(w->engine, &why);
	wire_sees(w,
	    "abort 1 CANCELLED (CONNECTION_RESET) \"reset\"\n"
	    "abort 3 CANCELLED (CONNECTION_RESET) \"reset\"\n"
	    "dead UNAVAILABLE (CONNECTION_RESET) \"reset\"\n");
	assert_int_equal(wire_tail(w, 1, FARCALL_OK, ""), FC_SEND_GONE);
	wire_release(w, 1);
	wire_release(w, 3);
	wire_says(w, "");
}

SERVER(we_close)
{
	wire_greeting(w);
	wire_call(w, 1, false);
	wire_seen(w);
	ops->close(w->engine, FARCALL_UNAVAILABLE, "max_age");
	wire_call(w, 3, true);
	wire_says(w, "GOAWAY 1 NO_ERROR \"max_age\"\n");
	wire_sees(w, "");
	assert_int_equal(wire_tail(w, 1, FARCALL_OK, ""), FC_SEND_GONE);
	wire_release(w, 1);
	ops->close(w->engine, FARCALL_INTERNAL, NULL);
	wire_says(w, "");
}

static void
close_in_event(wire *w, const char *what, fc_stream *stream)
{
	(void)stream;
	if (strcmp(what, "message") == 0)
		ops->close(w->engine, FARCALL_INTERNAL, NULL);
}

SERVER(we_close_in_an_event)
{
	w->hook = close_in_event;
	wire_greeting(w);
	wire_call(w, 1, false);
	wire_data(w, 1, true, "\0\0\0\0\1a\0\0\0\0\1b", 12);
	wire_call(w, 3, true);
	wire_sees(w, "request 1 /t.T/Say at host\nmessage 1 \"a\"\n");
	wire_says(w, "GOAWAY 1 INTERNAL_ERROR \"\"\n");
}

static void
release_in_event(wire *w, const char *what, fc_stream *stream)
{
	if (strcmp(what, "message") == 0)
		ops->release(w->engine, stream);
}

SERVER(release_in_an_event_is_the_last)
{
	w->hook = release_in_event;
	wire_greeting(w);
	wire_call(w, 1, false);
	wire_data(w, 1, true, "\0\0\0\0\1a\0\0\0\0\1b", 12);
	wire_sees(w, "request 1 /t.T/Say at host\nmessage 1 \"a\"\n");
	wire_says(w, "RST 1 CANCEL\n");
	wire_call(w, 3, true);
	wire_sees(w, "request 3 /t.T/Say at host\nhalf-close 3\n");
}

SERVER(drains_while_the_preface_comes)
{
	wire_feed_text(w, "PRI");
	ops->drain(w->engine, w->now, "");
	wire_feed_text(w, &FC_H2_PREFACE[3]);
	wire_settings(w, NULL, 0);
	wire_sees(w, "drained\n");
	wire_says(w, "SETTINGS 3=100 4=65535 6=8192\nGOAWAY 0 NO_ERROR \"\"\nSETTINGS ack\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(streams_go_while_a_frame_comes),
	    clean_test(numbers_must_rise),
	    clean_test(data_after_the_end),
	    clean_test(headers_after_the_end),
	    clean_test(data_on_a_stream_closed_by_both),
	    clean_test(headers_on_a_stream_closed_by_both),
	    clean_test(data_after_the_peers_reset),
	    clean_test(frames_after_our_reset_are_dropped),
	    clean_test(release_resets_what_has_not_ended),
	    clean_test(streams_are_limited),
	    clean_test(priority_on_itself),
	    clean_test(ping_is_answered),
	    clean_test(a_clients_goaway_changes_nothing),
	    clean_test(drains_in_two_steps),
	    clean_test(drains_when_idle),
	    clean_test(drains_though_no_ping_comes_back),
	    clean_test(drains_before_the_preface),
	    clean_test(drains_while_the_preface_comes),
	    clean_test(the_peer_goes),
	    clean_test(we_close),
	    clean_test(we_close_in_an_event),
	    clean_test(release_in_an_event_is_the_last),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
