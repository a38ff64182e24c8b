/*
 * allocator.h: an allocator that counts, and fails where it is told to.
 */
#ifndef FC_TEST_ALLOCATOR_H
#define FC_TEST_ALLOCATOR_H

#include <stdbool.h>
#include <stddef.h>

/* Installs the counting allocator; nothing of the library may be alive. */
void test_allocator_install(void);
void test_allocator_remove(void);

size_t test_allocator_live(void);  /* allocations not freed yet */
size_t test_allocator_calls(void); /* malloc and realloc since install or the last fail_at() */

/* The nth malloc or realloc from now (from 1) fails; `sticky`: and all later ones. 0: none fails.
 */
void test_allocator_fail_at(size_t nth, bool sticky);
bool test_allocator_failed(void); /* one has been made to fail */

#endif
