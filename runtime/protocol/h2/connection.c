/*
 * connection.c: a connection's beginning, its timers and its ends: by the peer, by a failure, by
 * our own word. However it ends, every stream that the owner holds hears of it once, and then
 * on_dead comes; after that nothing comes in any more.
 */
#include "runtime/protocol/grpc/grpc.h"

#include "runtime/base/alloc.h"
#include "runtime/protocol/grpc/text.h"

#include <stdarg.h>

/* A drain does not wait longer for its PING: a client that nobody drives between its calls does
 * not answer. Calls that cross the second GOAWAY are told by it that nobody saw them. */
#define ROUND_TRIP_NS FC_NS_PER_S

static const char *const code_names[] = {
#define NAME(name, code) #name,
    FC_H2_CODES(NAME)
#undef NAME
};

const char *
fc_h2_code_name(uint32_t code)
{
	return code < FC_H2_N_CODES ? code_names[code] : "of an unknown code";
}

/* ---- beginning ---- */

static void
set_up(fc_h2 *c, uint64_t now)
{
	fc_pool *pool = c->config.pool;

	c->now = now;
	c->preface = true;
	c->settings_due = c->config.settings_timeout_ns < FC_NEVER - now
	    ? now + c->config.settings_timeout_ns
	    : FC_NEVER;
	c->drain_due = c->patience_due = c->trim_due = FC_NEVER;
	fc_map_init(&c->streams);
	c->next_out = 1;
	c->window = FC_MAX(c->config.connection_window, FC_H2_WINDOW);
	c->window = FC_MIN(c->window, (uint32_t)FC_H2_WINDOW_MOST);
	c->config.stream_window = FC_MIN(c->config.stream_window, (uint32_t)FC_H2_WINDOW_MOST);
	c->drain_text = "";
	c->recv_window = (int32_t)c->window;
	c->recv_initial = (int32_t)FC_MAX(c->config.stream_window, FC_H2_WINDOW);
	c->send_window = c->send_initial = FC_H2_WINDOW;
	c->peer_streams = FC_H2_STREAMS_AT_FIRST;
	c->peer_list = UINT32_MAX;
	fc_list_init(&c->ready);
	fc_list_init(&c->sent);
	fc_buf_init(&c->payload, pool, FC_H2_FRAME_SIZE);
	fc_buf_init(&c->block, pool, FC_H2_BLOCK_MOST);
	fc_buf_init(&c->scratch, pool, SIZE_MAX / 2);
	fc_buf_init(&c->text, pool, SIZE_MAX / 2);
	fc_buf_init(&c->message, pool, SIZE_MAX / 2);
	fc_chain_init(&c->out, pool);
	fc_chain_init(&c->ahead, pool);
	for (int i = 0; i < FC_IDLE_KINDS; i++)
		c->idle[i].at = now;
	c->resets.at = now;
	fc_h2_keepalive_begin(c);
}

/* A client speaks first. */
static bool
greet(fc_h2 *c)
{
	c->preface_size = FC_H2_PREFACE_SIZE;
	c->paths = (fc_h2_path *)fc_calloc(FC_H2_PATHS, sizeof *c->paths);
	if (c->paths == NULL ||
	    !fc_chain_append(&c->out, (const uint8_t *)FC_H2_PREFACE, FC_H2_PREFACE_SIZE))
		return false;
	fc_h2_introduce(c);
	return c->tasks == 0;
}

fc_engine *
fc_h2_open(
    const fc_engine_config *config, const fc_engine_events *events, void *owner, uint64_t now)
{
	fc_classifier classifier = {config->client ? NULL : events->lookup, owner};
	fc_h2 *c = (fc_h2 *)fc_calloc(1, sizeof *c);

	if (c == NULL)
		return NULL;
	c->config = *config;
	c->events = events;
	c->owner = owner;
	set_up(c, now);
	c->decoder = fc_hpack_decoder_new(config->pool, config->max_metadata, &classifier);
	c->encoder = fc_hpack_encoder_new(config->pool);
	if (c->decoder == NULL || c->encoder == NULL || (config->client && !greet(c))) {
		fc_h2_free(c);
		return NULL;
	}
	return c;
}

void
fc_h2_free(fc_engine *c)
{
	if (c == NULL)
		return;
	fc_h2_forget_streams(c);
	fc_buf_fini(&c->payload);
	fc_buf_fini(&c->block);
	fc_buf_fini(&c->scratch);
	fc_buf_fini(&c->text);
	fc_buf_fini(&c->message);
	fc_chain_fini(&c->out);
	fc_chain_fini(&c->ahead);
	fc_pool_put(c->config.pool, c->pairs);
	if (c->decoder != NULL)
		fc_hpack_decoder_free(c->decoder);
	if (c->encoder != NULL)
		fc_hpack_encoder_free(c->encoder);
	fc_free(c->paths);
	fc_free(c);
}

/* ---- ends ---- */

/* `why` stands. Nothing comes in any more, and all hear of it. What the output still holds goes out
 * before our own GOAWAY, so calls whose bytes are in it count as seen, unless it was `dropped`. */
static void
lose(fc_h2 *c, bool dropped)
{
	c->dead = true;
	c->in_data = false;
	c->data_stream = NULL;
	for (uint32_t i = 0; c->streams.slots != NULL && i <= c->streams.mask; i++) {
		fc_h2_stream *s = (fc_h2_stream *)c->streams.slots[i].value;

		if (s == NULL || fc_h2_closed(s))
			continue;
		fc_h2_reset_by_peer(c, s);
		fc_grpc_lost(c, s, &c->why, dropped && s->opened_at >= c->written);
	}
	c->tasks = 0;
	c->events->on_dead(c->owner, &c->why);
}

static void
say_goodbye(fc_h2 *c, fc_h2_code code, const char *text)
{
	uint32_t last = 0;

	if (c->preface_size < FC_H2_PREFACE_SIZE)
		return; /* it is not known that the peer speaks HTTP/2 */
	if (!c->config.client)
		last = c->drain >= FC_DRAIN_TOLD ? c->goaway : c->last_in;
	fc_h2_put_goaway(c, last, code, text);
}

static farcall_code
code_of(farcall_cause cause)
{
	return cause == FARCALL_CAUSE_OUT_OF_MEMORY || cause == FARCALL_CAUSE_LIMIT
	    ? FARCALL_RESOURCE_EXHAUSTED
	    : FARCALL_UNAVAILABLE;
}

void
fc_h2_fail(fc_h2 *c, fc_h2_code h2, farcall_cause cause, const char *format, ...)
{
	va_list arguments;

	if (c->dead)
		return;
	c->dead = true;
	fc_error_clear(&c->why);
	va_start(arguments, format);
	fc_vfail(&c->why, code_of(cause), cause, format, arguments);
	va_end(arguments);
	say_goodbye(c, h2, c->why.text);
	lose(c, false);
}

void
fc_h2_doom(fc_h2 *c, fc_h2_code h2, farcall_cause cause, const char *text)
{
	if (c->dead || (c->tasks & FC_TASK_FAIL) != 0)
		return;
	fc_error_clear(&c->why);
	fc_fail(&c->why, code_of(cause), cause, "%s", text);
	c->why_code = h2;
	c->tasks |= FC_TASK_FAIL;
}

void
fc_h2_doom_memory(fc_h2 *c)
{
	fc_h2_doom(c, FC_H2_INTERNAL_ERROR, FARCALL_CAUSE_OUT_OF_MEMORY, "out of memory");
}

void
fc_h2_end(fc_engine *c, const fc_error *why)
{
	if (c->dead)
		return;
	if (c->config.client && c->preface && c->head_size != 0 && why == NULL) {
		fc_h2_not_http2(c, c->head, c->head_size);
		return;
	}
	fc_error_clear(&c->why);
	if (c->going_away)
		c->why = c->farewell;
	else if (why != NULL)
		c->why = *why;
	else
		fc_fail(&c->why, FARCALL_UNAVAILABLE, FARCALL_CAUSE_CONNECTION_LOST,
		    c->preface ? "the peer closed the connection before it spoke HTTP/2"
		               : "the peer closed the connection");
	if (c->config.client) /* the peer may still listen: what counts as unsent must not leave */
		fc_h2_drop_output(c);
	lose(c, c->config.client);
}

void
fc_h2_close(fc_engine *c, farcall_code code, const char *text)
{
	if (c->dead)
		return;
	say_goodbye(c, (fc_h2_code)fc_grpc_goaway_of_code(code), text != NULL ? text : "");
	c->dead = true;
	c->in_data = false;
	c->data_stream = NULL;
	for (uint32_t i = 0; c->streams.slots != NULL && i <= c->streams.mask; i++) {
		fc_h2_stream *s = (fc_h2_stream *)c->streams.slots[i].value;

		if (s == NULL)
			continue;
		s->flags |= FC_STREAM_OVER;
		fc_h2_reset_by_peer(c, s);
	}
	c->tasks = 0;
}

/* ---- drain ---- */

void
fc_h2_drain_start(fc_engine *c, uint64_t now, const char *text)
{
	uint8_t *p;

	c->now = now;
	if (c->dead || c->drain != FC_DRAIN_NO)
		return;
	c->drain_text = text;
	c->drain = !c->config.client && c->preface_size < FC_H2_PREFACE_SIZE ? FC_DRAIN_TOLD
	                                                                     : FC_DRAIN_ASKED;
	if (c->config.client || c->drain == FC_DRAIN_TOLD) {
		if (c->open == 0)
			c->tasks |= FC_TASK_DRAINED;
		return;
	}
	fc_h2_put_goaway(c, FC_H2_ID_MOST, FC_H2_NO_ERROR, text);
	p = fc_h2_control(c, FC_H2_PING, 0, 0, sizeof fc_h2_drain_ping, false);
	if (p != NULL)
		memcpy(p, fc_h2_drain_ping, sizeof fc_h2_drain_ping);
	c->drain_due = now + ROUND_TRIP_NS;
}

void
fc_h2_drain_tell(fc_h2 *c)
{
	c->drain = FC_DRAIN_TOLD;
	c->drain_due = FC_NEVER;
	c->goaway = c->last_in;
	fc_h2_put_goaway(c, c->goaway, FC_H2_NO_ERROR, c->drain_text);
	if (c->open == 0)
		c->tasks |= FC_TASK_DRAINED;
}

static void
drained(fc_h2 *c)
{
	bool server_waits =
	    !c->config.client && c->preface_size == FC_H2_PREFACE_SIZE && c->drain != FC_DRAIN_TOLD;

	if (c->open != 0 || c->drain == FC_DRAIN_DONE || server_waits)
		return;
	if (c->config.client)
		fc_h2_put_goaway(c, 0, FC_H2_NO_ERROR, "");
	c->drain = FC_DRAIN_DONE;
	c->events->on_drained(c->owner);
}

/* ---- what is due ---- */

static void
raise_sent(fc_h2 *c)
{
	fc_list *item;

	while ((item = fc_list_pop(&c->sent)) != NULL) {
		fc_h2_stream *s = FC_CONTAINER(item, fc_h2_stream, wait);

		s->flags &= ~(uint32_t)FC_STREAM_SENT_DUE;
		if (fc_h2_listens(s))
			c->events->on_sent(c->owner, &s->seen);
	}
}

void
fc_h2_settle(fc_h2 *c)
{
	unsigned tasks = c->tasks;

	if (c->dead)
		return;
	if ((tasks & FC_TASK_FAIL) != 0) {
		say_goodbye(c, c->why_code, c->why.text);
		lose(c, false);
		return;
	}
	c->tasks = 0;
	if ((tasks & FC_TASK_SENT) != 0)
		raise_sent(c);
	if ((tasks & FC_TASK_CAPACITY) != 0 && c->wants_capacity && fc_grpc_can_open(c) != 0) {
		c->wants_capacity = false;
		c->events->on_capacity(c->owner);
	}
	if ((tasks & FC_TASK_DRAINED) != 0 && !c->dead)
		drained(c);
}

uint64_t
fc_h2_due(const fc_engine *c)
{
	uint64_t due = FC_MIN(c->drain_due, c->patience_due);

	if (c->dead)
		return FC_NEVER;
	if (c->tasks != 0)
		return 0;
	due = FC_MIN(due, FC_MIN(c->trim_due, c->keepalive_due));
	return c->acknowledged ? due : FC_MIN(due, c->settings_due);
}

void
fc_h2_tick(fc_engine *c, uint64_t now)
{
	c->now = now;
	if (c->dead)
		return;
	if (!c->acknowledged && c->settings_due <= now) {
		fc_h2_fail(c, FC_H2_SETTINGS_TIMEOUT, FARCALL_CAUSE_TIMED_OUT,
		    "the peer %s in %u ms",
		    c->preface_size < FC_H2_PREFACE_SIZE ? "sent no HTTP/2 preface"
		        : c->preface                     ? "sent no SETTINGS"
		                                         : "did not acknowledge our SETTINGS",
		    (unsigned)(c->config.settings_timeout_ns / FC_NS_PER_MS));
		return;
	}
	if (c->drain_due <= now)
		fc_h2_drain_tell(c);
	if (c->patience_due <= now)
		fc_h2_impatience(c);
	if (c->trim_due <= now)
		fc_h2_trim(c);
	if (c->keepalive_due <= now)
		fc_h2_keepalive_tick(c);
	if (c->tasks != 0)
		fc_h2_settle(c);
}
