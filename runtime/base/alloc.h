/*
 * alloc.h: the one door to the heap. Everything that the library itself allocates passes here, so
 * that a program may count it and a test may fail it at every site.
 */
#ifndef FC_BASE_ALLOC_H
#define FC_BASE_ALLOC_H

#include <farcall/alloc.h>

void *fc_malloc(size_t size);
void *fc_calloc(size_t count, size_t size); /* NULL also when the product overflows */
void *fc_realloc(void *memory, size_t size);
void fc_free(void *memory);
char *fc_strdup(const char *text);

#endif
