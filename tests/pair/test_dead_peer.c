/*
 * test_dead_peer.c: a peer that is there no more, without a word: its machine has lost power, or
 * the network has. A socket filter that lets nothing in makes one of a live connection: what comes
 * is not even acknowledged. And addresses that are black holes, in real time.
 */
#include "tests/support/pair.h"

#include "client/internal.h"

#include <stdio.h>
#include <stdlib.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#ifdef __linux__
#include <linux/filter.h>
#endif

/* The connected socket of this process with `port` at its own end, or at the other. -1: none. */
static int
find_socket(unsigned port, bool own)
{
	for (int fd = 3; fd < 1024; fd++) {
		struct sockaddr_in at, to;
		socklen_t at_size = sizeof at, to_size = sizeof to;

		if (getsockname(fd, (struct sockaddr *)&at, &at_size) != 0 ||
		    getpeername(fd, (struct sockaddr *)&to, &to_size) != 0 ||
		    at.sin_family != AF_INET)
			continue;
		if (ntohs(own ? at.sin_port : to.sin_port) == port)
			return fd;
	}
	return -1;
}

#if defined(__linux__) && defined(SO_ATTACH_FILTER) && defined(TCP_USER_TIMEOUT)

static unsigned
timeout_of(int fd)
{
	unsigned ms = 0;
	socklen_t size = sizeof ms;

	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, &size), 0);
	return ms;
}

static void
make_deaf(int fd)
{
	struct sock_filter nothing = {BPF_RET | BPF_K, 0, 0, 0};
	struct sock_fprog program = {1, &nothing};

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program), 0);
}

static void
sockets_have_the_timeout(void **state)
{
	static const struct {
		uint64_t ms;
		unsigned expect;
	} cases[] = {{UINT64_MAX, 20000}, {1000, 1000}, {86400000, 86400000}, {0, 0}};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		test_pair pair;
		unsigned port;

		test_pair_init(&pair, "127.0.0.1:0");
		if (cases[i].ms != UINT64_MAX)
			farcall_server_set_peer_timeout_ms(pair.server, cases[i].ms);
		test_pair_start(&pair);
		if (cases[i].ms != UINT64_MAX)
			farcall_channel_set_peer_timeout_ms(pair.channel, cases[i].ms);
		assert_int_equal(test_echo(pair.channel, "x"), FARCALL_OK);
		port = farcall_endpoint_port(pair.endpoint);
		assert_int_equal(timeout_of(find_socket(port, true)), cases[i].expect);
		assert_int_equal(timeout_of(find_socket(port, false)), cases[i].expect);
		test_pair_fini(&pair);
	}
}

/* gRFC A18: the keepalive time-out is the peer time-out, too, unless that is set itself. */
static void
keepalive_sets_the_timeout(void **state)
{
	(void)state;
	for (int own = 0; own < 2; own++) {
		test_pair pair;
		unsigned port;

		test_pair_init(&pair, "127.0.0.1:0");
		farcall_server_set_keepalive_timeout_ms(pair.server, 5000);
		if (own)
			farcall_server_set_peer_timeout_ms(pair.server, 7000);
		test_pair_start(&pair);
		farcall_channel_set_keepalive_timeout_ms(pair.channel, 6000);
		farcall_channel_set_keepalive_ms(pair.channel, 10000);
		if (own)
			farcall_channel_set_peer_timeout_ms(pair.channel, 8000);
		assert_int_equal(test_echo(pair.channel, "x"), FARCALL_OK);
		port = farcall_endpoint_port(pair.endpoint);
		assert_int_equal(timeout_of(find_socket(port, true)), own ? 7000 : 5000);
		assert_int_equal(timeout_of(find_socket(port, false)), own ? 8000 : 6000);
		test_pair_fini(&pair);
	}
}

static void
finish_dead(farcall_call *call, farcall_code code, const Pair__Message *reply, void *data)
{
	(void)call, (void)code, (void)reply;
	atomic_fetch_add((atomic_int *)data, 1);
}

static unsigned
ms_since(uint64_t start)
{
	return (unsigned)((uv_hrtime() - start) / 1000000);
}

/* Nothing is on its way: the server has acknowledged the request, and dies. */
static void
keepalive_finds_a_server_that_owes_an_answer(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	const Pair__Message *reply = NULL;
	farcall_call *call;
	test_pair pair;
	uint64_t start;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	farcall_server_set_keepalive_ms(pair.server, 0);
	test_pair_start(&pair);
	farcall_channel_set_peer_timeout_ms(pair.channel, 0);
	fc_channel_keepalive(pair.channel, 500 * FC_NS_PER_MS, 700 * FC_NS_PER_MS);
	start = uv_hrtime(); /* before the last byte that it hears */
	assert_int_equal(test_echo(pair.channel, "alive"), FARCALL_OK);
	make_deaf(find_socket(farcall_endpoint_port(pair.endpoint), false));
	call = farcall_call_new(pair.channel);
	assert_int_equal(pair_test_wait(call, &request, &reply), FARCALL_UNAVAILABLE);
	print_message("found after %u ms: %s\n", ms_since(start), farcall_call_error(call));
	assert_in_range(ms_since(start), 1100, 20000);
	assert_int_equal(farcall_call_cause(call), FARCALL_CAUSE_TIMED_OUT);
	farcall_call_free(call);
	assert_int_equal(test_echo(pair.channel, "a new connection"), FARCALL_OK);
	farcall_server_stop(pair.server, 0);
	farcall_server_wait(pair.server); /* no handler runs any more */
	for (int i = 0; i < atomic_load(&pair.n_waiting); i++)
		farcall_call_complete(pair.waiting[i], FARCALL_OK);
	test_pair_fini(&pair);
}

/* No call at all; the channel's own thread asks. */
static void
keepalive_finds_a_dead_server_without_calls(void **state)
{
	test_pair pair;
	uint64_t start;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	farcall_server_set_ping_interval_ms(pair.server, 0);
	test_pair_start(&pair);
	farcall_channel_set_peer_timeout_ms(pair.channel, 0);
	farcall_channel_set_keepalive_without_calls(pair.channel, true);
	fc_channel_keepalive(pair.channel, 200 * FC_NS_PER_MS, 700 * FC_NS_PER_MS);
	assert_int_equal(test_echo(pair.channel, "alive"), FARCALL_OK);
	start = uv_hrtime();
	make_deaf(find_socket(farcall_endpoint_port(pair.endpoint), false));
	while (farcall_channel_state(pair.channel) == FARCALL_READY && ms_since(start) < 20000)
		uv_sleep(1);
	print_message("found after %u ms\n", ms_since(start));
	assert_int_not_equal(farcall_channel_state(pair.channel), FARCALL_READY);
	assert_int_equal(test_echo(pair.channel, "a new connection"), FARCALL_OK);
	test_pair_fini(&pair);
	for (int i = 0; i < 5000 && test_allocator_live() != 0; i++)
		uv_sleep(1);
}

static void
keepalive_finds_a_dead_client(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	atomic_int done = 0;
	farcall_call *call;
	test_pair pair;
	uint64_t start;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	farcall_server_set_peer_timeout_ms(pair.server, 0);
	farcall_server_set_keepalive_ms(pair.server, 1000);
	farcall_server_set_keepalive_timeout_ms(pair.server, 1000);
	test_pair_start(&pair);
	start = uv_hrtime(); /* before the last byte of it */
	call = farcall_call_new(pair.channel);
	pair_test_wait__async(call, &request, finish_dead, &done);
	test_wait_for(&pair.n_waiting, 1);
	make_deaf(find_socket(farcall_endpoint_port(pair.endpoint), true));
	test_wait_for(&pair.n_cancelled, 1);
	print_message("found after %u ms\n", ms_since(start));
	assert_in_range(ms_since(start), 1900, 20000);
	farcall_call_complete(pair.waiting[0], FARCALL_OK);
	farcall_channel_close(pair.channel);
	pair.channel = NULL;
	test_wait_for(&done, 1);
	farcall_call_free(call);
	test_pair_fini(&pair);
	for (int i = 0; i < 5000 && test_allocator_live() != 0; i++)
		uv_sleep(1);
}

static void
a_dead_server_is_found(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_call *call;
	test_pair pair;
	uint64_t start;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	test_pair_start(&pair);
	farcall_channel_set_peer_timeout_ms(pair.channel, 1000);
	assert_int_equal(test_echo(pair.channel, "alive"), FARCALL_OK);
	make_deaf(find_socket(farcall_endpoint_port(pair.endpoint), true));
	start = uv_hrtime();
	call = farcall_call_new(pair.channel); /* no deadline: it would wait for ever */
	assert_int_equal(pair_test_echo(call, &request, NULL), FARCALL_UNAVAILABLE);
	assert_in_range((uv_hrtime() - start) / 1000000, 900, 20000);
	print_message("found after %u ms: %s\n", (unsigned)((uv_hrtime() - start) / 1000000),
	    farcall_call_error(call));
	farcall_call_free(call);
	assert_int_equal(test_echo(pair.channel, "a new connection"), FARCALL_OK);
	test_pair_fini(&pair);
}

/* What the server sends to a client that has died ends the client's connection, and cancels what
 * else it had asked for. */
static void
a_dead_client_is_found(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_call *calls[2];
	atomic_int done = 0;
	test_pair pair;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	farcall_server_set_peer_timeout_ms(pair.server, 1000);
	test_pair_start(&pair);
	for (int i = 0; i < 2; i++) {
		calls[i] = farcall_call_new(pair.channel);
		pair_test_wait__async(calls[i], &request, finish_dead, &done);
	}
	test_wait_for(&pair.n_waiting, 2);
	make_deaf(find_socket(farcall_endpoint_port(pair.endpoint), false));
	farcall_call_complete(pair.waiting[0], FARCALL_OK); /* never arrives */
	test_wait_for(&pair.n_cancelled, 1);
	farcall_call_complete(pair.waiting[1], FARCALL_OK);
	farcall_channel_close(pair.channel);
	pair.channel = NULL;
	test_wait_for(&done, 2);
	for (int i = 0; i < 2; i++)
		farcall_call_free(calls[i]);
	test_pair_fini(&pair);
	for (int i = 0; i < 5000 && test_allocator_live() != 0; i++)
		uv_sleep(1);
}

#endif

static void
the_timeout_has_a_range(void **state)
{
	static const struct {
		uint64_t ms;
		bool good;
	} cases[] = {{0, true}, {1, false}, {999, false}, {1000, true}, {86400000, true},
	    {86400001, false}, {UINT64_MAX, false}};

	(void)state;
	farcall_channel_set_peer_timeout_ms(NULL, 1);
	farcall_server_set_peer_timeout_ms(NULL, 1);
	for (size_t i = 0; i < 7; i++) {
		farcall_channel *channel = farcall_channel_open("mem:x");
		farcall_server *server = farcall_server_new();

		farcall_channel_set_peer_timeout_ms(channel, cases[i].ms);
		farcall_server_set_peer_timeout_ms(server, cases[i].ms);
		assert_int_equal(farcall_channel_code(channel),
		    cases[i].good ? FARCALL_OK : FARCALL_INVALID_ARGUMENT);
		assert_int_equal(farcall_server_code(server),
		    cases[i].good ? FARCALL_OK : FARCALL_INVALID_ARGUMENT);
		farcall_channel_close(channel);
		farcall_server_free(server);
	}
}

/* A socket that listens and is never accepted from: the system takes the connection, and nobody
 * says a word. */
static void
a_silent_address_costs_a_quarter_of_a_second(void **state)
{
	char target[64];
	farcall_channel *channel;
	test_pair silent, pair;
	uint64_t start;

	(void)state;
	test_pair_init(&silent, "127.0.0.1:0");
	test_pair_init(&pair, "127.0.0.1:0");
	test_pair_start(&pair);
	snprintf(target, sizeof target, "ipv4:127.0.0.1:%u,127.0.0.1:%u",
	    farcall_endpoint_port(silent.endpoint), farcall_endpoint_port(pair.endpoint));
	channel = farcall_channel_open(target);
	start = uv_hrtime();
	assert_int_equal(test_echo(channel, "hello"), FARCALL_OK);
	assert_in_range((uv_hrtime() - start) / 1000000, 240, 30000);
	start = uv_hrtime();
	assert_int_equal(test_echo(channel, "hello"), FARCALL_OK);
	farcall_channel_close(channel);

	channel = farcall_channel_open(target); /* too late: the deadline wins */
	{
		Pair__Message request = PAIR__MESSAGE__INIT;
		farcall_call *call = farcall_call_new(channel);

		farcall_call_set_timeout_ms(call, 100);
		assert_int_equal(pair_test_echo(call, &request, NULL), FARCALL_DEADLINE_EXCEEDED);
		farcall_call_free(call);
	}
	farcall_channel_close(channel);
	test_pair_fini(&pair);
	farcall_server_free(silent.server);
}

/* ---- a server that moves ---- */

/* What is published is read anew for each connection: the next call follows the server to its new
 * port, after an end that was announced and after one that was not. */
static void
a_published_server_is_followed_to_another_port(void **state)
{
	char dir[] = "/tmp/farcall-move-XXXXXX", target[80], registry[64];
	farcall_channel *channel;
	unsigned port = 0;
	test_pair pair, before;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(registry, sizeof registry, "file:%s", dir);
	snprintf(target, sizeof target, "file://%s/pair.Test", dir);
	memset(&pair, 0, sizeof pair);
	channel = farcall_channel_open(target);
	for (int i = 0; i < 5; i++) {
		before = pair;
		test_pair_init(&pair, "127.0.0.1:0");
		farcall_server_publish(pair.server, registry);
		test_pair_start(&pair);
		assert_int_not_equal(farcall_endpoint_port(pair.endpoint), port);
		port = farcall_endpoint_port(pair.endpoint);
		if (i > 0)
			test_pair_fini(&before);
		assert_int_equal(test_echo(channel, "wherever you are"), FARCALL_OK);
		assert_int_equal(test_echo(channel, "again"), FARCALL_OK);
	}
	test_pair_fini(&pair);
	assert_int_equal(test_echo(channel, "nowhere"), FARCALL_UNAVAILABLE);
	farcall_channel_close(channel);
	assert_int_equal(rmdir(dir), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#if defined(__linux__) && defined(SO_ATTACH_FILTER) && defined(TCP_USER_TIMEOUT)
		clean_test(sockets_have_the_timeout),
		clean_test(keepalive_sets_the_timeout),
		clean_test(keepalive_finds_a_server_that_owes_an_answer),
		clean_test(keepalive_finds_a_dead_server_without_calls),
		clean_test(keepalive_finds_a_dead_client),
		clean_test(a_dead_server_is_found),
		clean_test(a_dead_client_is_found),
#endif
		clean_test(the_timeout_has_a_range),
		clean_test(a_silent_address_costs_a_quarter_of_a_second),
		clean_test(a_published_server_is_followed_to_another_port),
	};

	(void)find_socket;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
