/*
 * Our engine against the one on nghttp2, in both roles. A session is made of a seed: calls of
 * random shape (messages from 0 bytes to 1 MiB, metadata, timeouts, tails with odd messages,
 * cancels, aborts), with the bytes between the ends cut at random. Both ends check what they see
 * against the plan that was made from the seed; the plan is the same whoever plays.
 *
 * FARCALL_TEST_ROUNDS multiplies the sessions, FARCALL_TEST_SEED begins elsewhere (a failure prints
 * the seed that repeats it).
 */
#include "tests/support/test.h"

#include "tests/support/nghttp2_engine.h"
#include "tests/wire/oracle_plan.h"

#include <stdio.h>
#include <stdlib.h>

static unsigned long rounds, first_seed;

/* ---- the server's owner ---- */

static const void *
lookup(void *owner, const char *path, size_t size)
{
	(void)owner;
	for (size_t i = 0; i < 3; i++)
		if (strlen(oracle_paths[i]) == size && memcmp(oracle_paths[i], path, size) == 0)
			return oracle_paths[i];
	return NULL;
}

static void
on_request(void *owner, fc_stream *stream, const fc_head *head)
{
	session *s = (session *)owner;
	static const fc_pair agent = {"user-agent", "oracle/1", 10, 8, 0};
	char number[12] = "";
	call *c;

	oracle_check(
	    s, head->n_metadata >= 2 && oracle_same_pair(&head->metadata[0], &agent), "user-agent");
	if (head->n_metadata < 2 || head->metadata[1].value_size >= sizeof number) {
		oracle_check(s, false, "x-call");
		return;
	}
	memcpy(number, head->metadata[1].value, head->metadata[1].value_size);
	c = &s->calls[strtoul(number, NULL, 10) % CALLS];
	oracle_check(s, !c->server_seen && c->opened, "a call twice, or never begun");
	c->server_seen = true;
	c->served = stream;
	stream->user = c;
	oracle_check(s, oracle_is_text(head->path, c->plan.path), "path");
	oracle_check(s, head->method == lookup(NULL, c->plan.path, strlen(c->plan.path)), "method");
	oracle_check(s, oracle_is_text(head->authority, "oracle.test:80"), "authority");
	oracle_check(s, head->timeout_ns == oracle_rounded(c->plan.timeout), "timeout");
	oracle_check_pairs(
	    s, head->n_metadata - 1, head->metadata + 1, &c->plan.request, "request metadata");
}

static void
server_message(void *owner, fc_stream *stream, const uint8_t *at, size_t size)
{
	call *c = (call *)stream->user;

	(void)owner;
	oracle_check(c->session, !c->server_done && !c->server_half_closed, "a late message");
	oracle_check_message(c, false, c->received++, at, size);
	c->server_untaken += size;
}

static void
on_half_close(void *owner, fc_stream *stream)
{
	call *c = (call *)stream->user;

	(void)owner;
	oracle_check(
	    c->session, !c->server_half_closed && !c->server_done, "half-close twice or late");
	oracle_check(
	    c->session, c->received == c->plan.n_requests, "requests missing at half-close");
	c->server_half_closed = true;
}

static void
server_end(call *c)
{
	session *s = c->session;

	c->server_done = true;
	s->server.ops->release(s->server.engine, c->served);
	c->served = NULL;
}

static void
server_abort(void *owner, fc_stream *stream, const fc_abort *why)
{
	call *c = (call *)stream->user;

	(void)owner;
	oracle_check(c->session, !c->server_done, "an end after the end");
	oracle_check(c->session, c->cancelled, "the server's stream was aborted");
	oracle_check(c->session, why->code == FARCALL_CANCELLED, "the code of a cancelled call");
	server_end(c);
}

static void
server_sent(void *owner, fc_stream *stream)
{
	(void)owner;
	((call *)stream->user)->server_waiting = false;
}

/* What the server's owner does in a turn. */
static void
serve(call *c)
{
	session *s = c->session;
	const fc_engine_ops *ops = s->server.ops;
	fc_engine *engine = s->server.engine;
	plan *p = &c->plan;
	fc_tail tail = {p->code, {p->message, strlen(p->message)}, p->tail.n, p->tail.at, 0};

	if (c->server_untaken != 0 && test_random_below(&s->random, 2) == 0) {
		ops->taken(engine, c->served, c->server_untaken);
		c->server_untaken = 0;
	}
	if (p->mischief == SERVER_ABORTS && c->server_turns++ == p->mischief_at) {
		ops->abort(engine, c->served, FARCALL_PERMISSION_DENIED);
		server_end(c);
		return;
	}
	if (!c->server_half_closed && !p->early)
		return;
	if (p->explicit && !c->server_head) {
		ops->send_head(engine, c->served, p->head.n, p->head.at);
		c->server_head = true;
	}
	while (!c->server_waiting && c->answered < p->n_replies) {
		message m = {c, true, c->answered};
		fc_payload payload = {p->reply_size[c->answered], oracle_flat, oracle_pour, &m};
		fc_send sent = ops->send_message(engine, c->served, &payload, false);

		if (sent == FC_SEND_GONE)
			return;
		oracle_check(s, sent != FC_SEND_NO_MEMORY, "no memory");
		c->server_waiting = sent == FC_SEND_WAITING;
		c->answered++;
		if (test_random_below(&s->random, 2) == 0)
			return;
	}
	/* A tail may also be given while messages wait. */
	if (c->answered == p->n_replies &&
	    (!c->server_waiting || test_random_below(&s->random, 4) == 0)) {
		if (ops->send_tail(engine, c->served, &tail) == FC_SEND_GONE)
			return;
		server_end(c);
	}
}

static void
on_drained(void *owner)
{
	session *s = (session *)owner;

	oracle_check(s, !s->drained, "drained twice");
	s->drained = true;
}

static void
on_dead(void *owner, const fc_error *why)
{
	session *s = (session *)owner;

	fprintf(stderr, "dead: %s\n", why->text);
	oracle_check(s, false, "an engine died");
}

static void
server_goaway(void *owner, const fc_error *why)
{
	(void)why;
	oracle_check((session *)owner, false, "GOAWAY from the client");
}

static const fc_engine_events server_events = {
    .lookup = lookup,
    .on_request = on_request,
    .on_message = server_message,
    .on_half_close = on_half_close,
    .on_abort = server_abort,
    .on_sent = server_sent,
    .on_goaway = server_goaway,
    .on_drained = on_drained,
    .on_dead = on_dead,
};

/* ---- the client's owner ---- */

static void
client_end(call *c)
{
	session *s = c->session;

	oracle_check(s, !c->done, "two ends");
	c->done = true;
	s->over++;
	s->client.ops->release(s->client.engine, c->stream);
	c->stream = NULL;
}

static void
on_head(void *owner, fc_stream *stream, const fc_head *head)
{
	call *c = (call *)stream->user;

	(void)owner;
	oracle_check(c->session, !c->head_seen && c->got == 0, "the head is late or comes twice");
	c->head_seen = true;
	oracle_check_pairs(
	    c->session, head->n_metadata, head->metadata, &c->plan.head, "head metadata");
}

static void
client_message(void *owner, fc_stream *stream, const uint8_t *at, size_t size)
{
	call *c = (call *)stream->user;

	(void)owner;
	oracle_check(c->session, c->head_seen, "a message before the head");
	oracle_check_message(c, true, c->got++, at, size);
	c->untaken += size;
}

static void
on_tail(void *owner, fc_stream *stream, const fc_tail *tail)
{
	call *c = (call *)stream->user;
	session *s = (session *)owner;

	oracle_check(s, tail->cause == FARCALL_CAUSE_NONE, "a tail of the engine's own");
	oracle_check(s, tail->code == c->plan.code, "status");
	oracle_check(s, oracle_is_text(tail->message, c->plan.message), "message");
	oracle_check_pairs(s, tail->n_metadata, tail->metadata, &c->plan.tail, "tail metadata");
	oracle_check(s, c->got == c->plan.n_replies, "replies missing");
	oracle_check(
	    s, c->head_seen == (c->plan.n_replies != 0 || c->plan.explicit), "trailers only");
	oracle_check(s, c->plan.mischief != SERVER_ABORTS || c->server_turns <= c->plan.mischief_at,
	    "a tail though aborted");
	client_end(c);
}

static void
client_abort(void *owner, fc_stream *stream, const fc_abort *why)
{
	call *c = (call *)stream->user;
	session *s = (session *)owner;

	oracle_check(s, c->plan.mischief == SERVER_ABORTS, "the call was aborted");
	oracle_check(s, why->code == FARCALL_PERMISSION_DENIED, "the abort's code");
	client_end(c);
}

static void
client_sent(void *owner, fc_stream *stream)
{
	(void)owner;
	((call *)stream->user)->waiting = false;
}

static void
on_ready(void *owner)
{
	((session *)owner)->ready = true;
}

static void
on_capacity(void *owner)
{
	(void)owner;
}

static void
on_goaway(void *owner, const fc_error *why)
{
	(void)why;
	((session *)owner)->goaway = true;
}

static const fc_engine_events client_events = {
    .on_head = on_head,
    .on_message = client_message,
    .on_tail = on_tail,
    .on_abort = client_abort,
    .on_sent = client_sent,
    .on_ready = on_ready,
    .on_capacity = on_capacity,
    .on_goaway = on_goaway,
    .on_dead = on_dead,
};

static void
begin(session *s, call *c)
{
	plan *p = &c->plan;
	fc_request request = {
	    {p->path, strlen(p->path)}, p->timeout, p->request.n, p->request.at, 0};

	c->opened = true;
	c->stream = s->client.ops->open_stream(s->client.engine, &request, c);
	if (c->stream == NULL)
		c->opened = false; /* again later */
	else
		s->started++;
}

/* What the client's owner does in a turn. */
static void
drive(call *c)
{
	session *s = c->session;
	const fc_engine_ops *ops = s->client.ops;
	plan *p = &c->plan;

	if (c->untaken != 0 && test_random_below(&s->random, 2) == 0) {
		ops->taken(s->client.engine, c->stream, c->untaken);
		c->untaken = 0;
	}
	if (p->mischief == CLIENT_CANCELS && c->turns++ == p->mischief_at) {
		c->cancelled = true;
		if (test_random_below(&s->random, 2) == 0)
			ops->abort(s->client.engine, c->stream, FARCALL_CANCELLED);
		client_end(c);
		return;
	}
	while (!c->waiting && !c->half_closed && c->sent < p->n_requests) {
		message m = {c, false, c->sent};
		fc_payload payload = {p->request_size[c->sent], oracle_flat, oracle_pour, &m};
		bool last = p->last && c->sent + 1 == p->n_requests;
		fc_send sent = ops->send_message(s->client.engine, c->stream, &payload, last);

		if (sent == FC_SEND_GONE)
			return;
		oracle_check(s, sent != FC_SEND_NO_MEMORY, "no memory");
		c->waiting = sent == FC_SEND_WAITING;
		c->half_closed = last;
		c->sent++;
		if (test_random_below(&s->random, 2) == 0)
			return;
	}
	if (!c->waiting && !c->half_closed) {
		ops->half_close(s->client.engine, c->stream);
		c->half_closed = true;
	}
}

/* ---- between them ---- */

static bool
move(session *s, side *from, side *to)
{
	fc_piece pieces[4];
	size_t n = from->ops->output(from->engine, pieces, FC_COUNT(pieces));
	uint8_t *copy;
	size_t size;

	if (n == 0 || pieces[0].size == 0)
		return false;
	size = pieces[0].size;
	if (s->chunk != 0) {
		size_t cut = 1 + test_random_below(&s->random, s->chunk);

		size = FC_MIN(size, cut);
	}
	copy = (uint8_t *)malloc(size); /* of just that size, for tools */
	assert_non_null(copy);
	memcpy(copy, pieces[0].at, size);
	from->ops->wrote(from->engine, size);
	to->ops->input(to->engine, copy, size, s->now);
	free(copy);
	return true;
}

static bool
tick(session *s, side *one)
{
	if (one->ops->due(one->engine) > s->now)
		return false;
	one->ops->tick(one->engine, s->now);
	return true;
}

static void
turn(session *s)
{
	uint32_t begin_one = test_random_below(&s->random, 3);

	for (size_t i = 0; i < s->n; i++) {
		call *c = &s->calls[i];

		if (!c->opened && begin_one == 0 && s->ready) {
			begin(s, c);
			begin_one = 1;
		}
		if (c->stream != NULL)
			drive(c);
		if (c->served != NULL)
			serve(c);
	}
	/* In small chunks many moves make a turn, else it takes for ever. */
	for (int i = 0; i < 64; i++) {
		bool moved = move(s, &s->client, &s->server);

		moved |= move(s, &s->server, &s->client);
		if (!moved || test_random_below(&s->random, 64) == 0)
			break;
	}
	tick(s, &s->client);
	tick(s, &s->server);
}

static void
open_session(session *s, const fc_engine_ops *client, const fc_engine_ops *server)
{
	fc_engine_config config = {.pool = &s->pool,
	    .max_message = MOST,
	    .max_metadata = 16384,
	    .max_streams = 8,
	    .settings_timeout_ns = FC_NEVER / 4,
	    .authority = "oracle.test:80",
	    .user_agent = "oracle/1",
	    .scheme = "http"};

	fc_pool_init(&s->pool, 1 << 22);
	config.stream_window = test_random_below(&s->random, 2) ? 65535 : 1 << 20;
	config.connection_window = test_random_below(&s->random, 2) ? 65535 : 1 << 20;
	s->server = (side){server, server->open(&config, &server_events, s, s->now)};
	config.client = true;
	s->client = (side){client, client->open(&config, &client_events, s, s->now)};
	assert_non_null(s->server.engine);
	assert_non_null(s->client.engine);
}

/* For whoever looks for the fault. */
static void
tell(const call *c)
{
	fprintf(stderr,
	    "call %u: opened %d sent %zu/%zu waiting %d half-closed %d got %zu done %d | seen %d "
	    "received %zu half-closed %d answered %zu/%zu waiting %d done %d | mischief %d early "
	    "%d code %d\n",
	    (unsigned)c->number, c->opened, c->sent, c->plan.n_requests, c->waiting, c->half_closed,
	    c->got, c->done, c->server_seen, c->received, c->server_half_closed, c->answered,
	    c->plan.n_replies, c->server_waiting, c->server_done, (int)c->plan.mischief,
	    c->plan.early, (int)c->plan.code);
}

static void
run_session(unsigned long seed, const fc_engine_ops *client, const fc_engine_ops *server)
{
	static const uint32_t chunks[] = {1, 10, 1000, 70000, 0};
	static const size_t mosts[] = {300, 3000, 100000, MOST, MOST};
	session *s = (session *)calloc(1, sizeof *s);
	uint32_t kind, turns = 0;

	assert_non_null(s);
	s->now = FC_NS_PER_S;
	test_random_seed(&s->random, seed);
	kind = test_random_below(&s->random, 5);
	s->chunk = chunks[kind];
	s->most = mosts[kind];
	s->n = 1 + test_random_below(&s->random, CALLS);
	for (uint32_t i = 0; i < s->n; i++) {
		s->calls[i].session = s;
		s->calls[i].number = i;
		oracle_plan(s, &s->calls[i]);
	}
	open_session(s, client, server);
	while (s->over < s->n && s->wrong == NULL && turns++ < 200000)
		turn(s);
	oracle_check(s, s->over == s->n, "calls do not end");
	s->server.ops->drain(s->server.engine, s->now, "");
	/* nghttp2, once it has no stream and GOAWAY has come, answers no PING: then a timer helps.
	 */
	for (turns = 0; !(s->drained && s->goaway) && s->wrong == NULL && turns < 10000; turns++) {
		s->now += FC_NS_PER_MS;
		turn(s);
	}
	oracle_check(s, s->drained, "the drain does not end");
	oracle_check(s, s->goaway, "the client does not see the drain");
	for (size_t i = 0; i < s->n && s->wrong == NULL; i++) {
		call *c = &s->calls[i];

		oracle_check(
		    s, c->server_seen || c->plan.mischief == CLIENT_CANCELS, "a call never came");
		oracle_check(
		    s, !c->server_seen || c->server_done, "the server's call does not end");
		oracle_check(s, c->plan.mischief != NONE || c->plan.early || c->server_half_closed,
		    "no half-close");
	}
	for (size_t i = 0; i < s->n && s->wrong != NULL; i++)
		tell(&s->calls[i]);
	client->free(s->client.engine);
	server->free(s->server.engine);
	fc_pool_fini(&s->pool);
	if (s->wrong != NULL)
		fail_msg("%s to %s: %s; FARCALL_TEST_SEED=%lu", client->name, server->name,
		    s->wrong, seed);
	free(s);
}

static void
run_sessions(const fc_engine_ops *client, const fc_engine_ops *server, unsigned long n)
{
	for (unsigned long i = 0; i < n * rounds; i++)
		run_session(first_seed + i, client, server);
}

static void
nghttp2_to_nghttp2(void **state)
{
	(void)state;
	run_sessions(&nghttp2_engine, &nghttp2_engine, 30);
}

static void
ours_to_nghttp2(void **state)
{
	(void)state;
	run_sessions(&fc_h2_engine, &nghttp2_engine, 70);
}

static void
nghttp2_to_ours(void **state)
{
	(void)state;
	run_sessions(&nghttp2_engine, &fc_h2_engine, 70);
}

static void
ours_to_ours(void **state)
{
	(void)state;
	run_sessions(&fc_h2_engine, &fc_h2_engine, 70);
}

static unsigned long
environment(const char *name, unsigned long otherwise)
{
	const char *text = getenv(name);

	return text != NULL ? strtoul(text, NULL, 10) : otherwise;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(nghttp2_to_nghttp2),
	    clean_test(ours_to_nghttp2),
	    clean_test(nghttp2_to_ours),
	    clean_test(ours_to_ours),
	};

	rounds = environment("FARCALL_TEST_ROUNDS", 1);
	first_seed = environment("FARCALL_TEST_SEED", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
