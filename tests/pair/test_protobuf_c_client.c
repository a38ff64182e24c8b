/*
 * test_protobuf_c_client.c: calls by protoc-c's own functions through our channel, to farcall's
 * handlers and to protoc-c's own services: where and how often the closure comes, failures, the end
 * of service and channel.
 */
#include "tests/pair/old_outcome.h"

/* After a channel with a thread was closed: the thread ends by itself. */
static void
settle(void)
{
	for (int i = 0; i < 10000 && test_allocator_live() != 0; i++)
		uv_sleep(1);
}

/* ---- crosswise ---- */

static void
old_calls_reach_handlers(void **state)
{
	char text[] = "packed at once";
	ProtobufCService *service;
	Pair__Message request;
	test_pair pair;
	outcome to;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	test_pair_start(&pair);
	service = outcome_service(pair.channel, &to);
	pair__test__echo(service, old_message(&request, text, 0), outcome_note, &to);
	memset(text, 'x', sizeof text - 1);
	test_wait_for(&to.times, 1);
	assert_true(to.replied && to.foreign);
	assert_string_equal(to.text, "packed at once");
	uv_sleep(5);
	assert_int_equal(atomic_load(&to.times), 1);
	assert_int_equal(to.errors, 0);
	protobuf_c_service_destroy(service);
	test_pair_fini(&pair);
	settle();
}

static void
old_calls_reach_old_services(void **state)
{
	ProtobufCService *service;
	Pair__Message request;
	old_server old;
	outcome to;

	(void)state;
	old_server_init(&old, "127.0.0.1:0");
	old_server_start(&old);
	service = outcome_service(old.channel, &to);
	for (int i = 1; i <= 100; i++)
		pair__test__echo(service, old_message(&request, "both old", 0), outcome_note, &to);
	test_wait_for(&to.times, 100);
	assert_string_equal(to.text, "both old");
	pair__test__fail(service, old_message(&request, "", 0), outcome_note, &to);
	test_wait_for(&to.times, 101);
	assert_false(to.replied);
	assert_string_equal(to.error, "INTERNAL: the service gave no reply");
	pair__test__missing(service, old_message(&request, "", 0), outcome_note, &to);
	test_wait_for(&to.times, 102);
	assert_int_equal(to.code, FARCALL_UNIMPLEMENTED);
	assert_int_equal(to.errors, 2);
	protobuf_c_service_destroy(service);
	old_server_fini(&old);
	settle();
}

static void
a_channel_s_service_may_be_registered(void **state)
{
	farcall_server *proxy = farcall_server_new();
	farcall_endpoint *endpoint;
	ProtobufCService *service;
	farcall_channel *channel;
	old_server old;
	outcome to;

	(void)state;
	old_server_init(&old, "127.0.0.1:0");
	old_server_start(&old);
	service = outcome_service(old.channel, &to);
	farcall_server_register_protobuf_c(proxy, service);
	endpoint = farcall_server_bind(proxy, "127.0.0.1:0");
	assert_int_equal(farcall_server_start(proxy), FARCALL_OK);
	channel = farcall_channel_open(farcall_endpoint_address(endpoint, 0));
	assert_int_equal(test_echo(channel, "twice on the way"), FARCALL_OK);
	farcall_channel_close(channel);
	farcall_server_free(proxy);
	protobuf_c_service_destroy(service);
	old_server_fini(&old);
	settle();
}

/* ---- failures ---- */

static void
the_error_is_told_before_the_closure(void **state)
{
	ProtobufCService *service;
	Pair__Message request;
	test_pair pair;
	outcome to;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	test_pair_start(&pair);
	service = outcome_service(pair.channel, &to);
	pair__test__fail(
	    service, old_message(&request, "no such row", FARCALL_NOT_FOUND), outcome_note, &to);
	test_wait_for(&to.times, 1);
	assert_false(to.replied);
	assert_true(to.foreign);
	assert_int_equal(to.errors, 1);
	assert_int_equal(to.code, FARCALL_NOT_FOUND);
	assert_string_equal(to.error, "NOT_FOUND: no such row");
	pair__test__echo(service, NULL, outcome_note, &to);
	test_wait_for(&to.times, 2);
	assert_string_equal(to.error, "FAILED_PRECONDITION: the request is NULL");
	pair__test__fail(
	    service, old_message(&request, "nobody listens", FARCALL_ABORTED), NULL, NULL);
	protobuf_c_service_destroy(service);
	test_pair_fini(&pair);
	settle();
}

static void
without_a_function_it_is_logged(void **state)
{
	ProtobufCService *service;
	Pair__Message request;
	test_pair pair;
	outcome to;

	(void)state;
	test_log_catch();
	test_pair_init(&pair, "127.0.0.1:0");
	test_pair_start(&pair);
	outcome_reset(&to);
	service = farcall_channel_protobuf_c(pair.channel, &pair__test__descriptor);
	pair__test__fail(service, old_message(&request, "why", FARCALL_ABORTED), outcome_note, &to);
	test_wait_for(&to.times, 1);
	assert_int_equal(test_log_count(), 1);
	assert_string_equal(test_log_last(), "/pair.Test/Fail: ABORTED: why");
	farcall_protobuf_c_on_error(service, NULL, NULL);
	pair__test__fail(service, old_message(&request, "why", FARCALL_ABORTED), outcome_note, &to);
	test_wait_for(&to.times, 2);
	assert_int_equal(test_log_count(), 1);
	protobuf_c_service_destroy(service);
	test_pair_fini(&pair);
	settle();
	test_log_release();
}

static void
the_deadline_is_the_channel_s(void **state)
{
	ProtobufCService *service;
	Pair__Message request;
	old_server old;
	outcome to;
	int n = 0;

	(void)state;
	old_server_init(&old, "127.0.0.1:0");
	old_server_start(&old);
	farcall_channel_set_timeout_ms(old.channel, 300);
	service = outcome_service(old.channel, &to);
	do { /* until one is in time for the service */
		pair__test__wait(service, old_message(&request, "", 0), outcome_note, &to);
		test_wait_for(&to.times, ++n);
		assert_int_equal(to.code, FARCALL_DEADLINE_EXCEEDED);
	} while (!test_soon(&old.service.n_waiting, 1));
	assert_int_equal(test_echo(old.channel, "goes on"), FARCALL_OK);
	old_service_answer(old.service.waiting[0], "late");
	uv_sleep(5);
	assert_int_equal(atomic_load(&to.times), n);
	protobuf_c_service_destroy(service);
	old_server_fini(&old);
	settle();
}

static void
set_up(farcall_call *call, void *data)
{
	farcall_call_add_metadata(call, "token", (const char *)data);
	farcall_call_set_timeout_ms(call, 0);
}

static void
each_call_may_be_set_up(void **state)
{
	ProtobufCService *service;
	Pair__Message request;
	test_pair pair;
	outcome to;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	test_pair_start(&pair);
	service = outcome_service(pair.channel, &to);
	farcall_protobuf_c_on_start(service, set_up, (void *)(uintptr_t) "a value");
	pair__test__echo(service, old_message(&request, "", 0), outcome_note, &to);
	test_wait_for(&to.times, 1);
	assert_int_equal(to.code, FARCALL_DEADLINE_EXCEEDED);
	farcall_protobuf_c_on_start(service, set_up, (void *)(uintptr_t) "\n");
	pair__test__echo(service, old_message(&request, "", 0), outcome_note, &to);
	test_wait_for(&to.times, 2);
	assert_int_equal(to.code, FARCALL_INVALID_ARGUMENT);
	protobuf_c_service_destroy(service);
	test_pair_fini(&pair);
	settle();
}

#define NO_NAME                                                                                  \
	"has no name: gRPC calls by name, and code generated with optimize_for = CODE_SIZE has " \
	"none"

static void
what_cannot_be_called(void **state)
{
	ProtobufCServiceDescriptor descriptor = pair__test__descriptor;
	ProtobufCMethodDescriptor methods[9];
	ProtobufCService *service;
	Pair__Message request;
	farcall_loop *loop = farcall_loop_new();
	farcall_channel *channel = farcall_channel_open("mem:nobody");
	old_service other;
	outcome to;

	(void)state;
	farcall_channel_set_loop(channel, loop);
	test_log_catch();
	assert_null(farcall_channel_protobuf_c(channel, NULL));
	descriptor.magic = 0;
	assert_null(farcall_channel_protobuf_c(channel, &descriptor));
	assert_int_equal(test_log_count(), 2);
	old_service_init(&other);
	farcall_protobuf_c_on_error(&other.base.base, outcome_note_error, &to);
	farcall_protobuf_c_on_start(&other.base.base, set_up, NULL);
	farcall_protobuf_c_on_error(NULL, outcome_note_error, &to);
	farcall_protobuf_c_on_start(NULL, set_up, NULL);
	assert_int_equal(test_log_count(), 4);

	service = outcome_service(NULL, &to); /* no channel: told at once */
	service->invoke(
	    service, 0, &old_message(&request, "", 0)->base, (ProtobufCClosure)outcome_note, &to);
	assert_int_equal(atomic_load(&to.times), 1);
	assert_string_equal(to.error, "FAILED_PRECONDITION: the channel is NULL");
	protobuf_c_service_destroy(service);

	service = outcome_service(channel, &to);
	service->invoke(service, 9, &request.base, (ProtobufCClosure)outcome_note, &to);
	assert_int_equal(atomic_load(&to.times), 1);
	assert_string_equal(
	    to.error, "FAILED_PRECONDITION: the service has no method of this number");
	protobuf_c_service_destroy(service);

	/* as optimize_for = CODE_SIZE writes it */
	descriptor = pair__test__descriptor;
	memcpy(methods, descriptor.methods, sizeof methods);
	for (int i = 0; i < 9; i++)
		methods[i].name = NULL;
	descriptor.methods = methods;
	for (int named = 0; named < 2; named++) {
		outcome_reset(&to);
		descriptor.name = named ? "pair.Test" : NULL;
		service = farcall_channel_protobuf_c(channel, &descriptor);
		farcall_protobuf_c_on_error(service, outcome_note_error, &to);
		service->invoke(service, 8, &request.base, (ProtobufCClosure)outcome_note, &to);
		assert_int_equal(atomic_load(&to.times), 0);
		farcall_loop_step(loop, 0);
		assert_int_equal(atomic_load(&to.times), 1);
		assert_string_equal(to.error,
		    named ? "INVALID_ARGUMENT: pair.Test: method 0 " NO_NAME
		          : "INVALID_ARGUMENT: protobuf-c service: it " NO_NAME);
		protobuf_c_service_destroy(service);
	}
	farcall_channel_close(channel);
	farcall_loop_free(loop);
	test_log_release();
}

/* ---- the end ---- */

static void
destroying_cancels_what_is_under_way(void **state)
{
	ProtobufCService *service;
	Pair__Message request;
	old_server old;
	outcome to;

	(void)state;
	old_server_init(&old, "127.0.0.1:0");
	old_server_start(&old);
	service = outcome_service(old.channel, &to);
	for (int i = 0; i < 5; i++)
		pair__test__wait(service, old_message(&request, "", 0), outcome_note, &to);
	test_wait_for(&old.service.n_waiting, 5);
	protobuf_c_service_destroy(service);
	test_wait_for(&to.times, 5);
	assert_int_equal(to.errors, 5);
	assert_int_equal(to.code, FARCALL_CANCELLED);
	assert_int_equal(test_echo(old.channel, "the channel goes on"), FARCALL_OK);
	old_server_fini(&old);
	settle();
}

static void
service_and_channel_may_end_in_a_closure(void **state)
{
	ProtobufCService *service;
	Pair__Message request;
	test_pair pair;
	outcome to;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	test_pair_start(&pair);
	service = outcome_service(pair.channel, &to);
	to.destroys = service;
	to.closes = pair.channel;
	pair__test__echo(service, old_message(&request, "last", 0), outcome_note, &to);
	test_wait_for(&to.times, 1);
	assert_string_equal(to.text, "last");
	farcall_server_free(pair.server);
	settle();
}

static void
the_channel_may_be_closed_first(void **state)
{
	ProtobufCService *service;
	Pair__Message request;
	old_server old;
	outcome to;

	(void)state;
	old_server_init(&old, "127.0.0.1:0");
	old_server_start(&old);
	service = outcome_service(old.channel, &to);
	pair__test__wait(service, old_message(&request, "", 0), outcome_note, &to);
	test_wait_for(&old.service.n_waiting, 1);
	farcall_channel_close(old.channel);
	test_wait_for(&to.times, 1);
	assert_int_equal(to.code, FARCALL_CANCELLED);
	pair__test__echo(service, old_message(&request, "", 0), outcome_note, &to);
	test_wait_for(&to.times, 2);
	assert_int_equal(to.code, FARCALL_CANCELLED);
	protobuf_c_service_destroy(service);
	farcall_server_free(old.server);
	settle();
}

/* ---- threads ---- */

enum { THREADS = 4, EACH = 200 };

typedef struct maker {
	uv_thread_t thread;
	ProtobufCService *service;
	outcome *to;
} maker;

static void
count(const Pair__Message *reply, void *data)
{
	(void)reply;
	atomic_fetch_add((atomic_int *)data, 1);
}

static void
make_calls(void *data)
{
	maker *self = (maker *)data;
	Pair__Message request;

	for (int i = 0; i < EACH; i++)
		pair__test__echo(
		    self->service, old_message(&request, "many", 0), count, &self->to->times);
}

/* Destroyed while the last ones are still under way. */
static void
many_threads_use_one_service(void **state)
{
	maker makers[THREADS];
	ProtobufCService *service;
	old_server old;
	outcome to;

	(void)state;
	old_server_init(&old, "127.0.0.1:0");
	old_server_start(&old);
	service = outcome_service(old.channel, &to);
	farcall_protobuf_c_on_error(service, NULL, NULL);
	for (int i = 0; i < THREADS; i++) {
		makers[i].service = service;
		makers[i].to = &to;
		uv_thread_create(&makers[i].thread, make_calls, &makers[i]);
	}
	for (int i = 0; i < THREADS; i++)
		uv_thread_join(&makers[i].thread);
	protobuf_c_service_destroy(service);
	test_wait_for(&to.times, THREADS * EACH);
	old_server_fini(&old);
	settle();
	assert_int_equal(atomic_load(&to.times), THREADS * EACH);
}

/* Each call ends once, by whichever comes first. */
static void
closures_race_with_deadlines(void **state)
{
	ProtobufCService *service;
	Pair__Message request;
	old_server old;
	outcome to;

	(void)state;
	old_server_init(&old, "127.0.0.1:0");
	farcall_service_set_blocking(old.registered, "Slow", true);
	old_server_start(&old);
	farcall_channel_set_timeout_ms(old.channel, 4);
	service = outcome_service(old.channel, &to);
	for (uint32_t i = 0; i < 200; i++) {
		pair__test__slow(service, old_message(&request, "", i % 8), outcome_note, &to);
		if (i % 20 == 19)
			test_wait_for(&to.times, (int)i + 1);
	}
	uv_sleep(20);
	assert_int_equal(atomic_load(&to.times), 200);
	assert_true(to.errors > 0);
	protobuf_c_service_destroy(service);
	old_server_fini(&old);
	settle();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(old_calls_reach_handlers),
	    clean_test(old_calls_reach_old_services),
	    clean_test(a_channel_s_service_may_be_registered),
	    clean_test(the_error_is_told_before_the_closure),
	    clean_test(without_a_function_it_is_logged),
	    clean_test(the_deadline_is_the_channel_s),
	    clean_test(each_call_may_be_set_up),
	    clean_test(what_cannot_be_called),
	    clean_test(destroying_cancels_what_is_under_way),
	    clean_test(service_and_channel_may_end_in_a_closure),
	    clean_test(the_channel_may_be_closed_first),
	    clean_test(many_threads_use_one_service),
	    clean_test(closures_race_with_deadlines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
