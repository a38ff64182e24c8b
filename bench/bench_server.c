/*
 * farcall-bench-server --port N [--handler-threads N]: serves bench.EchoService on 127.0.0.1, for
 * load generators. SIGTERM ends it. Streams are echoed by callbacks; with BENCH_STREAM=blocking in
 * the environment, by handlers that wait.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench.farcall.h"

static farcall_code
echo(farcall_call *call, const Bench__EchoMsg *request, Bench__EchoMsg *reply)
{
	(void)call;
	reply->payload = request->payload;
	return FARCALL_OK;
}

static farcall_code
nap(farcall_call *call, const Bench__SleepMsg *request, Bench__EchoMsg *reply)
{
	const struct timespec time = {request->ms / 1000, (long)(request->ms % 1000) * 1000000};

	(void)call;
	(void)reply;
	nanosleep(&time, NULL);
	return FARCALL_OK;
}

static farcall_code
stream(farcall_call *call)
{
	const Bench__EchoMsg *request;
	farcall_code rc;

	while ((rc = bench_echo_service_stream__recv_request(call, &request)) == FARCALL_OK)
		if ((rc = bench_echo_service_stream__send_reply(call, request)) != FARCALL_OK)
			break;
	return rc;
}

static void received(
    farcall_call *call, farcall_code code, const Bench__EchoMsg *request, void *data);

static void
sent(farcall_call *call, farcall_code code, const ProtobufCMessage *nothing, void *data)
{
	(void)nothing;
	if (code == FARCALL_OK)
		bench_echo_service_stream__recv_request__async(call, received, data);
	else
		farcall_call_complete(call, code);
}

static void
received(farcall_call *call, farcall_code code, const Bench__EchoMsg *request, void *data)
{
	if (code == FARCALL_OK)
		bench_echo_service_stream__send_reply__async(call, request, sent, data);
	else
		farcall_call_complete(call, code);
}

static farcall_code
stream_later(farcall_call *call)
{
	bench_echo_service_stream__recv_request__async(call, received, NULL);
	return FARCALL_PENDING;
}

static struct bench_echo_service service = {.echo = echo, .sleep = nap, .stream = stream_later};

int
main(int argc, char **argv)
{
	farcall_server *server;
	char address[32];
	farcall_code rc;

	if ((argc != 3 && argc != 5) || strcmp(argv[1], "--port") != 0 ||
	    (argc == 5 && strcmp(argv[3], "--handler-threads") != 0)) {
		fprintf(stderr, "usage: farcall-bench-server --port N [--handler-threads N]\n");
		return 2;
	}
	snprintf(address, sizeof address, "127.0.0.1:%d", atoi(argv[2]));
	if (getenv("BENCH_STREAM") != NULL && strcmp(getenv("BENCH_STREAM"), "blocking") == 0)
		service.stream = stream;
	server = farcall_server_new();
	farcall_server_stop_on_signals(server);
	if (argc == 5)
		farcall_server_set_handler_threads(server, (unsigned)atoi(argv[4]));
	bench_echo_service__register(server, &service, NULL);
	farcall_server_bind(server, address);
	if ((rc = farcall_server_listen(server)))
		fprintf(stderr, "farcall-bench-server: %s\n", farcall_server_error(server));
	farcall_server_free(server);
	return rc != FARCALL_OK;
}
