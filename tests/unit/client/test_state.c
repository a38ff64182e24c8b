/*
 * test_state.c: who is told of the channel's state: each change, once, in order, where callbacks
 * run; and the last one is SHUTDOWN.
 */
#include "tests/unit/client/attempts.h"

#include <stdatomic.h>
#include <stdio.h>

#include <uv.h>

typedef struct listening {
	char seen[512];
	atomic_int n, over;
	farcall_channel *channel;
	uv_thread_t thread; /* of the last one */
	void (*then)(struct listening *to, farcall_state state);
} listening;

static void
hear(farcall_channel *channel, farcall_state state, void *data)
{
	listening *to = (listening *)data;
	size_t used = strlen(to->seen);

	assert_true(to->channel == NULL || to->channel == channel);
	snprintf(to->seen + used, sizeof to->seen - used, "%s%s", used != 0 ? " " : "",
	    farcall_state_name(state));
	to->thread = uv_thread_self();
	if (to->then != NULL)
		to->then(to, state);
	atomic_fetch_add(&to->n, 1);
	if (state == FARCALL_SHUTDOWN)
		atomic_store(&to->over, 1);
}

static void
changes_are_told_in_order(void **state)
{
	listening to = {.n = 0};
	fixture f;

	(void)state;
	begin(&f);
	f.server.on_complete = echo_nothing;
	to.channel = f.channel;
	farcall_channel_on_state(f.channel, hear, &to);
	turns(&f, 3);
	assert_string_equal(to.seen, "");
	assert_int_equal(call_with_timeout(&f, 1000), FARCALL_OK);
	assert_int_equal(call_with_timeout(&f, 1000), FARCALL_OK);
	turns(&f, 1);
	assert_string_equal(to.seen, "CONNECTING READY");
	tiny_stop(&f.server);
	turns(&f, 3);
	assert_string_equal(to.seen, "CONNECTING READY IDLE");
	assert_int_equal(call_with_timeout(&f, 1000), FARCALL_UNAVAILABLE);
	f.clock.now += 10 * FC_NS_PER_S; /* it fails again: that is no change */
	turns(&f, 5);
	assert_string_equal(to.seen, "CONNECTING READY IDLE CONNECTING TRANSIENT_FAILURE");
	tiny_start(&f.server, f.loop, "mem:attempt");
	assert_int_equal(farcall_channel_wait_ready(f.channel, 60000), FARCALL_OK);
	turns(&f, 1);
	farcall_channel_close(f.channel);
	f.channel = NULL;
	assert_int_equal(to.over, 0); /* not inside our own call */
	turns(&f, 2);
	assert_string_equal(
	    to.seen, "CONNECTING READY IDLE CONNECTING TRANSIENT_FAILURE READY SHUTDOWN");
	end(&f);
}

static void
close_then(listening *to, farcall_state state)
{
	if (state == FARCALL_READY)
		farcall_channel_close(to->channel);
}

static void
replace_then(listening *to, farcall_state state)
{
	if (state == FARCALL_CONNECTING)
		farcall_channel_on_state(to->channel, hear, to + 1);
}

static void
a_callback_may_close_replace_or_leave(void **state)
{
	listening to[2] = {{.n = 0}, {.n = 0}};
	fixture f;

	(void)state;
	begin(&f);
	to[0].channel = f.channel;
	to[0].then = close_then;
	farcall_channel_on_state(f.channel, hear, &to[0]);
	farcall_channel_wait_ready(f.channel, 1000);
	turns(&f, 3);
	assert_string_equal(to[0].seen, "CONNECTING READY SHUTDOWN");
	f.channel = NULL;
	end(&f);

	begin(&f);
	memset(to, 0, sizeof to);
	to[0].channel = f.channel;
	to[0].then = replace_then;
	farcall_channel_on_state(f.channel, hear, &to[0]);
	assert_int_equal(farcall_channel_wait_ready(f.channel, 1000), FARCALL_OK);
	turns(&f, 2);
	assert_string_equal(to[0].seen, "CONNECTING");
	assert_string_equal(to[1].seen, "READY");
	farcall_channel_on_state(f.channel, NULL, NULL); /* then no step is needed after close */
	end(&f);
	assert_string_equal(to[1].seen, "READY");
}

/* More changes than are kept, because nobody turns the loop: the first ones and the last one. */
static void
too_many_changes_run_together(void **state)
{
	static const farcall_state two[] = {FARCALL_CONNECTING, FARCALL_TRANSIENT_FAILURE};

	(void)state;
	for (unsigned n = FC_CLIENT_STATES_MOST; n <= FC_CLIENT_STATES_MOST + 2; n++) {
		listening to = {.n = 0};
		char last[32];
		fixture f;

		begin_stopped(&f);
		farcall_channel_on_state(f.channel, hear, &to);
		for (unsigned i = 0; i < n; i++)
			fc_channel_set_state(f.channel, i + 1 == n ? FARCALL_READY : two[i % 2]);
		turns(&f, 1);
		assert_int_equal(to.n, FC_CLIENT_STATES_MOST);
		snprintf(last, sizeof last, "%s", strrchr(to.seen, ' ') + 1);
		assert_string_equal(last, "READY");
		farcall_channel_close(f.channel);
		turns(&f, 1);
		fc_loop_close(f.loop);
	}
}

/* With threads: SHUTDOWN is the last, in another thread than ours; and nothing is left. */
static void
the_channels_thread_tells(void **state)
{
	(void)state;
	for (int i = 0; i < 20; i++) {
		listening to = {.n = 0};
		uv_thread_t self = uv_thread_self();
		test_pair pair;

		test_pair_init(&pair, "127.0.0.1:0");
		test_pair_start(&pair);
		if (i % 2 == 0)
			assert_int_equal(test_echo(pair.channel, "before"), FARCALL_OK);
		farcall_channel_on_state(pair.channel, hear, &to);
		if (i % 4 == 1) {
			assert_int_equal(test_echo(pair.channel, "after"), FARCALL_OK);
			test_wait_for(&to.n, 2);
		}
		test_pair_fini(&pair);
		test_wait_for(&to.over, 1);
		assert_false(uv_thread_equal(&self, &to.thread));
		if (i % 4 == 1)
			assert_non_null(strstr(to.seen, "CONNECTING READY"));
		assert_non_null(strstr(to.seen, "SHUTDOWN"));
		for (int j = 0; j < 5000 && test_allocator_live() != 0; j++)
			uv_sleep(1);
	}
}

static void
what_stands_for_nothing_tells_nothing(void **state)
{
	listening to = {.n = 0};
	farcall_channel *channel = farcall_channel_open("localhost:x");

	(void)state;
	farcall_channel_on_state(NULL, hear, &to);
	farcall_channel_on_state(channel, hear, &to);
	farcall_channel_close(channel);
	assert_int_equal(to.n, 0);
	assert_string_equal(farcall_state_name(FARCALL_IDLE), "IDLE");
	assert_string_equal(farcall_state_name((farcall_state)5), "unknown");
	channel = farcall_channel_open("mem:nobody");
	farcall_channel_on_state(channel, NULL, NULL);
	test_log_catch();
	farcall_channel_set_timeout_ms(channel, 1);
	assert_int_equal(farcall_channel_code(channel), FARCALL_FAILED_PRECONDITION);
	test_log_release();
	farcall_channel_close(channel);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(changes_are_told_in_order),
	    clean_test(a_callback_may_close_replace_or_leave),
	    clean_test(too_many_changes_run_together),
	    clean_test(the_channels_thread_tells),
	    clean_test(what_stands_for_nothing_tells_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
