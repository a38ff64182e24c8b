/*
 * test_balance.c: round robin, retries and hedges where threads are: blocking calls of channels
 * that nobody drives between them, callbacks in the channel's own thread, servers that go away
 * meanwhile. What the policy promises must hold: no call fails that may be tried again.
 */
#include "tests/support/pair.h"

#include <stdio.h>
#include <stdlib.h>

#include <uv.h>

#define SERVERS 3
#define THREADS 4
#define CALLS 100

#define ROUND_ROBIN "\"loadBalancingConfig\": [{\"round_robin\": {}}]"
#define RETRIES                                                                      \
	"\"methodConfig\": [{\"name\": [{}], \"retryPolicy\": {\"maxAttempts\": 5, " \
	"\"initialBackoff\": \"0.005s\", \"maxBackoff\": \"0.5s\", "                 \
	"\"backoffMultiplier\": 4, \"retryableStatusCodes\": [\"UNAVAILABLE\"]}}]"
#define HEDGES                                                                         \
	"\"methodConfig\": [{\"name\": [{}], \"hedgingPolicy\": {\"maxAttempts\": 3, " \
	"\"hedgingDelay\": \"0.001s\", \"nonFatalStatusCodes\": [\"UNAVAILABLE\"]}}]"

static farcall_server *servers[SERVERS];
static char addresses[SERVERS][64];
static atomic_int handled[SERVERS];
static farcall_channel *channel;
static atomic_int failures, done;
static atomic_bool restarting; /* callers go on as long */

static farcall_code
echo(farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	atomic_fetch_add((atomic_int *)farcall_call_self(call), 1);
	*reply = *request;
	return FARCALL_OK;
}

/* Refuses the first attempt of each call. */
static farcall_code
custom(farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	const farcall_metadata *metadata = farcall_call_metadata(call);

	atomic_fetch_add((atomic_int *)farcall_call_self(call), 1);
	if (farcall_metadata_get(metadata, "grpc-previous-rpc-attempts") == NULL)
		return farcall_call_fail(call, FARCALL_UNAVAILABLE, "busy");
	*reply = *request;
	return FARCALL_OK;
}

/* The same, and says when to come again: `number`. */
static farcall_code
push_back(farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	char ms[16];

	snprintf(ms, sizeof ms, "%d", (int)(int32_t)request->number);
	farcall_call_add_trailer(call, "grpc-retry-pushback-ms", ms);
	return custom(call, request, reply);
}

static farcall_code refuse_then_tell(
    farcall_call *call, const Pair__Message *request, Pair__Message *reply);

static const struct pair_test handlers = {
    .echo = echo, .custom = custom, .wait = push_back, .slow = refuse_then_tell};

static void
start_server(int i)
{
	farcall_endpoint *endpoint;

	servers[i] = farcall_server_new();
	pair_test__register(servers[i], &handlers, &handled[i]);
	endpoint =
	    farcall_server_bind(servers[i], addresses[i][0] != 0 ? addresses[i] : "127.0.0.1:0");
	assert_int_equal(farcall_server_start(servers[i]), FARCALL_OK);
	snprintf(addresses[i], sizeof addresses[i], "%s", farcall_endpoint_address(endpoint, 0));
}

static void
stop_server(int i)
{
	farcall_server_stop(servers[i], 0);
	farcall_server_wait(servers[i]);
	farcall_server_free(servers[i]);
	servers[i] = NULL;
}

static void
begin(const char *config)
{
	char target[256];

	atomic_store(&failures, 0);
	atomic_store(&done, 0);
	for (int i = 0; i < SERVERS; i++) {
		addresses[i][0] = 0;
		atomic_store(&handled[i], 0);
		start_server(i);
	}
	snprintf(target, sizeof target, "%s,%s,%s", addresses[0], strchr(addresses[1], ':') + 1,
	    strchr(addresses[2], ':') + 1);
	channel = farcall_channel_open(target);
	farcall_channel_set_service_config(channel, config);
	assert_string_equal(farcall_channel_error(channel), "");
}

/* A channel's own thread ends by itself after the close, and its memory with it. */
static void
end(void)
{
	farcall_channel_close(channel);
	for (int i = 0; i < SERVERS; i++)
		if (servers[i] != NULL)
			stop_server(i);
	for (int i = 0; i < 1000 && test_allocator_live() != 0; i++)
		uv_sleep(10);
}

static void
call_once(
    farcall_code (*fn)(farcall_call *, const Pair__Message *, const Pair__Message **), int number)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	const Pair__Message *reply = NULL;
	farcall_call *call = farcall_call_new(channel);

	request.number = (uint32_t)number;
	request.text = "balanced";
	farcall_call_set_timeout_ms(call, 60000);
	if (fn(call, &request, &reply) != FARCALL_OK) {
		print_message("%s\n", farcall_call_error(call));
		atomic_fetch_add(&failures, 1);
	} else if (reply->number != (uint32_t)number || strcmp(reply->text, "balanced") != 0) {
		atomic_fetch_add(&failures, 1);
	}
	farcall_call_free(call);
}

static void
call_echo(void *data)
{
	(void)data;
	for (int i = 0; i < CALLS || atomic_load(&restarting); i++)
		call_once(pair_test_echo, i);
}

static void
call_custom(void *data)
{
	(void)data;
	for (int i = 0; i < CALLS; i++)
		call_once(pair_test_custom, i);
}

static void
in_threads(void (*run)(void *data), void (*meanwhile)(void))
{
	uv_thread_t threads[THREADS];

	for (int i = 0; i < THREADS; i++)
		assert_int_equal(uv_thread_create(&threads[i], run, NULL), 0);
	if (meanwhile != NULL)
		meanwhile();
	for (int i = 0; i < THREADS; i++)
		uv_thread_join(&threads[i]);
	assert_int_equal(atomic_load(&failures), 0);
}

/* Calls until each server has had one: the channel is connected to all. */
static void
reach_all(void)
{
	for (int i = 0; i < SERVERS; i++)
		for (int n = 0; n < 10000 && atomic_load(&handled[i]) == 0; n++)
			call_once(pair_test_echo, n);
	for (int i = 0; i < SERVERS; i++)
		assert_true(atomic_exchange(&handled[i], 0) > 0);
}

static void
threads_share_the_servers(void **state)
{
	(void)state;
	begin("{" ROUND_ROBIN "}");
	reach_all();
	in_threads(call_echo, NULL);
	for (int i = 0; i < SERVERS; i++)
		assert_in_range(atomic_load(&handled[i]), CALLS / 2, 3 * CALLS);
	end();
}

/* One goes away and comes back, then another one. */
static void
restart_some(void)
{
	for (int i = 0; i < 2; i++) {
		test_wait_for(&handled[i], 20);
		stop_server(i);
		start_server(i);
	}
	atomic_store(&restarting, false);
}

static void
servers_may_be_restarted(void **state)
{
	(void)state;
	begin("{" ROUND_ROBIN ", " RETRIES "}");
	reach_all();
	atomic_store(&restarting, true);
	in_threads(call_echo, restart_some);
	end();
}

static void
refusals_are_tried_again(void **state)
{
	(void)state;
	begin("{" ROUND_ROBIN ", " RETRIES "}");
	in_threads(call_custom, NULL);
	assert_int_equal(handled[0] + handled[1] + handled[2], 2 * THREADS * CALLS);
	end();
}

/* What the handler of Wait says is heard: in milliseconds, or never. */
static void
a_server_says_when(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	uint64_t start = uv_hrtime();
	farcall_call *call;

	(void)state;
	begin("{" RETRIES "}");
	call_once(pair_test_wait, 60);
	assert_int_equal(atomic_load(&failures), 0);
	assert_true(uv_hrtime() - start >= UINT64_C(60000000));
	assert_int_equal(handled[0] + handled[1] + handled[2], 2);
	call = farcall_call_new(channel);
	request.number = UINT32_MAX;
	assert_int_equal(pair_test_wait(call, &request, NULL), FARCALL_UNAVAILABLE);
	assert_int_equal(handled[0] + handled[1] + handled[2], 3);
	farcall_call_free(call);
	end();
}

static void
hedges_of_many_threads(void **state)
{
	(void)state;
	begin("{" ROUND_ROBIN ", " HEDGES "}");
	in_threads(call_echo, NULL);
	end();
}

/* ---- interceptors and compression: a call is one call, however often it is tried ---- */

static atomic_int begun, ended;

static farcall_code
hook_begin(farcall_call *call, const farcall_intercepted *about, void *data)
{
	(void)about, (void)data;
	atomic_fetch_add(&begun, 1);
	farcall_call_add_metadata(call, "x-hook", "here");
	return FARCALL_OK;
}

static void
hook_end(farcall_call *call, const farcall_intercepted *about, const farcall_outcome *outcome,
    void *data)
{
	(void)call, (void)about, (void)data;
	if (outcome->code == FARCALL_OK && outcome->messages_sent == 1 &&
	    outcome->messages_received == 1 && outcome->bytes_received == outcome->bytes_sent)
		atomic_fetch_add(&ended, 1);
}

/* The first attempt is refused; each has what the interceptor has added. */
static farcall_code
refuse_then_tell(farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	const farcall_metadata *metadata = farcall_call_metadata(call);

	if (farcall_metadata_get(metadata, "x-hook") == NULL)
		return farcall_call_fail(call, FARCALL_INTERNAL, "without metadata");
	if (!farcall_call_message_compressed(call))
		return farcall_call_fail(call, FARCALL_INTERNAL, "not compressed");
	return custom(call, request, reply);
}

static void
a_call_is_one_call(void **state)
{
	static const farcall_interceptor hooks = {.begin = hook_begin, .end = hook_end};
	static char text[2001];
	Pair__Message request = PAIR__MESSAGE__INIT;

	(void)state;
	memset(text, 'x', sizeof text - 1);
	request.text = text;
	for (int hedged = 0; hedged < 2; hedged++) {
		atomic_store(&begun, 0);
		atomic_store(&ended, 0);
		begin(hedged ? "{" ROUND_ROBIN ", " HEDGES "}" : "{" ROUND_ROBIN ", " RETRIES "}");
		farcall_channel_intercept(channel, &hooks, sizeof hooks, NULL);
		farcall_channel_set_compression(channel, FARCALL_GZIP);
		for (int i = 0; i < 20; i++) {
			farcall_call *call = farcall_call_new(channel);
			const Pair__Message *reply = NULL;

			farcall_call_set_timeout_ms(call, 60000);
			assert_int_equal(pair_test_slow(call, &request, &reply), FARCALL_OK);
			assert_string_equal(reply->text, text);
			farcall_call_free(call);
		}
		assert_int_equal(atomic_load(&begun), 20);
		assert_int_equal(atomic_load(&ended), 20);
		end();
	}
}

static void
count(farcall_call *call, farcall_code code, const Pair__Message *reply, void *data)
{
	(void)reply, (void)data;
	if (code != FARCALL_OK)
		atomic_fetch_add(&failures, 1);
	farcall_call_free(call);
	atomic_fetch_add(&done, 1);
}

/* The channel's own thread has the callbacks; blocking calls go on beside it. */
static void
callbacks_and_blocking_calls(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;

	(void)state;
	for (int hedged = 0; hedged < 2; hedged++) {
		begin(hedged ? "{" ROUND_ROBIN ", " HEDGES "}" : "{" ROUND_ROBIN ", " RETRIES "}");
		for (int i = 0; i < CALLS; i++) {
			farcall_call *call = farcall_call_new(channel);

			farcall_call_set_timeout_ms(call, 60000);
			pair_test_echo__async(call, &request, count, NULL);
		}
		in_threads(call_echo, NULL);
		test_wait_for(&done, CALLS);
		assert_int_equal(atomic_load(&failures), 0);
		end();
	}
}

/* In flight, from another thread. */
static void
cancel_all(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_call *calls[CALLS];

	(void)state;
	begin("{" HEDGES "}");
	for (int i = 0; i < CALLS; i++) {
		calls[i] = farcall_call_new(channel);
		farcall_call_hold(calls[i]);
		pair_test_custom__async(calls[i], &request, count, NULL);
	}
	for (int i = 0; i < CALLS; i++) {
		farcall_call_cancel(calls[i]);
		farcall_call_free(calls[i]);
	}
	test_wait_for(&done, CALLS);
	end();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(threads_share_the_servers),
	    clean_test(servers_may_be_restarted),
	    clean_test(refusals_are_tried_again),
	    clean_test(a_server_says_when),
	    clean_test(hedges_of_many_threads),
	    clean_test(a_call_is_one_call),
	    clean_test(callbacks_and_blocking_calls),
	    clean_test(cancel_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
