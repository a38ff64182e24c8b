/*
 * descriptor.c: protobuf-c's service descriptors. All their methods are unary: protoc-c leaves out
 * which ones stream.
 */
#include "runtime/call/descriptor.h"

#include <string.h>

#define NO_NAME                                                                                  \
	"has no name: gRPC calls by name, and code generated with optimize_for = CODE_SIZE has " \
	"none"

static bool
is_empty(const char *name)
{
	return name == NULL || name[0] == 0;
}

farcall_code
fc_descriptor_check(const ProtobufCServiceDescriptor *descriptor, const char *step, fc_error *error)
{
	if (descriptor->magic != PROTOBUF_C__SERVICE_DESCRIPTOR_MAGIC)
		return fc_fail(error, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_NONE,
		    "%sprotobuf-c service: its descriptor is none", step);
	if (is_empty(descriptor->name))
		return fc_fail(error, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_NONE,
		    "%sprotobuf-c service: it " NO_NAME, step);
	for (unsigned i = 0; i < descriptor->n_methods; i++) {
		const ProtobufCMethodDescriptor *method = &descriptor->methods[i];

		if (is_empty(method->name))
			return fc_fail(error, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_NONE,
			    "%s%s: method %u " NO_NAME, step, descriptor->name, i);
		if (method->input == NULL || method->output == NULL)
			return fc_fail(error, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_NONE,
			    "%s%s: method %s has no message type", step, descriptor->name,
			    method->name);
	}
	return FARCALL_OK;
}

static size_t
size_of(const char *text)
{
	return text != NULL ? strlen(text) : 0;
}

size_t
fc_descriptor_size(const ProtobufCServiceDescriptor *descriptor)
{
	size_t size = descriptor->n_methods * sizeof(farcall_method);

	for (unsigned i = 0; i < descriptor->n_methods; i++)
		size +=
		    size_of(descriptor->name) + size_of(descriptor->methods[i].name) + sizeof "//";
	return size;
}

static char *
add_text(char *to, const char *text)
{
	size_t size = size_of(text);

	if (size != 0)
		memcpy(to, text, size);
	return to + size;
}

void
fc_descriptor_methods(const ProtobufCServiceDescriptor *descriptor, farcall_dispatch *dispatch,
    farcall_method *methods)
{
	char *to = (char *)&methods[descriptor->n_methods];

	for (unsigned i = 0; i < descriptor->n_methods; i++) {
		const ProtobufCMethodDescriptor *from = &descriptor->methods[i];
		farcall_method *method = &methods[i];

		memset(method, 0, sizeof *method);
		method->name = from->name != NULL ? from->name : "";
		method->path = to;
		method->request = from->input;
		method->reply = from->output;
		method->shape = FARCALL_UNARY;
		method->dispatch = dispatch;
		*to++ = '/';
		to = add_text(to, descriptor->name);
		*to++ = '/';
		to = add_text(to, from->name);
		*to++ = 0;
	}
}
