/*
 * mix.h: what the calls of test_mix.c go through: a server of stream.Test that takes any other path
 * besides, channels to it, interceptors on both whose begin pends by chance, and threads that
 * resume and cancel.
 */
#ifndef FC_TEST_MIX_H
#define FC_TEST_MIX_H

#include "tests/support/pair.h"
#include "tests/support/streams.h"

#include <uv.h>

enum { MIX_CHANNELS = 5, MIX_LENT = MIX_CHANNELS - 1, MIX_SLOTS = 16, MIX_HOOKS = 4 };

typedef struct mix_hook {
	struct mix *m;
	bool inner;
	atomic_int begun, ended;
} mix_hook;

typedef struct mix {
	test_streams streams; /* first: `self` of the service */
	unsigned seed;
	farcall_server *server;
	farcall_channel *channels[MIX_CHANNELS]; /* the odd ones have a service config */
	farcall_loop *loop;                      /* of the last channel */
	farcall_loop *lent;                      /* the server's, in some rounds, else NULL */
	mix_hook hooks[MIX_HOOKS];               /* the server's two, the channels' two */
	farcall_call *_Atomic shared[MIX_SLOTS]; /* held, to be cancelled */
	atomic_uint dice;
	atomic_bool calm;     /* no new calls */
	atomic_bool stopping; /* the server */
	atomic_bool left;     /* by the one who steps the server */
	atomic_bool over;     /* nothing pends any more */
	atomic_int begun, ended, in_flight, seeds, wrong, pended;
	atomic_int codes[17];
	uv_thread_t resumer, stepper;
} mix;

/* Opens all; the server listens, the resumer runs. */
void mix_open(mix *m, unsigned seed, const char *config, bool grows_old);

/* Frees all, and looks whether each begin had its end. */
void mix_close(mix *m);

/* What a program may ask of a call that is under way, in its sender's or receiver's thread. */
void mix_look(farcall_call *call);

/* To be cancelled by mix_take_shared(), which any thread calls, or by none. */
void mix_share(mix *m, farcall_call *call, unsigned n);
void mix_take_shared(mix *m, unsigned n);

#endif
