/*
 * acts.c: what a universe's driver does, by chance, between moments and inside callbacks.
 */
#include "tests/sim/sim.h"

#include "tests/sim/memory.h"

#define ACT_TRIES 8

/* A call that has not ended; NULL: none was met. */
static sim_call *
some_open_call(sim *w)
{
	for (int i = 0; i < ACT_TRIES && w->n_calls != 0; i++) {
		sim_call *c = &w->calls[sim_below(w, w->n_calls)];

		if (c->done == 0 && c->call != NULL && !c->starting)
			return c;
	}
	return NULL;
}

static void
start_some(sim *w, unsigned most)
{
	for (unsigned n = 1 + sim_below(w, most); n > 0; n--)
		sim_call_start(w, sim_below(w, w->n_clients), false, false);
}

static void
cancel_some(sim *w)
{
	sim_call *c = some_open_call(w);

	if (c != NULL)
		sim_call_cancel(w, c);
}

static void
free_some(sim *w)
{
	sim_call *c = some_open_call(w);

	if (c != NULL)
		sim_call_free(w, c);
}

/* Those that have ended, and were kept. */
static void
free_kept(sim *w)
{
	for (unsigned i = 0; i < w->n_calls; i++)
		if (w->calls[i].done != 0 && w->calls[i].call != NULL && !w->calls[i].starting &&
		    sim_odds(w, 2))
			sim_call_free(w, &w->calls[i]);
}

static void
close_some(sim *w)
{
	unsigned i = sim_below(w, w->n_clients);

	if (w->clients[i].channel == NULL)
		return;
	w->totals->closes++;
	sim_client_close(w, i);
}

static void
stop_some(sim *w)
{
	static const uint32_t graces[] = {1, 20, 2000, 60000};
	uint64_t grace = w->calm ? 120000 : sim_below(w, graces[sim_below(w, FC_COUNT(graces))]);

	sim_server_stop(w, sim_below(w, w->n_servers), grace,
	    sim_odds(w, 3) ? 0 : sim_some_ns(w, 3 * FC_NS_PER_S));
}

static void
free_server(sim *w)
{
	unsigned i = sim_below(w, w->n_servers);

	if (w->calm)
		return;
	if (sim_odds(w, 2))
		w->servers[i].free_inside = true;
	else
		sim_server_free_now(w, i, sim_some_ns(w, 3 * FC_NS_PER_S));
}

static void
disturb(sim *w)
{
	if (!w->calm)
		sim_net_disturb(&w->net, (sim_fault)(1 + sim_below(w, SIM_FAULTS - 1)));
}

static void
fail_memory(sim *w)
{
	unsigned nth = 1 + sim_below(w, 60);

	if (!w->oom)
		return;
	sim_note(w, "memory fails", nth, 0);
	sim_memory_fail_in(nth);
}

void
sim_act(sim *w)
{
	uint32_t what = sim_below(w, 100);

	if (what < 45)
		start_some(w, what < 4 ? 12 : 3);
	else if (what < 53)
		cancel_some(w);
	else if (what < 57)
		free_some(w);
	else if (what < 62)
		free_kept(w);
	else if (what < 65)
		close_some(w);
	else if (what < 69)
		stop_some(w);
	else if (what < 71)
		free_server(w);
	else if (what < 82)
		disturb(w);
	else if (what < 90)
		fail_memory(w);
}

void
sim_act_inside(sim *w)
{
	uint32_t what;

	sim_free_inside(w);
	if (w->ending || w->depth != 0)
		return;
	w->depth++;
	what = sim_below(w, 200);
	if (what < 20)
		start_some(w, 1);
	else if (what < 26)
		cancel_some(w);
	else if (what < 29)
		free_some(w);
	else if (what < 31)
		close_some(w);
	else if (what < 33)
		stop_some(w);
	w->depth--;
}
