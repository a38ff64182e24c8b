/*
 * test_threads_all.c: eight threads call every public function of one channel, its calls and one
 * server, at random, for a while. Each keeps to the contract: a channel is everybody's, a call has
 * one thread at a time, but cancel, complete, hold and free come from any. Made for the thread
 * sanitizer. FARCALL_TEST_MS: how long.
 */
#include "tests/support/pair.h"

#include <stdio.h>
#include <stdlib.h>

#include <uv.h>

enum { THREADS = 8, SLOTS = 16 };

typedef struct stage {
	test_pair pair;
	atomic_bool over;
	farcall_call *_Atomic shared[SLOTS];  /* clients' calls, held, for cancel and free */
	farcall_call *_Atomic pending[SLOTS]; /* the server's, to be completed */
	atomic_uint begun, ended, good, states;
	atomic_int next_seed;
} stage;

/* ---- the server's side ---- */

static void
on_cancel(farcall_call *call, void *data)
{
	(void)data;
	assert_true(farcall_call_cancelled(call));
}

static void
call_myself(stage *s, farcall_call *parent)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	farcall_call *call = farcall_call_new(s->pair.channel);

	farcall_call_set_parent(call, parent);
	farcall_call_set_timeout_ms(call, 5000);
	pair_test_echo(call, &request, NULL);
	farcall_call_free(call);
}

static void
look_at(farcall_call *call)
{
	const farcall_metadata *metadata = farcall_call_metadata(call);
	const char *key;
	const void *value;
	int64_t uid, gid, pid;
	size_t size;

	for (size_t i = 0; farcall_metadata_at(metadata, i, &key, &value, &size); i++)
		assert_non_null(key);
	farcall_metadata_get(metadata, "key");
	farcall_metadata_get_bin(metadata, "key-bin", &size);
	farcall_call_peer(call);
	farcall_call_peer_ids(call, &uid, &gid, &pid);
	farcall_call_remaining_ms(call);
	farcall_call_cancelled(call);
	farcall_call_method(call);
}

/* number: what it does, in its bits */
static farcall_code
do_anything(test_pair *pair, farcall_call *call, const Pair__Message *request, Pair__Message *reply)
{
	stage *s = (stage *)pair->data;
	unsigned how = request->number;
	farcall_call *before;

	look_at(call);
	farcall_call_add_metadata(call, "key", "value");
	farcall_call_add_metadata_bin(call, "key-bin", &how, sizeof how);
	farcall_call_add_trailer(call, "last", farcall_call_printf(call, "%u", how));
	farcall_call_add_trailer_bin(call, "last-bin", &how, sizeof how);
	farcall_call_keep(call, 64);
	reply->text = farcall_call_strdup(call, request->text);
	reply->data.data = (uint8_t *)farcall_call_alloc(call, how % 1000);
	reply->data.len = how % 1000;
	if ((how & 1) != 0)
		farcall_call_on_cancel(call, on_cancel, NULL);
	if ((how & 6) == 2)
		farcall_block_begin(call);
	if ((how & 0x38) == 8)
		call_myself(s, call);
	if ((how & 0xc0) == 0x40)
		return farcall_call_fail(call, FARCALL_ABORTED, "as asked: %u", how);
	if ((how & 0x300) != 0x100)
		return FARCALL_OK;
	before = atomic_exchange(&s->pending[how % SLOTS], call);
	if (before != NULL)
		farcall_call_complete(before, FARCALL_OK);
	return FARCALL_PENDING;
}

/* ---- the clients' side ---- */

static void
told(farcall_call *call, farcall_code code, const Pair__Message *reply, void *data)
{
	stage *s = (stage *)data;

	assert_int_equal(farcall_call_code(call), code);
	assert_true((reply != NULL) == (code == FARCALL_OK));
	look_at(call);
	farcall_metadata_get(farcall_call_trailers(call), "last");
	farcall_call_cause(call);
	farcall_call_error(call);
	farcall_call_status_message(call);
	atomic_fetch_add(&s->good, code == FARCALL_OK);
	atomic_fetch_add(&s->ended, 1);
	farcall_call_free(call);
}

static void
on_state(farcall_channel *channel, farcall_state state, void *data)
{
	farcall_channel_state(channel);
	farcall_state_name(state);
	atomic_fetch_add(&((stage *)data)->states, 1);
}

static farcall_call *
new_call(stage *s, test_random *random)
{
	farcall_call *call = farcall_call_new(s->pair.channel);
	unsigned n = test_random_next(random);

	farcall_call_set_timeout_ms(call, (n & 3) == 0 ? 1 + n % 5 : 5000);
	farcall_call_set_wait_for_ready(call, (n & 4) != 0);
	if ((n & 8) != 0)
		farcall_call_add_metadata(call, "key", "of the request");
	if ((n & 16) != 0)
		farcall_call_add_metadata_bin(call, "key-bin", &n, sizeof n);
	return call;
}

static void
take_shared(stage *s, unsigned n)
{
	farcall_call *call = atomic_exchange(&s->shared[n % SLOTS], NULL);

	if (call == NULL)
		return;
	if ((n & 64) != 0)
		farcall_call_cancel(call);
	farcall_call_hold(call);
	farcall_call_free(call);
	farcall_call_free(call);
}

static void
share(stage *s, farcall_call *call, unsigned n)
{
	farcall_call_hold(call);
	call = atomic_exchange(&s->shared[n % SLOTS], call);
	if (call != NULL)
		farcall_call_free(call);
}

static void
complete_pending(stage *s, unsigned n)
{
	farcall_call *call = atomic_exchange(&s->pending[n % SLOTS], NULL);

	if (call != NULL)
		farcall_call_complete(call, (n & 32) != 0 ? FARCALL_OK : FARCALL_NOT_FOUND);
}

static void
blocking_call(stage *s, test_random *random, Pair__Message *request)
{
	farcall_call *call = new_call(s, random);
	const Pair__Message *reply = NULL;
	farcall_code code;

	if (request->number % 4 == 0)
		share(s, call, request->number);
	code = pair_test_custom(call, request, &reply);
	assert_true((reply != NULL) == (code == FARCALL_OK));
	assert_int_equal(farcall_call_code(call), code);
	farcall_call_error(call);
	farcall_metadata_get(farcall_call_trailers(call), "last");
	farcall_call_free(call);
}

static void
async_call(stage *s, test_random *random, Pair__Message *request)
{
	farcall_call *call = new_call(s, random);

	if (request->number % 2 == 0)
		share(s, call, request->number);
	atomic_fetch_add(&s->begun, 1);
	pair_test_custom__async(call, request, told, s);
}

static void
look_at_channel(stage *s, unsigned n)
{
	farcall_channel *channel = s->pair.channel;

	farcall_channel_state(channel);
	farcall_channel_code(channel);
	farcall_channel_cause(channel);
	if ((n & 7) == 0)
		farcall_channel_wait_ready(channel, n % 3);
	if ((n & 24) == 0)
		farcall_channel_on_state(channel, (n & 32) != 0 ? on_state : NULL, s);
	farcall_endpoint_address(s->pair.endpoint, 0);
	farcall_endpoint_port(s->pair.endpoint);
	farcall_server_stopped(s->pair.server);
	farcall_server_code(s->pair.server);
	farcall_server_cause(s->pair.server);
	farcall_server_error(s->pair.server);
}

/* A channel of the thread's own, with or without calls, closed with what is under way. */
static void
own_channel(stage *s, test_random *random, Pair__Message *request)
{
	farcall_channel *channel = farcall_channel_open(test_pair_address(&s->pair));
	unsigned n = test_random_next(random);

	farcall_channel_set_timeout_ms(channel, 5000);
	farcall_channel_set_max_message(channel, 1 << 20);
	farcall_channel_set_max_metadata(channel, 8192);
	farcall_channel_set_spin_us(channel, n % 50);
	farcall_channel_set_peer_timeout_ms(channel, 5000);
	farcall_channel_allow_insecure(channel);
	if ((n & 1) != 0)
		test_echo(channel, "mine");
	if ((n & 2) != 0) {
		atomic_fetch_add(&s->begun, 1);
		pair_test_custom__async(farcall_call_new(channel), request, told, s);
	}
	if ((n & 4) != 0)
		farcall_channel_on_state(channel, on_state, s);
	farcall_channel_error(channel);
	farcall_channel_close(channel);
}

static void
play(void *data)
{
	stage *s = (stage *)data;
	test_random random;

	test_random_seed(&random, (uint64_t)atomic_fetch_add(&s->next_seed, 1) + 1);
	while (!atomic_load(&s->over)) {
		Pair__Message request = PAIR__MESSAGE__INIT;
		unsigned n = test_random_next(&random), what = n % 32;

		request.text = (char *)(uintptr_t) "any";
		request.number = n >> 8;
		if (what < 8)
			blocking_call(s, &random, &request);
		else if (what < 16 && atomic_load(&s->begun) - atomic_load(&s->ended) < 500)
			async_call(s, &random, &request);
		else if (what < 22)
			take_shared(s, n >> 8);
		else if (what < 27)
			complete_pending(s, n >> 8);
		else if (what < 30)
			look_at_channel(s, n >> 8);
		else if (what < 31)
			farcall_call_free(new_call(s, &random));
		else
			own_channel(s, &random, &request);
	}
}

/* ---- */

/* What is left lying about. */
static void
clear_up(stage *s)
{
	for (int turn = 0; turn < 20000; turn++) {
		bool left = atomic_load(&s->begun) != atomic_load(&s->ended);

		for (unsigned i = 0; i < SLOTS; i++) {
			complete_pending(s, i);
			take_shared(s, i);
		}
		if (!left)
			break;
		uv_sleep(1);
	}
	assert_int_equal(atomic_load(&s->begun), atomic_load(&s->ended));
}

static void
stop_it(void *data)
{
	stage *s = (stage *)data;

	farcall_server_stop(s->pair.server, (unsigned)atomic_fetch_add(&s->next_seed, 1) * 100);
	farcall_server_wait(s->pair.server);
}

static void
everything_at_once(void **state)
{
	const char *text = getenv("FARCALL_TEST_MS");
	static stage s;
	uv_thread_t threads[THREADS];

	(void)state;
	test_log_catch();
	memset(&s, 0, sizeof s);
	test_pair_init(&s.pair, "127.0.0.1:0");
	s.pair.custom = do_anything;
	s.pair.data = &s;
	test_pair_start(&s.pair);
	for (int i = 0; i < THREADS; i++)
		uv_thread_create(&threads[i], play, &s);
	uv_sleep(text != NULL ? (unsigned)atoi(text) : 1500);
	atomic_store(&s.over, true);
	for (int turn = 0; turn < 100; turn++) { /* calls that wait for what pends */
		for (unsigned i = 0; i < SLOTS; i++)
			complete_pending(&s, i);
		uv_sleep(1);
	}
	for (int i = 0; i < THREADS; i++)
		uv_thread_join(&threads[i]);
	clear_up(&s);
	print_message("%u async calls, %u of them good, %u states\n", atomic_load(&s.begun),
	    atomic_load(&s.good), atomic_load(&s.states));
	assert_true(atomic_load(&s.good) > 0);
	assert_int_equal(test_echo(s.pair.channel, "after"), FARCALL_OK);
	farcall_channel_on_state(s.pair.channel, NULL, NULL);
	for (int i = 0; i < THREADS; i++)
		uv_thread_create(&threads[i], stop_it, &s);
	for (int i = 0; i < THREADS; i++)
		uv_thread_join(&threads[i]);
	test_pair_fini(&s.pair);
	for (unsigned i = 0; i < SLOTS; i++)
		complete_pending(&s, i);
	for (int i = 0; i < 5000 && test_allocator_live() != 0; i++)
		uv_sleep(1);
	test_log_release();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(everything_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
