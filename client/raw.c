/*
 * raw.c: a call by its path. A method is made in the call's own memory; all else goes the way of
 * any call.
 */
#include "runtime/call/raw.h"

#include "client/internal.h"

/* Of a call that will not start. */
static const farcall_method no_method = {.name = "",
    .path = "/",
    .request = &farcall_bytes__descriptor,
    .reply = &farcall_bytes__descriptor};

static farcall_code
check(const char *path, const void *request, size_t size, fc_error *error)
{
	if (fc_raw_check_path(path, error) != FARCALL_OK)
		return error->code;
	if (request == NULL && size != 0)
		return fc_fail(
		    error, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_NONE, "the request is NULL");
	if (size > INT32_MAX)
		return fc_fail(error, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_LIMIT,
		    "the request of %zu bytes is larger than %d", size, INT32_MAX);
	return FARCALL_OK;
}

/* What is wrong sticks to the call; starting it then answers that. */
static const farcall_method *
prepare(farcall_call *base, const char *path, const void *request, size_t size, farcall_shape shape)
{
	const farcall_method *method;
	fc_error error;

	if (base == NULL || base->ops != &fc_client_call_ops || base->started ||
	    base->code != FARCALL_OK)
		return &no_method;
	fc_error_clear(&error);
	if (check(path, request, size, &error) != FARCALL_OK) {
		fc_call_settle_error(base, &error);
		return &no_method;
	}
	method = fc_raw_method(base, path, strlen(path), shape);
	if (method != NULL)
		return method;
	fc_call_doom_by_memory(base, &base->kept);
	return &no_method;
}

farcall_code
farcall_call_invoke_raw(farcall_call *base, const char *path, const void *request, size_t size,
    const void **reply, size_t *reply_size)
{
	const farcall_method *method = prepare(base, path, request, size, FARCALL_UNARY);
	farcall_bytes message = FARCALL_BYTES__INIT;
	const ProtobufCMessage *answer = NULL;
	const farcall_bytes *bytes;
	farcall_code code;

	message.data = request;
	message.size = size;
	code = farcall_call_invoke(base, method, &message.base, &answer);
	bytes = farcall_bytes_of(answer);
	if (code != FARCALL_OK || bytes == NULL)
		return code;
	if (reply != NULL)
		*reply = bytes->data;
	if (reply_size != NULL)
		*reply_size = bytes->size;
	return code;
}

void
farcall_call_invoke_raw_async(farcall_call *base, const char *path, const void *request,
    size_t size, farcall_raw_done *done, void *data)
{
	const farcall_method *method = prepare(base, path, request, size, FARCALL_UNARY);
	farcall_bytes message = FARCALL_BYTES__INIT;

	message.data = request;
	message.size = size;
	farcall_call_invoke_typed(
	    base, method, &message.base, fc_raw_thunk, (farcall_function *)done, data);
}

farcall_code
farcall_call_start_raw(farcall_call *base, const char *path)
{
	return farcall_call_start(base, prepare(base, path, NULL, 0, FARCALL_BIDI_STREAM), NULL);
}
