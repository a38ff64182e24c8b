/*
 * Metadata: what may be sent, with its error texts; what is received, copied and decoded.
 */
#include "tests/support/test.h"

#include "runtime/base/base64.h"
#include "runtime/call/metadata.h"

#include <stdio.h>

typedef struct sample {
	const char *key, *value;
	bool binary;
	const char *error; /* NULL: fine */
} sample;

static const sample samples[] = {
    {"key", "value", false, NULL},
    {"a.b_c-9", "", false, NULL},
    {"key", "in ner", false, NULL},
    {"key-bin", "\x01\xff", true, NULL},
    {"authorization", "Bearer 1", false, NULL},
    {"", "x", false, "metadata key \"\" is empty"},
    {"Key", "x", false, "metadata key \"Key\" has an upper-case letter"},
    {"k y", "x", false, "metadata key \"k y\" has a character outside [0-9a-z_.-]"},
    {":path", "x", false, "metadata key \":path\" has a character outside [0-9a-z_.-]"},
    {"grpc-status", "0", false,
        "metadata key \"grpc-status\" begins with \"grpc-\", which is reserved"},
    {"key-bin", "x", false, "metadata key \"key-bin\" ends in \"-bin\", which is for bytes"},
    {"key", "x", true, "metadata key \"key\" does not end in \"-bin\""},
    {"-bin", "x", true, "metadata key \"-bin\" does not end in \"-bin\""},
    {"te", "x", false, "metadata key \"te\" is the protocol's own"},
    {"content-type", "x", false, "metadata key \"content-type\" is the protocol's own"},
    {"key", "a\nb", false, "metadata value of \"key\": byte 1 is not printable ASCII"},
    {"key", "\xc3\xa9", false, "metadata value of \"key\": byte 0 is not printable ASCII"},
    {"key", " x", false, "metadata value of \"key\" begins or ends with a blank"},
    {"key", "x ", false, "metadata value of \"key\" begins or ends with a blank"},
    {NULL, "x", false, "metadata key or value is NULL"},
    {"key", NULL, false, NULL},
};

static void
each_pair_is_checked(void **state)
{
	(void)state;
	for (size_t i = 0; i < FC_COUNT(samples); i++) {
		const sample *s = &samples[i];
		size_t size = s->value != NULL ? strlen(s->value) : 0;
		fc_pairs pairs = {0, 0, NULL};
		fc_arena arena;
		fc_error error;

		fc_error_clear(&error);
		fc_arena_init(&arena, NULL, 1 << 16, NULL, 0);
		fc_pairs_add(&pairs, &arena, s->key, s->value, size, s->binary, &error);
		assert_string_equal(error.text, s->error != NULL ? s->error : "");
		assert_int_equal(pairs.n, s->error == NULL);
		if (s->error != NULL)
			assert_int_equal(error.code, FARCALL_INVALID_ARGUMENT);
		fc_arena_reset(&arena);
	}
}

static void
the_number_of_pairs_is_limited(void **state)
{
	fc_pairs pairs = {0, 0, NULL};
	fc_arena arena;
	fc_error error;
	char key[16];

	(void)state;
	fc_error_clear(&error);
	fc_arena_init(&arena, NULL, 1 << 20, NULL, 0);
	for (unsigned i = 0; i < 128; i++) {
		snprintf(key, sizeof key, "key%u", i);
		assert_int_equal(
		    fc_pairs_add(&pairs, &arena, key, "value", 5, false, &error), FARCALL_OK);
	}
	for (unsigned i = 0; i < 128; i++) {
		snprintf(key, sizeof key, "key%u", i);
		assert_int_equal(pairs.at[i].name_size, strlen(key));
		assert_memory_equal(pairs.at[i].name, key, strlen(key));
	}
	assert_int_equal(fc_pairs_add(&pairs, &arena, "one-more", "", 0, false, &error),
	    FARCALL_RESOURCE_EXHAUSTED);
	assert_string_equal(error.text, "metadata key \"one-more\": more than 128 pairs");
	fc_arena_reset(&arena);
}

static void
too_much_is_exhausted_not_lost(void **state)
{
	fc_pairs pairs = {0, 0, NULL};
	fc_arena arena;
	fc_error error;

	(void)state;
	fc_error_clear(&error);
	fc_arena_init(&arena, NULL, 1024, NULL, 0);
	assert_int_equal(fc_pairs_add(&pairs, &arena, "key-bin", &error, 1000, true, &error),
	    FARCALL_RESOURCE_EXHAUSTED);
	assert_int_equal(error.cause, FARCALL_CAUSE_LIMIT);
	assert_int_equal(pairs.n, 0);
	fc_arena_reset(&arena);
}

#define PAIR(name, value, flags)                                        \
	{                                                               \
		name, value, sizeof(name) - 1, sizeof(value) - 1, flags \
	}

static void
what_arrives_is_copied_and_decoded(void **state)
{
	static const fc_pair pairs[] = {
	    PAIR("text", "value", 0),
	    PAIR("one-bin", "AAEC", FC_PAIR_BASE64),
	    PAIR("many-bin", "AQ,Ag==,", FC_PAIR_BASE64),
	    PAIR("bad-bin", "*", FC_PAIR_BASE64),
	    PAIR("text", "again", 0),
	};
	farcall_metadata metadata = {0, NULL};
	const char *key;
	const void *value;
	fc_arena arena;
	size_t size;

	(void)state;
	fc_arena_init(&arena, NULL, 1 << 16, NULL, 0);
	assert_true(fc_metadata_receive(&metadata, &arena, FC_COUNT(pairs), pairs));
	assert_int_equal(metadata.n, 6);
	assert_string_equal(farcall_metadata_get(&metadata, "text"), "value");
	assert_null(farcall_metadata_get(&metadata, "one-bin"));
	assert_memory_equal(farcall_metadata_get_bin(&metadata, "one-bin", &size), "\0\1\2", 3);
	assert_int_equal(size, 3);
	assert_null(farcall_metadata_get_bin(&metadata, "bad-bin", &size));
	assert_true(farcall_metadata_at(&metadata, 3, &key, &value, &size));
	assert_string_equal(key, "many-bin");
	assert_int_equal(size, 1);
	assert_int_equal(*(const uint8_t *)value, 2);
	assert_true(farcall_metadata_at(&metadata, 4, NULL, NULL, &size));
	assert_int_equal(size, 0);
	assert_false(farcall_metadata_at(&metadata, 6, &key, NULL, NULL));
	fc_arena_reset(&arena);
}

/* What commas make of a list is bounded, at the bound and one past it; fields behind it still
 * arrive. */
static void
commas_make_no_more_than_their_share(void **state)
{
	static const size_t sizes[] = {FC_SPLITS_MOST - 1, FC_SPLITS_MOST, FC_SPLITS_MOST + 1, 900};
	char commas[900];
	size_t size;

	(void)state;
	memset(commas, ',', sizeof commas);
	for (size_t i = 0; i < FC_COUNT(sizes); i++) {
		fc_pair pairs[] = {
		    PAIR("many-bin", "", FC_PAIR_BASE64),
		    PAIR("two-bin", "AQ,Ag", FC_PAIR_BASE64),
		    PAIR("text", "value", 0),
		};
		farcall_metadata metadata = {0, NULL};
		fc_arena arena;

		pairs[0].value = commas;
		pairs[0].value_size = (uint32_t)sizes[i];
		fc_arena_init(&arena, NULL, 1 << 16, NULL, 0);
		assert_true(fc_metadata_receive(&metadata, &arena, FC_COUNT(pairs), pairs));
		assert_int_equal(metadata.n, FC_COUNT(pairs) + FC_SPLITS_MOST);
		assert_memory_equal(farcall_metadata_get_bin(&metadata, "two-bin", &size), "\1", 1);
		/* Its second value still had a place, or it had none. */
		assert_int_equal(
		    metadata.items[metadata.n - 2].value[0], sizes[i] < FC_SPLITS_MOST ? 2 : 1);
		assert_string_equal(farcall_metadata_get(&metadata, "text"), "value");
		fc_arena_reset(&arena);
	}
}

static void
no_memory_is_said(void **state)
{
	static const fc_pair pairs[] = {PAIR("text", "value", 0)};
	farcall_metadata metadata = {0, NULL};
	fc_arena arena;

	(void)state;
	fc_arena_init(&arena, NULL, 1 << 16, NULL, 0);
	test_allocator_fail_at(1, true);
	assert_false(fc_metadata_receive(&metadata, &arena, 1, pairs));
	test_allocator_fail_at(0, false);
	fc_arena_reset(&arena);
}

static void
base64_goes_and_comes(void **state)
{
	static const char *const bad[] = {"A", "AAAAA", "A===", "A A=", "AA-_", "=AAA", "AA=A"};
	uint8_t bytes[64], back[64];
	char text[96];
	size_t size;

	(void)state;
	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (uint8_t)(i * 37);
	for (size_t n = 0; n <= sizeof bytes; n++) {
		fc_base64_encode(text, bytes, n);
		assert_true(fc_base64_decode(back, &size, text, fc_base64_size(n)));
		assert_int_equal(size, n);
		assert_memory_equal(back, bytes, n);
	}
	assert_true(fc_base64_decode(back, &size, "AAEC/w==", 8));
	assert_int_equal(size, 4);
	assert_true(fc_base64_decode(back, &size, "", 0));
	assert_int_equal(size, 0);
	for (size_t i = 0; i < FC_COUNT(bad); i++)
		assert_false(fc_base64_decode(back, &size, bad[i], strlen(bad[i])));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(each_pair_is_checked),
	    clean_test(the_number_of_pairs_is_limited),
	    clean_test(too_much_is_exhausted_not_lost),
	    clean_test(what_arrives_is_copied_and_decoded),
	    clean_test(commas_make_no_more_than_their_share),
	    clean_test(no_memory_is_said),
	    clean_test(base64_goes_and_comes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
