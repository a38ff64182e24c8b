/*
 * farcall/alloc.h: where the library's memory comes from.
 */
#ifndef FARCALL_ALLOC_H
#define FARCALL_ALLOC_H

#include <farcall/api.h>

FARCALL_BEGIN_DECLS

/* All three must be given, behave as the C library's, and be callable from any thread. Any of them
 * may fail: what it was for then answers RESOURCE_EXHAUSTED, cause OUT_OF_MEMORY. */
typedef struct farcall_allocator {
	void *(*malloc)(size_t size, void *data);
	void *(*realloc)(void *memory, size_t size, void *data);
	void (*free)(void *memory, void *data);
	void *data;
} farcall_allocator;

/* Before the first use of the library, or when nothing of it is alive; copied. NULL: the C
 * library's. libuv and OpenSSL have hooks of their own and are not covered. */
FARCALL_API void farcall_set_allocator(const farcall_allocator *allocator);

FARCALL_END_DECLS

#endif
