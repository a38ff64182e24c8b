/*
 * gRPC on a client: what a server's answers become, right, wrong and not gRPC at all, and what
 * requests look like. doc/PROTOCOL-HTTP2.md, doc/http-grpc-status-mapping.md.
 */
#include "tests/support/test.h"

#include "tests/support/wire.h"

#include <stdio.h>

static const fc_engine_ops *const ops = &fc_h2_engine;

#define CLIENT(name)                     \
	static void name##_(wire *w);    \
	static void name(void **state)   \
	{                                \
		(void)state;             \
		wire_run(name##_, true); \
	}                                \
	static void name##_(wire *w)

#define OK                       \
	{                        \
		":status", "200" \
	}
#define GRPC                                       \
	{                                          \
		"content-type", "application/grpc" \
	}

/* ---- one header list that ends the stream ---- */

static const struct list {
	const char *name;
	bool end;
	wire_field fields[8];
	const char *events, *frames;
} lists[] = {
    {"trailers only", true, {OK, GRPC, {"grpc-status", "5"}, {"grpc-message", "no%20such"}},
        "tail 1 NOT_FOUND \"no such\"\n", ""},
    {"with metadata", true,
        {OK, GRPC, {"grpc-status", "0"}, {"a", "1"}, {"b-bin", "AA"}, {"grpc-message", ""}},
        "tail 1 OK a=1 b-bin=AA[base64]\n", ""},
    {"bad escape", true, {OK, GRPC, {"grpc-status", "2"}, {"grpc-message", "100%zz%4"}},
        "tail 1 UNKNOWN \"100%zz%4\"\n", ""},
    {"number beyond the codes", true, {OK, GRPC, {"grpc-status", "17"}, {"grpc-message", "m"}},
        "tail 1 UNKNOWN \"m\"\n", ""},
    {"no number", true, {OK, GRPC, {"grpc-status", "x"}},
        "tail 1 UNKNOWN (PROTOCOL) \"the server's grpc-status is not a number\"\n", ""},
    {"negative", true, {OK, GRPC, {"grpc-status", "-1"}},
        "tail 1 UNKNOWN (PROTOCOL) \"the server's grpc-status is not a number\"\n", ""},
    {"10^10", true, {OK, GRPC, {"grpc-status", "10000000000"}},
        "tail 1 UNKNOWN (PROTOCOL) \"the server's grpc-status is not a number\"\n", ""},
    {"no status", true, {OK, GRPC},
        "tail 1 UNKNOWN (PROTOCOL) \"the server sent no grpc-status\"\n", ""},
    {"400", true, {{":status", "400"}},
        "tail 1 INTERNAL (PROTOCOL) \"the server answered with HTTP status 400\"\n", ""},
    {"401", true, {{":status", "401"}},
        "tail 1 UNAUTHENTICATED (PROTOCOL) \"the server answered with HTTP status 401\"\n", ""},
    {"403", true, {{":status", "403"}},
        "tail 1 PERMISSION_DENIED (PROTOCOL) \"the server answered with HTTP status 403\"\n", ""},
    {"404", true, {{":status", "404"}},
        "tail 1 UNIMPLEMENTED (PROTOCOL) \"the server answered with HTTP status 404\"\n", ""},
    {"502", true, {{":status", "502"}, {"content-type", "text/html"}},
        "tail 1 UNAVAILABLE (PROTOCOL) \"the server answered with HTTP status 502\"\n", ""},
    {"503, to be continued", false, {{":status", "503"}, {"content-type", "text/html"}},
        "tail 1 UNAVAILABLE (PROTOCOL) \"the server answered with HTTP status 503\"\n",
        "RST 1 CANCEL\n"},
    {"302", true, {{":status", "302"}},
        "tail 1 UNKNOWN (PROTOCOL) \"the server answered with HTTP status 302\"\n", ""},
    {"403 with grpc-status", true, {{":status", "403"}, GRPC, {"grpc-status", "16"}},
        "tail 1 UNAUTHENTICATED\n", ""},
    {"not gRPC", false, {OK, {"content-type", "text/html"}},
        "tail 1 UNKNOWN (PROTOCOL) \"the server's answer is not of a gRPC content-type\"\n",
        "RST 1 CANCEL\n"},
    {"no content-type", false, {OK},
        "tail 1 UNKNOWN (PROTOCOL) \"the server's answer is not of a gRPC content-type\"\n",
        "RST 1 CANCEL\n"},
    {"no :status", false, {GRPC},
        "abort 1 INTERNAL (PROTOCOL) \"the server's answer is malformed\"\n",
        "RST 1 PROTOCOL_ERROR\n"},
    {"a request's fields", false, {OK, {":path", "/"}, GRPC},
        "abort 1 INTERNAL (PROTOCOL) \"the server's answer is malformed\"\n",
        "RST 1 PROTOCOL_ERROR\n"},
    {"bad status", false, {{":status", "20"}, GRPC},
        "abort 1 INTERNAL (PROTOCOL) \"the server's answer is malformed\"\n",
        "RST 1 PROTOCOL_ERROR\n"},
    {"interim at the end", true, {{":status", "100"}},
        "abort 1 INTERNAL (PROTOCOL) \"an interim answer ends the stream\"\n",
        "RST 1 PROTOCOL_ERROR\n"},
    {"101", false, {{":status", "101"}},
        "abort 1 INTERNAL (PROTOCOL) \"an interim answer ends the stream\"\n",
        "RST 1 PROTOCOL_ERROR\n"},
    {"content-length", true, {OK, GRPC, {"content-length", "4"}, {"grpc-status", "0"}},
        "abort 1 INTERNAL (PROTOCOL) \"less DATA than content-length said\"\n",
        "RST 1 PROTOCOL_ERROR\n"},
};
static const struct list *list;

static void
a_list_(wire *w)
{
	wire_greeting(w);
	wire_open_stream(w);
	ops->half_close(w->engine, wire_stream(w, 1));
	wire_said(w);
	wire_headers(w, 1, list->end, list->fields);
	wire_sees(w, list->events);
	wire_says(w, list->frames);
	assert_int_equal(w->engine->open, 0);
	/* Late trailers: dropped after our reset, an error after the server's own end. */
	wire_trailers(w, 1, "0", NULL);
	wire_sees(w,
	    strcmp(list->frames, "") != 0
	        ? ""
	        : "dead UNAVAILABLE (PROTOCOL) \"HEADERS on stream 1, which has ended\"\n");
	wire_release(w, 1);
}

static void
header_lists(void **state)
{
	(void)state;
	for (size_t i = 0; i < FC_COUNT(lists); i++) {
		list = &lists[i];
		wire_run(a_list_, true);
	}
}

/* ---- after a response's head ---- */

static void
begin(wire *w)
{
	wire_greeting(w);
	wire_open_stream(w);
	wire_send(w, 1, "q", true);
	wire_response(w, 1);
	wire_sees(w, "head 1\n");
	wire_said(w);
}

CLIENT(interim_answers_are_skipped)
{
	static const wire_field interim[] = {{":status", "103"}, {"link", "x"}, {NULL, NULL}};

	wire_greeting(w);
	wire_open_stream(w);
	wire_send(w, 1, "q", true);
	wire_headers(w, 1, false, interim);
	wire_headers(w, 1, false, interim);
	wire_sees(w, "");
	wire_response(w, 1);
	wire_trailers(w, 1, "0", NULL);
	wire_sees(w, "head 1\ntail 1 OK\n");
}

CLIENT(data_ends_the_stream)
{
	begin(w);
	wire_message(w, 1, true, "hi");
	wire_sees(
	    w, "message 1 \"hi\"\ntail 1 UNKNOWN (PROTOCOL) \"the server sent no grpc-status\"\n");
}

CLIENT(data_before_the_head)
{
	wire_greeting(w);
	wire_open_stream(w);
	wire_said(w);
	wire_message(w, 1, true, "hi");
	wire_sees(w, "abort 1 INTERNAL (PROTOCOL) \"the server sent DATA before its head\"\n");
	wire_says(w, "RST 1 PROTOCOL_ERROR\n");
}

CLIENT(a_second_head)
{
	begin(w);
	wire_response(w, 1);
	wire_sees(w, "abort 1 INTERNAL (PROTOCOL) \"the server's trailers are malformed\"\n");
	wire_says(w, "RST 1 PROTOCOL_ERROR\n");
}

CLIENT(pseudo_headers_in_trailers)
{
	static const wire_field bad[] = {OK, {"grpc-status", "0"}, {NULL, NULL}};

	begin(w);
	wire_headers(w, 1, true, bad);
	wire_sees(w, "abort 1 INTERNAL (PROTOCOL) \"the server's trailers are malformed\"\n");
}

CLIENT(cut_off_inside_a_message)
{
	begin(w);
	wire_data(w, 1, false, "\0\0\0\0\5he", 7);
	wire_trailers(w, 1, "0", NULL);
	wire_sees(w, "tail 1 INTERNAL (PROTOCOL) \"the response ended inside a message\"\n");
}

CLIENT(cut_off_by_an_error)
{
	begin(w);
	wire_data(w, 1, false, "\0\0\0\0\5he", 7);
	wire_trailers(w, 1, "14", "restarting");
	wire_sees(w, "tail 1 UNAVAILABLE \"restarting\"\n");
}

CLIENT(a_compressed_message)
{
	static const wire_field gzip[] = {OK, GRPC, {"grpc-encoding", "gzip"}, {NULL, NULL}};

	wire_greeting(w);
	wire_open_stream(w);
	wire_open_stream(w);
	wire_said(w);
	wire_headers(w, 1, false, gzip);
	wire_message(w, 1, false, "plain"); /* allowed */
	wire_data(w, 1, false, "\1\0\0\0\1x", 6);
	wire_response(w, 3);
	wire_data(w, 3, false, "\1\0\0\0\1x", 6);
	wire_sees(w,
	    "head 1\nmessage 1 \"plain\"\n"
	    "abort 1 INTERNAL (PROTOCOL) \"a message is compressed in a way that is not supported "
	    "(0x01)\"\n"
	    "head 3\nabort 3 INTERNAL (PROTOCOL) \"a message is compressed, but grpc-encoding was "
	    "not sent (0x01)\"\n");
	wire_says(w, "RST 1 CANCEL\nRST 3 CANCEL\n");
}

static size_t reply_size;

static void
reply_of_(wire *w)
{
	w->config.max_message = 50000;
	wire_open(w);
	begin(w);
	wire_message_of(w, 1, false, reply_size);
	if (reply_size == 50000)
		wire_sees(w, "message 1 (50000)\n");
	else
		wire_sees(w,
		    "abort 1 RESOURCE_EXHAUSTED (TOO_LARGE) \"message of 50001 bytes is larger "
		    "than "
		    "50000\"\n");
}

static void
a_reply_at_its_limit(void **state)
{
	(void)state;
	reply_size = 50000;
	wire_run_unopened(reply_of_, true);
	reply_size++;
	wire_run_unopened(reply_of_, true);
}

static void
a_head_too_large_(wire *w)
{
	static char value[300];
	const wire_field fields[] = {OK, GRPC, {"a", value}, {NULL, NULL}};

	memset(value, 'x', sizeof value - 1);
	w->config.max_metadata = 300;
	wire_open(w);
	wire_greeting(w);
	wire_open_stream(w);
	wire_open_stream(w);
	wire_said(w);
	wire_headers(w, 1, false, fields);
	wire_sees(w,
	    "abort 1 RESOURCE_EXHAUSTED (TOO_LARGE) \"the response's header list is larger than "
	    "300 "
	    "bytes or 144 fields\"\n");
	wire_says(w, "RST 1 CANCEL\n");
	wire_response(w, 3);
	wire_sees(w, "head 3\n");
}

static void
a_head_too_large(void **state)
{
	(void)state;
	wire_run_unopened(a_head_too_large_, true);
}

CLIENT(an_early_answer)
{
	wire_greeting(w);
	wire_open_stream(w);
	wire_send(w, 1, "first", false);
	wire_said(w);
	wire_response(w, 1);
	wire_trailers(w, 1, "9", "enough");
	wire_sees(w, "head 1\ntail 1 FAILED_PRECONDITION \"enough\"\n");
	wire_says(w, "RST 1 NO_ERROR\n");
	assert_int_equal(wire_send(w, 1, "more", false), FC_SEND_GONE);
	wire_rst(w, 1, FC_H2_NO_ERROR); /* the server's own */
	wire_release(w, 1);
	wire_says(w, "");
}

static void
retry_in_tail(wire *w, const char *what, fc_stream *stream)
{
	static const fc_pair pair = {
	    "x-bin", "0123456789012345678901234567", 5, 28, FC_PAIR_BINARY};
	const fc_request request = {{"/t.T/Say", 8}, FC_NEVER, 1, &pair, 0};

	(void)stream;
	if (strcmp(what, "tail-begins") == 0)
		assert_non_null(ops->open_stream(w->engine, &request, NULL));
}

/* What an event shows stands, whatever its owner sends meanwhile. */
CLIENT(a_retry_within_on_tail)
{
	w->hook = retry_in_tail;
	begin(w);
	wire_trailers(w, 1, "14", "try%20again%2C%20please%21");
	wire_sees(w, "tail 1 UNAVAILABLE \"try again, please!\"\n");
	wire_says(w,
	    "HEADERS 3 :method=POST :scheme=http :path=/t.T/Say :authority=host:1 te=trailers "
	    "content-type=application/grpc user-agent=wire/1 "
	    "x-bin=MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nw\n");
}

/* ---- requests ---- */

static void
open_with(wire *w, uint64_t timeout, size_t n, const fc_pair *metadata, const char *frame)
{
	fc_request request = {{"/t.T/Say", 8}, timeout, n, metadata, 0};
	fc_stream *stream = ops->open_stream(w->engine, &request, NULL);

	assert_non_null(stream);
	wire_says(w, frame);
	ops->abort(w->engine, stream, FARCALL_CANCELLED);
	ops->release(w->engine, stream);
	wire_said(w);
}

CLIENT(requests_say_it_all)
{
	static const fc_pair pairs[] = {{"a", "1", 1, 1, 0},
	    {"k-bin", "\377\376", 5, 2, FC_PAIR_BINARY},
	    {"authorization", "Bearer x", 13, 8, FC_PAIR_SENSITIVE}, {"te", "gzip", 2, 4, 0}};
#define HEAD                                                                       \
	" :method=POST :scheme=http :path=/t.T/Say :authority=host:1 te=trailers " \
	"content-type=application/grpc"

	wire_greeting(w);
	open_with(w, FC_NEVER, 0, NULL, "HEADERS 1" HEAD " user-agent=wire/1\n");
	open_with(w, 1, 0, NULL, "HEADERS 3" HEAD " grpc-timeout=1n user-agent=wire/1\n");
	open_with(
	    w, 100000000, 0, NULL, "HEADERS 5" HEAD " grpc-timeout=100000u user-agent=wire/1\n");
	open_with(w, 2 * FC_NS_PER_S, 3, pairs,
	    "HEADERS 7" HEAD " grpc-timeout=2000000u user-agent=wire/1 a=1 k-bin=//4 "
	    "authorization=Bearer x[never]\n");
	open_with(w, FC_NEVER, 4, pairs,
	    "HEADERS 9" HEAD " user-agent=wire/1 a=1 k-bin=//4 authorization=Bearer x[never]\n");
	open_with(w, FC_NEVER, 0, NULL, "HEADERS 11" HEAD " user-agent=wire/1\n");
}

/* The name goes over the wire once, and the blocks made of the path last. */
CLIENT(changing_timeouts_are_short)
{
	wire_greeting(w);
	for (uint64_t i = 0; i < 10; i++) {
		fc_request request = {{"/t.T/Say", 8}, 1000 + i, 0, NULL, 0};
		size_t before;

		wire_take_output(w);
		before = w->out_size;
		assert_non_null(ops->open_stream(w->engine, &request, NULL));
		wire_take_output(w);
		if (i >= 2) /* seven indexed fields, the name's index, "1002n" with its length */
			assert_int_equal(w->out_size - before, 9 + 7 + 2 + 1 + 5);
	}
}

CLIENT(many_paths)
{
	wire_greeting(w);
	for (uint32_t i = 0; i < 300; i++) {
		char path[200], expected[500];
		fc_request request = {{path, 0}, FC_NEVER, 0, NULL, 0};
		fc_stream *stream;

		request.path.size =
		    (size_t)snprintf(path, sizeof path, "/p.P/M%u%s", i % 7 * i % 11,
		        i % 13 == 0
		            ? "WithANameThatIsLongerThanWhatIsKeptForTheBlocksOfPathsBecauseSomeone"
		              "LikesToWriteItAllDown"
		            : "");
		stream = ops->open_stream(w->engine, &request, NULL);
		assert_non_null(stream);
		snprintf(expected, sizeof expected,
		    "HEADERS %u :method=POST :scheme=http :path=%s :authority=host:1 te=trailers "
		    "content-type=application/grpc user-agent=wire/1\n",
		    2 * i + 1, path);
		wire_says(w, expected);
		ops->abort(w->engine, stream, FARCALL_CANCELLED);
		ops->release(w->engine, stream);
		wire_said(w);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(header_lists),
	    clean_test(interim_answers_are_skipped),
	    clean_test(data_ends_the_stream),
	    clean_test(data_before_the_head),
	    clean_test(a_second_head),
	    clean_test(pseudo_headers_in_trailers),
	    clean_test(cut_off_inside_a_message),
	    clean_test(cut_off_by_an_error),
	    clean_test(a_compressed_message),
	    clean_test(a_reply_at_its_limit),
	    clean_test(a_head_too_large),
	    clean_test(an_early_answer),
	    clean_test(a_retry_within_on_tail),
	    clean_test(requests_say_it_all),
	    clean_test(changing_timeouts_are_short),
	    clean_test(many_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
