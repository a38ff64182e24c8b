/*
 * Streams that are tried again by a service config: what was sent is sent once more, in order, up
 * to what is kept; after the response's head there is no other attempt.
 */
#include "tests/pair/stream_fixture.h"

#include "runtime/call/flow.h"

#include <stdlib.h>

#define CONFIG(policy)                                                               \
	"{\"methodConfig\": [{\"name\": [{}], \"" policy "\": {\"maxAttempts\": 3, " \
	"\"initialBackoff\": \"0.005s\", \"maxBackoff\": \"0.01s\", "                \
	"\"backoffMultiplier\": 2, \"retryableStatusCodes\": [\"UNAVAILABLE\"]}}]}"

/* What the server does with the first attempts. */
static struct {
	int failures;         /* so many of them fail */
	size_t after;         /* after so many messages */
	bool head;            /* a head first */
	bool at_the_end;      /* after the last one */
	uint32_t numbers[64]; /* of the last attempt */
	int n_numbers;
	char previous[8]; /* grpc-previous-rpc-attempts of the attempts, '-': none */
	int n_previous;
} plan;

static void
on_head(tiny_call *call, const fc_head *head)
{
	char seen = '-';

	(void)call;
	for (size_t i = 0; i < head->n_metadata; i++)
		if (head->metadata[i].name_size == 26 &&
		    memcmp(head->metadata[i].name, "grpc-previous-rpc-attempts", 26) == 0)
			seen = head->metadata[i].value[0];
	assert_true(plan.n_previous < (int)sizeof plan.previous - 1);
	plan.previous[plan.n_previous++] = seen;
	plan.n_numbers = 0;
}

static bool
fails_now(const tiny_call *call)
{
	return call->conn->server->n_requests <= plan.failures;
}

static void
give_up(tiny_call *call)
{
	if (plan.head)
		tiny_head(call, "hello", "there");
	tiny_end(call, FARCALL_UNAVAILABLE, "not yet");
}

static void
on_message(tiny_call *call, const uint8_t *bytes, size_t size)
{
	Pair__Message *message = pair__message__unpack(NULL, size, bytes);

	assert_non_null(message);
	plan.numbers[plan.n_numbers++] = message->number;
	pair__message__free_unpacked(message, NULL);
	if (fails_now(call) && !plan.at_the_end) {
		if (call->received == plan.after)
			give_up(call);
		else
			tiny_take(call, size);
		return;
	}
	if (fails_now(call))
		tiny_take(call, size);
	else
		echo_message(call, bytes, size);
}

static void
on_complete(tiny_call *call)
{
	if (fails_now(call))
		give_up(call);
	else
		tiny_end(call, FARCALL_OK, "");
}

static void
begin_plan(fixture *f, const char *config, int failures, size_t after)
{
	begin(f);
	memset(&plan, 0, sizeof plan);
	plan.failures = failures;
	plan.after = after;
	plan.at_the_end = after == 0;
	f->server.on_head = on_head;
	f->server.on_message = on_message;
	f->server.on_complete = on_complete;
	farcall_channel_set_service_config(f->channel, config);
	assert_string_equal(farcall_channel_error(f->channel), "");
}

/* Five messages out, those that come back in, the end. */
static farcall_code
chat(fixture *f)
{
	const Pair__Message *message;
	farcall_call *call = start(f, &chat_method);
	farcall_code code;
	uint32_t n = 0;

	for (uint32_t i = 1; i <= 5; i++)
		if (send_message(call, "", i, 0) != FARCALL_OK)
			break;
	farcall_call_half_close(call);
	while (receive_message(call, &message) == FARCALL_OK)
		assert_int_equal(message->number, ++n);
	code = farcall_call_finish(call, NULL);
	assert_int_equal(n, code == FARCALL_OK ? 5 : 0);
	farcall_call_free(call);
	return code;
}

/* ---- what is sent again ---- */

static void
what_was_sent_is_sent_again(void **state)
{
	(void)state;
	for (size_t after = 0; after <= 5; after++) {
		fixture f;

		begin_plan(&f, CONFIG("retryPolicy"), 2, after);
		assert_int_equal(chat(&f), FARCALL_OK);
		assert_int_equal(f.server.n_requests, 3);
		assert_string_equal(plan.previous, "-12");
		assert_int_equal(plan.n_numbers, 5);
		for (int i = 0; i < 5; i++)
			assert_int_equal(plan.numbers[i], i + 1);
		end(&f);
		begin_plan(&f, CONFIG("retryPolicy"), 3, after);
		assert_int_equal(chat(&f), FARCALL_UNAVAILABLE);
		assert_int_equal(f.server.n_requests, 3);
		end(&f);
		begin_plan(&f, CONFIG("retryPolicy"), 1, after);
		plan.head = true;
		assert_int_equal(chat(&f), FARCALL_UNAVAILABLE);
		assert_int_equal(f.server.n_requests, 1);
		end(&f);
	}
}

static void
without_a_policy_it_is_over(void **state)
{
	fixture f;

	(void)state;
	begin_plan(&f, "{}", 1, 2);
	assert_int_equal(chat(&f), FARCALL_UNAVAILABLE);
	assert_int_equal(f.server.n_requests, 1);
	end(&f);
}

/* Their first answer would decide, but for which of them? */
static void
streams_are_not_hedged(void **state)
{
	fixture f;

	(void)state;
	begin_plan(&f,
	    "{\"methodConfig\": [{\"name\": [{}], \"hedgingPolicy\": {\"maxAttempts\": 3}}]}", 0,
	    0);
	assert_int_equal(chat(&f), FARCALL_OK);
	assert_int_equal(f.server.n_requests, 1);
	end(&f);
}

/* ---- what is kept ---- */

/* One message of so many bytes with its head of 4; how often the server has seen it. */
static int
attempts_with(size_t size, size_t most_of_call, size_t most_of_channel)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_call *call;
	fixture f;
	int n;

	begin_plan(&f, CONFIG("retryPolicy"), 1, 0);
	if (most_of_call != 0)
		farcall_channel_set_retry_buffer(f.channel, most_of_call, most_of_channel);
	request.data.data = (uint8_t *)calloc(1, size);
	request.data.len = size - 4 - (size > 16384 ? 4 : size > 134 ? 3 : 2);
	assert_int_equal(pair__message__get_packed_size(&request) + 4, size);
	call = start(&f, &chat_method);
	assert_int_equal(farcall_call_send(call, &request.base), FARCALL_OK);
	farcall_call_half_close(call);
	farcall_call_finish(call, NULL);
	farcall_call_free(call);
	free(request.data.data);
	n = f.server.n_requests;
	end(&f);
	return n;
}

static void
so_much_is_kept(void **state)
{
	(void)state;
	assert_int_equal(attempts_with(FC_FLOW_REPLAY, 0, 0), 2);
	assert_int_equal(attempts_with(FC_FLOW_REPLAY + 1, 0, 0), 1);
	assert_int_equal(attempts_with(1000, 1000, 1000), 2);
	assert_int_equal(attempts_with(1001, 1000, 1000), 1);
	assert_int_equal(attempts_with(1000, 1000, 999), 1); /* reserved at the start */
}

/* ---- the end of one that rests; limits ---- */

static void
one_that_rests_can_be_ended(void **state)
{
	(void)state;
	for (int way = 0; way < 3; way++) {
		farcall_call *call;
		told to = {0};
		fixture f;

		begin_plan(&f,
		    "{\"methodConfig\": [{\"name\": [{}], \"retryPolicy\": {\"maxAttempts\": 3, "
		    "\"initialBackoff\": \"1000s\", \"maxBackoff\": \"1000s\", "
		    "\"backoffMultiplier\": 2, \"retryableStatusCodes\": [\"UNAVAILABLE\"]}}]}",
		    1, 1);
		call = start(&f, &chat_method);
		send_message(call, "", 1, 0);
		farcall_call_finish_async(call, tell, &to);
		for (int i = 0; i < 200 && f.server.n_requests == 0; i++)
			farcall_loop_step(f.loop, 1);
		step(&f, 20);
		assert_int_equal(to.times, 0);
		if (way == 0)
			farcall_call_cancel(call);
		else if (way == 1)
			farcall_channel_close(f.channel);
		if (way == 1)
			f.channel = NULL;
		if (way == 2)
			farcall_call_free(call);
		wait_told(&f, &to, 1);
		assert_int_equal(to.code, FARCALL_CANCELLED);
		if (way != 2)
			farcall_call_free(call);
		assert_int_equal(f.server.n_requests, 1);
		end(&f);
	}
}

static void
messages_are_limited(void **state)
{
	static const char limits[] =
	    "{\"methodConfig\": [{\"name\": [{}], \"maxRequestMessageBytes\": 10, "
	    "\"maxResponseMessageBytes\": 12}]}";

	(void)state;
	for (size_t size = 8; size <= 9; size++) {
		Pair__Message request = PAIR__MESSAGE__INIT;
		char text[] = "123456789";
		farcall_call *call;
		fixture f;

		begin_plan(&f, limits, 0, 0);
		text[size] = 0;
		request.text = text;
		call = start(&f, &chat_method);
		assert_int_equal(farcall_call_send(call, &request.base),
		    size == 8 ? FARCALL_OK : FARCALL_RESOURCE_EXHAUSTED);
		farcall_call_half_close(call);
		assert_int_equal(farcall_call_finish(call, NULL),
		    size == 8 ? FARCALL_OK : FARCALL_RESOURCE_EXHAUSTED);
		if (size == 9)
			assert_non_null(strstr(
			    farcall_call_error(call), "a message of 11 bytes is larger than 10"));
		farcall_call_free(call);
		end(&f);
	}
}

/* ---- callbacks ---- */

static void
steps_with_callbacks_do_not_notice(void **state)
{
	told sent[5], received = {0}, finished = {0};
	farcall_call *call;
	fixture f;

	(void)state;
	begin_plan(&f, CONFIG("retryPolicy"), 2, 3);
	memset(sent, 0, sizeof sent);
	call = start(&f, &chat_method);
	for (uint32_t i = 0; i < 5; i++) {
		send_async(call, i + 1, 100, &sent[i]);
		wait_told(&f, &sent[i], 1);
		assert_int_equal(sent[i].code, FARCALL_OK);
	}
	farcall_call_half_close(call);
	for (int i = 1; i <= 5; i++) {
		farcall_call_recv_async(call, tell, &received);
		wait_told(&f, &received, i);
		assert_int_equal(received.code, FARCALL_OK);
		assert_int_equal(received.number, i);
	}
	farcall_call_finish_async(call, tell, &finished);
	wait_told(&f, &finished, 1);
	assert_int_equal(finished.code, FARCALL_OK);
	farcall_call_free(call);
	end(&f);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
	    clean_test(what_was_sent_is_sent_again),
	    clean_test(without_a_policy_it_is_over),
	    clean_test(streams_are_not_hedged),
	    clean_test(so_much_is_kept),
	    clean_test(one_that_rests_can_be_ended),
	    clean_test(messages_are_limited),
	    clean_test(steps_with_callbacks_do_not_notice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
