/*
 * replay.c: the main of a fuzzer where there is no libFuzzer: runs the files that are named, such
 * as a crash found elsewhere; then as many random changes of them as FARCALL_TEST_ROUNDS (1) says,
 * in thousands. Without files it begins with a few bytes. `--byte N` before the files: instead,
 * each with every value of its byte N, which says which allocation fails.
 */
#include "tests/fuzz/fuzz.h"
#include "tests/support/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST 65536

static uint8_t bytes[MOST];

static size_t
read_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	size_t size;

	if (file == NULL) {
		fprintf(stderr, "%s: cannot be opened\n", path);
		exit(2);
	}
	size = fread(bytes, 1, sizeof bytes, file);
	fclose(file);
	return size;
}

static size_t
change(test_random *random, size_t size)
{
	uint32_t n = test_random_below(random, 4) + 1;

	for (; n > 0; n--) {
		size_t at = test_random_below(random, (uint32_t)size + 1);

		if (at == size && size < MOST)
			size++;
		else if (test_random_below(random, 16) == 0)
			size = at;
		if (at < size)
			bytes[at] = (uint8_t)test_random_below(random, 256);
	}
	return size;
}

static void
run(size_t size)
{
	uint8_t *copy = (uint8_t *)malloc(size + (size == 0)); /* so that overruns are seen */

	if (copy == NULL)
		abort();
	memcpy(copy, bytes, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
}

static void
run_each_value(const char *path, size_t at)
{
	size_t size = read_file(path);

	if (at >= size) {
		fprintf(stderr, "%s: too short\n", path);
		exit(2);
	}
	for (unsigned value = 0; value < 256; value++) {
		bytes[at] = (uint8_t)value;
		run(size);
	}
}

int
main(int argc, char **argv)
{
	const char *rounds = getenv("FARCALL_TEST_ROUNDS");
	unsigned long n = 1000 * (rounds != NULL ? strtoul(rounds, NULL, 10) : 1);
	test_random random;

	if (argc > 2 && strcmp(argv[1], "--byte") == 0) {
		for (int i = 3; i < argc; i++)
			run_each_value(argv[i], strtoul(argv[2], NULL, 10));
		return 0;
	}
	test_random_seed(&random, 1);
	for (int i = argc > 1 ? 1 : 0; i < argc; i++) {
		size_t size = i == 0 ? 0 : read_file(argv[i]);

		run(size);
		for (unsigned long j = 0; j < n; j++) {
			size = change(&random, size);
			run(size);
		}
	}
	return 0;
}
