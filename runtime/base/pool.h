/*
 * pool.h: blocks of memory kept for the next use, by powers of two from 1 KiB to 4 MiB; larger ones
 * pass straight to the heap. One pool a loop: that is why a warm call allocates nothing. Get and
 * put may come from any thread (a spin lock of a few instructions).
 */
#ifndef FC_BASE_POOL_H
#define FC_BASE_POOL_H

#include "runtime/base/atomic.h"

#include <stddef.h>

#define FC_BLOCK_MIN 1024u
#define FC_BLOCK_MAX (4096u * 1024u)
#define FC_BLOCK_CLASSES 13

typedef struct fc_block {
	struct fc_block *next; /* for whoever holds it */
	size_t size;           /* of the whole block, this head included */
} fc_block;

typedef struct fc_pool {
	fc_spin lock;
	fc_block *kept[FC_BLOCK_CLASSES];
	size_t bytes; /* kept now */
	size_t most;  /* never keeps more bytes */
} fc_pool;

void fc_pool_init(fc_pool *pool, size_t most);
void fc_pool_fini(fc_pool *pool);

/* At least `size` bytes, the head included; NULL out of memory. `pool` may be NULL: the heap. */
fc_block *fc_pool_get(fc_pool *pool, size_t size);
void fc_pool_put(fc_pool *pool, fc_block *block);

#endif
