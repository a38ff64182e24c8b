/*
 * A singular submessage that comes in several parts is one message: each field of a later part
 * replaces that of an earlier one, lists go on, submessages are merged again, unknown fields
 * gather; in a oneof only if no other member came between. And descriptors that others made:
 * without names, without message_init.
 */
#include "tests/unit/call/oracle.h"
#include "tests/unit/call/unpack.h"

static Guard__Rich *
rich(outcome *o)
{
	assert_int_equal(o->code, FARCALL_OK);
	return (Guard__Rich *)(void *)o->message;
}

static void
test_scalars(void **state)
{
	wire w = {0}, part = {0};
	Guard__Scalars *got;
	outcome *o;

	(void)state;
	wire_int(&part, 1, 5);
	wire_bytes(&part, 15, "first", 5);
	wire_int(&part, 13, 1);
	wire_bytes(&w, 1, part.bytes, part.size);
	part.size = 0;
	wire_int(&part, 2, 3);
	wire_bytes(&part, 15, "second", 6);
	wire_int(&part, 77, 9);
	wire_bytes(&w, 1, part.bytes, part.size);
	wire_bytes(&w, 1, "\x58\x01", 2); /* wrong wire type, in the third part */
	o = unpack(&guard__rich__descriptor, w.bytes, w.size);
	expect(o, FARCALL_INVALID_ARGUMENT, "guard.Rich.scalars.k: varint at byte 30, not 32 bits");
	w.size -= 4;
	wire_bytes(&w, 1, "", 0);
	o = unpack(&guard__rich__descriptor, w.bytes, w.size);
	oracle_unpacked(&guard__rich__descriptor, w.bytes, w.size, o->message);
	got = rich(o)->scalars;
	assert_int_equal(got->a, 5);
	assert_int_equal(got->b, -2);
	assert_int_equal(got->m, 1);
	assert_string_equal(got->o, "second");
	assert_int_equal(got->base.n_unknown_fields, 1);
	finish(o);
	wire_free(&w);
	wire_free(&part);
}

/* Lists that grow part by part, past the size where they get a head. */
static void
test_lists(void **state)
{
	wire w = {0}, part = {0};

	(void)state;
	for (unsigned n = 1; n <= 40; n++) {
		outcome *o;
		Guard__Lists *got;

		part.size = 0;
		wire_int(&part, 17, n);
		wire_bytes(&part, 1, "\x01\x02\x03", 3);
		wire_bytes(&part, 15, "text", 4);
		wire_int(&part, 300, n);
		wire_bytes(&w, 2, part.bytes, part.size);
		o = unpack(&guard__rich__descriptor, w.bytes, w.size);
		oracle_unpacked(&guard__rich__descriptor, w.bytes, w.size, o->message);
		got = rich(o)->lists;
		assert_int_equal(got->n_loose, n);
		assert_int_equal(got->loose[n - 1], n);
		assert_int_equal(got->n_a, 3 * n);
		assert_int_equal(got->n_o, n);
		assert_int_equal(got->base.n_unknown_fields, n);
		finish(o);
	}
	wire_free(&w);
	wire_free(&part);
}

static void
test_oneofs(void **state)
{
	static const char *const ways[] = {"tt", "tnt", "tntt", "ttn", "nt", "tst", "tdtt", "ts"};

	(void)state;
	for (size_t i = 0; i < FC_COUNT(ways); i++) {
		wire w = {0};
		unsigned trees = 0;
		outcome *o;

		for (const char *way = ways[i]; *way != 0; way++) {
			if (*way == 't')
				wire_bytes(&w, 4, "\x12\x02\x08\x05", 4); /* a tree with a child */
			else if (*way == 'n')
				wire_int(&w, 1, 7);
			else
				wire_bytes(&w, *way == 's' ? 2 : 3, "x", 1);
			trees = *way == 't' ? trees + 1 : 0;
		}
		o = unpack(&guard__choice__descriptor, w.bytes, w.size);
		assert_int_equal(o->code, FARCALL_OK);
		oracle_unpacked(&guard__choice__descriptor, w.bytes, w.size, o->message);
		if (trees != 0)
			assert_int_equal(
			    ((Guard__Choice *)(void *)o->message)->tree->n_children, trees);
		finish(o);
		wire_free(&w);
	}
}

/* ---- descriptors that others made ---- */

#define FIELDS 8

static void
copy_type(const ProtobufCMessageDescriptor *from, ProtobufCMessageDescriptor *type,
    ProtobufCFieldDescriptor *fields)
{
	assert_true(from->n_fields <= FIELDS);
	*type = *from;
	memcpy(fields, from->fields, from->n_fields * sizeof *fields);
	type->fields = fields;
}

/* As of optimize_for = CODE_SIZE. */
static void
test_without_names(void **state)
{
	ProtobufCFieldDescriptor fields[FIELDS];
	ProtobufCMessageDescriptor type;

	(void)state;
	copy_type(&guard__tree__descriptor, &type, fields);
	type.name = type.short_name = type.c_name = type.package_name = NULL;
	for (unsigned i = 0; i < type.n_fields; i++) {
		fields[i].name = NULL;
		if (fields[i].type == PROTOBUF_C_TYPE_MESSAGE)
			fields[i].descriptor = &type;
	}
	expect(unpack(&type, BYTES("\x08")), FARCALL_INVALID_ARGUMENT,
	    "message.1: varint cut off at byte 0");
	expect(unpack(&type, BYTES("\x1a\x04\x12\x02\x08\x80")), FARCALL_INVALID_ARGUMENT,
	    "message.3.2.1: varint cut off at byte 4");
	expect(unpack(&type, BYTES("\x1a\x02\x08\x05")), FARCALL_OK, NULL);
	test_allocator_fail_at(1, false);
	expect(unpack(&type, BYTES("")), FARCALL_RESOURCE_EXHAUSTED, "message: out of memory");
	test_allocator_fail_at(0, false);
}

/* As of old generated code: defaults come from the descriptor. */
static void
test_without_init(void **state)
{
	ProtobufCFieldDescriptor fields[FIELDS];
	ProtobufCMessageDescriptor type;
	Guard2__Need *got;
	outcome *o;

	(void)state;
	copy_type(&guard2__need__descriptor, &type, fields);
	type.message_init = NULL;
	o = unpack(&type, BYTES("\x08\x01\x12\x01x\x20\x05"));
	assert_int_equal(o->code, FARCALL_OK);
	oracle_unpacked(&type, (const uint8_t *)"\x08\x01\x12\x01x\x20\x05", 7, o->message);
	got = (Guard2__Need *)(void *)o->message;
	assert_int_equal(got->preset, 7);
	assert_string_equal(got->word, "none");
	assert_int_equal(got->raw.len, 3);
	assert_memory_equal(got->raw.data, "raw", 3);
	assert_null(got->next);
	assert_int_equal(got->n_loose, 1);
	finish(o);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(test_scalars),
	    clean_test(test_lists),
	    clean_test(test_oneofs),
	    clean_test(test_without_names),
	    clean_test(test_without_init),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
