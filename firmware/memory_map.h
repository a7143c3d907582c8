/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory map that the guest is told: RAM, minus what the machine keeps or uses otherwise.
 * Zero page (e820) and PVH carry the same entries with the same type numbers (ACPI 6.5,
 * section 15, table 15.9).
 */
#ifndef HUSK_FIRMWARE_MEMORY_MAP_H
#define HUSK_FIRMWARE_MEMORY_MAP_H

#include "core/err.h"
#include "core/memory.h"

#define MEMORY_MAP_MAX 32

enum memory_map_type {
    MEMORY_MAP_RAM = 1,
    MEMORY_MAP_RESERVED = 2,
    MEMORY_MAP_ACPI = 3, /* tables, which the guest may reclaim when it has read them */
};

struct memory_map_entry {
    struct gpa base;
    uint64_t size;
    enum memory_map_type type;
};

struct memory_map {
    struct memory_map_entry entries[MEMORY_MAP_MAX]; /* ascending, disjoint */
    unsigned count;
};

/*
 * Builds the map from the machine's RAM and `count` other entries, which must be ascending and
 * disjoint, and which win where they overlap RAM. They may also lie where no RAM is (ECAM).
 * Errors: -EINVAL for entries out of order, empty or wrapping, -ENOSPC for too many.
 */
int memory_map_build(struct memory_map *map, const struct guest_memory *memory,
                     const struct memory_map_entry *others, unsigned count, struct err *err);

#endif
