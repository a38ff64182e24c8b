/*
 * pair-server: serves pair.Test on 127.0.0.1, port 0, prints the port, ends on SIGTERM or when its
 * standard input ends. Custom answers how many calls were cancelled; or, if the request has data,
 * these, with the coding that the request's number names, and how the request came as text.
 */
#include "tests/support/pair.h"

#include <stdio.h>
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

int
main(void)
{
	test_pair pair;
	char byte;

	test_pair_init(&pair, "127.0.0.1:0");
	pair.custom = answer;
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
