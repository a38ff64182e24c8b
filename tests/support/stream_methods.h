/*
 * stream_methods.h: the methods of pair.Streams, of each streaming shape, over pair.Message. No
 * .proto file has them: the peer is whatever a test puts there. tests/interop/python/
 * stream_server.py says what they do.
 */
#ifndef FC_TEST_STREAM_METHODS_H
#define FC_TEST_STREAM_METHODS_H

#include "tests/support/pair.h"

static const farcall_method list_method = {"List", "/pair.Streams/List", &pair__message__descriptor,
    &pair__message__descriptor, FARCALL_SERVER_STREAM, 0, 0, NULL};
static const farcall_method collect_method = {"Collect", "/pair.Streams/Collect",
    &pair__message__descriptor, &pair__message__descriptor, FARCALL_CLIENT_STREAM, 0, 0, NULL};
static const farcall_method chat_method = {"Chat", "/pair.Streams/Chat", &pair__message__descriptor,
    &pair__message__descriptor, FARCALL_BIDI_STREAM, 0, 0, NULL};

static inline farcall_code
send_message(farcall_call *call, const char *text, uint32_t number, size_t size)
{
	static uint8_t bytes[1 << 21];
	Pair__Message message = PAIR__MESSAGE__INIT;

	message.text = (char *)(uintptr_t)text;
	message.number = number;
	message.data.data = bytes;
	message.data.len = size;
	return farcall_call_send(call, &message.base);
}

/* What was received, NULL unless the code is OK. */
static inline farcall_code
receive_message(farcall_call *call, const Pair__Message **message)
{
	const ProtobufCMessage *base = NULL;
	farcall_code code = farcall_call_recv(call, &base);

	*message = (const Pair__Message *)(const void *)base;
	return code;
}

#endif
