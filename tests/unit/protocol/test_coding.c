/*
 * Messages compressed and inflated, one at a time: against zlib itself, at the limit and one past
 * it, bombs, every cut and every flipped bit, and every allocation failing.
 */
#include "tests/support/test.h"

#include "runtime/base/bytes.h"
#include "runtime/protocol/grpc/coding.h"

#include <farcall/alloc.h>

#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

static const unsigned codings[] = {FC_CODING_GZIP, FC_CODING_DEFLATE};

/* ---- payloads ---- */

static void
pour(const fc_payload *payload, fc_sink *sink)
{
	const uint8_t *at = (const uint8_t *)payload->message;

	for (size_t left = payload->size, n = 1; left != 0; n = n * 3 % 5000 + 1) {
		n = FC_MIN(n, left);
		sink->add(sink, at, n);
		at += n;
		left -= n;
	}
}

static fc_deflated
squeeze(unsigned coding, const uint8_t *bytes, size_t size, fc_buf *to)
{
	const fc_payload payload = {size, NULL, pour, bytes};

	return fc_deflate(coding, &payload, to);
}

/* Of what deflating makes something: words with numbers. */
static uint8_t *
text_of(size_t size)
{
	uint8_t *text = (uint8_t *)malloc(size + 1);
	test_random random;

	test_random_seed(&random, size + 1);
	for (size_t i = 0; i < size; i++)
		text[i] = i % 8 < 6 ? "farcall "[i % 8] : (uint8_t)(test_random_next(&random) & 31);
	return text;
}

/* zlib's own, in one piece: the oracle. bits: 15 zlib, 31 gzip, -15 raw. */
static size_t
oracle_deflate(int bits, const uint8_t *from, size_t size, uint8_t *to, size_t room)
{
	z_stream z = {.next_in = (Bytef *)(uintptr_t)from,
	    .avail_in = (uInt)size,
	    .next_out = to,
	    .avail_out = (uInt)room};

	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, bits, 9, Z_DEFAULT_STRATEGY), Z_OK);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	return z.total_out;
}

static size_t
oracle_inflate(unsigned coding, const uint8_t *from, size_t size, uint8_t *to, size_t room)
{
	z_stream z = {.next_in = (Bytef *)(uintptr_t)from,
	    .avail_in = (uInt)size,
	    .next_out = to,
	    .avail_out = (uInt)room};

	assert_int_equal(inflateInit2(&z, coding == FC_CODING_GZIP ? 31 : 15), Z_OK);
	assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
	inflateEnd(&z);
	assert_int_equal(z.avail_in, 0);
	return z.total_out;
}

static farcall_code
expand(unsigned coding, const uint8_t *bytes, size_t size, size_t most, fc_buf *to, fc_error *why)
{
	uint8_t *copy = (uint8_t *)malloc(size + 1); /* exact, so that a sanitizer sees overruns */
	farcall_code code;

	memcpy(copy, bytes, size);
	fc_error_clear(why);
	code = fc_inflate(coding, copy, size, most, to, why);
	assert_int_equal(code, why->code);
	free(copy);
	return code;
}

/* ---- there and back ---- */

static void
round_trip(unsigned coding, size_t size)
{
	uint8_t *text = text_of(size), *other = (uint8_t *)malloc(size + 1);
	fc_buf coded, plain;
	fc_error why;

	fc_buf_init(&coded, NULL, 0);
	fc_buf_init(&plain, NULL, 0);
	assert_int_equal(squeeze(coding, text, size, &coded), FC_DEFLATED);
	assert_true(fc_buf_size(&coded) < size);
	assert_int_equal(
	    oracle_inflate(coding, coded.data, fc_buf_size(&coded), other, size), size);
	assert_memory_equal(other, text, size);
	assert_int_equal(
	    expand(coding, coded.data, fc_buf_size(&coded), size, &plain, &why), FARCALL_OK);
	assert_int_equal(fc_buf_size(&plain), size);
	assert_memory_equal(plain.data, text, size);
	fc_buf_fini(&coded);
	fc_buf_fini(&plain);
	free(text);
	free(other);
}

static void
there_and_back(void **state)
{
	static const size_t sizes[] = {
	    100, 511, 512, 513, 4096, 32767, 32768, 32769, 65536, 300000, 5000000};

	(void)state;
	for (size_t i = 0; i < FC_COUNT(sizes); i++)
		for (size_t j = 0; j < FC_COUNT(codings); j++)
			round_trip(codings[j], sizes[i]);
}

static void
what_does_not_get_smaller(void **state)
{
	uint8_t noise[70000];
	test_random random;

	(void)state;
	test_random_seed(&random, 3);
	for (size_t i = 0; i < sizeof noise; i++)
		noise[i] = (uint8_t)test_random_next(&random);
	for (size_t j = 0; j < FC_COUNT(codings); j++) {
		static const size_t sizes[] = {0, 1, 8, 9, 20, 21, 30, 1000, 40000, 70000};

		for (size_t i = 0; i < FC_COUNT(sizes); i++) {
			fc_buf to;

			fc_buf_init(&to, NULL, 0);
			assert_int_equal(
			    squeeze(codings[j], noise, sizes[i], &to), FC_DEFLATED_NO_GAIN);
			fc_buf_fini(&to);
		}
	}
}

/* The smallest that gain anything do. */
static void
small_ones(void **state)
{
	(void)state;
	for (size_t j = 0; j < FC_COUNT(codings); j++) {
		for (size_t size = 0; size < 100; size++) {
			uint8_t same[100], other[100];
			fc_buf to;

			memset(same, 'a', sizeof same);
			fc_buf_init(&to, NULL, 0);
			if (squeeze(codings[j], same, size, &to) == FC_DEFLATED) {
				assert_true(fc_buf_size(&to) < size);
				assert_int_equal(oracle_inflate(codings[j], to.data,
				                     fc_buf_size(&to), other, size),
				    size);
				assert_memory_equal(same, other, size);
			} else {
				assert_true(size < 30);
			}
			fc_buf_fini(&to);
		}
	}
}

/* ---- the limit ---- */

static void
at_the_limit(void **state)
{
	static const size_t sizes[] = {1, 2, 1000, 1007, 1008, 4096, 65536, 100000};
	uint8_t coded[2000], *zeros = (uint8_t *)calloc(1, 100001);

	(void)state;
	for (size_t i = 0; i < FC_COUNT(sizes); i++) {
		for (size_t j = 0; j < FC_COUNT(codings); j++) {
			int bits = codings[j] == FC_CODING_GZIP ? 31 : 15;
			size_t size = oracle_deflate(bits, zeros, sizes[i], coded, sizeof coded);
			fc_error why;
			fc_buf to;
			char text[80];

			fc_buf_init(&to, NULL, 0);
			assert_int_equal(
			    expand(codings[j], coded, size, sizes[i], &to, &why), FARCALL_OK);
			assert_int_equal(fc_buf_size(&to), sizes[i]);
			fc_buf_fini(&to);
			size = oracle_deflate(bits, zeros, sizes[i] + 1, coded, sizeof coded);
			assert_int_equal(expand(codings[j], coded, size, sizes[i], &to, &why),
			    FARCALL_RESOURCE_EXHAUSTED);
			assert_int_equal(why.cause, FARCALL_CAUSE_TOO_LARGE);
			snprintf(text, sizeof text,
			    "a compressed message inflates to more than %zu bytes", sizes[i]);
			assert_string_equal(why.text, text);
			assert_true(to.room <= sizes[i] + 1);
			fc_buf_fini(&to);
		}
	}
	free(zeros);
}

/* ---- bombs: bytes that are alive ---- */

static size_t alive, peak;

static void *
count_malloc(size_t size, void *data)
{
	size_t *memory = (size_t *)malloc(size + 16);

	(void)data;
	*memory = size;
	alive += size;
	peak = FC_MAX(peak, alive);
	return memory + 2;
}

static void
count_free(void *memory, void *data)
{
	size_t *head = (size_t *)memory - 2;

	(void)data;
	alive -= *head;
	free(head);
}

static void *
count_realloc(void *memory, size_t size, void *data)
{
	void *other = count_malloc(size, data);

	if (memory != NULL) {
		memcpy(other, memory, FC_MIN(size, ((size_t *)memory)[-2]));
		count_free(memory, data);
	}
	return other;
}

/* 4 GiB of zeros, less their end, in 4 MiB: the same block over and over. */
static uint8_t *
make_bomb(unsigned coding, size_t *size)
{
	static uint8_t zeros[1 << 20];
	uint8_t *bomb = (uint8_t *)malloc(8u << 20), *block;
	z_stream z = {.next_out = bomb, .avail_out = 8u << 20};
	size_t n;

	deflateInit2(&z, 9, Z_DEFLATED, coding == FC_CODING_GZIP ? 31 : 15, 9, Z_DEFAULT_STRATEGY);
	for (int i = 0; i < 2; i++) {
		block = z.next_out;
		z.next_in = zeros;
		z.avail_in = sizeof zeros;
		assert_int_equal(deflate(&z, Z_FULL_FLUSH), Z_OK);
	}
	n = (size_t)(z.next_out - block);
	for (int i = 2; i < 4096; i++) {
		memcpy(z.next_out, block, n);
		z.next_out += n;
	}
	*size = (size_t)(z.next_out - bomb);
	assert_true(*size < 8u << 20);
	deflateEnd(&z);
	return bomb;
}

static void
bombs(void **state)
{
	static const farcall_allocator counting = {count_malloc, count_realloc, count_free, NULL};
	static const size_t limits[] = {1, 1000, 4u << 20};

	(void)state;
	for (size_t j = 0; j < FC_COUNT(codings); j++) {
		size_t size;
		uint8_t *bomb = make_bomb(codings[j], &size);

		assert_in_range(size, 4u << 20, 5u << 20);
		for (size_t i = 0; i < FC_COUNT(limits); i++) {
			fc_error why;
			fc_buf to;

			farcall_set_allocator(&counting);
			alive = peak = 0;
			fc_buf_init(&to, NULL, 0);
			assert_int_equal(expand(codings[j], bomb, size, limits[i], &to, &why),
			    FARCALL_RESOURCE_EXHAUSTED);
			assert_int_equal(why.cause, FARCALL_CAUSE_TOO_LARGE);
			fc_buf_fini(&to);
			assert_int_equal(alive, 0);
			/* the message, once more while its buffer grows, zlib's window and state */
			assert_true(peak <= 2 * limits[i] + (80u << 10));
			farcall_set_allocator(NULL);
		}
		free(bomb);
	}
}

/* What gzip says of its size is believed as far as the bytes could hold it, and not relied on. */
static void
sizes_that_lie(void **state)
{
	static const uint32_t lies[] = {0, 1, 4999, 5001, 0x7fffffff, 0xffffffff};
	static const farcall_allocator counting = {count_malloc, count_realloc, count_free, NULL};
	uint8_t *text = text_of(5000), coded[6000];
	size_t size = oracle_deflate(31, text, 5000, coded, sizeof coded);

	(void)state;
	for (size_t i = 0; i < FC_COUNT(lies); i++) {
		fc_error why;
		fc_buf to;

		for (int k = 0; k < 4; k++)
			coded[size - 4 + (size_t)k] = (uint8_t)(lies[i] >> 8 * k);
		farcall_set_allocator(&counting);
		alive = peak = 0;
		fc_buf_init(&to, NULL, 0);
		assert_int_equal(
		    expand(FC_CODING_GZIP, coded, size, 4u << 20, &to, &why), FARCALL_INTERNAL);
		assert_string_equal(
		    why.text, "a compressed message is damaged: incorrect length check");
		assert_true(peak <= 2 * size * 1032 + (80u << 10)); /* blocks are powers of 2 */
		fc_buf_fini(&to);
		assert_int_equal(alive, 0);
		farcall_set_allocator(NULL);
	}
	free(text);
}

/* ---- damage ---- */

static void
expect_damage(unsigned coding, const uint8_t *bytes, size_t size, const char *what)
{
	fc_error why;
	fc_buf to;

	fc_buf_init(&to, NULL, 0);
	assert_int_equal(expand(coding, bytes, size, 100000, &to, &why), FARCALL_INTERNAL);
	assert_int_equal(why.cause, FARCALL_CAUSE_PROTOCOL);
	assert_memory_equal(why.text, "a compressed message is damaged: ", 33);
	if (what != NULL)
		assert_string_equal(why.text + 33, what);
	fc_buf_fini(&to);
}

static void
every_cut(void **state)
{
	uint8_t *text = text_of(3000), coded[4000];

	(void)state;
	for (size_t j = 0; j < FC_COUNT(codings); j++) {
		size_t size = oracle_deflate(
		    codings[j] == FC_CODING_GZIP ? 31 : 15, text, 3000, coded, sizeof coded);

		for (size_t cut = 0; cut < size; cut++)
			expect_damage(codings[j], coded, cut, "it is cut off");
	}
	free(text);
}

/* Each bit in turn: found, or without meaning (gzip's time and system, zlib's level,
 * and what fills the last byte of the data). */
static void
every_bit(void **state)
{
	uint8_t *text = text_of(700), coded[1000];

	(void)state;
	for (size_t j = 0; j < FC_COUNT(codings); j++) {
		size_t size = oracle_deflate(
		    codings[j] == FC_CODING_GZIP ? 31 : 15, text, 700, coded, sizeof coded);
		size_t harmless = 0;

		for (size_t bit = 0; bit < 8 * size; bit++) {
			fc_error why;
			fc_buf to;

			coded[bit / 8] ^= (uint8_t)(1u << bit % 8);
			fc_buf_init(&to, NULL, 0);
			if (expand(codings[j], coded, size, 700, &to, &why) == FARCALL_OK) {
				assert_int_equal(fc_buf_size(&to), 700);
				assert_memory_equal(to.data, text, 700);
				harmless++;
			}
			fc_buf_fini(&to);
			coded[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
		assert_true(harmless <= 48 + 1 + 8 + 7);
	}
	free(text);
}

static void
other_formats(void **state)
{
	uint8_t *text = text_of(200), zlib[300], gzip[600], raw[300];
	size_t n_zlib = oracle_deflate(15, text, 200, zlib, sizeof zlib);
	size_t n_gzip = oracle_deflate(31, text, 200, gzip, 300);
	size_t n_raw = oracle_deflate(-15, text, 200, raw, sizeof raw);
	fc_error why;
	fc_buf to;

	(void)state;
	expect_damage(FC_CODING_GZIP, zlib, n_zlib, "incorrect header check");
	expect_damage(FC_CODING_DEFLATE, gzip, n_gzip, "incorrect header check");
	expect_damage(FC_CODING_DEFLATE, raw, n_raw, NULL);
	expect_damage(FC_CODING_GZIP, text, 200, "incorrect header check");
	expect_damage(FC_CODING_GZIP, text, 0, "it is cut off");

	zlib[n_zlib] = 0;
	expect_damage(FC_CODING_DEFLATE, zlib, n_zlib + 1, "something follows its end");
	memcpy(gzip + n_gzip, "more", 4);
	expect_damage(FC_CODING_GZIP, gzip, n_gzip + 4, "incorrect header check");

	/* members in a row are one message, under one limit */
	memcpy(gzip + n_gzip, gzip, n_gzip);
	fc_buf_init(&to, NULL, 0);
	assert_int_equal(expand(FC_CODING_GZIP, gzip, 2 * n_gzip, 400, &to, &why), FARCALL_OK);
	assert_int_equal(fc_buf_size(&to), 400);
	assert_memory_equal(to.data + 200, text, 200);
	fc_buf_fini(&to);
	assert_int_equal(
	    expand(FC_CODING_GZIP, gzip, 2 * n_gzip, 399, &to, &why), FARCALL_RESOURCE_EXHAUSTED);
	fc_buf_fini(&to);
	free(text);
}

static void
a_dictionary(void **state)
{
	uint8_t coded[100];
	z_stream z = {.next_in = (Bytef *)(uintptr_t) "hello hello hello",
	    .avail_in = 17,
	    .next_out = coded,
	    .avail_out = sizeof coded};

	(void)state;
	deflateInit(&z, 9);
	deflateSetDictionary(&z, (const Bytef *)"hello", 5);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	expect_damage(FC_CODING_DEFLATE, coded, z.total_out, "it asks for a dictionary");
}

/* An empty message has a compressed form, too. */
static void
empty_ones(void **state)
{
	(void)state;
	for (size_t j = 0; j < FC_COUNT(codings); j++) {
		uint8_t coded[100];
		size_t size = oracle_deflate(codings[j] == FC_CODING_GZIP ? 31 : 15,
		    (const uint8_t *)"", 0, coded, sizeof coded);
		fc_error why;
		fc_buf to;

		fc_buf_init(&to, NULL, 0);
		assert_int_equal(expand(codings[j], coded, size, 1, &to, &why), FARCALL_OK);
		assert_int_equal(fc_buf_size(&to), 0);
		assert_non_null(to.data);
		fc_buf_fini(&to);
	}
}

/* ---- memory ---- */

/* false: nothing failed any more. */
static bool
fail_nth(unsigned coding, const uint8_t *text, size_t size, size_t nth)
{
	fc_buf coded, plain;
	fc_error why;
	bool failed;

	fc_buf_init(&coded, NULL, 0);
	fc_buf_init(&plain, NULL, 0);
	fc_error_clear(&why);
	test_allocator_fail_at(nth, false);
	if (squeeze(coding, text, size, &coded) == FC_DEFLATED) {
		farcall_code code =
		    fc_inflate(coding, coded.data, fc_buf_size(&coded), size, &plain, &why);

		if (code == FARCALL_OK)
			assert_memory_equal(plain.data, text, size);
		else
			assert_int_equal(why.cause, FARCALL_CAUSE_OUT_OF_MEMORY);
		assert_int_equal(code != FARCALL_OK, test_allocator_failed());
	} else {
		assert_true(test_allocator_failed());
	}
	failed = test_allocator_failed();
	test_allocator_fail_at(0, false);
	fc_buf_fini(&coded);
	fc_buf_fini(&plain);
	return failed;
}

static void
every_allocation_fails(void **state)
{
	uint8_t *text = text_of(200000);

	(void)state;
	for (size_t j = 0; j < FC_COUNT(codings); j++) {
		size_t nth = 1;

		while (fail_nth(codings[j], text, 200000, nth))
			nth++;
		assert_true(nth > 4);
	}
	free(text);
}

/* With a pool that is warm nothing is taken from the heap. */
static void
warm(void **state)
{
	static const size_t sizes[] = {100, 5000, 100000, 2000000};
	uint8_t *text = text_of(2000000);
	size_t before = 0;
	fc_pool pool;

	(void)state;
	fc_pool_init(&pool, 32u << 20);
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < 2 * FC_COUNT(sizes); i++) {
			size_t size = sizes[i / 2];
			fc_buf coded, plain;
			fc_error why;

			fc_error_clear(&why);
			fc_buf_init(&coded, &pool, 0);
			fc_buf_init(&plain, &pool, 0);
			assert_int_equal(squeeze(codings[i % 2], text, size, &coded), FC_DEFLATED);
			assert_int_equal(fc_inflate(codings[i % 2], coded.data, fc_buf_size(&coded),
			                     size, &plain, &why),
			    FARCALL_OK);
			fc_buf_fini(&coded);
			fc_buf_fini(&plain);
		}
		if (round == 0)
			before = test_allocator_calls();
	}
	assert_int_equal(test_allocator_calls(), before);
	fc_pool_fini(&pool);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(there_and_back),
	    clean_test(what_does_not_get_smaller),
	    clean_test(small_ones),
	    clean_test(at_the_limit),
	    cmocka_unit_test(bombs),
	    cmocka_unit_test(sizes_that_lie),
	    clean_test(every_cut),
	    clean_test(every_bit),
	    clean_test(other_formats),
	    clean_test(a_dictionary),
	    clean_test(empty_ones),
	    clean_test(every_allocation_fails),
	    clean_test(warm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
