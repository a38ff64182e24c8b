/*
 * pipe.h: the kinds of pipe, for the files that choose among them.
 */
#ifndef FC_TRANSPORT_PIPE_H
#define FC_TRANSPORT_PIPE_H

#include "runtime/transport/mem.h"
#include "runtime/transport/sock.h"

/* A connection accepted: a socket, or an end of a mem pipe. */
struct fc_accepted {
	fc_mem_end *end; /* NULL: a socket */
	fc_sock sock;
	fc_place peer;
};

/* Takes `accepted`, which is a socket. */
fc_accepted *fc_accepted_new(fc_sock sock, const fc_place *peer, fc_mem_end *end);

fc_pipe *fc_socket_connect(fc_loop *loop, const fc_place *place, const fc_pipe_events *events,
    void *owner, fc_error *error);

/* A socket that is connected already: `told` means that on_open is to follow. Takes the socket in
 * any case. */
fc_pipe *fc_socket_adopt(fc_loop *loop, fc_sock sock, const fc_place *peer, bool told,
    const fc_pipe_events *events, void *owner, fc_error *error);

#endif
