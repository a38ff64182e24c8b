/*
 * Interceptors and raw bytes on streams: every message is seen, begin may pend or refuse, end comes
 * once whatever the program does; typed and raw ends meet, also with a proxy between them.
 */
#include "tests/pair/hooked.h"
#include "tests/support/streams.h"

#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

static hooked a, b; /* server's, client's */
static test_streams self;
static farcall_server *server;
static farcall_service *service;
static farcall_channel *channel;

static void
prepare(const char *address)
{
	hooked_init(&a, "server");
	hooked_init(&b, "client");
	hooked_log();
	memset(&self, 0, sizeof self);
	server = farcall_server_new();
	service = stream_test__register(server, &test_stream_handlers, &self);
	farcall_server_intercept(server, &hooked_hooks, sizeof hooked_hooks, &a);
	farcall_server_bind(server, address);
	channel = farcall_channel_open(address);
	farcall_channel_intercept(channel, &hooked_hooks, sizeof hooked_hooks, &b);
}

static void
start(void)
{
	assert_int_equal(farcall_server_start(server), FARCALL_OK);
}

static void
finish(void)
{
	farcall_channel_close(channel);
	farcall_server_free(server);
	hooked_settle();
	assert_int_equal(a.wrong, 0);
	assert_int_equal(b.wrong, 0);
	assert_int_equal(atomic_load(&a.n_begun), atomic_load(&a.n_ended));
	assert_int_equal(atomic_load(&b.n_begun), atomic_load(&b.n_ended));
}

static farcall_call *
new_call(void)
{
	farcall_call *call = farcall_call_new(channel);

	farcall_call_set_timeout_ms(call, 60000);
	return call;
}

/* What the last call's hooks have counted; both sides' are each other's mirror. */
static void
counted(unsigned requests, unsigned replies, farcall_code code, int nth)
{
	test_wait_for(&a.n_ended, nth);
	assert_int_equal(atomic_load(&b.n_ended), nth);
	assert_int_equal(b.outcome.messages_sent, requests);
	assert_int_equal(a.outcome.messages_received, requests);
	assert_int_equal(a.outcome.messages_sent, replies);
	assert_int_equal(b.outcome.messages_received, replies);
	assert_int_equal(a.outcome.bytes_sent, b.outcome.bytes_received);
	assert_int_equal(b.outcome.bytes_sent, a.outcome.bytes_received);
	assert_int_equal(a.outcome.code, code);
	assert_int_equal(b.outcome.code, code);
}

/* ---- the shapes, typed ---- */

static void
count_to(uint32_t number, uint32_t code)
{
	Stream__Message request = STREAM__MESSAGE__INIT;
	const Stream__Message *reply = NULL;
	farcall_call *call = new_call();

	request.number = number;
	request.code = code;
	request.text = (char *)"so many";
	stream_test_count__start(call, &request);
	for (uint32_t i = 0; i < number; i++)
		assert_int_equal(stream_test_count__recv_reply(call, &reply), FARCALL_OK);
	assert_int_equal(stream_test_count__recv_reply(call, &reply),
	    code == 0 ? FARCALL_END : (farcall_code)code);
	assert_int_equal(stream_test_count__finish(call), code);
	farcall_call_free(call);
}

static void
sum_of(uint32_t n)
{
	Stream__Message request = STREAM__MESSAGE__INIT;
	const Stream__Message *reply = NULL;
	farcall_call *call = new_call();

	stream_test_sum__start(call);
	for (uint32_t i = 0; i < n; i++) {
		request.number = i;
		assert_int_equal(stream_test_sum__send_request(call, &request), FARCALL_OK);
	}
	assert_int_equal(stream_test_sum__finish(call, &reply), FARCALL_OK);
	assert_int_equal(reply->number, n * (n - 1) / 2);
	farcall_call_free(call);
}

static void
chat(uint32_t n)
{
	Stream__Message request = STREAM__MESSAGE__INIT;
	const Stream__Message *reply = NULL;
	farcall_call *call = new_call();

	request.text = (char *)"hello";
	stream_test_chat__start(call);
	for (uint32_t i = 0; i < n; i++) {
		assert_int_equal(stream_test_chat__send_request(call, &request), FARCALL_OK);
		assert_int_equal(stream_test_chat__recv_reply(call, &reply), FARCALL_OK);
		assert_string_equal(reply->text, "hello");
	}
	assert_int_equal(stream_test_chat__finish(call), FARCALL_OK);
	farcall_call_free(call);
}

static void
each_message_is_seen(void **state)
{
	(void)state;
	prepare("mem:hooked-streams");
	start();
	count_to(3, 0);
	counted(1, 3, FARCALL_OK, 1);
	sum_of(10);
	counted(10, 1, FARCALL_OK, 2);
	assert_int_equal(atomic_load(&a.n_messages), 4 + 11);
	assert_int_equal(atomic_load(&b.n_messages), 4 + 11);
	chat(5);
	counted(5, 5, FARCALL_OK, 3);
	count_to(2, FARCALL_ABORTED);
	counted(1, 2, FARCALL_ABORTED, 4);
	assert_string_equal(a.error, "so many");
	assert_string_equal(b.error, "so many");
	finish();
}

/* ---- refusals, and what pends ---- */

static void
a_stream_may_be_refused(void **state)
{
	Stream__Message request = STREAM__MESSAGE__INIT;
	const Stream__Message *reply = NULL;
	farcall_call *call;

	(void)state;
	prepare("mem:hooked-streams");
	a.answer = FARCALL_PERMISSION_DENIED;
	a.text = "not you";
	start();
	call = new_call();
	stream_test_chat__start(call);
	stream_test_chat__send_request(call, &request);
	assert_int_equal(stream_test_chat__recv_reply(call, &reply), FARCALL_PERMISSION_DENIED);
	assert_string_equal(farcall_call_error(call), "PERMISSION_DENIED: not you");
	farcall_call_free(call);
	call = new_call();
	stream_test_count__start(call, &request);
	assert_int_equal(stream_test_count__finish(call), FARCALL_PERMISSION_DENIED);
	farcall_call_free(call);
	assert_int_equal(atomic_load(&self.begun), 0);
	b.answer = FARCALL_UNAUTHENTICATED;
	b.text = "no token";
	call = new_call();
	assert_int_equal(stream_test_chat__start(call), FARCALL_UNAUTHENTICATED);
	assert_int_equal(atomic_load(&b.n_ended), 3);
	assert_int_equal(stream_test_chat__finish(call), FARCALL_UNAUTHENTICATED);
	farcall_call_free(call);
	test_wait_for(&a.n_ended, 2);
	assert_int_equal(atomic_load(&a.n_begun), 2);
	finish();
}

/* Of each side once: what was sent meanwhile has waited. */
static void
a_stream_waits_for_what_pends(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		Stream__Message request = STREAM__MESSAGE__INIT;
		const Stream__Message *reply = NULL;
		hooked *h = i % 2 == 0 ? &a : &b;
		farcall_call *call;

		prepare("mem:hooked-streams");
		h->answer = FARCALL_PENDING;
		start();
		call = new_call();
		if (i < 2) {
			assert_int_equal(stream_test_sum__start(call), FARCALL_OK);
			for (request.number = 1; request.number <= 100; request.number++)
				assert_int_equal(
				    stream_test_sum__send_request(call, &request), FARCALL_OK);
		} else {
			request.number = 7;
			assert_int_equal(stream_test_count__start(call, &request), FARCALL_OK);
		}
		hooked_held(h, 1);
		assert_int_equal(atomic_load(&self.begun), 0);
		farcall_call_add_metadata(h->held, "added", "meanwhile");
		farcall_intercept_resume(h->held, FARCALL_OK);
		if (i < 2) {
			assert_int_equal(stream_test_sum__finish(call, &reply), FARCALL_OK);
			assert_int_equal(reply->number, 5050);
		} else {
			for (int j = 0; j < 7; j++)
				assert_int_equal(
				    stream_test_count__recv_reply(call, &reply), FARCALL_OK);
			assert_int_equal(stream_test_count__finish(call), FARCALL_OK);
		}
		farcall_call_free(call);
		finish();
	}
}

/* Cancelled, late, closed and freed while it pends, on either side. */
static void
a_pending_stream_may_end_otherwise(void **state)
{
	(void)state;
	for (int i = 0; i < 8; i++) {
		hooked *h = i % 2 == 0 ? &a : &b;
		farcall_call *call;

		prepare("mem:hooked-streams");
		h->answer = FARCALL_PENDING;
		start();
		call = farcall_call_new(channel);
		if (i / 2 == 1)
			farcall_call_set_timeout_ms(call, 100);
		assert_int_equal(stream_test_sum__start(call), FARCALL_OK);
		if (h == &b || i / 2 != 1)
			hooked_held(h, 1);
		if (i / 2 == 0)
			farcall_call_cancel(call);
		if (i / 2 == 2) {
			farcall_channel_close(channel);
			channel = NULL;
		}
		if (i / 2 != 3)
			assert_int_equal(stream_test_sum__finish(call, NULL),
			    i / 2 == 1 ? FARCALL_DEADLINE_EXCEEDED : FARCALL_CANCELLED);
		farcall_call_free(call);
		if (atomic_load(&h->n_held) == 0) { /* so late that its begin may be to come yet */
			farcall_server_free(server);
			server = NULL;
		}
		if (atomic_load(&h->n_held) != 0)
			farcall_intercept_resume(h->held, FARCALL_OK);
		assert_int_equal(atomic_load(&self.begun), 0);
		finish();
	}
}

/* ---- the end, whoever asks for it, or nobody ---- */

static void
end_comes_without_being_asked_for(void **state)
{
	Stream__Message request = STREAM__MESSAGE__INIT;
	const Stream__Message *reply = NULL;
	farcall_call *call;

	(void)state;
	prepare("mem:hooked-streams");
	start();
	call = new_call(); /* let go in the middle */
	request.number = 1000;
	request.size = 10000;
	stream_test_count__start(call, &request);
	stream_test_count__recv_reply(call, &reply);
	farcall_call_free(call);
	test_wait_for(&b.n_ended, 1);
	assert_int_equal(b.outcome.code, FARCALL_CANCELLED);
	test_wait_for(&a.n_ended, 1);
	assert_int_equal(a.outcome.code, FARCALL_CANCELLED);
	call = new_call(); /* just begun */
	stream_test_chat__start(call);
	farcall_call_free(call);
	test_wait_for(&b.n_ended, 2);
	call = new_call(); /* never begun */
	farcall_call_free(call);
	assert_int_equal(atomic_load(&b.n_begun), 2);
	finish();
}

typedef struct sender {
	farcall_call *call;
	atomic_bool over;
} sender;

static void
run_sender(void *data)
{
	sender *s = (sender *)data;
	Stream__Message request = STREAM__MESSAGE__INIT;

	request.text = (char *)"hello";
	while (stream_test_chat__send_request(s->call, &request) == FARCALL_OK)
		continue;
}

/* One thread sends, one receives, and the call is cancelled: hooks of both and end do not meet. */
static void
cancelling_under_way(void **state)
{
	(void)state;
	prepare("mem:hooked-streams");
	start();
	for (int i = 0; i < 50; i++) {
		sender s = {.call = new_call()};
		const Stream__Message *reply = NULL;
		uv_thread_t thread;

		stream_test_chat__start(s.call);
		uv_thread_create(&thread, run_sender, &s);
		for (int j = 0; j <= i; j++)
			stream_test_chat__recv_reply(s.call, &reply);
		farcall_call_cancel(s.call);
		while (stream_test_chat__recv_reply(s.call, &reply) == FARCALL_OK)
			continue;
		uv_thread_join(&thread);
		farcall_call_free(s.call);
		test_wait_for(&b.n_ended, i + 1);
	}
	test_wait_for(&a.n_ended, 50);
	finish();
}

/* ---- raw ---- */

static void
a_raw_client_streams(void **state)
{
	static const char hello[] = "\x0a\x05hello"; /* stream.Message, text */
	const void *data;
	farcall_call *call;
	size_t size;

	(void)state;
	prepare("mem:hooked-streams");
	start();
	call = new_call();
	assert_int_equal(farcall_call_start_raw(call, "/stream.Test/Chat"), FARCALL_OK);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(farcall_call_send_raw(call, hello, 7), FARCALL_OK);
		assert_int_equal(farcall_call_recv_raw(call, &data, &size), FARCALL_OK);
		assert_int_equal(size, 7);
		assert_memory_equal(data, hello, 7);
	}
	farcall_call_half_close(call);
	assert_int_equal(farcall_call_recv_raw(call, &data, &size), FARCALL_END);
	assert_int_equal(farcall_call_finish(call, NULL), FARCALL_OK);
	farcall_call_free(call);
	test_wait_for(&b.n_ended, 1);
	assert_string_equal(b.seen, hello);

	call = new_call(); /* a unary method, as a stream of one each way */
	assert_int_equal(farcall_call_start_raw(call, "/stream.Test/Cancelled"), FARCALL_OK);
	farcall_call_send_raw(call, NULL, 0);
	farcall_call_half_close(call);
	assert_int_equal(farcall_call_recv_raw(call, &data, &size), FARCALL_OK);
	assert_int_equal(size, 0);
	assert_non_null(data);
	assert_int_equal(farcall_call_recv_raw(call, &data, &size), FARCALL_END);
	farcall_call_free(call);

	call = new_call();
	assert_int_equal(farcall_call_start_raw(call, "nowhere"), FARCALL_INVALID_ARGUMENT);
	assert_int_equal(farcall_call_send_raw(call, "", 0), FARCALL_INVALID_ARGUMENT);
	farcall_call_free(call);
	assert_int_equal(farcall_call_start_raw(NULL, "/a/b"), FARCALL_FAILED_PRECONDITION);
	assert_int_equal(farcall_call_recv_raw(NULL, &data, &size), FARCALL_FAILED_PRECONDITION);
	finish();
}

/* Any path, any shape: what comes goes back. */
static farcall_code
mirror(farcall_call *call)
{
	const void *data;
	farcall_code code;
	size_t size;

	farcall_call_add_trailer(call, "path", farcall_call_method(call)->path);
	while ((code = farcall_call_recv_raw(call, &data, &size)) == FARCALL_OK)
		if ((code = farcall_call_send_raw(call, data, size)) != FARCALL_OK)
			break;
	return code;
}

static void
a_server_takes_streams_at_any_path(void **state)
{
	farcall_call *call;
	const void *data;
	size_t size;
	char *big;

	(void)state;
	prepare("mem:hooked-streams");
	assert_int_equal(farcall_server_code(server), FARCALL_OK);
	farcall_service_set_max_message(
	    farcall_server_set_catch_all_stream(server, mirror, NULL), 300000);
	start();
	call = new_call();
	assert_int_equal(
	    farcall_call_invoke_raw(call, "/any/Unary", "abc", 3, &data, &size), FARCALL_OK);
	assert_int_equal(size, 3);
	assert_string_equal(
	    farcall_metadata_get(farcall_call_trailers(call), "path"), "/any/Unary");
	farcall_call_free(call);
	test_wait_for(&a.n_ended, 1);
	assert_string_equal(a.path, "/any/Unary");
	assert_string_equal(a.seen, "abc");

	call = new_call();
	farcall_call_start_raw(call, "/any/Stream");
	big = (char *)calloc(1, 300000);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(farcall_call_send_raw(call, big, 300000), FARCALL_OK);
		assert_int_equal(farcall_call_recv_raw(call, &data, &size), FARCALL_OK);
		assert_int_equal(size, 300000);
	}
	assert_int_equal(farcall_call_finish(call, NULL), FARCALL_OK);
	farcall_call_free(call);
	call = new_call();
	farcall_call_start_raw(call, "/any/Stream");
	big = (char *)realloc(big, 300001);
	farcall_call_send_raw(call, big, 300001);
	assert_int_equal(farcall_call_finish(call, NULL), FARCALL_RESOURCE_EXHAUSTED);
	farcall_call_free(call);
	free(big);
	sum_of(10); /* registered: not its */
	finish();
	server = farcall_server_new();
	farcall_server_set_catch_all_stream(server, NULL, NULL);
	assert_int_equal(farcall_server_code(server), FARCALL_INVALID_ARGUMENT);
	farcall_server_free(server);
	server = farcall_server_new();
	farcall_server_set_catch_all_stream(server, mirror, NULL);
	farcall_server_set_catch_all_stream(server, mirror, NULL);
	assert_int_equal(farcall_server_code(server), FARCALL_ALREADY_EXISTS);
	farcall_server_free(server);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(each_message_is_seen),
	    clean_test(a_stream_may_be_refused),
	    clean_test(a_stream_waits_for_what_pends),
	    clean_test(a_pending_stream_may_end_otherwise),
	    clean_test(end_comes_without_being_asked_for),
	    clean_test(cancelling_under_way),
	    clean_test(a_raw_client_streams),
	    clean_test(a_server_takes_streams_at_any_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
