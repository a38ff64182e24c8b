/*
 * A client's streams on threads: one that sends and one that receives, others that look on, cancel
 * or close; callbacks in the channel's own thread. The server turns its loop in a thread, too.
 */
#include "tests/pair/stream_fixture.h"

#include <sched.h>

#include <uv.h>

/* ---- the server ---- */

typedef struct served {
	farcall_loop *loop;
	tiny_server server;
	uv_thread_t thread;
	atomic_bool stop;
	farcall_channel *channel;
} served;

static void
turn(void *data)
{
	served *s = (served *)data;

	while (!atomic_load(&s->stop))
		fc_loop_turn(s->loop, FC_NEVER);
}

/* What waits for the client's window is the engine's. */
static void
echo(tiny_call *call, const uint8_t *bytes, size_t size)
{
	fc_send sent;

	tiny_take(call, size);
	sent = tiny_offer(call, bytes, size);
	assert_true(sent == FC_SEND_OK || sent == FC_SEND_WAITING);
}

static void
greet(tiny_call *call)
{
	tiny_head(call, "hello", "there");
}

static void
say_bye(tiny_call *call)
{
	tiny_end(call, FARCALL_ALREADY_EXISTS, "bye");
}

static void
begin_served(served *s)
{
	memset(s, 0, sizeof *s);
	s->loop = fc_loop_open(NULL, NULL);
	tiny_start(&s->server, s->loop, "mem:threads");
	s->server.on_request = greet;
	s->server.on_message = echo;
	s->server.on_complete = say_bye;
	assert_int_equal(uv_thread_create(&s->thread, turn, s), 0);
	s->channel = farcall_channel_open("mem:threads");
}

static void
end_served(served *s)
{
	farcall_channel_close(s->channel);
	atomic_store(&s->stop, true);
	fc_loop_wake(s->loop);
	uv_thread_join(&s->thread);
	tiny_stop(&s->server);
	fc_loop_close(s->loop);
	for (int i = 0; i < 10000 && test_allocator_live() != 0; i++)
		uv_sleep(1); /* the channel's thread ends by itself */
}

static farcall_call *
start_chat(served *s)
{
	farcall_call *call = farcall_call_new(s->channel);

	farcall_call_set_timeout_ms(call, 60000);
	assert_int_equal(farcall_call_start(call, &chat_method, NULL), FARCALL_OK);
	return call;
}

/* ---- the client ---- */

typedef struct talk {
	farcall_call *call;
	uint32_t count;
	size_t size;
	atomic_uint sent, received;
	atomic_bool over;
	farcall_code send_code, code;
} talk;

static void
send_all(void *data)
{
	talk *t = (talk *)data;

	t->send_code = FARCALL_OK;
	for (uint32_t i = 0; i < t->count && t->send_code == FARCALL_OK; i++) {
		char *text = farcall_call_printf(t->call, "number %u", (unsigned)i);

		t->send_code = send_message(t->call, text, i, i % t->size);
		atomic_fetch_add(&t->sent, 1);
		farcall_call_keep(t->call, 4);
	}
	farcall_call_half_close(t->call);
}

static void
receive_all(void *data)
{
	const Pair__Message *message;
	talk *t = (talk *)data;
	char text[32];

	while ((t->code = receive_message(t->call, &message)) == FARCALL_OK) {
		uint32_t n = atomic_fetch_add(&t->received, 1);

		snprintf(text, sizeof text, "number %u", (unsigned)n);
		assert_int_equal(message->number, n);
		assert_string_equal(message->text, text);
		assert_int_equal(message->data.len, n % t->size);
		farcall_call_keep(t->call, 4);
	}
	atomic_store(&t->over, true);
}

/* Nothing, or the whole of it. */
static void
look_on(void *data)
{
	talk *t = (talk *)data;

	while (!atomic_load(&t->over)) {
		const char *hello = farcall_metadata_get(farcall_call_metadata(t->call), "hello");
		farcall_code code = farcall_call_code(t->call);

		assert_true(hello == NULL || strcmp(hello, "there") == 0);
		if (code != FARCALL_OK) {
			assert_non_null(
			    strstr(farcall_call_error(t->call), farcall_code_name(code)));
			farcall_call_status_message(t->call);
			farcall_metadata_get(farcall_call_trailers(t->call), "bye");
		}
		assert_true(farcall_call_peer(t->call)[0] == 0 ||
		    strcmp(farcall_call_peer(t->call), "mem:threads") == 0);
		sched_yield();
	}
}

typedef void meddle(served *s, talk *t);

static void
talk_until(served *s, uint32_t count, size_t size, meddle *meddler, talk *t)
{
	uv_thread_t threads[3];

	memset(t, 0, sizeof *t);
	t->call = start_chat(s);
	t->count = count;
	t->size = size;
	assert_int_equal(uv_thread_create(&threads[0], send_all, t), 0);
	assert_int_equal(uv_thread_create(&threads[1], receive_all, t), 0);
	assert_int_equal(uv_thread_create(&threads[2], look_on, t), 0);
	if (meddler != NULL)
		meddler(s, t);
	for (int i = 0; i < 3; i++)
		uv_thread_join(&threads[i]);
}

static void
one_sends_one_receives(void **state)
{
	served s;
	talk t;

	(void)state;
	begin_served(&s);
	talk_until(&s, 20000, 100, NULL, &t);
	assert_int_equal(t.send_code, FARCALL_OK);
	assert_int_equal(atomic_load(&t.received), 20000);
	assert_int_equal(t.code, FARCALL_ALREADY_EXISTS);
	assert_int_equal(farcall_call_finish(t.call, NULL), FARCALL_ALREADY_EXISTS);
	assert_string_equal(farcall_call_status_message(t.call), "bye");
	farcall_call_free(t.call);
	talk_until(&s, 60, 1 << 20, NULL, &t);
	assert_int_equal(atomic_load(&t.received), 60);
	farcall_call_free(t.call);
	end_served(&s);
}

static void
wait_received(talk *t, unsigned count)
{
	while (atomic_load(&t->received) < count && !atomic_load(&t->over))
		sched_yield();
}

static unsigned moment;

static void
cancel_then(served *s, talk *t)
{
	(void)s;
	wait_received(t, moment);
	farcall_call_cancel(t->call);
}

static void
close_then(served *s, talk *t)
{
	wait_received(t, moment);
	farcall_channel_close(s->channel);
	s->channel = NULL;
}

static void
ends_come_to_both(void **state)
{
	static meddle *const meddlers[] = {cancel_then, close_then};
	served s;
	talk t;

	(void)state;
	for (moment = 0; moment < 40; moment += 1 + moment / 2) {
		for (size_t i = 0; i < FC_COUNT(meddlers); i++) {
			begin_served(&s);
			talk_until(&s, 1000000, 1000, meddlers[i], &t);
			assert_int_equal(t.send_code, FARCALL_CANCELLED);
			assert_int_equal(t.code, FARCALL_CANCELLED);
			assert_int_equal(farcall_call_finish(t.call, NULL), FARCALL_CANCELLED);
			farcall_call_free(t.call);
			end_served(&s);
		}
	}
}

/* ---- callbacks, in the channel's own thread ---- */

typedef struct chain {
	farcall_call *call;
	uint32_t count, sent, received;
	atomic_int inside; /* never two at once */
	atomic_int done;
	farcall_code code;
	int cancel_at;
} chain;

static void
enter(chain *c)
{
	assert_int_equal(atomic_fetch_add(&c->inside, 1), 0);
}

static void
leave(chain *c)
{
	atomic_fetch_sub(&c->inside, 1);
}

static void
on_finished(farcall_call *call, farcall_code code, const ProtobufCMessage *message, void *data)
{
	chain *c = (chain *)data;

	(void)message;
	enter(c);
	c->code = code;
	leave(c);
	farcall_call_free(call);
	atomic_fetch_add(&c->done, 1);
}

static void
on_received(farcall_call *call, farcall_code code, const ProtobufCMessage *base, void *data)
{
	const Pair__Message *message = (const Pair__Message *)(const void *)base;
	chain *c = (chain *)data;

	enter(c);
	if (code == FARCALL_OK)
		assert_int_equal(message->number, c->received++);
	if ((int)c->received == c->cancel_at)
		farcall_call_cancel(call);
	if (code == FARCALL_OK)
		farcall_call_recv_async(call, on_received, c);
	else
		farcall_call_finish_async(call, on_finished, c);
	leave(c);
}

static void
on_sent(farcall_call *call, farcall_code code, const ProtobufCMessage *message, void *data)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	chain *c = (chain *)data;

	(void)message;
	enter(c);
	if (code == FARCALL_OK && c->sent < c->count) {
		request.number = c->sent++;
		farcall_call_send_async(call, &request.base, on_sent, c);
	} else {
		farcall_call_half_close(call);
	}
	leave(c);
}

/* Several on one channel, while unary callers and others come and go. */
static void
callbacks_run_one_after_the_other(void **state)
{
	chain chains[8];
	served s;

	(void)state;
	begin_served(&s);
	for (size_t i = 0; i < FC_COUNT(chains); i++) {
		Pair__Message request = PAIR__MESSAGE__INIT;
		chain *c = &chains[i];

		memset(c, 0, sizeof *c);
		c->count = i % 2 == 1 ? UINT32_MAX : 3000; /* none ends before it is cancelled */
		c->cancel_at = i % 2 == 1 ? (int)i * 37 : -1;
		c->call = start_chat(&s);
		farcall_call_recv_async(c->call, on_received, c);
		request.number = c->sent++;
		farcall_call_send_async(c->call, &request.base, on_sent, c);
	}
	for (size_t i = 0; i < FC_COUNT(chains); i++) {
		test_wait_for(&chains[i].done, 1);
		assert_int_equal(
		    chains[i].code, i % 2 == 1 ? FARCALL_CANCELLED : FARCALL_ALREADY_EXISTS);
		assert_true(i % 2 == 1 || chains[i].received == chains[i].count);
	}
	end_served(&s);
}

/* Steps with callbacks on a call of a channel that is closed at that moment, and after. */
static void
callbacks_come_though_the_channel_closes(void **state)
{
	(void)state;
	for (int i = 0; i < 60; i++) {
		farcall_call *calls[4];
		chain chains[4];
		served s;

		begin_served(&s);
		for (int j = 0; j < 4; j++) {
			memset(&chains[j], 0, sizeof chains[j]);
			calls[j] = start_chat(&s);
			farcall_call_hold(calls[j]);
			if (j != 3)
				farcall_call_recv_async(calls[j], on_received, &chains[j]);
		}
		for (int j = 0; j < i; j++)
			sched_yield();
		farcall_channel_close(s.channel);
		s.channel = NULL;
		for (int j = 0; j < i % 7; j++)
			sched_yield();
		farcall_call_recv_async(calls[3], on_received, &chains[3]);
		for (int j = 0; j < 4; j++) {
			test_wait_for(&chains[j].done, 1);
			assert_int_equal(chains[j].code, FARCALL_CANCELLED);
			farcall_call_free(calls[j]);
		}
		end_served(&s);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(one_sends_one_receives),
	    clean_test(ends_come_to_both),
	    clean_test(callbacks_run_one_after_the_other),
	    clean_test(callbacks_come_though_the_channel_closes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
