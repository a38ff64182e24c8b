/*
 * compressed.c: cases of compression. What was compressed is asked of the messages' own flags. A
 * server that takes an uncompressed message for a compressed one fails its case.
 */
#include "tests/interop/testservice/client.h"

typedef Grpc__Testing__BoolValue bool_value;
typedef Grpc__Testing__SimpleRequest simple_request;
typedef Grpc__Testing__StreamingInputCallRequest input_request;
typedef Grpc__Testing__StreamingInputCallResponse input_response;
typedef Grpc__Testing__StreamingOutputCallRequest output_request;
typedef Grpc__Testing__StreamingOutputCallResponse output_response;

static const char unary[] = "UnaryCall", input[] = "StreamingInputCall",
                  output[] = "StreamingOutputCall";

static bool
is_compressed(const farcall_call *call, const char *what, bool wanted)
{
	if (farcall_call_message_compressed(call) == wanted)
		return true;
	return interop_wrong("%s: the response is %scompressed", what, wanted ? "not " : "");
}

/* A large unary call, sent compressed or not, that says what is expected of it. */
static bool
send_unary(const interop_client *client, bool compress, bool expect, farcall_code wanted)
{
	simple_request request = GRPC__TESTING__SIMPLE_REQUEST__INIT;
	bool_value expected = GRPC__TESTING__BOOL_VALUE__INIT;
	Grpc__Testing__Payload payload = interop_payload(INTEROP_LARGE_REQUEST);
	const Grpc__Testing__SimpleResponse *response = NULL;
	farcall_call *call = interop_call(client);
	farcall_code code;
	bool good;

	expected.value = expect;
	request.expect_compressed = &expected;
	request.payload = &payload;
	request.response_size = INTEROP_LARGE_RESPONSE;
	farcall_call_set_compression(call, compress ? FARCALL_GZIP : FARCALL_IDENTITY);
	code = grpc_testing_test_service_unary_call(call, &request, &response);
	good = interop_expect(call, unary, code, wanted);
	if (good && wanted == FARCALL_OK)
		good = interop_check(unary, response->payload, INTEROP_LARGE_RESPONSE);
	farcall_call_free(call);
	return good;
}

bool
interop_client_compressed_unary(const interop_client *client)
{
	return send_unary(client, false, true, FARCALL_INVALID_ARGUMENT) &&
	    send_unary(client, true, true, FARCALL_OK) &&
	    send_unary(client, false, false, FARCALL_OK);
}

static bool
ask_unary(const interop_client *client, bool compressed)
{
	simple_request request = GRPC__TESTING__SIMPLE_REQUEST__INIT;
	bool_value asked = GRPC__TESTING__BOOL_VALUE__INIT;
	Grpc__Testing__Payload payload = interop_payload(INTEROP_LARGE_REQUEST);
	const Grpc__Testing__SimpleResponse *response = NULL;
	farcall_call *call = interop_call(client);
	farcall_code code;
	bool good;

	asked.value = compressed;
	request.response_compressed = &asked;
	request.payload = &payload;
	request.response_size = INTEROP_LARGE_RESPONSE;
	code = grpc_testing_test_service_unary_call(call, &request, &response);
	good = interop_expect(call, unary, code, FARCALL_OK) &&
	    interop_check(unary, response->payload, INTEROP_LARGE_RESPONSE) &&
	    is_compressed(call, unary, compressed);
	farcall_call_free(call);
	return good;
}

bool
interop_server_compressed_unary(const interop_client *client)
{
	return ask_unary(client, true) && ask_unary(client, false);
}

/* One message of a stream whose coding is gzip, compressed or not. */
static farcall_code
send_input(farcall_call *call, size_t size, bool compress, bool expect)
{
	input_request request = GRPC__TESTING__STREAMING_INPUT_CALL_REQUEST__INIT;
	Grpc__Testing__Payload payload = interop_payload(size);
	bool_value expected = GRPC__TESTING__BOOL_VALUE__INIT;

	expected.value = expect;
	request.expect_compressed = &expected;
	request.payload = &payload;
	farcall_call_set_message_compression(call, compress);
	return grpc_testing_test_service_streaming_input_call__send_request(call, &request);
}

/* Whether the server looks at all. */
static bool
probe_streaming(const interop_client *client)
{
	farcall_call *call = interop_call(client);
	farcall_code code;
	bool good;

	grpc_testing_test_service_streaming_input_call__start(call);
	send_input(call, 27182, false, true);
	code = grpc_testing_test_service_streaming_input_call__finish(call, NULL);
	good = interop_expect(call, input, code, FARCALL_INVALID_ARGUMENT);
	farcall_call_free(call);
	return good;
}

bool
interop_client_compressed_streaming(const interop_client *client)
{
	const input_response *response = NULL;
	farcall_call *call;
	farcall_code code;
	bool good;

	if (!probe_streaming(client))
		return false;
	call = interop_call(client);
	farcall_call_set_compression(call, FARCALL_GZIP);
	grpc_testing_test_service_streaming_input_call__start(call);
	send_input(call, 27182, true, true);
	send_input(call, 45904, false, false);
	code = grpc_testing_test_service_streaming_input_call__finish(call, &response);
	good = interop_expect(call, input, code, FARCALL_OK);
	if (good && response->aggregated_payload_size != 73086)
		good = interop_wrong("%s: aggregated_payload_size is %d, not 73086", input,
		    (int)response->aggregated_payload_size);
	farcall_call_free(call);
	return good;
}

bool
interop_server_compressed_streaming(const interop_client *client)
{
	static const int sizes[] = {31415, 92653};
	output_request request = GRPC__TESTING__STREAMING_OUTPUT_CALL_REQUEST__INIT;
	Grpc__Testing__ResponseParameters wanted[2], *list[2];
	bool_value asked[2];
	farcall_call *call = interop_call(client);
	const output_response *response = NULL;
	bool good = true;

	for (int i = 0; i < 2; i++) {
		grpc__testing__response_parameters__init(&wanted[i]);
		grpc__testing__bool_value__init(&asked[i]);
		asked[i].value = i == 0;
		wanted[i].size = sizes[i];
		wanted[i].compressed = &asked[i];
		list[i] = &wanted[i];
	}
	request.response_parameters = list;
	request.n_response_parameters = 2;
	grpc_testing_test_service_streaming_output_call__start(call, &request);
	for (int i = 0; i < 2 && good; i++) {
		farcall_code code =
		    grpc_testing_test_service_streaming_output_call__recv_reply(call, &response);

		good = interop_expect(call, output, code, FARCALL_OK) &&
		    interop_check(output, response->payload, (size_t)sizes[i]) &&
		    is_compressed(call, output, i == 0);
	}
	good = good &&
	    interop_expect(call, output,
	        grpc_testing_test_service_streaming_output_call__recv_reply(call, &response),
	        FARCALL_END) &&
	    interop_expect(call, output,
	        grpc_testing_test_service_streaming_output_call__finish(call), FARCALL_OK);
	farcall_call_free(call);
	return good;
}
