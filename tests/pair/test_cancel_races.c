/*
 * test_cancel_races.c: cancel, in another thread, against everything else that can happen to a call
 * at the same moment: its start, its answer, its deadline, free, the channel's close. Each call has
 * exactly one final status. Made for the thread sanitizer. FARCALL_TEST_ROUNDS=n: n times
 * 1,500 races, at most 100,000.
 */
#include "tests/support/pair.h"

#include <stdlib.h>

#include <uv.h>

typedef struct race {
	farcall_call *call; /* the canceller's own reference */
	unsigned delay;     /* turns of an empty loop before it cancels */
	bool over;
	uv_sem_t go, gone;
	uv_thread_t thread;
} race;

typedef struct ending {
	atomic_int times;
	atomic_int code;
} ending;

static void
cancel_often(void *data)
{
	race *r = (race *)data;

	for (;;) {
		uv_sem_wait(&r->go);
		if (r->over)
			return;
		for (volatile unsigned i = 0; i < r->delay; i++)
			;
		farcall_call_cancel(r->call);
		farcall_call_free(r->call);
		uv_sem_post(&r->gone);
	}
}

static void
note(farcall_call *call, farcall_code code, const Pair__Message *reply, void *data)
{
	ending *e = (ending *)data;

	assert_int_equal(farcall_call_code(call), code);
	assert_true((reply != NULL) == (code == FARCALL_OK));
	atomic_store(&e->code, code);
	atomic_fetch_add(&e->times, 1);
}

static void
complete_it(farcall_call *call, void *data)
{
	(void)data;
	farcall_call_complete(call, FARCALL_CANCELLED);
}

/* Pends until it is cancelled, or late. */
static farcall_code
until_cancelled(
    test_pair *pair, farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	(void)pair;
	*reply = *request;
	farcall_call_on_cancel(call, complete_it, NULL);
	return FARCALL_PENDING;
}

enum against { START, ANSWER, SLOW_ANSWER, DEADLINE, FREE, CLOSE, BLOCKING, N_AGAINST };

static unsigned codes[N_AGAINST][17];

static void
release(race *r, test_random *random, farcall_call *call, unsigned most)
{
	farcall_call_hold(call);
	r->call = call;
	r->delay = test_random_below(random, most);
	uv_sem_post(&r->go);
}

static void
wait_end(ending *e)
{
	for (int i = 0; i < 20000 && atomic_load(&e->times) == 0; i++)
		uv_sleep(i < 10 ? 0 : 1);
	assert_int_equal(atomic_load(&e->times), 1);
}

static void
run_blocking(race *r, test_random *random, farcall_channel *channel)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_call *call = farcall_call_new(channel);
	farcall_code code;

	farcall_call_set_timeout_ms(call, 60000);
	release(r, random, call, 200000);
	code = pair_test_echo(call, &request, NULL);
	uv_sem_wait(&r->gone);
	assert_true(code == FARCALL_OK || code == FARCALL_CANCELLED);
	assert_int_equal(farcall_call_code(call), code);
	codes[BLOCKING][code]++;
	farcall_call_free(call);
}

static void
run_async(race *r, test_random *random, test_pair *pair, enum against what)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_channel *channel =
	    what == CLOSE ? farcall_channel_open(test_pair_address(pair)) : pair->channel;
	farcall_call *call = farcall_call_new(channel);
	ending e = {.times = 0};

	farcall_call_set_timeout_ms(call, what == DEADLINE ? 1 : 20000);
	if (what == START)
		release(r, random, call, 3000);
	if (what == DEADLINE || what == FREE)
		pair_test_custom__async(call, &request, note, &e);
	else if (what == SLOW_ANSWER)
		pair_test_slow__async(call, &request, note, &e);
	else
		pair_test_echo__async(call, &request, note, &e);
	if (what != START)
		release(r, random, call, what == DEADLINE ? 1500000 : 200000);
	for (volatile unsigned i = test_random_below(random, 30000); i > 0; i--)
		;
	if (what == FREE)
		farcall_call_free(call);
	if (what == CLOSE)
		farcall_channel_close(channel);
	uv_sem_wait(&r->gone);
	wait_end(&e);
	assert_in_range(atomic_load(&e.code), 0, 16);
	codes[what][atomic_load(&e.code)]++;
	if (what == FREE)
		return;
	assert_int_equal(farcall_call_code(call), atomic_load(&e.code));
	farcall_call_free(call);
	assert_int_equal(atomic_load(&e.times), 1);
}

static void
cancel_races_everything(void **state)
{
	const char *text = getenv("FARCALL_TEST_ROUNDS");
	int rounds = text == NULL ? 1500 : atoi(text) < 66 ? 1500 * atoi(text) : 100000;
	test_random random;
	test_pair pair;
	race r;

	(void)state;
	test_random_seed(&random, 1);
	test_pair_init(&pair, "127.0.0.1:0");
	pair.custom = until_cancelled;
	test_pair_start(&pair);
	memset(&r, 0, sizeof r);
	uv_sem_init(&r.go, 0);
	uv_sem_init(&r.gone, 0);
	uv_thread_create(&r.thread, cancel_often, &r);
	for (int i = 0; i < rounds; i++) {
		enum against what = (enum against)test_random_below(&random, N_AGAINST);

		if (what == BLOCKING)
			run_blocking(&r, &random, pair.channel);
		else
			run_async(&r, &random, &pair, what);
	}
	r.over = true;
	uv_sem_post(&r.go);
	uv_thread_join(&r.thread);
	uv_sem_destroy(&r.go);
	uv_sem_destroy(&r.gone);
	for (int i = 0; i < N_AGAINST; i++) {
		unsigned good = codes[i][FARCALL_OK], cancelled = codes[i][FARCALL_CANCELLED],
		         late = codes[i][FARCALL_DEADLINE_EXCEEDED], all = 0;

		for (int code = 0; code < 17; code++)
			all += codes[i][code];
		print_message("%d: %u OK, %u cancelled, %u late\n", i, good, cancelled, late);
		assert_int_equal(good + cancelled + late, all);
	}
	assert_int_equal(test_echo(pair.channel, "after"), FARCALL_OK);
	test_pair_fini(&pair);
	for (int i = 0; i < 5000 && test_allocator_live() != 0; i++)
		uv_sleep(1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(cancel_races_everything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
