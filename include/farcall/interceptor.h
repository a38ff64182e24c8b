/*
 * farcall/interceptor.h: code of the program's that sees every call of a server or a channel:
 * begin, its messages, end. For authorisation, logging, tracing, counting.
 *
 * Interceptors are added before use: farcall_server_intercept(), farcall_channel_intercept(), and
 * for one service farcall_service_set_authorize(). Without any, calls cost what they cost before.
 *
 * What the hooks of a call are promised, each interceptor by itself:
 *   - begin comes first, and once. Calls that are refused before they are calls (an unknown path, a
 *     limit, no memory) are seen by no hook.
 *   - end comes last, and once, for each interceptor whose begin was called, whatever that
 *     answered: so what begin has allocated is freed in end.
 *   - message comes between the two.
 *   - Those added first are the outer ones: begin and message go from the first to the last, end
 *     from the last to the first. A begin that refuses is the last one that is called.
 *
 * Where they run. On a server: begin on the thread of the connection's loop, before anything of the
 * call is counted or dispatched, so it must not block; message and end too, but for a message that
 * the program itself sends or receives, by a step of a stream, farcall_call_send_reply() or
 * farcall_call_complete(), which is seen in that thread. On a client: begin and message in the
 * thread that makes the call, or in its callback (just before `done`); end there, too, when the
 * program learns of the end: by the step that answers it, or else when the last holder lets go.
 *
 * Hooks may use the call as a handler may, but not free, complete, start, send or receive it.
 */
#ifndef FARCALL_INTERCEPTOR_H
#define FARCALL_INTERCEPTOR_H

#include <farcall/interface.h>

FARCALL_BEGIN_DECLS

typedef struct farcall_metadata farcall_metadata;

/* A call, as a value that does not change and may be read in any hook without regard to other
 * threads. What it points to lives until end has returned. It may grow at its end. */
typedef struct farcall_intercepted {
	const char *path; /* "/demo.Greeter/SayHello" */

	/* "ipv4:127.0.0.1:51034". On a client: "" in begin and for what is sent, since there may be
	 * no connection yet. */
	const char *peer;

	/* Server: what came with the request. Client: what the program had added when the call
	 * started, without what interceptors add. Never NULL. */
	const farcall_metadata *metadata;

	/* The interceptor's own, of this call; NULL at first. */
	void **state;
	bool server;
} farcall_intercepted;

/* How a call ended. It may grow at its end. */
typedef struct farcall_outcome {
	farcall_code code;   /* server: what the client was sent, if it was there to be told */
	farcall_cause cause; /* NONE, if the code is a handler's or the peer's own */
	const char *error;   /* the message alone, "" if none; lives until end has returned */
	uint64_t elapsed_ns; /* server: since the request's head came; client: since the start */
	uint64_t bytes_received, bytes_sent; /* of messages as they are packed, uncompressed */
	uint64_t messages_received, messages_sent;
} farcall_outcome;

/* FARCALL_OK: goes on. FARCALL_PENDING: farcall_intercept_resume() will tell; the call's messages
 * wait meanwhile, its deadline runs, and it stays valid until then. Any other code refuses the
 * call: it ends with it; the text is that of farcall_call_fail(), which may be used on both sides
 * here.
 *
 * It may add metadata: a client's are sent with the request (an authorisation token, say), a
 * server's with the response, and trailers. What is wrong with them fails the call. */
typedef farcall_code farcall_begin_hook(
    farcall_call *call, const farcall_intercepted *about, void *data);

/* A message that was received (before the handler or the program sees it), or is about to be sent.
 * Unary calls on both sides, and each message of a stream. `message` lives until it returns, and
 * must not be changed; of raw calls it is a farcall_bytes (farcall/raw.h). Of a client's call
 * whose begin pends, only the interceptors before that one see what is sent meanwhile. A stream's
 * two directions may be seen at the same time. */
typedef void farcall_message_hook(farcall_call *call, const farcall_intercepted *about, bool sent,
    const ProtobufCMessage *message, void *data);

/* The call is over: on a server its answer was given to the connection, or nobody is there to be
 * answered; its handler may still run. If another hook of the call is running at that moment, or a
 * begin pends, end comes when that is done, in its thread. */
typedef void farcall_end_hook(farcall_call *call, const farcall_intercepted *about,
    const farcall_outcome *outcome, void *data);

/* Any of them may be NULL. */
typedef struct farcall_interceptor {
	farcall_begin_hook *begin;
	farcall_message_hook *message;
	farcall_end_hook *end;
} farcall_interceptor;

/* After a begin has answered FARCALL_PENDING, or is about to: the call goes on with `code`, as if
 * begin had answered it. Exactly once for each; any thread; never blocks. It may come before begin
 * has returned, and after the call was cancelled, its deadline has passed, its channel was closed
 * or its server freed: then it only gives the call back, which is not valid any more when this
 * returns. The hooks that follow in the chain run in here. A second one is logged and ignored,
 * while the call lives; so is FARCALL_PENDING.
 *
 * While begin pends, the interceptor may use the call from one thread at a time, for this:
 * farcall_call_add_metadata(), farcall_call_add_trailer() and their _bin twins,
 * farcall_call_fail(), _cancel(), _cancelled(), _on_cancel(), _remaining_ms(). */
FARCALL_API void farcall_intercept_resume(farcall_call *call, farcall_code code);

FARCALL_END_DECLS

#endif
