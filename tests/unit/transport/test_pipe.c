/*
 * test_pipe.c: one suite for every kind of pipe, plain and under every filter. An argument picks
 * tests by a part of their name.
 */
#include "tests/unit/transport/pipes.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const kind kinds[] = {
    {"tcp4", "ipv4:127.0.0.1:0", NULL, true},
    {"tcp6", "ipv6:[::1]:0", NULL, true},
    {"dual4", "[::]:0", "127.0.0.1", true},
    {"dual6", "*:0", "[::1]", true},
    {"name", "localhost:0", "localhost", true},
    {"unix", "unix:%s", NULL, true},
    {"fd", "", NULL, true},
    {"mem", "mem:%s", NULL, false},
};

static const chop_options chop = {11, 0, false, 0};
static const chop_options delay = {12, 100000, false, 0};
static const chop_options records = {13, 0, true, 0};

static const filter filters[] = {
    {"plain", NULL},
    {"chop", &chop},
    {"delay", &delay},
    {"records", &records},
};

static world the_world;

static world *
begin(void **state)
{
	world_open(&the_world, (const variant *)*state);
	return &the_world;
}

/* ---- bytes ---- */

static void
exchange(void **state)
{
	world *w = begin(state);
	bool slow = w->variant->filter.options == &delay && w->variant->kind.socket;
	side *client, *server;

	world_listen(w);
	client = world_pair(w, &server);
	client->to_send = slow ? 60000 : 700001;
	server->to_send = slow ? 50000 : 500000;
	client->pauses = server->pauses = true;
	client->shut_when_sent = server->shut_when_sent = true;
	side_pump(client);
	side_pump(server);
	world_until(w, side_done(client) && side_done(server));
	assert_int_equal(client->got, server->to_send);
	assert_int_equal(server->got, client->to_send);
	assert_int_equal((client->told | server->told) & ON_LOST, 0);
	if (w->variant->filter.options == &records)
		assert_true(chop_filter_answers() > 0);
	world_close(w);
}

/* One direction ends long before the other. */
static void
half_close(void **state)
{
	world *w = begin(state);
	side *client, *server;

	world_listen(w);
	client = world_pair(w, &server);
	client->shut_when_sent = server->shut_when_sent = true;
	client->to_send = 5;
	side_pump(client);
	world_until(w, (server->told & ON_END) != 0);
	assert_int_equal(server->got, 5);
	assert_int_equal(client->told & ON_END, 0);
	server->to_send = 30000;
	side_pump(server);
	world_until(w, side_done(client));
	assert_int_equal(client->got, 30000);
	world_close(w);
}

/* What is asked of a pipe before it is open is done when it is. */
static void
before_it_opens(void **state)
{
	world *w = begin(state);
	side *client;

	world_listen(w);
	client = world_connect(w);
	client->to_send = 10000;
	client->shut_when_sent = true;
	side_pump(client);
	world_until(w, w->n_servers == 1 && (w->servers[0].told & ON_END) != 0);
	assert_int_equal(w->servers[0].got, 10000);
	assert_int_equal(client->told & ON_OPEN, ON_OPEN);
	world_close(w);
}

static void
many_pieces(void **state)
{
	static uint8_t bytes[300 * 3];
	static fc_piece pieces[300];
	world *w = begin(state);
	side *client, *server;
	size_t sent = 0, first = 0;

	world_listen(w);
	client = world_pair(w, &server);
	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = stream_byte(client->send_seed, i);
	while (first < 300) {
		size_t taken;

		for (size_t i = first; i < 300; i++) {
			pieces[i].at = bytes + 3 * i;
			pieces[i].size = 3;
		}
		pieces[first].at += sent % 3;
		pieces[first].size -= sent % 3;
		taken = client->pipe->ops->write(client->pipe, pieces + first, 300 - first);
		if (w->variant->filter.options == NULL)
			assert_int_equal(taken, sizeof bytes); /* more than 64 pieces too */
		sent += taken;
		first = sent / 3;
		world_turns(w, 1);
	}
	world_until(w, server->got == sizeof bytes);
	world_close(w);
}

/* A peer that does not read stops the writer after a bounded number of bytes. */
static void
backpressure(void **state)
{
	world *w = begin(state);
	side *client, *server;

	if (w->variant->filter.options == &delay) {
		world_close(w);
		return; /* megabytes, piece by piece */
	}
	world_listen(w);
	client = world_pair(w, &server);
	server->pipe->ops->read(server->pipe, false);
	world_turns(w, 3);
	server->got = 0;
	client->to_send = 64u << 20;
	side_pump(client);
	for (size_t before = 0; before != client->sent;) {
		before = client->sent;
		world_turns(w, 20);
	}
	assert_int_equal(server->got, 0);
	assert_true(client->sent > 0 && client->sent < 32u << 20);
	client->to_send = client->sent + 100000;
	client->shut_when_sent = true;
	client->n_writable = 0;
	server->pipe->ops->read(server->pipe, true);
	world_until(w, (server->told & ON_END) != 0);
	assert_int_equal(server->got, client->to_send);
	assert_true(client->n_writable >= 1);
	world_close(w);
}

static void
no_bytes_while_paused(void **state)
{
	world *w = begin(state);
	side *client, *server;

	world_listen(w);
	client = world_pair(w, &server);
	server->pipe->ops->read(server->pipe, false);
	client->to_send = 100;
	client->shut_when_sent = true;
	side_pump(client);
	world_turns(w, 20);
	assert_int_equal(server->told & (ON_BYTES | ON_END), 0);
	server->pipe->ops->read(server->pipe, true);
	world_until(w, (server->told & ON_END) != 0);
	assert_int_equal(server->got, 100);
	world_close(w);
}

/* Turns that the loop makes in a moment when nothing happens. */
static int
idle_turns(world *w)
{
	uint64_t begin = uv_hrtime();
	int turns = 0;

	for (; uv_hrtime() - begin < 40 * FC_NS_PER_MS; turns++)
		fc_loop_turn(w->loop, 10 * FC_NS_PER_MS);
	return turns;
}

/* Neither bytes that nobody wants to read, nor the end, nor room that nobody needs keeps the loop
 * awake. */
static void
no_spin(void **state)
{
	world *w = begin(state);
	side *client, *server;

	if (!w->variant->kind.socket || w->variant->filter.options != NULL) {
		world_close(w);
		return; /* virtual time; or the filter's own timers */
	}
	world_listen(w);
	client = world_pair(w, &server);
	server->pipe->ops->read(server->pipe, false);
	client->to_send = 100;
	client->shut_when_sent = true;
	side_pump(client);
	world_turns(w, 5);
	assert_in_range(idle_turns(w), 1, 12);
	server->pipe->ops->read(server->pipe, true);
	world_until(w, (server->told & ON_END) != 0);
	assert_in_range(idle_turns(w), 1, 12);
	client->check = false;
	server->to_send = 12u << 20;
	side_pump(server);
	world_until(w, client->got == server->to_send || server->n_writable > 3);
	assert_true(server->n_writable > 0);
	server->to_send = server->sent;
	world_until(w, client->got == server->to_send);
	assert_in_range(idle_turns(w), 1, 12);
	world_close(w);
}

/* ---- ends ---- */

static void
close_in(void **state, unsigned event)
{
	world *w = begin(state);
	side *client, *server;

	world_listen(w);
	client = world_connect(w);
	client->close_in = event;
	client->to_send = event == ON_WRITABLE ? 20u << 20 : 100000;
	world_until(w, client->pipe == NULL || w->n_servers == 1);
	world_until(w, w->n_servers == 1);
	server = &w->servers[0];
	server->check = false;
	server->to_send = 10;
	server->shut_when_sent = true;
	side_pump(server);
	if (event == ON_LOST) {
		world_until(w, (client->told & ON_END) != 0);
		side_close(server);
		for (int i = 0; i < 2000 && client->pipe != NULL; i++) {
			client->to_send += 1000;
			side_pump(client);
			world_turns(w, 1);
		}
	}
	world_until(w, client->pipe == NULL);
	assert_true((client->told & event) != 0);
	/* nothing more comes, and the peer notices */
	if (server->pipe != NULL) {
		server->to_send = 1u << 30;
		server->shut_when_sent = false;
		world_until(w, (server->told & (ON_END | ON_LOST)) != 0);
	}
	world_turns(w, 5);
	world_close(w);
}

static void
close_in_open(void **state)
{
	close_in(state, ON_OPEN);
}

static void
close_in_bytes(void **state)
{
	close_in(state, ON_BYTES);
}

static void
close_in_end(void **state)
{
	close_in(state, ON_END);
}

static void
close_in_writable(void **state)
{
	close_in(state, ON_WRITABLE);
}

static void
close_in_lost(void **state)
{
	close_in(state, ON_LOST);
}

static void
close_before_open(void **state)
{
	world *w = begin(state);
	side *client;

	world_listen(w);
	client = world_connect(w);
	side_close(client);
	world_turns(w, 10);
	assert_int_equal(client->told, 0);
	world_close(w);
}

/* Who writes to a peer that is gone learns of it, and the process lives. */
static void
lost_peer(void **state)
{
	world *w = begin(state);
	side *client, *server;

	world_listen(w);
	client = world_pair(w, &server);
	client->to_send = 100;
	side_pump(client);
	world_until(w, server->got > 0);
	side_close(server);
	for (int i = 0; i < 2000 && (client->told & ON_LOST) == 0; i++) {
		client->to_send += 100;
		side_pump(client);
		world_turns(w, 1);
	}
	assert_int_equal(client->told & ON_LOST, ON_LOST);
	assert_int_equal(client->why.code, FARCALL_UNAVAILABLE);
	assert_true(client->why.cause == FARCALL_CAUSE_CONNECTION_RESET ||
	    client->why.cause == FARCALL_CAUSE_CONNECTION_LOST);
	world_close(w);
}

static void
refused(void **state)
{
	world *w = begin(state);
	char text[200];
	side *client;

	world_listen(w);
	world_stop_listening(w);
	world_turns(w, 2);
	client = world_connect(w);
	world_until(w, client->told != 0);
	assert_int_equal(client->told, ON_LOST);
	assert_int_equal(client->why.code, FARCALL_UNAVAILABLE);
	if (strcmp(w->variant->kind.name, "unix") == 0) {
		snprintf(text, sizeof text, "connect unix:%s: no such file or directory", w->path);
	} else {
		assert_int_equal(client->why.cause, FARCALL_CAUSE_CONNECTION_REFUSED);
		snprintf(
		    text, sizeof text, "connect %s: connection refused", fc_place_short(&w->place));
	}
	assert_string_equal(client->why.text, text);
	world_close(w);
}

/* The server refuses what it has accepted. */
static void
turned_away(void **state)
{
	world *w = begin(state);
	side *client;

	world_listen(w);
	w->n_refuse = 1;
	client = world_connect(w);
	world_until(w, (client->told & (ON_END | ON_LOST)) != 0);
	assert_int_equal(w->n_servers, 0);
	assert_int_equal(client->got, 0);
	world_close(w);
}

static bool
all_done(const world *w, int n)
{
	for (int i = 0; i < n; i++)
		if (!side_done(&w->clients[i]) || !side_done(&w->servers[i]))
			return false;
	return true;
}

static void
hundred_connections(void **state)
{
	world *w = begin(state);

	world_listen(w);
	for (int i = 0; i < 100; i++) {
		world_connect(w);
		w->clients[i].check = false; /* who is whose server is not known */
	}
	world_until(w, w->n_servers == 100);
	for (int i = 0; i < 100; i++) {
		w->servers[i].check = false;
		w->clients[i].to_send = w->servers[i].to_send = 1000 + (unsigned)i;
		w->clients[i].shut_when_sent = w->servers[i].shut_when_sent = true;
		if ((w->clients[i].told & ON_OPEN) != 0)
			side_pump(&w->clients[i]);
		side_pump(&w->servers[i]);
	}
	world_until(w, all_done(w, 100));
	world_close(w);
}

/* ---- peers ---- */

static void
peers(void **state)
{
	world *w = begin(state);
	const char *name = w->variant->kind.name;
	side *client, *server;
	fc_peer peer;

	world_listen(w);
	client = world_pair(w, &server);
	server->pipe->ops->peer(server->pipe, &peer);
	assert_true(peer.local);
	if (strcmp(name, "unix") == 0) {
		assert_string_equal(peer.text, "unix:");
	} else if (strcmp(name, "mem") == 0) {
		assert_memory_equal(peer.text, "mem:", 4);
	} else if (strcmp(name, "tcp6") == 0 || strcmp(name, "dual6") == 0) {
		assert_memory_equal(peer.text, "ipv6:[::1]:", 11);
	} else if (strcmp(name, "name") != 0) {
		assert_memory_equal(peer.text, "ipv4:127.0.0.1:", 15);
	}
	assert_int_equal(peer.has_ids, strcmp(name, "unix") == 0 || strcmp(name, "mem") == 0);
	if (peer.has_ids) {
		assert_int_equal(peer.uid, geteuid());
		assert_int_equal(peer.gid, getegid());
		assert_int_equal(peer.pid, getpid());
	} else {
		assert_int_equal(peer.uid, -1);
	}
	client->pipe->ops->peer(client->pipe, &peer);
	assert_string_equal(peer.text, w->place.text);
	world_close(w);
}

/* ---- the table of tests ---- */

typedef struct entry {
	const char *name;
	CMUnitTestFunction run;
} entry;

static const entry entries[] = {
    {"exchange", exchange},
    {"half_close", half_close},
    {"before_it_opens", before_it_opens},
    {"many_pieces", many_pieces},
    {"backpressure", backpressure},
    {"no_bytes_while_paused", no_bytes_while_paused},
    {"no_spin", no_spin},
    {"close_in_open", close_in_open},
    {"close_in_bytes", close_in_bytes},
    {"close_in_end", close_in_end},
    {"close_in_writable", close_in_writable},
    {"close_in_lost", close_in_lost},
    {"close_before_open", close_before_open},
    {"lost_peer", lost_peer},
    {"refused", refused},
    {"turned_away", turned_away},
    {"hundred_connections", hundred_connections},
    {"peers", peers},
};

#define VARIANTS (FC_COUNT(kinds) * FC_COUNT(filters) * FC_COUNT(entries))

int
main(int argc, char **argv)
{
	static struct CMUnitTest tests[VARIANTS];
	static variant variants[VARIANTS];
	size_t n = 0;

	for (size_t k = 0; k < FC_COUNT(kinds); k++) {
		for (size_t f = 0; f < FC_COUNT(filters); f++) {
			for (size_t e = 0; e < FC_COUNT(entries); e++) {
				variant *v = &variants[n];

				v->kind = kinds[k];
				v->filter = filters[f];
				snprintf(v->name, sizeof v->name, "%s/%s/%s", kinds[k].name,
				    filters[f].name, entries[e].name);
				if (argc > 1 && strstr(v->name, argv[1]) == NULL)
					continue;
				tests[n].name = v->name;
				tests[n].test_func = entries[e].run;
				tests[n].setup_func = test_clean_setup;
				tests[n].teardown_func = test_clean_teardown;
				tests[n].initial_state = v;
				n++;
			}
		}
	}
	return _cmocka_run_group_tests("pipes", tests, n, NULL, NULL);
}
