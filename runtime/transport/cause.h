/*
 * cause.h: numbers of the operating system's errors, made codes, causes and texts.
 */
#ifndef FC_TRANSPORT_CAUSE_H
#define FC_TRANSPORT_CAUSE_H

#include "runtime/base/error.h"

/* "what: address in use"; `number` is errno or WSAGetLastError(). Answers the code. */
farcall_code fc_fail_number(fc_error *error, int number, const char *format, ...)
    FARCALL_PRINTF(3, 4);

/* The same for a connection that could not be made or is gone: UNAVAILABLE, unless something of our
 * own has run out. */
farcall_code fc_fail_lost(fc_error *error, int number, const char *format, ...)
    FARCALL_PRINTF(3, 4);

/* The same for a look-up; `number` is UV_EAI_… or another of libuv's. */
farcall_code fc_fail_lookup(fc_error *error, int number, const char *name);

/* Behind "bind 127.0.0.1:80: " or "fd:3: ", for whoever has named that address already. */
const char *fc_reason_behind(const char *text, const char *address);

bool fc_number_is_again(int number);     /* not now: it would block */
bool fc_number_is_of_peer(int number);   /* one connection failed, not the socket that accepts */
bool fc_number_is_exhausted(int number); /* descriptors or memory have run out */
bool fc_number_is_no_family(int number); /* the address family, or the address, is not there */

#endif
