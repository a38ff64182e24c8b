/*
 * sim.h: a universe: clients, servers and the network between them, in one thread, under one seed
 * and a virtual clock. Every choice comes from the seed, so the same seed is the same run, event
 * for event. After each event the promises of the library are checked; the first that is broken
 * ends the process with a line that says which, and how to see it again.
 */
#ifndef FC_SIM_SIM_H
#define FC_SIM_SIM_H

#include "tests/sim/link.h"
#include "tests/sim/streams.h"

#include <farcall/farcall.h>

#include <stdio.h>

#include "pair.farcall.h"

#define SIM_LOOPS 4
#define SIM_CLIENTS 4
#define SIM_SERVERS 3
#define SIM_CALLS 96
#define SIM_OLD 8 /* servers that have been replaced and are not gone */
#define SIM_HOOKS 1024
#define SIM_BLOB (512u * 1024u)
#define SIM_PAYLOAD (300u * 1024u)
#define SIM_TICK FC_NS_PER_MS

/* What a handler does with its call. */
typedef enum sim_plan {
	SIM_AT_ONCE,       /* returns OK */
	SIM_SEND_REPLY,    /* farcall_call_send_reply() of a message on its stack, then OK */
	SIM_FAIL,          /* returns a code */
	SIM_LATER,         /* PENDING; completed after a while, whatever has happened */
	SIM_LATER_REPLY,   /* the same, by farcall_call_send_reply() */
	SIM_LATER_FAIL,    /* the same, with a code */
	SIM_LATER_TWICE,   /* the same, and once more, which must be ignored */
	SIM_INSIDE,        /* completes itself, returns PENDING */
	SIM_INSIDE_TWICE,  /* completes itself twice, returns OK */
	SIM_UNIMPLEMENTED, /* there is no handler */
	SIM_PLANS
} sim_plan;

struct sim_call {
	sim *world;
	sim_stream *stream; /* NULL: a unary call */
	unsigned id;        /* from 1; slot id - 1 */
	unsigned client, server;
	farcall_call *call; /* NULL: freed */
	uint64_t started, deadline;
	bool wait_for_ready, metadata, synchronous;
	bool child;        /* of a call that is being served: ends with it */
	unsigned attempts; /* that its channel's policy allows; 1: there is none */
	size_t request_size, reply_size;
	sim_plan plan;
	farcall_code plan_code;
	uint64_t plan_delay;

	/* what has happened at the client */
	unsigned done;
	farcall_code code;
	unsigned refused; /* codes that hooks have refused it with, as bits */
	bool ended_by_us; /* cancelled, freed, or its channel closed */
	bool starting;
	unsigned trouble; /* of its server, when it started */
	unsigned stops;   /* of its server, that it cannot have met */

	/* what has happened at the server */
	unsigned executed, told_cancelled;
	farcall_call *served;
	bool pending;
	bool held; /* once more, after its completion */
	uint64_t due;
};

/* An interceptor that looks at a call. */
typedef struct sim_hook {
	sim *world;
	sim_call *of; /* NULL: not known */
	unsigned id, state, messages[2];
	farcall_call *call; /* its begin pends … */
	uint64_t due;       /* … until then */
	farcall_code code;  /* that it goes on with */
} sim_hook;

typedef struct sim_server {
	farcall_server *server; /* NULL: down */
	unsigned loop;
	bool free_inside; /* the next callback on its loop frees it */
	unsigned stops;   /* gentle ones, in all */
	uint64_t restart_at;
} sim_server;

typedef struct sim_client {
	farcall_channel *channel;
	unsigned loop, server;
	unsigned attempts; /* by its service config; 1: it has none */
	bool lost;         /* closed, or never made: a new one is opened when it is wanted */
} sim_client;

#define SIM_BRIEF_MS 5000 /* a life that is shorter may end while a slow client still connects */

/* What has been seen in all, so that nobody trusts a simulator that does nothing. */
typedef struct sim_totals {
	uint64_t seeds, calls, events, turns, virtual_ms;
	uint64_t children, codes[17];
	uint64_t faults[SIM_FAULTS];
	uint64_t links, restarts, frees, closes, cancels, oom, jumps, blocking, again;
	uint64_t streams, messages, held, heads, left[4];
	uint64_t hooks, hooks_pended, hooks_refused, turned_away, steps;
	uint64_t peak;
} sim_totals;

struct sim {
	uint64_t seed;
	unsigned n_actions; /* of the driver, before everything is healed */
	bool trace;
	uint64_t hash;
	test_random random;
	fc_clock clock;
	uint64_t jump_end; /* the clock has been moved on by a call that blocks, up to here */
	farcall_loop *loops[SIM_LOOPS];
	unsigned n_loops, n_servers, n_clients;
	sim_net net;
	sim_server servers[SIM_SERVERS];
	farcall_server *old[SIM_OLD];
	unsigned old_number[SIM_OLD];
	sim_client clients[SIM_CLIENTS];
	sim_call calls[SIM_CALLS];
	unsigned n_calls;
	sim_stream streams[SIM_STREAMS];
	unsigned n_streams;
	sim_house houses[SIM_HOUSES];
	unsigned n_houses;
	sim_hook hooks[SIM_HOOKS];
	unsigned n_hooks, n_pended, connections;
	unsigned first_open; /* those before it have ended */
	unsigned n_waiting;  /* handlers to be completed, or held */

	/* what kind of universe it is */
	bool calm;      /* nothing is lost: every call without a deadline must succeed */
	bool oom;       /* allocations fail */
	bool limited;   /* calls may be refused for their number or size */
	bool brief;     /* connections may end before a slow client has them */
	bool streaming; /* some of its calls are streams */
	bool hooked;    /* some of its channels and servers have interceptors */
	bool ending;    /* no new acts */
	bool misuse;    /* a line in the log about misuse is expected */
	unsigned depth; /* of callbacks */
	unsigned loop_in_turn;
	bool in_turn;
	sim_totals *totals;
};

extern uint8_t sim_blob[SIM_BLOB];

/* ---- sim.c: a life, and what all share ---- */

void sim_run(sim *w); /* from nothing to nothing; does not return if a promise is broken */
void sim_note(sim *w, const char *what, uint64_t a, uint64_t b);
void sim_broken(sim *w, const char *format, ...) FARCALL_PRINTF(2, 3);
uint32_t sim_below(sim *w, uint32_t limit);
bool sim_odds(sim *w, uint32_t of); /* one in `of`; never, if that is 0 */
uint64_t sim_some_ns(sim *w, uint64_t most);

/* ---- servers.c ---- */

void sim_server_start(sim *w, unsigned i);
void sim_server_stop(sim *w, unsigned i, uint64_t grace_ms, uint64_t pause);
void sim_server_free_now(sim *w, unsigned i, uint64_t pause);
void sim_servers_look(sim *w); /* restarts what is due, frees what has stopped */
void sim_servers_fini(sim *w);
uint64_t sim_servers_next(const sim *w);
bool sim_server_drains(const sim *w, unsigned i);
void sim_free_inside(sim *w); /* in a callback on a loop */

/* ---- handlers.c ---- */

extern const struct pair_test sim_handlers;
void sim_handlers_look(sim *w); /* completes what is due */
uint64_t sim_handlers_next(const sim *w);
void sim_check_request_metadata(sim_call *c, farcall_call *call);
void sim_answer_metadata(sim_call *c, farcall_call *call);

/* ---- calls.c ---- */

/* NULL: there are no more of them. `plain`: small, without a deadline, answered at once. */
sim_call *sim_call_start(sim *w, unsigned client, bool wait_for_ready, bool plain);
/* Its slot, and nothing chosen; NULL: there are no more. Then what all kinds of call have. */
sim_call *sim_call_new(sim *w, unsigned client);
void sim_call_set_up(sim *w, sim_call *c);
void sim_call_ended(sim_call *c, farcall_call *call, farcall_code code); /* a stream's */
void sim_child_start(sim *w, sim_call *parent);
void sim_call_cancel(sim *w, sim_call *c);
void sim_call_free(sim *w, sim_call *c);
void sim_client_open(sim *w, unsigned i);
void sim_client_close(sim *w, unsigned i);
void sim_calls_check(sim *w);
unsigned sim_calls_open(const sim *w);
const uint8_t *sim_payload(const sim_call *c, bool reply);

/* ---- hooks.c ---- */

void sim_hooks_of_channel(sim *w, farcall_channel *channel);
void sim_hooks_of_server(sim *w, farcall_server *server);
void sim_hooks_look(sim *w); /* what pends, and is due, goes on */
uint64_t sim_hooks_next(const sim *w);
void sim_hooks_check(sim *w); /* at the end: each has ended */

/* ---- acts.c: what the driver does by chance ---- */

void sim_act(sim *w);
void sim_act_inside(sim *w);              /* in a callback */
void sim_advance(sim *w, uint64_t until); /* sim.c: runs everything up to then */

#endif
