/*
 * pour.c: messages that do not fit one frame, the windows, or the output now. What fits is poured
 * straight into DATA frames; the rest is kept with the stream, which then waits (windows.c). Out of
 * memory nothing of the message has been sent.
 */
#include "runtime/protocol/grpc/grpc.h"

/* Writes frames' heads between the bytes that are poured into it. */
typedef struct frame_sink {
	fc_sink sink;
	fc_h2 *c;
	fc_h2_stream *s;
	size_t to_frame;   /* bytes still to go into frames; the rest is kept */
	size_t frame_left; /* of the frame begun */
	bool end, failed;
} frame_sink;

static bool
begin_frame(frame_sink *to)
{
	size_t size = FC_MIN(to->to_frame, FC_H2_FRAME_SIZE);
	uint8_t *at = fc_h2_out_reserve(to->c, FC_H2_HEAD);

	if (at == NULL)
		return false;
	fc_h2_put_head(at, (uint32_t)size, FC_H2_DATA,
	    to->end && size == to->to_frame ? FC_H2_END_STREAM : 0, to->s->id);
	fc_h2_out_add(to->c, FC_H2_HEAD);
	to->frame_left = size;
	to->c->work++;
	return true;
}

static void
add_to_frames(fc_sink *sink, const uint8_t *bytes, size_t size)
{
	frame_sink *to = (frame_sink *)(void *)sink;

	while (size != 0 && !to->failed && to->to_frame != 0) {
		size_t n;

		if (to->frame_left == 0 && !begin_frame(to)) {
			to->failed = true;
			return;
		}
		n = FC_MIN(size, to->frame_left);
		to->failed = !fc_chain_append(&to->c->out, bytes, n);
		to->frame_left -= n;
		to->to_frame -= n;
		bytes += n;
		size -= n;
	}
	if (size != 0 && !to->failed)
		to->failed = !fc_chain_append(&to->s->pending, bytes, size);
}

/* How many of `size` bytes may be framed now. */
static size_t
room_now(const fc_h2 *c, const fc_h2_stream *s, size_t size)
{
	int32_t window = FC_MIN(c->send_window, s->send_window);

	if (window <= 0 || !fc_grpc_may_frame(c, s))
		return 0;
	size = FC_MIN(size, (size_t)window);
	return FC_MIN(size, FC_H2_OUTPUT_MOST - c->out.size);
}

fc_send
fc_grpc_pour(fc_h2 *c, fc_h2_stream *s, const fc_payload *payload, bool last, uint8_t flag)
{
	size_t size = FC_GRPC_PREFIX + payload->size, now = room_now(c, s, size);
	fc_chain_mark out = fc_chain_tell(&c->out), pending = fc_chain_tell(&s->pending);
	frame_sink to = {{add_to_frames}, c, s, now, 0, last && now == size, false};
	uint8_t prefix[FC_GRPC_PREFIX];

	fc_grpc_put_prefix(prefix, payload->size, flag);
	to.sink.add(&to.sink, prefix, sizeof prefix);
	payload->pour(payload, &to.sink);
	if (to.failed) {
		fc_chain_cut(&c->out, out);
		fc_chain_cut(&s->pending, pending);
		return FC_SEND_NO_MEMORY;
	}
	c->backlog += size - now;
	s->send_window -= (int32_t)now;
	c->send_window -= (int32_t)now;
	if (now == size) {
		if (last)
			fc_h2_local_ended(c, s);
		return FC_SEND_OK;
	}
	s->flags |= FC_STREAM_SENT_DUE | (last ? FC_STREAM_END_QUEUED : 0);
	if ((s->flags & FC_STREAM_READY) == 0)
		fc_list_remove(&s->wait); /* from `sent` */
	fc_h2_wait(c, s);
	return FC_SEND_WAITING;
}
