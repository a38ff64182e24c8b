/*
 * oracle.h: protobuf-c as judge of our marshalling. Each of these ends the program if the two
 * differ.
 */
#ifndef FC_TEST_CALL_ORACLE_H
#define FC_TEST_CALL_ORACLE_H

#include "tests/unit/call/wire.h"

#include <protobuf-c/protobuf-c.h>

#include <stdbool.h>

/* Does protobuf-c unpack these bytes? */
bool oracle_takes(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t size);

/* The message in a form that protobuf-c understands rightly: without groups and packed lists of
 * nothing, and each singular submessage once, its parts one behind the other: which is what merging
 * means. For bytes that fc_unpack() accepts. */
void oracle_normal(
    const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t size, wire *to);

/* `ours` was unpacked from these bytes: it must equal, field by field, what protobuf-c unpacks from
 * their normal form, and pack to the same bytes. */
void oracle_unpacked(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t size,
    const ProtobufCMessage *ours);

/* Packs it, in one piece and poured, and compares. */
void oracle_pack(const ProtobufCMessage *message);

#endif
