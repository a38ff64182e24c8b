/*
 * resolver.c: from a target to places. Every scheme but file: is the transport's look-up; a target
 * in a registry is first turned into the addresses that living servers have published, the newest
 * first, and these are looked up one by one. What one of them gives is kept even if another fails.
 */
#include "client/internal.h"

#include "runtime/base/alloc.h"
#include "runtime/base/log.h"
#include "runtime/transport/registry.h"

static void next_record(fc_resolver *resolver);

static void
free_records(fc_resolver *resolver)
{
	for (size_t i = 0; resolver->records != NULL && i < resolver->n_records; i++)
		fc_free(resolver->records[i]);
	fc_free(resolver->records);
	resolver->records = NULL;
	resolver->n_records = resolver->next_record = 0;
}

void
fc_resolver_stop(fc_resolver *resolver)
{
	if (resolver->lookup != NULL)
		fc_lookup_cancel(resolver->lookup);
	resolver->lookup = NULL;
	fc_address_fini(&resolver->record);
	memset(&resolver->record, 0, sizeof resolver->record);
	free_records(resolver);
	fc_free(resolver->places);
	resolver->places = NULL;
	resolver->n = resolver->room = 0;
	fc_free(resolver->former);
	resolver->former = NULL;
	resolver->n_former = 0;
}

/* Past the cap the rest is left out. false: out of memory. */
static bool
add_places(fc_resolver *resolver, const fc_place *places, size_t n)
{
	size_t want = FC_MIN(resolver->n + n, FC_CLIENT_PLACES_MOST);
	fc_place *room;

	if (want > resolver->room) {
		room = (fc_place *)fc_realloc(resolver->places, want * sizeof *room);
		if (room == NULL)
			return false;
		resolver->places = room;
		resolver->room = want;
	}
	if (want != resolver->n)
		memcpy(
		    resolver->places + resolver->n, places, (want - resolver->n) * sizeof *places);
	resolver->n = want;
	return true;
}

/* A name server that does not answer is no reason to forget where the server was. */
static void
fall_back(fc_resolver *resolver)
{
	fc_log(FARCALL_LOG_WARNING, "%s; the former addresses are tried", resolver->failure.text);
	fc_free(resolver->places);
	resolver->places = resolver->former;
	resolver->n = resolver->room = resolver->n_former;
	resolver->former = NULL;
	resolver->n_former = 0;
}

static void
finish(fc_resolver *resolver)
{
	const fc_error *failure;

	free_records(resolver);
	if (resolver->n == 0 && resolver->n_former != 0)
		fall_back(resolver);
	failure = resolver->n == 0 ? &resolver->failure : NULL;
	fc_race_order(resolver->places, resolver->n);
	if (resolver->n == 0)
		fc_fail(&resolver->failure, FARCALL_UNAVAILABLE, FARCALL_CAUSE_HOST_NOT_FOUND, "%s",
		    fc_cause_text(FARCALL_CAUSE_HOST_NOT_FOUND));
	resolver->done(resolver, failure);
}

static void
on_places(void *owner, const fc_place *places, size_t n, const fc_error *error)
{
	fc_resolver *resolver = (fc_resolver *)owner;

	resolver->lookup = NULL;
	if (error != NULL)
		resolver->failure = *error;
	else if (!add_places(resolver, places, n))
		fc_fail_memory(&resolver->failure, "addresses");
	if (resolver->records != NULL)
		next_record(resolver);
	else
		finish(resolver);
}

/* ---- file: ---- */

static void
collect(void *data, const char *address)
{
	fc_resolver *resolver = (fc_resolver *)data;
	char *copy;

	if (resolver->n_records == FC_CLIENT_PLACES_MOST)
		return;
	copy = fc_strdup(address);
	if (copy != NULL)
		resolver->records[resolver->n_records++] = copy;
	else
		fc_fail_memory(&resolver->failure, "records");
}

/* A record may name what this process can connect to, and nothing else. */
static bool
begin_record(fc_resolver *resolver, const char *text)
{
	fc_error error;

	fc_address_fini(&resolver->record);
	memset(&resolver->record, 0, sizeof resolver->record);
	fc_error_clear(&error);
	if (fc_address_parse(&resolver->record, text, &error) != FARCALL_OK ||
	    resolver->record.scheme == FC_SCHEME_FILE || resolver->record.scheme == FC_SCHEME_FD) {
		fc_log(FARCALL_LOG_WARNING, "a record's address is skipped: %s",
		    error.code != FARCALL_OK ? error.text : text);
		return false;
	}
	resolver->lookup = fc_lookup_start(
	    resolver->loop, &resolver->record, on_places, resolver, &resolver->failure);
	return resolver->lookup != NULL;
}

static void
next_record(fc_resolver *resolver)
{
	while (resolver->next_record < resolver->n_records)
		if (begin_record(resolver, resolver->records[resolver->next_record++]))
			return;
	finish(resolver);
}

/* The records that can be begun are found out at once, so that `done` never comes inside start. */
static farcall_code
start_file(fc_resolver *resolver, const char *path, fc_error *error)
{
	farcall_code code;

	resolver->records = (char **)fc_calloc(FC_CLIENT_PLACES_MOST, sizeof(char *));
	if (resolver->records == NULL)
		return fc_fail_memory(error, "records");
	code = fc_record_find(path, collect, resolver, error);
	if (code != FARCALL_OK)
		return code;
	while (resolver->next_record < resolver->n_records)
		if (begin_record(resolver, resolver->records[resolver->next_record++]))
			return FARCALL_OK;
	if (resolver->failure.code != FARCALL_OK)
		return fc_fail(error, resolver->failure.code, resolver->failure.cause, "%s",
		    resolver->failure.text);
	return fc_fail(error, FARCALL_UNAVAILABLE, FARCALL_CAUSE_HOST_NOT_FOUND,
	    "no record of %s has a usable address", path);
}

farcall_code
fc_resolver_start(fc_resolver *resolver, fc_loop *loop, const fc_address *target,
    void (*done)(fc_resolver *resolver, const fc_error *error), fc_error *error)
{
	fc_place *former = target->n_hosts != 0 ? resolver->places : NULL;
	size_t n_former = resolver->n;
	farcall_code code = FARCALL_OK;

	if (former != NULL)
		resolver->places = NULL;
	fc_resolver_stop(resolver);
	resolver->former = former;
	resolver->n_former = former != NULL ? n_former : 0;
	resolver->loop = loop;
	resolver->done = done;
	fc_error_clear(&resolver->failure);
	if (target->scheme == FC_SCHEME_FILE) {
		code = start_file(resolver, target->path, error);
	} else {
		resolver->lookup = fc_lookup_start(loop, target, on_places, resolver, error);
		if (resolver->lookup == NULL)
			code = error->code;
	}
	if (code != FARCALL_OK)
		fc_resolver_stop(resolver);
	return code;
}
