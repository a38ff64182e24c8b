/*
 * lifecycle-client: our client against servers of pair.Test that others wrote, whose connections
 * end by age and idleness, that are asked too often, and that die. The server's command line
 * follows as arguments; each test adds channel arguments of gRPC to it.
 */
#include "tests/interop/child.h"
#include "tests/support/pair.h"

#include "client/internal.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include <uv.h>

static char **command;

typedef struct fixture {
	child server;
	farcall_channel *channel;
	atomic_int ready; /* connections that were */
} fixture;

/* `options` ends with NULL. */
static void
begin(fixture *f, const char *const *options)
{
	char *words[32];
	size_t n = 0;

	memset(f, 0, sizeof *f);
	for (; command[n] != NULL && n < 24; n++)
		words[n] = command[n];
	for (; *options != NULL && n < 31; options++)
		words[n++] = (char *)(uintptr_t)*options;
	words[n] = NULL;
	assert_true(child_start(&f->server, words));
	f->channel = farcall_channel_open(f->server.target);
}

static void
end(fixture *f)
{
	farcall_channel_close(f->channel);
	child_stop(&f->server);
}

static void
count_ready(farcall_channel *channel, farcall_state state, void *data)
{
	(void)channel;
	if (state == FARCALL_READY)
		atomic_fetch_add((atomic_int *)data, 1);
}

static unsigned
ms_since(uint64_t start)
{
	return (unsigned)((uv_hrtime() - start) / 1000000);
}

/* One Wait with a deadline. */
static farcall_code
wait_ms(fixture *f, uint64_t ms, char *error)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	const Pair__Message *reply = NULL;
	farcall_call *call = farcall_call_new(f->channel);
	farcall_code code;

	farcall_call_set_timeout_ms(call, ms);
	code = pair_test_wait(call, &request, &reply);
	snprintf(error, 256, "%s", farcall_call_error(call));
	farcall_call_free(call);
	return code;
}

/* ---- age and idleness ---- */

static const char *const aging[] = {
    "grpc.max_connection_age_ms=500", "grpc.max_connection_age_grace_ms=5000", NULL};

static void
age_loses_no_call(void **state)
{
	unsigned n = 0;
	uint64_t start;
	fixture f;

	(void)state;
	begin(&f, aging);
	for (start = uv_hrtime(); ms_since(start) < 2000; n++)
		assert_int_equal(test_echo(f.channel, "x"), FARCALL_OK);
	print_message("%u calls without a thread\n", n);
	end(&f);

	begin(&f, aging);
	farcall_channel_on_state(f.channel, count_ready, &f.ready);
	for (start = uv_hrtime(), n = 0;
	     ms_since(start) < 2000 || (atomic_load(&f.ready) < 3 && ms_since(start) < 30000); n++)
		assert_int_equal(test_echo(f.channel, "x"), FARCALL_OK);
	print_message("%u calls over %d connections\n", n, atomic_load(&f.ready));
	assert_true(atomic_load(&f.ready) >= 3);
	end(&f);
}

static void
wait_for_state(farcall_channel *channel, farcall_state state)
{
	uint64_t start = uv_hrtime();

	while (farcall_channel_state(channel) != state && ms_since(start) < 15000)
		uv_sleep(1);
	assert_int_equal(farcall_channel_state(channel), state);
}

static void
idleness_loses_no_call(void **state)
{
	static const char *const options[] = {"grpc.max_connection_idle_ms=500", NULL};
	fixture f;

	(void)state;
	begin(&f, options);
	farcall_channel_on_state(f.channel, count_ready, &f.ready);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(test_echo(f.channel, "x"), FARCALL_OK);
		wait_for_state(f.channel, FARCALL_IDLE);
	}
	assert_int_equal(atomic_load(&f.ready), 3);
	end(&f);
}

/* ---- keepalive ---- */

static void
too_many_pings(void **state)
{
	static const char *const options[] = {NULL};
	char error[256];
	fixture f;

	(void)state;
	test_log_catch();
	begin(&f, options);
	fc_channel_keepalive(f.channel, 300 * FC_NS_PER_MS, 15 * FC_NS_PER_S);
	assert_int_equal(wait_ms(&f, 20000, error), FARCALL_UNAVAILABLE);
	print_message("%s\n", error);
	assert_non_null(strstr(error, "oo many pings"));
	assert_int_equal(f.channel->config.keepalive_ns, 600 * FC_NS_PER_MS);
	assert_non_null(strstr(test_log_last(), "keepalive comes every 600 ms from now on"));
	assert_int_equal(test_echo(f.channel, "x"), FARCALL_OK);
	end(&f);
	test_log_release();
}

static void
pings_that_are_permitted(void **state)
{
	static const char *const options[] = {
	    "grpc.http2.min_ping_interval_without_data_ms=100", NULL};
	char error[256];
	fixture f;

	(void)state;
	begin(&f, options);
	fc_channel_keepalive(f.channel, 200 * FC_NS_PER_MS, 10 * FC_NS_PER_S);
	assert_int_equal(wait_ms(&f, 1500, error), FARCALL_DEADLINE_EXCEEDED);
	assert_int_equal(test_echo(f.channel, "x"), FARCALL_OK);
	end(&f);
}

/* Its system still acknowledges what is sent, so nothing but keepalive can find it. */
static void
a_server_that_has_stopped_is_found(void **state)
{
	static const char *const options[] = {NULL};
	char error[256];
	uint64_t start;
	fixture f;

	(void)state;
	begin(&f, options);
	fc_channel_keepalive(f.channel, 500 * FC_NS_PER_MS, 2500 * FC_NS_PER_MS);
	assert_int_equal(test_echo(f.channel, "x"), FARCALL_OK);
	kill(f.server.pid, SIGSTOP);
	start = uv_hrtime();
	assert_int_equal(wait_ms(&f, 20000, error), FARCALL_UNAVAILABLE);
	print_message("found after %u ms: %s\n", ms_since(start), error);
	assert_in_range(ms_since(start), 2500, 15000);
	kill(f.server.pid, SIGCONT);
	assert_int_equal(test_echo(f.channel, "x"), FARCALL_OK);
	end(&f);
}

/* The server asks us: whoever turns the loop answers. */
static void
its_questions_are_answered(void **state)
{
	static const char *const options[] = {"grpc.keepalive_time_ms=200",
	    "grpc.keepalive_timeout_ms=10000", "grpc.keepalive_permit_without_calls=1",
	    "grpc.http2.max_pings_without_data=0", "grpc.http2.min_time_between_pings_ms=200",
	    NULL};
	char error[256];
	fixture f;

	(void)state;
	begin(&f, options);
	assert_int_equal(wait_ms(&f, 1500, error), FARCALL_DEADLINE_EXCEEDED);
	assert_int_equal(test_echo(f.channel, "x"), FARCALL_OK);
	end(&f);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(age_loses_no_call),
	    cmocka_unit_test(idleness_loses_no_call),
	    cmocka_unit_test(too_many_pings),
	    cmocka_unit_test(pings_that_are_permitted),
	    cmocka_unit_test(a_server_that_has_stopped_is_found),
	    cmocka_unit_test(its_questions_are_answered),
	};

	if (argc < 2) {
		fprintf(stderr, "usage: lifecycle-client SERVER [ARGUMENT...]\n");
		return 2;
	}
	command = argv + 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
