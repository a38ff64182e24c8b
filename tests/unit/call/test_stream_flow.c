/*
 * test_stream_flow.c: a stream's messages between the program and its loop, without either: the
 * wire is a list, and what the flow asks of the owner is done when the test says so.
 */
#include "runtime/call/flow.h"

#include "generated/google/protobuf/wrappers.pb-c.h"
#include "tests/support/test.h"

#include <stdlib.h>

typedef Google__Protobuf__BytesValue value;

typedef struct bench {
	farcall_call call;
	fc_call_memory memory;
	fc_call_ops ops;
	farcall_method method;
	unsigned wakes, call_backs, emptied, failures, turns;
	bool said, last, may_block;
	bool alone; /* nobody would turn the loop */
	size_t taken;
	fc_send answer;  /* of the engine to what comes next */
	size_t sent[64]; /* sizes of messages */
	unsigned n_sent;
	void (*turn)(struct bench *b);

	unsigned done;
	farcall_code code;
	size_t received; /* bytes in the last message */
	unsigned again;  /* as often the callback asks for more */
} bench;

static bench *
bench_of(farcall_call *call)
{
	return (bench *)(void *)call;
}

static void
wake(farcall_call *call)
{
	bench_of(call)->wakes++;
}

static farcall_code
may_block(farcall_call *call, fc_error *error)
{
	if (bench_of(call)->may_block)
		return FARCALL_OK;
	return fc_fail(error, FARCALL_FAILED_PRECONDITION, FARCALL_CAUSE_NONE, "not here");
}

static farcall_code
turn(farcall_call *call, bool *turned, fc_error *error)
{
	bench *b = bench_of(call);

	if (b->alone)
		return fc_fail(error, FARCALL_FAILED_PRECONDITION, FARCALL_CAUSE_NONE, "alone");
	assert_non_null(b->turn);
	assert_true(++b->turns < 1000);
	b->turn(b);
	*turned = true;
	return FARCALL_OK;
}

static void
call_back(farcall_call *call)
{
	bench_of(call)->call_backs++;
}

static fc_send
send_it(farcall_call *call, const fc_payload *payload, bool last)
{
	bench *b = bench_of(call);
	uint8_t *bytes = (uint8_t *)malloc(payload->size + 1);

	if (b->answer == FC_SEND_OK || b->answer == FC_SEND_WAITING) {
		payload->flat(payload, bytes);
		b->sent[b->n_sent++ % 64] = payload->size;
		b->last = last;
	}
	free(bytes);
	return b->answer;
}

static void
taken(farcall_call *call, size_t size)
{
	bench_of(call)->taken += size;
}

static void
emptied(farcall_call *call, bool said)
{
	bench_of(call)->emptied++;
	bench_of(call)->said = said;
}

static void
fail_it(farcall_call *call, const fc_error *error)
{
	bench_of(call)->failures++;
	fc_call_settle_error(call, error);
}

static const fc_flow_ops ops = {wake, may_block, turn, call_back, send_it, taken, emptied, fail_it};

static void
prepare(bench *b, bool server)
{
	fc_error error;

	memset(b, 0, sizeof *b);
	fc_error_clear(&error);
	b->ops.server = server;
	b->method.path = "/test.Flow/Bytes";
	b->method.request = b->method.reply = &google__protobuf__bytes_value__descriptor;
	b->method.shape = FARCALL_BIDI_STREAM;
	b->may_block = true;
	fc_call_init(&b->call, &b->ops, NULL, 1 << 20, &b->memory);
	b->call.method = &b->method;
	b->call.flow = fc_flow_new(&b->call, &ops, NULL, 1000, &error);
	assert_non_null(b->call.flow);
}

static void
finish(bench *b)
{
	fc_flow_free(b->call.flow);
	fc_call_fini(&b->call);
}

/* A message of `size` bytes, packed (at least 2 of them a head). */
static const ProtobufCMessage *
message_of(value *v, size_t size)
{
	static uint8_t bytes[200000];

	google__protobuf__bytes_value__init(v);
	v->value.data = bytes;
	v->value.len = size - (size > 129 ? size > 16386 ? 4 : 3 : 2);
	assert_int_equal(protobuf_c_message_get_packed_size(&v->base), size);
	return &v->base;
}

static farcall_code
offer(bench *b, size_t size)
{
	value v;

	return farcall_call_send(&b->call, message_of(&v, size));
}

static void
arrive(bench *b, size_t size)
{
	uint8_t *bytes = (uint8_t *)malloc(size + 1);
	value v;

	if (size != 0)
		protobuf_c_message_pack(message_of(&v, size), bytes);
	assert_true(fc_flow_arrive(b->call.flow, bytes, size));
	free(bytes);
}

static void
done(farcall_call *call, farcall_code code, const ProtobufCMessage *message, void *data)
{
	bench *b = bench_of(call);

	(void)data;
	b->done++;
	b->code = code;
	b->received = message != NULL ? ((const value *)(const void *)message)->value.len : 0;
	if (b->again != 0) {
		b->again--;
		farcall_call_recv_async(call, done, NULL);
	}
}

static void
done_sending(farcall_call *call, farcall_code code, const ProtobufCMessage *message, void *data)
{
	assert_null(message);
	*(farcall_code *)data = code;
	bench_of(call)->done++;
}

/* ---- sending ---- */

static void
messages_go_in_order_and_the_last_one_says_so(void **state)
{
	bench b;

	(void)state;
	prepare(&b, false);
	assert_int_equal(offer(&b, 10), FARCALL_OK);
	assert_int_equal(offer(&b, 20), FARCALL_OK);
	assert_int_equal(b.wakes, 1);
	fc_flow_pump(b.call.flow); /* there is no stream yet */
	assert_int_equal(b.n_sent, 0);
	fc_flow_open(b.call.flow);
	assert_int_equal(b.n_sent, 2);
	assert_false(b.last);
	assert_int_equal(offer(&b, 30), FARCALL_OK);
	assert_int_equal(farcall_call_half_close(&b.call), FARCALL_OK);
	assert_int_equal(b.wakes, 2);
	fc_flow_pump(b.call.flow);
	assert_int_equal(b.n_sent, 3);
	assert_int_equal(b.sent[0], 10);
	assert_int_equal(b.sent[1], 20);
	assert_int_equal(b.sent[2], 30);
	assert_true(b.last);
	assert_true(b.said);
	assert_int_equal(b.emptied, 1);
	fc_flow_pump(b.call.flow);
	assert_int_equal(b.emptied, 1);
	assert_int_equal(offer(&b, 10), FARCALL_FAILED_PRECONDITION);
	finish(&b);
}

static void
a_half_close_after_the_last_message_stands_alone(void **state)
{
	bench b;

	(void)state;
	prepare(&b, false);
	fc_flow_open(b.call.flow);
	assert_int_equal(offer(&b, 10), FARCALL_OK);
	fc_flow_pump(b.call.flow);
	assert_int_equal(farcall_call_half_close(&b.call), FARCALL_OK);
	assert_int_equal(farcall_call_half_close(&b.call), FARCALL_OK);
	fc_flow_pump(b.call.flow);
	assert_int_equal(b.emptied, 1);
	assert_false(b.said);
	finish(&b);
}

static void
let_one_through(bench *b)
{
	b->answer = FC_SEND_WAITING;
	fc_flow_sent(b->call.flow);
}

/* Each message stands behind 4 bytes for its size. */
static void
a_sender_waits_when_64_KiB_wait(void **state)
{
	farcall_code code = FARCALL_PENDING;
	value v;
	bench b;

	(void)state;
	prepare(&b, false);
	b.answer = FC_SEND_WAITING;
	fc_flow_open(b.call.flow);
	assert_int_equal(offer(&b, 100), FARCALL_OK);
	fc_flow_pump(b.call.flow); /* the engine has it, and waits */
	assert_int_equal(b.n_sent, 1);
	assert_int_equal(offer(&b, FC_FLOW_UNSENT / 2 - 4), FARCALL_OK);
	assert_int_equal(offer(&b, FC_FLOW_UNSENT / 2 - 4), FARCALL_OK); /* at the limit */
	fc_flow_pump(b.call.flow);
	assert_int_equal(b.n_sent, 1);

	farcall_call_send_async(&b.call, message_of(&v, 3), done_sending, &code); /* past it */
	fc_flow_pump(b.call.flow);
	assert_int_equal(code, FARCALL_PENDING);
	assert_int_equal(offer(&b, 3), FARCALL_FAILED_PRECONDITION); /* two at once */
	let_one_through(&b);
	assert_int_equal(b.call_backs, 1);
	fc_flow_call_back(b.call.flow);
	assert_int_equal(code, FARCALL_OK);

	b.turn = let_one_through;
	assert_int_equal(offer(&b, FC_FLOW_UNSENT * 2), FARCALL_OK); /* alone, when all is gone */
	assert_int_equal(b.n_sent, 4);
	let_one_through(&b);
	assert_int_equal(b.sent[4], FC_FLOW_UNSENT * 2);
	finish(&b);
}

static void
a_pump_passes_one_batch_on(void **state)
{
	bench b;

	(void)state;
	prepare(&b, false);
	fc_flow_open(b.call.flow);
	b.answer = FC_SEND_WAITING;
	offer(&b, 10);
	fc_flow_pump(b.call.flow);
	offer(&b, 20);
	fc_flow_pump(b.call.flow);
	b.wakes = 0;
	offer(&b, 30);
	offer(&b, 40);
	assert_int_equal(b.wakes, 1);
	b.answer = FC_SEND_OK;
	fc_flow_sent(b.call.flow);
	assert_int_equal(b.n_sent, 2); /* the batch of 20 */
	fc_flow_pump(b.call.flow);
	assert_int_equal(b.n_sent, 4);
	finish(&b);
}

static void
what_was_sent_is_sent_again_until_the_commit(void **state)
{
	bench b;

	(void)state;
	prepare(&b, false);
	offer(&b, 10);
	fc_flow_open(b.call.flow);
	fc_flow_pump(b.call.flow);
	offer(&b, 20);
	fc_flow_pump(b.call.flow);
	assert_int_equal(b.n_sent, 2);
	assert_true(fc_flow_may_replay(b.call.flow));
	fc_flow_again(b.call.flow);
	offer(&b, 30);
	fc_flow_pump(b.call.flow);
	assert_int_equal(b.n_sent, 2); /* no stream */
	fc_flow_open(b.call.flow);
	fc_flow_open(b.call.flow);
	assert_int_equal(b.n_sent, 5);
	assert_int_equal(b.sent[2], 10);
	assert_int_equal(b.sent[3], 20);
	assert_int_equal(b.sent[4], 30);
	fc_flow_commit(b.call.flow);
	assert_false(fc_flow_may_replay(b.call.flow));
	finish(&b);
}

static void
more_than_256_KiB_are_not_kept(void **state)
{
	bench b;

	(void)state;
	prepare(&b, false);
	fc_flow_open(b.call.flow);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(offer(&b, FC_FLOW_REPLAY / 4 - 4), FARCALL_OK);
		fc_flow_pump(b.call.flow);
	}
	assert_true(fc_flow_may_replay(b.call.flow));
	assert_int_equal(offer(&b, 3), FARCALL_OK);
	fc_flow_pump(b.call.flow);
	assert_false(fc_flow_may_replay(b.call.flow));
	finish(&b);
}

static void
an_engine_without_memory_fails_the_call(void **state)
{
	bench b;

	(void)state;
	prepare(&b, false);
	b.answer = FC_SEND_NO_MEMORY;
	fc_flow_open(b.call.flow);
	offer(&b, 10);
	fc_flow_pump(b.call.flow);
	assert_int_equal(b.failures, 1);
	assert_int_equal(b.call.code, FARCALL_RESOURCE_EXHAUSTED);
	finish(&b);
}

/* ---- receiving ---- */

static farcall_code
take(bench *b, size_t *size)
{
	const ProtobufCMessage *message = NULL;
	farcall_code code = farcall_call_recv(&b->call, &message);

	*size = message != NULL ? ((const value *)(const void *)message)->value.len : 0;
	return code;
}

static void
a_message_comes(bench *b)
{
	arrive(b, 100);
}

static void
messages_come_in_order_and_are_credited_when_taken(void **state)
{
	size_t size;
	bench b;

	(void)state;
	prepare(&b, true);
	arrive(&b, 10);
	arrive(&b, 0);
	arrive(&b, 990);
	assert_int_equal(take(&b, &size), FARCALL_OK);
	assert_int_equal(size, 8);
	assert_int_equal(take(&b, &size), FARCALL_OK);
	assert_int_equal(size, 0);
	assert_int_equal(b.wakes, 0);
	assert_int_equal(take(&b, &size), FARCALL_OK);
	assert_int_equal(size, 987);
	assert_int_equal(b.wakes, 1); /* 1,000 bytes, as fc_flow_new() was told */
	fc_flow_pump(b.call.flow);
	assert_int_equal(b.taken, 1000);
	b.turn = a_message_comes;
	assert_int_equal(take(&b, &size), FARCALL_OK);
	assert_int_equal(size, 98);
	arrive(&b, 10);
	fc_flow_end(b.call.flow);
	assert_int_equal(take(&b, &size), FARCALL_OK);
	assert_int_equal(take(&b, &size), FARCALL_END);
	assert_int_equal(take(&b, &size), FARCALL_END);
	fc_flow_shut(b.call.flow, FARCALL_CANCELLED, true);
	assert_int_equal(take(&b, &size), FARCALL_CANCELLED);
	finish(&b);
}

static void
an_end_by_the_peer_leaves_what_had_come(void **state)
{
	size_t size;
	bench b;

	(void)state;
	prepare(&b, false);
	arrive(&b, 10);
	fc_flow_shut(b.call.flow, FARCALL_NOT_FOUND, false);
	assert_int_equal(offer(&b, 10), FARCALL_NOT_FOUND);
	assert_int_equal(take(&b, &size), FARCALL_OK);
	assert_int_equal(take(&b, &size), FARCALL_NOT_FOUND);
	finish(&b);

	prepare(&b, false);
	arrive(&b, 10);
	arrive(&b, 10);
	assert_int_equal(take(&b, &size), FARCALL_OK); /* the other one is in hand */
	fc_flow_shut(b.call.flow, FARCALL_CANCELLED, true);
	assert_int_equal(take(&b, &size), FARCALL_CANCELLED);
	finish(&b);

	prepare(&b, false);
	fc_flow_shut(b.call.flow, FARCALL_OK, false);
	assert_int_equal(take(&b, &size), FARCALL_END);
	assert_int_equal(offer(&b, 10), FARCALL_END);
	finish(&b);
}

static void
what_does_not_parse_fails_the_call(void **state)
{
	static const uint8_t bad[] = {0x0a, 0x05, 'x'};
	size_t size;
	bench b;

	(void)state;
	for (int server = 0; server < 2; server++) {
		prepare(&b, server != 0);
		assert_true(fc_flow_arrive(b.call.flow, bad, sizeof bad));
		assert_int_equal(
		    take(&b, &size), server ? FARCALL_INVALID_ARGUMENT : FARCALL_INTERNAL);
		assert_int_equal(b.failures, 1);
		assert_non_null(strstr(b.call.error, "google.protobuf.BytesValue"));
		assert_int_equal(strstr(b.call.error, "response: ") != NULL, !server);
		finish(&b);
	}
}

static void
the_end_is_waited_for_and_the_rest_dropped(void **state)
{
	size_t size;
	bench b;

	(void)state;
	prepare(&b, false);
	fc_flow_open(b.call.flow);
	arrive(&b, 10);
	arrive(&b, 20);
	assert_int_equal(take(&b, &size), FARCALL_OK);
	fc_flow_finish_async(b.call.flow, &(fc_then){.done = done});
	fc_flow_pump(b.call.flow);
	assert_int_equal(b.taken, 30);
	assert_int_equal(b.emptied, 1);
	arrive(&b, 40);
	assert_int_equal(b.taken, 70);
	assert_int_equal(b.call_backs, 0);
	fc_flow_shut(b.call.flow, FARCALL_ABORTED, false);
	assert_int_equal(b.call_backs, 1);
	fc_flow_call_back(b.call.flow);
	assert_int_equal(b.done, 1);
	assert_int_equal(b.code, FARCALL_ABORTED);
	assert_int_equal(fc_flow_finish(b.call.flow), FARCALL_ABORTED);
	finish(&b);
}

/* ---- callbacks ---- */

static void
a_callback_that_asks_for_more_is_called_in_a_loop(void **state)
{
	bench b;

	(void)state;
	prepare(&b, false);
	b.again = 199;
	farcall_call_recv_async(&b.call, done, NULL);
	for (int i = 0; i < 200; i++)
		arrive(&b, 10);
	assert_int_equal(b.call_backs, 1);
	fc_flow_call_back(b.call.flow);
	assert_true(b.done >= 16);
	assert_true(b.done < 200); /* no stream keeps a loop to itself */
	while (b.done < 200) {
		unsigned before = b.call_backs;

		fc_flow_pump(b.call.flow);
		assert_int_equal(b.call_backs, before + 1);
		fc_flow_call_back(b.call.flow);
	}
	assert_int_equal(b.code, FARCALL_OK);
	assert_int_equal(b.received, 8);
	farcall_call_recv_async(&b.call, done, NULL);
	assert_int_equal(b.done, 200);
	farcall_call_recv_async(&b.call, done, NULL); /* two at once */
	assert_int_equal(b.done, 201);
	assert_int_equal(b.code, FARCALL_FAILED_PRECONDITION);
	fc_flow_shut(b.call.flow, FARCALL_CANCELLED, true);
	fc_flow_call_back(b.call.flow);
	assert_int_equal(b.done, 202);
	assert_int_equal(b.code, FARCALL_CANCELLED);
	finish(&b);
}

static void
a_step_that_cannot_block_is_refused(void **state)
{
	size_t size;
	bench b;

	(void)state;
	prepare(&b, false);
	b.may_block = false;
	arrive(&b, 10); /* even if it would not have to */
	assert_int_equal(take(&b, &size), FARCALL_FAILED_PRECONDITION);
	assert_int_equal(offer(&b, 10), FARCALL_FAILED_PRECONDITION);
	assert_int_equal(b.failures, 0);
	finish(&b);
}

/* Only a step that would have to wait for ever is refused, and the call goes on. */
static void
nobody_turns_the_loop(void **state)
{
	size_t size;
	bench b;

	(void)state;
	prepare(&b, true);
	fc_flow_commit(b.call.flow);
	b.alone = true;
	assert_int_equal(take(&b, &size), FARCALL_FAILED_PRECONDITION);
	arrive(&b, 10);
	assert_int_equal(take(&b, &size), FARCALL_OK);
	assert_int_equal(size, 8);
	assert_int_equal(offer(&b, FC_FLOW_UNSENT), FARCALL_OK);
	assert_int_equal(offer(&b, 10), FARCALL_FAILED_PRECONDITION);
	assert_int_equal(b.failures, 0);
	fc_flow_open(b.call.flow);
	assert_int_equal(b.n_sent, 1);
	assert_int_equal(offer(&b, 20), FARCALL_OK); /* what was refused is not sent */
	fc_flow_pump(b.call.flow);
	assert_int_equal(b.n_sent, 2);
	assert_int_equal(b.sent[1], 20);
	finish(&b);
}

static void
steps_are_checked(void **state)
{
	const ProtobufCMessage *message = NULL;
	Google__Protobuf__Int32Value other = GOOGLE__PROTOBUF__INT32_VALUE__INIT;
	bench b;

	(void)state;
	prepare(&b, false);
	assert_int_equal(farcall_call_send(NULL, &other.base), FARCALL_FAILED_PRECONDITION);
	assert_int_equal(farcall_call_recv(NULL, &message), FARCALL_FAILED_PRECONDITION);
	assert_int_equal(farcall_call_half_close(NULL), FARCALL_FAILED_PRECONDITION);
	assert_int_equal(farcall_call_send(&b.call, NULL), FARCALL_FAILED_PRECONDITION);
	assert_int_equal(farcall_call_send(&b.call, &other.base), FARCALL_FAILED_PRECONDITION);
	b.method.shape = FARCALL_SERVER_STREAM;
	assert_int_equal(offer(&b, 10), FARCALL_FAILED_PRECONDITION);
	assert_int_equal(farcall_call_half_close(&b.call), FARCALL_FAILED_PRECONDITION);
	b.method.shape = FARCALL_CLIENT_STREAM;
	assert_int_equal(farcall_call_recv(&b.call, &message), FARCALL_FAILED_PRECONDITION);
	b.ops.server = true;
	assert_int_equal(offer(&b, 10), FARCALL_FAILED_PRECONDITION);
	b.method.shape = FARCALL_SERVER_STREAM;
	assert_int_equal(farcall_call_recv(&b.call, &message), FARCALL_FAILED_PRECONDITION);
	b.method.shape = FARCALL_BIDI_STREAM;
	assert_int_equal(farcall_call_half_close(&b.call), FARCALL_FAILED_PRECONDITION);
	assert_int_equal(b.call.code, FARCALL_OK);
	finish(&b);
}

static void
memory_is_refused_cleanly(void **state)
{
	fc_error error;
	size_t n;
	bench b;

	(void)state;
	for (n = 1;; n++) {
		fc_flow *flow;
		bool failed;

		prepare(&b, false);
		fc_flow_free(b.call.flow);
		fc_error_clear(&error);
		test_allocator_fail_at(n, true);
		flow = b.call.flow = fc_flow_new(&b.call, &ops, NULL, 1000, &error);
		if (flow != NULL) {
			uint8_t bytes[5000] = {0};
			value v;

			if (farcall_call_send(&b.call, message_of(&v, 3000)) == FARCALL_OK)
				fc_flow_open(flow);
			fc_flow_arrive(flow, bytes, sizeof bytes);
		} else {
			assert_int_equal(error.code, FARCALL_RESOURCE_EXHAUSTED);
		}
		failed = test_allocator_failed();
		test_allocator_fail_at(0, false);
		finish(&b);
		if (!failed)
			break;
	}
	assert_true(n > 3);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(messages_go_in_order_and_the_last_one_says_so),
	    clean_test(a_half_close_after_the_last_message_stands_alone),
	    clean_test(a_sender_waits_when_64_KiB_wait),
	    clean_test(a_pump_passes_one_batch_on),
	    clean_test(what_was_sent_is_sent_again_until_the_commit),
	    clean_test(more_than_256_KiB_are_not_kept),
	    clean_test(an_engine_without_memory_fails_the_call),
	    clean_test(messages_come_in_order_and_are_credited_when_taken),
	    clean_test(an_end_by_the_peer_leaves_what_had_come),
	    clean_test(what_does_not_parse_fails_the_call),
	    clean_test(the_end_is_waited_for_and_the_rest_dropped),
	    clean_test(a_callback_that_asks_for_more_is_called_in_a_loop),
	    clean_test(a_step_that_cannot_block_is_refused),
	    clean_test(nobody_turns_the_loop),
	    clean_test(steps_are_checked),
	    clean_test(memory_is_refused_cleanly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
