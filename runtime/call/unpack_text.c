/*
 * unpack_text.c: what is said of bytes that are refused. The text begins with the outermost
 * message's type and the names of the fields that lead to the culprit, "demo.Tree.child.name"; of a
 * long way only its first and last steps. Descriptors may have no names (optimize_for = CODE_SIZE):
 * then fields go by their numbers. Nothing of the peer's bytes is quoted.
 */
#include "runtime/call/unpack.h"

#include <stdio.h>

typedef fc_level level;
typedef fc_unpacker unpacker;
typedef ProtobufCFieldDescriptor field_type;

#define PATH 160
#define FIRST_STEPS 3
#define LAST_STEPS 4

static const char *const wire_names[8] = {"varint", "64 bits", "length-delimited", "group",
    "end of group", "32 bits", "wire type 6", "wire type 7"};

static size_t put(char *path, size_t at, const char *format, ...) FARCALL_PRINTF(3, 4);

static size_t
put(char *path, size_t at, const char *format, ...)
{
	va_list arguments;
	int n;

	va_start(arguments, format);
	n = vsnprintf(path + at, PATH - at, format, arguments);
	va_end(arguments);
	return n < 0 ? at : FC_MIN(at + (size_t)n, PATH - 1);
}

static size_t
put_field(char *path, size_t at, const field_type *field)
{
	if (field->name == NULL)
		return put(path, at, ".%u", field->id);
	return put(path, at, ".%s", field->name);
}

static const char *
name_of(const level *outermost)
{
	return outermost->type->name != NULL ? outermost->type->name : "message";
}

static const level *
outwards(const level *l, unsigned depth)
{
	while (l->depth > depth)
		l = l->outer;
	return l;
}

static void
write_path(const level *l, const field_type *field, char *path)
{
	unsigned steps = l->depth - 1;
	size_t at = put(path, 0, "%s", name_of(outwards(l, 1)));

	for (unsigned i = 1; i <= steps; i++) {
		if (i == FIRST_STEPS + 1 && steps > FIRST_STEPS + LAST_STEPS) {
			at = put(path, at, "...");
			i = steps - LAST_STEPS + 1;
		}
		at = put_field(path, at, outwards(l, i + 1)->via);
	}
	if (field != NULL)
		put_field(path, at, field);
}

static void
say(unpacker *u, const level *l, const field_type *field, farcall_cause cause, const char *format,
    va_list arguments)
{
	char path[PATH], text[FC_ERROR_TEXT];

	write_path(l, field, path);
	vsnprintf(text, sizeof text, format, arguments);
	fc_fail(u->error, u->code, cause, "%s: %s", path, text);
}

const uint8_t *
fc_unpack_bad(unpacker *u, const level *l, const field_type *field, const char *format, ...)
{
	va_list arguments;

	u->code = FARCALL_INVALID_ARGUMENT;
	va_start(arguments, format);
	say(u, l, field, FARCALL_CAUSE_PROTOCOL, format, arguments);
	va_end(arguments);
	return NULL;
}

const uint8_t *
fc_unpack_limit(unpacker *u, const level *l, const field_type *field, const char *format, ...)
{
	va_list arguments;

	u->code = FARCALL_RESOURCE_EXHAUSTED;
	va_start(arguments, format);
	say(u, l, field, FARCALL_CAUSE_LIMIT, format, arguments);
	va_end(arguments);
	return NULL;
}

const uint8_t *
fc_unpack_no_memory(unpacker *u, const level *l)
{
	if (u->arena->state == FC_ARENA_AT_CAP)
		return fc_unpack_limit(
		    u, l, NULL, "takes more memory than the call's %zu bytes", u->arena->most);
	u->code = fc_fail_memory(u->error, name_of(outwards(l, 1)));
	return NULL;
}

const uint8_t *
fc_unpack_bad_wire(unpacker *u, const level *l, const field_type *field, unsigned wire)
{
	return fc_unpack_bad(u, l, field, "%s at byte %zu, not %s", wire_names[wire],
	    fc_unpack_offset(u), wire_names[fc_wire_rules[field->type].wire]);
}

/* Reads what a key or a length says; false, and said why, if it does not end. */
static bool
read_long(unpacker *u, const level *l, const uint8_t **at, uint64_t *value, const char *what)
{
	*value = 0;
	for (size_t i = 0; i < FC_WIRE_MAX_KEY; i++, ++*at) {
		if (*at == l->end)
			return fc_unpack_bad(u, l, NULL, "%s cut off at byte %zu", what,
			           fc_unpack_offset(u)) != NULL;
		*value |= (uint64_t)(**at & 0x7f) << 7 * i;
		if (**at < 0x80) {
			++*at;
			return true;
		}
	}
	return fc_unpack_bad(u, l, NULL, "%s of more than %d bytes at byte %zu", what,
	           FC_WIRE_MAX_KEY, fc_unpack_offset(u)) != NULL;
}

const uint8_t *
fc_unpack_bad_key(unpacker *u, const level *l)
{
	const uint8_t *at = u->field;
	uint64_t value;

	if (!read_long(u, l, &at, &value, "field number"))
		return NULL;
	return fc_unpack_bad(u, l, NULL, "field number %llu at byte %zu",
	    (unsigned long long)(value >> 3), fc_unpack_offset(u));
}

static const uint8_t *
bad_length(unpacker *u, const level *l, const field_type *field, const uint8_t *at)
{
	uint64_t value;

	if (!read_long(u, l, &at, &value, "length"))
		return NULL;
	return fc_unpack_bad(u, l, field, "length %llu, but only %zu bytes follow",
	    (unsigned long long)value, (size_t)(l->end - at));
}

const uint8_t *
fc_unpack_bad_value(
    unpacker *u, const level *l, const field_type *field, unsigned wire, const uint8_t *at)
{
	size_t where = fc_unpack_offset(u);

	switch (wire) {
	case FC_WIRE_VARINT:
		if (l->end - at >= FC_WIRE_MAX_VARINT)
			return fc_unpack_bad(u, l, field,
			    "varint of more than %d bytes at byte %zu", FC_WIRE_MAX_VARINT, where);
		return fc_unpack_bad(u, l, field, "varint cut off at byte %zu", where);
	case FC_WIRE_FIXED32:
	case FC_WIRE_FIXED64:
		return fc_unpack_bad(u, l, field, "cut off at byte %zu", where);
	case FC_WIRE_LENGTH:
		return bad_length(u, l, field, at);
	default:
		return fc_unpack_bad(u, l, field, "%s at byte %zu", wire_names[wire], where);
	}
}
