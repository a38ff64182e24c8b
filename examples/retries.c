/*
 * retries CONFIG: a call that is tried again, by the rules of a service config in a file. The
 * server, in the same process, refuses the first two attempts of each call.
 */
#include <stdio.h>
#include <stdlib.h>

#include "demo.farcall.h"

/* What the client says of its earlier attempts stands in the metadata. */
static farcall_code
say_hello(farcall_call *call, const Demo__HelloRequest *request, Demo__HelloReply *reply)
{
	const char *before =
	    farcall_metadata_get(farcall_call_metadata(call), "grpc-previous-rpc-attempts");
	int earlier = before != NULL ? atoi(before) : 0;

	printf("attempt %d\n", earlier + 1);
	if (earlier < 2)
		return farcall_call_fail(call, FARCALL_UNAVAILABLE, "not yet");
	reply->message = farcall_call_printf(call, "Hello, %s!", request->name);
	return FARCALL_OK;
}

static const struct demo_greeter greeter = {.say_hello = say_hello};

/* The whole file, to be freed; NULL: it cannot be read, or is too large for a config. */
static char *
read_file(const char *path)
{
	static const size_t most = 65537;
	FILE *file = fopen(path, "rb");
	char *text = (char *)calloc(1, most + 1);

	if (file != NULL && text != NULL && fread(text, 1, most, file) > 0) {
		fclose(file);
		return text;
	}
	if (file != NULL)
		fclose(file);
	free(text);
	return NULL;
}

static farcall_code
greet(farcall_channel *channel)
{
	farcall_call *call = farcall_call_new(channel);
	Demo__HelloRequest request = DEMO__HELLO_REQUEST__INIT;
	const Demo__HelloReply *reply;
	farcall_code rc;

	request.name = "world";
	if ((rc = demo_greeter_say_hello(call, &request, &reply)) != FARCALL_OK)
		fprintf(stderr, "retries: %s\n", farcall_call_error(call));
	else
		puts(reply->message);
	farcall_call_free(call);
	return rc;
}

int
main(int argc, char **argv)
{
	farcall_server *server;
	farcall_channel *channel;
	farcall_code rc;
	char *config;

	if (argc != 2 || (config = read_file(argv[1])) == NULL) {
		fprintf(stderr, "usage: retries CONFIG.json\n");
		return 2;
	}
	server = farcall_server_new();
	demo_greeter__register(server, &greeter, NULL);
	farcall_server_bind(server, "mem:greeter");
	if (farcall_server_start(server) != FARCALL_OK)
		fprintf(stderr, "retries: %s\n", farcall_server_error(server));
	channel = farcall_channel_open("mem:greeter");
	farcall_channel_set_service_config(channel, config);
	rc = greet(channel);
	farcall_channel_close(channel);
	farcall_server_stop(server, 0);
	farcall_server_wait(server);
	farcall_server_free(server);
	free(config);
	return rc != FARCALL_OK;
}
