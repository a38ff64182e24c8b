/*
 * Streams whose one end is slow: what a server holds of them is bounded, whichever end it is, and
 * others go on. And handlers of streams that have no thread to wait on.
 */
#include "runtime/call/flow.h"
#include "runtime/loop/crew.h"
#include "server/internal.h"

#include "tests/pair/stage.h"

#include <stdlib.h>

static const char chat[] = "/stream.Test/Chat", murmur[] = "/stream.Test/Murmur";
static const char sum[] = "/stream.Test/Sum";

/* Until nothing moves any more. */
static void
settle(stage *s, const atomic_int *counter)
{
	int stands = -1;

	while (stands != atomic_load(counter)) {
		stands = atomic_load(counter);
		puppet_turns(&s->p, 20);
	}
}

/* ---- the client stops reading ---- */

/* Of messages of `size`: what the client's window, the engine and the flow hold. */
static int
most_said(size_t window, size_t size)
{
	return (int)((window + FC_FLOW_UNSENT) / size) + 3;
}

static void
a_handler_waits_for_its_client(void **state)
{
	enum { N = 20000, SIZE = 1000 };
	puppet_call c;
	stage s;

	(void)state;
	stage_start(&s, false);
	puppet_open(&s.p, &c, "/stream.Test/Count", 0, NULL);
	c.lazy = true;
	stage_count_on(&c, N, SIZE);
	puppet_until(&s.p, atomic_load(&s.streams.sent) >= (int)WINDOW / (SIZE + 100));
	settle(&s, &s.streams.sent);
	assert_in_range(
	    atomic_load(&s.streams.sent), WINDOW / (SIZE + 100), most_said(WINDOW, SIZE));
	/* As long as it takes a little, it gets a little. */
	puppet_take(&c);
	puppet_until(&s.p, atomic_load(&s.streams.sent) >= 2 * ((int)WINDOW / (SIZE + 100)));
	settle(&s, &s.streams.sent);
	assert_in_range(
	    atomic_load(&s.streams.sent), 2 * (WINDOW / (SIZE + 100)), most_said(2 * WINDOW, SIZE));
	c.lazy = false;
	puppet_take(&c);
	assert_ended(&c, N, FARCALL_OK, "");
	stage_end(&s);
}

/* Nor does its socket: then it is the connection's output that is full. */
static void
a_client_that_is_deaf(void **state)
{
	enum { N = 3000, SIZE = 10000 };
	puppet_call c;
	puppet p;
	stage s;

	(void)state;
	stage_start(&s, false);
	stage_connect(&s, &p, 64u << 20);
	puppet_open(&p, &c, "/stream.Test/Count", 0, NULL);
	stage_count_on(&c, N, SIZE);
	puppet_until(&p, c.received > 2);
	p.deaf = true;
	settle(&s, &s.streams.sent);
	assert_in_range(atomic_load(&s.streams.sent), 1, N - 1);
	p.deaf = false;
	puppet_until(&p, c.ended);
	assert_int_equal(c.received, N);
	puppet_close(&p);
	stage_end(&s);
}

/* ---- the handler stops reading ---- */

static farcall_code
sum_at_its_leisure(farcall_call *call, Stream__Message *reply)
{
	stage *s = stage_of(call);

	atomic_fetch_add(&s->steps, 1);
	farcall_block_begin(call);
	while (!atomic_load(&s->go))
		uv_sleep(1);
	return test_stream_sum(call, reply);
}

/* A proxy that has one stream's buffer full may read nothing at all for the moment, not even that
 * its windows have opened (haproxy does): so it must be able to get rid of what it has of the
 * others, or both ends wait for ever. */
static void
a_deaf_client_may_say_what_its_streams_hold(void **state)
{
	enum { N = 30, SIZE = 500000 };
	static puppet_call c[N];
	stage s;

	(void)state;
	stage_init(&s, false);
	s.ops.sum = sum_at_its_leisure;
	stage_register(&s);
	stage_open(&s);
	stage_cancelled(&s); /* it has heard of the windows */
	s.p.deaf = true;
	for (int i = 0; i < N; i++) {
		puppet_open(&s.p, &c[i], sum, 0, NULL);
		puppet_number(&c[i], (uint32_t)i, SIZE);
		puppet_until(&s.p, !c[i].waiting);
	}
	s.p.deaf = false;
	atomic_store(&s.go, true);
	for (int i = 0; i < N; i++) {
		puppet_end(&c[i]);
		puppet_until(&s.p, c[i].ended);
		assert_int_equal(c[i].code, FARCALL_OK);
	}
	stage_end(&s);
}

static void
a_client_waits_for_its_handler(void **state)
{
	enum { SIZE = 10000, WINDOW_HERE = 1 << 20 };
	puppet_call c, d;
	uint32_t said = 0;
	stage s;

	(void)state;
	stage_init(&s, false);
	s.ops.sum = sum_at_its_leisure;
	stage_register(&s);
	stage_open(&s);
	puppet_open(&s.p, &c, sum, 0, NULL);
	for (; said < WINDOW_HERE / (SIZE + 100); said++) {
		puppet_until(&s.p, !c.waiting);
		puppet_number(&c, 1, SIZE);
	}
	for (int quiet = 0; quiet < 50; quiet = c.waiting ? quiet + 1 : 0) {
		while (!c.waiting) {
			puppet_number(&c, 1, SIZE);
			said++;
		}
		puppet_turn(&s.p);
	}
	assert_in_range(said, WINDOW_HERE / (SIZE + 100), WINDOW_HERE / SIZE + 2);
	/* Others have windows of their own, and the connection's is not used up. */
	puppet_open(&s.p, &d, chat, 0, NULL);
	for (uint32_t i = 0; i < 500; i++) {
		puppet_number(&d, i, SIZE);
		puppet_until(&s.p, !d.waiting);
	}
	puppet_end(&d);
	assert_ended(&d, 500, FARCALL_OK, "");
	atomic_store(&s.go, true);
	for (uint32_t i = 0; i < 500; i++, said++) {
		puppet_until(&s.p, !c.waiting);
		puppet_number(&c, 1, SIZE);
	}
	puppet_end(&c);
	puppet_until(&s.p, c.ended);
	assert_int_equal(c.code, FARCALL_OK);
	assert_int_equal(c.last, said);
	stage_end(&s);
}

/* ---- many of them ---- */

static void
pour(farcall_call *call, farcall_code code, const ProtobufCMessage *nothing, void *data)
{
	static uint8_t bytes[1000];
	Stream__Message reply = STREAM__MESSAGE__INIT;

	(void)nothing;
	if (code != FARCALL_OK) {
		atomic_fetch_add(&stage_of(call)->told, 1);
		farcall_call_complete(call, code);
		return;
	}
	reply.data.data = bytes;
	reply.data.len = sizeof bytes;
	atomic_fetch_add(&stage_of(call)->said, 1);
	stream_test_chat__send_reply__async(call, &reply, pour, data);
}

static farcall_code
pours(farcall_call *call)
{
	atomic_fetch_add(&stage_of(call)->steps, 1);
	pour(call, FARCALL_OK, NULL, NULL);
	return FARCALL_PENDING;
}

/* A thousand streams that say all they can to a client that takes nothing. */
static void
stalled_streams_are_bounded(void **state)
{
	enum { STREAMS = 1000, SIZE = 1000, SMALL = 1024 };
	static puppet_call calls[STREAMS];
	puppet_call c;
	puppet p;
	stage s;

	(void)state;
	stage_init(&s, false);
	s.ops.chat = pours;
	stage_register(&s);
	stage_open(&s);
	stage_connect(&s, &p, SMALL);
	for (int i = 0; i < STREAMS; i++) {
		puppet_open(&p, &calls[i], chat, 0, NULL);
		calls[i].lazy = true;
		if (i % 50 == 0)
			puppet_turn(&p);
	}
	puppet_until(&p, atomic_load(&s.steps) == STREAMS);
	puppet_until(&p, atomic_load(&s.said) >= STREAMS * (int)(FC_FLOW_UNSENT / (SIZE + 100)));
	for (int stands = -1; stands != atomic_load(&s.said);) {
		stands = atomic_load(&s.said);
		puppet_turns(&p, 50);
	}
	assert_in_range(atomic_load(&s.said), STREAMS, STREAMS * most_said(SMALL, SIZE));
	/* One more goes on as if there were none, on this connection and another. */
	for (int i = 0; i < 2; i++) {
		puppet *here = i == 0 ? &s.p : &p;

		puppet_open(here, &c, i == 0 ? murmur : sum, 0, NULL);
		for (uint32_t n = 0; n < 300; n++) {
			puppet_number(&c, n, 500);
			if (i == 0)
				puppet_until(here, c.received == n + 1);
		}
		puppet_end(&c);
		puppet_until(here, c.ended);
		assert_int_equal(c.code, FARCALL_OK);
	}
	puppet_close(&p);
	puppet_until(&s.p, atomic_load(&s.told) == STREAMS);
	stage_end(&s);
}

/* ---- both directions at once, in a handler of two threads ---- */

enum { BOTH = 5000 };

static void
send_all(void *data)
{
	farcall_call *call = (farcall_call *)data;
	Stream__Message reply = STREAM__MESSAGE__INIT;

	for (uint32_t i = 0; i < BOTH; i++) {
		reply.number = i;
		reply.text = farcall_call_printf(call, "number %u", (unsigned)i);
		if (stream_test_chat__send_reply(call, &reply) != FARCALL_OK)
			atomic_fetch_add(&stage_of(call)->refused, 1);
	}
}

static farcall_code
both_at_once(farcall_call *call)
{
	stage *s = stage_of(call);
	const Stream__Message *request;
	uv_thread_t sender;
	farcall_code code;
	uint32_t n = 0;

	uv_thread_create(&sender, send_all, call);
	while ((code = stream_test_chat__recv_request(call, &request)) == FARCALL_OK) {
		if (request->number != n++)
			atomic_fetch_add(&s->refused, 1);
	}
	atomic_store(&s->told, (int)n);
	uv_thread_join(&sender);
	return code;
}

static void
one_thread_sends_while_another_receives(void **state)
{
	puppet_call c;
	stage s;

	(void)state;
	stage_init(&s, false);
	s.ops.chat = both_at_once;
	stage_register(&s);
	stage_open(&s);
	puppet_open(&s.p, &c, chat, 0, NULL);
	for (uint32_t i = 0; i < BOTH; i++) {
		puppet_number(&c, i, 100);
		if (c.waiting)
			puppet_until(&s.p, !c.waiting);
	}
	puppet_end(&c);
	assert_ended(&c, BOTH, FARCALL_OK, "");
	assert_int_equal(atomic_load(&s.told), BOTH);
	assert_int_equal(atomic_load(&s.refused), 0);
	stage_end(&s);
}

static void
ten_thousand_messages(void **state)
{
	enum { N = 10000, CHAT, MURMUR, MURMUR_ELSEWHERE };
	puppet_call c;
	stage s;

	(void)state;
	for (int way = CHAT; way <= MURMUR_ELSEWHERE; way++) {
		stage_init(&s, false);
		stage_register(&s);
		if (way == MURMUR_ELSEWHERE) /* callbacks on other threads */
			farcall_service_set_blocking(s.service, "Murmur", true);
		stage_open(&s);
		puppet_open(&s.p, &c, way == CHAT ? chat : murmur, 0, NULL);
		for (uint32_t n = 0; n < N; n++) {
			puppet_number(&c, n, n % 64);
			if (c.waiting || n - c.received > 2000)
				puppet_turn(&s.p);
		}
		puppet_end(&c);
		assert_ended(&c, N, FARCALL_OK, "");
		stage_end(&s);
	}
}

/* ---- callbacks ---- */

static void
goes_on_by_waiting(
    farcall_call *call, farcall_code code, const Stream__Message *request, void *data)
{
	Stream__Message reply = STREAM__MESSAGE__INIT;

	(void)data;
	while (code == FARCALL_OK) {
		reply = *request;
		code = stream_test_chat__send_reply(call, &reply);
		if (code == FARCALL_OK)
			code = stream_test_chat__recv_request(call, &request);
	}
	farcall_call_complete(call, code);
}

static farcall_code
begins_by_callback(farcall_call *call)
{
	stream_test_chat__recv_request__async(call, goes_on_by_waiting, NULL);
	return FARCALL_PENDING;
}

static void
callbacks_may_wait(void **state)
{
	enum { CALLS = 10 };
	puppet_call calls[CALLS];
	stage s;

	(void)state;
	stage_init(&s, false);
	s.ops.chat = begins_by_callback;
	stage_register(&s);
	stage_open(&s);
	for (int i = 0; i < CALLS; i++)
		puppet_open(&s.p, &calls[i], chat, 0, NULL);
	for (uint32_t n = 0; n < 50; n++)
		for (int i = 0; i < CALLS; i++) {
			puppet_number(&calls[i], n, 100);
			puppet_until(&s.p, calls[i].received == n + 1);
		}
	for (int i = 0; i < CALLS; i++) {
		puppet_end(&calls[i]);
		assert_ended(&calls[i], 50, FARCALL_OK, "");
	}
	stage_end(&s);
}

/* ---- the end of a stream that the client does not take ---- */

/* The call is over for the server when its handler has returned; the rest is the connection's. */
static void
what_is_left_is_the_connections(void **state)
{
	enum { N = 60, SIZE = 1000 };
	puppet_call c, d;
	puppet p;
	stage s;

	(void)state;
	stage_init(&s, false);
	stage_register(&s);
	farcall_service_set_max_calls(s.service, 1);
	stage_open(&s);
	stage_connect(&s, &p, 1024);
	puppet_open(&p, &c, "/stream.Test/Count", 0, NULL);
	c.lazy = true;
	stage_count_on(&c, N, SIZE);
	puppet_until(&p, atomic_load(&s.streams.ended) == 1);
	for (d.code = FARCALL_RESOURCE_EXHAUSTED; d.code != FARCALL_OK;) {
		stage_count(&s, &d, 1, 0, 0);
		puppet_until(&s.p, d.ended);
	}
	assert_in_range(c.received, 0, 1);
	c.lazy = false;
	puppet_take(&c);
	assert_ended(&c, N, FARCALL_OK, "");
	assert_int_equal(c.size, N * SIZE);
	puppet_close(&p);
	stage_end(&s);
}

/* ---- several loops ---- */

static void
on_several_loops(void **state)
{
	enum { PEERS = 8 };
	puppet_call calls[PEERS];
	puppet peers[PEERS];
	stage s;

	(void)state;
	stage_init(&s, false);
	farcall_server_set_loops(s.server, 4);
	stage_register(&s);
	stage_open(&s);
	for (int i = 0; i < PEERS; i++) {
		stage_connect(&s, &peers[i], WINDOW);
		puppet_open(&peers[i], &calls[i], i % 2 == 0 ? chat : murmur, 0, NULL);
	}
	for (uint32_t n = 0; n < 300; n++)
		for (int i = 0; i < PEERS; i++) {
			puppet_number(&calls[i], n, 300);
			if (n % 20 == 19)
				puppet_until(&peers[i], calls[i].received == n + 1);
		}
	for (int i = 0; i < PEERS; i++) {
		puppet_end(&calls[i]);
		assert_ended(&calls[i], 300, FARCALL_OK, "");
		puppet_close(&peers[i]);
	}
	stage_end(&s);
}

/* ---- handlers that may not wait ---- */

static farcall_code
counts_refusals(farcall_call *call)
{
	stage *s = stage_of(call);
	Stream__Message reply = STREAM__MESSAGE__INIT;
	const Stream__Message *request;

	atomic_store(&s->code, stream_test_chat__recv_request(call, &request));
	atomic_store(&s->refused, stream_test_chat__send_reply(call, &reply));
	atomic_fetch_add(&s->steps, 1);
	return FARCALL_OK;
}

/* There is no other thread that could turn the loop meanwhile. */
static void
steps_that_may_block_are_refused(void **state)
{
	enum { LENT, SERIAL, ONE_THREAD, DECLARED, WAYS };
	puppet_call c;
	stage s;

	(void)state;
	for (int i = 0; i < WAYS; i++) {
		test_log_catch();
		stage_init(&s, i == LENT);
		s.ops.chat = counts_refusals;
		stage_register(&s);
		if (i == SERIAL)
			farcall_server_set_serial(s.server, true);
		if (i == ONE_THREAD)
			farcall_server_set_handler_threads(s.server, 1);
		if (i == DECLARED)
			farcall_service_set_blocking(s.service, "Chat", false);
		stage_open(&s);
		puppet_open(&s.p, &c, chat, 0, NULL);
		puppet_number(&c, 0, 1);
		assert_ended(&c, 0, FARCALL_OK, "");
		assert_int_equal(atomic_load(&s.code), FARCALL_FAILED_PRECONDITION);
		assert_int_equal(atomic_load(&s.refused), FARCALL_FAILED_PRECONDITION);
		assert_int_equal(test_log_count(), 2);
		assert_non_null(strstr(test_log_last(), "use the step with a callback"));
		/* The other way works. */
		puppet_open(&s.p, &c, murmur, 0, NULL);
		puppet_number(&c, 0, 1);
		puppet_end(&c);
		assert_ended(&c, 1, FARCALL_OK, "");
		stage_end(&s);
		test_log_release();
	}
}

/* Three threads: two wait in streams, the third turns the loop and may not wait; what need not wait
 * it may do. */
static void
the_last_thread_does_not_wait(void **state)
{
	puppet_call first, second, third, queued;
	stage s;

	(void)state;
	test_log_catch();
	stage_init(&s, false);
	farcall_server_set_handler_threads(s.server, 3);
	stage_register(&s);
	farcall_service_set_blocking(s.service, "Chat", true);
	stage_open(&s);
	puppet_open(&s.p, &first, chat, 0, NULL);
	puppet_number(&first, 0, 1);
	puppet_until(&s.p, first.received == 1);
	puppet_open(&s.p, &second, sum, 0, NULL);
	puppet_until(&s.p, atomic_load(&s.streams.begun) == 2);
	puppet_open(&s.p, &queued, chat, 0, NULL); /* waits for a thread */
	puppet_number(&queued, 0, 1);
	stage_cancelled(&s);
	stage_count(&s, &third, 3, 10, 0);
	assert_ended(&third, 3, FARCALL_OK, "");
	stage_count(&s, &third, 300, 1000, 0);
	puppet_until(&s.p, third.ended);
	assert_int_equal(third.code, FARCALL_FAILED_PRECONDITION);
	assert_non_null(strstr(test_log_last(), "all other handler threads of the loop block"));
	assert_int_equal(queued.received, 0);
	puppet_number(&first, 1, 1);
	puppet_until(&s.p, first.received == 2);
	puppet_end(&first);
	assert_ended(&first, 2, FARCALL_OK, "");
	puppet_end(&second);
	assert_ended(&second, 1, FARCALL_OK, "");
	puppet_until(&s.p, queued.received == 1);
	puppet_end(&queued);
	assert_ended(&queued, 1, FARCALL_OK, "");
	stage_end(&s);
	test_log_release();
}

/* A step that finds its message, or room for it, leaves the loop where it is; one that has to wait
 * gives it away. */
static void
steps_that_need_not_wait_keep_the_loop(void **state)
{
	fc_crew_counts before, after;
	puppet_call c;
	stage s;

	(void)state;
	stage_start(&s, false);
	for (int i = 0; i < 50; i++) {
		stage_count(&s, &c, 3, 10, 0);
		assert_ended(&c, 3, FARCALL_OK, "");
	}
	fc_crew_counts_get(s.server->loops[0]->crew, &before);
	if (getenv("FARCALL_DEBUG_HANDOVER") == NULL)
		assert_int_equal(before.given, 0);
	puppet_open(&s.p, &c, chat, 0, NULL);
	puppet_number(&c, 0, 1);
	puppet_until(&s.p, c.received == 1);
	puppet_end(&c);
	assert_ended(&c, 1, FARCALL_OK, "");
	fc_crew_counts_get(s.server->loops[0]->crew, &after);
	assert_true(
	    after.given + after.taken + after.pooled > before.given + before.taken + before.pooled);
	stage_end(&s);
}

/* A stream counts from its head on, until it has ended. */
static void
streams_count_among_the_calls(void **state)
{
	puppet_call calls[3], c;
	stage s;

	(void)state;
	stage_init(&s, false);
	stage_register(&s);
	farcall_service_set_max_calls(s.service, 3);
	stage_open(&s);
	for (int i = 0; i < 3; i++)
		puppet_open(&s.p, &calls[i], i == 1 ? murmur : chat, 0, NULL);
	puppet_until(&s.p, atomic_load(&s.streams.begun) == 3);
	puppet_open(&s.p, &c, murmur, 0, NULL);
	puppet_until(&s.p, c.ended);
	assert_int_equal(c.code, FARCALL_RESOURCE_EXHAUSTED);
	puppet_end(&calls[1]);
	assert_ended(&calls[1], 0, FARCALL_OK, "");
	puppet_open(&s.p, &c, murmur, 0, NULL);
	puppet_number(&c, 0, 1);
	puppet_until(&s.p, c.received == 1);
	puppet_end(&c);
	assert_ended(&c, 1, FARCALL_OK, "");
	puppet_cancel(&calls[0]);
	puppet_cancel(&calls[2]);
	puppet_until(&s.p, atomic_load(&s.streams.cancelled) == 2);
	stage_end(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(a_handler_waits_for_its_client),
	    clean_test(a_client_that_is_deaf),
	    clean_test(a_deaf_client_may_say_what_its_streams_hold),
	    clean_test(a_client_waits_for_its_handler),
	    clean_test(stalled_streams_are_bounded),
	    clean_test(one_thread_sends_while_another_receives),
	    clean_test(ten_thousand_messages),
	    clean_test(callbacks_may_wait),
	    clean_test(what_is_left_is_the_connections),
	    clean_test(on_several_loops),
	    clean_test(steps_that_may_block_are_refused),
	    clean_test(the_last_thread_does_not_wait),
	    clean_test(steps_that_need_not_wait_keep_the_loop),
	    clean_test(streams_count_among_the_calls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
