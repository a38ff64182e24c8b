/*
 * A client and a server of ours, and much to say: the reader of either side takes a message now and
 * then, then all at full speed. Each end stays within 4 MiB of the memory that it had, the sender
 * waits meanwhile, and every byte arrives. Also a million messages. FARCALL_TEST_ROUNDS=n: n times
 * as much (1 GiB at 16).
 */
#include "tests/pair/stage.h"

#include <stdlib.h>
#include <unistd.h>

#define MESSAGE 16384u
#define MUCH ((uint32_t)(64u << 20) / MESSAGE)
#define ROOM (8l << 20) /* bytes that both ends together may grow by */
enum { SIPS = 20, MANY = 50000 };

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define COUNTS_MEMORY 0 /* the sanitizer's own would count */
#else
#define COUNTS_MEMORY 1
#endif

static uint32_t
rounds(void)
{
	const char *text = getenv("FARCALL_TEST_ROUNDS");

	return text != NULL && atoi(text) > 0 ? (uint32_t)atoi(text) : 1;
}

/* Bytes of this process in memory; 0 where nobody tells. */
static long
resident(void)
{
	FILE *file = fopen("/proc/self/statm", "r");
	long all = 0, pages = 0;

	if (file == NULL)
		return 0;
	if (fscanf(file, "%ld %ld", &all, &pages) != 2)
		pages = 0;
	fclose(file);
	return pages * sysconf(_SC_PAGESIZE);
}

/* ---- what is said ---- */

static void
make(Stream__Message *message, uint8_t *bytes, uint32_t number)
{
	stream__message__init(message);
	for (uint32_t i = 0; i < MESSAGE; i += 61)
		bytes[i] = (uint8_t)(number * 7 + i);
	message->number = number;
	message->data.data = bytes;
	message->data.len = MESSAGE;
}

static bool
is_right(const Stream__Message *message, uint32_t number)
{
	if (message->number != number || message->data.len != MESSAGE)
		return false;
	for (uint32_t i = 0; i < MESSAGE; i += 61)
		if (message->data.data[i] != (uint8_t)(number * 7 + i))
			return false;
	return true;
}

/* ---- the two ends ---- */

/* Both ends' places in the row, and what the reader has seen. */
typedef struct pace {
	atomic_uint said, heard;
	atomic_bool wrong;
	atomic_bool endless; /* the sender never waited */
	atomic_long grown;   /* bytes, at most */
	uint32_t most;
} pace;

static pace the;

static farcall_code
say_all(farcall_call *call)
{
	static uint8_t bytes[MESSAGE];
	Stream__Message message;
	farcall_code code = FARCALL_OK;

	for (uint32_t i = 0; i < the.most && code == FARCALL_OK; i++) {
		make(&message, bytes, i);
		code = farcall_call_send(call, &message.base);
		atomic_fetch_add(&the.said, code == FARCALL_OK);
	}
	return code;
}

static void
note_growth(long before)
{
	long grown = resident() - before;

	if (grown > atomic_load(&the.grown))
		atomic_store(&the.grown, grown);
}

/* Until the sender waits. */
static void
let_it_wait(void)
{
	unsigned said = UINT32_MAX;

	for (int quiet = 0; quiet < 10; quiet++) {
		if (said != atomic_load(&the.said))
			quiet = 0;
		said = atomic_load(&the.said);
		uv_sleep(1);
	}
}

/* A sip at a time at first; the memory is looked at when the sender waits. */
static farcall_code
hear_all(farcall_call *call)
{
	const ProtobufCMessage *base = NULL;
	farcall_code code;
	long before = 0;

	for (uint32_t i = 0; (code = farcall_call_recv(call, &base)) == FARCALL_OK; i++) {
		if (!is_right((const Stream__Message *)(const void *)base, i))
			atomic_store(&the.wrong, true);
		atomic_fetch_add(&the.heard, 1);
		if (i == 0)
			before = resident();
		if (i >= SIPS)
			continue;
		let_it_wait();
		if (atomic_load(&the.said) == the.most)
			atomic_store(&the.endless, true);
		note_growth(before);
	}
	note_growth(before);
	return code;
}

static farcall_code
count_much(farcall_call *call, const Stream__Message *request)
{
	(void)request;
	return say_all(call);
}

static farcall_code
sum_much(farcall_call *call, Stream__Message *reply)
{
	farcall_code code = hear_all(call);

	reply->number = atomic_load(&the.heard);
	return code;
}

static farcall_channel *
begin(stage *s)
{
	farcall_channel *channel;

	memset(&the, 0, sizeof the);
	the.most = MUCH * rounds();
	stage_init(s, false);
	s->ops.count = count_much;
	s->ops.sum = sum_much;
	stage_register(s);
	farcall_server_start(s->server);
	channel = farcall_channel_open(farcall_endpoint_address(s->endpoint, 0));
	assert_int_equal(farcall_channel_code(channel), FARCALL_OK);
	return channel;
}

static void
end(stage *s, farcall_channel *channel)
{
	farcall_channel_close(channel);
	stage_leave(s);
	for (int i = 0; i < 5000 && test_allocator_live() != 0; i++)
		uv_sleep(1); /* the channel's thread leaves */
	assert_false(atomic_load(&the.wrong));
	assert_false(atomic_load(&the.endless));
	print_message("grown by %ld KiB\n", atomic_load(&the.grown) >> 10);
	if (COUNTS_MEMORY)
		assert_true(atomic_load(&the.grown) <= ROOM);
	assert_int_equal(atomic_load(&the.heard), the.most);
}

static void
a_slow_client(void **state)
{
	Stream__Message request = STREAM__MESSAGE__INIT;
	farcall_channel *channel;
	farcall_call *call;
	stage s;

	(void)state;
	channel = begin(&s);
	call = farcall_call_new(channel);
	assert_int_equal(stream_test_count__start(call, &request), FARCALL_OK);
	assert_int_equal(hear_all(call), FARCALL_END);
	assert_int_equal(stream_test_count__finish(call), FARCALL_OK);
	farcall_call_free(call);
	end(&s, channel);
}

static void
a_slow_server(void **state)
{
	const Stream__Message *reply = NULL;
	farcall_channel *channel;
	farcall_call *call;
	stage s;

	(void)state;
	channel = begin(&s);
	call = farcall_call_new(channel);
	assert_int_equal(stream_test_sum__start(call), FARCALL_OK);
	assert_int_equal(say_all(call), FARCALL_OK);
	assert_int_equal(stream_test_sum__finish(call, &reply), FARCALL_OK);
	assert_int_equal(reply->number, the.most);
	farcall_call_free(call);
	end(&s, channel);
}

/* ---- many messages ---- */

static void
say_many(void *data)
{
	farcall_call *call = (farcall_call *)data;
	Stream__Message message = STREAM__MESSAGE__INIT;

	for (uint32_t i = 0; i < MANY * rounds(); i++) {
		message.number = i;
		message.text = farcall_call_printf(call, "message %u", (unsigned)i);
		if (stream_test_chat__send_request(call, &message) != FARCALL_OK)
			break;
	}
	farcall_call_half_close(call);
}

static void
many_messages_take_no_memory(void **state)
{
	const Stream__Message *reply;
	farcall_channel *channel;
	uv_thread_t sender;
	farcall_call *call;
	uint32_t n = 0;
	long before = 0;
	stage s;

	(void)state;
	channel = begin(&s);
	call = farcall_call_new(channel);
	assert_int_equal(stream_test_chat__start(call), FARCALL_OK);
	assert_int_equal(uv_thread_create(&sender, say_many, call), 0);
	while (stream_test_chat__recv_reply(call, &reply) == FARCALL_OK) {
		assert_int_equal(reply->number, n);
		if (++n == MANY / 10)
			before = resident();
	}
	note_growth(before);
	uv_thread_join(&sender);
	assert_int_equal(stream_test_chat__finish(call), FARCALL_OK);
	assert_int_equal(n, MANY * rounds());
	farcall_call_free(call);
	atomic_store(&the.heard, the.most);
	end(&s, channel);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(a_slow_client),
	    clean_test(a_slow_server),
	    clean_test(many_messages_take_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
