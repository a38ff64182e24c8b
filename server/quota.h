/*
 * quota.h: a limit of the whole server, in shares that its loops own. A loop takes from its own
 * share; when that is used up, from the others'. So as long as the limit is far away no loop
 * touches what another one writes, and yet it is exact: never is more taken than the limit, and as
 * much can be taken by one loop alone as by all together.
 */
#ifndef FC_SERVER_QUOTA_H
#define FC_SERVER_QUOTA_H

#include "runtime/base/atomic.h"

#include <stddef.h>

typedef struct fc_share {
	atomic_size_t left;
	char apart[64 - sizeof(atomic_size_t)];
} fc_share;

typedef struct fc_quota {
	unsigned n;
	fc_share *shares;
	fc_spin lock; /* of who takes from others */
} fc_quota;

bool fc_quota_init(fc_quota *quota, unsigned loops, size_t most); /* false: no memory */
void fc_quota_fini(fc_quota *quota);                              /* also of one all zero */

/* With several loops. */
bool fc_quota_take_shared(fc_quota *quota, unsigned loop);
bool fc_quota_has_shared(fc_quota *quota);

/* The share of a loop that is the only one: nobody else counts in it. */
static inline bool
fc_share_take_alone(fc_share *share)
{
	size_t now = atomic_load_explicit(&share->left, memory_order_relaxed);

	atomic_store_explicit(&share->left, now - (now != 0), memory_order_relaxed);
	return now != 0;
}

static inline void
fc_share_give(fc_share *share, bool alone)
{
	if (alone)
		atomic_store_explicit(&share->left,
		    atomic_load_explicit(&share->left, memory_order_relaxed) + 1,
		    memory_order_relaxed);
	else
		atomic_fetch_add_explicit(&share->left, 1, memory_order_relaxed);
}

/* By the owner of the loop with that index. */
static inline bool
fc_quota_take(fc_quota *quota, unsigned loop)
{
	return quota->n == 1 ? fc_share_take_alone(quota->shares)
	                     : fc_quota_take_shared(quota, loop);
}

/* One could be taken; nothing is. */
static inline bool
fc_quota_has(fc_quota *quota, unsigned loop)
{
	if (atomic_load_explicit(&quota->shares[loop].left, memory_order_relaxed) != 0)
		return true;
	return quota->n != 1 && fc_quota_has_shared(quota);
}

static inline void
fc_quota_give(fc_quota *quota, unsigned loop)
{
	fc_share_give(&quota->shares[loop], quota->n == 1);
}

#endif
