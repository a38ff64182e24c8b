/*
 * marshal.h: messages to bytes and back, into and out of protobuf-c's structs by its descriptors,
 * in code of our own (decision 4). One pass checks the bytes and fills the message, within limits
 * of depth, elements and memory.
 *
 * What is accepted is what protobuf-c (1.4 to 1.5) would unpack, to the same message. Stricter on
 * purpose:
 *   - a string that is not UTF-8 or holds a NUL; deeper than the limit; past a budget;
 *   - field number 0 in a longer form, and numbers past 2^29 - 1 (protobuf-c shifts into the sign);
 *   - a bool of another wire type than varint (protobuf-c does not look; for all other types it
 *     refuses as we do; other runtimes would take such a field for an unknown one).
 * Wider on purpose: unknown groups, which protobuf-c refuses, are passed over and not kept; a
 * packed list of no element, where it adds to a null pointer.
 *
 * Other on purpose: a singular submessage that is given twice is merged as protobuf's rules say, in
 * a oneof too if no other member came between. protobuf-c loses proto3 scalars, strings of a oneof
 * and unknown fields when it merges, fails on a oneof that is unset, and replaces in a oneof. As
 * with protobuf-c, a required field must be there in each part.
 */
#ifndef FC_CALL_MARSHAL_H
#define FC_CALL_MARSHAL_H

#include "runtime/base/arena.h"
#include "runtime/base/error.h"
#include "runtime/protocol/protocol.h"

#include <protobuf-c/protobuf-c.h>

#define FC_MARSHAL_DEPTH 100 /* no limit may be set higher */

typedef struct fc_guard_limits {
	unsigned depth;  /* nested messages, the outermost counted as 1; default 100 */
	size_t elements; /* fields, list elements and the message itself, in all */
	size_t memory;   /* bytes that are taken of the arena, each piece rounded up to 16 */
} fc_guard_limits;

extern const fc_guard_limits fc_guard_defaults;

/* Unpacks into `arena`; *message lives with it. INVALID_ARGUMENT … or RESOURCE_EXHAUSTED (cause
 * LIMIT) with what was wrong and where: "demo.HelloRequest.name: not UTF-8 at byte 17". What is
 * left in the arena bounds the memory too. `bytes` is not NULL, even for none. */
farcall_code fc_unpack(const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes,
    size_t size, const fc_guard_limits *limits, fc_arena *arena, ProtobufCMessage **message,
    fc_error *error);

/* A payload that packs `message`, which must stand unchanged until it has been sent; the bytes are
 * those of protobuf_c_message_pack(). false: nested deeper than 100, perhaps within itself; the
 * payload must not be used. */
bool fc_payload_of_message(fc_payload *payload, const ProtobufCMessage *message);

/* A payload of bytes that are packed already. */
void fc_payload_of_bytes(fc_payload *payload, const fc_text *bytes);

#endif
