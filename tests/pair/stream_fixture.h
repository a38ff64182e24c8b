/*
 * stream_fixture.h: a client on a loop that the test steps, and on the same loop a server that does
 * what the test says (tiny_server.h). Included by the tests of a client's streams; all is static.
 */
#ifndef FC_TEST_STREAM_FIXTURE_H
#define FC_TEST_STREAM_FIXTURE_H

#include "tests/support/stream_methods.h"
#include "tests/support/tiny_server.h"

#include <stdio.h>

typedef struct fixture {
	farcall_loop *loop;
	tiny_server server;
	farcall_channel *channel;
} fixture;

static FARCALL_UNUSED void
open_channel(fixture *f)
{
	f->channel = farcall_channel_open("mem:streams");
	farcall_channel_set_loop(f->channel, f->loop);
}

static FARCALL_UNUSED void
begin(fixture *f)
{
	memset(f, 0, sizeof *f);
	f->loop = farcall_loop_new();
	tiny_start(&f->server, f->loop, "mem:streams");
	open_channel(f);
}

static FARCALL_UNUSED void
end(fixture *f)
{
	farcall_channel_close(f->channel);
	tiny_stop(&f->server);
	for (int i = 0; i < 10; i++)
		farcall_loop_step(f->loop, 0);
	farcall_loop_free(f->loop);
}

static FARCALL_UNUSED farcall_call *
start(fixture *f, const farcall_method *method)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_call *call = farcall_call_new(f->channel);

	farcall_call_set_timeout_ms(call, 60000);
	assert_int_equal(farcall_call_start(call, method,
	                     method->shape == FARCALL_SERVER_STREAM ? &request.base : NULL),
	    FARCALL_OK);
	return call;
}

static FARCALL_UNUSED void
step(fixture *f, int times)
{
	for (int i = 0; i < times; i++)
		farcall_loop_step(f->loop, 0);
}

/* ---- the server ---- */

/* A message of `size` bytes of data, packed; answers the bytes. */
static FARCALL_UNUSED size_t
pack_message(uint8_t *to, uint32_t number, size_t size)
{
	static uint8_t bytes[1 << 21];
	Pair__Message message = PAIR__MESSAGE__INIT;

	message.number = number;
	message.data.data = bytes;
	message.data.len = size;
	return pair__message__pack(&message, to);
}

static FARCALL_UNUSED void
reply_number(tiny_call *call, uint32_t number)
{
	uint8_t bytes[64];

	tiny_send(call, bytes, pack_message(bytes, number, 0));
}

static FARCALL_UNUSED void
echo_message(tiny_call *call, const uint8_t *bytes, size_t size)
{
	tiny_take(call, size);
	tiny_send(call, bytes, size);
}

static FARCALL_UNUSED void
end_well(tiny_call *call)
{
	tiny_end(call, FARCALL_OK, "");
}

/* ---- what callbacks were told ---- */

typedef struct told {
	int times;
	farcall_code code;
	uint32_t number;
} told;

static FARCALL_UNUSED void
tell(farcall_call *call, farcall_code code, const ProtobufCMessage *message, void *data)
{
	told *to = (told *)data;

	(void)call;
	to->times++;
	to->code = code;
	to->number = 0;
	if (message != NULL)
		to->number = ((const Pair__Message *)(const void *)message)->number;
}

static FARCALL_UNUSED void
wait_told(fixture *f, const told *to, int times)
{
	for (int i = 0; i < 5000 && to->times < times; i++)
		farcall_loop_step(f->loop, 1);
	assert_int_equal(to->times, times);
}

static FARCALL_UNUSED void
send_async(farcall_call *call, uint32_t number, size_t size, told *to)
{
	static uint8_t bytes[1 << 20];
	Pair__Message message = PAIR__MESSAGE__INIT;

	message.number = number;
	message.data.data = bytes;
	message.data.len = size;
	farcall_call_send_async(call, &message.base, tell, to);
}

#endif
