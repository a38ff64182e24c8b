/*
 * flow_program.c: a streaming call's steps, as the program takes them, in its own threads. A
 * blocking step may wait; that of a step with a callback is taken when it is due, by whoever runs
 * callbacks, and callbacks never overlap. A callback that asks for the next message and finds it
 * there is called again in a loop, not deeper and deeper.
 */
#include "runtime/call/flow_inside.h"
#include "runtime/call/intercept.h"

#include "runtime/base/log.h"
#include "runtime/protocol/grpc/coding.h"

#include <stdio.h>

#define CALLS_A_TURN 16 /* then what they have sent is written: the peer works meanwhile */

/* ---- places ---- */

/* The program takes the place of the sender or the receiver; false: it is taken. */
static bool
enter(atomic_bool *place)
{
	return !atomic_exchange_explicit(place, true, memory_order_acquire);
}

static void
leave(atomic_bool *place)
{
	atomic_store_explicit(place, false, memory_order_release);
}

static farcall_code
misuse(const fc_flow *flow, const char *what)
{
	fc_log(FARCALL_LOG_ERROR, "%s: misuse: %s", flow->call->method->path, what);
	return FARCALL_FAILED_PRECONDITION;
}

/* The step must not wait here. */
static farcall_code
refuse(const fc_flow *flow, const fc_error *error)
{
	misuse(flow, error->text);
	return error->code;
}

/* Locked, but for the wait: until `is_there`. Not OK: it is not, and must not be waited for. */
static farcall_code
await(fc_flow *flow, fc_step *step, bool (*is_there)(const fc_flow *flow), fc_cond *cond,
    fc_error *error)
{
	while (!is_there(flow)) {
		bool turned = false;
		farcall_code code;

		fc_unlock(&flow->lock);
		code = flow->ops->turn(flow->call, &turned, error);
		fc_lock(&flow->lock);
		if (turned || is_there(flow))
			continue;
		if (code != FARCALL_OK)
			return code;
		step->state = FC_STEP_BLOCKS;
		fc_cond_wait(cond, &flow->lock);
		step->state = FC_STEP_NONE;
	}
	return FARCALL_OK;
}

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
	fc_intercept_message(flow->call, true, message);
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
	size = (uint32_t)payload.size | (flow->call->plain ? FC_FLOW_MARK : 0);
	memcpy(at, &size, sizeof size);
	payload.flat(&payload, at + FC_FLOW_HEAD);
	fc_intercept_count(flow->call, true, payload.size);
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

static bool
may_write(const fc_flow *flow)
{
	return flow->over || fc_flow_has_room(flow);
}

static bool
sends_no_more(fc_flow *flow)
{
	bool ended;

	fc_lock(&flow->lock);
	ended = flow->out_end;
	fc_unlock(&flow->lock);
	return ended;
}

static const char two_send[] = "a message is sent while another one is being sent";
static const char after_last[] = "a message is sent after the last one";

/* The sender. Packs into the draft; what cannot be sent ends the call. */
static farcall_code
prepare(fc_flow *flow, const ProtobufCMessage *message)
{
	farcall_code code;
	fc_error error;

	fc_error_clear(&error);
	code = pack(flow, message, &error);
	fc_arena_reset(&flow->call->out);
	if (code == FARCALL_OK)
		return code;
	if (sends_no_more(flow))
		return misuse(flow, after_last);
	flow->ops->fail(flow->call, &error);
	return code;
}

/* The sender: the draft, when there is room for it. */
static farcall_code
send_draft(fc_flow *flow)
{
	farcall_code code = FARCALL_OK, refused = FARCALL_OK;
	bool wake = false, starved = false, ended;
	fc_error error;

	fc_error_clear(&error);
	fc_lock(&flow->lock);
	ended = flow->out_end;
	if (!ended) {
		flow->drafted = true;
		refused = await(flow, &flow->send, may_write, &flow->writable, &error);
		flow->drafted = false;
	}
	if (!ended && refused == FARCALL_OK) {
		code = fc_flow_enqueue(flow);
		starved = flow->starved;
		wake = code == FARCALL_OK && fc_flow_post(flow);
	}
	fc_unlock(&flow->lock);
	if (ended)
		return misuse(flow, after_last);
	if (refused != FARCALL_OK)
		return refuse(flow, &error);
	if (wake)
		flow->ops->wake(flow->call);
	if (starved)
		fc_flow_starve(flow);
	return code;
}

farcall_code
fc_flow_send(fc_flow *flow, const ProtobufCMessage *message)
{
	farcall_code code;
	fc_error error;

	fc_error_clear(&error);
	if (flow->ops->may_block(flow->call, &error) != FARCALL_OK)
		return refuse(flow, &error);
	if (!enter(&flow->has_sender))
		return misuse(flow, two_send);
	code = prepare(flow, message);
	if (code == FARCALL_OK)
		code = send_draft(flow);
	leave(&flow->has_sender);
	return code;
}

/* The sender: its step is ready, with this, or with what comes of the draft. */
static void
send_later(fc_flow *flow, farcall_code code, const fc_then *then)
{
	bool wake, starved;

	fc_lock(&flow->lock);
	flow->send.then = *then;
	flow->send.code = code;
	flow->send.state = FC_STEP_READY;
	if (code == FARCALL_OK && may_write(flow))
		flow->send.code = fc_flow_enqueue(flow);
	else if (code == FARCALL_OK) {
		flow->drafted = true;
		flow->send.state = FC_STEP_WAITS;
	}
	starved = flow->starved;
	wake = fc_flow_post(flow);
	fc_unlock(&flow->lock);
	if (starved)
		fc_flow_starve(flow);
	if (wake)
		flow->ops->wake(flow->call);
}

void
fc_flow_send_async(fc_flow *flow, const ProtobufCMessage *message, const fc_then *then)
{
	if (!enter(&flow->has_sender)) {
		fc_then_call(then, flow->call, misuse(flow, two_send), NULL);
	} else if (sends_no_more(flow)) {
		leave(&flow->has_sender);
		fc_then_call(then, flow->call, misuse(flow, after_last), NULL);
	} else {
		send_later(flow, prepare(flow, message), then);
	}
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

static const char two_receive[] = "two receive at once";

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
is_dropped(const fc_flow *flow)
{
	return atomic_load_explicit(&flow->dropped, memory_order_acquire);
}

static bool
is_over(const fc_flow *flow)
{
	return flow->over;
}

/* The receiver. false: there is none; *code says why. One that it has of the queue costs no lock.
 */
static bool
next_message(fc_flow *flow, farcall_code *code)
{
	if (fc_buf_size(&flow->reading) != 0 && !is_dropped(flow))
		return true;
	fc_lock(&flow->lock);
	if (is_dropped(flow))
		fc_buf_fini(&flow->reading);
	if (fc_buf_size(&flow->reading) == 0)
		fc_flow_move(&flow->reading, &flow->queue);
	*code = flow->over && flow->code != FARCALL_OK ? flow->code : FARCALL_END;
	fc_unlock(&flow->lock);
	return fc_buf_size(&flow->reading) != 0;
}

/* The first message, or what it inflates to: then that is in `plain`. */
static farcall_code
inflate(fc_flow *flow, const uint8_t **at, size_t *size, fc_buf *plain, fc_error *error)
{
	farcall_call *call = flow->call;

	*size = fc_flow_first(&flow->reading, 0);
	*at = flow->reading.data + flow->reading.from + FC_FLOW_HEAD;
	fc_buf_init(plain, flow->reading.pool, 0);
	call->compressed = fc_flow_marked(&flow->reading, 0);
	if (FARCALL_LIKELY(!call->compressed))
		return FARCALL_OK;
	if (fc_inflate(flow->coding, *at, *size, flow->max_message, plain, error) == FARCALL_OK) {
		*at = plain->data;
		*size = fc_buf_size(plain);
	}
	return error->code;
}

static farcall_code
unpack(fc_flow *flow, const ProtobufCMessage **message, fc_error *error)
{
	farcall_call *call = flow->call;
	const ProtobufCMessageDescriptor *descriptor =
	    call->ops->server ? call->method->request : call->method->reply;
	fc_guard_limits limits = fc_guard_defaults;
	size_t wire_size = fc_flow_first(&flow->reading, 0), size = 0;
	ProtobufCMessage *unpacked = NULL;
	const uint8_t *at = NULL;
	farcall_code code;
	fc_buf plain;

	fc_arena_reset(&call->in);
	limits.memory = call->in.most;
	code = inflate(flow, &at, &size, &plain, error);
	if (code == FARCALL_OK)
		fc_intercept_count(call, false, size);
	if (code == FARCALL_OK)
		code = fc_unpack(descriptor, at, size, &limits, &call->in, &unpacked, error);
	fc_buf_fini(&plain);
	*message = unpacked;
	fc_buf_take(&flow->reading, FC_FLOW_HEAD + wire_size);
	fc_flow_shrink(&flow->reading);
	flow->consumed += wire_size;
	flow->n_consumed++;
	return code;
}

/* A client's call may have ended well for the wire before its last messages are looked at: then
 * this is how it has ended. What stands is what every later step answers, too. */
static farcall_code
spoil(fc_flow *flow, const fc_error *why)
{
	farcall_code code;

	fc_lock(&flow->lock);
	if (flow->code == FARCALL_OK) {
		fc_call_spoil(flow->call, why);
		flow->code = why->code;
	}
	code = flow->code;
	fc_buf_fini(&flow->queue);
	atomic_store_explicit(&flow->dropped, true, memory_order_release);
	fc_unlock(&flow->lock);
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
	return server ? why.code : spoil(flow, &why);
}

/* The program of a client learns of the end, and so do its hooks; a server's learn elsewhere. */
static void
tell_end(fc_flow *flow)
{
	farcall_call *call = flow->call;

	if (FARCALL_LIKELY(call->intercept == NULL) || call->ops->server)
		return;
	if (flow->reply != NULL && call->code == FARCALL_OK)
		fc_intercept_message(call, false, flow->reply);
	fc_intercept_finish(call);
}

/* The receiver. Takes the message that is there, or says why there is none. */
static farcall_code
take(fc_flow *flow, const ProtobufCMessage **message)
{
	farcall_code code;
	fc_error error;

	if (!next_message(flow, &code)) {
		tell_end(flow);
		return code;
	}
	fc_error_clear(&error);
	if (unpack(flow, message, &error) != FARCALL_OK) {
		*message = NULL;
		code = fail_unpack(flow, &error);
		tell_end(flow);
		return code;
	}
	fc_intercept_message(flow->call, false, *message);
	if (flow->consumed >= flow->credit)
		tell_consumed(flow);
	return FARCALL_OK;
}

/* The receiver: until there is a message, or an end. */
static farcall_code
await_message(fc_flow *flow, fc_error *error)
{
	farcall_code code;
	bool there;

	if (fc_buf_size(&flow->reading) != 0)
		return FARCALL_OK;
	fc_lock(&flow->lock);
	there = may_read(flow);
	fc_unlock(&flow->lock);
	if (there)
		return FARCALL_OK;
	tell_consumed(flow);
	fc_lock(&flow->lock);
	code = await(flow, &flow->recv, may_read, &flow->readable, error);
	fc_unlock(&flow->lock);
	return code;
}

/* A blocking step of the receiver's; ended by leave(). */
static farcall_code
begin_receiving(fc_flow *flow, fc_error *error)
{
	fc_error_clear(error);
	if (flow->ops->may_block(flow->call, error) != FARCALL_OK)
		return refuse(flow, error);
	return enter(&flow->has_receiver) ? FARCALL_OK : misuse(flow, two_receive);
}

farcall_code
fc_flow_recv(fc_flow *flow, const ProtobufCMessage **message)
{
	const ProtobufCMessage *received = NULL;
	farcall_code code;
	fc_error error;

	code = begin_receiving(flow, &error);
	if (code != FARCALL_OK)
		return code;
	code = await_message(flow, &error);
	if (code != FARCALL_OK)
		refuse(flow, &error);
	else if ((code = take(flow, &received)) == FARCALL_OK && message != NULL)
		*message = received;
	leave(&flow->has_receiver);
	return code;
}

static bool
has_head(const fc_flow *flow)
{
	return flow->headed || flow->over;
}

/* Locked. What has come in place of a head, or OK. */
static farcall_code
head_code(const fc_flow *flow)
{
	if (flow->headed)
		return FARCALL_OK;
	return flow->code != FARCALL_OK ? flow->code : FARCALL_END;
}

farcall_code
fc_flow_recv_head(fc_flow *flow)
{
	farcall_code code;
	fc_error error;

	code = begin_receiving(flow, &error);
	if (code != FARCALL_OK)
		return code;
	fc_lock(&flow->lock);
	code = await(flow, &flow->recv, has_head, &flow->readable, &error);
	if (code == FARCALL_OK)
		code = head_code(flow);
	fc_unlock(&flow->lock);
	if (code != FARCALL_OK)
		tell_end(flow);
	leave(&flow->has_receiver);
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

	code = begin_receiving(flow, &error);
	if (code != FARCALL_OK)
		return code;
	discard(flow);
	fc_lock(&flow->lock);
	code = await(flow, &flow->recv, is_over, &flow->readable, &error);
	if (code == FARCALL_OK)
		code = flow->code;
	fc_unlock(&flow->lock);
	tell_end(flow);
	leave(&flow->has_receiver);
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

/* The receiver's step waits; if it is due already, the owner is told, unless callbacks run: these
 * look. */
static void
wait_for(fc_flow *flow, const fc_then *then, enum fc_step_wish wish)
{
	bool wake;

	fc_lock(&flow->lock);
	flow->recv.then = *then;
	flow->recv.wish = wish;
	flow->recv.state = FC_STEP_WAITS;
	note_consumed(flow);
	wake = (fc_flow_is_due(flow) ? !flow->calling : flow->n_taken != 0) && fc_flow_post(flow);
	fc_unlock(&flow->lock);
	if (wake)
		flow->ops->wake(flow->call);
}

static void
recv_async(fc_flow *flow, const fc_then *then, enum fc_step_wish wish)
{
	if (enter(&flow->has_receiver))
		wait_for(flow, then, wish);
	else
		fc_then_call(then, flow->call, misuse(flow, two_receive), NULL);
}

void
fc_flow_recv_async(fc_flow *flow, const fc_then *then)
{
	recv_async(flow, then, FC_WISH_MESSAGE);
}

void
fc_flow_recv_head_async(fc_flow *flow, const fc_then *then)
{
	recv_async(flow, then, FC_WISH_HEAD);
}

void
fc_flow_finish_async(fc_flow *flow, const fc_then *then)
{
	if (!enter(&flow->has_receiver)) {
		fc_then_call(then, flow->call, misuse(flow, two_receive), NULL);
		return;
	}
	discard(flow);
	wait_for(flow, then, FC_WISH_END);
}

/* Locked. Takes the step out, if it is `due`. */
static fc_step
take_step(fc_step *step, bool due)
{
	fc_step taken = *step;

	taken.state = due ? FC_STEP_READY : FC_STEP_NONE;
	if (due)
		step->state = FC_STEP_NONE;
	return taken;
}

/* Those that are due now; the places are free again before their callbacks ask for more. */
static bool
call_due(fc_flow *flow)
{
	const ProtobufCMessage *message = NULL;
	fc_step sent, received;
	farcall_code code;

	fc_lock(&flow->lock);
	sent = take_step(&flow->send, flow->send.state == FC_STEP_READY);
	received = take_step(&flow->recv, fc_flow_is_due(flow));
	code = received.wish == FC_WISH_HEAD ? head_code(flow) : flow->code;
	fc_unlock(&flow->lock);
	if (sent.state == FC_STEP_READY) {
		leave(&flow->has_sender);
		fc_then_call(&sent.then, flow->call, sent.code, NULL);
	}
	if (received.state != FC_STEP_READY)
		return sent.state == FC_STEP_READY;
	if (received.wish == FC_WISH_MESSAGE)
		code = take(flow, &message);
	else if (received.wish == FC_WISH_END && code == FARCALL_OK)
		message = flow->reply;
	if (received.wish == FC_WISH_END || (received.wish == FC_WISH_HEAD && code != FARCALL_OK))
		tell_end(flow);
	leave(&flow->has_receiver);
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
