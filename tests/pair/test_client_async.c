/*
 * test_client_async.c: calls with callbacks, in the channel's own thread: when and where `done`
 * comes, cancelling, letting go and closing with calls in flight, and blocking calls beside them.
 */
#include "tests/support/pair.h"

#include <stdio.h>
#include <stdlib.h>

#include <uv.h>

/* After a channel with a thread was closed: the thread ends by itself. */
static void
settle(void)
{
	for (int i = 0; i < 10000 && test_allocator_live() != 0; i++)
		uv_sleep(1);
}

typedef struct outcome {
	atomic_int times;
	farcall_code code;
	farcall_cause cause;
	bool replied, foreign; /* foreign: not in the thread that made the call */
	uv_thread_t maker;
	void (*then)(farcall_call *call, struct outcome *to);
	farcall_channel *channel;
	int left;
} outcome;

static void
note(farcall_call *call, farcall_code code, const Pair__Message *reply, void *data)
{
	outcome *to = (outcome *)data;
	uv_thread_t self = uv_thread_self();

	to->code = code;
	to->cause = farcall_call_cause(call);
	to->replied = reply != NULL;
	to->foreign = !uv_thread_equal(&self, &to->maker);
	if (to->then != NULL)
		to->then(call, to);
	atomic_fetch_add(&to->times, 1);
}

static void
prepare(outcome *to)
{
	memset(to, 0, sizeof *to);
	to->maker = uv_thread_self();
}

static void
free_it(farcall_call *call, outcome *to)
{
	(void)to;
	farcall_call_free(call);
}

typedef void async_stub(farcall_call *call, const Pair__Message *request,
    void (*done)(farcall_call *, farcall_code, const Pair__Message *, void *), void *data);

static farcall_call *
start(farcall_channel *channel, async_stub *stub, outcome *to)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_call *call = farcall_call_new(channel);
	char text[] = "packed at once";

	farcall_call_set_timeout_ms(call, 60000);
	request.text = text;
	stub(call, &request, note, to);
	memset(text, 'x', sizeof text - 1);
	return call;
}

/* ---- where and how often ---- */

static void
done_comes_once_in_a_thread_of_the_channels(void **state)
{
	farcall_call *call;
	test_pair pair;
	outcome to;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	test_pair_start(&pair);
	prepare(&to);
	call = start(pair.channel, pair_test_echo__async, &to);
	test_wait_for(&to.times, 1);
	assert_int_equal(to.code, FARCALL_OK);
	assert_true(to.replied);
	assert_true(to.foreign);
	uv_sleep(5);
	assert_int_equal(atomic_load(&to.times), 1);
	farcall_call_cancel(call); /* too late to matter */
	farcall_call_free(call);
	test_pair_fini(&pair);
	settle();
}

static void
failures_known_at_the_start_come_the_same_way(void **state)
{
	farcall_call *call;
	test_pair pair;
	outcome to;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	test_pair_start(&pair);
	prepare(&to);
	call = farcall_call_new(pair.channel);
	farcall_call_add_metadata(call, "Bad", "key");
	pair_test_echo__async(call, &(Pair__Message)PAIR__MESSAGE__INIT, note, &to);
	test_wait_for(&to.times, 1);
	assert_int_equal(to.code, FARCALL_INVALID_ARGUMENT);
	assert_true(to.foreign);
	farcall_call_free(call);

	prepare(&to);
	call = farcall_call_new(pair.channel);
	farcall_call_set_timeout_ms(call, 0);
	pair_test_echo__async(call, &(Pair__Message)PAIR__MESSAGE__INIT, note, &to);
	test_wait_for(&to.times, 1);
	assert_int_equal(to.code, FARCALL_DEADLINE_EXCEEDED);
	farcall_call_free(call);
	test_pair_fini(&pair);
	settle();
}

static void
what_cannot_begin_is_told_at_once(void **state)
{
	farcall_channel *channel;
	farcall_call *call;
	outcome to;

	(void)state;
	prepare(&to);
	pair_test_echo__async(NULL, &(Pair__Message)PAIR__MESSAGE__INIT, note, &to);
	assert_int_equal(atomic_load(&to.times), 1);
	assert_int_equal(to.code, FARCALL_FAILED_PRECONDITION);

	channel = farcall_channel_open("mem:nobody");
	call = farcall_call_new(channel);
	farcall_channel_close(channel);
	prepare(&to);
	pair_test_echo__async(call, &(Pair__Message)PAIR__MESSAGE__INIT, note, &to);
	assert_int_equal(atomic_load(&to.times), 1);
	assert_int_equal(to.code, FARCALL_CANCELLED);
	assert_int_equal(to.cause, FARCALL_CAUSE_SHUTDOWN);
	farcall_call_free(call);
}

/* By the thread that has made it: nothing, or the whole of it. */
static void
a_call_may_be_looked_at_under_way(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	test_pair pair;
	outcome to;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	test_pair_start(&pair);
	request.number = FARCALL_NOT_FOUND;
	request.text = "no such row";
	for (int i = 0; i < 200; i++) {
		farcall_call *call = farcall_call_new(pair.channel);

		prepare(&to);
		farcall_call_set_timeout_ms(call, 60000);
		pair_test_fail__async(call, &request, note, &to);
		while (farcall_call_code(call) == FARCALL_OK) {
			farcall_metadata_get(farcall_call_metadata(call), "any");
			farcall_metadata_get(farcall_call_trailers(call), "any");
			assert_in_range(strlen(farcall_call_peer(call)), 0, 50);
			assert_in_range(farcall_call_remaining_ms(call), 1, 60001);
		}
		assert_string_equal(farcall_call_error(call), "NOT_FOUND: no such row");
		assert_string_equal(farcall_call_status_message(call), "no such row");
		assert_int_equal(farcall_call_cause(call), FARCALL_CAUSE_NONE);
		assert_string_equal(farcall_call_peer(call), test_pair_address(&pair));
		test_wait_for(&to.times, 1);
		farcall_call_free(call);
	}
	test_pair_fini(&pair);
	settle();
}

/* ---- cancel, free, close ---- */

static void
a_call_can_be_cancelled_in_flight(void **state)
{
	farcall_call *call;
	test_pair pair;
	outcome to;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	test_pair_start(&pair);
	prepare(&to);
	call = start(pair.channel, pair_test_wait__async, &to);
	test_wait_for(&pair.n_waiting, 1);
	farcall_call_cancel(call);
	test_wait_for(&to.times, 1);
	assert_int_equal(to.code, FARCALL_CANCELLED);
	test_wait_for(&pair.n_cancelled, 1);
	farcall_call_free(call);
	farcall_call_complete(pair.waiting[0], FARCALL_OK);
	test_pair_fini(&pair);
	settle();
	assert_int_equal(atomic_load(&to.times), 1);
}

static void
a_call_can_be_freed_in_flight(void **state)
{
	farcall_call *call;
	test_pair pair;
	outcome to;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	test_pair_start(&pair);
	prepare(&to);
	call = start(pair.channel, pair_test_wait__async, &to);
	farcall_call_hold(call);
	test_wait_for(&pair.n_waiting, 1);
	farcall_call_free(call); /* there is another holder: it goes on */
	uv_sleep(20);
	assert_int_equal(atomic_load(&to.times), 0);
	farcall_call_free(call);
	test_wait_for(&to.times, 1);
	assert_int_equal(to.code, FARCALL_CANCELLED);
	test_wait_for(&pair.n_cancelled, 1);
	farcall_call_complete(pair.waiting[0], FARCALL_OK);

	prepare(&to); /* at once: before the thread has seen it */
	farcall_call_free(start(pair.channel, pair_test_echo__async, &to));
	test_wait_for(&to.times, 1);
	assert_int_equal(to.code, FARCALL_CANCELLED);
	test_pair_fini(&pair);
	settle();
}

static void
closing_ends_all_with_cancelled(void **state)
{
	enum { CALLS = 20 };
	outcome to[CALLS];
	test_pair pair;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	test_pair_start(&pair);
	for (int i = 0; i < CALLS; i++) {
		prepare(&to[i]);
		to[i].then = free_it;
		start(pair.channel, pair_test_wait__async, &to[i]);
	}
	test_wait_for(&pair.n_waiting, CALLS);
	farcall_channel_close(pair.channel);
	for (int i = 0; i < CALLS; i++) {
		test_wait_for(&to[i].times, 1);
		assert_int_equal(to[i].code, FARCALL_CANCELLED);
		assert_int_equal(to[i].cause, FARCALL_CAUSE_SHUTDOWN);
		assert_true(to[i].foreign);
	}
	test_wait_for(&pair.n_cancelled, CALLS);
	for (int i = 0; i < CALLS; i++)
		farcall_call_complete(pair.waiting[i], FARCALL_OK);
	pair.channel = NULL;
	test_pair_fini(&pair);
	settle();
}

static void
close_in_it(farcall_call *call, outcome *to)
{
	farcall_channel_close(to->channel);
	farcall_call_free(call);
}

static void
a_callback_may_close_the_channel(void **state)
{
	outcome first, second;
	test_pair pair;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	test_pair_start(&pair);
	prepare(&first);
	prepare(&second);
	second.then = free_it;
	start(pair.channel, pair_test_wait__async, &second);
	test_wait_for(&pair.n_waiting, 1);
	first.then = close_in_it;
	first.channel = pair.channel;
	start(pair.channel, pair_test_echo__async, &first);
	test_wait_for(&first.times, 1);
	test_wait_for(&second.times, 1);
	assert_int_equal(first.code, FARCALL_OK);
	assert_int_equal(second.code, FARCALL_CANCELLED);
	test_wait_for(&pair.n_cancelled, 1);
	farcall_call_complete(pair.waiting[0], FARCALL_OK);
	pair.channel = NULL;
	test_pair_fini(&pair);
	settle();
}

static void
block_in_it(farcall_call *call, outcome *to)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_call *inner = farcall_call_new(to->channel);

	to->left = pair_test_echo(inner, &request, NULL);
	assert_int_equal(
	    farcall_channel_wait_ready(to->channel, 1000), FARCALL_FAILED_PRECONDITION);
	farcall_call_free(inner);
	farcall_call_free(call);
}

static void
a_callback_may_not_block_on_its_own_channel(void **state)
{
	test_pair pair;
	outcome to;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	test_pair_start(&pair);
	prepare(&to);
	to.then = block_in_it;
	to.channel = pair.channel;
	start(pair.channel, pair_test_echo__async, &to);
	test_wait_for(&to.times, 1);
	assert_int_equal(to.left, FARCALL_FAILED_PRECONDITION);
	test_pair_fini(&pair);
	settle();
}

static void
start_next(farcall_call *call, outcome *to)
{
	farcall_call_free(call);
	if (to->left-- > 0)
		start(to->channel, pair_test_echo__async, to);
}

static void
a_callback_may_start_the_next_call(void **state)
{
	test_pair pair;
	outcome to;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	test_pair_start(&pair);
	prepare(&to);
	to.then = start_next;
	to.channel = pair.channel;
	to.left = 200;
	start(pair.channel, pair_test_echo__async, &to);
	test_wait_for(&to.times, 201);
	assert_int_equal(to.code, FARCALL_OK);
	test_pair_fini(&pair);
	settle();
}

/* ---- many ---- */

typedef struct mixed {
	farcall_channel *channel;
	outcome to;
	int good;
	uv_thread_t thread;
} mixed;

static void
call_both_ways(void *data)
{
	mixed *m = (mixed *)data;

	prepare(&m->to);
	m->to.then = free_it;
	for (int i = 0; i < 100; i++) {
		m->good += test_echo(m->channel, "blocking") == FARCALL_OK;
		start(m->channel, pair_test_echo__async, &m->to);
	}
}

static void
blocking_and_async_calls_mix(void **state)
{
	mixed all[4];
	test_pair pair;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	test_pair_start(&pair);
	for (int i = 0; i < 4; i++) {
		all[i] = (mixed){.channel = pair.channel};
		uv_thread_create(&all[i].thread, call_both_ways, &all[i]);
	}
	for (int i = 0; i < 4; i++) {
		uv_thread_join(&all[i].thread);
		assert_int_equal(all[i].good, 100);
		test_wait_for(&all[i].to.times, 100);
		assert_int_equal(all[i].to.code, FARCALL_OK);
	}
	test_pair_fini(&pair);
	settle();
}

static void
wait_in_thread(void *data)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	mixed *m = (mixed *)data;
	farcall_call *call = farcall_call_new(m->channel);

	m->good = pair_test_wait(call, &request, NULL);
	farcall_call_free(call);
}

/* A blocking call drives when the first async one comes: the thread takes over from it. */
static void
the_thread_takes_over_from_a_driver(void **state)
{
	test_pair pair;
	mixed blocked;
	outcome to;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	test_pair_start(&pair);
	blocked = (mixed){.channel = pair.channel, .good = -1};
	uv_thread_create(&blocked.thread, wait_in_thread, &blocked);
	test_wait_for(&pair.n_waiting, 1);
	prepare(&to);
	to.then = free_it;
	start(pair.channel, pair_test_echo__async, &to);
	test_wait_for(&to.times, 1);
	assert_int_equal(to.code, FARCALL_OK);
	assert_int_equal(blocked.good, -1);
	farcall_call_complete(pair.waiting[0], FARCALL_OK);
	uv_thread_join(&blocked.thread);
	assert_int_equal(blocked.good, FARCALL_OK);
	test_pair_fini(&pair);
	settle();
}

/* Closed at any moment of a call's life, by its maker. */
static void
closing_at_any_moment_loses_no_callback(void **state)
{
	outcome to[8];
	test_pair pair;

	(void)state;
	for (int round = 0; round < 60; round++) {
		test_pair_init(&pair, "mem:any-moment");
		test_pair_start(&pair);
		for (int i = 0; i < 8; i++) {
			prepare(&to[i]);
			to[i].then = free_it;
			start(pair.channel, pair_test_echo__async, &to[i]);
		}
		for (volatile int spin = 0; spin < round * 2000; spin++)
			;
		farcall_channel_close(pair.channel);
		for (int i = 0; i < 8; i++) {
			test_wait_for(&to[i].times, 1);
			assert_true(to[i].code == FARCALL_OK || to[i].code == FARCALL_CANCELLED);
		}
		pair.channel = NULL;
		test_pair_fini(&pair);
	}
	settle();
	for (int i = 0; i < 8; i++)
		assert_int_equal(atomic_load(&to[i].times), 1);
}

static void
warm_async_calls_allocate_nothing(void **state)
{
	size_t before;
	test_pair pair;
	outcome to;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	farcall_service_set_blocking(pair.service, "Echo", false); /* else it might be learned */
	test_pair_start(&pair);
	prepare(&to);
	to.then = free_it;
	for (int i = 0; i < 200; i += 4) { /* a few at a time: as many objects as may overlap */
		for (int j = 0; j < 4; j++)
			start(pair.channel, pair_test_echo__async, &to);
		test_wait_for(&to.times, i + 4);
	}
	before = test_allocator_calls();
	for (int i = 200; i < 1200; i++) {
		start(pair.channel, pair_test_echo__async, &to);
		while (atomic_load(&to.times) <= i)
			uv_sleep(0);
	}
	assert_int_equal(test_allocator_calls() - before, 0);
	test_pair_fini(&pair);
	settle();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(done_comes_once_in_a_thread_of_the_channels),
	    clean_test(failures_known_at_the_start_come_the_same_way),
	    clean_test(what_cannot_begin_is_told_at_once),
	    clean_test(a_call_may_be_looked_at_under_way),
	    clean_test(a_call_can_be_cancelled_in_flight),
	    clean_test(a_call_can_be_freed_in_flight),
	    clean_test(closing_ends_all_with_cancelled),
	    clean_test(a_callback_may_close_the_channel),
	    clean_test(a_callback_may_not_block_on_its_own_channel),
	    clean_test(a_callback_may_start_the_next_call),
	    clean_test(blocking_and_async_calls_mix),
	    clean_test(the_thread_takes_over_from_a_driver),
	    clean_test(closing_at_any_moment_loses_no_callback),
	    clean_test(warm_async_calls_allocate_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
