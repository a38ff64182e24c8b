/*
 * Our client's retries, hedges and round robin against servers that others wrote. Their command
 * line follows as arguments; it prints three ports and ends with its standard input.
 */
#include "tests/interop/child.h"
#include "tests/support/pair.h"

#include <stdio.h>

#include <uv.h>

#define RETRIES                                                                          \
	"\"retryPolicy\": {\"maxAttempts\": 4, \"initialBackoff\": \"0.01s\", "          \
	"\"maxBackoff\": \"0.1s\", \"backoffMultiplier\": 2, \"retryableStatusCodes\": " \
	"[\"UNAVAILABLE\"]}"
#define HEDGES                                                                  \
	"\"hedgingPolicy\": {\"maxAttempts\": 3, \"hedgingDelay\": \"0.02s\", " \
	"\"nonFatalStatusCodes\": [\"UNAVAILABLE\"]}"
#define CONFIG(policy) \
	"{\"methodConfig\": [{\"name\": [{\"service\": \"pair.Test\"}], " policy "}]}"

static child servers;
static char shown[256], error[512];
static uint32_t shown_number;

static farcall_channel *
open_channel(const char *config)
{
	farcall_channel *channel;
	char target[96];

	snprintf(target, sizeof target, "ipv4:127.0.0.1:%u,127.0.0.1:%u,127.0.0.1:%u",
	    servers.ports[0], servers.ports[1], servers.ports[2]);
	channel = farcall_channel_open(target);
	farcall_channel_set_service_config(channel, config);
	assert_string_equal(farcall_channel_error(channel), "");
	return channel;
}

typedef farcall_code method(
    farcall_call *call, const Pair__Message *request, const Pair__Message **reply);

static farcall_code
call_it(farcall_channel *channel, method *fn, const char *text, uint32_t number, const char *data)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	const Pair__Message *reply = NULL;
	farcall_call *call = farcall_call_new(channel);
	farcall_code code;

	request.text = (char *)(uintptr_t)text;
	request.number = number;
	request.data.data = (uint8_t *)(uintptr_t)data;
	request.data.len = strlen(data);
	farcall_call_set_timeout_ms(call, 60000);
	code = fn(call, &request, &reply);
	if (code == FARCALL_OK) {
		snprintf(shown, sizeof shown, "%s", reply->text);
		shown_number = reply->number;
	}
	snprintf(error, sizeof error, "%s", farcall_call_error(call));
	farcall_call_free(call);
	return code;
}

/* What the servers have seen of a call. */
static const char *
seen(farcall_channel *channel, const char *text)
{
	assert_int_equal(call_it(channel, pair_test_custom, text, 0, ""), FARCALL_OK);
	return shown;
}

static void
retries(void **state)
{
	farcall_channel *channel = open_channel(CONFIG(RETRIES));

	(void)state;
	assert_int_equal(call_it(channel, pair_test_echo, "none", 0, ""), FARCALL_OK);
	assert_string_equal(shown, "-");
	assert_int_equal(call_it(channel, pair_test_echo, "two", 2, ""), FARCALL_OK);
	assert_string_equal(shown, "- 1 2");
	assert_int_equal(call_it(channel, pair_test_echo, "three", 3, ""), FARCALL_OK);
	assert_string_equal(shown, "- 1 2 3");
	assert_int_equal(call_it(channel, pair_test_echo, "four", 4, ""), FARCALL_UNAVAILABLE);
	assert_string_equal(error, "UNAVAILABLE: not yet");
	assert_string_equal(seen(channel, "four"), "- 1 2 3");
	assert_int_equal(call_it(channel, pair_test_grow, "head", 0, ""), FARCALL_UNAVAILABLE);
	assert_string_equal(seen(channel, "head"), "-");
	farcall_channel_close(channel);
	channel = open_channel("{}");
	assert_int_equal(call_it(channel, pair_test_echo, "off", 1, ""), FARCALL_UNAVAILABLE);
	farcall_channel_close(channel);
}

/* Streams are sent again from their first message on. */
static void
streams(void **state)
{
	farcall_channel *channel = open_channel(CONFIG(RETRIES));
	const Pair__Message *reply = NULL;
	farcall_call *call = farcall_call_new(channel);
	Pair__Message request = PAIR__MESSAGE__INIT;

	(void)state;
	farcall_call_set_timeout_ms(call, 60000);
	assert_int_equal(pair_test_chat__start(call), FARCALL_OK);
	request.text = "stream";
	request.number = 2;
	for (int i = 0; i < 10; i++, request.number++)
		assert_int_equal(pair_test_chat__send_request(call, &request), FARCALL_OK);
	farcall_call_half_close(call);
	for (uint32_t i = 0; i < 10; i++) {
		assert_int_equal(pair_test_chat__recv_reply(call, &reply), FARCALL_OK);
		assert_int_equal(reply->number, i + 2);
	}
	assert_int_equal(pair_test_chat__recv_reply(call, &reply), FARCALL_OK);
	assert_string_equal(reply->text, "- 1 2");
	assert_int_equal(pair_test_chat__finish(call), FARCALL_OK);
	farcall_call_free(call);
	farcall_channel_close(channel);
}

static void
pushback(void **state)
{
	farcall_channel *channel = open_channel(CONFIG(RETRIES));
	uint64_t start = uv_hrtime();

	(void)state;
	assert_int_equal(call_it(channel, pair_test_fail, "push", 0, "300"), FARCALL_OK);
	assert_string_equal(shown, "- 1");
	assert_true(uv_hrtime() - start >= UINT64_C(300000000));
	assert_int_equal(call_it(channel, pair_test_fail, "stop", 0, "-1"), FARCALL_UNAVAILABLE);
	assert_string_equal(error, "UNAVAILABLE: later");
	assert_int_equal(call_it(channel, pair_test_fail, "junk", 0, "soon"), FARCALL_UNAVAILABLE);
	assert_string_equal(seen(channel, "junk"), "-");
	farcall_channel_close(channel);
}

static void
hedges(void **state)
{
	farcall_channel *channel = open_channel(CONFIG(HEDGES));

	(void)state;
	assert_int_equal(call_it(channel, pair_test_wait, "last", 2, ""), FARCALL_OK);
	assert_string_equal(shown, "- 1 2");
	for (int i = 0; i < 500; i++) {
		seen(channel, "last");
		if (shown_number == 2)
			break;
		uv_sleep(10);
	}
	assert_int_equal(shown_number, 2); /* the others were told that they need not go on */
	assert_int_equal(call_it(channel, pair_test_echo, "quick", 2, ""), FARCALL_OK);
	assert_string_equal(shown, "- 1 2");
	farcall_channel_close(channel);
}

static void
throttling(void **state)
{
	farcall_channel *channel = open_channel(
	    "{\"retryThrottling\": {\"maxTokens\": 4, \"tokenRatio\": 1}, \"methodConfig\": "
	    "[{\"name\": [{}], " RETRIES "}]}");

	(void)state;
	assert_int_equal(call_it(channel, pair_test_echo, "thr", 3, ""), FARCALL_UNAVAILABLE);
	assert_string_equal(seen(channel, "thr"), "- 1"); /* 4, 3, 2: no more */
	farcall_channel_close(channel);
}

static void
round_robin(void **state)
{
	farcall_channel *channel = open_channel("{\"loadBalancingPolicy\": \"round_robin\"}");
	int count[3] = {0};

	(void)state;
	for (int i = 0; i < 3000 && (count[0] == 0 || count[1] == 0 || count[2] == 0); i++) {
		assert_int_equal(call_it(channel, pair_test_echo, "rr", 0, ""), FARCALL_OK);
		count[shown_number]++;
	}
	memset(count, 0, sizeof count);
	for (int i = 0; i < 300; i++) {
		assert_int_equal(call_it(channel, pair_test_echo, "r", 0, ""), FARCALL_OK);
		count[shown_number]++;
	}
	for (int i = 0; i < 3; i++)
		assert_int_equal(count[i], 100);
	farcall_channel_close(channel);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(retries),
	    cmocka_unit_test(streams),
	    cmocka_unit_test(pushback),
	    cmocka_unit_test(hedges),
	    cmocka_unit_test(throttling),
	    cmocka_unit_test(round_robin),
	};
	int failed;

	child_start_as_told(&servers, argc, argv);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	child_stop(&servers);
	return failed;
}
