/*
 * Header lists that the peer would not take: at its MAX_HEADER_LIST_SIZE a list goes out, one byte
 * past it, or past what a block of ours holds, the engine refuses it before a byte is encoded, and
 * the connection and its other streams go on. RFC 9113 section 10.5.1.
 */
#include "tests/support/test.h"

#include "tests/support/wire.h"

#include <stdio.h>
#include <stdlib.h>

static const fc_engine_ops *const ops = &fc_h2_engine;

#define SCENARIO(name, client)             \
	static void name##_(wire *w);      \
	static void name(void **state)     \
	{                                  \
		(void)state;               \
		wire_run(name##_, client); \
	}                                  \
	static void name##_(wire *w)

#define CLIENT(name) SCENARIO(name, true)
#define SERVER(name) SCENARIO(name, false)

/* Lists before the value of the pair "k". A request: 7 + 4, 7 + 4, 5 + 8, 10 + 6, 2 + 8, 12 + 16,
 * 10 + 6, and 1; a response's head 7 + 3, 12 + 16, and 1; trailers 11 + 1, and 1; 32 each. */
#define REQUEST (105u + 1 + 8 * 32)
#define TIMEOUT (12u + 2 + 32) /* grpc-timeout: 1n */
#define HEAD (38u + 1 + 3 * 32)
#define TRAILERS (12u + 1 + 2 * 32)

static char bytes[70000];

static fc_pair
pair_of(size_t list, size_t other)
{
	fc_pair pair = {"k", bytes, 1, (uint32_t)(list - other), 0};

	memset(bytes, 'x', sizeof bytes);
	return pair;
}

static void
refused(wire *w, size_t size, const char *said, size_t most)
{
	char expected[128];
	fc_error why;

	fc_error_clear(&why);
	assert_true(ops->refusal(w->engine, &why));
	assert_int_equal(why.code, FARCALL_RESOURCE_EXHAUSTED);
	assert_int_equal(why.cause, FARCALL_CAUSE_TOO_LARGE);
	snprintf(expected, sizeof expected,
	    "a header list of %zu bytes, 32 a field counted; %s %zu", size, said, most);
	assert_string_equal(why.text, expected);
	wire_says(w, ""); /* nothing has left */
}

static void
peer_takes(wire *w, uint32_t list)
{
	const uint32_t setting[] = {FC_H2_MAX_HEADER_LIST_SIZE, list};

	wire_settings(w, setting, 1);
	wire_says(w, "SETTINGS ack\n");
}

/* One list has left. Where it fits one frame: with so long a value of "k". */
static void
sent_value(wire *w, size_t size)
{
	const char *said = wire_said(w), *k = strstr(said, " k=");

	if (k != NULL)
		assert_int_equal(strcspn(k + 3, "\n"), size);
	else
		assert_true(size > 16384);
	assert_int_equal(strncmp(said, "HEADERS ", 8), 0);
}

/* ---- a client's requests ---- */

static fc_stream *
open_list(wire *w, size_t list, uint64_t timeout)
{
	size_t other = REQUEST + (timeout != FC_NEVER ? TIMEOUT : 0);
	fc_pair pair = pair_of(list, other);
	const fc_request request = {{"/t.T/Say", 8}, timeout, 1, &pair, 0};
	fc_stream *stream = ops->open_stream(w->engine, &request, w);

	if (stream != NULL) {
		sent_value(w, list - other);
		w->streams[wire_id(stream) / 2] = stream;
	}
	return stream;
}

CLIENT(a_request_at_the_servers_limit)
{
	wire_greeting(w);
	wire_open_stream(w); /* the innocent one */
	wire_said(w);
	peer_takes(w, 1000);
	assert_null(open_list(w, 1001, FC_NEVER));
	refused(w, 1001, "the peer takes at most", 1000);
	assert_null(open_list(w, 1001, 1));
	refused(w, 1001, "the peer takes at most", 1000);
	assert_int_equal(wire_id(open_list(w, 1000, FC_NEVER)), 3); /* no number was used up */
	assert_int_equal(wire_id(open_list(w, 1000, 1)), 5);
	wire_response(w, 1);
	wire_trailers(w, 1, "5", "there");
	wire_sees(w, "head 1\ntail 1 NOT_FOUND \"there\"\n");
}

CLIENT(a_limit_that_changes)
{
	wire_greeting(w);
	assert_non_null(open_list(w, 5000, FC_NEVER));
	peer_takes(w, 4999);
	assert_null(open_list(w, 5000, FC_NEVER));
	refused(w, 5000, "the peer takes at most", 4999);
	peer_takes(w, 5000);
	assert_non_null(open_list(w, 5000, FC_NEVER));
}

/* Whether the server has told a limit or not. */
CLIENT(a_request_at_our_own_limit)
{
	wire_greeting(w);
	assert_null(open_list(w, 65537, FC_NEVER));
	refused(w, 65537, "at most are sent", 65536);
	assert_non_null(open_list(w, 65536, FC_NEVER));
	peer_takes(w, 1u << 20);
	assert_null(open_list(w, 65537, FC_NEVER));
	refused(w, 65537, "at most are sent", 65536);
	peer_takes(w, 65535);
	assert_null(open_list(w, 65536, FC_NEVER));
	refused(w, 65536, "the peer takes at most", 65535);
}

CLIENT(requests_without_metadata_always_go)
{
	wire_greeting(w);
	peer_takes(w, 0);
	assert_int_equal(wire_open_stream(w), 1);
	wire_said(w);
	assert_null(open_list(w, REQUEST, FC_NEVER));
	refused(w, REQUEST, "the peer takes at most", 0);
}

/* Encoded, 3 bytes become 4. */
CLIENT(bytes_count_as_they_are_sent)
{
	fc_pair pair = pair_of(300, 0);
	const fc_request request = {{"/t.T/Say", 8}, FC_NEVER, 1, &pair, 0};

	pair.name = "k-bin";
	pair.name_size = 5;
	pair.flags = FC_PAIR_BINARY;
	wire_greeting(w);
	peer_takes(w, REQUEST + 4 + 399);
	assert_null(ops->open_stream(w->engine, &request, w));
	refused(w, REQUEST + 4 + 400, "the peer takes at most", REQUEST + 4 + 399);
	peer_takes(w, REQUEST + 4 + 400);
	assert_non_null(ops->open_stream(w->engine, &request, w));
}

/* ---- a server's answers ---- */

static fc_send
send_head_of(wire *w, uint32_t id, size_t list)
{
	fc_pair pair = pair_of(list, HEAD);

	return ops->send_head(w->engine, wire_stream(w, id), 1, &pair);
}

static fc_send
send_tail_of(wire *w, uint32_t id, size_t list, size_t other)
{
	fc_pair pair = pair_of(list, other);
	const fc_tail tail = {.code = FARCALL_OK, .n_metadata = 1, .metadata = &pair};

	return ops->send_tail(w->engine, wire_stream(w, id), &tail);
}

static void
two_calls(wire *w, uint32_t list)
{
	wire_greeting(w);
	peer_takes(w, list);
	wire_call(w, 1, true);
	wire_call(w, 3, true);
	wire_sees(w,
	    "request 1 /t.T/Say at host\nhalf-close 1\n"
	    "request 3 /t.T/Say at host\nhalf-close 3\n");
	wire_says(w, "");
}

SERVER(a_head_at_the_clients_limit)
{
	two_calls(w, 1000);
	assert_int_equal(send_head_of(w, 1, 1001), FC_SEND_TOO_LARGE);
	refused(w, 1001, "the peer takes at most", 1000);
	assert_int_equal(send_head_of(w, 1, 1000), FC_SEND_OK); /* the stream stands */
	sent_value(w, 1000 - HEAD);
	wire_tail(w, 3, FARCALL_OK, "");
	wire_says(w, "HEADERS 3 end :status=200 content-type=application/grpc grpc-status=0\n");
}

SERVER(trailers_at_the_clients_limit)
{
	two_calls(w, 1000);
	wire_send(w, 1, "a", false);
	wire_said(w);
	assert_int_equal(send_tail_of(w, 1, 1001, TRAILERS), FC_SEND_TOO_LARGE);
	refused(w, 1001, "the peer takes at most", 1000);
	assert_int_equal(send_tail_of(w, 1, 1000, TRAILERS), FC_SEND_OK);
	sent_value(w, 1000 - TRAILERS);
	/* Trailers alone are a head too. */
	assert_int_equal(send_tail_of(w, 3, 1001, TRAILERS + HEAD - 33), FC_SEND_TOO_LARGE);
	refused(w, 1001, "the peer takes at most", 1000);
	assert_int_equal(send_tail_of(w, 3, 1000, TRAILERS + HEAD - 33), FC_SEND_OK);
	sent_value(w, 1000 - TRAILERS - HEAD + 33);
}

SERVER(answers_at_our_own_limit)
{
	two_calls(w, UINT32_MAX);
	assert_int_equal(send_head_of(w, 1, 65537), FC_SEND_TOO_LARGE);
	refused(w, 65537, "at most are sent", 65536);
	assert_int_equal(send_head_of(w, 1, 65536), FC_SEND_OK);
	sent_value(w, 65536 - HEAD);
	assert_int_equal(send_tail_of(w, 1, 65537, TRAILERS), FC_SEND_TOO_LARGE);
	refused(w, 65537, "at most are sent", 65536);
	assert_int_equal(send_tail_of(w, 1, 65536, TRAILERS), FC_SEND_OK);
	sent_value(w, 65536 - TRAILERS);
}

/* As it is on the wire: a percent sign takes three bytes. 11 + 1, 12 + n, 32 each. */
SERVER(messages_count_too)
{
	two_calls(w, 12 + 12 + 2 * 32 + 5);
	wire_send(w, 1, "a", false);
	wire_said(w);
	assert_int_equal(wire_tail(w, 1, FARCALL_NOT_FOUND, "a%bc"), FC_SEND_TOO_LARGE);
	refused(w, 94, "the peer takes at most", 93);
	assert_int_equal(wire_tail(w, 1, FARCALL_NOT_FOUND, "a%b"), FC_SEND_OK);
	wire_says(w, "HEADERS 1 end grpc-status=5 grpc-message=a%25b\n");
	assert_int_equal(wire_tail(w, 3, FARCALL_UNAUTHENTICATED, ""), FC_SEND_OK);
	wire_says(w, "HEADERS 3 end :status=200 content-type=application/grpc grpc-status=16\n");
}

/* Trailers that would wait behind a message are looked at when they are given. */
SERVER(trailers_that_wait)
{
	two_calls(w, 1000);
	assert_int_equal(wire_send_of(w, 1, 100000, false), FC_SEND_WAITING);
	wire_said(w);
	assert_int_equal(send_tail_of(w, 1, 1001, TRAILERS), FC_SEND_TOO_LARGE);
	refused(w, 1001, "the peer takes at most", 1000);
	assert_int_equal(send_tail_of(w, 1, 1000, TRAILERS), FC_SEND_WAITING);
}

/* ---- what is announced ---- */

static void
announced_(wire *w)
{
	w->config.max_metadata = 1u << 20;
	wire_open(w);
	wire_feed_text(w, FC_H2_PREFACE);
	wire_says(w, "SETTINGS 3=100 4=65535 6=65536\n"); /* what a block may hold */
}

static void
no_more_is_announced_than_a_block_holds(void **state)
{
	(void)state;
	wire_run_unopened(announced_, false);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(a_request_at_the_servers_limit),
	    clean_test(a_limit_that_changes),
	    clean_test(a_request_at_our_own_limit),
	    clean_test(requests_without_metadata_always_go),
	    clean_test(bytes_count_as_they_are_sent),
	    clean_test(a_head_at_the_clients_limit),
	    clean_test(trailers_at_the_clients_limit),
	    clean_test(answers_at_our_own_limit),
	    clean_test(messages_count_too),
	    clean_test(trailers_that_wait),
	    clean_test(no_more_is_announced_than_a_block_holds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
