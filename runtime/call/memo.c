/*
 * memo.c: see memo.h. Equal means equal byte by byte, so what a call sees never depends on the
 * memo.
 */
#include "runtime/call/memo.h"

#include <string.h>

#define TAKEN_AHEAD 64u

static bool
same(const fc_pair *a, const fc_pair *b)
{
	return a->name_size == b->name_size && a->value_size == b->value_size &&
	    a->flags == b->flags && memcmp(a->value, b->value, a->value_size) == 0 &&
	    memcmp(a->name, b->name, a->name_size) == 0;
}

static bool
same_list(const fc_shared_metadata *shared, size_t n, const fc_pair *pairs)
{
	if (shared->n != n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!same(&shared->pairs[i], &pairs[i]))
			return false;
	return true;
}

void
fc_shared_metadata_drop(fc_shared_metadata *shared)
{
	fc_arena arena;

	if (shared == NULL || !fc_refs_drop(&shared->refs))
		return;
	arena = shared->arena;
	fc_arena_reset(&arena);
}

static void
let_go(fc_metadata_memo *memo)
{
	if (memo->spare != 0)
		atomic_fetch_sub_explicit(&memo->kept->refs, memo->spare, memory_order_release);
	memo->spare = 0;
	fc_shared_metadata_drop(memo->kept);
	memo->kept = NULL;
}

void
fc_metadata_memo_fini(fc_metadata_memo *memo)
{
	let_go(memo);
}

/* A copy of the pairs as they came; their texts lie behind each other. */
static fc_pair *
copy_pairs(fc_arena *arena, size_t n, const fc_pair *pairs)
{
	fc_pair *copy = (fc_pair *)fc_arena_alloc(arena, n * sizeof *copy);

	for (size_t i = 0; copy != NULL && i < n; i++) {
		copy[i] = pairs[i];
		copy[i].name = fc_arena_strndup(arena, pairs[i].name, pairs[i].name_size);
		copy[i].value = fc_arena_strndup(arena, pairs[i].value, pairs[i].value_size);
		if (copy[i].name == NULL || copy[i].value == NULL)
			return NULL;
	}
	return copy;
}

/* Out of memory, or too large: the memo stays as it is. The heap, since it may outlive the loop. */
static void
keep(fc_metadata_memo *memo, size_t n, const fc_pair *pairs)
{
	fc_shared_metadata *shared;
	fc_arena arena;

	fc_arena_init(&arena, NULL, FC_SHARED_BYTES, NULL, 0);
	shared = (fc_shared_metadata *)fc_arena_alloc(&arena, sizeof *shared);
	if (shared != NULL) {
		memset(shared, 0, sizeof *shared);
		shared->n = n;
		shared->pairs = copy_pairs(&arena, n, pairs);
	}
	if (shared == NULL || shared->pairs == NULL ||
	    !fc_metadata_receive(&shared->metadata, &arena, n, shared->pairs)) {
		fc_arena_reset(&arena);
		return;
	}
	fc_refs_init(&shared->refs);
	shared->arena = arena;
	let_go(memo);
	memo->kept = shared;
}

bool
fc_metadata_receive_shared(fc_metadata_memo *memo, farcall_metadata *metadata,
    fc_shared_metadata **shared, fc_arena *arena, size_t n, const fc_pair *pairs)
{
	*shared = NULL;
	if (n == 0)
		return true;
	if (memo->kept != NULL && same_list(memo->kept, n, pairs)) {
		memo->misses = 0;
		if (memo->spare == 0) {
			memo->spare = TAKEN_AHEAD;
			atomic_fetch_add_explicit(
			    &memo->kept->refs, TAKEN_AHEAD, memory_order_relaxed);
		}
		memo->spare--;
		*shared = memo->kept;
		*metadata = memo->kept->metadata;
		return true;
	}
	memo->misses++;
	if ((memo->misses & (memo->misses - 1)) == 0)
		keep(memo, n, pairs);
	return fc_metadata_receive(metadata, arena, n, pairs);
}
