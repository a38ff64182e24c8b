/*
 * metadata.h: lists of key and value. What is received is copied into the call's memory, names and
 * values ended by a NUL, "-bin" values decoded; what is to be sent is checked and copied.
 */
#ifndef FC_CALL_METADATA_H
#define FC_CALL_METADATA_H

#include "runtime/base/arena.h"
#include "runtime/base/error.h"
#include "runtime/protocol/protocol.h"

#include <farcall/call.h>

typedef struct fc_metadata_item {
	const char *key, *value;
	size_t size;
	bool binary;
} fc_metadata_item;

struct farcall_metadata {
	size_t n;
	const fc_metadata_item *items;
};

/* To be sent; pairs lie in the arena. */
typedef struct fc_pairs {
	size_t n, room;
	fc_pair *at;
} fc_pairs;

#define FC_PAIRS_MOST 128u  /* pairs that a call sends in one list */
#define FC_SPLITS_MOST 128u /* values of a list received that stand behind commas */

/* Copies what arrived. Values that are no base64, or behind too many commas, are dropped with a log
 * line (a peer must not be able to fail a call by them). false: the arena is at its cap or out of
 * memory. */
bool fc_metadata_receive(
    farcall_metadata *metadata, fc_arena *arena, size_t n, const fc_pair *pairs);

/* Appends a checked copy. `binary`: any bytes under a "-bin" key. */
farcall_code fc_pairs_add(fc_pairs *pairs, fc_arena *arena, const char *key, const void *value,
    size_t size, bool binary, fc_error *error);

/* Pairs to be sent as what was received looks: "-bin" values are bytes already. They are copied.
 * false: as fc_metadata_receive(). */
bool fc_pairs_show(const fc_pairs *pairs, fc_arena *arena, farcall_metadata *metadata);

/* Appends pairs that fc_pairs_add() has checked; their texts stay where they are. */
farcall_code fc_pairs_join(
    fc_pairs *pairs, fc_arena *arena, const fc_pairs *others, fc_error *error);

/* The same of one pair that the library itself makes, whatever its name. false: no memory. */
bool fc_pairs_put(fc_pairs *pairs, fc_arena *arena, const fc_pair *pair);

#endif
