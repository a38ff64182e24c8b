/*
 * endpoint.c: where a server is reachable. Sockets are taken at bind, so errors come early; nothing
 * is accepted before start. Plaintext beyond this host has to be asked for, judged by the real
 * addresses.
 */
#include "server/internal.h"

#include "runtime/base/alloc.h"
#include "runtime/transport/cause.h"

#include <string.h>

farcall_endpoint fc_nil_endpoint;

static farcall_endpoint *
endpoint_new(farcall_server *server, const char *address, fc_error *error)
{
	farcall_endpoint *endpoint = (farcall_endpoint *)fc_calloc(1, sizeof *endpoint);

	if (endpoint != NULL)
		endpoint->address = fc_strdup(address);
	if (endpoint == NULL || endpoint->address == NULL) {
		fc_fail_memory(error, "bind");
		fc_free(endpoint);
		return NULL;
	}
	endpoint->server = server;
	endpoint->index = server->n_endpoints;
	return endpoint;
}

/* The places are the endpoint's own: their texts outlive the listener, which ends when the server
 * stops, and never change, so that every thread may read them. */
static void
take_places(farcall_endpoint *endpoint, const fc_address *address, fc_error *error)
{
	endpoint->listener = fc_listener_open(address, error);
	if (endpoint->listener == NULL)
		return;
	endpoint->n_places = fc_listener_count(endpoint->listener);
	endpoint->places = (fc_place *)fc_calloc(endpoint->n_places, sizeof *endpoint->places);
	if (endpoint->places == NULL) {
		fc_fail_memory(error, "bind");
		return;
	}
	for (size_t i = 0; i < endpoint->n_places; i++)
		endpoint->places[i] = *fc_listener_place(endpoint->listener, i);
}

/* "bind localhost:27015: " before what went wrong. */
static void
fail_bind(farcall_server *server, const char *address, const fc_error *error)
{
	char name[FC_ADDRESS_QUOTE];

	/* What quotes the address already does not name it twice: it would not fit. */
	if (address == NULL || fc_address_is_quoted(error)) {
		fc_fail(&server->error, error->code, error->cause, "bind: %s", error->text);
		return;
	}
	fc_address_quote(name, address);
	fc_fail(&server->error, error->code, error->cause, "bind %s: %s", name,
	    fc_reason_behind(error->text, address));
}

farcall_endpoint *
farcall_server_bind(farcall_server *server, const char *address)
{
	farcall_endpoint *endpoint = NULL;
	fc_address parsed;
	fc_error error;

	if (!fc_server_in_setup(server, "bind"))
		return &fc_nil_endpoint;
	fc_error_clear(&error);
	if (address == NULL)
		fc_fail(&error, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_BAD_ADDRESS,
		    "the address is NULL");
	else if (server->n_endpoints == FC_SERVER_ENDPOINTS_MOST)
		fc_fail(&error, FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_LIMIT,
		    "more than %d endpoints", FC_SERVER_ENDPOINTS_MOST);
	if (error.code == FARCALL_OK && fc_address_parse(&parsed, address, &error) == FARCALL_OK) {
		endpoint = endpoint_new(server, address, &error);
		if (endpoint != NULL)
			take_places(endpoint, &parsed, &error);
		fc_address_fini(&parsed);
	}
	if (endpoint == NULL || endpoint->places == NULL) {
		fail_bind(server, address, &error);
		if (endpoint != NULL)
			fc_endpoint_free(endpoint);
		return &fc_nil_endpoint;
	}
	server->n_endpoints++;
	fc_list_append(&server->endpoints, &endpoint->in_server);
	return endpoint;
}

void
fc_endpoint_free(farcall_endpoint *endpoint)
{
	if (endpoint->listener != NULL)
		fc_listener_close(endpoint->listener);
	fc_free(endpoint->places);
	fc_free(endpoint->name);
	fc_free(endpoint->address);
	fc_free(endpoint);
}

static bool
may_set(farcall_endpoint *endpoint, const char *what)
{
	return endpoint != NULL && endpoint->server != NULL &&
	    fc_server_in_setup(endpoint->server, what);
}

void
farcall_endpoint_set_name(farcall_endpoint *endpoint, const char *name)
{
	char *copy;

	if (!may_set(endpoint, "endpoint name"))
		return;
	copy = name != NULL ? fc_strdup(name) : NULL;
	if (copy == NULL) {
		if (name != NULL)
			fc_fail_memory(&endpoint->server->error, "endpoint name");
		else
			fc_fail(&endpoint->server->error, FARCALL_INVALID_ARGUMENT,
			    FARCALL_CAUSE_NONE, "endpoint name of %s: NULL", endpoint->address);
		return;
	}
	fc_free(endpoint->name);
	endpoint->name = copy;
}

void
farcall_endpoint_allow_insecure(farcall_endpoint *endpoint)
{
	if (may_set(endpoint, "allow insecure"))
		endpoint->insecure = true;
}

void
farcall_endpoint_set_mode(farcall_endpoint *endpoint, unsigned mode)
{
	if (!may_set(endpoint, "endpoint mode"))
		return;
	if (mode == 0 || (mode & ~0777u) != 0)
		fc_fail(&endpoint->server->error, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_NONE,
		    "mode of %s: 0%o is not within 01 and 0777", endpoint->address, mode);
	else
		fc_listener_set_mode(endpoint->listener, mode);
}

const char *
farcall_endpoint_address(const farcall_endpoint *endpoint, size_t i)
{
	return endpoint != NULL && i < endpoint->n_places ? endpoint->places[i].text : NULL;
}

unsigned
farcall_endpoint_port(const farcall_endpoint *endpoint)
{
	const char *address = farcall_endpoint_address(endpoint, 0);
	const char *colon = address != NULL ? strrchr(address, ':') : NULL;
	unsigned port = 0;

	if (colon == NULL || strncmp(address, "ipv", 3) != 0)
		return 0;
	for (const char *digit = colon + 1; *digit >= '0' && *digit <= '9'; digit++)
		port = port * 10 + (unsigned)(*digit - '0');
	return port;
}

/* ---- with the server ---- */

farcall_code
fc_endpoints_check(farcall_server *server, fc_error *error)
{
	if (fc_list_empty(&server->endpoints))
		return fc_fail(error, FARCALL_FAILED_PRECONDITION, FARCALL_CAUSE_NONE,
		    "start: no endpoint is bound");
	fc_list_each (item, following, &server->endpoints) {
		farcall_endpoint *endpoint = FC_CONTAINER(item, farcall_endpoint, in_server);

		for (size_t i = 0; i < endpoint->n_places; i++) {
			const fc_place *place = &endpoint->places[i];

			if (!endpoint->insecure && !fc_place_is_local(place))
				return fc_fail(error, FARCALL_FAILED_PRECONDITION,
				    FARCALL_CAUSE_INSECURE,
				    "start: %s is plaintext beyond this host: see "
				    "farcall_endpoint_allow_insecure()",
				    place->text);
		}
	}
	return FARCALL_OK;
}

farcall_code
fc_endpoints_start(farcall_server *server, fc_error *error)
{
	fc_list_each (item, following, &server->endpoints) {
		farcall_endpoint *endpoint = FC_CONTAINER(item, farcall_endpoint, in_server);
		farcall_code code = fc_listener_start(
		    endpoint->listener, server->loop, fc_server_on_accept, endpoint, error);

		if (code != FARCALL_OK)
			return code;
	}
	return FARCALL_OK;
}

void
fc_endpoints_pause(farcall_server *server, bool pause)
{
	if (atomic_load(&server->paused) == pause)
		return;
	atomic_store(&server->paused, pause);
	fc_list_each (item, following, &server->endpoints) {
		farcall_endpoint *endpoint = FC_CONTAINER(item, farcall_endpoint, in_server);

		if (endpoint->listener != NULL)
			fc_listener_pause(endpoint->listener, pause);
	}
}

void
fc_endpoints_close(farcall_server *server)
{
	fc_list_each (item, following, &server->endpoints) {
		farcall_endpoint *endpoint = FC_CONTAINER(item, farcall_endpoint, in_server);

		if (endpoint->listener != NULL)
			fc_listener_close(endpoint->listener);
		endpoint->listener = NULL;
	}
}
