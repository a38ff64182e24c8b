/*
 * What the guard refuses, each rule with the text it gives, and the depth at the limit and one past
 * it; what it leaves out.
 */
#include "tests/unit/call/unpack.h"

#include "runtime/base/utf8.h"

/* ---- table of refusals ---- */

typedef struct refusal {
	const ProtobufCMessageDescriptor *type;
	const char *bytes;
	size_t size;
	const char *text; /* NULL: accepted */
} refusal;

static const refusal refusals[] = {
    /* keys */
    {&guard__empty__descriptor, BYTES(""), NULL},
    {&guard__empty__descriptor, BYTES("\x00\x00"), "guard.Empty: field number 0 at byte 0"},
    {&guard__empty__descriptor, BYTES("\x80\x00\x00"), "guard.Empty: field number 0 at byte 0"},
    {&guard__empty__descriptor, BYTES("\x80"), "guard.Empty: field number cut off at byte 0"},
    {&guard__empty__descriptor, BYTES("\xf8\xff\xff\xff\x0f\x01"), NULL},
    {&guard__empty__descriptor, BYTES("\xf8\xff\xff\xff\x1f\x01"),
        "guard.Empty: field number 1073741823 at byte 0"},
    {&guard__empty__descriptor, BYTES("\x88\x80\x80\x80\x80\x00\x01"),
        "guard.Empty: field number of more than 5 bytes at byte 0"},
    {&guard__empty__descriptor, BYTES("\x0e\x01"), "guard.Empty: wire type 6 at byte 0"},
    {&guard__empty__descriptor, BYTES("\x0f\x01"), "guard.Empty: wire type 7 at byte 0"},
    /* varints, in fields known and unknown */
    {&guard__tree__descriptor, BYTES("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), NULL},
    {&guard__tree__descriptor, BYTES("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        "guard.Tree.value: varint of more than 10 bytes at byte 0"},
    {&guard__tree__descriptor, BYTES("\x08"), "guard.Tree.value: varint cut off at byte 0"},
    {&guard__tree__descriptor, BYTES("\x08\x80"), "guard.Tree.value: varint cut off at byte 0"},
    {&guard__empty__descriptor, BYTES("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), NULL},
    {&guard__empty__descriptor, BYTES("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        "guard.Empty: varint of more than 10 bytes at byte 0"},
    {&guard__empty__descriptor, BYTES("\x08\x01\x08\x80"), "guard.Empty: varint cut off at byte 2"},
    /* fixed */
    {&guard__scalars__descriptor, BYTES("\x1d\x01\x02\x03\x04"), NULL},
    {&guard__scalars__descriptor, BYTES("\x1d\x01\x02\x03"), "guard.Scalars.c: cut off at byte 0"},
    {&guard__scalars__descriptor, BYTES("\x31\x01\x02\x03\x04\x05\x06\x07\x08"), NULL},
    {&guard__scalars__descriptor, BYTES("\x31\x01\x02\x03\x04\x05\x06\x07"),
        "guard.Scalars.f: cut off at byte 0"},
    {&guard__choice__descriptor, BYTES("\x31\x01\x02\x03\x04\x05\x06\x07\x08"), NULL},
    {&guard__choice__descriptor, BYTES("\x31\x01\x02\x03\x04\x05\x06\x07"),
        "guard.Choice.real: cut off at byte 0"},
    {&guard__empty__descriptor, BYTES("\x0d\x01\x02\x03"), "guard.Empty: cut off at byte 0"},
    {&guard__empty__descriptor, BYTES("\x09\x01\x02\x03"), "guard.Empty: cut off at byte 0"},
    /* lengths */
    {&guard__text__descriptor,
        BYTES("\x0a\x03"
              "abc"),
        NULL},
    {&guard__text__descriptor,
        BYTES("\x0a\x04"
              "abc"),
        "guard.Text.text: length 4, but only 3 bytes follow"},
    {&guard__text__descriptor, BYTES("\x0a"), "guard.Text: length cut off at byte 0"},
    {&guard__text__descriptor,
        BYTES("\x0a\x83\x80\x80\x80\x00"
              "abc"),
        NULL},
    {&guard__text__descriptor,
        BYTES("\x0a\x83\x80\x80\x80\x80\x00"
              "abc"),
        "guard.Text: length of more than 5 bytes at byte 0"},
    {&guard__text__descriptor, BYTES("\x0a\xff\xff\xff\xff\x7f"),
        "guard.Text.text: length 34359738367, but only 0 bytes follow"},
    {&guard__empty__descriptor, BYTES("\x0a\x02\x01"),
        "guard.Empty: length 2, but only 1 bytes follow"},
    {&guard__tree__descriptor, BYTES("\x1a\x02\x1a\x01\x00"),
        "guard.Tree.only.only: length 1, but only 0 bytes follow"},
    /* wire types that do not fit */
    {&guard__tree__descriptor, BYTES("\x0d\x01\x02\x03\x04"),
        "guard.Tree.value: 32 bits at byte 0, not varint"},
    {&guard__text__descriptor, BYTES("\x08\x01"),
        "guard.Text.text: varint at byte 0, not length-delimited"},
    {&guard__tree__descriptor, BYTES("\x0b\x0c"), "guard.Tree.value: group at byte 0, not varint"},
    {&guard__tree__descriptor, BYTES("\x0a\x01\x05"),
        "guard.Tree.value: length-delimited at byte 0, not varint"},
    {&guard__scalars__descriptor, BYTES("\x6d\x01\x02\x03\x04"),
        "guard.Scalars.m: 32 bits at byte 0, not varint"},
    {&guard__scalars__descriptor, BYTES("\x6a\x01\x01"),
        "guard.Scalars.m: length-delimited at byte 0, not varint"},
    {&guard__lists__descriptor, BYTES("\x7d\x01\x02\x03\x04"),
        "guard.Lists.o: 32 bits at byte 0, not length-delimited"},
    /* packed or not: both are taken everywhere */
    {&guard__lists__descriptor, BYTES("\x0a\x03\x01\x02\x03\x08\x04\x8a\x01\x02\x05\x06"), NULL},
    {&guard__lists__descriptor, BYTES("\x0a\x03\x01\x02\x83"),
        "guard.Lists.a: varint cut off at byte 2"},
    {&guard__lists__descriptor, BYTES("\x0a\x0b\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        "guard.Lists.a: varint of more than 10 bytes at byte 0"},
    {&guard__lists__descriptor, BYTES("\x0a\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), NULL},
    {&guard__lists__descriptor, BYTES("\x1a\x05\x01\x02\x03\x04\x05"),
        "guard.Lists.c: a packed list of 5 bytes, not a multiple of 4"},
    {&guard__lists__descriptor, BYTES("\x32\x07\x01\x02\x03\x04\x05\x06\x07"),
        "guard.Lists.f: a packed list of 7 bytes, not a multiple of 8"},
    {&guard__lists__descriptor, BYTES("\x6a\x04\x01\x80\x80\x00"), NULL},
    {&guard__lists__descriptor, BYTES("\x72\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), NULL},
    /* enums are open */
    {&guard__scalars__descriptor, BYTES("\x70\xe7\x07"), NULL},
    /* groups */
    {&guard__empty__descriptor, BYTES("\x0b\x0c"), NULL},
    {&guard__empty__descriptor, BYTES("\x0b\x13\x08\x01\x14\x0c"), NULL},
    {&guard__empty__descriptor, BYTES("\x0b"), "guard.Empty: group 1 has no end"},
    {&guard__empty__descriptor, BYTES("\x0b\x13\x14"), "guard.Empty: group 1 has no end"},
    {&guard__empty__descriptor, BYTES("\x0c"), "guard.Empty: end of group at byte 0"},
    {&guard__empty__descriptor, BYTES("\x0b\x14"), "guard.Empty: group 1 ended by 2 at byte 1"},
    {&guard__empty__descriptor, BYTES("\x0b\x0a\x05\x01\x0c"),
        "guard.Empty: length 5, but only 2 bytes follow"},
    {&guard__empty__descriptor, BYTES("\x0b\x00\x0c"), "guard.Empty: field number 0 at byte 1"},
    {&guard__tree__descriptor, BYTES("\x1a\x01\x53\x54"), "guard.Tree.only: group 10 has no end"},
    /* singular messages given twice, in a message and in a oneof; scalars: the last one counts */
    {&guard__tree__descriptor, BYTES("\x1a\x00\x1a\x00"), NULL},
    {&guard__choice__descriptor, BYTES("\x22\x00\x08\x01\x22\x00"), NULL},
    {&guard__choice__descriptor, BYTES("\x22\x00\x08\x01\x12\x01x\x12\x02yz\x28\x01"), NULL},
    {&guard__tree__descriptor, BYTES("\x08\x01\x08\x02"), NULL},
    /* required */
    {&guard2__need__descriptor, BYTES("\x08\x01\x12\x01x"), NULL},
    {&guard2__need__descriptor, BYTES("\x08\x01"), "guard2.Need.name: required, but missing"},
    {&guard2__need__descriptor, BYTES("\x12\x01x"), "guard2.Need.id: required, but missing"},
    {&guard2__need__descriptor, BYTES("\x08\x01\x12\x01x\x1a\x02\x08\x01"),
        "guard2.Need.next.name: required, but missing"},
    {&guard2__need__descriptor, BYTES("\x08\x01\x12\x01x\x1a\x02\x08\x01\x1a\x03\x12\x01x"),
        "guard2.Need.next.name: required, but missing"}, /* in each part */
    {&guard2__wide__descriptor, BYTES("\x90\x08\x01"), NULL},
    {&guard2__wide__descriptor, BYTES("\x08\x01"), "guard2.Wide.last: required, but missing"},
    {&guard2__wide__descriptor, BYTES("\x90\x08\x01\x9a\x08\x03\x90\x08\x01\x9a\x08\x00"),
        "guard2.Wide.wides.last: required, but missing"},
    /* a path of many steps */
    {&guard__tree__descriptor,
        BYTES("\x1a\x12\x1a\x10\x1a\x0e\x1a\x0c\x1a\x0a\x1a\x08\x1a\x06\x1a\x04\x1a\x02\x08\x80"),
        "guard.Tree.only.only.only....only.only.only.only.value: varint cut off at byte 18"},
};

static void
test_refusals(void **state)
{
	(void)state;
	for (size_t i = 0; i < FC_COUNT(refusals); i++) {
		const refusal *r = &refusals[i];
		outcome *o = unpack(r->type, r->bytes, r->size);

		if (r->text == NULL)
			expect(o, FARCALL_OK, NULL);
		else
			expect(o, FARCALL_INVALID_ARGUMENT, r->text);
	}
}

/* ---- text ---- */

typedef struct text_case {
	const char *text;
	size_t size, good; /* good: bytes before the first wrong one */
} text_case;

static const text_case texts[] = {
    {BYTES(""), 0},
    {BYTES("plain"), 5},
    {BYTES("\x7f"), 1},
    {BYTES("a\0b"), 1},
    {BYTES("\x80"), 0},
    {BYTES("\xbf"), 0},
    {BYTES("ab\xc0\x80"), 2},
    {BYTES("\xc1\xbf"), 0},
    {BYTES("\xc2\x80"), 2},
    {BYTES("\xc2\x7f"), 0},
    {BYTES("\xc2\xc0"), 0},
    {BYTES("\xdf\xbf"), 2},
    {BYTES("\xdf"), 0},
    {BYTES("\xe0\x9f\xbf"), 0},
    {BYTES("\xe0\xa0\x80"), 3},
    {BYTES("\xe0\xa0"), 0},
    {BYTES("\xe1\x80\x80"), 3},
    {BYTES("\xec\xbf\xbf"), 3},
    {BYTES("\xed\x9f\xbf"), 3},
    {BYTES("\xed\xa0\x80"), 0},
    {BYTES("\xed\xbf\xbf"), 0},
    {BYTES("\xee\x80\x80"), 3},
    {BYTES("\xef\xbf\xbf"), 3},
    {BYTES("\xef\xbf\xc0"), 0},
    {BYTES("\xf0\x8f\xbf\xbf"), 0},
    {BYTES("\xf0\x90\x80\x80"), 4},
    {BYTES("\xf0\x90\x80"), 0},
    {BYTES("\xf1\x80\x80\x80"), 4},
    {BYTES("\xf3\xbf\xbf\xbf"), 4},
    {BYTES("\xf4\x8f\xbf\xbf"), 4},
    {BYTES("\xf4\x90\x80\x80"), 0},
    {BYTES("\xf5\x80\x80\x80"), 0},
    {BYTES("\xff"), 0},
    {BYTES("\xfe"), 0},
    {BYTES("0123456789abcdef\xe2\x82\xac"
           "0123456789abcdef\xe2\x82"),
        35},
};

static void
test_text_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < FC_COUNT(texts); i++) {
		uint8_t text[64]; /* what follows would complete a character that is cut off */
		size_t good;

		memset(text, 0x80, sizeof text);
		memcpy(text, texts[i].text, texts[i].size);
		good = fc_utf8_check(text, texts[i].size);
		if (good != texts[i].good)
			fprintf(stderr, "text %zu\n", i);
		assert_int_equal(good, texts[i].good);
	}
}

/* The plain way: decodes, then asks whether the shortest form was used. */
static size_t
decode_slowly(const uint8_t *at, size_t size)
{
	static const uint32_t least[5] = {0, 1, 0x80, 0x800, 0x10000};
	size_t n = at[0] < 0x80 ? 1 : at[0] >> 5 == 6 ? 2 : at[0] >> 4 == 14 ? 3 : 4;
	uint32_t value = n == 1 ? at[0] : at[0] & (0x7fu >> n);

	if ((at[0] >= 0x80 && at[0] < 0xc0) || at[0] >= 0xf8 || n > size)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if (at[i] >> 6 != 2)
			return 0;
		value = value << 6 | (at[i] & 0x3f);
	}
	if (value < least[n] || value > 0x10ffff || (value >= 0xd800 && value < 0xe000))
		return 0;
	return n;
}

/* All leads and second bytes, with thirds and fourths at the borders, at every alignment. */
static void
test_text_all(void **state)
{
	static const uint8_t ends[] = {0x00, 0x41, 0x7f, 0x80, 0x9f, 0xbf, 0xc0, 0xff};
	uint8_t text[48];

	(void)state;
	for (unsigned i = 0; i < 256 * 256 * 64; i++) {
		size_t from = i % 41, expected;
		uint8_t c[4] = {
		    (uint8_t)(i >> 14), (uint8_t)(i >> 6), ends[i >> 3 & 7], ends[i & 7]};

		memset(text, 'a', sizeof text);
		memcpy(text + from, c, sizeof c);
		expected = from;
		for (size_t n = 1; n != 0 && expected < from + 4; expected += n)
			n = decode_slowly(text + expected, sizeof text - expected);
		if (expected >= from + 4)
			expected = sizeof text;
		assert_int_equal(fc_utf8_check(text, sizeof text), expected);
	}
}

static void
test_text_errors(void **state)
{
	wire w = {0};

	(void)state;
	wire_bytes(&w, 1, "0123456789abcdefg\xff", 18);
	expect(unpack(&guard__text__descriptor, w.bytes, w.size), FARCALL_INVALID_ARGUMENT,
	    "guard.Text.text: not UTF-8 at byte 17");
	wire_free(&w);
	wire_bytes(&w, 15, "ab\0c", 4);
	expect(unpack(&guard__lists__descriptor, w.bytes, w.size), FARCALL_INVALID_ARGUMENT,
	    "guard.Lists.o: NUL at byte 2");
	wire_free(&w);
	wire_bytes(&w, 1, "\xed\xa0\x80", 3); /* the key of a map's entry */
	wire_wrap(&w, 5);
	expect(unpack(&guard__rich__descriptor, w.bytes, w.size), FARCALL_INVALID_ARGUMENT,
	    "guard.Rich.numbers.key: not UTF-8 at byte 0");
	wire_free(&w);
	wire_bytes(&w, 1, "\xff\0\xfe", 3); /* bytes are free */
	expect(unpack(&guard__data__descriptor, w.bytes, w.size), FARCALL_OK, NULL);
	wire_free(&w);
}

/* ---- depth ---- */

/* A tree of so many levels, by field 2 or 3; with `groups`, the innermost is a group. */
static wire
nested(unsigned depth, uint32_t number, unsigned groups)
{
	wire w = {0};

	for (unsigned i = 0; i < groups; i++)
		wire_key(&w, 9, W_GROUP);
	for (unsigned i = 0; i < groups; i++)
		wire_key(&w, 9, W_GROUP_END);
	for (unsigned i = 1; i < depth; i++)
		wire_wrap(&w, number);
	return w;
}

static void
expect_depth(unsigned depth, uint32_t number, unsigned groups, unsigned most, farcall_code code)
{
	fc_guard_limits limits = {most, GENEROUS, GENEROUS};
	wire w = nested(depth, number, groups);
	outcome *o = unpack_limited(&guard__tree__descriptor, w.bytes, w.size, &limits, GENEROUS);

	if (code != FARCALL_OK) {
		assert_non_null(strstr(o->error.text, "nested deeper than "));
		assert_int_equal(o->error.cause, FARCALL_CAUSE_LIMIT);
	}
	expect(o, code, NULL);
	wire_free(&w);
}

static void
test_depth(void **state)
{
	(void)state;
	expect_depth(100, 2, 0, 100, FARCALL_OK);
	expect_depth(101, 2, 0, 100, FARCALL_RESOURCE_EXHAUSTED);
	expect_depth(100, 3, 0, 100, FARCALL_OK);
	expect_depth(101, 3, 0, 100, FARCALL_RESOURCE_EXHAUSTED);
	expect_depth(101, 3, 0, 1000000, FARCALL_RESOURCE_EXHAUSTED); /* no limit is higher */
	expect_depth(5, 3, 0, 5, FARCALL_OK);
	expect_depth(6, 3, 0, 5, FARCALL_RESOURCE_EXHAUSTED);
	expect_depth(1, 3, 0, 1, FARCALL_OK);
	expect_depth(1, 3, 0, 0, FARCALL_RESOURCE_EXHAUSTED);
	expect_depth(1, 3, 99, 100, FARCALL_OK);
	expect_depth(1, 3, 100, 100, FARCALL_RESOURCE_EXHAUSTED);
	expect_depth(60, 3, 40, 100, FARCALL_OK);
	expect_depth(60, 3, 41, 100, FARCALL_RESOURCE_EXHAUSTED);
	expect_depth(10000, 3, 0, 100, FARCALL_RESOURCE_EXHAUSTED); /* 34 KB that kill protobuf-c */
	expect_depth(1, 3, 200000, 100, FARCALL_RESOURCE_EXHAUSTED);
}

/* ---- left out ---- */

static void
expect_repacked(const ProtobufCMessageDescriptor *type, wire *w, wire *wanted)
{
	outcome *o = unpack(type, w->bytes, w->size);
	uint8_t packed[256];
	size_t size;

	assert_int_equal(o->code, FARCALL_OK);
	assert_int_equal(o->message->n_unknown_fields, 0);
	size = protobuf_c_message_get_packed_size(o->message);
	assert_int_equal(size, wanted->size);
	assert_int_equal(protobuf_c_message_pack(o->message, packed), size);
	assert_memory_equal(packed, wanted->bytes, size);
	finish(o);
	wire_free(w);
	wire_free(wanted);
}

static void
test_groups_left_out(void **state)
{
	wire w = {0}, wanted = {0};

	(void)state;
	wire_int(&w, 1, 5);
	wire_raw(&w, "\x53\x08\x01\x5b\x5c\x54", 6); /* group 10 { 1: 1, group 11 {} } */
	wire_wrap(&w, 3);
	wire_raw(&w, "\x53\x54", 2);
	wire_wrap(&w, 3);
	wire_raw(&w, "\x53\x0a\x02\x54\x54\x54", 6); /* an end of group in bytes is none */
	wire_int(&wanted, 1, 5);
	wire_wrap(&wanted, 3);
	wire_wrap(&wanted, 3);
	expect_repacked(&guard__tree__descriptor, &w, &wanted);

	for (unsigned i = 0; i < 70; i++) /* a length of two bytes becomes a small one */
		wire_raw(&w, "\x53\x54", 2);
	wire_int(&w, 1, 7);
	wire_wrap(&w, 2);
	wire_int(&wanted, 1, 7);
	wire_wrap(&wanted, 2);
	expect_repacked(&guard__tree__descriptor, &w, &wanted);

	wire_bytes(&w, 1, "", 0); /* packed lists of nothing */
	wire_bytes(&w, 3, "", 0);
	wire_bytes(&w, 2, "\x01", 1);
	wire_bytes(&w, 13, "", 0);
	wire_bytes(&wanted, 2, "\x01", 1);
	expect_repacked(&guard__lists__descriptor, &w, &wanted);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(test_refusals),
	    clean_test(test_text_table),
	    clean_test(test_text_all),
	    clean_test(test_text_errors),
	    clean_test(test_depth),
	    clean_test(test_groups_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
