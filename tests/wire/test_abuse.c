/*
 * What a peer may make us do for nothing, at each limit and one past it: hardening H1 to H3, H5 to
 * H8, H10, H11, H23.
 */
#include "tests/support/test.h"

#include "tests/support/wire.h"
#include "tests/wire/floods.h"

static const fc_engine_ops *const ops = &fc_h2_engine;

#define SERVER(name)                      \
	static void name##_(wire *w);     \
	static void name(void **state)    \
	{                                 \
		(void)state;              \
		wire_run(name##_, false); \
	}                                 \
	static void name##_(wire *w)

/* ---- resets ---- */

static void
call_and_reset(wire *w, uint32_t id)
{
	wire_call(w, id, false);
	wire_rst(w, id, FC_H2_CANCEL);
}

static void
release_aborted(wire *w, const char *what, fc_stream *stream)
{
	if (strcmp(what, "abort") == 0 || strcmp(what, "tail") == 0)
		ops->release(w->engine, stream);
}

SERVER(rapid_reset)
{
	uint32_t id = 1;

	w->quiet = true;
	w->hook = release_aborted;
	wire_greeting(w);
	for (; id < 2 * 1000; id += 2)
		call_and_reset(w, id);
	assert_false(wire_is_dead(w));
	/* 33 more after a second. */
	w->now += FC_NS_PER_S;
	for (int i = 0; i < 33; i++, id += 2)
		call_and_reset(w, id);
	assert_false(wire_is_dead(w));
	call_and_reset(w, id);
	wire_calms_down(w, "too many streams were reset");
}

static void
call_and_answer(wire *w, uint32_t id)
{
	wire_call(w, id, true);
	wire_tail(w, id, FARCALL_OK, "");
	wire_release(w, id);
	w->streams[id / 2] = NULL;
}

/* No time passes: each call that is answered pays for one that is cancelled, and no more than was
 * spent comes back. */
static void
answers_pay_for_resets_(wire *w)
{
	uint32_t id = 1;

	w->quiet = true;
	w->hook = release_aborted;
	wire_greeting(w);
	for (int i = 0; i < 10; i++, id += 2)
		call_and_answer(w, id);
	for (unsigned i = 0; i < FC_H2_RESETS_BURST; i++, id += 2)
		call_and_reset(w, id);
	assert_false(wire_is_dead(w));
	for (int i = 0; i < 500; i++, id += 4) {
		call_and_answer(w, id);
		call_and_reset(w, id + 2);
		assert_false(wire_is_dead(w));
	}
	call_and_reset(w, id);
	wire_calms_down(w, "too many streams were reset");
}

static void
answers_pay_for_resets(void **state)
{
	(void)state;
	wire_run(answers_pay_for_resets_, false);
}

static void
rapid_reset_of_held_calls_(wire *w)
{
	w->config.max_streams = 10;
	wire_open(w);
	w->quiet = true;
	wire_greeting(w);
	for (uint32_t id = 1; id <= 19; id += 2)
		call_and_reset(w, id);
	assert_int_equal(w->engine->running, 10);
	/* Ten handlers run, though no stream is open: no eleventh. */
	wire_call(w, 21, false);
	wire_says(w, "RST 21 REFUSED_STREAM\n");
}

static void
rapid_reset_of_held_calls(void **state)
{
	(void)state;
	wire_run_unopened(rapid_reset_of_held_calls_, false);
}

/* Ways to make us reset a stream that is open: MadeYouReset. */
static void
by_window(wire *w, uint32_t id)
{
	wire_window(w, id, 0x7fffffff);
}

static void
by_content_length(wire *w, uint32_t id)
{
	static const wire_field fields[] = {{":method", "POST"}, {":scheme", "http"},
	    {":path", "/t.T/Say"}, {"content-type", "application/grpc"}, {"content-length", "3"},
	    {NULL, NULL}};

	wire_headers(w, id + 2, false, fields);
	wire_data(w, id + 2, false, "1234", 4);
}

static void
by_priority(wire *w, uint32_t id)
{
	uint8_t payload[5] = {0};

	fc_put32(payload, id);
	wire_frame(w, FC_H2_PRIORITY, 0, id, payload, 5);
}

static void
by_malformed_request(wire *w, uint32_t id)
{
	wire_frame(w, FC_H2_HEADERS, FC_H2_END_HEADERS, id + 2, "\x83", 1);
}

static void
by_second_headers(wire *w, uint32_t id)
{
	wire_call(w, id, false);
}

static void (*const provocations[])(wire *w, uint32_t id) = {
    by_window, by_content_length, by_priority, by_malformed_request, by_second_headers};
static size_t provocation;

static void
made_you_reset_(wire *w)
{
	uint32_t id = 1;

	w->quiet = true;
	w->hook = release_aborted;
	wire_greeting(w);
	for (unsigned i = 0; i < 1000; i++, id += 4) {
		wire_call(w, id, false);
		provocations[provocation](w, id);
		if (w->streams[id / 2] != NULL)
			ops->release(w->engine, w->streams[id / 2]);
		assert_false(wire_is_dead(w));
		w->streams[id / 2] = NULL;
		wire_take_output(w);
	}
	wire_call(w, id, false);
	provocations[provocation](w, id);
	wire_calms_down(w, "too many streams were reset");
}

static void
made_you_reset(void **state)
{
	(void)state;
	for (provocation = 0; provocation < FC_COUNT(provocations); provocation++)
		wire_run(made_you_reset_, false);
}

static void
refused_streams_(wire *w)
{
	w->config.max_streams = 0;
	wire_open(w);
	wire_greeting(w);
	for (uint32_t i = 0; i < 1000; i++)
		wire_call(w, 2 * i + 1, true);
	assert_false(wire_is_dead(w));
	wire_call(w, 2 * 1000 + 1, true);
	wire_calms_down(w, "too many streams were reset");
}

static void
refused_streams(void **state)
{
	(void)state;
	wire_run_unopened(refused_streams_, false);
}

/* ---- frames that do no work ---- */

static void
floods_end_the_connection(void **state)
{
	(void)state;
	floods_run(false);
}

/* The windows of much that was sent may all come late: 16 for each frame, 65,536 at most. */
static void
late_windows_(wire *w)
{
	w->quiet = true;
	wire_greeting(w);
	wire_call(w, 1, false);
	for (int i = 0; i < 65536 / 16 + 100; i++)
		wire_message(w, 1, false, "x");
	for (int i = 0; i < 65536 + 1000; i++)
		wire_window(w, 1, 1);
	assert_false(wire_is_dead(w));
	wire_window(w, 1, 1);
	wire_calms_down(w, "too many WINDOW_UPDATE frames");
}

static void
late_windows(void **state)
{
	(void)state;
	wire_run(late_windows_, false);
}

static void
frames_on_closed_streams_(wire *w)
{
	w->quiet = true;
	wire_greeting(w);
	wire_open_stream(w);
	ops->abort(w->engine, wire_stream(w, 1), FARCALL_CANCELLED);
	wire_release(w, 1);
	for (int i = 0; i < 10000; i++)
		wire_rst(w, 1, FC_H2_CANCEL);
	assert_false(wire_is_dead(w));
	w->now += FC_NS_PER_S;
	for (int i = 0; i < 1000; i++)
		wire_rst(w, 1, FC_H2_CANCEL);
	assert_false(wire_is_dead(w));
	wire_rst(w, 1, FC_H2_CANCEL);
	wire_calms_down(w, "too many frames on streams that are closed");
}

static void
frames_on_closed_streams(void **state)
{
	(void)state;
	wire_run(frames_on_closed_streams_, true);
}

/* Bytes for a stream that is closed are no work: they earn nothing. */
SERVER(dropped_data_earns_nothing)
{
	wire_greeting(w);
	wire_call(w, 1, false);
	wire_release(w, 1);
	w->quiet = true;
	for (int i = 0; i < 100; i++) {
		wire_data(w, 1, false, "x", 1);
		wire_ping(w, false, "........");
	}
	assert_false(wire_is_dead(w));
	wire_ping(w, false, "........");
	wire_calms_down(w, "too_many_pings");
}

/* As a busy peer does: a window update and a ping for each message. */
SERVER(a_busy_peer_is_left_alone)
{
	w->quiet = true;
	wire_greeting(w);
	wire_call(w, 1, false);
	for (int i = 0; i < 3000; i++) {
		wire_message(w, 1, false, "work");
		wire_ping(w, false, "........");
		wire_window(w, 0, 100);
		wire_window(w, 1, 100);
		ops->taken(w->engine, wire_stream(w, 1), 4);
		assert_int_equal(wire_send(w, 1, "work", false), FC_SEND_OK);
		wire_take_output(w);
	}
	assert_false(wire_is_dead(w));
}

SERVER(settings_with_32_entries)
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

/* ---- output that nobody reads ---- */

SERVER(induced_frames_congest)
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
	/* An owner that reads on all the same is bounded, too. */
	for (unsigned i = 0; i < 10000; i++) {
		w->engine->idle[FC_IDLE_PING].spent = 0;
		wire_ping(w, false, "........");
	}
	assert_false(wire_is_dead(w));
	w->engine->idle[FC_IDLE_PING].spent = 0;
	wire_ping(w, false, "........");
	wire_calms_down(w, "too many answers wait to be read");
}

SERVER(large_heads_congest)
{
	static char value[60000];
	fc_pair pair = {"big", value, 3, sizeof value, 0};
	uint32_t id = 1;

	memset(value, 'v', sizeof value);
	wire_greeting(w);
	w->hold = true;
	w->quiet = true;
	while (w->engine->out.size <= (1u << 20) + 65536) {
		assert_false(ops->congested(w->engine));
		wire_call(w, id, true);
		assert_int_equal(
		    ops->send_head(w->engine, wire_stream(w, id), 1, &pair), FC_SEND_OK);
		id += 2;
	}
	assert_true(ops->congested(w->engine));
}

/* ---- header lists ---- */

SERVER(an_hpack_bomb)
{
	uint8_t block[16384];
	size_t n;

	wire_greeting(w);
	/* One entry of 4 KiB, then a reference to it for each further byte. */
	block[0] = 0x40;
	block[1] = 1;
	block[2] = 'a';
	block[3] = 0x7f;
	block[4] = 0x80 + ((4000 - 127) & 0x7f);
	block[5] = (4000 - 127) >> 7;
	memset(block + 6, 'x', 4000);
	n = 4006;
	memset(block + n, 0xbe, sizeof block - n);
	wire_frame(w, FC_H2_HEADERS, FC_H2_END_HEADERS, 1, block, sizeof block);
	wire_says(w,
	    "HEADERS 1 end :status=200 content-type=application/grpc grpc-status=8 "
	    "grpc-message=the request's header list is larger than 8192 bytes or 144 fields\n"
	    "RST 1 NO_ERROR\n");
	/* The table is in step, the connection lives. */
	wire_call(w, 3, true);
	wire_sees(w, "request 3 /t.T/Say at host\nhalf-close 3\n");
}

static size_t list_extra;

static void
a_list_of_(wire *w)
{
	char value[200];
	wire_field fields[] = {{":method", "POST"}, {":scheme", "http"}, {":path", "/t.T/Say"},
	    {"content-type", "application/grpc"}, {"a", value}, {NULL, NULL}};
	/* 7 + 4, 7 + 4, 5 + 8, 12 + 16, 1 + n, and 32 each: 224 + n */
	size_t n = list_extra;

	memset(value, 'x', n);
	value[n] = 0;
	w->config.max_metadata = 300;
	wire_open(w);
	wire_greeting(w);
	wire_headers(w, 1, true, fields);
	if (n <= 300 - 224) {
		wire_says(w, "");
		assert_true(strncmp(wire_seen(w), "request 1 ", 10) == 0);
	} else {
		wire_sees(w, "");
		wire_says(w,
		    "HEADERS 1 end :status=200 content-type=application/grpc grpc-status=8 "
		    "grpc-message=the request's header list is larger than 300 bytes or 144 "
		    "fields\n");
	}
}

static void
a_list_at_its_limit(void **state)
{
	(void)state;
	list_extra = 300 - 224;
	wire_run_unopened(a_list_of_, false);
	list_extra++;
	wire_run_unopened(a_list_of_, false);
}

static void
interim_answers_(wire *w)
{
	static const wire_field interim[] = {{":status", "103"}, {"link", "x"}, {NULL, NULL}};

	wire_greeting(w);
	wire_open_stream(w);
	for (int i = 0; i < 100; i++)
		wire_headers(w, 1, false, interim);
	assert_false(wire_is_dead(w));
	wire_said(w);
	wire_sees(w, "");
	wire_headers(w, 1, false, interim);
	assert_true(wire_is_dead(w));
	wire_says(w, "GOAWAY 0 ENHANCE_YOUR_CALM \"too many interim responses\"\n");
}

static void
interim_answers(void **state)
{
	(void)state;
	wire_run(interim_answers_, true);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(rapid_reset),
	    clean_test(answers_pay_for_resets),
	    clean_test(rapid_reset_of_held_calls),
	    clean_test(made_you_reset),
	    clean_test(refused_streams),
	    clean_test(floods_end_the_connection),
	    clean_test(late_windows),
	    clean_test(frames_on_closed_streams),
	    clean_test(dropped_data_earns_nothing),
	    clean_test(a_busy_peer_is_left_alone),
	    clean_test(settings_with_32_entries),
	    clean_test(induced_frames_congest),
	    clean_test(large_heads_congest),
	    clean_test(an_hpack_bomb),
	    clean_test(a_list_at_its_limit),
	    clean_test(interim_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
