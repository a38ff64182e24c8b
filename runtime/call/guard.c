/*
 * guard.c: see guard.h. One walk over the bytes, without recursion: a row of at most 100 open
 * messages takes the place of the stack. It charges what protobuf_c_message_unpack() will ask its
 * allocator for, as read in its source (1.4.1; the same up to 1.5.2):
 *
 *   - a message: its struct, and a bitmap if it has more than 128 fields;
 *   - each field on the wire: an entry of 32 bytes in tables of 16 (on the stack), 32, 64, ...;
 *   - a list: one array, counted over all its parts; a packed bool: an element a byte;
 *   - a string: its bytes and a NUL; bytes: theirs, if any;
 *   - unknown fields: one array, and the bytes of each, with the length's own bytes.
 *
 * Nothing is ever given back to an arena, so a field that comes twice is charged twice. The walk
 * ends at the first byte that is wrong or one too many; its time is linear in the bytes.
 */
#include "runtime/call/guard_walk.h"

#include "runtime/base/utf8.h"

#include <limits.h>

typedef fc_guard_level level;
typedef fc_guard_walk walk;
typedef ProtobufCFieldDescriptor field_type;

#define MiB (1024u * 1024u)
#define SLAB_ENTRY 32u   /* protobuf-c's bound on one entry */
#define BITMAP_STACK 16u /* bytes of bitmap that it has on its stack */
#define MAX_KEY_BYTES 5  /* of a field's number and wire type, and of a length */

const fc_guard_limits fc_guard_defaults = {
    .depth = FC_GUARD_DEPTH, .elements = 4 * MiB, .memory = 64 * MiB};

static const char *const wire_names[8] = {"varint", "64 bits", "length-delimited", "group",
    "end of group", "32 bits", "wire type 6", "wire type 7"};

static size_t
offset(const walk *w)
{
	return (size_t)(w->field - w->start);
}

static inline size_t
left(const walk *w)
{
	return (size_t)(w->top->end - w->at);
}

/* ---- budgets ---- */

static inline bool
charge(walk *w, const field_type *field, size_t size)
{
	if (FARCALL_UNLIKELY(size > w->memory_left))
		return fc_guard_limit(w, field, "takes more than %zu bytes of memory", w->memory);
	w->memory_left -= size;
	return true;
}

static inline bool
count_elements(walk *w, const field_type *field, size_t n)
{
	if (FARCALL_UNLIKELY(n > w->elements_left))
		return fc_guard_limit(w, field, "more than %zu elements", w->elements);
	w->elements_left -= n;
	return true;
}

/* One more entry in the table of fields. */
static inline bool
count_entry(walk *w)
{
	level *top = w->top;

	if (FARCALL_UNLIKELY(top->slab_left == 0)) {
		top->slab *= 2;
		top->slab_left = top->slab;
		if (!charge(w, NULL, (size_t)top->slab * SLAB_ENTRY))
			return false;
	}
	top->slab_left--;
	return true;
}

/* ---- leaving things out ---- */

static bool
start_copy(walk *w)
{
	size_t size = (size_t)(w->end - w->start);

	if (!charge(w, NULL, ROUNDED(size)))
		return false;
	w->copy = (uint8_t *)fc_arena_alloc(w->arena, size);
	w->copied = w->start;
	return w->copy != NULL || fc_guard_no_memory(w);
}

static void
copy_until(walk *w, const uint8_t *until)
{
	size_t size = (size_t)(until - w->copied);

	if (size != 0)
		memcpy(w->copy + (w->copied - w->start) - w->dropped, w->copied, size);
	w->copied = until;
}

/* Leaves out the field that has just been passed over. */
static bool
drop_field(walk *w)
{
	if (w->copy == NULL && !start_copy(w))
		return false;
	copy_until(w, w->field);
	w->copied = w->at;
	w->dropped += (size_t)(w->at - w->field);
	return true;
}

/* The length of a message that lost bytes: written with as many bytes as it had, so nothing moves;
 * such longer forms are legal. */
static void
correct_length(walk *w, const level *top)
{
	const uint8_t *from = top->prefix;
	uint8_t *to = w->copy + (from - w->start) - top->dropped;
	size_t size = 0;

	copy_until(w, top->end);
	for (unsigned i = 0;; i++) {
		size |= (size_t)(from[i] & 0x7f) << 7 * i;
		if (from[i] < 0x80)
			break;
	}
	size -= w->dropped - top->dropped;
	for (; *from >= 0x80; from++, size >>= 7)
		*to++ = (uint8_t)(size | 0x80);
	*to = (uint8_t)size;
}

/* ---- the wire ---- */

/* A varint of at most 28 + 7 bits, as keys and lengths are. */
static bool
read_long(walk *w, uint64_t *value, const char *what)
{
	uint64_t v = 0;

	for (size_t i = 0; i < MAX_KEY_BYTES; i++) {
		if (i >= left(w))
			return fc_guard_bad(w, NULL, "%s cut off at byte %zu", what, offset(w));
		v |= (uint64_t)(w->at[i] & 0x7f) << 7 * i;
		if (w->at[i] < 0x80) {
			w->at += i + 1;
			*value = v;
			return true;
		}
	}
	return fc_guard_bad(
	    w, NULL, "%s of more than %d bytes at byte %zu", what, MAX_KEY_BYTES, offset(w));
}

static inline bool
read_key(walk *w, uint32_t *key)
{
	uint64_t value = *w->at;

	w->field = w->at;
	if (FARCALL_LIKELY(value < 0x80))
		w->at++;
	else if (!read_long(w, &value, "field number"))
		return false;
	if (FARCALL_UNLIKELY(value < 8 || value > UINT32_MAX))
		return fc_guard_bad(w, NULL, "field number %llu at byte %zu",
		    (unsigned long long)(value >> 3), offset(w));
	*key = (uint32_t)value;
	return true;
}

/* Leaves w->at at the first byte of the contents. */
static inline bool
read_length(walk *w, const field_type *field, size_t *size)
{
	uint64_t value = left(w) != 0 ? *w->at : 0x80;

	if (FARCALL_LIKELY(value < 0x80))
		w->at++;
	else if (!read_long(w, &value, "length"))
		return false;
	if (FARCALL_UNLIKELY(value > left(w) || value > INT_MAX))
		return fc_guard_bad(w, field, "length %llu, but only %zu bytes follow",
		    (unsigned long long)value, left(w));
	*size = (size_t)value;
	return true;
}

static bool
skip_varint(walk *w, const field_type *field)
{
	size_t most = FC_MIN(left(w), MAX_VARINT_BYTES);

	for (size_t i = 0; i < most; i++) {
		if (w->at[i] < 0x80) {
			w->at += i + 1;
			return true;
		}
	}
	if (most == MAX_VARINT_BYTES)
		return fc_guard_bad(w, field, "varint of more than %d bytes at byte %zu",
		    MAX_VARINT_BYTES, offset(w));
	return fc_guard_bad(w, field, "varint cut off at byte %zu", offset(w));
}

static bool
skip_fixed(walk *w, const field_type *field, size_t size)
{
	if (size > left(w))
		return fc_guard_bad(w, field, "cut off at byte %zu", offset(w));
	w->at += size;
	return true;
}

static bool
skip_value(walk *w, unsigned wire)
{
	size_t size;

	switch (wire) {
	case VARINT:
		return skip_varint(w, NULL);
	case FIXED64:
		return skip_fixed(w, NULL, 8);
	case FIXED32:
		return skip_fixed(w, NULL, 4);
	case LENGTH:
		if (!read_length(w, NULL, &size))
			return false;
		w->at += size;
		return true;
	default:
		return fc_guard_bad(w, NULL, "%s at byte %zu", wire_names[wire], offset(w));
	}
}

/* ---- fields that the descriptor does not know ---- */

/* Passes over a group whose start has been read, and all within it. */
static bool
skip_group(walk *w, uint32_t number)
{
	const uint8_t *start = w->field;
	size_t outside = (size_t)(w->top - w->levels) + 1, n = 0;
	uint32_t open[FC_GUARD_DEPTH], key;

	for (;;) {
		if (outside + n >= w->depth)
			return fc_guard_limit(w, NULL, "nested deeper than %u", w->depth);
		open[n++] = number;
		do {
			if (left(w) == 0)
				return fc_guard_bad(w, NULL, "group %u has no end", open[n - 1]);
			if (!read_key(w, &key) || !count_elements(w, NULL, 1))
				return false;
			number = key >> 3;
			if ((key & 7) == GROUP_END && number != open[--n])
				return fc_guard_bad(w, NULL, "group %u ended by %u at byte %zu",
				    open[n], number, offset(w));
			if ((key & 7) != GROUP && (key & 7) != GROUP_END && !skip_value(w, key & 7))
				return false;
		} while (n != 0 && (key & 7) != GROUP);
		if (n == 0)
			break;
	}
	w->field = start;
	return true;
}

static bool
unknown_field(walk *w, uint32_t key)
{
	const uint8_t *value = w->at;
	size_t size = sizeof(ProtobufCMessageUnknownField);

	if ((key & 7) == GROUP)
		return skip_group(w, key >> 3) && drop_field(w);
	if (!skip_value(w, key & 7) || !count_entry(w))
		return false;
	if (!w->top->unknown)
		size += 15;
	w->top->unknown = true;
	return charge(w, NULL, size + ROUNDED(w->at - value));
}

/* ---- fields that it knows ---- */

/* Finds the field as protobuf-c does, but looks first where it stands if the sender goes through
 * the fields in order. */
static inline const field_type *
find_field(level *top, uint32_t number)
{
	const ProtobufCMessageDescriptor *type = top->type;
	unsigned from = 0, to = type->n_fields;

	for (unsigned i = top->expected; i < to && i < top->expected + 2; i++) {
		if (type->fields[i].id == number) {
			top->expected = i;
			return &type->fields[i];
		}
	}
	while (from < to) {
		unsigned middle = from + (to - from) / 2;

		if (type->fields[middle].id == number) {
			top->expected = middle;
			return &type->fields[middle];
		}
		if (type->fields[middle].id < number)
			from = middle + 1;
		else
			to = middle;
	}
	return NULL;
}

/* Notes that a field came; true if it is the first time in this message. */
static inline bool
first_time(const level *top, const field_type *field)
{
	size_t i = (size_t)(field - top->type->fields);
	uint64_t bit = UINT64_C(1) << (i & 63);
	bool first = !(top->seen[i >> 6] & bit);

	top->seen[i >> 6] |= bit;
	return first;
}

/* The array of a list is rounded up once. */
static inline bool
charge_list(walk *w, const field_type *field, size_t n)
{
	size_t size = n * fc_guard_rules[field->type].element;

	return charge(w, field, size + (first_time(w->top, field) ? 15 : 0));
}

/* Memory for the bits of messages of more than 64 fields is kept for the next one at this depth. */
static bool
grow_bits(walk *w, fc_guard_bits *bits, size_t words)
{
	if (!charge(w, NULL, ROUNDED(words * sizeof *bits->words)))
		return false;
	bits->words = (uint64_t *)fc_arena_alloc(w->arena, words * sizeof *bits->words);
	bits->n = words;
	return bits->words != NULL || fc_guard_no_memory(w);
}

static bool
prepare_bits(walk *w, level *top)
{
	const size_t size = sizeof(fc_guard_bits) * FC_GUARD_DEPTH;
	size_t words = (top->type->n_fields + 63) / 64;
	fc_guard_bits *bits;

	top->few = 0;
	top->seen = &top->few;
	if (FARCALL_LIKELY(words <= 1))
		return true;
	if (words * 8 > BITMAP_STACK && !charge(w, NULL, ROUNDED(words * 8)))
		return false;
	if (w->bits == NULL) {
		if (!charge(w, NULL, ROUNDED(size)))
			return false;
		w->bits = (fc_guard_bits *)fc_arena_alloc(w->arena, size);
		if (w->bits == NULL)
			return fc_guard_no_memory(w);
		memset(w->bits, 0, size);
	}
	bits = &w->bits[top - w->levels];
	if (words > bits->n && !grow_bits(w, bits, words))
		return false;
	top->seen = bits->words;
	memset(top->seen, 0, words * sizeof *top->seen);
	return true;
}

static bool
open_message(walk *w, const ProtobufCMessageDescriptor *type, const field_type *via,
    const uint8_t *prefix, const uint8_t *end)
{
	level *next = w->top == NULL ? w->levels : w->top + 1;
	unsigned depth = (unsigned)(next - w->levels) + 1;

	if (FARCALL_UNLIKELY(depth > w->depth))
		return fc_guard_limit(w, via, "nested deeper than %u", w->depth);
	next->type = type;
	next->via = via;
	next->prefix = prefix;
	next->end = end;
	next->expected = 0;
	next->slab = next->slab_left = SLAB_FIRST;
	next->unknown = false;
	next->dropped = w->dropped;
	w->top = next;
	return charge(w, NULL, ROUNDED(type->sizeof_message)) && prepare_bits(w, next);
}

static bool
close_message(walk *w)
{
	level *top = w->top;
	const field_type *fields = top->type->fields;

	for (unsigned i = 0; i < top->type->n_fields; i++) {
		if (FARCALL_UNLIKELY(fields[i].label == PROTOBUF_C_LABEL_REQUIRED) &&
		    fields[i].default_value == NULL && !(top->seen[i >> 6] >> (i & 63) & 1))
			return fc_guard_bad(w, &fields[i], "required, but missing");
	}
	if (FARCALL_UNLIKELY(top->dropped != w->dropped) && top->prefix != NULL)
		correct_length(w, top);
	return true;
}

static bool
check_text(walk *w, const field_type *field, size_t size)
{
	size_t good = fc_utf8_check(w->at, size);

	if (FARCALL_LIKELY(good == size))
		return true;
	return fc_guard_bad(
	    w, field, "%s at byte %zu", w->at[good] == 0 ? "NUL" : "not UTF-8", good);
}

/* A string, bytes or a message. */
static inline bool
length_field(walk *w, const field_type *field)
{
	const uint8_t *prefix = w->at;
	size_t size, memory;

	if (!read_length(w, field, &size))
		return false;
	memory = ROUNDED(size);
	if (field->type == PROTOBUF_C_TYPE_MESSAGE)
		return open_message(w, (const ProtobufCMessageDescriptor *)field->descriptor, field,
		    prefix, w->at + size);
	if (field->type == PROTOBUF_C_TYPE_STRING) {
		memory = ROUNDED(size + 1);
		if (!check_text(w, field, size))
			return false;
	}
	w->at += size;
	return charge(w, field, memory);
}

/* Varints in a packed list; each ends with a byte below 0x80. */
static bool
count_varints(walk *w, const field_type *field, size_t size, size_t *count)
{
	size_t n = 0, run = 0;

	for (size_t i = 0; i < size; i++) {
		if (w->at[i] < 0x80) {
			n++;
			run = 0;
		} else if (++run == MAX_VARINT_BYTES) {
			return fc_guard_bad(w, field, "varint of more than %d bytes at byte %zu",
			    MAX_VARINT_BYTES, i - run + 1);
		}
	}
	if (run != 0)
		return fc_guard_bad(w, field, "varint cut off at byte %zu", size - run);
	*count = n;
	return true;
}

static bool
packed_field(walk *w, const field_type *field)
{
	const fc_guard_rule *rule = &fc_guard_rules[field->type];
	size_t size, n, room;

	if (!read_length(w, field, &size))
		return false;
	n = size / rule->element;
	if (rule->wire == VARINT) {
		if (!count_varints(w, field, size, &n))
			return false;
	} else if (size % rule->element != 0) {
		return fc_guard_bad(w, field, "a packed list of %zu bytes, not a multiple of %u",
		    size, rule->element);
	}
	room = field->type == PROTOBUF_C_TYPE_BOOL ? size : n;
	w->at += size;
	if (n == 0)
		return drop_field(w);
	return count_entry(w) && count_elements(w, field, n) && charge_list(w, field, room);
}

static bool
wrong_wire(walk *w, const field_type *field, unsigned wire)
{
	return fc_guard_bad(w, field, "%s at byte %zu, not %s", wire_names[wire], offset(w),
	    wire_names[fc_guard_rules[field->type].wire]);
}

/* Note where a singular field came twice: the last one counts, but messages would be merged. */
static inline bool
note_field(walk *w, const field_type *field)
{
	if (field->label == PROTOBUF_C_LABEL_REPEATED)
		return charge_list(w, field, 1);
	if (FARCALL_LIKELY(first_time(w->top, field)) || field->type != PROTOBUF_C_TYPE_MESSAGE)
		return true;
	return fc_guard_bad(w, field, "a second one at byte %zu", offset(w));
}

static inline bool
known_field(walk *w, const field_type *field, unsigned wire)
{
	const fc_guard_rule *rule = &fc_guard_rules[field->type];

	if (FARCALL_UNLIKELY(wire != rule->wire)) {
		if (wire == LENGTH && rule->packable && field->label == PROTOBUF_C_LABEL_REPEATED)
			return packed_field(w, field);
		return wrong_wire(w, field, wire);
	}
	if (!count_entry(w) || !note_field(w, field))
		return false;
	switch (wire) {
	case LENGTH:
		return length_field(w, field);
	case VARINT:
		return skip_varint(w, field);
	case FIXED64:
		return skip_fixed(w, field, 8);
	default:
		return skip_fixed(w, field, 4);
	}
}

static inline bool
walk_field(walk *w)
{
	const field_type *field;
	uint32_t key;

	if (!read_key(w, &key) || !count_elements(w, NULL, 1))
		return false;
	field = find_field(w->top, key >> 3);
	if (FARCALL_UNLIKELY(field == NULL))
		return unknown_field(w, key);
	return known_field(w, field, key & 7);
}

static bool
walk_all(walk *w)
{
	for (;;) {
		while (w->at == w->top->end) {
			if (!close_message(w))
				return false;
			if (w->top == w->levels)
				return true;
			w->top--;
		}
		if (!walk_field(w))
			return false;
	}
}

static void
init(walk *w, const uint8_t *bytes, size_t size, const fc_guard_limits *limits, fc_arena *arena,
    fc_error *error)
{
	size_t room = fc_guard_room(arena);

	w->at = w->field = w->start = bytes;
	w->end = bytes + size;
	w->top = NULL;
	w->memory = w->memory_left = FC_MIN(limits->memory, room);
	w->elements = w->elements_left = limits->elements;
	w->depth = FC_MIN(limits->depth, FC_GUARD_DEPTH);
	w->bits = NULL;
	w->copy = NULL;
	w->dropped = 0;
	w->arena = arena;
	w->error = error;
}

farcall_code
fc_guard_message(const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes, size_t size,
    const fc_guard_limits *limits, fc_arena *arena, fc_guarded *guarded, fc_error *error)
{
	static const uint8_t none[1];
	walk w;

	init(&w, size != 0 ? bytes : none, size, limits, arena, error);
	w.levels[0].type = descriptor; /* for errors before it is open */
	if (limits->depth == 0)
		return fc_fail(error, FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_LIMIT,
		    "%s: nested deeper than 0", descriptor->name);
	if (!open_message(&w, descriptor, NULL, NULL, w.end) || !count_elements(&w, NULL, 1) ||
	    !walk_all(&w))
		return w.code;
	guarded->bytes = w.start;
	guarded->size = size - w.dropped;
	guarded->memory = w.memory - w.memory_left;
	guarded->elements = w.elements - w.elements_left;
	if (w.copy != NULL) {
		copy_until(&w, w.end);
		guarded->bytes = w.copy;
	}
	return FARCALL_OK;
}
