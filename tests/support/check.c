#include "tests/support/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <uv.h>

static int files_before;

int
test_open_files(void)
{
	int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* The first loop of a process opens descriptors that libuv keeps. */
static void
warm_up(void)
{
	static bool warm;
	uv_loop_t uv;

	if (!warm && uv_loop_init(&uv) == 0)
		uv_loop_close(&uv);
	warm = true;
}

int
test_clean_setup(void **state)
{
	(void)state;
	warm_up();
	files_before = test_open_files();
	test_allocator_install();
	return 0;
}

/* A channel's own thread gives back what it has a moment after the channel was closed. */
static void
wait_for_threads(void)
{
	for (int i = 0;
	     i < 10000 && (test_allocator_live() != 0 || test_open_files() != files_before); i++)
		uv_sleep(1);
}

int
test_clean_teardown(void **state)
{
	size_t live;
	int files;

	(void)state;
	wait_for_threads();
	live = test_allocator_live();
	files = test_open_files();
	test_allocator_remove();
	if (live != 0)
		fprintf(stderr, "%zu allocations left over\n", live);
	if (files != files_before)
		fprintf(stderr, "%d descriptors open, %d before\n", files, files_before);
	return live != 0 || files != files_before;
}

void
test_random_seed(test_random *random, uint64_t seed)
{
	random->state = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
	for (int i = 0; i < 8; i++)
		test_random_next(random);
}

uint32_t
test_random_next(test_random *random)
{
	uint64_t x = random->state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	random->state = x;
	return (uint32_t)(x * UINT64_C(2685821657736338717) >> 32);
}

uint32_t
test_random_below(test_random *random, uint32_t limit)
{
	return (uint32_t)((uint64_t)test_random_next(random) * limit >> 32);
}
