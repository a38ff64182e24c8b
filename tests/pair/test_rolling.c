/*
 * test_rolling.c: servers that replace one another on one port while 1,000 calls are in flight: no
 * call is lost, and none is carried out twice. Each call has a number; the servers keep a ledger.
 */
#include "tests/support/pair.h"

#include <stdio.h>
#include <stdlib.h>

#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

enum { FLIGHT = 1000, RESTARTS = 20, CALLS_MOST = 4000000, HELD_MOST = 2048 };

static atomic_uchar carried_out[CALLS_MOST]; /* by number */
static atomic_uchar answered[CALLS_MOST];

typedef struct fleet {
	farcall_channel *channel;
	atomic_bool enough;
	atomic_int in_flight, good, lost;
	atomic_uint next;
	char error[256]; /* of the first that was lost */
} fleet;

/* Calls that the servers hold for a while, so that many are in flight when one is stopped. */
static struct {
	uv_mutex_t lock;
	farcall_call *calls[HELD_MOST];
	int n;
	atomic_bool over;
	uv_thread_t thread;
} held;

static farcall_code
hold_it(test_pair *pair, farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	farcall_code code = FARCALL_PENDING;

	(void)pair;
	*reply = *request;
	atomic_fetch_add(&carried_out[request->number], 1);
	uv_mutex_lock(&held.lock);
	if (held.n < HELD_MOST)
		held.calls[held.n++] = call;
	else
		code = FARCALL_OK;
	uv_mutex_unlock(&held.lock);
	return code;
}

/* Every 10 ms all that are held are answered. */
static void
answer_held(void *data)
{
	static farcall_call *calls[HELD_MOST];
	int n = 1;

	(void)data;
	while (!atomic_load(&held.over) || n > 0) {
		uv_sleep(10);
		uv_mutex_lock(&held.lock);
		n = held.n;
		memcpy(calls, held.calls, (size_t)n * sizeof calls[0]);
		held.n = 0;
		uv_mutex_unlock(&held.lock);
		for (int i = 0; i < n; i++)
			farcall_call_complete(calls[i], FARCALL_OK);
	}
}

static void launch(fleet *f);

static void
landed(farcall_call *call, farcall_code code, const Pair__Message *reply, void *data)
{
	fleet *f = (fleet *)data;

	if (code == FARCALL_OK) {
		atomic_fetch_add(&answered[reply->number], 1);
		atomic_fetch_add(&f->good, 1);
	} else if (atomic_fetch_add(&f->lost, 1) == 0) {
		snprintf(f->error, sizeof f->error, "%s", farcall_call_error(call));
	}
	farcall_call_free(call);
	if (!atomic_load(&f->enough))
		launch(f);
	else
		atomic_fetch_sub(&f->in_flight, 1);
}

static void
launch(fleet *f)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_call *call = farcall_call_new(f->channel);

	request.number = atomic_fetch_add(&f->next, 1);
	assert_true(request.number < CALLS_MOST);
	farcall_call_set_wait_for_ready(call, true);
	farcall_call_set_timeout_ms(call, 60000);
	pair_test_custom__async(call, &request, landed, f);
}

/* The old server has closed its socket a moment after it was told to stop. */
static void
start_server(test_pair *pair, const char *address)
{
	for (int i = 0;; i++) {
		test_pair next;

		memset(&next, 0, sizeof next);
		next.server = farcall_server_new();
		next.endpoint = farcall_server_bind(next.server, address);
		if (farcall_server_code(next.server) == FARCALL_OK) {
			farcall_server_free(next.server);
			break;
		}
		assert_int_equal(farcall_server_cause(next.server), FARCALL_CAUSE_ADDRESS_IN_USE);
		farcall_server_free(next.server);
		assert_true(i < 10000);
		uv_sleep(1);
	}
	test_pair_init(pair, address);
	pair->custom = hold_it;
	farcall_server_start(pair->server);
	assert_string_equal(farcall_server_error(pair->server), "");
}

static void
begin_fleet(fleet *f, const char *address)
{
	memset(f, 0, sizeof *f);
	for (unsigned i = 0; i < CALLS_MOST; i++) {
		atomic_init(&carried_out[i], 0);
		atomic_init(&answered[i], 0);
	}
	memset(&held, 0, sizeof held);
	uv_mutex_init(&held.lock);
	uv_thread_create(&held.thread, answer_held, NULL);
	f->channel = farcall_channel_open(address);
	atomic_store(&f->in_flight, FLIGHT);
	for (int i = 0; i < FLIGHT; i++)
		launch(f);
	test_wait_for(&f->good, FLIGHT);
}

/* Every call has had its one answer, of one handler. */
static void
end_fleet(fleet *f, int restarts)
{
	unsigned n;

	atomic_store(&f->enough, true);
	for (int i = 0; i < 60000 && atomic_load(&f->in_flight) > 0; i++)
		uv_sleep(1);
	assert_int_equal(atomic_load(&f->in_flight), 0);
	if (atomic_load(&f->lost) != 0)
		print_message("lost: %s\n", f->error);
	n = atomic_load(&f->next);
	print_message("%d restarts, %u calls, %d lost\n", restarts, n, atomic_load(&f->lost));
	assert_int_equal(atomic_load(&f->lost), 0);
	assert_int_equal(atomic_load(&f->good), n);
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(atomic_load(&carried_out[i]), 1);
		assert_int_equal(atomic_load(&answered[i]), 1);
	}
	farcall_channel_close(f->channel);
}

static void
end_held(void)
{
	atomic_store(&held.over, true);
	uv_thread_join(&held.thread);
	uv_mutex_destroy(&held.lock);
	for (int i = 0; i < 5000 && test_allocator_live() != 0; i++)
		uv_sleep(1);
}

/* The new server binds the port as soon as the old one has let go of it, and serves while the old
 * one drains. */
static void
a_port_is_taken_over(void **state)
{
	static test_pair pairs[2];
	static fleet f;
	char address[64];
	const int n = RESTARTS;

	(void)state;
	start_server(&pairs[0], "127.0.0.1:0");
	snprintf(address, sizeof address, "%s", test_pair_address(&pairs[0]));
	begin_fleet(&f, address);
	for (int i = 1; i <= n; i++) {
		int good;

		farcall_server_stop(pairs[(i - 1) % 2].server, 30000);
		start_server(&pairs[i % 2], address);
		good = atomic_load(&f.good);
		assert_int_equal(farcall_server_wait(pairs[(i - 1) % 2].server), FARCALL_OK);
		farcall_server_free(pairs[(i - 1) % 2].server);
		test_wait_for(&f.good, good + FLIGHT);
	}
	end_fleet(&f, n);
	farcall_server_free(pairs[n % 2].server);
	end_held();
}

/* The servers share one listening socket, as by socket activation: nobody is ever refused, so no
 * client has to wait. */
static void
a_socket_is_handed_over(void **state)
{
	static test_pair pairs[2];
	static fleet f;
	char address[64], shared[32];
	const int n = RESTARTS;
	int listening;

	(void)state;
	listening = socket(AF_INET, SOCK_STREAM, 0);
	assert_true(listening >= 0);
	assert_int_equal(listen(listening, 1024), 0); /* any address, any port */
	snprintf(shared, sizeof shared, "fd:%d", dup(listening));
	test_pair_init(&pairs[0], shared);
	farcall_endpoint_allow_insecure(pairs[0].endpoint);
	pairs[0].custom = hold_it;
	farcall_server_start(pairs[0].server);
	assert_string_equal(farcall_server_error(pairs[0].server), "");
	snprintf(address, sizeof address, "127.0.0.1:%u", farcall_endpoint_port(pairs[0].endpoint));
	begin_fleet(&f, address);
	for (int i = 1; i <= n; i++) {
		int good;

		snprintf(shared, sizeof shared, "fd:%d", dup(listening));
		test_pair_init(&pairs[i % 2], shared);
		farcall_endpoint_allow_insecure(pairs[i % 2].endpoint);
		pairs[i % 2].custom = hold_it;
		farcall_server_start(pairs[i % 2].server);
		farcall_server_stop(pairs[(i - 1) % 2].server, 30000);
		good = atomic_load(&f.good);
		assert_int_equal(farcall_server_wait(pairs[(i - 1) % 2].server), FARCALL_OK);
		farcall_server_free(pairs[(i - 1) % 2].server);
		test_wait_for(&f.good, good + FLIGHT);
	}
	end_fleet(&f, n);
	farcall_server_free(pairs[n % 2].server);
	close(listening);
	end_held();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(a_port_is_taken_over),
	    clean_test(a_socket_is_handed_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
