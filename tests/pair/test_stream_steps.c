/*
 * The steps of a client's streams: shapes, halves, ends, misuse, and what may wait.
 */
#include "tests/pair/stream_fixture.h"

#include "runtime/call/flow.h"

#include <farcall/uv.h>

#include <stdlib.h>

/* ---- shapes and ends ---- */

static void
greet(tiny_call *call)
{
	tiny_head(call, "hello", "there");
}

static void
expect_end(farcall_call *call, farcall_code code)
{
	const Pair__Message *message;

	for (int i = 0; i < 3; i++)
		assert_int_equal(
		    receive_message(call, &message), code == FARCALL_OK ? FARCALL_END : code);
	for (int i = 0; i < 2; i++)
		assert_int_equal(farcall_call_finish(call, NULL), code);
	assert_int_equal(farcall_call_code(call), code);
	farcall_call_free(call);
}

static void
messages_go_both_ways(void **state)
{
	const Pair__Message *message;
	farcall_call *call;
	fixture f;

	(void)state;
	begin(&f);
	f.server.on_request = greet;
	f.server.on_message = echo_message;
	f.server.on_complete = end_well;
	call = start(&f, &chat_method);
	assert_null(farcall_metadata_get(farcall_call_metadata(call), "hello"));
	assert_string_equal(farcall_call_peer(call), "");
	for (uint32_t i = 0; i < 100; i++) {
		assert_int_equal(send_message(call, "ping", i, i * 30), FARCALL_OK);
		assert_int_equal(receive_message(call, &message), FARCALL_OK);
		assert_int_equal(message->number, i);
		assert_int_equal(message->data.len, i * 30);
	}
	assert_string_equal(farcall_metadata_get(farcall_call_metadata(call), "hello"), "there");
	assert_string_equal(farcall_call_peer(call), "mem:streams");
	assert_int_equal(farcall_call_half_close(call), FARCALL_OK);
	assert_int_equal(farcall_call_half_close(call), FARCALL_OK);
	expect_end(call, FARCALL_OK);
	end(&f);
}

static void
list_three(tiny_call *call)
{
	for (uint32_t i = 0; i < 3; i++)
		reply_number(call, i);
	tiny_end(call, FARCALL_NOT_FOUND, "no more");
}

/* The status overtakes nothing, and what was not received may be dropped. */
static void
the_server_ends_first(void **state)
{
	const Pair__Message *message;
	farcall_call *call;
	fixture f;

	(void)state;
	begin(&f);
	f.server.on_complete = list_three;
	call = start(&f, &list_method);
	for (int i = 0; i < 3000 && farcall_call_code(call) == FARCALL_OK; i++)
		farcall_loop_step(f.loop, 1);
	assert_int_equal(farcall_call_code(call), FARCALL_NOT_FOUND);
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(receive_message(call, &message), FARCALL_OK);
		assert_int_equal(message->number, i);
	}
	assert_string_equal(farcall_call_error(call), "NOT_FOUND: no more");
	assert_string_equal(farcall_call_status_message(call), "no more");
	expect_end(call, FARCALL_NOT_FOUND);
	call = start(&f, &list_method);
	assert_int_equal(receive_message(call, &message), FARCALL_OK);
	expect_end((assert_int_equal(farcall_call_finish(call, NULL), FARCALL_NOT_FOUND), call),
	    FARCALL_NOT_FOUND);
	end(&f);
}

/* Before it has read anything, and while the client sends. */
static void
the_server_does_not_listen(void **state)
{
	farcall_code code;
	farcall_call *call;
	fixture f;

	(void)state;
	begin(&f);
	f.server.on_request = end_well;
	call = start(&f, &chat_method);
	for (code = FARCALL_OK; code == FARCALL_OK;)
		code = send_message(call, "", 0, 1000);
	assert_int_equal(code, FARCALL_END);
	assert_int_equal(send_message(call, "", 0, 1000), FARCALL_END);
	expect_end(call, FARCALL_OK);
	end(&f);
}

static void
answer_number(tiny_call *call)
{
	const int *n = (const int *)call->conn->server->data;

	for (int i = 0; i < *n; i++)
		reply_number(call, (uint32_t)call->received);
	tiny_end(call, *n < 0 ? FARCALL_ABORTED : FARCALL_OK, "");
}

static void
a_client_stream_has_one_reply(void **state)
{
	static const struct {
		int replies;
		farcall_code code;
		const char *error;
	} all[] = {{1, FARCALL_OK, ""}, {0, FARCALL_INTERNAL, "INTERNAL: no response message"},
	    {2, FARCALL_INTERNAL, "INTERNAL: more than one response message"},
	    {-1, FARCALL_ABORTED, "ABORTED"}};
	const ProtobufCMessage *reply;
	farcall_call *call;
	fixture f;
	int n;

	(void)state;
	begin(&f);
	f.server.on_complete = answer_number;
	f.server.data = &n;
	for (size_t i = 0; i < FC_COUNT(all); i++) {
		n = all[i].replies;
		reply = NULL;
		call = start(&f, &collect_method);
		for (uint32_t j = 0; j < 7; j++)
			assert_int_equal(send_message(call, "", j, 100), FARCALL_OK);
		for (int j = 0; j < 2; j++)
			assert_int_equal(farcall_call_finish(call, &reply), all[i].code);
		assert_string_equal(farcall_call_error(call), all[i].error);
		assert_true((reply != NULL) == (all[i].code == FARCALL_OK));
		if (reply != NULL)
			assert_int_equal(((const Pair__Message *)(const void *)reply)->number, 7);
		farcall_call_free(call);
	}
	end(&f);
}

static void
send_rubbish(tiny_call *call)
{
	reply_number(call, 1);
	tiny_send(call, "\x0a\x05", 2);
}

/* … and its status is OK. */
static void
send_rubbish_and_end(tiny_call *call)
{
	send_rubbish(call);
	reply_number(call, 2);
	tiny_end(call, FARCALL_OK, "");
}

static void
what_does_not_parse_is_the_outcome_of_a_call_that_has_ended(void **state)
{
	const Pair__Message *message;
	farcall_call *call;
	fixture f;

	(void)state;
	begin(&f);
	f.server.on_request = send_rubbish_and_end;
	call = start(&f, &chat_method);
	step(&f, 20);
	assert_int_equal(receive_message(call, &message), FARCALL_OK);
	assert_int_equal(receive_message(call, &message), FARCALL_INTERNAL);
	assert_non_null(strstr(farcall_call_error(call), "INTERNAL: response: pair.Message.text"));
	assert_string_equal(farcall_call_status_message(call), "");
	expect_end(call, FARCALL_INTERNAL);
	end(&f);
}

static void
what_does_not_parse_ends_the_call(void **state)
{
	const Pair__Message *message;
	farcall_call *call;
	fixture f;

	(void)state;
	begin(&f);
	f.server.on_request = send_rubbish;
	call = start(&f, &chat_method);
	assert_int_equal(receive_message(call, &message), FARCALL_OK);
	assert_int_equal(receive_message(call, &message), FARCALL_INTERNAL);
	assert_non_null(strstr(farcall_call_error(call), "INTERNAL: response: pair.Message.text"));
	expect_end(call, FARCALL_INTERNAL);
	step(&f, 10);
	assert_int_equal(f.server.n_aborts, 1);
	call = start(&f, &collect_method);
	assert_int_equal(farcall_call_finish(call, NULL), FARCALL_INTERNAL);
	farcall_call_free(call);
	end(&f);
}

/* ---- misuse ---- */

static void
expect_refused(farcall_code code, int *logged)
{
	assert_int_equal(code, FARCALL_FAILED_PRECONDITION);
	assert_int_equal(test_log_count(), ++*logged);
}

/* All of it before the start: the call is of no use then. */
static void
misuse_before_the_start(void **state)
{
	Pair__Message message = PAIR__MESSAGE__INIT;
	const ProtobufCMessage *received = NULL;
	farcall_call *call;
	int logged = 0;
	fixture f;

	(void)state;
	begin(&f);
	test_log_catch();
	for (int i = 0; i < 9; i++) {
		told to = {0};

		call = farcall_call_new(f.channel);
		if (i == 0)
			to.code = farcall_call_send(call, &message.base);
		else if (i == 1)
			to.code = farcall_call_recv(call, &received);
		else if (i == 2)
			to.code = farcall_call_finish(call, &received);
		else if (i == 3)
			to.code = farcall_call_half_close(call);
		else if (i == 4)
			farcall_call_recv_async(call, tell, &to);
		else if (i == 5)
			farcall_call_finish_async(call, tell, &to);
		else if (i == 6)
			to.code = farcall_call_start(call, &pair_test__methods[0], &message.base);
		else if (i == 7)
			to.code = farcall_call_start(call, &list_method, NULL);
		else
			to.code = farcall_call_start(call, &chat_method, &message.base);
		expect_refused(to.code, &logged);
		assert_int_equal(farcall_call_code(call), FARCALL_FAILED_PRECONDITION);
		assert_int_equal(farcall_call_recv(call, NULL), FARCALL_FAILED_PRECONDITION);
		assert_int_equal(farcall_call_finish(call, NULL), FARCALL_FAILED_PRECONDITION);
		assert_int_equal(test_log_count(), logged);
		farcall_call_free(call);
	}
	test_log_release();
	end(&f);
}

/* Under way it is the answer, and a line in the log; the call goes on. */
static void
misuse_under_way(void **state)
{
	ProtobufCMessage wrong = {NULL, 0, NULL};
	Pair__Message message = PAIR__MESSAGE__INIT;
	told first = {0}, second = {0}, third = {0};
	farcall_call *call;
	int logged = 0;
	fixture f;

	(void)state;
	begin(&f);
	f.server.on_message = echo_message;
	f.server.on_complete = end_well;
	test_log_catch();
	call = start(&f, &chat_method);
	expect_refused(farcall_call_start(call, &chat_method, NULL), &logged);
	expect_refused(farcall_call_send(call, NULL), &logged);
	expect_refused(farcall_call_send(call, &wrong), &logged);
	expect_refused(pair_test_echo(call, &message, NULL), &logged);
	farcall_call_set_timeout_ms(call, 1);
	farcall_call_add_metadata(call, "a", "b");
	logged += 2;
	farcall_call_recv_async(call, tell, &first);
	farcall_call_recv_async(call, tell, &second);
	expect_refused(second.code, &logged);
	expect_refused(farcall_call_recv(call, NULL), &logged);
	expect_refused(farcall_call_finish(call, NULL), &logged);
	assert_int_equal(farcall_call_code(call), FARCALL_OK);
	assert_string_equal(farcall_call_error(call), "");
	assert_int_equal(send_message(call, "", 5, 0), FARCALL_OK);
	wait_told(&f, &first, 1);
	assert_int_equal(first.number, 5);
	farcall_call_half_close(call);
	expect_refused(send_message(call, "", 6, 0), &logged);
	farcall_call_send_async(call, &message.base, tell, &third);
	expect_refused(third.code, &logged);
	expect_end(call, FARCALL_OK);
	f.server.on_message = NULL;
	call = start(&f, &list_method);
	expect_refused(send_message(call, "", 6, 0), &logged);
	expect_refused(farcall_call_half_close(call), &logged);
	expect_end(call, FARCALL_OK);
	call = start(&f, &collect_method);
	expect_refused(farcall_call_recv(call, NULL), &logged);
	farcall_call_free(call);
	test_log_release();
	end(&f);
}

static void
try_to_block(farcall_call *call, farcall_code code, const ProtobufCMessage *message, void *data)
{
	told *to = (told *)data;

	(void)message;
	assert_int_equal(code, FARCALL_OK);
	assert_int_equal(farcall_call_recv(call, NULL), FARCALL_FAILED_PRECONDITION);
	assert_int_equal(send_message(call, "", 0, 0), FARCALL_FAILED_PRECONDITION);
	assert_int_equal(farcall_call_finish(call, NULL), FARCALL_FAILED_PRECONDITION);
	to->times++;
}

static void
nothing_blocks_inside_a_step(void **state)
{
	told to = {0};
	farcall_call *call;
	fixture f;

	(void)state;
	begin(&f);
	f.server.on_message = echo_message;
	f.server.on_complete = end_well;
	test_log_catch();
	call = start(&f, &chat_method);
	farcall_call_recv_async(call, try_to_block, &to);
	assert_int_equal(send_message(call, "", 0, 0), FARCALL_OK);
	wait_told(&f, &to, 1);
	assert_int_equal(test_log_count(), 3);
	test_log_release();
	farcall_call_half_close(call);
	expect_end(call, FARCALL_OK);
	end(&f);
}

static void
nothing_blocks_on_a_loop_of_uv(void **state)
{
	uv_loop_t uv;
	farcall_loop *loop;
	farcall_channel *channel = farcall_channel_open("mem:streams");
	farcall_call *call = farcall_call_new(channel);
	told to = {0};
	int logged = 0;

	(void)state;
	farcall_call_free(call);
	farcall_channel_close(channel);
	assert_int_equal(uv_loop_init(&uv), 0);
	loop = farcall_loop_from_uv(&uv);
	channel = farcall_channel_open("mem:nobody");
	farcall_channel_set_loop(channel, loop);
	call = farcall_call_new(channel);
	test_log_catch();
	assert_int_equal(farcall_call_start(call, &chat_method, NULL), FARCALL_OK);
	expect_refused(farcall_call_recv(call, NULL), &logged);
	expect_refused(send_message(call, "", 0, 0), &logged);
	expect_refused(farcall_call_finish(call, NULL), &logged);
	test_log_release();
	farcall_call_finish_async(call, tell, &to);
	for (int i = 0; i < 1000 && to.times == 0; i++)
		uv_run(&uv, UV_RUN_ONCE);
	assert_int_equal(to.code, FARCALL_UNAVAILABLE);
	farcall_call_free(call);
	farcall_channel_close(channel);
	uv_run(&uv, UV_RUN_NOWAIT);
	farcall_loop_free(loop);
	uv_run(&uv, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&uv), 0);
}

/* ---- what may wait ---- */

static void
keep_still(tiny_call *call, const uint8_t *bytes, size_t size)
{
	(void)call, (void)bytes, (void)size;
}

/* 64 KiB of messages, with 4 bytes each, wait for the loop; what goes past that turns it. */
static void
so_much_waits_to_be_sent(void **state)
{
	for (size_t more = 0; more < 2; more++) {
		const size_t half = FC_FLOW_UNSENT / 2 - 4 - 4; /* field and length of data */
		farcall_call *call;
		fixture f;

		(void)state;
		begin(&f);
		f.server.on_message = keep_still;
		call = start(&f, &chat_method);
		assert_int_equal(send_message(call, "", 0, half), FARCALL_OK);
		assert_int_equal(send_message(call, "", 0, half + more), FARCALL_OK);
		assert_int_equal(f.server.n_conns, more);
		farcall_call_free(call);
		end(&f);
	}
}

/* The peer's window, one message that is given already, and what may wait. */
static void
a_peer_that_takes_nothing_stops_the_sender(void **state)
{
	const size_t most = (1 << 20) + FC_FLOW_UNSENT;
	uint32_t sent = 0;
	farcall_call *call;
	told to = {0};
	fixture f;

	(void)state;
	begin(&f);
	f.server.on_message = keep_still;
	f.server.on_complete = end_well;
	call = start(&f, &chat_method);
	do {
		send_async(call, sent++, 1000, &to);
		for (int i = 0; i < 100 && to.times < (int)sent; i++)
			farcall_loop_step(f.loop, 0);
	} while (to.times == (int)sent);
	assert_in_range(sent * 1000, most - 70000, most + 2000);
	fc_list_each (item, next, &FC_CONTAINER(f.server.conns.next, tiny_conn, in_server)->calls) {
		f.server.on_message = NULL;
		tiny_take(FC_CONTAINER(item, tiny_call, in_conn), 1 << 20);
	}
	wait_told(&f, &to, (int)sent);
	assert_int_equal(to.code, FARCALL_OK);
	expect_end((farcall_call_half_close(call), call), FARCALL_OK);
	end(&f);
}

static struct {
	uint32_t sent, most;
	size_t size;
} flood;

static void
go_on(tiny_call *call)
{
	uint8_t *bytes = (uint8_t *)malloc(flood.size + 64);

	while (flood.sent < flood.most) {
		fc_send sent =
		    tiny_offer(call, bytes, pack_message(bytes, flood.sent++, flood.size));

		if (sent != FC_SEND_OK) {
			assert_int_equal(sent, FC_SEND_WAITING);
			free(bytes);
			return;
		}
	}
	free(bytes);
	tiny_end(call, FARCALL_OK, "");
}

static farcall_call *
start_flood(fixture *f, uint32_t most, size_t size)
{
	begin(f);
	flood.sent = 0;
	flood.most = most;
	flood.size = size;
	f->server.on_complete = go_on;
	f->server.on_sent = go_on;
	return start(f, &list_method);
}

/* 0 under a sanitizer, which takes memory of its own. */
static long
resident_kib(void)
{
	FILE *file = fopen("/proc/self/statm", "r");
	long size, pages = 0;

	if (file != NULL && fscanf(file, "%ld %ld", &size, &pages) != 2)
		pages = 0;
	if (file != NULL)
		fclose(file);
	return getenv("FARCALL_TEST_SANITIZED") != NULL ? 0 : pages * 4;
}

/* What arrives and is not taken is bounded by the window; others are not held up. */
static void
a_reader_that_sleeps_stops_the_peer(void **state)
{
	const Pair__Message *message;
	farcall_call *call, *other;
	long before;
	fixture f;

	(void)state;
	call = start_flood(&f, 5000, 1000);
	before = resident_kib();
	step(&f, 500);
	assert_in_range(flood.sent, (1 << 20) / 1100, (1 << 20) / 1000 + 1);
	assert_true(resident_kib() - before < 4096);
	f.server.on_complete = end_well;
	for (int i = 0; i < 10; i++) {
		other = start(&f, &chat_method);
		expect_end((farcall_call_half_close(other), other), FARCALL_OK);
	}
	for (uint32_t i = 0; i < 5000; i++) {
		assert_int_equal(receive_message(call, &message), FARCALL_OK);
		assert_int_equal(message->number, i);
		assert_int_equal(message->data.len, 1000);
	}
	expect_end(call, FARCALL_OK);
	end(&f);
}

static void
flood_without_end(tiny_call *call)
{
	uint8_t bytes[4096];
	size_t size = pack_message(bytes, 0, 4000);

	if (strcmp((const char *)call->conn->server->data, "flood") != 0) {
		end_well(call);
		return;
	}
	while (tiny_offer(call, bytes, size) == FC_SEND_OK)
		continue;
}

/* Nine windows of 1 MiB are more than the connection's: it is credited though nobody reads. */
static void
many_sleeping_readers_stop_nobody_else(void **state)
{
	farcall_call *calls[9], *other;
	char mode[] = "flood";
	fixture f;

	(void)state;
	begin(&f);
	f.server.data = mode;
	f.server.on_complete = flood_without_end;
	f.server.on_sent = flood_without_end;
	for (size_t i = 0; i < FC_COUNT(calls); i++)
		calls[i] = start(&f, &list_method);
	step(&f, 3000);
	mode[0] = 0;
	for (int i = 0; i < 100; i++) {
		other = start(&f, &list_method);
		expect_end(other, FARCALL_OK);
	}
	for (size_t i = 0; i < FC_COUNT(calls); i++) {
		const Pair__Message *message;

		for (int j = 0; j < 200; j++)
			assert_int_equal(receive_message(calls[i], &message), FARCALL_OK);
		farcall_call_free(calls[i]);
	}
	end(&f);
}

typedef struct depth {
	told end;
	uint32_t received;
	uintptr_t low, high;
} depth;

static void
on_message(farcall_call *call, farcall_code code, const ProtobufCMessage *base, void *data)
{
	const Pair__Message *message = (const Pair__Message *)(const void *)base;
	depth *d = (depth *)data;
	uintptr_t here = (uintptr_t)&message;

	if (code != FARCALL_OK) {
		tell(call, code, NULL, &d->end);
		return;
	}
	assert_int_equal(message->number, d->received++);
	d->low = d->low == 0 || here < d->low ? here : d->low;
	d->high = here > d->high ? here : d->high;
	farcall_call_recv_async(call, on_message, d);
}

static void
many_messages_need_no_more_than_few(void **state)
{
	const char *rounds = getenv("FARCALL_TEST_ROUNDS");
	const uint32_t most = rounds != NULL ? 1000000 : 100000;
	depth d = {0};
	farcall_call *call;
	long before = 0;
	fixture f;

	(void)state;
	call = start_flood(&f, most, 64);
	farcall_call_recv_async(call, on_message, &d);
	while (d.end.times == 0) {
		farcall_loop_step(f.loop, 1);
		if (before == 0 && d.received > most / 10)
			before = resident_kib();
	}
	assert_int_equal(d.received, most);
	assert_int_equal(d.end.code, FARCALL_END);
	assert_true(d.high - d.low < 8192);
	assert_true(resident_kib() - before < 4096);
	expect_end(call, FARCALL_OK);
	end(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(messages_go_both_ways),
	    clean_test(the_server_ends_first),
	    clean_test(the_server_does_not_listen),
	    clean_test(a_client_stream_has_one_reply),
	    clean_test(what_does_not_parse_ends_the_call),
	    clean_test(what_does_not_parse_is_the_outcome_of_a_call_that_has_ended),
	    clean_test(misuse_before_the_start),
	    clean_test(misuse_under_way),
	    clean_test(nothing_blocks_inside_a_step),
	    clean_test(nothing_blocks_on_a_loop_of_uv),
	    clean_test(so_much_waits_to_be_sent),
	    clean_test(a_peer_that_takes_nothing_stops_the_sender),
	    clean_test(a_reader_that_sleeps_stops_the_peer),
	    clean_test(many_sleeping_readers_stop_nobody_else),
	    clean_test(many_messages_need_no_more_than_few),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
