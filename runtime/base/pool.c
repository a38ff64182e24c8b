/*
 * pool.c: see pool.h. A class is a power of two, so a block always fits the class that it came
 * from.
 */
#include "runtime/base/pool.h"

#include "runtime/base/alloc.h"

#include <string.h>

/* The class whose blocks hold `size` bytes. */
static unsigned
class_of(size_t size)
{
	unsigned k = 0;

	while ((size_t)FC_BLOCK_MIN << k < size)
		k++;
	return k;
}

void
fc_pool_init(fc_pool *pool, size_t most)
{
	memset(pool, 0, sizeof *pool);
	fc_spin_init(&pool->lock);
	pool->most = most;
}

void
fc_pool_fini(fc_pool *pool)
{
	for (unsigned k = 0; k < FC_BLOCK_CLASSES; k++) {
		while (pool->kept[k] != NULL) {
			fc_block *block = pool->kept[k];

			pool->kept[k] = block->next;
			fc_free(block);
		}
	}
	pool->bytes = 0;
}

fc_block *
fc_pool_get(fc_pool *pool, size_t size)
{
	fc_block *block = NULL;

	if (size <= FC_BLOCK_MAX) {
		unsigned k = class_of(size);

		size = (size_t)FC_BLOCK_MIN << k;
		if (pool != NULL) {
			fc_spin_lock(&pool->lock);
			block = pool->kept[k];
			if (block != NULL) {
				pool->kept[k] = block->next;
				pool->bytes -= size;
			}
			fc_spin_unlock(&pool->lock);
		}
	}
	if (block == NULL) {
		block = (fc_block *)fc_malloc(size);
		if (block == NULL)
			return NULL;
		block->size = size;
	}
	block->next = NULL;
	return block;
}

void
fc_pool_put(fc_pool *pool, fc_block *block)
{
	bool keep = false;

	if (block == NULL)
		return;
	if (pool != NULL && block->size <= FC_BLOCK_MAX) {
		unsigned k = class_of(block->size);

		fc_spin_lock(&pool->lock);
		keep = pool->bytes + block->size <= pool->most;
		if (keep) {
			block->next = pool->kept[k];
			pool->kept[k] = block;
			pool->bytes += block->size;
		}
		fc_spin_unlock(&pool->lock);
	}
	if (!keep)
		fc_free(block);
}
