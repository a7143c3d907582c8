/* SPDX-License-Identifier: Apache-2.0 */
/* Raw disks on real files: what is refused, who may share, and that data is where it belongs. */
#include "devices/disk/disk.h"
#include "support/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB (1024ull * 1024)

/* In front of libc's: a host that is interrupted at every other call, and transfers little. */
static size_t transfer_limit; /* bytes a call; 0: as the host does it */
static unsigned transfer_calls;

static ssize_t transfer_little(bool writing, int fd, const struct iovec *iov, int count, off_t at)
{
    struct iovec piece[1024];
    size_t left = transfer_limit ? transfer_limit : SIZE_MAX;
    int used = 0;

    if (transfer_limit && transfer_calls++ % 2 == 0) {
        errno = EINTR;
        return -1;
    }
    for (; used < count && left > 0; used++) {
        piece[used] = iov[used];
        if (piece[used].iov_len > left)
            piece[used].iov_len = left;
        left -= piece[used].iov_len;
    }
    return syscall(writing ? SYS_pwritev : SYS_preadv, fd, piece, used, at, 0);
}

ssize_t preadv(int fd, const struct iovec *iov, int count, off_t at)
{
    return transfer_little(false, fd, iov, count, at);
}

ssize_t pwritev(int fd, const struct iovec *iov, int count, off_t at)
{
    return transfer_little(true, fd, iov, count, at);
}

struct fixture {
    struct scratch scratch;
    struct err err;
};

static int open_fixture(void **state)
{
    static struct fixture f;

    f = (struct fixture){.err.code = 0};
    scratch_open(&f.scratch);
    *state = &f;
    return 0;
}

static int close_fixture(void **state)
{
    scratch_close(&((struct fixture *)*state)->scratch);
    return 0;
}

static struct disk *opened(struct fixture *f, const char *path, bool read_only)
{
    struct disk *disk = NULL;

    if (disk_open(&disk, &(struct disk_options){path, read_only}, &f->err))
        fail_msg("%s", f->err.message);
    return disk;
}

static void refused(struct fixture *f, const char *path, bool read_only, int code,
                    const char *advice)
{
    struct disk *disk = NULL;

    assert_int_equal(disk_open(&disk, &(struct disk_options){path, read_only}, &f->err), code);
    assert_null(disk);
    if (!strstr(f->err.message, advice) || !strstr(f->err.message, path))
        fail_msg("\"%s\" does not say \"%s\"", f->err.message, advice);
}

/* --- opening --- */

static void what_cannot_be_a_disk_is_refused(void **state)
{
    struct fixture *f = *state;
    char path[128];

    refused(f, f->scratch.folder, false, -EISDIR, "is a directory");
    refused(f, f->scratch.folder, true, -EISDIR, "is a directory");
    refused(f, "/dev/null", false, -EINVAL, "neither");
    refused(f, scratch_file(&f->scratch, "empty", 0), false, -EINVAL, "truncate -s");
    refused(f, scratch_file(&f->scratch, "odd", 1000), true, -EINVAL, "truncate -s %512");
    refused(f, "/nonexistent/disk", false, -ENOENT, "does not exist");
    snprintf(path, sizeof path, "%s/fifo", f->scratch.folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    refused(f, path, false, -EINVAL, "neither");
    refused(f, path, true, -EINVAL, "neither"); /* and does not wait for a writer */
}

/* root may write everything, so the test becomes somebody else. */
static void read_only_on_the_host_asks_for_ro(void **state)
{
    struct fixture *f = *state;
    const char *path = scratch_file(&f->scratch, "image", 4096);
    struct disk *disk;

    assert_int_equal(chmod(path, 0444), 0);
    assert_int_equal(chmod(f->scratch.folder, 0755), 0);
    if (geteuid() == 0)
        assert_int_equal(seteuid(65534), 0);
    refused(f, path, false, -EACCES, ",ro");
    disk = opened(f, path, true);
    if (getuid() == 0)
        assert_int_equal(seteuid(0), 0);
    assert_true(disk_read_only(disk));
    disk_close(disk);
}

static void a_disk_is_what_its_file_is(void **state)
{
    struct fixture *f = *state;
    const char *path = scratch_file(&f->scratch, "image", 3 * 512);
    struct disk *disk = opened(f, path, false);
    char identity[DISK_IDENTITY_SIZE], again[DISK_IDENTITY_SIZE];

    assert_int_equal(disk_size(disk), 1536);
    assert_int_equal(disk_block_size(disk), 512);
    assert_false(disk_read_only(disk));
    disk_identity(disk, identity);
    assert_int_not_equal(identity[0], 0);
    disk_close(disk);
    disk = opened(f, path, true);
    disk_identity(disk, again);
    assert_memory_equal(identity, again, sizeof identity);
    disk_close(disk);
    disk = opened(f, scratch_file(&f->scratch, "other", 512), true);
    disk_identity(disk, again);
    assert_memory_not_equal(identity, again, sizeof identity);
    disk_close(disk);
}

/* Opens the image in another process: the result of disk_open(). */
static int open_elsewhere(const char *path, bool read_only)
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        struct disk *disk;

        _exit(-disk_open(&disk, &(struct disk_options){path, read_only}, NULL));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return -WEXITSTATUS(status);
}

static void a_writer_is_alone_and_readers_share(void **state)
{
    struct fixture *f = *state;
    const char *path = scratch_file(&f->scratch, "image", 512);
    struct disk *disk = opened(f, path, false);

    assert_int_equal(open_elsewhere(path, false), -EBUSY);
    assert_int_equal(open_elsewhere(path, true), -EBUSY);
    refused(f, path, false, -EBUSY, "in use by another process"); /* not even we ourselves */
    disk_close(disk);

    disk = opened(f, path, true);
    assert_int_equal(open_elsewhere(path, false), -EBUSY);
    assert_int_equal(open_elsewhere(path, true), 0);
    disk_close(opened(f, path, true));
    disk_close(disk);
    assert_int_equal(open_elsewhere(path, false), 0); /* and its end freed the image */
    disk_close(opened(f, path, false));
}

/* --- requests --- */

static int last_result;
static unsigned results;

static void keep_result(struct disk_request *request, int result)
{
    (void)request;
    last_result = result;
    results++;
}

/* Submits and returns the result; exactly one must come. */
static int run(struct disk *disk, struct disk_request request)
{
    request.done = keep_result;
    results = 0;
    disk_submit(disk, &request);
    disk_commit(disk);
    disk_drain(disk);
    assert_int_equal(results, 1);
    return last_result;
}

static int transfer(struct disk *disk, enum disk_operation operation, uint64_t offset,
                    const struct iovec *iov, unsigned count)
{
    struct disk_request request = {.operation = operation, .offset = offset, .iov = iov,
                                   .iov_count = count};

    for (unsigned i = 0; i < count; i++)
        request.length += iov[i].iov_len;
    return run(disk, request);
}

static int transfer_bytes(struct disk *disk, enum disk_operation operation, uint64_t offset,
                          void *bytes, size_t size)
{
    return transfer(disk, operation, offset, &(struct iovec){bytes, size}, 1);
}

static int range(struct disk *disk, enum disk_operation operation, uint64_t offset,
                 uint64_t length, bool unmap)
{
    return run(disk, (struct disk_request){.operation = operation, .offset = offset,
                                           .length = length, .unmap = unmap});
}

/* More pieces than one system call takes, of unequal size. */
static void long_list(struct fixture *f)
{
    struct disk *disk = opened(f, scratch_file(&f->scratch, "image", MIB), false);
    enum { PIECES = 500 };
    static uint8_t out[PIECES * 300], in[PIECES * 300];
    struct iovec list[PIECES];
    size_t at = 0;

    for (size_t i = 0; i < sizeof out; i++)
        out[i] = (uint8_t)(i * 31 + i / 251);
    for (unsigned i = 0; i < PIECES; i++) {
        size_t size = i % 7 == 0 ? 0 : 1 + i % 299;

        list[i] = (struct iovec){out + at, size};
        at += size;
    }
    assert_int_equal(transfer(disk, DISK_WRITE, 512, list, PIECES), 0);
    assert_int_equal(transfer_bytes(disk, DISK_READ, 512, in, at), 0);
    assert_memory_equal(in, out, at);
    memset(in, 0, sizeof in);
    for (unsigned i = 0; i < PIECES; i++)
        list[i].iov_base = in + ((uint8_t *)list[i].iov_base - out);
    assert_int_equal(transfer(disk, DISK_READ, 512, list, PIECES), 0);
    assert_memory_equal(in, out, at);
    assert_int_equal(run(disk, (struct disk_request){.operation = DISK_FLUSH}), 0);
    disk_close(disk);
}

static void long_lists_keep_their_order(void **state)
{
    long_list(*state);
}

/* Nothing is lost, nothing done twice, wherever the host stops in the list. */
static void short_transfers_go_on_where_they_ended(void **state)
{
    static const size_t limits[] = {1000, 511, 37};

    for (unsigned i = 0; i < 3; i++) {
        transfer_limit = limits[i];
        long_list(*state);
    }
    transfer_limit = 0;
}

static void nothing_passes_the_end(void **state)
{
    struct fixture *f = *state;
    struct disk *disk = opened(f, scratch_file(&f->scratch, "image", 4096), false);
    struct stat status;
    char bytes[1024] = {0};

    assert_int_equal(transfer_bytes(disk, DISK_WRITE, 4096, bytes, 512), -EINVAL);
    assert_int_equal(transfer_bytes(disk, DISK_WRITE, 3584, bytes, 1024), -EINVAL);
    assert_int_equal(transfer_bytes(disk, DISK_READ, ~0ull - 511, bytes, 512), -EINVAL);
    assert_int_equal(range(disk, DISK_DISCARD, 512, ~0ull - 511, false), -EINVAL);
    assert_int_equal(range(disk, DISK_WRITE_ZEROES, 4096, 1, false), -EINVAL);
    assert_int_equal(stat(f->scratch.path, &status), 0);
    assert_int_equal(status.st_size, 4096);
    disk_close(disk);
}

static void read_only_disks_stay_as_they_are(void **state)
{
    struct fixture *f = *state;
    struct disk *disk = opened(f, scratch_file(&f->scratch, "image", 4096), true);
    char bytes[512] = {1};

    assert_int_equal(transfer_bytes(disk, DISK_WRITE, 0, bytes, 512), -EROFS);
    assert_int_equal(range(disk, DISK_DISCARD, 0, 512, false), -EROFS);
    assert_int_equal(range(disk, DISK_WRITE_ZEROES, 0, 512, true), -EROFS);
    assert_int_equal(transfer_bytes(disk, DISK_READ, 0, bytes, 512), 0);
    assert_int_equal(bytes[0], 0);
    assert_int_equal(run(disk, (struct disk_request){.operation = DISK_FLUSH}), 0);
    disk_close(disk);
}

static void a_shrunken_image_is_an_error_not_a_loop(void **state)
{
    struct fixture *f = *state;
    struct disk *disk = opened(f, scratch_file(&f->scratch, "image", 8192), false);
    char bytes[8192];

    assert_int_equal(truncate(f->scratch.path, 1024), 0);
    assert_int_equal(transfer_bytes(disk, DISK_READ, 0, bytes, sizeof bytes), -EIO);
    disk_close(disk);
}

static uint64_t blocks(struct fixture *f)
{
    struct stat status;

    assert_int_equal(stat(f->scratch.path, &status), 0);
    return (uint64_t)status.st_blocks * 512;
}

static void fill(struct disk *disk, uint8_t value)
{
    static uint8_t bytes[MIB];

    memset(bytes, value, sizeof bytes);
    assert_int_equal(transfer_bytes(disk, DISK_WRITE, 0, bytes, sizeof bytes), 0);
    assert_int_equal(run(disk, (struct disk_request){.operation = DISK_FLUSH}), 0);
}

/* Bytes [0, MIB) are `value`, but [from, to) are zeros. */
static void expect_zeros(struct disk *disk, uint8_t value, size_t from, size_t to)
{
    static uint8_t bytes[MIB];

    assert_int_equal(transfer_bytes(disk, DISK_READ, 0, bytes, sizeof bytes), 0);
    for (size_t i = 0; i < sizeof bytes; i++)
        if (bytes[i] != (i >= from && i < to ? 0 : value))
            fail_msg("byte %zu is %u", i, bytes[i]);
}

static void discard_gives_space_back(void **state)
{
    struct fixture *f = *state;
    struct disk *disk = opened(f, scratch_file(&f->scratch, "image", MIB), false);
    uint64_t before;

    fill(disk, 0xa5);
    before = blocks(f);
    assert_true(before >= MIB);
    assert_int_equal(range(disk, DISK_DISCARD, MIB / 4, MIB / 2, false), 0);
    assert_true(blocks(f) <= before - MIB / 2 + 65536);
    expect_zeros(disk, 0xa5, MIB / 4, MIB / 4 * 3);
    assert_int_equal(range(disk, DISK_DISCARD, 0, 0, false), 0);
    disk_close(disk);
}

static void write_zeroes_keeps_or_gives_back(void **state)
{
    struct fixture *f = *state;
    struct disk *disk = opened(f, scratch_file(&f->scratch, "image", MIB), false);
    uint64_t before;

    fill(disk, 0x5a);
    before = blocks(f);
    /* Not aligned to any block of the host's. */
    assert_int_equal(range(disk, DISK_WRITE_ZEROES, 512, MIB / 2 + 1024, false), 0);
    expect_zeros(disk, 0x5a, 512, MIB / 2 + 1536);
    assert_true(blocks(f) >= before - 65536);
    assert_int_equal(range(disk, DISK_WRITE_ZEROES, 512, MIB / 2 + 1024, true), 0);
    expect_zeros(disk, 0x5a, 512, MIB / 2 + 1536);
    assert_true(blocks(f) <= before - MIB / 2 + 65536);
    disk_close(disk);
}

/* A limit on file sizes in the middle of a write: part of it is written, then the host refuses. */
static void a_refused_write_is_an_error(void **state)
{
    struct fixture *f = *state;
    struct disk *disk = opened(f, scratch_file(&f->scratch, "image", MIB), false);
    struct rlimit old, small;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    static uint8_t bytes[65536], zeros[4096];
    int rc;

    fill(disk, 0x11);
    memset(bytes, 0x22, sizeof bytes);
    getrlimit(RLIMIT_FSIZE, &old);
    small = (struct rlimit){MIB / 2 + 4096, old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    rc = transfer_bytes(disk, DISK_WRITE, MIB / 2, bytes, sizeof bytes);
    setrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, handler);
    assert_int_equal(rc, -EFBIG);
    assert_int_equal(transfer_bytes(disk, DISK_READ, MIB / 2 + 4096, zeros, sizeof zeros), 0);
    assert_int_equal(zeros[0], 0x11);
    disk_close(disk);
}

/* In the child of a_full_host_is_an_error(): 0, or which step went wrong; 77: cannot be tried. */
static int write_to_full_host(const char *folder)
{
    static uint8_t bytes[MIB];
    struct disk *disk;
    char path[128];
    int fd;

    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tmpfs", folder, "tmpfs", 0, "size=256k") < 0)
        return 77;
    snprintf(path, sizeof path, "%s/image", folder);
    fd = open(path, O_RDWR | O_CREAT, 0600);
    if (fd < 0 || ftruncate(fd, sizeof bytes) < 0)
        return 1;
    close(fd);
    if (disk_open(&disk, &(struct disk_options){path, false}, NULL))
        return 2;
    if (transfer_bytes(disk, DISK_WRITE, 0, bytes, sizeof bytes) != -ENOSPC)
        return 3;
    /* Space comes back, and with it the disk. tmpfs has no ZERO_RANGE: zeros go as data. */
    if (range(disk, DISK_DISCARD, 0, sizeof bytes, false) != 0)
        return 4;
    memset(bytes, 7, sizeof bytes);
    if (transfer_bytes(disk, DISK_WRITE, 0, bytes, 131072) != 0)
        return 5;
    if (range(disk, DISK_WRITE_ZEROES, 512, 100 * 1024, false) != 0)
        return 6;
    if (transfer_bytes(disk, DISK_READ, 0, bytes, 131072) != 0)
        return 7;
    if (bytes[511] != 7 || bytes[512] != 0 || bytes[100 * 1024 + 511] != 0 ||
        bytes[100 * 1024 + 512] != 7)
        return 8;
    disk_close(disk);
    return 0;
}

static void a_full_host_is_an_error(void **state)
{
    struct fixture *f = *state;
    pid_t child = fork();
    int status;

    if (child == 0)
        _exit(write_to_full_host(f->scratch.folder));
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        print_message("needs CAP_SYS_ADMIN, to mount a small tmpfs\n");
        skip();
    }
    assert_int_equal(status, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_cannot_be_a_disk_is_refused),
        TEST(read_only_on_the_host_asks_for_ro),
        TEST(a_disk_is_what_its_file_is),
        TEST(a_writer_is_alone_and_readers_share),
        TEST(long_lists_keep_their_order),
        TEST(short_transfers_go_on_where_they_ended),
        TEST(nothing_passes_the_end),
        TEST(read_only_disks_stay_as_they_are),
        TEST(a_shrunken_image_is_an_error_not_a_loop),
        TEST(discard_gives_space_back),
        TEST(write_zeroes_keeps_or_gives_back),
        TEST(a_refused_write_is_an_error),
        TEST(a_full_host_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
