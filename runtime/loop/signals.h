/*
 * signals.h: SIGINT and SIGTERM (Ctrl-C and Ctrl-Break) as an event of a loop. While started only;
 * what the program had before comes back.
 */
#ifndef FC_LOOP_SIGNALS_H
#define FC_LOOP_SIGNALS_H

#include "runtime/loop/loop.h"

typedef struct fc_signals {
	uv_signal_t handles[2];
	unsigned open; /* handles not closed yet */
	bool started;
	void (*on_signal)(struct fc_signals *signals);
	void (*on_closed)(struct fc_signals *signals); /* after stop: the memory may go */
} fc_signals;

farcall_code fc_signals_start(fc_loop *loop, fc_signals *signals,
    void (*on_signal)(fc_signals *signals), void (*on_closed)(fc_signals *signals),
    fc_error *error);
void fc_signals_stop(fc_signals *signals);

#endif
