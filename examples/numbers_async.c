/*
 * numbers-async TARGET N: a bidi stream without waiting. It sends the numbers 1 to N as fast as the
 * server takes them, and receives the sums meanwhile; both by callbacks in a loop that the program
 * turns, so on one thread. At most one send and one receive are under way at a time.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include <farcall/loop.h>

#include "demo.farcall.h"

typedef struct talk {
	int64_t next, most;
	long long replies, last;
	bool over;
	farcall_code code;
} talk;

static void
on_finish(farcall_call *call, farcall_code code, const ProtobufCMessage *none, void *data)
{
	talk *t = (talk *)data;

	(void)none;
	if (code != FARCALL_OK)
		fprintf(stderr, "running sum: %s\n", farcall_call_error(call));
	t->code = code;
	t->over = true;
	farcall_call_free(call);
}

static void
on_reply(farcall_call *call, farcall_code code, const Demo__Number *reply, void *data)
{
	talk *t = (talk *)data;

	if (code != FARCALL_OK) { /* FARCALL_END, or why there are no more */
		demo_numbers_running_sum__finish__async(call, on_finish, t);
		return;
	}
	t->replies++;
	t->last = (long long)reply->value;
	demo_numbers_running_sum__recv_reply__async(call, on_reply, t);
}

/* There is room for the next one. */
static void
on_sent(farcall_call *call, farcall_code code, const ProtobufCMessage *none, void *data)
{
	talk *t = (talk *)data;
	Demo__Number request = DEMO__NUMBER__INIT;

	(void)none;
	if (code != FARCALL_OK || t->next > t->most) {
		farcall_call_half_close(call);
		return;
	}
	request.value = t->next++;
	demo_numbers_running_sum__send_request__async(call, &request, on_sent, t);
}

int
main(int argc, char **argv)
{
	farcall_loop *loop;
	farcall_channel *channel;
	farcall_call *call;
	talk t = {.next = 1};

	if (argc != 3) {
		fprintf(stderr, "usage: numbers-async TARGET N\n");
		return 2;
	}
	t.most = strtoll(argv[2], NULL, 10);
	loop = farcall_loop_new();
	channel = farcall_channel_open(argv[1]);
	farcall_channel_set_loop(channel, loop);
	call = farcall_call_new(channel);
	farcall_call_set_timeout_ms(call, 10000);
	demo_numbers_running_sum__start(call);
	demo_numbers_running_sum__recv_reply__async(call, on_reply, &t);
	on_sent(call, FARCALL_OK, NULL, &t);
	while (!t.over)
		farcall_loop_step(loop, -1);
	if (t.code == FARCALL_OK)
		printf("running sum: %lld replies, the last one is %lld\n", t.replies, t.last);
	farcall_channel_close(channel);
	farcall_loop_step(loop, 0);
	farcall_loop_free(loop);
	return t.code != FARCALL_OK;
}
