/*
 * protocol.h: the seam between wires and calls. A call is, in each direction, a head, messages and
 * a tail: one vocabulary for every wire.
 *
 * An engine is one connection's protocol, client or server. It works on bytes alone: it touches no
 * socket, clock, lock or random source; time is handed in (nanoseconds, monotonic). It belongs to
 * one thread at a time.
 *
 * Rules that hold for every engine:
 *   - Events are raised inside input(), end() and tick() only, never inside another downward call.
 *     In an event every downward call is allowed, but input(), end(), tick(), output() and free().
 *   - What an event shows (head, bytes, tail, texts) lives until the event returns.
 *   - A stream is held by its owner from open() or on_request until release(); the engine keeps the
 *     object at least that long, whatever the wire does. Downward calls on a stream that the wire
 * has ended do nothing and answer FC_SEND_GONE. release() of a stream that has not ended resets it
 *     (CANCEL). No event comes for a released stream.
 *   - A stream ends for its owner with exactly one of: on_tail (client), on_abort (either side). On
 * a server a call that was answered in full has no such event: it is over when send_tail() was
 * called and the owner releases it.
 *   - Memory comes from config.pool. Running out of it aborts the stream or, if need be, the
 *     connection; it never loses track.
 *   - Everything that a peer can make grow has a cap here or in the engine's own header.
 */
#ifndef FC_PROTOCOL_PROTOCOL_H
#define FC_PROTOCOL_PROTOCOL_H

#include "runtime/base/bytes.h"
#include "runtime/base/error.h"
#include "runtime/base/pool.h"

typedef struct fc_engine fc_engine; /* each engine has its own struct behind this name */

/* One pair of metadata. Names are lower case. On the wire "-bin" values are base64: received, they
 * are shown as they came (FC_PAIR_BASE64 is set, several may be joined by ','); to be sent, they
 * are raw bytes with FC_PAIR_BINARY set, and the engine encodes them. */
enum { FC_PAIR_BASE64 = 1, FC_PAIR_BINARY = 2, FC_PAIR_SENSITIVE = 4 };

typedef struct fc_pair {
	const char *name, *value; /* no NUL at the end */
	uint32_t name_size, value_size;
	uint32_t flags;
} fc_pair;

typedef struct fc_text {
	const char *at;
	size_t size;
} fc_text;

/* Codings of messages, as bits. */
enum fc_coding {
	FC_CODING_IDENTITY = 1, /* as they are */
	FC_CODING_GZIP = 2,     /* RFC 1952 */
	FC_CODING_DEFLATE = 4,  /* zlib's format, RFC 1950 */
	FC_CODING_OTHER = 8     /* one that we do not know */
};

/* A head received. Fields that the protocol itself uses are not among the metadata; user-agent is.
 */
typedef struct fc_head {
	const void
	    *method; /* server: what events.lookup gave for the path; NULL: it knows no such path */
	fc_text path;        /* server */
	fc_text authority;   /* server; may be empty */
	uint64_t timeout_ns; /* server: relative to the head's arrival; FC_NEVER: none */
	size_t n_metadata;
	const fc_pair *metadata;
} fc_head;

/* A head to be sent by a client: path such as "/demo.Greeter/SayHello". */
typedef struct fc_request {
	fc_text path;
	uint64_t timeout_ns; /* remaining; FC_NEVER: none. Rounded up to what the wire can say */
	size_t n_metadata;
	const fc_pair *metadata;
	unsigned coding; /* GZIP or DEFLATE: of its messages; else they are sent as they are */
} fc_request;

/* How a call ended, on the wire (client: received, server: to be sent). */
typedef struct fc_tail {
	farcall_code code;
	fc_text message; /* decoded UTF-8; may be empty */
	size_t n_metadata;
	const fc_pair *metadata;
	farcall_cause cause; /* received without a status of the peer's own: why (else NONE) */
} fc_tail;

/* A stream that ends otherwise: reset, lost, over a limit, malformed. On a server the engine has
 * answered the peer already, if it still could. */
typedef struct fc_abort {
	farcall_code code;
	farcall_cause cause;
	const char *text; /* NUL at the end */
	bool unseen;      /* client: the server's application surely never saw this call */
	bool unsent;      /* client: nor has any of it left: the connection was lost before */
} fc_abort;

/* A message about to be sent. The engine first asks for `flat` when the whole of it fits one frame
 * and the windows; else for `pour`, which gives the same bytes in pieces. */
typedef struct fc_sink {
	void (*add)(struct fc_sink *sink, const uint8_t *bytes, size_t size);
} fc_sink;

typedef struct fc_payload {
	size_t size; /* of the message; flat and pour give exactly so many bytes */
	void (*flat)(const struct fc_payload *payload, uint8_t *to);
	void (*pour)(const struct fc_payload *payload, fc_sink *sink);
	const void *message; /* for flat and pour */
} fc_payload;

typedef enum fc_send {
	FC_SEND_OK,        /* framed, or wholly in the connection's output */
	FC_SEND_WAITING,   /* taken, but part of it waits for the peer's window: on_sent will follow
	                    */
	FC_SEND_GONE,      /* the stream has ended: nothing was taken */
	FC_SEND_NO_MEMORY, /* nothing was taken; the owner should abort the stream */
	FC_SEND_TOO_LARGE  /* head or tail: nothing was taken; the stream stands. See refusal() */
} fc_send;

/* What the owner may see of a stream; engines put it first in their own. */
typedef struct fc_stream {
	void *user;         /* the owner's; set in on_request, or given to open() */
	size_t max_message; /* from config; on_request may lower it */

	/* Server; on_request may set it: the client may be silent between two messages, or before
	 * the first one, for as long as it likes. Else a request that stops is ended. */
	bool may_pause;

	/* The owner's. `raw`: on_message shows compressed messages as they came, and the owner
	 * inflates each when it takes it (grpc/coding.h). Whoever may keep more than one message
	 * sets it, for windows count bytes as they came: what he keeps would not be bounded. */
	uint8_t coding; /* server, until the head is sent: FC_CODING_*, used if the client takes
	                 * it; 0: none */
	bool plain;     /* messages are sent as they are, whatever the coding */
	bool raw;

	/* The engine's. */
	bool compressed;     /* in on_message: this one was; if `raw`, it still is */
	uint8_t accepts;     /* server: codings that the client takes */
	uint8_t peer_coding; /* of the messages that come compressed */
} fc_stream;

typedef struct fc_engine_events {
	/* Server: what the path means, asked once for each new header field, not for each call. */
	const void *(*lookup)(void *owner, const char *path, size_t size);

	/* Server: a call arrived. Sets stream->user. send_tail() refuses it at once. */
	void (*on_request)(void *owner, fc_stream *stream, const fc_head *head);

	/* Client: the response's head (never for a trailers-only response). */
	void (*on_head)(void *owner, fc_stream *stream, const fc_head *head);

	/* A whole message. Its window is credited when the owner calls taken(). */
	void (*on_message)(void *owner, fc_stream *stream, const uint8_t *bytes, size_t size);

	/* Server: the client will send no more messages. */
	void (*on_half_close)(void *owner, fc_stream *stream);

	/* Client: the status arrived: the end. */
	void (*on_tail)(void *owner, fc_stream *stream, const fc_tail *tail);

	/* The end, otherwise. */
	void (*on_abort)(void *owner, fc_stream *stream, const fc_abort *abort);

	/* After FC_SEND_WAITING: everything given to send_message() has been framed. */
	void (*on_sent)(void *owner, fc_stream *stream);

	/* Client: the peer has introduced itself (its first SETTINGS): the connection is ready. */
	void (*on_ready)(void *owner);

	/* Client: open() may succeed again after it answered NULL. */
	void (*on_capacity)(void *owner);

	/* The peer will take no new calls (GOAWAY). Calls that it will not serve are aborted,
	 * `unseen`, by events of their own; the others go on. */
	void (*on_goaway)(void *owner, const fc_error *why);

	/* Client: the peer says that our PINGs, every `keepalive_ns`, come too often; on_goaway
	 * follows, unless it has been. May be NULL. */
	void (*on_too_many_pings)(void *owner, uint64_t keepalive_ns);

	/* drain() is complete: no stream is left and the peer knows of it. */
	void (*on_drained)(void *owner);

	/* The connection is of no more use; every stream has had its on_abort. What output() still
	 * holds (GOAWAY) should be written before the pipe is closed. Once. */
	void (*on_dead)(void *owner, const fc_error *why);
} fc_engine_events;

typedef struct fc_engine_config {
	bool client;
	fc_pool *pool;
	size_t max_message;           /* bytes of a message received, before unpacking */
	size_t max_metadata;          /* bytes of a header list received, 32 a field counted */
	uint32_t max_streams;         /* server: calls at a time that the peer may have open */
	uint32_t stream_window;       /* bytes that a stream's peer may send ahead */
	uint32_t connection_window;   /* the same for all streams together */
	uint64_t settings_timeout_ns; /* the peer must acknowledge our settings in this time */
	const char *authority;        /* client: of every call; lives as long as the engine */
	const char *user_agent;       /* client */
	const char *scheme;           /* client: "http" or "https" */

	/* When no byte has come for so long the peer is asked for one; when none has come for the
	 * time-out after that it is dead (on_dead, TIMED_OUT). 0: never. */
	uint64_t keepalive_ns, keepalive_timeout_ns;
	bool keepalive_without_calls;

	/* Server: the time that the peer should leave between its own such questions; 0: any. And
	 * whether it may ask like that without calls; else it is two hours then. */
	uint64_t ping_interval_ns;
	bool pings_without_calls;

	unsigned codings; /* GZIP, DEFLATE or both: taken from the peer; 0: none */
} fc_engine_config;

typedef struct fc_engine_ops {
	const char *name; /* "h2" */

	/* NULL: out of memory. `config` is copied; `events` and `owner` must outlive the engine. */
	fc_engine *(*open)(const fc_engine_config *config, const fc_engine_events *events,
	    void *owner, uint64_t now);

	/* No event is raised; streams that the owner still holds are gone with it. */
	void (*free)(fc_engine *engine);

	/* Bytes that arrived; all are taken. After on_dead they are ignored. */
	void (*input)(fc_engine *engine, const uint8_t *bytes, size_t size, uint64_t now);

	/* The peer will send no more bytes, or the pipe is lost for the reason given (may be NULL).
	 */
	void (*end)(fc_engine *engine, const fc_error *why);

	/* When tick() is due, FC_NEVER if no timer runs. */
	uint64_t (*due)(const fc_engine *engine);
	void (*tick)(fc_engine *engine, uint64_t now);

	/* End of a turn: frees what can be freed, frames what waited, and shows at most `most`
	 * pieces of output, in order; they stay until wrote() or another call changes the engine.
	 */
	size_t (*output)(fc_engine *engine, fc_piece *pieces, size_t most);
	void (*wrote)(fc_engine *engine, size_t size); /* so many bytes of them have been written */

	/* So much output stands unwritten that the owner must not read on for now. */
	bool (*congested)(const fc_engine *engine);

	/* Bytes of messages given that the peer's windows keep back: memory that it makes us hold.
	 * May be NULL: none. */
	size_t (*backlog)(const fc_engine *engine);

	/* Client: a new stream; its head is sent at once. NULL: none may be opened now (the peer's
	 * limit, GOAWAY, numbers used up, dead: see can_open()), or the head is too large (see
	 * refusal()), or no memory. */
	fc_stream *(*open_stream)(fc_engine *engine, const fc_request *request, void *user);

	/* Client: how many streams could be opened now; 0 for ever once the connection is going
	 * away. */
	uint32_t (*can_open)(const fc_engine *engine);

	/* After open_stream() answered NULL or a send FC_SEND_TOO_LARGE: true, and `why` is set,
	 * with both sizes, if it was because the peer would not take so much metadata. May be NULL:
	 * the engine never refuses for that. */
	bool (*refusal)(const fc_engine *engine, fc_error *why);

	/* Client: it can open none any more, whatever the peer allows: its numbers are used up, or
	 * it is going away. Else, when can_open() is 0, on_capacity will tell. */
	bool (*used_up)(const fc_engine *engine);

	/* Server: the response's head; implied by the first message. */
	fc_send (*send_head)(
	    fc_engine *engine, fc_stream *stream, size_t n, const fc_pair *metadata);

	/* `last` (client): no message will follow; half-closes in the same frame. */
	fc_send (*send_message)(
	    fc_engine *engine, fc_stream *stream, const fc_payload *payload, bool last);

	/* Client: no message will follow. */
	fc_send (*half_close)(fc_engine *engine, fc_stream *stream);

	/* Server: ends the call. Without a head or message sent before: trailers only. */
	fc_send (*send_tail)(fc_engine *engine, fc_stream *stream, const fc_tail *tail);

	/* Ends the stream now, if it has not ended: CANCELLED, DEADLINE_EXCEEDED and so on become
	 * what the wire can say. No event follows. */
	void (*abort)(fc_engine *engine, fc_stream *stream, farcall_code code);

	/* The owner has taken messages of so many bytes (on_message's sizes): credits the window.
	 * Empty ones are taken too (0): a peer that sends only these is held back otherwise. */
	void (*taken)(fc_engine *engine, fc_stream *stream, size_t size);

	void (*release)(fc_engine *engine, fc_stream *stream);

	/* No new streams; those under way go on. Server: GOAWAY in two steps, one round trip apart,
	 * with `text`, which outlives the engine. */
	void (*drain)(fc_engine *engine, uint64_t now, const char *text);

	/* Ends the connection now: GOAWAY with this reason; on_dead is not raised. */
	void (*close)(fc_engine *engine, farcall_code code, const char *text);
} fc_engine_ops;

extern const fc_engine_ops fc_h2_engine; /* protocol/grpc/engine.c */

#endif
