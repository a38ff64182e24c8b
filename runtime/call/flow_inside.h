/*
 * flow_inside.h: what flow.c (the owner's half) and flow_program.c (the program's) share.
 */
#ifndef FC_CALL_FLOW_INSIDE_H
#define FC_CALL_FLOW_INSIDE_H

#include "runtime/call/flow.h"

#include <string.h>

/* In the queues each message stands behind its size. */
#define FC_FLOW_HEAD sizeof(uint32_t)

/* In a message's head, beside its size: arrived, that it is compressed; to be sent, that it goes as
 * it is. */
#define FC_FLOW_MARK 0x80000000u

static inline size_t
fc_flow_first(const fc_buf *buf, size_t from)
{
	uint32_t size;

	memcpy(&size, buf->data + buf->from + from, sizeof size);
	return size & ~FC_FLOW_MARK;
}

static inline bool
fc_flow_marked(const fc_buf *buf, size_t from)
{
	uint32_t head;

	memcpy(&head, buf->data + buf->from + from, sizeof head);
	return (head & FC_FLOW_MARK) != 0;
}

/* All that `from` holds goes behind what `to` holds, without a copy if that is nothing. false: no
 * memory, and both stand as they were. */
bool fc_flow_move(fc_buf *to, fc_buf *from);

/* A buffer that has grown large and is empty gives its memory back. */
void fc_flow_shrink(fc_buf *buf);

/* No memory to send a message: the call fails. */
void fc_flow_starve(fc_flow *flow);

/* ---- locked ---- */

static inline bool
fc_flow_has_message(const fc_flow *flow)
{
	return fc_buf_size(&flow->reading) != 0 || fc_buf_size(&flow->queue) != 0;
}

/* Room for the message in `draft`. One that is larger than all the room goes alone. */
static inline bool
fc_flow_has_room(const fc_flow *flow)
{
	return flow->n_unsent == 0 || flow->n_unsent + fc_buf_size(&flow->draft) <= FC_FLOW_UNSENT;
}

/* The draft takes its place in the queue; OK, or what the sender is told instead. */
farcall_code fc_flow_enqueue(fc_flow *flow);

/* The owner is to be woken; answers whether it is the caller who does it, unlocked. */
static inline bool
fc_flow_post(fc_flow *flow)
{
	bool first = !flow->posted;

	flow->posted = true;
	return first;
}

/* Some callback is due. */
bool fc_flow_is_due(const fc_flow *flow);

#endif
