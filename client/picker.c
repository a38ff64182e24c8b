/*
 * picker.c: which line a call goes to, and the queue of those that must wait: for a line, or for a
 * free stream on it. First come, first served; a call that is tried again goes before all others.
 * The queue is bounded, but for those that a server has not seen and that go again.
 */
#include "client/internal.h"
#include "client/plan.h"
#include "client/spread.h"

#include <stdio.h>

static fc_client_call *
first_pending(farcall_channel *channel)
{
	return FC_CONTAINER(channel->pending.next, fc_client_call, in_list);
}

static void
enqueue(fc_list *before, fc_client_call *call)
{
	fc_list_append(before, &call->in_list);
	call->waits = true;
	call->channel->n_waiting++;
}

void
fc_picker_left(fc_client_call *call)
{
	call->waits = false;
	call->channel->n_waiting--;
}

/* The line that takes calls now, if there is one. */
static fc_line *
pick(farcall_channel *channel)
{
	fc_line *line = channel->sub.phase == FC_SUB_READY ? channel->sub.line : NULL;

	if (channel->spread.on)
		return fc_spread_pick(channel);
	return line != NULL && line->conn.state == FC_CONN_OPEN && !line->full ? line : NULL;
}

/* false: it must wait: for a stream, however few the server allows, or for the next line, which is
 * made when this one has used up its numbers. */
static bool
give(farcall_channel *channel, fc_line *line, fc_client_call *call)
{
	if (fc_attempt_open(line, call))
		return true;
	if (line->conn.ops->used_up(line->conn.engine)) {
		fc_line_retire(line);
		fc_subchannel_lost(channel, line, NULL);
	}
	return false;
}

static void
fail_one(fc_client_call *call, const fc_error *why)
{
	if (call->plan == NULL || !fc_plan_lost(call, why->code, why->cause, why->text))
		fc_call_end_with(call, why->code, why->cause, why->text);
}

/* Calls wait: a line is made, or those that do not wait for ready fail. */
static void
want_line(farcall_channel *channel)
{
	if (fc_subchannel_want(channel))
		return;
	fc_picker_fail(channel, fc_subchannel_is_hopeless(channel));
	if (!fc_list_empty(&channel->pending))
		fc_subchannel_watch(channel);
}

static void
pump(fc_task *task)
{
	farcall_channel *channel = FC_CONTAINER(task, farcall_channel, pump);
	fc_line *line;

	while (!fc_list_empty(&channel->pending) && (line = pick(channel)) != NULL) {
		fc_client_call *call = first_pending(channel);

		fc_list_remove(&call->in_list);
		fc_picker_left(call);
		if (!give(channel, line, call))
			enqueue(channel->pending.next, call);
	}
	if (!fc_list_empty(&channel->pending))
		want_line(channel);
	fc_channel_drop(channel);
}

void
fc_picker_later(farcall_channel *channel)
{
	if (channel->pump.queued || channel->shut)
		return;
	fc_channel_hold(channel);
	channel->pump.run = pump;
	fc_loop_ready(channel->loop, &channel->pump);
}

/* There is no place for it in the queue; where it would not have to wait at all, it need not know:
 * "10 calls wait for localhost:27015 already, the most that may (farcall_channel_set_max_waiting):
 * connection refused" */
static void
refuse(farcall_channel *channel, fc_client_call *call)
{
	const fc_subchannel *sub = &channel->sub;
	const char *why = sub->phase != FC_SUB_READY ? sub->reason : "";
	char text[FC_ERROR_TEXT * 2];

	if (!call->wait_for_ready && !fc_subchannel_want(channel)) {
		fail_one(call, &sub->failure);
		return;
	}
	snprintf(text, sizeof text,
	    "%zu calls wait for %s already, the most that may (farcall_channel_set_max_waiting)"
	    "%s%s",
	    channel->n_waiting, channel->address.text, why[0] != 0 ? ": " : "", why);
	fc_call_end_with(call, FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_LIMIT, text);
}

/* Queues it; one that does not wait for ready fails when no line will come soon. */
void
fc_picker_take(farcall_channel *channel, fc_client_call *call)
{
	fc_line *line;

	if (call->plan != NULL && fc_plan_takes(call))
		return;
	line = fc_list_empty(&channel->pending) ? pick(channel) : NULL;
	if (line != NULL && give(channel, line, call))
		return;
	if (line != NULL && channel->spread.on)
		fc_picker_later(channel); /* another one may have room */
	if (channel->n_waiting >= channel->most_waiting) {
		refuse(channel, call);
		return;
	}
	enqueue(&channel->pending, call);
	want_line(channel);
}

void
fc_picker_again(farcall_channel *channel, fc_client_call *call)
{
	enqueue(channel->pending.next, call);
	fc_picker_later(channel);
}

void
fc_picker_fail(farcall_channel *channel, bool all)
{
	const fc_error *why = &channel->sub.failure;

	fc_list_each (item, next, &channel->pending) {
		fc_client_call *call = FC_CONTAINER(item, fc_client_call, in_list);

		if (all || !call->wait_for_ready)
			fail_one(call, why);
	}
}
