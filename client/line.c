/*
 * line.c: a connection of the channel's, from its first byte to its last. The subchannel is told
 * when it is ready and when it takes no more calls; a line that is going away lives on, beside its
 * successor, until its last call has ended.
 */
#include "client/internal.h"

#include "runtime/base/alloc.h"

void
fc_line_drop(fc_line *line)
{
	if (line != NULL && fc_refs_drop(&line->refs))
		fc_free(line);
}

/* It is closed: nothing of it is on the loop any more. */
static void
closed(fc_line *line, const fc_error *why)
{
	farcall_channel *channel = line->channel;

	fc_list_remove(&line->in_channel);
	fc_list_each (item, next, &line->calls)
		fc_call_end_with(FC_CONTAINER(item, fc_client_call, in_list), FARCALL_UNAVAILABLE,
		    FARCALL_CAUSE_CONNECTION_LOST, "connection lost");
	if (!channel->shut)
		fc_subchannel_lost(channel, line, why);
	fc_line_drop(line);
	fc_channel_check_over(channel);
	fc_channel_drop(channel);
}

static void
on_closed(fc_conn *conn, const fc_error *why)
{
	closed((fc_line *)conn, why);
}

static const fc_conn_events conn_events = {.engine = &fc_attempt_events, .on_closed = on_closed};

fc_line *
fc_line_open(farcall_channel *channel, const fc_place *place, uint64_t patience, fc_error *error)
{
	fc_line *line = (fc_line *)fc_calloc(1, sizeof *line);

	if (line == NULL) {
		fc_fail_memory(error, "connection");
		return NULL;
	}
	fc_refs_init(&line->refs);
	line->channel = channel;
	fc_list_init(&line->in_race);
	fc_list_init(&line->calls);
	if (fc_conn_connect(&line->conn, channel->loop, place, &conn_events, &channel->config,
	        patience, error) != FARCALL_OK) {
		fc_free(line);
		return NULL;
	}
	fc_conn_set_peer_timeout(&line->conn, fc_channel_peer_timeout(channel));
	fc_list_append(&channel->lines, &line->in_channel);
	fc_channel_hold(channel);
	return line;
}

void
fc_line_retire(fc_line *line)
{
	if (line->going)
		return;
	line->going = true;
	fc_conn_drain(&line->conn, "");
}

void
fc_line_touch(fc_line *line)
{
	if (fc_loop_inside(line->conn.loop))
		fc_conn_touch(&line->conn);
	else
		fc_conn_write_now(&line->conn);
}

void
fc_line_end(fc_line *line)
{
	line->going = true;
	if (fc_conn_drop(&line->conn))
		closed(line, NULL);
	else
		fc_conn_kill(&line->conn);
}
