/*
 * test_backoff.c: the delays of gRPC's connection backoff, and their spread.
 */
#include "tests/support/test.h"

#include "client/internal.h"

static double
seconds(uint64_t ns)
{
	return (double)ns / 1e9;
}

/* The first one, too, has its jitter: else all clients of a server that has gone come back at the
 * same moment. */
static void
the_first_is_about_one_second(void **state)
{
	uint64_t least = FC_NEVER, most = 0;
	fc_backoff backoff;

	(void)state;
	for (uint64_t seed = 0; seed < 1000; seed++) {
		uint64_t delay;

		fc_backoff_seed(&backoff, seed);
		delay = fc_backoff_next(&backoff);
		least = FC_MIN(least, delay);
		most = FC_MAX(most, delay);
	}
	assert_true(least >= FC_NS_PER_S / 10 * 8 && least < FC_NS_PER_S / 100 * 81);
	assert_true(most <= FC_NS_PER_S / 10 * 12 && most > FC_NS_PER_S / 100 * 119);
}

/* Each within a fifth of 1.6 times the base before it, the base itself without jitter; the spread
 * is even: its ends are reached, its middle is the base. */
static void
each_is_within_a_fifth_of_its_base(void **state)
{
	double base = 1.0, least[16], most[16], sum[16] = {0};
	fc_backoff backoff;

	(void)state;
	for (int i = 0; i < 16; i++)
		least[i] = 1e9, most[i] = 0;
	for (uint64_t seed = 1; seed <= 5000; seed++) {
		fc_backoff_seed(&backoff, seed);
		fc_backoff_next(&backoff);
		for (int i = 0; i < 16; i++) {
			double delay = seconds(fc_backoff_next(&backoff));

			least[i] = delay < least[i] ? delay : least[i];
			most[i] = delay > most[i] ? delay : most[i];
			sum[i] += delay;
		}
	}
	for (int i = 0; i < 16; i++) {
		base = base * 1.6 < 120 ? base * 1.6 : 120;
		assert_true(least[i] >= base * 0.8 * (1 - 1e-8));
		assert_true(most[i] <= base * 1.2 * (1 + 1e-8));
		assert_true(least[i] < base * 0.81);
		assert_true(most[i] > base * 1.19);
		assert_true(sum[i] / 5000 > base * 0.99 && sum[i] / 5000 < base * 1.01);
	}
	assert_true(base == 120);
}

static void
reset_begins_again(void **state)
{
	fc_backoff backoff;

	(void)state;
	fc_backoff_seed(&backoff, 7);
	for (int i = 0; i < 20; i++)
		fc_backoff_next(&backoff);
	assert_true(fc_backoff_next(&backoff) >= 96 * FC_NS_PER_S);
	fc_backoff_reset(&backoff);
	assert_true(fc_backoff_next(&backoff) <= FC_NS_PER_S / 10 * 12);
	assert_true(fc_backoff_next(&backoff) <= FC_NS_PER_S * 192 / 100);
}

static void
a_seed_repeats_itself(void **state)
{
	fc_backoff a, b, c;
	int differ = 0;

	(void)state;
	fc_backoff_seed(&a, 1);
	fc_backoff_seed(&b, 1);
	fc_backoff_seed(&c, 2);
	for (int i = 0; i < 20; i++) {
		uint64_t delay = fc_backoff_next(&a);

		assert_int_equal(delay, fc_backoff_next(&b));
		differ += delay != fc_backoff_next(&c);
	}
	assert_true(differ > 10);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(the_first_is_about_one_second),
	    clean_test(each_is_within_a_fifth_of_its_base),
	    clean_test(reset_begins_again),
	    clean_test(a_seed_repeats_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
