/*
 * test_address.c: the grammar of addresses, good and bad, with the exact text of each error.
 */
#include "runtime/transport/address.h"

#include "runtime/base/bytes.h"
#include "runtime/transport/sock.h"

#include "tests/support/test.h"

#include <stdio.h>
#include <stdlib.h>

#include <uv.h>

typedef struct good {
	const char *text;
	fc_scheme scheme;
	const char *host; /* of the first host, or the path */
	int port;         /* or the descriptor */
	size_t n_hosts;
	const char *authority;
} good;

static const good goods[] = {
    {"localhost:27015", FC_SCHEME_DNS, "localhost", 27015, 1, "localhost:27015"},
    {"a-b_c.example.:1", FC_SCHEME_DNS, "a-b_c.example.", 1, 1, "a-b_c.example.:1"},
    {"127.0.0.1:0", FC_SCHEME_DNS, "127.0.0.1", 0, 1, "127.0.0.1:0"},
    {"host:65535", FC_SCHEME_DNS, "host", 65535, 1, "host:65535"},
    {"host:007", FC_SCHEME_DNS, "host", 7, 1, "host:007"},
    {"[::1]:80", FC_SCHEME_DNS, "::1", 80, 1, "[::1]:80"},
    {"[::]:0", FC_SCHEME_DNS, "::", 0, 1, "[::]:0"},
    {"[fe80::1%eth0]:5", FC_SCHEME_DNS, "fe80::1%eth0", 5, 1, "[fe80::1%eth0]:5"},
    {"[::ffff:1.2.3.4]:5", FC_SCHEME_DNS, "::ffff:1.2.3.4", 5, 1, "[::ffff:1.2.3.4]:5"},
    {"*:27015", FC_SCHEME_DNS, "*", 27015, 1, "*:27015"},
    {"fe80:1", FC_SCHEME_DNS, "fe80", 1, 1, "fe80:1"},
    {"dns:///host:80", FC_SCHEME_DNS, "host", 80, 1, "host:80"},
    {"dns:host:80", FC_SCHEME_DNS, "host", 80, 1, "host:80"},
    {"DNS:///[::1]:80", FC_SCHEME_DNS, "::1", 80, 1, "[::1]:80"},
    {"dns:///unix:80", FC_SCHEME_DNS, "unix", 80, 1, "unix:80"},
    {"ipv4:127.0.0.1:80", FC_SCHEME_IPV4, "127.0.0.1", 80, 1, "127.0.0.1:80"},
    {"ipv4:localhost:80", FC_SCHEME_IPV4, "localhost", 80, 1, "localhost:80"},
    {"ipv4:*:80", FC_SCHEME_IPV4, "*", 80, 1, "*:80"},
    {"ipv4:1.2.3.4:5,6.7.8.9:10", FC_SCHEME_IPV4, "1.2.3.4", 5, 2, "1.2.3.4:5"},
    {"ipv6:[::1]:80,[::2]:81,[::3]:82", FC_SCHEME_IPV6, "::1", 80, 3, "[::1]:80"},
    {"ipv6:localhost:80", FC_SCHEME_IPV6, "localhost", 80, 1, "localhost:80"},
    {"unix:/run/x", FC_SCHEME_UNIX, "/run/x", 0, 0, "localhost"},
    {"unix:x y", FC_SCHEME_UNIX, "x y", 0, 0, "localhost"},
    {"unix:a%20b", FC_SCHEME_UNIX, "a%20b", 0, 0, "localhost"},
    {"unix:///run/a%20b", FC_SCHEME_UNIX, "/run/a b", 0, 0, "localhost"},
    {"unix:///r%C3%a9", FC_SCHEME_UNIX, "/r\xc3\xa9", 0, 0, "localhost"},
    {"unix:80", FC_SCHEME_UNIX, "80", 0, 0, "localhost"},
    {"fd:3", FC_SCHEME_FD, NULL, 3, 0, "localhost"},
    {"fd:2147483647", FC_SCHEME_FD, NULL, 2147483647, 0, "localhost"},
    {"mem:name", FC_SCHEME_MEM, "name", 0, 0, "localhost"},
    {"mem:a:b", FC_SCHEME_MEM, "a:b", 0, 0, "localhost"},
    {"file:/run/farcall", FC_SCHEME_FILE, "/run/farcall", 0, 0, "localhost"},
    {"file:///dir/pkg.Service", FC_SCHEME_FILE, "/dir/pkg.Service", 0, 0, "localhost"},
};

typedef struct bad {
	const char *text;
	int column;
	const char *why;
} bad;

static const bad bads[] = {
    {"", 1, "it is empty"},
    {"host", 5, "port is missing"},
    {"host:", 6, "port is missing"},
    {":80", 1, "host is missing"},
    {"foo:bar", 5, "port is not a number"},
    {"host:80x", 6, "port is not a number"},
    {"host:-1", 6, "port is not a number"},
    {"host:+1", 6, "port is not a number"},
    {"host: 80", 6, "port is not a number"},
    {"host:65536", 6, "port is larger than 65535"},
    {"host:99999999999999999999", 6, "port is larger than 65535"},
    {"ho st:80", 3, "not allowed in a host name"},
    {"h\xc3\xb6st:80", 2, "not allowed in a host name"},
    {"host/path:80", 5, "not allowed in a host name"},
    {"http://host:80", 1, "no such scheme: dns, ipv4, ipv6, unix, fd, mem and file are known"},
    {"::1:80", 1, "an IPv6 address needs brackets"},
    {"fe80::1", 1, "an IPv6 address needs brackets"},
    {"ipv6:::1", 6, "an IPv6 address needs brackets"},
    {"fe80::1%eth0:80", 1, "an IPv6 address needs brackets"},
    {"[::1]", 6, "port is missing"},
    {"[::1]80", 6, "':' and a port expected"},
    {"[::1:80", 1, "']' is missing"},
    {"[localhost]:80", 2, "not an IPv6 address"},
    {"[]:80", 2, "not an IPv6 address"},
    {"[1.2.3.4]:80", 2, "not an IPv6 address"},
    {"[::12345]:80", 2, "not an IPv6 address"},
    {"[fe80::1%]:80", 10, "zone is missing"},
    {"1.2.3:80", 1, "not an IPv4 address"},
    {"1.2.3.256:80", 1, "not an IPv4 address"},
    {"12345:80", 1, "not an IPv4 address"},
    {"**:80", 2, "':' and a port expected"},
    {"a:1,b:2", 4, "only ipv4: and ipv6: take a list"},
    {"dns://server/host:80", 7, "a DNS server cannot be chosen: dns:///host:port"},
    {"dns:///", 8, "host is missing"},
    {"dns:/host:80", 5, "not allowed in a host name"},
    {"ipv4:[::1]:80", 6, "not an IPv4 address"},
    {"ipv6:1.2.3.4:80", 6, "not an IPv6 address"},
    {"ipv4:1.2.3.4:5,", 16, "host is missing"},
    {"ipv4:1.2.3.4,1.2.3.5:6", 13, "port is missing"},
    {"ipv4:", 6, "host is missing"},
    {"unix:", 6, "path is missing"},
    {"unix://host/path", 8, "an absolute path must follow \"//\""},
    {"unix:///a%2", 10, "'%' needs two hexadecimal digits"},
    {"unix:///a%zz", 10, "'%' needs two hexadecimal digits"},
    {"unix:///a%", 10, "'%' needs two hexadecimal digits"},
    {"unix:///a%00b", 10, "%00 is not allowed"},
    {"unix:a\tb", 7, "control character"},
    {"unix:a\x7f", 7, "control character"},
    {"fd:", 4, "not the number of a descriptor"},
    {"fd:-1", 4, "not the number of a descriptor"},
    {"fd:3x", 4, "not the number of a descriptor"},
    {"fd:2147483648", 4, "not the number of a descriptor"},
    {"fd:99999999999999999999", 4, "not the number of a descriptor"},
    {"mem:", 5, "name is missing"},
    {"file:", 6, "path is missing"},
    {"file://dir/x", 8, "an absolute path must follow \"//\""},
};

static void
good_ones(void **state)
{
	(void)state;
	for (size_t i = 0; i < FC_COUNT(goods); i++) {
		const good *g = &goods[i];
		fc_address address;
		fc_error error;

		fc_error_clear(&error);
		if (fc_address_parse(&address, g->text, &error) != FARCALL_OK)
			fail_msg("%s", error.text);
		assert_int_equal(error.code, FARCALL_OK);
		assert_int_equal(address.scheme, g->scheme);
		assert_int_equal(address.n_hosts, g->n_hosts);
		assert_string_equal(address.text, g->text);
		assert_string_equal(fc_address_authority(&address), g->authority);
		if (g->n_hosts != 0) {
			assert_string_equal(address.hosts[0].name, g->host);
			assert_int_equal(address.hosts[0].port, g->port);
		} else if (g->scheme == FC_SCHEME_FD) {
			assert_int_equal(address.fd, g->port);
		} else {
			assert_string_equal(address.path, g->host);
		}
		fc_address_fini(&address);
	}
}

static void
bad_ones(void **state)
{
	(void)state;
	for (size_t i = 0; i < FC_COUNT(bads); i++) {
		const bad *b = &bads[i];
		fc_address address;
		fc_error error;
		char text[400], quoted[FC_ADDRESS_QUOTE];

		fc_error_clear(&error);
		fc_address_quote(quoted, b->text);
		assert_int_equal(
		    fc_address_parse(&address, b->text, &error), FARCALL_INVALID_ARGUMENT);
		assert_int_equal(error.code, FARCALL_INVALID_ARGUMENT);
		assert_int_equal(error.cause, FARCALL_CAUSE_BAD_ADDRESS);
		snprintf(text, sizeof text, "bad address \"%s\", column %d: %s", quoted, b->column,
		    b->why);
		assert_string_equal(error.text, text);
	}
}

/* What is quoted has no control characters and fits. */
static void
quotes(void **state)
{
	char quoted[FC_ADDRESS_QUOTE], text[200];

	(void)state;
	fc_address_quote(quoted, "localhost:1\n\x7f\x01");
	assert_string_equal(quoted, "localhost:1\\x0a\\x7f\\x01");
	fc_address_quote(quoted, "");
	assert_string_equal(quoted, "");
	memset(text, 'x', sizeof text);
	text[120] = 0;
	fc_address_quote(quoted, text);
	assert_string_equal(quoted, text);
	text[120] = 'x';
	text[121] = 0;
	fc_address_quote(quoted, text);
	text[120] = 0;
	assert_memory_equal(quoted, text, 120);
	assert_string_equal(quoted + 120, "...");
	memset(text, '\n', sizeof text);
	text[199] = 0;
	fc_address_quote(quoted, text);
	assert_string_equal(quoted + strlen(quoted) - 7, "\\x0a...");
}

static void
all_of_a_list(void **state)
{
	fc_address address;
	fc_error error;

	(void)state;
	fc_error_clear(&error);
	assert_int_equal(fc_address_parse(&address, "ipv6:[::1]:80,host:81", &error), FARCALL_OK);
	assert_string_equal(address.hosts[1].name, "host");
	assert_int_equal(address.hosts[1].port, 81);
	fc_address_fini(&address);
}

/* Makes "a:1" fill with as many bytes as are wanted. */
static void
limits(void **state)
{
	char text[FC_ADDRESS_MOST + 2], list[40 * 13];
	fc_address address;
	fc_error error;
	size_t size;

	(void)state;
	/* the whole: 1024 bytes */
	memset(text, 'x', sizeof text);
	memcpy(text, "unix:", 5);
	text[FC_ADDRESS_MOST] = 0;
	assert_int_equal(fc_address_parse(&address, text, NULL), FARCALL_OK);
	fc_address_fini(&address);
	text[FC_ADDRESS_MOST] = 'x';
	text[FC_ADDRESS_MOST + 1] = 0;
	fc_error_clear(&error);
	assert_int_equal(fc_address_parse(&address, text, &error), FARCALL_INVALID_ARGUMENT);
	assert_non_null(strstr(error.text, "xxx...\", column 1025: longer than 1024 bytes"));
	/* a host name: 253 */
	memset(text, 'x', 254);
	strcpy(text + 253, ":1");
	assert_int_equal(fc_address_parse(&address, text, NULL), FARCALL_OK);
	fc_address_fini(&address);
	memset(text, 'x', 254);
	strcpy(text + 254, ":1");
	fc_error_clear(&error);
	assert_int_equal(fc_address_parse(&address, text, &error), FARCALL_INVALID_ARGUMENT);
	assert_non_null(strstr(error.text, "column 1: host name is longer than 253 bytes"));
	/* a name in the process: 100 */
	memcpy(text, "mem:", 4);
	memset(text + 4, 'x', 101);
	text[104] = 0;
	assert_int_equal(fc_address_parse(&address, text, NULL), FARCALL_OK);
	fc_address_fini(&address);
	text[104] = 'x';
	text[105] = 0;
	fc_error_clear(&error);
	assert_int_equal(fc_address_parse(&address, text, &error), FARCALL_INVALID_ARGUMENT);
	assert_non_null(strstr(error.text, "column 105: name is longer than 100 bytes"));
	/* a list: 32 */
	size = (size_t)snprintf(list, sizeof list, "ipv4:1.1.1.1:1");
	for (int i = 1; i < 32; i++)
		size += (size_t)snprintf(list + size, sizeof list - size, ",1.1.1.1:%d", i);
	assert_int_equal(fc_address_parse(&address, list, NULL), FARCALL_OK);
	assert_int_equal(address.n_hosts, 32);
	fc_address_fini(&address);
	snprintf(list + size, sizeof list - size, ",1.1.1.1:9");
	fc_error_clear(&error);
	assert_int_equal(fc_address_parse(&address, list, &error), FARCALL_INVALID_ARGUMENT);
	assert_non_null(strstr(error.text, "more than 32 addresses"));
}

/* What parses and can only be bound, or names no interface. */
static void
no_targets(void **state)
{
	static const bad targets[] = {
	    {"*:80", 1, "\"*\" can only be bound"},
	    {"ipv4:a:1,b:0", 12, "port 0 can only be bound"},
	    {"file:///", 9, "the name of an interface is expected, such as demo.Greeter"},
	    {"file:///run/x/", 15, "the name of an interface is expected, such as demo.Greeter"},
	    {"file:a-b", 6, "the name of an interface is expected, such as demo.Greeter"},
	    {"file:dir/.Greeter", 10, "the name of an interface is expected, such as demo.Greeter"},
	};

	(void)state;
	for (size_t i = 0; i < FC_COUNT(targets); i++) {
		fc_address address;
		fc_error error;
		char text[400];

		fc_error_clear(&error);
		assert_int_equal(fc_address_parse(&address, targets[i].text, &error), FARCALL_OK);
		assert_int_equal(
		    fc_address_check_target(&address, &error), FARCALL_INVALID_ARGUMENT);
		assert_int_equal(error.cause, FARCALL_CAUSE_BAD_ADDRESS);
		snprintf(text, sizeof text, "bad address \"%s\", column %d: %s", targets[i].text,
		    targets[i].column, targets[i].why);
		assert_string_equal(error.text, text);
		fc_address_fini(&address);
	}
}

/* A zone that this host lacks is as good as none; other addresses need none. */
static void
zones(void **state)
{
	static const char *const need[] = {"fe80::1", "fe80::1%nosuchzone", "febf::1"};
	char zone[UV_IF_NAMESIZE] = "", with_zone[UV_IF_NAMESIZE + 16];
	const char *const fine[] = {with_zone, "fec0::1", "::1", "127.0.0.1"};
	size_t room = sizeof zone;
	fc_place place;
	fc_error error;

	(void)state;
	assert_int_equal(uv_if_indextoname(1, zone, &room), 0);
	snprintf(with_zone, sizeof with_zone, "fe80::1%%%s", zone);
	for (size_t i = 0; i < FC_COUNT(need); i++) {
		fc_error_clear(&error);
		assert_true(fc_place_from_literal(&place, need[i], 80));
		assert_int_equal(fc_place_check_zone(&place, need[i], &error), FARCALL_UNAVAILABLE);
		assert_int_equal(error.cause, FARCALL_CAUSE_ADDRESS_NOT_AVAILABLE);
		assert_non_null(strstr(error.text, need[i]));
	}
	for (size_t i = 0; i < FC_COUNT(fine); i++) {
		assert_true(fc_place_from_literal(&place, fine[i], 80));
		assert_int_equal(fc_place_check_zone(&place, fine[i], &error), FARCALL_OK);
	}
}

static void
none(void **state)
{
	fc_address address;
	fc_error error;

	(void)state;
	fc_error_clear(&error);
	assert_int_equal(fc_address_parse(&address, NULL, &error), FARCALL_INVALID_ARGUMENT);
	assert_string_equal(error.text, "bad address: none was given");
}

static void
out_of_memory(void **state)
{
	(void)state;
	for (size_t i = 0; i < FC_COUNT(goods); i++) {
		bool failed = true;

		for (size_t n = 1; failed; n++) {
			fc_address address;
			fc_error error;
			farcall_code rc;

			fc_error_clear(&error);
			test_allocator_fail_at(n, false);
			rc = fc_address_parse(&address, goods[i].text, &error);
			failed = test_allocator_failed();
			test_allocator_fail_at(0, false);
			assert_int_equal(rc, failed ? FARCALL_RESOURCE_EXHAUSTED : FARCALL_OK);
			if (rc == FARCALL_OK)
				fc_address_fini(&address);
		}
	}
}

/* Bytes at random, near to what is good: no crash, and an error that names a column inside. */
static void
noise(void **state)
{
	static const char alphabet[] = "dnsipv46uxfdmeml:/[]*.,%0123456789a-f_ \x01\xff";
	test_random random;

	(void)state;
	test_random_seed(&random, 5);
	for (int i = 0; i < 50000; i++) {
		char text[48];
		fc_address address;
		fc_error error;
		size_t size = 0, wanted = test_random_below(&random, 40);

		if (test_random_below(&random, 2) == 0)
			size = strlen(
			    strcpy(text, goods[test_random_below(&random, FC_COUNT(goods))].text));
		while (size < wanted)
			text[size++] = alphabet[test_random_below(&random, sizeof alphabet - 1)];
		text[size] = 0;
		if (size > 0)
			text[test_random_below(&random, (uint32_t)size)] =
			    alphabet[test_random_below(&random, sizeof alphabet - 1)];
		fc_error_clear(&error);
		if (fc_address_parse(&address, text, &error) == FARCALL_OK) {
			fc_address_fini(&address);
		} else {
			const char *column = strstr(error.text, "\", column ");

			assert_non_null(column);
			assert_in_range(atoi(column + 10), 1, size + 1);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(good_ones),
	    clean_test(bad_ones),
	    clean_test(quotes),
	    clean_test(all_of_a_list),
	    clean_test(limits),
	    clean_test(no_targets),
	    clean_test(zones),
	    clean_test(none),
	    clean_test(out_of_memory),
	    clean_test(noise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
