/*
 * test_crowd.c: more than a server takes: connections, calls of the whole server, descriptors. What
 * is there goes on, what is too much waits or is refused, and afterwards all is as before.
 */
#include "tests/support/pair.h"

#include <stdio.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

/* One Echo with little time; wait_for_ready, so that only time can end it. */
static farcall_code
try_echo(farcall_channel *channel, uint64_t ms)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_call *call = farcall_call_new(channel);
	farcall_code code;

	farcall_call_set_timeout_ms(call, ms);
	farcall_call_set_wait_for_ready(call, true);
	code = pair_test_echo(call, &request, NULL);
	farcall_call_free(call);
	return code;
}

static void
connections_past_the_limit_wait(void **state)
{
	farcall_channel *channels[3];
	test_pair pair;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	farcall_server_set_max_connections(pair.server, 3);
	test_pair_start(&pair);
	assert_int_equal(test_echo(pair.channel, "first"), FARCALL_OK);
	for (int i = 0; i < 3; i++)
		channels[i] = farcall_channel_open(test_pair_address(&pair));
	for (int i = 0; i < 2; i++)
		assert_int_equal(test_echo(channels[i], "at the limit"), FARCALL_OK);
	assert_int_equal(try_echo(channels[2], 150), FARCALL_DEADLINE_EXCEEDED);
	assert_int_equal(test_echo(pair.channel, "not disturbed"), FARCALL_OK);
	assert_int_equal(test_echo(channels[1], "nor this"), FARCALL_OK);
	farcall_channel_close(channels[0]);
	assert_int_equal(try_echo(channels[2], 10000), FARCALL_OK);
	channels[0] = farcall_channel_open(test_pair_address(&pair));
	assert_int_equal(try_echo(channels[0], 150), FARCALL_DEADLINE_EXCEEDED);
	for (int i = 0; i < 3; i++)
		farcall_channel_close(channels[i]);
	test_pair_fini(&pair);
}

static void
count_end(farcall_call *call, farcall_code code, const Pair__Message *reply, void *data)
{
	(void)reply;
	if (code == FARCALL_OK)
		atomic_fetch_add((atomic_int *)data, 1);
	farcall_call_free(call);
}

/* The limit is the server's, not the connection's: one connection is told how many calls it may
 * have and queues the others; those of another connection are refused. */
static void
calls_of_all_connections_count(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_channel *other;
	atomic_int good = 0;
	test_pair pair;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	farcall_server_set_max_calls(pair.server, 3);
	test_pair_start(&pair);
	other = farcall_channel_open(test_pair_address(&pair));
	assert_int_equal(test_echo(other, "before"), FARCALL_OK);
	for (int i = 0; i < 2; i++)
		pair_test_wait__async(farcall_call_new(pair.channel), &request, count_end, &good);
	test_wait_for(&pair.n_waiting, 2);
	assert_int_equal(test_echo(other, "at the limit"), FARCALL_OK);
	pair_test_wait__async(farcall_call_new(pair.channel), &request, count_end, &good);
	test_wait_for(&pair.n_waiting, 3);
	pair_test_wait__async(farcall_call_new(pair.channel), &request, count_end, &good);
	assert_int_equal(test_echo(other, "past it"), FARCALL_RESOURCE_EXHAUSTED);
	assert_int_equal(atomic_load(&pair.n_waiting), 3); /* the fourth is in the client's queue */
	farcall_call_complete(pair.waiting[0], FARCALL_OK);
	test_wait_for(&pair.n_waiting, 4);
	for (int i = 1; i < 4; i++)
		farcall_call_complete(pair.waiting[i], FARCALL_OK);
	test_wait_for(&good, 4);
	assert_int_equal(test_echo(other, "after"), FARCALL_OK);
	farcall_channel_close(other);
	test_pair_fini(&pair);
	for (int i = 0; i < 5000 && test_allocator_live() != 0; i++)
		uv_sleep(1);
}

/* ---- no descriptors ---- */

static uint64_t
cpu_ms(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000 +
	    (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000;
}

/* No new descriptor can be had: the lowest free number is past the limit. */
static void
take_all_descriptors(struct rlimit *before)
{
	struct rlimit few;
	int lowest = dup(0);

	assert_true(lowest > 0);
	close(lowest);
	getrlimit(RLIMIT_NOFILE, before);
	few = *before;
	few.rlim_cur = (rlim_t)lowest;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	assert_int_equal(dup(0), -1);
}

static void
no_descriptors_no_spinning(void **state)
{
	enum { KNOCKING = 16, MS = 600 };
	struct sockaddr_in to;
	struct rlimit before;
	int knocking[KNOCKING], calls = 0;
	uint64_t cpu, start, ms;
	test_pair pair;

	(void)state;
	test_log_catch();
	test_pair_init(&pair, "127.0.0.1:0");
	test_pair_start(&pair);
	assert_int_equal(test_echo(pair.channel, "before"), FARCALL_OK);
	memset(&to, 0, sizeof to);
	to.sin_family = AF_INET;
	to.sin_port = htons((uint16_t)farcall_endpoint_port(pair.endpoint));
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (int i = 0; i < KNOCKING; i++)
		knocking[i] = socket(AF_INET, SOCK_STREAM, 0);
	take_all_descriptors(&before);
	for (int i = 0; i < KNOCKING; i++)
		assert_int_equal(connect(knocking[i], (const struct sockaddr *)&to, sizeof to), 0);
	cpu = cpu_ms();
	start = uv_hrtime();
	for (; uv_hrtime() - start < MS * UINT64_C(1000000) || calls < 3; calls++) {
		assert_int_equal(test_echo(pair.channel, "goes on"), FARCALL_OK);
		uv_sleep(20);
	}
	cpu = cpu_ms() - cpu;
	ms = (uv_hrtime() - start) / 1000000;
	print_message(
	    "%d calls in %d ms, %u ms of processor time\n", calls, (int)ms, (unsigned)cpu);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_true(cpu < ms / 3); /* a loop that spins takes all of it */
	assert_in_range(test_log_count(), 1, 4 + ms / 1000);
	for (int i = 0; i < KNOCKING; i++)
		close(knocking[i]);
	farcall_channel_close(pair.channel);
	pair.channel = farcall_channel_open(test_pair_address(&pair));
	for (int i = 0; i < 100; i++)
		assert_int_equal(test_echo(pair.channel, "after"), FARCALL_OK);
	test_pair_fini(&pair);
	test_log_release();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(connections_past_the_limit_wait),
	    clean_test(calls_of_all_connections_count),
	    clean_test(no_descriptors_no_spinning),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
