#include "tests/pair/old_outcome.h"

#include <stdio.h>

void
outcome_note(const Pair__Message *reply, void *data)
{
	outcome *to = (outcome *)data;
	uv_thread_t self = uv_thread_self();

	to->replied = reply != NULL;
	to->foreign = !uv_thread_equal(&self, &to->maker);
	if (reply != NULL)
		snprintf(to->text, sizeof to->text, "%s", reply->text);
	if (to->destroys != NULL)
		protobuf_c_service_destroy(to->destroys);
	if (to->closes != NULL)
		farcall_channel_close(to->closes);
	atomic_fetch_add(&to->times, 1);
}

void
outcome_note_error(farcall_call *call, void *data)
{
	outcome *to = (outcome *)data;

	to->errors++;
	to->code = farcall_call_code(call);
	snprintf(to->error, sizeof to->error, "%s", farcall_call_error(call));
}

void
outcome_reset(outcome *to)
{
	memset(to, 0, sizeof *to);
	to->maker = uv_thread_self();
}

ProtobufCService *
outcome_service(farcall_channel *channel, outcome *to)
{
	ProtobufCService *service = farcall_channel_protobuf_c(channel, &pair__test__descriptor);

	outcome_reset(to);
	farcall_protobuf_c_on_error(service, outcome_note_error, to);
	return service;
}

Pair__Message *
old_message(Pair__Message *request, const char *text, uint32_t number)
{
	pair__message__init(request);
	request->text = (char *)(uintptr_t)text;
	request->number = number;
	return request;
}
