/*
 * huffman.h: the Huffman code of RFC 7541 5.2. Decoding looks at 11 bits at a time, gives up to two
 * characters for them, and tells in passing which kinds of characters it saw.
 */
#ifndef FC_PROTOCOL_H2_HUFFMAN_H
#define FC_PROTOCOL_H2_HUFFMAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FC_HUFFMAN_BITS 11

/* Kinds of characters, or-ed over a text. */
enum {
	FC_TEXT_NOT_VALUE = 1, /* a control character other than tab: RFC 9110 5.5 */
	FC_TEXT_NOT_NAME = 2   /* no lower-case token character: RFC 9113 8.2.1 */
};

/* Room that fc_huffman_decode() may write to for `size` bytes: five bits a character are the least,
 * and it writes in pairs. */
#define FC_HUFFMAN_ROOM(size) ((size) / 5 * 8 + 24)

/* Decodes to `to`; `kinds` gets the kinds of characters seen. false: a broken code, EOS, or padding
 * that is longer than 7 bits or not all ones. */
bool fc_huffman_decode(
    const uint8_t *from, size_t size, char *to, size_t *to_size, unsigned *kinds);

size_t fc_huffman_size(const char *text, size_t size); /* bytes when encoded */

/* Writes fc_huffman_size() bytes; answers the end. */
uint8_t *fc_huffman_encode(const char *text, size_t size, uint8_t *to);

/*
 * The tables, in huffman_table.c.
 *
 * fc_huffman_pairs, by the next 11 bits: bits 0-7 and 8-15 the characters, 16-17 how many (0: the
 * code is longer), 20-23 the first one's length, 24-27 the length of all, 28-29 kinds.
 */
extern const uint32_t fc_huffman_pairs[1u << FC_HUFFMAN_BITS];

typedef struct fc_huffman_code {
	uint32_t code; /* right-aligned */
	uint8_t length;
} fc_huffman_code;

extern const fc_huffman_code fc_huffman_codes[256];

/* Codes of one length above 11, shortest first. */
typedef struct fc_huffman_length {
	uint8_t length;
	uint16_t at;    /* its first symbol in fc_huffman_long_symbols */
	uint32_t first; /* its first code, right-aligned */
	uint64_t limit; /* the code after its last one, left-aligned in 32 bits */
} fc_huffman_length;

extern const fc_huffman_length fc_huffman_longs[];
extern const uint16_t fc_huffman_long_symbols[]; /* 256 is EOS */

#endif
