/*
 * streams.h: the streaming calls of a universe. A stream is a sim_call, with the deadlines, cancels
 * and codes that every call has, and beside it what is here: its program at the client, and one for
 * each time that a handler runs for it. Both send and receive by steps with callbacks, each at its
 * own pace.
 */
#ifndef FC_SIM_STREAMS_H
#define FC_SIM_STREAMS_H

#include <farcall/farcall.h>

#include "stream.farcall.h"

#define SIM_STREAMS 24
#define SIM_ATTEMPTS 3
#define SIM_HOUSES 256
#define SIM_WINDOW ((size_t)1 << 20)  /* of a stream: docs/limits.md */
#define SIM_UNSENT ((size_t)64 << 10) /* likewise: what waits at its sender */

#define SIM_REPLAY ((size_t)256 << 10) /* likewise: what is kept for another attempt */

typedef struct sim sim;
typedef struct sim_call sim_call;

/* As in stream.proto, so that it is the method's number, too. */
typedef enum sim_shape { SIM_REPLIES, SIM_REQUESTS, SIM_BOTH, SIM_SHAPES } sim_shape;

/* How a client leaves that does not read to the end. */
typedef enum sim_leave { SIM_STAYS, SIM_FINISHES, SIM_CANCELS, SIM_FREES } sim_leave;

/* The program at one end of a stream. */
typedef struct sim_half {
	/* chosen */
	unsigned to_send;
	uint64_t send_pace, recv_pace; /* ns between two messages, at most */
	unsigned pause_at;             /* before it takes this message it pauses … */
	uint64_t pause;                /* … for so long */

	/* what has happened */
	unsigned sent, accepted; /* messages given to a step; those whose step said OK */
	unsigned received;
	size_t bytes_accepted, bytes_received; /* of their data */
	bool sending, receiving;               /* a callback is to come */
	bool out_closed, in_end;
	farcall_code in_code;        /* how receiving has ended */
	uint64_t send_at;            /* when the last message was given to its step */
	uint64_t send_due, recv_due; /* FC_NEVER: no step is planned */
} sim_half;

/* A server that has been started, whatever became of it. */
typedef struct sim_house {
	sim *world;
	farcall_server *server; /* NULL: freed */
} sim_house;

/* What a handler does for a stream, from its call to its completion. */
typedef struct sim_served {
	sim_call *of;
	farcall_call *call; /* NULL: completed, or never run */
	sim_house *house;
	Stream__Message *reply; /* of SIM_REQUESTS */
	sim_half half;
	unsigned end_after; /* messages in both directions, after which it ends early */
	uint64_t end_due;
	unsigned told;
	bool completed;
	farcall_code code;
} sim_served;

typedef struct sim_stream {
	sim_shape shape;
	uint32_t most[2]; /* bytes of a request's data, of a reply's, below that */
	bool large[2];    /* its requests, its replies: more than the windows hold */
	bool plain;       /* it is never compressed */
	bool compressed, half_closes;
	sim_leave leave;
	unsigned leave_at; /* messages received */
	uint64_t finish_due;
	bool headed;                /* the response's head was waited for, and came */
	bool finishing;             /* its callback is to come */
	unsigned attempt;           /* that replies come from, from 1; 0: none has come */
	unsigned answer, answer_of; /* SIM_REQUESTS: the reply's count, and who gave it */
	sim_half client;
	sim_served served[SIM_ATTEMPTS];
} sim_stream;

/* ---- streams.c: the client; what both have ---- */

sim_call *sim_stream_start(sim *w, unsigned client, bool plain); /* NULL: there are no more */
void sim_stream_freed(sim_call *c, farcall_call *call);          /* before it is */
bool sim_stream_is_long(const sim_call *c);                      /* too long to be sent again */
bool sim_stream_waits(const sim_call *c);                        /* some callback is to come */
void sim_stream_check_outcome(sim_call *c); /* it ended with OK, or as its handler meant */
void sim_streams_look(sim *w);              /* steps that are due */
uint64_t sim_streams_next(const sim *w);
bool sim_streams_over(const sim *w);

void sim_half_plan(sim *w, sim_half *h, unsigned n_in, bool large);
void sim_stream_message(
    const sim_call *c, bool reply, unsigned i, unsigned attempt, Stream__Message *message);
void sim_stream_check_message(
    const sim_call *c, const sim_half *h, bool reply, const ProtobufCMessage *message);
void sim_stream_called(const sim_call *c, bool *awaited, const char *step);
void sim_stream_check_room(const sim_call *c, bool reply, const sim_half *from, const sim_half *to);

/* ---- served.c: the servers ---- */

extern const struct stream_test sim_stream_handlers;
sim_house *sim_house_open(sim *w, farcall_server *server);
void sim_house_closed(sim *w, const farcall_server *server); /* it has been freed */
void sim_served_look(sim *w, sim_served *s);
uint64_t sim_served_next(const sim_served *s);

#endif
