/*
 * internal.h: the server's room. A server has what the program sets up, and its loops, one or
 * more, each with its own connections, calls and threads. References keep it: the program's handle,
 * each connection, and the first loop's thread; a pending call keeps its connection.
 */
#ifndef FC_SERVER_INTERNAL_H
#define FC_SERVER_INTERNAL_H

#include "runtime/base/atomic.h"
#include "runtime/base/list.h"
#include "runtime/call/call.h"
#include "runtime/call/conn.h"
#include "runtime/call/intercept.h"
#include "runtime/call/marshal.h"
#include "runtime/call/memo.h"
#include "runtime/loop/crew.h"
#include "runtime/loop/signals.h"
#include "runtime/loop/thread.h"
#include "runtime/transport/registry.h"
#include "server/quota.h"

#include <farcall/server.h>

#define FC_SERVER_SIGNAL_GRACE_MS 30000
#define FC_SERVER_ENDPOINTS_MOST 64
#define FC_SERVER_LOOPS_MOST 256
#define FC_SERVER_BACKLOG_MOST ((size_t)64 << 20) /* answers that a peer does not take */
#define FC_SERVER_PEER_TIMEOUT_MS 20000u
#define FC_SERVER_PEER_TIMEOUT_LEAST_MS 1000u
#define FC_SERVER_PEER_TIMEOUT_MOST_MS 86400000u
#define FC_SERVER_KEEPALIVE_MS 7200000u /* gRFC A8 */
#define FC_SERVER_KEEPALIVE_TIMEOUT_MS 20000u
#define FC_SERVER_PING_INTERVAL_MS 300000u
#define FC_SERVER_LIFE_LEAST_MS 1000u
#define FC_SERVER_LIFE_MOST_MS 2147483647u /* as gRPC's options */
#define FC_SERVER_KEEP_CALLS 1024          /* call objects that a loop keeps for the next calls */

/* Where the task that stops is. A server that ends while the task is in the mail is freed by the
 * task. */
enum fc_stop_post { FC_STOP_NOT_POSTED, FC_STOP_POSTED, FC_STOP_FREES };

typedef enum fc_server_state {
	FC_SERVER_SETUP,
	FC_SERVER_RUNNING,
	FC_SERVER_STOPPING,
	FC_SERVER_STOPPED
} fc_server_state;

typedef struct fc_old_service fc_old_service;

/* What a service's calls go through that others do not. */
enum { FC_EXTRA_HOOKS = 1, FC_EXTRA_ANY_PATH = 2 };

/* Of connections; ms, 0: never. */
typedef struct fc_lifecycle {
	unsigned keepalive, keepalive_timeout;
	unsigned ping_interval; /* of the peer's; 0: any */
	bool pings_without_calls;
	unsigned max_idle, max_age, age_grace;
} fc_lifecycle;

struct farcall_service {
	fc_list in_server;
	farcall_server *server;
	const farcall_interface *iface;
	fc_old_service *old; /* a protobuf-c service, whose `iface` is in it; NULL: none */
	void *ops;           /* our copy of the handlers */
	size_t ops_size;
	void *self;
	size_t max_calls, max_message; /* 0: the server's */
	uint8_t *places;               /* fc_work_place of each method; NULL: none was declared */
	fc_quota calls;                /* if it has a limit of its own; from start on */
	fc_interceptor authorize;      /* its begin; NULL: none */
	unsigned extras;               /* FC_EXTRA_…; from start on */
	fc_list allowed;               /* fc_name; empty: every endpoint */
	uint64_t endpoints; /* bit i: reachable at the endpoint with index i; from start on */
};

typedef struct fc_name {
	fc_list in_list;
	char text[];
} fc_name;

struct farcall_endpoint {
	fc_list in_server;
	farcall_server *server;
	unsigned index;
	char *name;       /* NULL: none */
	char *address;    /* as given to bind */
	bool insecure;    /* plaintext beyond this host is allowed */
	fc_place *places; /* real addresses; fixed from bind to free */
	size_t n_places;
	fc_listener *listener; /* NULL once the server stops */
};

/* A registry that the program named, and a record of ours in one. */
typedef struct fc_registry {
	fc_list in_server;
	char dir[];
} fc_registry;

typedef struct fc_published {
	fc_list in_server;
	fc_record *record;
} fc_published;

typedef struct fc_route {
	const farcall_method *method;
	farcall_service *service;
	fc_work_kind *kind;
} fc_route;

/* One of a server's loops. Its connections stay with it, and all that hangs on them. The first one
 * also accepts, renews records and hears of signals; the others run on threads of the server. */
typedef struct fc_server_loop {
	/* constant */
	farcall_server *server;
	unsigned index;
	fc_loop *loop;
	fc_crew *crew; /* who runs handlers */
	fc_engine_config config;
	fc_route *routes; /* sorted by path */
	size_t n_routes;
	fc_work_kind *kinds; /* of the routes */
	fc_thread thread;    /* not the first one's */
	fc_share *calls;     /* its share of the server's limit */
	bool alone;          /* it is the only loop */

	/* the loop's owner */
	fc_server_state state; /* never SETUP */
	fc_list conns;
	fc_list fresh;   /* calls whose deadline is not watched yet */
	fc_task arm;     /* watches them at the end of the turn */
	fc_timer grace;  /* after stop */
	uint64_t random; /* of ages; 0: not seeded yet */

	/* free call objects, under `calls_lock` */
	fc_spin calls_lock;
	struct fc_server_call *free_calls;
	size_t n_free_calls;

	/* any thread */
	atomic_size_t n_conns;  /* the first loop adds, this one takes away */
	atomic_size_t n_pended; /* calls whose begin has pended, till ended and resumed */
	atomic_bool told;       /* `stop` is in the mail */
	fc_task stop;
	fc_task gone; /* in the first loop's mail: this one has stopped */

	/* under `lock` */
	fc_mutex lock;
	bool closed; /* nothing may be posted to the loop any more */

	char apart[64]; /* from what another loop writes */
} fc_server_loop;

struct farcall_server {
	fc_refs refs;
	bool nil;       /* the shared object that stands for "out of memory" */
	unsigned forks; /* there had been, when it was made */

	/* set-up: the program's thread, until start */
	fc_error error;
	size_t max_connections, max_calls, max_message, max_metadata, handler_threads,
	    handler_queue;
	unsigned peer_timeout_ms;
	uint8_t coding; /* of answers; 0: none */
	bool peer_timeout_set;
	fc_lifecycle life;
	uint64_t seed; /* of ages' jitter; 0: by address and time */
	bool serial;
	bool on_signals;
	bool lent; /* the loop is the program's */
	fc_list services, endpoints, registries;
	unsigned n_endpoints;
	fc_interceptors chain; /* interceptors */
	farcall_on_open *on_open;
	farcall_on_close *on_close;
	void *on_connection_data;
	size_t n_loops;
	fc_loop *loop; /* the first one's */

	/* constant from start on */
	fc_server_loop **loops;
	unsigned n_up; /* those that run: all, unless start has failed */
	fc_quota calls;

	/* the first loop's owner, from start on */
	fc_list published;
	fc_timer renewal; /* of the records */
	fc_signals signals;
	unsigned n_others; /* other loops that have not stopped */

	/* any thread */
	atomic_bool paused;        /* accepting, for max_connections; written by the first loop */
	atomic_bool resume_posted; /* `resume` is in the first loop's mail */
	fc_task resume;
	atomic_int state;            /* fc_server_state; written by the loop's owner */
	atomic_int stop_posted;      /* fc_stop_post */
	_Atomic uint64_t stop_grace; /* ms; FC_NEVER: no stop was asked for */
	_Atomic(fc_loop *) running;  /* where a stop is posted */
	fc_task stop;

	atomic_bool is_late;          /* `late` is set, and stays */
	_Atomic uint64_t complain_at; /* not before: of calls that wait for threads */

	/* under `lock` */
	fc_mutex lock;
	fc_error late; /* a step of set-up that came when the server ran */
	fc_cond stopped;
	bool over; /* it has stopped, and every handler has returned */
	bool has_thread;
	fc_thread thread;
};

typedef struct fc_server_conn {
	fc_conn conn;
	fc_list in_loop;
	fc_refs refs;         /* until it is closed, and of its calls together */
	fc_server_loop *home; /* the loop that has it */
	fc_accepted *accepted;
	fc_task adopt; /* on its way there */
	farcall_endpoint *endpoint;
	fc_list calls; /* fc_server_call, those that have a stream */
	fc_list held; /* those whose handlers wait until the peer takes more of what was answered */
	fc_metadata_memo memo;
	fc_peer peer;
	bool welcome;      /* on_close is to be called */
	void *user;        /* as on_open has given it */
	fc_timer life;     /* lifecycle.c; runs if idle or age is limited */
	bool idles;        /* idle is */
	uint64_t quiet_at; /* its last call ended; FC_NEVER: it has had one since the last flush */
	uint64_t old_at, cut_at;

	size_t n_calls; /* that live; under its loop's `calls_lock` */

	/* any thread; in bytes */
	atomic_size_t backlog; /* answers that lie in the engine, as the loop's owner saw it last */
	atomic_size_t unsent;  /* memory of calls whose handlers have returned on another thread */
} fc_server_conn;

/* Steps of a call that is completed later. Whoever sets the second of the two sends the answer. */
enum { FC_PHASE_RETURNED = 1, FC_PHASE_COMPLETED = 2, FC_PHASE_TAKEN = 4 };

typedef struct fc_server_call {
	farcall_call call; /* first */

	/* the loop's owner */
	fc_server_conn *conn; /* kept by fc_server_conn.n_calls */
	fc_stream *stream;    /* NULL: the wire has ended it */
	farcall_service *service;
	fc_list in_conn, in_held, in_fresh;
	fc_timer deadline;
	fc_work work; /* the handler; its task then sends the completion */
	ProtobufCMessage *request;
	fc_shared_metadata *shared; /* the request's metadata lie in it; NULL: in the call */
	bool half_closed; /* its handler may run: the request is whole, or many messages may come */
	bool counted;     /* likewise: among the calls of server and service */
	bool pended;      /* its begin has: among those of its loop (hooks.c) */
	struct fc_server_stream *streaming; /* stream.c; only of a call that has a flow */

	/* the handler, then the loop's owner */
	farcall_code code; /* what it returned */
	bool skipped;      /* it was not called: the call had been cancelled */
	bool postponed;    /* it was not called: the connection is choked */
	size_t unsent;     /* the call's part of the connection's */

	/* the handler, then whoever completes the call */
	bool head_posted; /* by farcall_call_send_head() */
	ProtobufCMessage *reply;
	atomic_uint phase;
	farcall_code result;
	fc_block *packed; /* the reply, when it is packed before the loop's owner sends it */
	fc_text packed_text;

	struct fc_server_call *next_free;
	fc_call_memory memory;
} fc_server_call;

/* shortage.c: calls wait for threads; a crew's on_short, `at` is the loop */
void fc_server_on_short(void *at, const fc_crew_shortage *shortage);

/* server.c */
void fc_server_hold(farcall_server *server);
void fc_server_drop(farcall_server *server);
void fc_server_destroy(farcall_server *server); /* no reference is left */
farcall_code fc_server_fail(farcall_server *server, const fc_error *error);

/* Set-up is still open: true; else FAILED_PRECONDITION sticks, with the name of the step. */
bool fc_server_in_setup(farcall_server *server, const char *step);

/* fork.c: in a child made by fork(). */
bool fc_server_forked(const farcall_server *server, const char *step); /* true: said in the log */
void fc_server_abandon(farcall_server *server);

/* loops.c */
farcall_code fc_loops_open(farcall_server *server, fc_error *error);
farcall_code fc_loops_start(farcall_server *server, fc_error *error); /* all but the first */
void fc_loops_join(farcall_server *server);
void fc_loops_close(farcall_server *server);
bool fc_loops_inside(const farcall_server *server); /* the calling thread is one of theirs */
fc_server_loop *fc_loops_least(const farcall_server *server); /* with the fewest connections */
size_t fc_loops_conns(const farcall_server *server);          /* of all */
bool fc_loop_has_stopped(void *at);

/* service.c */
extern farcall_service fc_nil_service;
farcall_code fc_services_settle(farcall_server *server, fc_error *error);
farcall_code fc_routes_make(fc_server_loop *at, fc_error *error); /* after the crew */
const fc_route *fc_routes_find(const fc_server_loop *at, const char *path, size_t size);
void fc_service_free(farcall_service *service);

/* protobuf_c.c: services that protoc-c generates */
void fc_old_service_free(fc_old_service *old);

/* tickets.c: what their closures are given */
typedef enum fc_ticket_use {
	FC_TICKET_GOOD,
	FC_TICKET_LATE,     /* the call was cancelled before its closure came */
	FC_TICKET_SPENT,    /* the closure has come before */
	FC_TICKET_FORGOTTEN /* one of the two, long ago */
} fc_ticket_use;

void fc_tickets_hold(void); /* one more service has closures */
void fc_tickets_drop(void);
void *fc_ticket_new(farcall_call *call); /* any thread, as the next; NULL: no memory */

/* Uses it up, by cancelling or else by the closure. GOOD: *call is the taker's to complete. */
fc_ticket_use fc_ticket_take(void *ticket, bool cancelled, farcall_call **call);

/* lifecycle.c: how long connections live */
void fc_lifecycle_init(fc_lifecycle *life);
void fc_lifecycle_configure(const farcall_server *server, fc_engine_config *config);
unsigned fc_lifecycle_peer_timeout(const farcall_server *server);
bool fc_lifecycle_begin(fc_server_conn *conn); /* false: no memory */
void fc_lifecycle_end(fc_server_conn *conn);
void fc_lifecycle_note_quiet(fc_server_conn *conn); /* at a flush */

/* For tests: the same ages each time. Before start. */
void fc_server_seed(farcall_server *server, uint64_t seed);

/* endpoint.c */
extern farcall_endpoint fc_nil_endpoint;
farcall_code fc_endpoints_check(farcall_server *server, fc_error *error);
farcall_code fc_endpoints_start(farcall_server *server, fc_error *error);
void fc_endpoints_pause(farcall_server *server, bool pause);
void fc_endpoints_close(farcall_server *server);
void fc_endpoint_free(farcall_endpoint *endpoint);

/* accept.c */
void fc_server_on_accept(void *endpoint, fc_accepted *accepted);
void fc_server_resume(fc_task *task); /* a connection has gone: others may be accepted */
void fc_server_conn_drop(fc_server_conn *conn);
extern const fc_conn_events fc_server_conn_events;

/* dispatch.c: events of calls */
const void *fc_dispatch_lookup(void *owner, const char *path, size_t size);
void fc_dispatch_request(void *owner, fc_stream *stream, const fc_head *head);
void fc_dispatch_message(void *owner, fc_stream *stream, const uint8_t *bytes, size_t size);
void fc_dispatch_half_close(void *owner, fc_stream *stream);
void fc_dispatch_abort(void *owner, fc_stream *stream, const fc_abort *abort);
void fc_dispatch_sent(void *owner, fc_stream *stream);
void fc_dispatch_start(fc_server_call *call); /* the handler, in this turn */
void fc_dispatch_arm(fc_task *task);
void fc_dispatch_resume(fc_conn *conn); /* it has written: goes on with what is held */

/* Ends every call of the connection on the wire; what pends is cancelled and goes on without it. */
void fc_dispatch_cancel_all(fc_server_conn *conn, farcall_code code, const char *why);

/* reply.c */
/* Without memory for it the stream is reset with a code that says so. */
void fc_server_send_tail(fc_conn *conn, fc_stream *stream, const fc_tail *tail);

void fc_reply(fc_server_call *call, farcall_code code); /* sends it, if the wire is still there */
void fc_reply_failure(
    fc_server_call *call, farcall_code code, farcall_cause cause, const char *text);

/* Ends the call on the wire, with nothing that its handler has set: that may run. */
void fc_reply_end(fc_server_call *call, farcall_code code, const char *text);

/* The wire has ended the call, and what its handler waits for fails with `code`. It is cancelled;
 * one that has reached its handler, or waits for it, goes on without a stream, another is finished.
 */
void fc_reply_lost(fc_server_call *call, farcall_code code);
void fc_reply_finish(fc_server_call *call); /* the library's own reference goes */

/* The response's head, with what the handler has added to it. What the peer would not take has been
 * refused, and the call with it, when it answers TOO_LARGE. */
fc_send fc_reply_head(fc_server_call *call);

/* Any thread: runs the task with the owner of the call's loop. false: that has stopped. */
bool fc_reply_post(fc_server_call *call, fc_task *task);
extern const fc_call_ops fc_server_call_ops;
void fc_server_calls_free(fc_server_loop *at);
fc_server_call *fc_server_call_new(fc_server_conn *conn, const fc_route *route);

/* hooks.c: interceptors and authorisation; catch_all.c: any path */
void fc_hooks_settle(farcall_server *server, farcall_service *service);
void fc_hooks_arrived(fc_server_call *call, const fc_head *head); /* of a service with extras */
void fc_hooks_half_closed(fc_server_call *call);
void fc_hooks_answer(fc_server_call *call); /* its reply is about to be sent */
void fc_hooks_over(fc_server_call *call);   /* it has ended; once resumed, it pends no more */
bool fc_catch_all_name(fc_server_call *call, const fc_head *head); /* false: no memory */

/* sessions.c: connections that the program is told of. */
void fc_session_open(fc_server_conn *conn); /* it may be refused, and closes then */
void fc_session_close(fc_server_conn *conn);

/* stream.c: calls with a flow; of the loop's owner, but for the last two */
bool fc_served_begin(fc_server_call *call);       /* gives it one; false: no memory */
bool fc_served_takes(const fc_server_call *call); /* many messages from its client */
void fc_served_message(fc_server_call *call, const uint8_t *bytes, size_t size);
void fc_served_sent(fc_server_call *call);
void fc_served_headed(fc_server_call *call); /* its head has gone, or cannot */

/* The program has ended the call: what it has sent goes out, then the outcome; the call is finished
 * and perhaps gone. */
void fc_served_end(fc_server_call *call, farcall_code code);
void fc_served_lost(fc_server_call *call, farcall_code code);
bool fc_served_ended(const fc_server_call *call); /* it is being finished already */
void fc_served_cancel(fc_server_call *call);      /* the program asks for it */
void fc_served_free(fc_server_call *call);

/* publish.c */
farcall_code fc_publish_all(farcall_server *server, fc_error *error);
void fc_publish_withdraw(farcall_server *server);

/* drain.c */
void fc_server_stop_task(fc_task *task);  /* the first loop: tells the others */
void fc_server_stop_there(fc_task *task); /* another loop */
void fc_server_loop_gone(fc_task *task);
void fc_server_on_signal(fc_signals *signals);
void fc_server_on_grace(fc_timer *timer);
void fc_server_check_drained(fc_server_loop *at); /* the last connection may have gone */

#endif
