/*
 * guard.c: looks at a packed message before protobuf-c unpacks it.
 *
 * protobuf_c_message_unpack() descends as deep as the bytes say, and makes large structs of short
 * bytes. So the bytes are walked first, along the descriptors, with a cap on the depth and on the
 * memory that unpacking will take. Wire format: https://protobuf.dev/programming-guides/encoding/.
 */
#include "plugin.h"

#define MOST_DEPTH 100u                   /* as protobuf's own parsers */
#define MOST_MEMORY ((size_t)1024u << 20) /* of what is unpacked */

typedef struct fc_walk {
	const uint8_t *at, *end;
} fc_walk;

static bool
read_varint(fc_walk *walk, uint64_t *value)
{
	unsigned shift;

	*value = 0;
	for (shift = 0; shift < 64 && walk->at < walk->end; shift += 7) {
		uint8_t byte = *walk->at++;

		*value |= (uint64_t)(byte & 0x7f) << shift;
		if ((byte & 0x80) == 0)
			return true;
	}
	return false;
}

static bool
skip(fc_walk *walk, uint64_t size)
{
	if (size > (uint64_t)(walk->end - walk->at))
		return false;
	walk->at += size;
	return true;
}

/* Passes one field's value; the bytes of a length-delimited one are shown. */
static bool
pass_value(fc_walk *walk, unsigned wire_type, fc_walk *inner)
{
	uint64_t value;

	inner->at = inner->end = NULL;
	switch (wire_type) {
	case PROTOBUF_C_WIRE_TYPE_VARINT:
		return read_varint(walk, &value);
	case PROTOBUF_C_WIRE_TYPE_64BIT:
		return skip(walk, 8);
	case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED:
		if (!read_varint(walk, &value))
			return false;
		inner->at = walk->at;
		if (!skip(walk, value))
			return false;
		inner->end = walk->at;
		return true;
	case PROTOBUF_C_WIRE_TYPE_32BIT:
		return skip(walk, 4);
	default: /* groups are not unpacked by protobuf-c, and no .proto here has one */
		return false;
	}
}

static const char *
guard(const ProtobufCMessageDescriptor *descriptor, fc_walk walk, unsigned depth, size_t *left)
{
	uint64_t tag;
	fc_walk inner;

	if (depth == 0)
		return "nested too deep";
	if (*left < descriptor->sizeof_message)
		return "too large";
	*left -= descriptor->sizeof_message;
	while (walk.at < walk.end) {
		const ProtobufCFieldDescriptor *field;
		const uint8_t *from = walk.at;
		const char *error;
		size_t cost;

		if (!read_varint(&walk, &tag) || tag >> 3 == 0 || tag > UINT32_MAX ||
		    !pass_value(&walk, (unsigned)(tag & 7), &inner))
			return "truncated or damaged";
		/* A copy, its place in a list or among the unknown fields, and its NUL. */
		cost = (size_t)(walk.at - from) * 2 + sizeof(ProtobufCMessageUnknownField) + 16;
		if (*left < cost)
			return "too large";
		*left -= cost;
		field = protobuf_c_message_descriptor_get_field(descriptor, (unsigned)(tag >> 3));
		if (field == NULL || field->type != PROTOBUF_C_TYPE_MESSAGE || inner.at == NULL)
			continue;
		error = guard(
		    (const ProtobufCMessageDescriptor *)field->descriptor, inner, depth - 1, left);
		if (error != NULL)
			return error;
	}
	return NULL;
}

const char *
fc_guard(const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes, size_t size)
{
	fc_walk walk = {bytes, bytes + size};
	size_t left = MOST_MEMORY;

	return guard(descriptor, walk, MOST_DEPTH, &left);
}
