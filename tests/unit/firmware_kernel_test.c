/* SPDX-License-Identifier: Apache-2.0 */
/* What happens to files that are no kernel at all: each is told apart, with advice. */
#include "firmware/kernel.h"
#include "firmware/kernel_formats.h"
#include "support/boot_images.h"
#include "support/failure.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int load_fd(int fd, struct err *err)
{
    struct guest_memory memory = test_memory(2);
    struct kernel kernel;
    int rc = kernel_load(&memory, fd, "file", &test_limits, &kernel, err);

    memory_destroy(&memory);
    return rc;
}

static void refuses_what_is_no_regular_file(void **state)
{
    struct err err = {0};
    int pipe_fds[2];
    int fd = open("/tmp", O_RDONLY | O_CLOEXEC);

    (void)state;
    assert_failure(load_fd(fd, &err), -EISDIR, &err, "kernel \"file\": is a directory");
    close(fd);
    assert_int_equal(pipe(pipe_fds), 0);
    assert_failure(load_fd(pipe_fds[0], &err), -EINVAL, &err, "not a regular file");
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    assert_failure(load_fd(-1, &err), -EBADF, &err, "cannot look at it");
}

static void refuses_an_empty_file(void **state)
{
    struct err err = {0};
    int fd = test_file("", 0);

    (void)state;
    assert_failure(load_fd(fd, &err), -EINVAL, &err, "kernel \"file\": is empty");
    close(fd);
}

static void tells_a_file_that_cannot_be_read(void **state)
{
    uint8_t bytes[4096] = {0};
    struct err err = {0};
    int fd = test_file(bytes, sizeof bytes);
    char path[64];
    int write_only;

    (void)state;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    write_only = open(path, O_WRONLY | O_CLOEXEC);
    assert_failure(load_fd(write_only, &err), -EBADF, &err, "cannot read it");
    close(write_only);
    close(fd);
}

struct guess_case {
    size_t offset;
    const char *bytes;
    size_t size;
    const char *message;
};

static void tells_what_it_looks_like(void **state)
{
    static const struct guess_case cases[] = {
        {0, "\x1f\x8b\x08", 3, "a gzip file; unpack it with gunzip"},
        {0, "\xfd" "7zXZ\0", 6, "an xz file"},
        {0, "\x28\xb5\x2f\xfd", 4, "a zstd file"},
        {0, "\x04\x22\x4d\x18", 4, "an lz4 file"},
        {0, "\x02\x21\x4c\x18", 4, "an lz4 file"},
        {0, "BZh9", 4, "a bzip2 file"},
        {0, "#!/bin/sh\n", 10, "a script"},
        {0, "070701", 6, "a cpio archive; did you mean --initrd?"},
        {0, "QFI\xfb", 4, "a qcow2 disk image; did you mean --disk?"},
        {0, "MZ", 2, "an EFI or Windows program"},
        {0, "MZ\0\0zimg", 8, "an EFI zboot image"},
        {0x38, "ARM\x64", 4, "an arm64 Image; give a bzImage or vmlinux for x86_64"},
        {0x38, "RSC\x05", 4, "a kernel for riscv"},
        {0x438, "\x53\xef", 2, "an ext file system; did you mean --disk?"},
        {0x1fe, "\x55\xaa", 2, "a boot sector or disk image"},
        {0, "hello", 5, "something unknown; give a bzImage or vmlinux"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t bytes[2048] = {0};
        struct err err = {0};
        int fd;

        memcpy(bytes + cases[i].offset, cases[i].bytes, cases[i].size);
        fd = test_file(bytes, sizeof bytes);
        assert_failure(load_fd(fd, &err), -ENOEXEC, &err, cases[i].message);
        close(fd);
    }
}

/* In an exact heap block, so that AddressSanitizer sees a byte too many. */
static void looks_at_no_more_than_there_is(void **state)
{
    (void)state;
    for (size_t size = 0; size < 0x43a; size++) {
        uint8_t *bytes = calloc(size + 1, 1);
        uint8_t *exact = realloc(bytes, size ? size : 1);
        struct err err = {0};

        assert_failure(kernel_refuse(&kernel_machine_x86_64, exact, size, &err), -ENOEXEC, &err,
                       "is no kernel for x86_64 but something unknown; "
                       "give a bzImage or vmlinux for x86_64");
        free(exact);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_what_is_no_regular_file),
        cmocka_unit_test(refuses_an_empty_file),
        cmocka_unit_test(tells_a_file_that_cannot_be_read),
        cmocka_unit_test(tells_what_it_looks_like),
        cmocka_unit_test(looks_at_no_more_than_there_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
