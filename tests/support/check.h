/*
 * check.h: that a test leaves nothing behind, and a random source that repeats itself.
 */
#ifndef FC_TEST_CHECK_H
#define FC_TEST_CHECK_H

#include <stdint.h>

/* cmocka setup and teardown: counts allocations and open descriptors before and after; the teardown
 * fails the test if any is left over. */
int test_clean_setup(void **state);
int test_clean_teardown(void **state);

#define clean_test(f) cmocka_unit_test_setup_teardown(f, test_clean_setup, test_clean_teardown)

int test_open_files(void); /* descriptors that this process has open */

/* xorshift64*: the same seed gives the same numbers. */
typedef struct test_random {
	uint64_t state;
} test_random;

void test_random_seed(test_random *random, uint64_t seed);
uint32_t test_random_next(test_random *random);
uint32_t test_random_below(test_random *random, uint32_t limit); /* 0 .. limit - 1 */

#endif
