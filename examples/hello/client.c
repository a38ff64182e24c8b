#include <stdio.h>
#include "hello.farcall.h"

int
main(void)
{
	farcall_channel *channel = farcall_channel_open("localhost:27015");
	farcall_call *call = farcall_call_new(channel);
	Demo__HelloRequest request = DEMO__HELLO_REQUEST__INIT;
	const Demo__HelloReply *reply;
	farcall_code rc;

	request.name = "world";
	farcall_call_set_timeout_ms(call, 2000);
	if ((rc = demo_greeter_say_hello(call, &request, &reply)))
		fprintf(stderr, "hello: %s\n", farcall_call_error(call));
	else
		puts(reply->message);
	farcall_call_free(call);
	farcall_channel_close(channel);
	return rc != FARCALL_OK;
}
