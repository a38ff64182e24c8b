/*
 * test_turn.c: the order of a turn, timers in real and virtual time, the take-over of a turn.
 */
#include "runtime/loop/loop.h"
#include "runtime/loop/thread.h"

#include <farcall/log.h>

#include "tests/support/test.h"

static char trace[8192];

typedef struct step {
	fc_task task;
	fc_loop *loop;
	char name;
	struct step *then, *flush;
	int again;
} step;

static void
note(char c)
{
	size_t n = strlen(trace);

	assert_true(n + 1 < sizeof trace);
	trace[n] = c;
	trace[n + 1] = 0;
}

static void
run_step(fc_task *task)
{
	step *s = FC_CONTAINER(task, step, task);

	note(s->name);
	if (s->then != NULL)
		fc_loop_ready(s->loop, &s->then->task);
	if (s->flush != NULL)
		fc_loop_flush_later(s->loop, &s->flush->task);
	if (s->again > 0) {
		s->again--;
		fc_loop_ready(s->loop, task);
	}
}

static step
make_step(fc_loop *loop, char name)
{
	step s = {{{NULL}, run_step, false}, loop, name, NULL, NULL, 0};

	return s;
}

static fc_loop *
open_loop(fc_clock *clock)
{
	fc_error error = {FARCALL_OK, FARCALL_CAUSE_NONE, ""};
	fc_loop *loop = fc_loop_open(clock, &error);

	assert_non_null(loop);
	trace[0] = 0;
	return loop;
}

static void
tasks_run_in_order(void **state)
{
	fc_loop *loop = open_loop(NULL);
	step a = make_step(loop, 'a'), b = make_step(loop, 'b'), c = make_step(loop, 'c');

	(void)state;
	a.then = &c;
	fc_loop_ready(loop, &a.task);
	fc_loop_ready(loop, &b.task);
	fc_loop_ready(loop, &a.task); /* queued already */
	fc_loop_turn(loop, FC_NEVER);
	assert_string_equal(trace, "abc");
	fc_loop_close(loop);
}

static void
mail_comes_before_timers_and_tasks(void **state)
{
	fc_loop *loop = open_loop(NULL);
	step ready = make_step(loop, 'r'), first = make_step(loop, '1'),
	     second = make_step(loop, '2');

	(void)state;
	fc_loop_post(loop, &first.task);
	fc_loop_post(loop, &second.task);
	fc_loop_ready(loop, &ready.task);
	fc_loop_turn(loop, FC_NEVER);
	assert_string_equal(trace, "r12");
	fc_loop_close(loop);
}

/* The flush comes after 16 tasks, and once more at the end. */
static void
flushes_between(void **state)
{
	fc_loop *loop = open_loop(NULL);
	step f = make_step(loop, 'F'), work = make_step(loop, '.');

	(void)state;
	work.flush = &f;
	work.again = 39;
	fc_loop_ready(loop, &work.task);
	fc_loop_turn(loop, FC_NEVER);
	/* A slow machine may flush more often by the clock; never later than after 16. */
	{
		int since = 0, dots = 0;

		for (const char *p = trace; *p != 0; p++) {
			dots += *p == '.';
			since = *p == '.' ? since + 1 : 0;
			assert_true(since <= 16);
		}
		assert_int_equal(dots, 40);
		assert_int_equal(trace[strlen(trace) - 1], 'F');
	}
	fc_loop_close(loop);
}

/* `n` tasks with one flush each, in a row; the trace says where the flushes came. */
static void
run_tasks_of(fc_loop *loop, const char *owners, step *flushes)
{
	step tasks[128];
	size_t n = strlen(owners);

	assert_true(n <= FC_COUNT(tasks));
	for (size_t i = 0; i < n; i++) {
		tasks[i] = make_step(loop, '.');
		tasks[i].flush = &flushes[owners[i] - 'A'];
		fc_loop_ready(loop, &tasks[i].task);
	}
	fc_loop_turn(loop, FC_NEVER);
}

/* Each has all its tasks behind it when it is flushed, though they do not come in sixteens: that is
 * one write a connection. */
static void
a_flush_leaves_out_who_has_just_begun(void **state)
{
	fc_clock clock = {1000, true}; /* only the count of tasks matters */
	fc_loop *loop = open_loop(&clock);
	step flushes[] = {make_step(loop, 'A'), make_step(loop, 'B'), make_step(loop, 'C')};

	(void)state;
	run_tasks_of(loop, "AAAAAAAAAAAABBBBBBBBBBBBBBBBCCCCCCCCCCCCCCCC", flushes);
	assert_string_equal(trace, "................A................B............C");
	fc_loop_close(loop);
}

/* … but for one flush only, and nobody who is alone, or has waited since before. */
static void
nobody_is_left_out_twice(void **state)
{
	fc_clock clock = {1000, true};
	fc_loop *loop = open_loop(&clock);
	step flushes[] = {make_step(loop, 'A'), make_step(loop, 'B')};

	(void)state;
	run_tasks_of(loop, "ABBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB", flushes);
	assert_string_equal(trace, "................A................B................B");
	trace[0] = 0;
	fc_loop_flush_later(loop, &flushes[0].task);
	fc_loop_flush_later(loop, &flushes[1].task);
	run_tasks_of(loop, "BBBBBBBBBBBBBBBBBBBB", flushes);
	assert_string_equal(trace, "................AB....B");
	fc_loop_close(loop);
}

static void
flushes_by_the_clock(void **state)
{
	fc_clock clock = {1000, true};
	fc_loop *loop = open_loop(&clock);
	step f = make_step(loop, 'F'), a = make_step(loop, 'a'), b = make_step(loop, 'b');

	(void)state;
	a.flush = &f;
	a.then = &b;
	fc_loop_ready(loop, &a.task);
	fc_loop_turn(loop, FC_NEVER);
	assert_string_equal(trace, "abF"); /* no time has passed */
	fc_loop_close(loop);
}

/* What a flush makes ready runs in the same turn; what is too much for a turn runs in the next. */
static void
a_turn_is_bounded(void **state)
{
	fc_loop *loop = open_loop(NULL);
	step f = make_step(loop, 'F'), a = make_step(loop, 'a');

	(void)state;
	f.then = &a;
	fc_loop_flush_later(loop, &f.task);
	fc_loop_turn(loop, FC_NEVER);
	assert_string_equal(trace, "Fa");
	trace[0] = 0;
	a.again = 5000;
	fc_loop_ready(loop, &a.task);
	fc_loop_turn(loop, FC_NEVER);
	assert_int_equal(strlen(trace), 4096);
	assert_int_equal(farcall_loop_timeout_ms(loop), 0);
	fc_loop_turn(loop, FC_NEVER);
	assert_int_equal(strlen(trace), 5001);
	fc_loop_close(loop);
}

/* ---- timers ---- */

typedef struct alarm {
	fc_timer timer;
	fc_loop *loop;
	char name;
	uint64_t ran_at;
	uint64_t again;
} alarm;

static void
run_alarm(fc_timer *timer)
{
	alarm *a = FC_CONTAINER(timer, alarm, timer);

	note(a->name);
	a->ran_at = fc_loop_now(a->loop);
	if (a->again != 0)
		assert_true(fc_timer_start(a->loop, timer, a->ran_at + a->again));
}

static void
init_alarm(alarm *a, fc_loop *loop, char name)
{
	memset(a, 0, sizeof *a);
	fc_timer_init(&a->timer, run_alarm);
	a->loop = loop;
	a->name = name;
}

static void
virtual_time_jumps(void **state)
{
	fc_clock clock = {500, true};
	fc_loop *loop = open_loop(&clock);
	alarm a, b;

	(void)state;
	init_alarm(&a, loop, 'a');
	init_alarm(&b, loop, 'b');
	assert_true(fc_timer_start(loop, &a.timer, 500 + 3600 * FC_NS_PER_S));
	assert_true(fc_timer_start(loop, &b.timer, 1000));
	fc_loop_turn(loop, 499); /* one too few */
	assert_string_equal(trace, "");
	assert_int_equal(clock.now, 999);
	fc_loop_turn(loop, 0);
	assert_int_equal(clock.now, 999);
	fc_loop_turn(loop, 1);
	assert_string_equal(trace, "b");
	assert_int_equal(clock.now, 1000);
	fc_loop_turn(loop, FC_NEVER);
	assert_string_equal(trace, "ba");
	assert_int_equal(a.ran_at, 500 + 3600 * FC_NS_PER_S);
	fc_loop_turn(loop, FC_NEVER); /* nothing to wait for: time stands still */
	assert_int_equal(clock.now, 500 + 3600 * FC_NS_PER_S);
	fc_loop_turn(loop, 7);
	assert_int_equal(clock.now, 507 + 3600 * FC_NS_PER_S);
	fc_loop_close(loop);
}

/* Work keeps the clock from moving. */
static void
virtual_time_waits_for_work(void **state)
{
	fc_clock clock = {0, true};
	fc_loop *loop = open_loop(&clock);
	step s = make_step(loop, 's');
	alarm a;

	(void)state;
	init_alarm(&a, loop, 'a');
	assert_true(fc_timer_start(loop, &a.timer, 10));
	fc_loop_post(loop, &s.task);
	fc_loop_turn(loop, FC_NEVER);
	assert_string_equal(trace, "s");
	assert_int_equal(clock.now, 0);
	fc_loop_turn(loop, FC_NEVER);
	assert_string_equal(trace, "sa");
	fc_loop_close(loop);
}

/* A timer that is due again at once does not hold up the turn. */
static void
a_timer_runs_once_a_turn(void **state)
{
	fc_clock clock = {5, true};
	fc_loop *loop = open_loop(&clock);
	alarm a;

	(void)state;
	init_alarm(&a, loop, 'a');
	a.again = 0;
	assert_true(fc_timer_start(loop, &a.timer, 0));
	fc_loop_turn(loop, 0);
	assert_string_equal(trace, "a");
	assert_int_equal(a.timer.at, 0);
	fc_timer_stop(loop, &a.timer);
	assert_true(fc_timer_start(loop, &a.timer, FC_NEVER));
	clock.now = FC_NEVER;
	fc_loop_turn(loop, 0);
	assert_string_equal(trace, "a");
	fc_loop_close(loop);
}

static void
again_at_once(fc_timer *timer)
{
	alarm *a = FC_CONTAINER(timer, alarm, timer);

	note(a->name);
	assert_true(fc_timer_start(a->loop, timer, 0));
}

static void
a_timer_due_again_waits_for_the_next_turn(void **state)
{
	fc_clock clock = {5, true};
	fc_loop *loop = open_loop(&clock);
	alarm a;

	(void)state;
	init_alarm(&a, loop, 'a');
	a.timer.run = again_at_once;
	assert_true(fc_timer_start(loop, &a.timer, 0));
	fc_loop_turn(loop, 0);
	assert_string_equal(trace, "a");
	fc_loop_turn(loop, FC_NEVER);
	assert_string_equal(trace, "aa");
	fc_loop_close(loop);
}

#define MANY 500

/* Random starts, moves and stops, against a plain array. */
static void
timers_keep_their_order(void **state)
{
	static alarm alarms[MANY];
	fc_clock clock = {0, true};
	fc_loop *loop = open_loop(&clock);
	test_random random;
	uint64_t last = 0;
	int ran = 0, running = 0;

	(void)state;
	test_random_seed(&random, 7);
	for (int i = 0; i < MANY; i++)
		init_alarm(&alarms[i], loop, '.');
	for (int i = 0; i < 20 * MANY; i++) {
		alarm *a = &alarms[test_random_below(&random, MANY)];

		if (test_random_below(&random, 3) == 0)
			fc_timer_stop(loop, &a->timer);
		else
			assert_true(
			    fc_timer_start(loop, &a->timer, 1 + test_random_below(&random, 1000)));
	}
	for (int i = 0; i < MANY; i++)
		running += alarms[i].timer.at != 0;
	assert_true(running > MANY / 4);
	while (ran < running) {
		trace[0] = 0;
		fc_loop_turn(loop, FC_NEVER);
		assert_true(clock.now > last);
		for (int i = 0; i < MANY; i++)
			if (alarms[i].ran_at == clock.now)
				assert_int_equal(alarms[i].timer.due, clock.now);
		ran += (int)strlen(trace);
		last = clock.now;
	}
	assert_int_equal(ran, running);
	assert_true(last <= 1000);
	fc_loop_close(loop);
}

/* Never early; at most a millisecond late, unless the machine itself is late: the best of several
 * tries counts. */
static void
real_timers_are_on_time(void **state)
{
	static const uint64_t waits[] = {1, 300000, 1000000, 1000001, 2700000, 5999999};
	fc_loop *loop = open_loop(NULL);

	(void)state;
	for (size_t i = 0; i < FC_COUNT(waits); i++) {
		uint64_t best = FC_NEVER;

		for (int try = 0; try < 1000 && best > FC_NS_PER_MS; try++) {
			uint64_t due = fc_loop_clock(loop) + waits[i], ran;
			alarm a;

			init_alarm(&a, loop, 'a');
			assert_true(fc_timer_start(loop, &a.timer, due));
			while (a.ran_at == 0)
				fc_loop_turn(loop, FC_NEVER);
			ran = a.ran_at;
			assert_true(ran >= due);
			best = FC_MIN(best, ran - due);
		}
		assert_true(best <= FC_NS_PER_MS + 200000);
	}
	fc_loop_close(loop);
}

static void
a_wait_ends_in_time(void **state)
{
	fc_loop *loop = open_loop(NULL);
	uint64_t begin = uv_hrtime();

	(void)state;
	fc_loop_turn(loop, 0);
	assert_true(uv_hrtime() - begin < 15 * FC_NS_PER_S);
	while (uv_hrtime() - begin < 20 * FC_NS_PER_MS)
		fc_loop_turn(loop, 20 * FC_NS_PER_MS - (uv_hrtime() - begin));
	fc_loop_wake(loop);
	fc_loop_turn(loop, FC_NEVER);
	fc_loop_close(loop);
}

/* ---- taken over ---- */

typedef struct stuck {
	fc_task task;
	fc_loop *loop;
	fc_mutex mutex;
	fc_cond cond;
	bool entered, leave, returned;
} stuck;

static void
run_stuck(fc_task *task)
{
	stuck *s = FC_CONTAINER(task, stuck, task);

	assert_true(fc_loop_inside(s->loop));
	note('<');
	fc_lock(&s->mutex);
	s->entered = true;
	fc_cond_broadcast(&s->cond);
	while (!s->leave)
		fc_cond_wait(&s->cond, &s->mutex);
	fc_unlock(&s->mutex);
}

static void
turn_once(void *data)
{
	stuck *s = (stuck *)data;

	fc_loop_turn(s->loop, FC_NEVER);
	fc_lock(&s->mutex);
	s->returned = true;
	fc_unlock(&s->mutex);
}

static void
a_turn_can_be_taken_over(void **state)
{
	fc_error error = {FARCALL_OK, FARCALL_CAUSE_NONE, ""};
	stuck s = {.task = {{NULL}, run_stuck, false}};
	step rest = make_step(NULL, 'r'), f = make_step(NULL, 'F');
	fc_thread thread;

	(void)state;
	s.loop = rest.loop = f.loop = open_loop(NULL);
	rest.flush = &f;
	assert_int_equal(fc_mutex_init(&s.mutex, &error), FARCALL_OK);
	assert_int_equal(fc_cond_init(&s.cond, &error), FARCALL_OK);
	fc_loop_ready(s.loop, &s.task);
	fc_loop_ready(s.loop, &rest.task);
	assert_int_equal(fc_thread_start(&thread, turn_once, &s, &error), FARCALL_OK);
	fc_lock(&s.mutex);
	while (!s.entered)
		fc_cond_wait(&s.cond, &s.mutex);
	fc_unlock(&s.mutex);
	assert_false(fc_loop_inside(s.loop));
	fc_loop_take(s.loop);
	assert_string_equal(trace, "<rF");
	fc_loop_ready(s.loop, &rest.task);
	fc_loop_turn(s.loop, FC_NEVER);
	assert_string_equal(trace, "<rFrF");
	fc_loop_ready(s.loop, &rest.task); /* not for the thread that has lost the loop */
	fc_lock(&s.mutex);
	assert_false(s.returned);
	s.leave = true;
	fc_cond_broadcast(&s.cond);
	fc_unlock(&s.mutex);
	fc_thread_join(&thread);
	assert_true(s.returned);
	assert_string_equal(trace, "<rFrF");
	fc_loop_turn(s.loop, FC_NEVER);
	assert_string_equal(trace, "<rFrFrF");
	fc_cond_fini(&s.cond);
	fc_mutex_fini(&s.mutex);
	fc_loop_close(s.loop);
}

/* ---- the end ---- */

static void
run_drop(fc_task *task)
{
	step *s = FC_CONTAINER(task, step, task);

	note(s->name);
	fc_loop_drop(s->loop);
	note(s->name);
}

static farcall_log_level logged;

static void
keep_log(farcall_log_level level, const char *text, void *data)
{
	(void)data;
	assert_non_null(strstr(text, "farcall_loop_free"));
	logged = level;
}

/* Freed while somebody still uses it, and that one leaves inside a turn: the loop ends there. */
static void
ends_with_its_last_user(void **state)
{
	farcall_loop *loop = farcall_loop_new();
	step s = make_step(loop, 'd');

	(void)state;
	trace[0] = 0;
	logged = FARCALL_LOG_NONE;
	farcall_log_set(keep_log, NULL);
	fc_loop_hold(loop);
	s.task.run = run_drop;
	fc_loop_post(loop, &s.task);
	farcall_loop_free(loop);
	assert_int_equal(logged, FARCALL_LOG_ERROR);
	fc_loop_turn(loop, 0);
	assert_string_equal(trace, "dd");
	farcall_log_set(NULL, NULL);
}

/* Tasks that wait when the loop ends are run: they free what they belong to. */
static void
the_end_runs_what_waits(void **state)
{
	fc_loop *loop = open_loop(NULL);
	step a = make_step(loop, 'a'), b = make_step(loop, 'b');

	(void)state;
	a.then = &b;
	fc_loop_post(loop, &a.task);
	fc_loop_close(loop);
	assert_string_equal(trace, "ab");
}

/* Every allocation of an opening loop fails in turn. */
static void
out_of_memory(void **state)
{
	bool failed = true;

	(void)state;
	for (size_t n = 1; failed; n++) {
		farcall_loop *loop;

		assert_true(n < 100);
		test_allocator_fail_at(n, false);
		loop = farcall_loop_new();
		failed = test_allocator_failed();
		test_allocator_fail_at(0, false);
		assert_non_null(loop);
		if (failed) {
			fc_error error = {FARCALL_OK, FARCALL_CAUSE_NONE, ""};

			assert_int_equal(fc_loop_failure(loop, &error), FARCALL_RESOURCE_EXHAUSTED);
			assert_int_equal(error.cause, FARCALL_CAUSE_OUT_OF_MEMORY);
			assert_string_equal(error.text, "loop: out of memory");
			assert_int_equal(farcall_loop_step(loop, 0), FARCALL_RESOURCE_EXHAUSTED);
			assert_int_equal(farcall_loop_fd(loop), -1);
			assert_int_equal(farcall_loop_timeout_ms(loop), -1);
		}
		farcall_loop_free(loop);
	}
}

/* The heap grows at its 16th timer; moving a timer never needs memory. */
static void
timers_out_of_memory(void **state)
{
	fc_loop *loop = open_loop(NULL);
	alarm alarms[16];

	(void)state;
	for (int i = 0; i < 16; i++)
		init_alarm(&alarms[i], loop, '.');
	test_allocator_fail_at(1, true);
	for (int i = 0; i < 15; i++)
		assert_true(fc_timer_start(loop, &alarms[i].timer, 1));
	assert_false(fc_timer_start(loop, &alarms[15].timer, 1));
	assert_int_equal(alarms[15].timer.at, 0);
	assert_true(fc_timer_start(loop, &alarms[0].timer, 2));
	test_allocator_fail_at(0, false);
	assert_true(fc_timer_start(loop, &alarms[15].timer, 1));
	fc_loop_turn(loop, FC_NEVER);
	assert_string_equal(trace, "................");
	fc_loop_close(loop);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(tasks_run_in_order),
	    clean_test(mail_comes_before_timers_and_tasks),
	    clean_test(flushes_between),
	    clean_test(a_flush_leaves_out_who_has_just_begun),
	    clean_test(nobody_is_left_out_twice),
	    clean_test(flushes_by_the_clock),
	    clean_test(a_turn_is_bounded),
	    clean_test(virtual_time_jumps),
	    clean_test(virtual_time_waits_for_work),
	    clean_test(a_timer_runs_once_a_turn),
	    clean_test(a_timer_due_again_waits_for_the_next_turn),
	    clean_test(timers_keep_their_order),
	    clean_test(real_timers_are_on_time),
	    clean_test(a_wait_ends_in_time),
	    clean_test(a_turn_can_be_taken_over),
	    clean_test(ends_with_its_last_user),
	    clean_test(the_end_runs_what_waits),
	    clean_test(out_of_memory),
	    clean_test(timers_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
