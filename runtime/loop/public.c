/*
 * public.c: the loop as programs see it (farcall/loop.h, farcall/uv.h).
 *
 * Making a loop never gives NULL. One of a few static loops, which do nothing, stands for a loop
 * that could not be made and answers why.
 */
#include "runtime/loop/inside.h"

#include "runtime/base/log.h"
#include "runtime/loop/fork.h"

#include <farcall/uv.h>

#include <limits.h>

static fc_loop failed_memory = {
    .failure = {FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_OUT_OF_MEMORY, "loop: out of memory"}};
static fc_loop failed_files = {.failure = {FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_TOO_MANY_FILES,
                                   "loop: too many open files"}};
static fc_loop failed_system = {
    .failure = {FARCALL_INTERNAL, FARCALL_CAUSE_SYSTEM, "loop: system error"}};
static fc_loop failed_null = {
    .failure = {FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_NONE, "loop: no uv_loop_t was given"}};

static fc_loop *
stand_in(const fc_error *error)
{
	if (error->cause == FARCALL_CAUSE_OUT_OF_MEMORY)
		return &failed_memory;
	if (error->cause == FARCALL_CAUSE_TOO_MANY_FILES)
		return &failed_files;
	return &failed_system;
}

static bool
works(const fc_loop *loop)
{
	return loop != NULL && loop->failure.code == FARCALL_OK;
}

farcall_loop *
farcall_loop_new(void)
{
	fc_error error;
	fc_loop *loop;

	fc_error_clear(&error);
	loop = fc_loop_open(NULL, &error);
	return loop != NULL ? loop : stand_in(&error);
}

farcall_loop *
farcall_loop_from_uv(uv_loop_t *uv)
{
	fc_error error;
	fc_loop *loop;

	if (uv == NULL)
		return &failed_null;
	fc_error_clear(&error);
	loop = fc_loop_from_uv(uv, &error);
	return loop != NULL ? loop : stand_in(&error);
}

/* Who asks for the descriptor will wait for it between turns: posts must write to it then. */
intptr_t
farcall_loop_fd(const farcall_loop *loop)
{
	fc_loop *shared = (fc_loop *)(uintptr_t)loop;

	if (!works(loop) || loop->guest)
		return -1;
#ifdef _WIN32
	(void)shared;
	return -1;
#else
	if (!atomic_exchange(&shared->polled, true) && !fc_loop_inside(loop))
		atomic_store(&shared->sleeping, true);
	return uv_backend_fd(loop->uv);
#endif
}

/* What libuv and the loop itself wait for, whichever comes first. */
int
farcall_loop_timeout_ms(const farcall_loop *loop)
{
	uint64_t due, now, ms;
	int most;

	if (!works(loop) || loop->guest)
		return -1;
	if (fc_loop_has_work(loop))
		return 0;
	most = uv_backend_timeout(loop->uv);
	due = fc_heap_next(&loop->timers);
	if (due == FC_NEVER || most == 0)
		return most;
	now = fc_loop_real_clock(loop);
	if (due <= now)
		return 0;
	ms = (due - now - 1) / FC_NS_PER_MS + 1;
	if (ms > INT_MAX)
		ms = INT_MAX;
	return most < 0 || ms < (uint64_t)most ? (int)ms : most;
}

static farcall_code
misuse(const char *what)
{
	fc_log(FARCALL_LOG_ERROR, "farcall_loop_step: %s", what);
	return FARCALL_FAILED_PRECONDITION;
}

farcall_code
farcall_loop_step(farcall_loop *loop, int timeout_ms)
{
	if (loop == NULL)
		return misuse("no loop was given");
	if (!works(loop))
		return loop->failure.code;
	if (loop->guest)
		return misuse("the loop is made of a uv_loop_t: run that");
	if (fc_loop_is_inherited(loop))
		return misuse(FC_FORKED_TEXT);
	if (fc_loop_inside(loop))
		return misuse("called inside a step of the same loop");
	if (atomic_load_explicit(&loop->owner, memory_order_relaxed) != 0)
		return misuse("another thread steps the loop");
	fc_loop_turn(loop, timeout_ms < 0 ? FC_NEVER : (uint64_t)timeout_ms * FC_NS_PER_MS);
	return FARCALL_OK;
}

void
farcall_loop_free(farcall_loop *loop)
{
	if (!works(loop))
		return;
	if (fc_loop_is_inherited(loop))
		fc_loop_abandon(loop);
	else
		fc_loop_close(loop);
}
