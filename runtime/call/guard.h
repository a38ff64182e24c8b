/*
 * guard.h: judges the bytes of a message before protobuf-c sees them. protobuf-c's unpack recurses
 * without limit, takes up to a hundred times the memory of the wire, and takes any bytes for a
 * string; so what passes here has a known depth, a known cost, and holds text where text is said.
 *
 * Never looser than protobuf-c (1.4 to 1.5): what is accepted, it unpacks. Stricter on purpose:
 *   - a string that is not UTF-8 or holds a NUL; deeper than the limit; past a budget;
 *   - field number 0 in a longer form, and numbers past 2^29 - 1 (protobuf-c shifts into the sign);
 *   - a bool of another wire type than varint (protobuf-c does not look; for all other types it
 *     refuses as we do; other runtimes would take such a field for an unknown one);
 *   - a singular submessage that is given twice: the rule is to merge the two, and protobuf-c
 *     loses scalars when it does, fails on an unset oneof, and takes quadratic time and memory.
 * Wider on purpose, by handing protobuf-c a copy without them: unknown groups, which it refuses,
 * and packed lists of no element, where it adds to a null pointer.
 */
#ifndef FC_CALL_GUARD_H
#define FC_CALL_GUARD_H

#include "runtime/call/marshal.h"

#define FC_GUARD_DEPTH 100 /* no limit may be set higher */

/* What the guard found out. */
typedef struct fc_guarded {
	const uint8_t *bytes; /* to be unpacked: those given, or a copy in the arena */
	size_t size;
	size_t memory;   /* that the arena gives at most: unpacked, and for the guard itself */
	size_t elements; /* fields, list elements and messages */
} fc_guarded;

/* Errors as fc_unpack(). The arena serves for rare needs only (a copy, messages of more than 64
 * fields); what is left in it also bounds the memory. */
farcall_code fc_guard(const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes,
    size_t size, const fc_guard_limits *limits, fc_arena *arena, fc_guarded *guarded,
    fc_error *error);

#endif
