/*
 * farcall/code.h: one vocabulary of outcomes, for setup and for calls.
 *
 * A code is gRPC's (doc/statuscodes.md of grpc/grpc); it crosses the wire as `grpc-status`. A cause
 * says why, portably, where the code alone is too coarse to act on; it never crosses the wire.
 */
#ifndef FARCALL_CODE_H
#define FARCALL_CODE_H

#include <farcall/api.h>

FARCALL_BEGIN_DECLS

/* X(name, number) */
#define FARCALL_CODES(X)          \
	X(OK, 0)                  \
	X(CANCELLED, 1)           \
	X(UNKNOWN, 2)             \
	X(INVALID_ARGUMENT, 3)    \
	X(DEADLINE_EXCEEDED, 4)   \
	X(NOT_FOUND, 5)           \
	X(ALREADY_EXISTS, 6)      \
	X(PERMISSION_DENIED, 7)   \
	X(RESOURCE_EXHAUSTED, 8)  \
	X(FAILED_PRECONDITION, 9) \
	X(ABORTED, 10)            \
	X(OUT_OF_RANGE, 11)       \
	X(UNIMPLEMENTED, 12)      \
	X(INTERNAL, 13)           \
	X(UNAVAILABLE, 14)        \
	X(DATA_LOSS, 15)          \
	X(UNAUTHENTICATED, 16)

/* The two negative codes never cross the wire. */
typedef enum farcall_code {
	FARCALL_PENDING = -2, /* a handler: farcall_call_complete() will end this call later */
	FARCALL_END = -1,     /* recv: the peer has sent its last message */
#define FARCALL_CODE_X(name, number) FARCALL_##name = number,
	FARCALL_CODES(FARCALL_CODE_X)
#undef FARCALL_CODE_X
} farcall_code;

/* X(name, text): the text is what stands in error messages. The list grows at its end. */
#define FARCALL_CAUSES(X)                                        \
	X(NONE, "")                                              \
	X(BAD_ADDRESS, "bad address")                            \
	X(HOST_NOT_FOUND, "host not found")                      \
	X(ADDRESS_IN_USE, "address in use")                      \
	X(ADDRESS_NOT_AVAILABLE, "address not available")        \
	X(ACCESS_DENIED, "access denied")                        \
	X(CONNECTION_REFUSED, "connection refused")              \
	X(CONNECTION_RESET, "connection reset by peer")          \
	X(CONNECTION_LOST, "connection lost")                    \
	X(NETWORK_UNREACHABLE, "network unreachable")            \
	X(HOST_UNREACHABLE, "host unreachable")                  \
	X(TIMED_OUT, "timed out")                                \
	X(PROTOCOL, "protocol error")                            \
	X(TOO_LARGE, "too large")                                \
	X(LIMIT, "limit reached")                                \
	X(OUT_OF_MEMORY, "out of memory")                        \
	X(TOO_MANY_FILES, "too many open files")                 \
	X(SHUTDOWN, "shut down")                                 \
	X(INSECURE, "insecure")                                  \
	X(CERT_EXPIRED, "certificate expired")                   \
	X(CERT_UNTRUSTED, "certificate not trusted")             \
	X(CERT_NAME_MISMATCH, "certificate is for another name") \
	X(CERT_REQUIRED, "certificate required")                 \
	X(NO_ALPN, "no common application protocol")             \
	X(SYSTEM, "system error")

typedef enum farcall_cause {
#define FARCALL_CAUSE_X(name, text) FARCALL_CAUSE_##name,
	FARCALL_CAUSES(FARCALL_CAUSE_X)
#undef FARCALL_CAUSE_X
} farcall_cause;

/* "NOT_FOUND"; "UNKNOWN" for a number that is no code. Static text; any thread. */
FARCALL_API const char *farcall_code_name(farcall_code code);

/* "CONNECTION_REFUSED"; "NONE" for a number that is no cause. Static text; any thread. */
FARCALL_API const char *farcall_cause_name(farcall_cause cause);

FARCALL_END_DECLS

#endif
