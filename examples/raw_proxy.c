/*
 * raw-proxy ADDRESS TARGET: a proxy that knows no interface. Whatever path is asked for, it asks
 * TARGET the same, with the same metadata and deadline, and hands messages over as they come, in
 * both directions at once; then status, its details and trailers. If the client gives up, so does
 * the proxy's call, and a slow reader at one end holds up the sender at the other.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <farcall/farcall.h>

/* Pairs of the protocol's own are each connection's business. */
static bool
is_own(const char *key)
{
	return strncmp(key, "grpc-", 5) == 0 || strcmp(key, "user-agent") == 0;
}

typedef void add_text(farcall_call *call, const char *key, const char *value);
typedef void add_bytes(farcall_call *call, const char *key, const void *data, size_t size);

static void
copy(farcall_call *to, const farcall_metadata *from, add_text *text, add_bytes *bytes)
{
	const char *key;
	const void *value;
	size_t size, length;

	for (size_t i = 0; farcall_metadata_at(from, i, &key, &value, &size); i++) {
		length = strlen(key);
		if (is_own(key))
			continue;
		if (length > 4 && strcmp(key + length - 4, "-bin") == 0)
			bytes(to, key, value, size);
		else
			text(to, key, (const char *)value);
	}
}

/* Two calls and what goes between them. Each direction is one step after the other. */
typedef struct relay {
	farcall_call *call, *onward;
	atomic_int directions;
} relay;

static void
leave(relay *r)
{
	if (atomic_fetch_sub(&r->directions, 1) != 1)
		return;
	farcall_call_free(r->onward);
	free(r);
}

/* ---- requests ---- */

static void on_request(
    farcall_call *call, farcall_code code, const void *bytes, size_t size, void *data);

static void
on_request_sent(
    farcall_call *onward, farcall_code code, const ProtobufCMessage *nothing, void *data)
{
	relay *r = (relay *)data;

	(void)onward;
	(void)nothing;
	if (code == FARCALL_OK)
		farcall_call_recv_raw_async(r->call, on_request, r);
	else
		leave(r); /* its end comes by the other direction */
}

static void
on_request(farcall_call *call, farcall_code code, const void *bytes, size_t size, void *data)
{
	relay *r = (relay *)data;

	(void)call;
	if (code == FARCALL_OK) {
		farcall_call_send_raw_async(r->onward, bytes, size, on_request_sent, r);
		return;
	}
	if (code == FARCALL_END)
		farcall_call_half_close(r->onward);
	else
		farcall_call_cancel(r->onward);
	leave(r);
}

/* ---- replies, and the end ---- */

static void on_reply(
    farcall_call *onward, farcall_code code, const void *bytes, size_t size, void *data);

static void
finish(relay *r, farcall_code code)
{
	copy(r->call, farcall_call_trailers(r->onward), farcall_call_add_trailer,
	    farcall_call_add_trailer_bin);
	if (code != FARCALL_END) {
		farcall_call_copy_details(r->call, r->onward);
		farcall_call_fail(r->call, code, "%s", farcall_call_status_message(r->onward));
	}
	farcall_call_complete(r->call, code);
	leave(r);
}

static void
on_reply_sent(farcall_call *call, farcall_code code, const ProtobufCMessage *nothing, void *data)
{
	relay *r = (relay *)data;

	(void)call;
	(void)nothing;
	if (code != FARCALL_OK)
		farcall_call_cancel(r->onward);
	farcall_call_recv_raw_async(r->onward, on_reply, r);
}

static void
on_reply(farcall_call *onward, farcall_code code, const void *bytes, size_t size, void *data)
{
	relay *r = (relay *)data;

	(void)onward;
	if (code != FARCALL_OK) {
		finish(r, code);
		return;
	}
	farcall_call_send_raw_async(r->call, bytes, size, on_reply_sent, r);
}

/* The client may wait for it before it says anything. */
static void
on_head(farcall_call *onward, farcall_code code, const ProtobufCMessage *nothing, void *data)
{
	relay *r = (relay *)data;

	(void)nothing;
	if (code != FARCALL_OK) { /* it ended without one */
		finish(r, code);
		return;
	}
	copy(r->call, farcall_call_metadata(onward), farcall_call_add_metadata,
	    farcall_call_add_metadata_bin);
	farcall_call_send_head(r->call);
	farcall_call_recv_raw_async(onward, on_reply, r);
}

static farcall_code
forward(farcall_call *call)
{
	relay *r = (relay *)calloc(1, sizeof *r);

	if (r == NULL)
		return farcall_call_fail(call, FARCALL_RESOURCE_EXHAUSTED, "no memory");
	atomic_init(&r->directions, 2);
	r->call = call;
	r->onward = farcall_call_new((farcall_channel *)farcall_call_self(call));
	copy(r->onward, farcall_call_metadata(call), farcall_call_add_metadata,
	    farcall_call_add_metadata_bin);
	farcall_call_set_parent(r->onward, call); /* its deadline, and its end */
	farcall_call_start_raw(r->onward, farcall_call_method(call)->path);
	farcall_call_recv_raw_async(call, on_request, r);
	farcall_call_recv_head_async(r->onward, on_head, r);
	return FARCALL_PENDING; /* finish() will complete it */
}

int
main(int argc, char **argv)
{
	farcall_endpoint *endpoint;
	farcall_channel *channel;
	farcall_server *server;
	farcall_code rc;

	if (argc != 3 || argv[1][0] == '-') {
		fprintf(stderr, "usage: raw-proxy ADDRESS TARGET\n");
		return 2;
	}
	channel = farcall_channel_open(argv[2]);
	server = farcall_server_new();
	farcall_server_stop_on_signals(server);
	farcall_server_set_catch_all_stream(server, forward, channel);
	endpoint = farcall_server_bind(server, argv[1]);
	if ((rc = farcall_server_start(server)) == FARCALL_OK) {
		printf("listening on %s\n", farcall_endpoint_address(endpoint, 0));
		fflush(stdout);
		rc = farcall_server_wait(server);
	}
	if (rc)
		fprintf(stderr, "raw-proxy: %s\n", farcall_server_error(server));
	farcall_channel_close(channel);
	farcall_server_free(server);
	return rc != FARCALL_OK;
}
