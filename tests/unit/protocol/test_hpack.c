/*
 * HPACK by itself: the examples of RFC 7541, appendix C; every limit at the limit and past it; a
 * decoder in step after lists that are too large; memos that never lie. The encoder has
 * test_hpack_encode.c.
 */
#include "tests/support/test.h"

#include "runtime/protocol/h2/hpack.h"
#include "runtime/protocol/h2/hpack_table.h"

#include <stdio.h>
#include <stdlib.h>

#define LARGE ((size_t)1 << 20)

static fc_field_set set;

static int looked_up;

static const void *
lookup(void *owner, const char *path, size_t size)
{
	(void)path;
	looked_up++;
	return (char *)owner + size;
}

static char paths[100];
static const fc_classifier classifier = {lookup, paths};

/* "82 86 41" to bytes in memory of just that size, so that tools see a read behind it. */
static uint8_t *
bytes_of(const char *hex, size_t *size)
{
	uint8_t *bytes = (uint8_t *)malloc(strlen(hex) + 1);
	size_t n = 0;
	char *end;

	assert_non_null(bytes);
	for (; *hex != 0; hex = end) {
		bytes[n++] = (uint8_t)strtoul(hex, &end, 16);
		while (*end == ' ')
			end++;
	}
	*size = n;
	return (uint8_t *)realloc(bytes, n + (n == 0));
}

static uint8_t *last; /* the set may point into it */

static fc_hpack_verdict
decode(fc_hpack_decoder *decoder, const char *hex)
{
	size_t size;

	free(last);
	last = bytes_of(hex, &size);
	return fc_hpack_decode(decoder, last, size, &set);
}

static const fc_field *
metadata(size_t i, const char *name, const char *value)
{
	const fc_field *field;

	assert_true(i < set.n_metadata);
	field = set.metadata[i];
	assert_int_equal(field->name_size, strlen(name));
	assert_memory_equal(field->name, name, field->name_size);
	assert_int_equal(field->value_size, strlen(value));
	assert_memory_equal(field->value, value, field->value_size);
	return field;
}

static const fc_field *
known(fc_token token, const char *value)
{
	const fc_field *field = set.known[token];

	assert_true((set.says & FC_SAYS(token)) != 0);
	assert_int_equal(field->value_size, strlen(value));
	assert_memory_equal(field->value, value, field->value_size);
	return field;
}

static void
static_table_is_classified(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < FC_HPACK_STATIC; i++) {
		const fc_hpack_entry *entry = &fc_hpack_static[i];
		fc_field field = {.name = entry->field.name, .value = entry->field.value};

		field.name_size = entry->field.name_size;
		field.value_size = entry->field.value_size;
		fc_field_classify(NULL, &field);
		if (field.says != entry->field.says || field.refuses != entry->field.refuses ||
		    field.token != entry->field.token || field.flags != entry->field.flags ||
		    field.number != entry->field.number ||
		    entry->size != field.name_size + field.value_size + 32)
			fail_msg("index %u: %s", i + 1, field.name);
	}
}

static void
static_names_are_found(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < FC_HPACK_STATIC; i++) {
		const fc_field *field = &fc_hpack_static[i].field;
		uint32_t found = fc_hpack_static_find(field->name, field->name_size);

		assert_in_range(found, 1, i + 1);
		assert_string_equal(fc_hpack_static[found - 1].field.name, field->name);
		assert_true(found == i + 1 || i == 0 ||
		    strcmp(fc_hpack_static[i - 1].field.name, field->name) == 0);
	}
	assert_int_equal(fc_hpack_static_find("", 0), 0);
	assert_int_equal(fc_hpack_static_find(":patH", 5), 0);
	assert_int_equal(fc_hpack_static_find("access-control-allow-origins", 28), 0);
	assert_int_equal(fc_hpack_static_find("access-control-allow-originsx", 29), 0);
}

/* RFC 7541 C.2 */
static void
rfc_single_fields(void **state)
{
	fc_hpack_decoder *decoder = fc_hpack_decoder_new(NULL, LARGE, &classifier);
	const fc_field *field;

	(void)state;
	assert_int_equal(decode(decoder,
	                     "40 0a 63 75 73 74 6f 6d 2d 6b 65 79 0d 63 75 73 74 6f 6d 2d 68 65 61 "
	                     "64 65 72"),
	    FC_HPACK_OK);
	metadata(0, "custom-key", "custom-header");
	assert_int_equal(set.list_size, 55);
	assert_int_equal(decode(decoder, "04 0c 2f 73 61 6d 70 6c 65 2f 70 61 74 68"), FC_HPACK_OK);
	field = known(FC_TOKEN_PATH, "/sample/path");
	assert_ptr_equal(field->method, paths + 12);
	assert_int_equal(
	    decode(decoder, "10 08 70 61 73 73 77 6f 72 64 06 73 65 63 72 65 74"), FC_HPACK_OK);
	field = metadata(0, "password", "secret");
	assert_true((field->flags & FC_FIELD_NEVER_INDEXED) != 0);
	assert_int_equal(decode(decoder, "82"), FC_HPACK_OK);
	known(FC_TOKEN_METHOD, "GET");
	assert_int_equal(decode(decoder, "be"), FC_HPACK_OK);
	metadata(0, "custom-key", "custom-header");
	assert_int_equal(decode(decoder, "bf"), FC_HPACK_ERROR);
	fc_hpack_decoder_free(decoder);
}

/* RFC 7541 C.3 and C.4: three requests on one connection. */
static void
rfc_requests(void **state)
{
	static const char *const blocks[2][3] = {
	    {"82 86 84 41 0f 77 77 77 2e 65 78 61 6d 70 6c 65 2e 63 6f 6d",
	        "82 86 84 be 58 08 6e 6f 2d 63 61 63 68 65",
	        "82 87 85 bf 40 0a 63 75 73 74 6f 6d 2d 6b 65 79 0c 63 75 73 74 6f 6d 2d 76 61 "
	        "6c 75 65"},
	    {"82 86 84 41 8c f1 e3 c2 e5 f2 3a 6b a0 ab 90 f4 ff",
	        "82 86 84 be 58 86 a8 eb 10 64 9c bf",
	        "82 87 85 bf 40 88 25 a8 49 e9 5b a9 7d 7f 89 25 a8 49 e9 5b b8 e8 b4 bf"},
	};

	(void)state;
	for (int i = 0; i < 2; i++) {
		fc_hpack_decoder *decoder = fc_hpack_decoder_new(NULL, LARGE, &classifier);

		assert_int_equal(decode(decoder, blocks[i][0]), FC_HPACK_OK);
		known(FC_TOKEN_METHOD, "GET");
		known(FC_TOKEN_SCHEME, "http");
		known(FC_TOKEN_PATH, "/");
		known(FC_TOKEN_AUTHORITY, "www.example.com");
		assert_int_equal(decode(decoder, blocks[i][1]), FC_HPACK_OK);
		known(FC_TOKEN_AUTHORITY, "www.example.com");
		metadata(0, "cache-control", "no-cache");
		assert_int_equal(decode(decoder, blocks[i][2]), FC_HPACK_OK);
		known(FC_TOKEN_SCHEME, "https");
		known(FC_TOKEN_PATH, "/index.html");
		known(FC_TOKEN_AUTHORITY, "www.example.com");
		metadata(0, "custom-key", "custom-value");
		assert_int_equal(set.n_metadata, 1);
		fc_hpack_decoder_free(decoder);
	}
}

/* RFC 7541 C.5 and C.6: three responses, in a table of 256 bytes that evicts. */
static void
rfc_responses(void **state)
{
	static const char *const blocks[2][3] = {
	    {"3f e1 01 48 03 33 30 32 58 07 70 72 69 76 61 74 65 61 1d 4d 6f 6e 2c 20 32 31 20 4f "
	     "63 74 20 32 30 31 33 20 32 30 3a 31 33 3a 32 31 20 47 4d 54 6e 17 68 74 74 70 73 3a "
	     "2f 2f 77 77 77 2e 65 78 61 6d 70 6c 65 2e 63 6f 6d",
	        "48 03 33 30 37 c1 c0 bf",
	        "88 c1 61 1d 4d 6f 6e 2c 20 32 31 20 4f 63 74 20 32 30 31 33 20 32 30 3a 31 33 3a "
	        "32 32 20 47 4d 54 c0 5a 04 67 7a 69 70 77 38 66 6f 6f 3d 41 53 44 4a 4b 48 51 4b "
	        "42 5a 58 4f 51 57 45 4f 50 49 55 41 58 51 57 45 4f 49 55 3b 20 6d 61 78 2d 61 67 "
	        "65 3d 33 36 30 30 3b 20 76 65 72 73 69 6f 6e 3d 31"},
	    {"3f e1 01 48 82 64 02 58 85 ae c3 77 1a 4b 61 96 d0 7a be 94 10 54 d4 44 a8 20 05 95 "
	     "04 0b 81 66 e0 82 a6 2d 1b ff 6e 91 9d 29 ad 17 18 63 c7 8f 0b 97 c8 e9 ae 82 ae 43 "
	     "d3",
	        "48 83 64 0e ff c1 c0 bf",
	        "88 c1 61 96 d0 7a be 94 10 54 d4 44 a8 20 05 95 04 0b 81 66 e0 84 a6 2d 1b ff c0 "
	        "5a 83 9b d9 ab 77 ad 94 e7 82 1d d7 f2 e6 c7 b3 35 df df cd 5b 39 60 d5 af 27 08 "
	        "7f 36 72 c1 ab 27 0f b5 29 1f 95 87 31 60 65 c0 03 ed 4e e5 b1 06 3d 50 07"},
	};

	(void)state;
	for (int i = 0; i < 2; i++) {
		fc_hpack_decoder *decoder = fc_hpack_decoder_new(NULL, LARGE, &classifier);

		assert_int_equal(decode(decoder, blocks[i][0]), FC_HPACK_OK);
		assert_int_equal(known(FC_TOKEN_STATUS, "302")->number, 302);
		metadata(0, "cache-control", "private");
		metadata(1, "date", "Mon, 21 Oct 2013 20:13:21 GMT");
		metadata(2, "location", "https://www.example.com");
		assert_int_equal(decode(decoder, blocks[i][1]), FC_HPACK_OK);
		assert_int_equal(known(FC_TOKEN_STATUS, "307")->number, 307);
		metadata(0, "cache-control", "private");
		metadata(2, "location", "https://www.example.com");
		assert_int_equal(decode(decoder, blocks[i][2]), FC_HPACK_OK);
		known(FC_TOKEN_STATUS, "200");
		metadata(0, "cache-control", "private");
		metadata(1, "date", "Mon, 21 Oct 2013 20:13:22 GMT");
		metadata(2, "location", "https://www.example.com");
		metadata(3, "content-encoding", "gzip");
		metadata(
		    4, "set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1");
		assert_int_equal(set.n_metadata, 5);
		fc_hpack_decoder_free(decoder);
	}
}

static void
faults_are_errors(void **state)
{
	static const struct {
		const char *hex;
		fc_hpack_verdict verdict;
	} rows[] = {
	    {"", FC_HPACK_OK},
	    {"80", FC_HPACK_ERROR}, /* index 0 */
	    {"be", FC_HPACK_ERROR}, /* beyond the table */
	    {"bd", FC_HPACK_OK},    /* 61 */
	    {"ff", FC_HPACK_ERROR}, /* integer cut off */
	    {"ff 80", FC_HPACK_ERROR},
	    {"ff ff ff ff ff 0f", FC_HPACK_ERROR},          /* no such index */
	    {"0f 2c 01 61", FC_HPACK_OK},                   /* name 59 */
	    {"0f 2f 01 61", FC_HPACK_ERROR},                /* name 62 */
	    {"0f ac 80 80 80 00 01 61", FC_HPACK_OK},       /* five bytes more are allowed */
	    {"0f ac 80 80 80 80 00 01 61", FC_HPACK_ERROR}, /* six are not */
	    {"0f ff ff ff ff 0f 01 61", FC_HPACK_ERROR},    /* 2^32 - 1 + 15 */
	    {"00 01 78 7f 80 80 80 80 10", FC_HPACK_ERROR}, /* a length of 2^32 + 127 */
	    {"00", FC_HPACK_ERROR},
	    {"00 01", FC_HPACK_ERROR},
	    {"00 01 78", FC_HPACK_ERROR},
	    {"00 01 78 01", FC_HPACK_ERROR},
	    {"00 01 78 01 79", FC_HPACK_OK},
	    {"00 01 78 02 79", FC_HPACK_ERROR},
	    {"00 01 78 81 ff", FC_HPACK_ERROR},          /* padding of 8 */
	    {"00 01 78 81 06", FC_HPACK_ERROR},          /* padding not ones */
	    {"00 01 78 84 ff ff ff ff", FC_HPACK_ERROR}, /* EOS */
	    {"40 81 ff 00", FC_HPACK_ERROR},
	    {"00 00 01 61", FC_HPACK_OK}, /* empty name: malformed, not broken */
	    {"20 82", FC_HPACK_OK},
	    {"20 20 82", FC_HPACK_OK},
	    {"20 3f e1 1f 82", FC_HPACK_OK}, /* 0, then 4096 */
	    {"3f e2 1f 82", FC_HPACK_ERROR}, /* 4097 */
	    {"20 20 20 82", FC_HPACK_ERROR}, /* three */
	    {"82 20", FC_HPACK_ERROR},       /* not at the start */
	    {"20 82 20", FC_HPACK_ERROR},
	    {"3f", FC_HPACK_ERROR},
	};

	(void)state;
	for (size_t i = 0; i < FC_COUNT(rows); i++) {
		fc_hpack_decoder *decoder = fc_hpack_decoder_new(NULL, LARGE, &classifier);
		fc_hpack_verdict verdict = decode(decoder, rows[i].hex);

		if (verdict != rows[i].verdict)
			fail_msg("%s: verdict %d", rows[i].hex, verdict);
		fc_hpack_decoder_free(decoder);
	}
}

static void
fields_before_a_fault_are_shown(void **state)
{
	fc_hpack_decoder *decoder = fc_hpack_decoder_new(NULL, LARGE, &classifier);

	(void)state;
	assert_int_equal(decode(decoder, "83 00 01 78 01 79 80"), FC_HPACK_ERROR);
	known(FC_TOKEN_METHOD, "POST");
	metadata(0, "x", "y");
	fc_hpack_decoder_free(decoder);
}

/* A block of raw literals, built here. */
typedef struct builder {
	uint8_t bytes[70000];
	size_t size;
} builder;

static builder built;

static void
build(uint8_t first, const char *name, const char *value, size_t value_size)
{
	size_t name_size = name != NULL ? strlen(name) : 0;
	uint8_t *to = built.bytes + built.size;

	*to++ = first;
	if (name != NULL) {
		assert_true(name_size < 127);
		*to++ = (uint8_t)name_size;
		memcpy(to, name, name_size);
		to += name_size;
	}
	if (value_size < 127) {
		*to++ = (uint8_t)value_size;
	} else {
		size_t rest = value_size - 127;

		*to++ = 127;
		for (; rest >= 128; rest >>= 7)
			*to++ = (uint8_t)(rest | 128);
		*to++ = (uint8_t)rest;
	}
	memset(to, 'v', value_size);
	if (value != NULL)
		memcpy(to, value, value_size);
	built.size = (size_t)(to - built.bytes) + value_size;
}

static fc_hpack_verdict
decode_built(fc_hpack_decoder *decoder)
{
	free(last);
	last = (uint8_t *)malloc(built.size);
	assert_non_null(last);
	memcpy(last, built.bytes, built.size);
	return fc_hpack_decode(decoder, last, built.size, &set);
}

static void
list_limits(void **state)
{
	fc_hpack_decoder *decoder = fc_hpack_decoder_new(NULL, 1000, &classifier);

	(void)state;
	/* 1 + 31 + 32 = 64 a field */
	built.size = 0;
	for (int i = 0; i < 15; i++)
		build(0, "x", NULL, 31);
	build(0, "x", NULL, 1000 - 15 * 64 - 33);
	assert_int_equal(decode_built(decoder), FC_HPACK_OK);
	assert_int_equal(set.list_size, 1000);
	built.size = 0;
	for (int i = 0; i < 15; i++)
		build(0, "x", NULL, 31);
	build(0, "x", NULL, 1000 - 15 * 64 - 33 + 1);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(decode_built(decoder), FC_HPACK_TOO_LARGE);
		assert_int_equal(set.n_metadata, 0);
		assert_int_equal(set.says, 0);
	}
	fc_hpack_decoder_free(decoder);

	decoder = fc_hpack_decoder_new(NULL, LARGE, &classifier);
	built.size = 0;
	for (int i = 0; i < 144; i++)
		build(0x40, "x", NULL, 20);
	assert_int_equal(decode_built(decoder), FC_HPACK_OK);
	assert_int_equal(set.n_metadata, 144);
	for (size_t i = 0; i < 144; i++)
		metadata(i, "x", "vvvvvvvvvvvvvvvvvvvv");
	build(0, "x", NULL, 1);
	assert_int_equal(decode_built(decoder), FC_HPACK_TOO_LARGE);
	fc_hpack_decoder_free(decoder);
}

/* H12: what a refused list did to the table is seen by the next one. */
static void
too_large_lists_stay_in_step(void **state)
{
	fc_hpack_decoder *decoder = fc_hpack_decoder_new(NULL, 100, &classifier);

	(void)state;
	built.size = 0;
	build(0x40, "a", "1", 1);
	build(0x40, "b", NULL, 3000); /* too large from here on */
	build(0x40, "c", NULL, 1500); /* evicts a and b */
	build(0x40, "d", "2", 1);
	build(0x7e, NULL, "3", 1); /* the name of d */
	assert_int_equal(decode_built(decoder), FC_HPACK_TOO_LARGE);
	assert_int_equal(decode(decoder, "be bf"), FC_HPACK_OK);
	metadata(0, "d", "3");
	metadata(1, "d", "2");
	assert_int_equal(decode(decoder, "c0"), FC_HPACK_TOO_LARGE);
	assert_int_equal(decode(decoder, "c1"), FC_HPACK_ERROR);
	fc_hpack_decoder_free(decoder);
}

/* Many insertions in one refused block keep no memory: each evicts the one before. */
static void
too_large_lists_hold_no_memory(void **state)
{
	fc_pool pool;
	fc_hpack_decoder *decoder;
	size_t before;

	(void)state;
	fc_pool_init(&pool, LARGE);
	decoder = fc_hpack_decoder_new(&pool, 8192, &classifier);
	built.size = 0;
	build(0x40, "n", NULL, 3900);
	for (int i = 0; i < 15; i++)
		build(0x40, "n", NULL, 3900);
	before = test_allocator_calls();
	assert_int_equal(decode_built(decoder), FC_HPACK_TOO_LARGE);
	/* the two of the list, the one being replaced, the ring */
	assert_in_range(test_allocator_calls() - before, 1, 6);
	fc_hpack_decoder_free(decoder);
	fc_pool_fini(&pool);
}

static void
evicted_fields_stay_valid_in_the_block(void **state)
{
	fc_hpack_decoder *decoder = fc_hpack_decoder_new(NULL, LARGE, &classifier);
	char name[] = "name-00";

	(void)state;
	/* Each of 4 KiB: it evicts the last, takes its name from it, and all must be readable. */
	built.size = 0;
	build(0x40, "name-00", NULL, 4096 - 32 - 7);
	for (int i = 0; i < 12; i++)
		build(0x7e, NULL, NULL, (size_t)(4096 - 32 - 7 - i));
	assert_int_equal(decode_built(decoder), FC_HPACK_OK);
	assert_int_equal(set.n_metadata, 13);
	for (size_t i = 0; i < 13; i++) {
		assert_memory_equal(set.metadata[i]->name, name, 7);
		assert_int_equal(
		    set.metadata[i]->value_size, i == 0 ? 4096 - 32 - 7 : 4096 - 32 - 7 - (i - 1));
		for (uint32_t k = 0; k < set.metadata[i]->value_size; k++)
			assert_int_equal(set.metadata[i]->value[k], 'v');
	}
	/* One byte too large: the table is empty, but the field, with a name from it, is there. */
	built.size = 0;
	build(0x7e, NULL, NULL, 4096 - 32 - 7 + 1);
	assert_int_equal(decode_built(decoder), FC_HPACK_OK);
	assert_memory_equal(set.metadata[0]->name, name, 7);
	assert_int_equal(decode(decoder, "be"), FC_HPACK_ERROR);
	fc_hpack_decoder_free(decoder);
}

/* Blocks that come again are answered from the memo: the same, until the table changes. */
static void
memos_never_lie(void **state)
{
	fc_hpack_decoder *decoder = fc_hpack_decoder_new(NULL, LARGE, &classifier);

	(void)state;
	assert_int_equal(decode(decoder, "40 01 61 01 31"), FC_HPACK_OK); /* a: 1 */
	looked_up = 0;
	for (int i = 0; i < 10; i++) {
		/* POST, be, the path /x, a literal y: z */
		assert_int_equal(decode(decoder, "83 04 02 2f 78 be 00 01 79 01 7a"), FC_HPACK_OK);
		known(FC_TOKEN_METHOD, "POST");
		known(FC_TOKEN_PATH, "/x");
		metadata(0, "a", "1");
		metadata(1, "y", "z");
		assert_int_equal(set.n_metadata, 2);
	}
	assert_in_range(looked_up, 1, 3);
	assert_int_equal(decode(decoder, "40 01 61 01 32"), FC_HPACK_OK); /* a: 2 */
	for (int i = 0; i < 3; i++) {
		assert_int_equal(decode(decoder, "83 04 02 2f 78 be 00 01 79 01 7a"), FC_HPACK_OK);
		metadata(0, "a", "2");
	}
	/* Literals with a name from the table. */
	for (int i = 0; i < 4; i++) {
		assert_int_equal(decode(decoder, "0f 2f 01 78 82"), FC_HPACK_OK);
		metadata(0, "a", "x");
		assert_int_equal(decode(decoder, "0f 2f 01 78 84"), FC_HPACK_OK);
		metadata(0, "a", "x");
	}
	assert_int_equal(decode(decoder, "40 01 62 01 32"), FC_HPACK_OK); /* b: 2 */
	for (int i = 0; i < 4; i++) {
		assert_int_equal(decode(decoder, "0f 2f 01 78 82"), FC_HPACK_OK);
		metadata(0, "b", "x");
	}
	/* The table emptied, and back. */
	assert_int_equal(decode(decoder, "20 3f e1 1f"), FC_HPACK_OK);
	assert_int_equal(decode(decoder, "83 04 02 2f 78 be 00 01 79 01 7a"), FC_HPACK_ERROR);
	fc_hpack_decoder_free(decoder);
}

/* A block with a size update must act each time that it comes. */
static void
memo_keeps_no_updates(void **state)
{
	fc_hpack_decoder *decoder = fc_hpack_decoder_new(NULL, LARGE, &classifier);

	(void)state;
	for (int i = 0; i < 4; i++) {
		assert_int_equal(decode(decoder, "3f e1 1f 40 01 61 01 31"), FC_HPACK_OK);
		assert_int_equal(decode(decoder, "20 82"), FC_HPACK_OK);
		assert_int_equal(decode(decoder, "be"), FC_HPACK_ERROR);
	}
	fc_hpack_decoder_free(decoder);
}

/* Many literals over one memo: equal ones in a block, more than there are slots, changing ones. */
static void
literal_memo_under_pressure(void **state)
{
	fc_hpack_decoder *decoder = fc_hpack_decoder_new(NULL, LARGE, &classifier);
	test_random random;

	(void)state;
	test_random_seed(&random, 5);
	for (int round = 0; round < 400; round++) {
		char values[60][8];
		int n = 60;

		built.size = 0;
		for (int i = 0; i < n; i++) {
			snprintf(
			    values[i], sizeof values[i], "v%u", test_random_below(&random, 90));
			build(test_random_below(&random, 9) == 0 ? 0x10 : 0, "name", values[i],
			    strlen(values[i]));
		}
		assert_int_equal(decode_built(decoder), FC_HPACK_OK);
		assert_int_equal(set.n_metadata, n);
		for (int i = 0; i < n; i++)
			metadata((size_t)i, "name", values[i]);
	}
	fc_hpack_decoder_free(decoder);
}

static void
never_indexed_literals_are_not_kept(void **state)
{
	fc_hpack_decoder *decoder = fc_hpack_decoder_new(NULL, LARGE, &classifier);

	(void)state;
	for (int i = 0; i < 4; i++) {
		/* with a field that changes, so no whole block is known */
		char hex[40];

		snprintf(hex, sizeof hex, "10 01 73 01 70 00 01 63 01 %02x", 0x61 + i);
		assert_int_equal(decode(decoder, hex), FC_HPACK_OK);
		assert_ptr_equal(metadata(0, "s", "p")->value, last + 4);
	}
	/* Nor is a whole block with one of them. */
	for (int i = 0; i < 4; i++) {
		assert_int_equal(decode(decoder, "83 10 01 73 01 70"), FC_HPACK_OK);
		assert_ptr_equal(metadata(0, "s", "p")->value, last + 5);
	}
	fc_hpack_decoder_free(decoder);
}

/* The hash of long things is of samples: what differs elsewhere must not be taken for the same. */
static void
memos_compare_all_bytes(void **state)
{
	fc_hpack_decoder *decoder = fc_hpack_decoder_new(NULL, LARGE, &classifier);

	(void)state;
	for (size_t at = 0; at < 300; at++) {
		char value[301];

		memset(value, 'a', 300);
		value[300] = 0;
		for (int i = 0; i < 8; i++) {
			if (i == 4)
				value[at] = 'b';
			built.size = 0;
			build(0, "k", value, 300);
			if ((at & 1) != 0) /* so that only the literal is known, not the block */
				build(0x10, "n", "x", 1);
			assert_int_equal(decode_built(decoder), FC_HPACK_OK);
			metadata(0, "k", value);
		}
	}
	fc_hpack_decoder_free(decoder);
}

/* What comes once costs no memory. */
static void
memos_wait_for_the_second_time(void **state)
{
	fc_pool pool;
	fc_hpack_decoder *decoder;
	size_t before;

	(void)state;
	fc_pool_init(&pool, LARGE);
	decoder = fc_hpack_decoder_new(&pool, LARGE, &classifier);
	assert_int_equal(decode(decoder, "00 01 78 01 79"), FC_HPACK_OK);
	before = test_allocator_calls();
	for (int i = 0; i < 90; i++) {
		char hex[40];

		snprintf(hex, sizeof hex, "83 00 01 78 02 7a %02x", 0x20 + i);
		assert_int_equal(decode(decoder, hex), FC_HPACK_OK);
	}
	assert_int_equal(test_allocator_calls(), before);
	for (int i = 0; i < 3; i++)
		assert_int_equal(decode(decoder, "83 00 01 78 01 79"), FC_HPACK_OK);
	assert_int_equal(test_allocator_calls(), before + 2); /* the literal, the block */
	fc_hpack_decoder_free(decoder);
	fc_pool_fini(&pool);
}

static int
forget(void **state)
{
	(void)state;
	free(last);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(static_table_is_classified),
	    clean_test(static_names_are_found),
	    clean_test(rfc_single_fields),
	    clean_test(rfc_requests),
	    clean_test(rfc_responses),
	    clean_test(faults_are_errors),
	    clean_test(fields_before_a_fault_are_shown),
	    clean_test(list_limits),
	    clean_test(too_large_lists_stay_in_step),
	    clean_test(too_large_lists_hold_no_memory),
	    clean_test(evicted_fields_stay_valid_in_the_block),
	    clean_test(memos_never_lie),
	    clean_test(memo_keeps_no_updates),
	    clean_test(literal_memo_under_pressure),
	    clean_test(never_indexed_literals_are_not_kept),
	    clean_test(memos_compare_all_bytes),
	    clean_test(memos_wait_for_the_second_time),
	};

	return cmocka_run_group_tests(tests, NULL, forget);
}
