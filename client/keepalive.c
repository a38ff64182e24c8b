/*
 * keepalive.c: the client's side of gRFC A8 and A18: what is set, and a server that finds it too
 * much. The PINGs themselves are the engine's; they need somebody who turns the loop, so a channel
 * that asks without calls has its thread from the first call on.
 */
#include "client/internal.h"

#include "runtime/base/log.h"

#include <inttypes.h>

static void
note_watchful(farcall_channel *channel)
{
	channel->watchful =
	    channel->config.keepalive_without_calls && channel->config.keepalive_ns != 0;
}

void
farcall_channel_set_keepalive_ms(farcall_channel *channel, uint64_t ms)
{
	if (!fc_channel_in_setup(channel, "set keepalive") ||
	    (ms != 0 &&
	        !fc_channel_in_range(channel, "keepalive", ms, FC_CLIENT_KEEPALIVE_LEAST_MS,
	            FC_CLIENT_KEEPALIVE_MOST_MS)))
		return;
	channel->config.keepalive_ns = ms * FC_NS_PER_MS;
	note_watchful(channel);
}

void
farcall_channel_set_keepalive_timeout_ms(farcall_channel *channel, uint64_t ms)
{
	if (fc_channel_in_setup(channel, "set keepalive time-out") &&
	    fc_channel_in_range(channel, "keepalive time-out", ms, FC_CLIENT_PEER_TIMEOUT_LEAST_MS,
	        FC_CLIENT_PEER_TIMEOUT_MOST_MS))
		channel->config.keepalive_timeout_ns = ms * FC_NS_PER_MS;
}

void
farcall_channel_set_keepalive_without_calls(farcall_channel *channel, bool on)
{
	if (!fc_channel_in_setup(channel, "set keepalive without calls"))
		return;
	channel->config.keepalive_without_calls = on;
	note_watchful(channel);
}

void
fc_channel_keepalive(farcall_channel *channel, uint64_t ns, uint64_t timeout_ns)
{
	channel->config.keepalive_ns = ns;
	channel->config.keepalive_timeout_ns = timeout_ns;
	note_watchful(channel);
}

/* gRFC A18: that of keepalive, unless it was set itself. */
unsigned
fc_channel_peer_timeout(const farcall_channel *channel)
{
	if (channel->peer_timeout_set || channel->config.keepalive_ns == 0)
		return channel->peer_timeout_ms;
	return (unsigned)(channel->config.keepalive_timeout_ns / FC_NS_PER_MS);
}

/* The line is lost by it; the next ones ask half as often. */
void
fc_channel_too_many_pings(void *line, uint64_t keepalive_ns)
{
	farcall_channel *channel = ((fc_line *)line)->channel;
	uint64_t *ns = &channel->config.keepalive_ns;

	if (keepalive_ns == 0) {
		fc_log(FARCALL_LOG_WARNING, "channel %s: the server says too_many_pings",
		    channel->address.text);
		return;
	}
	*ns = FC_MAX(*ns, FC_MIN(keepalive_ns, FC_CLIENT_KEEPALIVE_MOST_MS * FC_NS_PER_MS / 2) * 2);
	fc_log(FARCALL_LOG_WARNING,
	    "channel %s: the server says too_many_pings: keepalive comes every %" PRIu64
	    " ms from now on, not every %" PRIu64,
	    channel->address.text, *ns / FC_NS_PER_MS, keepalive_ns / FC_NS_PER_MS);
}
