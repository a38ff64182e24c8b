/*
 * huffman.c: see huffman.h. The fast loop takes 64 bits at once and makes five look-ups of at most
 * 11 bits in them, without a branch between: a code longer than 11 bits gives no character and no
 * progress, so it repeats harmlessly until the next batch begins with it and takes the slow road.
 * The last bytes have a loop of their own, which knows how many bits are left.
 */
#include "runtime/protocol/h2/huffman.h"

#include "runtime/base/bytes.h"
#include "runtime/protocol/h2/fields.h"

#define EOS 256

static uint64_t
get64(const uint8_t *p)
{
	return (uint64_t)fc_get32(p) << 32 | fc_get32(p + 4);
}

static unsigned
kinds_of(unsigned c)
{
	char text = (char)c;

	return fc_field_name_kinds(&text, 1) | fc_field_value_kinds(&text, 1);
}

/* The symbol whose code of more than 11 bits opens `bits` (left-aligned); its length in `length`.
 * The code is complete: every row of bits opens with some symbol. */
static unsigned
long_symbol(uint64_t bits, unsigned *length)
{
	uint32_t top = (uint32_t)(bits >> 32);
	const fc_huffman_length *row = fc_huffman_longs;

	while (top >= row->limit)
		row++;
	*length = row->length;
	return fc_huffman_long_symbols[row->at + ((top >> (32 - row->length)) - row->first)];
}

/* One character of the last 10 bits, or a long one. 0: none is whole there; else its length. */
static unsigned
last_symbol(uint64_t bits, unsigned left, unsigned *c, uint32_t *seen)
{
	uint32_t next = (uint32_t)(bits >> (64 - FC_HUFFMAN_BITS));
	unsigned length = fc_huffman_pairs[next] >> 20 & 15;

	if (length == 0) {
		*c = long_symbol(bits, &length);
		if (length > left)
			return 0;
		*seen |= (uint32_t)kinds_of(*c) << 28;
		return length;
	}
	if (length > left)
		return 0;
	/* With ones behind it there is no second character, whose kinds would be seen too. */
	next |= (1u << (FC_HUFFMAN_BITS - length)) - 1;
	*c = fc_huffman_pairs[next] & 0xff;
	*seen |= fc_huffman_pairs[next];
	return length;
}

/* At most 56 bits, left-aligned and followed by ones. false: they do not end as they should. */
static bool
decode_tail(uint64_t bits, unsigned left, char **to, uint32_t *seen)
{
	char *out = *to;
	unsigned length, c;

	while (left >= FC_HUFFMAN_BITS) {
		uint32_t pair = fc_huffman_pairs[bits >> (64 - FC_HUFFMAN_BITS)];

		length = pair >> 24 & 15;
		if (length == 0)
			break;
		out[0] = (char)pair;
		out[1] = (char)(pair >> 8);
		out += pair >> 16 & 3;
		*seen |= pair;
		bits = bits << length | ((UINT64_C(1) << length) - 1);
		left -= length;
	}
	/* Ones to the end are padding, or EOS. */
	while (bits != UINT64_MAX && (length = last_symbol(bits, left, &c, seen)) != 0) {
		if (c == EOS)
			return false;
		*out++ = (char)c;
		bits = bits << length | ((UINT64_C(1) << length) - 1);
		left -= length;
	}
	*to = out;
	/* What follows the last bit is ones, so the padding is right if all of it is. */
	return left < 8 && bits == UINT64_MAX;
}

bool
fc_huffman_decode(const uint8_t *from, size_t size, char *to, size_t *to_size, unsigned *kinds)
{
	char *out = to;
	size_t at = 0; /* in bits */
	uint32_t seen = 0;
	uint64_t bits = UINT64_MAX;
	bool ok;

	while (size >= 8 && at >> 3 <= size - 8) {
		size_t before = at;

		bits = get64(from + (at >> 3)) << (at & 7);
		for (int i = 0; i < 5; i++) {
			uint32_t pair = fc_huffman_pairs[bits >> (64 - FC_HUFFMAN_BITS)];
			unsigned length = pair >> 24 & 15;

			out[0] = (char)pair;
			out[1] = (char)(pair >> 8);
			out += pair >> 16 & 3;
			bits <<= length;
			at += length;
			seen |= pair;
		}
		if (at == before) {
			unsigned length, c = long_symbol(bits, &length);

			if (c == EOS)
				return false;
			*out++ = (char)c;
			at += length;
			seen |= (uint32_t)kinds_of(c) << 28;
		}
	}
	bits = UINT64_MAX;
	for (size_t i = at >> 3, shift = 56; i < size; i++, shift -= 8)
		bits ^= (uint64_t)(uint8_t)~from[i] << shift;
	if ((at & 7) != 0)
		bits = bits << (at & 7) | ((1u << (at & 7)) - 1);
	ok = decode_tail(bits, (unsigned)(size * 8 - at), &out, &seen);
	*kinds = seen >> 28;
	*to_size = (size_t)(out - to);
	return ok;
}

size_t
fc_huffman_size(const char *text, size_t size)
{
	size_t bits = 0;

	for (size_t i = 0; i < size; i++)
		bits += fc_huffman_codes[(uint8_t)text[i]].length;
	return (bits + 7) / 8;
}

uint8_t *
fc_huffman_encode(const char *text, size_t size, uint8_t *to)
{
	uint64_t bits = 0;
	unsigned held = 0; /* low bits of `bits` not written yet, under 32 */

	for (size_t i = 0; i < size; i++) {
		fc_huffman_code code = fc_huffman_codes[(uint8_t)text[i]];

		bits = bits << code.length | code.code;
		held += code.length;
		if (held >= 32) {
			held -= 32;
			fc_put32(to, (uint32_t)(bits >> held));
			to += 4;
		}
	}
	for (; held >= 8; held -= 8)
		*to++ = (uint8_t)(bits >> (held - 8));
	if (held != 0)
		*to++ = (uint8_t)(bits << (8 - held) | 0xffu >> held);
	return to;
}
