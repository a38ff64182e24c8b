/*
 * flow.c: a streaming call's messages, as the owner of the loop handles them: what arrives is
 * queued, what the program has queued goes to the engine as far as the peer takes it, and whoever
 * waits for either is told. Each pump passes on one batch, so that no stream keeps a loop to
 * itself; the queues' buffers are exchanged, not copied, when a batch is taken.
 */
#include "runtime/base/alloc.h"
#include "runtime/call/flow_inside.h"

#define KEPT_ROOM ((size_t)64 << 10) /* an empty buffer keeps so much */

/* ---- buffers ---- */

static void
exchange(fc_buf *a, fc_buf *b)
{
	fc_buf other = *a;

	*a = *b;
	*b = other;
}

bool
fc_flow_move(fc_buf *to, fc_buf *from)
{
	size_t size = fc_buf_size(from);

	if (size == 0)
		return true;
	if (fc_buf_size(to) == 0) {
		exchange(to, from);
		return true;
	}
	if (!fc_buf_append(to, from->data + from->from, size))
		return false;
	fc_buf_take(from, size);
	return true;
}

void
fc_flow_shrink(fc_buf *buf)
{
	if (fc_buf_size(buf) == 0 && buf->room > KEPT_ROOM)
		fc_buf_fini(buf);
}

/* ---- new, free ---- */

static bool
init_locks(fc_flow *flow, fc_error *error)
{
	if (fc_mutex_init(&flow->lock, error) != FARCALL_OK)
		return false;
	if (fc_cond_init(&flow->readable, error) != FARCALL_OK)
		goto no_readable;
	if (fc_cond_init(&flow->writable, error) == FARCALL_OK)
		return true;
	fc_cond_fini(&flow->readable);
no_readable:
	fc_mutex_fini(&flow->lock);
	return false;
}

fc_flow *
fc_flow_new(
    farcall_call *call, const fc_flow_ops *ops, fc_pool *pool, size_t credit, fc_error *error)
{
	fc_flow *flow = (fc_flow *)fc_calloc(1, sizeof *flow);

	if (flow == NULL) {
		fc_fail(error, FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_OUT_OF_MEMORY,
		    "no memory for a stream");
		return NULL;
	}
	if (!init_locks(flow, error)) {
		fc_free(flow);
		return NULL;
	}
	flow->call = call;
	flow->ops = ops;
	atomic_init(&flow->has_receiver, false);
	atomic_init(&flow->has_sender, false);
	atomic_init(&flow->dropped, false);
	flow->credit = credit;
	flow->replay = FC_FLOW_REPLAY;
	flow->most_sent = INT32_MAX;
	fc_arena_init(&flow->wire, pool, FC_CALL_KEPT, NULL, 0);
	fc_buf_init(&flow->reading, pool, SIZE_MAX / 2);
	fc_buf_init(&flow->draft, pool, SIZE_MAX / 2);
	fc_buf_init(&flow->sending, pool, SIZE_MAX / 2);
	fc_buf_init(&flow->queue, pool, SIZE_MAX / 2);
	fc_buf_init(&flow->unsent, pool, SIZE_MAX / 2);
	return flow;
}

void
fc_flow_free(fc_flow *flow)
{
	if (flow == NULL)
		return;
	fc_arena_reset(&flow->wire);
	fc_buf_fini(&flow->reading);
	fc_buf_fini(&flow->draft);
	fc_buf_fini(&flow->sending);
	fc_buf_fini(&flow->queue);
	fc_buf_fini(&flow->unsent);
	fc_cond_fini(&flow->writable);
	fc_cond_fini(&flow->readable);
	fc_mutex_fini(&flow->lock);
	fc_free(flow);
}

/* ---- what the program waits for ---- */

bool
fc_flow_is_due(const fc_flow *flow)
{
	if (flow->send.state == FC_STEP_READY)
		return true;
	if (flow->recv.state != FC_STEP_WAITS)
		return false;
	if (flow->over || flow->recv.wish == FC_WISH_END)
		return flow->over;
	if (flow->recv.wish == FC_WISH_HEAD)
		return flow->headed;
	return flow->in_end || fc_flow_has_message(flow);
}

/* Locked. Whether the owner has to call callbacks; then it must. */
static bool
begin_calling(fc_flow *flow)
{
	bool due = !flow->calling && fc_flow_is_due(flow);

	flow->calling = flow->calling || due;
	return due;
}

farcall_code
fc_flow_enqueue(fc_flow *flow)
{
	size_t size = fc_buf_size(&flow->draft);

	flow->drafted = false;
	if (flow->over)
		return flow->code != FARCALL_OK ? flow->code : FARCALL_END;
	if (!fc_flow_move(&flow->unsent, &flow->draft)) {
		flow->starved = true;
		return FARCALL_RESOURCE_EXHAUSTED;
	}
	flow->n_unsent += size;
	return FARCALL_OK;
}

/* Locked: there may be room for a message. */
static void
let_write(fc_flow *flow)
{
	bool waits = flow->send.state == FC_STEP_WAITS || flow->send.state == FC_STEP_BLOCKS;

	if (!waits || (!flow->over && !fc_flow_has_room(flow)))
		return; /* a draft that does not wait is its sender's */
	if (flow->send.state == FC_STEP_BLOCKS) {
		flow->send.state = FC_STEP_NONE;
		fc_cond_signal(&flow->writable);
	} else {
		flow->send.code = fc_flow_enqueue(flow);
		flow->send.state = FC_STEP_READY;
	}
}

/* ---- arrivals ---- */

static bool
append(fc_buf *queue, uint32_t mark, const uint8_t *bytes, size_t size)
{
	uint8_t *at = fc_buf_reserve(queue, FC_FLOW_HEAD + size);
	uint32_t head = (uint32_t)size | mark;

	if (at == NULL)
		return false;
	memcpy(at, &head, sizeof head);
	if (size != 0)
		memcpy(at + FC_FLOW_HEAD, bytes, size);
	fc_buf_add(queue, FC_FLOW_HEAD + size);
	return true;
}

/* `stream`: if it is compressed. */
static bool
arrive(fc_flow *flow, const fc_stream *stream, const uint8_t *bytes, size_t size)
{
	uint32_t mark = stream != NULL ? FC_FLOW_MARK : 0;
	bool kept = true, due, discards;

	flow->arrived++;
	fc_lock(&flow->lock);
	if (stream != NULL && flow->coding == 0) { /* then it stands: the receiver reads it */
		flow->coding = stream->peer_coding;
		flow->max_message = stream->max_message;
	}
	discards = flow->discards || flow->over;
	if (!discards)
		kept = append(&flow->queue, mark, bytes, size);
	if (flow->recv.state == FC_STEP_BLOCKS) {
		flow->recv.state = FC_STEP_NONE; /* once is enough */
		fc_cond_signal(&flow->readable);
	}
	due = begin_calling(flow);
	fc_unlock(&flow->lock);
	if (discards)
		flow->ops->taken(flow->call, size);
	if (due)
		flow->ops->call_back(flow->call);
	return kept;
}

bool
fc_flow_arrive(fc_flow *flow, const uint8_t *bytes, size_t size)
{
	return arrive(flow, NULL, bytes, size);
}

bool
fc_flow_arrive_from(fc_flow *flow, const fc_stream *stream, const uint8_t *bytes, size_t size)
{
	return arrive(flow, stream->compressed && stream->raw ? stream : NULL, bytes, size);
}

void
fc_flow_head(fc_flow *flow)
{
	bool due;

	fc_flow_commit(flow);
	fc_lock(&flow->lock);
	flow->headed = true;
	fc_cond_signal(&flow->readable);
	due = begin_calling(flow);
	fc_unlock(&flow->lock);
	if (due)
		flow->ops->call_back(flow->call);
}

void
fc_flow_end(fc_flow *flow)
{
	bool due;

	fc_lock(&flow->lock);
	flow->in_end = true;
	fc_cond_signal(&flow->readable);
	due = begin_calling(flow);
	fc_unlock(&flow->lock);
	if (due)
		flow->ops->call_back(flow->call);
}

void
fc_flow_shut(fc_flow *flow, farcall_code code, bool drop)
{
	bool due;

	flow->ready = false;
	flow->offered = 0;
	fc_buf_fini(&flow->sending);
	fc_lock(&flow->lock);
	if (!flow->over) {
		flow->over = true;
		flow->code = code;
		atomic_store_explicit(&flow->dropped, drop, memory_order_release);
		if (drop)
			fc_buf_fini(&flow->queue);
		fc_buf_fini(&flow->unsent);
		flow->n_unsent = 0;
		let_write(flow);
		fc_cond_signal(&flow->readable);
	}
	due = begin_calling(flow);
	fc_unlock(&flow->lock);
	if (due)
		flow->ops->call_back(flow->call);
}

/* ---- to the wire ---- */

bool
fc_flow_may_replay(const fc_flow *flow)
{
	return !flow->committed;
}

void
fc_flow_again(fc_flow *flow)
{
	fc_lock(&flow->lock);
	flow->n_unsent += flow->offered;
	fc_unlock(&flow->lock);
	flow->offered = 0;
	flow->ready = flow->blocked = flow->end_sent = false;
}

void
fc_flow_commit(fc_flow *flow)
{
	flow->committed = true;
	fc_buf_take(&flow->sending, flow->offered);
	flow->offered = 0;
}

/* The engine has it; it is kept while another attempt might need it. */
static void
pass(fc_flow *flow, size_t size)
{
	if (flow->committed) {
		fc_buf_take(&flow->sending, size);
		return;
	}
	flow->offered += size;
	if (flow->offered > flow->replay)
		fc_flow_commit(flow);
}

void
fc_flow_starve(fc_flow *flow)
{
	fc_error error;

	fc_error_clear(&error);
	fc_fail(&error, FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_OUT_OF_MEMORY,
	    "no memory to send a message");
	flow->ops->fail(flow->call, &error);
}

static void
fail_sending(fc_flow *flow)
{
	flow->ready = false;
	fc_flow_starve(flow);
}

/* Messages, until the peer takes no more for now. `end`: no other will follow these. Answers the
 * bytes given; *said: the last one was sent as such. */
static size_t
feed(fc_flow *flow, bool end, bool *said)
{
	size_t given = 0;

	while (flow->ready && !flow->blocked && flow->offered < fc_buf_size(&flow->sending)) {
		size_t left = fc_buf_size(&flow->sending) - flow->offered;
		size_t size = FC_FLOW_HEAD + fc_flow_first(&flow->sending, flow->offered);
		const uint8_t *at = flow->sending.data + flow->sending.from + flow->offered;
		const fc_text text = {(const char *)at + FC_FLOW_HEAD, size - FC_FLOW_HEAD};
		bool last = end && size == left;
		fc_payload payload;
		fc_send sent;

		fc_payload_of_bytes(&payload, &text);
		flow->call->plain_now = fc_flow_marked(&flow->sending, flow->offered);
		sent = flow->ops->send(flow->call, &payload, last);
		if (sent == FC_SEND_GONE) { /* its end is about to be told */
			flow->ready = false;
			return given;
		}
		if (sent != FC_SEND_OK && sent != FC_SEND_WAITING) {
			fail_sending(flow);
			return given;
		}
		flow->blocked = sent == FC_SEND_WAITING;
		*said = last;
		given += size;
		pass(flow, size);
	}
	return given;
}

/* Locked. The next batch for feed(); answers whether nothing is left behind. */
static bool
fetch(fc_flow *flow)
{
	if (flow->offered == fc_buf_size(&flow->sending) &&
	    !fc_flow_move(&flow->sending, &flow->unsent))
		flow->starved = true;
	return fc_buf_size(&flow->unsent) == 0;
}

/* Locked. A client that half-closes while a message waits for room has said that before the end; a
 * server that completes its call has not. */
static bool
ends(const fc_flow *flow)
{
	return flow->out_end && (!flow->drafted || flow->call->ops->server);
}

/* `given` bytes have left the queue. */
static void
report(fc_flow *flow, size_t given)
{
	bool due, more, starved;

	fc_lock(&flow->lock);
	flow->n_unsent -= FC_MIN(given, flow->n_unsent);
	let_write(flow);
	fc_flow_shrink(&flow->sending);
	due = begin_calling(flow);
	starved = flow->starved && !flow->over;
	more = flow->ready && !flow->blocked && !starved && fc_buf_size(&flow->unsent) != 0 &&
	    fc_flow_post(flow);
	fc_unlock(&flow->lock);
	if (starved)
		fail_sending(flow);
	if (more)
		flow->ops->wake(flow->call);
	if (due)
		flow->ops->call_back(flow->call);
}

/* `asked`: by wake(), which may then be called again. */
static void
pump(fc_flow *flow, bool asked)
{
	size_t taken, given;
	unsigned n_taken;
	bool end, said = false;

	fc_lock(&flow->lock);
	if (asked)
		flow->posted = false;
	taken = flow->taken;
	n_taken = flow->n_taken;
	flow->taken = 0;
	flow->n_taken = 0;
	end = fetch(flow) && ends(flow);
	fc_unlock(&flow->lock);
	if (n_taken != 0)
		flow->ops->taken(flow->call, taken);
	given = feed(flow, end, &said);
	if (end && flow->ready && !flow->end_sent && flow->offered == fc_buf_size(&flow->sending)) {
		flow->end_sent = true;
		flow->ops->emptied(flow->call, said);
	}
	report(flow, given);
}

void
fc_flow_pump(fc_flow *flow)
{
	pump(flow, true);
}

void
fc_flow_open(fc_flow *flow)
{
	flow->ready = true;
	pump(flow, false);
}

void
fc_flow_sent(fc_flow *flow)
{
	flow->blocked = false;
	pump(flow, false);
}
