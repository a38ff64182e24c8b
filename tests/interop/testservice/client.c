/*
 * farcall-interop-client --server_host=H --server_port=P --test_case=CASE: runs one case against
 * any implementation's interop server. Exits with 0 if it passed, 1 if it failed and 2 if there is
 * no such thing. Every case first waits for a connection: those that expect a failure would
 * otherwise be content with a server that is not there.
 */
#include "tests/interop/testservice/client.h"
#include "tests/interop/testservice/flags.h"

#include <stdio.h>
#include <string.h>

static const struct {
	const char *name;
	interop_case *run;
} cases[] = {
    {"empty_unary", interop_empty_unary},
    {"cacheable_unary", interop_cacheable_unary},
    {"large_unary", interop_large_unary},
    {"client_compressed_unary", interop_client_compressed_unary},
    {"server_compressed_unary", interop_server_compressed_unary},
    {"client_streaming", interop_client_streaming},
    {"client_compressed_streaming", interop_client_compressed_streaming},
    {"server_streaming", interop_server_streaming},
    {"server_compressed_streaming", interop_server_compressed_streaming},
    {"half_duplex", interop_half_duplex},
    {"slow_consumer", interop_slow_consumer},
    {"ping_pong", interop_ping_pong},
    {"empty_stream", interop_empty_stream},
    {"custom_metadata", interop_custom_metadata},
    {"status_code_and_message", interop_status_code_and_message},
    {"special_status_message", interop_special_status_message},
    {"unimplemented_method", interop_unimplemented_method},
    {"unimplemented_service", interop_unimplemented_service},
    {"cancel_after_begin", interop_cancel_after_begin},
    {"cancel_after_first_response", interop_cancel_after_first_response},
    {"timeout_on_sleeping_server", interop_timeout_on_sleeping_server},
    {"rpc_soak", interop_rpc_soak},
    {"channel_soak", interop_channel_soak},
    {"concurrent_large_unary", interop_concurrent_large_unary},
    /* Against a server of HTTP/2 that misbehaves, by gRPC's negative-http2 descriptions. */
    {"goaway", interop_goaway},
    {"max_streams", interop_max_streams},
    {"ping", interop_ping},
    {"rst_after_header", interop_reset},
    {"rst_after_data", interop_reset},
    {"rst_during_data", interop_reset},
};

static interop_client client = {
    .additional_metadata = "",
    .target = "",
    .connect_timeout_ms = 10000,
    .call_timeout_seconds = 120,
    .slow_consumer_delay_ms = 20,
    .concurrent_calls = 1000,
    .soak = {.iterations = 10,
        .threads = 1,
        .overall_timeout_seconds = 10,
        .most_ms = 1000,
        .request_size = INTEROP_LARGE_REQUEST,
        .response_size = INTEROP_LARGE_RESPONSE},
};
static const char *server_host = "localhost", *test_case = "large_unary", *ignored = "";
static long server_port;
static bool use_tls, use_test_ca;

static const interop_flag flags[] = {
    {"server_host", INTEROP_TEXT, &server_host, "The server's name or address"},
    {"server_port", INTEROP_NUMBER, &server_port, "The server's port"},
    {"test_case", INTEROP_TEXT, &test_case, "The case; an unknown one prints all of them"},
    {"use_tls", INTEROP_BOOL, &use_tls, "Must be false: there is no TLS"},
    {"use_test_ca", INTEROP_BOOL, &use_test_ca, "Of no effect without TLS"},
    {"server_host_override", INTEROP_TEXT, &ignored, "Of no effect without TLS"},
    {"additional_metadata", INTEROP_TEXT, &client.additional_metadata,
        "Request metadata of every call: key:value;key:value"},
    {"soak_iterations", INTEROP_NUMBER, &client.soak.iterations,
        "rpc_soak, channel_soak: calls, of all threads together"},
    {"soak_max_failures", INTEROP_NUMBER, &client.soak.max_failures,
        "… of which so many may fail, or take too long"},
    {"soak_per_iteration_max_acceptable_latency_ms", INTEROP_NUMBER, &client.soak.most_ms,
        "… milliseconds that one may take"},
    {"soak_overall_timeout_seconds", INTEROP_NUMBER, &client.soak.overall_timeout_seconds,
        "… seconds for all of them"},
    {"soak_min_time_ms_between_rpcs", INTEROP_NUMBER, &client.soak.between_ms,
        "… milliseconds from one call's start to that of the next"},
    {"soak_request_size", INTEROP_NUMBER, &client.soak.request_size, "… bytes of a request"},
    {"soak_response_size", INTEROP_NUMBER, &client.soak.response_size, "… bytes of a response"},
    {"soak_num_threads", INTEROP_NUMBER, &client.soak.threads, "… threads that call"},
    {"target", INTEROP_TEXT, &client.target,
        "Instead of host and port: an address of any kind, such as unix:/run/test"},
    {"concurrent_calls", INTEROP_NUMBER, &client.concurrent_calls,
        "concurrent_large_unary: calls at a time"},
    {"slow_consumer_delay_ms", INTEROP_NUMBER, &client.slow_consumer_delay_ms,
        "slow_consumer: milliseconds after each of 2,000 responses"},
    {"connect_timeout_ms", INTEROP_NUMBER, &client.connect_timeout_ms,
        "How long to wait for a connection"},
    {"call_timeout_seconds", INTEROP_NUMBER, &client.call_timeout_seconds,
        "The deadline of calls whose case has none"},
    {NULL, INTEROP_BOOL, NULL, NULL},
};

static bool
soak_is_sane(const interop_soak *soak)
{
	if (soak->threads < 1 || soak->threads > 100)
		return interop_wrong("--soak_num_threads: 1 to 100");
	if (soak->request_size > INTEROP_MOST || soak->response_size > INTEROP_MOST)
		return interop_wrong(
		    "--soak_request_size, --soak_response_size: %d at most", INTEROP_MOST);
	return true;
}

static int
list_cases(void)
{
	fprintf(
	    stderr, "farcall-interop-client: no case \"%s\" among those that apply:\n", test_case);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		fprintf(stderr, "  %s\n", cases[i].name);
	return 2;
}

static int
run(interop_case *run_case)
{
	bool passed = false;

	client.channel = interop_open(&client);
	if (client.channel != NULL)
		passed = run_case(&client);
	farcall_channel_close(client.channel);
	fprintf(
	    stderr, "farcall-interop-client: %s: %s\n", test_case, passed ? "passed" : "FAILED");
	return passed ? 0 : 1;
}

int
main(int argc, char **argv)
{
	bool v6 = false;
	char target[300];

	switch (interop_flags_parse("farcall-interop-client", flags, argc, argv)) {
	case INTEROP_HELPED:
		return 0;
	case INTEROP_WRONG:
		return 2;
	default:
		break;
	}
	if (use_tls) {
		interop_wrong("there is no TLS: --use_tls=false");
		return 2;
	}
	if (!soak_is_sane(&client.soak))
		return 2;
	v6 = strchr(server_host, ':') != NULL && server_host[0] != '[';
	if (client.target[0] == 0) {
		snprintf(target, sizeof target, v6 ? "[%.250s]:%ld" : "%.250s:%ld", server_host,
		    server_port);
		client.target = target;
	}
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		if (strcmp(cases[i].name, test_case) == 0)
			return run(cases[i].run);
	return list_cases();
}
