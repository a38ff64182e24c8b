/*
 * base64.c: see base64.h.
 */
#include "runtime/base/base64.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void
fc_base64_encode(char *to, const uint8_t *from, size_t size)
{
	for (; size >= 3; size -= 3, from += 3) {
		*to++ = digits[from[0] >> 2];
		*to++ = digits[(from[0] & 3) << 4 | from[1] >> 4];
		*to++ = digits[(from[1] & 15) << 2 | from[2] >> 6];
		*to++ = digits[from[2] & 63];
	}
	if (size == 0)
		return;
	*to++ = digits[from[0] >> 2];
	if (size == 1) {
		*to = digits[(from[0] & 3) << 4];
		return;
	}
	*to++ = digits[(from[0] & 3) << 4 | from[1] >> 4];
	*to = digits[(from[1] & 15) << 2];
}

static int
value_of(unsigned char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool
fc_base64_decode(uint8_t *to, size_t *to_size, const char *from, size_t size)
{
	uint32_t bits = 0;
	size_t n = 0;

	if (size % 4 == 0 && size != 0)
		size -= from[size - 1] == '=' ? (from[size - 2] == '=' ? 2 : 1) : 0;
	if (size % 4 == 1)
		return false;
	for (size_t i = 0; i < size; i++) {
		int value = value_of((unsigned char)from[i]);

		if (value < 0)
			return false;
		bits = bits << 6 | (uint32_t)value;
		if (i % 4 != 0)
			to[n++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
	}
	*to_size = n;
	return true;
}
