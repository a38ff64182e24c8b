/*
 * loop.c: a loop's beginning and end.
 *
 * A loop is counted: one reference for who made it, one for each user. The last one to go ends it;
 * inside a turn of its own, at the end of that turn. The end waits for threads that are still
 * inside fc_loop_post(), runs what was posted, and never waits for a look-up that hangs in the
 * system's resolver: such a loop is left to a thread that ends it later.
 */
#include "runtime/loop/inside.h"

#include "runtime/base/alloc.h"
#include "runtime/base/log.h"
#include "runtime/loop/thread.h"

#ifndef _WIN32
#include <errno.h>
#include <pthread.h>
#include <unistd.h>
#endif

#define POOL_MOST (8u * 1024u * 1024u)
#define TURNS_TO_END 1000 /* a task that posts itself for ever does not hold up the end */

static uv_once_t fork_once = UV_ONCE_INIT;
static atomic_uint fork_generation;

/* ---- fork ---- */

#ifdef _WIN32
static void
watch_forks(void)
{
}
#else
static void
after_fork(void)
{
	atomic_fetch_add_explicit(&fork_generation, 1, memory_order_relaxed);
}

static void
watch_forks(void)
{
	pthread_atfork(NULL, NULL, after_fork);
}
#endif

/* What epoll polls is shared with the parent: closing a descriptor here would deafen it there. The
 * program does this by itself for a loop of its own. */
void
fc_loop_after_fork(fc_loop *loop)
{
	unsigned now = atomic_load_explicit(&fork_generation, memory_order_relaxed);

	if (FARCALL_LIKELY(loop->fork_generation == now))
		return;
	loop->fork_generation = now;
	if (!loop->guest)
		uv_loop_fork(loop->uv);
}

/* ---- begin ---- */

static farcall_code
fail_uv(fc_error *error, int rc)
{
	if (rc == UV_ENOMEM)
		return fc_fail_memory(error, "loop");
	if (rc == UV_EMFILE || rc == UV_ENFILE)
		return fc_fail(error, FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_TOO_MANY_FILES,
		    "loop: %s", fc_cause_text(FARCALL_CAUSE_TOO_MANY_FILES));
	return fc_fail(error, FARCALL_INTERNAL, FARCALL_CAUSE_SYSTEM, "loop: system error %s",
	    uv_err_name(rc));
}

static void
on_async(uv_async_t *async)
{
	fc_loop_awake((fc_loop *)async->data);
}

farcall_code
fc_loop_init(fc_loop *loop, uv_loop_t *uv, fc_error *error)
{
	int rc;

	uv_once(&fork_once, watch_forks);
	loop->uv = uv;
	loop->fork_generation = atomic_load_explicit(&fork_generation, memory_order_relaxed);
	fc_queue_init(&loop->ready);
	fc_queue_init(&loop->flush);
	fc_pool_init(&loop->pool, POOL_MOST);
	fc_refs_init(&loop->refs);
	atomic_init(&loop->posting, 0);
	atomic_init(&loop->owner, 0);
	atomic_init(&loop->mailbox, 0);
	atomic_init(&loop->woken, false);
	atomic_init(&loop->polled, false);
	atomic_init(&loop->sleeping, false);
	loop->scratch = (uint8_t *)fc_malloc(FC_LOOP_SCRATCH);
	if (loop->scratch == NULL || !fc_heap_reserve(&loop->timers, 1))
		return fc_fail_memory(error, "loop");
	rc = uv_async_init(uv, &loop->async, on_async);
	if (rc != 0)
		return fail_uv(error, rc);
	uv_timer_init(uv, &loop->timer);
	uv_idle_init(uv, &loop->idle);
	uv_check_init(uv, &loop->check);
	loop->handles = 4;
	loop->async.data = loop->timer.data = loop->idle.data = loop->check.data = loop;
	return FARCALL_OK;
}

void
fc_loop_fini(fc_loop *loop)
{
	fc_pool_fini(&loop->pool);
	fc_free(loop->timers.slots);
	fc_free(loop->scratch);
	fc_free(loop);
}

/* The first loop of a process opens a pipe that libuv keeps; without descriptors it would abort. */
#ifdef _WIN32
static int
check_descriptors(void)
{
	return 0;
}
#else
static int
check_descriptors(void)
{
	static atomic_bool checked;
	int fds[2];

	if (atomic_load_explicit(&checked, memory_order_relaxed))
		return 0;
	if (pipe(fds) != 0)
		return uv_translate_sys_error(errno);
	close(fds[0]);
	close(fds[1]);
	atomic_store_explicit(&checked, true, memory_order_relaxed);
	return 0;
}
#endif

fc_loop *
fc_loop_open(fc_clock *clock, fc_error *error)
{
	fc_loop *loop = (fc_loop *)fc_calloc(1, sizeof *loop);
	int rc;

	if (loop == NULL) {
		fc_fail_memory(error, "loop");
		return NULL;
	}
	loop->clock = clock;
	rc = check_descriptors();
	if (rc == 0)
		rc = uv_loop_init(&loop->own_uv);
	if (rc != 0) {
		fail_uv(error, rc);
		fc_free(loop);
		return NULL;
	}
	if (fc_loop_init(loop, &loop->own_uv, error) != FARCALL_OK) {
		uv_loop_close(&loop->own_uv);
		fc_loop_fini(loop);
		return NULL;
	}
	return loop;
}

/* ---- end ---- */

void
fc_loop_close_handles(fc_loop *loop, uv_close_cb closed)
{
	uv_close((uv_handle_t *)&loop->async, closed);
	uv_close((uv_handle_t *)&loop->timer, closed);
	uv_close((uv_handle_t *)&loop->idle, closed);
	uv_close((uv_handle_t *)&loop->check, closed);
}

/* Runs out what is left: tasks that free what they belong to. */
static void
run_out(fc_loop *loop)
{
	for (int i = 0; i < TURNS_TO_END && fc_loop_has_work(loop); i++) {
		atomic_store(&loop->woken, false);
		fc_loop_enter(loop);
		if (!loop->guest)
			uv_run(loop->uv, UV_RUN_NOWAIT);
		fc_loop_work(loop);
		fc_loop_leave(loop);
	}
	while (atomic_load_explicit(&loop->posting, memory_order_acquire) != 0)
		uv_sleep(0);
}

static void
end_later(void *data)
{
	fc_loop *loop = (fc_loop *)data;

	uv_run(loop->uv, UV_RUN_DEFAULT);
	uv_loop_close(loop->uv);
	fc_loop_fini(loop);
}

static void
end_alone(void *data)
{
	end_later(data);
	fc_thread_left();
}

static void
shut_own(fc_loop *loop)
{
	fc_loop_close_handles(loop, NULL);
	for (int i = 0; i < 4 && uv_loop_alive(loop->uv); i++)
		uv_run(loop->uv, UV_RUN_NOWAIT);
	if (!uv_loop_alive(loop->uv)) {
		end_later(loop);
		return;
	}
	fc_thread_leaving();
	if (!fc_thread_start_alone(end_alone, loop))
		end_alone(loop);
}

void
fc_loop_shut(fc_loop *loop)
{
	loop->over = false;
	fc_loop_after_fork(loop);
	run_out(loop);
	if (loop->guest)
		fc_loop_guest_shut(loop);
	else
		shut_own(loop);
}

void
fc_loop_hold(fc_loop *loop)
{
	fc_refs_hold(&loop->refs);
}

static void
run_close_task(fc_task *task)
{
	FC_CONTAINER(task, fc_loop, close_task)->over = true;
}

void
fc_loop_drop(fc_loop *loop)
{
	if (!fc_refs_drop(&loop->refs))
		return;
	if (fc_loop_inside(loop)) {
		loop->over = true;
	} else if (loop->guest) {
		loop->close_task.run = run_close_task;
		fc_loop_post(loop, &loop->close_task);
	} else {
		fc_loop_shut(loop);
	}
}

void
fc_loop_close(fc_loop *loop)
{
	if (atomic_load_explicit(&loop->refs, memory_order_relaxed) > 1)
		fc_log(FARCALL_LOG_ERROR,
		    "farcall_loop_free: something still uses the loop; it is kept until that ends");
	else if (!fc_loop_inside(loop)) {
		fc_loop_shut(loop);
		return;
	}
	fc_loop_drop(loop);
}

/* ---- what it is made of ---- */

farcall_code
fc_loop_failure(const fc_loop *loop, fc_error *error)
{
	if (loop == NULL)
		return fc_fail(
		    error, FARCALL_FAILED_PRECONDITION, FARCALL_CAUSE_NONE, "no loop was given");
	if (loop->failure.code == FARCALL_OK)
		return FARCALL_OK;
	return fc_fail(error, loop->failure.code, loop->failure.cause, "%s", loop->failure.text);
}

bool
fc_loop_is_guest(const fc_loop *loop)
{
	return loop->guest;
}

uint64_t
fc_loop_turn_number(const fc_loop *loop)
{
	return loop->turns;
}

fc_pool *
fc_loop_pool(fc_loop *loop)
{
	return &loop->pool;
}

uv_loop_t *
fc_loop_uv(fc_loop *loop)
{
	return loop->uv;
}

uint8_t *
fc_loop_scratch(fc_loop *loop)
{
	return loop->scratch;
}
