/*
 * guard_walk.h: the state of the guard's walk; for guard.c and guard_text.c only.
 */
#ifndef FC_CALL_GUARD_WALK_H
#define FC_CALL_GUARD_WALK_H

#include "runtime/call/guard.h"

/* A message that is open. */
typedef struct fc_guard_level {
	const ProtobufCMessageDescriptor *type;
	const ProtobufCFieldDescriptor *via; /* the field that holds it; NULL: the outermost */
	const uint8_t *end;
	const uint8_t *prefix; /* its length on the wire */
	uint64_t *seen;        /* a bit for each field that came */
	uint64_t few;          /* these bits, where 64 are enough */
	uint64_t *many;        /* else these, kept for the next message at this depth */
	size_t many_words;
	size_t dropped;    /* walk.dropped when it was opened */
	unsigned expected; /* index of the field that came last, or follows it */
	uint32_t slab;     /* entries in protobuf-c's table of this message's fields, newest part */
	uint32_t slab_left;
	bool unknown; /* an unknown field came */
} fc_guard_level;

typedef struct fc_guard_walk {
	const uint8_t *at;
	const uint8_t *field; /* where the field under way begins */
	fc_guard_level *top;
	size_t memory_left, elements_left;
	const uint8_t *start, *end;
	unsigned depth;   /* of limits, capped */
	unsigned deepest; /* levels that have been used */
	size_t memory, elements;

	/* the copy that leaves things out; NULL: nothing was left out yet */
	uint8_t *copy;
	const uint8_t *copied; /* what stands before is copied or left out */
	size_t dropped;        /* bytes left out */

	fc_arena *arena;
	fc_error *error;
	farcall_code code;
	fc_guard_level levels[FC_GUARD_DEPTH];
} fc_guard_walk;

/* "demo.Tree.child.name: …": sets error and code, answers false. `field` may be NULL: the message
 * at the top itself. */
bool fc_guard_bad(fc_guard_walk *walk, const ProtobufCFieldDescriptor *field, const char *format,
    ...) FARCALL_PRINTF(3, 4);

/* The same for what is no error of form but too much. */
bool fc_guard_limit(fc_guard_walk *walk, const ProtobufCFieldDescriptor *field, const char *format,
    ...) FARCALL_PRINTF(3, 4);

/* The arena gave no memory. */
bool fc_guard_no_memory(fc_guard_walk *walk);

#endif
