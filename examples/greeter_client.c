/*
 * greeter-client TARGET [NAME]: one call. TARGET is an address, or "file:///folder/demo.Greeter":
 * then the server is found by its interface's name.
 */
#include <stdio.h>

#include "demo.farcall.h"

int
main(int argc, char **argv)
{
	Demo__HelloRequest request = DEMO__HELLO_REQUEST__INIT;
	const Demo__HelloReply *reply;
	farcall_channel *channel;
	farcall_call *call;
	farcall_code rc;

	if ((argc != 2 && argc != 3) || argv[1][0] == '-') {
		fprintf(stderr, "usage: greeter-client TARGET [NAME]\n");
		return 2;
	}
	request.name = argc == 3 ? argv[2] : "world";
	channel = farcall_channel_open(argv[1]);
	call = farcall_call_new(channel);
	farcall_call_set_timeout_ms(call, 5000);
	if ((rc = demo_greeter_say_hello(call, &request, &reply)))
		fprintf(stderr, "greeter-client: %s\n", farcall_call_error(call));
	else
		puts(reply->message);
	farcall_call_free(call);
	farcall_channel_close(channel);
	return rc != FARCALL_OK;
}
