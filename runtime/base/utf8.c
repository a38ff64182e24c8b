/*
 * utf8.c: see utf8.h. Plain ASCII, the common case, is passed over in steps of 32 and 8 bytes; the
 * rest goes character by character through Unicode's table 3-7.
 */
#include "runtime/base/utf8.h"

#include "runtime/base/bytes.h"

#define ONES UINT64_C(0x0101010101010101)
#define HIGHS UINT64_C(0x8080808080808080)

/* By lead byte from 0xc0: bytes of the character (0: no character begins so) and the range of its
 * second byte; the others are 0x80..0xbf. */
typedef struct lead {
	uint8_t size, from, to;
} lead;

#define TWO                   \
	{                     \
		2, 0x80, 0xbf \
	}
#define THREE                 \
	{                     \
		3, 0x80, 0xbf \
	}
#define FOUR                  \
	{                     \
		4, 0x80, 0xbf \
	}

static const lead leads[64] = {
    [0x02] = TWO,
    TWO,
    TWO,
    TWO,
    TWO,
    TWO,
    TWO,
    TWO,
    TWO,
    TWO,
    TWO,
    TWO,
    TWO,
    TWO,
    TWO,
    [0x11] = TWO,
    TWO,
    TWO,
    TWO,
    TWO,
    TWO,
    TWO,
    TWO,
    TWO,
    TWO,
    TWO,
    TWO,
    TWO,
    TWO,
    TWO,
    [0x20] = {3, 0xa0, 0xbf}, /* less would be overlong */
    [0x21] = THREE,
    THREE,
    THREE,
    THREE,
    THREE,
    THREE,
    THREE,
    THREE,
    THREE,
    THREE,
    THREE,
    THREE,
    [0x2d] = {3, 0x80, 0x9f}, /* more would be a surrogate */
    [0x2e] = THREE,
    THREE,
    [0x30] = {4, 0x90, 0xbf}, /* less would be overlong */
    [0x31] = FOUR,
    FOUR,
    FOUR,
    [0x34] = {4, 0x80, 0x8f}, /* more would be past U+10FFFF */
};

/* Has a high bit somewhere if one of the eight bytes is not 0x01..0x7f. Without high bits in the
 * word, subtracting one from each byte borrows only below a zero byte. */
static inline uint64_t
odd_bytes(const uint8_t *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof word);
	return (word - ONES) | word;
}

/* The last eight bytes are looked at in any case; those before them in steps of 32 and 8. */
bool
fc_utf8_plain(const uint8_t *text, size_t size)
{
	const uint8_t *last = text + size - 8;
	uint64_t odd;

	if (size < 8)
		return false;
	odd = odd_bytes(last);
	for (; last - text >= 24; text += 32) {
		odd |= odd_bytes(text) | odd_bytes(text + 8);
		odd |= odd_bytes(text + 16) | odd_bytes(text + 24);
	}
	for (; text < last; text += 8)
		odd |= odd_bytes(text);
	return !(odd & HIGHS);
}

static inline const uint8_t *
skip_ascii(const uint8_t *at, const uint8_t *end)
{
	for (; end - at >= 32; at += 32) {
		uint64_t odd = odd_bytes(at) | odd_bytes(at + 8) | odd_bytes(at + 16);

		if ((odd | odd_bytes(at + 24)) & HIGHS)
			break;
	}
	while (end - at >= 8 && !(odd_bytes(at) & HIGHS))
		at += 8;
	while (at < end && (uint8_t)(*at - 1) < 0x7f)
		at++;
	return at;
}

/* Bytes of the character at `at`, whose first byte is not 0x01..0x7f; 0 if it is none. */
static size_t
character(const uint8_t *at, const uint8_t *end)
{
	const lead *row;

	if (*at < 0xc0)
		return 0;
	row = &leads[*at - 0xc0];
	if (row->size == 0 || row->size > end - at)
		return 0;
	if (at[1] < row->from || at[1] > row->to)
		return 0;
	for (size_t i = 2; i < row->size; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	}
	return row->size;
}

size_t
fc_utf8_check(const uint8_t *text, size_t size)
{
	const uint8_t *at = text, *end = text + size;

	while ((at = skip_ascii(at, end)) < end) {
		size_t n = character(at, end);

		if (n == 0)
			break;
		at += n;
	}
	return (size_t)(at - text);
}
