/*
 * echo-server ADDRESS: serves pair.Test there, says its address on a line, ends when its standard
 * input ends. A test that needs a server it may kill runs it.
 */
#include "tests/support/pair.h"

#include <stdio.h>
#include <unistd.h>

int
main(int argc, char **argv)
{
	test_pair pair;
	char byte;

	if (argc != 2)
		return 2;
	test_pair_init(&pair, argv[1]);
	if (farcall_server_start(pair.server) != FARCALL_OK)
		return 1;
	puts(test_pair_address(&pair));
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
	farcall_server_free(pair.server);
	return 0;
}
