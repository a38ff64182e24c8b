/*
 * hooked.h: an interceptor that writes down what it sees and answers as the test says.
 */
#ifndef FC_TEST_HOOKED_H
#define FC_TEST_HOOKED_H

#include "tests/support/pair.h"

typedef struct hooked {
	const char *name;
	farcall_code answer;     /* of begin; PENDING: the call is kept in `held` */
	const char *text;        /* for farcall_call_fail() in begin, if not NULL */
	const char *key, *value; /* metadata to add in begin, if not NULL */
	bool resume_inside;      /* resumes before begin returns, with OK */
	farcall_call *_Atomic held;
	atomic_int n_begun, n_messages, n_ended, n_held;

	/* of the last call */
	farcall_outcome outcome;
	char error[300], path[100], peer[100];
	size_t n_metadata;
	char seen[128]; /* the text of the last message, or its type */
	int wrong;      /* promises that were broken */
} hooked;

void hooked_init(hooked *h, const char *name);

/* All hooks; `h` is their data. */
extern const farcall_interceptor hooked_hooks;

/* What all of them have written since the last time, such as "begin a, begin b, end b, end a". */
const char *hooked_log(void);

/* Waits until begin pends, and gives the call. */
farcall_call *hooked_held(hooked *h, int nth);

/* What a channel's thread still holds goes in a moment. */
void hooked_settle(void);

#endif
