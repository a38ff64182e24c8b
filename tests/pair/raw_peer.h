/*
 * raw_peer.h: a client that is no library: it writes frames as the test says, and takes nothing of
 * what it is answered, for its windows are 0. Included by tests; everything is static.
 */
#ifndef FC_TEST_RAW_PEER_H
#define FC_TEST_RAW_PEER_H

#include "tests/support/pair.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct raw {
	int fd;
	uint8_t bytes[8192];
	size_t n;
} raw;

static FARCALL_UNUSED void
add(raw *r, const void *bytes, size_t size)
{
	assert_true(r->n + size <= sizeof r->bytes);
	memcpy(r->bytes + r->n, bytes, size);
	r->n += size;
}

static FARCALL_UNUSED void
add_frame(raw *r, unsigned type, unsigned flags, uint32_t id, const void *bytes, size_t size)
{
	uint8_t head[9] = {0, (uint8_t)(size >> 8), (uint8_t)size, (uint8_t)type, (uint8_t)flags,
	    (uint8_t)(id >> 24), (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id};

	add(r, head, sizeof head);
	if (size != 0)
		add(r, bytes, size);
}

static FARCALL_UNUSED void
flush(raw *r)
{
	assert_int_equal(send(r->fd, r->bytes, r->n, MSG_NOSIGNAL), r->n);
	r->n = 0;
}

static FARCALL_UNUSED size_t
put_field(uint8_t *to, const char *name, const char *value)
{
	size_t n = strlen(name), v = strlen(value);

	to[0] = 0;
	to[1] = (uint8_t)n;
	memcpy(to + 2, name, n);
	to[2 + n] = (uint8_t)v;
	memcpy(to + 3 + n, value, v);
	return 3 + n + v;
}

static FARCALL_UNUSED void
add_head(raw *r, uint32_t id, const char *path, const char *timeout)
{
	uint8_t block[256];
	size_t n = 0;

	n += put_field(block + n, ":method", "POST");
	n += put_field(block + n, ":scheme", "http");
	n += put_field(block + n, ":path", path);
	n += put_field(block + n, "content-type", "application/grpc");
	n += put_field(block + n, "te", "trailers");
	if (timeout != NULL)
		n += put_field(block + n, "grpc-timeout", timeout);
	add_frame(r, 1, 4, id, block, n);
}

static FARCALL_UNUSED void
add_rest(raw *r, uint32_t id)
{
	static const uint8_t message[5];

	add_frame(r, 0, 1, id, message, sizeof message);
}

/* Connects with windows of 0. False: there is nobody. */
static FARCALL_UNUSED bool
greet_softly(raw *r, const test_pair *pair)
{
	static const uint8_t no_window[] = {0, 4, 0, 0, 0, 0};
	struct sockaddr_in address = {.sin_family = AF_INET};

	r->n = 0;
	address.sin_port = htons((uint16_t)farcall_endpoint_port(pair->endpoint));
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	r->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(r->fd, (struct sockaddr *)&address, sizeof address) != 0) {
		close(r->fd);
		return false;
	}
	add(r, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
	add_frame(r, 4, 0, 0, no_window, sizeof no_window);
	add_frame(r, 4, 1, 0, NULL, 0);
	return true;
}

static FARCALL_UNUSED void
greet(raw *r, const test_pair *pair)
{
	assert_true(greet_softly(r, pair));
}

#endif
