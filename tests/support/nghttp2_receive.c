/*
 * nghttp2_receive.c: nghttp2 to events: header blocks are gathered, messages cut out of DATA.
 */
#include "tests/support/nghttp2_session.h"

#include <stdlib.h>

/* The block's metadata as pairs; the caller frees them. */
static fc_pair *
pairs_of(const header_list *fields, size_t *n)
{
	fc_pair *pairs = (fc_pair *)need(calloc(fields->count + 1, sizeof *pairs));

	*n = 0;
	for (size_t i = 0; i < fields->count; i++) {
		const nghttp2_nv *nv = &fields->at[i];
		fc_pair *p = &pairs[*n];

		if (is_protocol_name((const char *)nv->name, nv->namelen))
			continue;
		p->name = (const char *)nv->name;
		p->name_size = (uint32_t)nv->namelen;
		p->value = (const char *)nv->value;
		p->value_size = (uint32_t)nv->valuelen;
		if (nv->namelen >= 4 && memcmp(nv->name + nv->namelen - 4, "-bin", 4) == 0)
			p->flags |= FC_PAIR_BASE64;
		if ((nv->flags & NGHTTP2_NV_FLAG_NO_INDEX) != 0)
			p->flags |= FC_PAIR_SENSITIVE;
		*n += 1;
	}
	return pairs;
}

static void
got_request(stream *s)
{
	ng *g = s->ng;
	fc_head head = {.timeout_ns = FC_NEVER};
	const nghttp2_nv *nv;
	fc_pair *pairs;

	s->head_in = true;
	if (headers_size(&s->fields) > g->config.max_metadata) {
		ng_fail_stream(s, FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_TOO_LARGE, "metadata");
		return;
	}
	nv = headers_find(&s->fields, ":path");
	if (nv != NULL) {
		head.path = (fc_text){(const char *)nv->value, nv->valuelen};
		head.method = g->events->lookup(g->owner, head.path.at, head.path.size);
	}
	nv = headers_find(&s->fields, ":authority");
	if (nv != NULL)
		head.authority = (fc_text){(const char *)nv->value, nv->valuelen};
	nv = headers_find(&s->fields, "grpc-timeout");
	if (nv != NULL && !timeout_get((const char *)nv->value, nv->valuelen, &head.timeout_ns)) {
		ng_fail_stream(s, FARCALL_INTERNAL, FARCALL_CAUSE_PROTOCOL, "grpc-timeout");
		return;
	}
	pairs = pairs_of(&s->fields, &head.n_metadata);
	head.metadata = pairs;
	s->held = true;
	g->events->on_request(g->owner, &s->seen, &head);
	free(pairs);
}

static void
got_tail(stream *s)
{
	ng *g = s->ng;
	const nghttp2_nv *status = headers_find(&s->fields, "grpc-status");
	const nghttp2_nv *message = headers_find(&s->fields, "grpc-message");
	fc_tail tail = {FARCALL_UNKNOWN, {"", 0}, 0, NULL, FARCALL_CAUSE_NONE};
	bytes text = {0};
	fc_pair *pairs;

	if (s->over)
		return;
	s->over = true;
	if (status == NULL)
		tail.cause = FARCALL_CAUSE_PROTOCOL;
	else
		tail.code = code_of_text((const char *)status->value, status->valuelen);
	if (message != NULL) {
		percent_get(&text, (const char *)message->value, message->valuelen);
		tail.message = (fc_text){(const char *)text.at, text.size};
	}
	pairs = pairs_of(&s->fields, &tail.n_metadata);
	tail.metadata = pairs;
	if (!s->last_out)
		ng_reset(s, NGHTTP2_NO_ERROR);
	g->events->on_tail(g->owner, &s->seen, &tail);
	free(pairs);
	bytes_clear(&text);
}

static void
got_head(stream *s)
{
	fc_head head = {.timeout_ns = FC_NEVER};
	fc_pair *pairs = pairs_of(&s->fields, &head.n_metadata);

	s->head_in = true;
	head.metadata = pairs;
	if (!s->over)
		s->ng->events->on_head(s->ng->owner, &s->seen, &head);
	free(pairs);
}

static void
got_messages(stream *s)
{
	ng *g = s->ng;
	size_t at = 0;

	while (!s->over && s->in.size - at >= 5) {
		size_t size = fc_get32(s->in.at + at + 1);

		if (s->in.at[at] != 0) {
			ng_fail_stream(s, FARCALL_INTERNAL, FARCALL_CAUSE_PROTOCOL, "compressed");
			break;
		}
		if (size > s->seen.max_message) {
			ng_fail_stream(
			    s, FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_TOO_LARGE, "size");
			break;
		}
		if (s->in.size - at - 5 < size)
			break;
		g->events->on_message(g->owner, &s->seen, s->in.at + at + 5, size);
		at += 5 + size;
	}
	bytes_take(&s->in, at);
}

static void
got_end(stream *s)
{
	ng *g = s->ng;

	s->end_in = true;
	if (s->over || !s->held)
		return;
	if (g->config.client)
		got_tail(s);
	else if (s->in.size != 0)
		ng_fail_stream(s, FARCALL_INTERNAL, FARCALL_CAUSE_PROTOCOL, "cut message");
	else
		g->events->on_half_close(g->owner, &s->seen);
}

/* ---- nghttp2's callbacks ---- */

static int
on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *owner)
{
	stream *s = ng_find((ng *)owner, frame->hd.stream_id);

	(void)session;
	if (s == NULL)
		s = ng_stream_new((ng *)owner, frame->hd.stream_id);
	headers_clear(&s->fields);
	return 0;
}

static int
on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
    size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags, void *owner)
{
	stream *s = ng_find((ng *)owner, frame->hd.stream_id);

	(void)session;
	if (s != NULL)
		headers_add(&s->fields, (const char *)name, name_size, value, value_size,
		    (flags & NGHTTP2_NV_FLAG_NO_INDEX) != 0);
	return 0;
}

static void
got_headers(ng *g, stream *s, bool end)
{
	const nghttp2_nv *status = headers_find(&s->fields, ":status");

	if (!g->config.client) {
		if (!s->head_in)
			got_request(s);
		if (end)
			got_end(s);
		return;
	}
	if (status != NULL && status->value[0] == '1')
		return;
	if (end)
		got_end(s);
	else
		got_head(s);
}

static int
on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *owner)
{
	ng *g = (ng *)owner;
	stream *s = ng_find((ng *)owner, frame->hd.stream_id);
	bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;

	switch (frame->hd.type) {
	case NGHTTP2_SETTINGS:
		if ((frame->hd.flags & NGHTTP2_FLAG_ACK) == 0 && !g->ready) {
			g->ready = true;
			if (g->config.client)
				g->events->on_ready(g->owner);
		}
		break;
	case NGHTTP2_PING:
		if ((frame->hd.flags & NGHTTP2_FLAG_ACK) != 0 && g->draining && !g->drain_acked) {
			g->drain_acked = true;
			nghttp2_submit_goaway(session, NGHTTP2_FLAG_NONE,
			    nghttp2_session_get_last_proc_stream_id(session), NGHTTP2_NO_ERROR,
			    NULL, 0);
		}
		break;
	case NGHTTP2_GOAWAY:
		g->going = true;
		g->goaway_due = true;
		break;
	case NGHTTP2_HEADERS:
		if (s != NULL)
			got_headers(g, s, end);
		break;
	case NGHTTP2_DATA:
		if (s != NULL && end) {
			headers_clear(&s->fields);
			got_end(s);
		}
		break;
	default:
		break;
	}
	return 0;
}

static int
on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *at, size_t size,
    void *owner)
{
	stream *s = ng_find((ng *)owner, id);

	(void)flags;
	(void)session;
	if (s == NULL || s->over)
		return 0;
	bytes_add(&s->in, at, size);
	got_messages(s);
	return 0;
}

static int
on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *owner)
{
	ng *g = (ng *)owner;
	stream *s = ng_find(g, frame->hd.stream_id);

	(void)session;
	if ((frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) || s == NULL ||
	    (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0)
		return 0;
	s->last_out = true;
	if (!g->config.client && !s->end_in)
		ng_reset(s, NGHTTP2_NO_ERROR);
	return 0;
}

static int
on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *owner)
{
	stream *s = ng_find((ng *)owner, id);

	(void)session;
	if (s != NULL) {
		s->closed = true;
		s->close_code = code;
	}
	return 0;
}

void
ng_set_callbacks(nghttp2_session_callbacks *to)
{
	nghttp2_session_callbacks_set_on_begin_headers_callback(to, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(to, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(to, on_frame_recv);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(to, on_data);
	nghttp2_session_callbacks_set_on_frame_send_callback(to, on_frame_send);
	nghttp2_session_callbacks_set_on_stream_close_callback(to, on_stream_close);
}
