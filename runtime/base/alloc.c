/*
 * alloc.c: the allocator hook. Set before use, read without a lock.
 */
#include "runtime/base/alloc.h"

#include <stdlib.h>
#include <string.h>

static void *
default_malloc(size_t size, void *data)
{
	(void)data;
	return malloc(size);
}

static void *
default_realloc(void *memory, size_t size, void *data)
{
	(void)data;
	return realloc(memory, size);
}

static void
default_free(void *memory, void *data)
{
	(void)data;
	free(memory);
}

static const farcall_allocator standard = {default_malloc, default_realloc, default_free, NULL};
static farcall_allocator current = {default_malloc, default_realloc, default_free, NULL};

void
farcall_set_allocator(const farcall_allocator *allocator)
{
	current = allocator != NULL ? *allocator : standard;
}

void *
fc_malloc(size_t size)
{
	return current.malloc(size != 0 ? size : 1, current.data);
}

void *
fc_calloc(size_t count, size_t size)
{
	void *memory;

	if (size != 0 && count > SIZE_MAX / size)
		return NULL;
	memory = fc_malloc(count * size);
	if (memory != NULL)
		memset(memory, 0, count * size);
	return memory;
}

void *
fc_realloc(void *memory, size_t size)
{
	return current.realloc(memory, size != 0 ? size : 1, current.data);
}

void
fc_free(void *memory)
{
	if (memory != NULL)
		current.free(memory, current.data);
}

char *
fc_strdup(const char *text)
{
	size_t size = strlen(text) + 1;
	char *copy = (char *)fc_malloc(size);

	if (copy != NULL)
		memcpy(copy, text, size);
	return copy;
}
