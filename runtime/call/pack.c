/*
 * pack.c: the payload of a message. It is sized once, then packed into memory of exactly that size
 * from its end to its beginning: the length of a submessage is known once it stands there, so
 * nothing is sized twice and nothing moves. The bytes are those of protobuf_c_message_pack():
 * fields in the descriptor's order, unknown ones behind.
 *
 * Plain fields, as most are, are done here, all others in size_any.c and pack_any.c. The outermost
 * message is begun by loops that call nothing, and so cost little where there is little to do; at
 * the first string, submessage or other field that needs a call they leave the rest to others.
 */
#include "runtime/call/pack.h"

#include "runtime/call/raw.h"

typedef ProtobufCFieldDescriptor field_type;
typedef ProtobufCMessage message_type;

/* ---- sizes ---- */

static inline size_t
size_plain(fc_sizer *s, const field_type *field, const void *at)
{
	size_t key = fc_size_key(field->id), size;
	const message_type *message;
	const char *text;

	switch (field->type) {
	case PROTOBUF_C_TYPE_BYTES:
		memcpy(&size, at, sizeof size);
		return size != 0 ? key + fc_size_length(size) : 0;
	case PROTOBUF_C_TYPE_STRING:
		memcpy(&text, at, sizeof text);
		return text != NULL && *text != 0 ? key + fc_size_length(strlen(text)) : 0;
	case PROTOBUF_C_TYPE_MESSAGE:
		message = fc_pack_submessage(at);
		return message != NULL ? key + fc_size_length(fc_size_submessage(s, message)) : 0;
	default:
		return fc_pack_is_zero(field->type, at) ? 0 : key + fc_size_number(field->type, at);
	}
}

/* Of the last `left` fields, in addition to `size`. */
static size_t
size_rest(
    fc_sizer *s, const message_type *message, const field_type *field, unsigned left, size_t size)
{
	for (; left > 0; left--, field++) {
		if (FARCALL_LIKELY(fc_pack_is_plain(field)))
			size += size_plain(s, field, (const uint8_t *)message + field->offset);
		else
			size += fc_size_field(s, message, field);
	}
	if (FARCALL_UNLIKELY(message->n_unknown_fields != 0))
		size += fc_size_unknown(message);
	return size;
}

size_t
fc_size_message(fc_sizer *s, const message_type *message)
{
	return size_rest(s, message, message->descriptor->fields, message->descriptor->n_fields, 0);
}

/* Adds the field's size; false: needs a call. Strings and messages are simple if there is nothing
 * to pack. */
static inline bool
add_simple(const field_type *field, const uint8_t *at, size_t *size)
{
	ProtobufCType type = field->type;
	size_t length;

	if (FARCALL_UNLIKELY(!fc_pack_is_plain(field)))
		return false;
	if (type == PROTOBUF_C_TYPE_BYTES) {
		memcpy(&length, at, sizeof length);
		if (FARCALL_LIKELY(field->id < 16 && length < 0x80))
			*size += length != 0 ? 2 + length : 0;
		else
			*size += length != 0 ? fc_size_key(field->id) + fc_size_length(length) : 0;
		return true;
	}
	if (fc_pack_is_zero(type, at))
		return true;
	if (type == PROTOBUF_C_TYPE_STRING || type == PROTOBUF_C_TYPE_MESSAGE)
		return false;
	*size += fc_size_key(field->id) + fc_size_number(type, at);
	return true;
}

/* ---- bytes ---- */

static inline uint8_t *
pack_plain(const field_type *field, const uint8_t *at, uint8_t *end)
{
	ProtobufCBinaryData data;
	const char *text;

	switch (field->type) {
	case PROTOBUF_C_TYPE_BYTES:
		memcpy(&data, at, sizeof data);
		if (data.len == 0)
			return end;
		end = fc_put_bytes(data.data, data.len, end);
		return fc_put_key(field->id, FC_WIRE_LENGTH, end);
	case PROTOBUF_C_TYPE_STRING:
		memcpy(&text, at, sizeof text);
		if (text == NULL || *text == 0)
			return end;
		end = fc_put_bytes(text, strlen(text), end);
		return fc_put_key(field->id, FC_WIRE_LENGTH, end);
	case PROTOBUF_C_TYPE_MESSAGE:
		if (fc_pack_submessage(at) == NULL)
			return end;
		return fc_pack_value(field, at, end);
	default:
		if (fc_pack_is_zero(field->type, at))
			return end;
		end = fc_put_number(field->type, at, end);
		return fc_put_key(field->id, fc_wire_rules[field->type].wire, end);
	}
}

/* From the field before `field` on, down to the first one. */
static uint8_t *
pack_rest(const message_type *message, const field_type *field, uint8_t *end)
{
	const field_type *first = message->descriptor->fields;

	while (field != first) {
		field--;
		if (FARCALL_LIKELY(fc_pack_is_plain(field)))
			end = pack_plain(field, (const uint8_t *)message + field->offset, end);
		else
			end = fc_pack_field(message, field, end);
	}
	return end;
}

uint8_t *
fc_pack_message(const message_type *message, uint8_t *end)
{
	const ProtobufCMessageDescriptor *type = message->descriptor;

	if (FARCALL_UNLIKELY(message->n_unknown_fields != 0))
		end = fc_pack_unknown(message, end);
	if (type->n_fields == 0) /* and no array of them */
		return end;
	return pack_rest(message, type->fields + type->n_fields, end);
}

/* NULL: needs a call. */
static inline uint8_t *
pack_simple(const field_type *field, const uint8_t *at, uint8_t *end)
{
	ProtobufCType type = field->type;
	ProtobufCBinaryData data;

	if (FARCALL_UNLIKELY(!fc_pack_is_plain(field)))
		return NULL;
	if (type == PROTOBUF_C_TYPE_BYTES) {
		memcpy(&data, at, sizeof data);
		if (FARCALL_UNLIKELY(!fc_wire_is_small(data.len)))
			return data.len == 0 ? end : NULL;
		fc_wire_copy_small(end - data.len, data.data, data.len);
		end -= data.len;
		*--end = (uint8_t)data.len;
		return fc_put_key(field->id, FC_WIRE_LENGTH, end);
	}
	if (fc_pack_is_zero(type, at))
		return end;
	if (type == PROTOBUF_C_TYPE_STRING || type == PROTOBUF_C_TYPE_MESSAGE)
		return NULL;
	end = fc_put_number(type, at, end);
	return fc_put_key(field->id, fc_wire_rules[type].wire, end);
}

/* ---- payloads ---- */

static void
message_flat(const fc_payload *payload, uint8_t *to)
{
	const message_type *message = (const message_type *)payload->message;
	const field_type *first = message->descriptor->fields, *field;
	unsigned n = message->descriptor->n_fields;
	uint8_t *end = to + payload->size;

	if (FARCALL_UNLIKELY(message->n_unknown_fields != 0 || n == 0)) {
		fc_pack_message(message, end);
		return;
	}
	for (field = first + n; field != first;) {
		const field_type *next = field - 1;
		const uint8_t *at = (const uint8_t *)message + next->offset;
		uint8_t *begin = pack_simple(next, at, end);

		if (FARCALL_UNLIKELY(begin == NULL)) {
			pack_rest(message, field, end);
			return;
		}
		field = next;
		end = begin;
	}
}

/* Of fc_payload_of_message(), what needs calls. */
static bool
finish_size(fc_payload *payload, const message_type *message, const field_type *field,
    unsigned left, size_t size)
{
	fc_sizer sizer = {1, false, NULL};

	payload->size = size_rest(&sizer, message, field, left, size);
	return !sizer.too_deep;
}

bool
fc_payload_of_message(fc_payload *payload, const message_type *message)
{
	const field_type *field = message->descriptor->fields;
	unsigned left = message->descriptor->n_fields;
	size_t size = 0;

	if (FARCALL_UNLIKELY(left == 0) && fc_raw_payload(payload, message))
		return true;
	payload->flat = message_flat;
	payload->pour = fc_pour_message;
	payload->message = message;
	for (; left > 0; left--, field++) {
		const uint8_t *at = (const uint8_t *)message + field->offset;

		if (FARCALL_UNLIKELY(!add_simple(field, at, &size)))
			return finish_size(payload, message, field, left, size);
	}
	if (FARCALL_UNLIKELY(message->n_unknown_fields != 0))
		return finish_size(payload, message, field, left, size);
	payload->size = size;
	return true;
}
