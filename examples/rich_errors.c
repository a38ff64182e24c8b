/*
 * rich-errors NAME...: a failure that says more than a code and a text. The server adds a message,
 * of any type, as a detail; the client asks for the details that it knows. Both are in this one
 * program; gRPC's libraries for other languages read and write the same (google.rpc.Status).
 */
#include <stdio.h>
#include <string.h>

#include "demo.farcall.h"

static farcall_code
say_hello(farcall_call *call, const Demo__HelloRequest *request, Demo__HelloReply *reply)
{
	Demo__HelloReply instead = DEMO__HELLO_REPLY__INIT;
	Demo__Number size = DEMO__NUMBER__INIT;

	if (strlen(request->name) <= 5) {
		reply->message = farcall_call_printf(call, "Hello, %s!", request->name);
		return FARCALL_OK;
	}
	size.value = (int64_t)strlen(request->name);
	farcall_call_add_detail(call, &size.base);
	instead.message = farcall_call_printf(call, "Hello, %.5s.!", request->name);
	farcall_call_add_detail(call, &instead.base);
	return farcall_call_fail(call, FARCALL_INVALID_ARGUMENT, "the name is too long");
}

static const struct demo_greeter greeter = {.say_hello = say_hello};

/* Details of types that this program does not know are passed over. */
static void
explain(farcall_call *call)
{
	const Demo__HelloReply *instead = (const Demo__HelloReply *)farcall_call_find_detail(
	    call, &demo__hello_reply__descriptor);
	const Demo__Number *size =
	    (const Demo__Number *)farcall_call_find_detail(call, &demo__number__descriptor);

	printf("%s", farcall_call_error(call));
	if (size != NULL)
		printf(", it has %d letters", (int)size->value);
	if (instead != NULL)
		printf("; perhaps \"%s\"", instead->message);
	printf("\n");
}

int
main(int argc, char **argv)
{
	farcall_server *server = farcall_server_new();
	farcall_channel *channel = farcall_channel_open("mem:greeter");

	demo_greeter__register(server, &greeter, NULL);
	farcall_server_bind(server, "mem:greeter");
	if (farcall_server_start(server))
		fprintf(stderr, "rich-errors: %s\n", farcall_server_error(server));
	for (int i = 1; i < argc; i++) {
		Demo__HelloRequest request = DEMO__HELLO_REQUEST__INIT;
		farcall_call *call = farcall_call_new(channel);
		const Demo__HelloReply *reply;

		request.name = argv[i];
		if (demo_greeter_say_hello(call, &request, &reply))
			explain(call);
		else
			puts(reply->message);
		farcall_call_free(call);
	}
	farcall_channel_close(channel);
	farcall_server_free(server);
	return 0;
}
