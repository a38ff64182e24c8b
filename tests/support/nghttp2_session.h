/*
 * nghttp2_session.h: what the files of the engine on nghttp2 share. See nghttp2_engine.h.
 */
#ifndef FC_TEST_NGHTTP2_SESSION_H
#define FC_TEST_NGHTTP2_SESSION_H

#include "tests/support/nghttp2_engine.h"
#include "tests/support/nghttp2_text.h"

typedef struct stream {
	fc_stream seen;
	struct ng *ng;
	struct stream *next;
	int32_t id;
	bool held;   /* by its owner */
	bool over;   /* no event may come any more */
	bool closed; /* by nghttp2 */
	bool head_in, head_out;
	bool end_in;   /* the peer's END_STREAM has come */
	bool end_out;  /* no message follows (client), the tail is known (server) */
	bool last_out; /* our END_STREAM has been sent */
	bool sent_due, waiting;
	uint32_t close_code;
	header_list fields; /* of the block under way */
	bytes in, out;
	size_t out_at;
	header_list tail;
} stream;

typedef struct ng {
	nghttp2_session *session;
	fc_engine_config config;
	const fc_engine_events *events;
	void *owner;
	uint64_t now;
	stream *streams;
	bytes out;
	size_t out_at;
	bool dead, ready, refused, going, goaway_due, closed_by_us;
	bool draining, drain_said, drain_acked;
	fc_error why;
} ng;

static inline ng *
of(fc_engine *engine)
{
	return (ng *)(void *)engine;
}

static inline const ng *
of_const(const fc_engine *engine)
{
	return (const ng *)(const void *)engine;
}

static inline stream *
stream_of(fc_stream *seen)
{
	return (stream *)(void *)seen;
}

/* nghttp2_engine.c */
farcall_code ng_code_of_reset(uint32_t code);
uint32_t ng_reset_of_code(farcall_code code);
stream *ng_stream_new(ng *g, int32_t id);
stream *ng_find(ng *g, int32_t id);
void ng_stream_free(stream *s);
void ng_reset(stream *s, uint32_t code);
void ng_raise_abort(
    stream *s, farcall_code code, farcall_cause cause, const char *text, bool unseen);
void ng_fail_stream(stream *s, farcall_code code, farcall_cause cause, const char *text);

/* nghttp2_send.c */
fc_send ng_send_head(fc_engine *engine, fc_stream *seen, size_t n, const fc_pair *metadata);
fc_send ng_send_message(fc_engine *engine, fc_stream *seen, const fc_payload *payload, bool last);
fc_send ng_half_close(fc_engine *engine, fc_stream *seen);
fc_send ng_send_tail(fc_engine *engine, fc_stream *seen, const fc_tail *tail);
uint32_t ng_can_open(const fc_engine *engine);
fc_stream *ng_open_stream(fc_engine *engine, const fc_request *request, void *user);
void ng_abort(fc_engine *engine, fc_stream *seen, farcall_code code);
void ng_release(fc_engine *engine, fc_stream *seen);
void ng_taken(fc_engine *engine, fc_stream *seen, size_t size);

/* nghttp2_receive.c */
void ng_set_callbacks(nghttp2_session_callbacks *to);

#endif
