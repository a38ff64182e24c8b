/*
 * numbers-client TARGET N: calls a method of each shape with the numbers 1 to N, step by step, each
 * step waiting for its end.
 */
#include <stdio.h>
#include <stdlib.h>

#include "demo.farcall.h"

static farcall_call *
new_call(farcall_channel *channel)
{
	farcall_call *call = farcall_call_new(channel);

	farcall_call_set_timeout_ms(call, 10000);
	return call;
}

/* Ends it, with a word if it has failed. */
static farcall_code
end(farcall_call *call, const char *name, farcall_code rc)
{
	if (rc != FARCALL_OK)
		fprintf(stderr, "%s: %s\n", name, farcall_call_error(call));
	farcall_call_free(call);
	return rc;
}

static farcall_code
square(farcall_channel *channel, int64_t n)
{
	Demo__Number request = DEMO__NUMBER__INIT;
	farcall_call *call = new_call(channel);
	const Demo__Number *reply;
	farcall_code rc;

	request.value = n;
	if ((rc = demo_numbers_square(call, &request, &reply)) == FARCALL_OK)
		printf("square: %lld\n", (long long)reply->value);
	return end(call, "square", rc);
}

/* A server stream: start with the request, receive until there is no more, finish. */
static farcall_code
count(farcall_channel *channel, int64_t n)
{
	Demo__Number request = DEMO__NUMBER__INIT;
	farcall_call *call = new_call(channel);
	const Demo__Number *reply;
	long long replies = 0, last = 0;
	farcall_code rc;

	request.value = n;
	demo_numbers_count__start(call, &request);
	while (demo_numbers_count__recv_reply(call, &reply) == FARCALL_OK) {
		replies++;
		last = (long long)reply->value;
	}
	if ((rc = demo_numbers_count__finish(call)) == FARCALL_OK)
		printf("count: %lld replies, the last one is %lld\n", replies, last);
	return end(call, "count", rc);
}

/* A client stream: start, send, and finish, which gives the reply. A step of a call that has failed
 * answers that failure; so it is enough to ask at the end. */
static farcall_code
sum(farcall_channel *channel, int64_t n)
{
	Demo__Number request = DEMO__NUMBER__INIT;
	farcall_call *call = new_call(channel);
	const Demo__Number *reply;
	farcall_code rc;

	demo_numbers_sum__start(call);
	for (request.value = 1; request.value <= n; request.value++)
		if (demo_numbers_sum__send_request(call, &request) != FARCALL_OK)
			break;
	if ((rc = demo_numbers_sum__finish(call, &reply)) == FARCALL_OK)
		printf("sum: %lld\n", (long long)reply->value);
	return end(call, "sum", rc);
}

/* A bidi stream: here each request waits for its reply; then the end of ours, and of theirs. */
static farcall_code
running_sum(farcall_channel *channel, int64_t n)
{
	Demo__Number request = DEMO__NUMBER__INIT;
	farcall_call *call = new_call(channel);
	const Demo__Number *reply;
	long long last = 0;
	farcall_code rc;

	demo_numbers_running_sum__start(call);
	for (request.value = 1; request.value <= n; request.value++) {
		if (demo_numbers_running_sum__send_request(call, &request) != FARCALL_OK ||
		    demo_numbers_running_sum__recv_reply(call, &reply) != FARCALL_OK)
			break;
		last = (long long)reply->value;
	}
	farcall_call_half_close(call);
	if ((rc = demo_numbers_running_sum__finish(call)) == FARCALL_OK)
		printf("running sum: %lld\n", last);
	return end(call, "running sum", rc);
}

int
main(int argc, char **argv)
{
	farcall_channel *channel;
	farcall_code rc;
	int64_t n;

	if (argc != 3) {
		fprintf(stderr, "usage: numbers-client TARGET N\n");
		return 2;
	}
	n = strtoll(argv[2], NULL, 10);
	channel = farcall_channel_open(argv[1]);
	if ((rc = square(channel, n)) == FARCALL_OK && (rc = count(channel, n)) == FARCALL_OK &&
	    (rc = sum(channel, n)) == FARCALL_OK)
		rc = running_sum(channel, n);
	farcall_channel_close(channel);
	return rc != FARCALL_OK;
}
