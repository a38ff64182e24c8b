/*
 * bytes.h: big-endian integers in byte strings, and small arithmetic.
 */
#ifndef FC_BASE_BYTES_H
#define FC_BASE_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define FC_COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define FC_MIN(a, b) ((a) < (b) ? (a) : (b))
#define FC_MAX(a, b) ((a) > (b) ? (a) : (b))

/* The object that holds `member` at `pointer`. */
#define FC_CONTAINER(pointer, type, member) \
	((type *)(void *)((char *)(pointer)-offsetof(type, member)))

#define FC_NS_PER_MS UINT64_C(1000000)
#define FC_NS_PER_S UINT64_C(1000000000)
#define FC_NEVER UINT64_MAX /* a time that does not come */

/* A piece of memory to write out. */
typedef struct fc_piece {
	const uint8_t *at;
	size_t size;
} fc_piece;

static inline uint32_t
fc_get16(const uint8_t *p)
{
	return (uint32_t)p[0] << 8 | p[1];
}

static inline uint32_t
fc_get24(const uint8_t *p)
{
	return (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
}

static inline uint32_t
fc_get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void
fc_put16(uint8_t *p, uint32_t value)
{
	p[0] = (uint8_t)(value >> 8);
	p[1] = (uint8_t)value;
}

static inline void
fc_put24(uint8_t *p, uint32_t value)
{
	p[0] = (uint8_t)(value >> 16);
	p[1] = (uint8_t)(value >> 8);
	p[2] = (uint8_t)value;
}

static inline void
fc_put32(uint8_t *p, uint32_t value)
{
	p[0] = (uint8_t)(value >> 24);
	p[1] = (uint8_t)(value >> 16);
	p[2] = (uint8_t)(value >> 8);
	p[3] = (uint8_t)value;
}

#endif
