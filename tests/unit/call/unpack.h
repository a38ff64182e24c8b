/*
 * unpack.h: one message through fc_unpack(), and what came of it.
 */
#ifndef FC_TEST_CALL_UNPACK_H
#define FC_TEST_CALL_UNPACK_H

#include "tests/support/test.h"

#include "runtime/call/marshal.h"
#include "tests/unit/call/guard_test.pb-c.h"
#include "tests/unit/call/guard_test2.pb-c.h"
#include "tests/unit/call/wire.h"

#include <stdio.h>
#include <stdlib.h>

#define BYTES(literal) literal, sizeof(literal) - 1

#define GENEROUS ((size_t)1 << 40)

static const fc_guard_limits generous = {100, GENEROUS, GENEROUS};

typedef struct outcome {
	fc_arena arena;
	fc_error error;
	farcall_code code;
	ProtobufCMessage *message;
} outcome;

/* finish() ends it. */
static inline outcome *
unpack_limited(const ProtobufCMessageDescriptor *type, const void *bytes, size_t size,
    const fc_guard_limits *limits, size_t most)
{
	static outcome o;
	uint8_t *exact = (uint8_t *)malloc(size + (size == 0)); /* so that overruns are seen */

	assert_non_null(exact);
	if (size != 0)
		memcpy(exact, bytes, size);
	memset(&o, 0, sizeof o);
	fc_arena_init(&o.arena, NULL, most, NULL, 0);
	o.code = fc_unpack(type, exact, size, limits, &o.arena, &o.message, &o.error);
	free(exact);
	assert_int_equal(o.code, o.error.code);
	assert_true((o.code == FARCALL_OK) == (o.message != NULL));
	return &o;
}

static inline outcome *
unpack(const ProtobufCMessageDescriptor *type, const void *bytes, size_t size)
{
	return unpack_limited(type, bytes, size, &generous, GENEROUS);
}

static inline void
finish(outcome *o)
{
	fc_arena_reset(&o->arena);
}

static inline void
expect(outcome *o, farcall_code code, const char *text)
{
	if (o->code != code || (text != NULL && strcmp(o->error.text, text) != 0))
		fprintf(stderr, "%s: %s\n", farcall_code_name(o->code), o->error.text);
	assert_int_equal(o->code, code);
	if (text != NULL)
		assert_string_equal(o->error.text, text);
	finish(o);
}

#endif
