/*
 * crew.h: threads that share a loop whose tasks may block.
 *
 * A piece of work has two halves: run(), the user's code, which touches its own item only, and
 * done(), which the loop's owner calls when run() has returned. Without a crew both run one after
 * the other. In a crew the owner runs run() in place, too; but when it blocks, another thread takes
 * the loop and goes on with the turn, and done() comes by mail.
 *
 * Who notices: run() itself by fc_crew_block_begin(), which gives the loop away at once; else the
 * monitor, a thread of the crew that sees one run() last for a millisecond. A kind of work that was
 * seen to block is learned: its items go to the crew's other threads by a queue, until they have
 * been quick many times. A kind may also be declared, either way.
 *
 * A crew knows nothing of what its work is. All functions are for the owner of the loop, but for
 * block_begin, inside and counts.
 */
#ifndef FC_LOOP_CREW_H
#define FC_LOOP_CREW_H

#include "runtime/loop/loop.h"

typedef struct fc_crew fc_crew;
typedef struct fc_work fc_work;

#define FC_CREW_THREADS 64
#define FC_CREW_THREADS_MOST 10000
#define FC_CREW_QUEUE 1024
#define FC_CREW_QUEUE_MOST 1000000

/* No thread is left for items that wait, nor may there be more of them; or one, which has the loop,
 * and no other is left to take it. */
typedef struct fc_crew_shortage {
	bool last;        /* the latter */
	unsigned threads; /* of the crew */
	unsigned at_work; /* of them in a run() that has not got the loop */
	size_t waiting;   /* items */
	const char *name; /* of the kind of the first that waits; `last`: of what has blocked */
	uint64_t waited;  /* how long that has, ns */
} fc_crew_shortage;

typedef struct fc_crew_config {
	/* Threads at most: the one in fc_crew_run(), the monitor, and those that block. 0: the
	 * default; 1: only the first, and nothing is ever handed over. */
	unsigned threads;

	/* Items that may wait for a thread; 0: the default. */
	unsigned queue;

	/* Items run one at a time, on the thread of fc_crew_run(). */
	bool serial;

	/* How long a run() may hold the loop, in ns; 0: the default, 1 ms (4 ms on Windows). */
	uint64_t patience;

	/* NULL, or called by the owner while items have waited for a second, about once a second;
	 * for each that is refused; and when only one thread of three or more is left. */
	void (*on_short)(void *data, const fc_crew_shortage *shortage);
	void *data;
} fc_crew_config;

/* Where items of a kind run. */
typedef enum fc_work_place {
	FC_WORK_LEARNS, /* with the loop's owner, until they are seen to block */
	FC_WORK_BLOCKS, /* declared to block: on other threads, always */
	FC_WORK_STAYS   /* declared not to block: with the owner, and the loop is not taken */
} fc_work_place;

/* One method, say. Must outlive its items and the crew's run; to be set up by fc_work_kind_init().
 */
typedef struct fc_work_kind {
	fc_crew *crew;
	const char *name; /* for the log */
	fc_work_place place;

	/* the loop's owner */
	bool pooled;       /* items go to other threads */
	bool relapse;      /* it was unlearned before */
	unsigned left;     /* items until the next one is timed */
	unsigned quick;    /* pooled items in a row that were quick */
	unsigned needed;   /* of them, to be unlearned */
	unsigned timed;    /* items timed since it runs in place */
	uint64_t mean;     /* ns, of those timed */
	uint64_t complain; /* no complaint in the log before this time */
} fc_work_kind;

struct fc_work {
	fc_task task;
	fc_work_kind *kind;
	void (*run)(fc_work *work); /* any thread of the crew */

	/* The owner; exactly once. `ran` is false when run() was not called, since too many items
	 * wait. The item is the caller's again. Never inside fc_crew_ready(). */
	void (*done)(fc_work *work, bool ran);

	/* run() sets it when it finds nothing to do any more, and so tells nothing of its kind. */
	bool idle;

	uint64_t took; /* the crew's; while it waits for a thread: since when */
};

/* `loop` must have no clock of its own to be run by threads; with a virtual clock, a loop of a
 * uv_loop_t, or without fc_crew_run() all work runs in place. NULL and `error`: out of memory. */
fc_crew *fc_crew_open(fc_loop *loop, const fc_crew_config *config, fc_error *error);

/* Not while it runs. The loop is closed before its crew. */
void fc_crew_close(fc_crew *crew);

void fc_work_kind_init(fc_work_kind *kind, fc_crew *crew, const char *name, fc_work_place place);

/* Runs the item in this turn, or on another thread from this turn on. */
void fc_crew_ready(fc_work *work);

/* The same at once: the last thing that a task of the loop does. The caller may have lost the loop,
 * and the item may be gone, when it returns. */
void fc_crew_start(fc_work *work);

/* Turns the loop, as its first owner, until over() (called by the owner, between turns) is true and
 * each item is done; then all other threads are gone. The loop is then nobody's. */
void fc_crew_run(fc_crew *crew, bool (*over)(void *data), void *data);

/* Any thread. Inside a run() that holds a loop up: gives the loop away now, since what follows may
 * block. Elsewhere it does nothing. If nobody took the loop until run() returned, it comes back.
 * False: all other threads block already, so nobody will take it soon: whoever waits for something
 * that the loop brings would wait for ever. */
bool fc_crew_block_begin(void);

/* The calling thread is one of this crew, so inside a run(), a done() or another task. */
bool fc_crew_inside(const fc_crew *crew);

/* ---- for tests ---- */

typedef struct fc_crew_counts {
	size_t taken;    /* by the monitor */
	size_t given;    /* by block_begin or the debug switch */
	size_t got_back; /* given, but nobody took it */
	size_t pooled;   /* items that went to other threads */
	size_t learned, unlearned;
	size_t refused; /* the queue was full */
	size_t threads; /* started, in all */
	size_t complaints;
} fc_crew_counts;

/* Any thread. */
void fc_crew_counts_get(fc_crew *crew, fc_crew_counts *counts);

/* Crews opened from now on hand over before each run(); default: true if FARCALL_DEBUG_HANDOVER is
 * set to 1 in the environment. */
void fc_crew_debug_handover(bool on);

/* Threads that may be started from now on, in all crews; the next one fails. SIZE_MAX: no limit. */
void fc_crew_debug_threads(size_t most);

#endif
