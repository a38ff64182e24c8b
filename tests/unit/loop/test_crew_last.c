/*
 * A crew whose threads all block but one: that one is told to keep the loop.
 */
#include "runtime/loop/crew_inside.h"

#include "tests/unit/loop/crew_rig.h"

static void
act_may_i_wait(item *i)
{
	i->us = fc_crew_block_begin() ? 2 : 1;
	act_open_gate(i);
}

/* One thread less than would be needed: whoever has the loop then is told to keep it. */
static void
the_last_thread_may_not_wait(void **state)
{
	item items[2];
	rig r;

	(void)state;
	for (unsigned threads = 2; threads <= 3; threads++) {
		const fc_crew_config config = {.threads = threads, .patience = PATIENT};

		rig_start(&r, &config);
		while (!atomic_load(&r.crew->watched))
			uv_sleep(1);
		item_init(&items[0], &r, 0, act_give_and_wait, 0);
		item_init(&items[1], &r, 3, act_may_i_wait, 0);
		rig_do(&r, items, 2);
		rig_stop(&r);
		assert_int_equal(items[1].us, threads - 1);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(the_last_thread_may_not_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
