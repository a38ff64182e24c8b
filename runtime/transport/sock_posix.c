/*
 * sock_posix.c: sock.h over BSD sockets. No signal comes from a write to a peer that has gone.
 */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* accept4(), struct ucred */
#endif

#include "runtime/transport/sock.h"

#include "runtime/transport/cause.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#ifdef MSG_NOSIGNAL
#define SEND_FLAGS MSG_NOSIGNAL
#else
#define SEND_FLAGS 0
#endif

static const struct sockaddr *
sockaddr_of(const fc_place *place)
{
	return (const struct sockaddr *)(const void *)place->sockaddr.bytes;
}

static void
set_no_signal(int fd)
{
#if !defined(MSG_NOSIGNAL) && defined(SO_NOSIGPIPE)
	int on = 1;

	setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
#else
	(void)fd;
#endif
}

static int
set_flags(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return errno;
	return fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ? errno : 0;
}

int
fc_sock_open(int family, fc_sock *sock)
{
	int fd, rc;

#if defined(SOCK_NONBLOCK) && defined(SOCK_CLOEXEC)
	fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	rc = fd < 0 ? errno : 0;
#else
	fd = socket(family, SOCK_STREAM, 0);
	rc = fd < 0 ? errno : set_flags(fd);
#endif
	if (rc != 0) {
		if (fd >= 0)
			close(fd);
		return rc;
	}
	set_no_signal(fd);
	*sock = fd;
	return 0;
}

void
fc_sock_close(fc_sock sock)
{
	close(sock);
}

int
fc_sock_set_listen_options(fc_sock sock, int family, bool only6)
{
	int on = 1, only = only6;

	if (setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0)
		return errno;
	if (family == AF_INET6 &&
	    setsockopt(sock, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only) != 0)
		return errno;
	return 0;
}

int
fc_sock_bind(fc_sock sock, const fc_place *place)
{
	return bind(sock, sockaddr_of(place), place->size) != 0 ? errno : 0;
}

int
fc_sock_listen(fc_sock sock, int backlog)
{
	return listen(sock, backlog) != 0 ? errno : 0;
}

int
fc_sock_accept(fc_sock listening, fc_sock *sock, fc_place *peer)
{
	struct sockaddr_storage from;
	socklen_t size = sizeof from;
	int fd;

	memset(&from, 0, sizeof from);
	do {
#ifdef __linux__
		fd = accept4(
		    listening, (struct sockaddr *)&from, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
#else
		fd = accept(listening, (struct sockaddr *)&from, &size);
#endif
	} while (fd < 0 && errno == EINTR);
	if (fd < 0)
		return errno;
#ifndef __linux__
	{
		int rc = set_flags(fd);

		if (rc != 0) {
			close(fd);
			return rc;
		}
	}
#endif
	set_no_signal(fd);
	fc_place_set(peer, &from, size);
	*sock = fd;
	return 0;
}

int
fc_sock_connect(fc_sock sock, const fc_place *place, bool *done)
{
	*done = connect(sock, sockaddr_of(place), place->size) == 0;
	if (*done || errno == EINPROGRESS || errno == EINTR)
		return 0;
	return errno;
}

int
fc_sock_error(fc_sock sock)
{
	int number = 0;
	socklen_t size = sizeof number;

	return getsockopt(sock, SOL_SOCKET, SO_ERROR, &number, &size) != 0 ? errno : number;
}

/* A connect to a local port that nobody listens on may meet its own socket, when the port that the
 * system picked is the same. */
bool
fc_sock_is_to_itself(fc_sock sock, const fc_place *peer)
{
	fc_place own;

	return peer->kind == FC_PLACE_INET && fc_sock_place(sock, &own) == 0 &&
	    fc_place_same(&own, peer);
}

void
fc_sock_set_nodelay(fc_sock sock)
{
	int on = 1;

	setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

void
fc_sock_set_unsent(fc_sock sock, unsigned size)
{
#ifdef TCP_NOTSENT_LOWAT
	setsockopt(sock, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &size, sizeof size);
#else
	(void)sock;
	(void)size;
#endif
}

int
fc_sock_set_peer_timeout(fc_sock sock, unsigned ms)
{
#if defined(TCP_USER_TIMEOUT)
	return setsockopt(sock, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms) != 0 ? errno : 0;
#elif defined(TCP_RXT_CONNDROPTIME)
	int seconds = (int)(ms / 1000 + (ms % 1000 != 0));

	return setsockopt(sock, IPPROTO_TCP, TCP_RXT_CONNDROPTIME, &seconds, sizeof seconds) != 0
	    ? errno
	    : 0;
#else
	(void)sock, (void)ms;
	return ENOPROTOOPT;
#endif
}

int
fc_sock_send(fc_sock sock, const fc_piece *pieces, size_t n, size_t *sent)
{
	struct iovec vectors[FC_SEND_PIECES];
	struct msghdr message;
	ssize_t size;

	memset(&message, 0, sizeof message);
	message.msg_iov = vectors;
	message.msg_iovlen = 0;
	for (size_t i = 0; i < n && i < FC_SEND_PIECES; i++) {
		vectors[i].iov_base = (void *)(uintptr_t)pieces[i].at;
		vectors[i].iov_len = pieces[i].size;
		message.msg_iovlen++;
	}
	*sent = 0;
	do
		size = sendmsg(sock, &message, SEND_FLAGS);
	while (size < 0 && errno == EINTR);
	if (size < 0)
		return errno;
	*sent = (size_t)size;
	return 0;
}

int
fc_sock_receive(fc_sock sock, uint8_t *to, size_t room, size_t *received)
{
	ssize_t size;

	do
		size = recv(sock, to, room, 0);
	while (size < 0 && errno == EINTR);
	if (size < 0)
		return errno;
	*received = (size_t)size;
	return 0;
}

int
fc_sock_shutdown(fc_sock sock)
{
	return shutdown(sock, SHUT_WR) != 0 ? errno : 0;
}

static int
get_place(
    int (*get)(int fd, struct sockaddr *address, socklen_t *size), fc_sock sock, fc_place *place)
{
	struct sockaddr_storage address;
	socklen_t size = sizeof address;

	memset(&address, 0, sizeof address);
	if (get(sock, (struct sockaddr *)&address, &size) != 0)
		return errno;
	fc_place_set(place, &address, size);
	return 0;
}

static int
own_name(int fd, struct sockaddr *address, socklen_t *size)
{
	return getsockname(fd, address, size);
}

static int
peer_name(int fd, struct sockaddr *address, socklen_t *size)
{
	return getpeername(fd, address, size);
}

int
fc_sock_place(fc_sock sock, fc_place *place)
{
	return get_place(own_name, sock, place);
}

int
fc_sock_peer(fc_sock sock, fc_place *place)
{
	return get_place(peer_name, sock, place);
}

void
fc_sock_peer_ids(fc_sock sock, fc_peer *peer)
{
#if defined(SO_PEERCRED) && defined(__linux__)
	struct ucred ids;
	socklen_t size = sizeof ids;

	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &ids, &size) != 0 || ids.pid == 0)
		return;
	peer->uid = ids.uid;
	peer->gid = ids.gid;
	peer->pid = ids.pid;
	peer->has_ids = true;
#elif defined(__APPLE__) || defined(__FreeBSD__) || defined(__NetBSD__) || defined(__OpenBSD__) || \
    defined(__DragonFly__)
	uid_t uid;
	gid_t gid;

	if (getpeereid(sock, &uid, &gid) != 0)
		return;
	peer->uid = uid;
	peer->gid = gid;
	peer->has_ids = true;
#ifdef LOCAL_PEERPID
	{
		pid_t pid;
		socklen_t size = sizeof pid;

		if (getsockopt(sock, 0, LOCAL_PEERPID, &pid, &size) == 0)
			peer->pid = pid;
	}
#endif
#else
	(void)sock;
	(void)peer;
#endif
}

void
fc_own_ids(fc_peer *peer)
{
	peer->uid = geteuid();
	peer->gid = getegid();
	peer->pid = getpid();
	peer->has_ids = true;
}

static int
get_option(int fd, int option)
{
	int value = 0;
	socklen_t size = sizeof value;

	return getsockopt(fd, SOL_SOCKET, option, &value, &size) != 0 ? -1 : value;
}

farcall_code
fc_sock_inherit(int fd, bool listening, fc_sock *sock, fc_error *error)
{
	int type = get_option(fd, SO_TYPE), accepts, rc;
	fc_place place;

	if (type < 0)
		return fc_fail_number(error, errno, "fd:%d", fd);
	if (type != SOCK_STREAM)
		return fc_fail(error, FARCALL_FAILED_PRECONDITION, FARCALL_CAUSE_BAD_ADDRESS,
		    "fd:%d: not a stream socket", fd);
	accepts = get_option(fd, SO_ACCEPTCONN);
	if (listening && accepts == 0)
		return fc_fail(error, FARCALL_FAILED_PRECONDITION, FARCALL_CAUSE_BAD_ADDRESS,
		    "fd:%d: not a listening socket", fd);
	if (!listening && accepts == 1)
		return fc_fail(error, FARCALL_FAILED_PRECONDITION, FARCALL_CAUSE_BAD_ADDRESS,
		    "fd:%d: a listening socket; a connected one is needed", fd);
	if (!listening && fc_sock_peer(fd, &place) != 0)
		return fc_fail(error, FARCALL_FAILED_PRECONDITION, FARCALL_CAUSE_BAD_ADDRESS,
		    "fd:%d: not connected", fd);
	rc = set_flags(fd);
	if (rc != 0)
		return fc_fail_number(error, rc, "fd:%d", fd);
	set_no_signal(fd);
	*sock = fd;
	return FARCALL_OK;
}

/* ---- unix sockets ---- */

farcall_code
fc_sock_unix_place(fc_place *place, const char *path, fc_error *error)
{
	struct sockaddr_un address;
	size_t size = strlen(path);

	memset(&address, 0, sizeof address);
	address.sun_family = AF_UNIX;
	if (size >= sizeof address.sun_path)
		return fc_fail(error, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_BAD_ADDRESS,
		    "unix:%.80s...: path is longer than %zu bytes", path,
		    sizeof address.sun_path - 1);
	memcpy(address.sun_path, path, size + 1);
	fc_place_set(place, &address, sizeof address);
	return FARCALL_OK;
}

/* Peers without a path have a shorter address; the bytes behind it are 0. */
const char *
fc_sock_unix_path(const fc_place *place)
{
	if (place->size <= offsetof(struct sockaddr_un, sun_path))
		return "";
	return ((const struct sockaddr_un *)(const void *)place->sockaddr.bytes)->sun_path;
}

void
fc_sock_unix_make_absolute(fc_place *place)
{
	char path[sizeof((struct sockaddr_un *)0)->sun_path];
	const char *name = fc_sock_unix_path(place);
	size_t size;

	if (name[0] == '/' || getcwd(path, sizeof path) == NULL)
		return;
	size = strlen(path);
	if (path[size - 1] != '/')
		path[size++] = '/'; /* in place of its NUL */
	if (size + strlen(name) >= sizeof path)
		return;
	memcpy(path + size, name, strlen(name) + 1);
	(void)fc_sock_unix_place(place, path, NULL);
}

/* Somebody listens there. Without memory or descriptors to find out: take it for alive. */
static bool
is_alive(const fc_place *place)
{
	fc_sock sock;
	bool done;
	int rc;

	rc = fc_sock_open(AF_UNIX, &sock);
	if (rc != 0)
		return true;
	rc = fc_sock_connect(sock, place, &done);
	close(sock);
	return rc != ECONNREFUSED && rc != ENOENT;
}

static int
clear_path(const fc_place *place)
{
	const char *path = fc_sock_unix_path(place);
	struct stat status;

	if (lstat(path, &status) != 0)
		return errno == ENOENT ? 0 : errno;
	if (!S_ISSOCK(status.st_mode) || is_alive(place))
		return EADDRINUSE;
	return unlink(path) != 0 && errno != ENOENT ? errno : 0;
}

/* Nobody can connect between bind() and the mode: the socket does not listen yet. On Linux the mode
 * is right from the start, by that of the descriptor. */
static int
bind_path(int fd, const fc_place *place, fc_path_id *id)
{
	const char *path = fc_sock_unix_path(place);
	struct stat status;
	int rc;

	(void)fchmod(fd, 0600);
	rc = fc_sock_bind(fd, place);
	if (rc == EADDRINUSE) {
		rc = clear_path(place);
		if (rc == 0)
			rc = fc_sock_bind(fd, place);
	}
	if (rc != 0)
		return rc;
	if (lstat(path, &status) != 0 || !S_ISSOCK(status.st_mode))
		return EADDRINUSE; /* somebody else is at work there */
	id->device = (uint64_t)status.st_dev;
	id->inode = (uint64_t)status.st_ino;
	id->process = getpid();
	if ((status.st_mode & 0777) != 0600 && chmod(path, 0600) != 0) {
		rc = errno;
		unlink(path);
	}
	return rc;
}

farcall_code
fc_sock_bind_path(const fc_place *place, fc_sock *sock, fc_path_id *id, fc_error *error)
{
	int rc = fc_sock_open(AF_UNIX, sock);

	if (rc == 0) {
		rc = bind_path(*sock, place, id);
		if (rc != 0)
			fc_sock_close(*sock);
	}
	return rc == 0 ? FARCALL_OK : fc_fail_number(error, rc, "bind %s", place->text);
}

farcall_code
fc_sock_set_path_mode(const fc_place *place, unsigned mode, fc_error *error)
{
	if (chmod(fc_sock_unix_path(place), (mode_t)mode & 0777) != 0)
		return fc_fail_number(error, errno, "mode of %s", place->text);
	return FARCALL_OK;
}

/* A child made by fork() does not remove what its parent serves. */
void
fc_sock_remove_path(const fc_place *place, const fc_path_id *id)
{
	const char *path = fc_sock_unix_path(place);
	struct stat status;

	if (id->process == getpid() && lstat(path, &status) == 0 &&
	    (uint64_t)status.st_dev == id->device && (uint64_t)status.st_ino == id->inode)
		unlink(path);
}
