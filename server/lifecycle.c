/*
 * lifecycle.c: how long connections live: keepalive and its rules for clients (gRFC A8, kept by the
 * engine), and idle, age and grace (gRFC A9). One timer a connection, and only where idle or age is
 * limited; calls do not move it: when it is due it looks how long there has been none.
 *
 * A connection that has been idle or lived for long enough drains as at a stop: two GOAWAYs, one
 * round trip apart, so that no call is lost. Past the grace its calls are cancelled.
 */
#include "server/internal.h"

/* ---- settings ---- */

void
fc_lifecycle_init(fc_lifecycle *life)
{
	life->keepalive = FC_SERVER_KEEPALIVE_MS;
	life->keepalive_timeout = FC_SERVER_KEEPALIVE_TIMEOUT_MS;
	life->ping_interval = FC_SERVER_PING_INTERVAL_MS;
}

static bool
in_range(farcall_server *server, const char *what, uint64_t ms, uint64_t least, uint64_t most)
{
	fc_error error;

	if (ms >= least && ms <= most)
		return true;
	fc_error_clear(&error);
	fc_fail(&error, FARCALL_INVALID_ARGUMENT, FARCALL_CAUSE_NONE,
	    "%s: %llu is not within %llu and %llu", what, (unsigned long long)ms,
	    (unsigned long long)least, (unsigned long long)most);
	fc_server_fail(server, &error);
	return false;
}

/* 0: never. */
static void
set_ms(farcall_server *server, unsigned *setting, const char *what, uint64_t ms, uint64_t least)
{
	if (fc_server_in_setup(server, what) &&
	    (ms == 0 || in_range(server, what, ms, least, FC_SERVER_LIFE_MOST_MS)))
		*setting = (unsigned)ms;
}

void
farcall_server_set_keepalive_ms(farcall_server *server, uint64_t ms)
{
	if (server != NULL)
		set_ms(server, &server->life.keepalive, "keepalive", ms, FC_SERVER_LIFE_LEAST_MS);
}

void
farcall_server_set_keepalive_timeout_ms(farcall_server *server, uint64_t ms)
{
	if (fc_server_in_setup(server, "keepalive time-out") &&
	    in_range(server, "keepalive time-out", ms, FC_SERVER_PEER_TIMEOUT_LEAST_MS,
	        FC_SERVER_PEER_TIMEOUT_MOST_MS))
		server->life.keepalive_timeout = (unsigned)ms;
}

void
farcall_server_set_ping_interval_ms(farcall_server *server, uint64_t ms)
{
	if (server != NULL)
		set_ms(server, &server->life.ping_interval, "ping interval", ms, 1);
}

void
farcall_server_set_pings_without_calls(farcall_server *server, bool permit)
{
	if (fc_server_in_setup(server, "set pings without calls"))
		server->life.pings_without_calls = permit;
}

void
farcall_server_set_max_connection_idle_ms(farcall_server *server, uint64_t ms)
{
	if (server != NULL)
		set_ms(server, &server->life.max_idle, "max connection idle", ms,
		    FC_SERVER_LIFE_LEAST_MS);
}

void
farcall_server_set_max_connection_age_ms(farcall_server *server, uint64_t ms)
{
	if (server != NULL)
		set_ms(server, &server->life.max_age, "max connection age", ms,
		    FC_SERVER_LIFE_LEAST_MS);
}

void
farcall_server_set_max_connection_grace_ms(farcall_server *server, uint64_t ms)
{
	if (server != NULL)
		set_ms(server, &server->life.age_grace, "max connection grace", ms, 1);
}

void
fc_server_seed(farcall_server *server, uint64_t seed)
{
	server->seed = seed;
}

void
fc_lifecycle_configure(const farcall_server *server, fc_engine_config *config)
{
	const fc_lifecycle *life = &server->life;

	config->keepalive_ns = life->keepalive * FC_NS_PER_MS;
	config->keepalive_timeout_ns = life->keepalive_timeout * FC_NS_PER_MS;
	config->keepalive_without_calls = true;
	config->ping_interval_ns = life->ping_interval * FC_NS_PER_MS;
	config->pings_without_calls = life->pings_without_calls;
}

/* gRFC A18: that of keepalive, unless it was set itself. */
unsigned
fc_lifecycle_peer_timeout(const farcall_server *server)
{
	if (server->peer_timeout_set || server->life.keepalive == 0)
		return server->peer_timeout_ms;
	return server->life.keepalive_timeout;
}

/* ---- a connection ---- */

static uint64_t
seed_of(const fc_server_loop *at)
{
	if (at->server->seed != 0)
		return at->server->seed + at->index;
	return fc_loop_now(at->loop) ^ (uint64_t)(uintptr_t)at;
}

/* Less or more by at most a tenth, evenly, so that clients that came together do not all come back
 * together. xorshift64*. */
static uint64_t
with_jitter(fc_server_loop *at, uint64_t ns)
{
	uint64_t x = at->random;

	if (x == 0)
		x = seed_of(at) * UINT64_C(0x9e3779b97f4a7c15) | 1;
	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	at->random = x;
	return ns - ns / 10 + x * UINT64_C(2685821657736338717) % (ns / 5 + 1);
}

/* When there is something to look at. A connection that has calls is looked at again when it could
 * be idle at the earliest. */
static uint64_t
due_of(const fc_server_conn *conn)
{
	const fc_lifecycle *life = &conn->home->server->life;
	uint64_t since = conn->quiet_at, due = FC_MIN(conn->old_at, conn->cut_at);

	if (!conn->idles)
		return due;
	if (since == FC_NEVER)
		since = fc_loop_now(conn->home->loop);
	return FC_MIN(due, since + life->max_idle * FC_NS_PER_MS);
}

static void
grow_old(fc_server_conn *conn, uint64_t now)
{
	unsigned grace = conn->home->server->life.age_grace;

	conn->old_at = FC_NEVER;
	if (grace != 0)
		conn->cut_at = now + grace * FC_NS_PER_MS;
	fc_conn_drain(&conn->conn, "max_age");
}

static void
cut(fc_server_conn *conn)
{
	conn->cut_at = FC_NEVER;
	fc_dispatch_cancel_all(
	    conn, FARCALL_UNAVAILABLE, "the connection has passed its greatest age");
	fc_conn_close(&conn->conn, FARCALL_OK, "max_age");
}

static void
on_life(fc_timer *timer)
{
	fc_server_conn *conn = FC_CONTAINER(timer, fc_server_conn, life);
	fc_loop *loop = conn->home->loop;
	uint64_t now = fc_loop_now(loop), due;

	if (conn->cut_at <= now)
		cut(conn);
	else if (conn->old_at <= now)
		grow_old(conn, now);
	if (conn->idles && due_of(conn) <= now) {
		conn->idles = false;
		fc_conn_drain(&conn->conn, "max_idle");
	}
	due = due_of(conn);
	if (due != FC_NEVER)
		fc_timer_start(loop, timer, due); /* it has just run: there is room for it */
}

bool
fc_lifecycle_begin(fc_server_conn *conn)
{
	const fc_lifecycle *life = &conn->home->server->life;
	uint64_t now = fc_loop_now(conn->home->loop);

	fc_timer_init(&conn->life, on_life);
	conn->quiet_at = now;
	conn->old_at = conn->cut_at = FC_NEVER;
	conn->idles = life->max_idle != 0;
	if (life->max_age != 0)
		conn->old_at = now + with_jitter(conn->home, life->max_age * FC_NS_PER_MS);
	return due_of(conn) == FC_NEVER ||
	    fc_timer_start(conn->home->loop, &conn->life, due_of(conn));
}

void
fc_lifecycle_end(fc_server_conn *conn)
{
	fc_timer_stop(conn->home->loop, &conn->life);
}

void
fc_lifecycle_note_quiet(fc_server_conn *conn)
{
	if (conn->quiet_at == FC_NEVER && fc_list_empty(&conn->calls))
		conn->quiet_at = fc_loop_now(conn->home->loop);
}
