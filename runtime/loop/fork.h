/*
 * fork.h: what a child made by fork() may do with what it inherited. The threads are gone, their
 * locks may be held, what they were changing may be half changed, and sockets, timers and epoll
 * sets are the parent's, too. So in a child an object does one thing only: it closes its
 * descriptors, without a word to anybody. Its memory is left as it is.
 */
#ifndef FC_LOOP_FORK_H
#define FC_LOOP_FORK_H

#include "runtime/base/atomic.h"
#include "runtime/loop/loop.h"

extern atomic_uint fc_forks;

#define FC_FORKED_TEXT "this process was made by fork(): it may only free what it inherited"

/* From now on forks are counted; answers how many there were. */
unsigned fc_forks_watch(void);

/* What was made when fc_forks_watch() answered `then` is inherited. */
static inline bool
fc_forked(unsigned then)
{
	return FARCALL_UNLIKELY(atomic_load_explicit(&fc_forks, memory_order_relaxed) != then);
}

/* Closes the loop's descriptors, and the sockets of what is on it. Once, in a child, by the only
 * thread. Not for a loop made of a uv_loop_t: nothing happens. */
void fc_loop_abandon(fc_loop *loop);
bool fc_loop_is_inherited(const fc_loop *loop);

#endif
