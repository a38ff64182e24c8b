/*
 * thread.h: threads, locks and condition variables, over libuv's.
 */
#ifndef FC_LOOP_THREAD_H
#define FC_LOOP_THREAD_H

#include "runtime/base/error.h"

#include <uv.h>

typedef uv_mutex_t fc_mutex;
typedef uv_cond_t fc_cond;

farcall_code fc_mutex_init(fc_mutex *mutex, fc_error *error);
farcall_code fc_cond_init(fc_cond *cond, fc_error *error);

#define fc_mutex_fini uv_mutex_destroy
#define fc_lock uv_mutex_lock
#define fc_unlock uv_mutex_unlock
#define fc_cond_fini uv_cond_destroy
#define fc_cond_wait uv_cond_wait
#define fc_cond_wait_ns uv_cond_timedwait /* != 0: the time (relative, ns) has passed */
#define fc_cond_signal uv_cond_signal
#define fc_cond_broadcast uv_cond_broadcast

/* A thread with a modest stack, all signals blocked (POSIX). */
typedef struct fc_thread {
	uv_thread_t id;
	void (*run)(void *data);
	void *data;
} fc_thread;

farcall_code fc_thread_start(
    fc_thread *thread, void (*run)(void *data), void *data, fc_error *error);
void fc_thread_join(fc_thread *thread);

/* A thread that nobody joins; false: none could be had. */
bool fc_thread_start_alone(void (*run)(void *data), void *data);

/* A thread that nobody joins is about to end: until it says that it has left, as its last act, the
 * process's exit() waits for it, at most 1 s. */
void fc_thread_leaving(void);
void fc_thread_left(void);

bool fc_thread_is_self(const fc_thread *thread);

#endif
