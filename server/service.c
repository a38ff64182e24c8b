/*
 * service.c: interfaces that a server offers, and the table from path to method. The table is made
 * once for each loop, at start; a look-up happens once for each new :path field of a connection,
 * not for each call.
 */
#include "server/internal.h"

#include "runtime/base/alloc.h"

#include <stdlib.h>
#include <string.h>

farcall_service fc_nil_service;

static farcall_code
check_interface(farcall_server *server, const farcall_interface *iface, const void *ops)
{
	if (iface == NULL || iface->name == NULL || (ops == NULL && iface->n_methods != 0))
		return fc_fail(&server->error, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_NONE,
		    "register: interface or handlers are NULL");
	if (iface->abi != FARCALL_INTERFACE_ABI || iface->method_size != sizeof(farcall_method))
		return fc_fail(&server->error, FARCALL_FAILED_PRECONDITION, FARCALL_CAUSE_NONE,
		    "register %s: its code was generated for another version of the library "
		    "(ABI %u, here %u)",
		    iface->name, iface->abi, FARCALL_INTERFACE_ABI);
	fc_list_each (item, following, &server->services) {
		farcall_service *other = FC_CONTAINER(item, farcall_service, in_server);

		if (strcmp(other->iface->name, iface->name) == 0)
			return fc_fail(&server->error, FARCALL_ALREADY_EXISTS, FARCALL_CAUSE_NONE,
			    "register %s: it is registered already", iface->name);
	}
	return FARCALL_OK;
}

farcall_service *
farcall_server_register(farcall_server *server, const farcall_interface *iface, const void *ops,
    size_t ops_size, void *self)
{
	farcall_service *service;

	if (!fc_server_in_setup(server, "register") ||
	    check_interface(server, iface, ops) != FARCALL_OK)
		return &fc_nil_service;
	service = (farcall_service *)fc_calloc(1, sizeof *service);
	if (service != NULL && ops_size != 0) {
		service->ops = fc_malloc(ops_size);
		if (service->ops == NULL) {
			fc_free(service);
			service = NULL;
		}
	}
	if (service == NULL) {
		fc_fail_memory(&server->error, "register");
		return &fc_nil_service;
	}
	if (ops_size != 0)
		memcpy(service->ops, ops, ops_size);
	service->ops_size = ops_size;
	service->server = server;
	service->iface = iface;
	service->self = self;
	fc_list_init(&service->allowed);
	fc_list_append(&server->services, &service->in_server);
	return service;
}

void
fc_service_free(farcall_service *service)
{
	fc_list_each (item, following, &service->allowed)
		fc_free(FC_CONTAINER(item, fc_name, in_list));
	fc_quota_fini(&service->calls);
	fc_old_service_free(service->old);
	fc_free(service->places);
	fc_free(service->ops);
	fc_free(service);
}

static bool
may_set(farcall_service *service, const char *what)
{
	return service != NULL && service->server != NULL &&
	    fc_server_in_setup(service->server, what);
}

void
farcall_service_set_max_calls(farcall_service *service, size_t most)
{
	if (!may_set(service, "service max calls"))
		return;
	if (most == 0)
		fc_fail(&service->server->error, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_NONE,
		    "max calls of %s: 0 is not at least 1", service->iface->name);
	service->max_calls = most;
}

void
farcall_service_set_max_message(farcall_service *service, size_t bytes)
{
	if (!may_set(service, "service max message"))
		return;
	if (bytes == 0 || bytes > INT32_MAX)
		fc_fail(&service->server->error, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_NONE,
		    "max message of %s: %zu is not within 1 and %d", service->iface->name, bytes,
		    INT32_MAX);
	service->max_message = bytes;
}

void
farcall_service_allow_endpoint(farcall_service *service, const char *name)
{
	size_t size = name != NULL ? strlen(name) : 0;
	fc_name *allowed;

	if (!may_set(service, "allow endpoint"))
		return;
	if (size == 0) {
		fc_fail(&service->server->error, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_NONE,
		    "allow endpoint of %s: no name", service->iface->name);
		return;
	}
	allowed = (fc_name *)fc_malloc(sizeof *allowed + size + 1);
	if (allowed == NULL) {
		fc_fail_memory(&service->server->error, "allow endpoint");
		return;
	}
	memcpy(allowed->text, name, size + 1);
	fc_list_append(&service->allowed, &allowed->in_list);
}

void
farcall_service_set_blocking(farcall_service *service, const char *method, bool blocking)
{
	const farcall_interface *iface;

	if (!may_set(service, "service set blocking"))
		return;
	iface = service->iface;
	for (size_t i = 0; method != NULL && i < iface->n_methods; i++) {
		if (strcmp(iface->methods[i].name, method) != 0)
			continue;
		if (service->places == NULL)
			service->places = (uint8_t *)fc_calloc(iface->n_methods, 1);
		if (service->places == NULL)
			fc_fail_memory(&service->server->error, "set blocking");
		else
			service->places[i] = blocking ? FC_WORK_BLOCKS : FC_WORK_STAYS;
		return;
	}
	fc_fail(&service->server->error, FARCALL_NOT_FOUND, FARCALL_CAUSE_NONE,
	    "set blocking: %s has no method %s", iface->name, method != NULL ? method : "NULL");
}

/* ---- the table ---- */

static uint64_t
endpoints_named(const farcall_server *server, const char *name)
{
	uint64_t mask = 0;

	fc_list_each (item, following, &server->endpoints) {
		const farcall_endpoint *endpoint = FC_CONTAINER(item, farcall_endpoint, in_server);

		if (endpoint->name != NULL && strcmp(endpoint->name, name) == 0)
			mask |= UINT64_C(1) << endpoint->index;
	}
	return mask;
}

static farcall_code
resolve_allowed(farcall_server *server, farcall_service *service, fc_error *error)
{
	service->endpoints = fc_list_empty(&service->allowed) ? UINT64_MAX : 0;
	fc_list_each (item, following, &service->allowed) {
		const char *name = FC_CONTAINER(item, fc_name, in_list)->text;
		uint64_t mask = endpoints_named(server, name);

		if (mask == 0)
			return fc_fail(error, FARCALL_NOT_FOUND, FARCALL_CAUSE_NONE,
			    "start: %s is allowed on endpoint \"%s\", but no endpoint has that "
			    "name",
			    service->iface->name, name);
		service->endpoints |= mask;
	}
	return FARCALL_OK;
}

static int
compare_routes(const void *a, const void *b)
{
	return strcmp(((const fc_route *)a)->method->path, ((const fc_route *)b)->method->path);
}

/* In the order of the services: a route's place among them is its kind's. */
static void
add_routes(fc_server_loop *at, farcall_service *service)
{
	for (size_t i = 0; i < service->iface->n_methods; i++) {
		fc_route *route = &at->routes[at->n_routes];
		fc_work_place place = FC_WORK_LEARNS;

		if (service->places != NULL)
			place = (fc_work_place)service->places[i];
		route->method = &service->iface->methods[i];
		route->service = service;
		route->kind = &at->kinds[at->n_routes++];
		fc_work_kind_init(route->kind, at->crew, route->method->path, place);
	}
}

/* What the loops share of the services, at start. */
farcall_code
fc_services_settle(farcall_server *server, fc_error *error)
{
	fc_list_each (item, following, &server->services) {
		farcall_service *service = FC_CONTAINER(item, farcall_service, in_server);

		if (resolve_allowed(server, service, error) != FARCALL_OK)
			return error->code;
		fc_hooks_settle(server, service);
		if (service->max_message == 0)
			service->max_message = server->max_message;
		if (service->max_calls != 0 &&
		    !fc_quota_init(&service->calls, (unsigned)server->n_loops, service->max_calls))
			return fc_fail_memory(error, "start");
	}
	return FARCALL_OK;
}

farcall_code
fc_routes_make(fc_server_loop *at, fc_error *error)
{
	farcall_server *server = at->server;
	size_t n = 0;

	fc_list_each (item, following, &server->services)
		n += FC_CONTAINER(item, farcall_service, in_server)->iface->n_methods;
	at->routes = (fc_route *)fc_calloc(n != 0 ? n : 1, sizeof *at->routes);
	at->kinds = (fc_work_kind *)fc_calloc(n != 0 ? n : 1, sizeof *at->kinds);
	if (at->routes == NULL || at->kinds == NULL)
		return fc_fail_memory(error, "start");
	fc_list_each (item, following, &server->services)
		add_routes(at, FC_CONTAINER(item, farcall_service, in_server));
	qsort(at->routes, at->n_routes, sizeof *at->routes, compare_routes);
	return FARCALL_OK;
}

const fc_route *
fc_routes_find(const fc_server_loop *at, const char *path, size_t size)
{
	size_t low = 0, high = at->n_routes;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const char *here = at->routes[middle].method->path;
		int order = strncmp(here, path, size);

		if (order == 0 && here[size] == 0)
			return &at->routes[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}
