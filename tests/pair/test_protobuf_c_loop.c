/*
 * test_protobuf_c_loop.c: protoc-c's own services and functions on a loop that the program steps,
 * and with memory that fails at each place.
 */
#include "tests/pair/old_outcome.h"

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
	s->client = outcome_service(s->channel, &s->to);
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
	pair__test__echo(s.client, old_message(&request, "in a step", 0), outcome_note, &s.to);
	pair__test__wait(s.client, old_message(&request, "", 0), outcome_note, &s.to);
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
	pair__test__wait(s.client, old_message(&request, "", 0), outcome_note, &s.to);
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
		pair__test__echo(s.client, old_message(&request, "whole", 0), outcome_note, &s.to);
		pair__test__wait(s.client, old_message(&request, "", 0), NULL, NULL);
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
	service = outcome_service(channel, &to);
	test_allocator_fail_at(1, false);
	pair__test__echo(service, old_message(&request, "", 0), outcome_note, &to);
	test_allocator_fail_at(0, false);
	assert_int_equal(atomic_load(&to.times), 1);
	assert_int_equal(to.code, FARCALL_RESOURCE_EXHAUSTED);
	protobuf_c_service_destroy(service);
	farcall_channel_close(channel);

	test_allocator_fail_at(1, false);
	nil = farcall_channel_open("mem:old");
	test_allocator_fail_at(0, false);
	service = outcome_service(nil, &to);
	pair__test__echo(service, old_message(&request, "", 0), outcome_note, &to);
	assert_int_equal(to.code, FARCALL_RESOURCE_EXHAUSTED);
	assert_int_equal(atomic_load(&to.times), 1);
	protobuf_c_service_destroy(service);
	farcall_channel_close(nil);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(on_a_lent_loop_closures_come_in_its_step),
	    clean_test(a_lent_loop_s_server_may_be_freed_at_once),
	    clean_test(each_allocation_may_fail),
	    clean_test(no_memory_for_a_service_is_null),
	    clean_test(no_memory_for_a_call_is_told_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
