/*
 * frames_in.c: from bytes to frames. A frame that lies whole in the input is handled where it lies;
 * of others the payload is gathered first, except DATA, which passes through as it comes. The rules
 * of RFC 9113 section 6 about lengths and stream numbers stand in one table and are checked as soon
 * as a frame's head is there, so a frame fails the same however it is cut.
 */
#include "runtime/protocol/h2/connection.h"

enum { ON_CONNECTION = 1, ON_STREAM = 2 };

typedef void handler(fc_h2 *c, const fc_h2_frame *frame, const uint8_t *payload);

static const struct rule {
	const char *name;
	uint32_t least, most; /* length */
	unsigned where;
	handler *handle;
} rules[FC_H2_TYPES] = {
    [FC_H2_DATA] = {"DATA", 0, FC_H2_FRAME_SIZE, ON_STREAM, NULL},
    [FC_H2_HEADERS] = {"HEADERS", 0, FC_H2_FRAME_SIZE, ON_STREAM, fc_h2_headers},
    [FC_H2_PRIORITY] = {"PRIORITY", 5, 5, ON_STREAM, fc_h2_priority},
    [FC_H2_RST_STREAM] = {"RST_STREAM", 4, 4, ON_STREAM, fc_h2_rst_stream},
    [FC_H2_SETTINGS] = {"SETTINGS", 0, FC_H2_FRAME_SIZE, ON_CONNECTION, fc_h2_settings_in},
    [FC_H2_PUSH_PROMISE] = {"PUSH_PROMISE", 0, FC_H2_FRAME_SIZE, ON_STREAM, fc_h2_push_promise},
    [FC_H2_PING] = {"PING", 8, 8, ON_CONNECTION, fc_h2_ping},
    [FC_H2_GOAWAY] = {"GOAWAY", 8, FC_H2_FRAME_SIZE, ON_CONNECTION, fc_h2_goaway_in},
    [FC_H2_WINDOW_UPDATE] = {"WINDOW_UPDATE", 4, 4, ON_CONNECTION | ON_STREAM, fc_h2_window_update},
    [FC_H2_CONTINUATION] = {"CONTINUATION", 0, FC_H2_FRAME_SIZE, ON_STREAM, fc_h2_continuation},
};

static const char *
name_of(unsigned type)
{
	return type < FC_H2_TYPES ? rules[type].name : "unknown";
}

/* RFC 9113 3.4, 6.2: what must come now. */
static bool
in_order(fc_h2 *c, const fc_h2_frame *frame)
{
	if (c->block_id != 0 && (frame->type != FC_H2_CONTINUATION || frame->id != c->block_id)) {
		fc_h2_fail(c, FC_H2_PROTOCOL_ERROR, FARCALL_CAUSE_PROTOCOL,
		    "%s frame (type %u, stream %u) inside the header block of stream %u",
		    name_of(frame->type), (unsigned)frame->type, (unsigned)frame->id,
		    (unsigned)c->block_id);
		return false;
	}
	if (c->block_id == 0 && frame->type == FC_H2_CONTINUATION) {
		fc_h2_fail(c, FC_H2_PROTOCOL_ERROR, FARCALL_CAUSE_PROTOCOL,
		    "CONTINUATION frame on stream %u continues nothing", (unsigned)frame->id);
		return false;
	}
	if (c->preface && (frame->type != FC_H2_SETTINGS || (frame->flags & FC_H2_ACK) != 0)) {
		fc_h2_fail(c, FC_H2_PROTOCOL_ERROR, FARCALL_CAUSE_PROTOCOL,
		    "the first frame is no SETTINGS but %s (type %u)", name_of(frame->type),
		    (unsigned)frame->type);
		return false;
	}
	return true;
}

static bool
follows_rule(fc_h2 *c, const fc_h2_frame *frame)
{
	const struct rule *rule = &rules[frame->type];

	if (frame->length < rule->least || frame->length > rule->most) {
		fc_h2_fail(c, FC_H2_FRAME_SIZE_ERROR, FARCALL_CAUSE_PROTOCOL,
		    "%s frame of %u bytes", rule->name, (unsigned)frame->length);
		return false;
	}
	if ((rule->where & (frame->id != 0 ? ON_STREAM : ON_CONNECTION)) == 0) {
		fc_h2_fail(c, FC_H2_PROTOCOL_ERROR, FARCALL_CAUSE_PROTOCOL, "%s frame on stream %u",
		    rule->name, (unsigned)frame->id);
		return false;
	}
	return true;
}

/* The rules, but for frames of calls that plainly follow them. false: the connection has failed. */
static bool
check_head(fc_h2 *c, const uint8_t *head)
{
	fc_h2_frame *frame = &c->frame;

	if (FARCALL_UNLIKELY(c->preface && c->config.client && frame->type != FC_H2_SETTINGS)) {
		fc_h2_not_http2(c, head, FC_H2_HEAD);
		return false;
	}
	if (FARCALL_UNLIKELY(frame->length > FC_H2_FRAME_SIZE)) {
		fc_h2_fail(c, FC_H2_FRAME_SIZE_ERROR, FARCALL_CAUSE_PROTOCOL,
		    "%s frame of %u bytes is larger than %u", name_of(frame->type),
		    (unsigned)frame->length, FC_H2_FRAME_SIZE);
		return false;
	}
	if (FARCALL_UNLIKELY(c->block_id != 0 || frame->type == FC_H2_CONTINUATION || c->preface) &&
	    !in_order(c, frame))
		return false;
	return frame->type >= FC_H2_TYPES || follows_rule(c, frame);
}

/* Reads a frame's head into c->frame. false: the connection has failed. */
static inline bool
take_head(fc_h2 *c, const uint8_t *head)
{
	uint32_t first = fc_get32(head), id = fc_get32(head + 5) & FC_H2_ID_MOST;

	c->frame.length = first >> 8;
	c->frame.type = (uint8_t)first;
	c->frame.flags = head[4];
	c->frame.id = id;
	if (FARCALL_LIKELY((uint8_t)first <= FC_H2_HEADERS && first >> 8 <= FC_H2_FRAME_SIZE &&
	        id != 0 && c->block_id == 0 && !c->preface))
		return true;
	return check_head(c, head);
}

static void
handle(fc_h2 *c, const uint8_t *payload)
{
	if (FARCALL_LIKELY(c->frame.type < FC_H2_TYPES))
		rules[c->frame.type].handle(c, &c->frame, payload);
	else
		fc_h2_idle_frame(c, FC_IDLE_UNKNOWN);
	if (c->tasks != 0)
		fc_h2_settle(c);
}

/* A frame whose head lies whole at `p`. */
static const uint8_t *
take_frame(fc_h2 *c, const uint8_t *p, const uint8_t *end)
{
	if (!take_head(c, p))
		return end;
	p += FC_H2_HEAD;
	if (c->frame.type == FC_H2_DATA) {
		if (FARCALL_LIKELY(c->frame.length <= (size_t)(end - p)) && fc_h2_data_whole(c, p))
			return p + c->frame.length;
		fc_h2_data_begin(c);
		return p;
	}
	if (c->frame.length <= (size_t)(end - p)) {
		handle(c, p);
		return p + c->frame.length;
	}
	c->head_size = FC_H2_HEAD; /* the rest comes in parts */
	return p;
}

/* The head of a frame is not whole: gathers it. */
static const uint8_t *
take_part_of_head(fc_h2 *c, const uint8_t *p, const uint8_t *end)
{
	size_t n = FC_MIN((size_t)(FC_H2_HEAD - c->head_size), (size_t)(end - p));

	memcpy(c->head + c->head_size, p, n);
	c->head_size = (uint8_t)(c->head_size + n);
	if (c->head_size < FC_H2_HEAD)
		return p + n;
	if (!take_head(c, c->head))
		return end;
	if (c->frame.type == FC_H2_DATA) {
		c->head_size = 0;
		fc_h2_data_begin(c);
	} else if (c->frame.length == 0) {
		c->head_size = 0;
		handle(c, c->head);
	}
	return p + n;
}

/* The head is known, the payload is not whole: gathers it. */
static const uint8_t *
take_part(fc_h2 *c, const uint8_t *p, const uint8_t *end)
{
	size_t n = FC_MIN(c->frame.length - fc_buf_size(&c->payload), (size_t)(end - p));

	if (!fc_buf_append(&c->payload, p, n)) {
		fc_h2_fail(c, FC_H2_INTERNAL_ERROR, FARCALL_CAUSE_OUT_OF_MEMORY, "out of memory");
		return end;
	}
	if (fc_buf_size(&c->payload) == c->frame.length) {
		c->head_size = 0;
		handle(c, c->payload.data + c->payload.from);
		fc_buf_fini(&c->payload);
	}
	return p + n;
}

void
fc_h2_input(fc_engine *c, const uint8_t *bytes, size_t size, uint64_t now)
{
	const uint8_t *p = bytes, *end = bytes + size;

	c->now = c->heard = now;
	if (c->tasks != 0)
		fc_h2_settle(c);
	if (FARCALL_UNLIKELY(c->preface_size < FC_H2_PREFACE_SIZE) && p != end && !c->dead)
		p = fc_h2_preface(c, p, end);
	while (p != end && !c->dead) {
		if (c->in_data)
			p = fc_h2_data_more(c, p, end);
		else if (c->head_size == FC_H2_HEAD)
			p = take_part(c, p, end);
		else if (c->head_size != 0 || end - p < (ptrdiff_t)FC_H2_HEAD)
			p = take_part_of_head(c, p, end);
		else
			p = take_frame(c, p, end);
	}
}
