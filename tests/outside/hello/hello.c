/* Server and client in one process, as a user would write them. */
#include <stdio.h>

#include <farcall/farcall.h>

#include "hello.farcall.h"

static farcall_code
say_hello(farcall_call *call, const Hello__HelloRequest *request, Hello__HelloReply *reply)
{
	Google__Protobuf__Timestamp *at = farcall_call_alloc(call, sizeof *at);

	if (at == NULL)
		return FARCALL_RESOURCE_EXHAUSTED;
	google__protobuf__timestamp__init(at);
	at->seconds = 1234567890;
	reply->at = at;
	reply->message = farcall_call_printf(call, "Hello, %s!", request->name);
	return FARCALL_OK;
}

static const struct hello_greeter greeter = {.say_hello = say_hello};

static int
call_it(unsigned port)
{
	Hello__HelloRequest request = HELLO__HELLO_REQUEST__INIT;
	const Hello__HelloReply *reply;
	farcall_channel *channel;
	farcall_call *call;
	char target[32], name[] = "world";
	farcall_code code;
	int failed = 1;

	snprintf(target, sizeof target, "127.0.0.1:%u", port);
	channel = farcall_channel_open(target);
	call = farcall_call_new(channel);
	request.name = name;
	farcall_call_set_timeout_ms(call, 10000);
	code = hello_greeter_say_hello(call, &request, &reply);
	if (code != FARCALL_OK) {
		fprintf(stderr, "hello: %s\n", farcall_call_error(call));
	} else if (reply->at == NULL || reply->at->seconds != 1234567890) {
		fprintf(stderr, "hello: no time in the reply\n");
	} else {
		puts(reply->message);
		failed = 0;
	}
	farcall_call_free(call);
	farcall_channel_close(channel);
	return failed;
}

int
main(void)
{
	farcall_server *server = farcall_server_new();
	farcall_endpoint *endpoint;
	int failed = 1;

	hello_greeter__register(server, &greeter, NULL);
	endpoint = farcall_server_bind(server, "127.0.0.1:0");
	if (farcall_server_start(server) == FARCALL_OK)
		failed = call_it(farcall_endpoint_port(endpoint));
	else
		fprintf(stderr, "hello: %s\n", farcall_server_error(server));
	farcall_server_stop(server, 1000);
	farcall_server_free(server);
	return failed;
}
