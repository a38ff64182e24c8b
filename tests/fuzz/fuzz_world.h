/*
 * fuzz_world.h: what the fuzzers of whole clients and servers share: one loop under a virtual
 * clock, memory that is counted and may fail, and a peer at the other end of a pipe in memory,
 * which sends what bytes say: frames that are mostly well-formed, so that what they carry gets far.
 *
 * The input is options (two bytes, see fuzz_client.c and fuzz_server.c), which allocation fails (0:
 * none; 128 more: and all behind it), and records: an op, then what it takes; what is missing at
 * the end counts as 0. Ops below FUZZ_PEER_OPS are the peer's: 0 n bytes                    so many
 * bytes as they are 1 stream flags [code] n field…   HEADERS: see put_fields() 2 stream flags n
 * bytes       a message: END_STREAM, marked as compressed, compressed by gzip, by deflate, its
 * length one too large, in two frames 3 stream flags n bytes       DATA 4 type stream value another
 * frame of four bytes: SETTINGS, PING, GOAWAY, … 5 n                          time passes: 2^n
 * microseconds 6 what                       the pipe: ends, is closed, is made again, is read or
 * not A stream is a number from 0, in bits 0 to 3: 0 is stream 1.
 */
#ifndef FC_TEST_FUZZ_WORLD_H
#define FC_TEST_FUZZ_WORLD_H

#include "runtime/loop/loop.h"
#include "runtime/transport/transport.h"
#include "tests/fuzz/fuzz.h"

#include <farcall/farcall.h>

#define FUZZ_PEER_OPS 7

typedef struct fuzz_bytes {
	const uint8_t *at, *end;
} fuzz_bytes;

typedef struct fuzz_world {
	fc_clock clock;
	fc_loop *loop;
	fuzz_bytes input;
	uint8_t options[2];
	bool starved; /* an allocation may fail, or has */

	/* the peer */
	bool peer_is_client;
	fc_listener *listener;
	fc_pipe *pipe; /* NULL: there is none */
	bool lost, deaf;
	uint64_t received;
	uint8_t out[1 << 17];
	size_t used;
} fuzz_world;

/* Aborts with this line, if it is not so. */
void fuzz_must(bool right, const char *what);

uint8_t fuzz_byte(fuzz_bytes *from);                       /* 0 at the end */
size_t fuzz_some(fuzz_bytes *from, const uint8_t **bytes); /* a byte says how many */

/* false: the input is too short. The peer of a client listens at "mem:fuzz". */
bool fuzz_world_open(fuzz_world *w, bool peer_is_client, const uint8_t *data, size_t size);

/* Everything must be over: nothing to do, and nothing left. */
void fuzz_world_close(fuzz_world *w);

void fuzz_peer_connect(fuzz_world *w); /* of a server: with its preface */
void fuzz_peer_act(fuzz_world *w, uint8_t op);
void fuzz_peer_stop(fuzz_world *w);
void fuzz_settle(fuzz_world *w); /* all that is to do now */
void fuzz_pass(fuzz_world *w, uint64_t ns);

/* Memory does not fail from now on. */
void fuzz_heal(fuzz_world *w);

/* Reads all of them, so that the tools see what was never written, or is gone. */
void fuzz_touch(const void *bytes, size_t size);
void fuzz_touch_metadata(const farcall_metadata *metadata);
void fuzz_touch_call(farcall_call *call); /* one that has ended, of a client */

#endif
