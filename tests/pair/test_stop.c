/*
 * farcall_server_stop() from everywhere: a signal handler, another thread, a handler, before
 * listen, twice. STOP_CYCLES in the environment says how often; default 200 in all.
 */
#include "tests/support/pair.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include <uv.h>

typedef enum way { BY_SIGNAL, BY_THREAD, BY_HANDLER, BEFORE_LISTEN, TWICE, WAYS } way;

static farcall_server *_Atomic to_stop;

static void
on_signal(int number)
{
	(void)number;
	farcall_server_stop(atomic_load(&to_stop), 1000);
}

static void
run_listen(void *data)
{
	farcall_server_listen(((test_pair *)data)->server);
}

static void
run_stop(void *data)
{
	farcall_server_stop(((test_pair *)data)->server, 1000);
}

static farcall_code
stop_in_handler(
    test_pair *pair, farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	(void)call;
	farcall_server_stop(pair->server, 20000);
	*reply = *request;
	return FARCALL_OK;
}

/* A call may find the server stopped; nothing else may become of it. */
static void
call_once(farcall_channel *channel, bool custom)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_call *call = farcall_call_new(channel);
	const Pair__Message *reply = NULL;
	farcall_code code;

	farcall_call_set_timeout_ms(call, 60000);
	code = custom ? pair_test_custom(call, &request, &reply)
	              : pair_test_echo(call, &request, &reply);
	assert_true(code == FARCALL_OK || code == FARCALL_UNAVAILABLE);
	if (custom)
		assert_int_equal(code, FARCALL_OK);
	farcall_call_free(call);
}

static void
stop_by(test_pair *pair, way how, uv_thread_t listener)
{
	uv_thread_t threads[2];

	switch (how) {
	case BY_SIGNAL:
		pthread_kill(listener, SIGUSR1);
		break;
	case BY_HANDLER:
		call_once(pair->channel, true);
		break;
	case BY_THREAD:
	case TWICE:
		for (int i = 0; i < (how == TWICE ? 2 : 1); i++)
			assert_int_equal(uv_thread_create(&threads[i], run_stop, pair), 0);
		for (int i = 0; i < (how == TWICE ? 2 : 1); i++)
			uv_thread_join(&threads[i]);
		break;
	default:
		break;
	}
}

static void
cycle(way how, unsigned loops, bool busy)
{
	test_pair pair;
	uv_thread_t listener;

	test_pair_init(&pair, "127.0.0.1:0");
	pair.custom = stop_in_handler;
	farcall_server_set_loops(pair.server, loops);
	pair.channel = farcall_channel_open(test_pair_address(&pair));
	atomic_store(&to_stop, pair.server);
	if (how == BEFORE_LISTEN)
		farcall_server_stop(pair.server, 1000);
	assert_int_equal(uv_thread_create(&listener, run_listen, &pair), 0);
	if (busy && how != BEFORE_LISTEN)
		call_once(pair.channel, false);
	stop_by(&pair, how, listener);
	if (how == TWICE)
		farcall_server_stop(pair.server, 0);
	farcall_channel_close(pair.channel); /* nobody drives it: it would not see the GOAWAY */
	pair.channel = NULL;
	uv_thread_join(&listener);
	assert_true(farcall_server_stopped(pair.server));
	farcall_server_stop(pair.server, 0); /* once more, of no effect */
	assert_int_equal(farcall_server_code(pair.server), FARCALL_OK);
	test_pair_fini(&pair);
}

static void
stopping_works_from_everywhere(void **state)
{
	const char *asked = getenv("STOP_CYCLES");
	long cycles = asked != NULL ? strtol(asked, NULL, 10) : 200;
	struct sigaction action = {.sa_handler = on_signal}, before;

	(void)state;
	sigaction(SIGUSR1, &action, &before);
	for (long i = 0; i < cycles; i++)
		cycle((way)(i % WAYS), i / WAYS % 2 != 0 ? 3 : 1, i / WAYS / 2 % 2 != 0);
	sigaction(SIGUSR1, &before, NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(stopping_works_from_everywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
