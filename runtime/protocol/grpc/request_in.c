/*
 * request_in.c: a server's view of header lists. What is malformed by RFC 9113 is reset; what is
 * HTTP but not gRPC gets an HTTP status once the request has ended (doc/PROTOCOL-HTTP2.md asks for
 * 415); what is gRPC but cannot be served gets a gRPC status, trailers only; the rest is a call.
 */
#include "runtime/protocol/grpc/grpc.h"

#define REQUIRED (FC_SAYS(FC_TOKEN_METHOD) | FC_SAYS(FC_TOKEN_SCHEME) | FC_SAYS(FC_TOKEN_PATH))
#define FORBIDDEN (FC_SAYS_MALFORMED | FC_SAYS(FC_TOKEN_STATUS))

/* What all calls say, and what most do not. */
#define USUAL (REQUIRED | FC_SAYS(FC_TOKEN_CONTENT_TYPE))
#define UNUSUAL                                                                           \
	(FORBIDDEN | FC_SAYS(FC_TOKEN_CONTENT_LENGTH) | FC_SAYS(FC_TOKEN_GRPC_ENCODING) | \
	    FC_SAYS(FC_TOKEN_GRPC_TIMEOUT))

/* A field's, if the list has it. */
static const fc_field *
known(const fc_field_set *set, fc_token token)
{
	return (set->says & FC_SAYS(token)) != 0 ? set->known[token] : NULL;
}

static fc_text
text_of(const fc_field_set *set, fc_token token)
{
	const fc_field *field = known(set, token);
	fc_text text = {"", 0};

	if (field != NULL) {
		text.at = field->value;
		text.size = field->value_size;
	}
	return text;
}

/* The HTTP status to refuse it with; 0: it is gRPC. */
static uint32_t
refusal(const fc_field_set *set)
{
	if (set->known[FC_TOKEN_METHOD]->number != 1)
		return 405;
	if ((set->says & FC_SAYS(FC_TOKEN_CONTENT_TYPE)) == 0 ||
	    set->known[FC_TOKEN_CONTENT_TYPE]->number != 1)
		return 415;
	return 0;
}

/* Why the call cannot be served though it is one. false: it can. */
static bool
is_unservable(fc_h2_stream *s, const fc_field_set *set, unsigned codings, fc_error *why)
{
	const fc_field *field = known(set, FC_TOKEN_GRPC_TIMEOUT);

	if (field != NULL && (field->flags & FC_FIELD_BAD_VALUE) != 0) {
		fc_fail(why, FARCALL_INTERNAL, FARCALL_CAUSE_PROTOCOL,
		    "grpc-timeout \"%.*s\" is not 1 to 8 digits and one of H M S m u n",
		    (int)FC_MIN(field->value_size, 32), field->value);
		return true;
	}
	field = known(set, FC_TOKEN_GRPC_ENCODING);
	if (field == NULL || field->number == FC_CODING_IDENTITY)
		return false;
	s->flags |= FC_STREAM_ENCODED;
	if (field->number == FC_CODING_GZIP || field->number == FC_CODING_DEFLATE)
		s->seen.peer_coding = (uint8_t)(field->number & codings);
	if (s->seen.peer_coding != 0)
		return false;
	fc_fail(why, FARCALL_UNIMPLEMENTED, FARCALL_CAUSE_PROTOCOL,
	    "grpc-encoding \"%.*s\" is not supported, %s is", (int)FC_MIN(field->value_size, 32),
	    field->value, fc_grpc_codings(codings));
	return true;
}

/* No call came of it: the peer is told, nobody else. */
static void
answer(fc_h2 *c, fc_h2_stream *s, const fc_error *why)
{
	fc_tail tail = {why->code, fc_text_of(why->text), 0, NULL, FARCALL_CAUSE_NONE};

	if (fc_grpc_put_tail(c, s, &tail))
		fc_grpc_answered(c, s);
	else
		fc_h2_reset(c, s, FC_H2_REFUSED_STREAM);
}

static void
answer_no_memory(fc_h2 *c, fc_h2_stream *s)
{
	fc_error why;

	fc_error_clear(&why);
	fc_fail_memory(&why, "the request's metadata");
	answer(c, s, &why);
}

static void
begin_call(fc_h2 *c, fc_h2_stream *s, const fc_field_set *set)
{
	const fc_field *timeout = known(set, FC_TOKEN_GRPC_TIMEOUT);
	const fc_field *path = set->known[FC_TOKEN_PATH];
	fc_head head;

	if (!fc_grpc_pairs(c, set, &head.n_metadata, &head.metadata)) {
		answer_no_memory(c, s);
		return;
	}
	head.method = path->method;
	head.path.at = path->value;
	head.path.size = path->value_size;
	head.authority = text_of(set,
	    (set->says & FC_SAYS(FC_TOKEN_AUTHORITY)) != 0 ? FC_TOKEN_AUTHORITY : FC_TOKEN_HOST);
	head.timeout_ns = timeout != NULL ? timeout->number : FC_NEVER;
	if ((set->says & FC_SAYS(FC_TOKEN_GRPC_ACCEPT_ENCODING)) != 0)
		s->seen.accepts = (uint8_t)set->known[FC_TOKEN_GRPC_ACCEPT_ENCODING]->number;
	s->flags |= FC_STREAM_HELD;
	c->events->on_request(c->owner, &s->seen, &head);
}

static void
take_in(fc_h2 *c, fc_h2_stream *s, const fc_field_set *set, bool too_large)
{
	fc_error why;

	fc_error_clear(&why);
	if (FARCALL_UNLIKELY(too_large))
		fc_fail(&why, FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_TOO_LARGE,
		    "the request's header list is larger than %lu bytes or %u fields",
		    (unsigned long)c->config.max_metadata, FC_FIELDS_MOST);
	else if (FARCALL_UNLIKELY((s->refused = refusal(set)) != 0))
		return;
	if (FARCALL_LIKELY(!too_large && !is_unservable(s, set, c->config.codings, &why)))
		begin_call(c, s, set);
	else
		answer(c, s, &why);
}

void
fc_grpc_request(fc_h2 *c, uint32_t id, const fc_field_set *set, bool too_large, bool end)
{
	fc_h2_stream *s = fc_h2_stream_new(c, id);

	if (s == NULL) {
		fc_h2_note_closed(c, id, false);
		fc_h2_put_rst(c, id, FC_H2_REFUSED_STREAM, true);
		return;
	}
	if (FARCALL_LIKELY(!end))
		fc_h2_expect_more(c);
	if (FARCALL_LIKELY(!end && !too_large && (set->says & (USUAL | UNUSUAL)) == USUAL &&
	        refusal(set) == 0)) {
		begin_call(c, s, set);
		return;
	}
	if (FARCALL_UNLIKELY(!too_large && (set->says & (REQUIRED | FORBIDDEN)) != REQUIRED)) {
		fc_h2_stream_fail(c, s, FC_H2_PROTOCOL_ERROR, "malformed request");
		return;
	}
	if ((set->says & FC_SAYS(FC_TOKEN_CONTENT_LENGTH)) != 0)
		s->content_left = set->known[FC_TOKEN_CONTENT_LENGTH]->number;
	if (end && !fc_h2_remote_end(c, s))
		return;
	take_in(c, s, set, too_large);
	if (end && (s->flags & FC_STREAM_RESET) == 0)
		fc_grpc_request_end(c, s);
}

void
fc_grpc_request_trailers(fc_h2 *c, fc_h2_stream *s, const fc_field_set *set)
{
	if ((set->says & (FC_SAYS_MALFORMED | FC_SAYS_PSEUDO)) != 0)
		fc_h2_stream_fail(c, s, FC_H2_PROTOCOL_ERROR, "malformed trailers");
	else if (fc_h2_remote_end(c, s))
		fc_grpc_request_end(c, s);
}

void
fc_grpc_request_end(fc_h2 *c, fc_h2_stream *s)
{
	if (FARCALL_UNLIKELY(s->refused != 0)) {
		if (fc_grpc_put_http_error(c, s, s->refused))
			fc_h2_local_ended(c, s);
		else
			fc_h2_reset(c, s, FC_H2_INTERNAL_ERROR);
		return;
	}
	if (!fc_h2_listens(s))
		return;
	if (FARCALL_UNLIKELY(s->prefix_size != 0))
		fc_grpc_fail(c, s, FARCALL_INTERNAL, FARCALL_CAUSE_PROTOCOL,
		    "the request ended inside a message");
	else
		c->events->on_half_close(c->owner, &s->seen);
}
