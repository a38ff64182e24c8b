/*
 * sim.c: see sim.h. A life of a universe: it is made, lives through so many acts of the driver,
 * is healed, must then work, and leaves nothing behind. Time only moves when nothing is left to do
 * at its present moment, and then to the next thing that is due anywhere.
 */
#include "tests/sim/sim.h"

#include "runtime/loop/inside.h"

#include "tests/sim/memory.h"

#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#define TURNS_AT_ONCE 100000u /* at one moment; more is a loop without end */
#define HEALED_NS (400 * FC_NS_PER_S)
#define BYTES_MOST ((size_t)48 << 20)

uint8_t sim_blob[SIM_BLOB];

/* ---- what all share ---- */

uint32_t
sim_below(sim *w, uint32_t limit)
{
	return test_random_below(&w->random, limit);
}

bool
sim_odds(sim *w, uint32_t of)
{
	return of != 0 && sim_below(w, of) == 0;
}

uint64_t
sim_some_ns(sim *w, uint64_t most)
{
	return most == 0 ? 0 : ((uint64_t)test_random_next(&w->random) << 8) % most;
}

static double
seconds(const sim *w)
{
	return (double)w->clock.now / 1e9;
}

static void
mix(sim *w, uint64_t value)
{
	w->hash = (w->hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);
	w->hash ^= w->hash >> 29;
}

void
sim_note(sim *w, const char *what, uint64_t a, uint64_t b)
{
	mix(w, w->clock.now);
	mix(w, a);
	mix(w, b);
	for (const char *at = what; *at != 0; at++)
		mix(w, (uint8_t)*at);
	w->totals->events++;
	if (w->trace)
		printf("%14.9f  %-16s %6llu %llu\n", seconds(w), what, (unsigned long long)a,
		    (unsigned long long)b);
}

void
sim_broken(sim *w, const char *format, ...)
{
	va_list arguments;

	fflush(stdout);
	fprintf(stderr, "sim: seed %llu: at %.9f s: ", (unsigned long long)w->seed, seconds(w));
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	fflush(stderr);
	_exit(3);
}

static void
net_note(void *data, const char *what, unsigned link, uint64_t value)
{
	sim_note((sim *)data, what, link, value);
}

static void
log_line(farcall_log_level level, const char *text, void *data)
{
	sim *w = (sim *)data;

	sim_note(w, "log", level, 0);
	if (w->trace)
		printf("%16s%s\n", "", text);
	if (strstr(text, "misuse") != NULL && !w->misuse)
		sim_broken(w, "misuse that was none: %s", text);
	w->misuse = false;
}

/* ---- time ---- */

static bool
is_due(const sim *w, const farcall_loop *loop)
{
	return fc_loop_has_work(loop) || fc_heap_next(&loop->timers) <= w->clock.now;
}

/* Everything that can happen at this moment; the loops take turns in an order of chance. */
static void
settle(sim *w)
{
	unsigned turns = 0;
	bool any;

	do {
		unsigned first = w->n_loops > 1 ? sim_below(w, w->n_loops) : 0;

		any = false;
		for (unsigned n = 0; n < w->n_loops; n++) {
			unsigned i = (first + n) % w->n_loops;

			if (!is_due(w, w->loops[i]))
				continue;
			any = true;
			w->in_turn = true;
			w->loop_in_turn = i;
			fc_loop_turn(w->loops[i], 0);
			w->in_turn = false;
			turns++;
		}
		if (turns > TURNS_AT_ONCE)
			sim_broken(w, "the loops never come to rest");
	} while (any);
	w->totals->turns += turns;
}

static uint64_t
next_moment(const sim *w)
{
	uint64_t next = FC_MIN(sim_handlers_next(w), sim_servers_next(w));

	next = FC_MIN(next, sim_streams_next(w));
	next = FC_MIN(next, sim_hooks_next(w));

	for (unsigned i = 0; i < w->n_loops; i++)
		next = FC_MIN(next, fc_heap_next(&w->loops[i]->timers));
	return next;
}

static void
check(sim *w)
{
	sim_calls_check(w);
	if (sim_memory_bytes() > BYTES_MOST)
		sim_broken(w, "%zu bytes are in use", sim_memory_bytes());
}

void
sim_advance(sim *w, uint64_t until)
{
	for (;;) {
		uint64_t next;

		settle(w);
		check(w);
		next = next_moment(w);
		if (next > until) {
			w->clock.now = FC_MAX(w->clock.now, until);
			return;
		}
		w->clock.now = FC_MAX(w->clock.now, next);
		sim_servers_look(w);
		sim_handlers_look(w);
		sim_streams_look(w);
		sim_hooks_look(w);
	}
}

/* ---- beginning ---- */

static void
choose_kind(sim *w)
{
	static const uint64_t slowest[] = {0, 100000, 30 * FC_NS_PER_MS, FC_NS_PER_S};
	uint32_t kind = sim_below(w, 8);

	w->calm = kind < 2;
	w->oom = kind == 2 || kind == 3;
	w->limited = !w->calm && sim_odds(w, 4);
	w->streaming = sim_odds(w, 5);
	w->hooked = sim_odds(w, 4);
	w->net.slowest = slowest[sim_below(w, w->calm ? 3 : 4)];
	if (!w->calm && !sim_odds(w, 5)) {
		w->net.fault_odds = 2 + sim_below(w, 10);
		w->net.refuse_odds = 4 + sim_below(w, 20);
		w->net.no_filter_odds = w->oom ? 20 : 0;
	}
	w->n_loops = sim_odds(w, 3) ? 1 : 1 + sim_below(w, SIM_LOOPS);
	w->n_servers = 1 + sim_below(w, SIM_SERVERS);
	w->n_clients = 1 + sim_below(w, SIM_CLIENTS);
}

static void
begin(sim *w)
{
	sim_memory_reset();
	farcall_log_set(log_line, w);
	test_random_seed(&w->random, w->seed);
	w->clock.now = 1000 * FC_NS_PER_S + sim_some_ns(w, FC_NS_PER_S);
	w->clock.is_virtual = true;
	w->net.clock = &w->clock;
	w->net.note = net_note;
	w->net.data = w;
	choose_kind(w);
	test_random_seed(&w->net.random, test_random_next(&w->random));
	sim_net_init(&w->net);
	sim_note(w, "kind", w->calm + 2u * w->oom + 4u * w->limited, w->n_loops);
	for (unsigned i = 0; i < w->n_loops; i++) {
		w->loops[i] = fc_loop_open(&w->clock, NULL);
		if (w->loops[i] == NULL)
			sim_broken(w, "a loop cannot be made");
	}
	for (unsigned i = 0; i < w->n_servers; i++) {
		w->servers[i].loop = sim_below(w, w->n_loops);
		w->servers[i].restart_at = FC_NEVER;
		sim_server_start(w, i);
	}
	for (unsigned i = 0; i < w->n_clients; i++) {
		w->clients[i].loop = sim_below(w, w->n_loops);
		w->clients[i].server = sim_below(w, w->n_servers);
		sim_client_open(w, i);
	}
}

static void
live(sim *w)
{
	static const uint64_t gaps[] = {
	    0, 20000, FC_NS_PER_MS, 50 * FC_NS_PER_MS, FC_NS_PER_S, 5 * FC_NS_PER_S};

	for (unsigned i = 0; i < w->n_actions; i++) {
		uint64_t gap = sim_some_ns(w, gaps[sim_below(w, FC_COUNT(gaps))]);

		sim_advance(w, w->clock.now + gap);
		sim_act(w);
	}
}

/* ---- healing, and what must work then ---- */

static void
heal(sim *w)
{
	uint64_t until = w->clock.now + HEALED_NS;

	sim_note(w, "heal", 0, 0);
	w->ending = true;
	sim_memory_fail_in(0);
	sim_net_heal(&w->net);
	for (unsigned i = 0; i < w->n_servers; i++) {
		w->servers[i].free_inside = false;
		if (w->servers[i].restart_at != FC_NEVER)
			w->servers[i].restart_at = w->clock.now;
	}
	while (sim_calls_open(w) != 0 || sim_handlers_next(w) != FC_NEVER || !sim_streams_over(w)) {
		if (w->clock.now >= until)
			sim_broken(w, "%u calls are open %llu s after all faults were healed",
			    sim_calls_open(w), (unsigned long long)(HEALED_NS / FC_NS_PER_S));
		sim_advance(w, w->clock.now + FC_NS_PER_S);
	}
	sim_advance(w, w->clock.now + FC_NS_PER_S); /* the servers learn of it, too */
}

static void
must_succeed(sim *w, unsigned client, bool wait_for_ready, bool stream)
{
	uint64_t until = w->clock.now + HEALED_NS;
	sim_call *c = stream ? sim_stream_start(w, client, true)
	                     : sim_call_start(w, client, wait_for_ready, true);

	if (c == NULL)
		return;
	while (c->done == 0 && w->clock.now < until)
		sim_advance(w, w->clock.now + 100 * FC_NS_PER_MS);
	if (c->done == 0)
		sim_broken(w, "call %u has not ended in a healed world", c->id);
	if (c->code == FARCALL_UNAVAILABLE && !wait_for_ready && w->brief)
		return;
	if (c->code != FARCALL_OK)
		sim_broken(w, "call %u has failed with %s in a healed world", c->id,
		    farcall_code_name(c->code));
}

static void
must_work(sim *w)
{
	for (unsigned i = 0; i < w->n_clients; i++) {
		must_succeed(w, i, true, false);
		must_succeed(w, i, false, false);
		if (w->streaming)
			must_succeed(w, i, true, true);
	}
}

/* ---- the end ---- */

static bool
is_over(const sim *w)
{
	for (unsigned i = 0; i < w->n_loops; i++)
		if (fc_loop_has_work(w->loops[i]))
			return false;
	return w->net.n_links == 0 && sim_handlers_next(w) == FC_NEVER && sim_calls_open(w) == 0 &&
	    sim_hooks_next(w) == FC_NEVER && sim_streams_over(w);
}

static void
end(sim *w)
{
	uint64_t until = w->clock.now + HEALED_NS;

	sim_note(w, "end", 0, 0);
	w->ending = true;
	sim_memory_fail_in(0);
	for (unsigned i = 0; i < w->n_clients; i++) {
		sim_client_close(w, i);
		if (sim_odds(w, 2))
			sim_advance(w, w->clock.now + sim_some_ns(w, FC_NS_PER_S));
	}
	sim_servers_fini(w);
	sim_net_heal(&w->net);
	while (!is_over(w) && w->clock.now < until)
		sim_advance(w, w->clock.now + 100 * FC_NS_PER_MS);
	if (!is_over(w))
		sim_broken(
		    w, "at the end %u links, %u calls are left", w->net.n_links, sim_calls_open(w));
	for (unsigned i = 0; i < w->n_calls; i++)
		if (w->calls[i].held)
			farcall_call_free(w->calls[i].served);
	for (unsigned i = 0; i < w->n_calls; i++)
		farcall_call_free(w->calls[i].call);
	for (unsigned i = 0; i < w->n_loops; i++)
		farcall_loop_free(w->loops[i]);
	sim_hooks_check(w);
	sim_net_fini(&w->net);
	farcall_log_set(NULL, NULL);
	if (sim_memory_blocks() != 0)
		sim_broken(w, "%zu allocations (%zu bytes) are left over", sim_memory_blocks(),
		    sim_memory_bytes());
}

static void
count(sim *w)
{
	sim_totals *to = w->totals;

	to->seeds++;
	to->calls += w->n_calls;
	to->virtual_ms += w->clock.now / FC_NS_PER_MS - 1000000;
	to->links += w->net.n_made;
	to->peak = FC_MAX(to->peak, sim_memory_peak());
	to->oom += sim_memory_failures();
	for (unsigned i = 0; i < SIM_FAULTS; i++)
		to->faults[i] += w->net.faults[i];
}

void
sim_run(sim *w)
{
	int files = test_open_files();

	begin(w);
	live(w);
	if (!sim_odds(w, 6)) {
		heal(w);
		must_work(w);
	}
	end(w);
	count(w);
	if (test_open_files() != files)
		sim_broken(
		    w, "%d descriptors were open at first, %d now", files, test_open_files());
}
