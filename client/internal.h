/*
 * internal.h: the client's room. A channel is resolver → subchannel → picker, and never holds a
 * connection itself; a call owns one attempt at a time, an attempt one stream on one line.
 *
 * Who may touch what. "The owner" is whoever turns the channel's loop: a blocking caller in the
 * role of the driver, the channel's own thread, or the program that steps a lent loop. While nobody
 * drives, the holder of the channel's lock counts as the owner. A channel is kept by references:
 * the program's handle, each call, each line that is not closed, the thread.
 */
#ifndef FC_CLIENT_INTERNAL_H
#define FC_CLIENT_INTERNAL_H

#include "client/config.h"
#include "runtime/base/atomic.h"
#include "runtime/base/list.h"
#include "runtime/call/call.h"
#include "runtime/call/conn.h"
#include "runtime/call/flow.h"
#include "runtime/call/intercept.h"
#include "runtime/call/marshal.h"
#include "runtime/loop/thread.h"
#include "runtime/transport/transport.h"

#include <farcall/channel.h>

#define FC_CLIENT_KEEP_CALLS 256 /* call objects kept for the next calls */
#define FC_CLIENT_POOL_MOST (8u * 1024u * 1024u)
#define FC_CLIENT_STREAM_WINDOW (1u << 20)
#define FC_CLIENT_CONNECTION_WINDOW FC_CONN_WINDOW
#define FC_CLIENT_SETTINGS_NS (30 * FC_NS_PER_S)
#define FC_CLIENT_UNDRIVEN_NS (10 * FC_NS_PER_MS) /* then it is polled before it is written to */
#define FC_CLIENT_SPIN_MOST_US 10000u
#define FC_CLIENT_PEER_TIMEOUT_MS 20000u
#define FC_CLIENT_PEER_TIMEOUT_LEAST_MS 1000u
#define FC_CLIENT_PEER_TIMEOUT_MOST_MS 86400000u
#define FC_CLIENT_KEEPALIVE_LEAST_MS 10000u /* gRFC A8 */
#define FC_CLIENT_KEEPALIVE_MOST_MS 2147483647u
#define FC_CLIENT_KEEPALIVE_TIMEOUT_MS 20000u
#define FC_CLIENT_PLACES_MOST 64u
#define FC_CLIENT_WAITING_MOST 100000u
#define FC_CLIENT_STATES_MOST 32u /* changes that wait to be told */
#define FC_CLIENT_FRUITLESS_MOST \
	3u /* connections that served nothing, before they count as failed */

/* ---- waiting (waiter.c) ---- */

typedef struct fc_waiter fc_waiter;

/* All are called by the owner. */
typedef struct fc_waiter_ops {
	void (*begin)(fc_waiter *waiter);
	void (*expire)(fc_waiter *waiter);    /* its deadline has passed */
	void (*no_memory)(fc_waiter *waiter); /* its deadline cannot be watched */
} fc_waiter_ops;

/* What somebody waits for: a call, or that the channel be ready. */
struct fc_waiter {
	const fc_waiter_ops *ops;
	farcall_channel *channel;
	uint64_t deadline; /* of the channel's clock; FC_NEVER: none */

	/* the owner */
	fc_task start;  /* begins it, when it is posted */
	fc_timer timer; /* not armed while its own thread drives: that bounds its turns */
	bool counted; /* among the channel's active ones, until `start` runs; else it was posted */
	bool begun;
	bool done; /* under the lock, if `asleep` */

	/* under the channel's lock */
	fc_list in_sleepers;
	fc_cond cond;
	bool asleep, promoted;
};

/* ---- resolver (resolver.c) ---- */

/* Turns the target into places. One at a time; `done` comes once, as a task, never inside start. */
typedef struct fc_resolver {
	fc_loop *loop;
	fc_lookup *lookup; /* under way */
	void (*done)(struct fc_resolver *resolver, const fc_error *error);
	fc_place *places;
	size_t n, room;
	fc_place *former; /* what a name was before; used again if it is not found now */
	size_t n_former;
	char **records; /* file: the addresses found, looked up one by one */
	size_t n_records, next_record;
	fc_address record; /* the one being looked up */
	fc_error failure;  /* the last one of a record */
} fc_resolver;

farcall_code fc_resolver_start(fc_resolver *resolver, fc_loop *loop, const fc_address *target,
    void (*done)(fc_resolver *resolver, const fc_error *error), fc_error *error);
void fc_resolver_stop(fc_resolver *resolver); /* done will not come; frees what it holds */

/* ---- backoff (backoff.c) ---- */

/* gRPC's connection backoff: 1 s, then 1.6 times as much each time, at most 120 s, each ±20 %: also
 * the first, so that the clients of a server that has gone do not all come back at once. */
typedef struct fc_backoff {
	uint64_t base_ns; /* 0: the next is the first */
	uint64_t random;
} fc_backoff;

#define FC_BACKOFF_FIRST_NS FC_NS_PER_S
#define FC_BACKOFF_MOST_NS (120 * FC_NS_PER_S)
#define FC_CONNECT_LEAST_NS (20 * FC_NS_PER_S) /* time for one address */

void fc_backoff_seed(fc_backoff *backoff, uint64_t seed);
void fc_backoff_reset(fc_backoff *backoff);
uint64_t fc_backoff_next(fc_backoff *backoff); /* ns from the attempt's start to the next one */
uint64_t fc_backoff_random(fc_backoff *backoff);
uint64_t fc_backoff_jitter(fc_backoff *backoff, uint64_t ns); /* ±20 % */

/* ---- race (race.c) ---- */

typedef struct fc_line fc_line;

#define FC_RACE_STAGGER_NS (250 * FC_NS_PER_MS)

/* The places of a target, each begun a little after the one before it. */
typedef struct fc_race {
	size_t next;      /* place to begin */
	uint64_t failed;  /* places that have, once; a bit each */
	bool tried;       /* some place could be begun */
	fc_list lines;    /* that connect */
	fc_timer stagger; /* then the next one is begun, or those that have failed again */
} fc_race;

void fc_race_order(fc_place *places, size_t n); /* families take turns; at most PLACES_MOST */
void fc_race_init(fc_race *race);
bool fc_race_start(farcall_channel *channel); /* false: no place could be begun; that is noted */
bool fc_race_has(const fc_line *line);
bool fc_race_lost(farcall_channel *channel, fc_line *line); /* false: each has failed */
void fc_race_won(farcall_channel *channel, fc_line *line);  /* drops the others */
void fc_race_stop(farcall_channel *channel);                /* forgets the lines */

/* ---- subchannel (subchannel.c) ---- */

typedef enum fc_subchannel_phase {
	FC_SUB_IDLE,
	FC_SUB_RESOLVING,
	FC_SUB_CONNECTING,
	FC_SUB_READY,
	FC_SUB_BACKOFF /* the last attempt has failed: none before retry_at */
} fc_subchannel_phase;

typedef struct fc_subchannel {
	fc_subchannel_phase phase;
	bool sticky;        /* failed since it was ready last */
	bool spent;         /* the places have been used: of an inherited descriptor there is one */
	unsigned fruitless; /* lines lost in a row before they served a call */
	fc_resolver resolver;
	fc_race race;
	fc_line *line; /* ready */
	fc_backoff backoff;
	uint64_t retry_at;
	uint64_t patience;    /* ns for each address of this attempt */
	uint64_t resolved_at; /* when the places were found */
	bool resolved;        /* they have been */
	fc_timer retry;
	fc_error failure;           /* why the last attempt failed, as calls are told */
	char reason[FC_ERROR_TEXT]; /* the same, without what was attempted */
} fc_subchannel;

void fc_subchannel_init(farcall_channel *channel);
void fc_subchannel_stop(farcall_channel *channel);

/* A call wants a line: connects, if it may. false: none will come before the backoff has passed,
 * and calls that do not wait for it fail with `failure`. */
bool fc_subchannel_want(farcall_channel *channel);

/* What has failed is our own rule: nobody need wait for it to change. */
bool fc_subchannel_is_hopeless(const farcall_channel *channel);

/* Somebody waits for it: it is tried again when the backoff has passed. */
void fc_subchannel_watch(farcall_channel *channel);

/* The line takes no new calls any more, or is closed. */
void fc_subchannel_lost(farcall_channel *channel, fc_line *line, const fc_error *why);
void fc_subchannel_ready(farcall_channel *channel, fc_line *line);

/* Why a place could not be had; why it may not. */
void fc_subchannel_note(farcall_channel *channel, const fc_error *error);
void fc_subchannel_note_insecure(farcall_channel *channel, const fc_place *place);

/* ---- round robin (spread.c) ---- */

typedef struct fc_spread {
	bool on;       /* in place of the race */
	fc_list nodes; /* fc_node, one for each place */
	fc_list ready; /* in the order of their turns */
	bool resolving;
	fc_timer resolve; /* until it may be done again */
} fc_spread;

/* ---- lines (line.c) ---- */

/* A connection to a server. */
struct fc_line {
	fc_conn conn; /* first: the engine's events have its address */
	fc_refs refs; /* until it is closed, and of each call that used it */
	farcall_channel *channel;
	fc_list in_channel;
	fc_list in_race;      /* while it connects */
	size_t place;         /* likewise: which of the places that race */
	struct fc_node *node; /* round robin: whose it is, until it takes no new calls */
	fc_list calls;        /* those that have a stream on it */
	bool ready;           /* the peer has introduced itself */
	bool going;           /* no new calls */
	bool full;            /* it had no stream to give; on_capacity will come */
	bool answered;        /* some call has been */
	fc_peer peer;         /* from ready on */
};

fc_line *fc_line_open(
    farcall_channel *channel, const fc_place *place, uint64_t patience, fc_error *error);
void fc_line_retire(fc_line *line); /* no new calls; it closes when the last has ended */

/* Writes what was given to the engine: at the end of the turn, or at once between turns. */
void fc_line_touch(fc_line *line);
void fc_line_drop(fc_line *line); /* a reference less */
void fc_line_end(fc_line *line);  /* closes it now; its calls have ended */

/* ---- calls ---- */

typedef enum fc_call_phase { FC_CALL_IDLE, FC_CALL_OPEN, FC_CALL_DONE } fc_call_phase;

/* What a streaming call has besides; while call.flow is set. */
typedef struct fc_streaming {
	/* the owner */
	bool tail;      /* it has ended by the peer's status */
	unsigned given; /* messages, to the engine, in this pump */
	fc_task tell;

	/* the flow's, one at a time */
	fc_task pump;

	/* any thread */
	atomic_bool headed; /* the response's head stands in the call */

	/* under the channel's lock */
	bool alone;     /* nobody turns the loop: this thread does what the owner would */
	bool call_here; /* and calls back itself */
} fc_streaming;

typedef struct fc_client_call {
	farcall_call call;        /* first */
	farcall_channel *channel; /* a reference */

	/* the program, before the start */
	bool has_timeout, wait_for_ready, has_wait;
	uint64_t timeout_ns, waited_ms; /* waited: at its deadline */
	fc_child child;                 /* of the parent */

	/* constant from the start on */
	const fc_method_config *rules; /* of the service config; NULL: none */
	struct fc_plan *plan;          /* of more than one attempt (plan.h); NULL: none */

	/* any thread */
	atomic_int phase; /* fc_call_phase */

	/* under the channel's lock */
	bool cancel_posted;

	/* the owner, while it is open */
	fc_waiter waiter;
	fc_task cancel, deliver;
	fc_list in_list; /* of what waits for a line, or of the line, or of those with a plan */
	fc_list in_plan; /* of a hedge's shadow (hedge.c) */
	fc_line *line;   /* the last one used; a reference */
	fc_stream *stream;
	bool retried;   /* once, after a server had not seen it */
	bool committed; /* the response's head has come: no retry */
	bool sending;   /* the engine still needs the payload */
	bool waits;     /* among the channel's pending */
	fc_payload payload;
	fc_block *packed; /* the request, of an async call, if it is not in `out`; until it is
	                     committed */
	fc_text packed_text;
	ProtobufCMessage *reply;
	bool async;
	farcall_done *done;
	farcall_thunk *thunk;
	farcall_function *typed_done;
	void *data;

	fc_streaming streaming;

	struct fc_client_call *next_free;
	fc_call_memory memory;
} fc_client_call;

extern const fc_call_ops fc_client_call_ops;

/* call.c */
void fc_call_end(fc_client_call *call); /* its outcome is settled: whoever waits is told */
void fc_call_end_with(
    fc_client_call *call, farcall_code code, farcall_cause cause, const char *text);
void fc_call_end_late(fc_client_call *call); /* DEADLINE_EXCEEDED, and what it waited for */
bool fc_call_is_late(const fc_client_call *call);
void fc_call_forget_request(fc_client_call *call); /* the packed request is of no more use */

void fc_call_tell(fc_client_call *call); /* its callback */
uint64_t fc_call_clock(void);
extern const fc_waiter_ops fc_call_waiter_ops;

/* invoke.c */

/* What is wrong with the arguments is misuse (fc_call_misuse()). */
typedef void fc_check(farcall_call *call, const ProtobufCMessage *request);

/* The call, opened, its deadline set; perhaps it has failed: call.code. NULL: it cannot be opened;
 * *code says what to answer then. */
fc_client_call *fc_call_open(farcall_call *base, const farcall_method *method,
    const ProtobufCMessage *request, fc_check *check, farcall_code *code);

/* There is no owner to end it: it never began. A reference less. */
void fc_call_end_unbegun(fc_client_call *call, const fc_error *error);

/* stream_events.c: what the engine tells of a streaming call */
void fc_stream_head(fc_client_call *call, const fc_head *head);
void fc_stream_message(fc_client_call *call, const uint8_t *bytes, size_t size);
void fc_stream_tail(fc_client_call *call, const fc_tail *tail);

/* streams.c */
void fc_stream_open(fc_client_call *call); /* there is a stream for it */
void fc_stream_sent(fc_client_call *call);
void fc_stream_over(fc_client_call *call); /* its outcome stands; a reference less */

/* calls.c: call objects */
fc_client_call *fc_call_take(farcall_channel *channel);
void fc_call_destroy(farcall_call *base);
void fc_calls_free(farcall_channel *channel);
extern farcall_call fc_call_nil, fc_call_no_channel, fc_call_forked;

/* attempt.c */
extern const fc_engine_events fc_attempt_events;
bool fc_attempt_open(
    fc_line *line, fc_client_call *call); /* false: the line has no stream to give */
void fc_attempt_fail_unpack(fc_client_call *call, const fc_error *error);
void fc_attempt_drop(fc_client_call *call, farcall_code code); /* resets it, if it has not ended */

/* hooks.c: in the program's thread: begin; at the end: the reply is shown, then end */
void fc_call_hooks_begin(fc_client_call *call);
void fc_call_hooks_done(fc_client_call *call);
bool fc_call_hooks_hold(
    fc_client_call *call); /* the owner. true: it waits for them, or has ended */
bool fc_call_hooks_held(const fc_client_call *call);

/* picker.c */
void fc_picker_take(farcall_channel *channel, fc_client_call *call);
void fc_picker_again(farcall_channel *channel, fc_client_call *call); /* first in the queue */
void fc_picker_later(farcall_channel *channel); /* goes on with the queue as a task */
void fc_picker_left(fc_client_call *call);      /* it waits no more */
void fc_picker_fail(
    farcall_channel *channel, bool all); /* those that do not wait for ready, or all */

/* ---- the channel ---- */

/* Waits for the channel to be ready. */
typedef struct fc_ready_wait {
	fc_waiter waiter;
	fc_list in_channel;
	uint64_t timeout_ms;
	fc_error error;
} fc_ready_wait;

struct farcall_channel {
	fc_refs refs;
	bool nil;       /* the shared object that stands for "out of memory" */
	unsigned forks; /* there had been, when it was opened */

	/* set-up: the program's threads, until the first call */
	fc_address address;
	fc_engine_config config; /* of lines; `pool` is set with the loop */
	bool insecure;           /* plaintext beyond this host is allowed */
	bool lent;               /* the loop is the program's */
	uint64_t timeout_ns;
	unsigned spin_us, peer_timeout_ms;
	fc_interceptors chain;
	bool peer_timeout_set;
	bool watchful;  /* keepalive without calls: somebody must turn the loop between them */
	uint8_t coding; /* of its calls' messages; 0: none */
	uint64_t seed;  /* of the backoff's jitter; 0: by address and time */
	fc_service_config *service;  /* NULL: none */
	size_t keep_call, keep_most; /* bytes of requests kept for another attempt */
	size_t most_waiting;         /* calls that may wait for a line */
	atomic_bool used;
	fc_error error;     /* the first failure of set-up; under `lock` */
	atomic_bool failed; /* `error` is set */

	/* any thread */
	atomic_int state; /* farcall_state; written by the owner */
	fc_pool pool;     /* of calls: it outlives the loop */
	fc_spin calls_lock;
	fc_client_call *free_calls; /* under `calls_lock` */
	size_t n_free_calls, n_calls;
	atomic_uint posted; /* tasks in the loop's mailbox */
	atomic_bool yield;  /* the thread wants to drive */

	/* under `lock` */
	fc_mutex lock;
	fc_loop
	    *loop; /* NULL: not used yet, or over (lent). The owner may read it without the lock */
	bool driving; /* somebody has the role of the driver */
	bool has_thread;
	bool closed;
	fc_list sleepers;           /* fc_waiter */
	fc_error ready_error;       /* of the last wait_ready */
	farcall_on_state *on_state; /* NULL: nobody is told */
	void *on_state_data;

	/* the owner */
	bool threaded; /* the channel's own thread drives */
	bool shut;     /* closing has begun */
	uint64_t driven_at;
	fc_subchannel sub;
	fc_spread spread;
	fc_list pending;  /* calls that wait for a line */
	size_t n_waiting; /* so many */
	fc_list held;     /* calls whose begin hooks pend */
	fc_list planned;  /* calls that rest before a retry, or hedge */
	size_t kept;      /* bytes of requests kept for another attempt */
	unsigned tokens;  /* of the service config's throttling, thousandths */
	fc_list lines;
	fc_list ready_waits;
	fc_queue deferred; /* callbacks that wait for the thread; of fc_client_call.deliver */
	size_t active;     /* calls begun and not delivered; states that are to be told */
	farcall_state last_state;
	farcall_state untold[FC_CLIENT_STATES_MOST]; /* from the oldest on */
	size_t n_untold;
	fc_task tell_state;
	fc_task pump;
	fc_task close_task;
	fc_waiter thread_waiter;
};

/* channel.c */
void fc_channel_hold(farcall_channel *channel);
void fc_channel_drop(farcall_channel *channel);
void fc_channel_fail(farcall_channel *channel, const fc_error *error); /* set-up; it sticks */

/* Set-up is still open, and the value is good: true; else that sticks. */
bool fc_channel_in_setup(farcall_channel *channel, const char *step);
bool fc_channel_in_range(
    farcall_channel *channel, const char *what, uint64_t value, uint64_t least, uint64_t most);
void fc_channel_shut(farcall_channel *channel);       /* the owner: ends everything */
void fc_channel_check_over(farcall_channel *channel); /* something has ended */
farcall_code fc_channel_failure(farcall_channel *channel, fc_error *error);

/* keepalive.c */
unsigned fc_channel_peer_timeout(const farcall_channel *channel);
void fc_channel_too_many_pings(void *line, uint64_t keepalive_ns); /* the engine's event */

/* For tests: as the settings, without their least values. Before the first call. */
void fc_channel_keepalive(farcall_channel *channel, uint64_t ns, uint64_t timeout_ns);

/* For tests: the same jitter each time. Before the first call. */
void fc_channel_seed(farcall_channel *channel, uint64_t seed);

/* state.c */
void fc_channel_set_state(farcall_channel *channel, farcall_state state); /* the owner */

/* ready.c */
void fc_channel_describe_wait(
    const farcall_channel *channel, bool in_flight, uint64_t ms, char *to, size_t room);
void fc_ready_tell(farcall_channel *channel, const fc_error *error); /* NULL: it is ready */

/* waiter.c */
farcall_code fc_waiter_init(fc_waiter *waiter, const fc_waiter_ops *ops, fc_error *error);
void fc_waiter_fini(fc_waiter *waiter);
void fc_waiter_reset(fc_waiter *waiter, farcall_channel *channel);
void fc_waiter_begin(fc_waiter *waiter); /* the owner, as all that follow */
void fc_waiter_watch(fc_waiter *waiter); /* its own thread does not turn the loop for it any more */
void fc_waiter_done(fc_waiter *waiter);

/* drive.c */

/* Begins what is waited for, and blocks until it is done. On failure it has not begun. */
farcall_code fc_drive(farcall_channel *channel, fc_waiter *waiter, fc_error *error);

/* Begins it, and returns. */
farcall_code fc_drive_async(farcall_channel *channel, fc_waiter *waiter, fc_error *error);

/* The caller's thread may wait for what the loop does. */
farcall_code fc_drive_may_block(farcall_channel *channel, fc_error *error);

/* Callbacks will come: there is a loop, and a thread that turns it, or the program does. */
farcall_code fc_drive_need(farcall_channel *channel, fc_error *error);

/* Any thread, with the lock held: the owner will run the task, which must call fc_drive_took()
 * first. false: there is no owner, so nothing is under way. */
bool fc_drive_post(farcall_channel *channel, fc_task *task);
void fc_drive_took(farcall_channel *channel);

/* Closes: by the owner, if there is one, else here. */
void fc_drive_close(farcall_channel *channel);

/* A callback is due: in the step of a lent loop, or in the channel's thread. */
void fc_drive_deliver(farcall_channel *channel, fc_task *task);

/* Now, by the channel's clock. Any thread. */
uint64_t fc_channel_now(farcall_channel *channel);

#endif
