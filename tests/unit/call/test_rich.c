/*
 * google.rpc.Status as the library writes and reads it by hand, against protobuf-c and the
 * generated code; and bytes of peers that know no better.
 */
#include "tests/support/test.h"

#include "runtime/call/rich.h"

#include <farcall/log.h>

#include "google/rpc/status.pb-c.h"

#include <stdlib.h>

static void
nothing(farcall_call *call)
{
	(void)call;
}

static const char *
no_peer(const farcall_call *call)
{
	(void)call;
	return "";
}

static const fc_call_ops server_ops = {
    .server = true, .cancel = nothing, .let_go = nothing, .destroy = nothing, .peer = no_peer};
static const fc_call_ops client_ops = {
    .cancel = nothing, .let_go = nothing, .destroy = nothing, .peer = no_peer};
static const farcall_method method = {.name = "Say", .path = "/t.T/Say"};

static void
begin(farcall_call *call, bool server)
{
	fc_call_init(call, server ? &server_ops : &client_ops, NULL, 65536, NULL);
	call->method = &method;
}

/* The only pair that stands in the call's trailers. */
static Google__Rpc__Status *
sent(farcall_call *call, farcall_code code, const char *text)
{
	const fc_pair *pair;
	size_t before = call->tail.n;

	assert_true(fc_rich_put(call, code, text));
	assert_int_equal(call->tail.n, before + 1);
	pair = &call->tail.at[before];
	assert_int_equal(pair->flags, FC_PAIR_BINARY);
	assert_memory_equal(pair->name, "grpc-status-details-bin", pair->name_size);
	return google__rpc__status__unpack(NULL, pair->value_size, (const uint8_t *)pair->value);
}

static void
what_is_written_is_a_status(void **state)
{
	Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;
	Google__Rpc__Status *status;
	farcall_call call;
	char big[300];

	(void)state;
	begin(&call, true);
	assert_false(fc_rich_put(&call, FARCALL_NOT_FOUND, "x"));
	memset(big, 'b', sizeof big - 1);
	big[sizeof big - 1] = 0;
	any.type_url = big;
	farcall_call_add_detail(&call, &any.base);
	any.type_url = (char *)"";
	farcall_call_add_detail(&call, &any.base);
	farcall_call_add_detail_bytes(&call, "example.com/what.Ever", "\0\1\2", 3);
	status = sent(&call, FARCALL_NOT_FOUND, "no such row: é");
	assert_non_null(status);
	assert_int_equal(status->code, 5);
	assert_string_equal(status->message, "no such row: é");
	assert_int_equal(status->n_details, 3);
	assert_string_equal(
	    status->details[0]->type_url, "type.googleapis.com/google.protobuf.Any");
	assert_int_equal(status->details[0]->value.len, 3 + 299);
	assert_int_equal(status->details[1]->value.len, 0);
	assert_string_equal(status->details[2]->type_url, "example.com/what.Ever");
	assert_int_equal(status->details[2]->value.len, 3);
	assert_memory_equal(status->details[2]->value.data, "\0\1\2", 3);
	google__rpc__status__free_unpacked(status, NULL);
	status = sent(&call, FARCALL_UNAUTHENTICATED, "");
	assert_string_equal(status->message, "");
	google__rpc__status__free_unpacked(status, NULL);
	fc_call_fini(&call);
}

static void
what_cannot_be_written_dooms_the_call(void **state)
{
	Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;
	farcall_call call;

	(void)state;
	begin(&call, true);
	farcall_call_add_detail(&call, NULL);
	assert_string_equal(
	    call.error, "INTERNAL: add detail: the message is NULL, or its type has no name");
	fc_call_fini(&call);
	begin(&call, true);
	farcall_call_add_detail_bytes(&call, "", "x", 1);
	assert_string_equal(call.error, "INTERNAL: add detail: no type, or no value");
	farcall_call_add_detail_bytes(&call, "t", "x", 1); /* doomed already */
	assert_null(call.rich);
	fc_call_fini(&call);

	begin(&call, true);
	any.value.len = FC_CALL_KEPT / 4;
	any.value.data = (uint8_t *)calloc(1, FC_CALL_KEPT + 1);
	farcall_call_add_detail(&call, &any.base);
	assert_int_equal(call.code, FARCALL_OK);
	any.value.len = FC_CALL_KEPT;
	farcall_call_add_detail(&call, &any.base);
	assert_int_equal(call.code, FARCALL_RESOURCE_EXHAUSTED);
	assert_int_equal(call.cause, FARCALL_CAUSE_LIMIT);
	free(any.value.data);
	fc_call_fini(&call);

	begin(&call, false); /* a client's */
	farcall_call_add_detail(&call, &any.base);
	assert_int_equal(call.code, FARCALL_FAILED_PRECONDITION);
	fc_call_fini(&call);
	farcall_call_add_detail(NULL, &any.base);
}

/* ---- reading ---- */

/* As if the server had sent these bytes. */
static void
receive(farcall_call *call, farcall_code code, const void *bytes, size_t size)
{
	static fc_metadata_item item;

	begin(call, false);
	item = (fc_metadata_item){FC_RICH_KEY, (const char *)bytes, size, true};
	call->trailers.n = 1;
	call->trailers.items = &item;
	call->code = code;
}

static void
what_protobuf_c_writes_is_read(void **state)
{
	Google__Rpc__Status status = GOOGLE__RPC__STATUS__INIT;
	Google__Protobuf__Any anys[2] = {GOOGLE__PROTOBUF__ANY__INIT, GOOGLE__PROTOBUF__ANY__INIT};
	Google__Protobuf__Any *details[] = {&anys[0], &anys[1]};
	const Google__Protobuf__Any *found;
	const char *type;
	const void *value;
	uint8_t bytes[256];
	farcall_call call;
	size_t size;

	(void)state;
	anys[0].type_url = (char *)"type.googleapis.com/demo.Other";
	anys[1].type_url = (char *)"type.googleapis.com/google.protobuf.Any";
	anys[1].value.data = (uint8_t *)"\12\1x";
	anys[1].value.len = 3;
	status.code = 5;
	status.message = (char *)"gone";
	status.details = details;
	status.n_details = 2;
	size = google__rpc__status__pack(&status, bytes);
	receive(&call, FARCALL_NOT_FOUND, bytes, size);
	assert_true(farcall_call_detail(&call, 0, &type, &value, &size));
	assert_string_equal(type, "type.googleapis.com/demo.Other");
	assert_int_equal(size, 0);
	assert_true(farcall_call_detail(&call, 1, NULL, NULL, &size));
	assert_int_equal(size, 3);
	assert_false(farcall_call_detail(&call, 2, &type, &value, &size));
	found = (const Google__Protobuf__Any *)(const void *)farcall_call_find_detail(
	    &call, &google__protobuf__any__descriptor);
	assert_non_null(found);
	assert_string_equal(found->type_url, "x");
	assert_null(farcall_call_find_detail(&call, &google__rpc__status__descriptor));
	assert_null(farcall_call_find_detail(&call, NULL));
	fc_call_fini(&call);
}

static void
has_no_details(farcall_code code, const void *bytes, size_t size)
{
	farcall_call call;

	receive(&call, code, bytes, size);
	assert_false(farcall_call_detail(&call, 0, NULL, NULL, NULL));
	assert_null(farcall_call_find_detail(&call, &google__protobuf__any__descriptor));
	fc_call_fini(&call);
}

#define HAS_NONE(code, bytes) has_no_details(code, bytes, sizeof bytes - 1)

static void
ignore(farcall_log_level level, const char *text, void *data)
{
	(void)level;
	(void)text;
	++*(int *)data;
}

static void
damaged_bytes_are_no_details(void **state)
{
	test_random random;
	uint8_t bytes[40];
	int said = 0;

	(void)state;
	farcall_log_set(ignore, &said);
	HAS_NONE(FARCALL_OK, "\x08\x05\x1a\x00");
	assert_int_equal(said, 0);
	HAS_NONE(FARCALL_ABORTED, "\x08\x05\x1a\x00");   /* another code */
	HAS_NONE(FARCALL_NOT_FOUND, "\x08\x05\x1a\x01"); /* cut */
	HAS_NONE(FARCALL_NOT_FOUND, "\x08\x05\x1a\x02\x0a\x05");
	HAS_NONE(FARCALL_NOT_FOUND, "\x08\x05\x1a\x04\x0a\x02x\xff"); /* not UTF-8 */
	HAS_NONE(FARCALL_NOT_FOUND, "\x08\x05\x1a\x04\x0a\x02x\x00"); /* NUL */
	HAS_NONE(FARCALL_NOT_FOUND, "\x08\x05\x1b");                  /* a group */
	assert_int_equal(said, 6);
	test_random_seed(&random, 1);
	for (int i = 0; i < 20000; i++) {
		size_t n = 0, size = 1 + test_random_below(&random, sizeof bytes);
		farcall_call call;

		for (size_t j = 0; j < size; j++)
			bytes[j] = (uint8_t)(test_random_below(&random, 2) != 0
			        ? test_random_next(&random)
			        : (uint32_t) "\x08\x05\x1a\x0a\x12\x02\x04\x08"[j % 8]);
		receive(&call, FARCALL_NOT_FOUND, bytes, size);
		while (farcall_call_detail(&call, n, NULL, NULL, NULL))
			n++;
		farcall_call_find_detail(&call, &google__protobuf__any__descriptor);
		fc_call_fini(&call);
		assert_true(n <= size);
	}
	farcall_log_set(NULL, NULL);
}

/* At any allocation that fails there are no details, or all; nothing else. */
static void
lack_of_memory_is_no_detail(void **state)
{
	static const uint8_t bytes[] = "\x08\x05\x1a\x03\x0a\x01x\x1a\x03\x0a\x01y";
	farcall_call call;
	int said = 0;
	bool all;

	(void)state;
	farcall_log_set(ignore, &said);
	for (size_t nth = 1;; nth++) {
		receive(&call, FARCALL_NOT_FOUND, bytes, sizeof bytes - 1);
		test_allocator_fail_at(nth, true);
		all = farcall_call_detail(&call, 1, NULL, NULL, NULL);
		assert_int_equal(all, !test_allocator_failed());
		fc_call_fini(&call);
		if (!test_allocator_failed())
			break;
	}
	test_allocator_fail_at(0, false);
	for (size_t nth = 1;; nth++) {
		begin(&call, true);
		test_allocator_fail_at(nth, true);
		farcall_call_add_detail_bytes(&call, "t", "v", 1);
		if (test_allocator_failed())
			assert_int_equal(call.cause, FARCALL_CAUSE_OUT_OF_MEMORY);
		else
			assert_true(fc_rich_put(&call, FARCALL_ABORTED, "x"));
		fc_call_fini(&call);
		if (!test_allocator_failed())
			break;
	}
	test_allocator_fail_at(0, false);
	farcall_log_set(NULL, NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(what_is_written_is_a_status),
	    clean_test(what_cannot_be_written_dooms_the_call),
	    clean_test(what_protobuf_c_writes_is_read),
	    clean_test(damaged_bytes_are_no_details),
	    clean_test(lack_of_memory_is_no_detail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
