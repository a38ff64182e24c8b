/*
 * watch.c: the monitor. It looks at the owner's word: calmly, every 10 ms, while all is well; often
 * for a second after it had to take the loop; and not at all while the loop is idle. A word that
 * stands inside a run() for longer than the crew's patience loses the loop to it. It also sees to
 * it that there are threads: one idle, and one for each item that waits.
 */
#include "runtime/loop/crew_inside.h"

#define CALM (10 * FC_NS_PER_MS)
#define CALM_TO_SLEEP (2 * CALM)
#define ALERT_FOR FC_NS_PER_S
#define WAIT_LEAST UINT64_C(20000)

void
fc_crew_wake_monitor(fc_crew *crew)
{
	atomic_store(&crew->asleep, false);
	fc_cond_signal(&crew->watch);
}

static bool
needs_hands(const fc_crew *crew)
{
	return crew->n_hands < crew->limit && crew->n_idle + crew->n_coming < crew->n_pool + 1;
}

/* The one thread beside the owner, with nobody to come: it must do what waits. */
bool
fc_crew_alone(const fc_crew *crew)
{
	return crew->n_hands == 2 && crew->limit == 2 && crew->n_pool > 0;
}

static bool
keeps_watch(const fc_crew *crew)
{
	if (crew->fin || fc_crew_alone(crew))
		return false;
	return crew->offer == NULL || crew->n_idle + crew->n_coming > 0;
}

static bool
take(fc_crew *crew, fc_hand *hand, uint64_t word, uint64_t now)
{
	if (!atomic_compare_exchange_strong_explicit(
	        &crew->own, &word, WORD_AFTER(word), memory_order_acq_rel, memory_order_relaxed))
		return false;
	crew->word = WORD_AFTER(word);
	crew->out++;
	crew->owner = hand;
	crew->alert = now + ALERT_FOR;
	fc_learn_blocked(crew->work->kind);
	COUNT(crew, taken);
	return true;
}

/* Until there may be something to see. True: for much longer than that. */
static bool
pause_a_while(fc_crew *crew, uint64_t word, uint64_t stands)
{
	uint64_t wait = CALM, now = uv_hrtime();

	if ((word & WORD_IDLE) != 0 && stands >= CALM_TO_SLEEP) {
		atomic_store(&crew->asleep, true);
		if (atomic_load(&crew->own) == word)
			fc_cond_wait(&crew->watch, &crew->lock);
		atomic_store(&crew->asleep, false);
		return false;
	}
	if ((word & WORD_RUNS) != 0)
		wait = stands < crew->patience ? crew->patience - stands : 0;
	else if (now < crew->alert)
		wait = crew->patience / 2;
	wait = FC_MAX(wait, WAIT_LEAST);
	fc_cond_wait_ns(&crew->watch, &crew->lock, wait);
	return uv_hrtime() - now > wait + crew->patience;
}

/* A monitor that is late itself looks once more, since then the whole machine may have stood still:
 * that is no reason to learn anything. */
bool
fc_crew_watch(fc_crew *crew, fc_hand *hand)
{
	uint64_t seen = UINT64_MAX, since = 0, now, word;
	bool took = false, late = false, forgiven = false;

	atomic_store(&crew->watched, true);
	while (!took && keeps_watch(crew)) {
		now = uv_hrtime();
		if (crew->limit < crew->most && now >= crew->retry)
			crew->limit = crew->most;
		if (needs_hands(crew)) {
			fc_crew_grow(crew);
			continue;
		}
		word = atomic_load_explicit(&crew->own, memory_order_relaxed);
		if (word != seen || (late && !forgiven)) {
			forgiven = late && word == seen;
			seen = word;
			since = now;
		}
		if ((word & WORD_RUNS) != 0 && now - since >= crew->patience)
			took = take(crew, hand, word, now);
		else
			late = pause_a_while(crew, word, now - since);
	}
	atomic_store(&crew->watched, false);
	return took;
}
