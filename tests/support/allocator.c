#include "tests/support/allocator.h"

#include <farcall/alloc.h>

#include <stdatomic.h>
#include <stdlib.h>

/* Relaxed wherever the library is inside: the counters must not order threads that it does not
 * order itself, or the thread sanitizer would not see what it forgets. */
static atomic_size_t live, calls, fail_nth;
static atomic_bool fail_sticky, failed;

static bool
refuse(void)
{
	size_t call = atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed) + 1;
	size_t nth = atomic_load_explicit(&fail_nth, memory_order_relaxed);
	bool yes = nth != 0 &&
	    (call == nth ||
	        (call > nth && atomic_load_explicit(&fail_sticky, memory_order_relaxed)));

	if (yes)
		atomic_store_explicit(&failed, true, memory_order_relaxed);
	return yes;
}

static void
count_one(void)
{
	atomic_fetch_add_explicit(&live, 1, memory_order_relaxed);
}

static void *
test_malloc(size_t size, void *data)
{
	void *memory;

	(void)data;
	if (refuse())
		return NULL;
	memory = malloc(size);
	if (memory != NULL)
		count_one();
	return memory;
}

static void *
test_realloc(void *old, size_t size, void *data)
{
	void *memory;

	(void)data;
	if (refuse())
		return NULL;
	memory = realloc(old, size);
	if (memory != NULL && old == NULL)
		count_one();
	return memory;
}

/* Released to whoever sees in test_allocator_live() that nothing is left. */
static void
test_free(void *memory, void *data)
{
	(void)data;
	free(memory);
	if (memory != NULL)
		atomic_fetch_sub_explicit(&live, 1, memory_order_release);
}

void
test_allocator_install(void)
{
	static const farcall_allocator allocator = {test_malloc, test_realloc, test_free, NULL};

	atomic_store(&live, 0);
	test_allocator_fail_at(0, false);
	farcall_set_allocator(&allocator);
}

void
test_allocator_remove(void)
{
	farcall_set_allocator(NULL);
}

size_t
test_allocator_live(void)
{
	return atomic_load_explicit(&live, memory_order_acquire);
}

size_t
test_allocator_calls(void)
{
	return atomic_load(&calls);
}

void
test_allocator_fail_at(size_t nth, bool sticky)
{
	atomic_store(&fail_nth, nth);
	atomic_store(&fail_sticky, sticky);
	atomic_store(&failed, false);
	atomic_store(&calls, 0);
}

bool
test_allocator_failed(void)
{
	return atomic_load(&failed);
}
