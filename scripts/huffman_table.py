#!/usr/bin/env python3
"""Writes runtime/protocol/h2/huffman_table.c: the Huffman code of RFC 7541, appendix B.

The code is canonical: ordered by length and then by symbol, so the lengths say everything.
Usage: scripts/huffman_table.py > runtime/protocol/h2/huffman_table.c
"""
LENGTHS = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,  # EOS
]
BITS = 11  # of one look-up; FC_HUFFMAN_BITS
NAME = set(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")


def codes():
    code, last, out = 0, 0, {}
    for length, symbol in sorted((n, s) for s, n in enumerate(LENGTHS)):
        code <<= length - last
        last = length
        out[symbol] = code
        code += 1
    return out


def kind(symbol):
    """FC_TEXT_NOT_VALUE 1, FC_TEXT_NOT_NAME 2"""
    bad_value = (symbol < 0x20 and symbol != 9) or symbol == 0x7f
    return (1 if bad_value else 0) | (0 if symbol in NAME else 2)


def first(bits, room):
    """The symbol whose code opens the `room` low bits of `bits`, or None."""
    for symbol, code in CODES.items():
        n = LENGTHS[symbol]
        if n <= room and bits >> (room - n) == code:
            return symbol
    return None


def entry(i):
    a = first(i, BITS)
    if a is None:
        return 0
    rest = BITS - LENGTHS[a]
    b = first(i & ((1 << rest) - 1), rest)
    word = a | LENGTHS[a] << 20 | kind(a) << 28
    if b is None:
        return word | 1 << 16 | LENGTHS[a] << 24
    return word | b << 8 | 2 << 16 | (LENGTHS[a] + LENGTHS[b]) << 24 | kind(b) << 28


def rows(words, each):
    for i in range(0, len(words), each):
        print("\t" + " ".join(w + "," for w in words[i:i + each]))


CODES = codes()
print("""/*
 * huffman_table.c: written by scripts/huffman_table.py from the code lengths of RFC 7541, appendix
 * B. See huffman.h for the layout.
 */
#include "runtime/protocol/h2/huffman.h"

/* clang-format off */
const uint32_t fc_huffman_pairs[1u << FC_HUFFMAN_BITS] = {""")
rows(["0x%08x" % entry(i) for i in range(1 << BITS)], 8)
print("};\n\nconst fc_huffman_code fc_huffman_codes[256] = {")
rows(["{0x%x, %d}" % (CODES[s], LENGTHS[s]) for s in range(256)], 6)
print("};\n\nconst fc_huffman_length fc_huffman_longs[] = {")
order = [s for n, s in sorted((n, s) for s, n in enumerate(LENGTHS)) if n > BITS]
for n in sorted(set(LENGTHS)):
    if n > BITS:
        group = [s for s in order if LENGTHS[s] == n]
        print("\t{%d, %d, 0x%x, 0x%x}," % (n, order.index(group[0]), CODES[group[0]],
              (CODES[group[-1]] + 1) << (32 - n)))
print("};\n\nconst uint16_t fc_huffman_long_symbols[] = {")
rows(["%d" % s for s in order], 16)
print("};\n/* clang-format on */")
