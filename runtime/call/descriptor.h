/*
 * descriptor.h: from the service descriptors that protoc-c writes to methods as a farcall_interface
 * has them. Both sides of protobuf-c's own services need it.
 */
#ifndef FC_CALL_DESCRIPTOR_H
#define FC_CALL_DESCRIPTOR_H

#include "runtime/base/error.h"

#include <farcall/interface.h>

/* INVALID_ARGUMENT when gRPC cannot call by it: it is no descriptor, or lacks names or types.
 * `step` begins the text: "register ", or "". */
farcall_code fc_descriptor_check(
    const ProtobufCServiceDescriptor *descriptor, const char *step, fc_error *error);

/* Bytes of its methods, the texts of their paths behind them. A name that is missing is "". */
size_t fc_descriptor_size(const ProtobufCServiceDescriptor *descriptor);
void fc_descriptor_methods(const ProtobufCServiceDescriptor *descriptor, farcall_dispatch *dispatch,
    farcall_method *methods);

#endif
