/*
 * A client's streams out of memory, against a server of ours on the same stepped loop: a stream of
 * each shape, by callbacks and by blocking steps, with the nth allocation of the library failing,
 * for every n, once and from then on. Each time: nothing crashes, hangs or leaks, each callback
 * comes once, and what is called a success was whole.
 */
#include "tests/support/streams.h"
#include "tests/support/test.h"

#include <farcall/log.h>

#include <stdio.h>
#include <stdlib.h>

enum { MESSAGES = 6, LARGE = 70000 };

/* ---- the server: by callbacks, since nothing may wait on its loop ---- */

static void
add_up(farcall_call *call, farcall_code code, const Stream__Message *request, void *data)
{
	Stream__Message reply = STREAM__MESSAGE__INIT;
	uint32_t *sum = (uint32_t *)data;

	if (code == FARCALL_OK) {
		*sum += request->number;
		stream_test_sum__recv_request__async(call, add_up, data);
		return;
	}
	reply.number = *sum;
	if (code == FARCALL_END)
		farcall_call_send_reply(call, &reply.base);
	else
		farcall_call_complete(call, code);
}

static farcall_code
sum(farcall_call *call, Stream__Message *reply)
{
	uint32_t *total = (uint32_t *)farcall_call_keep(call, sizeof *total);

	(void)reply;
	if (total == NULL)
		return FARCALL_RESOURCE_EXHAUSTED;
	stream_test_sum__recv_request__async(call, add_up, total);
	return FARCALL_PENDING;
}

static void
count_on(farcall_call *call, farcall_code code, const ProtobufCMessage *nothing, void *data)
{
	uint32_t *n = (uint32_t *)data;
	Stream__Message reply = STREAM__MESSAGE__INIT;

	(void)nothing;
	if (code != FARCALL_OK || *n == MESSAGES) {
		farcall_call_complete(call, code);
		return;
	}
	reply.number = (*n)++;
	reply.data.len = reply.number == 1 ? LARGE : 10;
	reply.data.data = (uint8_t *)farcall_call_alloc(call, reply.data.len);
	if (reply.data.data == NULL)
		reply.data.len = 0;
	stream_test_count__send_reply__async(call, &reply, count_on, data);
}

static farcall_code
count(farcall_call *call, const Stream__Message *request)
{
	uint32_t *n = (uint32_t *)farcall_call_keep(call, sizeof *n);

	(void)request;
	if (n == NULL)
		return FARCALL_RESOURCE_EXHAUSTED;
	count_on(call, FARCALL_OK, NULL, n);
	return FARCALL_PENDING;
}

/* ---- the client ---- */

static uint8_t bytes[LARGE];

static Stream__Message
nth(uint32_t i)
{
	Stream__Message message = STREAM__MESSAGE__INIT;

	message.number = i;
	message.data.data = bytes;
	message.data.len = i == 1 ? LARGE : 10;
	return message;
}

typedef struct life {
	farcall_loop *loop;
	farcall_server *server;
	farcall_channel *channel;
	test_streams streams;
	uint32_t sent, received, wrong, sum;
	int sending, receiving, finished; /* callbacks that are to come; that have come */
	farcall_code code;
	char error[256];
} life;

static farcall_call *
new_call(life *l)
{
	farcall_call *call = farcall_call_new(l->channel);

	farcall_call_set_timeout_ms(call, 60000);
	return call;
}

static void
end_call(life *l, farcall_call *call, farcall_code code)
{
	if (l->code == FARCALL_OK) {
		l->code = code;
		snprintf(l->error, sizeof l->error, "%s", farcall_call_error(call));
	}
	farcall_call_free(call);
}

static void
check(life *l, const Stream__Message *message)
{
	const Stream__Message expected = nth(l->received++);

	l->wrong += message->number != expected.number || message->data.len != expected.data.len;
}

static void
on_finished(farcall_call *call, farcall_code code, const ProtobufCMessage *message, void *data)
{
	life *l = (life *)data;

	(void)message;
	l->finished++;
	end_call(l, call, code);
}

static void
on_received(farcall_call *call, farcall_code code, const Stream__Message *message, void *data)
{
	life *l = (life *)data;

	l->receiving--;
	if (code == FARCALL_OK) {
		check(l, message);
		l->receiving++;
		stream_test_murmur__recv_reply__async(call, on_received, data);
	} else {
		stream_test_murmur__finish__async(call, on_finished, data);
	}
}

static void
on_sent(farcall_call *call, farcall_code code, const ProtobufCMessage *nothing, void *data)
{
	life *l = (life *)data;
	Stream__Message message = nth(l->sent);

	(void)nothing;
	l->sending--;
	if (code == FARCALL_OK && l->sent < MESSAGES) {
		l->sent++;
		l->sending++;
		stream_test_murmur__send_request__async(call, &message, on_sent, data);
	} else {
		farcall_call_half_close(call);
	}
}

static void
murmur(life *l)
{
	farcall_call *call = new_call(l);
	int steps = 0;

	stream_test_murmur__start(call);
	l->received = 0;
	l->sending = l->receiving = 1;
	stream_test_murmur__recv_reply__async(call, on_received, l);
	on_sent(call, FARCALL_OK, NULL, l);
	while (l->finished == 0 && steps++ < 5000)
		farcall_loop_step(l->loop, 1);
	while (l->sending != 0 && steps++ < 5000)
		farcall_loop_step(l->loop, 1);
	assert_int_equal(l->finished, 1);
	assert_int_equal(l->sending, 0);
	assert_int_equal(l->receiving, 0);
	if (l->code == FARCALL_OK)
		assert_int_equal(l->received, MESSAGES);
}

static void
list_blocking(life *l)
{
	Stream__Message request = STREAM__MESSAGE__INIT;
	const Stream__Message *message;
	farcall_call *call = new_call(l);
	farcall_code code;

	stream_test_count__start(call, &request);
	l->received = 0;
	while (stream_test_count__recv_reply(call, &message) == FARCALL_OK)
		check(l, message);
	code = stream_test_count__finish(call);
	if (code == FARCALL_OK)
		assert_int_equal(l->received, MESSAGES);
	end_call(l, call, code);
}

static void
sum_blocking(life *l)
{
	const Stream__Message *reply;
	farcall_call *call = new_call(l);
	farcall_code code;

	stream_test_sum__start(call);
	for (uint32_t i = 0; i < MESSAGES; i++) {
		Stream__Message message = nth(i);

		if (stream_test_sum__send_request(call, &message) != FARCALL_OK)
			break;
	}
	code = stream_test_sum__finish(call, &reply);
	if (code == FARCALL_OK)
		assert_int_equal(reply->number, MESSAGES * (MESSAGES - 1) / 2);
	end_call(l, call, code);
}

static const struct stream_test handlers = {
    .count = count, .sum = sum, .murmur = test_stream_murmur};

static void
live(const char *address, life *l)
{
	farcall_endpoint *endpoint;

	memset(l, 0, sizeof *l);
	l->loop = farcall_loop_new();
	l->server = farcall_server_new();
	farcall_server_set_loop(l->server, l->loop);
	stream_test__register(l->server, &handlers, &l->streams);
	endpoint = farcall_server_bind(l->server, address);
	if (farcall_server_start(l->server) == FARCALL_OK) {
		l->channel = farcall_channel_open(farcall_endpoint_address(endpoint, 0));
		farcall_channel_set_loop(l->channel, l->loop);
		murmur(l);
		list_blocking(l);
		sum_blocking(l);
		farcall_channel_close(l->channel);
	} else {
		l->code = farcall_server_code(l->server);
	}
	assert_int_equal(l->wrong, 0);
	farcall_server_stop(l->server, 0);
	for (int i = 0; i < 3000 && !farcall_server_stopped(l->server); i++)
		farcall_loop_step(l->loop, 1);
	farcall_server_free(l->server);
	farcall_loop_step(l->loop, 0);
	farcall_loop_free(l->loop);
}

static bool
is_honest(farcall_code code)
{
	return code == FARCALL_OK || code == FARCALL_RESOURCE_EXHAUSTED ||
	    code == FARCALL_UNAVAILABLE || code == FARCALL_CANCELLED;
}

static void
quiet(farcall_log_level level, const char *text, void *data)
{
	(void)level, (void)text, (void)data;
}

static void
fail_each(const char *address, bool sticky)
{
	size_t n;
	life l;

	farcall_log_set(quiet, NULL);
	live(address, &l);
	assert_string_equal(l.error, "");
	for (n = 1;; n++) {
		test_allocator_fail_at(n, sticky);
		live(address, &l);
		if (!test_allocator_failed())
			break;
		if (!is_honest(l.code))
			fail_msg("allocation %zu: %s", n, l.error);
	}
	test_allocator_fail_at(0, false);
	live(address, &l);
	assert_string_equal(l.error, "");
	assert_true(n > 40);
	farcall_log_set(NULL, NULL);
}

static void
every_allocation_may_fail_once(void **state)
{
	(void)state;
	fail_each("mem:stream-oom", false);
	fail_each("127.0.0.1:0", false);
}

static void
every_allocation_may_fail_for_good(void **state)
{
	(void)state;
	fail_each("mem:stream-oom", true);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(every_allocation_may_fail_once),
	    clean_test(every_allocation_may_fail_for_good),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
