/*
 * Peers that ask for much and take nothing: what a server holds for one connection is bounded, the
 * handlers of the calls beyond wait, and go on, or end, as what is held goes. And peers that begin
 * requests and do not end them: these take nobody's room.
 */
#include "tests/pair/raw_peer.h"

#include <stdio.h>
#include <unistd.h>

#include <uv.h>

#define ANSWER (8u << 20)
enum { CALLS = 20, RUN = 8 /* the answers that pass 64 MiB */ };

/* Makes CALLS calls; from the RUNth on with `timeout`. */
static void
ask_for_much(raw *r, const test_pair *pair, const char *timeout)
{
	greet(r, pair);
	for (uint32_t i = 0; i < CALLS; i++) {
		add_head(r, 2 * i + 1, "/pair.Test/Custom", i < RUN ? NULL : timeout);
		add_rest(r, 2 * i + 1);
	}
	flush(r);
}

/* Flushes, and returns when the server has taken all of it. */
static void
round_trip(raw *r)
{
	static unsigned count;
	char text[9], bytes[8192];
	size_t n = 0;
	bool back = false;

	snprintf(text, sizeof text, "trip%04u", ++count);
	add_frame(r, 6, 0, 0, text, 8);
	flush(r);
	while (!back) {
		ssize_t got = recv(r->fd, bytes + n, sizeof bytes - n, 0);

		assert_true(got > 0);
		n += (size_t)got;
		for (size_t i = 0; i + 8 <= n; i++)
			back = back || memcmp(bytes + i, text, 8) == 0;
	}
}

static farcall_code
answer_much(test_pair *pair, farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	(void)pair;
	(void)request;
	reply->data.len = ANSWER;
	reply->data.data = (uint8_t *)farcall_call_alloc(call, ANSWER);
	return FARCALL_OK;
}

static unsigned loops = 1;

/* In place, one after the other, so that the count is exact. With several loops the first one has a
 * connection, so that the peer's goes to another. */
static void
start(test_pair *pair)
{
	test_pair_init(pair, "127.0.0.1:0");
	farcall_service_set_blocking(pair->service, "Custom", false);
	pair->custom = answer_much;
	farcall_server_set_loops(pair->server, loops);
	test_pair_start(pair);
	if (loops > 1)
		assert_int_equal(test_echo(pair->channel, "first"), FARCALL_OK);
}

static void
reset(raw *r, uint32_t from, uint32_t to)
{
	static const uint8_t cancel[] = {0, 0, 0, 8};

	for (uint32_t i = from; i < to; i++)
		add_frame(r, 3, 0, 2 * i + 1, cancel, sizeof cancel);
	flush(r);
}

static void
answers_that_nobody_takes_hold_handlers_back(void **state)
{
	test_pair pair;
	raw r;

	(void)state;
	start(&pair);
	ask_for_much(&r, &pair, NULL);
	test_wait_for(&pair.n_handled, RUN);
	assert_int_equal(test_echo(pair.channel, "others go on"), FARCALL_OK);
	uv_sleep(50);
	assert_int_equal(atomic_load(&pair.n_handled), RUN);
	reset(&r, 0, 2); /* two that are held: two more run */
	test_wait_for(&pair.n_handled, RUN + 2);
	reset(&r, RUN + 2, RUN + 4); /* two that wait never run */
	reset(&r, 2, RUN + 2);
	test_wait_for(&pair.n_handled, CALLS - 2);
	uv_sleep(20);
	assert_int_equal(atomic_load(&pair.n_handled), CALLS - 2);
	close(r.fd);
	test_pair_fini(&pair);
}

static void
a_call_that_waits_may_expire(void **state)
{
	test_pair pair;
	raw r;

	(void)state;
	start(&pair);
	ask_for_much(&r, &pair, "20m");
	test_wait_for(&pair.n_handled, RUN);
	uv_sleep(60);
	round_trip(&r); /* since then their loop has turned */
	round_trip(&r);
	reset(&r, 0, RUN);
	assert_int_equal(test_echo(pair.channel, "others go on"), FARCALL_OK);
	uv_sleep(20);
	assert_int_equal(atomic_load(&pair.n_handled), RUN);
	close(r.fd);
	test_pair_fini(&pair);
}

static void
calls_that_wait_end_with_their_server(void **state)
{
	test_pair pair;
	raw r;

	(void)state;
	start(&pair);
	ask_for_much(&r, &pair, NULL);
	test_wait_for(&pair.n_handled, RUN);
	test_pair_fini(&pair);
	assert_int_equal(atomic_load(&pair.n_handled), RUN);
	close(r.fd);
}

static farcall_code
answer_nothing(
    test_pair *pair, farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	(void)pair;
	(void)call;
	*reply = *request;
	return FARCALL_OK;
}

/* A call counts when its request is whole: not before, and from then on. */
static void
requests_that_do_not_end_take_no_room(void **state)
{
	test_pair pair;
	raw r;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	farcall_service_set_blocking(pair.service, "Custom", false);
	farcall_service_set_max_calls(pair.service, 2);
	farcall_server_set_loops(pair.server, loops);
	pair.custom = answer_nothing;
	test_pair_start(&pair);
	greet(&r, &pair);
	for (uint32_t id = 1; id <= 9; id += 2)
		add_head(&r, id, id <= 3 ? "/pair.Test/Wait" : "/pair.Test/Custom", NULL);
	round_trip(&r);
	assert_int_equal(test_echo(pair.channel, "there is room"), FARCALL_OK);
	add_rest(&r, 1);
	add_rest(&r, 3);
	flush(&r);
	test_wait_for(&pair.n_waiting, 2);
	add_rest(&r, 5); /* the third */
	round_trip(&r);
	assert_int_equal(atomic_load(&pair.n_handled), 0);
	assert_int_equal(test_echo(pair.channel, "no room"), FARCALL_RESOURCE_EXHAUSTED);
	farcall_call_complete(pair.waiting[0], FARCALL_OK);
	for (int i = 0; i < 1000 && test_echo(pair.channel, "room") != FARCALL_OK; i++)
		uv_sleep(1);
	add_rest(&r, 7);
	flush(&r);
	test_wait_for(&pair.n_handled, 1);
	farcall_call_complete(pair.waiting[1], FARCALL_OK);
	close(r.fd);
	test_pair_fini(&pair);
}

/* On other threads each may be at one more answer when the limit is reached; then all wait. */
static void
handlers_on_other_threads_are_held_back(void **state)
{
	enum { THREADS = 4, WORK = THREADS - 2 };
	test_pair pair;
	raw r;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	farcall_service_set_blocking(pair.service, "Custom", true);
	farcall_server_set_handler_threads(pair.server, THREADS);
	pair.custom = answer_much;
	test_pair_start(&pair);
	ask_for_much(&r, &pair, NULL);
	test_wait_for(&pair.n_handled, RUN);
	assert_int_equal(test_echo(pair.channel, "others go on"), FARCALL_OK);
	uv_sleep(100);
	assert_in_range(atomic_load(&pair.n_handled), RUN, RUN + WORK);
	reset(&r, 0, CALLS);
	assert_int_equal(test_echo(pair.channel, "others go on"), FARCALL_OK);
	close(r.fd);
	test_pair_fini(&pair);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(answers_that_nobody_takes_hold_handlers_back),
	    clean_test(a_call_that_waits_may_expire),
	    clean_test(requests_that_do_not_end_take_no_room),
	    clean_test(calls_that_wait_end_with_their_server),
	    clean_test(handlers_on_other_threads_are_held_back),
	};

	int failed = cmocka_run_group_tests_name("one loop", tests, NULL, NULL);

	loops = 2;
	return failed + cmocka_run_group_tests_name("two loops", tests, NULL, NULL);
}
