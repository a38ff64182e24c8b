/*
 * pool.c: items that run on the crew's other threads. The owner collects them and submits what it
 * has by one lock, at the latest before it enters a run() of its own; a full queue refuses.
 */
#include "runtime/loop/crew_inside.h"

static void
run_refused(fc_task *task)
{
	fc_work *work = FC_CONTAINER(task, fc_work, task);

	work->done(work, false);
}

void
fc_crew_pool(fc_crew *crew, fc_work *work)
{
	if (FARCALL_UNLIKELY(crew->plain)) { /* the crew has gone home */
		fc_work_in_place(work);
		return;
	}
	/* Only the owner adds to it. */
	if (atomic_load_explicit(&crew->waiting, memory_order_relaxed) >= crew->queue_most) {
		COUNT(crew, refused);
		fc_shortage_full(crew);
		work->task.run = run_refused;
		fc_loop_ready(crew->loop, &work->task);
		return;
	}
	atomic_fetch_add_explicit(&crew->waiting, 1, memory_order_relaxed);
	COUNT(crew, pooled);
	work->took = fc_loop_now(crew->loop);
	crew->out++;
	fc_queue_push(&crew->batch, &work->task.link);
	crew->n_batch++;
	fc_loop_ready(crew->loop, &crew->submit);
}

void
fc_crew_submit(fc_crew *crew)
{
	bool short_of;

	fc_lock(&crew->lock);
	*crew->pool.end = crew->batch.first;
	crew->pool.end = crew->batch.end;
	crew->n_pool += crew->n_batch;
	fc_crew_call(crew, (unsigned)crew->n_batch);
	short_of = crew->n_pool > crew->n_idle;
	if (short_of)
		fc_crew_wake_monitor(crew); /* it starts threads */
	fc_unlock(&crew->lock);
	if (FARCALL_UNLIKELY(short_of))
		fc_shortage_begin(crew);
	fc_queue_init(&crew->batch);
	crew->n_batch = 0;
}

void
fc_crew_submit_task(fc_task *task)
{
	fc_crew *crew = FC_CONTAINER(task, fc_crew, submit);

	if (!fc_queue_empty(&crew->batch))
		fc_crew_submit(crew);
}

void
fc_crew_do_pooled(fc_crew *crew, fc_hand *hand)
{
	fc_link *link = fc_queue_pop(&crew->pool);
	fc_work *work = FC_CONTAINER(FC_CONTAINER(link, fc_task, link), fc_work, task);
	uint64_t start;

	crew->n_pool--;
	fc_unlock(&crew->lock);
	atomic_fetch_sub_explicit(&crew->waiting, 1, memory_order_relaxed);
	work->idle = false;
	start = uv_hrtime();
	hand->away = true;
	work->run(work);
	hand->away = false;
	work->took = uv_hrtime() - start;
	work->task.run = fc_work_by_mail;
	fc_loop_post(crew->loop, &work->task);
	fc_lock(&crew->lock);
}
