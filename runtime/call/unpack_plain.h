/*
 * unpack_plain.h: the short cut for what most messages are made of: fields that are known, of one
 * byte or two of key, neither repeated nor required nor messages, each once and in the descriptor's
 * order. Room is asked for once, for the worst case, so nothing is charged or checked field by
 * field. It never fails: at the first field that it does not understand it stops, and what is wrong
 * there, if anything is, others find out.
 */
#ifndef FC_CALL_UNPACK_PLAIN_H
#define FC_CALL_UNPACK_PLAIN_H

#include "runtime/base/utf8.h"
#include "runtime/call/unpack.h"

static inline void
fc_set32(void *to, uint32_t value)
{
	memcpy(to, &value, sizeof value);
}

static inline void
fc_set64(void *to, uint64_t value)
{
	memcpy(to, &value, sizeof value);
}

/* True also by those bits of ten bytes that no number has room for: so says protobuf-c. */
static inline void
fc_set_bool(void *to, uint64_t value, const uint8_t *from, const uint8_t *at)
{
	protobuf_c_boolean is =
	    value != 0 || (at - from == FC_WIRE_MAX_VARINT && (at[-1] & 0x7e) != 0);

	memcpy(to, &is, sizeof is);
}

static inline const uint8_t *
fc_set_number(ProtobufCType type, const uint8_t *from, const uint8_t *end, void *to)
{
	uint64_t value;
	const uint8_t *at = fc_wire_varint(from, end, &value);

	if (FARCALL_UNLIKELY(at == NULL))
		return NULL;
	switch (type) {
	case PROTOBUF_C_TYPE_SINT32:
		fc_set32(to, fc_wire_unzigzag32((uint32_t)value));
		break;
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_UINT64:
		fc_set64(to, value);
		break;
	case PROTOBUF_C_TYPE_SINT64:
		fc_set64(to, fc_wire_unzigzag64(value));
		break;
	case PROTOBUF_C_TYPE_BOOL:
		fc_set_bool(to, value, from, at);
		break;
	default:
		fc_set32(to, (uint32_t)value);
		break;
	}
	return at;
}

#define FC_PLAIN_FEW 16u

typedef struct fc_plain {
	const ProtobufCFieldDescriptor *field; /* the first that may come */
	const ProtobufCFieldDescriptor *last;  /* behind the last one */
	uint8_t *memory;                       /* what is free, aligned */
	size_t n;                              /* fields that came */
} fc_plain;

/* What a run may take of the arena, for so many bytes. */
static inline size_t
fc_plain_need(const ProtobufCMessageDescriptor *type, size_t size)
{
	return size + (size_t)type->n_fields * 16;
}

/* As fc_wire_length(), written so that the size stays in a register. */
static inline const uint8_t *
fc_plain_length(const uint8_t *at, const uint8_t *end, size_t *size)
{
	if (FARCALL_UNLIKELY(at == end))
		return NULL;
	*size = *at;
	if (FARCALL_UNLIKELY(*size >= 0x80)) {
		size_t longer = 0;

		at = fc_wire_long_length(at, end, &longer);
		*size = longer;
		return at;
	}
	at++;
	return FARCALL_LIKELY(*size <= (size_t)(end - at)) ? at : NULL;
}

static inline const uint8_t *
fc_plain_text(fc_plain *p, const uint8_t *at, const uint8_t *end, void *to)
{
	uint8_t *copy = p->memory;
	size_t size = 0;

	at = fc_plain_length(at, end, &size);
	if (FARCALL_UNLIKELY(at == NULL) ||
	    (!fc_utf8_plain(at, size) && fc_utf8_check(at, size) != size))
		return NULL;
	fc_wire_copy(copy, at, size);
	copy[size] = 0;
	p->memory += FC_ROUNDED(size + 1);
	memcpy(to, &copy, sizeof copy);
	return at + size;
}

static inline const uint8_t *
fc_plain_data(fc_plain *p, const uint8_t *at, const uint8_t *end, uint8_t *to)
{
	uint8_t *copy = NULL;
	size_t size = 0;

	at = fc_plain_length(at, end, &size);
	if (FARCALL_UNLIKELY(at == NULL))
		return NULL;
	if (FARCALL_LIKELY(size != 0)) {
		copy = p->memory;
		p->memory += FC_ROUNDED(size);
		fc_wire_copy(copy, at, size);
	}
	memcpy(to + offsetof(ProtobufCBinaryData, len), &size, sizeof size);
	memcpy(to + offsetof(ProtobufCBinaryData, data), &copy, sizeof copy);
	return at + size;
}

static inline const uint8_t *
fc_plain_value(fc_plain *p, ProtobufCType type, unsigned wire, const uint8_t *at,
    const uint8_t *end, uint8_t *to)
{
	switch (type) {
	case PROTOBUF_C_TYPE_STRING:
		return wire == FC_WIRE_LENGTH ? fc_plain_text(p, at, end, to) : NULL;
	case PROTOBUF_C_TYPE_BYTES:
		return wire == FC_WIRE_LENGTH ? fc_plain_data(p, at, end, to) : NULL;
	case PROTOBUF_C_TYPE_MESSAGE:
		return NULL;
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_FLOAT:
		if (FARCALL_UNLIKELY(wire != FC_WIRE_FIXED32 || end - at < 4))
			return NULL;
		fc_set32(to, fc_wire_get32(at));
		return at + 4;
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		if (FARCALL_UNLIKELY(wire != FC_WIRE_FIXED64 || end - at < 8))
			return NULL;
		fc_set64(to, fc_wire_get64(at));
		return at + 8;
	default:
		return wire == FC_WIRE_VARINT ? fc_set_number(type, at, end, to) : NULL;
	}
}

static inline void
fc_plain_mark(const ProtobufCFieldDescriptor *field, uint8_t *message)
{
	uint32_t mark = true;

	if (FARCALL_LIKELY(field->quantifier_offset == 0))
		return;
	if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0)
		mark = field->id;
	memcpy(message + field->quantifier_offset, &mark, sizeof mark);
}

/* Not repeated, not required: protobuf-c's numbers for these labels are the odd ones. */
static inline bool
fc_plain_label(ProtobufCLabel label)
{
	return ((unsigned)label & PROTOBUF_C_LABEL_OPTIONAL & PROTOBUF_C_LABEL_NONE) != 0;
}

/* Moves on to the field of this number, if it is one of the next few; passes over no required one.
 * Far ones are left to a binary search, so that few bytes never cost many steps. */
static inline bool
fc_plain_find(fc_plain *p, uint32_t number)
{
	for (unsigned left = FC_PLAIN_FEW; p->field->id < number; left--) {
		if (left == 0 || p->field->label == PROTOBUF_C_LABEL_REQUIRED ||
		    ++p->field == p->last)
			return false;
	}
	return p->field->id == number;
}

/* From the key at `at` on; gives where it stopped: at `end`, or at the key of another field. */
static inline const uint8_t *
fc_plain_run(fc_plain *p, uint8_t *message, const uint8_t *at, const uint8_t *end)
{
	for (; at != end; p->field++, p->n++) {
		const uint8_t *next = at;
		uint32_t key = *next++;

		if (FARCALL_UNLIKELY(p->field == p->last))
			break;
		if (FARCALL_UNLIKELY(key >= 0x80)) {
			if (next == end || *next >= 0x80)
				break;
			key = (key & 0x7f) | (uint32_t)*next++ << 7;
		}
		if (FARCALL_UNLIKELY(p->field->id != key >> 3) && !fc_plain_find(p, key >> 3))
			break;
		if (FARCALL_UNLIKELY(!fc_plain_label(p->field->label)))
			break;
		next = fc_plain_value(
		    p, p->field->type, key & 7, next, end, message + p->field->offset);
		if (FARCALL_UNLIKELY(next == NULL))
			break;
		fc_plain_mark(p->field, message);
		at = next;
	}
	return at;
}

/* fc_unpack() for what is not plain: goes on from the key at `at`, behind the fields that are done;
 * done->memory NULL: none, and the message itself is yet to be made. */
farcall_code fc_unpack_rest(const ProtobufCMessageDescriptor *type, const uint8_t *bytes,
    const uint8_t *end, const fc_guard_limits *limits, fc_arena *arena, ProtobufCMessage **message,
    fc_error *error, const fc_plain *done, const uint8_t *at);

#endif
