/*
 * test_race.c: places against each other under a virtual clock. The channel's target is a host name
 * that is never looked up: the test puts places in memory where its addresses would be. A place is
 * alive, dead (nobody there), or a black hole: it takes the connection and never says a word.
 */
#include "tests/unit/client/attempts.h"

#include "runtime/base/alloc.h"
#include "runtime/transport/mem.h"
#include "runtime/transport/sock.h"

#include <stdio.h>

#define HOLES_MOST 4

static fc_listener *holes[HOLES_MOST];
static int n_holes;
static uint64_t accepted_at;

static void
note_time(tiny_conn *conn)
{
	accepted_at = conn->server->loop != NULL ? fc_loop_now(conn->server->loop) : 0;
}

/* "hN" is a black hole, "alive" the server, anything else is dead. */
static void
begin_race(fixture *f, size_t n, const char *const *names)
{
	fc_address address;
	char text[32];
	fc_error error;

	begin_stopped(f);
	tiny_start(&f->server, f->loop, "mem:alive");
	f->server.on_complete = echo_nothing;
	f->server.on_accept = note_time;
	farcall_channel_close(f->channel);
	f->channel = farcall_channel_open("never.invalid:1");
	farcall_channel_set_loop(f->channel, f->loop);
	fc_channel_seed(f->channel, 1);
	fc_error_clear(&error);
	f->channel->sub.resolver.places = (fc_place *)fc_calloc(n, sizeof(fc_place));
	f->channel->sub.resolver.n = f->channel->sub.resolver.room = n;
	f->channel->sub.resolved = true;
	f->channel->sub.resolved_at = f->clock.now;
	n_holes = 0;
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(
		    fc_mem_place(&f->channel->sub.resolver.places[i], names[i], &error),
		    FARCALL_OK);
		if (names[i][0] != 'h')
			continue;
		snprintf(text, sizeof text, "mem:%s", names[i]);
		assert_int_equal(fc_address_parse(&address, text, &error), FARCALL_OK);
		holes[n_holes] = fc_listener_open(&address, &error);
		fc_address_fini(&address);
		assert_non_null(holes[n_holes++]);
	}
}

static void
end_race(fixture *f)
{
	end(f);
	while (n_holes > 0)
		fc_listener_close(holes[--n_holes]);
}

static size_t
n_lines(const fixture *f)
{
	size_t n = 0;

	fc_list_each (item, next, &f->channel->lines)
		n++;
	return n;
}

static void
a_black_hole_costs_a_quarter_of_a_second(void **state)
{
	static const char *const names[] = {"h1", "alive"};
	fixture f;
	uint64_t start;

	(void)state;
	begin_race(&f, 2, names);
	start = f.clock.now;
	assert_int_equal(call_with_timeout(&f, 5000), FARCALL_OK);
	assert_int_equal(accepted_at - start, FC_RACE_STAGGER_NS);
	turns(&f, 4);
	assert_int_equal(n_lines(&f), 1); /* the other was dropped */
	assert_int_equal(f.server.n_conns, 1);
	end_race(&f);
}

static void
each_black_hole_costs_one_more(void **state)
{
	static const char *const names[] = {"h1", "h2", "h3", "alive"};
	fixture f;
	uint64_t start;

	(void)state;
	begin_race(&f, 4, names);
	start = f.clock.now;
	assert_int_equal(call_with_timeout(&f, 5000), FARCALL_OK);
	assert_int_equal(accepted_at - start, 3 * FC_RACE_STAGGER_NS);
	turns(&f, 4);
	assert_int_equal(n_lines(&f), 1);
	end_race(&f);
}

/* The black hole has its 20 s; the dead one is tried again meanwhile, as the backoff says. */
static void
who_comes_back_is_found_beside_a_black_hole(void **state)
{
	static const char *const names[] = {"h1", "alive", "dead"};
	fixture f;
	outcome to;
	farcall_call *call;
	uint64_t start;

	(void)state;
	begin_race(&f, 3, names);
	tiny_stop(&f.server);
	start = f.clock.now;
	call = start_async(&f, 60000, false, &to);
	while (f.clock.now - start < 2 * FC_NS_PER_S)
		fc_loop_turn(f.loop, 2 * FC_NS_PER_S - (f.clock.now - start));
	assert_int_equal(to.times, 0);
	assert_int_equal(n_lines(&f), 1);
	tiny_start(&f.server, f.loop, "mem:alive");
	f.server.on_complete = echo_nothing;
	f.server.on_accept = note_time;
	while (to.times == 0)
		fc_loop_turn(f.loop, FC_NEVER);
	assert_int_equal(to.code, FARCALL_OK);
	assert_true(accepted_at - start >= 2 * FC_NS_PER_S);
	assert_true(accepted_at - start <= FC_NS_PER_S * 12 / 10 * (10 + 16 + 26) / 10);
	farcall_call_free(call);
	end_race(&f);
}

/* Each round has its pause, and the attempt has failed when nothing is under way. */
static void
rounds_end_with_the_black_hole(void **state)
{
	static const char *const names[] = {"h1", "dead"};
	fixture f;
	uint64_t start;

	(void)state;
	begin_race(&f, 2, names);
	start = f.clock.now;
	assert_int_equal(call_with_timeout(&f, 60000), FARCALL_UNAVAILABLE);
	assert_int_equal(f.clock.now - start, FC_CONNECT_LEAST_NS);
	assert_int_equal(f.channel->sub.phase, FC_SUB_BACKOFF);
	assert_true(f.channel->sub.retry_at > f.clock.now);
	assert_true(f.channel->sub.backoff.base_ns >= 6 * FC_NS_PER_S);
	assert_true(f.channel->sub.backoff.base_ns <= 11 * FC_NS_PER_S);
	assert_int_equal(f.channel->sub.race.stagger.at, 0);
	end_race(&f);
}

/* Though the one that failed first is under way again when the last one fails. */
static void
two_black_holes_end_too(void **state)
{
	static const char *const names[] = {"h1", "h2"};
	fixture f;
	uint64_t start;

	(void)state;
	begin_race(&f, 2, names);
	start = f.clock.now;
	assert_int_equal(call_with_timeout(&f, 120000), FARCALL_UNAVAILABLE);
	assert_int_equal(f.clock.now - start, FC_CONNECT_LEAST_NS + FC_RACE_STAGGER_NS);
	assert_int_equal(farcall_channel_state(f.channel), FARCALL_TRANSIENT_FAILURE);
	assert_int_equal(f.channel->sub.race.stagger.at, 0);
	turns(&f, 4);
	assert_int_equal(n_lines(&f), 0);
	end_race(&f);
}

static void
a_dead_one_costs_nothing(void **state)
{
	static const char *const names[] = {"dead", "dead2", "alive"};
	fixture f;
	uint64_t start;

	(void)state;
	begin_race(&f, 3, names);
	start = f.clock.now;
	assert_int_equal(call_with_timeout(&f, 5000), FARCALL_OK);
	assert_int_equal(accepted_at, start);
	end_race(&f);
}

/* A place that fails while another is under way brings the next one at once, and the pause begins
 * anew with it. */
static void
a_failure_does_not_wait_for_the_pause(void **state)
{
	static const char *const names[] = {"h1", "dead", "h2", "alive"};
	fixture f;
	uint64_t start;

	(void)state;
	begin_race(&f, 4, names);
	start = f.clock.now;
	assert_int_equal(call_with_timeout(&f, 5000), FARCALL_OK);
	assert_int_equal(accepted_at - start, 2 * FC_RACE_STAGGER_NS);
	end_race(&f);
}

static void
the_first_alive_is_taken_alone(void **state)
{
	static const char *const names[] = {"alive", "h1", "h2"};
	fixture f;

	(void)state;
	begin_race(&f, 3, names);
	assert_int_equal(call_with_timeout(&f, 5000), FARCALL_OK);
	assert_int_equal(f.channel->sub.race.next, 1);
	f.clock.now += FC_NS_PER_S;
	turns(&f, 4);
	assert_int_equal(f.channel->sub.race.next, 1);
	assert_int_equal(n_lines(&f), 1);
	end_race(&f);
}

static void
the_deadline_wins(void **state)
{
	static const char *const names[] = {"h1", "h2", "h3"};
	fixture f;
	uint64_t start;

	(void)state;
	begin_race(&f, 3, names);
	start = f.clock.now;
	assert_int_equal(call_with_timeout(&f, 300), FARCALL_DEADLINE_EXCEEDED);
	assert_int_equal(f.clock.now - start, 300 * FC_NS_PER_MS);
	assert_int_equal(n_lines(&f), 2); /* they go on: another call may come */
	assert_int_equal(call_with_timeout(&f, 700), FARCALL_DEADLINE_EXCEEDED);
	assert_int_equal(n_lines(&f), 3);
	end_race(&f);
}

/* Not before each has failed: the last of them 20 s and two pauses after the start. */
static void
failure_is_told_when_each_has_failed(void **state)
{
	static const char *const names[] = {"h1", "dead", "h2", "h3"};
	fixture f;
	uint64_t start;

	(void)state;
	begin_race(&f, 4, names);
	start = f.clock.now;
	assert_int_equal(call_with_timeout(&f, 60000), FARCALL_UNAVAILABLE);
	assert_int_equal(f.clock.now - start, FC_CONNECT_LEAST_NS + 2 * FC_RACE_STAGGER_NS);
	assert_int_equal(farcall_channel_state(f.channel), FARCALL_TRANSIENT_FAILURE);
	end_race(&f);
}

static void
closing_ends_a_race(void **state)
{
	static const char *const names[] = {"h1", "h2", "alive"};
	outcome to;
	fixture f;
	farcall_call *call;

	(void)state;
	begin_race(&f, 3, names);
	call = start_async(&f, 5000, true, &to);
	f.clock.now += FC_RACE_STAGGER_NS;
	turns(&f, 2);
	f.clock.now += FC_RACE_STAGGER_NS;
	turns(&f, 1);
	assert_true(n_lines(&f) >= 2);
	farcall_channel_close(f.channel);
	f.channel = NULL;
	turns(&f, 4);
	assert_int_equal(to.times, 1);
	assert_int_equal(to.code, FARCALL_CANCELLED);
	farcall_call_free(call);
	end_race(&f);
}

/* A server that is found later takes the calls; what was dropped does not come back. */
static void
the_winner_may_be_lost(void **state)
{
	static const char *const names[] = {"h1", "alive"};
	fixture f;

	(void)state;
	begin_race(&f, 2, names);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(call_with_timeout(&f, 5000), FARCALL_OK);
		turns(&f, 4);
		assert_int_equal(n_lines(&f), 1);
		fc_list_each (item, next, &f.server.conns)
			fc_conn_kill(&FC_CONTAINER(item, tiny_conn, in_server)->conn);
		turns(&f, 4);
		assert_int_equal(farcall_channel_state(f.channel), FARCALL_IDLE);
	}
	assert_int_equal(f.server.n_conns, 5);
	end_race(&f);
}

/* ---- order, and what may be tried ---- */

static void
order_of(const char *text, const char *expect)
{
	fc_place places[FC_CLIENT_PLACES_MOST];
	char got[FC_CLIENT_PLACES_MOST + 1] = "";
	size_t n = strlen(text);

	for (size_t i = 0; i < n; i++) {
		const char *host = text[i] >= 'a' ? "::1" : "127.0.0.1";

		memset(&places[i], 0, sizeof places[i]);
		assert_true(fc_place_from_literal(&places[i], host, (uint16_t)text[i]));
	}
	fc_race_order(places, n);
	for (size_t i = 0; i < n; i++)
		got[i] = (char)fc_place_port(&places[i]);
	assert_string_equal(got, expect);
}

/* Lower case: IPv6; upper case: IPv4. */
static void
families_take_turns(void **state)
{
	char many[FC_CLIENT_PLACES_MOST + 1] = "", turned[FC_CLIENT_PLACES_MOST + 1] = "";

	(void)state;
	order_of("", "");
	order_of("a", "a");
	order_of("abc", "abc");
	order_of("abAB", "aAbB");
	order_of("ABab", "AaBb");
	order_of("abcA", "aAbc");
	order_of("aABb", "aAbB");
	order_of("ABCDab", "AaBbCD");
	for (size_t i = 0; i < FC_CLIENT_PLACES_MOST; i++) {
		many[i] = (char)(i < FC_CLIENT_PLACES_MOST / 2 ? 'b' : 'B');
		turned[i] = (char)(i % 2 == 0 ? 'b' : 'B');
	}
	order_of(many, turned);
}

/* Our own rule is the failure only where nothing else was left to try. */
static void
places_beyond_this_host_are_passed_over(void **state)
{
	static const char *const names[] = {"alive", "alive"};
	static const char *const dead[] = {"dead", "dead"};
	fixture f;

	(void)state;
	for (int far = 0; far < 2; far++) {
		begin_race(&f, 2, names);
		fc_place_from_literal(&f.channel->sub.resolver.places[0], "192.0.2.1", 9);
		assert_int_equal(call_with_timeout(&f, 5000), FARCALL_OK);
		end_race(&f);
		begin_race(&f, 2, dead);
		fc_place_from_literal(&f.channel->sub.resolver.places[far], "192.0.2.1", 9);
		assert_int_equal(call_with_timeout(&f, 5000), FARCALL_UNAVAILABLE);
		assert_non_null(strstr(error_text, "connection refused"));
		end_race(&f);
	}
	begin_race(&f, 2, dead);
	fc_place_from_literal(&f.channel->sub.resolver.places[0], "192.0.2.1", 9);
	fc_place_from_literal(&f.channel->sub.resolver.places[1], "192.0.2.2", 9);
	assert_int_equal(call_with_timeout(&f, 5000), FARCALL_FAILED_PRECONDITION);
	end_race(&f);
}

/* ---- looking up again ---- */

/* However often connecting fails, a name is asked for once in 30 s; and when it is not found, the
 * former places stand. */
static void
a_name_is_looked_up_every_30_seconds(void **state)
{
	static const char *const names[] = {"dead"};
	fixture f;
	uint64_t start;

	(void)state;
	test_log_catch();
	begin_race(&f, 1, names);
	start = f.clock.now;
	while (f.clock.now - start < 29 * FC_NS_PER_S) {
		assert_int_equal(call_with_timeout(&f, 500), FARCALL_UNAVAILABLE);
		assert_non_null(strstr(error_text, "connection refused"));
		f.clock.now += 500 * FC_NS_PER_MS;
		turns(&f, 3);
		assert_int_equal(f.channel->sub.resolved_at, start);
	}
	f.clock.now = start + 60 * FC_NS_PER_S;
	for (int i = 0; i < 5000 && f.channel->sub.resolved_at == start; i++) {
		turns(&f, 1);
		uv_sleep(1);
	}
	assert_int_equal(f.channel->sub.resolved_at, start + 60 * FC_NS_PER_S);
	assert_int_equal(f.channel->sub.resolver.n, 1);
	assert_string_equal(f.channel->sub.resolver.places[0].text, "mem:dead");
	assert_non_null(strstr(test_log_last(), "the former addresses are tried"));
	end_race(&f);
	test_log_release();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(a_black_hole_costs_a_quarter_of_a_second),
	    clean_test(each_black_hole_costs_one_more),
	    clean_test(who_comes_back_is_found_beside_a_black_hole),
	    clean_test(rounds_end_with_the_black_hole),
	    clean_test(two_black_holes_end_too),
	    clean_test(a_dead_one_costs_nothing),
	    clean_test(a_failure_does_not_wait_for_the_pause),
	    clean_test(the_first_alive_is_taken_alone),
	    clean_test(the_deadline_wins),
	    clean_test(failure_is_told_when_each_has_failed),
	    clean_test(closing_ends_a_race),
	    clean_test(the_winner_may_be_lost),
	    clean_test(families_take_turns),
	    clean_test(places_beyond_this_host_are_passed_over),
	    clean_test(a_name_is_looked_up_every_30_seconds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
