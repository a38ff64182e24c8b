/*
 * grpc.h: gRPC over HTTP/2 (grpc/grpc: doc/PROTOCOL-HTTP2.md): what h2/ calls when a header list,
 * bytes or the end of a stream have come, and what the engine's table consists of.
 */
#ifndef FC_PROTOCOL_GRPC_GRPC_H
#define FC_PROTOCOL_GRPC_GRPC_H

#include "runtime/protocol/h2/connection.h"

#define FC_GRPC_PREFIX 5u /* bytes before each message: compressed flag, length */

/* ---- upward: called by h2/ ---- */

/* request_in.c: a new stream's header list; it may be too large, and is then partial. */
void fc_grpc_request(fc_h2 *c, uint32_t id, const fc_field_set *set, bool too_large, bool end);
void fc_grpc_request_trailers(fc_h2 *c, fc_h2_stream *s, const fc_field_set *set);
void fc_grpc_request_end(fc_h2 *c, fc_h2_stream *s);

/* response_in.c */
void fc_grpc_response(fc_h2 *c, fc_h2_stream *s, const fc_field_set *set, bool too_large, bool end);
void fc_grpc_response_end(fc_h2 *c, fc_h2_stream *s); /* END_STREAM on DATA */

/* deframe.c */
void fc_grpc_data(fc_h2 *c, fc_h2_stream *s, const uint8_t *bytes, size_t size);

/* abort.c: the peer has reset it; the connection has ended. */
void fc_grpc_reset(fc_h2 *c, fc_h2_stream *s, uint32_t code);
void fc_grpc_lost(fc_h2 *c, fc_h2_stream *s, const fc_error *why, bool unseen);

/* tail_out.c: the tail that waited behind messages; consumes s->late. */
void fc_grpc_late_tail(fc_h2 *c, fc_h2_stream *s);

/* ---- among grpc/ ---- */

/* pairs.c: the set's metadata as pairs, for the length of an event. false: out of memory. */
bool fc_grpc_pairs(fc_h2 *c, const fc_field_set *set, size_t *n, const fc_pair **pairs);

/* abort.c: this side ends the call. Server: answers the peer with the code, if it still can. */
void fc_grpc_fail(fc_h2 *c, fc_h2_stream *s, farcall_code code, farcall_cause cause,
    const char *format, ...) FARCALL_PRINTF(5, 6);

/* head_out.c, tail_out.c. false: out of memory, and nothing was sent. */
bool fc_grpc_put_response(fc_h2 *c, fc_h2_stream *s, size_t n, const fc_pair *metadata);
bool fc_grpc_put_request(fc_h2 *c, uint32_t id, const fc_request *request);
bool fc_grpc_put_tail(fc_h2 *c, fc_h2_stream *s, const fc_tail *tail);
bool fc_grpc_put_http_error(fc_h2 *c, fc_h2_stream *s, uint32_t status);

/* Server: the tail is in the output; the stream ends, though the client may not have finished. */
void fc_grpc_answered(fc_h2 *c, fc_h2_stream *s);

/* list_out.c: whether the peer takes a header list so large. */
bool fc_grpc_request_fits(fc_h2 *c, const fc_request *request);
bool fc_grpc_response_fits(fc_h2 *c, const fc_h2_stream *s, size_t n, const fc_pair *metadata);
bool fc_grpc_tail_fits(fc_h2 *c, const fc_h2_stream *s, const fc_tail *tail);

size_t fc_grpc_value_size(const fc_pair *pair); /* as it is on the wire */

/* fields_out.c: one header block, made in c->scratch. begin() makes sure of all memory, so that
 * what follows cannot fail: metadata, a message, and `other` bytes of other fields. */
bool fc_grpc_block_begin(
    fc_h2 *c, size_t n, const fc_pair *metadata, size_t message_size, size_t other);
void fc_grpc_field(fc_h2 *c, const char *name, const char *value, fc_hpack_store store);
void fc_grpc_field_text(fc_h2 *c, const char *name, fc_text value, fc_hpack_store store);
void fc_grpc_message(fc_h2 *c, fc_text message);
void fc_grpc_metadata(fc_h2 *c, size_t n, const fc_pair *metadata);
void fc_grpc_block_end(fc_h2 *c, uint32_t id, bool end);

/* Remembers the block made so far, if the table did not change while it was made. */
void fc_grpc_template_keep(fc_h2 *c, fc_h2_template *template, bool end);
void fc_grpc_templates_check(fc_h2 *c); /* forgets them if the table has changed */

/* The frame of a template that stands. false: out of memory. */
static inline bool
fc_grpc_template_put(fc_h2 *c, const fc_h2_template *template, uint32_t id)
{
	uint8_t *at = fc_h2_out_reserve(c, sizeof template->bytes);

	if (at == NULL)
		return false;
	if (template->size <= 16)
		memcpy(at, template->bytes, 16);
	else if (template->size <= 32)
		memcpy(at, template->bytes, 32);
	else
		memcpy(at, template->bytes, template->size);
	fc_put32(at + 5, id);
	fc_h2_out_add(c, template->size);
	c->work++;
	return true;
}

static inline fc_text
fc_text_of(const char *text)
{
	fc_text t = {text, strlen(text)};

	return t;
}

/* pour.c: a message in as many frames as it needs, and what has no room kept. */
fc_send fc_grpc_pour(fc_h2 *c, fc_h2_stream *s, const fc_payload *payload, bool last, uint8_t flag);

/* send.c: a message as it is on the wire; `flag`: it is compressed. */
fc_send fc_grpc_frame(
    fc_h2 *c, fc_h2_stream *s, const fc_payload *payload, bool last, uint8_t flag);

/* coded.c: messages of streams with a coding, and the names of codings. */
fc_send fc_grpc_send_coded(fc_h2 *c, fc_h2_stream *s, const fc_payload *payload, bool last);
void fc_grpc_show_coded(fc_h2 *c, fc_h2_stream *s, const uint8_t *bytes);
const char *fc_grpc_coding_name(unsigned coding);
const char *fc_grpc_codings(unsigned codings); /* with identity, for grpc-accept-encoding */

/* deframe.c: a message is complete, and inflated by now, unless the owner does that. */
void fc_grpc_show(fc_h2 *c, fc_h2_stream *s, const uint8_t *bytes, size_t size);

/* What stands before each message. */
static inline void
fc_grpc_put_prefix(uint8_t *at, size_t size, uint8_t flag)
{
	at[0] = flag;
	fc_put32(at + 1, (uint32_t)size);
}

/* Nobody is to be served before. */
static inline bool
fc_grpc_may_frame(const fc_h2 *c, const fc_h2_stream *s)
{
	return s->pending.size == 0 && fc_list_empty(&c->ready) && c->out.size < FC_H2_OUTPUT_MOST;
}

/* ---- downward: the engine's table ---- */

fc_stream *fc_grpc_open(fc_engine *c, const fc_request *request, void *user);
uint32_t fc_grpc_can_open(const fc_engine *c);
bool fc_grpc_refusal(const fc_engine *c, fc_error *why);
bool fc_grpc_used_up(const fc_engine *c);
fc_send fc_grpc_send_head(fc_engine *c, fc_stream *stream, size_t n, const fc_pair *metadata);
fc_send fc_grpc_send_message(fc_engine *c, fc_stream *stream, const fc_payload *payload, bool last);
fc_send fc_grpc_half_close(fc_engine *c, fc_stream *stream);
fc_send fc_grpc_send_tail(fc_engine *c, fc_stream *stream, const fc_tail *tail);
void fc_grpc_abort(fc_engine *c, fc_stream *stream, farcall_code code);
void fc_grpc_release(fc_engine *c, fc_stream *stream);

#endif
