/*
 * head.c: a response's head before its first message, as the program asks for it: it is sent by the
 * loop's owner, like everything. Whatever goes there first, the head or what would have brought it,
 * the head is sent once; so this may come too late, and does nothing then.
 */
#include "server/internal.h"

#include "runtime/base/alloc.h"

typedef struct fc_head_task {
	fc_task task;
	fc_server_call *call; /* a reference */
} fc_head_task;

/* What the peer would not take has ended the call on the wire; its handler learns of it. */
static void
send_now(fc_server_call *call)
{
	fc_send sent;

	fc_call_compress(&call->call, call->stream, false);
	sent = fc_reply_head(call);
	if (call->call.flow != NULL && sent != FC_SEND_NO_MEMORY)
		fc_served_headed(call);
	fc_conn_touch(&call->conn->conn);
	if (sent == FC_SEND_TOO_LARGE)
		fc_reply_lost(call, FARCALL_RESOURCE_EXHAUSTED);
}

static void
run(fc_task *task)
{
	fc_head_task *head = FC_CONTAINER(task, fc_head_task, task);
	fc_server_call *call = head->call;

	if (call->stream != NULL)
		send_now(call);
	fc_free(head);
	fc_call_drop(&call->call);
}

static farcall_code
post(fc_server_call *call)
{
	fc_head_task *head = (fc_head_task *)fc_calloc(1, sizeof *head);

	if (head == NULL)
		return FARCALL_RESOURCE_EXHAUSTED;
	head->task.run = run;
	head->call = call;
	fc_refs_hold(&call->call.refs);
	call->call.head_sent = call->head_posted = true;
	if (fc_reply_post(call, &head->task))
		return FARCALL_OK;
	fc_call_drop(&call->call); /* not the last: the program has one */
	fc_free(head);
	return FARCALL_CANCELLED;
}

farcall_code
farcall_call_send_head(farcall_call *base)
{
	fc_server_call *call = (fc_server_call *)base;

	if (base == NULL || !base->ops->server || (call->reply == NULL && base->flow == NULL))
		return fc_call_misuse(base, "send head: not a call that a handler was given");
	if (fc_server_forked(call->conn->home->server, "send head"))
		return FARCALL_FAILED_PRECONDITION;
	if (base->doomed)
		return base->code;
	if (farcall_call_cancelled(base))
		return FARCALL_CANCELLED;
	return call->head_posted ? FARCALL_OK : post(call);
}
