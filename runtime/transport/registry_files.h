/*
 * registry_files.h: the files of a registry: what needs the operating system. Private to the
 * registry.
 *
 * A record's file is complete and locked before it has its name, and keeps the lock as long as its
 * owner lives. Names are never reused while their file stands, so a finder may remove what it has
 * found dead.
 */
#ifndef FC_TRANSPORT_REGISTRY_FILES_H
#define FC_TRANSPORT_REGISTRY_FILES_H

#include "runtime/base/error.h"

#include <stddef.h>
#include <stdint.h>

#define FC_RECORD_INTERFACE_MOST 200 /* bytes of an interface's name in a file's name */

typedef struct fc_record_file {
	int dir, fd; /* -1: none */
	int64_t pid; /* of the owner: a forked child must not remove its parent's record */
	char name[256];
} fc_record_file;

/* Opens the folder for publishing. */
farcall_code fc_record_folder_open(fc_record_file *file, const char *dir, fc_error *error);

/* Writes "INTERFACE@PID-N". The folder must be open. */
farcall_code fc_record_file_create(fc_record_file *file, const char *interface_name,
    const char *text, size_t size, fc_error *error);

/* Renews the lease. *gone: somebody has removed the file; it is to be created again. */
farcall_code fc_record_file_renew(fc_record_file *file, bool *gone, fc_error *error);

/* Removes the file, closes everything. */
void fc_record_file_remove(fc_record_file *file);

/* Shows each living record of the interface, of at most `most` bytes, and removes the dead. A
 * missing folder is NOT_FOUND. */
farcall_code fc_record_files_read(const char *dir, const char *interface_name, size_t most,
    void (*give)(void *data, const char *name, const char *text, size_t size), void *data,
    fc_error *error);

int64_t fc_record_pid(void);
uint64_t fc_record_clock(void); /* ns of the wall clock */

#endif
