/*
 * What overtakes messages that are not yet written: WINDOW_UPDATE and answers to PING, and nothing
 * else; only where a frame ends; and never our SETTINGS.
 */
#include "tests/support/test.h"

#include "tests/support/wire.h"

#include <stdlib.h>

static const fc_engine_ops *const ops = &fc_h2_engine;

#define WIRE(name, client)                 \
	static void name##_(wire *w);      \
	static void name(void **state)     \
	{                                  \
		(void)state;               \
		wire_run(name##_, client); \
	}                                  \
	static void name##_(wire *w)

#define WINDOWS "WINDOW 0 32768\nWINDOW 3 32768\n"

static void
open_windows(wire *w)
{
	const uint32_t pair[] = {FC_H2_INITIAL_WINDOW_SIZE, FC_H2_WINDOW_MOST};

	wire_settings(w, pair, 1);
	wire_window(w, 0, FC_H2_WINDOW_MOST - 65535);
}

/* A call each way: a message of `size` bytes on stream 1 waits to be written, all before it has
 * been; on stream 3 the peer may begin one. */
static void
much_waits(wire *w, size_t size)
{
	wire_greeting(w);
	open_windows(w);
	if (w->config.client) {
		wire_open_stream(w);
		wire_open_stream(w);
		wire_response(w, 3);
	} else {
		wire_call(w, 1, true);
		wire_call(w, 3, false);
		ops->send_head(w->engine, wire_stream(w, 1), 0, NULL);
	}
	wire_seen(w);
	wire_said(w);
	w->hold = true;
	wire_send_of(w, 1, size, false);
}

/* Of a message of 4 MiB: more than half of both windows. */
static void
receive_much(wire *w)
{
	static const uint8_t begin[16384] = {0, 0, 0x3f, 0xff, 0xff};
	static const uint8_t more[16384];

	wire_data(w, 3, false, begin, sizeof begin);
	wire_data(w, 3, false, more, sizeof more);
}

/* The frames begin so; answers what follows. */
static const char *
begins(const char *said, const char *expected)
{
	size_t size = strlen(expected);

	if (strncmp(said, expected, size) != 0) {
		print_error("frames out\n%.200s--- expected first\n%s", said, expected);
		fail();
	}
	return said + size;
}

/* Wherever in a frame the last write ended. */
static void
windows_overtake(wire *w)
{
	static const size_t cuts[] = {0, 1, 8, 9, 10, 5000, 16392, 16393, 16394, 32785, 65545};

	much_waits(w, 1000000);
	for (size_t i = 0; i < FC_COUNT(cuts); i++) {
		const char *said;

		/* A frame's end was reached: so each cut is counted from there. */
		wire_take_some(w, cuts[i]);
		receive_much(w);
		wire_ping(w, false, "12345678");
		assert_int_equal(w->engine->ahead.size, 13 + 13 + 17);
		wire_take_some(w, (16393 - cuts[i] % 16393) % 16393 + 13 + 13 + 17);
		assert_int_equal(w->engine->ahead.size, 0);
		assert_true(w->engine->out.size > 100000);
		said = (const char *)w->out + w->out_size - 43;
		assert_memory_equal(said, "\0\0\4\10\0\0\0\0\0\0\0\x80\0", 13);
		assert_memory_equal(said + 13, "\0\0\4\10\0\0\0\0\3\0\0\x80\0", 13);
		assert_memory_equal(said + 26,
		    "\0\0\10\6\1\0\0\0\0"
		    "12345678",
		    17);
	}
}

WIRE(windows_overtake_a_servers_messages, false)
{
	windows_overtake(w);
}

WIRE(windows_overtake_a_clients_messages, true)
{
	windows_overtake(w);
}

/* In the same turn, before any of it was written. */
WIRE(nothing_must_have_been_written, false)
{
	const char *said;

	much_waits(w, 100000);
	receive_much(w);
	said = begins(wire_said(w), WINDOWS "DATA 1 (16384)\nDATA 1 (16384)\n");
	assert_null(strstr(said, "WINDOW"));
}

/* What the peer acts upon in order stays in order. */
WIRE(nothing_else_overtakes, false)
{
	const char *said;

	much_waits(w, 40000 - 5);
	wire_take_some(w, 100);
	wire_settings(w, NULL, 0);
	wire_release(w, 3);
	wire_call(w, 5, true);
	wire_tail(w, 5, FARCALL_OK, "");
	ops->drain(w->engine, w->now, "bye");
	said = begins(wire_said(w),
	    "DATA 1 (16384)\nDATA 1 (16384)\nDATA 1 (7232)\nSETTINGS ack\n"
	    "RST 3 CANCEL\nHEADERS 5 end ");
	assert_non_null(strstr(said, "GOAWAY"));
}

/* From 16,384 bytes on: before that it is not worth it. */
static void
with_waiting(wire *w, size_t size, bool overtakes)
{
	much_waits(w, size - 14);
	assert_int_equal(w->engine->out.size, size);
	wire_ping(w, false, "12345678");
	assert_int_equal(w->engine->ahead.size, overtakes ? 17 : 0);
	assert_int_equal(w->engine->out.size, overtakes ? size : size + 17);
}

WIRE(at_the_limit, false)
{
	with_waiting(w, FC_H2_OVERTAKEN_LEAST - 1, false);
}

WIRE(past_the_limit, false)
{
	with_waiting(w, FC_H2_OVERTAKEN_LEAST, true);
}

static void
answer_at_once(wire *w, const char *what, fc_stream *stream)
{
	if (strcmp(what, "request") == 0 && wire_id(stream) == 1)
		wire_send_of(w, 1, 100000, false);
}

/* A server answers, and gives windows, before its own SETTINGS have left: they are first all the
 * same, whole. RFC 9113 3.4. */
static void
settings_are_first_(wire *w)
{
	w->hold = true;
	w->hook = answer_at_once;
	wire_open(w);
	wire_preface(w);
	open_windows(w);
	wire_call(w, 1, true);
	wire_call(w, 3, false);
	receive_much(w);
	assert_int_equal(w->engine->ahead.size, 13 + 13);
	for (int i = 0; i < 60; i++)
		wire_take_some(w, 1);
	wire_said(w);
	begins(w->frames, "SETTINGS 3=100 4=65535 6=8192\n" WINDOWS "SETTINGS ack\n");
}

static void
settings_are_first(void **state)
{
	(void)state;
	wire_run_unopened(settings_are_first_, false);
}

/* They count among what the peer makes us send until they have been written, and no longer. */
WIRE(they_are_counted_until_written, false)
{
	much_waits(w, 1000000);
	for (uint32_t i = 1; i <= 90; i++) {
		wire_ping(w, false, "12345678");
		assert_int_equal(w->engine->induced, i);
	}
	wire_take_some(w, 90 * 17 - 1);
	assert_int_equal(w->engine->induced, 90);
	wire_take_some(w, 1);
	assert_int_equal(w->engine->induced, 0);
	assert_true(w->engine->out.size > 900000);
}

/* A connection that is lost says nothing more, not the half of it either. */
WIRE(they_are_dropped_with_the_rest, true)
{
	much_waits(w, 1000000);
	wire_take_some(w, 100);
	receive_much(w);
	assert_int_not_equal(w->engine->ahead.size, 0);
	ops->end(w->engine, NULL);
	assert_int_equal(w->engine->ahead.size, 0);
	wire_seen(w);
	w->out_read = w->out_size;
	assert_string_equal(wire_said(w), "");
}

static uint64_t seed;

/* Short writes of any size, between frames of any kind: what comes out are whole frames. */
static void
any_order_(wire *w)
{
	test_random random = {seed};
	size_t windows = 0, data = 0;

	much_waits(w, (3u << 20) - 5);
	for (int i = 0; i < 300; i++) {
		wire_take_some(w, test_random_below(&random, 40000));
		if (i % 3 == 0)
			receive_much(w);
		if (i % 50 == 49)
			wire_settings(w, NULL, 0);
	}
	wire_said(w);
	for (const char *p = w->frames; *p != 0; p = strchr(p, '\n') + 1) {
		windows += strncmp(p, "WINDOW ", 7) == 0;
		data += strncmp(p, "DATA 1 (", 8) == 0 ? (size_t)atoi(p + 8) : 0;
	}
	assert_true(windows >= 100);
	assert_int_equal(data, 3u << 20);
}

static void
any_order(void **state)
{
	(void)state;
	for (seed = 1; seed <= 10; seed++)
		wire_run(any_order_, seed % 2 == 0);
}

/* All that was written from `at` on: a header block stands together. */
static void
check_blocks(const wire *w, size_t at)
{
	bool open = false;
	unsigned more = 0;

	while (at + 9 <= w->out_size) {
		const uint8_t *head = w->out + at;

		assert_int_equal(head[3] == FC_H2_CONTINUATION, open);
		more += open;
		if (head[3] == FC_H2_HEADERS || head[3] == FC_H2_CONTINUATION)
			open = (head[4] & FC_H2_END_HEADERS) == 0;
		at += 9 + ((size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2]);
	}
	assert_false(open);
	assert_int_equal(more, 2);
}

/* RFC 9113 6.10: nothing stands between HEADERS and its CONTINUATION, wherever a write ended. */
static void
a_header_block_is_one_(wire *w)
{
	static char value[20000];
	const fc_pair pairs[] = {{.name = "a", .name_size = 1, .value = value, .value_size = 20000},
	    {.name = "b", .name_size = 1, .value = value, .value_size = 20000}};
	test_random random = {seed};
	size_t before;

	memset(value, '~', sizeof value); /* Huffman's code is longer */
	much_waits(w, 20000);
	before = w->out_size;
	assert_int_equal(ops->send_head(w->engine, wire_stream(w, 3), 2, pairs), FC_SEND_OK);
	while (w->engine->out.size != 0) {
		bool ends = test_random_below(&random, 3) == 0;

		wire_take_some(w, ends ? 16393 : test_random_below(&random, 9000));
		wire_ping(w, false, "12345678");
	}
	wire_take_output(w);
	check_blocks(w, before);
}

static void
a_header_block_is_one(void **state)
{
	(void)state;
	for (seed = 1; seed <= 20; seed++)
		wire_run(a_header_block_is_one_, false);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(windows_overtake_a_servers_messages),
	    clean_test(windows_overtake_a_clients_messages),
	    clean_test(nothing_must_have_been_written),
	    clean_test(nothing_else_overtakes),
	    clean_test(at_the_limit),
	    clean_test(past_the_limit),
	    clean_test(settings_are_first),
	    clean_test(they_are_counted_until_written),
	    clean_test(they_are_dropped_with_the_rest),
	    clean_test(any_order),
	    clean_test(a_header_block_is_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
