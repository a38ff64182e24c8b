/*
 * arena.c: see arena.h. Blocks double with what the arena has taken so far, so a large message
 * costs few of them; the cap counts whole blocks, because that is the memory really held.
 */
#include "runtime/base/arena.h"

#include "runtime/base/bytes.h"

#include <stdio.h>
#include <string.h>

#define HEAD ((sizeof(fc_block) + 15) & ~(size_t)15)

static uint8_t *
aligned(uint8_t *p)
{
	return p + ((16 - ((uintptr_t)p & 15)) & 15);
}

void
fc_arena_init(fc_arena *arena, fc_pool *pool, size_t most, void *lent, size_t lent_size)
{
	arena->blocks = NULL;
	arena->pool = pool;
	arena->used = 0;
	arena->most = most;
	arena->state = FC_ARENA_OK;
	arena->first = arena->first_end = NULL;
	if (lent != NULL && lent_size >= 32) {
		arena->first = aligned((uint8_t *)lent);
		arena->first_end = (uint8_t *)lent + lent_size;
	}
	arena->at = arena->first;
	arena->end = arena->first_end;
}

void
fc_arena_give_back(fc_arena *arena)
{
	while (arena->blocks != NULL) {
		fc_block *block = arena->blocks;

		arena->blocks = block->next;
		fc_pool_put(arena->pool, block);
	}
	arena->used = 0;
}

static void *
refuse(fc_arena *arena, fc_arena_state why)
{
	if (arena->state == FC_ARENA_OK)
		arena->state = why;
	return NULL;
}

void *
fc_arena_grow(fc_arena *arena, size_t size)
{
	size_t room = arena->most - arena->used;
	size_t want;
	fc_block *block;

	if (size > arena->most || size + HEAD > room)
		return refuse(arena, FC_ARENA_AT_CAP);
	want = FC_MAX(size + HEAD, FC_MIN(arena->used, FC_BLOCK_MAX));
	want = FC_MIN(FC_MAX(want, FC_BLOCK_MIN), FC_MAX(room, size + HEAD));
	block = fc_pool_get(arena->pool, want);
	if (block == NULL)
		return refuse(arena, FC_ARENA_NO_MEMORY);
	block->next = arena->blocks;
	arena->blocks = block;
	arena->used = FC_MIN(arena->used + block->size, arena->most);
	arena->at = (uint8_t *)block + HEAD;
	arena->end = (uint8_t *)block + block->size;
	return fc_arena_alloc(arena, size);
}

char *
fc_arena_strndup(fc_arena *arena, const char *text, size_t size)
{
	char *copy = (char *)fc_arena_alloc(arena, size + 1);

	if (copy != NULL) {
		memcpy(copy, text, size);
		copy[size] = 0;
	}
	return copy;
}

char *
fc_arena_vprintf(fc_arena *arena, const char *format, va_list arguments)
{
	va_list again;
	char *text = NULL;
	int size;

	va_copy(again, arguments);
	size = vsnprintf(NULL, 0, format, arguments);
	if (size >= 0)
		text = (char *)fc_arena_alloc(arena, (size_t)size + 1);
	if (text != NULL)
		vsnprintf(text, (size_t)size + 1, format, again);
	va_end(again);
	return text;
}
