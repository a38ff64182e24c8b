/*
 * gate.h: handlers that block at a gate until the test opens it, and callers on threads of their
 * own. Included by the tests of handlers that block; everything is static.
 */
#ifndef FC_TEST_GATE_H
#define FC_TEST_GATE_H

#include "tests/support/pair.h"

#include <uv.h>

#include <stdio.h>

typedef struct gate {
	atomic_bool open;
	atomic_int inside, most, passed, cancelled;
} gate;

static FARCALL_UNUSED void
enter(gate *g)
{
	int now = atomic_fetch_add(&g->inside, 1) + 1, most = atomic_load(&g->most);

	while (now > most && !atomic_compare_exchange_weak(&g->most, &most, now))
		;
}

static FARCALL_UNUSED void
pass(gate *g)
{
	for (int i = 0; i < 60000 && !atomic_load(&g->open); i++)
		uv_sleep(1);
	atomic_fetch_sub(&g->inside, 1);
	atomic_fetch_add(&g->passed, 1);
}

/* Custom: blocks until the gate is open. `number` 1: says so first. */
static FARCALL_UNUSED farcall_code
wait_at_gate(
    test_pair *pair, farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	gate *g = (gate *)pair->data;

	if (request->number == 1)
		farcall_block_begin(call);
	enter(g);
	pass(g);
	if (farcall_call_cancelled(call))
		atomic_fetch_add(&g->cancelled, 1);
	reply->text = farcall_call_printf(call, "passed: %s", request->text);
	farcall_call_add_trailer(call, "gate", "passed");
	return FARCALL_OK;
}

/* ---- callers ---- */

typedef struct caller {
	uv_thread_t thread;
	farcall_channel *channel;
	unsigned number;
	uint64_t timeout_ms;
	farcall_code code;
	char text[200];
} caller;

static FARCALL_UNUSED void
call_custom(void *data)
{
	caller *c = (caller *)data;
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_call *call = farcall_call_new(c->channel);
	const Pair__Message *reply = NULL;

	request.text = (char *)(uintptr_t) "hello";
	request.number = c->number;
	farcall_call_set_timeout_ms(call, c->timeout_ms);
	c->code = pair_test_custom(call, &request, &reply);
	snprintf(c->text, sizeof c->text, "%s",
	    c->code == FARCALL_OK ? reply->text : farcall_call_error(call));
	if (c->code == FARCALL_OK && farcall_call_trailers(call) != NULL) {
		const char *trailer = farcall_metadata_get(farcall_call_trailers(call), "gate");

		if (trailer == NULL || strcmp(trailer, "passed") != 0)
			c->code = FARCALL_DATA_LOSS;
	}
	farcall_call_free(call);
}

static FARCALL_UNUSED void
start_caller(caller *c, test_pair *pair, unsigned number, uint64_t timeout_ms)
{
	memset(c, 0, sizeof *c);
	c->channel = pair->channel;
	c->number = number;
	c->timeout_ms = timeout_ms;
	assert_int_equal(uv_thread_create(&c->thread, call_custom, c), 0);
}

static FARCALL_UNUSED void
assert_passed(caller *c)
{
	uv_thread_join(&c->thread);
	assert_string_equal(c->text, "passed: hello");
	assert_int_equal(c->code, FARCALL_OK);
}

static FARCALL_UNUSED void
init_gated(test_pair *pair, gate *g, const char *address)
{
	memset(g, 0, sizeof *g);
	test_pair_init(pair, address);
	pair->custom = wait_at_gate;
	pair->data = g;
}

/* One call of Custom with `number` = depth; the reply's number in *reached. */
static FARCALL_UNUSED farcall_code
descend(test_pair *pair, unsigned depth, unsigned *reached)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_call *call = farcall_call_new(pair->channel);
	const Pair__Message *reply = NULL;
	farcall_code code;

	request.number = depth;
	farcall_call_set_timeout_ms(call, 60000);
	code = pair_test_custom(call, &request, &reply);
	*reached = code == FARCALL_OK ? reply->number : 0;
	if (code != FARCALL_OK)
		print_message("%s\n", farcall_call_error(call));
	farcall_call_free(call);
	return code;
}

#endif
