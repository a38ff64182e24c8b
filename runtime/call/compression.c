/*
 * compression.c: what a program says of its call's codings. What becomes of it is the engine's
 * business.
 */
#include "runtime/call/call.h"

#include "runtime/base/log.h"

bool
fc_coding_check(farcall_coding coding, uint8_t *kept, fc_error *error)
{
	if (coding == FARCALL_IDENTITY || coding == FARCALL_GZIP || coding == FARCALL_DEFLATE) {
		*kept = coding == FARCALL_IDENTITY ? 0 : (uint8_t)coding;
		return true;
	}
	fc_fail(error, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_NONE,
	    "compression: %d is none of FARCALL_IDENTITY, FARCALL_GZIP, FARCALL_DEFLATE",
	    (int)coding);
	return false;
}

void
farcall_call_set_compression(farcall_call *call, farcall_coding coding)
{
	uint8_t kept;
	fc_error error;

	if (call == NULL || (!call->ops->server && call->code != FARCALL_OK))
		return;
	fc_error_clear(&error);
	if (call->ops->server ? call->head_sent : call->started)
		fc_call_misuse(call, "set compression: a head has been sent already");
	else if (fc_coding_check(coding, &kept, &error))
		call->coding = kept;
	else if (call->ops->server)
		fc_call_misuse(call, error.text);
	else
		fc_call_settle_error(call, &error);
}

void
farcall_call_set_message_compression(farcall_call *call, bool compress)
{
	if (call == NULL)
		return;
	if (call->ops->server || call->flow != NULL)
		call->plain = !compress; /* of a stream under way the outcome is not ours to read */
	else if (call->code == FARCALL_OK && call->started)
		fc_call_misuse(call, "set message compression: the message has been sent already");
	else if (call->code == FARCALL_OK)
		call->plain = !compress;
}

bool
farcall_call_message_compressed(const farcall_call *call)
{
	return call != NULL && call->compressed;
}
