/*
 * chain.h: a row of bytes in chunks, written at its end and taken from its front. Unlike fc_buf
 * nothing is ever moved when it grows, and memory goes back to the pool as the front is taken: what
 * a connection has to say, and what waits for a window.
 */
#ifndef FC_PROTOCOL_H2_CHAIN_H
#define FC_PROTOCOL_H2_CHAIN_H

#include "runtime/base/bytes.h"
#include "runtime/base/pool.h"

#include <farcall/api.h>

#include <stdint.h>

#define FC_CHUNK_MIN 4096u
#define FC_CHUNK_MAX 65536u

typedef struct fc_chunk {
	fc_block block;
	size_t from, to; /* offsets from the chunk's start; `to` of the last one is stale: see at */
} fc_chunk;

typedef struct fc_chain {
	uint8_t *at, *end; /* free room of the last chunk */
	size_t size;       /* bytes held */
	fc_chunk *first, *last;
	fc_pool *pool;
} fc_chain;

/* Where a chain ended: to cut off what came later. */
typedef struct fc_chain_mark {
	fc_chunk *last;
	uint8_t *at;
	size_t size;
} fc_chain_mark;

void fc_chain_init(fc_chain *chain, fc_pool *pool);
void fc_chain_fini(fc_chain *chain); /* gives the memory back; may be used again */

uint8_t *fc_chain_grow(fc_chain *chain, size_t size); /* the slow path of fc_chain_reserve() */

/* Contiguous room for `size` bytes at the end; NULL: out of memory. */
static inline uint8_t *
fc_chain_reserve(fc_chain *chain, size_t size)
{
	if (FARCALL_UNLIKELY(size > (size_t)(chain->end - chain->at)))
		return fc_chain_grow(chain, size);
	return chain->at;
}

static inline void
fc_chain_add(fc_chain *chain, size_t size)
{
	chain->at += size;
	chain->size += size;
}

/* Not contiguous. false: out of memory; part of it may stand in the chain (see cut). */
bool fc_chain_append(fc_chain *chain, const uint8_t *bytes, size_t size);

fc_chain_mark fc_chain_tell(const fc_chain *chain);
void fc_chain_cut(fc_chain *chain, fc_chain_mark mark); /* nothing was taken in between */

size_t fc_chain_pieces(fc_chain *chain, fc_piece *pieces, size_t most);
void fc_chain_take(fc_chain *chain, size_t size);

/* Takes `size` bytes from the front of `from` and adds them to `to`. false: out of memory, and both
 * stand as they were. */
bool fc_chain_move(fc_chain *to, fc_chain *from, size_t size);

#endif
