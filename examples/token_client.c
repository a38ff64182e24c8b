/*
 * token-client TARGET [TOKEN [NAME]]: an interceptor of a channel adds a token to each of its
 * calls, so the code that makes them need not think of it. The token is fetched by another thread,
 * as from an identity service: begin answers FARCALL_PENDING, the call waits, and goes on when the
 * thread has called farcall_intercept_resume(). Without a token the call is not made at all.
 */
#include <stdio.h>

#include <uv.h>

#include "demo.farcall.h"

typedef struct fetch {
	uv_thread_t thread;
	const char *token;
	farcall_call *call;
} fetch;

/* While begin pends the call may be given metadata, or a reason to fail, from any one thread. */
static void
run_fetch(void *data)
{
	fetch *f = (fetch *)data;
	char value[256];

	if (f->token == NULL) {
		farcall_call_fail(f->call, FARCALL_UNAUTHENTICATED, "there is no token");
		farcall_intercept_resume(f->call, FARCALL_UNAUTHENTICATED);
		return;
	}
	snprintf(value, sizeof value, "Bearer %s", f->token);
	farcall_call_add_metadata(f->call, "authorization", value);
	farcall_intercept_resume(f->call, FARCALL_OK);
}

static farcall_code
begin(farcall_call *call, const farcall_intercepted *about, void *data)
{
	fetch *f = (fetch *)data;

	(void)about;
	f->call = call;
	if (uv_thread_create(&f->thread, run_fetch, f) != 0)
		return farcall_call_fail(call, FARCALL_RESOURCE_EXHAUSTED, "no thread");
	return FARCALL_PENDING;
}

int
main(int argc, char **argv)
{
	static const farcall_interceptor hooks = {.begin = begin};
	Demo__HelloRequest request = DEMO__HELLO_REQUEST__INIT;
	fetch f = {.token = argc > 2 && argv[2][0] != 0 ? argv[2] : NULL};
	const Demo__HelloReply *reply;
	farcall_channel *channel;
	farcall_call *call;
	farcall_code rc;

	if (argc < 2 || argc > 4 || argv[1][0] == '-') {
		fprintf(stderr, "usage: token-client TARGET [TOKEN [NAME]]\n");
		return 2;
	}
	request.name = argc == 4 ? argv[3] : "world";
	channel = farcall_channel_open(argv[1]);
	farcall_channel_intercept(channel, &hooks, sizeof hooks, &f);
	call = farcall_call_new(channel);
	farcall_call_set_timeout_ms(call, 5000);
	if ((rc = demo_greeter_say_hello(call, &request, &reply)))
		fprintf(stderr, "token-client: %s\n", farcall_call_error(call));
	else
		puts(reply->message);
	farcall_call_free(call);
	farcall_channel_close(channel);
	if (f.call != NULL)
		uv_thread_join(&f.thread);
	return rc != FARCALL_OK;
}
