/*
 * memory.c: see memory.h. Each block carries its size in front. One thread, so no locks.
 */
#include "tests/sim/memory.h"

#include <farcall/alloc.h>

#include <stdint.h>
#include <stdlib.h>

typedef union head {
	size_t size;
	max_align_t align;
} head;

/* For a debugger to stop at. */
void
sim_memory_failed(void)
{
}

static size_t blocks, bytes, peak, left;
static unsigned failures;

static bool
refuse(void)
{
	if (left == 0 || --left != 0)
		return false;
	failures++;
	sim_memory_failed();
	return true;
}

static void
grow(size_t size)
{
	bytes += size;
	if (bytes > peak)
		peak = bytes;
}

static void *
sim_malloc(size_t size, void *data)
{
	head *block;

	(void)data;
	if (refuse() || size > SIZE_MAX - sizeof *block)
		return NULL;
	block = (head *)malloc(sizeof *block + size);
	if (block == NULL)
		return NULL;
	block->size = size;
	blocks++;
	grow(size);
	return block + 1;
}

static void
sim_free(void *memory, void *data)
{
	head *block = (head *)memory;

	(void)data;
	if (block == NULL)
		return;
	block--;
	blocks--;
	bytes -= block->size;
	free(block);
}

static void *
sim_realloc(void *memory, size_t size, void *data)
{
	head *block = (head *)memory, *bigger;
	size_t before;

	if (memory == NULL)
		return sim_malloc(size, data);
	if (refuse() || size > SIZE_MAX - sizeof *block)
		return NULL;
	block--;
	before = block->size;
	bigger = (head *)realloc(block, sizeof *block + size);
	if (bigger == NULL)
		return NULL;
	bytes -= before;
	bigger->size = size;
	grow(size);
	return bigger + 1;
}

void
sim_memory_install(void)
{
	static const farcall_allocator allocator = {sim_malloc, sim_realloc, sim_free, NULL};

	farcall_set_allocator(&allocator);
}

size_t
sim_memory_blocks(void)
{
	return blocks;
}

size_t
sim_memory_bytes(void)
{
	return bytes;
}

size_t
sim_memory_peak(void)
{
	return peak;
}

void
sim_memory_reset(void)
{
	peak = bytes;
	left = 0;
	failures = 0;
}

void
sim_memory_fail_in(size_t n)
{
	left = n;
}

unsigned
sim_memory_failures(void)
{
	return failures;
}
