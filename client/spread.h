/*
 * spread.h: round robin: a connection to each of the target's places, and calls to each in turn.
 * In place of the race (pick_first) where the service config asks for it; what the channel's
 * subchannel then shows (phase, failure) is the sum of the nodes.
 *
 * All of it is the owner's.
 */
#ifndef FC_CLIENT_SPREAD_H
#define FC_CLIENT_SPREAD_H

#include "client/internal.h"

#define FC_SPREAD_REGISTRY_NS (30 * FC_NS_PER_S) /* so often a registry is read again */

/* A place, and its connection. */
typedef struct fc_node {
	farcall_channel *channel;
	fc_list in_spread;
	fc_list in_ready; /* on the list while it is ready */
	fc_place place;
	fc_line *line;      /* connecting or ready; NULL: in its backoff */
	bool sticky;        /* failed since it was ready last */
	bool listed;        /* the places have it still */
	unsigned fruitless; /* lines lost in a row, soon, before they served a call */
	uint64_t ready_at;
	fc_backoff backoff;
	uint64_t retry_at;
	fc_timer retry;
} fc_node;

/* Some host of it has to be looked up (subchannel.c). */
bool fc_address_is_name(const fc_address *address);

void fc_spread_init(farcall_channel *channel);
void fc_spread_stop(farcall_channel *channel);

/* The resolver has places: keeps the nodes that it has still, connects the new ones, and lets the
 * others go; calls under way on them go on. false: there is none that could be used; noted. */
bool fc_spread_update(farcall_channel *channel);

/* Connects those whose backoff has passed. false: there are no nodes yet. */
bool fc_spread_retry(farcall_channel *channel);

/* What a node's line has become. */
void fc_spread_ready(fc_line *line);
void fc_spread_lost(fc_line *line, const fc_error *why);

/* The next line that takes a call; NULL: none does now. */
fc_line *fc_spread_pick(farcall_channel *channel);

#endif
