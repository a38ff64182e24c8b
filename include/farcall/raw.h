/*
 * farcall/raw.h: calls without generated code: a path, bytes in, bytes out. For proxies, tools, and
 * bindings of other languages that have messages of their own.
 *
 * A message as bytes is a farcall_bytes, which is a ProtobufCMessage: whatever takes or gives a
 * message takes or gives it too, where the method says so: a farcall_method whose `request` or
 * `reply` is &farcall_bytes__descriptor, on either side, unary or stream. Its bytes are neither
 * looked into nor changed; the limits on messages are the same. It is not part of other messages.
 */
#ifndef FARCALL_RAW_H
#define FARCALL_RAW_H

#include <farcall/call.h>

FARCALL_BEGIN_DECLS

typedef struct farcall_bytes {
	ProtobufCMessage base;
	size_t size;
	const void *data; /* may be NULL if there are none */
} farcall_bytes;

FARCALL_API extern const ProtobufCMessageDescriptor farcall_bytes__descriptor;

#define FARCALL_BYTES__INIT                                                  \
	{                                                                    \
		PROTOBUF_C_MESSAGE_INIT(&farcall_bytes__descriptor), 0, NULL \
	}

/* `message` as bytes; NULL if it is of another type, or NULL. */
FARCALL_API const farcall_bytes *farcall_bytes_of(const ProtobufCMessage *message);

/* ---- a client's raw call ---- */

/* farcall_call_invoke() of the unary method at `path`, such as "/demo.Greeter/SayHello": copied.
 * INVALID_ARGUMENT, with the column, for a path that is none: it begins with a slash, has another
 * one, printable ASCII without blanks, at most 4,096 bytes. Blocks. On FARCALL_OK *reply and
 * *reply_size are set (either may be NULL); the bytes live with the call, an empty reply is not
 * NULL. */
FARCALL_API farcall_code farcall_call_invoke_raw(farcall_call *call, const char *path,
    const void *request, size_t size, const void **reply, size_t *reply_size);

/* Comes exactly once, as farcall_done. `reply` is NULL unless `code` is FARCALL_OK; it lives with
 * the call. */
typedef void farcall_raw_done(
    farcall_call *call, farcall_code code, const void *reply, size_t size, void *data);

/* The same, without blocking; `request` is copied before it returns. `done` (may be NULL) runs
 * where that of farcall_call_invoke_async() does. */
FARCALL_API void farcall_call_invoke_raw_async(farcall_call *call, const char *path,
    const void *request, size_t size, farcall_raw_done *done, void *data);

/* Starts a call of any shape at `path`, as farcall_call_start(), without a request: each side sends
 * as many messages as the method's shape has. A client's unary call may be made so, too. */
FARCALL_API farcall_code farcall_call_start_raw(farcall_call *call, const char *path);

/* ---- steps of a raw stream, on both sides ----
 *
 * farcall_call_send() and so on, of bytes; the other steps are the same for all streams. */

FARCALL_API farcall_code farcall_call_send_raw(farcall_call *call, const void *data, size_t size);

/* The bytes live until the next message is received; those of an empty one are not NULL. */
FARCALL_API farcall_code farcall_call_recv_raw(farcall_call *call, const void **data, size_t *size);

FARCALL_API void farcall_call_send_raw_async(
    farcall_call *call, const void *data, size_t size, farcall_done *done, void *user);
FARCALL_API void farcall_call_recv_raw_async(
    farcall_call *call, farcall_raw_done *done, void *data);

/* ---- a server's handler of any path ---- */

/* As a unary handler. What is called: farcall_call_method(call)->path. `reply->data` must live as
 * the parts of any reply: it may be the request's, or of farcall_call_alloc(). A handler that
 * returned FARCALL_PENDING may fill `reply` later, or complete the call by
 * farcall_call_send_reply() with a farcall_bytes of its own. */
typedef farcall_code farcall_raw_handler(
    farcall_call *call, const farcall_bytes *request, farcall_bytes *reply);

/* The same of calls of any shape: a handler of a bidi stream, which takes and gives messages one by
 * one by the raw steps. The client's end of a unary call or of a server stream cannot be told from
 * that of others: it sends one message, then half-closes. */
typedef farcall_code farcall_raw_stream_handler(farcall_call *call);

FARCALL_END_DECLS

#endif
