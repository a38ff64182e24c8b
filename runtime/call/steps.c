/*
 * steps.c: the steps of a streaming call that both sides have: who may take them is checked here;
 * the rest is flow.c's. A step on a call that has failed already answers that failure.
 */
#include "runtime/call/flow.h"

#include "runtime/base/log.h"

/* Shapes, by bit, whose calls may be sent to and received from, on a client and on a server. */
#define CAN(shape) (1u << FARCALL_##shape##_STREAM)
static const unsigned sends[] = {CAN(CLIENT) | CAN(BIDI), CAN(SERVER) | CAN(BIDI)};
static const unsigned receives[] = {CAN(SERVER) | CAN(BIDI), CAN(CLIENT) | CAN(BIDI)};

/* While the call is under way its outcome is not the program's to write: there is a log line. */
static farcall_code
misuse(farcall_call *call, const char *what)
{
	if (call == NULL || call->flow == NULL)
		return fc_call_misuse(call, what);
	fc_log(FARCALL_LOG_ERROR, "%s: misuse: %s", call->method->path, what);
	return FARCALL_FAILED_PRECONDITION;
}

/* The flow, if the step may be taken; else NULL, and *code is the answer. */
static fc_flow *
flow_of(farcall_call *call, const unsigned *shapes, const char *wrong, farcall_code *code)
{
	if (call == NULL)
		*code = misuse(call, "the call is NULL");
	else if (call->flow == NULL && call->code != FARCALL_OK)
		*code = call->code;
	else if (call->flow == NULL)
		*code = misuse(call, "a step of a stream: the call is none, or has not started");
	else if ((shapes[call->ops->server] >> call->method->shape & 1) == 0)
		*code = misuse(call, wrong);
	else
		return call->flow;
	return NULL;
}

static fc_flow *
sender(farcall_call *call, const ProtobufCMessage *message, farcall_code *code)
{
	fc_flow *flow = flow_of(call, sends, "send: this side has one message to send", code);

	if (flow == NULL)
		return NULL;
	if (message != NULL &&
	    message->descriptor ==
	        (call->ops->server ? call->method->reply : call->method->request)) {
		call->head_sent = true; /* a server's head goes with the first message */
		return flow;
	}
	*code = misuse(call,
	    message == NULL ? "send: the message is NULL"
	                    : "send: the message is of another type than the method's");
	return NULL;
}

static fc_flow *
awaiter(farcall_call *call, farcall_code *code)
{
	static const unsigned any[] = {CAN(CLIENT) | CAN(SERVER) | CAN(BIDI), 0};

	return flow_of(call, any, "recv head: a server's call has its head from the start", code);
}

static fc_flow *
receiver(farcall_call *call, farcall_code *code)
{
	return flow_of(call, receives, "recv: this side is given its one message", code);
}

farcall_code
farcall_call_send(farcall_call *call, const ProtobufCMessage *message)
{
	farcall_code code;
	fc_flow *flow = sender(call, message, &code);

	return flow != NULL ? fc_flow_send(flow, message) : code;
}

farcall_code
farcall_call_recv(farcall_call *call, const ProtobufCMessage **message)
{
	farcall_code code;
	fc_flow *flow = receiver(call, &code);

	return flow != NULL ? fc_flow_recv(flow, message) : code;
}

void
farcall_call_send_async(
    farcall_call *call, const ProtobufCMessage *message, farcall_done *done, void *data)
{
	const fc_then then = {.done = done, .data = data};
	farcall_code code;
	fc_flow *flow = sender(call, message, &code);

	if (flow != NULL)
		fc_flow_send_async(flow, message, &then);
	else
		fc_then_call(&then, call, code, NULL);
}

static void
recv_async(farcall_call *call, const fc_then *then)
{
	farcall_code code;
	fc_flow *flow = receiver(call, &code);

	if (flow != NULL)
		fc_flow_recv_async(flow, then);
	else
		fc_then_call(then, call, code, NULL);
}

void
farcall_call_recv_async(farcall_call *call, farcall_done *done, void *data)
{
	const fc_then then = {.done = done, .data = data};

	recv_async(call, &then);
}

void
farcall_call_recv_typed(
    farcall_call *call, farcall_thunk *thunk, farcall_function *done, void *data)
{
	const fc_then then = {.thunk = thunk, .typed = done, .data = data};

	recv_async(call, &then);
}

farcall_code
farcall_call_recv_head(farcall_call *call)
{
	farcall_code code;
	fc_flow *flow = awaiter(call, &code);

	return flow != NULL ? fc_flow_recv_head(flow) : code;
}

void
farcall_call_recv_head_async(farcall_call *call, farcall_done *done, void *data)
{
	const fc_then then = {.done = done, .data = data};
	farcall_code code;
	fc_flow *flow = awaiter(call, &code);

	if (flow != NULL)
		fc_flow_recv_head_async(flow, &then);
	else
		fc_then_call(&then, call, code, NULL);
}

farcall_code
farcall_call_half_close(farcall_call *call)
{
	farcall_code code;
	fc_flow *flow = flow_of(call, sends, "half-close: this side sends one message", &code);

	if (flow == NULL)
		return code;
	if (call->ops->server)
		return misuse(call, "half-close: a server ends by its status");
	fc_flow_finish_sending(flow);
	return FARCALL_OK;
}
