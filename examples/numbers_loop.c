/*
 * numbers-loop ADDRESS: what numbers-server does, on one thread, in a loop that the program turns.
 * Nothing may wait there: a handler returns FARCALL_PENDING and goes on by callbacks, and any
 * number of streams may be open.
 */
#include <stdio.h>

#include <farcall/loop.h>

#include "demo.farcall.h"

static farcall_code
square(farcall_call *call, const Demo__Number *request, Demo__Number *reply)
{
	if (request->value > INT32_MAX || request->value < -INT32_MAX)
		return farcall_call_fail(
		    call, FARCALL_OUT_OF_RANGE, "the square of %lld", (long long)request->value);
	reply->value = request->value * request->value;
	return FARCALL_OK;
}

/* ---- a server stream: each message is sent when the one before has gone ---- */

typedef struct row {
	Demo__Number number;
	int64_t most;
} row;

static void
count_on(farcall_call *call, farcall_code code, const ProtobufCMessage *nothing, void *data)
{
	row *r = (row *)data;

	(void)nothing;
	if (code != FARCALL_OK || r->number.value >= r->most) {
		farcall_call_complete(call, code); /* the client has gone, or has all */
		return;
	}
	r->number.value++;
	demo_numbers_count__send_reply__async(call, &r->number, count_on, r);
}

static farcall_code
count(farcall_call *call, const Demo__Number *request)
{
	row *r = (row *)farcall_call_keep(call, sizeof *r); /* lives with the call */

	if (r == NULL)
		return FARCALL_RESOURCE_EXHAUSTED;
	demo__number__init(&r->number);
	r->most = request->value;
	count_on(call, FARCALL_OK, NULL, r);
	return FARCALL_PENDING;
}

/* ---- a client stream: the reply that the handler was given is there until it is sent ---- */

static void
add(farcall_call *call, farcall_code code, const Demo__Number *number, void *data)
{
	Demo__Number *reply = (Demo__Number *)data;

	if (code != FARCALL_OK) {
		farcall_call_complete(call, code); /* FARCALL_END, after the last one, means OK */
		return;
	}
	reply->value += number->value;
	demo_numbers_sum__recv_request__async(call, add, reply);
}

static farcall_code
sum(farcall_call *call, Demo__Number *reply)
{
	demo_numbers_sum__recv_request__async(call, add, reply);
	return FARCALL_PENDING;
}

/* ---- a bidi stream: receive, send, receive, … ---- */

static void add_and_say(
    farcall_call *call, farcall_code code, const Demo__Number *number, void *data);

static void
said(farcall_call *call, farcall_code code, const ProtobufCMessage *nothing, void *data)
{
	(void)nothing;
	if (code == FARCALL_OK)
		demo_numbers_running_sum__recv_request__async(call, add_and_say, data);
	else
		farcall_call_complete(call, code);
}

static void
add_and_say(farcall_call *call, farcall_code code, const Demo__Number *number, void *data)
{
	Demo__Number *so_far = (Demo__Number *)data;

	if (code != FARCALL_OK) {
		farcall_call_complete(call, code);
		return;
	}
	so_far->value += number->value;
	demo_numbers_running_sum__send_reply__async(call, so_far, said, so_far);
}

static farcall_code
running_sum(farcall_call *call)
{
	Demo__Number *so_far = (Demo__Number *)farcall_call_keep(call, sizeof *so_far);

	if (so_far == NULL)
		return FARCALL_RESOURCE_EXHAUSTED;
	demo__number__init(so_far);
	demo_numbers_running_sum__recv_request__async(call, add_and_say, so_far);
	return FARCALL_PENDING;
}

static const struct demo_numbers numbers = {
    .square = square, .count = count, .sum = sum, .running_sum = running_sum};

/* ---- the program ---- */

int
main(int argc, char **argv)
{
	farcall_endpoint *endpoint;
	farcall_server *server;
	farcall_loop *loop;
	const char *address;

	if (argc != 2 || argv[1][0] == '-') {
		fprintf(stderr, "usage: numbers-loop ADDRESS\n");
		return 2;
	}
	loop = farcall_loop_new();
	server = farcall_server_new();
	farcall_server_set_loop(server, loop);
	farcall_server_stop_on_signals(server);
	demo_numbers__register(server, &numbers, NULL);
	endpoint = farcall_server_bind(server, argv[1]);
	if (farcall_server_start(server) != FARCALL_OK) {
		fprintf(stderr, "numbers-loop: %s\n", farcall_server_error(server));
		farcall_server_free(server);
		farcall_loop_free(loop);
		return 1;
	}
	for (size_t i = 0; (address = farcall_endpoint_address(endpoint, i)) != NULL; i++)
		printf("listening on %s\n", address);
	fflush(stdout);
	while (!farcall_server_stopped(server))
		farcall_loop_step(loop, -1);
	farcall_server_free(server);
	farcall_loop_free(loop);
	return 0;
}
