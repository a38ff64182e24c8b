/*
 * farcall/interface.h: what generated code hands to the runtime. Users seldom read it.
 */
#ifndef FARCALL_INTERFACE_H
#define FARCALL_INTERFACE_H

#include <protobuf-c/protobuf-c.h>

#include <farcall/code.h>

FARCALL_BEGIN_DECLS

typedef struct farcall_call farcall_call;

typedef enum farcall_shape {
	FARCALL_UNARY,
	FARCALL_CLIENT_STREAM,
	FARCALL_SERVER_STREAM,
	FARCALL_BIDI_STREAM
} farcall_shape;

/* farcall_method.flags: bits 0 and 1 are google.protobuf.MethodOptions.idempotency_level. */
#define FARCALL_METHOD_NO_SIDE_EFFECTS 1u
#define FARCALL_METHOD_IDEMPOTENT 2u
#define FARCALL_METHOD_DEPRECATED 4u

/* A typed thunk: calls the member of `ops` that is the handler. `request` is NULL for a client or
 * bidi stream, `reply` for a server or bidi stream. UNIMPLEMENTED when the member is NULL. */
typedef farcall_code farcall_dispatch(
    farcall_call *call, const void *ops, const ProtobufCMessage *request, ProtobufCMessage *reply);

typedef struct farcall_method {
	const char *name; /* "SayHello" */
	const char *path; /* "/demo.Greeter/SayHello" */
	const ProtobufCMessageDescriptor *request;
	const ProtobufCMessageDescriptor *reply;
	farcall_shape shape;
	uint32_t flags;
	size_t ops_offset; /* of the handler in the service's struct */
	farcall_dispatch *dispatch;
} farcall_method;

/* Generated code and library agree by these two numbers; register checks them. */
#define FARCALL_INTERFACE_ABI 1u

typedef struct farcall_interface {
	uint32_t abi;         /* FARCALL_INTERFACE_ABI */
	uint32_t method_size; /* sizeof(farcall_method) as the generated code saw it */
	const char *name;     /* "demo.Greeter" */
	size_t n_methods;
	const farcall_method *methods;
	size_t n_files; /* FileDescriptorProtos: this file's first, then its imports', for
	                   reflection */
	const ProtobufCBinaryData *files;
} farcall_interface;

FARCALL_END_DECLS

#endif
