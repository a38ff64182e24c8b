/*
 * Compressed messages on the wire, both ways: what is negotiated, what is said of it in heads, each
 * message by itself, limits, and what is broken. grpc/grpc: doc/compression.md; hardening G2.
 */
#include "tests/support/test.h"

#include "runtime/protocol/grpc/coding.h"
#include "tests/support/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

static const fc_engine_ops *const ops = &fc_h2_engine;

#define SCENARIO(name, client)                      \
	static void name##_(wire *w);               \
	static void name(void **state)              \
	{                                           \
		(void)state;                        \
		wire_run_unopened(name##_, client); \
	}                                           \
	static void name##_(wire *w)
#define SERVER(name) SCENARIO(name, false)
#define CLIENT(name) SCENARIO(name, true)

#define BOTH (FC_CODING_GZIP | FC_CODING_DEFLATE)
#define ALL "identity,deflate,gzip"
#define HEAD "HEADERS %u :status=200 content-type=application/grpc"

static void
open_with(wire *w, unsigned codings)
{
	w->config.codings = codings;
	wire_open(w);
	wire_greeting(w);
}

/* ---- messages of zeros, compressed ---- */

static size_t
zeros_of(unsigned coding, size_t size, uint8_t *to, size_t room)
{
	static const uint8_t zeros[65536];
	z_stream z = {.next_out = to, .avail_out = (uInt)room};

	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, coding == FC_CODING_GZIP ? 31 : 15, 8,
	                     Z_DEFAULT_STRATEGY),
	    Z_OK);
	for (size_t left = size; left != 0; left -= FC_MIN(left, sizeof zeros)) {
		z.next_in = (Bytef *)(uintptr_t)zeros;
		z.avail_in = (uInt)FC_MIN(left, sizeof zeros);
		assert_int_equal(deflate(&z, Z_NO_FLUSH), Z_OK);
	}
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	return room - z.avail_out;
}

static void
feed_flagged(wire *w, uint32_t id, bool end, const uint8_t *bytes, size_t size)
{
	uint8_t *message = (uint8_t *)malloc(size + 5);

	message[0] = 1;
	fc_put32(message + 1, (uint32_t)size);
	memcpy(message + 5, bytes, size);
	wire_data(w, id, end, message, size + 5);
	free(message);
}

static void
feed_zeros(wire *w, uint32_t id, bool end, unsigned coding, size_t size)
{
	uint8_t coded[16000];

	feed_flagged(w, id, end, coded, zeros_of(coding, size, coded, sizeof coded));
}

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

/* What has come out on the stream since this was asked last: the first message of it, inflated by
 * `coding` if it is compressed. Forgets the frames. */
static bool
sent_compressed(wire *w, uint32_t id, unsigned coding, size_t expected)
{
	uint8_t *bytes = (uint8_t *)malloc(1 << 20);
	size_t size = 0, at;
	bool compressed;
	fc_error why;
	fc_buf plain;

	wire_take_output(w);
	for (at = w->out_read; at < w->out_size; at += 9 + fc_get24(w->out + at)) {
		if (w->out[at + 3] != FC_H2_DATA || fc_get32(w->out + at + 5) != id)
			continue;
		memcpy(bytes + size, w->out + at + 9, fc_get24(w->out + at));
		size += fc_get24(w->out + at);
	}
	wire_said(w);
	assert_true(size >= 5 && bytes[0] <= 1);
	compressed = bytes[0] == 1;
	assert_true(fc_get32(bytes + 1) <= size - 5);
	fc_buf_init(&plain, NULL, 0);
	fc_error_clear(&why);
	if (compressed) {
		assert_int_equal(
		    fc_inflate(coding, bytes + 5, fc_get32(bytes + 1), 1 << 20, &plain, &why),
		    FARCALL_OK);
		assert_int_equal(fc_buf_size(&plain), expected);
		assert_true(fc_get32(bytes + 1) < expected);
	} else {
		assert_int_equal(fc_get32(bytes + 1), expected);
	}
	fc_buf_fini(&plain);
	free(bytes);
	return compressed;
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
	open_with(w, request_row->codings);
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

/* Notes which messages were compressed. */
static char flags[64];

static void
note_flag(wire *w, const char *what, fc_stream *stream)
{
	(void)w;
	if (strcmp(what, "message") == 0)
		strcat(flags, stream->compressed ? "c" : "p");
}

SERVER(messages_one_by_one)
{
	uint8_t all[400];
	size_t n = 0;

	flags[0] = 0;
	w->hook = note_flag;
	open_with(w, BOTH);
	call_with(w, 1, "gzip", NULL);
	feed_zeros(w, 1, false, FC_CODING_GZIP, 3);
	wire_message(w, 1, false, "plain"); /* allowed */
	wire_message(w, 1, false, "");
	feed_zeros(w, 1, false, FC_CODING_GZIP, 0);
	/* Three in one frame, a compressed one between. */
	memcpy(all, "\0\0\0\0\1a\1\0\0\0", 10);
	n = zeros_of(FC_CODING_GZIP, 300, all + 11, 300);
	all[10] = (uint8_t)n;
	memcpy(all + 11 + n, "\0\0\0\0\1b", 6);
	wire_data(w, 1, true, all, 11 + n + 6);
	wire_sees(w,
	    "request 1 /t.T/Say\nmessage 1 000000\nmessage 1 \"plain\"\nmessage 1 \"\"\n"
	    "message 1 \"\"\nmessage 1 \"a\"\nmessage 1 (300)\nmessage 1 \"b\"\nhalf-close 1\n");
	assert_string_equal(flags, "cppcpcp");
	assert_false(wire_stream(w, 1)->compressed);
	assert_int_equal(w->engine->gathered, 0);
}

SERVER(deflate_and_large_ones)
{
	flags[0] = 0;
	w->hook = note_flag;
	open_with(w, BOTH);
	call_with(w, 1, "deflate", NULL);
	for (int i = 0; i < 20; i++) {
		feed_zeros(w, 1, false, FC_CODING_DEFLATE, 1000000);
		ops->taken(w->engine, wire_stream(w, 1), 1000000);
	}
	wire_seen(w);
	assert_string_equal(flags, "cccccccccccccccccccc");
	assert_int_equal(((fc_h2_stream *)(void *)wire_stream(w, 1))->untaken, 0);
}

/* ---- limits ---- */

SERVER(at_the_limit)
{
	w->config.max_message = 1000;
	open_with(w, BOTH);
	call_with(w, 1, "gzip", NULL);
	feed_zeros(w, 1, true, FC_CODING_GZIP, 1000);
	wire_sees(w, "request 1 /t.T/Say\nmessage 1 (1000)\nhalf-close 1\n");
	call_with(w, 3, "gzip", NULL);
	feed_zeros(w, 3, true, FC_CODING_GZIP, 1001);
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
	open_with(w, BOTH);
	call_with(w, 1, "gzip", NULL);
	feed_flagged(w, 1, false, bytes, 1001);
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
	size_t size = zeros_of(FC_CODING_GZIP, LARGE, coded, sizeof coded);
	size_t each = LARGE - FC_H2_INFLATED_FREE * size;
	size_t most = FC_H2_INFLATED_MOST / each;

	open_with(w, BOTH);
	for (; id <= 2 * most; id += 2) {
		call_with(w, id, "gzip", NULL);
		feed_flagged(w, id, true, coded, size);
		assert_int_equal(w->engine->inflated, (id + 1) / 2 * each);
	}
	wire_seen(w);
	wire_said(w);
	call_with(w, id, "gzip", NULL);
	feed_flagged(w, id, true, coded, size);
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
	feed_flagged(w, id, true, coded, size);
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
	size_t size = zeros_of(FC_CODING_GZIP, 400, coded, sizeof coded);

	assert_true(size * FC_H2_INFLATED_FREE >= 400);
	open_with(w, BOTH);
	call_with(w, 1, "gzip", NULL);
	feed_flagged(w, 1, false, coded, size);
	assert_int_equal(w->engine->inflated, 0);
	feed_zeros(w, 1, false, FC_CODING_GZIP, 100000);
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
		strcat(flags, stream->compressed ? "c" : "p");
		assert_int_equal(stream->peer_coding, FC_CODING_DEFLATE);
	}
}

/* An owner that keeps messages keeps what came: its window bounds it, and nothing is counted. */
SERVER(messages_as_they_came)
{
	uint8_t coded[8000];
	size_t size = zeros_of(FC_CODING_DEFLATE, LARGE, coded, sizeof coded);

	flags[0] = 0;
	w->hook = take_raw;
	open_with(w, BOTH);
	call_with(w, 1, "deflate", NULL);
	wire_sees(w, "request 1 /t.T/Say\n");
	feed_flagged(w, 1, false, coded, size);
	wire_message(w, 1, false, "plain");
	assert_int_equal(strncmp(wire_seen(w), "message 1 ", 10), 0);
	assert_string_equal(flags, "cp");
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

	open_with(w, BOTH);
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
	feed_zeros(w, 3, true, FC_CODING_GZIP, 2);
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
	open_with(w, BOTH);
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
		    sent_compressed(w, id, answer_row->coding, 3000), answer_row->compressed);
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

	open_with(w, BOTH);
	call_with(w, 1, NULL, "gzip");
	stream = wire_stream(w, 1);
	stream->coding = FC_CODING_GZIP;
	stream->plain = true;
	wire_send_of(w, 1, 500, false);
	assert_false(sent_compressed(w, 1, FC_CODING_GZIP, 500));
	stream->plain = false;
	wire_send_of(w, 1, 500, false);
	assert_true(sent_compressed(w, 1, FC_CODING_GZIP, 500));
	stream->plain = true;
	wire_send_of(w, 1, 500, false);
	assert_false(sent_compressed(w, 1, FC_CODING_GZIP, 500));
	stream->plain = false;
	wire_send(w, 1, "short", false); /* no gain */
	wire_says(w, "DATA 1 000000000573686f7274\n");
	wire_send(w, 1, "", false);
	wire_says(w, "DATA 1 0000000000\n");
	/* Compressed 60,000 bytes fit the frame, plain ones do not. */
	wire_send_of(w, 1, 60000, false);
	assert_true(sent_compressed(w, 1, FC_CODING_GZIP, 60000));
}

/* The head has gone: it says what the coding is. */
SERVER(too_late_for_a_coding)
{
	open_with(w, BOTH);
	call_with(w, 1, NULL, "gzip");
	ops->send_head(w->engine, wire_stream(w, 1), 0, NULL);
	wire_stream(w, 1)->coding = FC_CODING_GZIP;
	wire_says(w, "HEADERS 1 :status=200 content-type=application/grpc\n");
	wire_send_of(w, 1, 500, false);
	assert_false(sent_compressed(w, 1, FC_CODING_GZIP, 500));
}

SERVER(a_head_with_metadata)
{
	static const fc_pair pair = {"a", "b", 1, 1, 0};

	open_with(w, BOTH);
	call_with(w, 1, NULL, "gzip");
	wire_stream(w, 1)->coding = FC_CODING_GZIP;
	ops->send_head(w->engine, wire_stream(w, 1), 1, &pair);
	wire_says(
	    w, "HEADERS 1 :status=200 content-type=application/grpc grpc-encoding=gzip a=b\n");
	wire_send_of(w, 1, 500, false);
	assert_true(sent_compressed(w, 1, FC_CODING_GZIP, 500));
}

/* It waits like any other, as many bytes as it has become. */
SERVER(compressed_and_waiting)
{
	uint32_t settings[] = {FC_H2_INITIAL_WINDOW_SIZE, 10};

	open_with(w, BOTH);
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
	assert_true(sent_compressed(w, 1, FC_CODING_GZIP, 100000));
}

/* ---- a client ---- */

/* As wire_says() shows it: known fields in an order of its own. */
#define REQUEST                                                                              \
	"HEADERS %u :method=POST :scheme=http :path=/t.T/Say :authority=host:1 te=trailers " \
	"content-type=application/grpc"
#define CODINGS " grpc-accept-encoding=" ALL " user-agent=wire/1\n"

static uint32_t
open_coded(wire *w, unsigned coding, uint64_t timeout)
{
	fc_request request = {{"/t.T/Say", 8}, timeout, 0, NULL, coding};
	fc_stream *stream = ops->open_stream(w->engine, &request, w);

	assert_non_null(stream);
	w->streams[wire_id(stream) / 2] = stream;
	return wire_id(stream);
}

CLIENT(heads_of_requests)
{
	open_with(w, BOTH);
	wire_said(w);
	for (int i = 0; i < 3; i++) { /* learned, then by templates */
		uint32_t id = open_coded(w, 0, FC_NEVER);
		char expected[800];

		open_coded(w, FC_CODING_GZIP, FC_NEVER);
		open_coded(w, FC_CODING_DEFLATE, 1000);
		snprintf(expected, sizeof expected,
		    REQUEST CODINGS REQUEST " grpc-encoding=gzip" CODINGS REQUEST
		                            " grpc-timeout=1000n grpc-encoding=deflate" CODINGS,
		    (unsigned)id, (unsigned)id + 2, (unsigned)id + 4);
		wire_says(w, expected);
	}
}

CLIENT(requests)
{
	open_with(w, BOTH);
	wire_said(w);
	open_coded(w, FC_CODING_GZIP, FC_NEVER);
	wire_send_of(w, 1, 5000, false);
	assert_true(sent_compressed(w, 1, FC_CODING_GZIP, 5000));
	wire_stream(w, 1)->plain = true;
	wire_send_of(w, 1, 5000, true);
	assert_false(sent_compressed(w, 1, FC_CODING_GZIP, 5000));
	open_coded(w, FC_CODING_DEFLATE, FC_NEVER);
	wire_send_of(w, 3, 200000, true);
	assert_true(sent_compressed(w, 3, FC_CODING_DEFLATE, 200000));
	open_coded(w, 0, FC_NEVER);
	wire_send_of(w, 5, 5000, true);
	assert_false(sent_compressed(w, 5, 0, 5000));
}

static void
respond(wire *w, uint32_t id, const char *encoding)
{
	wire_field fields[] = {{":status", "200"}, {"content-type", "application/grpc"},
	    {"grpc-encoding", encoding}, {"grpc-accept-encoding", "gzip"}, {NULL, NULL}};

	wire_headers(w, id, false, fields);
}

CLIENT(responses)
{
	static const char *const names[] = {"gzip", "deflate"};

	flags[0] = 0;
	w->hook = note_flag;
	open_with(w, BOTH);
	for (uint32_t id = 1; id < 5; id += 2) {
		open_coded(w, 0, FC_NEVER);
		respond(w, id, names[id / 2]);
		wire_message(w, id, false, "p");
		feed_zeros(w, id, false, id == 1 ? FC_CODING_GZIP : FC_CODING_DEFLATE, 2000000);
		wire_trailers(w, id, "0", NULL);
	}
	wire_sees(w,
	    "head 1\nmessage 1 \"p\"\nmessage 1 (2000000)\ntail 1 OK\n"
	    "head 3\nmessage 3 \"p\"\nmessage 3 (2000000)\ntail 3 OK\n");
	assert_string_equal(flags, "pcpc");
}

CLIENT(responses_that_cannot_be_read)
{
	w->config.max_message = 1000;
	open_with(w, FC_CODING_GZIP);
	for (int i = 0; i < 5; i++)
		open_coded(w, 0, FC_NEVER);
	wire_said(w);
	respond(w, 1, "snappy");
	wire_message(w, 1, false, "p"); /* allowed */
	wire_data(w, 1, false, "\1\0\0\0\1x", 6);
	respond(w, 3, "deflate");
	feed_zeros(w, 3, false, FC_CODING_DEFLATE, 10);
	respond(w, 5, "identity");
	wire_data(w, 5, false, "\1\0\0\0\1x", 6);
	respond(w, 7, "gzip");
	feed_zeros(w, 7, false, FC_CODING_GZIP, 1001);
	respond(w, 9, "gzip");
	feed_zeros(w, 9, false, FC_CODING_DEFLATE, 10);
	wire_sees(w,
	    "head 1\nmessage 1 \"p\"\nabort 1 INTERNAL (PROTOCOL) \"a message is compressed in a "
	    "way "
	    "that is not supported (0x01)\"\n"
	    "head 3\nabort 3 INTERNAL (PROTOCOL) \"a message is compressed in a way that is not "
	    "supported (0x01)\"\n"
	    "head 5\nabort 5 INTERNAL (PROTOCOL) \"a message is compressed, but grpc-encoding was "
	    "not sent (0x01)\"\n"
	    "head 7\nabort 7 RESOURCE_EXHAUSTED (TOO_LARGE) \"a compressed message inflates to "
	    "more "
	    "than 1000 bytes\"\n"
	    "head 9\nabort 9 INTERNAL (PROTOCOL) \"a compressed message is damaged: incorrect "
	    "header "
	    "check\"\n");
	wire_says(w, "RST 1 CANCEL\nRST 3 CANCEL\nRST 5 CANCEL\nRST 7 CANCEL\nRST 9 CANCEL\n");
}

/* The list of a request with a coding, as the server reckons it: at its limit, and one past it. */
CLIENT(lists_with_codings)
{
	char value[200];
	fc_pair pair = {"k", value, 1, 0, 0};
	fc_request request = {{"/t.T/Say", 8}, FC_NEVER, 1, &pair, FC_CODING_DEFLATE};
	fc_field_set set;
	uint32_t settings[] = {FC_H2_MAX_HEADER_LIST_SIZE, 0};
	uint32_t most = 0;

	memset(value, 'x', sizeof value);
	open_with(w, BOTH);
	wire_said(w);
	/* What it is for an empty value is told by the peer's decoder. */
	assert_non_null(ops->open_stream(w->engine, &request, w));
	wire_take_output(w);
	fc_hpack_decode(w->decoder, w->out + w->out_read + 9, fc_get24(w->out + w->out_read), &set);
	most = (uint32_t)set.list_size;
	w->out_read = w->out_size;
	settings[1] = most + 100;
	wire_settings(w, settings, 1);
	pair.value_size = 101;
	assert_null(ops->open_stream(w->engine, &request, w));
	pair.value_size = 100;
	assert_non_null(ops->open_stream(w->engine, &request, w));
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
	    clean_test(heads_of_requests),
	    clean_test(requests),
	    clean_test(responses),
	    clean_test(responses_that_cannot_be_read),
	    clean_test(lists_with_codings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
