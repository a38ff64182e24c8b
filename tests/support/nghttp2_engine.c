/*
 * nghttp2_engine.c: see nghttp2_engine.h. Events are raised from nghttp2's callbacks in mem_recv;
 * what happens elsewhere (a stream that closes while bytes are sent) is noted and raised at the end
 * of the next input() or tick(). A stream's object stays until its owner has released it, nghttp2
 * has closed it, and no callback is under way.
 */
#include "tests/support/nghttp2_session.h"

#include <stdlib.h>

/* PROTOCOL-HTTP2, "Errors". */
farcall_code
ng_code_of_reset(uint32_t code)
{
	switch (code) {
	case NGHTTP2_REFUSED_STREAM:
		return FARCALL_UNAVAILABLE;
	case NGHTTP2_CANCEL:
		return FARCALL_CANCELLED;
	case NGHTTP2_ENHANCE_YOUR_CALM:
		return FARCALL_RESOURCE_EXHAUSTED;
	case NGHTTP2_INADEQUATE_SECURITY:
		return FARCALL_PERMISSION_DENIED;
	default:
		return FARCALL_INTERNAL;
	}
}

uint32_t
ng_reset_of_code(farcall_code code)
{
	switch (code) {
	case FARCALL_INTERNAL:
		return NGHTTP2_INTERNAL_ERROR;
	case FARCALL_RESOURCE_EXHAUSTED:
		return NGHTTP2_ENHANCE_YOUR_CALM;
	case FARCALL_PERMISSION_DENIED:
		return NGHTTP2_INADEQUATE_SECURITY;
	default:
		return NGHTTP2_CANCEL;
	}
}

/* ---- streams ---- */

stream *
ng_stream_new(ng *g, int32_t id)
{
	stream *s = (stream *)need(calloc(1, sizeof *s));

	s->ng = g;
	s->id = id;
	s->seen.max_message = g->config.max_message;
	s->next = g->streams;
	g->streams = s;
	return s;
}

stream *
ng_find(ng *g, int32_t id)
{
	stream *s = g->streams;

	while (s != NULL && (id == 0 || s->id != id))
		s = s->next;
	return s;
}

void
ng_stream_free(stream *s)
{
	headers_clear(&s->fields);
	headers_clear(&s->tail);
	bytes_clear(&s->in);
	bytes_clear(&s->out);
	free(s);
}

void
ng_reset(stream *s, uint32_t code)
{
	if (!s->closed)
		nghttp2_submit_rst_stream(s->ng->session, NGHTTP2_FLAG_NONE, s->id, code);
}

void
ng_raise_abort(stream *s, farcall_code code, farcall_cause cause, const char *text, bool unseen)
{
	fc_abort abort_event = {code, cause, text, unseen, false};

	if (!s->held || s->over)
		return;
	s->over = true;
	s->ng->events->on_abort(s->ng->owner, &s->seen, &abort_event);
}

void
ng_fail_stream(stream *s, farcall_code code, farcall_cause cause, const char *text)
{
	ng *g = s->ng;

	if (s->over)
		return;
	if (!g->config.client && !s->closed && !s->end_out) {
		fc_tail tail = {code, {text, strlen(text)}, 0, NULL, FARCALL_CAUSE_NONE};

		ng_send_tail((fc_engine *)(void *)g, &s->seen, &tail);
	} else {
		ng_reset(s, ng_reset_of_code(code));
	}
	ng_raise_abort(s, code, cause, text, false);
}

/* ---- turns ---- */

static void
die(ng *g, farcall_code code, farcall_cause cause, const char *text)
{
	if (g->dead)
		return;
	g->dead = true;
	fc_fail(&g->why, code, cause, "%s", text);
	for (stream *s = g->streams; s != NULL; s = s->next)
		ng_raise_abort(s, g->config.client ? code : FARCALL_CANCELLED, cause, text, false);
	if (!g->closed_by_us)
		g->events->on_dead(g->owner, &g->why);
}

/* Closed, and the owner does not know. A server's call with its tail given needs no event. */
static bool
is_lost(const stream *s)
{
	return s->closed && s->held && !s->over && (!s->end_out || s->ng->config.client);
}

static void
raise_closed(ng *g, stream *s)
{
	if (!is_lost(s))
		return;
	ng_raise_abort(s, g->config.client ? ng_code_of_reset(s->close_code) : FARCALL_CANCELLED,
	    s->close_code == NGHTTP2_CANCEL ? FARCALL_CAUSE_NONE : FARCALL_CAUSE_PROTOCOL,
	    nghttp2_http2_strerror(s->close_code), s->close_code == NGHTTP2_REFUSED_STREAM);
}

/* Events that are due, then the streams that are gone. */
static void
settle(ng *g)
{
	if (g->goaway_due) {
		g->goaway_due = false;
		fc_fail(&g->why, FARCALL_UNAVAILABLE, FARCALL_CAUSE_SHUTDOWN, "GOAWAY");
		g->events->on_goaway(g->owner, &g->why);
		fc_error_clear(&g->why);
	}
	for (stream *s = g->streams; s != NULL; s = s->next) {
		raise_closed(g, s);
		if (s->sent_due && s->held && !s->over && !g->dead)
			g->events->on_sent(g->owner, &s->seen);
		s->sent_due = false;
	}
	for (stream **at = &g->streams; *at != NULL;) {
		stream *s = *at;

		if (s->held || !(s->closed || g->dead)) {
			at = &s->next;
			continue;
		}
		*at = s->next;
		ng_stream_free(s);
	}
	if (g->refused && ng_can_open((fc_engine *)(void *)g) != 0) {
		g->refused = false;
		g->events->on_capacity(g->owner);
	}
	if (g->draining && !g->drain_said && g->streams == NULL &&
	    (g->config.client || g->drain_acked)) {
		g->drain_said = true;
		g->events->on_drained(g->owner);
	}
	if (!g->dead && !g->draining && !g->going && !nghttp2_session_want_read(g->session))
		die(g, FARCALL_UNAVAILABLE, FARCALL_CAUSE_PROTOCOL, "the session has ended");
}

static void
input(fc_engine *engine, const uint8_t *at, size_t size, uint64_t now)
{
	ng *g = of(engine);

	g->now = now;
	if (g->dead)
		return;
	if (nghttp2_session_mem_recv(g->session, at, size) < 0)
		die(g, FARCALL_UNAVAILABLE, FARCALL_CAUSE_PROTOCOL, "bad bytes");
	settle(g);
}

static void
end(fc_engine *engine, const fc_error *why)
{
	ng *g = of(engine);

	die(g, FARCALL_UNAVAILABLE, why != NULL ? why->cause : FARCALL_CAUSE_CONNECTION_LOST,
	    why != NULL ? why->text : "the connection has ended");
	settle(g);
}

static uint64_t
due(const fc_engine *engine)
{
	const ng *g = of_const(engine);

	if (g->goaway_due || (g->draining && !g->drain_said && g->streams == NULL))
		return 0;
	for (const stream *s = g->streams; s != NULL; s = s->next)
		if (s->sent_due || (s->closed && !s->held) || is_lost(s))
			return 0;
	return FC_NEVER;
}

static void
tick(fc_engine *engine, uint64_t now)
{
	of(engine)->now = now;
	settle(of(engine));
}

static size_t
output(fc_engine *engine, fc_piece *pieces, size_t most)
{
	ng *g = of(engine);

	while (g->out.size - g->out_at < 256 * 1024) {
		const uint8_t *at;
		ssize_t n = nghttp2_session_mem_send(g->session, &at);

		if (n <= 0)
			break;
		bytes_add(&g->out, at, (size_t)n);
	}
	if (most == 0 || g->out.size == g->out_at)
		return 0;
	pieces[0] = (fc_piece){g->out.at + g->out_at, g->out.size - g->out_at};
	return 1;
}

static void
wrote(fc_engine *engine, size_t size)
{
	ng *g = of(engine);

	g->out_at += size;
	if (g->out_at == g->out.size)
		g->out_at = g->out.size = 0;
}

static bool
congested(const fc_engine *engine)
{
	(void)engine;
	return false;
}

static void
drain(fc_engine *engine, uint64_t now, const char *text)
{
	ng *g = of(engine);

	(void)text;
	g->now = now;
	if (g->draining)
		return;
	g->draining = true;
	if (g->config.client) {
		nghttp2_submit_goaway(g->session, NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, NULL, 0);
		return;
	}
	nghttp2_submit_shutdown_notice(g->session);
	nghttp2_submit_ping(g->session, NGHTTP2_FLAG_NONE, NULL);
}

static void
close_engine(fc_engine *engine, farcall_code code, const char *text)
{
	ng *g = of(engine);

	g->closed_by_us = true;
	nghttp2_session_terminate_session(
	    g->session, code == FARCALL_INTERNAL ? NGHTTP2_INTERNAL_ERROR : NGHTTP2_NO_ERROR);
	die(g, code, FARCALL_CAUSE_SHUTDOWN, text);
}

static fc_engine *
open_engine(
    const fc_engine_config *config, const fc_engine_events *events, void *owner, uint64_t now)
{
	nghttp2_session_callbacks *callbacks;
	nghttp2_settings_entry settings[] = {
	    {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, config->stream_window},
	    {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, config->client ? 0 : config->max_streams},
	    {NGHTTP2_SETTINGS_ENABLE_PUSH, 0}};
	ng *g = (ng *)need(calloc(1, sizeof *g));

	g->config = *config;
	g->events = events;
	g->owner = owner;
	g->now = now;
	need(nghttp2_session_callbacks_new(&callbacks) == 0 ? g : NULL);
	ng_set_callbacks(callbacks);
	need((config->client ? nghttp2_session_client_new(&g->session, callbacks, g)
	                     : nghttp2_session_server_new(&g->session, callbacks, g)) == 0
	        ? g
	        : NULL);
	nghttp2_session_callbacks_del(callbacks);
	nghttp2_submit_settings(g->session, NGHTTP2_FLAG_NONE, settings, config->client ? 3 : 2);
	if (config->connection_window > 65535)
		nghttp2_session_set_local_window_size(
		    g->session, NGHTTP2_FLAG_NONE, 0, (int32_t)config->connection_window);
	return (fc_engine *)(void *)g;
}

static void
free_engine(fc_engine *engine)
{
	ng *g = of(engine);

	if (g == NULL)
		return;
	nghttp2_session_del(g->session);
	while (g->streams != NULL) {
		stream *s = g->streams;

		g->streams = s->next;
		ng_stream_free(s);
	}
	bytes_clear(&g->out);
	free(g);
}

const fc_engine_ops nghttp2_engine = {
    .name = "h2-nghttp2",
    .open = open_engine,
    .free = free_engine,
    .input = input,
    .end = end,
    .due = due,
    .tick = tick,
    .output = output,
    .wrote = wrote,
    .congested = congested,
    .open_stream = ng_open_stream,
    .can_open = ng_can_open,
    .send_head = ng_send_head,
    .send_message = ng_send_message,
    .half_close = ng_half_close,
    .send_tail = ng_send_tail,
    .abort = ng_abort,
    .taken = ng_taken,
    .release = ng_release,
    .drain = drain,
    .close = close_engine,
};
