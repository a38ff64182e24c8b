/*
 * dispatch.c: from the engine's events to handlers. A request is unpacked while its bytes are
 * there; its handler runs later in the turn, as a task, outside every event. So a handler may do
 * anything to its server but free it.
 */
#include "server/internal.h"

#include "runtime/call/flow.h"

#include <stdio.h>
#include <string.h>

static fc_server_conn *
conn_of(void *owner)
{
	return FC_CONTAINER(owner, fc_server_conn, conn);
}

static fc_server_call *
call_of(fc_stream *stream)
{
	return (fc_server_call *)stream->user;
}

/* ---- paths ---- */

const void *
fc_dispatch_lookup(void *owner, const char *path, size_t size)
{
	const fc_server_conn *conn = conn_of(owner);
	const fc_route *route = fc_routes_find(conn->home, path, size);

	if (route == NULL)
		route = fc_routes_find(conn->home, "*", 1);
	if (route == NULL || (route->service->endpoints >> conn->endpoint->index & 1) == 0)
		return NULL;
	return route;
}

/* ---- refusals: calls that never become one ---- */

static void
refuse(fc_server_conn *conn, fc_stream *stream, farcall_code code, const char *text)
{
	fc_tail tail = {.code = code, .message = {text, strlen(text)}};

	fc_server_send_tail(&conn->conn, stream, &tail);
	conn->conn.ops->release(conn->conn.engine, stream);
	fc_conn_touch(&conn->conn);
}

static void
refuse_path(fc_server_conn *conn, fc_stream *stream, const fc_head *head)
{
	char text[200];
	int size = (int)FC_MIN(head->path.size, 120);

	snprintf(text, sizeof text, "no method %.*s on this server", size, head->path.at);
	refuse(conn, stream, FARCALL_UNIMPLEMENTED, text);
}

#define SERVER_FULL "the server has reached its limit of calls"
#define SERVICE_FULL "the service has reached its limit of calls"

/* NULL: there is room for one more call; else what is exhausted. */
static const char *
overloaded(fc_server_loop *at, farcall_service *service)
{
	if (FARCALL_UNLIKELY(!fc_quota_has(&at->server->calls, at->index)))
		return SERVER_FULL;
	if (service->max_calls != 0 && !fc_quota_has(&service->calls, at->index))
		return SERVICE_FULL;
	return NULL;
}

/* The same, and that room is taken. */
static const char *
take_room(fc_server_loop *at, farcall_service *service)
{
	if (FARCALL_UNLIKELY(at->alone ? !fc_share_take_alone(at->calls)
	                               : !fc_quota_take_shared(&at->server->calls, at->index)))
		return SERVER_FULL;
	if (service->max_calls == 0 || fc_quota_take(&service->calls, at->index))
		return NULL;
	fc_share_give(at->calls, at->alone);
	return SERVICE_FULL;
}

/* ---- a call arrives ---- */

static uint64_t
deadline_of(fc_loop *loop, uint64_t timeout_ns)
{
	uint64_t now = fc_loop_now(loop);

	return timeout_ns < FC_NEVER - now ? now + timeout_ns : FC_NEVER;
}

static bool
begin_stream(fc_server_call *call)
{
	if (!fc_served_begin(call)) {
		fc_reply_failure(call, FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_OUT_OF_MEMORY,
		    "no memory for the stream");
		return false;
	}
	call->stream->may_pause = call->stream->raw = fc_served_takes(call);
	return true;
}

/* What is not done for each call. A handler that is to take many messages does not wait for the
 * first one. */
static void
begin_otherwise(fc_server_call *call, const fc_head *head)
{
	if (call->call.method->shape != FARCALL_UNARY && !begin_stream(call))
		return;
	if (call->service->extras != 0)
		fc_hooks_arrived(call, head);
	else if (fc_served_takes(call))
		fc_dispatch_start(call);
}

void
fc_dispatch_request(void *owner, fc_stream *stream, const fc_head *head)
{
	fc_server_conn *conn = conn_of(owner);
	fc_server_loop *at = conn->home;
	const fc_route *route = (const fc_route *)head->method;
	fc_server_call *call;
	const char *why;

	if (route == NULL) {
		refuse_path(conn, stream, head);
		return;
	}
	why = overloaded(at, route->service);
	call = why == NULL ? fc_server_call_new(conn, route) : NULL;
	if (call == NULL) {
		refuse(
		    conn, stream, FARCALL_RESOURCE_EXHAUSTED, why != NULL ? why : "out of memory");
		return;
	}
	conn->quiet_at = FC_NEVER;
	call->stream = stream;
	call->call.method = route->method;
	call->call.self = route->service->self;
	stream->user = call;
	stream->max_message = route->service->max_message;
	if (head->timeout_ns != FC_NEVER) {
		call->call.deadline = deadline_of(at->loop, head->timeout_ns);
		fc_list_append(&at->fresh, &call->in_fresh);
		fc_loop_flush_later(at->loop, &at->arm);
	}
	if (!fc_metadata_receive_shared(&conn->memo, &call->call.received, &call->shared,
	        &call->call.kept, head->n_metadata, head->metadata))
		fc_reply_failure(call, FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_OUT_OF_MEMORY,
		    "no memory for the request's metadata");
	else if (FARCALL_UNLIKELY((route->service->extras | (unsigned)route->method->shape) != 0))
		begin_otherwise(call, head); /* FARCALL_UNARY is 0 */
}

void
fc_dispatch_message(void *owner, fc_stream *stream, const uint8_t *bytes, size_t size)
{
	fc_server_conn *conn = conn_of(owner);
	fc_server_call *call = call_of(stream);
	fc_guard_limits limits = fc_guard_defaults;
	farcall_code code;
	fc_error error;

	if (FARCALL_UNLIKELY(call->call.flow != NULL) && fc_served_takes(call)) {
		fc_served_message(call, bytes, size);
		return;
	}
	conn->conn.ops->taken(conn->conn.engine, stream, size);
	if (call->request != NULL) {
		fc_reply_failure(call, FARCALL_INTERNAL, FARCALL_CAUSE_PROTOCOL,
		    "a second request message in a call that has one");
		return;
	}
	call->call.compressed = stream->compressed;
	fc_intercept_count(&call->call, false, size);
	error.code = FARCALL_OK;
	limits.memory = call->call.in.most;
	code = fc_unpack(call->call.method->request, bytes, size, &limits, &call->call.in,
	    &call->request, &error);
	if (code != FARCALL_OK)
		fc_reply_failure(call, code, error.cause, error.text);
}

/* ---- the handler ---- */

static bool
make_reply(fc_server_call *call)
{
	const ProtobufCMessageDescriptor *descriptor = call->call.method->reply;

	call->reply =
	    (ProtobufCMessage *)fc_arena_alloc(&call->call.out, descriptor->sizeof_message);
	if (call->reply == NULL)
		return false;
	descriptor->message_init(call->reply);
	return true;
}

static farcall_code
run_handler(fc_server_call *call)
{
	const farcall_method *method = call->call.method;
	const farcall_service *service = call->service;

	if (method->ops_offset + sizeof(void (*)(void)) > service->ops_size)
		return farcall_call_fail(&call->call, FARCALL_UNIMPLEMENTED,
		    "%s is not implemented by this server", method->path);
	if (method->shape <= FARCALL_CLIENT_STREAM && !make_reply(call)) {
		fc_call_doom_by_memory(&call->call, &call->call.out);
		return call->call.code;
	}
	return method->dispatch(&call->call, service->ops, call->request, call->reply);
}

static void
end_call(fc_server_call *call, farcall_code code)
{
	if (FARCALL_UNLIKELY(call->call.flow != NULL)) {
		fc_served_end(call, code);
		return;
	}
	fc_reply(call, code);
	fc_reply_finish(call);
}

/* The second task of a call that was completed later: the answer is packed already. */
static void
send_completion(fc_task *task)
{
	fc_server_call *call = FC_CONTAINER(task, fc_server_call, work.task);

	end_call(call, call->result);
}

/* The handler has returned `*code`. Answers whether the call ends now, with which code; else
 * whoever completes it will post send_completion(). */
static bool
returned(fc_server_call *call, farcall_code *code)
{
	bool pending = *code == FARCALL_PENDING;
	unsigned now = FC_PHASE_RETURNED | (pending ? 0 : FC_PHASE_TAKEN), before = 0;

	if (FARCALL_LIKELY(atomic_compare_exchange_strong(&call->phase, &before, now)))
		return !pending;
	before = atomic_fetch_or(&call->phase, now);
	if (!pending && *code != FARCALL_OK)
		fc_call_misuse(
		    &call->call, "a handler completed its call, then returned a failure");
	if ((before & FC_PHASE_COMPLETED) == 0)
		return false; /* whoever completes it writes the result at this moment */
	*code = call->result;
	return true;
}

/* The peer leaves more answers lie than we keep for it. Tells handlers on other threads, too. */
static bool
is_choked(fc_server_conn *conn)
{
	const fc_conn *base = &conn->conn;
	size_t backlog = 0;

	if (base->engine != NULL && base->ops->backlog != NULL)
		backlog = base->ops->backlog(base->engine);
	atomic_store_explicit(&conn->backlog, backlog, memory_order_relaxed);
	return backlog > FC_SERVER_BACKLOG_MOST;
}

/* One call for each flush, since its answer may choke the connection again. */
void
fc_dispatch_resume(fc_conn *base)
{
	fc_server_conn *conn = conn_of(base);
	fc_list *item;

	if (FARCALL_UNLIKELY(conn->idles))
		fc_lifecycle_note_quiet(conn);
	if (FARCALL_LIKELY(fc_list_empty(&conn->held)) || is_choked(conn))
		return;
	item = fc_list_pop(&conn->held);
	fc_loop_ready(base->loop, &FC_CONTAINER(item, fc_server_call, in_held)->work.task);
	if (!fc_list_empty(&conn->held))
		fc_conn_touch(base);
}

/* The handler's turn, unless the connection is choked by what was answered before it. */
static void
admit(fc_task *task)
{
	fc_server_call *call = FC_CONTAINER(task, fc_server_call, work.task);

	if (FARCALL_UNLIKELY(is_choked(call->conn)) && call->stream != NULL)
		fc_list_append(&call->conn->held, &call->in_held);
	else
		fc_crew_start(&call->work);
}

/* The same as handlers on other threads see it: with what they have made and the owner has not
 * sent. So what lies there is at most the limit and an answer of each thread. */
static bool
looks_choked(const fc_server_conn *conn)
{
	size_t bytes = atomic_load_explicit(&conn->backlog, memory_order_relaxed) +
	    atomic_load_explicit(&conn->unsent, memory_order_relaxed);

	return bytes > FC_SERVER_BACKLOG_MOST;
}

/* On any thread of the crew: touches nothing but the call, and of that nothing that the loop's
 * owner may touch meanwhile. */
static void
run(fc_work *work)
{
	fc_server_call *call = FC_CONTAINER(work, fc_server_call, work);

	call->skipped = farcall_call_cancelled(&call->call); /* while it waited for its turn */
	call->postponed = !call->skipped && looks_choked(call->conn);
	if (call->skipped || call->postponed) {
		work->idle = true;
		return;
	}
	call->code = run_handler(call);
	if (FARCALL_UNLIKELY(call->call.flow != NULL))
		return; /* its callbacks may be at work already; it is bounded by itself */
	call->unsent = call->call.in.used + call->call.out.used;
	if (call->unsent != 0)
		atomic_fetch_add(&call->conn->unsent, call->unsent);
}

/* Sends what the handler has answered, unless that is still to come. What it made counts until it
 * lies in the engine; the call may be gone by then. */
static void
answer(fc_server_call *call)
{
	fc_server_conn *conn = call->conn;
	farcall_code code = call->code;
	size_t unsent = call->unsent;

	if (FARCALL_UNLIKELY(unsent != 0))
		fc_refs_hold(&conn->refs);
	call->work.task.run = send_completion;
	if (returned(call, &code))
		end_call(call, code);
	if (FARCALL_LIKELY(unsent == 0))
		return;
	is_choked(conn);
	atomic_fetch_sub(&conn->unsent, unsent);
	fc_server_conn_drop(conn);
}

static void
done(fc_work *work, bool ran)
{
	fc_server_call *call = FC_CONTAINER(work, fc_server_call, work);

	if (!ran) {
		fc_reply_end(call, FARCALL_RESOURCE_EXHAUSTED,
		    "too many calls wait for handlers that block");
		fc_reply_finish(call);
	} else if (call->skipped) {
		fc_reply_finish(call);
	} else if (call->postponed) {
		work->task.run = admit; /* behind what other threads have answered and mailed */
		fc_loop_post(call->conn->conn.loop, &work->task);
	} else {
		answer(call);
	}
}

/* A call counts from here on, so that nobody takes the room of others by requests that he never
 * ends: these cost their own connection's streams alone. */
static bool
count_in(fc_server_call *call)
{
	const char *why = take_room(call->conn->home, call->service);

	if (FARCALL_UNLIKELY(why != NULL)) {
		fc_reply_failure(call, FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_LIMIT, why);
		return false;
	}
	call->counted = true;
	return true;
}

void
fc_dispatch_start(fc_server_call *call)
{
	if (!count_in(call))
		return;
	call->half_closed = true;
	call->work.run = run;
	call->work.done = done;
	call->work.task.run = admit;
	fc_loop_ready(call->conn->conn.loop, &call->work.task);
}

void
fc_dispatch_half_close(void *owner, fc_stream *stream)
{
	fc_server_call *call = call_of(stream);

	(void)owner;
	if (FARCALL_UNLIKELY(call->call.intercept != NULL) && call->request != NULL)
		fc_hooks_half_closed(call);
	else if (FARCALL_LIKELY(call->request != NULL))
		fc_dispatch_start(call);
	else if (call->call.flow != NULL && fc_served_takes(call))
		fc_flow_end(call->call.flow);
	else
		fc_reply_failure(call, FARCALL_INTERNAL, FARCALL_CAUSE_PROTOCOL,
		    "no request message in a call that has one");
}

/* All that was given to the engine has been framed. */
void
fc_dispatch_sent(void *owner, fc_stream *stream)
{
	fc_server_call *call = call_of(stream);

	(void)owner;
	if (call->call.flow != NULL)
		fc_served_sent(call);
}

/* ---- the end, otherwise ---- */

void
fc_dispatch_abort(void *owner, fc_stream *stream, const fc_abort *abort)
{
	fc_server_call *call = call_of(stream);

	(void)owner;
	fc_intercept_outcome(
	    &call->call, abort->code, abort->cause, abort->text, strlen(abort->text));
	fc_reply_lost(call, abort->code);
}

void
fc_dispatch_cancel_all(fc_server_conn *conn, farcall_code code, const char *why)
{
	const fc_tail tail = {.code = code, .message = {why, strlen(why)}};

	fc_list_each (item, following, &conn->calls) {
		fc_server_call *call = FC_CONTAINER(item, fc_server_call, in_conn);

		if (conn->conn.engine != NULL)
			fc_server_send_tail(&conn->conn, call->stream, &tail);
		fc_intercept_outcome(&call->call, code, FARCALL_CAUSE_SHUTDOWN, why, strlen(why));
		fc_reply_lost(call, FARCALL_CANCELLED);
	}
}

/* ---- deadlines ---- */

static void
on_deadline(fc_timer *timer)
{
	fc_reply_end(FC_CONTAINER(timer, fc_server_call, deadline), FARCALL_DEADLINE_EXCEEDED,
	    "the deadline has passed");
}

/* End of a turn: watches the deadline of calls that were not answered in the turn they came. */
void
fc_dispatch_arm(fc_task *task)
{
	fc_server_loop *at = FC_CONTAINER(task, fc_server_loop, arm);
	fc_list *item;

	while ((item = fc_list_pop(&at->fresh)) != NULL) {
		fc_server_call *call = FC_CONTAINER(item, fc_server_call, in_fresh);

		fc_timer_init(&call->deadline, on_deadline);
		if (!fc_timer_start(at->loop, &call->deadline, call->call.deadline))
			fc_reply_end(
			    call, FARCALL_RESOURCE_EXHAUSTED, "no memory for the call's deadline");
	}
}
