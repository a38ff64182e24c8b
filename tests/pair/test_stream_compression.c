/*
 * Streams whose messages are compressed, each by itself: who asks for it, what each end is told,
 * and that what waits for a slow handler waits as it came.
 */
#include "tests/support/test.h"

#include <farcall/farcall.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <uv.h>

#include "stream.farcall.h"

#define SIZE 20000
#define FLAGS 32

static struct {
	farcall_server *server;
	farcall_channel *channel;
	atomic_bool go;   /* the handler may read */
	char seen[FLAGS]; /* by the handler: 'c' or 'p' for each message */
} t;

static char
flag_of(const farcall_call *call)
{
	return farcall_call_message_compressed(call) ? 'c' : 'p';
}

/* Each message comes back; each third one as it is. */
static farcall_code
chat(farcall_call *call)
{
	const Stream__Message *message;
	farcall_code rc;

	for (int i = 0; (rc = stream_test_chat__recv_request(call, &message)) == FARCALL_OK; i++) {
		t.seen[i % (FLAGS - 1)] = flag_of(call);
		farcall_call_set_message_compression(call, i % 3 != 2);
		if ((rc = stream_test_chat__send_reply(call, message)) != FARCALL_OK)
			break;
	}
	return rc;
}

/* As many messages as asked for. */
static farcall_code
count(farcall_call *call, const Stream__Message *request)
{
	Stream__Message reply = STREAM__MESSAGE__INIT;
	farcall_code rc = FARCALL_OK;

	t.seen[0] = flag_of(call);
	reply.data.len = request->size;
	reply.data.data = (uint8_t *)calloc(1, request->size);
	for (uint32_t i = 0; i < request->number && rc == FARCALL_OK; i++)
		rc = stream_test_count__send_reply(call, &reply);
	free(reply.data.data);
	return rc;
}

/* Reads when it may, and says how much came. */
static farcall_code
sum(farcall_call *call, Stream__Message *reply)
{
	const Stream__Message *message;
	farcall_code rc;

	for (int i = 0; i < 120000 && !atomic_load(&t.go); i++)
		uv_sleep(1);
	while ((rc = stream_test_sum__recv_request(call, &message)) == FARCALL_OK) {
		reply->number++;
		reply->size += (uint32_t)message->data.len;
		t.seen[0] = flag_of(call);
	}
	return rc;
}

static const struct stream_test handlers = {.chat = chat, .count = count, .sum = sum};

static void
start(farcall_coding server, farcall_coding channel)
{
	memset(&t, 0, sizeof t);
	t.server = farcall_server_new();
	farcall_server_set_compression(t.server, server);
	stream_test__register(t.server, &handlers, NULL);
	farcall_server_bind(t.server, "mem:stream-compression");
	assert_int_equal(farcall_server_start(t.server), FARCALL_OK);
	t.channel = farcall_channel_open("mem:stream-compression");
	farcall_channel_set_compression(t.channel, channel);
	farcall_channel_set_timeout_ms(t.channel, 120000);
}

static void
stop(void)
{
	farcall_channel_close(t.channel);
	farcall_server_free(t.server);
}

/* Nine messages there and back, each fourth one sent as it is; what each end saw. */
static void
talk(const char *there, const char *back)
{
	static uint8_t zeros[SIZE];
	farcall_call *call = farcall_call_new(t.channel);
	char seen[FLAGS] = "";

	assert_int_equal(stream_test_chat__start(call), FARCALL_OK);
	for (int i = 0; i < 9; i++) {
		Stream__Message message = STREAM__MESSAGE__INIT;
		const Stream__Message *reply = NULL;

		message.number = (uint32_t)i;
		message.data.data = zeros;
		message.data.len = SIZE;
		farcall_call_set_message_compression(call, i % 4 != 3);
		assert_int_equal(stream_test_chat__send_request(call, &message), FARCALL_OK);
		assert_int_equal(stream_test_chat__recv_reply(call, &reply), FARCALL_OK);
		assert_int_equal(reply->number, i);
		assert_int_equal(reply->data.len, SIZE);
		assert_memory_equal(reply->data.data, zeros, SIZE);
		seen[i] = flag_of(call);
	}
	assert_int_equal(stream_test_chat__finish(call), FARCALL_OK);
	assert_string_equal(seen, back);
	assert_string_equal(t.seen, there);
	farcall_call_free(call);
}

static void
each_message_by_itself(void **state)
{
	(void)state;
	start(FARCALL_GZIP, FARCALL_DEFLATE);
	talk("cccpcccpc", "ccpccpccp");
	stop();
	start(FARCALL_IDENTITY, FARCALL_GZIP);
	talk("cccpcccpc", "ppppppppp");
	stop();
	start(FARCALL_DEFLATE, FARCALL_IDENTITY);
	talk("ppppppppp", "ccpccpccp");
	stop();
}

static void
one_way(void **state)
{
	Stream__Message request = STREAM__MESSAGE__INIT;
	const Stream__Message *reply = NULL;
	farcall_call *call;
	int n = 0;

	(void)state;
	start(FARCALL_GZIP, FARCALL_GZIP);
	request.number = 50;
	request.size = SIZE;
	request.text =
	    (char *)(uintptr_t) "a text of one letter: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
	call = farcall_call_new(t.channel);
	assert_int_equal(stream_test_count__start(call, &request), FARCALL_OK);
	while (stream_test_count__recv_reply(call, &reply) == FARCALL_OK) {
		assert_int_equal(reply->data.len, SIZE);
		assert_true(farcall_call_message_compressed(call));
		n++;
	}
	assert_int_equal(n, 50);
	assert_int_equal(stream_test_count__finish(call), FARCALL_OK);
	assert_int_equal(t.seen[0], 'c');
	farcall_call_free(call);
	stop();
}

/* ---- what waits ---- */

static size_t
resident(void)
{
	unsigned long pages = 0, all = 0;
	FILE *file = fopen("/proc/self/statm", "r");

	if (file == NULL)
		return 0;
	if (fscanf(file, "%lu %lu", &all, &pages) != 2)
		pages = 0;
	fclose(file);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

#define LARGE (4u << 20)
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MANY 10u /* it takes time, and shows nothing of memory */
#else
#define MANY 60u
#endif

/* 240 MiB lie before a handler that does not read: a few hundred KB. */
static void
what_waits_waits_as_it_came(void **state)
{
	Stream__Message message = STREAM__MESSAGE__INIT;
	const Stream__Message *reply = NULL;
	farcall_call *call;
	size_t before;

	(void)state;
	start(FARCALL_IDENTITY, FARCALL_GZIP);
	message.data.len = LARGE - 5;
	message.data.data = (uint8_t *)calloc(1, message.data.len);
	call = farcall_call_new(t.channel);
	assert_int_equal(stream_test_sum__start(call), FARCALL_OK);
	assert_int_equal(stream_test_sum__send_request(call, &message), FARCALL_OK);
	before = resident();
	for (unsigned i = 1; i < MANY; i++)
		assert_int_equal(stream_test_sum__send_request(call, &message), FARCALL_OK);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	assert_true(resident() < before + ((size_t)100 << 20));
#endif
	(void)before;
	atomic_store(&t.go, true);
	assert_int_equal(stream_test_sum__finish(call, &reply), FARCALL_OK);
	assert_int_equal(reply->number, MANY);
	assert_int_equal(reply->size, MANY * (LARGE - 5));
	assert_int_equal(t.seen[0], 'c');
	farcall_call_free(call);
	free(message.data.data);
	stop();
}

/* A message past the limit ends the stream, the ones before it have been read. */
static void
one_too_large(void **state)
{
	Stream__Message message = STREAM__MESSAGE__INIT;
	const Stream__Message *reply = NULL;
	farcall_call *call;
	int n = 0;

	(void)state;
	start(FARCALL_GZIP, FARCALL_IDENTITY);
	farcall_channel_set_max_message(t.channel, SIZE + 4);
	call = farcall_call_new(t.channel);
	message.number = 3;
	message.size = SIZE;
	assert_int_equal(stream_test_count__start(call, &message), FARCALL_OK);
	while (stream_test_count__recv_reply(call, &reply) == FARCALL_OK)
		n++;
	assert_int_equal(n, 3);
	assert_int_equal(stream_test_count__finish(call), FARCALL_OK);
	farcall_call_free(call);

	/* One that has not ended ends by it. */
	call = farcall_call_new(t.channel);
	message.number = message.size = 0;
	message.data.len = SIZE + 1;
	message.data.data = (uint8_t *)calloc(1, message.data.len);
	assert_int_equal(stream_test_chat__start(call), FARCALL_OK);
	assert_int_equal(stream_test_chat__send_request(call, &message), FARCALL_OK);
	assert_int_equal(stream_test_chat__recv_reply(call, &reply), FARCALL_RESOURCE_EXHAUSTED);
	assert_non_null(strstr(
	    farcall_call_error(call), "a compressed message inflates to more than 20004 bytes"));
	farcall_call_free(call);
	free(message.data.data);
	stop();
}

/* The head has gone with the first message. */
static farcall_code
late_chat(farcall_call *call)
{
	Stream__Message message = STREAM__MESSAGE__INIT;
	farcall_code rc = stream_test_chat__send_reply(call, &message);

	if (rc == FARCALL_OK)
		farcall_call_set_compression(call, FARCALL_GZIP);
	message.data.data = (uint8_t *)farcall_call_alloc(call, SIZE);
	message.data.len = SIZE;
	return rc == FARCALL_OK ? stream_test_chat__send_reply(call, &message) : rc;
}

static void
too_late(void **state)
{
	static const struct stream_test late = {.chat = late_chat};
	const Stream__Message *reply = NULL;
	farcall_call *call;

	(void)state;
	farcall_log_set_level(FARCALL_LOG_NONE);
	t.server = farcall_server_new();
	stream_test__register(t.server, &late, NULL);
	farcall_server_bind(t.server, "mem:stream-compression");
	assert_int_equal(farcall_server_start(t.server), FARCALL_OK);
	t.channel = farcall_channel_open("mem:stream-compression");
	call = farcall_call_new(t.channel);
	assert_int_equal(stream_test_chat__start(call), FARCALL_OK);
	assert_int_equal(stream_test_chat__recv_reply(call, &reply), FARCALL_OK);
	assert_int_equal(stream_test_chat__recv_reply(call, &reply), FARCALL_OK);
	assert_int_equal(reply->data.len, SIZE);
	assert_false(farcall_call_message_compressed(call));
	farcall_call_free(call);
	stop();
	farcall_log_set_level(FARCALL_LOG_WARNING);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(each_message_by_itself),
	    clean_test(one_way),
	    clean_test(what_waits_waits_as_it_came),
	    clean_test(one_too_large),
	    clean_test(too_late),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
