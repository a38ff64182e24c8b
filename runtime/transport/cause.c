/*
 * cause.c: one table from the numbers of the operating system to codes, causes and texts. The
 * names are those of POSIX; Winsock has its own numbers for the upper part and lacks the lower.
 */
#include "runtime/transport/cause.h"

#include "runtime/base/bytes.h"
#include "runtime/transport/sock.h"

#include <stdio.h>
#include <string.h>

/* X(name, code, cause, text or NULL: that of the cause) */
#define NET_ERRORS(X)                                                                       \
	X(ECONNREFUSED, UNAVAILABLE, CONNECTION_REFUSED, NULL)                              \
	X(ECONNRESET, UNAVAILABLE, CONNECTION_RESET, NULL)                                  \
	X(ECONNABORTED, UNAVAILABLE, CONNECTION_LOST, "connection aborted")                 \
	X(ENOTCONN, UNAVAILABLE, CONNECTION_LOST, "not connected")                          \
	X(ESHUTDOWN, UNAVAILABLE, CONNECTION_LOST, "shut down for sending")                 \
	X(ETIMEDOUT, UNAVAILABLE, TIMED_OUT, NULL)                                          \
	X(ENETUNREACH, UNAVAILABLE, NETWORK_UNREACHABLE, NULL)                              \
	X(ENETDOWN, UNAVAILABLE, NETWORK_UNREACHABLE, "network is down")                    \
	X(ENETRESET, UNAVAILABLE, CONNECTION_LOST, "network dropped the connection")        \
	X(EHOSTUNREACH, UNAVAILABLE, HOST_UNREACHABLE, NULL)                                \
	X(EHOSTDOWN, UNAVAILABLE, HOST_UNREACHABLE, "host is down")                         \
	X(EADDRINUSE, ALREADY_EXISTS, ADDRESS_IN_USE, NULL)                                 \
	X(EADDRNOTAVAIL, UNAVAILABLE, ADDRESS_NOT_AVAILABLE, NULL)                          \
	X(EAFNOSUPPORT, UNAVAILABLE, ADDRESS_NOT_AVAILABLE, "address family not supported") \
	X(EPROTONOSUPPORT, UNAVAILABLE, ADDRESS_NOT_AVAILABLE, "protocol not supported")    \
	X(EACCES, PERMISSION_DENIED, ACCESS_DENIED, NULL)                                   \
	X(EMFILE, RESOURCE_EXHAUSTED, TOO_MANY_FILES, NULL)                                 \
	X(ENOBUFS, RESOURCE_EXHAUSTED, OUT_OF_MEMORY, NULL)                                 \
	X(EBADF, FAILED_PRECONDITION, SYSTEM, "not an open descriptor")                     \
	X(ENOTSOCK, FAILED_PRECONDITION, SYSTEM, "not a socket")

#define POSIX_ERRORS(X)                                                                    \
	X(EPIPE, UNAVAILABLE, CONNECTION_LOST, NULL)                                       \
	X(EPERM, PERMISSION_DENIED, ACCESS_DENIED, NULL)                                   \
	X(ENFILE, RESOURCE_EXHAUSTED, TOO_MANY_FILES, "too many open files in the system") \
	X(ENOMEM, RESOURCE_EXHAUSTED, OUT_OF_MEMORY, NULL)                                 \
	X(EAGAIN, UNAVAILABLE, CONNECTION_REFUSED, "too many connections wait there")      \
	X(ENOENT, NOT_FOUND, ADDRESS_NOT_AVAILABLE, "no such file or directory")           \
	X(ENOTDIR, NOT_FOUND, ADDRESS_NOT_AVAILABLE, "not a directory")                    \
	X(EROFS, PERMISSION_DENIED, ACCESS_DENIED, "read-only file system")                \
	X(ELOOP, INVALID_ARGUMENT, BAD_ADDRESS, "too many symbolic links")                 \
	X(ENAMETOOLONG, INVALID_ARGUMENT, BAD_ADDRESS, "path is too long")                 \
	X(EPROTOTYPE, FAILED_PRECONDITION, ADDRESS_NOT_AVAILABLE, "not a stream socket")

typedef struct entry {
	int number;
	farcall_code code;
	farcall_cause cause;
	const char *text;
} entry;

#ifdef _WIN32
#define ENTRY(name, code, cause, text) {WSA##name, FARCALL_##code, FARCALL_CAUSE_##cause, text},
#else
#define ENTRY(name, code, cause, text) {name, FARCALL_##code, FARCALL_CAUSE_##cause, text},
#endif

static const entry entries[] = {NET_ERRORS(ENTRY)
#ifndef _WIN32
        POSIX_ERRORS(ENTRY)
#endif
};

static const entry *
find(int number)
{
	static const entry other = {0, FARCALL_INTERNAL, FARCALL_CAUSE_SYSTEM, NULL};

	for (size_t i = 0; i < FC_COUNT(entries); i++)
		if (entries[i].number == number)
			return &entries[i];
	return &other;
}

static farcall_code
fail(fc_error *error, farcall_code code, const entry *e, int number, const char *format,
    va_list arguments)
{
	char what[FC_ERROR_TEXT];

	if (vsnprintf(what, sizeof what, format, arguments) < 0)
		what[0] = 0;
	if (e->number == 0)
		return fc_fail(
		    error, code, e->cause, "%s: %s %d", what, fc_cause_text(e->cause), number);
	return fc_fail(error, code, e->cause, "%s: %s", what,
	    e->text != NULL ? e->text : fc_cause_text(e->cause));
}

farcall_code
fc_fail_number(fc_error *error, int number, const char *format, ...)
{
	const entry *e = find(number);
	farcall_code rc;
	va_list arguments;

	va_start(arguments, format);
	rc = fail(error, e->code, e, number, format, arguments);
	va_end(arguments);
	return rc;
}

farcall_code
fc_fail_lost(fc_error *error, int number, const char *format, ...)
{
	const entry *e = find(number);
	farcall_code rc;
	va_list arguments;

	rc = e->code == FARCALL_RESOURCE_EXHAUSTED ? e->code : FARCALL_UNAVAILABLE;
	va_start(arguments, format);
	rc = fail(error, rc, e, number, format, arguments);
	va_end(arguments);
	return rc;
}

farcall_code
fc_fail_lookup(fc_error *error, int number, const char *name)
{
	switch (number) {
	case UV_EAI_NONAME:
	case UV_EAI_NODATA:
	case UV_EAI_ADDRFAMILY:
	case UV_ENOENT:
		return fc_fail(error, FARCALL_UNAVAILABLE, FARCALL_CAUSE_HOST_NOT_FOUND,
		    "look up %s: %s", name, fc_cause_text(FARCALL_CAUSE_HOST_NOT_FOUND));
	case UV_EAI_AGAIN:
		return fc_fail(error, FARCALL_UNAVAILABLE, FARCALL_CAUSE_HOST_NOT_FOUND,
		    "look up %s: the name server does not answer", name);
	case UV_EAI_MEMORY:
	case UV_ENOMEM:
		return fc_fail_memory(error, "look-up of a host");
	default:
		return fc_fail(error, FARCALL_UNAVAILABLE, FARCALL_CAUSE_SYSTEM,
		    "look up %s: system error %d", name, number);
	}
}

const char *
fc_reason_behind(const char *text, const char *address)
{
	bool named = strncmp(text, address, strcspn(address, ":") + 1) == 0 ||
	    strncmp(text, "bind", 4) == 0 || strncmp(text, "listen ", 7) == 0;

	for (const char *at = text; named && (at = strstr(at, ": ")) != NULL;)
		text = at += 2;
	return text;
}

bool
fc_number_is_again(int number)
{
#ifndef _WIN32
	if (number == EAGAIN)
		return true;
#endif
	return number == FC_E(EWOULDBLOCK);
}

bool
fc_number_is_exhausted(int number)
{
	return find(number)->code == FARCALL_RESOURCE_EXHAUSTED;
}

bool
fc_number_is_of_peer(int number)
{
	return find(number)->code == FARCALL_UNAVAILABLE && !fc_number_is_again(number);
}

bool
fc_number_is_no_family(int number)
{
	return number == FC_E(EAFNOSUPPORT) || number == FC_E(EADDRNOTAVAIL) ||
	    number == FC_E(EPROTONOSUPPORT);
}
