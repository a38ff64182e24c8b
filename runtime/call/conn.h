/*
 * conn.h: a connection: a pipe, an engine, and the loop that turns them. Server and client embed
 * one and give the engine's events; the connection moves bytes, keeps the engine's timers, writes
 * once a turn, stops reading while output is congested, and closes in order: flush, shut down, read
 * to the end of the stream or one second, close. Without an error the flush goes on as long as the
 * peer takes some of it every ten seconds, so that a last answer that is slow to go is not lost.
 *
 * All of it is for the owner of the loop.
 */
#ifndef FC_CALL_CONN_H
#define FC_CALL_CONN_H

#include "runtime/loop/loop.h"
#include "runtime/protocol/protocol.h"
#include "runtime/transport/transport.h"

typedef enum fc_conn_state {
	FC_CONN_CONNECTING, /* client: the pipe is not open yet */
	FC_CONN_PICKING,    /* server: waits for the first bytes, that tell the protocol */
	FC_CONN_OPEN,
	FC_CONN_CLOSING, /* the engine is done: flush, shut down, linger */
	FC_CONN_CLOSED
} fc_conn_state;

typedef struct fc_conn fc_conn;

typedef struct fc_conn_events {
	const fc_engine_events *engine; /* `owner` of its events is the fc_conn */
	const fc_engine_ops *ops;       /* NULL: ours; tests put another engine here */

	/* May be NULL. It has written what could be written. The owner may free nothing here. */
	void (*on_flushed)(fc_conn *conn);

	/* The connection is over, for `why` (code OK: it was closed on purpose). The streams have
	 * had their on_abort before. The last event; never inside a call of the owner's into the
	 * connection. The owner may free the memory that holds it. */
	void (*on_closed)(fc_conn *conn, const fc_error *why);
} fc_conn_events;

struct fc_conn {
	fc_loop *loop;
	fc_pipe *pipe;
	const fc_engine_ops *ops;
	fc_engine *engine; /* NULL while connecting or picking */
	const fc_conn_events *events;
	const fc_engine_config *config; /* must outlive the connection */
	fc_task flush;
	fc_timer timer;
	fc_conn_state state;
	bool reading;   /* the pipe gives bytes */
	bool blocked;   /* a write was short */
	bool patient;   /* closing: waits for the flush as long as it moves */
	bool shut;      /* our end of the stream has been sent */
	bool ended;     /* the peer's end of the stream has come */
	bool lost;      /* the pipe has broken */
	uint64_t stuck; /* when a peer that takes nothing is given up, while blocked; 0: none */
	uint64_t until; /* of the handshake, the flush or the linger; FC_NEVER */
	fc_error why;   /* the first reason to end */
	uint8_t first[24];
	size_t n_first; /* bytes that wait for the pick */
};

/* What a peer may send ahead on all streams together: as much as can be said. It would bound no
 * memory, since it is credited as bytes come (streams bound that), but the peer could run out of
 * it: and proxies that do then stop reading, also what would open it again. */
#define FC_CONN_WINDOW 0x7fffffffu

#define FC_CONN_HANDSHAKE_NS (10 * FC_NS_PER_S) /* until the first bytes tell the protocol */
#define FC_CONN_STUCK_NS (60 * FC_NS_PER_S)     /* open: a peer that takes no byte */
#define FC_CONN_UNSENT_NS (10 * FC_NS_PER_S)    /* closing: likewise */
#define FC_CONN_LINGER_NS FC_NS_PER_S           /* closing: for the peer's end */

/* Server: takes `accepted`. On failure nothing is left and no event comes. */
farcall_code fc_conn_accept(fc_conn *conn, fc_loop *loop, fc_accepted *accepted,
    const fc_conn_events *events, const fc_engine_config *config, fc_error *error);

/* Client: begins to connect to `place`, for at most `timeout_ns`, the peer's first SETTINGS
 * included (the engine's on_ready). On failure nothing is left and no event comes. */
farcall_code fc_conn_connect(fc_conn *conn, fc_loop *loop, const fc_place *place,
    const fc_conn_events *events, const fc_engine_config *config, uint64_t timeout_ns,
    fc_error *error);

/* A peer that does not acknowledge what was sent for so long is dead; 0: the system's rule. */
void fc_conn_set_peer_timeout(fc_conn *conn, unsigned ms);

/* Client: the peer has introduced itself: the time to connect no longer runs. */
void fc_conn_ready(fc_conn *conn);

/* Something was given to the engine: it is written at the end of the turn. */
static inline void
fc_conn_touch(fc_conn *conn)
{
	fc_loop_flush_later(conn->loop, &conn->flush);
}

/* The same between turns, where nothing waits for the end of one: it is written now. */
void fc_conn_write_now(fc_conn *conn);

/* In a task of the loop: so much was given that the peer should have it before the turn ends. */
void fc_conn_write_early(fc_conn *conn);

/* The engine's on_dead and on_drained belong here: they begin the close. */
void fc_conn_dead(void *conn, const fc_error *why);
void fc_conn_drained(void *conn);

/* No new calls; those under way go on; then it closes by itself. A server tells its client `why`,
 * which outlives the connection. */
void fc_conn_drain(fc_conn *conn, const char *why);

/* Ends it now: GOAWAY with this reason, flush for a second at most, close. on_closed follows. Also
 * hurries one that closes already. The streams have no events any more: their owner ends its calls
 * first. */
void fc_conn_close(fc_conn *conn, farcall_code code, const char *text);

/* Ends it without flush or linger; on_closed follows in the next flush of the loop. */
void fc_conn_kill(fc_conn *conn);

/* Ends it without any event, not inside one of the pipe's or the engine's: says GOAWAY as far as
 * that can be written at once, and gives everything back; the owner may free the memory. false: its
 * flush is queued, so it must be killed instead. */
bool fc_conn_drop(fc_conn *conn);

/* "ipv4:…" of the peer; valid until closed. */
void fc_conn_peer(const fc_conn *conn, fc_peer *peer);

#endif
