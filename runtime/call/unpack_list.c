/*
 * unpack_list.c: repeated fields. Elements of one list mostly stand in a row on the wire: the row
 * is counted first, which costs little, and its array taken in one piece of the exact size. A list
 * that goes on behind other fields moves to a larger array; from MANY elements on an array has a
 * head that says what it has room for, and at least doubles, so that moving stays linear.
 */
#include "runtime/call/unpack.h"

typedef fc_level level;
typedef fc_unpacker unpacker;
typedef ProtobufCFieldDescriptor field_type;

#define MANY 8u
#define HEAD 16u /* before the array: its room; keeps the array aligned */

static size_t
room_of(const uint8_t *array, size_t held)
{
	size_t room = held;

	if (held >= MANY)
		memcpy(&room, array - HEAD, sizeof room);
	return room;
}

uint8_t *
fc_unpack_room(unpacker *u, const level *l, const field_type *field, void *list, size_t held,
    size_t n, size_t element)
{
	size_t room = held + n, head = room >= MANY ? HEAD : 0;
	uint8_t *array, *larger;

	memcpy(&array, list, sizeof array);
	if (held != 0 && room <= room_of(array, held))
		return array + held * element;
	if (held != 0 && head != 0)
		room = FC_MAX(room, 2 * held);
	if (room > u->memory_left / element) {
		fc_unpack_limit(u, l, field, "takes more than %zu bytes of memory", u->memory);
		return NULL;
	}
	larger = (uint8_t *)fc_unpack_take(u, l, field, head + room * element);
	if (larger == NULL)
		return NULL;
	if (head != 0)
		memcpy(larger, &room, sizeof room);
	larger += head;
	if (held != 0)
		memcpy(larger, array, held * element);
	memcpy(list, &larger, sizeof larger);
	return larger + held * element;
}

/* Room for `n` more, which are then held, in l->message. */
static uint8_t *
add_room(unpacker *u, const level *l, const field_type *field, size_t n)
{
	uint8_t *message = (uint8_t *)l->message, *room;
	size_t held;

	memcpy(&held, message + field->quantifier_offset, sizeof held);
	room = fc_unpack_room(
	    u, l, field, message + field->offset, held, n, fc_wire_rules[field->type].element);
	held += n;
	memcpy(message + field->quantifier_offset, &held, sizeof held);
	return room;
}

/* ---- packed ---- */

/* Numbers that a packed list of varints holds; each ends with a byte below 0x80. */
static size_t
count_numbers(const uint8_t *at, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < size; i++)
		n += at[i] < 0x80;
	return n;
}

/* Gives where it stopped: at `end`, or at a number that is wrong. */
static const uint8_t *
read_numbers32(const uint8_t *at, const uint8_t *end, uint8_t *to, bool zigzag)
{
	while (at != end) {
		uint64_t v;
		uint32_t number;
		const uint8_t *next = fc_wire_varint(at, end, &v);

		if (FARCALL_UNLIKELY(next == NULL))
			break;
		number = zigzag ? fc_wire_unzigzag32((uint32_t)v) : (uint32_t)v;
		memcpy(to, &number, sizeof number);
		to += sizeof number;
		at = next;
	}
	return at;
}

static const uint8_t *
read_numbers64(const uint8_t *at, const uint8_t *end, uint8_t *to, bool zigzag)
{
	while (at != end) {
		uint64_t v;
		const uint8_t *next = fc_wire_varint(at, end, &v);

		if (FARCALL_UNLIKELY(next == NULL))
			break;
		if (zigzag)
			v = fc_wire_unzigzag64(v);
		memcpy(to, &v, sizeof v);
		to += sizeof v;
		at = next;
	}
	return at;
}

static const uint8_t *
read_others(unpacker *u, const level *l, const field_type *field, const uint8_t *at,
    const uint8_t *end, uint8_t *to)
{
	level part = *l;

	part.end = end;
	while (at != end) {
		const uint8_t *next = at;
		uint64_t ignored;

		if (fc_wire_rules[field->type].wire == FC_WIRE_VARINT &&
		    fc_wire_varint(at, end, &ignored) == NULL)
			break;
		next = fc_unpack_value(u, &part, field, at, to);
		to += fc_wire_rules[field->type].element;
		at = next;
	}
	return at;
}

static const uint8_t *
read_packed(unpacker *u, const level *l, const field_type *field, const uint8_t *at,
    const uint8_t *end, uint8_t *to)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_ENUM:
		return read_numbers32(at, end, to, false);
	case PROTOBUF_C_TYPE_SINT32:
		return read_numbers32(at, end, to, true);
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_UINT64:
		return read_numbers64(at, end, to, false);
	case PROTOBUF_C_TYPE_SINT64:
		return read_numbers64(at, end, to, true);
	default:
		break;
	}
	if (field->type != PROTOBUF_C_TYPE_BOOL && fc_wire_is_native()) {
		memcpy(to, at, (size_t)(end - at));
		return end;
	}
	return read_others(u, l, field, at, end, to);
}

static const uint8_t *
packed_list(unpacker *u, const level *l, const field_type *field, const uint8_t *at)
{
	const fc_wire_rule *rule = &fc_wire_rules[field->type];
	const uint8_t *from = at, *end, *stop;
	uint8_t *to;
	size_t size, n;

	at = fc_wire_length(at, l->end, &size);
	if (at == NULL)
		return fc_unpack_bad_value(u, l, field, FC_WIRE_LENGTH, from);
	end = at + size;
	n = rule->wire == FC_WIRE_VARINT ? count_numbers(at, size) : size / rule->element;
	if (rule->wire != FC_WIRE_VARINT && size % rule->element != 0)
		return fc_unpack_bad(u, l, field,
		    "a packed list of %zu bytes, not a multiple of %u", size, rule->element);
	if (size == 0)
		return end;
	if (!fc_unpack_count(u, l, field, n))
		return NULL;
	to = add_room(u, l, field, n);
	if (to == NULL)
		return NULL;
	stop = read_packed(u, l, field, at, end, to);
	if (stop == end)
		return end;
	if (end - stop >= FC_WIRE_MAX_VARINT)
		return fc_unpack_bad(u, l, field, "varint of more than %d bytes at byte %zu",
		    FC_WIRE_MAX_VARINT, (size_t)(stop - at));
	return fc_unpack_bad(u, l, field, "varint cut off at byte %zu", (size_t)(stop - at));
}

/* ---- one by one ---- */

/* Elements in a row with the key at u->field, from the value at `at` on; one that is wrong is
 * counted as the last. */
static size_t
count_row(const unpacker *u, const level *l, unsigned wire, const uint8_t *at)
{
	size_t key = (size_t)(at - u->field), n = 0;

	for (;;) {
		at = fc_wire_pass(at, l->end, wire);
		n++;
		if (at == NULL || (size_t)(l->end - at) < key || *at != *u->field ||
		    memcmp(at, u->field, key) != 0)
			return n;
		at += key;
	}
}

/* What an element takes at least, beside its place in the array. */
static size_t
least_memory(const field_type *field)
{
	if (field->type == PROTOBUF_C_TYPE_STRING)
		return 16;
	if (field->type != PROTOBUF_C_TYPE_MESSAGE)
		return 0;
	return FC_ROUNDED(((const ProtobufCMessageDescriptor *)field->descriptor)->sizeof_message);
}

static const uint8_t *
one_message(unpacker *u, const level *l, const field_type *field, const uint8_t *at, uint8_t *to)
{
	ProtobufCMessage *message = NULL;
	const uint8_t *from = at;
	size_t size;

	at = fc_wire_length(at, l->end, &size);
	if (FARCALL_UNLIKELY(at == NULL))
		return fc_unpack_bad_value(u, l, field, FC_WIRE_LENGTH, from);
	if (!fc_unpack_message(u, l, field, at, at + size, &message))
		return NULL;
	memcpy(to, &message, sizeof message);
	return at + size;
}

const uint8_t *
fc_unpack_list(
    unpacker *u, const level *l, const field_type *field, unsigned wire, const uint8_t *at)
{
	const fc_wire_rule *rule = &fc_wire_rules[field->type];
	size_t key = (size_t)(at - u->field), n, each = rule->element + least_memory(field);
	uint8_t *to;

	if (FARCALL_UNLIKELY(wire != rule->wire)) {
		if (wire == FC_WIRE_LENGTH && rule->packable)
			return packed_list(u, l, field, at);
		return fc_unpack_bad_wire(u, l, field, wire);
	}
	n = count_row(u, l, wire, at);
	if (!fc_unpack_count(u, l, field, n - 1))
		return NULL;
	if (n > u->memory_left / each)
		return fc_unpack_limit(
		    u, l, field, "takes more than %zu bytes of memory", u->memory);
	to = add_room(u, l, field, n);
	if (to == NULL)
		return NULL;
	for (;; to += rule->element) {
		if (field->type == PROTOBUF_C_TYPE_MESSAGE)
			at = one_message(u, l, field, at, to);
		else
			at = fc_unpack_value(u, l, field, at, to);
		if (FARCALL_UNLIKELY(at == NULL) || --n == 0)
			return at;
		u->field = at;
		at += key;
	}
}
