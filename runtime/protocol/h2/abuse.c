/*
 * abuse.c: what a peer may make us do for nothing. A bucket of time for resets (rapid reset,
 * CVE-2023-44487; resets that the peer provokes, CVE-2025-8671), to which each stream that both
 * ends have ended gives one back: a client that mostly awaits its answers may cancel for ever. For
 * each kind of frame that carries no call on, a bucket that is refilled by time and by work: DATA
 * and HEADERS, either way. So a busy connection may ping, probe and update windows as it likes, and
 * an idle one may not.
 */
#include "runtime/protocol/h2/connection.h"

static const struct allowance {
	uint32_t burst, a_second, a_work;
	const char *what; /* also the debug data of GOAWAY */
} allowances[FC_IDLE_KINDS] = {
    [FC_IDLE_DATA] = {100, 10, 1, "too many empty DATA frames"},
    [FC_IDLE_PING] = {100, 2, 8, FC_H2_TOO_MANY_PINGS},
    [FC_IDLE_SETTINGS] = {100, 1, 1, "too many SETTINGS frames"},
    [FC_IDLE_PRIORITY] = {1000, 100, 16, "too many PRIORITY frames"},
    [FC_IDLE_WINDOW] = {1000, 100, 16, "too many WINDOW_UPDATE frames"},
    [FC_IDLE_UNKNOWN] = {1000, 10, 1, "too many frames without a meaning"},
    [FC_IDLE_CLOSED] = {10000, 1000, 4, "too many frames on streams that are closed"},
    [FC_IDLE_INTERIM] = {100, 10, 0, "too many interim responses"},
};

static const struct allowance resets = {
    FC_H2_RESETS_BURST, FC_H2_RESETS_RATE, 0, "too many streams were reset"};

/* Takes one from the bucket; false: it is empty. */
static bool
spend(fc_h2 *c, fc_h2_bucket *bucket, const struct allowance *allowance)
{
	uint64_t back = (uint64_t)(c->work - bucket->work) * allowance->a_work;
	uint64_t passed = c->now - bucket->at;

	bucket->work = c->work;
	if (passed >= FC_NS_PER_S / allowance->a_second) {
		uint64_t tokens = passed / (FC_NS_PER_S / allowance->a_second);

		back += tokens;
		bucket->at += tokens * (FC_NS_PER_S / allowance->a_second);
	}
	bucket->spent -= (uint32_t)FC_MIN(back, bucket->spent);
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
	if (c->resets.spent != 0)
		c->resets.spent--;
}
