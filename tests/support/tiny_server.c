#include "tests/support/tiny_server.h"

#include "runtime/base/alloc.h"
#include "runtime/call/marshal.h"
#include "runtime/protocol/grpc/grpc.h"

static const void *
lookup(void *owner, const char *path, size_t size)
{
	(void)path, (void)size;
	return owner;
}

static void
forget(tiny_call *call)
{
	call->conn->conn.ops->release(call->conn->conn.engine, call->stream);
	fc_list_remove(&call->in_conn);
	fc_free(call);
}

static void
on_request(void *owner, fc_stream *stream, const fc_head *head)
{
	tiny_conn *conn = (tiny_conn *)owner;
	tiny_call *call = (tiny_call *)fc_calloc(1, sizeof *call);

	call->conn = conn;
	call->stream = stream;
	stream->user = call;
	fc_list_append(&conn->calls, &call->in_conn);
	conn->server->n_requests++;
	if (conn->server->on_head != NULL)
		conn->server->on_head(call, head);
	if (conn->server->on_request != NULL)
		conn->server->on_request(call);
}

static void
on_message(void *owner, fc_stream *stream, const uint8_t *bytes, size_t size)
{
	tiny_conn *conn = (tiny_conn *)owner;
	tiny_call *call = (tiny_call *)stream->user;

	call->received++;
	if (conn->server->on_message != NULL)
		conn->server->on_message(call, bytes, size);
	else
		tiny_take(call, size);
}

static void
on_half_close(void *owner, fc_stream *stream)
{
	tiny_conn *conn = (tiny_conn *)owner;

	if (conn->server->on_complete != NULL && stream->user != NULL)
		conn->server->on_complete((tiny_call *)stream->user);
}

static void
on_abort(void *owner, fc_stream *stream, const fc_abort *abort)
{
	tiny_conn *conn = (tiny_conn *)owner;

	(void)abort;
	conn->server->n_aborts++;
	if (stream->user != NULL && conn->server->on_abort != NULL)
		conn->server->on_abort((tiny_call *)stream->user);
	if (stream->user != NULL)
		forget((tiny_call *)stream->user);
}

static void
on_sent(void *owner, fc_stream *stream)
{
	tiny_conn *conn = (tiny_conn *)owner;

	if (conn->server->on_sent != NULL)
		conn->server->on_sent((tiny_call *)stream->user);
}

static void
on_goaway(void *owner, const fc_error *why)
{
	(void)owner, (void)why;
}

static const fc_engine_events engine_events = {
    .lookup = lookup,
    .on_request = on_request,
    .on_message = on_message,
    .on_half_close = on_half_close,
    .on_abort = on_abort,
    .on_sent = on_sent,
    .on_goaway = on_goaway,
    .on_drained = fc_conn_drained,
    .on_dead = fc_conn_dead,
};

static void
on_closed(fc_conn *closed, const fc_error *why)
{
	tiny_conn *conn = (tiny_conn *)closed;
	fc_list *item;

	(void)why;
	while ((item = fc_list_pop(&conn->calls)) != NULL)
		fc_free(FC_CONTAINER(item, tiny_call, in_conn));
	fc_list_remove(&conn->in_server);
	fc_free(conn);
}

static const fc_conn_events conn_events = {.engine = &engine_events, .on_closed = on_closed};

static void
on_accept(void *owner, fc_accepted *accepted)
{
	tiny_server *server = (tiny_server *)owner;
	tiny_conn *conn = (tiny_conn *)fc_calloc(1, sizeof *conn);
	fc_error error;

	fc_error_clear(&error);
	conn->server = server;
	fc_list_init(&conn->calls);
	assert_int_equal(fc_conn_accept(&conn->conn, server->loop, accepted, &conn_events,
	                     &server->config, &error),
	    FARCALL_OK);
	fc_list_append(&server->conns, &conn->in_server);
	server->n_conns++;
	if (server->on_accept != NULL)
		server->on_accept(conn);
}

void
tiny_start(tiny_server *server, fc_loop *loop, const char *text)
{
	fc_address address;
	fc_error error;

	fc_error_clear(&error);
	server->loop = loop;
	fc_list_init(&server->conns);
	server->config.pool = fc_loop_pool(loop);
	server->config.max_message = 4 << 20;
	server->config.max_metadata = 16 << 10;
	if (server->config.max_streams == 0)
		server->config.max_streams = 100;
	server->config.stream_window = server->config.connection_window = 1 << 20;
	server->config.settings_timeout_ns = 10 * FC_NS_PER_S;
	assert_int_equal(fc_address_parse(&address, text, &error), FARCALL_OK);
	server->listener = fc_listener_open(&address, &error);
	fc_address_fini(&address);
	assert_string_equal(error.code != FARCALL_OK ? error.text : "", "");
	assert_int_equal(
	    fc_listener_start(server->listener, loop, on_accept, server, &error), FARCALL_OK);
}

void
tiny_stop(tiny_server *server)
{
	fc_listener_close(server->listener);
	fc_list_each (item, next, &server->conns)
		fc_conn_kill(&FC_CONTAINER(item, tiny_conn, in_server)->conn);
	for (int i = 0; i < 10 && !fc_list_empty(&server->conns); i++)
		fc_loop_turn(server->loop, 0);
	assert_true(fc_list_empty(&server->conns));
}

void
tiny_take(tiny_call *call, size_t size)
{
	fc_conn *conn = &call->conn->conn;

	conn->ops->taken(conn->engine, call->stream, size);
	fc_conn_touch(conn);
}

fc_send
tiny_offer(tiny_call *call, const void *bytes, size_t size)
{
	const fc_text text = {(const char *)bytes, size};
	fc_conn *conn = &call->conn->conn;
	fc_payload payload;
	fc_send sent;

	fc_payload_of_bytes(&payload, &text);
	sent = conn->ops->send_message(conn->engine, call->stream, &payload, false);
	fc_conn_touch(conn);
	return sent;
}

void
tiny_send(tiny_call *call, const void *bytes, size_t size)
{
	assert_int_equal(tiny_offer(call, bytes, size), FC_SEND_OK);
}

void
tiny_head(tiny_call *call, const char *name, const char *value)
{
	const fc_pair pair = {name, value, (uint32_t)strlen(name), (uint32_t)strlen(value), 0};
	fc_conn *conn = &call->conn->conn;

	assert_int_equal(conn->ops->send_head(conn->engine, call->stream, 1, &pair), FC_SEND_OK);
	fc_conn_touch(conn);
}

void
tiny_abort(tiny_call *call, farcall_code code)
{
	fc_conn *conn = &call->conn->conn;

	conn->ops->abort(conn->engine, call->stream, code);
	fc_conn_touch(conn);
	forget(call);
}

void
tiny_refuse(tiny_call *call)
{
	fc_conn *conn = &call->conn->conn;

	fc_h2_reset(conn->engine, (fc_h2_stream *)(void *)call->stream, FC_H2_REFUSED_STREAM);
	fc_conn_touch(conn);
	forget(call);
}

void
tiny_end(tiny_call *call, farcall_code code, const char *message)
{
	const fc_tail tail = {.code = code, .message = {message, strlen(message)}};
	fc_conn *conn = &call->conn->conn;

	conn->ops->send_tail(conn->engine, call->stream, &tail);
	fc_conn_touch(conn);
	forget(call);
}
