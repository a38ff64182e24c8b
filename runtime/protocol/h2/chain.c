/*
 * chain.c: see chain.h. Chunks grow with what is held, so that a lone answer costs 4 KiB and a
 * large message costs few chunks.
 */
#include "runtime/protocol/h2/chain.h"

static uint8_t *
chunk_start(fc_chunk *chunk)
{
	return (uint8_t *)chunk;
}

void
fc_chain_init(fc_chain *chain, fc_pool *pool)
{
	memset(chain, 0, sizeof *chain);
	chain->pool = pool;
}

static void
free_from(fc_chain *chain, fc_chunk *chunk)
{
	while (chunk != NULL) {
		fc_chunk *next = (fc_chunk *)chunk->block.next;

		fc_pool_put(chain->pool, &chunk->block);
		chunk = next;
	}
}

void
fc_chain_fini(fc_chain *chain)
{
	free_from(chain, chain->first);
	chain->first = chain->last = NULL;
	chain->at = chain->end = NULL;
	chain->size = 0;
}

/* Writes back where the last chunk ends. */
static void
settle(fc_chain *chain)
{
	if (chain->last != NULL)
		chain->last->to = (size_t)(chain->at - chunk_start(chain->last));
}

uint8_t *
fc_chain_grow(fc_chain *chain, size_t size)
{
	size_t want = FC_MAX(FC_MIN(chain->size, FC_CHUNK_MAX), FC_CHUNK_MIN);
	fc_chunk *chunk;

	if (size > SIZE_MAX - sizeof *chunk)
		return NULL;
	want = FC_MAX(want, size + sizeof *chunk);
	chunk = (fc_chunk *)fc_pool_get(chain->pool, want);
	if (chunk == NULL)
		return NULL;
	chunk->from = chunk->to = sizeof *chunk;
	settle(chain);
	if (chain->last != NULL)
		chain->last->block.next = &chunk->block;
	else
		chain->first = chunk;
	chain->last = chunk;
	chain->at = chunk_start(chunk) + chunk->from;
	chain->end = chunk_start(chunk) + chunk->block.size;
	return chain->at;
}

bool
fc_chain_append(fc_chain *chain, const uint8_t *bytes, size_t size)
{
	while (size != 0) {
		size_t room = (size_t)(chain->end - chain->at);
		size_t n;

		if (room == 0) {
			if (fc_chain_grow(chain, FC_MIN(size, FC_CHUNK_MAX - sizeof(fc_chunk))) ==
			    NULL)
				return false;
			continue;
		}
		n = FC_MIN(size, room);
		memcpy(chain->at, bytes, n);
		fc_chain_add(chain, n);
		bytes += n;
		size -= n;
	}
	return true;
}

fc_chain_mark
fc_chain_tell(const fc_chain *chain)
{
	fc_chain_mark mark = {chain->last, chain->at, chain->size};

	return mark;
}

void
fc_chain_cut(fc_chain *chain, fc_chain_mark mark)
{
	if (mark.last == NULL) {
		fc_chain_fini(chain);
		return;
	}
	free_from(chain, (fc_chunk *)mark.last->block.next);
	mark.last->block.next = NULL;
	chain->last = mark.last;
	chain->at = mark.at;
	chain->end = chunk_start(mark.last) + mark.last->block.size;
	chain->size = mark.size;
}

size_t
fc_chain_pieces(fc_chain *chain, fc_piece *pieces, size_t most)
{
	size_t n = 0;

	settle(chain);
	for (fc_chunk *chunk = chain->first; chunk != NULL && n < most;
	     chunk = (fc_chunk *)chunk->block.next) {
		if (chunk->to == chunk->from)
			continue;
		pieces[n].at = chunk_start(chunk) + chunk->from;
		pieces[n++].size = chunk->to - chunk->from;
	}
	return n;
}

void
fc_chain_take(fc_chain *chain, size_t size)
{
	settle(chain);
	chain->size -= size;
	if (chain->size == 0) {
		fc_chain_fini(chain);
		return;
	}
	for (;;) {
		fc_chunk *chunk = chain->first;
		size_t held = chunk->to - chunk->from;

		if (size < held) {
			chunk->from += size;
			return;
		}
		size -= held;
		chain->first = (fc_chunk *)chunk->block.next;
		fc_pool_put(chain->pool, &chunk->block);
	}
}

bool
fc_chain_move(fc_chain *to, fc_chain *from, size_t size)
{
	fc_chain_mark mark = fc_chain_tell(to);
	fc_chunk *chunk;
	size_t left = size;

	settle(from);
	for (chunk = from->first; left != 0; chunk = (fc_chunk *)chunk->block.next) {
		size_t n = FC_MIN(left, chunk->to - chunk->from);

		if (!fc_chain_append(to, chunk_start(chunk) + chunk->from, n)) {
			fc_chain_cut(to, mark);
			return false;
		}
		left -= n;
	}
	fc_chain_take(from, size);
	return true;
}
