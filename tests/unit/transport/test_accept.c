/*
 * test_accept.c: taking connections: how many, when there is no room for them, in children, out of
 * memory.
 */
#include "tests/unit/transport/pipes.h"

#include "runtime/transport/sock.h"

#include <farcall/log.h>

#include <netinet/in.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char logged[512];
static int n_logged;

static void
keep_log(farcall_log_level level, const char *text, void *data)
{
	(void)level;
	(void)data;
	n_logged++;
	snprintf(logged, sizeof logged, "%s", text);
}

static const char *
scratch_path(void)
{
	static char path[64];

	snprintf(path, sizeof path, "/tmp/farcall-listen-%d", (int)getpid());
	return path;
}

/* ---- accepting ---- */

static const variant tcp = {{"tcp4", "ipv4:127.0.0.1:0", NULL, true}, {"plain", NULL}, ""};
static world the_world;

static int
connect_plainly(const world *w)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)(const void *)w->place.sockaddr.bytes,
	                     w->place.size),
	    0);
	return fd;
}

static void
at_most_64_a_turn(void **state)
{
	world *w = &the_world;
	int fds[100];

	(void)state;
	world_open(w, &tcp);
	world_listen(w);
	for (int i = 0; i < 100; i++)
		fds[i] = connect_plainly(w);
	fc_loop_turn(w->loop, FC_NEVER);
	assert_int_equal(w->n_servers, 64);
	fc_loop_turn(w->loop, FC_NEVER);
	assert_int_equal(w->n_servers, 100);
	for (int i = 0; i < 100; i++)
		close(fds[i]);
	world_close(w);
}

static void
a_pause_holds_back(void **state)
{
	world *w = &the_world;
	int fd;

	(void)state;
	world_open(w, &tcp);
	world_listen(w);
	fc_listener_pause(w->listener, true);
	fd = connect_plainly(w);
	world_turns(w, 20);
	assert_int_equal(w->n_servers, 0);
	fc_listener_pause(w->listener, false);
	world_until(w, w->n_servers == 1);
	close(fd);
	world_close(w);
}

/* Out of descriptors: few turns, one line in the log, and accepted when there are some again. */
static void
out_of_descriptors(void **state)
{
	world *w = &the_world;
	struct rlimit before, few;
	int fd, turns = 0, highest;
	uint64_t begin;

	(void)state;
	world_open(w, &tcp);
	world_listen(w);
	fd = connect_plainly(w);
	highest = dup(fd);
	close(highest);
	getrlimit(RLIMIT_NOFILE, &before);
	few = before;
	few.rlim_cur = (rlim_t)highest;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	n_logged = 0;
	farcall_log_set(keep_log, NULL);
	for (begin = uv_hrtime(); uv_hrtime() - begin < 350 * FC_NS_PER_MS || turns < 3; turns++)
		fc_loop_turn(w->loop, 50 * FC_NS_PER_MS);
	begin = uv_hrtime() - begin;
	assert_int_equal(w->n_servers, 0);
	assert_in_range(turns, 3, 20 + begin / (30 * FC_NS_PER_MS));
	assert_in_range(n_logged, 1, 1 + begin / FC_NS_PER_S);
	assert_string_equal(logged, "accept: too many open files; trying again every 100 ms");
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	farcall_log_set(NULL, NULL);
	begin = uv_hrtime();
	world_until(w, w->n_servers == 1);
	assert_true(uv_hrtime() - begin < 15 * FC_NS_PER_S);
	close(fd);
	world_close(w);
}

/* What a child made by fork() closes stays open and known in the parent. */
static void
a_child_may_close(void **state)
{
	world *w = &the_world;
	side *client, *server;
	char text[100];
	pid_t child;
	int status;

	(void)state;
	snprintf(text, sizeof text, "unix:%s", scratch_path());
	{
		variant v = {{"unix", text, NULL, true}, {"plain", NULL}, ""};

		world_open(w, &v);
		world_listen(w);
		client = world_pair(w, &server);
		child = fork();
		if (child == 0) {
			world_close(w);
			_exit(0);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_int_equal(status, 0);
		assert_int_equal(access(scratch_path(), F_OK), 0);
		client->to_send = server->to_send = 1000;
		client->shut_when_sent = server->shut_when_sent = true;
		side_pump(client);
		side_pump(server);
		world_until(w, side_done(client) && side_done(server));
		world_pair(w, &server);
		world_close(w);
	}
}

/* ---- odd connections ---- */

/* A full backlog of a unix socket is waited out. */
static void
a_full_backlog(void **state)
{
	struct sockaddr_un address;
	int listening = socket(AF_UNIX, SOCK_STREAM, 0), fds[8], n = 0, taken[8];
	char text[100];
	world *w = &the_world;
	side *client;

	(void)state;
	memset(&address, 0, sizeof address);
	address.sun_family = AF_UNIX;
	snprintf(address.sun_path, sizeof address.sun_path, "%s", scratch_path());
	assert_int_equal(bind(listening, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(listening, 1), 0);
	for (; n < 8; n++) {
		fds[n] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
		if (connect(fds[n], (struct sockaddr *)&address, sizeof address) != 0)
			break;
	}
	assert_in_range(n, 1, 7);
	snprintf(text, sizeof text, "unix:%s", scratch_path());
	{
		variant v = {{"unix", text, NULL, true}, {"plain", NULL}, ""};

		world_open(w, &v);
		assert_int_equal(fc_sock_unix_place(&w->place, scratch_path(), NULL), FARCALL_OK);
		client = world_connect(w);
		world_turns(w, 10);
		assert_int_equal(client->told, 0);
		taken[0] = accept(listening, NULL, NULL);
		world_until(w, client->told != 0);
		assert_int_equal(client->told, ON_OPEN);
		world_close(w);
	}
	close(taken[0]);
	for (int i = 0; i <= n; i++)
		close(fds[i]);
	close(listening);
	unlink(scratch_path());
}

/* The system may pick, for a connection to a port that nobody has, that very port. */
static void
connected_to_itself(void **state)
{
	fc_place place, other;
	fc_sock sock;
	bool done;

	(void)state;
	assert_true(fc_place_from_literal(&place, "127.0.0.1", 0));
	assert_int_equal(fc_sock_open(AF_INET, &sock), 0);
	assert_int_equal(fc_sock_bind(sock, &place), 0);
	assert_int_equal(fc_sock_place(sock, &place), 0);
	assert_int_equal(fc_sock_connect(sock, &place, &done), 0);
	assert_true(fc_sock_is_to_itself(sock, &place));
	assert_true(fc_place_from_literal(&other, "127.0.0.1", 1));
	assert_false(fc_sock_is_to_itself(sock, &other));
	fc_sock_close(sock);
}

/* ---- out of memory ---- */

/* Connect, accept, a few bytes each way. Answers whether it worked; if not, nothing is left over
 * and nothing hangs. */
static bool
talk(world *w, const variant *v)
{
	fc_address address;
	fc_error error;
	side *client;
	bool worked = false;

	fc_error_clear(&error);
	w->n_clients = w->n_servers = 0;
	if (fc_address_parse(&address, v->kind.address, &error) != FARCALL_OK)
		goto out;
	w->listener = fc_listener_open(&address, &error);
	fc_address_fini(&address);
	if (w->listener == NULL || world_start(w, &error) != FARCALL_OK)
		goto out;
	w->place = *fc_listener_place(w->listener, 0);
	client = world_try_connect(w, &error);
	if (client == NULL)
		goto out;
	client->to_send = 10;
	client->shut_when_sent = true;
	for (int i = 0; i < 40 && !worked && (client->told & (ON_LOST | ON_END)) == 0; i++) {
		fc_loop_turn(w->loop, 20 * FC_NS_PER_MS);
		worked = w->n_servers == 1 && w->servers[0].pipe != NULL &&
		    (w->servers[0].told & ON_END) != 0;
	}
	if (worked)
		assert_int_equal(w->servers[0].got, 10);
	else
		error.code = FARCALL_RESOURCE_EXHAUSTED; /* told by the pipe, or by waiting */
out:
	if (!worked)
		assert_int_equal(error.code, FARCALL_RESOURCE_EXHAUSTED);
	for (int i = 0; i < w->n_clients; i++)
		side_close(&w->clients[i]);
	for (int i = 0; i < w->n_servers; i++)
		side_close(&w->servers[i]);
	if (w->listener != NULL)
		world_stop_listening(w);
	world_turns(w, 2);
	return worked;
}

static void
out_of_memory(void **state)
{
	char path[64];
	const kind kinds[] = {
	    {"tcp4", "ipv4:127.0.0.1:0", NULL, true},
	    {"unix", path, NULL, true},
	    {"mem", "mem:memory", NULL, false},
	};
	world *w = &the_world;

	(void)state;
	snprintf(path, sizeof path, "unix:/tmp/farcall-listen-memory-%d", (int)getpid());
	farcall_log_set(keep_log, NULL);
	for (size_t k = 0; k < FC_COUNT(kinds); k++) {
		variant v = {kinds[k], {"plain", NULL}, ""};

		for (int sticky = 0; sticky < 2; sticky++) {
			bool failed = true;

			world_open(w, &v);
			for (size_t n = 1; failed; n++) {
				bool worked;

				assert_true(n < 100);
				test_allocator_fail_at(n, sticky != 0);
				worked = talk(w, &v);
				failed = test_allocator_failed();
				test_allocator_fail_at(0, false);
				if (!failed)
					assert_true(worked);
				assert_true(talk(w, &v)); /* the loop is none the worse */
			}
			world_close(w);
		}
	}
	farcall_log_set(NULL, NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(at_most_64_a_turn),
	    clean_test(a_pause_holds_back),
	    clean_test(out_of_descriptors),
	    clean_test(a_child_may_close),
	    clean_test(a_full_backlog),
	    clean_test(connected_to_itself),
	    clean_test(out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
