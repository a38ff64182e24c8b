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

/* Bytes of one header list received; more is RESOURCE_EXHAUSTED. Default 16 KiB; 1 KiB to 1 MiB. */
FARCALL_API void farcall_channel_set_max_metadata(farcall_channel *channel, size_t bytes);

/* A blocking call polls this long before it sleeps. Microseconds, default 0, at most 10,000. */
FARCALL_API void farcall_channel_set_spin_us(farcall_channel *channel, unsigned us);

typedef enum farcall_state {
	FARCALL_IDLE,
	FARCALL_CONNECTING,
	FARCALL_READY,
	FARCALL_TRANSIENT_FAILURE,
	FARCALL_SHUTDOWN
} farcall_state;

/* As last seen; connects nothing. Any thread. */
FARCALL_API farcall_state farcall_channel_state(const farcall_channel *channel);

/* Connects, if it must, and waits: OK, or DEADLINE_EXCEEDED with the last failure's text, which
 * farcall_channel_error() then shows until the next wait. Its calls are not failed by it. */
FARCALL_API farcall_code farcall_channel_wait_ready(farcall_channel *channel, uint64_t timeout_ms);

/* Cancels what is in flight and lets go; may be called in a callback. Never blocks. */
FARCALL_API void farcall_channel_close(farcall_channel *channel);

/* The first failure of set-up, which every call answers too; else that of the last wait: OK, NONE
 * and "" if there is none. The text lives with the channel. */
FARCALL_API farcall_code farcall_channel_code(const farcall_channel *channel);
FARCALL_API farcall_cause farcall_channel_cause(const farcall_channel *channel);
FARCALL_API const char *farcall_channel_error(const farcall_channel *channel);

FARCALL_END_DECLS

#endif
