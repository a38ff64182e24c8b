/*
 * thread.c: see thread.h. A new thread waits until whoever started it has stored its id, so that
 * fc_thread_is_self() holds from its first instruction. On POSIX it takes no signals but those
 * which its own faults raise: the program's handlers run in the program's threads.
 */
#include "runtime/loop/thread.h"

#include "runtime/loop/inside.h"

#include <stdatomic.h>
#include <stdlib.h>

#ifndef _WIN32
#include <pthread.h>
#include <signal.h>
#endif

#ifdef _WIN32
#define forget_thread CloseHandle
#else
#define forget_thread pthread_detach
#endif

#define LEAVE_MS 1000
#define STACK_BYTES (1024u * 1024u)

static uv_once_t starting_once = UV_ONCE_INIT;
static uv_mutex_t starting;
static bool starting_ready;

static farcall_code
fail(fc_error *error, const char *what, int rc)
{
	bool memory = rc == UV_ENOMEM || rc == UV_EAGAIN;

	return fc_fail(error, FARCALL_RESOURCE_EXHAUSTED,
	    memory ? FARCALL_CAUSE_OUT_OF_MEMORY : FARCALL_CAUSE_SYSTEM, "%s: %s", what,
	    memory ? fc_cause_text(FARCALL_CAUSE_OUT_OF_MEMORY) : uv_err_name(rc));
}

farcall_code
fc_mutex_init(fc_mutex *mutex, fc_error *error)
{
	int rc = uv_mutex_init(mutex);

	return rc == 0 ? FARCALL_OK : fail(error, "mutex", rc);
}

farcall_code
fc_cond_init(fc_cond *cond, fc_error *error)
{
	int rc = uv_cond_init(cond);

	return rc == 0 ? FARCALL_OK : fail(error, "condition variable", rc);
}

static void
make_starting(void)
{
	starting_ready = uv_mutex_init(&starting) == 0;
}

static void
enter(void *data)
{
	fc_thread *thread = (fc_thread *)data;

	uv_mutex_lock(&starting);
	uv_mutex_unlock(&starting);
	thread->run(thread->data);
}

static int
create(uv_thread_t *id, uv_thread_cb run, void *data)
{
	const uv_thread_options_t options = {UV_THREAD_HAS_STACK_SIZE, STACK_BYTES};

	return uv_thread_create_ex(id, &options, run, data);
}

#ifdef _WIN32
#define create_quiet create
#else
static int
create_quiet(uv_thread_t *id, uv_thread_cb run, void *data)
{
	static const int faults[] = {
	    SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS, SIGPROF};
	sigset_t most, before;
	int rc;

	sigfillset(&most);
	for (size_t i = 0; i < FC_COUNT(faults); i++)
		sigdelset(&most, faults[i]);
	pthread_sigmask(SIG_SETMASK, &most, &before);
	rc = create(id, run, data);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc;
}
#endif

farcall_code
fc_thread_start(fc_thread *thread, void (*run)(void *data), void *data, fc_error *error)
{
	int rc;

	uv_once(&starting_once, make_starting);
	if (!starting_ready)
		return fail(error, "thread", UV_ENOMEM);
	thread->run = run;
	thread->data = data;
	uv_mutex_lock(&starting);
	rc = create_quiet(&thread->id, enter, thread);
	uv_mutex_unlock(&starting);
	return rc == 0 ? FARCALL_OK : fail(error, "thread", rc);
}

bool
fc_thread_start_alone(void (*run)(void *data), void *data)
{
	uv_thread_t id;

	if (create_quiet(&id, run, data) != 0)
		return false;
	forget_thread(id);
	return true;
}

/* ---- threads that end while the process does ---- */

/* A child made by fork() has none of its parent's threads: so the process's id stands above the
 * number. */
static _Atomic uint64_t n_leaving;
static uv_once_t leaving_once = UV_ONCE_INIT;

static uint64_t
own_leaving(uint64_t value)
{
	uint64_t pid = (uint64_t)(uint32_t)uv_os_getpid() << 32;

	return value >> 32 << 32 == pid ? value : pid;
}

static void
wait_for_leaving(void)
{
	for (int ms = 0; ms < LEAVE_MS; ms++) {
		if ((uint32_t)own_leaving(atomic_load(&n_leaving)) == 0)
			break;
		uv_sleep(1);
	}
	if (atomic_load(&n_leaving) != 0)
		uv_sleep(1); /* the system's part of a thread's end */
}

static void
watch_exit(void)
{
	atexit(wait_for_leaving);
}

void
fc_thread_leaving(void)
{
	uint64_t before = atomic_load(&n_leaving);

	uv_once(&leaving_once, watch_exit);
	while (!atomic_compare_exchange_weak(&n_leaving, &before, own_leaving(before) + 1))
		;
}

void
fc_thread_left(void)
{
	atomic_fetch_sub(&n_leaving, 1);
}

void
fc_thread_join(fc_thread *thread)
{
	uv_thread_join(&thread->id);
}

bool
fc_thread_is_self(const fc_thread *thread)
{
	uv_thread_t self = uv_thread_self();

	return uv_thread_equal(&thread->id, &self) != 0;
}
