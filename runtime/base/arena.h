/*
 * arena.h: memory that dies together. Capped: past the cap it gives NULL and remembers. Used by one
 * thread at a time; its blocks come from and go back to a pool.
 */
#ifndef FC_BASE_ARENA_H
#define FC_BASE_ARENA_H

#include "runtime/base/pool.h"

#include <farcall/api.h>

#include <stdarg.h>

typedef enum fc_arena_state { FC_ARENA_OK, FC_ARENA_AT_CAP, FC_ARENA_NO_MEMORY } fc_arena_state;

typedef struct fc_arena {
	uint8_t *at, *end; /* free room of the block in use */
	fc_block *blocks;  /* newest first */
	fc_pool *pool;
	size_t used;                /* bytes of blocks taken from the pool */
	size_t most;                /* cap on `used` */
	uint8_t *first, *first_end; /* memory lent at init, used before any block */
	fc_arena_state state;       /* the first refusal; sticky until reset */
} fc_arena;

/* `lent` (may be NULL) of `lent_size` bytes is used first and must outlive the arena. */
void fc_arena_init(fc_arena *arena, fc_pool *pool, size_t most, void *lent, size_t lent_size);
void fc_arena_give_back(fc_arena *arena); /* the blocks; the slow path of fc_arena_reset() */

/* Gives all back; ready again. */
static inline void
fc_arena_reset(fc_arena *arena)
{
	if (FARCALL_UNLIKELY(arena->blocks != NULL))
		fc_arena_give_back(arena);
	arena->state = FC_ARENA_OK;
	arena->at = arena->first;
	arena->end = arena->first_end;
}

void *fc_arena_grow(fc_arena *arena, size_t size); /* the slow path of fc_arena_alloc() */

/* Aligned to 16; not cleared. NULL at the cap or out of memory: see state. */
static inline void *
fc_arena_alloc(fc_arena *arena, size_t size)
{
	uint8_t *memory = arena->at;

	if (FARCALL_UNLIKELY(size > (size_t)(arena->end - memory)))
		return fc_arena_grow(arena, size);
	size = (size + 15) & ~(size_t)15;
	arena->at = size < (size_t)(arena->end - memory) ? memory + size : arena->end;
	return memory;
}

/* The same, but NULL if that would take a block; then nothing has changed. */
static inline void *
fc_arena_spare(fc_arena *arena, size_t size)
{
	return size <= (size_t)(arena->end - arena->at) ? fc_arena_alloc(arena, size) : NULL;
}

char *fc_arena_strndup(fc_arena *arena, const char *text, size_t size); /* adds a NUL */
char *fc_arena_vprintf(fc_arena *arena, const char *format, va_list arguments);

#endif
