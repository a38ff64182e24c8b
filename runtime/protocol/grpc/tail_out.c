/*
 * tail_out.c: the end of an answer. A tail that comes after messages which wait for a window is
 * copied and waits behind them: it can be encoded only when its turn in the output has come, since
 * HPACK depends on the order.
 */
#include "runtime/protocol/grpc/grpc.h"

#include "runtime/protocol/grpc/text.h"

#include <stdio.h>

#define ENDED (FC_STREAM_OVER | FC_STREAM_RESET | FC_STREAM_LOCAL_END | FC_STREAM_END_QUEUED)

static void
status_field(fc_h2 *c, farcall_code code)
{
	char digits[12];
	int size;

	if (code == FARCALL_OK) {
		fc_grpc_field(c, "grpc-status", "0", FC_HPACK_INDEX);
		return;
	}
	size = snprintf(digits, sizeof digits, "%d", (int)code);
	fc_grpc_field_text(
	    c, "grpc-status", (fc_text){digits, size > 0 ? (size_t)size : 0}, FC_HPACK_PLAIN);
}

static bool
is_plain_ok(const fc_tail *tail)
{
	return tail->code == FARCALL_OK && tail->n_metadata == 0 && tail->message.size == 0;
}

bool
fc_grpc_put_tail(fc_h2 *c, fc_h2_stream *s, const fc_tail *tail)
{
	bool alone = (s->flags & FC_STREAM_HEAD_OUT) == 0; /* trailers only */
	bool plain = !alone && is_plain_ok(tail);
	size_t message = fc_grpc_percent_size(tail->message.at, tail->message.size);

	if (!fc_grpc_block_begin(c, tail->n_metadata, tail->metadata, message, 160))
		return false;
	if (alone) {
		fc_grpc_field(c, ":status", "200", FC_HPACK_INDEX);
		fc_grpc_field(c, "content-type", "application/grpc", FC_HPACK_INDEX);
		s->flags |= FC_STREAM_HEAD_OUT;
	}
	status_field(c, tail->code);
	if (plain)
		fc_grpc_template_keep(c, &c->tail_template, true);
	if (alone && (s->flags & FC_STREAM_ENCODED) != 0)
		fc_grpc_field(
		    c, "grpc-accept-encoding", fc_grpc_codings(c->config.codings), FC_HPACK_INDEX);
	fc_grpc_message(c, tail->message);
	fc_grpc_metadata(c, tail->n_metadata, tail->metadata);
	fc_grpc_block_end(c, s->id, true);
	return true;
}

/* The same; the usual one by its template. */
static inline bool
put(fc_h2 *c, fc_h2_stream *s, const fc_tail *tail)
{
	if (FARCALL_LIKELY((s->flags & FC_STREAM_HEAD_OUT) != 0 && is_plain_ok(tail) &&
	        c->tail_template.size != 0))
		return fc_grpc_template_put(c, &c->tail_template, s->id);
	return fc_grpc_put_tail(c, s, tail);
}

bool
fc_grpc_put_http_error(fc_h2 *c, fc_h2_stream *s, uint32_t status)
{
	char digits[12];

	if (!fc_grpc_block_begin(c, 0, NULL, 0, 80))
		return false;
	snprintf(digits, sizeof digits, "%u", (unsigned)status);
	fc_grpc_field(c, ":status", digits, FC_HPACK_PLAIN);
	if (status == 405)
		fc_grpc_field(c, "allow", "POST", FC_HPACK_PLAIN);
	else
		fc_grpc_field(c, "accept", "application/grpc", FC_HPACK_PLAIN);
	fc_grpc_block_end(c, s->id, true);
	return true;
}

void
fc_grpc_answered(fc_h2 *c, fc_h2_stream *s)
{
	s->flags |= FC_STREAM_OVER;
	fc_h2_local_ended(c, s);
	if (!fc_h2_closed(s))
		fc_h2_reset(c, s, FC_H2_NO_ERROR);
}

/* ---- a tail that waits ---- */

typedef struct late_tail {
	fc_block block;
	fc_tail tail;
	/* pairs, then the bytes of all texts */
} late_tail;

static size_t
late_size(const fc_tail *tail)
{
	size_t size = sizeof(late_tail) + tail->n_metadata * sizeof(fc_pair) + tail->message.size;

	for (size_t i = 0; i < tail->n_metadata; i++)
		size += (size_t)tail->metadata[i].name_size + tail->metadata[i].value_size;
	return size;
}

static const char *
copy_text(char **to, const char *text, size_t size)
{
	char *copy = *to;

	if (size != 0)
		memcpy(copy, text, size);
	*to += size;
	return copy;
}

static bool
keep_tail(fc_h2 *c, fc_h2_stream *s, const fc_tail *tail)
{
	late_tail *late = (late_tail *)(void *)fc_pool_get(c->config.pool, late_size(tail));
	fc_pair *pairs;
	char *text;

	if (late == NULL)
		return false;
	pairs = (fc_pair *)(void *)(late + 1);
	text = (char *)(pairs + tail->n_metadata);
	late->tail = *tail;
	late->tail.metadata = pairs;
	late->tail.message.at = copy_text(&text, tail->message.at, tail->message.size);
	for (size_t i = 0; i < tail->n_metadata; i++) {
		pairs[i] = tail->metadata[i];
		pairs[i].name = copy_text(&text, pairs[i].name, pairs[i].name_size);
		pairs[i].value = copy_text(&text, pairs[i].value, pairs[i].value_size);
	}
	s->late = &late->block;
	return true;
}

void
fc_grpc_late_tail(fc_h2 *c, fc_h2_stream *s)
{
	late_tail *late = (late_tail *)(void *)s->late;
	bool done = put(c, s, &late->tail);

	s->late = NULL;
	fc_pool_put(c->config.pool, &late->block);
	if (done)
		fc_grpc_answered(c, s);
	else
		fc_h2_reset(c, s, FC_H2_INTERNAL_ERROR);
}

fc_send
fc_grpc_send_tail(fc_engine *c, fc_stream *stream, const fc_tail *tail)
{
	fc_h2_stream *s = (fc_h2_stream *)(void *)stream;

	if ((s->flags & ENDED) != 0)
		return FC_SEND_GONE;
	if (!fc_grpc_tail_fits(c, s, tail))
		return FC_SEND_TOO_LARGE;
	if (FARCALL_LIKELY(s->pending.size == 0)) {
		if (!put(c, s, tail))
			return FC_SEND_NO_MEMORY;
		fc_grpc_answered(c, s);
		return FC_SEND_OK;
	}
	if (!keep_tail(c, s, tail))
		return FC_SEND_NO_MEMORY;
	s->flags =
	    (s->flags & ~(uint32_t)FC_STREAM_SENT_DUE) | FC_STREAM_END_QUEUED | FC_STREAM_OVER;
	return FC_SEND_WAITING;
}
