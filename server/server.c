/*
 * server.c: the server object: settings, the error that sticks, running and freeing it. Nothing
 * happens before start() or listen() but what can fail early: parsing, binding, copying.
 */
#include "server/internal.h"

#include "runtime/base/alloc.h"
#include "runtime/base/log.h"
#include "runtime/loop/fork.h"

#include <string.h>

#define TURNS_AFTER_STOP 100 /* others on a lent loop may never be done */

static farcall_server nil_server = {
    .nil = true,
    .error = {FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_OUT_OF_MEMORY, "server: out of memory"},
};

/* ---- settings ---- */

farcall_code
fc_server_fail(farcall_server *server, const fc_error *error)
{
	if (server->error.code == FARCALL_OK && !server->nil)
		server->error = *error;
	return server->error.code;
}

/* Beside `error`, which is the loop's owner's to read while the server runs. One that has stopped
 * keeps its outcome. */
static farcall_code
fail_late(farcall_server *server, const char *step)
{
	fc_log(FARCALL_LOG_ERROR, "%s: the server has started already", step);
	if (atomic_load(&server->state) == FC_SERVER_STOPPED)
		return FARCALL_FAILED_PRECONDITION;
	fc_lock(&server->lock);
	if (!atomic_load(&server->is_late))
		fc_fail(&server->late, FARCALL_FAILED_PRECONDITION, FARCALL_CAUSE_NONE,
		    "%s: the server has started already", step);
	atomic_store(&server->is_late, true);
	fc_unlock(&server->lock);
	return FARCALL_FAILED_PRECONDITION;
}

bool
fc_server_in_setup(farcall_server *server, const char *step)
{
	if (server == NULL || server->error.code != FARCALL_OK)
		return false;
	if (fc_server_forked(server, step))
		return false;
	if (atomic_load(&server->state) == FC_SERVER_SETUP)
		return true;
	fail_late(server, step);
	return false;
}

static void
set_size(farcall_server *server, size_t *setting, const char *name, size_t value, size_t least,
    size_t most)
{
	if (!fc_server_in_setup(server, name))
		return;
	if (value < least && most == SIZE_MAX)
		fc_fail(&server->error, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_NONE,
		    "%s: %zu is not at least %zu", name, value, least);
	else if (value < least || value > most)
		fc_fail(&server->error, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_NONE,
		    "%s: %zu is not within %zu and %zu", name, value, least, most);
	else
		*setting = value;
}

void
farcall_server_set_max_connections(farcall_server *server, size_t most)
{
	if (server != NULL)
		set_size(server, &server->max_connections, "max connections", most, 1, 1000000);
}

void
farcall_server_set_max_calls(farcall_server *server, size_t most)
{
	if (server != NULL)
		set_size(server, &server->max_calls, "max calls", most, 1, SIZE_MAX);
}

void
farcall_server_set_max_message(farcall_server *server, size_t bytes)
{
	if (server != NULL)
		set_size(server, &server->max_message, "max message", bytes, 1, INT32_MAX);
}

void
farcall_server_set_max_metadata(farcall_server *server, size_t bytes)
{
	if (server != NULL)
		set_size(server, &server->max_metadata, "max metadata", bytes, 1024, 1 << 16);
}

void
farcall_server_set_handler_threads(farcall_server *server, unsigned most)
{
	if (server != NULL)
		set_size(server, &server->handler_threads, "handler threads", most, 1,
		    FC_CREW_THREADS_MOST);
}

void
farcall_server_set_handler_queue(farcall_server *server, unsigned most)
{
	if (server != NULL)
		set_size(
		    server, &server->handler_queue, "handler queue", most, 1, FC_CREW_QUEUE_MOST);
}

void
farcall_server_set_loops(farcall_server *server, unsigned loops)
{
	if (server != NULL)
		set_size(server, &server->n_loops, "loops", loops, 1, FC_SERVER_LOOPS_MOST);
}

void
farcall_server_set_compression(farcall_server *server, farcall_coding coding)
{
	if (fc_server_in_setup(server, "set compression"))
		fc_coding_check(coding, &server->coding, &server->error);
}

void
farcall_server_set_peer_timeout_ms(farcall_server *server, uint64_t ms)
{
	size_t value = (size_t)FC_MIN(ms, SIZE_MAX);

	if (!fc_server_in_setup(server, "set peer time-out"))
		return;
	if (value != 0)
		set_size(server, &value, "peer time-out", value, FC_SERVER_PEER_TIMEOUT_LEAST_MS,
		    FC_SERVER_PEER_TIMEOUT_MOST_MS);
	if (server->error.code != FARCALL_OK)
		return;
	server->peer_timeout_ms = (unsigned)value;
	server->peer_timeout_set = true;
}

void
farcall_server_set_serial(farcall_server *server, bool serial)
{
	if (fc_server_in_setup(server, "set serial"))
		server->serial = serial;
}

void
farcall_server_stop_on_signals(farcall_server *server)
{
	if (fc_server_in_setup(server, "stop on signals"))
		server->on_signals = true;
}

void
farcall_server_set_loop(farcall_server *server, farcall_loop *loop)
{
	fc_error error;

	if (!fc_server_in_setup(server, "set loop"))
		return;
	fc_error_clear(&error);
	if (loop == NULL || server->loop != NULL)
		fc_fail(&error, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_NONE,
		    loop == NULL ? "set loop: NULL" : "set loop: it has a loop already");
	else
		fc_loop_failure(loop, &error);
	if (error.code != FARCALL_OK) {
		fc_server_fail(server, &error);
		return;
	}
	fc_loop_hold(loop);
	server->loop = loop;
	server->lent = true;
}

static const fc_error *
shown(const farcall_server *server)
{
	if (server->error.code == FARCALL_OK && atomic_load(&server->is_late))
		return &server->late;
	return &server->error;
}

farcall_code
farcall_server_code(const farcall_server *server)
{
	return server != NULL ? shown(server)->code : FARCALL_FAILED_PRECONDITION;
}

farcall_cause
farcall_server_cause(const farcall_server *server)
{
	if (server == NULL || shown(server)->code == FARCALL_OK)
		return FARCALL_CAUSE_NONE;
	return shown(server)->cause;
}

const char *
farcall_server_error(const farcall_server *server)
{
	if (server == NULL)
		return "the server is NULL";
	return shown(server)->code != FARCALL_OK ? shown(server)->text : "";
}

/* ---- life ---- */

farcall_server *
farcall_server_new(void)
{
	farcall_server *server = (farcall_server *)fc_calloc(1, sizeof *server);

	if (server == NULL)
		return &nil_server;
	if (fc_mutex_init(&server->lock, &server->error) != FARCALL_OK) {
		fc_free(server);
		return &nil_server;
	}
	if (fc_cond_init(&server->stopped, &server->error) != FARCALL_OK) {
		fc_mutex_fini(&server->lock);
		fc_free(server);
		return &nil_server;
	}
	fc_refs_init(&server->refs);
	server->forks = fc_forks_watch();
	atomic_init(&server->is_late, false);
	atomic_init(&server->complain_at, 0);
	server->max_connections = 10000;
	server->max_calls = 10000;
	server->max_message = 4u << 20;
	server->max_metadata = 16u << 10;
	server->handler_threads = FC_CREW_THREADS;
	server->handler_queue = FC_CREW_QUEUE;
	server->n_loops = 1;
	server->peer_timeout_ms = FC_SERVER_PEER_TIMEOUT_MS;
	fc_lifecycle_init(&server->life);
	fc_list_init(&server->services);
	fc_list_init(&server->endpoints);
	fc_list_init(&server->registries);
	fc_list_init(&server->published);
	server->resume.run = fc_server_resume;
	server->stop.run = fc_server_stop_task;
	atomic_init(&server->state, FC_SERVER_SETUP);
	atomic_init(&server->stop_posted, FC_STOP_NOT_POSTED);
	atomic_init(&server->stop_grace, FC_NEVER);
	atomic_init(&server->running, NULL);
	atomic_init(&server->paused, false);
	atomic_init(&server->resume_posted, false);
	return server;
}

void
fc_server_hold(farcall_server *server)
{
	fc_refs_hold(&server->refs);
}

/* The loops first: what is still in the mail of an own loop runs there, and finds the server
 * stopped. */
void
fc_server_destroy(farcall_server *server)
{
	fc_loops_close(server);
	fc_list_each (item, following, &server->services)
		fc_service_free(FC_CONTAINER(item, farcall_service, in_server));
	fc_list_each (item, following, &server->endpoints)
		fc_endpoint_free(FC_CONTAINER(item, farcall_endpoint, in_server));
	fc_list_each (item, following, &server->registries)
		fc_free(FC_CONTAINER(item, fc_registry, in_server));
	fc_quota_fini(&server->calls);
	if (server->lent)
		fc_loop_drop(server->loop);
	fc_cond_fini(&server->stopped);
	fc_mutex_fini(&server->lock);
	fc_free(server);
}

void
fc_server_drop(farcall_server *server)
{
	if (!fc_refs_drop(&server->refs))
		return;
	if (server->lent && atomic_exchange(&server->stop_posted, FC_STOP_FREES) == FC_STOP_POSTED)
		return;
	fc_server_destroy(server);
}

/* A lent loop: no thread takes part. */
static void
step_until_stopped(farcall_server *server)
{
	int turns = 0;

	while (atomic_load(&server->state) != FC_SERVER_STOPPED)
		fc_loop_turn(server->loop, FC_NEVER);
	do /* what was posted before the door closed, or left ready */
		fc_loop_turn(server->loop, 0);
	while (++turns < TURNS_AFTER_STOP && fc_loop_has_work(server->loop));
}

/* The first loop stops last; then the other loops' handlers are waited for, too. */
static void
run_until_stopped(farcall_server *server)
{
	fc_crew_run(server->loops[0]->crew, fc_loop_has_stopped, server->loops[0]);
	fc_loops_join(server);
	fc_lock(&server->lock);
	server->over = true;
	fc_cond_broadcast(&server->stopped);
	fc_unlock(&server->lock);
}

/* The calling thread runs a handler of the server, or what else its loops run. */
static bool
inside(const farcall_server *server)
{
	return fc_loop_inside(server->loop) || fc_loops_inside(server);
}

void
farcall_server_free(farcall_server *server)
{
	bool thread;

	if (server == NULL || server->nil)
		return;
	if (fc_forked(server->forks)) {
		fc_server_abandon(server);
		return;
	}
	if (!server->lent && inside(server)) {
		fc_log(FARCALL_LOG_ERROR, "free server: misuse: inside one of its own handlers");
		return;
	}
	farcall_server_stop(server, 0);
	fc_lock(&server->lock);
	thread = server->has_thread;
	server->has_thread = false;
	fc_unlock(&server->lock);
	if (thread)
		fc_crew_block_begin();
	if (thread)
		fc_thread_join(&server->thread);
	else if (server->lent && !fc_loop_is_guest(server->loop) && !fc_loop_inside(server->loop) &&
	    atomic_load(&server->state) != FC_SERVER_SETUP)
		step_until_stopped(server);
	fc_server_drop(server);
}

/* ---- running ---- */

static void
on_signals_closed(fc_signals *signals)
{
	fc_server_drop(FC_CONTAINER(signals, farcall_server, signals));
}

static farcall_code
watch_signals(farcall_server *server, fc_error *error)
{
	if (!server->on_signals)
		return FARCALL_OK;
	fc_server_hold(server);
	return fc_signals_start(
	    server->loop, &server->signals, fc_server_on_signal, on_signals_closed, error);
}

static farcall_code
check_loops(const farcall_server *server, fc_error *error)
{
	if (server->n_loops == 1 || (!server->lent && !server->serial))
		return FARCALL_OK;
	return fc_fail(error, FARCALL_FAILED_PRECONDITION, FARCALL_CAUSE_NONE,
	    server->lent ? "start: %u loops, but the program has lent one"
	                 : "start: %u loops, but a serial server has one",
	    (unsigned)server->n_loops);
}

/* From set-up to running; on the thread that will own the first loop first, or before it exists. */
static farcall_code
begin(farcall_server *server)
{
	fc_error error;

	if (server->error.code != FARCALL_OK)
		return server->error.code;
	fc_error_clear(&error);
	if (fc_forked(server->forks))
		return fc_fail(&server->error, FARCALL_FAILED_PRECONDITION, FARCALL_CAUSE_NONE,
		    "start: " FC_FORKED_TEXT);
	if (atomic_load(&server->state) != FC_SERVER_SETUP)
		return fail_late(server, "start");
	if (check_loops(server, &error) != FARCALL_OK ||
	    fc_endpoints_check(server, &error) != FARCALL_OK ||
	    fc_services_settle(server, &error) != FARCALL_OK ||
	    fc_loops_open(server, &error) != FARCALL_OK)
		return fc_server_fail(server, &error);
	atomic_store(&server->state, FC_SERVER_RUNNING);
	fc_server_hold(server); /* until it has stopped */
	if (fc_loops_start(server, &error) != FARCALL_OK ||
	    fc_endpoints_start(server, &error) != FARCALL_OK ||
	    fc_publish_all(server, &error) != FARCALL_OK ||
	    watch_signals(server, &error) != FARCALL_OK) {
		fc_server_fail(server, &error);
		farcall_server_stop(server, 0);
	}
	atomic_store(&server->running, server->loop);
	if (atomic_load(&server->stop_grace) != FC_NEVER &&
	    atomic_exchange(&server->stop_posted, FC_STOP_POSTED) == FC_STOP_NOT_POSTED)
		fc_loop_post(server->loop, &server->stop);
	return FARCALL_OK;
}

static void
thread_main(void *data)
{
	farcall_server *server = (farcall_server *)data;

	run_until_stopped(server);
	fc_server_drop(server);
}

farcall_code
farcall_server_start(farcall_server *server)
{
	fc_error error;
	farcall_code code;

	if (server == NULL || server->nil)
		return farcall_server_code(server);
	code = begin(server);
	if (code != FARCALL_OK || server->lent)
		return code != FARCALL_OK ? code : server->error.code;
	fc_error_clear(&error);
	fc_server_hold(server);
	if (server->error.code == FARCALL_OK &&
	    fc_thread_start(&server->thread, thread_main, server, &error) == FARCALL_OK) {
		fc_lock(&server->lock);
		server->has_thread = true;
		fc_unlock(&server->lock);
		return FARCALL_OK;
	}
	fc_server_fail(server, &error);
	farcall_server_stop(server, 0);
	run_until_stopped(server);
	fc_server_drop(server);
	return server->error.code;
}

farcall_code
farcall_server_listen(farcall_server *server)
{
	farcall_code code;

	if (server == NULL || server->nil)
		return farcall_server_code(server);
	if (server->lent && !fc_forked(server->forks)) {
		if (!fc_server_in_setup(server, "listen"))
			return farcall_server_code(server);
		return fc_fail(&server->error, FARCALL_FAILED_PRECONDITION, FARCALL_CAUSE_NONE,
		    "listen: the server runs on a loop that the program drives: use start");
	}
	code = begin(server);
	if (code != FARCALL_OK)
		return code;
	fc_server_hold(server);
	fc_crew_block_begin();
	run_until_stopped(server);
	code = farcall_server_code(server);
	fc_server_drop(server);
	return code;
}

farcall_code
farcall_server_wait(farcall_server *server)
{
	if (server == NULL || server->nil || server->error.code != FARCALL_OK)
		return farcall_server_code(server);
	if (fc_server_forked(server, "wait"))
		return FARCALL_FAILED_PRECONDITION;
	if (server->lent || inside(server) || atomic_load(&server->state) == FC_SERVER_SETUP) {
		fc_log(FARCALL_LOG_ERROR, "wait: misuse: the server has no thread to wait for");
		return FARCALL_FAILED_PRECONDITION;
	}
	fc_crew_block_begin();
	fc_lock(&server->lock);
	while (!server->over)
		fc_cond_wait(&server->stopped, &server->lock);
	fc_unlock(&server->lock);
	return farcall_server_code(server);
}

void
farcall_server_stop(farcall_server *server, uint64_t grace_ms)
{
	fc_loop *loop;
	uint64_t before;

	if (server == NULL || server->nil || fc_forked(server->forks))
		return;
	before = atomic_load(&server->stop_grace);
	while (grace_ms < before &&
	    !atomic_compare_exchange_weak(&server->stop_grace, &before, grace_ms))
		;
	loop = atomic_load(&server->running);
	if (loop != NULL && atomic_load(&server->state) != FC_SERVER_STOPPED &&
	    atomic_exchange(&server->stop_posted, FC_STOP_POSTED) == FC_STOP_NOT_POSTED)
		fc_loop_post(loop, &server->stop);
}

bool
farcall_server_stopped(const farcall_server *server)
{
	return server == NULL || server->nil || server->error.code != FARCALL_OK ||
	    atomic_load(&server->state) == FC_SERVER_STOPPED;
}
