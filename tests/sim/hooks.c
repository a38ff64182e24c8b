/*
 * hooks.c: the interceptors of a universe's channels and servers, which look on, pend or refuse,
 * and the servers' hooks of connections. What is promised: for each begin an end, once, and after
 * it nothing; a call goes on as a hook says, and only so; what open gave lives until its close.
 */
#include "tests/sim/sim.h"

#include <stdlib.h>

enum { HOOK_NONE, HOOK_BEGUN, HOOK_ENDED };

/* ---- the ledger ---- */

static sim_hook *
of(const farcall_intercepted *about)
{
	sim_hook *hook = (sim_hook *)*about->state;

	if (hook == NULL)
		abort(); /* begin has set it */
	if (hook->state != HOOK_BEGUN)
		sim_broken(hook->world, "hook %u is called after its end", hook->id);
	return hook;
}

/* The call that it is about: a client's by itself, a server's by what it says. NULL: none of ours.
 */
static sim_call *
find(sim *w, farcall_call *call, const farcall_intercepted *about)
{
	const char *text = farcall_metadata_get(about->metadata, "sim-id");
	unsigned id = text != NULL ? (unsigned)strtoul(text, NULL, 10) : 0;

	(void)call;
	return id != 0 && id <= w->n_calls ? &w->calls[id - 1] : NULL;
}

/* ---- interceptors ---- */

static farcall_code
refuse(sim_hook *hook, farcall_call *call)
{
	if (hook->of != NULL)
		hook->of->refused |= 1u << hook->code;
	hook->world->totals->hooks_refused++;
	return farcall_call_fail(call, hook->code, "refused %u", hook->id);
}

/* Nothing is refused where nothing may be lost. */
static farcall_code
choose(sim_hook *hook)
{
	sim *w = hook->world;

	if (w->calm || w->ending || hook->of == NULL || !sim_odds(w, 4))
		return FARCALL_OK;
	return (farcall_code)(1 + sim_below(w, FARCALL_UNAUTHENTICATED));
}

static farcall_code
pend(sim_hook *hook, farcall_call *call)
{
	static const uint64_t delays[] = {0, FC_NS_PER_MS, 100 * FC_NS_PER_MS, 3 * FC_NS_PER_S};
	sim *w = hook->world;

	w->totals->hooks_pended++;
	hook->code = choose(hook);
	if (sim_odds(w, 8)) { /* it goes on before it has said that it waits */
		sim_note(w, "goes on", hook->id, (uint64_t)hook->code);
		if (hook->code != FARCALL_OK)
			refuse(hook, call);
		farcall_intercept_resume(call, hook->code);
		return FARCALL_PENDING;
	}
	hook->call = call;
	hook->due = w->clock.now + sim_some_ns(w, delays[sim_below(w, FC_COUNT(delays))]);
	w->n_pended++;
	return FARCALL_PENDING;
}

static farcall_code
begin(farcall_call *call, const farcall_intercepted *about, void *data)
{
	sim *w = (sim *)data;
	sim_hook *hook = &w->hooks[w->n_hooks];

	if (*about->state != NULL)
		sim_broken(w, "a hook's state before its begin");
	if (w->n_hooks == SIM_HOOKS)
		return FARCALL_OK;
	w->n_hooks++;
	w->totals->hooks++;
	*hook = (sim_hook){.world = w, .id = w->n_hooks, .due = FC_NEVER, .state = HOOK_BEGUN};
	hook->of = find(w, call, about);
	*about->state = hook;
	sim_note(w, about->server ? "begin served" : "begin", hook->id,
	    hook->of != NULL ? hook->of->id : 0);
	farcall_call_add_metadata(call, "sim-hook", "was here");
	if (w->ending)
		return FARCALL_OK;
	if (sim_odds(w, 6))
		return pend(hook, call);
	hook->code = sim_odds(w, 6) ? choose(hook) : FARCALL_OK;
	return hook->code != FARCALL_OK ? refuse(hook, call) : FARCALL_OK;
}

static void
message(farcall_call *call, const farcall_intercepted *about, bool sent,
    const ProtobufCMessage *what, void *data)
{
	sim_hook *hook;

	(void)call;
	if (*about->state == NULL && ((sim *)data)->n_hooks == SIM_HOOKS)
		return;
	hook = of(about);
	if (what == NULL)
		sim_broken(hook->world, "hook %u: a message that is none", hook->id);
	hook->messages[sent]++;
}

static void
end(farcall_call *call, const farcall_intercepted *about, const farcall_outcome *outcome,
    void *data)
{
	sim_hook *hook;

	(void)call;
	if (*about->state == NULL && ((sim *)data)->n_hooks == SIM_HOOKS)
		return;
	hook = of(about);
	hook->state = HOOK_ENDED;
	sim_note(hook->world, "end", hook->id, (uint64_t)outcome->code);
	if (hook->call != NULL)
		sim_broken(hook->world, "hook %u ends while its begin pends", hook->id);
	/* One that was about to be sent, and could not be, is seen and not counted. */
	if (outcome->messages_sent + (outcome->code != FARCALL_OK) < hook->messages[true] ||
	    outcome->messages_received < hook->messages[false])
		sim_broken(
		    hook->world, "hook %u has seen more messages than were counted", hook->id);
	if ((unsigned)outcome->code > FARCALL_UNAUTHENTICATED)
		sim_broken(hook->world, "hook %u ends with code %d", hook->id, (int)outcome->code);
}

static const farcall_interceptor hooks = {begin, message, end};

void
sim_hooks_of_channel(sim *w, farcall_channel *channel)
{
	if (w->hooked && sim_odds(w, 2))
		farcall_channel_intercept(channel, &hooks, sizeof hooks, w);
}

static void
go_on(sim_hook *hook)
{
	farcall_call *call = hook->call;
	sim *w = hook->world;

	sim_note(w, "goes on", hook->id, (uint64_t)hook->code);
	hook->call = NULL;
	hook->due = FC_NEVER;
	w->n_pended--;
	if (hook->code != FARCALL_OK)
		refuse(hook, call);
	farcall_intercept_resume(call, hook->code);
}

void
sim_hooks_look(sim *w)
{
	for (unsigned i = 0; i < w->n_hooks && w->n_pended != 0; i++)
		if (w->hooks[i].call != NULL && w->hooks[i].due <= w->clock.now)
			go_on(&w->hooks[i]);
}

uint64_t
sim_hooks_next(const sim *w)
{
	uint64_t next = FC_NEVER;

	for (unsigned i = 0; i < w->n_hooks && w->n_pended != 0; i++)
		next = FC_MIN(next, w->hooks[i].due);
	return next;
}

/* ---- connections ---- */

static farcall_code
on_open(const farcall_connection *connection, void **user, void *data)
{
	sim *w = (sim *)data;

	if (strncmp(connection->peer, "mem:", 4) != 0)
		sim_broken(w, "a peer is \"%s\"", connection->peer);
	if (!w->calm && !w->ending && sim_odds(w, 8)) {
		sim_note(w, "turned away", 0, 0);
		w->totals->turned_away++;
		return FARCALL_PERMISSION_DENIED;
	}
	*user = w;
	w->connections++;
	return FARCALL_OK;
}

static void
on_close(void *user, void *data)
{
	sim *w = (sim *)data;

	if (user != w)
		sim_broken(w, "a close is not given what its open gave");
	if (w->connections-- == 0)
		sim_broken(w, "a connection is closed twice");
}

void
sim_hooks_of_server(sim *w, farcall_server *server)
{
	if (!w->hooked)
		return;
	if (sim_odds(w, 2))
		farcall_server_intercept(server, &hooks, sizeof hooks, w);
	if (sim_odds(w, 2))
		farcall_server_on_connection(server, on_open, on_close, w);
}

/* ---- the end ---- */

void
sim_hooks_check(sim *w)
{
	for (unsigned i = 0; i < w->n_hooks; i++)
		if (w->hooks[i].state != HOOK_ENDED)
			sim_broken(w, "hook %u has not ended", w->hooks[i].id);
	if (w->connections != 0)
		sim_broken(w, "%u connections were not closed", w->connections);
}
