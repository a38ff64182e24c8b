/*
 * stream.c: a server's streaming calls: what its flow (flow.h) asks of the loop, and their end.
 *
 * The handler runs as crew work and may block in its steps, as long as another thread turns the
 * loop meanwhile. Callbacks of steps are crew work of the same kind, one piece at a time for a
 * call.
 *
 * While the program may still send, the engine has one message of the call at most that waits for
 * the peer. When the program has ended the call, all that is left goes to the engine at once, then
 * the tail, and the stream is let go: from then on it is the engine that watches that the peer
 * takes it, as it does for unary calls.
 */
#include "server/internal.h"

#include "runtime/base/alloc.h"
#include "runtime/call/flow.h"
#include "runtime/loop/fork.h"

#include <stdio.h>
#include <string.h>

typedef struct fc_server_stream {
	/* constant */
	fc_server_call *call;
	bool many; /* the client may send many messages */

	/* the loop's owner */
	fc_task pump;      /* the flow has asked for it; keeps a reference */
	fc_task end;       /* the program, or a failure, has asked for the end; likewise */
	fc_work callbacks; /* out or not; keeps a reference while it is */
	bool out, again;   /* … and it is due again when it comes back */
	bool head_out;
	bool ended; /* the program has ended the call, with `result`: what it sent is on its way */
	farcall_code result;

	/* any thread */
	atomic_bool ending;   /* `end` was posted */
	atomic_bool orphaned; /* the loop has stopped: callbacks run in a thread of their own */

	/* under the call's `lock` */
	bool failed, settled;
	fc_error failure; /* why the library ends the call */
	char text[FC_ERROR_TEXT + 24];
} fc_server_stream;

static fc_server_call *
of_server(farcall_call *base)
{
	return (fc_server_call *)base;
}

static fc_server_stream *
stream_of(farcall_call *base)
{
	return of_server(base)->streaming;
}

/* ---- the end, as the program or a failure asks for it ---- */

static void
run_end(fc_task *task)
{
	fc_server_stream *s = FC_CONTAINER(task, fc_server_stream, end);
	fc_server_call *call = s->call;
	bool failed;

	fc_spin_lock(&call->call.lock);
	failed = s->failed;
	fc_spin_unlock(&call->call.lock);
	if (call->stream != NULL && failed)
		fc_reply_end(call, s->failure.code, s->failure.text);
	else if (call->stream != NULL)
		fc_reply_end(call, FARCALL_CANCELLED, "the server has cancelled the call");
	fc_call_drop(&call->call);
}

void
fc_served_cancel(fc_server_call *call)
{
	fc_server_stream *s = call->streaming;

	if (atomic_exchange(&s->ending, true))
		return;
	fc_refs_hold(&call->call.refs);
	if (!fc_reply_post(call, &s->end))
		fc_call_drop(&call->call);
}

/* Two threads of the program may be here at once, or the owner. */
static void
fail(farcall_call *base, const fc_error *error)
{
	fc_server_stream *s = stream_of(base);
	int name;

	fc_spin_lock(&base->lock);
	if (!s->failed) {
		s->failed = true;
		s->failure = *error;
		name = snprintf(s->text, sizeof s->text, "%s: ", farcall_code_name(error->code));
		snprintf(s->text + name, sizeof s->text - (size_t)name, "%s", error->text);
		if (!s->settled && base->code == FARCALL_OK) {
			base->code = error->code;
			base->cause = error->cause;
			base->error = s->text;
			base->status_message = s->text + name;
		}
	}
	fc_spin_unlock(&base->lock);
	fc_served_cancel(of_server(base));
}

/* ---- what the flow asks for ---- */

/* Where no loop is left that would run them. */
static void
pump_alone(void *data)
{
	fc_server_call *call = (fc_server_call *)data;

	atomic_store(&call->streaming->orphaned, true);
	fc_flow_pump(call->call.flow);
	fc_call_drop(&call->call);
}

static void
run_pump(fc_task *task)
{
	fc_server_call *call = FC_CONTAINER(task, fc_server_stream, pump)->call;

	fc_flow_pump(call->call.flow);
	fc_call_drop(&call->call);
}

static void
wake(farcall_call *base)
{
	fc_server_call *call = of_server(base);

	if (fc_server_forked(call->conn->home->server, "stream"))
		return;
	fc_refs_hold(&base->refs);
	if (!fc_reply_post(call, &call->streaming->pump) &&
	    !fc_thread_start_alone(pump_alone, call))
		pump_alone(call);
}

static farcall_code
may_block(farcall_call *base, fc_error *error)
{
	const fc_server_loop *at = of_server(base)->conn->home;

	if (fc_forked(at->server->forks))
		return fc_fail(error, FARCALL_FAILED_PRECONDITION, FARCALL_CAUSE_NONE,
		    "a step of a stream: " FC_FORKED_TEXT);
	if (fc_loop_inside(at->loop))
		return fc_fail(error, FARCALL_FAILED_PRECONDITION, FARCALL_CAUSE_NONE,
		    "a step that may block, on the thread that turns the server's loop: use the "
		    "step with a callback, and FARCALL_PENDING");
	return FARCALL_OK;
}

/* Whoever waits for what the loop brings must not keep it: another thread turns it. */
static farcall_code
turn(farcall_call *base, bool *turned, fc_error *error)
{
	(void)base, (void)turned;
	if (fc_crew_block_begin())
		return FARCALL_OK;
	return fc_fail(error, FARCALL_FAILED_PRECONDITION, FARCALL_CAUSE_LIMIT,
	    "a step that has to wait: all other handler threads of the loop block already: "
	    "raise their number, or use the step with a callback");
}

static void
run_callbacks(fc_work *work)
{
	fc_flow_call_back(FC_CONTAINER(work, fc_server_stream, callbacks)->call->call.flow);
}

/* Too many wait for a thread: these run here all the same, since none may be lost. */
static void
callbacks_done(fc_work *work, bool ran)
{
	fc_server_stream *s = FC_CONTAINER(work, fc_server_stream, callbacks);

	if (!ran)
		run_callbacks(work);
	if (s->again) {
		s->again = false;
		fc_crew_ready(&s->callbacks);
		return;
	}
	s->out = false;
	fc_call_drop(&s->call->call);
}

static void
call_back(farcall_call *base)
{
	fc_server_stream *s = stream_of(base);

	if (atomic_load(&s->orphaned)) {
		fc_flow_call_back(base->flow);
		return;
	}
	s->again = s->out;
	if (s->out)
		return; /* they have run, but the item is still on its way back */
	s->out = true;
	fc_refs_hold(&base->refs);
	fc_crew_ready(&s->callbacks);
}

/* What the handler has added to the head goes before the first message. */
static fc_send
send_head(fc_server_call *call)
{
	fc_server_stream *s = call->streaming;
	fc_send sent = FC_SEND_OK;

	if (s->head_out)
		return FC_SEND_OK;
	s->head_out = true;
	if (call->call.head.n != 0)
		sent = fc_reply_head(call);
	if (sent == FC_SEND_TOO_LARGE)
		fc_served_cancel(call); /* the peer has been told why */
	return sent;
}

static fc_send
send_message(farcall_call *base, const fc_payload *payload, bool last)
{
	fc_server_call *call = of_server(base);
	fc_conn *conn = &call->conn->conn;
	fc_send sent;

	(void)last;
	if (call->stream == NULL)
		return FC_SEND_GONE;
	fc_call_compress(base, call->stream, base->plain_now);
	sent = send_head(call);
	if (sent == FC_SEND_OK)
		sent = conn->ops->send_message(conn->engine, call->stream, payload, false);
	fc_conn_touch(conn);
	if (sent == FC_SEND_TOO_LARGE)
		return FC_SEND_GONE;
	return sent == FC_SEND_WAITING && call->streaming->ended ? FC_SEND_OK : sent;
}

static void
taken(farcall_call *base, size_t size)
{
	fc_server_call *call = of_server(base);
	fc_conn *conn = &call->conn->conn;

	if (call->stream == NULL)
		return;
	conn->ops->taken(conn->engine, call->stream, size);
	fc_conn_touch(conn);
}

/* Only then is it over for the program: no step is left waiting. The flow is in use up the stack,
 * by somebody who has a reference. */
static void
emptied(farcall_call *base, bool said)
{
	fc_server_call *call = of_server(base);

	(void)said;
	fc_reply(call, call->streaming->result);
	fc_flow_shut(base->flow, FARCALL_CANCELLED, true);
	fc_reply_finish(call);
}

static const fc_flow_ops flow_ops = {
    .wake = wake,
    .may_block = may_block,
    .turn = turn,
    .call_back = call_back,
    .send = send_message,
    .taken = taken,
    .emptied = emptied,
    .fail = fail,
};

/* ---- what the wire and the handler bring ---- */

static fc_server_stream *
make(fc_server_call *call)
{
	fc_server_stream *s = (fc_server_stream *)fc_calloc(1, sizeof *s);

	if (s == NULL)
		return NULL;
	s->call = call;
	s->many = call->call.method->shape != FARCALL_SERVER_STREAM;
	s->pump.run = run_pump;
	s->end.run = run_end;
	s->callbacks.kind = call->work.kind;
	s->callbacks.run = run_callbacks;
	s->callbacks.done = callbacks_done;
	return s;
}

bool
fc_served_begin(fc_server_call *call)
{
	const fc_engine_config *config = &call->conn->home->config;
	fc_server_stream *s = make(call);
	fc_error error;

	if (s == NULL)
		return false;
	fc_error_clear(&error);
	call->call.flow =
	    fc_flow_new(&call->call, &flow_ops, config->pool, config->stream_window / 4, &error);
	if (call->call.flow == NULL) {
		fc_free(s);
		return false;
	}
	call->streaming = s;
	fc_flow_commit(call->call.flow);
	fc_flow_open(call->call.flow);
	return true;
}

bool
fc_served_takes(const fc_server_call *call)
{
	return call->streaming->many;
}

void
fc_served_message(fc_server_call *call, const uint8_t *bytes, size_t size)
{
	if (!fc_flow_arrive_from(call->call.flow, call->stream, bytes, size))
		fc_reply_end(call, FARCALL_RESOURCE_EXHAUSTED, "no memory for a message");
}

void
fc_served_sent(fc_server_call *call)
{
	fc_refs_hold(&call->call.refs);
	fc_flow_sent(call->call.flow);
	fc_call_drop(&call->call);
}

void
fc_served_headed(fc_server_call *call)
{
	call->streaming->head_out = true;
}

/* The first failure stands against the handler's OK. From now on its texts are ours to read. */
static farcall_code
settle(fc_server_call *call, farcall_code code)
{
	fc_server_stream *s = call->streaming;

	fc_spin_lock(&call->call.lock);
	s->settled = true;
	if (s->failed && (code == FARCALL_OK || code == FARCALL_END))
		code = s->failure.code;
	fc_spin_unlock(&call->call.lock);
	return code;
}

void
fc_served_end(fc_server_call *call, farcall_code code)
{
	fc_server_stream *s = call->streaming;

	if (call->stream == NULL) {
		fc_reply_finish(call);
		return;
	}
	s->result = settle(call, code);
	s->ended = true;
	fc_flow_finish_sending(call->call.flow);
	fc_served_sent(call); /* it waits for the peer no more */
}

bool
fc_served_ended(const fc_server_call *call)
{
	return call->streaming->ended;
}

void
fc_served_lost(fc_server_call *call, farcall_code code)
{
	fc_flow_shut(call->call.flow, code, true);
}

void
fc_served_free(fc_server_call *call)
{
	fc_flow_free(call->call.flow);
	fc_free(call->streaming);
}
