/*
 * test_storm.c: everything that can happen to calls on a server, at once: several loops, each with
 * few threads; handlers that are quick, sleep, give their loop away, call their own server, pend,
 * answer much; peers that take nothing of it; clients that cancel, leave, set short deadlines;
 * threads that complete; a server stopped in the middle and freed. Each round has another
 * mixture, by its seed.
 *
 * Promised is: each call has one outcome, one that it may have; no handler runs twice; an OK is
 * this call's answer; when the storm is over each client is served and all room is given back; and
 * nothing is left when the last pending call was completed. FARCALL_TEST_ROUNDS=n: n times
 * five rounds, at most 100; FARCALL_TEST_SEED: others.
 */
#include "server/internal.h"

#include "tests/pair/raw_peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <uv.h>

enum { CLIENTS = 4, GREEDY = 2, SLOTS = 32, CALLS_MOST = 4000, ROOM = 3000 };
enum { BIG = 5 << 20 };

/* What a handler does: the request's number % N_DEEDS. */
enum deed { RETURN, SLEEP, GIVE, CALL, PEND, PEND_UNTIL_CANCELLED, ANSWER_MUCH, SPIN, N_DEEDS };

typedef struct storm {
	test_pair pair;
	test_random random;
	unsigned loops;
	int in_flight_most;
	farcall_channel *own; /* for handlers that call their own server */
	farcall_channel *channels[CLIENTS];
	atomic_bool calm; /* no new calls */
	atomic_bool over; /* nothing pends any more */
	atomic_bool stopping;
	atomic_int next_id, begun, ended, good, codes[17];
	atomic_int ran[CALLS_MOST], told[CALLS_MOST];
	atomic_int twice, wrong, seeds;
	farcall_call *_Atomic pending[SLOTS];
	farcall_call *_Atomic shared[SLOTS]; /* clients' calls, held */
} storm;

/* ---- handlers ---- */

static void
put_pending(storm *s, farcall_call *call, unsigned n)
{
	farcall_call *before = atomic_exchange(&s->pending[n % SLOTS], call);

	if (before != NULL)
		farcall_call_complete(before, FARCALL_OK);
}

static void
complete_pending(storm *s, unsigned n)
{
	farcall_call *call = atomic_exchange(&s->pending[n % SLOTS], NULL);

	if (call != NULL)
		farcall_call_complete(call, FARCALL_OK);
}

static void
complete_cancelled(farcall_call *call, void *data)
{
	(void)data;
	farcall_call_complete(call, FARCALL_CANCELLED);
}

static farcall_code
call_own_server(storm *s, farcall_call *parent)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_call *call = farcall_call_new(s->own);
	farcall_code code;

	farcall_call_set_parent(call, parent);
	farcall_call_set_timeout_ms(call, 2000);
	code = pair_test_echo(call, &request, NULL);
	farcall_call_free(call);
	return code;
}

static farcall_code
do_deed(test_pair *pair, farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	storm *s = (storm *)pair->data;
	unsigned n = request->number, id = n / N_DEEDS;

	if (id != 0 && id < CALLS_MOST && atomic_fetch_add(&s->ran[id], 1) != 0)
		atomic_fetch_add(&s->twice, 1);
	reply->number = n;
	switch ((enum deed)(n % N_DEEDS)) {
	case SLEEP:
		uv_sleep(2);
		break;
	case GIVE:
		farcall_block_begin(call);
		uv_sleep(id % 3);
		break;
	case CALL:
		return call_own_server(s, call);
	case PEND:
		put_pending(s, call, id);
		return FARCALL_PENDING;
	case PEND_UNTIL_CANCELLED:
		farcall_call_on_cancel(call, complete_cancelled, NULL);
		return FARCALL_PENDING;
	case ANSWER_MUCH:
		reply->data.len = id == 0 ? BIG : 10000;
		reply->data.data = (uint8_t *)farcall_call_alloc(call, reply->data.len);
		break;
	case SPIN:
		for (volatile unsigned i = 0; i < 100000; i++)
			;
		break;
	default:
		break;
	}
	return FARCALL_OK;
}

/* ---- clients ---- */

static bool
may_be(storm *s, farcall_code code)
{
	switch (code) {
	case FARCALL_OK:
	case FARCALL_CANCELLED:
	case FARCALL_DEADLINE_EXCEEDED:
	case FARCALL_RESOURCE_EXHAUSTED: /* the queue, the limit of calls */
		return true;
	case FARCALL_UNAVAILABLE:
		return atomic_load(&s->stopping);
	default:
		return false;
	}
}

static void
note(storm *s, unsigned id, farcall_call *call, farcall_code code, const Pair__Message *reply)
{
	bool good = code == FARCALL_OK;

	if (atomic_fetch_add(&s->told[id], 1) != 0)
		atomic_fetch_add(&s->twice, 1);
	if (farcall_call_code(call) != code || (reply != NULL) != good || !may_be(s, code) ||
	    (good && (reply->number / N_DEEDS != id || atomic_load(&s->ran[id]) != 1))) {
		print_message("call %u: %s\n", id, farcall_call_error(call));
		atomic_fetch_add(&s->wrong, 1);
	}
	atomic_fetch_add(&s->codes[code % 17], 1);
	atomic_fetch_add(&s->ended, 1);
}

typedef struct async_call {
	storm *s;
	unsigned id;
} async_call;

static void
told(farcall_call *call, farcall_code code, const Pair__Message *reply, void *data)
{
	async_call *a = (async_call *)data;

	note(a->s, a->id, call, code, reply);
	farcall_call_free(call);
	free(a);
}

static void
take_shared(storm *s, unsigned n)
{
	farcall_call *call = atomic_exchange(&s->shared[n % SLOTS], NULL);

	if (call == NULL)
		return;
	farcall_call_cancel(call);
	farcall_call_free(call);
}

static void
share(storm *s, farcall_call *call, unsigned n)
{
	farcall_call_hold(call);
	call = atomic_exchange(&s->shared[n % SLOTS], call);
	if (call != NULL)
		farcall_call_free(call);
}

static void
one_call(storm *s, test_random *random, farcall_channel *channel)
{
	unsigned id = (unsigned)atomic_fetch_add(&s->next_id, 1), n = test_random_next(random);
	Pair__Message request = PAIR__MESSAGE__INIT;
	const Pair__Message *reply = NULL;
	farcall_code code;
	farcall_call *call;
	async_call *a;

	if (id >= CALLS_MOST)
		return;
	call = farcall_call_new(channel);
	request.number = id * N_DEEDS + n % N_DEEDS;
	if (n % N_DEEDS == PEND_UNTIL_CANCELLED || (n & 0x700) == 0)
		farcall_call_set_timeout_ms(call, 1 + (n >> 16) % 8);
	else
		farcall_call_set_timeout_ms(call, 1000);
	if ((n & 0x3000) == 0)
		share(s, call, n >> 16);
	atomic_fetch_add(&s->begun, 1);
	if ((n & 0xc000) != 0 &&
	    atomic_load(&s->begun) - atomic_load(&s->ended) < s->in_flight_most) {
		a = (async_call *)malloc(sizeof *a);
		*a = (async_call){s, id};
		pair_test_custom__async(call, &request, told, a);
		return;
	}
	code = pair_test_custom(call, &request, &reply);
	note(s, id, call, code, reply);
	farcall_call_free(call);
}

static void
client_main(void *data)
{
	storm *s = (storm *)data;
	int me = atomic_fetch_add(&s->seeds, 1);
	test_random random;

	test_random_seed(&random, s->random.state + (uint64_t)me);
	while (!atomic_load(&s->calm)) {
		one_call(s, &random, s->channels[me % CLIENTS]);
		if (test_random_below(&random, 4) == 0)
			take_shared(s, test_random_next(&random));
	}
}

static void
completer_main(void *data)
{
	storm *s = (storm *)data;

	while (!atomic_load(&s->over)) {
		for (unsigned i = 0; i < SLOTS; i++)
			complete_pending(s, i);
		uv_sleep(1);
	}
}

/* ---- peers that take nothing ---- */

static void
ask(raw *r, uint32_t id, const char *path, unsigned number, const char *timeout)
{
	const uint8_t message[] = {0, 0, 0, 0, 2, 3 << 3, (uint8_t)number};

	add_head(r, id, path, timeout);
	add_frame(r, 0, 1, id, message, sizeof message);
}

/* Not as flush(): the server may have gone. */
static bool
send_all(raw *r)
{
	bool sent = send(r->fd, r->bytes, r->n, MSG_NOSIGNAL) == (ssize_t)r->n;

	r->n = 0;
	return sent;
}

static void
greedy_main(void *data)
{
	static const uint8_t cancel[] = {0, 0, 0, 8};
	storm *s = (storm *)data;
	test_random random;
	raw r;

	test_random_seed(&random, s->random.state + (uint64_t)atomic_fetch_add(&s->seeds, 1));
	while (!atomic_load(&s->calm)) {
		uint32_t id = 1, asked = 1; /* from `id` on they may be reset */

		if (!greet_softly(&r, &s->pair))
			return;
		for (bool up = true; up && asked < 400 && !atomic_load(&s->calm);) {
			for (; asked < id + 80; asked += 2)
				ask(&r, asked, "/pair.Test/Custom",
				    test_random_below(&random, 6) == 0
				        ? test_random_below(&random, CALL)
				        : ANSWER_MUCH,
				    test_random_below(&random, 8) == 0 ? "5m" : NULL);
			up = send_all(&r);
			for (; up && id + 50 < asked; id += 2)
				if (test_random_below(&random, 2) == 0)
					add_frame(&r, 3, 0, id, cancel, sizeof cancel);
			up = up && send_all(&r);
			uv_sleep(1);
		}
		close(r.fd);
	}
}

/* ---- a round ---- */

static void
begin(storm *s, unsigned seed)
{
	static const unsigned loops[] = {4, 2, 4, 1}, threads[] = {3, 8, 2, 64, 4};

	memset(s, 0, sizeof *s);
	test_random_seed(&s->random, seed);
	s->loops = loops[seed % 4];
	s->in_flight_most = seed % 5 == 2 ? CALLS_MOST : 300; /* past what may wait for a thread */
	atomic_store(&s->next_id, 1);
	test_pair_init(&s->pair, "127.0.0.1:0");
	s->pair.custom = do_deed;
	s->pair.data = s;
	farcall_server_set_loops(s->pair.server, s->loops);
	farcall_server_set_handler_threads(s->pair.server, threads[seed % 5]);
	farcall_server_set_max_calls(s->pair.server, ROOM);
	if (seed % 3 == 0)
		farcall_service_set_blocking(s->pair.service, "Custom", true);
	test_pair_start(&s->pair);
	s->own = farcall_channel_open(test_pair_address(&s->pair));
	for (int i = 0; i < CLIENTS; i++)
		s->channels[i] = farcall_channel_open(test_pair_address(&s->pair));
}

static size_t
room_left(storm *s)
{
	size_t left = 0;

	for (unsigned i = 0; i < s->loops; i++)
		left += atomic_load(&s->pair.server->calls.shares[i].left);
	return left;
}

/* The wind has gone: what it has left is done, nobody has room that no call needs, and each client
 * is served. */
static void
look_after(storm *s)
{
	for (int i = 0; i < 20000 && room_left(s) != ROOM; i++)
		uv_sleep(1);
	assert_int_equal(room_left(s), ROOM);
	for (int i = 0; i < CLIENTS; i++)
		assert_int_equal(test_echo(s->channels[i], "after the storm"), FARCALL_OK);
}

static void
end(storm *s)
{
	for (int i = 0; i < CLIENTS; i++)
		farcall_channel_close(s->channels[i]);
	test_pair_fini(&s->pair);
	farcall_channel_close(s->own); /* no handler uses it any more */
}

static void
blow(unsigned seed, bool stop_inside)
{
	static storm s;
	uv_thread_t clients[2 * CLIENTS], greedy[GREEDY], completer;

	begin(&s, seed);
	uv_thread_create(&completer, completer_main, &s);
	for (int i = 0; i < 2 * CLIENTS; i++)
		uv_thread_create(&clients[i], client_main, &s);
	for (int i = 0; i < GREEDY; i++)
		uv_thread_create(&greedy[i], greedy_main, &s);
	for (int i = 0; i < 150 && atomic_load(&s.next_id) < CALLS_MOST / 2; i++)
		uv_sleep(1);
	if (stop_inside) {
		atomic_store(&s.stopping, true);
		farcall_server_stop(s.pair.server, seed % 2 * 50);
		uv_sleep(seed % 5);
	}
	atomic_store(&s.calm, true);
	for (int i = 0; i < 2 * CLIENTS; i++)
		uv_thread_join(&clients[i]);
	for (int i = 0; i < GREEDY; i++)
		uv_thread_join(&greedy[i]);
	test_wait_for(&s.ended, atomic_load(&s.begun));
	if (!stop_inside)
		look_after(&s);
	end(&s);
	atomic_store(&s.over, true);
	uv_thread_join(&completer);
	for (unsigned i = 0; i < SLOTS; i++) {
		complete_pending(&s, i);
		take_shared(&s, i);
	}
	print_message("seed %u: %d calls, %d OK, %d cancelled, %d late, %d refused, %d lost\n",
	    seed, atomic_load(&s.ended), atomic_load(&s.codes[0]), atomic_load(&s.codes[1]),
	    atomic_load(&s.codes[4]), atomic_load(&s.codes[8]), atomic_load(&s.codes[14]));
	assert_int_equal(atomic_load(&s.begun), atomic_load(&s.ended));
	assert_int_equal(atomic_load(&s.twice), 0);
	assert_int_equal(atomic_load(&s.wrong), 0);
	for (int i = 0; i < 10000 && test_allocator_live() != 0; i++)
		uv_sleep(1);
}

static unsigned
environment(const char *name, unsigned otherwise)
{
	const char *text = getenv(name);

	return text != NULL ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

static void
rounds(bool stop_inside)
{
	unsigned first = environment("FARCALL_TEST_SEED", 0);
	unsigned n = 5 * FC_MIN(environment("FARCALL_TEST_ROUNDS", 1), 20);

	farcall_log_set_level(FARCALL_LOG_ERROR);
	for (unsigned seed = first; seed < first + n; seed++)
		blow(seed, stop_inside);
	farcall_log_set_level(FARCALL_LOG_WARNING);
}

static void
all_is_well_after_the_storm(void **state)
{
	(void)state;
	rounds(false);
}

static void
the_server_stops_in_the_storm(void **state)
{
	(void)state;
	rounds(true);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(all_is_well_after_the_storm),
	    clean_test(the_server_stops_in_the_storm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
