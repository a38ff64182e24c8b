/*
 * Engine against engine: all four shapes, whole and in random pieces, small windows, many calls at
 * a time. Every byte of every message is checked at the other end.
 */
#include "tests/support/test.h"

#include "tests/support/duo.h"

#include <farcall/alloc.h>

#include <stdlib.h>

static void
run_and_check(duo *d, unsigned calls)
{
	if (!duo_run(d))
		fail_msg("%u calls hang; dead: %d %d (%s; %s)", d->open, d->client_dead,
		    d->server_dead, d->client_why.text, d->server_why.text);
	assert_int_equal(d->done, calls);
	assert_int_equal(d->failed, 0);
	assert_int_equal(d->wrong, 0);
	assert_false(d->client_dead);
	assert_false(d->server_dead);
}

/* Each seed has its coding, or none. */
static unsigned
coding_of(uint32_t seed)
{
	return seed % 3 == 0 ? 0 : seed % 3 == 1 ? FC_CODING_GZIP : FC_CODING_DEFLATE;
}

static void
one_unary_call(void **state)
{
	duo d;

	(void)state;
	duo_init(&d, 1);
	assert_true(duo_open(&d));
	assert_non_null(duo_start(&d, DUO_UNARY, 7, 1, 1, 100));
	run_and_check(&d, 1);
	assert_true(d.ready);
	duo_fini(&d);
}

static void
all_shapes(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 40; seed++) {
		duo d;
		unsigned calls = 0;

		duo_init(&d, seed);
		d.coding = coding_of(seed);
		d.chunk = seed % 4 == 0 ? 0 : seed % 4 == 1 ? 1 : seed % 4 == 2 ? 40 : 20000;
		assert_true(duo_open(&d));
		for (uint32_t i = 0; i < 12; i++) {
			uint32_t x = test_random_next(&d.random);
			duo_shape shape = (duo_shape)(i % 4);
			uint32_t requests =
			    shape == DUO_CLIENT_STREAM || shape == DUO_BIDI ? x % 9 : 1;
			uint32_t replies =
			    shape == DUO_SERVER_STREAM || shape == DUO_BIDI ? x / 9 % 9 : 1;

			assert_non_null(
			    duo_start(&d, shape, x, requests, replies, d.chunk == 1 ? 600 : 9000));
			calls++;
			for (uint32_t steps = x % 5; steps != 0; steps--)
				duo_step(&d);
		}
		run_and_check(&d, calls);
		assert_int_equal(d.compressed != 0, d.coding != 0);
		duo_fini(&d);
	}
}

static void
messages_larger_than_windows(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 6; seed++) {
		duo d;

		duo_init(&d, seed);
		d.coding = coding_of(seed);
		d.chunk = 70000;
		d.client_config.stream_window = seed % 2 == 0 ? 100 : 1u << 20;
		d.server_config.connection_window = seed % 3 == 0 ? 1u << 20 : 0;
		d.server_config.stream_window = seed % 2 == 0 ? 1u << 20 : 5000;
		assert_true(duo_open(&d));
		assert_non_null(duo_start(&d, DUO_BIDI, seed * 9, 4, 4, 300000));
		assert_non_null(duo_start(&d, DUO_BIDI, seed * 11, 4, 4, 300000));
		assert_non_null(duo_start(&d, DUO_UNARY, seed * 13, 1, 1, 2000000));
		run_and_check(&d, 3);
		duo_fini(&d);
	}
}

static void
batches_of_calls(void **state)
{
	duo d;

	(void)state;
	duo_init(&d, 5);
	assert_true(duo_open(&d));
	for (unsigned batch = 0; batch < 50; batch++) {
		for (uint32_t i = 0; i < 64; i++)
			assert_non_null(duo_start(&d, DUO_UNARY, batch * 64 + i, 1, 1, 64));
		run_and_check(&d, (batch + 1) * 64);
	}
	duo_fini(&d);
}

/* Calls are cut short in every way; each ends once, nothing leaks, and whatever did get through is
 * right. TEST_ROUNDS: more of it. */
static void
mischief(void **state)
{
	const char *rounds = getenv("TEST_ROUNDS");
	uint32_t last = rounds != NULL ? (uint32_t)strtoul(rounds, NULL, 10) : 300;

	(void)state;
	for (uint32_t seed = 1; seed <= last; seed++) {
		duo d;
		unsigned calls = 0;

		duo_init(&d, seed * 7919);
		d.chunk = 1 + seed * 37 % 3000;
		d.server_config.stream_window = 1 + seed * 131 % 70000;
		d.client_config.stream_window = 1 + seed * 97 % 70000;
		d.server_config.max_streams = 1 + seed % 9;
		assert_true(duo_open(&d));
		for (uint32_t i = 0; i < 30; i++) {
			uint32_t x = test_random_next(&d.random);
			bool many = x % 3 == 0;

			calls += duo_start(&d, many ? DUO_BIDI : DUO_UNARY, x, many ? x / 3 % 5 : 1,
			             many ? x / 15 % 5 : 1, x % 2 ? 100 : 20000) != NULL;
			for (uint32_t steps = x >> 8 & 7; steps != 0; steps--)
				duo_step(&d);
			if ((x >> 16 & 3) == 0)
				duo_mischief(&d);
		}
		if (!duo_run(&d))
			fail_msg("seed %u: %u calls hang", seed, d.open);
		assert_int_equal(d.done, calls);
		for (duo_call *call = d.calls; call != NULL; call = call->next)
			if (call->code == FARCALL_OK)
				assert_int_equal(call->replies.at, call->replies.count);
		duo_fini(&d);
	}
}

static size_t idle_bytes;

static void *
count_malloc(size_t size, void *data)
{
	size_t *memory = (size_t *)malloc(size + 16);

	(void)data;
	idle_bytes += size;
	*memory = size;
	return memory + 2;
}

static void
count_free(void *memory, void *data)
{
	size_t *start = (size_t *)memory - 2;

	(void)data;
	idle_bytes -= *start;
	free(start);
}

static void *
count_realloc(void *memory, size_t size, void *data)
{
	void *new = count_malloc(size, data);

	if (memory != NULL) {
		memcpy(new, memory, FC_MIN(size, ((size_t *)memory)[-2]));
		count_free(memory, data);
	}
	return new;
}

/* A server's connection that has had 100 calls at once, a second after the last one. */
static void
an_idle_connection_is_small(void **state)
{
	static const farcall_allocator counting = {count_malloc, count_realloc, count_free, NULL};
	duo d;

	(void)state;
	farcall_set_allocator(&counting);
	duo_init(&d, 5);
	d.pool.most = 0;
	d.server_config.pool = NULL;
	assert_true(duo_open(&d));
	for (uint32_t i = 0; i < 100; i++)
		assert_non_null(duo_start(&d, DUO_UNARY, i, 1, 1, 3000));
	run_and_check(&d, 100);
	fc_h2_engine.free(d.client);
	d.client = NULL;
	d.now += 2 * FC_NS_PER_S;
	fc_h2_engine.tick(d.server, d.now);
	fc_h2_engine.tick(d.server, d.now + 2 * FC_NS_PER_S);
	print_message("idle: %zu bytes\n", idle_bytes);
	assert_true(idle_bytes <= 9216); /* 1.8 KiB are ours, the rest is HPACK: tables and memos */
	duo_fini(&d);
	assert_int_equal(idle_bytes, 0);
	test_allocator_install();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(one_unary_call),
	    clean_test(all_shapes),
	    clean_test(messages_larger_than_windows),
	    clean_test(batches_of_calls),
	    clean_test(mischief),
	    clean_test(an_idle_connection_is_small),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
