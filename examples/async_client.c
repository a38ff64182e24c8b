/*
 * async-client TARGET [CALLS]: many calls at once on one channel. Each callback runs in the
 * channel's own thread; main waits until the last one has come.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <uv.h>

#include "demo.farcall.h"

static uv_sem_t all_done;
static atomic_int left, failed;

static void
on_reply(farcall_call *call, farcall_code code, const Demo__HelloReply *reply, void *data)
{
	(void)data;
	if (code != FARCALL_OK) {
		fprintf(stderr, "async-client: %s\n", farcall_call_error(call));
		atomic_fetch_add(&failed, 1);
	} else {
		puts(reply->message);
	}
	farcall_call_free(call);
	if (atomic_fetch_sub(&left, 1) == 1)
		uv_sem_post(&all_done);
}

int
main(int argc, char **argv)
{
	int calls = argc == 3 ? atoi(argv[2]) : 3;
	farcall_channel *channel;
	char name[32];

	if ((argc != 2 && argc != 3) || calls < 1) {
		fprintf(stderr, "usage: async-client TARGET [CALLS]\n");
		return 2;
	}
	channel = farcall_channel_open(argv[1]);
	farcall_channel_set_timeout_ms(channel, 5000);
	uv_sem_init(&all_done, 0);
	atomic_init(&left, calls);
	for (int i = 1; i <= calls; i++) {
		Demo__HelloRequest request = DEMO__HELLO_REQUEST__INIT;

		snprintf(name, sizeof name, "number %d", i);
		request.name = name; /* packed before the call below returns */
		demo_greeter_say_hello__async(farcall_call_new(channel), &request, on_reply, NULL);
	}
	uv_sem_wait(&all_done);
	uv_sem_destroy(&all_done);
	farcall_channel_close(channel);
	return atomic_load(&failed) != 0;
}
