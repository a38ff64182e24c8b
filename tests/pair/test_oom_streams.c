/*
 * Out of memory, in twelve ways that a stream may go: as test_oom_scenarios.c, each allocation of
 * the library fails in turn, once and for good. Both sides take their steps with callbacks on one
 * lent loop. Each time: nothing crashes, hangs or leaks, each step's callback comes once, messages
 * are whole and in order, each handler that began is told how its steps ended, the status comes
 * once, and it is the one expected or says that something was lacking.
 */
#include "tests/support/pair.h"

#include <farcall/farcall.h>

#include <stdio.h>
#include <uv.h>

#include "stream.farcall.h"

typedef enum shape { COUNT, SUM, CHAT, RAW } shape;

typedef enum twist {
	PLAIN,
	SLOW,       /* the reader waits until the writer must */
	COMPRESSED, /* both ways */
	RETRIED,    /* the first handler fails */
	EARLY,      /* the server ends it after a few messages */
	DROPPED,    /* the client finishes after one */
	CANCELLED,  /* by the client, after one */
	FREED,      /* likewise */
	CLOSED,     /* likewise, the channel */
	STOPPED,    /* the server, with no grace, after one */
	LATE        /* past its deadline, with a handler that does nothing */
} twist;

typedef struct scenario {
	const char *name, *address;
	shape shape;
	twist twist;
	farcall_code expected;
	uint32_t messages; /* that each sending side sends */
	size_t size;
} scenario;

static const scenario scenarios[] = {
    {"a server stream", "mem:oom-streams", COUNT, PLAIN, FARCALL_OK, 5, 10},
    {"a client stream", "mem:oom-streams", SUM, PLAIN, FARCALL_OK, 5, 10},
    {"both ways", "mem:oom-streams", CHAT, PLAIN, FARCALL_OK, 5, 10},
    {"both ways over tcp", "127.0.0.1:0", CHAT, PLAIN, FARCALL_OK, 5, 40000},
    {"bytes on any path", "mem:oom-streams", RAW, PLAIN, FARCALL_OK, 5, 3000},
    {"compressed", "mem:oom-streams", CHAT, COMPRESSED, FARCALL_OK, 4, 3000},
    {"a slow reader of replies", "mem:oom-streams", COUNT, SLOW, FARCALL_OK, 12, 200000},
    {"a slow reader of requests", "mem:oom-streams", SUM, SLOW, FARCALL_OK, 12, 200000},
    {"the second attempt", "mem:oom-streams", SUM, RETRIED, FARCALL_OK, 4, 1000},
    {"an early end", "mem:oom-streams", CHAT, EARLY, FARCALL_ABORTED, 5, 1000},
    {"the rest is dropped", "mem:oom-streams", COUNT, DROPPED, FARCALL_OK, 12, 50000},
    {"cancelled", "mem:oom-streams", CHAT, CANCELLED, FARCALL_CANCELLED, 5, 1000},
    {"freed in flight", "mem:oom-streams", CHAT, FREED, FARCALL_CANCELLED, 5, 1000},
    {"the channel is closed", "mem:oom-streams", CHAT, CLOSED, FARCALL_CANCELLED, 5, 1000},
    {"the server is stopped", "mem:oom-streams", CHAT, STOPPED, FARCALL_UNAVAILABLE, 5, 1000},
    {"past the deadline", "mem:oom-streams", SUM, LATE, FARCALL_DEADLINE_EXCEEDED, 3, 1000},
};

static uint8_t bytes[200000];

typedef struct life {
	const scenario *scenario;
	farcall_loop *loop;
	farcall_server *server;
	farcall_channel *channel;
	farcall_call *call;
	uint32_t sent, received;
	int sending, receiving, finishing; /* callbacks that are to come */
	int done;
	bool ended;     /* receiving has */
	bool hold_back; /* the slow reader does not read yet */
	bool served;
	farcall_code code;
	char error[256];

	/* the handlers */
	int begun, over;
	farcall_call *waiting; /* the slow one */
	uint32_t replied;
} life;

static life l;

static void
check(const void *data, size_t size)
{
	assert_int_equal(size, l.scenario->size);
	assert_memory_equal(data, bytes, size);
}

/* ---- the server ---- */

typedef struct handler {
	uint32_t sent, received;
} handler;

static void
leave(farcall_call *call, farcall_code code)
{
	l.over++;
	if (l.waiting == call)
		l.waiting = NULL;
	farcall_call_complete(call, code);
}

/* NULL: the handler returns RESOURCE_EXHAUSTED. */
static handler *
begin(farcall_call *call)
{
	handler *h = (handler *)farcall_call_keep(call, sizeof *h);

	if (h != NULL)
		l.begun++;
	return h;
}

static void
count_on(farcall_call *call, farcall_code code, const ProtobufCMessage *nothing, void *data)
{
	handler *h = (handler *)data;
	Stream__Message reply = STREAM__MESSAGE__INIT;

	(void)nothing;
	if (code != FARCALL_OK || h->sent == l.scenario->messages) {
		leave(call, code);
		return;
	}
	reply.number = h->sent++;
	l.replied = h->sent;
	reply.data.len = l.scenario->size;
	reply.data.data = bytes;
	stream_test_count__send_reply__async(call, &reply, count_on, data);
}

static farcall_code
count(farcall_call *call, const Stream__Message *request)
{
	handler *h = begin(call);

	(void)request;
	if (h == NULL)
		return FARCALL_RESOURCE_EXHAUSTED;
	count_on(call, FARCALL_OK, NULL, h);
	return FARCALL_PENDING;
}

static void
add_up(farcall_call *call, farcall_code code, const Stream__Message *request, void *data)
{
	handler *h = (handler *)data;
	Stream__Message reply = STREAM__MESSAGE__INIT;

	if (code == FARCALL_OK) {
		assert_int_equal(request->number, h->received++);
		check(request->data.data, request->data.len);
		stream_test_sum__recv_request__async(call, add_up, data);
	} else if (code == FARCALL_END) {
		reply.number = h->received;
		l.over++;
		farcall_call_send_reply(call, &reply.base);
	} else {
		leave(call, code);
	}
}

static void
forget(farcall_call *call, void *data)
{
	(void)data;
	if (l.waiting == call)
		leave(call, FARCALL_CANCELLED);
}

static farcall_code
sum(farcall_call *call, Stream__Message *reply)
{
	handler *h = begin(call);

	(void)reply;
	if (h == NULL)
		return FARCALL_RESOURCE_EXHAUSTED;
	if (l.scenario->twist == RETRIED && l.begun == 1) {
		l.over++;
		return farcall_call_fail(call, FARCALL_UNAVAILABLE, "not yet");
	}
	if (l.scenario->twist == SLOW || l.scenario->twist == LATE) {
		l.waiting = call;
		farcall_call_on_cancel(call, forget, NULL);
	} else {
		stream_test_sum__recv_request__async(call, add_up, h);
	}
	return FARCALL_PENDING;
}

static void echo_received(
    farcall_call *call, farcall_code code, const Stream__Message *request, void *data);

static void
echo_sent(farcall_call *call, farcall_code code, const ProtobufCMessage *nothing, void *data)
{
	handler *h = (handler *)data;

	(void)nothing;
	if (code != FARCALL_OK)
		leave(call, code);
	else if (l.scenario->twist == EARLY && h->received == 2)
		leave(call, farcall_call_fail(call, FARCALL_ABORTED, "enough"));
	else
		stream_test_chat__recv_request__async(call, echo_received, data);
}

static void
echo_received(farcall_call *call, farcall_code code, const Stream__Message *request, void *data)
{
	handler *h = (handler *)data;

	if (code != FARCALL_OK) {
		leave(call, code);
		return;
	}
	assert_int_equal(request->number, h->received++);
	stream_test_chat__send_reply__async(call, request, echo_sent, data);
}

static farcall_code
chat(farcall_call *call)
{
	handler *h = begin(call);

	if (h == NULL)
		return FARCALL_RESOURCE_EXHAUSTED;
	stream_test_chat__recv_request__async(call, echo_received, h);
	return FARCALL_PENDING;
}

static void raw_received(
    farcall_call *call, farcall_code code, const void *request, size_t size, void *data);

static void
raw_sent(farcall_call *call, farcall_code code, const ProtobufCMessage *nothing, void *data)
{
	(void)nothing;
	if (code != FARCALL_OK)
		leave(call, code);
	else
		farcall_call_recv_raw_async(call, raw_received, data);
}

static void
raw_received(farcall_call *call, farcall_code code, const void *request, size_t size, void *data)
{
	if (code != FARCALL_OK)
		leave(call, code);
	else
		farcall_call_send_raw_async(call, request, size, raw_sent, data);
}

static farcall_code
mirror(farcall_call *call)
{
	handler *h = begin(call);

	if (h == NULL)
		return FARCALL_RESOURCE_EXHAUSTED;
	farcall_call_send_head(call); /* without memory it goes with the first message */
	farcall_call_recv_raw_async(call, raw_received, h);
	return FARCALL_PENDING;
}

static const struct stream_test handlers = {.count = count, .sum = sum, .chat = chat};

/* ---- the client ---- */

static void receive(void);

static void
on_finished(farcall_call *call, farcall_code code, const ProtobufCMessage *reply, void *data)
{
	const Stream__Message *sum_of = (const Stream__Message *)(const void *)reply;

	(void)data;
	l.finishing--;
	l.done++;
	l.code = code;
	snprintf(l.error, sizeof l.error, "%s", farcall_call_error(call));
	if (code == FARCALL_OK && l.scenario->shape == SUM)
		assert_int_equal(sum_of->number, l.scenario->messages);
	else if (code == FARCALL_OK && l.ended)
		assert_int_equal(l.received, l.scenario->messages);
	farcall_call_free(l.call);
	l.call = NULL;
}

static void
finish(void)
{
	l.finishing++;
	farcall_call_finish_async(l.call, on_finished, NULL);
}

/* What the twist is, after the first message. True: it is over. */
static bool
twist_it(void)
{
	farcall_call *call = l.call;

	switch (l.scenario->twist) {
	case DROPPED:
		break;
	case CANCELLED:
		farcall_call_cancel(call);
		break;
	case FREED:
		finish();
		l.call = NULL;
		farcall_call_free(call);
		return true;
	case CLOSED:
		farcall_channel_close(l.channel);
		l.channel = NULL;
		break;
	case STOPPED:
		farcall_server_stop(l.server, 0);
		return false;
	default:
		return false;
	}
	finish();
	return true;
}

static void
received(farcall_code code)
{
	l.receiving--;
	assert_false(l.ended);
	if (code != FARCALL_OK) {
		l.ended = true;
		finish();
	} else if (l.received++ != 0 || !twist_it()) {
		receive();
	}
}

static void
on_received(farcall_call *call, farcall_code code, const Stream__Message *reply, void *data)
{
	(void)call;
	(void)data;
	if (code == FARCALL_OK) {
		assert_int_equal(reply->number, l.received);
		check(reply->data.data, reply->data.len);
	}
	received(code);
}

static void
on_raw(farcall_call *call, farcall_code code, const void *reply, size_t size, void *data)
{
	(void)call;
	(void)data;
	if (code == FARCALL_OK)
		check(reply, size);
	received(code);
}

static void
receive(void)
{
	l.receiving++;
	if (l.scenario->shape == RAW)
		farcall_call_recv_raw_async(l.call, on_raw, NULL);
	else if (l.scenario->shape == COUNT)
		stream_test_count__recv_reply__async(l.call, on_received, NULL);
	else
		stream_test_chat__recv_reply__async(l.call, on_received, NULL);
}

static void on_sent(
    farcall_call *call, farcall_code code, const ProtobufCMessage *nothing, void *data);

static void
send_next(void)
{
	Stream__Message message = STREAM__MESSAGE__INIT;

	message.number = l.sent++;
	message.data.data = bytes;
	message.data.len = l.scenario->size;
	l.sending++;
	if (l.scenario->shape == RAW)
		farcall_call_send_raw_async(l.call, bytes, l.scenario->size, on_sent, NULL);
	else
		farcall_call_send_async(l.call, &message.base, on_sent, NULL);
}

/* What would end well before the twist must not. */
static bool
ends_otherwise(void)
{
	return l.scenario->twist >= CANCELLED && l.scenario->twist <= STOPPED;
}

static void
on_sent(farcall_call *call, farcall_code code, const ProtobufCMessage *nothing, void *data)
{
	(void)call;
	(void)nothing;
	(void)data;
	l.sending--;
	if (l.call == NULL || l.finishing != 0)
		return;
	if (code == FARCALL_OK && l.sent < l.scenario->messages)
		send_next();
	else if (l.scenario->shape == SUM)
		finish();
	else if (!ends_otherwise())
		farcall_call_half_close(l.call);
}

/* A failure comes again, in place of the first message. */
static void
on_head(farcall_call *call, farcall_code code, const ProtobufCMessage *nothing, void *data)
{
	(void)code;
	(void)nothing;
	(void)data;
	l.receiving--;
	if (call == l.call)
		receive();
}

static uint64_t patience = 500; /* ms; what fails for lack of memory may hang until then */

static void
start(void)
{
	Stream__Message request = STREAM__MESSAGE__INIT;
	shape of = l.scenario->shape;

	l.call = farcall_call_new(l.channel);
	farcall_call_set_timeout_ms(l.call, l.scenario->twist == LATE ? 20 : patience);
	farcall_call_add_metadata(l.call, "key", "value");
	if (of == RAW)
		farcall_call_start_raw(l.call, "/any.Thing/AtAll");
	else
		farcall_call_start(
		    l.call, &stream_test__methods[of], of == COUNT ? &request.base : NULL);
	l.hold_back = l.scenario->twist == SLOW && of == COUNT;
	if (of == RAW) {
		l.receiving++;
		farcall_call_recv_head_async(l.call, on_head, NULL);
	} else if (of != SUM && !l.hold_back) {
		receive();
	}
	if (of != COUNT)
		send_next();
}

/* ---- a life ---- */

static void
make_server(void)
{
	farcall_loop *loop = l.loop;

	l.server = farcall_server_new();
	farcall_server_set_loop(l.server, loop);
	stream_test__register(l.server, &handlers, NULL);
	farcall_server_set_catch_all_stream(l.server, mirror, NULL);
	if (l.scenario->twist == COMPRESSED)
		farcall_server_set_compression(l.server, FARCALL_GZIP);
}

static void
make_channel(const farcall_endpoint *endpoint)
{
	l.channel = farcall_channel_open(farcall_endpoint_address(endpoint, 0));
	farcall_channel_set_loop(l.channel, l.loop);
	if (l.scenario->twist == COMPRESSED)
		farcall_channel_set_compression(l.channel, FARCALL_DEFLATE);
	if (l.scenario->twist == RETRIED)
		farcall_channel_set_service_config(l.channel,
		    "{\"methodConfig\": [{\"name\": [{}], \"retryPolicy\": {\"maxAttempts\": 3, "
		    "\"initialBackoff\": \"0.001s\", \"maxBackoff\": \"0.001s\", "
		    "\"backoffMultiplier\": 1, \"retryableStatusCodes\": [14]}}]}");
}

/* The slow reader begins when the writer has filled what there is, so that nothing happened in a
 * step, or when the call has failed. */
static void
read_at_last(uint32_t before)
{
	farcall_call *waiting = l.waiting;
	bool stuck =
	    (before == l.sent + l.replied && before > 1) || farcall_call_code(l.call) != FARCALL_OK;

	if (!stuck || l.scenario->twist != SLOW)
		return;
	if (l.hold_back && l.call != NULL) {
		l.hold_back = false;
		receive();
	}
	l.waiting = NULL;
	if (waiting != NULL)
		stream_test_sum__recv_request__async(
		    waiting, add_up, farcall_call_keep(waiting, sizeof(handler)));
}

static void
run(void)
{
	uint64_t until = uv_hrtime() + UINT64_C(15000000000);

	while (uv_hrtime() < until && (l.done == 0 || l.sending != 0 || l.begun != l.over)) {
		uint32_t before = l.sent + l.replied;

		if (farcall_loop_step(l.loop, 10) != FARCALL_OK)
			break;
		read_at_last(before);
	}
	if (l.done != 1 || l.sending != 0 || l.receiving != 0 || l.begun != l.over)
		fail_msg("%s: ended %d times, %d sending, %d receiving; %d handlers, %d over",
		    l.scenario->name, l.done, l.sending, l.receiving, l.begun, l.over);
}

static void
live(const scenario *s)
{
	farcall_endpoint *endpoint;

	memset(&l, 0, sizeof l);
	l.scenario = s;
	l.loop = farcall_loop_new();
	make_server();
	endpoint = farcall_server_bind(l.server, s->address);
	l.served = farcall_server_start(l.server) == FARCALL_OK;
	if (l.served && farcall_loop_step(l.loop, 0) == FARCALL_OK) {
		make_channel(endpoint);
		start();
		run();
		farcall_channel_close(l.channel);
	}
	farcall_server_stop(l.server, 0);
	for (int i = 0; i < 3000 && !farcall_server_stopped(l.server); i++)
		farcall_loop_step(l.loop, 1);
	farcall_server_free(l.server);
	farcall_loop_step(l.loop, 0);
	farcall_loop_free(l.loop);
}

/* INTERNAL: a server that has no memory to say more resets the stream; a client without memory
 * cannot even say that. */
static bool
is_honest(void)
{
	return l.done == 0 || l.code == l.scenario->expected ||
	    l.code == FARCALL_RESOURCE_EXHAUSTED || l.code == FARCALL_UNAVAILABLE ||
	    l.code == FARCALL_DEADLINE_EXCEEDED ||
	    (l.code == FARCALL_INTERNAL &&
	        (strstr(l.error, "the server reset the stream") != NULL ||
	            strcmp(l.error, "INTERNAL") == 0));
}

static void
live_well(const scenario *s)
{
	patience = 10000;
	live(s);
	patience = 500;
	if (l.done != 1 || l.code != s->expected)
		fail_msg("%s: %s (%s)", s->name, farcall_code_name(l.code), l.error);
}

static void
fail_each(const scenario *s, bool sticky)
{
	size_t n;

	live_well(s);
	for (n = 1;; n++) {
		test_allocator_fail_at(n, sticky);
		live(s);
		if (!test_allocator_failed())
			break;
		if (!is_honest())
			fail_msg("%s, allocation %zu: %s", s->name, n, l.error);
	}
	test_allocator_fail_at(0, false);
	live_well(s);
	assert_true(n > 30);
}

static void
each_scenario(bool sticky)
{
	test_log_catch();
	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (uint8_t)(i * i >> 7);
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
