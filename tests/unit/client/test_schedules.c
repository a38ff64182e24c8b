/*
 * test_schedules.c: a call's events in any order, on one loop with a virtual clock: its start, the
 * server's message and tail, its deadline, cancel, free, the channel's close. Whatever the order, a
 * call that was started has exactly one final status. FARCALL_TEST_ROUNDS=n: n times 5,000
 * schedules.
 */
#include "tests/unit/client/attempts.h"

#include <stdlib.h>

typedef struct schedule {
	fixture *f;
	farcall_call *call; /* NULL: freed */
	outcome to;
	bool started, closed, said; /* said: the server's message */
	farcall_code told;
} schedule;

static unsigned ended_by[17];

static tiny_call *
living(const fixture *f)
{
	fc_list_each (item, next, &f->server.conns) {
		tiny_conn *conn = FC_CONTAINER(item, tiny_conn, in_server);

		if (!fc_list_empty(&conn->calls))
			return FC_CONTAINER(conn->calls.next, tiny_call, in_conn);
	}
	return NULL;
}

static void
done(farcall_call *call, farcall_code code, const Pair__Message *reply, void *data)
{
	schedule *s = (schedule *)data;

	s->told = code;
	assert_int_equal(farcall_call_code(call), code);
	note(call, code, reply, &s->to);
}

static void
start(schedule *s)
{
	Pair__Message request = PAIR__MESSAGE__INIT;

	if (s->started || s->call == NULL)
		return;
	s->started = true;
	pair_test_echo__async(s->call, &request, done, s);
}

static void
say(schedule *s)
{
	tiny_call *call = living(s->f);

	if (call == NULL || s->said)
		return;
	s->said = true;
	tiny_send(call, "", 0);
}

static void
finish(schedule *s)
{
	tiny_call *call = living(s->f);

	if (call != NULL)
		tiny_end(call, FARCALL_OK, "");
}

static void
cancel(schedule *s)
{
	if (s->call != NULL)
		farcall_call_cancel(s->call);
}

static void
let_go(schedule *s)
{
	if (s->call != NULL)
		farcall_call_free(s->call);
	s->call = NULL;
}

static void
expire(schedule *s)
{
	s->f->clock.now += 400 * FC_NS_PER_MS;
}

static void
shut(schedule *s)
{
	if (!s->closed)
		farcall_channel_close(s->f->channel);
	s->closed = true;
}

static void
turn(schedule *s)
{
	fc_loop_turn(s->f->loop, 0);
}

static void
run(fixture *f, test_random *random)
{
	static void (*const actions[])(schedule * s) = {turn, turn, turn, turn, turn, turn, say,
	    say, finish, finish, cancel, let_go, expire, shut};
	schedule s = {.f = f};
	unsigned steps = 4 + test_random_below(random, 24);

	f->channel = farcall_channel_open("mem:attempt");
	farcall_channel_set_loop(f->channel, f->loop);
	s.call = farcall_call_new(f->channel);
	if (test_random_below(random, 2) != 0)
		farcall_call_set_timeout_ms(s.call, 1000);
	if (test_random_below(random, 8) != 0)
		start(&s);
	for (unsigned i = 0; i < steps; i++)
		actions[test_random_below(random, FC_COUNT(actions))](&s);
	start(&s);
	cancel(&s);
	for (int i = 0; i < 3; i++) {
		turn(&s);
		finish(&s);
	}
	if (!s.started) {
		assert_int_equal(s.to.times, 0);
	} else {
		if (s.to.times == 0)
			cancel(&s);
		for (int i = 0; i < 40 && s.to.times == 0; i++)
			turn(&s);
		assert_int_equal(s.to.times, 1);
		assert_in_range(s.told, 0, 16);
		ended_by[s.told]++;
		assert_true(s.told == FARCALL_OK || s.told == FARCALL_CANCELLED ||
		    s.told == FARCALL_DEADLINE_EXCEEDED || s.told == FARCALL_INTERNAL);
		assert_int_equal(s.told == FARCALL_OK, s.to.replied);
		if (s.call != NULL)
			assert_int_equal(farcall_call_code(s.call), s.told);
	}
	let_go(&s);
	shut(&s);
	for (int i = 0; i < 6; i++)
		turn(&s);
	assert_int_equal(s.to.times, s.started);
	f->channel = NULL;
}

static void
each_call_ends_once(void **state)
{
	const char *text = getenv("FARCALL_TEST_ROUNDS");
	int rounds = 5000 * (text != NULL ? atoi(text) : 1);
	test_random random;
	fixture f;

	(void)state;
	test_random_seed(&random, 1);
	begin(&f);
	farcall_channel_close(f.channel);
	for (int i = 0; i < rounds; i++)
		run(&f, &random);
	f.channel = NULL;
	print_message("%d schedules: %u OK, %u cancelled, %u late, %u without a message\n", rounds,
	    ended_by[FARCALL_OK], ended_by[FARCALL_CANCELLED], ended_by[FARCALL_DEADLINE_EXCEEDED],
	    ended_by[FARCALL_INTERNAL]);
	assert_true(ended_by[FARCALL_OK] > 0 && ended_by[FARCALL_CANCELLED] > 0 &&
	    ended_by[FARCALL_DEADLINE_EXCEEDED] > 0 && ended_by[FARCALL_INTERNAL] > 0);
	end(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(each_call_ends_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
