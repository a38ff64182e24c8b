/*
 * hedge.c: several attempts at a time. The first goes at once, the next ones each a delay later, or
 * as soon as one has failed with a code that is not fatal. The first response's head decides: the
 * others are cancelled. A fatal failure ends all; what is not fatal is the outcome only when
 * nothing is left to try.
 */
#include "client/plan.h"

static void on_look(fc_task *task);

/* ---- shadows ---- */

/* Without a word to anybody: its attempt, if it has one, is cancelled. */
static void
drop(fc_client_call *shadow)
{
	atomic_store(&shadow->phase, FC_CALL_DONE);
	shadow->call.intercept = NULL;
	fc_attempt_drop(shadow, FARCALL_CANCELLED);
	if (shadow->waits)
		fc_picker_left(shadow);
	fc_list_remove(&shadow->in_list);
	fc_list_remove(&shadow->in_plan);
	fc_call_drop(&shadow->call);
}

static fc_client_call *
make_shadow(fc_plan *plan)
{
	fc_client_call *call = plan->call, *shadow = fc_call_take(call->channel);

	if (shadow == NULL)
		return NULL;
	atomic_store(&shadow->phase, FC_CALL_OPEN);
	shadow->call.started = true;
	shadow->call.method = call->call.method;
	shadow->call.deadline = call->call.deadline;
	shadow->waited_ms = call->waited_ms;
	shadow->wait_for_ready = call->wait_for_ready;
	shadow->rules = call->rules;
	shadow->payload = call->payload;
	shadow->call.coding = call->call.coding;
	shadow->call.plain = call->call.plain;
	if (plan->begun == 0) {
		shadow->call.head = call->call.head;
	} else if (!fc_plan_count(shadow, &call->call.head, plan->begun)) {
		fc_call_drop(&shadow->call);
		return NULL;
	}
	shadow->plan = plan;
	fc_list_append(&plan->shadows, &shadow->in_plan);
	return shadow;
}

bool
fc_hedge_in_flight(const fc_plan *plan)
{
	fc_list_each (item, next, (fc_list *)(uintptr_t)&plan->shadows)
		if (FC_CONTAINER(item, fc_client_call, in_plan)->stream != NULL)
			return true;
	return false;
}

/* ---- sending ---- */

static bool
may_send(const fc_plan *plan)
{
	return !plan->alone && plan->winner == NULL && plan->begun < plan->policy->attempts;
}

/* Begins the next one. It may end at once: that is looked at later. */
static void
send_one(fc_plan *plan)
{
	fc_client_call *shadow = make_shadow(plan);

	if (shadow == NULL) {
		plan->alone = true;
		fc_error_clear(&plan->last);
		fc_fail_memory(&plan->last, "hedge");
		return;
	}
	plan->begun++;
	fc_picker_take(plan->call->channel, shadow);
}

/* Sends what is due; the next one comes a delay later. Throttled, no more are sent at all. */
static void
send_due(fc_plan *plan)
{
	farcall_channel *channel = plan->call->channel;
	uint64_t delay = plan->policy->delay_ns, now = fc_channel_now(channel);

	do {
		if (plan->begun != 0 && !fc_throttle_is_open(channel))
			plan->alone = true;
		else
			send_one(plan);
	} while (delay == 0 && may_send(plan));
	if (!may_send(plan))
		fc_timer_stop(channel->loop, &plan->timer);
	else if (!fc_timer_start(channel->loop, &plan->timer,
	             delay < FC_NEVER - now ? now + delay : FC_NEVER - 1))
		plan->alone = true;
}

/* ---- looking at what has ended ---- */

static void
look_later(fc_plan *plan)
{
	farcall_channel *channel = plan->call->channel;

	if (plan->look.queued)
		return;
	channel->active++;
	fc_refs_hold(&plan->call->call.refs);
	plan->look.run = on_look;
	fc_loop_ready(channel->loop, &plan->look);
}

void
fc_hedge_head(fc_client_call *shadow)
{
	fc_plan *plan = shadow->plan;

	if (plan->winner != NULL)
		return;
	plan->winner = shadow;
	shadow->call.intercept = plan->call->call.intercept; /* it counts what arrives */
	look_later(plan);
}

void
fc_hedge_ended(fc_client_call *shadow)
{
	shadow->call.intercept = NULL;
	look_later(shadow->plan);
}

/* The call's outcome is the shadow's, which is kept for it. */
static void
show(fc_plan *plan, fc_client_call *shadow)
{
	fc_client_call *call = plan->call;
	farcall_call *base = &call->call;
	const farcall_call *from = &shadow->call;

	base->received = from->received;
	base->trailers = from->trailers;
	base->of_peer = from->of_peer;
	base->compressed = from->compressed;
	base->code = from->code;
	base->cause = from->cause;
	base->error = from->error;
	base->status_message = from->status_message;
	call->reply = shadow->reply;
	if (shadow->line != NULL && call->line == NULL) {
		fc_refs_hold(&shadow->line->refs);
		call->line = shadow->line;
	}
	if (plan->shown != NULL && plan->shown != shadow)
		fc_call_drop(&plan->shown->call);
	plan->shown = shadow;
	fc_call_end(call);
}

static int64_t
pushback_of(const fc_client_call *shadow)
{
	const char *text = farcall_metadata_get(&shadow->call.trailers, "grpc-retry-pushback-ms");

	return text != NULL ? fc_pushback_of_text(text, strlen(text)) : FC_PUSHBACK_NONE;
}

/* It has failed, and is not the winner. The next one goes now, or when the server says. */
static void
go_on_without(fc_plan *plan, fc_client_call *shadow, int64_t pushback)
{
	farcall_channel *channel = plan->call->channel;

	if (plan->shown != NULL)
		fc_call_drop(&plan->shown->call);
	plan->shown = shadow;
	fc_error_clear(&plan->last);
	fc_fail(
	    &plan->last, shadow->call.code, shadow->call.cause, "%s", shadow->call.status_message);
	if (pushback == FC_PUSHBACK_STOP || !fc_throttle_is_open(channel))
		plan->alone = true;
	if (!may_send(plan)) {
		fc_timer_stop(channel->loop, &plan->timer);
		return;
	}
	if (pushback > 0 &&
	    fc_timer_start(channel->loop, &plan->timer,
	        fc_channel_now(channel) + (uint64_t)pushback * FC_NS_PER_MS))
		return;
	send_due(plan);
}

static bool
is_fatal(const fc_plan *plan, const fc_client_call *shadow)
{
	return (plan->policy->codes >> shadow->call.code & 1) == 0;
}

/* Beside a winner there are no others left. true: the call has ended by it. */
static bool
judge(fc_plan *plan, fc_client_call *shadow)
{
	int64_t pushback = pushback_of(shadow);
	bool failed = shadow->call.code != FARCALL_OK, fatal = is_fatal(plan, shadow);

	fc_list_remove(&shadow->in_plan);
	if (failed && (!fatal || pushback == FC_PUSHBACK_STOP))
		fc_throttle_failure(plan->call->channel);
	if (shadow == plan->winner || fatal) {
		show(plan, shadow);
		return true;
	}
	go_on_without(plan, shadow, pushback);
	return false;
}

/* The winner's rivals need not go on. */
static void
cut(fc_plan *plan)
{
	fc_timer_stop(plan->call->channel->loop, &plan->timer);
	fc_list_each (item, next, &plan->shadows)
		if (item != &plan->winner->in_plan)
			drop(FC_CONTAINER(item, fc_client_call, in_plan));
}

/* Nothing is under way, and nothing will be. */
static void
give_up(fc_plan *plan)
{
	fc_client_call *last = plan->shown;

	if (last != NULL)
		show(plan, last);
	else
		fc_call_end_with(plan->call, plan->last.code, plan->last.cause, plan->last.text);
}

static void
look(fc_plan *plan)
{
	if (plan->winner != NULL)
		cut(plan);
	fc_list_each (item, next, &plan->shadows) {
		fc_client_call *shadow = FC_CONTAINER(item, fc_client_call, in_plan);

		if (atomic_load(&shadow->phase) == FC_CALL_DONE && judge(plan, shadow))
			return;
	}
	if (fc_list_empty(&plan->shadows) && plan->timer.at == 0)
		give_up(plan);
}

static void
on_look(fc_task *task)
{
	fc_plan *plan = FC_CONTAINER(task, fc_plan, look);
	fc_client_call *call = plan->call;
	farcall_channel *channel = call->channel;

	fc_channel_hold(channel);
	if (atomic_load(&call->phase) != FC_CALL_DONE)
		look(plan);
	channel->active--;
	fc_call_drop(&call->call);
	fc_channel_check_over(channel);
	fc_channel_drop(channel);
}

/* ---- the call ---- */

void
fc_hedge_begin(fc_plan *plan)
{
	fc_list_append(&plan->call->channel->planned, &plan->call->in_list);
	send_due(plan);
	if (fc_list_empty(&plan->shadows))
		give_up(plan);
}

void
fc_hedge_due(fc_plan *plan)
{
	send_due(plan);
	if (fc_list_empty(&plan->shadows))
		give_up(plan);
}

void
fc_hedge_stop(fc_plan *plan)
{
	fc_list *item;

	while ((item = plan->shadows.next) != &plan->shadows)
		drop(FC_CONTAINER(item, fc_client_call, in_plan));
	plan->winner = NULL;
}
