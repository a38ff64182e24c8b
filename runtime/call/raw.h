/*
 * raw.h: messages that are bytes. To whoever moves messages they are messages: only marshalling,
 * which asks for them where it has no field to go through, knows the difference.
 */
#ifndef FC_CALL_RAW_H
#define FC_CALL_RAW_H

#include "runtime/call/call.h"
#include "runtime/call/marshal.h"

#include <farcall/raw.h>

#define FC_RAW_PATH 4096u /* bytes of a path that a program gives */

/* fc_payload_of_message() of a message without fields. true: it is a farcall_bytes. */
bool fc_raw_payload(fc_payload *payload, const ProtobufCMessage *message);

/* fc_unpack() into a farcall_bytes. */
farcall_code fc_raw_unpack(const uint8_t *bytes, size_t size, const fc_guard_limits *limits,
    fc_arena *arena, ProtobufCMessage **message, fc_error *error);

/* A raw method at `path`, in the call's memory. NULL: no memory. */
farcall_method *fc_raw_method(
    farcall_call *call, const char *path, size_t size, farcall_shape shape);

/* Gives a farcall_raw_done what a farcall_done would be given. */
farcall_thunk fc_raw_thunk;

/* "/pkg.Service/Method", in form. */
farcall_code fc_raw_check_path(const char *path, fc_error *error);

#endif
