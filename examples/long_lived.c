/*
 * long-lived [CONNECTIONS]: a server that ends its connections when they are a second old, so that
 * clients spread over servers that have been added, and a client that calls it all the time and
 * notices nothing. The client also asks a silent server whether it is there, without calls too,
 * and the server permits that. Ends when so many connections have been used; each call has then
 * been answered.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <uv.h>

#include "demo.farcall.h"

static farcall_code
say_hello(farcall_call *call, const Demo__HelloRequest *request, Demo__HelloReply *reply)
{
	reply->message = farcall_call_printf(call, "Hello, %s!", request->name);
	return FARCALL_OK;
}

static const struct demo_greeter greeter = {.say_hello = say_hello};

static farcall_endpoint *
prepare(farcall_server *server)
{
	demo_greeter__register(server, &greeter, NULL);
	farcall_server_set_max_connection_age_ms(server, 1000);    /* half an hour is usual */
	farcall_server_set_max_connection_grace_ms(server, 60000); /* for calls that last */
	farcall_server_set_max_connection_idle_ms(server, 3600000);
	farcall_server_set_ping_interval_ms(server, 10000); /* what clients may ask at most */
	farcall_server_set_pings_without_calls(server, true);
	return farcall_server_bind(server, "localhost:0");
}

/* In the channel's own thread. */
static void
count_connections(farcall_channel *channel, farcall_state state, void *data)
{
	(void)channel;
	if (state == FARCALL_READY)
		printf("connection %d\n", atomic_fetch_add((atomic_int *)data, 1) + 1);
}

static farcall_code
greet(farcall_channel *channel)
{
	Demo__HelloRequest request = DEMO__HELLO_REQUEST__INIT;
	farcall_call *call = farcall_call_new(channel);
	const Demo__HelloReply *reply;
	farcall_code rc;

	request.name = "again";
	if ((rc = demo_greeter_say_hello(call, &request, &reply)))
		fprintf(stderr, "long-lived: %s\n", farcall_call_error(call));
	farcall_call_free(call);
	return rc;
}

int
main(int argc, char **argv)
{
	int most = argc == 2 ? atoi(argv[1]) : 3, calls = 0;
	farcall_server *server = farcall_server_new();
	farcall_endpoint *endpoint = prepare(server);
	farcall_channel *channel;
	atomic_int connections;
	farcall_code rc;

	atomic_init(&connections, 0);
	if ((rc = farcall_server_start(server))) {
		fprintf(stderr, "long-lived: %s\n", farcall_server_error(server));
		farcall_server_free(server);
		return 1;
	}
	channel = farcall_channel_open(farcall_endpoint_address(endpoint, 0));
	farcall_channel_set_keepalive_ms(channel, 30000);
	farcall_channel_set_keepalive_timeout_ms(channel, 10000);
	farcall_channel_set_keepalive_without_calls(channel, true);
	farcall_channel_on_state(channel, count_connections, &connections);
	for (; rc == FARCALL_OK && atomic_load(&connections) < most; calls++) {
		rc = greet(channel);
		uv_sleep(10);
	}
	if (rc == FARCALL_OK)
		puts(calls >= most ? "no call was lost" : "too few calls");
	farcall_channel_close(channel);
	farcall_server_free(server);
	return rc != FARCALL_OK;
}
