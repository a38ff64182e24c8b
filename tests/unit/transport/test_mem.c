/*
 * test_mem.c: mem pipes between threads; pipes on a loop inside a uv_loop_t; a filter that ends a
 * direction early.
 */
#include "tests/unit/transport/pipes.h"

#include "runtime/loop/thread.h"

#include <farcall/uv.h>

#define TOTAL (4u << 20)

/* One end on a loop of its own thread: sends TOTAL bytes, and reads as many. */
typedef struct end {
	fc_loop *loop;
	fc_pipe *pipe;
	uint64_t send_seed, get_seed;
	size_t sent, got;
	bool ended, wrong;
	test_random random;
	fc_thread thread;
	const fc_place *place;
} end;

static void
pump(end *e)
{
	static const size_t chunk = 20000;
	uint8_t bytes[20000];

	while (e->sent < TOTAL) {
		size_t size = 1 + test_random_below(&e->random, (uint32_t)chunk);
		fc_piece piece = {bytes, FC_MIN(size, TOTAL - e->sent)};
		size_t taken;

		for (size_t i = 0; i < piece.size; i++)
			bytes[i] = stream_byte(e->send_seed, e->sent + i);
		taken = e->pipe->ops->write(e->pipe, &piece, 1);
		e->sent += taken;
		if (taken < piece.size)
			return;
	}
	e->pipe->ops->shutdown(e->pipe);
}

static void
on_open(void *owner)
{
	pump((end *)owner);
}

static void
on_bytes(void *owner, const uint8_t *bytes, size_t size)
{
	end *e = (end *)owner;

	for (size_t i = 0; i < size; i++)
		e->wrong |= bytes[i] != stream_byte(e->get_seed, e->got + i);
	e->got += size;
}

static void
on_end(void *owner)
{
	((end *)owner)->ended = true;
}

static void
on_lost(void *owner, const fc_error *why)
{
	(void)why;
	((end *)owner)->wrong = true;
}

static const fc_pipe_events events = {on_open, on_bytes, on_end, on_open, on_lost};

static void
run_client(void *data)
{
	end *e = (end *)data;

	e->loop = fc_loop_open(NULL, NULL);
	e->pipe = fc_pipe_connect(e->loop, e->place, &events, e, NULL);
	e->pipe->ops->read(e->pipe, true);
	while ((!e->ended || e->sent < TOTAL) && !e->wrong)
		fc_loop_turn(e->loop, FC_NEVER);
	e->pipe->ops->close(e->pipe);
	fc_loop_close(e->loop);
}

static void
on_accept(void *owner, fc_accepted *accepted)
{
	end *e = (end *)owner;

	e->pipe = fc_pipe_adopt(e->loop, accepted, &events, e, NULL);
	e->pipe->ops->read(e->pipe, true);
	pump(e);
}

static void
init_end(end *e, uint64_t send_seed, uint64_t get_seed)
{
	memset(e, 0, sizeof *e);
	e->send_seed = send_seed;
	e->get_seed = get_seed;
	test_random_seed(&e->random, send_seed);
}

static void
between_threads(void **state)
{
	static end client, server;
	fc_address address;
	fc_listener *listener;

	(void)state;
	init_end(&client, 1, 2);
	init_end(&server, 2, 1);
	server.loop = fc_loop_open(NULL, NULL);
	assert_int_equal(fc_address_parse(&address, "mem:threads", NULL), FARCALL_OK);
	listener = fc_listener_open(&address, NULL);
	assert_non_null(listener);
	assert_int_equal(
	    fc_listener_start(listener, server.loop, on_accept, &server, NULL), FARCALL_OK);
	client.place = fc_listener_place(listener, 0);
	assert_int_equal(fc_thread_start(&client.thread, run_client, &client, NULL), FARCALL_OK);
	while ((!server.ended || server.sent < TOTAL) && !server.wrong)
		fc_loop_turn(server.loop, FC_NEVER);
	fc_thread_join(&client.thread);
	assert_false(client.wrong || server.wrong);
	assert_int_equal(client.got, TOTAL);
	assert_int_equal(server.got, TOTAL);
	server.pipe->ops->close(server.pipe);
	fc_listener_close(listener);
	fc_address_fini(&address);
	fc_loop_close(server.loop);
}

/* ---- guest ---- */

static void
in_a_guest_loop(void **state)
{
	static const char *const texts[] = {"127.0.0.1:0", "mem:guest"};

	(void)state;
	for (size_t i = 0; i < FC_COUNT(texts); i++) {
		static end client, server;
		fc_address address;
		fc_listener *listener;
		uv_loop_t uv;

		assert_int_equal(uv_loop_init(&uv), 0);
		init_end(&client, 1, 2);
		init_end(&server, 2, 1);
		client.loop = server.loop = farcall_loop_from_uv(&uv);
		assert_int_equal(fc_address_parse(&address, texts[i], NULL), FARCALL_OK);
		listener = fc_listener_open(&address, NULL);
		assert_non_null(listener);
		assert_int_equal(
		    fc_listener_start(listener, server.loop, on_accept, &server, NULL), FARCALL_OK);
		client.pipe = fc_pipe_connect(
		    client.loop, fc_listener_place(listener, 0), &events, &client, NULL);
		client.pipe->ops->read(client.pipe, true);
		while (!client.ended || !server.ended) {
			assert_false(client.wrong || server.wrong);
			assert_int_not_equal(uv_run(&uv, UV_RUN_ONCE), 0);
		}
		assert_int_equal(client.got, TOTAL);
		assert_int_equal(server.got, TOTAL);
		client.pipe->ops->close(client.pipe);
		server.pipe->ops->close(server.pipe);
		fc_listener_close(listener);
		fc_address_fini(&address);
		farcall_loop_free(client.loop);
		assert_int_equal(uv_run(&uv, UV_RUN_DEFAULT), 0);
		assert_int_equal(uv_loop_close(&uv), 0);
	}
}

/* ---- many, of which only some are accepted ---- */

static void
keep_nothing(void *owner, fc_accepted *accepted)
{
	(*(int *)owner)++;
	fc_accepted_refuse(accepted);
}

static int lost;

static void
count_lost(void *owner, const fc_error *why)
{
	(void)owner;
	assert_int_equal(why->code, FARCALL_UNAVAILABLE);
	lost++;
}

static void
ignore(void *owner)
{
	(void)owner;
}

static void
the_backlog_is_bounded(void **state)
{
	static const fc_pipe_events quiet = {ignore, NULL, ignore, ignore, count_lost};
	fc_clock clock = {1, true};
	fc_loop *loop = fc_loop_open(&clock, NULL);
	static fc_pipe *pipes[1025];
	fc_listener *listener;
	fc_address address;
	int accepted = 0;

	(void)state;
	lost = 0;
	assert_int_equal(fc_address_parse(&address, "mem:backlog", NULL), FARCALL_OK);
	listener = fc_listener_open(&address, NULL);
	for (int i = 0; i < 1025; i++) {
		pipes[i] =
		    fc_pipe_connect(loop, fc_listener_place(listener, 0), &quiet, NULL, NULL);
		assert_non_null(pipes[i]);
	}
	fc_loop_turn(loop, 0);
	assert_int_equal(lost, 1); /* the 1025th */
	assert_int_equal(
	    fc_listener_start(listener, loop, keep_nothing, &accepted, NULL), FARCALL_OK);
	for (int i = 0; i < 100; i++)
		fc_loop_turn(loop, 0);
	assert_int_equal(accepted, 1024);
	assert_int_equal(lost, 1025);
	for (int i = 0; i < 1025; i++)
		pipes[i]->ops->close(pipes[i]);
	fc_listener_close(listener);
	fc_address_fini(&address);
	fc_loop_close(loop);
}

/* ---- the filter ---- */

static void
a_filter_ends_a_direction(void **state)
{
	static const chop_options options = {3, 0, false, 20000};
	static const variant v = {{"mem", "mem:half", NULL, false}, {"half", &options}, ""};
	static world w;
	side *client, *server;

	(void)state;
	world_open(&w, &v);
	world_listen(&w);
	client = world_pair(&w, &server);
	client->to_send = 100000;
	side_pump(client);
	world_until(&w, (server->told & ON_END) != 0);
	assert_true(server->got >= 20000 && server->got < 100000);
	assert_int_equal(client->told & (ON_END | ON_LOST), 0);
	world_close(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(between_threads),
	    clean_test(in_a_guest_loop),
	    clean_test(the_backlog_is_bounded),
	    clean_test(a_filter_ends_a_direction),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
