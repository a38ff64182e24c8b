/*
 * crew.c: a crew's threads and their roles; its beginning and end.
 *
 * A thread that is free takes the first that is to be had: the loop, if it is on offer; the watch,
 * if nobody keeps it; an item that waits; else it idles. Threads are started by the monitor, before
 * they are needed, and stay until the crew ends.
 *
 * The crew ends when its user says so and no item is out: so a run() that blocks is waited for, and
 * its done() comes while the loop still turns.
 */
#include "runtime/loop/crew_inside.h"

#include "runtime/base/alloc.h"
#include "runtime/base/log.h"

#include <stdlib.h>
#include <string.h>

#ifdef _WIN32
#define PATIENCE (4 * FC_NS_PER_MS) /* its clock ticks in ms, or worse */
#else
#define PATIENCE FC_NS_PER_MS
#endif
#define RETRY (1 * FC_NS_PER_S) /* after a thread could not be had */

static uv_once_t once = UV_ONCE_INIT;
static uv_key_t key; /* the thread's fc_hand */
static bool has_key;
static atomic_bool debug_handover;
static atomic_size_t debug_threads = SIZE_MAX;

static void
begin_process(void)
{
	const char *debug = getenv("FARCALL_DEBUG_HANDOVER");

	has_key = uv_key_create(&key) == 0;
	if (debug != NULL && strcmp(debug, "1") == 0)
		atomic_store(&debug_handover, true);
}

fc_hand *
fc_hand_self(void)
{
	uv_once(&once, begin_process);
	return has_key ? (fc_hand *)uv_key_get(&key) : NULL;
}

bool
fc_crew_inside(const fc_crew *crew)
{
	for (const fc_hand *hand = fc_hand_self(); hand != NULL; hand = hand->outer)
		if (hand->crew == crew)
			return true;
	return false;
}

void
fc_crew_debug_handover(bool on)
{
	uv_once(&once, begin_process);
	atomic_store(&debug_handover, on);
}

void
fc_crew_debug_threads(size_t most)
{
	atomic_store(&debug_threads, most);
}

/* ---- threads; under the lock ---- */

void
fc_crew_call(fc_crew *crew, unsigned n)
{
	for (n = FC_MIN(n, crew->n_idle); n > 0; n--)
		fc_cond_signal(&crew->idle);
}

/* true: nobody will watch, since this is the last thread that there may be. */
static bool
see_to_monitor(fc_crew *crew)
{
	if (atomic_load(&crew->watched)) {
		if (crew->n_pool > crew->n_idle)
			fc_crew_wake_monitor(crew);
	} else if (crew->n_idle > 0) {
		fc_crew_call(crew, 1);
	} else if (crew->n_coming == 0 && !fc_crew_grow(crew)) {
		return crew->n_hands >= crew->most && !crew->fin;
	}
	return false;
}

/* Between turns. What is ready counts, too: a turn leaves some when it has lasted long enough. */
static bool
is_over(const fc_crew *crew)
{
	return crew->over(crew->over_data) && crew->out == 0 && !fc_loop_has_work(crew->loop);
}

/* Drives the loop until it is lost, or all is over: true. Without the lock. */
static bool
drive(fc_crew *crew, bool in_turn)
{
	bool over;

	crew->self = (uintptr_t)uv_thread_self();
	if (in_turn && !fc_loop_take(crew->loop))
		return false;
	for (;;) {
		if (!crew->first) {
			crew->first = true;
			atomic_store_explicit(
			    &crew->own, crew->word | WORD_IDLE, memory_order_release);
		}
		over = is_over(crew);
		if (over && crew->settled)
			return true;
		crew->settled = over; /* one more turn */
		if (!fc_loop_turn(crew->loop, crew->settled ? 0 : FC_NEVER))
			return false;
	}
}

static void
go_plain(fc_crew *crew)
{
	crew->plain = true;
	crew->first = true;
	crew->run = fc_work_stays;
}

/* The owner has found that all is over. */
static void
end(fc_crew *crew)
{
	go_plain(crew);
	fc_timer_stop(crew->loop, &crew->shortage);
	fc_lock(&crew->lock);
	crew->fin = true;
	crew->owner = NULL;
	fc_cond_broadcast(&crew->idle);
	fc_cond_broadcast(&crew->watch);
	fc_cond_broadcast(&crew->taken);
	fc_unlock(&crew->lock);
}

static void
own(fc_crew *crew)
{
	bool last = see_to_monitor(crew);

	fc_unlock(&crew->lock);
	if (FARCALL_UNLIKELY(last))
		fc_shortage_last(crew);
	if (drive(crew, true))
		end(crew);
	fc_lock(&crew->lock);
}

static void
accept_offer(fc_crew *crew, fc_hand *hand)
{
	crew->offer = NULL;
	crew->owner = hand;
	fc_cond_broadcast(&crew->taken);
	own(crew);
}

/* From role to role, until the end. */
static void
serve(fc_crew *crew, fc_hand *hand)
{
	while (!crew->fin) {
		bool watched = atomic_load(&crew->watched);

		if (crew->offer != NULL) {
			accept_offer(crew, hand);
		} else if (crew->n_pool > 0 && (watched || fc_crew_alone(crew))) {
			fc_crew_do_pooled(crew, hand);
		} else if (!watched) {
			if (fc_crew_watch(crew, hand))
				own(crew);
		} else {
			crew->n_idle++;
			fc_cond_wait(&crew->idle, &crew->lock);
			crew->n_idle--;
		}
	}
}

static void
hand_main(void *data)
{
	fc_hand *hand = (fc_hand *)data;
	fc_crew *crew = hand->crew;

	uv_key_set(&key, hand);
	fc_lock(&crew->lock);
	crew->n_coming--;
	serve(crew, hand);
	fc_unlock(&crew->lock);
}

static farcall_code
start_thread(fc_crew *crew, fc_hand *hand, fc_error *error)
{
	if (atomic_load(&debug_threads) != SIZE_MAX && atomic_fetch_sub(&debug_threads, 1) == 0) {
		atomic_store(&debug_threads, 0);
		return fc_fail_memory(error, "thread");
	}
	hand->crew = crew;
	return fc_thread_start(&hand->thread, hand_main, hand, error);
}

bool
fc_crew_grow(fc_crew *crew)
{
	unsigned i = 1;
	farcall_code code;
	fc_error error;

	if (crew->n_hands >= crew->limit || crew->fin)
		return false;
	while (crew->hands[i].used)
		i++;
	crew->hands[i].used = true;
	crew->n_hands++;
	crew->n_coming++;
	crew->n_growing++;
	fc_unlock(&crew->lock);
	fc_error_clear(&error);
	code = start_thread(crew, &crew->hands[i], &error);
	fc_lock(&crew->lock);
	if (--crew->n_growing == 0)
		fc_cond_broadcast(&crew->taken);
	if (code == FARCALL_OK) {
		COUNT(crew, threads);
		return true;
	}
	crew->hands[i].used = false;
	crew->n_hands--;
	crew->n_coming--;
	crew->limit = crew->n_hands;
	crew->retry = uv_hrtime() + RETRY;
	fc_crew_wake_monitor(crew); /* what the new one was to do */
	fc_log(FARCALL_LOG_WARNING, "no thread for handlers that block, beside %u: %s",
	    crew->n_hands, error.text);
	return false;
}

/* ---- life ---- */

static farcall_code
init_locks(fc_crew *crew, fc_error *error)
{
	if (fc_mutex_init(&crew->lock, error) != FARCALL_OK)
		return error->code;
	if (fc_cond_init(&crew->idle, error) != FARCALL_OK)
		goto no_idle;
	if (fc_cond_init(&crew->watch, error) != FARCALL_OK)
		goto no_watch;
	if (fc_cond_init(&crew->taken, error) == FARCALL_OK)
		return FARCALL_OK;
	fc_cond_fini(&crew->watch);
no_watch:
	fc_cond_fini(&crew->idle);
no_idle:
	fc_mutex_fini(&crew->lock);
	return error->code;
}

static void
init(fc_crew *crew, fc_loop *loop, const fc_crew_config *config)
{
	crew->loop = loop;
	crew->most = config->threads != 0 ? config->threads : FC_CREW_THREADS;
	crew->queue_most = config->queue != 0 ? config->queue : FC_CREW_QUEUE;
	crew->patience = config->patience != 0 ? config->patience : PATIENCE;
	crew->limit = crew->most;
	crew->debug = atomic_load(&debug_handover);
	crew->serial = config->serial;
	fc_queue_init(&crew->batch);
	fc_queue_init(&crew->pool);
	crew->submit.run = fc_crew_submit_task;
	crew->on_short = config->on_short;
	crew->short_data = config->data;
	fc_timer_init(&crew->shortage, fc_shortage_on_timer);
	go_plain(crew);
	atomic_init(&crew->own, WORD_IDLE);
	atomic_init(&crew->asleep, false);
	atomic_init(&crew->watched, false);
	atomic_init(&crew->waiting, 0);
}

fc_crew *
fc_crew_open(fc_loop *loop, const fc_crew_config *config, fc_error *error)
{
	fc_crew *crew = (fc_crew *)fc_calloc(1, sizeof *crew);
	unsigned most = config->threads != 0 ? config->threads : FC_CREW_THREADS;

	uv_once(&once, begin_process);
	if (crew != NULL)
		crew->hands = (fc_hand *)fc_calloc(most, sizeof *crew->hands);
	if (crew == NULL || crew->hands == NULL) {
		fc_free(crew);
		fc_fail_memory(error, "crew");
		return NULL;
	}
	if (init_locks(crew, error) != FARCALL_OK) {
		fc_free(crew->hands);
		fc_free(crew);
		return NULL;
	}
	init(crew, loop, config);
	return crew;
}

void
fc_crew_close(fc_crew *crew)
{
	if (crew == NULL)
		return;
	fc_cond_fini(&crew->taken);
	fc_cond_fini(&crew->watch);
	fc_cond_fini(&crew->idle);
	fc_mutex_fini(&crew->lock);
	fc_free(crew->hands);
	fc_free(crew);
}

/* Is there to be more than one thread? Starts the second, the monitor. */
static bool
gather(fc_crew *crew)
{
	bool grown;

	if (crew->serial || crew->most < 2 || crew->loop->guest || crew->loop->clock != NULL ||
	    !has_key)
		return false;
	fc_lock(&crew->lock);
	grown = fc_crew_grow(crew);
	fc_unlock(&crew->lock);
	return grown;
}

static void
wait_for_all(fc_crew *crew)
{
	fc_lock(&crew->lock);
	serve(crew, &crew->hands[0]);
	while (crew->n_growing > 0)
		fc_cond_wait(&crew->taken, &crew->lock);
	fc_unlock(&crew->lock);
	for (unsigned i = 1; i < crew->most; i++)
		if (crew->hands[i].used)
			fc_thread_join(&crew->hands[i].thread);
}

void
fc_crew_run(fc_crew *crew, bool (*over)(void *data), void *data)
{
	fc_hand *hand = &crew->hands[0];

	hand->crew = crew;
	hand->outer = fc_hand_self();
	hand->used = true;
	crew->over = over;
	crew->over_data = data;
	crew->n_hands = 1;
	crew->owner = hand;
	if (has_key)
		uv_key_set(&key, hand);
	crew->plain = !gather(crew);
	if (!crew->plain)
		crew->run = crew->debug ? fc_work_handed_over : fc_work_watched;
	if (drive(crew, false))
		end(crew);
	wait_for_all(crew);
	if (has_key)
		uv_key_set(&key, hand->outer);
}

void
fc_crew_counts_get(fc_crew *crew, fc_crew_counts *counts)
{
	counts->taken = atomic_load(&crew->counts.taken);
	counts->given = atomic_load(&crew->counts.given);
	counts->got_back = atomic_load(&crew->counts.got_back);
	counts->pooled = atomic_load(&crew->counts.pooled);
	counts->learned = atomic_load(&crew->counts.learned);
	counts->unlearned = atomic_load(&crew->counts.unlearned);
	counts->refused = atomic_load(&crew->counts.refused);
	counts->threads = atomic_load(&crew->counts.threads);
	counts->complaints = atomic_load(&crew->counts.complaints);
}
