/*
 * state.c: the channel's state: what it is, and who is told of its changes. Only the owner changes
 * it, so changes have one order; closing makes it SHUTDOWN at once for whoever asks, and as the
 * last change for whoever is told. Each change is told by a task of the loop, as callbacks are.
 */
#include "client/internal.h"

#include "runtime/base/log.h"

static const char *const names[] = {
    "IDLE",
    "CONNECTING",
    "READY",
    "TRANSIENT_FAILURE",
    "SHUTDOWN",
};

const char *
farcall_state_name(farcall_state state)
{
	return (size_t)state < FC_COUNT(names) ? names[state] : "unknown";
}

farcall_state
farcall_channel_state(const farcall_channel *channel)
{
	if (channel == NULL || channel->nil)
		return FARCALL_SHUTDOWN;
	return (farcall_state)atomic_load_explicit(&channel->state, memory_order_relaxed);
}

/* ---- telling ---- */

static void
tell_one(farcall_channel *channel, farcall_state state)
{
	farcall_on_state *on_state;
	void *data;

	fc_lock(&channel->lock);
	on_state = channel->on_state;
	data = channel->on_state_data;
	fc_unlock(&channel->lock);
	if (on_state != NULL)
		on_state(channel, state, data);
}

/* What changes meanwhile is told by another run. */
static void
run_tell(fc_task *task)
{
	farcall_channel *channel = FC_CONTAINER(task, farcall_channel, tell_state);
	farcall_state states[FC_CLIENT_STATES_MOST];
	size_t n = channel->n_untold;

	memcpy(states, channel->untold, n * sizeof *states);
	channel->n_untold = 0;
	for (size_t i = 0; i < n; i++)
		tell_one(channel, states[i]);
	channel->active--;
	fc_channel_check_over(channel);
	fc_channel_drop(channel);
}

static bool
is_watched(farcall_channel *channel)
{
	bool watched;

	fc_lock(&channel->lock);
	watched = channel->on_state != NULL;
	fc_unlock(&channel->lock);
	return watched;
}

static void
note(farcall_channel *channel, farcall_state state)
{
	if (channel->n_untold == FC_CLIENT_STATES_MOST)
		channel->n_untold--;
	channel->untold[channel->n_untold++] = state;
	if (channel->n_untold != 1)
		return;
	fc_channel_hold(channel);
	channel->active++;
	channel->tell_state.run = run_tell;
	fc_drive_deliver(channel, &channel->tell_state);
}

/* Closing may say SHUTDOWN at this moment in another thread: that stands. */
void
fc_channel_set_state(farcall_channel *channel, farcall_state state)
{
	int before = atomic_load_explicit(&channel->state, memory_order_relaxed);

	while (before != FARCALL_SHUTDOWN &&
	    !atomic_compare_exchange_weak_explicit(
	        &channel->state, &before, state, memory_order_relaxed, memory_order_relaxed))
		;
	if (channel->last_state == state)
		return;
	channel->last_state = state;
	if (is_watched(channel))
		note(channel, state);
}

void
farcall_channel_on_state(farcall_channel *channel, farcall_on_state *on_state, void *data)
{
	fc_error error;

	if (channel == NULL || channel->nil)
		return;
	fc_error_clear(&error);
	if (fc_channel_failure(channel, &error) != FARCALL_OK)
		return;
	atomic_store_explicit(&channel->used, true, memory_order_relaxed);
	fc_lock(&channel->lock);
	channel->on_state = on_state;
	channel->on_state_data = data;
	fc_unlock(&channel->lock);
	if (on_state == NULL || fc_drive_need(channel, &error) == FARCALL_OK)
		return;
	fc_log(FARCALL_LOG_ERROR, "channel: on state: %s", error.text);
	fc_channel_fail(channel, &error);
}
