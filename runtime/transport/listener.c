/*
 * listener.c: takes connections from bound sockets and hands them up.
 *
 * Out of descriptors or memory the sockets are left alone for a while: the connections wait in the
 * system's queue, and a loop that cannot take them does not spin.
 */
#include "runtime/transport/bind.h"
#include "runtime/transport/pipe.h"

#include "runtime/base/alloc.h"
#include "runtime/base/log.h"
#include "runtime/transport/cause.h"

#define ACCEPTS_A_TURN 64u
#define BACK_OFF_NS (100 * FC_NS_PER_MS)
#define LOG_NS FC_NS_PER_S

typedef struct gate {
	fc_listener *listener;
	fc_sock sock;
	fc_place place;
	bool watched; /* `poll` is initialised */
	bool asked;   /* libuv has been asked for readiness */
	uv_poll_t poll;
} gate;

struct fc_listener {
	fc_loop *loop; /* once started */
	void (*on_accept)(void *owner, fc_accepted *accepted);
	void *owner;
	bool paused, backing_off, closed;
	uint64_t turn; /* that `left` is for */
	unsigned left;
	uint64_t logged; /* when it last complained */
	fc_timer again;
	size_t handles; /* of libuv's, not closed yet */
	bool has_path;
	fc_path_id path;
	fc_mem_listener *mem;
	fc_task mem_task;
	bool mem_task_due; /* it is to run some time, or runs */
	fc_place mem_place;
	size_t n;
	gate *gates;
};

static void
free_if_done(fc_listener *listener)
{
	if (!listener->closed || listener->handles != 0 || listener->mem_task_due)
		return;
	fc_free(listener->gates);
	fc_free(listener);
}

/* ---- accepting ---- */

static void on_ready(uv_poll_t *poll, int status, int events);

static void
watch(fc_listener *listener)
{
	bool on = !listener->paused && !listener->backing_off;

	for (size_t i = 0; i < listener->n; i++) {
		gate *g = &listener->gates[i];

		if (!g->watched || on == g->asked)
			continue;
		g->asked = on;
		if (on)
			uv_poll_start(&g->poll, UV_READABLE, on_ready);
		else
			uv_poll_stop(&g->poll);
	}
	if (listener->mem == NULL || on == listener->mem_task_due)
		return;
	if (on) {
		listener->mem_task_due = true;
		fc_mem_listener_watch(listener->mem, listener->loop, &listener->mem_task);
	} else if (fc_mem_listener_unwatch(listener->mem)) {
		listener->mem_task_due = false;
	}
}

/* The timer is in the heap from the start, so that moving it cannot fail. */
static void
back_off(fc_listener *listener, int number)
{
	uint64_t now = fc_loop_now(listener->loop);
	fc_error error;

	fc_error_clear(&error);
	if (now - listener->logged >= LOG_NS || listener->logged == 0) {
		fc_fail_number(&error, number, "accept");
		fc_log(FARCALL_LOG_WARNING, "%s; trying again every 100 ms", error.text);
		listener->logged = now;
	}
	listener->backing_off = true;
	fc_timer_start(listener->loop, &listener->again, now + BACK_OFF_NS);
	watch(listener);
}

static void
try_again(fc_timer *timer)
{
	fc_listener *listener = FC_CONTAINER(timer, fc_listener, again);

	listener->backing_off = false;
	fc_timer_start(listener->loop, timer, FC_NEVER);
	watch(listener);
}

static bool
may_accept(fc_listener *listener)
{
	uint64_t turn = fc_loop_turn_number(listener->loop);

	if (turn != listener->turn) {
		listener->turn = turn;
		listener->left = ACCEPTS_A_TURN;
	}
	return listener->left > 0 && !listener->closed && !listener->paused &&
	    !listener->backing_off;
}

/* Answers whether there may be more. */
static bool
accept_one(fc_listener *listener, gate *g)
{
	fc_accepted *accepted;
	fc_place peer;
	fc_sock sock;
	int number = fc_sock_accept(g->sock, &sock, &peer);

	if (fc_number_is_of_peer(number))
		return true;
	if (number != 0) {
		if (!fc_number_is_again(number))
			back_off(listener, number);
		return false;
	}
	accepted = fc_accepted_new(sock, &peer, NULL);
	if (accepted == NULL) {
		fc_sock_close(sock);
		back_off(listener, FC_E(ENOBUFS));
		return false;
	}
	listener->on_accept(listener->owner, accepted);
	return true;
}

static void
on_ready(uv_poll_t *poll, int status, int events)
{
	gate *g = (gate *)poll->data;
	fc_listener *listener = g->listener;

	(void)events;
	fc_loop_awake(listener->loop);
	if (status < 0) {
		g->asked = false;
		back_off(listener, fc_sock_error(g->sock));
		return;
	}
	while (may_accept(listener)) {
		listener->left--;
		if (!accept_one(listener, g))
			break;
	}
}

static void
accept_waiting(fc_listener *listener)
{
	fc_mem_end *end;

	while (may_accept(listener) && (end = fc_mem_listener_take(listener->mem)) != NULL) {
		fc_accepted *accepted = fc_accepted_new(FC_SOCK_NONE, NULL, end);

		listener->left--;
		if (accepted == NULL) {
			fc_mem_refuse(end);
			back_off(listener, FC_E(ENOBUFS));
			return;
		}
		listener->on_accept(listener->owner, accepted);
	}
}

static void
accept_mem(fc_task *task)
{
	fc_listener *listener = FC_CONTAINER(task, fc_listener, mem_task);

	accept_waiting(listener);
	listener->mem_task_due = false;
	if (listener->closed)
		free_if_done(listener);
	else
		watch(listener);
}

/* ---- begin ---- */

static farcall_code
take_sockets(fc_listener *listener, const fc_binding *binding, fc_error *error)
{
	listener->gates = (gate *)fc_calloc(binding->n, sizeof(gate));
	if (listener->gates == NULL)
		return fc_fail_memory(error, "listener");
	listener->n = binding->n;
	listener->has_path = binding->has_path;
	listener->path = binding->path;
	for (size_t i = 0; i < binding->n; i++) {
		listener->gates[i].listener = listener;
		listener->gates[i].sock = binding->at[i].sock;
		listener->gates[i].place = binding->at[i].place;
	}
	return FARCALL_OK;
}

/* A binding is too large for some stacks. */
static farcall_code
open_sockets(fc_listener *listener, const fc_address *address, fc_error *error)
{
	fc_binding *binding = (fc_binding *)fc_malloc(sizeof *binding);
	farcall_code rc;

	if (binding == NULL)
		return fc_fail_memory(error, "listener");
	rc = fc_bind(binding, address, error);
	if (rc == FARCALL_OK) {
		rc = take_sockets(listener, binding, error);
		if (rc != FARCALL_OK) {
			if (binding->has_path)
				fc_sock_remove_path(&binding->at[0].place, &binding->path);
			for (size_t i = 0; i < binding->n; i++)
				fc_sock_close(binding->at[i].sock);
		}
	}
	fc_free(binding);
	return rc;
}

static farcall_code
open_mem(fc_listener *listener, const fc_address *address, fc_error *error)
{
	farcall_code rc = fc_mem_place(&listener->mem_place, address->path, error);

	if (rc != FARCALL_OK)
		return rc;
	listener->mem = fc_mem_listener_open(&listener->mem_place, error);
	return listener->mem != NULL ? FARCALL_OK : FARCALL_UNAVAILABLE;
}

fc_listener *
fc_listener_open(const fc_address *address, fc_error *error)
{
	fc_listener *listener = (fc_listener *)fc_calloc(1, sizeof *listener);
	farcall_code rc;

	if (listener == NULL) {
		fc_fail_memory(error, "listener");
		return NULL;
	}
	fc_timer_init(&listener->again, try_again);
	listener->mem_task.run = accept_mem;
	rc = address->scheme == FC_SCHEME_MEM ? open_mem(listener, address, error)
	                                      : open_sockets(listener, address, error);
	if (rc != FARCALL_OK) {
		fc_free(listener);
		return NULL;
	}
	return listener;
}

size_t
fc_listener_count(const fc_listener *listener)
{
	return listener->mem != NULL ? 1 : listener->n;
}

const fc_place *
fc_listener_place(const fc_listener *listener, size_t i)
{
	return listener->mem != NULL ? &listener->mem_place : &listener->gates[i].place;
}

void
fc_listener_set_mode(fc_listener *listener, unsigned mode)
{
	fc_error error;

	fc_error_clear(&error);
	if (listener->has_path &&
	    fc_sock_set_path_mode(&listener->gates[0].place, mode, &error) != FARCALL_OK)
		fc_log(FARCALL_LOG_ERROR, "%s", error.text);
}

farcall_code
fc_listener_start(fc_listener *listener, fc_loop *loop,
    void (*on_accept)(void *owner, fc_accepted *accepted), void *owner, fc_error *error)
{
	listener->loop = loop;
	listener->on_accept = on_accept;
	listener->owner = owner;
	if (!fc_timer_start(loop, &listener->again, FC_NEVER)) {
		listener->loop = NULL;
		return fc_fail_memory(error, "listener");
	}
	for (size_t i = 0; i < listener->n; i++) {
		gate *g = &listener->gates[i];
		int rc = uv_poll_init_socket(fc_loop_uv(loop), &g->poll, g->sock);

		if (rc != 0)
			return fc_fail(error, FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_SYSTEM,
			    "watch %s: %s", fc_place_short(&g->place), uv_err_name(rc));
		g->poll.data = g;
		g->watched = true;
		listener->handles++;
	}
	if (listener->mem != NULL)
		fc_loop_keep(loop, true);
	watch(listener);
	return FARCALL_OK;
}

void
fc_listener_pause(fc_listener *listener, bool pause)
{
	listener->paused = pause;
	if (listener->loop != NULL)
		watch(listener);
}

/* ---- end ---- */

static void
on_released(uv_handle_t *handle)
{
	fc_listener *listener = ((gate *)handle->data)->listener;

	listener->handles--;
	free_if_done(listener);
}

void
fc_listener_abandon(const fc_listener *listener)
{
	for (size_t i = 0; i < listener->n; i++)
		if (!listener->gates[i].watched)
			fc_sock_close(listener->gates[i].sock);
}

void
fc_listener_close(fc_listener *listener)
{
	listener->closed = true;
	if (listener->has_path)
		fc_sock_remove_path(&listener->gates[0].place, &listener->path);
	if (listener->loop != NULL) {
		fc_loop_after_fork(listener->loop);
		fc_timer_stop(listener->loop, &listener->again);
		if (listener->mem != NULL)
			fc_loop_keep(listener->loop, false);
	}
	for (size_t i = 0; i < listener->n; i++) {
		gate *g = &listener->gates[i];

		if (g->watched)
			uv_close((uv_handle_t *)&g->poll, on_released);
		fc_sock_close(g->sock);
	}
	if (listener->mem != NULL) {
		if (listener->mem_task_due && fc_mem_listener_unwatch(listener->mem))
			listener->mem_task_due = false;
		fc_mem_listener_close(listener->mem);
	}
	free_if_done(listener);
}
