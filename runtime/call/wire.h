/*
 * wire.h: protobuf's wire: keys, varints, lengths, and what each type of protobuf-c's looks like
 * there. Readers take the first byte and the end and give what follows, or NULL for bytes that are
 * wrong: what is wrong with them is found out afterwards, by whoever must say it.
 */
#ifndef FC_CALL_WIRE_H
#define FC_CALL_WIRE_H

#include "runtime/base/bytes.h"

#include <farcall/api.h>
#include <protobuf-c/protobuf-c.h>

#include <stdbool.h>

enum {
	FC_WIRE_VARINT,
	FC_WIRE_FIXED64,
	FC_WIRE_LENGTH,
	FC_WIRE_GROUP,
	FC_WIRE_GROUP_END,
	FC_WIRE_FIXED32
};

#define FC_WIRE_MAX_VARINT 10 /* bytes */
#define FC_WIRE_MAX_KEY 5     /* of a field's number and wire type, and of a length */

/* By protobuf-c's type: its wire type, and an element's size in a list. */
typedef struct fc_wire_rule {
	uint8_t wire, element;
	bool packable;
} fc_wire_rule;

extern const fc_wire_rule fc_wire_rules[];

/* The slow paths of what follows. */
const uint8_t *fc_wire_long_varint(const uint8_t *at, const uint8_t *end, uint64_t *value);
const uint8_t *fc_wire_long_key(const uint8_t *at, const uint8_t *end, uint32_t *key);
const uint8_t *fc_wire_long_length(const uint8_t *at, const uint8_t *end, size_t *size);

static inline const uint8_t *
fc_wire_varint(const uint8_t *at, const uint8_t *end, uint64_t *value)
{
	if (FARCALL_UNLIKELY(at == end || *at >= 0x80))
		return fc_wire_long_varint(at, end, value);
	*value = *at;
	return at + 1;
}

/* There is a first byte. Refuses number 0, and numbers past 2^29 - 1. */
static inline const uint8_t *
fc_wire_key(const uint8_t *at, const uint8_t *end, uint32_t *key)
{
	if (FARCALL_UNLIKELY(*at >= 0x80 || *at < 8))
		return fc_wire_long_key(at, end, key);
	*key = *at;
	return at + 1;
}

/* Gives the first byte of the contents, all of which stand before the end. */
static inline const uint8_t *
fc_wire_length(const uint8_t *at, const uint8_t *end, size_t *size)
{
	if (FARCALL_UNLIKELY(at == end || *at >= 0x80))
		return fc_wire_long_length(at, end, size);
	*size = *at++;
	return FARCALL_LIKELY(*size <= (size_t)(end - at)) ? at : NULL;
}

/* Passes over a value; NULL also for groups. */
const uint8_t *fc_wire_pass(const uint8_t *at, const uint8_t *end, unsigned wire);

/* What is small is copied in line, by halves that may overlap. */
static inline bool
fc_wire_is_small(size_t size)
{
	return size - 8 <= 64 - 8;
}

static inline void
fc_wire_copy_small(uint8_t *to, const uint8_t *from, size_t size)
{
	if (size >= 32) {
		memcpy(to, from, 32);
		memcpy(to + size - 32, from + size - 32, 32);
	} else if (size >= 16) {
		memcpy(to, from, 16);
		memcpy(to + size - 16, from + size - 16, 16);
	} else {
		memcpy(to, from, 8);
		memcpy(to + size - 8, from + size - 8, 8);
	}
}

static inline void
fc_wire_copy(uint8_t *to, const uint8_t *from, size_t size)
{
	if (FARCALL_LIKELY(fc_wire_is_small(size)))
		fc_wire_copy_small(to, from, size);
	else
		memcpy(to, from, size); /* NOLINT(clang-analyzer-core.NonNullParamChecker) */
}

/* ---- numbers of fixed size, least byte first ---- */

static inline uint32_t
fc_wire_get32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t
fc_wire_get64(const uint8_t *p)
{
	return (uint64_t)fc_wire_get32(p + 4) << 32 | fc_wire_get32(p);
}

static inline void
fc_wire_put32(uint8_t *p, uint32_t value)
{
	p[0] = (uint8_t)value; /* NOLINT(clang-analyzer-core.NullDereference): never NULL */
	p[1] = (uint8_t)(value >> 8);
	p[2] = (uint8_t)(value >> 16);
	p[3] = (uint8_t)(value >> 24);
}

static inline void
fc_wire_put64(uint8_t *p, uint64_t value)
{
	fc_wire_put32(p, (uint32_t)value);
	fc_wire_put32(p + 4, (uint32_t)(value >> 32));
}

/* Known when compiling; lists of fixed size are then copied as they are. */
static inline bool
fc_wire_is_native(void)
{
	const uint16_t one = 1;
	uint8_t first;

	memcpy(&first, &one, 1);
	return first == 1;
}

static inline uint32_t
fc_wire_zigzag32(uint32_t v)
{
	return v << 1 ^ (0 - (v >> 31));
}

static inline uint64_t
fc_wire_zigzag64(uint64_t v)
{
	return v << 1 ^ (0 - (v >> 63));
}

static inline uint32_t
fc_wire_unzigzag32(uint32_t v)
{
	return v >> 1 ^ (0 - (v & 1));
}

static inline uint64_t
fc_wire_unzigzag64(uint64_t v)
{
	return v >> 1 ^ (0 - (v & 1));
}

#endif
