/*
 * unpack_other.c: fields that the descriptor does not know. They are kept with the message, as
 * protobuf-c keeps them, and packed again with it; but groups are passed over: protobuf-c's entry
 * for an unknown field has no form for them.
 */
#include "runtime/call/unpack.h"

typedef fc_level level;
typedef fc_unpacker unpacker;
typedef ProtobufCMessageUnknownField unknown_type;

/* Passes over a group whose start has been read, and all within it. */
static const uint8_t *
skip_group(unpacker *u, const level *l, uint32_t number, const uint8_t *at)
{
	uint32_t open[FC_MARSHAL_DEPTH], key;
	const uint8_t *next;
	size_t n = 0;

	for (;;) {
		if (l->depth + n >= u->depth)
			return fc_unpack_limit(u, l, NULL, "nested deeper than %u", u->depth);
		open[n++] = number;
		do {
			if (at == l->end)
				return fc_unpack_bad(
				    u, l, NULL, "group %u has no end", open[n - 1]);
			u->field = at;
			at = fc_wire_key(at, l->end, &key);
			if (at == NULL)
				return fc_unpack_bad_key(u, l);
			if (!fc_unpack_count(u, l, NULL, 1))
				return NULL;
			number = key >> 3;
			if ((key & 7) == FC_WIRE_GROUP)
				break;
			if ((key & 7) == FC_WIRE_GROUP_END) {
				if (number != open[--n])
					return fc_unpack_bad(u, l, NULL,
					    "group %u ended by %u at byte %zu", open[n], number,
					    fc_unpack_offset(u));
				continue;
			}
			next = fc_wire_pass(at, l->end, key & 7);
			if (next == NULL)
				return fc_unpack_bad_value(u, l, NULL, key & 7, at);
			at = next;
		} while (n != 0);
		if (n == 0)
			return at;
	}
}

/* Unknown fields from the value at `at` on, in all the rest of the message or up to a group: each
 * field is looked at once for this. */
static size_t
count_unknown(const level *l, uint32_t key, const uint8_t *at)
{
	size_t n = 0;

	for (;;) {
		if (fc_unpack_search(l->type, key >> 3) == NULL)
			n++;
		at = fc_wire_pass(at, l->end, key & 7);
		if (at == NULL || at == l->end)
			return n;
		at = fc_wire_key(at, l->end, &key);
		if (at == NULL)
			return n;
	}
}

static bool
make_room(unpacker *u, level *l, uint32_t key, const uint8_t *at)
{
	size_t n = count_unknown(l, key, at);

	if (n > u->memory_left / (sizeof(unknown_type) + 16))
		return fc_unpack_limit(
		           u, l, NULL, "takes more than %zu bytes of memory", u->memory) != NULL;
	l->unknown_room = n;
	return fc_unpack_room(u, l, NULL, &l->message->unknown_fields, l->message->n_unknown_fields,
	           n, sizeof(unknown_type)) != NULL;
}

const uint8_t *
fc_unpack_unknown(unpacker *u, level *l, uint32_t key, const uint8_t *at)
{
	const uint8_t *end;
	unknown_type *entry;

	if ((key & 7) == FC_WIRE_GROUP)
		return skip_group(u, l, key >> 3, at);
	end = fc_wire_pass(at, l->end, key & 7);
	if (end == NULL)
		return fc_unpack_bad_value(u, l, NULL, key & 7, at);
	if (l->unknown_room == 0 && !make_room(u, l, key, at))
		return NULL;
	l->unknown_room--;
	entry = &l->message->unknown_fields[l->message->n_unknown_fields++];
	entry->tag = key >> 3;
	entry->wire_type = (ProtobufCWireType)(key & 7);
	entry->len = (size_t)(end - at);
	entry->data = (uint8_t *)fc_unpack_take(u, l, NULL, entry->len);
	if (entry->data == NULL)
		return NULL;
	memcpy(entry->data, at, entry->len);
	return end;
}
