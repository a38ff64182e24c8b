/*
 * farcall/loop.h: drive servers and channels yourself.
 *
 * Any number of servers and channels may share a loop; it must outlive them. A loop and what hangs
 * on it belong to the one thread that steps it, but for what says "any thread".
 */
#ifndef FARCALL_LOOP_H
#define FARCALL_LOOP_H

#include <farcall/code.h>

FARCALL_BEGIN_DECLS

typedef struct farcall_loop farcall_loop;

/* A loop for farcall_loop_step(). Never NULL: out of memory or files gives a loop that answers so.
 */
FARCALL_API farcall_loop *farcall_loop_new(void);

/* Poll it for reading: when it is ready, or farcall_loop_timeout_ms() has passed, step. -1 where
 * the platform has none (Windows), and for a loop made of a uv_loop_t. */
FARCALL_API intptr_t farcall_loop_fd(const farcall_loop *loop);

/* Milliseconds until the next step is due; 0: now; -1: only when the fd is ready. */
FARCALL_API int farcall_loop_timeout_ms(const farcall_loop *loop);

/* One turn: waits at most `timeout_ms` (0: not at all, -1: without limit) for something to do, then
 * reads, runs handlers and callbacks, and writes. FAILED_PRECONDITION inside a step, or on a loop
 * made of a uv_loop_t. */
FARCALL_API farcall_code farcall_loop_step(farcall_loop *loop, int timeout_ms);

/* After the last server and channel on it are freed. */
FARCALL_API void farcall_loop_free(farcall_loop *loop);

FARCALL_END_DECLS

#endif
