/*
 * names.c: see names.h.
 */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* EAI_NODATA */
#endif

#include "runtime/transport/names.h"

#include "runtime/base/alloc.h"

#ifndef _WIN32
#include <netdb.h>
#endif

#define ROOM_FIRST 4

void
fc_places_fini(fc_places *places)
{
	fc_free(places->at);
	memset(places, 0, sizeof *places);
}

bool
fc_places_add(fc_places *places, const fc_place *place)
{
	for (size_t i = 0; i < places->n; i++)
		if (fc_place_same(&places->at[i], place))
			return true;
	if (places->n == FC_PLACES_MOST)
		return true;
	if (places->n == places->room) {
		size_t room = places->room != 0 ? 2 * places->room : ROOM_FIRST;
		fc_place *at = (fc_place *)fc_realloc(places->at, room * sizeof *at);

		if (at == NULL)
			return false;
		places->at = at;
		places->room = room;
	}
	places->at[places->n++] = *place;
	return true;
}

bool
fc_places_add_info(fc_places *places, const struct addrinfo *info, uint16_t port)
{
	for (; info != NULL; info = info->ai_next) {
		fc_place place;

		if (info->ai_family != AF_INET && info->ai_family != AF_INET6)
			continue;
		fc_place_set(&place, info->ai_addr, (size_t)info->ai_addrlen);
		fc_place_set_port(&place, port);
		if (!fc_places_add(places, &place))
			return false;
	}
	return true;
}

int
fc_scheme_family(fc_scheme scheme)
{
	if (scheme == FC_SCHEME_IPV4)
		return AF_INET;
	return scheme == FC_SCHEME_IPV6 ? AF_INET6 : AF_UNSPEC;
}

void
fc_names_hints(struct addrinfo *hints, int family)
{
	memset(hints, 0, sizeof *hints);
	hints->ai_family = family;
	hints->ai_socktype = SOCK_STREAM;
}

static int
number_of(int rc)
{
	switch (rc) {
	case EAI_AGAIN:
		return UV_EAI_AGAIN;
	case EAI_MEMORY:
		return UV_EAI_MEMORY;
	case EAI_NONAME:
#if defined(EAI_NODATA) && EAI_NODATA != EAI_NONAME
	case EAI_NODATA:
#endif
#ifdef EAI_ADDRFAMILY
	case EAI_ADDRFAMILY:
#endif
		return UV_EAI_NONAME;
	default:
		return UV_EAI_FAIL;
	}
}

int
fc_names_resolve(fc_places *places, const char *host, int family, uint16_t port)
{
	struct addrinfo hints, *info = NULL;
	size_t before = places->n;
	bool stored;
	int rc;

	fc_names_hints(&hints, family);
	rc = getaddrinfo(host, NULL, &hints, &info);
	if (rc != 0)
		return number_of(rc);
	stored = fc_places_add_info(places, info, port);
	freeaddrinfo(info);
	if (!stored)
		return UV_ENOMEM;
	return places->n == before ? UV_EAI_NONAME : 0;
}
