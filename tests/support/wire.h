/*
 * wire.h: one engine against a script of bytes. A scenario feeds bytes and checks, as text, which
 * events were raised and which frames came out; wire_run() runs it twice, with the bytes whole and
 * one at a time, and also demands that the bytes out are the same.
 *
 * What the engine's owner does with its streams is the scenario's business: by its hook, called in
 * each event, or between feeds, by number.
 */
#ifndef FC_TEST_WIRE_H
#define FC_TEST_WIRE_H

#include "runtime/protocol/h2/connection.h"

typedef struct wire wire;

/* One field of a header block to be fed. */
typedef struct wire_field {
	const char *name, *value;
} wire_field;

/* In an event; `what` is its name: "request", "head", "message", "half-close", "tail-begins",
 * "tail", "abort", "sent", "ready", "capacity", "goaway", "drained", "dead". */
typedef void wire_hook(wire *w, const char *what, fc_stream *stream);

#define WIRE_STREAMS 4096

struct wire {
	fc_pool pool;
	fc_engine_config config;
	fc_engine *engine;
	uint64_t now;
	bool bytewise;
	bool quiet; /* events are not written down */
	bool hold;  /* feeding takes no output */
	wire_hook *hook;
	fc_stream *streams[WIRE_STREAMS]; /* by number / 2, while the owner holds them */

	char events[65536]; /* since the last check */
	size_t n_events;
	uint8_t *out; /* all bytes that came out */
	size_t out_size, out_room, out_read;
	fc_hpack_decoder *decoder; /* the peer's */
	char frames[262144];
};

/* The scenario runs after `wire_open()`, unless it opens by itself: see wire_run_unopened(). */
typedef void wire_scenario(wire *w);
void wire_run(wire_scenario *scenario, bool client);
void wire_run_unopened(wire_scenario *scenario, bool client);
void wire_open(wire *w);

/* Bytes into the engine. */
void wire_feed(wire *w, const void *bytes, size_t size);
void wire_feed_text(wire *w, const char *text);
void wire_frame(
    wire *w, unsigned type, unsigned flags, uint32_t id, const void *payload, size_t size);
void wire_preface(wire *w);  /* of a client: with SETTINGS */
void wire_greeting(wire *w); /* server: preface and acknowledgement; client: SETTINGS and the same;
                              * what comes out of it is dropped */
void wire_settings(wire *w, const uint32_t *pairs, size_t n); /* n pairs: id, value, id, value… */
void wire_ack(wire *w);
void wire_window(wire *w, uint32_t id, uint32_t size);
void wire_rst(wire *w, uint32_t id, uint32_t code);
void wire_ping(wire *w, bool ack, const char text[8]);
void wire_goaway(wire *w, uint32_t last, uint32_t code, const char *text);
void wire_data(wire *w, uint32_t id, bool end, const void *bytes, size_t size);
void wire_message(wire *w, uint32_t id, bool end, const char *text); /* with its prefix */
void wire_message_of(wire *w, uint32_t id, bool end, size_t size);   /* of 'x', in frames */

/* A header block of literals; `fields` ends with a NULL name. */
size_t wire_block(uint8_t *to, const wire_field *fields);
void wire_headers(wire *w, uint32_t id, bool end, const wire_field *fields);
void wire_call(wire *w, uint32_t id, bool end); /* a plain request: "/t.T/Say" */
void wire_response(wire *w, uint32_t id);       /* a plain response's head */
void wire_trailers(wire *w, uint32_t id, const char *status, const char *message);

static inline uint32_t
wire_id(const fc_stream *stream)
{
	return ((const fc_h2_stream *)(const void *)stream)->id;
}

/* Time. */
void wire_tick(wire *w, uint64_t ns); /* moves the clock, and ticks if due */

/* The owner's acts. */
fc_stream *wire_stream(wire *w, uint32_t id);
uint32_t wire_open_stream(wire *w); /* client: "/t.T/Say"; its number, 0: NULL was answered */
fc_send wire_send(wire *w, uint32_t id, const char *text, bool last);
fc_send wire_send_of(wire *w, uint32_t id, size_t size, bool last); /* of 'x' */
fc_send wire_tail(wire *w, uint32_t id, farcall_code code, const char *message);
void wire_release(wire *w, uint32_t id);

/* What has happened since the last of these: one line each. */
#define wire_sees(w, text) wire_sees_at(w, text, __FILE__, __LINE__)
#define wire_says(w, text) wire_says_at(w, text, __FILE__, __LINE__)
void wire_sees_at(wire *w, const char *text, const char *file, int line);
void wire_says_at(wire *w, const char *text, const char *file, int line);
const char *wire_seen(wire *w); /* the events, and forgets them */
const char *wire_said(wire *w); /* the frames, and forgets them */
void wire_take_output(wire *w); /* so that the engine may forget it; says() still shows it */
void wire_take_some(wire *w, size_t most); /* the same, of so many bytes: a short write */
bool wire_is_dead(const wire *w);

/* The connection has died so: nothing that comes has any effect now. */
void wire_dies(wire *w, const char *frames, const char *seen);

extern const fc_engine_events wire_events; /* wire_text.c; the owner is a wire */

#endif
