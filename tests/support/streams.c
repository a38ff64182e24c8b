#include "tests/support/streams.h"

#include <stdlib.h>
#include <string.h>

static test_streams *
self_of(farcall_call *call)
{
	return (test_streams *)farcall_call_self(call);
}

/* The code to end with. */
static farcall_code
leave(farcall_call *call, farcall_code code)
{
	test_streams *self = self_of(call);

	if (farcall_call_cancelled(call))
		atomic_fetch_add(&self->cancelled, 1);
	atomic_fetch_add(&self->ended, 1);
	return code;
}

farcall_code
test_stream_count(farcall_call *call, const Stream__Message *request)
{
	test_streams *self = self_of(call);
	farcall_code code = FARCALL_OK;

	atomic_fetch_add(&self->begun, 1);
	for (uint32_t i = 0; i < request->number && code == FARCALL_OK; i++) {
		Stream__Message reply = STREAM__MESSAGE__INIT;

		reply.number = i;
		reply.text = farcall_call_printf(call, "number %u", (unsigned)i);
		reply.data.len = request->size;
		reply.data.data = (uint8_t *)farcall_call_alloc(call, request->size);
		if (reply.data.data != NULL)
			memset(reply.data.data, (int)i, request->size);
		code = stream_test_count__send_reply(call, &reply);
		atomic_fetch_add(&self->sent, code == FARCALL_OK);
	}
	if (code == FARCALL_OK && request->code != 0)
		code = farcall_call_fail(call, (farcall_code)request->code, "%s", request->text);
	return leave(call, code);
}

farcall_code
test_stream_sum(farcall_call *call, Stream__Message *reply)
{
	const Stream__Message *request;
	farcall_code code;

	atomic_fetch_add(&self_of(call)->begun, 1);
	while ((code = stream_test_sum__recv_request(call, &request)) == FARCALL_OK) {
		if (request->code != 0)
			return leave(call,
			    farcall_call_fail(
			        call, (farcall_code)request->code, "%s", request->text));
		reply->number += request->number;
		reply->size++;
	}
	return leave(call, code);
}

/* What a message asks for. True: the call goes on, with *reply to be sent. */
static bool
answer(
    farcall_call *call, const Stream__Message *request, Stream__Message *reply, farcall_code *code)
{
	if (request->code != 0) {
		*code = farcall_call_fail(call, (farcall_code)request->code, "%s", request->text);
		return false;
	}
	*code = FARCALL_OK;
	if (strcmp(request->text, "end") == 0)
		return false;
	*reply = *request;
	return true;
}

farcall_code
test_stream_chat(farcall_call *call)
{
	const farcall_metadata *metadata = farcall_call_metadata(call);
	const char *say = farcall_metadata_get(metadata, "say");
	const Stream__Message *request;
	Stream__Message reply;
	farcall_code code;

	atomic_fetch_add(&self_of(call)->begun, 1);
	if (say != NULL) {
		farcall_call_add_metadata(call, "said", say);
		farcall_call_add_trailer(call, "said-last", say);
	}
	if (farcall_metadata_get(metadata, "say-first") != NULL)
		farcall_call_send_head(call);
	while ((code = stream_test_chat__recv_request(call, &request)) == FARCALL_OK)
		if (!answer(call, request, &reply, &code) ||
		    (code = stream_test_chat__send_reply(call, &reply)) != FARCALL_OK)
			break;
	return leave(call, code);
}

/* ---- without a thread ---- */

static void murmur_received(
    farcall_call *call, farcall_code code, const Stream__Message *request, void *data);

static void
murmur_sent(farcall_call *call, farcall_code code, const ProtobufCMessage *nothing, void *data)
{
	(void)nothing;
	if (code == FARCALL_OK)
		stream_test_murmur__recv_request__async(call, murmur_received, data);
	else
		farcall_call_complete(call, leave(call, code));
}

static void
murmur_received(farcall_call *call, farcall_code code, const Stream__Message *request, void *data)
{
	Stream__Message reply;

	if (code == FARCALL_OK && answer(call, request, &reply, &code))
		stream_test_murmur__send_reply__async(call, &reply, murmur_sent, data);
	else
		farcall_call_complete(call, leave(call, code));
}

farcall_code
test_stream_murmur(farcall_call *call)
{
	atomic_fetch_add(&self_of(call)->begun, 1);
	stream_test_murmur__recv_request__async(call, murmur_received, NULL);
	return FARCALL_PENDING;
}

static farcall_code
cancelled(farcall_call *call, const Stream__Message *request, Stream__Message *reply)
{
	(void)request;
	reply->number = (uint32_t)atomic_load(&self_of(call)->cancelled);
	return FARCALL_OK;
}

const struct stream_test test_stream_handlers = {
    .count = test_stream_count,
    .sum = test_stream_sum,
    .chat = test_stream_chat,
    .murmur = test_stream_murmur,
    .cancelled = cancelled,
};
