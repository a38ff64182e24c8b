/*
 * drive.c: who turns the loop. Three ways:
 *
 *   No thread: a blocking caller that finds nobody driving becomes the driver: it turns the loop
 * until what it waits for is done, completes other waiters on the way, never runs a callback, and
 * passes the role on to the next sleeper when it leaves. Others post what they want and sleep. A
 * thread: the first callback starts it; it drives until the channel is closed, all others sleep. A
 * lent loop: the program turns it; a blocking caller turns it itself.
 *
 * The lock orders the passing of the role; while it is held and nobody drives, its holder is the
 * loop's owner. Nothing is posted without somebody who drives, and nobody leaves with posts unread.
 */
#include "client/internal.h"

#include "runtime/loop/crew.h"
#include "runtime/loop/fork.h"

/* Not the turn's: a deadline that is set in a callback, behind others that took long, counts from
 * then. */
uint64_t
fc_channel_now(farcall_channel *channel)
{
	return channel->lent && channel->loop != NULL ? fc_loop_real_clock(channel->loop)
	                                              : uv_hrtime();
}

/* ---- the role of the driver ---- */

/* Locked. Until it is done, or has been given the role. */
static void
sleep_until_called(farcall_channel *channel, fc_waiter *waiter)
{
	while (!waiter->done && !waiter->promoted)
		fc_cond_wait(&waiter->cond, &channel->lock);
	waiter->promoted = false;
}

/* There is mail, or, when all is over, a callback that mail has made due. */
static bool
has_work(farcall_channel *channel)
{
	return atomic_load(&channel->posted) != 0 ||
	    (channel->shut && channel->threaded && channel->active != 0);
}

/* Locked; the caller drives. Gives the role to the next sleeper, if there is one. */
static void
leave(farcall_channel *channel)
{
	fc_list *first;
	fc_waiter *next;

	while (fc_list_empty(&channel->sleepers) && has_work(channel)) {
		fc_unlock(&channel->lock);
		fc_loop_turn(channel->loop, 0);
		fc_lock(&channel->lock);
	}
	channel->driven_at = fc_channel_now(channel);
	first = fc_list_pop(&channel->sleepers);
	channel->driving = first != NULL;
	if (first == NULL)
		return;
	next = FC_CONTAINER(first, fc_waiter, in_sleepers);
	next->asleep = false;
	next->promoted = true;
	fc_cond_signal(&next->cond);
}

/* What has happened while nobody drove is seen before anything is written. */
static void
look_around(farcall_channel *channel)
{
	if (fc_channel_now(channel) - channel->driven_at > FC_CLIENT_UNDRIVEN_NS)
		fc_loop_turn(channel->loop, 0);
}

static uint64_t
time_to(const fc_waiter *waiter, uint64_t now)
{
	if (waiter->deadline == FC_NEVER || waiter->timer.at != 0)
		return FC_NEVER;
	return waiter->deadline > now ? waiter->deadline - now : 0;
}

/* Turns until it is done, or the thread wants to drive. */
static void
turn_until_done(farcall_channel *channel, fc_waiter *waiter)
{
	bool bound = waiter->deadline != FC_NEVER;
	bool spins = channel->spin_us != 0;
	uint64_t now = bound || spins ? fc_channel_now(channel) : 0;
	uint64_t spin_until = now + channel->spin_us * UINT64_C(1000);

	while (!waiter->done && !atomic_load_explicit(&channel->yield, memory_order_relaxed)) {
		fc_loop_turn(channel->loop, spins ? 0 : time_to(waiter, now));
		if (waiter->done || (!bound && !spins))
			continue;
		now = fc_channel_now(channel);
		spins = spins && now < spin_until;
		if (waiter->begun && time_to(waiter, now) == 0)
			waiter->ops->expire(waiter);
	}
}

/* The caller has the role, until it leaves: done, or put to sleep by the thread that took over. */
static void
drive(farcall_channel *channel, fc_waiter *waiter)
{
	for (;;) {
		turn_until_done(channel, waiter);
		fc_waiter_watch(waiter);
		fc_lock(&channel->lock);
		if (!waiter->done) {
			waiter->asleep = true;
			fc_list_append(&channel->sleepers, &waiter->in_sleepers);
		}
		leave(channel);
		if (!waiter->done)
			sleep_until_called(channel, waiter);
		fc_unlock(&channel->lock);
		if (waiter->done)
			return;
	}
}

/* Locked. A loop of the channel's own is made when it is wanted first. */
static farcall_code
need_loop(farcall_channel *channel, fc_error *error)
{
	if (channel->closed)
		return fc_fail(error, FARCALL_CANCELLED, FARCALL_CAUSE_SHUTDOWN,
		    "the channel has been closed");
	if (channel->config.pool != NULL)
		return FARCALL_OK;
	if (!channel->lent)
		channel->loop = fc_loop_open(NULL, error);
	if (channel->loop == NULL)
		return error->code;
	channel->config.pool = fc_loop_pool(channel->loop);
	channel->driven_at = fc_channel_now(channel);
	fc_subchannel_init(channel);
	return FARCALL_OK;
}

static farcall_code
refuse_forked(fc_error *error)
{
	return fc_fail(error, FARCALL_FAILED_PRECONDITION, FARCALL_CAUSE_NONE, FC_FORKED_TEXT);
}

static farcall_code
refuse_inside(fc_error *error)
{
	return fc_fail(error, FARCALL_FAILED_PRECONDITION, FARCALL_CAUSE_NONE,
	    "a blocking call inside a step of the channel's own loop");
}

static farcall_code
refuse_guest(fc_error *error)
{
	return fc_fail(error, FARCALL_FAILED_PRECONDITION, FARCALL_CAUSE_NONE,
	    "a blocking call on a loop made of a uv_loop_t, which only its program runs");
}

farcall_code
fc_drive_may_block(farcall_channel *channel, fc_error *error)
{
	if (fc_forked(channel->forks))
		return refuse_forked(error);
	if (channel->lent && channel->loop != NULL && fc_loop_is_guest(channel->loop))
		return refuse_guest(error);
	if (fc_loop_inside(channel->loop))
		return refuse_inside(error);
	return FARCALL_OK;
}

static farcall_code
drive_lent(farcall_channel *channel, fc_waiter *waiter, fc_error *error)
{
	farcall_code code = need_loop(channel, error);

	if (code != FARCALL_OK)
		return code;
	if (fc_loop_is_guest(channel->loop))
		return refuse_guest(error);
	if (fc_loop_inside(channel->loop))
		return refuse_inside(error);
	look_around(channel);
	code = need_loop(channel, error); /* a callback may have closed it */
	if (code != FARCALL_OK)
		return code;
	fc_waiter_begin(waiter);
	turn_until_done(channel, waiter);
	if (channel->loop != NULL)
		channel->driven_at = fc_channel_now(channel);
	return FARCALL_OK;
}

static farcall_code need_thread(farcall_channel *channel, fc_error *error);

farcall_code
fc_drive(farcall_channel *channel, fc_waiter *waiter, fc_error *error)
{
	farcall_code code;
	bool first;

	if (fc_forked(channel->forks))
		return refuse_forked(error);
	fc_crew_block_begin();
	if (channel->lent)
		return drive_lent(channel, waiter, error);
	fc_lock(&channel->lock);
	code = need_loop(channel, error);
	if (code == FARCALL_OK && fc_loop_inside(channel->loop))
		code = refuse_inside(error);
	if (code == FARCALL_OK && FARCALL_UNLIKELY(channel->watchful))
		code = need_thread(channel, error);
	if (code != FARCALL_OK) {
		fc_unlock(&channel->lock);
		return code;
	}
	first = !channel->driving;
	channel->driving = true;
	if (!first) {
		waiter->asleep = true;
		fc_list_append(&channel->sleepers, &waiter->in_sleepers);
		fc_drive_post(channel, &waiter->start);
		sleep_until_called(channel, waiter);
	}
	fc_unlock(&channel->lock);
	if (first) {
		look_around(channel);
		fc_waiter_begin(waiter);
	}
	if (first || !waiter->done)
		drive(channel, waiter);
	return FARCALL_OK;
}

/* ---- the thread ---- */

static void
deliver_deferred(farcall_channel *channel)
{
	while (!fc_queue_empty(&channel->deferred))
		fc_loop_ready(
		    channel->loop, FC_CONTAINER(fc_queue_pop(&channel->deferred), fc_task, link));
}

static void
run_thread(void *data)
{
	farcall_channel *channel = (farcall_channel *)data;
	fc_waiter *self = &channel->thread_waiter;

	fc_lock(&channel->lock);
	if (channel->driving) {
		atomic_store(&channel->yield, true);
		fc_loop_wake(channel->loop);
		self->asleep = true;
		fc_list_append(channel->sleepers.next, &self->in_sleepers);
		sleep_until_called(channel, self);
	}
	channel->driving = true;
	atomic_store(&channel->yield, false);
	fc_unlock(&channel->lock);
	channel->threaded = true;
	deliver_deferred(channel);
	fc_channel_check_over(channel);
	while (!self->done)
		fc_loop_turn(channel->loop, FC_NEVER);
	fc_lock(&channel->lock);
	leave(channel);
	channel->has_thread = false;
	fc_unlock(&channel->lock);
	fc_channel_drop(channel);
	fc_thread_left();
}

/* Locked. */
static farcall_code
need_thread(farcall_channel *channel, fc_error *error)
{
	if (channel->has_thread)
		return FARCALL_OK;
	fc_channel_hold(channel);
	if (!fc_thread_start_alone(run_thread, channel)) {
		fc_refs_drop(&channel->refs);
		return fc_fail(error, FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_SYSTEM,
		    "the channel's thread could not be started");
	}
	channel->has_thread = true;
	return FARCALL_OK;
}

/* The owner. */
static void
start_here(farcall_channel *channel, fc_waiter *waiter)
{
	waiter->counted = true;
	channel->active++;
	fc_loop_ready(channel->loop, &waiter->start);
}

farcall_code
fc_drive_async(farcall_channel *channel, fc_waiter *waiter, fc_error *error)
{
	farcall_code code;

	if (fc_forked(channel->forks))
		return refuse_forked(error);
	if (channel->lent) { /* to the one thread that is here */
		code = need_loop(channel, error);
		if (code == FARCALL_OK)
			start_here(channel, waiter);
		return code;
	}
	fc_lock(&channel->lock);
	code = need_loop(channel, error);
	if (code == FARCALL_OK)
		code = need_thread(channel, error);
	if (code == FARCALL_OK && fc_loop_inside(channel->loop))
		start_here(channel, waiter);
	else if (code == FARCALL_OK)
		fc_drive_post(channel, &waiter->start);
	fc_unlock(&channel->lock);
	return code;
}

farcall_code
fc_drive_need(farcall_channel *channel, fc_error *error)
{
	farcall_code code;

	fc_lock(&channel->lock);
	code = need_loop(channel, error);
	if (code == FARCALL_OK && !channel->lent)
		code = need_thread(channel, error);
	fc_unlock(&channel->lock);
	return code;
}

/* ---- from other threads ---- */

bool
fc_drive_post(farcall_channel *channel, fc_task *task)
{
	if (channel->loop == NULL || (!channel->lent && !channel->driving && !channel->has_thread))
		return false;
	atomic_fetch_add(&channel->posted, 1);
	fc_loop_post(channel->loop, task);
	return true;
}

void
fc_drive_took(farcall_channel *channel)
{
	atomic_fetch_sub(&channel->posted, 1);
}

void
fc_drive_deliver(farcall_channel *channel, fc_task *task)
{
	if (channel->lent || channel->threaded)
		fc_loop_ready(channel->loop, task);
	else
		fc_queue_push(&channel->deferred, &task->link);
}

/* ---- closing ---- */

static void
on_close(fc_task *task)
{
	farcall_channel *channel = FC_CONTAINER(task, farcall_channel, close_task);

	fc_drive_took(channel);
	fc_channel_shut(channel);
	fc_channel_drop(channel);
}

/* Nobody drives: this thread does, for a few turns that wait for nothing. */
static void
close_here(farcall_channel *channel)
{
	fc_channel_shut(channel);
	for (int i = 0; i < 8 && !fc_list_empty(&channel->lines); i++)
		fc_loop_turn(channel->loop, 0);
	fc_lock(&channel->lock);
	leave(channel);
	fc_unlock(&channel->lock);
}

void
fc_drive_close(farcall_channel *channel)
{
	bool here = false;

	fc_lock(&channel->lock);
	channel->closed = true;
	if (channel->has_thread)
		fc_thread_leaving();
	if (channel->loop != NULL && !channel->lent) {
		channel->close_task.run = on_close;
		fc_channel_hold(channel);
		here = !fc_drive_post(channel, &channel->close_task);
		channel->driving = channel->driving || here;
	}
	fc_unlock(&channel->lock);
	if (here) {
		close_here(channel);
		fc_channel_drop(channel);
	} else if (channel->lent && channel->loop != NULL) {
		fc_channel_shut(channel);
	}
}
