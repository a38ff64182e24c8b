/*
 * inflate.c: compressed messages received. Memory grows with what has really come out, and stops at
 * the limit: a bomb costs what a message of the limit costs. A message is one stream of its format;
 * gzip's may be several members in a row, as RFC 1952 says, under one limit.
 */
#include "runtime/protocol/grpc/coding.h"

#include "runtime/base/bytes.h"

#define ZLIB_CONST
#include <zlib.h>

#define BLOCK_HEAD ((sizeof(fc_block) + 15) & ~(size_t)15)
#define STATE 8192u      /* of inflate(), without its window of 32 KiB, which most do not need */
#define GZIP_LEAST 18u   /* bytes of a member: its head and tail */
#define RATIO_MOST 1032u /* deflate cannot do better */
#define GUESS_RATIO 4u

/* ---- zlib's memory ---- */

void *
fc_zlib_get(void *memory, unsigned items, unsigned size)
{
	fc_zlib_memory *m = (fc_zlib_memory *)memory;
	size_t want = ((size_t)items * size + 15) & ~(size_t)15;
	uint8_t *at;

	if (size != 0 && items > UINT32_MAX / 4 / size)
		return NULL;
	if (want > (size_t)(m->end - m->at)) {
		fc_block *block = fc_pool_get(m->pool, FC_MAX(want + BLOCK_HEAD, m->block));

		if (block == NULL)
			return NULL;
		block->next = m->blocks;
		m->blocks = block;
		m->at = (uint8_t *)block + BLOCK_HEAD;
		m->end = (uint8_t *)block + block->size;
	}
	at = m->at;
	m->at += want;
	return at;
}

void
fc_zlib_put(void *memory, void *address)
{
	(void)memory, (void)address;
}

void
fc_zlib_give_back(fc_zlib_memory *m)
{
	while (m->blocks != NULL) {
		fc_block *block = m->blocks;

		m->blocks = block->next;
		fc_pool_put(m->pool, block);
	}
}

/* ---- inflating ---- */

/* Room to begin with: what gzip says of its size, if that can be; it need not be true. */
static size_t
first_room(unsigned coding, const uint8_t *bytes, size_t size, size_t most)
{
	size_t guess = size * GUESS_RATIO;

	if (coding == FC_CODING_GZIP && size >= GZIP_LEAST) {
		const uint8_t *last = bytes + size - 4;

		guess = (size_t)last[0] | (size_t)last[1] << 8 | (size_t)last[2] << 16 |
		    (size_t)last[3] << 24;
		guess = FC_MIN(guess, (size * RATIO_MOST));
	}
	return FC_MIN(guess, most) + 1;
}

static farcall_code
damaged(fc_error *error, const char *what)
{
	return fc_fail(error, FARCALL_INTERNAL, FARCALL_CAUSE_PROTOCOL,
	    "a compressed message is damaged: %s", what);
}

/* Into what room there is. */
static int
step(z_stream *z, fc_buf *to)
{
	uInt room = (uInt)(to->room - to->to);
	int rc;

	z->next_out = to->data + to->to;
	z->avail_out = room;
	rc = inflate(z, Z_FINISH);
	fc_buf_add(to, room - z->avail_out);
	return rc;
}

/* All of it is in `to`, or why not. */
static farcall_code
run(z_stream *z, unsigned coding, size_t first, size_t most, fc_buf *to, fc_error *error)
{
	for (size_t want = first;; want = FC_MIN(fc_buf_size(to), to->most - fc_buf_size(to))) {
		int rc;

		if (fc_buf_reserve(to, want) == NULL)
			return fc_fail_memory(error, "a compressed message");
		rc = step(z, to);
		if (fc_buf_size(to) > most)
			return fc_fail(error, FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_TOO_LARGE,
			    "a compressed message inflates to more than %zu bytes", most);
		if (rc == Z_STREAM_END && z->avail_in == 0)
			return FARCALL_OK;
		if (rc == Z_STREAM_END && coding != FC_CODING_GZIP)
			return damaged(error, "something follows its end");
		if (rc == Z_STREAM_END)
			inflateReset(z);
		else if (rc == Z_MEM_ERROR)
			return fc_fail_memory(error, "a compressed message");
		else if (rc != Z_OK && rc != Z_BUF_ERROR)
			return damaged(error, z->msg != NULL ? z->msg : "it asks for a dictionary");
		else if (z->avail_out != 0)
			return damaged(error, "it is cut off");
	}
}

farcall_code
fc_inflate(
    unsigned coding, const uint8_t *bytes, size_t size, size_t most, fc_buf *to, fc_error *error)
{
	fc_zlib_memory memory = {.pool = to->pool, .block = STATE};
	z_stream z = {.zalloc = fc_zlib_get,
	    .zfree = fc_zlib_put,
	    .opaque = &memory,
	    .next_in = bytes,
	    .avail_in = (uInt)size};

	to->most = most + 1;
	if (inflateInit2(&z, coding == FC_CODING_GZIP ? 16 + MAX_WBITS : MAX_WBITS) != Z_OK)
		fc_fail_memory(error, "a compressed message");
	else
		run(&z, coding, first_room(coding, bytes, size, most), most, to, error);
	fc_zlib_give_back(&memory);
	return error->code;
}
