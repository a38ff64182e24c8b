/*
 * test_lines.c: connections: when they are made, when again, and what becomes of their calls when
 * they go away; calls that have a parent.
 */
#include "tests/unit/client/attempts.h"

#include "runtime/base/alloc.h"

/* ---- connecting ---- */

static void
a_refused_connection_fails_those_who_do_not_wait(void **state)
{
	fixture f;
	outcome to;
	farcall_call *call;

	(void)state;
	begin_stopped(&f);
	assert_int_equal(farcall_channel_state(f.channel), FARCALL_IDLE);
	call = start_async(&f, UINT64_MAX, true, &to);
	assert_int_equal(call_with_timeout(&f, UINT64_MAX), FARCALL_UNAVAILABLE);
	assert_string_equal(error_text, "UNAVAILABLE: connect mem:attempt: connection refused");
	assert_int_equal(farcall_channel_state(f.channel), FARCALL_TRANSIENT_FAILURE);
	assert_int_equal(to.times, 0);
	tiny_start(&f.server, f.loop, "mem:attempt");
	f.server.on_complete = echo_nothing;
	assert_int_equal(call_with_timeout(&f, UINT64_MAX), FARCALL_UNAVAILABLE);
	while (to.times == 0)
		fc_loop_turn(f.loop, FC_NEVER);
	assert_int_equal(to.code, FARCALL_OK);
	assert_int_equal(farcall_channel_state(f.channel), FARCALL_READY);
	assert_int_equal(call_with_timeout(&f, UINT64_MAX), FARCALL_OK);
	farcall_call_free(call);
	end(&f);
}

/* The attempts of a channel that nobody answers begin when the backoff says. */
static void
attempts_keep_to_the_backoff(void **state)
{
	uint64_t base = FC_NS_PER_S, began, retry_at = 0;
	fixture f;
	outcome to;
	farcall_call *call;

	(void)state;
	begin_stopped(&f);
	began = f.clock.now;
	call = start_async(&f, UINT64_MAX, true, &to);
	for (int i = 0; i < 20; i++) {
		while (f.channel->sub.retry_at == retry_at)
			fc_loop_turn(f.loop, FC_NEVER);
		assert_int_equal(f.clock.now, i == 0 ? began : retry_at);
		began = f.clock.now;
		retry_at = f.channel->sub.retry_at;
		assert_true(retry_at - began >= base / 10 * 8);
		assert_true(retry_at - began <= base / 10 * 12);
		base = FC_MIN(base / 10 * 16, 120 * FC_NS_PER_S);
	}
	assert_int_equal(base, 120 * FC_NS_PER_S);
	farcall_call_cancel(call);
	while (to.times == 0)
		fc_loop_turn(f.loop, FC_NEVER);
	assert_int_equal(to.code, FARCALL_CANCELLED);
	farcall_call_free(call);
	end_stopped(&f);
}

static void
kill_conn(tiny_conn *conn)
{
	fc_conn_kill(&conn->conn);
}

/* A server that takes connections and says nothing has 20 s for its SETTINGS; accepting does not
 * reset the backoff. */
static void
only_settings_make_it_ready(void **state)
{
	fixture f;
	uint64_t start;

	(void)state;
	begin(&f);
	f.server.on_accept = kill_conn;
	assert_int_equal(call_with_timeout(&f, UINT64_MAX), FARCALL_UNAVAILABLE);
	assert_int_equal(farcall_channel_state(f.channel), FARCALL_TRANSIENT_FAILURE);
	assert_true(f.channel->sub.backoff.base_ns == FC_NS_PER_S);
	start = f.clock.now;
	f.server.on_accept = NULL;
	assert_int_equal(farcall_channel_wait_ready(f.channel, 60000), FARCALL_OK);
	assert_true(f.clock.now - start >= FC_NS_PER_S / 10 * 8);
	assert_int_equal(f.channel->sub.backoff.base_ns, 0);
	end(&f);
}

static void
wait_ready_says_what_failed_last(void **state)
{
	fixture f;
	uint64_t start;

	(void)state;
	begin_stopped(&f);
	start = f.clock.now;
	assert_int_equal(farcall_channel_wait_ready(f.channel, 3000), FARCALL_DEADLINE_EXCEEDED);
	assert_int_equal(f.clock.now - start, 3000 * FC_NS_PER_MS);
	assert_string_equal(farcall_channel_error(f.channel),
	    "after 3000 ms, waiting for mem:attempt to connect (last failure: connection refused)");
	tiny_start(&f.server, f.loop, "mem:attempt");
	assert_int_equal(farcall_channel_wait_ready(f.channel, 60000), FARCALL_OK);
	assert_int_equal(farcall_channel_wait_ready(f.channel, 0), FARCALL_OK);
	assert_string_equal(farcall_channel_error(f.channel), "");
	end(&f);
}

/* ---- connections that go away ---- */

/* A frame that the engine would not send now. */
static void
send_raw(tiny_conn *conn, const void *frame, size_t size)
{
	const fc_piece piece = {(const uint8_t *)frame, size};

	assert_int_equal(conn->conn.pipe->ops->write(conn->conn.pipe, &piece, 1), size);
}

static int n_to_refuse; /* requests that are answered by REFUSED_STREAM */

static void
refuse_some(tiny_call *call)
{
	uint8_t frame[] = {0, 0, 4, 3, 0, 0, 0, 0, 0, 0, 0, 0, 7};

	if (n_to_refuse == 0)
		return;
	n_to_refuse--;
	frame[8] = (uint8_t)(call->conn->server->n_requests * 2 - 1);
	send_raw(call->conn, frame, sizeof frame);
}

/* GOAWAY, and that no stream at all was seen. */
static void
go_away(tiny_call *call)
{
	static const uint8_t frame[] = {0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};

	send_raw(call->conn, frame, sizeof frame);
	call->conn->server->on_request = NULL;
}

static void
go_away_always(tiny_call *call)
{
	go_away(call);
	call->conn->server->on_request = go_away_always;
}

static void
drain(tiny_call *call)
{
	fc_conn_drain(&call->conn->conn, "");
	keep(call);
}

static void
a_connection_that_drains_is_replaced(void **state)
{
	fixture f;
	outcome old, fresh;
	farcall_call *calls[2];

	(void)state;
	begin(&f);
	f.server.on_complete = drain;
	calls[0] = start_async(&f, UINT64_MAX, false, &old);
	turns(&f, 30);
	f.server.on_complete = echo_nothing;
	calls[1] = start_async(&f, UINT64_MAX, false, &fresh);
	turns(&f, 30);
	assert_int_equal(fresh.times, 1);
	assert_int_equal(fresh.code, FARCALL_OK);
	assert_int_equal(f.server.n_conns, 2);
	assert_int_equal(old.times, 0);
	echo_nothing(kept[0]);
	turns(&f, 30);
	assert_int_equal(old.times, 1);
	assert_int_equal(old.code, FARCALL_OK);
	farcall_call_free(calls[0]);
	farcall_call_free(calls[1]);
	end(&f);
}

static void
what_was_not_seen_is_tried_again_once(void **state)
{
	fixture f;

	(void)state;
	begin(&f);
	f.server.on_request = refuse_some;
	f.server.on_complete = NULL;
	n_to_refuse = 1;
	assert_int_equal(call_with_timeout(&f, 3000), FARCALL_DEADLINE_EXCEEDED);
	assert_int_equal(f.server.n_requests, 2);
	n_to_refuse = 2;
	assert_int_equal(call_with_timeout(&f, 3000), FARCALL_UNAVAILABLE);
	assert_int_equal(f.server.n_requests, 4);
	assert_int_equal(f.server.n_conns, 1);
	end(&f);
}

static void
a_goaway_sends_what_it_has_not_seen_elsewhere(void **state)
{
	fixture f;
	outcome to;
	farcall_call *call;

	(void)state;
	begin(&f);
	f.server.on_request = go_away;
	f.server.on_complete = keep;
	call = start_async(&f, 3000, false, &to);
	turns(&f, 30);
	assert_int_equal(f.server.n_conns, 2);
	assert_int_equal(f.server.n_requests, 2);
	echo_nothing(kept[n_kept - 1]);
	turns(&f, 5);
	assert_int_equal(to.code, FARCALL_OK);
	farcall_call_free(call);
	end(&f);
}

/* A server that says GOAWAY to everybody at once is not tried in a circle. */
static void
a_server_that_serves_nothing_is_backed_off(void **state)
{
	fixture f;
	uint64_t start;

	(void)state;
	begin(&f);
	f.server.on_request = go_away_always;
	start = f.clock.now;
	assert_int_equal(call_with_timeout(&f, 60000), FARCALL_UNAVAILABLE);
	assert_int_equal(f.server.n_requests, 2);
	assert_int_equal(call_with_timeout(&f, 60000), FARCALL_UNAVAILABLE);
	assert_int_equal(call_with_timeout(&f, 60000), FARCALL_UNAVAILABLE);
	assert_int_equal(f.clock.now, start);
	assert_true(f.server.n_conns <= 2 * (int)FC_CLIENT_FRUITLESS_MOST);
	assert_int_equal(farcall_channel_state(f.channel), FARCALL_TRANSIENT_FAILURE);
	end(&f);
}

/* A pipe that takes its first write, the client's preface, and then breaks at the next. */
typedef struct stalling {
	fc_pipe pipe; /* first */
	fc_pipe *lower;
	fc_loop *loop;
	fc_task breaks;
	int writes;
} stalling;

static int n_to_break; /* so many pipes; the others are whole */

static size_t
stall_write(fc_pipe *pipe, const fc_piece *pieces, size_t n)
{
	stalling *s = (stalling *)pipe;

	if (s->writes++ == 0 || n_to_break == 0)
		return s->lower->ops->write(s->lower, pieces, n);
	n_to_break--;
	fc_loop_ready(s->loop, &s->breaks);
	return 0;
}

static void
break_pipe(fc_task *task)
{
	stalling *s = FC_CONTAINER(task, stalling, breaks);
	fc_error error;

	fc_error_clear(&error);
	fc_fail(&error, FARCALL_UNAVAILABLE, FARCALL_CAUSE_CONNECTION_RESET, "reset");
	s->pipe.events->on_lost(s->pipe.owner, &error);
}

static void
stall_read(fc_pipe *pipe, bool on)
{
	((stalling *)pipe)->lower->ops->read(((stalling *)pipe)->lower, on);
}

static void
stall_shutdown(fc_pipe *pipe)
{
	((stalling *)pipe)->lower->ops->shutdown(((stalling *)pipe)->lower);
}

static void
stall_close(fc_pipe *pipe)
{
	((stalling *)pipe)->lower->ops->close(((stalling *)pipe)->lower);
	fc_free(pipe);
}

static void
stall_peer(const fc_pipe *pipe, fc_peer *peer)
{
	const fc_pipe *lower = ((const stalling *)pipe)->lower;

	lower->ops->peer(lower, peer);
}

static void
up_open(void *owner)
{
	stalling *s = (stalling *)owner;

	s->pipe.events->on_open(s->pipe.owner);
}

static void
up_bytes(void *owner, const uint8_t *bytes, size_t size)
{
	stalling *s = (stalling *)owner;

	s->pipe.events->on_bytes(s->pipe.owner, bytes, size);
}

static void
up_end(void *owner)
{
	stalling *s = (stalling *)owner;

	s->pipe.events->on_end(s->pipe.owner);
}

static void
up_writable(void *owner)
{
	stalling *s = (stalling *)owner;

	s->pipe.events->on_writable(s->pipe.owner);
}

static void
up_lost(void *owner, const fc_error *why)
{
	stalling *s = (stalling *)owner;

	s->pipe.events->on_lost(s->pipe.owner, why);
}

static fc_pipe *
stall_wrap(fc_loop *loop, fc_pipe *lower, bool client, void *data)
{
	static const fc_pipe_ops ops = {
	    "stall", stall_write, stall_read, stall_shutdown, stall_close, stall_peer, NULL};
	static const fc_pipe_events events = {up_open, up_bytes, up_end, up_writable, up_lost};
	stalling *s;

	(void)data;
	if (!client)
		return lower;
	s = (stalling *)fc_calloc(1, sizeof *s);
	s->pipe.ops = &ops;
	s->lower = lower;
	s->loop = loop;
	s->breaks.run = break_pipe;
	lower->events = &events;
	lower->owner = s;
	return &s->pipe;
}

/* However often: a call of which nothing has left is as good as not begun. */
static void
what_never_left_is_tried_until_it_leaves(void **state)
{
	fixture f;
	outcome to;
	farcall_call *call;

	(void)state;
	fc_pipe_set_wrap(stall_wrap, NULL);
	begin(&f);
	f.server.on_complete = echo_nothing;
	n_to_break = 5;
	call = start_async(&f, 60000, true, &to);
	while (to.times == 0)
		fc_loop_turn(f.loop, FC_NEVER);
	assert_int_equal(n_to_break, 0);
	assert_int_equal(to.code, FARCALL_OK);
	assert_int_equal(f.server.n_conns, 6);
	assert_int_equal(f.server.n_requests, 1);
	farcall_call_free(call);
	end(&f);
	fc_pipe_set_wrap(NULL, NULL);
}

static void
kill_it(tiny_call *call)
{
	fc_conn_kill(&call->conn->conn);
}

static void
what_may_have_been_seen_is_not_repeated(void **state)
{
	fixture f;

	(void)state;
	begin(&f);
	f.server.on_complete = kill_it;
	assert_int_equal(call_with_timeout(&f, 5000), FARCALL_UNAVAILABLE);
	assert_int_equal(f.server.n_requests, 1);
	f.server.on_complete = echo_nothing;
	assert_int_equal(call_with_timeout(&f, 5000), FARCALL_OK);
	assert_int_equal(f.server.n_conns, 2);
	end(&f);
}

/* ---- parents ---- */

static void
a_child_has_its_parents_deadline_and_fate(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_call *parent, *child;
	outcome to_parent, to_child;
	fixture f;

	(void)state;
	begin(&f);
	f.server.on_complete = keep;
	parent = start_async(&f, UINT64_MAX, false, &to_parent);
	child = farcall_call_new(f.channel);
	farcall_call_set_parent(child, parent);
	memset(&to_child, 0, sizeof to_child);
	pair_test_echo__async(child, &request, note, &to_child);
	turns(&f, 20);
	assert_int_equal(n_kept, 2);
	farcall_call_cancel(parent);
	turns(&f, 5);
	assert_int_equal(to_parent.code, FARCALL_CANCELLED);
	assert_int_equal(to_child.times, 1);
	assert_int_equal(to_child.code, FARCALL_CANCELLED);
	farcall_call_free(child);

	child = farcall_call_new(f.channel); /* of one that has ended */
	farcall_call_set_parent(child, parent);
	memset(&to_child, 0, sizeof to_child);
	pair_test_echo__async(child, &request, note, &to_child);
	farcall_call_free(parent); /* held by the child */
	turns(&f, 5);
	assert_int_equal(to_child.code, FARCALL_CANCELLED);
	farcall_call_free(child);
	end(&f);
}

static void
a_child_that_ends_first_leaves_its_parent_alone(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_call *parent, *child;
	outcome to_parent, to_child;
	fixture f;

	(void)state;
	begin(&f);
	f.server.on_complete = keep;
	parent = start_async(&f, UINT64_MAX, false, &to_parent);
	child = farcall_call_new(f.channel);
	farcall_call_set_parent(child, parent);
	memset(&to_child, 0, sizeof to_child);
	pair_test_echo__async(child, &request, note, &to_child);
	turns(&f, 20);
	echo_nothing(kept[1]);
	turns(&f, 5);
	assert_int_equal(to_child.code, FARCALL_OK);
	assert_int_equal(to_child.times, 1);
	farcall_call_free(child);
	echo_nothing(kept[0]);
	turns(&f, 5);
	assert_int_equal(to_parent.code, FARCALL_OK);
	farcall_call_free(parent);
	end(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(a_refused_connection_fails_those_who_do_not_wait),
	    clean_test(attempts_keep_to_the_backoff),
	    clean_test(only_settings_make_it_ready),
	    clean_test(wait_ready_says_what_failed_last),
	    clean_test(a_connection_that_drains_is_replaced),
	    clean_test(what_was_not_seen_is_tried_again_once),
	    clean_test(a_goaway_sends_what_it_has_not_seen_elsewhere),
	    clean_test(a_server_that_serves_nothing_is_backed_off),
	    clean_test(what_never_left_is_tried_until_it_leaves),
	    clean_test(what_may_have_been_seen_is_not_repeated),
	    clean_test(a_child_has_its_parents_deadline_and_fate),
	    clean_test(a_child_that_ends_first_leaves_its_parent_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
