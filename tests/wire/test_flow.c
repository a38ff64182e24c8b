/*
 * Flow control: RFC 9113 5.2 and 6.9, at its limits, and the order in which waiting streams are
 * served.
 */
#include "tests/support/test.h"

#include "tests/support/wire.h"

static const fc_engine_ops *const ops = &fc_h2_engine;

#define SERVER(name)                      \
	static void name##_(wire *w);     \
	static void name(void **state)    \
	{                                 \
		(void)state;              \
		wire_run(name##_, false); \
	}                                 \
	static void name##_(wire *w)

static void
set_window(wire *w, uint32_t size)
{
	const uint32_t pair[] = {FC_H2_INITIAL_WINDOW_SIZE, size};

	wire_settings(w, pair, 1);
	assert_string_equal(wire_said(w), "SETTINGS ack\n");
}

/* The head of stream 1 is out of the way. */
static void
one_call(wire *w)
{
	wire_call(w, 1, true);
	ops->send_head(w->engine, wire_stream(w, 1), 0, NULL);
	wire_seen(w);
	wire_said(w);
}

/* ---- sending ---- */

SERVER(a_message_at_the_streams_window)
{
	wire_greeting(w);
	set_window(w, 100);
	one_call(w);
	assert_int_equal(wire_send_of(w, 1, 95, false), FC_SEND_OK);
	wire_says(w, "DATA 1 (100)\n");
	assert_int_equal(wire_send_of(w, 1, 0, false), FC_SEND_WAITING);
	wire_says(w, "");
	wire_window(w, 1, 4);
	wire_says(w, "DATA 1 00000000\n");
	wire_sees(w, "");
	wire_window(w, 1, 1);
	wire_says(w, "DATA 1 00\n");
	wire_sees(w, "sent 1\n");
}

SERVER(a_message_past_the_streams_window)
{
	wire_greeting(w);
	set_window(w, 100);
	one_call(w);
	assert_int_equal(wire_send_of(w, 1, 96, false), FC_SEND_WAITING);
	assert_int_equal(wire_send(w, 1, "second", false), FC_SEND_WAITING);
	assert_int_equal(wire_tail(w, 1, FARCALL_NOT_FOUND, "gone"), FC_SEND_WAITING);
	assert_int_equal(wire_tail(w, 1, FARCALL_OK, ""), FC_SEND_GONE);
	wire_release(w, 1);
	wire_says(w, "DATA 1 (100)\n");
	wire_window(w, 1, 11);
	wire_says(w, "DATA 1 7800000000067365636f6e\n");
	wire_window(w, 1, 1000);
	wire_says(w, "DATA 1 \"d\"\nHEADERS 1 end grpc-status=5 grpc-message=gone\n");
	wire_sees(w, "");
	wire_call(w, 3, true);
	wire_sees(w, "request 3 /t.T/Say at host\nhalf-close 3\n");
}

SERVER(a_window_below_zero)
{
	const uint32_t wide[] = {FC_H2_INITIAL_WINDOW_SIZE, 65535};

	wire_greeting(w);
	one_call(w);
	wire_send_of(w, 1, 995, false);
	wire_says(w, "DATA 1 (1000)\n");
	set_window(w, 500); /* leaves -500 */
	assert_int_equal(wire_send(w, 1, "x", false), FC_SEND_WAITING);
	wire_window(w, 1, 500);
	wire_says(w, "");
	wire_window(w, 1, 1);
	wire_says(w, "DATA 1 00\n");
	set_window(w, 0);
	wire_window(w, 1, 500);
	wire_says(w, "");
	wire_settings(w, wide, 1);
	wire_says(w, "SETTINGS ack\nDATA 1 0000000178\n");
	wire_sees(w, "sent 1\n");
}

SERVER(settings_open_windows)
{
	const uint32_t wide[] = {FC_H2_INITIAL_WINDOW_SIZE, 10};

	wire_greeting(w);
	set_window(w, 0);
	one_call(w);
	assert_int_equal(wire_send(w, 1, "hello", false), FC_SEND_WAITING);
	wire_settings(w, wide, 1);
	wire_says(w, "SETTINGS ack\nDATA 1 000000000568656c6c6f\n");
	wire_sees(w, "sent 1\n");
}

SERVER(the_connections_window)
{
	wire_greeting(w);
	set_window(w, 0x7fffffff);
	one_call(w);
	assert_int_equal(wire_send_of(w, 1, 65535 - 5, false), FC_SEND_OK);
	wire_says(w, "DATA 1 (16384)\nDATA 1 (16384)\nDATA 1 (16384)\nDATA 1 (16383)\n");
	assert_int_equal(wire_send(w, 1, "x", false), FC_SEND_WAITING);
	wire_says(w, "");
	wire_window(w, 0, 5);
	wire_says(w, "DATA 1 0000000001\n");
	wire_window(w, 0, 1);
	wire_says(w, "DATA 1 \"x\"\n");
	wire_sees(w, "sent 1\n");
}

SERVER(a_streams_window_past_its_limit)
{
	wire_greeting(w);
	one_call(w);
	wire_window(w, 1, 0x7fffffff - 65535);
	wire_says(w, "");
	wire_window(w, 1, 1);
	wire_says(w, "RST 1 FLOW_CONTROL_ERROR\n");
	wire_sees(w, "abort 1 CANCELLED (PROTOCOL) \"its window passed 2^31-1\"\n");
	assert_false(wire_is_dead(w));
}

SERVER(settings_make_a_window_overflow)
{
	const uint32_t wide[] = {FC_H2_INITIAL_WINDOW_SIZE, 65536};

	wire_greeting(w);
	one_call(w);
	wire_window(w, 1, 0x7fffffff - 65535);
	wire_settings(w, wide, 1);
	assert_true(wire_is_dead(w));
	wire_says(w,
	    "GOAWAY 1 FLOW_CONTROL_ERROR \"SETTINGS: INITIAL_WINDOW_SIZE 65536 makes a window pass "
	    "2^31-1\"\n");
}

/* Three streams wait for the connection's window: each gets a frame in turn. */
SERVER(waiting_streams_take_turns)
{
	wire_greeting(w);
	set_window(w, 0x7fffffff);
	one_call(w);
	wire_send_of(w, 1, 65530, false);
	for (uint32_t id = 3; id <= 7; id += 2) {
		wire_call(w, id, true);
		ops->send_head(w->engine, wire_stream(w, id), 0, NULL);
		assert_int_equal(wire_send_of(w, id, 40000 - 5, false), FC_SEND_WAITING);
		assert_int_equal(wire_tail(w, id, FARCALL_OK, ""), FC_SEND_WAITING);
	}
	wire_said(w);
	/* A small message may not pass them by. */
	assert_int_equal(wire_send(w, 1, "small", false), FC_SEND_WAITING);
	wire_window(w, 0, 1000000);
	wire_says(w,
	    "DATA 3 (16384)\nDATA 5 (16384)\nDATA 7 (16384)\nDATA 1 0000000005736d616c6c\n"
	    "DATA 3 (16384)\nDATA 5 (16384)\nDATA 7 (16384)\n"
	    "DATA 3 (7232)\nHEADERS 3 end grpc-status=0\n"
	    "DATA 5 (7232)\nHEADERS 5 end grpc-status=0\n"
	    "DATA 7 (7232)\nHEADERS 7 end grpc-status=0\n");
}

/* A stream without window of its own does not stop those behind it. */
SERVER(a_blocked_stream_stops_no_other)
{
	wire_greeting(w);
	set_window(w, 10);
	one_call(w);
	assert_int_equal(wire_send_of(w, 1, 100, false), FC_SEND_WAITING);
	wire_said(w);
	wire_call(w, 3, true);
	assert_int_equal(wire_send(w, 3, "fits.", false), FC_SEND_OK);
	wire_says(w,
	    "HEADERS 3 :status=200 content-type=application/grpc\nDATA 3 0000000005666974732e\n");
}

SERVER(output_is_bounded)
{
	fc_piece piece;
	size_t n;

	wire_greeting(w);
	set_window(w, 0x7fffffff);
	wire_window(w, 0, 0x7fffffff - 65535);
	one_call(w);
	w->hold = true;
	assert_int_equal(wire_send_of(w, 1, 3u << 20, false), FC_SEND_WAITING);
	assert_true(w->engine->out.size <= (1u << 20) + 1000);
	assert_false(ops->congested(w->engine)); /* DATA alone never stops reading */
	wire_call(w, 3, true);
	wire_sees(w, "request 3 /t.T/Say at host\nhalf-close 3\n");
	assert_int_equal(wire_send(w, 3, "x", false), FC_SEND_WAITING);
	do {
		n = ops->output(w->engine, &piece, 1);
		assert_true(w->engine->out.size <= (1u << 20) + 17000);
		if (n != 0)
			ops->wrote(w->engine, FC_MIN(piece.size, 50000));
	} while (n != 0);
	assert_true(ops->due(w->engine) == 0);
	wire_tick(w, 1);
	/* The small one had its turn long before the large one was through. */
	wire_sees(w, "sent 3\nsent 1\n");
}

SERVER(messages_wait_for_room_in_the_output)
{
	wire_greeting(w);
	set_window(w, 0x7fffffff);
	wire_window(w, 0, 0x7fffffff - 65535);
	one_call(w);
	w->hold = true;
	while (w->engine->out.size < (1u << 20))
		assert_int_equal(wire_send_of(w, 1, 16000, false), FC_SEND_OK);
	assert_int_equal(wire_send_of(w, 1, 16000, false), FC_SEND_WAITING);
	wire_take_output(w);
	wire_tick(w, 1);
	wire_sees(w, "sent 1\n");
	assert_int_equal(wire_send_of(w, 1, 16000, false), FC_SEND_OK);
}

SERVER(an_abort_drops_what_waits)
{
	wire_greeting(w);
	set_window(w, 10);
	one_call(w);
	wire_send_of(w, 1, 100000, false);
	wire_said(w);
	ops->abort(w->engine, wire_stream(w, 1), FARCALL_CANCELLED);
	wire_window(w, 1, 1000);
	wire_says(w, "RST 1 CANCEL\n");
	wire_sees(w, "");
}

SERVER(an_answer_that_nobody_takes)
{
	wire_greeting(w);
	set_window(w, 10);
	one_call(w);
	wire_send_of(w, 1, 100000, false);
	wire_tail(w, 1, FARCALL_OK, "");
	wire_tick(w, 200 * FC_NS_PER_S); /* the owner waits as long as it likes */
	wire_said(w);
	wire_release(w, 1);
	wire_tick(w, 0);
	wire_tick(w, 59 * FC_NS_PER_S);
	wire_window(w, 1, 1); /* it moves: 60 s more, from the next tick */
	wire_says(w, "DATA 1 \"x\"\n");
	wire_tick(w, 1 * FC_NS_PER_S);
	wire_tick(w, 59 * FC_NS_PER_S);
	wire_says(w, "");
	wire_tick(w, 1 * FC_NS_PER_S);
	wire_says(w, "RST 1 CANCEL\n");
	wire_sees(w, "");
}

static void
client_waits_(wire *w)
{
	const uint32_t narrow[] = {FC_H2_INITIAL_WINDOW_SIZE, 10};

	wire_settings(w, narrow, 1);
	wire_ack(w);
	wire_open_stream(w);
	wire_seen(w);
	wire_said(w);
	assert_int_equal(wire_send(w, 1, "hello world", false), FC_SEND_WAITING);
	assert_int_equal(ops->half_close(w->engine, wire_stream(w, 1)), FC_SEND_WAITING);
	assert_int_equal(wire_send(w, 1, "x", false), FC_SEND_GONE);
	wire_says(w, "DATA 1 000000000b68656c6c6f\n");
	wire_window(w, 1, 6);
	wire_says(w, "DATA 1 end \" world\"\n");
	wire_sees(w, "sent 1\n");
	wire_open_stream(w);
	wire_said(w);
	assert_int_equal(wire_send(w, 3, "hello world", true), FC_SEND_WAITING);
	wire_window(w, 3, 60);
	wire_says(w, "DATA 3 000000000b68656c6c6f\nDATA 3 end \" world\"\n");
	wire_sees(w, "sent 3\n");
}

static void
client_waits(void **state)
{
	(void)state;
	wire_run(client_waits_, true);
}

static void
client_ends_with_a_large_message_(wire *w)
{
	wire_greeting(w);
	wire_open_stream(w);
	wire_said(w);
	assert_int_equal(wire_send_of(w, 1, 40000, true), FC_SEND_OK);
	wire_says(w, "DATA 1 (16384)\nDATA 1 (16384)\nDATA 1 end (7237)\n");
}

static void
client_ends_with_a_large_message(void **state)
{
	(void)state;
	wire_run(client_ends_with_a_large_message_, true);
}

/* ---- receiving ---- */

SERVER(the_connection_is_credited_at_once)
{
	wire_greeting(w);
	for (uint32_t id = 1; id <= 7; id += 2) {
		wire_call(w, id, false);
		wire_message_of(w, id, false, 10000);
	}
	/* Nobody has taken anything: more than half of the window, all that is owed. */
	wire_says(w, "WINDOW 0 40020\n");
}

SERVER(a_stream_is_credited_for_what_was_taken)
{
	wire_greeting(w);
	wire_call(w, 1, false);
	wire_message_of(w, 1, false, 16379);
	wire_message_of(w, 1, false, 16379);
	wire_says(w, "WINDOW 0 32768\n");
	ops->taken(w->engine, wire_stream(w, 1), 16379);
	wire_says(w, "");
	ops->taken(w->engine, wire_stream(w, 1), 16379);
	wire_says(w, "WINDOW 1 32768\n");
}

/* The windows are 65535: the last byte is taken, one more is not. */
static void
fill_the_window(wire *w, size_t more)
{
	static uint8_t bytes[65536];

	wire_greeting(w);
	wire_call(w, 1, false);
	fc_put32(bytes + 1, 16384 - 5);
	wire_data(w, 1, false, bytes, 16384); /* a message, not taken: no credit from now on */
	bytes[1] = 0x00;
	fc_put32(bytes + 1, 200000);
	wire_data(w, 1, false, bytes, 16384);
	wire_data(w, 1, false, bytes, 16384);
	wire_data(w, 1, false, bytes, 16383 + more);
	wire_seen(w);
}

SERVER(a_stream_at_its_window)
{
	fill_the_window(w, 0);
	wire_says(w, "WINDOW 0 32768\n");
	assert_false(wire_is_dead(w));
	/* Taken: all is credited, the part of the message that is being gathered, too. */
	ops->taken(w->engine, wire_stream(w, 1), 16379);
	wire_says(w, "WINDOW 1 65535\n");
}

SERVER(a_stream_past_its_window)
{
	fill_the_window(w, 1);
	wire_says(w, "WINDOW 0 32768\nWINDOW 0 32768\nRST 1 FLOW_CONTROL_ERROR\n");
	assert_false(wire_is_dead(w));
}

SERVER(a_message_larger_than_the_window)
{
	wire_greeting(w);
	wire_call(w, 1, false);
	wire_message_of(w, 1, false, 65536);
	wire_sees(w, "request 1 /t.T/Say at host\nmessage 1 (65536)\n");
	wire_says(w, "WINDOW 0 32768\nWINDOW 1 32768\nWINDOW 0 32768\nWINDOW 1 32768\n");
}

SERVER(empty_messages_give_credit_up_to_a_limit)
{
	static uint8_t bytes[16380];

	wire_greeting(w);
	w->quiet = true;
	wire_call(w, 1, false);
	wire_call(w, 3, false);
	for (uint32_t i = 0; i < 1024; i++) {
		wire_data(w, 1, false, bytes, 5);
		wire_data(w, 3, false, bytes, 5);
	}
	assert_int_equal(((fc_h2_stream *)(void *)wire_stream(w, 1))->withheld, 0);
	wire_data(w, 1, false, bytes, 5);
	assert_int_equal(((fc_h2_stream *)(void *)wire_stream(w, 1))->withheld, 5);
	ops->taken(w->engine, wire_stream(w, 1), 0);
	assert_int_equal(((fc_h2_stream *)(void *)wire_stream(w, 1))->withheld, 0);
}

SERVER(empty_messages_give_no_credit_untaken)
{
	static uint8_t bytes[16380];

	wire_greeting(w);
	wire_call(w, 1, false);
	w->quiet = true;
	for (int i = 0; i < 4; i++)
		wire_data(w, 1, false, bytes, sizeof bytes);
	wire_says(w, "WINDOW 0 49140\n");
	ops->taken(w->engine, wire_stream(w, 1), 0);
	wire_says(w, "WINDOW 1 65520\n");
}

static void
past_the_connections_window_(wire *w)
{
	w->config.stream_window = 1u << 20;
	wire_open(w);
	wire_greeting(w);
	w->engine->recv_window = 10;
	wire_call(w, 1, false);
	wire_data(w, 1, false, "\0\0\0\0\5hello", 10);
	assert_false(wire_is_dead(w));
	wire_data(w, 1, false, "x", 1);
	assert_true(wire_is_dead(w));
	wire_says(w,
	    "GOAWAY 1 FLOW_CONTROL_ERROR \"DATA of 1 bytes on stream 1: the connection's window "
	    "has "
	    "room for 0\"\n");
}

static void
past_the_connections_window(void **state)
{
	(void)state;
	wire_run_unopened(past_the_connections_window_, false);
}

/* A window below 65535 is in force only when the peer has acknowledged it. */
static void
a_narrow_window_(wire *w)
{
	w->config.stream_window = 100;
	wire_open(w);
	wire_preface(w);
	wire_call(w, 1, false);
	wire_message_of(w, 1, false, 200);
	assert_false(wire_is_dead(w));
	wire_ack(w);
	wire_said(w);
	wire_call(w, 3, false);
	wire_message_of(w, 3, false, 95);
	wire_says(w, "");
	wire_data(w, 3, false, "x", 1);
	wire_says(w, "RST 3 FLOW_CONTROL_ERROR\n");
}

static void
a_narrow_window(void **state)
{
	(void)state;
	wire_run_unopened(a_narrow_window_, false);
}

/* The same on a stream that was open before. */
static void
a_window_that_narrows_(wire *w)
{
	static uint8_t bytes[60] = {0, 0, 0, 4, 0};

	w->config.stream_window = 100;
	wire_open(w);
	wire_preface(w);
	wire_call(w, 1, false);
	wire_call(w, 3, false);
	wire_data(w, 1, false, bytes, 50);
	wire_data(w, 3, false, bytes, 50);
	wire_ack(w);
	wire_said(w);
	wire_data(w, 1, false, bytes, 50);
	wire_says(w, "WINDOW 1 100\n");
	wire_data(w, 3, false, bytes, 51);
	wire_says(w, "RST 3 FLOW_CONTROL_ERROR\n");
}

static void
a_window_that_narrows(void **state)
{
	(void)state;
	wire_run_unopened(a_window_that_narrows_, false);
}

SERVER(padding_counts)
{
	uint8_t bytes[256];
	uint32_t sent = 0;

	memset(bytes, 0, sizeof bytes);
	bytes[0] = 249;
	bytes[5] = 1;
	wire_greeting(w);
	wire_call(w, 1, false);
	while (sent + 256 <= 32768) {
		wire_frame(w, FC_H2_DATA, FC_H2_PADDED, 1, bytes, 256);
		ops->taken(w->engine, wire_stream(w, 1), 1);
		sent += 256;
		wire_seen(w);
	}
	wire_says(w, "WINDOW 0 32768\nWINDOW 1 32768\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(a_message_at_the_streams_window),
	    clean_test(a_message_past_the_streams_window),
	    clean_test(a_window_below_zero),
	    clean_test(settings_open_windows),
	    clean_test(the_connections_window),
	    clean_test(a_streams_window_past_its_limit),
	    clean_test(settings_make_a_window_overflow),
	    clean_test(waiting_streams_take_turns),
	    clean_test(a_blocked_stream_stops_no_other),
	    clean_test(output_is_bounded),
	    clean_test(messages_wait_for_room_in_the_output),
	    clean_test(an_abort_drops_what_waits),
	    clean_test(an_answer_that_nobody_takes),
	    clean_test(client_waits),
	    clean_test(the_connection_is_credited_at_once),
	    clean_test(a_stream_is_credited_for_what_was_taken),
	    clean_test(a_stream_at_its_window),
	    clean_test(a_stream_past_its_window),
	    clean_test(a_message_larger_than_the_window),
	    clean_test(empty_messages_give_credit_up_to_a_limit),
	    clean_test(empty_messages_give_no_credit_untaken),
	    clean_test(past_the_connections_window),
	    clean_test(a_narrow_window),
	    clean_test(a_window_that_narrows),
	    clean_test(padding_counts),
	    clean_test(client_ends_with_a_large_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
