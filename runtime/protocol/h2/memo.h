/*
 * memo.h: what was decoded before and comes again byte for byte: whole blocks, and literals that
 * their sender puts in no table. A thing is kept when it is seen for the second time. Equality of
 * all bytes is checked always; what leans on the dynamic table dies with any change of it.
 */
#ifndef FC_PROTOCOL_H2_MEMO_H
#define FC_PROTOCOL_H2_MEMO_H

#include "runtime/protocol/h2/hpack_table.h"

#define FC_MEMO_BLOCKS 8u
#define FC_MEMO_LITERALS 32u
#define FC_MEMO_KEY 1024u  /* the longest block or literal kept, as encoded */
#define FC_MEMO_TEXT 2048u /* the most text kept for one */
#define FC_MEMO_FIELDS 40u /* the most fields of a block kept */

typedef struct fc_memo_literal {
	fc_field field;
	size_t size; /* RFC 7541 4.1, value as sent */
} fc_memo_literal;   /* then the texts and the key */

typedef struct fc_memo_slot {
	uint64_t seen;       /* hash of all bytes of the last one that came by */
	uint32_t hash;       /* of what is kept */
	uint32_t generation; /* of the table; 0: leans on no entry of it */
	uint32_t block;      /* literals: the block that used it last */
	uint32_t key_size;
	uint32_t room; /* bytes at `kept` */
	void *kept;    /* blocks: an fc_field_set, cut behind its last metadata; fc_memo_literal */
	const uint8_t *key; /* in the same memory */
} fc_memo_slot;

typedef struct fc_memo {
	fc_memo_slot blocks[FC_MEMO_BLOCKS];
	fc_memo_slot *literals; /* made when the first literal comes */
} fc_memo;

void fc_memo_fini(fc_memo *memo);

/* Keeps the block if it is the second time; its set leans on the table as it is now. */
void fc_memo_keep_block(fc_memo *memo, uint32_t hash, uint32_t generation, const uint8_t *block,
    size_t size, const fc_field_set *set);

/* A literal by its bytes, for the block numbered `number`; NULL: not known. */
const fc_memo_literal *fc_memo_find_literal(fc_memo *memo, uint32_t hash, uint32_t generation,
    uint32_t number, const uint8_t *key, size_t size);

/* `generation`: 0 if the name is not from the dynamic table. */
void fc_memo_keep_literal(fc_memo *memo, uint32_t hash, uint32_t generation, uint32_t number,
    const uint8_t *key, size_t key_size, const fc_field *field, size_t size);

/* The set of a known block. */
static inline bool
fc_memo_find_block(const fc_memo *memo, uint32_t hash, uint32_t generation, const uint8_t *block,
    size_t size, fc_field_set *set)
{
	const fc_memo_slot *slot = &memo->blocks[hash % FC_MEMO_BLOCKS];
	const fc_field_set *kept = (const fc_field_set *)slot->kept;

	if (slot->hash != hash || slot->generation != generation || slot->key_size != size ||
	    !fc_hpack_same(slot->key, block, size))
		return false;
	set->says = kept->says;
	set->list_size = kept->list_size;
	memcpy(set->known, kept->known, sizeof set->known);
	set->n_metadata = kept->n_metadata;
	for (size_t i = 0; i < kept->n_metadata; i++)
		set->metadata[i] = kept->metadata[i];
	return true;
}

#endif
