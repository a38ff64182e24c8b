/*
 * subchannel.c: keeps one line to the first of the target's places that answers (pick_first). All
 * places race (race.c); when none has answered, nothing is tried before the backoff, measured
 * from the attempt's start, has passed. What resets the backoff is the peer's SETTINGS, not the TCP
 * connection, which a proxy may accept for a dead server.
 *
 * TRANSIENT_FAILURE is sticky: it lasts until a line is ready. While the loop is turned all the
 * time (a thread, a lent loop) it is tried again by itself; where nobody drives between calls, by
 * the next call that comes after the backoff, which then waits for the outcome.
 */
#include "client/internal.h"
#include "client/spread.h"

#include "runtime/base/alloc.h"
#include "runtime/transport/cause.h"
#include "runtime/transport/sock.h"

#include <stdio.h>

#define RESOLVED_NS (30 * FC_NS_PER_S) /* so long a name is not looked up again */

static void on_resolved(fc_resolver *resolver, const fc_error *error);

static farcall_channel *
channel_of(fc_subchannel *sub)
{
	return FC_CONTAINER(sub, farcall_channel, sub);
}

/* The loop is turned though no call waits. */
static bool
is_eager(const farcall_channel *channel)
{
	return channel->lent || channel->threaded;
}

/* ---- failures ---- */

/* "connection refused" rather than the place and the cause again. */
static const char *
reason_of(const fc_error *error)
{
	const char *last = error->text;

	switch (error->cause) {
	case FARCALL_CAUSE_ADDRESS_NOT_AVAILABLE: /* "…: no such file or directory" */
		for (const char *at = last; (at = strstr(at, ": ")) != NULL;)
			last = at += 2;
		return last;
	case FARCALL_CAUSE_NONE:
	case FARCALL_CAUSE_SYSTEM:
	case FARCALL_CAUSE_PROTOCOL:
	case FARCALL_CAUSE_LIMIT:
		return error->text;
	default:
		return fc_cause_text(error->cause);
	}
}

void
fc_subchannel_note(farcall_channel *channel, const fc_error *error)
{
	fc_subchannel *sub = &channel->sub;
	farcall_code code = FARCALL_UNAVAILABLE;
	const char *reason = "connection lost";

	if (error != NULL && error->code != FARCALL_OK)
		reason = fc_reason_behind(reason_of(error), channel->address.text);
	if (error != NULL && error->cause == FARCALL_CAUSE_OUT_OF_MEMORY)
		code = FARCALL_RESOURCE_EXHAUSTED;
	snprintf(sub->reason, sizeof sub->reason, "%s", reason);
	fc_error_clear(&sub->failure);
	fc_fail(&sub->failure, code,
	    error != NULL && error->code != FARCALL_OK ? error->cause
	                                               : FARCALL_CAUSE_CONNECTION_LOST,
	    "connect %s: %s", channel->address.text, reason);
}

/* What the registry says names everything already. */
static void
note_no_record(farcall_channel *channel, const fc_error *error)
{
	fc_subchannel_note(channel, error);
	if (channel->address.scheme != FC_SCHEME_FILE)
		return;
	snprintf(channel->sub.reason, sizeof channel->sub.reason, "%s", error->text);
	snprintf(channel->sub.failure.text, sizeof channel->sub.failure.text, "%s", error->text);
}

void
fc_subchannel_note_insecure(farcall_channel *channel, const fc_place *place)
{
	fc_subchannel *sub = &channel->sub;

	fc_error_clear(&sub->failure);
	fc_fail(&sub->failure, FARCALL_FAILED_PRECONDITION, FARCALL_CAUSE_INSECURE,
	    "connect %s: plaintext to %s, which is not on this host, was not allowed "
	    "(farcall_channel_allow_insecure)",
	    channel->address.text, place->text);
	snprintf(sub->reason, sizeof sub->reason, "%s", fc_cause_text(FARCALL_CAUSE_INSECURE));
}

void
fc_subchannel_watch(farcall_channel *channel)
{
	fc_subchannel *sub = &channel->sub;

	if (sub->phase != FC_SUB_BACKOFF || sub->retry.at != 0 ||
	    fc_timer_start(channel->loop, &sub->retry, sub->retry_at))
		return;
	fc_error_clear(&sub->failure);
	fc_fail_memory(&sub->failure, "timer");
	fc_picker_fail(channel, true);
	fc_ready_tell(channel, &sub->failure);
}

bool
fc_subchannel_is_hopeless(const farcall_channel *channel)
{
	return channel->sub.phase == FC_SUB_BACKOFF &&
	    channel->sub.failure.cause == FARCALL_CAUSE_INSECURE;
}

/* The attempt has failed. */
static void
failed(farcall_channel *channel)
{
	fc_subchannel *sub = &channel->sub;
	bool for_good;

	sub->phase = FC_SUB_BACKOFF;
	for_good = fc_subchannel_is_hopeless(channel);
	sub->sticky = true;
	fc_channel_set_state(channel, FARCALL_TRANSIENT_FAILURE);
	fc_picker_fail(channel, for_good);
	if (for_good)
		fc_ready_tell(channel, &sub->failure);
	if (is_eager(channel) || !fc_list_empty(&channel->pending) ||
	    !fc_list_empty(&channel->ready_waits))
		fc_subchannel_watch(channel);
}

/* ---- attempts ---- */

static void
connect_all(farcall_channel *channel)
{
	channel->sub.phase = FC_SUB_CONNECTING;
	if (channel->spread.on ? !fc_spread_update(channel) : !fc_race_start(channel))
		failed(channel);
}

bool
fc_address_is_name(const fc_address *address)
{
	fc_place place;

	for (size_t i = 0; i < address->n_hosts; i++)
		if (!fc_place_from_literal(&place, address->hosts[i].name, address->hosts[i].port))
			return true;
	return false;
}

/* A name server is asked no more than every 30 s, however often connecting fails. A registry is
 * read each time, for its servers come and go; the rest costs nothing. */
static bool
may_use_again(farcall_channel *channel)
{
	const fc_subchannel *sub = &channel->sub;

	return sub->resolved && fc_channel_now(channel) - sub->resolved_at < RESOLVED_NS &&
	    fc_address_is_name(&channel->address);
}

static void
resolve(farcall_channel *channel)
{
	fc_subchannel *sub = &channel->sub;
	fc_error error;

	fc_error_clear(&error);
	sub->phase = FC_SUB_RESOLVING;
	if (fc_resolver_start(&sub->resolver, channel->loop, &channel->address, on_resolved,
	        &error) == FARCALL_OK)
		return;
	note_no_record(channel, &error);
	failed(channel);
}

static void
begin(farcall_channel *channel)
{
	fc_subchannel *sub = &channel->sub;
	uint64_t delay;

	if (channel->spread.on && fc_spread_retry(channel))
		return;
	delay = fc_backoff_next(&sub->backoff);
	sub->retry_at = fc_channel_now(channel) + delay;
	sub->patience = FC_MAX(delay, FC_CONNECT_LEAST_NS);
	fc_timer_stop(channel->loop, &sub->retry);
	if (!sub->sticky)
		fc_channel_set_state(channel, FARCALL_CONNECTING);
	if (channel->address.scheme == FC_SCHEME_FD && sub->spent) {
		fc_error_clear(&sub->failure);
		fc_fail(&sub->failure, FARCALL_UNAVAILABLE, FARCALL_CAUSE_CONNECTION_LOST,
		    "connect %s: the inherited connection has ended", channel->address.text);
		failed(channel);
	} else if (may_use_again(channel)) {
		connect_all(channel);
	} else {
		resolve(channel);
	}
}

static void
on_resolved(fc_resolver *resolver, const fc_error *error)
{
	fc_subchannel *sub = FC_CONTAINER(resolver, fc_subchannel, resolver);
	farcall_channel *channel = channel_of(sub);

	if (error != NULL) {
		note_no_record(channel, error);
		failed(channel);
		return;
	}
	sub->resolved = true;
	sub->resolved_at = fc_channel_now(channel);
	sub->spent = true;
	connect_all(channel);
}

static void
on_retry(fc_timer *timer)
{
	fc_subchannel *sub = FC_CONTAINER(timer, fc_subchannel, retry);

	if (sub->phase == FC_SUB_BACKOFF)
		begin(channel_of(sub));
}

bool
fc_subchannel_want(farcall_channel *channel)
{
	fc_subchannel *sub = &channel->sub;

	switch (sub->phase) {
	case FC_SUB_IDLE:
		begin(channel);
		break;
	case FC_SUB_BACKOFF:
		if (is_eager(channel) || fc_channel_now(channel) < sub->retry_at)
			return false;
		begin(channel);
		break;
	case FC_SUB_RESOLVING:
	case FC_SUB_CONNECTING:
		return !sub->sticky || !is_eager(channel);
	case FC_SUB_READY:
		return true;
	}
	return sub->phase != FC_SUB_BACKOFF;
}

/* ---- what lines tell ---- */

void
fc_subchannel_ready(farcall_channel *channel, fc_line *line)
{
	fc_subchannel *sub = &channel->sub;

	if (line->node != NULL)
		fc_spread_ready(line);
	if (!fc_race_has(line))
		return;
	fc_race_won(channel, line);
	sub->line = line;
	sub->phase = FC_SUB_READY;
	sub->sticky = false;
	fc_backoff_reset(&sub->backoff);
	fc_channel_set_state(channel, FARCALL_READY);
	fc_ready_tell(channel, NULL);
	fc_picker_later(channel);
}

/* A server that takes connections and drops them before it has served anything is not tried for
 * ever without a pause. */
void
fc_subchannel_lost(farcall_channel *channel, fc_line *line, const fc_error *why)
{
	fc_subchannel *sub = &channel->sub;

	if (line->node != NULL) {
		fc_spread_lost(line, why);
		return;
	}
	if (fc_race_has(line)) {
		fc_subchannel_note(channel, why);
		if (!fc_race_lost(channel, line))
			failed(channel);
		return;
	}
	if (sub->line != line)
		return;
	sub->line = NULL;
	sub->fruitless = line->answered ? 0 : sub->fruitless + 1;
	if (sub->fruitless >= FC_CLIENT_FRUITLESS_MOST) {
		sub->fruitless = 0;
		fc_subchannel_note(channel, why);
		failed(channel);
		return;
	}
	sub->phase = FC_SUB_IDLE;
	fc_channel_set_state(channel, FARCALL_IDLE);
	if (!fc_list_empty(&channel->pending) || !fc_list_empty(&channel->ready_waits))
		begin(channel);
}

/* ---- life ---- */

void
fc_subchannel_init(farcall_channel *channel)
{
	fc_timer_init(&channel->sub.retry, on_retry);
	fc_race_init(&channel->sub.race);
	fc_spread_init(channel);
	fc_backoff_seed(&channel->sub.backoff,
	    channel->seed != 0 ? channel->seed
	                       : fc_channel_now(channel) ^ (uint64_t)(uintptr_t)channel);
}

void
fc_subchannel_stop(farcall_channel *channel)
{
	fc_timer_stop(channel->loop, &channel->sub.retry);
	fc_race_stop(channel);
	fc_spread_stop(channel);
	fc_resolver_stop(&channel->sub.resolver);
	channel->sub.line = NULL;
	channel->sub.phase = FC_SUB_IDLE;
}
