/*
 * test_ages.c: connections that end by their age, in real time and on many threads: callers that
 * block, with and without a thread of the channel's, over several loops of a server. No call is
 * lost; a stop meets connections that are leaving already.
 */
#include "tests/support/pair.h"

#include <uv.h>

#define RUN_MS 2500   /* at least */
#define MOST_MS 30000 /* until the second connection */
#define CALLERS 4

/* Closing does not wait for a channel's thread. */
static void
end(test_pair *pair)
{
	test_pair_fini(pair);
	for (int i = 0; i < 5000 && test_allocator_live() != 0; i++)
		uv_sleep(1);
}

typedef struct caller {
	uv_thread_t thread;
	farcall_channel *channel;
	const atomic_int *connections;
	unsigned calls, failed;
} caller;

static void
call_all_the_time(void *data)
{
	caller *c = (caller *)data;
	uint64_t start = uv_hrtime(), ms = 0;

	for (; ms < RUN_MS || (atomic_load(c->connections) < 2 && ms < MOST_MS);
	     c->calls++, ms = (uv_hrtime() - start) / 1000000)
		if (test_echo(c->channel, "x") != FARCALL_OK)
			c->failed++;
}

static void
count_ready(farcall_channel *channel, farcall_state state, void *data)
{
	(void)channel;
	if (state == FARCALL_READY)
		atomic_fetch_add((atomic_int *)data, 1);
}

/* The first two callers share a channel, the third's has a thread, the last's asks without calls.
 */
static void
no_call_is_lost(void **state)
{
	caller callers[CALLERS] = {0};
	farcall_channel *others[2];
	atomic_int connections;
	unsigned calls = 0;
	uint64_t start;
	test_pair pair;

	(void)state;
	atomic_init(&connections, 0);
	test_pair_init(&pair, "127.0.0.1:0");
	farcall_server_set_loops(pair.server, 2);
	farcall_server_set_max_connection_age_ms(pair.server, 1000);
	farcall_server_set_max_connection_grace_ms(pair.server, 60000);
	test_pair_start(&pair);
	start = uv_hrtime();
	for (int i = 0; i < 2; i++)
		others[i] = farcall_channel_open(test_pair_address(&pair));
	farcall_channel_set_keepalive_ms(others[1], 10000);
	farcall_channel_set_keepalive_without_calls(others[1], true);
	farcall_channel_on_state(others[0], count_ready, &connections);
	for (int i = 0; i < CALLERS; i++) {
		callers[i].connections = &connections;
		callers[i].channel = i < 2 ? pair.channel : others[i - 2];
		assert_int_equal(
		    uv_thread_create(&callers[i].thread, call_all_the_time, &callers[i]), 0);
	}
	for (int i = 0; i < CALLERS; i++) {
		uv_thread_join(&callers[i].thread);
		assert_int_equal(callers[i].failed, 0);
		calls += callers[i].calls;
	}
	print_message("%u calls, %d connections\n", calls, atomic_load(&connections));
	assert_in_range(
	    atomic_load(&connections), 2, 2 + (uv_hrtime() - start) / UINT64_C(900000000));
	for (int i = 0; i < 2; i++)
		farcall_channel_close(others[i]);
	end(&pair);
}

static void
note(farcall_call *call, farcall_code code, const Pair__Message *reply, void *data)
{
	(void)reply;
	(void)code;
	farcall_call_free(call);
	atomic_fetch_add((atomic_int *)data, 1);
}

static void
note_idle(farcall_channel *channel, farcall_state state, void *data)
{
	(void)channel;
	if (state == FARCALL_IDLE)
		atomic_fetch_add((atomic_int *)data, 1);
}

/* One call keeps an old connection; then the server stops. */
static void
a_stop_meets_an_old_connection(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	atomic_int done, idle;
	test_pair pair;

	(void)state;
	atomic_init(&done, 0);
	atomic_init(&idle, 0);
	test_pair_init(&pair, "127.0.0.1:0");
	farcall_server_set_max_connection_age_ms(pair.server, 1000);
	test_pair_start(&pair);
	farcall_channel_on_state(pair.channel, note_idle, &idle);
	pair_test_wait__async(farcall_call_new(pair.channel), &request, note, &done);
	test_wait_for(&pair.n_waiting, 1);
	test_wait_for(&idle, 1); /* it takes no more calls */
	assert_int_equal(atomic_load(&done), 0);
	farcall_server_stop(pair.server, 10000);
	farcall_call_complete(pair.waiting[0], FARCALL_OK);
	test_wait_for(&done, 1);
	assert_int_equal(farcall_server_wait(pair.server), FARCALL_OK);
	end(&pair);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(no_call_is_lost),
	    clean_test(a_stop_meets_an_old_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
