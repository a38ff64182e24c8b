/*
 * numbers-server ADDRESS: a method of each shape. Handlers of streams are written as loops that
 * wait: each has a thread of its own while it does.
 */
#include <stdio.h>

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

/* A server stream: one request, many replies. */
static farcall_code
count(farcall_call *call, const Demo__Number *request)
{
	Demo__Number number = DEMO__NUMBER__INIT;
	farcall_code rc = FARCALL_OK;

	while (rc == FARCALL_OK && number.value < request->value) {
		number.value++;
		rc = demo_numbers_count__send_reply(call, &number);
	}
	return rc;
}

/* A client stream: many requests, one reply. FARCALL_END, returned by a handler, means OK. */
static farcall_code
sum(farcall_call *call, Demo__Number *reply)
{
	const Demo__Number *number;
	farcall_code rc;

	while ((rc = demo_numbers_sum__recv_request(call, &number)) == FARCALL_OK)
		reply->value += number->value;
	return rc;
}

/* A bidi stream: both ends send when they like; here one reply for each request. */
static farcall_code
running_sum(farcall_call *call)
{
	Demo__Number so_far = DEMO__NUMBER__INIT;
	const Demo__Number *number;
	farcall_code rc;

	while ((rc = demo_numbers_running_sum__recv_request(call, &number)) == FARCALL_OK) {
		so_far.value += number->value;
		rc = demo_numbers_running_sum__send_reply(call, &so_far);
		if (rc != FARCALL_OK)
			break;
	}
	return rc;
}

static const struct demo_numbers numbers = {
    .square = square, .count = count, .sum = sum, .running_sum = running_sum};

int
main(int argc, char **argv)
{
	farcall_endpoint *endpoint;
	farcall_server *server;
	const char *address;
	farcall_code rc;

	if (argc != 2 || argv[1][0] == '-') {
		fprintf(stderr, "usage: numbers-server ADDRESS\n");
		return 2;
	}
	server = farcall_server_new();
	farcall_server_stop_on_signals(server);
	demo_numbers__register(server, &numbers, NULL);
	endpoint = farcall_server_bind(server, argv[1]);
	if ((rc = farcall_server_start(server)) == FARCALL_OK) {
		for (size_t i = 0; (address = farcall_endpoint_address(endpoint, i)) != NULL; i++)
			printf("listening on %s\n", address);
		fflush(stdout);
		rc = farcall_server_wait(server);
	}
	if (rc)
		fprintf(stderr, "numbers-server: %s\n", farcall_server_error(server));
	farcall_server_free(server);
	return rc != FARCALL_OK;
}
