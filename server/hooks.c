/*
 * hooks.c: when a server's hooks come. begin runs as a task of the loop, once the events that
 * brought the call are over: outside every event, as handlers do, but before the request counts
 * among the calls of the server or is given to anybody. What has arrived by then waits. Where begin
 * pends, the call's stream lives on like any other: it may be cancelled, its deadline may pass; the
 * call object stays until it is resumed.
 */
#include "server/internal.h"

/* ---- set-up ---- */

void
farcall_server_intercept(
    farcall_server *server, const farcall_interceptor *hooks, size_t hooks_size, void *data)
{
	if (fc_server_in_setup(server, "intercept"))
		fc_interceptors_add(&server->chain, hooks, hooks_size, data, &server->error);
}

void
farcall_service_set_authorize(farcall_service *service, farcall_begin_hook *authorize, void *data)
{
	if (service == NULL || service->server == NULL ||
	    !fc_server_in_setup(service->server, "set authorize"))
		return;
	service->authorize.hooks.begin = authorize;
	service->authorize.data = data;
}

void
fc_hooks_settle(farcall_server *server, farcall_service *service)
{
	if (server->chain.n != 0 || service->authorize.hooks.begin != NULL)
		service->extras |= FC_EXTRA_HOOKS;
}

/* ---- tasks: each keeps a reference to the call ---- */

static fc_server_call *
call_of(fc_task *task)
{
	return (fc_server_call *)FC_CONTAINER(task, fc_intercept, task)->call;
}

static void
run_later(fc_server_call *call, void (*run)(fc_task *task))
{
	fc_task *task = &call->call.intercept->task;

	fc_refs_hold(&call->call.refs);
	task->run = run;
	fc_loop_ready(call->conn->conn.loop, task);
}

/* From any thread. If the loop has stopped, so has the call. */
static void
post(fc_server_call *call, void (*run)(fc_task *task))
{
	fc_task *task = &call->call.intercept->task;

	fc_refs_hold(&call->call.refs);
	task->run = run;
	if (!fc_reply_post(call, task))
		fc_call_drop(&call->call);
}

/* ---- the way of a call ---- */

/* Its client may send many messages; none is waited for. */
static bool
takes_many(const fc_server_call *call)
{
	return call->call.flow != NULL && fc_served_takes(call);
}

/* The call may go on, and its request is whole, if it has one. */
static void
proceed(fc_server_call *call)
{
	if (call->stream != NULL && call->request != NULL)
		fc_intercept_message(&call->call, false, call->request);
	if (call->stream != NULL)
		fc_dispatch_start(call);
}

static void
run_proceed(fc_task *task)
{
	fc_server_call *call = call_of(task);

	proceed(call);
	fc_call_drop(&call->call);
}

void
fc_hooks_over(fc_server_call *call)
{
	if (!call->pended || fc_intercept_stages(&call->call))
		return;
	call->pended = false;
	atomic_fetch_sub(&call->conn->home->n_pended, 1);
}

static void
after_begin(fc_server_call *call)
{
	fc_error error;

	if (call->stream == NULL) {
		fc_hooks_over(call);
		return;
	}
	fc_error_clear(&error);
	if (fc_intercept_join(&call->call, &error) != FARCALL_OK)
		fc_reply_failure(call, error.code, error.cause, error.text);
	else if (call->call.intercept->waiting)
		proceed(call);
}

static void
run_after_begin(fc_task *task)
{
	fc_server_call *call = call_of(task);

	after_begin(call);
	fc_call_drop(&call->call);
}

static void
resumed(farcall_call *call)
{
	post((fc_server_call *)call, run_after_begin);
}

/* One that pends outlives its stream until it is resumed. So the limit on streams does not bound
 * these: a client could leave one behind, with a short deadline, and begin another. */
static void
begin(fc_server_call *call)
{
	fc_server_loop *at = call->conn->home;

	if (atomic_load(&at->n_pended) >= at->server->max_calls) {
		fc_reply_failure(call, FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_LIMIT,
		    "too many calls wait for interceptors");
		return;
	}
	call->call.intercept->resumed = resumed;
	if (fc_intercept_begin(&call->call) || !fc_intercept_waits(&call->call)) {
		after_begin(call);
	} else {
		call->pended = true;
		atomic_fetch_add(&at->n_pended, 1);
	}
}

static void
run_begin(fc_task *task)
{
	fc_server_call *call = call_of(task);

	if (call->stream != NULL)
		begin(call);
	fc_call_drop(&call->call);
}

void
fc_hooks_arrived(fc_server_call *call, const fc_head *head)
{
	farcall_service *service = call->service;
	const fc_interceptor *authorize =
	    service->authorize.hooks.begin != NULL ? &service->authorize : NULL;
	bool ok = true;

	if ((service->extras & FC_EXTRA_ANY_PATH) != 0)
		ok = fc_catch_all_name(call, head);
	if (ok && (service->extras & FC_EXTRA_HOOKS) != 0) {
		ok = fc_intercept_new(&call->call, &service->server->chain, authorize);
		if (ok) {
			call->call.intercept->waiting = takes_many(call);
			run_later(call, run_begin);
		}
	} else if (ok && takes_many(call)) {
		fc_dispatch_start(call);
	}
	if (!ok)
		fc_reply_failure(call, FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_OUT_OF_MEMORY,
		    "no memory for the call's hooks");
}

/* What follows the request's last byte: now, if begin is over, else after it. */
void
fc_hooks_half_closed(fc_server_call *call)
{
	if (call->call.intercept->joined)
		run_later(call, run_proceed);
	else
		call->call.intercept->waiting = true;
}

/* One that was packed before has been seen then. */
void
fc_hooks_answer(fc_server_call *call)
{
	fc_payload payload;

	if (call->packed == NULL && call->reply == NULL)
		return; /* a stream's replies have been seen one by one */
	if (call->packed != NULL) {
		fc_intercept_count(&call->call, true, call->packed_text.size);
		return;
	}
	fc_intercept_message(&call->call, true, call->reply);
	if (fc_payload_of_message(&payload, call->reply))
		fc_intercept_count(&call->call, true, payload.size);
}
