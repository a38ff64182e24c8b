/*
 * The ends of a client's streams, at every point of their lives: cancelled, freed, late, the
 * channel closed, the connection lost, reset by the server, the server going away; and what is
 * tried again. Each callback comes exactly once, and each step afterwards answers the same.
 */
#include "tests/pair/stream_fixture.h"

#include "runtime/call/flow.h"

#include <stdlib.h>

/* ---- every end, at every point ---- */

typedef enum how { CANCELLED, FREED, LATE, CLOSED, LOST, RESET, REFUSED, ENDED, HOWS } how;

static tiny_conn *
first_conn(fixture *f)
{
	return fc_list_empty(&f->server.conns)
	    ? NULL
	    : FC_CONTAINER(f->server.conns.next, tiny_conn, in_server);
}

static tiny_call *
first_call(fixture *f)
{
	tiny_conn *conn = first_conn(f);

	return conn == NULL || fc_list_empty(&conn->calls)
	    ? NULL
	    : FC_CONTAINER(conn->calls.next, tiny_call, in_conn);
}

static void
by_server(fixture *f, how end)
{
	tiny_call *call = first_call(f);

	if (end == LOST && first_conn(f) != NULL)
		fc_conn_kill(&first_conn(f)->conn);
	else if (end == RESET && call != NULL)
		tiny_abort(call, FARCALL_INTERNAL);
	else if (end == REFUSED && call != NULL)
		tiny_refuse(call);
	else if (end == ENDED && call != NULL)
		tiny_end(call, FARCALL_ABORTED, "so");
}

/* true: the program let go of the call. */
static bool
bring_about(fixture *f, farcall_call *call, how end)
{
	switch (end) {
	case CANCELLED:
		farcall_call_cancel(call);
		farcall_call_cancel(call);
		break;
	case FREED:
		farcall_call_free(call);
		return true;
	case CLOSED:
		farcall_channel_close(f->channel);
		f->channel = NULL;
		break;
	case LATE:
		break;
	default:
		by_server(f, end);
	}
	return false;
}

static void
reply_once(tiny_call *call, const uint8_t *bytes, size_t size)
{
	if (call->received == 1)
		echo_message(call, bytes, size);
	else
		tiny_take(call, size);
}

/* What can come of it; a call that the server did not touch is given up in the end. */
static bool
is_honest(how end, farcall_code code)
{
	switch (end) {
	case CANCELLED:
	case FREED:
	case CLOSED:
		return code == FARCALL_CANCELLED;
	case LATE:
		return code == FARCALL_DEADLINE_EXCEEDED;
	case LOST:
	case REFUSED:
		return code == FARCALL_UNAVAILABLE || code == FARCALL_CANCELLED;
	case RESET:
		return code == FARCALL_INTERNAL || code == FARCALL_CANCELLED;
	default:
		return code == FARCALL_ABORTED || code == FARCALL_CANCELLED;
	}
}

typedef struct life {
	told sent[3], received, more, finished;
} life;

static void
receive_more(farcall_call *call, farcall_code code, const ProtobufCMessage *message, void *data)
{
	life *l = (life *)data;

	tell(call, code, message, &l->received);
	farcall_call_recv_async(call, tell, &l->more);
}

static void
send_more(farcall_call *call, farcall_code code, const ProtobufCMessage *message, void *data)
{
	life *l = (life *)data;

	tell(call, code, message, &l->sent[0]);
	send_async(call, 1, 70000, &l->sent[1]);
}

static void
settle(fixture *f, const told *a, const told *b, const told *c)
{
	for (int i = 0; i < 5000 && (a->times == 0 || b->times == 0 || c->times == 0); i++)
		farcall_loop_step(f->loop, 1);
	assert_int_equal(a->times, 1);
	assert_int_equal(b->times, 1);
	assert_int_equal(c->times, 1);
}

/* Steps after the end, also where nobody turns the loop for the channel any more. */
static void
expect_same(fixture *f, farcall_call *call, farcall_code code)
{
	const Pair__Message *message;
	told to = {0};

	assert_int_equal(farcall_call_code(call), code);
	assert_non_null(strstr(farcall_call_error(call), farcall_code_name(code)));
	assert_int_equal(send_message(call, "", 0, 0), code);
	assert_int_equal(receive_message(call, &message), code);
	assert_int_equal(farcall_call_finish(call, NULL), code);
	farcall_call_recv_async(call, tell, &to);
	wait_told(f, &to, 1);
	assert_int_equal(to.code, code);
	farcall_call_finish_async(call, tell, &to);
	wait_told(f, &to, 2);
	assert_int_equal(to.code, code);
	farcall_call_cancel(call);
	farcall_call_free(call);
}

static void
live(how end_by, int steps)
{
	Pair__Message message = PAIR__MESSAGE__INIT;
	farcall_call *call;
	farcall_code code;
	life l = {0};
	fixture f;
	bool freed;

	begin(&f);
	f.server.on_message = reply_once;
	call = farcall_call_new(f.channel);
	farcall_call_set_timeout_ms(call, end_by == LATE ? (uint64_t)(steps % 4) * 2 : 20000);
	assert_int_equal(farcall_call_start(call, &chat_method, NULL), FARCALL_OK);
	farcall_call_send_async(call, &message.base, send_more, &l);
	farcall_call_recv_async(call, receive_more, &l);
	step(&f, steps);
	freed = bring_about(&f, call, end_by);
	step(&f, 3);
	if (!freed && end_by != LATE && farcall_call_code(call) == FARCALL_OK)
		farcall_call_cancel(call); /* the server had not heard of it */
	settle(&f, &l.received, &l.sent[1], &l.more);
	assert_int_equal(l.sent[0].times, 1);
	code = l.more.code;
	if (!is_honest(end_by, code))
		fail_msg("end %d after %d steps: %s", (int)end_by, steps, farcall_code_name(code));
	if (!freed)
		expect_same(&f, call, code);
	end(&f);
}

static void
each_end_at_each_point(void **state)
{
	(void)state;
	for (int end_by = 0; end_by < HOWS; end_by++)
		for (int steps = 0; steps < 14; steps++)
			live((how)end_by, steps);
}

/* ---- the same while the program waits in a step ---- */

static how interrupted_by;
static fixture *interrupted;
static farcall_call *victim;

static void
interrupt(tiny_call *call)
{
	(void)call;
	bring_about(interrupted, victim, interrupted_by);
}

static void
a_blocked_step_comes_back(void **state)
{
	static const how ends[] = {CANCELLED, CLOSED, LOST, RESET, ENDED};
	static const farcall_code codes[] = {FARCALL_CANCELLED, FARCALL_CANCELLED,
	    FARCALL_UNAVAILABLE, FARCALL_INTERNAL, FARCALL_ABORTED};

	(void)state;
	for (size_t i = 0; i < FC_COUNT(ends); i++) {
		const Pair__Message *message;
		fixture f;

		begin(&f);
		interrupted = &f;
		interrupted_by = ends[i];
		f.server.on_request = interrupt;
		victim = start(&f, &chat_method);
		assert_int_equal(receive_message(victim, &message), codes[i]);
		expect_same(&f, victim, codes[i]);
		end(&f);
	}
}

/* ---- what cannot begin ---- */

static void
what_fails_at_the_start_is_told_by_every_step(void **state)
{
	farcall_call *call;
	fixture f;

	(void)state;
	begin(&f);
	call = farcall_call_new(f.channel);
	farcall_call_add_metadata(call, "Bad Key", "x");
	assert_int_equal(farcall_call_start(call, &chat_method, NULL), FARCALL_INVALID_ARGUMENT);
	expect_same(&f, call, FARCALL_INVALID_ARGUMENT);
	call = farcall_call_new(f.channel);
	farcall_channel_close(f.channel);
	f.channel = NULL;
	step(&f, 3);
	assert_int_equal(farcall_call_start(call, &chat_method, NULL), FARCALL_CANCELLED);
	expect_same(&f, call, FARCALL_CANCELLED);
	end(&f);
}

static void
nobody_is_there(void **state)
{
	const Pair__Message *message;
	farcall_channel *channel = farcall_channel_open("mem:nobody");
	farcall_call *call = farcall_call_new(channel);

	(void)state;
	assert_int_equal(farcall_call_start(call, &chat_method, NULL), FARCALL_OK);
	assert_int_equal(receive_message(call, &message), FARCALL_UNAVAILABLE);
	assert_int_equal(farcall_call_finish(call, NULL), FARCALL_UNAVAILABLE);
	assert_non_null(strstr(farcall_call_error(call), "connect mem:nobody"));
	farcall_call_free(call);
	farcall_channel_close(channel);
	for (int i = 0; i < 10000 && test_allocator_live() != 0; i++)
		uv_sleep(1); /* the channel's thread ends by itself */
}

static void
memory_refused_dooms_the_message(void **state)
{
	farcall_call *call;
	fixture f;

	(void)state;
	begin(&f);
	call = start(&f, &chat_method);
	assert_non_null(farcall_call_alloc(call, 1000));
	assert_int_equal(send_message(call, "", 0, 0), FARCALL_OK);
	assert_null(farcall_call_alloc(call, 1u << 30));
	assert_int_equal(farcall_call_code(call), FARCALL_OK);
	assert_int_equal(send_message(call, "", 0, 0), FARCALL_RESOURCE_EXHAUSTED);
	expect_same(&f, call, FARCALL_RESOURCE_EXHAUSTED);
	call = start(&f, &chat_method);
	assert_non_null(farcall_call_keep(call, 1000));
	assert_null(farcall_call_keep(call, 1u << 30));
	assert_int_equal(farcall_call_code(call), FARCALL_OK);
	farcall_call_free(call);
	end(&f);
}

/* ---- once more ---- */

static struct {
	size_t after; /* messages, on the first attempt */
	bool head;
} refusal;

static void
refuse_first(tiny_call *call, const uint8_t *bytes, size_t size)
{
	tiny_server *server = call->conn->server;

	if (server->n_requests > 1) {
		echo_message(call, bytes, size);
	} else if (call->received == refusal.after) {
		if (refusal.head)
			tiny_head(call, "hello", "there");
		tiny_refuse(call);
	} else {
		tiny_take(call, size);
	}
}

/* Five messages, of `size` bytes on the wire in all with their heads of 4; answers how it ends. */
static farcall_code
try_twice(size_t after, size_t size, bool head)
{
	size_t each = (size - 16) / 4 - 4 - 10, sent = 0;
	const Pair__Message *message;
	farcall_code code = FARCALL_OK;
	farcall_call *call;
	fixture f;

	begin(&f);
	refusal.after = after;
	refusal.head = head;
	f.server.on_message = refuse_first;
	f.server.on_complete = end_well;
	call = start(&f, &chat_method);
	for (uint32_t i = 0; i < 5 && code == FARCALL_OK; i++) {
		size_t n = i < 4 ? each : size - sent - 4;
		Pair__Message request = PAIR__MESSAGE__INIT;

		request.data.len = i < 4 ? n : 0;
		request.data.data = (uint8_t *)calloc(1, n + 1);
		if (i == 4)
			request.data.len = n - (pair__message__get_packed_size(&request) + 5);
		while (i == 4 && pair__message__get_packed_size(&request) < n)
			request.data.len++;
		sent += 4 + pair__message__get_packed_size(&request);
		code = farcall_call_send(call, &request.base);
		free(request.data.data);
	}
	farcall_call_half_close(call);
	for (int i = 0; i < 5 && code == FARCALL_OK; i++)
		code = receive_message(call, &message);
	code = farcall_call_finish(call, NULL);
	assert_int_equal(f.server.n_requests, code == FARCALL_OK ? 2 : 1);
	farcall_call_free(call);
	end(&f);
	return code;
}

static void
what_the_server_has_not_seen_is_sent_again(void **state)
{
	(void)state;
	for (size_t after = 1; after <= 5; after++) {
		assert_int_equal(try_twice(after, 500, false), FARCALL_OK);
		assert_int_equal(try_twice(after, 500, true), FARCALL_UNAVAILABLE);
	}
	assert_int_equal(try_twice(5, FC_FLOW_REPLAY, false), FARCALL_OK);
	assert_int_equal(try_twice(5, FC_FLOW_REPLAY + 1, false), FARCALL_UNAVAILABLE);
}

static void
list_again(tiny_call *call)
{
	if (call->conn->server->n_requests == 1) {
		tiny_refuse(call);
	} else {
		reply_number(call, 7);
		tiny_end(call, FARCALL_OK, "");
	}
}

static void
the_request_of_a_server_stream_too(void **state)
{
	const Pair__Message *message;
	farcall_call *call;
	fixture f;

	(void)state;
	begin(&f);
	f.server.on_complete = list_again;
	call = start(&f, &list_method);
	assert_int_equal(receive_message(call, &message), FARCALL_OK);
	assert_int_equal(message->number, 7);
	assert_int_equal(receive_message(call, &message), FARCALL_END);
	assert_int_equal(f.server.n_requests, 2);
	farcall_call_free(call);
	end(&f);
}

/* GOAWAY: the stream goes on where it is, new ones go elsewhere. */
static void
a_server_that_goes_away_keeps_its_streams(void **state)
{
	const Pair__Message *message;
	farcall_call *call, *other;
	tiny_conn *conn;
	fixture f;

	(void)state;
	begin(&f);
	f.server.on_message = echo_message;
	f.server.on_complete = end_well;
	call = start(&f, &chat_method);
	assert_int_equal(send_message(call, "", 1, 0), FARCALL_OK);
	assert_int_equal(receive_message(call, &message), FARCALL_OK);
	conn = first_conn(&f);
	fc_conn_drain(&conn->conn, "");
	step(&f, 10);
	other = start(&f, &chat_method);
	for (uint32_t i = 0; i < 5; i++) {
		assert_int_equal(send_message(other, "", i, 0), FARCALL_OK);
		assert_int_equal(send_message(call, "", i, 0), FARCALL_OK);
		assert_int_equal(receive_message(other, &message), FARCALL_OK);
		assert_int_equal(receive_message(call, &message), FARCALL_OK);
		assert_int_equal(message->number, i);
	}
	assert_int_equal(f.server.n_conns, 2);
	assert_int_equal(farcall_call_finish(call, NULL), FARCALL_OK);
	assert_int_equal(farcall_call_finish(other, NULL), FARCALL_OK);
	farcall_call_free(call);
	farcall_call_free(other);
	end(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(each_end_at_each_point),
	    clean_test(a_blocked_step_comes_back),
	    clean_test(what_fails_at_the_start_is_told_by_every_step),
	    clean_test(nobody_is_there),
	    clean_test(memory_refused_dooms_the_message),
	    clean_test(what_the_server_has_not_seen_is_sent_again),
	    clean_test(the_request_of_a_server_stream_too),
	    clean_test(a_server_that_goes_away_keeps_its_streams),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
