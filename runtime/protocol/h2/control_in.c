/*
 * control_in.c: the small frames: PRIORITY, RST_STREAM, PING, GOAWAY, WINDOW_UPDATE. RFC 9113
 * sections 6.3, 6.4, 6.6 to 6.9. What only costs the peer nothing and us something is counted
 * (abuse.c).
 */
#include "runtime/protocol/grpc/grpc.h"

#include <stdio.h>

static void
not_open(fc_h2 *c, const char *frame, uint32_t id)
{
	fc_h2_fail(c, FC_H2_PROTOCOL_ERROR, FARCALL_CAUSE_PROTOCOL,
	    "%s on stream %u, which is not open", frame, (unsigned)id);
}

void
fc_h2_priority(fc_h2 *c, const fc_h2_frame *frame, const uint8_t *payload)
{
	fc_h2_stream *s;

	if (!fc_h2_idle_frame(c, FC_IDLE_PRIORITY) ||
	    (fc_get32(payload) & FC_H2_ID_MOST) != frame->id)
		return;
	s = fc_h2_stream_find(c, frame->id);
	if (s != NULL && !fc_h2_closed(s))
		fc_h2_stream_fail(c, s, FC_H2_PROTOCOL_ERROR, "the stream depends on itself");
	else if (fc_h2_stream_idle(c, frame->id))
		fc_h2_fail(c, FC_H2_PROTOCOL_ERROR, FARCALL_CAUSE_PROTOCOL,
		    "PRIORITY: stream %u depends on itself", (unsigned)frame->id);
}

void
fc_h2_rst_stream(fc_h2 *c, const fc_h2_frame *frame, const uint8_t *payload)
{
	fc_h2_stream *s;

	if (fc_h2_stream_idle(c, frame->id)) {
		not_open(c, "RST_STREAM", frame->id);
		return;
	}
	if (!c->config.client && !fc_h2_count_reset(c))
		return;
	s = fc_h2_stream_find(c, frame->id);
	if (s == NULL || fc_h2_closed(s)) {
		fc_h2_idle_frame(c, FC_IDLE_CLOSED);
		return;
	}
	fc_h2_reset_by_peer(c, s);
	fc_grpc_reset(c, s, fc_get32(payload));
}

void
fc_h2_push_promise(fc_h2 *c, const fc_h2_frame *frame, const uint8_t *payload)
{
	(void)payload;
	fc_h2_fail(c, FC_H2_PROTOCOL_ERROR, FARCALL_CAUSE_PROTOCOL,
	    "PUSH_PROMISE on stream %u, but push is switched off", (unsigned)frame->id);
}

/* What the PING of a drain carries. */
const uint8_t fc_h2_drain_ping[8] = {'f', 'c', 'd', 'r', 'a', 'i', 'n', 0};

void
fc_h2_ping(fc_h2 *c, const fc_h2_frame *frame, const uint8_t *payload)
{
	uint8_t *p;

	if ((frame->flags & FC_H2_ACK) != 0) {
		if (c->drain == FC_DRAIN_ASKED && !c->config.client &&
		    memcmp(payload, fc_h2_drain_ping, 8) == 0)
			fc_h2_drain_tell(c);
		else if (!fc_h2_keepalive_answered(c, payload))
			fc_h2_idle_frame(c, FC_IDLE_UNKNOWN);
		return;
	}
	if (!fc_h2_idle_frame(c, FC_IDLE_PING) || !fc_h2_ping_in_time(c))
		return;
	p = fc_h2_control(c, FC_H2_PING, FC_H2_ACK, 0, 8, true);
	if (p != NULL)
		memcpy(p, payload, 8);
}

/* Streams above the last one that the server has seen go back to their owners. */
static void
abort_unseen(fc_h2 *c, uint32_t last)
{
	fc_abort abort = {
	    FARCALL_UNAVAILABLE, FARCALL_CAUSE_SHUTDOWN, c->farewell.text, true, false};

	for (uint32_t i = 0; c->streams.slots != NULL && i <= c->streams.mask; i++) {
		fc_h2_stream *s = (fc_h2_stream *)c->streams.slots[i].value;

		if (s == NULL || s->id <= last || fc_h2_closed(s))
			continue;
		fc_h2_reset_by_peer(c, s);
		fc_h2_abort_event(c, s, &abort);
	}
}

/* gRFC A8: it is these two that tell it from other reasons. */
static bool
is_too_many_pings(uint32_t code, const uint8_t *text, size_t size)
{
	return code == FC_H2_ENHANCE_YOUR_CALM && size == sizeof FC_H2_TOO_MANY_PINGS - 1 &&
	    memcmp(text, FC_H2_TOO_MANY_PINGS, size) == 0;
}

/* A server that we have asked too often lacks nothing: calls may be tried again. */
static void
write_farewell(fc_h2 *c, uint32_t code, const uint8_t *text, size_t size)
{
	bool lacks = code == FC_H2_ENHANCE_YOUR_CALM && !is_too_many_pings(code, text, size);
	char shown[128];
	size_t n = FC_MIN(size, sizeof shown - 1);

	for (size_t i = 0; i < n; i++)
		shown[i] = (char)(text[i] >= 0x20 && text[i] < 0x7f ? text[i] : '?');
	shown[n] = 0;
	fc_error_clear(&c->farewell);
	fc_fail(&c->farewell, lacks ? FARCALL_RESOURCE_EXHAUSTED : FARCALL_UNAVAILABLE,
	    code == FC_H2_NO_ERROR                ? FARCALL_CAUSE_SHUTDOWN
	        : code == FC_H2_ENHANCE_YOUR_CALM ? FARCALL_CAUSE_LIMIT
	                                          : FARCALL_CAUSE_PROTOCOL,
	    "the server is going away: GOAWAY %s%s%s", fc_h2_code_name(code), n != 0 ? ": " : "",
	    shown);
}

void
fc_h2_goaway_in(fc_h2 *c, const fc_h2_frame *frame, const uint8_t *payload)
{
	uint32_t last = fc_get32(payload) & FC_H2_ID_MOST, code = fc_get32(payload + 4);

	if (!c->config.client) {
		fc_h2_idle_frame(c, FC_IDLE_UNKNOWN); /* we open no streams; it may go on */
		return;
	}
	if (c->going_away && last > c->goaway) {
		fc_h2_fail(c, FC_H2_PROTOCOL_ERROR, FARCALL_CAUSE_PROTOCOL,
		    "GOAWAY: the last stream went up from %u to %u", (unsigned)c->goaway,
		    (unsigned)last);
		return;
	}
	if (c->going_away && !fc_h2_idle_frame(c, FC_IDLE_UNKNOWN))
		return;
	write_farewell(c, code, payload + 8, frame->length - 8);
	if (is_too_many_pings(code, payload + 8, frame->length - 8) &&
	    c->events->on_too_many_pings != NULL)
		c->events->on_too_many_pings(c->owner, c->config.keepalive_ns);
	c->goaway = last;
	if (!c->going_away) {
		c->going_away = true;
		c->events->on_goaway(c->owner, &c->farewell);
	}
	abort_unseen(c, last);
}

void
fc_h2_window_update(fc_h2 *c, const fc_h2_frame *frame, const uint8_t *payload)
{
	uint32_t size = fc_get32(payload) & FC_H2_ID_MOST;
	fc_h2_stream *s = NULL;
	int32_t *window = &c->send_window;

	if (frame->id != 0 && fc_h2_stream_idle(c, frame->id)) {
		not_open(c, "WINDOW_UPDATE", frame->id);
		return;
	}
	if (size == 0) {
		fc_h2_fail(c, FC_H2_PROTOCOL_ERROR, FARCALL_CAUSE_PROTOCOL,
		    "WINDOW_UPDATE of 0 on stream %u", (unsigned)frame->id);
		return;
	}
	if (!fc_h2_idle_frame(c, FC_IDLE_WINDOW))
		return;
	if (frame->id != 0) {
		s = fc_h2_stream_find(c, frame->id);
		if (s == NULL || fc_h2_closed(s))
			return; /* may cross with the stream's end */
		window = &s->send_window;
	}
	if ((int64_t)*window + size <= FC_H2_WINDOW_MOST) {
		*window += (int32_t)size;
		if (s != NULL)
			fc_h2_wait(c, s);
		fc_h2_pump(c);
	} else if (s != NULL) {
		fc_h2_stream_fail(c, s, FC_H2_FLOW_CONTROL_ERROR, "its window passed 2^31-1");
	} else {
		fc_h2_fail(c, FC_H2_FLOW_CONTROL_ERROR, FARCALL_CAUSE_PROTOCOL,
		    "the connection's window passed 2^31-1");
	}
}
