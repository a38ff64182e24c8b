/*
 * invoke.c: making a call, setting it up, starting it. The request of a blocking call is packed
 * from the program's own message, which stands while its thread waits; that of an async call is
 * packed here, in the program's thread, and kept until the server has answered.
 */
#include "client/internal.h"
#include "client/plan.h"

#include "runtime/loop/fork.h"

#include "runtime/base/log.h"

/* ---- set-up ---- */

farcall_call *
farcall_call_new(farcall_channel *channel)
{
	fc_client_call *call;
	fc_error error;

	if (channel == NULL)
		return &fc_call_no_channel;
	if (channel->nil)
		return &fc_call_nil;
	if (fc_forked(channel->forks))
		return &fc_call_forked;
	atomic_store_explicit(&channel->used, true, memory_order_relaxed);
	call = fc_call_take(channel);
	if (call == NULL)
		return &fc_call_nil;
	fc_error_clear(&error);
	if (fc_channel_failure(channel, &error) != FARCALL_OK)
		fc_call_settle_error(&call->call, &error);
	return &call->call;
}

/* The call, while it may be set up; NULL: it has started, which is misuse, or is none of ours.
 * While it is under way its outcome is not ours to write, so there is only the log line. */
static fc_client_call *
in_setup(farcall_call *base, const char *step)
{
	fc_client_call *call = (fc_client_call *)base;

	if (base == NULL || (base->ops != &fc_client_call_ops && base->code != FARCALL_OK))
		return NULL;
	if (base->ops != &fc_client_call_ops) {
		fc_call_misuse(base, step);
		return NULL;
	}
	if (atomic_load(&call->phase) == FC_CALL_IDLE)
		return call;
	if (atomic_load(&call->phase) == FC_CALL_OPEN)
		fc_log(FARCALL_LOG_ERROR, "%s: misuse: %s", base->method->path, step);
	else
		fc_call_misuse(base, step);
	return NULL;
}

void
farcall_call_set_timeout_ms(farcall_call *base, uint64_t ms)
{
	fc_client_call *call =
	    in_setup(base, "set time-out: the call has started, or is a server's");

	if (call == NULL)
		return;
	call->has_timeout = true;
	call->timeout_ns = ms < FC_NEVER / FC_NS_PER_MS ? ms * FC_NS_PER_MS : FC_NEVER;
}

void
farcall_call_set_wait_for_ready(farcall_call *base, bool wait)
{
	fc_client_call *call =
	    in_setup(base, "set wait for ready: the call has started, or is a server's");

	if (call == NULL)
		return;
	call->has_wait = true;
	call->wait_for_ready = wait;
}

/* Through parents that have not started, whose own set-up is the program's as this one is: those
 * that have, hold nobody for good. */
static bool
descends_from(const farcall_call *base, const farcall_call *ancestor)
{
	while (base != NULL && base != ancestor && base->ops == &fc_client_call_ops) {
		fc_client_call *call = (fc_client_call *)(uintptr_t)base;

		if (atomic_load(&call->phase) != FC_CALL_IDLE)
			return false;
		base = call->child.parent;
	}
	return base == ancestor;
}

void
farcall_call_set_parent(farcall_call *base, const farcall_call *parent)
{
	fc_client_call *call = in_setup(base, "set parent: the call has started, or is a server's");
	farcall_call *held = (farcall_call *)(uintptr_t)parent;

	if (call == NULL || parent == base)
		return;
	if (descends_from(parent, base)) {
		fc_call_misuse(base, "set parent: the parent is a child of the call");
		return;
	}
	if (held != NULL)
		fc_refs_hold(&held->refs);
	fc_call_leave(&call->child);
	call->child.parent = held;
}

/* ---- the start ---- */

static uint64_t
later(uint64_t now, uint64_t ns)
{
	return ns < FC_NEVER - now ? now + ns : FC_NEVER;
}

/* The earliest of the call's own, or the channel's, and the parent's. */
static void
set_deadline(fc_client_call *call)
{
	uint64_t ns = call->has_timeout ? call->timeout_ns : call->channel->timeout_ns;
	const farcall_call *parent = call->child.parent;
	uint64_t now;

	if (parent != NULL && parent->deadline != FC_NEVER) {
		now = parent->clock();
		ns = FC_MIN(ns, parent->deadline > now ? parent->deadline - now : 0);
	}
	if (ns == FC_NEVER)
		return;
	call->waited_ms = ns / FC_NS_PER_MS + (ns % FC_NS_PER_MS != 0);
	call->call.deadline = later(fc_channel_now(call->channel), ns);
	call->waiter.deadline = call->call.deadline;
}

static void
check_unary(farcall_call *call, const ProtobufCMessage *request)
{
	if (call->method->shape != FARCALL_UNARY)
		fc_call_misuse(call, "invoke is for unary methods");
	else if (request == NULL)
		fc_call_misuse(call, "the request is NULL");
	else if (request->descriptor != call->method->request)
		fc_call_misuse(call, "the request is a message of another type");
}

/* While the call is under way its outcome is not ours to write. */
static farcall_code
used_twice(farcall_call *base, int phase)
{
	if (phase == FC_CALL_DONE && farcall_call_code(base) != FARCALL_OK)
		return farcall_call_code(base);
	if (phase == FC_CALL_DONE)
		return fc_call_misuse(base, "a call is used once");
	fc_log(FARCALL_LOG_ERROR, "%s: misuse: a call is used once",
	    base->method != NULL ? base->method->path : "call");
	return FARCALL_FAILED_PRECONDITION;
}

fc_client_call *
fc_call_open(farcall_call *base, const farcall_method *method, const ProtobufCMessage *request,
    fc_check *check, farcall_code *code)
{
	fc_client_call *call = (fc_client_call *)base;
	int idle = FC_CALL_IDLE;

	if (base == NULL || (base->ops != &fc_client_call_ops && base->code == FARCALL_OK)) {
		*code = fc_call_misuse(base, "start or invoke: not a client's call");
		return NULL;
	}
	*code = base->code;
	if (base->ops != &fc_client_call_ops)
		return NULL;
	if (method == NULL) {
		*code = fc_call_misuse(base, "the method is NULL");
		return NULL;
	}
	if (!atomic_compare_exchange_strong(&call->phase, &idle, FC_CALL_OPEN)) {
		*code = used_twice(base, idle);
		return NULL;
	}
	base->started = true;
	base->method = method;
	if (base->code == FARCALL_OK)
		check(base, request);
	if (base->code == FARCALL_OK && call->channel->service != NULL)
		fc_plan_configure(call);
	if (base->code == FARCALL_OK)
		set_deadline(call);
	if (base->code == FARCALL_OK && call->child.parent != NULL && !fc_call_adopt(&call->child))
		atomic_store(&base->cancelled, true);
	if (FARCALL_UNLIKELY(call->channel->chain.n != 0) && base->code == FARCALL_OK)
		fc_call_hooks_begin(call);
	return call;
}

/* false: the call has failed. */
static bool
set_payload(farcall_call *base, fc_payload *payload, const ProtobufCMessage *request)
{
	static const char why[] = "request: nested too deep";
	const fc_method_config *rules = ((fc_client_call *)base)->rules;

	fc_intercept_message(base, true, request);
	if (fc_payload_of_message(payload, request)) {
		if (rules != NULL && payload->size > rules->max_request)
			return fc_plan_refuse(base, payload->size, rules);
		fc_intercept_count(base, true, payload->size);
		return rules == NULL || payload->size <= rules->max_request ||
		    fc_plan_refuse(base, payload->size, rules);
	}
	fc_call_settle(base, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_LIMIT, why, sizeof why - 1);
	return false;
}

void
fc_call_end_unbegun(fc_client_call *call, const fc_error *error)
{
	fc_call_settle_error(&call->call, error);
	atomic_store(&call->phase, FC_CALL_DONE);
	fc_call_forget_request(call);
	fc_call_end_children(&call->call);
	fc_call_leave(&call->child);
	fc_call_drop(&call->call);
}

farcall_code
farcall_call_invoke(farcall_call *base, const farcall_method *method,
    const ProtobufCMessage *request, const ProtobufCMessage **reply)
{
	farcall_code code;
	fc_client_call *call = fc_call_open(base, method, request, check_unary, &code);
	fc_error error;

	if (call == NULL)
		return code;
	fc_error_clear(&error);
	fc_refs_hold(&base->refs);
	if (base->code == FARCALL_OK)
		set_payload(base, &call->payload, request);
	if (base->code != FARCALL_OK ||
	    fc_drive(call->channel, &call->waiter, &error) != FARCALL_OK)
		fc_call_end_unbegun(call, &error);
	if (FARCALL_UNLIKELY(base->intercept != NULL))
		fc_call_hooks_done(call);
	if (base->code == FARCALL_OK && reply != NULL)
		*reply = call->reply;
	return base->code;
}

/* ---- without blocking ---- */

/* Where the request is packed to: what is left of the memory lent to the call, or a block that is
 * given back as soon as it is of no more use. NULL: no memory. */
static uint8_t *
room_for(fc_client_call *call, size_t size)
{
	uint8_t *room = NULL;

	if (call->plan == NULL)
		room = (uint8_t *)fc_arena_spare(&call->call.out, size);
	if (room != NULL)
		return room;
	call->packed = fc_pool_get(&call->channel->pool, sizeof(fc_block) + size);
	return call->packed != NULL ? (uint8_t *)(call->packed + 1) : NULL;
}

/* The program may change its message at once. */
static void
pack(fc_client_call *call, const ProtobufCMessage *request)
{
	farcall_call *base = &call->call;
	fc_payload payload;
	uint8_t *to;

	if (!set_payload(base, &payload, request))
		return;
	to = room_for(call, payload.size);
	if (to == NULL) {
		fc_call_settle(base, FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_OUT_OF_MEMORY,
		    "request: out of memory", sizeof "request: out of memory" - 1);
		return;
	}
	payload.flat(&payload, to);
	call->packed_text.at = (const char *)to;
	call->packed_text.size = payload.size;
	fc_payload_of_bytes(&call->payload, &call->packed_text);
}

/* A failure that is known already takes the same way, so that `done` comes where it always comes.
 */
static void
start_async(fc_client_call *call, const ProtobufCMessage *request)
{
	farcall_call *base = &call->call;
	fc_error error;

	call->async = true;
	fc_error_clear(&error);
	if (base->code == FARCALL_OK)
		pack(call, request);
	fc_refs_hold(&base->refs);
	if (fc_drive_async(call->channel, &call->waiter, &error) == FARCALL_OK)
		return;
	fc_refs_hold(&base->refs);
	fc_call_end_unbegun(call, &error);
	fc_call_tell(call);
	fc_call_drop(base);
}

void
farcall_call_invoke_async(farcall_call *base, const farcall_method *method,
    const ProtobufCMessage *request, farcall_done *done, void *data)
{
	farcall_code code;
	fc_client_call *call = fc_call_open(base, method, request, check_unary, &code);

	if (call == NULL) {
		if (done != NULL)
			done(base, code, NULL, data);
		return;
	}
	call->done = done;
	call->data = data;
	start_async(call, request);
}

void
farcall_call_invoke_typed(farcall_call *base, const farcall_method *method,
    const ProtobufCMessage *request, farcall_thunk *thunk, farcall_function *done, void *data)
{
	farcall_code code;
	fc_client_call *call = fc_call_open(base, method, request, check_unary, &code);

	if (call == NULL) {
		if (thunk != NULL)
			thunk(base, code, NULL, done, data);
		return;
	}
	call->thunk = thunk;
	call->typed_done = done;
	call->data = data;
	start_async(call, request);
}
