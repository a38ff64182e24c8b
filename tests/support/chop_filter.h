/*
 * chop_filter.h: a filter on every pipe, to show what is above it and what a filter may do: it cuts
 * what is read and written into pieces of its own choosing, lets time pass between them, ends a
 * direction early, and with records of its own it wants to write before it can read, as TLS does.
 */
#ifndef FC_TEST_CHOP_FILTER_H
#define FC_TEST_CHOP_FILTER_H

#include "runtime/transport/transport.h"

typedef struct chop_options {
	uint64_t seed;
	uint64_t delay_ns; /* longest time between two pieces; 0: none passes */
	bool records;      /* both ends must be wrapped; bytes on the wire are not the owner's */
	uint64_t half_close_after; /* bytes written, then the end is sent; 0: never */
} chop_options;

/* From now on, until removed. */
void chop_filter_install(const chop_options *options);
void chop_filter_remove(void);

/* Answers that had to be written before something could be read, since installed. */
unsigned chop_filter_answers(void);

#endif
