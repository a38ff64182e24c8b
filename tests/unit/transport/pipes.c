#include "tests/unit/transport/pipes.h"

#include <stdio.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <unistd.h>

uint8_t
stream_byte(uint64_t seed, size_t at)
{
	uint64_t x = (seed + at) * UINT64_C(0x9e3779b97f4a7c15);

	return (uint8_t)(x >> 56 ^ x >> 32);
}

/* ---- sides ---- */

static void
note(side *s, enum event event)
{
	assert_int_equal(s->told & ON_LOST, 0); /* the last one */
	assert_non_null(s->pipe);
	s->told |= event;
	if ((s->close_in & event) != 0)
		side_close(s);
}

static void
on_open(void *owner)
{
	side *s = (side *)owner;

	assert_int_equal(s->told & ON_OPEN, 0);
	note(s, ON_OPEN);
	if (s->pipe != NULL)
		side_pump(s);
}

static void
run_resume(fc_task *task)
{
	side *s = FC_CONTAINER(task, side, resume);

	if (s->pipe != NULL && (s->told & ON_LOST) == 0)
		s->pipe->ops->read(s->pipe, true);
}

static void
on_bytes(void *owner, const uint8_t *bytes, size_t size)
{
	side *s = (side *)owner;

	assert_int_equal(s->told & ON_END, 0);
	assert_true(size > 0 && size <= FC_LOOP_SCRATCH);
	for (size_t i = 0; i < size && s->check; i++)
		if (bytes[i] != stream_byte(s->get_seed, s->got + i))
			fail_msg("byte %zu is wrong", s->got + i);
	s->got += size;
	note(s, ON_BYTES);
	if (s->pipe != NULL && s->pauses && test_random_below(&s->random, 3) == 0) {
		s->pipe->ops->read(s->pipe, false);
		fc_loop_ready(s->world->loop, &s->resume);
	}
}

static void
on_end(void *owner)
{
	side *s = (side *)owner;

	assert_int_equal(s->told & ON_END, 0);
	note(s, ON_END);
}

static void
on_writable(void *owner)
{
	side *s = (side *)owner;

	s->n_writable++;
	note(s, ON_WRITABLE);
	if (s->pipe != NULL)
		side_pump(s);
}

static void
on_lost(void *owner, const fc_error *why)
{
	side *s = (side *)owner;

	assert_int_not_equal(why->code, FARCALL_OK);
	s->why = *why;
	note(s, ON_LOST);
}

static const fc_pipe_events events = {on_open, on_bytes, on_end, on_writable, on_lost};

static void
init_side(side *s, world *w, uint64_t send_seed, uint64_t get_seed)
{
	memset(s, 0, sizeof *s);
	s->world = w;
	s->send_seed = send_seed;
	s->get_seed = get_seed;
	s->check = true;
	s->resume.run = run_resume;
	test_random_seed(&s->random, send_seed);
}

#define CHUNK 30000

void
side_pump(side *s)
{
	static uint8_t bytes[CHUNK];

	while (s->sent < s->to_send && (s->told & ON_LOST) == 0) {
		size_t size = 1 + test_random_below(&s->random, CHUNK), taken, cut;
		fc_piece pieces[3];

		size = FC_MIN(size, s->to_send - s->sent);
		for (size_t i = 0; i < size; i++)
			bytes[i] = stream_byte(s->send_seed, s->sent + i);
		cut = test_random_below(&s->random, (uint32_t)size + 1);
		pieces[0].at = bytes;
		pieces[0].size = cut;
		pieces[1].at = NULL;
		pieces[1].size = 0;
		pieces[2].at = bytes + cut;
		pieces[2].size = size - cut;
		taken = s->pipe->ops->write(s->pipe, pieces, 3);
		assert_true(taken <= size);
		s->sent += taken;
		if (taken < size)
			return;
	}
	if (s->shut_when_sent && !s->shut) {
		s->shut = true;
		s->pipe->ops->shutdown(s->pipe);
	}
}

void
side_close(side *s)
{
	fc_pipe *pipe = s->pipe;

	s->pipe = NULL;
	if (pipe != NULL)
		pipe->ops->close(pipe);
}

bool
side_done(const side *s)
{
	return s->sent == s->to_send && (s->told & ON_END) != 0;
}

/* ---- world ---- */

static void
on_accept(void *owner, fc_accepted *accepted)
{
	world *w = (world *)owner;
	int i = w->n_servers;
	fc_error error;
	side *s;

	if (w->n_refuse > 0) {
		w->n_refuse--;
		fc_accepted_refuse(accepted);
		return;
	}
	assert_true(i < SIDES);
	s = &w->servers[i];
	w->n_servers++;
	init_side(s, w, 2000 + (uint64_t)i, 1000 + (uint64_t)i);
	fc_error_clear(&error);
	s->pipe = fc_pipe_adopt(w->loop, accepted, &events, s, &error);
	if (s->pipe == NULL) {
		assert_true(test_allocator_failed());
		return;
	}
	s->pipe->ops->read(s->pipe, true);
}

void
world_open(world *w, const variant *v)
{
	fc_error error;

	memset(w, 0, sizeof *w);
	w->variant = v;
	w->clock.now = 1;
	w->clock.is_virtual = true;
	w->inherited = -1;
	if (v->filter.options != NULL)
		chop_filter_install(v->filter.options);
	fc_error_clear(&error);
	w->loop = fc_loop_open(v->kind.socket ? NULL : &w->clock, &error);
	assert_non_null(w->loop);
}

static int
listening_socket(void)
{
	struct sockaddr_in address;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	memset(&address, 0, sizeof address);
	address.sin_family = AF_INET;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(fd, 100), 0);
	return fd;
}

typedef struct found {
	bool done;
	fc_place place;
	fc_error error;
} found;

static void
on_found(void *owner, const fc_place *places, size_t n, const fc_error *error)
{
	found *f = (found *)owner;

	f->done = true;
	if (error == NULL) {
		assert_true(n >= 1);
		f->place = places[0];
	} else {
		f->error = *error;
	}
}

static void
find_place(world *w, const char *text)
{
	fc_address address;
	fc_error error;
	found f;

	memset(&f, 0, sizeof f);
	fc_error_clear(&error);
	assert_int_equal(fc_address_parse(&address, text, &error), FARCALL_OK);
	assert_non_null(fc_lookup_start(w->loop, &address, on_found, &f, &error));
	fc_address_fini(&address);
	world_until(w, f.done);
	assert_int_equal(f.error.code, FARCALL_OK);
	w->place = f.place;
}

farcall_code
world_start(world *w, fc_error *error)
{
	return fc_listener_start(w->listener, w->loop, on_accept, w, error);
}

void
world_listen(world *w)
{
	const kind *k = &w->variant->kind;
	char text[128], to[160];
	fc_address address;
	fc_error error;
	const char *port;

	snprintf(w->path, sizeof w->path, "/tmp/farcall-test-%d", (int)getpid());
	if (strcmp(k->name, "fd") == 0) {
		w->inherited = listening_socket();
		snprintf(text, sizeof text, "fd:%d", w->inherited);
	} else {
		snprintf(text, sizeof text, k->address, w->path);
	}
	fc_error_clear(&error);
	assert_int_equal(fc_address_parse(&address, text, &error), FARCALL_OK);
	w->listener = fc_listener_open(&address, &error);
	fc_address_fini(&address);
	if (w->listener == NULL)
		fail_msg("%s", error.text);
	assert_int_equal(fc_listener_start(w->listener, w->loop, on_accept, w, &error), FARCALL_OK);
	if (k->connect_to == NULL) {
		w->place = *fc_listener_place(w->listener, 0);
		return;
	}
	port = strrchr(fc_listener_place(w->listener, 0)->text, ':');
	snprintf(to, sizeof to, "%s%s", k->connect_to, port);
	find_place(w, to);
}

void
world_stop_listening(world *w)
{
	fc_listener_close(w->listener);
	w->listener = NULL;
}

side *
world_try_connect(world *w, fc_error *error)
{
	int i = w->n_clients;
	side *s = &w->clients[i];

	assert_true(i < SIDES);
	init_side(s, w, 1000 + (uint64_t)i, 2000 + (uint64_t)i);
	s->pipe = fc_pipe_connect(w->loop, &w->place, &events, s, error);
	if (s->pipe == NULL)
		return NULL;
	w->n_clients++;
	s->pipe->ops->read(s->pipe, true);
	return s;
}

side *
world_connect(world *w)
{
	fc_error error;
	side *s;

	fc_error_clear(&error);
	s = world_try_connect(w, &error);
	if (s == NULL)
		fail_msg("%s", error.text);
	assert_int_equal(s->told, 0); /* nothing inside the call */
	return s;
}

side *
world_pair(world *w, side **server)
{
	int n = w->n_servers;
	side *client = world_connect(w);

	world_until(w, (client->told & ON_OPEN) != 0 && w->n_servers > n);
	*server = &w->servers[n];
	return client;
}

void
world_turns(world *w, int n)
{
	while (n-- > 0)
		fc_loop_turn(w->loop, FC_NS_PER_MS);
}

void
world_close(world *w)
{
	for (int i = 0; i < w->n_clients; i++)
		side_close(&w->clients[i]);
	for (int i = 0; i < w->n_servers; i++)
		side_close(&w->servers[i]);
	if (w->listener != NULL)
		fc_listener_close(w->listener);
	fc_loop_close(w->loop);
	chop_filter_remove();
}
