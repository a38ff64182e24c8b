/*
 * The server as a program sees it, with our own client at the other end: set-up and its errors,
 * handlers, completion from elsewhere, limits, stopping.
 */
#include "tests/support/pair.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <uv.h>

/* ---- every transport ---- */

static void
echo_over(const char *address)
{
	test_pair pair;

	test_pair_init(&pair, address);
	test_pair_start(&pair);
	for (int i = 0; i < 3; i++)
		assert_int_equal(test_echo(pair.channel, "hello"), FARCALL_OK);
	test_pair_fini(&pair);
}

static void
calls_over_each_transport(void **state)
{
	char path[64];

	(void)state;
	echo_over("127.0.0.1:0");
	echo_over("localhost:0");
	echo_over("mem:each-transport");
	snprintf(path, sizeof path, "unix:/tmp/farcall-test-%d", (int)getpid());
	echo_over(path);
	assert_int_equal(access(path + 5, F_OK), -1);
}

/* ---- outcomes ---- */

static void
each_code_and_message_arrives(void **state)
{
	static const char text[] = "100 % of \"\xc3\xa9\"\n, and more";
	Pair__Message request = PAIR__MESSAGE__INIT;
	const Pair__Message *reply = NULL;
	test_pair pair;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	test_pair_start(&pair);
	request.text = (char *)(uintptr_t)text;
	for (uint32_t code = 1; code <= FARCALL_UNAUTHENTICATED; code++) {
		farcall_call *call = farcall_call_new(pair.channel);

		request.number = code;
		assert_int_equal(pair_test_fail(call, &request, &reply), code);
		assert_int_equal(farcall_call_code(call), code);
		assert_string_equal(farcall_call_status_message(call), text);
		farcall_call_free(call);
	}
	test_pair_fini(&pair);
}

static farcall_code
call_once(farcall_channel *channel, const farcall_method *method, char *error, size_t room)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_call *call = farcall_call_new(channel);
	const ProtobufCMessage *reply;
	farcall_code code;

	farcall_call_set_timeout_ms(call, 60000);
	code = farcall_call_invoke(call, method, &request.base, &reply);
	snprintf(error, room, "%s", farcall_call_error(call));
	farcall_call_free(call);
	return code;
}

static void
what_is_not_there_is_unimplemented(void **state)
{
	farcall_method unknown = pair_test__methods[0];
	char error[256];
	test_pair pair;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	test_pair_start(&pair);
	assert_int_equal(call_once(pair.channel, &pair_test__methods[7], error, sizeof error),
	    FARCALL_UNIMPLEMENTED);
	assert_string_equal(error, "UNIMPLEMENTED: pair.Test.Missing is not implemented");
	unknown.path = "/pair.Test/Nothing";
	assert_int_equal(
	    call_once(pair.channel, &unknown, error, sizeof error), FARCALL_UNIMPLEMENTED);
	assert_string_equal(error, "UNIMPLEMENTED: no method /pair.Test/Nothing on this server");
	test_pair_fini(&pair);
}

/* ---- completion from elsewhere ---- */

typedef struct waiter {
	farcall_channel *channel;
	farcall_code code;
	uint64_t timeout_ms;
	uv_thread_t thread;
} waiter;

static void
call_wait(void *data)
{
	waiter *waiter_ = (waiter *)data;
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_call *call = farcall_call_new(waiter_->channel);
	const Pair__Message *reply = NULL;

	request.text = (char *)(uintptr_t) "later";
	farcall_call_set_timeout_ms(call, waiter_->timeout_ms);
	waiter_->code = pair_test_wait(call, &request, &reply);
	farcall_call_free(call);
}

static void
start_wait(waiter *waiter_, test_pair *pair, uint64_t timeout_ms)
{
	waiter_->channel = pair->channel;
	waiter_->timeout_ms = timeout_ms;
	assert_int_equal(uv_thread_create(&waiter_->thread, call_wait, waiter_), 0);
}

static void
another_thread_completes(void **state)
{
	test_pair pair;
	waiter waiter_;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	test_pair_start(&pair);
	start_wait(&waiter_, &pair, 60000);
	test_wait_for(&pair.n_waiting, 1);
	farcall_call_complete(pair.waiting[0], FARCALL_OK);
	uv_thread_join(&waiter_.thread);
	assert_int_equal(waiter_.code, FARCALL_OK);

	start_wait(&waiter_, &pair, 60000);
	test_wait_for(&pair.n_waiting, 2);
	farcall_call_fail(pair.waiting[1], FARCALL_ABORTED, "no");
	farcall_call_complete(pair.waiting[1], FARCALL_ABORTED);
	uv_thread_join(&waiter_.thread);
	assert_int_equal(waiter_.code, FARCALL_ABORTED);
	test_pair_fini(&pair);
}

static void
a_second_completion_is_logged_and_ignored(void **state)
{
	test_pair pair;
	waiter waiter_;

	(void)state;
	test_log_catch();
	test_pair_init(&pair, "127.0.0.1:0");
	test_pair_start(&pair);
	start_wait(&waiter_, &pair, 60000);
	test_wait_for(&pair.n_waiting, 1);
	farcall_call_hold(pair.waiting[0]);
	farcall_call_complete(pair.waiting[0], FARCALL_OK);
	farcall_call_complete(pair.waiting[0], FARCALL_INTERNAL);
	assert_int_equal(test_log_count(), 1);
	assert_non_null(strstr(test_log_last(), "a second completion"));
	farcall_call_free(pair.waiting[0]);
	uv_thread_join(&waiter_.thread);
	assert_int_equal(waiter_.code, FARCALL_OK);
	test_pair_fini(&pair);
	test_log_release();
}

static void
a_deadline_cancels_what_pends(void **state)
{
	test_pair pair;
	waiter waiter_;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	test_pair_start(&pair);
	for (uint64_t ms = 100; atomic_load(&pair.n_waiting) == 0; ms *= 4) {
		start_wait(&waiter_, &pair, ms);
		uv_thread_join(&waiter_.thread);
		assert_int_equal(waiter_.code, FARCALL_DEADLINE_EXCEEDED);
		test_soon(&pair.n_waiting, 1); /* if it was not in time for its handler */
	}
	test_wait_for(&pair.n_cancelled, 1);
	assert_true(farcall_call_cancelled(pair.waiting[0]));
	farcall_call_complete(pair.waiting[0], FARCALL_OK);
	assert_int_equal(test_echo(pair.channel, "still here"), FARCALL_OK);
	test_pair_fini(&pair);
}

static void
a_pending_call_outlives_its_server(void **state)
{
	test_pair pair;
	waiter waiter_;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	test_pair_start(&pair);
	start_wait(&waiter_, &pair, 60000);
	test_wait_for(&pair.n_waiting, 1);
	farcall_server_free(pair.server);
	uv_thread_join(&waiter_.thread);
	assert_int_equal(waiter_.code, FARCALL_UNAVAILABLE);
	assert_int_equal(atomic_load(&pair.n_cancelled), 1);
	farcall_call_complete(pair.waiting[0], FARCALL_OK);
	farcall_channel_close(pair.channel);
}

/* ---- limits ---- */

static void
calls_over_the_limit_are_refused(void **state)
{
	test_pair pair;
	waiter first, second;
	char error[256];

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	farcall_service_set_max_calls(pair.service, 2);
	test_pair_start(&pair);
	start_wait(&first, &pair, 60000);
	start_wait(&second, &pair, 60000);
	test_wait_for(&pair.n_waiting, 2);
	assert_int_equal(call_once(pair.channel, &pair_test__methods[0], error, sizeof error),
	    FARCALL_RESOURCE_EXHAUSTED);
	assert_string_equal(
	    error, "RESOURCE_EXHAUSTED: the service has reached its limit of calls");
	farcall_call_complete(pair.waiting[0], FARCALL_OK);
	farcall_call_complete(pair.waiting[1], FARCALL_OK);
	uv_thread_join(&first.thread);
	uv_thread_join(&second.thread);
	assert_int_equal(test_echo(pair.channel, "room again"), FARCALL_OK);
	test_pair_fini(&pair);
}

static farcall_code
send_bytes(farcall_channel *channel, size_t size)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_call *call = farcall_call_new(channel);
	const Pair__Message *reply = NULL;
	farcall_code code;

	request.data.len = size;
	request.data.data = (uint8_t *)calloc(1, size);
	code = pair_test_echo(call, &request, &reply);
	if (code == FARCALL_OK)
		assert_int_equal(reply->data.len, size);
	free(request.data.data);
	farcall_call_free(call);
	return code;
}

static void
messages_up_to_the_limit_pass(void **state)
{
	test_pair pair;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	farcall_server_set_max_message(pair.server, 1000);
	test_pair_start(&pair);
	assert_int_equal(send_bytes(pair.channel, 1000 - 3), FARCALL_OK);
	assert_int_equal(send_bytes(pair.channel, 1000 - 2), FARCALL_RESOURCE_EXHAUSTED);
	assert_int_equal(test_echo(pair.channel, "still here"), FARCALL_OK);
	test_pair_fini(&pair);

	test_pair_init(&pair, "127.0.0.1:0");
	test_pair_start(&pair);
	assert_int_equal(send_bytes(pair.channel, (4 << 20) - 5), FARCALL_OK);
	assert_int_equal(send_bytes(pair.channel, (4 << 20) - 4), FARCALL_RESOURCE_EXHAUSTED);
	test_pair_fini(&pair);
}

static farcall_code
ask_for_too_much(
    test_pair *pair, farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	(void)pair;
	(void)request;
	assert_non_null(farcall_call_alloc(call, 1 << 20));
	while (farcall_call_alloc(call, 1 << 20) != NULL)
		;
	reply->text = farcall_call_printf(call, "%0*d", 1 << 20, 7);
	assert_string_equal(reply->text, "");
	return FARCALL_OK;
}

static void
memory_past_the_cap_dooms_the_call(void **state)
{
	char error[256];
	test_pair pair;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	pair.custom = ask_for_too_much;
	test_pair_start(&pair);
	assert_int_equal(call_once(pair.channel, &pair_test__methods[6], error, sizeof error),
	    FARCALL_RESOURCE_EXHAUSTED);
	assert_string_equal(error, "RESOURCE_EXHAUSTED: the call's memory has reached its cap");
	test_pair_fini(&pair);
}

static void
a_service_keeps_to_its_endpoints(void **state)
{
	farcall_channel *admin;
	char error[256];
	test_pair pair;

	(void)state;
	test_pair_init(&pair, "mem:public");
	farcall_endpoint_set_name(farcall_server_bind(pair.server, "mem:admin"), "admin");
	farcall_service_allow_endpoint(pair.service, "admin");
	test_pair_start(&pair);
	admin = farcall_channel_open("mem:admin");
	assert_int_equal(test_echo(admin, "hello"), FARCALL_OK);
	assert_int_equal(call_once(pair.channel, &pair_test__methods[0], error, sizeof error),
	    FARCALL_UNIMPLEMENTED);
	farcall_channel_close(admin);
	test_pair_fini(&pair);
}

/* ---- stopping ---- */

static void
stop_waits_for_calls_in_flight(void **state)
{
	test_pair pair;
	waiter waiter_;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	test_pair_start(&pair);
	start_wait(&waiter_, &pair, 60000);
	test_wait_for(&pair.n_waiting, 1);
	farcall_server_stop(pair.server, 10000);
	uv_sleep(50);
	assert_false(farcall_server_stopped(pair.server));
	farcall_call_complete(pair.waiting[0], FARCALL_OK);
	uv_thread_join(&waiter_.thread);
	assert_int_equal(waiter_.code, FARCALL_OK);
	assert_int_equal(farcall_server_wait(pair.server), FARCALL_OK);
	assert_true(farcall_server_stopped(pair.server));
	test_pair_fini(&pair);
}

static void
the_grace_ends(void **state)
{
	test_pair pair;
	waiter waiter_;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	test_pair_start(&pair);
	start_wait(&waiter_, &pair, 60000);
	test_wait_for(&pair.n_waiting, 1);
	farcall_server_stop(pair.server, 50);
	assert_int_equal(farcall_server_wait(pair.server), FARCALL_OK);
	uv_thread_join(&waiter_.thread);
	assert_int_equal(waiter_.code, FARCALL_UNAVAILABLE);
	assert_int_equal(atomic_load(&pair.n_cancelled), 1);
	farcall_call_complete(pair.waiting[0], FARCALL_OK);
	test_pair_fini(&pair);
}

/* Nobody drives a blocking client's connection between its calls: it answers no PING. */
static void
stop_does_not_wait_for_an_idle_client(void **state)
{
	test_pair pair;
	uint64_t begin;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	test_pair_start(&pair);
	assert_int_equal(test_echo(pair.channel, "x"), FARCALL_OK);
	begin = uv_hrtime();
	farcall_server_stop(pair.server, 60000);
	assert_int_equal(farcall_server_wait(pair.server), FARCALL_OK);
	assert_true(uv_hrtime() - begin < UINT64_C(30000000000));
	test_pair_fini(&pair);
}

static farcall_code
stop_in_handler(
    test_pair *pair, farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	(void)call;
	*reply = *request;
	farcall_server_stop(pair->server, 20000);
	farcall_server_stop(pair->server, 20000);
	return FARCALL_OK;
}

static void
stop_from_a_handler_and_before_listen(void **state)
{
	char error[256];
	test_pair pair;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	pair.custom = stop_in_handler;
	test_pair_start(&pair);
	assert_int_equal(
	    call_once(pair.channel, &pair_test__methods[6], error, sizeof error), FARCALL_OK);
	assert_int_equal(farcall_server_wait(pair.server), FARCALL_OK);
	test_pair_fini(&pair);

	test_pair_init(&pair, "127.0.0.1:0");
	farcall_server_stop(pair.server, 1000);
	assert_int_equal(farcall_server_listen(pair.server), FARCALL_OK);
	test_pair_fini(&pair);
}

/* ---- publication ---- */

static void
a_published_interface_is_found_by_name(void **state)
{
	char dir[] = "/tmp/farcall-registry-XXXXXX", registry[64], target[96];
	farcall_channel *channel;
	test_pair pair;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(registry, sizeof registry, "file:%s", dir);
	snprintf(target, sizeof target, "file://%s/pair.Test", dir);
	test_pair_init(&pair, "127.0.0.1:0");
	farcall_server_publish(pair.server, registry);
	channel = farcall_channel_open(target);
	assert_int_equal(test_echo(channel, "too early"), FARCALL_UNAVAILABLE);
	farcall_channel_close(channel);
	test_pair_start(&pair);
	channel = farcall_channel_open(target);
	assert_int_equal(test_echo(channel, "by name"), FARCALL_OK);
	farcall_channel_close(channel);
	farcall_server_stop(pair.server, 0);
	farcall_server_wait(pair.server);
	channel = farcall_channel_open(target);
	assert_int_equal(test_echo(channel, "too late"), FARCALL_UNAVAILABLE);
	farcall_channel_close(channel);
	test_pair_fini(&pair);
	assert_int_equal(rmdir(dir), 0);
}

/* ---- metadata ---- */

static void
metadata_come_back_as_head_and_trailers(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	const uint8_t bytes[] = {0, 1, 2, 0xff, ','};
	const Pair__Message *reply = NULL;
	const farcall_metadata *lists[2];
	farcall_call *call;
	test_pair pair;
	char large[7001];

	(void)state;
	memset(large, 'x', 7000);
	large[7000] = 0;
	test_pair_init(&pair, "127.0.0.1:0");
	test_pair_start(&pair);
	call = farcall_call_new(pair.channel);
	farcall_call_add_metadata(call, "key", "one");
	farcall_call_add_metadata(call, "key", "two");
	farcall_call_add_metadata(call, "empty", "");
	farcall_call_add_metadata(call, "large", large);
	farcall_call_add_metadata_bin(call, "bytes-bin", bytes, sizeof bytes);
	farcall_call_add_metadata_bin(call, "none-bin", NULL, 0);
	assert_int_equal(pair_test_metadata(call, &request, &reply), FARCALL_OK);
	lists[0] = farcall_call_metadata(call);
	lists[1] = farcall_call_trailers(call);
	for (int i = 0; i < 2; i++) {
		const char *key;
		const void *value;
		size_t size;

		assert_string_equal(farcall_metadata_get(lists[i], "key"), "one");
		assert_string_equal(farcall_metadata_get(lists[i], "empty"), "");
		assert_string_equal(farcall_metadata_get(lists[i], "large"), large);
		assert_null(farcall_metadata_get(lists[i], "absent"));
		value = farcall_metadata_get_bin(lists[i], "bytes-bin", &size);
		assert_int_equal(size, sizeof bytes);
		assert_memory_equal(value, bytes, sizeof bytes);
		assert_non_null(farcall_metadata_get_bin(lists[i], "none-bin", &size));
		assert_int_equal(size, 0);
		assert_true(farcall_metadata_at(lists[i], 1, &key, &value, NULL));
		assert_string_equal(key, "key");
		assert_string_equal((const char *)value, "two");
		assert_false(farcall_metadata_at(lists[i], 6, NULL, NULL, NULL));
	}
	farcall_call_free(call);
	test_pair_fini(&pair);
}

/* ---- who calls ---- */

static farcall_code
tell_who_calls(
    test_pair *pair, farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	int64_t uid = 0, gid = 0, pid = 0;
	bool known = farcall_call_peer_ids(call, &uid, &gid, &pid);

	(void)request;
	assert_ptr_equal(farcall_call_self(call), pair);
	assert_string_equal(farcall_call_method(call)->path, "/pair.Test/Custom");
	assert_in_range(farcall_call_remaining_ms(call), 1, 61000);
	reply->text = farcall_call_printf(
	    call, "%s %d %d", farcall_call_peer(call), known, known && pid == getpid());
	return FARCALL_OK;
}

static void
expect_peer(const char *address, const char *pattern)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	const Pair__Message *reply = NULL;
	farcall_call *call;
	test_pair pair;

	test_pair_init(&pair, address);
	pair.custom = tell_who_calls;
	test_pair_start(&pair);
	call = farcall_call_new(pair.channel);
	farcall_call_set_timeout_ms(call, 60000);
	assert_int_equal(pair_test_custom(call, &request, &reply), FARCALL_OK);
	if (strstr(reply->text, pattern) == NULL)
		fail_msg("%s: \"%s\", expected \"%s\"", address, reply->text, pattern);
	assert_string_equal(farcall_call_peer(call), test_pair_address(&pair));
	farcall_call_free(call);
	test_pair_fini(&pair);
}

static void
handlers_know_who_calls(void **state)
{
	char path[64];

	(void)state;
	expect_peer("127.0.0.1:0", "ipv4:127.0.0.1:");
	expect_peer("[::1]:0", "ipv6:[::1]:");
	snprintf(path, sizeof path, "unix:/tmp/farcall-who-%d", (int)getpid());
	expect_peer(path, "unix: 1 1");
	expect_peer("mem:who", "mem:who");
}

/* ---- the warm path ---- */

static void
warm_calls_allocate_nothing(void **state)
{
	size_t before;
	test_pair pair;

	(void)state;
	if (test_chopped())
		skip(); /* the filter itself allocates */
	test_pair_init(&pair, "127.0.0.1:0");
	farcall_service_set_blocking(pair.service, "Echo", false); /* else it might be learned */
	test_pair_start(&pair);
	for (int i = 0; i < 100; i++)
		assert_int_equal(test_echo(pair.channel, "warm"), FARCALL_OK);
	before = test_allocator_calls();
	for (int i = 0; i < 1000; i++)
		assert_int_equal(test_echo(pair.channel, "warm"), FARCALL_OK);
	assert_int_equal(test_allocator_calls() - before, 0);
	test_pair_fini(&pair);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(calls_over_each_transport),
	    clean_test(each_code_and_message_arrives),
	    clean_test(what_is_not_there_is_unimplemented),
	    clean_test(another_thread_completes),
	    clean_test(a_second_completion_is_logged_and_ignored),
	    clean_test(a_deadline_cancels_what_pends),
	    clean_test(a_pending_call_outlives_its_server),
	    clean_test(calls_over_the_limit_are_refused),
	    clean_test(messages_up_to_the_limit_pass),
	    clean_test(memory_past_the_cap_dooms_the_call),
	    clean_test(a_service_keeps_to_its_endpoints),
	    clean_test(stop_waits_for_calls_in_flight),
	    clean_test(stop_does_not_wait_for_an_idle_client),
	    clean_test(the_grace_ends),
	    clean_test(stop_from_a_handler_and_before_listen),
	    clean_test(a_published_interface_is_found_by_name),
	    clean_test(metadata_come_back_as_head_and_trailers),
	    clean_test(handlers_know_who_calls),
	    clean_test(warm_calls_allocate_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
