/*
 * A response's head before its first message: sent when the server says so, by handlers of every
 * shape, on threads and on a lent loop; waited for by clients that have nothing to say before it.
 */
#include "tests/pair/stage.h"
#include "tests/pair/stream_fixture.h"

static const char chat[] = "/stream.Test/Chat", cancelled[] = "/stream.Test/Cancelled";
static const char sum[] = "/stream.Test/Sum", count[] = "/stream.Test/Count";

/* ---- the server ---- */

static void
head(farcall_call *call)
{
	farcall_call_add_metadata(call, "said", "welcome");
	assert_int_equal(farcall_call_send_head(call), FARCALL_OK);
	assert_int_equal(farcall_call_send_head(call), FARCALL_OK);
	atomic_store(&stage_of(call)->call, call);
	atomic_fetch_add(&stage_of(call)->steps, 1);
}

static void
await_go(farcall_call *call)
{
	farcall_block_begin(call);
	while (!atomic_load(&stage_of(call)->go) && !farcall_call_cancelled(call))
		uv_sleep(1);
}

static farcall_code
early_chat(farcall_call *call)
{
	const Stream__Message *request;
	farcall_code code;

	head(call);
	while ((code = stream_test_chat__recv_request(call, &request)) == FARCALL_OK)
		if ((code = stream_test_chat__send_reply(call, request)) != FARCALL_OK)
			break;
	return code;
}

static farcall_code
early_count(farcall_call *call, const Stream__Message *request)
{
	Stream__Message reply = STREAM__MESSAGE__INIT;

	(void)request;
	head(call);
	await_go(call);
	return stream_test_count__send_reply(call, &reply);
}

static farcall_code
early_sum(farcall_call *call, Stream__Message *reply)
{
	(void)reply;
	head(call);
	await_go(call);
	return FARCALL_OK;
}

/* Unary. */
static farcall_code
early_one(farcall_call *call, const Stream__Message *request, Stream__Message *reply)
{
	(void)reply;
	head(call);
	if (request->number == 1)
		return FARCALL_PENDING;
	await_go(call);
	return FARCALL_OK;
}

static const struct stream_test early = {
    .chat = early_chat, .count = early_count, .sum = early_sum, .cancelled = early_one};

static void
begin_stage(stage *s, bool lent)
{
	stage_init(s, lent);
	s->ops = early;
	stage_register(s);
	stage_open(s);
}

static void
assert_headed(puppet_call *c)
{
	puppet_until(c->puppet, c->head);
	assert_string_equal(c->said, "welcome");
	assert_int_equal(c->received, 0);
	assert_false(c->ended);
}

static void
a_handler_sends_it_before_all_else(void **state)
{
	static const char *const paths[] = {chat, sum, count, cancelled};
	stage s;
	puppet_call c;

	(void)state;
	for (unsigned i = 0; i < FC_COUNT(paths); i++) {
		begin_stage(&s, false);
		puppet_open(&s.p, &c, paths[i], 0, NULL);
		if (i >= 2)
			puppet_number(&c, 0, 0);
		if (i >= 2)
			puppet_end(&c);
		assert_headed(&c);
		if (i < 2)
			puppet_number(&c, 0, 3);
		if (i < 2)
			puppet_end(&c);
		s.go = true;
		assert_ended(&c, 1, FARCALL_OK, "");
		stage_end(&s);
	}
}

/* Of a call that pends, by whoever has it; in its handler or later. */
static void
a_pending_call_sends_it(void **state)
{
	Stream__Message request = STREAM__MESSAGE__INIT;
	stage s;
	puppet_call c;

	(void)state;
	request.number = 1;
	for (int lent = 0; lent < 2; lent++) {
		begin_stage(&s, lent != 0);
		puppet_open(&s.p, &c, cancelled, 0, NULL);
		puppet_say(&c, &request, true);
		assert_headed(&c);
		puppet_until(
		    &s.p, atomic_load(&s.steps) == 1); /* the head is faster than its handler */
		farcall_call_complete(s.call, FARCALL_OK);
		assert_ended(&c, 1, FARCALL_OK, "");
		stage_end(&s);
	}
}

/* With a failure behind it: that is no response of trailers alone any more. */
static void
a_failure_follows_it(void **state)
{
	Stream__Message request = STREAM__MESSAGE__INIT;
	stage s;
	puppet_call c;

	(void)state;
	request.number = 1;
	begin_stage(&s, false);
	puppet_open(&s.p, &c, cancelled, 0, NULL);
	puppet_say(&c, &request, true);
	assert_headed(&c);
	puppet_until(&s.p, atomic_load(&s.steps) == 1);
	farcall_call_fail(s.call, FARCALL_ABORTED, "after all");
	farcall_call_complete(s.call, FARCALL_ABORTED);
	assert_ended(&c, 0, FARCALL_ABORTED, "after all");
	stage_end(&s);
}

static farcall_code
late(farcall_call *call)
{
	Stream__Message reply = STREAM__MESSAGE__INIT;

	assert_int_equal(stream_test_chat__send_reply(call, &reply), FARCALL_OK);
	assert_int_equal(farcall_call_send_head(call), FARCALL_OK); /* it has gone */
	farcall_call_add_metadata(call, "said", "too late");
	assert_int_equal(farcall_call_recv_head(call), FARCALL_FAILED_PRECONDITION);
	return FARCALL_OK;
}

static farcall_code
bare(farcall_call *call)
{
	assert_int_equal(farcall_call_send_head(call), FARCALL_OK); /* without metadata */
	farcall_call_add_metadata(call, "said", "too late");
	return FARCALL_OK;
}

static void
it_goes_once_and_takes_no_more_then(void **state)
{
	static farcall_code (*const chats[])(farcall_call *) = {late, bare};
	stage s;
	puppet_call c;

	(void)state;
	for (unsigned i = 0; i < FC_COUNT(chats); i++) {
		stage_init(&s, false);
		s.ops.chat = chats[i];
		stage_register(&s);
		stage_open(&s);
		test_log_catch();
		puppet_open(&s.p, &c, chat, 0, NULL);
		assert_ended(&c, i == 0, FARCALL_OK, "");
		assert_true(c.head);
		assert_string_equal(c.said, "");
		assert_int_equal(test_log_count(), i == 0 ? 2 : 1);
		test_log_release();
		stage_end(&s);
	}
}

static farcall_code
refused(farcall_call *call)
{
	Stream__Message reply = STREAM__MESSAGE__INIT;

	assert_int_equal(stream_test_chat__send_reply(call, &reply), FARCALL_FAILED_PRECONDITION);
	assert_int_equal(farcall_call_send_head(call), FARCALL_OK);
	atomic_store(&stage_of(call)->call, call);
	atomic_fetch_add(&stage_of(call)->steps, 1);
	return FARCALL_PENDING;
}

/* On a lent loop: there is no message then that could have brought it. */
static void
it_goes_though_a_step_was_refused(void **state)
{
	stage s;
	puppet_call c;

	(void)state;
	stage_init(&s, true);
	s.ops.chat = refused;
	stage_register(&s);
	stage_open(&s);
	test_log_catch();
	puppet_open(&s.p, &c, chat, 0, NULL);
	puppet_until(&s.p, c.head && atomic_load(&s.steps) == 1);
	assert_false(c.ended);
	farcall_call_complete(s.call, FARCALL_OK);
	assert_ended(&c, 0, FARCALL_OK, "");
	assert_int_equal(test_log_count(), 1);
	test_log_release();
	stage_end(&s);
}

/* More than the peer takes. */
static farcall_code
much(farcall_call *call)
{
	static char text[40000];
	stage *s = stage_of(call);
	const Stream__Message *request;

	memset(text, 'x', sizeof text - 1);
	farcall_call_add_metadata(call, "said", text);
	farcall_call_add_metadata(call, "more", text);
	farcall_call_send_head(call);
	s->code = stream_test_chat__recv_request(call, &request);
	assert_int_not_equal(farcall_call_send_head(call), FARCALL_PENDING);
	s->told = 1;
	return FARCALL_OK;
}

static void
too_much_of_it_ends_the_call(void **state)
{
	stage s;
	puppet_call c;

	(void)state;
	stage_init(&s, false);
	s.ops.chat = much;
	stage_register(&s);
	stage_open(&s);
	puppet_open(&s.p, &c, chat, 0, NULL);
	puppet_until(&s.p, c.ended);
	assert_int_equal(c.code, FARCALL_RESOURCE_EXHAUSTED);
	assert_non_null(strstr(c.text, "response metadata"));
	test_wait_for(&s.told, 1);
	assert_int_equal(s.code, FARCALL_RESOURCE_EXHAUSTED);
	stage_end(&s);
}

/* ---- the client ---- */

static void
send_head_only(tiny_call *call)
{
	tiny_head(call, "said", "welcome");
}

static void
answer(tiny_call *call, const uint8_t *bytes, size_t size)
{
	echo_message(call, bytes, size);
	tiny_end(call, FARCALL_ABORTED, "enough");
}

static void
assert_welcome(const farcall_call *call)
{
	const char *said = farcall_metadata_get(farcall_call_metadata(call), "said");

	assert_non_null(said);
	assert_string_equal(said, "welcome");
}

static void
a_client_waits_for_it(void **state)
{
	const Pair__Message *message;
	fixture f;
	farcall_call *call;

	(void)state;
	begin(&f);
	f.server.on_request = send_head_only;
	f.server.on_message = answer;
	call = start(&f, &chat_method);
	assert_int_equal(farcall_metadata_get(farcall_call_metadata(call), "said") == NULL, true);
	assert_int_equal(farcall_call_recv_head(call), FARCALL_OK);
	assert_welcome(call);
	assert_int_equal(farcall_call_recv_head(call), FARCALL_OK); /* and again */
	assert_int_equal(send_message(call, "", 5, 10), FARCALL_OK);
	assert_int_equal(receive_message(call, &message), FARCALL_OK);
	assert_int_equal(message->number, 5);
	assert_int_equal(receive_message(call, &message), FARCALL_ABORTED);
	assert_int_equal(farcall_call_recv_head(call), FARCALL_OK); /* it was there */
	assert_welcome(call);
	farcall_call_free(call);
	end(&f);
}

static void
a_callback_is_told_of_it(void **state)
{
	static const farcall_method *const methods[] = {
	    &chat_method, &collect_method, &list_method};
	fixture f;

	(void)state;
	begin(&f);
	f.server.on_request = send_head_only;
	for (unsigned i = 0; i < FC_COUNT(methods); i++) {
		farcall_call *call = start(&f, methods[i]);
		told to = {0};

		farcall_call_recv_head_async(call, tell, &to);
		assert_int_equal(to.times, 0);
		test_log_catch();
		assert_int_equal(farcall_call_recv_head(call), FARCALL_FAILED_PRECONDITION);
		assert_int_equal(test_log_count(), 1);
		test_log_release();
		wait_told(&f, &to, 1);
		assert_int_equal(to.code, FARCALL_OK);
		assert_welcome(call);
		farcall_call_recv_head_async(call, tell, &to); /* it is there already */
		wait_told(&f, &to, 2);
		assert_int_equal(to.code, FARCALL_OK);
		farcall_call_free(call);
		step(&f, 3);
	}
	end(&f);
}

static void
refuse(tiny_call *call)
{
	tiny_end(call, FARCALL_NOT_FOUND, "nothing");
}

static void
an_end_comes_instead(void **state)
{
	told to = {0};
	fixture f;
	farcall_call *call;

	(void)state;
	begin(&f);
	f.server.on_request = refuse;
	call = start(&f, &chat_method);
	assert_int_equal(farcall_call_recv_head(call), FARCALL_NOT_FOUND);
	assert_string_equal(farcall_call_error(call), "NOT_FOUND: nothing");
	farcall_call_recv_head_async(call, tell, &to);
	wait_told(&f, &to, 1);
	assert_int_equal(to.code, FARCALL_NOT_FOUND);
	farcall_call_free(call);
	f.server.on_request = end_well; /* trailers alone, and OK */
	call = start(&f, &chat_method);
	assert_int_equal(farcall_call_recv_head(call), FARCALL_END);
	assert_int_equal(farcall_call_finish(call, NULL), FARCALL_OK);
	farcall_call_free(call);
	f.server.on_request = NULL; /* silence */
	call = start(&f, &chat_method);
	farcall_call_recv_head_async(call, tell, &to);
	step(&f, 5);
	farcall_call_cancel(call);
	wait_told(&f, &to, 2);
	assert_int_equal(to.code, FARCALL_CANCELLED);
	farcall_call_free(call);
	call = farcall_call_new(f.channel);
	farcall_call_set_timeout_ms(call, 20);
	assert_int_equal(farcall_call_start(call, &chat_method, NULL), FARCALL_OK);
	assert_int_equal(farcall_call_recv_head(call), FARCALL_DEADLINE_EXCEEDED);
	farcall_call_free(call);
	end(&f);
}

static void
where_there_is_none_to_wait_for(void **state)
{
	fixture f;
	farcall_call *call;

	(void)state;
	begin(&f);
	test_log_catch();
	assert_int_equal(farcall_call_recv_head(NULL), FARCALL_FAILED_PRECONDITION);
	assert_int_equal(farcall_call_send_head(NULL), FARCALL_FAILED_PRECONDITION);
	call = farcall_call_new(f.channel);
	assert_int_equal(farcall_call_recv_head(call), FARCALL_FAILED_PRECONDITION);
	assert_int_equal(farcall_call_send_head(call), FARCALL_FAILED_PRECONDITION);
	farcall_call_free(call);
	test_log_release();
	end(&f);
}

/* ---- both: each end waits for the other, on threads ---- */

static void
neither_end_waits_for_a_message(void **state)
{
	Stream__Message request = STREAM__MESSAGE__INIT;
	const Stream__Message *reply = NULL;
	farcall_channel *channel;
	stage s;

	(void)state;
	stage_init(&s, false);
	s.ops = early;
	stage_register(&s);
	farcall_server_set_compression(s.server, FARCALL_GZIP);
	farcall_server_start(s.server);
	channel = farcall_channel_open(farcall_endpoint_address(s.endpoint, 0));
	for (int i = 0; i < 20; i++) {
		farcall_call *call = farcall_call_new(channel);
		static uint8_t bytes[5000];

		request.data.data = bytes;
		request.data.len = sizeof bytes;
		farcall_call_set_timeout_ms(call, 60000);
		stream_test_chat__start(call);
		assert_int_equal(farcall_call_recv_head(call), FARCALL_OK);
		assert_welcome(call);
		assert_int_equal(stream_test_chat__send_request(call, &request), FARCALL_OK);
		assert_int_equal(stream_test_chat__recv_reply(call, &reply), FARCALL_OK);
		assert_int_equal(reply->data.len, sizeof bytes);
		assert_true(farcall_call_message_compressed(call));
		assert_int_equal(stream_test_chat__finish(call), FARCALL_OK);
		farcall_call_free(call);
	}
	farcall_channel_close(channel);
	stage_leave(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(a_handler_sends_it_before_all_else),
	    clean_test(a_pending_call_sends_it),
	    clean_test(a_failure_follows_it),
	    clean_test(it_goes_once_and_takes_no_more_then),
	    clean_test(it_goes_though_a_step_was_refused),
	    clean_test(too_much_of_it_ends_the_call),
	    clean_test(a_client_waits_for_it),
	    clean_test(a_callback_is_told_of_it),
	    clean_test(an_end_comes_instead),
	    clean_test(where_there_is_none_to_wait_for),
	    clean_test(neither_end_waits_for_a_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
