/*
 * buf.c: see buf.h.
 */
#include "runtime/base/buf.h"

#include "runtime/base/bytes.h"

#include <string.h>

#define HEAD ((sizeof(fc_block) + 15) & ~(size_t)15)

void
fc_buf_init(fc_buf *buf, fc_pool *pool, size_t most)
{
	memset(buf, 0, sizeof *buf);
	buf->pool = pool;
	buf->most = most;
}

void
fc_buf_fini(fc_buf *buf)
{
	fc_pool_put(buf->pool, buf->block);
	buf->block = NULL;
	buf->data = NULL;
	buf->from = buf->to = buf->room = 0;
}

bool
fc_buf_grow(fc_buf *buf, size_t size)
{
	size_t held = buf->to - buf->from;
	fc_block *block;
	size_t want;

	if (size > buf->most || held > buf->most - size)
		return false;
	if (held + size <= buf->room && held <= buf->from) {
		memmove(buf->data, buf->data + buf->from, held);
		buf->from = 0;
		buf->to = held;
		return true;
	}
	want = FC_MAX(held + size, FC_MIN(buf->room * 2, buf->most));
	block = fc_pool_get(buf->pool, want + HEAD);
	if (block == NULL)
		return false;
	if (held != 0)
		memcpy((uint8_t *)block + HEAD, buf->data + buf->from, held);
	fc_pool_put(buf->pool, buf->block);
	buf->block = block;
	buf->data = (uint8_t *)block + HEAD;
	buf->room = FC_MIN(block->size - HEAD, buf->most);
	buf->from = 0;
	buf->to = held;
	return true;
}

bool
fc_buf_append(fc_buf *buf, const void *bytes, size_t size)
{
	uint8_t *at;

	if (size == 0) /* an empty buffer has no memory to point into, and needs none */
		return true;
	at = fc_buf_reserve(buf, size);
	if (at == NULL)
		return false;
	memcpy(at, bytes, size);
	buf->to += size;
	return true;
}
