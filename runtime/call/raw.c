/*
 * raw.c: see raw.h. Bytes are copied when they arrive, as every message is: the handler runs when
 * the read buffer has gone. They are sent from where they are.
 */
#include "runtime/call/raw.h"

#include <string.h>

/* ---- the type ---- */

static void
init(ProtobufCMessage *message)
{
	static const farcall_bytes empty = FARCALL_BYTES__INIT;

	memcpy(message, &empty, sizeof empty);
}

const ProtobufCMessageDescriptor farcall_bytes__descriptor = {
    .magic = PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC,
    .name = "farcall.Bytes",
    .short_name = "Bytes",
    .c_name = "farcall_bytes",
    .package_name = "farcall",
    .sizeof_message = sizeof(farcall_bytes),
    .message_init = init,
};

const farcall_bytes *
farcall_bytes_of(const ProtobufCMessage *message)
{
	if (message == NULL || message->descriptor != &farcall_bytes__descriptor)
		return NULL;
	return (const farcall_bytes *)(const void *)message;
}

/* ---- marshalling ---- */

static void
flat(const fc_payload *payload, uint8_t *to)
{
	const farcall_bytes *bytes = (const farcall_bytes *)payload->message;

	if (bytes->size != 0)
		memcpy(to, bytes->data, bytes->size);
}

static void
pour(const fc_payload *payload, fc_sink *sink)
{
	const farcall_bytes *bytes = (const farcall_bytes *)payload->message;

	if (bytes->size != 0)
		sink->add(sink, (const uint8_t *)bytes->data, bytes->size);
}

bool
fc_raw_payload(fc_payload *payload, const ProtobufCMessage *message)
{
	const farcall_bytes *bytes = farcall_bytes_of(message);

	if (bytes == NULL)
		return false;
	payload->size = bytes->size;
	payload->flat = flat;
	payload->pour = pour;
	payload->message = message;
	return true;
}

farcall_code
fc_raw_unpack(const uint8_t *bytes, size_t size, const fc_guard_limits *limits, fc_arena *arena,
    ProtobufCMessage **message, fc_error *error)
{
	farcall_bytes *raw = NULL;

	if (size < limits->memory - sizeof *raw)
		raw = (farcall_bytes *)fc_arena_alloc(arena, sizeof *raw + size);
	if (raw == NULL)
		return fc_fail(error, FARCALL_RESOURCE_EXHAUSTED,
		    arena->state == FC_ARENA_NO_MEMORY ? FARCALL_CAUSE_OUT_OF_MEMORY
		                                       : FARCALL_CAUSE_LIMIT,
		    "no memory for a raw message of %zu bytes", size);
	init(&raw->base);
	raw->size = size;
	raw->data = raw + 1;
	if (size != 0)
		memcpy(raw + 1, bytes, size);
	*message = &raw->base;
	return FARCALL_OK;
}

/* ---- methods ---- */

farcall_method *
fc_raw_method(farcall_call *call, const char *path, size_t size, farcall_shape shape)
{
	farcall_method *method =
	    (farcall_method *)fc_arena_alloc(&call->kept, sizeof *method + size + 1);
	char *copy;

	if (method == NULL)
		return NULL;
	memset(method, 0, sizeof *method);
	copy = (char *)(method + 1);
	memcpy(copy, path, size);
	copy[size] = 0;
	method->path = copy;
	method->name = strrchr(copy, '/') != NULL ? strrchr(copy, '/') + 1 : copy;
	method->request = method->reply = &farcall_bytes__descriptor;
	method->shape = shape;
	return method;
}

static farcall_code
bad_path(fc_error *error, const char *path, size_t column, const char *what)
{
	return fc_fail(error, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_NONE,
	    "bad path \"%.80s\", column %zu: %s", path, column, what);
}

farcall_code
fc_raw_check_path(const char *path, fc_error *error)
{
	size_t slashes = 0, size;

	if (path == NULL)
		return fc_fail(
		    error, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_NONE, "the path is NULL");
	if (path[0] != '/')
		return bad_path(error, path, 1, "it does not begin with a slash");
	for (size = 0; path[size] != 0; size++) {
		if (size == FC_RAW_PATH)
			return fc_fail(error, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_LIMIT,
			    "bad path \"%.80s…\": more than %u bytes", path, FC_RAW_PATH);
		if ((unsigned char)path[size] <= 0x20 || (unsigned char)path[size] > 0x7e)
			return bad_path(error, path, size + 1, "not printable ASCII, or a blank");
		slashes += path[size] == '/';
	}
	if (slashes < 2)
		return bad_path(error, path, size, "there is no slash before a method's name");
	if (path[1] == '/' || path[size - 1] == '/')
		return bad_path(error, path, path[1] == '/' ? 2 : size,
		    path[1] == '/' ? "there is no service" : "there is no method");
	return FARCALL_OK;
}

/* ---- steps ---- */

void
fc_raw_thunk(farcall_call *call, farcall_code code, const ProtobufCMessage *message,
    farcall_function *done, void *data)
{
	const farcall_bytes *bytes = farcall_bytes_of(message);
	farcall_raw_done *raw_done = (farcall_raw_done *)done;

	if (raw_done == NULL)
		return;
	if (bytes != NULL)
		raw_done(call, code, bytes->data, bytes->size, data);
	else
		raw_done(call, code, NULL, 0, data);
}

farcall_code
farcall_call_send_raw(farcall_call *call, const void *data, size_t size)
{
	farcall_bytes bytes = FARCALL_BYTES__INIT;

	bytes.data = data;
	bytes.size = size;
	return farcall_call_send(call, &bytes.base);
}

farcall_code
farcall_call_recv_raw(farcall_call *call, const void **data, size_t *size)
{
	const ProtobufCMessage *message = NULL;
	farcall_code code = farcall_call_recv(call, &message);
	const farcall_bytes *bytes = farcall_bytes_of(message);

	if (code != FARCALL_OK || bytes == NULL)
		return code != FARCALL_OK ? code : fc_call_misuse(call, "recv raw: not a raw call");
	if (data != NULL)
		*data = bytes->data;
	if (size != NULL)
		*size = bytes->size;
	return code;
}

void
farcall_call_send_raw_async(
    farcall_call *call, const void *data, size_t size, farcall_done *done, void *user)
{
	farcall_bytes bytes = FARCALL_BYTES__INIT;

	bytes.data = data;
	bytes.size = size;
	farcall_call_send_async(call, &bytes.base, done, user);
}

void
farcall_call_recv_raw_async(farcall_call *call, farcall_raw_done *done, void *data)
{
	farcall_call_recv_typed(call, fc_raw_thunk, (farcall_function *)done, data);
}
