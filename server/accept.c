/*
 * accept.c: a server's connections, from accept to the last reference. The first loop accepts them
 * all; what it gives to another loop goes there by mail, not yet read from.
 */
#include "server/internal.h"

#include "runtime/base/alloc.h"
#include "runtime/base/log.h"

void
fc_server_conn_drop(fc_server_conn *conn)
{
	farcall_server *server = conn->home->server;

	if (!fc_refs_drop(&conn->refs))
		return;
	if (FARCALL_UNLIKELY(conn->welcome))
		fc_session_close(conn);
	fc_free(conn);
	fc_server_drop(server);
}

/* ---- the limit ---- */

static void
resume(farcall_server *server)
{
	if (atomic_load(&server->state) == FC_SERVER_RUNNING &&
	    fc_loops_conns(server) < server->max_connections)
		fc_endpoints_pause(server, false);
}

void
fc_server_resume(fc_task *task)
{
	farcall_server *server = FC_CONTAINER(task, farcall_server, resume);

	atomic_store(&server->resume_posted, false);
	resume(server);
}

/* A Dekker pair: {count one less; read paused} against {paused = true; count}. So either the first
 * loop finds room again, or it is told. */
static void
leave(fc_server_loop *at)
{
	farcall_server *server = at->server;

	atomic_fetch_sub(&at->n_conns, 1);
	if (!atomic_load(&server->paused))
		return;
	if (at->index == 0)
		resume(server);
	else if (!atomic_exchange(&server->resume_posted, true))
		fc_loop_post(server->loop, &server->resume);
}

static void
pause_if_full(farcall_server *server)
{
	if (fc_loops_conns(server) < server->max_connections)
		return;
	fc_endpoints_pause(server, true);
	if (fc_loops_conns(server) < server->max_connections)
		fc_endpoints_pause(server, false);
}

/* ---- a connection ---- */

static void
on_closed(fc_conn *base, const fc_error *why)
{
	fc_server_conn *conn = FC_CONTAINER(base, fc_server_conn, conn);
	fc_server_loop *at = conn->home;
	farcall_server *server = at->server;

	if (why->code != FARCALL_OK)
		fc_log(FARCALL_LOG_INFO, "connection of %s: %s", conn->peer.text, why->text);
	fc_lifecycle_end(conn);
	fc_dispatch_cancel_all(conn, FARCALL_UNAVAILABLE, "connection lost");
	fc_metadata_memo_fini(&conn->memo);
	fc_list_remove(&conn->in_loop);
	leave(at);
	fc_server_hold(server);
	fc_server_conn_drop(conn);
	fc_server_check_drained(at);
	fc_server_drop(server);
}

static const fc_engine_events engine_events = {
    .lookup = fc_dispatch_lookup,
    .on_request = fc_dispatch_request,
    .on_message = fc_dispatch_message,
    .on_half_close = fc_dispatch_half_close,
    .on_abort = fc_dispatch_abort,
    .on_sent = fc_dispatch_sent,
    .on_drained = fc_conn_drained,
    .on_dead = fc_conn_dead,
};

const fc_conn_events fc_server_conn_events = {
    .engine = &engine_events, .on_flushed = fc_dispatch_resume, .on_closed = on_closed};

/* On its own loop. It comes there before that loop is told to stop: the first loop posts both. */
static void
adopt(fc_server_conn *conn)
{
	fc_server_loop *at = conn->home;
	fc_error error;

	fc_error_clear(&error);
	if (fc_conn_accept(&conn->conn, at->loop, conn->accepted, &fc_server_conn_events,
	        &at->config, &error) != FARCALL_OK) {
		fc_log(FARCALL_LOG_WARNING, "accept: %s", error.text);
		leave(at);
		fc_server_conn_drop(conn);
		return;
	}
	fc_conn_set_peer_timeout(&conn->conn, fc_lifecycle_peer_timeout(at->server));
	fc_list_append(&at->conns, &conn->in_loop);
	fc_conn_peer(&conn->conn, &conn->peer);
	if (!fc_lifecycle_begin(conn))
		fc_conn_close(&conn->conn, FARCALL_RESOURCE_EXHAUSTED, "out of memory");
	if (at->server->on_open != NULL || at->server->on_close != NULL)
		fc_session_open(conn);
}

static void
adopt_there(fc_task *task)
{
	adopt(FC_CONTAINER(task, fc_server_conn, adopt));
}

void
fc_server_on_accept(void *owner, fc_accepted *accepted)
{
	farcall_endpoint *endpoint = (farcall_endpoint *)owner;
	farcall_server *server = endpoint->server;
	fc_server_conn *conn = (fc_server_conn *)fc_calloc(1, sizeof *conn);

	if (conn == NULL) {
		fc_accepted_refuse(accepted);
		fc_log(FARCALL_LOG_WARNING, "accept: out of memory");
		return;
	}
	fc_refs_init(&conn->refs);
	fc_server_hold(server);
	conn->home = fc_loops_least(server);
	conn->endpoint = endpoint;
	conn->accepted = accepted;
	conn->adopt.run = adopt_there;
	fc_list_init(&conn->calls);
	fc_list_init(&conn->held);
	atomic_init(&conn->backlog, 0);
	atomic_init(&conn->unsent, 0);
	atomic_fetch_add(&conn->home->n_conns, 1);
	if (conn->home->index == 0)
		adopt(conn);
	else
		fc_loop_post(conn->home->loop, &conn->adopt);
	pause_if_full(server);
}
