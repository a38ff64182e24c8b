/*
 * served.c: what the servers of a universe do with a stream: they read and write by steps, each at
 * a pace of its own, and end it when both are done, earlier, with a code, at once, after it was
 * cancelled, or when their server has long gone.
 */
#include "tests/sim/sim.h"

#include <stdlib.h>

static void on_sent(farcall_call *, farcall_code, const ProtobufCMessage *, void *);
static void on_received(farcall_call *, farcall_code, const ProtobufCMessage *, void *);

/* ---- servers ---- */

sim_house *
sim_house_open(sim *w, farcall_server *server)
{
	sim_house *house = &w->houses[w->n_houses];

	if (w->n_houses == SIM_HOUSES)
		sim_broken(w, "more than %d servers", SIM_HOUSES);
	w->n_houses++;
	house->world = w;
	house->server = server;
	return house;
}

static void
check_told(const sim *w, const sim_house *house, const sim_call *c)
{
	for (unsigned a = 0; a < SIM_ATTEMPTS; a++) {
		const sim_served *v = &c->stream->served[a];

		if (v->house == house && (v->half.sending || v->half.receiving))
			sim_broken((sim *)(uintptr_t)w,
			    "call %u: its server is freed, its handler still waits", c->id);
	}
}

void
sim_house_closed(sim *w, const farcall_server *server)
{
	for (unsigned i = 0; i < w->n_houses; i++) {
		if (w->houses[i].server != server)
			continue;
		w->houses[i].server = NULL;
		for (unsigned n = 0; n < w->n_calls && !w->in_turn; n++)
			if (w->calls[n].stream != NULL)
				check_told(w, &w->houses[i], &w->calls[n]);
	}
}

/* Whether steps make sense. Afterwards their callbacks would come on threads of their own. */
static bool
is_served(const sim_served *v)
{
	return v->house->server != NULL && !farcall_server_stopped(v->house->server);
}

/* ---- steps ---- */

static unsigned
attempt_of(const sim_served *v)
{
	return (unsigned)(v - v->of->stream->served) + 1;
}

static void
plan_end(sim_served *v)
{
	v->half.send_due = v->half.recv_due = FC_NEVER;
	if (v->end_due == FC_NEVER)
		v->end_due = v->of->world->clock.now + v->of->plan_delay;
}

static void
plan_receiving(sim_served *v)
{
	sim *w = v->of->world;

	v->half.recv_due = w->clock.now + sim_some_ns(w, v->half.recv_pace);
	if (v->half.received == v->half.pause_at)
		v->half.recv_due += v->half.pause;
}

/* After each step: ends it if its time has come. */
static bool
is_done(sim_served *v)
{
	const sim_half *h = &v->half;

	if (v->end_due != FC_NEVER)
		return true;
	if (h->sent + h->received < v->end_after && !(h->in_end && h->accepted == h->to_send))
		return false;
	plan_end(v);
	return true;
}

static void
send_next(sim_served *v)
{
	Stream__Message reply = STREAM__MESSAGE__INIT;
	sim_half *h = &v->half;
	sim_call *c = v->of;

	h->send_due = FC_NEVER;
	h->sending = true;
	h->send_at = c->world->clock.now;
	sim_stream_message(c, true, h->sent, attempt_of(v), &reply);
	if (c->id % 4 == 1)
		farcall_call_set_message_compression(v->call, h->sent % 2 == 0);
	sim_note(c->world, "send reply", c->id, h->sent++);
	c->world->totals->messages++;
	farcall_call_send_async(v->call, &reply.base, on_sent, v);
}

static void
receive_next(sim_served *v)
{
	v->half.recv_due = FC_NEVER;
	v->half.receiving = true;
	farcall_call_recv_async(v->call, on_received, v);
}

static void
on_sent(farcall_call *call, farcall_code code, const ProtobufCMessage *nothing, void *data)
{
	sim_served *v = (sim_served *)data;
	sim_half *h = &v->half;
	sim_call *c = v->of;
	Stream__Message sent = STREAM__MESSAGE__INIT;

	(void)call;
	(void)nothing;
	sim_note(c->world, "reply sent", c->id, (uint64_t)code);
	sim_stream_called(c, &h->sending, "a handler's send");
	if (code == FARCALL_OK) {
		sim_stream_message(c, true, h->accepted++, 0, &sent);
		h->bytes_accepted += sent.data.len;
		c->world->totals->held += h->send_at < c->world->clock.now;
		if (c->attempts == 1 && c->done == 0 && c->call != NULL && !c->stream->finishing)
			sim_stream_check_room(c, true, h, &c->stream->client);
	}
	if (v->call == NULL)
		return;
	if (code != FARCALL_OK)
		plan_end(v);
	else if (!is_done(v) && h->sent < h->to_send)
		h->send_due = c->world->clock.now + sim_some_ns(c->world, h->send_pace);
}

static void
got_end(sim_served *v, farcall_code code)
{
	const sim_half *client = &v->of->stream->client;
	sim_half *h = &v->half;
	unsigned id = v->of->id;

	h->in_end = true;
	h->in_code = code;
	if (code != FARCALL_END) {
		plan_end(v);
		return;
	}
	if (!client->out_closed)
		sim_broken(v->of->world, "call %u: an end that its client has not sent", id);
	if (h->received < client->accepted || h->received > client->sent)
		sim_broken(v->of->world, "call %u: %u requests and the end, of %u", id, h->received,
		    client->accepted);
	is_done(v);
}

static void
on_received(farcall_call *call, farcall_code code, const ProtobufCMessage *message, void *data)
{
	const Stream__Message *request = (const Stream__Message *)(const void *)message;
	sim_served *v = (sim_served *)data;
	sim_half *h = &v->half;
	sim_call *c = v->of;

	(void)call;
	sim_note(c->world, "request", c->id, (uint64_t)code);
	sim_stream_called(c, &h->receiving, "a handler's recv");
	if (h->in_end)
		sim_broken(c->world, "call %u: a request after the end", c->id);
	if (code == FARCALL_OK) {
		sim_stream_check_message(c, h, false, message);
		h->received++;
		h->bytes_received += request->data.len;
		if (h->received > c->stream->client.sent)
			sim_broken(c->world, "call %u: %u requests, of %u", c->id, h->received,
			    c->stream->client.sent);
	}
	if (v->call == NULL)
		return;
	if (code != FARCALL_OK)
		got_end(v, code);
	else if (!is_done(v))
		plan_receiving(v);
	if (sim_odds(c->world, 10))
		sim_act_inside(c->world);
}

/* ---- the end ---- */

static void
fill(sim_served *v, Stream__Message *reply)
{
	reply->number = v->half.received;
	reply->size = v->of->id;
	reply->code = attempt_of(v);
}

/* OK by one of its ways; steps may be under way, and are then answered with CANCELLED. */
static void
succeed(sim_served *v, farcall_call *call)
{
	Stream__Message reply = STREAM__MESSAGE__INIT;
	sim *w = v->of->world;

	if (v->of->stream->shape != SIM_REQUESTS) {
		farcall_call_complete(call, sim_odds(w, 2) ? FARCALL_OK : FARCALL_END);
	} else if (sim_odds(w, 2)) {
		fill(v, &reply);
		farcall_call_send_reply(call, &reply.base);
	} else {
		fill(v, v->reply);
		farcall_call_complete(call, FARCALL_OK);
	}
}

static farcall_code
fail(sim_served *v, farcall_call *call)
{
	return farcall_call_fail(call, v->of->plan_code, "planned %u", v->of->id);
}

static void
complete(sim_served *v)
{
	farcall_call *call = v->call;
	bool broken = v->half.in_end && v->half.in_code != FARCALL_END;

	sim_note(v->of->world, "complete", v->of->id, farcall_call_cancelled(call));
	v->call = NULL;
	v->end_due = v->half.send_due = v->half.recv_due = FC_NEVER;
	v->completed = true;
	v->code = v->of->plan == SIM_FAIL ? v->of->plan_code : FARCALL_OK;
	if (broken)
		farcall_call_complete(call, v->half.in_code);
	else if (v->of->plan == SIM_FAIL)
		farcall_call_complete(call, fail(v, call));
	else
		succeed(v, call);
}

static void
told_cancelled(farcall_call *call, void *data)
{
	sim_served *v = (sim_served *)data;
	sim *w = v->of->world;

	sim_note(w, "stream told", v->of->id, v->completed);
	if (++v->told > 1)
		sim_broken(w, "the handler of call %u was told twice", v->of->id);
	if (!farcall_call_cancelled(call))
		sim_broken(w, "call %u: told that it is cancelled, but it is not", v->of->id);
	if (v->call != NULL && sim_odds(w, 2))
		plan_end(v);
}

/* ---- handlers ---- */

static sim_served *
find(sim *w, farcall_call *call, sim_shape shape)
{
	const char *text = farcall_metadata_get(farcall_call_metadata(call), "sim-stream");
	unsigned id = text != NULL ? (unsigned)strtoul(text, NULL, 10) : 0;
	sim_call *c;

	if (id == 0 || id > w->n_calls)
		sim_broken(w, "a stream of no call");
	c = &w->calls[id - 1];
	if (c->stream == NULL || c->stream->shape != shape)
		sim_broken(w, "call %u is served as another method", id);
	sim_note(w, "stream handler", id, c->executed);
	if (++c->executed > c->attempts)
		sim_broken(w, "call %u is executed time %u, of %u that are allowed", id,
		    c->executed, c->attempts);
	w->totals->again += c->executed > 1;
	sim_check_request_metadata(c, call);
	c->stream->served[c->executed - 1].of = c;
	return &c->stream->served[c->executed - 1];
}

/* What it will do; steps that are due at once are taken when the handler has returned. */
static void
plan(sim *w, sim_served *v)
{
	sim_stream *s = v->of->stream;
	unsigned n_in = s->client.to_send;

	sim_half_plan(w, &v->half, n_in, s->large[false]);
	v->end_due = FC_NEVER;
	v->end_after = sim_odds(w, 4) ? sim_below(w, 1 + n_in + v->half.to_send) : UINT32_MAX;
	if (v->of->plan == SIM_FAIL && sim_odds(w, 2))
		v->end_after = sim_below(w, 1 + n_in + v->half.to_send);
	v->half.in_end = s->shape == SIM_REPLIES;
	v->half.in_code = FARCALL_END;
	if (is_done(v))
		return;
	if (v->half.to_send != 0)
		v->half.send_due = w->clock.now + sim_some_ns(w, v->half.send_pace);
	if (s->shape != SIM_REPLIES)
		plan_receiving(v);
}

static farcall_code
serve(farcall_call *call, sim_shape shape, Stream__Message *reply)
{
	sim_house *house = (sim_house *)farcall_call_self(call);
	sim *w = house->world;
	sim_served *v = find(w, call, shape);
	sim_call *c = v->of;

	v->house = house;
	v->reply = reply;
	if (c->id % 5 != 0 && !c->stream->plain)
		farcall_call_set_compression(call, c->id % 5 == 1 ? FARCALL_GZIP : FARCALL_DEFLATE);
	sim_answer_metadata(c, call);
	if (c->plan == SIM_FAIL && sim_odds(w, 8)) {
		v->completed = true;
		v->code = c->plan_code;
		return fail(v, call);
	}
	v->call = call;
	if (c->id % 2 == 0)
		farcall_call_send_head(call); /* without memory it goes with what comes first */
	plan(w, v);
	farcall_call_on_cancel(call, told_cancelled, v);
	sim_act_inside(w);
	return FARCALL_PENDING;
}

static farcall_code
count(farcall_call *call, const Stream__Message *request)
{
	(void)request;
	return serve(call, SIM_REPLIES, NULL);
}

static farcall_code
sum(farcall_call *call, Stream__Message *reply)
{
	return serve(call, SIM_REQUESTS, reply);
}

static farcall_code
chat(farcall_call *call)
{
	return serve(call, SIM_BOTH, NULL);
}

const struct stream_test sim_stream_handlers = {.count = count, .sum = sum, .chat = chat};

/* ---- time ---- */

void
sim_served_look(sim *w, sim_served *v)
{
	uint64_t now = w->clock.now;

	if (v->call == NULL)
		return;
	if (FC_MIN(v->half.send_due, v->half.recv_due) <= now && !is_served(v))
		plan_end(v);
	if (v->half.send_due <= now)
		send_next(v);
	if (v->call != NULL && v->half.recv_due <= now)
		receive_next(v);
	if (v->call != NULL && v->end_due <= now)
		complete(v);
}

uint64_t
sim_served_next(const sim_served *v)
{
	if (v->call == NULL)
		return FC_NEVER;
	return FC_MIN(v->end_due, FC_MIN(v->half.send_due, v->half.recv_due));
}
