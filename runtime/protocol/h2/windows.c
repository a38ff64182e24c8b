/*
 * windows.c: flow control, both ways. RFC 9113 section 5.2 and 6.9.
 *
 * Receiving: the connection is credited as bytes come, so one slow stream never stops the others. A
 * stream is credited for messages that its owner has taken, and, while it has taken all, for the
 * message being gathered (which may be larger than the window). The peer is told when more than
 * half of a window is owed.
 *
 * Sending: streams that have more to say than their windows and the output's room allow wait on one
 * list and take turns, a frame each. They come back whenever room appears: WINDOW_UPDATE, SETTINGS,
 * output written.
 */
#include "runtime/protocol/grpc/grpc.h"

/* ---- receiving ---- */

static void
tell(fc_h2 *c, fc_h2_stream *s)
{
	if (s->owed <= c->config.stream_window / 2 || (s->flags & FC_STREAM_RESET) != 0)
		return;
	fc_h2_put_window(c, s->id, s->owed);
	s->recv_window += (int32_t)s->owed;
	s->owed = 0;
	s->heard_at = FC_NEVER; /* it was perhaps we who kept the peer waiting */
	if (s->prefix_size != 0 && !c->config.client)
		fc_h2_expect_more(c);
}

void
fc_h2_credit_connection(fc_h2 *c)
{
	fc_h2_put_window(c, 0, c->owed);
	c->recv_window += (int32_t)c->owed;
	c->owed = 0;
}

bool
fc_h2_receive(fc_h2 *c, fc_h2_stream *s, uint32_t size)
{
	if (FARCALL_UNLIKELY((int64_t)size > c->recv_window)) {
		fc_h2_fail(c, FC_H2_FLOW_CONTROL_ERROR, FARCALL_CAUSE_PROTOCOL,
		    "DATA of %u bytes on stream %u: the connection's window has room for %d",
		    (unsigned)size, (unsigned)c->frame.id, (int)c->recv_window);
		return false;
	}
	fc_h2_charge(c, size);
	if (s == NULL)
		return true;
	if (FARCALL_UNLIKELY((int64_t)size > s->recv_window)) {
		fc_h2_stream_fail(
		    c, s, FC_H2_FLOW_CONTROL_ERROR, "the peer sent more DATA than the window");
		return !c->dead;
	}
	s->recv_window -= (int32_t)size;
	s->withheld += size;
	return true;
}

void
fc_h2_credit(fc_h2 *c, fc_h2_stream *s)
{
	if ((s->flags & FC_STREAM_UNREAD) != 0)
		return;
	s->owed += s->withheld;
	s->withheld = 0;
	tell(c, s);
}

void
fc_h2_taken(fc_engine *c, fc_stream *stream, size_t size)
{
	fc_h2_stream *s = (fc_h2_stream *)(void *)stream;
	uint32_t credit;

	s->empties = 0;
	s->untaken -= FC_MIN(size, s->untaken);
	if (s->untaken == 0)
		s->flags &= ~(uint32_t)FC_STREAM_UNREAD;
	if ((s->flags & (FC_STREAM_REMOTE_END | FC_STREAM_RESET)) != 0 || c->dead)
		return;
	credit = s->untaken == 0 ? s->withheld : (uint32_t)FC_MIN(size, s->withheld);
	s->withheld -= credit;
	s->owed += credit;
	tell(c, s);
}

void
fc_h2_recv_initial(fc_h2 *c)
{
	int32_t change = (int32_t)c->config.stream_window - c->recv_initial;

	c->recv_initial += change;
	if (change == 0)
		return;
	for (uint32_t i = 0; c->streams.slots != NULL && i <= c->streams.mask; i++) {
		fc_h2_stream *s = (fc_h2_stream *)c->streams.slots[i].value;

		if (s != NULL)
			s->recv_window += change;
	}
}

/* ---- sending ---- */

void
fc_h2_wait(fc_h2 *c, fc_h2_stream *s)
{
	if (s->pending.size == 0 || s->send_window <= 0 || (s->flags & FC_STREAM_READY) != 0)
		return;
	s->flags |= FC_STREAM_READY;
	fc_list_append(&c->ready, &s->wait);
}

bool
fc_h2_send_initial(fc_h2 *c, uint32_t window)
{
	int64_t change = (int64_t)window - c->send_initial;

	c->send_initial = (int32_t)window;
	for (uint32_t i = 0; c->streams.slots != NULL && i <= c->streams.mask; i++) {
		fc_h2_stream *s = (fc_h2_stream *)c->streams.slots[i].value;

		if (s == NULL || fc_h2_closed(s))
			continue;
		if (s->send_window + change > FC_H2_WINDOW_MOST)
			return false;
		s->send_window = (int32_t)(s->send_window + change);
		fc_h2_wait(c, s);
	}
	return true;
}

/* All that the stream had to say has been framed. */
static void
emptied(fc_h2 *c, fc_h2_stream *s)
{
	fc_list_remove(&s->wait);
	s->flags &= ~(uint32_t)FC_STREAM_READY;
	if ((s->flags & FC_STREAM_SENT_DUE) != 0 && fc_h2_listens(s)) {
		fc_list_append(&c->sent, &s->wait);
		c->tasks |= FC_TASK_SENT;
	}
	if (s->late != NULL)
		fc_grpc_late_tail(c, s);
	else if ((s->flags & FC_STREAM_END_QUEUED) != 0)
		fc_h2_local_ended(c, s);
}

/* One frame of `size` bytes. */
static bool
frame_pending(fc_h2 *c, fc_h2_stream *s, size_t size)
{
	bool last =
	    size == s->pending.size && s->late == NULL && (s->flags & FC_STREAM_END_QUEUED) != 0;
	fc_chain_mark mark = fc_chain_tell(&c->out);
	uint8_t *head = fc_h2_out_reserve(c, FC_H2_HEAD);

	if (head != NULL) {
		fc_h2_put_head(
		    head, (uint32_t)size, FC_H2_DATA, last ? FC_H2_END_STREAM : 0, s->id);
		fc_h2_out_add(c, FC_H2_HEAD);
	}
	if (head == NULL || !fc_chain_move(&c->out, &s->pending, size)) {
		fc_chain_cut(&c->out, mark);
		fc_h2_doom_memory(c);
		return false;
	}
	c->backlog -= size;
	s->send_window -= (int32_t)size;
	c->send_window -= (int32_t)size;
	s->patient_until = 0;
	c->work++;
	return true;
}

void
fc_h2_pump(fc_h2 *c)
{
	while (!fc_list_empty(&c->ready) && c->send_window > 0 && c->out.size < FC_H2_OUTPUT_MOST &&
	    (c->tasks & FC_TASK_FAIL) == 0) {
		fc_h2_stream *s = FC_CONTAINER(c->ready.next, fc_h2_stream, wait);
		int32_t window = FC_MIN(s->send_window, c->send_window);
		size_t size = FC_MIN(s->pending.size, FC_H2_FRAME_SIZE);

		if (s->send_window > 0 && !frame_pending(c, s, FC_MIN(size, (size_t)window)))
			return;
		if (s->pending.size == 0) {
			emptied(c, s);
			continue;
		}
		fc_list_remove(&s->wait);
		if (s->send_window > 0)
			fc_list_append(&c->ready, &s->wait);
		else
			s->flags &= ~(uint32_t)FC_STREAM_READY;
	}
}

/* ---- answers that nobody takes, requests that stop ---- */

/* Its owner has answered and gone: so the engine watches that the peer goes on taking it. Time is
 * told in ticks only: the first one sets the limit, as does the first after each progress. */
void
fc_h2_be_patient(fc_h2 *c, fc_h2_stream *s)
{
	s->patient_until = 0;
	c->patience_due = 0;
}

void
fc_h2_expect_more(fc_h2 *c)
{
	if (c->patience_due == FC_NEVER)
		c->patience_due = c->now + FC_H2_PATIENCE_NS;
}

/* The peer is to speak: it has not ended its request, and nothing was answered. One that may pause
 * is to go on with a message that it has begun, if it has window for that. */
static bool
is_awaited(const fc_h2 *c, const fc_h2_stream *s)
{
	const uint32_t ended = FC_STREAM_REMOTE_END | FC_STREAM_END_QUEUED | FC_STREAM_LOCAL_END;

	if (c->config.client)
		return false;
	if (s->seen.may_pause)
		return (s->flags & ended) == 0 && s->prefix_size != 0 && s->recv_window > 0;
	return (s->flags & (ended | FC_STREAM_HEAD_OUT)) == 0;
}

/* When to look at it again; it is ended if it has been silent for too long. */
static uint64_t
await_request(fc_h2 *c, fc_h2_stream *s)
{
	uint64_t due;

	if (s->heard_at == FC_NEVER)
		s->heard_at = c->now;
	due = s->heard_at + FC_H2_PATIENCE_NS;
	if (due > c->now)
		return due;
	fc_grpc_fail(c, s, FARCALL_CANCELLED, FARCALL_CAUSE_TIMED_OUT,
	    "the request stopped coming: no byte of it in %u s", FC_H2_PATIENCE_S);
	return FC_NEVER;
}

/* The same for an answer. */
static uint64_t
await_taker(fc_h2 *c, fc_h2_stream *s)
{
	if (s->patient_until == 0)
		s->patient_until = c->now + FC_H2_PATIENCE_NS;
	if (s->patient_until > c->now)
		return s->patient_until;
	fc_h2_reset(c, s, FC_H2_CANCEL);
	return FC_NEVER;
}

void
fc_h2_impatience(fc_h2 *c)
{
	uint64_t due = FC_NEVER;

	c->patience_due = FC_NEVER;
	for (uint32_t i = 0; c->streams.slots != NULL && i <= c->streams.mask; i++) {
		fc_h2_stream *s = (fc_h2_stream *)c->streams.slots[i].value;

		if (s == NULL || fc_h2_closed(s))
			continue;
		if (is_awaited(c, s))
			due = FC_MIN(due, await_request(c, s));
		else if ((s->flags & FC_STREAM_HELD) == 0 && s->pending.size != 0)
			due = FC_MIN(due, await_taker(c, s));
	}
	c->patience_due = FC_MIN(c->patience_due, due); /* an event may have set it */
}
