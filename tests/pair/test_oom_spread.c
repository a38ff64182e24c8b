/*
 * Out of memory while servers change under a client: round robin over a registry whose servers come
 * and go, on one loop under a virtual clock. As test_oom.c, each allocation of the library fails in
 * turn, once and for good. Each time: nothing crashes, hangs or leaks, each call ends once, with OK
 * or what says that something was lacking; and with memory again, the next life is as it should be.
 */
#include "tests/support/pair.h"

#include "client/internal.h"
#include "client/spread.h"
#include "runtime/loop/inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SERVERS 3
#define CALLS 6
#define TURNS_MOST 100000

typedef struct life {
	fc_clock clock;
	farcall_loop *loop;
	farcall_channel *channel;
	farcall_server *servers[SERVERS];
	int handled[SERVERS];
	char dir[64];
	int begun, done;
	farcall_code codes[CALLS];
	char error[256]; /* of the last call that failed */
} life;

static life l;

/* ---- time ---- */

static void
settle(void)
{
	int turns = 0;

	while (fc_loop_has_work(l.loop) || fc_heap_next(&l.loop->timers) <= l.clock.now) {
		fc_loop_turn(l.loop, 0);
		assert_true(turns++ < TURNS_MOST);
	}
}

static void
pass(uint64_t ns)
{
	uint64_t until = l.clock.now + ns, next;

	for (settle(); (next = fc_heap_next(&l.loop->timers)) <= until; settle())
		l.clock.now = next;
	l.clock.now = until;
	settle();
}

/* ---- servers ---- */

static farcall_code
echo(farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	++*(int *)farcall_call_self(call);
	*reply = *request;
	return FARCALL_OK;
}

static const struct pair_test handlers = {.echo = echo};

static void
serve(int i)
{
	char text[96];

	l.servers[i] = farcall_server_new();
	farcall_server_set_loop(l.servers[i], l.loop);
	pair_test__register(l.servers[i], &handlers, &l.handled[i]);
	snprintf(text, sizeof text, "mem:oom-spread-%d", i);
	farcall_server_bind(l.servers[i], text);
	snprintf(text, sizeof text, "file:%s", l.dir);
	farcall_server_publish(l.servers[i], text);
	farcall_server_start(l.servers[i]);
}

static void
end_server(int i)
{
	farcall_server_stop(l.servers[i], 0);
	farcall_server_free(l.servers[i]);
	l.servers[i] = NULL;
}

/* ---- calls ---- */

static void
on_done(farcall_call *call, farcall_code code, const Pair__Message *reply, void *data)
{
	farcall_code *to = (farcall_code *)data;

	assert_int_equal(*to, FARCALL_PENDING);
	*to = code;
	l.done++;
	if (code == FARCALL_OK)
		assert_string_equal(reply->text, "a text");
	else
		snprintf(l.error, sizeof l.error, "%s", farcall_call_error(call));
	farcall_call_free(call);
}

static void
call_often(int n, bool wait)
{
	for (int i = 0; i < n; i++) {
		Pair__Message request = PAIR__MESSAGE__INIT;
		farcall_call *call = farcall_call_new(l.channel);

		request.text = (char *)(uintptr_t) "a text";
		farcall_call_set_timeout_ms(call, 5000);
		farcall_call_set_wait_for_ready(call, wait);
		l.codes[l.begun] = FARCALL_PENDING;
		pair_test_echo__async(call, &request, on_done, &l.codes[l.begun++]);
		pass(6 * FC_NS_PER_S);
	}
}

/* ---- a life ---- */

static void
begin(void)
{
	char target[96];

	memset(&l, 0, sizeof l);
	l.clock = (fc_clock){1000 * FC_NS_PER_S, true};
	snprintf(l.dir, sizeof l.dir, "/tmp/farcall-spread-XXXXXX");
	assert_non_null(mkdtemp(l.dir));
	snprintf(target, sizeof target, "file://%s/pair.Test", l.dir);
	l.loop = fc_loop_open(&l.clock, NULL);
	if (l.loop == NULL)
		return;
	serve(0);
	serve(1);
	l.channel = farcall_channel_open(target);
	if (farcall_channel_code(l.channel) == FARCALL_OK)
		fc_channel_seed(l.channel, 1);
	farcall_channel_set_loop(l.channel, l.loop);
	farcall_channel_set_service_config(
	    l.channel, "{\"loadBalancingConfig\": [{\"round_robin\": {}}]}");
}

static void
live(void)
{
	begin();
	if (l.loop != NULL) {
		call_often(2, false);
		end_server(0);
		serve(2);
		pass(FC_SPREAD_REGISTRY_NS); /* it is heard of */
		call_often(2, false);
		end_server(1);
		call_often(2, true);
		farcall_channel_close(l.channel);
		end_server(2);
		settle();
		farcall_loop_free(l.loop);
	}
	assert_int_equal(l.done, l.begun);
	rmdir(l.dir);
}

static void
live_well(void)
{
	live();
	assert_int_equal(l.done, CALLS);
	for (int i = 0; i < CALLS; i++)
		if (l.codes[i] != FARCALL_OK)
			fail_msg("call %d: %s", i, l.error);
	assert_int_equal(l.handled[0], 1);
	assert_int_equal(l.handled[1], 2);
	assert_int_equal(l.handled[2], 3);
}

/* INTERNAL: a server that has no memory to say more resets the stream. */
static bool
is_honest(farcall_code code)
{
	return code == FARCALL_OK || code == FARCALL_RESOURCE_EXHAUSTED ||
	    code == FARCALL_UNAVAILABLE || code == FARCALL_DEADLINE_EXCEEDED ||
	    (code == FARCALL_INTERNAL && strstr(l.error, "the server reset the stream") != NULL);
}

static void
fail_each(bool sticky)
{
	size_t n = 1;

	test_log_catch();
	live_well();
	for (;; n++) {
		test_allocator_fail_at(n, sticky);
		live();
		if (!test_allocator_failed())
			break;
		for (int i = 0; i < l.begun; i++)
			if (!is_honest(l.codes[i]))
				fail_msg("allocation %zu, call %d: %s", n, i, l.error);
	}
	test_allocator_fail_at(0, false);
	live_well();
	assert_true(n > 100);
	test_log_release();
}

static void
once(void **state)
{
	(void)state;
	fail_each(false);
}

static void
for_good(void **state)
{
	(void)state;
	fail_each(true);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(once),
	    clean_test(for_good),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
