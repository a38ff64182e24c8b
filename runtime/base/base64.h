/*
 * base64.h: RFC 4648 section 4, as gRPC's "-bin" metadata uses it: written without padding, read
 * with or without.
 */
#ifndef FC_BASE_BASE64_H
#define FC_BASE_BASE64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Characters that `size` bytes become. */
static inline size_t
fc_base64_size(size_t size)
{
	return size / 3 * 4 + (size % 3 != 0 ? size % 3 + 1 : 0);
}

/* Writes fc_base64_size(size) characters, no NUL. */
void fc_base64_encode(char *to, const uint8_t *from, size_t size);

/* Writes at most size * 3 / 4 bytes; false: not base64. */
bool fc_base64_decode(uint8_t *to, size_t *to_size, const char *from, size_t size);

#endif
