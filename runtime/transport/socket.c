/*
 * socket.c: a pipe that is a stream socket.
 *
 * libuv only tells when the socket is ready; reading and writing are done here, one recv() for each
 * readiness and one sendmsg() for each write. What is asked of libuv changes only when it must: a
 * change costs two system calls. So a reader that pauses stays registered until the next bytes
 * come, and writability is asked for only after a short write.
 *
 * No event comes inside a downward call: what a call finds out is told by a task.
 */
#include "runtime/transport/pipe.h"

#include "runtime/base/alloc.h"
#include "runtime/transport/cause.h"

#define RETRY_NS (2 * FC_NS_PER_MS)
#define UNSENT_MOST (128u << 10) /* enough for a fast network until the loop's next turn */

typedef enum state { CONNECTING, OPEN, BROKEN, LOST } state;

typedef struct fc_socket {
	fc_pipe pipe;
	fc_loop *loop;
	fc_sock sock;
	fc_place peer;
	state state;
	int broken;   /* number of the error, once BROKEN */
	int interest; /* what libuv has been asked for */
	bool was_open;
	bool open_due;   /* on_open has to be told by the task */
	bool reading;    /* the owner wants bytes */
	bool ended;      /* the peer's end has come */
	bool want_write; /* the owner waits for on_writable */
	bool shut_later; /* the owner shut down before the pipe was open */
	bool closed;     /* by the owner: no more events */
	bool released;   /* libuv has let go of `poll` */
	fc_task task;
	fc_timer retry; /* a full backlog of a unix socket is no event to wait for */
	uv_poll_t poll;
} fc_socket;

static void on_poll(uv_poll_t *poll, int status, int events);

static fc_socket *
of(fc_pipe *pipe)
{
	return FC_CONTAINER(pipe, fc_socket, pipe);
}

/* ---- end ---- */

static void
free_if_done(fc_socket *s)
{
	if (s->closed && s->released && !s->task.queued)
		fc_free(s);
}

static void
on_released(uv_handle_t *handle)
{
	fc_socket *s = (fc_socket *)handle->data;

	s->released = true;
	free_if_done(s);
}

static void
socket_close(fc_pipe *pipe)
{
	fc_socket *s = of(pipe);

	s->closed = true;
	fc_loop_after_fork(s->loop);
	fc_timer_stop(s->loop, &s->retry);
	uv_close((uv_handle_t *)&s->poll, on_released);
	fc_sock_close(s->sock);
}

/* ---- what libuv is asked for ---- */

static void
ask(fc_socket *s, int interest)
{
	if (interest == s->interest)
		return;
	s->interest = interest;
	if (interest == 0)
		uv_poll_stop(&s->poll);
	else
		uv_poll_start(&s->poll, interest, on_poll);
}

static int
wanted(const fc_socket *s)
{
	if (s->state == CONNECTING)
		return s->retry.at != 0 ? 0 : UV_WRITABLE;
	if (s->state != OPEN)
		return 0;
	return (s->reading && !s->ended ? UV_READABLE : 0) | (s->want_write ? UV_WRITABLE : 0);
}

/* ---- failing ---- */

static void
tell_lost(fc_socket *s)
{
	fc_error error;

	s->state = LOST;
	ask(s, 0);
	fc_error_clear(&error);
	if (s->was_open)
		fc_fail_lost(&error, s->broken, "%s", fc_place_short(&s->peer));
	else
		fc_fail_lost(&error, s->broken, "connect %s", fc_place_short(&s->peer));
	s->pipe.events->on_lost(s->pipe.owner, &error);
}

static void
lose(fc_socket *s, int number)
{
	s->state = BROKEN;
	s->broken = number;
	tell_lost(s);
}

static void
lose_later(fc_socket *s, int number)
{
	s->state = BROKEN;
	s->broken = number;
	fc_loop_ready(s->loop, &s->task);
}

/* ---- opening ---- */

static void
opened(fc_socket *s)
{
	s->state = OPEN;
	s->was_open = true;
	if (s->shut_later)
		fc_sock_shutdown(s->sock);
	s->pipe.events->on_open(s->pipe.owner);
	if (!s->closed)
		ask(s, wanted(s));
}

static void
finish_connect(fc_socket *s)
{
	int number = fc_sock_error(s->sock);

	if (number == 0 && fc_sock_is_to_itself(s->sock, &s->peer))
		number = FC_E(ECONNREFUSED);
	if (number != 0)
		lose(s, number);
	else
		opened(s);
}

/* Answers what cannot be waited for. */
static int
try_connect(fc_socket *s)
{
	bool done = false;
	int number = fc_sock_connect(s->sock, &s->peer, &done);

	if (number == 0) {
		s->open_due = done;
		if (done)
			fc_loop_ready(s->loop, &s->task);
		else
			ask(s, UV_WRITABLE);
		return 0;
	}
	if (!fc_number_is_again(number))
		return number;
	return fc_timer_start(s->loop, &s->retry, fc_loop_now(s->loop) + RETRY_NS) ? 0 : number;
}

static void
run_retry(fc_timer *timer)
{
	fc_socket *s = FC_CONTAINER(timer, fc_socket, retry);
	int number = try_connect(s);

	if (number != 0)
		lose(s, number);
}

static void
run_task(fc_task *task)
{
	fc_socket *s = FC_CONTAINER(task, fc_socket, task);

	if (s->closed)
		free_if_done(s);
	else if (s->state == BROKEN)
		tell_lost(s);
	else if (s->open_due) {
		s->open_due = false;
		opened(s);
	}
}

/* ---- moving bytes ---- */

static void
receive(fc_socket *s)
{
	uint8_t *scratch = fc_loop_scratch(s->loop);
	size_t size = 0;
	int number = fc_sock_receive(s->sock, scratch, FC_LOOP_SCRATCH, &size);

	if (number != 0) {
		if (!fc_number_is_again(number))
			lose(s, number);
		return;
	}
	if (size != 0) {
		s->pipe.events->on_bytes(s->pipe.owner, scratch, size);
		return;
	}
	s->ended = true;
	s->pipe.events->on_end(s->pipe.owner);
}

/* libuv stops watching a socket that is in error; the error itself is found by reading, behind the
 * bytes that came before it. */
static void
on_failed(fc_socket *s)
{
	int number;

	s->interest = 0;
	if (s->reading && !s->ended) {
		receive(s);
		return;
	}
	number = fc_sock_error(s->sock);
	lose(s, number != 0 ? number : FC_E(ECONNRESET));
}

static void
on_ready(fc_socket *s, int events)
{
	if ((events & UV_WRITABLE) != 0 && s->want_write) {
		s->want_write = false;
		s->pipe.events->on_writable(s->pipe.owner);
	}
	if ((events & UV_READABLE) != 0 && !s->closed && s->state == OPEN && s->reading &&
	    !s->ended)
		receive(s);
}

static void
on_poll(uv_poll_t *poll, int status, int events)
{
	fc_socket *s = (fc_socket *)poll->data;

	fc_loop_awake(s->loop);
	if (s->state == CONNECTING) {
		if (status < 0)
			s->interest = 0;
		finish_connect(s);
		return;
	}
	if (s->state != OPEN)
		return;
	if (status < 0)
		on_failed(s);
	else
		on_ready(s, events);
	if (!s->closed)
		ask(s, wanted(s));
}

static size_t
size_of(const fc_piece *pieces, size_t n)
{
	size_t size = 0;

	for (size_t i = 0; i < n; i++)
		size += pieces[i].size;
	return size;
}

static size_t
socket_write(fc_pipe *pipe, const fc_piece *pieces, size_t n)
{
	fc_socket *s = of(pipe);
	size_t written = 0;

	if (s->state == CONNECTING) {
		s->want_write = true;
		return 0;
	}
	for (size_t i = 0; i < n && s->state == OPEN; i += FC_SEND_PIECES) {
		size_t batch = FC_MIN(n - i, FC_SEND_PIECES), sent = 0;
		int number = fc_sock_send(s->sock, pieces + i, batch, &sent);

		if (number != 0 && !fc_number_is_again(number)) {
			lose_later(s, number);
			break;
		}
		written += sent;
		if (sent < size_of(pieces + i, batch)) {
			s->want_write = true;
			ask(s, s->interest | UV_WRITABLE);
			return written;
		}
	}
	return s->state == OPEN ? written : size_of(pieces, n);
}

static void
socket_read(fc_pipe *pipe, bool on)
{
	fc_socket *s = of(pipe);

	s->reading = on;
	if (on && s->state == OPEN)
		ask(s, s->interest | wanted(s));
}

static void
socket_shutdown(fc_pipe *pipe)
{
	fc_socket *s = of(pipe);
	int number;

	if (s->state == CONNECTING)
		s->shut_later = true;
	if (s->state != OPEN)
		return;
	number = fc_sock_shutdown(s->sock);
	if (number != 0 && number != FC_E(ENOTCONN))
		lose_later(s, number);
}

static void
socket_peer(const fc_pipe *pipe, fc_peer *peer)
{
	const fc_socket *s = of((fc_pipe *)(uintptr_t)pipe);

	memset(peer, 0, sizeof *peer);
	peer->uid = peer->gid = peer->pid = -1;
	memcpy(peer->text, s->peer.text, sizeof peer->text);
	peer->local = fc_place_is_local(&s->peer);
	if (s->peer.kind == FC_PLACE_UNIX)
		fc_sock_peer_ids(s->sock, peer);
}

/* Where the system cannot do it, its own limit holds. */
static void
socket_set_peer_timeout(fc_pipe *pipe, unsigned ms)
{
	fc_socket *s = of(pipe);

	if (s->peer.kind == FC_PLACE_INET && ms != 0)
		(void)fc_sock_set_peer_timeout(s->sock, ms);
}

/* ---- beginning ---- */

static const fc_pipe_ops socket_ops = {
    "socket",
    socket_write,
    socket_read,
    socket_shutdown,
    socket_close,
    socket_peer,
    socket_set_peer_timeout,
};

/* Takes the socket in any case. */
static fc_socket *
make(fc_loop *loop, fc_sock sock, const fc_place *peer, fc_error *error)
{
	fc_socket *s = (fc_socket *)fc_calloc(1, sizeof *s);
	int rc;

	if (s == NULL) {
		fc_fail_memory(error, "connection");
		fc_sock_close(sock);
		return NULL;
	}
	rc = uv_poll_init_socket(fc_loop_uv(loop), &s->poll, sock);
	if (rc != 0) {
		fc_fail(error, FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_SYSTEM, "watch %s: %s",
		    fc_place_short(peer), uv_err_name(rc));
		fc_sock_close(sock);
		fc_free(s);
		return NULL;
	}
	s->pipe.ops = &socket_ops;
	s->loop = loop;
	s->sock = sock;
	s->peer = *peer;
	s->task.run = run_task;
	fc_timer_init(&s->retry, run_retry);
	s->poll.data = s;
	if (peer->kind == FC_PLACE_INET) {
		fc_sock_set_nodelay(sock);
		fc_sock_set_unsent(sock, UNSENT_MOST);
	}
	return s;
}

fc_pipe *
fc_socket_connect(fc_loop *loop, const fc_place *place, const fc_pipe_events *events, void *owner,
    fc_error *error)
{
	fc_socket *s;
	fc_sock sock;
	int number = fc_sock_open(fc_place_family(place), &sock);

	if (number != 0) {
		fc_fail_lost(error, number, "connect %s", fc_place_short(place));
		return NULL;
	}
	s = make(loop, sock, place, error);
	if (s == NULL)
		return NULL;
	s->pipe.events = events;
	s->pipe.owner = owner;
	s->state = CONNECTING;
	number = try_connect(s);
	if (number != 0)
		lose_later(s, number);
	return &s->pipe;
}

fc_pipe *
fc_socket_adopt(fc_loop *loop, fc_sock sock, const fc_place *peer, bool told,
    const fc_pipe_events *events, void *owner, fc_error *error)
{
	fc_socket *s = make(loop, sock, peer, error);

	if (s == NULL)
		return NULL;
	s->pipe.events = events;
	s->pipe.owner = owner;
	s->state = told ? CONNECTING : OPEN;
	s->was_open = !told;
	s->open_due = told;
	if (told)
		fc_loop_ready(loop, &s->task);
	return &s->pipe;
}
