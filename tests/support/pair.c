#include "tests/support/pair.h"

#include "tests/support/chop_filter.h"

#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

static farcall_code
echo(farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	(void)call;
	*reply = *request;
	return FARCALL_OK;
}

static farcall_code
fail_with(farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	(void)reply;
	return farcall_call_fail(call, (farcall_code)request->number, "%s", request->text);
}

static void
count_cancel(farcall_call *call, void *data)
{
	(void)call;
	atomic_fetch_add((atomic_int *)data, 1);
}

static farcall_code
wait_for_test(farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	test_pair *pair = (test_pair *)farcall_call_self(call);
	static atomic_flag lock = ATOMIC_FLAG_INIT; /* handlers overlap */
	int i;

	*reply = *request;
	farcall_call_on_cancel(call, count_cancel, &pair->n_cancelled);
	while (atomic_flag_test_and_set(&lock))
		;
	i = atomic_load(&pair->n_waiting);
	atomic_store(&pair->waiting[i % 64], call);
	atomic_store(&pair->n_waiting, i + 1);
	atomic_flag_clear(&lock);
	return FARCALL_PENDING;
}

static farcall_code
metadata(farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	const farcall_metadata *received = farcall_call_metadata(call);
	const char *key;
	const void *value;
	size_t size, length;

	*reply = *request;
	for (size_t i = 0; farcall_metadata_at(received, i, &key, &value, &size); i++) {
		length = strlen(key);
		if (length > 4 && strcmp(key + length - 4, "-bin") == 0) {
			farcall_call_add_metadata_bin(call, key, value, size);
			farcall_call_add_trailer_bin(call, key, value, size);
		} else if (strcmp(key, "user-agent") != 0 && strncmp(key, "grpc-", 5) != 0) {
			farcall_call_add_metadata(call, key, (const char *)value);
			farcall_call_add_trailer(call, key, (const char *)value);
		}
	}
	return FARCALL_OK;
}

static farcall_code
grow(farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	reply->data.len = request->number;
	reply->data.data = (uint8_t *)farcall_call_alloc(call, request->number);
	return FARCALL_OK;
}

static farcall_code
slow(farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	(void)call;
	uv_sleep(request->number);
	*reply = *request;
	return FARCALL_OK;
}

static farcall_code
custom(farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	test_pair *pair = (test_pair *)farcall_call_self(call);

	atomic_fetch_add(&pair->n_handled, 1);
	return pair->custom(pair, call, request, reply);
}

static const struct pair_test handlers = {
    .echo = echo,
    .fail = fail_with,
    .wait = wait_for_test,
    .metadata = metadata,
    .grow = grow,
    .slow = slow,
    .custom = custom,
};

bool
test_chopped(void)
{
	return getenv("FARCALL_TEST_CHOP") != NULL;
}

/* With FARCALL_TEST_CHOP=SEED in the environment every pipe of the test is chopped. */
static void
chop_if_asked(void)
{
	static bool installed;
	chop_options options = {.delay_ns = 100000, .records = true};

	if (installed || !test_chopped())
		return;
	installed = true;
	options.seed = strtoull(getenv("FARCALL_TEST_CHOP"), NULL, 10);
	chop_filter_install(&options);
}

void
test_pair_init(test_pair *pair, const char *address)
{
	chop_if_asked();
	memset(pair, 0, sizeof *pair);
	pair->server = farcall_server_new();
	pair->service = pair_test__register(pair->server, &handlers, pair);
	pair->endpoint = farcall_server_bind(pair->server, address);
	assert_string_equal(farcall_server_error(pair->server), "");
}

const char *
test_pair_address(const test_pair *pair)
{
	return farcall_endpoint_address(pair->endpoint, 0);
}

void
test_pair_start(test_pair *pair)
{
	farcall_server_start(pair->server);
	assert_string_equal(farcall_server_error(pair->server), "");
	pair->channel = farcall_channel_open(test_pair_address(pair));
	assert_string_equal(farcall_channel_error(pair->channel), "");
}

void
test_pair_fini(test_pair *pair)
{
	farcall_channel_close(pair->channel);
	farcall_server_free(pair->server);
}

farcall_code
test_echo(farcall_channel *channel, const char *text)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_call *call = farcall_call_new(channel);
	const Pair__Message *reply = NULL;
	farcall_code code;

	request.text = (char *)(uintptr_t)text;
	farcall_call_set_timeout_ms(call, 60000);
	code = pair_test_echo(call, &request, &reply);
	if (code == FARCALL_OK)
		assert_string_equal(reply->text, text);
	else
		print_message("%s\n", farcall_call_error(call));
	farcall_call_free(call);
	return code;
}

void
test_wait_for(const atomic_int *counter, int value)
{
	for (int i = 0; i < 30000 && atomic_load(counter) < value; i++)
		uv_sleep(1);
	assert_true(atomic_load(counter) >= value);
}

bool
test_soon(const atomic_int *counter, int value)
{
	for (int i = 0; i < 2000 && atomic_load(counter) < value; i++)
		uv_sleep(1);
	return atomic_load(counter) >= value;
}

/* ---- the log ---- */

static uv_once_t log_once = UV_ONCE_INIT;
static uv_mutex_t log_lock;
static bool log_caught; /* these four under the lock */
static char log_last[1024];
static int log_count;

static void
catch_line(farcall_log_level level, const char *text, void *data)
{
	(void)data;
	uv_mutex_lock(&log_lock);
	if (log_caught) {
		log_count++;
		strncpy(log_last, text, sizeof log_last - 1);
	} else {
		fprintf(stderr, "farcall: %d: %s\n", (int)level, text);
	}
	uv_mutex_unlock(&log_lock);
}

/* Once, and for good: threads of the library may live for a moment after a test. */
static void
begin_to_catch(void)
{
	uv_mutex_init(&log_lock);
	farcall_log_set(catch_line, NULL);
}

static void
set_caught(bool caught)
{
	uv_once(&log_once, begin_to_catch);
	uv_mutex_lock(&log_lock);
	log_caught = caught;
	log_count = 0;
	log_last[0] = 0;
	uv_mutex_unlock(&log_lock);
}

void
test_log_catch(void)
{
	set_caught(true);
}

void
test_log_release(void)
{
	set_caught(false);
}

int
test_log_count(void)
{
	int n;

	uv_mutex_lock(&log_lock);
	n = log_count;
	uv_mutex_unlock(&log_lock);
	return n;
}

const char *
test_log_last(void)
{
	static char last[sizeof log_last]; /* the test's own thread asks */

	uv_mutex_lock(&log_lock);
	memcpy(last, log_last, sizeof last);
	uv_mutex_unlock(&log_lock);
	return last;
}
