/*
 * flow_program.c: a streaming call's steps, as the program takes them, in its own threads. A
 * blocking step may wait; that of a step with a callback is taken when it is due, by whoever runs
 * callbacks, and callbacks never overlap. A callback that asks for the next message and finds it
 * there is called again in a loop, not deeper and deeper.
 */
#include "runtime/call/flow_inside.h"

#include "runtime/base/log.h"

#include <stdio.h>

#define CALLS_A_TURN 64

/* ---- sending ---- */

/* Packs into the draft, which must be empty. */
static farcall_code
pack(fc_flow *flow, const ProtobufCMessage *message, fc_error *error)
{
	fc_payload payload;
	uint32_t size;
	uint8_t *at;

	fc_buf_take(&flow->draft, fc_buf_size(&flow->draft)); /* what could not be sent */
	if (flow->call->out.state != FC_ARENA_OK)
		return fc_fail(error, FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_LIMIT,
		    "the memory for the message that was built has reached its cap");
	if (!fc_payload_of_message(&payload, message))
		return fc_fail(error, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_LIMIT,
		    "a message is nested deeper than %d", FC_MARSHAL_DEPTH);
	if (payload.size > flow->most_sent)
		return fc_fail(error, FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_TOO_LARGE,
		    "a message of %zu bytes is larger than %zu", payload.size, flow->most_sent);
	at = fc_buf_reserve(&flow->draft, FC_FLOW_HEAD + payload.size);
	if (at == NULL)
		return fc_fail(error, FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_OUT_OF_MEMORY,
		    "no memory for a message of %zu bytes", payload.size);
	size = (uint32_t)payload.size;
	memcpy(at, &size, sizeof size);
	payload.flat(&payload, at + FC_FLOW_HEAD);
	fc_buf_add(&flow->draft, FC_FLOW_HEAD + payload.size);
	return FARCALL_OK;
}

farcall_code
fc_flow_put(fc_flow *flow, const ProtobufCMessage *message, fc_error *error)
{
	farcall_code code = pack(flow, message, error);

	fc_arena_reset(&flow->call->out);
	if (code != FARCALL_OK)
		return code;
	fc_lock(&flow->lock);
	code = fc_flow_enqueue(flow);
	fc_unlock(&flow->lock);
	return code == FARCALL_OK
	    ? code
	    : fc_fail(error, code, FARCALL_CAUSE_OUT_OF_MEMORY, "no memory for a message");
}

/* The program takes the sender's place; not OK: it is taken, or nothing may be sent any more. */
static farcall_code
begin_send(fc_flow *flow, enum fc_step_state state)
{
	const char *why = NULL;

	fc_lock(&flow->lock);
	if (flow->send.state != FC_STEP_NONE)
		why = "a message is sent while another one is being sent";
	else if (flow->out_end)
		why = "a message is sent after the last one";
	else
		flow->send.state = state;
	fc_unlock(&flow->lock);
	if (why == NULL)
		return FARCALL_OK;
	fc_log(FARCALL_LOG_ERROR, "%s: misuse: %s", flow->call->method->path, why);
	return FARCALL_FAILED_PRECONDITION;
}

static farcall_code
refuse(fc_flow *flow, const fc_error *error)
{
	fc_log(FARCALL_LOG_ERROR, "%s: misuse: %s", flow->call->method->path, error->text);
	return error->code;
}

/* Locked, but for the wait: until `is_there`. */
static void
await(fc_flow *flow, bool (*is_there)(const fc_flow *flow), fc_cond *cond)
{
	while (!is_there(flow)) {
		bool turned;

		fc_unlock(&flow->lock);
		turned = flow->ops->turn(flow->call);
		fc_lock(&flow->lock);
		if (!turned && !is_there(flow))
			fc_cond_wait(cond, &flow->lock);
	}
}

static bool
may_write(const fc_flow *flow)
{
	return flow->over || fc_flow_has_room(flow);
}

static farcall_code
end_send(fc_flow *flow, farcall_code code)
{
	fc_lock(&flow->lock);
	flow->send.state = FC_STEP_NONE;
	fc_unlock(&flow->lock);
	return code;
}

farcall_code
fc_flow_send(fc_flow *flow, const ProtobufCMessage *message)
{
	farcall_code code;
	fc_error error;
	bool wake, starved;

	fc_error_clear(&error);
	if (flow->ops->may_block(flow->call, &error) != FARCALL_OK)
		return refuse(flow, &error);
	code = begin_send(flow, FC_STEP_BLOCKS);
	if (code != FARCALL_OK)
		return code;
	code = pack(flow, message, &error);
	fc_arena_reset(&flow->call->out);
	if (code != FARCALL_OK) {
		flow->ops->fail(flow->call, &error);
		return end_send(flow, code);
	}
	fc_lock(&flow->lock);
	await(flow, may_write, &flow->writable);
	code = fc_flow_enqueue(flow);
	flow->send.state = FC_STEP_NONE;
	starved = flow->starved;
	wake = code == FARCALL_OK && fc_flow_post(flow);
	fc_unlock(&flow->lock);
	if (wake)
		flow->ops->wake(flow->call);
	if (starved)
		fc_flow_starve(flow);
	return code;
}

void
fc_flow_send_async(fc_flow *flow, const ProtobufCMessage *message, const fc_then *then)
{
	farcall_code code = begin_send(flow, FC_STEP_BLOCKS);
	fc_error error;
	bool wake, starved;

	if (code != FARCALL_OK) {
		fc_then_call(then, flow->call, code, NULL);
		return;
	}
	fc_error_clear(&error);
	code = pack(flow, message, &error);
	fc_arena_reset(&flow->call->out);
	if (code != FARCALL_OK)
		flow->ops->fail(flow->call, &error);
	fc_lock(&flow->lock);
	flow->send.then = *then;
	flow->send.code = code;
	flow->send.state = FC_STEP_READY;
	if (code == FARCALL_OK && may_write(flow))
		flow->send.code = fc_flow_enqueue(flow);
	else if (code == FARCALL_OK)
		flow->send.state = FC_STEP_WAITS;
	starved = flow->starved;
	wake = fc_flow_post(flow);
	fc_unlock(&flow->lock);
	if (starved)
		fc_flow_starve(flow);
	if (wake)
		flow->ops->wake(flow->call);
}

void
fc_flow_finish_sending(fc_flow *flow)
{
	bool wake;

	fc_lock(&flow->lock);
	wake = !flow->out_end && fc_flow_post(flow);
	flow->out_end = true;
	fc_unlock(&flow->lock);
	if (wake)
		flow->ops->wake(flow->call);
}

/* ---- receiving ---- */

/* The program takes the receiver's place, for a message or the end. */
static farcall_code
begin_recv(fc_flow *flow, enum fc_step_state state, bool finish)
{
	bool taken;

	fc_lock(&flow->lock);
	taken = flow->recv.state != FC_STEP_NONE;
	if (!taken) {
		flow->recv.state = state;
		flow->recv.finish = finish;
	}
	fc_unlock(&flow->lock);
	if (!taken)
		return FARCALL_OK;
	fc_log(FARCALL_LOG_ERROR, "%s: misuse: two receive at once", flow->call->method->path);
	return FARCALL_FAILED_PRECONDITION;
}

/* Locked, the receiver. What it has taken is to be told to the owner. */
static void
note_consumed(fc_flow *flow)
{
	flow->taken += flow->consumed;
	flow->n_taken += flow->n_consumed;
	flow->consumed = 0;
	flow->n_consumed = 0;
}

/* The receiver, before it sleeps, or when it is much. */
static void
tell_consumed(fc_flow *flow)
{
	bool wake;

	if (flow->n_consumed == 0)
		return;
	fc_lock(&flow->lock);
	note_consumed(flow);
	wake = fc_flow_post(flow);
	fc_unlock(&flow->lock);
	if (wake)
		flow->ops->wake(flow->call);
}

static bool
may_read(const fc_flow *flow)
{
	return flow->over || flow->in_end || fc_flow_has_message(flow);
}

static bool
is_over(const fc_flow *flow)
{
	return flow->over;
}

/* Locked, the receiver. false: there is none; *code says why. */
static bool
next_message(fc_flow *flow, farcall_code *code)
{
	if (flow->dropped)
		fc_buf_fini(&flow->reading);
	if (fc_buf_size(&flow->reading) == 0)
		fc_flow_move(&flow->reading, &flow->queue);
	*code = flow->over && flow->code != FARCALL_OK ? flow->code : FARCALL_END;
	return fc_buf_size(&flow->reading) != 0;
}

static farcall_code
unpack(fc_flow *flow, const ProtobufCMessage **message, fc_error *error)
{
	farcall_call *call = flow->call;
	const ProtobufCMessageDescriptor *descriptor =
	    call->ops->server ? call->method->request : call->method->reply;
	fc_guard_limits limits = fc_guard_defaults;
	size_t size = fc_flow_first(&flow->reading, 0);
	const uint8_t *at = flow->reading.data + flow->reading.from + FC_FLOW_HEAD;
	ProtobufCMessage *unpacked = NULL;
	farcall_code code;

	fc_arena_reset(&call->in);
	limits.memory = call->in.most;
	code = fc_unpack(descriptor, at, size, &limits, &call->in, &unpacked, error);
	*message = unpacked;
	fc_buf_take(&flow->reading, FC_FLOW_HEAD + size);
	fc_flow_shrink(&flow->reading);
	flow->consumed += size;
	flow->n_consumed++;
	return code;
}

/* What does not parse is on a client the peer's fault, not an argument of the program's. */
static farcall_code
fail_unpack(fc_flow *flow, const fc_error *error)
{
	bool server = flow->call->ops->server;
	fc_error why;

	fc_error_clear(&why);
	fc_fail(&why,
	    server || error->code == FARCALL_RESOURCE_EXHAUSTED ? error->code : FARCALL_INTERNAL,
	    error->cause, "%s%s", server ? "" : "response: ", error->text);
	flow->ops->fail(flow->call, &why);
	return why.code;
}

/* The receiver. Takes the message that is there, or says why there is none. */
static farcall_code
take(fc_flow *flow, const ProtobufCMessage **message)
{
	farcall_code code;
	fc_error error;
	bool there;

	fc_lock(&flow->lock);
	there = next_message(flow, &code);
	fc_unlock(&flow->lock);
	if (!there)
		return code;
	fc_error_clear(&error);
	if (unpack(flow, message, &error) != FARCALL_OK) {
		*message = NULL;
		return fail_unpack(flow, &error);
	}
	if (flow->consumed >= flow->credit)
		tell_consumed(flow);
	return FARCALL_OK;
}

farcall_code
fc_flow_recv(fc_flow *flow, const ProtobufCMessage **message)
{
	const ProtobufCMessage *received = NULL;
	farcall_code code;
	fc_error error;

	fc_error_clear(&error);
	if (flow->ops->may_block(flow->call, &error) != FARCALL_OK)
		return refuse(flow, &error);
	code = begin_recv(flow, FC_STEP_BLOCKS, false);
	if (code != FARCALL_OK)
		return code;
	fc_lock(&flow->lock);
	if (!may_read(flow)) {
		fc_unlock(&flow->lock);
		tell_consumed(flow);
		fc_lock(&flow->lock);
		await(flow, may_read, &flow->readable);
	}
	fc_unlock(&flow->lock);
	code = take(flow, &received);
	if (code == FARCALL_OK && message != NULL)
		*message = received;
	fc_lock(&flow->lock);
	flow->recv.state = FC_STEP_NONE;
	fc_unlock(&flow->lock);
	return code;
}

/* What waits or comes is not wanted. */
static void
discard(fc_flow *flow)
{
	bool wake;

	fc_lock(&flow->lock);
	flow->discards = true;
	while (fc_flow_has_message(flow)) {
		size_t size;

		if (fc_buf_size(&flow->reading) == 0)
			fc_flow_move(&flow->reading, &flow->queue);
		size = fc_flow_first(&flow->reading, 0);
		fc_buf_take(&flow->reading, FC_FLOW_HEAD + size);
		flow->consumed += size;
		flow->n_consumed++;
	}
	fc_flow_shrink(&flow->reading);
	note_consumed(flow);
	flow->out_end = true;
	wake = fc_flow_post(flow);
	fc_unlock(&flow->lock);
	if (wake)
		flow->ops->wake(flow->call);
}

farcall_code
fc_flow_finish(fc_flow *flow)
{
	farcall_code code;
	fc_error error;

	fc_error_clear(&error);
	if (flow->ops->may_block(flow->call, &error) != FARCALL_OK)
		return refuse(flow, &error);
	code = begin_recv(flow, FC_STEP_BLOCKS, true);
	if (code != FARCALL_OK)
		return code;
	discard(flow);
	fc_lock(&flow->lock);
	await(flow, is_over, &flow->readable);
	code = flow->code;
	flow->recv.state = FC_STEP_NONE;
	fc_unlock(&flow->lock);
	return code;
}

/* ---- callbacks ---- */

void
fc_then_call(
    const fc_then *then, farcall_call *call, farcall_code code, const ProtobufCMessage *message)
{
	if (then->thunk != NULL)
		then->thunk(call, code, message, then->typed, then->data);
	else if (then->done != NULL)
		then->done(call, code, message, then->data);
}

/* The step waits; if it is due already, the owner is told, unless callbacks run: these look. */
static void
wait_for(fc_flow *flow, const fc_then *then)
{
	bool wake;

	fc_lock(&flow->lock);
	flow->recv.then = *then;
	flow->recv.state = FC_STEP_WAITS;
	note_consumed(flow);
	wake = (fc_flow_is_due(flow) ? !flow->calling : flow->n_taken != 0) && fc_flow_post(flow);
	fc_unlock(&flow->lock);
	if (wake)
		flow->ops->wake(flow->call);
}

void
fc_flow_recv_async(fc_flow *flow, const fc_then *then)
{
	farcall_code code = begin_recv(flow, FC_STEP_BLOCKS, false);

	if (code == FARCALL_OK)
		wait_for(flow, then);
	else
		fc_then_call(then, flow->call, code, NULL);
}

void
fc_flow_finish_async(fc_flow *flow, const fc_then *then)
{
	farcall_code code = begin_recv(flow, FC_STEP_BLOCKS, true);

	if (code != FARCALL_OK) {
		fc_then_call(then, flow->call, code, NULL);
		return;
	}
	discard(flow);
	wait_for(flow, then);
}

/* Those that are due now; the places are free again before their callbacks ask for more. */
static bool
call_due(fc_flow *flow)
{
	const ProtobufCMessage *message = NULL;
	fc_step sent, received;
	farcall_code code;

	fc_lock(&flow->lock);
	sent = flow->send;
	received = flow->recv;
	if (sent.state == FC_STEP_READY)
		flow->send.state = FC_STEP_NONE;
	sent.state = sent.state == FC_STEP_READY ? FC_STEP_READY : FC_STEP_NONE;
	received.state = FC_STEP_NONE;
	if (fc_flow_is_due(flow)) {
		received.state = FC_STEP_READY;
		flow->recv.state = FC_STEP_BLOCKS;
	}
	code = flow->code;
	fc_unlock(&flow->lock);
	if (sent.state == FC_STEP_READY)
		fc_then_call(&sent.then, flow->call, sent.code, NULL);
	if (received.state != FC_STEP_READY)
		return sent.state == FC_STEP_READY;
	if (received.finish)
		message = code == FARCALL_OK ? flow->reply : NULL;
	else
		code = take(flow, &message);
	fc_lock(&flow->lock);
	flow->recv.state = FC_STEP_NONE;
	fc_unlock(&flow->lock);
	fc_then_call(&received.then, flow->call, code, message);
	return true;
}

void
fc_flow_call_back(fc_flow *flow)
{
	bool wake;

	for (int i = 0; i < CALLS_A_TURN && call_due(flow); i++)
		continue;
	fc_lock(&flow->lock);
	flow->calling = false;
	wake = fc_flow_is_due(flow) && fc_flow_post(flow);
	fc_unlock(&flow->lock);
	if (wake)
		flow->ops->wake(flow->call);
}
