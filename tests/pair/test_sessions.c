/*
 * What a server's program is told of connections: open with the peer, refusals, data for the calls,
 * and close after the last of them.
 */
#include "tests/pair/hooked.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct session {
	atomic_int n_calls;
	char peer[100], endpoint[40];
	int64_t uid, pid;
} session;

static atomic_int n_open, n_closed, calls_of_closed;
static _Atomic farcall_code answer;
static test_pair pair;

static farcall_code
on_open(const farcall_connection *connection, void **user, void *data)
{
	session *s;

	assert_ptr_equal(data, &pair);
	atomic_fetch_add(&n_open, 1);
	if (answer != FARCALL_OK)
		return answer;
	*user = s = (session *)calloc(1, sizeof *s);
	snprintf(s->peer, sizeof s->peer, "%s", connection->peer);
	snprintf(s->endpoint, sizeof s->endpoint, "%s", connection->endpoint);
	s->uid = connection->uid;
	s->pid = connection->pid;
	return FARCALL_OK;
}

static void
on_close(void *user, void *data)
{
	assert_ptr_equal(data, &pair);
	atomic_fetch_add(&calls_of_closed, atomic_load(&((session *)user)->n_calls));
	free(user);
	atomic_fetch_add(&n_closed, 1);
}

static farcall_code
count(test_pair *at, farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	session *s = (session *)farcall_call_connection_data(call);

	(void)at;
	(void)request;
	if (s == NULL)
		return FARCALL_NOT_FOUND;
	reply->number = (uint32_t)atomic_fetch_add(&s->n_calls, 1) + 1;
	reply->text = farcall_call_printf(call, "%s %s %d %d", s->endpoint, s->peer,
	    s->uid == (int64_t)getuid(), s->pid == (int64_t)getpid());
	return FARCALL_OK;
}

static void
prepare(const char *address)
{
	atomic_init(&n_open, 0);
	atomic_init(&n_closed, 0);
	atomic_init(&calls_of_closed, 0);
	answer = FARCALL_OK;
	test_pair_init(&pair, address);
	pair.custom = count;
	farcall_endpoint_set_name(pair.endpoint, "front");
	farcall_server_on_connection(pair.server, on_open, on_close, &pair);
}

static const char *
unix_address(void)
{
	static char address[64];

	snprintf(address, sizeof address, "unix:/tmp/farcall-sessions-%d", (int)getpid());
	return address;
}

static char text[200], said[300];

static uint32_t
number_of(farcall_channel *channel)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_call *call = farcall_call_new(channel);
	const Pair__Message *reply;
	uint32_t number = 0;

	farcall_call_set_timeout_ms(call, 60000);
	if (pair_test_custom(call, &request, &reply) == FARCALL_OK) {
		number = reply->number;
		snprintf(text, sizeof text, "%s", reply->text);
	}
	snprintf(said, sizeof said, "%s", farcall_call_error(call));
	assert_null(farcall_call_connection_data(call)); /* a client's */
	farcall_call_free(call);
	return number;
}

static void
each_connection_has_its_own(void **state)
{
	farcall_channel *other;

	(void)state;
	assert_null(farcall_call_connection_data(NULL));
	prepare(unix_address());
	test_pair_start(&pair);
	assert_int_equal(number_of(pair.channel), 1);
	assert_int_equal(number_of(pair.channel), 2);
	assert_string_equal(text, "front unix: 1 1");
	other = farcall_channel_open(test_pair_address(&pair));
	assert_int_equal(number_of(other), 1);
	assert_int_equal(atomic_load(&n_open), 2);
	farcall_channel_close(other);
	test_wait_for(&n_closed, 1);
	assert_int_equal(atomic_load(&calls_of_closed), 1);
	assert_int_equal(number_of(pair.channel), 3);
	test_pair_fini(&pair);
	assert_int_equal(atomic_load(&n_closed), 2);
	assert_int_equal(atomic_load(&calls_of_closed), 4);
}

static void
on_done(farcall_call *call, farcall_code code, const Pair__Message *reply, void *data)
{
	(void)code;
	(void)reply;
	farcall_call_free(call);
	atomic_fetch_add((atomic_int *)data, 1);
}

/* A call that pends keeps the data, though the connection has gone, and the server after it. */
static void
close_waits_for_the_last_call(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_call *call;
	atomic_int done;

	(void)state;
	atomic_init(&done, 0);
	prepare("mem:sessions");
	test_pair_start(&pair);
	call = farcall_call_new(pair.channel);
	pair_test_wait__async(call, &request, on_done, &done);
	test_wait_for(&pair.n_waiting, 1);
	farcall_channel_close(pair.channel);
	test_wait_for(&done, 1);
	farcall_server_stop(pair.server, 0);
	farcall_server_free(pair.server);
	assert_int_equal(atomic_load(&n_closed), 0);
	assert_non_null(farcall_call_connection_data(pair.waiting[0]));
	farcall_call_complete(pair.waiting[0], FARCALL_OK);
	assert_int_equal(atomic_load(&n_closed), 1);
	hooked_settle();
}

static void
a_connection_may_be_refused(void **state)
{
	const char *addresses[] = {"mem:sessions", "127.0.0.1:0", unix_address()};

	(void)state;
	for (int i = 0; i < 3; i++) {
		prepare(addresses[i]);
		test_pair_start(&pair);
		answer = FARCALL_PERMISSION_DENIED;
		assert_int_equal(number_of(pair.channel), 0);
		assert_memory_equal(said, "UNAVAILABLE", 11);
		answer = FARCALL_OK;
		farcall_channel_close(pair.channel);
		pair.channel = farcall_channel_open(test_pair_address(&pair));
		assert_int_equal(number_of(pair.channel), 1);
		assert_true(atomic_load(&n_open) >= 2);
		test_pair_fini(&pair);
		assert_int_equal(atomic_load(&n_closed), 1);
	}
}

/* Either alone; several loops; without any. */
static void
either_hook_may_be_missing(void **state)
{
	(void)state;
	prepare("mem:sessions");
	farcall_server_on_connection(pair.server, on_open, NULL, &pair);
	farcall_server_set_loops(pair.server, 3);
	test_pair_start(&pair);
	answer = FARCALL_UNAVAILABLE;
	assert_int_equal(number_of(pair.channel), 0);
	test_pair_fini(&pair);
	assert_int_equal(atomic_load(&n_closed), 0);
	prepare("mem:sessions");
	farcall_server_on_connection(pair.server, NULL, NULL, NULL);
	test_pair_start(&pair);
	assert_int_equal(number_of(pair.channel), 0);
	assert_string_equal(said, "NOT_FOUND");
	farcall_server_on_connection(pair.server, on_open, on_close, &pair);
	assert_string_equal(
	    farcall_server_error(pair.server), "on connection: the server has started already");
	test_pair_fini(&pair);
	assert_int_equal(atomic_load(&n_open), 0);
}

static void
each_loop_tells_of_its_own(void **state)
{
	farcall_channel *channels[8];

	(void)state;
	prepare("127.0.0.1:0");
	farcall_server_set_loops(pair.server, 3);
	test_pair_start(&pair);
	for (int i = 0; i < 8; i++) {
		channels[i] = farcall_channel_open(test_pair_address(&pair));
		assert_int_equal(number_of(channels[i]), 1);
	}
	assert_int_equal(atomic_load(&n_open), 8);
	for (int i = 0; i < 8; i++)
		farcall_channel_close(channels[i]);
	test_pair_fini(&pair);
	assert_int_equal(atomic_load(&n_closed), 8);
	assert_int_equal(atomic_load(&calls_of_closed), 8);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(each_connection_has_its_own),
	    clean_test(close_waits_for_the_last_call),
	    clean_test(a_connection_may_be_refused),
	    clean_test(either_hook_may_be_missing),
	    clean_test(each_loop_tells_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
