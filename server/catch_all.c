/*
 * catch_all.c: a service that has every path that no other has. To the rest of the server it is a
 * service with one method, "*", of bytes; only the call's own method tells what was asked for.
 */
#include "server/internal.h"

#include "runtime/call/raw.h"

#include <string.h>

typedef struct catch_all {
	farcall_raw_handler *unary;
	farcall_raw_stream_handler *stream;
} catch_all;

static farcall_code
dispatch(
    farcall_call *call, const void *ops, const ProtobufCMessage *request, ProtobufCMessage *reply)
{
	const catch_all *all = (const catch_all *)ops;

	if (all->stream != NULL)
		return all->stream(call);
	return all->unary(call, farcall_bytes_of(request), (farcall_bytes *)(void *)reply);
}

#define ANY(of_shape)                                                                          \
	{                                                                                      \
		.name = "*", .path = "*", .request = &farcall_bytes__descriptor,               \
		.reply = &farcall_bytes__descriptor, .shape = (of_shape), .dispatch = dispatch \
	}

static const farcall_method any_unary = ANY(FARCALL_UNARY);
static const farcall_method any_stream = ANY(FARCALL_BIDI_STREAM);

static const farcall_interface unary = {.abi = FARCALL_INTERFACE_ABI,
    .method_size = sizeof(farcall_method),
    .name = "*",
    .n_methods = 1,
    .methods = &any_unary};

static const farcall_interface stream = {.abi = FARCALL_INTERFACE_ABI,
    .method_size = sizeof(farcall_method),
    .name = "*",
    .n_methods = 1,
    .methods = &any_stream};

static farcall_service *
set(farcall_server *server, const farcall_interface *iface, const catch_all *ops, void *self)
{
	farcall_service *service;

	if (!fc_server_in_setup(server, "set catch-all"))
		return &fc_nil_service;
	if (ops->unary == NULL && ops->stream == NULL) {
		fc_fail(&server->error, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_NONE,
		    "set catch-all: the handler is NULL");
		return &fc_nil_service;
	}
	service = farcall_server_register(server, iface, ops, sizeof *ops, self);
	if (service != &fc_nil_service)
		service->extras = FC_EXTRA_ANY_PATH;
	return service;
}

farcall_service *
farcall_server_set_catch_all(farcall_server *server, farcall_raw_handler *handler, void *self)
{
	const catch_all ops = {handler, NULL};

	return set(server, &unary, &ops, self);
}

farcall_service *
farcall_server_set_catch_all_stream(
    farcall_server *server, farcall_raw_stream_handler *handler, void *self)
{
	const catch_all ops = {NULL, handler};

	return set(server, &stream, &ops, self);
}

bool
fc_catch_all_name(fc_server_call *call, const fc_head *head)
{
	farcall_method *method =
	    fc_raw_method(&call->call, head->path.at, head->path.size, call->call.method->shape);

	if (method == NULL)
		return false;
	method->dispatch = call->call.method->dispatch;
	call->call.method = method;
	return true;
}
