/*
 * coding.h: messages compressed and inflated, one at a time: no state lives from one to the next.
 * All memory, zlib's own included, comes from the buffer's pool and goes back to it, so a warm call
 * takes none from the heap. Pure functions: any thread, any room above.
 */
#ifndef FC_PROTOCOL_GRPC_CODING_H
#define FC_PROTOCOL_GRPC_CODING_H

#include "runtime/base/buf.h"
#include "runtime/protocol/protocol.h"

/* inflate.c. A message received, of coding FC_CODING_GZIP or _DEFLATE, into `to`, which is empty
 * (its ceiling is set here), and never holds more than a byte beyond `most`, which is at most
 * 2^31 - 1. On failure `error` is set:
 *   RESOURCE_EXHAUSTED, TOO_LARGE      it inflates to more than `most`; the rest was not looked at
 *   INTERNAL, PROTOCOL                 damaged, cut off, or something follows its end
 *   RESOURCE_EXHAUSTED, OUT_OF_MEMORY  */
farcall_code fc_inflate(
    unsigned coding, const uint8_t *bytes, size_t size, size_t most, fc_buf *to, fc_error *error);

typedef enum fc_deflated {
	FC_DEFLATED,
	FC_DEFLATED_NO_GAIN, /* it would not be smaller: to be sent as it is */
	FC_DEFLATED_NO_MEMORY
} fc_deflated;

/* deflate.c. A message to be sent, into `to`, which is empty (its ceiling is set here). */
fc_deflated fc_deflate(unsigned coding, const fc_payload *payload, fc_buf *to);

/* inflate.c: what zlib is given for its alloc functions; cleared, but for the pool. */
typedef struct fc_zlib_memory {
	fc_pool *pool;
	size_t block; /* bytes of a block, if that is enough */
	fc_block *blocks;
	uint8_t *at, *end;
} fc_zlib_memory;

void *fc_zlib_get(void *memory, unsigned items, unsigned size);
void fc_zlib_put(void *memory, void *address); /* does nothing: see the next */
void fc_zlib_give_back(fc_zlib_memory *memory);

#endif
