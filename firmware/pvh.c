/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lays out the PVH start_info and what it points to; see firmware/pvh.h.
 *
 *     area  +0   hvm_start_info (56 bytes), padded to 64
 *           +64  module list: one entry, the initrd
 *           +96  memory map
 */
#include "firmware/pvh.h"

#include <errno.h>
#include <stddef.h>

#define START_INFO_MAGIC 0x336ec578u /* "xEn3" with the top bit of the E set */
#define START_INFO_VERSION 1u        /* the first with a memory map */

struct start_info {
    uint32_t magic;
    uint32_t version;
    uint32_t flags;
    uint32_t module_count;
    uint64_t modules;
    uint64_t command_line;
    uint64_t rsdp;
    uint64_t memory_map;
    uint32_t memory_map_entries;
    uint32_t reserved;
};

struct module {
    uint64_t base;
    uint64_t size;
    uint64_t command_line;
    uint64_t reserved;
};

struct memory_map_item {
    uint64_t base;
    uint64_t size;
    uint32_t type;
    uint32_t reserved;
};

struct layout {
    struct start_info start_info;
    uint64_t padding;
    struct module modules[1];
    struct memory_map_item memory_map[MEMORY_MAP_MAX];
};

_Static_assert(sizeof(struct start_info) == 56, "as Xen defines it");
_Static_assert(sizeof(struct module) == 32, "as Xen defines it");
_Static_assert(sizeof(struct memory_map_item) == 24, "as Xen defines it");

static struct start_info make_start_info(struct gpa base, const struct boot_parameters *parameters)
{
    struct start_info info = {
        .magic = START_INFO_MAGIC,
        .version = START_INFO_VERSION,
        .command_line = parameters->command_line.v,
        .rsdp = parameters->rsdp.v,
        .memory_map = base.v + offsetof(struct layout, memory_map),
        .memory_map_entries = parameters->map->count,
    };

    if (parameters->initrd.size) {
        info.module_count = 1;
        info.modules = base.v + offsetof(struct layout, modules);
    }
    return info;
}

int pvh_write(const struct guest_memory *memory, struct memory_range area,
              const struct boot_parameters *parameters, struct err *err)
{
    const struct memory_map *map = parameters->map;
    struct layout layout = {
        .start_info = make_start_info(area.base, parameters),
        .modules[0] = {.base = parameters->initrd.base.v, .size = parameters->initrd.size},
    };
    size_t size = offsetof(struct layout, memory_map) + map->count * sizeof layout.memory_map[0];

    for (unsigned i = 0; i < map->count; i++)
        layout.memory_map[i] = (struct memory_map_item){
            .base = map->entries[i].base.v,
            .size = map->entries[i].size,
            .type = map->entries[i].type,
        };
    if (size > area.size)
        return err_set(err, -ENOSPC, "PVH start_info: %zu bytes, but there is room for %llu", size,
                       (unsigned long long)area.size);
    if (memory_write(memory, area.base, &layout, size))
        return err_set(err, -EFAULT, "PVH start_info: no guest memory at 0x%llx",
                       (unsigned long long)area.base.v);
    return 0;
}
