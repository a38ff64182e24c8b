/*
 * connection.h: one HTTP/2 connection and its streams, as all of h2/ and grpc/ see them. One file
 * for each direction and concern works on them; the functions stand here under the file's name.
 *
 * The life of a stream: on the wire it is over when both ends have ended it or one has reset it
 * (fc_h2_closed()); for its owner when OVER is set; the object goes at the end of the turn in which
 * it is closed and no longer HELD. So a stream may be looked at after any event.
 *
 * Frames are handled as they are complete, and DATA as it comes: what happens depends on the bytes,
 * not on how they were cut.
 */
#ifndef FC_PROTOCOL_H2_CONNECTION_H
#define FC_PROTOCOL_H2_CONNECTION_H

#include "runtime/base/buf.h"
#include "runtime/base/list.h"
#include "runtime/base/map.h"
#include "runtime/protocol/h2/chain.h"
#include "runtime/protocol/h2/hpack.h"
#include "runtime/protocol/h2/wire.h"

/* ---- caps ---- */

#define FC_H2_BLOCK_MOST 65536u      /* bytes of a header block, received or sent */
#define FC_H2_CONTINUATIONS_MOST 8u  /* frames that continue one header block */
#define FC_H2_SETTINGS_MOST 32u      /* entries of a SETTINGS frame */
#define FC_H2_OUTPUT_MOST (1u << 20) /* unwritten bytes: then DATA waits */
#define FC_H2_CONGESTED                                                                       \
	(FC_H2_OUTPUT_MOST + 65536u)           /* … and then reading stops. Above what DATA \
	  can reach: two peers that wait in order to write must not both stop reading */
#define FC_H2_OVERTAKEN_LEAST FC_H2_FRAME_SIZE /* unwritten bytes from which on it is worth it */
#define FC_H2_INDUCED_MOST 1000u /* unwritten frames that the peer made us send: the same */
#define FC_H2_INDUCED_END 10000u /* … and then the connection ends */
#define FC_H2_RESETS_BURST 1000u /* resets taken at once, and then a second */
#define FC_H2_RESETS_RATE 33u
#define FC_H2_STREAMS_AT_FIRST 100u /* client: before the server has told its limit */
#define FC_H2_EMPTIES_MOST 1024u    /* messages without a byte that an owner may leave untaken */
#define FC_H2_GATHERED_MOST (64u << 20) /* server: bytes of requests that are not whole yet */
#define FC_H2_INFLATED_MOST (64u << 20) /* server: bytes of calls' compressed requests … */
#define FC_H2_INFLATED_FREE 16u         /* … beyond so many times what came of them */
#define FC_H2_PATIENCE_S 60u /* an answer of which the peer takes nothing, a request that stops */
#define FC_H2_PATIENCE_NS (FC_H2_PATIENCE_S * FC_NS_PER_S)

typedef struct fc_engine fc_h2;

/* ---- streams ---- */

enum {
	FC_STREAM_REMOTE_END = 1 << 0, /* the peer's END_STREAM has come */
	FC_STREAM_LOCAL_END = 1 << 1,  /* ours is in the output */
	FC_STREAM_RESET = 1 << 2,      /* either way: nothing more comes or goes */
	FC_STREAM_HELD = 1 << 3,       /* by its owner */
	FC_STREAM_OVER = 1 << 4,       /* for its owner: no event comes, nothing is sent */
	FC_STREAM_COUNTED = 1 << 5,    /* among `running` */
	FC_STREAM_HEAD_OUT = 1 << 6,   /* server: the response's head is in the output */
	FC_STREAM_HEAD_IN = 1 << 7,    /* client: the response's head has come */
	FC_STREAM_END_QUEUED = 1 << 8, /* half close or tail were given, behind `pending` */
	FC_STREAM_READY = 1 << 9,      /* on `ready`: has `pending` and window of its own */
	FC_STREAM_SENT_DUE = 1 << 10,  /* on_sent is owed */
	FC_STREAM_UNREAD = 1 << 11,    /* the owner has messages that it has not taken */
	FC_STREAM_GOING = 1 << 12,     /* on `going` */
	FC_STREAM_ENCODED = 1 << 13,   /* the peer uses a coding of messages that we lack */
	FC_STREAM_INFLATED = 1 << 14   /* `inflated` is not 0 */
};

typedef struct fc_h2_stream {
	fc_stream seen; /* the owner's part: first */
	uint32_t id;
	uint32_t flags;
	struct fc_h2_stream *next; /* on `going` or `spare` */

	/* receiving */
	int32_t recv_window;
	uint32_t withheld;     /* bytes received that give no credit yet */
	uint32_t owed;         /* bytes credited that the peer has not been told of */
	uint32_t refused;      /* server: the HTTP status that the request's end will be answered
	                        * with, instead of a call; client: the response's, if not 200 */
	size_t untaken;        /* bytes of messages shown that the owner has not taken */
	uint32_t empties;      /* messages without a byte shown since it last took any */
	uint64_t content_left; /* of content-length; FC_NEVER: not said */
	uint64_t heard_at;     /* when it began, or last brought a byte, or the first tick after
	                        * it was given window; FC_NEVER until that comes */

	/* sending */
	int32_t send_window;
	uint32_t prefix_size; /* receiving, too: bytes that have come of `prefix` */
	uint64_t opened_at;   /* client: bytes ever put into `out` before its HEADERS */

	/* the message being received */
	uint32_t message_size;
	uint8_t prefix[8]; /* 5 are used */

	/* compression */
	uint8_t coding;  /* of messages sent, as the head has said; 0: none */
	size_t inflated; /* of the connection's `inflated` */

	/* What follows is clean in a spare stream: its users leave it so. */
	fc_buf message;
	fc_chain pending;       /* messages that wait for windows or room */
	fc_list wait;           /* on `ready` or `sent` */
	fc_block *late;         /* server: the tail that waits behind `pending` */
	uint64_t patient_until; /* 0: it has moved since the last tick */
} fc_h2_stream;

/* ---- the connection ---- */

/* What fc_h2_settle() has to do. */
enum {
	FC_TASK_FAIL = 1,     /* `why` is set: end the connection */
	FC_TASK_SENT = 2,     /* `sent` has streams */
	FC_TASK_CAPACITY = 4, /* client: open() may work again */
	FC_TASK_DRAINED = 8
};

typedef enum fc_h2_drain {
	FC_DRAIN_NO,
	FC_DRAIN_ASKED, /* server: GOAWAY(2^31-1) and PING are out. Client: no new streams */
	FC_DRAIN_TOLD,  /* GOAWAY with the last stream's number is out */
	FC_DRAIN_DONE
} fc_h2_drain;

/* keepalive.c */
typedef enum fc_h2_keepalive {
	FC_KEEPALIVE_RESTS,  /* until `heard` and the interval; for ever, if it is off */
	FC_KEEPALIVE_ASKS,   /* a PING is out */
	FC_KEEPALIVE_SLEEPS, /* no calls */
	FC_KEEPALIVE_WAKES   /* a PING went out with the first call, the next tick knows when */
} fc_h2_keepalive;

#define FC_H2_TOO_MANY_PINGS "too_many_pings" /* GOAWAY's debug data, by gRFC A8 */

/* Kinds of frames that do no work: abuse.c */
typedef enum fc_h2_idle {
	FC_IDLE_DATA, /* empty, not the last */
	FC_IDLE_PING,
	FC_IDLE_SETTINGS,
	FC_IDLE_PRIORITY,
	FC_IDLE_WINDOW,
	FC_IDLE_UNKNOWN,
	FC_IDLE_CLOSED,  /* on streams that are over */
	FC_IDLE_INTERIM, /* 1xx responses */
	FC_IDLE_KINDS
} fc_h2_idle;

typedef struct fc_h2_bucket {
	int32_t spent; /* below zero: put by */
	uint32_t work; /* of the connection, when `spent` was last reckoned */
	uint64_t at;
} fc_h2_bucket;

typedef struct fc_h2_frame {
	uint32_t length, id;
	uint8_t type, flags;
} fc_h2_frame;

/* A HEADERS frame that is said over and over, but for the stream's number, as it is encoded while
 * the encoder's table stands. */
#define FC_H2_TEMPLATE 63
typedef struct fc_h2_template {
	uint8_t size; /* 0: none */
	uint8_t bytes[FC_H2_TEMPLATE];
} fc_h2_template;

#define FC_H2_PATHS 4
#define FC_H2_PATH_SIZE 96
typedef struct fc_h2_path {
	fc_h2_template head;
	uint32_t size;
	char path[FC_H2_PATH_SIZE];
} fc_h2_path;

#define FC_H2_RECENT 64
#define FC_H2_RECENT_ENDED 0x80000000u

struct fc_engine {
	fc_engine_config config;
	const fc_engine_events *events;
	void *owner;
	uint64_t now;

	/* state */
	bool dead;         /* nothing comes in any more */
	bool preface;      /* the peer's first SETTINGS are still expected */
	bool acknowledged; /* our settings */
	bool going_away;   /* client: GOAWAY has come */
	bool wants_capacity;
	uint8_t tasks;
	fc_h2_drain drain;
	fc_error why; /* of the end, once TASK_FAIL or dead */
	fc_h2_code why_code;
	fc_error farewell; /* client: what GOAWAY said */
	const char *drain_text;
	uint64_t settings_due, drain_due, patience_due;
	uint64_t trim_due;  /* streams' memory is given back, if none was used since */
	uint32_t trim_work; /* `work` then */

	/* streams */
	fc_map streams;
	uint32_t open;     /* not closed */
	uint32_t running;  /* server: open, or reset and held */
	uint32_t last_in;  /* server: highest number of the peer's */
	uint32_t next_out; /* client: number of the next stream */
	uint32_t goaway;   /* server: the last stream served, once drain is TOLD */
	fc_h2_stream *going, *spare;
	fc_block *slabs; /* memory of streams; the newest one is cut up to slab_used */
	size_t slab_used;
	uint32_t recent[FC_H2_RECENT]; /* closed ones; ENDED is or-ed where the peer had ended */
	uint32_t n_recent;

	/* frames in */
	uint8_t head[FC_H2_HEAD];
	uint8_t head_size;
	uint8_t preface_size;
	fc_h2_frame frame;  /* the one being received, once its head is complete */
	fc_buf payload;     /* of a frame that came in parts */
	uint32_t data_left; /* of a DATA frame: without padding */
	uint32_t pad_left;
	bool in_data, in_pad_size;
	fc_h2_stream *data_stream; /* NULL: the bytes are dropped */
	fc_h2_stream *last_stream; /* the last one looked up */
	uint32_t block_id;         /* CONTINUATION must follow, on this stream */
	uint8_t block_flags;
	uint8_t continuations;
	bool block_selfish; /* its priority depends on itself */
	fc_buf block;
	fc_hpack_decoder *decoder;
	fc_block *pairs; /* room for metadata shown in an event */
	fc_buf message;  /* … and for grpc-message, decoded */

	/* windows */
	int32_t recv_window, send_window; /* of the connection */
	uint32_t owed;
	uint32_t window;      /* the connection's, full */
	int32_t recv_initial; /* what a new stream's peer may send */
	int32_t send_initial;
	fc_list ready, sent;
	size_t backlog;  /* `pending` of all streams */
	size_t gathered; /* `message` of all streams */
	size_t inflated; /* server: what FC_H2_INFLATED_MOST bounds */

	/* the peer's settings */
	uint32_t peer_streams;
	uint32_t peer_list;  /* bytes of a header list, 32 a field counted */
	size_t refused_list; /* of the last one that was looked at: its size, if too large */

	/* frames out */
	fc_chain out;
	fc_chain ahead;   /* frames that overtake `out`, but its first `cut` bytes */
	size_t cut;       /* the rest of a frame that has begun to go out, or our SETTINGS */
	uint64_t written; /* bytes of `out` */
	uint32_t induced;
	uint32_t induced_ahead; /* those of them in `ahead` */
	fc_hpack_encoder *encoder;
	bool named_timeout; /* client: the name has been put into the encoder's table */
	fc_buf scratch, text;
	uint32_t generation; /* of the encoder, when the templates were made */
	fc_h2_template head_template, tail_template;
	fc_h2_path *paths; /* client: FC_H2_PATHS of them */
	uint32_t next_path;

	/* keepalive */
	fc_h2_keepalive keepalive;
	uint64_t keepalive_due;
	uint64_t heard;        /* when bytes came last */
	uint64_t heard_before; /* the same, when it asked or fell asleep */
	uint64_t pinged_at;    /* by the peer, in time; if `pinged` */
	uint64_t ping_calls;   /* bytes of HEADERS and DATA sent before it */
	uint64_t control;      /* bytes of all other frames put into `out` */
	uint8_t ping_strikes;
	bool pinged;

	/* abuse */
	uint32_t work; /* frames that carried a call on */
	fc_h2_bucket idle[FC_IDLE_KINDS];
	fc_h2_bucket resets;
};

static inline bool
fc_h2_closed(const fc_h2_stream *s)
{
	return (s->flags & FC_STREAM_RESET) != 0 ||
	    (s->flags & (FC_STREAM_REMOTE_END | FC_STREAM_LOCAL_END)) ==
	    (FC_STREAM_REMOTE_END | FC_STREAM_LOCAL_END);
}

/* The owner is to hear of what comes. */
static inline bool
fc_h2_listens(const fc_h2_stream *s)
{
	return (s->flags & (FC_STREAM_HELD | FC_STREAM_OVER)) == FC_STREAM_HELD;
}

/* ---- connection.c ---- */

fc_engine *fc_h2_open(
    const fc_engine_config *config, const fc_engine_events *events, void *owner, uint64_t now);
void fc_h2_free(fc_engine *c);
void fc_h2_end(fc_engine *c, const fc_error *why);
uint64_t fc_h2_due(const fc_engine *c);
void fc_h2_tick(fc_engine *c, uint64_t now);
void fc_h2_close(fc_engine *c, farcall_code code, const char *text);
void fc_h2_drain_start(fc_engine *c, uint64_t now, const char *text);
void fc_h2_drain_tell(fc_h2 *c); /* the round trip is over */
void fc_h2_settle(fc_h2 *c);     /* raises what is due: between frames only */

/* Connection error: GOAWAY, every stream aborted, on_dead. In input(), end() and tick() only. */
void fc_h2_fail(fc_h2 *c, fc_h2_code h2, farcall_cause cause, const char *format, ...)
    FARCALL_PRINTF(4, 5);

/* The same, where no event may be raised: it happens between frames, or in the next tick(). */
void fc_h2_doom(fc_h2 *c, fc_h2_code h2, farcall_cause cause, const char *text);
void fc_h2_doom_memory(fc_h2 *c);

const char *fc_h2_code_name(uint32_t code);

extern const uint8_t fc_h2_drain_ping[8];

/* ---- frames_in.c, headers_in.c, data_in.c, control_in.c, preface_in.c ---- */

void fc_h2_input(fc_engine *c, const uint8_t *bytes, size_t size, uint64_t now);
void fc_h2_headers(fc_h2 *c, const fc_h2_frame *frame, const uint8_t *payload);
void fc_h2_continuation(fc_h2 *c, const fc_h2_frame *frame, const uint8_t *payload);
void fc_h2_data_begin(fc_h2 *c);
bool fc_h2_data_whole(fc_h2 *c, const uint8_t *payload); /* the usual case; false: it is not */
const uint8_t *fc_h2_data_more(fc_h2 *c, const uint8_t *p, const uint8_t *end);
void fc_h2_priority(fc_h2 *c, const fc_h2_frame *frame, const uint8_t *payload);
void fc_h2_rst_stream(fc_h2 *c, const fc_h2_frame *frame, const uint8_t *payload);
void fc_h2_push_promise(fc_h2 *c, const fc_h2_frame *frame, const uint8_t *payload);
void fc_h2_ping(fc_h2 *c, const fc_h2_frame *frame, const uint8_t *payload);
void fc_h2_goaway_in(fc_h2 *c, const fc_h2_frame *frame, const uint8_t *payload);
void fc_h2_window_update(fc_h2 *c, const fc_h2_frame *frame, const uint8_t *payload);
const uint8_t *fc_h2_preface(fc_h2 *c, const uint8_t *p, const uint8_t *end);
void fc_h2_not_http2(fc_h2 *c, const uint8_t *head, size_t size); /* client: says what it is */

/* ---- settings.c ---- */

void fc_h2_settings_in(fc_h2 *c, const fc_h2_frame *frame, const uint8_t *payload);
void fc_h2_introduce(fc_h2 *c); /* sends ours */

/* ---- streams.c ---- */

fc_h2_stream *fc_h2_stream_new(fc_h2 *c, uint32_t id); /* NULL: out of memory */
fc_h2_stream *fc_h2_stream_find(fc_h2 *c, uint32_t id);
bool fc_h2_stream_idle(const fc_h2 *c, uint32_t id); /* never used so far */
bool fc_h2_remote_end(fc_h2 *c, fc_h2_stream *s);    /* END_STREAM came; false: not rightly */
void fc_h2_local_ended(fc_h2 *c, fc_h2_stream *s);
void fc_h2_reset(fc_h2 *c, fc_h2_stream *s, fc_h2_code code); /* by us; nothing if closed */
void fc_h2_reset_by_peer(fc_h2 *c, fc_h2_stream *s);
void fc_h2_stream_release(fc_h2 *c, fc_h2_stream *s);
void fc_h2_forget_streams(fc_h2 *c); /* frees all of them */
void fc_h2_drop_pending(fc_h2 *c, fc_h2_stream *s);
void fc_h2_drop_message(fc_h2 *c, fc_h2_stream *s); /* what has come of one */
void fc_h2_sweep(fc_h2 *c);                         /* end of the turn */
void fc_h2_trim(fc_h2 *c);                          /* trim_due has come */
bool fc_h2_recently_ended(const fc_h2 *c, uint32_t id);
bool fc_h2_recently_reset(const fc_h2 *c, uint32_t id);
void fc_h2_note_closed(fc_h2 *c, uint32_t id, bool ended);

/* on_abort, if the owner listens. */
void fc_h2_abort_event(fc_h2 *c, fc_h2_stream *s, const fc_abort *abort);

/* Stream error of the peer's making: RST_STREAM (counted), on_abort. */
void fc_h2_stream_fail(fc_h2 *c, fc_h2_stream *s, fc_h2_code h2, const char *text);

/* ---- windows.c ---- */

bool fc_h2_receive(fc_h2 *c, fc_h2_stream *s, uint32_t size); /* false: past the window */
void fc_h2_credit(fc_h2 *c, fc_h2_stream *s);                 /* tells the peer, if it is time */
void fc_h2_credit_connection(fc_h2 *c);
void fc_h2_taken(fc_engine *c, fc_stream *stream, size_t size);
bool fc_h2_send_initial(fc_h2 *c, uint32_t window); /* false: a window would overflow */
void fc_h2_recv_initial(fc_h2 *c);                  /* our settings are acknowledged */
void fc_h2_wait(fc_h2 *c, fc_h2_stream *s);         /* it has `pending` */
void fc_h2_pump(fc_h2 *c);                          /* frames what has room now */
void fc_h2_be_patient(fc_h2 *c, fc_h2_stream *s);
void fc_h2_expect_more(fc_h2 *c); /* server: a request has begun and not ended */
void fc_h2_impatience(fc_h2 *c);  /* patience_due has come */

/* The connection's window takes a frame of `size` bytes. */
static inline void
fc_h2_charge(fc_h2 *c, uint32_t size)
{
	c->recv_window -= (int32_t)size;
	c->owed += size;
	if (c->owed > c->window / 2)
		fc_h2_credit_connection(c);
}

/* ---- frames_out.c ---- */

/* Room for a control frame and its head, written; NULL: out of memory, and the connection is
 * doomed. `induced`: the peer made us send it. What has no place among other frames goes out ahead
 * of much DATA: WINDOW_UPDATE, for which the peer may wait before it reads on, and answers to PING
 * (RFC 9113 6.7). */
uint8_t *fc_h2_control(
    fc_h2 *c, unsigned type, unsigned flags, uint32_t id, uint32_t length, bool induced);
void fc_h2_put_rst(fc_h2 *c, uint32_t id, fc_h2_code code, bool induced);
void fc_h2_put_window(fc_h2 *c, uint32_t id, uint32_t size);
void fc_h2_put_goaway(fc_h2 *c, uint32_t last, fc_h2_code code, const char *text);
void fc_h2_drop_output(fc_h2 *c); /* nothing more goes out */
bool fc_h2_put_block(fc_h2 *c, uint32_t id, const uint8_t *block, size_t size, bool end);
bool fc_h2_room_for_block(fc_h2 *c, size_t size); /* then put_block() of so much cannot fail */
size_t fc_h2_output(fc_engine *c, fc_piece *pieces, size_t most);
void fc_h2_wrote(fc_engine *c, size_t size);
bool fc_h2_congested(const fc_engine *c);
size_t fc_h2_backlog(const fc_engine *c);

static inline uint8_t *
fc_h2_out_reserve(fc_h2 *c, size_t size)
{
	return fc_chain_reserve(&c->out, size);
}

static inline void
fc_h2_out_add(fc_h2 *c, size_t size)
{
	fc_chain_add(&c->out, size);
}

/* ---- abuse.c ---- */

/* One more of a kind; false: too many, and the connection has been failed. */
bool fc_h2_idle_frame(fc_h2 *c, fc_h2_idle kind);
bool fc_h2_count_reset(fc_h2 *c);
void fc_h2_forgive_reset(fc_h2 *c); /* a stream was served to its end: one more is free */

/* ---- keepalive.c ---- */

void fc_h2_keepalive_begin(fc_h2 *c);
void fc_h2_keepalive_tick(fc_h2 *c); /* keepalive_due has come */
void fc_h2_keepalive_wake_up(fc_h2 *c);
bool fc_h2_keepalive_answered(fc_h2 *c, const uint8_t *payload); /* by this PING's ACK */

/* Server: a PING has come; false: one too early too many, and the connection has been failed. */
bool fc_h2_ping_in_time(fc_h2 *c);

/* Client: a call begins. */
static inline void
fc_h2_keepalive_wake(fc_h2 *c)
{
	if (FARCALL_UNLIKELY(c->keepalive == FC_KEEPALIVE_SLEEPS))
		fc_h2_keepalive_wake_up(c);
}

#endif
