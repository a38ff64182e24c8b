/*
 * reply.c: a server's call: its object, its answer, and its end. The answer is packed straight into
 * the connection's frames by the loop's owner; only a call that is completed from another thread
 * packs first and posts.
 */
#include "server/internal.h"

#include "runtime/base/alloc.h"
#include "runtime/base/log.h"
#include "runtime/call/rich.h"

#include <stdio.h>
#include <string.h>

/* ---- objects ---- */

/* All calls of a connection share one reference to it, which the first takes and the last gives
 * back. */
static fc_server_call *
take_free(fc_server_loop *at, fc_server_conn *conn)
{
	fc_server_call *call;

	fc_spin_lock(&at->calls_lock);
	if (conn->n_calls++ == 0)
		fc_refs_hold(&conn->refs);
	call = at->free_calls;
	if (call != NULL) {
		at->free_calls = call->next_free;
		at->n_free_calls--;
	}
	fc_spin_unlock(&at->calls_lock);
	return call;
}

/* `call` may be NULL: it could not be made. */
static void
give_free(fc_server_loop *at, fc_server_conn *conn, fc_server_call *call)
{
	bool keep, last;

	fc_spin_lock(&at->calls_lock);
	last = --conn->n_calls == 0;
	keep = call != NULL && at->n_free_calls < FC_SERVER_KEEP_CALLS;
	if (keep) {
		call->next_free = at->free_calls;
		at->free_calls = call;
		at->n_free_calls++;
	}
	fc_spin_unlock(&at->calls_lock);
	if (!keep)
		fc_free(call);
	if (last)
		fc_server_conn_drop(conn);
}

void
fc_server_calls_free(fc_server_loop *at)
{
	while (at->free_calls != NULL) {
		fc_server_call *call = at->free_calls;

		at->free_calls = call->next_free;
		fc_free(call);
	}
}

static uint64_t
real_clock(void)
{
	return uv_hrtime();
}

/* What the call has of the limits. */
static void
give_back(fc_server_loop *at, farcall_service *service)
{
	fc_share_give(at->calls, at->alone);
	if (service->max_calls != 0)
		fc_quota_give(&service->calls, at->index);
}

fc_server_call *
fc_server_call_new(fc_server_conn *conn, const fc_route *route)
{
	farcall_service *service = route->service;
	fc_server_loop *at = conn->home;
	fc_server_call *call = take_free(at, conn);

	if (call != NULL) {
		fc_call_renew(&call->call, service->max_message);
	} else {
		call = (fc_server_call *)fc_malloc(sizeof *call);
		if (call == NULL) {
			give_free(at, conn, NULL);
			return NULL;
		}
		fc_call_init(&call->call, &fc_server_call_ops, at->config.pool,
		    service->max_message, &call->memory);
	}
	call->call.clock = real_clock;
	call->call.coding = at->server->coding;
	call->conn = conn;
	call->stream = NULL;
	call->service = service;
	fc_list_append(&conn->calls, &call->in_conn);
	fc_list_init(&call->in_held);
	fc_list_init(&call->in_fresh);
	call->deadline.at = 0;
	call->work.task.queued = false;
	call->work.kind = route->kind;
	call->request = call->reply = NULL;
	call->shared = NULL;
	call->half_closed = call->counted = call->pended = false;
	call->code = FARCALL_OK;
	call->skipped = call->postponed = call->head_posted = false;
	call->unsent = 0;
	atomic_init(&call->phase, 0);
	call->result = FARCALL_OK;
	call->packed = NULL;
	return call;
}

static void
destroy(farcall_call *base)
{
	fc_server_call *call = (fc_server_call *)base;
	fc_server_conn *conn = call->conn;

	if (call->packed != NULL)
		fc_pool_put(conn->home->config.pool, call->packed);
	if (FARCALL_UNLIKELY(base->flow != NULL))
		fc_served_free(call);
	if (call->shared != NULL)
		fc_shared_metadata_drop(call->shared);
	fc_call_fini(base);
	give_free(conn->home, conn, call);
}

/* Off the wire, the connection's list and the timers. */
static void
detach(fc_server_call *call)
{
	fc_conn *conn = &call->conn->conn;

	if (call->stream == NULL)
		return;
	if (conn->engine != NULL)
		conn->ops->release(conn->engine, call->stream);
	call->stream = NULL;
	fc_list_remove(&call->in_conn);
	fc_list_remove(&call->in_fresh);
	if (call->deadline.at != 0)
		fc_timer_stop(conn->loop, &call->deadline);
	if (FARCALL_UNLIKELY(call->call.intercept != NULL)) {
		fc_hooks_over(call);
		fc_intercept_end(&call->call);
	}
}

void
fc_reply_finish(fc_server_call *call)
{
	if (FARCALL_LIKELY(fc_refs_alone(&call->call.refs))) { /* a child would have one */
		fc_metadata_memo_take_back(&call->conn->memo, call->shared);
		call->shared = NULL;
	} else {
		fc_call_end_children(&call->call);
	}
	if (call->counted)
		give_back(call->conn->home, call->service);
	fc_call_drop(&call->call);
}

void
fc_reply_lost(fc_server_call *call, farcall_code code)
{
	bool in_handler = call->half_closed && fc_list_empty(&call->in_held);

	detach(call);
	fc_list_remove(&call->in_held);
	fc_call_mark_cancelled(&call->call);
	if (FARCALL_UNLIKELY(call->call.flow != NULL)) {
		fc_served_lost(call, code);
		in_handler = in_handler && !fc_served_ended(call);
	}
	if (!in_handler)
		fc_reply_finish(call);
}

/* ---- answers ---- */

/* The peer would not take what was to be sent: it is told so, with the sizes if these fit. */
static void
refuse(fc_conn *conn, fc_stream *stream, const char *what)
{
	fc_tail tail = {.code = FARCALL_RESOURCE_EXHAUSTED};
	char text[FC_ERROR_TEXT + 32];
	fc_error why;
	fc_send sent;

	fc_error_clear(&why);
	if (conn->ops->refusal != NULL)
		conn->ops->refusal(conn->engine, &why);
	snprintf(text, sizeof text, "%s: %s", what, why.text);
	tail.message.at = text;
	tail.message.size = strlen(text);
	if (stream->user != NULL) /* else the call was refused before it was one */
		fc_intercept_outcome(&((fc_server_call *)stream->user)->call, tail.code,
		    FARCALL_CAUSE_LIMIT, text, tail.message.size);
	sent = conn->ops->send_tail(conn->engine, stream, &tail);
	if (sent == FC_SEND_TOO_LARGE) {
		tail.message.size = 0;
		sent = conn->ops->send_tail(conn->engine, stream, &tail);
	}
	if (sent == FC_SEND_NO_MEMORY)
		conn->ops->abort(conn->engine, stream, FARCALL_RESOURCE_EXHAUSTED);
}

void
fc_server_send_tail(fc_conn *conn, fc_stream *stream, const fc_tail *tail)
{
	fc_send sent = conn->ops->send_tail(conn->engine, stream, tail);

	if (sent == FC_SEND_TOO_LARGE)
		refuse(conn, stream, "response trailers");
	else if (sent == FC_SEND_NO_MEMORY)
		conn->ops->abort(conn->engine, stream, FARCALL_RESOURCE_EXHAUSTED);
}

void
fc_reply_end(fc_server_call *call, farcall_code code, const char *text)
{
	const fc_tail tail = {.code = code, .message = {text, strlen(text)}};
	fc_conn *conn = &call->conn->conn;

	if (call->stream != NULL) {
		fc_server_send_tail(conn, call->stream, &tail);
		fc_conn_touch(conn);
	}
	fc_intercept_outcome(
	    &call->call, code, FARCALL_CAUSE_NONE, tail.message.at, tail.message.size);
	fc_reply_lost(call,
	    code == FARCALL_DEADLINE_EXCEEDED ? FARCALL_DEADLINE_EXCEEDED : FARCALL_CANCELLED);
}

static fc_send
send_head(fc_server_call *call)
{
	fc_conn *conn = &call->conn->conn;

	if (call->call.head.n == 0)
		return FC_SEND_OK;
	return conn->ops->send_head(
	    conn->engine, call->stream, call->call.head.n, call->call.head.at);
}

/* With the details of the failure, if there are any and the peer takes them; they stand last. */
static void
send_failure_tail(fc_server_call *call, fc_tail *tail)
{
	bool rich =
	    call->call.rich != NULL && fc_rich_put(&call->call, tail->code, tail->message.at);
	fc_conn *conn = &call->conn->conn;
	fc_send sent = FC_SEND_NO_MEMORY;

	tail->n_metadata = call->call.tail.n;
	tail->metadata = call->call.tail.at;
	if (rich)
		sent = conn->ops->send_tail(conn->engine, call->stream, tail);
	if (rich && sent != FC_SEND_TOO_LARGE && sent != FC_SEND_NO_MEMORY)
		return;
	if (sent == FC_SEND_TOO_LARGE) {
		fc_log(FARCALL_LOG_WARNING,
		    "%s: its details are left out, the peer would not take them",
		    call->call.method->path);
		tail->n_metadata--;
	}
	fc_server_send_tail(conn, call->stream, tail);
}

static void
send_failure(fc_server_call *call, farcall_code code, const char *text)
{
	fc_tail tail = {.code = code, .message = {text, strlen(text)}};

	if (send_head(call) == FC_SEND_TOO_LARGE)
		refuse(&call->conn->conn, call->stream, "response metadata");
	else
		send_failure_tail(call, &tail);
	fc_intercept_outcome(&call->call, code, FARCALL_CAUSE_NONE, text, tail.message.size);
}

void
fc_reply_failure(fc_server_call *call, farcall_code code, farcall_cause cause, const char *text)
{
	fc_intercept_outcome(&call->call, code, cause, text, strlen(text));
	if (call->stream != NULL) {
		send_failure(call, code, text);
		fc_conn_touch(&call->conn->conn);
	}
	fc_reply_lost(call, code);
}

fc_send
fc_reply_head(fc_server_call *call)
{
	fc_conn *conn = &call->conn->conn;
	fc_send sent =
	    conn->ops->send_head(conn->engine, call->stream, call->call.head.n, call->call.head.at);

	if (sent == FC_SEND_TOO_LARGE)
		refuse(conn, call->stream, "response metadata");
	return sent;
}

/* The end of a stream, whose messages have gone before. Even without any it has a head: trailers
 * alone are for failures. */
static void
send_end(fc_server_call *call)
{
	const fc_tail tail = {
	    .code = FARCALL_OK, .n_metadata = call->call.tail.n, .metadata = call->call.tail.at};
	fc_send head = fc_reply_head(call);

	if (head == FC_SEND_NO_MEMORY)
		send_failure(call, FARCALL_RESOURCE_EXHAUSTED, "no memory for the reply");
	else if (head != FC_SEND_TOO_LARGE)
		fc_server_send_tail(&call->conn->conn, call->stream, &tail);
}

#define TOO_DEEP "the reply is nested deeper than %d"

static void
send_success(fc_server_call *call)
{
	const fc_tail tail = {
	    .code = FARCALL_OK, .n_metadata = call->call.tail.n, .metadata = call->call.tail.at};
	fc_conn *conn = &call->conn->conn;
	fc_payload payload;
	fc_send head;
	char text[80];

	if (call->packed != NULL) {
		fc_payload_of_bytes(&payload, &call->packed_text);
	} else if (FARCALL_UNLIKELY(call->reply == NULL)) {
		send_end(call);
		return;
	} else if (!fc_payload_of_message(&payload, call->reply)) {
		snprintf(text, sizeof text, TOO_DEEP, FC_MARSHAL_DEPTH);
		send_failure(call, FARCALL_INTERNAL, text);
		return;
	}
	if (payload.size > INT32_MAX) {
		snprintf(text, sizeof text, "the reply of %zu bytes is larger than %d",
		    payload.size, INT32_MAX);
		send_failure(call, FARCALL_INTERNAL, text);
		return;
	}
	fc_call_compress(&call->call, call->stream, call->call.plain);
	head = send_head(call);
	if (head == FC_SEND_TOO_LARGE)
		refuse(conn, call->stream, "response metadata");
	else if (head == FC_SEND_NO_MEMORY ||
	    conn->ops->send_message(conn->engine, call->stream, &payload, false) ==
	        FC_SEND_NO_MEMORY)
		send_failure(call, FARCALL_RESOURCE_EXHAUSTED, "no memory for the reply");
	else
		fc_server_send_tail(conn, call->stream, &tail);
}

/* What the handler meant: a code that crosses the wire. */
static farcall_code
outcome(fc_server_call *call, farcall_code code)
{
	if (code == FARCALL_END)
		code = FARCALL_OK;
	if (call->call.doomed && code == FARCALL_OK)
		return call->call.code;
	return (unsigned)code <= FARCALL_UNAUTHENTICATED ? code : FARCALL_UNKNOWN;
}

void
fc_reply(fc_server_call *call, farcall_code code)
{
	if (call->stream == NULL)
		return;
	code = outcome(call, code);
	if (FARCALL_UNLIKELY(call->call.intercept != NULL) && code == FARCALL_OK)
		fc_hooks_answer(call);
	if (code == FARCALL_OK)
		send_success(call);
	else
		send_failure(call, code, code == call->call.code ? call->call.status_message : "");
	fc_conn_touch(&call->conn->conn);
	detach(call);
}

/* ---- completion from elsewhere ---- */

static farcall_code
pack(fc_server_call *call, const ProtobufCMessage *reply)
{
	fc_payload payload;

	fc_intercept_message(&call->call, true, reply);
	if (!fc_payload_of_message(&payload, reply))
		return farcall_call_fail(&call->call, FARCALL_INTERNAL, TOO_DEEP, FC_MARSHAL_DEPTH);
	call->packed = payload.size <= INT32_MAX
	    ? fc_pool_get(call->conn->home->config.pool, sizeof(fc_block) + payload.size)
	    : NULL;
	if (call->packed == NULL)
		return farcall_call_fail(&call->call, FARCALL_RESOURCE_EXHAUSTED,
		    "no memory for the reply of %zu bytes", payload.size);
	call->packed_text.at = (const char *)(call->packed + 1);
	call->packed_text.size = payload.size;
	payload.flat(&payload, (uint8_t *)(call->packed + 1));
	return FARCALL_OK;
}

bool
fc_reply_post(fc_server_call *call, fc_task *task)
{
	fc_server_loop *at = call->conn->home;
	bool closed;

	if (fc_loop_inside(at->loop)) {
		fc_loop_ready(at->loop, task);
		return true;
	}
	fc_lock(&at->lock);
	closed = at->closed;
	if (!closed)
		fc_loop_post(at->loop, task);
	fc_unlock(&at->lock);
	return !closed;
}

/* The owner of the connection's loop sends it; if that has stopped, nobody does. */
static void
hand_over(fc_server_call *call)
{
	if (!fc_reply_post(call, &call->work.task))
		fc_call_drop(&call->call);
}

static farcall_code
complete(fc_server_call *call, const ProtobufCMessage *reply, farcall_code code)
{
	if ((atomic_fetch_or(&call->phase, FC_PHASE_TAKEN) & FC_PHASE_TAKEN) != 0)
		return fc_call_misuse(&call->call, "a second completion, ignored");
	if (code == FARCALL_OK || code == FARCALL_END)
		code = call->call.doomed ? call->call.code
		    : reply != NULL      ? pack(call, reply)
		                         : FARCALL_OK;
	call->result = code;
	if ((atomic_fetch_or(&call->phase, FC_PHASE_COMPLETED) & FC_PHASE_RETURNED) != 0)
		hand_over(call);
	return code;
}

/* The call as a handler has it; NULL, and misuse is logged, if it is none. */
static fc_server_call *
in_hand(farcall_call *base)
{
	fc_server_call *call = (fc_server_call *)base;

	if (base != NULL && base->ops->server && (call->reply != NULL || base->flow != NULL))
		return fc_server_forked(call->conn->home->server, "complete") ? NULL : call;
	fc_call_misuse(base, "complete: not a call that a handler was given");
	return NULL;
}

void
farcall_call_complete(farcall_call *base, farcall_code code)
{
	fc_server_call *call = in_hand(base);

	if (call == NULL)
		return;
	if (code == FARCALL_PENDING)
		fc_call_misuse(base, "complete: PENDING is no outcome");
	else
		complete(call, call->reply, code);
}

farcall_code
farcall_call_send_reply(farcall_call *base, const ProtobufCMessage *reply)
{
	fc_server_call *call = in_hand(base);

	if (call == NULL)
		return FARCALL_FAILED_PRECONDITION;
	if (call->reply == NULL)
		return fc_call_misuse(
		    base, "send reply: a stream's replies are sent by farcall_call_send()");
	if (reply == NULL)
		return fc_call_misuse(base, "send reply: NULL");
	return complete(call, reply, FARCALL_OK);
}

farcall_code
farcall_call_fail(farcall_call *call, farcall_code code, const char *format, ...)
{
	va_list arguments;
	char *text;

	if (call != NULL && FARCALL_UNLIKELY(fc_intercept_stages(call))) {
		va_start(arguments, format);
		fc_intercept_stage_failure(call, code, format, arguments);
		va_end(arguments);
		return code;
	}
	if (call == NULL || code == FARCALL_OK || call->doomed)
		return call != NULL && call->doomed ? call->code : code;
	if (!call->ops->server) {
		fc_call_misuse(call, "fail: not a server's call");
		return code;
	}
	va_start(arguments, format);
	text = fc_arena_vprintf(&call->kept, format, arguments);
	va_end(arguments);
	fc_spin_lock(&call->lock); /* a step of a stream may fail meanwhile, in another thread */
	call->code = FARCALL_OK;   /* the last word counts */
	fc_call_settle(call, code, FARCALL_CAUSE_NONE, text, text != NULL ? strlen(text) : 0);
	fc_spin_unlock(&call->lock);
	return code;
}

/* ---- what a server's call is ---- */

static void
cancel(farcall_call *call)
{
	fc_call_mark_cancelled(call);
	if (call->flow != NULL)
		fc_served_cancel((fc_server_call *)call);
}

static void
let_go(farcall_call *call)
{
	(void)call;
}

static const char *
peer(const farcall_call *call)
{
	return ((const fc_server_call *)call)->conn->peer.text;
}

static bool
peer_ids(const farcall_call *call, int64_t *uid, int64_t *gid, int64_t *pid)
{
	const fc_peer *who = &((const fc_server_call *)call)->conn->peer;

	if (uid != NULL)
		*uid = who->uid;
	if (gid != NULL)
		*gid = who->gid;
	if (pid != NULL)
		*pid = who->pid;
	return who->has_ids;
}

const fc_call_ops fc_server_call_ops = {
    .server = true,
    .cancel = cancel,
    .let_go = let_go,
    .destroy = destroy,
    .peer = peer,
    .peer_ids = peer_ids,
};
