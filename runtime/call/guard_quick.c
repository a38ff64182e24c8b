/*
 * guard_quick.c: a short cut of the guard for what most calls carry: a message of a few plain
 * fields in order, each once. It only ever accepts, with the same figures as the walk; whatever it
 * does not understand is left to the walk, which costs three times as much and has a large frame.
 */
#include "runtime/call/guard_walk.h"

#include "runtime/base/utf8.h"

typedef ProtobufCFieldDescriptor field_type;

#define QUICK_SIZE 1024u /* of messages that are looked at */

const fc_guard_rule fc_guard_rules[] = {
    [PROTOBUF_C_TYPE_INT32] = {VARINT, 4, true},
    [PROTOBUF_C_TYPE_SINT32] = {VARINT, 4, true},
    [PROTOBUF_C_TYPE_SFIXED32] = {FIXED32, 4, true},
    [PROTOBUF_C_TYPE_INT64] = {VARINT, 8, true},
    [PROTOBUF_C_TYPE_SINT64] = {VARINT, 8, true},
    [PROTOBUF_C_TYPE_SFIXED64] = {FIXED64, 8, true},
    [PROTOBUF_C_TYPE_UINT32] = {VARINT, 4, true},
    [PROTOBUF_C_TYPE_FIXED32] = {FIXED32, 4, true},
    [PROTOBUF_C_TYPE_UINT64] = {VARINT, 8, true},
    [PROTOBUF_C_TYPE_FIXED64] = {FIXED64, 8, true},
    [PROTOBUF_C_TYPE_FLOAT] = {FIXED32, 4, true},
    [PROTOBUF_C_TYPE_DOUBLE] = {FIXED64, 8, true},
    [PROTOBUF_C_TYPE_BOOL] = {VARINT, sizeof(protobuf_c_boolean), true},
    [PROTOBUF_C_TYPE_ENUM] = {VARINT, 4, true},
    [PROTOBUF_C_TYPE_STRING] = {LENGTH, sizeof(char *), false},
    [PROTOBUF_C_TYPE_BYTES] = {LENGTH, sizeof(ProtobufCBinaryData), false},
    [PROTOBUF_C_TYPE_MESSAGE] = {LENGTH, sizeof(ProtobufCMessage *), false},
};

/* Passes over the value of a plain field at `at`, whose key has been read, and adds to *memory;
 * NULL: not plain. */
static inline const uint8_t *
quick_value(ProtobufCType type, const uint8_t *at, const uint8_t *end, size_t *memory)
{
	size_t size, most;

	switch (fc_guard_rules[type].wire) {
	case VARINT:
		most = FC_MIN((size_t)(end - at), MAX_VARINT_BYTES);
		for (size = 1; size <= most && at[size - 1] >= 0x80; size++)
			;
		return size <= most ? at + size : NULL;
	case FIXED64:
		return end - at >= 8 ? at + 8 : NULL;
	case FIXED32:
		return end - at >= 4 ? at + 4 : NULL;
	default:
		if (at == end || *at >= 0x80 || type == PROTOBUF_C_TYPE_MESSAGE)
			return NULL;
		size = *at++;
		if (size > (size_t)(end - at))
			return NULL;
		*memory += ROUNDED(size + (type == PROTOBUF_C_TYPE_STRING));
		if (type == PROTOBUF_C_TYPE_STRING && !fc_utf8_plain(at, size) &&
		    fc_utf8_check(at, size) != size)
			return NULL;
		return at + size;
	}
}

/* See above. */
static bool
quick(const ProtobufCMessageDescriptor *type, const uint8_t *at, size_t size,
    const fc_guard_limits *limits, fc_guarded *guarded)
{
	const uint8_t *end = at + size;
	const field_type *field = type->fields;
	size_t memory = ROUNDED(type->sizeof_message), elements = 1;

	if (type->n_fields > SLAB_FIRST)
		return false;
	for (unsigned n = type->n_fields; n > 0; n--, field++) {
		if (FARCALL_UNLIKELY(field->label == PROTOBUF_C_LABEL_REQUIRED))
			return false;
		if (at == end || field->id != *at >> 3 || *at >= 0x80)
			continue;
		if (field->label == PROTOBUF_C_LABEL_REPEATED ||
		    (*at & 7) != fc_guard_rules[field->type].wire)
			return false;
		at = quick_value(field->type, at + 1, end, &memory);
		if (at == NULL)
			return false;
		elements++;
	}
	guarded->size = size;
	guarded->memory = memory;
	guarded->elements = elements;
	return at == end && memory <= limits->memory && elements <= limits->elements &&
	    limits->depth != 0;
}

farcall_code
fc_guard(const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes, size_t size,
    const fc_guard_limits *limits, fc_arena *arena, fc_guarded *guarded, fc_error *error)
{
	if (size < QUICK_SIZE && quick(descriptor, bytes, size, limits, guarded) &&
	    guarded->memory <= fc_guard_room(arena)) {
		guarded->bytes = bytes;
		return FARCALL_OK;
	}
	return fc_guard_message(descriptor, bytes, size, limits, arena, guarded, error);
}
