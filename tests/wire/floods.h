/*
 * floods.h: what the scripts of both roles share about peers that make work for nothing.
 */
#ifndef FC_TEST_FLOODS_H
#define FC_TEST_FLOODS_H

#include "tests/support/wire.h"

/* The connection has ended with ENHANCE_YOUR_CALM and this text. */
void wire_calms_down(wire *w, const char *text);

/* Each frame that does no work: at its limit, a second later, with work done for more, and one past
 * it. */
void floods_run(bool client);

#endif
