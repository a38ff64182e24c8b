/*
 * loop.h: one loop, its turn, its timers, its mailbox.
 *
 * A turn: poll → read and parse what is ready (libuv's callbacks) → run the tasks that became
 * ready, outside libuv's callbacks → flush. Handlers and user callbacks are tasks. A loop made of a
 * uv_loop_t runs the same turn from a check handle.
 *
 * Threads: a loop has one owner at a time, the thread inside fc_loop_turn(); ownership passes
 * between threads under a lock of whoever shares the loop out. All functions are the owner's, but
 * for post, wake and hold/drop. Between turns the lock holder counts as the owner.
 */
#ifndef FC_LOOP_LOOP_H
#define FC_LOOP_LOOP_H

#include "runtime/base/bytes.h"
#include "runtime/base/error.h"
#include "runtime/base/list.h"
#include "runtime/base/pool.h"

#include <farcall/loop.h>

#include <uv.h>

typedef struct farcall_loop fc_loop;

/* Something to run once; embedded in what it belongs to. May be queued again once it runs. */
typedef struct fc_task {
	fc_link link;
	void (*run)(struct fc_task *task);
	bool queued; /* for fc_loop_ready() and fc_loop_flush_later(), which ignore a queued one */
} fc_task;

typedef struct fc_timer {
	size_t at;    /* place in the heap, from 1; 0: not running */
	uint64_t due; /* ns of fc_loop_now() */
	void (*run)(struct fc_timer *timer);
} fc_timer;

/* Where time comes from. `virtual`: nothing ever sleeps; a turn without work moves the clock to the
 * next timer. For tests. */
typedef struct fc_clock {
	uint64_t now;
	bool is_virtual;
} fc_clock;

/* A loop of the library's own. `clock` NULL: real time; else a virtual clock that several loops of
 * one thread may share. NULL and `error` on failure. */
fc_loop *fc_loop_open(fc_clock *clock, fc_error *error);

/* All handles of users of the loop must have been closed; runs the loop until they are gone. */
void fc_loop_close(fc_loop *loop);

/* Users that have something on the loop; farcall_loop_free() with users left is misuse: logged, and
 * the loop is kept until the last one drops it. Any thread. */
void fc_loop_hold(fc_loop *loop);
void fc_loop_drop(fc_loop *loop);

/* The failure that made farcall_loop_new() give a loop that cannot run; OK otherwise. */
farcall_code fc_loop_failure(const fc_loop *loop, fc_error *error);

/* One turn; waits at most `wait_ns` (FC_NEVER: no limit) for something to do. The caller becomes
 * the owner for its length. Never inside a turn of the same loop. False: the loop was taken from
 * the caller inside a task; it must not touch the loop any more. */
bool fc_loop_turn(fc_loop *loop, uint64_t wait_ns);

/* Between turns: one begun now has something to do at once. A turn that has lasted long leaves
 * what else is ready to the next. */
bool fc_loop_has_work(const fc_loop *loop);

/* The calling thread is inside a turn of this loop: it may touch the loop, and what it calls may
 * not block. Neither holds inside a handler that a crew watches (crew.h): false there. */
bool fc_loop_inside(const fc_loop *loop);

/* A loop made of a uv_loop_t: only its program can turn it. */
bool fc_loop_is_guest(const fc_loop *loop);

/* Differs from turn to turn, for what is bounded by the turn. */
uint64_t fc_loop_turn_number(const fc_loop *loop);

/* ns, monotonic; read once a turn, after the poll; between turns, read now */
uint64_t fc_loop_now(const fc_loop *loop);
uint64_t fc_loop_clock(fc_loop *loop);            /* the same, read now */
uint64_t fc_loop_real_clock(const fc_loop *loop); /* read now, but the turn keeps its own */
fc_pool *fc_loop_pool(fc_loop *loop);
uv_loop_t *fc_loop_uv(fc_loop *loop);

/* Read buffer, for the length of one callback; contents do not outlive it. */
#define FC_LOOP_SCRATCH (256u * 1024u)
uint8_t *fc_loop_scratch(fc_loop *loop);

/* Runs in this turn (or the next, when none is running), after the poll, first in first out. */
void fc_loop_ready(fc_loop *loop, fc_task *task);

/* Runs when the ready tasks are done, and between them after 16 of them or about 200 µs:
 * connections write then, so that the first reply does not wait for the last. One that has joined
 * others since the last flush is left to the next: it is in the middle of its tasks, and one write
 * will do for them. After a millisecond of tasks the turn ends, and the next one polls before it
 * goes on with them. */
void fc_loop_flush_later(fc_loop *loop, fc_task *task);

/* To be said first in a callback of libuv: the poll has returned, so the time is read anew, and
 * posts need not wake the loop. */
void fc_loop_awake(fc_loop *loop);

/* While more keep it than don't, a loop made of a uv_loop_t holds uv_run(). Sockets, timers and
 * look-ups do so by themselves; for what hangs on no handle of libuv's. */
void fc_loop_keep(fc_loop *loop, bool on);

/* The calling thread becomes the owner in the middle of a turn whose thread is inside a task, and
 * ends that turn. The other thread, when its task returns, leaves the loop alone; it must not touch
 * the loop inside the task either. The caller sees to it that it was stopped there (by the exchange
 * of a word that the task owns), and that it is not its own turn. What waits for a flush is flushed
 * first: it has waited. False: taken from the caller in its turn. Not for a loop made of a
 * uv_loop_t. */
bool fc_loop_take(fc_loop *loop);

/* In a child made by fork(): parts what is polled from the parent's. To be said before a descriptor
 * of the loop is closed; cheap. A turn says it by itself. */
void fc_loop_after_fork(fc_loop *loop);

/* Any thread: runs as a ready task in the next turn, and wakes the loop if it sleeps. The task must
 * not be queued already. */
void fc_loop_post(fc_loop *loop, fc_task *task);

/* Any thread: the turn in progress, or the next one, ends its wait at once. */
void fc_loop_wake(fc_loop *loop);

void fc_timer_init(fc_timer *timer, void (*run)(fc_timer *timer));
bool fc_timer_start(fc_loop *loop, fc_timer *timer, uint64_t due); /* or moves; false: no memory */
void fc_timer_stop(fc_loop *loop, fc_timer *timer);

#endif
