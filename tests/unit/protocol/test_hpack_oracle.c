/*
 * HPACK against nghttp2's: what its deflater writes we read alike, what we write its inflater reads
 * alike, and damaged blocks get the same verdict and the same fields. FARCALL_TEST_ROUNDS
 * multiplies the number of blocks, FARCALL_TEST_SEED starts elsewhere.
 *
 * Where the two differ on purpose:
 *   - More than two updates of the table's size in one block: RFC 7541 4.2 needs no more than two,
 *     so we call more a fault; nghttp2 1.52 takes any number.
 *   - We stop showing fields above FC_FIELDS_MOST or max_list (and stay in step); its inflater has
 *     no such limit.
 *   - White space around values: taken off by us (classification, not HPACK), kept by nghttp2.
 */
#include "tests/support/test.h"

#include "runtime/protocol/h2/hpack.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>

#define FIELDS 400 /* of one block, at most, in these tests */
#define BLOCK 16384

typedef struct named {
	char *name, *value;
	size_t name_size, value_size;
	bool never;
} named;

typedef struct list {
	named at[FIELDS];
	size_t n;
	size_t size; /* RFC 9113 6.5.2 */
	bool cut;    /* there were more */
} list;

static unsigned long rounds, seed;

static const void *
lookup(void *owner, const char *path, size_t size)
{
	uintptr_t hash = (uintptr_t)owner;

	for (size_t i = 0; i < size; i++)
		hash = hash * 31 + (uint8_t)path[i];
	return (const void *)hash;
}

static const fc_classifier classifier = {lookup, (void *)(uintptr_t)77};

static char *
copy(const void *bytes, size_t size)
{
	char *to = (char *)malloc(size + 1);

	assert_non_null(to);
	memcpy(to, bytes, size);
	to[size] = 0;
	return to;
}

static void
list_add(
    list *to, const void *name, size_t name_size, const void *value, size_t value_size, bool never)
{
	named *field;

	to->size += name_size + value_size + 32;
	if (to->n == FIELDS) {
		to->cut = true;
		return;
	}
	field = &to->at[to->n++];
	field->name = copy(name, name_size);
	field->value = copy(value, value_size);
	field->name_size = name_size;
	field->value_size = value_size;
	field->never = never;
}

static void
list_clear(list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->at[i].name);
		free(l->at[i].value);
	}
	l->n = l->size = 0;
	l->cut = false;
}

/* What nghttp2 makes of a block; false: an error, after the fields in `to`. */
static bool
inflate(nghttp2_hd_inflater *inflater, const uint8_t *block, size_t size, list *to)
{
	for (;;) {
		nghttp2_nv nv;
		int flags = 0;
		ssize_t n = nghttp2_hd_inflate_hd2(inflater, &nv, &flags, block, size, 1);

		if (n < 0)
			return false;
		block += n;
		size -= (size_t)n;
		if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0)
			list_add(to, nv.name, nv.namelen, nv.value, nv.valuelen,
			    (nv.flags & NGHTTP2_NV_FLAG_NO_INDEX) != 0);
		if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0)
			break;
		if ((flags & NGHTTP2_HD_INFLATE_EMIT) == 0 && size == 0)
			break;
	}
	nghttp2_hd_inflate_end_headers(inflater);
	return true;
}

static void
fail_at(const char *what, const uint8_t *block, size_t size)
{
	fprintf(stderr, "%s; FARCALL_TEST_SEED=%lu, block of %zu:", what, seed, size);
	for (size_t i = 0; i < size; i++)
		fprintf(stderr, " %02x", block[i]);
	fprintf(stderr, "\n");
	fail();
}

static bool
equal(const fc_field *field, const fc_field *expected, bool never)
{
	return field->name_size == expected->name_size &&
	    field->value_size == expected->value_size &&
	    memcmp(field->name, expected->name, field->name_size) == 0 &&
	    memcmp(field->value, expected->value, field->value_size) == 0 &&
	    field->says == expected->says && field->refuses == expected->refuses &&
	    field->token == expected->token && field->number == expected->number &&
	    (field->method == expected->method || field->method == NULL) &&
	    ((field->flags ^ expected->flags) &
	        (FC_FIELD_BIN | FC_FIELD_BAD_NAME | FC_FIELD_BAD_VALUE)) == 0 &&
	    (field->flags & FC_FIELD_NEVER_INDEXED) / FC_FIELD_NEVER_INDEXED == never;
}

/* The set as it must be for the fields of `l`. */
static const char *
compare(const fc_field_set *set, const list *l, bool whole)
{
	uint32_t says = 0;
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++) {
		const named *from = &l->at[i];
		fc_field e = {.name = from->name, .value = from->value};
		const fc_field *field = NULL;

		e.name_size = (uint32_t)from->name_size;
		e.value_size = (uint32_t)from->value_size;
		fc_field_classify(&classifier, &e);
		if (e.token == FC_TOKEN_OTHER) {
			if (n == set->n_metadata)
				return "a field is missing";
			field = set->metadata[n++];
		} else if ((says & (1u << e.token)) == 0) {
			if ((set->says & (1u << e.token)) == 0)
				return "a known field is missing";
			field = set->known[e.token];
		}
		if (field != NULL && !equal(field, &e, from->never))
			return "a field differs";
		if ((says & e.refuses) != 0)
			says |= FC_SAYS_MALFORMED;
		says |= e.says;
	}
	if (n != set->n_metadata)
		return "too many fields";
	if (says != set->says)
		return "the set says something else";
	if (whole && set->list_size != l->size)
		return "the size of the list differs";
	return NULL;
}

static unsigned
leading_updates(const uint8_t *block, size_t size)
{
	unsigned n = 0;
	size_t at = 0;

	while (at < size && (block[at] & 0xe0) == 0x20) {
		n++;
		if ((block[at++] & 0x1f) == 0x1f) {
			while (at < size && (block[at] & 0x80) != 0)
				at++;
			at++;
		}
	}
	return n;
}

/* Both read the block; false: it broke both, alike. */
static bool
both_read(fc_hpack_decoder *decoder, nghttp2_hd_inflater *inflater, const uint8_t *block,
    size_t size, fc_hpack_verdict *verdict)
{
	static list theirs;
	fc_field_set set;
	uint8_t *exact = (uint8_t *)copy(block, size); /* so that ASan sees a read behind it */
	bool good;
	const char *what = NULL;

	list_clear(&theirs);
	good = inflate(inflater, block, size, &theirs);
	*verdict = fc_hpack_decode(decoder, exact, size, &set);
	if (*verdict == FC_HPACK_ERROR && leading_updates(block, size) > 2)
		good = false; /* ours alone, and nothing to compare */
	else if (good && *verdict == FC_HPACK_ERROR)
		what = "nghttp2 takes what we refuse";
	else if (!good && *verdict != FC_HPACK_ERROR)
		what = "nghttp2 refuses what we take";
	else if (*verdict == FC_HPACK_TOO_LARGE && theirs.n <= FC_FIELDS_MOST)
		what = "not too large";
	else if (*verdict != FC_HPACK_TOO_LARGE && theirs.n <= FC_FIELDS_MOST)
		what = compare(&set, &theirs, good);
	if (what != NULL)
		fail_at(what, block, size);
	free(exact);
	list_clear(&theirs);
	return good;
}

static const char *const common_names[] = {":method", ":path", ":scheme", ":authority", ":status",
    "te", "content-type", "grpc-timeout", "grpc-encoding", "grpc-accept-encoding", "grpc-status",
    "grpc-message", "user-agent", "host", "content-length", "accept", "cookie", "x-request-id",
    "traceparent", "token-bin", "Upper", "connection", "grpc-x", "authorization"};
static const char *const common_values[] = {"POST", "/demo.Greeter/SayHello", "http", "localhost",
    "200", "trailers", "application/grpc", "application/grpc+proto", "5S", "gzip", "identity,gzip",
    "0", "", " padded ", "grpc-c/1.0", "/a/b", "99999999H", "1234", "a\tb", "\x01"};

/* A random field; values are often new, names seldom. */
static void
random_field(test_random *random, list *to)
{
	char name[40], value[400];
	const char *from = common_names[test_random_below(random, FC_COUNT(common_names))];
	size_t name_size = strlen(from), value_size;
	uint32_t kind = test_random_below(random, 10);

	memcpy(name, from, name_size);
	if (test_random_below(random, 4) == 0) {
		name_size = test_random_below(random, 30);
		for (size_t i = 0; i < name_size; i++)
			name[i] = "abcdefghij-_.0123"[test_random_below(random, 17)];
	}
	if (kind < 5) {
		from = common_values[test_random_below(random, FC_COUNT(common_values))];
		value_size = strlen(from);
		memcpy(value, from, value_size);
	} else {
		value_size = test_random_below(random, kind == 9 ? 400 : 40);
		for (size_t i = 0; i < value_size; i++)
			value[i] = (char)(kind == 8 ? test_random_below(random, 256)
			                            : 0x20 + test_random_below(random, 0x5f));
	}
	list_add(to, name, name_size, value, value_size, test_random_below(random, 8) == 0);
}

static void
random_list(test_random *random, list *to)
{
	size_t n = test_random_below(random, 12);

	list_clear(to);
	if (test_random_below(random, 50) == 0)
		n = 100 + test_random_below(random, 60);
	while (n-- != 0)
		random_field(random, to);
}

static size_t
deflate(nghttp2_hd_deflater *deflater, const list *from, uint8_t *block)
{
	static nghttp2_nv nv[FIELDS];
	ssize_t n;

	for (size_t i = 0; i < from->n; i++) {
		nv[i].name = (uint8_t *)from->at[i].name;
		nv[i].namelen = from->at[i].name_size;
		nv[i].value = (uint8_t *)from->at[i].value;
		nv[i].valuelen = from->at[i].value_size;
		nv[i].flags = from->at[i].never ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE;
	}
	n = nghttp2_hd_deflate_hd(deflater, block, 65536, nv, from->n);
	assert_true(n >= 0);
	return (size_t)n;
}

static uint8_t block[65536];

static void
reads_what_nghttp2_writes(void **state)
{
	static list lists[4];
	test_random random;

	(void)state;
	for (unsigned long session = 0; session < 60 * rounds; session++) {
		nghttp2_hd_deflater *deflater;
		nghttp2_hd_inflater *inflater;
		fc_hpack_decoder *decoder = fc_hpack_decoder_new(NULL, 1 << 20, &classifier);

		test_random_seed(&random, seed + session);
		assert_int_equal(nghttp2_hd_deflate_new(&deflater, 4096), 0);
		assert_int_equal(nghttp2_hd_inflate_new(&inflater), 0);
		for (int i = 0; i < 4; i++)
			random_list(&random, &lists[i]);
		for (int i = 0; i < 100; i++) {
			list *from = &lists[test_random_below(&random, 4)];
			fc_hpack_verdict verdict;

			if (test_random_below(&random, 3) == 0)
				random_list(&random, from);
			if (test_random_below(&random, 20) == 0)
				assert_int_equal(nghttp2_hd_deflate_change_table_size(
				                     deflater, test_random_below(&random, 4097)),
				    0);
			assert_true(both_read(
			    decoder, inflater, block, deflate(deflater, from, block), &verdict));
			assert_int_equal(
			    verdict, from->n <= FC_FIELDS_MOST ? FC_HPACK_OK : FC_HPACK_TOO_LARGE);
		}
		fc_hpack_decoder_free(decoder);
		nghttp2_hd_inflate_del(inflater);
		nghttp2_hd_deflate_del(deflater);
	}
	for (int i = 0; i < 4; i++)
		list_clear(&lists[i]);
}

static void
is_read_by_nghttp2(void **state)
{
	static list from, to;
	test_random random;

	(void)state;
	for (unsigned long session = 0; session < 100 * rounds; session++) {
		nghttp2_hd_inflater *inflater;
		fc_hpack_encoder *encoder = fc_hpack_encoder_new(NULL);
		fc_buf out;

		test_random_seed(&random, seed + session);
		fc_buf_init(&out, NULL, 1 << 20);
		assert_int_equal(nghttp2_hd_inflate_new(&inflater), 0);
		for (int i = 0; i < 60; i++) {
			if (i == 0 || test_random_below(&random, 3) != 0)
				random_list(&random, &from);
			for (uint32_t n = test_random_below(&random, 12); n < 3; n++) {
				uint32_t limit = test_random_below(&random, 6000);

				assert_int_equal(
				    nghttp2_hd_inflate_change_table_size(inflater, limit), 0);
				fc_hpack_encoder_limit(encoder, limit);
			}
			if (from.n == 0) /* nghttp2 wants a changed limit said even here */
				random_field(&random, &from);
			for (size_t f = 0; f < from.n; f++) {
				named *field = &from.at[f];
				fc_hpack_store store = field->never ? FC_HPACK_NEVER
				    : test_random_below(&random, 2) ? FC_HPACK_INDEX
				                                    : FC_HPACK_PLAIN;

				assert_true(fc_hpack_encode(encoder, &out, field->name,
				    field->name_size, field->value, field->value_size, store));
			}
			list_clear(&to);
			if (!inflate(inflater, out.data + out.from, fc_buf_size(&out), &to))
				fail_at("nghttp2 refuses what we wrote", out.data + out.from,
				    fc_buf_size(&out));
			assert_int_equal(to.n, from.n);
			for (size_t f = 0; f < from.n; f++) {
				assert_int_equal(to.at[f].name_size, from.at[f].name_size);
				assert_int_equal(to.at[f].value_size, from.at[f].value_size);
				assert_memory_equal(
				    to.at[f].name, from.at[f].name, to.at[f].name_size);
				assert_memory_equal(
				    to.at[f].value, from.at[f].value, to.at[f].value_size);
				assert_int_equal(to.at[f].never, from.at[f].never);
			}
			fc_buf_take(&out, fc_buf_size(&out));
		}
		fc_buf_fini(&out);
		fc_hpack_encoder_free(encoder);
		nghttp2_hd_inflate_del(inflater);
	}
	list_clear(&from);
	list_clear(&to);
}

static size_t
damage(test_random *random, uint8_t *bytes, size_t size)
{
	for (uint32_t n = 1 + test_random_below(random, 4); n != 0; n--) {
		uint32_t at = test_random_below(random, (uint32_t)size + 1);
		uint32_t how = test_random_below(random, 6);

		if (how == 0) {
			size = at; /* cut */
		} else if (how == 1 && at < size) {
			bytes[at] = (uint8_t)test_random_next(random);
		} else if (how == 2 && at < size) {
			bytes[at] ^= (uint8_t)(1u << test_random_below(random, 8));
		} else if (how == 3) {
			memmove(bytes + at + 1, bytes + at, size - at);
			bytes[at] = (uint8_t)test_random_next(random);
			size++;
		} else if (how == 4 && at < size) {
			memmove(bytes + at, bytes + at + 1, size - at - 1);
			size--;
		} else if (at < size) {
			bytes[at] = (uint8_t[]){0, 0x7f, 0x80, 0xff, 0x3f, 0x1f, 0x0f,
			    0x20}[test_random_below(random, 8)];
		}
	}
	return size;
}

static void
agrees_on_damaged_blocks(void **state)
{
	static list from;
	test_random random;
	unsigned long broken = 0, total = 20000 * rounds;
	unsigned long session = 0, done = 0;

	(void)state;
	while (done < total) {
		nghttp2_hd_deflater *deflater;
		nghttp2_hd_inflater *inflater;
		fc_hpack_decoder *decoder = fc_hpack_decoder_new(NULL, 1 << 20, &classifier);
		fc_hpack_verdict verdict;
		bool alive = true;

		test_random_seed(&random, seed + session++);
		assert_int_equal(nghttp2_hd_deflate_new(&deflater, 4096), 0);
		assert_int_equal(nghttp2_hd_inflate_new(&inflater), 0);
		for (uint32_t i = test_random_below(&random, 3); i != 0; i--) {
			random_list(&random, &from);
			assert_true(both_read(
			    decoder, inflater, block, deflate(deflater, &from, block), &verdict));
		}
		while (alive && done < total) {
			size_t size;

			random_list(&random, &from);
			size = deflate(deflater, &from, block);
			size = damage(&random, block, size);
			alive = both_read(decoder, inflater, block, size, &verdict);
			/* The same once or twice more, for the memos. */
			for (uint32_t i = test_random_below(&random, 4); alive && i < 2; i++)
				alive = both_read(decoder, inflater, block, size, &verdict);
			broken += !alive;
			done++;
		}
		fc_hpack_decoder_free(decoder);
		nghttp2_hd_inflate_del(inflater);
		nghttp2_hd_deflate_del(deflater);
	}
	list_clear(&from);
	print_message("%lu damaged blocks, %lu of them invalid\n", done, broken);
	assert_true(broken > total / 4 && broken < total);
}

/* Huffman-coded strings of random bits: padding, EOS, long codes. */
static void
agrees_on_huffman(void **state)
{
	test_random random;

	(void)state;
	test_random_seed(&random, seed);
	for (unsigned long i = 0; i < 20000 * rounds; i++) {
		fc_hpack_decoder *decoder = fc_hpack_decoder_new(NULL, 1 << 20, &classifier);
		nghttp2_hd_inflater *inflater;
		size_t size = test_random_below(&random, 40);
		uint32_t kind = test_random_below(&random, 4);
		fc_hpack_verdict verdict;

		assert_int_equal(nghttp2_hd_inflate_new(&inflater), 0);
		block[0] = 0;
		block[1] = 1;
		block[2] = 'x';
		block[3] = (uint8_t)(0x80 | size);
		for (size_t b = 0; b < size; b++) {
			block[4 + b] = (uint8_t)test_random_next(&random);
			if (kind > 1 && test_random_below(&random, kind) == 0)
				block[4 + b] = 0xff;
		}
		if (size != 0 && test_random_below(&random, 2) == 0)
			block[3 + size] |= (uint8_t)(0xff >> test_random_below(&random, 8));
		both_read(decoder, inflater, block, 4 + size, &verdict);
		fc_hpack_decoder_free(decoder);
		nghttp2_hd_inflate_del(inflater);
	}
}

static unsigned long
environment(const char *name, unsigned long otherwise)
{
	const char *text = getenv(name);

	return text != NULL ? strtoul(text, NULL, 10) : otherwise;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(reads_what_nghttp2_writes),
	    clean_test(is_read_by_nghttp2),
	    clean_test(agrees_on_damaged_blocks),
	    clean_test(agrees_on_huffman),
	};

	rounds = environment("FARCALL_TEST_ROUNDS", 1);
	seed = environment("FARCALL_TEST_SEED", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
