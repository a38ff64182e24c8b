/*
 * fuzz_server.c: a whole server, by its public API, whose clients send what bytes say: typed
 * handlers that answer, pend or fail with details, streams by steps, any path, interceptors and an
 * authorisation that pend or refuse, a hook of connections; see fuzz_world.h. Each hook's end must
 * come for each begin, each step be told once, and nothing be left over.
 *
 * Options: the first byte is what the server is set to (see set_up()), the second what handlers do
 * (HABITS). Ops from 7 on: a pending call is completed, a hook goes on, the habits
 * change, the server is stopped.
 */
#include "tests/fuzz/fuzz_world.h"

#include "server/internal.h"

#include <farcall/raw.h>
#include <farcall/rich.h>

#include <string.h>

#include "pair.farcall.h"

#define CALLS 32

/* HABITS */
enum {
	PENDS = 1,
	FAILS = 2,
	SENDS_INSIDE = 4, /* by farcall_call_send_reply() */
	COMPRESSES = 8,
	HOLDS = 16,
	LATE = 32, /* pending calls are completed after the server is freed */
	REFUSES = 64
};

typedef struct served {
	farcall_call *call; /* NULL: not pending */
	bool stream, typed, sending, receiving, ending, held;
	farcall_code code;
} served;

static fuzz_world w;
static farcall_server *server;
static served slots[CALLS];
static farcall_call *pended[CALLS];
static unsigned begun, ended, opened, closed;

static served *
new_slot(void)
{
	for (size_t i = 0; i < CALLS; i++)
		if (slots[i].call == NULL && !slots[i].sending && !slots[i].receiving)
			return &slots[i];
	return NULL;
}

static void
told_cancelled(farcall_call *call, void *data)
{
	(void)data;
	fuzz_must(farcall_call_cancelled(call), "told, so it is cancelled");
}

/* ---- unary calls ---- */

static void
add_details(farcall_call *call)
{
	Pair__Message detail;

	pair__message__init(&detail);
	detail.text = "what was wrong";
	farcall_call_add_detail(call, &detail.base);
	farcall_call_add_detail_bytes(call, "type.test/a.B", "\0\1\2", 3);
}

static void
decorate(farcall_call *call)
{
	const void *user = farcall_call_connection_data(call);

	fuzz_must(user == ((w.options[0] & 4) != 0 ? &opened : NULL), "what open gave");
	fuzz_touch_metadata(farcall_call_metadata(call));
	farcall_call_add_metadata(call, "head", "value");
	farcall_call_add_trailer_bin(call, "tail-bin", "\0\1", 2);
	if ((w.options[1] & COMPRESSES) != 0)
		farcall_call_set_compression(call, FARCALL_GZIP);
}

/* The answer is there. */
static farcall_code
go(farcall_call *call)
{
	served *s = (w.options[1] & PENDS) != 0 ? new_slot() : NULL;

	if (s == NULL)
		return FARCALL_OK;
	memset(s, 0, sizeof *s);
	s->call = call;
	s->held = (w.options[1] & HOLDS) != 0;
	if (s->held)
		farcall_call_hold(call);
	farcall_call_on_cancel(call, told_cancelled, s);
	return FARCALL_PENDING;
}

static farcall_code
grow(farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	static uint8_t large[100000]; /* more than a window holds at first */

	decorate(call);
	fuzz_touch(request->text, strlen(request->text) + 1);
	reply->data.data = large;
	reply->data.len = sizeof large;
	return go(call);
}

static farcall_code
serve(farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	fuzz_touch(request->text, strlen(request->text) + 1);
	fuzz_touch(request->data.data, request->data.len);
	decorate(call);
	if ((w.options[1] & FAILS) != 0) {
		add_details(call);
		return farcall_call_fail(call, FARCALL_ABORTED, "no %s today", request->text);
	}
	*reply = *request;
	if ((w.options[1] & SENDS_INSIDE) != 0) {
		farcall_call_send_reply(call, &reply->base);
		return FARCALL_OK;
	}
	return go(call);
}

/* ---- streams ---- */

static void receive(served *s);

static void
complete(served *s)
{
	farcall_call *call = s->call;

	s->call = NULL;
	if (s->stream && s->code == FARCALL_END)
		s->code = FARCALL_OK;
	if (s->code != FARCALL_OK)
		add_details(call);
	farcall_call_complete(call, s->code);
	if (s->held)
		farcall_call_free(call);
}

/* When its last step has been told. */
static void
end_with(served *s, farcall_code code)
{
	if (!s->ending)
		s->code = code;
	s->ending = true;
	if (s->call != NULL && !s->sending && !s->receiving)
		complete(s);
}

static void
sent(farcall_call *call, farcall_code code, const ProtobufCMessage *nothing, void *data)
{
	served *s = (served *)data;

	(void)call;
	fuzz_must(s->sending && nothing == NULL, "a send is told once");
	s->sending = false;
	if (code != FARCALL_OK || s->ending)
		end_with(s, code);
}

static void
echo(served *s, const void *bytes, size_t size, const ProtobufCMessage *message)
{
	if (s->sending || s->call == NULL)
		return;
	s->sending = true;
	if (message != NULL)
		farcall_call_send_async(s->call, message, sent, s);
	else
		farcall_call_send_raw_async(s->call, bytes, size, sent, s);
}

static void
received(
    served *s, farcall_code code, const void *bytes, size_t size, const ProtobufCMessage *message)
{
	fuzz_must(s->receiving, "a receive is told once");
	s->receiving = false;
	if (code != FARCALL_OK || s->ending) {
		end_with(s, code);
		return;
	}
	if ((w.options[1] & FAILS) != 0) {
		end_with(s, FARCALL_DATA_LOSS);
		return;
	}
	echo(s, bytes, size, message);
	receive(s);
}

static void
received_raw(farcall_call *call, farcall_code code, const void *bytes, size_t size, void *data)
{
	(void)call;
	fuzz_must((code == FARCALL_OK) == (bytes != NULL), "bytes with OK");
	fuzz_touch(bytes, size);
	received((served *)data, code, bytes, size, NULL);
}

static void
received_typed(farcall_call *call, farcall_code code, const ProtobufCMessage *message, void *data)
{
	const Pair__Message *request = (const Pair__Message *)(const void *)message;

	(void)call;
	fuzz_must((code == FARCALL_OK) == (message != NULL), "a message with OK");
	if (request != NULL)
		fuzz_touch(request->data.data, request->data.len);
	received((served *)data, code, NULL, 0, message);
}

static void
receive(served *s)
{
	s->receiving = true;
	if (s->typed)
		farcall_call_recv_async(s->call, received_typed, s);
	else
		farcall_call_recv_raw_async(s->call, received_raw, s);
}

static farcall_code
serve_stream(farcall_call *call, bool typed)
{
	served *s = new_slot();

	decorate(call);
	if (s == NULL)
		return farcall_call_fail(call, FARCALL_RESOURCE_EXHAUSTED, "too many");
	memset(s, 0, sizeof *s);
	s->call = call;
	s->stream = true;
	s->typed = typed;
	farcall_call_on_cancel(call, told_cancelled, s);
	receive(s);
	return FARCALL_PENDING;
}

static farcall_code
chat(farcall_call *call)
{
	return serve_stream(call, true);
}

static farcall_code
serve_any(farcall_call *call)
{
	const char *path = farcall_call_method(call)->path;

	fuzz_touch(path, strlen(path) + 1);
	return serve_stream(call, false);
}

static const struct pair_test handlers = {
    .echo = serve, .wait = serve, .fail = serve, .grow = grow, .chat = chat};

/* ---- hooks ---- */

static farcall_code
perhaps_pend(farcall_call *call)
{
	if ((w.options[1] & REFUSES) != 0)
		return farcall_call_fail(call, FARCALL_PERMISSION_DENIED, "not you");
	for (size_t i = 0; i < CALLS && (w.options[1] & PENDS) != 0; i++) {
		if (pended[i] != NULL)
			continue;
		pended[i] = call;
		return FARCALL_PENDING;
	}
	return FARCALL_OK;
}

static farcall_code
begin(farcall_call *call, const farcall_intercepted *about, void *data)
{
	(void)data;
	begun++;
	*about->state = &begun;
	fuzz_touch(about->path, strlen(about->path) + 1);
	fuzz_touch_metadata(about->metadata);
	farcall_call_add_trailer(call, "hook", "was here");
	return perhaps_pend(call);
}

static farcall_code
authorize(farcall_call *call, const farcall_intercepted *about, void *data)
{
	(void)about, (void)data;
	return perhaps_pend(call);
}

static void
message(farcall_call *call, const farcall_intercepted *about, bool was_sent,
    const ProtobufCMessage *seen, void *data)
{
	(void)call, (void)was_sent, (void)seen, (void)data;
	fuzz_must(*about->state == &begun, "the state of a hook");
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
	if (call != NULL)
		farcall_intercept_resume(
		    call, (w.options[1] & FAILS) != 0 ? FARCALL_UNAUTHENTICATED : FARCALL_OK);
}

static farcall_code
on_open(const farcall_connection *connection, void **user, void *data)
{
	(void)data;
	fuzz_touch(connection->peer, strlen(connection->peer) + 1);
	if ((w.options[1] & REFUSES) != 0)
		return FARCALL_PERMISSION_DENIED;
	opened++;
	*user = &opened;
	return FARCALL_OK;
}

static void
on_close(void *user, void *data)
{
	(void)data;
	fuzz_must(user == &opened, "what open gave");
	fuzz_must(++closed <= opened, "a close for each open");
}

/* ---- a life ---- */

static void
act(uint8_t op)
{
	uint8_t which = fuzz_byte(&w.input);
	served *s = &slots[which % CALLS];

	switch (op - FUZZ_PEER_OPS) {
	case 0:
		if (s->call != NULL && !s->sending && !s->receiving)
			complete(s);
		break;
	case 1:
		resume(which % CALLS);
		break;
	case 2:
		w.options[1] = which;
		break;
	default:
		if (which < 8)
			farcall_server_stop(server, which * 10);
		break;
	}
	fuzz_settle(&w);
}

static void
set_up(void)
{
	static const farcall_interceptor hooks = {begin, message, end};
	uint8_t set = w.options[0];
	farcall_service *service;

	server = farcall_server_new();
	farcall_server_set_loop(server, w.loop);
	service = pair_test__register(server, &handlers, NULL);
	farcall_server_set_catch_all_stream(server, serve_any, NULL);
	if ((set & 1) != 0)
		farcall_server_intercept(server, &hooks, sizeof hooks, NULL);
	if ((set & 2) != 0)
		farcall_service_set_authorize(service, authorize, NULL);
	if ((set & 4) != 0)
		farcall_server_on_connection(server, on_open, on_close, NULL);
	if ((set & 8) != 0) {
		farcall_server_set_keepalive_ms(server, 2000);
		farcall_server_set_keepalive_timeout_ms(server, 1000);
		farcall_server_set_max_connection_age_ms(server, 5000);
		farcall_server_set_max_connection_idle_ms(server, 3000);
		farcall_server_set_max_connection_grace_ms(server, 1000);
	}
	if ((set & 16) != 0) {
		farcall_server_set_max_message(server, 100);
		farcall_server_set_max_metadata(server, 1024);
		farcall_server_set_max_calls(server, 3);
	}
	if ((set & 32) != 0)
		farcall_server_set_compression(server, FARCALL_DEFLATE);
	if ((set & 64) != 0)
		farcall_service_set_max_calls(service, 2);
	farcall_server_bind(server, "mem:fuzz");
	fuzz_must(
	    farcall_server_start(server) == FARCALL_OK || w.starved, farcall_server_error(server));
	if (farcall_server_code(server) == FARCALL_OK)
		fc_server_seed(server, 1);
}

static void
finish_all(void)
{
	for (size_t i = 0; i < CALLS; i++) {
		resume(i);
		if (slots[i].call != NULL && !slots[i].sending && !slots[i].receiving)
			complete(&slots[i]);
	}
	fuzz_settle(&w);
}

static void
tear_down(void)
{
	bool late = (w.options[1] & LATE) != 0;

	if (!late)
		finish_all();
	fuzz_heal(&w);
	fuzz_peer_stop(&w);
	if (!late)
		finish_all();
	farcall_server_free(server);
	fuzz_settle(&w);
	finish_all();
	for (size_t i = 0; i < CALLS; i++)
		fuzz_must(!slots[i].sending && !slots[i].receiving && slots[i].call == NULL,
		    "everything is told");
	fuzz_must(begun == ended, "an end for each begin");
	fuzz_must(opened == closed, "a close for each open");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!fuzz_world_open(&w, true, data, size))
		return 0;
	memset(slots, 0, sizeof slots);
	begun = ended = opened = closed = 0;
	set_up();
	fuzz_peer_connect(&w);
	while (w.input.at != w.input.end) {
		uint8_t op = fuzz_byte(&w.input) % (FUZZ_PEER_OPS + 4);

		if (op < FUZZ_PEER_OPS)
			fuzz_peer_act(&w, op);
		else
			act(op);
	}
	tear_down();
	fuzz_world_close(&w);
	return 0;
}
