/*
 * call.c: a call as the program sees it: IDLE, then OPEN, then DONE, each once. What begins, ends
 * and expires it runs with the owner of the loop; cancel comes from any thread, by post.
 *
 * `done` of an async call comes once, in the step of the lent loop or in the channel's thread.
 * There is one exception: where the call cannot even be begun because there is no loop to run it
 * (out of memory, the channel closed or failed), it comes before farcall_call_invoke_async()
 * returns.
 */
#include "client/internal.h"
#include "client/plan.h"

#include "runtime/base/log.h"
#include "runtime/loop/fork.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- its end ---- */

uint64_t
fc_call_clock(void)
{
	return uv_hrtime();
}

void
fc_call_forget_request(fc_client_call *call)
{
	fc_pool_put(&call->channel->pool, call->packed);
	call->packed = NULL;
}

bool
fc_call_is_late(const fc_client_call *call)
{
	return call->call.deadline != FC_NEVER &&
	    fc_channel_now(call->channel) >= call->call.deadline;
}

static void
on_deliver(fc_task *task)
{
	fc_client_call *call = FC_CONTAINER(task, fc_client_call, deliver);
	farcall_channel *channel = call->channel;

	fc_call_tell(call);
	channel->active--; /* the call keeps it */
	if (FARCALL_LIKELY(!channel->shut)) {
		fc_call_drop(&call->call);
		return;
	}
	fc_channel_hold(channel);
	fc_call_drop(&call->call);
	fc_channel_check_over(channel);
	fc_channel_drop(channel);
}

void
fc_call_tell(fc_client_call *call)
{
	farcall_call *base = &call->call;
	const ProtobufCMessage *reply = base->code == FARCALL_OK ? call->reply : NULL;

	if (FARCALL_UNLIKELY(base->intercept != NULL))
		fc_call_hooks_done(call);
	if (call->thunk != NULL)
		call->thunk(base, base->code, reply, call->typed_done, call->data);
	else if (call->done != NULL)
		call->done(base, base->code, reply, call->data);
}

/* Nothing of it is left on a line, a list or a timer. */
static void
take_apart(fc_client_call *call)
{
	atomic_store_explicit(&call->phase, FC_CALL_DONE, memory_order_release);
	fc_attempt_drop(call, call->call.code);
	if (FARCALL_UNLIKELY(call->waits))
		fc_picker_left(call);
	fc_list_remove(&call->in_list);
	if (call->plan != NULL)
		fc_plan_stop(call);
	fc_call_forget_request(call);
	fc_call_end_children(&call->call);
	fc_call_leave(&call->child);
}

static void
end(fc_client_call *call)
{
	farcall_channel *channel = call->channel;

	take_apart(call);
	if (call->plan != NULL && fc_plan_is_shadow(call)) {
		fc_hedge_ended(call);
		return;
	}
	if (call->async) {
		fc_timer_stop(channel->loop, &call->waiter.timer);
		if (call->call.flow != NULL) {
			fc_stream_over(call);
			return;
		}
		call->deliver.run = on_deliver;
		fc_drive_deliver(channel, &call->deliver);
		return;
	}
	channel->active--;
	fc_waiter_done(&call->waiter);
	fc_call_drop(&call->call);
}

void
fc_call_end(fc_client_call *call)
{
	if (atomic_load(&call->phase) != FC_CALL_DONE)
		end(call);
}

void
fc_call_end_with(fc_client_call *call, farcall_code code, farcall_cause cause, const char *text)
{
	fc_call_settle(&call->call, code, cause, text, strlen(text));
	fc_call_end(call);
}

static bool
is_in_flight(const fc_client_call *call)
{
	return call->stream != NULL || (call->plan != NULL && fc_hedge_in_flight(call->plan));
}

void
fc_call_end_late(fc_client_call *call)
{
	farcall_channel *channel = call->channel;
	char text[FC_ERROR_TEXT * 2];

	if (FARCALL_UNLIKELY(fc_call_hooks_held(call)))
		snprintf(text, sizeof text, "after %" PRIu64 " ms, waiting for an interceptor",
		    call->waited_ms);
	else if (call->committed && call->call.flow != NULL)
		snprintf(text, sizeof text, "after %" PRIu64 " ms, waiting for %s to end the call",
		    call->waited_ms, channel->address.text);
	else if (call->plan == NULL || !fc_plan_describe_wait(call, text, sizeof text))
		fc_channel_describe_wait(
		    channel, is_in_flight(call), call->waited_ms, text, sizeof text);
	fc_call_end_with(call, FARCALL_DEADLINE_EXCEEDED, FARCALL_CAUSE_TIMED_OUT, text);
}

static void
end_cancelled(fc_client_call *call)
{
	fc_call_end_with(
	    call, FARCALL_CANCELLED, FARCALL_CAUSE_NONE, "the call was cancelled by its caller");
}

/* ---- what the owner does ---- */

/* A stream may have been ended by its program before this. */
static void
begin(fc_waiter *waiter)
{
	fc_client_call *call = FC_CONTAINER(waiter, fc_client_call, waiter);
	farcall_channel *channel = call->channel;

	channel->active++;
	if (call->call.code != FARCALL_OK)
		end(call);
	else if (atomic_load(&call->call.cancelled))
		end_cancelled(call);
	else if (channel->shut)
		fc_call_end_with(
		    call, FARCALL_CANCELLED, FARCALL_CAUSE_SHUTDOWN, "the channel has been closed");
	else if (fc_call_is_late(call))
		fc_call_end_late(call);
	else if (FARCALL_LIKELY(call->call.intercept == NULL) || !fc_call_hooks_hold(call))
		fc_picker_take(channel, call);
}

static void
expire(fc_waiter *waiter)
{
	fc_call_end_late(FC_CONTAINER(waiter, fc_client_call, waiter));
}

static void
no_memory(fc_waiter *waiter)
{
	static const char text[] = "out of memory";
	fc_client_call *call = FC_CONTAINER(waiter, fc_client_call, waiter);

	if (waiter->begun) {
		fc_call_end_with(
		    call, FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_OUT_OF_MEMORY, text);
		return;
	}
	call->channel->active++;
	fc_call_settle(&call->call, FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_OUT_OF_MEMORY, text,
	    sizeof text - 1);
	end(call);
}

const fc_waiter_ops fc_call_waiter_ops = {begin, expire, no_memory};

static void
on_cancel(fc_task *task)
{
	fc_client_call *call = FC_CONTAINER(task, fc_client_call, cancel);
	farcall_channel *channel = call->channel;

	fc_channel_hold(channel);
	fc_drive_took(channel);
	if (call->waiter.begun && atomic_load(&call->phase) == FC_CALL_OPEN)
		end_cancelled(call);
	fc_call_drop(&call->call);
	fc_channel_check_over(channel);
	fc_channel_drop(channel);
}

/* ---- what any thread does ---- */

/* In a callback nothing that the program does next, such as a half-close, overtakes it on its way
 * to the owner: these take the same way. */
static bool
post_cancel(fc_client_call *call)
{
	farcall_channel *channel = call->channel;

	if (!fc_loop_inside(channel->loop))
		return fc_drive_post(channel, &call->cancel);
	atomic_fetch_add(&channel->posted, 1);
	fc_loop_ready(channel->loop, &call->cancel);
	return true;
}

/* Either this sees the call open, and posts; or the call, when it begins, sees `cancelled`. The
 * post may overtake that of the call's start, which is then still to come: it must find the call as
 * it was. */
static void
cancel(farcall_call *base)
{
	fc_client_call *call = (fc_client_call *)base;
	farcall_channel *channel = call->channel;

	if (fc_forked(channel->forks))
		return;
	atomic_store(&base->cancelled, true);
	fc_lock(&channel->lock);
	if (atomic_load(&call->phase) == FC_CALL_OPEN && !call->cancel_posted) {
		call->cancel.run = on_cancel;
		fc_refs_hold(&base->refs);
		call->cancel_posted = post_cancel(call);
		if (!call->cancel_posted)
			fc_refs_drop(&base->refs); /* not the last: the caller has one */
	}
	fc_unlock(&channel->lock);
}

static void
let_go(farcall_call *base)
{
	const fc_client_call *call = (const fc_client_call *)base;

	if (fc_forked(call->channel->forks))
		fc_refs_hold(
		    &base->refs); /* for good: what it would be given back to is not ours */
	else if (atomic_load(&call->phase) == FC_CALL_OPEN)
		cancel(base);
}

static bool
is_open(const farcall_call *base)
{
	return atomic_load(&((const fc_client_call *)base)->phase) == FC_CALL_OPEN;
}

static bool
ended(const farcall_call *base)
{
	return atomic_load(&((const fc_client_call *)base)->phase) == FC_CALL_DONE;
}

/* The head of a streaming call's response stands in it. */
static bool
headed(const farcall_call *base)
{
	const fc_client_call *call = (const fc_client_call *)base;

	return atomic_load_explicit(&call->streaming.headed, memory_order_acquire);
}

/* The program may ask while the owner still looks for a line that serves the call. */
static const fc_line *
line_of(const fc_client_call *call)
{
	const farcall_call *base = &call->call;

	return (base->flow != NULL && headed(base)) || !is_open(base) ? call->line : NULL;
}

static const char *
peer(const farcall_call *base)
{
	const fc_line *line = line_of((const fc_client_call *)base);

	return line != NULL ? line->peer.text : "";
}

static bool
peer_ids(const farcall_call *base, int64_t *uid, int64_t *gid, int64_t *pid)
{
	const fc_line *line = line_of((const fc_client_call *)base);

	if (line == NULL || !line->peer.has_ids)
		return false;
	if (uid != NULL)
		*uid = line->peer.uid;
	if (gid != NULL)
		*gid = line->peer.gid;
	if (pid != NULL)
		*pid = line->peer.pid;
	return true;
}

const fc_call_ops fc_client_call_ops = {
    .cancel = cancel,
    .let_go = let_go,
    .destroy = fc_call_destroy,
    .open = is_open,
    .ended = ended,
    .headed = headed,
    .peer = peer,
    .peer_ids = peer_ids,
};
