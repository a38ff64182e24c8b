/*
 * Compressed messages on a client's wire: heads of requests, what is sent, what comes back.
 * grpc/grpc: doc/compression.md; hardening G2.
 */
#include "tests/support/test.h"

#include "tests/wire/coded.h"

#include <stdio.h>

static const fc_engine_ops *const ops = &fc_h2_engine;

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
	coded_open(w, BOTH);
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
	coded_open(w, BOTH);
	wire_said(w);
	open_coded(w, FC_CODING_GZIP, FC_NEVER);
	wire_send_of(w, 1, 5000, false);
	assert_true(coded_said(w, 1, FC_CODING_GZIP, 5000));
	wire_stream(w, 1)->plain = true;
	wire_send_of(w, 1, 5000, true);
	assert_false(coded_said(w, 1, FC_CODING_GZIP, 5000));
	open_coded(w, FC_CODING_DEFLATE, FC_NEVER);
	wire_send_of(w, 3, 200000, true);
	assert_true(coded_said(w, 3, FC_CODING_DEFLATE, 200000));
	open_coded(w, 0, FC_NEVER);
	wire_send_of(w, 5, 5000, true);
	assert_false(coded_said(w, 5, 0, 5000));
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

	coded_flags[0] = 0;
	w->hook = coded_note;
	coded_open(w, BOTH);
	for (uint32_t id = 1; id < 5; id += 2) {
		open_coded(w, 0, FC_NEVER);
		respond(w, id, names[id / 2]);
		wire_message(w, id, false, "p");
		coded_feed_zeros(
		    w, id, false, id == 1 ? FC_CODING_GZIP : FC_CODING_DEFLATE, 2000000);
		wire_trailers(w, id, "0", NULL);
	}
	wire_sees(w,
	    "head 1\nmessage 1 \"p\"\nmessage 1 (2000000)\ntail 1 OK\n"
	    "head 3\nmessage 3 \"p\"\nmessage 3 (2000000)\ntail 3 OK\n");
	assert_string_equal(coded_flags, "pcpc");
}

CLIENT(responses_that_cannot_be_read)
{
	w->config.max_message = 1000;
	coded_open(w, FC_CODING_GZIP);
	for (int i = 0; i < 5; i++)
		open_coded(w, 0, FC_NEVER);
	wire_said(w);
	respond(w, 1, "snappy");
	wire_message(w, 1, false, "p"); /* allowed */
	wire_data(w, 1, false, "\1\0\0\0\1x", 6);
	respond(w, 3, "deflate");
	coded_feed_zeros(w, 3, false, FC_CODING_DEFLATE, 10);
	respond(w, 5, "identity");
	wire_data(w, 5, false, "\1\0\0\0\1x", 6);
	respond(w, 7, "gzip");
	coded_feed_zeros(w, 7, false, FC_CODING_GZIP, 1001);
	respond(w, 9, "gzip");
	coded_feed_zeros(w, 9, false, FC_CODING_DEFLATE, 10);
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
	coded_open(w, BOTH);
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
	    clean_test(heads_of_requests),
	    clean_test(requests),
	    clean_test(responses),
	    clean_test(responses_that_cannot_be_read),
	    clean_test(lists_with_codings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
