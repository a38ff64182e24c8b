/*
 * Messages that are bytes, through the same functions as all messages; paths.
 */
#include "tests/support/test.h"

#include "runtime/call/raw.h"

#include <stdlib.h>

typedef struct gather {
	fc_sink sink;
	uint8_t *at;
} gather;

static void
add(fc_sink *sink, const uint8_t *bytes, size_t size)
{
	gather *g = (gather *)sink;

	memcpy(g->at, bytes, size);
	g->at += size;
}

static void
bytes_go_through_unchanged(void **state)
{
	const size_t sizes[] = {0, 1, 100, 5000, 300000};
	uint8_t *from = (uint8_t *)malloc(300000), *to = (uint8_t *)malloc(300000);

	(void)state;
	for (size_t i = 0; i < 300000; i++)
		from[i] = (uint8_t)(i * 7);
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		farcall_bytes bytes = FARCALL_BYTES__INIT;
		ProtobufCMessage *message = NULL;
		gather g = {{add}, to};
		fc_payload payload;
		fc_arena arena;
		fc_error error;

		bytes.data = sizes[i] != 0 ? from : NULL;
		bytes.size = sizes[i];
		assert_true(fc_payload_of_message(&payload, &bytes.base));
		assert_int_equal(payload.size, sizes[i]);
		memset(to, 1, 300000);
		payload.flat(&payload, to);
		assert_memory_equal(to, from, sizes[i]);
		memset(to, 1, 300000);
		payload.pour(&payload, &g.sink);
		assert_ptr_equal(g.at, to + sizes[i]);
		assert_memory_equal(to, from, sizes[i]);

		fc_arena_init(&arena, NULL, (size_t)1 << 20, NULL, 0);
		fc_error_clear(&error);
		assert_int_equal(fc_unpack(&farcall_bytes__descriptor, from, sizes[i],
		                     &fc_guard_defaults, &arena, &message, &error),
		    FARCALL_OK);
		assert_int_equal(farcall_bytes_of(message)->size, sizes[i]);
		assert_non_null(farcall_bytes_of(message)->data);
		assert_memory_equal(farcall_bytes_of(message)->data, from, sizes[i]);
		fc_arena_reset(&arena);
	}
	free(from);
	free(to);
	assert_null(farcall_bytes_of(NULL));
}

static void
bytes_past_the_memory_are_refused(void **state)
{
	fc_guard_limits limits = fc_guard_defaults;
	static const uint8_t bytes[1000];
	ProtobufCMessage *message = NULL;
	fc_arena arena;
	fc_error error;

	(void)state;
	limits.memory = 1000;
	fc_arena_init(&arena, NULL, 4096, NULL, 0);
	fc_error_clear(&error);
	assert_int_equal(
	    fc_unpack(&farcall_bytes__descriptor, bytes, 1000, &limits, &arena, &message, &error),
	    FARCALL_RESOURCE_EXHAUSTED);
	assert_int_equal(error.cause, FARCALL_CAUSE_LIMIT);
	assert_string_equal(error.text, "no memory for a raw message of 1000 bytes");
	assert_null(message);
	fc_arena_reset(&arena);

	fc_arena_init(&arena, NULL, 4096, NULL, 0);
	fc_error_clear(&error);
	test_allocator_fail_at(1, true);
	assert_int_equal(fc_unpack(&farcall_bytes__descriptor, bytes, 1000, &fc_guard_defaults,
	                     &arena, &message, &error),
	    FARCALL_RESOURCE_EXHAUSTED);
	test_allocator_fail_at(0, false);
	assert_int_equal(error.cause, FARCALL_CAUSE_OUT_OF_MEMORY);
	fc_arena_reset(&arena);
}

static void
judge(const char *path, const char *expected)
{
	fc_error error;

	fc_error_clear(&error);
	assert_int_equal(fc_raw_check_path(path, &error),
	    expected[0] != 0 ? FARCALL_INVALID_ARGUMENT : FARCALL_OK);
	assert_string_equal(error.text, expected);
}

static void
paths_are_checked(void **state)
{
	char path[FC_RAW_PATH + 2];
	fc_error error;

	(void)state;
	judge("/demo.Greeter/SayHello", "");
	judge("/a/b", "");
	judge("/a/b/c", "");
	judge(NULL, "the path is NULL");
	judge("", "bad path \"\", column 1: it does not begin with a slash");
	judge("a/b", "bad path \"a/b\", column 1: it does not begin with a slash");
	judge("/a", "bad path \"/a\", column 2: there is no slash before a method's name");
	judge("/a/", "bad path \"/a/\", column 3: there is no method");
	judge("//b", "bad path \"//b\", column 2: there is no service");
	judge("/a/b c", "bad path \"/a/b c\", column 5: not printable ASCII, or a blank");
	judge("/a/\xc3\xa9", "bad path \"/a/\xc3\xa9\", column 4: not printable ASCII, or a blank");
	memset(path, 'x', sizeof path);
	memcpy(path, "/x/", 3);
	path[FC_RAW_PATH] = 0;
	judge(path, "");
	path[FC_RAW_PATH] = 'x';
	path[FC_RAW_PATH + 1] = 0;
	fc_error_clear(&error);
	assert_int_equal(fc_raw_check_path(path, &error), FARCALL_INVALID_ARGUMENT);
	assert_int_equal(error.cause, FARCALL_CAUSE_LIMIT);
	assert_non_null(strstr(error.text, "more than 4096 bytes"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(bytes_go_through_unchanged),
	    clean_test(bytes_past_the_memory_are_refused),
	    clean_test(paths_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
