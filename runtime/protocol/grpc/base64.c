/*
 * base64.c: RFC 4648 section 4. gRPC sends "-bin" values unpadded and takes both forms.
 */
#include "runtime/protocol/grpc/text.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t
fc_grpc_base64_size(size_t size)
{
	return size / 3 * 4 + (size % 3 != 0 ? size % 3 + 1 : 0);
}

size_t
fc_grpc_base64_encode(char *to, const uint8_t *bytes, size_t size)
{
	size_t n = 0;

	for (; size >= 3; size -= 3, bytes += 3) {
		to[n++] = alphabet[bytes[0] >> 2];
		to[n++] = alphabet[(bytes[0] & 3) << 4 | bytes[1] >> 4];
		to[n++] = alphabet[(bytes[1] & 15) << 2 | bytes[2] >> 6];
		to[n++] = alphabet[bytes[2] & 63];
	}
	if (size == 0)
		return n;
	to[n++] = alphabet[bytes[0] >> 2];
	to[n++] = alphabet[(bytes[0] & 3) << 4 | (size == 2 ? bytes[1] >> 4 : 0)];
	if (size == 2)
		to[n++] = alphabet[(bytes[1] & 15) << 2];
	return n;
}

/* The digit's value; 64: it is none. */
static unsigned
digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (unsigned)(c - 'A');
	if (c >= 'a' && c <= 'z')
		return (unsigned)(c - 'a') + 26;
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0') + 52;
	return c == '+' ? 62 : c == '/' ? 63 : 64;
}

bool
fc_grpc_base64_decode(uint8_t *to, size_t *to_size, const char *text, size_t size)
{
	uint32_t bits = 0;
	size_t n = 0, held = 0;

	if (size % 4 == 0 && size != 0 && text[size - 1] == '=')
		size -= text[size - 2] == '=' ? 2 : 1;
	if (size % 4 == 1)
		return false;
	for (size_t i = 0; i < size; i++) {
		unsigned value = digit(text[i]);

		if (value == 64)
			return false;
		bits = bits << 6 | value;
		held += 6;
		if (held >= 8) {
			held -= 8;
			to[n++] = (uint8_t)(bits >> held);
		}
	}
	*to_size = n;
	return true;
}
