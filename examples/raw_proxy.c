/*
 * raw-proxy ADDRESS TARGET: a proxy of unary calls that knows no interface. Whatever path is asked
 * for, it asks TARGET the same, with the same bytes, metadata and deadline; what comes back goes
 * back: bytes, metadata, status and its details. If the client gives up, so does the proxy's call.
 */
#include <stdio.h>
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

static void
on_answer(farcall_call *onward, farcall_code code, const void *reply, size_t size, void *data)
{
	farcall_call *call = (farcall_call *)data;
	farcall_bytes bytes = FARCALL_BYTES__INIT;

	copy(call, farcall_call_metadata(onward), farcall_call_add_metadata,
	    farcall_call_add_metadata_bin);
	copy(call, farcall_call_trailers(onward), farcall_call_add_trailer,
	    farcall_call_add_trailer_bin);
	if (code == FARCALL_OK) {
		bytes.data = reply;
		bytes.size = size;
		farcall_call_send_reply(call, &bytes.base);
	} else {
		farcall_call_copy_details(call, onward);
		farcall_call_fail(call, code, "%s", farcall_call_status_message(onward));
		farcall_call_complete(call, code);
	}
	farcall_call_free(onward);
}

static farcall_code
forward(farcall_call *call, const farcall_bytes *request, farcall_bytes *reply)
{
	farcall_call *onward = farcall_call_new((farcall_channel *)farcall_call_self(call));

	(void)reply;
	copy(onward, farcall_call_metadata(call), farcall_call_add_metadata,
	    farcall_call_add_metadata_bin);
	farcall_call_set_parent(onward, call); /* its deadline, and its end */
	farcall_call_invoke_raw_async(
	    onward, farcall_call_method(call)->path, request->data, request->size, on_answer, call);
	return FARCALL_PENDING;
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
	farcall_server_set_catch_all(server, forward, channel);
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
