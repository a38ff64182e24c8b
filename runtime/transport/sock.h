/*
 * sock.h: non-blocking stream sockets, as one small set of functions over BSD sockets and Winsock.
 * All functions answer 0, or the number of the error (errno, WSAGetLastError()). No descriptor made
 * here is inherited by programs that are started.
 */
#ifndef FC_TRANSPORT_SOCK_H
#define FC_TRANSPORT_SOCK_H

#include "runtime/base/bytes.h"
#include "runtime/transport/transport.h"

#include <errno.h>

#ifdef _WIN32
#define FC_E(name) WSA##name
#else
#define FC_E(name) name
#endif

typedef uv_os_sock_t fc_sock;
#define FC_SOCK_NONE ((fc_sock)-1)

#define FC_SEND_PIECES 64

int fc_sock_open(int family, fc_sock *sock);
void fc_sock_close(fc_sock sock);

/* A listener's: others cannot take the address over; a port in TIME_WAIT can be taken. `only6`: for
 * IPv6, that it takes no IPv4 peers; its opposite may not be had. */
int fc_sock_set_listen_options(fc_sock sock, int family, bool only6);
int fc_sock_bind(fc_sock sock, const fc_place *place);
int fc_sock_listen(fc_sock sock, int backlog);
int fc_sock_accept(fc_sock listening, fc_sock *sock, fc_place *peer);

/* `again` (or in progress): 0 and *done false. */
int fc_sock_connect(fc_sock sock, const fc_place *place, bool *done);
int fc_sock_error(fc_sock sock); /* the pending error, taken off */
bool fc_sock_is_to_itself(fc_sock sock, const fc_place *peer);
void fc_sock_set_nodelay(fc_sock sock);

/* TCP: how many bytes the system may hold that it cannot send yet, beside those under way. What is
 * written later waits behind them. On Linux and macOS; elsewhere the send buffer is all there is.
 */
void fc_sock_set_unsent(fc_sock sock, unsigned size);

/* TCP: how long what was sent may be unacknowledged. TCP_USER_TIMEOUT on Linux,
 * TCP_RXT_CONNDROPTIME on macOS, TCP_MAXRT on Windows (these in whole seconds); elsewhere
 * ENOPROTOOPT: then the system's own limit of retransmissions holds, some 10 minutes. */
int fc_sock_set_peer_timeout(fc_sock sock, unsigned ms);

int fc_sock_send(fc_sock sock, const fc_piece *pieces, size_t n, size_t *sent);
int fc_sock_receive(fc_sock sock, uint8_t *to, size_t room, size_t *received);
int fc_sock_shutdown(fc_sock sock); /* the sending side */

/* The own address; the peer's. */
int fc_sock_place(fc_sock sock, fc_place *place);
int fc_sock_peer(fc_sock sock, fc_place *place);
void fc_sock_peer_ids(fc_sock sock, fc_peer *peer); /* leaves it alone where unknown */

/* Who we are, for mem: and as peers see us. */
void fc_own_ids(fc_peer *peer);

/* An inherited descriptor: makes it one of ours. `listening`: what it must be. */
farcall_code fc_sock_inherit(int fd, bool listening, fc_sock *sock, fc_error *error);

/* ---- unix sockets ---- */

/* What a bound path was, to tell later whether it is still the same. */
typedef struct fc_path_id {
	uint64_t device, inode;
	int64_t process;
} fc_path_id;

/* Where there are none: UNIMPLEMENTED. A path too long is told here. */
farcall_code fc_sock_unix_place(fc_place *place, const char *path, fc_error *error);
const char *fc_sock_unix_path(const fc_place *place);

/* A relative path as it is seen from other folders, if that is not too long for a socket: for
 * records, and for removing it after a chdir(). */
void fc_sock_unix_make_absolute(fc_place *place);

/* A socket bound to the path with mode 0600, not listening yet. A dead socket there is replaced. */
farcall_code fc_sock_bind_path(
    const fc_place *place, fc_sock *sock, fc_path_id *id, fc_error *error);
farcall_code fc_sock_set_path_mode(const fc_place *place, unsigned mode, fc_error *error);
void fc_sock_remove_path(const fc_place *place, const fc_path_id *id); /* if it is still that one */

/* ---- places (place.c) ---- */

/* From the system's form; IPv4 inside IPv6 becomes IPv4. */
void fc_place_set(fc_place *place, const void *sockaddr, size_t size);
void fc_place_set_fd(fc_place *place, int fd);
bool fc_place_from_literal(fc_place *place, const char *host, uint16_t port);
/* UNAVAILABLE, ADDRESS_NOT_AVAILABLE: a link-local address without a zone, or one of another host.
 */
farcall_code fc_place_check_zone(const fc_place *place, const char *host, fc_error *error);
void fc_place_set_port(fc_place *place, uint16_t port);
uint16_t fc_place_port(const fc_place *place);
int fc_place_family(const fc_place *place); /* AF_INET …; AF_UNSPEC for mem */
bool fc_place_same(const fc_place *a, const fc_place *b);
bool fc_place_is_any(const fc_place *place); /* 0.0.0.0 or [::] */

#endif
