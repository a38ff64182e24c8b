/*
 * fuzz_hpack.c: any bytes as header blocks. The first three bytes are max_list (in steps of 64),
 * the allocation that fails (0: none) and the peer's table limit (in steps of 32); then records: a
 * length and a block, or 0 to have the last block once more.
 *
 * What is decoded must be what classifying it afresh gives, be within the limits, and survive our
 * encoder and another decoder.
 */
#include "tests/fuzz/fuzz_engine.h"

#include "runtime/protocol/h2/hpack.h"

#include <farcall/alloc.h>

#include <stdio.h>
#include <stdlib.h>

static unsigned long countdown;

static void
must(bool right, const char *what)
{
	if (right)
		return;
	fprintf(stderr, "broken rule: %s\n", what);
	abort();
}

static void *
fuzz_malloc(size_t size, void *data)
{
	(void)data;
	return countdown != 0 && --countdown == 0 ? NULL : malloc(size);
}

static void *
fuzz_realloc(void *memory, size_t size, void *data)
{
	(void)data;
	return countdown != 0 && --countdown == 0 ? NULL : realloc(memory, size);
}

static void
fuzz_free(void *memory, void *data)
{
	(void)data;
	free(memory);
}

/* The path's bytes as a pointer, so that a wrong answer shows. */
static const void *
lookup(void *owner, const char *path, size_t size)
{
	uintptr_t hash = size;

	(void)owner;
	for (size_t i = 0; i < size; i++)
		hash = hash * 31 + (uint8_t)path[i];
	return (const void *)(hash | 1);
}

static const fc_classifier classifier = {lookup, NULL};

static bool
is_same(const fc_field *a, const fc_field *b)
{
	return a->name_size == b->name_size && a->value_size == b->value_size &&
	    memcmp(a->name, b->name, a->name_size) == 0 &&
	    memcmp(a->value, b->value, a->value_size) == 0 && a->says == b->says &&
	    a->refuses == b->refuses && a->token == b->token && a->number == b->number &&
	    (a->method == b->method || a->method == NULL || b->method == NULL); /* static ones */
}

/* Classified once more, it must be the same. */
static void
check_field(const fc_field *field)
{
	fc_field again = {.name = field->name, .value = field->value};

	again.name_size = field->name_size;
	again.value_size = field->value_size;
	fc_field_classify(&classifier, &again);
	must(is_same(field, &again), "a field's meaning");
}

typedef struct pair {
	fc_hpack_encoder *encoder;
	fc_hpack_decoder *decoder;
	fc_buf block;
} pair;

static bool
encode(pair *p, const fc_field *field, fc_hpack_store store)
{
	return fc_hpack_encode(p->encoder, &p->block, field->name, field->name_size, field->value,
	    field->value_size, store);
}

static void
check_round_trip(pair *p, const fc_field_set *set, fc_hpack_store store)
{
	fc_field_set back;
	fc_hpack_verdict verdict;
	bool whole = false;

	for (unsigned i = 1; i < FC_TOKENS; i++)
		if ((set->says & FC_SAYS(i)) != 0 && !encode(p, set->known[i], store))
			goto out;
	for (size_t i = 0; i < set->n_metadata; i++)
		if (!encode(p, set->metadata[i], store))
			goto out;
	verdict = fc_hpack_decode(p->decoder, p->block.data, fc_buf_size(&p->block), &back);
	if (verdict == FC_HPACK_NO_MEMORY)
		goto out;
	must(verdict == FC_HPACK_OK, "our own block");
	must(back.n_metadata == set->n_metadata, "fields of our own block");
	for (size_t n = 0; n < set->n_metadata; n++)
		must(is_same(back.metadata[n], set->metadata[n]), "a field of our own block");
	for (unsigned i = 1; i < FC_TOKENS; i++)
		must((set->says & FC_SAYS(i)) == 0 || is_same(back.known[i], set->known[i]),
		    "a known field of our own block");
	whole = true;
out:
	/* A block that was not sent whole has gone out of step: begin anew. */
	fc_buf_take(&p->block, fc_buf_size(&p->block));
	if (!whole) {
		fc_hpack_encoder_free(p->encoder);
		fc_hpack_decoder_free(p->decoder);
		p->encoder = fc_hpack_encoder_new(NULL);
		p->decoder = fc_hpack_decoder_new(NULL, SIZE_MAX / 2, &classifier);
	}
}

/* false: the connection would be lost. */
static bool
one_block(fc_hpack_decoder *decoder, size_t max_list, const uint8_t *at, size_t size, pair *p)
{
	fc_field_set set;
	fc_hpack_verdict verdict = fc_hpack_decode(decoder, at, size, &set);

	must(verdict != FC_HPACK_NO_MEMORY || countdown == 0, "out of memory too early");
	if (verdict == FC_HPACK_NO_MEMORY || verdict == FC_HPACK_ERROR)
		return false;
	must(set.n_metadata <= FC_FIELDS_MOST, "too many fields");
	must(verdict == FC_HPACK_OK || (set.says == 0 && set.n_metadata == 0), "not empty");
	for (unsigned i = 1; i < FC_TOKENS; i++)
		if ((set.says & FC_SAYS(i)) != 0)
			check_field(set.known[i]);
	for (size_t i = 0; i < set.n_metadata; i++)
		check_field(set.metadata[i]);
	if (verdict != FC_HPACK_OK)
		return true;
	must(set.list_size <= max_list, "too large a list");
	if (p->encoder != NULL && p->decoder != NULL)
		check_round_trip(p, &set, (fc_hpack_store)(size % 3));
	return true;
}

static void
blocks(fc_hpack_decoder *decoder, size_t max_list, const uint8_t *at, const uint8_t *end, pair *p)
{
	uint8_t *last = NULL;
	size_t size = 0;
	bool alive = true;

	while (alive && at != end) {
		size_t n = *at++;
		uint8_t *before = last;

		if (n == 0 && last == NULL)
			continue;
		if (n != 0) {
			size = n < (size_t)(end - at) ? n : (size_t)(end - at);
			last = (uint8_t *)malloc(size + (size == 0));
			if (last == NULL)
				abort();
			memcpy(last, at, size);
			at += size;
			free(before);
		}
		alive = one_block(decoder, max_list, last, size, p);
	}
	free(last);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const farcall_allocator allocator = {fuzz_malloc, fuzz_realloc, fuzz_free, NULL};
	fc_hpack_decoder *decoder;
	size_t max_list;
	pair p;

	if (size < 3)
		return 0;
	farcall_set_allocator(&allocator);
	countdown = data[1];
	max_list = (size_t)data[0] * 64;
	decoder = fc_hpack_decoder_new(NULL, max_list, &classifier);
	p.encoder = fc_hpack_encoder_new(NULL);
	p.decoder = fc_hpack_decoder_new(NULL, SIZE_MAX / 2, &classifier);
	fc_buf_init(&p.block, NULL, SIZE_MAX / 4);
	if (p.encoder != NULL)
		fc_hpack_encoder_limit(p.encoder, data[2] * 32u);
	if (decoder != NULL)
		blocks(decoder, max_list, data + 3, data + size, &p);
	fc_hpack_decoder_free(decoder);
	fc_hpack_encoder_free(p.encoder);
	fc_hpack_decoder_free(p.decoder);
	fc_buf_fini(&p.block);
	countdown = 0;
	farcall_set_allocator(NULL);
	return 0;
}
