/*
 * fuzz_engine.c: see fuzz_engine.h. The owner answers calls as its habits say, and checks the rules
 * of protocol.h: no event for a released stream, one end for each, nothing after death, output that
 * is made of whole frames of allowed sizes.
 */
#include "tests/fuzz/fuzz_engine.h"

#include <farcall/alloc.h>

#include <stdio.h>
#include <stdlib.h>

#define CALLS 64

/* Habits */
enum {
	ANSWER_AT_ONCE = 1,
	ECHO = 2,
	HEAD_EARLY = 4,
	TAKE_LATE = 8,
	RELEASE_LATE = 16,
	METADATA = 32,
	SERVER_STREAM = 64,
	LARGE = 128
};

typedef struct call {
	fc_stream *stream;
	bool ended, answered, waiting;
	size_t untaken;
} call;

typedef struct owner {
	fc_engine *engine;
	fc_pool pool;
	uint64_t now;
	uint8_t habits;
	unsigned coding;                  /* of what it sends */
	bool client, dead, ready, inside; /* inside: an event may come now */
	call calls[CALLS];
	/* output */
	uint8_t head[9];
	size_t head_size, frame_left, preface_left;
} owner;

static const fc_engine_ops *const ops = &fc_h2_engine;

static unsigned long countdown; /* to the allocation that fails; 0: none */

static void
must(bool right, const char *what)
{
	if (right)
		return;
	fprintf(stderr, "broken rule: %s\n", what);
	abort();
}

/* ---- memory that fails ---- */

static bool
refuse(void)
{
	return countdown != 0 && --countdown == 0;
}

static void *
fuzz_malloc(size_t size, void *data)
{
	(void)data;
	return refuse() ? NULL : malloc(size);
}

static void *
fuzz_realloc(void *memory, size_t size, void *data)
{
	(void)data;
	return refuse() ? NULL : realloc(memory, size);
}

static void
fuzz_free(void *memory, void *data)
{
	(void)data;
	free(memory);
}

/* ---- what the owner does ---- */

static void
flat(const fc_payload *payload, uint8_t *to)
{
	memset(to, 'm', payload->size);
}

static void
pour(const fc_payload *payload, fc_sink *sink)
{
	static const uint8_t part[4096];

	for (size_t left = payload->size; left != 0;) {
		size_t n = left < sizeof part ? left : sizeof part;

		sink->add(sink, part, n);
		left -= n;
	}
}

static const fc_pair some_metadata[] = {
    {"key", "value", 3, 5, 0},
    {"raw-bin", "\0\1\2\377", 7, 4, FC_PAIR_BINARY},
    {"secret", "s", 6, 1, FC_PAIR_SENSITIVE},
};

static void
release(owner *o, call *c)
{
	fc_stream *stream = c->stream;

	memset(c, 0, sizeof *c);
	ops->release(o->engine, stream);
}

static void
end_call(owner *o, call *c)
{
	c->ended = true;
	if ((o->habits & RELEASE_LATE) == 0)
		release(o, c);
}

static void
send(owner *o, call *c, size_t size, bool last)
{
	fc_payload payload = {size, flat, pour, NULL};
	fc_send sent = ops->send_message(o->engine, c->stream, &payload, last);

	must(!c->ended || sent == FC_SEND_GONE, "a message is sent after the end");
	if (sent == FC_SEND_WAITING)
		c->waiting = true;
	if (sent == FC_SEND_NO_MEMORY) {
		ops->abort(o->engine, c->stream, FARCALL_RESOURCE_EXHAUSTED);
		c->ended = true;
	}
}

static void
answer(owner *o, call *c, farcall_code code)
{
	bool more = (o->habits & METADATA) != 0;
	fc_tail tail = {code, {"100% \xc3\xa4", code == FARCALL_OK ? 0 : 7}, more ? 3 : 0,
	    some_metadata, FARCALL_CAUSE_NONE};

	if (c->answered)
		return;
	c->answered = true;
	if (code == FARCALL_OK)
		send(o, c, (o->habits & LARGE) != 0 ? 70000 : 5, false);
	if ((o->habits & SERVER_STREAM) != 0)
		for (int i = 0; i < 5; i++)
			send(o, c, (size_t)i * 300, false);
	if (ops->send_tail(o->engine, c->stream, &tail) == FC_SEND_NO_MEMORY)
		ops->abort(o->engine, c->stream, FARCALL_RESOURCE_EXHAUSTED);
	end_call(o, c);
}

static void
open_call(owner *o, bool whole)
{
	fc_request request = {{"/a.B/C", 6}, whole ? FC_NEVER : 1000000000,
	    (o->habits & METADATA) != 0 ? 3 : 0, some_metadata, o->coding};
	call *c = o->calls;

	while (c < o->calls + CALLS && c->stream != NULL)
		c++;
	if (c == o->calls + CALLS)
		return;
	c->stream = ops->open_stream(o->engine, &request, c);
	if (c->stream == NULL) {
		memset(c, 0, sizeof *c);
		return;
	}
	must(!o->dead, "a stream opens on a dead engine");
	send(o, c, (o->habits & LARGE) != 0 ? 70000 : 5, whole);
}

/* ---- events ---- */

static call *
call_of(owner *o, const fc_stream *stream)
{
	call *c = (call *)stream->user;

	must(o->inside, "an event outside input(), end() and tick()");
	must(!o->dead, "an event after death");
	must(c != NULL && c->stream == stream, "an event for a released stream");
	must(!c->ended, "an event after the end");
	return c;
}

static const void *
lookup(void *data, const char *path, size_t size)
{
	(void)data;
	return size > 1 && path[1] == 'a' ? "known" : NULL;
}

static void
touch(const char *text, size_t size)
{
	volatile char sum = 0;

	for (size_t i = 0; i < size; i++)
		sum = (char)(sum + text[i]);
}

static void
touch_pairs(size_t n, const fc_pair *pairs)
{
	for (size_t i = 0; i < n; i++) {
		touch(pairs[i].name, pairs[i].name_size);
		touch(pairs[i].value, pairs[i].value_size);
	}
}

static void
on_request(void *data, fc_stream *stream, const fc_head *head)
{
	owner *o = (owner *)data;
	call *c = o->calls;

	must(o->inside && !o->dead, "a request at the wrong time");
	touch(head->path.at, head->path.size);
	touch(head->authority.at, head->authority.size);
	touch_pairs(head->n_metadata, head->metadata);
	while (c < o->calls + CALLS && c->stream != NULL)
		c++;
	if (c == o->calls + CALLS) { /* one too many: refuse */
		ops->release(o->engine, stream);
		return;
	}
	memset(c, 0, sizeof *c);
	c->stream = stream;
	stream->user = c;
	stream->coding = (uint8_t)o->coding;
	stream->raw = (o->habits & HEAD_EARLY) != 0;
	if ((o->habits & HEAD_EARLY) != 0)
		ops->send_head(o->engine, stream, 3, some_metadata);
	if (head->method == NULL)
		answer(o, c, FARCALL_UNIMPLEMENTED);
	else if ((o->habits & ANSWER_AT_ONCE) != 0)
		answer(o, c, FARCALL_OK);
}

static void
on_head(void *data, fc_stream *stream, const fc_head *head)
{
	call_of((owner *)data, stream);
	touch_pairs(head->n_metadata, head->metadata);
}

static void
on_message(void *data, fc_stream *stream, const uint8_t *bytes, size_t size)
{
	owner *o = (owner *)data;
	call *c = call_of(o, stream);

	touch((const char *)bytes, size);
	must(size <= stream->max_message, "a message above the limit");
	must(!stream->compressed || stream->peer_coding != 0, "compressed by no coding");
	stream->plain = (size & 1) != 0;
	c->untaken += size;
	if ((o->habits & TAKE_LATE) == 0) {
		ops->taken(o->engine, stream, c->untaken);
		c->untaken = 0;
	}
	if ((o->habits & ECHO) != 0 && !o->client)
		send(o, c, size, false);
}

static void
on_half_close(void *data, fc_stream *stream)
{
	owner *o = (owner *)data;

	answer(o, call_of(o, stream), FARCALL_OK);
}

static void
on_tail(void *data, fc_stream *stream, const fc_tail *tail)
{
	owner *o = (owner *)data;
	call *c = call_of(o, stream);

	touch(tail->message.at, tail->message.size);
	touch_pairs(tail->n_metadata, tail->metadata);
	end_call(o, c);
}

static void
on_abort(void *data, fc_stream *stream, const fc_abort *why)
{
	owner *o = (owner *)data;
	call *c = call_of(o, stream);

	touch(why->text, strlen(why->text));
	end_call(o, c);
}

static void
on_sent(void *data, fc_stream *stream)
{
	call *c = call_of((owner *)data, stream);

	must(c->waiting, "on_sent though nothing waited");
	c->waiting = false;
}

static void
on_ready(void *data)
{
	owner *o = (owner *)data;

	must(o->inside && o->client && !o->ready, "ready twice");
	o->ready = true;
}

static void
on_capacity(void *data)
{
	open_call((owner *)data, false);
}

static void
on_goaway(void *data, const fc_error *why)
{
	must(((owner *)data)->inside, "GOAWAY outside input()");
	touch(why->text, strlen(why->text));
}

static void
on_drained(void *data)
{
	must(((owner *)data)->inside, "drained outside input() and tick()");
}

static void
on_dead(void *data, const fc_error *why)
{
	owner *o = (owner *)data;

	must(o->inside && !o->dead, "dead twice");
	must(why->code != FARCALL_OK, "dead without a reason");
	for (int i = 0; i < CALLS; i++)
		must(o->calls[i].stream == NULL || o->calls[i].ended, "dead before all aborts");
	o->dead = true;
}

static const fc_engine_events events = {
    .lookup = lookup,
    .on_request = on_request,
    .on_head = on_head,
    .on_message = on_message,
    .on_half_close = on_half_close,
    .on_tail = on_tail,
    .on_abort = on_abort,
    .on_sent = on_sent,
    .on_ready = on_ready,
    .on_capacity = on_capacity,
    .on_goaway = on_goaway,
    .on_drained = on_drained,
    .on_dead = on_dead,
};

/* ---- output ---- */

static void
check_frame(owner *o)
{
	size_t size = (size_t)o->head[0] << 16 | (size_t)o->head[1] << 8 | o->head[2];

	must(size <= 16384, "a frame of more than 16384 bytes");
	must(o->head[3] <= 9 && o->head[3] != 2 && o->head[3] != 5, "a frame of an odd type");
	o->frame_left = size;
}

static void
check_output(owner *o, const uint8_t *at, size_t size)
{
	while (size != 0) {
		size_t *left = o->preface_left != 0 ? &o->preface_left : &o->frame_left;
		size_t n = *left < size ? *left : size;

		*left -= n;
		at += n;
		size -= n;
		if (n != 0 || size == 0)
			continue;
		o->head[o->head_size++] = *at++;
		size--;
		if (o->head_size == sizeof o->head) {
			o->head_size = 0;
			check_frame(o);
		}
	}
}

static bool
write_out(owner *o, size_t most)
{
	fc_piece pieces[3];
	size_t n = ops->output(o->engine, pieces, 3), total = 0;

	must(n <= 3, "too many pieces");
	for (size_t i = 0; i < n && total < most; i++) {
		size_t size = pieces[i].size < most - total ? pieces[i].size : most - total;

		check_output(o, pieces[i].at, size);
		total += size;
	}
	if (total != 0)
		ops->wrote(o->engine, total);
	return total != 0;
}

/* ---- records ---- */

static void
tick(owner *o)
{
	o->inside = true;
	ops->tick(o->engine, o->now);
	o->inside = false;
}

static void
act(owner *o, uint8_t op, uint8_t argument)
{
	call *c = &o->calls[argument % CALLS];
	uint64_t due;

	switch (op % 12) {
	case 0:
		o->now += (uint64_t)argument * FC_NS_PER_MS;
		tick(o);
		break;
	case 1:
		due = ops->due(o->engine);
		if (due != FC_NEVER && due > o->now)
			o->now = due;
		tick(o);
		break;
	case 2:
		ops->drain(o->engine, o->now, "");
		break;
	case 3:
		write_out(o, (size_t)argument * 64 + 1);
		break;
	case 4:
		if (c->stream != NULL)
			ops->taken(o->engine, c->stream, c->untaken);
		c->untaken = 0;
		break;
	case 5:
		if (c->stream != NULL) {
			ops->abort(o->engine, c->stream, (farcall_code)(argument % 17));
			c->ended = true;
		}
		break;
	case 6:
		if (c->stream != NULL)
			release(o, c);
		break;
	case 7:
		if (c->stream != NULL && !c->ended)
			send(o, c, (size_t)argument * 100, false);
		break;
	case 8:
		if (c->stream != NULL && !o->client)
			answer(o, c, (farcall_code)(argument % 17));
		else if (o->client)
			open_call(o, argument % 2 == 0);
		break;
	case 9:
		if (c->stream != NULL && o->client)
			ops->half_close(o->engine, c->stream);
		break;
	case 10:
		if (argument == 200)
			ops->close(o->engine, FARCALL_UNAVAILABLE, "closed");
		o->dead |= argument == 200;
		break;
	default:
		o->habits = argument;
		break;
	}
}

static void
feed(owner *o, const uint8_t *at, size_t size)
{
	uint8_t *copy =
	    (uint8_t *)malloc(size + (size == 0)); /* so that tools see a read behind it */

	if (copy == NULL)
		abort();
	memcpy(copy, at, size);
	o->inside = true;
	ops->input(o->engine, copy, size, o->now);
	o->inside = false;
	free(copy);
}

static void
live(owner *o, const uint8_t *at, const uint8_t *end)
{
	while (at != end) {
		size_t n = *at++;

		if (n == 0) {
			if (end - at < 2)
				break;
			act(o, at[0], at[1]);
			at += 2;
			continue;
		}
		if (n == 255) {
			if (end - at < 2)
				break;
			n = fc_get16(at);
			at += 2;
		}
		if (n > (size_t)(end - at))
			n = (size_t)(end - at);
		feed(o, at, n);
		at += n;
	}
}

static void
die(owner *o)
{
	o->inside = true;
	ops->end(o->engine, NULL);
	o->inside = false;
	for (int i = 0; i < 100 && write_out(o, SIZE_MAX); i++)
		;
	for (int i = 0; i < CALLS; i += 2) /* the other half goes with the engine */
		if (o->calls[i].stream != NULL)
			release(o, &o->calls[i]);
	ops->free(o->engine);
}

void
fuzz_engine_run(bool client, const uint8_t *data, size_t size)
{
	static const farcall_allocator allocator = {fuzz_malloc, fuzz_realloc, fuzz_free, NULL};
	static owner o;
	fc_engine_config config = {.client = client,
	    .pool = &o.pool,
	    .max_message = 40000,
	    .max_metadata = 4096,
	    .max_streams = 5,
	    .stream_window = 65535,
	    .connection_window = 65535,
	    .settings_timeout_ns = 10 * FC_NS_PER_S,
	    .authority = "a.test",
	    .user_agent = "fuzz/1",
	    .scheme = "http"};

	if (size < 3)
		return;
	memset(&o, 0, sizeof o);
	o.client = client;
	o.preface_left = client ? 24 : 0;
	o.habits = data[0];
	o.now = FC_NS_PER_S;
	if ((data[1] & 1) != 0)
		config.stream_window = config.connection_window = 1 << 20;
	if ((data[1] & 2) != 0)
		config.stream_window = 100;
	if ((data[1] & 8) != 0) {
		config.keepalive_ns = 2 * FC_NS_PER_S;
		config.keepalive_timeout_ns = FC_NS_PER_S;
		config.keepalive_without_calls = !client || (data[1] & 16) != 0;
		config.ping_interval_ns = FC_NS_PER_S;
		config.pings_without_calls = (data[1] & 32) != 0;
	}
	if ((data[1] & 0x40) != 0) {
		config.codings = FC_CODING_GZIP | FC_CODING_DEFLATE;
		o.coding = (data[1] & 0x80) != 0 ? FC_CODING_DEFLATE : FC_CODING_GZIP;
	}
	countdown = data[2];
	farcall_set_allocator(&allocator);
	fc_pool_init(&o.pool, (data[1] & 4) != 0 ? 0 : 1 << 20);
	o.engine = ops->open(&config, &events, &o, o.now);
	must(o.engine != NULL || data[2] != 0, "no engine");
	if (o.engine != NULL) {
		for (int i = 0; client && i < (data[1] >> 4 & 3); i++)
			open_call(&o, (i & 1) == 0);
		live(&o, data + 3, data + size);
		die(&o);
	}
	fc_pool_fini(&o.pool);
	countdown = 0;
	farcall_set_allocator(NULL);
}
