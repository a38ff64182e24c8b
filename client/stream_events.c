/*
 * stream_events.c: what the engine tells of a streaming call. Messages go into its flow, which the
 * program takes them from when it likes; head and outcome are written into the flow's own memory,
 * and shown to the program's threads by a flag that is set after them: `headed`, the phase DONE.
 */
#include "client/internal.h"

static void
end_without_memory(fc_client_call *call)
{
	fc_call_end_with(call, FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_OUT_OF_MEMORY,
	    "response: out of memory");
}

void
fc_stream_head(fc_client_call *call, const fc_head *head)
{
	farcall_call *base = &call->call;

	if (!fc_metadata_receive(
	        &base->received, &base->flow->wire, head->n_metadata, head->metadata)) {
		end_without_memory(call);
		return;
	}
	atomic_store_explicit(&call->streaming.headed, true, memory_order_release);
	fc_flow_head(base->flow);
}

static bool
has_one_reply(const farcall_call *call)
{
	return call->method->shape == FARCALL_CLIENT_STREAM;
}

/* Unpacked here: nobody else uses call->in, since there is nothing to receive. */
static void
take_reply(fc_client_call *call, const uint8_t *bytes, size_t size)
{
	farcall_call *base = &call->call;
	ProtobufCMessage *reply = NULL;
	fc_error error;

	if (base->flow->reply != NULL) {
		fc_call_end_with(call, FARCALL_INTERNAL, FARCALL_CAUSE_PROTOCOL,
		    "more than one response message");
		return;
	}
	base->compressed = call->stream->compressed;
	fc_intercept_count(base, false, size);
	fc_error_clear(&error);
	if (fc_unpack(base->method->reply, bytes, size, &fc_guard_defaults, &base->in, &reply,
	        &error) != FARCALL_OK) {
		fc_attempt_fail_unpack(call, &error);
		return;
	}
	base->flow->reply = reply;
	call->line->conn.ops->taken(call->line->conn.engine, call->stream, size);
}

void
fc_stream_message(fc_client_call *call, const uint8_t *bytes, size_t size)
{
	farcall_call *base = &call->call;

	if (has_one_reply(base))
		take_reply(call, bytes, size);
	else if (!fc_flow_arrive_from(base->flow, call->stream, bytes, size))
		end_without_memory(call);
}

/* What arrived before a status of the peer's can still be received. */
void
fc_stream_tail(fc_client_call *call, const fc_tail *tail)
{
	farcall_call *base = &call->call;

	if (!fc_metadata_receive(
	        &base->trailers, &base->flow->wire, tail->n_metadata, tail->metadata)) {
		end_without_memory(call);
		return;
	}
	if (tail->code == FARCALL_OK && has_one_reply(base) && base->flow->reply == NULL) {
		fc_call_end_with(
		    call, FARCALL_INTERNAL, FARCALL_CAUSE_PROTOCOL, "no response message");
		return;
	}
	base->of_peer = tail->cause == FARCALL_CAUSE_NONE;
	fc_call_settle(base, tail->code, tail->cause, tail->message.at, tail->message.size);
	call->streaming.tail = true;
	fc_call_end(call);
}
