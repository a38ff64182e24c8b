/*
 * unpack.h: the state of unpacking; for unpack*.c only.
 */
#ifndef FC_CALL_UNPACK_H
#define FC_CALL_UNPACK_H

#include "runtime/call/marshal.h"
#include "runtime/call/wire.h"

#define FC_ROUNDED(size) (((size_t)(size) + 15) & ~(size_t)15) /* as an arena does */

/* A message that is open: on the stack, a hundred of them at most. */
typedef struct fc_level {
	const ProtobufCMessageDescriptor *type;
	ProtobufCMessage *message;
	const uint8_t *end;
	unsigned depth;                      /* the outermost: 1 */
	unsigned expected;                   /* index of the field that came last, or follows it */
	uint64_t seen;                       /* required fields that came, of the first 64 */
	uint64_t *seen_more;                 /* the others, once one of them came */
	size_t unknown_room;                 /* entries in message->unknown_fields yet to be set */
	const struct fc_level *outer;        /* NULL: the outermost */
	const ProtobufCFieldDescriptor *via; /* the field of `outer` that holds it */
} fc_level;

#define FC_FREE_TYPES 8u

typedef struct fc_unpacker {
	const uint8_t *field; /* where the field under way begins */
	size_t memory_left, elements_left;
	fc_arena *arena;
	unsigned depth; /* of limits, capped */
	const uint8_t *start;
	size_t memory, elements; /* the limits */
	fc_error *error;
	farcall_code code; /* of the failure */

	/* types that are known to have no required field, by their addresses: looking for one goes
	 * through all fields, which a part of a few bytes must not cost again and again */
	const ProtobufCMessageDescriptor *free[FC_FREE_TYPES];
} fc_unpacker;

/* Memory for what `field` says (NULL: the message itself); NULL: said why. */
void *fc_unpack_take(
    fc_unpacker *u, const fc_level *level, const ProtobufCFieldDescriptor *field, size_t size);

/* Room for `n` more elements in *list, which holds `held`; gives where the first of them goes. */
uint8_t *fc_unpack_room(fc_unpacker *u, const fc_level *level,
    const ProtobufCFieldDescriptor *field, void *list, size_t held, size_t n, size_t element);

bool fc_unpack_count(
    fc_unpacker *u, const fc_level *level, const ProtobufCFieldDescriptor *field, size_t n);

const ProtobufCFieldDescriptor *fc_unpack_search(
    const ProtobufCMessageDescriptor *type, uint32_t number);

/* One message with all that it holds, into *message: a new one, or merged into what is there. */
bool fc_unpack_message(fc_unpacker *u, const fc_level *outer, const ProtobufCFieldDescriptor *via,
    const uint8_t *at, const uint8_t *end, ProtobufCMessage **message);

/* Fields, from their values' first byte; give what follows, or NULL. */
const uint8_t *fc_unpack_value(fc_unpacker *u, const fc_level *level,
    const ProtobufCFieldDescriptor *field, const uint8_t *at, void *to);
const uint8_t *fc_unpack_list(fc_unpacker *u, const fc_level *level,
    const ProtobufCFieldDescriptor *field, unsigned wire, const uint8_t *at);
const uint8_t *fc_unpack_unknown(fc_unpacker *u, fc_level *level, uint32_t key, const uint8_t *at);

/* ---- what is said; all of these give NULL ---- */

/* "demo.Tree.child.name: …": sets error and code. `field` may be NULL: the message itself. */
const uint8_t *fc_unpack_bad(fc_unpacker *u, const fc_level *level,
    const ProtobufCFieldDescriptor *field, const char *format, ...) FARCALL_PRINTF(4, 5);

/* The same for what is no error of form but too much. */
const uint8_t *fc_unpack_limit(fc_unpacker *u, const fc_level *level,
    const ProtobufCFieldDescriptor *field, const char *format, ...) FARCALL_PRINTF(4, 5);

/* What is wrong with the key at u->field; with a value of this wire type at `at`. */
const uint8_t *fc_unpack_bad_key(fc_unpacker *u, const fc_level *level);
const uint8_t *fc_unpack_bad_value(fc_unpacker *u, const fc_level *level,
    const ProtobufCFieldDescriptor *field, unsigned wire, const uint8_t *at);

/* Another wire type than the field's. */
const uint8_t *fc_unpack_bad_wire(
    fc_unpacker *u, const fc_level *level, const ProtobufCFieldDescriptor *field, unsigned wire);

/* The arena gave no memory, or has no more. */
const uint8_t *fc_unpack_no_memory(fc_unpacker *u, const fc_level *level);

static inline size_t
fc_unpack_offset(const fc_unpacker *u)
{
	return (size_t)(u->field - u->start);
}

#endif
