/*
 * The base room: arena, buffer, pool, map, error. Limits at the limit and one past it.
 */
#include "tests/support/test.h"

#include "runtime/base/alloc.h"
#include "runtime/base/arena.h"
#include "runtime/base/buf.h"
#include "runtime/base/error.h"
#include "runtime/base/list.h"
#include "runtime/base/map.h"

static void
arena_holds_what_it_gave(void **state)
{
	fc_pool pool;
	fc_arena arena;
	char lent[100];
	char *first;

	(void)state;
	fc_pool_init(&pool, 1 << 20);
	fc_arena_init(&arena, &pool, 64 * 1024, lent, sizeof lent);
	first = fc_arena_strndup(&arena, "hello", 5);
	assert_true(first >= lent && first < lent + sizeof lent);
	for (int i = 0; i < 1000; i++) {
		uint8_t *p = (uint8_t *)fc_arena_alloc(&arena, 17);

		assert_non_null(p);
		assert_int_equal((uintptr_t)p & 15, 0);
		memset(p, 0xee, 17);
	}
	assert_string_equal(first, "hello");
	fc_arena_reset(&arena);
	assert_int_equal(arena.used, 0);
	fc_pool_fini(&pool);
}

/* What would take a block is refused, and nothing has changed. */
static void
arena_spares_what_it_has(void **state)
{
	uint8_t lent[64 + 16];
	fc_arena arena;

	(void)state;
	fc_arena_init(&arena, NULL, 64 * 1024, lent, sizeof lent);
	assert_null(fc_arena_spare(&arena, sizeof lent + 1));
	assert_non_null(fc_arena_spare(&arena, 64));
	assert_null(fc_arena_spare(&arena, 64));
	assert_int_equal(arena.state, FC_ARENA_OK);
	assert_int_equal(arena.used, 0);
	assert_non_null(fc_arena_alloc(&arena, 64));
	fc_arena_reset(&arena);
}

static void
arena_stops_at_its_cap(void **state)
{
	fc_arena arena;

	(void)state;
	fc_arena_init(&arena, NULL, 8192, NULL, 0);
	assert_null(fc_arena_alloc(&arena, 8192));
	assert_int_equal(arena.state, FC_ARENA_AT_CAP);
	fc_arena_reset(&arena);
	assert_non_null(fc_arena_alloc(&arena, 8192 - 16));
	assert_int_equal(arena.state, FC_ARENA_OK);
	assert_null(fc_arena_alloc(&arena, 1));
	assert_null(fc_arena_alloc(&arena, SIZE_MAX));
	fc_arena_reset(&arena);
	test_allocator_fail_at(1, false);
	assert_null(fc_arena_alloc(&arena, 1));
	assert_int_equal(arena.state, FC_ARENA_NO_MEMORY);
	fc_arena_reset(&arena);
}

static void
pool_keeps_up_to_its_cap(void **state)
{
	fc_pool pool;
	fc_block *a, *b;

	(void)state;
	fc_pool_init(&pool, 2048);
	a = fc_pool_get(&pool, 1024);
	b = fc_pool_get(&pool, 1025);
	assert_int_equal(a->size, 1024);
	assert_int_equal(b->size, 2048);
	fc_pool_put(&pool, a);
	assert_int_equal(pool.bytes, 1024);
	fc_pool_put(&pool, b); /* would pass the cap */
	assert_int_equal(pool.bytes, 1024);
	assert_ptr_equal(fc_pool_get(&pool, 1), a);
	fc_pool_put(&pool, a);
	fc_pool_fini(&pool);
	a = fc_pool_get(&pool, FC_BLOCK_MAX + 1);
	assert_int_equal(a->size, FC_BLOCK_MAX + 1);
	fc_pool_put(&pool, a);
}

static void
buf_grows_to_its_ceiling(void **state)
{
	fc_buf buf;
	uint8_t bytes[100];

	(void)state;
	memset(bytes, 7, sizeof bytes);
	fc_buf_init(&buf, NULL, 5000);
	assert_true(fc_buf_append(&buf, NULL, 0));
	assert_int_equal(fc_buf_size(&buf), 0);
	for (int i = 0; i < 50; i++)
		assert_true(fc_buf_append(&buf, bytes, 100));
	assert_false(fc_buf_append(&buf, bytes, 1));
	assert_int_equal(fc_buf_size(&buf), 5000);
	fc_buf_take(&buf, 4000);
	assert_true(fc_buf_append(&buf, bytes, 100));
	assert_int_equal(fc_buf_size(&buf), 1100);
	for (size_t i = 0; i < 1100; i++)
		assert_int_equal(buf.data[buf.from + i], 7);
	fc_buf_fini(&buf);
}

static void
map_agrees_with_an_array(void **state)
{
	static uintptr_t plain[512];
	test_random random;
	fc_map map;

	(void)state;
	memset(plain, 0, sizeof plain);
	test_random_seed(&random, 1);
	fc_map_init(&map);
	for (int i = 0; i < 200000; i++) {
		uint32_t key = 1 + 2 * test_random_below(&random, 511) / 2;

		if (test_random_below(&random, 2) != 0) {
			plain[key] = (uintptr_t)i + 1;
			assert_true(fc_map_put(&map, key, (void *)((uintptr_t)i + 1)));
		} else {
			plain[key] = 0;
			fc_map_remove(&map, key);
		}
		key = 1 + test_random_below(&random, 511);
		assert_ptr_equal(fc_map_get(&map, key), (void *)plain[key]);
	}
	fc_map_fini(&map);
}

static void
first_error_sticks_and_is_cut_at_a_character(void **state)
{
	fc_error error;
	char text[400];

	(void)state;
	fc_error_clear(&error);
	memset(text, 'a', sizeof text);
	memcpy(text + FC_ERROR_TEXT - 2, "\xc3\xa9", 2);
	text[399] = 0;
	fc_fail(&error, FARCALL_INTERNAL, FARCALL_CAUSE_PROTOCOL, "%s", text);
	fc_fail(&error, FARCALL_UNKNOWN, FARCALL_CAUSE_NONE, "later");
	assert_int_equal(error.code, FARCALL_INTERNAL);
	assert_int_equal(strlen(error.text), FC_ERROR_TEXT - 2);
	assert_string_equal(farcall_code_name(FARCALL_UNAUTHENTICATED), "UNAUTHENTICATED");
	assert_string_equal(farcall_code_name(FARCALL_PENDING), "PENDING");
	assert_string_equal(farcall_code_name((farcall_code)17), "UNKNOWN");
	assert_string_equal(farcall_cause_name(FARCALL_CAUSE_LIMIT), "LIMIT");
	assert_string_equal(fc_cause_text(FARCALL_CAUSE_LIMIT), "limit reached");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(arena_holds_what_it_gave),
	    clean_test(arena_spares_what_it_has),
	    clean_test(arena_stops_at_its_cap),
	    clean_test(pool_keeps_up_to_its_cap),
	    clean_test(buf_grows_to_its_ceiling),
	    clean_test(map_agrees_with_an_array),
	    clean_test(first_error_sticks_and_is_cut_at_a_character),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
