/*
 * guest.c: a loop inside a uv_loop_t that the program runs.
 *
 * The turn is run from a check handle, after libuv has polled. So that the poll does not wait while
 * there is something to do, an idle handle is active as long as tasks wait, and while a timer that
 * has come due waits for the turn. Between turns the program may wait for libuv's descriptor by
 * means of its own: posts always wake.
 *
 * Of the loop's own handles only an armed timer and waiting tasks hold uv_run(); sockets do by
 * themselves.
 */
#include "runtime/loop/inside.h"

#include "runtime/base/alloc.h"

#include <farcall/uv.h>

static void
arm_next(fc_loop *loop)
{
	uint64_t due = fc_heap_next(&loop->timers), now;

	if (due == FC_NEVER) {
		uv_timer_stop(&loop->timer);
		return;
	}
	now = fc_loop_real_clock(loop);
	fc_loop_arm(loop, due > now ? due - now : 0);
}

void
fc_loop_guest_arm(fc_loop *loop)
{
	if (!fc_loop_inside(loop))
		arm_next(loop);
}

static void
on_check(uv_check_t *check)
{
	fc_loop *loop = (fc_loop *)check->data;

	fc_loop_enter(loop);
	uv_idle_stop(&loop->idle);
	atomic_store(&loop->woken, false);
	fc_loop_work(loop);
	if (fc_loop_has_work(loop))
		uv_idle_start(&loop->idle, fc_loop_idle);
	arm_next(loop);
	fc_loop_leave(loop);
}

void
fc_loop_keep(fc_loop *loop, bool on)
{
	loop->keeps += on ? 1 : (unsigned)-1;
	if (!loop->guest)
		return;
	if (loop->keeps != 0)
		uv_ref((uv_handle_t *)&loop->async);
	else
		uv_unref((uv_handle_t *)&loop->async);
}

static void
on_closed(uv_handle_t *handle)
{
	fc_loop *loop = (fc_loop *)handle->data;

	if (--loop->handles == 0)
		fc_loop_fini(loop);
}

void
fc_loop_guest_shut(fc_loop *loop)
{
	fc_loop_close_handles(loop, on_closed);
}

fc_loop *
fc_loop_from_uv(uv_loop_t *uv, fc_error *error)
{
	fc_loop *loop = (fc_loop *)fc_calloc(1, sizeof *loop);

	if (loop == NULL) {
		fc_fail_memory(error, "loop");
		return NULL;
	}
	loop->guest = true;
	if (fc_loop_init(loop, uv, error) != FARCALL_OK) {
		fc_loop_fini(loop);
		return NULL;
	}
	atomic_init(&loop->polled, true);
	atomic_init(&loop->sleeping, true);
	uv_unref((uv_handle_t *)&loop->async);
	uv_check_start(&loop->check, on_check);
	uv_unref((uv_handle_t *)&loop->check);
	return loop;
}
