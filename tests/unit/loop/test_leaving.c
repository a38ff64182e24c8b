/*
 * test_leaving.c: exit() waits for threads that are about to end, for a second at most, and for no
 * others.
 */
#include "runtime/loop/thread.h"

#include "tests/support/test.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <uv.h>

typedef struct leaver {
	unsigned ms; /* so long its end takes */
	bool told;
	int to;
} leaver;

static void
leave(void *data)
{
	const leaver *self = (const leaver *)data;

	uv_sleep(self->ms);
	if (write(self->to, "x", 1) != 1)
		abort();
	if (self->told)
		fc_thread_left();
}

/* A process that exits beside the thread: whether the thread came to its end, and how long the
 * process took. */
static bool
exit_beside(leaver *l, uint64_t *ms)
{
	uint64_t begun = uv_hrtime();
	int ends[2], status;
	pid_t child;
	char byte;
	bool came;

	assert_int_equal(pipe(ends), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		l->to = ends[1];
		if (l->told)
			fc_thread_leaving();
		exit(fc_thread_start_alone(leave, l) ? 7 : 8);
	}
	close(ends[1]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	*ms = (uv_hrtime() - begun) / 1000000;
	came = read(ends[0], &byte, 1) == 1;
	close(ends[0]);
	return came;
}

static void
exit_waits_for_who_leaves(void **state)
{
	leaver soon = {.ms = 100, .told = true};
	bool came = false;
	uint64_t ms;

	(void)state;
	for (int i = 0; i < 10 && !came; i++) /* a busy machine may keep it longer than a second */
		came = exit_beside(&soon, &ms);
	assert_true(came);
	assert_true(ms >= 100);
}

static void
but_a_second_at_most(void **state)
{
	leaver never = {.ms = 60000, .told = true};
	uint64_t ms;

	(void)state;
	assert_false(exit_beside(&never, &ms));
	assert_true(ms >= 1000 && ms < 30000);
}

static void
and_for_nobody_else(void **state)
{
	leaver stays = {.ms = 60000, .told = false};
	uint64_t usual = 0, ms = UINT64_MAX; /* a sanitizer may add its own second to both */

	(void)state;
	for (int i = 0; i < 10 && ms >= usual + 900; i++) { /* the machine may add to the one */
		assert_false(exit_beside(&stays, &usual));
		/* a child has none of its parent's threads */
		fc_thread_leaving();
		assert_false(exit_beside(&stays, &ms));
		fc_thread_left();
	}
	assert_true(ms < usual + 900);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(exit_waits_for_who_leaves),
	    clean_test(but_a_second_at_most),
	    clean_test(and_for_nobody_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
