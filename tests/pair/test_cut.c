/*
 * A connection that is cut after every byte of a unary exchange, in each direction, by a close and
 * by a reset. A call that succeeds was run exactly once, one that fails at most once; nothing hangs
 * until its deadline; server and channel serve on.
 */
#include "tests/support/pair.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <uv.h>

enum { TO_SERVER, TO_CLIENT };

/* A proxy: one connection after the other. The first one after arm() is cut. */
typedef struct proxy {
	int listener;
	unsigned port, server_port;
	atomic_long cut[2]; /* bytes that are let through; below 0: all */
	atomic_bool hard;   /* by a reset */
	atomic_int n_cut;
	uv_thread_t thread;
} proxy;

static int
loopback(struct sockaddr_in *address, unsigned port)
{
	memset(address, 0, sizeof *address);
	address->sin_family = AF_INET;
	address->sin_port = htons((uint16_t)port);
	address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return socket(AF_INET, SOCK_STREAM, 0);
}

static void
hang_up(int fd, bool hard)
{
	const struct linger now = {.l_onoff = 1, .l_linger = 0};

	if (hard)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
	close(fd);
}

/* One portion one way. false: the connection is over. */
static bool
carry(proxy *p, int from, int to, long *left)
{
	char bytes[16384];
	size_t room = *left >= 0 && *left < (long)sizeof bytes ? (size_t)*left : sizeof bytes;
	ssize_t n = recv(from, bytes, room, 0);

	if (n <= 0 || send(to, bytes, (size_t)n, MSG_NOSIGNAL) != n)
		return false;
	if (*left >= 0 && (*left -= n) == 0) {
		atomic_fetch_add(&p->n_cut, 1);
		return false;
	}
	return true;
}

static void
pass_on(proxy *p, int client)
{
	struct sockaddr_in address;
	long left[2] = {
	    atomic_exchange(&p->cut[TO_SERVER], -1), atomic_exchange(&p->cut[TO_CLIENT], -1)};
	int server = loopback(&address, p->server_port);
	struct pollfd fds[] = {{client, POLLIN, 0}, {server, POLLIN, 0}};
	bool armed = left[TO_SERVER] >= 0 || left[TO_CLIENT] >= 0, open = true;

	if (connect(server, (struct sockaddr *)&address, sizeof address) != 0)
		perror("connect");
	if (left[TO_SERVER] == 0 || left[TO_CLIENT] == 0) {
		atomic_fetch_add(&p->n_cut, 1);
		open = false;
	}
	while (open && poll(fds, 2, -1) > 0) {
		if (fds[0].revents != 0)
			open = carry(p, client, server, &left[TO_SERVER]);
		if (open && fds[1].revents != 0)
			open = carry(p, server, client, &left[TO_CLIENT]);
	}
	hang_up(client, armed && atomic_load(&p->hard));
	hang_up(server, armed && atomic_load(&p->hard));
}

static void
run_proxy(void *data)
{
	proxy *p = (proxy *)data;
	int fd;

	while ((fd = accept(p->listener, NULL, NULL)) >= 0)
		pass_on(p, fd);
}

static void
proxy_start(proxy *p, unsigned server_port)
{
	struct sockaddr_in address;
	socklen_t size = sizeof address;

	memset(p, 0, sizeof *p);
	p->server_port = server_port;
	atomic_store(&p->cut[TO_SERVER], -1);
	atomic_store(&p->cut[TO_CLIENT], -1);
	p->listener = loopback(&address, 0);
	assert_int_equal(bind(p->listener, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(p->listener, 64), 0);
	assert_int_equal(getsockname(p->listener, (struct sockaddr *)&address, &size), 0);
	p->port = ntohs(address.sin_port);
	assert_int_equal(uv_thread_create(&p->thread, run_proxy, p), 0);
}

static void
proxy_stop(proxy *p)
{
	shutdown(p->listener, SHUT_RDWR);
	uv_thread_join(&p->thread);
	close(p->listener);
}

/* ---- calls through it ---- */

/* How often each call was run; a server may run one when its client has given up already. */
enum { CALLS_MOST = 4096 };
static atomic_int runs[CALLS_MOST];

static farcall_code
echo(test_pair *pair, farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	(void)pair;
	(void)call;
	atomic_fetch_add(&runs[request->number % CALLS_MOST], 1);
	*reply = *request;
	return FARCALL_OK;
}

static farcall_code
call_once(farcall_channel *channel, uint32_t number)
{
	static char text[] = "cut here";
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_call *call = farcall_call_new(channel);
	const Pair__Message *reply = NULL;
	farcall_code code;

	request.text = text;
	request.number = number;
	farcall_call_add_metadata(call, "x-some", "metadata");
	farcall_call_set_timeout_ms(call, 60000);
	code = pair_test_custom(call, &request, &reply);
	if (code == FARCALL_OK)
		assert_string_equal(reply->text, text);
	farcall_call_free(call);
	return code;
}

/* Answers whether the cut came to pass. */
static bool
cut_at(proxy *p, int direction, long at, bool hard)
{
	int n_cut = atomic_load(&p->n_cut), n_runs;
	farcall_channel *channel;
	farcall_code code;
	char target[32];

	snprintf(target, sizeof target, "127.0.0.1:%u", p->port);
	atomic_store(&p->hard, hard);
	atomic_store(&p->cut[direction], at);
	channel = farcall_channel_open(target);
	code = call_once(channel, (uint32_t)at);
	farcall_channel_close(channel);
	if (code != FARCALL_OK && code != FARCALL_UNAVAILABLE)
		fail_msg("cut at %ld of direction %d: %s", at, direction, farcall_code_name(code));
	n_runs = atomic_load(&runs[at]);
	if (code == FARCALL_OK && n_runs != 1)
		fail_msg("cut at %ld of direction %d: OK, but run %d times", at, direction, n_runs);
	return atomic_load(&p->n_cut) != n_cut;
}

static void
cut_everywhere(int direction, bool hard)
{
	test_pair pair;
	proxy p;
	long at = 0;

	memset(runs, 0, sizeof runs);
	test_pair_init(&pair, "127.0.0.1:0");
	pair.custom = echo;
	test_pair_start(&pair);
	proxy_start(&p, farcall_endpoint_port(pair.endpoint));
	while (cut_at(&p, direction, at, hard))
		at++;
	print_message("%ld bytes\n", at);
	assert_in_range(at, 100, 2000); /* the exchange has ended before this */
	assert_int_equal(test_echo(pair.channel, "still there"), FARCALL_OK);
	proxy_stop(&p);
	test_pair_fini(&pair);
	for (long i = 0; i < at; i++)
		if (atomic_load(&runs[i]) > 1)
			fail_msg("cut at %ld of direction %d: run more than once", i, direction);
}

static void
request_cut_by_close(void **state)
{
	(void)state;
	cut_everywhere(TO_SERVER, false);
}

static void
request_cut_by_reset(void **state)
{
	(void)state;
	cut_everywhere(TO_SERVER, true);
}

static void
response_cut_by_close(void **state)
{
	(void)state;
	cut_everywhere(TO_CLIENT, false);
}

static void
response_cut_by_reset(void **state)
{
	(void)state;
	cut_everywhere(TO_CLIENT, true);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(request_cut_by_close),
	    clean_test(request_cut_by_reset),
	    clean_test(response_cut_by_close),
	    clean_test(response_cut_by_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
