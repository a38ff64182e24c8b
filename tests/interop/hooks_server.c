/*
 * hooks-server: pair.Test on 127.0.0.1, port 0, behind an authorising callback; any other path is
 * answered with its own bytes. Prints the port, ends when its standard input ends.
 *
 *	authorization: Bearer python   may call; anything else may not
 *	slowly: yes                    is decided by another thread
 *
 * Custom fails with the code `number`, and the request as a detail of it.
 */
#include "tests/support/pair.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <uv.h>

#define WAITING_MOST 1024

static uv_mutex_t lock;
static uv_cond_t changed;
static farcall_call *waiting[WAITING_MOST];
static size_t n_waiting;
static bool over;

/* Resumes what pends, from a thread that is none of the server's. */
static void
run_resumer(void *unused)
{
	(void)unused;
	uv_mutex_lock(&lock);
	while (!over || n_waiting != 0) {
		farcall_call *call;

		if (n_waiting == 0) {
			uv_cond_wait(&changed, &lock);
			continue;
		}
		call = waiting[--n_waiting];
		uv_mutex_unlock(&lock);
		farcall_call_add_metadata(call, "decided", "by another thread");
		farcall_intercept_resume(call, FARCALL_OK);
		uv_mutex_lock(&lock);
	}
	uv_mutex_unlock(&lock);
}

static farcall_code
authorize(farcall_call *call, const farcall_intercepted *about, void *data)
{
	const char *token = farcall_metadata_get(about->metadata, "authorization");
	Pair__Message why = PAIR__MESSAGE__INIT;
	farcall_code code = FARCALL_PENDING;

	(void)data;
	if (token == NULL)
		return farcall_call_fail(call, FARCALL_UNAUTHENTICATED, "no token");
	if (strcmp(token, "Bearer python") != 0) {
		why.text = (char *)(uintptr_t)token;
		farcall_call_add_detail(call, &why.base);
		return farcall_call_fail(call, FARCALL_PERMISSION_DENIED, "a bad token");
	}
	if (farcall_metadata_get(about->metadata, "slowly") == NULL)
		return FARCALL_OK;
	uv_mutex_lock(&lock);
	if (n_waiting < WAITING_MOST)
		waiting[n_waiting++] = call;
	else
		code = FARCALL_RESOURCE_EXHAUSTED;
	uv_cond_signal(&changed);
	uv_mutex_unlock(&lock);
	return code;
}

static farcall_code
fail_richly(test_pair *pair, farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	(void)pair;
	(void)reply;
	farcall_call_add_detail(call, &request->base);
	farcall_call_add_detail_bytes(call, "example.com/some.Thing", "\0\1\2", 3);
	return farcall_call_fail(call, (farcall_code)request->number, "%s", request->text);
}

static farcall_code
mirror(farcall_call *call, const farcall_bytes *request, farcall_bytes *reply)
{
	farcall_call_add_trailer(call, "path", farcall_call_method(call)->path);
	*reply = *request;
	return FARCALL_OK;
}

static farcall_code
refuse(const farcall_connection *connection, void **user, void *data)
{
	int *left = (int *)data;

	(void)connection;
	(void)user;
	return (*left)-- > 0 ? FARCALL_PERMISSION_DENIED : FARCALL_OK;
}

int
main(int argc, char **argv)
{
	static int refused; /* so many connections are */
	uv_thread_t resumer;
	test_pair pair;
	char byte;

	uv_mutex_init(&lock);
	uv_cond_init(&changed);
	uv_thread_create(&resumer, run_resumer, NULL);
	test_pair_init(&pair, "127.0.0.1:0");
	pair.custom = fail_richly;
	farcall_service_set_authorize(pair.service, authorize, NULL);
	farcall_server_set_catch_all(pair.server, mirror, NULL);
	refused = argc > 1 ? atoi(argv[1]) : 0;
	farcall_server_on_connection(pair.server, refuse, NULL, &refused);
	if (farcall_server_start(pair.server) != FARCALL_OK) {
		fprintf(stderr, "hooks-server: %s\n", farcall_server_error(pair.server));
		return 1;
	}
	printf("%u\n", farcall_endpoint_port(pair.endpoint));
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
	farcall_server_free(pair.server);
	uv_mutex_lock(&lock);
	over = true;
	uv_cond_signal(&changed);
	uv_mutex_unlock(&lock);
	uv_thread_join(&resumer);
	return 0;
}
