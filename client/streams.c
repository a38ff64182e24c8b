/*
 * streams.c: streaming calls are not part of this version. Whoever asks for one is told so, in the
 * call's own outcome and by the same ways as any other failure.
 */
#include "client/internal.h"

static const char text[] = "streams are not part of this version";

/* The call, opened to be refused; NULL: it is no client's call, or was used before. */
static fc_client_call *
refuse(farcall_call *base, farcall_code *code)
{
	fc_client_call *call = (fc_client_call *)base;
	int idle = FC_CALL_IDLE;

	*code = FARCALL_UNIMPLEMENTED;
	if (base == NULL) {
		*code = fc_call_misuse(NULL, "the call is NULL");
		return NULL;
	}
	if (base->ops != &fc_client_call_ops) {
		if (base->code != FARCALL_OK)
			*code = base->code;
		return NULL;
	}
	if (!atomic_compare_exchange_strong(&call->phase, &idle, FC_CALL_OPEN)) {
		*code = fc_call_used_twice(base, idle);
		return NULL;
	}
	base->started = true;
	*code =
	    fc_call_settle(base, FARCALL_UNIMPLEMENTED, FARCALL_CAUSE_NONE, text, sizeof text - 1);
	return call;
}

static farcall_code
refuse_now(farcall_call *base)
{
	farcall_code code;
	fc_client_call *call = refuse(base, &code);

	if (call != NULL)
		atomic_store(&call->phase, FC_CALL_DONE);
	return code;
}

static void
refuse_later(farcall_call *base, farcall_done *done, void *data)
{
	farcall_code code;
	fc_client_call *call = refuse(base, &code);

	if (call != NULL) {
		call->done = done;
		call->data = data;
		fc_call_start_async(call, NULL);
	} else if (done != NULL) {
		done(base, code, NULL, data);
	}
}

static void
refuse_typed(farcall_call *base, farcall_thunk *thunk, farcall_function *done, void *data)
{
	farcall_code code;
	fc_client_call *call = refuse(base, &code);

	if (call != NULL) {
		call->thunk = thunk;
		call->typed_done = done;
		call->data = data;
		fc_call_start_async(call, NULL);
	} else if (thunk != NULL) {
		thunk(base, code, NULL, done, data);
	}
}

farcall_code
farcall_call_start(
    farcall_call *call, const farcall_method *method, const ProtobufCMessage *request)
{
	(void)method, (void)request;
	return refuse_now(call);
}

farcall_code
farcall_call_finish(farcall_call *call, const ProtobufCMessage **reply)
{
	(void)reply;
	return refuse_now(call);
}

void
farcall_call_finish_async(farcall_call *call, farcall_done *done, void *data)
{
	refuse_later(call, done, data);
}

void
farcall_call_finish_typed(
    farcall_call *call, farcall_thunk *thunk, farcall_function *done, void *data)
{
	refuse_typed(call, thunk, done, data);
}
