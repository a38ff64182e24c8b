/*
 * protobuf-c-client TARGET [NAME...]: calls demo.Greeter by the functions that protoc-c itself
 * generates. The closures run in the step of the loop, as they ran in protobuf-c-rpc's dispatch.
 */
#include <stdio.h>

#include <farcall/farcall.h>

#include "demo.pb-c.h"

static int left, failed;

static void
on_reply(const Demo__HelloReply *reply, void *closure_data)
{
	(void)closure_data;
	if (reply != NULL)
		puts(reply->message);
	left--;
}

/* Comes before a closure that is given NULL, and knows why. */
static void
on_error(farcall_call *call, void *data)
{
	(void)data;
	fprintf(stderr, "protobuf-c-client: %s\n", farcall_call_error(call));
	failed++;
}

int
main(int argc, char **argv)
{
	Demo__HelloRequest request = DEMO__HELLO_REQUEST__INIT;
	ProtobufCService *greeter;
	farcall_channel *channel;
	farcall_loop *loop;

	if (argc < 2) {
		fprintf(stderr, "usage: protobuf-c-client TARGET [NAME...]\n");
		return 2;
	}
	loop = farcall_loop_new();
	channel = farcall_channel_open(argv[1]);
	farcall_channel_set_loop(channel, loop);
	farcall_channel_set_timeout_ms(channel, 5000);
	greeter = farcall_channel_protobuf_c(channel, &demo__greeter__descriptor);
	if (greeter == NULL)
		return 1; /* out of memory; the log says so */
	farcall_protobuf_c_on_error(greeter, on_error, NULL);
	left = argc > 2 ? argc - 2 : 1;
	for (int i = 0, calls = left; i < calls; i++) {
		request.name = argc > 2 ? argv[2 + i] : "world";
		demo__greeter__say_hello(greeter, &request, on_reply, NULL);
	}
	while (left > 0)
		farcall_loop_step(loop, -1);
	protobuf_c_service_destroy(greeter);
	farcall_channel_close(channel);
	farcall_loop_free(loop);
	return failed != 0;
}
