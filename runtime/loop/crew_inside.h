/*
 * crew_inside.h: a crew's own data, for its files only.
 *
 * The word says what the owner does. Its two low bits: WORD_RUNS inside a run(), WORD_IDLE between
 * turns, 0 elsewhere; above them a number that grows with each run(), so that no value comes twice.
 * Only whoever changes it from `runs` may touch the loop after that: the owner itself when run()
 * returns, or another thread in its place. The loop and all that hangs on it are plain memory; the
 * word's release and acquire, and the lock, carry them from owner to owner.
 *
 * Roles of a thread: the owner (of the loop; at most one), the monitor (at most one), at work (in a
 * run() that lost the loop, or that was pooled), idle. Whoever takes the loop sees to a monitor.
 */
#ifndef FC_LOOP_CREW_INSIDE_H
#define FC_LOOP_CREW_INSIDE_H

#include "runtime/loop/crew.h"
#include "runtime/loop/inside.h"
#include "runtime/loop/thread.h"

enum { WORD_RUNS = 1, WORD_IDLE = 2, WORD_NEXT = 4 };

/* From `runs` to what follows it. */
#define WORD_AFTER(word) ((word) + WORD_NEXT - WORD_RUNS)

#define SAMPLE 64u /* one item in so many is timed */

/* A thread of a crew. */
typedef struct fc_hand {
	fc_crew *crew;
	struct fc_hand *outer; /* the thread is inside a run() of this other crew */
	fc_thread thread;
	bool used; /* under the lock */
	bool away; /* the thread's own: inside a run() that has the loop no more, surely */
} fc_hand;

struct fc_crew {
	/* constant while it runs */
	fc_loop *loop;
	fc_hand *hands; /* the first is the thread in fc_crew_run() */
	unsigned most, queue_most;
	uint64_t patience;
	bool debug, serial;
	void (*on_short)(void *data, const fc_crew_shortage *shortage);
	void *short_data;
	bool (*over)(void *data);
	void *over_data;

	/* the loop's owner */
	bool plain;                 /* nothing is watched, pooled or learned */
	void (*run)(fc_task *task); /* of items that learn */
	bool first;                 /* the next run() is the first of its turn */
	bool settled;               /* over, and one more turn was made */
	uint64_t word;              /* as it stands after the last run() */
	fc_work *work;              /* the item being run */
	uintptr_t self;             /* the owner's thread, as the loop has it */
	size_t out;                 /* items whose done() will come by mail */
	uint64_t turn;  /* the loop's time in the turn whose first item was looked at last */
	fc_queue batch; /* for other threads, not submitted yet */
	size_t n_batch;
	fc_task submit;
	fc_timer shortage; /* looks at the queue, once an item has had to wait */

	/* any thread */
	_Atomic uint64_t own;  /* the word */
	atomic_bool asleep;    /* the monitor is; a Dekker pair with `own` */
	atomic_bool watched;   /* there is a monitor */
	atomic_size_t waiting; /* items in the batch and in the pool */
	struct {
		atomic_size_t taken, given, got_back, pooled, learned, unlearned, refused, threads,
		    complaints;
	} counts;

	/* under `lock` */
	fc_mutex lock;
	fc_cond idle, watch, taken;
	fc_queue pool;
	size_t n_pool;
	unsigned n_hands, n_idle, n_coming, n_growing;
	unsigned limit; /* `most`, or less while threads cannot be had */
	uint64_t retry; /* then: when to try again */
	fc_hand *owner; /* NULL: nobody, the loop is on offer */
	fc_hand *offer; /* who gave it away, until it is taken */
	bool fin;       /* all threads leave */
	uint64_t alert; /* the monitor looks often until then */
};

/* Adds one to a counter for tests. */
#define COUNT(crew, what) atomic_fetch_add_explicit(&(crew)->counts.what, 1, memory_order_relaxed)

/* crew.c */
fc_hand *fc_hand_self(void);
bool fc_crew_grow(fc_crew *crew);             /* one thread more; lets go of the lock meanwhile */
void fc_crew_call(fc_crew *crew, unsigned n); /* idle threads, at most n; under the lock */

/* work.c */
void fc_work_watched(fc_task *task);
void fc_work_handed_over(fc_task *task);
void fc_work_stays(fc_task *task);
void fc_work_by_mail(fc_task *task);
void fc_work_in_place(fc_work *work); /* run() and done(), unwatched */

/* `hand` is inside a run() with the loop; else nothing happens. `debug`: waits until the loop is
 * taken, if there is anybody. False: there is nobody. */
bool fc_crew_give(fc_crew *crew, fc_hand *hand, bool debug);

/* watch.c; under the lock */
bool fc_crew_watch(fc_crew *crew, fc_hand *hand); /* true: has taken the loop, inside a turn */
void fc_crew_wake_monitor(fc_crew *crew);
bool fc_crew_alone(const fc_crew *crew);

/* pool.c */
void fc_crew_pool(fc_crew *crew, fc_work *work);
void fc_crew_submit(fc_crew *crew);
void fc_crew_submit_task(fc_task *task);
void fc_crew_do_pooled(
    fc_crew *crew, fc_hand *hand); /* under the lock, which it lets go of meanwhile */

/* shortage.c; the owner */
void fc_shortage_on_timer(fc_timer *timer);
void fc_shortage_begin(fc_crew *crew); /* an item has to wait */
void fc_shortage_full(fc_crew *crew);  /* one was refused */
void fc_shortage_last(fc_crew *crew);  /* all threads but this one are at work */

/* learn.c; the owner */
void fc_learn_blocked(fc_work_kind *kind);
void fc_learn_pooled(fc_work_kind *kind, uint64_t took);
void fc_learn_timed(fc_work_kind *kind, uint64_t took);
void fc_learn_held(fc_work_kind *kind, uint64_t took); /* the loop, so long */

#endif
