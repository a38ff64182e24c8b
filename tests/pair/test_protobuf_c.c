/*
 * test_protobuf_c.c: protoc-c's own services on our server, called by farcall's stubs: when the
 * closure comes, how often, and not at all; what cannot be registered; settings.
 */
#include "tests/pair/old_service.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <uv.h>

enum { LONG_MS = 60000 };

/* A Wait from a thread of its own, since stubs block. */
typedef struct caller {
	uv_thread_t thread;
	farcall_channel *channel;
	uint64_t timeout_ms;
	farcall_code code;
	char text[256];
	atomic_int over;
} caller;

static void
call_wait(void *data)
{
	caller *who = (caller *)data;

	who->code =
	    old_call(who->channel, pair_test_wait, 0, who->timeout_ms, who->text, sizeof who->text);
	atomic_store(&who->over, 1);
}

static void
end_wait(caller *who)
{
	uv_thread_join(&who->thread);
}

/* Returns when the service has the call. */
static void
begin_wait(caller *who, old_server *old, uint64_t timeout_ms)
{
	int n = atomic_load(&old->service.n_waiting);

	who->channel = old->channel;
	who->timeout_ms = timeout_ms;
	atomic_init(&who->over, 0);
	assert_int_equal(uv_thread_create(&who->thread, call_wait, who), 0);
	while (atomic_load(&old->service.n_waiting) == n && atomic_load(&who->over) == 0)
		uv_sleep(1);
	if (test_soon(&old->service.n_waiting, n + 1))
		return;
	end_wait(who); /* its time was too short on a busy machine */
	assert_int_equal(who->code, FARCALL_DEADLINE_EXCEEDED);
	begin_wait(who, old, 4 * timeout_ms);
}

/* ---- when the closure comes ---- */

static void
a_closure_inside_invoke(void **state)
{
	old_server old;

	(void)state;
	old_server_init(&old, "127.0.0.1:0");
	old_server_start(&old);
	for (int i = 0; i < 600; i++) /* more than there are tickets at first */
		assert_int_equal(test_echo(old.channel, "old"), FARCALL_OK);
	old_server_fini(&old);
}

static void
a_reply_may_stand_on_the_stack(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	const Pair__Message *reply = NULL;
	farcall_call *call;
	old_server old;

	(void)state;
	old_server_init(&old, "127.0.0.1:0");
	old_server_start(&old);
	call = farcall_call_new(old.channel);
	request.number = 1000;
	assert_int_equal(pair_test_grow(call, &request, &reply), FARCALL_OK);
	assert_int_equal(reply->data.len, 1000);
	for (size_t i = 0; i < 1000; i++)
		assert_int_equal(reply->data.data[i], 'g');
	farcall_call_free(call);
	old_server_fini(&old);
}

static void
a_closure_later_from_another_thread(void **state)
{
	old_server old;
	caller who;

	(void)state;
	old_server_init(&old, "127.0.0.1:0");
	old_server_start(&old);
	begin_wait(&who, &old, LONG_MS);
	old_service_answer(old.service.waiting[0], "later");
	end_wait(&who);
	assert_int_equal(who.code, FARCALL_OK);
	assert_string_equal(who.text, "later");
	old_server_fini(&old);
}

/* Each channel's connection is on a loop of its own. */
static void
several_loops_have_the_service(void **state)
{
	enum { N = 4 };
	caller who[N];
	farcall_channel *first;
	old_server old;

	(void)state;
	old_server_init(&old, "127.0.0.1:0");
	farcall_server_set_loops(old.server, N);
	old_server_start(&old);
	first = old.channel;
	for (int i = 0; i < N; i++) {
		if (i != 0)
			old.channel =
			    farcall_channel_open(farcall_endpoint_address(old.endpoint, 0));
		assert_int_equal(test_echo(old.channel, "old"), FARCALL_OK);
		begin_wait(&who[i], &old, i == N - 1 ? 50 : LONG_MS);
	}
	for (int i = N; i-- > 0;) {
		if (i != N - 1)
			old_service_answer(old.service.waiting[i], "later");
		end_wait(&who[i]);
		assert_int_equal(who[i].code, i == N - 1 ? FARCALL_DEADLINE_EXCEEDED : FARCALL_OK);
		if (i != 0)
			farcall_channel_close(who[i].channel);
	}
	old_service_answer(old.service.waiting[N - 1], "too late");
	old.channel = first;
	old_server_fini(&old);
}

static void
answer_in_thread(void *data)
{
	old_service_answer(*(old_closure *)data, "from a thread");
}

static void
join_a_thread_that_answers(old_service *service, const Pair__Message *input, old_closure closure)
{
	uv_thread_t thread;

	(void)service, (void)input;
	uv_thread_create(&thread, answer_in_thread, &closure);
	uv_thread_join(&thread);
}

static void
a_closure_from_another_thread_while_invoke_runs(void **state)
{
	old_server old;
	char text[256];

	(void)state;
	old_server_init(&old, "127.0.0.1:0");
	old.service.custom = join_a_thread_that_answers;
	old_server_start(&old);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(
		    old_call(old.channel, pair_test_custom, 0, LONG_MS, text, sizeof text),
		    FARCALL_OK);
		assert_string_equal(text, "from a thread");
	}
	old_server_fini(&old);
}

/* ---- how often ---- */

static void
answer_twice(old_service *service, const Pair__Message *input, old_closure closure)
{
	(void)service, (void)input;
	old_service_answer(closure, "first");
	old_service_answer(closure, "second");
	old_service_answer(closure, NULL);
}

static void
a_second_closure_is_logged_and_ignored(void **state)
{
	old_server old;
	char text[256];

	(void)state;
	test_log_catch();
	old_server_init(&old, "127.0.0.1:0");
	old.service.custom = answer_twice;
	old_server_start(&old);
	assert_int_equal(
	    old_call(old.channel, pair_test_custom, 0, LONG_MS, text, sizeof text), FARCALL_OK);
	assert_string_equal(text, "first");
	assert_int_equal(test_log_count(), 2);
	assert_string_equal(test_log_last(),
	    "protobuf-c service: misuse: a closure was called a second time, ignored");
	old_server_fini(&old);
	test_log_release();
}

/* The call's memory, and the ticket's place, may serve another call by then. */
static void
a_second_closure_ends_no_other_call(void **state)
{
	old_server old;
	caller who;

	(void)state;
	test_log_catch();
	old_server_init(&old, "127.0.0.1:0");
	old_server_start(&old);
	begin_wait(&who, &old, LONG_MS);
	old_service_answer(old.service.waiting[0], "first");
	end_wait(&who);
	for (int i = 0; i < 255; i++) /* every place but that one */
		assert_int_equal(test_echo(old.channel, "between"), FARCALL_OK);
	begin_wait(&who, &old, LONG_MS);
	assert_int_equal((uintptr_t)old.service.waiting[0].data & 0xff,
	    (uintptr_t)old.service.waiting[1].data & 0xff);
	old_service_answer(old.service.waiting[0], "again");
	assert_int_equal(test_log_count(), 1);
	old_service_answer(old.service.waiting[1], "its own");
	end_wait(&who);
	assert_string_equal(who.text, "its own");
	old_server_fini(&old);
	test_log_release();
}

static void
no_reply_is_internal(void **state)
{
	old_server old;
	char text[256];
	caller who;

	(void)state;
	old_server_init(&old, "127.0.0.1:0");
	old_server_start(&old);
	assert_int_equal(
	    old_call(old.channel, pair_test_fail, 0, LONG_MS, text, sizeof text), FARCALL_INTERNAL);
	assert_string_equal(text, "INTERNAL: the service gave no reply");
	begin_wait(&who, &old, LONG_MS);
	old_service_answer(old.service.waiting[0], NULL);
	end_wait(&who);
	assert_string_equal(who.text, "INTERNAL: the service gave no reply");
	old_server_fini(&old);
}

static void
answer_with_another_type(old_service *service, const Pair__Message *input, old_closure closure)
{
	ProtobufCMessageDescriptor other = *input->base.descriptor;
	Pair__Message reply = PAIR__MESSAGE__INIT;

	(void)service;
	reply.base.descriptor = &other;
	closure.closure(&reply.base, closure.data);
}

static void
a_reply_of_another_type_is_internal(void **state)
{
	old_server old;
	char text[256];

	(void)state;
	old_server_init(&old, "127.0.0.1:0");
	old.service.custom = answer_with_another_type;
	old_server_start(&old);
	assert_int_equal(old_call(old.channel, pair_test_custom, 0, LONG_MS, text, sizeof text),
	    FARCALL_INTERNAL);
	assert_string_equal(
	    text, "INTERNAL: the service gave a reply of another type than pair.Message");
	old_server_fini(&old);
}

/* ---- not in time, or never ---- */

static void
a_late_closure_is_harmless(void **state)
{
	old_server old;
	caller who;

	(void)state;
	test_log_catch();
	old_server_init(&old, "127.0.0.1:0");
	old_server_start(&old);
	begin_wait(&who, &old, 300);
	end_wait(&who);
	assert_int_equal(who.code, FARCALL_DEADLINE_EXCEEDED);
	assert_int_equal(test_echo(old.channel, "goes on"), FARCALL_OK); /* it has been cancelled */
	old_service_answer(old.service.waiting[0], "late");
	assert_int_equal(test_log_count(), 0);
	old_service_answer(old.service.waiting[0], "later yet");
	assert_int_equal(test_log_count(), 1);
	old_server_fini(&old);
	test_log_release();
}

/* The teardown finds what they leave. */
static void
closures_that_never_come_leave_nothing(void **state)
{
	caller many[16];
	old_server old;

	(void)state;
	old_server_init(&old, "127.0.0.1:0");
	farcall_service_set_max_calls(old.registered, 16);
	old_server_start(&old);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 16; i++)
			begin_wait(&many[i], &old, 400);
		for (int i = 0; i < 16; i++) {
			end_wait(&many[i]);
			assert_int_equal(many[i].code, FARCALL_DEADLINE_EXCEEDED);
		}
		assert_int_equal(test_echo(old.channel, "room again"), FARCALL_OK);
	}
	old_server_fini(&old);
}

static void
a_closure_after_the_server_is_harmless(void **state)
{
	old_server old;
	caller who;

	(void)state;
	test_log_catch();
	old_server_init(&old, "127.0.0.1:0");
	old_server_start(&old);
	begin_wait(&who, &old, LONG_MS);
	farcall_server_stop(old.server, 0);
	end_wait(&who);
	assert_int_equal(who.code, FARCALL_UNAVAILABLE);
	farcall_server_free(old.server);
	old_service_answer(old.service.waiting[0], "too late");
	assert_int_equal(test_log_count(), 1);
	farcall_channel_close(old.channel);

	old_server_init(
	    &old, "127.0.0.1:0"); /* the table is new; an old ticket is not taken for one of it */
	old_server_start(&old);
	begin_wait(&who, &old, LONG_MS);
	old_service_answer(
	    (old_closure){old.service.waiting[0].closure, (void *)(uintptr_t)0x100000}, "foreign");
	assert_int_equal(test_log_count(), 2);
	old_service_answer(old.service.waiting[0], "right");
	end_wait(&who);
	assert_string_equal(who.text, "right");
	old_server_fini(&old);
	test_log_release();
}

static void
a_function_that_is_null_is_unimplemented(void **state)
{
	old_server old;
	char text[256];

	(void)state;
	old_server_init(&old, "127.0.0.1:0");
	old_server_start(&old);
	assert_int_equal(old_call(old.channel, pair_test_missing, 0, LONG_MS, text, sizeof text),
	    FARCALL_UNIMPLEMENTED);
	assert_string_equal(text, "UNIMPLEMENTED: pair.Test/Missing is not implemented");
	old_server_fini(&old);
}

/* ---- settings, as any service's ---- */

static void
its_limits_are_kept(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	uint8_t bytes[100] = {0};
	farcall_call *call;
	old_server old;
	caller who;

	(void)state;
	old_server_init(&old, "127.0.0.1:0");
	farcall_service_set_max_calls(old.registered, 1);
	farcall_service_set_max_message(old.registered, 52);
	old_server_start(&old);
	begin_wait(&who, &old, LONG_MS);
	assert_int_equal(test_echo(old.channel, "one more"), FARCALL_RESOURCE_EXHAUSTED);
	old_service_answer(old.service.waiting[0], "done");
	end_wait(&who);
	assert_int_equal(who.code, FARCALL_OK);
	request.data.data = bytes;
	for (request.data.len = 50; request.data.len <= 51; request.data.len++) {
		call = farcall_call_new(old.channel);
		farcall_call_set_timeout_ms(call, LONG_MS);
		assert_int_equal(pair_test_echo(call, &request, NULL),
		    request.data.len == 50 ? FARCALL_OK : FARCALL_RESOURCE_EXHAUSTED);
		farcall_call_free(call);
	}
	old_server_fini(&old);
}

static void
it_may_be_kept_to_an_endpoint_and_published(void **state)
{
	char folder[] = "/tmp/farcall-oldXXXXXX", registry[64], target[96];
	farcall_channel *other, *named;
	farcall_endpoint *second;
	old_server old;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(registry, sizeof registry, "file:%s", folder);
	snprintf(target, sizeof target, "file://%s/pair.Test", folder);
	old_server_init(&old, "127.0.0.1:0");
	second = farcall_server_bind(old.server, "127.0.0.1:0");
	farcall_endpoint_set_name(old.endpoint, "inside");
	farcall_service_allow_endpoint(old.registered, "inside");
	farcall_server_publish(old.server, registry);
	old_server_start(&old);
	other = farcall_channel_open(farcall_endpoint_address(second, 0));
	named = farcall_channel_open(target);
	assert_int_equal(test_echo(old.channel, "inside"), FARCALL_OK);
	assert_int_equal(test_echo(other, "outside"), FARCALL_UNIMPLEMENTED);
	assert_int_equal(farcall_channel_wait_ready(named, LONG_MS), FARCALL_OK);
	assert_int_equal(test_echo(named, "by name"), FARCALL_OK);
	farcall_channel_close(other);
	farcall_channel_close(named);
	old_server_fini(&old);
	rmdir(folder);
}

static void
call_slow(void *data)
{
	caller *who = (caller *)data;

	who->code = old_call(who->channel, pair_test_slow, 60, LONG_MS, NULL, 0);
}

static int
slow_calls_at_once(bool serial)
{
	old_server old;
	caller many[3];

	old_server_init(&old, "127.0.0.1:0");
	farcall_server_set_serial(old.server, serial);
	if (!serial)
		farcall_service_set_blocking(old.registered, "Slow", true);
	old_server_start(&old);
	for (int i = 0; i < 3; i++) {
		many[i].channel = old.channel;
		uv_thread_create(&many[i].thread, call_slow, &many[i]);
	}
	for (int i = 0; i < 3; i++) {
		uv_thread_join(&many[i].thread);
		assert_int_equal(many[i].code, FARCALL_OK);
	}
	old_server_fini(&old);
	return atomic_load(&old.service.most_inside);
}

static void
it_may_block(void **state)
{
	int most = 1;

	(void)state;
	for (int i = 0; i < 50 && most == 1; i++) /* the machine may keep them apart */
		most = slow_calls_at_once(false);
	assert_true(most > 1);
}

static void
one_at_a_time_where_the_server_is_serial(void **state)
{
	(void)state;
	assert_int_equal(slow_calls_at_once(true), 1);
}

/* ---- what cannot be registered ---- */

static void
refuse(ProtobufCService *service, const char *error)
{
	farcall_server *server = farcall_server_new();

	assert_non_null(farcall_server_register_protobuf_c(server, service));
	assert_int_equal(farcall_server_code(server), FARCALL_INVALID_ARGUMENT);
	assert_string_equal(farcall_server_error(server), error);
	farcall_server_free(server);
}

#define NO_NAME                                                                                  \
	"has no name: gRPC calls by name, and code generated with optimize_for = CODE_SIZE has " \
	"none"

static void
what_is_no_service_is_refused(void **state)
{
	ProtobufCMethodDescriptor methods[2];
	ProtobufCServiceDescriptor descriptor = pair__test__descriptor;
	old_service service;

	(void)state;
	old_service_init(&service);
	assert_non_null(farcall_server_register_protobuf_c(NULL, &service.base.base));
	refuse(NULL, "register protobuf-c service: it is NULL");
	service.base.base.descriptor = NULL;
	refuse(&service.base.base, "register protobuf-c service: its descriptor is NULL");
	service.base.base.descriptor = &descriptor;
	service.base.base.invoke = NULL;
	refuse(&service.base.base, "register protobuf-c service: its invoke is NULL");
	service.base.base.invoke = protobuf_c_service_invoke_internal;
	descriptor.magic++;
	refuse(&service.base.base, "register protobuf-c service: its descriptor is none");
	descriptor.magic--;
	descriptor.name = "";
	refuse(&service.base.base, "register protobuf-c service: it " NO_NAME);
	descriptor.name = NULL;
	refuse(&service.base.base, "register protobuf-c service: it " NO_NAME);
	descriptor.name = "some.Service";
	memcpy(methods, descriptor.methods, sizeof methods);
	descriptor.methods = methods;
	descriptor.n_methods = 2;
	methods[1].name = NULL;
	refuse(&service.base.base, "register some.Service: method 1 " NO_NAME);
	methods[1].name = "M";
	methods[1].output = NULL;
	refuse(&service.base.base, "register some.Service: method M has no message type");
}

static void
a_name_is_registered_once(void **state)
{
	farcall_server *server = farcall_server_new();
	old_service service;

	(void)state;
	old_service_init(&service);
	farcall_server_register_protobuf_c(server, &service.base.base);
	farcall_server_register_protobuf_c(server, &service.base.base);
	assert_int_equal(farcall_server_code(server), FARCALL_ALREADY_EXISTS);
	assert_string_equal(
	    farcall_server_error(server), "register pair.Test: it is registered already");
	farcall_server_free(server);
}

static void
each_allocation_of_register_may_fail(void **state)
{
	old_service service;

	(void)state;
	old_service_init(&service);
	for (size_t n = 1; n <= 4; n++) {
		farcall_server *server = farcall_server_new();

		test_allocator_fail_at(n, false);
		farcall_server_register_protobuf_c(server, &service.base.base);
		assert_int_equal(test_allocator_failed(), n <= 3);
		test_allocator_fail_at(0, false);
		assert_int_equal(
		    farcall_server_code(server), n <= 3 ? FARCALL_RESOURCE_EXHAUSTED : FARCALL_OK);
		farcall_server_free(server);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(a_closure_inside_invoke),
	    clean_test(a_reply_may_stand_on_the_stack),
	    clean_test(a_closure_later_from_another_thread),
	    clean_test(several_loops_have_the_service),
	    clean_test(a_closure_from_another_thread_while_invoke_runs),
	    clean_test(a_second_closure_is_logged_and_ignored),
	    clean_test(a_second_closure_ends_no_other_call),
	    clean_test(no_reply_is_internal),
	    clean_test(a_reply_of_another_type_is_internal),
	    clean_test(a_late_closure_is_harmless),
	    clean_test(closures_that_never_come_leave_nothing),
	    clean_test(a_closure_after_the_server_is_harmless),
	    clean_test(a_function_that_is_null_is_unimplemented),
	    clean_test(its_limits_are_kept),
	    clean_test(it_may_be_kept_to_an_endpoint_and_published),
	    clean_test(it_may_block),
	    clean_test(one_at_a_time_where_the_server_is_serial),
	    clean_test(what_is_no_service_is_refused),
	    clean_test(a_name_is_registered_once),
	    clean_test(each_allocation_of_register_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
