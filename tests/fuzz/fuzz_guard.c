/*
 * Any bytes as a message of some type: unpacking must not stumble, and what it accepts must equal
 * what protobuf-c makes of it and pack to the same bytes. The first byte chooses the type, the rest
 * is the message.
 */
#include "runtime/call/marshal.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/call/guard_test.pb-c.h"
#include "tests/unit/call/guard_test2.pb-c.h"
#include "tests/unit/call/oracle.h"

#include <stdlib.h>

static const ProtobufCMessageDescriptor *const types[] = {&guard__rich__descriptor,
    &guard__lists__descriptor, &guard__scalars__descriptor, &guard__choice__descriptor,
    &guard__tree__descriptor, &guard2__need__descriptor, &guard2__optional__descriptor,
    &guard2__wide__descriptor};

/* In an arena with room for the short cut, or in blocks. */
static void
try_in(fc_arena *arena, const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t size)
{
	ProtobufCMessage *message = NULL;
	fc_error error;

	fc_error_clear(&error);
	if (fc_unpack(type, bytes, size, &fc_guard_defaults, arena, &message, &error) == FARCALL_OK)
		oracle_unpacked(type, bytes, size, message);
	else if (error.code != FARCALL_INVALID_ARGUMENT && error.code != FARCALL_RESOURCE_EXHAUSTED)
		abort();
	fc_arena_reset(arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t lent[1 << 18];
	const ProtobufCMessageDescriptor *type;
	fc_arena blocks, wide;

	if (size == 0)
		return 0;
	type = types[data[0] % FC_COUNT(types)];
	fc_arena_init(&blocks, NULL, (size_t)1 << 30, NULL, 0);
	try_in(&blocks, type, data + 1, size - 1);
	fc_arena_init(&wide, NULL, (size_t)1 << 30, lent, sizeof lent);
	try_in(&wide, type, data + 1, size - 1);
	return 0;
}
