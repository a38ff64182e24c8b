/*
 * Out of memory while hooks look on: as test_oom_scenarios.c, each allocation of the library fails
 * in turn, once and for good. Each time: done comes once, with the code expected or one that says
 * what was lacking; each begin has its end, each session its close; nothing leaks.
 */
#include "tests/pair/hooked.h"

#include <stdio.h>
#include <uv.h>

typedef struct scenario {
	const char *name, *path;
	farcall_code server_begin, client_begin;
	farcall_code expected;
} scenario;

static const scenario scenarios[] = {
    {"typed", "/pair.Test/Echo", FARCALL_OK, FARCALL_OK, FARCALL_OK},
    {"any path", "/any.Thing/AtAll", FARCALL_OK, FARCALL_OK, FARCALL_OK},
    {"rich", "/pair.Test/Fail", FARCALL_OK, FARCALL_OK, FARCALL_ABORTED},
    {"pending at the server", "/pair.Test/Echo", FARCALL_PENDING, FARCALL_OK, FARCALL_OK},
    {"pending at the client", "/any.Thing/AtAll", FARCALL_OK, FARCALL_PENDING, FARCALL_OK},
    {"pending at both", "/any.Thing/AtAll", FARCALL_PENDING, FARCALL_PENDING, FARCALL_OK},
    {"refused by the server", "/pair.Test/Echo", FARCALL_PERMISSION_DENIED, FARCALL_OK,
        FARCALL_PERMISSION_DENIED},
    {"refused by the client", "/pair.Test/Echo", FARCALL_OK, FARCALL_UNAUTHENTICATED,
        FARCALL_UNAUTHENTICATED},
};

static hooked at_server, at_client, inner;
static int n_open, n_closed, n_done;
static farcall_code code;
static char error[300];

static farcall_code
echo(farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	(void)call;
	*reply = *request;
	return FARCALL_OK;
}

static farcall_code
fail_richly(farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	(void)reply;
	farcall_call_add_detail(call, &request->base);
	farcall_call_add_detail_bytes(call, "some.Thing", request->text, 6);
	return farcall_call_fail(call, FARCALL_ABORTED, "not today");
}

static const struct pair_test handlers = {.echo = echo, .fail = fail_richly};

static farcall_code
mirror(farcall_call *call, const farcall_bytes *request, farcall_bytes *reply)
{
	farcall_call_add_trailer(call, "path", farcall_call_method(call)->path);
	*reply = *request;
	return FARCALL_OK;
}

static farcall_code
on_open(const farcall_connection *connection, void **user, void *data)
{
	(void)connection;
	*user = data;
	n_open++;
	return FARCALL_OK;
}

static void
on_close(void *user, void *data)
{
	assert_ptr_equal(user, data);
	n_closed++;
}

static farcall_code
allow(farcall_call *call, const farcall_intercepted *about, void *data)
{
	assert_ptr_equal(farcall_call_connection_data(call), data);
	assert_false(*about->state != NULL);
	return FARCALL_OK;
}

static void
on_done(farcall_call *call, farcall_code ended, const void *reply, size_t size, void *data)
{
	(void)data;
	n_done++;
	code = ended;
	snprintf(error, sizeof error, "%s", farcall_call_error(call));
	if (ended == FARCALL_OK) {
		assert_int_equal(size, 8);
		assert_memory_equal(reply,
		    "\x0a\x06"
		    "a text",
		    8);
	}
	if (ended == FARCALL_ABORTED)
		farcall_call_find_detail(call, &pair__message__descriptor);
	farcall_call_free(call);
}

static void
resume(hooked *h)
{
	farcall_call *call = h->held;

	h->held = NULL;
	if (call == NULL)
		return;
	farcall_call_add_metadata(call, "late", "value");
	farcall_intercept_resume(call, FARCALL_OK);
}

/* false: the server could not be prepared. */
static bool
live(const scenario *s, bool clean)
{
	farcall_loop *loop = farcall_loop_new();
	farcall_server *server = farcall_server_new();
	uint64_t until = uv_hrtime() + UINT64_C(15000000000);
	farcall_channel *channel;
	farcall_call *call;
	bool served;

	hooked_log();
	hooked_init(&at_server, "server");
	hooked_init(&at_client, "client");
	hooked_init(&inner, "inner");
	n_open = n_closed = n_done = 0;
	code = FARCALL_OK;
	at_server.answer = s->server_begin;
	at_client.answer = s->client_begin;
	at_server.key = at_client.key = "added";
	at_server.value = at_client.value = "by begin";
	farcall_server_set_loop(server, loop);
	farcall_server_intercept(server, &hooked_hooks, sizeof hooked_hooks, &at_server);
	farcall_server_on_connection(server, on_open, on_close, &inner);
	farcall_service_set_authorize(pair_test__register(server, &handlers, NULL), allow, &inner);
	farcall_server_set_catch_all(server, mirror, NULL);
	farcall_server_bind(server, "mem:oom-hooks");
	served = farcall_server_start(server) == FARCALL_OK;
	channel = farcall_channel_open("mem:oom-hooks");
	farcall_channel_set_loop(channel, loop);
	farcall_channel_intercept(channel, &hooked_hooks, sizeof hooked_hooks, &at_client);
	farcall_channel_intercept(channel, &hooked_hooks, sizeof hooked_hooks, &inner);
	if (farcall_loop_step(loop, 0) == FARCALL_OK) {
		call = farcall_call_new(channel);
		farcall_call_set_timeout_ms(call, clean ? 10000 : 200);
		farcall_call_add_metadata(call, "key", "value");
		farcall_call_invoke_raw_async(call, s->path,
		    "\x0a\x06"
		    "a text",
		    8, on_done, NULL);
		while (n_done == 0 && uv_hrtime() < until) {
			resume(&at_client);
			farcall_loop_step(loop, 10);
			resume(&at_server);
		}
		assert_int_equal(n_done, 1);
	}
	farcall_channel_close(channel);
	farcall_server_stop(server, 0);
	for (int i = 0; i < 3000 && !farcall_server_stopped(server); i++)
		farcall_loop_step(loop, 1);
	farcall_server_free(server);
	resume(&at_server);
	farcall_loop_step(loop, 0);
	resume(&at_client);
	farcall_loop_step(loop, 0);
	farcall_loop_free(loop);
	assert_int_equal(atomic_load(&at_server.n_begun), atomic_load(&at_server.n_ended));
	assert_int_equal(atomic_load(&at_client.n_begun), atomic_load(&at_client.n_ended));
	assert_int_equal(atomic_load(&inner.n_begun), atomic_load(&inner.n_ended));
	assert_int_equal(at_server.wrong + at_client.wrong + inner.wrong, 0);
	assert_int_equal(n_open, n_closed);
	return served;
}

static bool
is_honest(bool served)
{
	return !served || code == FARCALL_RESOURCE_EXHAUSTED || code == FARCALL_UNAVAILABLE ||
	    code == FARCALL_DEADLINE_EXCEEDED ||
	    (code == FARCALL_INTERNAL && strstr(error, "the server reset the stream") != NULL);
}

static void
fail_each(const scenario *s, bool sticky)
{
	size_t n;

	assert_true(live(s, true));
	if (code != s->expected)
		fail_msg("%s: %s", s->name, error);
	for (n = 1;; n++) {
		bool served;

		test_allocator_fail_at(n, sticky);
		served = live(s, false);
		if (!test_allocator_failed())
			break;
		if (n_done != 0 && code != s->expected && !is_honest(served))
			fail_msg("%s, allocation %zu: %s", s->name, n, error);
	}
	test_allocator_fail_at(0, false);
	live(s, true);
	assert_int_equal(code, s->expected);
	assert_true(n > 20);
}

static void
each_scenario(bool sticky)
{
	test_log_catch();
	for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++)
		fail_each(&scenarios[i], sticky);
	test_log_release();
}

static void
once(void **state)
{
	(void)state;
	each_scenario(false);
}

static void
for_good(void **state)
{
	(void)state;
	each_scenario(true);
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
