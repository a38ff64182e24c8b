/*
 * keepalive.c: is the peer still there? And a peer that asks us that too often. gRFC A8.
 *
 * A PING goes out when no byte has come for keepalive_ns; the connection is lost when none has come
 * for keepalive_timeout_ns after that. Bytes that come move no timer: when one is due it looks when
 * they came last. A client without calls falls asleep (unless told otherwise), and its next call
 * wakes it: with a PING in front, if it was silent for so long.
 *
 * On a server each PING should come ping_interval_ns after the last one that did, or two hours
 * without calls; one that is early is a strike, and so many are too many. HEADERS or DATA that we
 * send begin the count anew.
 */
#include "runtime/protocol/h2/connection.h"

#define STRIKES_MOST 2
#define WITHOUT_CALLS_NS (7200 * FC_NS_PER_S) /* as TCP's own keepalive */

static const uint8_t our_ping[8] = {'f', 'c', 'a', 'l', 'i', 'v', 'e', 0};

/* ---- is the peer there? ---- */

static void
rest(fc_h2 *c)
{
	c->keepalive = FC_KEEPALIVE_RESTS;
	c->keepalive_due = c->heard + c->config.keepalive_ns;
}

void
fc_h2_keepalive_begin(fc_h2 *c)
{
	c->heard = c->now;
	c->keepalive_due = FC_NEVER;
	if (c->config.keepalive_ns != 0)
		rest(c);
}

static void
ask(fc_h2 *c, fc_h2_keepalive state, uint64_t due)
{
	uint8_t *p = fc_h2_control(c, FC_H2_PING, 0, 0, sizeof our_ping, false);

	if (p != NULL)
		memcpy(p, our_ping, sizeof our_ping);
	c->keepalive = state;
	c->keepalive_due = due;
	c->heard_before = c->heard;
}

/* It has been silent for long enough to be asked, but during the preface, which has a time-out of
 * its own. */
static void
ask_or_sleep(fc_h2 *c)
{
	if (c->preface) {
		c->keepalive_due = c->now + c->config.keepalive_ns;
	} else if (c->open != 0 || c->config.keepalive_without_calls) {
		ask(c, FC_KEEPALIVE_ASKS, c->now + c->config.keepalive_timeout_ns);
	} else {
		c->keepalive = FC_KEEPALIVE_SLEEPS;
		c->keepalive_due = FC_NEVER;
		c->heard_before = c->heard;
	}
}

void
fc_h2_keepalive_tick(fc_h2 *c)
{
	bool silent = c->heard == c->heard_before;

	if (c->keepalive == FC_KEEPALIVE_WAKES && silent) {
		c->keepalive = FC_KEEPALIVE_ASKS;
		c->keepalive_due = c->now + c->config.keepalive_timeout_ns;
		return;
	}
	if (c->keepalive == FC_KEEPALIVE_ASKS && silent) {
		fc_h2_fail(c, FC_H2_NO_ERROR, FARCALL_CAUSE_TIMED_OUT,
		    "keepalive: the peer sent nothing in %llu ms, no answer to a PING either",
		    (unsigned long long)(c->config.keepalive_timeout_ns / FC_NS_PER_MS));
		return;
	}
	rest(c);
	if (c->keepalive_due <= c->now)
		ask_or_sleep(c);
}

/* The time is not known here: the next tick, at once, has it. */
void
fc_h2_keepalive_wake_up(fc_h2 *c)
{
	if (c->heard == c->heard_before)
		ask(c, FC_KEEPALIVE_WAKES, 0);
	else
		rest(c);
}

bool
fc_h2_keepalive_answered(fc_h2 *c, const uint8_t *payload)
{
	if ((c->keepalive != FC_KEEPALIVE_ASKS && c->keepalive != FC_KEEPALIVE_WAKES) ||
	    memcmp(payload, our_ping, sizeof our_ping) != 0)
		return false;
	rest(c);
	return true;
}

/* ---- does it ask too often? ---- */

bool
fc_h2_ping_in_time(fc_h2 *c)
{
	uint64_t least = c->config.ping_interval_ns;
	uint64_t calls = c->written + c->out.size - c->control;

	if (c->config.client || least == 0)
		return true;
	if (calls != c->ping_calls) {
		c->ping_calls = calls;
		c->ping_strikes = 0;
		c->pinged = false;
	}
	if (c->open == 0 && !c->config.pings_without_calls)
		least = FC_MAX(least, WITHOUT_CALLS_NS);
	if (!c->pinged || c->now - c->pinged_at >= least) {
		c->pinged = true;
		c->pinged_at = c->now;
		return true;
	}
	if (++c->ping_strikes <= STRIKES_MOST)
		return true;
	fc_h2_fail(c, FC_H2_ENHANCE_YOUR_CALM, FARCALL_CAUSE_LIMIT, FC_H2_TOO_MANY_PINGS);
	return false;
}
