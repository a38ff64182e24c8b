/*
 * test_flow_compression.c: compressed messages of a stream between the program and its loop: they
 * wait as they came, and are inflated when they are taken; what is to go as it is, is remembered.
 */
#include "runtime/call/flow.h"
#include "runtime/protocol/grpc/coding.h"

#include "generated/google/protobuf/wrappers.pb-c.h"
#include "tests/support/test.h"

#include <stdlib.h>

typedef Google__Protobuf__BytesValue value;

typedef struct bench {
	farcall_call call;
	fc_call_memory memory;
	fc_call_ops ops;
	farcall_method method;
	unsigned failures, n_sent;
	size_t taken;
	size_t sent[16]; /* sizes of messages */
	bool plain[16];  /* which of them go as they are */
} bench;

static bench *
bench_of(farcall_call *call)
{
	return (bench *)(void *)call;
}

static void
nothing(farcall_call *call)
{
	(void)call;
}

static void
emptied(farcall_call *call, bool said)
{
	(void)call, (void)said;
}

static farcall_code
turn(farcall_call *call, bool *turned, fc_error *error)
{
	(void)call, (void)turned, (void)error;
	fail_msg("nothing is waited for");
	return FARCALL_OK;
}

static farcall_code
may_block(farcall_call *call, fc_error *error)
{
	(void)call, (void)error;
	return FARCALL_OK;
}

static fc_send
take_to_wire(farcall_call *call, const fc_payload *payload, bool last)
{
	bench *b = bench_of(call);

	(void)last;
	b->plain[b->n_sent] = call->plain_now;
	b->sent[b->n_sent++] = payload->size;
	return FC_SEND_OK;
}

static void
taken(farcall_call *call, size_t size)
{
	bench_of(call)->taken += size;
}

static void
fail_call(farcall_call *call, const fc_error *error)
{
	bench_of(call)->failures++;
	fc_call_settle_error(call, error);
	fc_flow_shut(call->flow, error->code, true);
}

static const fc_flow_ops flow_ops = {.wake = nothing,
    .may_block = may_block,
    .turn = turn,
    .call_back = nothing,
    .send = take_to_wire,
    .taken = taken,
    .emptied = emptied,
    .fail = fail_call};

static void
prepare(bench *b, bool server)
{
	fc_error error;

	memset(b, 0, sizeof *b);
	b->ops.server = server;
	fc_call_init(&b->call, &b->ops, NULL, 1 << 20, &b->memory);
	b->method.path = "/t.T/Chat";
	b->method.shape = FARCALL_BIDI_STREAM;
	b->method.request = b->method.reply = &google__protobuf__bytes_value__descriptor;
	b->call.method = &b->method;
	b->call.started = true;
	b->call.flow = fc_flow_new(&b->call, &flow_ops, NULL, 1000, &error);
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

static farcall_code
take(bench *b, size_t *size)
{
	const ProtobufCMessage *message = NULL;
	farcall_code code = farcall_call_recv(&b->call, &message);

	*size = message != NULL ? ((const value *)(const void *)message)->value.len : 0;
	return code;
}

/* Whether a message is compressed is said when it is sent, not when it goes. */
static void
what_goes_as_it_is_is_remembered(void **state)
{
	bench b;

	(void)state;
	prepare(&b, false);
	for (size_t i = 0; i < 6; i++) {
		farcall_call_set_message_compression(&b.call, i % 3 != 1);
		assert_int_equal(offer(&b, 10 + i), FARCALL_OK);
	}
	farcall_call_set_message_compression(&b.call, false);
	fc_flow_open(b.call.flow);
	assert_int_equal(b.n_sent, 6);
	for (size_t i = 0; i < 6; i++) {
		assert_int_equal(b.sent[i], 10 + i);
		assert_int_equal(b.plain[i], i % 3 == 1);
	}
	finish(&b);
}

static void
pour(const fc_payload *payload, fc_sink *sink)
{
	sink->add(sink, (const uint8_t *)payload->message, payload->size);
}

/* A message of `size` bytes arrives compressed; answers how many came. */
static size_t
arrive_compressed(bench *b, size_t size, size_t most)
{
	const fc_stream stream = {
	    .max_message = most, .raw = true, .compressed = true, .peer_coding = FC_CODING_GZIP};
	uint8_t *bytes = (uint8_t *)malloc(size + 1);
	const fc_payload payload = {size, NULL, pour, bytes};
	size_t came;
	fc_buf to;
	value v;

	protobuf_c_message_pack(message_of(&v, size), bytes);
	fc_buf_init(&to, NULL, 0);
	assert_int_equal(fc_deflate(FC_CODING_GZIP, &payload, &to), FC_DEFLATED);
	came = fc_buf_size(&to);
	assert_true(fc_flow_arrive_from(b->call.flow, &stream, to.data, came));
	fc_buf_fini(&to);
	free(bytes);
	return came;
}

/* They wait as they came, and are credited so. */
static void
compressed_messages_are_inflated_when_taken(void **state)
{
	static const fc_stream plain = {.max_message = 100000, .raw = true};
	static const uint8_t empty[1];
	size_t size, came = 0;
	bench b;

	(void)state;
	prepare(&b, true);
	for (int i = 0; i < 100; i++)
		came += arrive_compressed(&b, 100000, 100000);
	assert_true(came < 100000);
	assert_true(fc_flow_arrive_from(b.call.flow, &plain, empty, 0));
	for (int i = 0; i < 100; i++) {
		assert_int_equal(take(&b, &size), FARCALL_OK);
		assert_int_equal(size, 99996);
		assert_true(farcall_call_message_compressed(&b.call));
	}
	assert_int_equal(take(&b, &size), FARCALL_OK);
	assert_int_equal(size, 0);
	assert_false(farcall_call_message_compressed(&b.call));
	fc_flow_pump(b.call.flow);
	assert_in_range(b.taken, came - 1000, came);
	finish(&b);
}

static void
what_does_not_inflate_fails_the_call(void **state)
{
	static const fc_stream stream = {
	    .max_message = 1000, .raw = true, .compressed = true, .peer_coding = FC_CODING_DEFLATE};
	static const uint8_t bad[] = "nonsense";
	size_t size;
	bench b;

	(void)state;
	for (int server = 0; server < 2; server++) {
		prepare(&b, server != 0);
		arrive_compressed(&b, 1000, 1000);
		arrive_compressed(&b, 1001, 1000);
		assert_int_equal(take(&b, &size), FARCALL_OK);
		assert_int_equal(take(&b, &size), FARCALL_RESOURCE_EXHAUSTED);
		assert_int_equal(b.failures, 1);
		assert_non_null(
		    strstr(b.call.error, "a compressed message inflates to more than 1000 bytes"));
		finish(&b);

		prepare(&b, server != 0);
		assert_true(fc_flow_arrive_from(b.call.flow, &stream, bad, sizeof bad));
		assert_int_equal(take(&b, &size), FARCALL_INTERNAL);
		assert_int_equal(b.failures, 1);
		assert_non_null(strstr(
		    b.call.error, "a compressed message is damaged: incorrect header check"));
		finish(&b);
	}
}

/* Each allocation of taking one fails in turn. */
static void
memory_is_refused_cleanly(void **state)
{
	size_t n, size;
	bench b;

	(void)state;
	for (n = 1;; n++) {
		farcall_code code;
		bool failed;

		prepare(&b, true);
		arrive_compressed(&b, 100000, 100000);
		test_allocator_fail_at(n, false);
		code = take(&b, &size);
		failed = test_allocator_failed();
		test_allocator_fail_at(0, false);
		assert_int_equal(code, failed ? FARCALL_RESOURCE_EXHAUSTED : FARCALL_OK);
		assert_int_equal(b.failures, failed);
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
	    clean_test(what_goes_as_it_is_is_remembered),
	    clean_test(compressed_messages_are_inflated_when_taken),
	    clean_test(what_does_not_inflate_fails_the_call),
	    clean_test(memory_is_refused_cleanly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
