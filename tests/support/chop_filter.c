/*
 * chop_filter.c: see chop_filter.h.
 *
 * With records the stream is a row of [type, size (2 bytes), payload]. An ASK must be answered by
 * whoever reads it, before anything behind it is let through; an END stands for the end of the
 * sending side, so that answers can still be written behind it.
 *
 * Choices come from the seed alone, one row of them for each pipe in the order of their making.
 */
#include "tests/support/chop_filter.h"

#include "runtime/base/alloc.h"
#include "runtime/base/buf.h"

#include "tests/support/check.h"

#include <stdatomic.h>

#define HEAD 3
#define PAYLOAD_MOST 16000u
#define IN_STOP 65536u /* bytes held before the lower pipe is told to wait */
#define ROOM_MOST (4u * 1024u * 1024u)

enum record { DATA, ASK, ANSWER, END };

typedef struct chop {
	fc_pipe pipe;
	fc_pipe *lower;
	fc_loop *loop;
	test_random random;
	chop_options options;
	fc_buf in, out;   /* raw, from and to the lower pipe */
	uint64_t written; /* by the owner */
	bool open_due, opened;
	bool reading, lower_reading;
	bool want_write;
	bool lower_full;
	bool must_answer;
	bool lower_ended; /* nothing more will come from below */
	bool end_seen, end_told;
	bool shut, shut_below;
	bool lost, closed, busy;
	size_t left; /* of the record that is being read */
	fc_task task;
	fc_timer timer;
	fc_error why;
} chop;

static chop_options installed;
static atomic_uint made;
static atomic_uint answers;

static void step(chop *c);

static bool
chance(chop *c, uint32_t of)
{
	return test_random_below(&c->random, of) == 0;
}

/* Of `most` bytes: often one or a few, sometimes many. */
static size_t
some(chop *c, size_t most)
{
	static const uint32_t ceilings[] = {12, 700, PAYLOAD_MOST, PAYLOAD_MOST};
	uint32_t ceiling = ceilings[test_random_below(&c->random, FC_COUNT(ceilings))];
	size_t size = 1 + test_random_below(&c->random, ceiling);

	return FC_MIN(size, most);
}

/* ---- when ---- */

static void
run_later(chop *c)
{
	uint64_t due;

	if (c->closed || c->timer.at != 0 || c->task.queued)
		return;
	if (c->options.delay_ns == 0 || chance(c, 3)) {
		fc_loop_ready(c->loop, &c->task);
		return;
	}
	due = fc_loop_now(c->loop) + test_random_next(&c->random) % c->options.delay_ns;
	if (!fc_timer_start(c->loop, &c->timer, due))
		fc_loop_ready(c->loop, &c->task);
}

static void
free_if_done(chop *c)
{
	if (!c->closed || c->busy || c->task.queued)
		return;
	fc_buf_fini(&c->in);
	fc_buf_fini(&c->out);
	fc_free(c);
}

static void
run(chop *c)
{
	c->busy = true;
	if (!c->closed && !c->lost)
		step(c);
	c->busy = false;
	free_if_done(c);
}

static void
run_task(fc_task *task)
{
	run(FC_CONTAINER(task, chop, task));
}

static void
run_timer(fc_timer *timer)
{
	run(FC_CONTAINER(timer, chop, timer));
}

static void
no_memory(chop *c)
{
	fc_fail_memory(&c->why, "chop filter");
	run_later(c);
}

/* ---- out ---- */

static bool
add_record(chop *c, enum record type, size_t size)
{
	uint8_t *to = fc_buf_reserve(&c->out, HEAD + size);

	if (to == NULL) {
		no_memory(c);
		return false;
	}
	to[0] = (uint8_t)type;
	fc_put16(to + 1, (uint32_t)size);
	fc_buf_add(&c->out, HEAD);
	return true;
}

/* Writes what is held, piece by piece; false: some is left. */
static bool
push_out(chop *c)
{
	while (!c->lower_full && fc_buf_size(&c->out) != 0) {
		size_t size = some(c, fc_buf_size(&c->out)), taken;
		fc_piece piece = {c->out.data + c->out.from, size};

		taken = c->lower->ops->write(c->lower, &piece, 1);
		c->lower_full = taken < size;
		fc_buf_take(&c->out, taken);
	}
	if (fc_buf_size(&c->out) != 0)
		return false;
	if (c->shut && !c->options.records && !c->shut_below) {
		c->shut_below = true;
		c->lower->ops->shutdown(c->lower);
	}
	return true;
}

static size_t
gather(uint8_t *to, const fc_piece *pieces, size_t n, size_t most)
{
	size_t size = 0;

	for (size_t i = 0; i < n && size < most; i++) {
		size_t part = FC_MIN(pieces[i].size, most - size);

		if (part != 0)
			memcpy(to + size, pieces[i].at, part);
		size += part;
	}
	return size;
}

static size_t
chop_write(fc_pipe *pipe, const fc_piece *pieces, size_t n)
{
	chop *c = FC_CONTAINER(pipe, chop, pipe);
	size_t total = 0, size;
	uint8_t *to;

	for (size_t i = 0; i < n; i++)
		total += pieces[i].size;
	if (c->lost || c->shut)
		return total;
	if (total == 0)
		return 0;
	size = some(c, total);
	c->want_write = true;
	run_later(c);
	if (!c->opened || fc_buf_size(&c->out) != 0)
		return 0;
	if (c->options.records && chance(c, 6) && !add_record(c, ASK, 0))
		return 0;
	if (c->options.records && !add_record(c, DATA, size))
		return 0;
	to = fc_buf_reserve(&c->out, size);
	if (to == NULL) {
		no_memory(c);
		return 0;
	}
	fc_buf_add(&c->out, gather(to, pieces, n, size));
	c->written += size;
	if (c->options.half_close_after != 0 && c->written >= c->options.half_close_after)
		pipe->ops->shutdown(pipe);
	push_out(c);
	c->want_write = size < total;
	return size;
}

static void
chop_shutdown(fc_pipe *pipe)
{
	chop *c = FC_CONTAINER(pipe, chop, pipe);

	if (c->shut || c->lost)
		return;
	c->shut = true;
	if (c->options.records)
		add_record(c, END, 0);
	run_later(c);
}

/* ---- in ---- */

/* An answer that cannot be written must not keep the peer from reading: both would wait. */
static void
listen_below(chop *c)
{
	bool room = fc_buf_size(&c->in) < IN_STOP || c->must_answer;
	bool on = c->opened && room && (c->reading || c->options.records);

	if (on == c->lower_reading || c->lost)
		return;
	c->lower_reading = on;
	c->lower->ops->read(c->lower, on);
}

static void
deliver(chop *c, size_t size)
{
	c->pipe.events->on_bytes(c->pipe.owner, c->in.data + c->in.from, size);
	fc_buf_take(&c->in, size);
}

/* One record's head; false: it is not there yet, or must be answered first. */
static bool
open_record(chop *c)
{
	const uint8_t *head = c->in.data + c->in.from;

	if (c->must_answer) {
		if (!push_out(c))
			return false;
		c->must_answer = false;
	}
	if (fc_buf_size(&c->in) < HEAD)
		return false;
	c->left = fc_get16(head + 1);
	fc_buf_take(&c->in, HEAD);
	if (head[0] == END)
		c->end_seen = true;
	if (head[0] == ASK && add_record(c, ANSWER, 0)) {
		answers++;
		c->must_answer = true;
	}
	return true;
}

/* At most a few pieces at once. Answers whether there is more to let through. */
static bool
pull_in(chop *c)
{
	for (unsigned n = 1 + test_random_below(&c->random, 4); n > 0; n--) {
		size_t size;

		if (!c->reading || c->closed)
			return false;
		if (c->options.records && c->left == 0) {
			if (!open_record(c))
				return false;
			continue;
		}
		size = some(c, fc_buf_size(&c->in));
		if (c->options.records)
			size = FC_MIN(size, c->left);
		if (size == 0)
			return false;
		if (c->options.records)
			c->left -= size;
		deliver(c, size);
	}
	return true;
}

/* ---- all of it ---- */

static void
tell_end(chop *c)
{
	if (!c->reading || c->end_told || !c->opened)
		return;
	if (!c->end_seen && !(c->lower_ended && fc_buf_size(&c->in) == 0))
		return;
	c->end_told = true;
	c->pipe.events->on_end(c->pipe.owner);
}

/* One step; another is planned as long as it moves something. */
static void
step(chop *c)
{
	bool more, pushed;

	if (c->open_due) {
		c->open_due = false;
		c->opened = true;
		c->pipe.events->on_open(c->pipe.owner);
	}
	if (c->closed || !c->opened)
		return;
	pushed = push_out(c);
	more = pull_in(c);
	if (c->closed)
		return;
	if (pushed && c->want_write) {
		c->want_write = false;
		c->pipe.events->on_writable(c->pipe.owner);
	}
	if (!c->closed && !more)
		tell_end(c);
	if (c->closed)
		return;
	if (c->why.code != FARCALL_OK && !more) {
		c->lost = true;
		c->pipe.events->on_lost(c->pipe.owner, &c->why);
		return;
	}
	listen_below(c);
	if (more || (c->must_answer && !c->lower_full))
		run_later(c);
}

/* ---- from below ---- */

static void
below_open(void *owner)
{
	chop *c = (chop *)owner;

	c->open_due = true;
	run_later(c);
}

static void
below_bytes(void *owner, const uint8_t *bytes, size_t size)
{
	chop *c = (chop *)owner;

	if (!fc_buf_append(&c->in, bytes, size))
		no_memory(c);
	listen_below(c);
	run_later(c);
}

static void
below_end(void *owner)
{
	chop *c = (chop *)owner;

	c->lower_ended = true;
	run_later(c);
}

static void
below_writable(void *owner)
{
	chop *c = (chop *)owner;

	c->lower_full = false;
	run_later(c);
}

static void
below_lost(void *owner, const fc_error *why)
{
	chop *c = (chop *)owner;

	if (c->why.code == FARCALL_OK)
		c->why = *why;
	if (!c->opened) {
		c->lost = true;
		c->pipe.events->on_lost(c->pipe.owner, &c->why);
		return;
	}
	c->lower_full = false;
	run_later(c);
}

/* ---- the rest ---- */

static void
chop_read(fc_pipe *pipe, bool on)
{
	chop *c = FC_CONTAINER(pipe, chop, pipe);

	c->reading = on;
	listen_below(c);
	if (on)
		run_later(c);
}

static void
chop_close(fc_pipe *pipe)
{
	chop *c = FC_CONTAINER(pipe, chop, pipe);

	c->closed = true;
	fc_timer_stop(c->loop, &c->timer);
	c->lower->ops->close(c->lower);
	free_if_done(c);
}

static void
chop_peer(const fc_pipe *pipe, fc_peer *peer)
{
	const chop *c = FC_CONTAINER((fc_pipe *)(uintptr_t)pipe, chop, pipe);

	c->lower->ops->peer(c->lower, peer);
}

static fc_pipe *
wrap(fc_loop *loop, fc_pipe *lower, bool client, void *data)
{
	static const fc_pipe_events events = {
	    below_open, below_bytes, below_end, below_writable, below_lost};
	static const fc_pipe_ops ops = {
	    "chop", chop_write, chop_read, chop_shutdown, chop_close, chop_peer, NULL};
	chop *c = (chop *)fc_calloc(1, sizeof *c);

	(void)data;
	if (c == NULL)
		return NULL;
	c->pipe.ops = &ops;
	c->lower = lower;
	c->loop = loop;
	c->options = installed;
	c->opened = !client;
	c->task.run = run_task;
	fc_timer_init(&c->timer, run_timer);
	test_random_seed(&c->random, installed.seed + made++);
	fc_buf_init(&c->in, NULL, ROOM_MOST);
	fc_buf_init(&c->out, NULL, ROOM_MOST);
	lower->events = &events;
	lower->owner = c;
	if (!client && c->options.records)
		run_later(c);
	return &c->pipe;
}

void
chop_filter_install(const chop_options *options)
{
	installed = *options;
	made = answers = 0;
	fc_pipe_set_wrap(wrap, NULL);
}

void
chop_filter_remove(void)
{
	fc_pipe_set_wrap(NULL, NULL);
}

unsigned
chop_filter_answers(void)
{
	return answers;
}
