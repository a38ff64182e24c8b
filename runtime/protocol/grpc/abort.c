/*
 * abort.c: calls that end otherwise than by their tail: by the peer's reset, with the connection,
 * or because something in them is against the rules or over a limit.
 */
#include "runtime/protocol/grpc/grpc.h"

#include "runtime/protocol/grpc/text.h"

#include <stdarg.h>

static farcall_cause
cause_of_reset(uint32_t code)
{
	switch (code) {
	case FC_H2_NO_ERROR:
	case FC_H2_CANCEL:
		return FARCALL_CAUSE_NONE;
	case FC_H2_REFUSED_STREAM:
	case FC_H2_ENHANCE_YOUR_CALM:
		return FARCALL_CAUSE_LIMIT;
	default:
		return FARCALL_CAUSE_PROTOCOL;
	}
}

void
fc_grpc_reset(fc_h2 *c, fc_h2_stream *s, uint32_t code)
{
	bool client = c->config.client;
	fc_error text;
	fc_abort abort;

	if (!fc_h2_listens(s))
		return;
	fc_error_clear(&text);
	abort.code = client ? fc_grpc_code_of_reset(code) : FARCALL_CANCELLED;
	abort.cause = cause_of_reset(code);
	abort.unseen = client && code == FC_H2_REFUSED_STREAM;
	abort.unsent = false;
	fc_fail(&text, abort.code, abort.cause, "the %s reset the stream: %s",
	    client ? "server" : "client", fc_h2_code_name(code));
	abort.text = text.text;
	fc_h2_abort_event(c, s, &abort);
}

void
fc_grpc_lost(fc_h2 *c, fc_h2_stream *s, const fc_error *why, bool unseen)
{
	fc_abort abort = {.code = c->config.client ? why->code : FARCALL_CANCELLED,
	    .cause = why->cause,
	    .text = why->text,
	    .unseen = unseen,
	    .unsent = unseen};

	fc_h2_abort_event(c, s, &abort);
}

/* Server: tells the peer, unless the answer has got too far. */
static void
answer(fc_h2 *c, fc_h2_stream *s, const fc_error *error)
{
	fc_tail tail = {error->code, fc_text_of(error->text), 0, NULL, FARCALL_CAUSE_NONE};

	if (s->pending.size == 0 && (s->flags & FC_STREAM_LOCAL_END) == 0 &&
	    fc_grpc_put_tail(c, s, &tail)) {
		fc_h2_local_ended(c, s);
		if (!fc_h2_closed(s))
			fc_h2_reset(c, s, FC_H2_NO_ERROR);
	} else {
		fc_h2_reset(c, s, (fc_h2_code)fc_grpc_reset_of_code(error->code));
	}
}

void
fc_grpc_fail(
    fc_h2 *c, fc_h2_stream *s, farcall_code code, farcall_cause cause, const char *format, ...)
{
	fc_error error;
	fc_abort abort = {code, cause, error.text, false, false};
	va_list arguments;

	fc_error_clear(&error);
	va_start(arguments, format);
	fc_vfail(&error, code, cause, format, arguments);
	va_end(arguments);
	if (c->config.client)
		fc_h2_reset(c, s, FC_H2_CANCEL);
	else if (!fc_h2_closed(s))
		answer(c, s, &error);
	fc_h2_abort_event(c, s, &abort);
}
