/*
 * percent.c: grpc-message. Bytes 0x20 to 0x7e but '%' stand for themselves; all others are "%XX"
 * with upper-case digits. The decoder must not fail on bad input (PROTOCOL-HTTP2).
 */
#include "runtime/protocol/grpc/text.h"

static bool
plain(unsigned char c)
{
	return c >= 0x20 && c <= 0x7e && c != '%';
}

size_t
fc_grpc_percent_size(const char *text, size_t size)
{
	size_t encoded = size;

	for (size_t i = 0; i < size; i++)
		if (!plain((unsigned char)text[i]))
			encoded += 2;
	return encoded;
}

size_t
fc_grpc_percent_encode(char *to, const char *text, size_t size)
{
	static const char digits[] = "0123456789ABCDEF";
	size_t n = 0;

	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)text[i];

		if (plain(c)) {
			to[n++] = (char)c;
			continue;
		}
		to[n++] = '%';
		to[n++] = digits[c >> 4];
		to[n++] = digits[c & 15];
	}
	return n;
}

/* The digit's value; 16: it is none. */
static unsigned
hex(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	if (c >= 'A' && c <= 'F')
		return (unsigned)(c - 'A') + 10;
	if (c >= 'a' && c <= 'f')
		return (unsigned)(c - 'a') + 10;
	return 16;
}

size_t
fc_grpc_percent_decode(char *to, const char *text, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < size; i++) {
		if (text[i] == '%' && size - i > 2 && hex(text[i + 1]) < 16 &&
		    hex(text[i + 2]) < 16) {
			to[n++] = (char)(hex(text[i + 1]) << 4 | hex(text[i + 2]));
			i += 2;
		} else {
			to[n++] = text[i];
		}
	}
	return n;
}
