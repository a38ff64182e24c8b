/*
 * servers.c: the servers of a universe: started, stopped gently or not, freed, and made again under
 * the same name while their predecessors still drain.
 */
#include "tests/sim/sim.h"

#include "server/internal.h"

/* ---- beginning ---- */

static void
limit(sim *w, farcall_server *server, farcall_service *service)
{
	if (!w->limited)
		return;
	if (sim_odds(w, 2))
		farcall_server_set_max_calls(server, 1 + sim_below(w, 8));
	if (sim_odds(w, 2))
		farcall_service_set_max_calls(service, 1 + sim_below(w, 4));
	if (sim_odds(w, 2))
		farcall_server_set_max_message(server, 1000 + sim_below(w, 60000));
	if (sim_odds(w, 2))
		farcall_server_set_max_connections(server, w->n_clients + sim_below(w, 3));
}

/* Connections that end by themselves, gently, and whose peers are asked whether they live: no call
 * may notice. The longest stall of a link is 20 s. */
static void
give_lives(sim *w, farcall_server *server)
{
	uint64_t age = sim_odds(w, 3) ? 1000 + sim_below(w, 20000) : 0;
	uint64_t idle = sim_odds(w, 3) ? 1000 + sim_below(w, 10000) : 0;

	w->brief =
	    w->brief || (age != 0 && age < SIM_BRIEF_MS) || (idle != 0 && idle < SIM_BRIEF_MS);
	farcall_server_set_max_connection_age_ms(server, age);
	farcall_server_set_max_connection_idle_ms(server, idle);
	if (sim_odds(w, 3))
		farcall_server_set_keepalive_ms(server, 1000 + sim_below(w, 10000));
	farcall_server_set_keepalive_timeout_ms(server, 60000);
	farcall_server_set_ping_interval_ms(server, 0);
	if (farcall_server_code(server) == FARCALL_OK)
		fc_server_seed(server, 1 + sim_below(w, 1000000));
}

void
sim_server_start(sim *w, unsigned i)
{
	sim_server *s = &w->servers[i];
	farcall_server *server = farcall_server_new();
	farcall_service *service;
	char name[16];

	snprintf(name, sizeof name, "mem:s%u", i);
	farcall_server_set_loop(server, w->loops[s->loop]);
	service = pair_test__register(server, &sim_handlers, w);
	limit(w, server, service);
	if (w->streaming)
		stream_test__register(server, &sim_stream_handlers, sim_house_open(w, server));
	give_lives(w, server);
	sim_hooks_of_server(w, server);
	farcall_server_bind(server, name);
	sim_note(w, "server start", i, (uint64_t)farcall_server_start(server));
	s->restart_at = FC_NEVER;
	s->free_inside = false;
	if (farcall_server_code(server) == FARCALL_OK) {
		s->server = server;
		w->totals->restarts++;
		return;
	}
	if (!w->oom)
		sim_broken(w, "server %u does not start: %s", i, farcall_server_error(server));
	sim_house_closed(w, server);
	farcall_server_free(server);
	s->restart_at = w->clock.now + FC_NS_PER_S;
}

/* ---- the end ---- */

/* It may block, and time passes then; what is due in other loops comes late. */
static void
free_server(sim *w, farcall_server *server, unsigned number)
{
	uint64_t before = w->clock.now;
	unsigned loop = w->loop_in_turn;
	bool inside = w->in_turn;

	w->in_turn = true; /* callbacks come, on its loop */
	w->loop_in_turn = w->servers[number].loop;
	farcall_server_free(server);
	w->in_turn = inside;
	w->loop_in_turn = loop;
	w->totals->frees++;
	sim_house_closed(w, server);
	if (w->clock.now == before)
		return;
	w->jump_end = w->clock.now;
	w->totals->jumps++;
	sim_note(w, "time has passed", w->clock.now - before, 0);
}

static bool
put_aside(sim *w, farcall_server *server, unsigned number)
{
	for (unsigned i = 0; i < SIM_OLD; i++) {
		if (w->old[i] != NULL)
			continue;
		w->old[i] = server;
		w->old_number[i] = number;
		return true;
	}
	return false;
}

void
sim_server_stop(sim *w, unsigned i, uint64_t grace_ms, uint64_t pause)
{
	sim_server *s = &w->servers[i];

	if (s->server == NULL || !put_aside(w, s->server, i))
		return;
	sim_note(w, "server stop", i, grace_ms);
	w->net.trouble[i]++;
	s->stops++;
	farcall_server_stop(s->server, grace_ms);
	s->server = NULL;
	s->restart_at = w->clock.now + pause;
}

/* Outside of the loops it waits for the end; inside one, which must be its own, it does not. */
void
sim_server_free_now(sim *w, unsigned i, uint64_t pause)
{
	sim_server *s = &w->servers[i];
	farcall_server *server = s->server;

	if (server == NULL)
		return;
	sim_note(w, "server free", i, w->in_turn);
	w->net.trouble[i]++;
	s->server = NULL;
	s->restart_at = w->clock.now + pause + 1;
	free_server(w, server, i);
}

void
sim_free_inside(sim *w)
{
	for (unsigned i = 0; i < w->n_servers; i++) {
		sim_server *s = &w->servers[i];

		if (!s->free_inside || s->loop != w->loop_in_turn || s->server == NULL)
			continue;
		s->free_inside = false;
		sim_server_free_now(w, i, sim_some_ns(w, FC_NS_PER_S));
	}
}

/* Those first that are to start: freeing others may turn the loops, and what is stopped in there
 * has not let go of its name yet. One that is being freed still counts as draining. */
void
sim_servers_look(sim *w)
{
	for (unsigned i = 0; i < w->n_servers; i++)
		if (w->servers[i].restart_at <= w->clock.now)
			sim_server_start(w, i);
	for (unsigned i = 0; i < SIM_OLD; i++) {
		farcall_server *server = w->old[i];

		if (server == NULL ||
		    (!farcall_server_stopped(server) && (w->calm || !sim_odds(w, 2000))))
			continue;
		free_server(w, server, w->old_number[i]);
		w->old[i] = NULL;
		/* Its last words may lie on a link that is blocked, for longer than it lived. */
		w->net.trouble[w->old_number[i]]++;
	}
}

bool
sim_server_drains(const sim *w, unsigned i)
{
	for (unsigned n = 0; n < SIM_OLD; n++)
		if (w->old[n] != NULL && w->old_number[n] == i)
			return true;
	return false;
}

uint64_t
sim_servers_next(const sim *w)
{
	uint64_t next = FC_NEVER;

	for (unsigned i = 0; i < w->n_servers; i++)
		next = FC_MIN(next, w->servers[i].restart_at);
	return next;
}

void
sim_servers_fini(sim *w)
{
	bool gently = sim_odds(w, 2);

	for (unsigned i = 0; i < w->n_servers; i++) {
		if (gently && w->servers[i].server != NULL) {
			farcall_server_stop(w->servers[i].server, sim_below(w, 3000));
			sim_advance(w, w->clock.now + sim_some_ns(w, 5 * FC_NS_PER_S));
		}
		w->servers[i].restart_at = FC_NEVER;
	}
	for (unsigned i = 0; i < w->n_servers; i++) {
		farcall_server *server = w->servers[i].server;

		w->servers[i].server = NULL;
		w->servers[i].restart_at = FC_NEVER;
		if (server != NULL)
			free_server(w, server, i);
	}
	for (unsigned i = 0; i < SIM_OLD; i++) {
		farcall_server *server = w->old[i];

		w->old[i] = NULL;
		if (server != NULL)
			free_server(w, server, w->old_number[i]);
	}
}
