/*
 * Payloads give the same bytes flat and poured; protobuf-c's allocator over an arena.
 */
#include "tests/support/test.h"

#include "runtime/call/marshal.h"
#include "tests/unit/call/guard_test.pb-c.h"
#include "tests/unit/call/wire.h"

typedef struct test_sink {
	fc_sink base;
	wire got;
} test_sink;

static void
sink_add(fc_sink *sink, const uint8_t *bytes, size_t size)
{
	assert_true(size > 0);
	wire_raw(&((test_sink *)(void *)sink)->got, bytes, size);
}

static void
check_payload(const fc_payload *payload, const uint8_t *bytes, size_t size)
{
	test_sink sink = {{sink_add}, {0}};
	uint8_t flat[256];

	assert_int_equal(payload->size, size);
	memset(flat, 0xee, sizeof flat);
	payload->flat(payload, flat);
	assert_memory_equal(flat, bytes, size);
	assert_int_equal(flat[size], 0xee);
	payload->pour(payload, &sink.base);
	assert_int_equal(sink.got.size, size);
	if (size != 0)
		assert_memory_equal(sink.got.bytes, bytes, size);
	wire_free(&sink.got);
}

static void
test_payloads(void **state)
{
	Guard__Scalars message;
	fc_payload payload;
	uint8_t packed[256];
	fc_text text;
	size_t size;

	(void)state;
	guard__scalars__init(&message);
	fc_payload_of_message(&payload, &message.base);
	check_payload(&payload, packed, 0);
	message.a = -1;
	message.o = (char *)(uintptr_t) "some text";
	message.p.data = (uint8_t *)(uintptr_t) "\0\1\2";
	message.p.len = 3;
	size = protobuf_c_message_pack(&message.base, packed);
	fc_payload_of_message(&payload, &message.base);
	check_payload(&payload, packed, size);
	text.at = (const char *)packed;
	text.size = size;
	fc_payload_of_bytes(&payload, &text);
	check_payload(&payload, packed, size);
	text.at = NULL;
	text.size = 0;
	fc_payload_of_bytes(&payload, &text);
	check_payload(&payload, packed, 0);
}

static void
test_allocator(void **state)
{
	ProtobufCAllocator allocator;
	fc_arena arena;
	uint8_t *a, *b;

	(void)state;
	fc_arena_init(&arena, NULL, 4096, NULL, 0);
	fc_arena_allocator(&arena, &allocator);
	assert_non_null(allocator.alloc(allocator.allocator_data, 0));
	a = (uint8_t *)allocator.alloc(allocator.allocator_data, 5);
	b = (uint8_t *)allocator.alloc(allocator.allocator_data, 5);
	assert_true(a != NULL && b != NULL && a != b);
	allocator.free(allocator.allocator_data, a);
	allocator.free(allocator.allocator_data, b);
	assert_null(allocator.alloc(allocator.allocator_data, 4096));
	fc_arena_reset(&arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(test_payloads),
	    clean_test(test_allocator),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
