/*
 * address.c: the parser of addresses (docs/addresses.md). It knows the grammar only: whether a name
 * exists, or may be bound, is found out by whoever uses it.
 *
 * A bad address is answered with the column, from 1, of the first byte that is wrong.
 */
#include "runtime/transport/address.h"

#include "runtime/base/alloc.h"
#include "runtime/base/bytes.h"
#include "runtime/transport/mem.h"
#include "runtime/transport/registry.h"
#include "runtime/transport/sock.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

#define HOST_MOST 253 /* RFC 1035 */
#define QUOTE_MOST 120
#define PORT_MOST 65535u

typedef struct parser {
	const char *text;  /* all of it */
	const char *at;    /* where the next thing is looked for */
	const char *hosts; /* where the first host begins */
	fc_address *address;
	fc_error *error;
} parser;

static const char *const schemes[] = {
#define SCHEME_TEXT(name, text) text,
    FC_SCHEMES(SCHEME_TEXT)
#undef SCHEME_TEXT
};

void
fc_address_quote(char *to, const char *text)
{
	size_t at = 0;

	for (size_t n = 0; *text != 0 && n < QUOTE_MOST && at <= QUOTE_MOST; n++, text++) {
		unsigned char c = (unsigned char)*text;

		if (c < 0x20 || c == 0x7f)
			at += (size_t)snprintf(to + at, FC_ADDRESS_QUOTE - at, "\\x%02x", c);
		else
			to[at++] = *text;
	}
	snprintf(to + at, FC_ADDRESS_QUOTE - at, "%s", *text != 0 ? "..." : "");
}

static farcall_code
bad(const parser *p, const char *at, const char *what)
{
	char quoted[FC_ADDRESS_QUOTE];

	fc_address_quote(quoted, p->text);
	return fc_fail(p->error, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_BAD_ADDRESS,
	    "bad address \"%s\", column %zu: %s", quoted, (size_t)(at - p->text) + 1, what);
}

bool
fc_address_is_quoted(const fc_error *error)
{
	return strncmp(error->text, "bad address \"", 13) == 0;
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_host_char(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
	    c == '.' || c == '_';
}

static int
hex(char c)
{
	if (is_digit(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static farcall_code
check_bytes(const parser *p)
{
	const char *c;

	if (*p->text == 0)
		return bad(p, p->text, "it is empty");
	for (c = p->text; *c != 0; c++) {
		if (c - p->text == FC_ADDRESS_MOST)
			return bad(p, c, "longer than 1024 bytes");
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			return bad(p, c, "control character");
	}
	return FARCALL_OK;
}

/* ---- pieces ---- */

static farcall_code
keep(const parser *p, char **to, const char *from, size_t size)
{
	char *copy = (char *)fc_malloc(size + 1);

	if (copy == NULL)
		return fc_fail_memory(p->error, "address");
	memcpy(copy, from, size);
	copy[size] = 0;
	*to = copy;
	return FARCALL_OK;
}

/* The rest of the text as a path; `encoded`: %XX stands for a byte. */
static farcall_code
parse_path(parser *p, bool encoded, const char *empty)
{
	farcall_code rc;
	char *to;

	if (*p->at == 0)
		return bad(p, p->at, empty);
	rc = keep(p, &p->address->path, p->at, strlen(p->at));
	if (rc != FARCALL_OK || !encoded)
		return rc;
	for (to = p->address->path; *p->at != 0; p->at++) {
		int high, low;

		if (*p->at != '%') {
			*to++ = *p->at;
			continue;
		}
		high = hex(p->at[1]);
		low = high < 0 ? -1 : hex(p->at[2]);
		if (low < 0)
			return bad(p, p->at, "'%' needs two hexadecimal digits");
		if (high == 0 && low == 0)
			return bad(p, p->at, "%00 is not allowed");
		*to++ = (char)(high << 4 | low);
		p->at += 2;
	}
	*to = 0;
	return FARCALL_OK;
}

static farcall_code
parse_port(parser *p, uint16_t *port)
{
	const char *first = p->at;
	uint32_t value = 0;

	for (; is_digit(*p->at); p->at++) {
		value = value * 10 + (uint32_t)(*p->at - '0');
		if (value > PORT_MOST)
			return bad(p, first, "port is larger than 65535");
	}
	if (*p->at != 0 && *p->at != ',')
		return bad(p, first, "port is not a number");
	if (p->at == first)
		return bad(p, first, "port is missing");
	*port = (uint16_t)value;
	return FARCALL_OK;
}

/* [::1] or [fe80::1%eth0]: kept without brackets. */
static farcall_code
parse_bracketed(parser *p, fc_host *host)
{
	const char *first = p->at + 1, *end = strchr(first, ']'), *zone;
	struct sockaddr_in6 sockaddr;
	farcall_code rc;

	if (p->address->scheme == FC_SCHEME_IPV4)
		return bad(p, p->at, "not an IPv4 address");
	if (end == NULL)
		return bad(p, p->at, "']' is missing");
	if (end - first > HOST_MOST)
		return bad(p, first, "not an IPv6 address");
	rc = keep(p, &host->name, first, (size_t)(end - first));
	if (rc != FARCALL_OK)
		return rc;
	if (strchr(host->name, ':') == NULL || uv_ip6_addr(host->name, 0, &sockaddr) != 0)
		return bad(p, first, "not an IPv6 address");
	zone = strchr(host->name, '%');
	if (zone != NULL && zone[1] == 0)
		return bad(p, end, "zone is missing");
	p->at = end + 1;
	return FARCALL_OK;
}

/* A name, or a dotted quad. Only digits and dots, but no quad: the resolver would make something
 * of it that nobody meant. */
static farcall_code
parse_name(parser *p, fc_host *host)
{
	const char *first = p->at;
	struct sockaddr_in sockaddr;
	bool numeric = true, quad;
	farcall_code rc;

	for (; is_host_char(*p->at); p->at++)
		numeric = numeric && (is_digit(*p->at) || *p->at == '.');
	if (*p->at != 0 && *p->at != ':' && *p->at != ',')
		return bad(p, p->at, "not allowed in a host name");
	if (p->at == first)
		return bad(p, first, "host is missing");
	if (p->at - first > HOST_MOST)
		return bad(p, first, "host name is longer than 253 bytes");
	rc = keep(p, &host->name, first, (size_t)(p->at - first));
	if (rc != FARCALL_OK)
		return rc;
	quad = uv_ip4_addr(host->name, 0, &sockaddr) == 0;
	if (numeric && !quad)
		return bad(p, first, "not an IPv4 address");
	if (quad && p->address->scheme == FC_SCHEME_IPV6)
		return bad(p, first, "not an IPv6 address");
	return FARCALL_OK;
}

/* Two colons and nothing but what an IPv6 address is made of. */
static bool
is_bare_ip6(const char *at)
{
	size_t size = strspn(at, "0123456789abcdefABCDEF:."), colons = 0;

	for (size_t i = 0; i < size; i++)
		colons += at[i] == ':';
	return colons >= 2 && (at[size] == 0 || at[size] == ',' || at[size] == '%');
}

static farcall_code
parse_host_port(parser *p)
{
	fc_host *host = &p->address->hosts[p->address->n_hosts++];
	farcall_code rc;

	host->name_at = (uint16_t)(p->at - p->text);
	if (*p->at == '[') {
		rc = parse_bracketed(p, host);
	} else if (*p->at == '*') {
		rc = keep(p, &host->name, p->at++, 1);
	} else if (is_bare_ip6(p->at)) {
		rc = bad(p, p->at, "an IPv6 address needs brackets");
	} else {
		rc = parse_name(p, host);
	}
	if (rc != FARCALL_OK)
		return rc;
	if (*p->at != ':')
		return bad(p, p->at,
		    *p->at == 0 || *p->at == ',' ? "port is missing" : "':' and a port expected");
	p->at++;
	host->port_at = (uint16_t)(p->at - p->text);
	return parse_port(p, &host->port);
}

/* ---- schemes ---- */

static farcall_code
parse_hosts(parser *p)
{
	p->hosts = p->at;
	for (;;) {
		farcall_code rc = parse_host_port(p);

		if (rc != FARCALL_OK)
			return rc;
		if (*p->at == 0)
			return FARCALL_OK;
		if (p->address->scheme == FC_SCHEME_DNS)
			return bad(p, p->at, "only ipv4: and ipv6: take a list");
		if (p->address->n_hosts == FC_HOSTS_MOST)
			return bad(p, p->at, "more than 32 addresses");
		p->at++;
	}
}

static farcall_code
parse_dns(parser *p)
{
	if (strncmp(p->at, "//", 2) == 0) {
		if (p->at[2] != '/')
			return bad(p, p->at + 2, "a DNS server cannot be chosen: dns:///host:port");
		p->at += 3;
	}
	return parse_hosts(p);
}

static farcall_code
parse_file_path(parser *p)
{
	bool uri = strncmp(p->at, "//", 2) == 0;

	if (uri) {
		if (p->at[2] != '/')
			return bad(p, p->at + 2, "an absolute path must follow \"//\"");
		p->at += 2;
	}
	return parse_path(p, uri, "path is missing");
}

static farcall_code
parse_fd(parser *p)
{
	const char *first = p->at;
	int64_t value = 0;

	for (; is_digit(*p->at) && value <= INT_MAX; p->at++)
		value = value * 10 + (*p->at - '0');
	if (p->at == first || *p->at != 0 || value > INT_MAX)
		return bad(p, first, "not the number of a descriptor");
	p->address->fd = (int)value;
	return FARCALL_OK;
}

static farcall_code
parse_mem(parser *p)
{
	if (strlen(p->at) > FC_MEM_NAME_MOST)
		return bad(p, p->at + FC_MEM_NAME_MOST, "name is longer than 100 bytes");
	return parse_path(p, false, "name is missing");
}

static farcall_code (*const parsers[])(parser *p) = {
    [FC_SCHEME_DNS] = parse_dns,
    [FC_SCHEME_IPV4] = parse_hosts,
    [FC_SCHEME_IPV6] = parse_hosts,
    [FC_SCHEME_UNIX] = parse_file_path,
    [FC_SCHEME_FD] = parse_fd,
    [FC_SCHEME_MEM] = parse_mem,
    [FC_SCHEME_FILE] = parse_file_path,
};

/* RFC 3986, 3.1: without regard to case. */
static bool
starts_with(const char *text, const char *scheme)
{
	for (; *scheme != 0; scheme++, text++)
		if ((*text >= 'A' && *text <= 'Z' ? *text - 'A' + 'a' : *text) != *scheme)
			return false;
	return *text == ':';
}

static void
parse_scheme(parser *p)
{
	p->address->scheme = FC_SCHEME_DNS;
	for (size_t i = 0; i < FC_COUNT(schemes); i++) {
		if (starts_with(p->text, schemes[i])) {
			p->address->scheme = (fc_scheme)i;
			p->at += strlen(schemes[i]) + 1;
			return;
		}
	}
}

/* "host:port" is all that is left of a name with a scheme that nobody knows. */
static farcall_code
check_scheme(const parser *p)
{
	const char *slashes = strstr(p->text, "://");

	if (p->at == p->text && slashes != NULL)
		return bad(p, p->text,
		    "no such scheme: dns, ipv4, ipv6, unix, fd, mem and file are known");
	return FARCALL_OK;
}

/* The first host and its port as given, without the scheme. */
static farcall_code
make_authority(const parser *p)
{
	if (p->hosts == NULL)
		return keep(p, &p->address->authority, "localhost", 9);
	return keep(p, &p->address->authority, p->hosts, strcspn(p->hosts, ","));
}

farcall_code
fc_address_parse(fc_address *address, const char *text, fc_error *error)
{
	parser p = {text, text, NULL, address, error};
	farcall_code rc;

	memset(address, 0, sizeof *address);
	if (text == NULL)
		return fc_fail(error, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_BAD_ADDRESS,
		    "bad address: none was given");
	rc = check_bytes(&p);
	if (rc != FARCALL_OK)
		return rc;
	rc = keep(&p, &address->text, text, strlen(text));
	if (rc != FARCALL_OK)
		return rc;
	parse_scheme(&p);
	rc = check_scheme(&p);
	if (rc == FARCALL_OK)
		rc = parsers[address->scheme](&p);
	if (rc == FARCALL_OK)
		rc = make_authority(&p);
	if (rc != FARCALL_OK)
		fc_address_fini(address);
	return rc;
}

void
fc_address_fini(fc_address *address)
{
	for (size_t i = 0; i < address->n_hosts; i++)
		fc_free(address->hosts[i].name);
	fc_free(address->path);
	fc_free(address->text);
	fc_free(address->authority);
	memset(address, 0, sizeof *address);
}

/* "file:///dir/demo.Greeter": what follows the last slash. */
static farcall_code
check_interface(const parser *p, const char *path)
{
	const char *slash = strrchr(path, '/'), *last = strrchr(p->text, '/');

	if (fc_record_is_interface(slash != NULL ? slash + 1 : path))
		return FARCALL_OK;
	return bad(p, last != NULL ? last + 1 : strchr(p->text, ':') + 1,
	    "the name of an interface is expected, such as demo.Greeter");
}

farcall_code
fc_address_check_target(const fc_address *address, fc_error *error)
{
	parser p = {.text = address->text, .error = error};
	fc_place place;
	fc_sock sock;

	for (size_t i = 0; i < address->n_hosts; i++) {
		const fc_host *host = &address->hosts[i];

		if (strcmp(host->name, "*") == 0)
			return bad(&p, p.text + host->name_at, "\"*\" can only be bound");
		if (host->port == 0)
			return bad(&p, p.text + host->port_at, "port 0 can only be bound");
	}
	if (address->scheme == FC_SCHEME_FILE)
		return check_interface(&p, address->path);
	if (address->scheme == FC_SCHEME_UNIX)
		return fc_sock_unix_place(&place, address->path, error);
	if (address->scheme == FC_SCHEME_FD)
		return fc_sock_inherit(address->fd, false, &sock, error);
	return FARCALL_OK;
}

farcall_code
fc_address_refuse(const fc_address *address, const char *what, fc_error *error)
{
	parser p = {.text = address->text, .error = error};

	return bad(&p, p.text, what);
}

const char *
fc_address_authority(const fc_address *address)
{
	return address->authority;
}
