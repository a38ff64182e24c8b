/*
 * farcall/uv.h: run on a libuv loop of yours. The only public header that needs <uv.h>.
 */
#ifndef FARCALL_UV_H
#define FARCALL_UV_H

#include <uv.h>

#include <farcall/loop.h>

FARCALL_BEGIN_DECLS

/* A farcall loop inside `uv`, which you run and which must outlive it. Starts no thread. After
 * farcall_loop_free() run `uv` once more, so that its handles close. */
FARCALL_API farcall_loop *farcall_loop_from_uv(uv_loop_t *uv);

FARCALL_END_DECLS

#endif
