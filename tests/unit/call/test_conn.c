/*
 * A connection, over memory and under a virtual clock: the pick by the first bytes, and what it
 * does with an engine, shown by one that only records: one flush a turn, timers, reading stopped
 * while output is congested, and the order of the close.
 */
#include "tests/support/test.h"

#include "runtime/base/alloc.h"
#include "runtime/call/conn.h"
#include "runtime/transport/mem.h"

/* ---- an engine that records ---- */

struct fc_engine {
	const fc_engine_events *events;
	void *owner;
	char in[256];
	size_t n_in;
	uint8_t out[64];
	size_t n_out;
	size_t bulk; /* zeros to be written behind it */
	uint64_t due;
	int ticks, outputs, ends;
	bool congested, dies;
};

static struct fc_engine fake;

static fc_engine *
fake_open(const fc_engine_config *config, const fc_engine_events *events, void *owner, uint64_t now)
{
	(void)config;
	(void)now;
	memset(&fake, 0, sizeof fake);
	fake.events = events;
	fake.owner = owner;
	fake.due = FC_NEVER;
	return &fake;
}

static void
fake_free(fc_engine *engine)
{
	engine->owner = NULL;
}

static void
fake_input(fc_engine *engine, const uint8_t *bytes, size_t size, uint64_t now)
{
	static const fc_error why = {FARCALL_INTERNAL, FARCALL_CAUSE_PROTOCOL, "it said die"};

	(void)now;
	assert_true(engine->n_in + size < sizeof engine->in);
	if (size != 0)
		memcpy(engine->in + engine->n_in, bytes, size);
	engine->n_in += size;
	engine->in[engine->n_in] = 0;
	if (strstr(engine->in, "die") != NULL && !engine->dies) {
		engine->dies = true;
		memcpy(engine->out, "goodbye", 7);
		engine->n_out = 7;
		engine->events->on_dead(engine->owner, &why);
	}
}

static void
fake_end(fc_engine *engine, const fc_error *why)
{
	(void)why;
	engine->ends++;
}

static uint64_t
fake_due(const fc_engine *engine)
{
	return engine->due;
}

static void
fake_tick(fc_engine *engine, uint64_t now)
{
	assert_true(now >= engine->due);
	engine->due = FC_NEVER;
	engine->ticks++;
}

static size_t
fake_output(fc_engine *engine, fc_piece *pieces, size_t most)
{
	static const uint8_t zeros[65536];

	(void)most;
	if (engine->n_out == 0 && engine->bulk == 0)
		return 0;
	engine->outputs++;
	if (engine->n_out == 0) {
		pieces[0].at = zeros;
		pieces[0].size = FC_MIN(engine->bulk, sizeof zeros);
		return 1;
	}
	pieces[0].at = engine->out;
	pieces[0].size = engine->n_out;
	return 1;
}

static void
fake_wrote(fc_engine *engine, size_t size)
{
	if (engine->n_out == 0) {
		engine->bulk -= size;
		return;
	}
	memmove(engine->out, engine->out + size, engine->n_out - size);
	engine->n_out -= size;
}

static bool
fake_congested(const fc_engine *engine)
{
	return engine->congested;
}

static void
fake_drain(fc_engine *engine, uint64_t now, const char *text)
{
	(void)now;
	(void)text;
	engine->events->on_drained(engine->owner);
}

static void
fake_close(fc_engine *engine, farcall_code code, const char *text)
{
	(void)code;
	engine->n_out = strlen(text);
	memcpy(engine->out, text, engine->n_out);
}

static bool
fake_wrote_all(void)
{
	return fake.n_out == 0;
}

static const fc_engine_ops fake_ops = {
    .name = "fake",
    .open = fake_open,
    .free = fake_free,
    .input = fake_input,
    .end = fake_end,
    .due = fake_due,
    .tick = fake_tick,
    .output = fake_output,
    .wrote = fake_wrote,
    .congested = fake_congested,
    .drain = fake_drain,
    .close = fake_close,
};

/* ---- both ends ---- */

typedef struct world {
	fc_clock clock;
	fc_loop *loop;
	fc_listener *listener;
	fc_engine_config config;
	fc_conn conn; /* the server's */
	bool accepted, closed;
	fc_error why;

	fc_pipe *pipe; /* the client's, raw */
	char got[256];
	size_t n_got;
	bool ended;
	bool sips; /* reads once, then no more */
} world;

static world w;

static void
on_closed(fc_conn *conn, const fc_error *why)
{
	assert_ptr_equal(conn, &w.conn);
	w.closed = true;
	w.why = *why;
}

static const fc_engine_events engine_events = {
    .on_dead = fc_conn_dead, .on_drained = fc_conn_drained};
static fc_conn_events conn_events = {.engine = &engine_events, .on_closed = on_closed};

static void
on_accept(void *owner, fc_accepted *accepted)
{
	fc_error error;

	(void)owner;
	fc_error_clear(&error);
	assert_int_equal(
	    fc_conn_accept(&w.conn, w.loop, accepted, &conn_events, &w.config, &error), FARCALL_OK);
	w.accepted = true;
}

static void
on_open(void *owner)
{
	(void)owner;
	w.pipe->ops->read(w.pipe, true);
}

static void
on_bytes(void *owner, const uint8_t *bytes, size_t size)
{
	(void)owner;
	if (w.sips) {
		w.pipe->ops->read(w.pipe, false);
		return;
	}
	if (w.n_got + size < sizeof w.got)
		memcpy(w.got + w.n_got, bytes, size);
	w.n_got += size;
}

static void
on_end(void *owner)
{
	(void)owner;
	w.ended = true;
}

static void
on_nothing(void *owner)
{
	(void)owner;
}

static void
on_lost(void *owner, const fc_error *why)
{
	(void)owner;
	(void)why;
	w.ended = true;
}

static const fc_pipe_events client_events = {on_open, on_bytes, on_end, on_nothing, on_lost};

static void
turn(int times)
{
	for (int i = 0; i < times; i++)
		fc_loop_turn(w.loop, 0);
}

static void
pass(uint64_t ns)
{
	uint64_t until = w.clock.now + ns;

	while (w.clock.now < until)
		fc_loop_turn(w.loop, until - w.clock.now);
}

static void
say(const char *text, size_t size)
{
	fc_piece piece = {(const uint8_t *)text, size};

	assert_int_equal(w.pipe->ops->write(w.pipe, &piece, 1), size);
	turn(4);
}

static void
begin(const fc_engine_ops *ops)
{
	fc_address address;
	fc_error error;

	memset(&w, 0, sizeof w);
	w.clock.is_virtual = true;
	w.clock.now = FC_NS_PER_S;
	fc_error_clear(&error);
	w.loop = fc_loop_open(&w.clock, &error);
	assert_non_null(w.loop);
	conn_events.ops = ops;
	w.config.pool = fc_loop_pool(w.loop);
	w.config.max_message = w.config.max_metadata = 16384;
	w.config.max_streams = 10;
	w.config.stream_window = w.config.connection_window = 65535;
	w.config.settings_timeout_ns = 10 * FC_NS_PER_S;
	assert_int_equal(fc_address_parse(&address, "mem:conn", &error), FARCALL_OK);
	w.listener = fc_listener_open(&address, &error);
	fc_address_fini(&address);
	assert_int_equal(
	    fc_listener_start(w.listener, w.loop, on_accept, NULL, &error), FARCALL_OK);
	w.pipe =
	    fc_pipe_connect(w.loop, fc_listener_place(w.listener, 0), &client_events, NULL, &error);
	turn(4);
	assert_true(w.accepted);
}

static void
finish(void)
{
	if (w.pipe != NULL)
		w.pipe->ops->close(w.pipe);
	fc_listener_close(w.listener);
	turn(4);
	if (!w.closed)
		fc_conn_kill(&w.conn);
	turn(4);
	assert_true(w.closed);
	fc_loop_close(w.loop);
}

/* ---- the pick ---- */

static void
the_preface_is_picked_byte_by_byte(void **state)
{
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

	(void)state;
	begin(NULL);
	for (size_t i = 0; i < sizeof preface - 1; i++) {
		assert_int_equal(w.n_got, 0); /* nothing is said before the pick */
		say(preface + i, 1);
		assert_int_equal(w.conn.state, i < 3 ? FC_CONN_PICKING : FC_CONN_OPEN);
		if (i >= 3)
			break;
	}
	for (size_t i = 4; i < sizeof preface - 1; i++)
		say(preface + i, 1);
	assert_true(w.n_got >= 9);
	assert_int_equal(w.got[3], 4); /* SETTINGS */
	assert_false(w.closed);
	finish();
}

static void
others_are_turned_away(void **state)
{
	static const struct {
		const char *bytes;
		size_t size;
		const char *why;
	} rows[] = {
	    {"GET / HTTP/1.1\r\n", 16, "the peer sent HTTP/1, but only HTTP/2 is spoken here"},
	    {"POST", 4, "the peer sent HTTP/1, but only HTTP/2 is spoken here"},
	    {"\x16\x03\x01\x02\x00", 5, "the peer sent TLS on a plaintext endpoint"},
	    {"\0\0\0\4", 4, "the peer sent no HTTP/2 preface"},
	    {"PRX ", 4, "the peer sent HTTP/1, but only HTTP/2 is spoken here"},
	};

	(void)state;
	for (size_t i = 0; i < FC_COUNT(rows); i++) {
		for (int bytewise = 0; bytewise < 2; bytewise++) {
			begin(NULL);
			for (size_t at = 0; at < rows[i].size && !w.ended;) {
				size_t size = bytewise ? 1 : rows[i].size;

				say(rows[i].bytes + at, size);
				at += size;
			}
			assert_true(w.ended); /* we have shut down; the peer may still read */
			w.pipe->ops->close(w.pipe);
			w.pipe = NULL;
			turn(4);
			assert_true(w.closed);
			assert_string_equal(w.why.text, rows[i].why);
			assert_int_equal(w.why.cause, FARCALL_CAUSE_PROTOCOL);
			finish();
		}
	}
}

static void
silence_lasts_ten_seconds(void **state)
{
	(void)state;
	begin(NULL);
	say("PR", 2);
	pass(10 * FC_NS_PER_S - 10 * FC_NS_PER_MS);
	assert_false(w.closed);
	pass(20 * FC_NS_PER_MS);
	assert_true(w.closed);
	assert_int_equal(w.why.cause, FARCALL_CAUSE_TIMED_OUT);
	assert_string_equal(w.why.text, "the peer said nothing");
	finish();
}

/* ---- with the engine that records ---- */

static void
bytes_go_to_the_engine_and_back(void **state)
{
	(void)state;
	begin(&fake_ops);
	say("PRI", 3);
	say(" hello", 6);
	assert_string_equal(fake.in, "PRI hello");
	memcpy(fake.out, "answer", 6);
	fake.n_out = 6;
	fc_conn_touch(&w.conn);
	fc_conn_touch(&w.conn);
	turn(3);
	assert_true(fake_wrote_all());
	assert_int_equal(fake.outputs, 1);
	assert_memory_equal(w.got, "answer", 6);
	finish();
}

static void
the_engines_timer_ticks(void **state)
{
	(void)state;
	begin(&fake_ops);
	say("PRI ", 4);
	fake.due = w.clock.now + 5 * FC_NS_PER_S;
	fc_conn_touch(&w.conn);
	pass(4 * FC_NS_PER_S);
	assert_int_equal(fake.ticks, 0);
	pass(2 * FC_NS_PER_S);
	assert_int_equal(fake.ticks, 1);
	finish();
}

static void
congestion_stops_reading(void **state)
{
	(void)state;
	begin(&fake_ops);
	say("PRI ", 4);
	fake.congested = true;
	fc_conn_touch(&w.conn);
	turn(2);
	say("unheard", 7);
	assert_string_equal(fake.in, "PRI ");
	fake.congested = false;
	fc_conn_touch(&w.conn);
	turn(4);
	assert_string_equal(fake.in, "PRI unheard");
	finish();
}

/* Fills the way to a client that does not read. */
static void
block(void)
{
	w.pipe->ops->read(w.pipe, false);
	for (int i = 0; i < 1000000 && !w.conn.blocked; i++) {
		fake.n_out = sizeof fake.out;
		fc_conn_touch(&w.conn);
		turn(1);
	}
	assert_true(w.conn.blocked);
}

static void
a_peer_that_takes_nothing_is_left(void **state)
{
	(void)state;
	begin(&fake_ops);
	say("PRI ", 4);
	block();
	pass(60 * FC_NS_PER_S - FC_NS_PER_S);
	assert_false(w.closed);
	say("I still talk", 12);
	pass(2 * FC_NS_PER_S);
	assert_true(w.closed);
	assert_int_equal(fake.ends, 1);
	assert_string_equal(w.why.text, "the peer takes no bytes any more");
	finish();
}

static void
a_peer_that_takes_a_little_is_not_left(void **state)
{
	(void)state;
	begin(&fake_ops);
	say("PRI ", 4);
	for (int i = 0; i < 3; i++) {
		block();
		pass(60 * FC_NS_PER_S - FC_NS_PER_S);
		w.n_got = 0;
		w.pipe->ops->read(w.pipe, true);
		turn(4);
	}
	assert_false(w.closed);
	finish();
}

static void
a_dead_engine_says_goodbye_first(void **state)
{
	(void)state;
	begin(&fake_ops);
	say("PRI die", 7);
	assert_memory_equal(w.got, "goodbye", 7);
	assert_true(w.ended);
	assert_false(w.closed); /* it lingers for the peer's end */
	w.pipe->ops->shutdown(w.pipe);
	turn(4);
	assert_true(w.closed);
	assert_string_equal(w.why.text, "it said die");
	finish();
}

static void
a_peer_that_never_ends_is_left_after_a_second(void **state)
{
	(void)state;
	begin(&fake_ops);
	say("PRI ", 4);
	fc_conn_close(&w.conn, FARCALL_OK, "bye");
	turn(3);
	assert_memory_equal(w.got, "bye", 3);
	pass(FC_NS_PER_S - 10 * FC_NS_PER_MS);
	assert_false(w.closed);
	pass(20 * FC_NS_PER_MS);
	assert_true(w.closed);
	assert_int_equal(w.why.code, FARCALL_OK);
	finish();
}

/* Blocked, with three rings' worth to say, and told to drain. */
static void
begin_slow_flush(void)
{
	begin(&fake_ops);
	say("PRI ", 4);
	w.sips = true;
	w.pipe->ops->read(w.pipe, false);
	fake.bulk = 3 * 65536;
	fc_conn_touch(&w.conn);
	turn(3);
	assert_int_equal(fake.bulk, 2 * 65536);
	fc_conn_drain(&w.conn, "");
}

static void
a_slow_flush_goes_on_while_it_moves(void **state)
{
	(void)state;
	begin_slow_flush();
	pass(10 * FC_NS_PER_S - 10 * FC_NS_PER_MS);
	w.pipe->ops->read(w.pipe, true);
	turn(4);
	assert_int_equal(fake.bulk, 65536);
	pass(10 * FC_NS_PER_S - 10 * FC_NS_PER_MS);
	assert_false(w.closed);
	w.pipe->ops->read(w.pipe, true);
	turn(4);
	assert_int_equal(fake.bulk, 0); /* now the linger begins */
	pass(FC_NS_PER_S - 10 * FC_NS_PER_MS);
	assert_false(w.closed);
	pass(20 * FC_NS_PER_MS);
	assert_true(w.closed);
	finish();
}

static void
a_flush_that_does_not_move_ends(void **state)
{
	(void)state;
	begin_slow_flush();
	pass(10 * FC_NS_PER_S - 10 * FC_NS_PER_MS);
	assert_false(w.closed);
	pass(20 * FC_NS_PER_MS);
	assert_true(w.closed);
	assert_int_equal(fake.bulk, 2 * 65536);
	finish();
}

static void
closing_hurries_a_slow_flush(void **state)
{
	(void)state;
	begin_slow_flush();
	turn(2);
	fc_conn_close(&w.conn, FARCALL_OK, "");
	pass(FC_NS_PER_S / 2);
	w.pipe->ops->read(w.pipe, true);
	turn(4);
	assert_int_equal(fake.bulk, 65536);
	pass(FC_NS_PER_S / 2 - 10 * FC_NS_PER_MS);
	assert_false(w.closed);
	pass(20 * FC_NS_PER_MS);
	assert_true(w.closed);
	finish();
}

static void
the_peers_end_reaches_the_engine_once(void **state)
{
	(void)state;
	begin(&fake_ops);
	say("PRI ", 4);
	w.pipe->ops->shutdown(w.pipe);
	turn(4);
	assert_int_equal(fake.ends, 1);
	assert_true(w.closed);
	finish();
}

static void
a_drained_engine_closes(void **state)
{
	(void)state;
	begin(&fake_ops);
	say("PRI ", 4);
	fc_conn_drain(&w.conn, "");
	turn(3);
	assert_true(w.ended);
	w.pipe->ops->close(w.pipe);
	w.pipe = NULL;
	turn(4);
	assert_true(w.closed);
	assert_int_equal(w.why.code, FARCALL_OK);
	finish();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(the_preface_is_picked_byte_by_byte),
	    clean_test(others_are_turned_away),
	    clean_test(silence_lasts_ten_seconds),
	    clean_test(bytes_go_to_the_engine_and_back),
	    clean_test(the_engines_timer_ticks),
	    clean_test(congestion_stops_reading),
	    clean_test(a_peer_that_takes_nothing_is_left),
	    clean_test(a_peer_that_takes_a_little_is_not_left),
	    clean_test(a_dead_engine_says_goodbye_first),
	    clean_test(a_peer_that_never_ends_is_left_after_a_second),
	    clean_test(a_slow_flush_goes_on_while_it_moves),
	    clean_test(a_flush_that_does_not_move_ends),
	    clean_test(closing_hurries_a_slow_flush),
	    clean_test(the_peers_end_reaches_the_engine_once),
	    clean_test(a_drained_engine_closes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
