/*
 * test_mix.c: what was made part by part, together: calls of all shapes, typed and raw, blocking
 * and by callbacks, compressed or not, with retries, hedging and limits by a service config,
 * interceptors on both sides whose begin pends, refuses or adds what a call needs, details of
 * failures, cancels, deadlines, several loops, connections that grow old. Each round is
 * another mixture, by its seed.
 *
 * Promised is: each call has one outcome, that it may have; callbacks come once, and never two at
 * a time; what came is what was sent; each begin has its end; nothing is left.
 * FARCALL_TEST_ROUNDS=n: n times the rounds, at most 100; FARCALL_TEST_SEED: others.
 */
#include "tests/pair/mix.h"

#include <farcall/rich.h>

#include <stdio.h>
#include <stdlib.h>

#define LIMIT 100000u /* bytes of a request, by the service config */

static const char config[] =
    "{\"loadBalancingConfig\": [{\"round_robin\": {}}], \"methodConfig\": ["
    "{\"name\": [{\"service\": \"stream.Test\"}, {\"service\": \"any\"}],"
    " \"maxRequestMessageBytes\": 100000, \"timeout\": \"20s\","
    " \"retryPolicy\": {\"maxAttempts\": 3, \"initialBackoff\": \"0.001s\","
    "  \"maxBackoff\": \"0.002s\", \"backoffMultiplier\": 2,"
    "  \"retryableStatusCodes\": [\"UNAVAILABLE\"]}},"
    "{\"name\": [{\"service\": \"stream.Test\", \"method\": \"Cancelled\"}],"
    " \"hedgingPolicy\": {\"maxAttempts\": 3, \"hedgingDelay\": \"0.001s\","
    "  \"nonFatalStatusCodes\": [\"UNAVAILABLE\"]}}]}";

/* ---- a call, and what may come of it ---- */

typedef struct one {
	mix *m;
	farcall_call *call;
	uint32_t n, size;    /* messages, and bytes of each */
	farcall_code wanted; /* how it ends if nothing is in its way */
	bool cancelled, hurried, flaky;
	atomic_int outcomes;

	/* by callbacks */
	atomic_int inside, open; /* callbacks that run; that are to come */
	uint32_t sent, got;
} one;

static void
wrong(mix *m, const one *o, const char *what)
{
	atomic_fetch_add(&m->wrong, 1);
	print_message("seed %u: %s: %s: %s\n", m->seed,
	    farcall_call_method(o->call) != NULL ? farcall_call_method(o->call)->path : "?", what,
	    farcall_call_error(o->call));
}

static void
outcome(one *o, farcall_code code)
{
	mix *m = o->m;
	bool may = code == o->wanted;

	may = may || (code == FARCALL_CANCELLED && o->cancelled);
	/* more than is kept for another attempt */
	may = may || (code == FARCALL_UNAVAILABLE && o->flaky && o->n * o->size > 200000);
	may = may || (code == FARCALL_DEADLINE_EXCEEDED && o->hurried);
	may = may ||
	    (atomic_load(&m->stopping) &&
	        (code == FARCALL_UNAVAILABLE || code == FARCALL_CANCELLED));
	if (!may)
		wrong(m, o, farcall_code_name(code));
	if (farcall_call_code(o->call) != code)
		wrong(m, o, "its code is another one");
	if (atomic_fetch_add(&o->outcomes, 1) != 0)
		wrong(m, o, "has two outcomes");
	if ((unsigned)code < 17)
		atomic_fetch_add(&m->codes[code], 1);
	atomic_fetch_add(&m->ended, 1);
}

/* Whether the config's rules are those of the channel. */
static bool
prepare(mix *m, test_random *random, unsigned channel, one *o, bool may_flake)
{
	static const farcall_coding codings[] = {
	    FARCALL_IDENTITY, FARCALL_GZIP, FARCALL_DEFLATE, FARCALL_GZIP};
	uint32_t dice = test_random_next(random);
	bool ruled = channel % 2 == 1;

	memset(o, 0, sizeof *o);
	o->m = m;
	o->call = farcall_call_new(m->channels[channel]);
	o->n = dice % 16;
	o->size = (dice >> 4) % 8 == 0 ? 30000 : (dice >> 4) % 512;
	o->hurried = (dice >> 16) % 16 == 0;
	o->cancelled = (dice >> 20) % 8 == 0;
	farcall_call_set_timeout_ms(o->call, o->hurried ? (dice >> 7) % 5 : 20000);
	if ((dice >> 23) % 2 == 0)
		farcall_call_set_compression(o->call, codings[(dice >> 24) % 4]);
	farcall_call_add_metadata(o->call, "say", "hello");
	if (may_flake && (dice >> 26) % 8 == 0) {
		farcall_call_add_metadata(o->call, "flaky", "");
		o->flaky = true;
		o->wanted = ruled ? FARCALL_OK : FARCALL_UNAVAILABLE;
	}
	if ((dice >> 29) == 0) {
		farcall_call_add_metadata(o->call, "refuse", "");
		o->wanted = FARCALL_PERMISSION_DENIED;
	}
	if (o->cancelled)
		mix_share(m, o->call, dice);
	atomic_fetch_add(&m->begun, 1);
	return ruled;
}

static bool
goes_well(const one *o)
{
	return o->wanted == FARCALL_OK;
}

static void
over(one *o, farcall_code code)
{
	if (code == FARCALL_END)
		code = FARCALL_OK;
	outcome(o, code);
	if (code == FARCALL_OK &&
	    farcall_metadata_get(farcall_call_trailers(o->call), "served") == NULL)
		wrong(o->m, o, "the interceptor's trailer is missing");
	if (code == FARCALL_PERMISSION_DENIED && !farcall_call_detail(o->call, 0, NULL, NULL, NULL))
		wrong(o->m, o, "the interceptor's detail is missing");
	farcall_call_free(o->call);
}

static bool
is_filled(const uint8_t *at, size_t size, size_t wanted, uint8_t with)
{
	if (size != wanted)
		return false;
	for (size_t i = 0; i < size; i++)
		if (at[i] != with)
			return false;
	return true;
}

/* The i-th message; `room` has its data. */
static Stream__Message
message(const one *o, uint32_t i, uint8_t *room)
{
	Stream__Message made = STREAM__MESSAGE__INIT;

	memset(room, (int)(uint8_t)i, o->size);
	made.number = i;
	made.text = (char *)"hello";
	made.data.data = room;
	made.data.len = o->size;
	return made;
}

static bool
is_message(const one *o, uint32_t i, const Stream__Message *got)
{
	return got->number == i && is_filled(got->data.data, got->data.len, o->size, (uint8_t)i);
}

static uint8_t *
room_of(const one *o)
{
	return (uint8_t *)malloc(o->size + 1);
}

/* ---- blocking ---- */

static void
unary(mix *m, test_random *random, unsigned channel)
{
	Stream__Message request = STREAM__MESSAGE__INIT;
	const Stream__Message *reply = NULL;
	farcall_code code;
	one o;

	prepare(m, random, channel, &o, false);
	code = stream_test_cancelled(o.call, &request, &reply);
	if ((code == FARCALL_OK) != (reply != NULL))
		wrong(m, &o, "code and reply are at odds");
	over(&o, code);
}

/* A server stream, with a detail if it fails; sometimes it is not read to its end. */
static void
count(mix *m, test_random *random, unsigned channel)
{
	Stream__Message request = STREAM__MESSAGE__INIT;
	const Stream__Message *reply = NULL;
	const ProtobufCMessage *detail;
	farcall_code code, last;
	bool fails = test_random_below(random, 4) == 0, leaves;
	uint32_t i = 0;
	one o;

	prepare(m, random, channel, &o, true);
	if (test_random_below(random, 16) == 0)
		o.size = 200000; /* together more than the window */
	leaves = o.n > 8 && test_random_below(random, 4) == 0;
	if (fails && goes_well(&o))
		o.wanted = FARCALL_DATA_LOSS;
	request.number = o.n;
	request.size = o.size;
	request.code = fails ? FARCALL_DATA_LOSS : FARCALL_OK;
	request.text = (char *)"as asked";
	stream_test_count__start(o.call, &request);
	while ((code = stream_test_count__recv_reply(o.call, &reply)) == FARCALL_OK) {
		mix_look(o.call);
		if (!is_message(&o, i, reply))
			wrong(m, &o, "another message");
		if (++i == o.n / 2 && leaves)
			break;
	}
	if (code == FARCALL_END && i != o.n)
		wrong(m, &o, "too few messages");
	last = stream_test_count__finish(o.call);
	if (code != FARCALL_OK && last != (code == FARCALL_END ? FARCALL_OK : code))
		wrong(m, &o, "finish says something else");
	detail = farcall_call_find_detail(o.call, &stream__message__descriptor);
	if (last == FARCALL_DATA_LOSS &&
	    (detail == NULL || ((const Stream__Message *)(const void *)detail)->number != o.n))
		wrong(m, &o, "no detail");
	over(&o, last);
}

/* A client stream; sometimes one message is past what the config allows. */
static void
sum(mix *m, test_random *random, unsigned channel)
{
	const Stream__Message *reply = NULL;
	farcall_code code;
	uint8_t *room;
	bool ruled;
	one o;

	ruled = prepare(m, random, channel, &o, true);
	if (test_random_below(random, 8) == 0) {
		o.size = LIMIT;
		o.n = 3;
		/* whichever comes first */
		if (ruled && (goes_well(&o) || o.wanted == FARCALL_PERMISSION_DENIED))
			o.wanted = FARCALL_RESOURCE_EXHAUSTED;
	}
	room = room_of(&o);
	stream_test_sum__start(o.call);
	for (uint32_t i = 0; i < o.n; i++) {
		Stream__Message request = message(&o, i, room);

		farcall_call_set_message_compression(o.call, i % 3 != 0);
		if (stream_test_sum__send_request(o.call, &request) != FARCALL_OK)
			break;
	}
	code = stream_test_sum__finish(o.call, &reply);
	if (code == FARCALL_OK && (reply->number != o.n * (o.n - 1) / 2 || reply->size != o.n))
		wrong(m, &o, "another sum");
	if (code == FARCALL_PERMISSION_DENIED && o.wanted == FARCALL_RESOURCE_EXHAUSTED)
		o.wanted = code;
	free(room);
	over(&o, code);
}

/* Typed, or as bytes to a path that nobody has registered. */
static void
chat(mix *m, test_random *random, unsigned channel)
{
	const Stream__Message *reply = NULL;
	farcall_code code = FARCALL_OK;
	uint8_t *room;
	one o;

	prepare(m, random, channel, &o, true);
	room = room_of(&o);
	stream_test_chat__start(o.call);
	for (uint32_t i = 0; i < o.n && code == FARCALL_OK; i++) {
		Stream__Message request = message(&o, i, room);

		code = stream_test_chat__send_request(o.call, &request);
		mix_look(o.call);
		if (code == FARCALL_OK)
			code = stream_test_chat__recv_reply(o.call, &reply);
		if (code == FARCALL_OK && !is_message(&o, i, reply))
			wrong(m, &o, "another message");
	}
	farcall_call_half_close(o.call);
	code = stream_test_chat__finish(o.call);
	free(room);
	over(&o, code);
}

static void
raw_chat(mix *m, test_random *random, unsigned channel)
{
	farcall_code code = FARCALL_OK;
	const void *data = NULL;
	uint8_t *room;
	size_t size = 0;
	one o;

	prepare(m, random, channel, &o, false);
	room = room_of(&o);
	farcall_call_start_raw(o.call, "/any/Chat");
	code = farcall_call_recv_head(o.call);
	for (uint32_t i = 0; i < o.n && code == FARCALL_OK; i++) {
		memset(room, (int)(uint8_t)i, o.size);
		code = farcall_call_send_raw(o.call, room, o.size);
		if (code == FARCALL_OK)
			code = farcall_call_recv_raw(o.call, &data, &size);
		if (code == FARCALL_OK &&
		    !is_filled((const uint8_t *)data, size, o.size, (uint8_t)i))
			wrong(m, &o, "other bytes");
	}
	code = farcall_call_finish(o.call, NULL);
	free(room);
	over(&o, code);
}

static void
raw_unary(mix *m, test_random *random, unsigned channel)
{
	const void *data = NULL;
	farcall_code code;
	uint8_t *room;
	size_t size = 0;
	one o;

	prepare(m, random, channel, &o, false);
	room = room_of(&o);
	memset(room, 'x', o.size);
	code = farcall_call_invoke_raw(o.call, "/any/Unary", room, o.size, &data, &size);
	if (code == FARCALL_OK && !is_filled((const uint8_t *)data, size, o.size, 'x'))
		wrong(m, &o, "other bytes");
	free(room);
	over(&o, code);
}

/* ---- by callbacks ---- */

static void
come_in(one *o)
{
	if (atomic_fetch_add(&o->inside, 1) != 0)
		wrong(o->m, o, "two callbacks at a time");
}

/* When no more are to come, the call is over. */
static void
leave(one *o)
{
	mix *m = o->m;

	if (atomic_fetch_sub(&o->open, 1) != 1)
		return;
	over(o, farcall_call_code(o->call));
	free(o);
	atomic_fetch_sub(&m->in_flight, 1);
}

static void
go_out(one *o)
{
	atomic_fetch_sub(&o->inside, 1);
	leave(o);
}

static void said(
    farcall_call *call, farcall_code code, const ProtobufCMessage *nothing, void *data);

static void
say_next(one *o)
{
	Stream__Message request;
	uint8_t *room;

	if (o->sent == o->n) {
		farcall_call_half_close(o->call);
		return;
	}
	room = room_of(o);
	request = message(o, o->sent++, room);
	atomic_fetch_add(&o->open, 1);
	stream_test_murmur__send_request__async(o->call, &request, said, o);
	free(room);
}

static void
said(farcall_call *call, farcall_code code, const ProtobufCMessage *nothing, void *data)
{
	one *o = (one *)data;

	(void)nothing;
	come_in(o);
	mix_look(call);
	if (code == FARCALL_OK)
		say_next(o);
	go_out(o);
}

static void
heard(farcall_call *call, farcall_code code, const Stream__Message *reply, void *data)
{
	one *o = (one *)data;

	come_in(o);
	if (code == FARCALL_OK) {
		if (!is_message(o, o->got++, reply))
			wrong(o->m, o, "another message");
		atomic_fetch_add(&o->open, 1);
		stream_test_murmur__recv_reply__async(call, heard, o);
	} else if (code == FARCALL_END && o->got != o->n) {
		wrong(o->m, o, "too few messages");
	}
	go_out(o);
}

static void
headed(farcall_call *call, farcall_code code, const ProtobufCMessage *nothing, void *data)
{
	one *o = (one *)data;

	come_in(o);
	if (nothing != NULL || (code == FARCALL_OK && o->got != 0))
		wrong(o->m, o, "no head");
	mix_look(call);
	atomic_fetch_add(&o->open, 1);
	stream_test_murmur__recv_reply__async(call, heard, o); /* a failure comes again */
	go_out(o);
}

static void
murmur(mix *m, test_random *random, unsigned channel)
{
	one *o = (one *)malloc(sizeof *o);

	prepare(m, random, channel, o, true);
	atomic_store(&o->open, 2); /* this one here counts */
	atomic_fetch_add(&m->in_flight, 1);
	stream_test_murmur__start(o->call);
	if (o->n % 2 == 0)
		farcall_call_recv_head_async(o->call, headed, o);
	else
		stream_test_murmur__recv_reply__async(o->call, heard, o);
	say_next(o);
	leave(o);
}

static void
answered(farcall_call *call, farcall_code code, const Stream__Message *reply, void *data)
{
	one *o = (one *)data;

	(void)call;
	come_in(o);
	if ((code == FARCALL_OK) != (reply != NULL))
		wrong(o->m, o, "code and reply are at odds");
	go_out(o);
}

static void
unary_later(mix *m, test_random *random, unsigned channel)
{
	Stream__Message request = STREAM__MESSAGE__INIT;
	one *o = (one *)malloc(sizeof *o);

	prepare(m, random, channel, o, false);
	atomic_store(&o->open, 1);
	atomic_fetch_add(&m->in_flight, 1);
	stream_test_cancelled__async(o->call, &request, answered, o);
}

/* ---- a round ---- */

static void
one_call(mix *m, test_random *random, unsigned channel)
{
	static void (*const kinds[])(mix *, test_random *, unsigned) = {
	    raw_chat, raw_unary, count, sum, chat, unary, murmur, murmur, unary_later};
	const unsigned first = m->lent != NULL ? 5 : 0; /* there no handler may wait */

	const unsigned behind = atomic_load(&m->in_flight) > 40 ? 6 : 9;

	kinds[first + test_random_below(random, behind - first)](m, random, channel);
	if (test_random_below(random, 4) == 0)
		mix_take_shared(m, test_random_next(random));
}

static void
client_main(void *data)
{
	mix *m = (mix *)data;
	unsigned me = (unsigned)atomic_fetch_add(&m->seeds, 1);
	test_random random;

	test_random_seed(&random, m->seed * 100 + me + 1);
	while (!atomic_load(&m->calm))
		one_call(m, &random, me % MIX_LENT);
}

/* The one that steps the loop of its channel. */
static void
stepper_main(void *data)
{
	mix *m = (mix *)data;
	test_random random;

	test_random_seed(&random, m->seed * 100 + 99);
	while (!atomic_load(&m->calm)) {
		one_call(m, &random, MIX_LENT);
		farcall_loop_step(m->loop, 0);
	}
	while (atomic_load(&m->in_flight) != 0)
		farcall_loop_step(m->loop, 1);
}

static void
stir(unsigned seed, bool stops)
{
	static mix m;
	bool grows_old = seed % 4 == 3 && !stops;
	uint64_t until = uv_hrtime() + (grows_old ? 1300000000u : 0);
	uv_thread_t clients[MIX_CHANNELS];

	mix_open(&m, seed, config, grows_old);
	uv_thread_create(&clients[MIX_LENT], stepper_main, &m);
	for (int i = 0; i < MIX_LENT; i++)
		uv_thread_create(&clients[i], client_main, &m);
	test_wait_for(&m.ended, 600);
	while (uv_hrtime() < until)
		uv_sleep(1);
	if (stops) {
		atomic_store(&m.stopping, true);
		farcall_server_stop(m.server, seed % 2 * 50);
		test_wait_for(&m.ended, 700);
	}
	atomic_store(&m.calm, true);
	for (int i = 0; i < MIX_CHANNELS; i++)
		uv_thread_join(&clients[i]);
	test_wait_for(&m.ended, atomic_load(&m.begun));
	mix_close(&m);
	print_message("seed %u: %d calls, %d OK, %d cancelled, %d late, %d begins have pended\n",
	    seed, atomic_load(&m.ended), atomic_load(&m.codes[0]), atomic_load(&m.codes[1]),
	    atomic_load(&m.codes[4]), atomic_load(&m.pended));
	assert_int_equal(atomic_load(&m.begun), atomic_load(&m.ended));
	assert_int_equal(atomic_load(&m.wrong), 0);
	assert_true(atomic_load(&m.codes[0]) > 0);
}

static unsigned
environment(const char *name, unsigned otherwise)
{
	const char *text = getenv(name);

	return text != NULL ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

static void
rounds(unsigned n, bool stops)
{
	unsigned first = environment("FARCALL_TEST_SEED", 0);
	unsigned times = environment("FARCALL_TEST_ROUNDS", 1);

	farcall_log_set_level(FARCALL_LOG_ERROR);
	n *= times < 100 ? times : 100;
	for (unsigned seed = first; seed < first + n; seed++)
		stir(seed, stops);
	farcall_log_set_level(FARCALL_LOG_WARNING);
}

static void
all_at_once(void **state)
{
	(void)state;
	rounds(5, false);
}

static void
all_at_once_and_the_server_stops(void **state)
{
	(void)state;
	rounds(2, true);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(all_at_once),
	    clean_test(all_at_once_and_the_server_stops),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
