/*
 * abuse.c: what a peer may make us do for nothing. A bucket of time for resets (rapid reset,
 * CVE-2023-44487; resets that the peer provokes, CVE-2025-8671), to which each stream that both
 * ends have ended gives one back: a client that mostly awaits its answers may cancel for ever. For
 * each kind of frame that carries no call on, a bucket that is refilled by time and by work: DATA
 * and HEADERS, either way. So a busy connection may ping, probe and update windows as it likes, and
 * an idle one may not. What work gives is put by for WINDOW_UPDATE: whoever is sent much, and takes
 * it late, says so in a burst.
 */
#include "runtime/protocol/h2/connection.h"

static const struct allowance {
	int32_t burst;
	uint32_t a_second, a_work;
	const char *what; /* also the debug data of GOAWAY */
	int32_t put_by;   /* of what work gives, at most */
} allowances[FC_IDLE_KINDS] = {
    [FC_IDLE_DATA] = {100, 10, 1, "too many empty DATA frames", 0},
    [FC_IDLE_PING] = {100, 2, 8, FC_H2_TOO_MANY_PINGS, 0},
    [FC_IDLE_SETTINGS] = {100, 1, 1, "too many SETTINGS frames", 0},
    [FC_IDLE_PRIORITY] = {1000, 100, 16, "too many PRIORITY frames", 0},
    [FC_IDLE_WINDOW] = {1000, 100, 16, "too many WINDOW_UPDATE frames", 65536},
    [FC_IDLE_UNKNOWN] = {1000, 10, 1, "too many frames without a meaning", 0},
    [FC_IDLE_CLOSED] = {10000, 1000, 4, "too many frames on streams that are closed", 0},
    [FC_IDLE_INTERIM] = {100, 10, 0, "too many interim responses", 0},
};

static const struct allowance resets = {
    FC_H2_RESETS_BURST, FC_H2_RESETS_RATE, 0, "too many streams were reset", 0};

/* Takes one from the bucket; false: it is empty. */
static bool
spend(fc_h2 *c, fc_h2_bucket *bucket, const struct allowance *allowance)
{
	uint64_t worked = (uint64_t)(c->work - bucket->work) * allowance->a_work;
	uint64_t passed = c->now - bucket->at;
	int64_t spent = bucket->spent - (int64_t)worked;

	bucket->work = c->work;
	spent = FC_MAX(spent, -(int64_t)allowance->put_by);
	if (passed >= FC_NS_PER_S / allowance->a_second) {
		uint64_t tokens = passed / (FC_NS_PER_S / allowance->a_second);

		if (spent > 0)
			spent -= (int64_t)FC_MIN(tokens, (uint64_t)spent);
		bucket->at += tokens * (FC_NS_PER_S / allowance->a_second);
	}
	bucket->spent = (int32_t)spent;
	return bucket->spent++ < allowance->burst;
}

bool
fc_h2_idle_frame(fc_h2 *c, fc_h2_idle kind)
{
	if (FARCALL_LIKELY(spend(c, &c->idle[kind], &allowances[kind])))
		return true;
	fc_h2_fail(c, FC_H2_ENHANCE_YOUR_CALM, FARCALL_CAUSE_LIMIT, "%s", allowances[kind].what);
	return false;
}

bool
fc_h2_count_reset(fc_h2 *c)
{
	if (FARCALL_LIKELY(spend(c, &c->resets, &resets)))
		return true;
	fc_h2_fail(c, FC_H2_ENHANCE_YOUR_CALM, FARCALL_CAUSE_LIMIT, "%s", resets.what);
	return false;
}

void
fc_h2_forgive_reset(fc_h2 *c)
{
	if (c->resets.spent > 0)
		c->resets.spent--;
}
