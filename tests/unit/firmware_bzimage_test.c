/* SPDX-License-Identifier: Apache-2.0 */
/* bzImages: where they go, what is taken from the setup header, and every way to be refused. */
#include "firmware/kernel.h"
#include "support/boot_images.h"
#include "support/failure.h"

#include <errno.h>
#include <unistd.h>

#define IMAGE_SIZE sizeof(struct test_bzimage)

static int load_bytes(struct guest_memory *memory, const void *bytes, size_t size,
                      struct kernel *kernel, struct err *err)
{
    int fd = test_file(bytes, size);
    int rc = kernel_load(memory, fd, "vmlinuz", &test_limits, kernel, err);

    close(fd);
    return rc;
}

/* Loads the image into a machine of `mib` and forgets the memory. */
static int load(const struct test_bzimage *image, uint64_t mib, struct kernel *kernel,
                struct err *err)
{
    struct guest_memory memory = test_memory(mib);
    int rc = load_bytes(&memory, image, IMAGE_SIZE, kernel, err);

    memory_destroy(&memory);
    return rc;
}

static void goes_to_its_preferred_address(void **state)
{
    struct guest_memory memory = test_memory(32);
    struct test_bzimage image;
    struct kernel kernel;
    struct err err = {0};

    (void)state;
    test_bzimage(&image);
    assert_int_equal(load_bytes(&memory, &image, IMAGE_SIZE, &kernel, &err), 0);
    assert_int_equal(kernel.format, KERNEL_BZIMAGE);
    assert_int_equal(kernel.protocol, BOOT_LINUX64);
    assert_int_equal(kernel.entry.v, 0x1000200);
    assert_int_equal(kernel.range.base.v, 0x1000000);
    assert_int_equal(kernel.range.size, 0x300000);
    assert_int_equal(kernel.initrd_last.v, 0x7fffffff);
    assert_int_equal(kernel.command_line_max, 2047);
    assert_memory_equal(&kernel.setup, &image.setup, sizeof image.setup);
    assert_memory_equal(memory_at(&memory, gpa(0x1000000), TEST_CODE_SIZE), image.code,
                        TEST_CODE_SIZE);
    memory_destroy(&memory);
}

static void setup_header_stays_out_of_memory(void **state)
{
    struct guest_memory memory = test_memory(32);
    struct test_bzimage image;
    struct kernel kernel;
    const uint8_t *around;

    (void)state;
    test_bzimage(&image);
    assert_int_equal(load_bytes(&memory, &image, IMAGE_SIZE, &kernel, NULL), 0);
    around = memory_at(&memory, gpa(0x1000000 - 1), TEST_CODE_SIZE + 2);
    assert_int_equal(around[0], 0);
    assert_int_equal(around[TEST_CODE_SIZE + 1], 0);
    memory_destroy(&memory);
}

static void no_setup_sectors_means_four(void **state)
{
    static uint8_t bytes[5 * 512 + TEST_CODE_SIZE];
    struct guest_memory memory = test_memory(32);
    struct test_bzimage image;
    struct kernel kernel;

    (void)state;
    test_bzimage(&image);
    image.setup.setup_sects = 0;
    memcpy(bytes, &image, 1024);
    memcpy(bytes + 5 * 512, image.code, TEST_CODE_SIZE);
    assert_int_equal(load_bytes(&memory, bytes, sizeof bytes, &kernel, NULL), 0);
    assert_memory_equal(memory_at(&memory, gpa(0x1000000), TEST_CODE_SIZE), image.code,
                        TEST_CODE_SIZE);
    memory_destroy(&memory);
}

static void old_short_header_is_cut(void **state)
{
    struct test_bzimage image;
    struct kernel kernel;

    (void)state;
    test_bzimage(&image);
    image.setup.handover_offset = 0x1234; /* belongs to the code when the header ends before */
    image.setup.jump = 0xeb | (0x264 - 0x202) << 8;
    assert_int_equal(load(&image, 32, &kernel, NULL), 0);
    assert_int_equal(kernel.setup.init_size, 0x300000);
    assert_int_equal(kernel.setup.handover_offset, 0);
}

static void bytes_after_the_kernel_are_left_out(void **state)
{
    static uint8_t bytes[IMAGE_SIZE + 100];
    struct guest_memory memory = test_memory(32);
    struct test_bzimage image;
    struct kernel kernel;

    (void)state;
    test_bzimage(&image);
    memset(bytes, 0xee, sizeof bytes);
    memcpy(bytes, &image, IMAGE_SIZE);
    assert_int_equal(load_bytes(&memory, bytes, sizeof bytes, &kernel, NULL), 0);
    assert_int_equal(*(uint8_t *)memory_at(&memory, gpa(0x1000000 + TEST_CODE_SIZE), 1), 0);
    memory_destroy(&memory);
}

struct address_case {
    uint64_t preferred;
    uint32_t alignment;
    bool relocatable;
    uint64_t expected;
};

static void chooses_the_load_address(void **state)
{
    static const struct address_case cases[] = {
        {0x1000000, 0x200000, true, 0x1000000},  {0x1100000, 0x200000, true, 0x1200000},
        {0x1100000, 0x200000, false, 0x1100000}, {0, 0x200000, true, 0x200000},
        {0, 0, false, 0x100000},                 {0x1000, 0x1000, true, 0x100000},
        {0x100001, 1, true, 0x100001},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct test_bzimage image;
        struct kernel kernel;

        test_bzimage(&image);
        image.setup.pref_address = cases[i].preferred;
        image.setup.kernel_alignment = cases[i].alignment;
        image.setup.relocatable_kernel = cases[i].relocatable;
        assert_int_equal(load(&image, 32, &kernel, NULL), 0);
        assert_int_equal(kernel.range.base.v, cases[i].expected);
        assert_int_equal(kernel.entry.v, cases[i].expected + 0x200);
    }
}

static void range_covers_the_file_when_init_size_does_not(void **state)
{
    struct test_bzimage image;
    struct kernel kernel;

    (void)state;
    test_bzimage(&image);
    image.setup.init_size = 0;
    assert_int_equal(load(&image, 32, &kernel, NULL), 0);
    assert_int_equal(kernel.range.size, TEST_CODE_SIZE);
}

static void initrd_above_4g_lifts_the_limit(void **state)
{
    struct test_bzimage image;
    struct kernel kernel;

    (void)state;
    test_bzimage(&image);
    image.setup.xloadflags |= XLF_CAN_BE_LOADED_ABOVE_4G;
    assert_int_equal(load(&image, 32, &kernel, NULL), 0);
    assert_true(kernel.initrd_last.v == UINT64_MAX);
}

static void needs_memory_for_init_size(void **state)
{
    struct test_bzimage image;
    struct kernel kernel;
    struct err err = {0};

    (void)state;
    test_bzimage(&image);
    assert_failure(load(&image, 18, &kernel, &err), -ENOMEM, &err,
                   "kernel \"vmlinuz\": needs at least 19 MiB of memory; raise --memory");
    assert_int_equal(load(&image, 19, &kernel, &err), 0);
    image.setup.init_size++;
    assert_failure(load(&image, 19, &kernel, &err), -ENOMEM, &err, "at least 20 MiB");
}

static void refuses_addresses_outside_the_limits(void **state)
{
    struct test_bzimage image;
    struct kernel kernel;
    struct err err = {0};

    (void)state;
    test_bzimage(&image);
    image.setup.pref_address = 0xffd00000;
    image.setup.init_size = 0x300001;
    assert_failure(load(&image, 32, &kernel, &err), -ENOMEM, &err, "must end below 0x100000000");
    image.setup.pref_address = UINT64_MAX - 5;
    assert_failure(load(&image, 32, &kernel, &err), -ENOMEM, &err, "must end below 0x100000000");
    image.setup.relocatable_kernel = 0;
    image.setup.pref_address = 0xff000;
    assert_failure(load(&image, 32, &kernel, &err), -ENOMEM, &err, "below 0x100000 is");
}

static void refuses_a_hole(void **state)
{
    struct memory_range ranges[] = {{{0}, 18 * TEST_MIB}, {{64 * TEST_MIB}, 64 * TEST_MIB}};
    struct guest_memory memory;
    struct test_bzimage image;
    struct kernel kernel;
    struct err err = {0};

    (void)state;
    assert_int_equal(memory_create(&memory, ranges, 2, NULL), 0);
    test_bzimage(&image);
    assert_failure(load_bytes(&memory, &image, IMAGE_SIZE, &kernel, &err), -ENOMEM, &err,
                   "wants 0x1000000 to 0x12fffff, where the machine has no memory");
    memory_destroy(&memory);
}

static void refuses_old_protocols(void **state)
{
    struct test_bzimage image;
    struct kernel kernel;
    struct err err = {0};

    (void)state;
    test_bzimage(&image);
    image.setup.version = 0x020b;
    assert_failure(load(&image, 32, &kernel, &err), -ENOEXEC, &err, "boot protocol 2.11;");
    image.setup.version = 0x020c;
    assert_int_equal(load(&image, 32, &kernel, &err), 0);
}

static void refuses_32_bit_kernels(void **state)
{
    struct test_bzimage image;
    struct kernel kernel;
    struct err err = {0};

    (void)state;
    test_bzimage(&image);
    image.setup.xloadflags = XLF_CAN_BE_LOADED_ABOVE_4G;
    assert_failure(load(&image, 32, &kernel, &err), -ENOEXEC, &err, "is a 32-bit kernel");
}

static void refuses_zimages(void **state)
{
    struct test_bzimage image;
    struct kernel kernel;
    struct err err = {0};

    (void)state;
    test_bzimage(&image);
    image.setup.loadflags = 0;
    assert_failure(load(&image, 32, &kernel, &err), -ENOEXEC, &err, "zImage");
}

static void refuses_bad_alignment(void **state)
{
    static const uint32_t bad[] = {0, 3, 0x300000, UINT32_MAX};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct test_bzimage image;
        struct kernel kernel;
        struct err err = {0};

        test_bzimage(&image);
        image.setup.kernel_alignment = bad[i];
        assert_failure(load(&image, 32, &kernel, &err), -EINVAL, &err, "no power of two");
    }
}

static void refuses_code_too_small_for_an_entry(void **state)
{
    struct test_bzimage image;
    struct kernel kernel;
    struct err err = {0};

    (void)state;
    test_bzimage(&image);
    image.setup.syssize = 0x200 / 16;
    assert_failure(load(&image, 32, &kernel, &err), -EINVAL, &err, "no code");
    image.setup.syssize = UINT32_MAX;
    assert_failure(load(&image, 32, &kernel, &err), -ENOMEM, &err, "must end below");
}

static void truncation_at_every_length_is_told(void **state)
{
    struct guest_memory memory = test_memory(32);
    struct test_bzimage image;

    (void)state;
    test_bzimage(&image);
    for (size_t size = 0; size < IMAGE_SIZE; size++) {
        struct kernel kernel;
        struct err err = {0};
        int rc = load_bytes(&memory, &image, size, &kernel, &err);

        if (size == 0)
            assert_failure(rc, -EINVAL, &err, "is empty");
        else if (size < 0x206) /* before the end of "HdrS" */
            assert_failure(rc, -ENOEXEC, &err, "is no kernel for x86_64 but");
        else
            assert_failure(rc, -EINVAL, &err, "is truncated");
    }
    memory_destroy(&memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goes_to_its_preferred_address),
        cmocka_unit_test(setup_header_stays_out_of_memory),
        cmocka_unit_test(no_setup_sectors_means_four),
        cmocka_unit_test(old_short_header_is_cut),
        cmocka_unit_test(bytes_after_the_kernel_are_left_out),
        cmocka_unit_test(chooses_the_load_address),
        cmocka_unit_test(range_covers_the_file_when_init_size_does_not),
        cmocka_unit_test(initrd_above_4g_lifts_the_limit),
        cmocka_unit_test(needs_memory_for_init_size),
        cmocka_unit_test(refuses_addresses_outside_the_limits),
        cmocka_unit_test(refuses_a_hole),
        cmocka_unit_test(refuses_old_protocols),
        cmocka_unit_test(refuses_32_bit_kernels),
        cmocka_unit_test(refuses_zimages),
        cmocka_unit_test(refuses_bad_alignment),
        cmocka_unit_test(refuses_code_too_small_for_an_entry),
        cmocka_unit_test(truncation_at_every_length_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
