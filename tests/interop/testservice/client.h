/*
 * client.h: what the cases of the interop client share. A case answers true if all that gRPC's
 * interop-test-descriptions assert held; else it has said on stderr what did not.
 */
#ifndef INTEROP_CLIENT_H
#define INTEROP_CLIENT_H

#include "grpc/testing/test.farcall.h"

#include <stdbool.h>

#define INTEROP_LARGE_REQUEST 271828
#define INTEROP_LARGE_RESPONSE 314159

typedef struct interop_soak {
	long iterations;
	long threads;
	long max_failures;
	long overall_timeout_seconds;
	long most_ms;    /* acceptable latency of one call */
	long between_ms; /* from one call's start to the next one's, of a thread */
	long request_size;
	long response_size;
} interop_soak;

typedef struct interop_client {
	const char *target;
	const char *additional_metadata; /* "key:value;key:value" */
	long connect_timeout_ms;
	long call_timeout_seconds;
	long slow_consumer_delay_ms;
	long concurrent_calls;
	interop_soak soak;
	farcall_channel *channel; /* ready */
} interop_client;

typedef bool interop_case(const interop_client *client);

/* Opens a channel, and waits until it is connected; NULL: it said why. */
farcall_channel *interop_open(const interop_client *client);

/* A call with the deadline and the metadata of the command line. */
farcall_call *interop_call(const interop_client *client);
farcall_call *interop_call_on(const interop_client *client, farcall_channel *channel);

/* Says what is wrong; false. */
bool interop_wrong(const char *format, ...) FARCALL_PRINTF(1, 2);

/* `what` came to `code`, which must be `wanted`. */
bool interop_expect(
    const farcall_call *call, const char *what, farcall_code code, farcall_code wanted);

/* A payload of `size` zeros, at most INTEROP_MOST; and whether one is that. */
#define INTEROP_MOST (4 << 20)
Grpc__Testing__Payload interop_payload(size_t size);
bool interop_check(const char *what, const Grpc__Testing__Payload *payload, size_t size);

/* The large unary call, on `call`, which it frees; true: OK, with the large response. */
bool interop_large_unary_on(farcall_call *call, size_t request_size, size_t response_size);
bool interop_large_unary(const interop_client *client);

interop_case interop_empty_unary, interop_cacheable_unary, interop_custom_metadata,
    interop_status_code_and_message, interop_special_status_message, interop_unimplemented_method,
    interop_unimplemented_service;
interop_case interop_client_streaming, interop_server_streaming, interop_half_duplex,
    interop_slow_consumer, interop_ping_pong, interop_empty_stream, interop_cancel_after_begin,
    interop_cancel_after_first_response, interop_timeout_on_sleeping_server;
interop_case interop_client_compressed_unary, interop_server_compressed_unary,
    interop_client_compressed_streaming, interop_server_compressed_streaming;
interop_case interop_rpc_soak, interop_channel_soak, interop_concurrent_large_unary;
interop_case interop_goaway, interop_max_streams, interop_ping, interop_reset;

#endif
