/*
 * pack.h: what packing into one piece and pouring share; for pack.c and pour.c only.
 */
#ifndef FC_CALL_PACK_H
#define FC_CALL_PACK_H

#include "runtime/call/marshal.h"
#include "runtime/call/wire.h"

#define FC_PACK_BIG 4096u /* sizes of messages past this are remembered while pouring */
#define FC_PACK_KNOWN 256u
#define FC_PACK_TRIES 8u

/* Sizes of messages: a row with open addressing, the first ones stay. */
typedef struct fc_known {
	const ProtobufCMessage *message[FC_PACK_KNOWN];
	size_t size[FC_PACK_KNOWN];
} fc_known;

typedef struct fc_sizer {
	unsigned depth;  /* messages open */
	bool too_deep;   /* sizes mean nothing then */
	fc_known *known; /* may be NULL */
} fc_sizer;

/* The outermost message; one within another, 0 and s->too_deep if it is too deep. */
size_t fc_size_message(fc_sizer *s, const ProtobufCMessage *message);
size_t fc_size_submessage(fc_sizer *s, const ProtobufCMessage *message);

/* A field of any kind, 0 if it is not there; one value with its key; the numbers alone of a packed
 * list; all unknown fields. */
size_t fc_size_field(
    fc_sizer *s, const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field);
size_t fc_size_value(fc_sizer *s, const ProtobufCFieldDescriptor *field, const void *at);
size_t fc_size_numbers(const ProtobufCFieldDescriptor *field, const uint8_t *at, size_t n);
size_t fc_size_unknown(const ProtobufCMessage *message);

/* Is the field, which is not repeated, there to be packed? */
bool fc_pack_has(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field);

/* These write before `end` and give where they began. */
uint8_t *fc_pack_message(const ProtobufCMessage *message, uint8_t *end);
uint8_t *fc_pack_field(
    const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field, uint8_t *end);
uint8_t *fc_pack_value(const ProtobufCFieldDescriptor *field, const void *at, uint8_t *end);
uint8_t *fc_pack_numbers(
    const ProtobufCFieldDescriptor *field, const uint8_t *at, size_t n, uint8_t *end);
uint8_t *fc_pack_unknown(const ProtobufCMessage *message, uint8_t *end);

void fc_pour_message(const fc_payload *payload, fc_sink *sink);

/* A field without a label, of proto3: there if it is not zero. */
static inline bool
fc_pack_is_plain(const ProtobufCFieldDescriptor *field)
{
	return field->label == PROTOBUF_C_LABEL_NONE &&
	    (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) == 0;
}

static inline size_t
fc_size_varint(uint64_t value)
{
	size_t size = 1;

	for (; value >= 0x80; value >>= 7)
		size++;
	return size;
}

static inline size_t
fc_size_key(uint32_t number)
{
	return FARCALL_LIKELY(number < 16) ? 1 : fc_size_varint((uint64_t)number << 3);
}

static inline size_t
fc_size_length(size_t size)
{
	return fc_size_varint(size) + size;
}

/* A list's elements and how many. */
static inline size_t
fc_pack_list(
    const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field, const uint8_t **list)
{
	size_t n;

	memcpy(&n, (const uint8_t *)message + field->quantifier_offset, sizeof n);
	memcpy(list, (const uint8_t *)message + field->offset, sizeof *list);
	return n;
}

static inline const ProtobufCMessage *
fc_pack_submessage(const void *at)
{
	const ProtobufCMessage *message;

	memcpy(&message, at, sizeof message);
	return message;
}

/* A plain field is not packed if it is zero. */
static inline bool
fc_pack_is_zero(ProtobufCType type, const void *at)
{
	const char *text;
	uint64_t number = 0;
	double real;
	float single;
	size_t size;

	switch (type) {
	case PROTOBUF_C_TYPE_STRING:
		memcpy(&text, at, sizeof text);
		return text == NULL || *text == 0;
	case PROTOBUF_C_TYPE_BYTES:
		memcpy(&size, at, sizeof size);
		return size == 0;
	case PROTOBUF_C_TYPE_MESSAGE:
		return fc_pack_submessage(at) == NULL;
	case PROTOBUF_C_TYPE_FLOAT:
		memcpy(&single, at, sizeof single);
		return single == 0;
	case PROTOBUF_C_TYPE_DOUBLE:
		memcpy(&real, at, sizeof real);
		return real == 0;
	default:
		if (fc_wire_rules[type].element == 4)
			memcpy(&number, at, 4);
		else
			memcpy(&number, at, 8);
		return number == 0;
	}
}

/* ---- sizes of numbers ---- */

static inline uint32_t
fc_pack_number32(const void *at)
{
	uint32_t number;

	memcpy(&number, at, sizeof number);
	return number;
}

static inline uint64_t
fc_pack_number64(const void *at)
{
	uint64_t number;

	memcpy(&number, at, sizeof number);
	return number;
}

static inline size_t
fc_size_number(ProtobufCType type, const void *at)
{
	switch (type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_ENUM:
		return fc_size_varint((uint64_t)(int64_t)(int32_t)fc_pack_number32(at));
	case PROTOBUF_C_TYPE_UINT32:
		return fc_size_varint(fc_pack_number32(at));
	case PROTOBUF_C_TYPE_SINT32:
		return fc_size_varint(fc_wire_zigzag32(fc_pack_number32(at)));
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_UINT64:
		return fc_size_varint(fc_pack_number64(at));
	case PROTOBUF_C_TYPE_SINT64:
		return fc_size_varint(fc_wire_zigzag64(fc_pack_number64(at)));
	case PROTOBUF_C_TYPE_BOOL:
		return 1;
	default:
		return fc_wire_rules[type].element;
	}
}

/* ---- writing, before `end` ---- */

static inline uint8_t *
fc_put_varint(uint64_t value, uint8_t *end)
{
	uint8_t *begin, *at;

	if (FARCALL_LIKELY(value < 0x80)) {
		*--end = (uint8_t)value;
		return end;
	}
	begin = at = end - fc_size_varint(value);
	for (; value >= 0x80; value >>= 7)
		*at++ = (uint8_t)(value | 0x80);
	*at = (uint8_t)value;
	return begin;
}

static inline uint8_t *
fc_put_key(uint32_t number, unsigned wire, uint8_t *end)
{
	return fc_put_varint((uint64_t)number << 3 | wire, end);
}

/* With the length in front. */
static inline uint8_t *
fc_put_bytes(const void *bytes, size_t size, uint8_t *end)
{
	end -= size;
	if (size != 0)
		fc_wire_copy(end, (const uint8_t *)bytes, size);
	return fc_put_varint(size, end);
}

static inline uint8_t *
fc_put_fixed32(const void *at, uint8_t *end)
{
	uint32_t number;

	memcpy(&number, at, sizeof number);
	fc_wire_put32(end - sizeof number, number);
	return end - sizeof number;
}

static inline uint8_t *
fc_put_fixed64(const void *at, uint8_t *end)
{
	uint64_t number;

	memcpy(&number, at, sizeof number);
	fc_wire_put64(end - sizeof number, number);
	return end - sizeof number;
}

static inline uint8_t *
fc_put_number(ProtobufCType type, const void *at, uint8_t *end)
{
	uint32_t number;
	uint64_t wide;

	switch (type) {
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_SINT64:
		memcpy(&wide, at, sizeof wide);
		if (type == PROTOBUF_C_TYPE_SINT64)
			wide = fc_wire_zigzag64(wide);
		return fc_put_varint(wide, end);
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_FLOAT:
		return fc_put_fixed32(at, end);
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return fc_put_fixed64(at, end);
	default:
		break;
	}
	memcpy(&number, at, sizeof number);
	if (type == PROTOBUF_C_TYPE_BOOL)
		return fc_put_varint(number != 0, end);
	if (type == PROTOBUF_C_TYPE_UINT32)
		return fc_put_varint(number, end);
	if (type == PROTOBUF_C_TYPE_SINT32)
		return fc_put_varint(fc_wire_zigzag32(number), end);
	return fc_put_varint((uint64_t)(int64_t)(int32_t)number, end);
}

#endif
