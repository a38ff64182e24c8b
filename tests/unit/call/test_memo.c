/*
 * test_memo.c: metadata shared from call to call: who has them keeps them, whatever the memo keeps
 * by then, and the last one gives the memory back (clean_test sees to that).
 */
#include "runtime/call/memo.h"

#include "tests/support/test.h"

enum { CALLS = 200 }; /* more than references are taken ahead at once */

static fc_pair
pair_of(const char *name, const char *value)
{
	fc_pair pair = {name, value, (uint32_t)strlen(name), (uint32_t)strlen(value), 0};

	return pair;
}

static fc_shared_metadata *
receive(fc_metadata_memo *memo, const char *value)
{
	const fc_pair pair = pair_of("who", value);
	farcall_metadata metadata;
	fc_shared_metadata *shared = NULL;
	fc_arena arena;

	fc_arena_init(&arena, NULL, 1 << 16, NULL, 0);
	assert_true(fc_metadata_receive_shared(memo, &metadata, &shared, &arena, 1, &pair));
	assert_string_equal(farcall_metadata_get(&metadata, "who"), value);
	fc_arena_reset(&arena);
	return shared;
}

/* What calls have is dropped by any thread, or taken back by the owner; both in any order. */
static void
calls_share_it(void **state)
{
	fc_metadata_memo memo = {0};
	fc_shared_metadata *of[CALLS];

	(void)state;
	assert_null(receive(&memo, "me")); /* kept from now on */
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < CALLS; i++) {
			of[i] = receive(&memo, "me");
			assert_ptr_equal(of[i], memo.kept);
		}
		for (int i = 0; i < CALLS; i++) {
			if (i % 3 == round)
				fc_shared_metadata_drop(of[i]);
			else
				fc_metadata_memo_take_back(&memo, of[i]);
		}
	}
	assert_int_equal(atomic_load(&memo.kept->refs), memo.spare + 1);
	fc_metadata_memo_take_back(&memo, NULL);
	fc_metadata_memo_fini(&memo);
	assert_null(memo.kept);
}

/* A call that outlives what the memo keeps, and the memo. */
static void
calls_outlive_it(void **state)
{
	fc_metadata_memo memo = {0};
	fc_shared_metadata *first, *second, *third;

	(void)state;
	receive(&memo, "me");
	first = receive(&memo, "me");
	second = receive(&memo, "me");
	assert_null(receive(&memo, "you")); /* takes its place */
	third = receive(&memo, "you");
	assert_ptr_equal(third, memo.kept);
	assert_ptr_not_equal(third, first);
	assert_string_equal(farcall_metadata_get(&first->metadata, "who"), "me");
	fc_metadata_memo_take_back(&memo, first);
	assert_string_equal(farcall_metadata_get(&second->metadata, "who"), "me");
	fc_metadata_memo_fini(&memo);
	fc_metadata_memo_take_back(&memo, second);
	assert_string_equal(farcall_metadata_get(&third->metadata, "who"), "you");
	fc_shared_metadata_drop(third);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(calls_share_it),
	    clean_test(calls_outlive_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
