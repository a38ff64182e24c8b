/*
 * farcall/channel.h: the client's side of a server. Connects at the first call; free for all
 * threads.
 *
 * The first failure of set-up sticks: its calls answer it. Settings come before the first call;
 * later they are FAILED_PRECONDITION. Every function accepts NULL.
 */
#ifndef FARCALL_CHANNEL_H
#define FARCALL_CHANNEL_H

#include <farcall/call.h>
#include <farcall/interceptor.h>
#include <farcall/loop.h>

FARCALL_BEGIN_DECLS

/* `target`: an address as for farcall_server_bind(), or "file:///dir/pkg.Service"
 * (docs/addresses.md). Never NULL; a bad name is INVALID_ARGUMENT, cause BAD_ADDRESS, with the
 * column in its text. */
FARCALL_API farcall_channel *farcall_channel_open(const char *target);

/* Plaintext beyond loopback, unix and mem must be asked for, here and at the server's endpoint.
 * Judged by the resolved addresses; else calls fail with FAILED_PRECONDITION, cause INSECURE. */
FARCALL_API void farcall_channel_allow_insecure(farcall_channel *channel);

/* Deadline of its calls, milliseconds from each call's start; default none. */
FARCALL_API void farcall_channel_set_timeout_ms(farcall_channel *channel, uint64_t ms);

/* Callbacks then run in its step; no thread is started; blocking calls step the loop themselves,
 * and are refused inside a step. The loop must outlive the channel. */
FARCALL_API void farcall_channel_set_loop(farcall_channel *channel, farcall_loop *loop);

/* Bytes of one message received; more is RESOURCE_EXHAUSTED. Default 4 MiB; 1 to 2^31 - 1. */
FARCALL_API void farcall_channel_set_max_message(farcall_channel *channel, size_t bytes);

/* Bytes of one header list received; more is RESOURCE_EXHAUSTED. Default 16 KiB; 1 to 64 KiB. */
FARCALL_API void farcall_channel_set_max_metadata(farcall_channel *channel, size_t bytes);

/* What its calls' messages are compressed with, unless a call says otherwise: see
 * farcall_call_set_compression(). Default FARCALL_IDENTITY. Answers of either coding are taken. */
FARCALL_API void farcall_channel_set_compression(farcall_channel *channel, farcall_coding coding);

/* TCP: a server that does not acknowledge what was sent for so long is dead: its connection ends,
 * and calls that it may have seen fail with UNAVAILABLE. Values as for
 * farcall_server_set_peer_timeout_ms(). Default: the keepalive time-out where keepalive is on (gRFC
 * A18), else 20,000. */
FARCALL_API void farcall_channel_set_peer_timeout_ms(farcall_channel *channel, uint64_t ms);

/* Keepalive (gRFC A8): while calls are under way, a server that has sent no byte for so long is
 * sent a PING. Milliseconds, default 0: never; 10,000 to 2,147,483,647. (gRPC raises less than 10 s
 * to 10 s; here it is INVALID_ARGUMENT.) Servers allow one in 5 minutes unless they are told
 * otherwise: one that says "too_many_pings" costs the connection, a line in the log, and doubles
 * the time for the next ones. */
FARCALL_API void farcall_channel_set_keepalive_ms(farcall_channel *channel, uint64_t ms);

/* A server that sends no byte for so long after the PING is dead: its calls fail with UNAVAILABLE,
 * cause TIMED_OUT, and the next one makes a new connection. Milliseconds, default 20,000; 1,000 to
 * 86,400,000. */
FARCALL_API void farcall_channel_set_keepalive_timeout_ms(farcall_channel *channel, uint64_t ms);

/* true: also while there are no calls, so that the connection stays known to what stands between,
 * and a dead server is found before it is needed. The channel then has its thread from the first
 * call on, unless a loop was lent. Most servers do not allow it unless told to: see
 * farcall_server_set_pings_without_calls(). Default false. */
FARCALL_API void farcall_channel_set_keepalive_without_calls(farcall_channel *channel, bool on);

/* A blocking call polls this long before it sleeps. Microseconds, default 0, at most 10,000. */
FARCALL_API void farcall_channel_set_spin_us(farcall_channel *channel, unsigned us);

/* Adds an interceptor to all calls of the channel (farcall/interceptor.h). `hooks`, `hooks_size`
 * bytes of it, is copied; `data` is given to each of its functions and must be valid until the last
 * call of the channel has ended and was freed. At most 16: one more is RESOURCE_EXHAUSTED.
 * INVALID_ARGUMENT: `hooks` is NULL. */
FARCALL_API void farcall_channel_intercept(
    farcall_channel *channel, const farcall_interceptor *hooks, size_t hooks_size, void *data);

/* How calls behave, by method: gRPC's service config, a JSON text (docs/retries.md): time-outs,
 * wait for ready, limits on messages, retries, hedging, round robin. Copied. Checked whole: a bad
 * one is INVALID_ARGUMENT, and the text says where and what is wrong. At most 64 KiB. NULL: none,
 * which is the default. grpc/grpc doc/service_config.md, gRFC A6. */
FARCALL_API void farcall_channel_set_service_config(farcall_channel *channel, const char *json);

/* Bytes of a request that is kept for another attempt, of one call and of all calls of the channel
 * at a time: past them a call has the attempt under way and no other. Blocking calls keep none.
 * Default 256 KiB and 16 MiB. */
FARCALL_API void farcall_channel_set_retry_buffer(
    farcall_channel *channel, size_t bytes_of_call, size_t bytes_of_channel);

/* Calls that may wait at a time: for a connection, or for room on one. One more fails at once with
 * RESOURCE_EXHAUSTED, cause LIMIT, and the text says why they wait. What a connection gives back
 * because its server has not seen it counts, too, but is not refused. Default 100,000; 1 to
 * 2^31 - 1. (gRPC has no such limit: there a server that is away costs memory without end.) */
FARCALL_API void farcall_channel_set_max_waiting(farcall_channel *channel, size_t most);

typedef enum farcall_state {
	FARCALL_IDLE,
	FARCALL_CONNECTING,
	FARCALL_READY,
	FARCALL_TRANSIENT_FAILURE,
	FARCALL_SHUTDOWN
} farcall_state;

/* As last seen; connects nothing. Any thread. */
FARCALL_API farcall_state farcall_channel_state(const farcall_channel *channel);

/* `on_state` is told of each change from now on: once, in order, where callbacks run (so it starts
 * the channel's thread, unless a loop was lent). The last one is SHUTDOWN, after close: the channel
 * is valid in it, and `data` is of no more use then; a lent loop has to be stepped until it has
 * come. Should more than 32 wait to be told, because nothing turned the loop, the last ones run
 * together. Another function replaces it, NULL takes it away; it may be running at that moment, but
 * not when that is said in a callback. Comes after the settings, and counts as a call. */
typedef void farcall_on_state(farcall_channel *channel, farcall_state state, void *data);
FARCALL_API void farcall_channel_on_state(
    farcall_channel *channel, farcall_on_state *on_state, void *data);

/* "READY" */
FARCALL_API const char *farcall_state_name(farcall_state state);

/* Connects, if it must, and waits: OK, or DEADLINE_EXCEEDED with the last failure's text, which
 * farcall_channel_error() then shows until the next wait. Its calls are not failed by it. */
FARCALL_API farcall_code farcall_channel_wait_ready(farcall_channel *channel, uint64_t timeout_ms);

/* Cancels what is in flight and lets go; may be called in a callback. Never blocks. */
FARCALL_API void farcall_channel_close(farcall_channel *channel);

/* The first failure of set-up, which every call answers too; else that of the last wait: OK, NONE
 * and "" if there is none. Any thread. The text lives with the channel. */
FARCALL_API farcall_code farcall_channel_code(const farcall_channel *channel);
FARCALL_API farcall_cause farcall_channel_cause(const farcall_channel *channel);
/* Of set-up, or of the last wait_ready: then it is good until the next one ends, and no thread may
 * ask while another one waits. Where several wait, the code that each is given says more. */
FARCALL_API const char *farcall_channel_error(const farcall_channel *channel);

/* ---- protoc-c's own functions ---- */

/* A service whose functions, as protoc-c itself generates them (demo__greeter__say_hello()), make
 * calls through `channel`: for code that stands already. Free it by protobuf_c_service_destroy(),
 * before or after farcall_channel_close(); until then it keeps the channel's memory. NULL, with a
 * line in the log, when out of memory or when `descriptor` is NULL or none. Without a channel, or
 * with a descriptor that has no names (optimize_for = CODE_SIZE), its calls fail.
 *
 * Calls do not block; `input` is packed before they return. Their deadline is the channel's
 * (farcall_channel_set_timeout_ms()). `closure` (may be NULL) comes exactly once: in the step of
 * the loop that was lent to the channel, else in the channel's own thread; but before the call
 * returns where that cannot even begin (out of memory; the channel closed, failed or NULL). It is
 * given the reply, which lives until it returns; or NULL: the call has failed.
 *
 * Destroying the service cancels what is under way; those closures still come, with NULL. It may be
 * done in a closure. Any thread; several may use a service at once. */
FARCALL_API ProtobufCService *farcall_channel_protobuf_c(
    farcall_channel *channel, const ProtobufCServiceDescriptor *descriptor);

/* `call` is the library's: not to be started or freed; it lives until the function returns. */
typedef void farcall_protobuf_c_hook(farcall_call *call, void *data);

/* Why a closure is given NULL: `fn` is called just before it, in the same place, and may ask `call`
 * for farcall_call_code(), _cause(), _error(), _trailers() and _method(). Default: a line in the
 * log. NULL: nothing. `service` is one of farcall_channel_protobuf_c(). Before its first call. */
FARCALL_API void farcall_protobuf_c_on_error(
    ProtobufCService *service, farcall_protobuf_c_hook *fn, void *data);

/* `fn` is called before each call starts, in the thread that makes it, to set it up: time-out,
 * metadata, wait for ready, parent. Default, and NULL: nothing. Before the first call. */
FARCALL_API void farcall_protobuf_c_on_start(
    ProtobufCService *service, farcall_protobuf_c_hook *fn, void *data);

FARCALL_END_DECLS

#endif
