/*
 * sock_win.c: sock.h over Winsock 2. What is not there: unix sockets, peers' ids, inherited
 * descriptors (a SOCKET is no small number that a parent could name).
 *
 * An address is taken exclusively: on Windows SO_REUSEADDR would let another program take a port
 * that is in use.
 */
#include <winsock2.h>
#include <ws2tcpip.h>

#include "runtime/transport/sock.h"

#include "runtime/transport/cause.h"

static uv_once_t start_once = UV_ONCE_INIT;
static int started;

static void
start(void)
{
	WSADATA data;

	started = WSAStartup(MAKEWORD(2, 2), &data);
}

static int
number_of(int rc)
{
	return rc == 0 ? 0 : WSAGetLastError();
}

static const struct sockaddr *
sockaddr_of(const fc_place *place)
{
	return (const struct sockaddr *)(const void *)place->sockaddr.bytes;
}

static int
set_flags(SOCKET sock)
{
	u_long on = 1;

	if (!SetHandleInformation((HANDLE)sock, HANDLE_FLAG_INHERIT, 0))
		return (int)GetLastError();
	return number_of(ioctlsocket(sock, FIONBIO, &on));
}

static int
set_option(SOCKET sock, int level, int option, int value)
{
	return number_of(setsockopt(sock, level, option, (const char *)&value, (int)sizeof value));
}

int
fc_sock_open(int family, fc_sock *sock)
{
	SOCKET made;
	int rc;

	uv_once(&start_once, start);
	if (started != 0)
		return started;
	made = socket(family, SOCK_STREAM, 0);
	if (made == INVALID_SOCKET)
		return WSAGetLastError();
	rc = set_flags(made);
	if (rc != 0) {
		closesocket(made);
		return rc;
	}
	*sock = made;
	return 0;
}

void
fc_sock_close(fc_sock sock)
{
	closesocket(sock);
}

int
fc_sock_set_listen_options(fc_sock sock, int family, bool only6)
{
	int rc = set_option(sock, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, 1);

	if (rc == 0 && family == AF_INET6)
		rc = set_option(sock, IPPROTO_IPV6, IPV6_V6ONLY, only6);
	return rc;
}

int
fc_sock_bind(fc_sock sock, const fc_place *place)
{
	return number_of(bind(sock, sockaddr_of(place), (int)place->size));
}

int
fc_sock_listen(fc_sock sock, int backlog)
{
	return number_of(listen(sock, backlog));
}

int
fc_sock_accept(fc_sock listening, fc_sock *sock, fc_place *peer)
{
	struct sockaddr_storage from;
	int size = (int)sizeof from, rc;
	SOCKET made;

	memset(&from, 0, sizeof from);
	made = accept(listening, (struct sockaddr *)&from, &size);
	if (made == INVALID_SOCKET) {
		rc = WSAGetLastError();
		return rc == WSAECONNRESET ? WSAECONNABORTED : rc;
	}
	rc = set_flags(made);
	if (rc != 0) {
		closesocket(made);
		return rc;
	}
	fc_place_set(peer, &from, (size_t)size);
	*sock = made;
	return 0;
}

int
fc_sock_connect(fc_sock sock, const fc_place *place, bool *done)
{
	int rc = number_of(connect(sock, sockaddr_of(place), (int)place->size));

	*done = rc == 0;
	return rc == WSAEWOULDBLOCK ? 0 : rc;
}

int
fc_sock_error(fc_sock sock)
{
	int number = 0, size = (int)sizeof number;

	if (getsockopt(sock, SOL_SOCKET, SO_ERROR, (char *)&number, &size) != 0)
		return WSAGetLastError();
	return number;
}

bool
fc_sock_is_to_itself(fc_sock sock, const fc_place *peer)
{
	fc_place own;

	return fc_sock_place(sock, &own) == 0 && fc_place_same(&own, peer);
}

void
fc_sock_set_nodelay(fc_sock sock)
{
	set_option(sock, IPPROTO_TCP, TCP_NODELAY, 1);
}

void
fc_sock_set_unsent(fc_sock sock, unsigned size)
{
	(void)sock; /* Winsock has nothing of the kind */
	(void)size;
}

int
fc_sock_set_peer_timeout(fc_sock sock, unsigned ms)
{
#ifdef TCP_MAXRT
	DWORD seconds = ms / 1000 + (ms % 1000 != 0);

	return setsockopt(sock, IPPROTO_TCP, TCP_MAXRT, (const char *)&seconds, sizeof seconds) != 0
	    ? WSAGetLastError()
	    : 0;
#else
	(void)sock, (void)ms;
	return WSAENOPROTOOPT;
#endif
}

int
fc_sock_send(fc_sock sock, const fc_piece *pieces, size_t n, size_t *sent)
{
	WSABUF buffers[FC_SEND_PIECES];
	DWORD count = 0, size = 0;

	for (size_t i = 0; i < n && i < FC_SEND_PIECES; i++) {
		buffers[count].buf = (CHAR *)(uintptr_t)pieces[i].at;
		buffers[count].len = (ULONG)FC_MIN(pieces[i].size, (size_t)0x7fffffff);
		count++;
	}
	*sent = 0;
	if (WSASend(sock, buffers, count, &size, 0, NULL, NULL) != 0)
		return WSAGetLastError();
	*sent = size;
	return 0;
}

int
fc_sock_receive(fc_sock sock, uint8_t *to, size_t room, size_t *received)
{
	int size = recv(sock, (char *)to, (int)room, 0);

	if (size < 0)
		return WSAGetLastError();
	*received = (size_t)size;
	return 0;
}

int
fc_sock_shutdown(fc_sock sock)
{
	return number_of(shutdown(sock, SD_SEND));
}

int
fc_sock_place(fc_sock sock, fc_place *place)
{
	struct sockaddr_storage address;
	int size = (int)sizeof address;

	memset(&address, 0, sizeof address);
	if (getsockname(sock, (struct sockaddr *)&address, &size) != 0)
		return WSAGetLastError();
	fc_place_set(place, &address, (size_t)size);
	return 0;
}

int
fc_sock_peer(fc_sock sock, fc_place *place)
{
	struct sockaddr_storage address;
	int size = (int)sizeof address;

	memset(&address, 0, sizeof address);
	if (getpeername(sock, (struct sockaddr *)&address, &size) != 0)
		return WSAGetLastError();
	fc_place_set(place, &address, (size_t)size);
	return 0;
}

void
fc_sock_peer_ids(fc_sock sock, fc_peer *peer)
{
	(void)sock;
	(void)peer;
}

void
fc_own_ids(fc_peer *peer)
{
	peer->pid = (int64_t)GetCurrentProcessId();
	peer->has_ids = true;
}

static farcall_code
not_here(fc_error *error, const char *what)
{
	return fc_fail(error, FARCALL_UNIMPLEMENTED, FARCALL_CAUSE_BAD_ADDRESS,
	    "%s are not available on Windows", what);
}

farcall_code
fc_sock_inherit(int fd, bool listening, fc_sock *sock, fc_error *error)
{
	(void)fd;
	(void)listening;
	(void)sock;
	return not_here(error, "fd: addresses");
}

farcall_code
fc_sock_unix_place(fc_place *place, const char *path, fc_error *error)
{
	(void)place;
	(void)path;
	return not_here(error, "unix: addresses");
}

void
fc_sock_unix_make_absolute(fc_place *place)
{
	(void)place;
}

const char *
fc_sock_unix_path(const fc_place *place)
{
	(void)place;
	return "";
}

farcall_code
fc_sock_bind_path(const fc_place *place, fc_sock *sock, fc_path_id *id, fc_error *error)
{
	(void)place;
	(void)sock;
	(void)id;
	return not_here(error, "unix: addresses");
}

farcall_code
fc_sock_set_path_mode(const fc_place *place, unsigned mode, fc_error *error)
{
	(void)place;
	(void)mode;
	return not_here(error, "unix: addresses");
}

void
fc_sock_remove_path(const fc_place *place, const fc_path_id *id)
{
	(void)place;
	(void)id;
}
