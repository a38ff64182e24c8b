/*
 * link.h: the simulator's network: a filter on both ends of every mem pipe. Each end is a delay
 * line for what it sends: bytes leave it in pieces, later, or never, as the seed says. Faults: a
 * pause, the end of one direction, a reset of both (at any byte), bytes that vanish, a connection
 * refused or never made (no descriptor is left), no memory for the filter.
 */
#ifndef FC_SIM_LINK_H
#define FC_SIM_LINK_H

#include "runtime/base/list.h"
#include "runtime/transport/transport.h"

#include "tests/support/check.h"

#define SIM_NET_SERVERS 4

typedef enum sim_fault {
	SIM_FAULT_NONE,
	SIM_FAULT_STALL,      /* nothing moves for a while */
	SIM_FAULT_HALF_CLOSE, /* the end is sent, what the owner writes after it vanishes */
	SIM_FAULT_RESET,      /* both ends are lost */
	SIM_FAULT_HOLE,       /* bytes vanish, no end comes */
	SIM_FAULT_BLOCK,      /* bytes stay where they are, so the sender cannot write any more */
	SIM_FAULTS
} sim_fault;

/* What the network tells: `what` is static text. */
typedef void sim_net_note(void *data, const char *what, unsigned link, uint64_t value);

typedef struct sim_net {
	/* set by who makes it */
	fc_clock *clock;
	test_random random;
	unsigned fault_odds;     /* one in so many ends has a fault planned; 0: none */
	unsigned refuse_odds;    /* one in so many connections is refused */
	unsigned no_filter_odds; /* one in so many filters cannot be made */
	uint64_t slowest;        /* ns, longest delay of a piece */
	sim_net_note *note;
	void *data;

	/* what it tells */
	fc_list links;
	unsigned n_links, n_made;
	unsigned faults[SIM_FAULTS];       /* that have happened */
	unsigned trouble[SIM_NET_SERVERS]; /* connections of server i broken or ended, any way */
} sim_net;

void sim_net_init(sim_net *net); /* installs it: every pipe from now on */
void sim_net_fini(sim_net *net);

/* A fault now, at one link of the net, chosen by `random`. */
void sim_net_disturb(sim_net *net, sim_fault fault);

/* A connection of this server has a fault that lasts. */
bool sim_net_is_sick(const sim_net *net, unsigned server);

/* No faults from now on; links that have one which will not pass by itself are reset. */
void sim_net_heal(sim_net *net);

#endif
