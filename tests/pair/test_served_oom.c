/*
 * Streams on a server that runs out of memory, once, at every allocation that it makes for them:
 * each call ends whole or with a code that says so, each callback comes once, and the next call is
 * served.
 */
#include "tests/pair/stage.h"

static const char chat[] = "/stream.Test/Chat", murmur[] = "/stream.Test/Murmur";

enum { MESSAGES = 12 };

/* ---- a server stream by callbacks ---- */

static void
next(farcall_call *call, farcall_code code, const ProtobufCMessage *nothing, void *data)
{
	stage *s = stage_of(call);
	Stream__Message reply = STREAM__MESSAGE__INIT;
	int n = atomic_fetch_add(&s->said, 1);

	(void)nothing;
	if (code != FARCALL_OK || n == MESSAGES) {
		atomic_fetch_add(&s->told, 1);
		farcall_call_complete(call, code);
		return;
	}
	reply.number = (uint32_t)n;
	reply.text = farcall_call_printf(call, "number %d", n);
	reply.data.len = n % 3 == 2 ? 70000 : 500;
	reply.data.data = (uint8_t *)farcall_call_alloc(call, reply.data.len);
	if (reply.data.data == NULL)
		reply.data.len = 0;
	stream_test_chat__send_reply__async(call, &reply, next, data);
}

static farcall_code
says_a_row(farcall_call *call)
{
	stage *s = stage_of(call);

	atomic_store(&s->said, 0);
	atomic_fetch_add(&s->steps, 1);
	farcall_call_add_metadata(call, "said", "so");
	farcall_call_add_trailer(call, "said-last", "and so");
	next(call, FARCALL_OK, NULL, NULL);
	return FARCALL_PENDING;
}

/* ---- one life ---- */

static void
open_if_alive(stage *s, puppet_call *c, const char *path)
{
	memset(c, 0, sizeof *c);
	if (fc_h2_engine.can_open(s->p.engine) != 0)
		puppet_open(&s->p, c, path, 0, NULL);
}

static void
converse(stage *s, puppet_call *c)
{
	open_if_alive(s, c, murmur);
	for (uint32_t i = 0; i < MESSAGES; i++) {
		puppet_number(c, i, i % 3 == 2 ? 70000 : 500);
		for (int turns = 0; turns < 200 && c->waiting && !s->p.dead; turns++)
			puppet_turn(&s->p);
	}
	puppet_end(c);
}

/* Until it has ended, or the connection has. */
static void
assert_honest(stage *s, puppet_call *c)
{
	puppet_until(&s->p, c->ended || c->puppet == NULL || s->p.dead);
	if (!c->ended)
		return;
	assert_false(c->disorder);
	if (c->code == FARCALL_OK) {
		assert_int_equal(c->received, MESSAGES);
		assert_int_equal(c->size, 8 * 500 + 4 * 70000);
	} else if (c->code != FARCALL_RESOURCE_EXHAUSTED && c->code != FARCALL_UNAVAILABLE) {
		assert_true(c->reset); /* not even memory for that */
	}
}

/* false: no allocation was left to fail. */
static bool
live(size_t fail_at)
{
	puppet_call calls[2];
	bool failed;
	stage s;

	stage_init(&s, true);
	s.ops.chat = says_a_row;
	stage_register(&s);
	stage_open(&s);
	s.p.fail_at = fail_at;
	converse(&s, &calls[0]);
	open_if_alive(&s, &calls[1], chat);
	puppet_end(&calls[1]);
	for (int i = 0; i < 2; i++)
		assert_honest(&s, &calls[i]);
	failed = s.p.fail_at == 0;
	s.p.fail_at = 0;
	if (fc_h2_engine.can_open(s.p.engine) == 0) {
		puppet_close(&s.p);
		stage_connect(&s, &s.p, WINDOW);
	}
	converse(&s, &calls[0]);
	assert_ended(&calls[0], MESSAGES, FARCALL_OK, "");
	puppet_open(&s.p, &calls[1], chat, 0, NULL);
	puppet_end(&calls[1]);
	assert_ended(&calls[1], MESSAGES, FARCALL_OK, "");
	assert_string_equal(calls[1].said, "so");
	assert_string_equal(calls[1].last_said, "and so");
	stage_end(&s);
	assert_int_equal(atomic_load(&s.steps), atomic_load(&s.told));
	assert_int_equal(atomic_load(&s.streams.begun), atomic_load(&s.streams.ended));
	return failed;
}

static void
every_allocation_fails_once(void **state)
{
	size_t n = 1;

	(void)state;
	test_log_catch();
	while (live(n))
		n++;
	print_message("%zu allocations\n", n - 1);
	assert_true(n > 30);
	test_log_release();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(every_allocation_fails_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
