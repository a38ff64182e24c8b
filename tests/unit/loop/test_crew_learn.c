/*
 * test_crew_learn.c: what is learned and unlearned, and after how many items.
 */
#include "runtime/loop/crew_inside.h"

#include "tests/unit/loop/crew_rig.h"

#define QUICK (FC_NS_PER_MS / 10 - 1) /* just quick, with the usual patience */

static void
quick(fc_work_kind *kind, unsigned n)
{
	while (n-- > 0)
		fc_learn_pooled(kind, QUICK);
}

/* A crew that has begun, so that it learns, but is never run. */
static void
open_learning(rig *r)
{
	const fc_crew_config config = {.patience = FC_NS_PER_MS};

	rig_open(r, NULL, &config);
	r->crew->plain = false;
}

static void
a_block_is_learned(void **state)
{
	rig r;

	(void)state;
	open_learning(&r);
	for (int k = 0; k < 4; k++)
		fc_learn_blocked(&r.kinds[k]);
	assert_true(r.kinds[0].pooled);
	assert_true(r.kinds[1].pooled);
	assert_false(r.kinds[2].pooled);
	assert_int_equal(rig_counts(&r).learned, 2); /* the third and fourth are declared */
	fc_learn_blocked(&r.kinds[0]);
	assert_int_equal(rig_counts(&r).learned, 2);
	rig_close(&r);
}

static void
quick_items_in_a_row_unlearn(void **state)
{
	rig r;

	(void)state;
	open_learning(&r);
	fc_learn_blocked(&r.kinds[0]);
	quick(&r.kinds[0], 999);
	fc_learn_pooled(&r.kinds[0], QUICK + 1); /* not in a row */
	quick(&r.kinds[0], 999);
	fc_learn_pooled(&r.kinds[0], FC_NEVER); /* the loop was taken from it */
	quick(&r.kinds[0], 999);
	assert_true(r.kinds[0].pooled);
	quick(&r.kinds[0], 1);
	assert_false(r.kinds[0].pooled);
	assert_int_equal(rig_counts(&r).unlearned, 1);
	quick(&r.kinds[1], 5000); /* declared */
	assert_true(r.kinds[1].pooled);
	rig_close(&r);
}

static void
relapses_double_what_is_needed(void **state)
{
	fc_work_kind *kind;
	rig r;

	(void)state;
	open_learning(&r);
	kind = &r.kinds[0];
	for (unsigned needed = 1000; needed < 1u << 21; needed *= 2) {
		unsigned most = FC_MIN(needed, 1u << 20);

		fc_learn_blocked(kind);
		assert_int_equal(kind->needed, most);
		quick(kind, most - 1);
		assert_true(kind->pooled);
		quick(kind, 1);
		assert_false(kind->pooled);
	}
	/* 8 times as many in place: that was another time */
	for (unsigned n = 0; n < (1u << 23) / SAMPLE; n++)
		fc_learn_timed(kind, 1000);
	fc_learn_blocked(kind);
	assert_int_equal(kind->needed, 1000);
	rig_close(&r);
}

static void
slow_ones_are_learned_by_their_mean(void **state)
{
	fc_work_kind *kind;
	rig r;

	(void)state;
	open_learning(&r);
	kind = &r.kinds[0];
	for (int n = 0; n < 5000; n++)
		fc_learn_timed(kind, 99000);
	assert_false(kind->pooled);
	for (int n = 0; n < 100 && !kind->pooled; n++)
		fc_learn_timed(kind, 102000);
	assert_true(kind->pooled);

	/* one that was kept waiting by the machine is no reason; many are */
	kind = &r.kinds[3];
	for (int n = 0; n < 5000; n++)
		fc_learn_timed(kind, n % 100 == 50 ? FC_NS_PER_S / 20 : 5000);
	assert_false(kind->pooled);
	for (int n = 0; n < 3; n++)
		fc_learn_timed(kind, FC_NS_PER_S / 20);
	assert_true(kind->pooled);
	fc_learn_timed(&r.kinds[2], FC_NS_PER_S / 20);
	assert_false(r.kinds[2].pooled);
	rig_close(&r);
}

static void
each_item_is_timed_without_a_monitor(void **state)
{
	rig r;

	(void)state;
	open_learning(&r);
	fc_learn_timed(&r.kinds[0], 1);
	assert_int_equal(r.kinds[0].left, 1);
	atomic_store(&r.crew->watched, true);
	fc_learn_timed(&r.kinds[0], 1);
	assert_int_equal(r.kinds[0].left, SAMPLE);
	rig_close(&r);
}

/* The whole way: one item blocks, then all are quick. */
static void
learned_and_unlearned_by_running(void **state)
{
	const fc_crew_config config = {.patience = 20 * FC_NS_PER_MS};
	static item items[200];
	fc_crew_counts counts;
	item first;
	rig r;

	(void)state;
	rig_start(&r, &config);
	for (int n = 0; n < 100 && rig_counts(&r).learned == 0; n++) {
		item_init(&first, &r, 0, act_sleep, 60000); /* a busy machine may oversee one */
		rig_do(&r, &first, 1);
	}
	assert_int_equal(rig_counts(&r).learned, 1);
	for (int round = 0; round < 100 && rig_counts(&r).unlearned == 0; round++) {
		for (int i = 0; i < 200; i++)
			item_init(&items[i], &r, 0, NULL, 0);
		rig_do(&r, items, 200);
	}
	counts = rig_counts(&r);
	assert_int_equal(counts.unlearned, 1);
	assert_true(counts.pooled >= 1000);
	for (int i = 0; i < 200; i++)
		item_init(&items[i], &r, 0, NULL, 0);
	rig_do(&r, items, 200);
	assert_int_equal(rig_counts(&r).pooled, counts.pooled);
	rig_stop(&r);
}

static void
act_nothing(item *i)
{
	i->work.idle = true;
}

/* Items that had nothing to do any more, since they were cancelled, are no quick ones. */
static void
idle_items_teach_nothing(void **state)
{
	const fc_crew_config config = {.patience = PATIENT};
	static item items[200];
	fc_error error;
	rig r;

	(void)state;
	fc_error_clear(&error);
	rig_open(&r, NULL, &config);
	r.kinds[0].pooled = true;
	assert_int_equal(fc_thread_start(&r.thread, rig_main, &r, &error), FARCALL_OK);
	for (int round = 0; round < 10; round++) {
		bool idle = round < 6;

		for (int i = 0; i < 200; i++)
			item_init(&items[i], &r, 0, idle ? act_nothing : NULL, 0);
		rig_do(&r, items, 200);
	}
	assert_int_equal(rig_counts(&r).unlearned, 0);
	for (int i = 0; i < 200; i++)
		item_init(&items[i], &r, 0, NULL, 0);
	rig_do(&r, items, 200); /* the thousandth */
	assert_int_equal(rig_counts(&r).unlearned, 1);
	assert_int_equal(rig_stop(&r).pooled, 2200);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(a_block_is_learned),
	    clean_test(quick_items_in_a_row_unlearn),
	    clean_test(relapses_double_what_is_needed),
	    clean_test(slow_ones_are_learned_by_their_mean),
	    clean_test(each_item_is_timed_without_a_monitor),
	    clean_test(learned_and_unlearned_by_running),
	    clean_test(idle_items_teach_nothing),
	};

	fc_crew_debug_handover(false);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
