/*
 * plan.c: the rules of a service config for one call; retries; throttling. A retry comes after a
 * pause that grows, or when the server says (pushback); the budget of tokens that all calls of a
 * channel share stops retries while a server fails most of what it is sent.
 *
 * A request of an async call is packed and kept for further attempts, within bounds: past them the
 * call has the attempt that is under way, and no other. A blocking call keeps none: its message
 * stands, and is packed again. A stream's messages are kept by its flow, until the bound or the
 * response's head; all that it may keep is reserved at its start.
 */
#include "client/plan.h"

#include <inttypes.h>
#include <stdio.h>

#define PREVIOUS "grpc-previous-rpc-attempts"
#define PUSHBACK "grpc-retry-pushback-ms"

/* ---- at the start ---- */

static void on_due(fc_timer *timer);

static void
make(fc_client_call *call, const fc_policy *policy)
{
	fc_block *block = fc_pool_get(&call->channel->pool, sizeof *block + sizeof(fc_plan));
	fc_plan *plan;

	if (block == NULL) {
		fc_call_settle(&call->call, FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_OUT_OF_MEMORY,
		    "retries: out of memory", sizeof "retries: out of memory" - 1);
		return;
	}
	plan = (fc_plan *)(block + 1);
	memset(plan, 0, sizeof *plan);
	plan->block = block;
	plan->call = call;
	plan->policy = policy;
	plan->pause = (double)policy->first_ns;
	fc_timer_init(&plan->timer, on_due);
	fc_list_init(&plan->shadows);
	call->plan = plan;
}

void
fc_plan_configure(fc_client_call *call)
{
	const fc_method_config *rules =
	    fc_service_config_find(call->channel->service, call->call.method->path);

	if (rules == NULL)
		return;
	call->rules = rules;
	if (rules->has_wait && !call->has_wait)
		call->wait_for_ready = rules->wait_for_ready;
	if (!call->has_timeout)
		call->timeout_ns = call->channel->timeout_ns;
	call->timeout_ns = FC_MIN(call->timeout_ns, rules->timeout_ns);
	call->has_timeout = true;
	if (rules->policy.attempts != 0 &&
	    (!rules->policy.hedges || call->call.method->shape == FARCALL_UNARY))
		make(call, &rules->policy);
}

void
fc_plan_set_flow(fc_client_call *call)
{
	fc_flow *flow = call->call.flow;

	flow->most_sent = FC_MIN(flow->most_sent, call->rules->max_request);
	if (call->plan != NULL)
		flow->replay = call->channel->keep_call;
}

bool
fc_plan_refuse(farcall_call *call, size_t size, const fc_method_config *rules)
{
	char text[96];

	snprintf(text, sizeof text, "request: %zu bytes are more than %" PRIu32, size,
	    rules->max_request);
	fc_call_settle(
	    call, FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_TOO_LARGE, text, strlen(text));
	return false;
}

void
fc_plan_free(fc_client_call *call)
{
	fc_plan *plan = call->plan;

	if (plan == NULL || plan->call != call)
		return;
	if (plan->shown != NULL)
		fc_call_drop(&plan->shown->call);
	fc_pool_put(&call->channel->pool, plan->block);
	call->plan = NULL;
}

bool
fc_plan_is_shadow(const fc_client_call *call)
{
	return call->plan != NULL && call->plan->call != call;
}

/* ---- what is kept ---- */

static void
keep_request(fc_plan *plan)
{
	farcall_channel *channel = plan->call->channel;
	size_t size = plan->call->packed_text.size;

	if (plan->call->call.flow != NULL)
		size = channel->keep_call;
	else if (plan->call->packed == NULL)
		return;
	if (size > channel->keep_call || size > channel->keep_most - channel->kept) {
		plan->alone = true;
		return;
	}
	plan->kept = size;
	channel->kept += size;
}

static void
forget_request(fc_plan *plan)
{
	plan->call->channel->kept -= plan->kept;
	plan->kept = 0;
}

bool
fc_plan_takes(fc_client_call *call)
{
	fc_plan *plan = call->plan;

	if (plan->call != call || plan->begun != 0)
		return false;
	keep_request(plan);
	if (plan->policy->hedges && !plan->alone) {
		fc_hedge_begin(plan);
		return true;
	}
	plan->begun = 1;
	return false;
}

void
fc_plan_commit(fc_client_call *call)
{
	if (fc_plan_is_shadow(call)) {
		fc_hedge_head(call);
		return;
	}
	call->plan->alone = true;
	forget_request(call->plan);
}

void
fc_plan_stop(fc_client_call *call)
{
	fc_plan *plan = call->plan;

	if (plan->call != call)
		return;
	if (plan->timer.at != 0)
		fc_timer_stop(call->channel->loop, &plan->timer);
	forget_request(plan);
	fc_hedge_stop(plan);
}

bool
fc_plan_describe_wait(const fc_client_call *call, char *to, size_t room)
{
	const fc_plan *plan = call->plan;

	if (plan->timer.at == 0 || plan->last.code == FARCALL_OK || fc_hedge_in_flight(plan))
		return false;
	snprintf(to, room, "after %" PRIu64 " ms, waiting to try again (attempt %u of %u: %s: %s)",
	    call->waited_ms, plan->begun, plan->policy->attempts,
	    farcall_code_name(plan->last.code), plan->last.text);
	return true;
}

/* ---- metadata ---- */

bool
fc_plan_count(fc_client_call *call, const fc_pairs *head, unsigned before)
{
	static const char digits[] = "0123456789";
	fc_arena *arena =
	    call->call.flow != NULL ? &call->call.flow->wire : &call->call.kept; /* the owner's */
	fc_pairs *to = &call->call.head;
	fc_pair *at;

	if (head->n != 0 && head->at[head->n - 1].name_size == sizeof PREVIOUS - 1 &&
	    memcmp(head->at[head->n - 1].name, PREVIOUS, sizeof PREVIOUS - 1) == 0) {
		to->at[to->n - 1].value = digits + before % 10;
		return true;
	}
	at = (fc_pair *)fc_arena_alloc(arena, (head->n + 1) * sizeof *at);
	if (at == NULL)
		return false;
	if (head->n != 0)
		memcpy(at, head->at, head->n * sizeof *at);
	at[head->n] = (fc_pair){PREVIOUS, digits + before % 10, sizeof PREVIOUS - 1, 1, 0};
	to->at = at;
	to->n = to->room = head->n + 1;
	return true;
}

/* Whole milliseconds of 31 bits; what is none says the same as a negative one. */
int64_t
fc_pushback_of_text(const char *text, size_t size)
{
	int64_t ms = 0;

	if (size == 0 || size > 10)
		return FC_PUSHBACK_STOP;
	for (size_t i = 0; i < size; i++) {
		if (text[i] < '0' || text[i] > '9')
			return FC_PUSHBACK_STOP;
		ms = ms * 10 + (text[i] - '0');
	}
	return ms <= INT32_MAX ? ms : FC_PUSHBACK_STOP;
}

int64_t
fc_pushback_of_pairs(size_t n, const fc_pair *pairs)
{
	for (size_t i = 0; i < n; i++)
		if (pairs[i].name_size == sizeof PUSHBACK - 1 &&
		    memcmp(pairs[i].name, PUSHBACK, sizeof PUSHBACK - 1) == 0)
			return fc_pushback_of_text(pairs[i].value, pairs[i].value_size);
	return FC_PUSHBACK_NONE;
}

/* ---- throttling ---- */

void
fc_throttle_success(farcall_channel *channel)
{
	const fc_service_config *service = channel->service;

	channel->tokens = FC_MIN(service->max_tokens, channel->tokens + service->token_ratio);
}

void
fc_throttle_failure(farcall_channel *channel)
{
	channel->tokens -= FC_MIN(channel->tokens, 1000u);
}

bool
fc_throttle_is_open(const farcall_channel *channel)
{
	unsigned most = channel->service->max_tokens;

	return most == 0 || channel->tokens > most / 2;
}

/* ---- retries ---- */

static void
on_due(fc_timer *timer)
{
	fc_plan *plan = FC_CONTAINER(timer, fc_plan, timer);
	fc_client_call *call = plan->call;
	farcall_channel *channel = call->channel;

	fc_channel_hold(channel);
	if (plan->policy->hedges) {
		fc_hedge_due(plan);
	} else {
		fc_list_remove(&call->in_list);
		plan->begun++;
		fc_picker_take(channel, call);
	}
	fc_channel_check_over(channel);
	fc_channel_drop(channel);
}

static uint64_t
next_pause(fc_plan *plan)
{
	const fc_policy *policy = plan->policy;
	uint64_t pause = policy->most_ns;

	if (plan->pause < (double)pause)
		pause = (uint64_t)plan->pause;
	plan->pause *= policy->multiplier;
	return fc_backoff_jitter(&plan->call->channel->sub.backoff, pause);
}

/* The next attempt begins later. false: it cannot. */
static bool
rest(fc_plan *plan, int64_t pushback)
{
	fc_client_call *call = plan->call;
	farcall_channel *channel = call->channel;
	uint64_t now = fc_channel_now(channel), pause;

	if (!fc_plan_count(call, &call->call.head, plan->begun))
		return false;
	if (pushback >= 0) {
		pause = (uint64_t)pushback * FC_NS_PER_MS;
		plan->pause = (double)plan->policy->first_ns;
	} else {
		pause = next_pause(plan);
	}
	if (!fc_timer_start(
	        channel->loop, &plan->timer, pause < FC_NEVER - now ? now + pause : FC_NEVER - 1))
		return false;
	call->sending = call->retried = false;
	if (call->call.flow != NULL)
		fc_flow_again(call->call.flow);
	if (call->waits)
		fc_picker_left(call);
	fc_list_remove(&call->in_list);
	fc_list_append(&channel->planned, &call->in_list);
	return true;
}

/* What counts as a failure is counted also when nothing is tried again. */
static bool
goes_on(fc_client_call *call, farcall_code code, int64_t pushback)
{
	fc_plan *plan = call->plan;
	farcall_channel *channel = call->channel;
	bool may = (plan->policy->codes >> code & 1) != 0;

	if (may || pushback == FC_PUSHBACK_STOP)
		fc_throttle_failure(channel);
	if (!may || pushback == FC_PUSHBACK_STOP || !fc_throttle_is_open(channel) ||
	    call->committed || plan->alone ||
	    (call->call.flow != NULL && !fc_flow_may_replay(call->call.flow)) ||
	    plan->begun >= plan->policy->attempts || channel->shut)
		return false;
	return rest(plan, pushback);
}

static bool
has_retries(const fc_client_call *call)
{
	return call->plan != NULL && call->plan->call == call && !call->plan->policy->hedges;
}

bool
fc_plan_tail(fc_client_call *call, const fc_tail *tail)
{
	fc_plan *plan = call->plan;

	if (tail->code == FARCALL_OK) {
		fc_throttle_success(call->channel);
		return false;
	}
	if (!has_retries(call) ||
	    !goes_on(call, tail->code, fc_pushback_of_pairs(tail->n_metadata, tail->metadata)))
		return false;
	fc_error_clear(&plan->last);
	fc_fail(&plan->last, tail->code, tail->cause, "%.*s", (int)FC_MIN(tail->message.size, 200),
	    tail->message.at != NULL ? tail->message.at : "");
	return true;
}

bool
fc_plan_lost(fc_client_call *call, farcall_code code, farcall_cause cause, const char *text)
{
	if (!has_retries(call) || !goes_on(call, code, FC_PUSHBACK_NONE))
		return false;
	fc_error_clear(&call->plan->last);
	fc_fail(&call->plan->last, code, cause, "%s", text);
	return true;
}
