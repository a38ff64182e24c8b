/*
 * fork.c: a server that a child made by fork() has inherited. It can only be freed: its descriptors
 * are closed, and nothing is said to anybody. See runtime/loop/fork.h.
 */
#include "server/internal.h"

#include "runtime/base/log.h"
#include "runtime/loop/fork.h"

bool
fc_server_forked(const farcall_server *server, const char *step)
{
	if (!fc_forked(server->forks))
		return false;
	fc_log(FARCALL_LOG_ERROR, "%s: misuse: " FC_FORKED_TEXT, step);
	return true;
}

/* Records know whose they are: only their descriptors go. */
void
fc_server_abandon(farcall_server *server)
{
	fc_list_each (item, following, &server->endpoints) {
		const farcall_endpoint *endpoint = FC_CONTAINER(item, farcall_endpoint, in_server);

		if (endpoint->listener != NULL)
			fc_listener_abandon(endpoint->listener);
	}
	fc_list_each (item, following, &server->published)
		fc_record_withdraw(FC_CONTAINER(item, fc_published, in_server)->record);
	for (size_t i = 0; server->loops != NULL && i < server->n_loops; i++) {
		const fc_server_loop *at = server->loops[i];

		if (at != NULL && at->loop != NULL && (i != 0 || !server->lent))
			fc_loop_abandon(at->loop);
	}
}
