/*
 * test_crew_turns.c: a crew's last turns, and its long ones.
 */
#include "runtime/loop/crew_inside.h"

#include "tests/unit/loop/crew_rig.h"

#include <stdlib.h>

/* ---- the end ---- */

static void
act_end(item *i)
{
	atomic_store(&i->rig->over, true);
}

/* More than two turns run. The end is asked for in the first of them. */
static void
the_end_waits_for_what_is_ready(void **state)
{
	enum { MANY = 20000 };
	const fc_crew_config config = {.patience = PATIENT};
	item *items = (item *)calloc(MANY, sizeof *items);
	feed f;
	rig r;

	(void)state;
	rig_start(&r, &config);
	for (int i = 0; i < MANY; i++)
		item_init(&items[i], &r, i % 2 == 0 ? 0 : 2, NULL, 0);
	items[0].act = act_end;
	rig_feed(&r, &f, items, MANY);
	fc_thread_join(&r.thread);
	assert_int_equal(atomic_load(&r.n_done), MANY);
	assert_int_equal(atomic_load(&r.n_twice), 0);
	rig_close(&r);
	free(items);
}

static void
the_end_waits_for_what_blocks(void **state)
{
	static const unsigned caps[] = {2, 3, 64};
	item items[5];
	rig r;

	(void)state;
	for (size_t c = 0; c < FC_COUNT(caps); c++) {
		const fc_crew_config config = {.threads = caps[c]};
		feed f;

		rig_start(&r, &config);
		for (int i = 0; i < 5; i++)
			item_init(&items[i], &r, i % 2, act_wait, 0);
		rig_feed(&r, &f, items, 5);
		wait_until(&r.running, 1);
		rig_ask_to_stop(&r);
		uv_sleep(20);
		atomic_store(&r.gate, 1);
		rig_stop(&r);
		assert_int_equal(r.handled, 5);
	}
}

/* ---- turns ---- */

typedef struct alarm {
	fc_timer timer;
	rig *rig;
	int after; /* items done before it */
} alarm;

static alarm soon;
static fc_task no_flush;

static void
run_alarm(fc_timer *timer)
{
	alarm *a = FC_CONTAINER(timer, alarm, timer);

	a->after = atomic_load(&a->rig->n_done);
}

static void
ignore(fc_task *task)
{
	(void)task;
}

static void
flush_and_set_alarm(fc_work *work, bool ran)
{
	rig *r = FC_CONTAINER(work, item, work)->rig;

	if (atomic_load(&r->n_done) == 0 && !fc_timer_start(r->loop, &soon.timer, 1))
		atomic_fetch_add(&r->n_twice, 1);
	fc_loop_flush_later(r->loop, &no_flush);
	one_done(work, ran);
}

/* 100 items of 300 µs each: what comes meanwhile does not wait for all of them. */
static void
a_long_turn_polls(void **state)
{
	const fc_crew_config config = {.patience = PATIENT};
	static item items[100];
	rig r;

	(void)state;
	rig_start(&r, &config);
	fc_timer_init(&soon.timer, run_alarm);
	soon.rig = &r;
	soon.after = -1;
	no_flush.run = ignore;
	for (int i = 0; i < 100; i++) {
		item_init(&items[i], &r, 0, act_spin, 300);
		items[i].work.done = flush_and_set_alarm;
	}
	rig_do(&r, items, 100);
	rig_stop(&r);
	assert_in_range(soon.after, 1, 20);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(the_end_waits_for_what_blocks),
	    clean_test(the_end_waits_for_what_is_ready),
	    clean_test(a_long_turn_polls),
	};

	fc_crew_debug_handover(false); /* these tests count */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
