/*
 * attempt.c: a call's stream on a line, and what the engine tells of it. Everything that arrives is
 * copied or unpacked inside the event, into the call's own memory.
 *
 * Of a streaming call the messages go by its flow, and what arrives is taken by stream_events.c.
 *
 * A call that the server surely has not seen is tried again: once; if nothing of it has left, as
 * often as it takes. After the response's head it is committed and never tried again.
 */
#include "client/internal.h"
#include "client/plan.h"

#include <stdio.h>

static fc_client_call *
call_of(const fc_stream *stream)
{
	return (fc_client_call *)stream->user;
}

/* ---- downward ---- */

/* Gives the stream back, if there is one; `code` is what the peer is told if it has not ended. */
void
fc_attempt_drop(fc_client_call *call, farcall_code code)
{
	fc_line *line = call->line;

	if (call->stream == NULL)
		return;
	if (line->conn.engine != NULL) {
		if (code != FARCALL_OK)
			line->conn.ops->abort(line->conn.engine, call->stream, code);
		line->conn.ops->release(line->conn.engine, call->stream);
		fc_line_touch(line);
	}
	call->stream = NULL;
	fc_list_remove(&call->in_list);
}

static void
use_line(fc_client_call *call, fc_line *line)
{
	if (call->line == line)
		return;
	fc_line_drop(call->line);
	fc_refs_hold(&line->refs);
	call->line = line;
}

static void
send_request(fc_line *line, fc_client_call *call)
{
	switch (
	    line->conn.ops->send_message(line->conn.engine, call->stream, &call->payload, true)) {
	case FC_SEND_OK:
		break;
	case FC_SEND_WAITING:
		call->sending = true;
		break;
	case FC_SEND_GONE:
		fc_call_end_with(call, FARCALL_UNAVAILABLE, FARCALL_CAUSE_CONNECTION_LOST,
		    fc_cause_text(FARCALL_CAUSE_CONNECTION_LOST));
		break;
	case FC_SEND_NO_MEMORY:
	case FC_SEND_TOO_LARGE: /* a message never is */
		fc_call_end_with(call, FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_OUT_OF_MEMORY,
		    fc_cause_text(FARCALL_CAUSE_OUT_OF_MEMORY));
		break;
	}
}

/* Rounded up to three digits, as gRPC core does: values that differ from call to call would spoil
 * both ends' header compression. The deadline itself is kept here, to the nanosecond. */
static uint64_t
coarse(uint64_t ns)
{
	uint64_t unit = 1;

	while (ns / unit >= 1000)
		unit *= 10;
	return ns > FC_NEVER - unit ? ns : (ns + unit - 1) / unit * unit;
}

/* What the server is told of the deadline; 0: it has passed. */
static uint64_t
time_left(const fc_client_call *call)
{
	uint64_t deadline = call->call.deadline, now;

	if (deadline == FC_NEVER)
		return FC_NEVER;
	now = fc_channel_now(call->channel);
	return deadline > now ? coarse(deadline - now) : 0;
}

/* The line stands; only this call could not begin. It is not tried again: it would not fit there
 * either. */
static void
fail_to_open(fc_line *line, fc_client_call *call)
{
	const fc_engine_ops *ops = line->conn.ops;
	char text[FC_ERROR_TEXT + 32];
	fc_error why;

	fc_error_clear(&why);
	if (ops->refusal == NULL || !ops->refusal(line->conn.engine, &why)) {
		fc_call_end_with(call, FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_OUT_OF_MEMORY,
		    fc_cause_text(FARCALL_CAUSE_OUT_OF_MEMORY));
		return;
	}
	snprintf(text, sizeof text, "request metadata: %s", why.text);
	fc_call_end_with(call, why.code, why.cause, text);
}

bool
fc_attempt_open(fc_line *line, fc_client_call *call)
{
	const fc_engine_ops *ops = line->conn.ops;
	const char *path = call->call.method->path;
	const fc_request request = {.path = {path, strlen(path)},
	    .timeout_ns = time_left(call),
	    .n_metadata = call->call.head.n,
	    .metadata = call->call.head.at,
	    .coding = call->call.coding};

	if (request.timeout_ns == 0) {
		fc_call_end_late(call);
		return true;
	}
	call->stream = ops->open_stream(line->conn.engine, &request, call);
	if (call->stream == NULL && ops->can_open(line->conn.engine) == 0) {
		line->full = true;
		return false;
	}
	if (call->stream == NULL) {
		fail_to_open(line, call);
		return true;
	}
	use_line(call, line);
	if (call->rules != NULL)
		call->stream->max_message =
		    FC_MIN(call->stream->max_message, call->rules->max_message);
	fc_list_append(&line->calls, &call->in_list);
	if (call->call.flow != NULL) { /* whose messages say it each */
		fc_stream_open(call);
	} else {
		fc_call_compress(&call->call, call->stream, call->call.plain);
		send_request(line, call);
	}
	fc_line_touch(line);
	return true;
}

/* ---- upward ---- */

static void
on_head(void *owner, fc_stream *stream, const fc_head *head)
{
	fc_client_call *call = call_of(stream);

	((fc_line *)owner)->answered = true;
	call->committed = true;
	if (call->plan != NULL)
		fc_plan_commit(call);
	if (call->call.flow != NULL) {
		fc_stream_head(call, head);
		return;
	}
	if (!call->sending)
		fc_call_forget_request(call);
	if (fc_metadata_receive(
	        &call->call.received, &call->call.kept, head->n_metadata, head->metadata))
		return;
	fc_call_doom_by_memory(&call->call, &call->call.kept);
	fc_call_end(call);
}

/* A message that does not parse is the peer's fault, not an argument of the program's. */
void
fc_attempt_fail_unpack(fc_client_call *call, const fc_error *error)
{
	farcall_code code =
	    error->code == FARCALL_RESOURCE_EXHAUSTED ? error->code : FARCALL_INTERNAL;
	char text[FC_ERROR_TEXT + 16] = "response: ";

	strncat(text, error->text, sizeof text - sizeof "response: ");
	fc_call_end_with(call, code, error->cause, text);
}

static void
on_message(void *owner, fc_stream *stream, const uint8_t *bytes, size_t size)
{
	fc_client_call *call = call_of(stream);
	fc_conn *conn = (fc_conn *)owner;
	fc_error error;

	if (call->call.flow != NULL) {
		fc_stream_message(call, bytes, size);
		return;
	}
	fc_intercept_count(&call->call, false, size);
	if (call->reply != NULL) {
		fc_call_end_with(call, FARCALL_INTERNAL, FARCALL_CAUSE_PROTOCOL,
		    "more than one response message");
		return;
	}
	call->call.compressed = stream->compressed;
	fc_error_clear(&error);
	if (fc_unpack(call->call.method->reply, bytes, size, &fc_guard_defaults, &call->call.in,
	        &call->reply, &error) == FARCALL_OK)
		conn->ops->taken(conn->engine, stream, size);
	else
		fc_attempt_fail_unpack(call, &error);
}

/* The server's word for the same deadline, which has passed here too: ours says more. */
static bool
is_about_time(const fc_client_call *call, farcall_code code)
{
	return (code == FARCALL_CANCELLED || code == FARCALL_DEADLINE_EXCEEDED) &&
	    fc_call_is_late(call);
}

static void
on_tail(void *owner, fc_stream *stream, const fc_tail *tail)
{
	fc_client_call *call = call_of(stream);
	farcall_call *base = &call->call;

	((fc_line *)owner)->answered = true;
	if (is_about_time(call, tail->code)) {
		fc_call_end_late(call);
		return;
	}
	fc_attempt_drop(call, FARCALL_OK);
	if (call->channel->service != NULL && fc_plan_tail(call, tail))
		return;
	if (base->flow != NULL) {
		fc_stream_tail(call, tail);
		return;
	}
	if (!fc_metadata_receive(&base->trailers, &base->kept, tail->n_metadata, tail->metadata))
		fc_call_doom_by_memory(base, &base->kept);
	base->of_peer = base->code == FARCALL_OK && tail->cause == FARCALL_CAUSE_NONE;
	fc_call_settle(base, tail->code, tail->cause, tail->message.at, tail->message.size);
	if (tail->code == FARCALL_OK && call->reply == NULL)
		fc_call_end_with(
		    call, FARCALL_INTERNAL, FARCALL_CAUSE_PROTOCOL, "no response message");
	else
		fc_call_end(call);
}

/* What has ended the stream, in the words that every lost connection has. */
static void
fail_by_abort(fc_client_call *call, const fc_abort *abort)
{
	char text[FC_ERROR_TEXT + 32];

	if (abort->cause == FARCALL_CAUSE_CONNECTION_LOST &&
	    strstr(abort->text, "connection lost") == NULL)
		snprintf(text, sizeof text, "connection lost: %s", abort->text);
	else
		snprintf(text, sizeof text, "%s", abort->text);
	if (call->plan == NULL || !fc_plan_lost(call, abort->code, abort->cause, text))
		fc_call_end_with(call, abort->code, abort->cause, text);
}

/* What never left is as good as not begun; what left but was surely not seen goes once more. */
static bool
may_try_again(const fc_client_call *call, const fc_abort *abort)
{
	return !call->committed && abort->unseen && (abort->unsent || !call->retried) &&
	    (call->call.flow == NULL || fc_flow_may_replay(call->call.flow));
}

static void
on_abort(void *owner, fc_stream *stream, const fc_abort *abort)
{
	fc_client_call *call = call_of(stream);

	(void)owner;
	if (is_about_time(call, abort->code)) {
		fc_call_end_late(call);
		return;
	}
	fc_attempt_drop(call, FARCALL_OK);
	if (may_try_again(call, abort)) {
		call->retried = call->retried || !abort->unsent;
		call->sending = false;
		if (call->call.flow != NULL)
			fc_flow_again(call->call.flow);
		fc_picker_again(call->channel, call);
	} else {
		fail_by_abort(call, abort);
	}
}

static void
on_sent(void *owner, fc_stream *stream)
{
	fc_client_call *call = call_of(stream);

	(void)owner;
	call->sending = false;
	if (call->call.flow != NULL)
		fc_stream_sent(call);
	else if (call->committed)
		fc_call_forget_request(call);
}

static void
on_ready(void *owner)
{
	fc_line *line = (fc_line *)owner;

	fc_conn_ready(&line->conn);
	fc_conn_peer(&line->conn, &line->peer);
	line->ready = true;
	fc_subchannel_ready(line->channel, line);
}

static void
on_capacity(void *owner)
{
	fc_line *line = (fc_line *)owner;

	line->full = false;
	fc_picker_later(line->channel);
}

static void
on_goaway(void *owner, const fc_error *why)
{
	fc_line *line = (fc_line *)owner;

	fc_line_retire(line);
	fc_subchannel_lost(line->channel, line, why);
}

static void
on_dead(void *owner, const fc_error *why)
{
	fc_line *line = (fc_line *)owner;

	line->going = true;
	fc_conn_dead(&line->conn, why);
	fc_subchannel_lost(line->channel, line, why);
}

const fc_engine_events fc_attempt_events = {
    .on_head = on_head,
    .on_message = on_message,
    .on_tail = on_tail,
    .on_abort = on_abort,
    .on_sent = on_sent,
    .on_ready = on_ready,
    .on_capacity = on_capacity,
    .on_goaway = on_goaway,
    .on_too_many_pings = fc_channel_too_many_pings,
    .on_drained = fc_conn_drained,
    .on_dead = on_dead,
};
