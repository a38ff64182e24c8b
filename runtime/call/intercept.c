/*
 * intercept.c: see intercept.h. Every hook that is called is called here.
 */
#include "runtime/call/intercept.h"

#include "runtime/base/log.h"

#include <string.h>

/* fc_intercept.step: a begin that pends is over when it has returned and was resumed. Whoever sets
 * the second of the two walks on. */
enum { STEP_RETURNED = 1, STEP_RESUMED = 2, STEP_TAKEN = 4 };

/* fc_intercept.gate: this bit, and how many are inside. */
#define GATE_ENDED 0x80000000u

static const char refused_text[] = "refused by an interceptor";

farcall_code
fc_interceptors_add(fc_interceptors *chain, const farcall_interceptor *hooks, size_t size,
    void *data, fc_error *error)
{
	fc_interceptor *to;

	if (hooks == NULL)
		return fc_fail(error, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_NONE,
		    "intercept: the hooks are NULL");
	if (chain->n == FC_INTERCEPTORS_MOST)
		return fc_fail(error, FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_LIMIT,
		    "intercept: more than %u interceptors", FC_INTERCEPTORS_MOST);
	to = &chain->at[chain->n++];
	memset(to, 0, sizeof *to);
	memcpy(&to->hooks, hooks, FC_MIN(size, sizeof to->hooks));
	to->data = data;
	return FARCALL_OK;
}

/* ---- the record ---- */

bool
fc_intercept_new(farcall_call *call, const fc_interceptors *chain, const fc_interceptor *last)
{
	size_t n = chain->n + (last != NULL ? 1 : 0);
	fc_intercept *record =
	    (fc_intercept *)fc_arena_alloc(&call->kept, sizeof *record + n * sizeof *record->state);

	if (record == NULL)
		return false;
	memset(record, 0, sizeof *record + n * sizeof *record->state);
	record->call = call;
	record->chain = chain;
	record->last = last;
	record->n = n;
	record->born = call->clock();
	fc_arena_init(&record->arena, call->kept.pool, FC_CALL_KEPT, NULL, 0);
	fc_error_clear(&record->staged);
	fc_error_clear(&record->outcome);
	atomic_init(&record->step, 0);
	atomic_init(&record->phase, FC_INTERCEPT_WALKS);
	atomic_init(&record->begun, 0);
	atomic_init(&record->passed, 0);
	atomic_init(&record->gate, 1);
	if (call->ops->server)
		record->metadata = call->received;
	else if (!fc_pairs_show(&call->head, &call->kept, &record->metadata))
		return false;
	call->intercept = record;
	return true;
}

void
fc_intercept_free(farcall_call *call)
{
	fc_arena_reset(&call->intercept->arena);
	call->intercept = NULL;
}

static const fc_interceptor *
interceptor(const fc_intercept *record, size_t i)
{
	return i < record->chain->n ? &record->chain->at[i] : record->last;
}

static farcall_intercepted
about(fc_intercept *record, size_t i, bool with_peer)
{
	farcall_call *call = record->call;
	farcall_intercepted value = {.path = call->method->path,
	    .peer = with_peer ? call->ops->peer(call) : "",
	    .metadata = &record->metadata,
	    .state = &record->state[i],
	    .server = call->ops->server};

	return value;
}

/* ---- the gate ---- */

static void
run_end(fc_intercept *record)
{
	farcall_call *call = record->call;
	farcall_outcome outcome = {.elapsed_ns = call->clock() - record->born,
	    .code = record->outcome.code,
	    .cause = record->outcome.cause,
	    .error = record->outcome.text};

	outcome.bytes_received = atomic_load(&record->bytes[false]);
	outcome.bytes_sent = atomic_load(&record->bytes[true]);
	outcome.messages_received = atomic_load(&record->messages[false]);
	outcome.messages_sent = atomic_load(&record->messages[true]);
	for (size_t i = atomic_load(&record->begun); i-- > 0;) {
		const fc_interceptor *hooks = interceptor(record, i);
		farcall_intercepted value = about(record, i, true);

		if (hooks->hooks.end != NULL)
			hooks->hooks.end(call, &value, &outcome, hooks->data);
	}
}

static bool
has_ended(fc_intercept *record)
{
	return (atomic_load(&record->gate) & GATE_ENDED) != 0;
}

static bool
enter(fc_intercept *record)
{
	unsigned gate = atomic_load(&record->gate);

	while ((gate & GATE_ENDED) == 0)
		if (atomic_compare_exchange_weak(&record->gate, &gate, gate + 1))
			return true;
	return false;
}

static void
leave(fc_intercept *record)
{
	if (atomic_fetch_sub(&record->gate, 1) == (GATE_ENDED | 1))
		run_end(record);
}

void
fc_intercept_set_outcome(
    farcall_call *call, farcall_code code, farcall_cause cause, const char *text, size_t size)
{
	fc_intercept *record = call->intercept;

	if (record->has_outcome || has_ended(record))
		return;
	record->has_outcome = true;
	record->outcome.text[0] = 0;
	if (code != FARCALL_OK && size != 0)
		fc_fail(
		    &record->outcome, code, cause, "%.*s", (int)FC_MIN(size, FC_ERROR_TEXT), text);
	record->outcome.code = code;
	record->outcome.cause = cause;
}

void
fc_intercept_close(farcall_call *call)
{
	fc_intercept *record = call->intercept;

	if (atomic_fetch_or(&record->gate, GATE_ENDED) == 0)
		run_end(record);
}

void
fc_intercept_finish(farcall_call *call)
{
	fc_intercept_set_outcome(
	    call, call->code, call->cause, call->status_message, strlen(call->status_message));
	fc_intercept_close(call);
}

/* ---- messages ---- */

void
fc_intercept_show(farcall_call *call, bool sent, const ProtobufCMessage *message)
{
	fc_intercept *record = call->intercept;
	unsigned passed = atomic_load(&record->passed);

	if (!enter(record))
		return;
	for (unsigned i = 0; i < passed; i++) {
		const fc_interceptor *hooks = interceptor(record, i);
		farcall_intercepted value;

		if (hooks->hooks.message == NULL)
			continue;
		value = about(record, i, call->ops->server || !sent);
		hooks->hooks.message(call, &value, sent, message, hooks->data);
	}
	leave(record);
}

void
fc_intercept_note(farcall_call *call, bool sent, size_t size)
{
	atomic_fetch_add_explicit(&call->intercept->bytes[sent], size, memory_order_relaxed);
	atomic_fetch_add_explicit(&call->intercept->messages[sent], 1, memory_order_relaxed);
}

/* ---- the begin phase ---- */

/* A code that ends a call. */
static farcall_code
refusal(farcall_code code)
{
	return (unsigned)code <= FARCALL_UNAUTHENTICATED ? code : FARCALL_UNKNOWN;
}

/* One begin: what it has answered, or was resumed with in time; PENDING: whoever resumes it walks
 * on, and the record is not ours any more. */
static farcall_code
run_begin(fc_intercept *record, const fc_interceptor *hooks)
{
	farcall_intercepted value = about(record, record->at, record->call->ops->server);
	farcall_code code;

	atomic_store(&record->step, 0);
	atomic_fetch_add(&record->begun, 1);
	if (hooks->hooks.begin == NULL)
		return FARCALL_OK;
	code = hooks->hooks.begin(record->call, &value, hooks->data);
	if (code != FARCALL_PENDING)
		return code;
	if ((atomic_fetch_or(&record->step, STEP_RETURNED) & STEP_RESUMED) == 0)
		return FARCALL_PENDING;
	return record->resume_code;
}

static void
answered(fc_intercept *record, farcall_code code)
{
	record->answer = code == FARCALL_END ? FARCALL_OK : code;
	record->at++;
	atomic_store(&record->passed, (unsigned)record->at);
}

/* true: to its end, or to a refusal. */
static bool
walk(fc_intercept *record)
{
	while (record->at < record->n && record->answer == FARCALL_OK && !has_ended(record)) {
		farcall_code code = run_begin(record, interceptor(record, record->at));

		if (code == FARCALL_PENDING)
			return false;
		answered(record, code);
	}
	leave(record);
	return true;
}

bool
fc_intercept_begin(farcall_call *call)
{
	fc_refs_hold(&call->refs);
	if (!walk(call->intercept))
		return false;
	atomic_store(&call->intercept->phase, FC_INTERCEPT_OVER);
	fc_refs_drop(&call->refs); /* not the last: the caller has one */
	return true;
}

bool
fc_intercept_waits(farcall_call *call)
{
	int walks = FC_INTERCEPT_WALKS;

	return atomic_compare_exchange_strong(&call->intercept->phase, &walks, FC_INTERCEPT_WAITS);
}

/* The phase that pended is over. Someone waits, or will find it so. */
static void
finish(farcall_call *call)
{
	fc_intercept *record = call->intercept;

	if (atomic_exchange(&record->phase, FC_INTERCEPT_OVER) == FC_INTERCEPT_WAITS)
		record->resumed(call);
	fc_call_drop(call);
}

void
farcall_intercept_resume(farcall_call *call, farcall_code code)
{
	fc_intercept *record = call != NULL ? call->intercept : NULL;

	if (record == NULL || atomic_load(&record->phase) == FC_INTERCEPT_OVER ||
	    code == FARCALL_PENDING ||
	    (atomic_fetch_or(&record->step, STEP_TAKEN) & STEP_TAKEN) != 0) {
		fc_log(FARCALL_LOG_ERROR, "%s: misuse: resume: %s",
		    call != NULL && call->method != NULL ? call->method->path : "call",
		    code == FARCALL_PENDING ? "PENDING is no answer"
		                            : "not a call whose begin pends");
		return;
	}
	record->resume_code = code;
	if ((atomic_fetch_or(&record->step, STEP_RESUMED) & STEP_RETURNED) == 0)
		return; /* begin has not returned: it goes on itself */
	answered(record, code);
	if (walk(record))
		finish(call);
}

/* ---- what is staged ---- */

bool
fc_intercept_stages(const farcall_call *call)
{
	return call->intercept != NULL && atomic_load(&call->intercept->phase) != FC_INTERCEPT_OVER;
}

void
fc_intercept_stage(
    farcall_call *call, bool tail, const char *key, const void *value, size_t size, bool binary)
{
	fc_intercept *record = call->intercept;
	fc_error error;

	fc_error_clear(&error);
	if (tail && !call->ops->server)
		fc_fail(&error, FARCALL_FAILED_PRECONDITION, FARCALL_CAUSE_NONE,
		    "only a server's call has trailers to add to");
	else
		fc_pairs_add(tail ? &record->tail : &record->head, &record->arena, key, value, size,
		    binary, &error);
	if (error.code == FARCALL_OK || record->staged.code != FARCALL_OK)
		return;
	if (call->ops->server && error.code == FARCALL_INVALID_ARGUMENT)
		error.code = FARCALL_INTERNAL; /* not the client's fault */
	record->staged = error;
}

void
fc_intercept_stage_failure(
    farcall_call *call, farcall_code code, const char *format, va_list arguments)
{
	fc_error *staged = &call->intercept->staged;

	fc_error_clear(staged);
	fc_vfail(staged, refusal(code), FARCALL_CAUSE_NONE, format, arguments);
}

static farcall_code
judge(const fc_intercept *record, fc_error *error)
{
	bool refuses = record->answer != FARCALL_OK;

	if (record->staged.code != FARCALL_OK)
		*error = record->staged;
	else if (refuses)
		fc_fail(error, FARCALL_UNKNOWN, FARCALL_CAUSE_NONE, "%s", refused_text);
	if (refuses)
		error->code = refusal(record->answer);
	return error->code;
}

farcall_code
fc_intercept_join(farcall_call *call, fc_error *error)
{
	fc_intercept *record = call->intercept;

	if (record->joined)
		return FARCALL_OK;
	record->joined = true;
	if (judge(record, error) == FARCALL_OK || call->ops->server) {
		fc_error over;

		fc_error_clear(&over);
		fc_pairs_join(&call->head, &record->arena, &record->head, &over);
		fc_pairs_join(&call->tail, &record->arena, &record->tail, &over);
		if (error->code == FARCALL_OK && over.code != FARCALL_OK)
			*error = over;
	}
	return error->code;
}
