#include "tests/support/test.h"

#include "tests/support/wire.h"

#include <stdio.h>
#include <stdlib.h>

static const fc_engine_ops *const ops = &fc_h2_engine;

/* ---- running ---- */

void
wire_open(wire *w)
{
	w->engine = ops->open(&w->config, &wire_events, w, w->now);
	assert_non_null(w->engine);
	w->decoder = fc_hpack_decoder_new(NULL, 1 << 20, NULL);
	assert_non_null(w->decoder);
}

static wire *
wire_new(bool client, bool bytewise)
{
	wire *w = (wire *)calloc(1, sizeof *w);
	fc_engine_config config = {.client = client,
	    .max_message = 4u << 20,
	    .max_metadata = 8192,
	    .max_streams = 100,
	    .stream_window = 65535,
	    .connection_window = 65535,
	    .settings_timeout_ns = 10 * FC_NS_PER_S,
	    .authority = "host:1",
	    .user_agent = "wire/1",
	    .scheme = "http"};

	assert_non_null(w);
	fc_pool_init(&w->pool, 8u << 20);
	w->config = config;
	w->config.pool = &w->pool;
	w->bytewise = bytewise;
	w->now = FC_NS_PER_S;
	return w;
}

static void
run_once(wire *w, wire_scenario *scenario, bool open)
{
	if (open)
		wire_open(w);
	scenario(w);
	wire_take_output(w);
	ops->free(w->engine);
	fc_hpack_decoder_free(w->decoder);
	fc_pool_fini(&w->pool);
}

static void
run_both(wire_scenario *scenario, bool client, bool open)
{
	wire *whole = wire_new(client, false), *bytes = wire_new(client, true);

	run_once(whole, scenario, open);
	run_once(bytes, scenario, open);
	assert_int_equal(whole->out_size, bytes->out_size);
	assert_memory_equal(whole->out, bytes->out, whole->out_size);
	free(whole->out);
	free(bytes->out);
	free(whole);
	free(bytes);
}

void
wire_run(wire_scenario *scenario, bool client)
{
	run_both(scenario, client, true);
}

void
wire_run_unopened(wire_scenario *scenario, bool client)
{
	run_both(scenario, client, false);
}

/* ---- in ---- */

void
wire_take_some(wire *w, size_t most)
{
	fc_piece pieces[4];
	size_t n;

	while (most != 0 && (n = ops->output(w->engine, pieces, 4)) != 0) {
		size_t size = 0;

		for (size_t i = 0; i < n && most != 0; i++) {
			size_t part = FC_MIN(pieces[i].size, most);

			if (w->out_size + part > w->out_room) {
				w->out_room = (w->out_size + part) * 2;
				w->out = (uint8_t *)realloc(w->out, w->out_room);
				assert_non_null(w->out);
			}
			memcpy(w->out + w->out_size, pieces[i].at, part);
			w->out_size += part;
			size += part;
			most -= part;
		}
		ops->wrote(w->engine, size);
	}
}

void
wire_take_output(wire *w)
{
	wire_take_some(w, SIZE_MAX);
}

void
wire_feed(wire *w, const void *bytes, size_t size)
{
	const uint8_t *p = (const uint8_t *)bytes;
	size_t step = w->bytewise ? 1 : size;

	for (size_t i = 0; i < size; i += step) {
		/* An exact copy, so that a sanitizer sees reading past it. */
		uint8_t *copy = (uint8_t *)malloc(step);

		memcpy(copy, p + i, step);
		ops->input(w->engine, copy, step, w->now);
		free(copy);
		if (w->bytewise && !w->hold)
			wire_take_output(w);
	}
}

void
wire_feed_text(wire *w, const char *text)
{
	wire_feed(w, text, strlen(text));
}

void
wire_frame(wire *w, unsigned type, unsigned flags, uint32_t id, const void *payload, size_t size)
{
	uint8_t *frame = (uint8_t *)malloc(9 + size);

	fc_put24(frame, (uint32_t)size);
	frame[3] = (uint8_t)type;
	frame[4] = (uint8_t)flags;
	fc_put32(frame + 5, id);
	if (size != 0)
		memcpy(frame + 9, payload, size);
	wire_feed(w, frame, 9 + size);
	free(frame);
}

void
wire_settings(wire *w, const uint32_t *pairs, size_t n)
{
	uint8_t payload[6 * 64];

	assert_true(n <= 64);
	for (size_t i = 0; i < n; i++) {
		fc_put16(payload + 6 * i, pairs[2 * i]);
		fc_put32(payload + 6 * i + 2, pairs[2 * i + 1]);
	}
	wire_frame(w, FC_H2_SETTINGS, 0, 0, payload, 6 * n);
}

void
wire_ack(wire *w)
{
	wire_frame(w, FC_H2_SETTINGS, FC_H2_ACK, 0, NULL, 0);
}

void
wire_preface(wire *w)
{
	wire_feed_text(w, FC_H2_PREFACE);
	wire_settings(w, NULL, 0);
}

void
wire_greeting(wire *w)
{
	if (w->config.client)
		wire_settings(w, NULL, 0);
	else
		wire_preface(w);
	wire_ack(w);
	wire_seen(w);
	wire_said(w);
}

static void
wire_word(wire *w, unsigned type, uint32_t id, uint32_t word)
{
	uint8_t payload[4];

	fc_put32(payload, word);
	wire_frame(w, type, 0, id, payload, 4);
}

void
wire_window(wire *w, uint32_t id, uint32_t size)
{
	wire_word(w, FC_H2_WINDOW_UPDATE, id, size);
}

void
wire_rst(wire *w, uint32_t id, uint32_t code)
{
	wire_word(w, FC_H2_RST_STREAM, id, code);
}

void
wire_ping(wire *w, bool ack, const char text[8])
{
	wire_frame(w, FC_H2_PING, ack ? FC_H2_ACK : 0, 0, text, 8);
}

void
wire_goaway(wire *w, uint32_t last, uint32_t code, const char *text)
{
	uint8_t payload[256];

	fc_put32(payload, last);
	fc_put32(payload + 4, code);
	memcpy(payload + 8, text, strlen(text));
	wire_frame(w, FC_H2_GOAWAY, 0, 0, payload, 8 + strlen(text));
}

void
wire_data(wire *w, uint32_t id, bool end, const void *bytes, size_t size)
{
	wire_frame(w, FC_H2_DATA, end ? FC_H2_END_STREAM : 0, id, bytes, size);
}

void
wire_message(wire *w, uint32_t id, bool end, const char *text)
{
	uint8_t bytes[1024];
	size_t size = strlen(text);

	bytes[0] = 0;
	fc_put32(bytes + 1, (uint32_t)size);
	memcpy(bytes + 5, text, size);
	wire_data(w, id, end, bytes, 5 + size);
}

void
wire_message_of(wire *w, uint32_t id, bool end, size_t size)
{
	uint8_t *bytes = (uint8_t *)malloc(5 + size);

	memset(bytes, 'x', 5 + size);
	bytes[0] = 0;
	fc_put32(bytes + 1, (uint32_t)size);
	for (size_t at = 0; at < 5 + size; at += 16384) {
		size_t n = FC_MIN(16384, 5 + size - at);

		wire_data(w, id, end && at + n == 5 + size, bytes + at, n);
	}
	free(bytes);
}

static size_t
put_string(uint8_t *to, const char *text)
{
	size_t size = strlen(text), n = 0, rest;

	if (size < 127) {
		to[n++] = (uint8_t)size;
	} else {
		to[n++] = 127;
		for (rest = size - 127; rest >= 128; rest >>= 7)
			to[n++] = (uint8_t)(rest | 128);
		to[n++] = (uint8_t)rest;
	}
	memcpy(to + n, text, size);
	return n + size;
}

size_t
wire_block(uint8_t *to, const wire_field *fields)
{
	size_t n = 0;

	for (; fields->name != NULL; fields++) {
		to[n++] = 0;
		n += put_string(to + n, fields->name);
		n += put_string(to + n, fields->value);
	}
	return n;
}

void
wire_headers(wire *w, uint32_t id, bool end, const wire_field *fields)
{
	static uint8_t block[131072];

	wire_frame(w, FC_H2_HEADERS, FC_H2_END_HEADERS | (end ? FC_H2_END_STREAM : 0), id, block,
	    wire_block(block, fields));
}

void
wire_call(wire *w, uint32_t id, bool end)
{
	static const wire_field fields[] = {{":method", "POST"}, {":scheme", "http"},
	    {":path", "/t.T/Say"}, {":authority", "host"}, {"te", "trailers"},
	    {"content-type", "application/grpc"}, {NULL, NULL}};

	wire_headers(w, id, end, fields);
}

void
wire_response(wire *w, uint32_t id)
{
	static const wire_field fields[] = {
	    {":status", "200"}, {"content-type", "application/grpc"}, {NULL, NULL}};

	wire_headers(w, id, false, fields);
}

void
wire_trailers(wire *w, uint32_t id, const char *status, const char *message)
{
	wire_field fields[] = {{"grpc-status", status}, {"grpc-message", message}, {NULL, NULL}};

	if (message == NULL)
		fields[1].name = NULL;
	wire_headers(w, id, true, fields);
}

void
wire_tick(wire *w, uint64_t ns)
{
	w->now += ns;
	if (ops->due(w->engine) <= w->now)
		ops->tick(w->engine, w->now);
}

/* ---- the owner ---- */

fc_stream *
wire_stream(wire *w, uint32_t id)
{
	assert_non_null(w->streams[id / 2]);
	return w->streams[id / 2];
}

uint32_t
wire_open_stream(wire *w)
{
	static const fc_request request = {{"/t.T/Say", 8}, FC_NEVER, 0, NULL, 0};
	fc_stream *stream = ops->open_stream(w->engine, &request, w);

	if (stream == NULL)
		return 0;
	w->streams[wire_id(stream) / 2] = stream;
	return wire_id(stream);
}

static void
flat(const fc_payload *payload, uint8_t *to)
{
	memcpy(to, payload->message, payload->size);
}

static void
pour(const fc_payload *payload, fc_sink *sink)
{
	const uint8_t *bytes = (const uint8_t *)payload->message;

	for (size_t i = 0; i < payload->size; i += 1000)
		sink->add(sink, bytes + i, FC_MIN(1000, payload->size - i));
}

fc_send
wire_send(wire *w, uint32_t id, const char *text, bool last)
{
	fc_payload payload = {strlen(text), flat, pour, text};

	return ops->send_message(w->engine, wire_stream(w, id), &payload, last);
}

fc_send
wire_send_of(wire *w, uint32_t id, size_t size, bool last)
{
	char *bytes = (char *)malloc(size + 1);
	fc_payload payload = {size, flat, pour, bytes};
	fc_send sent;

	memset(bytes, 'x', size);
	sent = ops->send_message(w->engine, wire_stream(w, id), &payload, last);
	free(bytes);
	return sent;
}

fc_send
wire_tail(wire *w, uint32_t id, farcall_code code, const char *message)
{
	fc_tail tail = {code, {message, strlen(message)}, 0, NULL, FARCALL_CAUSE_NONE};

	return ops->send_tail(w->engine, wire_stream(w, id), &tail);
}

void
wire_release(wire *w, uint32_t id)
{
	ops->release(w->engine, wire_stream(w, id));
	w->streams[id / 2] = NULL;
}
