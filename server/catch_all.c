/*
 * catch_all.c: a service that has every path that no other has. To the rest of the server it is a
 * service with one method, "*", of bytes; only the call's own method tells what was asked for.
 */
#include "server/internal.h"

#include "runtime/call/raw.h"

#include <string.h>

typedef struct catch_all {
	farcall_raw_handler *handler;
} catch_all;

static farcall_code
dispatch(
    farcall_call *call, const void *ops, const ProtobufCMessage *request, ProtobufCMessage *reply)
{
	const catch_all *all = (const catch_all *)ops;

	return all->handler(call, farcall_bytes_of(request), (farcall_bytes *)(void *)reply);
}

static const farcall_method any = {
    .name = "*",
    .path = "*",
    .request = &farcall_bytes__descriptor,
    .reply = &farcall_bytes__descriptor,
    .shape = FARCALL_UNARY,
    .dispatch = dispatch,
};

static const farcall_interface iface = {.abi = FARCALL_INTERFACE_ABI,
    .method_size = sizeof(farcall_method),
    .name = "*",
    .n_methods = 1,
    .methods = &any};

farcall_service *
farcall_server_set_catch_all(farcall_server *server, farcall_raw_handler *handler, void *self)
{
	const catch_all ops = {handler};
	farcall_service *service;

	if (!fc_server_in_setup(server, "set catch-all"))
		return &fc_nil_service;
	if (handler == NULL) {
		fc_fail(&server->error, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_NONE,
		    "set catch-all: the handler is NULL");
		return &fc_nil_service;
	}
	service = farcall_server_register(server, &iface, &ops, sizeof ops, self);
	if (service != &fc_nil_service)
		service->extras = FC_EXTRA_ANY_PATH;
	return service;
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
