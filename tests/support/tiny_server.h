/*
 * tiny_server.h: a listener, connections and engines, and nothing above them: a server that answers
 * as a test says, also as no real server would. It lives on the test's own loop.
 */
#ifndef FC_TEST_TINY_SERVER_H
#define FC_TEST_TINY_SERVER_H

#include "tests/support/test.h"

#include "runtime/base/list.h"
#include "runtime/call/conn.h"

typedef struct tiny_server tiny_server;

typedef struct tiny_conn {
	fc_conn conn; /* first */
	tiny_server *server;
	fc_list in_server;
	fc_list calls;
} tiny_conn;

typedef struct tiny_call {
	fc_list in_conn;
	tiny_conn *conn;
	fc_stream *stream;
	size_t received; /* messages */
	void *data;
} tiny_call;

struct tiny_server {
	fc_loop *loop;
	fc_listener *listener;
	fc_engine_config config;
	fc_list conns;
	void (*on_accept)(tiny_conn *conn);                    /* may be NULL */
	void (*on_request)(tiny_call *call);                   /* the head has come; may be NULL */
	void (*on_head)(tiny_call *call, const fc_head *head); /* may be NULL */
	void (*on_abort)(tiny_call *call);    /* the call is lost or cancelled; may be NULL */
	void (*on_complete)(tiny_call *call); /* the client has sent everything; may be NULL */
	/* A message; it is not taken before tiny_take(). NULL: all are taken at once. */
	void (*on_message)(tiny_call *call, const uint8_t *bytes, size_t size);
	void (*on_sent)(tiny_call *call); /* after tiny_offer() answered WAITING; may be NULL */
	void *data;
	int n_conns, n_requests, n_aborts;
};

void tiny_start(tiny_server *server, fc_loop *loop, const char *address);
void tiny_stop(tiny_server *server); /* kills the connections, closes */

/* The call as the wire has it; the answers of the engine's send_message(). */
void tiny_take(tiny_call *call, size_t size);
fc_send tiny_offer(tiny_call *call, const void *bytes, size_t size);
void tiny_head(tiny_call *call, const char *name, const char *value);
void tiny_abort(tiny_call *call, farcall_code code);
void tiny_refuse(tiny_call *call); /* as if the server had not seen it */

void tiny_send(tiny_call *call, const void *bytes, size_t size);
void tiny_end(tiny_call *call, farcall_code code, const char *message);

#endif
