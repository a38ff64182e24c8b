/*
 * handlers.c: what the servers of a universe do with a call: answer at once or later, after it was
 * cancelled or its server is gone, twice, or fail. A call is known by the number in its request, so
 * that one which is executed twice, or whose bytes are not those that were sent, is seen at once.
 */
#include "tests/sim/sim.h"

const uint8_t *
sim_payload(const sim_call *c, bool reply)
{
	return sim_blob + (c->id * 977u + (reply ? 31u : 0u)) % (SIM_BLOB - SIM_PAYLOAD);
}

static void
told_cancelled(farcall_call *call, void *data)
{
	sim_call *c = (sim_call *)data;

	sim_note(c->world, "told", c->id, c->pending);
	if (++c->told_cancelled > c->executed)
		sim_broken(c->world, "the handler of call %u was told twice", c->id);
	if (!farcall_call_cancelled(call))
		sim_broken(c->world, "call %u: told that it is cancelled, but it is not", c->id);
}

void
sim_check_request_metadata(sim_call *c, farcall_call *call)
{
	const farcall_metadata *metadata = farcall_call_metadata(call);
	char text[32];
	const void *bin;
	size_t size = 0;

	if (!c->metadata)
		return;
	snprintf(text, sizeof text, "request %u", c->id);
	bin = farcall_metadata_get_bin(metadata, "sim-bin", &size);
	if (strcmp(farcall_metadata_get(metadata, "sim-text"), text) != 0 || bin == NULL ||
	    size != c->id % 50 || memcmp(bin, sim_payload(c, false), size) != 0)
		sim_broken(c->world, "the metadata of call %u are not what was sent", c->id);
}

static void
check_request(sim_call *c, farcall_call *call, const Pair__Message *request)
{
	char text[32];

	snprintf(text, sizeof text, "request %u", c->id);
	if (strcmp(request->text, text) != 0 || request->data.len != c->request_size ||
	    (c->request_size != 0 &&
	        memcmp(request->data.data, sim_payload(c, false), c->request_size) != 0))
		sim_broken(c->world, "the request of call %u is not what was sent", c->id);
	sim_check_request_metadata(c, call);
}

void
sim_answer_metadata(sim_call *c, farcall_call *call)
{
	char text[32];

	if (!c->metadata)
		return;
	snprintf(text, sizeof text, "request %u", c->id);
	farcall_call_add_metadata(call, "sim-text", text);
	farcall_call_add_trailer_bin(call, "sim-bin", sim_payload(c, true), c->id % 70);
}

static void
fill(sim_call *c, farcall_call *call, Pair__Message *reply)
{
	if (c->id % 5 != 0)
		farcall_call_set_compression(call, c->id % 5 == 1 ? FARCALL_GZIP : FARCALL_DEFLATE);
	farcall_call_set_message_compression(call, c->id % 5 != 4);
	reply->number = c->id;
	reply->text = farcall_call_printf(call, "reply %u", c->id);
	reply->data.len = c->reply_size;
	reply->data.data = (uint8_t *)(uintptr_t)sim_payload(c, true);
}

static farcall_code
send_from_stack(sim_call *c, farcall_call *call)
{
	Pair__Message reply = PAIR__MESSAGE__INIT;

	fill(c, call, &reply);
	return farcall_call_send_reply(call, &reply.base);
}

/* ---- in the handler ---- */

static farcall_code
wait(sim_call *c, farcall_call *call)
{
	c->pending = true;
	c->world->n_waiting++;
	c->due = c->world->clock.now + c->plan_delay;
	c->held = sim_odds(c->world, 6);
	if (c->held)
		farcall_call_hold(call);
	farcall_call_on_cancel(call, told_cancelled, c);
	return FARCALL_PENDING;
}

/* An earlier attempt of the call still waits. */
static farcall_code
answer_beside(sim_call *c, farcall_call *call, Pair__Message *reply)
{
	if (c->plan == SIM_LATER_FAIL)
		return farcall_call_fail(call, c->plan_code, "planned %u", c->id);
	fill(c, call, reply);
	return FARCALL_OK;
}

static farcall_code
follow_plan(sim_call *c, farcall_call *call, Pair__Message *reply)
{
	if (c->pending || c->held)
		return answer_beside(c, call, reply);
	switch (c->plan) {
	case SIM_FAIL:
		return farcall_call_fail(call, c->plan_code, "planned %u", c->id);
	case SIM_LATER:
	case SIM_LATER_TWICE:
		fill(c, call, reply);
		return wait(c, call);
	case SIM_LATER_REPLY:
	case SIM_LATER_FAIL:
		return wait(c, call);
	case SIM_SEND_REPLY:
		send_from_stack(c, call);
		return FARCALL_OK;
	case SIM_INSIDE:
	case SIM_INSIDE_TWICE:
		fill(c, call, reply);
		farcall_call_complete(call, FARCALL_OK);
		if (c->plan == SIM_INSIDE)
			return FARCALL_PENDING;
		c->world->misuse = true;
		farcall_call_complete(call, FARCALL_INTERNAL);
		return FARCALL_OK;
	default:
		fill(c, call, reply);
		return FARCALL_OK;
	}
}

static farcall_code
serve(farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	sim *w = (sim *)farcall_call_self(call);
	sim_call *c;

	if (request->number == 0 || request->number > w->n_calls)
		sim_broken(w, "a request of no call");
	c = &w->calls[request->number - 1];
	sim_note(w, "handler", c->id, c->plan);
	if (++c->executed > c->attempts)
		sim_broken(w, "call %u is executed time %u, of %u that are allowed", c->id,
		    c->executed, c->attempts);
	w->totals->again += c->executed > 1;
	check_request(c, call, request);
	if (!c->pending && !c->held)
		c->served = call;
	sim_answer_metadata(c, call);
	sim_act_inside(w);
	if (sim_odds(w, 25) && c->served == call)
		sim_child_start(w, c);
	return follow_plan(c, call, reply);
}

const struct pair_test sim_handlers = {.custom = serve};

/* ---- later ---- */

static void
complete(sim_call *c)
{
	farcall_call *call = c->served;
	sim *w = c->world;

	sim_note(w, "complete", c->id, farcall_call_cancelled(call));
	c->pending = false;
	if (!c->held) {
		w->n_waiting--;
		c->served = NULL;
	}
	switch (c->plan) {
	case SIM_LATER_REPLY:
		send_from_stack(c, call);
		break;
	case SIM_LATER_FAIL:
		farcall_call_fail(call, c->plan_code, "planned %u", c->id);
		farcall_call_complete(call, c->plan_code);
		break;
	case SIM_LATER_TWICE:
		farcall_call_hold(call);
		farcall_call_complete(call, FARCALL_OK);
		w->misuse = true;
		farcall_call_complete(call, FARCALL_INTERNAL);
		w->misuse = false;
		farcall_call_free(call);
		break;
	default:
		farcall_call_complete(call, FARCALL_OK);
	}
}

void
sim_handlers_look(sim *w)
{
	for (unsigned i = 0; i < w->n_calls && w->n_waiting != 0; i++) {
		sim_call *c = &w->calls[i];

		if (c->pending && c->due <= w->clock.now) {
			complete(c);
		} else if (c->held && !c->pending && sim_odds(w, 20)) {
			farcall_call_free(c->served);
			w->n_waiting--;
			c->held = false;
			c->served = NULL;
		}
	}
}

uint64_t
sim_handlers_next(const sim *w)
{
	uint64_t next = FC_NEVER;

	for (unsigned i = 0; i < w->n_calls && w->n_waiting != 0; i++)
		if (w->calls[i].pending)
			next = FC_MIN(next, w->calls[i].due);
	return next;
}
