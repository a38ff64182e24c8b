/*
 * test_cost.c: a lone request costs three system calls: wait, read, write. Counted by strace, on
 * this program run as an echo server that also keeps a deadline and posts to itself.
 */
#include "runtime/transport/transport.h"

#include "tests/support/test.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS 200
#define STRACE "/usr/bin/strace"

/* ---- the server ---- */

typedef struct server {
	fc_loop *loop;
	fc_pipe *pipe;
	fc_timer deadline;
	fc_task answer, flush, mail;
	uint8_t bytes[64];
	size_t size;
	bool over;
} server;

static void
run_flush(fc_task *task)
{
	server *s = FC_CONTAINER(task, server, flush);
	fc_piece piece = {s->bytes, s->size};

	s->pipe->ops->write(s->pipe, &piece, 1);
}

static void
run_answer(fc_task *task)
{
	server *s = FC_CONTAINER(task, server, answer);

	fc_loop_flush_later(s->loop, &s->flush);
}

static void
run_mail(fc_task *task)
{
	server *s = FC_CONTAINER(task, server, mail);

	fc_loop_ready(s->loop, &s->answer);
}

static void
on_bytes(void *owner, const uint8_t *bytes, size_t size)
{
	server *s = (server *)owner;

	s->size = FC_MIN(size, sizeof s->bytes);
	memcpy(s->bytes, bytes, s->size);
	fc_timer_start(s->loop, &s->deadline, fc_loop_now(s->loop) + 20 * FC_NS_PER_S);
	fc_loop_post(s->loop, &s->mail);
}

static void
on_end(void *owner)
{
	((server *)owner)->over = true;
}

static void
on_lost(void *owner, const fc_error *why)
{
	(void)why;
	((server *)owner)->over = true;
}

static void
on_nothing(void *owner)
{
	(void)owner;
}

static void
on_deadline(fc_timer *timer)
{
	FC_CONTAINER(timer, server, deadline)->over = true;
}

static const fc_pipe_events events = {on_nothing, on_bytes, on_end, on_nothing, on_lost};

static void
on_accept(void *owner, fc_accepted *accepted)
{
	server *s = (server *)owner;

	s->pipe = fc_pipe_adopt(s->loop, accepted, &events, s, NULL);
	s->pipe->ops->read(s->pipe, true);
}

static int
serve(void)
{
	static server s;
	fc_listener *listener;
	fc_address address;

	s.answer.run = run_answer;
	s.flush.run = run_flush;
	s.mail.run = run_mail;
	fc_timer_init(&s.deadline, on_deadline);
	s.loop = fc_loop_open(NULL, NULL);
	fc_address_parse(&address, "127.0.0.1:0", NULL);
	listener = fc_listener_open(&address, NULL);
	fc_listener_start(listener, s.loop, on_accept, &s, NULL);
	printf("%s\n", strrchr(fc_listener_place(listener, 0)->text, ':') + 1);
	fflush(stdout);
	while (!s.over)
		fc_loop_turn(s.loop, FC_NEVER);
	s.pipe->ops->close(s.pipe);
	fc_listener_close(listener);
	fc_address_fini(&address);
	fc_loop_close(s.loop);
	return 0;
}

/* ---- the count ---- */

static const char *self;

static void
talk(int port)
{
	struct sockaddr_in address;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	char back[16];

	memset(&address, 0, sizeof address);
	address.sin_family = AF_INET;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	address.sin_port = htons((uint16_t)port);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
	uv_sleep(50); /* accepted */
	for (int i = 0; i < ROUNDS + 2; i++) {
		const char *text = i == 0 ? "BEGIN" : i == ROUNDS + 1 ? "FINIS" : "round";

		assert_int_equal(send(fd, text, 5, 0), 5);
		assert_int_equal(recv(fd, back, sizeof back, 0), 5);
	}
	close(fd);
}

/* Calls between the answer to BEGIN and the reading of FINIS. */
static void
count(const char *path, int *calls, int *waits)
{
	FILE *file = fopen(path, "r");
	bool counting = false;
	char line[512];

	assert_non_null(file);
	*calls = *waits = 0;
	while (fgets(line, sizeof line, file) != NULL) {
		if (strstr(line, "recvfrom") != NULL && strstr(line, "FINIS") != NULL)
			break;
		*calls += counting;
		*waits += counting && strstr(line, "epoll_") != NULL;
		counting |= strstr(line, "sendmsg") != NULL && strstr(line, "BEGIN") != NULL;
	}
	fclose(file);
}

static void
three_calls_a_round(void **state)
{
	int out[2], port = 0, status, calls, waits;
	char path[64];
	FILE *from;
	pid_t child;

	(void)state;
	if (access(STRACE, X_OK) != 0) {
		print_message("skipped: no strace\n");
		skip();
	}
	snprintf(path, sizeof path, "/tmp/farcall-cost-%d", (int)getpid());
	assert_int_equal(pipe(out), 0);
	child = fork();
	if (child == 0) {
		dup2(out[1], 1);
		setenv("ASAN_OPTIONS", "detect_leaks=0", 1); /* it wants to trace, too */
		execl(STRACE, "strace", "-o", path, self, "serve", (char *)NULL);
		_exit(1);
	}
	close(out[1]);
	from = fdopen(out[0], "r");
	if (fscanf(from, "%d", &port) != 1) {
		fclose(from);
		waitpid(child, &status, 0);
		unlink(path);
		print_message("skipped: strace may not trace here\n");
		skip();
	}
	talk(port);
	fclose(from);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	count(path, &calls, &waits);
	unlink(path);
	/* ROUNDS times all three, and the wait and no more for FINIS */
	assert_int_equal(waits, ROUNDS + 1);
	assert_int_equal(calls, 3 * ROUNDS + 1);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(three_calls_a_round)};

	self = argv[0];
	if (argc > 1 && strcmp(argv[1], "serve") == 0)
		return serve();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
