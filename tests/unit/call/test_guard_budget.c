/*
 * The budgets of unpacking: what the arena really gave is what is charged, at the limit and one
 * past it, and is no more than protobuf-c would take; messages made to swell; the arena's cap;
 * memory that runs out at any point.
 */
#include "tests/unit/call/unpack.h"

#include <time.h>

/* ---- budgets ---- */

/* What unpacking takes of an allocator that rounds as an arena does. */
static size_t taken;

static void *
counting_alloc(void *data, size_t size)
{
	(void)data;
	taken += (size + 15) & ~(size_t)15;
	return malloc(size + (size == 0));
}

static void
counting_free(void *data, void *memory)
{
	(void)data;
	free(memory);
}

static size_t
protobuf_takes(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t size)
{
	ProtobufCAllocator allocator = {counting_alloc, counting_free, NULL};
	ProtobufCMessage *message;

	taken = 0;
	message = protobuf_c_message_unpack(type, &allocator, size, bytes);
	assert_non_null(message);
	protobuf_c_message_free_unpacked(message, &allocator);
	return taken;
}

static farcall_code
unpack_lent(const ProtobufCMessageDescriptor *type, const wire *w, const fc_guard_limits *limits,
    size_t *used, size_t lent_size)
{
	static uint8_t lent[1 << 20];
	ProtobufCMessage *message = NULL;
	fc_error error = {0};
	farcall_code code;
	fc_arena arena;

	fc_arena_init(&arena, NULL, 0, lent, lent_size != 0 ? lent_size : sizeof lent);
	code = fc_unpack(
	    type, w->size != 0 ? w->bytes : lent, w->size, limits, &arena, &message, &error);
	*used = (size_t)(arena.at - arena.first);
	assert_int_equal(code, error.code);
	if (code != FARCALL_OK)
		assert_int_equal(error.cause, FARCALL_CAUSE_LIMIT);
	return code;
}

/* The message takes so many elements, and at most `slack` more of the arena than protobuf-c takes.
 * At these limits it passes, one byte or element less refuses it; so does an arena with no room for
 * the short cut, or with one byte too little. */
static void
check_budgets(const ProtobufCMessageDescriptor *type, wire *w, size_t elements, size_t slack)
{
	fc_guard_limits limits = {100, elements, GENEROUS};
	size_t used, again;

	assert_int_equal(unpack_lent(type, w, &limits, &used, 0), FARCALL_OK);
	assert_true(used <= protobuf_takes(type, w->bytes, w->size) + slack);
	limits.memory = used;
	assert_int_equal(unpack_lent(type, w, &limits, &again, 0), FARCALL_OK);
	assert_int_equal(again, used);
	assert_int_equal(unpack_lent(type, w, &limits, &again, used + 15), FARCALL_OK);
	assert_int_equal(again, used);
	assert_int_equal(
	    unpack_lent(type, w, &limits, &again, used - 1), FARCALL_RESOURCE_EXHAUSTED);
	limits.memory--;
	assert_int_equal(unpack_lent(type, w, &limits, &again, 0), FARCALL_RESOURCE_EXHAUSTED);
	limits.memory++;
	limits.elements--;
	assert_int_equal(unpack_lent(type, w, &limits, &again, 0), FARCALL_RESOURCE_EXHAUSTED);
	wire_free(w);
}

static void
test_budget_scalars(void **state)
{
	wire w = {0};

	(void)state;
	check_budgets(&guard__empty__descriptor, &w, 1, 0);
	for (unsigned size = 0; size < 70; size++) {
		wire_bytes(&w, 1,
		    "0123456789012345678901234567890123456789012345678901234567890123"
		    "456789",
		    size);
		check_budgets(
		    size & 1 ? &guard__text__descriptor : &guard__data__descriptor, &w, 2, 0);
	}
	for (unsigned n = 1; n < 120; n++) {
		for (unsigned i = 0; i < n; i++)
			wire_int(&w, 1, i);
		check_budgets(&guard__tree__descriptor, &w, 1 + n, 0);
	}
	for (unsigned n = 1; n < 20; n++) { /* unknown fields */
		for (unsigned i = 0; i < n; i++)
			wire_bytes(&w, 77, "0123456789012345678901234567890123456789", i);
		check_budgets(&guard__tree__descriptor, &w, 1 + n, 16);
	}
}

static void
test_budget_lists(void **state)
{
	wire w = {0}, packed = {0};

	(void)state;
	for (unsigned n = 1; n < 60; n++) {
		wire_byte(&packed, n & 0x7f);
		wire_bytes(&w, 1, packed.bytes, packed.size);
		wire_bytes(&w, 13, packed.bytes, packed.size);
		check_budgets(&guard__lists__descriptor, &w, 3 + 2 * n, 2 * 16);
		wire_bytes(&w, 1, packed.bytes, packed.size);
		wire_int(&w, 1, n); /* goes on: one moves, to twice the room from 8 on */
		check_budgets(&guard__lists__descriptor, &w, 3 + n, 32 + 8 * n + 32);
	}
	wire_bytes(&w, 13, "\x80\x80\x80\x01", 4);
	check_budgets(&guard__lists__descriptor, &w, 3, 0);
	wire_bytes(&w, 13, "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 10);
	check_budgets(&guard__lists__descriptor, &w, 3, 0);
	for (unsigned n = 1; n < 60; n++) {
		for (unsigned i = 0; i < n; i++)
			wire_bytes(&w, 2, "\x08\x05", 2);
		check_budgets(&guard__tree__descriptor, &w, 1 + 2 * n, 16);
	}
	wire_free(&packed);
}

/* Two lists that take turns: each moves now and then, in all to at most four times its size. */
static void
test_budget_turns(void **state)
{
	wire w = {0};
	size_t used;

	(void)state;
	for (unsigned i = 0; i < 10000; i++) {
		wire_int(&w, 17, i);
		wire_int(&w, 18, i & 1);
	}
	assert_int_equal(
	    unpack_lent(&guard__lists__descriptor, &w, &generous, &used, 0), FARCALL_OK);
	assert_true(used < 4 * 2 * 10000 * 4);
	wire_free(&w);
}

static void
test_budget_wide(void **state)
{
	wire w = {0};

	(void)state;
	wire_int(&w, 130, 1);
	wire_wrap(&w, 131);
	wire_int(&w, 130, 1);
	check_budgets(&guard2__wide__descriptor, &w, 4, 0);
}

/* What is left in the arena bounds the memory too. */
static void
test_budget_arena(void **state)
{
	wire w = {0};
	outcome *o;

	(void)state;
	for (unsigned i = 0; i < 10000; i++)
		wire_bytes(&w, 9, "", 0);
	o = unpack_limited(&guard__rich__descriptor, w.bytes, w.size, &generous, 65536);
	assert_int_equal(o->error.cause, FARCALL_CAUSE_LIMIT);
	assert_true(o->arena.used <= 65536);
	expect(o, FARCALL_RESOURCE_EXHAUSTED,
	    "guard.Rich.empties: takes more than 65536 bytes of memory");
	wire_free(&w);
	wire_bytes(&w, 1, "0123456789012345678901234567890123456789", 40);
	o = unpack_limited(&guard__text__descriptor, w.bytes, w.size, &generous, 64);
	expect(
	    o, FARCALL_RESOURCE_EXHAUSTED, "guard.Text.text: takes more than 64 bytes of memory");
	wire_free(&w);
}

/* ---- amplification ---- */

static double
seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void
expect_bomb(const ProtobufCMessageDescriptor *type, const char *unit, size_t unit_size, size_t most,
    farcall_code code)
{
	wire w = {0};
	outcome *o;
	double start;

	while (w.size + unit_size <= 4u * 1024 * 1024)
		wire_raw(&w, unit, unit_size);
	start = seconds();
	o = unpack_limited(type, w.bytes, w.size, &fc_guard_defaults, GENEROUS);
	assert_true(seconds() - start < 30.0); /* not quadratic: that would take hours */
	if (o->arena.used > most)
		fprintf(stderr, "%zu bytes of arena\n", o->arena.used);
	assert_true(o->arena.used <= most);
	if (code != FARCALL_OK)
		assert_int_equal(o->error.cause, FARCALL_CAUSE_LIMIT);
	expect(o, code, NULL);
	wire_free(&w);
}

#define NOTHING 4096u            /* next to nothing was taken before it was refused */
#define MOST (96u * 1024 * 1024) /* the limit of 64 MiB, and what blocks lose at their ends */

static void
test_bombs(void **state)
{
	const farcall_code no = FARCALL_RESOURCE_EXHAUSTED;

	(void)state;
	expect_bomb(&guard__rich__descriptor, BYTES("\x4a\x00"), NOTHING, no); /* empty messages */
	expect_bomb(&guard__rich__descriptor, BYTES("\x2a\x00"), NOTHING, no); /* of a map */
	expect_bomb(&guard__rich__descriptor, BYTES("\x3a\x00"), NOTHING, no);
	expect_bomb(&guard__empty__descriptor, BYTES("\x08\x01"), NOTHING, no); /* unknown */
	expect_bomb(&guard2__wide__descriptor, BYTES("\x9a\x08\x03\x90\x08\x01"), NOTHING, no);
	expect_bomb(&guard__rich__descriptor, BYTES("\x3a\x02\x3a\x00"), NOTHING, no);
	expect_bomb(&guard__rich__descriptor, BYTES("\x4a\x00\x50\x01"), MOST, no);
	/* what swells, but within the limits */
	expect_bomb(&guard__rich__descriptor, BYTES("\x50\x01"), MOST, FARCALL_OK);
	expect_bomb(&guard__choice__descriptor, BYTES("\x12\x00\x1a\x00"), MOST, FARCALL_OK);
	expect_bomb(&guard__lists__descriptor, BYTES("\x7a\x00"), MOST, FARCALL_OK);
	expect_bomb(&guard__tree__descriptor, BYTES("\x1a\x00"), NOTHING, FARCALL_OK);
	expect_bomb(&guard__tree__descriptor, BYTES("\x1a\x02\x12\x00"), MOST, no);
}

/* A type of very many fields must not make each part of few bytes cost very many steps. */
static void
test_many_fields(void **state)
{
	enum { FIELDS = 4000 };
	static const char *const units[] = {
	    "\x0a\x00", "\x12\x00\x80\x7d\x01", "\x0a\x03\x80\x7d\x01"}; /* field 2000 */
	static const size_t sizes[] = {2, 5, 5};
	static ProtobufCFieldDescriptor fields[FIELDS];
	static ProtobufCMessageDescriptor type;

	(void)state;
	type = guard__empty__descriptor;
	type.message_init = NULL;
	type.n_fields = FIELDS;
	type.fields = fields;
	for (unsigned i = 0; i < FIELDS; i++) {
		fields[i].name = "field";
		fields[i].id = i + 1;
		fields[i].label = PROTOBUF_C_LABEL_NONE;
		fields[i].type = i < 2 ? PROTOBUF_C_TYPE_MESSAGE : PROTOBUF_C_TYPE_INT32;
		fields[i].offset = (unsigned)(sizeof(ProtobufCMessage) + i * 8);
		fields[i].descriptor = i < 2 ? &type : NULL;
	}
	type.sizeof_message = sizeof(ProtobufCMessage) + FIELDS * 8;
	for (size_t i = 0; i < FC_COUNT(units); i++) {
		wire w = {0};
		size_t used;
		double start;

		while (w.size < 4u * 1024 * 1024)
			wire_raw(&w, units[i], sizes[i]);
		start = seconds();
		assert_int_equal(unpack_lent(&type, &w, &fc_guard_defaults, &used, 0), FARCALL_OK);
		assert_true(seconds() - start < 30.0); /* not quadratic: that would take hours */
		wire_free(&w);
	}
}

/* What people send must pass by default: 4 MiB in any honest shape. */
static void
test_defaults_are_wide(void **state)
{
	static uint8_t big[4u * 1024 * 1024 - 16];
	wire w = {0};

	(void)state;
	memset(big, 1, sizeof big);
	wire_bytes(&w, 1, big, sizeof big);
	expect(
	    unpack_limited(&guard__data__descriptor, w.bytes, w.size, &fc_guard_defaults, GENEROUS),
	    FARCALL_OK, NULL);
	expect(
	    unpack_limited(&guard__text__descriptor, w.bytes, w.size, &fc_guard_defaults, GENEROUS),
	    FARCALL_OK, NULL);
	expect(unpack_limited(
	           &guard__lists__descriptor, w.bytes, w.size, &fc_guard_defaults, GENEROUS),
	    FARCALL_OK, NULL);
	wire_free(&w);
	wire_bytes(&w, 4, big, sizeof big); /* of 64 bits each */
	expect(unpack_limited(
	           &guard__lists__descriptor, w.bytes, w.size, &fc_guard_defaults, GENEROUS),
	    FARCALL_OK, NULL);
	wire_free(&w);
}

/* ---- memory that runs out ---- */

static void
test_no_memory(void **state)
{
	size_t nth = 0;
	wire w = {0};
	outcome *o;

	(void)state;
	for (unsigned i = 0; i < 300; i++) {
		wire_bytes(&w, 5, "\x0a\x03key\x10\x05", 7);
		wire_bytes(&w, 10, "\x01\x02\x03", 3);
	}
	wire_raw(&w, "\x9b\x06\x9c\x06", 4); /* a group */
	wire_bytes(&w, 1, "", 0);
	do {
		test_allocator_fail_at(++nth, false);
		o = unpack(&guard__rich__descriptor, w.bytes, w.size);
		if (o->code != FARCALL_OK) {
			assert_int_equal(o->error.cause, FARCALL_CAUSE_OUT_OF_MEMORY);
			assert_string_equal(o->error.text, "guard.Rich: out of memory");
		}
		expect(o, test_allocator_failed() ? FARCALL_RESOURCE_EXHAUSTED : FARCALL_OK, NULL);
	} while (test_allocator_failed());
	assert_true(nth > 4);
	test_allocator_fail_at(0, false);
	wire_free(&w);
}

/* Each cap of the arena: enough or a clear refusal, never more than the cap. */
static void
test_arena_caps(void **state)
{
	farcall_code code = FARCALL_RESOURCE_EXHAUSTED;
	wire w = {0};

	(void)state;
	for (unsigned i = 0; i < 50; i++)
		wire_bytes(&w, 5, "\x0a\x03key\x10\x05", 7);
	wire_int(&w, 130, 1);
	for (size_t most = 0; code != FARCALL_OK; most += 64) {
		outcome *o =
		    unpack_limited(&guard__rich__descriptor, w.bytes, w.size, &generous, most);

		code = o->code;
		if (o->arena.used > most)
			fprintf(stderr, "%zu bytes of arena\n", o->arena.used);
		assert_true(o->arena.used <= most);
		assert_true(most < 65536);
		if (code != FARCALL_OK)
			assert_int_equal(o->error.cause, FARCALL_CAUSE_LIMIT);
		expect(o, code == FARCALL_OK ? FARCALL_OK : FARCALL_RESOURCE_EXHAUSTED, NULL);
	}
	wire_free(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(test_budget_scalars),
	    clean_test(test_budget_lists),
	    clean_test(test_budget_turns),
	    clean_test(test_budget_wide),
	    clean_test(test_budget_arena),
	    clean_test(test_bombs),
	    clean_test(test_many_fields),
	    clean_test(test_defaults_are_wide),
	    clean_test(test_no_memory),
	    clean_test(test_arena_caps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
