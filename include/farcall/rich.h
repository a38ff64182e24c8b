/*
 * farcall/rich.h: errors that say more than a code and a text: messages of any type beside them, in
 * a google.rpc.Status that travels in the trailers as `grpc-status-details-bin`, as all of gRPC's
 * libraries do it. Those of google/rpc/error_details.proto are the usual ones; any will do.
 *
 * The Status's own code and message are always those of the call. Peers that know nothing of
 * details see these two, as ever.
 */
#ifndef FARCALL_RICH_H
#define FARCALL_RICH_H

#include <farcall/interface.h>

FARCALL_BEGIN_DECLS

/* ---- a server's call: before it ends; in its handler, or by whoever completes it ---- */

/* One more detail, packed before this returns, under the type
 * "type.googleapis.com/" and the message's full name. They are sent, in order, if the call fails;
 * not if it ends OK. A peer's limit on metadata (gRPC's is 8 KiB) counts for them, too: details
 * that do not fit are left out, all of them, and the log has a warning; the code and the text are
 * sent nevertheless. What a call may keep (1 MiB) is past it RESOURCE_EXHAUSTED. */
FARCALL_API void farcall_call_add_detail(farcall_call *call, const ProtobufCMessage *detail);

/* The same of a message that is packed already, under any type's address, which is copied, as the
 * bytes are. An address that is NULL or empty: the call ends with INTERNAL. */
FARCALL_API void farcall_call_add_detail_bytes(
    farcall_call *call, const char *type_url, const void *value, size_t size);

/* Takes over the details of `failed`, a client's call that has ended, such as a proxy has made;
 * adds nothing if it has none. */
FARCALL_API void farcall_call_copy_details(farcall_call *call, farcall_call *failed);

/* ---- a client's call that has failed ---- */

/* The i-th detail of the status that the server has sent; false past the last. Any of the outputs
 * may be NULL; what they show lives with the call. There are none if the server's bytes are no
 * google.rpc.Status, or of another code than the call's: then the log has a warning. One thread at
 * a time. */
FARCALL_API bool farcall_call_detail(
    farcall_call *call, size_t i, const char **type_url, const void **value, size_t *size);

/* The first detail of this type (by its full name; what stands before the last slash of the address
 * does not matter), unpacked, or NULL: there is none, or it is damaged. It lives with the call. The
 * result is a message of the type that `type` describes. */
FARCALL_API const ProtobufCMessage *farcall_call_find_detail(
    farcall_call *call, const ProtobufCMessageDescriptor *type);

FARCALL_END_DECLS

#endif
