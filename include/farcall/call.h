/*
 * farcall/call.h: one call; the same noun on both sides; used once.
 *
 * A handler is given its call; a client makes one of a channel. Generated stubs stand on the
 * generic functions at the end of this page. Every function accepts NULL: it then does nothing, or
 * answers FAILED_PRECONDITION, "" or NULL. What a call shows (messages, metadata, texts) lives with
 * it.
 *
 * Threads: a call has one sender and one receiver thread at a time; cancel, complete, hold and free
 * may come from any thread, and so may questions, as each says.
 */
#ifndef FARCALL_CALL_H
#define FARCALL_CALL_H

#include <farcall/interface.h>

FARCALL_BEGIN_DECLS

typedef struct farcall_channel farcall_channel;
typedef struct farcall_metadata farcall_metadata;

/* ---- a client's call ---- */

/* A call on `channel`. Never NULL. Out of memory, or a channel that has failed, gives a call that
 * answers that failure. Free it by farcall_call_free(). Any thread. */
FARCALL_API farcall_call *farcall_call_new(farcall_channel *channel);

/* The deadline, `ms` milliseconds from the moment the call starts; it travels to the server as
 * `grpc-timeout`. 0: already expired. Default: the channel's, else none. Before the start only. */
FARCALL_API void farcall_call_set_timeout_ms(farcall_call *call, uint64_t ms);

/* Inherits deadline and cancellation of `parent`, a call being served or made; it is held until
 * this call ends. The earlier deadline wins. Before the start only. FAILED_PRECONDITION, stuck to
 * the call, if `parent` is a child of it. */
FARCALL_API void farcall_call_set_parent(farcall_call *call, const farcall_call *parent);

/* true: while the channel cannot connect the call waits, until its deadline, instead of failing
 * with UNAVAILABLE. Default false. Before the start only. */
FARCALL_API void farcall_call_set_wait_for_ready(farcall_call *call, bool wait);

/* Request metadata; on a server, initial response metadata (before the first reply). `key` is lower
 * case [0-9a-z_.-]+, not "grpc-…" nor "…-bin"; `value` is printable ASCII without blanks at its
 * ends. Both are copied. A bad key or value is INVALID_ARGUMENT, stuck to the call; too much of it
 * is RESOURCE_EXHAUSTED. Repeated keys keep their order. */
FARCALL_API void farcall_call_add_metadata(farcall_call *call, const char *key, const char *value);

/* The same for any bytes; `key` ends in "-bin". */
FARCALL_API void farcall_call_add_metadata_bin(
    farcall_call *call, const char *key, const void *data, size_t size);

/* Ends the call with CANCELLED, once, if it has not ended; the peer learns of it. Never blocks. On
 * a server that holds for streams; a unary call's handler sees it, and still answers. */
FARCALL_API void farcall_call_cancel(farcall_call *call);

/* Lets go. In flight: cancels; a pending `done` still comes, with CANCELLED. All that the call
 * showed dies with the last holder. Never blocks. */
FARCALL_API void farcall_call_free(farcall_call *call);

/* One more farcall_call_free() is needed, so another thread may keep the call. */
FARCALL_API void farcall_call_hold(farcall_call *call);

/* ---- compression (docs/compression.md) ---- */

typedef enum farcall_coding {
	FARCALL_IDENTITY = 1, /* none */
	FARCALL_GZIP = 2,
	FARCALL_DEFLATE = 4 /* zlib's format, as gRPC means it */
} farcall_coding;

/* What this side's messages are compressed with (grpc/grpc: doc/compression.md). A client: before
 * the start; a server that lacks the coding answers UNIMPLEMENTED. A server: before its first
 * message; where the client did not list the coding in `grpc-accept-encoding`, messages go as they
 * are. Default: that of farcall_channel_set_compression() or farcall_server_set_compression(). A
 * message that would not get smaller goes as it is, too. Too late, or no coding:
 * FAILED_PRECONDITION or INVALID_ARGUMENT, stuck to a client's call, only logged on a server. */
FARCALL_API void farcall_call_set_compression(farcall_call *call, farcall_coding coding);

/* false: messages sent from now on go as they are, whatever the call's coding: for those that hold
 * a secret beside what a stranger chose (CRIME, BREACH), or are dense already. true: with the
 * coding again; the default. The thread that sends. */
FARCALL_API void farcall_call_set_message_compression(farcall_call *call, bool compress);

/* The message received last came compressed; in a unary handler, its request. The thread that
 * receives. */
FARCALL_API bool farcall_call_message_compressed(const farcall_call *call);

/* ---- how it went ----
 *
 * A client's call may be asked at any time after its start, by any thread that holds it: while it
 * is under way it answers OK, NONE, "" and no metadata, but for a stream's once they have come. A
 * server's call: by its handler, or who completes it. */

/* The final status; OK while the call is in flight and nothing has failed. */
FARCALL_API farcall_code farcall_call_code(const farcall_call *call);

/* What lies behind the code, for programs; NONE while nothing has failed. */
FARCALL_API farcall_cause farcall_call_cause(const farcall_call *call);

/* "UNAVAILABLE: connect localhost:27015: connection refused"; "" if nothing has failed.
 * Of a call that has ended OK and was then used again: what was wrong with that. */
FARCALL_API const char *farcall_call_error(const farcall_call *call);

/* The peer's `grpc-message` alone, percent-decoded; "" if none. */
FARCALL_API const char *farcall_call_status_message(const farcall_call *call);

/* Received metadata: the request's on a server, the response's initial on a client. Never NULL. */
FARCALL_API const farcall_metadata *farcall_call_metadata(const farcall_call *call);

/* Received trailing metadata (client; after the end). Never NULL. */
FARCALL_API const farcall_metadata *farcall_call_trailers(const farcall_call *call);

/* First value of `key`; NULL if there is none, or if the key ends in "-bin". It is the peer's word:
 * other implementations let pass what this one would not send (RFC 9110 section 5.5), so there may
 * be tabs in it, and bytes above 0x7e that need not be UTF-8; controls there are none. */
FARCALL_API const char *farcall_metadata_get(const farcall_metadata *metadata, const char *key);

/* First value of a "-bin" key, decoded, its size in *size; NULL if there is none. What is no base64
 * has been dropped, with a line in the log; what peers joined by commas are several values. */
FARCALL_API const void *farcall_metadata_get_bin(
    const farcall_metadata *metadata, const char *key, size_t *size);

/* The i-th pair; false past the last. Values of "-bin" keys are decoded; others end in a NUL that
 * *size does not count. Any of the outputs may be NULL. */
FARCALL_API bool farcall_metadata_at(
    const farcall_metadata *metadata, size_t i, const char **key, const void **value, size_t *size);

/* Milliseconds to the deadline, 0 past it; UINT64_MAX: there is none, or it has not started. */
FARCALL_API uint64_t farcall_call_remaining_ms(const farcall_call *call);

/* ---- memory for the message being built ----
 * Lives until that message has been sent (unary: until the call ends). Capped: past the cap the
 * call is doomed to RESOURCE_EXHAUSTED. strdup and printf never give NULL ("" at the cap). */

/* Zeroed, aligned for any type. NULL at the cap. */
FARCALL_API void *farcall_call_alloc(farcall_call *call, size_t size);
FARCALL_API char *farcall_call_strdup(farcall_call *call, const char *text);
FARCALL_API char *farcall_call_printf(farcall_call *call, const char *format, ...)
    FARCALL_PRINTF(2, 3);

/* As farcall_call_alloc(), but lives with the call. */
FARCALL_API void *farcall_call_keep(farcall_call *call, size_t size);

/* ---- a server's call: in the handler, and until it is completed ---- */

/* `self` as given at register. */
FARCALL_API void *farcall_call_self(const farcall_call *call);

/* What is called, as in the generated table; NULL before the call has started. */
FARCALL_API const farcall_method *farcall_call_method(const farcall_call *call);

/* "ipv4:127.0.0.1:51034", "unix:", "mem:name". On a client: the server, once a stream's head has
 * come or the call has ended, else "". Any thread that holds the call. */
FARCALL_API const char *farcall_call_peer(const farcall_call *call);

/* Who is at the other end of a local socket; false where the transport cannot tell. Outputs that
 * the platform does not know become -1. */
FARCALL_API bool farcall_call_peer_ids(
    const farcall_call *call, int64_t *uid, int64_t *gid, int64_t *pid);

/* Trailing metadata; rules as farcall_call_add_metadata(). One key that begins with "grpc-" is the
 * program's: "grpc-retry-pushback-ms", beside a failure, tells a client that has a retry policy
 * after how many milliseconds to come again; "-1": not at all (docs/retries.md, gRFC A6). */
FARCALL_API void farcall_call_add_trailer(farcall_call *call, const char *key, const char *value);
FARCALL_API void farcall_call_add_trailer_bin(
    farcall_call *call, const char *key, const void *data, size_t size);

/* Sets status and message; returns `code`, so a handler may return it at once. */
FARCALL_API farcall_code farcall_call_fail(
    farcall_call *call, farcall_code code, const char *format, ...) FARCALL_PRINTF(3, 4);

/* The client has gone, cancelled, or its deadline has passed. Any thread. */
FARCALL_API bool farcall_call_cancelled(const farcall_call *call);

/* `fn` is called once if the call is cancelled before it ends (at once, if it already was): on the
 * server's loop, so it must not block, and perhaps while the handler runs on another thread. */
FARCALL_API void farcall_call_on_cancel(
    farcall_call *call, void (*fn)(farcall_call *call, void *data), void *data);

/* In a handler: what follows may take long (a file, a lock, a sleep), so another thread goes on
 * with the server's loop from now on. Without it that happens a millisecond later or more; a
 * blocking call of this library does it by itself. It costs a few microseconds; from then on calls
 * of this method run on other threads, until they have been quick many times. Nothing happens
 * elsewhere than in a handler, a second time, in a serial server, or on a lent loop. */
FARCALL_API void farcall_block_begin(farcall_call *call);

/* Ends a call whose handler returned FARCALL_PENDING; OK sends the reply that the handler was
 * given. Any thread; it may come before the handler has returned, after cancel, after the server is
 * gone. The reply is packed before it returns. A second completion is logged and ignored. */
FARCALL_API void farcall_call_complete(farcall_call *call, farcall_code code);

/* Completes a unary or client-stream call with OK and `reply`, which need not be the reply that the
 * handler was given and is packed before this returns: it may stand on the stack. Otherwise as
 * farcall_call_complete(). In its handler too: whether that then returns FARCALL_OK or
 * FARCALL_PENDING is the same. */
FARCALL_API farcall_code farcall_call_send_reply(farcall_call *call, const ProtobufCMessage *reply);

/* ---- what the stubs stand on ---- */

/* Comes exactly once. `message`: the reply, or NULL; it lives with the call. */
typedef void farcall_done(
    farcall_call *call, farcall_code code, const ProtobufCMessage *message, void *data);

/* A unary call; blocks until it has ended. *reply is set on FARCALL_OK only. */
FARCALL_API farcall_code farcall_call_invoke(farcall_call *call, const farcall_method *method,
    const ProtobufCMessage *request, const ProtobufCMessage **reply);

/* The same, without blocking; `request` is packed before it returns. `done` runs in the loop lent
 * to the channel, else in the channel's own thread; never inside this call. */
FARCALL_API void farcall_call_invoke_async(farcall_call *call, const farcall_method *method,
    const ProtobufCMessage *request, farcall_done *done, void *data);

/* ---- streaming calls ----
 *
 * A client starts the call; on a server the handler has it. Each side sends and receives as its
 * shape allows, from one sending and one receiving thread at a time. Blocking steps answer
 * FAILED_PRECONDITION inside a step of the loop that they would wait for (a lent loop, a callback,
 * a handler of a serial server): there the async ones serve. Their `done` comes once, where
 * callbacks come: on a client in the step of the lent loop or the channel's thread; on a server
 * where handlers run; never two at once for a call, and never inside the step itself, unless that
 * is misuse. Steps of a call that has ended answer how: FARCALL_END if that was OK. */

/* Client: begins; never blocks. `request` for a server stream, else NULL; packed before this
 * returns. What fails here is what every later step answers, too. */
FARCALL_API farcall_code farcall_call_start(
    farcall_call *call, const farcall_method *method, const ProtobufCMessage *request);

/* Sends a message, packed before this returns; what farcall_call_alloc() gave for it dies. At most
 * 64 KiB, or one message, wait to be sent: then this waits until the peer has taken some. OK: it is
 * on its way; FARCALL_END: the call has ended well before that. */
FARCALL_API farcall_code farcall_call_send(farcall_call *call, const ProtobufCMessage *message);

/* FARCALL_OK and a message, that lives until the next is received; FARCALL_END after the last one;
 * else the call's failure, which a server learns as CANCELLED or DEADLINE_EXCEEDED. */
FARCALL_API farcall_code farcall_call_recv(farcall_call *call, const ProtobufCMessage **message);

/* The same without blocking; one of each at a time. send: `done` comes when there is room for a
 * further message. */
FARCALL_API void farcall_call_send_async(
    farcall_call *call, const ProtobufCMessage *message, farcall_done *done, void *data);
FARCALL_API void farcall_call_recv_async(farcall_call *call, farcall_done *done, void *data);

/* A response begins with its head: the initial metadata. It goes with the first message, or with
 * the end; a server that has nothing to send yet sends it by this, for clients that wait for it: in
 * a handler of any shape, or while its call pends, in the thread that sends. From then on it is too
 * late for farcall_call_add_metadata(). Never blocks; harmless when the head has gone. Else than
 * OK: the call has ended, its metadata were refused (that is its outcome), or there is no memory;
 * then the head still goes with the first message. FAILED_PRECONDITION for misuse. */
FARCALL_API farcall_code farcall_call_send_head(farcall_call *call);

/* Client: waits for that, in the place of the thread that receives: OK, and farcall_call_metadata()
 * shows it, as it does anyway once a message has come. Else the call has ended without one: how, or
 * FARCALL_END. `done` of the other comes without a message. A server may send it late, or with the
 * first message only. */
FARCALL_API farcall_code farcall_call_recv_head(farcall_call *call);
FARCALL_API void farcall_call_recv_head_async(farcall_call *call, farcall_done *done, void *data);

/* Client: no more messages will be sent; receiving goes on. One whose step still waits for room
 * goes before the end. Never blocks; harmless twice. */
FARCALL_API farcall_code farcall_call_half_close(farcall_call *call);

/* Client: half-closes, drops what was not received, and waits for the status, which it answers.
 * *reply is set on FARCALL_OK, for a client stream; else `reply` may be NULL. */
FARCALL_API farcall_code farcall_call_finish(farcall_call *call, const ProtobufCMessage **reply);
FARCALL_API void farcall_call_finish_async(farcall_call *call, farcall_done *done, void *data);

/* Generated code gives callbacks the message in its own type. `thunk` is called where a
 * farcall_done would be, with `done` as it was given: it turns `done` back into its own type and
 * calls it. So no function is ever called through a type that it does not have, and nothing is
 * allocated. */
typedef void farcall_function(void);
typedef void farcall_thunk(farcall_call *call, farcall_code code, const ProtobufCMessage *message,
    farcall_function *done, void *data);

/* farcall_call_invoke_async(), _recv_async() and _finish_async() with a thunk. */
FARCALL_API void farcall_call_invoke_typed(farcall_call *call, const farcall_method *method,
    const ProtobufCMessage *request, farcall_thunk *thunk, farcall_function *done, void *data);
FARCALL_API void farcall_call_recv_typed(
    farcall_call *call, farcall_thunk *thunk, farcall_function *done, void *data);
FARCALL_API void farcall_call_finish_typed(
    farcall_call *call, farcall_thunk *thunk, farcall_function *done, void *data);

FARCALL_END_DECLS

#endif
