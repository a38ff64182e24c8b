/*
 * nghttp2_text.h: what nghttp2_engine.c needs beside nghttp2: growing bytes, header lists, and
 * gRPC's ways to write things, once more and on purpose not shared with the library. Lack of memory
 * ends the program.
 */
#ifndef FC_TEST_NGHTTP2_TEXT_H
#define FC_TEST_NGHTTP2_TEXT_H

#include <farcall/code.h>

#include <nghttp2/nghttp2.h>
#include <stdbool.h>

void *need(void *memory); /* aborts on NULL */

typedef struct bytes {
	uint8_t *at;
	size_t size, room;
} bytes;

void bytes_room(bytes *b, size_t more); /* never leaves `at` NULL */
void bytes_add(bytes *b, const void *at, size_t size);
void bytes_take(bytes *b, size_t size); /* from the front */
void bytes_clear(bytes *b);

typedef struct header_list {
	nghttp2_nv *at; /* names and values are copies */
	size_t count;
} header_list;

void headers_add(header_list *list, const char *name, size_t name_size, const void *value,
    size_t value_size, bool never);
const nghttp2_nv *headers_find(const header_list *list, const char *name);
size_t headers_size(const header_list *list); /* RFC 9113 6.5.2 */
void headers_clear(header_list *list);

bool is_protocol_name(const char *name, size_t size); /* no metadata */

void base64_put(bytes *to, const void *at, size_t size); /* unpadded */
void percent_put(bytes *to, const char *text, size_t size);
void percent_get(bytes *to, const char *text, size_t size);
void timeout_put(char *to, size_t size, uint64_t ns);
bool timeout_get(const char *text, size_t size, uint64_t *ns);
farcall_code code_of_text(const char *text, size_t size);

#endif
