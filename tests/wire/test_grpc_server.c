/*
 * gRPC on a server: which header lists are calls, what the others are answered, messages in any
 * pieces, and how answers look. doc/PROTOCOL-HTTP2.md; hardening G1, G2, G5 to G10.
 */
#include "tests/support/test.h"

#include "tests/support/wire.h"

#include <stdio.h>
#include <stdlib.h>

static const fc_engine_ops *const ops = &fc_h2_engine;

#define SERVER(name)                      \
	static void name##_(wire *w);     \
	static void name(void **state)    \
	{                                 \
		(void)state;              \
		wire_run(name##_, false); \
	}                                 \
	static void name##_(wire *w)

#define POST                      \
	{                         \
		":method", "POST" \
	}
#define HTTP                      \
	{                         \
		":scheme", "http" \
	}
#define PATH                        \
	{                           \
		":path", "/t.T/Say" \
	}
#define GRPC                                       \
	{                                          \
		"content-type", "application/grpc" \
	}

/* ---- header lists: what becomes of each ---- */

#define REFUSED "RST 1 PROTOCOL_ERROR\n"
#define STATUS(number, text)                                                          \
	"HEADERS 1 end :status=200 content-type=application/grpc grpc-status=" number \
	" grpc-message=" text "\n"

static const struct list {
	const char *name;
	wire_field fields[12];
	const char *events, *frames;
} lists[] = {
    {"plain", {POST, HTTP, PATH, GRPC}, "request 1 /t.T/Say\nhalf-close 1\n", ""},
    {"proto", {POST, HTTP, PATH, {"content-type", "application/grpc+proto"}},
        "request 1 /t.T/Say\nhalf-close 1\n", ""},
    {"https", {POST, {":scheme", "https"}, PATH, GRPC}, "request 1 /t.T/Say\nhalf-close 1\n", ""},
    {"unknown path", {POST, HTTP, {":path", "/x.X/Y"}, GRPC},
        "request 1 /x.X/Y unknown\nhalf-close 1\n", ""},
    {"path not canonical", {POST, HTTP, {":path", "//t.T/%53ay"}, GRPC},
        "request 1 //t.T/%53ay unknown\nhalf-close 1\n", ""},
    {"authority", {POST, HTTP, PATH, {":authority", "a:1"}, GRPC, {"host", "b"}},
        "request 1 /t.T/Say at a:1\nhalf-close 1\n", ""},
    {"host only", {POST, HTTP, PATH, GRPC, {"host", "b"}},
        "request 1 /t.T/Say at b\nhalf-close 1\n", ""},
    {"metadata",
        {POST, HTTP, PATH, GRPC, {"user-agent", "me"}, {"a", "1"}, {"b-bin", "AAE,AA=="},
            {"a", "2"}, {"grpc-accept-encoding", "gzip"}, {"grpc-foo", "x"}, {"te", "trailers"}},
        "request 1 /t.T/Say user-agent=me a=1 b-bin=AAE,AA==[base64] a=2\nhalf-close 1\n", ""},
    {"timeout", {POST, HTTP, PATH, GRPC, {"grpc-timeout", "99999999n"}},
        "request 1 /t.T/Say in 99999999\nhalf-close 1\n", ""},
    {"timeout of hours", {POST, HTTP, PATH, GRPC, {"grpc-timeout", "2H"}},
        "request 1 /t.T/Say in 7200000000000\nhalf-close 1\n", ""},
    {"timeout beyond time", {POST, HTTP, PATH, GRPC, {"grpc-timeout", "99999999H"}},
        "request 1 /t.T/Say\nhalf-close 1\n", ""},
    {"timeout of 9 digits", {POST, HTTP, PATH, GRPC, {"grpc-timeout", "100000000n"}}, "",
        STATUS("13", "grpc-timeout \"100000000n\" is not 1 to 8 digits and one of H M S m u n")},
    {"timeout without unit", {POST, HTTP, PATH, GRPC, {"grpc-timeout", "1"}}, "",
        STATUS("13", "grpc-timeout \"1\" is not 1 to 8 digits and one of H M S m u n")},
    {"timeout empty", {POST, HTTP, PATH, GRPC, {"grpc-timeout", ""}}, "",
        STATUS("13", "grpc-timeout \"\" is not 1 to 8 digits and one of H M S m u n")},
    {"timeout negative", {POST, HTTP, PATH, GRPC, {"grpc-timeout", "-1S"}}, "",
        STATUS("13", "grpc-timeout \"-1S\" is not 1 to 8 digits and one of H M S m u n")},
    {"identity", {POST, HTTP, PATH, GRPC, {"grpc-encoding", "identity"}},
        "request 1 /t.T/Say\nhalf-close 1\n", ""},
    {"gzip", {POST, HTTP, PATH, GRPC, {"grpc-encoding", "gzip"}}, "",
        "HEADERS 1 end :status=200 content-type=application/grpc grpc-accept-encoding=identity "
        "grpc-status=12 grpc-message=grpc-encoding \"gzip\" is not supported, identity is\n"},
    {"GET", {{":method", "GET"}, HTTP, PATH, GRPC}, "", "HEADERS 1 end :status=405 allow=POST\n"},
    {"no content-type", {POST, HTTP, PATH}, "",
        "HEADERS 1 end :status=415 accept=application/grpc\n"},
    {"text/html", {POST, HTTP, PATH, {"content-type", "text/html"}}, "",
        "HEADERS 1 end :status=415 accept=application/grpc\n"},
    {"grpcx", {POST, HTTP, PATH, {"content-type", "application/grpcx"}}, "",
        "HEADERS 1 end :status=415 accept=application/grpc\n"},
    {"grpc-web", {POST, HTTP, PATH, {"content-type", "application/grpc-web"}}, "",
        "HEADERS 1 end :status=415 accept=application/grpc\n"},
    {"content-length 0", {POST, HTTP, PATH, GRPC, {"content-length", "0"}},
        "request 1 /t.T/Say\nhalf-close 1\n", ""},
    {"content-length 1", {POST, HTTP, PATH, GRPC, {"content-length", "1"}}, "", REFUSED},
    {"content-length -1", {POST, HTTP, PATH, GRPC, {"content-length", "-1"}}, "", REFUSED},
    {"content-length twice",
        {POST, HTTP, PATH, GRPC, {"content-length", "0"}, {"content-length", "0"}}, "", REFUSED},
    {"no method", {HTTP, PATH, GRPC}, "", REFUSED},
    {"no scheme", {POST, PATH, GRPC}, "", REFUSED},
    {"no path", {POST, HTTP, GRPC}, "", REFUSED},
    {"path empty", {POST, HTTP, {":path", ""}, GRPC}, "", REFUSED},
    {"path without slash", {POST, HTTP, {":path", "t.T/Say"}, GRPC}, "", REFUSED},
    {"method twice", {POST, POST, HTTP, PATH, GRPC}, "", REFUSED},
    {"path twice", {POST, HTTP, PATH, PATH, GRPC}, "", REFUSED},
    {"pseudo after regular", {POST, HTTP, GRPC, PATH}, "", REFUSED},
    {"unknown pseudo", {POST, HTTP, PATH, {":foo", "x"}, GRPC}, "", REFUSED},
    {"status", {POST, HTTP, PATH, {":status", "200"}, GRPC}, "", REFUSED},
    {"upper case", {POST, HTTP, PATH, GRPC, {"Foo", "x"}}, "", REFUSED},
    {"empty name", {POST, HTTP, PATH, GRPC, {"", "x"}}, "", REFUSED},
    {"CR LF in a value", {POST, HTTP, PATH, GRPC, {"a", "x\r\ny: z"}}, "", REFUSED},
    {"connection", {POST, HTTP, PATH, GRPC, {"connection", "close"}}, "", REFUSED},
    {"transfer-encoding", {POST, HTTP, PATH, GRPC, {"transfer-encoding", "chunked"}}, "", REFUSED},
    {"te gzip", {POST, HTTP, PATH, GRPC, {"te", "gzip"}}, "", REFUSED},
};
static const struct list *list;

static void
a_list_(wire *w)
{
	char same[400];

	wire_greeting(w);
	wire_headers(w, 1, true, list->fields);
	wire_sees(w, list->events);
	wire_says(w, list->frames);
	/* The connection lives, and the table is in step. */
	wire_call(w, 3, true);
	snprintf(same, sizeof same, "request 3 /t.T/Say at host\nhalf-close 3\n");
	wire_sees(w, same);
	wire_says(w, "");
}

static void
header_lists(void **state)
{
	(void)state;
	for (size_t i = 0; i < FC_COUNT(lists); i++) {
		list = &lists[i];
		wire_run(a_list_, false);
	}
}

/* The same lists on a stream that has not ended: refusals by HTTP wait for the end. */
SERVER(http_refusals_wait_for_the_end)
{
	static const wire_field get[] = {{":method", "GET"}, HTTP, PATH, {NULL, NULL}};
	static const wire_field text[] = {POST, HTTP, PATH, {"content-length", "3"}, {NULL, NULL}};

	wire_greeting(w);
	wire_headers(w, 1, false, get);
	wire_headers(w, 3, false, text);
	wire_says(w, "");
	wire_data(w, 1, false, "abc", 3);
	wire_says(w, "");
	wire_data(w, 1, true, "def", 3);
	wire_says(w, "HEADERS 1 end :status=405 allow=POST\n");
	wire_data(w, 3, true, "def", 3);
	wire_says(w, "HEADERS 3 end :status=415 accept=application/grpc\n");
	wire_headers(w, 5, false, text);
	wire_data(w, 5, true, "de", 2);
	wire_says(w, "RST 5 PROTOCOL_ERROR\n");
	wire_headers(w, 7, false, text);
	wire_data(w, 7, false, "defg", 4);
	wire_says(w, "RST 7 PROTOCOL_ERROR\n");
	wire_headers(w, 9, false, get);
	wire_rst(w, 9, FC_H2_CANCEL);
	wire_headers(w, 11, false, get);
	wire_trailers(w, 11, "0", NULL);
	wire_says(w, "HEADERS 11 end :status=405 allow=POST\n");
	wire_sees(w, "");
	assert_int_equal(w->engine->open, 0);
	assert_int_equal(w->engine->running, 0);
}

SERVER(early_answers_end_with_a_reset)
{
	wire_greeting(w);
	wire_call(w, 1, false);
	wire_seen(w);
	wire_tail(w, 1, FARCALL_UNIMPLEMENTED, "no such method");
	wire_says(w,
	    "HEADERS 1 end :status=200 content-type=application/grpc grpc-status=12 "
	    "grpc-message=no such method\nRST 1 NO_ERROR\n");
	wire_message(w, 1, true, "late"); /* dropped */
	wire_release(w, 1);
	wire_sees(w, "");
	wire_says(w, "");
	assert_int_equal(w->engine->running, 0);
}

static void
refuse_at_once(wire *w, const char *what, fc_stream *stream)
{
	(void)stream;
	if (strcmp(what, "request") != 0)
		return;
	wire_tail(w, ((fc_h2_stream *)(void *)stream)->id, FARCALL_UNAVAILABLE, "");
	ops->release(w->engine, stream);
}

SERVER(answers_within_on_request)
{
	w->hook = refuse_at_once;
	wire_greeting(w);
	wire_call(w, 1, true); /* complete: nothing to reset */
	wire_call(w, 3, false);
	wire_sees(w, "request 1 /t.T/Say at host\nrequest 3 /t.T/Say at host\n");
	wire_says(w,
	    "HEADERS 1 end :status=200 content-type=application/grpc grpc-status=14\n"
	    "HEADERS 3 end :status=200 content-type=application/grpc grpc-status=14\n"
	    "RST 3 NO_ERROR\n");
}

SERVER(request_trailers)
{
	static const wire_field pseudo[] = {PATH, {NULL, NULL}};
	static const wire_field bad[] = {{"Bad", "x"}, {NULL, NULL}};

	wire_greeting(w);
	wire_call(w, 1, false);
	wire_trailers(w, 1, "0", NULL);
	wire_sees(w, "request 1 /t.T/Say at host\nhalf-close 1\n");
	wire_call(w, 3, false);
	wire_headers(w, 3, true, pseudo);
	wire_call(w, 5, false);
	wire_headers(w, 5, true, bad);
	wire_call(w, 7, false);
	wire_call(w, 7, false); /* does not end the stream */
	wire_sees(w,
	    "request 3 /t.T/Say at host\nabort 3 CANCELLED (PROTOCOL) \"malformed trailers\"\n"
	    "request 5 /t.T/Say at host\nabort 5 CANCELLED (PROTOCOL) \"malformed trailers\"\n"
	    "request 7 /t.T/Say at host\nabort 7 CANCELLED (PROTOCOL) \"a second header list does "
	    "not end the stream\"\n");
	wire_says(w, "RST 3 PROTOCOL_ERROR\nRST 5 PROTOCOL_ERROR\nRST 7 PROTOCOL_ERROR\n");
}

/* ---- messages ---- */

SERVER(messages_in_pieces)
{
	static const uint8_t bytes[] = "\0\0\0\0\5hello\0\0\0\0\0\0\0\0\0\3abc";
	const size_t size = sizeof bytes - 1;

	wire_greeting(w);
	w->quiet = false;
	for (size_t cut = 1; cut < size; cut++) {
		char expected[200];
		uint32_t id = (uint32_t)(2 * cut + 1);

		wire_call(w, id, false);
		wire_data(w, id, false, bytes, cut);
		wire_data(w, id, true, bytes + cut, size - cut);
		snprintf(expected, sizeof expected,
		    "request %u /t.T/Say at host\nmessage %u \"hello\"\nmessage %u \"\"\nmessage "
		    "%u "
		    "\"abc\"\nhalf-close %u\n",
		    id, id, id, id, id);
		wire_sees(w, expected);
	}
}

static size_t message_size;

static void
message_limit_(wire *w)
{
	w->config.max_message = 100000;
	w->config.stream_window = w->config.connection_window = 1u << 20;
	wire_open(w);
	wire_greeting(w);
	wire_call(w, 1, false);
	wire_message_of(w, 1, true, message_size);
	if (message_size <= 100000) {
		wire_sees(w, "request 1 /t.T/Say at host\nmessage 1 (100000)\nhalf-close 1\n");
		wire_says(w, "");
		return;
	}
	wire_sees(w,
	    "request 1 /t.T/Say at host\nabort 1 RESOURCE_EXHAUSTED (TOO_LARGE) \"message of "
	    "100001 bytes is larger than 100000\"\n");
	wire_says(w,
	    "HEADERS 1 end :status=200 content-type=application/grpc grpc-status=8 "
	    "grpc-message=message of 100001 bytes is larger than 100000\nRST 1 NO_ERROR\n");
	wire_release(w, 1);
	assert_false(wire_is_dead(w));
}

static void
a_message_at_its_limit(void **state)
{
	(void)state;
	message_size = 100000;
	wire_run_unopened(message_limit_, false);
	message_size++;
	wire_run_unopened(message_limit_, false);
}

static void
lower_the_limit(wire *w, const char *what, fc_stream *stream)
{
	(void)w;
	if (strcmp(what, "request") == 0)
		stream->max_message = 4;
}

SERVER(the_owner_lowers_the_limit)
{
	w->hook = lower_the_limit;
	wire_greeting(w);
	wire_call(w, 1, false);
	wire_message(w, 1, false, "1234");
	wire_message(w, 1, false, "12345");
	wire_sees(w,
	    "request 1 /t.T/Say at host\nmessage 1 \"1234\"\nabort 1 RESOURCE_EXHAUSTED "
	    "(TOO_LARGE) "
	    "\"message of 5 bytes is larger than 4\"\n");
}

SERVER(a_length_that_lies_costs_no_memory)
{
	size_t live;

	wire_greeting(w);
	wire_call(w, 1, false);
	live = w->pool.bytes + test_allocator_live();
	(void)live;
	wire_data(w, 1, false,
	    "\0\0\x3f\xff\xff"
	    "x",
	    6); /* 4 MiB - 1, and one byte of it */
	assert_true(((fc_h2_stream *)(void *)wire_stream(w, 1))->message.room <= 128 * 1024);
	wire_call(w, 3, false);
	wire_data(w, 3, false, "\0\xff\xff\xff\xff", 5);
	wire_sees(w,
	    "request 1 /t.T/Say at host\nrequest 3 /t.T/Say at host\nabort 3 RESOURCE_EXHAUSTED "
	    "(TOO_LARGE) \"message of 4294967295 bytes is larger than 4194304\"\n");
}

static const struct {
	const char *bytes;
	size_t size;
	const char *text;
} broken[] = {
    {"\1\0\0\0\1x", 6, "a message is compressed, but grpc-encoding was not sent (0x01)"},
    {"\2\0\0\0\1x", 6, "a message has unknown flags (0x02)"},
    {"\xff\0\0\0\0", 5, "a message has unknown flags (0xff)"},
    {"\0\0\0", 3, "the request ended inside a message"},
    {"\0\0\0\0\5hell", 9, "the request ended inside a message"},
};
static size_t broke;

static void
broken_message_(wire *w)
{
	char events[300], frames[300];

	wire_greeting(w);
	wire_call(w, 1, false);
	wire_data(w, 1, true, broken[broke].bytes, broken[broke].size);
	snprintf(events, sizeof events,
	    "request 1 /t.T/Say at host\nabort 1 INTERNAL (PROTOCOL) \"%s\"\n", broken[broke].text);
	wire_sees(w, events);
	snprintf(frames, sizeof frames,
	    "HEADERS 1 end :status=200 content-type=application/grpc grpc-status=13 "
	    "grpc-message=%s\n%s",
	    broken[broke].text, broke < 3 ? "RST 1 NO_ERROR\n" : "");
	wire_says(w, frames);
	wire_release(w, 1);
	wire_call(w, 3, true);
	wire_sees(w, "request 3 /t.T/Say at host\nhalf-close 3\n");
}

static void
broken_messages(void **state)
{
	(void)state;
	for (broke = 0; broke < FC_COUNT(broken); broke++)
		wire_run(broken_message_, false);
}

/* The answer has begun: the error becomes trailers; it waits for a window: a reset. */
SERVER(errors_after_the_answer_began)
{
	const uint32_t narrow[] = {FC_H2_INITIAL_WINDOW_SIZE, 8};

	wire_greeting(w);
	wire_settings(w, narrow, 1);
	wire_call(w, 1, false);
	assert_int_equal(wire_send(w, 1, "abc", false), FC_SEND_OK);
	wire_call(w, 3, false);
	assert_int_equal(wire_send(w, 3, "abcd", false), FC_SEND_WAITING);
	wire_said(w);
	wire_data(w, 1, false, "\7\0\0\0\0", 5);
	wire_data(w, 3, false, "\7\0\0\0\0", 5);
	wire_says(w,
	    "HEADERS 1 end grpc-status=13 grpc-message=a message has unknown flags (0x07)\n"
	    "RST 1 NO_ERROR\nRST 3 INTERNAL_ERROR\n");
}

/* ---- answers ---- */

SERVER(metadata_is_sent)
{
	static const fc_pair head[] = {{"a", "1", 1, 1, 0},
	    {"b-bin", "\0\1\377", 5, 3, FC_PAIR_BINARY}, {"secret", "s", 6, 1, FC_PAIR_SENSITIVE},
	    {"empty", "", 5, 0, 0}};
	static const fc_pair rest[] = {{"c", "3", 1, 1, 0}, {"d-bin", "", 5, 0, FC_PAIR_BINARY},
	    {"grpc-status-details-bin", "x", 23, 1, FC_PAIR_BINARY}};
	fc_tail tail = {FARCALL_ABORTED, {"50% \303\251\n", 7}, 3, rest, FARCALL_CAUSE_NONE};

	wire_greeting(w);
	wire_call(w, 1, true);
	assert_int_equal(ops->send_head(w->engine, wire_stream(w, 1), 4, head), FC_SEND_OK);
	assert_int_equal(ops->send_head(w->engine, wire_stream(w, 1), 4, head), FC_SEND_GONE);
	assert_int_equal(ops->send_tail(w->engine, wire_stream(w, 1), &tail), FC_SEND_OK);
	wire_says(w,
	    "HEADERS 1 :status=200 content-type=application/grpc a=1 b-bin=AAH/ secret=s[never] "
	    "empty=\n"
	    "HEADERS 1 end grpc-status=10 grpc-message=50%25 %C3%A9%0A c=3 d-bin= "
	    "grpc-status-details-bin=eA\n");
}

SERVER(what_would_break_the_peer_is_not_sent)
{
	static const fc_pair pairs[] = {{"a", "x\r\nb: y", 1, 7, 0}, {"A", "x", 1, 1, 0},
	    {"", "x", 0, 1, 0}, {":path", "x", 5, 1, 0}, {"grpc-status", "0", 11, 1, 0},
	    {"content-type", "x", 12, 1, 0}, {"connection", "x", 10, 1, 0},
	    {"ok", "fine", 2, 4, 0}};

	wire_greeting(w);
	wire_call(w, 1, true);
	ops->send_head(w->engine, wire_stream(w, 1), FC_COUNT(pairs), pairs);
	wire_says(w, "HEADERS 1 :status=200 content-type=application/grpc ok=fine\n");
}

SERVER(a_long_block_is_continued)
{
	static char value[40000];
	fc_pair pair = {"a", value, 1, sizeof value, 0};

	memset(value, 'v', sizeof value);
	wire_greeting(w);
	wire_call(w, 1, true);
	ops->send_head(w->engine, wire_stream(w, 1), 1, &pair);
	wire_says(w,
	    "HEADERS 1\nFRAME type 9 flags 0 stream 1 (16384)\nFRAME type 9 flags 4 stream 1 "
	    "(7253)\n");
}

/* The peer shrinks its table to nothing and back: blocks remain right. */
SERVER(the_peers_table_changes)
{
	const uint32_t none[] = {FC_H2_HEADER_TABLE_SIZE, 0},
	               some[] = {FC_H2_HEADER_TABLE_SIZE, 60},
	               full[] = {FC_H2_HEADER_TABLE_SIZE, 1u << 20};
	const uint32_t *const steps[] = {none, some, none, full, full};
	uint32_t id = 1;

	wire_greeting(w);
	for (size_t i = 0; i < FC_COUNT(steps); i++) {
		for (int n = 0; n < 4; n++, id += 2) {
			char expected[300];

			wire_call(w, id, true);
			wire_send(w, id, "", false);
			wire_tail(w, id, FARCALL_OK, "");
			wire_release(w, id);
			snprintf(expected, sizeof expected,
			    "HEADERS %u :status=200 content-type=application/grpc\n"
			    "DATA %u 0000000000\nHEADERS %u end grpc-status=0\n",
			    id, id, id);
			wire_says(w, expected);
		}
		wire_settings(w, steps[i], 1);
		wire_said(w);
	}
	wire_seen(w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(header_lists),
	    clean_test(http_refusals_wait_for_the_end),
	    clean_test(early_answers_end_with_a_reset),
	    clean_test(answers_within_on_request),
	    clean_test(request_trailers),
	    clean_test(messages_in_pieces),
	    clean_test(a_message_at_its_limit),
	    clean_test(the_owner_lowers_the_limit),
	    clean_test(a_length_that_lies_costs_no_memory),
	    clean_test(broken_messages),
	    clean_test(errors_after_the_answer_began),
	    clean_test(metadata_is_sent),
	    clean_test(what_would_break_the_peer_is_not_sent),
	    clean_test(a_long_block_is_continued),
	    clean_test(the_peers_table_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
