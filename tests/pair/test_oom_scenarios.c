/*
 * Out of memory, in twenty ways to live: as test_oom.c, each allocation of the library fails in
 * turn, once and for good; here over what a call may meet. Each time: nothing crashes, hangs or
 * leaks, the call ends once, and its code is the one expected, or says that something was lacking.
 */
#include "tests/support/pair.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <uv.h>

typedef enum twist {
	PLAIN,
	BLOCKING,    /* a blocking call, that steps the loop itself */
	CANCELLED,   /* by the client, while it pends */
	COMPLETED,   /* later, by the test */
	PUBLISHED,   /* found by the interface's name */
	LIMITED,     /* the connection's life is, and both sides ask whether the other is there */
	LATE,        /* the server starts after the call, which waits for it */
	CHILD,       /* a call with a parent that pends */
	CLOSED,      /* the channel is closed in flight */
	STOPPED,     /* the server is stopped in flight, with no grace */
	COMPRESSED,  /* both ways */
	TWO_SERVERS, /* two endpoints, one service allowed on the second */
	RETRIED,     /* by a service config */
	HEDGED,      /* likewise */
	ROUND_ROBIN  /* likewise */
} twist;

typedef struct scenario {
	const char *name, *address;
	int method;
	twist twist;
	farcall_code expected;
	size_t size; /* bytes of the request and the reply */
	uint64_t timeout_ms;
} scenario;

enum { M_ECHO, M_FAIL, M_WAIT, M_METADATA, M_GROW, M_SLOW, M_CUSTOM, M_MISSING };

#define POLICY(name, rest)                                                              \
	"{\"methodConfig\": [{\"name\": [{\"service\": \"pair.Test\"}], \"" name "\": " \
	"{\"maxAttempts\": 3, " rest "}}]}"
#define RETRIES                                                            \
	POLICY("retryPolicy",                                              \
	    "\"initialBackoff\": \"0.001s\", \"maxBackoff\": \"0.002s\", " \
	    "\"backoffMultiplier\": 2, \"retryableStatusCodes\": [14]")
#define HEDGES POLICY("hedgingPolicy", "\"hedgingDelay\": \"0s\", \"nonFatalStatusCodes\": [14]")

static const scenario scenarios[] = {
    {"echo over memory", "mem:oom-15", M_ECHO, PLAIN, FARCALL_OK, 10, 200},
    {"echo over tcp", "127.0.0.1:0", M_ECHO, PLAIN, FARCALL_OK, 10, 200},
    {"echo over a unix socket", "unix:", M_ECHO, PLAIN, FARCALL_OK, 10, 200},
    {"a blocking call", "mem:oom-15", M_ECHO, BLOCKING, FARCALL_OK, 10, 200},
    {"a megabyte each way", "mem:oom-15", M_ECHO, PLAIN, FARCALL_OK, 1 << 20, 200},
    {"compressed both ways", "mem:oom-15", M_ECHO, COMPRESSED, FARCALL_OK, 1000, 500},
    {"large and compressed", "mem:oom-15", M_ECHO, COMPRESSED, FARCALL_OK, 100000, 500},
    {"a large reply", "mem:oom-15", M_GROW, PLAIN, FARCALL_OK, 300000, 200},
    {"metadata both ways", "mem:oom-15", M_METADATA, PLAIN, FARCALL_OK, 10, 200},
    {"a handler that fails", "mem:oom-15", M_FAIL, PLAIN, FARCALL_ABORTED, 10, 200},
    {"a method without handler", "mem:oom-15", M_MISSING, PLAIN, FARCALL_UNIMPLEMENTED, 10, 200},
    {"completed later", "mem:oom-15", M_WAIT, COMPLETED, FARCALL_OK, 10, 200},
    {"cancelled while it pends", "mem:oom-15", M_WAIT, CANCELLED, FARCALL_CANCELLED, 10, 200},
    {"past its deadline", "mem:oom-15", M_WAIT, PLAIN, FARCALL_DEADLINE_EXCEEDED, 10, 20},
    {"found by its name", "mem:oom-15", M_ECHO, PUBLISHED, FARCALL_OK, 10, 200},
    {"a server that comes late", "mem:oom-15", M_ECHO, LATE, FARCALL_OK, 10, 200},
    {"a child call", "mem:oom-15", M_ECHO, CHILD, FARCALL_OK, 10, 200},
    {"a channel closed in flight", "mem:oom-15", M_WAIT, CLOSED, FARCALL_CANCELLED, 10, 200},
    {"a server stopped in flight", "mem:oom-15", M_WAIT, STOPPED, FARCALL_UNAVAILABLE, 10, 200},
    {"a connection that will end", "mem:oom-15", M_ECHO, LIMITED, FARCALL_OK, 10, 200},
    {"a second endpoint", "mem:oom-15", M_ECHO, TWO_SERVERS, FARCALL_OK, 10, 200},
    {"the third attempt", "mem:oom-15", M_CUSTOM, RETRIED, FARCALL_OK, 10, 200},
    {"the third hedge", "mem:oom-15", M_CUSTOM, HEDGED, FARCALL_OK, 10, 200},
    {"hedges at once", "mem:oom-15", M_ECHO, HEDGED, FARCALL_OK, 10, 200},
    {"round robin", "127.0.0.1:0", M_ECHO, ROUND_ROBIN, FARCALL_OK, 10, 200},
};

typedef struct life {
	const scenario *scenario;
	uint64_t timeout_ms;
	farcall_loop *loop;
	farcall_server *server;
	farcall_channel *channel;
	farcall_call *call, *pending;
	char dir[64], address[96], target[160];
	uint8_t *bytes;
	int done;
	farcall_code code;
	char error[256];
	int failures; /* of the handler that fails twice */
	bool served;  /* the server could be prepared */
} life;

static life l;

/* ---- the server ---- */

static farcall_code
echo(farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	(void)call;
	*reply = *request;
	return FARCALL_OK;
}

static farcall_code
give_up(farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	(void)reply;
	return farcall_call_fail(call, FARCALL_ABORTED, "no %s today", request->text);
}

static farcall_code
pend(farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	*reply = *request;
	l.pending = call;
	return FARCALL_PENDING;
}

static farcall_code
tell(farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	*reply = *request;
	farcall_call_add_metadata(call, "head", "value");
	farcall_call_add_trailer(call, "tail", "value");
	farcall_call_add_trailer_bin(call, "tail-bin", "\0\1\2", 3);
	return FARCALL_OK;
}

static farcall_code
grow(farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	reply->data.data = (uint8_t *)farcall_call_alloc(call, request->number);
	reply->data.len = reply->data.data != NULL ? request->number : 0;
	reply->text = farcall_call_strdup(call, request->text);
	return FARCALL_OK;
}

static farcall_code
fail_twice(farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	if (l.failures++ < 2)
		return farcall_call_fail(call, FARCALL_UNAVAILABLE, "not yet");
	*reply = *request;
	return FARCALL_OK;
}

static const struct pair_test handlers = {.echo = echo,
    .fail = give_up,
    .wait = pend,
    .metadata = tell,
    .grow = grow,
    .custom = fail_twice};

static void
make_server(void)
{
	farcall_service *service;
	char registry[80];

	l.server = farcall_server_new();
	farcall_server_set_loop(l.server, l.loop);
	service = pair_test__register(l.server, &handlers, NULL);
	if (l.scenario->twist == COMPRESSED)
		farcall_server_set_compression(l.server, FARCALL_GZIP);
	if (l.scenario->twist == TWO_SERVERS) {
		farcall_service_allow_endpoint(service, "second");
		farcall_server_bind(l.server, "mem:oom-first");
		farcall_endpoint_set_name(farcall_server_bind(l.server, l.address), "second");
	} else {
		const char *real =
		    farcall_endpoint_address(farcall_server_bind(l.server, l.address), 0);

		if (real != NULL && l.scenario->twist != PUBLISHED)
			snprintf(l.target, sizeof l.target, "%s", real);
	}
	if (l.scenario->twist == PUBLISHED) {
		snprintf(registry, sizeof registry, "file:%s", l.dir);
		farcall_server_publish(l.server, registry);
	}
	if (l.scenario->twist == LIMITED) {
		farcall_server_set_max_connection_age_ms(l.server, 1000);
		farcall_server_set_max_connection_idle_ms(l.server, 1000);
	}
	l.served = farcall_server_start(l.server) == FARCALL_OK;
}

/* ---- the client ---- */

static void
finish(farcall_code code, const Pair__Message *reply)
{
	l.done++;
	l.code = code;
	if (code == FARCALL_OK)
		assert_string_equal(reply->text, "a text");
}

static void
on_done(farcall_call *call, farcall_code code, const ProtobufCMessage *reply, void *data)
{
	(void)data;
	snprintf(l.error, sizeof l.error, "%s", farcall_call_error(call));
	finish(code, (const Pair__Message *)(const void *)reply);
	farcall_call_free(call);
	l.call = NULL;
}

static void
call_it(void)
{
	const farcall_method *method = &pair_test__methods[l.scenario->method];
	Pair__Message request = PAIR__MESSAGE__INIT;
	const ProtobufCMessage *reply = NULL;

	request.text = (char *)(uintptr_t) "a text";
	request.number = (uint32_t)l.scenario->size;
	request.data.data = l.bytes;
	request.data.len = l.scenario->size;
	l.call = farcall_call_new(l.channel);
	farcall_call_set_timeout_ms(l.call, l.timeout_ms);
	farcall_call_set_wait_for_ready(l.call, l.scenario->twist == LATE);
	farcall_call_add_metadata(l.call, "key", "value");
	if (l.scenario->twist == CHILD)
		farcall_call_set_parent(l.call, l.pending);
	if (l.scenario->twist == BLOCKING) {
		farcall_code code = farcall_call_invoke(l.call, method, &request.base, &reply);

		finish(code, (const Pair__Message *)(const void *)reply);
		farcall_call_free(l.call);
	} else {
		farcall_call_invoke_async(l.call, method, &request.base, on_done, NULL);
	}
}

static void
step_until(const void *const *seen)
{
	uint64_t until = uv_hrtime() + UINT64_C(15000000000);

	while (uv_hrtime() < until && l.done == 0 && (seen == NULL || *seen == NULL))
		farcall_loop_step(l.loop, 10);
}

static void
on_parent_done(farcall_call *call, farcall_code code, const ProtobufCMessage *reply, void *data)
{
	(void)code;
	(void)reply;
	*(farcall_call **)data = NULL;
	farcall_call_free(call);
}

/* The parent is a call being served: its handler pends. */
static farcall_call *
call_parent(farcall_call **parent)
{
	Pair__Message request = PAIR__MESSAGE__INIT;

	*parent = farcall_call_new(l.channel);
	farcall_call_invoke_async(
	    *parent, &pair_test__methods[M_WAIT], &request.base, on_parent_done, parent);
	for (int i = 0; i < 300 && *parent != NULL && l.pending == NULL; i++)
		farcall_loop_step(l.loop, 1);
	return *parent;
}

static void
twist_it(void)
{
	step_until((const void *const *)(const void *)&l.pending);
	switch (l.scenario->twist) {
	case COMPLETED:
		if (l.pending != NULL)
			farcall_call_complete(l.pending, FARCALL_OK);
		l.pending = NULL;
		break;
	case CANCELLED:
		if (l.call != NULL)
			farcall_call_cancel(l.call);
		break;
	case CLOSED:
		farcall_channel_close(l.channel);
		l.channel = NULL;
		break;
	case STOPPED:
		farcall_server_stop(l.server, 0);
		break;
	default:
		break;
	}
}

static const char *
config_of(const scenario *s)
{
	switch (s->twist) {
	case RETRIED:
		return RETRIES;
	case HEDGED:
		return HEDGES;
	case ROUND_ROBIN:
		return "{\"loadBalancingPolicy\": \"round_robin\"}";
	default:
		return NULL;
	}
}

static void
live(const scenario *s, bool clean)
{
	farcall_call *parent = NULL;

	memset(&l.loop, 0, sizeof l - offsetof(life, loop));
	l.scenario = s;
	l.timeout_ms = clean && s->expected != FARCALL_DEADLINE_EXCEEDED ? 10000 : s->timeout_ms;
	l.bytes = (uint8_t *)calloc(1, s->size);
	snprintf(l.dir, sizeof l.dir, "/tmp/farcall-oom-%d", (int)getpid());
	assert_int_equal(mkdtemp(strcat(l.dir, "-XXXXXX")) != NULL, 1);
	snprintf(l.address, sizeof l.address, "%s", s->address);
	if (strcmp(s->address, "unix:") == 0)
		snprintf(l.address, sizeof l.address, "unix:%s/s", l.dir);
	snprintf(l.target, sizeof l.target, "%s", l.address);
	if (s->twist == PUBLISHED)
		snprintf(l.target, sizeof l.target, "file://%s/pair.Test", l.dir);
	l.loop = farcall_loop_new();
	if (s->twist != LATE)
		make_server();
	l.channel = farcall_channel_open(l.target);
	farcall_channel_set_loop(l.channel, l.loop);
	if (s->twist == COMPRESSED)
		farcall_channel_set_compression(l.channel, FARCALL_DEFLATE);
	if (s->twist == LIMITED) {
		farcall_channel_set_keepalive_ms(l.channel, 10000);
		farcall_channel_set_keepalive_without_calls(l.channel, true);
	}
	farcall_channel_set_service_config(l.channel, config_of(s));
	/* Without a loop to lend, server and channel would run on threads of their own: another
	 * test. */
	if (farcall_loop_step(l.loop, 0) == FARCALL_OK &&
	    (s->twist != CHILD || call_parent(&parent) != NULL)) {
		call_it();
		if (s->twist == LATE)
			make_server();
		if (s->method == M_WAIT && s->twist != PLAIN)
			twist_it();
		step_until(NULL);
		if (l.done != 1)
			fail_msg("%s: done came %d times", s->name, l.done);
	}
	if (l.pending != NULL)
		farcall_call_complete(l.pending, FARCALL_OK);
	for (int i = 0; i < 300 && parent != NULL; i++)
		farcall_loop_step(l.loop, 1);
	farcall_channel_close(l.channel);
	farcall_server_stop(l.server, 0);
	for (int i = 0; i < 3000 && !farcall_server_stopped(l.server); i++)
		farcall_loop_step(l.loop, 1);
	farcall_server_free(l.server);
	farcall_loop_step(l.loop, 0);
	farcall_loop_free(l.loop);
	free(l.bytes);
	rmdir(l.dir);
}

/* INTERNAL: a server that has no memory to say more resets the stream. Without a server its address
 * may say nothing ("127.0.0.1:0"). */
static bool
is_honest(void)
{
	return !l.served || l.code == FARCALL_RESOURCE_EXHAUSTED || l.code == FARCALL_UNAVAILABLE ||
	    l.code == FARCALL_DEADLINE_EXCEEDED ||
	    (l.code == FARCALL_INTERNAL && strstr(l.error, "the server reset the stream") != NULL);
}

static void
fail_each(const scenario *s, bool sticky)
{
	size_t n;

	live(s, true);
	if (l.code != s->expected)
		fail_msg("%s: %s", s->name, farcall_code_name(l.code));
	for (n = 1;; n++) {
		test_allocator_fail_at(n, sticky);
		live(s, false);
		if (!test_allocator_failed())
			break;
		if (l.done != 0 && l.code != s->expected && !is_honest())
			fail_msg("%s, allocation %zu: %s", s->name, n, l.error);
	}
	test_allocator_fail_at(0, false);
	live(s, true);
	if (l.code != s->expected)
		fail_msg("%s, with all its memory: %s", s->name, farcall_code_name(l.code));
	assert_true(n > 20);
}

static void
each_scenario(bool sticky)
{
	test_log_catch();
	for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++)
		fail_each(&scenarios[i], sticky);
	test_log_release();
}

static void
once(void **state)
{
	(void)state;
	each_scenario(false);
}

static void
for_good(void **state)
{
	(void)state;
	each_scenario(true);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(once),
	    clean_test(for_good),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
