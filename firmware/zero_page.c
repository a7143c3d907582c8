/* SPDX-License-Identifier: Apache-2.0 */
/* Fills the zero page; see firmware/zero_page.h. */
#include "firmware/zero_page.h"

#include <errno.h>

#define LOADER_UNDEFINED 0xffu /* type_of_loader: no number was assigned to this loader */

#define E820_ENTRIES 128u

struct e820_entry {
    uint64_t base;
    uint64_t size;
    uint32_t type;
} __attribute__((packed));

/* The fields that are used (Linux, Documentation/arch/x86/zero-page.rst). */
struct zero_page {
    uint8_t before_rsdp[0x70];
    uint64_t acpi_rsdp_addr; /* 0x070 */
    uint8_t before_ramdisk[0xc0 - 0x78];
    uint32_t ext_ramdisk_image; /* 0x0c0 */
    uint32_t ext_ramdisk_size;
    uint32_t ext_cmd_line_ptr;
    uint8_t before_e820_entries[0x1e8 - 0xcc];
    uint8_t e820_entries; /* 0x1e8 */
    uint8_t before_header[SETUP_HEADER_OFFSET - 0x1e9];
    struct setup_header hdr; /* 0x1f1 */
    uint8_t before_e820_table[0x2d0 - SETUP_HEADER_OFFSET - sizeof(struct setup_header)];
    struct e820_entry e820_table[E820_ENTRIES]; /* 0x2d0 */
    uint8_t after_e820_table[0x1000 - 0x2d0 - E820_ENTRIES * sizeof(struct e820_entry)];
} __attribute__((packed));

_Static_assert(sizeof(struct zero_page) == ZERO_PAGE_SIZE, "the zero page is one page");
_Static_assert(MEMORY_MAP_MAX <= E820_ENTRIES, "every memory map fits");

static uint32_t low_half(uint64_t value)
{
    return (uint32_t)value;
}

static uint32_t high_half(uint64_t value)
{
    return (uint32_t)(value >> 32);
}

static void fill_e820(struct zero_page *page, const struct memory_map *map)
{
    for (unsigned i = 0; i < map->count; i++)
        page->e820_table[i] = (struct e820_entry){
            .base = map->entries[i].base.v,
            .size = map->entries[i].size,
            .type = map->entries[i].type,
        };
    page->e820_entries = (uint8_t)map->count;
}

int zero_page_write(const struct guest_memory *memory, struct gpa at, const struct kernel *kernel,
                    const struct boot_parameters *parameters, struct err *err)
{
    struct zero_page page = {.hdr = kernel->setup};
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
