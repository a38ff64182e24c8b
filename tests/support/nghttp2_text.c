/*
 * nghttp2_text.c: see nghttp2_text.h. Plain and slow.
 */
#include "tests/support/nghttp2_text.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *
need(void *memory)
{
	if (memory == NULL)
		abort();
	return memory;
}

void
bytes_room(bytes *b, size_t more)
{
	if (b->at != NULL && b->size + more <= b->room)
		return;
	b->room = (b->size + more) * 2 + 64;
	b->at = (uint8_t *)need(realloc(b->at, b->room));
}

void
bytes_add(bytes *b, const void *at, size_t size)
{
	bytes_room(b, size);
	if (size != 0)
		memcpy(b->at + b->size, at, size);
	b->size += size;
}

void
bytes_take(bytes *b, size_t size)
{
	if (size == 0)
		return;
	memmove(b->at, b->at + size, b->size - size);
	b->size -= size;
}

void
bytes_clear(bytes *b)
{
	free(b->at);
	memset(b, 0, sizeof *b);
}

static uint8_t *
copy(const void *at, size_t size)
{
	bytes b = {0};

	bytes_add(&b, at, size);
	return b.at;
}

void
headers_add(header_list *list, const char *name, size_t name_size, const void *value,
    size_t value_size, bool never)
{
	nghttp2_nv *nv;

	list->at = (nghttp2_nv *)need(realloc(list->at, (list->count + 1) * sizeof *list->at));
	nv = &list->at[list->count++];
	nv->name = copy(name, name_size);
	nv->namelen = name_size;
	nv->value = copy(value, value_size);
	nv->valuelen = value_size;
	nv->flags = never ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE;
}

const nghttp2_nv *
headers_find(const header_list *list, const char *name)
{
	for (size_t i = 0; i < list->count; i++)
		if (list->at[i].namelen == strlen(name) &&
		    memcmp(list->at[i].name, name, strlen(name)) == 0)
			return &list->at[i];
	return NULL;
}

size_t
headers_size(const header_list *list)
{
	size_t size = 0;

	for (size_t i = 0; i < list->count; i++)
		size += list->at[i].namelen + list->at[i].valuelen + 32;
	return size;
}

void
headers_clear(header_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		free(list->at[i].name);
		free(list->at[i].value);
	}
	free(list->at);
	memset(list, 0, sizeof *list);
}

bool
is_protocol_name(const char *name, size_t size)
{
	static const char *const names[] = {"te", "content-type", "content-length", "host",
	    "grpc-timeout", "grpc-encoding", "grpc-accept-encoding", "grpc-status", "grpc-message"};

	if (size != 0 && name[0] == ':')
		return true;
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (strlen(names[i]) == size && memcmp(names[i], name, size) == 0)
			return true;
	return false;
}

void
base64_put(bytes *to, const void *at, size_t size)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const uint8_t *p = (const uint8_t *)at;

	bytes_room(to, 0);
	for (size_t bit = 0; bit < size * 8; bit += 6) {
		unsigned value = 0;

		for (size_t k = bit; k < bit + 6; k++) {
			value <<= 1;
			if (k < size * 8)
				value |= p[k / 8] >> (7 - k % 8) & 1;
		}
		bytes_add(to, &digits[value], 1);
	}
}

void
percent_put(bytes *to, const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)text[i];
		char escape[4];

		if (c >= 0x20 && c <= 0x7e && c != '%') {
			bytes_add(to, &c, 1);
			continue;
		}
		snprintf(escape, sizeof escape, "%%%02X", c);
		bytes_add(to, escape, 3);
	}
}

void
percent_get(bytes *to, const char *text, size_t size)
{
	bytes_room(to, 0);
	for (size_t i = 0; i < size; i++) {
		char c = text[i];

		if (c == '%' && i + 2 < size && isxdigit((unsigned char)text[i + 1]) &&
		    isxdigit((unsigned char)text[i + 2])) {
			char hex[3] = {text[i + 1], text[i + 2], 0};

			c = (char)strtol(hex, NULL, 16);
			i += 2;
		}
		bytes_add(to, &c, 1);
	}
}

static const struct {
	char unit;
	uint64_t ns;
} units[] = {{'n', 1}, {'u', 1000}, {'m', 1000000}, {'S', 1000000000}, {'M', UINT64_C(60000000000)},
    {'H', UINT64_C(3600000000000)}};

void
timeout_put(char *to, size_t size, uint64_t ns)
{
	for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
		uint64_t count = ns / units[i].ns + (ns % units[i].ns != 0);

		if (count > 99999999)
			continue;
		snprintf(to, size, "%llu%c", (unsigned long long)(count == 0 ? 1 : count),
		    units[i].unit);
		return;
	}
}

bool
timeout_get(const char *text, size_t size, uint64_t *ns)
{
	uint64_t count = 0;

	if (size < 2 || size > 9)
		return false;
	for (size_t i = 0; i + 1 < size; i++) {
		if (!isdigit((unsigned char)text[i]))
			return false;
		count = count * 10 + (uint64_t)(text[i] - '0');
	}
	for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
		if (units[i].unit != text[size - 1])
			continue;
		*ns = count > UINT64_MAX / units[i].ns ? UINT64_MAX : count * units[i].ns;
		return true;
	}
	return false;
}

farcall_code
code_of_text(const char *text, size_t size)
{
	long value = 0;

	if (size == 0 || size > 9)
		return FARCALL_UNKNOWN;
	for (size_t i = 0; i < size; i++) {
		if (!isdigit((unsigned char)text[i]))
			return FARCALL_UNKNOWN;
		value = value * 10 + (text[i] - '0');
	}
	return value <= 16 ? (farcall_code)value : FARCALL_UNKNOWN;
}
