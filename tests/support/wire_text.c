/*
 * wire_text.c: events and frames as lines of text.
 */
#include "tests/support/test.h"

#include "tests/support/wire.h"

#include <stdio.h>

static const fc_engine_ops *const ops = &fc_h2_engine;

/* ---- what happened, as text ---- */

static void
note(wire *w, const char *format, ...)
{
	va_list arguments;
	int size;

	if (w->quiet)
		return;
	va_start(arguments, format);
	size =
	    vsnprintf(w->events + w->n_events, sizeof w->events - w->n_events, format, arguments);
	va_end(arguments);
	assert_true(size >= 0 && (size_t)size < sizeof w->events - w->n_events);
	w->n_events += (size_t)size;
}

/* Short and printable as it is; else its size. */
static void
show_bytes(char *to, size_t room, const uint8_t *bytes, size_t size)
{
	bool plain = size <= 60;
	size_t n = 0;

	for (size_t i = 0; i < size && plain; i++)
		plain = bytes[i] >= 0x20 && bytes[i] < 0x7f;
	if (plain)
		snprintf(to, room, "\"%.*s\"", (int)size, (const char *)bytes);
	else if (size > 24)
		snprintf(to, room, "(%zu)", size);
	else
		for (size_t i = 0; i < size; i++)
			n += (size_t)snprintf(to + n, room - n, "%02x", bytes[i]);
}

static void
call_hook(wire *w, const char *what, fc_stream *stream)
{
	if (w->hook != NULL)
		w->hook(w, what, stream);
}

static void
note_metadata(wire *w, size_t n, const fc_pair *metadata)
{
	for (size_t i = 0; i < n; i++)
		note(w, " %.*s=%.*s%s%s", (int)metadata[i].name_size, metadata[i].name,
		    (int)metadata[i].value_size, metadata[i].value,
		    metadata[i].flags & FC_PAIR_BASE64 ? "[base64]" : "",
		    metadata[i].flags & FC_PAIR_SENSITIVE ? "[sensitive]" : "");
	note(w, "\n");
}

/* ---- events ---- */

static const void *
on_lookup(void *owner, const char *path, size_t size)
{
	(void)owner;
	return size >= 5 && memcmp(path, "/t.T/", 5) == 0 ? owner : NULL;
}

static void
on_request(void *owner, fc_stream *stream, const fc_head *head)
{
	wire *w = (wire *)owner;

	if (wire_id(stream) / 2 < WIRE_STREAMS)
		w->streams[wire_id(stream) / 2] = stream;
	note(w, "request %u %.*s%s", wire_id(stream), (int)head->path.size, head->path.at,
	    head->method == NULL ? " unknown" : "");
	if (head->authority.size != 0)
		note(w, " at %.*s", (int)head->authority.size, head->authority.at);
	if (head->timeout_ns != FC_NEVER)
		note(w, " in %llu", (unsigned long long)head->timeout_ns);
	note_metadata(w, head->n_metadata, head->metadata);
	call_hook(w, "request", stream);
}

static void
on_head(void *owner, fc_stream *stream, const fc_head *head)
{
	note((wire *)owner, "head %u", wire_id(stream));
	note_metadata((wire *)owner, head->n_metadata, head->metadata);
	call_hook((wire *)owner, "head", stream);
}

static void
on_message(void *owner, fc_stream *stream, const uint8_t *bytes, size_t size)
{
	char text[80];

	show_bytes(text, sizeof text, bytes, size);
	note((wire *)owner, "message %u %s\n", wire_id(stream), text);
	call_hook((wire *)owner, "message", stream);
}

static void
on_half_close(void *owner, fc_stream *stream)
{
	note((wire *)owner, "half-close %u\n", wire_id(stream));
	call_hook((wire *)owner, "half-close", stream);
}

static void
on_tail(void *owner, fc_stream *stream, const fc_tail *tail)
{
	call_hook((wire *)owner, "tail-begins", stream);
	note((wire *)owner, "tail %u %s", wire_id(stream), farcall_code_name(tail->code));
	if (tail->cause != FARCALL_CAUSE_NONE)
		note((wire *)owner, " (%s)", farcall_cause_name(tail->cause));
	if (tail->message.size != 0)
		note((wire *)owner, " \"%.*s\"", (int)tail->message.size, tail->message.at);
	note_metadata((wire *)owner, tail->n_metadata, tail->metadata);
	call_hook((wire *)owner, "tail", stream);
}

static void
on_abort(void *owner, fc_stream *stream, const fc_abort *abort)
{
	note((wire *)owner, "abort %u %s (%s)%s \"%s\"\n", wire_id(stream),
	    farcall_code_name(abort->code), farcall_cause_name(abort->cause),
	    abort->unseen ? " unseen" : "", abort->text);
	call_hook((wire *)owner, "abort", stream);
}

static void
on_sent(void *owner, fc_stream *stream)
{
	note((wire *)owner, "sent %u\n", wire_id(stream));
	call_hook((wire *)owner, "sent", stream);
}

static void
on_ready(void *owner)
{
	note((wire *)owner, "ready\n");
	call_hook((wire *)owner, "ready", NULL);
}

static void
on_capacity(void *owner)
{
	note((wire *)owner, "capacity\n");
	call_hook((wire *)owner, "capacity", NULL);
}

static void
on_goaway(void *owner, const fc_error *why)
{
	note((wire *)owner, "goaway %s (%s) \"%s\"\n", farcall_code_name(why->code),
	    farcall_cause_name(why->cause), why->text);
	call_hook((wire *)owner, "goaway", NULL);
}

static void
on_too_many_pings(void *owner, uint64_t keepalive_ns)
{
	note((wire *)owner, "too many pings, every %llu ms\n",
	    (unsigned long long)(keepalive_ns / FC_NS_PER_MS));
}

static void
on_drained(void *owner)
{
	note((wire *)owner, "drained\n");
	call_hook((wire *)owner, "drained", NULL);
}

static void
on_dead(void *owner, const fc_error *why)
{
	note((wire *)owner, "dead %s (%s) \"%s\"\n", farcall_code_name(why->code),
	    farcall_cause_name(why->cause), why->text);
	call_hook((wire *)owner, "dead", NULL);
}

const fc_engine_events wire_events = {on_lookup, on_request, on_head, on_message, on_half_close,
    on_tail, on_abort, on_sent, on_ready, on_capacity, on_goaway, on_too_many_pings, on_drained,
    on_dead};

/* ---- out ---- */

typedef struct text {
	char *at;
	size_t room;
} text;

static void
say(text *to, const char *format, ...)
{
	va_list arguments;
	int size;

	va_start(arguments, format);
	size = vsnprintf(to->at, to->room, format, arguments);
	va_end(arguments);
	assert_true(size >= 0 && (size_t)size < to->room);
	to->at += size;
	to->room -= (size_t)size;
}

static void
say_field(text *to, const fc_field *field)
{
	say(to, " %.*s=%.*s%s", (int)field->name_size, field->name, (int)field->value_size,
	    field->value, field->flags & FC_FIELD_NEVER_INDEXED ? "[never]" : "");
}

static void
say_block(wire *w, text *to, const uint8_t *block, size_t size)
{
	fc_field_set set;

	assert_int_equal(fc_hpack_decode(w->decoder, block, size, &set), FC_HPACK_OK);
	assert_int_equal(set.says & FC_SAYS_MALFORMED, 0);
	for (uint32_t token = FC_TOKEN_METHOD; token < FC_TOKENS; token++)
		if ((set.says & FC_SAYS(token)) != 0)
			say_field(to, set.known[token]);
	for (size_t i = 0; i < set.n_metadata; i++)
		say_field(to, set.metadata[i]);
}

static void
say_settings(text *to, unsigned flags, const uint8_t *p, size_t size)
{
	if ((flags & FC_H2_ACK) != 0)
		say(to, "SETTINGS ack");
	else
		say(to, "SETTINGS");
	for (size_t i = 0; i < size; i += 6)
		say(to, " %u=%u", fc_get16(p + i), fc_get32(p + i + 2));
}

static void
say_frame(
    wire *w, text *to, unsigned type, unsigned flags, uint32_t id, const uint8_t *p, size_t size)
{
	char shown[80];

	switch (type) {
	case FC_H2_DATA:
		show_bytes(shown, sizeof shown, p, size);
		say(to, "DATA %u%s %s", id, flags & FC_H2_END_STREAM ? " end" : "", shown);
		break;
	case FC_H2_HEADERS:
		say(to, "HEADERS %u%s", id, flags & FC_H2_END_STREAM ? " end" : "");
		if ((flags & FC_H2_END_HEADERS) != 0)
			say_block(w, to, p, size);
		break;
	case FC_H2_RST_STREAM:
		say(to, "RST %u %s", id, fc_h2_code_name(fc_get32(p)));
		break;
	case FC_H2_SETTINGS:
		say_settings(to, flags, p, size);
		break;
	case FC_H2_PING:
		say(to, "PING%s %.8s", flags & FC_H2_ACK ? " ack" : "", (const char *)p);
		break;
	case FC_H2_GOAWAY:
		say(to, "GOAWAY %u %s \"%.*s\"", fc_get32(p), fc_h2_code_name(fc_get32(p + 4)),
		    (int)size - 8, (const char *)p + 8);
		break;
	case FC_H2_WINDOW_UPDATE:
		say(to, "WINDOW %u %u", id, fc_get32(p));
		break;
	default:
		say(to, "FRAME type %u flags %u stream %u (%zu)", type, flags, id, size);
	}
	say(to, "\n");
}

const char *
wire_said(wire *w)
{
	text to = {w->frames, sizeof w->frames};

	w->frames[0] = 0;
	wire_take_output(w);
	if (w->config.client && w->out_read == 0 && w->out_size >= 24) {
		assert_memory_equal(w->out, FC_H2_PREFACE, 24);
		w->out_read = 24;
	}
	while (w->out_read < w->out_size) {
		const uint8_t *p = w->out + w->out_read;
		size_t size = fc_get24(p);

		assert_true(w->out_size - w->out_read >= 9 + size);
		say_frame(w, &to, p[3], p[4], fc_get32(p + 5), p + 9, size);
		w->out_read += 9 + size;
	}
	return w->frames;
}

const char *
wire_seen(wire *w)
{
	w->events[w->n_events] = 0;
	w->n_events = 0;
	return w->events;
}

void
wire_sees_at(wire *w, const char *expected, const char *file, int line)
{
	const char *seen = wire_seen(w);

	if (strcmp(seen, expected) != 0) {
		print_error("%s:%d (%s): events\n%s--- expected\n%s", file, line,
		    w->bytewise ? "one byte at a time" : "whole", seen, expected);
		fail();
	}
}

void
wire_says_at(wire *w, const char *expected, const char *file, int line)
{
	const char *said = wire_said(w);

	if (strcmp(said, expected) != 0) {
		print_error("%s:%d (%s): frames out\n%s--- expected\n%s", file, line,
		    w->bytewise ? "one byte at a time" : "whole", said, expected);
		fail();
	}
}

void
wire_dies(wire *w, const char *frames, const char *seen)
{
	wire_sees(w, seen);
	wire_says(w, frames);
	assert_true(wire_is_dead(w));
	wire_ping(w, false, "ignored.");
	wire_call(w, 99, true);
	wire_says(w, "");
	wire_sees(w, "");
	assert_true(ops->due(w->engine) == FC_NEVER);
}

bool
wire_is_dead(const wire *w)
{
	return w->engine->dead;
}
