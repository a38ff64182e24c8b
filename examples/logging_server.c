/*
 * logging-server ADDRESS: an interceptor that writes a line for each call: who, what, how it ended,
 * how long it took, how much went each way. begin gives the call a number, in its own slot of the
 * call; end comes exactly once for each begin, also when the client has gone.
 */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

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

static farcall_code
begin(farcall_call *call, const farcall_intercepted *about, void *data)
{
	unsigned *number = (unsigned *)malloc(sizeof *number);

	if (number == NULL)
		return farcall_call_fail(call, FARCALL_RESOURCE_EXHAUSTED, "out of memory");
	*number = atomic_fetch_add((atomic_uint *)data, 1) + 1;
	*about->state = number;
	return FARCALL_OK;
}

/* Any message of any type has a descriptor, so a log may look into all of them. */
static void
message(farcall_call *call, const farcall_intercepted *about, bool sent,
    const ProtobufCMessage *seen, void *data)
{
	(void)call;
	(void)data;
	printf(
	    "%u %s %s\n", *(unsigned *)*about->state, sent ? "->" : "<-", seen->descriptor->name);
}

static void
end(farcall_call *call, const farcall_intercepted *about, const farcall_outcome *outcome,
    void *data)
{
	unsigned *number = (unsigned *)*about->state;

	(void)call;
	(void)data;
	if (number == NULL) /* begin had no memory */
		return;
	printf("%u %s %s%s%s, %" PRIu64 " bytes in, %" PRIu64 " out\n", *number, about->path,
	    farcall_code_name(outcome->code), outcome->error[0] != 0 ? ": " : "", outcome->error,
	    outcome->bytes_received, outcome->bytes_sent);
	if (outcome->elapsed_ns > UINT64_C(1000000000))
		printf("%u took %" PRIu64 " ms\n", *number, outcome->elapsed_ns / 1000000);
	fflush(stdout);
	free(number);
}

static const farcall_interceptor hooks = {.begin = begin, .message = message, .end = end};

int
main(int argc, char **argv)
{
	farcall_endpoint *endpoint;
	farcall_server *server;
	atomic_uint calls;
	farcall_code rc;

	if (argc != 2 || argv[1][0] == '-') {
		fprintf(stderr, "usage: logging-server ADDRESS\n");
		return 2;
	}
	atomic_init(&calls, 0);
	server = farcall_server_new();
	farcall_server_stop_on_signals(server);
	farcall_server_intercept(server, &hooks, sizeof hooks, &calls);
	demo_greeter__register(server, &greeter, NULL);
	endpoint = farcall_server_bind(server, argv[1]);
	if ((rc = farcall_server_start(server)) == FARCALL_OK) {
		printf("listening on %s\n", farcall_endpoint_address(endpoint, 0));
		fflush(stdout);
		rc = farcall_server_wait(server);
	}
	if (rc)
		fprintf(stderr, "logging-server: %s\n", farcall_server_error(server));
	farcall_server_free(server);
	return rc != FARCALL_OK;
}
