/*
 * What a server may make its client do for nothing, at each limit and one past it: hardening H3, H5
 * to H8, H10, H11, H20 from the other side; and what either side does with reserved bits and the
 * last number of a stream (RFC 9113, 4.1, 5.1.1).
 */
#include "tests/support/test.h"

#include "tests/support/wire.h"

#include <stdio.h>

static const fc_engine_ops *const ops = &fc_h2_engine;

#define ENGINE(name, client)               \
	static void name##_(wire *w);      \
	static void name(void **state)     \
	{                                  \
		(void)state;               \
		wire_run(name##_, client); \
	}                                  \
	static void name##_(wire *w)
#define CLIENT(name) ENGINE(name, true)
#define SERVER(name) ENGINE(name, false)

static void
calm_down(wire *w, const char *text)
{
	char end[200];
	const char *said = wire_said(w);
	size_t size =
	    (size_t)snprintf(end, sizeof end, "GOAWAY 0 ENHANCE_YOUR_CALM \"%s\"\n", text);

	assert_true(wire_is_dead(w));
	assert_true(strlen(said) >= size);
	assert_string_equal(said + strlen(said) - size, end);
}

/* ---- frames that do no work ---- */

static void
empty_data(wire *w)
{
	wire_data(w, 1, false, NULL, 0);
}

static void
padding_only(wire *w)
{
	wire_frame(w, FC_H2_DATA, FC_H2_PADDED, 1, "\3\0\0\0", 4);
}

static void
ping(wire *w)
{
	wire_ping(w, false, "........");
}

static void
settings(wire *w)
{
	wire_settings(w, NULL, 0);
}

static void
priority(wire *w)
{
	wire_frame(w, FC_H2_PRIORITY, 0, 1, "\0\0\0\0\0", 5);
}

static void
window(wire *w)
{
	wire_window(w, 1, 1);
}

static void
unknown(wire *w)
{
	wire_frame(w, 200, 0, 1, "x", 1);
}

static void
stray_ack(wire *w)
{
	wire_ack(w);
}

static const struct flood {
	void (*frame)(wire *w);
	unsigned burst, a_second, a_work;
	const char *text;
	unsigned
	    put_by; /* what the call has earned before: its two frames, and the answer's head */
} floods[] = {
    {empty_data, 100, 10, 1, "too many empty DATA frames", 0},
    {padding_only, 100, 10, 1, "too many empty DATA frames", 0},
    {ping, 100, 2, 8, "too_many_pings", 0},
    {settings, 100, 1, 1, "too many SETTINGS frames", 0},
    {priority, 1000, 100, 16, "too many PRIORITY frames", 0},
    {window, 1000, 100, 16, "too many WINDOW_UPDATE frames", 3 * 16},
    {unknown, 1000, 10, 1, "too many frames without a meaning", 0},
    {stray_ack, 1000, 10, 1, "too many frames without a meaning", 0},
};
static const struct flood *flood;

static void
flood_(wire *w)
{
	w->quiet = true;
	wire_greeting(w);
	wire_open_stream(w);
	wire_send(w, 1, "q", true);
	wire_take_output(w);
	wire_response(w, 1);
	for (unsigned i = 0; i < flood->burst + flood->put_by; i++)
		flood->frame(w);
	assert_false(wire_is_dead(w));
	w->now += FC_NS_PER_S;
	for (unsigned i = 0; i < flood->a_second; i++)
		flood->frame(w);
	assert_false(wire_is_dead(w));
	wire_message(w, 1, false, "work"); /* earns some more */
	for (unsigned i = 0; i < flood->a_work; i++)
		flood->frame(w);
	assert_false(wire_is_dead(w));
	flood->frame(w);
	calm_down(w, flood->text);
}

static void
floods_end_the_connection(void **state)
{
	(void)state;
	for (size_t i = 0; i < FC_COUNT(floods); i++) {
		flood = &floods[i];
		wire_run(flood_, true);
	}
}

CLIENT(settings_with_32_entries)
{
	uint32_t pairs[66];

	for (size_t i = 0; i < 33; i++) {
		pairs[2 * i] = 100;
		pairs[2 * i + 1] = 1;
	}
	wire_greeting(w);
	wire_settings(w, pairs, 32);
	assert_false(wire_is_dead(w));
	wire_said(w);
	wire_settings(w, pairs, 33);
	calm_down(w, "SETTINGS with more than 32 entries");
}

CLIENT(answers_that_nobody_reads)
{
	wire_greeting(w);
	w->hold = true;
	w->quiet = true;
	for (unsigned i = 0; i < 1000; i++) {
		w->engine->idle[FC_IDLE_PING].spent = 0;
		ping(w);
	}
	assert_false(ops->congested(w->engine));
	w->engine->idle[FC_IDLE_PING].spent = 0;
	ping(w);
	assert_true(ops->congested(w->engine));
	wire_take_output(w);
	assert_false(ops->congested(w->engine));
}

/* ---- header blocks ---- */

static unsigned continuations;

static void
a_block_in_pieces_(wire *w)
{
	wire_greeting(w);
	wire_open_stream(w);
	wire_said(w);
	wire_frame(w, FC_H2_HEADERS, 0, 1, "\x88", 1);
	for (unsigned i = 1; i <= continuations && !wire_is_dead(w); i++)
		wire_frame(w, FC_H2_CONTINUATION, i == continuations ? FC_H2_END_HEADERS : 0, 1,
		    "\0\1a\1b", 5);
	if (continuations <= 8)
		assert_false(wire_is_dead(w));
	else
		calm_down(
		    w, "header block of stream 1: more than 8 CONTINUATION frames or 65536 bytes");
}

static void
a_block_in_pieces(void **state)
{
	(void)state;
	for (continuations = 8; continuations <= 9; continuations++)
		wire_run(a_block_in_pieces_, true);
}

CLIENT(an_hpack_bomb)
{
	uint8_t block[16384];

	wire_greeting(w);
	wire_open_stream(w);
	wire_open_stream(w);
	wire_said(w);
	/* One entry of 4 KiB, then a reference to it for each further byte. */
	memcpy(block, "\x40\1a\x7f", 4);
	block[4] = 0x80 + ((4000 - 127) & 0x7f);
	block[5] = (4000 - 127) >> 7;
	memset(block + 6, 'x', 4000);
	memset(block + 4006, 0xbe, sizeof block - 4006);
	wire_frame(w, FC_H2_HEADERS, FC_H2_END_HEADERS, 1, block, sizeof block);
	wire_sees(w,
	    "abort 1 RESOURCE_EXHAUSTED (TOO_LARGE) \"the response's header list is larger than "
	    "8192 bytes or 144 fields\"\n");
	wire_says(w, "RST 1 CANCEL\n");
	/* The table is in step, the connection lives. */
	wire_response(w, 3);
	wire_trailers(w, 3, "0", NULL);
	wire_sees(w, "head 3\ntail 3 OK\n");
}

/* ---- reserved bits, and the last number ---- */

/* RFC 9113, 4.1: it must be ignored. Of a frame's stream, a window's size, GOAWAY's last stream. */
SERVER(reserved_bits_mean_nothing)
{
	static const uint8_t frame[] = {0, 0, 6, 0, 1, 0x80, 0, 0, 1, 0, 0, 0, 0, 1, 'x'};

	wire_greeting(w);
	wire_call(w, 1, false);
	wire_feed(w, frame, sizeof frame);
	wire_sees(w, "request 1 /t.T/Say at host\nmessage 1 \"x\"\nhalf-close 1\n");
	wire_window(w, 0, 0x80000001u);
	wire_window(w, 1, 0x80000001u);
	wire_says(w, "");
	wire_window(w, 1, 0x80000000u); /* is 0: no stream is reset for it (MadeYouReset) */
	assert_true(wire_is_dead(w));
	wire_says(w, "GOAWAY 1 PROTOCOL_ERROR \"WINDOW_UPDATE of 0 on stream 1\"\n");
}

CLIENT(reserved_bits_of_goaway)
{
	wire_greeting(w);
	wire_open_stream(w);
	wire_open_stream(w);
	wire_goaway(w, 0x80000001u, FC_H2_NO_ERROR, "");
	wire_sees(w,
	    "goaway UNAVAILABLE (SHUTDOWN) \"the server is going away: GOAWAY NO_ERROR\"\n"
	    "abort 3 UNAVAILABLE (SHUTDOWN) unseen \"the server is going away: GOAWAY "
	    "NO_ERROR\"\n");
	wire_response(w, 1);
	wire_sees(w, "head 1\n");
}

SERVER(the_last_number)
{
	static const wire_field fields[] = {{":method", "POST"}, {":scheme", "http"},
	    {":path", "/t.T/Say"}, {"content-type", "application/grpc"}, {NULL, NULL}};

	w->quiet = true; /* the owner's list does not reach so far */
	wire_greeting(w);
	wire_headers(w, FC_H2_ID_MOST, true, fields);
	assert_false(wire_is_dead(w));
	wire_says(w, "");
	wire_headers(w, 1, true, fields);
	assert_true(wire_is_dead(w));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(floods_end_the_connection),
	    clean_test(settings_with_32_entries),
	    clean_test(answers_that_nobody_reads),
	    clean_test(a_block_in_pieces),
	    clean_test(an_hpack_bomb),
	    clean_test(reserved_bits_mean_nothing),
	    clean_test(reserved_bits_of_goaway),
	    clean_test(the_last_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
