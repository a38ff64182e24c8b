/*
 * stage.h: a server of stream.Test and a puppet that calls it. Included by the tests of a server's
 * streams; everything is static.
 */
#ifndef FC_TEST_STAGE_H
#define FC_TEST_STAGE_H

#include "tests/support/pair.h" /* the log */
#include "tests/support/puppet.h"
#include "tests/support/streams.h"

#include <stdio.h>

#define WINDOW 65535u

typedef struct stage {
	test_streams streams; /* first: `self` of the service */
	struct stream_test ops;
	farcall_loop *loop; /* of the server, if the test steps it */
	farcall_server *server;
	farcall_service *service;
	farcall_endpoint *endpoint;
	puppet p;

	/* for what handlers of the test tell it */
	farcall_call *_Atomic call;
	atomic_int steps, said, told, refused, hooked;
	atomic_int code;
	atomic_bool go;
} stage;

static FARCALL_UNUSED stage *
stage_of(farcall_call *call)
{
	return (stage *)farcall_call_self(call);
}

/* Not started; handlers may be replaced in `ops` before stage_register(). */
static FARCALL_UNUSED void
stage_init(stage *s, bool lent)
{
	memset(s, 0, sizeof *s);
	s->ops = test_stream_handlers;
	s->loop = lent ? farcall_loop_new() : NULL;
	s->server = farcall_server_new();
	if (lent)
		farcall_server_set_loop(s->server, s->loop);
}

static FARCALL_UNUSED void
stage_register(stage *s)
{
	s->service = stream_test__register(s->server, &s->ops, s);
	s->endpoint = farcall_server_bind(s->server, "127.0.0.1:0");
	assert_string_equal(farcall_server_error(s->server), "");
}

static FARCALL_UNUSED void
stage_connect(stage *s, puppet *p, uint32_t window)
{
	puppet_connect(p, farcall_endpoint_port(s->endpoint), window, s->loop);
}

static FARCALL_UNUSED void
stage_open(stage *s)
{
	farcall_server_start(s->server);
	assert_string_equal(farcall_server_error(s->server), "");
	stage_connect(s, &s->p, WINDOW);
}

static FARCALL_UNUSED void
stage_start(stage *s, bool lent)
{
	stage_init(s, lent);
	stage_register(s);
	stage_open(s);
}

static FARCALL_UNUSED void
stage_leave(stage *s)
{
	farcall_server_free(s->server);
	if (s->loop != NULL)
		farcall_loop_free(s->loop);
}

static FARCALL_UNUSED void
stage_end(stage *s)
{
	puppet_close(&s->p);
	stage_leave(s);
}

/* A call of Cancelled: the server answers. */
static FARCALL_UNUSED unsigned
stage_cancelled(stage *s)
{
	Stream__Message request = STREAM__MESSAGE__INIT;
	puppet_call c;

	puppet_open(&s->p, &c, "/stream.Test/Cancelled", 0, NULL);
	puppet_say(&c, &request, true);
	puppet_until(&s->p, c.ended);
	assert_int_equal(c.code, FARCALL_OK);
	assert_int_equal(c.received, 1);
	return c.last;
}

/* A Count call of so many messages; the first without its opening. */
static FARCALL_UNUSED void
stage_count_on(puppet_call *c, uint32_t number, uint32_t size)
{
	Stream__Message request = STREAM__MESSAGE__INIT;

	request.number = number;
	request.size = size;
	puppet_say(c, &request, true);
}

static FARCALL_UNUSED void
stage_count(stage *s, puppet_call *c, uint32_t number, uint32_t size, unsigned timeout_ms)
{
	puppet_open(&s->p, c, "/stream.Test/Count", timeout_ms, NULL);
	stage_count_on(c, number, size);
}

/* Says a message with this text and code. */
static FARCALL_UNUSED void
stage_say(puppet_call *c, const char *text, farcall_code code)
{
	Stream__Message message = STREAM__MESSAGE__INIT;

	message.text = (char *)(uintptr_t)text;
	message.code = (uint32_t)code;
	puppet_say(c, &message, false);
}

static FARCALL_UNUSED void
assert_ended(puppet_call *c, unsigned received, farcall_code code, const char *text)
{
	puppet_until(c->puppet, c->ended);
	assert_int_equal(c->code, code);
	assert_false(c->reset);
	assert_int_equal(c->received, received);
	assert_false(c->disorder);
	if (text != NULL)
		assert_string_equal(c->text, text);
}

#endif
