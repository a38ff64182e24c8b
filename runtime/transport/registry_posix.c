/*
 * registry_posix.c: see registry_files.h; all system calls of the registry are here.
 *
 * Orderings that count. Publish: write under a temporary name, lock, then link: a name appears
 * complete and locked, and link() never replaces a file. Find: an inode that can be locked has lost
 * its owner for ever; it is removed under a lock of the folder, after its name was seen to mean
 * that inode still, so that two finders cannot remove a newer file of the same name between them.
 * Symbolic links are never followed, and opening never blocks on a FIFO.
 */
#include "runtime/transport/registry_files.h"

#include "runtime/base/atomic.h"
#include "runtime/base/bytes.h"
#include "runtime/base/log.h"
#include "runtime/transport/registry.h"

#ifdef _WIN32

static farcall_code
not_here(fc_error *error)
{
	return fc_fail(error, FARCALL_UNIMPLEMENTED, FARCALL_CAUSE_NONE,
	    "registries in folders (file:) are not available on Windows yet");
}

farcall_code
fc_record_folder_open(fc_record_file *file, const char *dir, fc_error *error)
{
	(void)file, (void)dir;
	return not_here(error);
}

farcall_code
fc_record_file_create(fc_record_file *file, const char *interface_name, const char *text,
    size_t size, fc_error *error)
{
	(void)file, (void)interface_name, (void)text, (void)size;
	return not_here(error);
}

farcall_code
fc_record_file_renew(fc_record_file *file, bool *gone, fc_error *error)
{
	(void)file, (void)gone;
	return not_here(error);
}

void
fc_record_file_remove(fc_record_file *file)
{
	(void)file;
}

farcall_code
fc_record_files_read(const char *dir, const char *interface_name, size_t most,
    void (*give)(void *data, const char *name, const char *text, size_t size), void *data,
    fc_error *error)
{
	(void)dir, (void)interface_name, (void)most, (void)give, (void)data;
	return not_here(error);
}

int64_t
fc_record_pid(void)
{
	return 0;
}

uint64_t
fc_record_clock(void)
{
	return 0;
}

#else

#include "runtime/base/alloc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NAMES_MOST 1000 /* tries for a free name */

typedef struct errno_row {
	int number;
	farcall_code code;
	farcall_cause cause;
	const char *text;
} errno_row;

static const errno_row errno_rows[] = {
    {ENOENT, FARCALL_NOT_FOUND, FARCALL_CAUSE_NONE, "no such folder"},
    {ENOTDIR, FARCALL_NOT_FOUND, FARCALL_CAUSE_NONE, "not a folder"},
    {EACCES, FARCALL_PERMISSION_DENIED, FARCALL_CAUSE_ACCESS_DENIED, "access denied"},
    {EPERM, FARCALL_PERMISSION_DENIED, FARCALL_CAUSE_ACCESS_DENIED, "access denied"},
    {EROFS, FARCALL_PERMISSION_DENIED, FARCALL_CAUSE_ACCESS_DENIED, "read-only file system"},
    {EMFILE, FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_TOO_MANY_FILES, "too many open files"},
    {ENFILE, FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_TOO_MANY_FILES, "too many open files"},
    {ENOMEM, FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_OUT_OF_MEMORY, "out of memory"},
    {ENOSPC, FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_LIMIT, "no space left"},
    {EDQUOT, FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_LIMIT, "disk quota reached"},
    {ENOLCK, FARCALL_UNAVAILABLE, FARCALL_CAUSE_SYSTEM, "the file system has no locks"},
    {ENOTSUP, FARCALL_UNAVAILABLE, FARCALL_CAUSE_SYSTEM, "not supported by the file system"},
};

static farcall_code
fail_errno(fc_error *error, const char *what, const char *name, int number)
{
	for (size_t i = 0; i < FC_COUNT(errno_rows); i++)
		if (errno_rows[i].number == number)
			return fc_fail(error, errno_rows[i].code, errno_rows[i].cause, "%s %s: %s",
			    what, name, errno_rows[i].text);
	return fc_fail(error, FARCALL_UNAVAILABLE, FARCALL_CAUSE_SYSTEM, "%s %s: system error %d",
	    what, name, number);
}

int64_t
fc_record_pid(void)
{
	return getpid();
}

uint64_t
fc_record_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * FC_NS_PER_S + (uint64_t)now.tv_nsec;
}

static void
close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* ---- the owner ---- */

farcall_code
fc_record_folder_open(fc_record_file *file, const char *dir, fc_error *error)
{
	file->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (file->dir < 0)
		return fail_errno(error, "publish in", dir, errno);
	return FARCALL_OK;
}

static bool
write_all(int fd, const char *text, size_t size)
{
	while (size != 0) {
		ssize_t n = write(fd, text, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		text += n;
		size -= (size_t)n;
	}
	return true;
}

/* A new temporary file, written and locked, in file->fd. 0, or errno. */
static int
create_temporary(fc_record_file *file, const char *temporary, const char *text, size_t size)
{
	int failure = 0;

	file->fd = openat(
	    file->dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (file->fd < 0)
		return errno;
	if (flock(file->fd, LOCK_EX | LOCK_NB) != 0 || !write_all(file->fd, text, size))
		failure = errno != 0 ? errno : EIO;
	if (failure != 0) {
		unlinkat(file->dir, temporary, 0);
		close_fd(&file->fd);
	}
	return failure;
}

/* Gives the temporary file its name, which must be free. Some file systems have no links: there the
 * name is looked for first, which is as good as it gets. */
static int
give_name(const fc_record_file *file, const char *temporary)
{
	struct stat st;
	int failure = 0;

	if (linkat(file->dir, temporary, file->dir, file->name, 0) == 0) {
		unlinkat(file->dir, temporary, 0);
		return 0;
	}
	if (errno != EPERM && errno != ENOTSUP && errno != ENOSYS && errno != EMLINK)
		failure = errno;
	else if (fstatat(file->dir, file->name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		failure = EEXIST;
	else if (renameat(file->dir, temporary, file->dir, file->name) == 0)
		return 0;
	else
		failure = errno;
	unlinkat(file->dir, temporary, 0);
	return failure;
}

farcall_code
fc_record_file_create(fc_record_file *file, const char *interface_name, const char *text,
    size_t size, fc_error *error)
{
	static atomic_uint numbers;
	char temporary[sizeof file->name];
	int failure = EEXIST;

	file->pid = fc_record_pid();
	for (int tries = 0; tries < NAMES_MOST && failure == EEXIST; tries++) {
		close_fd(&file->fd);
		snprintf(file->name, sizeof file->name, "%.*s@%ld-%u", FC_RECORD_INTERFACE_MOST,
		    interface_name, (long)file->pid, atomic_fetch_add(&numbers, 1));
		snprintf(temporary, sizeof temporary, ".%.*s.tmp", (int)sizeof temporary - 6,
		    file->name);
		errno = 0;
		failure = create_temporary(file, temporary, text, size);
		if (failure == 0)
			failure = give_name(file, temporary);
	}
	if (failure == 0)
		return FARCALL_OK;
	close_fd(&file->fd);
	return fail_errno(error, "publish", file->name, failure);
}

farcall_code
fc_record_file_renew(fc_record_file *file, bool *gone, fc_error *error)
{
	struct stat st;

	*gone = file->fd < 0;
	if (*gone)
		return FARCALL_OK;
	if (futimens(file->fd, NULL) != 0 || fstat(file->fd, &st) != 0)
		return fail_errno(error, "renew", file->name, errno);
	*gone = st.st_nlink == 0;
	return FARCALL_OK;
}

void
fc_record_file_remove(fc_record_file *file)
{
	struct stat ours, named;

	if (file->fd >= 0 && file->pid == fc_record_pid() && fstat(file->fd, &ours) == 0 &&
	    fstatat(file->dir, file->name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
	    ours.st_ino == named.st_ino && ours.st_dev == named.st_dev)
		unlinkat(file->dir, file->name, 0);
	close_fd(&file->fd);
	close_fd(&file->dir);
}

/* ---- the finder ---- */

typedef enum life { LIVES, STALE, DEAD } life;

static bool
is_fresh(const struct stat *st)
{
	time_t now = time(NULL);

	return st->st_mtime >= now || now - st->st_mtime <= FC_LEASE_S;
}

/* Locked and renewed: it lives. The lock that proves the contrary goes with the descriptor. */
static life
judge(int fd, const struct stat *st)
{
	if (flock(fd, LOCK_SH | LOCK_NB) == 0)
		return DEAD;
	return is_fresh(st) ? LIVES : STALE;
}

static void
remove_dead(int dir, const char *name, const struct stat *dead)
{
	struct stat now;

	if (flock(dir, LOCK_EX | LOCK_NB) != 0)
		return;
	if (fstatat(dir, name, &now, AT_SYMLINK_NOFOLLOW) == 0 && now.st_ino == dead->st_ino &&
	    now.st_dev == dead->st_dev && unlinkat(dir, name, 0) == 0)
		fc_log(FARCALL_LOG_INFO, "record %s: its owner is dead: removed", name);
	flock(dir, LOCK_UN);
}

/* The whole file; bytes read, or 0. */
static size_t
read_all(int fd, char *to, size_t size)
{
	size_t at = 0;

	while (at < size) {
		ssize_t n = pread(fd, to + at, size - at, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		at += (size_t)n;
	}
	return at;
}

/* "INTERFACE@…", or ".INTERFACE@….tmp", left by a publisher that died. */
static bool
is_name_of(const char *name, const char *interface_name, bool *temporary)
{
	size_t size = strlen(interface_name);

	*temporary = name[0] == '.';
	name += *temporary;
	return strncmp(name, interface_name, size) == 0 && name[size] == '@';
}

typedef struct reading {
	int dir;
	char *room;
	size_t most;
	void (*give)(void *data, const char *name, const char *text, size_t size);
	void *data;
} reading;

static void
look_at(const reading *in, const char *name, bool temporary)
{
	struct stat st;
	int fd = openat(in->dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return;
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || (temporary && is_fresh(&st)))
		goto out;
	switch (judge(fd, &st)) {
	case DEAD:
		remove_dead(in->dir, name, &st);
		break;
	case STALE:
		fc_log(FARCALL_LOG_INFO, "record %s: its lease has run out", name);
		break;
	case LIVES:
		if (temporary)
			break;
		if (st.st_size > (off_t)in->most)
			fc_log(FARCALL_LOG_WARNING, "record %s is skipped: too large", name);
		else
			in->give(in->data, name, in->room, read_all(fd, in->room, in->most));
		break;
	}
out:
	close(fd);
}

static DIR *
open_folder(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;

	if (folder == NULL && fd >= 0)
		close(fd);
	return folder;
}

farcall_code
fc_record_files_read(const char *dir, const char *interface_name, size_t most,
    void (*give)(void *data, const char *name, const char *text, size_t size), void *data,
    fc_error *error)
{
	DIR *folder = open_folder(dir);
	reading in = {-1, NULL, most, give, data};
	struct dirent *entry;
	size_t looked = 0;
	bool temporary;

	if (folder == NULL)
		return fail_errno(error, "registry", dir, errno);
	in.dir = dirfd(folder);
	in.room = (char *)fc_malloc(most);
	if (in.room == NULL) {
		closedir(folder);
		return fc_fail_memory(error, "records");
	}
	while (looked < FC_RECORDS_MOST && (entry = readdir(folder)) != NULL) {
		if (!is_name_of(entry->d_name, interface_name, &temporary))
			continue;
		look_at(&in, entry->d_name, temporary);
		looked++;
	}
	if (looked == FC_RECORDS_MOST)
		fc_log(FARCALL_LOG_WARNING, "registry %s: only %d records of %s were looked at",
		    dir, FC_RECORDS_MOST, interface_name);
	fc_free(in.room);
	closedir(folder);
	return FARCALL_OK;
}

#endif
