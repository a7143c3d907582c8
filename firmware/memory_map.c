/* SPDX-License-Identifier: Apache-2.0 */
/* Cuts what is not RAM out of RAM; see firmware/memory_map.h. */
#include "firmware/memory_map.h"

#include <errno.h>

static int check_others(const struct memory_map_entry *others, unsigned count, struct err *err)
{
    uint64_t end = 0;

    for (unsigned i = 0; i < count; i++) {
        uint64_t base = others[i].base.v;

        if (others[i].size == 0 || base < end || base + others[i].size < base)
            return err_set(err, -EINVAL, "memory map: bad entry %u at 0x%llx", i,
                           (unsigned long long)base);
        end = base + others[i].size;
    }
    return 0;
}

/* Adds [base, end), keeping the entries in order; nothing for an empty range. */
static int add(struct memory_map *map, uint64_t base, uint64_t end, enum memory_map_type type,
               struct err *err)
{
    unsigned at = map->count;

    if (end <= base)
        return 0;
    if (map->count == MEMORY_MAP_MAX)
        return err_set(err, -ENOSPC, "memory map: more than %u entries", MEMORY_MAP_MAX);
    for (; at > 0 && map->entries[at - 1].base.v > base; at--)
        map->entries[at] = map->entries[at - 1];
    map->entries[at] = (struct memory_map_entry){gpa(base), end - base, type};
    map->count++;
    return 0;
}

/* The parts of one region of RAM that no other entry covers. */
static int add_ram(struct memory_map *map, const struct memory_region *region,
                   const struct memory_map_entry *others, unsigned count, struct err *err)
{
    uint64_t next = region->base.v;
    uint64_t end = region->base.v + region->size;

    for (unsigned i = 0; i < count; i++) {
        uint64_t other = others[i].base.v;
        uint64_t other_end = other + others[i].size;
        int rc;

        if (other_end <= next || other >= end)
            continue;
        rc = add(map, next, other, MEMORY_MAP_RAM, err);
        if (rc)
            return rc;
        next = other_end;
    }
    return add(map, next, end, MEMORY_MAP_RAM, err);
}

int memory_map_build(struct memory_map *map, const struct guest_memory *memory,
                     const struct memory_map_entry *others, unsigned count, struct err *err)
{
    int rc = check_others(others, count, err);

    map->count = 0;
    for (unsigned i = 0; !rc && i < memory->count; i++)
        rc = add_ram(map, &memory->regions[i], others, count, err);
    for (unsigned i = 0; !rc && i < count; i++)
        rc = add(map, others[i].base.v, others[i].base.v + others[i].size, others[i].type, err);
    return rc;
}
