/*
 * oracle.c: see oracle.h.
 */
#include "tests/unit/call/oracle.h"

#include "runtime/call/marshal.h"

#include <stdio.h>
#include <stdlib.h>

typedef ProtobufCFieldDescriptor field_type;
typedef ProtobufCMessageDescriptor message_type;

#define ONEOF(field) (((field)->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0)

static void
must(bool so, const message_type *type, const char *what)
{
	if (so)
		return;
	fprintf(stderr, "%s: %s\n", type->name, what);
	abort();
}

static ProtobufCMessage *
unpack_c(const message_type *type, const uint8_t *bytes, size_t size)
{
	return protobuf_c_message_unpack(type, NULL, size, bytes);
}

bool
oracle_takes(const message_type *type, const uint8_t *bytes, size_t size)
{
	ProtobufCMessage *message = unpack_c(type, bytes, size);

	if (message != NULL)
		protobuf_c_message_free_unpacked(message, NULL);
	return message != NULL;
}

/* ---- normal form ---- */

static uint64_t
take_varint(const uint8_t **at)
{
	uint64_t value = 0;

	for (unsigned shift = 0;; shift += 7) {
		value |= shift < 64 ? (uint64_t)(**at & 0x7f) << shift : 0;
		if (*(*at)++ < 0x80)
			return value;
	}
}

static void
pass(const uint8_t **at, uint64_t key)
{
	uint64_t n;

	switch (key & 7) {
	case W_VARINT:
		take_varint(at);
		break;
	case W_FIXED64:
		*at += 8;
		break;
	case W_FIXED32:
		*at += 4;
		break;
	case W_LENGTH:
		n = take_varint(at);
		*at += n;
		break;
	default: /* a group */
		while (((n = take_varint(at)) & 7) != W_GROUP_END)
			pass(at, n);
	}
}

/* Another member of the oneof came: the parts of its messages count no more. */
static void
forget_others(const message_type *type, const field_type *field, wire *parts, bool *came)
{
	for (unsigned i = 0; i < type->n_fields; i++) {
		const field_type *other = &type->fields[i];

		if (other != field && ONEOF(other) &&
		    other->quantifier_offset == field->quantifier_offset) {
			parts[i].size = 0;
			came[i] = false;
		}
	}
}

static void
normal_field(const message_type *type, const field_type *field, const uint8_t *start,
    const uint8_t *value, const uint8_t *end, wire *parts, bool *came, wire *to)
{
	size_t i = (size_t)(field - type->fields);
	const uint8_t *at = value;
	bool list = field->label == PROTOBUF_C_LABEL_REPEATED;
	wire inner = {0};

	if (ONEOF(field))
		forget_others(type, field, parts, came);
	if (field->type != PROTOBUF_C_TYPE_MESSAGE) {
		if (list && field->type < PROTOBUF_C_TYPE_STRING && (*start & 7) == W_LENGTH &&
		    take_varint(&at) == 0)
			return;
		wire_raw(to, start, (size_t)(end - start));
		return;
	}
	take_varint(&at);
	if (!list) {
		wire_raw(&parts[i], at, (size_t)(end - at));
		came[i] = true;
		return;
	}
	oracle_normal((const message_type *)field->descriptor, at, (size_t)(end - at), &inner);
	wire_bytes(to, field->id, inner.bytes, inner.size);
	wire_free(&inner);
}

void
oracle_normal(const message_type *type, const uint8_t *bytes, size_t size, wire *to)
{
	wire *parts = (wire *)calloc(type->n_fields + 1, sizeof *parts);
	bool *came = (bool *)calloc(type->n_fields + 1, sizeof *came);
	static const uint8_t none[1];
	const uint8_t *at;

	at = bytes = size != 0 ? bytes : none;
	must(parts != NULL && came != NULL, type, "no memory");
	while (at != bytes + size) {
		const uint8_t *start = at, *value;
		uint64_t key = take_varint(&at);
		const field_type *field =
		    protobuf_c_message_descriptor_get_field(type, (unsigned)(key >> 3));

		value = at;
		pass(&at, key);
		if (field != NULL)
			normal_field(type, field, start, value, at, parts, came, to);
		else if ((key & 7) != W_GROUP)
			wire_raw(to, start, (size_t)(at - start));
	}
	for (unsigned i = 0; i < type->n_fields; i++) {
		wire inner = {0};

		if (came[i]) {
			oracle_normal((const message_type *)type->fields[i].descriptor,
			    parts[i].bytes, parts[i].size, &inner);
			wire_bytes(to, type->fields[i].id, inner.bytes, inner.size);
		}
		wire_free(&inner);
		wire_free(&parts[i]);
	}
	free(parts);
	free(came);
}

/* ---- equal ---- */

static void same(const ProtobufCMessage *a, const ProtobufCMessage *b);

static size_t
element_size(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return 8;
	default:
		return 4;
	}
}

static void
same_value(const message_type *type, const field_type *field, const void *a, const void *b)
{
	const ProtobufCBinaryData *x = (const ProtobufCBinaryData *)a;
	const ProtobufCBinaryData *y = (const ProtobufCBinaryData *)b;
	const void *p, *q;

	if (field->type == PROTOBUF_C_TYPE_BYTES) {
		must(x->len == y->len && (x->data == NULL) == (y->data == NULL), type, field->name);
		must(x->len == 0 || memcmp(x->data, y->data, x->len) == 0, type, field->name);
		return;
	}
	if (field->type != PROTOBUF_C_TYPE_STRING && field->type != PROTOBUF_C_TYPE_MESSAGE) {
		must(memcmp(a, b, element_size(field->type)) == 0, type, field->name);
		return;
	}
	memcpy(&p, a, sizeof p);
	memcpy(&q, b, sizeof q);
	must((p == NULL) == (q == NULL), type, field->name);
	must((p == field->default_value) == (q == field->default_value), type, field->name);
	if (p == NULL)
		return;
	if (field->type == PROTOBUF_C_TYPE_MESSAGE)
		same((const ProtobufCMessage *)p, (const ProtobufCMessage *)q);
	else
		must(strcmp((const char *)p, (const char *)q) == 0, type, field->name);
}

static void
same_list(const message_type *type, const field_type *field, const uint8_t *a, const uint8_t *b)
{
	size_t size = element_size(field->type), n, m;
	const uint8_t *p, *q;

	memcpy(&n, a + field->quantifier_offset, sizeof n);
	memcpy(&m, b + field->quantifier_offset, sizeof m);
	memcpy(&p, a + field->offset, sizeof p);
	memcpy(&q, b + field->offset, sizeof q);
	must(n == m && (p == NULL) == (q == NULL), type, field->name);
	must(p == NULL || ((uintptr_t)p & 15) == 0, type, "a list that is not aligned");
	for (size_t i = 0; i < n; i++)
		same_value(type, field, p + i * size, q + i * size);
}

static void
same_unknown(const ProtobufCMessage *a, const ProtobufCMessage *b)
{
	must(a->n_unknown_fields == b->n_unknown_fields, a->descriptor, "unknown fields");
	for (unsigned i = 0; i < a->n_unknown_fields; i++) {
		const ProtobufCMessageUnknownField *x = &a->unknown_fields[i];
		const ProtobufCMessageUnknownField *y = &b->unknown_fields[i];

		must(x->tag == y->tag && x->wire_type == y->wire_type && x->len == y->len,
		    a->descriptor, "an unknown field");
		must(memcmp(x->data, y->data, x->len) == 0, a->descriptor, "an unknown value");
	}
}

static void
same(const ProtobufCMessage *a, const ProtobufCMessage *b)
{
	const message_type *type = a->descriptor;

	must(type == b->descriptor, type, "another type");
	for (unsigned i = 0; i < type->n_fields; i++) {
		const field_type *field = &type->fields[i];
		const uint8_t *x = (const uint8_t *)a, *y = (const uint8_t *)b;
		uint32_t mark = field->id;

		if (field->label == PROTOBUF_C_LABEL_REPEATED) {
			same_list(type, field, x, y);
			continue;
		}
		if (field->quantifier_offset != 0) {
			must(memcmp(x + field->quantifier_offset, y + field->quantifier_offset,
			         sizeof mark) == 0,
			    type, field->name);
			memcpy(&mark, x + field->quantifier_offset, sizeof mark);
		}
		if (!ONEOF(field) || mark == field->id)
			same_value(type, field, x + field->offset, y + field->offset);
	}
	same_unknown(a, b);
}

/* ---- packing ---- */

typedef struct test_sink {
	fc_sink base;
	wire got;
} test_sink;

static void
sink_add(fc_sink *sink, const uint8_t *bytes, size_t size)
{
	if (size == 0)
		abort();
	wire_raw(&((test_sink *)(void *)sink)->got, bytes, size);
}

void
oracle_pack(const ProtobufCMessage *message)
{
	size_t size = protobuf_c_message_get_packed_size(message);
	uint8_t *theirs = (uint8_t *)malloc(size + 1), *ours = (uint8_t *)malloc(size + 1);
	test_sink sink = {{sink_add}, {0}};
	fc_payload payload;

	must(theirs != NULL && ours != NULL, message->descriptor, "no memory");
	protobuf_c_message_pack(message, theirs);
	must(fc_payload_of_message(&payload, message), message->descriptor, "too deep");
	must(payload.size == size, message->descriptor, "packed size");
	ours[size] = 0xee;
	payload.flat(&payload, ours);
	must(memcmp(ours, theirs, size) == 0, message->descriptor, "packed");
	must(ours[size] == 0xee, message->descriptor, "packed too far");
	payload.pour(&payload, &sink.base);
	must(sink.got.size == size, message->descriptor, "poured size");
	must(size == 0 || memcmp(sink.got.bytes, theirs, size) == 0, message->descriptor, "poured");
	wire_free(&sink.got);
	free(theirs);
	free(ours);
}

void
oracle_unpacked(
    const message_type *type, const uint8_t *bytes, size_t size, const ProtobufCMessage *ours)
{
	ProtobufCMessage *theirs;
	wire normal = {0};

	oracle_normal(type, bytes, size, &normal);
	theirs = unpack_c(type, normal.bytes, normal.size);
	must(theirs != NULL, type, "refused by protobuf-c");
	same(ours, theirs);
	oracle_pack(ours);
	protobuf_c_message_free_unpacked(theirs, NULL);
	wire_free(&normal);
}
