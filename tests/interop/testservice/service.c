/*
 * service.c: the handlers. Each is written as a user would write it: streams block, so each open
 * stream has a thread of the server's crew while it lasts. A payload is `size` zeros; what is asked
 * for past the call's memory is RESOURCE_EXHAUSTED, and what makes no sense INVALID_ARGUMENT, with
 * the field's name in the text.
 */
#include "tests/interop/testservice/service.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include <uv.h>

typedef Grpc__Testing__Payload payload;
typedef Grpc__Testing__BoolValue bool_value;
typedef Grpc__Testing__ResponseParameters parameters;
typedef Grpc__Testing__StreamingOutputCallRequest output_request;
typedef Grpc__Testing__StreamingOutputCallResponse output_response;

/* A payload of zeros in memory of the message that is being built. */
static farcall_code
make_payload(farcall_call *call, Grpc__Testing__PayloadType type, int32_t size, payload **made)
{
	payload *p;

	if (type != GRPC__TESTING__PAYLOAD_TYPE__COMPRESSABLE)
		return farcall_call_fail(call, FARCALL_INVALID_ARGUMENT,
		    "response_type: %d is no type of payload", (int)type);
	if (size < 0)
		return farcall_call_fail(
		    call, FARCALL_INVALID_ARGUMENT, "size: %" PRId32 " is negative", size);
	p = (payload *)farcall_call_alloc(call, sizeof *p);
	if (p == NULL)
		return FARCALL_RESOURCE_EXHAUSTED;
	grpc__testing__payload__init(p);
	p->body.len = (size_t)size;
	p->body.data = size > 0 ? (uint8_t *)farcall_call_alloc(call, (size_t)size) : NULL;
	if (size > 0 && p->body.data == NULL)
		return farcall_call_fail(call, FARCALL_RESOURCE_EXHAUSTED,
		    "size: a payload of %" PRId32 " bytes is more than this server makes", size);
	*made = p;
	return FARCALL_OK;
}

static farcall_code
check_compressed(farcall_call *call, const bool_value *expected)
{
	if (expected == NULL || (expected->value != 0) == farcall_call_message_compressed(call))
		return FARCALL_OK;
	return farcall_call_fail(call, FARCALL_INVALID_ARGUMENT,
	    "expect_compressed is %s, but this message was %scompressed",
	    expected->value ? "true" : "false", expected->value ? "not " : "");
}

/* What the client asks to be answered with; FARCALL_OK if it asks for nothing. */
static farcall_code
echo_status(farcall_call *call, const Grpc__Testing__EchoStatus *status)
{
	if (status == NULL || status->code == FARCALL_OK)
		return FARCALL_OK;
	if (status->code < 0 || status->code > FARCALL_UNAUTHENTICATED)
		return farcall_call_fail(call, FARCALL_INVALID_ARGUMENT,
		    "response_status: %" PRId32 " is no code", status->code);
	return farcall_call_fail(call, (farcall_code)status->code, "%s", status->message);
}

static void
echo_metadata(farcall_call *call)
{
	static const char initial[] = "x-grpc-test-echo-initial";
	static const char trailing[] = "x-grpc-test-echo-trailing-bin";
	const farcall_metadata *received = farcall_call_metadata(call);
	const char *text = farcall_metadata_get(received, initial);
	const void *bytes;
	size_t size;

	if (text != NULL)
		farcall_call_add_metadata(call, initial, text);
	bytes = farcall_metadata_get_bin(received, trailing, &size);
	if (bytes != NULL)
		farcall_call_add_trailer_bin(call, trailing, bytes, size);
}

/* ---- unary ---- */

static farcall_code
empty_call(farcall_call *call, const Grpc__Testing__Empty *request, Grpc__Testing__Empty *reply)
{
	(void)request;
	(void)reply;
	echo_metadata(call);
	return FARCALL_OK;
}

static farcall_code
unary_call(farcall_call *call, const Grpc__Testing__SimpleRequest *request,
    Grpc__Testing__SimpleResponse *reply)
{
	farcall_code code;

	echo_metadata(call);
	code = check_compressed(call, request->expect_compressed);
	if (code != FARCALL_OK)
		return code;
	if (request->response_compressed != NULL && request->response_compressed->value)
		farcall_call_set_compression(call, FARCALL_GZIP);
	if (request->fill_server_id)
		reply->server_id = farcall_call_strdup(call, "farcall-interop-server");
	if (request->response_size != 0 || request->response_type != 0) {
		code = make_payload(
		    call, request->response_type, request->response_size, &reply->payload);
		if (code != FARCALL_OK)
			return code;
	}
	return echo_status(call, request->response_status);
}

/* Another answer each time, that proxies may keep for a minute. */
static farcall_code
cacheable_unary_call(farcall_call *call, const Grpc__Testing__SimpleRequest *request,
    Grpc__Testing__SimpleResponse *reply)
{
	payload *p = (payload *)farcall_call_alloc(call, sizeof *p);
	struct timespec now = {0, 0};
	char *text;

	(void)request;
	timespec_get(&now, TIME_UTC);
	text = farcall_call_printf(
	    call, "%lld", (long long)now.tv_sec * 1000000000LL + (long long)now.tv_nsec);
	if (p == NULL)
		return FARCALL_RESOURCE_EXHAUSTED;
	grpc__testing__payload__init(p);
	p->body.len = strlen(text);
	p->body.data = (uint8_t *)text;
	reply->payload = p;
	farcall_call_add_metadata(call, "cache-control", "max-age=60, public");
	return FARCALL_OK;
}

/* ---- streams ---- */

/* One response, `interval_us` after the last one; whole milliseconds, rounded up. */
static farcall_code
send_response(farcall_call *call, Grpc__Testing__PayloadType type, const parameters *wanted)
{
	output_response response = GRPC__TESTING__STREAMING_OUTPUT_CALL_RESPONSE__INIT;
	farcall_code code = make_payload(call, type, wanted->size, &response.payload);

	if (code != FARCALL_OK)
		return code;
	if (wanted->interval_us > 0) {
		farcall_block_begin(call);
		uv_sleep((unsigned)(wanted->interval_us / 1000 + (wanted->interval_us % 1000 > 0)));
	}
	farcall_call_set_message_compression(
	    call, wanted->compressed != NULL && wanted->compressed->value);
	return farcall_call_send(call, &response.base);
}

/* A call has one coding, named before its first message; each message uses it or does not. */
static void
announce_compression(farcall_call *call, const output_request *request)
{
	for (size_t i = 0; i < request->n_response_parameters; i++) {
		const bool_value *compressed = request->response_parameters[i]->compressed;

		if (compressed != NULL && compressed->value) {
			farcall_call_set_compression(call, FARCALL_GZIP);
			return;
		}
	}
}

static farcall_code
send_responses(farcall_call *call, const output_request *request)
{
	farcall_code code = FARCALL_OK;

	for (size_t i = 0; i < request->n_response_parameters && code == FARCALL_OK; i++)
		code = send_response(call, request->response_type, request->response_parameters[i]);
	return code;
}

static farcall_code
streaming_output_call(farcall_call *call, const output_request *request)
{
	farcall_code code;

	echo_metadata(call);
	announce_compression(call, request);
	code = send_responses(call, request);
	return code != FARCALL_OK ? code : echo_status(call, request->response_status);
}

static farcall_code
streaming_input_call(farcall_call *call, Grpc__Testing__StreamingInputCallResponse *reply)
{
	const Grpc__Testing__StreamingInputCallRequest *request;
	uint64_t sum = 0;
	farcall_code code;

	echo_metadata(call);
	while ((code = grpc_testing_test_service_streaming_input_call__recv_request(
	            call, &request)) == FARCALL_OK) {
		code = check_compressed(call, request->expect_compressed);
		if (code != FARCALL_OK)
			return code;
		sum += request->payload != NULL ? request->payload->body.len : 0;
	}
	if (code != FARCALL_END)
		return code;
	if (sum > INT32_MAX)
		return farcall_call_fail(call, FARCALL_OUT_OF_RANGE,
		    "%" PRIu64 " bytes were sent, more than the response can say", sum);
	reply->aggregated_payload_size = (int32_t)sum;
	return FARCALL_OK;
}

static farcall_code
full_duplex_call(farcall_call *call)
{
	const output_request *request;
	bool first = true;
	farcall_code code;

	echo_metadata(call);
	while ((code = grpc_testing_test_service_full_duplex_call__recv_request(call, &request)) ==
	    FARCALL_OK) {
		if (first)
			announce_compression(call, request);
		first = false;
		code = send_responses(call, request);
		if (code == FARCALL_OK)
			code = echo_status(call, request->response_status);
		if (code != FARCALL_OK)
			return code;
	}
	return code == FARCALL_END ? FARCALL_OK : code;
}

/* A response wanted, kept until the client has said all. */
struct kept {
	parameters wanted;
	Grpc__Testing__PayloadType type;
	struct kept *next;
};

static farcall_code
keep_parameters(farcall_call *call, const output_request *request, struct kept ***end)
{
	for (size_t i = 0; i < request->n_response_parameters; i++) {
		struct kept *kept = (struct kept *)farcall_call_keep(call, sizeof *kept);

		if (kept == NULL)
			return FARCALL_RESOURCE_EXHAUSTED;
		kept->wanted = *request->response_parameters[i];
		kept->wanted.compressed = NULL; /* dies with the request */
		kept->type = request->response_type;
		**end = kept;
		*end = &kept->next;
	}
	return FARCALL_OK;
}

static farcall_code
half_duplex_call(farcall_call *call)
{
	struct kept *first = NULL, **end = &first;
	const output_request *request;
	farcall_code code;

	echo_metadata(call);
	while ((code = grpc_testing_test_service_half_duplex_call__recv_request(call, &request)) ==
	    FARCALL_OK) {
		code = keep_parameters(call, request, &end);
		if (code == FARCALL_OK)
			code = echo_status(call, request->response_status);
		if (code != FARCALL_OK)
			return code;
	}
	for (code = code == FARCALL_END ? FARCALL_OK : code; first != NULL; first = first->next) {
		if (code != FARCALL_OK)
			break;
		code = send_response(call, first->type, &first->wanted);
	}
	return code;
}

const struct grpc_testing_test_service interop_service = {
    .empty_call = empty_call,
    .unary_call = unary_call,
    .cacheable_unary_call = cacheable_unary_call,
    .streaming_output_call = streaming_output_call,
    .streaming_input_call = streaming_input_call,
    .full_duplex_call = full_duplex_call,
    .half_duplex_call = half_duplex_call,
};
