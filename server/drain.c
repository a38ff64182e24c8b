/*
 * drain.c: stopping. No new connections, records withdrawn, GOAWAY in two steps on every
 * connection, calls in flight go on until the grace is over; then they are cancelled and the
 * connections closed. The server has stopped when the last connection is gone.
 */
#include "server/internal.h"

static void
cancel_the_rest(farcall_server *server)
{
	fc_list_each (item, following, &server->conns) {
		fc_server_conn *conn = FC_CONTAINER(item, fc_server_conn, in_server);

		fc_dispatch_cancel_all(conn, FARCALL_UNAVAILABLE, "the server has stopped");
		fc_conn_close(&conn->conn, FARCALL_OK, "the server has stopped");
	}
}

void
fc_server_on_grace(fc_timer *timer)
{
	cancel_the_rest(FC_CONTAINER(timer, farcall_server, grace));
}

static void
begin_stop(farcall_server *server)
{
	atomic_store(&server->state, FC_SERVER_STOPPING);
	fc_publish_withdraw(server);
	fc_endpoints_close(server);
	fc_signals_stop(&server->signals);
	fc_list_each (item, following, &server->conns)
		fc_conn_drain(&FC_CONTAINER(item, fc_server_conn, in_server)->conn);
}

void
fc_server_stop_task(fc_task *task)
{
	farcall_server *server = FC_CONTAINER(task, farcall_server, stop);
	uint64_t grace, now = fc_loop_now(server->loop);

	if (atomic_exchange(&server->stop_posted, FC_STOP_NOT_POSTED) == FC_STOP_FREES) {
		fc_server_destroy(server);
		return;
	}
	grace = atomic_load(&server->stop_grace);
	if (atomic_load(&server->state) == FC_SERVER_STOPPED)
		return;
	if (atomic_load(&server->state) == FC_SERVER_RUNNING)
		begin_stop(server);
	grace = grace < (FC_NEVER - now) / FC_NS_PER_MS ? grace * FC_NS_PER_MS : FC_NEVER - now;
	if (grace == 0 || !fc_timer_start(server->loop, &server->grace, now + grace))
		cancel_the_rest(server);
	fc_server_check_drained(server);
}

void
fc_server_check_drained(farcall_server *server)
{
	if (atomic_load(&server->state) != FC_SERVER_STOPPING || !fc_list_empty(&server->conns))
		return;
	fc_timer_stop(server->loop, &server->grace);
	fc_lock(&server->lock);
	server->closed = true;
	atomic_store(&server->state, FC_SERVER_STOPPED);
	fc_cond_broadcast(&server->stopped);
	fc_unlock(&server->lock);
	fc_server_drop(server);
}

/* The first asks the server to stop gently, the second at once. */
void
fc_server_on_signal(fc_signals *signals)
{
	farcall_server *server = FC_CONTAINER(signals, farcall_server, signals);
	bool again = atomic_load(&server->stop_grace) != FC_NEVER;

	farcall_server_stop(server, again ? 0 : FC_SERVER_SIGNAL_GRACE_MS);
}
