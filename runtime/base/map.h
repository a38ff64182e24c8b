/*
 * map.h: from a 32-bit number other than 0 to a pointer. Open addressing, linear probing; removal
 * moves later entries back, so there are no tombstones and a look-up touches one or two cache
 * lines.
 */
#ifndef FC_BASE_MAP_H
#define FC_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct fc_map_slot {
	uint32_t key; /* 0: free */
	void *value;
} fc_map_slot;

typedef struct fc_map {
	fc_map_slot *slots;
	uint32_t mask; /* slots - 1; slots is a power of two, at least twice the entries */
	uint32_t count;
} fc_map;

void fc_map_init(fc_map *map);
void fc_map_fini(fc_map *map);
bool fc_map_put(fc_map *map, uint32_t key, void *value); /* false: out of memory */
void fc_map_remove(fc_map *map, uint32_t key);

static inline uint32_t
fc_map_home(const fc_map *map, uint32_t key)
{
	return (key * 2654435769u >> 7) & map->mask;
}

static inline void *
fc_map_get(const fc_map *map, uint32_t key)
{
	if (map->count == 0)
		return NULL;
	for (uint32_t i = fc_map_home(map, key); map->slots[i].key != 0; i = (i + 1) & map->mask)
		if (map->slots[i].key == key)
			return map->slots[i].value;
	return NULL;
}

#endif
