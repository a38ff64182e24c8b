/*
 * loops.c: a server's loops, from start to the end. Each has its own connections, calls, threads
 * and memory; they share nothing that a call touches but the limits, of which each owns a share.
 */
#include "server/internal.h"

#include "runtime/base/alloc.h"

static void
configure(fc_server_loop *at)
{
	const farcall_server *server = at->server;
	fc_engine_config *config = &at->config;

	config->client = false;
	config->pool = fc_loop_pool(at->loop);
	config->max_message = server->max_message;
	config->max_metadata = server->max_metadata;
	config->max_streams = (uint32_t)FC_MIN(server->max_calls, 1024);
	config->stream_window = 1u << 20;
	config->connection_window = FC_CONN_WINDOW;
	config->settings_timeout_ns = 10 * FC_NS_PER_S;
	config->codings = FC_CODING_GZIP | FC_CODING_DEFLATE;
	fc_lifecycle_configure(server, config);
}

static void
init(fc_server_loop *at, farcall_server *server, unsigned index)
{
	at->server = server;
	at->index = index;
	at->calls = &server->calls.shares[index];
	at->alone = server->n_loops == 1;
	at->state = FC_SERVER_RUNNING;
	fc_list_init(&at->conns);
	fc_list_init(&at->fresh);
	at->arm.run = fc_dispatch_arm;
	at->stop.run = fc_server_stop_there;
	at->gone.run = fc_server_loop_gone;
	fc_timer_init(&at->grace, fc_server_on_grace);
	fc_spin_init(&at->calls_lock);
	atomic_init(&at->n_conns, 0);
	atomic_init(&at->n_pended, 0);
	atomic_init(&at->told, false);
}

static void
close_one(fc_server_loop *at)
{
	if (at->loop != NULL && (at->index != 0 || !at->server->lent))
		fc_loop_close(at->loop);
	fc_crew_close(at->crew);
	fc_server_calls_free(at);
	fc_free(at->routes);
	fc_free(at->kinds);
	fc_mutex_fini(&at->lock);
	fc_free(at);
}

static farcall_code
open_one(farcall_server *server, unsigned index, fc_error *error)
{
	fc_server_loop *at = (fc_server_loop *)fc_calloc(1, sizeof *at);
	const fc_crew_config crew = {.threads = (unsigned)server->handler_threads,
	    .queue = (unsigned)server->handler_queue,
	    .serial = server->serial,
	    .on_short = fc_server_on_short,
	    .data = at};

	if (at == NULL)
		return fc_fail_memory(error, "start");
	if (fc_mutex_init(&at->lock, error) != FARCALL_OK) {
		fc_free(at);
		return error->code;
	}
	init(at, server, index);
	server->loops[index] = at;
	at->loop = index == 0 && server->lent ? server->loop : fc_loop_open(NULL, error);
	if (at->loop == NULL)
		return error->code;
	configure(at);
	at->crew = fc_crew_open(at->loop, &crew, error);
	if (at->crew == NULL)
		return error->code;
	return fc_routes_make(at, error);
}

farcall_code
fc_loops_open(farcall_server *server, fc_error *error)
{
	unsigned n = (unsigned)server->n_loops;

	if (!fc_quota_init(&server->calls, n, server->max_calls))
		return fc_fail_memory(error, "start");
	server->loops = (fc_server_loop **)fc_calloc(n, sizeof(fc_server_loop *));
	if (server->loops == NULL)
		return fc_fail_memory(error, "start");
	for (unsigned i = 0; i < n; i++)
		if (open_one(server, i, error) != FARCALL_OK)
			return error->code;
	server->loop = server->loops[0]->loop;
	return FARCALL_OK;
}

bool
fc_loop_has_stopped(void *at)
{
	return ((const fc_server_loop *)at)->state == FC_SERVER_STOPPED;
}

static void
run(void *data)
{
	fc_server_loop *at = (fc_server_loop *)data;

	fc_crew_run(at->crew, fc_loop_has_stopped, at);
}

/* Those that could not be started do not run, and get no connections. */
farcall_code
fc_loops_start(farcall_server *server, fc_error *error)
{
	server->n_up = 1;
	while (server->n_up < server->n_loops) {
		fc_server_loop *at = server->loops[server->n_up];

		if (fc_thread_start(&at->thread, run, at, error) != FARCALL_OK)
			return error->code;
		server->n_up++;
		server->n_others++;
	}
	return FARCALL_OK;
}

void
fc_loops_join(farcall_server *server)
{
	for (unsigned i = 1; i < server->n_up; i++)
		fc_thread_join(&server->loops[i]->thread);
}

void
fc_loops_close(farcall_server *server)
{
	if (server->loops == NULL)
		return;
	for (size_t i = 0; i < server->n_loops; i++)
		if (server->loops[i] != NULL)
			close_one(server->loops[i]);
	fc_free(server->loops);
}

/* ---- which of them ---- */

bool
fc_loops_inside(const farcall_server *server)
{
	for (size_t i = 0; server->loops != NULL && i < server->n_loops; i++) {
		const fc_server_loop *at = server->loops[i];

		if (at != NULL && at->crew != NULL &&
		    (fc_loop_inside(at->loop) || fc_crew_inside(at->crew)))
			return true;
	}
	return false;
}

fc_server_loop *
fc_loops_least(const farcall_server *server)
{
	fc_server_loop *least = server->loops[0];
	size_t fewest = atomic_load_explicit(&least->n_conns, memory_order_relaxed);

	for (unsigned i = 1; i < server->n_up && fewest != 0; i++) {
		fc_server_loop *at = server->loops[i];
		size_t n = atomic_load_explicit(&at->n_conns, memory_order_relaxed);

		if (n < fewest) {
			least = at;
			fewest = n;
		}
	}
	return least;
}

size_t
fc_loops_conns(const farcall_server *server)
{
	size_t n = 0;

	for (unsigned i = 0; i < server->n_up; i++)
		n += atomic_load(&server->loops[i]->n_conns);
	return n;
}
