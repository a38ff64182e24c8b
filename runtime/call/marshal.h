/*
 * marshal.h: messages to bytes and back. No message of a peer reaches protobuf-c's unpack
 * unguarded: it has no limit of depth, amplifies 4 MiB of wire to 400 MB, and takes any bytes for a
 * string.
 */
#ifndef FC_CALL_MARSHAL_H
#define FC_CALL_MARSHAL_H

#include "runtime/base/arena.h"
#include "runtime/base/error.h"
#include "runtime/protocol/protocol.h"

#include <protobuf-c/protobuf-c.h>

typedef struct fc_guard_limits {
	unsigned depth;  /* nested messages, the outermost counted as 1; default 100 */
	size_t elements; /* fields, list elements and messages, in all */
	size_t memory;   /* bytes that unpacking will take, by the descriptors' sizes */
} fc_guard_limits;

extern const fc_guard_limits fc_guard_defaults;

/* Unpacks into `arena`; *message lives with it. INVALID_ARGUMENT … or RESOURCE_EXHAUSTED (cause
 * LIMIT) with what was wrong and where: "demo.HelloRequest.name: not UTF-8, byte 17". */
farcall_code fc_unpack(const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes,
    size_t size, const fc_guard_limits *limits, fc_arena *arena, ProtobufCMessage **message,
    fc_error *error);

/* A payload that packs `message`, which must stand unchanged until it has been sent. */
void fc_payload_of_message(fc_payload *payload, const ProtobufCMessage *message);

/* A payload of bytes that are packed already. */
void fc_payload_of_bytes(fc_payload *payload, const fc_text *bytes);

/* Allocator of protobuf-c over an arena. */
void fc_arena_allocator(fc_arena *arena, ProtobufCAllocator *allocator);

#endif
