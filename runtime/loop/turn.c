/*
 * turn.c: the turn of a loop. A turn waits in one call of uv_run(), whose callbacks only read,
 * parse and queue; what they made ready runs after it.
 *
 * The price of a turn without news is one system call. The time-out of the wait goes into that call
 * by a timer of libuv's, which costs none. A post writes to the loop's descriptor only when the
 * loop sleeps, and only once a sleep.
 *
 * A thread may lose the loop while it is inside a task (fc_loop_take()): it then finds another
 * owner when the task returns, and must not touch the loop any more. Only a thread itself makes
 * itself owner, so the look at `owner` needs no lock.
 */
#include "runtime/loop/inside.h"

#define TASKS_A_TURN 4096u /* past them the loop polls before it goes on */
#define TASKS_A_FLUSH 16u
#define NS_A_FLUSH UINT64_C(200000)
#define NS_BETWEEN_CLOCKS (NS_A_FLUSH / 8)
#define NS_A_TURN FC_NS_PER_MS
#define WAIT_MOST_MS UINT64_C(3600000)

static uintptr_t
self(void)
{
	return (uintptr_t)uv_thread_self();
}

static bool
is_owner(const fc_loop *loop)
{
	return atomic_load_explicit(&loop->owner, memory_order_relaxed) == self();
}

bool
fc_loop_inside(const fc_loop *loop)
{
	return loop != NULL && is_owner(loop);
}

uint64_t
fc_loop_real_clock(const fc_loop *loop)
{
	return loop->clock != NULL ? loop->clock->now : uv_hrtime();
}

uint64_t
fc_loop_clock(fc_loop *loop)
{
	loop->now = fc_loop_real_clock(loop);
	return loop->now;
}

uint64_t
fc_loop_now(const fc_loop *loop)
{
	return loop->fresh ? loop->now : fc_loop_real_clock(loop);
}

/* ---- mail ---- */

bool
fc_loop_has_mail(const fc_loop *loop)
{
	return atomic_load(&loop->mailbox) != 0 || atomic_load(&loop->woken);
}

static void
rouse(fc_loop *loop)
{
	if (atomic_load(&loop->sleeping) && atomic_exchange(&loop->sleeping, false))
		uv_async_send(&loop->async);
}

/* `posting` keeps the loop alive for a poster whose task has run and ended the loop before the
 * poster came back from here: the loop's end waits for it. */
void
fc_loop_post(fc_loop *loop, fc_task *task)
{
	uintptr_t first;

	atomic_fetch_add_explicit(&loop->posting, 1, memory_order_relaxed);
	first = atomic_load_explicit(&loop->mailbox, memory_order_relaxed);
	do
		task->link.next = (fc_link *)first;
	while (!atomic_compare_exchange_weak(&loop->mailbox, &first, (uintptr_t)&task->link));
	rouse(loop);
	atomic_fetch_sub_explicit(&loop->posting, 1, memory_order_release);
}

void
fc_loop_wake(fc_loop *loop)
{
	atomic_fetch_add_explicit(&loop->posting, 1, memory_order_relaxed);
	atomic_store(&loop->woken, true);
	rouse(loop);
	atomic_fetch_sub_explicit(&loop->posting, 1, memory_order_release);
}

static void
take_mail(fc_loop *loop)
{
	fc_link *mail = NULL, *next, *link;

	if (atomic_load_explicit(&loop->mailbox, memory_order_relaxed) == 0)
		return;
	for (link = (fc_link *)atomic_exchange(&loop->mailbox, 0); link != NULL; link = next) {
		next = link->next;
		link->next = mail;
		mail = link;
	}
	for (; mail != NULL; mail = next) {
		next = mail->next;
		FC_CONTAINER(mail, fc_task, link)->queued = true;
		fc_queue_push(&loop->ready, mail);
	}
}

/* ---- tasks ---- */

/* An active idle handle keeps libuv from waiting in its poll; nothing else is wanted of it. */
void
fc_loop_idle(uv_idle_t *idle)
{
	(void)idle;
}

/* A guest that is called between its turns must be run again though nothing else happens. */
static void
stay_awake(fc_loop *loop)
{
	if (loop->guest && !is_owner(loop))
		uv_idle_start(&loop->idle, fc_loop_idle);
}

static void
queue(fc_loop *loop, fc_queue *to, fc_task *task)
{
	if (task->queued)
		return;
	task->queued = true;
	fc_queue_push(to, &task->link);
	stay_awake(loop);
}

void
fc_loop_ready(fc_loop *loop, fc_task *task)
{
	queue(loop, &loop->ready, task);
}

void
fc_loop_flush_later(fc_loop *loop, fc_task *task)
{
	queue(loop, &loop->flush, task);
}

static void
run_next(fc_queue *from)
{
	fc_task *task = FC_CONTAINER(fc_queue_pop(from), fc_task, link);

	task->queued = false;
	task->run(task);
}

/* Those queued when it begins, up to `last`; what they queue waits for the next flush. */
static void
flush_to(fc_loop *loop, fc_link *last)
{
	fc_queue all = loop->flush;

	fc_queue_init(&loop->flush);
	if (last != NULL)
		fc_queue_push(&loop->flush, last);
	while (all.first != last)
		run_next(&all);
}

static void
flush(fc_loop *loop)
{
	if (!fc_queue_empty(&loop->flush))
		flush_to(loop, NULL);
}

/* When a turn looks at the clock. Not after each task: while they are short, after the 1st, 2nd,
 * 4th and 8th since the last flush. */
typedef struct pacing {
	uint64_t end; /* of the turn's tasks; 0: the clock was not read yet */
	uint64_t flushed;
	unsigned since,
	    look;         /* tasks since the last flush; the clock is read when they are `look` */
	fc_link **joined; /* the flush queue's end after the last flush */
} pacing;

static void
flushed(fc_loop *loop, pacing *pace, uint64_t now)
{
	pace->flushed = now;
	pace->since = 0;
	pace->look = 1;
	pace->joined = loop->flush.end;
}

static void
flush_at(fc_loop *loop, pacing *pace, uint64_t now)
{
	flush(loop);
	flushed(loop, pace, now);
}

/* After so many tasks: a connection that has joined others since the last flush is likely to be in
 * the middle of its tasks, and is left to the next flush, so that it needs one write for them. */
static void
flush_many(fc_loop *loop, pacing *pace, uint64_t now)
{
	fc_link *last = FC_CONTAINER(loop->flush.end, fc_link, next);

	if (loop->flush.end == pace->joined || loop->flush.first == last)
		flush(loop);
	else
		flush_to(loop, last);
	flushed(loop, pace, now);
}

/* False: the turn has lasted long enough. */
static bool
keep_pace(fc_loop *loop, pacing *pace)
{
	uint64_t now = fc_loop_real_clock(loop), passed = now - pace->flushed;

	if (pace->end == 0)
		pace->end = now + NS_A_TURN;
	if (now >= pace->end)
		return false;
	if (passed >= NS_A_FLUSH)
		flush_at(loop, pace, fc_loop_real_clock(loop));
	else if (pace->since >= TASKS_A_FLUSH)
		flush_many(loop, pace, fc_loop_real_clock(loop));
	else if (passed < NS_BETWEEN_CLOCKS)
		pace->look = FC_MIN(2 * pace->since, TASKS_A_FLUSH);
	else
		pace->look = pace->since + 1;
	return true;
}

/* False: the loop was taken over inside a task. */
static bool
run_tasks(fc_loop *loop)
{
	const uintptr_t me = self();
	pacing pace = {0, loop->now, 0, 1, loop->flush.end};

	for (unsigned left = TASKS_A_TURN; left > 0; left--) {
		if (fc_queue_empty(&loop->ready)) {
			if (fc_queue_empty(&loop->flush))
				return true;
			flush_at(loop, &pace, pace.flushed);
			continue;
		}
		run_next(&loop->ready);
		if (atomic_load_explicit(&loop->owner, memory_order_relaxed) != me)
			return false;
		if (++pace.since >= pace.look && !fc_queue_empty(&loop->flush) &&
		    !keep_pace(loop, &pace))
			break;
	}
	flush(loop);
	return true;
}

bool
fc_loop_work(fc_loop *loop)
{
	fc_loop_awake(loop);
	take_mail(loop);
	fc_heap_run(loop);
	return run_tasks(loop);
}

/* ---- the turn ---- */

void
fc_loop_awake(fc_loop *loop)
{
	if (loop->fresh)
		return;
	fc_loop_clock(loop);
	loop->fresh = true;
	if (!loop->guest)
		atomic_store_explicit(&loop->sleeping, false, memory_order_relaxed);
}

void
fc_loop_enter(fc_loop *loop)
{
	fc_loop_after_fork(loop);
	loop->turns++;
	atomic_store_explicit(&loop->owner, self(), memory_order_relaxed);
	if (atomic_load_explicit(&loop->polled, memory_order_relaxed))
		atomic_store_explicit(&loop->sleeping, false, memory_order_relaxed);
}

void
fc_loop_leave(fc_loop *loop)
{
	loop->fresh = false;
	atomic_store_explicit(&loop->owner, 0, memory_order_relaxed);
	if (atomic_load_explicit(&loop->polled, memory_order_relaxed))
		atomic_store(&loop->sleeping, true);
	if (loop->over)
		fc_loop_shut(loop);
}

bool
fc_loop_has_work(const fc_loop *loop)
{
	return !fc_queue_empty(&loop->ready) || !fc_queue_empty(&loop->flush) ||
	    fc_loop_has_mail(loop);
}

/* The wait allowed, given what the loop itself waits for. */
static uint64_t
limit(fc_loop *loop, uint64_t wait_ns)
{
	uint64_t due = fc_heap_next(&loop->timers), now;

	if (wait_ns == 0 || fc_loop_has_work(loop))
		return 0;
	if (due == FC_NEVER)
		return wait_ns;
	now = fc_loop_real_clock(loop);
	if (due <= now)
		return 0;
	return FC_MIN(wait_ns, due - now);
}

/* libuv before 1.45 runs timers before it polls: one that is due by then must not leave the poll
 * without a limit. */
void
fc_loop_timer_hit(uv_timer_t *timer)
{
	fc_loop *loop = (fc_loop *)timer->data;

	uv_idle_start(&loop->idle, fc_loop_idle);
}

/* Rounded up: nothing fires early. libuv counts from the time that it read last. */
void
fc_loop_arm(fc_loop *loop, uint64_t wait_ns)
{
	uint64_t ms = wait_ns / FC_NS_PER_MS + (wait_ns % FC_NS_PER_MS != 0);
	uint64_t now = uv_hrtime() / FC_NS_PER_MS, then = uv_now(loop->uv);

	if (wait_ns == FC_NEVER) {
		uv_timer_stop(&loop->timer);
		return;
	}
	ms = FC_MIN(ms, WAIT_MOST_MS) + (now > then ? now - then : 0);
	uv_timer_start(&loop->timer, fc_loop_timer_hit, ms, 0);
}

static void
sleep_in_poll(fc_loop *loop, uint64_t wait_ns)
{
	atomic_store(&loop->sleeping, true);
	if (fc_loop_has_mail(loop)) {
		uv_run(loop->uv, UV_RUN_NOWAIT);
	} else {
		fc_loop_arm(loop, wait_ns);
		uv_run(loop->uv, UV_RUN_ONCE);
		uv_timer_stop(&loop->timer);
		uv_idle_stop(&loop->idle);
	}
	atomic_store_explicit(&loop->sleeping, false, memory_order_relaxed);
}

/* Nothing sleeps: without work the time that would be slept through passes at once. */
static void
turn_virtual(fc_loop *loop, uint64_t wait_ns)
{
	uint64_t now = loop->clock->now, due;

	uv_run(loop->uv, UV_RUN_NOWAIT);
	if (loop->fresh || fc_loop_has_work(loop))
		return;
	due = fc_heap_next(&loop->timers);
	if (due != FC_NEVER && due <= now)
		return;
	if (wait_ns != FC_NEVER && (due == FC_NEVER || due - now > wait_ns))
		due = now + wait_ns;
	if (due != FC_NEVER)
		loop->clock->now = due;
}

bool
fc_loop_turn(fc_loop *loop, uint64_t wait_ns)
{
	fc_loop_enter(loop);
	if (loop->clock != NULL) {
		turn_virtual(loop, wait_ns);
	} else {
		wait_ns = limit(loop, wait_ns);
		if (wait_ns != 0)
			sleep_in_poll(loop, wait_ns);
		else
			uv_run(loop->uv, UV_RUN_NOWAIT);
	}
	atomic_store_explicit(&loop->woken, false, memory_order_relaxed);
	if (!fc_loop_work(loop))
		return false;
	fc_loop_leave(loop);
	return true;
}

bool
fc_loop_take(fc_loop *loop)
{
	atomic_store_explicit(&loop->owner, self(), memory_order_relaxed);
	fc_loop_clock(loop);
	flush(loop);
	if (!run_tasks(loop))
		return false;
	fc_loop_leave(loop);
	return true;
}
