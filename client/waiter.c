/*
 * waiter.c: what somebody waits for: how it begins, how its deadline is watched, how whoever waits
 * is told. Who turns the loop meanwhile is drive.c's.
 */
#include "client/internal.h"

static void on_timer(fc_timer *timer);
static void on_start(fc_task *task);

farcall_code
fc_waiter_init(fc_waiter *waiter, const fc_waiter_ops *ops, fc_error *error)
{
	memset(waiter, 0, sizeof *waiter);
	waiter->ops = ops;
	return fc_cond_init(&waiter->cond, error);
}

void
fc_waiter_fini(fc_waiter *waiter)
{
	fc_cond_fini(&waiter->cond);
}

void
fc_waiter_reset(fc_waiter *waiter, farcall_channel *channel)
{
	waiter->channel = channel;
	waiter->deadline = FC_NEVER;
	waiter->start.run = on_start;
	waiter->start.queued = false;
	fc_timer_init(&waiter->timer, on_timer);
	waiter->counted = waiter->begun = waiter->done = waiter->asleep = waiter->promoted = false;
	fc_list_init(&waiter->in_sleepers);
}

static void
on_timer(fc_timer *timer)
{
	fc_waiter *waiter = FC_CONTAINER(timer, fc_waiter, timer);

	waiter->ops->expire(waiter);
}

void
fc_waiter_begin(fc_waiter *waiter)
{
	waiter->begun = true;
	waiter->ops->begin(waiter);
}

/* One that is still to be begun will be watched then: it must not end before, since its task is in
 * the mailbox. */
void
fc_waiter_watch(fc_waiter *waiter)
{
	if (!waiter->begun || waiter->done || waiter->deadline == FC_NEVER || waiter->timer.at != 0)
		return;
	if (!fc_timer_start(waiter->channel->loop, &waiter->timer, waiter->deadline))
		waiter->ops->no_memory(waiter);
}

/* The deadline is watched first: once begun, it may be over and gone. */
static void
start(fc_waiter *waiter)
{
	if (waiter->deadline != FC_NEVER &&
	    !fc_timer_start(waiter->channel->loop, &waiter->timer, waiter->deadline))
		waiter->ops->no_memory(waiter);
	else
		fc_waiter_begin(waiter);
}

static void
on_start(fc_task *task)
{
	fc_waiter *waiter = FC_CONTAINER(task, fc_waiter, start);
	farcall_channel *channel = waiter->channel;

	if (waiter->counted)
		channel->active--;
	else
		fc_drive_took(channel);
	if (FARCALL_LIKELY(!channel->shut)) {
		start(waiter);
		return;
	}
	fc_channel_hold(channel);
	start(waiter);
	fc_channel_check_over(channel);
	fc_channel_drop(channel);
}

/* A sleeper may go its way as soon as the lock is given back. */
void
fc_waiter_done(fc_waiter *waiter)
{
	farcall_channel *channel = waiter->channel;

	fc_timer_stop(channel->loop, &waiter->timer);
	if (!waiter->asleep) {
		waiter->done = true;
		return;
	}
	fc_lock(&channel->lock);
	waiter->done = true;
	waiter->asleep = false;
	fc_list_remove(&waiter->in_sleepers);
	fc_cond_signal(&waiter->cond);
	fc_unlock(&channel->lock);
}
