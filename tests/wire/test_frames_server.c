/*
 * A server's frames by RFC 9113: each case whole and one byte at a time. What a peer does wrong
 * ends the connection or the stream with the code that the RFC names, and a text that says what.
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

/* ---- beginning ---- */

SERVER(introduces_itself_after_the_preface)
{
	wire_says(w, "");
	wire_feed_text(w, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r");
	wire_says(w, "");
	wire_feed_text(w, "\n");
	wire_says(w, "SETTINGS 3=100 4=65535 6=8192\n");
	wire_settings(w, NULL, 0);
	wire_says(w, "SETTINGS ack\n");
	wire_ack(w);
	wire_says(w, "");
	wire_sees(w, "");
	assert_true(ops->due(w->engine) == FC_NEVER);
}

static void
wide_windows_(wire *w)
{
	w->config.stream_window = 1u << 20;
	w->config.connection_window = 65536;
	w->config.max_streams = 7;
	w->config.max_metadata = 1000;
	wire_open(w);
	wire_feed_text(w, FC_H2_PREFACE);
	wire_says(w, "SETTINGS 3=7 4=1048576 6=1000\nWINDOW 0 1\n");
}

static void
wide_windows(void **state)
{
	(void)state;
	wire_run_unopened(wide_windows_, false);
}

static const struct {
	const char *bytes, *event;
} strangers[] = {
    {"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
        "dead UNAVAILABLE (PROTOCOL) \"the peer does not speak HTTP/2: text came that looks like "
        "HTTP/1; only HTTP/2 with prior knowledge is spoken here (byte 0 is 0x47)\"\n"},
    {"POST /x HTTP/1.1\r\n\r\n",
        "dead UNAVAILABLE (PROTOCOL) \"the peer does not speak HTTP/2: text came that looks like "
        "HTTP/1; only HTTP/2 with prior knowledge is spoken here (byte 1 is 0x4f)\"\n"},
    {"\x16\x03\x01\x02\x01",
        "dead UNAVAILABLE (PROTOCOL) \"the peer does not speak HTTP/2: a TLS handshake came; this "
        "endpoint speaks plaintext (byte 0 is 0x16)\"\n"},
    {"PRI * HTTP/2.1\r\n\r\nSM\r\n\r\n",
        "dead UNAVAILABLE (PROTOCOL) \"the peer does not speak HTTP/2: the HTTP/2 preface is "
        "damaged (byte 13 is 0x31)\"\n"},
    {"\xff\xfe\xfd",
        "dead UNAVAILABLE (PROTOCOL) \"the peer does not speak HTTP/2: something else came (byte 0 "
        "is 0xff)\"\n"},
};

SERVER(says_what_came_instead_of_the_preface)
{
	static size_t i;
	size_t n = i++ / 2;

	wire_feed_text(w, strangers[n].bytes);
	wire_dies(w, "", strangers[n].event);
	i %= 2 * FC_COUNT(strangers);
}

static void
says_what_came(void **state)
{
	for (size_t i = 0; i < FC_COUNT(strangers); i++)
		says_what_came_instead_of_the_preface(state);
}

SERVER(wants_settings_first)
{
	wire_feed_text(w, FC_H2_PREFACE);
	wire_said(w);
	wire_ping(w, false, "12345678");
	wire_dies(w,
	    "GOAWAY 0 PROTOCOL_ERROR \"the first frame is no SETTINGS but PING (type 6)\"\n",
	    "dead UNAVAILABLE (PROTOCOL) \"the first frame is no SETTINGS but PING (type 6)\"\n");
}

SERVER(wants_settings_in_time)
{
	wire_preface(w);
	wire_said(w);
	wire_tick(w, 10 * FC_NS_PER_S - 1);
	wire_says(w, "");
	wire_tick(w, 1);
	wire_dies(w,
	    "GOAWAY 0 SETTINGS_TIMEOUT \"the peer did not acknowledge our SETTINGS in 10000 ms\"\n",
	    "dead UNAVAILABLE (TIMED_OUT) \"the peer did not acknowledge our SETTINGS in 10000 "
	    "ms\"\n");
}

SERVER(wants_a_preface_in_time)
{
	wire_feed_text(w, "PRI * H");
	wire_tick(w, 10 * FC_NS_PER_S);
	wire_dies(w, "",
	    "dead UNAVAILABLE (TIMED_OUT) \"the peer sent no HTTP/2 preface in 10000 ms\"\n");
}

SERVER(answers_a_call)
{
	wire_greeting(w);
	wire_call(w, 1, false);
	wire_sees(w, "request 1 /t.T/Say at host\n");
	wire_message(w, 1, false, "hello");
	wire_message(w, 1, false, "");
	wire_data(w, 1, true, NULL, 0);
	wire_sees(w, "message 1 \"hello\"\nmessage 1 \"\"\nhalf-close 1\n");
	wire_says(w, "");
	assert_int_equal(wire_send(w, 1, "world", false), FC_SEND_OK);
	assert_int_equal(wire_tail(w, 1, FARCALL_OK, ""), FC_SEND_OK);
	assert_int_equal(wire_tail(w, 1, FARCALL_OK, ""), FC_SEND_GONE);
	assert_int_equal(wire_send(w, 1, "more", false), FC_SEND_GONE);
	wire_release(w, 1);
	wire_says(w,
	    "HEADERS 1 :status=200 content-type=application/grpc\n"
	    "DATA 1 0000000005776f726c64\n"
	    "HEADERS 1 end grpc-status=0\n");
	/* In steady state: two bytes and one. */
	for (uint32_t id = 3; id < 9; id += 2) {
		wire_call(w, id, true);
		wire_send(w, id, "x", false);
		wire_tail(w, id, FARCALL_OK, "");
		wire_release(w, id);
	}
	wire_take_output(w);
	assert_int_equal(w->out_size - w->out_read, 3 * (9 + 2 + 9 + 6 + 9 + 1) + 0);
	wire_sees(w,
	    "request 3 /t.T/Say at host\nhalf-close 3\n"
	    "request 5 /t.T/Say at host\nhalf-close 5\n"
	    "request 7 /t.T/Say at host\nhalf-close 7\n");
}

/* ---- frames that break a rule: one row each ---- */

static const struct bad_frame {
	const char *name;
	unsigned type, flags;
	uint32_t id, size;
	const char *payload;
	const char *code, *text;
} bad_frames[] = {
    {"too large", FC_H2_DATA, 0, 1, 16385, NULL, "FRAME_SIZE_ERROR",
        "DATA frame of 16385 bytes is larger than 16384"},
    {"too large, unknown", 99, 0, 0, 16385, NULL, "FRAME_SIZE_ERROR",
        "unknown frame of 16385 bytes is larger than 16384"},
    {"DATA on 0", FC_H2_DATA, 0, 0, 1, "x", "PROTOCOL_ERROR", "DATA frame on stream 0"},
    {"DATA on idle", FC_H2_DATA, 0, 5, 1, "x", "PROTOCOL_ERROR",
        "DATA on stream 5, which is not open"},
    {"DATA on even", FC_H2_DATA, 0, 2, 1, "x", "PROTOCOL_ERROR",
        "DATA on stream 2, which is not open"},
    {"DATA all padding", FC_H2_DATA, FC_H2_PADDED, 1, 1, "\1", "PROTOCOL_ERROR",
        "DATA on stream 1: more padding than frame"},
    {"DATA padded, empty", FC_H2_DATA, FC_H2_PADDED, 1, 0, "", "FRAME_SIZE_ERROR",
        "padded DATA frame of 0 bytes on stream 1"},
    {"HEADERS on 0", FC_H2_HEADERS, 4, 0, 1, "\x82", "PROTOCOL_ERROR", "HEADERS frame on stream 0"},
    {"HEADERS on even", FC_H2_HEADERS, 4, 2, 1, "\x82", "PROTOCOL_ERROR",
        "HEADERS on stream 2: the peer may not use this number"},
    {"HEADERS all padding", FC_H2_HEADERS, 4 | FC_H2_PADDED, 3, 2, "\2\x82", "PROTOCOL_ERROR",
        "HEADERS on stream 3: more padding than frame"},
    {"HEADERS too small for priority", FC_H2_HEADERS, 4 | FC_H2_WITH_PRIORITY, 3, 4, "\0\0\0\0",
        "FRAME_SIZE_ERROR", "HEADERS frame of 4 bytes on stream 3"},
    {"HEADERS undecodable", FC_H2_HEADERS, 4, 3, 1, "\xff", "COMPRESSION_ERROR",
        "the header block of stream 3 cannot be decoded"},
    {"PRIORITY on 0", FC_H2_PRIORITY, 0, 0, 5, "\0\0\0\0\0", "PROTOCOL_ERROR",
        "PRIORITY frame on stream 0"},
    {"PRIORITY of 4", FC_H2_PRIORITY, 0, 1, 4, "\0\0\0\0", "FRAME_SIZE_ERROR",
        "PRIORITY frame of 4 bytes"},
    {"PRIORITY on itself, idle", FC_H2_PRIORITY, 0, 7, 5, "\0\0\0\7\0", "PROTOCOL_ERROR",
        "PRIORITY: stream 7 depends on itself"},
    {"RST_STREAM on 0", FC_H2_RST_STREAM, 0, 0, 4, "\0\0\0\0", "PROTOCOL_ERROR",
        "RST_STREAM frame on stream 0"},
    {"RST_STREAM on idle", FC_H2_RST_STREAM, 0, 5, 4, "\0\0\0\0", "PROTOCOL_ERROR",
        "RST_STREAM on stream 5, which is not open"},
    {"RST_STREAM of 3", FC_H2_RST_STREAM, 0, 1, 3, "\0\0\0", "FRAME_SIZE_ERROR",
        "RST_STREAM frame of 3 bytes"},
    {"SETTINGS on 1", FC_H2_SETTINGS, 0, 1, 0, "", "PROTOCOL_ERROR", "SETTINGS frame on stream 1"},
    {"SETTINGS of 5", FC_H2_SETTINGS, 0, 0, 5, "\0\1\0\0\0", "FRAME_SIZE_ERROR",
        "SETTINGS frame of 5 bytes"},
    {"SETTINGS ack of 6", FC_H2_SETTINGS, 1, 0, 6, "\0\1\0\0\0\0", "FRAME_SIZE_ERROR",
        "SETTINGS acknowledged in 6 bytes"},
    {"ENABLE_PUSH 2", FC_H2_SETTINGS, 0, 0, 6, "\0\2\0\0\0\2", "PROTOCOL_ERROR",
        "SETTINGS: ENABLE_PUSH is 2, not 0 to 1"},
    {"INITIAL_WINDOW_SIZE 2^31", FC_H2_SETTINGS, 0, 0, 6, "\0\4\x80\0\0\0", "FLOW_CONTROL_ERROR",
        "SETTINGS: INITIAL_WINDOW_SIZE is 2147483648, not 0 to 2147483647"},
    {"MAX_FRAME_SIZE 16383", FC_H2_SETTINGS, 0, 0, 6, "\0\5\0\0\x3f\xff", "PROTOCOL_ERROR",
        "SETTINGS: MAX_FRAME_SIZE is 16383, not 16384 to 16777215"},
    {"MAX_FRAME_SIZE 2^24", FC_H2_SETTINGS, 0, 0, 6, "\0\5\1\0\0\0", "PROTOCOL_ERROR",
        "SETTINGS: MAX_FRAME_SIZE is 16777216, not 16384 to 16777215"},
    {"PUSH_PROMISE", FC_H2_PUSH_PROMISE, 4, 1, 5, "\0\0\0\2\x82", "PROTOCOL_ERROR",
        "PUSH_PROMISE on stream 1, but push is switched off"},
    {"PING on 1", FC_H2_PING, 0, 1, 8, "12345678", "PROTOCOL_ERROR", "PING frame on stream 1"},
    {"PING of 7", FC_H2_PING, 0, 0, 7, "1234567", "FRAME_SIZE_ERROR", "PING frame of 7 bytes"},
    {"GOAWAY on 1", FC_H2_GOAWAY, 0, 1, 8, "\0\0\0\0\0\0\0\0", "PROTOCOL_ERROR",
        "GOAWAY frame on stream 1"},
    {"GOAWAY of 7", FC_H2_GOAWAY, 0, 0, 7, "\0\0\0\0\0\0\0", "FRAME_SIZE_ERROR",
        "GOAWAY frame of 7 bytes"},
    {"WINDOW_UPDATE of 5", FC_H2_WINDOW_UPDATE, 0, 0, 5, "\0\0\0\1\0", "FRAME_SIZE_ERROR",
        "WINDOW_UPDATE frame of 5 bytes"},
    {"WINDOW_UPDATE 0", FC_H2_WINDOW_UPDATE, 0, 0, 4, "\0\0\0\0", "PROTOCOL_ERROR",
        "WINDOW_UPDATE of 0 on stream 0"},
    {"WINDOW_UPDATE on idle", FC_H2_WINDOW_UPDATE, 0, 5, 4, "\0\0\0\1", "PROTOCOL_ERROR",
        "WINDOW_UPDATE on stream 5, which is not open"},
    {"window past 2^31-1", FC_H2_WINDOW_UPDATE, 0, 0, 4, "\x7f\xff\xff\xff", "FLOW_CONTROL_ERROR",
        "the connection's window passed 2^31-1"},
    {"CONTINUATION of nothing", FC_H2_CONTINUATION, 4, 1, 1, "\x82", "PROTOCOL_ERROR",
        "CONTINUATION frame on stream 1 continues nothing"},
};

static const struct bad_frame *bad;

static void
bad_frame_(wire *w)
{
	static uint8_t zeros[16385];
	char frames[300], events[400];

	wire_greeting(w);
	wire_call(w, 1, false);
	wire_seen(w);
	wire_frame(w, bad->type, bad->flags, bad->id,
	    bad->payload != NULL ? (const void *)bad->payload : zeros, bad->size);
	snprintf(frames, sizeof frames, "GOAWAY 1 %s \"%s\"\n", bad->code, bad->text);
	snprintf(events, sizeof events,
	    "abort 1 CANCELLED (PROTOCOL) \"%s\"\ndead UNAVAILABLE (PROTOCOL) \"%s\"\n", bad->text,
	    bad->text);
	wire_dies(w, frames, events);
}

static void
frames_that_break_a_rule(void **state)
{
	(void)state;
	for (size_t i = 0; i < FC_COUNT(bad_frames); i++) {
		bad = &bad_frames[i];
		wire_run(bad_frame_, false);
	}
}

SERVER(frames_at_their_limits)
{
	static uint8_t most[16384];

	wire_greeting(w);
	wire_frame(w, 99, 0xff, 1234, most, sizeof most);
	wire_frame(w, FC_H2_SETTINGS, 0, 0, "\0\4\x7f\xff\xff\xff\0\5\0\xff\xff\xff", 12);
	wire_frame(w, FC_H2_SETTINGS, 0, 0, "\0\5\0\0\x40\0\0\x63\1\2\3\4", 12);
	wire_window(w, 0, 0x7fffffff - 65535);
	wire_frame(w, FC_H2_PRIORITY, 0, 7, "\0\0\0\5\0", 5);
	wire_frame(w, FC_H2_PRIORITY, 0, 7, "\x80\0\0\0\xff", 5);
	wire_sees(w, "");
	wire_says(w, "SETTINGS ack\nSETTINGS ack\n");
}

SERVER(padding_and_priority_are_taken_off)
{
	uint8_t frame[200];
	static const wire_field fields[] = {{":method", "POST"}, {":scheme", "http"},
	    {":path", "/t.T/Say"}, {"content-type", "application/grpc"}, {NULL, NULL}};
	size_t n;

	wire_greeting(w);
	memcpy(frame, "\3\0\0\0\0\x10", 6);
	n = 6 + wire_block(frame + 6, fields);
	memcpy(frame + n, "abc", 3);
	wire_frame(w, FC_H2_HEADERS, FC_H2_END_HEADERS | FC_H2_PADDED | FC_H2_WITH_PRIORITY, 1,
	    frame, n + 3);
	wire_frame(w, FC_H2_DATA, FC_H2_PADDED, 1, "\x05\0\0\0\0\2hi\1\2\3\4\5", 13);
	wire_frame(w, FC_H2_DATA, FC_H2_PADDED | FC_H2_END_STREAM, 1, "\0", 1);
	wire_sees(w, "request 1 /t.T/Say\nmessage 1 \"hi\"\nhalf-close 1\n");
	wire_says(w, "");
}

/* ---- header blocks in pieces ---- */

/* A call's block of `total` bytes (0: few), in HEADERS and so many CONTINUATION frames. */
static void
feed_block_in(wire *w, uint32_t id, unsigned continuations, size_t total)
{
	static uint8_t block[70000];
	static char text[70000];
	wire_field fields[] = {{":method", "POST"}, {":scheme", "http"}, {":path", "/t.T/Say"},
	    {"content-type", "application/grpc"}, {"pad", text}, {NULL, NULL}};
	size_t size, first;

	memset(text, 'p', sizeof text);
	text[total > 100 ? total - 100 : 1] = 0;
	size = wire_block(block, fields);
	if (total != 0) {
		text[total - 100] = 'p';
		text[total - 100 + total - size] = 0;
		size = wire_block(block, fields);
		assert_int_equal(size, total);
	}
	first = size < 16384 ? 10 : 16384;
	wire_frame(w, FC_H2_HEADERS, FC_H2_END_STREAM, id, block, first);
	for (unsigned i = 1; i <= continuations; i++) {
		bool last = i == continuations;
		size_t n = last ? size - first : FC_MIN(16384, size - first);

		wire_frame(w, FC_H2_CONTINUATION, last ? FC_H2_END_HEADERS : 0, id, block + first,
		    i < continuations && size < 16384 ? 0 : n);
		if (i == continuations || size >= 16384)
			first += n;
	}
}

SERVER(a_block_of_eight_continuations)
{
	wire_greeting(w);
	feed_block_in(w, 1, 8, 0);
	wire_sees(w, "request 1 /t.T/Say pad=p\nhalf-close 1\n");
}

SERVER(a_block_of_nine_continuations)
{
	wire_greeting(w);
	feed_block_in(w, 1, 9, 0);
	wire_dies(w,
	    "GOAWAY 0 ENHANCE_YOUR_CALM \"header block of stream 1: more than 8 CONTINUATION "
	    "frames "
	    "or 65536 bytes\"\n",
	    "dead RESOURCE_EXHAUSTED (LIMIT) \"header block of stream 1: more than 8 CONTINUATION "
	    "frames or 65536 bytes\"\n");
}

SERVER(a_block_of_64_kib)
{
	wire_greeting(w);
	feed_block_in(w, 1, 3, 65536);
	/* The list is too large for max_metadata, the block is not. */
	wire_says(w,
	    "HEADERS 1 end :status=200 content-type=application/grpc grpc-status=8 "
	    "grpc-message=the request's header list is larger than 8192 bytes or 144 fields\n");
	wire_sees(w, "");
	wire_call(w, 3, true);
	wire_sees(w, "request 3 /t.T/Say at host\nhalf-close 3\n");
}

SERVER(a_block_of_64_kib_and_one)
{
	wire_greeting(w);
	feed_block_in(w, 1, 4, 65537);
	assert_true(wire_is_dead(w));
	wire_says(w,
	    "GOAWAY 0 ENHANCE_YOUR_CALM \"header block of stream 1: more than 8 CONTINUATION "
	    "frames "
	    "or 65536 bytes\"\n");
}

SERVER(a_block_without_a_byte)
{
	wire_greeting(w);
	wire_frame(w, FC_H2_HEADERS, FC_H2_END_STREAM, 1, "", 0);
	wire_frame(w, FC_H2_CONTINUATION, 0, 1, "", 0);
	wire_frame(w, FC_H2_CONTINUATION, FC_H2_END_HEADERS, 1, "", 0);
	wire_says(w, "RST 1 PROTOCOL_ERROR\n");
	wire_frame(w, FC_H2_HEADERS, FC_H2_END_STREAM | FC_H2_END_HEADERS, 3, "", 0);
	wire_says(w, "RST 3 PROTOCOL_ERROR\n");
	wire_sees(w, "");
	assert_false(wire_is_dead(w));
}

SERVER(another_frame_inside_a_block)
{
	wire_greeting(w);
	wire_frame(w, FC_H2_HEADERS, 0, 1, "\x83", 1);
	wire_ping(w, false, "12345678");
	wire_dies(w,
	    "GOAWAY 0 PROTOCOL_ERROR \"PING frame (type 6, stream 0) inside the header block of "
	    "stream 1\"\n",
	    "dead UNAVAILABLE (PROTOCOL) \"PING frame (type 6, stream 0) inside the header block "
	    "of "
	    "stream 1\"\n");
}

SERVER(data_inside_a_block)
{
	wire_greeting(w);
	wire_call(w, 1, false);
	wire_frame(w, FC_H2_HEADERS, 0, 3, "\x83", 1);
	wire_data(w, 1, false, "x", 1);
	assert_true(wire_is_dead(w));
	wire_says(w,
	    "GOAWAY 1 PROTOCOL_ERROR \"DATA frame (type 0, stream 1) inside the header block of "
	    "stream 3\"\n");
}

SERVER(headers_inside_a_block)
{
	wire_greeting(w);
	wire_frame(w, FC_H2_HEADERS, 0, 1, "\x83", 1);
	wire_frame(w, FC_H2_HEADERS, FC_H2_END_HEADERS, 1, "\x83", 1);
	assert_true(wire_is_dead(w));
}

SERVER(an_unknown_frame_inside_a_block)
{
	wire_greeting(w);
	wire_frame(w, FC_H2_HEADERS, 0, 1, "\x83", 1);
	wire_frame(w, 77, 0, 1, "", 0);
	assert_true(wire_is_dead(w));
	wire_says(w,
	    "GOAWAY 0 PROTOCOL_ERROR \"unknown frame (type 77, stream 1) inside the header block "
	    "of "
	    "stream 1\"\n");
}

SERVER(a_block_continued_on_another_stream)
{
	wire_greeting(w);
	wire_frame(w, FC_H2_HEADERS, 0, 1, "\x83", 1);
	wire_frame(w, FC_H2_CONTINUATION, 4, 3, "\x86", 1);
	assert_true(wire_is_dead(w));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(introduces_itself_after_the_preface),
	    clean_test(wide_windows),
	    clean_test(says_what_came),
	    clean_test(wants_settings_first),
	    clean_test(wants_settings_in_time),
	    clean_test(wants_a_preface_in_time),
	    clean_test(answers_a_call),
	    clean_test(frames_that_break_a_rule),
	    clean_test(frames_at_their_limits),
	    clean_test(padding_and_priority_are_taken_off),
	    clean_test(a_block_of_eight_continuations),
	    clean_test(a_block_of_nine_continuations),
	    clean_test(a_block_of_64_kib),
	    clean_test(a_block_of_64_kib_and_one),
	    clean_test(a_block_without_a_byte),
	    clean_test(another_frame_inside_a_block),
	    clean_test(data_inside_a_block),
	    clean_test(headers_inside_a_block),
	    clean_test(an_unknown_frame_inside_a_block),
	    clean_test(a_block_continued_on_another_stream),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
