/*
 * Our client's interceptors, raw calls and details against a server of pair.Test that others wrote
 * and that wants a token. Its command line follows as arguments; it prints its port and ends with
 * its standard input.
 */
#include "tests/interop/child.h"
#include "tests/support/pair.h"

#include <stdio.h>
#include <stdlib.h>

#include <uv.h>

static farcall_channel *with_token, *without;
static farcall_call *_Atomic waiting;
static atomic_bool pends, over;

/* ---- the token ---- */

static farcall_code
add_token(farcall_call *call, const farcall_intercepted *about, void *data)
{
	(void)about;
	(void)data;
	if (atomic_load(&pends)) {
		atomic_store(&waiting, call);
		return FARCALL_PENDING;
	}
	farcall_call_add_metadata(call, "authorization", "Bearer farcall");
	return FARCALL_OK;
}

static void
run_fetch(void *unused)
{
	(void)unused;
	while (!atomic_load(&over)) {
		farcall_call *call = atomic_exchange(&waiting, NULL);

		if (call == NULL) {
			uv_sleep(1);
			continue;
		}
		farcall_call_add_metadata(call, "authorization", "Bearer farcall");
		farcall_intercept_resume(call, FARCALL_OK);
	}
}

static void
a_token_is_accepted(void **state)
{
	uv_thread_t thread;

	(void)state;
	for (int i = 0; i < 200; i++)
		assert_int_equal(test_echo(with_token, "hello"), FARCALL_OK);
	atomic_store(&pends, true);
	uv_thread_create(&thread, run_fetch, NULL);
	for (int i = 0; i < 50; i++)
		assert_int_equal(test_echo(with_token, "hello"), FARCALL_OK);
	atomic_store(&over, true);
	uv_thread_join(&thread);
	atomic_store(&pends, false);
}

static void
none_is_refused(void **state)
{
	(void)state;
	assert_int_equal(test_echo(without, "hello"), FARCALL_UNAUTHENTICATED);
}

/* ---- details ---- */

static farcall_call *
failed_with(uint32_t code, const char *text, const void *bytes, size_t size)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_call *call = farcall_call_new(with_token);

	request.number = code;
	request.text = (char *)(uintptr_t)text;
	request.data.data = (uint8_t *)(uintptr_t)bytes;
	request.data.len = size;
	farcall_call_set_timeout_ms(call, 60000);
	assert_int_equal(pair_test_fail(call, &request, NULL), code);
	assert_string_equal(farcall_call_status_message(call), text);
	return call;
}

static void
details_are_read(void **state)
{
	(void)state;
	for (uint32_t code = 1; code <= FARCALL_UNAUTHENTICATED; code++) {
		farcall_call *call = failed_with(code, "no \xc3\xa9", NULL, 0);
		const Pair__Message *detail;
		const char *type;
		size_t size;

		assert_true(farcall_call_detail(call, 1, &type, NULL, &size));
		assert_string_equal(type, "type.googleapis.com/pair.Message");
		assert_int_equal(size, 9);
		assert_false(farcall_call_detail(call, 2, NULL, NULL, NULL));
		detail = (const Pair__Message *)(const void *)farcall_call_find_detail(
		    call, &pair__message__descriptor);
		assert_non_null(detail);
		assert_int_equal(detail->number, 7); /* the first one */
		farcall_call_free(call);
	}
}

static void
damaged_details_are_none(void **state)
{
	farcall_call *call;

	(void)state;
	test_log_catch();
	call = failed_with(FARCALL_ABORTED, "no", "\x08\x0a\x1a\x7f", 4);
	assert_false(farcall_call_detail(call, 0, NULL, NULL, NULL));
	assert_string_equal(test_log_last(),
	    "/pair.Test/Fail: the details of its status are no google.rpc.Status, ignored");
	farcall_call_free(call);
	call = failed_with(FARCALL_ABORTED, "no", "\x08\x05\x1a\x03\x0a\x01x", 7);
	assert_false(farcall_call_detail(call, 0, NULL, NULL, NULL));
	assert_string_equal(test_log_last(),
	    "/pair.Test/Fail: the details of its status are of another code, ignored");
	farcall_call_free(call);
	test_log_release();
}

/* ---- raw ---- */

static void
paths_and_bytes_are_enough(void **state)
{
	const size_t size = 300000;
	uint8_t *bytes = (uint8_t *)malloc(size);
	farcall_call *call = farcall_call_new(with_token);
	size_t reply_size = 0;
	const void *reply = NULL;

	(void)state;
	memset(bytes, 'r', size);
	memcpy(bytes, "\x12\xdc\xa7\x12", 4); /* pair.Message, `data` of the rest */
	assert_int_equal(
	    farcall_call_invoke_raw(call, "/pair.Test/Echo", bytes, size, &reply, &reply_size),
	    FARCALL_OK);
	assert_int_equal(reply_size, size);
	assert_memory_equal(reply, bytes, size);
	farcall_call_free(call);
	call = farcall_call_new(with_token);
	assert_int_equal(
	    farcall_call_invoke_raw(call, "/no.Such/Method", bytes, size, &reply, &reply_size),
	    FARCALL_UNIMPLEMENTED);
	farcall_call_free(call);
	free(bytes);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_token_is_accepted),
	    cmocka_unit_test(none_is_refused),
	    cmocka_unit_test(details_are_read),
	    cmocka_unit_test(damaged_details_are_none),
	    cmocka_unit_test(paths_and_bytes_are_enough),
	};
	static const farcall_interceptor hooks = {.begin = add_token};
	int failed;
	child server;

	child_start_as_told(&server, argc, argv);
	with_token = farcall_channel_open(server.target);
	without = farcall_channel_open(server.target);
	farcall_channel_intercept(with_token, &hooks, sizeof hooks, NULL);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	farcall_channel_close(with_token);
	farcall_channel_close(without);
	child_stop(&server);
	return failed;
}
