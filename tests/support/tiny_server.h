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
	int n_conns, n_requests;
};

void tiny_start(tiny_server *server, fc_loop *loop, const char *address);
void tiny_stop(tiny_server *server); /* kills the connections, closes */

void tiny_send(tiny_call *call, const void *bytes, size_t size);
void tiny_end(tiny_call *call, farcall_code code, const char *message);

#endif
