/*
 * session-server ADDRESS: something kept for each connection. The program is told when one opens,
 * gives it a session, and is told when it has closed and its last call is over: then nobody has the
 * session any more, and it may be freed. At most 3 at a time: one more is refused.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "demo.farcall.h"

#define SESSIONS_MOST 3

typedef struct session {
	unsigned number;
	atomic_uint calls; /* of one connection they may overlap */
} session;

typedef struct sessions {
	atomic_uint opened, open;
} sessions;

static farcall_code
say_hello(farcall_call *call, const Demo__HelloRequest *request, Demo__HelloReply *reply)
{
	session *s = (session *)farcall_call_connection_data(call);

	reply->message = farcall_call_printf(call, "Hello, %s! Call %u of session %u.",
	    request->name, atomic_fetch_add(&s->calls, 1) + 1, s->number);
	return FARCALL_OK;
}

static const struct demo_greeter greeter = {.say_hello = say_hello};

static farcall_code
on_open(const farcall_connection *connection, void **user, void *data)
{
	sessions *all = (sessions *)data;
	session *s;

	(void)connection; /* who it is: peer, endpoint, uid, gid, pid */
	if (atomic_load(&all->open) >= SESSIONS_MOST)
		return FARCALL_RESOURCE_EXHAUSTED;
	s = (session *)calloc(1, sizeof *s);
	if (s == NULL)
		return FARCALL_RESOURCE_EXHAUSTED;
	s->number = atomic_fetch_add(&all->opened, 1) + 1;
	atomic_fetch_add(&all->open, 1);
	*user = s;
	return FARCALL_OK;
}

static void
on_close(void *user, void *data)
{
	session *s = (session *)user;

	printf("session %u has ended after %u calls\n", s->number, atomic_load(&s->calls));
	fflush(stdout);
	atomic_fetch_sub(&((sessions *)data)->open, 1);
	free(s);
}

int
main(int argc, char **argv)
{
	farcall_endpoint *endpoint;
	farcall_server *server;
	sessions all;
	farcall_code rc;

	if (argc != 2 || argv[1][0] == '-') {
		fprintf(stderr, "usage: session-server ADDRESS\n");
		return 2;
	}
	atomic_init(&all.opened, 0);
	atomic_init(&all.open, 0);
	server = farcall_server_new();
	farcall_server_stop_on_signals(server);
	farcall_server_on_connection(server, on_open, on_close, &all);
	demo_greeter__register(server, &greeter, NULL);
	endpoint = farcall_server_bind(server, argv[1]);
	if ((rc = farcall_server_start(server)) == FARCALL_OK) {
		printf("listening on %s\n", farcall_endpoint_address(endpoint, 0));
		fflush(stdout);
		rc = farcall_server_wait(server);
	}
	if (rc)
		fprintf(stderr, "session-server: %s\n", farcall_server_error(server));
	farcall_server_free(server);
	return rc != FARCALL_OK;
}
