/*
 * Compressed messages on a server's wire: what is negotiated, what is said of it in heads, each
 * message by itself, limits, and what is broken. grpc/grpc: doc/compression.md; hardening G2.
 */
#include "tests/support/test.h"

#include "tests/wire/coded.h"

#include <stdio.h>

static const fc_engine_ops *const ops = &fc_h2_engine;

#define HEAD "HEADERS %u :status=200 content-type=application/grpc"

static void
call_with(wire *w, uint32_t id, const char *encoding, const char *accept)
{
	wire_field fields[10] = {{":method", "POST"}, {":scheme", "http"}, {":path", "/t.T/Say"},
	    {"content-type", "application/grpc"}};
	int n = 4;

	if (encoding != NULL)
		fields[n++] = (wire_field){"grpc-encoding", encoding};
	if (accept != NULL)
		fields[n++] = (wire_field){"grpc-accept-encoding", accept};
	wire_headers(w, id, false, fields);
}

/* ---- a server's requests ---- */

static const struct request_row {
	unsigned codings;
	const char *encoding, *events, *frames;
} request_rows[] = {
    {BOTH, NULL, "request 1 /t.T/Say\n", ""},
    {BOTH, "identity", "request 1 /t.T/Say\n", ""},
    {BOTH, "gzip", "request 1 /t.T/Say\n", ""},
    {BOTH, "deflate", "request 1 /t.T/Say\n", ""},
    {BOTH, "snappy", "",
        "HEADERS 1 end :status=200 content-type=application/grpc grpc-accept-encoding=" ALL
        " grpc-status=12 grpc-message=grpc-encoding \"snappy\" is not supported, " ALL
        " is\nRST 1 NO_ERROR\n"},
    {BOTH, "gzip,deflate", "",
        "HEADERS 1 end :status=200 content-type=application/grpc grpc-accept-encoding=" ALL
        " grpc-status=12 grpc-message=grpc-encoding \"gzip,deflate\" is not supported, " ALL
        " is\nRST 1 NO_ERROR\n"},
    {FC_CODING_DEFLATE, "gzip", "",
        "HEADERS 1 end :status=200 content-type=application/grpc "
        "grpc-accept-encoding=identity,deflate grpc-status=12 grpc-message=grpc-encoding "
        "\"gzip\" is not supported, identity,deflate is\nRST 1 NO_ERROR\n"},
    {FC_CODING_GZIP, "deflate", "",
        "HEADERS 1 end :status=200 content-type=application/grpc "
        "grpc-accept-encoding=identity,gzip grpc-status=12 grpc-message=grpc-encoding "
        "\"deflate\" is not supported, identity,gzip is\nRST 1 NO_ERROR\n"},
};
static const struct request_row *request_row;

static void
request_(wire *w)
{
	coded_open(w, request_row->codings);
	call_with(w, 1, request_row->encoding, NULL);
	wire_sees(w, request_row->events);
	wire_says(w, request_row->frames);
}

static void
codings_of_requests(void **state)
{
	(void)state;
	for (size_t i = 0; i < FC_COUNT(request_rows); i++) {
		request_row = &request_rows[i];
		wire_run_unopened(request_, false);
	}
}

SERVER(messages_one_by_one)
{
	uint8_t all[400];
	size_t n = 0;

	coded_flags[0] = 0;
	w->hook = coded_note;
	coded_open(w, BOTH);
	call_with(w, 1, "gzip", NULL);
	coded_feed_zeros(w, 1, false, FC_CODING_GZIP, 3);
	wire_message(w, 1, false, "plain"); /* allowed */
	wire_message(w, 1, false, "");
	coded_feed_zeros(w, 1, false, FC_CODING_GZIP, 0);
	/* Three in one frame, a compressed one between. */
	memcpy(all, "\0\0\0\0\1a\1\0\0\0", 10);
	n = coded_zeros(FC_CODING_GZIP, 300, all + 11, 300);
	all[10] = (uint8_t)n;
	memcpy(all + 11 + n, "\0\0\0\0\1b", 6);
	wire_data(w, 1, true, all, 11 + n + 6);
	wire_sees(w,
	    "request 1 /t.T/Say\nmessage 1 000000\nmessage 1 \"plain\"\nmessage 1 \"\"\n"
	    "message 1 \"\"\nmessage 1 \"a\"\nmessage 1 (300)\nmessage 1 \"b\"\nhalf-close 1\n");
	assert_string_equal(coded_flags, "cppcpcp");
	assert_false(wire_stream(w, 1)->compressed);
	assert_int_equal(w->engine->gathered, 0);
}

SERVER(deflate_and_large_ones)
{
	coded_flags[0] = 0;
	w->hook = coded_note;
	coded_open(w, BOTH);
	call_with(w, 1, "deflate", NULL);
	for (int i = 0; i < 20; i++) {
		coded_feed_zeros(w, 1, false, FC_CODING_DEFLATE, 1000000);
		ops->taken(w->engine, wire_stream(w, 1), 1000000);
	}
	wire_seen(w);
	assert_string_equal(coded_flags, "cccccccccccccccccccc");
	assert_int_equal(((fc_h2_stream *)(void *)wire_stream(w, 1))->untaken, 0);
}

/* ---- limits ---- */

SERVER(at_the_limit)
{
	w->config.max_message = 1000;
	coded_open(w, BOTH);
	call_with(w, 1, "gzip", NULL);
	coded_feed_zeros(w, 1, true, FC_CODING_GZIP, 1000);
	wire_sees(w, "request 1 /t.T/Say\nmessage 1 (1000)\nhalf-close 1\n");
	call_with(w, 3, "gzip", NULL);
	coded_feed_zeros(w, 3, true, FC_CODING_GZIP, 1001);
	wire_sees(w,
	    "request 3 /t.T/Say\nabort 3 RESOURCE_EXHAUSTED (TOO_LARGE) \"a compressed message "
	    "inflates to more than 1000 bytes\"\n");
	wire_says(w,
	    "HEADERS 3 end :status=200 content-type=application/grpc grpc-accept-encoding=" ALL
	    " grpc-status=8 grpc-message=a compressed message inflates to more than 1000 bytes\n"
	    "RST 3 NO_ERROR\n");
}

/* Its bytes on the wire count, too. */
SERVER(larger_compressed_than_allowed)
{
	static const uint8_t bytes[1001];

	w->config.max_message = 1000;
	coded_open(w, BOTH);
	call_with(w, 1, "gzip", NULL);
	coded_feed(w, 1, false, bytes, 1001);
	wire_sees(w,
	    "request 1 /t.T/Say\nabort 1 RESOURCE_EXHAUSTED (TOO_LARGE) \"message of 1001 bytes is "
	    "larger than 1000\"\n");
}

#define LARGE (4u << 20)

/* What calls hold of bombs is bounded for their connection: the 17th has no room, until one of them
 * has gone. */
SERVER(many_bombs)
{
	uint32_t id = 1;
	char expected[300];
	uint8_t coded[8000];
	size_t size = coded_zeros(FC_CODING_GZIP, LARGE, coded, sizeof coded);
	size_t each = LARGE - FC_H2_INFLATED_FREE * size;
	size_t most = FC_H2_INFLATED_MOST / each;

	coded_open(w, BOTH);
	for (; id <= 2 * most; id += 2) {
		call_with(w, id, "gzip", NULL);
		coded_feed(w, id, true, coded, size);
		assert_int_equal(w->engine->inflated, (id + 1) / 2 * each);
	}
	wire_seen(w);
	wire_said(w);
	call_with(w, id, "gzip", NULL);
	coded_feed(w, id, true, coded, size);
	snprintf(expected, sizeof expected,
	    "request %u /t.T/Say\nabort %u RESOURCE_EXHAUSTED (LIMIT) \"no room for a compressed "
	    "message that inflates to more than %zu bytes: those of its connection's calls have "
	    "reached %u bytes\"\n",
	    (unsigned)id, (unsigned)id,
	    FC_H2_INFLATED_MOST - most * each + FC_H2_INFLATED_FREE * size, FC_H2_INFLATED_MOST);
	wire_sees(w, expected);
	wire_release(w, id);
	wire_release(w, 1);
	id += 2;
	call_with(w, id, "gzip", NULL);
	coded_feed(w, id, true, coded, size);
	snprintf(expected, sizeof expected,
	    "request %u /t.T/Say\nmessage %u (4194304)\nhalf-close %u\n", (unsigned)id,
	    (unsigned)id, (unsigned)id);
	wire_sees(w, expected);
	for (uint32_t i = 3; i <= id; i += 2)
		if (w->streams[i / 2] != NULL)
			wire_release(w, i);
	assert_int_equal(w->engine->inflated, 0);
}

/* Up to 16 times what came is nobody's concern. */
SERVER(what_compresses_well_is_no_bomb)
{
	uint8_t coded[2000];
	size_t size = coded_zeros(FC_CODING_GZIP, 400, coded, sizeof coded);

	assert_true(size * FC_H2_INFLATED_FREE >= 400);
	coded_open(w, BOTH);
	call_with(w, 1, "gzip", NULL);
	coded_feed(w, 1, false, coded, size);
	assert_int_equal(w->engine->inflated, 0);
	coded_feed_zeros(w, 1, false, FC_CODING_GZIP, 100000);
	assert_true(w->engine->inflated > 90000);
	wire_rst(w, 1, FC_H2_CANCEL);
	assert_true(w->engine->inflated > 90000);
	wire_release(w, 1);
	assert_int_equal(w->engine->inflated, 0);
}

/* ---- as they came ---- */

static size_t as_came;

static void
take_raw(wire *w, const char *what, fc_stream *stream)
{
	(void)w;
	if (strcmp(what, "request") == 0)
		stream->raw = true;
	if (strcmp(what, "message") == 0) {
		strcat(coded_flags, stream->compressed ? "c" : "p");
		assert_int_equal(stream->peer_coding, FC_CODING_DEFLATE);
	}
}

/* An owner that keeps messages keeps what came: its window bounds it, and nothing is counted. */
SERVER(messages_as_they_came)
{
	uint8_t coded[8000];
	size_t size = coded_zeros(FC_CODING_DEFLATE, LARGE, coded, sizeof coded);

	coded_flags[0] = 0;
	w->hook = take_raw;
	coded_open(w, BOTH);
	call_with(w, 1, "deflate", NULL);
	wire_sees(w, "request 1 /t.T/Say\n");
	coded_feed(w, 1, false, coded, size);
	wire_message(w, 1, false, "plain");
	assert_int_equal(strncmp(wire_seen(w), "message 1 ", 10), 0);
	assert_string_equal(coded_flags, "cp");
	as_came = ((fc_h2_stream *)(void *)wire_stream(w, 1))->untaken;
	assert_int_equal(as_came, size + 5);
	assert_int_equal(w->engine->inflated, 0);
}

/* ---- broken ---- */

static const struct broken_row {
	const char *encoding, *bytes;
	size_t size;
	const char *text;
} broken_rows[] = {
    {NULL, "\1\0\0\0\1x", 6, "a message is compressed, but grpc-encoding was not sent (0x01)"},
    {"identity", "\1\0\0\0\1x", 6,
        "a message is compressed, but grpc-encoding was not sent (0x01)"},
    {"gzip", "\2\0\0\0\1x", 6, "a message has unknown flags (0x02)"},
    {"gzip", "\3\0\0\0\1x", 6, "a message has unknown flags (0x03)"},
    {"gzip", "\1\0\0\0\0", 5, "a compressed message is damaged: it is cut off"},
    {"gzip", "\1\0\0\0\4zzzz", 9, "a compressed message is damaged: incorrect header check"},
    {"deflate", "\1\0\0\0\2\x78\x9c", 7, "a compressed message is damaged: it is cut off"},
    {"deflate", "\1\0\0\0\x0b\x78\x9c\x4b\x04\x00\x00\x62\x00\x62\x00\x00", 16, NULL},
};
static const struct broken_row *broken_row;

static void
broken_(wire *w)
{
	char events[300], frames[400];
	const char *list = broken_row->encoding == NULL || broken_row->encoding[0] == 'i'
	    ? ""
	    : " grpc-accept-encoding=" ALL;

	coded_open(w, BOTH);
	call_with(w, 1, broken_row->encoding, NULL);
	wire_data(w, 1, true, broken_row->bytes, broken_row->size);
	if (broken_row->text == NULL) {
		assert_non_null(strstr(wire_seen(w), "INTERNAL (PROTOCOL)"));
		assert_non_null(strstr(wire_said(w), "grpc-status=13"));
		return;
	}
	snprintf(events, sizeof events, "request 1 /t.T/Say\nabort 1 INTERNAL (PROTOCOL) \"%s\"\n",
	    broken_row->text);
	wire_sees(w, events);
	snprintf(frames, sizeof frames,
	    "HEADERS 1 end :status=200 content-type=application/grpc%s grpc-status=13 "
	    "grpc-message=%s\nRST 1 NO_ERROR\n",
	    list, broken_row->text);
	wire_says(w, frames);
	wire_release(w, 1);
	call_with(w, 3, "gzip", NULL);
	coded_feed_zeros(w, 3, true, FC_CODING_GZIP, 2);
	wire_sees(w, "request 3 /t.T/Say\nmessage 3 0000\nhalf-close 3\n");
}

static void
broken_messages(void **state)
{
	(void)state;
	for (size_t i = 0; i < FC_COUNT(broken_rows); i++) {
		broken_row = &broken_rows[i];
		wire_run_unopened(broken_, false);
	}
}

/* ---- a server's answers ---- */

static const struct answer_row {
	const char *encoding, *accept;
	unsigned coding;
	const char *fields;
	bool compressed;
} answer_rows[] = {
    {NULL, NULL, 0, "", false},
    {NULL, NULL, FC_CODING_GZIP, "", false},
    {NULL, "identity", FC_CODING_GZIP, "", false},
    {NULL, "identity,deflate", FC_CODING_GZIP, "", false},
    {NULL, "identity,gzip", FC_CODING_GZIP, " grpc-encoding=gzip", true},
    {NULL, "deflate, gzip", FC_CODING_GZIP, " grpc-encoding=gzip", true},
    {NULL, "gzip,deflate", FC_CODING_DEFLATE, " grpc-encoding=deflate", true},
    {NULL, "gzip,deflate", 0, "", false},
    {NULL, "snappy", FC_CODING_OTHER, "", false},
    {"gzip", NULL, 0, " grpc-accept-encoding=" ALL, false},
    {"gzip", NULL, FC_CODING_GZIP, " grpc-accept-encoding=" ALL, false}, /* not listed */
    {"gzip", "identity,gzip", FC_CODING_GZIP, " grpc-encoding=gzip grpc-accept-encoding=" ALL,
        true},
    {"gzip", "deflate", FC_CODING_DEFLATE, " grpc-encoding=deflate grpc-accept-encoding=" ALL,
        true},
    {"identity", "gzip", FC_CODING_GZIP, " grpc-encoding=gzip", true},
};
static const struct answer_row *answer_row;

/* Twice on one connection: by what HPACK has learned, and by templates. */
static void
answer_(wire *w)
{
	coded_open(w, BOTH);
	for (uint32_t id = 1; id < 6; id += 2) {
		size_t at;
		char head[200];

		call_with(w, id, answer_row->encoding, answer_row->accept);
		wire_stream(w, id)->coding = (uint8_t)answer_row->coding;
		wire_said(w);
		assert_int_equal(wire_send_of(w, id, 3000, false), FC_SEND_OK);
		wire_take_output(w);
		at = w->out_read;
		snprintf(head, sizeof head, HEAD "%s\n", (unsigned)id, answer_row->fields);
		assert_int_equal(strncmp(wire_said(w), head, strlen(head)), 0);
		w->out_read = at + 9 + fc_get24(w->out + at);
		assert_int_equal(
		    coded_said(w, id, answer_row->coding, 3000), answer_row->compressed);
		/* An answer that tells it all in one has no coding. */
		wire_tail(w, id, FARCALL_OK, "");
		snprintf(head, sizeof head, "HEADERS %u end grpc-status=0\nRST %u NO_ERROR\n",
		    (unsigned)id, (unsigned)id);
		wire_says(w, head);
		wire_release(w, id);
	}
}

static void
codings_of_answers(void **state)
{
	(void)state;
	for (size_t i = 0; i < FC_COUNT(answer_rows); i++) {
		answer_row = &answer_rows[i];
		wire_run_unopened(answer_, false);
	}
}

SERVER(each_message_by_itself)
{
	fc_stream *stream;

	coded_open(w, BOTH);
	call_with(w, 1, NULL, "gzip");
	stream = wire_stream(w, 1);
	stream->coding = FC_CODING_GZIP;
	stream->plain = true;
	wire_send_of(w, 1, 500, false);
	assert_false(coded_said(w, 1, FC_CODING_GZIP, 500));
	stream->plain = false;
	wire_send_of(w, 1, 500, false);
	assert_true(coded_said(w, 1, FC_CODING_GZIP, 500));
	stream->plain = true;
	wire_send_of(w, 1, 500, false);
	assert_false(coded_said(w, 1, FC_CODING_GZIP, 500));
	stream->plain = false;
	wire_send(w, 1, "short", false); /* no gain */
	wire_says(w, "DATA 1 000000000573686f7274\n");
	wire_send(w, 1, "", false);
	wire_says(w, "DATA 1 0000000000\n");
	/* Compressed 60,000 bytes fit the frame, plain ones do not. */
	wire_send_of(w, 1, 60000, false);
	assert_true(coded_said(w, 1, FC_CODING_GZIP, 60000));
}

/* The head has gone: it says what the coding is. */
SERVER(too_late_for_a_coding)
{
	coded_open(w, BOTH);
	call_with(w, 1, NULL, "gzip");
	ops->send_head(w->engine, wire_stream(w, 1), 0, NULL);
	wire_stream(w, 1)->coding = FC_CODING_GZIP;
	wire_says(w, "HEADERS 1 :status=200 content-type=application/grpc\n");
	wire_send_of(w, 1, 500, false);
	assert_false(coded_said(w, 1, FC_CODING_GZIP, 500));
}

SERVER(a_head_with_metadata)
{
	static const fc_pair pair = {"a", "b", 1, 1, 0};

	coded_open(w, BOTH);
	call_with(w, 1, NULL, "gzip");
	wire_stream(w, 1)->coding = FC_CODING_GZIP;
	ops->send_head(w->engine, wire_stream(w, 1), 1, &pair);
	wire_says(
	    w, "HEADERS 1 :status=200 content-type=application/grpc grpc-encoding=gzip a=b\n");
	wire_send_of(w, 1, 500, false);
	assert_true(coded_said(w, 1, FC_CODING_GZIP, 500));
}

/* It waits like any other, as many bytes as it has become. */
SERVER(compressed_and_waiting)
{
	uint32_t settings[] = {FC_H2_INITIAL_WINDOW_SIZE, 10};

	coded_open(w, BOTH);
	wire_settings(w, settings, 1);
	call_with(w, 1, NULL, "gzip");
	wire_seen(w);
	wire_said(w);
	wire_stream(w, 1)->coding = FC_CODING_GZIP;
	assert_int_equal(wire_send_of(w, 1, 100000, false), FC_SEND_WAITING);
	assert_in_range(ops->backlog(w->engine), 1, 1000);
	wire_tail(w, 1, FARCALL_OK, "");
	wire_window(w, 1, 1000);
	wire_take_output(w);
	assert_int_equal(ops->backlog(w->engine), 0);
	assert_true(coded_said(w, 1, FC_CODING_GZIP, 100000));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(codings_of_requests),
	    clean_test(messages_one_by_one),
	    clean_test(deflate_and_large_ones),
	    clean_test(at_the_limit),
	    clean_test(larger_compressed_than_allowed),
	    clean_test(many_bombs),
	    clean_test(what_compresses_well_is_no_bomb),
	    clean_test(messages_as_they_came),
	    clean_test(broken_messages),
	    clean_test(codings_of_answers),
	    clean_test(each_message_by_itself),
	    clean_test(too_late_for_a_coding),
	    clean_test(a_head_with_metadata),
	    clean_test(compressed_and_waiting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
