/*
 * Any bytes as a message of some type: the guard must not stumble, and what it accepts protobuf-c
 * must unpack within the charge. The first byte chooses the type, the rest is the message.
 */
#include "runtime/call/guard.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/call/guard_test.pb-c.h"
#include "tests/unit/call/guard_test2.pb-c.h"

#include <stdlib.h>

static const ProtobufCMessageDescriptor *const types[] = {&guard__rich__descriptor,
    &guard__lists__descriptor, &guard__scalars__descriptor, &guard__choice__descriptor,
    &guard__tree__descriptor, &guard2__need__descriptor, &guard2__optional__descriptor,
    &guard2__wide__descriptor};

static size_t taken;

static void *
counting_alloc(void *data, size_t size)
{
	(void)data;
	taken += (size + 15) & ~(size_t)15;
	return malloc(size + (size == 0));
}

static void
counting_free(void *data, void *memory)
{
	(void)data;
	free(memory);
}

static void
check_charge(const ProtobufCMessageDescriptor *type, const fc_guarded *guarded)
{
	ProtobufCAllocator allocator = {counting_alloc, counting_free, NULL};
	ProtobufCMessage *message;

	taken = 0;
	message = protobuf_c_message_unpack(type, &allocator, guarded->size, guarded->bytes);
	if (message == NULL || taken > guarded->memory)
		abort();
	protobuf_c_message_free_unpacked(message, &allocator);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const ProtobufCMessageDescriptor *type;
	ProtobufCMessage *message;
	fc_error error;
	fc_guarded guarded;
	fc_arena arena;

	if (size == 0)
		return 0;
	type = types[data[0] % FC_COUNT(types)];
	fc_error_clear(&error);
	fc_arena_init(&arena, NULL, (size_t)1 << 30, NULL, 0);
	if (fc_guard(type, data + 1, size - 1, &fc_guard_defaults, &arena, &guarded, &error) ==
	    FARCALL_OK) {
		check_charge(type, &guarded);
		if (fc_unpack(type, data + 1, size - 1, &fc_guard_defaults, &arena, &message,
		        &error) != FARCALL_OK)
			abort();
	}
	fc_arena_reset(&arena);
	return 0;
}
