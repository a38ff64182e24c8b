/*
 * signals.c: see signals.h. libuv keeps the process's handler only while a handle is started.
 */
#include "runtime/loop/signals.h"

#include <signal.h>

static void
on_uv_signal(uv_signal_t *handle, int number)
{
	fc_signals *signals = (fc_signals *)handle->data;

	(void)number;
	signals->on_signal(signals);
}

static void
on_uv_closed(uv_handle_t *handle)
{
	fc_signals *signals = (fc_signals *)handle->data;

	if (--signals->open == 0)
		signals->on_closed(signals);
}

farcall_code
fc_signals_start(fc_loop *loop, fc_signals *signals, void (*on_signal)(fc_signals *signals),
    void (*on_closed)(fc_signals *signals), fc_error *error)
{
	static const int numbers[] = {SIGINT, SIGTERM};

	signals->open = 0;
	signals->started = true;
	signals->on_signal = on_signal;
	signals->on_closed = on_closed;
	for (unsigned i = 0; i < FC_COUNT(numbers); i++) {
		int rc = uv_signal_init(fc_loop_uv(loop), &signals->handles[i]);

		if (rc == 0) {
			signals->handles[i].data = signals;
			signals->open++;
			rc = uv_signal_start(&signals->handles[i], on_uv_signal, numbers[i]);
		}
		if (rc != 0)
			return fc_fail(error, FARCALL_INTERNAL, FARCALL_CAUSE_SYSTEM,
			    "watch signals: %s", uv_strerror(rc));
		uv_unref((uv_handle_t *)&signals->handles[i]);
	}
	return FARCALL_OK;
}

void
fc_signals_stop(fc_signals *signals)
{
	unsigned open = signals->open;

	if (!signals->started)
		return;
	signals->started = false;
	if (open == 0)
		signals->on_closed(signals);
	for (unsigned i = 0; i < open; i++)
		uv_close((uv_handle_t *)&signals->handles[i], on_uv_closed);
}
