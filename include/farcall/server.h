/*
 * farcall/server.h: new, register, bind, publish, listen, stop, free.
 *
 * The first failure sticks to the server with its code, cause and text; later steps do nothing and
 * answer it. So the flow may be checked once, at its end. Settings come before listen or start;
 * later they are FAILED_PRECONDITION. Every function accepts NULL.
 *
 * Threads: set up from one thread; stop from any thread, handler or signal handler, at any time.
 */
#ifndef FARCALL_SERVER_H
#define FARCALL_SERVER_H

#include <farcall/call.h>
#include <farcall/interceptor.h>
#include <farcall/loop.h>
#include <farcall/raw.h>

FARCALL_BEGIN_DECLS

typedef struct farcall_server farcall_server;
typedef struct farcall_service farcall_service;
typedef struct farcall_endpoint farcall_endpoint;

/* Never NULL. Out of memory gives a server that answers so. */
FARCALL_API farcall_server *farcall_server_new(void);

/* Run on a loop that you drive: start() then returns at once and no thread is started. The loop
 * must outlive the server. listen() and wait() are refused. */
FARCALL_API void farcall_server_set_loop(farcall_server *server, farcall_loop *loop);

/* Connections at a time; one more waits unaccepted. Default 10,000; 1 to 1,000,000. */
FARCALL_API void farcall_server_set_max_connections(farcall_server *server, size_t most);

/* Calls at a time; one more is answered RESOURCE_EXHAUSTED. Default 10,000; at least 1. */
FARCALL_API void farcall_server_set_max_calls(farcall_server *server, size_t most);

/* Bytes of one message received, before unpacking; more is RESOURCE_EXHAUSTED. Default 4 MiB, as
 * gRPC; 1 to 2^31 - 1. */
FARCALL_API void farcall_server_set_max_message(farcall_server *server, size_t bytes);

/* Bytes of one header list received: names, values, and 32 a field (RFC 9113 section 6.5.2).
 * Default 16 KiB; 1 to 64 KiB. */
FARCALL_API void farcall_server_set_max_metadata(farcall_server *server, size_t bytes);

/* What answers are compressed with, for clients that take it, unless a handler says otherwise: see
 * farcall_call_set_compression(). Default FARCALL_IDENTITY. Requests of either coding are taken. */
FARCALL_API void farcall_server_set_compression(farcall_server *server, farcall_coding coding);

/* TCP: a peer that does not acknowledge what was sent for so long is dead: its connection ends and
 * its calls are cancelled. Milliseconds; 1,000 to 86,400,000, in whole seconds on macOS and
 * Windows; 0: the system's own rule, usually some 15 minutes. Default: the keepalive time-out where
 * keepalive is on, as gRFC A18 has it, else 20,000. Linux, macOS and Windows; elsewhere always the
 * system's rule. */
FARCALL_API void farcall_server_set_peer_timeout_ms(farcall_server *server, uint64_t ms);

/* Keepalive (gRFC A8): a client that has sent no byte for so long is sent a PING, with calls or
 * without. Milliseconds, default 7,200,000 (two hours); 1,000 to 2,147,483,647; 0: never. */
FARCALL_API void farcall_server_set_keepalive_ms(farcall_server *server, uint64_t ms);

/* A client that sends no byte for so long after the PING is dead: its connection ends and its calls
 * are cancelled. Milliseconds, default 20,000; 1,000 to 86,400,000. */
FARCALL_API void farcall_server_set_keepalive_timeout_ms(farcall_server *server, uint64_t ms);

/* The least time between PINGs of a client (gRFC A8), counted anew whenever it is sent a head, a
 * message or a status. The third one that is too early ends its connection: GOAWAY
 * ENHANCE_YOUR_CALM, "too_many_pings". Milliseconds, default 300,000 (five minutes); 1 to
 * 2,147,483,647; 0: any, within what docs/limits.md says of PING frames. */
FARCALL_API void farcall_server_set_ping_interval_ms(farcall_server *server, uint64_t ms);

/* true: the same interval also while the client has no call. Default false: two hours then. */
FARCALL_API void farcall_server_set_pings_without_calls(farcall_server *server, bool permit);

/* A connection that has had no call for so long, from its last call's end or its beginning, is
 * ended (gRFC A9): gently, as by farcall_server_stop(), and its client makes a new one when it
 * needs it. Milliseconds, default 0: never; 1,000 to 2,147,483,647. */
FARCALL_API void farcall_server_set_max_connection_idle_ms(farcall_server *server, uint64_t ms);

/* A connection takes no more calls when it is so old, give or take a tenth by chance; those under
 * way go on, and the client goes on with a new one (gRFC A9): so that clients spread anew over
 * servers that have been added. Milliseconds, default 0: never; 1,000 to 2,147,483,647. */
FARCALL_API void farcall_server_set_max_connection_age_ms(farcall_server *server, uint64_t ms);

/* How long calls may go on after that; then they are cancelled, and the connection ends.
 * Milliseconds, default 0: as long as they take; 1 to 2,147,483,647. */
FARCALL_API void farcall_server_set_max_connection_grace_ms(farcall_server *server, uint64_t ms);

/* Threads of each loop of the server at a time, the loop's own included, so that handlers that
 * block do not hold it up: started when needed, two as soon as it listens. When all are taken,
 * calls of methods known to block wait for one, with a line in the log, at most one a minute, when
 * that lasts a second; and a handler that blocks unexpectedly holds the loop up. 1: each handler
 * runs on the loop's thread. Default 64; 1 to 10,000. Without effect on a lent loop. */
FARCALL_API void farcall_server_set_handler_threads(farcall_server *server, unsigned most);

/* Calls of each loop that may wait for such a thread; one more is answered RESOURCE_EXHAUSTED.
 * Default 1,024; 1 to 1,000,000. */
FARCALL_API void farcall_server_set_handler_queue(farcall_server *server, unsigned most);

/* Loops, each with threads, connections and calls of its own, for programs that need more than one
 * core. The first one accepts; each connection goes to the loop that has the fewest, and stays
 * there. Limits on connections and calls are the whole server's; handler threads are each loop's.
 * Default 1; 1 to 256. More than one: FAILED_PRECONDITION at start on a lent loop, and for a serial
 * server. */
FARCALL_API void farcall_server_set_loops(farcall_server *server, unsigned loops);

/* true: handlers never overlap, and all run on the one thread of the server's loop: for code that
 * is not made for threads. One that blocks holds the server up; one that calls its own server and
 * waits, waits until its deadline. Default false: handlers overlap, on any threads. */
FARCALL_API void farcall_server_set_serial(farcall_server *server, bool serial);

/* SIGINT and SIGTERM (Ctrl-C and Ctrl-Break on Windows) stop the server gently, with a grace of 30
 * s; a second one stops it at once. While the server listens; what was there before comes back. */
FARCALL_API void farcall_server_stop_on_signals(farcall_server *server);

/* Offers `iface`. `ops`: the struct of handlers, `ops_size` bytes, copied; members that are NULL or
 * past its end answer UNIMPLEMENTED. `self` is given back by farcall_call_self(). ALREADY_EXISTS
 * for a name that is registered; FAILED_PRECONDITION when the generated code's ABI is not the
 * library's. */
FARCALL_API farcall_service *farcall_server_register(farcall_server *server,
    const farcall_interface *iface, const void *ops, size_t ops_size, void *self);

/* Offers a service that protoc-c itself generates, as "package.Service", its methods as
 * "/package.Service/Method": for code that stands already. Only farcall's own stubs know codes,
 * metadata, deadlines and streams; protoc-c does not say which methods stream, so all are taken for
 * unary. The farcall_service takes the same settings as any. INVALID_ARGUMENT when `service`, its
 * descriptor or its invoke is NULL, or a name is: code generated with optimize_for = CODE_SIZE has
 * none. ALREADY_EXISTS for a name that is registered.
 *
 * A call is service->invoke(service, method, input, closure, closure_data). It runs where handlers
 * run: calls overlap, on threads of the server, unless farcall_server_set_serial() or a lent loop
 * says otherwise. A function that is NULL in a generated service answers UNIMPLEMENTED. `input`
 * lives until invoke returns: what is needed later must be copied.
 *
 * `closure` ends the call, once, in invoke or later, from any thread. Its message is packed before
 * it returns, and so may stand on the stack.
 *   closure(message)  OK; INTERNAL if the message has another type than the method's.
 *   closure(NULL)     INTERNAL, "the service gave no reply": protobuf-c knows no other failure.
 *   a second time     is logged and ignored.
 *   never             the call ends by its deadline, its client or the server's stop; nothing of
 *                     it is left then. A closure that comes later does nothing, even after
 *                     farcall_server_free().
 *
 * `service` is the program's: it is not copied, must outlive the server, and is not destroyed by
 * it. So call protobuf_c_service_destroy() after farcall_server_free(). */
FARCALL_API farcall_service *farcall_server_register_protobuf_c(
    farcall_server *server, ProtobufCService *service);

/* Calls of this service at a time; one more is answered RESOURCE_EXHAUSTED. Default: the server's.
 */
FARCALL_API void farcall_service_set_max_calls(farcall_service *service, size_t most);

/* As farcall_server_set_max_message(), for this service's requests. Default: the server's. */
FARCALL_API void farcall_service_set_max_message(farcall_service *service, size_t bytes);

/* Declares a method, such as "SayHello", instead of letting the server learn it. true: its handler
 * blocks, so it always runs on another thread than the loop's. false: it never does (for long), so
 * it always runs on the loop, and a hitch of the machine is not taken for blocking. NOT_FOUND: the
 * service has no such method. */
FARCALL_API void farcall_service_set_blocking(
    farcall_service *service, const char *method, bool blocking);

/* From the first: the service is reachable only on endpoints so named
 * (farcall_endpoint_set_name()); elsewhere its methods are UNIMPLEMENTED. A name that no endpoint
 * has by listen is NOT_FOUND. */
FARCALL_API void farcall_service_allow_endpoint(farcall_service *service, const char *name);

/* ---- hooks ---- */

/* Adds an interceptor to all services' calls (farcall/interceptor.h). `hooks`, `hooks_size` bytes
 * of it, is copied; `data` is given to each of its functions and must be valid until
 * farcall_server_free() has returned and no begin of it pends. At most 16: one more is
 * RESOURCE_EXHAUSTED. INVALID_ARGUMENT: `hooks` is NULL. */
FARCALL_API void farcall_server_intercept(
    farcall_server *server, const farcall_interceptor *hooks, size_t hooks_size, void *data);

/* Asked for each call of the service, after the server's interceptors, before its request is
 * counted or dispatched: who may call? By metadata, farcall_call_peer(), farcall_call_peer_ids(),
 * farcall_call_connection_data(), farcall_call_method(). It is a begin hook in every respect: OK,
 * or PENDING, or a code that refuses, such as PERMISSION_DENIED; on the loop's thread, so it must
 * not block. NULL: everybody may. `data` as in farcall_server_intercept(). */
FARCALL_API void farcall_service_set_authorize(
    farcall_service *service, farcall_begin_hook *authorize, void *data);

/* Who has connected. It may grow at its end. */
typedef struct farcall_connection {
	const char *peer;      /* as farcall_call_peer() */
	const char *endpoint;  /* its name (farcall_endpoint_set_name()), "" if it has none */
	int64_t uid, gid, pid; /* as farcall_call_peer_ids(); -1: not known */
} farcall_connection;

/* FARCALL_OK: it may stay, and calls are given *user (NULL if it is left alone) by
 * farcall_call_connection_data(). Any other code: it is closed without a word, so that its client
 * counts a failed attempt to connect and waits before the next; a line goes to the log (level
 * INFO), and farcall_on_close does not come. On the connection's loop, which it must not hold up,
 * before anything is read from it; it must neither free nor close anything of the library's. */
typedef farcall_code farcall_on_open(const farcall_connection *connection, void **user, void *data);

/* Once for each that was opened: it is closed, its last call is over, and no handler of one runs or
 * pends, so nobody has `user` any more. On its loop; in the thread that completes its last call,
 * when that outlived the server. */
typedef void farcall_on_close(void *user, void *data);

/* Tells of connections. Either may be NULL. `data` must be valid until farcall_server_free() has
 * returned and the last pending call is completed. */
FARCALL_API void farcall_server_on_connection(
    farcall_server *server, farcall_on_open *open, farcall_on_close *close, void *data);

/* What farcall_on_open has given for the call's connection, else NULL. Calls of a connection
 * overlap: what it points to needs a lock of its own if they change it. Any thread, while the call
 * is served. */
FARCALL_API void *farcall_call_connection_data(const farcall_call *call);

/* `handler` serves each unary call whose path no registered method has (farcall/raw.h); without it
 * these are UNIMPLEMENTED. A method that is registered is never its: not on an endpoint where its
 * service is not reachable, nor without a handler. What it returns takes the settings of any
 * service, and is not published. `self` is given back by farcall_call_self(). All its paths count
 * as one method in what the server learns of blocking (farcall_service_set_blocking(), method
 * "*"). INVALID_ARGUMENT: `handler` is NULL. ALREADY_EXISTS: there is one. */
FARCALL_API farcall_service *farcall_server_set_catch_all(
    farcall_server *server, farcall_raw_handler *handler, void *self);

/* The same for calls of any shape, instead of the above: a server has one of the two. */
FARCALL_API farcall_service *farcall_server_set_catch_all_stream(
    farcall_server *server, farcall_raw_stream_handler *handler, void *self);

/* Takes the sockets now, so errors come early and port 0 becomes real (one number for all addresses
 * of the name); accepts nothing before listen or start. Addresses: docs/addresses.md. */
FARCALL_API farcall_endpoint *farcall_server_bind(farcall_server *server, const char *address);

/* For farcall_service_allow_endpoint(); several endpoints may have one name. */
FARCALL_API void farcall_endpoint_set_name(farcall_endpoint *endpoint, const char *name);

/* Plaintext beyond loopback, unix and mem must be asked for, here and at the channel. */
FARCALL_API void farcall_endpoint_allow_insecure(farcall_endpoint *endpoint);

/* The mode of a unix socket's file, such as 0660. Default 0600. */
FARCALL_API void farcall_endpoint_set_mode(farcall_endpoint *endpoint, unsigned mode);

/* The i-th real address, such as "ipv4:127.0.0.1:27015"; NULL past the last. Lives with the server,
 * stopped or not; from any thread. */
FARCALL_API const char *farcall_endpoint_address(const farcall_endpoint *endpoint, size_t i);

/* The port of the endpoint's addresses, 0 if it has none. From any thread. */
FARCALL_API unsigned farcall_endpoint_port(const farcall_endpoint *endpoint);

/* "file:/run/farcall": one leased record for each interface and endpoint. They appear once calls
 * are accepted and go on stop; a dead owner's are ignored. */
FARCALL_API farcall_code farcall_server_publish(farcall_server *server, const char *registry);

/* Accepts calls; blocks until stopped and drained, and the last handler has returned. The calling
 * thread runs handlers, too. */
FARCALL_API farcall_code farcall_server_listen(farcall_server *server);

/* Accepts calls on a thread of its own, or on the lent loop; returns at once. */
FARCALL_API farcall_code farcall_server_start(farcall_server *server);

/* After start: blocks until stopped and drained, and the last handler has returned. */
FARCALL_API farcall_code farcall_server_wait(farcall_server *server);

/* Stops accepting, sends GOAWAY in two steps, lets calls in flight end for `grace_ms`, then cancels
 * them. Never blocks. A later stop may shorten the grace. */
FARCALL_API void farcall_server_stop(farcall_server *server, uint64_t grace_ms);

/* Has stopped and drained; for lent loops, which have no wait. Any thread, once start has returned
 * or a handler has run. */
FARCALL_API bool farcall_server_stopped(const farcall_server *server);

/* Stops at once if it runs, waits for its own threads and so for its handlers, and frees. Pending
 * calls stay valid until they are completed. FAILED_PRECONDITION in the log, and nothing done,
 * inside one of its own handlers. */
FARCALL_API void farcall_server_free(farcall_server *server);

/* The first failure; FARCALL_OK and NONE if there is none. A step of set-up that comes too late is
 * one, though the server goes on. The thread that sets the server up; any other, once start has
 * returned or a handler has run. */
FARCALL_API farcall_code farcall_server_code(const farcall_server *server);
FARCALL_API farcall_cause farcall_server_cause(const farcall_server *server);

/* "bind localhost:27015: address in use"; "" if nothing has failed. Lives with the server. Threads
 * as above. */
FARCALL_API const char *farcall_server_error(const farcall_server *server);

FARCALL_END_DECLS

#endif
