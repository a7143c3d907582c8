/* SPDX-License-Identifier: Apache-2.0 */
/* Where an initrd goes: as high as allowed, never over the kernel, page-aligned. */
#include "firmware/initrd.h"
#include "support/boot_images.h"
#include "support/failure.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static const struct kernel kernel_at_16m = {
    .range = {{16 * TEST_MIB}, 8 * TEST_MIB},
    .initrd_last = {UINT64_MAX},
};

/* Loads an initrd of `size` bytes, of which the first is 0xaa and the last 0xbb. */
static int load(const struct guest_memory *memory, uint64_t size, const struct kernel *kernel,
                struct memory_range *initrd, struct err *err)
{
    int fd = test_file("\xaa", 1);
    int rc;

    if (ftruncate(fd, (off_t)size) || pwrite(fd, "\xbb", 1, (off_t)size - 1) != 1)
        abort();
    rc = initrd_load(memory, fd, "initrd.img", &test_limits, kernel, initrd, err);
    close(fd);
    return rc;
}

static void assert_loaded(const struct guest_memory *memory, struct memory_range initrd)
{
    const uint8_t *bytes = memory_at(memory, initrd.base, initrd.size);

    assert_non_null(bytes);
    assert_int_equal(bytes[0], 0xaa);
    assert_int_equal(bytes[initrd.size - 1], 0xbb);
}

static void goes_to_the_top(void **state)
{
    struct guest_memory memory = test_memory(64);
    struct memory_range initrd;

    (void)state;
    assert_int_equal(load(&memory, 5000, &kernel_at_16m, &initrd, NULL), 0);
    assert_int_equal(initrd.base.v, 64 * TEST_MIB - 8192);
    assert_int_equal(initrd.size, 5000);
    assert_loaded(&memory, initrd);
    memory_destroy(&memory);
}

static void stays_below_the_kernels_limit(void **state)
{
    struct guest_memory memory = test_memory(64);
    struct kernel kernel = kernel_at_16m;
    struct memory_range initrd;

    (void)state;
    kernel.initrd_last = gpa(48 * TEST_MIB - 1);
    assert_int_equal(load(&memory, 8192, &kernel, &initrd, NULL), 0);
    assert_int_equal(initrd.base.v, 48 * TEST_MIB - 8192);
    kernel.initrd_last = gpa(48 * TEST_MIB - 2);
    assert_int_equal(load(&memory, 8192, &kernel, &initrd, NULL), 0);
    assert_int_equal(initrd.base.v, 48 * TEST_MIB - 8192 - 4096);
    memory_destroy(&memory);
}

static void stays_inside_the_limits(void **state)
{
    struct memory_range ranges[] = {{{0}, 64 * TEST_MIB}, {{4096 * TEST_MIB}, 64 * TEST_MIB}};
    struct guest_memory memory;
    struct memory_range initrd;

    (void)state;
    assert_int_equal(memory_create(&memory, ranges, 2, NULL), 0);
    assert_int_equal(load(&memory, 4096, &kernel_at_16m, &initrd, NULL), 0);
    assert_int_equal(initrd.base.v, 64 * TEST_MIB - 4096);
    memory_destroy(&memory);
}

static void goes_below_the_kernel_when_there_is_no_room_above(void **state)
{
    struct guest_memory memory = test_memory(26);
    struct memory_range initrd;

    (void)state;
    assert_int_equal(load(&memory, 2 * TEST_MIB, &kernel_at_16m, &initrd, NULL), 0);
    assert_int_equal(initrd.base.v, 24 * TEST_MIB);
    assert_int_equal(load(&memory, 2 * TEST_MIB + 1, &kernel_at_16m, &initrd, NULL), 0);
    assert_int_equal(initrd.base.v, 14 * TEST_MIB - 4096);
    assert_loaded(&memory, initrd);
    assert_int_equal(load(&memory, 15 * TEST_MIB, &kernel_at_16m, &initrd, NULL), 0);
    assert_int_equal(initrd.base.v, TEST_MIB);
    memory_destroy(&memory);
}

static void an_unaligned_kernel_keeps_its_last_page(void **state)
{
    struct guest_memory memory = test_memory(26);
    struct kernel kernel = kernel_at_16m;
    struct memory_range initrd;

    (void)state;
    kernel.range.size -= 1;
    assert_int_equal(load(&memory, 2 * TEST_MIB, &kernel, &initrd, NULL), 0);
    assert_int_equal(initrd.base.v, 24 * TEST_MIB);
    kernel.range.size += 2;
    assert_int_equal(load(&memory, 2 * TEST_MIB, &kernel, &initrd, NULL), 0);
    assert_int_equal(initrd.base.v, 14 * TEST_MIB);
    memory_destroy(&memory);
}

static void refuses_what_does_not_fit(void **state)
{
    struct guest_memory memory = test_memory(26);
    struct kernel kernel = kernel_at_16m;
    struct memory_range initrd;
    struct err err = {0};

    (void)state;
    assert_failure(load(&memory, 15 * TEST_MIB + 1, &kernel, &initrd, &err), -ENOMEM, &err,
                   "initrd \"initrd.img\": is too large: it has 16 MiB, and the largest free "
                   "place is 15 MiB; raise --memory");
    kernel.initrd_last = gpa(0);
    assert_failure(load(&memory, 1, &kernel, &initrd, &err), -ENOMEM, &err, "is 0 MiB");
    memory_destroy(&memory);
}

static void refuses_what_is_no_file(void **state)
{
    struct guest_memory memory = test_memory(26);
    struct memory_range initrd;
    struct err err = {0};
    int fd = test_file("", 0);

    (void)state;
    assert_failure(initrd_load(&memory, fd, "x", &test_limits, &kernel_at_16m, &initrd, &err),
                   -EINVAL, &err, "initrd \"x\": is empty");
    assert_failure(initrd_load(&memory, -1, "x", &test_limits, &kernel_at_16m, &initrd, &err),
                   -EBADF, &err, "initrd \"x\": cannot look at it");
    close(fd);
    memory_destroy(&memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goes_to_the_top),
        cmocka_unit_test(stays_below_the_kernels_limit),
        cmocka_unit_test(stays_inside_the_limits),
        cmocka_unit_test(goes_below_the_kernel_when_there_is_no_room_above),
        cmocka_unit_test(an_unaligned_kernel_keeps_its_last_page),
        cmocka_unit_test(refuses_what_does_not_fit),
        cmocka_unit_test(refuses_what_is_no_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
