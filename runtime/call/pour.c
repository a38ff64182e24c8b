/*
 * pour.c: a message through a sink, from its beginning on, for those too large to be packed in one
 * piece. What is small is packed backwards into a buffer on the stack (pack.c) and given on when
 * that is full; large strings and bytes go to the sink from where they are. A message that is large
 * itself must have its size said before it: such sizes are remembered, so a message is sized two or
 * three times, not once for each message around it.
 */
#include "runtime/call/pack.h"

typedef ProtobufCFieldDescriptor field_type;
typedef ProtobufCMessage message_type;

#define MAX_HEAD 20u /* bytes of a key and a length */

typedef struct pour {
	fc_sink *sink;
	size_t used;
	fc_sizer sizer;
	fc_known known;
	uint8_t buffer[FC_PACK_BIG];
} pour;

static void pour_message(pour *p, const message_type *message);

static void
flush(pour *p)
{
	if (p->used != 0)
		p->sink->add(p->sink, p->buffer, p->used);
	p->used = 0;
}

/* The end of so many free bytes, at most FC_PACK_BIG, to be filled. */
static uint8_t *
reserve(pour *p, size_t size)
{
	if (size > sizeof p->buffer - p->used)
		flush(p);
	p->used += size;
	return p->buffer + p->used;
}

static void
put_head(pour *p, uint32_t number, unsigned wire, size_t length)
{
	uint8_t head[MAX_HEAD], *end = head + sizeof head, *at = fc_put_varint(length, end);
	size_t size;

	at = fc_put_key(number, wire, at);
	size = (size_t)(end - at);
	memcpy(reserve(p, size) - size, at, size);
}

static void
put_bytes(pour *p, const void *bytes, size_t size)
{
	if (size > FC_PACK_BIG) {
		flush(p);
		p->sink->add(p->sink, (const uint8_t *)bytes, size);
	} else if (size != 0) {
		memcpy(reserve(p, size) - size, bytes, size);
	}
}

static void
pour_large(pour *p, const field_type *field, const void *at)
{
	const message_type *message;
	ProtobufCBinaryData data;
	const char *text;

	if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
		message = fc_pack_submessage(at);
		put_head(p, field->id, FC_WIRE_LENGTH, fc_size_submessage(&p->sizer, message));
		pour_message(p, message);
	} else if (field->type == PROTOBUF_C_TYPE_STRING) {
		memcpy(&text, at, sizeof text);
		put_head(p, field->id, FC_WIRE_LENGTH, strlen(text));
		put_bytes(p, text, strlen(text));
	} else {
		memcpy(&data, at, sizeof data);
		put_head(p, field->id, FC_WIRE_LENGTH, data.len);
		put_bytes(p, data.data, data.len);
	}
}

static void
pour_value(pour *p, const field_type *field, const void *at)
{
	size_t size = fc_size_value(&p->sizer, field, at);

	if (size <= FC_PACK_BIG)
		fc_pack_value(field, at, reserve(p, size));
	else
		pour_large(p, field, at);
}

static void
pour_packed(pour *p, const field_type *field, const uint8_t *at, size_t n)
{
	size_t element = fc_wire_rules[field->type].element;

	put_head(p, field->id, FC_WIRE_LENGTH, fc_size_numbers(field, at, n));
	while (n > 0) {
		size_t part = FC_MIN(n, FC_PACK_BIG / FC_WIRE_MAX_VARINT);

		fc_pack_numbers(field, at, part, reserve(p, fc_size_numbers(field, at, part)));
		at += part * element;
		n -= part;
	}
}

static void
pour_list(pour *p, const message_type *message, const field_type *field)
{
	const uint8_t *at;
	size_t n = fc_pack_list(message, field, &at);

	if (n != 0 && (field->flags & PROTOBUF_C_FIELD_FLAG_PACKED) != 0) {
		pour_packed(p, field, at, n);
		return;
	}
	for (; n > 0; n--, at += fc_wire_rules[field->type].element)
		pour_value(p, field, at);
}

static void
pour_unknown(pour *p, const ProtobufCMessageUnknownField *field)
{
	uint8_t key[MAX_HEAD], *end = key + sizeof key;
	uint8_t *at = fc_put_key(field->tag, field->wire_type, end);

	put_bytes(p, at, (size_t)(end - at));
	put_bytes(p, field->data, field->len);
}

/* Recurses no deeper than sizing did before it. */
static void
pour_message(pour *p, const message_type *message)
{
	const field_type *field = message->descriptor->fields;

	p->sizer.depth++;
	for (unsigned n = message->descriptor->n_fields; n > 0; n--, field++) {
		if (field->label == PROTOBUF_C_LABEL_REPEATED)
			pour_list(p, message, field);
		else if (fc_pack_has(message, field))
			pour_value(p, field, (const uint8_t *)message + field->offset);
	}
	for (size_t i = 0; i < message->n_unknown_fields; i++)
		pour_unknown(p, &message->unknown_fields[i]);
	p->sizer.depth--;
}

void
fc_pour_message(const fc_payload *payload, fc_sink *sink)
{
	pour p;

	p.sink = sink;
	p.used = 0;
	p.sizer.depth = 0;
	p.sizer.too_deep = false;
	p.sizer.known = &p.known;
	memset(&p.known, 0, sizeof p.known);
	pour_message(&p, (const message_type *)payload->message);
	flush(&p);
}
