/*
 * link.c: see link.h.
 *
 * What an end receives is handed up as it comes from below; all of the network's doing is on the
 * way out. What was written before close() is still sent, as a kernel does. The two ends of a
 * connection find each other by the mem pipe below them, so that a reset takes both.
 */
#include "tests/sim/link.h"

#include "runtime/transport/cause.h"
#include "runtime/transport/mem_inside.h"
#include "runtime/transport/sock.h"

#include <stdlib.h>

#define OUT_MOST 65536u

typedef struct sim_link {
	fc_pipe pipe;
	fc_pipe *lower; /* NULL: closed */
	fc_loop *loop;
	sim_net *net;
	fc_list in_net;
	unsigned number, server;
	const fc_mem_end *end; /* what `lower` is */
	test_random random;

	/* the plan */
	uint64_t delay, open_delay; /* ns at most; at the connection's opening */
	uint64_t stall;
	size_t chunk, tiny; /* bytes a piece at most; of one to three bytes for the first so many */
	size_t room;        /* bytes that it holds */
	sim_fault fault;
	uint64_t fault_at; /* bytes sent before it */
	int refused;       /* how the connection fails, as the system says; 0: it does not */

	/* what is */
	bool opened, closed, shut, shut_below, lower_full, want_write;
	bool lost, told, end_told, posted, running;
	bool hole, blocked, half; /* a fault that lasts */
	uint64_t sent;
	size_t used, from; /* what it holds: `used` bytes at `out + from` */
	uint8_t *out;      /* of twice the room, so that it seldom moves */
	fc_timer timer;
	fc_task task; /* tells that it is lost */
	fc_error why;
} sim_link;

static void lose(sim_link *l, int number);

static void
note(sim_link *l, const char *what, uint64_t value)
{
	l->net->note(l->net->data, what, l->number, value);
}

static uint32_t
below(sim_link *l, uint32_t limit)
{
	return test_random_below(&l->random, limit);
}

static uint64_t
some_ns(sim_link *l, uint64_t most)
{
	return most == 0 ? 0 : ((uint64_t)test_random_next(&l->random) << 8) % most;
}

static void
plan_next(sim_link *l, uint64_t ns)
{
	if (l->timer.at == 0 && !l->lost && !l->blocked && l->lower != NULL &&
	    !fc_timer_start(l->loop, &l->timer, l->net->clock->now + ns))
		lose(l, FC_E(ENOMEM));
}

/* ---- the end of it ---- */

static void
close_below(sim_link *l)
{
	fc_pipe *lower = l->lower;

	if (lower == NULL)
		return;
	l->lower = NULL;
	l->net->trouble[l->server]++;
	fc_timer_stop(l->loop, &l->timer);
	lower->ops->close(lower);
}

static void
free_if_done(sim_link *l)
{
	if (!l->closed || l->lower != NULL || l->posted || l->running)
		return;
	note(l, "link gone", l->sent);
	fc_list_remove(&l->in_net);
	l->net->n_links--;
	free(l->out);
	free(l);
}

static void
tell_lost(fc_task *task)
{
	sim_link *l = FC_CONTAINER(task, sim_link, task);

	l->posted = false;
	if (!l->closed && !l->told) {
		l->told = l->lost = true;
		note(l, "lost", l->sent);
		l->running = true;
		l->pipe.events->on_lost(l->pipe.owner, &l->why);
		l->running = false;
	}
	free_if_done(l);
}

/* Nothing moves here any more; the owner is told so. */
static void
lose(sim_link *l, int number)
{
	if (l->lost || l->lower == NULL)
		return;
	l->lost = true;
	l->used = l->from = 0;
	l->net->trouble[l->server]++;
	fc_timer_stop(l->loop, &l->timer);
	l->lower->ops->read(l->lower, false);
	fc_fail_lost(&l->why, number, "%s", l->end->pair->place.text);
	if (l->closed) {
		close_below(l);
		free_if_done(l);
	} else if (!l->posted) {
		l->posted = true;
		fc_mem_send_task(l->loop, &l->task);
	}
}

static sim_link *
other_end(const sim_link *l)
{
	fc_list_each (item, next, &l->net->links) {
		sim_link *other = FC_CONTAINER(item, sim_link, in_net);

		if (other->end == l->end->peer && other->lower != NULL)
			return other;
	}
	return NULL;
}

static void
reset(sim_link *l)
{
	sim_link *other = l->lower != NULL ? other_end(l) : NULL;

	note(l, "reset", l->sent);
	lose(l, FC_E(ECONNRESET));
	if (other != NULL)
		lose(other, FC_E(ECONNRESET));
}

/* ---- out ---- */

static void
begin_fault(sim_link *l)
{
	static const char *const names[] = {
	    "none", "stall", "half close", "reset here", "hole", "block"};
	sim_fault fault = l->fault;

	l->fault = SIM_FAULT_NONE;
	l->net->faults[fault]++;
	if (fault != SIM_FAULT_STALL)
		l->net->trouble[l->server]++;
	note(l, names[fault], l->sent);
	switch (fault) {
	case SIM_FAULT_STALL:
		fc_timer_stop(l->loop, &l->timer);
		plan_next(l, l->stall);
		break;
	case SIM_FAULT_HALF_CLOSE:
		l->half = true;
		if (!l->shut_below)
			l->lower->ops->shutdown(l->lower);
		l->shut_below = true;
		break;
	case SIM_FAULT_RESET:
		reset(l);
		break;
	case SIM_FAULT_HOLE:
		l->hole = true;
		break;
	case SIM_FAULT_BLOCK:
		l->blocked = true;
		fc_timer_stop(l->loop, &l->timer);
		break;
	case SIM_FAULT_NONE:
	case SIM_FAULTS:
		break;
	}
}

static size_t
piece_size(sim_link *l)
{
	size_t size = l->sent < l->tiny ? 1 + below(l, 3) : 1 + below(l, (uint32_t)l->chunk);

	size = FC_MIN(size, l->used);
	if (l->fault != SIM_FAULT_NONE)
		size = FC_MIN(size, l->fault_at - l->sent);
	return size;
}

static void
forget(sim_link *l, size_t size)
{
	l->used -= size;
	l->sent += size;
	l->from = l->used != 0 ? l->from + size : 0;
}

/* One piece goes out; false: there is nothing to do now. */
static bool
push(sim_link *l)
{
	fc_piece piece = {l->out + l->from, piece_size(l)};
	size_t taken;

	if (l->hole || l->half) {
		forget(l, l->used);
		return true;
	}
	if (piece.size == 0 || l->lower_full)
		return false;
	taken = l->lower->ops->write(l->lower, &piece, 1);
	l->lower_full = taken < piece.size;
	forget(l, taken);
	return true;
}

static void
finish_out(sim_link *l)
{
	if (l->shut && l->used == 0 && !l->shut_below && !l->hole) {
		l->shut_below = true;
		l->lower->ops->shutdown(l->lower);
	}
	if (l->closed && (l->used == 0 || l->hole || l->blocked))
		close_below(l);
}

static void
run_timer(fc_timer *timer)
{
	sim_link *l = FC_CONTAINER(timer, sim_link, timer);

	l->running = true;
	if (!l->opened) {
		l->opened = true;
		if (l->refused != 0)
			lose(l, l->refused);
		else
			l->pipe.events->on_open(l->pipe.owner);
	}
	if (l->lower != NULL && !l->lost && l->fault != SIM_FAULT_NONE && l->sent >= l->fault_at)
		begin_fault(l);
	else if (l->lower != NULL && !l->lost)
		push(l);
	if (l->lower != NULL && !l->lost)
		finish_out(l);
	if (!l->closed && !l->lost && l->want_write && l->used < l->room) {
		l->want_write = false;
		l->pipe.events->on_writable(l->pipe.owner);
	}
	if (l->lower != NULL && !l->lost && !l->lower_full && l->used != 0)
		plan_next(l, some_ns(l, l->delay));
	l->running = false;
	free_if_done(l);
}

static void
put(sim_link *l, const uint8_t *at, size_t size)
{
	if (size == 0)
		return;
	if (l->from + l->used + size > 2 * l->room) {
		memmove(l->out, l->out + l->from, l->used);
		l->from = 0;
	}
	memcpy(l->out + l->from + l->used, at, size);
	l->used += size;
}

static size_t
link_write(fc_pipe *pipe, const fc_piece *pieces, size_t n)
{
	sim_link *l = FC_CONTAINER(pipe, sim_link, pipe);
	size_t written = 0, total = 0;

	for (size_t i = 0; i < n; i++) {
		size_t size = FC_MIN(pieces[i].size, l->room - l->used);

		total += pieces[i].size;
		if (l->lost || l->shut)
			continue;
		put(l, pieces[i].at, size);
		written += size;
	}
	if (l->lost || l->shut)
		return total;
	l->want_write = written < total;
	if (l->opened)
		plan_next(l, some_ns(l, l->delay));
	return written;
}

/* ---- from below ---- */

static void
below_open(void *owner)
{
	sim_link *l = (sim_link *)owner;

	plan_next(l, some_ns(l, l->open_delay));
}

static void
below_bytes(void *owner, const uint8_t *bytes, size_t size)
{
	sim_link *l = (sim_link *)owner;

	if (!l->closed && !l->lost)
		l->pipe.events->on_bytes(l->pipe.owner, bytes, size);
}

static void
below_end(void *owner)
{
	sim_link *l = (sim_link *)owner;

	if (!l->closed && !l->lost)
		l->pipe.events->on_end(l->pipe.owner);
}

static void
below_writable(void *owner)
{
	sim_link *l = (sim_link *)owner;

	l->lower_full = false;
	plan_next(l, 0);
}

static void
below_lost(void *owner, const fc_error *why)
{
	sim_link *l = (sim_link *)owner;

	if (l->lost)
		return;
	l->why = *why;
	lose(l, 0);
}

/* ---- downward ---- */

static void
link_read(fc_pipe *pipe, bool on)
{
	sim_link *l = FC_CONTAINER(pipe, sim_link, pipe);

	if (!l->lost)
		l->lower->ops->read(l->lower, on);
}

static void
link_shutdown(fc_pipe *pipe)
{
	sim_link *l = FC_CONTAINER(pipe, sim_link, pipe);

	l->shut = true;
	if (l->opened)
		plan_next(l, some_ns(l, l->delay));
}

static void
link_close(fc_pipe *pipe)
{
	sim_link *l = FC_CONTAINER(pipe, sim_link, pipe);

	l->closed = true;
	l->shut = true;
	l->net->trouble[l->server]++;
	if (l->lost || !l->opened || l->used == 0 || l->hole || l->blocked)
		close_below(l);
	else
		plan_next(l, some_ns(l, l->delay));
	free_if_done(l);
}

static void
link_peer(const fc_pipe *pipe, fc_peer *peer)
{
	const sim_link *l = FC_CONTAINER((fc_pipe *)(uintptr_t)pipe, sim_link, pipe);

	l->lower->ops->peer(l->lower, peer);
}

/* ---- the plan ---- */

static void
plan(sim_link *l, bool client)
{
	static const uint64_t delays[] = {
	    0, 1000, 100000, FC_NS_PER_MS, 30 * FC_NS_PER_MS, FC_NS_PER_S};
	static const size_t chunks[] = {40, 300, 1500, 16384, 65536, 65536};
	static const size_t rooms[] = {500, 4096, 65536, 65536};
	static const uint32_t places[] = {30, 100, 300, 3000, 400000};
	sim_net *net = l->net;

	l->delay = FC_MIN(delays[below(l, FC_COUNT(delays))], net->slowest);
	l->open_delay = below(l, 4) == 0 ? FC_MIN(net->slowest, FC_NS_PER_S) : l->delay;
	l->chunk = chunks[below(l, FC_COUNT(chunks))];
	l->tiny = below(l, 5) == 0 ? below(l, 400) : 0;
	l->room = rooms[below(l, FC_COUNT(rooms))];
	if (l->delay >= FC_NS_PER_MS) { /* slow, but not as slow as a few bytes a second */
		l->chunk = FC_MAX(l->chunk, 1500);
		l->room = FC_MAX(l->room, 16384);
	}
	if (l->delay > FC_NS_PER_MS) {
		l->chunk = l->room = OUT_MOST;
		l->tiny = 0;
	}
	if (client && net->refuse_odds != 0 && below(l, net->refuse_odds) == 0)
		l->refused = below(l, 3) == 0 ? FC_E(EMFILE) : FC_E(ECONNREFUSED);
	if (net->fault_odds != 0 && below(l, net->fault_odds) == 0) {
		l->fault = (sim_fault)(1 + below(l, SIM_FAULTS - 1));
		l->fault_at = below(l, places[below(l, FC_COUNT(places))]);
		l->stall = some_ns(l, 20 * FC_NS_PER_S);
	}
}

static fc_pipe *
wrap(fc_loop *loop, fc_pipe *lower, bool client, void *data)
{
	static const fc_pipe_events events = {
	    below_open, below_bytes, below_end, below_writable, below_lost};
	static const fc_pipe_ops ops = {
	    "sim", link_write, link_read, link_shutdown, link_close, link_peer, NULL};
	sim_net *net = (sim_net *)data;
	uint32_t seed = test_random_next(&net->random);
	sim_link *l;

	if (net->no_filter_odds != 0 && seed % net->no_filter_odds == 0)
		return NULL;
	l = (sim_link *)calloc(1, sizeof *l);
	l->pipe.ops = &ops;
	l->lower = lower;
	l->loop = loop;
	l->net = net;
	l->number = ++net->n_made;
	l->end = FC_CONTAINER(lower, fc_mem_end, pipe);
	l->server = (unsigned)(l->end->pair->place.text[5] - '0') % SIM_NET_SERVERS;
	l->opened = !client;
	l->task.run = tell_lost;
	fc_timer_init(&l->timer, run_timer);
	fc_error_clear(&l->why);
	test_random_seed(&l->random, seed);
	plan(l, client);
	l->out = (uint8_t *)malloc(2 * l->room);
	lower->events = &events;
	lower->owner = l;
	fc_list_append(&net->links, &l->in_net);
	net->n_links++;
	note(l, client ? "connects" : "accepted", l->server);
	return &l->pipe;
}

/* ---- the net ---- */

void
sim_net_init(sim_net *net)
{
	fc_list_init(&net->links);
	fc_pipe_set_wrap(wrap, net);
}

void
sim_net_fini(sim_net *net)
{
	(void)net;
	fc_pipe_set_wrap(NULL, NULL);
}

void
sim_net_disturb(sim_net *net, sim_fault fault)
{
	unsigned nth;

	if (net->n_links == 0)
		return;
	nth = test_random_below(&net->random, net->n_links);
	fc_list_each (item, next, &net->links) {
		sim_link *l = FC_CONTAINER(item, sim_link, in_net);

		if (nth-- != 0)
			continue;
		if (l->closed || l->lost || !l->opened)
			return;
		l->fault = fault;
		l->fault_at = l->sent;
		l->stall = some_ns(l, 20 * FC_NS_PER_S);
		begin_fault(l);
		return;
	}
}

bool
sim_net_is_sick(const sim_net *net, unsigned server)
{
	fc_list_each (item, next, &net->links) {
		const sim_link *l = FC_CONTAINER(item, sim_link, in_net);

		if (l->server == server && (l->hole || l->half || l->blocked))
			return true;
	}
	return false;
}

static void
calm(sim_link *l)
{
	l->fault = SIM_FAULT_NONE;
	l->delay = FC_MIN(l->delay, FC_NS_PER_MS);
	l->open_delay = FC_MIN(l->open_delay, FC_NS_PER_MS);
	l->refused = 0;
	l->tiny = 0;
	if (l->timer.at == 0)
		return;
	fc_timer_stop(l->loop, &l->timer); /* it may have been a stall's */
	plan_next(l, 0);
}

void
sim_net_heal(sim_net *net)
{
	net->fault_odds = net->refuse_odds = net->no_filter_odds = 0;
	net->slowest = FC_MIN(net->slowest, FC_NS_PER_MS);
	fc_list_each (item, next, &net->links)
		calm(FC_CONTAINER(item, sim_link, in_net));
again:
	fc_list_each (item, next, &net->links) {
		sim_link *l = FC_CONTAINER(item, sim_link, in_net);

		if (l->lower == NULL || l->lost || !(l->hole || l->half || l->blocked))
			continue;
		l->hole = l->half = l->blocked = false;
		reset(l);
		goto again; /* it may have taken another one away */
	}
}
