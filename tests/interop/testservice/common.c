/*
 * common.c: channels, calls and payloads of the interop client's cases, and how they say what is
 * wrong.
 */
#include "tests/interop/testservice/client.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint8_t zeros[INTEROP_MOST];

bool
interop_wrong(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fputs("farcall-interop-client: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	return false;
}

farcall_channel *
interop_open(const interop_client *client)
{
	farcall_channel *channel = farcall_channel_open(client->target);

	farcall_channel_allow_insecure(channel); /* test data to test servers, wherever they are */
	if (farcall_channel_wait_ready(channel, (uint64_t)client->connect_timeout_ms) == FARCALL_OK)
		return channel;
	interop_wrong("%s", farcall_channel_error(channel));
	farcall_channel_close(channel);
	return NULL;
}

/* "key:value;key:value"; gRPC's own clients take a colon as part of a value, too. */
static void
add_metadata(farcall_call *call, const char *list)
{
	size_t size = strlen(list);
	char *copy = (char *)malloc(size + 1), *pair, *next;

	if (copy == NULL)
		abort();
	memcpy(copy, list, size + 1);
	for (pair = copy; pair != NULL && *pair != 0; pair = next) {
		char *colon;

		next = strchr(pair, ';');
		if (next != NULL)
			*next++ = 0;
		colon = strchr(pair, ':');
		if (colon != NULL)
			*colon++ = 0;
		farcall_call_add_metadata(call, pair, colon != NULL ? colon : "");
	}
	free(copy);
}

farcall_call *
interop_call_on(const interop_client *client, farcall_channel *channel)
{
	farcall_call *call = farcall_call_new(channel);

	farcall_call_set_timeout_ms(call, (uint64_t)client->call_timeout_seconds * 1000);
	add_metadata(call, client->additional_metadata);
	return call;
}

farcall_call *
interop_call(const interop_client *client)
{
	return interop_call_on(client, client->channel);
}

static const char *
name_of(farcall_code code)
{
	return code == FARCALL_END ? "END" : farcall_code_name(code);
}

bool
interop_expect(const farcall_call *call, const char *what, farcall_code code, farcall_code wanted)
{
	if (code == wanted)
		return true;
	return interop_wrong(
	    "%s: %s, not %s (%s)", what, name_of(code), name_of(wanted), farcall_call_error(call));
}

Grpc__Testing__Payload
interop_payload(size_t size)
{
	Grpc__Testing__Payload payload = GRPC__TESTING__PAYLOAD__INIT;

	payload.body.data = zeros;
	payload.body.len = size < sizeof zeros ? size : sizeof zeros;
	return payload;
}

bool
interop_check(const char *what, const Grpc__Testing__Payload *payload, size_t size)
{
	size_t got = payload != NULL ? payload->body.len : 0;

	if (payload == NULL && size != 0)
		return interop_wrong("%s: there is no payload", what);
	if (got != size)
		return interop_wrong("%s: a payload of %zu bytes, not %zu", what, got, size);
	if (payload != NULL && payload->type != GRPC__TESTING__PAYLOAD_TYPE__COMPRESSABLE)
		return interop_wrong("%s: a payload of type %d", what, (int)payload->type);
	if (size != 0 && memcmp(payload->body.data, zeros, size) != 0)
		return interop_wrong("%s: the payload is not all zeros", what);
	return true;
}

bool
interop_large_unary_on(farcall_call *call, size_t request_size, size_t response_size)
{
	Grpc__Testing__SimpleRequest request = GRPC__TESTING__SIMPLE_REQUEST__INIT;
	Grpc__Testing__Payload payload = interop_payload(request_size);
	const Grpc__Testing__SimpleResponse *response = NULL;
	farcall_code code;
	bool good;

	request.payload = &payload;
	request.response_size = (int32_t)response_size;
	code = grpc_testing_test_service_unary_call(call, &request, &response);
	good = interop_expect(call, "UnaryCall", code, FARCALL_OK) &&
	    interop_check("UnaryCall", response->payload, response_size);
	farcall_call_free(call);
	return good;
}

bool
interop_large_unary(const interop_client *client)
{
	return interop_large_unary_on(
	    interop_call(client), INTEROP_LARGE_REQUEST, INTEROP_LARGE_RESPONSE);
}
