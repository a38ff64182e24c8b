/*
 * test_bind.c: what can be bound, and what cannot.
 */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* unshare() */
#endif

#include "runtime/transport/transport.h"

#include "tests/support/test.h"

#include <farcall/log.h>

#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
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
	    "bad address \"file:/tmp\", column 1: a registry cannot be bound");
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

/* ---- a family that the host lacks ---- */

#ifdef __linux__
static bool
enter_host_without_ip6(void)
{
	static const char path[] = "/proc/sys/net/ipv6/conf/all/disable_ipv6";
	struct ifreq lo;
	int fd, rc;

	if (unshare(CLONE_NEWNET) != 0)
		return false;
	fd = open(path, O_WRONLY);
	if (fd < 0 || write(fd, "1", 1) != 1)
		return false;
	close(fd);
	memset(&lo, 0, sizeof lo);
	strcpy(lo.ifr_name, "lo");
	lo.ifr_flags = IFF_UP;
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	rc = ioctl(fd, SIOCSIFFLAGS, &lo);
	close(fd);
	return rc == 0;
}

/* As of a name with both. */
static int
bind_both(void)
{
	char v4[] = "127.0.0.1", v6[] = "::1", text[] = "both:0";
	fc_address address;
	fc_listener *listener;
	fc_error error;
	int rc = 0;

	memset(&address, 0, sizeof address);
	address.scheme = FC_SCHEME_DNS;
	address.text = text;
	address.n_hosts = 2;
	address.hosts[0].name = v6;
	address.hosts[1].name = v4;
	fc_error_clear(&error);
	listener = fc_listener_open(&address, &error);
	if (listener == NULL || fc_listener_count(listener) != 1)
		return 3;
	if (strncmp(fc_listener_place(listener, 0)->text, "ipv4:127.0.0.1:", 15) != 0)
		rc = 4;
	if (strcmp(logged, "bind [::1]:0: left out, the host has no such family") != 0)
		rc = 5;
	fc_listener_close(listener);
	address.n_hosts = 1;
	if (fc_listener_open(&address, &error) != NULL ||
	    strcmp(error.text, "bind both:0: address not available") != 0)
		rc = 6;
	return rc;
}

static void
a_lacking_family(void **state)
{
	pid_t child = fork();
	int status;

	(void)state;
	if (child == 0) {
		if (!enter_host_without_ip6())
			_exit(77);
		farcall_log_set_level(FARCALL_LOG_INFO);
		farcall_log_set(keep_log, NULL);
		_exit(bind_both());
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
		print_message("skipped: no network namespace to be had\n");
		skip();
	}
	assert_int_equal(status, 0);
}
#endif

/* ---- without rights: in a child that has none ---- */

static void
access_denied(void **state)
{
	char dir[80], text[100];
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

/* A relative path means the same in another folder: to clients that read it in a record, and to us
 * when it goes. One that would be too long stays as it is. */
static void
relative_unix_paths(void **state)
{
	char here[1024], folder[80], deep[120], text[128];
	fc_listener *listener;
	struct stat status;

	(void)state;
	assert_non_null(getcwd(here, sizeof here));
	snprintf(folder, sizeof folder, "%s-folder", scratch_path());
	assert_int_equal(mkdir(folder, 0700), 0);
	assert_int_equal(chdir(folder), 0);
	listener = must_open("unix:here");
	snprintf(text, sizeof text, "unix:%s/here", folder);
	assert_string_equal(fc_listener_place(listener, 0)->text, text);
	assert_int_equal(chdir("/"), 0);
	fc_listener_close(listener);
	assert_int_equal(stat(text + 5, &status), -1);

	memset(deep, 'd', sizeof deep);
	deep[90] = 0;
	assert_int_equal(chdir(folder), 0);
	snprintf(text, sizeof text, "unix:%s", deep);
	listener = must_open(text);
	assert_string_equal(fc_listener_place(listener, 0)->text, text);
	fc_listener_close(listener);
	assert_int_equal(chdir(here), 0);
	assert_int_equal(rmdir(folder), 0);
}

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
	char text[160];

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
#ifdef __linux__
	    clean_test(a_lacking_family),
#endif
	    clean_test(access_denied),
	    clean_test(relative_unix_paths),
	    clean_test(unix_paths),
	    clean_test(a_dead_socket_is_replaced),
	    clean_test(path_length),
	    clean_test(inherited),
	    clean_test(mem_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
