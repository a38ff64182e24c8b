/*
 * stream-server: serves stream.Test on 127.0.0.1, port 0, prints the port, ends when its standard
 * input does. stream-server lent: on a loop that it steps itself, where blocking steps are refused.
 */
#include "tests/support/streams.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

static atomic_bool over;

static void
read_to_the_end(void *data)
{
	char byte;

	(void)data;
	while (read(0, &byte, 1) > 0)
		;
	atomic_store(&over, true);
}

/* FARCALL_TEST_CODING=gzip or deflate: all messages are compressed, both ways. */
static farcall_coding
coding(void)
{
	const char *name = getenv("FARCALL_TEST_CODING");

	if (name == NULL)
		return FARCALL_IDENTITY;
	return strcmp(name, "gzip") == 0 ? FARCALL_GZIP : FARCALL_DEFLATE;
}

int
main(int argc, char **argv)
{
	static test_streams self;
	farcall_loop *loop = argc > 1 && strcmp(argv[1], "lent") == 0 ? farcall_loop_new() : NULL;
	farcall_server *server = farcall_server_new();
	farcall_endpoint *endpoint;
	uv_thread_t reader;

	if (loop != NULL)
		farcall_server_set_loop(server, loop);
	farcall_server_set_compression(server, coding());
	if (getenv("FARCALL_DEBUG_HANDOVER") != NULL) /* then no method is learned to block */
		farcall_server_set_handler_threads(server, 1000);
	stream_test__register(server, &test_stream_handlers, &self);
	endpoint = farcall_server_bind(server, "127.0.0.1:0");
	if (farcall_server_start(server) != FARCALL_OK) {
		fprintf(stderr, "stream-server: %s\n", farcall_server_error(server));
		return 1;
	}
	printf("%u\n", farcall_endpoint_port(endpoint));
	fflush(stdout);
	if (loop == NULL) {
		read_to_the_end(NULL);
	} else {
		uv_thread_create(&reader, read_to_the_end, NULL);
		while (!atomic_load(&over))
			farcall_loop_step(loop, 10);
		uv_thread_join(&reader);
	}
	farcall_server_free(server);
	if (loop != NULL)
		farcall_loop_free(loop);
	return 0;
}
