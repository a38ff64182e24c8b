/*
 * test_listener.c: what can go wrong in binding and accepting.
 */
#include "tests/unit/transport/pipes.h"

#include <farcall/log.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
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

static fc_listener *
try_open(const char *text, fc_error *error)
{
	fc_address address;
	fc_listener *listener;

	fc_error_clear(error);
	assert_int_equal(fc_address_parse(&address, text, error), FARCALL_OK);
	listener = fc_listener_open(&address, error);
	fc_address_fini(&address);
	return listener;
}

static fc_listener *
must_open(const char *text)
{
	fc_error error;
	fc_listener *listener = try_open(text, &error);

	if (listener == NULL)
		fail_msg("%s", error.text);
	return listener;
}

static void
expect_failure(const char *text, farcall_code code, farcall_cause cause, const char *why)
{
	fc_error error;

	assert_null(try_open(text, &error));
	assert_string_equal(error.text, why);
	assert_int_equal(error.code, code);
	assert_int_equal(error.cause, cause);
}

static int
port_of(const fc_listener *listener, size_t i)
{
	return atoi(strrchr(fc_listener_place(listener, i)->text, ':') + 1);
}

static const char *
scratch_path(void)
{
	static char path[64];

	snprintf(path, sizeof path, "/tmp/farcall-listen-%d", (int)getpid());
	return path;
}

/* ---- hosts ---- */

static void
address_in_use(void **state)
{
	fc_listener *first = must_open("127.0.0.1:0");
	char text[64], why[128];

	(void)state;
	snprintf(text, sizeof text, "127.0.0.1:%d", port_of(first, 0));
	snprintf(why, sizeof why, "bind %s: address in use", text);
	expect_failure(text, FARCALL_ALREADY_EXISTS, FARCALL_CAUSE_ADDRESS_IN_USE, why);
	/* one of several is enough to fail all, and the others are given back */
	snprintf(text, sizeof text, "ipv4:127.0.0.2:%d,127.0.0.1:%d", port_of(first, 0),
	    port_of(first, 0));
	expect_failure(text, FARCALL_ALREADY_EXISTS, FARCALL_CAUSE_ADDRESS_IN_USE, why);
	/* a dual-stack socket meets the IPv4 one */
	snprintf(text, sizeof text, "[::]:%d", port_of(first, 0));
	snprintf(why, sizeof why, "bind %s: address in use", text);
	expect_failure(text, FARCALL_ALREADY_EXISTS, FARCALL_CAUSE_ADDRESS_IN_USE, why);
	/* IPv6 alone does not */
	snprintf(text, sizeof text, "ipv6:[::]:%d", port_of(first, 0));
	fc_listener_close(must_open(text));
	fc_listener_close(first);
}

static void
one_number_for_all(void **state)
{
	fc_listener *listener = must_open("ipv4:127.0.0.1:0,127.0.0.2:0,127.0.0.3:0");

	(void)state;
	assert_int_equal(fc_listener_count(listener), 3);
	assert_true(port_of(listener, 0) > 0);
	assert_int_equal(port_of(listener, 0), port_of(listener, 1));
	assert_int_equal(port_of(listener, 0), port_of(listener, 2));
	fc_listener_close(listener);
}

static void
every_address_of_a_name(void **state)
{
	fc_listener *listener = must_open("localhost:0");
	size_t n = fc_listener_count(listener);

	(void)state;
	assert_true(n >= 1);
	for (size_t i = 0; i < n; i++) {
		assert_true(fc_place_is_local(fc_listener_place(listener, i)));
		assert_int_equal(port_of(listener, i), port_of(listener, 0));
	}
	fc_listener_close(listener);
	listener = must_open("ipv4:localhost:0");
	assert_memory_equal(fc_listener_place(listener, 0)->text, "ipv4:127.", 9);
	fc_listener_close(listener);
}

static void
not_of_this_host(void **state)
{
	fc_error error;

	(void)state;
	expect_failure("203.0.113.1:0", FARCALL_UNAVAILABLE, FARCALL_CAUSE_ADDRESS_NOT_AVAILABLE,
	    "bind 203.0.113.1:0: address not available");
	/* not found, or nobody there to ask */
	assert_null(try_open("no.such.host.invalid:1", &error));
	assert_int_equal(error.code, FARCALL_UNAVAILABLE);
	assert_int_equal(error.cause, FARCALL_CAUSE_HOST_NOT_FOUND);
	assert_memory_equal(error.text, "look up no.such.host.invalid: ", 30);
	expect_failure("file:/tmp", FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_BAD_ADDRESS,
	    "\"file:/tmp\" cannot be bound");
}

static void
wildcards_are_not_local(void **state)
{
	static const char *const texts[] = {"*:0", "[::]:0", "0.0.0.0:0", "ipv4:*:0", "ipv6:*:0"};

	(void)state;
	for (size_t i = 0; i < FC_COUNT(texts); i++) {
		fc_listener *listener = must_open(texts[i]);

		assert_false(fc_place_is_local(fc_listener_place(listener, 0)));
		fc_listener_close(listener);
	}
}

/* ---- without rights: in a child that has none ---- */

static void
access_denied(void **state)
{
	char dir[64], text[100];
	int status;
	pid_t child;

	(void)state;
	snprintf(dir, sizeof dir, "%s-dir", scratch_path());
	snprintf(text, sizeof text, "unix:%s/x", dir);
	assert_int_equal(mkdir(dir, 0700), 0);
	child = fork();
	if (child == 0) {
		char why[160];
		fc_error error;

		snprintf(why, sizeof why, "bind %s: access denied", text);
		if (geteuid() == 0 && setuid(65534) != 0)
			_exit(2);
		if (geteuid() != 65534)
			chmod(dir, 0500);
		if (try_open(text, &error) != NULL)
			_exit(3);
		if (error.code != FARCALL_PERMISSION_DENIED ||
		    error.cause != FARCALL_CAUSE_ACCESS_DENIED || strcmp(error.text, why) != 0)
			_exit(4);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	rmdir(dir);
	assert_int_equal(status, 0);
}

/* ---- unix paths ---- */

static void
unix_paths(void **state)
{
	char text[100], why[160];
	struct stat status;
	fc_listener *first, *second;
	mode_t mask = umask(0);
	int fd;

	(void)state;
	snprintf(text, sizeof text, "unix:%s", scratch_path());
	first = must_open(text);
	assert_string_equal(fc_listener_place(first, 0)->text, text);
	assert_int_equal(stat(scratch_path(), &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	fc_listener_set_mode(first, 0666);
	assert_int_equal(stat(scratch_path(), &status), 0);
	assert_int_equal(status.st_mode & 0777, 0666);
	umask(mask);
	/* alive: refused */
	snprintf(why, sizeof why, "bind %s: address in use", text);
	expect_failure(text, FARCALL_ALREADY_EXISTS, FARCALL_CAUSE_ADDRESS_IN_USE, why);
	/* somebody else's by now: left alone */
	assert_int_equal(unlink(scratch_path()), 0);
	second = must_open(text);
	fc_listener_close(first);
	assert_int_equal(stat(scratch_path(), &status), 0);
	fc_listener_close(second);
	assert_int_equal(stat(scratch_path(), &status), -1);
	/* no socket at all: left alone */
	fd = open(scratch_path(), O_CREAT | O_WRONLY, 0600);
	close(fd);
	expect_failure(text, FARCALL_ALREADY_EXISTS, FARCALL_CAUSE_ADDRESS_IN_USE, why);
	assert_int_equal(unlink(scratch_path()), 0);
	/* no folder */
	expect_failure("unix:/no/such/folder/x", FARCALL_NOT_FOUND,
	    FARCALL_CAUSE_ADDRESS_NOT_AVAILABLE,
	    "bind unix:/no/such/folder/x: no such file or directory");
}

static void
a_dead_socket_is_replaced(void **state)
{
	struct sockaddr_un address;
	char text[100];
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)state;
	memset(&address, 0, sizeof address);
	address.sun_family = AF_UNIX;
	snprintf(address.sun_path, sizeof address.sun_path, "%s", scratch_path());
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(fd, 1), 0);
	close(fd);
	snprintf(text, sizeof text, "unix:%s", scratch_path());
	fc_listener_close(must_open(text));
	assert_int_equal(access(scratch_path(), F_OK), -1);
}

static void
path_length(void **state)
{
	struct sockaddr_un address;
	size_t most = sizeof address.sun_path - 1;
	char text[160], why[300];

	(void)state;
	snprintf(text, sizeof text, "unix:%s", scratch_path());
	memset(text + strlen(text), 'x', sizeof text - strlen(text));
	text[5 + most] = 0;
	fc_listener_close(must_open(text));
	text[5 + most] = 'x';
	text[5 + most + 1] = 0;
	snprintf(why, sizeof why, "unix:%.80s...: path is longer than %zu bytes", text + 5, most);
	expect_failure(text, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_BAD_ADDRESS, why);
}

/* ---- inherited ---- */

static void
inherited(void **state)
{
	int file = open("/dev/null", O_RDONLY), plain = socket(AF_INET, SOCK_STREAM, 0),
	    packets = socket(AF_INET, SOCK_DGRAM, 0), closed = dup(file);
	char text[32], why[80];

	(void)state;
	close(closed);
	snprintf(text, sizeof text, "fd:%d", file);
	snprintf(why, sizeof why, "fd:%d: not a socket", file);
	expect_failure(text, FARCALL_FAILED_PRECONDITION, FARCALL_CAUSE_SYSTEM, why);
	snprintf(text, sizeof text, "fd:%d", plain);
	snprintf(why, sizeof why, "fd:%d: not a listening socket", plain);
	expect_failure(text, FARCALL_FAILED_PRECONDITION, FARCALL_CAUSE_BAD_ADDRESS, why);
	snprintf(text, sizeof text, "fd:%d", packets);
	snprintf(why, sizeof why, "fd:%d: not a stream socket", packets);
	expect_failure(text, FARCALL_FAILED_PRECONDITION, FARCALL_CAUSE_BAD_ADDRESS, why);
	snprintf(text, sizeof text, "fd:%d", closed);
	snprintf(why, sizeof why, "fd:%d: not an open descriptor", closed);
	expect_failure(text, FARCALL_FAILED_PRECONDITION, FARCALL_CAUSE_SYSTEM, why);
	close(packets);
	close(plain);
	close(file);
}

/* ---- mem ---- */

static void
mem_names(void **state)
{
	fc_listener *first = must_open("mem:a");
	char text[160], why[200];

	(void)state;
	expect_failure("mem:a", FARCALL_ALREADY_EXISTS, FARCALL_CAUSE_ADDRESS_IN_USE,
	    "bind mem:a: address in use");
	fc_listener_close(must_open("mem:b"));
	fc_listener_close(first);
	fc_listener_close(must_open("mem:a"));
	memset(text, 'x', sizeof text);
	memcpy(text, "mem:", 4);
	text[104] = 0;
	fc_listener_close(must_open(text));
	text[104] = 'x';
	text[105] = 0;
	snprintf(why, sizeof why, "mem:%.80s...: name is longer than 100 bytes", text + 4);
	expect_failure(text, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_BAD_ADDRESS, why);
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
	for (begin = uv_hrtime(); uv_hrtime() - begin < 350 * FC_NS_PER_MS; turns++)
		fc_loop_turn(w->loop, 50 * FC_NS_PER_MS);
	assert_int_equal(w->n_servers, 0);
	assert_in_range(turns, 3, 30);
	assert_int_equal(n_logged, 1);
	assert_string_equal(logged, "accept: too many open files; trying again every 100 ms");
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	farcall_log_set(NULL, NULL);
	begin = uv_hrtime();
	world_until(w, w->n_servers == 1);
	assert_true(uv_hrtime() - begin < FC_NS_PER_S);
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
	static const kind kinds[] = {
	    {"tcp4", "ipv4:127.0.0.1:0", NULL, true},
	    {"unix", "unix:/tmp/farcall-listen-memory", NULL, true},
	    {"mem", "mem:memory", NULL, false},
	};
	world *w = &the_world;

	(void)state;
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
	    clean_test(address_in_use),
	    clean_test(one_number_for_all),
	    clean_test(every_address_of_a_name),
	    clean_test(not_of_this_host),
	    clean_test(wildcards_are_not_local),
	    clean_test(access_denied),
	    clean_test(unix_paths),
	    clean_test(a_dead_socket_is_replaced),
	    clean_test(path_length),
	    clean_test(inherited),
	    clean_test(mem_names),
	    clean_test(at_most_64_a_turn),
	    clean_test(a_pause_holds_back),
	    clean_test(out_of_descriptors),
	    clean_test(a_child_may_close),
	    clean_test(out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
