/*
 * test_registry.c: records of servers in a folder: what is published is found, what is dead is not.
 */
#include "tests/support/test.h"

#include "runtime/base/bytes.h"
#include "runtime/transport/registry.h"

#include <farcall/log.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char dir[64];

static void
no_log(farcall_log_level level, const char *text, void *data)
{
	(void)level, (void)text, (void)data;
}

static int
setup(void **state)
{
	strcpy(dir, "/tmp/farcall-registry-XXXXXX");
	assert_non_null(mkdtemp(dir));
	farcall_log_set(no_log, NULL);
	return test_clean_setup(state);
}

static int
files_left(void)
{
	DIR *folder = opendir(dir);
	struct dirent *entry;
	int n = 0;

	while ((entry = readdir(folder)) != NULL)
		n += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
	closedir(folder);
	return n;
}

static int
teardown(void **state)
{
	char command[128];

	snprintf(command, sizeof command, "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
	farcall_log_set(NULL, NULL);
	return test_clean_teardown(state);
}

#define registry_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* ---- helpers ---- */

typedef struct names {
	size_t n;
	char at[64][64];
} names;

static void
collect(void *data, const char *address)
{
	names *into = (names *)data;

	if (into->n < FC_COUNT(into->at))
		snprintf(into->at[into->n], sizeof into->at[0], "%s", address);
	into->n++;
}

static farcall_code
find(names *found, const char *interface_name, fc_error *error)
{
	char path[512];

	found->n = 0;
	fc_error_clear(error);
	snprintf(path, sizeof path, "%s/%s", dir, interface_name);
	return fc_record_find(path, collect, found, error);
}

static fc_record *
publish(const char *interface_name, const char *address)
{
	fc_error error;
	fc_record *record;

	fc_error_clear(&error);
	record = fc_record_publish(dir, interface_name, &address, 1, &error);
	assert_string_equal(error.text, "");
	assert_non_null(record);
	return record;
}

static void
assert_found(const char *interface_name, size_t n)
{
	fc_error error;
	names found;

	assert_int_equal(
	    find(&found, interface_name, &error), n != 0 ? FARCALL_OK : FARCALL_UNAVAILABLE);
	assert_int_equal(found.n, n);
	if (n == 0)
		assert_int_equal(error.cause, FARCALL_CAUSE_HOST_NOT_FOUND);
}

/* A file of our making, locked (as a living owner would) or not; its descriptor. */
static int
plant(const char *name, const char *text, size_t size, bool locked)
{
	char path[160];
	int fd;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, size), (ssize_t)size);
	if (locked)
		assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	return fd;
}

static void
age(const char *name, int seconds)
{
	struct timespec at[2] = {{time(NULL) - seconds, 0}, {time(NULL) - seconds, 0}};
	char path[160];

	snprintf(path, sizeof path, "%s/%s", dir, name);
	assert_int_equal(utimensat(AT_FDCWD, path, at, 0), 0);
}

/* The only file in the folder. */
static void
only_file(char *name, size_t room)
{
	DIR *folder = opendir(dir);
	struct dirent *entry;

	name[0] = 0;
	while ((entry = readdir(folder)) != NULL)
		if (entry->d_name[0] != '.')
			assert_true((size_t)snprintf(name, room, "%s", entry->d_name) < room);
	closedir(folder);
	assert_true(name[0] != 0);
}

/* ---- the tests ---- */

static void
test_publish_and_find(void **state)
{
	static const char *const addresses[] = {"ipv4:127.0.0.1:27015", "unix:/run/demo"};
	fc_record *record;
	fc_error error;
	names found;
	char name[64], expected[64];

	(void)state;
	fc_error_clear(&error);
	record = fc_record_publish(dir, "demo.Greeter", addresses, 2, &error);
	assert_non_null(record);
	only_file(name, sizeof name);
	snprintf(expected, sizeof expected, "demo.Greeter@%ld-", (long)getpid());
	assert_int_equal(strncmp(name, expected, strlen(expected)), 0);
	assert_int_equal(find(&found, "demo.Greeter", &error), FARCALL_OK);
	assert_int_equal(found.n, 2);
	assert_string_equal(found.at[0], "ipv4:127.0.0.1:27015");
	assert_string_equal(found.at[1], "unix:/run/demo");
	assert_int_equal(fc_record_renew(record, &error), FARCALL_OK);
	assert_found("demo.Greete", 0); /* a shorter or longer name is another interface */
	assert_found("demo.Greeter2", 0);
	fc_record_withdraw(record);
	assert_int_equal(files_left(), 0);
	assert_int_equal(find(&found, "demo.Greeter", &error), FARCALL_UNAVAILABLE);
	snprintf(expected, sizeof expected, "no server has published demo.Greeter in ");
	assert_int_equal(strncmp(error.text, expected, strlen(expected)), 0);
}

static void
test_two_servers_newest_first(void **state)
{
	fc_record *a = publish("demo.Greeter", "mem:first");
	fc_record *b = publish("demo.Greeter", "mem:second");
	fc_record *other = publish("demo.Other", "mem:other");
	fc_error error;
	names found;

	(void)state;
	assert_int_equal(find(&found, "demo.Greeter", &error), FARCALL_OK);
	assert_int_equal(found.n, 2);
	assert_string_equal(found.at[0], "mem:second");
	assert_string_equal(found.at[1], "mem:first");
	assert_int_equal(fc_record_renew(a, &error), FARCALL_OK); /* renewing changes no order */
	find(&found, "demo.Greeter", &error);
	assert_string_equal(found.at[0], "mem:second");
	fc_record_withdraw(b);
	assert_found("demo.Greeter", 1);
	fc_record_withdraw(a);
	assert_found("demo.Other", 1);
	fc_record_withdraw(other);
}

static void
test_dead_owner(void **state)
{
	int ready[2], status;
	char byte;
	pid_t child;

	(void)state;
	assert_int_equal(pipe(ready), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		publish("demo.Greeter", "mem:child");
		(void)!write(ready[1], "x", 1);
		pause();
		_exit(0);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_found("demo.Greeter", 1);
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(files_left(), 1);
	assert_found("demo.Greeter", 0);
	assert_int_equal(files_left(), 0); /* the finder has swept */
	close(ready[0]);
	close(ready[1]);
}

static void
test_child_leaves_its_parents_record(void **state)
{
	fc_record *record = publish("demo.Greeter", "mem:parent");
	int status;
	pid_t child = fork();

	(void)state;
	assert_true(child >= 0);
	if (child == 0) {
		fc_record_withdraw(record);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_found("demo.Greeter", 1);
	fc_record_withdraw(record);
	assert_int_equal(files_left(), 0);
}

static void
test_lease(void **state)
{
	fc_record *record = publish("demo.Greeter", "mem:a");
	fc_error error;
	char name[64];

	(void)state;
	fc_error_clear(&error);
	only_file(name, sizeof name);
	age(name, 30 - 2);
	assert_found("demo.Greeter", 1);
	age(name, 30 + 2);
	assert_found("demo.Greeter", 0);
	assert_int_equal(files_left(), 1); /* its owner lives: it is not ours to remove */
	assert_int_equal(fc_record_renew(record, &error), FARCALL_OK);
	assert_found("demo.Greeter", 1);
	age(name, -3600); /* a clock that was set back */
	assert_found("demo.Greeter", 1);
	fc_record_withdraw(record);
}

static void
test_removed_by_somebody(void **state)
{
	fc_record *record = publish("demo.Greeter", "mem:a");
	fc_error error;
	char name[64], path[160];

	(void)state;
	fc_error_clear(&error);
	only_file(name, sizeof name);
	snprintf(path, sizeof path, "%s/%s", dir, name);
	assert_int_equal(unlink(path), 0);
	assert_found("demo.Greeter", 0);
	assert_int_equal(fc_record_renew(record, &error), FARCALL_OK);
	assert_found("demo.Greeter", 1);
	fc_record_withdraw(record);
	assert_int_equal(files_left(), 0);
}

#define HEAD "farcall-record 1\ninterface demo.Greeter\n"

typedef struct rubbish {
	const char *text;
	size_t size, found;
} rubbish;

#define TEXT(text, found)                     \
	{                                     \
		text, sizeof(text) - 1, found \
	}

static void
test_rubbish(void **state)
{
	static const rubbish rows[] = {
	    TEXT(HEAD "address mem:good\n", 1),
	    TEXT(HEAD "color green\naddress mem:good\n", 1), /* keys to come are skipped */
	    TEXT(HEAD "started 99999999999999999999999\naddress mem:good\n", 1),
	    TEXT("", 0),
	    TEXT("farcall-record 1", 0),
	    TEXT("farcall-record 2\ninterface demo.Greeter\naddress mem:a\n", 0),
	    TEXT(HEAD, 0),
	    TEXT(HEAD "address mem:cut", 0),
	    TEXT(HEAD "address \n", 0),
	    TEXT(HEAD "address mem:a\nnoblank\n", 0),
	    TEXT(HEAD "address mem:\x01\n", 0),
	    TEXT(HEAD "address mem:\0a\n", 0),
	    TEXT("farcall-record 1\ninterface demo.Greeter2\naddress mem:a\n", 0),
	    TEXT("farcall-record 1\naddress mem:a\n", 0),
	    TEXT("\x7f"
	         "ELF\x02\x01\x01\n\n\n",
	        0),
	};
	char path[160];

	(void)state;
	snprintf(path, sizeof path, "%s/demo.Greeter@1-1", dir);
	for (size_t i = 0; i < FC_COUNT(rows); i++) {
		int fd = plant("demo.Greeter@1-1", rows[i].text, rows[i].size, true);

		assert_found("demo.Greeter", rows[i].found);
		close(fd);
		assert_int_equal(unlink(path), 0);
	}
}

/* A record of `n` addresses and `fill` bytes of a key that nobody knows. */
static size_t
big_record(char *to, size_t n, size_t fill)
{
	size_t at = (size_t)sprintf(to, HEAD);

	for (size_t i = 0; i < n; i++)
		at += (size_t)sprintf(to + at, "address mem:%zu\n", i);
	if (fill >= 3) {
		memset(to + at, 'x', fill);
		to[at + 1] = ' ';
		to[at + fill - 1] = '\n';
		at += fill;
	}
	return at;
}

static void
find_planted(const char *text, size_t size, size_t expected)
{
	int fd = plant("demo.Greeter@1-1", text, size, true);
	char path[160];

	snprintf(path, sizeof path, "%s/demo.Greeter@1-1", dir);
	assert_found("demo.Greeter", expected);
	close(fd);
	assert_int_equal(unlink(path), 0);
}

static void
test_caps_of_a_record(void **state)
{
	const size_t most = (size_t)FC_RECORD_ADDRESSES * (FC_ADDRESS_MOST + 16) + 4096;
	char *text = malloc(most + 64);
	size_t base;

	(void)state;
	find_planted(text, big_record(text, FC_RECORD_ADDRESSES, 0), FC_RECORD_ADDRESSES);
	find_planted(text, big_record(text, FC_RECORD_ADDRESSES + 1, 0), 0);
	base = big_record(text, 1, 0);
	find_planted(text, big_record(text, 1, most - base), 1);
	find_planted(text, big_record(text, 1, most - base + 1), 0);
	free(text);
}

static void
test_caps_of_publishing(void **state)
{
	char address[FC_ADDRESS_MOST + 2], name[202];
	const char *addresses[FC_RECORD_ADDRESSES + 1];
	fc_record *record;
	fc_error error;

	(void)state;
	for (size_t i = 0; i < FC_COUNT(addresses); i++)
		addresses[i] = "mem:a";
	fc_error_clear(&error);
	record = fc_record_publish(dir, "a.B", addresses, FC_RECORD_ADDRESSES, &error);
	assert_non_null(record);
	assert_found("a.B", FC_RECORD_ADDRESSES);
	fc_record_withdraw(record);
	assert_null(fc_record_publish(dir, "a.B", addresses, FC_RECORD_ADDRESSES + 1, &error));
	assert_int_equal(error.cause, FARCALL_CAUSE_LIMIT);
	fc_error_clear(&error);
	assert_null(fc_record_publish(dir, "a.B", addresses, 0, &error));
	assert_int_equal(error.code, FARCALL_INVALID_ARGUMENT);

	memset(address, 'a', sizeof address);
	address[FC_ADDRESS_MOST] = 0;
	record = publish("a.B", address);
	assert_found("a.B", 1);
	fc_record_withdraw(record);
	address[FC_ADDRESS_MOST] = 'a';
	address[FC_ADDRESS_MOST + 1] = 0;
	addresses[0] = address;
	fc_error_clear(&error);
	assert_null(fc_record_publish(dir, "a.B", addresses, 1, &error));
	assert_int_equal(error.cause, FARCALL_CAUSE_BAD_ADDRESS);

	memset(name, 'n', sizeof name);
	name[200] = 0;
	record = publish(name, "mem:a");
	assert_found(name, 1);
	fc_record_withdraw(record);
	name[200] = 'n';
	name[201] = 0;
	fc_error_clear(&error);
	addresses[0] = "mem:a";
	assert_null(fc_record_publish(dir, name, addresses, 1, &error));
	assert_int_equal(error.code, FARCALL_INVALID_ARGUMENT);
}

static void
test_bad_names(void **state)
{
	static const char *const bad[] = {"", "../etc", "a b", ".hidden", "a@1", "a-b", "\xc3\xa4"};
	const char *address = "mem:a", *line_break = "mem:a\naddress mem:b";
	fc_error error;
	names found;

	(void)state;
	for (size_t i = 0; i < FC_COUNT(bad); i++) {
		fc_error_clear(&error);
		assert_null(fc_record_publish(dir, bad[i], &address, 1, &error));
		assert_int_equal(error.code, FARCALL_INVALID_ARGUMENT);
	}
	assert_int_equal(find(&found, "a@1", &error), FARCALL_INVALID_ARGUMENT);
	assert_int_equal(find(&found, "", &error), FARCALL_INVALID_ARGUMENT);
	fc_error_clear(&error);
	assert_null(fc_record_publish(dir, "a.B", &line_break, 1, &error));
	assert_int_equal(error.cause, FARCALL_CAUSE_BAD_ADDRESS);
	assert_int_equal(files_left(), 0);
}

static void
test_missing_folder(void **state)
{
	const char *address = "mem:a";
	fc_error error;
	names found;
	char path[160];

	(void)state;
	found.n = 0;
	fc_error_clear(&error);
	snprintf(path, sizeof path, "%s/nowhere", dir);
	assert_null(fc_record_publish(path, "demo.Greeter", &address, 1, &error));
	assert_int_equal(error.code, FARCALL_NOT_FOUND);
	assert_non_null(strstr(error.text, "nowhere: no such folder"));
	fc_error_clear(&error);
	strcat(path, "/demo.Greeter");
	assert_int_equal(fc_record_find(path, collect, &found, &error), FARCALL_UNAVAILABLE);
	assert_int_equal(error.cause, FARCALL_CAUSE_HOST_NOT_FOUND);
	assert_non_null(strstr(error.text, "no such folder"));
	assert_int_equal(found.n, 0);
}

/* What lies in the folder beside records: links are not followed, a FIFO does not stop us. */
static void
test_strange_files(void **state)
{
	int fd = plant("elsewhere", HEAD "address mem:a\n", strlen(HEAD "address mem:a\n"), true);
	char path[160];

	(void)state;
	snprintf(path, sizeof path, "%s/demo.Greeter@1-1", dir);
	assert_int_equal(symlink("elsewhere", path), 0);
	snprintf(path, sizeof path, "%s/demo.Greeter@1-2", dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	snprintf(path, sizeof path, "%s/demo.Greeter@1-3", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_found("demo.Greeter", 0);
	assert_int_equal(files_left(), 4);
	close(fd);
}

/* A publisher that died before its file had a name. */
static void
test_left_over_temporary(void **state)
{
	(void)state;
	close(plant(".demo.Greeter@1-1.tmp", "x", 1, false));
	assert_found("demo.Greeter", 0);
	assert_int_equal(files_left(), 1); /* young: its publisher may be about to lock it */
	age(".demo.Greeter@1-1.tmp", 30 + 2);
	assert_found("demo.Greeter", 0);
	assert_int_equal(files_left(), 0);
}

static void
test_records_most(void **state)
{
	char name[64];

	(void)state;
	for (int i = 0; i < 1024 + 6; i++) {
		snprintf(name, sizeof name, "demo.Greeter@1-%d", i);
		close(plant(name, "x", 1, false));
	}
	assert_found("demo.Greeter", 0);
	assert_int_equal(files_left(), 6);
}

static void
test_out_of_memory(void **state)
{
	fc_record *record = publish("demo.Greeter", "mem:a"), *second;
	const char *address = "mem:b";
	fc_error error;
	names found;

	(void)state;
	for (size_t nth = 1;; nth++) {
		fc_error_clear(&error);
		test_allocator_fail_at(nth, false);
		second = fc_record_publish(dir, "demo.Greeter", &address, 1, &error);
		if (!test_allocator_failed())
			break;
		assert_null(second);
		assert_int_equal(error.cause, FARCALL_CAUSE_OUT_OF_MEMORY);
		assert_int_equal(files_left(), 1);
	}
	fc_record_withdraw(second);
	for (size_t nth = 1;; nth++) {
		test_allocator_fail_at(nth, false);
		find(&found, "demo.Greeter", &error);
		if (!test_allocator_failed())
			break;
		assert_int_equal(error.cause, FARCALL_CAUSE_OUT_OF_MEMORY);
		assert_int_equal(found.n, 0);
	}
	test_allocator_fail_at(0, false);
	assert_int_equal(found.n, 1);
	fc_record_withdraw(record);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    registry_test(test_publish_and_find),
	    registry_test(test_two_servers_newest_first),
	    registry_test(test_dead_owner),
	    registry_test(test_child_leaves_its_parents_record),
	    registry_test(test_lease),
	    registry_test(test_removed_by_somebody),
	    registry_test(test_rubbish),
	    registry_test(test_caps_of_a_record),
	    registry_test(test_caps_of_publishing),
	    registry_test(test_bad_names),
	    registry_test(test_missing_folder),
	    registry_test(test_strange_files),
	    registry_test(test_left_over_temporary),
	    registry_test(test_records_most),
	    registry_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
