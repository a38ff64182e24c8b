/*
 * bind.h: takes the sockets of an address.
 */
#ifndef FC_TRANSPORT_BIND_H
#define FC_TRANSPORT_BIND_H

#include "runtime/transport/names.h"

typedef struct fc_bound {
	fc_sock sock;
	fc_place place;
} fc_bound;

typedef struct fc_binding {
	size_t n;
	fc_bound at[FC_PLACES_MOST + 1];
	bool has_path; /* at[0] is a unix socket made here */
	fc_path_id path;
} fc_binding;

/* All addresses of it, listening; or none, and `error`. Not for mem. */
farcall_code fc_bind(fc_binding *binding, const fc_address *address, fc_error *error);

#endif
