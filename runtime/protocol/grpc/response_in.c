/*
 * response_in.c: a client's view of header lists: the response's head, its trailers, or both in
 * one. A response without grpc-status is judged by its HTTP status; what it says otherwise is not
 * passed on as if it were gRPC (doc/http-grpc-status-mapping.md).
 */
#include "runtime/protocol/grpc/grpc.h"

#include "runtime/protocol/grpc/text.h"

static void
malformed(fc_h2 *c, fc_h2_stream *s, const char *text)
{
	fc_h2_stream_fail(c, s, FC_H2_PROTOCOL_ERROR, text);
}

/* The call is over for its owner; so is the stream, whether or not both sides have ended it. */
static void
finish(fc_h2 *c, fc_h2_stream *s, const fc_tail *tail, fc_h2_code code)
{
	fc_h2_reset(c, s, code); /* nothing if closed */
	if (!fc_h2_listens(s))
		return;
	s->flags |= FC_STREAM_OVER;
	c->events->on_tail(c->owner, &s->seen, tail);
}

/* No status of gRPC's own. */
static void
finish_otherwise(fc_h2 *c, fc_h2_stream *s, farcall_code code, const char *text)
{
	fc_tail tail = {code, fc_text_of(text), 0, NULL, FARCALL_CAUSE_PROTOCOL};

	finish(c, s, &tail, FC_H2_CANCEL);
}

/* By the HTTP status, which is not 200. */
static void
finish_by_http(fc_h2 *c, fc_h2_stream *s)
{
	fc_error error;

	fc_error_clear(&error);
	fc_fail(&error, fc_grpc_code_of_http(s->refused), FARCALL_CAUSE_PROTOCOL,
	    "the server answered with HTTP status %u", (unsigned)s->refused);
	finish_otherwise(c, s, error.code, error.text);
}

static fc_text
message_of(fc_h2 *c, const fc_field_set *set)
{
	fc_text message = {"", 0};
	const fc_field *field;

	if ((set->says & FC_SAYS(FC_TOKEN_GRPC_MESSAGE)) == 0)
		return message;
	field = set->known[FC_TOKEN_GRPC_MESSAGE];
	message.at = field->value;
	message.size = field->value_size;
	if (message.size == 0 || memchr(message.at, '%', message.size) == NULL)
		return message;
	c->message.from = c->message.to = 0;
	if (fc_buf_reserve(&c->message, message.size) == NULL)
		return message; /* better escaped than lost */
	message.size =
	    fc_grpc_percent_decode((char *)c->message.data, field->value, field->value_size);
	message.at = (const char *)c->message.data;
	return message;
}

/* The trailers, or all in one. END_STREAM has been noted. */
static void
take_tail(fc_h2 *c, fc_h2_stream *s, const fc_field_set *set)
{
	const fc_field *status = set->known[FC_TOKEN_GRPC_STATUS];
	fc_tail tail = {FARCALL_UNKNOWN, {"", 0}, 0, NULL, FARCALL_CAUSE_NONE};

	if ((set->says & FC_SAYS(FC_TOKEN_GRPC_STATUS)) == 0) {
		if (s->refused != 0)
			finish_by_http(c, s);
		else
			finish_otherwise(c, s, FARCALL_UNKNOWN, "the server sent no grpc-status");
		return;
	}
	if ((status->flags & FC_FIELD_BAD_VALUE) != 0) {
		finish_otherwise(c, s, FARCALL_UNKNOWN, "the server's grpc-status is not a number");
		return;
	}
	if (status->number == 0 && s->prefix_size != 0) {
		finish_otherwise(c, s, FARCALL_INTERNAL, "the response ended inside a message");
		return;
	}
	if (status->number <= FARCALL_UNAUTHENTICATED)
		tail.code = (farcall_code)status->number;
	tail.message = message_of(c, set);
	if (!fc_grpc_pairs(c, set, &tail.n_metadata, &tail.metadata)) {
		fc_grpc_fail(c, s, FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_OUT_OF_MEMORY,
		    "out of memory for the response's metadata");
		return;
	}
	finish(c, s, &tail, FC_H2_NO_ERROR);
}

static void
too_much(fc_h2 *c, fc_h2_stream *s)
{
	fc_grpc_fail(c, s, FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_TOO_LARGE,
	    "the response's header list is larger than %lu bytes or %u fields",
	    (unsigned long)c->config.max_metadata, FC_FIELDS_MOST);
}

/* One that we lack fails the call when a message is said to be compressed. */
static void
take_coding(const fc_h2 *c, fc_h2_stream *s, uint64_t coding)
{
	if (coding == FC_CODING_IDENTITY)
		return;
	s->flags |= FC_STREAM_ENCODED;
	if (coding == FC_CODING_GZIP || coding == FC_CODING_DEFLATE)
		s->seen.peer_coding = (uint8_t)(coding & c->config.codings);
}

/* The first list that is not an interim one and does not end the stream. */
static void
take_head(fc_h2 *c, fc_h2_stream *s, const fc_field_set *set)
{
	const fc_field *type = set->known[FC_TOKEN_CONTENT_TYPE];
	fc_head head;

	if (s->refused != 0) {
		finish_by_http(c, s);
		return;
	}
	if ((set->says & FC_SAYS(FC_TOKEN_CONTENT_TYPE)) == 0 || type->number != 1) {
		finish_otherwise(
		    c, s, FARCALL_UNKNOWN, "the server's answer is not of a gRPC content-type");
		return;
	}
	if ((set->says & FC_SAYS(FC_TOKEN_GRPC_ENCODING)) != 0)
		take_coding(c, s, set->known[FC_TOKEN_GRPC_ENCODING]->number);
	s->flags |= FC_STREAM_HEAD_IN;
	if (!fc_h2_listens(s))
		return;
	memset(&head, 0, sizeof head);
	head.timeout_ns = FC_NEVER;
	if (!fc_grpc_pairs(c, set, &head.n_metadata, &head.metadata))
		fc_grpc_fail(c, s, FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_OUT_OF_MEMORY,
		    "out of memory for the response's metadata");
	else
		c->events->on_head(c->owner, &s->seen, &head);
}

/* A list that must have :status. */
static void
first_list(fc_h2 *c, fc_h2_stream *s, const fc_field_set *set, bool end)
{
	const uint32_t wrong = FC_SAYS_MALFORMED | FC_SAYS(FC_TOKEN_METHOD) |
	    FC_SAYS(FC_TOKEN_SCHEME) | FC_SAYS(FC_TOKEN_PATH) | FC_SAYS(FC_TOKEN_AUTHORITY);
	uint32_t status;

	if ((set->says & (wrong | FC_SAYS(FC_TOKEN_STATUS))) != FC_SAYS(FC_TOKEN_STATUS)) {
		malformed(c, s, "the server's answer is malformed");
		return;
	}
	status = (uint32_t)set->known[FC_TOKEN_STATUS]->number;
	if (status < 200) {
		if (end || status == 101)
			malformed(c, s, "an interim answer ends the stream");
		else
			fc_h2_idle_frame(c, FC_IDLE_INTERIM);
		return;
	}
	s->refused = status != 200 ? status : 0;
	if ((set->says & FC_SAYS(FC_TOKEN_CONTENT_LENGTH)) != 0)
		s->content_left = set->known[FC_TOKEN_CONTENT_LENGTH]->number;
	if (!end)
		take_head(c, s, set);
	else if (fc_h2_remote_end(c, s))
		take_tail(c, s, set);
}

void
fc_grpc_response(fc_h2 *c, fc_h2_stream *s, const fc_field_set *set, bool too_large, bool end)
{
	if (too_large)
		too_much(c, s);
	else if ((s->flags & FC_STREAM_HEAD_IN) == 0)
		first_list(c, s, set, end);
	else if (!end || (set->says & (FC_SAYS_MALFORMED | FC_SAYS_PSEUDO)) != 0)
		malformed(c, s, "the server's trailers are malformed");
	else if (fc_h2_remote_end(c, s))
		take_tail(c, s, set);
}

void
fc_grpc_response_end(fc_h2 *c, fc_h2_stream *s)
{
	finish_otherwise(c, s, FARCALL_UNKNOWN, "the server sent no grpc-status");
}
