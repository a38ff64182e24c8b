/*
 * How streams end on a server otherwise than by their handler: cancelled, by the deadline, with the
 * connection, by the program, with the server; at each point where a handler may be, which learns
 * of it once. And how a program ends a call that pends, from any thread.
 */
#include "tests/pair/stage.h"

static const char chat[] = "/stream.Test/Chat";

static void
on_cancel(farcall_call *call, void *data)
{
	(void)call;
	atomic_fetch_add((atomic_int *)data, 1);
}

static void
arrive(farcall_call *call)
{
	stage *s = stage_of(call);

	farcall_call_on_cancel(call, on_cancel, &s->hooked);
	atomic_store(&s->call, call);
	atomic_fetch_add(&s->steps, 1);
}

/* What the last step said. */
static farcall_code
learn(farcall_call *call, farcall_code code)
{
	stage *s = stage_of(call);

	atomic_store(&s->code, code);
	atomic_fetch_add(&s->refused, !farcall_call_cancelled(call));
	atomic_fetch_add(&s->told, 1);
	return code;
}

/* ---- where handlers are ---- */

static farcall_code
receives(farcall_call *call)
{
	const Stream__Message *request;
	farcall_code code;

	arrive(call);
	while ((code = stream_test_chat__recv_request(call, &request)) == FARCALL_OK)
		;
	return learn(call, code);
}

static void
fill(Stream__Message *reply)
{
	static uint8_t data[30000];

	stream__message__init(reply);
	reply->data.data = data;
	reply->data.len = sizeof data;
}

static farcall_code
sends(farcall_call *call)
{
	Stream__Message reply;
	farcall_code code;

	fill(&reply);
	arrive(call);
	while ((code = stream_test_chat__send_reply(call, &reply)) == FARCALL_OK)
		atomic_fetch_add(&stage_of(call)->said, 1);
	return learn(call, code);
}

static void
received(farcall_call *call, farcall_code code, const Stream__Message *request, void *data)
{
	(void)request;
	if (code == FARCALL_OK)
		stream_test_chat__recv_request__async(call, received, data);
	else
		farcall_call_complete(call, learn(call, code));
}

static farcall_code
receives_later(farcall_call *call)
{
	arrive(call);
	stream_test_chat__recv_request__async(call, received, NULL);
	return FARCALL_PENDING;
}

static void
sent(farcall_call *call, farcall_code code, const ProtobufCMessage *nothing, void *data)
{
	Stream__Message reply;

	(void)nothing;
	if (code != FARCALL_OK) {
		farcall_call_complete(call, learn(call, code));
		return;
	}
	atomic_fetch_add(&stage_of(call)->said, 1);
	fill(&reply);
	stream_test_chat__send_reply__async(call, &reply, sent, data);
}

static farcall_code
sends_later(farcall_call *call)
{
	Stream__Message reply;

	fill(&reply);
	arrive(call);
	stream_test_chat__send_reply__async(call, &reply, sent, NULL);
	return FARCALL_PENDING;
}

typedef struct place {
	farcall_code (*handler)(farcall_call *call);
	bool sends, later;
} place;

static const place places[] = {{receives, false, false}, {sends, true, false},
    {receives_later, false, true}, {sends_later, true, true}};

/* ---- what ends them ---- */

enum { CANCEL, DEADLINE, GONE, BY_PROGRAM, STOP, ENDS };

static void
set_stage(stage *s, const place *at, bool lent)
{
	stage_init(s, lent);
	s->ops.chat = at->handler;
	stage_register(s);
	stage_open(s);
}

/* The handler waits: for a message, or since the peer takes none. */
static void
come_to_the_place(stage *s, puppet_call *c, const place *at, unsigned timeout_ms)
{
	int said = -1;

	do { /* a deadline may pass before the handler has begun */
		puppet_open(&s->p, c, chat, timeout_ms, NULL);
		c->lazy = true;
		if (!at->sends)
			puppet_number(c, 0, 10);
		puppet_until(&s->p, atomic_load(&s->steps) == 1 || c->ended);
		timeout_ms *= 4;
	} while (atomic_load(&s->steps) == 0);
	while (said != atomic_load(&s->said)) {
		said = atomic_load(&s->said);
		puppet_turns(&s->p, 5);
	}
}

static void
bring_the_end(stage *s, puppet_call *c, int end)
{
	switch (end) {
	case CANCEL:
		puppet_cancel(c);
		break;
	case GONE:
		puppet_close(&s->p);
		stage_connect(s, &s->p, WINDOW);
		break;
	case BY_PROGRAM:
		farcall_call_cancel(atomic_load(&s->call));
		break;
	case STOP:
		farcall_server_stop(s->server, 0);
		break;
	default:
		break;
	}
	puppet_until(&s->p, atomic_load(&s->told) == 1);
}

static void
client_learns_of_it(stage *s, puppet_call *c, int end)
{
	static const farcall_code codes[] = {[DEADLINE] = FARCALL_DEADLINE_EXCEEDED,
	    [BY_PROGRAM] = FARCALL_CANCELLED,
	    [STOP] = FARCALL_UNAVAILABLE};

	if (end == CANCEL || end == GONE)
		return;
	puppet_until(&s->p, (puppet_take(c), c->ended));
	if (end == STOP && c->reset)
		return; /* the connection ended before it had taken what was sent */
	assert_int_equal(c->code, codes[end]);
}

static void
end_there(const place *at, int end, bool lent)
{
	puppet_call c;
	stage s;

	set_stage(&s, at, lent);
	come_to_the_place(&s, &c, at, end == DEADLINE ? 60 : 0);
	bring_the_end(&s, &c, end);
	client_learns_of_it(&s, &c, end);
	assert_int_equal(
	    atomic_load(&s.code), end == DEADLINE ? FARCALL_DEADLINE_EXCEEDED : FARCALL_CANCELLED);
	assert_int_equal(atomic_load(&s.hooked), 1);
	assert_int_equal(atomic_load(&s.refused), 0);
	if (end != STOP)
		stage_cancelled(&s);
	stage_end(&s);
	assert_int_equal(atomic_load(&s.told), 1);
}

static void
every_end_at_every_place(void **state)
{
	(void)state;
	for (size_t i = 0; i < FC_COUNT(places); i++)
		for (int end = 0; end < ENDS; end++) {
			end_there(&places[i], end, false);
			if (places[i].later)
				end_there(&places[i], end, true);
		}
}

/* ---- the program completes what pends ---- */

static void
complete_it(void *data)
{
	stage *s = (stage *)data;
	Stream__Message reply;

	fill(&reply);
	for (int i = 0; i < 10; i++)
		atomic_store(&s->code, stream_test_chat__send_reply(atomic_load(&s->call), &reply));
	farcall_call_complete(atomic_load(&s->call), FARCALL_OK);
}

static void
note(farcall_call *call, farcall_code code, const Stream__Message *request, void *data)
{
	(void)request;
	(void)data;
	learn(call, code);
}

static farcall_code
pends_with_a_step(farcall_call *call)
{
	stream_test_chat__recv_request__async(call, note, NULL);
	arrive(call);
	return FARCALL_PENDING;
}

static void
another_thread_completes(void **state)
{
	static const place there = {pends_with_a_step, true, true};
	uv_thread_t thread;
	puppet_call c;
	stage s;

	(void)state;
	for (int lent = 0; lent < 2; lent++) {
		set_stage(&s, &there, lent != 0);
		puppet_open(&s.p, &c, chat, 0, NULL);
		puppet_until(&s.p, atomic_load(&s.steps) == 1);
		assert_int_equal(uv_thread_create(&thread, complete_it, &s), 0);
		puppet_until(&s.p, c.ended);
		uv_thread_join(&thread);
		assert_int_equal(c.code, FARCALL_OK);
		assert_int_equal(c.received, 10);
		puppet_until(&s.p, atomic_load(&s.told) == 1);
		assert_int_equal(atomic_load(&s.code), FARCALL_CANCELLED);
		assert_int_equal(atomic_load(&s.hooked), 0);
		stage_end(&s);
		assert_int_equal(atomic_load(&s.told), 1);
	}
}

static farcall_code
sum_later(farcall_call *call, Stream__Message *reply)
{
	(void)reply;
	arrive(call);
	return FARCALL_PENDING;
}

/* A client stream: with the reply that the handler was given, or one of its own; once. */
static void
a_client_stream_is_completed(void **state)
{
	Stream__Message reply = STREAM__MESSAGE__INIT;
	puppet_call c;
	stage s;

	(void)state;
	stage_init(&s, false);
	s.ops.sum = sum_later;
	s.ops.chat = pends_with_a_step;
	stage_register(&s);
	stage_open(&s);
	for (uint32_t i = 0; i < 2; i++) {
		puppet_open(&s.p, &c, "/stream.Test/Sum", 0, NULL);
		puppet_until(&s.p, atomic_load(&s.steps) == (int)i + 1);
		reply.number = 77;
		if (i == 0)
			assert_int_equal(
			    stream_test_sum__send_reply(atomic_load(&s.call), &reply), FARCALL_OK);
		else
			farcall_call_complete(atomic_load(&s.call), FARCALL_OK);
		puppet_until(&s.p, c.ended);
		assert_int_equal(c.code, FARCALL_OK);
		assert_int_equal(c.last, i == 0 ? 77 : 0);
	}
	/* The other shapes have no one reply. */
	test_log_catch();
	puppet_open(&s.p, &c, chat, 0, NULL);
	puppet_until(&s.p, atomic_load(&s.steps) == 3);
	assert_int_equal(farcall_call_send_reply(atomic_load(&s.call), &reply.base),
	    FARCALL_FAILED_PRECONDITION);
	assert_non_null(strstr(test_log_last(), "misuse"));
	farcall_call_complete(atomic_load(&s.call), FARCALL_ABORTED);
	puppet_until(&s.p, c.ended);
	assert_int_equal(c.code, FARCALL_ABORTED);
	test_log_release();
	stage_end(&s);
}

/* ---- after the server ---- */

static void
a_call_outlives_its_server(void **state)
{
	static const place there = {pends_with_a_step, true, true};
	Stream__Message reply;
	farcall_call *call;
	puppet_call c;
	stage s;

	(void)state;
	fill(&reply);
	for (int lent = 0; lent < 2; lent++) {
		set_stage(&s, &there, lent != 0);
		puppet_open(&s.p, &c, chat, 0, NULL);
		puppet_until(&s.p, atomic_load(&s.steps) == 1);
		call = atomic_load(&s.call);
		farcall_server_free(s.server);
		assert_int_equal(atomic_load(&s.told), 1);
		assert_true(farcall_call_cancelled(call));
		stream_test_chat__recv_request__async(call, note, NULL);
		test_wait_for(&s.told, 2);
		assert_int_equal(stream_test_chat__send_reply(call, &reply), FARCALL_CANCELLED);
		assert_int_equal(atomic_load(&s.code), FARCALL_CANCELLED);
		farcall_call_cancel(call);
		farcall_call_complete(call, FARCALL_OK);
		puppet_close(&s.p);
		if (s.loop != NULL)
			farcall_loop_free(s.loop);
	}
}

/* Gently: streams that are open go on, and the last one's end is the server's. */
static void
a_gentle_stop_waits_for_streams(void **state)
{
	puppet_call c;
	stage s;

	(void)state;
	stage_start(&s, false);
	puppet_open(&s.p, &c, chat, 0, NULL);
	puppet_number(&c, 0, 1);
	puppet_until(&s.p, c.received == 1);
	farcall_server_stop(s.server, 20000);
	puppet_turns(&s.p, 20);
	for (uint32_t i = 1; i < 50; i++)
		puppet_number(&c, i, 1000);
	puppet_until(&s.p, c.received == 50);
	assert_false(farcall_server_stopped(s.server));
	puppet_end(&c);
	assert_ended(&c, 50, FARCALL_OK, "");
	puppet_until(&s.p, farcall_server_stopped(s.server));
	stage_end(&s);
}

/* ---- at any moment ---- */

/* Calls that are cancelled, completed and talked to by chance: none hangs or is told twice. */
static void
ends_by_chance(void **state)
{
	static const char *const paths[] = {chat, "/stream.Test/Murmur"};
	test_random random;
	puppet_call c[8];
	stage s;

	(void)state;
	test_random_seed(&random, 5);
	stage_start(&s, false);
	for (int round = 0; round < 40; round++) {
		for (int i = 0; i < 8; i++) {
			puppet_open(&s.p, &c[i], paths[i % 2],
			    test_random_below(&random, 4) == 0 ? 1 + round % 7 : 0, NULL);
			for (uint32_t n = test_random_below(&random, 20); n > 0; n--)
				puppet_number(&c[i], n, 2000);
		}
		puppet_turns(&s.p, test_random_below(&random, 4));
		for (int i = 0; i < 8; i++) {
			uint32_t how = test_random_below(&random, 3);

			if (how == 0)
				puppet_cancel(&c[i]);
			else if (how == 1)
				stage_say(&c[i], "enough", FARCALL_ABORTED);
			else
				puppet_end(&c[i]);
		}
		for (int i = 0; i < 8; i++)
			puppet_until(&s.p, c[i].stream == NULL);
	}
	stage_cancelled(&s);
	stage_end(&s);
	assert_int_equal(atomic_load(&s.streams.begun), atomic_load(&s.streams.ended));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(every_end_at_every_place),
	    clean_test(another_thread_completes),
	    clean_test(a_client_stream_is_completed),
	    clean_test(a_call_outlives_its_server),
	    clean_test(a_gentle_stop_waits_for_streams),
	    clean_test(ends_by_chance),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
