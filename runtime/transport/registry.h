/*
 * registry.h: a folder of leased records, one for each interface and endpoint of each server: how a
 * client finds a server by the interface's name. A record is a small text file that its owner keeps
 * locked; the kernel lets the lock go with the owner, so a crash leaves nothing that counts.
 */
#ifndef FC_TRANSPORT_REGISTRY_H
#define FC_TRANSPORT_REGISTRY_H

#include "runtime/base/error.h"
#include "runtime/transport/address.h"

#define FC_LEASE_S 30 /* a record not renewed for so long is dead, locked or not */
#define FC_RECORD_ADDRESSES 32
#define FC_RECORDS_MOST 1024 /* records of one interface that a client looks at */

typedef struct fc_record fc_record;

/* Writes "DIR/pkg.Service@PID-N" atomically: complete and locked before it has its name.
 * `addresses` are real ones, as farcall_endpoint_address() gives. DIR must exist and be a folder
 * that we may write. */
fc_record *fc_record_publish(const char *dir, const char *interface_name,
    const char *const *addresses, size_t n, fc_error *error);
farcall_code fc_record_renew(fc_record *record, fc_error *error); /* every FC_LEASE_S / 3 */
void fc_record_withdraw(fc_record *record);                       /* removes the file, frees */

/* What a record may be of: a full name as protobuf has it, such as "demo.Greeter". */
bool fc_record_is_interface(const char *name);

/* The addresses of all living records of "DIR/pkg.Service", best first (newest). `give` is called
 * for each. UNAVAILABLE, HOST_NOT_FOUND, "no server has published demo.Greeter in /run/farcall" if
 * there is none. Dead records are removed where that is allowed. Rubbish in a record is skipped
 * with a log line. */
farcall_code fc_record_find(
    const char *path, void (*give)(void *data, const char *address), void *data, fc_error *error);

#endif
