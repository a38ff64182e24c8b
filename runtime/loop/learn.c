/*
 * learn.c: which kinds of work block. Learned: at the first time that the loop was taken from an
 * item, or given away by it; or when items that do not last long enough for that are slow on
 * average, since they add up. Unlearned: after so many pooled items in a row that were quick; twice
 * as many if the kind had been unlearned before, and was learned again soon.
 */
#include "runtime/loop/crew_inside.h"

#include "runtime/base/log.h"

#define NEEDED_FIRST 1000u
#define NEEDED_MOST (1u << 20)
#define SOON 8u           /* times `needed` items in place; past it, a relapse is forgiven */
#define SLOW_MEAN 100000u /* ns */
#define TIMED_LEAST 8u    /* before a mean counts */
#define WEIGHT 16u        /* of the mean so far, against one new item */
#define HELD_LONG (100 * FC_NS_PER_MS)
#define BETWEEN_COMPLAINTS (60 * FC_NS_PER_S)

void
fc_work_kind_init(fc_work_kind *kind, fc_crew *crew, const char *name, fc_work_place place)
{
	kind->crew = crew;
	kind->name = name;
	kind->place = place;
	kind->pooled = place == FC_WORK_BLOCKS;
	kind->relapse = false;
	kind->left = SAMPLE;
	kind->quick = 0;
	kind->needed = NEEDED_FIRST;
	kind->timed = 0;
	kind->mean = 0;
	kind->complain = 0;
}

static void
learn(fc_work_kind *kind, const char *why)
{
	uint64_t in_place = (uint64_t)kind->timed * SAMPLE;

	if (kind->relapse && in_place < (uint64_t)kind->needed * SOON)
		kind->needed = FC_MIN(2 * kind->needed, NEEDED_MOST);
	else
		kind->needed = NEEDED_FIRST;
	kind->pooled = true;
	kind->quick = 0;
	COUNT(kind->crew, learned);
	fc_log(FARCALL_LOG_INFO, "%s %s: it runs on other threads now", kind->name, why);
}

static bool
may_learn(const fc_work_kind *kind)
{
	return kind->place == FC_WORK_LEARNS && !kind->pooled && !kind->crew->plain;
}

void
fc_learn_blocked(fc_work_kind *kind)
{
	if (may_learn(kind))
		learn(kind, "has blocked");
}

void
fc_learn_pooled(fc_work_kind *kind, uint64_t took)
{
	if (kind->place != FC_WORK_LEARNS || !kind->pooled)
		return;
	if (took >= kind->crew->patience / 10) {
		kind->quick = 0;
		return;
	}
	if (++kind->quick < kind->needed)
		return;
	kind->pooled = false;
	kind->relapse = true;
	kind->left = SAMPLE;
	kind->timed = 0;
	kind->mean = 0;
	COUNT(kind->crew, unlearned);
	fc_log(FARCALL_LOG_INFO, "%s has been quick %u times: it runs in its loop again",
	    kind->name, kind->needed);
}

void
fc_learn_held(fc_work_kind *kind, uint64_t took)
{
	uint64_t now;

	if (FARCALL_LIKELY(took < HELD_LONG))
		return;
	now = uv_hrtime();
	if (now < kind->complain)
		return;
	kind->complain = now + BETWEEN_COMPLAINTS;
	COUNT(kind->crew, complaints);
	fc_log(FARCALL_LOG_WARNING, "%s held up its loop, and all that runs on it, for %u ms",
	    kind->name, (unsigned)FC_MIN(took / FC_NS_PER_MS, UINT32_MAX));
}

/* Without a monitor each item is timed: nobody else would notice. */
void
fc_learn_timed(fc_work_kind *kind, uint64_t took)
{
	fc_crew *crew = kind->crew;

	kind->left = SAMPLE;
	if (!crew->plain && !atomic_load_explicit(&crew->watched, memory_order_relaxed))
		kind->left = 1;
	fc_learn_held(kind, took);
	kind->timed++;
	kind->mean += FC_MIN(took, crew->patience) / WEIGHT - kind->mean / WEIGHT;
	if (kind->timed >= TIMED_LEAST && kind->mean > SLOW_MEAN && may_learn(kind))
		learn(kind, "is slow");
}
