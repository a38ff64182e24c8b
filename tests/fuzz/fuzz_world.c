/*
 * fuzz_world.c: see fuzz_world.h. The peer keeps no rules: it writes what it is told, and drops its
 * connection if that is more than the pipe holds.
 */
#include "tests/fuzz/fuzz_world.h"

#include "runtime/base/base64.h"
#include "runtime/loop/inside.h"
#include "runtime/protocol/h2/wire.h"
#include "runtime/transport/mem.h"

#include <farcall/alloc.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define TURNS_AT_ONCE 20000u
#define FIELDS_MOST 24

static size_t blocks, countdown;
static bool sticky;

void
fuzz_must(bool right, const char *what)
{
	if (right)
		return;
	fprintf(stderr, "broken rule: %s\n", what);
	abort();
}

/* ---- memory ---- */

static bool
refuse(void)
{
	if (countdown > 1 || !sticky)
		return countdown != 0 && --countdown == 0;
	return countdown == 1;
}

static void *
fuzz_malloc(size_t size, void *data)
{
	void *memory = refuse() ? NULL : malloc(size);

	(void)data;
	blocks += memory != NULL;
	return memory;
}

static void *
fuzz_realloc(void *memory, size_t size, void *data)
{
	void *to = refuse() ? NULL : realloc(memory, size);

	(void)data;
	blocks += memory == NULL && to != NULL;
	return to;
}

static void
fuzz_free(void *memory, void *data)
{
	(void)data;
	blocks -= memory != NULL;
	free(memory);
}

static void
on_log(farcall_log_level level, const char *text, void *data)
{
	(void)level, (void)data;
	fuzz_must(strstr(text, "misuse") == NULL, text);
	fuzz_must(strlen(text) < 10000, "a line of the log");
}

void
fuzz_heal(fuzz_world *w)
{
	(void)w;
	countdown = 0;
}

/* ---- the input ---- */

uint8_t
fuzz_byte(fuzz_bytes *from)
{
	return from->at != from->end ? *from->at++ : 0;
}

size_t
fuzz_some(fuzz_bytes *from, const uint8_t **bytes)
{
	size_t n = fuzz_byte(from), left = (size_t)(from->end - from->at);

	n = FC_MIN(n, left);
	*bytes = from->at;
	from->at += n;
	return n;
}

void
fuzz_touch(const void *bytes, size_t size)
{
	volatile uint8_t sum = 0;

	for (size_t i = 0; i < size; i++)
		sum = (uint8_t)(sum + ((const uint8_t *)bytes)[i]);
}

void
fuzz_touch_metadata(const farcall_metadata *metadata)
{
	const char *key;
	const void *value;
	size_t size;

	for (size_t i = 0; farcall_metadata_at(metadata, i, &key, &value, &size); i++) {
		fuzz_touch(key, strlen(key) + 1);
		fuzz_touch(value, size);
		value = farcall_metadata_get_bin(metadata, key, &size);
		if (value != NULL)
			fuzz_touch(value, size);
	}
}

void
fuzz_touch_call(farcall_call *call)
{
	const char *type;
	const void *value;
	size_t size, n = 0;

	fuzz_touch(farcall_call_error(call), strlen(farcall_call_error(call)));
	fuzz_touch(farcall_call_status_message(call), strlen(farcall_call_status_message(call)));
	fuzz_touch(farcall_call_peer(call), strlen(farcall_call_peer(call)));
	fuzz_touch_metadata(farcall_call_metadata(call));
	fuzz_touch_metadata(farcall_call_trailers(call));
	for (; farcall_call_detail(call, n, &type, &value, &size); n++) {
		fuzz_touch(type, strlen(type) + 1);
		fuzz_touch(value, size);
	}
	fuzz_must(n == 0 || farcall_call_code(call) != FARCALL_OK, "details of a success");
}

/* ---- the peer's frames ---- */

static void
put(fuzz_world *w, const void *bytes, size_t size)
{
	if (size > sizeof w->out - w->used)
		size = sizeof w->out - w->used;
	if (size != 0)
		memcpy(w->out + w->used, bytes, size);
	w->used += size;
}

static void
put_frame(fuzz_world *w, unsigned type, unsigned flags, uint32_t id, const void *at, size_t size)
{
	uint8_t head[9] = {(uint8_t)(size >> 16), (uint8_t)(size >> 8), (uint8_t)size,
	    (uint8_t)type, (uint8_t)flags};

	fc_put32(head + 5, id);
	put(w, head, sizeof head);
	put(w, at, size);
}

static uint32_t
stream_of(uint8_t byte)
{
	return 2u * (byte & 15) + 1;
}

static const struct field {
	const char *name, *value;
} fields[64] = {
    {"grpc-status", "14"},
    {"grpc-status", "0"},
    {"grpc-status", "8"},
    {"grpc-message", "bad%20luck%"},
    {"grpc-status-details-bin", "CA4"},
    {"grpc-retry-pushback-ms", "10"},
    {"grpc-retry-pushback-ms", "-1"},
    {"grpc-encoding", "gzip"},
    {"grpc-encoding", "deflate"},
    {"grpc-encoding", "identity"},
    {"grpc-encoding", "snappy"},
    {"grpc-accept-encoding", "gzip,deflate"},
    {"grpc-accept-encoding", "identity"},
    {"grpc-timeout", "100m"},
    {"grpc-timeout", "1n"},
    {"grpc-previous-rpc-attempts", "2"},
    {"key", "value"},
    {"raw-bin", "AAECA/8"},
    {"raw-bin", "AAEC,AAEC"},
    {"user-agent", "fuzz"},
    {"content-length", "5"},
    {"content-type", "application/grpc+proto"},
    {"content-type", "text/html"},
    {"te", "trailers"},
    {"te", "gzip"},
    {":status", "200"},
    {":status", "503"},
    {":status", "103"},
    {":method", "GET"},
    {":scheme", "https"},
    {":authority", "a.test"},
    {"host", "b.test"},
    {":path", "/pair.Test/Echo"},
    {":path", "/pair.Test/Wait"},
    {":path", "/pair.Test/Fail"},
    {":path", "/pair.Test/Chat"},
    {":path", "/pair.Test/Missing"},
    {":path", "/pair.Test/Grow"},
    {":path", "/any.Thing/AtAll"},
    {":path", "*"},
    {"connection", "close"},
    {"cookie", "a=b"},
    {"Key", "upper"},
    {"", "empty"},
};

static uint8_t *
put_length(uint8_t *to, size_t size)
{
	if (size < 127) {
		*to++ = (uint8_t)size;
		return to;
	}
	*to++ = 127;
	for (size -= 127; size >= 128; size >>= 7)
		*to++ = (uint8_t)(size | 128);
	*to++ = (uint8_t)size;
	return to;
}

/* A literal; every second one enters the table. */
static uint8_t *
put_field(uint8_t *to, const char *name, const void *value, size_t size, bool indexed)
{
	size_t n = strlen(name);

	*to++ = indexed ? 0x40 : 0;
	to = put_length(to, n);
	memcpy(to, name, n);
	to = put_length(to + n, size);
	if (size != 0)
		memcpy(to, value, size);
	return to + size;
}

/* A field is a byte: its row in `fields`; 0x80: with a value of the input's, 0x40: in base64. */
static uint8_t *
put_fields(fuzz_world *w, uint8_t *to)
{
	unsigned n = fuzz_byte(&w->input) % FIELDS_MOST;
	char text[400];

	for (unsigned i = 0; i < n && w->input.at != w->input.end; i++) {
		uint8_t what = fuzz_byte(&w->input);
		const struct field *field = &fields[what & 63];
		const void *value = field->value;
		const uint8_t *bytes;
		size_t size;

		if (field->name == NULL)
			continue;
		size = strlen(field->value);
		if ((what & 0xc0) != 0) {
			size = fuzz_some(&w->input, &bytes);
			value = bytes;
		}
		if ((what & 0x40) != 0) {
			fc_base64_encode(text, (const uint8_t *)value, size);
			size = fc_base64_size(size);
			value = text;
		}
		to = put_field(to, field->name, value, size, (what & 0x80) != 0 || i % 2 == 0);
	}
	return to;
}

static uint8_t *
put_head(fuzz_world *w, uint8_t *to)
{
	static const char *const paths[] = {"/pair.Test/Echo", "/pair.Test/Wait", "/pair.Test/Fail",
	    "/pair.Test/Chat", "/any.Thing/AtAll", "/pair.Test/Missing", "/pair.Test/Grow",
	    "/pair.Test/Custom"};
	const char *path = paths[fuzz_byte(&w->input) % FC_COUNT(paths)];

	to = put_field(to, ":method", "POST", 4, false);
	to = put_field(to, ":scheme", "http", 4, false);
	to = put_field(to, ":path", path, strlen(path), true);
	to = put_field(to, ":authority", "a.test", 6, true);
	to = put_field(to, "content-type", "application/grpc", 16, true);
	return put_field(to, "te", "trailers", 8, true);
}

/* Flags: END_STREAM, no END_HEADERS (CONTINUATION follows), a whole head before, a status before.
 */
static void
put_headers(fuzz_world *w)
{
	uint32_t id = stream_of(fuzz_byte(&w->input));
	uint8_t flags = fuzz_byte(&w->input), block[10000], *to = block;
	size_t size, first;
	char code[4];

	if ((flags & 4) != 0 && w->peer_is_client)
		to = put_head(w, to);
	else if ((flags & 4) != 0) {
		to = put_field(to, ":status", "200", 3, false);
		to = put_field(to, "content-type", "application/grpc", 16, true);
	}
	if ((flags & 8) != 0) {
		snprintf(code, sizeof code, "%u", fuzz_byte(&w->input) % 20u);
		to = put_field(to, "grpc-status", code, strlen(code), false);
	}
	to = put_fields(w, to);
	size = (size_t)(to - block);
	first = (flags & 2) != 0 ? size / 2 : size;
	put_frame(w, FC_H2_HEADERS, (flags & 1u) | ((flags & 2) != 0 ? 0 : FC_H2_END_HEADERS), id,
	    block, first);
	if ((flags & 2) != 0)
		put_frame(
		    w, FC_H2_CONTINUATION, FC_H2_END_HEADERS, id, block + first, size - first);
}

/* What does not fit stays as it is. */
static size_t
compress_into(uint8_t *to, size_t room, const uint8_t *bytes, size_t size, bool gzip)
{
	z_stream z = {.next_in = (Bytef *)(uintptr_t)bytes,
	    .avail_in = (uInt)size,
	    .next_out = to,
	    .avail_out = (uInt)room};

	fuzz_must(deflateInit2(&z, 1, Z_DEFLATED, gzip ? 31 : 15, 8, Z_DEFAULT_STRATEGY) == Z_OK,
	    "the peer's zlib");
	fuzz_must(deflate(&z, Z_FINISH) == Z_STREAM_END, "the peer's zlib: no room");
	deflateEnd(&z);
	return room - z.avail_out;
}

static void
put_message(fuzz_world *w)
{
	uint32_t id = stream_of(fuzz_byte(&w->input));
	uint8_t flags = fuzz_byte(&w->input), message[1000];
	const uint8_t *bytes;
	size_t size = fuzz_some(&w->input, &bytes), first;

	if ((flags & 12) != 0)
		size =
		    compress_into(message + 5, sizeof message - 5, bytes, size, (flags & 4) != 0);
	else if (size != 0)
		memcpy(message + 5, bytes, size);
	message[0] = (flags & 2) != 0;
	fc_put32(message + 1, (uint32_t)size + ((flags & 16) != 0));
	size += 5;
	first = (flags & 32) != 0 ? size / 2 : size;
	put_frame(w, FC_H2_DATA, first == size ? flags & 1u : 0, id, message, first);
	if (first != size)
		put_frame(w, FC_H2_DATA, flags & 1u, id, message + first, size - first);
}

static void
put_other(fuzz_world *w)
{
	uint8_t type = fuzz_byte(&w->input), stream = fuzz_byte(&w->input), payload[8] = {0};
	uint32_t id = stream_of(stream);

	payload[3] = fuzz_byte(&w->input);
	switch (type % 8) {
	case 0:
		put_frame(w, FC_H2_SETTINGS, 1, 0, NULL, 0);
		break;
	case 1: /* one of the six that there are; bit 7: large */
		payload[1] = (uint8_t)(stream % 7);
		payload[4] = payload[3] > 127 ? 0x7f : 0;
		payload[5] = payload[3];
		payload[3] = 0;
		put_frame(w, FC_H2_SETTINGS, 0, 0, payload, 6);
		break;
	case 2:
		put_frame(w, FC_H2_PING, stream & 1u, 0, payload, 8);
		break;
	case 3: /* bit 7: a keepalive that was too busy */
		put_frame(w, FC_H2_GOAWAY, 0, 0,
		    stream > 127 ? "\0\0\0\x0f\0\0\0\x0b"
		                   "too_many_pings"
		                 : (const char *)payload,
		    stream > 127 ? 22 : 8);
		break;
	case 4:
		payload[2] = payload[3];
		put_frame(w, FC_H2_WINDOW_UPDATE, 0, stream > 127 ? 0 : id, payload, 4);
		break;
	case 5:
		put_frame(w, FC_H2_RST_STREAM, 0, id, payload, 4);
		break;
	default:
		put_frame(w, type, payload[3], id, payload, 4);
		break;
	}
}

/* ---- the peer's pipe ---- */

static void
drop_pipe(fuzz_world *w)
{
	fc_pipe *pipe = w->pipe;

	w->pipe = NULL;
	w->used = 0;
	if (pipe != NULL)
		pipe->ops->close(pipe);
}

static void
flush(fuzz_world *w)
{
	fc_piece piece = {w->out, w->used};

	if (w->pipe == NULL || w->used == 0)
		return;
	w->used = 0;
	if (w->pipe->ops->write(w->pipe, &piece, 1) < piece.size)
		drop_pipe(w);
}

static void
peer_opens(void *owner)
{
	(void)owner;
}

static void
peer_gets(void *owner, const uint8_t *bytes, size_t size)
{
	fuzz_touch(bytes, size);
	((fuzz_world *)owner)->received += size;
}

static void
peer_ends(void *owner)
{
	(void)owner;
}

static void
peer_lost(void *owner, const fc_error *why)
{
	(void)why;
	drop_pipe((fuzz_world *)owner);
}

static const fc_pipe_events peer_events = {peer_opens, peer_gets, peer_ends, peer_opens, peer_lost};

static void
greet(fuzz_world *w)
{
	w->used = 0;
	if (w->peer_is_client)
		put(w, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
	put_frame(w, FC_H2_SETTINGS, 0, 0, NULL, 0);
	put_frame(w, FC_H2_SETTINGS, 1, 0, NULL, 0);
	if (!w->deaf)
		w->pipe->ops->read(w->pipe, true);
	flush(w);
}

/* One at a time: the newest. */
static void
on_accept(void *owner, fc_accepted *accepted)
{
	fuzz_world *w = (fuzz_world *)owner;

	drop_pipe(w);
	w->pipe = fc_pipe_adopt(w->loop, accepted, &peer_events, w, NULL);
	if (w->pipe != NULL)
		greet(w);
}

void
fuzz_peer_connect(fuzz_world *w)
{
	fc_place place;

	drop_pipe(w);
	fuzz_must(fc_mem_place(&place, "fuzz", NULL) == FARCALL_OK, "a place");
	w->pipe = fc_pipe_connect(w->loop, &place, &peer_events, w, NULL);
	fuzz_settle(w);
	if (w->pipe != NULL)
		greet(w);
}

static void
act_on_pipe(fuzz_world *w, uint8_t what)
{
	if (w->peer_is_client && what % 5 == 4)
		fuzz_peer_connect(w);
	if (w->pipe == NULL)
		return;
	switch (what % 5) {
	case 0:
		w->pipe->ops->shutdown(w->pipe);
		break;
	case 1:
		drop_pipe(w);
		break;
	case 2:
	case 3:
		w->deaf = what % 5 == 2;
		w->pipe->ops->read(w->pipe, !w->deaf);
		break;
	default:
		break;
	}
}

void
fuzz_peer_act(fuzz_world *w, uint8_t op)
{
	const uint8_t *bytes;
	uint32_t id;
	size_t size;
	uint8_t flags;

	switch (op) {
	case 0:
		size = fuzz_some(&w->input, &bytes);
		put(w, bytes, size);
		break;
	case 1:
		put_headers(w);
		break;
	case 2:
		put_message(w);
		break;
	case 3:
		id = stream_of(fuzz_byte(&w->input));
		flags = fuzz_byte(&w->input);
		size = fuzz_some(&w->input, &bytes);
		put_frame(w, FC_H2_DATA, flags, id, bytes, size);
		break;
	case 4:
		put_other(w);
		break;
	case 5:
		fuzz_pass(w, FC_NS_PER_MS / 1000 << fuzz_byte(&w->input) % 28);
		break;
	default:
		act_on_pipe(w, fuzz_byte(&w->input));
		break;
	}
	flush(w);
	fuzz_settle(w);
}

void
fuzz_peer_stop(fuzz_world *w)
{
	drop_pipe(w);
	if (w->listener != NULL)
		fc_listener_close(w->listener);
	w->listener = NULL;
	fuzz_settle(w);
}

/* ---- the world ---- */

void
fuzz_settle(fuzz_world *w)
{
	unsigned turns = 0;

	while (fc_loop_has_work(w->loop) || fc_heap_next(&w->loop->timers) <= w->clock.now) {
		fc_loop_turn(w->loop, 0);
		fuzz_must(turns++ < TURNS_AT_ONCE, "the loop comes to rest");
	}
}

/* Each timer at its time. */
void
fuzz_pass(fuzz_world *w, uint64_t ns)
{
	uint64_t until = w->clock.now + ns;

	for (;;) {
		uint64_t next;

		fuzz_settle(w);
		next = fc_heap_next(&w->loop->timers);
		if (next > until)
			break;
		w->clock.now = next;
	}
	w->clock.now = until;
	fuzz_settle(w);
}

/* What the process keeps from its first loop on is made before anything is counted. */
static void
prepare(void)
{
	static const farcall_allocator allocator = {fuzz_malloc, fuzz_realloc, fuzz_free, NULL};
	static bool prepared;

	if (prepared)
		return;
	prepared = true;
	farcall_set_allocator(&allocator);
	farcall_log_set(on_log, NULL);
	farcall_log_set_level(FARCALL_LOG_INFO);
	farcall_loop_free(farcall_loop_new());
	blocks = 0;
}

static void
listen_as_peer(fuzz_world *w)
{
	fc_address address;

	fuzz_must(fc_address_parse(&address, "mem:fuzz", NULL) == FARCALL_OK, "an address");
	w->listener = fc_listener_open(&address, NULL);
	fc_address_fini(&address);
	fuzz_must(w->listener != NULL, "a listener");
	fuzz_must(fc_listener_start(w->listener, w->loop, on_accept, w, NULL) == FARCALL_OK,
	    "a listener that listens");
}

bool
fuzz_world_open(fuzz_world *w, bool peer_is_client, const uint8_t *data, size_t size)
{
	if (size < 4)
		return false;
	prepare();
	memset(w, 0, sizeof *w - sizeof w->out - sizeof w->used);
	w->used = 0;
	w->options[0] = data[0];
	w->options[1] = data[1];
	w->input = (fuzz_bytes){data + 3, data + size};
	w->clock = (fc_clock){1000 * FC_NS_PER_S, true};
	w->peer_is_client = peer_is_client;
	w->starved = data[2] != 0;
	w->loop = fc_loop_open(&w->clock, NULL);
	fuzz_must(w->loop != NULL, "a loop");
	if (!peer_is_client)
		listen_as_peer(w);
	countdown = data[2] & 127;
	sticky = data[2] > 127;
	return true;
}

void
fuzz_world_close(fuzz_world *w)
{
	fuzz_must(!fc_loop_has_work(w->loop), "nothing is left to do");
	farcall_loop_free(w->loop);
	fuzz_must(blocks == 0, "no memory is left over");
}
