/* SPDX-License-Identifier: Apache-2.0 */
/* The AML encoder against bytes worked out by hand from ACPI 6.5, chapters 6 and 20. */
#include "firmware/aml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

static uint8_t bytes[8192];

static struct aml fresh(void)
{
    memset(bytes, 0x5a, sizeof bytes);
    return (struct aml){.data = bytes, .room = sizeof bytes};
}

static void assert_bytes(const struct aml *aml, const char *expected, size_t size)
{
    assert_false(aml->failed);
    assert_int_equal(aml->size, size);
    assert_memory_equal(aml->data, expected, size);
    assert_int_equal(aml->data[size], 0x5a);
}

#define ASSERT_BYTES(aml, literal) assert_bytes((aml), (literal), sizeof(literal) - 1)

static void integers_are_shortest(void **state)
{
    struct aml aml = fresh();

    (void)state;
    aml_integer(&aml, 0);
    aml_integer(&aml, 1);
    aml_integer(&aml, 2);
    aml_integer(&aml, 0xff);
    aml_integer(&aml, 0x100);
    aml_integer(&aml, 0xffff);
    aml_integer(&aml, 0x10000);
    aml_integer(&aml, 0xffffffff);
    aml_integer(&aml, 0x100000000);
    ASSERT_BYTES(&aml, "\x00\x01\x0a\x02\x0a\xff\x0b\x00\x01\x0b\xff\xff\x0c\x00\x00\x01\x00"
                       "\x0c\xff\xff\xff\xff\x0e\x00\x00\x00\x00\x01\x00\x00\x00");
}

static void names(void **state)
{
    struct aml aml = fresh();

    (void)state;
    aml_name_integer(&aml, "_UID", 7);
    aml_name_string(&aml, "_HID", "AB");
    aml_name_eisa_id(&aml, "_HID", "PNP0501");
    ASSERT_BYTES(&aml, "\x08_UID\x0a\x07"
                       "\x08_HID\x0d" "AB\0"
                       "\x08_HID\x0c\x41\xd0\x05\x01");
}

static void eisa_ids_take_hexadecimal_digits(void **state)
{
    struct aml aml = fresh();

    (void)state;
    aml_name_eisa_id(&aml, "_HID", "PNP0B0F");
    ASSERT_BYTES(&aml, "\x08_HID\x0c\x41\xd0\x0b\x0f");
}

static void blocks_nest(void **state)
{
    struct aml aml = fresh();
    struct aml_block scope, device;

    (void)state;
    scope = aml_begin_scope(&aml, "_SB_");
    device = aml_begin_device(&aml, "DEV0");
    aml_name_integer(&aml, "_UID", 0);
    aml_end(&aml, device);
    aml_end(&aml, scope);
    ASSERT_BYTES(&aml, "\x10\x12_SB_\x5b\x82\x0b" "DEV0\x08_UID\x00");
}

static void packages(void **state)
{
    struct aml aml = fresh();
    struct aml_block package;

    (void)state;
    package = aml_begin_package(&aml, "_S5_", 2);
    aml_integer(&aml, 5);
    aml_integer(&aml, 0);
    aml_end(&aml, package);
    ASSERT_BYTES(&aml, "\x08_S5_\x12\x05\x02\x0a\x05\x00");
}

static void resources(void **state)
{
    struct aml aml = fresh();
    struct aml_block block;

    (void)state;
    block = aml_begin_resources(&aml);
    aml_memory32(&aml, 0xd0001000, 0x200);
    aml_io(&aml, 0x3f8, 8);
    aml_interrupt(&aml, 23);
    aml_end_resources(&aml, block);
    ASSERT_BYTES(&aml, "\x08_CRS\x11\x22\x0a\x1f"
                       "\x86\x09\x00\x01\x00\x10\x00\xd0\x00\x02\x00\x00"
                       "\x47\x01\xf8\x03\xf8\x03\x01\x08"
                       "\x89\x06\x00\x03\x01\x17\x00\x00\x00"
                       "\x79\x00");
}

struct length_case {
    size_t content; /* without the length itself */
    const char *expected;
    size_t size;
};

/* Around each border between two encodings of PkgLength. */
static void package_lengths(void **state)
{
    static const struct length_case cases[] = {
        {62, "\x3f", 1},       {63, "\x41\x04", 2},      {64, "\x42\x04", 2},
        {4093, "\x4f\xff", 2}, {4094, "\x81\x00\x01", 3}, {5000, "\x8b\x38\x01", 3},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct aml aml = fresh();
        struct aml_block scope = aml_begin_scope(&aml, "_SB_");

        while (aml.size < 1 + cases[i].content)
            aml_integer(&aml, 1);
        aml_end(&aml, scope);
        assert_false(aml.failed);
        assert_int_equal(aml.size, 1 + cases[i].size + cases[i].content);
        assert_memory_equal(bytes + 1, cases[i].expected, cases[i].size);
        assert_memory_equal(bytes + 1 + cases[i].size, "_SB_", 4);
    }
}

static void write_everything(struct aml *aml)
{
    struct aml_block scope = aml_begin_scope(aml, "_SB_");
    struct aml_block device = aml_begin_device(aml, "DEV0");
    struct aml_block block;

    aml_name_eisa_id(aml, "_HID", "PNP0501");
    aml_name_string(aml, "_DDN", "text");
    aml_name_integer(aml, "_UID", UINT64_MAX);
    block = aml_begin_resources(aml);
    aml_memory32(aml, 1, 2);
    aml_io(aml, 3, 4);
    aml_interrupt(aml, 5);
    aml_end_resources(aml, block);
    block = aml_begin_package(aml, "_S5_", 1);
    aml_integer(aml, 0);
    aml_end(aml, block);
    aml_end(aml, device);
    aml_end(aml, scope);
}

/* In exact heap blocks, so that AddressSanitizer sees a byte too many. */
static void a_full_buffer_fails_and_stays_whole(void **state)
{
    struct aml all = fresh();

    (void)state;
    write_everything(&all);
    assert_false(all.failed);
    for (size_t room = 0; room <= all.size; room++) {
        uint8_t *block = malloc(room ? room : 1);
        struct aml aml = {.data = block, .room = room};

        write_everything(&aml);
        assert_int_equal(aml.failed, room < all.size);
        assert_true(aml.size <= room);
        free(block);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_are_shortest),
        cmocka_unit_test(names),
        cmocka_unit_test(eisa_ids_take_hexadecimal_digits),
        cmocka_unit_test(blocks_nest),
        cmocka_unit_test(packages),
        cmocka_unit_test(resources),
        cmocka_unit_test(package_lengths),
        cmocka_unit_test(a_full_buffer_fails_and_stays_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
