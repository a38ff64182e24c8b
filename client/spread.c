/*
 * spread.c: round robin (gRPC's round_robin). Every place is connected at once and kept connected,
 * each with a backoff of its own; calls go to those that are ready, in turn. The channel is READY
 * while one of them is; else CONNECTING while one connects that has not failed since it was ready
 * last; else in TRANSIENT_FAILURE (grpc/grpc doc/load-balancing.md, gRFC A62).
 *
 * A connection lost, or one that fails, has the places found out anew, a name at most every 30 s, a
 * registry at most once a second, or ten times while none is ready; a registry is also read every
 * 30 s, for servers that come. Before the channel says that all have failed it reads the registry
 * once more, since servers that were restarted stand in it. What the resolver does not name any
 * more takes no new calls; what cannot be resolved leaves everything as it is.
 */
#include "client/spread.h"

#include "runtime/base/alloc.h"
#include "runtime/base/log.h"
#include "runtime/transport/sock.h"

#define NAME_NS (30 * FC_NS_PER_S)
#define REGISTRY_NS FC_NS_PER_S               /* at least between two readings */
#define REGISTRY_SOON_NS (100 * FC_NS_PER_MS) /* the same while none is ready */

static fc_node *
node_at(fc_list *item)
{
	return FC_CONTAINER(item, fc_node, in_spread);
}

/* ---- the sum ---- */

typedef struct fc_tally {
	bool connecting, fresh; /* fresh: one that has not failed since it was ready last */
	uint64_t retry_at;      /* the earliest */
} fc_tally;

static fc_tally
count(farcall_channel *channel)
{
	fc_tally tally = {.retry_at = FC_NEVER};

	fc_list_each (item, next, &channel->spread.nodes) {
		const fc_node *node = node_at(item);

		if (node->line == NULL)
			tally.retry_at = FC_MIN(tally.retry_at, node->retry_at);
		else if (fc_list_empty(&node->in_ready))
			tally.connecting = true;
		if (node->line != NULL && !node->sticky)
			tally.fresh = true;
	}
	return tally;
}

/* Somebody waits, and none is ready or fresh: those who do not wait for it need not. */
static void
fail_pending(farcall_channel *channel)
{
	bool eager = channel->lent || channel->threaded;

	if (channel->sub.phase == FC_SUB_BACKOFF || eager)
		fc_picker_fail(channel, false);
	if (!fc_list_empty(&channel->pending) || !fc_list_empty(&channel->ready_waits))
		fc_subchannel_watch(channel);
}

/* The registry is being read, or as good as. */
static bool
news_are_near(farcall_channel *channel)
{
	const fc_timer *timer = &channel->spread.resolve;

	if (channel->address.scheme != FC_SCHEME_FILE)
		return false;
	return channel->spread.resolving ||
	    (timer->at != 0 && timer->due <= fc_channel_now(channel) + REGISTRY_SOON_NS);
}

static void
judge(farcall_channel *channel)
{
	fc_tally tally = count(channel);
	fc_subchannel *sub = &channel->sub;

	sub->retry_at = tally.retry_at;
	if (!fc_list_empty(&channel->spread.ready)) {
		sub->phase = FC_SUB_READY;
		sub->sticky = false;
		fc_channel_set_state(channel, FARCALL_READY);
		fc_ready_tell(channel, NULL);
		if (!fc_list_empty(&channel->pending))
			fc_picker_later(channel);
		return;
	}
	if (!tally.fresh && !sub->sticky && news_are_near(channel))
		tally.connecting = tally.fresh = true;
	sub->phase = tally.connecting ? FC_SUB_CONNECTING : FC_SUB_BACKOFF;
	sub->sticky = !tally.fresh;
	fc_channel_set_state(channel, tally.fresh ? FARCALL_CONNECTING : FARCALL_TRANSIENT_FAILURE);
	if (!tally.fresh)
		fail_pending(channel);
}

/* ---- places, again ---- */

static void watch_registry(farcall_channel *channel);

static void
on_resolved(fc_resolver *resolver, const fc_error *error)
{
	farcall_channel *channel =
	    FC_CONTAINER(FC_CONTAINER(resolver, fc_subchannel, resolver), farcall_channel, sub);

	channel->spread.resolving = false;
	channel->sub.resolved_at = fc_channel_now(channel);
	if (error != NULL)
		fc_log(FARCALL_LOG_WARNING, "%s; the former addresses are kept", error->text);
	if (error != NULL || !fc_spread_update(channel))
		judge(channel);
	watch_registry(channel);
}

static void
resolve_now(farcall_channel *channel)
{
	fc_error error;

	fc_error_clear(&error);
	channel->sub.resolved_at = fc_channel_now(channel);
	channel->spread.resolving = fc_resolver_start(&channel->sub.resolver, channel->loop,
	                                &channel->address, on_resolved, &error) == FARCALL_OK;
	if (channel->spread.resolving)
		return;
	fc_log(FARCALL_LOG_WARNING, "%s; the former addresses are kept", error.text);
	watch_registry(channel);
}

static void
on_resolve(fc_timer *timer)
{
	farcall_channel *channel = FC_CONTAINER(timer, farcall_channel, spread.resolve);

	resolve_now(channel);
	if (!channel->spread.resolving)
		judge(channel);
}

static uint64_t
pause_of(const farcall_channel *channel)
{
	if (channel->address.scheme != FC_SCHEME_FILE)
		return NAME_NS;
	return fc_list_empty(&channel->spread.ready) ? REGISTRY_SOON_NS : REGISTRY_NS;
}

/* As soon as it may. Places that are written in the target never change. */
static void
resolve_again(farcall_channel *channel)
{
	bool registry = channel->address.scheme == FC_SCHEME_FILE;
	uint64_t due = channel->sub.resolved_at + pause_of(channel);

	if (channel->spread.resolving || (!registry && !fc_address_is_name(&channel->address)))
		return;
	if (channel->spread.resolve.at != 0 && channel->spread.resolve.due <= due)
		return;
	if (fc_channel_now(channel) >= due ||
	    !fc_timer_start(channel->loop, &channel->spread.resolve, due))
		resolve_now(channel);
}

static void
watch_registry(farcall_channel *channel)
{
	if (channel->address.scheme == FC_SCHEME_FILE && channel->spread.resolve.at == 0)
		fc_timer_start(channel->loop, &channel->spread.resolve,
		    fc_channel_now(channel) + FC_SPREAD_REGISTRY_NS);
}

/* ---- nodes ---- */

static void
failed(fc_node *node)
{
	farcall_channel *channel = node->channel;

	node->sticky = true;
	if (!fc_timer_start(channel->loop, &node->retry, node->retry_at))
		fc_log(FARCALL_LOG_WARNING, "%s: no memory for its timer; tried when a call comes",
		    node->place.text);
	resolve_again(channel);
}

static void
begin(fc_node *node)
{
	farcall_channel *channel = node->channel;
	uint64_t delay = fc_backoff_next(&node->backoff);
	fc_error error;

	fc_timer_stop(channel->loop, &node->retry);
	node->retry_at = fc_channel_now(channel) + delay;
	fc_error_clear(&error);
	node->line =
	    fc_line_open(channel, &node->place, FC_MAX(delay, FC_CONNECT_LEAST_NS), &error);
	if (node->line != NULL) {
		node->line->node = node;
		return;
	}
	fc_subchannel_note(channel, &error);
	failed(node);
}

static void
on_retry(fc_timer *timer)
{
	fc_node *node = FC_CONTAINER(timer, fc_node, retry);

	begin(node);
	judge(node->channel);
}

static fc_node *
add(farcall_channel *channel, const fc_place *place)
{
	fc_node *node = (fc_node *)fc_calloc(1, sizeof *node);
	fc_error error;

	if (node == NULL) {
		fc_error_clear(&error);
		fc_fail_memory(&error, "connection");
		fc_subchannel_note(channel, &error);
		return NULL;
	}
	node->channel = channel;
	node->place = *place;
	node->listed = true;
	fc_list_init(&node->in_ready);
	fc_timer_init(&node->retry, on_retry);
	fc_backoff_seed(&node->backoff, fc_backoff_random(&channel->sub.backoff));
	fc_list_append(&channel->spread.nodes, &node->in_spread);
	return node;
}

static void
drop(fc_node *node)
{
	fc_timer_stop(node->channel->loop, &node->retry);
	fc_list_remove(&node->in_spread);
	fc_list_remove(&node->in_ready);
	fc_free(node);
}

/* Calls under way on its line go on. */
static void
retire(fc_node *node)
{
	fc_line *line = node->line;
	bool ready = !fc_list_empty(&node->in_ready);

	drop(node);
	if (line == NULL)
		return;
	line->node = NULL;
	if (ready)
		fc_line_retire(line);
	else
		fc_line_end(line);
}

static fc_node *
find(farcall_channel *channel, const fc_place *place)
{
	fc_list_each (item, next, &channel->spread.nodes)
		if (fc_place_same(&node_at(item)->place, place))
			return node_at(item);
	return NULL;
}

/* From anywhere on, so that not every client begins with the same one. What it may not connect to
 * is left out. false: nothing is left. */
static bool
list_places(farcall_channel *channel)
{
	const fc_resolver *resolver = &channel->sub.resolver;
	size_t first = (size_t)(fc_backoff_random(&channel->sub.backoff) % resolver->n);
	bool listed = false;

	for (size_t i = 0; i < resolver->n; i++) {
		const fc_place *place = &resolver->places[(first + i) % resolver->n];
		fc_node *node;

		if (!channel->insecure && !fc_place_is_local(place))
			continue;
		node = find(channel, place);
		if (node == NULL)
			node = add(channel, place);
		if (node != NULL)
			listed = node->listed = true;
	}
	return listed;
}

/* A list of nothing that can be used does not take away what there is. */
static bool
keep_all(farcall_channel *channel)
{
	const fc_resolver *resolver = &channel->sub.resolver;

	fc_list_each (item, next, &channel->spread.nodes)
		node_at(item)->listed = true;
	if (!fc_list_empty(&channel->spread.nodes))
		return true;
	if (resolver->n != 0 && !channel->insecure && !fc_place_is_local(&resolver->places[0]))
		fc_subchannel_note_insecure(channel, &resolver->places[0]);
	return false;
}

bool
fc_spread_update(farcall_channel *channel)
{
	fc_list_each (item, next, &channel->spread.nodes)
		node_at(item)->listed = false;
	if ((channel->sub.resolver.n == 0 || !list_places(channel)) && !keep_all(channel))
		return false;
	fc_list_each (item, next, &channel->spread.nodes) {
		fc_node *node = node_at(item);

		if (!node->listed)
			retire(node);
		else if (node->line == NULL && node->retry.at == 0)
			begin(node);
	}
	judge(channel);
	watch_registry(channel);
	return true;
}

bool
fc_spread_retry(farcall_channel *channel)
{
	uint64_t now = fc_channel_now(channel);

	if (fc_list_empty(&channel->spread.nodes))
		return false;
	fc_list_each (item, next, &channel->spread.nodes)
		if (node_at(item)->line == NULL && now >= node_at(item)->retry_at)
			begin(node_at(item));
	judge(channel);
	return true;
}

/* ---- what lines tell ---- */

void
fc_spread_ready(fc_line *line)
{
	fc_node *node = line->node;

	node->sticky = false;
	node->ready_at = fc_channel_now(node->channel);
	fc_backoff_reset(&node->backoff);
	fc_list_append(&node->channel->spread.ready, &node->in_ready);
	judge(node->channel);
}

/* A server that takes connections and drops them at once, before it has served anything, is not
 * tried for ever without a pause. One that ends those that are idle is connected again. */
void
fc_spread_lost(fc_line *line, const fc_error *why)
{
	fc_node *node = line->node;
	bool ready = !fc_list_empty(&node->in_ready);
	uint64_t lived = ready ? fc_channel_now(node->channel) - node->ready_at : 0;

	line->node = NULL;
	node->line = NULL;
	fc_list_remove(&node->in_ready);
	node->fruitless = line->answered || lived >= FC_BACKOFF_FIRST_NS ? 0 : node->fruitless + 1;
	if (ready && node->fruitless < FC_CLIENT_FRUITLESS_MOST) {
		begin(node);
		resolve_again(node->channel);
	} else {
		node->fruitless = 0;
		fc_subchannel_note(node->channel, why);
		failed(node);
	}
	judge(node->channel);
}

/* ---- calls ---- */

fc_line *
fc_spread_pick(farcall_channel *channel)
{
	fc_list_each (item, next, &channel->spread.ready) {
		fc_line *line = FC_CONTAINER(item, fc_node, in_ready)->line;

		if (line->conn.state != FC_CONN_OPEN || line->full)
			continue;
		fc_list_remove(item);
		fc_list_append(&channel->spread.ready, item);
		return line;
	}
	return NULL;
}

/* ---- life ---- */

void
fc_spread_init(farcall_channel *channel)
{
	channel->spread.on = channel->service != NULL && channel->service->round_robin &&
	    channel->address.scheme != FC_SCHEME_FD; /* of a descriptor there is but one */
	fc_list_init(&channel->spread.nodes);
	fc_list_init(&channel->spread.ready);
	fc_timer_init(&channel->spread.resolve, on_resolve);
}

void
fc_spread_stop(farcall_channel *channel)
{
	fc_timer_stop(channel->loop, &channel->spread.resolve);
	fc_list_each (item, next, &channel->spread.nodes) {
		fc_node *node = node_at(item);

		if (node->line != NULL)
			node->line->node = NULL;
		drop(node);
	}
}
