/*
 * test_spread.c: round robin under a virtual clock. The channel's target is a host name that is
 * never looked up, or a registry; its places are servers in memory that come and go.
 */
#include "tests/unit/client/attempts.h"

#include "client/spread.h"
#include "runtime/base/alloc.h"
#include "runtime/transport/mem.h"
#include "runtime/transport/registry.h"
#include "runtime/transport/sock.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SERVERS 4
#define NEVER_AGAIN (1000000 * FC_NS_PER_S)
#define ROUND_ROBIN "{\"loadBalancingConfig\": [{\"round_robin\": {}}]"

static const char *const names[SERVERS] = {"s0", "s1", "s2", "s3"};
static tiny_server servers[SERVERS];
static uint64_t seed = 1;

static void
start_server(fixture *f, int i)
{
	char text[16];

	snprintf(text, sizeof text, "mem:%s", names[i]);
	memset(&servers[i], 0, sizeof servers[i]);
	tiny_start(&servers[i], f->loop, text);
	servers[i].on_complete = echo_nothing;
}

static void
stop_server(int i)
{
	tiny_stop(&servers[i]);
	servers[i].loop = NULL;
}

/* What a look-up would have found: servers from `first` on. */
static void
set_places(fixture *f, int first, int n)
{
	bool begun = f->channel->spread.on && !fc_list_empty(&f->channel->spread.nodes);
	fc_resolver *resolver = &f->channel->sub.resolver;
	fc_error error;

	fc_free(resolver->places);
	resolver->places = (fc_place *)fc_calloc((size_t)n, sizeof(fc_place));
	resolver->n = resolver->room = (size_t)n;
	for (int i = 0; i < n; i++)
		assert_int_equal(
		    fc_mem_place(&resolver->places[i], names[first + i], &error), FARCALL_OK);
	f->channel->sub.resolved = true;
	f->channel->sub.resolved_at = f->clock.now + (begun ? NEVER_AGAIN : 0);
}

static void
begin_target(fixture *f, const char *target, const char *config)
{
	begin_stopped(f);
	farcall_channel_close(f->channel);
	f->channel = farcall_channel_open(target);
	farcall_channel_set_loop(f->channel, f->loop);
	farcall_channel_set_service_config(f->channel, config);
	assert_string_equal(farcall_channel_error(f->channel), "");
	fc_channel_seed(f->channel, seed);
	memset(servers, 0, sizeof servers);
}

/* Once begun, names are not looked up any more. */
static void
begin_it(fixture *f)
{
	farcall_channel_wait_ready(f->channel, 0);
	f->channel->sub.resolved_at = f->clock.now + NEVER_AGAIN;
	fc_timer_stop(f->loop, &f->channel->spread.resolve);
}

/* Servers 0 to alive - 1 stand. */
static void
begin_spread(fixture *f, int n, int alive)
{
	begin_target(f, "never.invalid:1", ROUND_ROBIN "}");
	set_places(f, 0, n);
	for (int i = 0; i < alive; i++)
		start_server(f, i);
	begin_it(f);
}

static void
end_spread(fixture *f)
{
	farcall_channel_close(f->channel);
	for (int i = 0; i < SERVERS; i++)
		if (servers[i].loop != NULL)
			stop_server(i);
	turns(f, 3);
	fc_loop_close(f->loop);
}

static void
after(fixture *f, uint64_t ms)
{
	uint64_t until = f->clock.now + ms * FC_NS_PER_MS;

	while (f->clock.now < until) {
		turns(f, 6);
		fc_loop_turn(f->loop, until - f->clock.now);
	}
	turns(f, 6);
}

static void
call_often(fixture *f, int n, farcall_code code)
{
	for (int i = 0; i < n; i++)
		assert_int_equal(call_with_timeout(f, 10000), code);
}

static farcall_state
state_of(const fixture *f)
{
	return farcall_channel_state(f->channel);
}

/* ---- turns ---- */

static void
each_has_its_turn(void **state)
{
	fixture f;

	(void)state;
	begin_spread(&f, 3, 3);
	assert_int_equal(farcall_channel_wait_ready(f.channel, 1000), FARCALL_OK);
	turns(&f, 20);
	call_often(&f, 30, FARCALL_OK);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(servers[i].n_requests, 10);
		assert_int_equal(servers[i].n_conns, 1);
	}
	assert_int_equal(state_of(&f), FARCALL_READY);
	end_spread(&f);
}

static void
pick_first_stays_with_one(void **state)
{
	fixture f;

	(void)state;
	begin_target(&f, "never.invalid:1", "{}");
	set_places(&f, 0, 3);
	for (int i = 0; i < 3; i++)
		start_server(&f, i);
	call_often(&f, 9, FARCALL_OK);
	assert_int_equal(servers[0].n_requests + servers[1].n_requests + servers[2].n_requests, 9);
	assert_true(
	    servers[0].n_requests == 9 || servers[1].n_requests == 9 || servers[2].n_requests == 9);
	end_spread(&f);
}

/* Clients do not all begin with the same one. */
static void
the_first_one_differs(void **state)
{
	int first[3] = {0};

	(void)state;
	for (seed = 1; seed <= 60; seed++) {
		fixture f;

		begin_spread(&f, 3, 3);
		call_often(&f, 1, FARCALL_OK);
		for (int i = 0; i < 3; i++)
			first[i] += servers[i].n_requests;
		end_spread(&f);
	}
	seed = 1;
	for (int i = 0; i < 3; i++)
		assert_in_range(first[i], 5, 40);
}

static void
the_same_place_twice_is_one(void **state)
{
	fixture f;

	(void)state;
	begin_target(&f, "never.invalid:1", ROUND_ROBIN "}");
	set_places(&f, 0, 2);
	start_server(&f, 0);
	start_server(&f, 1);
	f.channel->sub.resolver.places[1] = f.channel->sub.resolver.places[0];
	begin_it(&f);
	call_often(&f, 4, FARCALL_OK);
	assert_int_equal(servers[0].n_conns, 1);
	assert_int_equal(servers[1].n_conns, 0);
	end_spread(&f);
}

/* ---- those that fail ---- */

static void
a_dead_one_is_left_out_until_it_lives(void **state)
{
	fixture f;

	(void)state;
	begin_spread(&f, 3, 2);
	assert_int_equal(farcall_channel_wait_ready(f.channel, 1000), FARCALL_OK);
	turns(&f, 20);
	call_often(&f, 10, FARCALL_OK);
	assert_int_equal(servers[0].n_requests, 5);
	assert_int_equal(servers[1].n_requests, 5);
	start_server(&f, 2);
	call_often(&f, 2, FARCALL_OK);
	assert_int_equal(servers[2].n_conns, 0); /* its backoff has not passed */
	after(&f, 1300);
	assert_int_equal(servers[2].n_conns, 1);
	call_often(&f, 9, FARCALL_OK);
	assert_int_equal(servers[2].n_requests, 3);
	end_spread(&f);
}

static void
one_that_dies_costs_its_calls_only(void **state)
{
	outcome to[3];
	farcall_call *calls[3];
	fixture f;

	(void)state;
	begin_spread(&f, 3, 3);
	farcall_channel_wait_ready(f.channel, 1000);
	turns(&f, 20);
	for (int i = 0; i < 3; i++)
		servers[i].on_complete = keep;
	for (int i = 0; i < 3; i++)
		calls[i] = start_async(&f, 10000, false, &to[i]);
	turns(&f, 10);
	assert_int_equal(n_kept, 3);
	stop_server(1);
	turns(&f, 10);
	for (int i = 0; i < 3; i++)
		if (to[i].times == 0 && kept[i] != NULL)
			servers[i].on_complete = echo_nothing;
	assert_int_equal(to[0].times + to[1].times + to[2].times, 1);
	assert_int_equal(state_of(&f), FARCALL_READY);
	servers[0].on_complete = servers[2].on_complete = echo_nothing;
	call_often(&f, 10, FARCALL_OK);
	for (int i = 0; i < 3; i++)
		farcall_call_free(calls[i]);
	turns(&f, 3);
	end_spread(&f);
}

/* gRFC A62: TRANSIENT_FAILURE lasts until one is ready. */
static void
when_all_fail_the_channel_does(void **state)
{
	outcome to;
	farcall_call *call;
	fixture f;

	(void)state;
	begin_spread(&f, 3, 0);
	assert_int_equal(call_with_timeout(&f, 10000), FARCALL_UNAVAILABLE);
	assert_non_null(strstr(error_text, "connect never.invalid:1: connection refused"));
	assert_int_equal(state_of(&f), FARCALL_TRANSIENT_FAILURE);
	call = start_async(&f, 10000, true, &to);
	after(&f, 2500);
	assert_int_equal(to.times, 0);
	assert_int_equal(call_with_timeout(&f, 10000), FARCALL_UNAVAILABLE);
	start_server(&f, 1);
	after(&f, 5000);
	assert_int_equal(to.times, 1);
	assert_int_equal(to.code, FARCALL_OK);
	assert_int_equal(state_of(&f), FARCALL_READY);
	farcall_call_free(call);
	call_often(&f, 3, FARCALL_OK);
	stop_server(1);
	turns(&f, 10);
	assert_int_equal(state_of(&f), FARCALL_TRANSIENT_FAILURE);
	call_often(&f, 2, FARCALL_UNAVAILABLE);
	end_spread(&f);
}

/* One that never says a word holds nobody up, and counts as connecting. */
static void
a_black_hole_is_not_waited_for(void **state)
{
	fc_address address;
	fc_listener *hole;
	fc_error error;
	fixture f;

	(void)state;
	begin_target(&f, "never.invalid:1", ROUND_ROBIN "}");
	set_places(&f, 0, 2);
	start_server(&f, 0);
	assert_int_equal(fc_address_parse(&address, "mem:s1", &error), FARCALL_OK);
	hole = fc_listener_open(&address, &error);
	fc_address_fini(&address);
	begin_it(&f);
	call_often(&f, 3, FARCALL_OK);
	assert_int_equal(servers[0].n_requests, 3);
	stop_server(0);
	turns(&f, 10);
	assert_int_equal(state_of(&f), FARCALL_CONNECTING);
	assert_int_equal(call_with_timeout(&f, 1000), FARCALL_DEADLINE_EXCEEDED);
	after(&f, 30000); /* its 20 s are over */
	assert_int_equal(state_of(&f), FARCALL_TRANSIENT_FAILURE);
	fc_listener_close(hole);
	end_spread(&f);
}

static void
drop_at_once(tiny_conn *conn)
{
	fc_conn_kill(&conn->conn);
}

static void
one_that_drops_everybody_gets_pauses(void **state)
{
	fixture f;

	(void)state;
	begin_spread(&f, 2, 1);
	start_server(&f, 1);
	servers[1].on_accept = drop_at_once;
	call_often(&f, 3, FARCALL_OK);
	after(&f, 10000);
	assert_in_range(servers[1].n_conns, 2, 30);
	assert_int_equal(servers[0].n_conns, 1);
	end_spread(&f);
}

/* Servers that end idle connections (gRFC A9) are well. */
static void
idle_ones_may_end(void **state)
{
	fixture f;

	(void)state;
	begin_spread(&f, 1, 1);
	call_often(&f, 1, FARCALL_OK);
	for (int i = 1; i <= 10; i++) {
		after(&f, 1000);
		assert_int_equal(servers[0].n_conns, i);
		fc_conn_drain(
		    &FC_CONTAINER(servers[0].conns.next, tiny_conn, in_server)->conn, "max_idle");
		turns(&f, 20);
		assert_int_equal(state_of(&f), FARCALL_READY);
	}
	call_often(&f, 3, FARCALL_OK);
	end_spread(&f);
}

/* ---- room ---- */

static void
a_full_one_is_passed_over(void **state)
{
	outcome to[4];
	farcall_call *calls[4];
	fixture f;

	(void)state;
	begin_target(&f, "never.invalid:1", ROUND_ROBIN "}");
	set_places(&f, 0, 3);
	for (int i = 0; i < 3; i++) {
		memset(&servers[i], 0, sizeof servers[i]);
		servers[i].config.max_streams = 1;
		servers[i].on_complete = keep;
		tiny_start(&servers[i], f.loop, i == 0 ? "mem:s0" : i == 1 ? "mem:s1" : "mem:s2");
	}
	begin_it(&f);
	farcall_channel_wait_ready(f.channel, 1000);
	turns(&f, 20);
	for (int i = 0; i < 4; i++)
		calls[i] = start_async(&f, 10000, false, &to[i]);
	turns(&f, 20);
	assert_int_equal(n_kept, 3); /* one on each; the fourth waits for room */
	for (int i = 0; i < 3; i++)
		assert_int_equal(servers[i].n_requests, 1);
	echo_nothing(kept[1]);
	turns(&f, 20);
	assert_int_equal(n_kept, 4);
	echo_nothing(kept[0]);
	echo_nothing(kept[2]);
	echo_nothing(kept[3]);
	turns(&f, 10);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(to[i].code, FARCALL_OK);
		assert_int_equal(to[i].times, 1);
		farcall_call_free(calls[i]);
	}
	end_spread(&f);
}

/* ---- lists that change ---- */

static void
a_new_list_keeps_what_it_can(void **state)
{
	outcome to;
	farcall_call *call;
	fixture f;
	int before;

	(void)state;
	begin_spread(&f, 2, 3);
	farcall_channel_wait_ready(f.channel, 1000);
	turns(&f, 20);
	while (servers[1].n_requests == 0)
		call_often(&f, 1, FARCALL_OK);
	before = servers[0].n_requests; /* whose turn it is */
	servers[0].on_complete = keep;
	call = start_async(&f, 10000, false, &to);
	turns(&f, 6);
	assert_int_equal(n_kept, 1);
	set_places(&f, 1, 2);
	assert_true(fc_spread_update(f.channel));
	turns(&f, 20);
	call_often(&f, 10, FARCALL_OK);
	assert_int_equal(servers[0].n_requests, before + 1);
	assert_int_equal(servers[1].n_conns, 1);
	assert_int_equal(servers[2].n_requests, 5);
	assert_int_equal(to.times, 0);
	echo_nothing(kept[0]); /* what was under way goes on */
	turns(&f, 6);
	assert_int_equal(to.times, 1);
	assert_int_equal(to.code, FARCALL_OK);
	turns(&f, 20);
	assert_true(fc_list_empty(&servers[0].conns));
	farcall_call_free(call);
	end_spread(&f);
}

static void
no_list_takes_away_what_there_is(void **state)
{
	fixture f;

	(void)state;
	begin_spread(&f, 2, 2);
	call_often(&f, 4, FARCALL_OK);
	f.channel->sub.resolver.n = 0;
	assert_true(fc_spread_update(f.channel));
	call_often(&f, 4, FARCALL_OK);
	assert_int_equal(servers[0].n_conns + servers[1].n_conns, 2);
	end_spread(&f);
}

/* Servers that publish themselves are found, and those that leave are left. */
static void
a_registry_is_followed(void **state)
{
	char dir[] = "/tmp/farcall-spread-XXXXXX", target[64];
	const char *one[] = {"mem:s0"}, *two[] = {"mem:s1"};
	fc_record *first, *second;
	fc_error error;
	fixture f;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(target, sizeof target, "file://%s/pair.Test", dir);
	begin_target(&f, target, ROUND_ROBIN "}");
	fc_error_clear(&error);
	start_server(&f, 0);
	start_server(&f, 1);
	assert_int_equal(call_with_timeout(&f, 10000), FARCALL_UNAVAILABLE);
	first = fc_record_publish(dir, "pair.Test", one, 1, &error);
	assert_int_equal(farcall_channel_wait_ready(f.channel, 10000), FARCALL_OK);
	call_often(&f, 4, FARCALL_OK);
	assert_int_equal(servers[0].n_requests, 4);
	second = fc_record_publish(dir, "pair.Test", two, 1, &error);
	after(&f, 30000);
	call_often(&f, 4, FARCALL_OK);
	assert_int_equal(servers[0].n_requests, 6);
	assert_int_equal(servers[1].n_requests, 2);
	fc_record_withdraw(first);
	stop_server(0); /* that is soon noticed */
	after(&f, 1500);
	assert_int_equal(state_of(&f), FARCALL_READY);
	call_often(&f, 4, FARCALL_OK);
	assert_int_equal(servers[1].n_requests, 6);
	test_log_catch();
	fc_record_withdraw(second); /* nobody: those that stand are kept */
	after(&f, 31000);
	call_often(&f, 4, FARCALL_OK);
	assert_true(test_log_count() > 0);
	test_log_release();
	end_spread(&f);
	assert_int_equal(rmdir(dir), 0);
}

/* All are replaced within a moment: nobody is told that none is left before the registry was read.
 */
static void
servers_that_were_all_restarted_are_found_at_once(void **state)
{
	char dir[] = "/tmp/farcall-spread-XXXXXX", target[64];
	const char *at[] = {"mem:s0", "mem:s1", "mem:s2", "mem:s3"};
	fc_record *records[4];
	fc_error error;
	fixture f;
	uint64_t start;

	(void)state;
	fc_error_clear(&error);
	assert_non_null(mkdtemp(dir));
	snprintf(target, sizeof target, "file://%s/pair.Test", dir);
	begin_target(&f, target, ROUND_ROBIN "}");
	for (int i = 0; i < 2; i++) {
		start_server(&f, i);
		records[i] = fc_record_publish(dir, "pair.Test", &at[i], 1, &error);
	}
	call_often(&f, 4, FARCALL_OK);
	after(&f, 2000);
	for (int i = 0; i < 2; i++) { /* one dies, and the next one, 10 ms later */
		start_server(&f, 2 + i);
		stop_server(i);
		fc_record_withdraw(records[i]);
		after(&f, 10);
		records[2 + i] = fc_record_publish(dir, "pair.Test", &at[2 + i], 1, &error);
	}
	start = f.clock.now;
	assert_int_equal(call_with_timeout(&f, 10000), FARCALL_OK);
	assert_true(f.clock.now - start <= 100 * FC_NS_PER_MS);
	for (int i = 2; i < 4; i++) { /* and now for good: it says so soon, and stays with that */
		stop_server(i);
		fc_record_withdraw(records[i]);
	}
	start = f.clock.now;
	test_log_catch();
	assert_int_equal(call_with_timeout(&f, 10000), FARCALL_UNAVAILABLE);
	assert_true(f.clock.now - start <= 200 * FC_NS_PER_MS);
	after(&f, 1050);
	assert_int_equal(state_of(&f), FARCALL_TRANSIENT_FAILURE);
	test_log_release();
	end_spread(&f);
	assert_int_equal(rmdir(dir), 0);
}

static void
plaintext_elsewhere_is_left_out(void **state)
{
	fixture f;

	(void)state;
	begin_target(&f, "never.invalid:1", ROUND_ROBIN "}");
	set_places(&f, 0, 2);
	start_server(&f, 0);
	assert_true(fc_place_from_literal(&f.channel->sub.resolver.places[1], "192.0.2.1", 1));
	call_often(&f, 3, FARCALL_OK);
	end_spread(&f);
	begin_target(&f, "never.invalid:1", ROUND_ROBIN "}");
	set_places(&f, 0, 1);
	assert_true(fc_place_from_literal(&f.channel->sub.resolver.places[0], "192.0.2.1", 1));
	assert_int_equal(call_with_timeout(&f, 10000), FARCALL_FAILED_PRECONDITION);
	assert_non_null(strstr(error_text, "192.0.2.1"));
	end_spread(&f);
}

/* ---- retries go elsewhere ---- */

static void
refuse(tiny_call *call)
{
	tiny_end(call, FARCALL_UNAVAILABLE, "not here");
}

static void
a_retry_goes_to_the_next_one(void **state)
{
	fixture f;

	(void)state;
	begin_target(&f, "never.invalid:1",
	    ROUND_ROBIN
	    ", \"methodConfig\": [{\"name\": [{}], \"retryPolicy\": {\"maxAttempts\": 2, "
	    "\"initialBackoff\": \"0.1s\", \"maxBackoff\": \"1s\", \"backoffMultiplier\": 2, "
	    "\"retryableStatusCodes\": [14]}}]}");
	set_places(&f, 0, 2);
	start_server(&f, 0);
	start_server(&f, 1);
	begin_it(&f);
	farcall_channel_wait_ready(f.channel, 1000);
	turns(&f, 20);
	servers[0].on_complete = refuse;
	call_often(&f, 10, FARCALL_OK);
	assert_int_equal(servers[1].n_requests, 10);
	assert_in_range(servers[0].n_requests, 9, 10);
	end_spread(&f);
}

/* ---- any order ---- */

static void
act(fixture *f, test_random *random)
{
	int i = (int)test_random_below(random, SERVERS), n;

	switch (test_random_below(random, 8)) {
	case 0:
		if (servers[i].loop != NULL)
			stop_server(i);
		break;
	case 1:
	case 2:
		if (servers[i].loop == NULL)
			start_server(f, i);
		break;
	case 3:
		n = 1 + (int)test_random_below(random, SERVERS);
		if (fc_list_empty(&f->channel->spread.nodes))
			break;
		set_places(f, (int)test_random_below(random, (uint32_t)(SERVERS + 1 - n)), n);
		fc_spread_update(f->channel);
		break;
	case 4:
		if (servers[i].loop != NULL && !fc_list_empty(&servers[i].conns))
			fc_conn_kill(
			    &FC_CONTAINER(servers[i].conns.next, tiny_conn, in_server)->conn);
		break;
	default:
		after(f, test_random_below(random, 3000));
		break;
	}
}

static void
whatever_comes_and_goes_calls_end_once(void **state)
{
	const char *rounds = getenv("FARCALL_TEST_ROUNDS");
	int n = 200 * (rounds != NULL ? atoi(rounds) : 1), good = 0, bad = 0;
	test_random random;

	(void)state;
	test_random_seed(&random, 1);
	for (int round = 0; round < n; round++) {
		outcome to[30];
		farcall_call *calls[30];
		fixture f;

		begin_spread(&f, SERVERS, 2);
		for (int i = 0; i < 30; i++) {
			calls[i] = start_async(&f, 5000, i % 2 == 0, &to[i]);
			act(&f, &random);
		}
		for (int i = 0; i < SERVERS; i++)
			if (servers[i].loop == NULL)
				start_server(&f, i);
		after(&f, 150000);
		for (int i = 0; i < 30; i++) {
			assert_int_equal(to[i].times, 1);
			good += to[i].code == FARCALL_OK;
			bad += to[i].code != FARCALL_OK;
			farcall_call_free(calls[i]);
		}
		call_often(&f, 8, FARCALL_OK);
		assert_int_equal(state_of(&f), FARCALL_READY);
		end_spread(&f);
	}
	assert_true(good > bad && bad > n / 10);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
	    clean_test(each_has_its_turn),
	    clean_test(pick_first_stays_with_one),
	    clean_test(the_first_one_differs),
	    clean_test(the_same_place_twice_is_one),
	    clean_test(a_dead_one_is_left_out_until_it_lives),
	    clean_test(one_that_dies_costs_its_calls_only),
	    clean_test(when_all_fail_the_channel_does),
	    clean_test(a_black_hole_is_not_waited_for),
	    clean_test(one_that_drops_everybody_gets_pauses),
	    clean_test(idle_ones_may_end),
	    clean_test(a_full_one_is_passed_over),
	    clean_test(a_new_list_keeps_what_it_can),
	    clean_test(no_list_takes_away_what_there_is),
	    clean_test(a_registry_is_followed),
	    clean_test(servers_that_were_all_restarted_are_found_at_once),
	    clean_test(plaintext_elsewhere_is_left_out),
	    clean_test(a_retry_goes_to_the_next_one),
	    clean_test(whatever_comes_and_goes_calls_end_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
