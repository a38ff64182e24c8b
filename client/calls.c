/*
 * calls.c: call objects: made, kept for the next call, and the shared ones that stand for a call
 * that could not be made. A warm call takes nothing from the heap.
 */
#include "client/internal.h"
#include "client/plan.h"

#include "runtime/base/alloc.h"
#include "runtime/loop/fork.h"

/* ---- calls that stand for none ---- */

static void
nil_nothing(farcall_call *call)
{
	(void)call;
}

static const char *
nil_peer(const farcall_call *call)
{
	(void)call;
	return "";
}

static bool
nil_peer_ids(const farcall_call *call, int64_t *uid, int64_t *gid, int64_t *pid)
{
	(void)call, (void)uid, (void)gid, (void)pid;
	return false;
}

static const fc_call_ops nil_ops = {
    .cancel = nil_nothing,
    .let_go = nil_nothing,
    .destroy = nil_nothing,
    .peer = nil_peer,
    .peer_ids = nil_peer_ids,
};

/* What could write to these shared objects finds a refusal that stands already. */
farcall_call fc_call_nil = {.ops = &nil_ops,
    .deadline = FC_NEVER,
    .lock = {ATOMIC_FLAG_INIT},
    .children = {&fc_call_nil.children, &fc_call_nil.children},
    .childless = true,
    .in = {.state = FC_ARENA_NO_MEMORY},
    .out = {.state = FC_ARENA_NO_MEMORY},
    .kept = {.state = FC_ARENA_NO_MEMORY},
    .doomed = true,
    .code = FARCALL_RESOURCE_EXHAUSTED,
    .cause = FARCALL_CAUSE_OUT_OF_MEMORY,
    .error = "RESOURCE_EXHAUSTED: call: out of memory",
    .status_message = ""};

farcall_call fc_call_no_channel = {.ops = &nil_ops,
    .deadline = FC_NEVER,
    .lock = {ATOMIC_FLAG_INIT},
    .children = {&fc_call_no_channel.children, &fc_call_no_channel.children},
    .childless = true,
    .in = {.state = FC_ARENA_NO_MEMORY},
    .out = {.state = FC_ARENA_NO_MEMORY},
    .kept = {.state = FC_ARENA_NO_MEMORY},
    .doomed = true,
    .code = FARCALL_FAILED_PRECONDITION,
    .error = "FAILED_PRECONDITION: the channel is NULL",
    .status_message = ""};

farcall_call fc_call_forked = {.ops = &nil_ops,
    .deadline = FC_NEVER,
    .lock = {ATOMIC_FLAG_INIT},
    .children = {&fc_call_forked.children, &fc_call_forked.children},
    .childless = true,
    .in = {.state = FC_ARENA_NO_MEMORY},
    .out = {.state = FC_ARENA_NO_MEMORY},
    .kept = {.state = FC_ARENA_NO_MEMORY},
    .doomed = true,
    .code = FARCALL_FAILED_PRECONDITION,
    .error = "FAILED_PRECONDITION: " FC_FORKED_TEXT,
    .status_message = FC_FORKED_TEXT};

/* ---- objects ---- */

/* All calls share one reference to the channel, which the first takes and the last gives back. */
static fc_client_call *
take_free(farcall_channel *channel)
{
	fc_client_call *call;

	fc_spin_lock(&channel->calls_lock);
	if (channel->n_calls++ == 0)
		fc_channel_hold(channel);
	call = channel->free_calls;
	if (call != NULL) {
		channel->free_calls = call->next_free;
		channel->n_free_calls--;
	}
	fc_spin_unlock(&channel->calls_lock);
	return call;
}

static fc_client_call *
make(farcall_channel *channel)
{
	fc_client_call *call = (fc_client_call *)fc_malloc(sizeof *call);

	if (call == NULL)
		return NULL;
	if (fc_waiter_init(&call->waiter, &fc_call_waiter_ops, NULL) != FARCALL_OK) {
		fc_free(call);
		return NULL;
	}
	fc_call_init(&call->call, &fc_client_call_ops, &channel->pool, channel->config.max_message,
	    &call->memory);
	return call;
}

static void
unmake(fc_client_call *call)
{
	fc_waiter_fini(&call->waiter);
	fc_free(call);
}

/* `call` may be NULL: it could not be made. */
static void
give_free(farcall_channel *channel, fc_client_call *call)
{
	bool keep, last;

	fc_spin_lock(&channel->calls_lock);
	last = --channel->n_calls == 0;
	keep = call != NULL && channel->n_free_calls < FC_CLIENT_KEEP_CALLS;
	if (keep) {
		call->next_free = channel->free_calls;
		channel->free_calls = call;
		channel->n_free_calls++;
	}
	fc_spin_unlock(&channel->calls_lock);
	if (!keep && call != NULL)
		unmake(call);
	if (last)
		fc_channel_drop(channel);
}

fc_client_call *
fc_call_take(farcall_channel *channel)
{
	fc_client_call *call = take_free(channel);

	if (call != NULL)
		fc_call_renew(&call->call, channel->config.max_message);
	else if ((call = make(channel)) == NULL) {
		give_free(channel, NULL);
		return NULL;
	}
	call->call.clock = fc_call_clock;
	call->call.coding = channel->coding;
	call->channel = channel;
	call->has_timeout = call->wait_for_ready = call->has_wait = false;
	call->rules = NULL;
	call->plan = NULL;
	call->child.parent = NULL;
	call->child.call = &call->call;
	fc_list_init(&call->child.in_parent);
	atomic_init(&call->phase, FC_CALL_IDLE);
	call->cancel_posted = false;
	fc_waiter_reset(&call->waiter, channel);
	call->deliver.queued = call->cancel.queued = false;
	fc_list_init(&call->in_list);
	fc_list_init(&call->in_plan);
	call->line = NULL;
	call->stream = NULL;
	call->retried = call->committed = call->sending = call->waits = call->async = false;
	call->waited_ms = 0;
	call->packed = NULL;
	call->reply = NULL;
	call->done = NULL;
	call->thunk = NULL;
	return call;
}

void
fc_call_destroy(farcall_call *base)
{
	fc_client_call *call = (fc_client_call *)base;

	if (FARCALL_UNLIKELY(base->intercept != NULL))
		fc_intercept_finish(base); /* a stream whose end nobody has asked for */
	fc_call_leave(&call->child);
	fc_call_forget_request(call);
	if (call->plan != NULL)
		fc_plan_free(call);
	if (FARCALL_UNLIKELY(base->flow != NULL))
		fc_flow_free(base->flow);
	fc_line_drop(call->line);
	fc_call_fini(base);
	give_free(call->channel, call);
}

void
fc_calls_free(farcall_channel *channel)
{
	while (channel->free_calls != NULL) {
		fc_client_call *call = channel->free_calls;

		channel->free_calls = call->next_free;
		unmake(call);
	}
}
