/*
 * greeter-server ADDRESS [--publish REGISTRY]: the preparation flow with everything in it:
 * register, bind (port 0 is fine: the real address is printed), publish, start, stop by a signal.
 */
#include <stdio.h>
#include <string.h>

#include "demo.farcall.h"

static farcall_code
say_hello(farcall_call *call, const Demo__HelloRequest *request, Demo__HelloReply *reply)
{
	if (request->name[0] == 0)
		return farcall_call_fail(call, FARCALL_INVALID_ARGUMENT, "name is empty");
	reply->message = farcall_call_printf(call, "Hello, %s!", request->name);
	return FARCALL_OK;
}

static const struct demo_greeter greeter = {.say_hello = say_hello};

int
main(int argc, char **argv)
{
	const char *registry = argc == 4 && strcmp(argv[2], "--publish") == 0 ? argv[3] : NULL;
	farcall_endpoint *endpoint;
	farcall_server *server;
	const char *address;
	farcall_code rc;

	if ((argc != 2 && registry == NULL) || argv[1][0] == '-') {
		fprintf(stderr, "usage: greeter-server ADDRESS [--publish REGISTRY]\n");
		return 2;
	}
	server = farcall_server_new();
	farcall_server_stop_on_signals(server);
	demo_greeter__register(server, &greeter, NULL);
	endpoint = farcall_server_bind(server, argv[1]);
	if (registry != NULL)
		farcall_server_publish(server, registry);
	if ((rc = farcall_server_start(server)) == FARCALL_OK) {
		for (size_t i = 0; (address = farcall_endpoint_address(endpoint, i)) != NULL; i++)
			printf("listening on %s\n", address);
		fflush(stdout);
		rc = farcall_server_wait(server);
	}
	if (rc)
		fprintf(stderr, "greeter-server: %s\n", farcall_server_error(server));
	farcall_server_free(server);
	return rc != FARCALL_OK;
}
