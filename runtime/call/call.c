/*
 * call.c: the common half of a call. Nothing here knows a wire, a loop or a side.
 */
#include "runtime/call/call.h"

#include "runtime/call/flow.h"

#include "runtime/base/bytes.h"
#include "runtime/base/log.h"
#include "runtime/call/intercept.h"
#include "runtime/loop/crew.h"

#include <stdio.h>
#include <string.h>

void
fc_call_init(farcall_call *call, const fc_call_ops *ops, fc_pool *pool, size_t max_message,
    fc_call_memory *memory)
{
	memset(call, 0, sizeof *call);
	call->ops = ops;
	fc_spin_init(&call->lock);
	fc_list_init(&call->children);
	fc_arena_init(&call->in, pool, 0, memory != NULL ? memory->in : NULL, sizeof memory->in);
	fc_arena_init(&call->out, pool, 0, memory != NULL ? memory->out : NULL, sizeof memory->out);
	fc_arena_init(&call->kept, pool, FC_CALL_KEPT, memory != NULL ? memory->kept : NULL,
	    sizeof memory->kept);
	fc_call_renew(call, max_message);
}

static const fc_pairs no_pairs;
static const farcall_metadata no_metadata;

void
fc_call_renew(farcall_call *call, size_t max_message)
{
	call->flow = NULL;
	call->intercept = NULL;
	call->rich = NULL;
	call->method = NULL;
	call->self = NULL;
	call->deadline = FC_NEVER;
	call->clock = NULL;
	fc_refs_init(&call->refs);
	fc_refs_init(&call->users);
	atomic_init(&call->cancelled, false);
	call->hook.on_cancel = NULL;
	call->childless = false;
	call->in.most = call->out.most = FC_CALL_MEMORY(max_message);
	call->received = call->trailers = no_metadata;
	call->head = call->tail = no_pairs;
	call->coding = 0;
	call->plain = call->plain_now = call->compressed = false;
	call->head_sent = call->started = call->doomed = call->of_peer = false;
	call->code = FARCALL_OK;
	call->cause = FARCALL_CAUSE_NONE;
	call->error = call->status_message = "";
}

void
fc_call_fini(farcall_call *call)
{
	if (FARCALL_UNLIKELY(call->intercept != NULL))
		fc_intercept_free(call);
	fc_arena_reset(&call->in);
	fc_arena_reset(&call->out);
	fc_arena_reset(&call->kept);
}

void
fc_call_drop(farcall_call *call)
{
	if (fc_refs_drop(&call->refs))
		call->ops->destroy(call);
}

void
farcall_call_hold(farcall_call *call)
{
	if (call == NULL)
		return;
	fc_refs_hold(&call->users);
	fc_refs_hold(&call->refs);
}

void
farcall_call_free(farcall_call *call)
{
	if (call == NULL)
		return;
	if (fc_refs_drop(&call->users))
		call->ops->let_go(call);
	fc_call_drop(call);
}

void
farcall_call_cancel(farcall_call *call)
{
	if (call != NULL)
		call->ops->cancel(call);
}

/* ---- outcome ---- */

/* A client's stream: its owner writes what it becomes, while the program's threads look on. */
static bool
is_client_stream(const farcall_call *call)
{
	return call->flow != NULL && !call->ops->server;
}

/* Nothing of its outcome may be looked at yet. */
static bool
is_under_way(const farcall_call *call)
{
	return call->ops->open != NULL && call->ops->open(call);
}

farcall_code
fc_call_settle(
    farcall_call *call, farcall_code code, farcall_cause cause, const char *message, size_t size)
{
	const char *name = farcall_code_name(code);
	size_t name_size = strlen(name);
	fc_arena *memory;
	char *text;

	if (call->code != FARCALL_OK || code == FARCALL_OK)
		return call->code;
	call->code = code;
	call->cause = cause;
	call->error = name;
	if (message == NULL || size == 0)
		return code;
	memory = is_client_stream(call) ? &call->flow->wire : &call->kept;
	text = (char *)fc_arena_alloc(memory, name_size + 2 + size + 1);
	if (text == NULL)
		return code;
	memcpy(text, name, name_size);
	memcpy(text + name_size, ": ", 2);
	memcpy(text + name_size + 2, message, size);
	text[name_size + 2 + size] = 0;
	call->error = text;
	call->status_message = text + name_size + 2;
	return code;
}

farcall_code
fc_call_settle_error(farcall_call *call, const fc_error *error)
{
	return fc_call_settle(call, error->code, error->cause, error->text, strlen(error->text));
}

/* A call that has ended OK stays so; there is only a text. */
static void
say_misuse(farcall_call *call, const char *what)
{
	static const char name[] = "FAILED_PRECONDITION: ";
	size_t size = strlen(what) + 1;
	char *text;

	if (call->code != FARCALL_OK)
		return;
	text = (char *)fc_arena_alloc(&call->kept, sizeof name - 1 + size);
	call->error = "FAILED_PRECONDITION";
	if (text == NULL)
		return;
	memcpy(text, name, sizeof name - 1);
	memcpy(text + sizeof name - 1, what, size);
	call->error = text;
}

static void
log_misuse(const farcall_call *call, const char *what)
{
	const char *path = call != NULL && call->method != NULL ? call->method->path : "call";

	fc_log(FARCALL_LOG_ERROR, "%s: misuse: %s", path, what);
}

void
fc_call_misstart(farcall_call *call, const char *what)
{
	log_misuse(call, what);
	fc_call_settle(call, FARCALL_FAILED_PRECONDITION, FARCALL_CAUSE_NONE, what, strlen(what));
}

farcall_code
fc_call_misuse(farcall_call *call, const char *what)
{
	log_misuse(call, what);
	/* under way its outcome is its owner's to write */
	if (call == NULL || call->ops->server || is_client_stream(call) || is_under_way(call))
		return FARCALL_FAILED_PRECONDITION;
	if (call->ops->ended != NULL && call->ops->ended(call)) {
		say_misuse(call, what);
		return FARCALL_FAILED_PRECONDITION;
	}
	fc_call_settle(call, FARCALL_FAILED_PRECONDITION, FARCALL_CAUSE_NONE, what, strlen(what));
	return FARCALL_FAILED_PRECONDITION;
}

void
fc_call_doom_by_memory(farcall_call *call, const fc_arena *arena)
{
	static const char cap[] = "the call's memory has reached its cap";
	static const char out[] = "out of memory";

	if (is_client_stream(call))
		return;
	if (!call->doomed)
		call->doomed = true;
	if (arena->state == FC_ARENA_NO_MEMORY)
		fc_call_settle(call, FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_OUT_OF_MEMORY, out,
		    sizeof out - 1);
	else
		fc_call_settle(
		    call, FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_LIMIT, cap, sizeof cap - 1);
}

void
fc_call_spoil(farcall_call *call, const fc_error *error)
{
	fc_spin_lock(&call->lock);
	call->of_peer = false;
	fc_call_settle_error(call, error);
	fc_spin_unlock(&call->lock);
}

typedef struct outcome {
	farcall_code code;
	farcall_cause cause;
	const char *error, *status_message;
} outcome;

static void
copy_outcome(const farcall_call *call, outcome *to)
{
	to->code = call->code;
	to->cause = call->cause;
	to->error = call->error;
	to->status_message = call->of_peer ? call->status_message : "";
}

/* The program looks. */
static outcome
outcome_of(const farcall_call *call)
{
	outcome now = {FARCALL_OK, FARCALL_CAUSE_NONE, "", ""};
	fc_spin *lock = (fc_spin *)(uintptr_t)&call->lock;

	if (is_under_way(call))
		return now;
	if (!is_client_stream(call)) {
		copy_outcome(call, &now);
	} else {
		fc_spin_lock(lock);
		copy_outcome(call, &now);
		fc_spin_unlock(lock);
	}
	return now;
}

farcall_code
farcall_call_code(const farcall_call *call)
{
	return call != NULL ? outcome_of(call).code : FARCALL_FAILED_PRECONDITION;
}

farcall_cause
farcall_call_cause(const farcall_call *call)
{
	return call != NULL ? outcome_of(call).cause : FARCALL_CAUSE_NONE;
}

const char *
farcall_call_error(const farcall_call *call)
{
	return call != NULL ? outcome_of(call).error : "FAILED_PRECONDITION: the call is NULL";
}

const char *
farcall_call_status_message(const farcall_call *call)
{
	return call != NULL ? outcome_of(call).status_message : "";
}

/* ---- cancellation as the handler sees it ---- */

bool
farcall_call_cancelled(const farcall_call *call)
{
	return call != NULL && atomic_load_explicit(&call->cancelled, memory_order_acquire);
}

void
fc_call_mark_cancelled(farcall_call *call)
{
	void (*fn)(farcall_call *, void *);
	void *data;

	fc_spin_lock(&call->lock);
	atomic_store_explicit(&call->cancelled, true, memory_order_release);
	fn = call->hook.on_cancel;
	data = call->hook.data;
	call->hook.on_cancel = NULL;
	fc_spin_unlock(&call->lock);
	if (fn != NULL)
		fn(call, data);
	fc_call_end_children(call);
}

void
farcall_call_on_cancel(farcall_call *call, void (*fn)(farcall_call *call, void *data), void *data)
{
	bool already;

	if (call == NULL)
		return;
	fc_spin_lock(&call->lock);
	already = atomic_load_explicit(&call->cancelled, memory_order_relaxed);
	call->hook.on_cancel = already ? NULL : fn;
	call->hook.data = data;
	fc_spin_unlock(&call->lock);
	if (already && fn != NULL)
		fn(call, data);
}

void
farcall_block_begin(farcall_call *call)
{
	if (call == NULL || !call->ops->server)
		fc_call_misuse(call, "block begin: not a call that a handler was given");
	else
		fc_crew_block_begin();
}

/* ---- parents and children ---- */

bool
fc_call_adopt(fc_child *child)
{
	farcall_call *parent = child->parent;
	bool taken;

	fc_spin_lock(&parent->lock);
	taken = !parent->childless;
	if (taken)
		fc_list_append(&parent->children, &child->in_parent);
	fc_spin_unlock(&parent->lock);
	return taken;
}

void
fc_call_leave(fc_child *child)
{
	farcall_call *parent = child->parent;

	if (parent == NULL)
		return;
	fc_spin_lock(&parent->lock);
	fc_list_remove(&child->in_parent);
	fc_spin_unlock(&parent->lock);
	child->parent = NULL;
	fc_call_drop(parent);
}

/* One at a time, since cancelling must not happen under a spin lock; the reference is taken under
 * it, while the child cannot leave. */
static farcall_call *
take_child(farcall_call *call)
{
	farcall_call *child = NULL;
	fc_list *first;

	fc_spin_lock(&call->lock);
	call->childless = true;
	first = fc_list_pop(&call->children);
	if (first != NULL) {
		child = FC_CONTAINER(first, fc_child, in_parent)->call;
		fc_refs_hold(&child->refs);
	}
	fc_spin_unlock(&call->lock);
	return child;
}

void
fc_call_end_children(farcall_call *call)
{
	farcall_call *child;

	while ((child = take_child(call)) != NULL) {
		child->ops->cancel(child);
		fc_call_drop(child);
	}
}

/* ---- metadata ---- */

static void
add_pair(farcall_call *call, fc_pairs *pairs, const char *key, const void *value, size_t size,
    bool binary)
{
	fc_error error;

	if (call->doomed || (!call->ops->server && call->code != FARCALL_OK))
		return;
	fc_error_clear(&error);
	if (fc_pairs_add(pairs, &call->kept, key, value, size, binary, &error) == FARCALL_OK)
		return;
	if (call->ops->server) { /* not the client's fault */
		call->doomed = true;
		if (error.code == FARCALL_INVALID_ARGUMENT)
			error.code = FARCALL_INTERNAL;
	}
	fc_call_settle_error(call, &error);
}

static void
add_head(farcall_call *call, const char *key, const void *value, size_t size, bool binary)
{
	if (call == NULL)
		return;
	if (fc_intercept_stages(call))
		fc_intercept_stage(call, false, key, value, size, binary);
	else if (call->ops->server ? call->head_sent : call->started)
		fc_call_misuse(call, "metadata was added after it had been sent");
	else
		add_pair(call, &call->head, key, value, size, binary);
}

void
farcall_call_add_metadata(farcall_call *call, const char *key, const char *value)
{
	add_head(call, key, value, value != NULL ? strlen(value) : 0, false);
}

void
farcall_call_add_metadata_bin(farcall_call *call, const char *key, const void *data, size_t size)
{
	add_head(call, key, data, size, true);
}

static void
add_tail(farcall_call *call, const char *key, const void *value, size_t size, bool binary)
{
	if (call == NULL)
		return;
	if (fc_intercept_stages(call))
		fc_intercept_stage(call, true, key, value, size, binary);
	else if (!call->ops->server)
		fc_call_misuse(call, "only a server's call has trailers to add to");
	else
		add_pair(call, &call->tail, key, value, size, binary);
}

void
farcall_call_add_trailer(farcall_call *call, const char *key, const char *value)
{
	add_tail(call, key, value, value != NULL ? strlen(value) : 0, false);
}

void
farcall_call_add_trailer_bin(farcall_call *call, const char *key, const void *data, size_t size)
{
	add_tail(call, key, data, size, true);
}

const farcall_metadata *
farcall_call_metadata(const farcall_call *call)
{
	if (call == NULL ||
	    (is_client_stream(call) ? !call->ops->headed(call) : is_under_way(call)))
		return &no_metadata;
	return &call->received;
}

const farcall_metadata *
farcall_call_trailers(const farcall_call *call)
{
	return call != NULL && !is_under_way(call) ? &call->trailers : &no_metadata;
}

/* ---- memory ---- */

static void *
give(farcall_call *call, fc_arena *arena, size_t size)
{
	void *memory = fc_arena_alloc(arena, size);

	if (memory == NULL)
		fc_call_doom_by_memory(call, arena);
	else
		memset(memory, 0, size);
	return memory;
}

void *
farcall_call_alloc(farcall_call *call, size_t size)
{
	return call != NULL ? give(call, &call->out, size) : NULL;
}

/* A stream's sender and its receiver may both ask. */
void *
farcall_call_keep(farcall_call *call, size_t size)
{
	void *memory;

	if (call == NULL)
		return NULL;
	if (call->flow == NULL)
		return give(call, &call->kept, size);
	fc_spin_lock(&call->lock);
	memory = give(call, &call->kept, size);
	fc_spin_unlock(&call->lock);
	return memory;
}

/* A string that may be given where memory was refused: writable, since the API gives char *. */
static char *
empty(void)
{
	static char nothing[1];

	return nothing;
}

char *
farcall_call_strdup(farcall_call *call, const char *text)
{
	char *copy;

	if (call == NULL || text == NULL)
		return empty();
	copy = fc_arena_strndup(&call->out, text, strlen(text));
	if (copy == NULL)
		fc_call_doom_by_memory(call, &call->out);
	return copy != NULL ? copy : empty();
}

char *
farcall_call_printf(farcall_call *call, const char *format, ...)
{
	va_list arguments;
	char *text;

	if (call == NULL)
		return empty();
	va_start(arguments, format);
	text = fc_arena_vprintf(&call->out, format, arguments);
	va_end(arguments);
	if (text == NULL)
		fc_call_doom_by_memory(call, &call->out);
	return text != NULL ? text : empty();
}

/* ---- who and what ---- */

uint64_t
farcall_call_remaining_ms(const farcall_call *call)
{
	uint64_t now;

	if (call == NULL || call->deadline == FC_NEVER)
		return UINT64_MAX;
	now = call->clock();
	return call->deadline <= now ? 0 : (call->deadline - now + FC_NS_PER_MS - 1) / FC_NS_PER_MS;
}

void *
farcall_call_self(const farcall_call *call)
{
	return call != NULL ? call->self : NULL;
}

const farcall_method *
farcall_call_method(const farcall_call *call)
{
	return call != NULL ? call->method : NULL;
}

const char *
farcall_call_peer(const farcall_call *call)
{
	return call != NULL ? call->ops->peer(call) : "";
}

bool
farcall_call_peer_ids(const farcall_call *call, int64_t *uid, int64_t *gid, int64_t *pid)
{
	return call != NULL && call->ops->peer_ids(call, uid, gid, pid);
}
