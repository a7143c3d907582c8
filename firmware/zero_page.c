/* SPDX-License-Identifier: Apache-2.0 */
/* Fills struct boot_params; see firmware/zero_page.h. */
#include "firmware/zero_page.h"

#include <errno.h>

#define LOADER_UNDEFINED 0xffu /* type_of_loader: no number was assigned to this loader */

_Static_assert(sizeof(struct boot_params) == ZERO_PAGE_SIZE, "the zero page is one page");
_Static_assert(MEMORY_MAP_MAX <= E820_MAX_ENTRIES_ZEROPAGE, "every memory map fits");

static uint32_t low_half(uint64_t value)
{
    return (uint32_t)value;
}

static uint32_t high_half(uint64_t value)
{
    return (uint32_t)(value >> 32);
}

static void fill_e820(struct boot_params *page, const struct memory_map *map)
{
    for (unsigned i = 0; i < map->count; i++)
        page->e820_table[i] = (struct boot_e820_entry){
            .addr = map->entries[i].base.v,
            .size = map->entries[i].size,
            .type = map->entries[i].type,
        };
    page->e820_entries = (uint8_t)map->count;
}

int zero_page_write(const struct guest_memory *memory, struct gpa at, const struct kernel *kernel,
                    const struct boot_parameters *parameters, struct err *err)
{
    struct boot_params page = {.hdr = kernel->setup};
    struct memory_range initrd = parameters->initrd;

    page.hdr.type_of_loader = LOADER_UNDEFINED;
    page.hdr.cmd_line_ptr = low_half(parameters->command_line.v);
    page.ext_cmd_line_ptr = high_half(parameters->command_line.v);
    if (initrd.size) {
        page.hdr.ramdisk_image = low_half(initrd.base.v);
        page.hdr.ramdisk_size = low_half(initrd.size);
        page.ext_ramdisk_image = high_half(initrd.base.v);
        page.ext_ramdisk_size = high_half(initrd.size);
    }
    page.acpi_rsdp_addr = parameters->rsdp.v;
    fill_e820(&page, parameters->map);
    if (memory_write(memory, at, &page, sizeof page))
        return err_set(err, -EFAULT, "zero page: no guest memory at 0x%llx",
                       (unsigned long long)at.v);
    return 0;
}
