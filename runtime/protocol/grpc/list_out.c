/*
 * list_out.c: how large a header list is before it is sent, reckoned as the peer does (RFC 9113
 * section 10.5.1: names, values, 32 a field). One that is above the peer's MAX_HEADER_LIST_SIZE, or
 * above what any block of ours may hold, is refused here, before a byte of it is encoded: sent, it
 * could cost the whole connection.
 *
 * Lists without metadata and message always go out: the limit is advice, and without these no call
 * could be made at all.
 */
#include "runtime/protocol/grpc/grpc.h"

#include "runtime/protocol/grpc/text.h"
#include "runtime/protocol/h2/hpack_table.h"

#define FIELD(name, size) (sizeof(name) - 1 + (size) + FC_HPACK_OVERHEAD)
#define STATUS FIELD(":status", 3)
#define CODING FIELD("grpc-encoding", sizeof("deflate") - 1)
#define CODINGS FIELD("grpc-accept-encoding", sizeof("identity,deflate,gzip") - 1)
#define TYPE FIELD("content-type", sizeof("application/grpc") - 1)

static uint32_t
most(const fc_h2 *c)
{
	return FC_MIN(c->peer_list, FC_H2_BLOCK_MOST);
}

/* `size`: of the protocol's own fields. */
static bool
fits(fc_h2 *c, size_t size, size_t n, const fc_pair *metadata)
{
	for (size_t i = 0; i < n; i++)
		size += FIELD("", metadata[i].name_size) + fc_grpc_value_size(&metadata[i]);
	c->refused_list = size > most(c) ? size : 0;
	return c->refused_list == 0;
}

bool
fc_grpc_request_fits(fc_h2 *c, const fc_request *request)
{
	const fc_engine_config *config = &c->config;
	char digits[FC_GRPC_TIMEOUT_SIZE];
	size_t size;

	c->refused_list = 0;
	if (FARCALL_LIKELY(request->n_metadata == 0))
		return true;
	size = FIELD(":method", 4) + FIELD(":scheme", strlen(config->scheme)) +
	    FIELD(":path", request->path.size) + FIELD(":authority", strlen(config->authority)) +
	    FIELD("te", sizeof("trailers") - 1) + TYPE;
	if (config->user_agent != NULL)
		size += FIELD("user-agent", strlen(config->user_agent));
	if (request->timeout_ns != FC_NEVER)
		size += FIELD("grpc-timeout", fc_grpc_timeout_put(digits, request->timeout_ns));
	if (c->config.codings != 0)
		size += CODINGS;
	if (request->coding != 0)
		size += CODING;
	return fits(c, size, request->n_metadata, request->metadata);
}

bool
fc_grpc_response_fits(fc_h2 *c, const fc_h2_stream *s, size_t n, const fc_pair *metadata)
{
	size_t size = STATUS + TYPE;

	if (n == 0)
		return true;
	if ((s->flags & FC_STREAM_ENCODED) != 0)
		size += CODINGS;
	if (s->seen.coding != 0)
		size += CODING;
	return fits(c, size, n, metadata);
}

bool
fc_grpc_tail_fits(fc_h2 *c, const fc_h2_stream *s, const fc_tail *tail)
{
	size_t size = FIELD("grpc-status", tail->code < 10 ? 1 : 2);

	if (FARCALL_LIKELY(tail->n_metadata == 0 && tail->message.size == 0))
		return true;
	if ((s->flags & FC_STREAM_HEAD_OUT) == 0)
		size += STATUS + TYPE;
	if ((s->flags & (FC_STREAM_HEAD_OUT | FC_STREAM_ENCODED)) == FC_STREAM_ENCODED)
		size += CODINGS;
	if (tail->message.size != 0)
		size += FIELD(
		    "grpc-message", fc_grpc_percent_size(tail->message.at, tail->message.size));
	return fits(c, size, tail->n_metadata, tail->metadata);
}

bool
fc_grpc_refusal(const fc_engine *c, fc_error *why)
{
	if (c->refused_list == 0)
		return false;
	fc_fail(why, FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_TOO_LARGE,
	    "a header list of %zu bytes, 32 a field counted; %s %u", c->refused_list,
	    c->peer_list < FC_H2_BLOCK_MOST ? "the peer takes at most" : "at most are sent",
	    (unsigned)most(c));
	return true;
}
