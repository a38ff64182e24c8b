/*
 * atomic.h: the library's atomics, over <stdatomic.h>. Named by what they are used for: counters,
 * flags, a spin lock for sections of a few instructions.
 */
#ifndef FC_BASE_ATOMIC_H
#define FC_BASE_ATOMIC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct fc_spin {
	atomic_flag flag;
} fc_spin;

static inline void
fc_spin_init(fc_spin *spin)
{
	atomic_flag_clear(&spin->flag);
}

static inline void
fc_spin_lock(fc_spin *spin)
{
	while (atomic_flag_test_and_set_explicit(&spin->flag, memory_order_acquire))
		;
}

static inline void
fc_spin_unlock(fc_spin *spin)
{
	atomic_flag_clear_explicit(&spin->flag, memory_order_release);
}

typedef atomic_uint fc_refs;

static inline void
fc_refs_init(fc_refs *refs)
{
	atomic_init(refs, 1);
}

static inline void
fc_refs_hold(fc_refs *refs)
{
	atomic_fetch_add_explicit(refs, 1, memory_order_relaxed);
}

/* The caller has one, and nobody else has any: so nobody can take one meanwhile. */
static inline bool
fc_refs_alone(const fc_refs *refs)
{
	return atomic_load_explicit((fc_refs *)(uintptr_t)refs, memory_order_acquire) == 1;
}

/* true: that was the last one, which costs no locked instruction. */
static inline bool
fc_refs_drop(fc_refs *refs)
{
	return fc_refs_alone(refs) || atomic_fetch_sub_explicit(refs, 1, memory_order_acq_rel) == 1;
}

#endif
