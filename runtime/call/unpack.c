/*
 * unpack.c: bytes to a message, in one pass that checks and fills; lists and unknown fields are in
 * files of their own. Memory is taken of the arena as the bytes ask for it, each piece charged to
 * the budget first, so what a peer can make us hold is what the limits say. Submessages recurse, at
 * most 100 deep, some hundred bytes of stack each. Time is linear in the bytes; a message that
 * fails is simply left in the arena.
 */
#include "runtime/call/unpack_plain.h"

typedef fc_level level;
typedef fc_unpacker unpacker;
typedef ProtobufCFieldDescriptor field_type;
typedef ProtobufCMessageDescriptor message_type;

/* ---- budgets ---- */

static inline void *
take(unpacker *u, const level *l, const field_type *field, size_t size)
{
	size_t rounded = FC_ROUNDED(size);
	void *memory;

	if (FARCALL_UNLIKELY(rounded > u->memory_left)) {
		fc_unpack_limit(u, l, field, "takes more than %zu bytes of memory", u->memory);
		return NULL;
	}
	u->memory_left -= rounded;
	memory = fc_arena_alloc(u->arena, size);
	if (FARCALL_UNLIKELY(memory == NULL))
		fc_unpack_no_memory(u, l);
	return memory;
}

void *
fc_unpack_take(unpacker *u, const level *l, const field_type *field, size_t size)
{
	return take(u, l, field, size);
}

static inline bool
count(unpacker *u, const level *l, const field_type *field, size_t n)
{
	if (FARCALL_UNLIKELY(n > u->elements_left))
		return fc_unpack_limit(u, l, field, "more than %zu elements", u->elements) != NULL;
	u->elements_left -= n;
	return true;
}

bool
fc_unpack_count(unpacker *u, const level *l, const field_type *field, size_t n)
{
	return count(u, l, field, n);
}

/* ---- values ---- */

static inline const uint8_t *
set_text(unpacker *u, const level *l, const field_type *field, const uint8_t *at, void *to)
{
	size_t size, good;
	char *copy;

	at = fc_wire_length(at, l->end, &size);
	if (FARCALL_UNLIKELY(at == NULL))
		return NULL;
	if (!fc_utf8_plain(at, size)) {
		good = fc_utf8_check(at, size);
		if (FARCALL_UNLIKELY(good != size))
			return fc_unpack_bad(u, l, field, "%s at byte %zu",
			    at[good] == 0 ? "NUL" : "not UTF-8", good);
	}
	copy = (char *)take(u, l, field, size + 1);
	if (FARCALL_UNLIKELY(copy == NULL))
		return NULL;
	memcpy(copy, at, size);
	copy[size] = 0;
	memcpy(to, &copy, sizeof copy);
	return at + size;
}

static inline const uint8_t *
set_data(unpacker *u, const level *l, const field_type *field, const uint8_t *at, void *to)
{
	ProtobufCBinaryData copy = {0, NULL};

	at = fc_wire_length(at, l->end, &copy.len);
	if (FARCALL_UNLIKELY(at == NULL))
		return NULL;
	if (copy.len != 0) {
		copy.data = (uint8_t *)take(u, l, field, copy.len);
		if (FARCALL_UNLIKELY(copy.data == NULL))
			return NULL;
		memcpy(copy.data, at, copy.len);
	}
	memcpy(to, &copy, sizeof copy);
	return at + copy.len;
}

/* NULL: if nothing has been said yet, the bytes are wrong. */
static inline const uint8_t *
read_value(unpacker *u, const level *l, const field_type *field, const uint8_t *at, void *to)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_STRING:
		return set_text(u, l, field, at, to);
	case PROTOBUF_C_TYPE_BYTES:
		return set_data(u, l, field, at, to);
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_FLOAT:
		if (FARCALL_UNLIKELY(l->end - at < 4))
			return NULL;
		fc_set32(to, fc_wire_get32(at));
		return at + 4;
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		if (FARCALL_UNLIKELY(l->end - at < 8))
			return NULL;
		fc_set64(to, fc_wire_get64(at));
		return at + 8;
	default:
		return fc_set_number(field->type, at, l->end, to);
	}
}

static inline const uint8_t *
value(unpacker *u, const level *l, const field_type *field, const uint8_t *at, void *to)
{
	const uint8_t *next = read_value(u, l, field, at, to);

	if (FARCALL_UNLIKELY(next == NULL) && u->code == FARCALL_OK)
		return fc_unpack_bad_value(u, l, field, fc_wire_rules[field->type].wire, at);
	return next;
}

const uint8_t *
fc_unpack_value(unpacker *u, const level *l, const field_type *field, const uint8_t *at, void *to)
{
	return value(u, l, field, at, to);
}

/* ---- fields ---- */

const field_type *
fc_unpack_search(const message_type *type, uint32_t number)
{
	unsigned from = 0, to = type->n_fields;

	while (from < to) {
		unsigned middle = from + (to - from) / 2;

		if (type->fields[middle].id == number)
			return &type->fields[middle];
		if (type->fields[middle].id < number)
			from = middle + 1;
		else
			to = middle;
	}
	return NULL;
}

/* Looks first where the field stands if the sender goes through them in order. */
static inline const field_type *
find_field(level *l, uint32_t number)
{
	const message_type *type = l->type;
	const field_type *field;

	for (unsigned i = l->expected; i < type->n_fields && i < l->expected + 2; i++) {
		field = &type->fields[i];
		if (FARCALL_LIKELY(field->id == number)) {
			l->expected = i;
			return field;
		}
	}
	field = fc_unpack_search(type, number);
	if (field != NULL)
		l->expected = (unsigned)(field - type->fields);
	return field;
}

static bool
note_required(unpacker *u, level *l, const field_type *field)
{
	size_t i = (size_t)(field - l->type->fields);
	size_t size = ((size_t)l->type->n_fields + 63) / 64 * sizeof *l->seen_more;

	if (i < 64) {
		l->seen |= UINT64_C(1) << i;
		return true;
	}
	if (l->seen_more == NULL) {
		l->seen_more = (uint64_t *)take(u, l, NULL, size);
		if (l->seen_more == NULL)
			return false;
		memset(l->seen_more, 0, size);
	}
	l->seen_more[i / 64] |= UINT64_C(1) << i % 64;
	return true;
}

static inline bool
has_come(const level *l, size_t i)
{
	if (i < 64)
		return l->seen >> i & 1;
	return l->seen_more != NULL && (l->seen_more[i / 64] >> i % 64 & 1) != 0;
}

static inline bool
check_required(unpacker *u, const level *l)
{
	const message_type **free = &u->free[((uintptr_t)l->type >> 5) % FC_FREE_TYPES];
	const field_type *field = l->type->fields;
	bool none = true;

	if (*free == l->type)
		return true;
	for (unsigned i = 0; i < l->type->n_fields; i++, field++) {
		if (FARCALL_LIKELY(field->label != PROTOBUF_C_LABEL_REQUIRED))
			continue;
		none = false;
		if (field->default_value == NULL && !has_come(l, i))
			return fc_unpack_bad(u, l, field, "required, but missing") != NULL;
	}
	if (none)
		*free = l->type;
	return true;
}

/* A submessage of a field that is not repeated: one that is there already goes on. */
static const uint8_t *
only_message(unpacker *u, const level *l, const field_type *field, const uint8_t *at, bool fresh)
{
	uint8_t *to = (uint8_t *)l->message + field->offset;
	ProtobufCMessage *message = NULL;
	const uint8_t *from = at;
	size_t size;

	at = fc_wire_length(at, l->end, &size);
	if (FARCALL_UNLIKELY(at == NULL))
		return fc_unpack_bad_value(u, l, field, FC_WIRE_LENGTH, from);
	if (!fresh) {
		memcpy(&message, to, sizeof message);
		if (message == field->default_value)
			message = NULL;
	}
	if (!fc_unpack_message(u, l, field, at, at + size, &message))
		return NULL;
	memcpy(to, &message, sizeof message);
	return at + size;
}

static inline const uint8_t *
only_field(unpacker *u, level *l, const field_type *field, unsigned wire, const uint8_t *at)
{
	uint8_t *message = (uint8_t *)l->message;
	uint8_t *mark = message + field->quantifier_offset;
	bool oneof = (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;
	uint32_t yes = oneof ? field->id : true, was = 0;

	if (FARCALL_UNLIKELY(wire != fc_wire_rules[field->type].wire))
		return fc_unpack_bad_wire(u, l, field, wire);
	if (FARCALL_UNLIKELY(field->label == PROTOBUF_C_LABEL_REQUIRED) &&
	    !note_required(u, l, field))
		return NULL;
	if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
		if (oneof)
			memcpy(&was, mark, sizeof was);
		at = only_message(u, l, field, at, oneof && was != yes);
	} else {
		at = value(u, l, field, at, message + field->offset);
	}
	if (field->quantifier_offset != 0)
		memcpy(mark, &yes, sizeof yes);
	return at;
}

/* The plain fields from here on, if there is room for them in one piece. */
static const uint8_t *
fill_plain(unpacker *u, level *l, const uint8_t *at)
{
	const message_type *type = l->type;
	size_t need = fc_plain_need(type, (size_t)(l->end - at));
	fc_plain p = {NULL, NULL, u->arena->at, 0};

	if (need > (size_t)(u->arena->end - u->arena->at) || need > u->memory_left ||
	    type->n_fields > u->elements_left || type->n_fields == 0)
		return at;
	p.field = type->fields + l->expected;
	p.last = type->fields + type->n_fields;
	at = fc_plain_run(&p, (uint8_t *)l->message, at, l->end);
	u->elements_left -= p.n;
	u->memory_left -= (size_t)(p.memory - u->arena->at);
	u->arena->at = p.memory;
	l->expected = (unsigned)(p.field - type->fields);
	return at;
}

static bool
fill(unpacker *u, level *l, const uint8_t *at)
{
	for (;;) {
		const field_type *field;
		uint32_t key;

		at = fill_plain(u, l, at);
		if (at == l->end)
			break;
		u->field = at;
		at = fc_wire_key(at, l->end, &key);
		if (FARCALL_UNLIKELY(at == NULL))
			return fc_unpack_bad_key(u, l) != NULL;
		if (!count(u, l, NULL, 1))
			return false;
		field = find_field(l, key >> 3);
		if (FARCALL_UNLIKELY(field == NULL))
			at = fc_unpack_unknown(u, l, key, at);
		else if (field->label == PROTOBUF_C_LABEL_REPEATED)
			at = fc_unpack_list(u, l, field, key & 7, at);
		else
			at = only_field(u, l, field, key & 7, at);
		if (FARCALL_UNLIKELY(at == NULL))
			return false;
	}
	return check_required(u, l);
}

/* ---- messages ---- */

/* For descriptors that were not generated, or by old code: zero, but for defaults. */
static void
init_by_defaults(const message_type *type, uint8_t *message)
{
	memset(message, 0, type->sizeof_message);
	memcpy(message, &type, sizeof type);
	for (unsigned i = 0; i < type->n_fields; i++) {
		const field_type *field = &type->fields[i];

		if (field->default_value == NULL || field->label == PROTOBUF_C_LABEL_REPEATED)
			continue;
		if (field->type == PROTOBUF_C_TYPE_STRING || field->type == PROTOBUF_C_TYPE_MESSAGE)
			memcpy(message + field->offset, &field->default_value,
			    sizeof field->default_value);
		else
			memcpy(message + field->offset, field->default_value,
			    fc_wire_rules[field->type].element);
	}
}

static inline bool
begin(unpacker *u, level *l, const uint8_t *end, ProtobufCMessage *message)
{
	const message_type *type = l->type;

	l->end = end;
	l->expected = 0;
	l->seen = 0;
	l->seen_more = NULL;
	l->unknown_room = 0;
	l->message = message;
	if (FARCALL_UNLIKELY(message != NULL))
		return true;
	l->message = message = (ProtobufCMessage *)take(u, l, NULL, type->sizeof_message);
	if (FARCALL_UNLIKELY(message == NULL))
		return false;
	if (FARCALL_LIKELY(type->message_init != NULL))
		type->message_init(message);
	else
		init_by_defaults(type, (uint8_t *)message);
	return true;
}

bool
fc_unpack_message(unpacker *u, const level *outer, const field_type *via, const uint8_t *at,
    const uint8_t *end, ProtobufCMessage **message)
{
	level l;

	if (FARCALL_UNLIKELY(outer->depth >= u->depth))
		return fc_unpack_limit(u, outer, via, "nested deeper than %u", u->depth) != NULL;
	l.type = (const message_type *)via->descriptor;
	l.depth = outer->depth + 1;
	l.outer = outer;
	l.via = via;
	if (!begin(u, &l, end, *message))
		return false;
	*message = l.message;
	return fill(u, &l, at);
}

/* Of fields that stand between. */
static size_t
count_fields(const uint8_t *at, const uint8_t *end)
{
	uint32_t key = 0;
	size_t n = 0;

	for (; at != end; n++) {
		at = fc_wire_key(at, end, &key);
		at = fc_wire_pass(at, end, key & 7);
	}
	return n;
}

farcall_code
fc_unpack_rest(const message_type *type, const uint8_t *bytes, const uint8_t *end,
    const fc_guard_limits *limits, fc_arena *arena, ProtobufCMessage **message, fc_error *error,
    const fc_plain *done, const uint8_t *at)
{
	size_t room = arena->most - arena->used + (size_t)(arena->end - arena->at), fields;
	ProtobufCMessage *begun = NULL;
	unpacker u = {.field = at, .start = bytes, .arena = arena, .error = error};
	level l = {.type = type, .depth = 1};

	u.depth = FC_MIN(limits->depth, FC_MARSHAL_DEPTH);
	u.memory = u.memory_left = FC_MIN(limits->memory, room);
	u.elements = u.elements_left = limits->elements;
	if (done->memory != NULL) {
		begun = (ProtobufCMessage *)(void *)arena->at;
		u.memory_left -= (size_t)(done->memory - arena->at);
		arena->at = done->memory;
	}
	fields = count_fields(bytes, at);
	if (u.depth == 0) {
		fc_unpack_limit(&u, &l, NULL, "nested deeper than 0");
	} else if (begin(&u, &l, end, begun) && count(&u, &l, NULL, 1 + fields)) {
		if (done->memory != NULL)
			l.expected = (unsigned)(done->field - type->fields);
		if (fill(&u, &l, at))
			*message = l.message;
	}
	return u.code;
}
