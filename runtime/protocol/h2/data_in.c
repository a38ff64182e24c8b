/*
 * data_in.c: DATA frames, passed on as their bytes come. Windows are charged with the whole frame,
 * padding included, when its head has come; so a frame means the same however it is cut. RFC 9113
 * section 6.1, 8.1.1 (content-length).
 */
#include "runtime/protocol/grpc/grpc.h"

/* The stream whose bytes these are; NULL: they are dropped, or the connection has failed. */
static fc_h2_stream *
target(fc_h2 *c, uint32_t id)
{
	fc_h2_stream *s;

	if (FARCALL_UNLIKELY(fc_h2_stream_idle(c, id))) {
		fc_h2_fail(c, FC_H2_PROTOCOL_ERROR, FARCALL_CAUSE_PROTOCOL,
		    "DATA on stream %u, which is not open", (unsigned)id);
		return NULL;
	}
	s = fc_h2_stream_find(c, id);
	if (FARCALL_LIKELY(s != NULL && (s->flags & (FC_STREAM_REMOTE_END | FC_STREAM_RESET)) == 0))
		return s;
	if ((s != NULL && (s->flags & FC_STREAM_REMOTE_END) != 0) || fc_h2_recently_ended(c, id))
		fc_h2_fail(c, FC_H2_STREAM_CLOSED, FARCALL_CAUSE_PROTOCOL,
		    "DATA on stream %u, which the peer has ended", (unsigned)id);
	else if (c->frame.length == 0)
		fc_h2_idle_frame(c, FC_IDLE_CLOSED); /* others cost less than on an open stream */
	return NULL;
}

/* How many bytes the frame carries is known, less padding. */
static void
body_known(fc_h2 *c)
{
	fc_h2_stream *s = c->data_stream;

	if (c->data_left != 0 || (c->frame.flags & FC_H2_END_STREAM) != 0)
		c->work += s != NULL;
	else if (!fc_h2_idle_frame(c, FC_IDLE_DATA))
		return;
	if (s == NULL || s->content_left == FC_NEVER)
		return;
	if (c->data_left <= s->content_left) {
		s->content_left -= c->data_left;
		return;
	}
	c->data_stream = NULL;
	fc_h2_stream_fail(c, s, FC_H2_PROTOCOL_ERROR, "more DATA than content-length said");
}

static void
end_of_frame(fc_h2 *c, fc_h2_stream *s)
{
	if ((c->frame.flags & FC_H2_END_STREAM) == 0)
		fc_h2_credit(c, s);
	else if (!fc_h2_remote_end(c, s))
		return;
	else if (c->config.client)
		fc_grpc_response_end(c, s);
	else
		fc_grpc_request_end(c, s);
}

static void
finish(fc_h2 *c)
{
	fc_h2_stream *s = c->data_stream;

	c->in_data = false;
	c->data_stream = NULL;
	if (s != NULL && (s->flags & FC_STREAM_RESET) == 0)
		end_of_frame(c, s);
	if (c->tasks != 0)
		fc_h2_settle(c);
}

void
fc_h2_data_begin(fc_h2 *c)
{
	const fc_h2_frame *frame = &c->frame;
	bool padded = (frame->flags & FC_H2_PADDED) != 0;
	fc_h2_stream *s;

	if (FARCALL_UNLIKELY(padded && frame->length == 0)) {
		fc_h2_fail(c, FC_H2_FRAME_SIZE_ERROR, FARCALL_CAUSE_PROTOCOL,
		    "padded DATA frame of 0 bytes on stream %u", (unsigned)frame->id);
		return;
	}
	s = target(c, frame->id);
	if (FARCALL_UNLIKELY(c->dead || !fc_h2_receive(c, s, frame->length)))
		return;
	if (s != NULL && c->config.client && (s->flags & FC_STREAM_HEAD_IN) == 0)
		fc_h2_stream_fail(
		    c, s, FC_H2_PROTOCOL_ERROR, "the server sent DATA before its head");
	if (s != NULL && (s->flags & FC_STREAM_RESET) != 0)
		s = NULL; /* this, or it was past its window */
	c->in_data = true;
	c->in_pad_size = padded;
	c->data_stream = s;
	c->pad_left = 0;
	c->data_left = frame->length - (padded ? 1 : 0);
	if (FARCALL_UNLIKELY(padded))
		return;
	body_known(c);
	if (c->data_left == 0 && !c->dead)
		finish(c);
}

/* A frame that lies whole in the input, on a stream that stands, within the windows: the same as
 * begin and more, without what these need to stop half-way. */
bool
fc_h2_data_whole(fc_h2 *c, const uint8_t *payload)
{
	uint32_t size = c->frame.length;
	fc_h2_stream *s = fc_h2_stream_find(c, c->frame.id);

	if (s == NULL || (s->flags & (FC_STREAM_REMOTE_END | FC_STREAM_RESET)) != 0 ||
	    (c->config.client && (s->flags & FC_STREAM_HEAD_IN) == 0) ||
	    (c->frame.flags & FC_H2_PADDED) != 0 || size == 0 || (int64_t)size > c->recv_window ||
	    (int64_t)size > s->recv_window || s->content_left != FC_NEVER)
		return false;
	fc_h2_charge(c, size);
	s->recv_window -= (int32_t)size;
	s->withheld += size;
	c->work++;
	fc_grpc_data(c, s, payload, size);
	if ((s->flags & FC_STREAM_RESET) == 0)
		end_of_frame(c, s);
	if (c->tasks != 0)
		fc_h2_settle(c);
	return true;
}

static bool
take_pad_size(fc_h2 *c, uint8_t pad)
{
	c->in_pad_size = false;
	if (pad > c->data_left) {
		fc_h2_fail(c, FC_H2_PROTOCOL_ERROR, FARCALL_CAUSE_PROTOCOL,
		    "DATA on stream %u: more padding than frame", (unsigned)c->frame.id);
		return false;
	}
	c->pad_left = pad;
	c->data_left -= pad;
	body_known(c);
	return !c->dead;
}

const uint8_t *
fc_h2_data_more(fc_h2 *c, const uint8_t *p, const uint8_t *end)
{
	size_t n;

	if (FARCALL_UNLIKELY(c->in_pad_size) && !take_pad_size(c, *p++))
		return end;
	n = FC_MIN((size_t)c->data_left, (size_t)(end - p));
	if (n != 0) {
		c->data_left -= (uint32_t)n;
		if (c->data_stream != NULL && (c->data_stream->flags & FC_STREAM_RESET) == 0)
			fc_grpc_data(c, c->data_stream, p, n);
		if (c->dead)
			return end;
		p += n;
	}
	n = FC_MIN((size_t)c->pad_left, (size_t)(end - p));
	c->pad_left -= (uint32_t)n;
	p += n;
	if (c->data_left == 0 && c->pad_left == 0)
		finish(c);
	return p;
}
