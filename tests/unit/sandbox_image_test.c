/* SPDX-License-Identifier: Apache-2.0 */
/* Images: what is in one, and those that mkfs.ext4 makes. */
#include "sandbox/image.h"
#include "support/failure.h"
#include "support/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define MIB (UINT64_C(1) << 20)

static struct husk_err err;
static const struct image_patience patience = {.cancel_fd = -1, .timeout = 60000};

static void need_mkfs(void)
{
    if (access("/usr/sbin/mkfs.ext4", X_OK) < 0 && access("/sbin/mkfs.ext4", X_OK) < 0)
        skip();
}

static void knows_file_systems(void **state)
{
    static const struct {
        const char *type, *magic;
        off_t offset;
    } all[] = {{"ext4", "\x53\xef", 1080}, {"squashfs", "hsqs", 0}, {"xfs", "XFSB", 0},
               {"erofs", "\xe2\xe1\xf5\xe0", 1024}, {"btrfs", "_BHRfS_M", 65600}};
    struct scratch scratch;
    const char *type;

    (void)state;
    scratch_open(&scratch);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        size_t size = strlen(all[i].magic);
        int fd = open(scratch_file(&scratch, "image", 0), O_WRONLY | O_CLOEXEC);

        assert_int_equal(pwrite(fd, all[i].magic, size - 1, all[i].offset), size - 1);
        assert_failure(image_type(scratch.path, &type, &err), -EINVAL, &err, "neither a folder");
        assert_int_equal(pwrite(fd, all[i].magic, size, all[i].offset), size);
        assert_int_equal(image_type(scratch.path, &type, &err), 0);
        assert_string_equal(type, all[i].type);
        assert_int_equal(pwrite(fd, all[0].magic, 2, all[0].offset), 2); /* by chance */
        assert_int_equal(image_type(scratch.path, &type, &err), 0);
        assert_string_equal(type, all[i].type);
        close(fd);
    }
    assert_failure(image_type("/nonexistent\n", &type, &err), -ENOENT, &err, "/nonexistent?");
    assert_failure(image_type(scratch.folder, &type, &err), -EINVAL, &err, "neither a folder");
    assert_int_equal(unlink(scratch.path), 0);
    assert_int_equal(mkfifo(scratch.path, 0600), 0);
    alarm(60);
    assert_failure(image_type(scratch.path, &type, &err), -EINVAL, &err, "neither a folder");
    alarm(0);
    scratch_close(&scratch);
}

static void a_scratch_disk_has_no_name(void **state)
{
    struct stat status;
    int fd;

    (void)state;
    need_mkfs();
    assert_failure(image_scratch(16 * MIB - 1, &patience, &err), -EINVAL, &err, "at least 16M");
    fd = image_scratch(16 * MIB, &patience, &err);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &status), 0);
    assert_int_equal(status.st_nlink, 0);
    assert_int_equal(status.st_size, 16 * MIB);
    close(fd);
}

static void an_empty_disk_is_not_waited_for_for_ever(void **state)
{
    const struct image_patience canceled = {.cancel_fd = eventfd(1, EFD_CLOEXEC), .timeout = 60000};
    const struct image_patience none = {.cancel_fd = -1, .timeout = 0};

    (void)state;
    need_mkfs();
    assert_failure(image_scratch(16 * MIB, &canceled, &err), -ECANCELED, &err, "given up");
    assert_failure(image_scratch(16 * MIB, &none, &err), -ETIMEDOUT, &err, "longer than 0 s");
    close(canceled.cancel_fd);
}

static void a_process_without_sigchld_is_told_so(void **state)
{
    (void)state;
    need_mkfs();
    signal(SIGCHLD, SIG_IGN);
    assert_failure(image_scratch(16 * MIB, &patience, &err), -ECHILD, &err, "SIGCHLD");
    signal(SIGCHLD, SIG_DFL);
}

static void a_layer_stays_and_is_locked(void **state)
{
    struct scratch scratch;
    struct stat status;
    const char *type;
    char path[128];
    int fd;

    (void)state;
    need_mkfs();
    scratch_open(&scratch);
    snprintf(path, sizeof path, "%s/layer", scratch.folder);
    assert_failure(image_layer(path, MIB, &patience, &err), -EINVAL, &err, "too small");
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_size, 0); /* or it were taken for one that is made */
    fd = image_layer(path, 16 * MIB, &patience, &err);
    assert_true(fd >= 0);
    assert_int_equal(image_type(path, &type, &err), 0);
    assert_string_equal(type, "ext4");
    assert_failure(image_layer(path, 0, &patience, &err), -EBUSY, &err, "another sandbox");
    close(fd);
    fd = image_layer(path, 0, &patience, &err); /* is there, and is not made anew */
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &status), 0);
    assert_int_equal(status.st_size, 16 * MIB);
    close(fd);
    assert_failure(image_layer(scratch.folder, 0, &patience, &err), -EISDIR, &err, "cannot open");
    assert_failure(image_layer("/dev/null", 0, &patience, &err), -EINVAL, &err, "is no file");
    scratch_close(&scratch);
}

/* A file that cannot be as large as it is to be: mkfs.ext4 does not make it. */
static void a_layer_that_fails_is_empty_again(void **state)
{
    struct scratch scratch;
    struct stat status;
    char path[128];

    (void)state;
    need_mkfs();
    scratch_open(&scratch);
    snprintf(path, sizeof path, "%s/layer", scratch.folder);
    assert_true(image_layer(path, UINT64_C(1) << 62, &patience, &err) < 0);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_size, 0);
    scratch_close(&scratch);
}

/* A folder with a file, and a cache for its image. */
static void open_folder_and_cache(struct scratch *scratch, struct scratch *cache)
{
    need_mkfs();
    scratch_open(scratch);
    scratch_open(cache);
    setenv("XDG_CACHE_HOME", cache->folder, 1);
    scratch_file(scratch, "file", 100000);
}

static void close_folder_and_cache(struct scratch *scratch, const struct scratch *cache)
{
    char command[128];

    snprintf(command, sizeof command, "rm -r %.64s", cache->folder);
    assert_int_equal(system(command), 0);
    scratch_close(scratch);
}

static void a_folder_is_packed_once(void **state)
{
    struct scratch scratch, cache;
    char path[PATH_MAX], again[PATH_MAX];
    struct stat first, second;
    const char *type;
    int cancel = eventfd(1, EFD_CLOEXEC);

    (void)state;
    open_folder_and_cache(&scratch, &cache);
    assert_failure(image_pack(scratch.folder, NULL, cancel, path, &err), -ECANCELED, &err, "given up");
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(image_pack(scratch.folder, NULL, -1, path, &err), 0);
    assert_int_equal(image_type(path, &type, &err), 0);
    assert_string_equal(type, "ext4");
    assert_int_equal(stat(path, &first), 0);
    assert_int_equal(image_pack(scratch.folder, NULL, -1, again, &err), 0);
    assert_string_equal(path, again);
    assert_int_equal(stat(again, &second), 0);
    assert_int_equal(first.st_ino, second.st_ino);
    assert_int_equal(chmod(scratch.path, 0640), 0);
    assert_int_equal(image_pack(scratch.folder, NULL, -1, again, &err), 0);
    assert_string_not_equal(path, again);
    assert_failure(image_pack("/nonexistent", NULL, -1, path, &err), -ENOENT, &err, "cannot read");
    close(cancel);
    close_folder_and_cache(&scratch, &cache);
}

/* Where the image of a folder is; it is not there any more. */
static void find_image(const struct scratch *scratch, char path[PATH_MAX])
{
    assert_int_equal(image_pack(scratch->folder, NULL, -1, path, &err), 0);
    assert_int_equal(unlink(path), 0);
}

static int open_beside(const char *path, const char *suffix)
{
    char name[PATH_MAX + 8];
    int fd;

    snprintf(name, sizeof name, "%s%s", path, suffix);
    fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    return fd;
}

/* Who was killed may have left a builder, which goes on writing. */
static void a_killed_builder_spoils_nothing(void **state)
{
    static const char junk[4096];
    struct scratch scratch, cache;
    char path[PATH_MAX], other[PATH_MAX], command[128];
    const char *type;
    int fd;

    (void)state;
    open_folder_and_cache(&scratch, &cache);
    find_image(&scratch, path);
    fd = open_beside(path, ".new");
    snprintf(other, sizeof other, "%.*s/root-0.img", (int)(strrchr(path, '/') - path), path);
    close(open_beside(other, ".lock"));
    close(open_beside(other, ".new"));
    assert_int_equal(image_pack(scratch.folder, NULL, -1, path, &err), 0);
    assert_int_equal(pwrite(fd, junk, sizeof junk, 0), sizeof junk);
    assert_int_equal(image_type(path, &type, &err), 0);
    assert_string_equal(type, "ext4");
    snprintf(command, sizeof command, "! ls %.64s/husk | grep new", cache.folder);
    assert_int_equal(system(command), 0);
    close(fd);
    close_folder_and_cache(&scratch, &cache);
}

static void add_image(const struct scratch *cache, unsigned number, time_t used, char path[PATH_MAX])
{
    const struct timespec times[2] = {{.tv_sec = used}, {.tv_sec = used}};

    snprintf(path, PATH_MAX, "%s/husk/root-%u.img", cache->folder, number);
    close(open_beside(path, ""));
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

/* Beside nine, of which the last one is being made, one more is packed; which stay? */
static void expect_to_stay(time_t age, time_t step, const bool stays[9])
{
    char path[PATH_MAX], images[9][PATH_MAX];
    struct scratch scratch, cache;
    time_t now = time(NULL);
    int lock;

    open_folder_and_cache(&scratch, &cache);
    find_image(&scratch, path);
    for (unsigned i = 0; i < 9; i++)
        add_image(&cache, i, now - age - step * (time_t)i, images[i]);
    lock = open_beside(images[8], ".lock");
    assert_int_equal(flock(lock, LOCK_EX), 0);
    assert_int_equal(image_pack(scratch.folder, NULL, -1, path, &err), 0);
    assert_int_equal(access(path, R_OK), 0);
    for (unsigned i = 0; i < 9; i++)
        assert_int_equal(access(images[i], F_OK) == 0, stays[i]);
    close(lock);
    close_folder_and_cache(&scratch, &cache);
}

static void images_not_used_for_long_go(void **state)
{
    (void)state;
    expect_to_stay(7200, 60, (const bool[]){1, 1, 1, 1, 1, 1, 1, 0, 1});
    expect_to_stay(60, 60, (const bool[]){1, 1, 1, 1, 1, 1, 1, 1, 1});
}

static void waiting_for_another_builder_can_be_given_up(void **state)
{
    const struct itimerspec soon = {.it_value.tv_nsec = 100000000};
    int cancel = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC), lock;
    struct scratch scratch, cache;
    char path[PATH_MAX];

    (void)state;
    open_folder_and_cache(&scratch, &cache);
    find_image(&scratch, path);
    lock = open_beside(path, ".lock");
    assert_int_equal(flock(lock, LOCK_EX), 0);
    assert_int_equal(timerfd_settime(cancel, 0, &soon, NULL), 0);
    alarm(60);
    assert_failure(image_pack(scratch.folder, NULL, cancel, path, &err), -ECANCELED, &err, "given up");
    alarm(0);
    close(lock);
    close(cancel);
    close_folder_and_cache(&scratch, &cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knows_file_systems),
        cmocka_unit_test(a_scratch_disk_has_no_name),
        cmocka_unit_test(an_empty_disk_is_not_waited_for_for_ever),
        cmocka_unit_test(a_process_without_sigchld_is_told_so),
        cmocka_unit_test(a_layer_stays_and_is_locked),
        cmocka_unit_test(a_layer_that_fails_is_empty_again),
        cmocka_unit_test(a_folder_is_packed_once),
        cmocka_unit_test(a_killed_builder_spoils_nothing),
        cmocka_unit_test(images_not_used_for_long_go),
        cmocka_unit_test(waiting_for_another_builder_can_be_given_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
