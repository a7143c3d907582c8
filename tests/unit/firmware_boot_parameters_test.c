/* SPDX-License-Identifier: Apache-2.0 */
/* Memory map, zero page and PVH start_info: each field where its specification puts it. */
#include "firmware/memory_map.h"
#include "firmware/pvh.h"
#include "firmware/zero_page.h"
#include "support/boot_images.h"
#include "support/failure.h"

#include <errno.h>

#define AT 0x7000u

static uint64_t read_at(const struct guest_memory *memory, uint64_t address, unsigned size)
{
    uint64_t value = 0;

    assert_int_equal(memory_read(memory, gpa(address), &value, size), 0);
    return value;
}

static void assert_entry(const struct memory_map *map, unsigned i, uint64_t base, uint64_t end,
                         enum memory_map_type type)
{
    assert_true(i < map->count);
    assert_int_equal(map->entries[i].base.v, base);
    assert_int_equal(map->entries[i].size, end - base);
    assert_int_equal(map->entries[i].type, type);
}

static void map_cuts_out_what_is_not_ram(void **state)
{
    static const struct memory_map_entry others[] = {
        {{0x9fc00}, 0x40400, MEMORY_MAP_RESERVED},
        {{0xe0000}, 0x20000, MEMORY_MAP_ACPI},
        {{0xe0000000}, 0x10000000, MEMORY_MAP_RESERVED},
    };
    struct memory_range ranges[] = {{{0}, 64 * TEST_MIB}, {{1ull << 32}, TEST_MIB}};
    struct guest_memory memory;
    struct memory_map map;

    (void)state;
    assert_int_equal(memory_create(&memory, ranges, 2, NULL), 0);
    assert_int_equal(memory_map_build(&map, &memory, others, 3, NULL), 0);
    assert_int_equal(map.count, 6);
    assert_entry(&map, 0, 0, 0x9fc00, MEMORY_MAP_RAM);
    assert_entry(&map, 1, 0x9fc00, 0xe0000, MEMORY_MAP_RESERVED);
    assert_entry(&map, 2, 0xe0000, 0x100000, MEMORY_MAP_ACPI);
    assert_entry(&map, 3, 0x100000, 64 * TEST_MIB, MEMORY_MAP_RAM);
    assert_entry(&map, 4, 0xe0000000, 0xf0000000, MEMORY_MAP_RESERVED);
    assert_entry(&map, 5, 1ull << 32, (1ull << 32) + TEST_MIB, MEMORY_MAP_RAM);
    memory_destroy(&memory);
}

static void map_cuts_at_the_edges(void **state)
{
    static const struct memory_map_entry others[] = {
        {{0}, 0x1000, MEMORY_MAP_RESERVED},
        {{0x1ff000}, 0x2000, MEMORY_MAP_RESERVED}, /* half of it past the RAM */
    };
    struct guest_memory memory = test_memory(2);
    struct memory_map map;

    (void)state;
    assert_int_equal(memory_map_build(&map, &memory, others, 2, NULL), 0);
    assert_int_equal(map.count, 3);
    assert_entry(&map, 0, 0, 0x1000, MEMORY_MAP_RESERVED);
    assert_entry(&map, 1, 0x1000, 0x1ff000, MEMORY_MAP_RAM);
    assert_entry(&map, 2, 0x1ff000, 0x201000, MEMORY_MAP_RESERVED);
    memory_destroy(&memory);
}

static void map_refuses_bad_entries(void **state)
{
    static const struct memory_map_entry bad[][2] = {
        {{{0x2000}, 0x1000, MEMORY_MAP_RESERVED}, {{0x1000}, 0x1000, MEMORY_MAP_RESERVED}},
        {{{0x2000}, 0x1000, MEMORY_MAP_RESERVED}, {{0x2fff}, 0x1000, MEMORY_MAP_RESERVED}},
        {{{0x2000}, 0x1000, MEMORY_MAP_RESERVED}, {{0x4000}, 0, MEMORY_MAP_RESERVED}},
        {{{0x2000}, 0x1000, MEMORY_MAP_RESERVED}, {{0x4000}, UINT64_MAX, MEMORY_MAP_RESERVED}},
    };
    struct guest_memory memory = test_memory(2);

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct memory_map map;
        struct err err = {0};

        assert_failure(memory_map_build(&map, &memory, bad[i], 2, &err), -EINVAL, &err,
                       "bad entry 1");
    }
    memory_destroy(&memory);
}

static void map_refuses_too_many_entries(void **state)
{
    struct memory_map_entry others[MEMORY_MAP_MAX];
    struct guest_memory memory = test_memory(2);
    struct memory_map map;
    struct err err = {0};

    (void)state;
    for (unsigned i = 0; i < MEMORY_MAP_MAX; i++)
        others[i] = (struct memory_map_entry){gpa(i * 0x2000), 0x1000, MEMORY_MAP_RESERVED};
    assert_failure(memory_map_build(&map, &memory, others, MEMORY_MAP_MAX, &err), -ENOSPC, &err,
                   "more than 32 entries");
    assert_int_equal(memory_map_build(&map, &memory, others, MEMORY_MAP_MAX / 2, &err), 0);
    assert_int_equal(map.count, MEMORY_MAP_MAX);
    memory_destroy(&memory);
}

static const struct memory_map two_entries = {
    .entries = {{{0}, 0x9fc00, MEMORY_MAP_RAM}, {{0x9fc00}, 0x400, MEMORY_MAP_RESERVED}},
    .count = 2,
};

static const struct boot_parameters parameters = {
    .command_line = {0x20000},
    .initrd = {{0x123456000}, 0x987654321},
    .rsdp = {0xe0000},
    .map = &two_entries,
};

/* Offsets are those of zero-page.rst and boot.rst. */
static void zero_page_has_every_field(void **state)
{
    struct guest_memory memory = test_memory(2);
    struct test_bzimage image;
    struct kernel kernel = {0};

    (void)state;
    test_bzimage(&image);
    kernel.setup = image.setup;
    memset(memory_at(&memory, gpa(AT), ZERO_PAGE_SIZE), 0x5a, ZERO_PAGE_SIZE);
    assert_int_equal(zero_page_write(&memory, gpa(AT), &kernel, &parameters, NULL), 0);
    assert_int_equal(read_at(&memory, AT + 0x210, 1), 0xff);       /* type_of_loader */
    assert_int_equal(read_at(&memory, AT + 0x1fe, 2), 0xaa55);     /* boot_flag */
    assert_int_equal(read_at(&memory, AT + 0x202, 4), 0x53726448); /* header */
    assert_int_equal(read_at(&memory, AT + 0x260, 4), 0x300000);   /* init_size */
    assert_int_equal(read_at(&memory, AT + 0x230, 4), 0x200000);   /* kernel_alignment */
    assert_int_equal(read_at(&memory, AT + 0x228, 4), 0x20000);    /* cmd_line_ptr */
    assert_int_equal(read_at(&memory, AT + 0x0c8, 4), 0);          /* ext_cmd_line_ptr */
    assert_int_equal(read_at(&memory, AT + 0x218, 4), 0x23456000); /* ramdisk_image */
    assert_int_equal(read_at(&memory, AT + 0x0c0, 4), 1);          /* ext_ramdisk_image */
    assert_int_equal(read_at(&memory, AT + 0x21c, 4), 0x87654321); /* ramdisk_size */
    assert_int_equal(read_at(&memory, AT + 0x0c4, 4), 9);          /* ext_ramdisk_size */
    assert_int_equal(read_at(&memory, AT + 0x070, 8), 0xe0000);    /* acpi_rsdp_addr */
    assert_int_equal(read_at(&memory, AT + 0x1ef, 1), 0);          /* sentinel */
    assert_int_equal(read_at(&memory, AT + 0x1e8, 1), 2);          /* e820_entries */
    assert_int_equal(read_at(&memory, AT + 0x2d0, 8), 0);
    assert_int_equal(read_at(&memory, AT + 0x2d8, 8), 0x9fc00);
    assert_int_equal(read_at(&memory, AT + 0x2e0, 4), MEMORY_MAP_RAM);
    assert_int_equal(read_at(&memory, AT + 0x2e4, 8), 0x9fc00);
    assert_int_equal(read_at(&memory, AT + 0x2ec, 8), 0x400);
    assert_int_equal(read_at(&memory, AT + 0x2f4, 4), MEMORY_MAP_RESERVED);
    assert_int_equal(read_at(&memory, AT + 0x2f8, 8), 0);
    assert_int_equal(read_at(&memory, AT, 8), 0); /* no screen */
    memory_destroy(&memory);
}

static void zero_page_without_initrd_has_none(void **state)
{
    struct boot_parameters none = parameters;
    struct guest_memory memory = test_memory(2);
    struct kernel kernel = {0};

    (void)state;
    none.initrd.size = 0;
    assert_int_equal(zero_page_write(&memory, gpa(AT), &kernel, &none, NULL), 0);
    assert_int_equal(read_at(&memory, AT + 0x218, 8), 0);
    assert_int_equal(read_at(&memory, AT + 0x0c0, 8), 0);
    memory_destroy(&memory);
}

static void zero_page_must_be_in_memory(void **state)
{
    struct guest_memory memory = test_memory(2);
    struct kernel kernel = {0};
    struct err err = {0};

    (void)state;
    assert_failure(zero_page_write(&memory, gpa(2 * TEST_MIB - 4095), &kernel, &parameters, &err),
                   -EFAULT, &err, "zero page");
    memory_destroy(&memory);
}

/* Offsets are those of start_info.h. */
static void pvh_has_every_field(void **state)
{
    struct guest_memory memory = test_memory(2);
    uint64_t modules, map;

    (void)state;
    memset(memory_at(&memory, gpa(AT), 4096), 0x5a, 4096);
    assert_int_equal(
        pvh_write(&memory, (struct memory_range){gpa(AT), 4096}, &parameters, NULL), 0);
    assert_int_equal(read_at(&memory, AT + 0, 4), 0x336ec578);
    assert_int_equal(read_at(&memory, AT + 4, 4), 1);        /* version */
    assert_int_equal(read_at(&memory, AT + 8, 4), 0);        /* flags */
    assert_int_equal(read_at(&memory, AT + 12, 4), 1);       /* nr_modules */
    modules = read_at(&memory, AT + 16, 8);                  /* modlist_paddr */
    assert_int_equal(read_at(&memory, AT + 24, 8), 0x20000); /* cmdline_paddr */
    assert_int_equal(read_at(&memory, AT + 32, 8), 0xe0000); /* rsdp_paddr */
    map = read_at(&memory, AT + 40, 8);                      /* memmap_paddr */
    assert_int_equal(read_at(&memory, AT + 48, 4), 2);       /* memmap_entries */
    assert_int_equal(read_at(&memory, AT + 52, 4), 0);       /* reserved */

    assert_true(modules >= AT + 56 && modules % 8 == 0);
    assert_int_equal(read_at(&memory, modules, 8), 0x123456000);
    assert_int_equal(read_at(&memory, modules + 8, 8), 0x987654321);
    assert_int_equal(read_at(&memory, modules + 16, 8), 0);
    assert_int_equal(read_at(&memory, modules + 24, 8), 0);

    assert_true(map >= modules + 32 && map % 8 == 0);
    assert_int_equal(read_at(&memory, map, 8), 0);
    assert_int_equal(read_at(&memory, map + 8, 8), 0x9fc00);
    assert_int_equal(read_at(&memory, map + 16, 8), MEMORY_MAP_RAM);
    assert_int_equal(read_at(&memory, map + 24, 8), 0x9fc00);
    assert_int_equal(read_at(&memory, map + 32, 8), 0x400);
    assert_int_equal(read_at(&memory, map + 40, 8), MEMORY_MAP_RESERVED);
    assert_int_equal(read_at(&memory, map + 48, 1), 0x5a);
    memory_destroy(&memory);
}

static void pvh_without_initrd_has_no_module(void **state)
{
    struct boot_parameters none = parameters;
    struct guest_memory memory = test_memory(2);

    (void)state;
    none.initrd.size = 0;
    assert_int_equal(pvh_write(&memory, (struct memory_range){gpa(AT), 4096}, &none, NULL), 0);
    assert_int_equal(read_at(&memory, AT + 12, 4), 0);
    assert_int_equal(read_at(&memory, AT + 16, 8), 0);
    memory_destroy(&memory);
}

static void pvh_needs_its_room(void **state)
{
    struct guest_memory memory = test_memory(2);
    struct err err = {0};

    (void)state;
    assert_int_equal(
        pvh_write(&memory, (struct memory_range){gpa(AT), 96 + 48}, &parameters, &err), 0);
    assert_failure(pvh_write(&memory, (struct memory_range){gpa(AT), 96 + 47}, &parameters, &err),
                   -ENOSPC, &err, "PVH start_info: 144 bytes");
    assert_failure(pvh_write(&memory, (struct memory_range){gpa(2 * TEST_MIB - 8), 4096},
                             &parameters, &err),
                   -EFAULT, &err, "PVH start_info: no guest memory");
    memory_destroy(&memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(map_cuts_out_what_is_not_ram),
        cmocka_unit_test(map_cuts_at_the_edges),
        cmocka_unit_test(map_refuses_bad_entries),
        cmocka_unit_test(map_refuses_too_many_entries),
        cmocka_unit_test(zero_page_has_every_field),
        cmocka_unit_test(zero_page_without_initrd_has_none),
        cmocka_unit_test(zero_page_must_be_in_memory),
        cmocka_unit_test(pvh_has_every_field),
        cmocka_unit_test(pvh_without_initrd_has_no_module),
        cmocka_unit_test(pvh_needs_its_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
