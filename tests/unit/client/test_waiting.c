/*
 * test_waiting.c: how many calls may wait for a connection, or for room on one: at the limit and
 * one past it; every way out of the queue makes room again.
 */
#include "tests/unit/client/attempts.h"

#define MOST 3
#define NO_ROOM                                                                        \
	"RESOURCE_EXHAUSTED: 3 calls wait for mem:attempt already, the most that may " \
	"(farcall_channel_set_max_waiting)"

typedef struct crowd {
	outcome to[8];
	farcall_call *calls[8];
	int n;
} crowd;

static outcome *
join_crowd(fixture *f, crowd *c, uint64_t ms, bool wait_for_ready)
{
	outcome *to = &c->to[c->n];

	c->calls[c->n++] = start_async(f, ms, wait_for_ready, to);
	turns(f, 4);
	return to;
}

static void
fill(fixture *f, crowd *c)
{
	memset(c, 0, sizeof *c);
	for (int i = 0; i < MOST; i++)
		assert_int_equal(join_crowd(f, c, UINT64_MAX, true)->times, 0);
	assert_int_equal(f->channel->n_waiting, MOST);
}

static void
refused(fixture *f, crowd *c, const char *text)
{
	outcome *to = join_crowd(f, c, UINT64_MAX, true);

	assert_int_equal(to->times, 1);
	assert_int_equal(to->code, FARCALL_RESOURCE_EXHAUSTED);
	assert_string_equal(to->error, text);
	assert_int_equal(farcall_call_cause(c->calls[c->n - 1]), FARCALL_CAUSE_LIMIT);
}

static void
free_crowd(crowd *c)
{
	for (int i = 0; i < c->n; i++)
		farcall_call_free(c->calls[i]);
}

static void
one_more_is_refused_and_the_others_go_on(void **state)
{
	fixture f;
	crowd c;

	(void)state;
	begin_stopped(&f);
	farcall_channel_set_max_waiting(f.channel, MOST);
	fill(&f, &c);
	refused(&f, &c, NO_ROOM ": connection refused");
	tiny_start(&f.server, f.loop, "mem:attempt");
	f.server.on_complete = echo_nothing;
	while (c.to[MOST - 1].times == 0)
		fc_loop_turn(f.loop, FC_NEVER);
	for (int i = 0; i < MOST; i++)
		assert_int_equal(c.to[i].code, FARCALL_OK);
	assert_int_equal(f.channel->n_waiting, 0);
	assert_int_equal(call_with_timeout(&f, UINT64_MAX), FARCALL_OK);
	free_crowd(&c);
	end(&f);
}

/* A deadline, a cancel, the channel's end. */
static void
who_leaves_makes_room(void **state)
{
	fixture f;
	crowd c;

	(void)state;
	begin_stopped(&f);
	farcall_channel_set_max_waiting(f.channel, MOST);
	memset(&c, 0, sizeof c);
	join_crowd(&f, &c, 10, true);
	for (int i = 1; i < MOST; i++)
		join_crowd(&f, &c, UINT64_MAX, true);
	refused(&f, &c, NO_ROOM ": connection refused");
	while (c.to[0].times == 0)
		fc_loop_turn(f.loop, FC_NEVER);
	assert_int_equal(c.to[0].code, FARCALL_DEADLINE_EXCEEDED);
	assert_int_equal(join_crowd(&f, &c, UINT64_MAX, true)->times, 0);
	refused(&f, &c, NO_ROOM ": connection refused");
	farcall_call_cancel(c.calls[1]);
	turns(&f, 4);
	assert_int_equal(c.to[1].code, FARCALL_CANCELLED);
	assert_int_equal(join_crowd(&f, &c, UINT64_MAX, true)->times, 0);
	assert_int_equal(f.channel->n_waiting, MOST);
	farcall_channel_close(f.channel);
	turns(&f, 4);
	for (int i = 0; i < c.n; i++)
		assert_int_equal(c.to[i].times, 1);
	free_crowd(&c);
	fc_loop_close(f.loop);
}

/* Who does not wait for ready fails as ever while the server is away: it would not wait. */
static void
who_would_not_wait_is_told_why(void **state)
{
	fixture f;
	outcome *to;
	crowd c;

	(void)state;
	begin_stopped(&f);
	farcall_channel_set_max_waiting(f.channel, MOST);
	fill(&f, &c);
	to = join_crowd(&f, &c, UINT64_MAX, false);
	assert_int_equal(to->times, 1);
	assert_string_equal(to->error, "UNAVAILABLE: connect mem:attempt: connection refused");
	assert_int_equal(f.channel->n_waiting, MOST);
	free_crowd(&c);
	turns(&f, 4);
	assert_int_equal(f.channel->n_waiting, 0);
	end_stopped(&f);
}

/* A connection whose server allows one call at a time; what the server has not seen comes back to
 * the queue though that is full. */
static void
room_on_a_connection_is_waited_for_too(void **state)
{
	fixture f;
	outcome *first;
	crowd c;

	(void)state;
	begin(&f);
	f.server.config.max_streams = 1;
	f.server.on_complete = keep;
	farcall_channel_set_max_waiting(f.channel, MOST);
	assert_int_equal(farcall_channel_wait_ready(f.channel, 1000), FARCALL_OK);
	memset(&c, 0, sizeof c);
	first = join_crowd(&f, &c, UINT64_MAX, true);
	assert_int_equal(n_kept, 1);
	for (int i = 0; i < MOST; i++)
		join_crowd(&f, &c, UINT64_MAX, true);
	assert_int_equal(f.channel->n_waiting, MOST);
	refused(&f, &c, NO_ROOM);
	assert_int_equal(call_with_timeout(&f, 1000), FARCALL_RESOURCE_EXHAUSTED);
	assert_string_equal(error_text, NO_ROOM);
	f.server.on_complete = echo_nothing;
	tiny_refuse(kept[0]);
	while (c.to[MOST].times == 0)
		fc_loop_turn(f.loop, FC_NEVER);
	for (int i = 0; i <= MOST; i++)
		assert_int_equal(c.to[i].code, FARCALL_OK);
	assert_int_equal(first->times, 1);
	assert_int_equal(f.channel->n_waiting, 0);
	free_crowd(&c);
	end(&f);
}

static void
streams_wait_in_the_same_queue(void **state)
{
	farcall_call *stream;
	fixture f;
	crowd c;

	(void)state;
	begin_stopped(&f);
	farcall_channel_set_max_waiting(f.channel, MOST);
	fill(&f, &c);
	stream = farcall_call_new(f.channel);
	farcall_call_set_wait_for_ready(stream, true);
	pair_test_chat__start(stream);
	turns(&f, 4);
	assert_int_equal(farcall_call_code(stream), FARCALL_RESOURCE_EXHAUSTED);
	assert_string_equal(farcall_call_error(stream), NO_ROOM ": connection refused");
	farcall_call_free(stream);
	free_crowd(&c);
	turns(&f, 4);
	memset(&c, 0, sizeof c);
	for (int i = 0; i < MOST - 1; i++)
		join_crowd(&f, &c, UINT64_MAX, true);
	stream = farcall_call_new(f.channel);
	farcall_call_set_wait_for_ready(stream, true);
	pair_test_chat__start(stream);
	turns(&f, 4);
	assert_int_equal(f.channel->n_waiting, MOST);
	refused(&f, &c, NO_ROOM ": connection refused");
	farcall_call_free(stream);
	turns(&f, 4);
	assert_int_equal(f.channel->n_waiting, MOST - 1);
	free_crowd(&c);
	turns(&f, 4);
	end_stopped(&f);
}

/* One that rests before its next attempt does not wait for a connection; nor does a hedge whose
 * call has ended. */
static void
plans_leave_the_queue(void **state)
{
	static const char *const rows[] = {
	    "{\"methodConfig\": [{\"name\": [{}], \"retryPolicy\": {\"maxAttempts\": 3, "
	    "\"initialBackoff\": \"1s\", \"maxBackoff\": \"1s\", \"backoffMultiplier\": 1, "
	    "\"retryableStatusCodes\": [\"UNAVAILABLE\"]}}]}",
	    "{\"methodConfig\": [{\"name\": [{}], \"hedgingPolicy\": {\"maxAttempts\": 3, "
	    "\"hedgingDelay\": \"0s\", \"nonFatalStatusCodes\": [\"UNAVAILABLE\"]}}]}"};
	fixture f;
	crowd c;

	(void)state;
	for (size_t i = 0; i < FC_COUNT(rows); i++) {
		begin_stopped(&f);
		farcall_channel_set_service_config(f.channel, rows[i]);
		assert_string_equal(farcall_channel_error(f.channel), "");
		memset(&c, 0, sizeof c);
		for (int j = 0; j < 2; j++)
			join_crowd(&f, &c, 10000, j != 0 && i != 0);
		if (i == 0)
			assert_int_equal(f.channel->n_waiting, 0);
		while (c.to[0].times == 0 || c.to[1].times == 0)
			fc_loop_turn(f.loop, FC_NEVER);
		assert_int_equal(f.channel->n_waiting, 0);
		free_crowd(&c);
		end_stopped(&f);
	}
}

static void
the_setting_has_limits(void **state)
{
	static const size_t good[] = {1, INT32_MAX}, bad[] = {0, (size_t)INT32_MAX + 1};
	farcall_channel *channel;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		channel = farcall_channel_open("mem:attempt");
		assert_int_equal(channel->most_waiting, 100000);
		farcall_channel_set_max_waiting(channel, good[i]);
		assert_int_equal(farcall_channel_code(channel), FARCALL_OK);
		farcall_channel_set_max_waiting(channel, bad[i]);
		assert_int_equal(farcall_channel_code(channel), FARCALL_INVALID_ARGUMENT);
		assert_non_null(strstr(farcall_channel_error(channel), "max waiting: "));
		farcall_channel_close(channel);
	}
	farcall_channel_set_max_waiting(NULL, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(one_more_is_refused_and_the_others_go_on),
	    clean_test(who_leaves_makes_room),
	    clean_test(who_would_not_wait_is_told_why),
	    clean_test(room_on_a_connection_is_waited_for_too),
	    clean_test(streams_wait_in_the_same_queue),
	    clean_test(plans_leave_the_queue),
	    clean_test(the_setting_has_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
