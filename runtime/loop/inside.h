/*
 * inside.h: the loop's own data, for the files of this room only.
 */
#ifndef FC_LOOP_INSIDE_H
#define FC_LOOP_INSIDE_H

#include "runtime/base/atomic.h"
#include "runtime/loop/loop.h"

typedef struct fc_heap {
	fc_timer **slots; /* a binary heap by `due`, from slots[1] */
	size_t count, room;
} fc_heap;

struct farcall_loop {
	/* set at the start, then only read */
	uv_loop_t *uv;
	fc_clock *clock; /* NULL: real time */
	bool guest;
	unsigned made;    /* after so many forks */
	fc_error failure; /* of a loop that stands for one that could not be made */
	uint8_t *scratch;

	/* the owner only */
	uint64_t now;
	bool fresh; /* `now` was read in this turn */
	bool over;  /* the last reference went inside a turn: close at its end */
	uint64_t turns;
	unsigned keeps;
	unsigned handles; /* of the loop itself, not closed yet */
	unsigned fork_generation;
	fc_queue ready, flush;
	fc_heap timers;
	uv_loop_t own_uv;
	uv_async_t async;
	uv_timer_t timer;
	uv_idle_t idle;
	uv_check_t check;
	fc_task close_task;

	/* any thread */
	fc_pool pool;
	fc_refs refs;             /* who made it, and its users */
	atomic_uint posting;      /* threads inside post or wake */
	atomic_uintptr_t owner;   /* the thread inside a turn; 0: none */
	atomic_uintptr_t mailbox; /* fc_link, newest first */
	atomic_bool woken;
	atomic_bool polled; /* somebody else waits for its descriptor between turns */

	/* A poster that finds it true must wake the loop. A Dekker pair, all of it sequentially
	 * consistent: {post; read sleeping} against {sleeping = true; look for posts}. */
	atomic_bool sleeping;
};

/* Around a task that another thread may take the loop from: inside it the thread is not the owner,
 * so that nothing it calls touches the loop. To be said before it can be taken, and only if it was
 * not. */
static inline void
fc_loop_lend(fc_loop *loop)
{
	atomic_store_explicit(&loop->owner, 0, memory_order_relaxed);
}

static inline void
fc_loop_lent_back(fc_loop *loop, uintptr_t self)
{
	atomic_store_explicit(&loop->owner, self, memory_order_relaxed);
}

/* Turn: runs what came by mail, what is due and what is ready. False: the loop was taken over. */
bool fc_loop_work(fc_loop *loop);
void fc_loop_enter(fc_loop *loop);
void fc_loop_leave(fc_loop *loop);
bool fc_loop_has_mail(const fc_loop *loop);

/* The next timer's time; FC_NEVER if there is none. */
uint64_t fc_heap_next(const fc_heap *heap);
bool fc_heap_reserve(fc_heap *heap, size_t room);
void fc_heap_run(fc_loop *loop);

/* Guest: lets libuv wait no longer than the loop may. */
void fc_loop_guest_arm(fc_loop *loop);
void fc_loop_timer_hit(uv_timer_t *timer);
void fc_loop_idle(uv_idle_t *idle);
void fc_loop_arm(fc_loop *loop, uint64_t wait_ns);

farcall_code fc_loop_init(fc_loop *loop, uv_loop_t *uv, fc_error *error);
void fc_loop_close_handles(fc_loop *loop, uv_close_cb closed);
void fc_loop_fini(fc_loop *loop); /* frees it: its handles are closed */
void fc_loop_shut(fc_loop *loop); /* the last reference is gone: ends it as its kind is ended */
void fc_loop_guest_shut(fc_loop *loop);
fc_loop *fc_loop_from_uv(uv_loop_t *uv, fc_error *error);

#endif
