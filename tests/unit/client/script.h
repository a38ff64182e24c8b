/*
 * script.h: a server that answers as a script says, request by request, and notes what came and
 * when; on the loop and the virtual clock of a fixture.
 */
#ifndef FC_TEST_SCRIPT_H
#define FC_TEST_SCRIPT_H

#include "tests/unit/client/attempts.h"

#define SCRIPT_MOST 1024

typedef struct script_line {
	farcall_code code;
	const char *pushback; /* a trailer; NULL: none */
	bool head;            /* and a message, before the status */
	bool silent;          /* no answer: it is kept */
} script_line;

typedef struct script {
	const script_line *lines;
	int n; /* what comes after them is answered with OK */

	int n_requests, n_aborts;
	uint64_t at[SCRIPT_MOST];  /* when each came */
	int previous[SCRIPT_MOST]; /* grpc-previous-rpc-attempts; -1: none */
	tiny_call *kept[SCRIPT_MOST];
} script;

extern script played;

/* The fixture with a server and a channel with this service config. */
void script_begin(fixture *f, const char *json, const script_line *lines, int n);
void script_restart(const script_line *lines, int n); /* forgets what came */
void script_end(fixture *f);

void script_answer(tiny_call *call, const script_line *line);

/* Turns, with time going on, until it has ended. */
void script_wait(fixture *f, const outcome *to);

#endif
