/*
 * test_mail.c: posts and wakes from other threads; a loop stepped by poll(); a loop inside a
 * uv_loop_t.
 */
#include "runtime/loop/loop.h"
#include "runtime/loop/thread.h"

#include <farcall/log.h>
#include <farcall/uv.h>

#include "tests/support/test.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define POSTERS 4
#define POSTS 50000
#define ROUND 500 /* posts that one thread has under way */

typedef struct letter {
	fc_task task;
	struct poster *from;
	int number;
	atomic_bool busy;
} letter;

typedef struct poster {
	fc_thread thread;
	fc_loop *loop;
	letter letters[ROUND];
	int received; /* the loop's */
	atomic_int *left;
} poster;

static void
receive(fc_task *task)
{
	letter *l = FC_CONTAINER(task, letter, task);
	poster *p = l->from;

	assert_int_equal(l->number, p->received); /* those of a thread come in their order */
	p->received++;
	atomic_store(&l->busy, false);
}

static void
post_many(void *data)
{
	poster *p = (poster *)data;

	for (int i = 0; i < POSTS; i++) {
		letter *l = &p->letters[i % ROUND];

		while (atomic_load(&l->busy))
			uv_sleep(0);
		l->number = i;
		atomic_store(&l->busy, true);
		fc_loop_post(p->loop, &l->task);
	}
	atomic_fetch_sub(p->left, 1);
	fc_loop_wake(p->loop);
}

static void
no_post_is_lost(void **state)
{
	fc_error error = {FARCALL_OK, FARCALL_CAUSE_NONE, ""};
	fc_loop *loop = fc_loop_open(NULL, &error);
	poster *posters = (poster *)calloc(POSTERS, sizeof *posters);
	atomic_int left = POSTERS;
	int received = 0;

	(void)state;
	assert_non_null(posters);
	for (int i = 0; i < POSTERS; i++) {
		poster *p = &posters[i];

		p->loop = loop;
		p->left = &left;
		for (int j = 0; j < ROUND; j++) {
			p->letters[j].task.run = receive;
			p->letters[j].from = p;
		}
		assert_int_equal(fc_thread_start(&p->thread, post_many, p, &error), FARCALL_OK);
	}
	/* Without a limit: a lost wake-up would hang here. */
	while (received < POSTERS * POSTS) {
		fc_loop_turn(loop, FC_NEVER);
		received = 0;
		for (int i = 0; i < POSTERS; i++)
			received += posters[i].received;
	}
	for (int i = 0; i < POSTERS; i++)
		fc_thread_join(&posters[i].thread);
	assert_int_equal(atomic_load(&left), 0);
	fc_loop_close(loop);
	free(posters);
}

/* One message at a time, so that the loop sleeps each time. */
typedef struct pong {
	fc_loop *mine, *theirs;
	fc_task task;
	struct pong *other;
	int left;
} pong;

static void
bounce(fc_task *task)
{
	pong *p = FC_CONTAINER(task, pong, task);

	p->left--;
	if (p->left + p->other->left > 0)
		fc_loop_post(p->theirs, &p->other->task);
}

static void
drive(void *data)
{
	pong *p = (pong *)data;

	while (p->left > 0)
		fc_loop_turn(p->mine, FC_NEVER);
}

static void
sleeping_loops_are_woken(void **state)
{
	fc_error error = {FARCALL_OK, FARCALL_CAUSE_NONE, ""};
	fc_loop *a = fc_loop_open(NULL, &error), *b = fc_loop_open(NULL, &error);
	pong pa = {a, b, {{NULL}, bounce, false}, NULL, 5000}, pb = pa;
	fc_thread thread;

	(void)state;
	pb.mine = b;
	pb.theirs = a;
	pa.other = &pb;
	pb.other = &pa;
	assert_int_equal(fc_thread_start(&thread, drive, &pb, &error), FARCALL_OK);
	fc_loop_post(a, &pa.task);
	drive(&pa);
	fc_thread_join(&thread);
	assert_int_equal(pb.left, 0);
	fc_loop_close(b);
	fc_loop_close(a);
}

static void
wake_soon(void *data)
{
	uv_sleep(5);
	fc_loop_wake((fc_loop *)data);
}

static void
wake_ends_the_wait(void **state)
{
	fc_error error = {FARCALL_OK, FARCALL_CAUSE_NONE, ""};
	fc_loop *loop = fc_loop_open(NULL, &error);
	fc_thread thread;

	(void)state;
	assert_int_equal(fc_thread_start(&thread, wake_soon, loop, &error), FARCALL_OK);
	assert_false(fc_thread_is_self(&thread));
	fc_loop_turn(loop, FC_NEVER);
	fc_thread_join(&thread);
	fc_loop_close(loop);
}

/* ---- stepped by poll() ---- */

typedef struct event {
	fc_task task;
	fc_timer timer;
	fc_loop *loop;
	int n;
	farcall_code inner;
} event;

static void
count_task(fc_task *task)
{
	event *e = FC_CONTAINER(task, event, task);

	e->n++;
	e->inner = farcall_loop_step(e->loop, 0);
}

static void
count_timer(fc_timer *timer)
{
	FC_CONTAINER(timer, event, timer)->n++;
}

static void
post_soon(void *data)
{
	event *e = (event *)data;

	uv_sleep(5);
	fc_loop_post(e->loop, &e->task);
}

static void
step_as_told(farcall_loop *loop)
{
	struct pollfd p = {(int)farcall_loop_fd(loop), POLLIN, 0};

	assert_true(p.fd >= 0);
	assert_true(poll(&p, 1, farcall_loop_timeout_ms(loop)) >= 0);
	assert_int_equal(farcall_loop_step(loop, 0), FARCALL_OK);
}

static void
ignore_log(farcall_log_level level, const char *text, void *data)
{
	(void)level;
	(void)text;
	(void)data;
}

static void
stepped_by_poll(void **state)
{
	fc_error error = {FARCALL_OK, FARCALL_CAUSE_NONE, ""};
	farcall_loop *loop = farcall_loop_new();
	event e = {.task = {{NULL}, count_task, false}, .loop = loop};
	fc_thread thread;

	(void)state;
	farcall_log_set(ignore_log, NULL);
	fc_timer_init(&e.timer, count_timer);
	assert_true(farcall_loop_fd(loop) >= 0);
	/* a timer */
	assert_true(fc_timer_start(loop, &e.timer, fc_loop_clock(loop) + 3 * FC_NS_PER_MS));
	assert_in_range(farcall_loop_timeout_ms(loop), 0, 3);
	while (e.n == 0)
		step_as_told(loop);
	/* posts from another thread, while nobody is inside: the descriptor must tell */
	for (int i = 0; i < 3; i++) {
		assert_int_equal(fc_thread_start(&thread, post_soon, &e, &error), FARCALL_OK);
		while (e.n == 1 + i)
			step_as_told(loop);
		fc_thread_join(&thread);
		assert_int_equal(e.inner, FARCALL_FAILED_PRECONDITION);
	}
	/* a task made ready between steps */
	fc_loop_ready(loop, &e.task);
	assert_int_equal(farcall_loop_timeout_ms(loop), 0);
	step_as_told(loop);
	assert_int_equal(e.n, 5);
	farcall_loop_free(loop);
	farcall_log_set(NULL, NULL);
}

static void
no_loop(void **state)
{
	fc_error error = {FARCALL_OK, FARCALL_CAUSE_NONE, ""};

	(void)state;
	farcall_log_set(ignore_log, NULL);
	assert_int_equal(farcall_loop_step(NULL, 0), FARCALL_FAILED_PRECONDITION);
	assert_int_equal(farcall_loop_fd(NULL), -1);
	assert_int_equal(farcall_loop_timeout_ms(NULL), -1);
	farcall_loop_free(NULL);
	assert_int_equal(fc_loop_failure(NULL, &error), FARCALL_FAILED_PRECONDITION);
	assert_int_equal(
	    farcall_loop_step(farcall_loop_from_uv(NULL), 0), FARCALL_INVALID_ARGUMENT);
	farcall_log_set(NULL, NULL);
}

/* ---- guest ---- */

static void
guest_turns(void **state)
{
	fc_error error = {FARCALL_OK, FARCALL_CAUSE_NONE, ""};
	farcall_loop *loop;
	fc_thread thread;
	event e, tick;
	uint64_t due;
	uv_loop_t uv;

	(void)state;
	farcall_log_set(ignore_log, NULL);
	assert_int_equal(uv_loop_init(&uv), 0);
	loop = farcall_loop_from_uv(&uv);
	assert_true(fc_loop_is_guest(loop));
	memset(&e, 0, sizeof e);
	e.task.run = count_task;
	e.loop = loop;
	tick = e;
	fc_timer_init(&tick.timer, count_timer);
	/* nothing to do: it holds nobody up */
	assert_int_equal(uv_run(&uv, UV_RUN_DEFAULT), 0);
	/* a ready task, a post of one's own */
	fc_loop_ready(loop, &e.task);
	assert_int_equal(uv_run(&uv, UV_RUN_DEFAULT), 0);
	assert_int_equal(e.n, 1);
	assert_int_equal(e.inner, FARCALL_FAILED_PRECONDITION);
	/* a timer holds uv_run() until it has fired */
	due = fc_loop_clock(loop) + 2 * FC_NS_PER_MS;
	assert_true(fc_timer_start(loop, &tick.timer, due));
	assert_int_equal(uv_run(&uv, UV_RUN_DEFAULT), 0);
	assert_int_equal(tick.n, 1);
	assert_true(uv_hrtime() >= due);
	/* a post from another thread wakes the poll, which something else holds open */
	fc_loop_keep(loop, true);
	assert_int_equal(fc_thread_start(&thread, post_soon, &e, &error), FARCALL_OK);
	while (e.n == 1)
		uv_run(&uv, UV_RUN_ONCE);
	fc_thread_join(&thread);
	fc_loop_keep(loop, false);
	assert_int_equal(e.n, 2);
	assert_int_equal(farcall_loop_step(loop, 0), FARCALL_FAILED_PRECONDITION);
	assert_int_equal(farcall_loop_fd(loop), -1);
	farcall_loop_free(loop);
	assert_int_equal(uv_run(&uv, UV_RUN_DEFAULT), 0);
	assert_int_equal(uv_loop_close(&uv), 0);
	farcall_log_set(NULL, NULL);
}

/* ---- fork ---- */

/* A child that frees what it inherited leaves the parent's loop alone. */
static void
a_child_may_free(void **state)
{
	fc_error error = {FARCALL_OK, FARCALL_CAUSE_NONE, ""};
	fc_loop *loop = fc_loop_open(NULL, &error);
	event e = {.task = {{NULL}, count_task, false}, .loop = loop};
	fc_thread thread;
	pid_t child;
	int status;

	(void)state;
	farcall_log_set(ignore_log, NULL);
	fc_loop_turn(loop, 0);
	child = fork();
	if (child == 0) {
		fc_loop_close(loop);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(fc_thread_start(&thread, post_soon, &e, &error), FARCALL_OK);
	while (e.n == 0)
		fc_loop_turn(loop, FC_NEVER);
	fc_thread_join(&thread);
	fc_loop_close(loop);
	farcall_log_set(NULL, NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(no_post_is_lost),
	    clean_test(sleeping_loops_are_woken),
	    clean_test(wake_ends_the_wait),
	    clean_test(stepped_by_poll),
	    clean_test(no_loop),
	    clean_test(guest_turns),
	    clean_test(a_child_may_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
