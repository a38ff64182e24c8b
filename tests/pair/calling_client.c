/*
 * calling-client ADDRESS CALLS: warms up, then makes so many blocking calls between two getppid(),
 * which whoever traces it looks for.
 */
#include <farcall/farcall.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "pair.farcall.h"

static int
call_often(farcall_channel *channel, int calls)
{
	int failed = 0;

	for (int i = 0; i < calls; i++) {
		Pair__Message request = PAIR__MESSAGE__INIT;
		farcall_call *call = farcall_call_new(channel);
		const Pair__Message *reply = NULL;
		char text[] = "hello";

		request.text = text;
		farcall_call_set_timeout_ms(call, 60000);
		failed += pair_test_echo(call, &request, &reply) != FARCALL_OK;
		farcall_call_free(call);
	}
	return failed;
}

int
main(int argc, char **argv)
{
	farcall_channel *channel;
	int failed;

	if (argc != 3)
		return 2;
	channel = farcall_channel_open(argv[1]);
	failed = call_often(channel, 50);
	getppid();
	failed += call_often(channel, atoi(argv[2]));
	getppid();
	if (failed != 0)
		fprintf(stderr, "%d calls failed\n", failed);
	farcall_channel_close(channel);
	return failed != 0;
}
