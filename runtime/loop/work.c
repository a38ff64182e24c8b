/*
 * work.c: items with the loop's owner, and how the loop is given away and lost.
 *
 * The price of an item that does not block is a store and an exchange of one word; the first of a
 * turn also looks whether the monitor sleeps. No clock is read and no lock is taken, but for the
 * one item in 64 that is timed. While run() runs, the thread does not count as the loop's owner:
 * what it calls posts to the loop like any other thread. If the exchange at the end fails, the loop
 * is another's by now: the thread posts the item and leaves the turn without a look back.
 */
#include "runtime/loop/crew_inside.h"

void
fc_work_in_place(fc_work *work)
{
	fc_work_kind *kind = work->kind;
	fc_crew *crew = kind->crew;
	uint64_t turn = fc_loop_now(crew->loop);
	bool first = turn != crew->turn;

	work->run(work);
	if (first) { /* one clock a turn */
		crew->turn = turn;
		fc_learn_held(kind, fc_loop_real_clock(crew->loop) - turn);
	}
	work->done(work, true);
}

static void
begin_turn(fc_crew *crew, uint64_t word)
{
	crew->first = false;
	atomic_exchange(&crew->own, word);
	if (!atomic_load(&crew->asleep))
		return;
	fc_lock(&crew->lock);
	fc_crew_wake_monitor(crew);
	fc_unlock(&crew->lock);
}

/* The loop has been given away or taken inside run(). True: nobody took it, it is ours again. */
static bool
come_back(fc_crew *crew, fc_work *work)
{
	fc_hand *hand = fc_hand_self();
	bool back;

	if (hand != NULL)
		hand->away = false;
	fc_lock(&crew->lock);
	back = hand != NULL && crew->offer == hand;
	if (back) {
		crew->offer = NULL;
		crew->owner = hand;
		crew->out--;
		COUNT(crew, got_back);
	}
	fc_unlock(&crew->lock);
	if (back)
		return true;
	work->idle = false;
	work->took = FC_NEVER;
	work->task.run = fc_work_by_mail;
	fc_loop_post(crew->loop, &work->task);
	return false;
}

/* False: the loop is lost, and the item may be gone. */
static inline bool
run_here(fc_crew *crew, fc_work *work, bool hand_over)
{
	uint64_t word = crew->word | WORD_RUNS, found = word;
	fc_loop *loop = crew->loop;

	crew->work = work;
	if (FARCALL_LIKELY(!crew->first)) {
		fc_loop_lend(loop);
		atomic_store_explicit(&crew->own, word, memory_order_release);
	} else if (FARCALL_LIKELY(!crew->plain)) {
		fc_loop_lend(loop);
		begin_turn(crew, word);
	} else { /* the crew has gone home */
		fc_work_in_place(work);
		return true;
	}
	if (hand_over)
		fc_crew_give(crew, fc_hand_self(), true);
	work->run(work);
	if (FARCALL_LIKELY(atomic_compare_exchange_strong_explicit(
	        &crew->own, &found, WORD_AFTER(word), memory_order_acq_rel, memory_order_relaxed)))
		crew->word = WORD_AFTER(word);
	else if (!come_back(crew, work))
		return false;
	fc_loop_lent_back(loop, crew->self);
	work->done(work, true);
	return true;
}

static void
run_timed(fc_crew *crew, fc_work *work, bool hand_over)
{
	fc_work_kind *kind = work->kind;
	uint64_t start = uv_hrtime();

	if (run_here(crew, work, hand_over))
		fc_learn_timed(kind, uv_hrtime() - start);
}

static inline void
run_item(fc_task *task, bool hand_over)
{
	fc_work *work = FC_CONTAINER(task, fc_work, task);
	fc_work_kind *kind = work->kind;
	fc_crew *crew = kind->crew;

	if (FARCALL_UNLIKELY(kind->pooled)) { /* learned while it waited for its turn */
		fc_crew_pool(crew, work);
		return;
	}
	if (FARCALL_UNLIKELY(!fc_queue_empty(&crew->batch)))
		fc_crew_submit(crew); /* not after a run() that may last */
	if (FARCALL_UNLIKELY(--kind->left == 0))
		run_timed(crew, work, hand_over);
	else
		run_here(crew, work, hand_over);
}

void
fc_work_watched(fc_task *task)
{
	run_item(task, false);
}

void
fc_work_handed_over(fc_task *task)
{
	run_item(task, true);
}

void
fc_work_stays(fc_task *task)
{
	fc_work *work = FC_CONTAINER(task, fc_work, task);
	fc_crew *crew = work->kind->crew;

	if (FARCALL_UNLIKELY(!fc_queue_empty(&crew->batch)))
		fc_crew_submit(crew);
	fc_work_in_place(work);
}

void
fc_work_by_mail(fc_task *task)
{
	fc_work *work = FC_CONTAINER(task, fc_work, task);

	work->kind->crew->out--;
	if (!work->idle)
		fc_learn_pooled(work->kind, work->took);
	work->done(work, true);
}

void
fc_crew_ready(fc_work *work)
{
	fc_work_kind *kind = work->kind;
	fc_crew *crew = kind->crew;

	if (kind->pooled && !crew->plain) {
		fc_crew_pool(crew, work);
		return;
	}
	work->task.run = kind->place == FC_WORK_STAYS ? fc_work_stays : crew->run;
	fc_loop_ready(crew->loop, &work->task);
}

void
fc_crew_start(fc_work *work)
{
	fc_work_kind *kind = work->kind;
	fc_crew *crew = kind->crew;

	if (kind->pooled && !crew->plain) {
		fc_crew_pool(crew, work);
		return;
	}
	work->task.run = kind->place == FC_WORK_STAYS ? fc_work_stays : crew->run;
	work->task.run(&work->task);
}

/* ---- giving the loop away ---- */

/* Somebody will take what is on offer, if anybody can. */
static void
call_an_owner(fc_crew *crew)
{
	if (crew->n_idle > 0)
		fc_crew_call(crew, 1);
	else if (crew->n_coming == 0 && !fc_crew_grow(crew))
		fc_crew_wake_monitor(crew);
}

static bool
will_be_taken(const fc_crew *crew, const fc_hand *hand)
{
	return crew->offer == hand &&
	    (crew->n_idle > 0 || crew->n_coming > 0 || atomic_load(&crew->watched));
}

/* After an attempt to start one is over: it may fail. */
static bool
is_let_go(fc_crew *crew, const fc_hand *hand)
{
	while (crew->offer == hand && crew->n_idle == 0 && crew->n_growing > 0)
		fc_cond_wait(&crew->taken, &crew->lock);
	return crew->offer != hand || will_be_taken(crew, hand);
}

bool
fc_crew_give(fc_crew *crew, fc_hand *hand, bool debug)
{
	bool gone = true;
	uint64_t word;

	fc_lock(&crew->lock);
	word = atomic_load_explicit(&crew->own, memory_order_relaxed);
	if (hand != NULL && crew->offer == hand) { /* given before */
		gone = is_let_go(crew, hand);
		goto out;
	}
	if (hand != NULL && crew->owner != hand)
		hand->away = true; /* the loop was taken */
	if (hand == NULL || crew->owner != hand || (word & WORD_RUNS) == 0)
		goto out;
	gone = crew->n_hands >= 2;
	if (!gone)
		goto out;
	if (!debug)
		fc_learn_blocked(crew->work->kind);
	/* The monitor needs the lock to change the word, so nobody else does. */
	crew->word = WORD_AFTER(word);
	atomic_store_explicit(&crew->own, crew->word, memory_order_release);
	crew->out++;
	crew->owner = NULL;
	crew->offer = hand;
	COUNT(crew, given);
	call_an_owner(crew);
	while (debug && will_be_taken(crew, hand))
		fc_cond_wait(&crew->taken, &crew->lock);
	gone = is_let_go(crew, hand);
	hand->away = gone;
out:
	fc_unlock(&crew->lock);
	return gone;
}

bool
fc_crew_block_begin(void)
{
	fc_hand *hand = fc_hand_self();

	return hand == NULL || hand->away || fc_crew_give(hand->crew, hand, false);
}
