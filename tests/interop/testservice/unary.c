/*
 * unary.c: cases of single calls: empty, cacheable, metadata, statuses, and what no server has.
 */
#include "tests/interop/testservice/client.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

typedef Grpc__Testing__SimpleRequest simple_request;
typedef Grpc__Testing__SimpleResponse simple_response;
typedef Grpc__Testing__StreamingOutputCallRequest output_request;
typedef Grpc__Testing__StreamingOutputCallResponse output_response;

static const char initial_key[] = "x-grpc-test-echo-initial";
static const char initial_value[] = "test_initial_metadata_value";
static const char trailing_key[] = "x-grpc-test-echo-trailing-bin";
static const unsigned char trailing_value[] = {0xab, 0xab, 0xab};

bool
interop_empty_unary(const interop_client *client)
{
	Grpc__Testing__Empty request = GRPC__TESTING__EMPTY__INIT;
	const Grpc__Testing__Empty *response = NULL;
	farcall_call *call = interop_call(client);
	farcall_code code = grpc_testing_test_service_empty_call(call, &request, &response);
	bool good = interop_expect(call, "EmptyCall", code, FARCALL_OK) &&
	    (response != NULL || interop_wrong("EmptyCall: no response"));

	farcall_call_free(call);
	return good;
}

/* The body of the response, of `size` bytes at most, as text. */
static bool
call_cacheable(const interop_client *client, simple_request *request, char *body, size_t size)
{
	const simple_response *response = NULL;
	farcall_call *call = interop_call(client);
	farcall_code code;
	bool good;

	farcall_call_add_metadata(call, "x-user-ip", "1.2.3.4");
	code = grpc_testing_test_service_cacheable_unary_call(call, request, &response);
	good = interop_expect(call, "CacheableUnaryCall", code, FARCALL_OK);
	if (good && (response->payload == NULL || response->payload->body.len >= size))
		good = interop_wrong("CacheableUnaryCall: not the payload of a time stamp");
	if (good) {
		memcpy(body, response->payload->body.data, response->payload->body.len);
		body[response->payload->body.len] = 0;
	}
	farcall_call_free(call);
	return good;
}

/* Needs a proxy in between that keeps responses: a server answers with the time. */
bool
interop_cacheable_unary(const interop_client *client)
{
	simple_request request = GRPC__TESTING__SIMPLE_REQUEST__INIT;
	Grpc__Testing__Payload payload = GRPC__TESTING__PAYLOAD__INIT;
	char now[40], first[64], second[64];
	struct timespec at = {0, 0};

	timespec_get(&at, TIME_UTC);
	snprintf(now, sizeof now, "%lld%09ld", (long long)at.tv_sec, at.tv_nsec);
	payload.body.data = (uint8_t *)now;
	payload.body.len = strlen(now);
	request.payload = &payload;
	if (!call_cacheable(client, &request, first, sizeof first) ||
	    !call_cacheable(client, &request, second, sizeof second))
		return false;
	if (strcmp(first, second) == 0)
		return true;
	return interop_wrong("the second response was not the first one, kept: %s and %s; is there "
	                     "a caching proxy in between?",
	    first, second);
}

static void
attach_metadata(farcall_call *call)
{
	farcall_call_add_metadata(call, initial_key, initial_value);
	farcall_call_add_metadata_bin(call, trailing_key, trailing_value, sizeof trailing_value);
}

static bool
check_metadata(const farcall_call *call, const char *what)
{
	const char *text = farcall_metadata_get(farcall_call_metadata(call), initial_key);
	const void *bytes;
	size_t size = 0;

	if (text == NULL || strcmp(text, initial_value) != 0)
		return interop_wrong("%s: initial metadata: %s is %s", what, initial_key,
		    text != NULL ? text : "not there");
	bytes = farcall_metadata_get_bin(farcall_call_trailers(call), trailing_key, &size);
	if (bytes == NULL || size != sizeof trailing_value ||
	    memcmp(bytes, trailing_value, size) != 0)
		return interop_wrong("%s: trailing metadata: %s is %s", what, trailing_key,
		    bytes != NULL ? "another value" : "not there");
	return true;
}

static bool
metadata_of_unary(const interop_client *client)
{
	simple_request request = GRPC__TESTING__SIMPLE_REQUEST__INIT;
	Grpc__Testing__Payload payload = interop_payload(INTEROP_LARGE_REQUEST);
	const simple_response *response = NULL;
	farcall_call *call = interop_call(client);
	farcall_code code;
	bool good;

	request.payload = &payload;
	request.response_size = INTEROP_LARGE_RESPONSE;
	attach_metadata(call);
	code = grpc_testing_test_service_unary_call(call, &request, &response);
	good = interop_expect(call, "UnaryCall", code, FARCALL_OK) &&
	    interop_check("UnaryCall", response->payload, INTEROP_LARGE_RESPONSE) &&
	    check_metadata(call, "UnaryCall");
	farcall_call_free(call);
	return good;
}

static bool
metadata_of_stream(const interop_client *client)
{
	static const char what[] = "FullDuplexCall";
	output_request request = GRPC__TESTING__STREAMING_OUTPUT_CALL_REQUEST__INIT;
	Grpc__Testing__ResponseParameters wanted = GRPC__TESTING__RESPONSE_PARAMETERS__INIT;
	Grpc__Testing__ResponseParameters *list[] = {&wanted};
	Grpc__Testing__Payload payload = interop_payload(INTEROP_LARGE_REQUEST);
	const output_response *response = NULL;
	farcall_call *call = interop_call(client);
	bool good;

	request.payload = &payload;
	request.response_parameters = list;
	request.n_response_parameters = 1;
	wanted.size = INTEROP_LARGE_RESPONSE;
	attach_metadata(call);
	grpc_testing_test_service_full_duplex_call__start(call);
	grpc_testing_test_service_full_duplex_call__send_request(call, &request);
	farcall_call_half_close(call);
	good = interop_expect(call, what,
	           grpc_testing_test_service_full_duplex_call__recv_reply(call, &response),
	           FARCALL_OK) &&
	    interop_check(what, response->payload, INTEROP_LARGE_RESPONSE) &&
	    interop_expect(
	        call, what, grpc_testing_test_service_full_duplex_call__finish(call), FARCALL_OK) &&
	    check_metadata(call, what);
	farcall_call_free(call);
	return good;
}

bool
interop_custom_metadata(const interop_client *client)
{
	return metadata_of_unary(client) && metadata_of_stream(client);
}

static bool
check_status(const farcall_call *call, const char *what, farcall_code code, const char *message)
{
	if (!interop_expect(call, what, code, FARCALL_UNKNOWN))
		return false;
	if (strcmp(farcall_call_status_message(call), message) == 0)
		return true;
	return interop_wrong("%s: the status message is \"%s\", not \"%s\"", what,
	    farcall_call_status_message(call), message);
}

static bool
status_of_unary(const interop_client *client, Grpc__Testing__EchoStatus *status)
{
	simple_request request = GRPC__TESTING__SIMPLE_REQUEST__INIT;
	const simple_response *response = NULL;
	farcall_call *call = interop_call(client);
	farcall_code code;
	bool good;

	request.response_status = status;
	code = grpc_testing_test_service_unary_call(call, &request, &response);
	good = check_status(call, "UnaryCall", code, status->message);
	farcall_call_free(call);
	return good;
}

static bool
status_of_stream(const interop_client *client, Grpc__Testing__EchoStatus *status)
{
	output_request request = GRPC__TESTING__STREAMING_OUTPUT_CALL_REQUEST__INIT;
	farcall_call *call = interop_call(client);
	bool good;

	request.response_status = status;
	grpc_testing_test_service_full_duplex_call__start(call);
	grpc_testing_test_service_full_duplex_call__send_request(call, &request);
	farcall_call_half_close(call);
	good = check_status(call, "FullDuplexCall",
	    grpc_testing_test_service_full_duplex_call__finish(call), status->message);
	farcall_call_free(call);
	return good;
}

bool
interop_status_code_and_message(const interop_client *client)
{
	static char message[] = "test status message";
	Grpc__Testing__EchoStatus status = GRPC__TESTING__ECHO_STATUS__INIT;

	status.code = FARCALL_UNKNOWN;
	status.message = message;
	return status_of_unary(client, &status) && status_of_stream(client, &status);
}

bool
interop_special_status_message(const interop_client *client)
{
	static char message[] =
	    "\t\ntest with whitespace\r\nand Unicode BMP \xe2\x98\xba and non-BMP "
	    "\xf0\x9f\x98\x88\t\n";
	Grpc__Testing__EchoStatus status = GRPC__TESTING__ECHO_STATUS__INIT;

	status.code = FARCALL_UNKNOWN;
	status.message = message;
	return status_of_unary(client, &status);
}

bool
interop_unimplemented_method(const interop_client *client)
{
	Grpc__Testing__Empty request = GRPC__TESTING__EMPTY__INIT;
	farcall_call *call = interop_call(client);
	farcall_code code = grpc_testing_test_service_unimplemented_call(call, &request, NULL);
	bool good = interop_expect(call, "UnimplementedCall", code, FARCALL_UNIMPLEMENTED);

	farcall_call_free(call);
	return good;
}

bool
interop_unimplemented_service(const interop_client *client)
{
	Grpc__Testing__Empty request = GRPC__TESTING__EMPTY__INIT;
	farcall_call *call = interop_call(client);
	farcall_code code =
	    grpc_testing_unimplemented_service_unimplemented_call(call, &request, NULL);
	bool good = interop_expect(call, "UnimplementedService", code, FARCALL_UNIMPLEMENTED);

	farcall_call_free(call);
	return good;
}
