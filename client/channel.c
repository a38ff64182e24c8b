/*
 * channel.c: a channel's set-up, its references and its end. Closing ends every call at once with
 * CANCELLED, drops the lines and lets go; the memory stays until the last call that the program
 * still holds is freed.
 */
#include "client/internal.h"
#include "client/plan.h"

#include "runtime/base/alloc.h"
#include "runtime/base/log.h"
#include "runtime/loop/fork.h"

#define USER_AGENT "grpc-c-farcall/0.1.0"
#define DEFAULT_MAX_MESSAGE (4u << 20)
#define DEFAULT_MAX_METADATA (16u << 10)

static farcall_channel nil = {.nil = true,
    .state = FARCALL_SHUTDOWN,
    .failed = true,
    .error = {FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_OUT_OF_MEMORY, "channel: out of memory"}};

/* ---- references ---- */

void
fc_channel_hold(farcall_channel *channel)
{
	fc_refs_hold(&channel->refs);
}

static void
destroy(farcall_channel *channel)
{
	fc_resolver_stop(&channel->sub.resolver);
	fc_calls_free(channel);
	fc_pool_fini(&channel->pool);
	fc_address_fini(&channel->address);
	fc_service_config_free(channel->service);
	fc_waiter_fini(&channel->thread_waiter);
	fc_mutex_fini(&channel->lock);
	if (channel->loop != NULL)
		fc_loop_drop(channel->loop);
	fc_free(channel);
}

void
fc_channel_drop(farcall_channel *channel)
{
	if (fc_refs_drop(&channel->refs))
		destroy(channel);
}

/* ---- errors ---- */

void
fc_channel_fail(farcall_channel *channel, const fc_error *error)
{
	if (channel->nil)
		return;
	fc_lock(&channel->lock);
	if (channel->error.code == FARCALL_OK)
		channel->error = *error;
	fc_unlock(&channel->lock);
	atomic_store_explicit(&channel->failed, true, memory_order_release);
}

farcall_code
fc_channel_failure(farcall_channel *channel, fc_error *error)
{
	if (!atomic_load_explicit(&channel->failed, memory_order_acquire))
		return FARCALL_OK;
	*error = channel->error;
	return error->code;
}

/* Of set-up; else of the last wait_ready, which may end in another thread at this moment. */
static const fc_error *
shown(const farcall_channel *channel)
{
	if (atomic_load_explicit(&channel->failed, memory_order_acquire))
		return &channel->error;
	return &channel->ready_error;
}

static void
copy_shown(const farcall_channel *channel, farcall_code *code, farcall_cause *cause)
{
	fc_mutex *lock = channel->nil ? NULL : (fc_mutex *)(uintptr_t)&channel->lock;

	if (lock != NULL)
		fc_lock(lock);
	*code = shown(channel)->code;
	*cause = shown(channel)->cause;
	if (lock != NULL)
		fc_unlock(lock);
}

farcall_code
farcall_channel_code(const farcall_channel *channel)
{
	farcall_code code = FARCALL_FAILED_PRECONDITION;
	farcall_cause cause;

	if (channel != NULL)
		copy_shown(channel, &code, &cause);
	return code;
}

farcall_cause
farcall_channel_cause(const farcall_channel *channel)
{
	farcall_cause cause = FARCALL_CAUSE_NONE;
	farcall_code code;

	if (channel != NULL)
		copy_shown(channel, &code, &cause);
	return cause;
}

const char *
farcall_channel_error(const farcall_channel *channel)
{
	if (channel == NULL)
		return "the channel is NULL";
	return shown(channel)->code != FARCALL_OK ? shown(channel)->text : "";
}

/* ---- set-up ---- */

static void
begin_lists(farcall_channel *channel)
{
	fc_refs_init(&channel->refs);
	channel->forks = fc_forks_watch();
	fc_spin_init(&channel->calls_lock);
	fc_pool_init(&channel->pool, FC_CLIENT_POOL_MOST);
	fc_list_init(&channel->sleepers);
	fc_list_init(&channel->pending);
	fc_list_init(&channel->held);
	fc_list_init(&channel->planned);
	fc_list_init(&channel->lines);
	fc_list_init(&channel->ready_waits);
	fc_queue_init(&channel->deferred);
	channel->timeout_ns = FC_NEVER;
	channel->keep_call = FC_PLAN_CALL_BYTES;
	channel->keep_most = FC_PLAN_CHANNEL_BYTES;
	channel->most_waiting = FC_CLIENT_WAITING_MOST;
	channel->peer_timeout_ms = FC_CLIENT_PEER_TIMEOUT_MS;
	channel->config.client = true;
	channel->config.keepalive_timeout_ns = FC_CLIENT_KEEPALIVE_TIMEOUT_MS * FC_NS_PER_MS;
	channel->config.max_message = DEFAULT_MAX_MESSAGE;
	channel->config.max_metadata = DEFAULT_MAX_METADATA;
	channel->config.stream_window = FC_CLIENT_STREAM_WINDOW;
	channel->config.connection_window = FC_CLIENT_CONNECTION_WINDOW;
	channel->config.settings_timeout_ns = FC_CLIENT_SETTINGS_NS;
	channel->config.user_agent = USER_AGENT;
	channel->config.scheme = "http";
	channel->config.codings = FC_CODING_GZIP | FC_CODING_DEFLATE;
}

/* The program's own mistake is no reason to have no object: it answers that mistake. */
static farcall_code
set_target(farcall_channel *channel, const char *target)
{
	fc_error error;

	fc_error_clear(&error);
	if (target == NULL)
		fc_fail(&error, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_BAD_ADDRESS,
		    "the target is NULL");
	else if (fc_address_parse(&channel->address, target, &error) == FARCALL_OK)
		fc_address_check_target(&channel->address, &error);
	if (error.code == FARCALL_OK)
		channel->config.authority = fc_address_authority(&channel->address);
	else
		fc_channel_fail(channel, &error);
	return error.cause == FARCALL_CAUSE_OUT_OF_MEMORY ? error.code : FARCALL_OK;
}

farcall_channel *
farcall_channel_open(const char *target)
{
	farcall_channel *channel = (farcall_channel *)fc_calloc(1, sizeof *channel);

	if (channel == NULL)
		return &nil;
	if (fc_mutex_init(&channel->lock, NULL) != FARCALL_OK)
		goto no_lock;
	if (fc_waiter_init(&channel->thread_waiter, NULL, NULL) != FARCALL_OK)
		goto no_waiter;
	fc_waiter_reset(&channel->thread_waiter, channel);
	begin_lists(channel);
	if (set_target(channel, target) == FARCALL_OK)
		return channel;
	fc_channel_drop(channel);
	return &nil;
no_waiter:
	fc_mutex_fini(&channel->lock);
no_lock:
	fc_free(channel);
	return &nil;
}

/* Settings come before the first call. */
bool
fc_channel_in_setup(farcall_channel *channel, const char *step)
{
	fc_error error;

	if (channel == NULL || channel->nil)
		return false;
	if (fc_forked(channel->forks)) {
		fc_log(FARCALL_LOG_ERROR, "channel: misuse: %s: " FC_FORKED_TEXT, step);
		return false;
	}
	if (!atomic_load_explicit(&channel->used, memory_order_relaxed))
		return true;
	fc_log(FARCALL_LOG_ERROR, "channel: misuse: %s after the first call", step);
	fc_error_clear(&error);
	fc_fail(&error, FARCALL_FAILED_PRECONDITION, FARCALL_CAUSE_NONE, "%s after the first call",
	    step);
	fc_channel_fail(channel, &error);
	return false;
}

bool
fc_channel_in_range(
    farcall_channel *channel, const char *what, uint64_t value, uint64_t least, uint64_t most)
{
	fc_error error;

	if (value >= least && value <= most)
		return true;
	fc_error_clear(&error);
	fc_fail(&error, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_NONE,
	    "%s: %llu is not within %llu and %llu", what, (unsigned long long)value,
	    (unsigned long long)least, (unsigned long long)most);
	fc_channel_fail(channel, &error);
	return false;
}

void
farcall_channel_allow_insecure(farcall_channel *channel)
{
	if (fc_channel_in_setup(channel, "allow insecure"))
		channel->insecure = true;
}

void
farcall_channel_set_timeout_ms(farcall_channel *channel, uint64_t ms)
{
	if (fc_channel_in_setup(channel, "set time-out"))
		channel->timeout_ns = ms < FC_NEVER / FC_NS_PER_MS ? ms * FC_NS_PER_MS : FC_NEVER;
}

void
farcall_channel_set_max_message(farcall_channel *channel, size_t bytes)
{
	if (fc_channel_in_setup(channel, "set max message") &&
	    fc_channel_in_range(channel, "max message", bytes, 1, INT32_MAX))
		channel->config.max_message = bytes;
}

void
farcall_channel_set_max_metadata(farcall_channel *channel, size_t bytes)
{
	if (fc_channel_in_setup(channel, "set max metadata") &&
	    fc_channel_in_range(channel, "max metadata", bytes, 1024, 1u << 16))
		channel->config.max_metadata = bytes;
}

void
farcall_channel_set_compression(farcall_channel *channel, farcall_coding coding)
{
	fc_error error;

	fc_error_clear(&error);
	if (fc_channel_in_setup(channel, "set compression") &&
	    !fc_coding_check(coding, &channel->coding, &error))
		fc_channel_fail(channel, &error);
}

void
farcall_channel_set_spin_us(farcall_channel *channel, unsigned us)
{
	if (fc_channel_in_setup(channel, "set spin") &&
	    fc_channel_in_range(channel, "spin", us, 0, FC_CLIENT_SPIN_MOST_US))
		channel->spin_us = us;
}

static void
set_peer_timeout(farcall_channel *channel, uint64_t ms)
{
	channel->peer_timeout_ms = (unsigned)ms;
	channel->peer_timeout_set = true;
}

void
farcall_channel_set_peer_timeout_ms(farcall_channel *channel, uint64_t ms)
{
	if (fc_channel_in_setup(channel, "set peer time-out") &&
	    (ms == 0 ||
	        fc_channel_in_range(channel, "peer time-out", ms, FC_CLIENT_PEER_TIMEOUT_LEAST_MS,
	            FC_CLIENT_PEER_TIMEOUT_MOST_MS)))
		set_peer_timeout(channel, ms);
}

void
farcall_channel_intercept(
    farcall_channel *channel, const farcall_interceptor *hooks, size_t hooks_size, void *data)
{
	fc_error error;

	if (!fc_channel_in_setup(channel, "intercept"))
		return;
	fc_error_clear(&error);
	if (fc_interceptors_add(&channel->chain, hooks, hooks_size, data, &error) != FARCALL_OK)
		fc_channel_fail(channel, &error);
}

void
farcall_channel_set_loop(farcall_channel *channel, farcall_loop *loop)
{
	fc_error error;

	if (!fc_channel_in_setup(channel, "set loop"))
		return;
	fc_error_clear(&error);
	if (fc_loop_failure(loop, &error) != FARCALL_OK) {
		fc_channel_fail(channel, &error);
		return;
	}
	fc_loop_hold(loop);
	if (channel->loop != NULL)
		fc_loop_drop(channel->loop);
	channel->loop = loop;
	channel->lent = true;
}

void
farcall_channel_set_service_config(farcall_channel *channel, const char *json)
{
	fc_service_config *service = NULL;
	fc_error error;

	if (!fc_channel_in_setup(channel, "set service config"))
		return;
	fc_error_clear(&error);
	if (json != NULL && (service = fc_service_config_parse(json, &error)) == NULL) {
		fc_channel_fail(channel, &error);
		return;
	}
	fc_service_config_free(channel->service);
	channel->service = service;
	channel->tokens = service != NULL ? service->max_tokens : 0;
}

void
farcall_channel_set_retry_buffer(
    farcall_channel *channel, size_t bytes_of_call, size_t bytes_of_channel)
{
	if (!fc_channel_in_setup(channel, "set retry buffer"))
		return;
	channel->keep_call = bytes_of_call;
	channel->keep_most = bytes_of_channel;
}

void
farcall_channel_set_max_waiting(farcall_channel *channel, size_t most)
{
	if (fc_channel_in_setup(channel, "set max waiting") &&
	    fc_channel_in_range(channel, "max waiting", most, 1, INT32_MAX))
		channel->most_waiting = most;
}

void
fc_channel_seed(farcall_channel *channel, uint64_t seed)
{
	channel->seed = seed;
}

/* ---- the end ---- */

static void
end_calls(fc_list *calls)
{
	fc_list_each (item, next, calls)
		fc_call_end_with(FC_CONTAINER(item, fc_client_call, in_list), FARCALL_CANCELLED,
		    FARCALL_CAUSE_SHUTDOWN, "the channel has been closed");
}

void
fc_channel_shut(farcall_channel *channel)
{
	fc_error closed;

	channel->shut = true;
	fc_channel_set_state(channel, FARCALL_SHUTDOWN);
	if (channel->config.pool != NULL)
		fc_subchannel_stop(channel);
	end_calls(&channel->planned); /* first: their shadows stand on the other lists */
	end_calls(&channel->pending);
	end_calls(&channel->held);
	fc_list_each (item, next, &channel->lines)
		end_calls(&FC_CONTAINER(item, fc_line, in_channel)->calls);
	fc_error_clear(&closed);
	fc_fail(&closed, FARCALL_CANCELLED, FARCALL_CAUSE_SHUTDOWN, "the channel has been closed");
	fc_ready_tell(channel, &closed);
	fc_list_each (item, next, &channel->lines)
		fc_line_end(FC_CONTAINER(item, fc_line, in_channel));
	fc_channel_check_over(channel);
}

/* Nothing of the channel is on its loop any more: a lent one is given back, the thread ends. */
void
fc_channel_check_over(farcall_channel *channel)
{
	fc_loop *loop;

	if (!channel->shut || channel->active != 0 || !fc_list_empty(&channel->lines))
		return;
	if (!channel->lent) {
		if (channel->threaded)
			channel->thread_waiter.done = true;
		return;
	}
	fc_lock(&channel->lock);
	loop = channel->loop;
	if (atomic_load(&channel->posted) == 0)
		channel->loop = NULL;
	else
		loop = NULL;
	fc_unlock(&channel->lock);
	if (loop != NULL)
		fc_loop_drop(loop);
}

void
farcall_channel_close(farcall_channel *channel)
{
	if (channel == NULL || channel->nil)
		return;
	if (fc_forked(channel->forks)) {
		if (channel->loop != NULL && !channel->lent)
			fc_loop_abandon(channel->loop);
		return;
	}
	fc_drive_close(channel);
	atomic_store_explicit(&channel->state, FARCALL_SHUTDOWN, memory_order_relaxed);
	fc_channel_drop(channel);
}
