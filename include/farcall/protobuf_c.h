/*
 * farcall/protobuf_c.h: services that protoc-c generates itself (ProtobufCService), served and
 * called without stubs of farcall. For code that stands already; new code is better off with
 * protoc-gen-farcall's stubs, which know codes, metadata, deadlines and streams.
 *
 * On the wire there is no difference: a service is "package.Service" and its methods are
 * "/package.Service/Method", as the descriptors name them. So descriptors need their names: code
 * that was generated with `option optimize_for = CODE_SIZE` has none, and is refused. protoc-c does
 * not say which methods stream; all are taken for unary.
 */
#ifndef FARCALL_PROTOBUF_C_H
#define FARCALL_PROTOBUF_C_H

#include <farcall/channel.h>
#include <farcall/server.h>

FARCALL_BEGIN_DECLS

/* ---- server ---- */

/* Offers `service` under its descriptor's name. Set-up as farcall_server_register(); the
 * farcall_service takes the same settings. INVALID_ARGUMENT when `service`, its descriptor or its
 * invoke is NULL, or a name is missing; ALREADY_EXISTS for a name that is registered.
 *
 * A call is service->invoke(service, method, input, closure, closure_data). It runs where handlers
 * run (docs/threads.md), so calls overlap, on threads of the server, unless
 * farcall_server_set_serial() or a lent loop says otherwise. A generated service whose function for
 * the method is NULL answers UNIMPLEMENTED.
 *
 * `input` lives until invoke returns: what is needed later must be copied.
 *
 * `closure` ends the call, in invoke or later, from any thread: once. A second one is logged and
 * ignored. The message is packed before the closure returns, so it may stand on the stack.
 *   closure(message)  OK. INTERNAL for a message of another type than the method's.
 *   closure(NULL)     INTERNAL, "the service gave no reply". protobuf-c has no other failure.
 *   never             the call ends by its deadline, its client, or the server's stop. It costs
 *                     nothing from then on.
 * A closure that comes after that, even after farcall_server_free(), does nothing.
 *
 * `service` is the program's, is not copied, and must outlive the server. Its destroy is not
 * called: call protobuf_c_service_destroy() after farcall_server_free(). */
FARCALL_API farcall_service *farcall_server_register_protobuf_c(
    farcall_server *server, ProtobufCService *service);

/* ---- client ---- */

/* A service whose functions, such as demo__greeter__say_hello(), call `descriptor`'s methods
 * through `channel`. Free it by protobuf_c_service_destroy(); it keeps the channel's memory, so it
 * may be destroyed before or after farcall_channel_close(). NULL when out of memory or `descriptor`
 * is none (the log says which); with a descriptor without names, or without a channel, its calls
 * fail.
 *
 * A call never blocks; `input` is packed before it returns. Its deadline is the channel's
 * (farcall_channel_set_timeout_ms()). `closure` comes exactly once: in the step of the loop lent to
 * the channel, else in the channel's own thread; before the call returns only where it cannot even
 * begin (out of memory, the channel closed or failed). It is given the reply, which lives until it
 * returns, or NULL: the call has failed (see farcall_protobuf_c_on_error()). It may be NULL.
 *
 * Destroying the service cancels its calls in flight; their closures still come, with NULL. It may
 * be destroyed in a closure. Any thread; the service may be used by several. */
FARCALL_API ProtobufCService *farcall_channel_protobuf_c(
    farcall_channel *channel, const ProtobufCServiceDescriptor *descriptor);

/* What the program wants to do with each call of a service: `call` is the library's to free. */
typedef void farcall_protobuf_c_hook(farcall_call *call, void *data);

/* `fn` is called just before a closure is given NULL, in the same place, to learn why:
 * farcall_call_code(), _cause(), _error(), _trailers(), and farcall_call_method() of `call`, which
 * lives until `fn` returns. Without one, failures are logged as warnings. NULL: ignores them.
 * Before the first call. `service` is one of farcall_channel_protobuf_c(); NULL is accepted. */
FARCALL_API void farcall_protobuf_c_on_error(
    ProtobufCService *service, farcall_protobuf_c_hook *fn, void *data);

/* `fn` is called before each call starts, in the thread that makes it, to set it up: time-out,
 * metadata, wait for ready, parent. It must not start or free it. NULL (default): nothing. Before
 * the first call. */
FARCALL_API void farcall_protobuf_c_on_start(
    ProtobufCService *service, farcall_protobuf_c_hook *fn, void *data);

FARCALL_END_DECLS

#endif
