/*
 * size_any.c: how many bytes a field of any kind packs to (pack.c has the short cut for plain
 * ones), and whether it may be packed at all: a message that is nested too deep, as one that holds
 * itself, is found here, so what packs it need not look.
 */
#include "runtime/call/pack.h"

typedef ProtobufCFieldDescriptor field_type;
typedef ProtobufCMessage message_type;

/* ---- is it there? ---- */

bool
fc_pack_has(const message_type *message, const field_type *field)
{
	const uint8_t *at = (const uint8_t *)message + field->offset;
	bool oneof = (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;
	const void *pointer;
	uint32_t mark = 1;

	if (fc_pack_is_plain(field))
		return !fc_pack_is_zero(field->type, at);
	if (field->label == PROTOBUF_C_LABEL_REQUIRED)
		return true;
	if (field->quantifier_offset != 0)
		memcpy(&mark, (const uint8_t *)message + field->quantifier_offset, sizeof mark);
	if (oneof && mark != field->id)
		return false;
	if (field->type != PROTOBUF_C_TYPE_STRING && field->type != PROTOBUF_C_TYPE_MESSAGE)
		return mark != 0;
	memcpy(&pointer, at, sizeof pointer);
	return pointer != NULL && pointer != field->default_value;
}

/* ---- sizes remembered ---- */

static unsigned
place_of(const message_type *message, unsigned try)
{
	return (unsigned)(((uintptr_t)message >> 4) * 31 + try) % FC_PACK_KNOWN;
}

static size_t
recall(const fc_known *known, const message_type *message)
{
	for (unsigned try = 0; try < FC_PACK_TRIES; try++) {
		unsigned i = place_of(message, try);

		if (known->message[i] == message)
			return known->size[i];
	}
	return 0;
}

static void
remember(fc_known *known, const message_type *message, size_t size)
{
	for (unsigned try = 0; try < FC_PACK_TRIES; try++) {
		unsigned i = place_of(message, try);

		if (known->message[i] == NULL || known->message[i] == message) {
			known->message[i] = message;
			known->size[i] = size;
			return;
		}
	}
}

/* ---- sizes ---- */

static inline size_t
size_contents(fc_sizer *s, const field_type *field, const void *at)
{
	const message_type *message;
	const char *text;
	size_t size;

	switch (field->type) {
	case PROTOBUF_C_TYPE_STRING:
		memcpy(&text, at, sizeof text);
		return fc_size_length(text != NULL ? strlen(text) : 0);
	case PROTOBUF_C_TYPE_BYTES:
		memcpy(&size, at, sizeof size);
		return fc_size_length(size);
	case PROTOBUF_C_TYPE_MESSAGE:
		message = fc_pack_submessage(at);
		return fc_size_length(message != NULL ? fc_size_submessage(s, message) : 0);
	default:
		return fc_size_number(field->type, at);
	}
}

size_t
fc_size_value(fc_sizer *s, const field_type *field, const void *at)
{
	return fc_size_key(field->id) + size_contents(s, field, at);
}

size_t
fc_size_numbers(const field_type *field, const uint8_t *at, size_t n)
{
	const fc_wire_rule *rule = &fc_wire_rules[field->type];
	size_t size = 0;

	if (rule->wire != FC_WIRE_VARINT)
		return n * rule->element;
	if (field->type == PROTOBUF_C_TYPE_BOOL)
		return n;
	for (; n > 0; n--, at += rule->element)
		size += fc_size_number(field->type, at);
	return size;
}

static size_t
size_list(fc_sizer *s, const message_type *message, const field_type *field)
{
	const uint8_t *at;
	size_t n = fc_pack_list(message, field, &at), size;

	if (n == 0)
		return 0;
	if ((field->flags & PROTOBUF_C_FIELD_FLAG_PACKED) != 0)
		return fc_size_key(field->id) + fc_size_length(fc_size_numbers(field, at, n));
	size = n * fc_size_key(field->id);
	if (fc_wire_rules[field->type].packable)
		return size + fc_size_numbers(field, at, n);
	for (; n > 0 && !s->too_deep; n--, at += fc_wire_rules[field->type].element)
		size += size_contents(s, field, at);
	return size;
}

size_t
fc_size_unknown(const message_type *message)
{
	size_t size = 0;

	for (size_t i = 0; i < message->n_unknown_fields; i++)
		size +=
		    fc_size_key(message->unknown_fields[i].tag) + message->unknown_fields[i].len;
	return size;
}

/* Of a field that is not plain; 0 if it is not there. */
size_t
fc_size_field(fc_sizer *s, const message_type *message, const field_type *field)
{
	if (field->label == PROTOBUF_C_LABEL_REPEATED)
		return size_list(s, message, field);
	if (!fc_pack_has(message, field))
		return 0;
	return fc_size_value(s, field, (const uint8_t *)message + field->offset);
}

size_t
fc_size_submessage(fc_sizer *s, const message_type *message)
{
	size_t size;

	if (FARCALL_UNLIKELY(s->depth >= FC_MARSHAL_DEPTH || s->too_deep)) {
		s->too_deep = true;
		return 0;
	}
	if (s->known != NULL && (size = recall(s->known, message)) != 0)
		return size;
	s->depth++;
	size = fc_size_message(s, message);
	s->depth--;
	if (s->known != NULL && size > FC_PACK_BIG)
		remember(s->known, message, size);
	return size;
}
