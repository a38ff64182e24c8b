/*
 * mem.h: pipes inside the process. A listener is a name in a registry; a pipe is a pair of bounded
 * rings, whose two ends may be on loops of different threads.
 */
#ifndef FC_TRANSPORT_MEM_H
#define FC_TRANSPORT_MEM_H

#include "runtime/transport/transport.h"

#define FC_MEM_NAME_MOST 100 /* bytes */
#define FC_MEM_RING 65536u   /* bytes on their way in each direction */
#define FC_MEM_BACKLOG 1024u /* connections not accepted yet */

farcall_code fc_mem_place(fc_place *place, const char *name, fc_error *error);

fc_pipe *fc_mem_connect(fc_loop *loop, const fc_place *place, const fc_pipe_events *events,
    void *owner, fc_error *error);

/* ---- for the listener ---- */

typedef struct fc_mem_end fc_mem_end;
typedef struct fc_mem_listener fc_mem_listener;

fc_mem_listener *fc_mem_listener_open(const fc_place *place, fc_error *error);

/* `task` runs once on `loop` when connections wait; then take them one by one and watch again.
 * Unwatch answers whether it was in time: if not, the task is still to run. */
void fc_mem_listener_watch(fc_mem_listener *listener, fc_loop *loop, fc_task *task);
bool fc_mem_listener_unwatch(fc_mem_listener *listener);
fc_mem_end *fc_mem_listener_take(fc_mem_listener *listener);
void fc_mem_listener_close(fc_mem_listener *listener);

fc_pipe *fc_mem_adopt(
    fc_loop *loop, fc_mem_end *end, const fc_pipe_events *events, void *owner, fc_error *error);
void fc_mem_refuse(fc_mem_end *end);

#endif
