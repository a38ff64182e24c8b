/*
 * names.h: rows of places, and what getaddrinfo() makes of a name.
 */
#ifndef FC_TRANSPORT_NAMES_H
#define FC_TRANSPORT_NAMES_H

#include "runtime/transport/sock.h"

#define FC_PLACES_MOST 64 /* more addresses of one name are left out */

typedef struct fc_places {
	fc_place *at;
	size_t n, room;
} fc_places;

void fc_places_fini(fc_places *places);

/* Keeps the order, leaves out what is there already and what is too much. False: no memory. */
bool fc_places_add(fc_places *places, const fc_place *place);
bool fc_places_add_info(fc_places *places, const struct addrinfo *info, uint16_t port);

/* AF_UNSPEC, AF_INET or AF_INET6: the one that the scheme allows. */
int fc_scheme_family(fc_scheme scheme);

/* What is asked of getaddrinfo(). Families that the host lacks are not left out: what cannot be
 * reached fails quickly, and a host without a network still finds itself. */
void fc_names_hints(struct addrinfo *hints, int family);

/* Blocks. 0 or UV_EAI_…. */
int fc_names_resolve(fc_places *places, const char *host, int family, uint16_t port);

#endif
