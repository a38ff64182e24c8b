/*
 * sessions.c: the program is told of connections, and may keep something for each. It is told of
 * the end when the last reference has gone: the connection's own, and each call's. So what it keeps
 * is there for every handler, however long that runs.
 */
#include "server/internal.h"

#include "runtime/base/log.h"

void
farcall_server_on_connection(
    farcall_server *server, farcall_on_open *open, farcall_on_close *close, void *data)
{
	if (!fc_server_in_setup(server, "on connection"))
		return;
	server->on_open = open;
	server->on_close = close;
	server->on_connection_data = data;
}

void
fc_session_open(fc_server_conn *conn)
{
	farcall_server *server = conn->home->server;
	const char *endpoint = conn->endpoint->name;
	const farcall_connection seen = {.peer = conn->peer.text,
	    .endpoint = endpoint != NULL ? endpoint : "",
	    .uid = conn->peer.uid,
	    .gid = conn->peer.gid,
	    .pid = conn->peer.pid};
	farcall_code code = FARCALL_OK;

	if (server->on_open != NULL)
		code = server->on_open(&seen, &conn->user, server->on_connection_data);
	conn->welcome = code == FARCALL_OK && server->on_close != NULL;
	if (code == FARCALL_OK)
		return;
	fc_log(FARCALL_LOG_INFO, "connection of %s: refused, %s", conn->peer.text,
	    farcall_code_name(code));
	fc_conn_kill(&conn->conn);
}

void
fc_session_close(fc_server_conn *conn)
{
	farcall_server *server = conn->home->server;

	server->on_close(conn->user, server->on_connection_data);
}

void *
farcall_call_connection_data(const farcall_call *call)
{
	if (call == NULL || !call->ops->server)
		return NULL;
	return ((const fc_server_call *)call)->conn->user;
}
