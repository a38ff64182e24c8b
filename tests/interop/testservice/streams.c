/*
 * streams.c: cases of streams. A step that fails answers the call's outcome, so what was sent need
 * not be asked for each time: the end tells.
 */
#include "tests/interop/testservice/client.h"

#include <uv.h>

typedef Grpc__Testing__ResponseParameters parameters;
typedef Grpc__Testing__StreamingInputCallRequest input_request;
typedef Grpc__Testing__StreamingInputCallResponse input_response;
typedef Grpc__Testing__StreamingOutputCallRequest output_request;
typedef Grpc__Testing__StreamingOutputCallResponse output_response;

enum { N_SIZES = 4, SLOW_RESPONSES = 2000, SLOW_SIZE = 1030 };
static const int request_sizes[N_SIZES] = {27182, 8, 1828, 45904};
static const int response_sizes[N_SIZES] = {31415, 9, 2653, 58979};
static const char duplex[] = "FullDuplexCall";

bool
interop_client_streaming(const interop_client *client)
{
	static const char what[] = "StreamingInputCall";
	farcall_call *call = interop_call(client);
	const input_response *response = NULL;
	farcall_code code;
	bool good;

	grpc_testing_test_service_streaming_input_call__start(call);
	for (int i = 0; i < N_SIZES; i++) {
		input_request request = GRPC__TESTING__STREAMING_INPUT_CALL_REQUEST__INIT;
		Grpc__Testing__Payload payload = interop_payload((size_t)request_sizes[i]);

		request.payload = &payload;
		grpc_testing_test_service_streaming_input_call__send_request(call, &request);
	}
	code = grpc_testing_test_service_streaming_input_call__finish(call, &response);
	good = interop_expect(call, what, code, FARCALL_OK);
	if (good && response->aggregated_payload_size != 74922)
		good = interop_wrong("%s: aggregated_payload_size is %d, not 74922", what,
		    (int)response->aggregated_payload_size);
	farcall_call_free(call);
	return good;
}

/* The next response is of so many bytes. */
static bool
expect_response(farcall_call *call, const char *what, int size)
{
	const ProtobufCMessage *message = NULL;
	farcall_code code = farcall_call_recv(call, &message);

	return interop_expect(call, what, code, FARCALL_OK) &&
	    interop_check(what, ((const output_response *)message)->payload, (size_t)size);
}

/* There is none, and the call went well. */
static bool
expect_end(farcall_call *call, const char *what)
{
	const ProtobufCMessage *message;

	return interop_expect(call, what, farcall_call_recv(call, &message), FARCALL_END) &&
	    interop_expect(call, what, farcall_call_finish(call, NULL), FARCALL_OK);
}

bool
interop_server_streaming(const interop_client *client)
{
	static const char what[] = "StreamingOutputCall";
	output_request request = GRPC__TESTING__STREAMING_OUTPUT_CALL_REQUEST__INIT;
	parameters wanted[N_SIZES], *list[N_SIZES];
	farcall_call *call = interop_call(client);
	bool good = true;

	for (int i = 0; i < N_SIZES; i++) {
		grpc__testing__response_parameters__init(&wanted[i]);
		wanted[i].size = response_sizes[i];
		list[i] = &wanted[i];
	}
	request.response_parameters = list;
	request.n_response_parameters = N_SIZES;
	grpc_testing_test_service_streaming_output_call__start(call, &request);
	for (int i = 0; i < N_SIZES && good; i++)
		good = expect_response(call, what, response_sizes[i]);
	good = good && expect_end(call, what);
	farcall_call_free(call);
	return good;
}

/* Asks on a bidirectional stream for a response of `size`; none if it is negative. */
static farcall_code
send_request(farcall_call *call, int size, int request_size)
{
	output_request request = GRPC__TESTING__STREAMING_OUTPUT_CALL_REQUEST__INIT;
	parameters wanted = GRPC__TESTING__RESPONSE_PARAMETERS__INIT, *list[] = {&wanted};
	Grpc__Testing__Payload payload = interop_payload((size_t)request_size);

	wanted.size = size;
	request.response_parameters = list;
	request.n_response_parameters = size >= 0 ? 1 : 0;
	request.payload = &payload;
	return farcall_call_send(call, &request.base);
}

bool
interop_half_duplex(const interop_client *client)
{
	static const char what[] = "HalfDuplexCall";
	farcall_call *call = interop_call(client);
	bool good = true;

	grpc_testing_test_service_half_duplex_call__start(call);
	for (int i = 0; i < N_SIZES; i++)
		send_request(call, response_sizes[i], 0);
	farcall_call_half_close(call);
	for (int i = 0; i < N_SIZES && good; i++)
		good = expect_response(call, what, response_sizes[i]);
	good = good && expect_end(call, what);
	farcall_call_free(call);
	return good;
}

/* The server is ahead of its reader all the time, and must be kept waiting. */
bool
interop_slow_consumer(const interop_client *client)
{
	static const char what[] = "StreamingOutputCall";
	output_request request = GRPC__TESTING__STREAMING_OUTPUT_CALL_REQUEST__INIT;
	parameters wanted = GRPC__TESTING__RESPONSE_PARAMETERS__INIT, *list[SLOW_RESPONSES];
	farcall_call *call = interop_call(client);
	bool good = true;

	wanted.size = SLOW_SIZE;
	for (int i = 0; i < SLOW_RESPONSES; i++)
		list[i] = &wanted;
	request.response_parameters = list;
	request.n_response_parameters = SLOW_RESPONSES;
	grpc_testing_test_service_streaming_output_call__start(call, &request);
	for (int i = 0; i < SLOW_RESPONSES && good; i++) {
		good = expect_response(call, what, SLOW_SIZE);
		uv_sleep((unsigned)client->slow_consumer_delay_ms);
	}
	good = good && expect_end(call, what);
	farcall_call_free(call);
	return good;
}

bool
interop_ping_pong(const interop_client *client)
{
	farcall_call *call = interop_call(client);
	bool good = true;

	grpc_testing_test_service_full_duplex_call__start(call);
	for (int i = 0; i < N_SIZES && good; i++)
		good = interop_expect(call, duplex,
		           send_request(call, response_sizes[i], request_sizes[i]), FARCALL_OK) &&
		    expect_response(call, duplex, response_sizes[i]);
	farcall_call_half_close(call);
	good = good && expect_end(call, duplex);
	farcall_call_free(call);
	return good;
}

bool
interop_empty_stream(const interop_client *client)
{
	farcall_call *call = interop_call(client);
	bool good;

	grpc_testing_test_service_full_duplex_call__start(call);
	farcall_call_half_close(call);
	good = expect_end(call, duplex);
	farcall_call_free(call);
	return good;
}

bool
interop_cancel_after_begin(const interop_client *client)
{
	farcall_call *call = interop_call(client);
	farcall_code code;
	bool good;

	grpc_testing_test_service_streaming_input_call__start(call);
	farcall_call_cancel(call);
	code = grpc_testing_test_service_streaming_input_call__finish(call, NULL);
	good = interop_expect(call, "StreamingInputCall", code, FARCALL_CANCELLED);
	farcall_call_free(call);
	return good;
}

bool
interop_cancel_after_first_response(const interop_client *client)
{
	farcall_call *call = interop_call(client);
	bool good;

	grpc_testing_test_service_full_duplex_call__start(call);
	send_request(call, response_sizes[0], request_sizes[0]);
	good = expect_response(call, duplex, response_sizes[0]);
	farcall_call_cancel(call);
	good = good &&
	    interop_expect(call, duplex, farcall_call_finish(call, NULL), FARCALL_CANCELLED);
	farcall_call_free(call);
	return good;
}

/* The server waits for more to come; so it is the deadline that ends the call. */
bool
interop_timeout_on_sleeping_server(const interop_client *client)
{
	farcall_call *call = interop_call(client);
	const ProtobufCMessage *message;
	farcall_code code;
	bool good;

	farcall_call_set_timeout_ms(call, 1);
	grpc_testing_test_service_full_duplex_call__start(call);
	send_request(call, -1, request_sizes[0]);
	code = farcall_call_recv(call, &message);
	good = interop_expect(call, duplex, code, FARCALL_DEADLINE_EXCEEDED) &&
	    interop_expect(call, duplex, farcall_call_code(call), FARCALL_DEADLINE_EXCEEDED);
	farcall_call_free(call);
	return good;
}
