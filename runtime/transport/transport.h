/*
 * transport.h: byte pipes, listeners, and the look-up of names. What a pipe is made of (TCP, unix
 * socket, inherited descriptor, memory) and what filters stand on it does not show above.
 *
 * All of it is for the owner of the loop that it was made for.
 */
#ifndef FC_TRANSPORT_TRANSPORT_H
#define FC_TRANSPORT_TRANSPORT_H

#include "runtime/base/bytes.h"
#include "runtime/loop/loop.h"
#include "runtime/transport/address.h"

/* ---- pipes ---- */

typedef struct fc_pipe fc_pipe;

typedef struct fc_peer {
	char text[128];        /* "ipv4:127.0.0.1:51034", "unix:", "mem:name" */
	bool has_ids;          /* the platform told who is at the other end */
	bool local;            /* loopback, unix, mem */
	int64_t uid, gid, pid; /* -1: not known */
} fc_peer;

/* Upward, from the loop's turn; never inside a downward call. */
typedef struct fc_pipe_events {
	void (*on_open)(
	    void *owner); /* connected; not for accepted pipes, which are open at once */

	/* Bytes live until it returns. At most FC_LOOP_SCRATCH of them a turn. */
	void (*on_bytes)(void *owner, const uint8_t *bytes, size_t size);

	void (*on_end)(void *owner);      /* the peer has shut down its sending side */
	void (*on_writable)(void *owner); /* after a short write */

	/* Connecting failed, or the pipe broke. The last event; close() is still to be called. */
	void (*on_lost)(void *owner, const fc_error *why);
} fc_pipe_events;

typedef struct fc_pipe_ops {
	const char *name; /* "socket", "mem", "chop" */

	/* Writes what can be taken now, at most 64 pieces at once; answers how many bytes were
	 * taken. Short: on_writable follows once. A broken pipe takes everything or nothing and
	 * on_lost follows. */
	size_t (*write)(fc_pipe *pipe, const fc_piece *pieces, size_t n);

	/* Starts or stops on_bytes and on_end. Pipes begin with reading off. */
	void (*read)(fc_pipe *pipe, bool on);

	/* Sends the end of the stream behind what was written. */
	void (*shutdown)(fc_pipe *pipe);

	/* Ends it, and frees the pipe once that is safe; no event follows. Allowed in an event. */
	void (*close)(fc_pipe *pipe);

	void (*peer)(const fc_pipe *pipe, fc_peer *peer);

	/* What was sent and is not acknowledged for so long means that the peer is dead: on_lost.
	 * 0: the system's own rule. NULL: what this is made of always knows when its peer goes. */
	void (*set_peer_timeout)(fc_pipe *pipe, unsigned ms);
} fc_pipe_ops;

struct fc_pipe {
	const fc_pipe_ops *ops;
	const fc_pipe_events *events;
	void *owner;
};

/* ---- client side ---- */

/* A pipe that connects: on_open or on_lost follows. NULL and `error` if it cannot even begin. The
 * owner keeps the time. */
fc_pipe *fc_pipe_connect(fc_loop *loop, const fc_place *place, const fc_pipe_events *events,
    void *owner, fc_error *error);

/* The places behind an address, in order of preference (RFC 6724, as getaddrinfo gives them). Never
 * inside the call: `done` runs as a task, once; `error` NULL on success. Literals, unix, fd and mem
 * need no look-up and start no thread. */
typedef struct fc_lookup fc_lookup;
typedef void fc_lookup_done(void *owner, const fc_place *places, size_t n, const fc_error *error);
fc_lookup *fc_lookup_start(
    fc_loop *loop, const fc_address *address, fc_lookup_done *done, void *owner, fc_error *error);
void fc_lookup_cancel(
    fc_lookup *lookup); /* before done: it will not come. The result is freed later */

/* ---- server side ---- */

typedef struct fc_listener fc_listener;

typedef struct fc_listen_options {
	unsigned unix_mode; /* 0: 0600 */
	int backlog;        /* 0: 1024 */
} fc_listen_options;

/* A connection accepted, not yet on a loop: it may be adopted by the loop of another thread. */
typedef struct fc_accepted fc_accepted;

/* Takes the sockets of every address of the name now; accepts nothing. Blocks for the look-up of a
 * host name. Families that the host lacks are skipped with a log line; at least one address must
 * bind; address in use on any fails all. Port 0 is one number for all. */
fc_listener *fc_listener_open(const fc_address *address, fc_error *error);
size_t fc_listener_count(const fc_listener *listener);
const fc_place *fc_listener_place(
    const fc_listener *listener, size_t i); /* real: port 0 replaced */
void fc_listener_set_mode(fc_listener *listener, unsigned mode);

/* Accepts from now on, on `loop`: at most 64 connections a turn. Out of descriptors it backs off
 * 100 ms and logs once a second. */
farcall_code fc_listener_start(fc_listener *listener, fc_loop *loop,
    void (*on_accept)(void *owner, fc_accepted *accepted), void *owner, fc_error *error);
void fc_listener_pause(fc_listener *listener, bool pause);

/* Stops accepting and frees; removes a unix socket's file if it is still its own. */
void fc_listener_close(fc_listener *listener);

/* The accepted connection as a pipe on `loop` (any loop, in its owner's thread). Takes `accepted`
 * in any case. */
fc_pipe *fc_pipe_adopt(fc_loop *loop, fc_accepted *accepted, const fc_pipe_events *events,
    void *owner, fc_error *error);
void fc_accepted_refuse(fc_accepted *accepted); /* closes it. Any thread */

/* ---- filters ---- */

/* For tests: every pipe made from now on passes through what `wrap` makes of it (it may give the
 * pipe itself). NULL: none. */
void fc_pipe_set_wrap(
    fc_pipe *(*wrap)(fc_loop *loop, fc_pipe *lower, bool client, void *data), void *data);

#endif
