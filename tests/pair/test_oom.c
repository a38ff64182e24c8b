/*
 * Out of memory: a whole life of server, channel and call on one stepped loop, with the nth
 * allocation of the library failing, for every n, once and from then on. Each time: nothing
 * crashes, hangs or leaks, `done` comes once, the code is honest, and the next life is whole.
 */
#include "tests/support/pair.h"

#include <stdio.h>

typedef struct outcome {
	int done;
	farcall_code code;
	char error[256];
} outcome;

/* A success is whole: what the handler said besides is not missing. */
static void
check_value(const farcall_metadata *metadata, const char *key)
{
	const char *value = farcall_metadata_get(metadata, key);

	assert_non_null(value);
	assert_string_equal(value, "value");
}

static void
on_done(farcall_call *call, farcall_code code, const Pair__Message *reply, void *data)
{
	outcome *out = (outcome *)data;

	out->done++;
	out->code = code;
	snprintf(out->error, sizeof out->error, "%s", farcall_call_error(call));
	if (code == FARCALL_OK) {
		assert_string_equal(reply->text, "a text");
		check_value(farcall_call_metadata(call), "head");
		check_value(farcall_call_trailers(call), "tail");
	}
	farcall_call_free(call);
}

static farcall_code
echo_with_all(farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	char text[6000] = "";

	reply->text = farcall_call_strdup(call, request->text);
	reply->data.data = (uint8_t *)farcall_call_alloc(call, 3000);
	reply->data.len = reply->data.data != NULL ? 3000 : 0;
	farcall_call_add_metadata(call, "head", "value");
	farcall_call_add_trailer(call, "tail", "value");
	memset(text, 'x', sizeof text - 1);
	farcall_call_add_trailer(call, "long", text);
	return FARCALL_OK;
}

static const struct pair_test handlers = {.echo = echo_with_all};

static void
call_once(farcall_loop *loop, const char *address, outcome *out)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_channel *channel = farcall_channel_open(address);
	farcall_call *call;

	farcall_channel_set_loop(channel, loop);
	farcall_channel_set_timeout_ms(channel, 20000);
	call = farcall_call_new(channel);
	request.text = (char *)(uintptr_t) "a text";
	farcall_call_add_metadata(call, "key", "value");
	farcall_call_add_metadata_bin(call, "key-bin", "\0\1", 2);
	pair_test_echo__async(call, &request, on_done, out);
	for (int i = 0; i < 30000 && out->done == 0; i++)
		farcall_loop_step(loop, 1);
	farcall_channel_close(channel);
}

static void
live_once(const char *address, outcome *out)
{
	farcall_loop *loop = farcall_loop_new();
	farcall_server *server = farcall_server_new();
	farcall_endpoint *endpoint;

	out->done = 0;
	out->code = FARCALL_OK;
	farcall_server_set_loop(server, loop);
	pair_test__register(server, &handlers, NULL);
	endpoint = farcall_server_bind(server, address);
	if (farcall_server_start(server) == FARCALL_OK) {
		call_once(loop, farcall_endpoint_address(endpoint, 0), out);
		assert_int_equal(out->done, 1);
	} else {
		out->code = farcall_server_code(server);
	}
	farcall_server_stop(server, 0);
	for (int i = 0; i < 2000 && !farcall_server_stopped(server); i++)
		farcall_loop_step(loop, 1);
	farcall_server_free(server);
	farcall_loop_step(loop, 0);
	farcall_loop_free(loop);
}

static void
fail_each(const char *address, bool sticky)
{
	size_t n, survived = 0;
	outcome out;

	live_once(address, &out);
	assert_int_equal(out.code, FARCALL_OK);
	for (n = 1;; n++) {
		test_allocator_fail_at(n, sticky);
		live_once(address, &out);
		if (!test_allocator_failed())
			break;
		survived += out.code == FARCALL_OK;
		if (out.code != FARCALL_OK && out.code != FARCALL_RESOURCE_EXHAUSTED &&
		    out.code != FARCALL_UNAVAILABLE)
			fail_msg("allocation %zu: %s", n, out.error);
	}
	test_allocator_fail_at(0, false);
	live_once(address, &out);
	assert_int_equal(out.code, FARCALL_OK);
	assert_true(n > 20);
	print_message("%s: %zu allocations failed, %zu calls succeeded all the same\n",
	    sticky ? "for good" : "once", n - 1, survived);
}

static void
every_allocation_may_fail_once(void **state)
{
	(void)state;
	test_log_catch();
	fail_each("mem:oom", false);
	fail_each("127.0.0.1:0", false);
	test_log_release();
}

static void
every_allocation_may_fail_for_good(void **state)
{
	(void)state;
	test_log_catch();
	fail_each("mem:oom", true);
	fail_each("127.0.0.1:0", true);
	test_log_release();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(every_allocation_may_fail_once),
	    clean_test(every_allocation_may_fail_for_good),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
