/*
 * marshal.c: see marshal.h. Unpacking is guarded, then done by protobuf-c into the arena; packing
 * is protobuf-c's own, into one piece of memory or through the engine's sink.
 */
#include "runtime/call/marshal.h"

#include "runtime/call/guard.h"

/* protobuf-c may ask for no bytes and takes NULL for a failure. */
static void *
arena_alloc(void *data, size_t size)
{
	return fc_arena_alloc((fc_arena *)data, size + (size == 0));
}

static void
arena_free(void *data, void *memory)
{
	(void)data;
	(void)memory;
}

void
fc_arena_allocator(fc_arena *arena, ProtobufCAllocator *allocator)
{
	allocator->alloc = arena_alloc;
	allocator->free = arena_free;
	allocator->allocator_data = arena;
}

/* The guard let it pass and unpacking still failed: the arena has run out; or, if not, the two
 * disagree, which is a defect of ours. */
static farcall_code
unpack_failed(const char *name, const fc_arena *arena, fc_error *error)
{
	if (arena->state == FC_ARENA_NO_MEMORY)
		return fc_fail_memory(error, name);
	if (arena->state == FC_ARENA_AT_CAP)
		return fc_fail(error, FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_LIMIT,
		    "%s: takes more memory than the call's %zu bytes", name, arena->most);
	return fc_fail(
	    error, FARCALL_INTERNAL, FARCALL_CAUSE_NONE, "%s: protobuf-c did not unpack it", name);
}

farcall_code
fc_unpack(const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes, size_t size,
    const fc_guard_limits *limits, fc_arena *arena, ProtobufCMessage **message, fc_error *error)
{
	ProtobufCAllocator allocator;
	ProtobufCMessage *unpacked;
	fc_guarded guarded;
	farcall_code code;

	code = fc_guard(descriptor, bytes, size, limits, arena, &guarded, error);
	if (code != FARCALL_OK)
		return code;
	fc_arena_allocator(arena, &allocator);
	unpacked = protobuf_c_message_unpack(descriptor, &allocator, guarded.size, guarded.bytes);
	if (unpacked == NULL)
		return unpack_failed(descriptor->name, arena, error);
	*message = unpacked;
	return FARCALL_OK;
}

static void
message_flat(const fc_payload *payload, uint8_t *to)
{
	protobuf_c_message_pack((const ProtobufCMessage *)payload->message, to);
}

typedef struct pour_buffer {
	ProtobufCBuffer base;
	fc_sink *sink;
} pour_buffer;

static void
pour_append(ProtobufCBuffer *base, size_t size, const uint8_t *bytes)
{
	fc_sink *sink = ((pour_buffer *)(void *)base)->sink;

	if (size != 0)
		sink->add(sink, bytes, size);
}

static void
message_pour(const fc_payload *payload, fc_sink *sink)
{
	pour_buffer buffer = {{pour_append}, sink};

	protobuf_c_message_pack_to_buffer((const ProtobufCMessage *)payload->message, &buffer.base);
}

void
fc_payload_of_message(fc_payload *payload, const ProtobufCMessage *message)
{
	payload->size = protobuf_c_message_get_packed_size(message);
	payload->flat = message_flat;
	payload->pour = message_pour;
	payload->message = message;
}

static void
bytes_flat(const fc_payload *payload, uint8_t *to)
{
	const fc_text *bytes = (const fc_text *)payload->message;

	if (bytes->size != 0)
		memcpy(to, bytes->at, bytes->size);
}

static void
bytes_pour(const fc_payload *payload, fc_sink *sink)
{
	const fc_text *bytes = (const fc_text *)payload->message;

	if (bytes->size != 0)
		sink->add(sink, (const uint8_t *)bytes->at, bytes->size);
}

void
fc_payload_of_bytes(fc_payload *payload, const fc_text *bytes)
{
	payload->size = bytes->size;
	payload->flat = bytes_flat;
	payload->pour = bytes_pour;
	payload->message = bytes;
}
