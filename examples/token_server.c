/*
 * token-server ADDRESS TOKEN: who may call. An authorising callback is asked before anything of a
 * call is dispatched; here it wants a token in the request's metadata, the usual way:
 *
 *	authorization: Bearer TOKEN
 *
 * It runs on the server's own loop, so it must not block. Where it has to ask somebody else it
 * returns FARCALL_PENDING, and whoever has the answer calls farcall_intercept_resume().
 */
#include <stdio.h>
#include <string.h>

#include "demo.farcall.h"

static farcall_code
say_hello(farcall_call *call, const Demo__HelloRequest *request, Demo__HelloReply *reply)
{
	reply->message = farcall_call_printf(call, "Hello, %s!", request->name);
	return FARCALL_OK;
}

static const struct demo_greeter greeter = {.say_hello = say_hello};

/* Takes as long for any token of the right length. */
static bool
is_same(const char *token, const char *wanted)
{
	size_t size = strlen(wanted);
	unsigned different = strlen(token) != size;

	for (size_t i = 0; !different && i < size; i++)
		different |= (unsigned)(token[i] ^ wanted[i]) << 8;
	return different == 0;
}

static farcall_code
authorize(farcall_call *call, const farcall_intercepted *about, void *data)
{
	static const char scheme[] = "Bearer ";
	const char *value = farcall_metadata_get(about->metadata, "authorization");

	if (value == NULL || strncmp(value, scheme, sizeof scheme - 1) != 0)
		return farcall_call_fail(call, FARCALL_UNAUTHENTICATED, "no token");
	if (!is_same(value + sizeof scheme - 1, (const char *)data))
		return farcall_call_fail(
		    call, FARCALL_PERMISSION_DENIED, "this token is not good for %s", about->path);
	return FARCALL_OK;
}

int
main(int argc, char **argv)
{
	farcall_endpoint *endpoint;
	farcall_service *service;
	farcall_server *server;
	farcall_code rc;

	if (argc != 3 || argv[1][0] == '-') {
		fprintf(stderr, "usage: token-server ADDRESS TOKEN\n");
		return 2;
	}
	server = farcall_server_new();
	farcall_server_stop_on_signals(server);
	service = demo_greeter__register(server, &greeter, NULL);
	farcall_service_set_authorize(service, authorize, argv[2]);
	endpoint = farcall_server_bind(server, argv[1]);
	if ((rc = farcall_server_start(server)) == FARCALL_OK) {
		printf("listening on %s\n", farcall_endpoint_address(endpoint, 0));
		fflush(stdout);
		rc = farcall_server_wait(server);
	}
	if (rc)
		fprintf(stderr, "token-server: %s\n", farcall_server_error(server));
	farcall_server_free(server);
	return rc != FARCALL_OK;
}
