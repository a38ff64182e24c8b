/*
 * streams.c: see streams.h. What is promised of a stream: each step is answered once; messages
 * arrive in order, each once, byte for byte; what was accepted before the status arrives before it;
 * a peer that does not read holds its sender back; the status comes once and is what the steps
 * said.
 */
#include "tests/sim/sim.h"

/* ---- what both ends have ---- */

static uint32_t
size_of(const sim_call *c, bool reply, unsigned i)
{
	uint32_t most = c->stream->most[reply];
	uint32_t x = (c->id * 7919u + i) * UINT32_C(2654435761);

	return most == 0 ? 0 : (x ^ (x >> 15)) % most;
}

static const uint8_t *
bytes_of(const sim_call *c, bool reply, unsigned i)
{
	return sim_blob + (c->id * 977u + i * 131u + reply * 31u) % (SIM_BLOB - SIM_PAYLOAD);
}

void
sim_stream_message(
    const sim_call *c, bool reply, unsigned i, unsigned attempt, Stream__Message *message)
{
	message->number = i;
	message->size = c->id;
	message->code = attempt;
	message->data.len = size_of(c, reply, i);
	message->data.data = (uint8_t *)(uintptr_t)bytes_of(c, reply, i);
}

/* In order, none twice, none missing: it is the next one. */
void
sim_stream_check_message(
    const sim_call *c, const sim_half *h, bool reply, const ProtobufCMessage *message)
{
	const Stream__Message *m = (const Stream__Message *)(const void *)message;
	const char *what = reply ? "reply" : "request";

	if (m == NULL)
		sim_broken(c->world, "call %u: %s %u is none", c->id, what, h->received);
	if (m->size != c->id || m->number != h->received)
		sim_broken(c->world, "call %u: %s %u of call %u comes where %u is due", c->id, what,
		    m->number, m->size, h->received);
	if (m->data.len != size_of(c, reply, h->received) ||
	    (m->data.len != 0 &&
	        memcmp(m->data.data, bytes_of(c, reply, h->received), m->data.len) != 0))
		sim_broken(c->world, "call %u: the bytes of %s %u are not those that were sent",
		    c->id, what, h->received);
}

void
sim_stream_called(const sim_call *c, bool *awaited, const char *step)
{
	if (!*awaited)
		sim_broken(
		    c->world, "call %u: the callback of %s that nobody waits for", c->id, step);
	*awaited = false;
}

/* What was accepted and not taken: by the window, the sender's queue, and one message that each of
 * program, queue and engine may have beside. The bytes compress to about half. */
void
sim_stream_check_room(const sim_call *c, bool reply, const sim_half *from, const sim_half *to)
{
	size_t most = SIM_WINDOW + SIM_UNSENT + (size_t)3 * c->stream->most[reply];

	if (c->stream->compressed)
		most = most * 5 / 2;
	if (from->bytes_accepted > to->bytes_received + most)
		sim_broken(c->world, "call %u: %zu bytes of %s were accepted, and %zu taken", c->id,
		    from->bytes_accepted, reply ? "replies" : "requests", to->bytes_received);
}

/* ---- choices ---- */

void
sim_half_plan(sim *w, sim_half *h, unsigned n_in, bool large)
{
	static const uint64_t paces[] = {
	    0, 0, 0, 10000, FC_NS_PER_MS, 30 * FC_NS_PER_MS, 500 * FC_NS_PER_MS};

	h->send_pace =
	    FC_MIN(paces[sim_below(w, FC_COUNT(paces))], 10 * FC_NS_PER_S / (h->to_send + 1));
	h->recv_pace = FC_MIN(paces[sim_below(w, FC_COUNT(paces))], 10 * FC_NS_PER_S / (n_in + 1));
	h->pause_at = sim_odds(w, 6) ? sim_below(w, n_in + 1) : UINT32_MAX;
	if (large) /* until the sender must wait */
		h->pause_at = sim_below(w, 4);
	h->pause = sim_some_ns(w, 15 * FC_NS_PER_S);
	h->send_due = h->recv_due = FC_NEVER;
}

/* Messages that one end sends; their bytes below most[reply]. */
static unsigned
choose_load(sim *w, sim_stream *s, bool reply)
{
	static const uint32_t counts[] = {1, 4, 4, 12, 12, 60, 400};
	static const uint32_t sizes[] = {1, 60, 60, 1000, 1000, 20000, SIM_PAYLOAD};
	uint32_t total = sim_odds(w, 12) ? 7u << 19 : 60000;
	unsigned n = sim_below(w, counts[sim_below(w, FC_COUNT(counts))]);

	s->most[reply] = sizes[sim_below(w, FC_COUNT(sizes))];
	if (total > 60000) { /* more than the windows hold; it would take long to compress */
		s->plain = !sim_odds(w, 6);
		s->large[reply] = true;
		s->most[reply] = 20000 + sim_below(w, SIM_PAYLOAD - 20000);
		n = 400;
	}
	return FC_MIN(n, 1 + total / s->most[reply]);
}

static void
choose(sim *w, sim_call *c, bool plain)
{
	sim_stream *s = c->stream;
	unsigned n_in;

	s->shape = (sim_shape)sim_below(w, SIM_SHAPES);
	s->finish_due = FC_NEVER;
	s->half_closes = sim_odds(w, 2);
	if (plain) {
		s->shape = SIM_BOTH;
		s->most[0] = s->most[1] = 500;
		s->client.to_send = s->served[0].half.to_send = 5;
		s->client.pause_at = UINT32_MAX;
		s->client.send_due = s->client.recv_due = FC_NEVER;
		return;
	}
	s->client.to_send = choose_load(w, s, false);
	n_in = choose_load(w, s, true);
	for (unsigned i = 0; i < SIM_ATTEMPTS; i++)
		s->served[i].half.to_send = s->shape != SIM_REQUESTS ? n_in : 0;
	s->client.to_send = s->shape != SIM_REPLIES ? s->client.to_send : 0;
	sim_half_plan(w, &s->client, n_in, s->large[true]);
	s->leave = sim_odds(w, 4) ? (sim_leave)(1 + sim_below(w, 3)) : SIM_STAYS;
	s->leave_at = sim_below(w, n_in + 1);
	c->plan = sim_odds(w, 4) ? SIM_FAIL : SIM_AT_ONCE;
	c->plan_code = (farcall_code)(1 + sim_below(w, FARCALL_UNAUTHENTICATED));
	c->plan_delay = sim_some_ns(w, sim_odds(w, 3) ? FC_NS_PER_S : 1);
	c->wait_for_ready = sim_odds(w, 2);
	c->metadata = sim_odds(w, 3);
	s->compressed = !s->plain && (c->id % 3 != 0 || c->id % 5 != 0);
}

/* ---- the client's steps ---- */

static void on_sent(farcall_call *, farcall_code, const ProtobufCMessage *, void *);
static void on_received(farcall_call *, farcall_code, const ProtobufCMessage *, void *);
static void on_head(farcall_call *, farcall_code, const ProtobufCMessage *, void *);
static void on_finished(farcall_call *, farcall_code, const ProtobufCMessage *, void *);

/* Some steps block; on the only loop, so that everything else goes on, but for what the driver
 * does. Not beside another step of the call, whose callback may free it. */
static bool
may_block(sim_call *c)
{
	const sim *w = c->world;

	return w->n_loops == 1 && !w->in_turn && !w->ending && c->deadline != FC_NEVER &&
	    !sim_stream_waits(c) && sim_odds(c->world, 12);
}

static void
begin_to_block(sim_call *c)
{
	sim *w = c->world;

	sim_note(w, "blocks", c->id, 0);
	w->totals->steps++;
	c->starting = c->synchronous = true; /* nobody ends it meanwhile */
	w->in_turn = true;                   /* callbacks come */
	w->loop_in_turn = 0;
}

static farcall_code
blocked(sim_call *c, farcall_code code)
{
	c->starting = c->synchronous = c->world->in_turn = false;
	return code;
}

static void
send_next(sim_call *c)
{
	sim_stream *s = c->stream;
	bool blocks = may_block(c);
	Stream__Message message = STREAM__MESSAGE__INIT;

	s->client.send_due = FC_NEVER;
	s->client.sending = true;
	s->client.send_at = c->world->clock.now;
	sim_stream_message(c, false, s->client.sent, 0, &message);
	if (c->id % 4 == 0)
		farcall_call_set_message_compression(c->call, s->client.sent % 2 == 0);
	sim_note(c->world, "send", c->id, s->client.sent++);
	c->world->totals->messages++;
	if (!blocks) {
		farcall_call_send_async(c->call, &message.base, on_sent, c);
		return;
	}
	begin_to_block(c);
	on_sent(c->call, blocked(c, farcall_call_send(c->call, &message.base)), NULL, c);
}

static void
receive_next(sim_call *c)
{
	bool blocks = may_block(c);
	const ProtobufCMessage *message = NULL;
	farcall_code code;

	c->stream->client.recv_due = FC_NEVER;
	c->stream->client.receiving = true;
	if (blocks) {
		begin_to_block(c);
		code = blocked(c, farcall_call_recv(c->call, &message));
		on_received(c->call, code, message, c);
	} else if (c->id % 3 == 0 && !c->stream->headed) {
		farcall_call_recv_head_async(c->call, on_head, c);
	} else {
		farcall_call_recv_async(c->call, on_received, c);
	}
}

static void
finish(sim_call *c)
{
	sim_stream *s = c->stream;
	bool blocks = may_block(c);
	const ProtobufCMessage *reply = NULL;
	farcall_code code;

	sim_note(c->world, "finish", c->id, s->client.sending);
	s->finish_due = s->client.send_due = s->client.recv_due = FC_NEVER;
	s->finishing = true;
	s->client.out_closed = true;
	if (!blocks) {
		farcall_call_finish_async(c->call, on_finished, c);
		return;
	}
	begin_to_block(c);
	code = blocked(c, farcall_call_finish(c->call, &reply));
	on_finished(c->call, code, reply, c);
}

static void
finish_soon(sim_call *c)
{
	sim *w = c->world;
	sim_stream *s = c->stream;

	if (s->finishing || s->finish_due != FC_NEVER)
		return;
	s->client.send_due = s->client.recv_due = FC_NEVER;
	s->finish_due = w->clock.now + (sim_odds(w, 3) ? sim_some_ns(w, FC_NS_PER_S) : 0);
}

/* All was sent, or no more can be. */
static void
end_sending(sim_call *c)
{
	sim_stream *s = c->stream;

	s->client.send_due = FC_NEVER;
	if (!s->client.out_closed && (s->half_closes || s->shape == SIM_BOTH)) {
		sim_note(c->world, "half close", c->id, s->client.sent);
		s->client.out_closed = true;
		farcall_call_half_close(c->call);
	}
	if (s->shape == SIM_REQUESTS)
		finish_soon(c);
}

static void
plan_sending(sim_call *c)
{
	sim_half *h = &c->stream->client;

	if (!h->out_closed)
		h->send_due = c->world->clock.now + sim_some_ns(c->world, h->send_pace);
}

static void
plan_receiving(sim_call *c)
{
	sim_half *h = &c->stream->client;

	h->recv_due = c->world->clock.now + sim_some_ns(c->world, h->recv_pace);
	if (h->received == h->pause_at)
		h->recv_due += h->pause;
}

/* ---- its callbacks ---- */

static void
ended(sim_call *c, farcall_call *call, farcall_code code)
{
	sim *w = c->world;
	sim_stream *s = c->stream;

	s->client.send_due = s->client.recv_due = s->finish_due = FC_NEVER;
	sim_call_ended(c, call, code);
	sim_act_inside(w);
	if (c->call != NULL && !sim_odds(w, 8))
		sim_call_free(w, c);
}

static void
check_rooms(const sim_call *c)
{
	const sim_stream *s = c->stream;

	for (unsigned i = 0; i < SIM_ATTEMPTS; i++)
		if (s->served[i].call != NULL && !s->served[i].half.in_end)
			sim_stream_check_room(c, false, &s->client, &s->served[i].half);
}

static void
on_sent(farcall_call *call, farcall_code code, const ProtobufCMessage *nothing, void *data)
{
	sim_call *c = (sim_call *)data;
	sim_half *h = &c->stream->client;

	(void)call;
	(void)nothing;
	sim_note(c->world, "sent", c->id, (uint64_t)code);
	sim_stream_called(c, &h->sending, "send");
	if (code == FARCALL_OK) {
		h->bytes_accepted += size_of(c, false, h->accepted++);
		c->world->totals->held += h->send_at < c->world->clock.now;
		if (c->attempts == 1)
			check_rooms(c);
	}
	if (c->call == NULL || c->done != 0)
		return;
	if (code == FARCALL_OK && h->sent < h->to_send)
		plan_sending(c);
	else
		end_sending(c);
}

/* It stops reading; what it has not taken is lost. */
static void
leave(sim_call *c)
{
	sim *w = c->world;

	w->totals->left[c->stream->leave]++;
	if (c->stream->leave == SIM_FREES) {
		sim_call_free(w, c);
		return;
	}
	if (c->stream->leave == SIM_CANCELS)
		sim_call_cancel(w, c);
	finish_soon(c);
}

static void
got_reply(sim_call *c, const ProtobufCMessage *message)
{
	const Stream__Message *reply = (const Stream__Message *)(const void *)message;
	sim_stream *s = c->stream;
	sim_half *h = &s->client;

	sim_stream_check_message(c, h, true, message);
	if (s->attempt == 0)
		s->attempt = reply->code;
	if (s->attempt != reply->code || reply->code == 0 || reply->code > c->executed)
		sim_broken(c->world, "call %u: reply %u comes from attempt %u, others from %u",
		    c->id, h->received, reply->code, s->attempt);
	h->received++;
	h->bytes_received += reply->data.len;
	if (h->received > s->served[s->attempt - 1].half.sent)
		sim_broken(c->world, "call %u: %u replies, of %u that were sent", c->id,
		    h->received, s->served[s->attempt - 1].half.sent);
	if (c->call == NULL)
		return;
	if (s->leave != SIM_STAYS && h->received >= s->leave_at)
		leave(c);
	else
		plan_receiving(c);
}

/* Freed, and nobody asks how it has ended. */
static void
given_up(sim_call *c)
{
	c->done++;
	c->code = FARCALL_CANCELLED;
	c->world->totals->codes[FARCALL_CANCELLED]++;
}

/* How receiving has ended. */
static void
got_end(sim_call *c, farcall_call *call, farcall_code code)
{
	c->stream->client.in_end = true;
	c->stream->client.in_code = code;
	if (c->call != NULL)
		finish_soon(c);
	else if (c->done == 0)
		ended(c, call, code == FARCALL_END ? FARCALL_OK : code);
}

static void
on_head(farcall_call *call, farcall_code code, const ProtobufCMessage *nothing, void *data)
{
	sim_call *c = (sim_call *)data;
	sim_stream *s = c->stream;

	sim_note(c->world, "head", c->id, (uint64_t)code);
	sim_stream_called(c, &s->client.receiving, "recv head");
	if (nothing != NULL || s->headed)
		sim_broken(c->world, "call %u: a message for a head, or a second one", c->id);
	if (code != FARCALL_OK) {
		got_end(c, call, code);
		return;
	}
	s->headed = true;
	c->world->totals->heads++;
	if (c->executed == 0 &&
	    c->refused == 0) /* a refusal has a head, too, if a hook adds to it */
		sim_broken(c->world, "call %u: a head, but no handler", c->id);
	if (c->metadata && c->refused == 0 &&
	    farcall_metadata_get(farcall_call_metadata(call), "sim-text") == NULL)
		sim_broken(c->world, "call %u: a head without its metadata", c->id);
	if (c->call == NULL && c->done == 0 && !s->finishing)
		given_up(c);
	else if (c->call != NULL && !s->finishing && s->finish_due == FC_NEVER)
		s->client.recv_due = c->world->clock.now;
}

static void
on_received(farcall_call *call, farcall_code code, const ProtobufCMessage *message, void *data)
{
	sim_call *c = (sim_call *)data;
	sim_half *h = &c->stream->client;

	sim_note(c->world, "received", c->id, (uint64_t)code);
	sim_stream_called(c, &h->receiving, "recv");
	if (h->in_end)
		sim_broken(c->world, "call %u: a reply after the end", c->id);
	if (code == FARCALL_OK) {
		got_reply(c, message);
		if (c->call == NULL && c->done == 0 && !c->stream->finishing)
			given_up(c); /* it was there already when the call was freed */
		else if (sim_odds(c->world, 10))
			sim_act_inside(c->world);
		return;
	}
	got_end(c, call, code);
}

static void
on_finished(farcall_call *call, farcall_code code, const ProtobufCMessage *message, void *data)
{
	const Stream__Message *reply = (const Stream__Message *)(const void *)message;
	sim_call *c = (sim_call *)data;
	sim_stream *s = c->stream;
	sim_half *h = &s->client;

	sim_stream_called(c, &s->finishing, "finish");
	if (h->in_end && code != (h->in_code == FARCALL_END ? FARCALL_OK : h->in_code))
		sim_broken(c->world, "call %u: receiving ended with %s, the call with %s", c->id,
		    farcall_code_name(h->in_code), farcall_code_name(code));
	if (code == FARCALL_OK && s->shape == SIM_REQUESTS) {
		if (reply == NULL || reply->size != c->id)
			sim_broken(c->world, "call %u: OK without its reply", c->id);
		s->answer = reply->number;
		s->answer_of = reply->code;
	} else if (reply != NULL) {
		sim_broken(c->world, "call %u: a reply that is none", c->id);
	}
	ended(c, call, code);
}

/* ---- its life ---- */

static void
begin(sim *w, sim_call *c)
{
	sim_stream *s = c->stream;
	Stream__Message request = STREAM__MESSAGE__INIT;
	char text[16];
	farcall_code code;

	snprintf(text, sizeof text, "%u", c->id);
	farcall_call_add_metadata(c->call, "sim-stream", text);
	sim_stream_message(c, false, 0, 0, &request);
	s->client.out_closed = s->shape == SIM_REPLIES;
	c->starting = true;
	code = farcall_call_start(c->call, &stream_test__methods[s->shape],
	    s->shape == SIM_REPLIES ? &request.base : NULL);
	c->starting = false;
	sim_note(w, "stream", c->id, (uint64_t)code);
	if (s->client.to_send != 0)
		plan_sending(c);
	else if (!s->client.out_closed)
		end_sending(c);
	if (s->shape == SIM_REQUESTS)
		return;
	if (s->leave != SIM_STAYS && s->leave_at == 0)
		leave(c);
	else
		plan_receiving(c);
}

sim_call *
sim_stream_start(sim *w, unsigned client, bool plain)
{
	sim_call *c;

	if (w->n_streams == SIM_STREAMS)
		return NULL;
	c = sim_call_new(w, client);
	if (c == NULL)
		return NULL;
	c->stream = &w->streams[w->n_streams++];
	w->totals->streams++;
	choose(w, c, plain);
	if (!plain) {
		sim_call_set_up(w, c);
		if (c->stream->plain)
			farcall_call_set_compression(c->call, FARCALL_IDENTITY);
		if (sim_odds(w, 50))
			sim_call_cancel(w, c);
	} else {
		c->wait_for_ready = true;
		farcall_call_set_wait_for_ready(c->call, true);
	}
	begin(w, c);
	return c;
}

/* In flight, and nothing is to come that would tell its end: half of the time it is asked. */
void
sim_stream_freed(sim_call *c, farcall_call *call)
{
	sim_stream *s = c->stream;

	s->client.send_due = s->client.recv_due = s->finish_due = FC_NEVER;
	if (c->done != 0 || s->client.receiving || s->finishing)
		return;
	if (sim_odds(c->world, 2)) {
		s->finishing = s->client.out_closed = true;
		farcall_call_finish_async(call, on_finished, c);
		return;
	}
	given_up(c);
}

/* More than is kept for another attempt. */
bool
sim_stream_is_long(const sim_call *c)
{
	size_t size = 0;

	for (unsigned i = 0; i < c->stream->client.sent; i++)
		size += size_of(c, false, i) + 32;
	return size > SIM_REPLAY;
}

bool
sim_stream_waits(const sim_call *c)
{
	const sim_stream *s = c->stream;

	return s->client.sending || s->client.receiving || s->finishing;
}

/* ---- the outcome ---- */

/* The client has read to the end: nothing that the handler was told is on its way has been lost.
 * Nor has what was accepted of a client whose handler has read to the end. */
static bool
is_whole(const sim_half *from, const sim_half *to)
{
	return !to->in_end || (from->accepted <= to->received && to->received <= from->sent);
}

static bool
explains(const sim_call *c, const sim_served *v)
{
	const sim_stream *s = c->stream;
	bool success = c->code == FARCALL_OK;

	if (!v->completed || (v->code == FARCALL_OK) != success)
		return false;
	if (success && v->half.in_code == FARCALL_END && s->shape != SIM_REPLIES &&
	    !is_whole(&s->client, &v->half))
		return false;
	if (s->shape == SIM_REQUESTS)
		return !success || s->answer == v->half.received;
	return is_whole(&v->half, &s->client);
}

void
sim_stream_check_outcome(sim_call *c)
{
	const sim_stream *s = c->stream;
	unsigned by = s->shape == SIM_REQUESTS ? s->answer_of : s->attempt;

	for (unsigned i = 0; i < SIM_ATTEMPTS; i++)
		if ((by == 0 || by == i + 1) && explains(c, &s->served[i]))
			return;
	sim_broken(c->world,
	    "call %u ends with %s after %u replies (%s), which no handler of it meant", c->id,
	    farcall_code_name(c->code), s->client.received,
	    s->client.in_end ? "all were read" : "not all were read");
}

/* ---- time ---- */

static void
look(sim_call *c)
{
	sim_stream *s = c->stream;
	uint64_t now = c->world->clock.now;

	if (s->client.send_due <= now)
		send_next(c);
	if (s->client.recv_due <= now)
		receive_next(c);
	if (s->finish_due <= now && !s->client.receiving)
		finish(c);
}

void
sim_streams_look(sim *w)
{
	for (unsigned i = 0; i < w->n_calls && w->n_streams != 0; i++) {
		sim_call *c = &w->calls[i];

		if (c->stream == NULL)
			continue;
		look(c);
		for (unsigned a = 0; a < SIM_ATTEMPTS; a++)
			sim_served_look(w, &c->stream->served[a]);
	}
}

uint64_t
sim_streams_next(const sim *w)
{
	uint64_t next = FC_NEVER;

	for (unsigned i = 0; i < w->n_streams; i++) {
		const sim_stream *s = &w->streams[i];

		next = FC_MIN(next, FC_MIN(s->client.send_due, s->client.recv_due));
		next = FC_MIN(next, s->finish_due);
		for (unsigned a = 0; a < SIM_ATTEMPTS; a++)
			next = FC_MIN(next, sim_served_next(&s->served[a]));
	}
	return next;
}

bool
sim_streams_over(const sim *w)
{
	for (unsigned i = 0; i < w->n_calls; i++) {
		const sim_call *c = &w->calls[i];

		if (c->stream == NULL)
			continue;
		if (sim_stream_waits(c))
			return false;
		for (unsigned a = 0; a < SIM_ATTEMPTS; a++) {
			const sim_served *v = &c->stream->served[a];

			if (v->call != NULL || v->half.sending || v->half.receiving)
				return false;
		}
	}
	return true;
}
