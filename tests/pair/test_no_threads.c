/*
 * test_no_threads.c: a channel has no thread before it needs one: who blocks drives. The first
 * callback, of a call or of the channel's state, starts one, and it goes with the channel.
 */
#include "tests/support/pair.h"

#include <sys/stat.h>

#include <uv.h>

/* Of this process; 0: this system does not tell. By the links of a directory, each thread's being
 * one: nothing is opened, so no descriptor's number comes back while a loop is being closed. */
static int
threads(void)
{
	struct stat task;

	if (stat("/proc/self/task", &task) != 0 || task.st_nlink < 3)
		return 0;
	return (int)task.st_nlink - 2;
}

/* A thread that has left is seen for a moment longer. */
static void
expect_threads(int n)
{
	for (int i = 0; i < 10000 && threads() != n; i++)
		uv_sleep(1);
	assert_int_equal(threads(), n);
}

/* A serial server has one thread, so that those of channels can be counted. The first time no
 * thread has ended before, of which the system may still show something. */
static int
begin(test_pair *pair)
{
	static int usual;

	test_pair_init(pair, "127.0.0.1:0");
	farcall_server_set_serial(pair->server, true);
	test_pair_start(pair);
	assert_int_equal(test_echo(pair->channel, "all is there"), FARCALL_OK);
	if (usual == 0)
		usual = threads();
	else
		expect_threads(usual);
	return usual;
}

static void
count(farcall_call *call, farcall_code code, const Pair__Message *reply, void *data)
{
	assert_int_equal(code, FARCALL_OK);
	assert_non_null(reply);
	atomic_fetch_add((atomic_int *)data, 1);
	farcall_call_free(call);
}

static void
blocking_calls_start_none(void **state)
{
	test_pair pair;
	int before;

	(void)state;
	before = begin(&pair);
	if (before == 0)
		skip();
	for (int i = 0; i < 100; i++) {
		farcall_channel *channel = farcall_channel_open(test_pair_address(&pair));

		assert_int_equal(farcall_channel_wait_ready(channel, 10000), FARCALL_OK);
		assert_int_equal(test_echo(channel, "by myself"), FARCALL_OK);
		assert_int_equal(test_echo(pair.channel, "by myself"), FARCALL_OK);
		assert_int_equal(threads(), before);
		farcall_channel_close(channel);
		assert_int_equal(threads(), before);
	}
	test_pair_fini(&pair);
}

static void
the_first_async_call_starts_one(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	atomic_int n = 0;
	test_pair pair;
	int before;

	(void)state;
	before = begin(&pair);
	if (before == 0)
		skip();
	for (int i = 1; i <= 10; i++) {
		pair_test_echo__async(farcall_call_new(pair.channel), &request, count, &n);
		test_wait_for(&n, i);
		assert_int_equal(test_echo(pair.channel, "both ways"), FARCALL_OK);
		assert_int_equal(threads(), before + 1);
	}
	farcall_channel_close(pair.channel);
	expect_threads(before);
	pair.channel = farcall_channel_open(test_pair_address(&pair));
	test_pair_fini(&pair);
}

static void
note_state(farcall_channel *channel, farcall_state now, void *data)
{
	(void)channel;
	if (now == FARCALL_SHUTDOWN)
		atomic_fetch_add((atomic_int *)data, 1);
}

static void
whoever_is_told_of_states_needs_one(void **state)
{
	farcall_channel *channel;
	atomic_int over = 0;
	test_pair pair;
	int before;

	(void)state;
	before = begin(&pair);
	if (before == 0)
		skip();
	channel = farcall_channel_open(test_pair_address(&pair));
	farcall_channel_on_state(channel, note_state, &over);
	assert_int_equal(test_echo(channel, "watched"), FARCALL_OK);
	assert_int_equal(threads(), before + 1);
	farcall_channel_close(channel);
	test_wait_for(&over, 1);
	expect_threads(before);
	test_pair_fini(&pair);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(blocking_calls_start_none),
	    clean_test(the_first_async_call_starts_one),
	    clean_test(whoever_is_told_of_states_needs_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
