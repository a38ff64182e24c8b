/*
 * old_outcome.h: what a closure of a call through protoc-c's functions was given.
 */
#ifndef FC_TEST_OLD_OUTCOME_H
#define FC_TEST_OLD_OUTCOME_H

#include "tests/pair/old_service.h"

#include <uv.h>

/* Filled by old_note_error(), then by old_note(). */
typedef struct outcome {
	atomic_int times;
	bool replied, foreign; /* foreign: not in the thread that made the call */
	char text[64];
	int errors;
	farcall_code code;
	char error[256];
	uv_thread_t maker;
	ProtobufCService *destroys; /* in the closure */
	farcall_channel *closes;
} outcome;

void outcome_reset(outcome *to);

/* The closure, and the function for errors; `data` is the outcome. */
void outcome_note(const Pair__Message *reply, void *data);
void outcome_note_error(farcall_call *call, void *data);

/* A service of `channel` that notes its errors; the outcome is reset. */
ProtobufCService *outcome_service(farcall_channel *channel, outcome *to);

/* Fills `request` and gives it back. */
Pair__Message *old_message(Pair__Message *request, const char *text, uint32_t number);

#endif
