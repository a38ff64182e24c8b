/*
 * poll-loop: a server and a channel inside a program's own poll(2) loop, beside whatever else it
 * polls. farcall starts no thread: handlers and callbacks run in farcall_loop_step().
 */
#include <poll.h>
#include <stdio.h>

#include <farcall/loop.h>

#include "demo.farcall.h"

static int finished;

static farcall_code
say_hello(farcall_call *call, const Demo__HelloRequest *request, Demo__HelloReply *reply)
{
	reply->message = farcall_call_printf(call, "Hello, %s!", request->name);
	return FARCALL_OK;
}

static const struct demo_greeter greeter = {.say_hello = say_hello};

static void
on_reply(farcall_call *call, farcall_code code, const Demo__HelloReply *reply, void *data)
{
	(void)data;
	if (code == FARCALL_OK)
		puts(reply->message);
	else
		fprintf(stderr, "poll-loop: %s\n", farcall_call_error(call));
	farcall_call_free(call);
	finished = 1;
}

/* One round of the program's loop. */
static void
poll_once(farcall_loop *loop)
{
	struct pollfd files[1] = {{.fd = (int)farcall_loop_fd(loop), .events = POLLIN}};

	/* Files of the program's own would stand beside it. */
	poll(files, 1, farcall_loop_timeout_ms(loop));
	farcall_loop_step(loop, 0);
}

int
main(void)
{
	Demo__HelloRequest request = DEMO__HELLO_REQUEST__INIT;
	farcall_loop *loop = farcall_loop_new();
	farcall_server *server = farcall_server_new();
	farcall_endpoint *endpoint;
	farcall_channel *channel;

	farcall_server_set_loop(server, loop);
	demo_greeter__register(server, &greeter, NULL);
	endpoint = farcall_server_bind(server, "127.0.0.1:0");
	if (farcall_server_start(server) != FARCALL_OK) {
		fprintf(stderr, "poll-loop: %s\n", farcall_server_error(server));
		return 1;
	}
	channel = farcall_channel_open(farcall_endpoint_address(endpoint, 0));
	farcall_channel_set_loop(channel, loop);
	farcall_channel_set_timeout_ms(channel, 5000);
	request.name = "poll";
	demo_greeter_say_hello__async(farcall_call_new(channel), &request, on_reply, NULL);
	while (!finished)
		poll_once(loop);
	farcall_channel_close(channel);
	farcall_server_stop(server, 1000);
	while (!farcall_server_stopped(server))
		poll_once(loop);
	farcall_server_free(server);
	farcall_loop_free(loop);
	return 0;
}
