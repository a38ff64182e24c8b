/*
 * hooks.c: when a client's hooks come. All of them in the program's own thread or where its
 * callbacks run, never with a thread that only drives the loop for somebody else: begin and the
 * request in the call that starts it, the reply and end just before the program is told.
 *
 * A call whose begin pends is begun nevertheless: so its deadline runs, and it may be cancelled. It
 * waits in the channel's list of those that are held.
 */
#include "client/internal.h"

/* What begin has staged becomes the call's. */
static bool
join(fc_client_call *call)
{
	farcall_call *base = &call->call;
	fc_error error;

	fc_error_clear(&error);
	if (fc_intercept_join(base, &error) == FARCALL_OK)
		return true;
	fc_call_settle_error(base, &error);
	return false;
}

static void
on_resumed(fc_task *task)
{
	farcall_call *base = FC_CONTAINER(task, fc_intercept, task)->call;
	fc_client_call *call = (fc_client_call *)base;
	farcall_channel *channel = call->channel;

	fc_channel_hold(channel);
	fc_drive_took(channel);
	if (atomic_load(&call->phase) == FC_CALL_OPEN) {
		fc_list_remove(&call->in_list);
		if (join(call))
			fc_picker_take(channel, call);
		else
			fc_call_end(call);
	}
	fc_call_drop(base);
	fc_channel_check_over(channel);
	fc_channel_drop(channel);
}

/* Any thread. The call has begun, so somebody turns the loop, unless it has ended. */
static void
resumed(farcall_call *base)
{
	fc_client_call *call = (fc_client_call *)base;
	farcall_channel *channel = call->channel;
	fc_task *task = &base->intercept->task;

	fc_lock(&channel->lock);
	if (atomic_load(&call->phase) == FC_CALL_OPEN) {
		task->run = on_resumed;
		fc_refs_hold(&base->refs);
		if (!fc_drive_post(channel, task))
			fc_refs_drop(&base->refs); /* not the last: the caller has one */
	}
	fc_unlock(&channel->lock);
}

void
fc_call_hooks_begin(fc_client_call *call)
{
	farcall_call *base = &call->call;

	if (!fc_intercept_new(base, &call->channel->chain, NULL)) {
		fc_call_doom_by_memory(base, &base->kept);
		return;
	}
	base->intercept->resumed = resumed;
	if (fc_intercept_begin(base))
		join(call);
}

bool
fc_call_hooks_hold(fc_client_call *call)
{
	farcall_call *base = &call->call;

	if (base->intercept->joined)
		return false;
	fc_list_append(&call->channel->held, &call->in_list);
	if (fc_intercept_waits(base))
		return true;
	fc_list_remove(&call->in_list);
	if (join(call))
		return false;
	fc_call_end(call);
	return true;
}

bool
fc_call_hooks_held(const fc_client_call *call)
{
	const fc_intercept *record = call->call.intercept;

	return record != NULL && atomic_load(&record->phase) == FC_INTERCEPT_WAITS;
}

void
fc_call_hooks_done(fc_client_call *call)
{
	farcall_call *base = &call->call;

	if (base->code == FARCALL_OK && call->reply != NULL)
		fc_intercept_message(base, false, call->reply);
	fc_intercept_outcome(
	    base, base->code, base->cause, base->status_message, strlen(base->status_message));
	fc_intercept_end(base);
}
