/*
 * Tickets of closures: good once; late, spent and forgotten ones are told apart; 2^20 at a time.
 */
#include "server/internal.h"
#include "tests/support/test.h"

#include <stdlib.h>

#include <uv.h>

enum { MOST = 1 << 20, FIRST = 256 };

static farcall_call some[2]; /* only their addresses count */

static fc_ticket_use
take(void *ticket, bool cancelled)
{
	farcall_call *call = NULL;
	fc_ticket_use use = fc_ticket_take(ticket, cancelled, &call);

	assert_true((call != NULL) == (use == FC_TICKET_GOOD));
	return use;
}

static void
a_ticket_is_good_once(void **state)
{
	farcall_call *call = NULL;
	void *ticket, *other;

	(void)state;
	fc_tickets_hold();
	ticket = fc_ticket_new(&some[0]);
	other = fc_ticket_new(&some[1]);
	assert_true(ticket != other);
	assert_int_equal(fc_ticket_take(ticket, false, &call), FC_TICKET_GOOD);
	assert_ptr_equal(call, &some[0]);
	assert_int_equal(take(ticket, false), FC_TICKET_SPENT);
	assert_int_equal(take(ticket, true), FC_TICKET_SPENT);
	assert_int_equal(fc_ticket_take(other, true, &call), FC_TICKET_GOOD);
	assert_ptr_equal(call, &some[1]);
	assert_int_equal(take(other, false), FC_TICKET_LATE);
	assert_int_equal(take(other, false), FC_TICKET_SPENT);
	fc_tickets_drop();
	assert_int_equal(take(ticket, false), FC_TICKET_FORGOTTEN);
	assert_int_equal(take(NULL, false), FC_TICKET_FORGOTTEN);
}

/* Places are used in turn: the one used up last is remembered longest. */
static void
what_is_used_up_is_remembered_for_a_round(void **state)
{
	void *ticket, *next;

	(void)state;
	fc_tickets_hold();
	ticket = fc_ticket_new(&some[0]);
	take(ticket, true);
	for (int i = 1; i < FIRST; i++)
		assert_int_equal(take(fc_ticket_new(&some[1]), false), FC_TICKET_GOOD);
	assert_int_equal(take(ticket, false), FC_TICKET_LATE);
	next = fc_ticket_new(&some[1]);
	assert_int_equal((uintptr_t)next & (MOST - 1), (uintptr_t)ticket & (MOST - 1));
	assert_int_equal(take(ticket, false), FC_TICKET_FORGOTTEN);
	assert_int_equal(take(next, false), FC_TICKET_GOOD);
	fc_tickets_drop();
}

static void
no_ticket_of_a_former_table_is_good(void **state)
{
	void *old[4], *now;

	(void)state;
	for (int i = 0; i < 4; i++) {
		fc_tickets_hold();
		old[i] = fc_ticket_new(&some[0]);
		for (int j = 0; j < i; j++)
			assert_int_equal(take(old[j], false), FC_TICKET_FORGOTTEN);
		take(old[i], false);
		fc_tickets_drop();
	}
	fc_tickets_hold();
	fc_tickets_hold();
	now = fc_ticket_new(&some[0]);
	fc_tickets_drop(); /* one service less: the table stays */
	assert_int_equal(take(now, false), FC_TICKET_GOOD);
	fc_tickets_drop();
}

static void
there_are_as_many_as_it_says(void **state)
{
	void **tickets = (void **)malloc((MOST + 1) * sizeof *tickets);
	void *again;

	(void)state;
	fc_tickets_hold();
	for (int i = 0; i < MOST; i++)
		tickets[i] = fc_ticket_new(&some[i & 1]);
	assert_non_null(tickets[MOST - 1]);
	assert_null(fc_ticket_new(&some[0]));
	assert_int_equal(take(tickets[MOST / 2], false), FC_TICKET_GOOD);
	again = fc_ticket_new(&some[0]);
	assert_non_null(again);
	assert_null(fc_ticket_new(&some[0]));
	tickets[MOST / 2] = again;
	for (int i = 0; i < MOST; i++)
		if (take(tickets[i], false) != FC_TICKET_GOOD)
			fail_msg("ticket %d", i);
	fc_tickets_drop();
	free((void *)tickets);
}

static void
no_memory_is_no_ticket(void **state)
{
	void *tickets[FIRST];

	(void)state;
	fc_tickets_hold();
	test_allocator_fail_at(1, false);
	assert_null(fc_ticket_new(&some[0]));
	for (int i = 0; i < FIRST; i++)
		assert_non_null(tickets[i] = fc_ticket_new(&some[0]));
	test_allocator_fail_at(1, false);
	assert_null(fc_ticket_new(&some[0]));
	test_allocator_fail_at(0, false);
	assert_non_null(fc_ticket_new(&some[0]));
	for (int i = 0; i < FIRST; i++)
		assert_int_equal(take(tickets[i], false), FC_TICKET_GOOD);
	fc_tickets_drop();
}

enum { THREADS = 4, EACH = 3000, HELD = 300 };

/* Each ticket is taken by its thread, which alone has it. */
static void
use_many(void *data)
{
	farcall_call *mine = (farcall_call *)data;
	void *tickets[HELD];
	farcall_call *call;

	for (int i = 0; i < EACH; i++) {
		if (i >= HELD) {
			assert_int_equal(
			    fc_ticket_take(tickets[i % HELD], i & 1, &call), FC_TICKET_GOOD);
			assert_ptr_equal(call, mine);
		}
		tickets[i % HELD] = fc_ticket_new(mine);
	}
	for (int i = 0; i < HELD; i++)
		assert_int_equal(fc_ticket_take(tickets[i], false, &call), FC_TICKET_GOOD);
}

/* They make the table grow, all at once. */
static void
threads_share_the_table(void **state)
{
	static farcall_call calls[THREADS];
	uv_thread_t threads[THREADS];

	(void)state;
	fc_tickets_hold();
	for (int i = 0; i < THREADS; i++)
		uv_thread_create(&threads[i], use_many, &calls[i]);
	for (int i = 0; i < THREADS; i++)
		uv_thread_join(&threads[i]);
	fc_tickets_drop();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(a_ticket_is_good_once),
	    clean_test(what_is_used_up_is_remembered_for_a_round),
	    clean_test(no_ticket_of_a_former_table_is_good),
	    clean_test(there_are_as_many_as_it_says),
	    clean_test(no_memory_is_no_ticket),
	    clean_test(threads_share_the_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
