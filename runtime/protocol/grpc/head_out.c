/*
 * head_out.c: heads sent. A response's head is always the same two fields, a request's differs by
 * its path: these blocks are remembered as they are encoded, for as long as the HPACK table stands.
 */
#include "runtime/protocol/grpc/grpc.h"

#include "runtime/protocol/grpc/text.h"

#define CONSTANTS 320u /* bytes of names and values, without path, authority and agent */

/* Which coding the response has, of those that the client takes; and which ones we take, if the
 * client has used one. */
static void
coding_fields(fc_h2 *c, fc_h2_stream *s)
{
	s->coding = s->seen.coding & s->seen.accepts & (FC_CODING_GZIP | FC_CODING_DEFLATE);
	if (s->coding != 0)
		fc_grpc_field(c, "grpc-encoding", fc_grpc_coding_name(s->coding), FC_HPACK_INDEX);
	if ((s->flags & FC_STREAM_ENCODED) != 0)
		fc_grpc_field(
		    c, "grpc-accept-encoding", fc_grpc_codings(c->config.codings), FC_HPACK_INDEX);
}

bool
fc_grpc_put_response(fc_h2 *c, fc_h2_stream *s, size_t n, const fc_pair *metadata)
{
	bool plain = s->seen.coding == 0 && (s->flags & FC_STREAM_ENCODED) == 0;

	if (FARCALL_LIKELY(n == 0 && plain && c->head_template.size != 0)) {
		if (!fc_grpc_template_put(c, &c->head_template, s->id))
			return false;
		s->flags |= FC_STREAM_HEAD_OUT;
		return true;
	}
	if (!fc_grpc_block_begin(c, n, metadata, 0, CONSTANTS))
		return false;
	fc_grpc_field(c, ":status", "200", FC_HPACK_INDEX);
	fc_grpc_field(c, "content-type", "application/grpc", FC_HPACK_INDEX);
	if (plain)
		fc_grpc_template_keep(c, &c->head_template, false);
	else
		coding_fields(c, s);
	fc_grpc_metadata(c, n, metadata);
	fc_grpc_block_end(c, s->id, false);
	s->flags |= FC_STREAM_HEAD_OUT;
	return true;
}

/* The slot of a path: its own, or the next to be used anew. */
static fc_h2_path *
path_slot(fc_h2 *c, fc_text path)
{
	fc_h2_path *slot;

	for (int i = 0; i < FC_H2_PATHS; i++) {
		slot = &c->paths[i];
		if (slot->size == path.size && memcmp(slot->path, path.at, path.size) == 0)
			return slot;
	}
	if (path.size > FC_H2_PATH_SIZE)
		return NULL;
	slot = &c->paths[c->next_path++ % FC_H2_PATHS];
	slot->head.size = 0;
	slot->size = (uint32_t)path.size;
	memcpy(slot->path, path.at, path.size);
	return slot;
}

static void
constant_fields(fc_h2 *c, fc_text path)
{
	fc_grpc_field(c, ":method", "POST", FC_HPACK_INDEX);
	fc_grpc_field(c, ":scheme", c->config.scheme, FC_HPACK_INDEX);
	fc_grpc_field_text(c, ":path", path, FC_HPACK_INDEX);
	fc_grpc_field(c, ":authority", c->config.authority, FC_HPACK_INDEX);
	fc_grpc_field(c, "te", "trailers", FC_HPACK_INDEX);
	fc_grpc_field(c, "content-type", "application/grpc", FC_HPACK_INDEX);
	if (c->config.user_agent != NULL)
		fc_grpc_field(c, "user-agent", c->config.user_agent, FC_HPACK_INDEX);
	if (c->config.codings != 0)
		fc_grpc_field(
		    c, "grpc-accept-encoding", fc_grpc_codings(c->config.codings), FC_HPACK_INDEX);
}

/* The first one enters the table for its name's sake; the values change too often. */
static void
timeout_field(fc_h2 *c, uint64_t ns)
{
	char digits[FC_GRPC_TIMEOUT_SIZE];
	fc_text value = {digits, fc_grpc_timeout_put(digits, ns)};

	fc_grpc_field_text(
	    c, "grpc-timeout", value, c->named_timeout ? FC_HPACK_PLAIN : FC_HPACK_INDEX);
	c->named_timeout = true;
}

bool
fc_grpc_put_request(fc_h2 *c, uint32_t id, const fc_request *request)
{
	fc_h2_path *slot = path_slot(c, request->path);
	bool stands = slot != NULL && slot->head.size != 0;
	size_t other = CONSTANTS + request->path.size + strlen(c->config.authority) +
	    (c->config.user_agent != NULL ? strlen(c->config.user_agent) : 0);

	if (stands && request->n_metadata == 0 && request->timeout_ns == FC_NEVER &&
	    request->coding == 0)
		return fc_grpc_template_put(c, &slot->head, id);
	if (!fc_grpc_block_begin(c, request->n_metadata, request->metadata, 0, other))
		return false;
	if (stands)
		fc_buf_append(
		    &c->scratch, slot->head.bytes + FC_H2_HEAD, slot->head.size - FC_H2_HEAD);
	else
		constant_fields(c, request->path);
	if (!stands && slot != NULL)
		fc_grpc_template_keep(c, &slot->head, false);
	if (request->coding != 0)
		fc_grpc_field(
		    c, "grpc-encoding", fc_grpc_coding_name(request->coding), FC_HPACK_INDEX);
	if (request->timeout_ns != FC_NEVER)
		timeout_field(c, request->timeout_ns);
	fc_grpc_metadata(c, request->n_metadata, request->metadata);
	fc_grpc_block_end(c, id, false);
	return true;
}
