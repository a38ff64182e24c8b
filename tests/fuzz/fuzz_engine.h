/*
 * fuzz_engine.h: a connection's life as bytes say: what the peer sends, in which chunks, and what
 * the owner does between them. Shared by fuzz_h2_server.c and fuzz_h2_client.c.
 *
 * The input is three bytes (habits of the owner, settings, which allocation fails; 0: none) and
 * then records:
 *   n in 1..254, n bytes     given to input() at once
 *   255, hi, lo, bytes       likewise, up to 65535
 *   0, op, argument          the owner does something (see fuzz_engine.c)
 */
#ifndef FC_TEST_FUZZ_ENGINE_H
#define FC_TEST_FUZZ_ENGINE_H

#include "runtime/protocol/protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Aborts where the engine breaks its contract. */
void fuzz_engine_run(bool client, const uint8_t *data, size_t size);

#endif
