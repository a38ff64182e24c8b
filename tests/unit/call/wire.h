/*
 * wire.h: protobuf's wire, written by hand: for messages that no packer would make.
 */
#ifndef FC_TEST_CALL_WIRE_H
#define FC_TEST_CALL_WIRE_H

#include "runtime/base/alloc.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

enum { W_VARINT, W_FIXED64, W_LENGTH, W_GROUP, W_GROUP_END, W_FIXED32 };

typedef struct wire {
	uint8_t *bytes;
	size_t size, room;
} wire;

static inline void
wire_raw(wire *to, const void *bytes, size_t size)
{
	if (to->size + size > to->room) {
		to->room = (to->size + size) * 2;
		to->bytes = (uint8_t *)fc_realloc(to->bytes, to->room);
		assert(to->bytes != NULL);
	}
	if (size != 0)
		memcpy(to->bytes + to->size, bytes, size);
	to->size += size;
}

static inline void
wire_byte(wire *to, int byte)
{
	uint8_t b = (uint8_t)byte;

	wire_raw(to, &b, 1);
}

static inline void
wire_varint(wire *to, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		wire_byte(to, (int)(value & 0x7f) | 0x80);
	wire_byte(to, (int)value);
}

static inline void
wire_key(wire *to, uint32_t number, int type)
{
	wire_varint(to, (uint64_t)number << 3 | (unsigned)type);
}

static inline void
wire_bytes(wire *to, uint32_t number, const void *bytes, size_t size)
{
	wire_key(to, number, W_LENGTH);
	wire_varint(to, size);
	wire_raw(to, bytes, size);
}

static inline void
wire_int(wire *to, uint32_t number, uint64_t value)
{
	wire_key(to, number, W_VARINT);
	wire_varint(to, value);
}

/* Wraps all that was written into field `number`. */
static inline void
wire_wrap(wire *to, uint32_t number)
{
	wire out = {0};

	wire_bytes(&out, number, to->bytes, to->size);
	fc_free(to->bytes);
	*to = out;
}

static inline void
wire_free(wire *to)
{
	fc_free(to->bytes);
	*to = (wire){0};
}

#endif
