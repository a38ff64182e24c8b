/*
 * nghttp2_engine.h: the second tenant of the seam in runtime/protocol/protocol.h: gRPC on nghttp2,
 * client and server. It is the oracle of session tests, so it shares no code with our engine: not
 * HPACK, not frames, not base64, percent-encoding or tables of codes.
 *
 * What it does not do, since no test asks: credit by taken() (nghttp2 credits at once), refusing
 * HTTP requests that are not gRPC, compression, congested(), timers. It aborts on lack of memory.
 */
#ifndef FC_TEST_NGHTTP2_ENGINE_H
#define FC_TEST_NGHTTP2_ENGINE_H

#include "runtime/protocol/protocol.h"

extern const fc_engine_ops nghttp2_engine;

#endif
