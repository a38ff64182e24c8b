/*
 * hpack_encode.c: fields to header blocks. What the caller says will come again goes into the table
 * and is one or two bytes from then on; the rest are literals, with an indexed name if there is
 * one.
 *
 * Huffman coding is for what is inserted: it crosses the wire once and stays. Passing literals are
 * sent plain: coding 100 characters costs this side and the peer some 1,000 instructions each, to
 * save 25 bytes.
 */
#include "runtime/protocol/h2/hpack.h"

#include "runtime/protocol/h2/hpack_table.h"
#include "runtime/protocol/h2/huffman.h"

#define SLOTS 64u
#define FIRST (FC_HPACK_STATIC + 1) /* sequence number of the first entry */

/* Two updates of the table's size, a first byte, an index and two lengths: 6 bytes at most each. */
#define HEAD_MOST 36u

struct fc_hpack_encoder {
	fc_block block; /* this struct lies in it */
	fc_hpack_table table;
	fc_pool *pool;
	size_t lowest; /* the table's least limit since the last block */
	bool announce; /* the limit has changed since the last block */
	/* Static indices, or sequence numbers of dynamic entries (from FIRST): of the last one with
	 * such a hash. Hints: checked before use. */
	uint32_t by_field[SLOTS], by_name[SLOTS];
};

/* A field to be encoded. */
typedef struct request {
	const char *name, *value;
	size_t name_size, value_size;
	uint32_t hash, name_hash;
} request;

fc_hpack_encoder *
fc_hpack_encoder_new(fc_pool *pool)
{
	fc_block *block = fc_pool_get(pool, sizeof(fc_hpack_encoder));
	fc_hpack_encoder *encoder = (fc_hpack_encoder *)(void *)block;

	if (block == NULL)
		return NULL;
	memset((char *)encoder + sizeof *block, 0, sizeof *encoder - sizeof *block);
	encoder->pool = pool;
	fc_hpack_table_init(&encoder->table, pool, FC_HPACK_TABLE);
	encoder->table.next = FIRST;
	return encoder;
}

void
fc_hpack_encoder_free(fc_hpack_encoder *encoder)
{
	if (encoder == NULL)
		return;
	fc_hpack_table_fini(&encoder->table);
	fc_pool_put(encoder->pool, &encoder->block);
}

void
fc_hpack_encoder_limit(fc_hpack_encoder *encoder, uint32_t table_size)
{
	size_t limit = FC_MIN(table_size, FC_HPACK_TABLE);

	if (limit == encoder->table.limit)
		return;
	encoder->lowest = encoder->announce ? FC_MIN(encoder->lowest, limit) : limit;
	encoder->announce = true;
	fc_hpack_table_limit(&encoder->table, limit);
	fc_hpack_table_settle(&encoder->table);
}

uint32_t
fc_hpack_encoder_generation(const fc_hpack_encoder *encoder)
{
	return encoder->table.generation;
}

static uint8_t *
put_integer(uint8_t *to, uint8_t first, uint32_t mask, size_t value)
{
	if (value < mask) {
		*to++ = (uint8_t)(first | value);
		return to;
	}
	*to++ = (uint8_t)(first | mask);
	for (value -= mask; value >= 0x80; value >>= 7)
		*to++ = (uint8_t)(value | 0x80);
	*to++ = (uint8_t)value;
	return to;
}

static uint8_t *
put_string(uint8_t *to, const char *text, size_t size, bool shorten)
{
	size_t coded = shorten ? fc_huffman_size(text, size) : size;

	if (coded < size) {
		to = put_integer(to, 0x80, 0x7f, coded);
		return fc_huffman_encode(text, size, to);
	}
	to = put_integer(to, 0, 0x7f, size);
	memcpy(to, text, size);
	return to + size;
}

static uint8_t *
put_limits(const fc_hpack_encoder *encoder, uint8_t *to)
{
	if (encoder->lowest < encoder->table.limit)
		to = put_integer(to, 0x20, 0x1f, encoder->lowest);
	return put_integer(to, 0x20, 0x1f, encoder->table.limit);
}

static bool
same_name(const request *field, const fc_hpack_entry *entry)
{
	return entry->field.name_size == field->name_size &&
	    fc_hpack_same(entry->field.name, field->name, field->name_size);
}

static bool
same_field(const request *field, const fc_hpack_entry *entry)
{
	return entry->field.value_size == field->value_size &&
	    fc_hpack_same(entry->field.value, field->value, field->value_size) &&
	    same_name(field, entry);
}

static uint32_t
index_of(const fc_hpack_table *table, uint32_t number)
{
	return FC_HPACK_STATIC + (table->next - number);
}

/* What a hint means now: an index, and the entry there; 0: nothing any longer. */
static inline uint32_t
follow(const fc_hpack_table *table, uint32_t hint, const fc_hpack_entry **entry)
{
	if (hint - 1 < FC_HPACK_STATIC) {
		*entry = &fc_hpack_static[hint - 1];
		return hint;
	}
	if (table->next - 1 - hint >= table->count)
		return 0;
	*entry = table->ring[hint & table->mask];
	return index_of(table, hint);
}

/* The index of the whole field, where no hint leads to it; 0: none. */
static uint32_t
search(fc_hpack_encoder *encoder, const request *field, uint32_t *hint)
{
	const fc_hpack_table *table = &encoder->table;
	uint32_t i = fc_hpack_static_find(field->name, field->name_size);

	for (; i != 0 && i <= FC_HPACK_STATIC; i++) {
		if (!same_name(field, &fc_hpack_static[i - 1]))
			break;
		if (!same_field(field, &fc_hpack_static[i - 1]))
			continue;
		*hint = i;
		return i;
	}
	for (uint32_t n = table->count; n != 0; n--) {
		uint32_t number = table->next - n;
		const fc_hpack_entry *entry = table->ring[number & table->mask];

		if (entry->hash != field->hash || !same_field(field, entry))
			continue;
		*hint = number;
		return index_of(table, number);
	}
	return 0;
}

static inline uint32_t
find_field(fc_hpack_encoder *encoder, const request *field)
{
	uint32_t *hint = &encoder->by_field[field->hash % SLOTS];
	const fc_hpack_entry *entry;
	uint32_t index = follow(&encoder->table, *hint, &entry);

	if (index != 0 && same_field(field, entry))
		return index;
	return search(encoder, field, hint);
}

static uint32_t
find_name(fc_hpack_encoder *encoder, const request *field)
{
	uint32_t *hint = &encoder->by_name[field->name_hash % SLOTS];
	const fc_hpack_entry *entry;
	uint32_t index = follow(&encoder->table, *hint, &entry);

	if (index != 0 && same_name(field, entry))
		return index;
	index = fc_hpack_static_find(field->name, field->name_size);
	if (index != 0)
		*hint = index;
	return index;
}

/* false: too large, or no memory; the field must pass without. */
static bool
insert(fc_hpack_encoder *encoder, const request *field, uint32_t index)
{
	fc_hpack_table *table = &encoder->table;
	fc_hpack_entry *entry;

	if (fc_hpack_size(field->name_size, field->value_size) > table->limit)
		return false;
	entry = fc_hpack_table_make(
	    table, field->name, field->name_size, false, field->value, field->value_size);
	if (entry == NULL)
		return false;
	entry->hash = field->hash;
	encoder->by_field[field->hash % SLOTS] = table->next;
	if (index == 0 || index > FC_HPACK_STATIC)
		encoder->by_name[field->name_hash % SLOTS] = table->next;
	fc_hpack_table_insert(table, entry);
	fc_hpack_table_settle(table);
	return true;
}

bool
fc_hpack_encode(fc_hpack_encoder *encoder, fc_buf *to, const char *name, size_t name_size,
    const char *value, size_t value_size, fc_hpack_store store)
{
	request field = {name, value_size != 0 ? value : "", name_size, value_size, 0,
	    fc_hpack_hash(name, name_size)};
	uint32_t index;
	uint8_t *start, *at;
	bool indexed = false;

	at = start = fc_buf_reserve(to, name_size + value_size + HEAD_MOST);
	if (start == NULL)
		return false;
	if (FARCALL_UNLIKELY(encoder->announce)) {
		at = put_limits(encoder, at);
		encoder->announce = false;
		fc_hpack_table_changed(&encoder->table); /* these bytes are said once */
	}
	if (store == FC_HPACK_INDEX) {
		field.hash = fc_hpack_hash(value, value_size) + field.name_hash * 31;
		index = find_field(encoder, &field);
		if (index != 0) {
			at = put_integer(at, 0x80, 0x7f, index);
			goto out;
		}
	}
	index = find_name(encoder, &field);
	indexed = store == FC_HPACK_INDEX && insert(encoder, &field, index);
	if (indexed)
		at = put_integer(at, 0x40, 0x3f, index);
	else
		at = put_integer(at, store == FC_HPACK_NEVER ? 0x10 : 0, 0x0f, index);
	if (index == 0)
		at = put_string(at, name, name_size, indexed);
	at = put_string(at, field.value, value_size, indexed);
out:
	fc_buf_add(to, (size_t)(at - start));
	return true;
}
