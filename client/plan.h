/*
 * plan.h: what a call does beyond one attempt, by gRFC A6. Most calls have no plan: then nothing
 * here is met but a NULL. A plan retries, or it hedges.
 *
 * Retries: one attempt at a time, each of them the call's own, so whatever a call can do (streams
 * too) a later attempt does again: it begins where the first one began, at fc_picker_take().
 *
 * Hedges: several attempts at a time. Each is a call of its own behind the program's call, its
 * "shadow", with memory and outcome; the one that answers first is kept, and the call shows what is
 * in it. Shadows end like any call; their plan is told, and acts on it as a task of its own, for
 * one may end while a list of calls is being walked through.
 *
 * All of it is the owner's, but for making and freeing a plan.
 */
#ifndef FC_CLIENT_PLAN_H
#define FC_CLIENT_PLAN_H

#include "client/internal.h"

#define FC_PLAN_CALL_BYTES (256u * 1024u) /* of a request kept for another attempt */
#define FC_PLAN_CHANNEL_BYTES (16u * 1024u * 1024u)

typedef struct fc_plan {
	fc_block *block;      /* it lies in */
	fc_client_call *call; /* whose it is; not a shadow */
	const fc_policy *policy;
	unsigned begun; /* attempts; what is tried again unseen does not count */
	bool alone;     /* no attempt any more but those that have begun */
	size_t kept;    /* bytes of the request, as counted in the channel */
	double pause;   /* retries: before the next, ns, without jitter and bound */
	fc_timer timer; /* until the next */
	fc_error last;  /* failure */

	/* hedges */
	fc_list shadows; /* fc_client_call.in_plan; those that ended stay until they were looked at
	                  */
	fc_client_call *winner; /* its head has come; one of the shadows */
	fc_client_call *shown;  /* whose outcome is the call's; a reference */
	fc_task look;
} fc_plan;

/* plan.c */

/* The method's rules, when the call starts: time-out, wait for ready, its plan. */
void fc_plan_configure(fc_client_call *call);
/* A streaming call's flow has been made: its limits. */
void fc_plan_set_flow(fc_client_call *call);

/* A request of more bytes than the rules allow: the call has failed. Answers false. */
bool fc_plan_refuse(farcall_call *call, size_t size, const fc_method_config *rules);
void fc_plan_free(fc_client_call *call); /* any thread */

/* The picker has the call for an attempt; when it is the first one the plan begins. true: it
 * hedges, and sees to its attempts itself. */
bool fc_plan_takes(fc_client_call *call);
void fc_plan_stop(fc_client_call *call);   /* the call has ended */
void fc_plan_commit(fc_client_call *call); /* the response's head has come */

/* "after 2000 ms, waiting to try again (…)"; false: it does not wait for that. */
bool fc_plan_describe_wait(const fc_client_call *call, char *to, size_t room);

/* The status has come. true: the call goes on, with another attempt. */
bool fc_plan_tail(fc_client_call *call, const fc_tail *tail);

/* The attempt has failed otherwise, or could not be made. true: as above. */
bool fc_plan_lost(fc_client_call *call, farcall_code code, farcall_cause cause, const char *text);

bool fc_plan_is_shadow(const fc_client_call *call);

/* "so many attempts were made before", for the server. false: no memory. */
bool fc_plan_count(fc_client_call *call, const fc_pairs *head, unsigned before);

/* ---- pushback: what a server says of another attempt ---- */

#define FC_PUSHBACK_NONE (-1)
#define FC_PUSHBACK_STOP (-2)

/* ms; or one of these. */
int64_t fc_pushback_of_text(const char *text, size_t size);
int64_t fc_pushback_of_pairs(size_t n, const fc_pair *pairs);

/* ---- throttling: a bucket of tokens for each channel ---- */

void fc_throttle_success(farcall_channel *channel);
void fc_throttle_failure(farcall_channel *channel);
bool fc_throttle_is_open(const farcall_channel *channel); /* more may be tried */

/* ---- hedge.c ---- */

void fc_hedge_begin(fc_plan *plan);
void fc_hedge_stop(fc_plan *plan);
void fc_hedge_due(fc_plan *plan);             /* the timer */
void fc_hedge_head(fc_client_call *shadow);   /* its head has come */
void fc_hedge_ended(fc_client_call *shadow);  /* it has ended */
bool fc_hedge_in_flight(const fc_plan *plan); /* some shadow has a stream */

#endif
