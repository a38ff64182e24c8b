/*
 * Servers that are not what a client hopes for: none at all, one that hangs up, HTTP/1, rubbish,
 * silence. Each has its code, cause and text, and nothing lasts past the deadline.
 */
#include "tests/support/pair.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <uv.h>

/* What the server does with each connection: says `bytes`, then hangs up or keeps still until the
 * client goes. */
typedef struct bad_server {
	const char *bytes;
	size_t size;
	bool hangs_up;
	int listener;
	unsigned port;
	uv_thread_t thread;
} bad_server;

static void
serve(void *data)
{
	bad_server *server = (bad_server *)data;
	char rest[4096];
	int fd;

	while ((fd = accept(server->listener, NULL, NULL)) >= 0) {
		if (server->hangs_up && server->size != 0 && read(fd, rest, sizeof rest) < 0)
			perror("read");
		if (server->size != 0 && write(fd, server->bytes, server->size) < 0)
			perror("write");
		if (server->hangs_up)
			shutdown(fd, SHUT_WR);
		while ((!server->hangs_up || server->size != 0) && read(fd, rest, sizeof rest) > 0)
			;
		close(fd);
	}
}

static void
start_bad(bad_server *server, const char *bytes, size_t size, bool hangs_up)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t length = sizeof address;

	server->bytes = bytes;
	server->size = size;
	server->hangs_up = hangs_up;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	server->listener = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(server->listener, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(server->listener, 16), 0);
	assert_int_equal(getsockname(server->listener, (struct sockaddr *)&address, &length), 0);
	server->port = ntohs(address.sin_port);
	assert_int_equal(uv_thread_create(&server->thread, serve, server), 0);
}

static void
stop_bad(bad_server *server)
{
	shutdown(server->listener, SHUT_RDWR);
	uv_thread_join(&server->thread);
	close(server->listener);
}

/* One call, whose error text must hold `text`; answers how long it took, in ms. */
static uint64_t
expect(const char *target, uint64_t timeout_ms, farcall_code code, farcall_cause cause,
    const char *text)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_channel *channel = farcall_channel_open(target);
	farcall_call *call = farcall_call_new(channel);
	const Pair__Message *reply = NULL;
	uint64_t begin = uv_hrtime();

	farcall_call_set_timeout_ms(call, timeout_ms);
	assert_int_equal(pair_test_echo(call, &request, &reply), code);
	if (farcall_call_cause(call) != cause || strstr(farcall_call_error(call), text) == NULL)
		fail_msg("%s, %s: expected %s and \"%s\"", farcall_call_error(call),
		    farcall_cause_name(farcall_call_cause(call)), farcall_cause_name(cause), text);
	farcall_call_free(call);
	farcall_channel_close(channel);
	return (uv_hrtime() - begin) / 1000000;
}

static void
expect_from(const char *bytes, size_t size, bool hangs_up, farcall_code code, farcall_cause cause,
    const char *text)
{
	bad_server server;
	char target[32];

	start_bad(&server, bytes, size, hangs_up);
	snprintf(target, sizeof target, "127.0.0.1:%u", server.port);
	assert_true(expect(target, code == FARCALL_DEADLINE_EXCEEDED ? 500 : 20000, code, cause,
	                text) < 15000);
	stop_bad(&server);
}

#define SAYS(literal) literal, sizeof literal - 1
#define SETTINGS "\0\0\0\4\0\0\0\0\0"

static void
nobody_is_there(void **state)
{
	bad_server server;
	char target[64], text[128];

	(void)state;
	start_bad(&server, NULL, 0, true);
	stop_bad(&server);
	snprintf(target, sizeof target, "127.0.0.1:%u", server.port);
	snprintf(text, sizeof text, "UNAVAILABLE: connect %s: connection refused", target);
	expect(target, 20000, FARCALL_UNAVAILABLE, FARCALL_CAUSE_CONNECTION_REFUSED, text);
	snprintf(target, sizeof target, "unix:/tmp/farcall-nobody-%d", (int)getpid());
	expect(target, 20000, FARCALL_UNAVAILABLE, FARCALL_CAUSE_ADDRESS_NOT_AVAILABLE,
	    "connect unix:");
	expect("mem:nobody", 20000, FARCALL_UNAVAILABLE, FARCALL_CAUSE_CONNECTION_REFUSED,
	    "connect mem:nobody: connection refused");
}

static void
hangs_up(void **state)
{
	(void)state;
	expect_from(
	    NULL, 0, true, FARCALL_UNAVAILABLE, FARCALL_CAUSE_CONNECTION_LOST, "connection");
	expect_from(
	    SAYS(SETTINGS), true, FARCALL_UNAVAILABLE, FARCALL_CAUSE_CONNECTION_LOST, "connection");
	expect_from(
	    SAYS("\0\0\6\4\0\0"), true, FARCALL_UNAVAILABLE, FARCALL_CAUSE_PROTOCOL, "SETTINGS");
}

static void
speaks_something_else(void **state)
{
	(void)state;
	expect_from(SAYS("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"), true,
	    FARCALL_UNAVAILABLE, FARCALL_CAUSE_PROTOCOL, "HTTP/1");
	expect_from(SAYS("\x15\x03\x01\0\2\2\x16"), true, FARCALL_UNAVAILABLE,
	    FARCALL_CAUSE_PROTOCOL, "TLS");
	expect_from(SAYS("SSH-2.0-OpenSSH_9.2\r\n"), false, FARCALL_UNAVAILABLE,
	    FARCALL_CAUSE_PROTOCOL, "HTTP/2");
}

static void
says_nothing(void **state)
{
	(void)state;
	expect_from(NULL, 0, false, FARCALL_DEADLINE_EXCEEDED, FARCALL_CAUSE_TIMED_OUT, "500 ms");
	expect_from(
	    SAYS(SETTINGS), false, FARCALL_DEADLINE_EXCEEDED, FARCALL_CAUSE_TIMED_OUT, "500 ms");
}

/* MAX_CONCURRENT_STREAMS 0: the connection stands, and the call waits for a stream. */
static void
allows_no_stream(void **state)
{
	(void)state;
	expect_from(SAYS("\0\0\6\4\0\0\0\0\0\0\3\0\0\0\0"), false, FARCALL_DEADLINE_EXCEEDED,
	    FARCALL_CAUSE_TIMED_OUT, "500 ms");
}

static void
breaks_the_protocol(void **state)
{
	(void)state;
	/* GOAWAY, SETTINGS of a wrong size, a PUSH_PROMISE */
	expect_from(SAYS(SETTINGS "\0\0\10\7\0\0\0\0\0\0\0\0\0\0\0\0\2"), true, FARCALL_UNAVAILABLE,
	    FARCALL_CAUSE_PROTOCOL, "GOAWAY");
	expect_from(SAYS("\0\0\5\4\0\0\0\0\0abcde"), false, FARCALL_UNAVAILABLE,
	    FARCALL_CAUSE_PROTOCOL, "SETTINGS");
	expect_from(SAYS(SETTINGS "\0\0\5\5\4\0\0\0\1\0\0\0\2\x88"), false, FARCALL_UNAVAILABLE,
	    FARCALL_CAUSE_PROTOCOL, "PUSH_PROMISE");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(nobody_is_there),
	    clean_test(hangs_up),
	    clean_test(speaks_something_else),
	    clean_test(says_nothing),
	    clean_test(allows_no_stream),
	    clean_test(breaks_the_protocol),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
