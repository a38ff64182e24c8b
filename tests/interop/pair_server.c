/*
 * pair-server: serves pair.Test on 127.0.0.1, port 0, prints the port, ends on SIGTERM or when its
 * standard input ends. Custom answers how many calls were cancelled; or, if the request has data,
 * these, with the coding that the request's number names, and how the request came as text. Its
 * arguments are pairs: the name of a setting of its connections' lives, and milliseconds; or of its
 * handlers' threads and their queue, and how many.
 */
#include "tests/support/pair.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static farcall_code
answer(test_pair *pair, farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	if (request->data.len != 0) {
		bool compressed = farcall_call_message_compressed(call);

		reply->data = request->data;
		reply->text = farcall_call_strdup(call, compressed ? "compressed" : "plain");
		farcall_call_set_compression(call, (farcall_coding)request->number);
		return FARCALL_OK;
	}
	reply->number = (uint32_t)atomic_load(&pair->n_cancelled);
	return FARCALL_OK;
}

static void
set_threads(farcall_server *server, uint64_t n)
{
	farcall_server_set_handler_threads(server, (unsigned)n);
}

static void
set_queue(farcall_server *server, uint64_t n)
{
	farcall_server_set_handler_queue(server, (unsigned)n);
}

static const struct {
	const char *name;
	void (*set)(farcall_server *server, uint64_t value);
} settings[] = {
    {"keepalive", farcall_server_set_keepalive_ms},
    {"keepalive-timeout", farcall_server_set_keepalive_timeout_ms},
    {"ping-interval", farcall_server_set_ping_interval_ms},
    {"idle", farcall_server_set_max_connection_idle_ms},
    {"age", farcall_server_set_max_connection_age_ms},
    {"grace", farcall_server_set_max_connection_grace_ms},
    {"threads", set_threads},
    {"queue", set_queue},
};

static bool
set(farcall_server *server, const char *name, const char *value)
{
	for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
		if (strcmp(settings[i].name, name) == 0) {
			settings[i].set(server, strtoull(value, NULL, 10));
			return true;
		}
	}
	fprintf(stderr, "pair-server: %s: no such setting\n", name);
	return false;
}

int
main(int argc, char **argv)
{
	test_pair pair;
	char byte;

	test_pair_init(&pair, "127.0.0.1:0");
	pair.custom = answer;
	farcall_service_set_blocking(pair.service, "Slow", true);
	for (int i = 1; i + 1 < argc; i += 2)
		if (!set(pair.server, argv[i], argv[i + 1]))
			return 2;
	if (farcall_server_start(pair.server) != FARCALL_OK) {
		fprintf(stderr, "pair-server: %s\n", farcall_server_error(pair.server));
		return 1;
	}
	printf("%u\n", farcall_endpoint_port(pair.endpoint));
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
	farcall_server_stop(pair.server, 0);
	farcall_server_wait(pair.server);
	for (int i = 0; i < atomic_load(&pair.n_waiting) && i < 64; i++)
		farcall_call_complete(pair.waiting[i], FARCALL_OK);
	farcall_server_free(pair.server);
	return 0;
}
