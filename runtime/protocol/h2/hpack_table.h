/*
 * hpack_table.h: what both directions of HPACK share: the static table, the dynamic table,
 * integers and a hash. Internal to h2/hpack_*.c and memo.c.
 *
 * A dynamic entry and its texts lie in one piece of a queue of blocks, first in, first out. An
 * entry that is evicted keeps its memory until fc_hpack_table_settle(), because the fields of the
 * block under way may point at it.
 */
#ifndef FC_PROTOCOL_H2_HPACK_TABLE_H
#define FC_PROTOCOL_H2_HPACK_TABLE_H

#include "runtime/base/bytes.h"
#include "runtime/protocol/h2/hpack.h"

#define FC_HPACK_STATIC 61u
#define FC_HPACK_OVERHEAD 32u /* RFC 7541 4.1 */

typedef struct fc_hpack_entry {
	fc_field field; /* as classified: its value may be stripped */
	uint32_t size;  /* RFC 7541 4.1 */
	uint32_t hash;  /* encoder */
} fc_hpack_entry;

typedef struct fc_hpack_table {
	fc_hpack_entry **ring;  /* by sequence number */
	uint32_t mask;          /* slots of the ring - 1 */
	uint32_t next;          /* sequence number of the next entry */
	uint32_t count;         /* entries in the table: next - count .. next - 1 */
	uint32_t evicted;       /* before these: out of the table, memory still held */
	uint32_t generation;    /* counts insertions and evictions; never 0 */
	size_t size, limit;     /* bytes, as RFC 7541 4.1 counts */
	fc_block *first, *last; /* blocks of memory, oldest first */
	fc_pool *pool;
} fc_hpack_table;

/* Classified; [0] is index 1. The lookup is not asked for "/" and "/index.html". */
extern const fc_hpack_entry fc_hpack_static[FC_HPACK_STATIC];

/* The first index with this name; 0: none. */
uint32_t fc_hpack_static_find(const char *name, size_t size);

void fc_hpack_table_init(fc_hpack_table *table, fc_pool *pool, size_t limit);
void fc_hpack_table_fini(fc_hpack_table *table);

/* Evicts down to the new limit. */
void fc_hpack_table_limit(fc_hpack_table *table, size_t limit);
void fc_hpack_table_clear(fc_hpack_table *table); /* evicts all */

/* Begins a new generation. */
void fc_hpack_table_changed(fc_hpack_table *table);

/* An entry with room for both texts behind it, its name and value set (not copied from static
 * memory: `name_stays`), all else zero. It is in no table until fc_hpack_table_insert(), and must
 * go there, or the memory waits for the next one. NULL: out of memory; nothing changed. */
fc_hpack_entry *fc_hpack_table_make(fc_hpack_table *table, const char *name, size_t name_size,
    bool name_stays, const char *value, size_t value_size);

/* Evicts for it and puts it in. The entry's size must not be above the limit. */
void fc_hpack_table_insert(fc_hpack_table *table, fc_hpack_entry *entry);

void fc_hpack_table_settle(fc_hpack_table *table); /* gives back what evicted entries held */

static inline size_t
fc_hpack_size(size_t name_size, size_t value_size)
{
	return name_size + value_size + FC_HPACK_OVERHEAD;
}

/* The entry at `index` (from 1); NULL: no such entry. */
static inline const fc_hpack_entry *
fc_hpack_table_at(const fc_hpack_table *table, uint32_t index)
{
	if (index - 1 < FC_HPACK_STATIC)
		return &fc_hpack_static[index - 1];
	index -= FC_HPACK_STATIC + 1;
	if (index >= table->count)
		return NULL;
	return table->ring[(table->next - 1 - index) & table->mask];
}

static inline uint64_t
fc_hpack_word(const uint8_t *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof word);
	return word;
}

static inline uint64_t
fc_hpack_mix(uint64_t hash, uint64_t word)
{
	hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
	return hash ^ hash >> 29;
}

/* Of words `step` bytes apart, and the last one. */
static inline uint64_t
fc_hpack_hash_by(const void *bytes, size_t size, size_t step)
{
	const uint8_t *p = (const uint8_t *)bytes;

	if (size >= 8) {
		uint64_t hash = size;

		for (size_t i = 0; i + 8 < size; i += step)
			hash = fc_hpack_mix(hash, fc_hpack_word(p + i));
		return fc_hpack_mix(hash, fc_hpack_word(p + size - 8));
	}
	if (size >= 4)
		return fc_hpack_mix(size, (uint64_t)fc_get32(p) << 32 | fc_get32(p + size - 4));
	if (size != 0)
		return fc_hpack_mix(
		    size, (uint64_t)p[0] << 16 | (uint64_t)p[size / 2] << 8 | p[size - 1]);
	return 0;
}

/* Of at most 10 words spread over the bytes: for finding, where equality is checked after. */
static inline uint32_t
fc_hpack_hash(const void *bytes, size_t size)
{
	uint64_t hash = fc_hpack_hash_by(bytes, size, size <= 72 ? 8 : size / 9);

	return (uint32_t)(hash ^ hash >> 32);
}

static inline bool
fc_hpack_same(const void *a, const void *b, size_t size)
{
	const uint8_t *p = (const uint8_t *)a, *q = (const uint8_t *)b;
	uint64_t differ = 0;

	if (size < 8 || size > 64)
		return memcmp(a, b, size) == 0;
	for (size_t i = 0; i + 8 < size; i += 8)
		differ |= fc_hpack_word(p + i) ^ fc_hpack_word(q + i);
	return (differ | (fc_hpack_word(p + size - 8) ^ fc_hpack_word(q + size - 8))) == 0;
}

#endif
