/*
 * A server of several loops: connections are spread, limits are the whole server's, stopping
 * reaches all loops, and calls that pend are completed from any thread.
 */
#include "tests/support/pair.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <sys/resource.h>
#include <uv.h>

#define CLIENTS 8
#define CALLS 100

static void
start_with(test_pair *pair, unsigned loops)
{
	farcall_server_set_loops(pair->server, loops);
	test_pair_start(pair);
}

/* ---- calls from many connections ---- */

typedef struct client {
	const char *address;
	farcall_channel *channel;
	farcall_code code;
	uint64_t timeout_ms;
	uv_thread_t thread;
} client;

static farcall_code
sum_up(test_pair *pair, farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	(void)call;
	atomic_fetch_add((atomic_int *)pair->data, (int)request->number);
	*reply = *request;
	return FARCALL_OK;
}

static void
call_often(void *data)
{
	client *self = (client *)data;
	farcall_channel *channel = farcall_channel_open(self->address);

	for (uint32_t i = 1; i <= CALLS && self->code == FARCALL_OK; i++) {
		Pair__Message request = PAIR__MESSAGE__INIT;
		farcall_call *call = farcall_call_new(channel);
		const Pair__Message *reply = NULL;

		request.number = i;
		farcall_call_set_timeout_ms(call, 60000);
		self->code = pair_test_custom(call, &request, &reply);
		if (self->code == FARCALL_OK && reply->number != i)
			self->code = FARCALL_DATA_LOSS;
		farcall_call_free(call);
	}
	farcall_channel_close(channel);
}

static void
sum_over(const char *address, unsigned loops)
{
	client clients[CLIENTS] = {{0}};
	atomic_int sum = 0;
	test_pair pair;

	test_pair_init(&pair, address);
	pair.custom = sum_up;
	pair.data = &sum;
	start_with(&pair, loops);
	for (int i = 0; i < CLIENTS; i++) {
		clients[i].address = test_pair_address(&pair);
		assert_int_equal(uv_thread_create(&clients[i].thread, call_often, &clients[i]), 0);
	}
	for (int i = 0; i < CLIENTS; i++) {
		uv_thread_join(&clients[i].thread);
		assert_int_equal(clients[i].code, FARCALL_OK);
	}
	assert_int_equal(atomic_load(&sum), CLIENTS * CALLS * (CALLS + 1) / 2);
	assert_int_equal(atomic_load(&pair.n_handled), CLIENTS * CALLS);
	test_pair_fini(&pair);
}

static void
calls_of_many_connections_add_up(void **state)
{
	(void)state;
	sum_over("127.0.0.1:0", 2);
	sum_over("127.0.0.1:0", 4);
	sum_over("mem:many-loops", 4);
}

/* ---- where connections go ---- */

#define LOOPS 4

typedef struct who {
	uv_mutex_t lock;
	uv_thread_t seen[64];
	int n[64];
	int n_seen;
} who;

static farcall_code
note_thread(test_pair *pair, farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	who *threads = (who *)pair->data;
	uv_thread_t self = uv_thread_self();
	int i = 0;

	(void)call;
	*reply = *request;
	uv_mutex_lock(&threads->lock);
	while (i < threads->n_seen && !uv_thread_equal(&threads->seen[i], &self))
		i++;
	threads->n_seen += i == threads->n_seen;
	threads->seen[i] = self;
	threads->n[i]++;
	uv_mutex_unlock(&threads->lock);
	return FARCALL_OK;
}

static farcall_code
call_custom(farcall_channel *channel, uint64_t timeout_ms)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_call *call = farcall_call_new(channel);
	const Pair__Message *reply = NULL;
	farcall_code code;

	farcall_call_set_timeout_ms(call, timeout_ms);
	code = pair_test_custom(call, &request, &reply);
	farcall_call_free(call);
	return code;
}

/* With one thread a loop, each loop has the same number of connections: one call each shows it. */
static void
connections_are_spread_evenly(void **state)
{
	farcall_channel *channels[2 * LOOPS - 1];
	who threads = {.n_seen = 0};
	test_pair pair;

	(void)state;
	uv_mutex_init(&threads.lock);
	test_pair_init(&pair, "127.0.0.1:0");
	pair.custom = note_thread;
	pair.data = &threads;
	farcall_server_set_handler_threads(pair.server, 1);
	start_with(&pair, LOOPS);
	assert_int_equal(call_custom(pair.channel, 60000), FARCALL_OK);
	for (size_t i = 0; i < 2 * LOOPS - 1; i++) {
		channels[i] = farcall_channel_open(test_pair_address(&pair));
		assert_int_equal(call_custom(channels[i], 60000), FARCALL_OK);
	}
	assert_int_equal(threads.n_seen, LOOPS);
	for (int i = 0; i < LOOPS; i++)
		assert_int_equal(threads.n[i], 2);
	for (size_t i = 0; i < 2 * LOOPS - 1; i++)
		farcall_channel_close(channels[i]);
	test_pair_fini(&pair);
	uv_mutex_destroy(&threads.lock);
}

/* ---- limits ---- */

static void
call_wait(void *data)
{
	client *self = (client *)data;
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_call *call = farcall_call_new(self->channel);
	const Pair__Message *reply = NULL;

	farcall_call_set_timeout_ms(call, self->timeout_ms);
	self->code = pair_test_wait(call, &request, &reply);
	farcall_call_free(call);
}

/* `n` calls that pend, over so many connections; the first of these is the pair's. */
static void
begin_waits(test_pair *pair, client *clients, int n, int connections)
{
	for (int i = 0; i < n; i++) {
		client *one = &clients[i];

		one->timeout_ms = 60000;
		if (i == 0)
			one->channel = pair->channel;
		else if (i < connections)
			one->channel = farcall_channel_open(test_pair_address(pair));
		else
			one->channel = clients[i % connections].channel;
		assert_int_equal(uv_thread_create(&one->thread, call_wait, one), 0);
		test_wait_for(&pair->n_waiting, i + 1);
	}
}

static void
close_channels(client *clients, int connections)
{
	for (int i = 1; i < connections; i++)
		farcall_channel_close(clients[i].channel);
}

static void
end_waits(client *clients, int n, farcall_code code)
{
	for (int i = 0; i < n; i++) {
		uv_thread_join(&clients[i].thread);
		assert_int_equal(clients[i].code, code);
	}
}

static void
probe_all(farcall_channel **probes, unsigned n, farcall_code code)
{
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(test_echo(probes[i], "one more"), code);
}

/* The limit is 5 (of the server, or of the service): the 6th is refused on whatever loop it comes,
 * and there is room for exactly one more when one has ended. */
static void
limit_calls(unsigned loops, int connections, bool of_service)
{
	farcall_channel *probes[8];
	client clients[6] = {{0}};
	test_pair pair;

	test_pair_init(&pair, "127.0.0.1:0");
	if (of_service)
		farcall_service_set_max_calls(pair.service, 5);
	else
		farcall_server_set_max_calls(pair.server, 5);
	start_with(&pair, loops);
	begin_waits(&pair, clients, 5, connections);
	for (unsigned i = 0; i < loops; i++)
		probes[i] = farcall_channel_open(test_pair_address(&pair));
	probe_all(probes, loops, FARCALL_RESOURCE_EXHAUSTED);
	farcall_call_complete(pair.waiting[4], FARCALL_OK);
	end_waits(clients + 4, 1, FARCALL_OK);
	probe_all(probes, loops, FARCALL_OK);
	clients[5] = (client){.channel = probes[loops - 1], .timeout_ms = 60000};
	assert_int_equal(uv_thread_create(&clients[5].thread, call_wait, &clients[5]), 0);
	test_wait_for(&pair.n_waiting, 6);
	probe_all(probes, loops, FARCALL_RESOURCE_EXHAUSTED);
	for (int i = 0; i < 6; i++)
		if (i != 4)
			farcall_call_complete(pair.waiting[i], FARCALL_OK);
	end_waits(clients, 4, FARCALL_OK);
	end_waits(clients + 5, 1, FARCALL_OK);
	close_channels(clients, connections);
	for (unsigned i = 0; i < loops; i++)
		farcall_channel_close(probes[i]);
	test_pair_fini(&pair);
}

static void
the_limit_of_calls_is_the_servers(void **state)
{
	(void)state;
	limit_calls(1, 1, false);
	limit_calls(2, 1, false);
	limit_calls(4, 1, false);
	limit_calls(2, 3, false);
	limit_calls(4, 4, false);
	limit_calls(8, 4, false); /* fewer calls than loops: some own nothing of the limit */
}

static void
the_limit_of_a_service_is_the_servers(void **state)
{
	(void)state;
	limit_calls(1, 1, true);
	limit_calls(2, 1, true);
	limit_calls(4, 4, true);
}

static void
limit_connections(unsigned loops)
{
	farcall_channel *channels[4];
	test_pair pair;

	test_pair_init(&pair, "127.0.0.1:0");
	farcall_server_set_max_connections(pair.server, 3);
	start_with(&pair, loops);
	channels[0] = pair.channel;
	for (int i = 1; i < 4; i++)
		channels[i] = farcall_channel_open(test_pair_address(&pair));
	for (int round = 0; round < 3; round++) {
		Pair__Message request = PAIR__MESSAGE__INIT;
		const Pair__Message *reply = NULL;
		farcall_call *call;

		for (int i = 0; i < 3; i++)
			assert_int_equal(test_echo(channels[i], "within"), FARCALL_OK);
		call = farcall_call_new(channels[3]);
		farcall_call_set_timeout_ms(call, 100);
		assert_int_equal(pair_test_echo(call, &request, &reply), FARCALL_DEADLINE_EXCEEDED);
		farcall_call_free(call);
		farcall_channel_close(channels[round % 3]);
		assert_int_equal(test_echo(channels[3], "now there is room"), FARCALL_OK);
		channels[round % 3] = channels[3];
		channels[3] = farcall_channel_open(test_pair_address(&pair));
	}
	pair.channel = channels[0];
	for (int i = 1; i < 4; i++)
		farcall_channel_close(channels[i]);
	test_pair_fini(&pair);
}

static void
the_limit_of_connections_is_the_servers(void **state)
{
	(void)state;
	if (test_chopped())
		skip();
	limit_connections(1);
	limit_connections(2);
	limit_connections(4);
}

/* ---- completion and stopping ---- */

static void
complete_half(void *data)
{
	test_pair *pair = (test_pair *)data;
	static atomic_int next;
	int i;

	while ((i = atomic_fetch_add(&next, 1)) < 8)
		farcall_call_complete(pair->waiting[i], FARCALL_OK);
}

static void
threads_complete_calls_of_each_loop(void **state)
{
	client clients[8] = {{0}};
	uv_thread_t threads[2];
	test_pair pair;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	start_with(&pair, 4);
	begin_waits(&pair, clients, 8, 4);
	for (int i = 0; i < 2; i++)
		assert_int_equal(uv_thread_create(&threads[i], complete_half, &pair), 0);
	for (int i = 0; i < 2; i++)
		uv_thread_join(&threads[i]);
	end_waits(clients, 8, FARCALL_OK);
	close_channels(clients, 4);
	test_pair_fini(&pair);
}

static void
calls_in_flight_end_within_the_grace(void **state)
{
	client clients[8] = {{0}};
	test_pair pair;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	start_with(&pair, 4);
	begin_waits(&pair, clients, 8, 8);
	farcall_server_stop(pair.server, 30000);
	uv_sleep(20);
	assert_false(farcall_server_stopped(pair.server));
	for (int i = 0; i < 8; i++)
		farcall_call_complete(pair.waiting[i], FARCALL_OK);
	assert_int_equal(farcall_server_wait(pair.server), FARCALL_OK);
	assert_true(farcall_server_stopped(pair.server));
	end_waits(clients, 8, FARCALL_OK);
	close_channels(clients, 8);
	test_pair_fini(&pair);
}

/* The grace is made shorter while only one of the loops still has a call. */
static void
a_later_stop_reaches_each_loop(void **state)
{
	client clients[4] = {{0}};
	test_pair pair;

	(void)state;
	for (int last = 0; last < 4; last++) {
		test_pair_init(&pair, "127.0.0.1:0");
		start_with(&pair, 4);
		begin_waits(&pair, clients, 4, 4);
		farcall_server_stop(pair.server, 600000);
		for (int i = 0; i < 4; i++)
			if (i != last)
				farcall_call_complete(pair.waiting[i], FARCALL_OK);
		uv_sleep(20);
		assert_false(farcall_server_stopped(pair.server));
		farcall_server_stop(pair.server, 0);
		assert_int_equal(farcall_server_wait(pair.server), FARCALL_OK);
		for (int i = 0; i < 4; i++)
			end_waits(clients + i, 1, i == last ? FARCALL_UNAVAILABLE : FARCALL_OK);
		assert_int_equal(atomic_load(&pair.n_cancelled), 1);
		farcall_call_complete(pair.waiting[last], FARCALL_OK);
		close_channels(clients, 4);
		test_pair_fini(&pair);
	}
}

/* Pending calls outlive the server that is freed. */
static void
a_call_may_be_completed_after_the_server(void **state)
{
	client clients[4] = {{0}};
	test_pair pair;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	start_with(&pair, 2);
	begin_waits(&pair, clients, 4, 4);
	farcall_server_free(pair.server);
	end_waits(clients, 4, FARCALL_UNAVAILABLE);
	for (int i = 0; i < 4; i++)
		farcall_call_complete(pair.waiting[i], FARCALL_OK);
	close_channels(clients, 4);
	farcall_channel_close(pair.channel);
}

static void
run_listen(void *data)
{
	farcall_server_listen(((test_pair *)data)->server);
}

static void
listen_runs_the_first_loop(void **state)
{
	client clients[4] = {{0}};
	uv_thread_t thread;
	test_pair pair;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	farcall_server_set_loops(pair.server, 2);
	assert_int_equal(uv_thread_create(&thread, run_listen, &pair), 0);
	pair.channel = farcall_channel_open(test_pair_address(&pair));
	begin_waits(&pair, clients, 4, 4);
	farcall_server_stop(pair.server, 0);
	uv_thread_join(&thread);
	assert_true(farcall_server_stopped(pair.server));
	end_waits(clients, 4, FARCALL_UNAVAILABLE);
	for (int i = 0; i < 4; i++)
		farcall_call_complete(pair.waiting[i], FARCALL_OK);
	close_channels(clients, 4);
	test_pair_fini(&pair);
}

/* ---- set-up ---- */

static void
expect_start(test_pair *pair, farcall_code code, const char *error)
{
	assert_int_equal(farcall_server_start(pair->server), code);
	assert_string_equal(farcall_server_error(pair->server), error);
	farcall_server_free(pair->server);
}

static void
the_number_of_loops_is_checked(void **state)
{
	farcall_loop *loop = farcall_loop_new();
	test_pair pair;

	(void)state;
	farcall_server_set_loops(NULL, 2);
	test_pair_init(&pair, "mem:loops");
	farcall_server_set_loops(pair.server, 0);
	expect_start(&pair, FARCALL_INVALID_ARGUMENT, "loops: 0 is not within 1 and 256");
	test_pair_init(&pair, "mem:loops");
	farcall_server_set_loops(pair.server, 256);
	assert_int_equal(farcall_server_code(pair.server), FARCALL_OK);
	farcall_server_set_loops(pair.server, 257);
	expect_start(&pair, FARCALL_INVALID_ARGUMENT, "loops: 257 is not within 1 and 256");
	test_pair_init(&pair, "mem:loops");
	farcall_server_set_loop(pair.server, loop);
	farcall_server_set_loops(pair.server, 2);
	expect_start(
	    &pair, FARCALL_FAILED_PRECONDITION, "start: 2 loops, but the program has lent one");
	test_pair_init(&pair, "mem:loops");
	farcall_server_set_serial(pair.server, true);
	farcall_server_set_loops(pair.server, 2);
	expect_start(
	    &pair, FARCALL_FAILED_PRECONDITION, "start: 2 loops, but a serial server has one");
	farcall_loop_free(loop);
}

static int
free_below(int most)
{
	int n = 0;

	for (int fd = 0; fd < most; fd++)
		n += fcntl(fd, F_GETFD) < 0;
	return n;
}

/* Without descriptors for all loops the start fails, and leaves nothing behind. A loop takes four:
 * a number that leaves a part of one open would show what libuv forgets when it fails half-way. */
static void
loops_that_cannot_be_had_fail_the_start(void **state)
{
	struct rlimit before, few;
	test_pair pair;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = before;
	test_pair_init(&pair, "127.0.0.1:0");
	few.rlim_cur = 100;
	while (free_below((int)few.rlim_cur) % 4 != 0)
		few.rlim_cur++;
	farcall_server_set_loops(pair.server, 64);
	setrlimit(RLIMIT_NOFILE, &few);
	assert_int_equal(farcall_server_start(pair.server), FARCALL_RESOURCE_EXHAUSTED);
	assert_int_equal(farcall_server_cause(pair.server), FARCALL_CAUSE_TOO_MANY_FILES);
	farcall_server_free(pair.server);
	setrlimit(RLIMIT_NOFILE, &before);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(calls_of_many_connections_add_up),
	    clean_test(connections_are_spread_evenly),
	    clean_test(the_limit_of_calls_is_the_servers),
	    clean_test(the_limit_of_a_service_is_the_servers),
	    clean_test(the_limit_of_connections_is_the_servers),
	    clean_test(threads_complete_calls_of_each_loop),
	    clean_test(calls_in_flight_end_within_the_grace),
	    clean_test(a_later_stop_reaches_each_loop),
	    clean_test(a_call_may_be_completed_after_the_server),
	    clean_test(listen_runs_the_first_loop),
	    clean_test(the_number_of_loops_is_checked),
	    clean_test(loops_that_cannot_be_had_fail_the_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
