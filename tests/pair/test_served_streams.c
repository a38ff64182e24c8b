/*
 * A server's streams, driven by a client that does what the test says: all shapes, on threads and
 * on a lent loop, ends of either side first, heads and trailers, messages of every size, bad ones.
 */
#include "tests/pair/stage.h"

static const char chat[] = "/stream.Test/Chat", murmur[] = "/stream.Test/Murmur";
static const char sum[] = "/stream.Test/Sum", count[] = "/stream.Test/Count";

/* Chat on threads, Murmur on threads, Murmur on a lent loop. */
typedef struct way {
	const char *path;
	bool lent;
} way;

static const way ways[] = {{chat, false}, {murmur, false}, {murmur, true}};

#define EACH_WAY(w) for (const way *w = ways; w < ways + FC_COUNT(ways); w++)

/* ---- shapes ---- */

static void
every_shape_answers(void **state)
{
	stage s;
	puppet_call c;

	(void)state;
	stage_start(&s, false);
	stage_count(&s, &c, 5, 100, 0);
	assert_ended(&c, 5, FARCALL_OK, "");
	assert_int_equal(c.size, 500);
	puppet_open(&s.p, &c, sum, 0, NULL);
	for (uint32_t i = 1; i <= 4; i++)
		puppet_number(&c, i, 0);
	puppet_end(&c);
	puppet_until(&s.p, c.ended);
	assert_int_equal(c.code, FARCALL_OK);
	assert_int_equal(c.last, 10);
	stage_end(&s);
	EACH_WAY(w)
	{
		stage_start(&s, w->lent);
		puppet_open(&s.p, &c, w->path, 0, NULL);
		for (uint32_t i = 0; i < 100; i++) {
			puppet_number(&c, i, i);
			if (i % 3 == 0)
				puppet_until(&s.p, c.received == i + 1);
		}
		puppet_until(&s.p, c.received == 100);
		assert_false(c.ended);
		puppet_end(&c);
		assert_ended(&c, 100, FARCALL_OK, "");
		stage_end(&s);
	}
}

/* The client has nothing to say, or says all at once; and no stream is without a head. */
static void
nothing_or_all_at_once(void **state)
{
	stage s;
	puppet_call c, d;

	(void)state;
	EACH_WAY(w)
	{
		stage_start(&s, w->lent);
		puppet_open(&s.p, &c, w->path, 0, NULL);
		puppet_end(&c);
		puppet_open(&s.p, &d, w->path, 0, NULL);
		for (uint32_t i = 0; i < 500; i++)
			puppet_number(&d, i, 50);
		puppet_end(&d);
		assert_ended(&c, 0, FARCALL_OK, "");
		assert_true(c.head);
		assert_ended(&d, 500, FARCALL_OK, "");
		stage_end(&s);
	}
	stage_start(&s, false);
	stage_count(&s, &c, 0, 0, 0);
	assert_ended(&c, 0, FARCALL_OK, "");
	assert_true(c.head);
	puppet_open(&s.p, &c, sum, 0, NULL);
	puppet_end(&c);
	assert_ended(&c, 1, FARCALL_OK, "");
	stage_end(&s);
}

static void
every_size_comes_back(void **state)
{
	static const size_t sizes[] = {
	    0, 1, 16370, 16379, 16384, 65535, 65536, 70000, 262144, 1 << 20, (2 << 20) + 17, 0, 3};
	stage s;
	puppet_call c;
	size_t all = 0;

	(void)state;
	EACH_WAY(w)
	{
		stage_start(&s, w->lent);
		puppet_open(&s.p, &c, w->path, 0, NULL);
		all = 0;
		for (uint32_t i = 0; i < FC_COUNT(sizes); i++) {
			all += sizes[i];
			puppet_number(&c, i, sizes[i]);
			puppet_until(&s.p, !c.waiting);
		}
		puppet_end(&c);
		assert_ended(&c, FC_COUNT(sizes), FARCALL_OK, "");
		assert_int_equal(c.size, all);
		stage_end(&s);
	}
}

/* ---- the server ends first ---- */

static void
the_server_ends_early(void **state)
{
	stage s;
	puppet_call c;

	(void)state;
	EACH_WAY(w)
	{
		stage_start(&s, w->lent);
		puppet_open(&s.p, &c, w->path, 0, NULL);
		puppet_number(&c, 0, 10);
		stage_say(&c, "end", FARCALL_OK);
		for (uint32_t i = 0; i < 50; i++)
			puppet_number(&c, i, 1000); /* into the void */
		assert_ended(&c, 1, FARCALL_OK, "");
		/* What was said before the failure comes first. */
		puppet_open(&s.p, &c, w->path, 0, "me");
		for (uint32_t i = 0; i < 20; i++)
			puppet_number(&c, i, 1000);
		stage_say(&c, "not that", FARCALL_ABORTED);
		assert_ended(&c, 20, FARCALL_ABORTED, "not that");
		assert_int_equal(stage_cancelled(&s), 0);
		stage_end(&s);
	}
	stage_start(&s, false);
	puppet_open(&s.p, &c, sum, 0, NULL);
	puppet_number(&c, 1, 10);
	stage_say(&c, "no sum", FARCALL_OUT_OF_RANGE);
	assert_ended(&c, 0, FARCALL_OUT_OF_RANGE, "no sum");
	stage_end(&s);
}

/* ---- heads and trailers ---- */

static farcall_code
late_metadata(farcall_call *call)
{
	Stream__Message reply = STREAM__MESSAGE__INIT;

	farcall_call_add_metadata(call, "said", "in time");
	stream_test_chat__send_reply(call, &reply);
	farcall_call_add_metadata(call, "said", "too late");
	farcall_call_add_trailer(call, "said-last", "at the end");
	return FARCALL_OK;
}

static void
metadata_go_with_the_first_message(void **state)
{
	stage s;
	puppet_call c;

	(void)state;
	stage_start(&s, false);
	puppet_open(&s.p, &c, chat, 0, "hello");
	puppet_number(&c, 0, 1);
	puppet_until(&s.p, c.received == 1);
	assert_string_equal(c.said, "hello");
	puppet_end(&c);
	assert_ended(&c, 1, FARCALL_OK, "");
	assert_string_equal(c.last_said, "hello");
	/* Without a message they go with the end. */
	puppet_open(&s.p, &c, chat, 0, "hello");
	puppet_end(&c);
	assert_ended(&c, 0, FARCALL_OK, "");
	assert_string_equal(c.said, "hello");
	puppet_open(&s.p, &c, chat, 0, "hello");
	stage_say(&c, "no", FARCALL_ABORTED);
	assert_ended(&c, 0, FARCALL_ABORTED, "no");
	assert_string_equal(c.said, "hello");
	assert_string_equal(c.last_said, "hello");
	stage_end(&s);
	stage_init(&s, false);
	s.ops.chat = late_metadata;
	stage_register(&s);
	stage_open(&s);
	test_log_catch();
	puppet_open(&s.p, &c, chat, 0, NULL);
	assert_ended(&c, 1, FARCALL_OK, "");
	assert_string_equal(c.said, "in time");
	assert_string_equal(c.last_said, "at the end");
	assert_int_equal(test_log_count(), 1);
	assert_non_null(strstr(test_log_last(), "misuse: metadata was added after"));
	test_log_release();
	stage_end(&s);
}

static farcall_code
much_metadata(farcall_call *call)
{
	static char text[40000];
	Stream__Message reply = STREAM__MESSAGE__INIT;
	farcall_code code;

	memset(text, 'x', sizeof text - 1);
	farcall_call_add_metadata(call, "said", text);
	farcall_call_add_metadata(call, "more", text);
	while ((code = stream_test_chat__send_reply(call, &reply)) == FARCALL_OK)
		;
	atomic_store(&stage_of(call)->code, code);
	return code;
}

/* More than the peer takes: it is told so, and the handler that the call is over. */
static void
too_much_metadata_end_the_call(void **state)
{
	stage s;
	puppet_call c;

	(void)state;
	stage_init(&s, false);
	s.ops.chat = much_metadata;
	stage_register(&s);
	stage_open(&s);
	puppet_open(&s.p, &c, chat, 0, NULL);
	puppet_until(&s.p, c.ended);
	assert_int_equal(c.code, FARCALL_RESOURCE_EXHAUSTED);
	assert_non_null(strstr(c.text, "response metadata"));
	test_wait_for(&s.code, FARCALL_CANCELLED);
	stage_cancelled(&s);
	stage_end(&s);
}

/* ---- bad messages ---- */

static farcall_code
note_recv(farcall_call *call)
{
	stage *s = stage_of(call);
	const Stream__Message *request;
	farcall_code code;

	atomic_fetch_add(&s->said, 1);
	while ((code = stream_test_chat__recv_request(call, &request)) == FARCALL_OK)
		;
	atomic_store(&s->code, code);
	atomic_store(&s->told, strstr(farcall_call_error(call), "stream.Message.text") != NULL);
	atomic_fetch_add(&s->steps, 1);
	return FARCALL_OK; /* which does not count */
}

static void
bad_messages_end_the_call(void **state)
{
	static char bad[] = "\xc0\x80";
	Stream__Message message = STREAM__MESSAGE__INIT;
	stage s;
	puppet_call c;

	(void)state;
	message.text = bad;
	stage_init(&s, false);
	s.ops.chat = note_recv;
	stage_register(&s);
	stage_open(&s);
	puppet_open(&s.p, &c, chat, 0, NULL);
	puppet_number(&c, 0, 1);
	puppet_say(&c, &message, false);
	puppet_until(&s.p, c.ended);
	assert_int_equal(c.code, FARCALL_INVALID_ARGUMENT);
	assert_non_null(strstr(c.text, "stream.Message.text: not UTF-8 at byte 0"));
	test_wait_for(&s.steps, 1);
	assert_int_equal(atomic_load(&s.code), FARCALL_INVALID_ARGUMENT);
	assert_true(atomic_load(&s.told));
	/* Larger than the limit. */
	puppet_open(&s.p, &c, chat, 0, NULL);
	puppet_number(&c, 0, 1);
	puppet_until(&s.p, atomic_load(&s.said) == 2); /* else it is too late to begin */
	puppet_number(&c, 1, 4 << 20);
	puppet_until(&s.p, c.ended);
	assert_int_equal(c.code, FARCALL_RESOURCE_EXHAUSTED);
	test_wait_for(&s.steps, 2);
	assert_int_equal(atomic_load(&s.code), FARCALL_RESOURCE_EXHAUSTED);
	stage_end(&s);
}

/* Where one request is due, and there is none, or two. */
static void
one_request_is_one(void **state)
{
	Stream__Message request = STREAM__MESSAGE__INIT;
	stage s;
	puppet_call c;

	(void)state;
	stage_start(&s, false);
	puppet_open(&s.p, &c, count, 0, NULL);
	puppet_end(&c);
	assert_ended(&c, 0, FARCALL_INTERNAL, "no request message in a call that has one");
	puppet_open(&s.p, &c, count, 0, NULL);
	puppet_say(&c, &request, false);
	puppet_say(&c, &request, true);
	assert_ended(&c, 0, FARCALL_INTERNAL, "a second request message in a call that has one");
	assert_int_equal(atomic_load(&s.streams.begun), 0);
	stage_end(&s);
}

/* ---- handlers that are not there ---- */

static void
no_handler_is_unimplemented(void **state)
{
	static const char *const paths[] = {chat, sum, count};
	Stream__Message request = STREAM__MESSAGE__INIT;
	stage s;
	puppet_call c;

	(void)state;
	stage_init(&s, false);
	s.ops.chat = NULL;
	s.ops.sum = NULL;
	s.ops.count = NULL;
	stage_register(&s);
	stage_open(&s);
	for (size_t i = 0; i < 3; i++) {
		puppet_open(&s.p, &c, paths[i], 0, NULL);
		puppet_say(&c, &request, true);
		puppet_until(&s.p, c.ended);
		assert_int_equal(c.code, FARCALL_UNIMPLEMENTED);
	}
	stage_end(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(every_shape_answers),
	    clean_test(nothing_or_all_at_once),
	    clean_test(every_size_comes_back),
	    clean_test(the_server_ends_early),
	    clean_test(metadata_go_with_the_first_message),
	    clean_test(too_much_metadata_end_the_call),
	    clean_test(bad_messages_end_the_call),
	    clean_test(one_request_is_one),
	    clean_test(no_handler_is_unimplemented),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
