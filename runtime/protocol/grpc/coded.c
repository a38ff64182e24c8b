/*
 * coded.c: compressed messages in and out of the engine. grpc/grpc: doc/compression.md.
 *
 * A server bounds what its connection's calls hold of inflated requests: only what is beyond 16
 * times the bytes that came, so that it is met by bombs and nobody else.
 */
#include "runtime/protocol/grpc/grpc.h"

#include "runtime/protocol/grpc/coding.h"

const char *
fc_grpc_coding_name(unsigned coding)
{
	return coding == FC_CODING_GZIP ? "gzip" : "deflate";
}

const char *
fc_grpc_codings(unsigned codings)
{
	static const char *const lists[] = {
	    "identity", "identity,gzip", "identity,deflate", "identity,deflate,gzip"};

	return lists[codings / FC_CODING_GZIP & 3];
}

/* ---- out ---- */

static void
flat(const fc_payload *payload, uint8_t *to)
{
	const fc_buf *coded = (const fc_buf *)payload->message;

	memcpy(to, coded->data + coded->from, payload->size);
}

static void
pour(const fc_payload *payload, fc_sink *sink)
{
	const fc_buf *coded = (const fc_buf *)payload->message;

	sink->add(sink, coded->data + coded->from, payload->size);
}

fc_send
fc_grpc_send_coded(fc_h2 *c, fc_h2_stream *s, const fc_payload *payload, bool last)
{
	fc_payload packed = {.flat = flat, .pour = pour};
	fc_send sent = FC_SEND_NO_MEMORY;
	fc_buf coded;

	if (s->seen.plain)
		return fc_grpc_frame(c, s, payload, last, 0);
	fc_buf_init(&coded, c->config.pool, 0);
	switch (fc_deflate(s->coding, payload, &coded)) {
	case FC_DEFLATED:
		packed.size = fc_buf_size(&coded);
		packed.message = &coded;
		sent = fc_grpc_frame(c, s, &packed, last, 1);
		break;
	case FC_DEFLATED_NO_GAIN:
		sent = fc_grpc_frame(c, s, payload, last, 0);
		break;
	case FC_DEFLATED_NO_MEMORY:
		break;
	}
	fc_buf_fini(&coded);
	return sent;
}

/* ---- in ---- */

/* What a message of `size` bytes on the wire may inflate to. */
static size_t
most(const fc_h2 *c, const fc_h2_stream *s, size_t size)
{
	size_t room;

	if (c->config.client || c->inflated == 0)
		return s->seen.max_message;
	room = c->inflated < FC_H2_INFLATED_MOST ? FC_H2_INFLATED_MOST - c->inflated : 0;
	return FC_MIN(s->seen.max_message, room + FC_H2_INFLATED_FREE * size);
}

static void
count(fc_h2 *c, fc_h2_stream *s, size_t size, size_t inflated)
{
	size_t excess = inflated - FC_MIN(inflated, FC_H2_INFLATED_FREE * size);

	if (c->config.client || excess == 0)
		return;
	s->flags |= FC_STREAM_INFLATED;
	s->inflated += excess;
	c->inflated += excess;
}

static void
fail(fc_h2 *c, fc_h2_stream *s, const fc_error *error, size_t limit)
{
	if (error->cause == FARCALL_CAUSE_TOO_LARGE && limit < s->seen.max_message)
		fc_grpc_fail(c, s, FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_LIMIT,
		    "no room for a compressed message that inflates to more than %zu bytes: those "
		    "of its connection's calls have reached %u bytes",
		    limit, FC_H2_INFLATED_MOST);
	else
		fc_grpc_fail(c, s, error->code, error->cause, "%s", error->text);
}

void
fc_grpc_show_coded(fc_h2 *c, fc_h2_stream *s, const uint8_t *bytes)
{
	size_t size = s->message_size, limit = most(c, s, size);
	fc_error error;
	fc_buf plain;

	fc_error_clear(&error);
	fc_buf_init(&plain, c->config.pool, 0);
	s->seen.compressed = true;
	if (s->seen.raw) {
		fc_grpc_show(c, s, bytes, size);
	} else if (fc_inflate(s->seen.peer_coding, bytes, size, limit, &plain, &error) ==
	    FARCALL_OK) {
		count(c, s, size, fc_buf_size(&plain));
		fc_grpc_show(c, s, plain.data, fc_buf_size(&plain));
	} else {
		fail(c, s, &error, limit);
	}
	s->seen.compressed = false;
	fc_buf_fini(&plain);
}
