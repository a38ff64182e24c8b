/*
 * coded.h: what the scripts of compressed messages share.
 */
#ifndef FC_TEST_CODED_H
#define FC_TEST_CODED_H

#include "tests/support/wire.h"

#define SCENARIO(name, client)                      \
	static void name##_(wire *w);               \
	static void name(void **state)              \
	{                                           \
		(void)state;                        \
		wire_run_unopened(name##_, client); \
	}                                           \
	static void name##_(wire *w)
#define SERVER(name) SCENARIO(name, false)
#define CLIENT(name) SCENARIO(name, true)

#define BOTH (FC_CODING_GZIP | FC_CODING_DEFLATE)
#define ALL "identity,deflate,gzip"
/* Opens it with these codings taken from the peer, and greets. */
void coded_open(wire *w, unsigned codings);

/* So many zeros, compressed; answers the size. */
size_t coded_zeros(unsigned coding, size_t size, uint8_t *to, size_t room);

/* Fed as a message that is said to be compressed. */
void coded_feed(wire *w, uint32_t id, bool end, const uint8_t *bytes, size_t size);
void coded_feed_zeros(wire *w, uint32_t id, bool end, unsigned coding, size_t size);

/* What has come out on the stream since this was asked last: whether the first message of it is
 * compressed; inflated by `coding` it is of the size expected. Forgets the frames. */
bool coded_said(wire *w, uint32_t id, unsigned coding, size_t expected);

/* Which messages came compressed ("c") and plain ("p"), noted by the hook. */
extern char coded_flags[64];
void coded_note(wire *w, const char *what, fc_stream *stream);

#endif
