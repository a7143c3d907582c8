/* SPDX-License-Identifier: Apache-2.0 */
/* Raw disks on real files: what is refused, who may share, what a disk knows of its image. */
#include "devices/disk/disk.h"
#include "support/failure.h"
#include "support/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

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

static int open_disk(struct disk **disk, const char *path, bool read_only, struct err *err)
{
    *disk = NULL;
    return disk_open(disk, &(struct disk_options){.path = path, .read_only = read_only}, err);
}

static struct disk *opened(struct fixture *f, const char *path, bool read_only)
{
    struct disk *disk;

    if (open_disk(&disk, path, read_only, &f->err))
        fail_msg("%s", f->err.message);
    return disk;
}

static void refused(struct fixture *f, const char *path, bool read_only, int code,
                    const char *advice)
{
    struct disk *disk;

    assert_int_equal(open_disk(&disk, path, read_only, &f->err), code);
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

        _exit(-open_disk(&disk, path, read_only, NULL));
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

/* --- what can change --- */

static void a_new_size_is_found_when_asked_for(void **state)
{
    struct fixture *f = *state;
    struct disk *disk = opened(f, scratch_file(&f->scratch, "image", 4096), false);

    assert_int_equal(truncate(f->scratch.path, 8192), 0);
    assert_int_equal(disk_size(disk), 4096);
    assert_int_equal(disk_refresh(disk, &f->err), 0);
    assert_int_equal(disk_size(disk), 8192);
    assert_int_equal(truncate(f->scratch.path, 512), 0);
    assert_int_equal(disk_refresh(disk, &f->err), 0);
    assert_int_equal(disk_size(disk), 512);
    assert_int_equal(truncate(f->scratch.path, 1000), 0);
    assert_failure(disk_refresh(disk, &f->err), -EINVAL, &f->err, "no multiple of 512");
    assert_int_equal(truncate(f->scratch.path, 0), 0);
    assert_failure(disk_refresh(disk, &f->err), -EINVAL, &f->err, "is empty");
    assert_int_equal(disk_size(disk), 512);
    disk_close(disk);
}

/* --- past the page cache --- */

static void direct_disks_have_the_hosts_block_size(void **state)
{
    struct fixture *f = *state;
    const struct disk_options options = {
        .path = scratch_file(&f->scratch, "image", 65536), .cache = DISK_CACHE_NONE};
    struct disk *disk = NULL;
    uint32_t block;

    if (disk_open(&disk, &options, &f->err)) {
        assert_non_null(strstr(f->err.message, "cache=none"));
        print_message("needs a filesystem with O_DIRECT in /tmp\n");
        skip();
    }
    block = disk_block_size(disk);
    assert_true(block >= 512 && block <= 4096 && (block & (block - 1)) == 0);
    assert_true(disk_topology(disk).physical_block >= 512);
    disk_close(disk);
}

static void no_direct_disk_where_there_is_no_o_direct(void **state)
{
    struct fixture *f = *state;
    struct disk_options options = {.cache = DISK_CACHE_NONE};
    struct disk *disk = NULL;
    int fd = memfd_create("image", MFD_CLOEXEC);
    char path[64];

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, 4096), 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    options.path = path;
    if (disk_open(&disk, &options, &f->err) == 0)
        disk_close(disk); /* since Linux 6.6, tmpfs takes O_DIRECT */
    else
        assert_failure(f->err.code, -EINVAL, &f->err, "leave cache=none out");
    close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_cannot_be_a_disk_is_refused),
        TEST(read_only_on_the_host_asks_for_ro),
        TEST(a_disk_is_what_its_file_is),
        TEST(a_writer_is_alone_and_readers_share),
        TEST(a_new_size_is_found_when_asked_for),
        TEST(direct_disks_have_the_hosts_block_size),
        TEST(no_direct_disk_where_there_is_no_o_direct),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
