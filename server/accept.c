/*
 * accept.c: a server's connections, from accept to the last reference.
 */
#include "server/internal.h"

#include "runtime/base/alloc.h"
#include "runtime/base/log.h"

void
fc_server_conn_drop(fc_server_conn *conn)
{
	farcall_server *server = conn->server;

	if (!fc_refs_drop(&conn->refs))
		return;
	fc_free(conn);
	fc_server_drop(server);
}

static void
on_closed(fc_conn *base, const fc_error *why)
{
	fc_server_conn *conn = FC_CONTAINER(base, fc_server_conn, conn);
	farcall_server *server = conn->server;

	if (why->code != FARCALL_OK)
		fc_log(FARCALL_LOG_INFO, "connection of %s: %s", conn->peer.text, why->text);
	fc_dispatch_cancel_all(conn, FARCALL_UNAVAILABLE, "connection lost");
	fc_metadata_memo_fini(&conn->memo);
	fc_list_remove(&conn->in_server);
	server->n_conns--;
	if (atomic_load(&server->state) == FC_SERVER_RUNNING)
		fc_endpoints_pause(server, false);
	fc_server_hold(server);
	fc_server_conn_drop(conn);
	fc_server_check_drained(server);
	fc_server_drop(server);
}

static const fc_engine_events engine_events = {
    .lookup = fc_dispatch_lookup,
    .on_request = fc_dispatch_request,
    .on_message = fc_dispatch_message,
    .on_half_close = fc_dispatch_half_close,
    .on_abort = fc_dispatch_abort,
    .on_drained = fc_conn_drained,
    .on_dead = fc_conn_dead,
};

const fc_conn_events fc_server_conn_events = {
    .engine = &engine_events, .on_flushed = fc_dispatch_resume, .on_closed = on_closed};

void
fc_server_on_accept(void *owner, fc_accepted *accepted)
{
	farcall_endpoint *endpoint = (farcall_endpoint *)owner;
	farcall_server *server = endpoint->server;
	fc_server_conn *conn = (fc_server_conn *)fc_calloc(1, sizeof *conn);
	fc_error error;

	fc_error_clear(&error);
	if (conn == NULL) {
		fc_accepted_refuse(accepted);
		fc_log(FARCALL_LOG_WARNING, "accept: out of memory");
		return;
	}
	if (fc_conn_accept(&conn->conn, server->loop, accepted, &fc_server_conn_events,
	        &server->config, &error) != FARCALL_OK) {
		fc_log(FARCALL_LOG_WARNING, "accept: %s", error.text);
		fc_free(conn);
		return;
	}
	fc_conn_set_peer_timeout(&conn->conn, server->peer_timeout_ms);
	fc_refs_init(&conn->refs);
	fc_server_hold(server);
	conn->server = server;
	conn->endpoint = endpoint;
	fc_list_init(&conn->calls);
	fc_list_init(&conn->held);
	atomic_init(&conn->backlog, 0);
	atomic_init(&conn->unsent, 0);
	fc_list_append(&server->conns, &conn->in_server);
	fc_conn_peer(&conn->conn, &conn->peer);
	if (++server->n_conns >= server->max_connections)
		fc_endpoints_pause(server, true);
}
