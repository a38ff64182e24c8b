/*
 * pipe.c: makes pipes of the right kind, and puts the tests' filter on them.
 */
#include "runtime/transport/pipe.h"

#include "runtime/base/alloc.h"

static fc_pipe *(*wrap_with)(fc_loop *loop, fc_pipe *lower, bool client, void *data);
static void *wrap_data;

void
fc_pipe_set_wrap(
    fc_pipe *(*wrap)(fc_loop *loop, fc_pipe *lower, bool client, void *data), void *data)
{
	wrap_with = wrap;
	wrap_data = data;
}

static fc_pipe *
finish(fc_loop *loop, fc_pipe *lower, bool client, const fc_pipe_events *events, void *owner,
    fc_error *error)
{
	fc_pipe *pipe = lower;

	if (pipe == NULL || wrap_with == NULL)
		return pipe;
	pipe = wrap_with(loop, lower, client, wrap_data);
	if (pipe == NULL) {
		fc_fail_memory(error, "filter");
		lower->ops->close(lower);
		return NULL;
	}
	pipe->events = events;
	pipe->owner = owner;
	return pipe;
}

static fc_pipe *
connect_fd(fc_loop *loop, const fc_place *place, const fc_pipe_events *events, void *owner,
    fc_error *error)
{
	fc_place peer;
	fc_sock sock;

	if (fc_sock_inherit(place->fd, false, &sock, error) != FARCALL_OK)
		return NULL;
	if (fc_sock_peer(sock, &peer) != 0)
		peer = *place;
	return fc_socket_adopt(loop, sock, &peer, true, events, owner, error);
}

fc_pipe *
fc_pipe_connect(fc_loop *loop, const fc_place *place, const fc_pipe_events *events, void *owner,
    fc_error *error)
{
	fc_pipe *pipe;

	if (place->kind == FC_PLACE_MEM)
		pipe = fc_mem_connect(loop, place, events, owner, error);
	else if (place->kind == FC_PLACE_FD)
		pipe = connect_fd(loop, place, events, owner, error);
	else
		pipe = fc_socket_connect(loop, place, events, owner, error);
	return finish(loop, pipe, true, events, owner, error);
}

fc_accepted *
fc_accepted_new(fc_sock sock, const fc_place *peer, fc_mem_end *end)
{
	fc_accepted *accepted = (fc_accepted *)fc_calloc(1, sizeof *accepted);

	if (accepted == NULL)
		return NULL;
	accepted->sock = sock;
	accepted->end = end;
	if (peer != NULL)
		accepted->peer = *peer;
	return accepted;
}

fc_pipe *
fc_pipe_adopt(fc_loop *loop, fc_accepted *accepted, const fc_pipe_events *events, void *owner,
    fc_error *error)
{
	fc_pipe *pipe;

	if (accepted->end != NULL)
		pipe = fc_mem_adopt(loop, accepted->end, events, owner, error);
	else
		pipe = fc_socket_adopt(
		    loop, accepted->sock, &accepted->peer, false, events, owner, error);
	fc_free(accepted);
	return finish(loop, pipe, false, events, owner, error);
}

void
fc_accepted_refuse(fc_accepted *accepted)
{
	if (accepted->end != NULL)
		fc_mem_refuse(accepted->end);
	else
		fc_sock_close(accepted->sock);
	fc_free(accepted);
}
