/*
 * flow.h: the messages of a streaming call between the owner of its loop and the program: in each
 * direction a queue that is bounded, by the window that the peer is given and by what may wait to
 * be sent. Both sides' calls have one (farcall_call.flow) while they stream; unary calls have none.
 *
 * "The owner" is the owner of the loop that has the call's connection. "The program" is at most one
 * receiving and one sending thread at a time, and its callbacks, which never overlap.
 *
 * What arrives is copied, and unpacked when the program takes it: in its own thread, into call->in,
 * which is its receiver's. What is sent is packed in the program's thread; call->out, where the
 * message was built, is the sender's, and begins anew with each message. What the wire brings
 * besides (metadata, the outcome) is written by the owner into `wire`, never into call->kept.
 */
#ifndef FC_CALL_FLOW_H
#define FC_CALL_FLOW_H

#include "runtime/base/buf.h"
#include "runtime/call/call.h"
#include "runtime/call/marshal.h"
#include "runtime/loop/thread.h"

#define FC_FLOW_UNSENT ((size_t)64 << 10)  /* bytes that wait to be sent, or one message */
#define FC_FLOW_REPLAY ((size_t)256 << 10) /* bytes sent that are kept for a further attempt */

/* What one side does for its flows. */
typedef struct fc_flow_ops {
	/* Any thread, nothing locked: has the owner call fc_flow_pump() soon. The flow does not ask
	 * again before it is pumped. Whoever implements it keeps a reference meanwhile. */
	void (*wake)(farcall_call *call);

	/* The program, first in each blocking step: not OK, and `error` is set, where that must not
	 * be (inside a step of the loop), whether or not it would have to wait. */
	farcall_code (*may_block)(farcall_call *call, fc_error *error);

	/* The program, before it sleeps: a handler gives its loop away. *turned is set if it has
	 * turned the loop itself, and something may have happened; else it sleeps, and others turn
	 * the loop. Not OK, and `error` is set, if nobody would: the step fails. */
	farcall_code (*turn)(farcall_call *call, bool *turned, fc_error *error);

	/* The owner: has fc_flow_call_back() called once, where the program's callbacks run. Keeps
	 * a reference until that has returned. */
	void (*call_back)(farcall_call *call);

	/* The owner: takes a message to the wire; `last`: none will follow. */
	fc_send (*send)(farcall_call *call, const fc_payload *payload, bool last);

	/* The owner: the program has taken messages of so many bytes. */
	void (*taken)(farcall_call *call, size_t size);

	/* The owner: all was given to send(), after fc_flow_finish_sending(); `said`: the last
	 * message was sent as such. Client: half-closes, if not. Server: may send the tail. */
	void (*emptied)(farcall_call *call, bool said);

	/* The program, or the owner: what was sent or has arrived ends the call with this. On
	 * return the outcome stands, as the program sees it. */
	void (*fail)(farcall_call *call, const fc_error *error);
} fc_flow_ops;

/* What the program wants to be told, and how. */
typedef struct fc_then {
	farcall_done *done;
	farcall_thunk *thunk; /* if set, calls `typed` */
	farcall_function *typed;
	void *data;
} fc_then;

/* BLOCKS: a thread sleeps in a blocking step. READY: only its callback is to come. */
enum fc_step_state { FC_STEP_NONE, FC_STEP_BLOCKS, FC_STEP_WAITS, FC_STEP_READY };

/* What a receiver waits for. */
enum fc_step_wish { FC_WISH_MESSAGE, FC_WISH_HEAD, FC_WISH_END };

typedef struct fc_step {
	enum fc_step_state state;
	enum fc_step_wish wish; /* receiving */
	fc_then then;
	farcall_code code; /* sending: how it went, when READY */
} fc_step;

struct fc_flow {
	/* constant from the start on */
	farcall_call *call;
	const fc_flow_ops *ops;
	size_t replay;    /* bytes sent that are kept for a further attempt: FC_FLOW_REPLAY */
	size_t most_sent; /* bytes of a message sent */
	size_t credit;    /* bytes taken that the owner is woken for */

	/* the receiver */
	fc_buf reading;  /* messages that it has of the queue */
	size_t consumed; /* bytes of them that it has taken, and not told */
	unsigned n_consumed;

	/* the sender */
	fc_buf draft; /* the message that it packs */

	/* the owner */
	fc_arena wire;  /* metadata, the outcome's texts */
	fc_buf sending; /* the engine gets them one by one */
	size_t offered; /* bytes of `sending` that it has got; before that, kept for a replay */
	bool ready;     /* there is a stream */
	bool committed; /* nothing is kept for a replay */
	bool blocked;   /* the engine waits for the peer's window */
	bool end_sent;
	size_t arrived;                /* messages, in all */
	const ProtobufCMessage *reply; /* client stream: to be set before the flow is shut */

	/* of compressed ones; set under `lock` before the first is queued, then constant */
	unsigned coding;
	size_t max_message; /* bytes of one, inflated */

	/* any thread */
	atomic_bool has_receiver, has_sender; /* the places are taken, until the step has ended */
	atomic_bool dropped;                  /* over, with what had arrived; set under `lock` */

	/* under `lock` */
	fc_mutex lock;
	fc_cond readable, writable;
	bool posted;      /* wake() was called */
	bool calling;     /* fc_flow_call_back() is to come, or under way */
	fc_buf queue;     /* messages that arrived */
	size_t taken;     /* bytes that the engine has not been told */
	unsigned n_taken; /* messages */
	bool headed;      /* client: the response's head has come */
	bool in_end;      /* no more will arrive */
	bool discards;    /* nothing that arrives is wanted any more */
	fc_buf unsent;    /* messages for the owner */
	size_t n_unsent;  /* bytes of them and of those in `sending` that were not offered */
	bool starved;     /* there was no memory to queue a message: the call is to fail */
	bool drafted;     /* a message waits in `draft` for room */
	bool out_end;     /* the program sends no more; but for that message on a client */
	bool over;        /* the call has ended for the wire: `code` stands */
	farcall_code code;
	fc_step recv, send;
};

/* ---- the owner, or nobody else has it yet ---- */

/* `credit`: a part of the stream's window. NULL and `error`: out of memory. */
fc_flow *fc_flow_new(
    farcall_call *call, const fc_flow_ops *ops, fc_pool *pool, size_t credit, fc_error *error);
void fc_flow_free(fc_flow *flow); /* may be NULL */

/* There is a stream: what was sent goes there, from the first message that is kept. */
void fc_flow_open(fc_flow *flow);

/* The stream has gone, and another one may come: what was kept will be sent again. */
void fc_flow_again(fc_flow *flow);
bool fc_flow_may_replay(const fc_flow *flow);
void fc_flow_commit(fc_flow *flow); /* no other stream will come */

/* Client: the response's head has come, and stands; so no other stream will. */
void fc_flow_head(fc_flow *flow);

/* A message; copied. false: no memory. */
bool fc_flow_arrive(fc_flow *flow, const uint8_t *bytes, size_t size);

/* The same in on_message of a stream that is `raw`: so that compressed messages wait as they came,
 * and are inflated one at a time, in the program's thread, when it takes them. */
bool fc_flow_arrive_from(fc_flow *flow, const fc_stream *stream, const uint8_t *bytes, size_t size);

/* The peer will send no more messages. */
void fc_flow_end(fc_flow *flow);

/* The engine has framed all that it was given. */
void fc_flow_sent(fc_flow *flow);

/* The call has ended for the wire, with this; what the program waits for, it is told. `drop`: what
 * arrived and was not taken is lost. */
void fc_flow_shut(fc_flow *flow, farcall_code code, bool drop);

/* What fc_flow_ops.wake() has asked for. Whoever calls it has a reference to the call. */
void fc_flow_pump(fc_flow *flow);

/* Where callbacks run: calls those that are due. */
void fc_flow_call_back(fc_flow *flow);

/* ---- the program ---- */

/* Before it is opened, and nobody else has it: a message that never waits for room. */
farcall_code fc_flow_put(fc_flow *flow, const ProtobufCMessage *message, fc_error *error);

/* As farcall_call_send() and farcall_call_recv(); arguments have been checked. */
farcall_code fc_flow_send(fc_flow *flow, const ProtobufCMessage *message);
farcall_code fc_flow_recv(fc_flow *flow, const ProtobufCMessage **message);
void fc_flow_send_async(fc_flow *flow, const ProtobufCMessage *message, const fc_then *then);
void fc_flow_recv_async(fc_flow *flow, const fc_then *then);

/* Client: until the response's head has come. */
farcall_code fc_flow_recv_head(fc_flow *flow);
void fc_flow_recv_head_async(fc_flow *flow, const fc_then *then);

/* No more will be sent; never blocks. */
void fc_flow_finish_sending(fc_flow *flow);

/* Client: that, drops what was not received, and waits until the call has ended. */
farcall_code fc_flow_finish(fc_flow *flow);
void fc_flow_finish_async(fc_flow *flow, const fc_then *then);

/* Calls it. */
void fc_then_call(
    const fc_then *then, farcall_call *call, farcall_code code, const ProtobufCMessage *message);

#endif
