/*
 * test_retry.c: retries by gRFC A6, under a virtual clock: what is tried again, how often, when,
 * and what stops it.
 */
#include "tests/unit/client/script.h"

#include "client/plan.h"

#include <stdio.h>

#define POLICY(attempts, first, most, times)                                            \
	"\"retryPolicy\": {\"maxAttempts\": " attempts ", \"initialBackoff\": \"" first \
	"\", \"maxBackoff\": \"" most "\", \"backoffMultiplier\": " times               \
	", \"retryableStatusCodes\": [\"UNAVAILABLE\", \"ABORTED\"]}"
#define CONFIG(method) \
	"{\"methodConfig\": [{\"name\": [{\"service\": \"pair.Test\"}], " method "}]}"
#define USUAL CONFIG(POLICY("4", "1s", "10s", "2"))

static const script_line down = {.code = FARCALL_UNAVAILABLE};
static const script_line fails[] = {{.code = FARCALL_UNAVAILABLE}, {.code = FARCALL_ABORTED},
    {.code = FARCALL_UNAVAILABLE}, {.code = FARCALL_UNAVAILABLE}, {.code = FARCALL_UNAVAILABLE},
    {.code = FARCALL_UNAVAILABLE}};

static uint64_t
pause_before(int i)
{
	return played.at[i] - played.at[i - 1];
}

static void
assert_about(uint64_t ns, uint64_t base)
{
	assert_true(ns >= base / 5 * 4 && ns <= base / 5 * 6);
}

/* ---- what is tried again ---- */

static void
it_is_tried_until_it_succeeds(void **state)
{
	fixture f;

	(void)state;
	script_begin(&f, USUAL, fails, 2);
	assert_int_equal(call_with_timeout(&f, UINT64_MAX), FARCALL_OK);
	assert_string_equal(error_text, "");
	assert_int_equal(played.n_requests, 3);
	for (int i = 0; i < 3; i++)
		assert_int_equal(played.previous[i], i == 0 ? -1 : i);
	assert_about(pause_before(1), FC_NS_PER_S);
	assert_about(pause_before(2), 2 * FC_NS_PER_S);
	assert_int_equal(f.server.n_conns, 1);
	script_end(&f);
}

static void
attempts_are_counted(void **state)
{
	fixture f;

	(void)state;
	script_begin(&f, USUAL, fails, 6);
	assert_int_equal(call_with_timeout(&f, UINT64_MAX), FARCALL_UNAVAILABLE);
	assert_string_equal(error_text, "UNAVAILABLE: as told");
	assert_int_equal(played.n_requests, 4);
	script_restart(fails, 3);
	assert_int_equal(call_with_timeout(&f, UINT64_MAX), FARCALL_OK);
	assert_int_equal(played.n_requests, 4);
	script_end(&f);
	script_begin(&f, CONFIG(POLICY("100", "1s", "1s", "1")), fails, 6);
	assert_int_equal(call_with_timeout(&f, UINT64_MAX), FARCALL_UNAVAILABLE);
	assert_int_equal(played.n_requests, 5);
	script_end(&f);
}

static void
only_what_the_policy_names(void **state)
{
	static const script_line other[] = {{.code = FARCALL_INTERNAL}};
	fixture f;

	(void)state;
	script_begin(&f, USUAL, other, 1);
	assert_int_equal(call_with_timeout(&f, UINT64_MAX), FARCALL_INTERNAL);
	assert_int_equal(played.n_requests, 1);
	script_end(&f);
	script_begin(&f, "{}", fails, 6);
	assert_int_equal(call_with_timeout(&f, UINT64_MAX), FARCALL_UNAVAILABLE);
	assert_int_equal(played.n_requests, 1);
	script_end(&f);
}

/* Once the response has begun, its end is the call's. */
static void
a_head_commits(void **state)
{
	static const script_line lines[] = {{.code = FARCALL_UNAVAILABLE, .head = true}};
	fixture f;

	(void)state;
	script_begin(&f, USUAL, lines, 1);
	assert_int_equal(call_with_timeout(&f, UINT64_MAX), FARCALL_UNAVAILABLE);
	assert_int_equal(played.n_requests, 1);
	script_end(&f);
}

static void
a_lost_connection_is_unavailable_too(void **state)
{
	static const script_line silent[] = {{.silent = true}};
	fixture f;
	outcome to;
	farcall_call *call;

	(void)state;
	script_begin(&f, USUAL, silent, 1);
	call = start_async(&f, UINT64_MAX, false, &to);
	while (played.n_requests == 0)
		fc_loop_turn(f.loop, FC_NEVER);
	fc_conn_kill(&played.kept[0]->conn->conn);
	script_wait(&f, &to);
	assert_int_equal(to.code, FARCALL_OK);
	assert_int_equal(played.n_requests, 2);
	assert_int_equal(played.previous[1], 1);
	farcall_call_free(call);
	script_end(&f);
}

/* Nobody listens yet: that is a failure of the attempt, like any other. */
static void
a_failed_connection_is_tried_again(void **state)
{
	fixture f;
	outcome to;
	farcall_call *call;

	(void)state;
	begin_stopped(&f);
	script_restart(NULL, 0);
	farcall_channel_set_service_config(f.channel, CONFIG(POLICY("5", "3s", "9s", "1")));
	call = start_async(&f, UINT64_MAX, false, &to);
	for (int i = 0; i < 5; i++)
		fc_loop_turn(f.loop, 0);
	assert_int_equal(to.times, 0);
	tiny_start(&f.server, f.loop, "mem:attempt");
	f.server.on_complete = echo_nothing;
	script_wait(&f, &to);
	assert_int_equal(to.code, FARCALL_OK);
	farcall_call_free(call);
	assert_int_equal(f.server.n_requests, 1);
	end(&f);
}

/* ---- when ---- */

static void
pauses_grow_and_are_spread(void **state)
{
	static const uint64_t bases[] = {1000, 3000, 5000, 5000}; /* ms */
	uint64_t least[4], most[4], sum[4] = {0};
	const int rounds = 200;
	fixture f;

	(void)state;
	script_begin(&f, CONFIG(POLICY("5", "1s", "5s", "3")), fails, 6);
	memset(least, 0xff, sizeof least);
	memset(most, 0, sizeof most);
	for (int i = 0; i < rounds; i++) {
		script_restart(fails, 6);
		assert_int_equal(call_with_timeout(&f, UINT64_MAX), FARCALL_UNAVAILABLE);
		assert_int_equal(played.n_requests, 5);
		for (int n = 0; n < 4; n++) {
			uint64_t pause = pause_before(n + 1);

			assert_about(pause, bases[n] * FC_NS_PER_MS);
			sum[n] += pause;
			least[n] = FC_MIN(least[n], pause);
			most[n] = FC_MAX(most[n], pause);
		}
	}
	for (int n = 0; n < 4; n++) {
		uint64_t base = bases[n] * FC_NS_PER_MS, mean = sum[n] / (uint64_t)rounds;

		assert_true(least[n] < base / 100 * 82 && most[n] > base / 100 * 118);
		assert_true(mean > base / 100 * 96 && mean < base / 100 * 104);
	}
	script_end(&f);
}

static void
the_server_may_say_when(void **state)
{
	static const script_line lines[] = {{.code = FARCALL_UNAVAILABLE},
	    {.code = FARCALL_UNAVAILABLE, .pushback = "12345"}, {.code = FARCALL_UNAVAILABLE},
	    {.code = FARCALL_UNAVAILABLE, .pushback = "0"}};
	fixture f;

	(void)state;
	script_begin(&f, CONFIG(POLICY("5", "1s", "10s", "5")), lines, 4);
	assert_int_equal(call_with_timeout(&f, UINT64_MAX), FARCALL_OK);
	assert_int_equal(played.n_requests, 5);
	assert_about(pause_before(1), FC_NS_PER_S);
	assert_int_equal(pause_before(2), 12345 * FC_NS_PER_MS);
	assert_about(pause_before(3), FC_NS_PER_S); /* it begins anew */
	assert_int_equal(pause_before(4), 0);
	script_end(&f);
}

static void
the_server_may_say_never(void **state)
{
	static const char *const words[] = {"-1", "", "soon", "1.5", "2147483648", "99999999999"};
	fixture f;

	(void)state;
	script_begin(&f, USUAL, NULL, 0);
	for (size_t i = 0; i < FC_COUNT(words); i++) {
		const script_line lines[] = {{.code = FARCALL_UNAVAILABLE, .pushback = words[i]}};

		script_restart(lines, 1);
		assert_int_equal(call_with_timeout(&f, UINT64_MAX), FARCALL_UNAVAILABLE);
		assert_int_equal(played.n_requests, 1);
	}
	assert_int_equal(fc_pushback_of_text("2147483647", 10), INT32_MAX);
	script_end(&f);
}

/* The deadline is one for all attempts. */
static void
the_deadline_ends_the_rest(void **state)
{
	fixture f;
	uint64_t start;

	(void)state;
	script_begin(&f, USUAL, fails, 6);
	start = f.clock.now;
	assert_int_equal(call_with_timeout(&f, 2000), FARCALL_DEADLINE_EXCEEDED);
	assert_int_equal(f.clock.now - start, 2000 * FC_NS_PER_MS);
	assert_int_equal(played.n_requests, 2);
	assert_string_equal(error_text,
	    "DEADLINE_EXCEEDED: after 2000 ms, waiting to try again (attempt 2 of 4: ABORTED: as "
	    "told)");
	script_end(&f);
}

/* ---- throttling ---- */

/* 10 tokens, a half is 5: A6 allows retries while more than 5 are left. */
static void
tokens_are_counted_as_a6_says(void **state)
{
	fixture f;

	(void)state;
	script_begin(&f,
	    "{\"retryThrottling\": {\"maxTokens\": 10, \"tokenRatio\": 0.5}, \"methodConfig\": "
	    "[{\"name\": [{}], " POLICY("5", "1s", "1s", "1") "}]}",
	    fails, 6);
	assert_int_equal(f.channel->tokens, 10000);
	assert_int_equal(call_with_timeout(&f, UINT64_MAX), FARCALL_UNAVAILABLE);
	assert_int_equal(played.n_requests, 5); /* the fifth failure leaves 5 */
	assert_int_equal(f.channel->tokens, 5000);
	script_restart(fails, 6);
	assert_int_equal(call_with_timeout(&f, UINT64_MAX), FARCALL_UNAVAILABLE);
	assert_int_equal(played.n_requests, 1); /* a first attempt is never refused */
	assert_int_equal(f.channel->tokens, 4000);
	for (int i = 0; i < 4; i++) {
		script_restart(NULL, 0);
		assert_int_equal(call_with_timeout(&f, UINT64_MAX), FARCALL_OK);
	}
	assert_int_equal(f.channel->tokens, 6000);
	script_restart(fails, 1); /* to 5, which is not more than a half */
	assert_int_equal(call_with_timeout(&f, UINT64_MAX), FARCALL_UNAVAILABLE);
	assert_int_equal(f.channel->tokens, 5000);
	for (int i = 0; i < 3; i++) {
		script_restart(NULL, 0);
		assert_int_equal(call_with_timeout(&f, UINT64_MAX), FARCALL_OK);
	}
	script_restart(fails, 1); /* to 5.5: one retry, whose success brings it to 6 */
	assert_int_equal(call_with_timeout(&f, UINT64_MAX), FARCALL_OK);
	assert_int_equal(f.channel->tokens, 6000);
	script_end(&f);
}

static void
tokens_stay_in_their_bounds(void **state)
{
	static const script_line other[] = {{.code = FARCALL_INTERNAL}};
	static const script_line never[] = {{.code = FARCALL_INTERNAL, .pushback = "-1"}};
	fixture f;

	(void)state;
	script_begin(&f,
	    "{\"retryThrottling\": {\"maxTokens\": 2, \"tokenRatio\": 0.3}, \"methodConfig\": "
	    "[{\"name\": [{}], " POLICY("2", "1s", "1s", "1") "}]}",
	    NULL, 0);
	assert_int_equal(call_with_timeout(&f, UINT64_MAX), FARCALL_OK);
	assert_int_equal(f.channel->tokens, 2000);
	script_restart(other, 1); /* what could not be retried costs nothing */
	assert_int_equal(call_with_timeout(&f, UINT64_MAX), FARCALL_INTERNAL);
	assert_int_equal(f.channel->tokens, 2000);
	script_restart(never, 1); /* but for a server that wants no more */
	assert_int_equal(call_with_timeout(&f, UINT64_MAX), FARCALL_INTERNAL);
	assert_int_equal(f.channel->tokens, 1000);
	for (int i = 0; i < 3; i++) {
		script_restart(&down, 1);
		assert_int_equal(call_with_timeout(&f, UINT64_MAX), FARCALL_UNAVAILABLE);
		assert_int_equal(f.channel->tokens, 0);
	}
	script_end(&f);
}

/* ---- what is kept ---- */

static char bulk[(256 << 10) + 16];

/* An async call whose request takes so many bytes. */
static int
attempts_of(fixture *f, size_t bytes, outcome *to)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_call *call = farcall_call_new(f->channel);

	script_restart(fails, 1);
	memset(bulk, 'x', sizeof bulk);
	request.text = bulk;
	bulk[bytes - (bytes > 16386 ? 4 : bytes > 129 ? 3 : 2)] = 0;
	assert_int_equal(protobuf_c_message_get_packed_size(&request.base), bytes);
	memset(to, 0, sizeof *to);
	pair_test_echo__async(call, &request, note, to);
	script_wait(f, to);
	farcall_call_free(call);
	assert_int_equal(f->channel->kept, 0);
	return played.n_requests;
}

static void
what_is_too_large_to_keep_goes_once(void **state)
{
	fixture f;
	outcome to;

	(void)state;
	script_begin(&f, USUAL, NULL, 0);
	assert_int_equal(attempts_of(&f, 256 << 10, &to), 2);
	assert_int_equal(to.code, FARCALL_OK);
	assert_int_equal(attempts_of(&f, (256 << 10) + 1, &to), 1);
	assert_int_equal(to.code, FARCALL_UNAVAILABLE);
	script_end(&f);
	script_begin(&f, USUAL, NULL, 0);
	farcall_channel_set_retry_buffer(f.channel, 1000, 100000);
	assert_int_equal(attempts_of(&f, 1000, &to), 2);
	assert_int_equal(attempts_of(&f, 1001, &to), 1);
	script_end(&f);
}

/* Three calls of 400 bytes: two fit. Blocking calls keep nothing. */
static void
a_channel_keeps_so_much(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_call *calls[3];
	outcome to[3];
	fixture f;

	(void)state;
	for (size_t most = 799; most <= 800; most++) {
		script_begin(&f, USUAL, fails, 3);
		farcall_channel_set_retry_buffer(f.channel, 400, most);
		memset(bulk, 'x', sizeof bulk);
		bulk[397] = 0;
		request.text = bulk;
		memset(to, 0, sizeof to);
		for (int i = 0; i < 3; i++) {
			calls[i] = farcall_call_new(f.channel);
			pair_test_echo__async(calls[i], &request, note, &to[i]);
		}
		for (int i = 0; i < 3; i++)
			script_wait(&f, &to[i]);
		for (int i = 0; i < 3; i++) {
			bool retried = i == 0 || (i == 1 && most == 800);

			assert_int_equal(to[i].code,
			    retried      ? FARCALL_OK
			        : i == 1 ? FARCALL_ABORTED
			                 : FARCALL_UNAVAILABLE);
			farcall_call_free(calls[i]);
		}
		script_restart(fails, 1);
		assert_int_equal(call_with_timeout(&f, UINT64_MAX), FARCALL_OK);
		assert_int_equal(played.n_requests, 2);
		assert_int_equal(f.channel->kept, 0);
		script_end(&f);
	}
}

/* ---- the end of one that rests ---- */

static void
one_that_rests_can_be_ended(void **state)
{
	(void)state;
	for (int way = 0; way < 4; way++) {
		fixture f;
		outcome to;
		farcall_call *call;

		script_begin(&f, USUAL, fails, 6);
		call = start_async(&f, UINT64_MAX, false, &to);
		while (played.n_requests == 0 || fc_list_empty(&f.channel->planned))
			fc_loop_turn(f.loop, 0);
		if (way == 0)
			farcall_call_cancel(call);
		else if (way == 1)
			farcall_call_free(call);
		else if (way == 2)
			farcall_channel_close(f.channel);
		turns(&f, 3);
		assert_int_equal(to.times, way == 3 ? 0 : 1);
		if (way != 1)
			farcall_call_free(call);
		turns(&f, 3);
		assert_int_equal(to.times, 1);
		assert_int_equal(to.code, FARCALL_CANCELLED);
		assert_int_equal(played.n_requests, 1);
		if (way == 2)
			f.channel = NULL;
		script_end(&f);
	}
}

/* ---- the other rules of a method ---- */

static void
the_shorter_time_wins(void **state)
{
	fixture f;

	(void)state;
	script_begin(&f, CONFIG("\"timeout\": \"1.5s\""), NULL, 0);
	f.server.on_complete = keep;
	assert_int_equal(call_with_timeout(&f, UINT64_MAX), FARCALL_DEADLINE_EXCEEDED);
	assert_non_null(strstr(error_text, "after 1500 ms"));
	assert_int_equal(call_with_timeout(&f, 1000), FARCALL_DEADLINE_EXCEEDED);
	assert_non_null(strstr(error_text, "after 1000 ms"));
	assert_int_equal(call_with_timeout(&f, 2000), FARCALL_DEADLINE_EXCEEDED);
	assert_non_null(strstr(error_text, "after 1500 ms"));
	script_end(&f);
}

static void
the_program_decides_whether_to_wait(void **state)
{
	fixture f;
	outcome to;
	farcall_call *call;

	(void)state;
	begin_stopped(&f);
	farcall_channel_set_service_config(f.channel, CONFIG("\"waitForReady\": true"));
	assert_int_equal(call_with_timeout(&f, 500), FARCALL_DEADLINE_EXCEEDED);
	call = start_async(&f, 500, false, &to); /* that it does not, it says */
	script_wait(&f, &to);
	assert_int_equal(to.code, FARCALL_UNAVAILABLE);
	farcall_call_free(call);
	end_stopped(&f);
	begin_stopped(&f);
	farcall_channel_set_service_config(f.channel, CONFIG("\"waitForReady\": false"));
	call = start_async(&f, 500, true, &to);
	script_wait(&f, &to);
	assert_int_equal(to.code, FARCALL_DEADLINE_EXCEEDED);
	farcall_call_free(call);
	end_stopped(&f);
}

static void
answer_ten_bytes(tiny_call *call)
{
	tiny_send(call,
	    "\x0a\x08"
	    "12345678",
	    10);
	tiny_end(call, FARCALL_OK, "");
}

static void
messages_are_limited(void **state)
{
	static const struct {
		const char *json;
		farcall_code code;
		const char *error;
	} rows[] = {
	    {CONFIG("\"maxResponseMessageBytes\": 10"), FARCALL_OK, ""},
	    {CONFIG("\"maxResponseMessageBytes\": 9"), FARCALL_RESOURCE_EXHAUSTED, "9"},
	    {CONFIG("\"maxRequestMessageBytes\": 10"), FARCALL_OK, ""},
	    {CONFIG("\"maxRequestMessageBytes\": 9"), FARCALL_RESOURCE_EXHAUSTED,
	        "RESOURCE_EXHAUSTED: request: 10 bytes are more than 9"},
	};

	(void)state;
	for (size_t i = 0; i < FC_COUNT(rows) * 2; i++) {
		Pair__Message request = PAIR__MESSAGE__INIT;
		fixture f;
		outcome to;
		farcall_call *call;

		script_begin(&f, rows[i / 2].json, NULL, 0);
		f.server.on_complete = answer_ten_bytes;
		call = farcall_call_new(f.channel);
		request.text = "12345678";
		memset(&to, 0, sizeof to);
		if (i % 2 == 0) {
			pair_test_echo__async(call, &request, note, &to);
			script_wait(&f, &to);
		} else {
			note(call, pair_test_echo(call, &request, NULL), NULL, &to);
		}
		assert_int_equal(to.code, rows[i / 2].code);
		assert_non_null(strstr(to.error, rows[i / 2].error));
		farcall_call_free(call);
		script_end(&f);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
	    clean_test(it_is_tried_until_it_succeeds),
	    clean_test(attempts_are_counted),
	    clean_test(only_what_the_policy_names),
	    clean_test(a_head_commits),
	    clean_test(a_lost_connection_is_unavailable_too),
	    clean_test(a_failed_connection_is_tried_again),
	    clean_test(pauses_grow_and_are_spread),
	    clean_test(the_server_may_say_when),
	    clean_test(the_server_may_say_never),
	    clean_test(the_deadline_ends_the_rest),
	    clean_test(tokens_are_counted_as_a6_says),
	    clean_test(tokens_stay_in_their_bounds),
	    clean_test(what_is_too_large_to_keep_goes_once),
	    clean_test(a_channel_keeps_so_much),
	    clean_test(one_that_rests_can_be_ended),
	    clean_test(the_shorter_time_wins),
	    clean_test(the_program_decides_whether_to_wait),
	    clean_test(messages_are_limited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
