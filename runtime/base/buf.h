/*
 * buf.h: a growable row of bytes with a ceiling, read from its front. Memory comes from a pool.
 * What has been taken from the front is moved away before the buffer grows.
 */
#ifndef FC_BASE_BUF_H
#define FC_BASE_BUF_H

#include "runtime/base/pool.h"

#include <farcall/api.h>

#include <stdint.h>

typedef struct fc_buf {
	uint8_t *data;   /* start of memory */
	size_t from, to; /* the bytes held are data[from .. to) */
	size_t room;     /* bytes of memory */
	size_t most;     /* ceiling on the bytes held */
	fc_pool *pool;
	fc_block *block;
} fc_buf;

void fc_buf_init(fc_buf *buf, fc_pool *pool, size_t most);
void fc_buf_fini(fc_buf *buf); /* gives the memory back; may be used again */

static inline size_t
fc_buf_size(const fc_buf *buf)
{
	return buf->to - buf->from;
}

bool fc_buf_grow(fc_buf *buf, size_t size); /* the slow path of fc_buf_reserve() */

/* Room for `size` bytes behind the last one, contiguous; NULL past the ceiling or out of memory:
 * the buffer then stands as it was. fc_buf_add() what was written. */
static inline uint8_t *
fc_buf_reserve(fc_buf *buf, size_t size)
{
	if (FARCALL_UNLIKELY(size > buf->room - buf->to) && !fc_buf_grow(buf, size))
		return NULL;
	return buf->data + buf->to;
}

static inline void
fc_buf_add(fc_buf *buf, size_t size)
{
	buf->to += size;
}

bool fc_buf_append(fc_buf *buf, const void *bytes, size_t size);

/* Takes `size` bytes from the front. An empty buffer starts again at its first byte. */
static inline void
fc_buf_take(fc_buf *buf, size_t size)
{
	buf->from += size;
	if (buf->from == buf->to)
		buf->from = buf->to = 0;
}

#endif
