/*
 * shortage.c: what the operator is told when calls wait for threads that handlers do not give back.
 * Of N threads two turn the loop and watch; the others may all be in handlers that block or in
 * steps of streams. One line a minute and server: loops that are short together share it.
 */
#include "server/internal.h"

#include "runtime/base/log.h"

#define BETWEEN (60 * FC_NS_PER_S)

static bool
is_due(farcall_server *server)
{
	uint64_t now = uv_hrtime();
	uint64_t due = atomic_load_explicit(&server->complain_at, memory_order_relaxed);

	return now >= due &&
	    atomic_compare_exchange_strong(&server->complain_at, &due, now + BETWEEN);
}

void
fc_server_on_short(void *data, const fc_crew_shortage *shortage)
{
	const fc_server_loop *at = (const fc_server_loop *)data;

	if (!is_due(at->server))
		return;
	if (shortage->last)
		fc_log(FARCALL_LOG_WARNING,
		    "%s has taken the last thread but one: %u of %u are in handlers that block or "
		    "wait in a stream's steps; one more will hold up its loop "
		    "(farcall_server_set_handler_threads)",
		    shortage->name, shortage->at_work, shortage->threads);
	else
		fc_log(FARCALL_LOG_WARNING,
		    "%s has waited %u ms for a thread, one of %zu calls that do: %u of %u threads "
		    "are in "
		    "handlers that block or wait in a stream's steps "
		    "(farcall_server_set_handler_threads)",
		    shortage->name, (unsigned)FC_MIN(shortage->waited / FC_NS_PER_MS, UINT32_MAX),
		    shortage->waiting, shortage->at_work, shortage->threads);
}
