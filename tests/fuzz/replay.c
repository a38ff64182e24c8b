/*
 * replay.c: runs a fuzz target over files, where libFuzzer is not in use: the committed corpus as
 * an ordinary test, or one input that someone wants to look at.
 */
#include "tests/fuzz/fuzz_engine.h"

#include <stdio.h>
#include <stdlib.h>

static int
replay(const char *name)
{
	static uint8_t bytes[1 << 20];
	FILE *file = fopen(name, "rb");
	uint8_t *exact;
	size_t size;

	if (file == NULL) {
		perror(name);
		return 1;
	}
	size = fread(bytes, 1, sizeof bytes, file);
	fclose(file);
	exact = (uint8_t *)malloc(size + (size == 0));
	if (exact == NULL)
		return 1;
	memcpy(exact, bytes, size);
	LLVMFuzzerTestOneInput(exact, size);
	free(exact);
	return 0;
}

int
main(int argc, char **argv)
{
	int wrong = argc < 2;

	for (int i = 1; i < argc; i++)
		wrong |= replay(argv[i]);
	printf("%d inputs\n", argc - 1);
	return wrong;
}
