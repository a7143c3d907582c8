/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that come in pieces, are interrupted, or shrink. This program's own pread() stands in for
 * libc's, so that each of these happens when the test wants it.
 */
#include "firmware/image.h"
#include "support/boot_images.h"
#include "support/failure.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct {
    size_t piece;        /* at most so many bytes a call */
    unsigned interrupts; /* calls that fail with EINTR before one works */
    off_t end;           /* the file now ends here; -1: where it does */
} script;

ssize_t pread(int fd, void *to, size_t size, off_t offset)
{
    if (script.interrupts > 0) {
        script.interrupts--;
        errno = EINTR;
        return -1;
    }
    if (script.end >= 0 && offset >= script.end)
        return 0;
    return syscall(SYS_pread64, fd, to, size < script.piece ? size : script.piece, offset);
}

static uint8_t content[1000];
static struct image image;

static int set_up(void **state)
{
    (void)state;
    script.piece = SIZE_MAX;
    script.interrupts = 0;
    script.end = -1;
    test_code(content, sizeof content);
    return image_open(&image, test_file(content, sizeof content), NULL);
}

static int tear_down(void **state)
{
    (void)state;
    return close(image.fd);
}

static void knows_its_size(void **state)
{
    (void)state;
    assert_int_equal(image.size, sizeof content);
}

static void short_reads_are_continued(void **state)
{
    uint8_t bytes[900];

    (void)state;
    script.piece = 7;
    assert_int_equal(image_read(&image, 50, bytes, sizeof bytes, NULL), 0);
    assert_memory_equal(bytes, content + 50, sizeof bytes);
}

static void interrupts_are_not_errors(void **state)
{
    uint8_t bytes[100];

    (void)state;
    script.interrupts = 3;
    assert_int_equal(image_read(&image, 0, bytes, sizeof bytes, NULL), 0);
    assert_memory_equal(bytes, content, sizeof bytes);
}

static void shrinking_is_told(void **state)
{
    uint8_t bytes[1000];
    struct err err = {0};

    (void)state;
    script.piece = 100;
    script.end = 500;
    assert_failure(image_read(&image, 0, bytes, sizeof bytes, &err), -EINVAL, &err, "shrinks");
}

static void reads_nothing_past_the_end(void **state)
{
    uint8_t bytes[1001];
    struct err err = {0};

    (void)state;
    assert_int_equal(image_read(&image, 1000, bytes, 0, &err), 0);
    assert_failure(image_read(&image, 0, bytes, 1001, &err), -EINVAL, &err,
                   "speak of 1001 bytes at offset 0, but it has only 1000; copy it again");
    assert_failure(image_read(&image, 1001, bytes, 0, &err), -EINVAL, &err, "is truncated");
    assert_failure(image_read(&image, UINT64_MAX, bytes, 2, &err), -EINVAL, &err, "is truncated");
}

static void loads_into_guest_memory_only(void **state)
{
    struct guest_memory memory = test_memory(2);
    struct err err = {0};

    (void)state;
    assert_int_equal(image_load(&image, 0, &memory, gpa(2 * TEST_MIB - 1000), 1000, &err), 0);
    assert_memory_equal(memory_at(&memory, gpa(2 * TEST_MIB - 1000), 1000), content, 1000);
    assert_failure(image_load(&image, 0, &memory, gpa(2 * TEST_MIB - 999), 1000, &err), -EFAULT,
                   &err, "no guest memory for 1000 bytes at 0x1ffc19");
    memory_destroy(&memory);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(knows_its_size),
        TEST(short_reads_are_continued),
        TEST(interrupts_are_not_errors),
        TEST(shrinking_is_told),
        TEST(reads_nothing_past_the_end),
        TEST(loads_into_guest_memory_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
