/*
 * calls.c: the calls of a universe, as their callers see them, and the ledger that says what each
 * of them may end with.
 */
#include "tests/sim/sim.h"

#include "client/internal.h"

/* ---- channels ---- */

/* In one channel of four calls are retried or hedged. Not hedged where a server takes few calls: it
 * would refuse the hedges. One in six connects by round robin. */
static const char *
choose_config(sim *w, unsigned *attempts)
{
	static const char *const policies[] = {
	    "\"retryPolicy\": {\"maxAttempts\": 3, \"initialBackoff\": \"0.2s\", "
	    "\"maxBackoff\": \"2s\", \"backoffMultiplier\": 3, "
	    "\"retryableStatusCodes\": [\"UNAVAILABLE\", \"ABORTED\"]}",
	    "\"hedgingPolicy\": {\"maxAttempts\": 3, \"hedgingDelay\": \"0.1s\", "
	    "\"nonFatalStatusCodes\": [\"UNAVAILABLE\", \"ABORTED\"]}",
	    "\"hedgingPolicy\": {\"maxAttempts\": 3, \"nonFatalStatusCodes\": [\"INTERNAL\"]}",
	};
	static char config[600];
	bool spread = sim_odds(w, 6);
	const char *balancing = spread ? "\"loadBalancingConfig\": [{\"round_robin\": {}}], " : "";

	*attempts = 1;
	if (!sim_odds(w, 4))
		return spread ? "{\"loadBalancingPolicy\": \"round_robin\"}" : NULL;
	*attempts = 3;
	snprintf(config, sizeof config,
	    "{%s\"methodConfig\": [{\"name\": [{\"service\": \"pair.Test\"}, {\"service\": "
	    "\"stream.Test\"}], %s}]%s}",
	    balancing, policies[sim_below(w, w->limited ? 1 : FC_COUNT(policies))],
	    sim_odds(w, 2) ? ", \"retryThrottling\": {\"maxTokens\": 6, \"tokenRatio\": 0.5}" : "");
	return config;
}

void
sim_client_open(sim *w, unsigned i)
{
	sim_client *client = &w->clients[i];
	char name[16];

	snprintf(name, sizeof name, "mem:s%u", client->server);
	client->channel = farcall_channel_open(name);
	if (farcall_channel_code(client->channel) != FARCALL_OK && !w->oom)
		sim_broken(w, "channel: %s", farcall_channel_error(client->channel));
	fc_channel_seed(client->channel, 1 + sim_below(w, 1000000));
	farcall_channel_set_loop(client->channel, w->loops[client->loop]);
	if (sim_odds(w, 3)) {
		farcall_channel_set_keepalive_ms(client->channel, 10000 + sim_below(w, 10000));
		farcall_channel_set_keepalive_timeout_ms(client->channel, 60000);
		farcall_channel_set_keepalive_without_calls(client->channel, sim_odds(w, 2));
	}
	sim_hooks_of_channel(w, client->channel);
	farcall_channel_set_service_config(client->channel, choose_config(w, &client->attempts));
	client->lost = farcall_channel_code(client->channel) != FARCALL_OK;
	sim_note(w, "open", i, client->lost);
}

void
sim_client_close(sim *w, unsigned i)
{
	sim_client *client = &w->clients[i];
	farcall_channel *channel = client->channel;

	sim_note(w, "close", i, w->in_turn);
	for (unsigned n = 0; n < w->n_calls; n++)
		if (w->calls[n].client == i)
			w->calls[n].ended_by_us = true;
	client->lost = true;
	client->channel = NULL;
	farcall_channel_close(channel);
}

/* ---- what a call may end with ---- */

static void
wrong(const sim_call *c, const char *what)
{
	sim_broken(c->world, "call %u ends with %s (%s), %s", c->id, farcall_code_name(c->code),
	    c->call != NULL ? farcall_call_error(c->call) : "freed", what);
}

static bool
plan_succeeds(const sim_call *c)
{
	return c->plan != SIM_FAIL && c->plan != SIM_LATER_FAIL && c->plan != SIM_UNIMPLEMENTED;
}

/* Once; as often as the policy allows, if there is one. */
static bool
was_executed(const sim_call *c)
{
	return c->executed >= 1 && c->executed <= c->attempts;
}

static void
check_metadata(const sim_call *c, farcall_call *call)
{
	const farcall_metadata *head = farcall_call_metadata(call);
	char text[32];
	size_t size = 0;

	if (!c->metadata)
		return;
	snprintf(text, sizeof text, "request %u", c->id);
	if (farcall_metadata_get(head, "sim-text") == NULL ||
	    strcmp(farcall_metadata_get(head, "sim-text"), text) != 0)
		wrong(c, "and metadata that are not its handler's");
	if (farcall_metadata_get_bin(farcall_call_trailers(call), "sim-bin", &size) == NULL ||
	    size != c->id % 70)
		wrong(c, "and trailers that are not its handler's");
}

static void
check_success(const sim_call *c, farcall_call *call, const Pair__Message *reply)
{
	char text[32];

	if (!was_executed(c) || !plan_succeeds(c))
		wrong(c, c->executed == 0 ? "but was not executed" : "but its handler failed");
	snprintf(text, sizeof text, "reply %u", c->id);
	if (reply == NULL || reply->number != c->id || strcmp(reply->text, text) != 0 ||
	    reply->data.len != c->reply_size ||
	    (c->reply_size != 0 &&
	        memcmp(reply->data.data, sim_payload(c, true), c->reply_size) != 0))
		wrong(c, "and a reply that is not its handler's");
	check_metadata(c, call);
}

static bool
is_planned(const sim_call *c, farcall_call *call)
{
	char text[32];

	if (!was_executed(c) || plan_succeeds(c) || c->code != c->plan_code)
		return false;
	if (c->world->oom) /* the text may be what was lost */
		return true;
	snprintf(text, sizeof text, "planned %u", c->id);
	return strcmp(farcall_call_status_message(call), text) == 0;
}

/* Tried again once after a server that stopped had not seen it, it may meet another one that stops:
 * the first may have been stopping when it started. */
static bool
met_two_stops(const sim_call *c)
{
	return c->world->servers[c->server].stops - c->stops >= 2;
}

/* A server that has stopped says so to calls whose lines have not heard of it yet. */
static bool
says_stopped(const sim_call *c)
{
	return c->call != NULL &&
	    strstr(farcall_call_error(c->call), "the server has stopped") != NULL;
}

static void
check_unavailable(const sim_call *c)
{
	const sim *w = c->world;

	/* A server without memory goes away, and says so. */
	if (!c->wait_for_ready || says_stopped(c) || w->oom ||
	    (c->stream != NULL && sim_stream_is_long(c)))
		return;
	if (w->net.trouble[c->server] == c->trouble && !sim_server_drains(w, c->server) &&
	    !sim_net_is_sick(&w->net, c->server))
		wrong(c, "though it waits for ready and no connection was lost");
	if (w->calm && !met_two_stops(c))
		wrong(c, "though it waits for ready and every server stopped gently");
}

/* What the plan does not explain must have a reason of its own. */
static void
check_failure(const sim_call *c)
{
	const sim *w = c->world;

	if ((c->refused >> c->code & 1) != 0)
		return;
	switch (c->code) {
	case FARCALL_CANCELLED:
		if (!c->ended_by_us && !c->child)
			wrong(c, "but nobody cancelled it");
		break;
	case FARCALL_DEADLINE_EXCEEDED:
		if (c->deadline > w->clock.now)
			wrong(c, "before its deadline");
		break;
	case FARCALL_UNAVAILABLE:
		check_unavailable(c);
		break;
	case FARCALL_RESOURCE_EXHAUSTED:
		if (!w->oom && !w->limited && w->net.refuse_odds == 0) /* EMFILE */
			wrong(c, "but nothing is limited");
		break;
	case FARCALL_UNIMPLEMENTED:
		if (c->plan != SIM_UNIMPLEMENTED)
			wrong(c, "but there is a handler");
		break;
	default:
		wrong(c, "which nobody planned");
	}
}

/* The clock may have been moved past the deadline by somebody else's blocking call. */
static uint64_t
latest(const sim_call *c)
{
	uint64_t due = c->deadline;

	if (due == FC_NEVER)
		return due;
	if (due < c->world->jump_end)
		due = c->world->jump_end;
	return due + SIM_TICK;
}

static void
finish(sim_call *c, farcall_call *call, farcall_code code, const Pair__Message *reply)
{
	sim *w = c->world;

	sim_note(w, "done", c->id, (uint64_t)code);
	if (w->trace && code != FARCALL_OK)
		printf("%16s%s\n", "", farcall_call_error(call));
	if (++c->done > 1)
		sim_broken(w, "call %u ends a second time", c->id);
	c->code = code;
	if ((unsigned)code > FARCALL_UNAUTHENTICATED)
		sim_broken(w, "call %u ends with code %d", c->id, (int)code);
	w->totals->codes[code]++;
	if (code != farcall_call_code(call))
		wrong(c, "but the call says otherwise");
	if (c->starting && !c->synchronous && !w->oom && !w->clients[c->client].lost)
		wrong(c, "before it has started");
	if (c->stream == NULL && w->clock.now > latest(c))
		wrong(c, "later than its deadline");
	if (code == FARCALL_OK && c->stream == NULL)
		check_success(c, call, reply);
	else if (code == FARCALL_OK && (!was_executed(c) || !plan_succeeds(c)))
		wrong(c, "but was not executed, or its handler failed");
	else if (code != FARCALL_OK && !is_planned(c, call))
		check_failure(c);
	else if (c->stream != NULL && (code == FARCALL_OK || !w->oom))
		sim_stream_check_outcome(c);
	if (code == FARCALL_OK && c->stream != NULL)
		check_metadata(c, call);
}

void
sim_call_ended(sim_call *c, farcall_call *call, farcall_code code)
{
	finish(c, call, code, NULL);
}

static void
done(farcall_call *call, farcall_code code, const Pair__Message *reply, void *data)
{
	sim_call *c = (sim_call *)data;
	sim *w = c->world;

	finish(c, call, code, reply);
	if (!c->starting)
		sim_act_inside(w);
	if (c->call != NULL && !sim_odds(w, 8))
		sim_call_free(w, c);
}

/* ---- calls ---- */

static size_t
choose_size(sim *w)
{
	static const uint32_t most[] = {1, 100, 100, 100, 2000, 2000, 20000, 80000, SIM_PAYLOAD};
	uint32_t limit = most[sim_below(w, FC_COUNT(most))];

	if (limit == SIM_PAYLOAD && !sim_odds(w, 3))
		limit = 100;
	return sim_below(w, limit);
}

static void
choose_plan(sim *w, sim_call *c)
{
	static const uint64_t delays[] = {
	    0, 10000, FC_NS_PER_MS, 100 * FC_NS_PER_MS, FC_NS_PER_S, 20 * FC_NS_PER_S};
	static const sim_plan often[] = {SIM_AT_ONCE, SIM_AT_ONCE, SIM_LATER};

	c->plan = sim_odds(w, 2) ? often[sim_below(w, FC_COUNT(often))]
	                         : (sim_plan)sim_below(w, SIM_PLANS);
	c->plan_code = (farcall_code)(1 + sim_below(w, FARCALL_UNAUTHENTICATED));
	c->plan_delay = sim_some_ns(w, delays[sim_below(w, FC_COUNT(delays))]);
	c->wait_for_ready = sim_odds(w, 2);
	c->metadata = sim_odds(w, 3);
	c->request_size = choose_size(w);
	c->reply_size = choose_size(w);
}

void
sim_call_set_up(sim *w, sim_call *c)
{
	static const uint32_t timeouts[] = {2, 20, 300, 3000, 10000};
	char text[32];

	if (sim_odds(w, 2)) {
		uint32_t ms = sim_below(w, timeouts[sim_below(w, FC_COUNT(timeouts))]);

		farcall_call_set_timeout_ms(c->call, ms);
		c->deadline = w->clock.now + ms * FC_NS_PER_MS;
	}
	farcall_call_set_wait_for_ready(c->call, c->wait_for_ready);
	if (c->id % 3 != 0)
		farcall_call_set_compression(
		    c->call, c->id % 3 == 1 ? FARCALL_GZIP : FARCALL_DEFLATE);
	if (!c->metadata)
		return;
	snprintf(text, sizeof text, "request %u", c->id);
	farcall_call_add_metadata(c->call, "sim-text", text);
	farcall_call_add_metadata_bin(c->call, "sim-bin", sim_payload(c, false), c->id % 50);
}

/* Blocks; on the only loop, so that everything else goes on, but for what the driver does. */
static void
call_and_wait(sim *w, sim_call *c, const Pair__Message *request)
{
	const Pair__Message *reply = NULL;
	farcall_code code;

	c->synchronous = true;
	w->in_turn = true; /* callbacks come */
	w->loop_in_turn = 0;
	w->totals->blocking++;
	code = pair_test_custom(c->call, request, &reply);
	w->in_turn = false;
	finish(c, c->call, code, reply);
	sim_call_free(w, c);
}

static void
invoke(sim *w, sim_call *c)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	char text[32];

	snprintf(text, sizeof text, "request %u", c->id);
	request.number = c->id;
	request.text = text;
	request.data.len = c->request_size;
	request.data.data = (uint8_t *)(uintptr_t)sim_payload(c, false);
	sim_note(w, "call", c->id, c->plan);
	c->starting = true;
	if (c->plan == SIM_UNIMPLEMENTED)
		pair_test_missing__async(c->call, &request, done, c);
	else if (w->n_loops == 1 && !w->in_turn && c->deadline != FC_NEVER && sim_odds(w, 20))
		call_and_wait(w, c, &request);
	else
		pair_test_custom__async(c->call, &request, done, c);
	c->starting = false;
}

sim_call *
sim_call_new(sim *w, unsigned client)
{
	sim_client *of = &w->clients[client];
	char text[16];
	sim_call *c;

	if (w->n_calls == SIM_CALLS)
		return NULL;
	if (of->channel == NULL || of->lost) {
		farcall_channel_close(of->channel);
		sim_client_open(w, client);
	}
	c = &w->calls[w->n_calls++];
	c->world = w;
	c->id = w->n_calls;
	c->client = client;
	c->server = of->server;
	c->attempts = of->attempts;
	c->started = w->clock.now;
	c->deadline = FC_NEVER;
	c->trouble = w->net.trouble[c->server];
	c->stops = w->servers[c->server].stops;
	if (sim_server_drains(w, c->server)) {
		c->trouble--; /* it may go to the one that stops, and the news may come late */
		c->stops--;
	}
	c->call = farcall_call_new(of->channel);
	if (!w->hooked)
		return c;
	snprintf(text, sizeof text, "%u", c->id);
	farcall_call_add_metadata(c->call, "sim-id", text);
	return c;
}

sim_call *
sim_call_start(sim *w, unsigned client, bool wait_for_ready, bool plain)
{
	sim_call *c;

	if (w->streaming && !plain && w->n_streams < SIM_STREAMS - SIM_CLIENTS && sim_odds(w, 3))
		return sim_stream_start(w, client, false);
	c = sim_call_new(w, client);
	if (c == NULL)
		return NULL;
	if (!plain) {
		choose_plan(w, c);
		sim_call_set_up(w, c);
		if (sim_odds(w, 50))
			sim_call_cancel(w, c);
	} else {
		c->wait_for_ready = wait_for_ready;
		farcall_call_set_wait_for_ready(c->call, wait_for_ready);
	}
	invoke(w, c);
	return c;
}

/* The parent's deadline is told by another clock than ours, so it must have none. */
void
sim_child_start(sim *w, sim_call *parent)
{
	sim_call *c;

	if (w->ending || parent->deadline != FC_NEVER)
		return;
	c = sim_call_new(w, sim_below(w, w->n_clients));
	if (c == NULL)
		return;
	w->totals->children++;
	c->child = true;
	choose_plan(w, c);
	sim_call_set_up(w, c);
	farcall_call_set_parent(c->call, parent->served);
	invoke(w, c);
}

void
sim_call_cancel(sim *w, sim_call *c)
{
	sim_note(w, "cancel", c->id, c->done);
	w->totals->cancels++;
	c->ended_by_us = true;
	farcall_call_cancel(c->call);
}

void
sim_call_free(sim *w, sim_call *c)
{
	farcall_call *call = c->call;

	sim_note(w, "free", c->id, c->done);
	c->ended_by_us = true;
	c->call = NULL;
	if (c->stream != NULL)
		sim_stream_freed(c, call);
	farcall_call_free(call);
}

/* ---- the ledger ---- */

/* A call that was given up ends at once; one with a deadline by then. */
void
sim_calls_check(sim *w)
{
	for (unsigned i = w->first_open; i < w->n_calls; i++) {
		const sim_call *c = &w->calls[i];

		if (c->done != 0) {
			w->first_open += i == w->first_open;
			continue;
		}
		if (c->stream != NULL && !sim_stream_waits(c))
			continue; /* its next step will say */
		if (c->ended_by_us)
			sim_broken(w, "call %u was given up and has not ended", c->id);
		if (w->clock.now > latest(c))
			sim_broken(w, "call %u has not ended at its deadline", c->id);
	}
}

unsigned
sim_calls_open(const sim *w)
{
	unsigned n = 0;

	for (unsigned i = 0; i < w->n_calls; i++)
		n += w->calls[i].done == 0;
	return n;
}
