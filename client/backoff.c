/*
 * backoff.c: when to try again, by gRPC's doc/connection-backoff.md. The random source is its own,
 * seeded by who made it, so that a test sees the same delays each time.
 */
#include "client/internal.h"

/* xorshift64*; never 0. */
uint64_t
fc_backoff_random(fc_backoff *backoff)
{
	uint64_t x = backoff->random;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	backoff->random = x;
	return x * UINT64_C(2685821657736338717);
}

void
fc_backoff_seed(fc_backoff *backoff, uint64_t seed)
{
	backoff->base_ns = 0;
	backoff->random = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
	for (int i = 0; i < 8; i++)
		fc_backoff_random(backoff);
}

void
fc_backoff_reset(fc_backoff *backoff)
{
	backoff->base_ns = 0;
}

/* `base` less or more by at most a fifth, evenly. */
uint64_t
fc_backoff_jitter(fc_backoff *backoff, uint64_t base)
{
	uint64_t span = base / 5 * 2;

	return base - base / 5 + fc_backoff_random(backoff) % (span + 1);
}

uint64_t
fc_backoff_next(fc_backoff *backoff)
{
	if (backoff->base_ns == 0)
		backoff->base_ns = FC_BACKOFF_FIRST_NS;
	else
		backoff->base_ns = FC_MIN(backoff->base_ns / 10 * 16, FC_BACKOFF_MOST_NS);
	return fc_backoff_jitter(backoff, backoff->base_ns);
}
