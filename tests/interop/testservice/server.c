/*
 * farcall-interop-server --port=N --use_tls=false: serves grpc.testing.TestService to the interop
 * clients of every gRPC implementation. Prints the addresses it has, and ends on SIGTERM or SIGINT.
 */
#include "tests/interop/testservice/flags.h"
#include "tests/interop/testservice/service.h"

#include <stdio.h>

/* concurrent_large_unary sends a thousand requests of 271,828 bytes at once on one connection, a
 * piece of each in turn. What a connection may leave unfinished is 64 MiB, or this if it is more.
 */
#define MAX_MESSAGE (512u << 20)

static long port;
static bool use_tls;
static const char *address = "";
static long loops = 1;

static const interop_flag flags[] = {
    {"port", INTEROP_NUMBER, &port,
        "The port, on all addresses of this machine; 0: any that is free"},
    {"use_tls", INTEROP_BOOL, &use_tls, "Must be false: there is no TLS"},
    {"address", INTEROP_TEXT, &address,
        "Instead of a port: where to listen, such as 127.0.0.1:0 or unix:/run/test"},
    {"loops", INTEROP_NUMBER, &loops, "Threads that turn connections"},
    {NULL, INTEROP_BOOL, NULL, NULL},
};

static void
print_addresses(const farcall_endpoint *endpoint)
{
	const char *text;

	for (size_t i = 0; (text = farcall_endpoint_address(endpoint, i)) != NULL; i++)
		printf("farcall-interop-server: listens on %s\n", text);
	fflush(stdout);
}

static int
serve(void)
{
	farcall_server *server = farcall_server_new();
	farcall_endpoint *endpoint;
	char any[32];
	farcall_code code;

	snprintf(any, sizeof any, "*:%ld", port);
	farcall_server_stop_on_signals(server);
	farcall_server_set_max_message(server, MAX_MESSAGE);
	farcall_server_set_loops(server, (unsigned)loops);
	grpc_testing_test_service__register(server, &interop_service, NULL);
	endpoint = farcall_server_bind(server, address[0] != 0 ? address : any);
	/* Its peers stand on other machines, and all that it says is zeros. */
	farcall_endpoint_allow_insecure(endpoint);
	code = farcall_server_start(server);
	if (code == FARCALL_OK) {
		print_addresses(endpoint);
		code = farcall_server_wait(server);
	}
	if (code != FARCALL_OK)
		fprintf(stderr, "farcall-interop-server: %s\n", farcall_server_error(server));
	farcall_server_free(server);
	return code != FARCALL_OK;
}

int
main(int argc, char **argv)
{
	switch (interop_flags_parse("farcall-interop-server", flags, argc, argv)) {
	case INTEROP_HELPED:
		return 0;
	case INTEROP_WRONG:
		return 2;
	default:
		break;
	}
	if (use_tls) {
		fprintf(stderr, "farcall-interop-server: there is no TLS: --use_tls=false\n");
		return 2;
	}
	return serve();
}
