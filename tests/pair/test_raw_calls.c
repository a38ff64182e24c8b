/*
 * Calls by path and bytes: against typed handlers, and by a server's handler of any path; a proxy
 * of the two in one process.
 */
#include "tests/pair/hooked.h"

#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

static test_pair pair;

static const uint8_t hello[] = "\x0a\x05hello"; /* pair.Message, text = "hello" */

typedef struct raw_outcome {
	farcall_code code;
	char error[300];
	uint8_t bytes[200];
	size_t size;
} raw_outcome;

static raw_outcome
invoke(farcall_channel *channel, const char *path, const void *bytes, size_t size)
{
	farcall_call *call = farcall_call_new(channel);
	const void *reply = NULL;
	raw_outcome out;

	memset(&out, 0, sizeof out);
	farcall_call_set_timeout_ms(call, 60000);
	out.code = farcall_call_invoke_raw(call, path, bytes, size, &reply, &out.size);
	snprintf(out.error, sizeof out.error, "%s", farcall_call_error(call));
	if (out.code == FARCALL_OK && out.size <= sizeof out.bytes)
		memcpy(out.bytes, reply, out.size);
	farcall_call_free(call);
	return out;
}

static raw_outcome
invoke_hello(const char *path)
{
	return invoke(pair.channel, path, hello, sizeof hello - 1);
}

static void
a_client_needs_no_stub(void **state)
{
	raw_outcome out;

	(void)state;
	test_pair_init(&pair, "mem:raw");
	test_pair_start(&pair);
	out = invoke_hello("/pair.Test/Echo");
	assert_int_equal(out.code, FARCALL_OK);
	assert_int_equal(out.size, sizeof hello - 1);
	assert_memory_equal(out.bytes, hello, sizeof hello - 1);
	out = invoke(pair.channel, "/pair.Test/Echo", NULL, 0);
	assert_int_equal(out.code, FARCALL_OK);
	assert_int_equal(out.size, 0);
	out = invoke(pair.channel, "/pair.Test/Echo", "\xff", 1);
	assert_int_equal(out.code, FARCALL_INVALID_ARGUMENT);
	out = invoke_hello("/pair.Test/Nothing");
	assert_string_equal(
	    out.error, "UNIMPLEMENTED: no method /pair.Test/Nothing on this server");
	test_pair_fini(&pair);
}

static void
misuse_is_answered(void **state)
{
	farcall_call *call;
	raw_outcome out;

	(void)state;
	test_log_catch();
	test_pair_init(&pair, "mem:raw");
	test_pair_start(&pair);
	out = invoke_hello("pair.Test/Echo");
	assert_string_equal(out.error,
	    "INVALID_ARGUMENT: bad path \"pair.Test/Echo\", column 1: it does not begin with a "
	    "slash");
	out = invoke(pair.channel, "/pair.Test/Echo", NULL, 1);
	assert_string_equal(out.error, "INVALID_ARGUMENT: the request is NULL");
	out = invoke(pair.channel, "/pair.Test/Echo", "", (size_t)INT32_MAX + 1);
	assert_string_equal(out.error,
	    "INVALID_ARGUMENT: the request of 2147483648 bytes is larger than 2147483647");
	assert_int_equal(
	    farcall_call_invoke_raw(NULL, "/a/b", "", 0, NULL, NULL), FARCALL_FAILED_PRECONDITION);
	call = farcall_call_new(pair.channel);
	assert_int_equal(
	    farcall_call_invoke_raw(call, "/pair.Test/Echo", "", 0, NULL, NULL), FARCALL_OK);
	assert_int_equal(farcall_call_invoke_raw(call, "/pair.Test/Echo", "", 0, NULL, NULL),
	    FARCALL_FAILED_PRECONDITION);
	farcall_call_free(call);
	out = invoke(NULL, "/pair.Test/Echo", "", 0);
	assert_string_equal(out.error, "FAILED_PRECONDITION: the channel is NULL");
	test_pair_fini(&pair);
	test_log_release();
}

static void
on_raw(farcall_call *call, farcall_code code, const void *reply, size_t size, void *data)
{
	raw_outcome *out = (raw_outcome *)data;

	out->code = code;
	out->size = size;
	if (code == FARCALL_OK && size <= sizeof out->bytes)
		memcpy(out->bytes, reply, size);
	else if (code != FARCALL_OK)
		assert_null(reply);
	snprintf(out->error, sizeof out->error, "%s", farcall_call_error(call));
	farcall_call_free(call);
}

static void
async_calls_copy_their_bytes(void **state)
{
	farcall_loop *loop = farcall_loop_new();
	farcall_channel *channel;
	raw_outcome out[2];
	char bytes[sizeof hello];

	(void)state;
	test_pair_init(&pair, "mem:raw");
	test_pair_start(&pair);
	channel = farcall_channel_open(test_pair_address(&pair));
	farcall_channel_set_loop(channel, loop);
	out[0].code = out[1].code = FARCALL_PENDING;
	memcpy(bytes, hello, sizeof hello);
	farcall_call_invoke_raw_async(
	    farcall_call_new(channel), "/pair.Test/Echo", bytes, sizeof hello - 1, on_raw, &out[0]);
	memset(bytes, 0, sizeof bytes);
	farcall_call_invoke_raw_async(farcall_call_new(channel), "/bad", bytes, 1, on_raw, &out[1]);
	assert_int_equal(out[1].code, FARCALL_PENDING); /* never inside the call */
	while (out[0].code == FARCALL_PENDING || out[1].code == FARCALL_PENDING)
		farcall_loop_step(loop, 10);
	assert_int_equal(out[0].code, FARCALL_OK);
	assert_memory_equal(out[0].bytes, hello, sizeof hello - 1);
	assert_int_equal(out[1].code, FARCALL_INVALID_ARGUMENT);
	farcall_channel_close(channel);
	test_pair_fini(&pair);
	farcall_loop_step(loop, 0);
	farcall_loop_free(loop);
}

/* ---- any path ---- */

typedef struct all {
	atomic_int n;
	farcall_call *_Atomic pending;
	farcall_bytes *pending_reply;
	char path[100];
} all;

static all any;

static farcall_code
on_any(farcall_call *call, const farcall_bytes *request, farcall_bytes *reply)
{
	all *self = (all *)farcall_call_self(call);
	const farcall_method *method = farcall_call_method(call);
	char *text;

	snprintf(self->path, sizeof self->path, "%s %s", method->path, method->name);
	atomic_fetch_add(&self->n, 1);
	if (strcmp(method->name, "Later") == 0) {
		self->pending_reply = reply;
		atomic_store(&self->pending, call);
		return FARCALL_PENDING;
	}
	if (strcmp(method->name, "Big") == 0) {
		reply->size = 3000000;
		reply->data = farcall_call_alloc(call, reply->size);
		return FARCALL_OK;
	}
	if (strcmp(method->name, "Reply") == 0) {
		farcall_bytes own = FARCALL_BYTES__INIT;

		own.data = "own";
		own.size = 3;
		return farcall_call_send_reply(call, &own.base);
	}
	if (request->size == 0)
		return farcall_call_fail(call, FARCALL_OUT_OF_RANGE, "nothing at %s", method->path);
	text = farcall_call_printf(call, "<%.*s>", (int)request->size, (const char *)request->data);
	reply->data = text;
	reply->size = strlen(text);
	return FARCALL_OK;
}

static farcall_service *
begin_any(void)
{
	farcall_service *service;

	memset(&any, 0, sizeof any);
	test_pair_init(&pair, "mem:any");
	service = farcall_server_set_catch_all(pair.server, on_any, &any);
	return service;
}

static void
a_server_takes_any_path(void **state)
{
	raw_outcome out;

	(void)state;
	begin_any();
	test_pair_start(&pair);
	out = invoke(pair.channel, "/what.Ever/Is.Asked", "abc", 3);
	assert_int_equal(out.code, FARCALL_OK);
	assert_int_equal(out.size, 5);
	assert_memory_equal(out.bytes, "<abc>", 5);
	assert_string_equal(any.path, "/what.Ever/Is.Asked Is.Asked");
	out = invoke(pair.channel, "/pair.Test/Unknown", NULL, 0);
	assert_string_equal(out.error, "OUT_OF_RANGE: nothing at /pair.Test/Unknown");
	out = invoke(pair.channel, "/any/Reply", "x", 1);
	assert_int_equal(out.size, 3);
	out = invoke(pair.channel, "/any/Big", "x", 1);
	assert_int_equal(out.size, 3000000);
	assert_int_equal(atomic_load(&any.n), 4);
	assert_int_equal(test_echo(pair.channel, "typed"), FARCALL_OK); /* not its */
	out = invoke_hello("/pair.Test/Missing");                       /* has no handler */
	assert_int_equal(out.code, FARCALL_UNIMPLEMENTED);
	assert_int_equal(atomic_load(&any.n), 4);
	test_pair_fini(&pair);
}

static void
it_may_be_completed_later(void **state)
{
	farcall_loop *loop = farcall_loop_new();
	farcall_channel *channel;
	raw_outcome out;

	(void)state;
	begin_any();
	test_pair_start(&pair);
	channel = farcall_channel_open(test_pair_address(&pair));
	farcall_channel_set_loop(channel, loop);
	out.code = FARCALL_PENDING;
	farcall_call_invoke_raw_async(
	    farcall_call_new(channel), "/any/Later", "x", 1, on_raw, &out);
	while (atomic_load(&any.pending) == NULL)
		farcall_loop_step(loop, 1);
	any.pending_reply->data = "late";
	any.pending_reply->size = 4;
	farcall_call_complete(any.pending, FARCALL_OK);
	while (out.code == FARCALL_PENDING)
		farcall_loop_step(loop, 10);
	assert_int_equal(out.code, FARCALL_OK);
	assert_memory_equal(out.bytes, "late", 4);
	farcall_channel_close(channel);
	test_pair_fini(&pair);
	farcall_loop_step(loop, 0);
	farcall_loop_free(loop);
}

/* Its limits are those of any service; hooks see bytes and the true path. */
static void
its_service_has_settings(void **state)
{
	farcall_service *service;
	uint8_t bytes[101];
	raw_outcome out;
	hooked a;

	(void)state;
	hooked_init(&a, "a");
	hooked_log();
	memset(bytes, 'y', sizeof bytes);
	service = begin_any();
	farcall_service_set_max_message(service, 100);
	farcall_server_intercept(pair.server, &hooked_hooks, sizeof hooked_hooks, &a);
	test_pair_start(&pair);
	out = invoke(pair.channel, "/x/Y", bytes, 100);
	assert_int_equal(out.code, FARCALL_OK);
	test_wait_for(&a.n_ended, 1);
	assert_string_equal(a.path, "/x/Y");
	assert_int_equal(a.outcome.bytes_received, 100);
	assert_int_equal(a.outcome.bytes_sent, 102);
	assert_int_equal(a.seen[0], '<');
	out = invoke(pair.channel, "/x/Y", bytes, 101);
	assert_int_equal(out.code, FARCALL_RESOURCE_EXHAUSTED);
	assert_int_equal(invoke_hello("/pair.Test/Echo").code, FARCALL_OK);
	test_pair_fini(&pair);
	assert_int_equal(a.wrong, 0);

	test_pair_init(&pair, "mem:any");
	farcall_server_set_catch_all(pair.server, NULL, NULL);
	assert_string_equal(
	    farcall_server_error(pair.server), "set catch-all: the handler is NULL");
	test_pair_fini(&pair);
	begin_any();
	farcall_server_set_catch_all(pair.server, on_any, NULL);
	assert_int_equal(farcall_server_code(pair.server), FARCALL_ALREADY_EXISTS);
	test_pair_fini(&pair);
}

/* ---- a proxy: any path of one server is a raw call to another ---- */

static void
on_forwarded(farcall_call *call, farcall_code code, const void *reply, size_t size, void *data)
{
	farcall_call *asked = (farcall_call *)data;
	farcall_bytes bytes = FARCALL_BYTES__INIT;

	bytes.data = reply;
	bytes.size = size;
	if (code == FARCALL_OK) {
		farcall_call_send_reply(asked, &bytes.base);
	} else {
		farcall_call_fail(asked, code, "%s", farcall_call_status_message(call));
		farcall_call_copy_details(asked, call);
		farcall_call_complete(asked, code);
	}
	farcall_call_free(call);
}

static farcall_code
forward(farcall_call *call, const farcall_bytes *request, farcall_bytes *reply)
{
	farcall_call *onward = farcall_call_new((farcall_channel *)farcall_call_self(call));

	(void)reply;
	farcall_call_set_parent(onward, call);
	farcall_call_invoke_raw_async(onward, farcall_call_method(call)->path, request->data,
	    request->size, on_forwarded, call);
	return FARCALL_PENDING;
}

static farcall_code
fail_richly(test_pair *at, farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	(void)at;
	(void)reply;
	farcall_call_add_detail(call, &request->base);
	return farcall_call_fail(call, FARCALL_DATA_LOSS, "lost: %s", request->text);
}

static void
a_proxy_is_a_page(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	const Pair__Message *detail;
	farcall_server *proxy = farcall_server_new();
	farcall_channel *channel;
	farcall_call *call;

	(void)state;
	test_pair_init(&pair, "mem:behind");
	pair.custom = fail_richly;
	test_pair_start(&pair);
	farcall_server_set_catch_all(proxy, forward, pair.channel);
	farcall_server_bind(proxy, "mem:proxy");
	assert_int_equal(farcall_server_start(proxy), FARCALL_OK);
	channel = farcall_channel_open("mem:proxy");
	for (int i = 0; i < 100; i++)
		assert_int_equal(test_echo(channel, "through"), FARCALL_OK);
	call = farcall_call_new(channel);
	request.text = (char *)"all of it";
	assert_int_equal(pair_test_custom(call, &request, NULL), FARCALL_DATA_LOSS);
	assert_string_equal(farcall_call_error(call), "DATA_LOSS: lost: all of it");
	detail = (const Pair__Message *)(const void *)farcall_call_find_detail(
	    call, &pair__message__descriptor);
	assert_non_null(detail);
	assert_string_equal(detail->text, "all of it");
	farcall_call_free(call);
	farcall_channel_close(channel);
	farcall_server_free(proxy);
	test_pair_fini(&pair);
	hooked_settle();
}

/* Details that the client's limit on metadata does not allow are left out, the rest comes. */
static void
details_that_do_not_fit_are_left_out(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_call *call;
	size_t size = 0, n = 0;
	char *text;

	(void)state;
	test_log_catch();
	test_pair_init(&pair, "mem:behind");
	pair.custom = fail_richly;
	test_pair_start(&pair);
	text = (char *)calloc(1, 8001);
	request.text = text;
	for (size = 2000; size <= 8000; size += 6000) {
		memset(text, 'd', size);
		call = farcall_call_new(pair.channel);
		assert_int_equal(pair_test_custom(call, &request, NULL), FARCALL_DATA_LOSS);
		assert_int_equal(strlen(farcall_call_status_message(call)), 6 + size);
		assert_int_equal(farcall_call_detail(call, 0, NULL, NULL, &n), size == 2000);
		farcall_call_free(call);
	}
	assert_int_equal(n, 2003);
	assert_string_equal(test_log_last(),
	    "/pair.Test/Custom: its details are left out, the peer would not take them");
	free(text);
	test_pair_fini(&pair);
	test_log_release();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(a_client_needs_no_stub),
	    clean_test(misuse_is_answered),
	    clean_test(async_calls_copy_their_bytes),
	    clean_test(a_server_takes_any_path),
	    clean_test(it_may_be_completed_later),
	    clean_test(its_service_has_settings),
	    clean_test(a_proxy_is_a_page),
	    clean_test(details_that_do_not_fit_are_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
