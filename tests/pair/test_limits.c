/*
 * A server's limits that a program may set: at each of them a call is served, past it it is
 * refused.
 */
#include "tests/support/pair.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static farcall_code
say(farcall_channel *channel, size_t text, size_t metadata)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	const Pair__Message *reply = NULL;
	farcall_call *call = farcall_call_new(channel);
	char *bytes = (char *)calloc(1, text + metadata + 2);
	farcall_code code;

	memset(bytes, 'x', text + metadata + 1);
	bytes[text] = 0;
	request.text = bytes;
	farcall_call_set_timeout_ms(call, 60000);
	if (metadata != 0)
		farcall_call_add_metadata(call, "k", bytes + text + 1);
	code = pair_test_echo(call, &request, &reply);
	farcall_call_free(call);
	free(bytes);
	return code;
}

static void
a_connection_too_many_waits(void **state)
{
	farcall_channel *second;
	test_pair pair;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	farcall_server_set_max_connections(pair.server, 1);
	test_pair_start(&pair);
	assert_int_equal(test_echo(pair.channel, "x"), FARCALL_OK);
	second = farcall_channel_open(test_pair_address(&pair));
	assert_int_equal(farcall_channel_wait_ready(second, 100), FARCALL_DEADLINE_EXCEEDED);
	farcall_channel_close(pair.channel);
	assert_int_equal(farcall_channel_wait_ready(second, 10000), FARCALL_OK);
	pair.channel = second;
	test_pair_fini(&pair);
}

static void
metadata_past_the_limit(void **state)
{
	test_pair pair;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	farcall_server_set_max_metadata(pair.server, 2000);
	test_pair_start(&pair);
	assert_int_equal(say(pair.channel, 1, 1000), FARCALL_OK);
	assert_int_equal(say(pair.channel, 1, 2000), FARCALL_RESOURCE_EXHAUSTED);
	assert_int_equal(say(pair.channel, 1, 1000), FARCALL_OK);
	test_pair_fini(&pair);
}

/* The text's field has a head of two bytes. */
static void
a_message_past_its_services_limit(void **state)
{
	test_pair pair;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	farcall_service_set_max_message(pair.service, 100);
	test_pair_start(&pair);
	assert_int_equal(say(pair.channel, 98, 0), FARCALL_OK);
	assert_int_equal(say(pair.channel, 99, 0), FARCALL_RESOURCE_EXHAUSTED);
	test_pair_fini(&pair);
}

static farcall_code
keep_much(test_pair *pair, farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	size_t kept = 0;

	(void)request, (void)reply;
	while (farcall_call_keep(call, 1024) != NULL)
		kept += 1024;
	atomic_store(&pair->n_handled, (int)kept);
	return FARCALL_OK;
}

static void
what_a_call_keeps_is_capped(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	const Pair__Message *reply = NULL;
	farcall_call *call;
	test_pair pair;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	pair.custom = keep_much;
	test_pair_start(&pair);
	call = farcall_call_new(pair.channel);
	farcall_call_set_timeout_ms(call, 60000);
	assert_int_equal(pair_test_custom(call, &request, &reply), FARCALL_RESOURCE_EXHAUSTED);
	farcall_call_free(call);
	assert_in_range(atomic_load(&pair.n_handled), 900 * 1024, 1024 * 1024);
	test_pair_fini(&pair);
}

static void
the_65th_endpoint(void **state)
{
	farcall_server *server = farcall_server_new();
	char name[32];

	(void)state;
	for (int i = 0; i < 64; i++) {
		snprintf(name, sizeof name, "mem:limits-%d", i);
		farcall_server_bind(server, name);
	}
	assert_int_equal(farcall_server_code(server), FARCALL_OK);
	farcall_server_bind(server, "mem:limits-one-more");
	assert_int_equal(farcall_server_code(server), FARCALL_RESOURCE_EXHAUSTED);
	farcall_server_free(server);
}

static void
the_mode_of_a_socket_in_the_file_system(void **state)
{
	farcall_server *server = farcall_server_new();
	farcall_endpoint *endpoint;
	char path[64], address[80];
	struct stat is;

	(void)state;
	snprintf(path, sizeof path, "/tmp/farcall-limits-%ld", (long)getpid());
	snprintf(address, sizeof address, "unix:%s", path);
	endpoint = farcall_server_bind(server, address);
	assert_int_equal(stat(path, &is), 0);
	assert_int_equal(is.st_mode & 0777, 0600);
	farcall_endpoint_set_mode(endpoint, 0660);
	assert_int_equal(stat(path, &is), 0);
	assert_int_equal(is.st_mode & 0777, 0660);
	farcall_server_free(server);
	assert_int_not_equal(stat(path, &is), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(a_connection_too_many_waits),
	    clean_test(metadata_past_the_limit),
	    clean_test(a_message_past_its_services_limit),
	    clean_test(what_a_call_keeps_is_capped),
	    clean_test(the_65th_endpoint),
	    clean_test(the_mode_of_a_socket_in_the_file_system),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
