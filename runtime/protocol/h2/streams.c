/*
 * streams.c: the table of streams and their ends. Objects come from slabs of the pool, are used
 * again within the connection, and go back when there has been no stream for a second. What is over
 * stays until the end of the turn, so that nobody holds a dangling pointer while events are raised.
 */
#include "runtime/protocol/grpc/grpc.h"

#define SLAB 4096u
#define TRIM_NS FC_NS_PER_S /* memory is kept so long after the last stream */
#define SLAB_HEAD ((sizeof(fc_block) + 15) & ~(size_t)15)
#define STREAM_SIZE ((sizeof(fc_h2_stream) + 15) & ~(size_t)15)

static fc_h2_stream *
carve(fc_h2 *c)
{
	fc_h2_stream *s;

	if (c->slabs == NULL || c->slab_used + STREAM_SIZE > c->slabs->size) {
		fc_block *slab = fc_pool_get(c->config.pool, SLAB);

		if (slab == NULL)
			return NULL;
		slab->next = c->slabs;
		c->slabs = slab;
		c->slab_used = SLAB_HEAD;
	}
	s = (fc_h2_stream *)(void *)((uint8_t *)c->slabs + c->slab_used);
	c->slab_used += STREAM_SIZE;
	memset(s, 0, sizeof *s);
	fc_buf_init(&s->message, c->config.pool, SIZE_MAX / 2);
	fc_chain_init(&s->pending, c->config.pool);
	fc_list_init(&s->wait);
	return s;
}

fc_h2_stream *
fc_h2_stream_new(fc_h2 *c, uint32_t id)
{
	fc_h2_stream *s = c->spare;

	if (s != NULL)
		c->spare = s->next;
	else if ((s = carve(c)) == NULL)
		return NULL;
	if (FARCALL_UNLIKELY(!fc_map_put(&c->streams, id, s))) {
		s->next = c->spare;
		c->spare = s;
		return NULL;
	}
	memset(s, 0, offsetof(fc_h2_stream, message));
	s->seen.max_message = c->config.max_message;
	s->id = id;
	s->flags = FC_STREAM_COUNTED;
	s->recv_window = c->recv_initial;
	s->send_window = c->send_initial;
	s->content_left = FC_NEVER;
	s->heard_at = c->now;
	s->opened_at = c->out.size + c->written;
	c->open++;
	c->running++;
	c->last_stream = s;
	return s;
}

fc_h2_stream *
fc_h2_stream_find(fc_h2 *c, uint32_t id)
{
	fc_h2_stream *s = c->last_stream;

	if (s == NULL || s->id != id) {
		s = (fc_h2_stream *)fc_map_get(&c->streams, id);
		if (s != NULL)
			c->last_stream = s;
	}
	return s;
}

bool
fc_h2_stream_idle(const fc_h2 *c, uint32_t id)
{
	if ((id & 1) == 0)
		return true;
	return c->config.client ? id >= c->next_out : id > c->last_in;
}

void
fc_h2_note_closed(fc_h2 *c, uint32_t id, bool ended)
{
	c->recent[c->n_recent++ % FC_H2_RECENT] = id | (ended ? FC_H2_RECENT_ENDED : 0);
}

static bool
recently(const fc_h2 *c, uint32_t entry)
{
	for (uint32_t i = 0; i < FC_H2_RECENT; i++)
		if (c->recent[i] == entry)
			return true;
	return false;
}

bool
fc_h2_recently_ended(const fc_h2 *c, uint32_t id)
{
	return recently(c, id | FC_H2_RECENT_ENDED);
}

bool
fc_h2_recently_reset(const fc_h2 *c, uint32_t id)
{
	return recently(c, id);
}

/* It is closed and nobody holds it: to be freed at the end of the turn. */
static void
let_go(fc_h2 *c, fc_h2_stream *s)
{
	if ((s->flags & FC_STREAM_COUNTED) != 0) {
		s->flags &= ~(uint32_t)FC_STREAM_COUNTED;
		c->running--;
	}
	if ((s->flags & FC_STREAM_GOING) != 0)
		return;
	s->flags |= FC_STREAM_GOING;
	s->next = c->going;
	c->going = s;
}

/* It has just become closed. `ended`: the peer has said its last word on it. */
static void
closed(fc_h2 *c, fc_h2_stream *s, bool ended)
{
	c->open--;
	fc_h2_note_closed(c, s->id, ended);
	if ((s->flags & FC_STREAM_RESET) == 0)
		fc_h2_forgive_reset(c);
	if ((s->flags & FC_STREAM_HELD) == 0) {
		let_go(c, s);
	} else if ((s->flags & FC_STREAM_RESET) == 0) {
		/* A call that was reset counts until its owner has finished with it. */
		s->flags &= ~(uint32_t)FC_STREAM_COUNTED;
		c->running--;
	}
	if (c->wants_capacity)
		c->tasks |= FC_TASK_CAPACITY;
	if (c->drain != FC_DRAIN_NO && c->open == 0)
		c->tasks |= FC_TASK_DRAINED;
}

void
fc_h2_local_ended(fc_h2 *c, fc_h2_stream *s)
{
	s->flags |= FC_STREAM_LOCAL_END;
	if ((s->flags & (FC_STREAM_REMOTE_END | FC_STREAM_RESET)) == FC_STREAM_REMOTE_END)
		closed(c, s, true);
}

bool
fc_h2_remote_end(fc_h2 *c, fc_h2_stream *s)
{
	if (FARCALL_UNLIKELY(s->content_left != 0 && s->content_left != FC_NEVER)) {
		fc_h2_stream_fail(c, s, FC_H2_PROTOCOL_ERROR, "less DATA than content-length said");
		return false;
	}
	s->flags |= FC_STREAM_REMOTE_END;
	if ((s->flags & (FC_STREAM_LOCAL_END | FC_STREAM_RESET)) == FC_STREAM_LOCAL_END)
		closed(c, s, true);
	return true;
}

void
fc_h2_drop_pending(fc_h2 *c, fc_h2_stream *s)
{
	c->backlog -= s->pending.size;
	fc_chain_fini(&s->pending);
	fc_list_remove(&s->wait);
	fc_pool_put(c->config.pool, s->late);
	s->late = NULL;
	s->flags &= ~(uint32_t)(FC_STREAM_READY | FC_STREAM_SENT_DUE);
}

void
fc_h2_drop_message(fc_h2 *c, fc_h2_stream *s)
{
	c->gathered -= fc_buf_size(&s->message);
	fc_buf_fini(&s->message);
}

static void
reset(fc_h2 *c, fc_h2_stream *s, bool ended)
{
	fc_h2_drop_pending(c, s);
	fc_h2_drop_message(c, s);
	s->flags |= FC_STREAM_RESET;
	closed(c, s, ended);
}

/* A client is lenient with a peer that goes on after its own end, once it has reset the stream:
 * gRPC core's server, past a deadline, sends its trailers, RST_STREAM, and other trailers. */
void
fc_h2_reset(fc_h2 *c, fc_h2_stream *s, fc_h2_code code)
{
	if (fc_h2_closed(s))
		return;
	fc_h2_put_rst(c, s->id, code, false);
	reset(c, s, !c->config.client && (s->flags & FC_STREAM_REMOTE_END) != 0);
}

void
fc_h2_reset_by_peer(fc_h2 *c, fc_h2_stream *s)
{
	if (!fc_h2_closed(s))
		reset(c, s, true);
}

void
fc_h2_abort_event(fc_h2 *c, fc_h2_stream *s, const fc_abort *abort)
{
	if (!fc_h2_listens(s))
		return;
	s->flags |= FC_STREAM_OVER;
	c->events->on_abort(c->owner, &s->seen, abort);
}

void
fc_h2_stream_fail(fc_h2 *c, fc_h2_stream *s, fc_h2_code h2, const char *text)
{
	fc_abort abort = {c->config.client ? FARCALL_INTERNAL : FARCALL_CANCELLED,
	    FARCALL_CAUSE_PROTOCOL, text, false, false};

	if (!c->config.client && !fc_h2_count_reset(c))
		return;
	fc_h2_reset(c, s, h2);
	fc_h2_abort_event(c, s, &abort);
}

void
fc_h2_stream_release(fc_h2 *c, fc_h2_stream *s)
{
	bool answering = (s->flags & (FC_STREAM_OVER | FC_STREAM_END_QUEUED)) ==
	    (FC_STREAM_OVER | FC_STREAM_END_QUEUED);

	if ((s->flags & FC_STREAM_HELD) == 0)
		return;
	if (FARCALL_UNLIKELY((s->flags & FC_STREAM_INFLATED) != 0)) {
		c->inflated -= s->inflated;
		s->inflated = 0;
	}
	s->flags = (s->flags & ~(uint32_t)FC_STREAM_HELD) | FC_STREAM_OVER;
	if (fc_h2_closed(s))
		let_go(c, s);
	else if (!answering || c->config.client)
		fc_h2_reset(c, s, FC_H2_CANCEL);
	else if ((s->flags & FC_STREAM_LOCAL_END) == 0)
		fc_h2_be_patient(c, s);
}

static void
free_stream(fc_h2 *c, fc_h2_stream *s)
{
	fc_map_remove(&c->streams, s->id);
	if (c->last_stream == s)
		c->last_stream = NULL;
	if (c->data_stream == s)
		c->data_stream = NULL;
	fc_list_remove(&s->wait);
	if (s->message.block != NULL)
		fc_h2_drop_message(c, s);
	s->next = c->spare;
	c->spare = s;
}

void
fc_h2_sweep(fc_h2 *c)
{
	while (c->going != NULL) {
		fc_h2_stream *s = c->going;

		c->going = s->next;
		free_stream(c, s);
	}
	if (c->streams.count == 0 && c->trim_due == FC_NEVER) {
		c->trim_due = c->now + TRIM_NS;
		c->trim_work = c->work;
	}
}

static void
free_slabs(fc_h2 *c)
{
	c->spare = NULL;
	while (c->slabs != NULL) {
		fc_block *slab = c->slabs;

		c->slabs = slab->next;
		fc_pool_put(c->config.pool, slab);
	}
}

void
fc_h2_trim(fc_h2 *c)
{
	c->trim_due = FC_NEVER;
	if (c->streams.count != 0)
		return; /* the next sweep that leaves none sets it again */
	if (c->work != c->trim_work) {
		c->trim_due = c->now + TRIM_NS;
		c->trim_work = c->work;
		return;
	}
	free_slabs(c);
	fc_map_fini(&c->streams);
}

void
fc_h2_forget_streams(fc_h2 *c)
{
	for (uint32_t i = 0; c->streams.slots != NULL && i <= c->streams.mask; i++) {
		fc_h2_stream *s = (fc_h2_stream *)c->streams.slots[i].value;

		if (s == NULL)
			continue;
		fc_h2_drop_pending(c, s);
		fc_h2_drop_message(c, s);
	}
	fc_map_fini(&c->streams);
	c->going = NULL;
	free_slabs(c);
}
