/*
 * link.c: a connection of the channel's, from its first byte to its last. The subchannel is told when
 * it is ready and when it takes no more calls; a link that is going away lives on, beside its
 * successor, until its last call has ended.
 */
#include "client/internal.h"

#include "runtime/base/alloc.h"

void
fc_link_drop(fc_link *link)
{
	if (link != NULL && fc_refs_drop(&link->refs))
		fc_free(link);
}

/* It is closed: nothing of it is on the loop any more. */
static void
closed(fc_link *link, const fc_error *why)
{
	farcall_channel *channel = link->channel;

	fc_list_remove(&link->in_channel);
	fc_list_each (item, next, &link->calls)
		fc_call_end_with(FC_CONTAINER(item, fc_client_call, in_list), FARCALL_UNAVAILABLE,
		    FARCALL_CAUSE_CONNECTION_LOST, "connection lost");
	if (!channel->shut)
		fc_subchannel_lost(channel, link, why);
	fc_link_drop(link);
	fc_channel_check_over(channel);
	fc_channel_drop(channel);
}

static void
on_closed(fc_conn *conn, const fc_error *why)
{
	closed((fc_link *)conn, why);
}

static const fc_conn_events conn_events = {&fc_attempt_events, on_closed};

fc_link *
fc_link_open(farcall_channel *channel, const fc_place *place, uint64_t patience, fc_error *error)
{
	fc_link *link = (fc_link *)fc_calloc(1, sizeof *link);

	if (link == NULL) {
		fc_fail_memory(error, "connection");
		return NULL;
	}
	fc_refs_init(&link->refs);
	link->channel = channel;
	fc_list_init(&link->calls);
	if (fc_conn_connect(&link->conn, channel->loop, place, &conn_events, &channel->config,
		patience, error) != FARCALL_OK) {
		fc_free(link);
		return NULL;
	}
	fc_list_append(&channel->links, &link->in_channel);
	fc_channel_hold(channel);
	return link;
}

void
fc_link_retire(fc_link *link)
{
	if (link->going)
		return;
	link->going = true;
	fc_conn_drain(&link->conn);
}

void
fc_link_touch(fc_link *link)
{
	if (fc_loop_inside(link->conn.loop))
		fc_conn_touch(&link->conn);
	else
		fc_conn_write_now(&link->conn);
}

void
fc_link_end(fc_link *link)
{
	link->going = true;
	if (fc_conn_drop(&link->conn))
		closed(link, NULL);
	else
		fc_conn_kill(&link->conn);
}
