/*
 * test_crew_shortage.c: who is told that items wait for threads that do not come back, and when.
 */
#include "runtime/loop/crew_inside.h"

#include "tests/unit/loop/crew_rig.h"

typedef struct teller {
	fc_crew_shortage first; /* the owner's, until `times` is 1; then nobody writes it */
	atomic_int times;
} teller;

static void
on_short(void *data, const fc_crew_shortage *shortage)
{
	teller *t = (teller *)data;

	if (atomic_load(&t->times) == 0)
		t->first = *shortage;
	atomic_fetch_add(&t->times, 1);
}

/* All that may be at work are, and one item waits: told after a second, and again. */
static void
items_that_wait_for_a_second_are_told(void **state)
{
	teller t = {.times = 0};
	const fc_crew_config config = {
	    .threads = 4, .patience = PATIENT, .on_short = on_short, .data = &t};
	item items[3];
	feed f, g;
	rig r;

	(void)state;
	rig_start(&r, &config);
	for (int i = 0; i < 3; i++)
		item_init(&items[i], &r, 1, act_wait, 0);
	rig_feed(&r, &f, items, 2);
	wait_until(&r.running, 2);
	rig_feed(&r, &g, items + 2, 1);
	wait_until(&t.times, 1);
	assert_false(t.first.last);
	assert_int_equal(t.first.threads, 4);
	assert_int_equal(t.first.at_work, 2);
	assert_int_equal(t.first.waiting, 1);
	assert_string_equal(t.first.name, "blocks");
	assert_true(t.first.waited >= FC_NS_PER_S);
	wait_until(&t.times, 2);
	atomic_store(&r.gate, 1);
	wait_until(&r.n_done, 3);
	rig_stop(&r);
}

typedef struct later {
	fc_task task;
	fc_timer timer;
	rig *rig;
	atomic_int came;
} later;

static void
come(fc_timer *timer)
{
	atomic_store(&FC_CONTAINER(timer, later, timer)->came, 1);
}

static void
arm(fc_task *task)
{
	later *l = FC_CONTAINER(task, later, task);

	fc_timer_init(&l->timer, come);
	fc_timer_start(
	    l->rig->loop, &l->timer, fc_loop_now(l->rig->loop) + FC_NS_PER_S + 50 * FC_NS_PER_MS);
}

/* As many at work as may be, but none waits. The loop looks at the queue before `later` comes. */
static void
threads_that_suffice_are_no_shortage(void **state)
{
	teller t = {.times = 0};
	const fc_crew_config config = {
	    .threads = 4, .patience = PATIENT, .on_short = on_short, .data = &t};
	later l = {.task = {{NULL}, arm, false}};
	item items[2];
	feed f;
	rig r;

	(void)state;
	rig_start(&r, &config);
	for (int i = 0; i < 2; i++)
		item_init(&items[i], &r, 1, act_wait, 0);
	rig_feed(&r, &f, items, 2);
	wait_until(&r.running, 2);
	l.rig = &r;
	fc_loop_post(r.loop, &l.task);
	wait_until(&l.came, 1);
	assert_int_equal(atomic_load(&t.times), 0);
	atomic_store(&r.gate, 1);
	wait_until(&r.n_done, 2);
	rig_stop(&r);
}

/* A queue that is full is told at once: at the limit nothing, one more is. */
static void
a_full_queue_is_told(void **state)
{
	teller t = {.times = 0};
	const fc_crew_config config = {
	    .threads = 3, .queue = 2, .patience = PATIENT, .on_short = on_short, .data = &t};
	item items[4];
	feed f, g, h;
	rig r;

	(void)state;
	rig_start(&r, &config);
	for (int i = 0; i < 4; i++)
		item_init(&items[i], &r, 1, act_wait, 0);
	rig_feed(&r, &f, items, 1);
	wait_until(&r.running, 1);
	rig_feed(&r, &g, items + 1, 2);
	wait_until(&g.fed, 1);
	assert_int_equal(atomic_load(&r.n_refused), 0);
	rig_feed(&r, &h, items + 3, 1);
	wait_until(&r.n_refused, 1);
	assert_true(atomic_load(&t.times) >= 1);
	assert_int_equal(t.first.waiting, 2);
	assert_int_equal(t.first.at_work, 1);
	atomic_store(&r.gate, 1);
	wait_until(&r.n_done, 4);
	rig_stop(&r);
}

/* Of three threads one blocks: nothing. Two: the one that is left has the loop, and none is there
 * to take it. */
static void
the_last_thread_is_told(void **state)
{
	teller t = {.times = 0};
	const fc_crew_config config = {
	    .threads = 3, .patience = PATIENT, .on_short = on_short, .data = &t};
	item items[3];
	feed f, g;
	rig r;

	(void)state;
	rig_start(&r, &config);
	item_init(&items[0], &r, 0, act_give_and_wait, 0);
	item_init(&items[1], &r, 2, NULL, 0);
	item_init(&items[2], &r, 3, act_give_and_wait, 0);
	rig_feed(&r, &f, items, 2);
	wait_until(&r.n_done, 1);
	assert_int_equal(atomic_load(&t.times), 0);
	rig_feed(&r, &g, items + 2, 1);
	wait_until(&t.times, 1);
	assert_true(t.first.last);
	assert_int_equal(t.first.threads, 3);
	assert_int_equal(t.first.at_work, 2);
	assert_int_equal(t.first.waiting, 0);
	assert_string_equal(t.first.name, "other");
	atomic_store(&r.gate, 1);
	wait_until(&r.n_done, 3);
	rig_stop(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(items_that_wait_for_a_second_are_told),
	    clean_test(threads_that_suffice_are_no_shortage),
	    clean_test(a_full_queue_is_told),
	    clean_test(the_last_thread_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
