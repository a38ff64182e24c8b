/*
 * map.c: see map.h.
 */
#include "runtime/base/map.h"

#include "runtime/base/alloc.h"

#define FIRST_SLOTS 16u

void
fc_map_init(fc_map *map)
{
	map->slots = NULL;
	map->mask = 0;
	map->count = 0;
}

void
fc_map_fini(fc_map *map)
{
	fc_free(map->slots);
	fc_map_init(map);
}

static void
place(fc_map *map, uint32_t key, void *value)
{
	uint32_t i = fc_map_home(map, key);

	while (map->slots[i].key != 0 && map->slots[i].key != key)
		i = (i + 1) & map->mask;
	map->count += map->slots[i].key == 0;
	map->slots[i].key = key;
	map->slots[i].value = value;
}

static bool
grow(fc_map *map)
{
	uint32_t slots = map->slots == NULL ? FIRST_SLOTS : (map->mask + 1) * 2;
	fc_map bigger = {(fc_map_slot *)fc_calloc(slots, sizeof(fc_map_slot)), slots - 1, 0};

	if (bigger.slots == NULL)
		return false;
	for (uint32_t i = 0; map->slots != NULL && i <= map->mask; i++)
		if (map->slots[i].key != 0)
			place(&bigger, map->slots[i].key, map->slots[i].value);
	fc_free(map->slots);
	*map = bigger;
	return true;
}

bool
fc_map_put(fc_map *map, uint32_t key, void *value)
{
	if ((map->slots == NULL || (map->count + 1) * 2 > map->mask + 1) && !grow(map))
		return false;
	place(map, key, value);
	return true;
}

void
fc_map_remove(fc_map *map, uint32_t key)
{
	uint32_t hole, i;

	if (map->count == 0)
		return;
	hole = fc_map_home(map, key);
	while (map->slots[hole].key != key) {
		if (map->slots[hole].key == 0)
			return;
		hole = (hole + 1) & map->mask;
	}
	map->count--;
	for (i = (hole + 1) & map->mask; map->slots[i].key != 0; i = (i + 1) & map->mask) {
		uint32_t home = fc_map_home(map, map->slots[i].key);

		/* The entry may fill the hole unless its home lies after the hole. */
		if (((i - home) & map->mask) >= ((i - hole) & map->mask)) {
			map->slots[hole] = map->slots[i];
			hole = i;
		}
	}
	map->slots[hole].key = 0;
	map->slots[hole].value = NULL;
}
