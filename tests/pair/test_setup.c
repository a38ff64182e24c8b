/*
 * Preparing a server: each wrong step has its code, cause and text, and the first one sticks.
 */
#include "tests/support/pair.h"

#include <stdio.h>

static void
expect_error(farcall_server *server, farcall_code code, farcall_cause cause, const char *text)
{
	assert_string_equal(farcall_server_error(server), text);
	assert_int_equal(farcall_server_code(server), code);
	assert_int_equal(farcall_server_cause(server), cause);
}

static void
null_is_harmless(void **state)
{
	(void)state;
	farcall_server_set_max_calls(NULL, 1);
	farcall_service_set_max_calls(NULL, 1);
	farcall_service_allow_endpoint(NULL, "x");
	farcall_endpoint_set_name(NULL, "x");
	farcall_endpoint_allow_insecure(NULL);
	assert_null(farcall_endpoint_address(NULL, 0));
	assert_non_null(farcall_server_register(NULL, NULL, NULL, 0, NULL));
	assert_non_null(farcall_server_bind(NULL, NULL));
	farcall_server_stop(NULL, 0);
	assert_int_equal(farcall_server_listen(NULL), FARCALL_FAILED_PRECONDITION);
	assert_int_equal(farcall_server_start(NULL), FARCALL_FAILED_PRECONDITION);
	assert_int_equal(farcall_server_wait(NULL), FARCALL_FAILED_PRECONDITION);
	assert_int_equal(farcall_server_publish(NULL, NULL), FARCALL_FAILED_PRECONDITION);
	farcall_server_free(NULL);
	farcall_call_complete(NULL, FARCALL_OK);
	assert_int_equal(farcall_call_fail(NULL, FARCALL_ABORTED, "x"), FARCALL_ABORTED);
}

static void
the_first_error_sticks(void **state)
{
	farcall_server *server = farcall_server_new();

	(void)state;
	farcall_server_bind(server, "localhost:99999");
	assert_int_equal(farcall_server_cause(server), FARCALL_CAUSE_BAD_ADDRESS);
	assert_non_null(strstr(farcall_server_error(server), "bind localhost:99999"));
	assert_non_null(strstr(farcall_server_error(server), "column"));
	pair_test__register(server, NULL, NULL);
	farcall_server_set_max_calls(server, 0);
	assert_int_equal(farcall_server_cause(server), FARCALL_CAUSE_BAD_ADDRESS);
	assert_int_equal(farcall_server_listen(server), FARCALL_INVALID_ARGUMENT);
	assert_true(farcall_server_stopped(server));
	farcall_server_free(server);
}

static void
wrong_steps_are_named(void **state)
{
	static const struct pair_test none;
	farcall_interface old = pair_test__interface;
	farcall_server *server;

	(void)state;
	server = farcall_server_new();
	assert_int_equal(farcall_server_start(server), FARCALL_FAILED_PRECONDITION);
	expect_error(
	    server, FARCALL_FAILED_PRECONDITION, FARCALL_CAUSE_NONE, "start: no endpoint is bound");
	farcall_server_free(server);

	server = farcall_server_new();
	pair_test__register(server, &none, NULL);
	pair_test__register(server, &none, NULL);
	expect_error(server, FARCALL_ALREADY_EXISTS, FARCALL_CAUSE_NONE,
	    "register pair.Test: it is registered already");
	farcall_server_free(server);

	old.abi = 7;
	server = farcall_server_new();
	farcall_server_register(server, &old, &none, sizeof none, NULL);
	expect_error(server, FARCALL_FAILED_PRECONDITION, FARCALL_CAUSE_NONE,
	    "register pair.Test: its code was generated for another version of the library (ABI 7, "
	    "here 1)");
	farcall_server_free(server);

	server = farcall_server_new();
	farcall_server_set_max_message(server, 0);
	expect_error(server, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_NONE,
	    "max message: 0 is not within 1 and 2147483647");
	farcall_server_free(server);

	server = farcall_server_new();
	farcall_service_allow_endpoint(pair_test__register(server, &none, NULL), "admin");
	farcall_server_bind(server, "mem:wrong-steps");
	farcall_server_start(server);
	expect_error(server, FARCALL_NOT_FOUND, FARCALL_CAUSE_NONE,
	    "start: pair.Test is allowed on endpoint \"admin\", but no endpoint has that name");
	farcall_server_free(server);

	server = farcall_server_new();
	farcall_server_publish(server, "mem:registry");
	assert_int_equal(farcall_server_code(server), FARCALL_INVALID_ARGUMENT);
	assert_non_null(
	    strstr(farcall_server_error(server), "publish mem:registry: not a registry"));
	farcall_server_free(server);
}

static void
an_address_in_use_is_said_at_bind(void **state)
{
	test_pair pair;
	farcall_server *second = farcall_server_new();
	char address[64], text[128];

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	test_pair_start(&pair);
	snprintf(address, sizeof address, "127.0.0.1:%u", farcall_endpoint_port(pair.endpoint));
	farcall_server_bind(second, address);
	snprintf(text, sizeof text, "bind %s:", address);
	assert_int_equal(farcall_server_cause(second), FARCALL_CAUSE_ADDRESS_IN_USE);
	assert_non_null(strstr(farcall_server_error(second), text));
	assert_non_null(strstr(farcall_server_error(second), "address in use"));
	farcall_server_free(second);
	test_pair_fini(&pair);
}

static void
plaintext_beyond_this_host_must_be_asked_for(void **state)
{
	farcall_server *server = farcall_server_new();
	farcall_endpoint *endpoint = farcall_server_bind(server, "0.0.0.0:0");

	(void)state;
	assert_string_equal(farcall_server_error(server), "");
	assert_int_equal(farcall_server_start(server), FARCALL_FAILED_PRECONDITION);
	assert_int_equal(farcall_server_cause(server), FARCALL_CAUSE_INSECURE);
	farcall_server_free(server);

	server = farcall_server_new();
	endpoint = farcall_server_bind(server, "0.0.0.0:0");
	farcall_endpoint_allow_insecure(endpoint);
	assert_int_equal(farcall_server_start(server), FARCALL_OK);
	farcall_server_free(server);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(null_is_harmless),
	    clean_test(the_first_error_sticks),
	    clean_test(wrong_steps_are_named),
	    clean_test(an_address_in_use_is_said_at_bind),
	    clean_test(plaintext_beyond_this_host_must_be_asked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
