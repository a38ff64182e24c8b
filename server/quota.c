/*
 * quota.c: see quota.h. What is taken from another's share is half of it, so that a loop with most
 * of the connections soon has most of the limit; and one thread does it at a time, so that nobody
 * finds all shares empty because some of it is on the way.
 */
#include "server/quota.h"

#include "runtime/base/alloc.h"

bool
fc_quota_init(fc_quota *quota, unsigned loops, size_t most)
{
	quota->shares = (fc_share *)fc_calloc(loops, sizeof *quota->shares);
	if (quota->shares == NULL)
		return false;
	quota->n = loops;
	fc_spin_init(&quota->lock);
	for (unsigned i = 0; i < loops; i++)
		atomic_init(&quota->shares[i].left, most / loops + (i < most % loops ? 1 : 0));
	return true;
}

void
fc_quota_fini(fc_quota *quota)
{
	fc_free(quota->shares);
	quota->shares = NULL;
}

/* Takes one of it, or half; answers how many. */
static size_t
take_from(fc_share *share, bool half)
{
	size_t left = atomic_load_explicit(&share->left, memory_order_relaxed), n;

	do {
		n = half ? left - left / 2 : left != 0;
		if (n == 0)
			return 0;
	} while (!atomic_compare_exchange_weak_explicit(
	    &share->left, &left, left - n, memory_order_relaxed, memory_order_relaxed));
	return n;
}

bool
fc_quota_take_shared(fc_quota *quota, unsigned loop)
{
	fc_share *own = &quota->shares[loop];
	size_t n = take_from(own, false);

	if (n != 0)
		return true;
	fc_spin_lock(&quota->lock);
	for (unsigned i = 1; n == 0 && i < quota->n; i++)
		n = take_from(&quota->shares[(loop + i) % quota->n], true);
	if (n > 1)
		atomic_fetch_add_explicit(&own->left, n - 1, memory_order_relaxed);
	fc_spin_unlock(&quota->lock);
	return n != 0;
}

bool
fc_quota_has_shared(fc_quota *quota)
{
	size_t left = 0;

	fc_spin_lock(&quota->lock);
	for (unsigned i = 0; left == 0 && i < quota->n; i++)
		left = atomic_load_explicit(&quota->shares[i].left, memory_order_relaxed);
	fc_spin_unlock(&quota->lock);
	return left != 0;
}
