/*
 * intercept.h: the hooks of one call, and the chains they stand in. What both sides share; when the
 * hooks come is said by server/hooks.c and client/hooks.c.
 *
 * A call that has hooks has a record, farcall_call.intercept; NULL is all that the others pay.
 *
 * The begin phase. While it lasts the call's memory is not the interceptors' to touch, since a
 * deadline or the wire may end the call meanwhile, in another thread: what they add to the call is
 * staged in the record and joined to it when the phase is over, by the holder. The phase is walked
 * by one thread at a time: the one that begins the call, then whoever resumes it.
 *
 * The gate. `end` comes when nobody is inside another hook, nor in the begin phase: whoever leaves
 * last runs it. After it nobody gets in any more.
 */
#ifndef FC_CALL_INTERCEPT_H
#define FC_CALL_INTERCEPT_H

#include "runtime/call/call.h"
#include "runtime/loop/loop.h"

#include <farcall/interceptor.h>

#define FC_INTERCEPTORS_MOST 16u

typedef struct fc_interceptor {
	farcall_interceptor hooks;
	void *data;
} fc_interceptor;

typedef struct fc_interceptors {
	size_t n;
	fc_interceptor at[FC_INTERCEPTORS_MOST];
} fc_interceptors;

enum fc_intercept_phase {
	FC_INTERCEPT_WALKS, /* or pends */
	FC_INTERCEPT_WAITS, /* the same, and the owner of the loop wants to be told */
	FC_INTERCEPT_OVER
};

typedef struct fc_intercept {
	/* constant */
	farcall_call *call;
	const fc_interceptors *chain;
	const fc_interceptor *last; /* behind the chain; NULL: none */
	size_t n;
	uint64_t born;
	farcall_metadata metadata;
	void (*resumed)(farcall_call *call); /* the owner wanted to be told: any thread */

	/* who walks the begin phase */
	size_t at; /* the one whose begin is next, or pends */
	farcall_code answer;
	fc_arena arena; /* of what is staged */
	fc_pairs head, tail;
	fc_error staged;

	/* any thread */
	atomic_uint step;          /* of the begin under way: see intercept.c */
	atomic_int phase;          /* fc_intercept_phase */
	atomic_uint begun, passed; /* begin hooks that were called; that have answered */
	atomic_uint gate;
	_Atomic uint64_t bytes[2], messages[2]; /* received, sent */

	/* who resumes */
	farcall_code resume_code;

	/* the holder */
	bool waiting; /* what follows the begin phase has arrived, and waits */
	bool joined;
	fc_task task;
	fc_error outcome; /* code OK: as the call's own */
	bool has_outcome;

	void *state[];
} fc_intercept;

/* A copy into the chain. */
farcall_code fc_interceptors_add(fc_interceptors *chain, const farcall_interceptor *hooks,
    size_t size, void *data, fc_error *error);

/* A record for the call, which is inside the begin phase from now on. false: no memory. */
bool fc_intercept_new(farcall_call *call, const fc_interceptors *chain, const fc_interceptor *last);

/* Walks. false: it pends; a reference to the call is kept for whoever resumes it, and whoever
 * begins the call must ask fc_intercept_waits(). */
bool fc_intercept_begin(farcall_call *call);

/* The owner: true: the phase is not over, and resumed() will be called. */
bool fc_intercept_waits(farcall_call *call);

/* The holder, after the phase: what was staged is the call's. Not OK: the call is refused, or what
 * was staged was wrong; `error` is set. A second time it is OK. */
farcall_code fc_intercept_join(farcall_call *call, fc_error *error);

/* While the begin phase lasts. false: it does not. */
bool fc_intercept_stages(const farcall_call *call);
void fc_intercept_stage(
    farcall_call *call, bool tail, const char *key, const void *value, size_t size, bool binary);
void fc_intercept_stage_failure(
    farcall_call *call, farcall_code code, const char *format, va_list arguments);

/* The slow paths of what follows. */
void fc_intercept_show(farcall_call *call, bool sent, const ProtobufCMessage *message);
void fc_intercept_note(farcall_call *call, bool sent, size_t size);
void fc_intercept_set_outcome(
    farcall_call *call, farcall_code code, farcall_cause cause, const char *text, size_t size);
void fc_intercept_close(farcall_call *call);

/* A message is seen by the hooks. */
static inline void
fc_intercept_message(farcall_call *call, bool sent, const ProtobufCMessage *message)
{
	if (FARCALL_UNLIKELY(call->intercept != NULL))
		fc_intercept_show(call, sent, message);
}

/* A message counts. */
static inline void
fc_intercept_count(farcall_call *call, bool sent, size_t size)
{
	if (FARCALL_UNLIKELY(call->intercept != NULL))
		fc_intercept_note(call, sent, size);
}

/* What end will say, where it is not the call's own outcome; the first one counts. */
static inline void
fc_intercept_outcome(
    farcall_call *call, farcall_code code, farcall_cause cause, const char *text, size_t size)
{
	if (FARCALL_UNLIKELY(call->intercept != NULL))
		fc_intercept_set_outcome(call, code, cause, text, size);
}

/* A client's call is over as its program sees it, and its outcome stands. */
void fc_intercept_finish(farcall_call *call);

/* With the call's memory, since its metadata may lie there. */
void fc_intercept_free(farcall_call *call);

/* The call is over: end comes, once. */
static inline void
fc_intercept_end(farcall_call *call)
{
	if (FARCALL_UNLIKELY(call->intercept != NULL))
		fc_intercept_close(call);
}

#endif
