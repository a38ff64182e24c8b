/*
 * What a server may make its client do for nothing, at each limit and one past it: hardening H3, H5
 * to H8, H10, H11, H20 from the other side; and what either side does with reserved bits and the
 * last number of a stream (RFC 9113, 4.1, 5.1.1).
 */
#include "tests/support/test.h"

#include "tests/support/wire.h"
#include "tests/wire/floods.h"

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
floods_end_the_connection(void **state)
{
	(void)state;
	floods_run(true);
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
	wire_calms_down(w, "SETTINGS with more than 32 entries");
}

CLIENT(answers_that_nobody_reads)
{
	wire_greeting(w);
	w->hold = true;
	w->quiet = true;
	for (unsigned i = 0; i < 1000; i++) {
		w->engine->idle[FC_IDLE_PING].spent = 0;
		wire_ping(w, false, "........");
	}
	assert_false(ops->congested(w->engine));
	w->engine->idle[FC_IDLE_PING].spent = 0;
	wire_ping(w, false, "........");
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
		wire_calms_down(
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
