/*
 * place.c: one address in the system's form, and its text in ours.
 */
#include "runtime/transport/sock.h"

#include <stdio.h>
#include <stdlib.h>

static const struct sockaddr_in *
in4(const fc_place *place)
{
	return (const struct sockaddr_in *)(const void *)place->sockaddr.bytes;
}

static const struct sockaddr_in6 *
in6(const fc_place *place)
{
	return (const struct sockaddr_in6 *)(const void *)place->sockaddr.bytes;
}

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool
is_mapped(const struct sockaddr_in6 *address)
{
	return memcmp(&address->sin6_addr, mapped_prefix, sizeof mapped_prefix) == 0;
}

int
fc_place_family(const fc_place *place)
{
	if (place->size == 0)
		return AF_UNSPEC;
	return ((const struct sockaddr *)(const void *)place->sockaddr.bytes)->sa_family;
}

uint16_t
fc_place_port(const fc_place *place)
{
	int family = fc_place_family(place);

	if (family == AF_INET)
		return ntohs(in4(place)->sin_port);
	return family == AF_INET6 ? ntohs(in6(place)->sin6_port) : 0;
}

static void
set_text(fc_place *place)
{
	int family = fc_place_family(place);
	char host[INET6_ADDRSTRLEN] = "", zone[16] = "";

	if (family == AF_INET) {
		uv_ip4_name(in4(place), host, sizeof host);
		snprintf(place->text, sizeof place->text, "ipv4:%s:%u", host,
		    (unsigned)fc_place_port(place));
	} else if (family == AF_INET6) {
		uv_ip6_name(in6(place), host, sizeof host);
		if (in6(place)->sin6_scope_id != 0)
			snprintf(
			    zone, sizeof zone, "%%%lu", (unsigned long)in6(place)->sin6_scope_id);
		snprintf(place->text, sizeof place->text, "ipv6:[%s%s]:%u", host, zone,
		    (unsigned)fc_place_port(place));
	} else if (family == AF_UNIX) {
		snprintf(place->text, sizeof place->text, "unix:%s", fc_sock_unix_path(place));
	} else {
		snprintf(place->text, sizeof place->text, "family %d", family);
	}
}

void
fc_place_set_port(fc_place *place, uint16_t port)
{
	int family = fc_place_family(place);

	if (family == AF_INET)
		((struct sockaddr_in *)(void *)place->sockaddr.bytes)->sin_port = htons(port);
	else if (family == AF_INET6)
		((struct sockaddr_in6 *)(void *)place->sockaddr.bytes)->sin6_port = htons(port);
	set_text(place);
}

void
fc_place_set(fc_place *place, const void *sockaddr, size_t size)
{
	struct sockaddr_in plain;

	memset(place, 0, sizeof *place);
	place->size = (unsigned)FC_MIN(size, sizeof place->sockaddr.bytes);
	memcpy(place->sockaddr.bytes, sockaddr, place->size);
	if (fc_place_family(place) == AF_INET6 && is_mapped(in6(place))) {
		memset(&plain, 0, sizeof plain);
		plain.sin_family = AF_INET;
		plain.sin_port = in6(place)->sin6_port;
		memcpy(&plain.sin_addr, (const uint8_t *)&in6(place)->sin6_addr + 12, 4);
		place->size = sizeof plain;
		memcpy(place->sockaddr.bytes, &plain, sizeof plain);
	}
	place->kind = fc_place_family(place) == AF_INET || fc_place_family(place) == AF_INET6
	    ? FC_PLACE_INET
	    : FC_PLACE_UNIX;
	set_text(place);
}

bool
fc_place_from_literal(fc_place *place, const char *host, uint16_t port)
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	memset(&v4, 0, sizeof v4);
	memset(&v6, 0, sizeof v6);
	if (uv_ip4_addr(host, port, &v4) == 0)
		fc_place_set(place, &v4, sizeof v4);
	else if (strchr(host, ':') != NULL && uv_ip6_addr(host, port, &v6) == 0)
		fc_place_set(place, &v6, sizeof v6);
	else
		return false;
	return true;
}

farcall_code
fc_place_check_zone(const fc_place *place, const char *host, fc_error *error)
{
	const struct sockaddr_in6 *address = in6(place);
	const uint8_t *bytes = (const uint8_t *)&address->sin6_addr;

	if (fc_place_family(place) != AF_INET6 || address->sin6_scope_id != 0 || bytes[0] != 0xfe ||
	    (bytes[1] & 0xc0) != 0x80)
		return FARCALL_OK;
	return fc_fail(error, FARCALL_UNAVAILABLE, FARCALL_CAUSE_ADDRESS_NOT_AVAILABLE,
	    "[%s]: a link-local address needs a zone that this host has, such as [fe80::1%%eth0]",
	    host);
}

bool
fc_place_same(const fc_place *a, const fc_place *b)
{
	return a->kind == b->kind && a->size == b->size && strcmp(a->text, b->text) == 0 &&
	    (a->kind != FC_PLACE_UNIX || strcmp(fc_sock_unix_path(a), fc_sock_unix_path(b)) == 0);
}

bool
fc_place_is_any(const fc_place *place)
{
	static const uint8_t zeros[16];
	int family = fc_place_family(place);

	if (family == AF_INET)
		return memcmp(&in4(place)->sin_addr, zeros, 4) == 0;
	return family == AF_INET6 && memcmp(&in6(place)->sin6_addr, zeros, 16) == 0;
}

bool
fc_place_is_local(const fc_place *place)
{
	static const uint8_t loopback6[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
	int family = fc_place_family(place);

	if (place->kind == FC_PLACE_MEM)
		return true;
	if (place->kind == FC_PLACE_FD && family == AF_UNSPEC)
		return true; /* no socket: connecting says what is wrong with it */
	if (family == AF_INET)
		return *(const uint8_t *)&in4(place)->sin_addr == 127;
	if (family == AF_INET6)
		return memcmp(&in6(place)->sin6_addr, loopback6, sizeof loopback6) == 0;
	return family == AF_UNIX;
}

const char *
fc_place_short(const fc_place *place)
{
	if (place->kind == FC_PLACE_INET)
		return place->text + 5;
	return place->text;
}

/* What the descriptor is made of counts, for fc_place_is_local(). */
void
fc_place_set_fd(fc_place *place, int fd)
{
	if (fc_sock_peer((fc_sock)fd, place) != 0 && fc_sock_place((fc_sock)fd, place) != 0)
		memset(place, 0, sizeof *place);
	place->kind = FC_PLACE_FD;
	place->fd = fd;
	snprintf(place->text, sizeof place->text, "fd:%d", fd);
}
