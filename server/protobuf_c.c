/*
 * protobuf_c.c: a ProtobufCService as a service of the server. Its descriptor becomes an interface;
 * a handler invokes the service and leaves the call pending; the closure completes it. If the call
 * is cancelled first, it is let go at once: code that never calls its closure leaks nothing.
 */
#include "server/internal.h"

#include "runtime/base/alloc.h"
#include "runtime/base/log.h"
#include "runtime/call/descriptor.h"

#include <string.h>

/* One block: the methods, then their paths. */
struct fc_old_service {
	ProtobufCService *service;
	farcall_interface iface;
	farcall_method methods[];
};

/* What register copies as the handlers. */
typedef struct fc_old_ops {
	const fc_old_service *old;
} fc_old_ops;

/* ---- the call ---- */

static void
reply(farcall_call *call, const ProtobufCMessage *message)
{
	const ProtobufCMessageDescriptor *wanted = call->method->reply;

	if (message != NULL && message->descriptor == wanted) {
		farcall_call_send_reply(call, message);
		return;
	}
	if (message == NULL)
		farcall_call_fail(call, FARCALL_INTERNAL, "the service gave no reply");
	else
		farcall_call_fail(call, FARCALL_INTERNAL,
		    "the service gave a reply of another type than %s",
		    wanted->name != NULL ? wanted->name : "the method's");
	farcall_call_complete(call, FARCALL_INTERNAL);
}

/* Any thread. */
static void
closure(const ProtobufCMessage *message, void *ticket)
{
	farcall_call *call;

	switch (fc_ticket_take(ticket, false, &call)) {
	case FC_TICKET_GOOD:
		reply(call, message);
		break;
	case FC_TICKET_LATE: /* the service could not know */
		break;
	case FC_TICKET_SPENT:
		fc_log(FARCALL_LOG_ERROR,
		    "protobuf-c service: misuse: a closure was called a second time, ignored");
		break;
	case FC_TICKET_FORGOTTEN:
		fc_log(FARCALL_LOG_WARNING,
		    "protobuf-c service: a closure was called long after its call had ended, or a "
		    "second time, ignored");
	}
}

static void
on_cancel(farcall_call *call, void *ticket)
{
	farcall_call *same;

	(void)call;
	if (fc_ticket_take(ticket, true, &same) == FC_TICKET_GOOD)
		farcall_call_complete(same, FARCALL_CANCELLED);
}

typedef void fc_old_handler(void);

/* Generated services keep a row of functions behind the base. Others we cannot look into. */
static bool
has_handler(const ProtobufCService *service, size_t index)
{
	fc_old_handler *handler;

	if (service->invoke != protobuf_c_service_invoke_internal)
		return true;
	memcpy(&handler, (const char *)(service + 1) + index * sizeof handler, sizeof handler);
	return handler != NULL;
}

static farcall_code
dispatch(
    farcall_call *call, const void *ops, const ProtobufCMessage *request, ProtobufCMessage *unused)
{
	const fc_old_service *old = ((const fc_old_ops *)ops)->old;
	unsigned index = (unsigned)(call->method - old->methods);
	void *ticket;

	(void)unused;
	if (!has_handler(old->service, index))
		return farcall_call_fail(
		    call, FARCALL_UNIMPLEMENTED, "%s is not implemented", call->method->path + 1);
	ticket = fc_ticket_new(call);
	if (ticket == NULL)
		return farcall_call_fail(
		    call, FARCALL_RESOURCE_EXHAUSTED, "no memory for the call's closure");
	farcall_call_on_cancel(call, on_cancel, ticket);
	if (!farcall_call_cancelled(call))
		old->service->invoke(old->service, index, request, closure, ticket);
	return FARCALL_PENDING;
}

/* ---- register ---- */

static farcall_code
check_service(fc_error *error, const ProtobufCService *service)
{
	const char *lacking = NULL;

	if (service == NULL)
		lacking = "it";
	else if (service->descriptor == NULL)
		lacking = "its descriptor";
	else if (service->invoke == NULL)
		lacking = "its invoke";
	if (lacking != NULL)
		return fc_fail(error, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_NONE,
		    "register protobuf-c service: %s is NULL", lacking);
	return fc_descriptor_check(service->descriptor, "register ", error);
}

static fc_old_service *
make(ProtobufCService *service)
{
	const ProtobufCServiceDescriptor *descriptor = service->descriptor;
	fc_old_service *old =
	    (fc_old_service *)fc_calloc(1, sizeof *old + fc_descriptor_size(descriptor));

	if (old == NULL)
		return NULL;
	old->service = service;
	old->iface.abi = FARCALL_INTERFACE_ABI;
	old->iface.method_size = sizeof(farcall_method);
	old->iface.name = descriptor->name;
	old->iface.n_methods = descriptor->n_methods;
	old->iface.methods = old->methods;
	fc_descriptor_methods(descriptor, dispatch, old->methods);
	return old;
}

farcall_service *
farcall_server_register_protobuf_c(farcall_server *server, ProtobufCService *service)
{
	farcall_service *registered;
	fc_old_service *old;
	fc_old_ops ops;

	if (!fc_server_in_setup(server, "register") ||
	    check_service(&server->error, service) != FARCALL_OK)
		return &fc_nil_service;
	old = make(service);
	if (old == NULL) {
		fc_fail_memory(&server->error, "register");
		return &fc_nil_service;
	}
	ops.old = old;
	registered = farcall_server_register(server, &old->iface, &ops, sizeof ops, service);
	if (registered == &fc_nil_service) {
		fc_free(old);
		return registered;
	}
	registered->old = old;
	fc_tickets_hold();
	return registered;
}

void
fc_old_service_free(fc_old_service *old)
{
	if (old == NULL)
		return;
	fc_tickets_drop();
	fc_free(old);
}
