/*
 * test_crew.c: what a crew promises, one thing at a time.
 */
#include "runtime/loop/crew_inside.h"

#include "tests/unit/loop/crew_rig.h"

#include <limits.h>

static void
calm_items_stay_with_the_owner(void **state)
{
	const fc_crew_config config = {.patience = PATIENT};
	static item items[3000];
	fc_crew_counts counts;
	rig r;

	(void)state;
	rig_open(&r, NULL, &config);
	r.kinds[0].left = UINT_MAX; /* none is timed: the machine may hold up any for long */
	rig_run(&r);
	for (int i = 0; i < 3000; i++)
		item_init(&items[i], &r, i % 2 == 0 ? 0 : 2, NULL, 0);
	for (int i = 0; i < 3000; i += 100)
		rig_do(&r, items + i, 100);
	for (int n = 0; n < 20000 && rig_counts(&r).threads < 2; n++)
		uv_sleep(1);
	counts = rig_stop(&r);
	assert_int_equal(atomic_load(&r.strangers), 0);
	assert_int_equal(atomic_load(&r.most_running), 1);
	assert_int_equal(counts.taken + counts.given + counts.pooled + counts.learned, 0);
	assert_int_equal(counts.threads, 2); /* the monitor, and one prepared */
}

/* The first waits for the second, which waits in the same turn. */
static void
the_monitor_takes_the_loop(void **state)
{
	const fc_crew_config config = {0};
	fc_crew_counts counts;
	item items[4];
	rig r;

	(void)state;
	rig_start(&r, &config);
	item_init(&items[0], &r, 0, act_wait, 0);
	item_init(&items[1], &r, 3, act_open_gate, 0);
	item_init(&items[2], &r, 0, NULL, 0);
	item_init(&items[3], &r, 0, NULL, 0);
	rig_do(&r, items, 2);
	counts = rig_counts(&r);
	assert_true(counts.taken >= 1);
	assert_true(counts.learned >= 1);
	assert_int_equal(counts.pooled, 0);
	assert_true(items[0].runner != items[1].runner);
	rig_do(&r, items + 2, 2); /* its kind was learned */
	counts = rig_stop(&r);
	assert_int_equal(counts.pooled, 2);
	assert_true(r.kinds[0].pooled);
}

static void
block_begin_gives_the_loop_away(void **state)
{
	const fc_crew_config config = {.patience = PATIENT};
	fc_crew_counts counts;
	item items[2];
	rig r;

	(void)state;
	rig_start(&r, &config);
	item_init(&items[0], &r, 0, act_give_and_wait, 0);
	item_init(&items[1], &r, 3, act_open_gate, 0);
	rig_do(&r, items, 2);
	counts = rig_stop(&r);
	assert_int_equal(counts.given, 1);
	assert_int_equal(counts.got_back, 0);
	assert_int_equal(counts.taken, 0);
	assert_int_equal(counts.learned, 1);
}

typedef struct errand {
	fc_task task;
	atomic_int ran;
} errand;

static void
run_errand(fc_task *task)
{
	atomic_store(&FC_CONTAINER(task, errand, task)->ran, 1);
}

/* Waits inside run() for a task of the loop that it runs on. */
static void
act_nested_wait(item *i)
{
	errand e = {.task = {{NULL}, run_errand, false}};

	fc_crew_block_begin();
	fc_crew_block_begin(); /* a second time: nothing more to give */
	fc_loop_post(i->rig->loop, &e.task);
	for (int n = 0; n < 20000 && atomic_load(&e.ran) == 0; n++)
		uv_sleep(1);
	i->us = (unsigned)atomic_load(&e.ran);
}

static void
waits_for_its_own_loop(void **state)
{
	static const unsigned caps[] = {2, 3, 8};
	fc_crew_counts counts;
	item items[20];
	rig r;

	(void)state;
	for (size_t c = 0; c < FC_COUNT(caps); c++) {
		const fc_crew_config config = {.threads = caps[c], .patience = PATIENT};

		rig_start(&r, &config);
		while (!atomic_load(&r.crew->watched))
			uv_sleep(1);
		for (int i = 0; i < 20; i++) {
			item_init(&items[i], &r, 0, act_nested_wait, 0);
			rig_do(&r, &items[i], 1);
			assert_int_equal(items[i].us, 1);
		}
		counts = rig_stop(&r);
		assert_int_equal(counts.given, 1);
		assert_int_equal(counts.pooled, 19);
	}
}

/* Forgets what was learned, so that the next item runs with the owner again. */
typedef struct forget {
	fc_task task;
	rig *rig;
} forget;

static void
run_forget(fc_task *task)
{
	rig *r = FC_CONTAINER(task, forget, task)->rig;

	r->kinds[0].pooled = r->kinds[3].pooled = false;
}

/* Given away and done at once: the loop comes back, or another has it; often the one or the other.
 */
static void
a_loop_that_nobody_took_comes_back(void **state)
{
	const fc_crew_config config = {.patience = PATIENT};
	const int turns = 2000;
	fc_crew_counts counts;
	item items[3];
	rig r;
	feed f;

	(void)state;
	rig_start(&r, &config);
	for (int n = 0; n < turns; n++) {
		forget clean = {.task = {{NULL}, run_forget, false}, .rig = &r};

		item_init(&items[0], &r, 0, act_give, 0);
		item_init(&items[1], &r, 3, n % 3 == 0 ? act_give : NULL, 0);
		item_init(&items[2], &r, 2, NULL, 0);
		fc_loop_post(r.loop, &clean.task);
		rig_feed(&r, &f, items, 3);
		wait_until(&r.n_done, 3 * (n + 1));
		rig_do(&r, NULL, 0); /* the mail has been read: `clean` is ours again */
	}
	counts = rig_stop(&r);
	assert_int_equal(r.handled, 3 * turns);
	assert_true(counts.given >= (size_t)turns);
	assert_true(counts.got_back <= counts.given);
	assert_true(counts.threads <= 63);
}

/* Nine block one after the other, each in the turn that was taken from the one before, until the
 * tenth opens the gate: so each one that takes the loop must have seen to a monitor. `gives` of
 * them give it away by themselves. */
static void
block_in_a_row(unsigned gives)
{
	const fc_crew_config config = {0};
	fc_work_kind kinds[10];
	fc_crew_counts counts;
	item items[10];
	rig r;

	rig_start(&r, &config);
	for (unsigned i = 0; i < 10; i++) {
		item_init(&items[i], &r, 0,
		    i == 9                      ? act_open_gate
		        : (gives >> i & 1) != 0 ? act_give_and_wait
		                                : act_wait,
		    0);
		fc_work_kind_init(&kinds[i], r.crew, "one of ten", FC_WORK_LEARNS);
		items[i].work.kind = &kinds[i];
	}
	rig_do(&r, items, 10);
	counts = rig_stop(&r);
	assert_true(counts.taken + counts.given >= 9);
	assert_int_equal(counts.got_back, 0);
	assert_true(counts.threads >= 10);
}

static void
somebody_always_watches(void **state)
{
	(void)state;
	block_in_a_row(0);
	block_in_a_row(0x1ff);
	block_in_a_row(0x155);
	block_in_a_row(0x0aa);
}

static void
a_sleeping_monitor_is_woken(void **state)
{
	const fc_crew_config config = {0};
	item items[2];
	rig r;

	(void)state;
	rig_start(&r, &config);
	rig_do(&r, NULL, 0);
	for (int n = 0; n < 20000 && !atomic_load(&r.crew->asleep); n++)
		uv_sleep(1);
	assert_true(atomic_load(&r.crew->asleep));
	item_init(&items[0], &r, 0, act_wait, 0);
	item_init(&items[1], &r, 2, act_open_gate, 0);
	rig_do(&r, items, 2);
	assert_int_equal(rig_stop(&r).taken, 1);
}

/* ---- declared ---- */

static void
declared_kinds_keep_their_place(void **state)
{
	const fc_crew_config config = {.patience = FC_NS_PER_MS};
	fc_crew_counts counts;
	item items[12];
	rig r;

	(void)state;
	rig_start(&r, &config);
	for (int i = 0; i < 12; i++)
		item_init(&items[i], &r, i < 6 ? 1 : 2, act_sleep, 5000);
	rig_do(&r, items, 12);
	counts = rig_stop(&r);
	assert_int_equal(counts.pooled, 6);
	assert_int_equal(counts.taken, 0);
	assert_int_equal(counts.learned, 0);
	for (int i = 0; i < 6; i++)
		assert_true(items[i].runner != items[11].runner);
	for (int i = 6; i < 12; i++)
		assert_true(items[i].runner == items[11].runner);
}

static atomic_int n_lines;
static char line[256]; /* the first */

static void
keep_line(farcall_log_level level, const char *text, void *data)
{
	(void)data;
	if (level == FARCALL_LOG_WARNING && atomic_fetch_add(&n_lines, 1) == 0)
		strncpy(line, text, sizeof line - 1);
}

static void
a_held_loop_is_told_once_a_minute(void **state)
{
	const fc_crew_config config = {0};
	fc_crew_counts counts;
	item items[2];
	rig r;

	(void)state;
	atomic_store(&n_lines, 0);
	farcall_log_set(keep_line, NULL);
	rig_start(&r, &config);
	item_init(&items[0], &r, 2, act_sleep, 110000);
	item_init(&items[1], &r, 2, act_sleep, 110000);
	rig_do(&r, items, 1);
	rig_do(&r, items + 1, 1);
	counts = rig_stop(&r);
	farcall_log_set(NULL, NULL);
	assert_int_equal(atomic_load(&n_lines), 1);
	assert_int_equal(counts.complaints, 1);
	assert_memory_equal(line, "stays held up its loop, and all that runs on it, for ", 53);
}

/* ---- limits ---- */

/* Three threads: the owner, the monitor, one for items that block. */
static void
the_queue_is_bounded(void **state)
{
	const fc_crew_config config = {.threads = 3, .queue = 5, .patience = PATIENT};
	fc_crew_counts counts;
	item items[8];
	rig r;
	feed f;

	(void)state;
	rig_start(&r, &config);
	for (int i = 0; i < 8; i++)
		item_init(&items[i], &r, 1, act_wait, 0);
	rig_feed(&r, &f, items, 1);
	wait_until(&r.running, 1);
	rig_do(&r, NULL, 0);
	rig_feed(&r, &f, items + 1, 5); /* as many as may wait */
	wait_until(&f.fed, 1);
	rig_do(&r, NULL, 0);
	assert_int_equal(atomic_load(&r.n_refused), 0);
	rig_do(&r, items + 6, 1); /* one more */
	assert_int_equal(atomic_load(&r.n_refused), 1);
	assert_int_equal(items[6].ran, 0);
	assert_int_equal(atomic_load(&r.n_done), 1);
	atomic_store(&r.gate, 1);
	wait_until(&r.n_done, 7);
	rig_do(&r, items + 7, 1); /* there is room again */
	counts = rig_stop(&r);
	assert_int_equal(atomic_load(&r.n_refused), 1);
	assert_int_equal(counts.refused, 1);
	assert_int_equal(counts.threads, 2);
	assert_int_equal(atomic_load(&r.most_running), 1);
}

static void
threads_are_bounded(void **state)
{
	static const unsigned caps[] = {2, 3, 8};
	static item items[40];
	rig r;

	(void)state;
	for (size_t c = 0; c < FC_COUNT(caps); c++) {
		const fc_crew_config config = {.threads = caps[c], .patience = PATIENT};
		int most = caps[c] == 2 ? 1 : (int)caps[c] - 2;
		fc_crew_counts counts;
		feed f;

		rig_start(&r, &config);
		for (int i = 0; i < 40; i++)
			item_init(&items[i], &r, 1, act_wait, 0);
		rig_feed(&r, &f, items, 40);
		wait_until(&r.running, most);
		uv_sleep(20);
		assert_int_equal(atomic_load(&r.running), most);
		atomic_store(&r.gate, 1);
		wait_until(&r.n_done, 40);
		counts = rig_stop(&r);
		assert_int_equal(counts.threads, caps[c] - 1);
		assert_int_equal(atomic_load(&r.most_running), most);
	}
}

/* At the cap a block holds up the rest, and is over some time. */
static void
at_the_cap_the_loop_waits(void **state)
{
	const fc_crew_config config = {.threads = 2};
	fc_crew_counts counts;
	item items[3];
	rig r;

	(void)state;
	rig_start(&r, &config);
	item_init(&items[0], &r, 0, act_wait, 0);
	item_init(&items[1], &r, 3, act_sleep, 30000);
	item_init(&items[2], &r, 2, act_open_gate, 0);
	rig_do(&r, items, 3);
	counts = rig_stop(&r);
	assert_true(counts.taken >= 1);
	assert_int_equal(counts.threads, 1);
}

static void
one_thread_runs_all_in_place(void **state)
{
	const fc_crew_config config = {.threads = 1};
	fc_crew_counts counts;
	item items[30];
	rig r;

	(void)state;
	rig_start(&r, &config);
	for (int i = 0; i < 30; i++)
		item_init(&items[i], &r, i % 3, i % 2 == 0 ? act_sleep : act_give, 2000);
	rig_do(&r, items, 30);
	counts = rig_stop(&r);
	assert_int_equal(counts.threads, 0);
	assert_int_equal(atomic_load(&r.most_running), 1);
	assert_int_equal(atomic_load(&r.strangers), 0);
}

static void
serial_items_never_overlap(void **state)
{
	const fc_crew_config config = {.serial = true};
	fc_crew_counts counts;
	item items[60];
	rig r;

	(void)state;
	rig_start(&r, &config);
	for (int i = 0; i < 60; i++)
		item_init(&items[i], &r, i % 4, i % 5 == 0 ? act_give : act_sleep, 1500);
	rig_do(&r, items, 60);
	counts = rig_stop(&r);
	assert_int_equal(counts.threads, 0);
	assert_int_equal(atomic_load(&r.most_running), 1);
	assert_int_equal(atomic_load(&r.strangers), 0);
}

/* ---- without threads ---- */

static void
virtual_loops_start_no_thread(void **state)
{
	const fc_crew_config config = {0};
	fc_clock clock = {1000, true};
	item items[8];
	rig r;

	(void)state;
	rig_open(&r, &clock, &config);
	for (int i = 0; i < 8; i++) {
		item_init(&items[i], &r, i % 4, act_give, 0);
		fc_crew_ready(&items[i].work);
		assert_int_equal(atomic_load(&r.n_done), i);
		fc_loop_turn(r.loop, 0);
		assert_int_equal(atomic_load(&r.n_done), i + 1);
	}
	atomic_store(&r.over, true);
	fc_crew_run(r.crew, is_over, &r);
	assert_int_equal(rig_counts(&r).threads, 0);
	assert_int_equal(atomic_load(&r.strangers), 0);
	rig_close(&r);
}

static void
stepped_loops_start_no_thread(void **state)
{
	const fc_crew_config config = {0};
	item items[8];
	rig r;

	(void)state;
	rig_open(&r, NULL, &config);
	for (int i = 0; i < 8; i++) {
		item_init(&items[i], &r, i % 4, act_sleep, 3000);
		fc_crew_ready(&items[i].work);
	}
	assert_int_equal(farcall_loop_step(r.loop, 0), FARCALL_OK);
	assert_int_equal(atomic_load(&r.n_done), 8);
	assert_int_equal(rig_counts(&r).threads, 0);
	assert_int_equal(atomic_load(&r.strangers), 0);
	rig_close(&r);
}

/* Threads that cannot be had: from none at all to one too few. */
static void
threads_cannot_be_had(void **state)
{
	const fc_crew_config config = {0};
	item items[6];
	rig r;
	feed f;

	(void)state;
	farcall_log_set(keep_line, NULL);
	for (size_t most = 0; most < 3; most++) {
		fc_crew_counts counts;

		atomic_store(&n_lines, 0);
		fc_crew_debug_threads(most);
		rig_start(&r, &config);
		for (int i = 0; i < 6; i++)
			item_init(&items[i], &r, 1, act_wait, 0);
		rig_feed(&r, &f, items, 6);
		wait_until(&n_lines, 1); /* as long as they wait, one more is wanted */
		atomic_store(&r.gate, 1);
		wait_until(&r.n_done, 6);
		wait_until(&f.fed, 1);
		item_init(&items[0], &r, 0, act_sleep, 30000);
		item_init(&items[1], &r, 3, NULL, 0);
		rig_do(&r, items, 2);
		counts = rig_stop(&r);
		assert_int_equal(counts.threads, most);
		assert_int_equal(counts.pooled, most == 0 ? 0 : 6);
		fc_crew_debug_threads(SIZE_MAX);
	}
	farcall_log_set(NULL, NULL);
}

static void
out_of_memory(void **state)
{
	const fc_crew_config config = {0};
	fc_error error;

	(void)state;
	for (size_t n = 1; n <= 2; n++) {
		fc_error_clear(&error);
		test_allocator_fail_at(n, false);
		assert_null(fc_crew_open(NULL, &config, &error));
		test_allocator_fail_at(0, false);
		assert_int_equal(error.code, FARCALL_RESOURCE_EXHAUSTED);
		assert_string_equal(error.text, "crew: out of memory");
	}
}

static void
inside_is_inside(void **state)
{
	const fc_crew_config config = {0};
	rig r;

	(void)state;
	fc_crew_block_begin(); /* no crew at all */
	rig_open(&r, NULL, &config);
	assert_false(fc_crew_inside(r.crew));
	atomic_store(&r.over, true);
	fc_crew_run(r.crew, is_over, &r);
	assert_false(fc_crew_inside(r.crew));
	fc_crew_block_begin();
	rig_close(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(calm_items_stay_with_the_owner),
	    clean_test(the_monitor_takes_the_loop),
	    clean_test(block_begin_gives_the_loop_away),
	    clean_test(waits_for_its_own_loop),
	    clean_test(a_loop_that_nobody_took_comes_back),
	    clean_test(somebody_always_watches),
	    clean_test(a_sleeping_monitor_is_woken),
	    clean_test(declared_kinds_keep_their_place),
	    clean_test(a_held_loop_is_told_once_a_minute),
	    clean_test(the_queue_is_bounded),
	    clean_test(threads_are_bounded),
	    clean_test(at_the_cap_the_loop_waits),
	    clean_test(one_thread_runs_all_in_place),
	    clean_test(serial_items_never_overlap),
	    clean_test(virtual_loops_start_no_thread),
	    clean_test(stepped_loops_start_no_thread),
	    clean_test(threads_cannot_be_had),
	    clean_test(out_of_memory),
	    clean_test(inside_is_inside),
	};

	fc_crew_debug_handover(false); /* these tests count */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
