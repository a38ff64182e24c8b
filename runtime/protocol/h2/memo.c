/*
 * memo.c: see memo.h. What is kept is one piece of memory of just the right size: a table of fields
 * or one field, the literals' texts, and the key. Running out of memory only means to forget.
 */
#include "runtime/protocol/h2/memo.h"

#include "runtime/base/alloc.h"

void
fc_memo_fini(fc_memo *memo)
{
	for (unsigned i = 0; i < FC_MEMO_BLOCKS; i++)
		fc_free(memo->blocks[i].kept);
	for (unsigned i = 0; memo->literals != NULL && i < FC_MEMO_LITERALS; i++)
		fc_free(memo->literals[i].kept);
	fc_free(memo->literals);
	memset(memo, 0, sizeof *memo);
}

/* Of all bytes, four words at a time. */
static uint64_t
hash_all(const uint8_t *p, size_t size)
{
	uint64_t hash = size;

	for (; size > 32; p += 32, size -= 32)
		hash = fc_hpack_mix(hash,
		    fc_hpack_word(p) * UINT64_C(0x8bb84b93962eacc9) +
		        fc_hpack_word(p + 8) * UINT64_C(0x4b33a62ed433d4a3) +
		        fc_hpack_word(p + 16) * UINT64_C(0x4d5a2da51de1aa47) +
		        fc_hpack_word(p + 24) * UINT64_C(0xa0761d6478bd642f));
	return hash ^ fc_hpack_hash_by(p, size, 8);
}

/* Whether it has been seen just before in this slot. The hash that finds the slot is of samples, so
 * that a long block which changes in one byte would be taken for the same again and again. */
static bool
second_time(fc_memo_slot *slot, const uint8_t *key, size_t key_size)
{
	uint64_t hash = hash_all(key, key_size);
	bool second = slot->seen == hash;

	slot->seen = hash;
	return second;
}

/* Memory for `size` bytes: the slot's own, if it holds so much. NULL: what it keeps stays. */
static void *
make_room(fc_memo_slot *slot, size_t size)
{
	void *kept;

	if (size <= slot->room)
		return slot->kept;
	size = (size + 127) & ~(size_t)127;
	kept = fc_malloc(size);
	if (kept == NULL)
		return NULL;
	fc_free(slot->kept);
	slot->kept = kept;
	slot->room = (uint32_t)size;
	return kept;
}

static void
fill(fc_memo_slot *slot, const uint8_t *key, size_t key_size, uint32_t hash, uint32_t generation)
{
	slot->key = key;
	slot->key_size = (uint32_t)key_size;
	slot->hash = hash;
	slot->generation = generation;
}

/* Copies the field's texts to `text`; answers the end. */
static char *
copy_texts(fc_field *field, char *text)
{
	memcpy(text, field->name, field->name_size);
	field->name = text;
	text += field->name_size;
	memcpy(text, field->value, field->value_size);
	field->value = text;
	return text + field->value_size;
}

static bool
is_literal(const fc_field *field)
{
	return (field->flags & FC_FIELD_LITERAL) != 0;
}

/* Room for the literals of the set and their texts; false: more than is worth keeping. */
static bool
measure(const fc_field_set *set, size_t *literals, size_t *texts)
{
	const fc_field *known[FC_TOKENS];
	size_t n = 0;

	*literals = *texts = 0;
	for (unsigned i = 1; i < FC_TOKENS; i++)
		if ((set->says & FC_SAYS(i)) != 0)
			known[n++] = set->known[i];
	for (size_t i = 0; i < n + set->n_metadata; i++) {
		const fc_field *field = i < n ? known[i] : set->metadata[i - n];

		if (is_literal(field)) {
			*literals += 1;
			*texts += field->name_size + field->value_size;
		}
	}
	return n + set->n_metadata <= FC_MEMO_FIELDS && *texts <= FC_MEMO_TEXT;
}

/* Makes `*field` point at a copy of its own, if it is a literal. */
static void
own(const fc_field **field, fc_field **room, char **text)
{
	if (!is_literal(*field))
		return;
	**room = **field;
	*text = copy_texts(*room, *text);
	*field = (*room)++;
}

void
fc_memo_keep_block(fc_memo *memo, uint32_t hash, uint32_t generation, const uint8_t *block,
    size_t size, const fc_field_set *set)
{
	const size_t head = offsetof(fc_field_set, metadata);
	fc_memo_slot *slot = &memo->blocks[hash % FC_MEMO_BLOCKS];
	size_t literals, texts, pointers = set->n_metadata * sizeof set->metadata[0];
	fc_field_set *kept;
	fc_field *room;
	char *text;

	if (size > FC_MEMO_KEY || !second_time(slot, block, size) ||
	    !measure(set, &literals, &texts))
		return;
	kept = (fc_field_set *)make_room(
	    slot, head + pointers + literals * sizeof *room + texts + size);
	if (kept == NULL)
		return;
	memcpy(kept, set, head + pointers);
	room = (fc_field *)(void *)((char *)kept + head + pointers);
	text = (char *)(room + literals);
	for (unsigned i = 1; i < FC_TOKENS; i++)
		if ((kept->says & FC_SAYS(i)) != 0)
			own(&kept->known[i], &room, &text);
	for (size_t i = 0; i < kept->n_metadata; i++)
		own(&kept->metadata[i], &room, &text);
	memcpy(text, block, size);
	fill(slot, (const uint8_t *)text, size, hash, generation);
}

const fc_memo_literal *
fc_memo_find_literal(fc_memo *memo, uint32_t hash, uint32_t generation, uint32_t number,
    const uint8_t *key, size_t size)
{
	fc_memo_slot *slot;

	if (memo->literals == NULL)
		return NULL;
	slot = &memo->literals[hash % FC_MEMO_LITERALS];
	if (slot->hash != hash || slot->key_size != size || slot->kept == NULL ||
	    (slot->generation != 0 && slot->generation != generation) ||
	    !fc_hpack_same(slot->key, key, size))
		return NULL;
	slot->block = number;
	return (const fc_memo_literal *)slot->kept;
}

void
fc_memo_keep_literal(fc_memo *memo, uint32_t hash, uint32_t generation, uint32_t number,
    const uint8_t *key, size_t key_size, const fc_field *field, size_t size)
{
	size_t texts = (size_t)field->name_size + field->value_size;
	fc_memo_literal *kept;
	fc_memo_slot *slot;
	char *text;

	if (memo->literals == NULL)
		memo->literals = (fc_memo_slot *)fc_calloc(FC_MEMO_LITERALS, sizeof *slot);
	if (memo->literals == NULL || key_size > FC_MEMO_KEY || texts > FC_MEMO_TEXT)
		return;
	slot = &memo->literals[hash % FC_MEMO_LITERALS];
	/* A field of the block under way may be the one kept here. */
	if (!second_time(slot, key, key_size) || (slot->kept != NULL && slot->block == number))
		return;
	kept = (fc_memo_literal *)make_room(slot, sizeof *kept + texts + key_size);
	if (kept == NULL)
		return;
	kept->field = *field;
	kept->size = size;
	text = copy_texts(&kept->field, (char *)(kept + 1));
	memcpy(text, key, key_size);
	fill(slot, (const uint8_t *)text, key_size, hash, generation);
	slot->block = number;
}
