/*
 * hpack_table.c: see hpack_table.h. The dynamic table never holds more than FC_HPACK_TABLE bytes,
 * so never more than 128 entries; its ring starts at 16 and doubles. Blocks of entries come from
 * the pool and go back when their last entry has left.
 */
#include "runtime/protocol/h2/hpack_table.h"

#include "runtime/base/alloc.h"

#define RING_FIRST 16u

/* A block of entries. */
typedef struct chunk {
	fc_block block;
	uint32_t used;  /* bytes, this head included */
	uint32_t count; /* entries whose memory is still held */
} chunk;

#define ALIGN(n) (((n) + 15) & ~(size_t)15)

void
fc_hpack_table_init(fc_hpack_table *table, fc_pool *pool, size_t limit)
{
	memset(table, 0, sizeof *table);
	table->pool = pool;
	table->limit = limit;
	table->generation = 1;
}

void
fc_hpack_table_fini(fc_hpack_table *table)
{
	while (table->first != NULL) {
		fc_block *block = table->first;

		table->first = block->next;
		fc_pool_put(table->pool, block);
	}
	fc_free(table->ring);
	memset(table, 0, sizeof *table);
}

void
fc_hpack_table_changed(fc_hpack_table *table)
{
	table->generation++;
	if (table->generation == 0)
		table->generation = 1;
}

static void
evict_to(fc_hpack_table *table, size_t size)
{
	while (table->size > size) {
		table->size -= table->ring[(table->next - table->count) & table->mask]->size;
		table->count--;
		table->evicted++;
	}
}

void
fc_hpack_table_limit(fc_hpack_table *table, size_t limit)
{
	evict_to(table, limit);
	table->limit = limit;
	fc_hpack_table_changed(table);
}

void
fc_hpack_table_clear(fc_hpack_table *table)
{
	evict_to(table, 0);
	fc_hpack_table_changed(table);
}

void
fc_hpack_table_settle(fc_hpack_table *table)
{
	while (table->evicted != 0) {
		chunk *oldest = (chunk *)(void *)table->first;
		uint32_t n = FC_MIN(table->evicted, oldest->count);

		oldest->count -= n;
		table->evicted -= n;
		if (oldest->count != 0)
			break;
		if (table->first == table->last) {
			oldest->used = (uint32_t)ALIGN(sizeof *oldest);
			break;
		}
		table->first = oldest->block.next;
		fc_pool_put(table->pool, &oldest->block);
	}
}

static bool
grow_ring(fc_hpack_table *table)
{
	uint32_t slots = table->ring == NULL ? RING_FIRST : (table->mask + 1) * 2;
	fc_hpack_entry **ring = (fc_hpack_entry **)fc_malloc(slots * sizeof *ring);

	if (ring == NULL)
		return false;
	for (uint32_t i = table->next - table->count; table->ring != NULL && i != table->next; i++)
		ring[i & (slots - 1)] = table->ring[i & table->mask];
	fc_free(table->ring);
	table->ring = ring;
	table->mask = slots - 1;
	return true;
}

/* The newest block, with room for `size` bytes. */
static chunk *
room_for(fc_hpack_table *table, size_t size)
{
	chunk *newest = (chunk *)(void *)table->last;
	fc_block *block;

	if (newest != NULL && size <= newest->block.size - newest->used)
		return newest;
	block = fc_pool_get(table->pool, ALIGN(sizeof *newest) + size);
	if (block == NULL)
		return NULL;
	newest = (chunk *)(void *)block;
	newest->used = (uint32_t)ALIGN(sizeof *newest);
	newest->count = 0;
	if (table->last != NULL)
		table->last->next = block;
	else
		table->first = block;
	table->last = block;
	return newest;
}

fc_hpack_entry *
fc_hpack_table_make(fc_hpack_table *table, const char *name, size_t name_size, bool name_stays,
    const char *value, size_t value_size)
{
	size_t texts = (name_stays ? 0 : name_size) + value_size;
	fc_hpack_entry *entry;
	char *text;
	chunk *where;

	if ((table->ring == NULL || table->count > table->mask) && !grow_ring(table))
		return NULL;
	where = room_for(table, ALIGN(sizeof *entry + texts));
	if (where == NULL)
		return NULL;
	entry = (fc_hpack_entry *)(void *)((char *)where + where->used);
	memset(entry, 0, sizeof *entry);
	text = (char *)(entry + 1);
	entry->field.name = name;
	if (!name_stays) {
		memcpy(text, name, name_size);
		entry->field.name = text;
		text += name_size;
	}
	memcpy(text, value, value_size);
	entry->field.value = text;
	entry->field.name_size = (uint32_t)name_size;
	entry->field.value_size = (uint32_t)value_size;
	entry->size = (uint32_t)fc_hpack_size(name_size, value_size);
	return entry;
}

/* How far make() will have moved for an entry is told by where its texts end. */
void
fc_hpack_table_insert(fc_hpack_table *table, fc_hpack_entry *entry)
{
	chunk *newest = (chunk *)(void *)table->last;
	bool name_stays = entry->field.name != (const char *)(entry + 1);
	size_t texts = entry->size - FC_HPACK_OVERHEAD - (name_stays ? entry->field.name_size : 0);

	newest->used += (uint32_t)ALIGN(sizeof *entry + texts);
	newest->count++;
	evict_to(table, table->limit - entry->size);
	table->ring[table->next & table->mask] = entry;
	table->next++;
	table->count++;
	table->size += entry->size;
	fc_hpack_table_changed(table);
}
