/*
 * shortage.c: a crew that has too few threads says so. Items that wait for a thread are silent by
 * themselves: nothing holds up the loop, and those who sent them see a deadline pass. So a timer
 * of the loop looks at the first in the queue, a second after one had to wait; and a queue that is
 * full is told at once. So is the moment at which only one thread is left: if that blocks, too, the
 * loop stands still, and nobody is there to say so. Only a crew that may have no more threads is
 * short of them; one of two or less is meant to be.
 */
#include "runtime/loop/crew_inside.h"

#define LONG FC_NS_PER_S /* in the queue */

/* Under the lock. Threads at work: all but the owner, the monitor, those that idle or come. */
static unsigned
at_work(const fc_crew *crew)
{
	unsigned others = crew->n_idle + crew->n_coming + (crew->owner != NULL ? 1 : 0) +
	    (atomic_load(&crew->watched) ? 1 : 0);

	return crew->n_hands > others ? crew->n_hands - others : 0;
}

static const fc_work *
first_of(const fc_crew *crew)
{
	return FC_CONTAINER(FC_CONTAINER(crew->pool.first, fc_task, link), const fc_work, task);
}

/* Under the lock, with items in the queue. false: a thread will come for them. */
static bool
describe(const fc_crew *crew, fc_crew_shortage *shortage)
{
	const fc_work *first = first_of(crew);
	uint64_t now = fc_loop_now(crew->loop);

	if (crew->n_hands < crew->most || crew->n_idle + crew->n_coming != 0)
		return false;
	shortage->last = false;
	shortage->threads = crew->n_hands;
	shortage->at_work = at_work(crew);
	shortage->waiting = crew->n_pool + crew->n_batch;
	shortage->name = first->kind->name;
	shortage->waited = now > first->took ? now - first->took : 0;
	return true;
}

static void
watch_queue(fc_crew *crew, uint64_t due)
{
	if (crew->on_short != NULL && crew->shortage.at == 0)
		fc_timer_start(crew->loop, &crew->shortage, due);
}

void
fc_shortage_on_timer(fc_timer *timer)
{
	fc_crew *crew = FC_CONTAINER(timer, fc_crew, shortage);
	uint64_t now = fc_loop_now(crew->loop), due = now + LONG;
	fc_crew_shortage shortage;
	bool waits, tell = false;

	fc_lock(&crew->lock);
	waits = crew->n_pool != 0;
	if (waits && first_of(crew)->took + LONG > now)
		due = first_of(crew)->took + LONG;
	else if (waits)
		tell = describe(crew, &shortage);
	fc_unlock(&crew->lock);
	if (tell)
		crew->on_short(crew->short_data, &shortage);
	if (waits)
		watch_queue(crew, due);
}

void
fc_shortage_begin(fc_crew *crew)
{
	watch_queue(crew, fc_loop_now(crew->loop) + LONG);
}

void
fc_shortage_full(fc_crew *crew)
{
	fc_crew_shortage shortage;
	bool tell;

	if (crew->on_short == NULL)
		return;
	fc_lock(&crew->lock);
	tell = crew->n_pool != 0 && describe(crew, &shortage);
	fc_unlock(&crew->lock);
	if (tell)
		crew->on_short(crew->short_data, &shortage);
}

/* What the thread before this one was at is what has blocked last. */
void
fc_shortage_last(fc_crew *crew)
{
	fc_crew_shortage shortage = {.last = true};

	if (crew->on_short == NULL || crew->most < 3)
		return;
	shortage.name = crew->work->kind->name;
	fc_lock(&crew->lock);
	shortage.threads = crew->n_hands;
	shortage.at_work = at_work(crew);
	shortage.waiting = crew->n_pool;
	fc_unlock(&crew->lock);
	crew->on_short(crew->short_data, &shortage);
}
