/*
 * Memory runs out, at every allocation in turn, once and for good: engine against engine, a unary
 * call and a stream. Whatever happens, nothing is lost track of: each call has its verdict or its
 * connection is dead, and all memory comes back.
 */
#include "tests/support/test.h"

#include "tests/support/duo.h"

#include <stdio.h>

static const fc_engine_ops *const ops = &fc_h2_engine;

typedef struct scenario {
	const char *name;
	duo_shape shape;
	uint32_t requests, replies;
	size_t most;
	unsigned coding;
} scenario;

static const scenario scenarios[] = {
    {"unary", DUO_UNARY, 1, 1, 64, 0},
    {"large unary", DUO_UNARY, 1, 1, 200000, 0},
    {"bidi", DUO_BIDI, 5, 5, 60000, 0},
    {"compressed unary", DUO_UNARY, 1, 1, 200000, FC_CODING_GZIP},
    {"compressed bidi", DUO_BIDI, 5, 5, 60000, FC_CODING_DEFLATE},
};

/* Ends like an owner would: a dead or hopeless connection is ended at both sides. */
static void
run_to_a_verdict(duo *d)
{
	fc_error why;

	if (duo_run(d))
		return;
	fc_error_clear(&why);
	fc_fail(&why, FARCALL_UNAVAILABLE, FARCALL_CAUSE_CONNECTION_LOST, "gone");
	/* A call may hang only if an end of the connection died. */
	assert_true(d->client_dead || d->server_dead);
	ops->end(d->client, &why);
	ops->end(d->server, &why);
	assert_true(d->client_dead && d->server_dead);
}

/* false: nothing failed any more. */
static bool
fail_nth(const scenario *s, size_t nth, bool sticky)
{
	bool opened, failed;
	duo_call *call = NULL;
	duo d;

	duo_init(&d, 7);
	d.coding = s->coding;
	d.pool.most = 0; /* every block comes from the heap */
	d.chunk = 5000;
	test_allocator_fail_at(nth, sticky);
	opened = duo_open(&d);
	if (opened) {
		call = duo_start(&d, s->shape, 13, s->requests, s->replies, s->most);
		run_to_a_verdict(&d);
		assert_int_equal(d.open, 0);
		assert_int_equal(d.wrong, 0);
		if (call != NULL && call->code == FARCALL_OK)
			assert_int_equal(call->replies.at, call->replies.count);
	}
	failed = test_allocator_failed();
	test_allocator_fail_at(0, false);
	if (!failed)
		assert_true(opened && call != NULL && call->code == FARCALL_OK);
	/* After the shortage a living pair works again. */
	if (opened && !d.client_dead && !d.server_dead) {
		call = duo_start(&d, DUO_UNARY, 21, 1, 1, 64);
		assert_non_null(call);
		assert_true(duo_run(&d));
		assert_int_equal(call->code, FARCALL_OK);
		assert_int_equal(d.wrong, 0);
	}
	duo_fini(&d);
	return failed;
}

static void
every_allocation_fails(void **state)
{
	(void)state;
	for (size_t i = 0; i < FC_COUNT(scenarios); i++) {
		size_t nth = 1, points = 0;

		for (; fail_nth(&scenarios[i], nth, false); nth++)
			points++;
		for (nth = 1; fail_nth(&scenarios[i], nth, true); nth++)
			points++;
		print_message("%s: %zu failures\n", scenarios[i].name, points);
		assert_true(points > 40);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(every_allocation_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
