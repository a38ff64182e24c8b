/*
 * Our client against a server of pair.Test that others wrote. The server's command line follows as
 * arguments; it prints its port and ends with its standard input.
 */
#include "tests/interop/child.h"
#include "tests/support/pair.h"

#include <stdio.h>
#include <stdlib.h>

#include <uv.h>

static farcall_channel *channel;
static const char *target;

static farcall_call *
new_call(void)
{
	farcall_call *call = farcall_call_new(channel);

	farcall_call_set_timeout_ms(call, 60000);
	return call;
}

static void
echo(void **state)
{
	(void)state;
	for (int i = 0; i < 500; i++)
		assert_int_equal(test_echo(channel, "n\xc3\xbamero"), FARCALL_OK);
}

static void
each_code(void **state)
{
	static const char text[] = "100 % sure: \xc3\xa9\n\"quoted\"";
	Pair__Message request = PAIR__MESSAGE__INIT;
	const Pair__Message *reply = NULL;

	(void)state;
	request.text = (char *)(uintptr_t)text;
	for (request.number = 1; request.number <= FARCALL_UNAUTHENTICATED; request.number++) {
		farcall_call *call = new_call();

		assert_int_equal(pair_test_fail(call, &request, &reply), request.number);
		assert_string_equal(farcall_call_status_message(call), text);
		assert_string_equal(
		    farcall_metadata_get(farcall_call_trailers(call), "after"), "the end");
		farcall_call_free(call);
	}
}

static uint32_t
cancelled(void)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	const Pair__Message *reply = NULL;
	farcall_call *call = new_call();
	uint32_t number;

	assert_int_equal(pair_test_custom(call, &request, &reply), FARCALL_OK);
	number = reply->number;
	farcall_call_free(call);
	return number;
}

/* At least 2 s. */
static bool
soon_cancelled(uint32_t count)
{
	for (int i = 0; i < 200 && cancelled() < count; i++)
		uv_sleep(10);
	return cancelled() >= count;
}

static void
deadline(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	const Pair__Message *reply = NULL;
	uint32_t before = cancelled();
	uint64_t ms = 50;
	farcall_call *call;

	(void)state;
	do { /* until one has reached its handler before */
		uint64_t begin = uv_hrtime();

		ms *= 4;
		call = farcall_call_new(channel);
		farcall_call_set_timeout_ms(call, ms);
		assert_int_equal(pair_test_wait(call, &request, &reply), FARCALL_DEADLINE_EXCEEDED);
		/* grpcio's clock is coarse: its answer may come some milliseconds early. */
		assert_in_range((uv_hrtime() - begin) / 1000000, ms - 10, ms + 15000);
		farcall_call_free(call);
	} while (!soon_cancelled(before + 1) && ms < 10000);
	assert_true(cancelled() >= before + 1);

	call = farcall_call_new(channel);
	farcall_call_set_timeout_ms(call, 60000);
	assert_int_equal(pair_test_slow(call, &request, &reply), FARCALL_OK);
	assert_in_range(reply->number, 1000, 20000); /* what the server knew of the deadline */
	farcall_call_free(call);
}

static unsigned cancel_after; /* ms */

static void
cancel_soon(void *data)
{
	uv_sleep(cancel_after);
	farcall_call_cancel((farcall_call *)data);
	farcall_call_free((farcall_call *)data);
}

static void
cancel(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	const Pair__Message *reply = NULL;
	uint32_t before = cancelled();
	uv_thread_t thread;

	(void)state;
	cancel_after = 12;
	do { /* until one has reached its handler before */
		farcall_call *call = new_call();

		cancel_after *= 4;
		farcall_call_hold(call);
		assert_int_equal(uv_thread_create(&thread, cancel_soon, call), 0);
		assert_int_equal(pair_test_wait(call, &request, &reply), FARCALL_CANCELLED);
		uv_thread_join(&thread);
		farcall_call_free(call);
	} while (!soon_cancelled(before + 1) && cancel_after < 10000);
	assert_true(cancelled() >= before + 1);
}

static void
check_list(const farcall_metadata *list, const char *large, const uint8_t *bytes)
{
	const void *value;
	size_t size;

	assert_string_equal(farcall_metadata_get(list, "plain"), "value");
	assert_string_equal(farcall_metadata_get(list, "twice"), "one");
	assert_string_equal(farcall_metadata_get(list, "large"), large);
	value = farcall_metadata_get_bin(list, "bytes-bin", &size);
	assert_int_equal(size, 256);
	assert_memory_equal(value, bytes, 256);
}

static void
metadata(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	const Pair__Message *reply = NULL;
	farcall_call *call = new_call();
	char large[7001];
	uint8_t bytes[256];

	(void)state;
	memset(large, 'x', 7000);
	large[7000] = 0;
	for (int i = 0; i < 256; i++)
		bytes[i] = (uint8_t)i;
	farcall_call_add_metadata(call, "plain", "value");
	farcall_call_add_metadata(call, "twice", "one");
	farcall_call_add_metadata(call, "twice", "two");
	farcall_call_add_metadata(call, "large", large);
	farcall_call_add_metadata_bin(call, "bytes-bin", bytes, sizeof bytes);
	assert_int_equal(pair_test_metadata(call, &request, &reply), FARCALL_OK);
	check_list(farcall_call_metadata(call), large, bytes);
	check_list(farcall_call_trailers(call), large, bytes);
	farcall_call_free(call);
}

/* An Echo with so many bytes of metadata; answers the size of its list if it was refused here. */
static size_t
echo_with(size_t size)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	const Pair__Message *reply = NULL;
	farcall_call *call = farcall_call_new(channel);
	char *value = (char *)calloc(1, size + 1);
	size_t list = 0;

	memset(value, 'x', size);
	farcall_call_add_metadata(call, "k", value);
	if (pair_test_echo(call, &request, &reply) != FARCALL_OK) {
		const char *at = strstr(farcall_call_error(call), "a header list of ");

		assert_int_equal(farcall_call_code(call), FARCALL_RESOURCE_EXHAUSTED);
		assert_int_equal(farcall_call_cause(call), FARCALL_CAUSE_TOO_LARGE);
		assert_non_null(at);
		list = strtoul(at + 17, NULL, 10);
	}
	farcall_call_free(call);
	free(value);
	return list;
}

/* At the most that is ever sent the server takes it; one past it does not leave. */
static void
much_metadata(void **state)
{
	size_t list = echo_with(70000);

	(void)state;
	assert_true(list > 70000);
	assert_int_equal(echo_with(65536 - (list - 70000)), 0);
	assert_int_equal(echo_with(65537 - (list - 70000)), 65537);
	assert_int_equal(test_echo(channel, "after"), FARCALL_OK);
}

static farcall_code
echo_bytes(size_t size)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	const Pair__Message *reply = NULL;
	farcall_call *call = new_call();
	farcall_code code;

	request.data.data = (uint8_t *)malloc(size + 1);
	request.data.len = size;
	for (size_t i = 0; i < size; i++)
		request.data.data[i] = (uint8_t)(i % 251);
	code = pair_test_echo(call, &request, &reply);
	if (code == FARCALL_OK) {
		assert_int_equal(reply->data.len, size);
		if (size != 0)
			assert_memory_equal(reply->data.data, request.data.data, size);
	}
	free(request.data.data);
	farcall_call_free(call);
	return code;
}

static void
sizes(void **state)
{
	static const size_t all[] = {
	    0, 1, 100, 16384, 65535, 65536, 100000, 1 << 20, (4 << 20) - 5};

	(void)state;
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		assert_int_equal(echo_bytes(all[i]), FARCALL_OK);
	assert_int_equal(echo_bytes((4 << 20) - 4), FARCALL_RESOURCE_EXHAUSTED);
	assert_int_equal(test_echo(channel, "still here"), FARCALL_OK);
}

static bool server_compresses; /* its command says so */

/* One Echo of 100,000 zeros, or of what does not get smaller. */
static void
echo_compressed(farcall_coding coding, bool noise)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	const Pair__Message *reply = NULL;
	farcall_call *call = new_call();
	test_random random;

	test_random_seed(&random, 1);
	request.data.len = 100000;
	request.data.data = (uint8_t *)calloc(1, request.data.len);
	for (size_t i = 0; noise && i < request.data.len; i++)
		request.data.data[i] = (uint8_t)test_random_next(&random);
	farcall_call_set_compression(call, coding);
	assert_int_equal(pair_test_echo(call, &request, &reply), FARCALL_OK);
	assert_int_equal(reply->data.len, request.data.len);
	assert_memory_equal(reply->data.data, request.data.data, request.data.len);
	assert_int_equal(farcall_call_message_compressed(call), server_compresses && !noise);
	free(request.data.data);
	farcall_call_free(call);
}

static void
compression(void **state)
{
	(void)state;
	for (int i = 0; i < 20; i++) {
		echo_compressed(FARCALL_IDENTITY, false);
		echo_compressed(FARCALL_GZIP, false);
		echo_compressed(FARCALL_DEFLATE, false);
		echo_compressed(FARCALL_GZIP, true);
		echo_compressed(FARCALL_DEFLATE, true);
	}
}

typedef struct waiters {
	atomic_int ok, refused, other;
} waiters;

static void
count_waiter(farcall_call *call, farcall_code code, const Pair__Message *reply, void *data)
{
	waiters *w = (waiters *)data;

	(void)reply;
	if (code == FARCALL_OK)
		atomic_fetch_add(&w->ok, 1);
	else if (code == FARCALL_RESOURCE_EXHAUSTED &&
	    strstr(farcall_call_error(call), "3 calls wait for") != NULL)
		atomic_fetch_add(&w->refused, 1);
	else
		atomic_fetch_add(&w->other, 1);
	farcall_call_free(call);
}

/* All begin in one step, before there is a connection. */
static void
calls_that_may_wait(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_loop *loop = farcall_loop_new();
	farcall_channel *few_waiting;
	waiters w = {.ok = 0};

	(void)state;
	few_waiting = farcall_channel_open(target);
	farcall_channel_set_loop(few_waiting, loop);
	farcall_channel_set_max_waiting(few_waiting, 3);
	for (int i = 0; i < 5; i++) {
		farcall_call *call = farcall_call_new(few_waiting);

		farcall_call_set_timeout_ms(call, 30000);
		pair_test_echo__async(call, &request, count_waiter, &w);
	}
	while (atomic_load(&w.ok) + atomic_load(&w.refused) + atomic_load(&w.other) < 5)
		farcall_loop_step(loop, 100);
	assert_int_equal(atomic_load(&w.ok), 3);
	assert_int_equal(atomic_load(&w.refused), 2);
	farcall_channel_close(few_waiting);
	farcall_loop_step(loop, 0);
	farcall_loop_free(loop);
}

static void
not_there(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	const Pair__Message *reply = NULL;
	farcall_call *call = new_call();

	(void)state;
	assert_int_equal(pair_test_missing(call, &request, &reply), FARCALL_UNIMPLEMENTED);
	farcall_call_free(call);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(echo),
	    cmocka_unit_test(each_code),
	    cmocka_unit_test(deadline),
	    cmocka_unit_test(cancel),
	    cmocka_unit_test(metadata),
	    cmocka_unit_test(much_metadata),
	    cmocka_unit_test(sizes),
	    cmocka_unit_test(compression),
	    cmocka_unit_test(calls_that_may_wait),
	    cmocka_unit_test(not_there),
	};
	int failed;
	child server;

	child_start_as_told(&server, argc, argv);
	server_compresses = strcmp(argv[argc - 1], "gzip") == 0;
	target = server.target;
	channel = farcall_channel_open(target);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	farcall_channel_close(channel);
	child_stop(&server);
	return failed;
}
