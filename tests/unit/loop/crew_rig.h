/*
 * crew_rig.h: a crew on a thread of its own, and items that note what happens to them. Included by
 * the tests of crews; everything is static.
 */
#ifndef FC_TEST_CREW_RIG_H
#define FC_TEST_CREW_RIG_H

#include "runtime/loop/crew.h"
#include "runtime/loop/thread.h"

#include <farcall/log.h>

#include "tests/support/test.h"

#include <stdatomic.h>

#define PATIENT (3600 * FC_NS_PER_S) /* nothing is ever taken */

typedef struct rig {
	fc_loop *loop;
	fc_crew *crew;
	fc_thread thread;
	fc_work_kind kinds[4];
	atomic_bool over;
	atomic_int running, most_running, n_ran, n_done, n_refused, n_twice;
	uint64_t handled; /* plain on purpose: the owner's */
	atomic_int gate;  /* items that wait for it go on when it is not 0 */
	uintptr_t first_runner;
	atomic_int strangers; /* run() on a thread that is not the first's */
} rig;

typedef struct item {
	fc_work work;
	rig *rig;
	void (*act)(struct item *item);
	unsigned us;
	int ran, done; /* plain: run() before done() */
	uintptr_t runner;
} item;

static void
wait_until(const atomic_int *counter, int value)
{
	for (int i = 0; i < 20000 && atomic_load(counter) < value; i++)
		uv_sleep(1);
	assert_true(atomic_load(counter) >= value);
}

static void
run_one(fc_work *work)
{
	item *i = FC_CONTAINER(work, item, work);
	rig *r = i->rig;
	int now = atomic_fetch_add(&r->running, 1) + 1, most = atomic_load(&r->most_running);

	while (now > most && !atomic_compare_exchange_weak(&r->most_running, &most, now))
		;
	i->runner = (uintptr_t)uv_thread_self();
	if (++i->ran > 1)
		atomic_fetch_add(&r->n_twice, 1);
	if (i->act != NULL)
		i->act(i);
	atomic_fetch_sub(&r->running, 1);
	atomic_fetch_add(&r->n_ran, 1);
}

static void
one_done(fc_work *work, bool ran)
{
	item *i = FC_CONTAINER(work, item, work);
	rig *r = i->rig;

	if (++i->done > 1 || !fc_loop_inside(r->loop) || (ran && i->ran != 1))
		atomic_fetch_add(&r->n_twice, 1);
	r->handled++;
	if (!ran)
		atomic_fetch_add(&r->n_refused, 1);
	if (r->first_runner == 0)
		r->first_runner = i->runner;
	if (ran && i->runner != r->first_runner)
		atomic_fetch_add(&r->strangers, 1);
	atomic_fetch_add(&r->n_done, 1);
}

static bool
is_over(void *data)
{
	return atomic_load(&((rig *)data)->over);
}

static void
rig_main(void *data)
{
	rig *r = (rig *)data;

	fc_crew_run(r->crew, is_over, r);
}

static void
rig_open(rig *r, fc_clock *clock, const fc_crew_config *config)
{
	static const char *const names[] = {"learns", "blocks", "stays", "other"};
	static const fc_work_place places[] = {
	    FC_WORK_LEARNS, FC_WORK_BLOCKS, FC_WORK_STAYS, FC_WORK_LEARNS};
	fc_error error;

	fc_error_clear(&error);
	memset(r, 0, sizeof *r);
	r->loop = fc_loop_open(clock, &error);
	assert_non_null(r->loop);
	r->crew = fc_crew_open(r->loop, config, &error);
	assert_non_null(r->crew);
	for (int k = 0; k < 4; k++)
		fc_work_kind_init(&r->kinds[k], r->crew, names[k], places[k]);
}

static void
rig_close(rig *r)
{
	fc_loop_close(r->loop);
	fc_crew_close(r->crew);
}

static void
rig_run(rig *r)
{
	fc_error error;

	fc_error_clear(&error);
	assert_int_equal(fc_thread_start(&r->thread, rig_main, r, &error), FARCALL_OK);
}

static void
rig_start(rig *r, const fc_crew_config *config)
{
	rig_open(r, NULL, config);
	rig_run(r);
}

static fc_crew_counts
rig_counts(rig *r)
{
	fc_crew_counts counts;

	fc_crew_counts_get(r->crew, &counts);
	return counts;
}

static void
rig_ask_to_stop(rig *r)
{
	atomic_store(&r->over, true);
	fc_loop_wake(r->loop);
}

static fc_crew_counts
rig_stop(rig *r)
{
	fc_crew_counts counts;

	rig_ask_to_stop(r);
	fc_thread_join(&r->thread);
	assert_int_equal(atomic_load(&r->n_twice), 0);
	assert_int_equal(atomic_load(&r->running), 0);
	counts = rig_counts(r);
	rig_close(r);
	return counts;
}

static void
item_init(item *i, rig *r, int kind, void (*act)(item *item), unsigned us)
{
	memset(i, 0, sizeof *i);
	i->work.kind = &r->kinds[kind];
	i->work.run = run_one;
	i->work.done = one_done;
	i->rig = r;
	i->act = act;
	i->us = us;
}

/* Gives items to the loop from another thread: all in one turn. */
typedef struct feed {
	fc_task task;
	item *items;
	int n;
	atomic_int fed;
} feed;

static void
run_feed(fc_task *task)
{
	feed *f = FC_CONTAINER(task, feed, task);

	for (int i = 0; i < f->n; i++)
		fc_crew_ready(&f->items[i].work);
	atomic_store(&f->fed, 1);
}

static void
rig_feed(rig *r, feed *f, item *items, int n)
{
	memset(f, 0, sizeof *f);
	f->task.run = run_feed;
	f->items = items;
	f->n = n;
	fc_loop_post(r->loop, &f->task);
}

/* Feeds and waits until all have been handled. */
static FARCALL_UNUSED void
rig_do(rig *r, item *items, int n)
{
	int before = atomic_load(&r->n_done);
	feed f;

	rig_feed(r, &f, items, n);
	wait_until(&r->n_done, before + n);
	wait_until(&f.fed, 1);
}

/* ---- what items do ---- */

static FARCALL_UNUSED void
act_spin(item *i)
{
	uint64_t end = uv_hrtime() + i->us * UINT64_C(1000);

	while (uv_hrtime() < end)
		;
}

static FARCALL_UNUSED void
act_sleep(item *i)
{
	if (i->us < 1000)
		act_spin(i);
	else
		uv_sleep(i->us / 1000);
}

static FARCALL_UNUSED void
act_wait(item *i)
{
	for (int n = 0; n < 20000 && atomic_load(&i->rig->gate) == 0; n++)
		uv_sleep(1);
}

static FARCALL_UNUSED void
act_open_gate(item *i)
{
	atomic_store(&i->rig->gate, 1);
}

static FARCALL_UNUSED void
act_give_and_wait(item *i)
{
	fc_crew_block_begin();
	act_wait(i);
}

static FARCALL_UNUSED void
act_give(item *i)
{
	(void)i;
	fc_crew_block_begin();
}

#endif
