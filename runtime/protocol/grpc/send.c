/*
 * send.c: what an owner sends but tails. A message that fits one frame and the windows is written
 * straight into the output, once; for others see pour.c.
 */
#include "runtime/protocol/grpc/grpc.h"

#include "runtime/protocol/grpc/text.h"

#define SENDS_NO_MORE \
	(FC_STREAM_OVER | FC_STREAM_RESET | FC_STREAM_LOCAL_END | FC_STREAM_END_QUEUED)

static fc_h2_stream *
own(fc_stream *stream)
{
	return (fc_h2_stream *)(void *)stream;
}

/* ---- messages ---- */

/* It fits one frame, the windows and the output. */
static fc_send
send_flat(fc_h2 *c, fc_h2_stream *s, const fc_payload *payload, bool last, uint8_t flag)
{
	size_t size = FC_GRPC_PREFIX + payload->size;
	uint8_t *at = fc_h2_out_reserve(c, FC_H2_HEAD + size);

	if (at == NULL)
		return FC_SEND_NO_MEMORY;
	fc_h2_put_head(at, (uint32_t)size, FC_H2_DATA, last ? FC_H2_END_STREAM : 0, s->id);
	fc_grpc_put_prefix(at + FC_H2_HEAD, payload->size, flag);
	payload->flat(payload, at + FC_H2_HEAD + FC_GRPC_PREFIX);
	fc_h2_out_add(c, FC_H2_HEAD + size);
	s->send_window -= (int32_t)size;
	c->send_window -= (int32_t)size;
	c->work++;
	if (last)
		fc_h2_local_ended(c, s);
	return FC_SEND_OK;
}

static inline fc_send
frame(fc_h2 *c, fc_h2_stream *s, const fc_payload *payload, bool last, uint8_t flag)
{
	size_t size = FC_GRPC_PREFIX + payload->size;

	if (FARCALL_LIKELY(size <= FC_H2_FRAME_SIZE && (int32_t)size <= c->send_window &&
	        (int32_t)size <= s->send_window && fc_grpc_may_frame(c, s)))
		return send_flat(c, s, payload, last, flag);
	return fc_grpc_pour(c, s, payload, last, flag);
}

fc_send
fc_grpc_frame(fc_h2 *c, fc_h2_stream *s, const fc_payload *payload, bool last, uint8_t flag)
{
	return frame(c, s, payload, last, flag);
}

fc_send
fc_grpc_send_message(fc_engine *c, fc_stream *stream, const fc_payload *payload, bool last)
{
	fc_h2_stream *s = own(stream);

	if ((s->flags & SENDS_NO_MORE) != 0)
		return FC_SEND_GONE;
	if (payload->size > UINT32_MAX)
		return FC_SEND_NO_MEMORY; /* the wire cannot say it */
	if (!c->config.client && (s->flags & FC_STREAM_HEAD_OUT) == 0 &&
	    !fc_grpc_put_response(c, s, 0, NULL))
		return FC_SEND_NO_MEMORY;
	if (FARCALL_UNLIKELY(s->coding != 0))
		return fc_grpc_send_coded(c, s, payload, last);
	return frame(c, s, payload, last, 0);
}

fc_send
fc_grpc_send_head(fc_engine *c, fc_stream *stream, size_t n, const fc_pair *metadata)
{
	fc_h2_stream *s = own(stream);

	if ((s->flags & (SENDS_NO_MORE | FC_STREAM_HEAD_OUT)) != 0)
		return FC_SEND_GONE;
	if (!fc_grpc_response_fits(c, s, n, metadata))
		return FC_SEND_TOO_LARGE;
	return fc_grpc_put_response(c, s, n, metadata) ? FC_SEND_OK : FC_SEND_NO_MEMORY;
}

fc_send
fc_grpc_half_close(fc_engine *c, fc_stream *stream)
{
	fc_h2_stream *s = own(stream);
	uint8_t *at;

	if ((s->flags & SENDS_NO_MORE) != 0)
		return FC_SEND_GONE;
	if (s->pending.size != 0) {
		s->flags |= FC_STREAM_END_QUEUED;
		return FC_SEND_WAITING;
	}
	at = fc_h2_out_reserve(c, FC_H2_HEAD);
	if (at == NULL)
		return FC_SEND_NO_MEMORY;
	fc_h2_put_head(at, 0, FC_H2_DATA, FC_H2_END_STREAM, s->id);
	fc_h2_out_add(c, FC_H2_HEAD);
	fc_h2_local_ended(c, s);
	return FC_SEND_OK;
}

/* ---- a client's streams ---- */

bool
fc_grpc_used_up(const fc_engine *c)
{
	return !c->config.client || c->dead || c->going_away || c->drain != FC_DRAIN_NO ||
	    (c->tasks & FC_TASK_FAIL) != 0 || c->next_out > FC_H2_ID_MOST;
}

uint32_t
fc_grpc_can_open(const fc_engine *c)
{
	uint32_t numbers;

	if (fc_grpc_used_up(c))
		return 0;
	numbers = (FC_H2_ID_MOST - c->next_out) / 2 + 1;
	return c->open >= c->peer_streams ? 0 : FC_MIN(c->peer_streams - c->open, numbers);
}

fc_stream *
fc_grpc_open(fc_engine *c, const fc_request *request, void *user)
{
	fc_h2_stream *s;

	if (fc_grpc_can_open(c) == 0) {
		c->wants_capacity = true;
		return NULL;
	}
	if (!fc_grpc_request_fits(c, request))
		return NULL;
	s = fc_h2_stream_new(c, c->next_out);
	if (s == NULL)
		return NULL;
	s->seen.user = user;
	s->coding = (uint8_t)(request->coding & (FC_CODING_GZIP | FC_CODING_DEFLATE));
	s->flags |= FC_STREAM_HELD;
	c->next_out += 2;
	fc_h2_keepalive_wake(c);
	if (fc_grpc_put_request(c, s->id, request))
		return &s->seen;
	/* The number is used up; the server learns of it with the next stream. */
	s->flags &= ~(uint32_t)FC_STREAM_HELD;
	fc_h2_reset_by_peer(c, s);
	return NULL;
}

/* ---- the owner's ends ---- */

void
fc_grpc_abort(fc_engine *c, fc_stream *stream, farcall_code code)
{
	fc_h2_stream *s = own(stream);

	s->flags |= FC_STREAM_OVER;
	fc_h2_reset(c, s, (fc_h2_code)fc_grpc_reset_of_code(code));
}

void
fc_grpc_release(fc_engine *c, fc_stream *stream)
{
	fc_h2_stream_release(c, own(stream));
}
