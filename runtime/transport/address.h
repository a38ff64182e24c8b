/*
 * address.h: names of places, as users write them; the same on both sides (docs/addresses.md).
 */
#ifndef FC_TRANSPORT_ADDRESS_H
#define FC_TRANSPORT_ADDRESS_H

#include "runtime/base/error.h"

/* X(name, scheme as written) */
#define FC_SCHEMES(X)                                                                            \
	X(DNS, "dns")   /* host:port, dns:///host:port; [::1]:port; *:port when binding */       \
	X(IPV4, "ipv4") /* ipv4:a.b.c.d:port[,…], or a name: then only its IPv4 addresses */   \
	X(IPV6, "ipv6") /* ipv6:[::1]:port[,…] */                                              \
	X(UNIX, "unix") /* unix:path, unix:///absolute */                                        \
	X(FD, "fd")     /* fd:N: an inherited listening socket (bind) or connected one (open) */ \
	X(MEM, "mem")   /* mem:name: in this process */                                          \
	X(FILE, "file") /* file:///dir/pkg.Service (open), file:/dir (publish): a registry */

typedef enum fc_scheme {
#define FC_SCHEME_X(name, text) FC_SCHEME_##name,
	FC_SCHEMES(FC_SCHEME_X)
#undef FC_SCHEME_X
} fc_scheme;

#define FC_HOSTS_MOST 32
#define FC_ADDRESS_MOST 1024 /* bytes of a name */

typedef struct fc_host {
	char *name; /* "localhost", "::1" (no brackets), "*" */
	uint16_t port;
	uint16_t name_at, port_at; /* where they stand in the address's text */
} fc_host;

typedef struct fc_address {
	fc_scheme scheme;
	char *text;     /* as given */
	size_t n_hosts; /* DNS, IPV4, IPV6 */
	fc_host hosts[FC_HOSTS_MOST];
	char *path; /* UNIX, FILE: path; MEM: name */
	int fd;     /* FD */
	char *authority;
} fc_address;

/* INVALID_ARGUMENT, BAD_ADDRESS, "bad address \"…\", column 12: port is not a number" */
farcall_code fc_address_parse(fc_address *address, const char *text, fc_error *error);
void fc_address_fini(fc_address *address);

/* What names no place to connect to: "*" and port 0, which can only be bound, a path that is too
 * long, and a registry without an interface: INVALID_ARGUMENT; a descriptor that is no connection:
 * FAILED_PRECONDITION. */
farcall_code fc_address_check_target(const fc_address *address, fc_error *error);

/* The parser's error, at column 1, for an address that is good for something else. */
farcall_code fc_address_refuse(const fc_address *address, const char *what, fc_error *error);

/* The error is the parser's, whose text has the address in it. */
bool fc_address_is_quoted(const fc_error *error);

/* The text for messages: cut with "...", control characters as \xNN. */
#define FC_ADDRESS_QUOTE 128
void fc_address_quote(char *to, const char *text);

/* What gRPC puts into :authority: "localhost:27015"; "localhost" where there is no host. Lives with
 * the address. */
const char *fc_address_authority(const fc_address *address);

/* ---- one place that can be bound or connected ---- */

typedef enum fc_place_kind {
	FC_PLACE_INET,
	FC_PLACE_UNIX,
	FC_PLACE_FD,
	FC_PLACE_MEM
} fc_place_kind;

typedef struct fc_place {
	fc_place_kind kind;
	int fd;        /* FD */
	unsigned size; /* of sockaddr; INET, UNIX */
	union {
		uint64_t align;
		unsigned char bytes[128]; /* struct sockaddr_in, _in6, _un */
	} sockaddr;
	char text[128]; /* "ipv4:127.0.0.1:80", "ipv6:[::1]:80", "unix:/run/x", "mem:name" (cut to
	                   fit) */
} fc_place;

/* The text without "ipv4:" and "ipv6:", for messages. */
const char *fc_place_short(const fc_place *place);

/* Loopback, unix, mem, or an inherited descriptor of such a kind: plaintext is fine there. */
bool fc_place_is_local(const fc_place *place);

#endif
