/*
 * Compression as programs ask for it: by channel, server, call and message; what each end is told;
 * limits of what inflates; misuse.
 */
#include "tests/support/pair.h"

#include <stdlib.h>

/* What the handler does, and what it saw. */
typedef struct wish {
	farcall_coding coding; /* 0: says nothing */
	bool plain;
	bool saw; /* the request came compressed */
} wish;

static farcall_code
echo(test_pair *pair, farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	wish *w = (wish *)pair->data;

	w->saw = farcall_call_message_compressed(call);
	if (w->coding != 0)
		farcall_call_set_compression(call, w->coding);
	if (w->plain)
		farcall_call_set_message_compression(call, false);
	*reply = *request;
	return FARCALL_OK;
}

static void
start(test_pair *pair, wish *w, farcall_coding server, farcall_coding channel)
{
	test_pair_init(pair, "mem:compression");
	pair->custom = echo;
	pair->data = w;
	if (server != 0)
		farcall_server_set_compression(pair->server, server);
	test_pair_start(pair);
	if (channel != 0)
		farcall_channel_set_compression(pair->channel, channel);
}

#define SIZE 20000

static void
check_reply(const Pair__Message *reply)
{
	static const uint8_t zeros[SIZE];

	assert_int_equal(reply->data.len, SIZE);
	assert_memory_equal(reply->data.data, zeros, SIZE);
}

/* One call of Custom with zeros; whether the reply came compressed. */
static bool
ask(test_pair *pair, farcall_coding coding, bool plain)
{
	static uint8_t zeros[SIZE];
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_call *call = farcall_call_new(pair->channel);
	const Pair__Message *reply = NULL;
	bool compressed;

	request.data.data = zeros;
	request.data.len = SIZE;
	farcall_call_set_timeout_ms(call, 60000);
	if (coding != 0)
		farcall_call_set_compression(call, coding);
	if (plain)
		farcall_call_set_message_compression(call, false);
	assert_false(farcall_call_message_compressed(call));
	assert_int_equal(pair_test_custom(call, &request, &reply), FARCALL_OK);
	check_reply(reply);
	compressed = farcall_call_message_compressed(call);
	farcall_call_free(call);
	return compressed;
}

static void
who_asks(void **state)
{
	static const struct {
		farcall_coding server, handler, channel, call;
		bool handler_plain, call_plain, request, reply;
	} rows[] = {
	    {0, 0, 0, 0, false, false, false, false},
	    {0, 0, 0, FARCALL_GZIP, false, false, true, false},
	    {0, 0, 0, FARCALL_DEFLATE, false, false, true, false},
	    {0, 0, FARCALL_GZIP, 0, false, false, true, false},
	    {0, 0, FARCALL_GZIP, FARCALL_IDENTITY, false, false, false, false},
	    {0, 0, FARCALL_GZIP, FARCALL_DEFLATE, false, false, true, false},
	    {0, 0, FARCALL_GZIP, 0, false, true, false, false},
	    {FARCALL_GZIP, 0, 0, 0, false, false, false, true},
	    {FARCALL_DEFLATE, 0, 0, 0, false, false, false, true},
	    {FARCALL_DEFLATE, FARCALL_IDENTITY, 0, 0, false, false, false, false},
	    {FARCALL_DEFLATE, FARCALL_GZIP, FARCALL_GZIP, 0, false, false, true, true},
	    {0, FARCALL_GZIP, 0, 0, false, false, false, true},
	    {FARCALL_IDENTITY, FARCALL_DEFLATE, FARCALL_IDENTITY, 0, false, false, false, true},
	    {FARCALL_GZIP, 0, FARCALL_GZIP, 0, true, false, true, false},
	    {FARCALL_GZIP, FARCALL_GZIP, FARCALL_GZIP, 0, true, true, false, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		wish w = {rows[i].handler, rows[i].handler_plain, false};
		test_pair pair;

		start(&pair, &w, rows[i].server, rows[i].channel);
		for (int round = 0; round < 3; round++) {
			assert_int_equal(
			    ask(&pair, rows[i].call, rows[i].call_plain), rows[i].reply);
			assert_int_equal(w.saw, rows[i].request);
		}
		test_pair_fini(&pair);
	}
}

/* A call object that is used again knows nothing of the last one's wishes. */
static void
nothing_is_left(void **state)
{
	wish w = {0, false, false};
	test_pair pair;

	(void)state;
	start(&pair, &w, 0, 0);
	for (int i = 0; i < 5; i++) {
		w.coding = FARCALL_GZIP;
		assert_true(ask(&pair, FARCALL_GZIP, false));
		assert_true(w.saw);
		w.plain = true;
		assert_false(ask(&pair, FARCALL_GZIP, true));
		assert_false(w.saw);
		w = (wish){0, false, true};
		assert_false(ask(&pair, 0, false));
		assert_false(w.saw);
	}
	test_pair_fini(&pair);
}

/* ---- completed later, and calls with a callback ---- */

static atomic_int n_done;

static void
on_done(farcall_call *call, farcall_code code, const Pair__Message *reply, void *data)
{
	assert_int_equal(code, FARCALL_OK);
	check_reply(reply);
	*(bool *)data = farcall_call_message_compressed(call);
	farcall_call_free(call);
	atomic_fetch_add(&n_done, 1);
}

static void
later(void **state)
{
	static uint8_t zeros[SIZE];
	Pair__Message request = PAIR__MESSAGE__INIT;
	wish w = {0, false, false};
	bool compressed = false;
	farcall_call *call;
	test_pair pair;

	(void)state;
	atomic_store(&n_done, 0);
	start(&pair, &w, FARCALL_GZIP, FARCALL_DEFLATE);
	request.data.data = zeros;
	request.data.len = SIZE;
	for (int i = 0; i < 2; i++) {
		call = farcall_call_new(pair.channel);
		farcall_call_set_timeout_ms(call, 60000);
		pair_test_wait__async(call, &request, on_done, &compressed);
		test_wait_for(&pair.n_waiting, i + 1);
		assert_true(farcall_call_message_compressed(pair.waiting[i]));
		if (i == 1)
			farcall_call_set_message_compression(pair.waiting[i], false);
		farcall_call_complete(pair.waiting[i], FARCALL_OK);
		test_wait_for(&n_done, i + 1);
		assert_int_equal(compressed, i == 0);
	}
	test_pair_fini(&pair);
}

/* zlib's memory comes from the loops' pools, and goes back there. */
static void
warm_calls_allocate_nothing(void **state)
{
	wish w = {0, false, false};
	size_t before = 0;
	test_pair pair;

	(void)state;
	test_pair_init(&pair, "mem:compression");
	pair.custom = echo;
	pair.data = &w;
	farcall_server_set_compression(pair.server, FARCALL_GZIP);
	farcall_service_set_blocking(pair.service, "Custom", false); /* else it might be learned */
	test_pair_start(&pair);
	farcall_channel_set_compression(pair.channel, FARCALL_DEFLATE);
	for (int i = 0; i < 300; i++) {
		if (i == 100)
			before = test_allocator_calls();
		assert_true(ask(&pair, 0, false));
		assert_true(w.saw);
	}
	assert_int_equal(test_allocator_calls() - before, 0);
	test_pair_fini(&pair);
}

/* ---- limits ---- */

/* Echo of so many zeros, compressed. A message of n bytes of data is n and 4 bytes more. */
static farcall_code
echo_zeros(farcall_channel *channel, size_t size, char *error)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_call *call = farcall_call_new(channel);
	const Pair__Message *reply = NULL;
	farcall_code code;

	request.data.data = (uint8_t *)calloc(1, size);
	request.data.len = size;
	farcall_call_set_timeout_ms(call, 60000);
	code = pair_test_echo(call, &request, &reply);
	if (code == FARCALL_OK)
		assert_int_equal(reply->data.len, size);
	strcpy(error, farcall_call_error(call));
	free(request.data.data);
	farcall_call_free(call);
	return code;
}

static void
limits(void **state)
{
	static const char text[] =
	    "RESOURCE_EXHAUSTED: a compressed message inflates to more than 100000 bytes";
	test_pair pair;
	char error[512];

	(void)state;
	test_pair_init(&pair, "mem:compression");
	farcall_server_set_max_message(pair.server, 100000);
	farcall_server_set_compression(pair.server, FARCALL_GZIP);
	test_pair_start(&pair);
	farcall_channel_set_compression(pair.channel, FARCALL_DEFLATE);
	assert_int_equal(echo_zeros(pair.channel, 99996, error), FARCALL_OK);
	assert_int_equal(echo_zeros(pair.channel, 99997, error), FARCALL_RESOURCE_EXHAUSTED);
	assert_string_equal(error, text);
	assert_int_equal(test_echo(pair.channel, "after it"), FARCALL_OK);
	test_pair_fini(&pair);

	test_pair_init(&pair, "mem:compression");
	farcall_server_set_compression(pair.server, FARCALL_GZIP);
	test_pair_start(&pair);
	farcall_channel_set_max_message(pair.channel, 100000);
	assert_int_equal(echo_zeros(pair.channel, 99996, error), FARCALL_OK);
	assert_int_equal(echo_zeros(pair.channel, 99997, error), FARCALL_RESOURCE_EXHAUSTED);
	assert_string_equal(error, text);
	assert_int_equal(test_echo(pair.channel, "after it"), FARCALL_OK);
	test_pair_fini(&pair);
}

/* ---- misuse ---- */

static void
calls_that_are_misused(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	const Pair__Message *reply = NULL;
	wish w = {(farcall_coding)7, false, false};
	farcall_call *call;
	test_pair pair;

	(void)state;
	test_log_catch();
	farcall_call_set_compression(NULL, FARCALL_GZIP);
	farcall_call_set_message_compression(NULL, false);
	assert_false(farcall_call_message_compressed(NULL));

	start(&pair, &w, 0, 0);
	call = farcall_call_new(pair.channel);
	farcall_call_set_compression(call, (farcall_coding)3);
	assert_string_equal(farcall_call_error(call),
	    "INVALID_ARGUMENT: compression: 3 is none of FARCALL_IDENTITY, FARCALL_GZIP, "
	    "FARCALL_DEFLATE");
	farcall_call_set_compression(call, FARCALL_GZIP); /* the first failure sticks */
	assert_int_equal(pair_test_custom(call, &request, &reply), FARCALL_INVALID_ARGUMENT);
	farcall_call_free(call);

	/* A handler's nonsense is logged, and the call goes on. */
	assert_false(ask(&pair, FARCALL_GZIP, false));
	assert_non_null(
	    strstr(test_log_last(), "/pair.Test/Custom: misuse: compression: 7 is none of"));

	call = farcall_call_new(pair.channel);
	farcall_call_set_timeout_ms(call, 60000);
	assert_int_equal(pair_test_echo(call, &request, &reply), FARCALL_OK);
	farcall_call_set_compression(call, FARCALL_GZIP);
	assert_string_equal(farcall_call_error(call),
	    "FAILED_PRECONDITION: set compression: a head has been sent already");
	farcall_call_free(call);

	call = farcall_call_new(pair.channel);
	farcall_call_set_timeout_ms(call, 60000);
	assert_int_equal(pair_test_echo(call, &request, &reply), FARCALL_OK);
	farcall_call_set_message_compression(call, false);
	assert_string_equal(farcall_call_error(call),
	    "FAILED_PRECONDITION: set message compression: the message has been sent already");
	farcall_call_free(call);
	test_pair_fini(&pair);

	/* What stands for a call that could not be made stays as it is. */
	call = farcall_call_new(NULL);
	farcall_call_set_compression(call, FARCALL_GZIP);
	farcall_call_set_message_compression(call, false);
	assert_string_equal(farcall_call_error(call), "FAILED_PRECONDITION: the channel is NULL");
	farcall_call_free(call);
	test_log_release();
}

static void
settings_that_are_misused(void **state)
{
	farcall_server *server = farcall_server_new();
	farcall_channel *channel = farcall_channel_open("mem:compression");
	farcall_call *call;

	(void)state;
	test_log_catch();
	farcall_server_set_compression(NULL, FARCALL_GZIP);
	farcall_channel_set_compression(NULL, FARCALL_GZIP);
	farcall_server_set_compression(server, (farcall_coding)0);
	assert_int_equal(farcall_server_start(server), FARCALL_INVALID_ARGUMENT);
	assert_string_equal(farcall_server_error(server),
	    "compression: 0 is none of FARCALL_IDENTITY, FARCALL_GZIP, FARCALL_DEFLATE");
	farcall_server_free(server);

	farcall_channel_set_compression(channel, (farcall_coding)-1);
	assert_string_equal(farcall_channel_error(channel),
	    "compression: -1 is none of FARCALL_IDENTITY, FARCALL_GZIP, FARCALL_DEFLATE");
	farcall_channel_close(channel);

	channel = farcall_channel_open("mem:compression");
	call = farcall_call_new(channel);
	farcall_channel_set_compression(channel, FARCALL_GZIP);
	assert_string_equal(farcall_channel_error(channel), "set compression after the first call");
	farcall_call_free(call);
	farcall_channel_close(channel);
	test_log_release();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(who_asks),
	    clean_test(nothing_is_left),
	    clean_test(later),
	    clean_test(warm_calls_allocate_nothing),
	    clean_test(limits),
	    clean_test(calls_that_are_misused),
	    clean_test(settings_that_are_misused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
