/*
 * Our client's streams against a server of pair.Streams that others wrote (stream_server.py). The
 * server's command line follows as arguments; it prints its port and ends with its standard input.
 */
#include "tests/interop/child.h"
#include "tests/support/stream_methods.h"

#include <stdio.h>
#include <stdlib.h>

#include <uv.h>

static const farcall_method gone_method = {"Gone", "/pair.Streams/Gone", &pair__message__descriptor,
    &pair__message__descriptor, FARCALL_UNARY, 0, 0, NULL};

static farcall_channel *channel;
static child server;

/* FARCALL_TEST_CODING=gzip or deflate: all messages are compressed, both ways. */
static farcall_coding
coding(void)
{
	const char *name = getenv("FARCALL_TEST_CODING");

	if (name == NULL)
		return FARCALL_IDENTITY;
	return strcmp(name, "gzip") == 0 ? FARCALL_GZIP : FARCALL_DEFLATE;
}

static farcall_call *
start(const farcall_method *method, const Pair__Message *request, uint64_t timeout_ms)
{
	farcall_call *call = farcall_call_new(channel);

	farcall_call_set_timeout_ms(call, timeout_ms);
	assert_int_equal(
	    farcall_call_start(call, method, request != NULL ? &request->base : NULL), FARCALL_OK);
	return call;
}

static farcall_call *
start_list(uint32_t number, size_t size, const char *text)
{
	static uint8_t bytes[1 << 20];
	Pair__Message request = PAIR__MESSAGE__INIT;

	request.number = number;
	request.text = (char *)(uintptr_t)text;
	request.data.data = bytes;
	request.data.len = size;
	return start(&list_method, &request, 120000);
}

static void
expect_messages(farcall_call *call, uint32_t count, size_t size)
{
	const Pair__Message *message;

	for (uint32_t i = 0; i < count; i++) {
		assert_int_equal(receive_message(call, &message), FARCALL_OK);
		assert_int_equal(message->number, i);
		assert_int_equal(message->data.len, size);
	}
}

/* The end, however often it is asked for. */
static void
expect_end(farcall_call *call, farcall_code code)
{
	const Pair__Message *message;

	for (int i = 0; i < 2; i++)
		assert_int_equal(
		    receive_message(call, &message), code == FARCALL_OK ? FARCALL_END : code);
	for (int i = 0; i < 2; i++)
		assert_int_equal(farcall_call_finish(call, NULL), code);
	assert_int_equal(farcall_call_code(call), code);
	assert_int_equal(receive_message(call, &message), code == FARCALL_OK ? FARCALL_END : code);
	farcall_call_free(call);
}

static void
expect_bye(const farcall_call *call)
{
	assert_string_equal(farcall_metadata_get(farcall_call_trailers(call), "bye"), "now");
}

/* ---- the shapes ---- */

static void
server_stream(void **state)
{
	static const struct {
		uint32_t count;
		size_t size;
	} all[] = {{0, 0}, {1, 0}, {10000, 64}, {3000, 0}, {100, 100000}, {30, 1 << 20}};

	(void)state;
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		farcall_call *call = start_list(all[i].count, all[i].size, "");

		expect_messages(call, all[i].count, all[i].size);
		expect_end(call, FARCALL_OK);
	}
}

static void
metadata(void **state)
{
	farcall_call *call = start_list(3, 1, "");

	(void)state;
	expect_messages(call, 1, 1);
	assert_string_equal(farcall_metadata_get(farcall_call_metadata(call), "hello"), "there");
	assert_non_null(strstr(farcall_call_peer(call), "127.0.0.1"));
	assert_int_equal(farcall_call_finish(call, NULL), FARCALL_OK);
	expect_bye(call);
	farcall_call_free(call);
}

/* The server has sent its head, and waits for a message. */
static void
head_first(void **state)
{
	farcall_call *call = start(&chat_method, NULL, 30000);
	const Pair__Message *message;

	(void)state;
	assert_int_equal(farcall_call_recv_head(call), FARCALL_OK);
	assert_string_equal(farcall_metadata_get(farcall_call_metadata(call), "hello"), "there");
	assert_int_equal(send_message(call, "", 3, 0), FARCALL_OK);
	assert_int_equal(receive_message(call, &message), FARCALL_OK);
	assert_int_equal(message->number, 3);
	assert_int_equal(farcall_call_finish(call, NULL), FARCALL_OK);
	farcall_call_free(call);
	call = start_list(0, 0, "5"); /* trailers alone */
	assert_int_equal(farcall_call_recv_head(call), FARCALL_NOT_FOUND);
	expect_bye(call);
	farcall_call_free(call);
}

static void
collect(uint32_t count, size_t size)
{
	farcall_call *call = start(&collect_method, NULL, 120000);
	const ProtobufCMessage *base = NULL;
	const Pair__Message *reply;
	char text[32];

	for (uint32_t i = 0; i < count; i++)
		assert_int_equal(send_message(call, "", i, size), FARCALL_OK);
	assert_int_equal(farcall_call_finish(call, &base), FARCALL_OK);
	reply = (const Pair__Message *)(const void *)base;
	assert_int_equal(reply->number, count);
	snprintf(text, sizeof text, "%lu", (unsigned long)(count * size));
	assert_string_equal(reply->text, text);
	expect_bye(call);
	farcall_call_free(call);
}

static void
client_stream(void **state)
{
	(void)state;
	collect(0, 0);
	collect(1, 0);
	collect(10000, 64);
	collect(100, 100000);
	collect(30, 1 << 20);
}

static void
ping_pong(void **state)
{
	farcall_call *call = start(&chat_method, NULL, 120000);
	const Pair__Message *message;

	(void)state;
	for (uint32_t i = 0; i < 200; i++) {
		assert_int_equal(send_message(call, "ping", i, 64), FARCALL_OK);
		assert_int_equal(receive_message(call, &message), FARCALL_OK);
		assert_int_equal(message->number, i);
		assert_string_equal(message->text, "ping");
	}
	farcall_call_half_close(call);
	expect_end(call, FARCALL_OK);
}

typedef struct sender {
	farcall_call *call;
	uint32_t count;
	size_t size;
} sender;

static void
send_all(void *data)
{
	const sender *s = (const sender *)data;

	for (uint32_t i = 0; i < s->count; i++)
		assert_int_equal(send_message(s->call, "", i, s->size), FARCALL_OK);
	farcall_call_half_close(s->call);
}

static void
chat(uint32_t count, size_t size)
{
	sender s = {start(&chat_method, NULL, 120000), count, size};
	uv_thread_t thread;

	assert_int_equal(uv_thread_create(&thread, send_all, &s), 0);
	expect_messages(s.call, count, size);
	uv_thread_join(&thread);
	expect_end(s.call, FARCALL_OK);
}

static void
bidi_stream(void **state)
{
	(void)state;
	chat(0, 0);
	chat(10000, 64);
	chat(40, 1 << 20);
}

/* ---- ends ---- */

/* What came before a failure is received; then its code. */
static void
server_fails(void **state)
{
	farcall_call *call = start_list(10, 1000, "9");

	(void)state;
	expect_messages(call, 10, 1000);
	assert_int_equal(farcall_call_finish(call, NULL), FARCALL_FAILED_PRECONDITION);
	assert_string_equal(farcall_call_error(call), "FAILED_PRECONDITION: as you said");
	assert_string_equal(farcall_call_status_message(call), "as you said");
	expect_bye(call);
	expect_end(call, FARCALL_FAILED_PRECONDITION);
	call = start_list(0, 0, "5"); /* trailers only */
	expect_bye((assert_int_equal(farcall_call_finish(call, NULL), FARCALL_NOT_FOUND), call));
	expect_end(call, FARCALL_NOT_FOUND);
	call = start(&chat_method, NULL, 120000);
	assert_int_equal(send_message(call, "7", 0, 0), FARCALL_OK);
	expect_end(call, FARCALL_PERMISSION_DENIED);
}

/* The server ends first; what is sent after that goes nowhere. */
static void
server_ends_early(void **state)
{
	farcall_call *call = start(&chat_method, NULL, 120000);
	const ProtobufCMessage *base = NULL;
	farcall_code code = FARCALL_OK;

	(void)state;
	assert_int_equal(send_message(call, "stop", 0, 0), FARCALL_OK);
	while (code == FARCALL_OK)
		code = send_message(call, "", 0, 10000);
	assert_int_equal(code, FARCALL_END);
	expect_end(call, FARCALL_OK);

	call = start(&collect_method, NULL, 120000);
	assert_int_equal(send_message(call, "", 0, 3), FARCALL_OK);
	assert_int_equal(send_message(call, "enough", 0, 0), FARCALL_OK);
	for (code = FARCALL_OK; code == FARCALL_OK;)
		code = send_message(call, "", 0, 10000);
	assert_int_equal(code, FARCALL_END);
	assert_int_equal(farcall_call_finish(call, &base), FARCALL_OK);
	assert_int_equal(((const Pair__Message *)(const void *)base)->number, 1);
	farcall_call_free(call);
}

static void
not_there(void **state)
{
	static const farcall_method method = {"None", "/pair.Streams/None",
	    &pair__message__descriptor, &pair__message__descriptor, FARCALL_BIDI_STREAM, 0, 0,
	    NULL};
	farcall_call *call = start(&method, NULL, 120000);

	(void)state;
	expect_end(call, FARCALL_UNIMPLEMENTED);
}

static uint32_t
gone(void)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	const ProtobufCMessage *reply = NULL;
	farcall_call *call = farcall_call_new(channel);
	uint32_t number;

	farcall_call_set_timeout_ms(call, 120000);
	assert_int_equal(
	    farcall_call_invoke(call, &gone_method, &request.base, &reply), FARCALL_OK);
	number = ((const Pair__Message *)(const void *)reply)->number;
	farcall_call_free(call);
	return number;
}

static bool
soon_gone(uint32_t count)
{
	for (int i = 0; i < 400 && gone() < count; i++)
		uv_sleep(5);
	return gone() >= count;
}

static void
wait_gone(uint32_t count)
{
	for (int i = 0; i < 10 && !soon_gone(count); i++)
		continue;
	assert_true(gone() >= count);
}

static unsigned cancel_after; /* ms */

static void
cancel_soon(void *data)
{
	uv_sleep(cancel_after);
	farcall_call_cancel((farcall_call *)data);
}

static void
cancel(void **state)
{
	uint32_t before = gone();
	farcall_call *call = start(&chat_method, NULL, 120000);
	const Pair__Message *message;
	uv_thread_t thread;

	(void)state;
	cancel_after = 50;
	assert_int_equal(send_message(call, "first", 0, 0), FARCALL_OK);
	assert_int_equal(receive_message(call, &message), FARCALL_OK);
	assert_int_equal(uv_thread_create(&thread, cancel_soon, call), 0);
	assert_int_equal(receive_message(call, &message), FARCALL_CANCELLED);
	uv_thread_join(&thread);
	expect_end(call, FARCALL_CANCELLED);
	wait_gone(before + 1);

	before = gone();
	do { /* while it sends; until one has reached its handler before */
		call = start(&chat_method, NULL, 120000);
		assert_int_equal(uv_thread_create(&thread, cancel_soon, call), 0);
		while (send_message(call, "wait", 0, 100000) == FARCALL_OK)
			;
		uv_thread_join(&thread);
		expect_end(call, FARCALL_CANCELLED);
		cancel_after *= 4;
	} while (!soon_gone(before + 1) && cancel_after < 10000);
	assert_true(gone() >= before + 1);

	before = gone();
	call = start_list(2, 10, "wait"); /* dropped without a word */
	assert_int_equal(receive_message(call, &message), FARCALL_OK);
	farcall_call_free(call);
	wait_gone(before + 1);
}

static void
deadline(void **state)
{
	uint64_t begin = uv_hrtime();
	farcall_call *call = start(&chat_method, NULL, 150);
	const Pair__Message *message;

	(void)state;
	assert_int_equal(receive_message(call, &message), FARCALL_DEADLINE_EXCEEDED);
	expect_end(call, FARCALL_DEADLINE_EXCEEDED);
	call = start(&collect_method, NULL, 150); /* nobody reads */
	while (send_message(call, "wait", 0, 100000) == FARCALL_OK)
		;
	assert_int_equal(farcall_call_finish(call, NULL), FARCALL_DEADLINE_EXCEEDED);
	farcall_call_free(call);
	assert_true(uv_hrtime() - begin >= UINT64_C(270000000));
	assert_true(uv_hrtime() - begin < UINT64_C(30000000000));
}

/* ---- callbacks ---- */

typedef struct talk {
	farcall_call *call;
	uint32_t count, sent, received;
	size_t size;
	farcall_code code; /* of finish */
	atomic_int done;
} talk;

static void
on_finish(farcall_call *call, farcall_code code, const ProtobufCMessage *message, void *data)
{
	talk *t = (talk *)data;

	assert_null(message);
	assert_int_equal(farcall_call_code(call), code);
	t->code = code;
	farcall_call_free(call);
	atomic_store(&t->done, 1);
}

static void
on_message(farcall_call *call, farcall_code code, const ProtobufCMessage *base, void *data)
{
	const Pair__Message *message = (const Pair__Message *)(const void *)base;
	talk *t = (talk *)data;

	if (code != FARCALL_OK) {
		assert_int_equal(code, FARCALL_END);
		farcall_call_finish_async(call, on_finish, t);
		return;
	}
	assert_int_equal(message->number, t->received);
	assert_int_equal(message->data.len, t->size);
	t->received++;
	farcall_call_recv_async(call, on_message, t);
}

static void
on_sent(farcall_call *call, farcall_code code, const ProtobufCMessage *message, void *data)
{
	static uint8_t bytes[1 << 20];
	Pair__Message request = PAIR__MESSAGE__INIT;
	talk *t = (talk *)data;

	assert_null(message);
	assert_int_equal(code, FARCALL_OK);
	if (t->sent == t->count) {
		farcall_call_half_close(call);
		return;
	}
	request.number = t->sent++;
	request.data.data = bytes;
	request.data.len = t->size;
	farcall_call_send_async(call, &request.base, on_sent, t);
}

static void
talk_async(uint32_t count, size_t size, farcall_loop *loop)
{
	talk t = {.count = count, .size = size};

	t.call = start(&chat_method, NULL, 120000);
	farcall_call_recv_async(t.call, on_message, &t);
	on_sent(t.call, FARCALL_OK, NULL, &t);
	while (loop != NULL && !atomic_load(&t.done))
		assert_int_equal(farcall_loop_step(loop, 120000), FARCALL_OK);
	test_wait_for(&t.done, 1);
	assert_int_equal(t.received, count);
	assert_int_equal(t.code, FARCALL_OK);
}

static void
async(void **state)
{
	(void)state;
	talk_async(0, 0, NULL);
	talk_async(10000, 64, NULL);
	talk_async(20, 1 << 20, NULL);
}

/* All of it once more on a loop that is stepped, or turned by the blocking steps. */
static void
lent_loop(void **state)
{
	farcall_channel *own = channel;
	farcall_loop *loop = farcall_loop_new();

	(void)state;
	channel = farcall_channel_open(server.target);
	farcall_channel_set_compression(channel, coding());
	farcall_channel_set_loop(channel, loop);
	talk_async(0, 0, loop);
	talk_async(10000, 64, loop);
	talk_async(20, 1 << 20, loop);
	server_stream(state);
	metadata(state);
	client_stream(state);
	ping_pong(state);
	server_fails(state);
	server_ends_early(state);
	not_there(state);
	deadline(state);
	farcall_channel_close(channel);
	farcall_loop_step(loop, 0);
	farcall_loop_free(loop);
	channel = own;
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(server_stream),
	    cmocka_unit_test(metadata),
	    cmocka_unit_test(head_first),
	    cmocka_unit_test(client_stream),
	    cmocka_unit_test(ping_pong),
	    cmocka_unit_test(bidi_stream),
	    cmocka_unit_test(server_fails),
	    cmocka_unit_test(server_ends_early),
	    cmocka_unit_test(not_there),
	    cmocka_unit_test(cancel),
	    cmocka_unit_test(deadline),
	    cmocka_unit_test(async),
	    cmocka_unit_test(lent_loop),
	};
	int failed;

	child_start_as_told(&server, argc, argv);
	channel = farcall_channel_open(server.target);
	farcall_channel_set_compression(channel, coding());
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	farcall_channel_close(channel);
	child_stop(&server);
	return failed;
}
