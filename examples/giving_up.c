/*
 * giving-up: calls that end early. A client gives up by a deadline, which travels to the server, or
 * by cancelling; the handler learns of either, and stops. Both are in this one program.
 */
#include <stdio.h>

#include "demo.farcall.h"

/* More numbers than anybody wants. A step answers why the call is over. */
static farcall_code
count(farcall_call *call, const Demo__Number *request)
{
	Demo__Number reply = DEMO__NUMBER__INIT;
	farcall_code rc = FARCALL_OK;

	for (reply.value = request->value; rc == FARCALL_OK; reply.value++)
		rc = demo_numbers_count__send_reply(call, &reply);
	printf("handler: %s\n", farcall_code_name(rc));
	return rc;
}

/* One that waits for something else than its client asks now and then, or is told: see
 * farcall_call_on_cancel(). Here nothing ever comes. */
static void
stop_waiting(farcall_call *call, void *data)
{
	(void)data;
	printf("handler of a square: cancelled\n");
	farcall_call_complete(call, FARCALL_CANCELLED);
}

static farcall_code
square(farcall_call *call, const Demo__Number *request, Demo__Number *reply)
{
	(void)request;
	(void)reply;
	farcall_call_on_cancel(call, stop_waiting, NULL);
	return FARCALL_PENDING;
}

static const struct demo_numbers numbers = {.square = square, .count = count};

/* Whoever starts the call says how long it may take, in all. */
static void
read_for(farcall_channel *channel, uint64_t ms)
{
	Demo__Number request = DEMO__NUMBER__INIT;
	farcall_call *call = farcall_call_new(channel);
	const Demo__Number *reply;

	farcall_call_set_timeout_ms(call, ms);
	demo_numbers_count__start(call, &request);
	while (demo_numbers_count__recv_reply(call, &reply) == FARCALL_OK)
		continue;
	printf("client: %s\n", farcall_call_error(call));
	farcall_call_free(call);
}

/* Any thread may cancel, at any time. To free a call that is under way cancels it, too. */
static void
read_some(farcall_channel *channel, int64_t most)
{
	Demo__Number request = DEMO__NUMBER__INIT;
	farcall_call *call = farcall_call_new(channel);
	const Demo__Number *reply;

	demo_numbers_count__start(call, &request);
	while (demo_numbers_count__recv_reply(call, &reply) == FARCALL_OK)
		if (reply->value == most)
			farcall_call_cancel(call);
	printf("client: %s\n", farcall_call_error(call));
	farcall_call_free(call);
}

static void
ask(farcall_channel *channel, uint64_t ms)
{
	Demo__Number request = DEMO__NUMBER__INIT;
	farcall_call *call = farcall_call_new(channel);
	const Demo__Number *reply;

	farcall_call_set_timeout_ms(call, ms);
	if (demo_numbers_square(call, &request, &reply))
		printf("client of a square: %s\n", farcall_code_name(farcall_call_code(call)));
	farcall_call_free(call);
}

int
main(void)
{
	farcall_server *server = farcall_server_new();
	farcall_channel *channel = farcall_channel_open("mem:numbers");

	demo_numbers__register(server, &numbers, NULL);
	farcall_server_bind(server, "mem:numbers");
	if (farcall_server_start(server))
		fprintf(stderr, "giving-up: %s\n", farcall_server_error(server));
	read_for(channel, 500);
	read_some(channel, 1000);
	ask(channel, 500);
	farcall_channel_close(channel);
	farcall_server_stop(server, 10000); /* the handlers may say their word */
	farcall_server_wait(server);
	farcall_server_free(server);
	return 0;
}
