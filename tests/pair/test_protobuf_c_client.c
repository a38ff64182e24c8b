/*
 * test_protobuf_c_client.c: calls by protoc-c's own functions through our channel, to farcall's
 * handlers and to protoc-c's own services: where and how often the closure comes, failures, the end
 * of service and channel, and lack of memory.
 */
#include "tests/pair/old_service.h"

#include <stdio.h>

#include <uv.h>

/* What a closure was given; filled by note_error() before. */
typedef struct outcome {
	atomic_int times;
	bool replied, foreign; /* foreign: not in the thread that made the call */
	char text[64];
	int errors;
	farcall_code code;
	char error[256];
	uv_thread_t maker;
	ProtobufCService *destroys; /* in the closure */
	farcall_channel *closes;
} outcome;

static void
note(const Pair__Message *reply, void *data)
{
	outcome *to = (outcome *)data;
	uv_thread_t self = uv_thread_self();

	to->replied = reply != NULL;
	to->foreign = !uv_thread_equal(&self, &to->maker);
	if (reply != NULL)
		snprintf(to->text, sizeof to->text, "%s", reply->text);
	if (to->destroys != NULL)
		protobuf_c_service_destroy(to->destroys);
	if (to->closes != NULL)
		farcall_channel_close(to->closes);
	atomic_fetch_add(&to->times, 1);
}

static void
note_error(farcall_call *call, void *data)
{
	outcome *to = (outcome *)data;

	to->errors++;
	to->code = farcall_call_code(call);
	snprintf(to->error, sizeof to->error, "%s", farcall_call_error(call));
}

static void
reset(outcome *to)
{
	memset(to, 0, sizeof *to);
	to->maker = uv_thread_self();
}

static ProtobufCService *
prepare(farcall_channel *channel, outcome *to)
{
	ProtobufCService *service = farcall_channel_protobuf_c(channel, &pair__test__descriptor);

	reset(to);
	farcall_protobuf_c_on_error(service, note_error, to);
	return service;
}

static Pair__Message *
message(Pair__Message *request, const char *text, uint32_t number)
{
	pair__message__init(request);
	request->text = (char *)(uintptr_t)text;
	request->number = number;
	return request;
}

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
	service = prepare(pair.channel, &to);
	pair__test__echo(service, message(&request, text, 0), note, &to);
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
	service = prepare(old.channel, &to);
	for (int i = 1; i <= 100; i++)
		pair__test__echo(service, message(&request, "both old", 0), note, &to);
	test_wait_for(&to.times, 100);
	assert_string_equal(to.text, "both old");
	pair__test__fail(service, message(&request, "", 0), note, &to);
	test_wait_for(&to.times, 101);
	assert_false(to.replied);
	assert_string_equal(to.error, "INTERNAL: the service gave no reply");
	pair__test__missing(service, message(&request, "", 0), note, &to);
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
	service = prepare(old.channel, &to);
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
	service = prepare(pair.channel, &to);
	pair__test__fail(service, message(&request, "no such row", FARCALL_NOT_FOUND), note, &to);
	test_wait_for(&to.times, 1);
	assert_false(to.replied);
	assert_true(to.foreign);
	assert_int_equal(to.errors, 1);
	assert_int_equal(to.code, FARCALL_NOT_FOUND);
	assert_string_equal(to.error, "NOT_FOUND: no such row");
	pair__test__echo(service, NULL, note, &to);
	test_wait_for(&to.times, 2);
	assert_string_equal(to.error, "FAILED_PRECONDITION: the request is NULL");
	pair__test__fail(service, message(&request, "nobody listens", FARCALL_ABORTED), NULL, NULL);
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
	reset(&to);
	service = farcall_channel_protobuf_c(pair.channel, &pair__test__descriptor);
	pair__test__fail(service, message(&request, "why", FARCALL_ABORTED), note, &to);
	test_wait_for(&to.times, 1);
	assert_int_equal(test_log_count(), 1);
	assert_string_equal(test_log_last(), "/pair.Test/Fail: ABORTED: why");
	farcall_protobuf_c_on_error(service, NULL, NULL);
	pair__test__fail(service, message(&request, "why", FARCALL_ABORTED), note, &to);
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

	(void)state;
	old_server_init(&old, "127.0.0.1:0");
	old_server_start(&old);
	farcall_channel_set_timeout_ms(old.channel, 300);
	service = prepare(old.channel, &to);
	pair__test__wait(service, message(&request, "", 0), note, &to);
	test_wait_for(&to.times, 1);
	assert_int_equal(to.code, FARCALL_DEADLINE_EXCEEDED);
	test_wait_for(&old.service.n_waiting, 1);
	assert_int_equal(test_echo(old.channel, "goes on"), FARCALL_OK);
	old_service_answer(old.service.waiting[0], "late");
	uv_sleep(5);
	assert_int_equal(atomic_load(&to.times), 1);
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
	service = prepare(pair.channel, &to);
	farcall_protobuf_c_on_start(service, set_up, (void *)(uintptr_t) "a value");
	pair__test__echo(service, message(&request, "", 0), note, &to);
	test_wait_for(&to.times, 1);
	assert_int_equal(to.code, FARCALL_DEADLINE_EXCEEDED);
	farcall_protobuf_c_on_start(service, set_up, (void *)(uintptr_t) "\n");
	pair__test__echo(service, message(&request, "", 0), note, &to);
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
	farcall_protobuf_c_on_error(&other.base.base, note_error, &to);
	farcall_protobuf_c_on_start(&other.base.base, set_up, NULL);
	farcall_protobuf_c_on_error(NULL, note_error, &to);
	farcall_protobuf_c_on_start(NULL, set_up, NULL);
	assert_int_equal(test_log_count(), 4);

	service = prepare(NULL, &to); /* no channel: told at once */
	service->invoke(service, 0, &message(&request, "", 0)->base, (ProtobufCClosure)note, &to);
	assert_int_equal(atomic_load(&to.times), 1);
	assert_string_equal(to.error, "FAILED_PRECONDITION: the channel is NULL");
	protobuf_c_service_destroy(service);

	service = prepare(channel, &to);
	service->invoke(service, 9, &request.base, (ProtobufCClosure)note, &to);
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
		reset(&to);
		descriptor.name = named ? "pair.Test" : NULL;
		service = farcall_channel_protobuf_c(channel, &descriptor);
		farcall_protobuf_c_on_error(service, note_error, &to);
		service->invoke(service, 8, &request.base, (ProtobufCClosure)note, &to);
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
	service = prepare(old.channel, &to);
	for (int i = 0; i < 5; i++)
		pair__test__wait(service, message(&request, "", 0), note, &to);
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
	service = prepare(pair.channel, &to);
	to.destroys = service;
	to.closes = pair.channel;
	pair__test__echo(service, message(&request, "last", 0), note, &to);
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
	service = prepare(old.channel, &to);
	pair__test__wait(service, message(&request, "", 0), note, &to);
	test_wait_for(&old.service.n_waiting, 1);
	farcall_channel_close(old.channel);
	test_wait_for(&to.times, 1);
	assert_int_equal(to.code, FARCALL_CANCELLED);
	pair__test__echo(service, message(&request, "", 0), note, &to);
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
		    self->service, message(&request, "many", 0), count, &self->to->times);
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
	service = prepare(old.channel, &to);
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

/* ---- a loop that the program steps ---- */

typedef struct stepped {
	farcall_loop *loop;
	farcall_server *server;
	farcall_channel *channel;
	ProtobufCService *client; /* NULL: it could not be made */
	old_service service;
	outcome to;
} stepped;

static bool
begin(stepped *s, const char *address)
{
	farcall_endpoint *endpoint;

	s->loop = farcall_loop_new();
	s->server = farcall_server_new();
	old_service_init(&s->service);
	farcall_server_set_loop(s->server, s->loop);
	farcall_server_register_protobuf_c(s->server, &s->service.base.base);
	endpoint = farcall_server_bind(s->server, address);
	s->client = NULL;
	memset(&s->to, 0, sizeof s->to);
	if (farcall_server_start(s->server) != FARCALL_OK)
		return false;
	s->channel = farcall_channel_open(farcall_endpoint_address(endpoint, 0));
	farcall_channel_set_loop(s->channel, s->loop);
	farcall_channel_set_timeout_ms(s->channel, 10000);
	s->client = prepare(s->channel, &s->to);
	return s->client != NULL;
}

static void
step_until(stepped *s, const atomic_int *counter, int value)
{
	for (int i = 0; i < 10000 && atomic_load(counter) < value; i++)
		farcall_loop_step(s->loop, 1);
	assert_true(atomic_load(counter) >= value);
}

static void
end(stepped *s)
{
	if (s->client != NULL)
		protobuf_c_service_destroy(s->client);
	farcall_channel_close(s->channel);
	farcall_server_stop(s->server, 0);
	for (int i = 0; i < 2000 && !farcall_server_stopped(s->server); i++)
		farcall_loop_step(s->loop, 1);
	farcall_server_free(s->server);
	farcall_loop_step(s->loop, 0);
	farcall_loop_free(s->loop);
}

static void
on_a_lent_loop_closures_come_in_its_step(void **state)
{
	Pair__Message request;
	stepped s;

	(void)state;
	assert_true(begin(&s, "mem:old"));
	pair__test__echo(s.client, message(&request, "in a step", 0), note, &s.to);
	pair__test__wait(s.client, message(&request, "", 0), note, &s.to);
	assert_int_equal(atomic_load(&s.to.times), 0);
	step_until(&s, &s.to.times, 1);
	assert_string_equal(s.to.text, "in a step");
	assert_false(s.to.foreign);
	step_until(&s, &s.service.n_waiting, 1);
	old_service_answer(s.service.waiting[0], "between steps");
	step_until(&s, &s.to.times, 2);
	assert_string_equal(s.to.text, "between steps");
	end(&s);
}

/* A call whose closure never comes, and no step after stop. */
static void
a_lent_loop_s_server_may_be_freed_at_once(void **state)
{
	Pair__Message request;
	stepped s;

	(void)state;
	assert_true(begin(&s, "mem:old"));
	pair__test__wait(s.client, message(&request, "", 0), note, &s.to);
	step_until(&s, &s.service.n_waiting, 1);
	farcall_server_free(s.server);
	test_log_catch();
	old_service_answer(s.service.waiting[0], "too late");
	test_log_release();
	step_until(&s, &s.to.times, 1);
	assert_int_equal(s.to.code, FARCALL_UNAVAILABLE);
	protobuf_c_service_destroy(s.client);
	farcall_channel_close(s.channel);
	farcall_loop_step(s.loop, 0);
	farcall_loop_free(s.loop);
}

/* ---- lack of memory ---- */

/* A whole life, with a call that is answered and one whose closure never comes. */
static farcall_code
live_once(void)
{
	farcall_code code = FARCALL_RESOURCE_EXHAUSTED;
	Pair__Message request;
	stepped s;

	s.channel = NULL;
	if (begin(&s, "mem:old-oom")) {
		pair__test__echo(s.client, message(&request, "whole", 0), note, &s.to);
		pair__test__wait(s.client, message(&request, "", 0), NULL, NULL);
		step_until(&s, &s.to.times, 1);
		code = s.to.replied ? FARCALL_OK : s.to.code;
		if (s.to.replied)
			assert_string_equal(s.to.text, "whole");
	}
	end(&s);
	return code;
}

static void
fail_each(bool sticky)
{
	farcall_code code;
	size_t n;

	assert_int_equal(live_once(), FARCALL_OK);
	for (n = 1;; n++) {
		test_allocator_fail_at(n, sticky);
		code = live_once();
		if (!test_allocator_failed())
			break;
		if (code != FARCALL_OK && code != FARCALL_RESOURCE_EXHAUSTED &&
		    code != FARCALL_UNAVAILABLE)
			fail_msg("allocation %zu: %s", n, farcall_code_name(code));
	}
	test_allocator_fail_at(0, false);
	assert_int_equal(live_once(), FARCALL_OK);
	assert_true(n > 20);
}

static void
each_allocation_may_fail(void **state)
{
	(void)state;
	test_log_catch();
	fail_each(false);
	fail_each(true);
	test_log_release();
}

static void
no_memory_for_a_service_is_null(void **state)
{
	farcall_channel *channel = farcall_channel_open("mem:old");

	(void)state;
	test_log_catch();
	test_allocator_fail_at(1, false);
	assert_null(farcall_channel_protobuf_c(channel, &pair__test__descriptor));
	test_allocator_fail_at(0, false);
	assert_int_equal(test_log_count(), 1);
	assert_string_equal(test_log_last(), "protobuf-c service: out of memory");
	farcall_channel_close(channel);
	test_log_release();
}

static void
no_memory_for_a_call_is_told_at_once(void **state)
{
	farcall_channel *channel = farcall_channel_open("mem:old"), *nil;
	ProtobufCService *service;
	Pair__Message request;
	outcome to;

	(void)state;
	service = prepare(channel, &to);
	test_allocator_fail_at(1, false);
	pair__test__echo(service, message(&request, "", 0), note, &to);
	test_allocator_fail_at(0, false);
	assert_int_equal(atomic_load(&to.times), 1);
	assert_int_equal(to.code, FARCALL_RESOURCE_EXHAUSTED);
	protobuf_c_service_destroy(service);
	farcall_channel_close(channel);

	test_allocator_fail_at(1, false);
	nil = farcall_channel_open("mem:old");
	test_allocator_fail_at(0, false);
	service = prepare(nil, &to);
	pair__test__echo(service, message(&request, "", 0), note, &to);
	assert_int_equal(to.code, FARCALL_RESOURCE_EXHAUSTED);
	assert_int_equal(atomic_load(&to.times), 1);
	protobuf_c_service_destroy(service);
	farcall_channel_close(nil);
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
	    clean_test(on_a_lent_loop_closures_come_in_its_step),
	    clean_test(a_lent_loop_s_server_may_be_freed_at_once),
	    clean_test(each_allocation_may_fail),
	    clean_test(no_memory_for_a_service_is_null),
	    clean_test(no_memory_for_a_call_is_told_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
