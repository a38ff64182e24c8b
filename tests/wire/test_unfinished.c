/*
 * Requests that begin and do not end: how long a server awaits them, and how much it gathers.
 */
#include "tests/support/test.h"

#include "tests/support/wire.h"

static const fc_engine_ops *const ops = &fc_h2_engine;

#define SERVER(name)                      \
	static void name##_(wire *w);     \
	static void name(void **state)    \
	{                                 \
		(void)state;              \
		wire_run(name##_, false); \
	}                                 \
	static void name##_(wire *w)

#define STOPPED "the request stopped coming: no byte of it in 60 s"

SERVER(a_request_that_stops_coming)
{
	wire_greeting(w);
	wire_call(w, 1, false);
	wire_call(w, 3, true); /* whole: its handler may take as long as it likes */
	wire_seen(w);
	wire_tick(w, FC_H2_PATIENCE_NS - 1);
	wire_sees(w, "");
	wire_data(w, 1, false, "\0", 1);
	wire_tick(w, FC_H2_PATIENCE_NS - 1);
	wire_sees(w, "");
	wire_says(w, "");
	wire_tick(w, 1);
	wire_sees(w, "abort 1 CANCELLED (TIMED_OUT) \"" STOPPED "\"\n");
	wire_says(w,
	    "HEADERS 1 end :status=200 content-type=application/grpc grpc-status=1 "
	    "grpc-message=" STOPPED "\nRST 1 NO_ERROR\n");
	wire_release(w, 1);
	/* The rest stands, and nothing is due any more. */
	wire_tail(w, 3, FARCALL_OK, "");
	wire_release(w, 3);
	wire_tick(w, FC_H2_PATIENCE_NS);
	wire_tick(w, FC_H2_PATIENCE_NS);
	assert_true(ops->due(w->engine) == FC_NEVER);
	assert_false(wire_is_dead(w));
}

/* What is no call waits for its request's end, too, to be answered 415. */
SERVER(what_is_no_call_and_stops_coming)
{
	static const wire_field fields[] = {{":method", "POST"}, {":scheme", "http"},
	    {":path", "/t.T/Say"}, {"content-type", "text/html"}, {NULL, NULL}};

	wire_greeting(w);
	wire_headers(w, 1, false, fields);
	wire_tick(w, FC_H2_PATIENCE_NS - 1);
	assert_int_equal(w->engine->open, 1);
	wire_tick(w, 1);
	assert_int_equal(w->engine->open, 0);
	wire_sees(w, "");
}

/* A stream of messages, whose answer has begun, may be silent. */
SERVER(a_request_that_is_being_answered)
{
	wire_greeting(w);
	wire_call(w, 1, false);
	ops->send_head(w->engine, wire_stream(w, 1), 0, NULL);
	wire_seen(w);
	wire_tick(w, FC_H2_PATIENCE_NS);
	wire_tick(w, FC_H2_PATIENCE_NS);
	wire_sees(w, "");
	assert_int_equal(w->engine->open, 1);
}

/* 3 bytes of a message of 10. */
static const uint8_t part[] = {0, 0, 0, 0, 10, 'x', 'x', 'x'};

static void
pass_hours(wire *w)
{
	for (int i = 0; i < 100; i++)
		wire_tick(w, FC_H2_PATIENCE_NS);
}

/* Between messages, and before the first one; but who begins one is to go on. */
SERVER(a_stream_that_may_pause)
{
	wire_greeting(w);
	wire_call(w, 1, false);
	wire_seen(w);
	wire_stream(w, 1)->may_pause = true;
	pass_hours(w);
	wire_sees(w, "");
	assert_true(ops->due(w->engine) == FC_NEVER);
	wire_data(w, 1, false, part, sizeof part);
	wire_tick(w, FC_H2_PATIENCE_NS - 1);
	wire_data(w, 1, false, "xxxxxxx", 7);
	assert_true(strncmp(wire_seen(w), "message 1 ", 10) == 0);
	ops->taken(w->engine, wire_stream(w, 1), 10);
	pass_hours(w);
	wire_sees(w, "");
	ops->send_head(w->engine, wire_stream(w, 1), 0, NULL);
	wire_data(w, 1, false, "\0", 1);
	wire_tick(w, FC_H2_PATIENCE_NS - 1);
	wire_sees(w, "");
	wire_tick(w, 1);
	wire_sees(w, "abort 1 CANCELLED (TIMED_OUT) \"" STOPPED "\"\n");
	wire_release(w, 1);
	assert_false(wire_is_dead(w));
}

/* It cannot go on while our owner takes nothing; its time begins when it could again. */
static void
a_stream_without_window_(wire *w)
{
	static uint8_t bytes[4096];

	w->config.stream_window = 2048;
	wire_open(w);
	wire_greeting(w);
	wire_call(w, 1, false);
	wire_seen(w);
	wire_stream(w, 1)->may_pause = true;
	bytes[3] = 1000 >> 8;
	bytes[4] = 1000 & 255;
	memcpy(bytes + 1005, bytes, 5);
	memcpy(bytes + 2010, bytes, 5);
	wire_data(w, 1, false, bytes, 2048); /* two and a part of a third */
	wire_seen(w);
	pass_hours(w);
	wire_sees(w, "");
	ops->taken(w->engine, wire_stream(w, 1), 2000);
	wire_tick(w, 0); /* is due at once */
	wire_tick(w, FC_H2_PATIENCE_NS - 1);
	wire_sees(w, "");
	wire_tick(w, 1);
	wire_sees(w, "abort 1 CANCELLED (TIMED_OUT) \"" STOPPED "\"\n");
	wire_release(w, 1);
}

static void
a_stream_without_window(void **state)
{
	(void)state;
	wire_run_unopened(a_stream_without_window_, false);
}

SERVER(unfinished_messages_at_the_limit)
{
	wire_greeting(w);
	wire_call(w, 1, false);
	wire_call(w, 3, false);
	wire_seen(w);
	w->engine->gathered = FC_H2_GATHERED_MOST - 6; /* on other streams */
	wire_data(w, 1, false, part, sizeof part);
	wire_data(w, 3, false, part, sizeof part);
	assert_int_equal(w->engine->gathered, FC_H2_GATHERED_MOST);
	wire_sees(w, "");
	wire_data(w, 1, false, "x", 1);
	wire_sees(w,
	    "abort 1 RESOURCE_EXHAUSTED (LIMIT) \"no room for a message of 10 bytes: the "
	    "unfinished messages of its connection have reached 67108864 bytes\"\n");
	wire_said(w);
	wire_release(w, 1);
	/* The connection lives, and there is room for three bytes again; and then for seven. */
	assert_int_equal(w->engine->gathered, FC_H2_GATHERED_MOST - 3);
	wire_data(w, 3, false, "xxx", 3);
	wire_sees(w, "");
	w->engine->gathered = 6;
	wire_data(w, 3, true, "xxxx", 4);
	assert_true(strncmp(wire_seen(w), "message 3 ", 10) == 0);
	assert_int_equal(w->engine->gathered, 0);
}

/* One message may be as large as its own limit. */
static void
a_large_limit_of_messages_(wire *w)
{
	w->config.max_message = FC_H2_GATHERED_MOST + 3;
	wire_open(w);
	wire_greeting(w);
	wire_call(w, 1, false);
	wire_seen(w);
	w->engine->gathered = FC_H2_GATHERED_MOST;
	wire_data(w, 1, false, part, sizeof part);
	wire_sees(w, "");
	wire_data(w, 1, false, "x", 1);
	assert_non_null(strstr(wire_seen(w), "have reached 67108867 bytes"));
}

static void
a_large_limit_of_messages(void **state)
{
	(void)state;
	wire_run_unopened(a_large_limit_of_messages_, false);
}

/* Whatever ends a stream gives back what was gathered for it. */
SERVER(what_was_gathered_goes_with_its_stream)
{
	wire_greeting(w);
	for (uint32_t id = 1; id <= 7; id += 2) {
		wire_call(w, id, false);
		wire_data(w, id, false, part, sizeof part);
	}
	assert_int_equal(w->engine->gathered, 12);
	wire_rst(w, 1, FC_H2_CANCEL);
	assert_int_equal(w->engine->gathered, 9);
	wire_release(w, 1);
	wire_release(w, 3);
	assert_int_equal(w->engine->gathered, 6);
	wire_tail(w, 5, FARCALL_OK, "");
	wire_release(w, 5);
	assert_int_equal(w->engine->gathered, 3);
	wire_data(w, 7, true, "", 0); /* ends inside its message */
	wire_release(w, 7);
	wire_take_output(w);
	assert_int_equal(w->engine->gathered, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(a_request_that_stops_coming),
	    clean_test(what_is_no_call_and_stops_coming),
	    clean_test(a_request_that_is_being_answered),
	    clean_test(unfinished_messages_at_the_limit),
	    clean_test(a_stream_that_may_pause),
	    clean_test(a_stream_without_window),
	    clean_test(a_large_limit_of_messages),
	    clean_test(what_was_gathered_goes_with_its_stream),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
