/*
 * test_lifecycle.c: how long connections live: idle, age and grace by gRFC A9, keepalive by A8,
 * between a server and channels on one loop with a virtual clock, to the nanosecond.
 */
#include "tests/support/pair.h"

#include "client/internal.h"
#include "runtime/loop/inside.h"
#include "runtime/protocol/h2/connection.h"
#include "server/internal.h"

#include <stdio.h>

#define S FC_NS_PER_S

typedef struct fixture {
	fc_clock clock;
	fc_loop *loop;
	test_pair pair;
	farcall_channel *channel;
} fixture;

static void
begin(fixture *f)
{
	fc_error error;

	memset(f, 0, sizeof *f);
	fc_error_clear(&error);
	f->clock.now = 1000 * S;
	f->clock.is_virtual = true;
	f->loop = fc_loop_open(&f->clock, &error);
	assert_non_null(f->loop);
	test_pair_init(&f->pair, "mem:life");
	fc_server_seed(f->pair.server, 1);
	farcall_server_set_loop(f->pair.server, f->loop);
	f->channel = farcall_channel_open("mem:life");
	farcall_channel_set_loop(f->channel, f->loop);
}

static void
start(fixture *f)
{
	assert_int_equal(farcall_server_start(f->pair.server), FARCALL_OK);
}

static void
end(fixture *f)
{
	farcall_channel_close(f->channel);
	farcall_server_free(f->pair.server);
	fc_loop_close(f->loop);
}

static size_t
connections(const fixture *f)
{
	return fc_loops_conns(f->pair.server);
}

/* Lets so much time pass, whatever happens in it. */
static void
pass(fixture *f, uint64_t ns)
{
	uint64_t until = f->clock.now + ns;

	while (f->clock.now < until)
		fc_loop_turn(f->loop, until - f->clock.now);
	for (int i = 0; i < 20; i++)
		fc_loop_turn(f->loop, 0);
	assert_int_equal(f->clock.now, until);
}

static void
settle(fixture *f)
{
	pass(f, 0);
}

/* Until the server has no connection, at most `most`: how long that took. */
static uint64_t
until_gone(fixture *f, uint64_t most)
{
	uint64_t from = f->clock.now;

	while (connections(f) != 0 && f->clock.now - from < most)
		fc_loop_turn(f->loop, most - (f->clock.now - from));
	return f->clock.now - from;
}

typedef struct outcome {
	int times;
	farcall_code code;
	farcall_cause cause;
	char error[256];
} outcome;

static void
note(farcall_call *call, farcall_code code, const Pair__Message *reply, void *data)
{
	outcome *to = (outcome *)data;

	(void)reply;
	to->times++;
	to->code = code;
	to->cause = farcall_call_cause(call);
	snprintf(to->error, sizeof to->error, "%s", farcall_call_error(call));
	farcall_call_free(call);
}

/* A call that its handler completes when the test says so. */
static void
wait_call(fixture *f, outcome *to)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	int before = atomic_load(&f->pair.n_waiting);

	memset(to, 0, sizeof *to);
	pair_test_wait__async(farcall_call_new(f->channel), &request, note, to);
	settle(f);
	assert_int_equal(atomic_load(&f->pair.n_waiting), before + 1);
}

static void
complete_last(fixture *f)
{
	farcall_call_complete(f->pair.waiting[atomic_load(&f->pair.n_waiting) - 1], FARCALL_OK);
	settle(f);
}

static void
echo(fixture *f)
{
	assert_int_equal(test_echo(f->channel, "x"), FARCALL_OK);
	settle(f);
}

/* ---- idle ---- */

static void
an_idle_connection_ends(void **state)
{
	fixture f;

	(void)state;
	begin(&f);
	farcall_server_set_max_connection_idle_ms(f.pair.server, 60000);
	start(&f);
	for (int i = 0; i < 3; i++) {
		echo(&f);
		assert_int_equal(farcall_channel_state(f.channel), FARCALL_READY);
		pass(&f, 60 * S - 1);
		assert_int_equal(connections(&f), 1);
		assert_int_equal(farcall_channel_state(f.channel), FARCALL_READY);
		pass(&f, 1);
		assert_int_equal(connections(&f), 0);
		assert_int_equal(farcall_channel_state(f.channel), FARCALL_IDLE);
		pass(&f, 1000 * S); /* nobody comes back without a call */
		assert_int_equal(connections(&f), 0);
	}
	end(&f);
}

/* It begins at the very moment: the server has said GOAWAY, and takes what crosses it. */
static void
a_call_that_crosses_the_end_is_served(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	outcome to = {0};
	fixture f;

	(void)state;
	begin(&f);
	farcall_server_set_max_connection_idle_ms(f.pair.server, 60000);
	start(&f);
	echo(&f);
	pass(&f, 60 * S - 1);
	pair_test_echo__async(farcall_call_new(f.channel), &request, note, &to);
	f.clock.now++;
	settle(&f);
	assert_int_equal(to.times, 1);
	assert_int_equal(to.code, FARCALL_OK);
	assert_int_equal(connections(&f), 0);
	end(&f);
}

static void
a_connection_takes_its_timer_along(void **state)
{
	size_t before;
	fixture f;

	(void)state;
	begin(&f);
	farcall_server_set_max_connection_idle_ms(f.pair.server, 60000);
	farcall_server_set_max_connection_age_ms(f.pair.server, 60000);
	start(&f);
	settle(&f);
	before = f.loop->timers.count; /* the server's own */
	echo(&f);
	assert_true(f.loop->timers.count > before);
	farcall_channel_close(f.channel);
	f.channel = NULL;
	settle(&f);
	assert_int_equal(connections(&f), 0);
	assert_int_equal(f.loop->timers.count, before);
	end(&f);
}

/* Each call begins the time anew, however the timer stands. */
static void
calls_keep_it_alive(void **state)
{
	fixture f;

	(void)state;
	begin(&f);
	farcall_server_set_max_connection_idle_ms(f.pair.server, 60000);
	start(&f);
	for (int i = 0; i < 50; i++) {
		echo(&f);
		pass(&f, (uint64_t)(i % 7 + 1) * 8 * S);
		assert_int_equal(connections(&f), 1);
	}
	echo(&f);
	assert_int_equal(until_gone(&f, 1000 * S), 60 * S);
	end(&f);
}

static void
it_is_not_idle_during_a_call(void **state)
{
	outcome to;
	fixture f;

	(void)state;
	begin(&f);
	farcall_server_set_max_connection_idle_ms(f.pair.server, 60000);
	start(&f);
	wait_call(&f, &to);
	pass(&f, 1000 * S + 7);
	assert_int_equal(to.times, 0);
	complete_last(&f);
	assert_int_equal(to.code, FARCALL_OK);
	assert_int_equal(until_gone(&f, 1000 * S), 60 * S);
	end(&f);
}

/* Neither PINGs of the client nor its windows are calls. */
static void
pings_are_no_calls(void **state)
{
	fixture f;

	(void)state;
	begin(&f);
	farcall_server_set_max_connection_idle_ms(f.pair.server, 60000);
	farcall_server_set_ping_interval_ms(f.pair.server, 0);
	farcall_channel_set_keepalive_ms(f.channel, 10000);
	farcall_channel_set_keepalive_without_calls(f.channel, true);
	start(&f);
	echo(&f);
	assert_int_equal(until_gone(&f, 1000 * S), 60 * S);
	end(&f);
}

/* Of a peer that has said nothing yet the 10 s of the preface come first. */
static void
one_that_never_calls_ends_too(void **state)
{
	fixture f;

	(void)state;
	begin(&f);
	farcall_server_set_max_connection_idle_ms(f.pair.server, 60000);
	start(&f);
	assert_int_equal(farcall_channel_wait_ready(f.channel, 1000), FARCALL_OK);
	assert_int_equal(until_gone(&f, 1000 * S), 60 * S);
	end(&f);
}

/* An idle connection wakes nobody but for what is set: here in two hours, to ask. */
static void
an_idle_connection_wakes_nobody(void **state)
{
	uint64_t now;
	fixture f;

	(void)state;
	begin(&f);
	start(&f);
	echo(&f);
	pass(&f, 100 * S); /* memory has been given back */
	now = f.clock.now;
	fc_loop_turn(f.loop, FC_NEVER);
	assert_true(f.clock.now - (now - 100 * S) >= 7199 * S);
	assert_true(f.clock.now - (now - 100 * S) <= 7200 * S);
	settle(&f);
	assert_int_equal(connections(&f), 1); /* the client has answered */
	fc_loop_turn(f.loop, FC_NEVER);
	assert_true(f.clock.now - now >= 14000 * S);
	end(&f);
}

/* ---- age ---- */

static void
ages_differ_by_a_tenth(void **state)
{
	uint64_t least = FC_NEVER, most = 0, sum = 0;
	enum { N = 400 };
	fixture f;

	(void)state;
	begin(&f);
	farcall_server_set_max_connection_age_ms(f.pair.server, 1000000);
	start(&f);
	for (int i = 0; i < N; i++) {
		uint64_t ns;

		assert_int_equal(farcall_channel_wait_ready(f.channel, 1000), FARCALL_OK);
		settle(&f);
		ns = until_gone(&f, 2000 * S);
		least = FC_MIN(least, ns);
		most = FC_MAX(most, ns);
		sum += ns;
	}
	assert_true(least >= 900 * S && least < 905 * S);
	assert_true(most <= 1100 * S && most > 1095 * S);
	assert_true(sum / N > 985 * S && sum / N < 1015 * S);
	end(&f);
}

static void
calls_go_on_past_the_age(void **state)
{
	outcome old, young;
	fixture f;

	(void)state;
	begin(&f);
	farcall_server_set_max_connection_age_ms(f.pair.server, 10000);
	start(&f);
	wait_call(&f, &old);
	pass(&f, 12 * S);
	assert_int_equal(connections(&f), 1);
	wait_call(&f, &young); /* on a new one */
	assert_int_equal(connections(&f), 2);
	complete_last(&f);
	assert_int_equal(young.code, FARCALL_OK);
	pass(&f, 100000 * S); /* with no end, by default */
	assert_int_equal(old.times, 0);
	farcall_call_complete(f.pair.waiting[0], FARCALL_OK);
	settle(&f);
	assert_int_equal(old.times, 1);
	assert_int_equal(old.code, FARCALL_OK);
	end(&f);
}

static void
the_grace_ends_them(void **state)
{
	outcome to;
	fixture f;
	uint64_t from;

	(void)state;
	begin(&f);
	farcall_server_set_max_connection_age_ms(f.pair.server, 10000);
	farcall_server_set_max_connection_grace_ms(f.pair.server, 5000);
	start(&f);
	wait_call(&f, &to);
	from = f.clock.now;
	pass(&f, 8 * S);
	while (farcall_channel_state(f.channel) == FARCALL_READY)
		fc_loop_turn(f.loop, FC_NEVER);
	assert_true(f.clock.now - from >= 9 * S && f.clock.now - from <= 11 * S);
	pass(&f, 5 * S - 1);
	assert_int_equal(to.times, 0);
	pass(&f, 1);
	assert_int_equal(to.times, 1);
	assert_int_equal(to.code, FARCALL_UNAVAILABLE);
	assert_string_equal(to.error, "UNAVAILABLE: the connection has passed its greatest age");
	assert_int_equal(atomic_load(&f.pair.n_cancelled), 1);
	assert_int_equal(connections(&f), 0);
	farcall_call_complete(f.pair.waiting[0], FARCALL_OK);
	end(&f);
}

/* 3,000 calls, one after the other and two at a time, over some hundred connections. */
static void
no_call_is_lost_by_age_or_idleness(void **state)
{
	outcome to[2];
	fixture f;

	(void)state;
	begin(&f);
	farcall_server_set_max_connection_age_ms(f.pair.server, 1000);
	farcall_server_set_max_connection_grace_ms(f.pair.server, 1);
	farcall_server_set_max_connection_idle_ms(f.pair.server, 1000);
	start(&f);
	for (int i = 0; i < 1500; i++) {
		Pair__Message request = PAIR__MESSAGE__INIT;

		memset(to, 0, sizeof to);
		for (int k = 0; k < 2; k++)
			pair_test_echo__async(farcall_call_new(f.channel), &request, note, &to[k]);
		while (to[0].times + to[1].times < 2)
			fc_loop_turn(f.loop, S / 1000);
		assert_int_equal(to[0].code, FARCALL_OK);
		assert_int_equal(to[1].code, FARCALL_OK);
		fc_loop_turn(f.loop, (uint64_t)(i % 97) * S / 1000);
	}
	end(&f);
}

/* ---- keepalive ---- */

/* The client asks every 10 s, the server allows it every 5 minutes: the fourth is too many. */
static void
too_many_pings_cost_the_connection(void **state)
{
	outcome to;
	fixture f;

	(void)state;
	test_log_catch();
	begin(&f);
	farcall_channel_set_keepalive_ms(f.channel, 10000);
	start(&f);
	wait_call(&f, &to);
	pass(&f, 40 * S - 1);
	assert_int_equal(to.times, 0);
	pass(&f, 1);
	assert_int_equal(to.times, 1);
	assert_int_equal(to.code, FARCALL_UNAVAILABLE);
	assert_non_null(strstr(to.error, "too_many_pings"));
	assert_int_equal(test_log_count(), 1);
	assert_string_equal(test_log_last(),
	    "channel mem:life: the server says too_many_pings: keepalive comes every 20000 ms from "
	    "now on, not every 10000");
	assert_int_equal(f.channel->config.keepalive_ns, 20 * S);
	farcall_call_complete(f.pair.waiting[0], FARCALL_OK);
	wait_call(&f, &to); /* a new connection, at half the pace */
	pass(&f, 80 * S - 1);
	assert_int_equal(to.times, 0);
	pass(&f, 1);
	assert_int_equal(to.times, 1);
	assert_int_equal(f.channel->config.keepalive_ns, 40 * S);
	farcall_call_complete(f.pair.waiting[1], FARCALL_OK);
	end(&f);
	test_log_release();
}

static void
doubling_ends_where_the_setting_does(void **state)
{
	fixture f;
	fc_line line = {.channel = NULL};

	(void)state;
	test_log_catch();
	begin(&f);
	line.channel = f.channel;
	fc_channel_too_many_pings(&line, 0); /* it has none */
	assert_int_equal(f.channel->config.keepalive_ns, 0);
	assert_string_equal(test_log_last(), "channel mem:life: the server says too_many_pings");
	farcall_channel_set_keepalive_ms(f.channel, FC_CLIENT_KEEPALIVE_MOST_MS);
	fc_channel_too_many_pings(&line, FC_CLIENT_KEEPALIVE_MOST_MS * FC_NS_PER_MS);
	assert_int_equal(
	    f.channel->config.keepalive_ns, FC_CLIENT_KEEPALIVE_MOST_MS * FC_NS_PER_MS);
	fc_channel_keepalive(f.channel, 100 * S, S);
	fc_channel_too_many_pings(&line, 20 * S); /* of an older connection: it has more already */
	assert_int_equal(f.channel->config.keepalive_ns, 100 * S);
	start(&f);
	end(&f);
	test_log_release();
}

/* What the server permits may go on for ever. */
static void
permitted_pings_keep_it_alive(void **state)
{
	fixture f;

	(void)state;
	begin(&f);
	farcall_server_set_ping_interval_ms(f.pair.server, 10000);
	farcall_server_set_pings_without_calls(f.pair.server, true);
	farcall_channel_set_keepalive_ms(f.channel, 10000);
	farcall_channel_set_keepalive_without_calls(f.channel, true);
	start(&f);
	echo(&f);
	pass(&f, 50000 * S);
	assert_int_equal(connections(&f), 1);
	assert_int_equal(farcall_channel_state(f.channel), FARCALL_READY);
	end(&f);
}

/* A client that sleeps asks again with its next call. */
static void
a_call_after_long_silence_brings_a_ping(void **state)
{
	fixture f;

	(void)state;
	begin(&f);
	farcall_channel_set_keepalive_ms(f.channel, 10000);
	start(&f);
	for (int i = 0; i < 100; i++) {
		echo(&f);
		pass(&f, 11 * S);
	}
	assert_int_equal(connections(&f), 1);
	end(&f);
}

/* Both ends' timers stand where they stood, though bytes come and go and calls begin and end. */
static void
calls_move_no_timer(void **state)
{
	const fc_conn *client, *server;
	const fc_timer *life;
	uint64_t dues[5];
	fixture f;

	(void)state;
	begin(&f);
	farcall_server_set_max_connection_idle_ms(f.pair.server, 60000);
	farcall_server_set_max_connection_age_ms(f.pair.server, 60000);
	farcall_channel_set_keepalive_ms(f.channel, 10000);
	start(&f);
	echo(&f);
	client = &f.channel->sub.line->conn;
	server = (const fc_conn *)FC_CONTAINER(
	    f.pair.server->loops[0]->conns.next, fc_server_conn, in_loop);
	life = &((const fc_server_conn *)server)->life;
	for (int i = 0; i < 100; i++) {
		const uint64_t now[5] = {client->timer.due, server->timer.due, life->due,
		    client->engine->keepalive_due, server->engine->keepalive_due};

		assert_true(client->timer.at != 0 && server->timer.at != 0 && life->at != 0);
		if (i == 0)
			memcpy(dues, now, sizeof dues);
		assert_memory_equal(dues, now, sizeof dues);
		pass(&f, FC_NS_PER_MS / 2);
		echo(&f);
	}
	end(&f);
}

/* ---- settings ---- */

typedef void server_setter(farcall_server *server, uint64_t ms);
typedef void channel_setter(farcall_channel *channel, uint64_t ms);

static void
settings_of_a_server_have_ranges(void **state)
{
	static const struct {
		server_setter *set;
		const char *name;
		uint64_t zero, least, most;
	} settings[] = {
	    {farcall_server_set_keepalive_ms, "keepalive", true, 1000, INT32_MAX},
	    {farcall_server_set_keepalive_timeout_ms, "keepalive time-out", false, 1000, 86400000},
	    {farcall_server_set_ping_interval_ms, "ping interval", true, 1, INT32_MAX},
	    {farcall_server_set_max_connection_idle_ms, "max connection idle", true, 1000,
	        INT32_MAX},
	    {farcall_server_set_max_connection_age_ms, "max connection age", true, 1000, INT32_MAX},
	    {farcall_server_set_max_connection_grace_ms, "max connection grace", true, 1,
	        INT32_MAX},
	};

	(void)state;
	for (size_t i = 0; i < FC_COUNT(settings); i++) {
		const uint64_t values[] = {0, settings[i].least - 1, settings[i].least,
		    settings[i].most, settings[i].most + 1, UINT64_MAX};

		settings[i].set(NULL, 5);
		for (size_t k = 0; k < FC_COUNT(values); k++) {
			farcall_server *server = farcall_server_new();
			bool good = values[k] == 0
			    ? settings[i].zero
			    : values[k] >= settings[i].least && values[k] <= settings[i].most;

			settings[i].set(server, values[k]);
			assert_int_equal(farcall_server_code(server),
			    good ? FARCALL_OK : FARCALL_INVALID_ARGUMENT);
			if (!good)
				assert_memory_equal(farcall_server_error(server), settings[i].name,
				    strlen(settings[i].name));
			farcall_server_free(server);
		}
	}
	farcall_server_set_pings_without_calls(NULL, true);
}

static void
settings_of_a_channel_have_ranges(void **state)
{
	static const struct {
		channel_setter *set;
		uint64_t ms;
		bool good;
	} cases[] = {
	    {farcall_channel_set_keepalive_ms, 0, true},
	    {farcall_channel_set_keepalive_ms, 9999, false},
	    {farcall_channel_set_keepalive_ms, 10000, true},
	    {farcall_channel_set_keepalive_ms, INT32_MAX, true},
	    {farcall_channel_set_keepalive_ms, UINT64_C(1) << 31, false},
	    {farcall_channel_set_keepalive_timeout_ms, 0, false},
	    {farcall_channel_set_keepalive_timeout_ms, 999, false},
	    {farcall_channel_set_keepalive_timeout_ms, 1000, true},
	    {farcall_channel_set_keepalive_timeout_ms, 86400000, true},
	    {farcall_channel_set_keepalive_timeout_ms, 86400001, false},
	};

	(void)state;
	for (size_t i = 0; i < FC_COUNT(cases); i++) {
		farcall_channel *channel = farcall_channel_open("mem:nobody");

		cases[i].set(NULL, 5);
		cases[i].set(channel, cases[i].ms);
		assert_int_equal(farcall_channel_code(channel),
		    cases[i].good ? FARCALL_OK : FARCALL_INVALID_ARGUMENT);
		farcall_channel_close(channel);
	}
	farcall_channel_set_keepalive_without_calls(NULL, true);
}

static void
settings_come_in_time(void **state)
{
	fixture f;

	(void)state;
	test_log_catch();
	begin(&f);
	start(&f);
	echo(&f);
	farcall_server_set_max_connection_age_ms(f.pair.server, 10000);
	assert_int_equal(farcall_server_code(f.pair.server), FARCALL_FAILED_PRECONDITION);
	assert_string_equal(farcall_server_error(f.pair.server),
	    "max connection age: the server has started already");
	farcall_channel_set_keepalive_ms(f.channel, 10000);
	assert_int_equal(farcall_channel_code(f.channel), FARCALL_FAILED_PRECONDITION);
	end(&f);
	test_log_release();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(an_idle_connection_ends),
	    clean_test(a_call_that_crosses_the_end_is_served),
	    clean_test(a_connection_takes_its_timer_along),
	    clean_test(calls_keep_it_alive),
	    clean_test(it_is_not_idle_during_a_call),
	    clean_test(pings_are_no_calls),
	    clean_test(one_that_never_calls_ends_too),
	    clean_test(an_idle_connection_wakes_nobody),
	    clean_test(ages_differ_by_a_tenth),
	    clean_test(calls_go_on_past_the_age),
	    clean_test(the_grace_ends_them),
	    clean_test(no_call_is_lost_by_age_or_idleness),
	    clean_test(too_many_pings_cost_the_connection),
	    clean_test(doubling_ends_where_the_setting_does),
	    clean_test(permitted_pings_keep_it_alive),
	    clean_test(a_call_after_long_silence_brings_a_ping),
	    clean_test(calls_move_no_timer),
	    clean_test(settings_of_a_server_have_ranges),
	    clean_test(settings_of_a_channel_have_ranges),
	    clean_test(settings_come_in_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
