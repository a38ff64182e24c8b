/*
 * streams.c: a client's streaming calls: their start, their end as the program asks for it, and
 * what their flow (runtime/call/flow.h) wants of this side. A stream is run by the owner of the
 * channel's loop: its own thread, which the first stream starts, or whoever turns a lent loop.
 *
 * Where nobody turns the loop any more, after the channel was closed, the flow has ended and is
 * pumped under the channel's lock; callbacks then come inside the program's own call.
 */
#include "client/internal.h"
#include "client/plan.h"

#include "runtime/base/log.h"
#include "runtime/loop/crew.h"
#include "runtime/loop/fork.h"

#define CREDIT(window) ((window) / 4) /* taken, before the owner is woken to credit it */
#define GIVEN_A_WRITE 8u /* so many messages of a pump do not wait for the turn's end */

static fc_client_call *
call_of(farcall_call *base)
{
	return (fc_client_call *)base;
}

/* ---- what the flow wants: the owner to look at it ---- */

static void
run_pump(fc_task *task)
{
	fc_client_call *call = FC_CONTAINER(task, fc_client_call, streaming.pump);
	farcall_channel *channel = call->channel;

	fc_drive_took(channel);
	fc_channel_hold(channel);
	call->streaming.given = 0;
	fc_flow_pump(call->call.flow);
	if (call->streaming.given >= GIVEN_A_WRITE && call->stream != NULL)
		fc_conn_write_early(&call->line->conn);
	fc_call_drop(&call->call);
	fc_channel_check_over(channel);
	fc_channel_drop(channel);
}

static bool
post_pump(fc_client_call *call)
{
	farcall_channel *channel = call->channel;
	bool posted;

	fc_lock(&channel->lock);
	posted = fc_drive_post(channel, &call->streaming.pump);
	fc_unlock(&channel->lock);
	return posted;
}

/* While nobody drives the holder of the lock counts as the owner. */
static void
pump_here(fc_client_call *call)
{
	fc_streaming *streaming = &call->streaming;
	farcall_channel *channel = call->channel;
	bool call_here;

	fc_lock(&channel->lock);
	streaming->alone = true;
	fc_flow_pump(call->call.flow);
	call_here = streaming->call_here;
	streaming->alone = streaming->call_here = false;
	fc_unlock(&channel->lock);
	if (call_here)
		fc_flow_call_back(call->call.flow);
}

static void
wake(farcall_call *base)
{
	fc_client_call *call = call_of(base);
	farcall_channel *channel = call->channel;
	fc_error error;

	if (fc_forked(channel->forks))
		return; /* the loop is the parent's */
	fc_refs_hold(&base->refs);
	if (fc_loop_inside(channel->loop)) {
		atomic_fetch_add(&channel->posted, 1);
		fc_loop_ready(channel->loop, &call->streaming.pump);
		return;
	}
	if (post_pump(call))
		return;
	fc_error_clear(&error);
	if (fc_drive_need(channel, &error) == FARCALL_OK && post_pump(call))
		return;
	pump_here(call);
	fc_call_drop(base);
}

/* ---- callbacks ---- */

static void
run_tell(fc_task *task)
{
	fc_client_call *call = FC_CONTAINER(task, fc_client_call, streaming.tell);
	farcall_channel *channel = call->channel;

	fc_channel_hold(channel);
	fc_flow_call_back(call->call.flow);
	channel->active--;
	fc_call_drop(&call->call);
	fc_channel_check_over(channel);
	fc_channel_drop(channel);
}

static void
call_back(farcall_call *base)
{
	fc_client_call *call = call_of(base);

	if (call->streaming.alone) {
		call->streaming.call_here = true;
		return;
	}
	fc_refs_hold(&base->refs);
	call->channel->active++;
	fc_drive_deliver(call->channel, &call->streaming.tell);
}

/* ---- waiting ---- */

static farcall_code
may_block(farcall_call *base, fc_error *error)
{
	return fc_drive_may_block(call_of(base)->channel, error);
}

/* A lent loop is turned by the one thread that steps it, which now waits. The call's deadline is a
 * timer of the loop's. */
static farcall_code
turn(farcall_call *base, bool *turned, fc_error *error)
{
	farcall_channel *channel = call_of(base)->channel;

	(void)error;
	if (!channel->lent) {
		fc_crew_block_begin();
	} else if (channel->loop != NULL) {
		fc_loop_turn(channel->loop, FC_NEVER);
		*turned = true;
	}
	return FARCALL_OK;
}

/* ---- the wire ---- */

static fc_send
take_to_wire(farcall_call *base, const fc_payload *payload, bool last)
{
	fc_client_call *call = call_of(base);
	fc_line *line = call->line;
	fc_send sent;

	if (call->stream == NULL)
		return FC_SEND_GONE;
	fc_call_compress(base, call->stream, base->plain_now);
	sent = line->conn.ops->send_message(line->conn.engine, call->stream, payload, last);
	call->streaming.given++;
	fc_line_touch(line);
	return sent;
}

static void
emptied(farcall_call *base, bool said)
{
	fc_client_call *call = call_of(base);
	fc_line *line = call->line;

	if (said || call->stream == NULL)
		return;
	if (line->conn.ops->half_close(line->conn.engine, call->stream) == FC_SEND_NO_MEMORY)
		fc_call_end_with(call, FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_OUT_OF_MEMORY,
		    fc_cause_text(FARCALL_CAUSE_OUT_OF_MEMORY));
	else
		fc_line_touch(line);
}

static void
taken(farcall_call *base, size_t size)
{
	fc_client_call *call = call_of(base);
	fc_line *line = call->line;

	if (call->stream == NULL)
		return;
	line->conn.ops->taken(line->conn.engine, call->stream, size);
	fc_line_touch(line);
}

/* ---- the program ends it ---- */

typedef struct failing {
	fc_task task;
	fc_client_call *call;
	const fc_error *error;
	bool done; /* under the channel's lock */
} failing;

/* What has not begun is begun yet, and finds that it is over. */
static void
end_now(fc_client_call *call, const fc_error *error)
{
	farcall_call *base = &call->call;

	if (atomic_load(&call->phase) != FC_CALL_OPEN)
		return;
	if (call->waiter.begun) {
		fc_call_end_with(call, error->code, error->cause, error->text);
		return;
	}
	fc_call_settle_error(base, error);
	atomic_store(&call->phase, FC_CALL_DONE);
	fc_flow_shut(base->flow, base->code, true);
}

/* Once it is done, whoever waits for it may free the call. */
static void
run_fail(fc_task *task)
{
	failing *failure = FC_CONTAINER(task, failing, task);
	fc_client_call *call = failure->call;
	farcall_channel *channel = call->channel;

	fc_drive_took(channel);
	fc_channel_hold(channel);
	end_now(call, failure->error);
	fc_lock(&channel->lock);
	failure->done = true;
	fc_cond_broadcast(&call->waiter.cond);
	fc_unlock(&channel->lock);
	fc_channel_check_over(channel);
	fc_channel_drop(channel);
}

static void
fail_by_owner(fc_client_call *call, const fc_error *error)
{
	farcall_channel *channel = call->channel;
	failing failure = {.task = {.run = run_fail}, .call = call, .error = error};

	fc_lock(&channel->lock);
	if (fc_drive_post(channel, &failure.task))
		while (!failure.done)
			fc_cond_wait(&call->waiter.cond, &channel->lock);
	fc_unlock(&channel->lock);
}

static void
fail(farcall_call *base, const fc_error *error)
{
	fc_client_call *call = call_of(base);
	farcall_channel *channel = call->channel;

	if (fc_forked(channel->forks))
		return;
	if (channel->lent || fc_loop_inside(channel->loop)) {
		fc_channel_hold(channel);
		end_now(call, error);
		fc_channel_check_over(channel);
		fc_channel_drop(channel);
	} else {
		fail_by_owner(call, error);
	}
}

static const fc_flow_ops flow_ops = {
    .wake = wake,
    .may_block = may_block,
    .turn = turn,
    .call_back = call_back,
    .send = take_to_wire,
    .taken = taken,
    .emptied = emptied,
    .fail = fail,
};

/* ---- what the owner does ---- */

void
fc_stream_open(fc_client_call *call)
{
	call->stream->raw = call->call.method->shape != FARCALL_CLIENT_STREAM;
	fc_refs_hold(&call->call.refs);
	fc_flow_open(call->call.flow);
	fc_call_drop(&call->call);
}

void
fc_stream_sent(fc_client_call *call)
{
	fc_refs_hold(&call->call.refs);
	fc_flow_sent(call->call.flow);
	fc_call_drop(&call->call);
}

void
fc_stream_over(fc_client_call *call)
{
	farcall_channel *channel = call->channel;

	fc_flow_shut(call->call.flow, call->call.code, !call->streaming.tail);
	channel->active--;
	fc_call_drop(&call->call);
}

/* ---- the start ---- */

static void
check_start(farcall_call *call, const ProtobufCMessage *request)
{
	const farcall_method *method = call->method;

	if (method->shape == FARCALL_UNARY)
		fc_call_misuse(call, "start is for streaming methods");
	else if (method->shape != FARCALL_SERVER_STREAM && request != NULL)
		fc_call_misuse(call, "start: the requests of this method are sent one by one");
	else if (method->shape == FARCALL_SERVER_STREAM && request == NULL)
		fc_call_misuse(call, "the request is NULL");
	else if (request != NULL && request->descriptor != method->request)
		fc_call_misuse(call, "the request is a message of another type");
}

static void
make_flow(fc_client_call *call)
{
	farcall_channel *channel = call->channel;
	farcall_call *base = &call->call;
	fc_error error;

	memset(&call->streaming, 0, sizeof call->streaming);
	call->streaming.pump.run = run_pump;
	call->streaming.tell.run = run_tell;
	atomic_init(&call->streaming.headed, false);
	call->async = true;
	fc_error_clear(&error);
	base->flow = fc_flow_new(
	    base, &flow_ops, &channel->pool, CREDIT(channel->config.stream_window), &error);
	if (base->flow == NULL)
		fc_call_settle_error(base, &error);
	else if (call->rules != NULL)
		fc_plan_set_flow(call);
}

/* The one request of a server stream. It waits in the flow, which nobody else has yet. */
static void
put_request(farcall_call *base, const ProtobufCMessage *request)
{
	fc_error error;

	fc_error_clear(&error);
	base->flow->out_end = true;
	if (fc_flow_put(base->flow, request, &error) != FARCALL_OK)
		fc_call_settle_error(base, &error);
}

farcall_code
farcall_call_start(
    farcall_call *base, const farcall_method *method, const ProtobufCMessage *request)
{
	farcall_code code;
	fc_client_call *call = fc_call_open(base, method, request, check_start, &code);
	fc_error error;

	if (call == NULL)
		return code;
	if (method->shape != FARCALL_UNARY)
		make_flow(call);
	if (base->code == FARCALL_OK && request != NULL)
		put_request(base, request);
	fc_refs_hold(&base->refs);
	fc_error_clear(&error);
	if (base->code == FARCALL_OK &&
	    fc_drive_async(call->channel, &call->waiter, &error) == FARCALL_OK)
		return FARCALL_OK;
	fc_call_end_unbegun(call, &error);
	if (base->flow != NULL)
		fc_flow_shut(base->flow, base->code, true);
	if (FARCALL_UNLIKELY(base->intercept != NULL))
		fc_call_hooks_done(call);
	return base->code;
}

/* ---- the end, as the program asks for it ---- */

/* NULL: *code says what to answer. While the call is under way its outcome is not ours to write. */
static fc_flow *
flow_of(farcall_call *base, farcall_code *code)
{
	static const char why[] = "finish: not a client's streaming call that has started";

	*code = FARCALL_FAILED_PRECONDITION;
	if (base == NULL || base->ops->server) {
		fc_call_misuse(base, why);
	} else if (base->flow != NULL) {
		return base->flow;
	} else if (base->ops == &fc_client_call_ops &&
	    atomic_load(&call_of(base)->phase) == FC_CALL_OPEN) {
		fc_log(FARCALL_LOG_ERROR, "%s: misuse: %s", base->method->path, why);
	} else if (base->code != FARCALL_OK) {
		*code = base->code;
	} else {
		fc_call_misuse(base, why);
	}
	return NULL;
}

farcall_code
farcall_call_finish(farcall_call *call, const ProtobufCMessage **reply)
{
	farcall_code code;
	fc_flow *flow = flow_of(call, &code);

	if (flow == NULL)
		return code;
	code = fc_flow_finish(flow);
	if (code == FARCALL_OK && reply != NULL && flow->reply != NULL)
		*reply = flow->reply;
	return code;
}

void
farcall_call_finish_async(farcall_call *call, farcall_done *done, void *data)
{
	const fc_then then = {.done = done, .data = data};
	farcall_code code;
	fc_flow *flow = flow_of(call, &code);

	if (flow != NULL)
		fc_flow_finish_async(flow, &then);
	else
		fc_then_call(&then, call, code, NULL);
}

void
farcall_call_finish_typed(
    farcall_call *call, farcall_thunk *thunk, farcall_function *done, void *data)
{
	const fc_then then = {.thunk = thunk, .typed = done, .data = data};
	farcall_code code;
	fc_flow *flow = flow_of(call, &code);

	if (flow != NULL)
		fc_flow_finish_async(flow, &then);
	else
		fc_then_call(&then, call, code, NULL);
}
