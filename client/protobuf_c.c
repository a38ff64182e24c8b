/*
 * protobuf_c.c: a channel as a ProtobufCService: what protoc-c's own functions call through. Each
 * invoke is an async call; its closure is told where callbacks are told, once, whatever happens.
 * The service is kept by the program, until it destroys it, and by each call under way.
 */
#include "client/internal.h"

#include "runtime/base/alloc.h"
#include "runtime/base/log.h"
#include "runtime/call/descriptor.h"

/* One block: the methods, then their paths. */
typedef struct fc_old_client {
	ProtobufCService base; /* first */
	fc_refs refs;
	farcall_channel *channel;
	bool holds_channel;
	fc_error error; /* why it can make no calls */

	/* set-up: until the first call */
	farcall_protobuf_c_hook *on_error, *on_start;
	void *error_data, *start_data;

	/* under `lock` */
	fc_spin lock;
	fc_list calls; /* fc_old_call, those under way */

	farcall_method methods[];
} fc_old_client;

/* Lives with its farcall_call. */
typedef struct fc_old_call {
	fc_list in_client;
	fc_old_client *client; /* a reference */
	farcall_call *call;
	ProtobufCClosure closure;
	void *data;
} fc_old_call;

/* ---- the end ---- */

static void
drop(fc_old_client *client)
{
	if (!fc_refs_drop(&client->refs))
		return;
	if (client->holds_channel)
		fc_channel_drop(client->channel);
	fc_free(client);
}

/* Each is held while it is cancelled, since it may end meanwhile. */
static farcall_call *
take_call(fc_old_client *client)
{
	farcall_call *call = NULL;
	fc_list *first;

	fc_spin_lock(&client->lock);
	first = fc_list_pop(&client->calls);
	if (first != NULL) {
		call = FC_CONTAINER(first, fc_old_call, in_client)->call;
		farcall_call_hold(call);
	}
	fc_spin_unlock(&client->lock);
	return call;
}

static void
destroy(ProtobufCService *service)
{
	fc_old_client *client = (fc_old_client *)service;
	farcall_call *call;

	while ((call = take_call(client)) != NULL) {
		farcall_call_cancel(call);
		farcall_call_free(call);
	}
	drop(client);
}

/* ---- calls ---- */

static void
log_failure(farcall_call *call, void *data)
{
	const farcall_method *method = farcall_call_method(call);

	(void)data;
	fc_log(FARCALL_LOG_WARNING, "%s: %s", method != NULL ? method->path : "protobuf-c service",
	    farcall_call_error(call));
}

/* What of the program's comes in it may destroy the service. */
static void
tell_program(fc_old_client *client, farcall_call *call, const ProtobufCMessage *message,
    ProtobufCClosure closure, void *data)
{
	if (message == NULL && client->on_error != NULL)
		client->on_error(call, client->error_data);
	if (closure != NULL)
		closure(message, data);
	farcall_call_free(call);
	drop(client);
}

static void
done(farcall_call *call, farcall_code code, const ProtobufCMessage *message, void *data)
{
	fc_old_call *old = (fc_old_call *)data;
	fc_old_client *client = old->client;

	(void)code;
	fc_spin_lock(&client->lock);
	fc_list_remove(&old->in_client);
	fc_spin_unlock(&client->lock);
	tell_program(client, call, message, old->closure, old->data);
}

static void
invoke(ProtobufCService *service, unsigned index, const ProtobufCMessage *input,
    ProtobufCClosure closure, void *data)
{
	fc_old_client *client = (fc_old_client *)service;
	farcall_call *call = farcall_call_new(client->channel);
	fc_old_call *old = (fc_old_call *)farcall_call_keep(call, sizeof *old);
	const farcall_method *method = NULL;

	fc_refs_hold(&client->refs);
	if (client->error.code != FARCALL_OK)
		fc_call_settle_error(call, &client->error);
	if (old == NULL) {
		tell_program(client, call, NULL, closure, data);
		return;
	}
	if (index < service->descriptor->n_methods)
		method = &client->methods[index];
	else
		fc_call_misuse(call, "the service has no method of this number");
	old->client = client;
	old->call = call;
	old->closure = closure;
	old->data = data;
	if (client->on_start != NULL)
		client->on_start(call, client->start_data);
	fc_spin_lock(&client->lock);
	fc_list_append(&client->calls, &old->in_client);
	fc_spin_unlock(&client->lock);
	farcall_call_invoke_async(call, method, input, done, old);
}

/* ---- making one ---- */

ProtobufCService *
farcall_channel_protobuf_c(farcall_channel *channel, const ProtobufCServiceDescriptor *descriptor)
{
	fc_old_client *client;

	if (descriptor == NULL || descriptor->magic != PROTOBUF_C__SERVICE_DESCRIPTOR_MAGIC) {
		fc_log(FARCALL_LOG_ERROR, "protobuf-c service: misuse: its descriptor is %s",
		    descriptor == NULL ? "NULL" : "none");
		return NULL;
	}
	client =
	    (fc_old_client *)fc_calloc(1, sizeof(fc_old_client) + fc_descriptor_size(descriptor));
	if (client == NULL) {
		fc_log(FARCALL_LOG_ERROR, "protobuf-c service: out of memory");
		return NULL;
	}
	client->base.descriptor = descriptor;
	client->base.invoke = invoke;
	client->base.destroy = destroy;
	fc_refs_init(&client->refs);
	fc_spin_init(&client->lock);
	fc_list_init(&client->calls);
	fc_error_clear(&client->error);
	fc_descriptor_check(descriptor, "", &client->error);
	fc_descriptor_methods(descriptor, NULL, client->methods);
	client->on_error = log_failure;
	client->channel = channel;
	client->holds_channel = channel != NULL && !channel->nil;
	if (client->holds_channel)
		fc_channel_hold(channel);
	return &client->base;
}

/* NULL: it is none of ours. */
static fc_old_client *
ours(ProtobufCService *service, const char *step)
{
	if (service == NULL)
		return NULL;
	if (service->destroy == destroy)
		return (fc_old_client *)service;
	fc_log(FARCALL_LOG_ERROR, "protobuf-c service: misuse: %s: it is not a channel's", step);
	return NULL;
}

void
farcall_protobuf_c_on_error(ProtobufCService *service, farcall_protobuf_c_hook *fn, void *data)
{
	fc_old_client *client = ours(service, "on error");

	if (client == NULL)
		return;
	client->on_error = fn;
	client->error_data = data;
}

void
farcall_protobuf_c_on_start(ProtobufCService *service, farcall_protobuf_c_hook *fn, void *data)
{
	fc_old_client *client = ours(service, "on start");

	if (client == NULL)
		return;
	client->on_start = fn;
	client->start_data = data;
}
