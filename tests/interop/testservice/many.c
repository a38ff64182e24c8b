/*
 * many.c: many calls in flight on one channel, of concurrent_large_unary and max_streams; and the
 * other cases that a server of HTTP/2 judges by what it sees of their calls.
 */
#include "tests/interop/testservice/client.h"

#include <stdatomic.h>

#include <uv.h>

typedef struct flight {
	atomic_long left;
	atomic_long failed;
	uv_sem_t landed; /* the last one */
} flight;

/* In the channel's own thread. */
static void
on_response(farcall_call *call, farcall_code code, const Grpc__Testing__SimpleResponse *response,
    void *data)
{
	flight *f = (flight *)data;

	if (!interop_expect(call, "UnaryCall", code, FARCALL_OK) ||
	    !interop_check("UnaryCall", response->payload, INTEROP_LARGE_RESPONSE))
		atomic_fetch_add(&f->failed, 1);
	farcall_call_free(call);
	if (atomic_fetch_sub(&f->left, 1) == 1)
		uv_sem_post(&f->landed);
}

/* So many large unary calls at once, on one channel. */
static bool
fly(const interop_client *client, long count)
{
	Grpc__Testing__SimpleRequest request = GRPC__TESTING__SIMPLE_REQUEST__INIT;
	Grpc__Testing__Payload payload = interop_payload(INTEROP_LARGE_REQUEST);
	flight f;

	request.payload = &payload;
	request.response_size = INTEROP_LARGE_RESPONSE;
	atomic_init(&f.left, count);
	atomic_init(&f.failed, 0);
	if (count == 0 || uv_sem_init(&f.landed, 0) != 0)
		return interop_wrong("%ld calls cannot be made", count);
	for (long i = 0; i < count; i++)
		grpc_testing_test_service_unary_call__async(
		    interop_call(client), &request, on_response, &f);
	uv_sem_wait(&f.landed);
	uv_sem_destroy(&f.landed);
	if (atomic_load(&f.failed) == 0)
		return true;
	return interop_wrong("%ld of %ld calls have failed", atomic_load(&f.failed), count);
}

bool
interop_concurrent_large_unary(const interop_client *client)
{
	return fly(client, client->concurrent_calls);
}

/* The first call brings the server's SETTINGS, that allow one stream; ten more take turns. */
bool
interop_max_streams(const interop_client *client)
{
	return interop_large_unary(client) && fly(client, 10);
}

/* The server says GOAWAY after the first; the program need not know. */
bool
interop_goaway(const interop_client *client)
{
	return interop_large_unary(client) && interop_large_unary(client);
}

bool
interop_ping(const interop_client *client)
{
	return interop_large_unary(client);
}

/* RST_STREAM(NO_ERROR) instead of a status, whatever came before it, is INTERNAL. */
bool
interop_reset(const interop_client *client)
{
	Grpc__Testing__SimpleRequest request = GRPC__TESTING__SIMPLE_REQUEST__INIT;
	Grpc__Testing__Payload payload = interop_payload(INTEROP_LARGE_REQUEST);
	const Grpc__Testing__SimpleResponse *response = NULL;
	farcall_call *call = interop_call(client);
	farcall_code code;
	bool good;

	request.payload = &payload;
	request.response_size = INTEROP_LARGE_RESPONSE;
	code = grpc_testing_test_service_unary_call(call, &request, &response);
	good = interop_expect(call, "UnaryCall", code, FARCALL_INTERNAL) &&
	    (response == NULL || interop_wrong("UnaryCall: a response beside a failure"));
	farcall_call_free(call);
	return good;
}
