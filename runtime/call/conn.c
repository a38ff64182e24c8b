/*
 * conn.c: see conn.h. One rule keeps it simple: nothing is freed and no owner is told inside an
 * event of the pipe or the engine. They only change the state; flush(), which runs once at the end
 * of the turn, acts on it.
 */
#include "runtime/call/conn.h"

#include <string.h>

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

static uint64_t
earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void
set_timer(fc_conn *conn)
{
	uint64_t due = conn->until;

	if (conn->engine != NULL && conn->state == FC_CONN_OPEN)
		due = earlier(due, conn->ops->due(conn->engine));
	if (conn->blocked && conn->state == FC_CONN_OPEN)
		due = earlier(due, conn->stuck);
	if (due == FC_NEVER)
		fc_timer_stop(conn->loop, &conn->timer);
	else if (conn->timer.at == 0 || conn->timer.due != due)
		fc_timer_start(conn->loop, &conn->timer, due);
}

static void
set_reading(fc_conn *conn)
{
	bool want = !conn->lost && !conn->ended && conn->state != FC_CONN_CONNECTING &&
	    (conn->state != FC_CONN_OPEN || !conn->ops->congested(conn->engine));

	if (conn->reading != want) {
		conn->reading = want;
		conn->pipe->ops->read(conn->pipe, want);
	}
}

/* The first reason stands; the rest happens in flush(). */
static void
begin_close(fc_conn *conn, const fc_error *why)
{
	if (conn->state == FC_CONN_CLOSING || conn->state == FC_CONN_CLOSED)
		return;
	conn->state = FC_CONN_CLOSING;
	conn->patient = why == NULL;
	conn->until =
	    fc_loop_now(conn->loop) + (why == NULL ? FC_CONN_UNSENT_NS : FC_CONN_LINGER_NS);
	if (why != NULL)
		conn->why = *why;
	fc_conn_touch(conn);
}

static void
release(fc_conn *conn)
{
	fc_timer_stop(conn->loop, &conn->timer);
	if (conn->engine != NULL)
		conn->ops->free(conn->engine);
	conn->engine = NULL;
	if (conn->pipe != NULL)
		conn->pipe->ops->close(conn->pipe);
	conn->pipe = NULL;
	conn->state = FC_CONN_CLOSED;
}

/* `taken` of `size` bytes were written. The system may take some long before it tells so. */
static void
note_progress(fc_conn *conn, size_t taken, size_t size)
{
	conn->blocked = taken < size;
	if (!conn->blocked)
		conn->stuck = 0;
	else if (taken != 0 || conn->stuck == 0)
		conn->stuck = fc_loop_now(conn->loop) + FC_CONN_STUCK_NS;
}

/* Answers whether the pipe took anything. */
static bool
write_out(fc_conn *conn)
{
	fc_piece pieces[16];
	size_t n, size, taken;
	bool moved = false;

	while (!conn->blocked && !conn->lost && !conn->shut) {
		n = conn->ops->output(conn->engine, pieces, FC_COUNT(pieces));
		if (n == 0)
			break;
		size = 0;
		for (size_t i = 0; i < n; i++)
			size += pieces[i].size;
		taken = conn->pipe->ops->write(conn->pipe, pieces, n);
		conn->ops->wrote(conn->engine, taken);
		note_progress(conn, taken, size);
		moved = moved || taken != 0;
	}
	return moved;
}

/* The end of the stream goes out behind the last byte; only then does the peer have to hurry. */
static void
go_on_closing(fc_conn *conn, bool moved)
{
	if (conn->shut || conn->lost)
		return;
	if (!conn->blocked) {
		conn->shut = true;
		if (conn->patient)
			conn->until = fc_loop_now(conn->loop) + FC_CONN_LINGER_NS;
		conn->pipe->ops->shutdown(conn->pipe);
	} else if (moved && conn->patient) {
		conn->until = fc_loop_now(conn->loop) + FC_CONN_UNSENT_NS;
	}
}

/* The peer has taken nothing for long: the last look. */
static bool
is_stuck(fc_conn *conn, uint64_t now)
{
	if (conn->state != FC_CONN_OPEN || !conn->blocked || now < conn->stuck)
		return false;
	conn->blocked = false;
	write_out(conn);
	return conn->blocked && now >= conn->stuck;
}

static void
flush(fc_task *task)
{
	fc_conn *conn = FC_CONTAINER(task, fc_conn, flush);
	bool moved = false;

	if (conn->state == FC_CONN_CLOSED)
		return;
	if (conn->engine != NULL)
		moved = write_out(conn);
	if (conn->state == FC_CONN_CLOSING)
		go_on_closing(conn, moved);
	if (conn->state == FC_CONN_CLOSING &&
	    (conn->lost || (conn->shut && conn->ended) || fc_loop_now(conn->loop) >= conn->until)) {
		release(conn);
		conn->events->on_closed(conn, &conn->why);
		return;
	}
	if (conn->state == FC_CONN_OPEN && conn->events->on_flushed != NULL)
		conn->events->on_flushed(conn);
	set_reading(conn);
	set_timer(conn);
}

void
fc_conn_write_now(fc_conn *conn)
{
	if (conn->state != FC_CONN_OPEN || conn->flush.queued) {
		fc_conn_touch(conn);
		return;
	}
	write_out(conn);
	set_reading(conn);
	set_timer(conn);
}

void
fc_conn_write_early(fc_conn *conn)
{
	if (conn->state == FC_CONN_OPEN)
		write_out(conn);
}

/* ---- the engine ---- */

static bool
open_engine(fc_conn *conn)
{
	fc_error error;

	conn->ops = conn->events->ops != NULL ? conn->events->ops : &fc_h2_engine;
	conn->engine =
	    conn->ops->open(conn->config, conn->events->engine, conn, fc_loop_now(conn->loop));
	if (conn->engine != NULL) {
		conn->state = FC_CONN_OPEN;
		return true;
	}
	fc_error_clear(&error);
	fc_fail_memory(&error, "connection");
	begin_close(conn, &error);
	return false;
}

void
fc_conn_dead(void *conn, const fc_error *why)
{
	begin_close((fc_conn *)conn, why);
}

void
fc_conn_drained(void *conn)
{
	begin_close((fc_conn *)conn, NULL);
}

/* ---- the pick: which protocol do the first bytes speak? ---- */

static void
refuse_first_bytes(fc_conn *conn)
{
	const uint8_t *first = conn->first;
	const char *what = "no HTTP/2 preface";
	fc_error error;

	if (first[0] == 0x16 && first[1] == 0x03)
		what = "TLS on a plaintext endpoint";
	else if (first[0] >= 'A' && first[0] <= 'Z' && memcmp(first, "PRI ", 4) != 0)
		what = "HTTP/1, but only HTTP/2 is spoken here";
	fc_error_clear(&error);
	fc_fail(&error, FARCALL_INTERNAL, FARCALL_CAUSE_PROTOCOL, "the peer sent %s", what);
	begin_close(conn, &error);
}

/* Four bytes tell; answers whether the engine may have what has come. */
static bool
pick(fc_conn *conn, const uint8_t *bytes, size_t size)
{
	size_t n = FC_MIN(size, 4 - conn->n_first);

	memcpy(conn->first + conn->n_first, bytes, n);
	conn->n_first += n;
	if (memcmp(conn->first, preface, conn->n_first) != 0 && conn->n_first >= 2) {
		refuse_first_bytes(conn);
		return false;
	}
	if (conn->n_first < 4)
		return false;
	conn->until = FC_NEVER;
	if (!open_engine(conn))
		return false;
	/* Those of the four that came before this piece. */
	conn->ops->input(conn->engine, conn->first, 4 - n, fc_loop_now(conn->loop));
	return true;
}

/* ---- events of the pipe ---- */

static void
on_open(void *owner)
{
	fc_conn *conn = (fc_conn *)owner;

	if (conn->state == FC_CONN_CONNECTING)
		open_engine(conn);
	fc_conn_touch(conn);
}

static void
on_bytes(void *owner, const uint8_t *bytes, size_t size)
{
	fc_conn *conn = (fc_conn *)owner;

	if (conn->state == FC_CONN_PICKING && !pick(conn, bytes, size)) {
		fc_conn_touch(conn);
		return;
	}
	if (conn->state == FC_CONN_OPEN)
		conn->ops->input(conn->engine, bytes, size, fc_loop_now(conn->loop));
	fc_conn_touch(conn);
}

static void
on_end(void *owner)
{
	fc_conn *conn = (fc_conn *)owner;

	conn->ended = true;
	if (conn->state == FC_CONN_OPEN)
		conn->ops->end(conn->engine, NULL);
	begin_close(conn, NULL);
	fc_conn_touch(conn);
}

static void
on_writable(void *owner)
{
	fc_conn *conn = (fc_conn *)owner;

	conn->blocked = false;
	fc_conn_touch(conn);
}

static void
on_lost(void *owner, const fc_error *why)
{
	fc_conn *conn = (fc_conn *)owner;

	conn->lost = true;
	if (conn->state == FC_CONN_OPEN)
		conn->ops->end(conn->engine, why);
	begin_close(conn, why);
	fc_conn_touch(conn);
}

static const fc_pipe_events pipe_events = {on_open, on_bytes, on_end, on_writable, on_lost};

/* No linger for a peer that is not there. */
static void
give_up(fc_conn *conn, const char *why)
{
	fc_error error;

	fc_error_clear(&error);
	fc_fail(&error, FARCALL_UNAVAILABLE, FARCALL_CAUSE_TIMED_OUT, "%s", why);
	if (conn->state == FC_CONN_OPEN)
		conn->ops->end(conn->engine, &error);
	begin_close(conn, &error);
	conn->patient = false;
	conn->until = fc_loop_now(conn->loop);
}

static void
on_timer(fc_timer *timer)
{
	fc_conn *conn = FC_CONTAINER(timer, fc_conn, timer);
	uint64_t now = fc_loop_now(conn->loop);

	if (conn->state == FC_CONN_OPEN && now >= conn->ops->due(conn->engine))
		conn->ops->tick(conn->engine, now);
	if (now >= conn->until && conn->state != FC_CONN_CLOSING)
		give_up(
		    conn, conn->config->client ? "connecting timed out" : "the peer said nothing");
	else if (is_stuck(conn, now))
		give_up(conn, "the peer takes no bytes any more");
	fc_conn_touch(conn);
}

/* ---- life ---- */

static void
start(fc_conn *conn, fc_loop *loop, const fc_conn_events *events, const fc_engine_config *config,
    fc_conn_state state, uint64_t timeout_ns)
{
	memset(conn, 0, sizeof *conn);
	conn->loop = loop;
	conn->events = events;
	conn->config = config;
	conn->state = state;
	conn->flush.run = flush;
	conn->until = timeout_ns == FC_NEVER ? FC_NEVER : fc_loop_now(loop) + timeout_ns;
	fc_timer_init(&conn->timer, on_timer);
}

static farcall_code
started(fc_conn *conn, fc_error *error)
{
	if (conn->pipe == NULL) {
		conn->state = FC_CONN_CLOSED;
		return error->code;
	}
	fc_conn_touch(conn);
	return FARCALL_OK;
}

farcall_code
fc_conn_accept(fc_conn *conn, fc_loop *loop, fc_accepted *accepted, const fc_conn_events *events,
    const fc_engine_config *config, fc_error *error)
{
	start(conn, loop, events, config, FC_CONN_PICKING, FC_CONN_HANDSHAKE_NS);
	conn->pipe = fc_pipe_adopt(loop, accepted, &pipe_events, conn, error);
	return started(conn, error);
}

farcall_code
fc_conn_connect(fc_conn *conn, fc_loop *loop, const fc_place *place, const fc_conn_events *events,
    const fc_engine_config *config, uint64_t timeout_ns, fc_error *error)
{
	start(conn, loop, events, config, FC_CONN_CONNECTING, timeout_ns);
	conn->pipe = fc_pipe_connect(loop, place, &pipe_events, conn, error);
	return started(conn, error);
}

void
fc_conn_set_peer_timeout(fc_conn *conn, unsigned ms)
{
	if (conn->pipe != NULL && conn->pipe->ops->set_peer_timeout != NULL)
		conn->pipe->ops->set_peer_timeout(conn->pipe, ms);
}

void
fc_conn_ready(fc_conn *conn)
{
	if (conn->state == FC_CONN_OPEN)
		conn->until = FC_NEVER;
}

void
fc_conn_drain(fc_conn *conn, const char *why)
{
	if (conn->state == FC_CONN_OPEN)
		conn->ops->drain(conn->engine, fc_loop_now(conn->loop), why);
	else
		begin_close(conn, NULL);
	fc_conn_touch(conn);
}

void
fc_conn_close(fc_conn *conn, farcall_code code, const char *text)
{
	if (conn->state == FC_CONN_OPEN)
		conn->ops->close(conn->engine, code, text);
	begin_close(conn, NULL);
	conn->patient = false;
	conn->until = earlier(conn->until, fc_loop_now(conn->loop) + FC_CONN_LINGER_NS);
	fc_conn_touch(conn);
}

void
fc_conn_kill(fc_conn *conn)
{
	if (conn->state == FC_CONN_CLOSED)
		return;
	begin_close(conn, NULL);
	conn->lost = true;
	fc_conn_touch(conn);
}

bool
fc_conn_drop(fc_conn *conn)
{
	if (conn->flush.queued)
		return false;
	if (conn->state == FC_CONN_OPEN) {
		conn->ops->close(conn->engine, FARCALL_OK, "");
		write_out(conn);
	}
	release(conn);
	return true;
}

void
fc_conn_peer(const fc_conn *conn, fc_peer *peer)
{
	memset(peer, 0, sizeof *peer);
	peer->uid = peer->gid = peer->pid = -1;
	if (conn->pipe != NULL)
		conn->pipe->ops->peer(conn->pipe, peer);
}
