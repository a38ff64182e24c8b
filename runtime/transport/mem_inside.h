/*
 * mem_inside.h: one end of a mem pipe, for the files that make and queue it.
 */
#ifndef FC_TRANSPORT_MEM_INSIDE_H
#define FC_TRANSPORT_MEM_INSIDE_H

#include "runtime/transport/mem.h"

#include "runtime/loop/thread.h"

typedef struct ring {
	size_t from, used;
	uint8_t bytes[FC_MEM_RING];
} ring;

struct fc_mem_end {
	/* the owner of its loop */
	fc_pipe pipe;
	bool open_due;
	bool reading;
	bool ended;      /* on_end has been told */
	bool want_write; /* on_writable is to be told */
	bool lost;       /* on_lost has been told */
	bool busy;       /* its events run */

	/* both ends, under the lock */
	struct pair *pair;
	fc_mem_end *peer;
	fc_loop *loop; /* NULL: not adopted yet */
	bool told;     /* its task is under way */
	bool shut;     /* sends no more */
	bool closed;
	bool listens;     /* reading, as the peer sees it */
	bool needs_space; /* waits for room in the peer's ring */
	bool has_space;   /* that room has come */
	int broken;       /* number of the error that ends it */
	fc_task task;
	fc_link link; /* in the listener's queue */
	ring in;
};

typedef struct pair {
	fc_mutex lock;
	unsigned refs; /* ends not let go of; under the lock */
	fc_place place;
	fc_mem_end ends[2]; /* client, server */
} pair;

/* Ready when the loop's turn is the caller's, else posted. */
void fc_mem_send_task(fc_loop *loop, fc_task *task);

/* Gives a server's end to the listener of that name; false: there is none, or no room. */
bool fc_mem_enqueue(const fc_place *place, fc_mem_end *end);

#endif
