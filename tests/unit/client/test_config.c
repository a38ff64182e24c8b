/*
 * test_config.c: service configs: what a good one says, what a bad one is told, which rules a
 * method has.
 */
#include "tests/support/pair.h"

#include "client/config.h"
#include "runtime/base/bytes.h"

#include <stdio.h>
#include <stdlib.h>

static fc_service_config *
good(const char *json)
{
	fc_service_config *config;
	fc_error error;

	fc_error_clear(&error);
	config = fc_service_config_parse(json, &error);
	assert_string_equal(error.code != FARCALL_OK ? error.text : "", "");
	assert_non_null(config);
	return config;
}

/* ---- good ones ---- */

static void
nothing_said_is_nothing_changed(void **state)
{
	fc_service_config *config = good(" {} ");

	(void)state;
	assert_false(config->round_robin);
	assert_int_equal(config->max_tokens, 0);
	assert_null(fc_service_config_find(config, "/a.B/C"));
	fc_service_config_free(config);
	config = good("{\"methodConfig\": null, \"retryThrottling\": null, \"methodConfig2\": 1}");
	assert_null(fc_service_config_find(config, "/a.B/C"));
	fc_service_config_free(config);
}

static void
the_nearest_name_wins(void **state)
{
	fc_service_config *config =
	    good("{\"methodConfig\": ["
	         "{\"name\": [{}], \"timeout\": \"1s\"},"
	         "{\"name\": [{\"service\": \"a.B\"}, {\"service\": \"a\", \"method\": \"\"}],"
	         " \"timeout\": \"2s\"},"
	         "{\"name\": [{\"service\": \"a.B\", \"method\": \"C\"}], \"timeout\": \"3s\"},"
	         "{\"timeout\": \"4s\"}]}");

	(void)state;
	assert_int_equal(
	    fc_service_config_find(config, "/a.B/C")->timeout_ns, UINT64_C(3000000000));
	assert_int_equal(
	    fc_service_config_find(config, "/a.B/D")->timeout_ns, UINT64_C(2000000000));
	assert_int_equal(
	    fc_service_config_find(config, "/a.B/CC")->timeout_ns, UINT64_C(2000000000));
	assert_int_equal(fc_service_config_find(config, "/a/C")->timeout_ns, UINT64_C(2000000000));
	assert_int_equal(
	    fc_service_config_find(config, "/a.BB/C")->timeout_ns, UINT64_C(1000000000));
	assert_int_equal(fc_service_config_find(config, "/c/C")->timeout_ns, UINT64_C(1000000000));
	fc_service_config_free(config);
}

static void
rules_of_a_method(void **state)
{
	fc_service_config *config = good(
	    "{\"methodConfig\": [{\"name\": [{}], \"waitForReady\": true, \"timeout\": \"1.5s\","
	    " \"maxRequestMessageBytes\": 1000, \"maxResponseMessageBytes\": \"2000\","
	    " \"retryPolicy\": {\"maxAttempts\": 4, \"initialBackoff\": \"0.1s\","
	    "  \"maxBackoff\": \"5.000000001s\", \"backoffMultiplier\": 1.5,"
	    "  \"retryableStatusCodes\": [\"UNAVAILABLE\", \"aborted\", 8]}}],"
	    " \"retryThrottling\": {\"maxTokens\": 10, \"tokenRatio\": 0.1239}}");
	const fc_method_config *method = fc_service_config_find(config, "/a/b");

	(void)state;
	assert_true(method->has_wait && method->wait_for_ready);
	assert_int_equal(method->timeout_ns, UINT64_C(1500000000));
	assert_int_equal(method->max_request, 1000);
	assert_int_equal(method->max_message, 2000);
	assert_int_equal(method->policy.attempts, 4);
	assert_false(method->policy.hedges);
	assert_int_equal(method->policy.first_ns, 100000000);
	assert_int_equal(method->policy.most_ns, UINT64_C(5000000001));
	assert_true(method->policy.multiplier == 1.5);
	assert_int_equal(method->policy.codes, 1 << 14 | 1 << 10 | 1 << 8);
	assert_int_equal(config->max_tokens, 10000);
	assert_int_equal(config->token_ratio, 123);
	fc_service_config_free(config);
}

static void
hedges_and_caps(void **state)
{
	fc_service_config *config =
	    good("{\"methodConfig\": [{\"name\": [{}], \"hedgingPolicy\": {\"maxAttempts\": \"9\","
	         "  \"hedgingDelay\": \"0.25s\", \"nonFatalStatusCodes\": [\"INTERNAL\"]}}],"
	         " \"retryThrottling\": {\"maxTokens\": 1000, \"tokenRatio\": 1e9}}");
	const fc_policy *policy = &fc_service_config_find(config, "/a/b")->policy;

	(void)state;
	assert_true(policy->hedges);
	assert_int_equal(policy->attempts, 5);
	assert_int_equal(policy->delay_ns, 250000000);
	assert_int_equal(policy->codes, 1 << 13);
	assert_int_equal(config->max_tokens, 1000000);
	assert_int_equal(config->token_ratio, 1000000);
	fc_service_config_free(config);
	config = good("{\"methodConfig\": [{\"name\": [{}], \"hedgingPolicy\": "
	              "{\"maxAttempts\": 2}}], \"retryThrottling\": "
	              "{\"maxTokens\": \"1\", \"tokenRatio\": \"1e-3\"}}");
	policy = &fc_service_config_find(config, "/a/b")->policy;
	assert_int_equal(policy->attempts, 2);
	assert_int_equal(policy->delay_ns, 0);
	assert_int_equal(policy->codes, 0);
	assert_int_equal(config->token_ratio, 1);
	fc_service_config_free(config);
}

/* Thousandths are what was written, not what a binary fraction makes of it. */
static void
ratios_are_exact_to_three_decimals(void **state)
{
	(void)state;
	for (unsigned i = 1; i <= 5000; i++) {
		fc_service_config *config;
		char json[96];

		snprintf(json, sizeof json,
		    "{\"retryThrottling\": {\"maxTokens\": 1000, \"tokenRatio\": %u.%03u}}",
		    i / 1000, i % 1000);
		config = good(json);
		assert_int_equal(config->token_ratio, i);
		fc_service_config_free(config);
	}
}

static void
the_first_known_policy_balances(void **state)
{
	static const struct {
		const char *json;
		bool round_robin;
	} rows[] = {
	    {"{\"loadBalancingPolicy\": \"round_robin\"}", true},
	    {"{\"loadBalancingPolicy\": \"ROUND_ROBIN\"}", true},
	    {"{\"loadBalancingPolicy\": \"pick_first\"}", false},
	    {"{\"loadBalancingConfig\": [{\"round_robin\": {}}]}", true},
	    {"{\"loadBalancingConfig\": [{\"xds\": 7}, {\"round_robin\": {}}, "
	     "{\"pick_first\": {}}]}",
	        true},
	    {"{\"loadBalancingConfig\": [{\"pick_first\": {\"x\": 1}}, {\"round_robin\": {}}]}",
	        false},
	    {"{\"loadBalancingPolicy\": \"round_robin\", "
	     "\"loadBalancingConfig\": [{\"pick_first\": {}}]}",
	        false},
	};

	(void)state;
	for (size_t i = 0; i < FC_COUNT(rows); i++) {
		fc_service_config *config = good(rows[i].json);

		assert_int_equal(config->round_robin, rows[i].round_robin);
		fc_service_config_free(config);
	}
}

static void
what_is_not_known_is_told_in_the_log(void **state)
{
	(void)state;
	test_log_catch();
	fc_service_config_free(good("{\"methodConfig\": [{\"name\": [{}], \"retyPolicy\": {}}]}"));
	assert_int_equal(test_log_count(), 1);
	assert_non_null(strstr(test_log_last(),
	    "service config: methodConfig[0].retyPolicy: not known here, ignored"));
	test_log_release();
}

/* ---- bad ones ---- */

#define METHOD(rest) "{\"methodConfig\": [{\"name\": [{}], " rest "}]}"
#define RETRY(attempts, first, most, times, codes) \
	METHOD("\"retryPolicy\": {" attempts first most times codes "\"x\": 0}")
#define A "\"maxAttempts\": 2, "
#define B "\"initialBackoff\": \"1s\", "
#define C "\"maxBackoff\": \"1s\", "
#define D "\"backoffMultiplier\": 2, "
#define E "\"retryableStatusCodes\": [14], "

static const struct {
	const char *json, *text;
} bad_ones[] = {
    /* no JSON */
    {"", "line 1, column 0: '[' or '{' expected near end of file"},
    {"{", "line 1, column 1: string or '}' expected near end of file"},
    {"{\n \"methodConfig\": [,]\n}", "line 2, column 19: unexpected token near ','"},
    {"{\"a\": 1, \"a\": 2}", "line 1, column 12: duplicate object key near '\"a\"'"},
    {"{} x", "line 1, column 4: end of file expected near 'x'"},
    {"{\"a\": \"\xff\"}", "line 1, column 7: unable to decode byte 0xff near '\"'"},
    {"{\"a\": 1e999}", "line 1, column 11: real number overflow near '1e999'"},
    {"[]", "an object is wanted, this is a list"},
    /* balancing */
    {"{\"loadBalancingPolicy\": 1}", "loadBalancingPolicy: a string is wanted, this is a number"},
    {"{\"loadBalancingPolicy\": \"grpclb\"}",
        "loadBalancingPolicy: \"grpclb\" is no policy known here: pick_first, round_robin"},
    {"{\"loadBalancingConfig\": {}}", "loadBalancingConfig: a list is wanted, this is an object"},
    {"{\"loadBalancingConfig\": []}",
        "loadBalancingConfig: there is no policy known here: pick_first, round_robin"},
    {"{\"loadBalancingConfig\": [{\"xds\": {}}]}",
        "loadBalancingConfig: there is no policy known here: pick_first, round_robin"},
    {"{\"loadBalancingConfig\": [1]}",
        "loadBalancingConfig[0]: an object is wanted, this is a number"},
    {"{\"loadBalancingConfig\": [{\"xds\": {}}, {\"a\": {}, \"b\": {}}]}",
        "loadBalancingConfig[1]: it must have one member, the policy's name"},
    {"{\"loadBalancingConfig\": [{\"round_robin\": 1}]}",
        "loadBalancingConfig[0].round_robin: an object is wanted, this is a number"},
    {"{\"loadBalancingConfig\": [{\"round_robin\": null}]}",
        "loadBalancingConfig[0]: round_robin: an object is wanted, this is null"},
    /* methods and names */
    {"{\"methodConfig\": {}}", "methodConfig: a list is wanted, this is an object"},
    {"{\"methodConfig\": [{}, true]}", "methodConfig[1]: an object is wanted, this is a boolean"},
    {"{\"methodConfig\": [{\"name\": {}}]}",
        "methodConfig[0].name: a list is wanted, this is an object"},
    {"{\"methodConfig\": [{\"name\": [\"a\"]}]}",
        "methodConfig[0].name[0]: an object is wanted, this is a string"},
    {"{\"methodConfig\": [{\"name\": [{\"service\": 1}]}]}",
        "methodConfig[0].name[0].service: a string is wanted, this is a number"},
    {"{\"methodConfig\": [{\"name\": [{\"service\": \"a/b\"}]}]}",
        "methodConfig[0].name[0].service: a service's name has no '/'"},
    {"{\"methodConfig\": [{\"name\": [{\"service\": \"a\", \"method\": \"b/c\"}]}]}",
        "methodConfig[0].name[0].method: a method's name has no '/'"},
    {"{\"methodConfig\": [{\"name\": [{\"method\": \"b\"}]}]}",
        "methodConfig[0].name[0]: a method without its service"},
    {"{\"methodConfig\": [{\"name\": [{}]}, {\"name\": [{\"service\": \"\"}]}]}",
        "methodConfig: the name {} appears twice"},
    {"{\"methodConfig\": [{\"name\": [{\"service\": \"a\", \"method\": \"b\"}, "
     "{\"service\": \"a\"}]}, {\"name\": [{\"service\": \"a\", \"method\": \"b\"}]}]}",
        "methodConfig: the name /a/b appears twice"},
    /* values */
    {METHOD("\"waitForReady\": 1"),
        "methodConfig[0].waitForReady: true or false is wanted, this is a number"},
    {METHOD("\"timeout\": 1"),
        "methodConfig[0].timeout: a duration (\"1.5s\") is wanted, this is a number"},
    {METHOD("\"timeout\": \"1\""), "methodConfig[0].timeout: \"1\" is no duration (\"1.5s\")"},
    {METHOD("\"timeout\": \"s\""), "methodConfig[0].timeout: \"s\" is no duration (\"1.5s\")"},
    {METHOD("\"timeout\": \"1.s\""), "methodConfig[0].timeout: \"1.s\" is no duration (\"1.5s\")"},
    {METHOD("\"timeout\": \"1.0123456789s\""),
        "methodConfig[0].timeout: \"1.0123456789s\" is no duration (\"1.5s\")"},
    {METHOD("\"timeout\": \"1.5ss\""),
        "methodConfig[0].timeout: \"1.5ss\" is no duration (\"1.5s\")"},
    {METHOD("\"timeout\": \"-1s\""), "methodConfig[0].timeout: \"-1s\" is negative"},
    {METHOD("\"timeout\": \"315576000001s\""), "methodConfig[0].timeout: more than 315576000000 s"},
    {METHOD("\"maxRequestMessageBytes\": -1"),
        "methodConfig[0].maxRequestMessageBytes: -1 is not within 0 and 4294967295"},
    {METHOD("\"maxRequestMessageBytes\": 4294967296"),
        "methodConfig[0].maxRequestMessageBytes: 4294967296 is not within 0 and 4294967295"},
    {METHOD("\"maxResponseMessageBytes\": \"5x\""),
        "methodConfig[0].maxResponseMessageBytes: \"5x\" is no number within 0 and 4294967295"},
    {METHOD("\"maxResponseMessageBytes\": 1.5"),
        "methodConfig[0].maxResponseMessageBytes: a whole number is wanted, this is a number"},
    /* retries */
    {METHOD("\"retryPolicy\": []"),
        "methodConfig[0].retryPolicy: an object is wanted, this is a list"},
    {RETRY("", B, C, D, E), "methodConfig[0].retryPolicy: maxAttempts is missing"},
    {RETRY(A, "", C, D, E), "methodConfig[0].retryPolicy: initialBackoff is missing"},
    {RETRY(A, B, "", D, E), "methodConfig[0].retryPolicy: maxBackoff is missing"},
    {RETRY(A, B, C, "", E), "methodConfig[0].retryPolicy: backoffMultiplier is missing"},
    {RETRY(A, B, C, D, ""), "methodConfig[0].retryPolicy: retryableStatusCodes is missing"},
    {RETRY("\"maxAttempts\": 1, ", B, C, D, E),
        "methodConfig[0].retryPolicy.maxAttempts: 1 is less than 2"},
    {RETRY(A, "\"initialBackoff\": \"0s\", ", C, D, E),
        "methodConfig[0].retryPolicy.initialBackoff: it must be more than 0"},
    {RETRY(A, B, "\"maxBackoff\": \"0.0s\", ", D, E),
        "methodConfig[0].retryPolicy.maxBackoff: it must be more than 0"},
    {RETRY(A, B, C, "\"backoffMultiplier\": 0, ", E),
        "methodConfig[0].retryPolicy.backoffMultiplier: it must be more than 0"},
    {RETRY(A, B, C, "\"backoffMultiplier\": \"2x\", ", E),
        "methodConfig[0].retryPolicy.backoffMultiplier: \"2x\" is no number"},
    {RETRY(A, B, C, "\"backoffMultiplier\": \"\\\"2\\\"\", ", E),
        "methodConfig[0].retryPolicy.backoffMultiplier: \"\"2\"\" is no number"},
    {RETRY(A, B, C, "\"backoffMultiplier\": \"-2\", ", E),
        "methodConfig[0].retryPolicy.backoffMultiplier: it must be more than 0"},
    {RETRY(A, B, C, "\"backoffMultiplier\": true, ", E),
        "methodConfig[0].retryPolicy.backoffMultiplier: a number is wanted, this is a boolean"},
    {RETRY(A, B, C, D, "\"retryableStatusCodes\": [], "),
        "methodConfig[0].retryPolicy.retryableStatusCodes: it must name a status code"},
    {RETRY(A, B, C, D, "\"retryableStatusCodes\": [14, \"GONE\"], "),
        "methodConfig[0].retryPolicy.retryableStatusCodes[1]: \"GONE\" is no status code"},
    {RETRY(A, B, C, D, "\"retryableStatusCodes\": [17], "),
        "methodConfig[0].retryPolicy.retryableStatusCodes[0]: 17 is no status code"},
    {RETRY(A, B, C, D, "\"retryableStatusCodes\": [1.0], "),
        "methodConfig[0].retryPolicy.retryableStatusCodes[0]: a status code is wanted, this is a "
        "number"},
    /* hedges */
    {METHOD("\"hedgingPolicy\": {}"), "methodConfig[0].hedgingPolicy: maxAttempts is missing"},
    {METHOD("\"hedgingPolicy\": {\"maxAttempts\": 2, \"hedgingDelay\": 1}"),
        "methodConfig[0].hedgingPolicy.hedgingDelay: a duration (\"1.5s\") is wanted, this is a "
        "number"},
    {METHOD("\"hedgingPolicy\": {\"maxAttempts\": 2}, \"retryPolicy\": {}"),
        "methodConfig[0].hedgingPolicy: there is a retryPolicy beside it"},
    /* throttling */
    {"{\"retryThrottling\": 1}", "retryThrottling: an object is wanted, this is a number"},
    {"{\"retryThrottling\": {\"tokenRatio\": 1}}", "retryThrottling: maxTokens is missing"},
    {"{\"retryThrottling\": {\"maxTokens\": 1}}", "retryThrottling: tokenRatio is missing"},
    {"{\"retryThrottling\": {\"maxTokens\": 0, \"tokenRatio\": 1}}",
        "retryThrottling.maxTokens: 0 is not within 1 and 1000"},
    {"{\"retryThrottling\": {\"maxTokens\": 1001, \"tokenRatio\": 1}}",
        "retryThrottling.maxTokens: 1001 is not within 1 and 1000"},
    {"{\"retryThrottling\": {\"maxTokens\": 10, \"tokenRatio\": 0.0009}}",
        "retryThrottling.tokenRatio: it must be at least 0.001"},
    {"{\"retryThrottling\": {\"maxTokens\": 10, \"tokenRatio\": -1}}",
        "retryThrottling.tokenRatio: it must be at least 0.001"},
};

static void
bad_ones_are_told_where_and_what(void **state)
{
	(void)state;
	test_log_catch();
	for (size_t i = 0; i < FC_COUNT(bad_ones); i++) {
		char wanted[FC_ERROR_TEXT];
		fc_error error;

		fc_error_clear(&error);
		assert_null(fc_service_config_parse(bad_ones[i].json, &error));
		snprintf(wanted, sizeof wanted, "service config: %s", bad_ones[i].text);
		assert_string_equal(error.text, wanted);
		assert_int_equal(error.code, FARCALL_INVALID_ARGUMENT);
	}
	test_log_release();
}

static void
its_size_is_bounded(void **state)
{
	char *json = (char *)malloc(FC_CONFIG_MOST + 2);
	fc_error error;

	(void)state;
	memset(json, ' ', FC_CONFIG_MOST + 1);
	memcpy(json, "{}", 2);
	json[FC_CONFIG_MOST] = 0;
	fc_service_config_free(good(json));
	json[FC_CONFIG_MOST] = ' ';
	json[FC_CONFIG_MOST + 1] = 0;
	fc_error_clear(&error);
	assert_null(fc_service_config_parse(json, &error));
	assert_string_equal(error.text, "service config: 65537 bytes are more than 65536");
	memset(json, '[', FC_CONFIG_MOST);
	json[FC_CONFIG_MOST] = 0;
	fc_error_clear(&error);
	assert_null(fc_service_config_parse(json, &error));
	assert_non_null(strstr(error.text, "maximum parsing depth reached"));
	free(json);
}

static const char whole[] =
    "{\"methodConfig\": [{\"name\": [{\"service\": \"a\"}, {\"service\": \"b\", \"method\": "
    "\"c\"}], \"timeout\": \"1s\"}, {\"name\": [{}]}]}";

static void
no_allocation_is_taken_for_granted(void **state)
{
	(void)state;
	for (size_t i = 1;; i++) {
		fc_service_config *config;
		fc_error error;

		fc_error_clear(&error);
		test_allocator_fail_at(i, false);
		config = fc_service_config_parse(whole, &error);
		test_allocator_fail_at(0, false);
		if (config != NULL) {
			assert_true(i > 4);
			fc_service_config_free(config);
			break;
		}
		assert_int_equal(error.code, FARCALL_RESOURCE_EXHAUSTED);
		assert_string_equal(error.text, "service config: out of memory");
	}
}

/* Any text cut off anywhere is refused, and harmless. */
static void
what_is_cut_off_is_refused(void **state)
{
	char json[sizeof whole];
	fc_error error;

	(void)state;
	for (size_t i = 0; i < sizeof whole - 1; i++) {
		memcpy(json, whole, i);
		json[i] = 0;
		fc_error_clear(&error);
		assert_null(fc_service_config_parse(json, &error));
		assert_int_equal(error.code, FARCALL_INVALID_ARGUMENT);
	}
}

/* ---- of a channel ---- */

static void
a_bad_one_sticks_to_its_channel(void **state)
{
	farcall_channel *channel = farcall_channel_open("localhost:1");
	farcall_call *call;

	(void)state;
	farcall_channel_set_service_config(channel, "{\"methodConfig\": 1}");
	farcall_channel_set_service_config(channel, "{}");
	assert_int_equal(farcall_channel_code(channel), FARCALL_INVALID_ARGUMENT);
	assert_string_equal(farcall_channel_error(channel),
	    "service config: methodConfig: a list is wanted, this is a number");
	call = farcall_call_new(channel);
	assert_int_equal(farcall_call_code(call), FARCALL_INVALID_ARGUMENT);
	farcall_call_free(call);
	farcall_channel_close(channel);
	farcall_channel_set_service_config(NULL, "{}");
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
	    clean_test(nothing_said_is_nothing_changed),
	    clean_test(the_nearest_name_wins),
	    clean_test(rules_of_a_method),
	    clean_test(hedges_and_caps),
	    clean_test(ratios_are_exact_to_three_decimals),
	    clean_test(the_first_known_policy_balances),
	    clean_test(what_is_not_known_is_told_in_the_log),
	    clean_test(bad_ones_are_told_where_and_what),
	    clean_test(its_size_is_bounded),
	    clean_test(no_allocation_is_taken_for_granted),
	    clean_test(what_is_cut_off_is_refused),
	    clean_test(a_bad_one_sticks_to_its_channel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
