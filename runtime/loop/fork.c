/*
 * fork.c: see fork.h. What is closed is found by libuv's list of handles, which a thread of the
 * parent may have been changing: its links forward hold at every moment.
 */
#include "runtime/loop/fork.h"

#include "runtime/loop/inside.h"

#ifndef _WIN32
#include <pthread.h>
#include <unistd.h>
#endif

static uv_once_t once = UV_ONCE_INIT;
atomic_uint fc_forks;

#ifdef _WIN32
static void
watch(void)
{
}

void
fc_loop_abandon(fc_loop *loop)
{
	(void)loop;
}
#else
static void
after_fork(void)
{
	atomic_fetch_add_explicit(&fc_forks, 1, memory_order_relaxed);
}

static void
watch(void)
{
	pthread_atfork(NULL, NULL, after_fork);
}

static void
close_polled(uv_handle_t *handle, void *data)
{
	uv_os_fd_t fd;

	(void)data;
	if (handle->type == UV_POLL && uv_fileno(handle, &fd) == 0)
		close(fd);
}

void
fc_loop_abandon(fc_loop *loop)
{
	uv_loop_t *uv = loop->uv;
	int own[5];

	if (loop->guest || loop->failure.code != FARCALL_OK)
		return;
	uv_walk(uv, close_polled, NULL);
	own[0] = uv_backend_fd(uv);
	own[1] = uv->async_io_watcher.fd;
	own[2] = uv->async_wfd;
	own[3] = uv->signal_pipefd[0];
	own[4] = uv->signal_pipefd[1];
	for (size_t i = 0; i < FC_COUNT(own); i++)
		if (own[i] >= 0)
			close(own[i]);
}
#endif

unsigned
fc_forks_watch(void)
{
	uv_once(&once, watch);
	return atomic_load_explicit(&fc_forks, memory_order_relaxed);
}

bool
fc_loop_is_inherited(const fc_loop *loop)
{
	return loop->failure.code == FARCALL_OK && fc_forked(loop->made);
}
