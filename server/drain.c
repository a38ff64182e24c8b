/*
 * drain.c: stopping. No new connections, records withdrawn, GOAWAY in two steps on every
 * connection, calls in flight go on until the grace is over; then they are cancelled and the
 * connections closed. A loop has stopped when its last connection is gone; the first loop, and the
 * server with it, when all others have.
 */
#include "server/internal.h"

static void
cancel_the_rest(fc_server_loop *at)
{
	fc_list_each (item, following, &at->conns) {
		fc_server_conn *conn = FC_CONTAINER(item, fc_server_conn, in_loop);

		fc_dispatch_cancel_all(conn, FARCALL_UNAVAILABLE, "the server has stopped");
		fc_conn_close(&conn->conn, FARCALL_OK, "the server has stopped");
	}
}

void
fc_server_on_grace(fc_timer *timer)
{
	cancel_the_rest(FC_CONTAINER(timer, fc_server_loop, grace));
}

/* ---- each loop ---- */

static void
begin_stop_here(fc_server_loop *at)
{
	at->state = FC_SERVER_STOPPING;
	fc_list_each (item, following, &at->conns)
		fc_conn_drain(&FC_CONTAINER(item, fc_server_conn, in_loop)->conn, "");
}

/* Or again, with a shorter grace. */
static void
stop_here(fc_server_loop *at)
{
	uint64_t grace = atomic_load(&at->server->stop_grace), now = fc_loop_now(at->loop);

	if (at->state == FC_SERVER_STOPPED)
		return;
	if (at->state == FC_SERVER_RUNNING)
		begin_stop_here(at);
	grace = grace < (FC_NEVER - now) / FC_NS_PER_MS ? grace * FC_NS_PER_MS : FC_NEVER - now;
	if (grace == 0 || !fc_timer_start(at->loop, &at->grace, now + grace))
		cancel_the_rest(at);
	fc_server_check_drained(at);
}

void
fc_server_stop_there(fc_task *task)
{
	fc_server_loop *at = FC_CONTAINER(task, fc_server_loop, stop);

	atomic_store(&at->told, false);
	stop_here(at);
}

/* The first loop waits for the others: it has to pass on what shortens their grace. */
void
fc_server_check_drained(fc_server_loop *at)
{
	farcall_server *server = at->server;

	if (at->state != FC_SERVER_STOPPING || !fc_list_empty(&at->conns))
		return;
	if (at->index == 0 && server->n_others != 0)
		return;
	fc_timer_stop(at->loop, &at->grace);
	fc_lock(&at->lock);
	at->closed = true;
	fc_unlock(&at->lock);
	at->state = FC_SERVER_STOPPED;
	if (at->index != 0) {
		fc_loop_post(server->loop, &at->gone);
		return;
	}
	atomic_store(&server->state, FC_SERVER_STOPPED);
	fc_server_drop(server);
}

void
fc_server_loop_gone(fc_task *task)
{
	farcall_server *server = FC_CONTAINER(task, fc_server_loop, gone)->server;

	server->n_others--;
	fc_server_check_drained(server->loops[0]);
}

/* ---- the whole server, on its first loop ---- */

static void
begin_stop(farcall_server *server)
{
	atomic_store(&server->state, FC_SERVER_STOPPING);
	fc_publish_withdraw(server);
	fc_endpoints_close(server);
	fc_signals_stop(&server->signals);
}

void
fc_server_stop_task(fc_task *task)
{
	farcall_server *server = FC_CONTAINER(task, farcall_server, stop);

	if (atomic_exchange(&server->stop_posted, FC_STOP_NOT_POSTED) == FC_STOP_FREES) {
		fc_server_destroy(server);
		return;
	}
	if (atomic_load(&server->state) == FC_SERVER_STOPPED)
		return;
	if (atomic_load(&server->state) == FC_SERVER_RUNNING)
		begin_stop(server);
	for (unsigned i = 1; i < server->n_up; i++)
		if (!atomic_exchange(&server->loops[i]->told, true))
			fc_loop_post(server->loops[i]->loop, &server->loops[i]->stop);
	stop_here(server->loops[0]);
}

/* The first asks the server to stop gently, the second at once. */
void
fc_server_on_signal(fc_signals *signals)
{
	farcall_server *server = FC_CONTAINER(signals, farcall_server, signals);
	bool again = atomic_load(&server->stop_grace) != FC_NEVER;

	farcall_server_stop(server, again ? 0 : FC_SERVER_SIGNAL_GRACE_MS);
}
