/*
 * The HPACK encoder, checked by our decoder (test_hpack_oracle.c checks both by nghttp2's): what is
 * inserted and found again, limits of the peer, and no room and no memory anywhere.
 */
#include "tests/support/test.h"

#include "runtime/base/bytes.h"
#include "runtime/protocol/h2/hpack.h"

#define LARGE ((size_t)1 << 20)

static fc_field_set set;

static const fc_classifier classifier = {NULL, NULL};

static void
metadata(size_t i, const char *name, const char *value)
{
	const fc_field *field;

	assert_true(i < set.n_metadata);
	field = set.metadata[i];
	assert_int_equal(field->name_size, strlen(name));
	assert_memory_equal(field->name, name, field->name_size);
	assert_int_equal(field->value_size, strlen(value));
	assert_memory_equal(field->value, value, field->value_size);
}

static size_t
put(fc_hpack_encoder *encoder, fc_buf *to, const char *name, const char *value,
    fc_hpack_store store)
{
	size_t before = fc_buf_size(to);

	assert_true(fc_hpack_encode(encoder, to, name, strlen(name), value, strlen(value), store));
	return fc_buf_size(to) - before;
}

static void
encoder_inserts_and_finds(void **state)
{
	fc_hpack_encoder *encoder = fc_hpack_encoder_new(NULL);
	fc_buf to;
	uint32_t generation;

	(void)state;
	fc_buf_init(&to, NULL, LARGE);
	assert_int_equal(put(encoder, &to, ":status", "200", FC_HPACK_INDEX), 1);
	assert_int_equal(put(encoder, &to, ":status", "500", FC_HPACK_INDEX), 1);
	assert_int_equal(put(encoder, &to, ":path", "/index.html", FC_HPACK_INDEX), 1);
	assert_true(put(encoder, &to, "content-type", "application/grpc", FC_HPACK_INDEX) > 8);
	assert_true(put(encoder, &to, "grpc-status", "0", FC_HPACK_INDEX) > 8);
	generation = fc_hpack_encoder_generation(encoder);
	assert_int_equal(put(encoder, &to, "content-type", "application/grpc", FC_HPACK_INDEX), 1);
	assert_int_equal(put(encoder, &to, "grpc-status", "0", FC_HPACK_INDEX), 1);
	assert_int_equal(put(encoder, &to, "grpc-status", "7", FC_HPACK_PLAIN), 1 + 1 + 1 + 1);
	assert_int_equal(put(encoder, &to, "content-type", "x", FC_HPACK_NEVER), 2 + 1 + 1);
	assert_int_equal(put(encoder, &to, "x", "y", FC_HPACK_PLAIN), 5);
	assert_int_equal(fc_hpack_encoder_generation(encoder), generation);
	put(encoder, &to, "grpc-status", "5", FC_HPACK_INDEX);
	assert_int_not_equal(fc_hpack_encoder_generation(encoder), generation);
	fc_buf_fini(&to);
	fc_hpack_encoder_free(encoder);
}

/* Both ends over a shrinking and growing table; our decoder checks. */
static void
encoder_follows_the_limit(void **state)
{
	fc_hpack_encoder *encoder = fc_hpack_encoder_new(NULL);
	fc_hpack_decoder *decoder = fc_hpack_decoder_new(NULL, LARGE, &classifier);
	static const uint32_t limits[] = {4096, 65536, 0, 100, 33, 4096};
	static const size_t sizes[] = {5, 1, 1 + 5, 2 + 5, 2 + 5, 1 + 3 + 5};
	fc_buf to;

	(void)state;
	fc_buf_init(&to, NULL, LARGE);
	for (size_t i = 0; i < FC_COUNT(limits); i++) {
		size_t first;

		if (i == 5)
			fc_hpack_encoder_limit(encoder, 10); /* two updates then */
		fc_hpack_encoder_limit(encoder, limits[i]);
		first = put(encoder, &to, "a", "b", FC_HPACK_INDEX);
		/* 65536 is more than we use: no update, and the field stands since before */
		assert_int_equal(first, sizes[i]);
		put(encoder, &to, "name-of-34-bytes-in-all-not-indexed", "", FC_HPACK_INDEX);
		assert_int_equal(
		    fc_hpack_decode(decoder, to.data + to.from, fc_buf_size(&to), &set),
		    FC_HPACK_OK);
		metadata(0, "a", "b");
		metadata(1, "name-of-34-bytes-in-all-not-indexed", "");
		fc_buf_take(&to, fc_buf_size(&to));
		if (i == 0)
			assert_int_equal(put(encoder, &to, "a", "b", FC_HPACK_INDEX), 1);
		fc_buf_take(&to, fc_buf_size(&to));
	}
	fc_buf_fini(&to);
	fc_hpack_encoder_free(encoder);
	fc_hpack_decoder_free(decoder);
}

static void
encoder_without_room_leaves_no_trace(void **state)
{
	fc_hpack_encoder *encoder = fc_hpack_encoder_new(NULL);
	uint32_t generation = fc_hpack_encoder_generation(encoder);
	fc_buf to;

	(void)state;
	fc_buf_init(&to, NULL, 40);
	fc_hpack_encoder_limit(encoder, 100);
	generation = fc_hpack_encoder_generation(encoder);
	assert_false(fc_hpack_encode(encoder, &to, "name", 4, "value", 5, FC_HPACK_INDEX));
	assert_int_equal(fc_hpack_encoder_generation(encoder), generation);
	assert_int_equal(fc_buf_size(&to), 0);
	fc_buf_fini(&to);
	fc_buf_init(&to, NULL, LARGE);
	put(encoder, &to, "name", "value", FC_HPACK_INDEX);
	assert_memory_equal(to.data, "\x3f\x45\x40", 3); /* the update is still said */
	/* Bytes with an update in them may not be said again. */
	fc_hpack_encoder_limit(encoder, 200);
	generation = fc_hpack_encoder_generation(encoder);
	put(encoder, &to, ":status", "200", FC_HPACK_INDEX);
	assert_int_not_equal(fc_hpack_encoder_generation(encoder), generation);
	fc_buf_fini(&to);
	fc_hpack_encoder_free(encoder);
}

/* One connection's life, each allocation failing in turn: never wrong, never lost. */
static void
survives_without_memory(void **state)
{
	bool failed = true;

	(void)state;
	for (size_t nth = 1; failed; nth++) {
		fc_hpack_decoder *decoder;
		fc_hpack_encoder *encoder;
		fc_buf to;
		bool alive = true;

		fc_buf_init(&to, NULL, LARGE);
		test_allocator_fail_at(nth, false);
		decoder = fc_hpack_decoder_new(NULL, LARGE, &classifier);
		encoder = fc_hpack_encoder_new(NULL);
		for (int i = 0; decoder != NULL && encoder != NULL && alive && i < 40; i++) {
			char value[200];
			fc_hpack_verdict verdict;

			memset(value, 'a' + i % 26, sizeof value);
			alive =
			    fc_hpack_encode(encoder, &to, "often", 5, "same", 4, FC_HPACK_INDEX) &&
			    fc_hpack_encode(encoder, &to, "new", 3, value, 150, FC_HPACK_INDEX) &&
			    fc_hpack_encode(encoder, &to, "now", 3, value + 3, 9, FC_HPACK_PLAIN) &&
			    fc_hpack_encode(encoder, &to, "now", 3, "then", 4, FC_HPACK_PLAIN);
			if (!alive)
				break;
			verdict = fc_hpack_decode(decoder, to.data, fc_buf_size(&to), &set);
			alive = verdict == FC_HPACK_OK;
			assert_true(alive || verdict == FC_HPACK_NO_MEMORY);
			if (alive) {
				metadata(0, "often", "same");
				assert_int_equal(set.metadata[1]->value_size, 150);
				assert_memory_equal(set.metadata[1]->value, value, 150);
				metadata(3, "now", "then");
			}
			fc_buf_take(&to, fc_buf_size(&to));
		}
		failed = test_allocator_failed();
		assert_true(failed || alive);
		test_allocator_fail_at(0, false);
		fc_hpack_decoder_free(decoder);
		fc_hpack_encoder_free(encoder);
		fc_buf_fini(&to);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(encoder_inserts_and_finds),
	    clean_test(encoder_follows_the_limit),
	    clean_test(encoder_without_room_leaves_no_trace),
	    clean_test(survives_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
