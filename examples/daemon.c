/*
 * daemon PORT PEER [CALLS]: a daemon as routing daemons are made: one poll(2) loop with a timer of
 * its own, in which a farcall server and two channels are stepped: one to its own server, one to
 * PEER, another instance. No thread is started. SIGHUP makes the server anew on the same port,
 * SIGTERM ends the daemon. Each tick of the timer calls both until each has answered CALLS times.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <farcall/loop.h>

#include "demo.farcall.h"

#define TICK_MS 20

/* One of the daemon's channels. */
struct line {
	char name[16];
	farcall_channel *channel;
	farcall_call *call; /* under way */
	int answered;
};

static struct {
	farcall_loop *loop;
	farcall_server *server;
	char address[32];
	struct line own, peer;
	int calls;
	long long tick; /* when the timer is due, ms */
} self;

/* ---- signals: a pipe, since poll() cannot wait for them otherwise ---- */

static int signal_pipe[2];

static void
on_signal(int number)
{
	int error = errno;
	char byte = (char)number;

	if (write(signal_pipe[1], &byte, 1) < 0)
		errno = error; /* the pipe is full of signals that will be read */
	errno = error;
}

static int
watch_signals(void)
{
	struct sigaction action = {.sa_handler = on_signal};

	if (pipe(signal_pipe) != 0)
		return -1;
	for (int i = 0; i < 2; i++) {
		fcntl(signal_pipe[i], F_SETFL, O_NONBLOCK);
		fcntl(signal_pipe[i], F_SETFD, FD_CLOEXEC);
	}
	sigaction(SIGTERM, &action, NULL);
	return sigaction(SIGHUP, &action, NULL);
}

/* ---- the server ---- */

static farcall_code
say_hello(farcall_call *call, const Demo__HelloRequest *request, Demo__HelloReply *reply)
{
	reply->message = farcall_call_printf(call, "Hello, %s!", request->name);
	return FARCALL_OK;
}

static const struct demo_greeter greeter = {.say_hello = say_hello};

/* On the port of the first time, whatever was asked for. */
static int
start_server(void)
{
	farcall_endpoint *endpoint;

	self.server = farcall_server_new();
	farcall_server_set_loop(self.server, self.loop);
	demo_greeter__register(self.server, &greeter, NULL);
	endpoint = farcall_server_bind(self.server, self.address);
	if (farcall_server_start(self.server) != FARCALL_OK) {
		fprintf(stderr, "daemon: %s\n", farcall_server_error(self.server));
		return -1;
	}
	snprintf(
	    self.address, sizeof self.address, "127.0.0.1:%u", farcall_endpoint_port(endpoint));
	printf("listening on %s\n", self.address);
	return 0;
}

/* ---- calls ---- */

static void
on_reply(farcall_call *call, farcall_code code, const Demo__HelloReply *reply, void *data)
{
	struct line *line = (struct line *)data;

	line->call = NULL;
	if (code == FARCALL_OK && ++line->answered == self.calls)
		printf("%s: %s\n", line->name, reply->message);
	farcall_call_free(call);
}

static void
call_again(struct line *line)
{
	Demo__HelloRequest request = DEMO__HELLO_REQUEST__INIT;

	if (line->channel == NULL || line->call != NULL || line->answered == self.calls)
		return;
	request.name = line->name;
	line->call = farcall_call_new(line->channel);
	farcall_call_set_wait_for_ready(line->call, true); /* the peer may not be up yet */
	demo_greeter_say_hello__async(line->call, &request, on_reply, line);
}

static void
open_line(struct line *line, const char *name, const char *target)
{
	snprintf(line->name, sizeof line->name, "%s", name);
	line->channel = farcall_channel_open(target);
	farcall_channel_set_loop(line->channel, self.loop);
	farcall_channel_set_timeout_ms(line->channel, 10000);
}

/* The loop still turns afterwards: nothing may be called on it then. */
static void
close_line(struct line *line)
{
	farcall_channel_close(line->channel);
	line->channel = NULL;
}

/* ---- the loop ---- */

static long long
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static int
earlier(int a, int b)
{
	return b < 0 || (a >= 0 && a < b) ? a : b;
}

/* One round; answers the signal that came, or 0. */
static int
poll_once(void)
{
	struct pollfd files[2] = {{.fd = (int)farcall_loop_fd(self.loop), .events = POLLIN},
	    {.fd = signal_pipe[0], .events = POLLIN}};
	long long left = self.tick - now_ms();
	int wait = left > 0 ? (int)left : 0;
	char number = 0;

	poll(files, 2, earlier(wait, farcall_loop_timeout_ms(self.loop)));
	if (now_ms() >= self.tick) {
		self.tick = now_ms() + TICK_MS;
		call_again(&self.own);
		call_again(&self.peer);
	}
	farcall_loop_step(self.loop, 0);
	fflush(stdout);
	return read(signal_pipe[0], &number, 1) == 1 ? number : 0;
}

/* Answers SIGTERM if that came meanwhile, or 0. */
static int
stop_server(void)
{
	int number = 0;

	farcall_server_stop(self.server, 1000);
	while (!farcall_server_stopped(self.server))
		if (poll_once() == SIGTERM)
			number = SIGTERM;
	farcall_server_free(self.server);
	return number;
}

int
main(int argc, char **argv)
{
	int rc = 1, number = 0;

	if (argc != 3 && argc != 4) {
		fprintf(stderr, "usage: daemon PORT PEER [CALLS]\n");
		return 2;
	}
	if (watch_signals() != 0)
		return 1;
	self.calls = argc == 4 ? atoi(argv[3]) : 1;
	self.loop = farcall_loop_new();
	snprintf(self.address, sizeof self.address, "127.0.0.1:%d", atoi(argv[1]));
	if (start_server() != 0) {
		farcall_server_free(self.server);
		goto out;
	}
	open_line(&self.own, "myself", self.address);
	open_line(&self.peer, "peer", argv[2]);
	while (number != SIGTERM) {
		number = poll_once();
		if (number != SIGHUP)
			continue;
		number = stop_server();
		self.own.answered = self.peer.answered = 0;
		if (start_server() != 0)
			break;
	}
	rc = number != SIGTERM;
	close_line(&self.own);
	close_line(&self.peer);
	stop_server();
out:
	farcall_loop_free(self.loop);
	close(signal_pipe[0]);
	close(signal_pipe[1]);
	return rc;
}
