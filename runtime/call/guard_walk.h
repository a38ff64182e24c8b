/*
 * guard_walk.h: the state of the guard's walk; for guard*.c only.
 */
#ifndef FC_CALL_GUARD_WALK_H
#define FC_CALL_GUARD_WALK_H

#include "runtime/call/guard.h"

enum { VARINT, FIXED64, LENGTH, GROUP, GROUP_END, FIXED32 };

#define SLAB_FIRST 16u /* entries in protobuf-c's table of fields that it has on its stack */
#define MAX_VARINT_BYTES 10
#define ROUNDED(size) (((size_t)(size) + 15) & ~(size_t)15) /* as an arena does */

/* By protobuf-c's type: what the wire must look like, and an element's size in a list. */
typedef struct fc_guard_rule {
	uint8_t wire, element;
	bool packable;
} fc_guard_rule;

extern const fc_guard_rule fc_guard_rules[];

static inline size_t
fc_guard_room(const fc_arena *arena)
{
	return arena->most - arena->used + (size_t)(arena->end - arena->at);
}

/* fc_guard() without its short cut. */
farcall_code fc_guard_message(const ProtobufCMessageDescriptor *descriptor, const uint8_t *bytes,
    size_t size, const fc_guard_limits *limits, fc_arena *arena, fc_guarded *guarded,
    fc_error *error);

/* A message that is open. */
typedef struct fc_guard_level {
	const ProtobufCMessageDescriptor *type;
	const ProtobufCFieldDescriptor *via; /* the field that holds it; NULL: the outermost */
	const uint8_t *end;
	const uint8_t *prefix; /* its length on the wire */
	uint64_t *seen;        /* a bit for each field that came */
	uint64_t few;          /* these bits, where 64 are enough; else walk.bits has them */
	size_t dropped;        /* walk.dropped when it was opened */
	unsigned expected;     /* index of the field that came last, or follows it */
	uint32_t slab; /* entries in protobuf-c's table of this message's fields, newest part */
	uint32_t slab_left;
	bool unknown; /* an unknown field came */
} fc_guard_level;

typedef struct fc_guard_bits {
	uint64_t *words;
	size_t n;
} fc_guard_bits;

typedef struct fc_guard_walk {
	const uint8_t *at;
	const uint8_t *field; /* where the field under way begins */
	fc_guard_level *top;
	size_t memory_left, elements_left;
	const uint8_t *start, *end;
	unsigned depth; /* of limits, capped */
	size_t memory, elements;
	fc_guard_bits *bits; /* by level; NULL: no message of more than 64 fields came yet */

	/* the copy that leaves things out; NULL: nothing was left out yet */
	uint8_t *copy;
	const uint8_t *copied; /* what stands before is copied or left out */
	size_t dropped;        /* bytes left out */

	fc_arena *arena;
	fc_error *error;
	farcall_code code;
	fc_guard_level levels[FC_GUARD_DEPTH];
} fc_guard_walk;

/* "demo.Tree.child.name: …": sets error and code. `field` may be NULL: the message at the top
 * itself. */
void fc_guard_say_bad(fc_guard_walk *walk, const ProtobufCFieldDescriptor *field,
    const char *format, ...) FARCALL_PRINTF(3, 4);

/* The same for what is no error of form but too much. */
void fc_guard_say_limit(fc_guard_walk *walk, const ProtobufCFieldDescriptor *field,
    const char *format, ...) FARCALL_PRINTF(3, 4);

/* The arena gave no memory. */
void fc_guard_say_no_memory(fc_guard_walk *walk);

/* The same as values, so that the compiler sees them to be false. */
#define fc_guard_bad(...) (fc_guard_say_bad(__VA_ARGS__), false)
#define fc_guard_limit(...) (fc_guard_say_limit(__VA_ARGS__), false)
#define fc_guard_no_memory(walk) (fc_guard_say_no_memory(walk), false)

#endif
