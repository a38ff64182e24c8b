/*
 * bind.c: every address of a name is bound, or none is: what the host cannot have (a family that it
 * lacks) is left out with a line in the log, anything else undoes it all. Port 0 becomes one number
 * for all addresses; when that number is taken on one of them, another is tried.
 *
 * The sockets listen at once: else, on Linux, a second server could bind the same port and would
 * learn of its mistake only later. Whoever connects early waits until the server accepts.
 */
#include "runtime/transport/bind.h"

#include "runtime/base/log.h"
#include "runtime/transport/cause.h"

#define BACKLOG 1024
#define PORT_TRIES 16

/* What is to be bound: a row of places, and how IPv4 gets to the IPv6 one. */
typedef struct plan {
	fc_places places;
	bool dual;     /* "[::]": one socket for both */
	bool passive;  /* "*": both, or what there is of them */
	bool any_port; /* port 0: a number has to be found */
} plan;

static farcall_code
plan_host(plan *p, const fc_host *host, fc_scheme scheme, fc_error *error)
{
	int family = fc_scheme_family(scheme), rc;
	const char *name = host->name;
	fc_place place;

	p->any_port |= host->port == 0;
	if (strcmp(name, "*") == 0) {
		p->passive = family == AF_UNSPEC;
		name = family == AF_INET ? "0.0.0.0" : "::";
	}
	if (fc_place_from_literal(&place, name, host->port)) {
		if (fc_place_check_zone(&place, name, error) != FARCALL_OK)
			return error->code;
		if (fc_place_family(&place) == AF_INET6 && fc_place_is_any(&place))
			p->dual = family == AF_UNSPEC;
		return fc_places_add(&p->places, &place) ? FARCALL_OK
		                                         : fc_fail_memory(error, "bind");
	}
	rc = fc_names_resolve(&p->places, name, family, host->port);
	return rc == 0 ? FARCALL_OK : fc_fail_lookup(error, rc, name);
}

static farcall_code
make_plan(plan *p, const fc_address *address, fc_error *error)
{
	memset(p, 0, sizeof *p);
	for (size_t i = 0; i < address->n_hosts; i++) {
		farcall_code rc = plan_host(p, &address->hosts[i], address->scheme, error);

		if (rc != FARCALL_OK)
			return rc;
	}
	return FARCALL_OK;
}

static void
undo(fc_binding *binding)
{
	for (size_t i = 0; i < binding->n; i++)
		fc_sock_close(binding->at[i].sock);
	binding->n = 0;
}

/* Answers 0 or the number of what failed. */
static int
bind_place(const fc_place *place, bool only6, fc_sock *sock)
{
	int family = fc_place_family(place), number = fc_sock_open(family, sock);

	if (number != 0)
		return number;
	number = fc_sock_set_listen_options(*sock, family, only6);
	if (number == 0)
		number = fc_sock_bind(*sock, place);
	if (number == 0)
		number = fc_sock_listen(*sock, BACKLOG);
	if (number != 0)
		fc_sock_close(*sock);
	else if (place->kind == FC_PLACE_INET)
		fc_sock_set_nodelay(*sock);
	return number;
}

/* The host has no address of the family at all, not even that of its loopback. */
static bool
lacks_family(const fc_place *place)
{
	fc_place loopback;
	fc_sock sock;
	int number;

	fc_place_from_literal(
	    &loopback, fc_place_family(place) == AF_INET ? "127.0.0.1" : "::1", 0);
	number = bind_place(&loopback, true, &sock);
	if (number == 0)
		fc_sock_close(sock);
	return fc_number_is_no_family(number);
}

static int
add(fc_binding *binding, const fc_place *place, bool only6)
{
	fc_bound *bound = &binding->at[binding->n];
	int number = bind_place(place, only6, &bound->sock);

	if (number != 0)
		return number;
	number = fc_sock_place(bound->sock, &bound->place);
	if (number != 0)
		fc_sock_close(bound->sock);
	else
		binding->n++;
	return number;
}

/* "[::]" on systems whose IPv6 sockets take IPv6 only: a second socket for IPv4. */
static int
add_dual(fc_binding *binding, const fc_place *place)
{
	fc_place any4;
	int number = add(binding, place, false);

	if (number != FC_E(EINVAL) && number != FC_E(ENOPROTOOPT))
		return number;
	number = add(binding, place, true);
	if (number != 0)
		return number;
	fc_place_from_literal(&any4, "0.0.0.0", fc_place_port(&binding->at[0].place));
	return add(binding, &any4, false);
}

static int
add_planned(const plan *p, fc_binding *binding, const fc_place *place)
{
	bool any6 = fc_place_family(place) == AF_INET6 && fc_place_is_any(place);
	int number = any6 && p->dual ? add_dual(binding, place) : add(binding, place, true);
	fc_place any4;

	if (!any6 || !p->passive || !fc_number_is_no_family(number))
		return number;
	fc_place_from_literal(&any4, "0.0.0.0", fc_place_port(place));
	return add(binding, &any4, false);
}

/* One try. *number: what failed, for whoever tries again. */
static farcall_code
bind_all(const plan *p, fc_binding *binding, int *number, fc_error *error)
{
	uint16_t port = 0;
	farcall_code rc;

	for (size_t i = 0; i < p->places.n; i++) {
		fc_place place = p->places.at[i];
		bool picked = fc_place_port(&place) == 0 && port != 0;

		if (picked)
			fc_place_set_port(&place, port);
		*number = add_planned(p, binding, &place);
		if (*number == 0) {
			if (fc_place_port(&p->places.at[i]) == 0)
				port = fc_place_port(&binding->at[binding->n - 1].place);
			continue;
		}
		if (fc_number_is_no_family(*number) && lacks_family(&place)) {
			fc_log(FARCALL_LOG_INFO, "bind %s: left out, the host has no such family",
			    fc_place_short(&place));
			continue;
		}
		rc = fc_fail_number(error, *number, "bind %s", fc_place_short(&place));
		undo(binding);
		return rc;
	}
	return FARCALL_OK;
}

static farcall_code
bind_hosts(fc_binding *binding, const fc_address *address, fc_error *error)
{
	int tries = PORT_TRIES, number = 0;
	fc_error why;
	farcall_code rc;
	plan p;

	rc = make_plan(&p, address, error);
	if (rc != FARCALL_OK)
		goto out;
	do {
		fc_error_clear(&why);
		rc = bind_all(&p, binding, &number, &why);
	} while (rc != FARCALL_OK && p.any_port && number == FC_E(EADDRINUSE) && --tries > 0);
	if (rc != FARCALL_OK)
		fc_fail(error, rc, why.cause, "%s", why.text);
	else if (binding->n == 0)
		rc = fc_fail_number(error, FC_E(EADDRNOTAVAIL), "bind %.120s", address->text);
out:
	fc_places_fini(&p.places);
	return rc;
}

static farcall_code
bind_unix(fc_binding *binding, const fc_address *address, fc_error *error)
{
	fc_bound *bound = &binding->at[0];
	farcall_code rc = fc_sock_unix_place(&bound->place, address->path, error);
	int number;

	if (rc == FARCALL_OK)
		fc_sock_unix_make_absolute(&bound->place);
	if (rc == FARCALL_OK)
		rc = fc_sock_bind_path(&bound->place, &bound->sock, &binding->path, error);
	if (rc != FARCALL_OK)
		return rc;
	number = fc_sock_listen(bound->sock, BACKLOG);
	if (number != 0) {
		fc_sock_remove_path(&bound->place, &binding->path);
		fc_sock_close(bound->sock);
		return fc_fail_number(error, number, "listen %s", bound->place.text);
	}
	binding->has_path = true;
	binding->n = 1;
	return FARCALL_OK;
}

static farcall_code
take_fd(fc_binding *binding, const fc_address *address, fc_error *error)
{
	fc_bound *bound = &binding->at[0];
	farcall_code rc = fc_sock_inherit(address->fd, true, &bound->sock, error);
	int number;

	if (rc != FARCALL_OK)
		return rc;
	number = fc_sock_place(bound->sock, &bound->place);
	if (number != 0)
		return fc_fail_number(error, number, "fd:%d", address->fd);
	binding->n = 1;
	return FARCALL_OK;
}

farcall_code
fc_bind(fc_binding *binding, const fc_address *address, fc_error *error)
{
	binding->n = 0;
	binding->has_path = false;
	switch (address->scheme) {
	case FC_SCHEME_UNIX:
		return bind_unix(binding, address, error);
	case FC_SCHEME_FD:
		return take_fd(binding, address, error);
	case FC_SCHEME_DNS:
	case FC_SCHEME_IPV4:
	case FC_SCHEME_IPV6:
		return bind_hosts(binding, address, error);
	default:
		return fc_address_refuse(address, "a registry cannot be bound", error);
	}
}
