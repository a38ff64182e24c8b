/*
 * Preparing a server: each wrong step has its code, cause and text, and the first one sticks.
 */
#include "tests/support/pair.h"

#include <stdio.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

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
	assert_non_null(
	    strstr(farcall_server_error(server), "bind: bad address \"localhost:99999\""));
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
	snprintf(text, sizeof text, "bind %s: address in use", address);
	expect_error(second, FARCALL_ALREADY_EXISTS, FARCALL_CAUSE_ADDRESS_IN_USE, text);
	farcall_server_free(second);

	/* by a name: the program's own word, once */
	snprintf(
	    address, sizeof address, "ipv4:localhost:%u", farcall_endpoint_port(pair.endpoint));
	second = farcall_server_new();
	farcall_server_bind(second, address);
	snprintf(text, sizeof text, "bind %s: address in use", address);
	expect_error(second, FARCALL_ALREADY_EXISTS, FARCALL_CAUSE_ADDRESS_IN_USE, text);
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

/* ---- the exact texts ---- */

static void
bind_says(const char *address, farcall_code code, farcall_cause cause, const char *text)
{
	farcall_server *server = farcall_server_new();

	farcall_server_bind(server, address);
	expect_error(server, code, cause, text);
	farcall_server_free(server);
}

static void
publish_says(const char *registry, farcall_code code, farcall_cause cause, const char *text)
{
	farcall_server *server = farcall_server_new();

	assert_int_equal(farcall_server_publish(server, registry), code);
	expect_error(server, code, cause, text);
	farcall_server_free(server);
}

static void
open_says(const char *target, farcall_code code, farcall_cause cause, const char *text)
{
	farcall_channel *channel = farcall_channel_open(target);

	assert_string_equal(farcall_channel_error(channel), text);
	assert_int_equal(farcall_channel_code(channel), code);
	assert_int_equal(farcall_channel_cause(channel), cause);
	assert_int_equal(test_echo(channel, "x"), code);
	farcall_channel_close(channel);
}

static void
addresses_are_named_once(void **state)
{
	char path[200], text[300];

	(void)state;
	bind_says(
	    NULL, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_BAD_ADDRESS, "bind: the address is NULL");
	bind_says("file:/tmp", FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_BAD_ADDRESS,
	    "bind: bad address \"file:/tmp\", column 1: a registry cannot be bound");
	bind_says("localhost:1\n", FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_BAD_ADDRESS,
	    "bind: bad address \"localhost:1\\x0a\", column 12: control "
	    "character");
	/* The reason is still there when the address is too long to be quoted whole. */
	memset(path, 'x', sizeof path);
	memcpy(path + 195, ":a", 3);
	snprintf(text, sizeof text,
	    "bind: bad address \"%.120s...\", column 197: port is not a number", path);
	bind_says(path, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_BAD_ADDRESS, text);
	bind_says("fd:999", FARCALL_FAILED_PRECONDITION, FARCALL_CAUSE_SYSTEM,
	    "bind fd:999: not an open descriptor");
	publish_says(NULL, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_BAD_ADDRESS,
	    "publish: the registry is NULL");
	publish_says("file:a\tb", FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_BAD_ADDRESS,
	    "publish: bad address \"file:a\\x09b\", column 7: control character");
	open_says("fd:999", FARCALL_FAILED_PRECONDITION, FARCALL_CAUSE_SYSTEM,
	    "fd:999: not an open descriptor");
	memset(path, 'x', sizeof path);
	memcpy(path, "unix:/", 6);
	path[199] = 0;
	snprintf(text, sizeof text, "unix:/%.79s...: path is longer than 107 bytes", path + 6);
	open_says(path, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_BAD_ADDRESS, text);
}

/* A path of 107 bytes is tried, one of 108 refused. */
static void
a_path_may_have_107_bytes(void **state)
{
	char path[5 + 109] = "unix:/tmp/";
	farcall_channel *channel;

	(void)state;
	memset(path + 10, 'x', sizeof path - 10);
	path[5 + 107] = 0;
	channel = farcall_channel_open(path);
	assert_string_equal(farcall_channel_error(channel), "");
	farcall_channel_close(channel);
	path[5 + 107] = 'x';
	path[5 + 108] = 0;
	channel = farcall_channel_open(path);
	assert_int_equal(farcall_channel_code(channel), FARCALL_INVALID_ARGUMENT);
	farcall_channel_close(channel);
}

static void
limits_say_what_they_take(void **state)
{
	static const struct pair_test none;
	farcall_server *server = farcall_server_new();

	(void)state;
	farcall_server_set_max_calls(server, 0);
	expect_error(
	    server, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_NONE, "max calls: 0 is not at least 1");
	farcall_server_free(server);
	server = farcall_server_new();
	farcall_service_set_max_calls(pair_test__register(server, &none, NULL), 0);
	expect_error(server, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_NONE,
	    "max calls of pair.Test: 0 is not at least 1");
	farcall_server_free(server);
}

/* ---- too late ---- */

static void
set_late_calls(test_pair *pair)
{
	farcall_server_set_max_calls(pair->server, 5);
}

static void
bind_late(test_pair *pair)
{
	farcall_server_bind(pair->server, "mem:too-late");
}

static void
set_late_mode(test_pair *pair)
{
	farcall_endpoint_set_mode(pair->endpoint, 0600);
}

static void
start_again(test_pair *pair)
{
	assert_int_equal(farcall_server_start(pair->server), FARCALL_FAILED_PRECONDITION);
}

static void
publish_late(test_pair *pair)
{
	assert_int_equal(
	    farcall_server_publish(pair->server, "file:/tmp"), FARCALL_FAILED_PRECONDITION);
}

/* The server goes on; what it answers says that a step came too late. */
static void
a_late_step_sticks(void **state)
{
	static const struct {
		void (*step)(test_pair *pair);
		const char *text;
	} steps[] = {
	    {set_late_calls, "max calls: the server has started already"},
	    {bind_late, "bind: the server has started already"},
	    {set_late_mode, "endpoint mode: the server has started already"},
	    {start_again, "start: the server has started already"},
	    {publish_late, "publish: the server has started already"},
	};
	test_pair pair;

	(void)state;
	for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
		test_pair_init(&pair, "mem:late-step");
		test_pair_start(&pair);
		test_log_catch();
		steps[i].step(&pair);
		assert_string_equal(test_log_last(), steps[i].text);
		set_late_calls(&pair); /* the first one sticks */
		test_log_release();
		expect_error(
		    pair.server, FARCALL_FAILED_PRECONDITION, FARCALL_CAUSE_NONE, steps[i].text);
		assert_false(farcall_server_stopped(pair.server));
		assert_int_equal(test_echo(pair.channel, "still here"), FARCALL_OK);
		farcall_server_stop(pair.server, 0);
		assert_int_equal(farcall_server_wait(pair.server), FARCALL_FAILED_PRECONDITION);
		test_pair_fini(&pair);
	}
}

/* One that has stopped keeps its outcome. */
static void
after_the_stop_is_only_a_log_line(void **state)
{
	test_pair pair;

	(void)state;
	test_pair_init(&pair, "mem:late-step");
	test_pair_start(&pair);
	farcall_server_stop(pair.server, 0);
	assert_int_equal(farcall_server_wait(pair.server), FARCALL_OK);
	test_log_catch();
	set_late_calls(&pair);
	assert_int_equal(test_log_count(), 1);
	test_log_release();
	expect_error(pair.server, FARCALL_OK, FARCALL_CAUSE_NONE, "");
	test_pair_fini(&pair);
}

#ifdef TCP_NOTSENT_LOWAT
/* At both ends: what is written later waits behind this much, and no more. */
static void
the_system_holds_little_that_is_unsent(void **state)
{
	unsigned n = 0, unsent;
	test_pair pair;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	test_pair_start(&pair);
	assert_int_equal(test_echo(pair.channel, "connected"), FARCALL_OK);
	for (int fd = 0; fd < 256; fd++) {
		socklen_t size = sizeof unsent;

		if (getsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, &size) == 0)
			n += unsent == 128 * 1024;
	}
	assert_int_equal(n, 2);
	test_pair_fini(&pair);
}
#endif

static void
addresses_outlive_the_stop(void **state)
{
	test_pair pair;
	const char *address;
	unsigned port;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	test_pair_start(&pair);
	address = farcall_endpoint_address(pair.endpoint, 0);
	port = farcall_endpoint_port(pair.endpoint);
	farcall_server_stop(pair.server, 0);
	assert_int_equal(farcall_server_wait(pair.server), FARCALL_OK);
	assert_ptr_equal(farcall_endpoint_address(pair.endpoint, 0), address);
	assert_memory_equal(address, "ipv4:127.0.0.1:", 15);
	assert_null(farcall_endpoint_address(pair.endpoint, 1));
	assert_int_equal(farcall_endpoint_port(pair.endpoint), port);
	test_pair_fini(&pair);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(addresses_outlive_the_stop),
#ifdef TCP_NOTSENT_LOWAT
	    clean_test(the_system_holds_little_that_is_unsent),
#endif
	    clean_test(null_is_harmless),
	    clean_test(the_first_error_sticks),
	    clean_test(wrong_steps_are_named),
	    clean_test(an_address_in_use_is_said_at_bind),
	    clean_test(plaintext_beyond_this_host_must_be_asked_for),
	    clean_test(addresses_are_named_once),
	    clean_test(a_path_may_have_107_bytes),
	    clean_test(limits_say_what_they_take),
	    clean_test(a_late_step_sticks),
	    clean_test(after_the_stop_is_only_a_log_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
