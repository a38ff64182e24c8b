/*
 * call.h: what both sides' calls have in common: memory, metadata, the outcome, references. The
 * server's and the client's call each begin with it; what differs goes through fc_call_ops.
 *
 * Who may touch what: see the groups of struct farcall_call. "The holder" is whoever has the call
 * now: the thread that prepares it, then the owner of its loop, the handler while it runs, and
 * again the thread that reads the answer. It passes on by queues that order memory.
 */
#ifndef FC_CALL_CALL_H
#define FC_CALL_CALL_H

#include "runtime/base/arena.h"
#include "runtime/base/atomic.h"
#include "runtime/base/list.h"
#include "runtime/call/metadata.h"

#include <farcall/call.h>

/* Bytes that a call's memory may take for messages of at most `max_message` bytes on the wire. */
#define FC_CALL_MEMORY(max_message) ((size_t)(max_message)*8 + 65536)
#define FC_CALL_KEPT ((size_t)1 << 20) /* metadata, texts, farcall_call_keep() */

typedef struct fc_call_ops {
	bool server;

	/* Any thread; the call has not been freed. Ends it, if it has not ended. */
	void (*cancel)(farcall_call *call);

	/* The last farcall_call_free() by the program, before the reference is dropped. */
	void (*let_go)(farcall_call *call);

	/* The last reference is gone; any thread. Gives the memory back. */
	void (*destroy)(farcall_call *call);

	/* Client: it has started, and its outcome does not stand yet: its owner writes to it, so
	 * that other threads may not even look. Any thread. NULL: never. */
	bool (*open)(const farcall_call *call);

	/* Client: its outcome stands, and nobody but the program touches it. NULL: never. */
	bool (*ended)(const farcall_call *call);

	/* Client, a streaming call: the response's head stands. */
	bool (*headed)(const farcall_call *call);

	/* "ipv4:…" of the other side, "" if not known. */
	const char *(*peer)(const farcall_call *call);
	bool (*peer_ids)(const farcall_call *call, int64_t *uid, int64_t *gid, int64_t *pid);
} fc_call_ops;

typedef struct fc_flow fc_flow;
typedef struct fc_intercept fc_intercept;
typedef struct fc_rich fc_rich;

struct farcall_call {
	/* constant from birth, or from the start of the call on */
	const fc_call_ops *ops;
	fc_flow *flow;           /* of a streaming call; NULL: unary, or not started (flow.h) */
	fc_intercept *intercept; /* its hooks; NULL: none (intercept.h) */
	const farcall_method *method; /* NULL until known */
	void *self;                   /* server: of the service */
	uint64_t deadline;            /* ns of the monotonic clock, FC_NEVER: none */
	uint64_t (*clock)(void);      /* what deadline is measured by */

	/* any thread */
	fc_refs refs;
	fc_refs users; /* who must call farcall_call_free() yet */
	atomic_bool cancelled;
	fc_spin lock;
	struct { /* under `lock` */
		void (*on_cancel)(farcall_call *call, void *data);
		void *data;
	} hook;
	fc_list children; /* under `lock`: fc_child */
	bool childless;   /* under `lock`: ended or cancelled; takes no more children */

	/* the holder */
	fc_arena in;   /* the message received */
	fc_arena out;  /* the message being built */
	fc_arena kept; /* metadata, texts, what the user keeps */
	farcall_metadata received, trailers;
	fc_pairs head, tail; /* to be sent */
	fc_rich *rich;       /* details of its failure; NULL: none (rich.h) */
	bool head_sent;
	bool started;    /* settings are closed */
	uint8_t coding;  /* of messages sent: FARCALL_GZIP, FARCALL_DEFLATE; 0: none */
	bool plain;      /* … but not of those sent now */
	bool plain_now;  /* … the owner: nor of that which its flow sends now */
	bool compressed; /* the last message received was */
	bool doomed; /* server: the library itself has failed the call: the handler's OK does not
	                count */

	/* the outcome: written by the holder, sticky */
	farcall_code code;
	farcall_cause cause;
	const char *error;          /* "NOT_FOUND: no such row" */
	const char *status_message; /* "no such row" */
	bool of_peer;               /* client: it is the server's own status, not our view of it */
};

/* The place of a call among its parent's children. */
typedef struct fc_child {
	fc_list in_parent;    /* under the parent's lock */
	farcall_call *parent; /* a reference; NULL: none */
	farcall_call *call;   /* itself */
} fc_child;

/* The memory that is lent to the call's arenas, so that small calls take none from the pool. */
typedef struct fc_call_memory {
	uint8_t in[1024], out[768], kept[512];
} fc_call_memory;

/* Everything but ops' own, in new memory; `memory` may be NULL. */
void fc_call_init(farcall_call *call, const fc_call_ops *ops, fc_pool *pool, size_t max_message,
    fc_call_memory *memory);
void fc_call_fini(farcall_call *call); /* gives the arenas back */

/* The same, in the memory of a call of the same ops and pool, after its fini. */
void fc_call_renew(farcall_call *call, size_t max_message);

void fc_call_drop(farcall_call *call); /* one reference less */

/* compression.c: what is kept of a coding: 0 for IDENTITY. false: it is none, and `error` says so.
 */
bool fc_coding_check(farcall_coding coding, uint8_t *kept, fc_error *error);

/* The loop's owner: what the call wants of its stream; before each head or message. `plain`: of the
 * call that is call->plain, or call->plain_now of what a flow sends. */
static inline void
fc_call_compress(const farcall_call *call, fc_stream *stream, bool plain)
{
	if (FARCALL_UNLIKELY(call->coding != 0)) {
		stream->coding = call->coding;
		stream->plain = plain;
	}
}

/* The outcome, if there is none yet: the first failure sticks. `message` (may be NULL) is copied.
 * Answers the outcome that stands. */
farcall_code fc_call_settle(
    farcall_call *call, farcall_code code, farcall_cause cause, const char *message, size_t size);
farcall_code fc_call_settle_error(farcall_call *call, const fc_error *error);

/* A client's stream that has ended well, though what it brought cannot be taken: any thread. */
void fc_call_spoil(farcall_call *call, const fc_error *error);

/* Misuse by the program: a log line, and FAILED_PRECONDITION: on a client's call it sticks, unless
 * that has ended: then it is the answer and, after an OK, the call's text. A client's stream is its
 * owner's to write to: there it is the answer. */
farcall_code fc_call_misuse(farcall_call *call, const char *what);

/* An arena of the call has refused: RESOURCE_EXHAUSTED. A client's stream fails when the message
 * that was to be built in it is sent. */
void fc_call_doom_by_memory(farcall_call *call, const fc_arena *arena);

/* The child ends with its parent at the latest: it is cancelled when the parent is cancelled or
 * ends. Any thread. false: the parent has ended already. */
bool fc_call_adopt(fc_child *child);

/* The child has ended: lets go of the parent. Harmless without one. */
void fc_call_leave(fc_child *child);

/* The call has ended: so have its children. Also part of fc_call_mark_cancelled(). */
void fc_call_end_children(farcall_call *call);

/* Marks the call cancelled and runs the user's on_cancel hook, once. */
void fc_call_mark_cancelled(farcall_call *call);

#endif
