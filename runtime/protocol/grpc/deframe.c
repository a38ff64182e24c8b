/*
 * deframe.c: from DATA to messages: 1 byte of flags, 4 of length, the bytes. A message that lies
 * whole in what came is shown where it lies; others are gathered. The length is judged before any
 * memory is taken for it, and memory grows with what has really come. What a server gathers for one
 * connection is bounded; a client bounds it by the calls that it makes. A compressed message is
 * gathered as it came, and inflated when it is whole: so an unfinished one costs no more than its
 * bytes.
 */
#include "runtime/protocol/grpc/grpc.h"

#define FIRST_ROOM 65536u

/* Flags and length are complete. false: the call has failed. */
static bool
judge(fc_h2 *c, fc_h2_stream *s, const uint8_t *prefix)
{
	uint32_t size = fc_get32(prefix + 1);

	if (FARCALL_UNLIKELY(prefix[0] > (s->seen.peer_coding != 0))) {
		const char *what = prefix[0] > 1 ? "a message has unknown flags"
		    : (s->flags & FC_STREAM_ENCODED) != 0
		    ? "a message is compressed in a way that is not supported"
		    : "a message is compressed, but grpc-encoding was not sent";

		fc_grpc_fail(c, s, FARCALL_INTERNAL, FARCALL_CAUSE_PROTOCOL, "%s (0x%02x)", what,
		    (unsigned)prefix[0]);
		return false;
	}
	if (FARCALL_UNLIKELY(size > s->seen.max_message)) {
		fc_grpc_fail(c, s, FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_TOO_LARGE,
		    "message of %lu bytes is larger than %lu", (unsigned long)size,
		    (unsigned long)s->seen.max_message);
		return false;
	}
	s->message_size = size;
	return true;
}

static inline void
show(fc_h2 *c, fc_h2_stream *s, const uint8_t *bytes, size_t size)
{
	s->prefix_size = 0;
	s->untaken += size;
	if (size != 0 || ++s->empties > FC_H2_EMPTIES_MOST)
		s->flags |= FC_STREAM_UNREAD;
	c->events->on_message(c->owner, &s->seen, bytes, size);
}

void
fc_grpc_show(fc_h2 *c, fc_h2_stream *s, const uint8_t *bytes, size_t size)
{
	show(c, s, bytes, size);
}

/* The same of one that did not lie whole in what came, or is compressed: `prefix` is its own. */
static void
show_any(fc_h2 *c, fc_h2_stream *s, const uint8_t *bytes)
{
	if (s->prefix[0] != 0)
		fc_grpc_show_coded(c, s, bytes);
	else
		show(c, s, bytes, s->message_size);
}

/* Takes bytes into `prefix`; answers how many. */
static size_t
gather_prefix(fc_h2_stream *s, const uint8_t *bytes, size_t size)
{
	size_t n = FC_MIN(FC_GRPC_PREFIX - s->prefix_size, size);

	memcpy(s->prefix + s->prefix_size, bytes, n);
	s->prefix_size += (uint32_t)n;
	return n;
}

/* Room for `n` bytes more in what the connection gathers; one message may always be as large as its
 * own limit. false: the call has failed. */
static bool
has_room(fc_h2 *c, fc_h2_stream *s, size_t n)
{
	size_t most = FC_MAX(s->seen.max_message, FC_H2_GATHERED_MOST);

	if (FARCALL_LIKELY(c->config.client || c->gathered + n <= most))
		return true;
	fc_grpc_fail(c, s, FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_LIMIT,
	    "no room for a message of %lu bytes: the unfinished messages of its connection have "
	    "reached %lu bytes",
	    (unsigned long)s->message_size, (unsigned long)most);
	return false;
}

/* Takes bytes into `message`; answers how many, 0 if the call failed. */
static size_t
gather(fc_h2 *c, fc_h2_stream *s, const uint8_t *bytes, size_t size)
{
	size_t held = fc_buf_size(&s->message), left = s->message_size - held;
	size_t n = FC_MIN(left, size);
	size_t want = FC_MIN(left, FC_MAX(FC_MAX(3 * held, FIRST_ROOM), n));

	if (held == 0 && n == left) {
		show_any(c, s, bytes);
		return n;
	}
	if (!has_room(c, s, n))
		return 0;
	if ((s->message.room - s->message.to < n && fc_buf_reserve(&s->message, want) == NULL) ||
	    !fc_buf_append(&s->message, bytes, n)) {
		fc_grpc_fail(c, s, FARCALL_RESOURCE_EXHAUSTED, FARCALL_CAUSE_OUT_OF_MEMORY,
		    "out of memory for a message of %lu bytes", (unsigned long)s->message_size);
		return 0;
	}
	c->gathered += n;
	if (n == left) {
		show_any(c, s, s->message.data + s->message.from);
		fc_h2_drop_message(c, s);
	}
	return n;
}

/* A step of what is no whole message: answers how many bytes were taken, 0 if the call failed. */
static size_t
take_part(fc_h2 *c, fc_h2_stream *s, const uint8_t *bytes, size_t size)
{
	size_t n;

	if (!c->config.client)
		fc_h2_expect_more(c); /* a stream that may pause may not do so here */
	if (s->prefix_size == FC_GRPC_PREFIX)
		return gather(c, s, bytes, size);
	n = gather_prefix(s, bytes, size);
	if (s->prefix_size < FC_GRPC_PREFIX)
		return n;
	if (!judge(c, s, s->prefix))
		return 0;
	if (s->message_size == 0)
		show_any(c, s, bytes);
	return n;
}

void
fc_grpc_data(fc_h2 *c, fc_h2_stream *s, const uint8_t *bytes, size_t size)
{
	s->heard_at = c->now;
	while (size != 0 && fc_h2_listens(s)) {
		size_t n;

		if (FARCALL_LIKELY(s->prefix_size == 0 && size >= FC_GRPC_PREFIX)) {
			uint32_t length = fc_get32(bytes + 1);

			if (FARCALL_LIKELY(bytes[0] == 0 && length <= size - FC_GRPC_PREFIX &&
			        length <= s->seen.max_message)) {
				s->message_size = length;
				show(c, s, bytes + FC_GRPC_PREFIX, length);
				bytes += FC_GRPC_PREFIX + length;
				size -= FC_GRPC_PREFIX + length;
				continue;
			}
		}
		n = take_part(c, s, bytes, size);
		if (n == 0)
			return;
		bytes += n;
		size -= n;
	}
}
