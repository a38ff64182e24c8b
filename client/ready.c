/*
 * ready.c: waiting until the channel is ready, and what a deadline's text says.
 */
#include "client/internal.h"

#include <inttypes.h>
#include <stdio.h>

/* "after 2000 ms, waiting for localhost:27015 to connect (last failure: connection refused)" */
void
fc_channel_describe_wait(
    const farcall_channel *channel, bool in_flight, uint64_t ms, char *to, size_t room)
{
	const fc_subchannel *sub = &channel->sub;
	const char *target = channel->address.text;
	int n;

	if (in_flight || channel->shut) {
		snprintf(to, room, "after %" PRIu64 " ms, waiting for %s to answer", ms, target);
		return;
	}
	if (sub->phase == FC_SUB_READY) {
		snprintf(to, room, "after %" PRIu64 " ms, waiting for %s to have room for the call",
		    ms, target);
		return;
	}
	n = snprintf(to, room, "after %" PRIu64 " ms, waiting for %s to %s", ms, target,
	    sub->phase == FC_SUB_RESOLVING ? "be looked up" : "connect");
	if (sub->reason[0] != 0 && n > 0 && (size_t)n < room)
		snprintf(to + n, room - (size_t)n, " (last failure: %s)", sub->reason);
}

/* ---- waiting ---- */

static void
end(fc_ready_wait *wait, const fc_error *error)
{
	fc_list_remove(&wait->in_channel);
	if (error != NULL)
		wait->error = *error;
	fc_waiter_done(&wait->waiter);
}

void
fc_ready_tell(farcall_channel *channel, const fc_error *error)
{
	fc_list *item;

	while ((item = fc_list_pop(&channel->ready_waits)) != NULL)
		end(FC_CONTAINER(item, fc_ready_wait, in_channel), error);
}

static void
begin(fc_waiter *waiter)
{
	fc_ready_wait *wait = FC_CONTAINER(waiter, fc_ready_wait, waiter);
	farcall_channel *channel = waiter->channel;
	fc_error error;

	if (channel->shut) {
		fc_error_clear(&error);
		fc_fail(&error, FARCALL_CANCELLED, FARCALL_CAUSE_SHUTDOWN,
		    "the channel has been closed");
		end(wait, &error);
	} else if (channel->sub.phase == FC_SUB_READY) {
		end(wait, NULL);
	} else {
		fc_list_append(&channel->ready_waits, &wait->in_channel);
		if (fc_subchannel_want(channel))
			return;
		if (fc_subchannel_is_hopeless(channel))
			fc_ready_tell(channel, &channel->sub.failure);
		else
			fc_subchannel_watch(channel);
	}
}

static void
expire(fc_waiter *waiter)
{
	fc_ready_wait *wait = FC_CONTAINER(waiter, fc_ready_wait, waiter);
	char text[FC_ERROR_TEXT * 2];
	fc_error error;

	fc_channel_describe_wait(waiter->channel, false, wait->timeout_ms, text, sizeof text);
	fc_error_clear(&error);
	fc_fail(&error, FARCALL_DEADLINE_EXCEEDED, FARCALL_CAUSE_TIMED_OUT, "%s", text);
	end(wait, &error);
}

static void
no_memory(fc_waiter *waiter)
{
	fc_error error;

	fc_error_clear(&error);
	fc_fail_memory(&error, "wait");
	end(FC_CONTAINER(waiter, fc_ready_wait, waiter), &error);
}

static const fc_waiter_ops ops = {begin, expire, no_memory};

static farcall_code
wait_until_ready(farcall_channel *channel, uint64_t timeout_ms, fc_error *error)
{
	fc_ready_wait wait;
	farcall_code code;

	code = fc_waiter_init(&wait.waiter, &ops, error);
	if (code != FARCALL_OK)
		return code;
	fc_waiter_reset(&wait.waiter, channel);
	fc_list_init(&wait.in_channel);
	fc_error_clear(&wait.error);
	wait.timeout_ms = timeout_ms;
	if (timeout_ms < (FC_NEVER - fc_channel_now(channel)) / FC_NS_PER_MS)
		wait.waiter.deadline = fc_channel_now(channel) + timeout_ms * FC_NS_PER_MS;
	code = fc_drive(channel, &wait.waiter, error);
	if (code == FARCALL_OK && wait.error.code != FARCALL_OK) {
		*error = wait.error;
		code = error->code;
	}
	fc_waiter_fini(&wait.waiter);
	return code;
}

farcall_code
farcall_channel_wait_ready(farcall_channel *channel, uint64_t timeout_ms)
{
	farcall_code code;
	fc_error error;

	if (channel == NULL)
		return FARCALL_FAILED_PRECONDITION;
	if (channel->nil)
		return FARCALL_RESOURCE_EXHAUSTED;
	fc_error_clear(&error);
	code = fc_channel_failure(channel, &error);
	if (code != FARCALL_OK)
		return code;
	atomic_store_explicit(&channel->used, true, memory_order_relaxed);
	fc_channel_hold(channel);
	code = wait_until_ready(channel, timeout_ms, &error);
	fc_lock(&channel->lock);
	channel->ready_error = error;
	fc_unlock(&channel->lock);
	fc_channel_drop(channel);
	return code;
}
