/*
 * Payloads give the same bytes flat and poured, small and large, and those that protobuf-c gives;
 * messages that are nested too deep, or hold themselves, are refused.
 */
#include "tests/support/test.h"

#include "runtime/call/marshal.h"
#include "tests/unit/call/guard_test.pb-c.h"
#include "tests/unit/call/guard_test2.pb-c.h"
#include "tests/unit/call/oracle.h"

typedef struct test_sink {
	fc_sink base;
	wire got;
} test_sink;

static void
sink_add(fc_sink *sink, const uint8_t *bytes, size_t size)
{
	assert_true(size > 0);
	wire_raw(&((test_sink *)(void *)sink)->got, bytes, size);
}

static void
check_payload(const fc_payload *payload, const uint8_t *bytes, size_t size)
{
	test_sink sink = {{sink_add}, {0}};
	uint8_t flat[256];

	assert_int_equal(payload->size, size);
	memset(flat, 0xee, sizeof flat);
	payload->flat(payload, flat);
	assert_memory_equal(flat, bytes, size);
	assert_int_equal(flat[size], 0xee);
	payload->pour(payload, &sink.base);
	assert_int_equal(sink.got.size, size);
	if (size != 0)
		assert_memory_equal(sink.got.bytes, bytes, size);
	wire_free(&sink.got);
}

static void
test_payloads(void **state)
{
	Guard__Scalars message;
	fc_payload payload;
	uint8_t packed[256];
	fc_text text;
	size_t size;

	(void)state;
	guard__scalars__init(&message);
	assert_true(fc_payload_of_message(&payload, &message.base));
	check_payload(&payload, packed, 0);
	message.a = -1;
	message.o = (char *)(uintptr_t) "some text";
	message.p.data = (uint8_t *)(uintptr_t) "\0\1\2";
	message.p.len = 3;
	size = protobuf_c_message_pack(&message.base, packed);
	assert_true(fc_payload_of_message(&payload, &message.base));
	check_payload(&payload, packed, size);
	text.at = (const char *)packed;
	text.size = size;
	fc_payload_of_bytes(&payload, &text);
	check_payload(&payload, packed, size);
	text.at = NULL;
	text.size = 0;
	fc_payload_of_bytes(&payload, &text);
	check_payload(&payload, packed, 0);
}

/* A chain of so many trees, in memory of the caller's. */
static Guard__Tree *
chain(Guard__Tree *trees, unsigned depth)
{
	for (unsigned i = 0; i < depth; i++) {
		guard__tree__init(&trees[i]);
		trees[i].value = (int32_t)i - 3;
		trees[i].only = i + 1 < depth ? &trees[i + 1] : NULL;
	}
	return trees;
}

static void
test_depth(void **state)
{
	static Guard__Tree trees[101];
	Guard__Tree *both[2] = {&trees[0], &trees[0]};
	fc_payload payload;

	(void)state;
	oracle_pack(&chain(trees, 100)->base);
	assert_false(fc_payload_of_message(&payload, &chain(trees, 101)->base));
	chain(trees, 100)[99].n_children = 1; /* by a list, too */
	trees[99].children = &both[0];
	guard__tree__init(&trees[100]);
	both[0] = &trees[100];
	assert_false(fc_payload_of_message(&payload, &trees[0].base));
	chain(trees, 1)->only = &trees[0]; /* holds itself */
	assert_false(fc_payload_of_message(&payload, &trees[0].base));
	both[0] = both[1] = &trees[0]; /* twice */
	chain(trees, 1)->children = both;
	trees[0].n_children = 2;
	assert_false(fc_payload_of_message(&payload, &trees[0].base));
}

/* What is not there, in all ways in which a field may not be there. */
static void
test_odd_values(void **state)
{
	Guard2__Need need, inner;
	Guard2__Optional optional;
	Guard__Choice choice;
	Guard__Scalars scalars;

	(void)state;
	guard2__need__init(&need);
	oracle_pack(&need.base); /* a required string that is NULL */
	need.id = -5;
	need.name = (char *)(uintptr_t) "";
	need.has_raw = true;
	guard2__need__init(&inner);
	need.next = &inner;
	oracle_pack(&need.base);
	guard2__optional__init(&optional);
	optional.has_a = optional.has_b = optional.has_c = optional.has_e = true;
	optional.d = (char *)(uintptr_t) "";
	oracle_pack(&optional.base);
	guard__choice__init(&choice);
	for (int i = GUARD__CHOICE__ONE__NOT_SET; i <= GUARD__CHOICE__ONE_REAL; i++) {
		choice.one_case = (Guard__Choice__OneCase)i;
		memset(&choice.data, 0, sizeof choice.data);
		oracle_pack(&choice.base);
	}
	choice.one_case = GUARD__CHOICE__ONE_TEXT;
	choice.text = (char *)(uintptr_t)protobuf_c_empty_string;
	oracle_pack(&choice.base);
	guard__scalars__init(&scalars);
	scalars.k = -0.0f;
	scalars.l = -0.0;
	scalars.o = NULL;
	oracle_pack(&scalars.base);
	scalars.k = scalars.l = 1e-30f;
	scalars.m = 2;
	scalars.n = GUARD__COLOUR__BLUE;
	oracle_pack(&scalars.base);
}

/* Sizes around those where bytes are copied, buffered and poured in another way. */
static void
test_sizes(void **state)
{
	static const size_t sizes[] = {0, 1, 7, 8, 9, 15, 16, 31, 32, 63, 64, 65, 127, 128, 4080,
	    4093, 4094, 4095, 4096, 4097, 8192, 16383, 16384, 70000};
	static char text[70001];
	static int32_t numbers[70000];
	Guard__Rich rich;
	Guard__Scalars scalars;
	Guard__Lists lists;
	char *texts[3] = {text, text, text};

	(void)state;
	for (size_t i = 0; i < FC_COUNT(sizes); i++) {
		memset(text, 0, sizeof text);
		memset(text, 'x', sizes[i]);
		for (size_t j = 0; j < sizes[i]; j++)
			numbers[j] = (int32_t)(j * 2654435761u) >> (j & 31);
		guard__rich__init(&rich);
		guard__scalars__init(&scalars);
		guard__lists__init(&lists);
		scalars.p.data = (uint8_t *)text;
		scalars.p.len = sizes[i];
		oracle_pack(&scalars.base);
		scalars.o = text;
		scalars.a = -1;
		lists.n_a = lists.n_b = lists.n_loose = lists.n_m = lists.n_k = sizes[i];
		lists.a = lists.b = lists.loose = lists.m = numbers;
		lists.k = (float *)(void *)numbers;
		lists.n_o = 3;
		lists.o = texts;
		rich.scalars = &scalars;
		rich.lists = &lists;
		oracle_pack(&rich.base);
	}
}

/* Large messages in a deep and broad tree: sizes are remembered for some and found anew for the
 * others. */
static void
test_large_tree(void **state)
{
	enum { BROAD = 6, DEEP = 40, LEAVES = 2000 };
	static Guard__Tree trees[BROAD][DEEP], leaves[LEAVES], root;
	static Guard__Tree *leaf[LEAVES], *children[BROAD];

	(void)state;
	for (unsigned i = 0; i < LEAVES; i++) {
		leaf[i] = chain(&leaves[i], 1);
		leaves[i].value = (int32_t)(i * i);
	}
	for (unsigned i = 0; i < BROAD; i++) {
		children[i] = chain(trees[i], DEEP);
		trees[i][DEEP - 1].children = leaf;
		trees[i][DEEP - 1].n_children = LEAVES;
	}
	guard__tree__init(&root);
	root.children = children;
	root.n_children = BROAD;
	oracle_pack(&root.base);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(test_payloads),
	    clean_test(test_depth),
	    clean_test(test_odd_values),
	    clean_test(test_sizes),
	    clean_test(test_large_tree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
