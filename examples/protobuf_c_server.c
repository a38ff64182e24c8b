/*
 * protobuf-c-server ADDRESS: serves demo.Greeter by the code that protoc-c itself generates,
 * without stubs of farcall: what was written for protobuf-c-rpc needs a new main() only.
 */
#include <stdio.h>

#include <farcall/farcall.h>

#include "demo.pb-c.h"

static void
greeter__say_hello(Demo__Greeter_Service *service, const Demo__HelloRequest *input,
    Demo__HelloReply_Closure closure, void *closure_data)
{
	Demo__HelloReply reply = DEMO__HELLO_REPLY__INIT;
	char text[128];

	(void)service;
	if (input->name[0] == 0) {
		closure(NULL, closure_data); /* all that protobuf-c has for a failure */
		return;
	}
	snprintf(text, sizeof text, "Hello, %s!", input->name);
	reply.message = text;
	closure(&reply, closure_data); /* packs it */
}

int
main(int argc, char **argv)
{
	Demo__Greeter_Service greeter = DEMO__GREETER__INIT(greeter__);
	farcall_endpoint *endpoint;
	farcall_server *server;
	const char *address;
	farcall_code rc;

	if (argc != 2) {
		fprintf(stderr, "usage: protobuf-c-server ADDRESS\n");
		return 2;
	}
	server = farcall_server_new();
	farcall_server_stop_on_signals(server);
	farcall_server_set_serial(server, true); /* one call at a time, as protobuf-c-rpc */
	farcall_server_register_protobuf_c(server, &greeter.base);
	endpoint = farcall_server_bind(server, argv[1]);
	for (size_t i = 0; (address = farcall_endpoint_address(endpoint, i)) != NULL; i++)
		printf("listening on %s\n", address);
	fflush(stdout);
	if ((rc = farcall_server_listen(server)))
		fprintf(stderr, "protobuf-c-server: %s\n", farcall_server_error(server));
	farcall_server_free(server);
	return rc != FARCALL_OK;
}
