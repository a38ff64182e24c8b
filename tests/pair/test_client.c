/*
 * test_client.c: blocking calls as a program makes them: outcomes, texts, limits, cancelling from
 * elsewhere, servers that come and go.
 */
#include "tests/support/pair.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <uv.h>

static char error_text[512];

static farcall_code
call_method(farcall_channel *channel, size_t method, const Pair__Message *request, uint64_t ms)
{
	farcall_call *call = farcall_call_new(channel);
	const ProtobufCMessage *reply = NULL;
	farcall_code code;

	farcall_call_set_timeout_ms(call, ms);
	code = farcall_call_invoke(call, &pair_test__methods[method], &request->base, &reply);
	assert_int_equal(code, farcall_call_code(call));
	assert_true((reply != NULL) == (code == FARCALL_OK));
	snprintf(error_text, sizeof error_text, "%s", farcall_call_error(call));
	farcall_call_free(call);
	return code;
}

enum { M_ECHO, M_FAIL, M_WAIT, M_METADATA, M_GROW, M_SLOW, M_CUSTOM, M_MISSING, M_CHAT };

/* ---- misuse, and what stands for nothing ---- */

static void
null_and_failed_objects_answer(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	const Pair__Message *reply = NULL;
	farcall_channel *channel;
	farcall_call *call;

	(void)state;
	farcall_channel_close(NULL);
	farcall_channel_allow_insecure(NULL);
	assert_int_equal(farcall_channel_code(NULL), FARCALL_FAILED_PRECONDITION);
	assert_int_equal(farcall_channel_state(NULL), FARCALL_SHUTDOWN);
	assert_int_equal(farcall_channel_wait_ready(NULL, 1), FARCALL_FAILED_PRECONDITION);
	farcall_call_set_timeout_ms(NULL, 1);
	farcall_call_set_parent(NULL, NULL);
	farcall_call_set_wait_for_ready(NULL, true);
	assert_int_equal(pair_test_echo(NULL, &request, &reply), FARCALL_FAILED_PRECONDITION);

	call = farcall_call_new(NULL);
	farcall_call_set_timeout_ms(call, 1);
	farcall_call_add_metadata(call, "a", "b");
	assert_null(farcall_call_alloc(call, 1));
	assert_string_equal(farcall_call_strdup(call, "x"), "");
	assert_int_equal(pair_test_echo(call, &request, &reply), FARCALL_FAILED_PRECONDITION);
	assert_string_equal(farcall_call_error(call), "FAILED_PRECONDITION: the channel is NULL");
	assert_string_equal(farcall_call_status_message(call), "");
	farcall_call_cancel(call);
	farcall_call_free(call);
	farcall_call_free(call);

	channel = farcall_channel_open("localhost:99999");
	assert_int_equal(farcall_channel_code(channel), FARCALL_INVALID_ARGUMENT);
	assert_int_equal(farcall_channel_cause(channel), FARCALL_CAUSE_BAD_ADDRESS);
	assert_non_null(strstr(farcall_channel_error(channel), "column"));
	call = farcall_call_new(channel);
	assert_int_equal(pair_test_echo(call, &request, &reply), FARCALL_INVALID_ARGUMENT);
	assert_non_null(strstr(farcall_call_error(call), "column"));
	assert_string_equal(farcall_call_status_message(call), ""); /* no peer said so */
	farcall_call_free(call);
	farcall_channel_close(channel);

	channel = farcall_channel_open("ipv4:127.0.0.1:80,127.0.0.1:0");
	assert_int_equal(farcall_channel_cause(channel), FARCALL_CAUSE_BAD_ADDRESS);
	assert_string_equal(farcall_channel_error(channel),
	    "bad address \"ipv4:127.0.0.1:80,127.0.0.1:0\", column 29: port 0 can only be bound");
	farcall_channel_close(channel);
	channel = farcall_channel_open("*:80");
	assert_int_equal(farcall_channel_code(channel), FARCALL_INVALID_ARGUMENT);
	assert_string_equal(farcall_channel_error(channel),
	    "bad address \"*:80\", column 1: \"*\" can only be bound");
	farcall_channel_close(channel);

	channel = farcall_channel_open(NULL);
	assert_int_equal(farcall_channel_code(channel), FARCALL_INVALID_ARGUMENT);
	farcall_channel_close(channel);
	assert_null(reply);
}

static void
out_of_memory_gives_objects_that_say_so(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	const Pair__Message *reply = NULL;
	farcall_channel *channel, *whole;
	farcall_call *call;

	(void)state;
	whole = farcall_channel_open("mem:nobody");
	test_allocator_fail_at(1, true);
	channel = farcall_channel_open("mem:nobody");
	assert_int_equal(farcall_channel_code(channel), FARCALL_RESOURCE_EXHAUSTED);
	assert_int_equal(farcall_channel_cause(channel), FARCALL_CAUSE_OUT_OF_MEMORY);
	assert_int_equal(farcall_channel_wait_ready(channel, 1), FARCALL_RESOURCE_EXHAUSTED);
	farcall_channel_set_timeout_ms(channel, 1);
	for (int i = 0; i < 2; i++) {
		call = farcall_call_new(i == 0 ? channel : whole);
		farcall_call_set_timeout_ms(call, 1);
		farcall_call_add_metadata(call, "a", "b");
		assert_null(farcall_call_alloc(call, 1));
		assert_int_equal(
		    pair_test_echo(call, &request, &reply), FARCALL_RESOURCE_EXHAUSTED);
		assert_int_equal(farcall_call_cause(call), FARCALL_CAUSE_OUT_OF_MEMORY);
		farcall_call_free(call);
	}
	farcall_channel_close(channel);
	test_allocator_fail_at(0, false);
	farcall_channel_close(whole);
}

static void
settings_have_ranges_and_come_first(void **state)
{
	static const struct {
		size_t value;
		bool good;
	} messages[] = {{0, false}, {1, true}, {INT32_MAX, true}, {(size_t)INT32_MAX + 1, false}},
	  lists[] = {{1023, false}, {1024, true}, {65536, true}, {65537, false}},
	  spins[] = {{0, true}, {10000, true}, {10001, false}};
	farcall_channel *channel;

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		channel = farcall_channel_open("mem:x");
		farcall_channel_set_max_message(channel, messages[i].value);
		assert_true((farcall_channel_code(channel) == FARCALL_OK) == messages[i].good);
		farcall_channel_close(channel);
		channel = farcall_channel_open("mem:x");
		farcall_channel_set_max_metadata(channel, lists[i].value);
		assert_true((farcall_channel_code(channel) == FARCALL_OK) == lists[i].good);
		farcall_channel_close(channel);
	}
	for (size_t i = 0; i < 3; i++) {
		channel = farcall_channel_open("mem:x");
		farcall_channel_set_spin_us(channel, (unsigned)spins[i].value);
		assert_true((farcall_channel_code(channel) == FARCALL_OK) == spins[i].good);
		farcall_channel_close(channel);
	}
	test_log_catch();
	channel = farcall_channel_open("mem:x");
	farcall_call_free(farcall_call_new(channel));
	farcall_channel_set_timeout_ms(channel, 1);
	assert_int_equal(farcall_channel_code(channel), FARCALL_FAILED_PRECONDITION);
	assert_string_equal(farcall_channel_error(channel), "set time-out after the first call");
	assert_int_equal(test_echo(channel, "x"), FARCALL_FAILED_PRECONDITION);
	farcall_channel_close(channel);
	test_log_release();
}

static void
a_call_is_used_once(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	const Pair__Message *reply = NULL;
	farcall_call *call;
	test_pair pair;

	(void)state;
	test_log_catch();
	test_pair_init(&pair, "127.0.0.1:0");
	test_pair_start(&pair);
	call = farcall_call_new(pair.channel);
	assert_int_equal(pair_test_echo(call, &request, &reply), FARCALL_OK);
	assert_int_equal(pair_test_echo(call, &request, &reply), FARCALL_FAILED_PRECONDITION);
	assert_int_equal(farcall_call_code(call), FARCALL_OK);
	assert_string_equal(farcall_call_error(call), "FAILED_PRECONDITION: a call is used once");
	assert_string_equal(farcall_call_status_message(call), "");
	assert_int_equal(farcall_call_finish(call, NULL), FARCALL_FAILED_PRECONDITION);
	assert_int_equal(test_log_count(), 2);
	farcall_call_set_timeout_ms(call, 5);
	assert_int_equal(farcall_call_code(call), FARCALL_OK);
	assert_int_equal(farcall_call_cause(call), FARCALL_CAUSE_NONE);
	assert_string_equal(farcall_call_error(call),
	    "FAILED_PRECONDITION: set time-out: the call has started, or is a server's");
	farcall_call_add_metadata(call, "a", "b");
	assert_int_equal(farcall_call_code(call), FARCALL_OK);
	farcall_call_cancel(call);
	farcall_call_free(call);

	/* one that has failed keeps that */
	call = farcall_call_new(pair.channel);
	assert_int_equal(pair_test_missing(call, &request, &reply), FARCALL_UNIMPLEMENTED);
	snprintf(error_text, sizeof error_text, "%s", farcall_call_error(call));
	assert_int_equal(pair_test_echo(call, &request, &reply), FARCALL_UNIMPLEMENTED);
	assert_string_equal(farcall_call_error(call), error_text);
	farcall_call_free(call);

	call = farcall_call_new(pair.channel);
	assert_int_equal(pair_test_echo(call, NULL, &reply), FARCALL_FAILED_PRECONDITION);
	assert_non_null(strstr(farcall_call_error(call), "the request is NULL"));
	farcall_call_free(call);
	call = farcall_call_new(pair.channel);
	assert_int_equal(
	    farcall_call_invoke(call, &pair_test__methods[M_CHAT], &request.base, NULL),
	    FARCALL_FAILED_PRECONDITION);
	farcall_call_free(call);
	test_pair_fini(&pair);
	test_log_release();
}

static void
bad_metadata_stick_to_the_call(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	const Pair__Message *reply = NULL;
	farcall_call *call;
	test_pair pair;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	test_pair_start(&pair);
	call = farcall_call_new(pair.channel);
	farcall_call_add_metadata(call, "Upper", "case");
	farcall_call_add_metadata(call, "good", "one");
	assert_int_equal(pair_test_echo(call, &request, &reply), FARCALL_INVALID_ARGUMENT);
	assert_non_null(strstr(farcall_call_error(call), "\"Upper\" has an upper-case letter"));
	farcall_call_free(call);
	test_pair_fini(&pair);
}

/* ---- time ---- */

/* Calls whose deadline passes, until one has reached its handler before: that one's sees it. */
static void
let_one_expire(test_pair *pair, farcall_channel *channel, uint64_t ms)
{
	Pair__Message request = PAIR__MESSAGE__INIT;

	for (; atomic_load(&pair->n_waiting) == 0; ms *= 4) {
		assert_int_equal(
		    call_method(channel, M_WAIT, &request, ms), FARCALL_DEADLINE_EXCEEDED);
		assert_int_equal(test_echo(channel, "the server knows"), FARCALL_OK);
	}
	test_wait_for(&pair->n_cancelled, 1);
	assert_int_equal(test_echo(channel, "after"), FARCALL_OK);
	farcall_server_stop(pair->server, 0);
	farcall_server_wait(pair->server); /* no handler runs any more */
	for (int i = 0; i < atomic_load(&pair->n_waiting); i++)
		farcall_call_complete(pair->waiting[i], FARCALL_OK);
}

static void
a_deadline_ends_a_blocking_call(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	uint64_t start;
	test_pair pair;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	test_pair_start(&pair);
	start = uv_hrtime();
	assert_int_equal(
	    call_method(pair.channel, M_WAIT, &request, 100), FARCALL_DEADLINE_EXCEEDED);
	assert_in_range((uv_hrtime() - start) / 1000000, 100, 15000);
	assert_non_null(strstr(error_text, "DEADLINE_EXCEEDED: after 100 ms, waiting for "));
	let_one_expire(&pair, pair.channel, 100);
	test_pair_fini(&pair);
}

static void
spinning_changes_nothing_but_time(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_channel *channel;
	test_pair pair;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	test_pair_start(&pair);
	channel = farcall_channel_open(test_pair_address(&pair));
	farcall_channel_set_spin_us(channel, 200);
	for (int i = 0; i < 20; i++)
		assert_int_equal(test_echo(channel, "spin"), FARCALL_OK);
	request.number = 3;
	assert_int_equal(call_method(channel, M_SLOW, &request, 20000), FARCALL_OK);
	let_one_expire(&pair, channel, 20);
	farcall_channel_close(channel);
	test_pair_fini(&pair);
}

/* ---- cancelling ---- */

typedef struct canceller {
	test_pair *pair;
	farcall_call *call;
	uv_thread_t thread;
} canceller;

static void
cancel_when_waiting(void *data)
{
	canceller *c = (canceller *)data;

	test_wait_for(&c->pair->n_waiting, 1);
	farcall_call_cancel(c->call);
	farcall_call_cancel(c->call);
}

static void
another_thread_cancels_a_blocking_call(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	const Pair__Message *reply = NULL;
	canceller c;
	test_pair pair;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	test_pair_start(&pair);
	c.pair = &pair;
	c.call = farcall_call_new(pair.channel);
	uv_thread_create(&c.thread, cancel_when_waiting, &c);
	assert_int_equal(pair_test_wait(c.call, &request, &reply), FARCALL_CANCELLED);
	assert_string_equal(
	    farcall_call_error(c.call), "CANCELLED: the call was cancelled by its caller");
	uv_thread_join(&c.thread);
	farcall_call_free(c.call);
	test_wait_for(&pair.n_cancelled, 1);
	farcall_call_complete(pair.waiting[0], FARCALL_OK);

	c.call = farcall_call_new(pair.channel); /* before the start */
	farcall_call_cancel(c.call);
	assert_int_equal(pair_test_echo(c.call, &request, &reply), FARCALL_CANCELLED);
	farcall_call_cancel(c.call);
	farcall_call_free(c.call);
	assert_int_equal(test_echo(pair.channel, "after"), FARCALL_OK);
	test_pair_fini(&pair);
}

/* ---- limits ---- */

static void
replies_up_to_the_limit_pass(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_channel *channel;
	test_pair pair;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	test_pair_start(&pair);
	channel = farcall_channel_open(test_pair_address(&pair));
	farcall_channel_set_max_message(channel, 1000);
	request.number = 1000 - 3; /* its field's key and length */
	assert_int_equal(call_method(channel, M_GROW, &request, 20000), FARCALL_OK);
	request.number++;
	assert_int_equal(call_method(channel, M_GROW, &request, 20000), FARCALL_RESOURCE_EXHAUSTED);
	assert_int_equal(test_echo(channel, "after"), FARCALL_OK);
	farcall_channel_close(channel);
	request.number = 3 << 20; /* more than a stream's window */
	assert_int_equal(call_method(pair.channel, M_GROW, &request, 20000), FARCALL_OK);
	test_pair_fini(&pair);
}

static farcall_code
answer_metadata(
    test_pair *pair, farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	char *value = (char *)farcall_call_alloc(call, request->number + 1);

	(void)pair, (void)reply;
	memset(value, 'v', request->number);
	farcall_call_add_trailer(call, "k", value);
	return FARCALL_OK;
}

static void
metadata_past_the_limit_fail_the_call(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_channel *channel;
	test_pair pair;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	pair.custom = answer_metadata;
	test_pair_start(&pair);
	channel = farcall_channel_open(test_pair_address(&pair));
	farcall_channel_set_max_metadata(channel, 1024);
	request.number = 800;
	assert_int_equal(call_method(channel, M_CUSTOM, &request, 20000), FARCALL_OK);
	request.number = 1024;
	assert_int_equal(
	    call_method(channel, M_CUSTOM, &request, 20000), FARCALL_RESOURCE_EXHAUSTED);
	assert_int_equal(test_echo(channel, "after"), FARCALL_OK);
	farcall_channel_close(channel);
	test_pair_fini(&pair);
}

/* ---- connecting ---- */

static void
plaintext_beyond_this_host_must_be_asked_for(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_channel *channel = farcall_channel_open("192.0.2.1:9");
	farcall_call *call;

	(void)state;
	assert_int_equal(
	    call_method(channel, M_ECHO, &request, 20000), FARCALL_FAILED_PRECONDITION);
	assert_non_null(strstr(error_text, "192.0.2.1"));
	call = farcall_call_new(channel);
	farcall_call_set_timeout_ms(call, 5000);
	farcall_call_set_wait_for_ready(call, true); /* would wait in vain */
	assert_int_equal(pair_test_echo(call, &request, NULL), FARCALL_FAILED_PRECONDITION);
	assert_int_equal(farcall_call_cause(call), FARCALL_CAUSE_INSECURE);
	farcall_call_free(call);
	assert_int_equal(farcall_channel_wait_ready(channel, 5000), FARCALL_FAILED_PRECONDITION);
	farcall_channel_close(channel);

	channel = farcall_channel_open("192.0.2.1:9");
	farcall_channel_allow_insecure(channel);
	call_method(channel, M_ECHO, &request, 30);
	assert_null(strstr(error_text, "FAILED_PRECONDITION"));
	farcall_channel_close(channel);
}

static void
states_are_seen(void **state)
{
	char address[64];
	farcall_channel *channel;
	test_pair pair;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	snprintf(address, sizeof address, "%s", test_pair_address(&pair));
	channel = farcall_channel_open(address);
	assert_int_equal(farcall_channel_state(channel), FARCALL_IDLE);
	test_pair_start(&pair);
	assert_int_equal(farcall_channel_wait_ready(channel, 10000), FARCALL_OK);
	assert_int_equal(farcall_channel_state(channel), FARCALL_READY);
	test_pair_fini(&pair);
	assert_int_equal(test_echo(channel, "gone"), FARCALL_UNAVAILABLE);
	assert_int_equal(farcall_channel_state(channel), FARCALL_TRANSIENT_FAILURE);
	assert_int_equal(farcall_channel_wait_ready(channel, 50), FARCALL_DEADLINE_EXCEEDED);
	assert_non_null(
	    strstr(farcall_channel_error(channel), "(last failure: connection refused)"));
	farcall_channel_close(channel);
}

static void
the_peer_is_known_once_connected(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	const Pair__Message *reply = NULL;
	farcall_call *call;
	test_pair pair;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	test_pair_start(&pair);
	call = farcall_call_new(pair.channel);
	assert_string_equal(farcall_call_peer(call), "");
	assert_int_equal(pair_test_echo(call, &request, &reply), FARCALL_OK);
	assert_string_equal(farcall_call_peer(call), test_pair_address(&pair));
	farcall_call_free(call);
	test_pair_fini(&pair);
}

static void
names_are_looked_up(void **state)
{
	char target[32];
	farcall_channel *channel;
	test_pair pair;

	(void)state;
	test_pair_init(&pair, "localhost:0");
	test_pair_start(&pair);
	snprintf(target, sizeof target, "localhost:%u", farcall_endpoint_port(pair.endpoint));
	channel = farcall_channel_open(target);
	assert_int_equal(test_echo(channel, "by name"), FARCALL_OK);
	farcall_channel_close(channel);
	test_pair_fini(&pair);
}

static int
rounds(int usual)
{
	const char *text = getenv("FARCALL_TEST_ROUNDS");
	int n = usual * (text != NULL ? atoi(text) : 1);

	return n < 1000 ? n : 1000;
}

typedef struct program {
	pid_t pid;
	int to, from;
} program;

/* The echo server of $ECHO_SERVER at `address`; *real is where it then is. */
static void
run_server(program *server, const char *address, char *real, size_t room)
{
	int to[2], from[2];
	ssize_t n = 0, more;

	assert_int_equal(pipe(to), 0);
	assert_int_equal(pipe(from), 0);
	fcntl(to[1], F_SETFD, FD_CLOEXEC);
	server->pid = fork();
	assert_true(server->pid >= 0);
	if (server->pid == 0) {
		dup2(to[0], 0);
		dup2(from[1], 1);
		execl(getenv("ECHO_SERVER"), "echo-server", address, (char *)NULL);
		_exit(127);
	}
	close(to[0]);
	close(from[1]);
	server->to = to[1];
	server->from = from[0];
	while ((more = read(from[0], real + n, room - (size_t)n - 1)) > 0) {
		n += more;
		if (real[n - 1] == '\n')
			break;
	}
	assert_true(n > 1);
	real[n - 1] = 0;
}

static void
kill_server(program *server)
{
	kill(server->pid, SIGKILL);
	waitpid(server->pid, NULL, 0);
	close(server->to);
	close(server->from);
}

/* Nobody drives the channel between its calls, so that the server has died is read only when the
 * next call begins. */
static void
a_server_restarts_between_calls(void **state)
{
	char address[64], again[64];
	farcall_channel *channel;
	program server;

	(void)state;
	if (getenv("ECHO_SERVER") == NULL) {
		print_message("skipped: ECHO_SERVER is not set\n");
		skip();
	}
	run_server(&server, "127.0.0.1:0", address, sizeof address);
	channel = farcall_channel_open(address);
	for (int i = rounds(100); i > 0; i--) {
		assert_int_equal(test_echo(channel, "one"), FARCALL_OK);
		assert_int_equal(test_echo(channel, "two"), FARCALL_OK);
		kill_server(&server);
		run_server(&server, address, again, sizeof again);
		assert_string_equal(again, address);
		uv_sleep(11);
	}
	assert_int_equal(test_echo(channel, "last"), FARCALL_OK);
	kill_server(&server);
	farcall_channel_close(channel);
}

/* What the old server said as it went is seen, however little time has passed. */
static void
a_server_that_stops_gently_is_followed(void **state)
{
	farcall_channel *channel;
	char address[64];
	test_pair pair;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	snprintf(address, sizeof address, "%s", test_pair_address(&pair));
	channel = farcall_channel_open(address);
	for (int i = 0; i < 2; i++) {
		test_pair_start(&pair);
		assert_int_equal(test_echo(channel, "hello"), FARCALL_OK);
		test_pair_fini(&pair);
		test_pair_init(&pair, address);
	}
	test_pair_start(&pair);
	assert_int_equal(test_echo(channel, "hello"), FARCALL_OK);
	farcall_channel_close(channel);
	test_pair_fini(&pair);
}

typedef struct late_server {
	test_pair pair;
	char address[64];
	uv_thread_t thread;
} late_server;

static void
start_late(void *data)
{
	late_server *late = (late_server *)data;

	uv_sleep(100);
	test_pair_init(&late->pair, late->address);
	test_pair_start(&late->pair);
}

static void
wait_for_ready_waits_for_a_server(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	const Pair__Message *reply = NULL;
	farcall_channel *channel;
	farcall_call *call;
	late_server late;

	(void)state;
	test_pair_init(&late.pair, "127.0.0.1:0");
	snprintf(late.address, sizeof late.address, "%s", test_pair_address(&late.pair));
	farcall_server_free(late.pair.server);
	channel = farcall_channel_open(late.address);
	assert_int_equal(test_echo(channel, "too early"), FARCALL_UNAVAILABLE);
	uv_thread_create(&late.thread, start_late, &late);
	call = farcall_call_new(channel);
	farcall_call_set_wait_for_ready(call, true);
	farcall_call_set_timeout_ms(call, 60000);
	assert_int_equal(pair_test_echo(call, &request, &reply), FARCALL_OK);
	farcall_call_free(call);
	uv_thread_join(&late.thread);
	farcall_channel_close(channel);
	test_pair_fini(&late.pair);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(null_and_failed_objects_answer),
	    clean_test(out_of_memory_gives_objects_that_say_so),
	    clean_test(settings_have_ranges_and_come_first),
	    clean_test(a_call_is_used_once),
	    clean_test(bad_metadata_stick_to_the_call),
	    clean_test(a_deadline_ends_a_blocking_call),
	    clean_test(spinning_changes_nothing_but_time),
	    clean_test(another_thread_cancels_a_blocking_call),
	    clean_test(replies_up_to_the_limit_pass),
	    clean_test(metadata_past_the_limit_fail_the_call),
	    clean_test(plaintext_beyond_this_host_must_be_asked_for),
	    clean_test(states_are_seen),
	    clean_test(the_peer_is_known_once_connected),
	    clean_test(names_are_looked_up),
	    clean_test(a_server_restarts_between_calls),
	    clean_test(a_server_that_stops_gently_is_followed),
	    clean_test(wait_for_ready_waits_for_a_server),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
