/*
 * Streams on connections that grow old (gRFC A9): without a grace they go on as long as they like,
 * and other calls find a new connection meanwhile; with one they end when it is over, for both
 * sides, and a message that had been sent before is not lost.
 */
#include "tests/pair/hooked.h"
#include "tests/support/streams.h"

#include <uv.h>

static test_streams self;
static farcall_server *server;
static farcall_channel *channel;
static atomic_int connections;
static hooked seen;

static farcall_code
count_one(const farcall_connection *connection, void **user, void *data)
{
	(void)connection;
	(void)user;
	(void)data;
	atomic_fetch_add(&connections, 1);
	return FARCALL_OK;
}

static void
begin(uint64_t age_ms, uint64_t grace_ms)
{
	memset(&self, 0, sizeof self);
	atomic_store(&connections, 0);
	hooked_init(&seen, "server");
	server = farcall_server_new();
	stream_test__register(server, &test_stream_handlers, &self);
	farcall_server_set_max_connection_age_ms(server, age_ms);
	if (grace_ms != 0)
		farcall_server_set_max_connection_grace_ms(server, grace_ms);
	farcall_server_on_connection(server, count_one, NULL, NULL);
	farcall_server_intercept(server, &hooked_hooks, sizeof hooked_hooks, &seen);
	channel = farcall_channel_open(
	    farcall_endpoint_address(farcall_server_bind(server, "127.0.0.1:0"), 0));
	assert_int_equal(farcall_server_start(server), FARCALL_OK);
}

static void
end(void)
{
	farcall_channel_close(channel);
	farcall_server_free(server);
	hooked_settle();
	assert_int_equal(seen.wrong, 0);
	assert_int_equal(atomic_load(&seen.n_begun), atomic_load(&seen.n_ended));
	hooked_log();
}

static farcall_code
exchange(farcall_call *call, uint32_t number)
{
	Stream__Message request = STREAM__MESSAGE__INIT;
	const Stream__Message *reply = NULL;
	farcall_code code;

	request.number = number;
	code = stream_test_chat__send_request(call, &request);
	if (code == FARCALL_OK)
		code = stream_test_chat__recv_reply(call, &reply);
	if (code == FARCALL_OK)
		assert_int_equal(reply->number, number);
	return code;
}

static farcall_code
unary(void)
{
	Stream__Message request = STREAM__MESSAGE__INIT;
	farcall_call *call = farcall_call_new(channel);
	farcall_code code = stream_test_cancelled(call, &request, NULL);

	farcall_call_free(call);
	return code;
}

/* Each exchange asks for a connection, and one that is told to go is not used again. */
static void
a_stream_goes_on(void **state)
{
	farcall_call *call;
	uint64_t until;
	uint32_t n = 0;

	(void)state;
	begin(1000, 0);
	call = farcall_call_new(channel);
	stream_test_chat__start(call);
	for (until = uv_hrtime() + 30000000000u;
	     atomic_load(&connections) < 2 && uv_hrtime() < until; n++) {
		assert_int_equal(exchange(call, n), FARCALL_OK);
		assert_int_equal(unary(), FARCALL_OK);
	}
	assert_int_equal(atomic_load(&connections), 2);
	for (int i = 0; i < 100; i++)
		assert_int_equal(exchange(call, n++), FARCALL_OK);
	assert_int_equal(stream_test_chat__finish(call), FARCALL_OK);
	farcall_call_free(call);
	end();
}

static void
a_stream_has_its_grace(void **state)
{
	const Stream__Message *reply = NULL;
	farcall_call *call;
	uint64_t from = uv_hrtime();

	(void)state;
	begin(2500, 50); /* time for what comes before */
	call = farcall_call_new(channel);
	farcall_call_set_timeout_ms(call, 60000);
	stream_test_chat__start(call);
	assert_int_equal(exchange(call, 1), FARCALL_OK);
	assert_int_equal(stream_test_chat__recv_reply(call, &reply), FARCALL_UNAVAILABLE);
	assert_true(uv_hrtime() - from > 2200000000u);
	print_message("%s\n", farcall_call_error(call));
	assert_int_equal(stream_test_chat__finish(call), FARCALL_UNAVAILABLE);
	farcall_call_free(call);
	test_wait_for(&self.ended, 1);
	assert_int_equal(atomic_load(&self.cancelled), 1);
	assert_int_equal(unary(), FARCALL_OK);
	end();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(a_stream_goes_on),
	    clean_test(a_stream_has_its_grace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
