/*
 * headers_in.c: HEADERS and CONTINUATION. Every block is decoded, wanted or not, since the HPACK
 * table must advance; then it goes to the stream, or to a new one, or is dropped. RFC 9113 sections
 * 5.1 (states), 5.1.1 (numbers), 6.2, 6.10.
 */
#include "runtime/protocol/grpc/grpc.h"

static void
protocol_error(fc_h2 *c, const char *what, uint32_t id)
{
	fc_h2_fail(c, FC_H2_PROTOCOL_ERROR, FARCALL_CAUSE_PROTOCOL, "HEADERS on stream %u: %s",
	    (unsigned)id, what);
}

/* On a stream that is closed, or never was. */
static void
stray(fc_h2 *c, uint32_t id)
{
	if (fc_h2_recently_ended(c, id))
		fc_h2_fail(c, FC_H2_STREAM_CLOSED, FARCALL_CAUSE_PROTOCOL,
		    "HEADERS on stream %u, which has ended", (unsigned)id);
	else if (c->config.client || fc_h2_recently_reset(c, id) ||
	    (c->drain >= FC_DRAIN_TOLD && id > c->goaway))
		fc_h2_idle_frame(c, FC_IDLE_CLOSED);
	else
		protocol_error(c, "a higher number has been used before", id);
}

static void
new_request(fc_h2 *c, uint32_t id, const fc_field_set *set, bool too_large, bool selfish)
{
	c->last_in = id;
	c->work++;
	if (FARCALL_UNLIKELY(c->drain >= FC_DRAIN_TOLD))
		return; /* GOAWAY tells the peer that it was not seen */
	if (FARCALL_UNLIKELY(selfish || c->running >= c->config.max_streams)) {
		fc_h2_note_closed(c, id, false);
		if (fc_h2_count_reset(c))
			fc_h2_put_rst(
			    c, id, selfish ? FC_H2_PROTOCOL_ERROR : FC_H2_REFUSED_STREAM, true);
		return;
	}
	fc_grpc_request(c, id, set, too_large, (c->block_flags & FC_H2_END_STREAM) != 0);
}

/* More headers on a stream that stands. */
static void
more_headers(fc_h2 *c, fc_h2_stream *s, const fc_field_set *set, bool too_large, bool selfish)
{
	bool end = (c->block_flags & FC_H2_END_STREAM) != 0;

	if ((s->flags & FC_STREAM_REMOTE_END) != 0) {
		fc_h2_fail(c, FC_H2_STREAM_CLOSED, FARCALL_CAUSE_PROTOCOL,
		    "HEADERS on stream %u, which the peer has ended", (unsigned)s->id);
		return;
	}
	c->work++;
	if (selfish)
		fc_h2_stream_fail(c, s, FC_H2_PROTOCOL_ERROR, "the stream depends on itself");
	else if (c->config.client)
		fc_grpc_response(c, s, set, too_large, end);
	else if (!end)
		fc_h2_stream_fail(
		    c, s, FC_H2_PROTOCOL_ERROR, "a second header list does not end the stream");
	else
		fc_grpc_request_trailers(c, s, set);
}

static void
block_done(fc_h2 *c, const uint8_t *block, size_t size)
{
	uint32_t id = c->block_id;
	bool too_large, selfish = c->block_selfish;
	fc_field_set set;
	fc_h2_stream *s;

	c->block_id = 0;
	switch (fc_hpack_decode(c->decoder, block, size, &set)) {
	case FC_HPACK_ERROR:
		fc_h2_fail(c, FC_H2_COMPRESSION_ERROR, FARCALL_CAUSE_PROTOCOL,
		    "the header block of stream %u cannot be decoded", (unsigned)id);
		return;
	case FC_HPACK_NO_MEMORY:
		fc_h2_fail(c, FC_H2_INTERNAL_ERROR, FARCALL_CAUSE_OUT_OF_MEMORY, "out of memory");
		return;
	case FC_HPACK_TOO_LARGE:
		too_large = true;
		break;
	default:
		too_large = false;
	}
	if (!c->config.client && id > c->last_in) {
		new_request(c, id, &set, too_large, selfish);
		return;
	}
	s = fc_h2_stream_find(c, id);
	if (s != NULL && !fc_h2_closed(s))
		more_headers(c, s, &set, too_large, selfish);
	else
		stray(c, id);
}

/* Cuts padding and priority off. false: the connection has failed. */
static bool
strip(fc_h2 *c, const fc_h2_frame *frame, const uint8_t **payload, size_t *size)
{
	const uint8_t *p = *payload;
	size_t left = frame->length, pad = 0, need;

	need = ((frame->flags & FC_H2_PADDED) != 0 ? 1 : 0) +
	    ((frame->flags & FC_H2_WITH_PRIORITY) != 0 ? 5 : 0);
	if (left < need) {
		fc_h2_fail(c, FC_H2_FRAME_SIZE_ERROR, FARCALL_CAUSE_PROTOCOL,
		    "HEADERS frame of %u bytes on stream %u", (unsigned)frame->length,
		    (unsigned)frame->id);
		return false;
	}
	left -= need;
	if ((frame->flags & FC_H2_PADDED) != 0)
		pad = *p++;
	if ((frame->flags & FC_H2_WITH_PRIORITY) != 0) {
		c->block_selfish = (fc_get32(p) & FC_H2_ID_MOST) == frame->id;
		p += 5;
	}
	if (pad > left) {
		protocol_error(c, "more padding than frame", frame->id);
		return false;
	}
	*payload = p;
	*size = left - pad;
	return true;
}

void
fc_h2_headers(fc_h2 *c, const fc_h2_frame *frame, const uint8_t *payload)
{
	size_t size = frame->length;

	if ((frame->id & 1) == 0 || (c->config.client && fc_h2_stream_idle(c, frame->id))) {
		protocol_error(c, "the peer may not use this number", frame->id);
		return;
	}
	c->block_selfish = false;
	if ((frame->flags & (FC_H2_PADDED | FC_H2_WITH_PRIORITY)) != 0 &&
	    !strip(c, frame, &payload, &size))
		return;
	c->block_id = frame->id;
	c->block_flags = frame->flags;
	c->continuations = 0;
	if (FARCALL_LIKELY((frame->flags & FC_H2_END_HEADERS) != 0))
		block_done(c, payload, size);
	else if (!fc_buf_append(&c->block, payload, size))
		fc_h2_fail(c, FC_H2_INTERNAL_ERROR, FARCALL_CAUSE_OUT_OF_MEMORY, "out of memory");
}

void
fc_h2_continuation(fc_h2 *c, const fc_h2_frame *frame, const uint8_t *payload)
{
	if (++c->continuations > FC_H2_CONTINUATIONS_MOST ||
	    fc_buf_size(&c->block) + frame->length > FC_H2_BLOCK_MOST) {
		fc_h2_fail(c, FC_H2_ENHANCE_YOUR_CALM, FARCALL_CAUSE_LIMIT,
		    "header block of stream %u: more than %u CONTINUATION frames or %u bytes",
		    (unsigned)frame->id, FC_H2_CONTINUATIONS_MOST, FC_H2_BLOCK_MOST);
		return;
	}
	if (!fc_buf_append(&c->block, payload, frame->length)) {
		fc_h2_fail(c, FC_H2_INTERNAL_ERROR, FARCALL_CAUSE_OUT_OF_MEMORY, "out of memory");
		return;
	}
	if ((frame->flags & FC_H2_END_HEADERS) == 0)
		return;
	if (fc_buf_size(&c->block) == 0)
		block_done(c, payload, 0); /* no part had a byte */
	else
		block_done(c, c->block.data + c->block.from, fc_buf_size(&c->block));
	fc_buf_fini(&c->block);
}
