/*
 * mem_listener.c: the names of this process, each with a queue of connections not accepted yet. One
 * lock is over all of it; a loop is called once for each time that it asks.
 */
#include "runtime/transport/mem_inside.h"

#include "runtime/base/alloc.h"
#include "runtime/transport/cause.h"
#include "runtime/transport/sock.h"

struct fc_mem_listener {
	fc_list link;
	fc_place place;
	fc_queue waiting; /* ends not accepted */
	unsigned n_waiting;
	fc_loop *loop;
	fc_task *task; /* to be run when something comes; NULL: nobody asks */
};

static uv_once_t registry_once = UV_ONCE_INIT;
static fc_mutex registry_lock;
static bool registry_ready;
static fc_list registry;

static void
make_registry(void)
{
	fc_list_init(&registry);
	registry_ready = fc_mutex_init(&registry_lock, NULL) == FARCALL_OK;
}

static bool
lock_registry(void)
{
	uv_once(&registry_once, make_registry);
	if (registry_ready)
		fc_lock(&registry_lock);
	return registry_ready;
}

void
fc_mem_send_task(fc_loop *loop, fc_task *task)
{
	if (fc_loop_inside(loop))
		fc_loop_ready(loop, task);
	else
		fc_loop_post(loop, task);
}

/* Under the registry's lock. */
static fc_mem_listener *
find(const fc_place *place)
{
	fc_list_each (item, next, &registry) {
		fc_mem_listener *listener = FC_CONTAINER(item, fc_mem_listener, link);

		if (strcmp(listener->place.text, place->text) == 0)
			return listener;
	}
	return NULL;
}

static void
call_listener(fc_mem_listener *listener)
{
	fc_task *task = listener->task;

	listener->task = NULL;
	if (task != NULL)
		fc_mem_send_task(listener->loop, task);
}

bool
fc_mem_enqueue(const fc_place *place, fc_mem_end *end)
{
	fc_mem_listener *listener;
	bool taken = false;

	if (!lock_registry())
		return false;
	listener = find(place);
	if (listener != NULL && listener->n_waiting < FC_MEM_BACKLOG) {
		fc_queue_push(&listener->waiting, &end->link);
		listener->n_waiting++;
		call_listener(listener);
		taken = true;
	}
	fc_unlock(&registry_lock);
	return taken;
}

fc_mem_listener *
fc_mem_listener_open(const fc_place *place, fc_error *error)
{
	fc_mem_listener *listener = (fc_mem_listener *)fc_calloc(1, sizeof *listener);
	bool taken;

	if (listener == NULL || !lock_registry()) {
		fc_fail_memory(error, "listener");
		fc_free(listener);
		return NULL;
	}
	listener->place = *place;
	fc_queue_init(&listener->waiting);
	taken = find(place) != NULL;
	if (!taken)
		fc_list_append(&registry, &listener->link);
	fc_unlock(&registry_lock);
	if (taken) {
		fc_fail_number(error, FC_E(EADDRINUSE), "bind %s", place->text);
		fc_free(listener);
		return NULL;
	}
	return listener;
}

void
fc_mem_listener_watch(fc_mem_listener *listener, fc_loop *loop, fc_task *task)
{
	fc_lock(&registry_lock);
	listener->loop = loop;
	listener->task = task;
	if (listener->n_waiting != 0)
		call_listener(listener);
	fc_unlock(&registry_lock);
}

bool
fc_mem_listener_unwatch(fc_mem_listener *listener)
{
	bool taken_back;

	fc_lock(&registry_lock);
	taken_back = listener->task != NULL;
	listener->task = NULL;
	fc_unlock(&registry_lock);
	return taken_back;
}

fc_mem_end *
fc_mem_listener_take(fc_mem_listener *listener)
{
	fc_link *link;

	fc_lock(&registry_lock);
	link = fc_queue_pop(&listener->waiting);
	if (link != NULL)
		listener->n_waiting--;
	fc_unlock(&registry_lock);
	return link != NULL ? FC_CONTAINER(link, fc_mem_end, link) : NULL;
}

void
fc_mem_listener_close(fc_mem_listener *listener)
{
	fc_mem_end *end;

	fc_lock(&registry_lock);
	fc_list_remove(&listener->link);
	fc_unlock(&registry_lock);
	while ((end = fc_mem_listener_take(listener)) != NULL)
		fc_mem_refuse(end);
	fc_free(listener);
}
