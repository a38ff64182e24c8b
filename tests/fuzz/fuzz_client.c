/*
 * fuzz_client.c: a whole client, by its public API, whose server sends what bytes say: retries and
 * hedges with what a server says about them, status details, compressed messages, streams by steps,
 * interceptors that pend; see fuzz_world.h. Each call must end once, each step be told once, and
 * nothing be left over.
 *
 * Options: the first byte is what the channel is set to (see set_up()), the second what the program
 * does in passing (HABITS). Ops from 7 on: a call is made, a stream's step, a call is
 * cancelled or freed, a hook goes on, the channel is closed.
 */
#include "tests/fuzz/fuzz_world.h"

#include "client/internal.h"

#include <farcall/raw.h>
#include <farcall/rich.h>

#include <string.h>

#include "pair.farcall.h"

#define CALLS 12

/* HABITS */
enum {
	FREES_IN_DONE = 1,
	ANSWERS_IN_DONE = 2, /* one call more */
	READS_ON = 4,        /* a stream's next message is asked for when one has come */
	RESUMES_LATE = 8,    /* after the channel was closed */
	FREES_LATE = 16,     /* likewise */
	REFUSES = 32         /* a hook that goes on: with a code */
};

typedef enum kind { UNARY, TYPED_STREAM, RAW_UNARY, RAW_STREAM, KINDS } kind;

typedef struct slot {
	farcall_call *call; /* NULL: freed, or never made */
	kind kind;
	bool due, sending, receiving, finishing, half_closed;
} slot;

static fuzz_world w;
static farcall_channel *channel;
static slot slots[CALLS];
static unsigned made, begun, ended;
static farcall_call *pended[CALLS];

static void start_call(uint8_t what, uint8_t ms);

/* ---- what comes back ---- */

static void
over(slot *s, farcall_call *call, farcall_code code)
{
	fuzz_must((unsigned)code <= FARCALL_UNAUTHENTICATED, "a code");
	fuzz_must(farcall_call_code(call) == code, "the call says the same");
	fuzz_touch_call(call);
	if ((w.options[1] & ANSWERS_IN_DONE) != 0)
		start_call(s->kind, 0);
	if ((w.options[1] & FREES_IN_DONE) == 0 || s->call == NULL)
		return;
	s->call = NULL;
	farcall_call_free(call);
}

static void
told(bool *awaited, const char *what)
{
	fuzz_must(*awaited, what);
	*awaited = false;
}

static void
done(farcall_call *call, farcall_code code, const Pair__Message *reply, void *data)
{
	slot *s = (slot *)data;

	told(&s->due, "done comes once");
	fuzz_must((code == FARCALL_OK) == (reply != NULL), "a reply with OK");
	if (reply != NULL) {
		fuzz_touch(reply->text, strlen(reply->text) + 1);
		fuzz_touch(reply->data.data, reply->data.len);
	}
	over(s, call, code);
}

static void
raw_done(farcall_call *call, farcall_code code, const void *reply, size_t size, void *data)
{
	slot *s = (slot *)data;

	told(&s->due, "done comes once");
	fuzz_must((code == FARCALL_OK) == (reply != NULL), "a reply with OK");
	fuzz_touch(reply, size);
	over(s, call, code);
}

static void
sent(farcall_call *call, farcall_code code, const ProtobufCMessage *nothing, void *data)
{
	(void)call, (void)code;
	told(&((slot *)data)->sending, "a send is told once");
	fuzz_must(nothing == NULL, "a send gives nothing");
}

static void receive(slot *s);

static void
received(slot *s, farcall_code code)
{
	told(&s->receiving, "a receive is told once");
	if (code == FARCALL_OK && (w.options[1] & READS_ON) != 0 && s->call != NULL &&
	    !s->finishing)
		receive(s);
}

static void
received_typed(farcall_call *call, farcall_code code, const ProtobufCMessage *message, void *data)
{
	const Pair__Message *reply = (const Pair__Message *)(const void *)message;

	(void)call;
	fuzz_must((code == FARCALL_OK) == (message != NULL), "a message with OK");
	if (reply != NULL)
		fuzz_touch(reply->data.data, reply->data.len);
	received((slot *)data, code);
}

static void
received_raw(farcall_call *call, farcall_code code, const void *bytes, size_t size, void *data)
{
	(void)call;
	fuzz_must((code == FARCALL_OK) == (bytes != NULL), "bytes with OK");
	fuzz_touch(bytes, size);
	received((slot *)data, code);
}

static void
finished(farcall_call *call, farcall_code code, const ProtobufCMessage *reply, void *data)
{
	slot *s = (slot *)data;

	told(&s->finishing, "a finish is told once");
	fuzz_must(reply == NULL, "no reply of such a stream");
	over(s, call, code);
}

/* ---- hooks ---- */

static farcall_code
begin(farcall_call *call, const farcall_intercepted *about, void *data)
{
	(void)data;
	begun++;
	*about->state = &begun;
	farcall_call_add_metadata(call, "token", "fuzz");
	if ((w.options[0] & 8) == 0)
		return FARCALL_OK;
	for (size_t i = 0; i < CALLS; i++) {
		if (pended[i] != NULL)
			continue;
		pended[i] = call;
		return FARCALL_PENDING;
	}
	return FARCALL_OK;
}

static void
message(farcall_call *call, const farcall_intercepted *about, bool was_sent,
    const ProtobufCMessage *seen, void *data)
{
	(void)call, (void)was_sent, (void)seen, (void)data;
	fuzz_must(*about->state == &begun, "the state of a hook");
	fuzz_touch_metadata(about->metadata);
}

static void
end(farcall_call *call, const farcall_intercepted *about, const farcall_outcome *outcome,
    void *data)
{
	(void)call, (void)data;
	fuzz_must(*about->state == &begun, "the state of a hook");
	fuzz_must(++ended <= begun, "an end for each begin");
	fuzz_touch(outcome->error, strlen(outcome->error) + 1);
}

static void
resume(size_t i)
{
	farcall_call *call = pended[i];

	pended[i] = NULL;
	if (call == NULL)
		return;
	farcall_intercept_resume(
	    call, (w.options[1] & REFUSES) != 0 ? FARCALL_PERMISSION_DENIED : FARCALL_OK);
}

/* ---- the program ---- */

static void
start_call(uint8_t what, uint8_t ms)
{
	static uint8_t large[70000]; /* more than a window holds at first */
	Pair__Message request;
	slot *s = &slots[made];

	pair__message__init(&request);
	if (made == CALLS || channel == NULL)
		return;
	made++;
	s->kind = (kind)(what % KINDS);
	s->call = farcall_call_new(channel);
	if (ms != 0)
		farcall_call_set_timeout_ms(s->call, ms);
	farcall_call_set_wait_for_ready(s->call, (what & 16) != 0);
	if ((what & 32) != 0)
		farcall_call_set_compression(s->call, FARCALL_GZIP);
	if ((what & 64) != 0)
		farcall_call_add_metadata_bin(s->call, "sim-bin", "\0\1", 2);
	request.text = "a text that is long enough to be compressed: aaaaaaaaaaaaaaaaaaaaaaaa";
	request.data.data = large;
	request.data.len = (what & 128) != 0 ? sizeof large : 0;
	s->due = s->kind == UNARY || s->kind == RAW_UNARY;
	if (s->kind == UNARY)
		pair_test_echo__async(s->call, &request, done, s);
	else if (s->kind == RAW_UNARY)
		farcall_call_invoke_raw_async(s->call, "/any.Thing/AtAll", "raw", 3, raw_done, s);
	else if (s->kind == TYPED_STREAM)
		pair_test_chat__start(s->call);
	else
		farcall_call_start_raw(s->call, "/any.Thing/AtAll");
}

static void
receive(slot *s)
{
	s->receiving = true;
	if (s->kind == RAW_STREAM)
		farcall_call_recv_raw_async(s->call, received_raw, s);
	else
		farcall_call_recv_async(s->call, received_typed, s);
}

static void
send_some(slot *s, size_t size)
{
	static uint8_t bytes[256 * 300];
	Pair__Message request;

	pair__message__init(&request);
	s->sending = true;
	farcall_call_set_message_compression(s->call, size % 600 != 0);
	request.data.data = bytes;
	request.data.len = size;
	if (s->kind == RAW_STREAM)
		farcall_call_send_raw_async(s->call, bytes, size, sent, s);
	else
		farcall_call_send_async(s->call, &request.base, sent, s);
}

static void
step(slot *s, uint8_t what)
{
	if (s->call == NULL || s->finishing || (s->kind != TYPED_STREAM && s->kind != RAW_STREAM))
		return;
	switch (what % 4) {
	case 0:
		if (!s->receiving)
			receive(s);
		break;
	case 1:
		if (!s->sending && !s->half_closed)
			send_some(s, (size_t)what * 300);
		break;
	case 2:
		s->half_closed = true;
		farcall_call_half_close(s->call);
		break;
	default:
		if (s->receiving)
			break;
		s->finishing = s->half_closed = true;
		farcall_call_finish_async(s->call, finished, s);
		break;
	}
}

static void
free_call(slot *s)
{
	farcall_call *call = s->call;

	s->call = NULL;
	farcall_call_free(call);
}

static void
close_channel(void)
{
	farcall_channel *closed = channel;

	channel = NULL;
	farcall_channel_close(closed);
}

static void
act(uint8_t op)
{
	uint8_t which = fuzz_byte(&w.input), what = fuzz_byte(&w.input);
	slot *s = &slots[which % CALLS];

	switch (op - FUZZ_PEER_OPS) {
	case 0:
		start_call(which, what);
		break;
	case 1:
		step(s, what);
		break;
	case 2:
		if (s->call != NULL && what % 2 == 0)
			farcall_call_cancel(s->call);
		else
			free_call(s);
		break;
	case 3:
		resume(which % CALLS);
		break;
	default:
		if (what == 77)
			close_channel();
		w.options[1] = which;
		break;
	}
	fuzz_settle(&w);
}

/* ---- a life ---- */

#define POLICY(rest)                                                                               \
	"{\"methodConfig\": [{\"name\": [{}], \"waitForReady\": true, \"timeout\": \"60s\", " rest \
	"}]"

static void
set_up(void)
{
	static const farcall_interceptor hooks = {begin, message, end};
	static const char *const configs[] = {NULL,
	    POLICY("\"retryPolicy\": {\"maxAttempts\": 4, \"initialBackoff\": \"0.01s\", "
	           "\"maxBackoff\": \"1s\", \"backoffMultiplier\": 2, "
	           "\"retryableStatusCodes\": [14, 8]}") "}",
	    POLICY("\"hedgingPolicy\": {\"maxAttempts\": 3, \"hedgingDelay\": \"0.01s\", "
	           "\"nonFatalStatusCodes\": [14, 8]}") "}",
	    POLICY("\"hedgingPolicy\": {\"maxAttempts\": 3, \"nonFatalStatusCodes\": "
	           "[14]}") ", \"retryThrottling\": {\"maxTokens\": 4, \"tokenRatio\": "
	                    "0.5}, "
	                    "\"loadBalancingConfig\": [{\"round_robin\": {}}]}"};
	uint8_t set = w.options[0];

	channel = farcall_channel_open("mem:fuzz");
	if (farcall_channel_code(channel) == FARCALL_OK)
		fc_channel_seed(channel, 1);
	farcall_channel_set_loop(channel, w.loop);
	farcall_channel_set_service_config(channel, configs[set & 3]);
	if ((set & 12) != 0)
		farcall_channel_intercept(channel, &hooks, sizeof hooks, NULL);
	if ((set & 16) != 0) {
		farcall_channel_set_keepalive_ms(channel, 10000);
		farcall_channel_set_keepalive_timeout_ms(channel, 1000);
		farcall_channel_set_keepalive_without_calls(channel, true);
	}
	if ((set & 32) != 0) {
		farcall_channel_set_max_message(channel, 100);
		farcall_channel_set_max_metadata(channel, 1024);
		farcall_channel_set_retry_buffer(channel, 1000, 2000);
	}
	if ((set & 64) != 0)
		farcall_channel_set_compression(channel, FARCALL_DEFLATE);
	fuzz_must(farcall_channel_code(channel) == FARCALL_OK || w.starved,
	    farcall_channel_error(channel));
}

static void
tear_down(void)
{
	if ((w.options[1] & RESUMES_LATE) == 0)
		for (size_t i = 0; i < CALLS; i++)
			resume(i);
	fuzz_heal(&w);
	if ((w.options[1] & FREES_LATE) == 0)
		for (size_t i = 0; i < CALLS; i++)
			free_call(&slots[i]);
	close_channel();
	fuzz_settle(&w);
	for (size_t i = 0; i < CALLS; i++) {
		resume(i);
		free_call(&slots[i]);
	}
	fuzz_peer_stop(&w);
	fuzz_settle(&w);
	for (size_t i = 0; i < CALLS; i++)
		fuzz_must(!slots[i].due && !slots[i].sending && !slots[i].receiving &&
		        !slots[i].finishing,
		    "everything is told");
	fuzz_must(begun == ended, "an end for each begin");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!fuzz_world_open(&w, false, data, size))
		return 0;
	memset(slots, 0, sizeof slots);
	made = begun = ended = 0;
	set_up();
	start_call(w.options[1] >> 6, 0);
	fuzz_settle(&w);
	while (w.input.at != w.input.end) {
		uint8_t op = fuzz_byte(&w.input) % (FUZZ_PEER_OPS + 5);

		if (op < FUZZ_PEER_OPS)
			fuzz_peer_act(&w, op);
		else
			act(op);
	}
	tear_down();
	fuzz_world_close(&w);
	return 0;
}
