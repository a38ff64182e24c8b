#include "tests/support/puppet.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static const fc_engine_ops *const ops = &fc_h2_engine;

/* ---- events ---- */

static void
keep_pair(char *to, size_t room, const char *name, size_t n, const fc_pair *pairs)
{
	for (size_t i = 0; i < n; i++) {
		size_t size = FC_MIN((size_t)pairs[i].value_size, room - 1);

		if (pairs[i].name_size != strlen(name) ||
		    memcmp(pairs[i].name, name, pairs[i].name_size) != 0)
			continue;
		memcpy(to, pairs[i].value, size);
		to[size] = 0;
	}
}

static void
on_head(void *owner, fc_stream *stream, const fc_head *head)
{
	puppet_call *c = (puppet_call *)stream->user;

	(void)owner;
	c->head = true;
	keep_pair(c->said, sizeof c->said, "said", head->n_metadata, head->metadata);
}

static void
on_message(void *owner, fc_stream *stream, const uint8_t *bytes, size_t size)
{
	puppet_call *c = (puppet_call *)stream->user;
	Stream__Message *message = stream__message__unpack(NULL, size, bytes);

	(void)owner;
	assert_non_null(message);
	c->last = message->number;
	c->disorder = c->disorder || message->number != c->received;
	c->received++;
	c->size += message->data.len;
	stream__message__free_unpacked(message, NULL);
	if (c->lazy)
		c->untaken += size;
	else
		ops->taken(c->puppet->engine, stream, size);
}

static void
over(puppet_call *c, farcall_code code, const char *text, size_t size)
{
	c->ended = true;
	c->code = code;
	size = FC_MIN(size, sizeof c->text - 1);
	if (size != 0)
		memcpy(c->text, text, size);
	c->text[size] = 0;
	ops->release(c->puppet->engine, c->stream);
	c->stream = NULL;
}

static void
on_tail(void *owner, fc_stream *stream, const fc_tail *tail)
{
	puppet_call *c = (puppet_call *)stream->user;

	(void)owner;
	keep_pair(c->last_said, sizeof c->last_said, "said-last", tail->n_metadata, tail->metadata);
	over(c, tail->code, tail->message.at, tail->message.size);
}

static void
on_abort(void *owner, fc_stream *stream, const fc_abort *abort)
{
	puppet_call *c = (puppet_call *)stream->user;

	(void)owner;
	c->reset = true;
	over(c, abort->code, abort->text, strlen(abort->text));
}

static void
on_sent(void *owner, fc_stream *stream)
{
	(void)owner;
	((puppet_call *)stream->user)->waiting = false;
}

static void
on_ready(void *owner)
{
	((puppet *)owner)->ready = true;
}

static void
on_nothing(void *owner)
{
	(void)owner;
}

static void
on_goaway(void *owner, const fc_error *why)
{
	(void)owner;
	(void)why;
}

static void
on_dead(void *owner, const fc_error *why)
{
	(void)why;
	((puppet *)owner)->dead = true;
}

static const fc_engine_events events = {
    .on_head = on_head,
    .on_message = on_message,
    .on_tail = on_tail,
    .on_abort = on_abort,
    .on_sent = on_sent,
    .on_ready = on_ready,
    .on_capacity = on_nothing,
    .on_goaway = on_goaway,
    .on_drained = on_nothing,
    .on_dead = on_dead,
};

/* ---- the connection ---- */

void
puppet_connect(puppet *p, unsigned port, uint32_t window, farcall_loop *loop)
{
	fc_engine_config config = {.client = true,
	    .max_message = 16u << 20,
	    .max_metadata = 65536,
	    .stream_window = window,
	    .connection_window = 16u << 20,
	    .settings_timeout_ns = 60 * FC_NS_PER_S,
	    .authority = "localhost",
	    .user_agent = "puppet",
	    .scheme = "http"};
	struct sockaddr_in address = {.sin_family = AF_INET};
	int one = 1;

	memset(p, 0, sizeof *p);
	fc_pool_init(&p->pool, 1u << 20);
	config.pool = &p->pool;
	p->loop = loop;
	p->window = window;
	p->engine = ops->open(&config, &events, p, uv_hrtime());
	address.sin_port = htons((uint16_t)port);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	p->fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(p->fd, (struct sockaddr *)&address, sizeof address), 0);
	setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	assert_int_equal(fcntl(p->fd, F_SETFL, O_NONBLOCK), 0);
	puppet_until(p, p->ready);
}

void
puppet_close(puppet *p)
{
	close(p->fd);
	ops->free(p->engine);
	fc_pool_fini(&p->pool);
}

static void
write_all(puppet *p)
{
	fc_piece pieces[8];
	size_t n;

	while ((n = ops->output(p->engine, pieces, FC_COUNT(pieces))) != 0) {
		ssize_t wrote = send(p->fd, pieces[0].at, pieces[0].size, MSG_NOSIGNAL);

		if (wrote <= 0)
			return;
		ops->wrote(p->engine, (size_t)wrote);
	}
}

static void
read_some(puppet *p)
{
	static uint8_t bytes[65536];
	ssize_t n = recv(p->fd, bytes, sizeof bytes, 0);

	if (n > 0)
		ops->input(p->engine, bytes, (size_t)n, uv_hrtime());
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		ops->end(p->engine, NULL);
}

/* What the server does in its step may fail; what the puppet does may not. */
static void
step(puppet *p)
{
	size_t calls;

	if (p->fail_at == 0) {
		farcall_loop_step(p->loop, 0);
		return;
	}
	test_allocator_fail_at(p->fail_at, false);
	farcall_loop_step(p->loop, 0);
	calls = test_allocator_calls();
	test_allocator_fail_at(0, false);
	p->fail_at = calls < p->fail_at ? p->fail_at - calls : 0;
}

bool
puppet_turn(puppet *p)
{
	struct pollfd poll_it = {.fd = p->fd, .events = p->deaf ? 0 : POLLIN};

	if (!p->dead)
		write_all(p);
	if (p->loop != NULL)
		step(p);
	if (poll(&poll_it, 1, 1) > 0 && !p->deaf && !p->dead)
		read_some(p);
	if (!p->dead)
		write_all(p);
	if (p->deaf && !p->dead)
		ops->tick(p->engine, uv_hrtime()); /* else what is due comes with the input */
	return !p->dead;
}

void
puppet_turns(puppet *p, unsigned n)
{
	while (n-- > 0)
		puppet_turn(p);
}

/* ---- calls ---- */

void
puppet_open(puppet *p, puppet_call *c, const char *path, unsigned timeout_ms, const char *say)
{
	fc_pair pair = {.name = "say", .value = say, .name_size = 3};
	fc_request request = {.path = {path, strlen(path)}};

	request.timeout_ns = timeout_ms != 0 ? timeout_ms * FC_NS_PER_MS : FC_NEVER;
	if (say != NULL) {
		pair.value_size = (uint32_t)strlen(say);
		request.n_metadata = 1;
		request.metadata = &pair;
	}
	memset(c, 0, sizeof *c);
	c->puppet = p;
	c->stream = ops->open_stream(p->engine, &request, c);
	assert_non_null(c->stream);
}

static void
flat(const fc_payload *payload, uint8_t *to)
{
	stream__message__pack((const Stream__Message *)payload->message, to);
}

static void
pour(const fc_payload *payload, fc_sink *sink)
{
	uint8_t *bytes = (uint8_t *)malloc(payload->size + 1);

	flat(payload, bytes);
	sink->add(sink, bytes, payload->size);
	free(bytes);
}

fc_send
puppet_say(puppet_call *c, const Stream__Message *message, bool last)
{
	fc_payload payload = {stream__message__get_packed_size(message), flat, pour, message};
	fc_send sent = FC_SEND_GONE;

	if (c->stream != NULL)
		sent = ops->send_message(c->puppet->engine, c->stream, &payload, last);
	c->waiting = c->waiting || sent == FC_SEND_WAITING;
	return sent;
}

fc_send
puppet_number(puppet_call *c, uint32_t number, size_t size)
{
	Stream__Message message = STREAM__MESSAGE__INIT;
	uint8_t *data = (uint8_t *)calloc(1, size + 1);
	fc_send sent;

	message.number = number;
	message.data.data = data;
	message.data.len = size;
	sent = puppet_say(c, &message, false);
	free(data);
	return sent;
}

void
puppet_end(puppet_call *c)
{
	if (c->stream != NULL)
		ops->half_close(c->puppet->engine, c->stream);
}

void
puppet_take(puppet_call *c)
{
	if (c->stream != NULL)
		ops->taken(c->puppet->engine, c->stream, c->untaken);
	c->untaken = 0;
}

void
puppet_cancel(puppet_call *c)
{
	if (c->stream == NULL)
		return;
	ops->abort(c->puppet->engine, c->stream, FARCALL_CANCELLED);
	ops->release(c->puppet->engine, c->stream);
	c->stream = NULL;
}
