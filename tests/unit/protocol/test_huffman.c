/*
 * The Huffman code: every symbol and every pair both ways, the tables against the code itself, and
 * what may stand at the end of a string.
 */
#include "tests/support/test.h"

#include "runtime/base/bytes.h"
#include "runtime/protocol/h2/fields.h"
#include "runtime/protocol/h2/huffman.h"

#include <stdlib.h>

/* Decodes an exact copy, so that a read behind it is seen by tools. */
static bool
decode(const uint8_t *bytes, size_t size, char *to, size_t *to_size, unsigned *kinds)
{
	uint8_t *from = (uint8_t *)malloc(size + (size == 0));
	char *room = (char *)malloc(FC_HUFFMAN_ROOM(size));
	bool ok;

	assert_non_null(from);
	assert_non_null(room);
	memcpy(from, bytes, size);
	ok = fc_huffman_decode(from, size, room, to_size, kinds);
	if (ok)
		memcpy(to, room, *to_size);
	free(from);
	free(room);
	return ok;
}

static void
round_trip(const char *text, size_t size)
{
	uint8_t coded[2048];
	char back[1024];
	size_t coded_size = fc_huffman_size(text, size), back_size = 0;
	unsigned kinds = 0;

	assert_true(fc_huffman_encode(text, size, coded) == coded + coded_size);
	assert_true(decode(coded, coded_size, back, &back_size, &kinds));
	assert_int_equal(back_size, size);
	assert_memory_equal(back, text, size);
	assert_int_equal(kinds & FC_TEXT_NOT_VALUE, fc_field_value_kinds(text, size));
	assert_int_equal(kinds & FC_TEXT_NOT_NAME, fc_field_name_kinds(text, size));
}

static void
every_text_comes_back(void **state)
{
	char text[256];
	test_random random;

	(void)state;
	round_trip("", 0);
	for (unsigned a = 0; a < 256; a++) {
		for (unsigned b = 0; b < 256; b++) {
			text[0] = (char)a;
			text[1] = (char)b;
			round_trip(text, 2);
		}
		/* Alone, and behind 0 to 20 short codes: every place in a batch. */
		for (size_t n = 0; n < 20; n++) {
			memset(text, 'e', sizeof text);
			text[n] = (char)a;
			round_trip(text, n + 1);
			round_trip(text, n + 1 + 30);
		}
	}
	test_random_seed(&random, 1);
	for (int i = 0; i < 20000; i++) {
		size_t size = test_random_below(&random, 200);
		uint32_t wide = test_random_below(&random, 8);

		for (size_t k = 0; k < size; k++)
			text[k] = (char)(wide == 0 ? test_random_below(&random, 256)
			                           : 0x20 + test_random_below(&random, 0x5f));
		round_trip(text, size);
	}
}

static void
rfc_examples(void **state)
{
	static const struct {
		const char *text;
		size_t size;
		uint8_t coded[32];
	} rows[] = {
	    {"www.example.com", 12,
	        {0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff}},
	    {"no-cache", 6, {0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf}},
	    {"custom-key", 8, {0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xa9, 0x7d, 0x7f}},
	    {"custom-value", 9, {0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xb8, 0xe8, 0xb4, 0xbf}},
	    {"302", 2, {0x64, 0x02}},
	    {"private", 5, {0xae, 0xc3, 0x77, 0x1a, 0x4b}},
	};

	(void)state;
	for (size_t i = 0; i < FC_COUNT(rows); i++) {
		uint8_t coded[64];
		size_t size = strlen(rows[i].text);

		assert_int_equal(fc_huffman_size(rows[i].text, size), rows[i].size);
		fc_huffman_encode(rows[i].text, size, coded);
		assert_memory_equal(coded, rows[i].coded, rows[i].size);
	}
}

static void
ends_are_checked(void **state)
{
	static const struct {
		bool good;
		size_t size;
		uint8_t bytes[16];
	} rows[] = {
	    {true, 0, {0}}, {false, 1, {0xff}},         /* eight bits of padding */
	    {true, 1, {0x07}},                          /* '0' and 3 ones */
	    {false, 1, {0x06}},                         /* padding not all ones */
	    {false, 1, {0x00}},                         /* '0' and 3 zeros */
	    {true, 1, {0xf8}},                          /* '&', whole */
	    {false, 2, {0xf8, 0xff}},                   /* a byte of padding too many */
	    {true, 2, {0xfc, 0x7f}},                    /* 'X', '9' and two ones */
	    {false, 4, {0xff, 0xff, 0xff, 0xff}},       /* EOS */
	    {false, 5, {0x07, 0xff, 0xff, 0xff, 0xff}}, /* text, then EOS */
	    {false, 12, {0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff}}, /* EOS, far */
	    {false, 12, {0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0}},    /* EOS first */
	    {false, 2, {0xff, 0xfe}},                                         /* a code cut off */
	};

	(void)state;
	for (size_t i = 0; i < FC_COUNT(rows); i++) {
		char to[64];
		size_t size;
		unsigned kinds;

		if (decode(rows[i].bytes, rows[i].size, to, &size, &kinds) != rows[i].good)
			fail_msg("row %zu", i);
	}
}

/* Every entry of the fast table says what the codes say, one bit at a time. */
static void
table_is_the_code(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 1u << FC_HUFFMAN_BITS; i++) {
		uint32_t entry = fc_huffman_pairs[i];
		unsigned count = 0, total = 0, first = 0, symbols[2] = {0, 0}, kinds = 0;

		while (count < 2) {
			unsigned left = FC_HUFFMAN_BITS - total, c = 0;
			uint32_t rest = i & ((1u << left) - 1);

			while (c < 256 &&
			    (fc_huffman_codes[c].length > left ||
			        rest >> (left - fc_huffman_codes[c].length) !=
			            fc_huffman_codes[c].code))
				c++;
			if (c == 256)
				break;
			symbols[count++] = c;
			total += fc_huffman_codes[c].length;
			if (count == 1)
				first = total;
			kinds |= fc_field_name_kinds((char[]){(char)c}, 1) |
			    fc_field_value_kinds((char[]){(char)c}, 1);
		}
		assert_int_equal(entry >> 16 & 3, count);
		assert_int_equal(entry & 0xff, symbols[0]);
		assert_int_equal(entry >> 8 & 0xff, symbols[1]);
		assert_int_equal(entry >> 20 & 15, first);
		assert_int_equal(entry >> 24 & 15, total);
		assert_int_equal(entry >> 28, kinds);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(every_text_comes_back),
	    clean_test(rfc_examples),
	    clean_test(ends_are_checked),
	    clean_test(table_is_the_code),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
