#include "tests/support/duo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const paths[] = {
    "/t.T/Unary", "/t.T/ServerStream", "/t.T/ClientStream", "/t.T/Bidi"};

/* ---- messages ---- */

static uint32_t
mix(uint32_t seed, uint32_t i)
{
	uint32_t x = seed * 2654435761u ^ (i + 1) * 2246822519u;

	x ^= x >> 15;
	x *= 3266489917u;
	return x ^ x >> 13;
}

static size_t
size_of(const duo_row *row, uint32_t i)
{
	uint32_t x = mix(row->seed, i);

	/* Many small ones, some as large as may be, some empty. */
	switch (x & 7) {
	case 0:
		return 0;
	case 1:
		return row->most;
	default:
		return row->most == 0 ? 0 : (x >> 3) % (x & 8 ? row->most + 1 : row->most / 16 + 1);
	}
}

static uint8_t
byte_of(const duo_row *row, uint32_t i, size_t at)
{
	return (uint8_t)(row->seed * 31 + i * 7 + at + (at >> 8));
}

static void
flat(const fc_payload *payload, uint8_t *to)
{
	const duo_row *row = (const duo_row *)payload->message;

	for (size_t i = 0; i < payload->size; i++)
		to[i] = byte_of(row, row->at, i);
}

static void
pour(const fc_payload *payload, fc_sink *sink)
{
	const duo_row *row = (const duo_row *)payload->message;
	uint8_t part[777];

	for (size_t i = 0; i < payload->size;) {
		size_t n = 0;

		while (n < 1 + (i * 7) % sizeof part && i < payload->size)
			part[n++] = byte_of(row, row->at, i++);
		sink->add(sink, part, n);
	}
}

static bool
is_right(const duo_row *row, const uint8_t *bytes, size_t size)
{
	if (row->at >= row->count || size != size_of(row, row->at))
		return false;
	for (size_t i = 0; i < size; i++)
		if (bytes[i] != byte_of(row, row->at, i))
			return false;
	return true;
}

/* ---- both ends ---- */

static void
check_message(duo_call *call, duo_row *row, const uint8_t *bytes, size_t size)
{
	if (!is_right(row, bytes, size))
		call->duo->wrong++;
	row->at++;
}

static const fc_engine_ops *const ops = &fc_h2_engine;

/* Sends what may be sent of a row. */
static void
send_row(fc_engine *engine, duo_call *call, duo_row *row, bool client)
{
	while (!call->waiting && !call->done && row->at < row->count) {
		fc_payload payload = {size_of(row, row->at), flat, pour, row};
		bool last = client && row->at + 1 == row->count && (row->seed & 1) != 0;
		fc_send sent;

		call->stream->plain = row->at % 3 == 2;
		sent = ops->send_message(engine, call->stream, &payload, last);
		if (sent == FC_SEND_NO_MEMORY) {
			ops->abort(engine, call->stream, FARCALL_RESOURCE_EXHAUSTED);
			call->code = FARCALL_RESOURCE_EXHAUSTED;
			call->done = true;
			return;
		}
		if (sent == FC_SEND_GONE)
			return;
		row->at++;
		call->half_closed |= last;
		call->waiting = sent == FC_SEND_WAITING;
	}
}

/* ---- client ---- */

static void
finish_client(duo_call *call)
{
	duo *d = call->duo;

	call->done = true;
	ops->release(d->client, call->stream);
	call->stream = NULL;
	d->open--;
	d->done++;
	d->failed += call->code != FARCALL_OK;
}

static void
drive_client(duo_call *call)
{
	duo *d = call->duo;

	send_row(d->client, call, &call->requests, true);
	if (!call->done && !call->waiting && !call->half_closed) {
		call->half_closed = true;
		if (ops->half_close(d->client, call->stream) == FC_SEND_NO_MEMORY) {
			ops->abort(d->client, call->stream, FARCALL_RESOURCE_EXHAUSTED);
			call->code = FARCALL_RESOURCE_EXHAUSTED;
			call->done = true;
		}
	}
	if (call->done)
		finish_client(call);
}

static void
client_head(void *owner, fc_stream *stream, const fc_head *head)
{
	(void)owner, (void)head;
	((duo_call *)stream->user)->head = true;
}

static void
client_message(void *owner, fc_stream *stream, const uint8_t *bytes, size_t size)
{
	duo *d = (duo *)owner;
	duo_call *call = (duo_call *)stream->user;

	check_message(call, &call->replies, bytes, size);
	d->compressed += stream->compressed;
	ops->taken(d->client, stream, size);
}

static void
client_tail(void *owner, fc_stream *stream, const fc_tail *tail)
{
	duo_call *call = (duo_call *)stream->user;

	(void)owner;
	call->code = tail->code;
	call->cause = tail->cause;
	if (tail->code == FARCALL_OK && call->replies.at != call->replies.count)
		call->duo->wrong++;
	finish_client(call);
}

static void
client_abort(void *owner, fc_stream *stream, const fc_abort *abort)
{
	duo_call *call = (duo_call *)stream->user;

	(void)owner;
	call->code = abort->code;
	call->cause = abort->cause;
	call->unseen = abort->unseen;
	finish_client(call);
}

static void
client_sent(void *owner, fc_stream *stream)
{
	duo_call *call = (duo_call *)stream->user;

	(void)owner;
	call->waiting = false;
	drive_client(call);
}

static void
client_ready(void *owner)
{
	((duo *)owner)->ready = true;
}

static void
ignore_capacity(void *owner)
{
	(void)owner;
}

static void
client_goaway(void *owner, const fc_error *why)
{
	((duo *)owner)->goaway = true;
	(void)why;
}

static void
any_drained(void *owner)
{
	((duo *)owner)->drained = true;
}

static void
client_dead(void *owner, const fc_error *why)
{
	((duo *)owner)->client_dead = true;
	((duo *)owner)->client_why = *why;
}

static const fc_engine_events client_events = {
    .on_head = client_head,
    .on_message = client_message,
    .on_tail = client_tail,
    .on_abort = client_abort,
    .on_sent = client_sent,
    .on_ready = client_ready,
    .on_capacity = ignore_capacity,
    .on_goaway = client_goaway,
    .on_drained = any_drained,
    .on_dead = client_dead,
};

duo_call *
duo_start(duo *d, duo_shape shape, uint32_t seed, uint32_t requests, uint32_t replies, size_t most)
{
	duo_call *call = (duo_call *)calloc(1, sizeof *call);
	char text[64];
	int size = snprintf(text, sizeof text, "%u %u %u %u", (unsigned)seed, (unsigned)requests,
	    (unsigned)replies, (unsigned)most);
	fc_pair pair = {"x-plan-bin", text, 10, (uint32_t)size, FC_PAIR_BINARY};
	fc_request request = {{paths[shape], strlen(paths[shape])},
	    (seed & 2) != 0 ? FC_NEVER : 5 * FC_NS_PER_S + seed, 1, &pair, d->coding};

	call->duo = d;
	call->shape = shape;
	call->requests = (duo_row){seed, requests, 0, most};
	call->replies = (duo_row){seed ^ 0x5555, replies, 0, most};
	call->stream = ops->open_stream(d->client, &request, call);
	if (call->stream == NULL) {
		free(call);
		return NULL;
	}
	call->next = d->calls;
	d->calls = call;
	d->open++;
	drive_client(call);
	return call;
}

/* ---- server ---- */

static const void *
lookup(void *owner, const char *path, size_t size)
{
	(void)owner;
	for (int i = 0; i < 4; i++)
		if (size == strlen(paths[i]) && memcmp(path, paths[i], size) == 0)
			return paths[i];
	return NULL;
}

static int
digit64(char c)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	return (int)(strchr(digits, c) - digits);
}

static void
read_plan(duo_call *call, const fc_pair *pair)
{
	char text[64];
	unsigned seed, requests, replies, most;
	uint32_t bits = 0;
	size_t n = 0, held = 0;

	for (size_t i = 0; i < pair->value_size && n < sizeof text - 1; i++) {
		bits = bits << 6 | (uint32_t)digit64(pair->value[i]);
		held += 6;
		if (held >= 8) {
			held -= 8;
			text[n++] = (char)(bits >> held);
		}
	}
	text[n] = 0;
	if (sscanf(text, "%u %u %u %u", &seed, &requests, &replies, &most) != 4) {
		call->duo->wrong++;
		return;
	}
	call->requests = (duo_row){seed, requests, 0, most};
	call->replies = (duo_row){seed ^ 0x5555, replies, 0, most};
}

static void
finish_server(duo_call *call)
{
	call->done = true;
	ops->release(call->duo->server, call->stream);
	call->stream = NULL;
}

static void
drive_server(duo_call *call)
{
	fc_tail tail = {FARCALL_OK, {"", 0}, 0, NULL, FARCALL_CAUSE_NONE};

	send_row(call->duo->server, call, &call->replies, false);
	if (call->done) {
		finish_server(call);
		return;
	}
	/* Bidi: the tail may be given while messages still wait. */
	if (call->half_closed && call->replies.at == call->replies.count) {
		if (ops->send_tail(call->duo->server, call->stream, &tail) == FC_SEND_NO_MEMORY)
			ops->abort(call->duo->server, call->stream, FARCALL_RESOURCE_EXHAUSTED);
		finish_server(call);
	}
}

static void
server_request(void *owner, fc_stream *stream, const fc_head *head)
{
	duo *d = (duo *)owner;
	duo_call *call = (duo_call *)calloc(1, sizeof *call);

	call->duo = d;
	call->stream = stream;
	call->next = d->served;
	d->served = call;
	stream->user = call;
	stream->coding = (uint8_t)d->coding;
	if (head->method == NULL || head->n_metadata < 1) {
		d->wrong++;
		return;
	}
	for (int i = 0; i < 4; i++)
		if (head->method == paths[i])
			call->shape = (duo_shape)i;
	for (size_t i = 0; i < head->n_metadata; i++)
		if (head->metadata[i].name_size == 10 && head->metadata[i].flags == FC_PAIR_BASE64)
			read_plan(call, &head->metadata[i]);
	if (call->shape == DUO_BIDI)
		drive_server(call);
}

static void
server_message(void *owner, fc_stream *stream, const uint8_t *bytes, size_t size)
{
	duo *d = (duo *)owner;
	duo_call *call = (duo_call *)stream->user;

	check_message(call, &call->requests, bytes, size);
	d->compressed += stream->compressed;
	ops->taken(d->server, stream, size);
}

static void
server_half_close(void *owner, fc_stream *stream)
{
	duo_call *call = (duo_call *)stream->user;

	if (call->requests.at != call->requests.count)
		((duo *)owner)->wrong++;
	call->half_closed = true;
	drive_server(call);
}

static void
server_abort(void *owner, fc_stream *stream, const fc_abort *abort)
{
	duo_call *call = (duo_call *)stream->user;

	(void)owner;
	call->code = abort->code;
	finish_server(call);
}

static void
server_sent(void *owner, fc_stream *stream)
{
	duo_call *call = (duo_call *)stream->user;

	(void)owner;
	call->waiting = false;
	drive_server(call);
}

static void
server_dead(void *owner, const fc_error *why)
{
	((duo *)owner)->server_dead = true;
	((duo *)owner)->server_why = *why;
}

static const fc_engine_events server_events = {
    .lookup = lookup,
    .on_request = server_request,
    .on_message = server_message,
    .on_half_close = server_half_close,
    .on_abort = server_abort,
    .on_sent = server_sent,
    .on_drained = any_drained,
    .on_dead = server_dead,
};

/* ---- the wire between ---- */

void
duo_init(duo *d, uint64_t seed)
{
	fc_engine_config config = {.client = true,
	    .pool = &d->pool,
	    .max_message = 4u << 20,
	    .max_metadata = 8192,
	    .max_streams = 100,
	    .stream_window = 65535,
	    .connection_window = 65535,
	    .settings_timeout_ns = 10 * FC_NS_PER_S,
	    .authority = "localhost:1",
	    .user_agent = "duo/1",
	    .scheme = "http"};

	memset(d, 0, sizeof *d);
	fc_pool_init(&d->pool, 8u << 20);
	test_random_seed(&d->random, seed);
	d->client_config = config;
	config.client = false;
	d->server_config = config;
	d->now = 1000;
}

bool
duo_open(duo *d)
{
	if (d->coding != 0)
		d->client_config.codings = d->server_config.codings =
		    FC_CODING_GZIP | FC_CODING_DEFLATE;
	d->client = ops->open(&d->client_config, &client_events, d, d->now);
	d->server = ops->open(&d->server_config, &server_events, d, d->now);
	return d->client != NULL && d->server != NULL;
}

static void
free_calls(duo_call *calls)
{
	while (calls != NULL) {
		duo_call *next = calls->next;

		free(calls);
		calls = next;
	}
}

void
duo_fini(duo *d)
{
	ops->free(d->client);
	ops->free(d->server);
	free_calls(d->calls);
	free_calls(d->served);
	fc_pool_fini(&d->pool);
}

/* Moves some output of one to the other; answers how many bytes. */
static size_t
move(duo *d, fc_engine *from, fc_engine *to)
{
	fc_piece pieces[8];
	size_t n = ops->output(from, pieces, 8), moved = 0;
	size_t most = d->chunk == 0 ? SIZE_MAX : 1 + test_random_below(&d->random, d->chunk);

	if (ops->congested(to))
		return 0;
	for (size_t i = 0; i < n && moved < most; i++) {
		size_t size = FC_MIN(pieces[i].size, most - moved);
		uint8_t *copy = (uint8_t *)malloc(size);

		/* An exact copy, so that a sanitizer sees reading past it. */
		memcpy(copy, pieces[i].at, size);
		ops->input(to, copy, size, d->now);
		free(copy);
		moved += size;
	}
	ops->wrote(from, moved);
	return moved;
}

static bool
tick(duo *d, fc_engine *engine)
{
	if (ops->due(engine) > d->now)
		return false;
	ops->tick(engine, d->now);
	return true;
}

void
duo_step(duo *d)
{
	d->now += FC_NS_PER_MS / 10;
	move(d, d->client, d->server);
	move(d, d->server, d->client);
	tick(d, d->client);
	tick(d, d->server);
}

bool
duo_run(duo *d)
{
	for (unsigned quiet = 0, steps = 0; quiet < 3; steps++) {
		bool busy;

		if (steps > 4000000)
			return false;
		d->now += 1000;
		busy = move(d, d->client, d->server) != 0;
		busy |= move(d, d->server, d->client) != 0;
		busy |= tick(d, d->client);
		busy |= tick(d, d->server);
		quiet = busy ? 0 : quiet + 1;
	}
	return d->open == 0;
}

/* ---- mischief ---- */

/* The nth call of a list that still has its stream. */
static duo_call *
pick(duo *d, duo_call *calls)
{
	unsigned n = 0;

	for (duo_call *call = calls; call != NULL; call = call->next)
		n += call->stream != NULL;
	if (n == 0)
		return NULL;
	n = test_random_below(&d->random, n);
	for (duo_call *call = calls; call != NULL; call = call->next)
		if (call->stream != NULL && n-- == 0)
			return call;
	return NULL;
}

void
duo_mischief(duo *d)
{
	uint32_t what = test_random_below(&d->random, 40);
	duo_call *call = pick(d, what % 2 == 0 ? d->calls : d->served);
	fc_error why;

	if (what < 30 && call != NULL && what % 2 == 0) {
		if (what < 24)
			ops->abort(d->client, call->stream, FARCALL_CANCELLED);
		call->code = FARCALL_CANCELLED;
		finish_client(call);
	} else if (what < 30 && call != NULL) {
		if (what < 24)
			ops->abort(d->server, call->stream, FARCALL_DEADLINE_EXCEEDED);
		finish_server(call);
	} else if (what == 30) {
		ops->drain(d->server, d->now, "");
	} else if (what == 31) {
		ops->drain(d->client, d->now, "");
	} else if (what == 32) {
		fc_error_clear(&why);
		fc_fail(&why, FARCALL_UNAVAILABLE, FARCALL_CAUSE_CONNECTION_RESET, "cut");
		ops->end(d->client, &why);
		ops->end(d->server, NULL);
	} else if (what == 33) {
		ops->close(d->server, FARCALL_UNAVAILABLE, "bye");
		ops->end(d->client, NULL);
	}
}
