#include <stdio.h>
#include "hello.farcall.h"

static farcall_code
say_hello(farcall_call *call, const Demo__HelloRequest *request, Demo__HelloReply *reply)
{
	reply->message = farcall_call_printf(call, "Hello, %s!", request->name);
	return FARCALL_OK;
}

static const struct demo_greeter greeter = {.say_hello = say_hello};

int
main(void)
{
	farcall_server *server = farcall_server_new();
	farcall_code rc;

	farcall_server_stop_on_signals(server);
	demo_greeter__register(server, &greeter, NULL);
	farcall_server_bind(server, "localhost:27015");
	if ((rc = farcall_server_listen(server)))
		fprintf(stderr, "hello: %s\n", farcall_server_error(server));
	farcall_server_free(server);
	return rc != FARCALL_OK;
}
