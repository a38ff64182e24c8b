/*
 * publish.c: records of the server's interfaces in registries. They appear when calls are accepted,
 * are renewed while the loop turns, and go when the server stops.
 */
#include "server/internal.h"

#include "runtime/base/alloc.h"
#include "runtime/base/log.h"

#include <stdio.h>
#include <string.h>

#define RENEW_NS (FC_LEASE_S * FC_NS_PER_S / 3)

farcall_code
farcall_server_publish(farcall_server *server, const char *registry)
{
	char name[FC_ADDRESS_QUOTE];
	fc_registry *entry = NULL;
	fc_address parsed;
	fc_error error;

	if (!fc_server_in_setup(server, "publish"))
		return farcall_server_code(server);
	fc_error_clear(&error);
	if (registry == NULL)
		return fc_fail(&server->error, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_BAD_ADDRESS,
		    "publish: the registry is NULL");
	if (fc_address_parse(&parsed, registry, &error) == FARCALL_OK) {
		size_t size = parsed.scheme == FC_SCHEME_FILE ? strlen(parsed.path) : 0;

		if (parsed.scheme != FC_SCHEME_FILE)
			fc_fail(&error, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_BAD_ADDRESS,
			    "not a registry: \"file:/folder\" is expected");
		else if ((entry = (fc_registry *)fc_malloc(sizeof *entry + size + 1)) == NULL)
			fc_fail_memory(&error, "registry");
		else
			memcpy(entry->dir, parsed.path, size + 1);
		fc_address_fini(&parsed);
	}
	if (entry == NULL) {
		if (fc_address_is_quoted(&error))
			return fc_fail(
			    &server->error, error.code, error.cause, "publish: %s", error.text);
		fc_address_quote(name, registry);
		return fc_fail(
		    &server->error, error.code, error.cause, "publish %s: %s", name, error.text);
	}
	fc_list_append(&server->registries, &entry->in_server);
	return FARCALL_OK;
}

/* What a client on this host can connect to: an address that stands for every interface becomes the
 * loopback's. */
static void
reachable(char *to, size_t room, const char *address)
{
	static const char any4[] = "ipv4:0.0.0.0:", any6[] = "ipv6:[::]:";

	if (strncmp(address, any4, sizeof any4 - 1) == 0)
		snprintf(to, room, "ipv4:127.0.0.1:%s", address + sizeof any4 - 1);
	else if (strncmp(address, any6, sizeof any6 - 1) == 0)
		snprintf(to, room, "ipv6:[::1]:%s", address + sizeof any6 - 1);
	else
		snprintf(to, room, "%s", address);
}

static farcall_code
publish_one(farcall_server *server, const char *dir, const farcall_service *service,
    const farcall_endpoint *endpoint, fc_error *error)
{
	char texts[FC_RECORD_ADDRESSES][sizeof(((fc_place *)0)->text)];
	const char *addresses[FC_RECORD_ADDRESSES];
	size_t n = FC_MIN(endpoint->n_places, FC_RECORD_ADDRESSES);
	fc_published *published = (fc_published *)fc_malloc(sizeof *published);

	if (published == NULL)
		return fc_fail_memory(error, "publish");
	for (size_t i = 0; i < n; i++) {
		reachable(texts[i], sizeof texts[i], endpoint->places[i].text);
		addresses[i] = texts[i];
	}
	published->record = fc_record_publish(dir, service->iface->name, addresses, n, error);
	if (published->record == NULL) {
		fc_free(published);
		return error->code;
	}
	fc_list_append(&server->published, &published->in_server);
	return FARCALL_OK;
}

static farcall_code
publish_service(
    farcall_server *server, const char *dir, const farcall_service *service, fc_error *error)
{
	fc_list_each (item, following, &server->endpoints) {
		const farcall_endpoint *endpoint = FC_CONTAINER(item, farcall_endpoint, in_server);

		if ((service->endpoints >> endpoint->index & 1) != 0 &&
		    publish_one(server, dir, service, endpoint, error) != FARCALL_OK)
			return error->code;
	}
	return FARCALL_OK;
}

static void
on_renewal(fc_timer *timer)
{
	farcall_server *server = FC_CONTAINER(timer, farcall_server, renewal);
	fc_error error;

	fc_list_each (item, following, &server->published) {
		fc_error_clear(&error);
		if (fc_record_renew(FC_CONTAINER(item, fc_published, in_server)->record, &error) !=
		    FARCALL_OK)
			fc_log(FARCALL_LOG_WARNING, "renew: %s", error.text);
	}
	fc_timer_start(server->loop, timer, fc_loop_now(server->loop) + RENEW_NS);
}

farcall_code
fc_publish_all(farcall_server *server, fc_error *error)
{
	fc_timer_init(&server->renewal, on_renewal);
	fc_list_each (registry, next_registry, &server->registries) {
		const char *dir = FC_CONTAINER(registry, fc_registry, in_server)->dir;

		fc_list_each (item, next_item, &server->services) {
			farcall_service *service = FC_CONTAINER(item, farcall_service, in_server);
			farcall_code code = FARCALL_OK;

			if ((service->extras & FC_EXTRA_ANY_PATH) == 0)
				code = publish_service(server, dir, service, error);
			if (code != FARCALL_OK)
				return code;
		}
	}
	if (!fc_list_empty(&server->published) &&
	    !fc_timer_start(server->loop, &server->renewal, fc_loop_clock(server->loop) + RENEW_NS))
		return fc_fail_memory(error, "publish");
	return FARCALL_OK;
}

void
fc_publish_withdraw(farcall_server *server)
{
	fc_timer_stop(server->loop, &server->renewal);
	fc_list_each (item, following, &server->published) {
		fc_published *published = FC_CONTAINER(item, fc_published, in_server);

		fc_record_withdraw(published->record);
		fc_free(published);
	}
	fc_list_init(&server->published);
}
