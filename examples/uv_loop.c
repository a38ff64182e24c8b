/*
 * uv-loop: a server and a channel on the program's own libuv loop. farcall starts no thread;
 * handlers and callbacks run while the program runs its loop.
 */
#include <stdio.h>

#include <farcall/uv.h>

#include "demo.farcall.h"

static farcall_server *server;
static farcall_channel *channel;

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
		fprintf(stderr, "uv-loop: %s\n", farcall_call_error(call));
	farcall_call_free(call);
	farcall_channel_close(channel);
	farcall_server_stop(server, 1000);
}

static void
on_tick(uv_timer_t *timer)
{
	if (farcall_server_stopped(server))
		uv_close((uv_handle_t *)timer, NULL);
}

int
main(void)
{
	Demo__HelloRequest request = DEMO__HELLO_REQUEST__INIT;
	farcall_endpoint *endpoint;
	farcall_loop *loop;
	uv_timer_t timer;
	uv_loop_t uv;

	uv_loop_init(&uv);
	loop = farcall_loop_from_uv(&uv);
	server = farcall_server_new();
	farcall_server_set_loop(server, loop);
	demo_greeter__register(server, &greeter, NULL);
	endpoint = farcall_server_bind(server, "127.0.0.1:0");
	if (farcall_server_start(server) != FARCALL_OK) {
		fprintf(stderr, "uv-loop: %s\n", farcall_server_error(server));
		return 1;
	}
	channel = farcall_channel_open(farcall_endpoint_address(endpoint, 0));
	farcall_channel_set_loop(channel, loop);
	farcall_channel_set_timeout_ms(channel, 5000);
	request.name = "libuv";
	demo_greeter_say_hello__async(farcall_call_new(channel), &request, on_reply, NULL);
	uv_timer_init(&uv, &timer);
	uv_timer_start(&timer, on_tick, 10, 10);
	uv_run(&uv, UV_RUN_DEFAULT);
	farcall_server_free(server);
	farcall_loop_free(loop);
	uv_run(&uv, UV_RUN_DEFAULT);
	return uv_loop_close(&uv) != 0;
}
