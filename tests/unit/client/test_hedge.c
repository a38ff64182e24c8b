/*
 * test_hedge.c: hedging by gRFC A6, under a virtual clock: when attempts are sent, which of them
 * decides, what becomes of the others, and that a call has one end whatever happens.
 */
#include "tests/unit/client/script.h"

#include "client/plan.h"

#include <stdio.h>
#include <stdlib.h>

#define HEDGES(attempts, delay)                                                               \
	"{\"methodConfig\": [{\"name\": [{}], \"hedgingPolicy\": {\"maxAttempts\": " attempts \
	", \"hedgingDelay\": \"" delay                                                        \
	"\", \"nonFatalStatusCodes\": [\"UNAVAILABLE\", \"ABORTED\"]}}]"
/* With these, calls that rest instead. */
#define RETRIES                                                                            \
	"{\"methodConfig\": [{\"name\": [{}], \"retryPolicy\": {\"maxAttempts\": 3, "      \
	"\"initialBackoff\": \"0.3s\", \"maxBackoff\": \"1s\", \"backoffMultiplier\": 2, " \
	"\"retryableStatusCodes\": [14, 10]}}]}"
#define USUAL HEDGES("3", "1s") "}"

static const script_line silent[] = {
    {.silent = true}, {.silent = true}, {.silent = true}, {.silent = true}, {.silent = true}};

static const script_line answer = {.code = FARCALL_OK};

static void
after(fixture *f, uint64_t ms)
{
	uint64_t until = f->clock.now + ms * FC_NS_PER_MS;

	while (f->clock.now < until) {
		turns(f, 4);
		fc_loop_turn(f->loop, until - f->clock.now);
	}
	turns(f, 4);
}

/* ---- when they are sent ---- */

static void
one_answer_in_time_is_all(void **state)
{
	fixture f;

	(void)state;
	script_begin(&f, USUAL, NULL, 0);
	assert_int_equal(call_with_timeout(&f, UINT64_MAX), FARCALL_OK);
	after(&f, 5000);
	assert_int_equal(played.n_requests, 1);
	assert_int_equal(played.previous[0], -1);
	script_end(&f);
}

static void
each_comes_a_delay_later(void **state)
{
	fixture f;
	outcome to;
	farcall_call *call;

	(void)state;
	script_begin(&f, USUAL, silent, 5);
	call = start_async(&f, UINT64_MAX, false, &to);
	after(&f, 10000);
	assert_int_equal(played.n_requests, 3);
	assert_int_equal(played.at[1] - played.at[0], FC_NS_PER_S);
	assert_int_equal(played.at[2] - played.at[1], FC_NS_PER_S);
	assert_int_equal(played.previous[0], -1);
	assert_int_equal(played.previous[1], 1);
	assert_int_equal(played.previous[2], 2);
	assert_int_equal(to.times, 0);
	script_answer(played.kept[1], &answer);
	script_wait(&f, &to);
	assert_int_equal(to.code, FARCALL_OK);
	assert_true(to.replied);
	turns(&f, 4);
	assert_int_equal(played.n_aborts, 2); /* the others have been cancelled */
	farcall_call_free(call);
	script_end(&f);
}

static void
without_a_delay_all_go_at_once(void **state)
{
	fixture f;
	outcome to;
	farcall_call *call;

	(void)state;
	script_begin(&f, HEDGES("5", "0s") "}", silent, 5);
	call = start_async(&f, UINT64_MAX, false, &to);
	turns(&f, 20);
	assert_int_equal(played.n_requests, 5);
	assert_int_equal(played.at[4], played.at[0]);
	script_answer(played.kept[4], &answer);
	script_wait(&f, &to);
	assert_int_equal(to.code, FARCALL_OK);
	turns(&f, 4);
	assert_int_equal(played.n_aborts, 4);
	farcall_call_free(call);
	script_end(&f);
}

static void
a_failure_brings_the_next_one_at_once(void **state)
{
	static const script_line lines[] = {
	    {.code = FARCALL_UNAVAILABLE}, {.silent = true}, {.silent = true}};
	fixture f;
	outcome to;
	farcall_call *call;

	(void)state;
	script_begin(&f, USUAL, lines, 3);
	call = start_async(&f, UINT64_MAX, false, &to);
	after(&f, 10000);
	assert_int_equal(played.n_requests, 3);
	assert_int_equal(played.at[1], played.at[0]);
	assert_int_equal(played.at[2] - played.at[1], FC_NS_PER_S);
	script_answer(played.kept[2], &answer);
	script_wait(&f, &to);
	assert_int_equal(to.code, FARCALL_OK);
	farcall_call_free(call);
	script_end(&f);
}

static void
the_server_may_say_when(void **state)
{
	static const script_line lines[] = {
	    {.code = FARCALL_UNAVAILABLE, .pushback = "4321"}, {.silent = true}, {.silent = true}};
	fixture f;
	outcome to;
	farcall_call *call;

	(void)state;
	script_begin(&f, USUAL, lines, 3);
	call = start_async(&f, UINT64_MAX, false, &to);
	after(&f, 10000);
	assert_int_equal(played.n_requests, 3);
	assert_int_equal(played.at[1] - played.at[0], 4321 * FC_NS_PER_MS);
	assert_int_equal(played.at[2] - played.at[1], FC_NS_PER_S);
	farcall_call_free(call);
	turns(&f, 4);
	assert_int_equal(to.times, 1);
	assert_int_equal(played.n_aborts, 2);
	script_end(&f);
}

/* Those that are under way go on. */
static void
the_server_may_say_never(void **state)
{
	static const script_line lines[] = {{.silent = true}, {.silent = true}, {.silent = true}};
	static const script_line stop = {.code = FARCALL_UNAVAILABLE, .pushback = "-1"};
	fixture f;
	outcome to;
	farcall_call *call;

	(void)state;
	script_begin(&f, USUAL, lines, 3);
	call = start_async(&f, UINT64_MAX, false, &to);
	after(&f, 1500);
	assert_int_equal(played.n_requests, 2);
	script_answer(played.kept[0], &stop);
	after(&f, 5000);
	assert_int_equal(played.n_requests, 2);
	assert_int_equal(to.times, 0);
	script_answer(played.kept[1], &answer);
	script_wait(&f, &to);
	assert_int_equal(to.code, FARCALL_OK);
	farcall_call_free(call);
	script_end(&f);
}

/* ---- what decides ---- */

static void
what_is_fatal_ends_it(void **state)
{
	static const script_line fatal = {.code = FARCALL_INTERNAL};
	fixture f;
	outcome to;
	farcall_call *call;

	(void)state;
	script_begin(&f, USUAL, silent, 5);
	call = start_async(&f, UINT64_MAX, false, &to);
	after(&f, 2500);
	assert_int_equal(played.n_requests, 3);
	script_answer(played.kept[1], &fatal);
	script_wait(&f, &to);
	assert_int_equal(to.code, FARCALL_INTERNAL);
	assert_string_equal(to.error, "INTERNAL: as told");
	turns(&f, 4);
	assert_int_equal(played.n_aborts, 2);
	farcall_call_free(call);
	script_end(&f);
}

static void
the_last_failure_is_told(void **state)
{
	static const script_line lines[] = {{.code = FARCALL_UNAVAILABLE},
	    {.code = FARCALL_UNAVAILABLE}, {.code = FARCALL_ABORTED, .pushback = "5"}};
	fixture f;
	farcall_call *call;
	Pair__Message request = PAIR__MESSAGE__INIT;

	(void)state;
	script_begin(&f, USUAL, lines, 3);
	call = farcall_call_new(f.channel);
	assert_int_equal(pair_test_echo(call, &request, NULL), FARCALL_ABORTED);
	assert_string_equal(farcall_call_error(call), "ABORTED: as told");
	assert_string_equal(farcall_call_status_message(call), "as told");
	assert_string_equal(
	    farcall_metadata_get(farcall_call_trailers(call), "grpc-retry-pushback-ms"), "5");
	assert_string_equal(farcall_call_peer(call), "mem:attempt");
	assert_int_equal(played.n_requests, 3);
	farcall_call_free(call);
	script_end(&f);
}

/* From the head on it is this one's, whatever becomes of it. */
static void
a_head_decides(void **state)
{
	static const script_line lost = {.code = FARCALL_UNAVAILABLE};
	fixture f;
	outcome to;
	farcall_call *call;

	(void)state;
	script_begin(&f, USUAL, silent, 5);
	call = start_async(&f, UINT64_MAX, false, &to);
	after(&f, 2500);
	tiny_send(played.kept[2], "", 0);
	turns(&f, 6);
	assert_int_equal(played.n_aborts, 2);
	assert_int_equal(to.times, 0);
	script_answer(played.kept[2], &lost);
	script_wait(&f, &to);
	assert_int_equal(to.code, FARCALL_UNAVAILABLE);
	assert_int_equal(played.n_requests, 3);
	farcall_call_free(call);
	script_end(&f);
}

static void
the_reply_is_the_winners(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	const Pair__Message *reply = NULL;
	test_pair pair;

	(void)state;
	test_pair_init(&pair, "localhost:0");
	test_pair_start(&pair);
	farcall_channel_set_service_config(pair.channel, HEDGES("3", "0s") "}");
	for (int i = 0; i < 50; i++) {
		farcall_call *call = farcall_call_new(pair.channel);

		request.number = (uint32_t)i;
		request.text = "hedged";
		farcall_call_set_timeout_ms(call, 10000);
		farcall_call_add_metadata(call, "x-number", "7");
		if (pair_test_metadata(call, &request, &reply) != FARCALL_OK)
			fail_msg("%s", farcall_call_error(call));
		assert_string_equal(
		    farcall_metadata_get(farcall_call_metadata(call), "x-number"), "7");
		assert_string_equal(
		    farcall_metadata_get(farcall_call_trailers(call), "x-number"), "7");
		assert_non_null(strstr(farcall_call_peer(call), ":"));
		farcall_call_free(call);
		call = farcall_call_new(pair.channel);
		assert_int_equal(pair_test_echo(call, &request, &reply), FARCALL_OK);
		assert_string_equal(reply->text, "hedged");
		assert_int_equal(reply->number, i);
		farcall_call_free(call);
	}
	test_pair_fini(&pair);
}

/* ---- throttling, deadlines ---- */

static void
throttled_there_are_none(void **state)
{
	fixture f;
	outcome to;
	farcall_call *call;

	(void)state;
	script_begin(&f,
	    HEDGES("3", "1s") ", \"retryThrottling\": {\"maxTokens\": 2, \"tokenRatio\": 0.5}}",
	    silent, 5);
	f.channel->tokens = 1000;
	call = start_async(&f, UINT64_MAX, false, &to);
	after(&f, 5000);
	assert_int_equal(played.n_requests, 1);
	script_answer(played.kept[0], &answer);
	script_wait(&f, &to);
	assert_int_equal(f.channel->tokens, 1500);
	farcall_call_free(call);
	script_restart(silent, 5);
	call = start_async(&f, UINT64_MAX, false, &to);
	after(&f, 500);
	script_answer(
	    played.kept[0], &(const script_line){.code = FARCALL_UNAVAILABLE}); /* to 0.5 */
	script_wait(&f, &to);
	assert_int_equal(to.code, FARCALL_UNAVAILABLE);
	assert_int_equal(f.channel->tokens, 500);
	assert_int_equal(played.n_requests, 1);
	farcall_call_free(call);
	script_end(&f);
}

static void
the_deadline_is_the_calls(void **state)
{
	fixture f;
	uint64_t start;

	(void)state;
	script_begin(&f, USUAL, silent, 5);
	start = f.clock.now;
	assert_int_equal(call_with_timeout(&f, 1500), FARCALL_DEADLINE_EXCEEDED);
	assert_int_equal(f.clock.now - start, 1500 * FC_NS_PER_MS);
	assert_string_equal(
	    error_text, "DEADLINE_EXCEEDED: after 1500 ms, waiting for mem:attempt to answer");
	turns(&f, 4);
	assert_int_equal(played.n_requests, 2);
	assert_int_equal(played.n_aborts, 2);
	script_end(&f);
}

static void
without_a_server_it_fails_like_any_other(void **state)
{
	fixture f;

	(void)state;
	begin_stopped(&f);
	farcall_channel_set_service_config(f.channel, USUAL);
	assert_int_equal(call_with_timeout(&f, UINT64_MAX), FARCALL_UNAVAILABLE);
	assert_non_null(strstr(error_text, "connect mem:attempt: "));
	end_stopped(&f);
}

/* ---- any order ---- */

typedef struct hedged {
	farcall_call *call; /* NULL: freed */
	outcome to;
} hedged;

#define CALLS 6

/* Nothing is heard of its calls any more. */
static void
kill_line(tiny_conn *conn)
{
	for (int i = 0; i < SCRIPT_MOST; i++)
		if (played.kept[i] != NULL && played.kept[i]->conn == conn)
			played.kept[i] = NULL;
	fc_conn_kill(&conn->conn);
}

static void
act(fixture *f, test_random *random, hedged *calls, bool *closed)
{
	static const farcall_code codes[] = {FARCALL_OK, FARCALL_UNAVAILABLE, FARCALL_ABORTED,
	    FARCALL_INTERNAL, FARCALL_UNAVAILABLE};
	static const char *const words[] = {NULL, NULL, NULL, "-1", "0", "700"};
	hedged *some = &calls[test_random_below(random, CALLS)];
	tiny_call *kept_one =
	    played.kept[test_random_below(random, (uint32_t)played.n_requests + 1)];
	const script_line line = {.code = codes[test_random_below(random, 5)],
	    .pushback = words[test_random_below(random, 6)]};

	switch (test_random_below(random, 12)) {
	case 0:
		farcall_call_cancel(some->call);
		break;
	case 1:
		farcall_call_free(some->call);
		some->call = NULL;
		break;
	case 2:
		if (!*closed && test_random_below(random, 10) == 0) {
			farcall_channel_close(f->channel);
			*closed = true;
		}
		break;
	case 3:
		if (kept_one != NULL && test_random_below(random, 4) == 0)
			kill_line(kept_one->conn);
		break;
	case 4:
	case 5:
		after(f, test_random_below(random, 800));
		break;
	case 6:
		if (kept_one != NULL)
			tiny_send(kept_one, "", 0);
		break;
	default:
		for (int i = 0; kept_one != NULL && i < SCRIPT_MOST; i++)
			if (played.kept[i] == kept_one)
				played.kept[i] = NULL;
		if (kept_one != NULL)
			script_answer(kept_one, &line);
		break;
	}
	turns(f, (int)test_random_below(random, 3));
}

static void
whatever_happens_there_is_one_end(void **state)
{
	static const char *const configs[] = {USUAL, HEDGES("4", "0s") "}", RETRIES};
	static script_line lines[SCRIPT_MOST];
	const char *rounds = getenv("FARCALL_TEST_ROUNDS");
	int n = 600 * (rounds != NULL ? atoi(rounds) : 1), ends[17] = {0};
	test_random random;

	(void)state;
	for (int i = 0; i < SCRIPT_MOST; i++)
		lines[i].silent = true;
	test_random_seed(&random, 1);
	for (int round = 0; round < n; round++) {
		Pair__Message request = PAIR__MESSAGE__INIT;
		hedged calls[CALLS];
		bool closed = false;
		fixture f;

		script_begin(&f, configs[round % 3], lines, SCRIPT_MOST);
		for (int i = 0; i < CALLS; i++) {
			calls[i].call = farcall_call_new(f.channel);
			memset(&calls[i].to, 0, sizeof calls[i].to);
			farcall_call_set_timeout_ms(calls[i].call, 4000);
			pair_test_echo__async(calls[i].call, &request, note, &calls[i].to);
		}
		for (int i = 0; i < 40; i++)
			act(&f, &random, calls, &closed);
		after(&f, 5000);
		for (int i = 0; i < CALLS; i++) {
			assert_int_equal(calls[i].to.times, 1);
			ends[calls[i].to.code]++;
			farcall_call_free(calls[i].call);
		}
		if (closed)
			f.channel = NULL;
		script_end(&f);
	}
	assert_true(ends[FARCALL_OK] > n / 10);
	assert_true(ends[FARCALL_UNAVAILABLE] > n / 20);
	assert_true(ends[FARCALL_INTERNAL] > n / 20);
	assert_true(ends[FARCALL_CANCELLED] > n / 20);
	assert_true(ends[FARCALL_DEADLINE_EXCEEDED] > n / 20);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
	    clean_test(one_answer_in_time_is_all),
	    clean_test(each_comes_a_delay_later),
	    clean_test(without_a_delay_all_go_at_once),
	    clean_test(a_failure_brings_the_next_one_at_once),
	    clean_test(the_server_may_say_when),
	    clean_test(the_server_may_say_never),
	    clean_test(what_is_fatal_ends_it),
	    clean_test(the_last_failure_is_told),
	    clean_test(a_head_decides),
	    clean_test(the_reply_is_the_winners),
	    clean_test(throttled_there_are_none),
	    clean_test(the_deadline_is_the_calls),
	    clean_test(without_a_server_it_fails_like_any_other),
	    clean_test(whatever_happens_there_is_one_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
