/*
 * lookup.c: from an address to places. Literals, unix, fd and mem are answered without a thread;
 * each host name goes through libuv's resolver threads, one after the other.
 *
 * A look-up lives until its answer has been given, or, cancelled, until libuv has let go of it:
 * after that it touches neither its loop nor its owner.
 */
#include "runtime/transport/names.h"

#include "runtime/base/alloc.h"
#include "runtime/transport/cause.h"
#include "runtime/transport/mem.h"

struct fc_lookup {
	fc_loop *loop;
	fc_lookup_done *done;
	void *owner;
	fc_address address;
	fc_places places;
	size_t next; /* host to be looked up */
	fc_error error;
	bool in_flight, cancelled;
	fc_task task;
	uv_getaddrinfo_t request;
};

static void step(fc_lookup *lookup);

static void
release(fc_lookup *lookup)
{
	fc_address_fini(&lookup->address);
	fc_places_fini(&lookup->places);
	fc_free(lookup);
}

static void
fail_memory(fc_lookup *lookup)
{
	fc_fail_memory(&lookup->error, "look-up of a host");
	lookup->places.n = 0;
	lookup->next = lookup->address.n_hosts;
}

static void
add(fc_lookup *lookup, const fc_place *place)
{
	if (!fc_places_add(&lookup->places, place))
		fail_memory(lookup);
}

static void
on_answer(uv_getaddrinfo_t *request, int status, struct addrinfo *info)
{
	fc_lookup *lookup = (fc_lookup *)request->data;
	const fc_host *host = &lookup->address.hosts[lookup->next - 1];
	size_t before = lookup->places.n;

	lookup->in_flight = false;
	if (lookup->cancelled) {
		uv_freeaddrinfo(info);
		release(lookup);
		return;
	}
	fc_loop_awake(lookup->loop);
	if (status != 0)
		fc_fail_lookup(&lookup->error, status, host->name);
	else if (!fc_places_add_info(&lookup->places, info, host->port))
		fail_memory(lookup);
	else if (lookup->places.n == before)
		fc_fail_lookup(&lookup->error, UV_EAI_NONAME, host->name);
	uv_freeaddrinfo(info);
	step(lookup);
}

static int
ask(fc_lookup *lookup, const fc_host *host)
{
	struct addrinfo hints;
	int rc;

	fc_names_hints(&hints, fc_scheme_family(lookup->address.scheme));
	lookup->request.data = lookup;
	rc = uv_getaddrinfo(
	    fc_loop_uv(lookup->loop), &lookup->request, on_answer, host->name, NULL, &hints);
	lookup->in_flight = rc == 0;
	return rc;
}

/* Goes on to the next name that must be asked for, or to the answer. */
static void
step(fc_lookup *lookup)
{
	while (lookup->next < lookup->address.n_hosts) {
		const fc_host *host = &lookup->address.hosts[lookup->next++];
		fc_place place;
		int rc;

		if (fc_place_from_literal(&place, host->name, host->port)) {
			if (fc_place_check_zone(&place, host->name, &lookup->error) == FARCALL_OK)
				add(lookup, &place);
			continue;
		}
		rc = ask(lookup, host);
		if (rc == 0)
			return;
		fc_fail_lookup(&lookup->error, rc, host->name);
	}
	fc_loop_ready(lookup->loop, &lookup->task);
}

/* One address that was found is enough. */
static void
run_done(fc_task *task)
{
	fc_lookup *lookup = FC_CONTAINER(task, fc_lookup, task);

	if (!lookup->cancelled)
		lookup->done(lookup->owner, lookup->places.at, lookup->places.n,
		    lookup->places.n != 0 ? NULL : &lookup->error);
	release(lookup);
}

static farcall_code
check_connectable(const fc_address *address, fc_error *error)
{
	for (size_t i = 0; i < address->n_hosts; i++) {
		if (strcmp(address->hosts[i].name, "*") == 0)
			return fc_fail(error, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_BAD_ADDRESS,
			    "bad address \"%.120s\": * can be bound, not connected", address->text);
		if (address->hosts[i].port == 0)
			return fc_fail(error, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_BAD_ADDRESS,
			    "bad address \"%.120s\": port 0 can be bound, not connected",
			    address->text);
	}
	if (address->scheme == FC_SCHEME_FILE)
		return fc_fail(error, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_BAD_ADDRESS,
		    "\"%.120s\" names a registry, not a place", address->text);
	return FARCALL_OK;
}

/* Places that are no hosts. */
static farcall_code
add_special(fc_lookup *lookup, fc_error *error)
{
	const fc_address *address = &lookup->address;
	farcall_code rc = FARCALL_OK;
	fc_place place;

	if (address->scheme == FC_SCHEME_UNIX)
		rc = fc_sock_unix_place(&place, address->path, error);
	else if (address->scheme == FC_SCHEME_FD)
		fc_place_set_fd(&place, address->fd);
	else if (address->scheme == FC_SCHEME_MEM)
		rc = fc_mem_place(&place, address->path, error);
	else
		return FARCALL_OK;
	if (rc != FARCALL_OK)
		return rc;
	return fc_places_add(&lookup->places, &place) ? FARCALL_OK
	                                              : fc_fail_memory(error, "look-up");
}

fc_lookup *
fc_lookup_start(
    fc_loop *loop, const fc_address *address, fc_lookup_done *done, void *owner, fc_error *error)
{
	fc_lookup *lookup;

	if (check_connectable(address, error) != FARCALL_OK)
		return NULL;
	lookup = (fc_lookup *)fc_calloc(1, sizeof *lookup);
	if (lookup == NULL) {
		fc_fail_memory(error, "look-up");
		return NULL;
	}
	lookup->loop = loop;
	lookup->done = done;
	lookup->owner = owner;
	lookup->task.run = run_done;
	if (fc_address_parse(&lookup->address, address->text, error) != FARCALL_OK ||
	    add_special(lookup, error) != FARCALL_OK) {
		release(lookup);
		return NULL;
	}
	step(lookup);
	return lookup;
}

void
fc_lookup_cancel(fc_lookup *lookup)
{
	lookup->cancelled = true;
	if (lookup->in_flight)
		uv_cancel((uv_req_t *)&lookup->request);
}
