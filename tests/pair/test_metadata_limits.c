/*
 * Metadata at what the other side takes and one past it, each way. Past it that call fails alone,
 * by the sender's own hand and with both sizes; what else pends on the connection never hears of
 * it.
 */
#include "tests/support/pair.h"

#include <stdio.h>
#include <stdlib.h>

#include <uv.h>

/* Fields of the protocol's own beside the pair "k", 32 a field counted. */
#define HEAD (10u + 28 + 1 + 3 * 32)
#define TRAILERS (12u + 1 + 2 * 32)

static char error_text[512];
static farcall_cause cause;

static char *
text_of(size_t size)
{
	char *text = (char *)malloc(size + 1);

	memset(text, 'v', size);
	text[size] = 0;
	return text;
}

typedef farcall_code blocking_stub(
    farcall_call *call, const Pair__Message *request, const Pair__Message **reply);

/* Without a deadline: grpc-timeout would be a field more, of changing size. */
static farcall_code
run(farcall_channel *channel, blocking_stub *stub, const Pair__Message *request, size_t metadata)
{
	farcall_call *call = farcall_call_new(channel);
	const Pair__Message *reply = NULL;
	char *value = text_of(metadata);
	farcall_code code;

	if (metadata != 0)
		farcall_call_add_metadata(call, "k", value);
	code = stub(call, request, &reply);
	snprintf(error_text, sizeof error_text, "%s", farcall_call_error(call));
	cause = farcall_call_cause(call);
	farcall_call_free(call);
	free(value);
	return code;
}

static farcall_code
echo_with(farcall_channel *channel, size_t metadata)
{
	Pair__Message request = PAIR__MESSAGE__INIT;

	return run(channel, pair_test_echo, &request, metadata);
}

static farcall_code
answer_of(farcall_channel *channel, size_t metadata)
{
	Pair__Message request = PAIR__MESSAGE__INIT;

	request.number = (uint32_t)metadata;
	return run(channel, pair_test_custom, &request, 0);
}

static void
failed_with(const char *what, size_t size, const char *said, size_t most)
{
	char expected[256];

	snprintf(expected, sizeof expected,
	    "RESOURCE_EXHAUSTED: %s: a header list of %zu bytes, 32 a field counted; %s %zu", what,
	    size, said, most);
	assert_string_equal(error_text, expected);
}

/* ---- the innocent call that pends beside them ---- */

typedef struct innocent {
	farcall_call *call;
	atomic_int times;
	farcall_code code;
} innocent;

static void
note(farcall_call *call, farcall_code code, const Pair__Message *reply, void *data)
{
	innocent *it = (innocent *)data;

	(void)call, (void)reply;
	it->code = code;
	atomic_fetch_add(&it->times, 1);
}

static void
begin(test_pair *pair, innocent *it)
{
	Pair__Message request = PAIR__MESSAGE__INIT;

	test_pair_start(pair);
	memset(it, 0, sizeof *it);
	it->call = farcall_call_new(pair->channel);
	pair_test_wait__async(it->call, &request, note, it);
	test_wait_for(&pair->n_waiting, 1);
}

static void
settle(void)
{
	for (int i = 0; i < 10000 && test_allocator_live() != 0; i++)
		uv_sleep(1);
}

/* It has heard of nothing, and is answered on the connection that it began on. */
static void
end(test_pair *pair, innocent *it)
{
	assert_int_equal(atomic_load(&it->times), 0);
	assert_int_equal(atomic_load(&pair->n_cancelled), 0);
	farcall_call_complete(pair->waiting[0], FARCALL_OK);
	test_wait_for(&it->times, 1);
	assert_int_equal(it->code, FARCALL_OK);
	assert_int_equal(atomic_load(&pair->n_waiting), 1); /* it was not sent again */
	farcall_call_free(it->call);
	test_pair_fini(pair);
	settle();
}

/* ---- requests ---- */

/* What the protocol's own fields take of a request's list; "k" included. */
static size_t
own_part(farcall_channel *channel)
{
	const char *at;

	assert_int_equal(echo_with(channel, 70000), FARCALL_RESOURCE_EXHAUSTED);
	assert_int_equal(cause, FARCALL_CAUSE_TOO_LARGE);
	at = strstr(error_text, "list of ");
	assert_non_null(at);
	return strtoul(at + 8, NULL, 10) - 70000;
}

static void
requests(void **state)
{
	innocent it;
	test_pair pair;
	size_t own;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	begin(&pair, &it);
	own = own_part(pair.channel);
	failed_with("request metadata", own + 70000, "the peer takes at most", 16384);
	assert_int_equal(echo_with(pair.channel, 16385 - own), FARCALL_RESOURCE_EXHAUSTED);
	failed_with("request metadata", 16385, "the peer takes at most", 16384);
	assert_int_equal(echo_with(pair.channel, 16384 - own), FARCALL_OK);
	assert_int_equal(echo_with(pair.channel, 500000), FARCALL_RESOURCE_EXHAUSTED);
	end(&pair, &it);
}

static void
requests_of_a_whole_block(void **state)
{
	innocent it;
	test_pair pair;
	size_t own;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	farcall_server_set_max_metadata(pair.server, 65536);
	begin(&pair, &it);
	own = own_part(pair.channel);
	assert_int_equal(echo_with(pair.channel, 65537 - own), FARCALL_RESOURCE_EXHAUSTED);
	failed_with("request metadata", 65537, "at most are sent", 65536);
	assert_int_equal(echo_with(pair.channel, 65536 - own), FARCALL_OK);
	end(&pair, &it);
}

static void
more_cannot_be_asked_for(void **state)
{
	farcall_server *server = farcall_server_new();

	(void)state;
	farcall_server_set_max_metadata(server, 65537);
	assert_int_equal(farcall_server_code(server), FARCALL_INVALID_ARGUMENT);
	farcall_server_free(server);
}

/* ---- answers ---- */

static farcall_code
with_head(test_pair *pair, farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	char *value = text_of(request->number);

	(void)pair, (void)reply;
	farcall_call_add_metadata(call, "k", value);
	free(value);
	return FARCALL_OK;
}

static farcall_code
with_trailers(
    test_pair *pair, farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	char *value = text_of(request->number);

	(void)pair, (void)reply;
	farcall_call_add_trailer(call, "k", value);
	free(value);
	return FARCALL_OK;
}

static farcall_code
failing_with_head(
    test_pair *pair, farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	with_head(pair, call, request, reply);
	return farcall_call_fail(call, FARCALL_NOT_FOUND, "no such row");
}

static void
heads(void **state)
{
	innocent it;
	test_pair pair;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	pair.custom = with_head;
	begin(&pair, &it);
	assert_int_equal(answer_of(pair.channel, 16384 - HEAD), FARCALL_OK);
	assert_int_equal(answer_of(pair.channel, 16385 - HEAD), FARCALL_RESOURCE_EXHAUSTED);
	failed_with("response metadata", 16385, "the peer takes at most", 16384);
	assert_int_equal(answer_of(pair.channel, 70000 - HEAD), FARCALL_RESOURCE_EXHAUSTED);
	failed_with("response metadata", 70000, "the peer takes at most", 16384);
	assert_int_equal(answer_of(pair.channel, 500000 - HEAD), FARCALL_RESOURCE_EXHAUSTED);
	failed_with("response metadata", 500000, "the peer takes at most", 16384);
	end(&pair, &it);
}

static void
trailers(void **state)
{
	innocent it;
	test_pair pair;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	pair.custom = with_trailers;
	begin(&pair, &it);
	assert_int_equal(answer_of(pair.channel, 16384 - TRAILERS), FARCALL_OK);
	assert_int_equal(answer_of(pair.channel, 16385 - TRAILERS), FARCALL_RESOURCE_EXHAUSTED);
	failed_with("response trailers", 16385, "the peer takes at most", 16384);
	assert_int_equal(answer_of(pair.channel, 500000 - TRAILERS), FARCALL_RESOURCE_EXHAUSTED);
	failed_with("response trailers", 500000, "the peer takes at most", 16384);
	end(&pair, &it);
}

static void
heads_of_failures(void **state)
{
	innocent it;
	test_pair pair;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	pair.custom = failing_with_head;
	begin(&pair, &it);
	assert_int_equal(answer_of(pair.channel, 16384 - HEAD), FARCALL_NOT_FOUND);
	assert_int_equal(answer_of(pair.channel, 16385 - HEAD), FARCALL_RESOURCE_EXHAUSTED);
	failed_with("response metadata", 16385, "the peer takes at most", 16384);
	end(&pair, &it);
}

/* Trailers alone: :status, content-type, grpc-status, and grpc-message. */
static void
texts_of_failures(void **state)
{
	const size_t own = 38 + 12 + 12 + 4 * 32;
	Pair__Message request = PAIR__MESSAGE__INIT;
	innocent it;
	test_pair pair;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	begin(&pair, &it);
	request.number = FARCALL_NOT_FOUND;
	for (size_t past = 0; past < 2; past++) {
		request.text = text_of(16384 + past - own);
		assert_int_equal(run(pair.channel, pair_test_fail, &request, 0),
		    past == 0 ? FARCALL_NOT_FOUND : FARCALL_RESOURCE_EXHAUSTED);
		free(request.text);
	}
	failed_with("response trailers", 16385, "the peer takes at most", 16384);
	end(&pair, &it);
}

/* ---- the number of pairs ---- */

static size_t
count_keys(const farcall_metadata *metadata)
{
	const char *key;
	const void *value;
	size_t size, n = 0;

	for (size_t i = 0; farcall_metadata_at(metadata, i, &key, &value, &size); i++)
		n += strncmp(key, "key", 3) == 0;
	return n;
}

/* The handler sends them back as its head and as its trailers. */
static void
as_many_pairs_as_may_be_sent(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	const Pair__Message *reply = NULL;
	test_pair pair;
	char key[16];

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	test_pair_start(&pair);
	for (int n = 110; n <= 129; n++) {
		farcall_call *call = farcall_call_new(pair.channel);
		bool fits = n <= 128;

		farcall_call_set_timeout_ms(call, 60000);
		for (int i = 0; i < n; i++) {
			snprintf(key, sizeof key, "key%d", i);
			farcall_call_add_metadata(call, key, "v");
		}
		assert_int_equal(pair_test_metadata(call, &request, &reply),
		    fits ? FARCALL_OK : FARCALL_RESOURCE_EXHAUSTED);
		assert_int_equal(count_keys(farcall_call_metadata(call)), fits ? n : 0);
		assert_int_equal(count_keys(farcall_call_trailers(call)), fits ? n : 0);
		if (!fits)
			assert_string_equal(farcall_call_error(call),
			    "RESOURCE_EXHAUSTED: metadata key \"key128\": more than 128 pairs");
		farcall_call_free(call);
	}
	test_pair_fini(&pair);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(requests),
	    clean_test(requests_of_a_whole_block),
	    clean_test(more_cannot_be_asked_for),
	    clean_test(heads),
	    clean_test(trailers),
	    clean_test(heads_of_failures),
	    clean_test(texts_of_failures),
	    clean_test(as_many_pairs_as_may_be_sent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
