/*
 * test_parent.c: a handler that calls a second server for its caller: the deadline travels with the
 * call, and so does its end.
 */
#include "tests/support/pair.h"

#include <uv.h>

typedef struct relay {
	test_pair front, back;
	atomic_int ended; /* children */
	_Atomic farcall_code code;
} relay;

static void
child_done(farcall_call *child, farcall_code code, const Pair__Message *reply, void *data)
{
	farcall_call *parent = (farcall_call *)data;
	relay *r = (relay *)((test_pair *)farcall_call_self(parent))->data;

	(void)reply;
	atomic_store(&r->code, code);
	farcall_call_free(child);
	if (!farcall_call_cancelled(parent) || code != FARCALL_CANCELLED)
		farcall_call_fail(parent, code, "from behind");
	farcall_call_complete(parent, code);
	atomic_fetch_add(&r->ended, 1);
}

static farcall_code
pass_on(test_pair *pair, farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	relay *r = (relay *)pair->data;
	farcall_call *child = farcall_call_new(r->back.channel);

	(void)reply;
	farcall_call_set_parent(child, call);
	pair_test_wait__async(child, request, child_done, call);
	return FARCALL_PENDING;
}

static void
orphan_done(farcall_call *child, farcall_code code, const Pair__Message *reply, void *data)
{
	relay *r = (relay *)data;

	(void)reply;
	atomic_store(&r->code, code);
	farcall_call_free(child);
	atomic_fetch_add(&r->ended, 1);
}

/* Answers without waiting for the child. */
static farcall_code
abandon(test_pair *pair, farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	relay *r = (relay *)pair->data;
	farcall_call *child = farcall_call_new(r->back.channel);

	*reply = *request;
	farcall_call_set_parent(child, call);
	pair_test_wait__async(child, request, orphan_done, r);
	return FARCALL_OK;
}

static void
begin(relay *r)
{
	memset(r, 0, sizeof *r);
	test_pair_init(&r->back, "mem:back");
	test_pair_start(&r->back);
	test_pair_init(&r->front, "mem:front");
	r->front.custom = pass_on;
	r->front.data = r;
	test_pair_start(&r->front);
}

static void
end(relay *r)
{
	test_pair_fini(&r->front);
	farcall_server_stop(r->back.server, 0);
	farcall_server_wait(r->back.server); /* no handler runs any more */
	for (int i = 0; i < atomic_load(&r->back.n_waiting); i++)
		farcall_call_complete(r->back.waiting[i], FARCALL_OK);
	test_pair_fini(&r->back);
	for (int i = 0; i < 5000 && test_allocator_live() != 0; i++)
		uv_sleep(1);
}

typedef struct caller {
	farcall_call *call;
	farcall_code code;
	uv_thread_t thread;
} caller;

static void
call_front(void *data)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	caller *c = (caller *)data;

	c->code = pair_test_custom(c->call, &request, NULL);
}

static void
cancelling_reaches_the_server_behind(void **state)
{
	caller c;
	relay r;

	(void)state;
	begin(&r);
	c.call = farcall_call_new(r.front.channel);
	uv_thread_create(&c.thread, call_front, &c);
	test_wait_for(&r.back.n_waiting, 1);
	farcall_call_cancel(c.call);
	uv_thread_join(&c.thread);
	assert_int_equal(c.code, FARCALL_CANCELLED);
	test_wait_for(&r.ended, 1);
	assert_int_equal(atomic_load(&r.code), FARCALL_CANCELLED);
	test_wait_for(&r.back.n_cancelled, 1);
	farcall_call_free(c.call);
	end(&r);
}

static void
the_deadline_reaches_the_server_behind(void **state)
{
	caller c;
	relay r;

	(void)state;
	begin(&r);
	for (uint64_t ms = 300; atomic_load(&r.back.n_waiting) == 0; ms *= 4) {
		c.call = farcall_call_new(r.front.channel);
		farcall_call_set_timeout_ms(c.call, ms);
		uv_thread_create(&c.thread, call_front, &c);
		if (test_soon(&r.back.n_waiting, 1)) /* else it was not in time */
			assert_in_range(
			    farcall_call_remaining_ms(r.back.waiting[0]), 0, ms + 1 + ms / 100);
		uv_thread_join(&c.thread);
		assert_int_equal(c.code, FARCALL_DEADLINE_EXCEEDED);
		farcall_call_free(c.call);
	}
	test_wait_for(&r.ended, 1);
	test_wait_for(&r.back.n_cancelled, 1);
	assert_true(atomic_load(&r.code) == FARCALL_DEADLINE_EXCEEDED ||
	    atomic_load(&r.code) == FARCALL_CANCELLED);
	end(&r);
}

static void
the_earlier_deadline_wins(void **state)
{
	farcall_call *parent, *child;
	relay r;
	Pair__Message request = PAIR__MESSAGE__INIT;

	(void)state;
	begin(&r);
	parent = farcall_call_new(r.back.channel);
	farcall_call_set_timeout_ms(parent, 60000);
	child = farcall_call_new(r.back.channel);
	farcall_call_set_parent(child, child);
	farcall_call_set_parent(child, NULL);
	farcall_call_set_parent(child, parent);
	farcall_call_set_timeout_ms(child, 30);
	assert_int_equal(pair_test_wait(child, &request, NULL), FARCALL_DEADLINE_EXCEEDED);
	farcall_call_free(child);
	farcall_call_free(parent);
	end(&r);
}

/* Calls that were each other's parents would keep each other for ever. */
static void
a_circle_of_parents_is_refused(void **state)
{
	farcall_call *calls[3];
	Pair__Message request = PAIR__MESSAGE__INIT;
	relay r;

	(void)state;
	begin(&r);
	for (int i = 0; i < 3; i++)
		calls[i] = farcall_call_new(r.back.channel);
	farcall_call_set_parent(calls[0], calls[1]);
	farcall_call_set_parent(calls[1], calls[2]);
	test_log_catch();
	farcall_call_set_parent(calls[2], calls[0]);
	assert_int_equal(test_log_count(), 1);
	test_log_release();
	assert_string_equal(farcall_call_error(calls[2]),
	    "FAILED_PRECONDITION: set parent: the parent is a child of the call");
	assert_int_equal(pair_test_echo(calls[2], &request, NULL), FARCALL_FAILED_PRECONDITION);
	for (int i = 0; i < 3; i++)
		farcall_call_free(calls[i]);
	end(&r);
}

static void
a_parent_that_answers_ends_its_children(void **state)
{
	caller c;
	relay r;

	(void)state;
	begin(&r);
	r.front.custom = abandon;
	c.call = farcall_call_new(r.front.channel);
	call_front(&c);
	assert_int_equal(c.code, FARCALL_OK);
	test_wait_for(&r.ended, 1);
	assert_int_equal(atomic_load(&r.code), FARCALL_CANCELLED);
	farcall_call_free(c.call);
	end(&r);
	/* The child may have ended before it was sent. */
	assert_int_equal(atomic_load(&r.back.n_cancelled), atomic_load(&r.back.n_waiting));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(cancelling_reaches_the_server_behind),
	    clean_test(the_deadline_reaches_the_server_behind),
	    clean_test(the_earlier_deadline_wins),
	    clean_test(a_circle_of_parents_is_refused),
	    clean_test(a_parent_that_answers_ends_its_children),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
