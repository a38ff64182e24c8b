/*
 * nghttp2_send.c: calls to nghttp2. Messages queue up as bytes, from which nghttp2 reads as windows
 * allow; a tail waits behind them.
 */
#include "tests/support/nghttp2_session.h"

#include <stdio.h>
#include <stdlib.h>

static ssize_t
read_out(nghttp2_session *session, int32_t id, uint8_t *to, size_t size, uint32_t *flags,
    nghttp2_data_source *source, void *owner)
{
	stream *s = (stream *)source->ptr;
	size_t left = s->out.size - s->out_at;

	(void)owner;
	if (size > left)
		size = left;
	if (size != 0)
		memcpy(to, s->out.at + s->out_at, size);
	s->out_at += size;
	if (s->out_at == s->out.size) {
		s->out.size = s->out_at = 0;
		if (s->waiting)
			s->sent_due = true;
		s->waiting = false;
		if (s->end_out) {
			*flags |= NGHTTP2_DATA_FLAG_EOF;
			if (!s->ng->config.client) {
				*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
				nghttp2_submit_trailer(session, id, s->tail.at, s->tail.count);
			}
		} else if (size == 0) {
			return NGHTTP2_ERR_DEFERRED;
		}
	}
	return (ssize_t)size;
}

static nghttp2_data_provider
provider_of(stream *s)
{
	nghttp2_data_provider provider = {.read_callback = read_out};

	provider.source.ptr = s;
	return provider;
}

static void
add_pairs(header_list *to, size_t n, const fc_pair *pairs)
{
	for (size_t i = 0; i < n; i++) {
		const fc_pair *p = &pairs[i];
		bytes value = {0};

		if ((p->flags & FC_PAIR_BINARY) != 0)
			base64_put(&value, p->value, p->value_size);
		else
			bytes_add(&value, p->value, p->value_size);
		headers_add(to, p->name, p->name_size, value.at, value.size,
		    (p->flags & FC_PAIR_SENSITIVE) != 0);
		bytes_clear(&value);
	}
}

static void
add_text(header_list *to, const char *name, const char *value)
{
	headers_add(to, name, strlen(name), value, strlen(value), false);
}

fc_send
ng_send_head(fc_engine *engine, fc_stream *seen, size_t n, const fc_pair *metadata)
{
	stream *s = stream_of(seen);
	header_list head = {0};
	nghttp2_data_provider provider = provider_of(s);

	(void)engine;
	if (s->closed || s->over || s->end_out)
		return FC_SEND_GONE;
	if (s->head_out)
		return FC_SEND_OK;
	s->head_out = true;
	add_text(&head, ":status", "200");
	add_text(&head, "content-type", "application/grpc");
	add_pairs(&head, n, metadata);
	nghttp2_submit_response(s->ng->session, s->id, head.at, head.count, &provider);
	headers_clear(&head);
	return FC_SEND_OK;
}

typedef struct gather {
	fc_sink sink;
	bytes *to;
} gather;

static void
gather_add(fc_sink *sink, const uint8_t *at, size_t size)
{
	bytes_add(((gather *)(void *)sink)->to, at, size);
}

/* Takes `flat` and `pour` by turns, so that both are tried. */
static void
put_message(stream *s, const fc_payload *payload)
{
	uint8_t prefix[5] = {0};
	gather into = {{gather_add}, &s->out};
	size_t before;

	fc_put32(prefix + 1, (uint32_t)payload->size);
	bytes_add(&s->out, prefix, sizeof prefix);
	before = s->out.size;
	if (payload->size % 2 == 0) {
		bytes_room(&s->out, payload->size);
		payload->flat(payload, s->out.at + before);
		s->out.size += payload->size;
	} else {
		payload->pour(payload, &into.sink);
	}
	if (s->out.size - before != payload->size)
		abort();
}

fc_send
ng_send_message(fc_engine *engine, fc_stream *seen, const fc_payload *payload, bool last)
{
	ng *g = of(engine);
	stream *s = stream_of(seen);
	int32_t window;

	if (s->closed || s->over || s->end_out)
		return FC_SEND_GONE;
	if (!g->config.client && !s->head_out)
		ng_send_head(engine, seen, 0, NULL);
	put_message(s, payload);
	s->end_out = last && g->config.client;
	nghttp2_session_resume_data(g->session, s->id);
	window = nghttp2_session_get_stream_remote_window_size(g->session, s->id);
	window = FC_MIN(window, nghttp2_session_get_remote_window_size(g->session));
	s->waiting = window < 0 || s->out.size - s->out_at > (size_t)window;
	return s->waiting ? FC_SEND_WAITING : FC_SEND_OK;
}

fc_send
ng_half_close(fc_engine *engine, fc_stream *seen)
{
	stream *s = stream_of(seen);

	if (s->closed || s->over || s->end_out)
		return FC_SEND_GONE;
	s->end_out = true;
	nghttp2_session_resume_data(of(engine)->session, s->id);
	return FC_SEND_OK;
}

fc_send
ng_send_tail(fc_engine *engine, fc_stream *seen, const fc_tail *tail)
{
	stream *s = stream_of(seen);
	char code[12];
	bytes message = {0};

	if (s->closed || s->over || s->end_out)
		return FC_SEND_GONE;
	s->end_out = true;
	if (!s->head_out) {
		add_text(&s->tail, ":status", "200");
		add_text(&s->tail, "content-type", "application/grpc");
	}
	snprintf(code, sizeof code, "%d", (int)tail->code);
	add_text(&s->tail, "grpc-status", code);
	percent_put(&message, tail->message.at, tail->message.size);
	if (message.size != 0)
		headers_add(&s->tail, "grpc-message", 12, message.at, message.size, false);
	bytes_clear(&message);
	add_pairs(&s->tail, tail->n_metadata, tail->metadata);
	if (s->head_out)
		nghttp2_session_resume_data(of(engine)->session, s->id);
	else
		nghttp2_submit_response(
		    of(engine)->session, s->id, s->tail.at, s->tail.count, NULL);
	return FC_SEND_OK;
}

uint32_t
ng_can_open(const fc_engine *engine)
{
	const ng *g = of_const(engine);
	uint32_t most, open = 0;

	if (g->dead || g->going || g->draining)
		return 0;
	most = nghttp2_session_get_remote_settings(
	    g->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
	for (const stream *s = g->streams; s != NULL; s = s->next)
		open += !s->closed;
	most = FC_MIN(most, 100);
	return open < most ? most - open : 0;
}

fc_stream *
ng_open_stream(fc_engine *engine, const fc_request *request, void *user)
{
	ng *g = of(engine);
	header_list head = {0};
	nghttp2_data_provider provider;
	stream *s;

	if (ng_can_open(engine) == 0) {
		g->refused = true;
		return NULL;
	}
	s = ng_stream_new(g, 0);
	s->seen.user = user;
	s->held = true;
	add_text(&head, ":method", "POST");
	add_text(&head, ":scheme", g->config.scheme);
	headers_add(&head, ":path", 5, request->path.at, request->path.size, false);
	add_text(&head, ":authority", g->config.authority);
	if (request->timeout_ns != FC_NEVER) {
		char text[24];

		timeout_put(text, sizeof text, request->timeout_ns);
		add_text(&head, "grpc-timeout", text);
	}
	add_text(&head, "te", "trailers");
	add_text(&head, "content-type", "application/grpc+proto");
	if (g->config.user_agent != NULL)
		add_text(&head, "user-agent", g->config.user_agent);
	add_pairs(&head, request->n_metadata, request->metadata);
	provider = provider_of(s);
	s->id = nghttp2_submit_request(g->session, NULL, head.at, head.count, &provider, s);
	headers_clear(&head);
	if (s->id < 0)
		abort();
	return &s->seen;
}

void
ng_abort(fc_engine *engine, fc_stream *seen, farcall_code code)
{
	stream *s = stream_of(seen);

	(void)engine;
	if (!s->over)
		ng_reset(s, ng_reset_of_code(code));
	s->over = true;
}

void
ng_release(fc_engine *engine, fc_stream *seen)
{
	stream *s = stream_of(seen);

	/* On a server a call with its tail on the way has been answered: let it be sent. */
	if (!s->over && !(s->end_out && !of(engine)->config.client))
		ng_abort(engine, seen, FARCALL_CANCELLED);
	s->over = true;
	s->held = false;
}

void
ng_taken(fc_engine *engine, fc_stream *seen, size_t size)
{
	(void)engine;
	(void)seen;
	(void)size;
}
