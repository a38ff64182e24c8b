/*
 * pack_any.c: fields of any kind, backwards (pack.c): lists from their last element on, and a
 * submessage before its length.
 */
#include "runtime/call/pack.h"

typedef ProtobufCFieldDescriptor field_type;
typedef ProtobufCMessage message_type;

static inline uint8_t *
put_value(const field_type *field, const void *at, uint8_t *end)
{
	const message_type *message;
	const char *text;
	ProtobufCBinaryData data;
	uint8_t *begin = end;

	switch (field->type) {
	case PROTOBUF_C_TYPE_STRING:
		memcpy(&text, at, sizeof text);
		end = fc_put_bytes(text, text != NULL ? strlen(text) : 0, end);
		break;
	case PROTOBUF_C_TYPE_BYTES:
		memcpy(&data, at, sizeof data);
		end = fc_put_bytes(data.data, data.len, end);
		break;
	case PROTOBUF_C_TYPE_MESSAGE:
		message = fc_pack_submessage(at);
		if (message != NULL)
			begin = fc_pack_message(message, end);
		end = fc_put_varint((uint64_t)(end - begin), begin);
		break;
	default:
		end = fc_put_number(field->type, at, end);
		break;
	}
	return fc_put_key(field->id, fc_wire_rules[field->type].wire, end);
}

uint8_t *
fc_pack_value(const field_type *field, const void *at, uint8_t *end)
{
	return put_value(field, at, end);
}

uint8_t *
fc_pack_numbers(const field_type *field, const uint8_t *at, size_t n, uint8_t *end)
{
	const fc_wire_rule *rule = &fc_wire_rules[field->type];

	if (rule->wire != FC_WIRE_VARINT && fc_wire_is_native()) {
		memcpy(end - n * rule->element, at, n * rule->element);
		return end - n * rule->element;
	}
	for (at += n * rule->element; n > 0; n--) {
		at -= rule->element;
		end = fc_put_number(field->type, at, end);
	}
	return end;
}

static uint8_t *
put_list(const message_type *message, const field_type *field, uint8_t *end)
{
	size_t element = fc_wire_rules[field->type].element;
	const uint8_t *at;
	size_t n = fc_pack_list(message, field, &at);
	uint8_t *begin;

	if (n == 0)
		return end;
	if ((field->flags & PROTOBUF_C_FIELD_FLAG_PACKED) != 0) {
		begin = fc_pack_numbers(field, at, n, end);
		end = fc_put_varint((uint64_t)(end - begin), begin);
		return fc_put_key(field->id, FC_WIRE_LENGTH, end);
	}
	for (at += n * element; n > 0; n--) {
		at -= element;
		end = put_value(field, at, end);
	}
	return end;
}

uint8_t *
fc_pack_unknown(const message_type *message, uint8_t *end)
{
	for (size_t n = message->n_unknown_fields; n > 0; n--) {
		const ProtobufCMessageUnknownField *field = &message->unknown_fields[n - 1];

		end -= field->len;
		if (field->len != 0)
			memcpy(end, field->data, field->len);
		end = fc_put_key(field->tag, field->wire_type, end);
	}
	return end;
}

/* A field that is not plain; `end` if it is not there. */
uint8_t *
fc_pack_field(const message_type *message, const field_type *field, uint8_t *end)
{
	if (field->label == PROTOBUF_C_LABEL_REPEATED)
		return put_list(message, field, end);
	if (!fc_pack_has(message, field))
		return end;
	return put_value(field, (const uint8_t *)message + field->offset, end);
}
