/*
 * mem.c: see mem.h.
 *
 * A pair is one block of memory with both ends; it is freed when both owners have closed theirs and
 * no task of theirs is under way. What both ends touch is under the pair's lock. An end learns of
 * news by a task on its own loop, at most one at a time: ready when that loop's turn is the
 * caller's, else posted. Bytes are read by their owner straight from the ring; the writer only
 * touches what is free of it.
 */
#include "runtime/transport/mem_inside.h"

#include "runtime/base/alloc.h"
#include "runtime/transport/cause.h"
#include "runtime/transport/sock.h"

#include <stdio.h>

farcall_code
fc_mem_place(fc_place *place, const char *name, fc_error *error)
{
	memset(place, 0, sizeof *place);
	place->kind = FC_PLACE_MEM;
	if (strlen(name) > FC_MEM_NAME_MOST)
		return fc_fail(error, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_BAD_ADDRESS,
		    "mem:%.80s...: name is longer than %d bytes", name, FC_MEM_NAME_MOST);
	snprintf(place->text, sizeof place->text, "mem:%s", name);
	return FARCALL_OK;
}

/* ---- news ---- */

/* Under the lock. */
static void
inform(fc_mem_end *end)
{
	if (end->loop == NULL || end->told || end->closed)
		return;
	end->told = true;
	fc_mem_send_task(end->loop, &end->task);
}

/* Under the lock, which it opens. */
static void
let_go(pair *p)
{
	bool last = --p->refs == 0;

	fc_unlock(&p->lock);
	if (!last)
		return;
	fc_mutex_fini(&p->lock);
	fc_free(p);
}

/* ---- events ---- */

/* A piece of the ring in one row; under the lock. */
static fc_piece
front(const fc_mem_end *end)
{
	fc_piece piece = {
	    end->in.bytes + end->in.from, FC_MIN(end->in.used, FC_MEM_RING - end->in.from)};

	return piece;
}

static void
take(fc_mem_end *end, size_t size)
{
	fc_lock(&end->pair->lock);
	end->in.from = (end->in.from + size) % FC_MEM_RING;
	end->in.used -= size;
	if (end->peer->needs_space) {
		end->peer->needs_space = false;
		end->peer->has_space = true;
		inform(end->peer);
	}
	fc_unlock(&end->pair->lock);
}

/* At most what the ring holds when it begins; more is for another turn. */
static void
deliver_bytes(fc_mem_end *end)
{
	size_t left = FC_MEM_RING;

	while (left > 0 && end->reading && !end->closed) {
		fc_piece piece;

		fc_lock(&end->pair->lock);
		piece = front(end);
		fc_unlock(&end->pair->lock);
		piece.size = FC_MIN(piece.size, left);
		if (piece.size == 0)
			return;
		left -= piece.size;
		end->pipe.events->on_bytes(end->pipe.owner, piece.at, piece.size);
		take(end, piece.size);
	}
}

static void
deliver_end(fc_mem_end *end)
{
	bool over, more;

	fc_lock(&end->pair->lock);
	over = end->in.used == 0 && (end->peer->shut || end->peer->closed) && end->broken == 0;
	more = end->in.used != 0 && end->reading;
	if (more)
		inform(end);
	fc_unlock(&end->pair->lock);
	if (!over || !end->reading || end->ended)
		return;
	end->ended = true;
	end->pipe.events->on_end(end->pipe.owner);
}

static void
deliver_space(fc_mem_end *end)
{
	bool space;

	fc_lock(&end->pair->lock);
	space = end->has_space;
	end->has_space = false;
	fc_unlock(&end->pair->lock);
	if (!space || !end->want_write)
		return;
	end->want_write = false;
	end->pipe.events->on_writable(end->pipe.owner);
}

static void
deliver_lost(fc_mem_end *end)
{
	fc_error error;
	int broken;

	fc_lock(&end->pair->lock);
	broken = end->broken;
	fc_unlock(&end->pair->lock);
	if (broken == 0 || end->lost)
		return;
	end->lost = true;
	fc_error_clear(&error);
	fc_fail_lost(&error, broken, end->open_due ? "connect %s" : "%s", end->pair->place.text);
	end->pipe.events->on_lost(end->pipe.owner, &error);
}

static void
deliver(fc_mem_end *end)
{
	bool refused;

	fc_lock(&end->pair->lock);
	refused = end->broken == FC_E(ECONNREFUSED);
	fc_unlock(&end->pair->lock);
	if (refused) {
		deliver_lost(end);
		return;
	}
	if (end->open_due) {
		end->open_due = false;
		end->pipe.events->on_open(end->pipe.owner);
	}
	if (!end->closed)
		deliver_space(end);
	deliver_bytes(end);
	if (!end->closed)
		deliver_end(end);
	if (!end->closed)
		deliver_lost(end);
}

/* `closed` is written by the end's owner alone, so its owner may read it without the lock. */
static void
run_end(fc_task *task)
{
	fc_mem_end *end = FC_CONTAINER(task, fc_mem_end, task);

	fc_lock(&end->pair->lock);
	end->told = false;
	if (end->closed) {
		let_go(end->pair);
		return;
	}
	fc_unlock(&end->pair->lock);
	end->busy = true;
	if (!end->lost)
		deliver(end);
	end->busy = false;
	if (end->closed) {
		fc_lock(&end->pair->lock);
		if (!end->told)
			let_go(end->pair);
		else
			fc_unlock(&end->pair->lock);
	}
}

/* ---- downward ---- */

static fc_mem_end *
of(fc_pipe *pipe)
{
	return FC_CONTAINER(pipe, fc_mem_end, pipe);
}

static void
put(ring *to, const uint8_t *at, size_t size)
{
	size_t place = (to->from + to->used) % FC_MEM_RING,
	       first = FC_MIN(size, FC_MEM_RING - place);

	if (size == 0)
		return;
	memcpy(to->bytes + place, at, first);
	memcpy(to->bytes, at + first, size - first);
	to->used += size;
}

static size_t
mem_write(fc_pipe *pipe, const fc_piece *pieces, size_t n)
{
	fc_mem_end *end = of(pipe), *peer = end->peer;
	size_t wanted = 0, written = 0;

	fc_lock(&end->pair->lock);
	for (size_t i = 0; i < n; i++) {
		size_t size = FC_MIN(pieces[i].size, FC_MEM_RING - peer->in.used);

		wanted += pieces[i].size;
		if (peer->closed || end->broken != 0 || end->shut)
			continue;
		put(&peer->in, pieces[i].at, size);
		written += size;
	}
	if (peer->closed || end->broken != 0 || end->shut) {
		if (end->broken == 0) {
			end->broken = FC_E(ECONNRESET);
			inform(end);
		}
		written = wanted;
	} else {
		end->want_write = end->needs_space = written < wanted;
		if (written != 0 && peer->listens)
			inform(peer);
	}
	fc_unlock(&end->pair->lock);
	return written;
}

static void
mem_read(fc_pipe *pipe, bool on)
{
	fc_mem_end *end = of(pipe);

	end->reading = on;
	fc_lock(&end->pair->lock);
	end->listens = on;
	if (on && (end->in.used != 0 || end->peer->shut || end->peer->closed))
		inform(end);
	fc_unlock(&end->pair->lock);
}

static void
mem_shutdown(fc_pipe *pipe)
{
	fc_mem_end *end = of(pipe);

	fc_lock(&end->pair->lock);
	end->shut = true;
	inform(end->peer);
	fc_unlock(&end->pair->lock);
}

static void
close_end(fc_mem_end *end, int number)
{
	fc_lock(&end->pair->lock);
	end->closed = true;
	if (number != 0)
		end->peer->broken = number;
	if (end->peer->needs_space) {
		end->peer->needs_space = false;
		end->peer->has_space = true;
	}
	inform(end->peer);
	if (end->told || end->busy)
		fc_unlock(&end->pair->lock);
	else
		let_go(end->pair);
}

static void
mem_close(fc_pipe *pipe)
{
	fc_mem_end *end = of(pipe);

	fc_loop_keep(end->loop, false);
	close_end(end, 0);
}

static void
mem_peer(const fc_pipe *pipe, fc_peer *peer)
{
	const fc_mem_end *end = of((fc_pipe *)(uintptr_t)pipe);

	memset(peer, 0, sizeof *peer);
	memcpy(peer->text, end->pair->place.text, sizeof peer->text);
	peer->local = true;
	fc_own_ids(peer);
}

static const fc_pipe_ops mem_ops = {
    "mem",
    mem_write,
    mem_read,
    mem_shutdown,
    mem_close,
    mem_peer,
    NULL,
};

/* ---- beginning ---- */

static pair *
make_pair(const fc_place *place, fc_error *error)
{
	pair *p = (pair *)fc_malloc(sizeof *p);

	if (p == NULL) {
		fc_fail_memory(error, "connection");
		return NULL;
	}
	if (fc_mutex_init(&p->lock, error) != FARCALL_OK) {
		fc_free(p);
		return NULL;
	}
	p->refs = 2;
	p->place = *place;
	for (int i = 0; i < 2; i++) {
		fc_mem_end *end = &p->ends[i];

		memset(end, 0, offsetof(fc_mem_end, in.bytes));
		end->pair = p;
		end->peer = &p->ends[1 - i];
		end->pipe.ops = &mem_ops;
		end->task.run = run_end;
	}
	return p;
}

fc_pipe *
fc_mem_connect(fc_loop *loop, const fc_place *place, const fc_pipe_events *events, void *owner,
    fc_error *error)
{
	pair *p = make_pair(place, error);
	fc_mem_end *end;

	if (p == NULL)
		return NULL;
	end = &p->ends[0];
	end->pipe.events = events;
	end->pipe.owner = owner;
	end->loop = loop;
	end->open_due = true;
	fc_loop_keep(loop, true);
	if (!fc_mem_enqueue(place, &p->ends[1]))
		close_end(&p->ends[1], FC_E(ECONNREFUSED));
	fc_lock(&p->lock);
	inform(end);
	fc_unlock(&p->lock);
	return &end->pipe;
}

fc_pipe *
fc_mem_adopt(
    fc_loop *loop, fc_mem_end *end, const fc_pipe_events *events, void *owner, fc_error *error)
{
	(void)error;
	fc_loop_keep(loop, true);
	fc_lock(&end->pair->lock);
	end->pipe.events = events;
	end->pipe.owner = owner;
	end->loop = loop;
	fc_unlock(&end->pair->lock);
	return &end->pipe;
}

void
fc_mem_refuse(fc_mem_end *end)
{
	close_end(end, FC_E(ECONNRESET));
}
