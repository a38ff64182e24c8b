/*
 * Our marshalling against protobuf-c, on random messages and on damaged ones: what we unpack equals
 * what protobuf-c does, field by field, and packs to the same bytes, within the memory that
 * protobuf-c would take; what we refuse, protobuf-c refuses too, but for the differences that
 * marshal.h names. What is left out changes nothing: a message with groups strewn in unpacks to the
 * message without.
 *
 * FARCALL_TEST_ROUNDS multiplies the rounds, FARCALL_TEST_SEED chooses others.
 */
#include "tests/support/test.h"

#include "runtime/call/marshal.h"
#include "tests/unit/call/guard_test.pb-c.h"
#include "tests/unit/call/guard_test2.pb-c.h"
#include "tests/unit/call/oracle.h"

#include <stdio.h>
#include <stdlib.h>

#define ROUNDS 20000
#define GENEROUS ((size_t)1 << 40)

static const fc_guard_limits generous = {100, GENEROUS, GENEROUS};
static test_random random_source;

static uint32_t
below(uint32_t limit)
{
	return test_random_below(&random_source, limit);
}

static unsigned long
environment(const char *name, unsigned long otherwise)
{
	const char *text = getenv(name);

	return text != NULL ? strtoul(text, NULL, 10) : otherwise;
}

/* ---- random messages of any type ---- */

static ProtobufCMessage *random_message(
    const ProtobufCMessageDescriptor *type, fc_arena *arena, unsigned depth);

static void *
room(fc_arena *arena, size_t size)
{
	void *memory = fc_arena_alloc(arena, size + 1);

	assert_non_null(memory);
	memset(memory, 0, size + 1);
	return memory;
}

static uint64_t
random_number(void)
{
	uint64_t bits = (uint64_t)test_random_next(&random_source) << 32;

	return (bits | test_random_next(&random_source)) >> below(64);
}

static char *
random_text(fc_arena *arena)
{
	static const char *const some[] = {"", "a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x90\xa7",
	    "plain text of some length", "\xed\x9f\xbf", "z\x7f"};
	char *text = (char *)room(arena, 400);

	for (uint32_t n = below(5) ? below(3) : below(12); n > 0; n--)
		strcat(text, some[below(FC_COUNT(some))]);
	return text;
}

/* Sets one element of the field's type at `at`. */
static void
random_value(const ProtobufCFieldDescriptor *field, void *at, fc_arena *arena, unsigned depth)
{
	uint64_t number = random_number();
	ProtobufCBinaryData data;
	void *pointer;

	switch (field->type) {
	case PROTOBUF_C_TYPE_STRING:
		pointer = random_text(arena);
		memcpy(at, &pointer, sizeof pointer);
		break;
	case PROTOBUF_C_TYPE_BYTES:
		data.len = below(40);
		data.data = (uint8_t *)room(arena, data.len);
		for (size_t i = 0; i < data.len; i++)
			data.data[i] = (uint8_t)below(256);
		memcpy(at, &data, sizeof data);
		break;
	case PROTOBUF_C_TYPE_MESSAGE:
		pointer = random_message(
		    (const ProtobufCMessageDescriptor *)field->descriptor, arena, depth + 1);
		memcpy(at, &pointer, sizeof pointer);
		break;
	case PROTOBUF_C_TYPE_BOOL:
		*(protobuf_c_boolean *)at = (int)number & 1;
		break;
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		memcpy(at, &number, 8);
		break;
	default:
		memcpy(at, &number, 4);
		break;
	}
}

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
random_list(
    const ProtobufCFieldDescriptor *field, uint8_t *message, fc_arena *arena, unsigned depth)
{
	size_t size = element_size(field->type);
	size_t n = field->type == PROTOBUF_C_TYPE_MESSAGE ? below(4) : below(2) * below(30);
	uint8_t *elements = (uint8_t *)room(arena, n * size);

	for (size_t i = 0; i < n; i++)
		random_value(field, elements + i * size, arena, depth);
	memcpy(message + field->quantifier_offset, &n, sizeof n);
	memcpy(message + field->offset, &elements, sizeof elements);
}

static ProtobufCMessage *
random_message(const ProtobufCMessageDescriptor *type, fc_arena *arena, unsigned depth)
{
	uint8_t *message = (uint8_t *)room(arena, type->sizeof_message);
	unsigned chance = type->n_fields > 60 ? 20 : 2 + depth * 2;

	protobuf_c_message_init(type, message);
	for (unsigned i = 0; i < type->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &type->fields[i];
		uint32_t yes = 1;

		if (field->label == PROTOBUF_C_LABEL_REQUIRED) {
			random_value(field, message + field->offset, arena, depth);
			continue;
		}
		if (below(chance) != 0 || (field->type == PROTOBUF_C_TYPE_MESSAGE && depth > 6))
			continue;
		if (field->label == PROTOBUF_C_LABEL_REPEATED) {
			random_list(field, message, arena, depth);
			continue;
		}
		random_value(field, message + field->offset, arena, depth);
		if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
			yes = field->id;
		if (field->quantifier_offset != 0)
			memcpy(message + field->quantifier_offset, &yes, sizeof yes);
	}
	return (ProtobufCMessage *)(void *)message;
}

static const ProtobufCMessageDescriptor *
random_type(void)
{
	static const ProtobufCMessageDescriptor *const types[] = {&guard__rich__descriptor,
	    &guard__rich__descriptor, &guard__lists__descriptor, &guard__scalars__descriptor,
	    &guard__choice__descriptor, &guard__choice__descriptor, &guard__tree__descriptor,
	    &guard__text__descriptor, &guard__data__descriptor, &guard2__need__descriptor,
	    &guard2__optional__descriptor, &guard2__wide__descriptor};

	return types[below(FC_COUNT(types))];
}

static void
random_packed(const ProtobufCMessageDescriptor *type, wire *to)
{
	fc_arena arena;
	ProtobufCMessage *message;
	uint8_t *packed;
	size_t size;

	fc_arena_init(&arena, NULL, GENEROUS, NULL, 0);
	message = random_message(type, &arena, 0);
	size = protobuf_c_message_get_packed_size(message);
	packed = (uint8_t *)room(&arena, size);
	protobuf_c_message_pack(message, packed);
	wire_raw(to, packed, size);
	oracle_pack(message);
	fc_arena_reset(&arena);
}

/* ---- the two verdicts compared ---- */

enum { BOTH_TAKE, BOTH_REFUSE, WIDER, NOT_TEXT, NUMBER, BOOL_WIRE, N_OUTCOMES };
static const char *const outcome_names[] = {"both take it", "both refuse it", "we alone take it",
    "not text", "field number", "bool of another wire type"};
static unsigned long outcomes[N_OUTCOMES];

/* Why we refuse what protobuf-c takes. */
static int
difference(const char *text)
{
	if (strstr(text, ": not UTF-8 at byte ") || strstr(text, ": NUL at byte "))
		return NOT_TEXT;
	if (strstr(text, ": field number "))
		return NUMBER;
	if (strstr(text, ", not varint"))
		return BOOL_WIRE;
	fprintf(stderr, "protobuf-c takes it, but %s\n", text);
	return -1;
}

/* With room to spare, so that the short cut is taken, or in small blocks. */
static int
compare_in(
    fc_arena *arena, const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t size)
{
	ProtobufCMessage *message = NULL;
	fc_error error = {0};
	farcall_code code;
	int verdict = BOTH_TAKE;

	code = fc_unpack(type, bytes, size, &generous, arena, &message, &error);
	if (code == FARCALL_OK) {
		oracle_unpacked(type, bytes, size, message);
		if (!oracle_takes(type, bytes, size))
			verdict = WIDER;
	} else {
		assert_int_equal(code, FARCALL_INVALID_ARGUMENT);
		verdict = BOTH_REFUSE;
		if (oracle_takes(type, bytes, size))
			verdict = difference(error.text);
	}
	fc_arena_reset(arena);
	assert_true(verdict >= 0);
	return verdict;
}

static int
compare(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t size)
{
	static uint8_t lent[1 << 20];
	uint8_t *exact = (uint8_t *)malloc(size + 1); /* so that overruns are seen */
	fc_arena blocks, wide;
	int verdict;

	assert_non_null(exact);
	if (size != 0)
		memcpy(exact + 1, bytes, size);
	fc_arena_init(&blocks, NULL, GENEROUS, NULL, 0);
	fc_arena_init(&wide, NULL, GENEROUS, lent, sizeof lent);
	verdict = compare_in(&blocks, type, exact + 1, size);
	assert_int_equal(compare_in(&wide, type, exact + 1, size), verdict);
	free(exact);
	outcomes[verdict]++;
	return verdict;
}

static void
damage(wire *w, const wire *other)
{
	size_t at = below((uint32_t)w->size), n;

	switch (below(7)) {
	case 0:
		w->bytes[at] ^= (uint8_t)(1 << below(8));
		break;
	case 1:
		w->bytes[at] = (uint8_t)below(256);
		break;
	case 2: /* cut */
		w->size = at;
		break;
	case 3: /* remove */
		n = below(8) + 1;
		n = FC_MIN(w->size - at, n);
		memmove(w->bytes + at, w->bytes + at + n, w->size - at - n);
		w->size -= n;
		break;
	case 4: /* two messages, one behind the other */
		wire_raw(w, other->bytes, other->size);
		break;
	case 5: /* a group behind it */
		wire_raw(w, "\x9b\x3e\x08\x01\x9c\x3e", 6);
		break;
	default: /* the tail of another */
		if (other->size != 0) {
			n = below((uint32_t)other->size);
			w->size = at;
			wire_raw(w, other->bytes + n, other->size - n);
		}
		break;
	}
}

static void
test_verdicts(void **state)
{
	unsigned long rounds = ROUNDS * environment("FARCALL_TEST_ROUNDS", 1);
	wire w = {0}, other = {0};

	(void)state;
	for (unsigned long i = 0; i < rounds; i++) {
		const ProtobufCMessageDescriptor *type = random_type();

		w.size = other.size = 0;
		random_packed(type, &w);
		random_packed(below(3) ? type : random_type(), &other);
		assert_int_equal(compare(type, w.bytes, w.size), BOTH_TAKE);
		for (uint32_t n = 1 + below(6); n > 0 && w.size != 0; n--) {
			damage(&w, &other);
			compare(type, w.bytes, w.size);
		}
	}
	for (int i = 0; i < N_OUTCOMES; i++)
		printf("%10lu %s\n", outcomes[i], outcome_names[i]);
	for (int i = 0; i < N_OUTCOMES; i++)
		assert_true(outcomes[i] > 0);
	wire_free(&w);
	wire_free(&other);
}

/* ---- things strewn in that must be left out ---- */

static void
strew_group(wire *to, unsigned depth)
{
	uint32_t number = 600000000 / 2 + below(1000000);

	wire_key(to, number, W_GROUP);
	for (uint32_t n = below(4); n > 0; n--) {
		wire_int(to, 1 + below(100), random_number());
		if (depth < 5 && below(2))
			strew_group(to, depth + 1);
		wire_bytes(to, 1 + below(100), "\x0b\x0c\x13\x00\xff", below(6));
	}
	wire_key(to, number, W_GROUP_END);
}

static uint64_t
take_varint(const uint8_t **at)
{
	uint64_t value = 0;

	for (unsigned shift = 0;; shift += 7) {
		value |= (uint64_t)(**at & 0x7f) << shift;
		if (*(*at)++ < 0x80)
			return value;
	}
}

/* Writes the message anew, with groups and empty lists between its fields, at each level. */
static void
strew(const ProtobufCMessageDescriptor *type, const uint8_t *at, size_t size, wire *to)
{
	const uint8_t *end = at + size;

	while (at < end) {
		const uint8_t *start = at;
		uint64_t key = take_varint(&at), n;
		const ProtobufCFieldDescriptor *field =
		    protobuf_c_message_descriptor_get_field(type, (unsigned)(key >> 3));
		wire inner = {0};

		if (below(4) == 0)
			strew_group(to, 0);
		if (below(8) == 0 && field->label == PROTOBUF_C_LABEL_REPEATED &&
		    field->type < PROTOBUF_C_TYPE_STRING)
			wire_bytes(to, field->id, "", 0);
		n = (key & 7) == W_FIXED32 ? 4 : (key & 7) == W_FIXED64 ? 8 : take_varint(&at);
		if ((key & 7) != W_VARINT && field->type != PROTOBUF_C_TYPE_MESSAGE)
			at += n;
		if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
			strew((const ProtobufCMessageDescriptor *)field->descriptor, at, n, &inner);
			wire_bytes(to, field->id, inner.bytes, inner.size);
			wire_free(&inner);
			at += n;
		} else {
			wire_raw(to, start, (size_t)(at - start));
		}
	}
	if (below(4) == 0)
		strew_group(to, 0);
}

static void
test_strewn(void **state)
{
	unsigned long rounds = ROUNDS / 4 * environment("FARCALL_TEST_ROUNDS", 1);
	wire w = {0}, strewn = {0}, packed = {0};

	(void)state;
	for (unsigned long i = 0; i < rounds; i++) {
		const ProtobufCMessageDescriptor *type = random_type();
		ProtobufCMessage *message = NULL;
		fc_error error = {0};
		fc_arena arena;
		fc_payload payload;

		w.size = strewn.size = packed.size = 0;
		random_packed(type, &w);
		strew(type, w.bytes, w.size, &strewn);
		fc_arena_init(&arena, NULL, GENEROUS, NULL, 0);
		assert_int_equal(
		    fc_unpack(type, strewn.bytes, strewn.size, &generous, &arena, &message, &error),
		    FARCALL_OK);
		assert_true(fc_payload_of_message(&payload, message));
		assert_int_equal(payload.size, w.size);
		wire_raw(&packed, strewn.bytes, strewn.size);
		if (w.size != 0) {
			payload.flat(&payload, packed.bytes);
			assert_memory_equal(packed.bytes, w.bytes, w.size);
		}
		fc_arena_reset(&arena);
	}
	wire_free(&w);
	wire_free(&strewn);
	wire_free(&packed);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(test_verdicts),
	    clean_test(test_strewn),
	};
	unsigned long seed = environment("FARCALL_TEST_SEED", 1);

	printf("seed %lu\n", seed);
	test_random_seed(&random_source, seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
