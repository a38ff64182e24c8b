/*
 * test_lookup.c: from addresses to places, and that a look-up can be left alone at any time.
 */
#include "runtime/transport/transport.h"

#include "tests/support/test.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct answer {
	int n_done;
	size_t n;
	fc_place places[64];
	fc_error error;
	fc_loop *loop;
	bool inside;
} answer;

static void
on_done(void *owner, const fc_place *places, size_t n, const fc_error *error)
{
	answer *a = (answer *)owner;

	a->n_done++;
	a->n = n;
	a->inside = fc_loop_inside(a->loop);
	for (size_t i = 0; i < n; i++)
		a->places[i] = places[i];
	fc_error_clear(&a->error);
	if (error != NULL)
		a->error = *error;
}

static fc_loop *
open_loop(void)
{
	fc_loop *loop = fc_loop_open(NULL, NULL);

	assert_non_null(loop);
	return loop;
}

static fc_lookup *
start(fc_loop *loop, const char *text, answer *a, fc_error *error)
{
	fc_address address;
	fc_lookup *lookup;

	memset(a, 0, sizeof *a);
	a->loop = loop;
	fc_error_clear(error);
	assert_int_equal(fc_address_parse(&address, text, error), FARCALL_OK);
	lookup = fc_lookup_start(loop, &address, on_done, a, error);
	fc_address_fini(&address);
	assert_int_equal(a->n_done, 0);
	return lookup;
}

static void
ask(fc_loop *loop, const char *text, answer *a)
{
	uint64_t limit = uv_hrtime() + 60 * FC_NS_PER_S;
	fc_error error;

	if (start(loop, text, a, &error) == NULL)
		fail_msg("%s", error.text);
	while (a->n_done == 0 && uv_hrtime() < limit)
		fc_loop_turn(loop, FC_NS_PER_S);
	assert_int_equal(a->n_done, 1);
	assert_true(a->inside);
}

static int
threads(void)
{
	DIR *dir = opendir("/proc/self/task");
	int n = 0;

	if (dir == NULL)
		return -1;
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n;
}

static void
literals(void **state)
{
	static const struct {
		const char *text;
		const char *places[3];
		bool local;
	} rows[] = {
	    {"127.0.0.1:80", {"ipv4:127.0.0.1:80"}, true},
	    {"[::1]:80", {"ipv6:[::1]:80"}, true},
	    {"8.8.8.8:53", {"ipv4:8.8.8.8:53"}, false},
	    {"[::ffff:127.0.0.1]:80", {"ipv4:127.0.0.1:80"}, true},
	    {"[2001:DB8:0::1]:80", {"ipv6:[2001:db8::1]:80"}, false},
	    {"ipv4:127.0.0.1:1,127.0.0.1:2,127.0.0.1:1", {"ipv4:127.0.0.1:1", "ipv4:127.0.0.1:2"},
	        true},
	    {"ipv6:[::1]:1,[::2]:2", {"ipv6:[::1]:1", "ipv6:[::2]:2"}, true},
	    {"unix:/a/b", {"unix:/a/b"}, true},
	    {"unix:///a%20b", {"unix:/a b"}, true},
	    {"mem:x", {"mem:x"}, true},
	    {"fd:1000", {"fd:1000"}, true},
	};
	fc_loop *loop = open_loop();
	int before = threads();

	(void)state;
	for (size_t i = 0; i < FC_COUNT(rows); i++) {
		answer a;
		size_t n = 0;

		ask(loop, rows[i].text, &a);
		assert_int_equal(a.error.code, FARCALL_OK);
		while (n < 3 && rows[i].places[n] != NULL) {
			assert_true(n < a.n);
			assert_string_equal(a.places[n].text, rows[i].places[n]);
			n++;
		}
		assert_int_equal(a.n, n);
		assert_int_equal(fc_place_is_local(&a.places[0]), rows[i].local);
	}
	assert_int_equal(threads(), before); /* nobody was started for that */
	fc_loop_close(loop);
}

static void
descriptors_are_as_local_as_their_peers(void **state)
{
	fc_loop *loop = open_loop();
	char text[32];
	answer a;
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	snprintf(text, sizeof text, "fd:%d", fds[0]);
	ask(loop, text, &a);
	assert_int_equal(a.places[0].kind, FC_PLACE_FD);
	assert_true(fc_place_is_local(&a.places[0]));
	close(fds[0]);
	close(fds[1]);
	fc_loop_close(loop);
}

static void
names(void **state)
{
	fc_loop *loop = open_loop();
	answer a;

	(void)state;
	ask(loop, "localhost:80", &a);
	assert_int_equal(a.error.code, FARCALL_OK);
	assert_true(a.n >= 1);
	for (size_t i = 0; i < a.n; i++)
		assert_true(fc_place_is_local(&a.places[i]));
	ask(loop, "ipv4:localhost:80", &a);
	assert_int_equal(a.n, 1);
	assert_string_equal(a.places[0].text, "ipv4:127.0.0.1:80");
	/* one that is found is enough */
	ask(loop, "ipv4:no.such.host.invalid:1,127.0.0.1:2", &a);
	assert_int_equal(a.n, 1);
	assert_string_equal(a.places[0].text, "ipv4:127.0.0.1:2");
	ask(loop, "no.such.host.invalid:1", &a);
	assert_int_equal(a.n, 0);
	assert_int_equal(a.error.code, FARCALL_UNAVAILABLE);
	assert_int_equal(a.error.cause, FARCALL_CAUSE_HOST_NOT_FOUND);
	assert_memory_equal(a.error.text, "look up no.such.host.invalid: ", 30);
	fc_loop_close(loop);
}

static void
refused_at_once(void **state)
{
	static const char *const rows[][2] = {
	    {"*:80", "bad address \"*:80\": * can be bound, not connected"},
	    {"host:0", "bad address \"host:0\": port 0 can be bound, not connected"},
	    {"file:///x/y", "\"file:///x/y\" names a registry, not a place"},
	};
	fc_loop *loop = open_loop();

	(void)state;
	for (size_t i = 0; i < FC_COUNT(rows); i++) {
		fc_error error;
		answer a;

		assert_null(start(loop, rows[i][0], &a, &error));
		assert_int_equal(error.code, FARCALL_INVALID_ARGUMENT);
		assert_int_equal(error.cause, FARCALL_CAUSE_BAD_ADDRESS);
		assert_string_equal(error.text, rows[i][1]);
	}
	fc_loop_close(loop);
}

/* Cancelled before it ends, in every way; and a loop that is closed meanwhile. */
static void
cancelled(void **state)
{
	static const char *const texts[] = {
	    "127.0.0.1:1", "localhost:1", "ipv4:localhost:1,localhost:2", "mem:x"};

	(void)state;
	for (size_t i = 0; i < FC_COUNT(texts); i++) {
		for (int turns = 0; turns < 3; turns++) {
			fc_loop *loop = open_loop();
			fc_lookup *lookup;
			fc_error error;
			answer a;

			lookup = start(loop, texts[i], &a, &error);
			assert_non_null(lookup);
			for (int t = 0; t < turns && a.n_done == 0; t++)
				fc_loop_turn(loop, 0);
			if (a.n_done == 0) {
				fc_lookup_cancel(lookup);
				for (int t = 0; t < 3; t++)
					fc_loop_turn(loop, FC_NS_PER_MS);
				assert_int_equal(a.n_done, 0);
			}
			fc_loop_close(loop);
		}
	}
	/* a loop may have been left to a thread: it ends soon, since the names are known here */
	for (int i = 0; i < 2000 && test_allocator_live() != 0; i++)
		uv_sleep(1);
	uv_sleep(5);
}

static void
out_of_memory(void **state)
{
	static const char *const texts[] = {"127.0.0.1:1", "unix:/x", "mem:x", "localhost:1"};
	fc_loop *loop = open_loop();

	(void)state;
	for (size_t i = 0; i < FC_COUNT(texts); i++) {
		bool failed = true;

		for (size_t n = 1; failed; n++) {
			fc_lookup *lookup;
			fc_address address;
			fc_error error;
			answer a;

			memset(&a, 0, sizeof a);
			a.loop = loop;
			fc_error_clear(&error);
			assert_int_equal(fc_address_parse(&address, texts[i], &error), FARCALL_OK);
			test_allocator_fail_at(n, false);
			lookup = fc_lookup_start(loop, &address, on_done, &a, &error);
			while (lookup != NULL && a.n_done == 0)
				fc_loop_turn(loop, FC_NS_PER_S);
			failed = test_allocator_failed();
			test_allocator_fail_at(0, false);
			fc_address_fini(&address);
			if (lookup == NULL)
				assert_int_equal(error.code, FARCALL_RESOURCE_EXHAUSTED);
			else if (a.n == 0)
				assert_int_equal(a.error.code, FARCALL_RESOURCE_EXHAUSTED);
			assert_int_equal(failed, lookup == NULL || a.n == 0);
		}
	}
	fc_loop_close(loop);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(literals),
	    clean_test(descriptors_are_as_local_as_their_peers),
	    clean_test(names),
	    clean_test(refused_at_once),
	    clean_test(cancelled),
	    clean_test(out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
