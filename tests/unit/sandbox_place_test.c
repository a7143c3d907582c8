/* SPDX-License-Identifier: Apache-2.0 */
/* Folders of sandboxes, whose processes come, are killed, and look at each other. */
#include "sandbox/place.h"
#include "support/failure.h"
#include "support/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static struct husk_err err;

static int open_runtime(void **state)
{
    struct scratch *scratch = calloc(1, sizeof *scratch);

    scratch_open(scratch);
    setenv("XDG_RUNTIME_DIR", scratch->folder, 1);
    *state = scratch;
    return 0;
}

static int close_runtime(void **state)
{
    struct scratch *scratch = *state;
    char path[128];

    snprintf(path, sizeof path, "%s/husk/.lock", scratch->folder);
    unlink(path);
    snprintf(path, sizeof path, "%s/husk", scratch->folder);
    rmdir(path);
    scratch_close(scratch);
    assert_int_equal(access(scratch->folder, F_OK), -1); /* nothing is left behind */
    free(scratch);
    return 0;
}

static void make_file(const struct place *place, const char *leaf)
{
    char path[PLACE_FOLDER_MAX + 32];
    int fd;

    place_path(place, leaf, path);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
}

static void make_socket(const struct place *place)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char path[PLACE_FOLDER_MAX + 32];
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    place_path(place, "vsock_1024", path);
    assert_true(strlen(path) < sizeof address.sun_path);
    memcpy(address.sun_path, path, strlen(path));
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    close(fd);
}

static bool has(const struct place *place, const char *leaf)
{
    char path[PLACE_FOLDER_MAX + 32];

    place_path(place, leaf, path);
    return access(path, F_OK) == 0;
}

static void count(void *context, const struct place *place)
{
    (void)place;
    ++*(unsigned *)context;
}

static unsigned count_all(void)
{
    unsigned all = 0;

    assert_int_equal(place_each(count, &all, &err), 0);
    return all;
}

static void is_made_found_and_removed(void **state)
{
    struct place place, other, found;

    (void)state;
    assert_int_equal(place_create(&place, "mine", &err), 0);
    assert_failure(place_create(&other, "mine", &err), -EEXIST, &err, "there is a sandbox");
    assert_int_equal(place_create(&other, NULL, &err), 0);
    assert_int_equal(strlen(other.name), 8);
    assert_int_equal(place_find(&found, "mine", &err), 0);
    assert_string_equal(found.folder, place.folder);
    assert_true(place_is_held(&found));
    assert_int_equal(count_all(), 2);
    assert_failure(place_remove("mine", &err), -EBUSY, &err, "husk stop mine");
    place_close(&other, false);
    place_close(&other, false);
    place_close(&place, false);
    assert_failure(place_find(&found, "mine", &err), -ENOENT, &err, "no sandbox");
    assert_failure(place_remove("mine", &err), -ENOENT, &err, "no sandbox");
    assert_int_equal(count_all(), 0);
}

static void bad_names_are_refused(void **state)
{
    static const char *const names[] = {"", ".", "..", "a/b", "../x", ".lock", "a b", "a\n", "\x80",
                                        "123456789012345678901234567890123"};
    struct place place;

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_failure(place_create(&place, names[i], &err), -EINVAL, &err, "no name");
        assert_failure(place_find(&place, names[i], &err), -ENOENT, &err, "no sandbox");
        assert_failure(place_remove(names[i], &err), -ENOENT, &err, "no sandbox");
    }
}

static void info_is_read_as_written(void **state)
{
    struct place_info info = {.pid = 5, .started = 1234567890123, .ready = true, .keep = true,
                              .status = -1};
    struct place_info read_back;
    struct place place;

    (void)state;
    memset(info.command, 'x', sizeof info.command - 1);
    assert_int_equal(place_create(&place, NULL, &err), 0);
    assert_int_equal(place_read_info(&place, &read_back), -ENOENT);
    assert_int_equal(place_write_info(&place, &info, &err), 0);
    assert_int_equal(place_read_info(&place, &read_back), 0);
    assert_int_equal(read_back.pid, 5);
    assert_true(read_back.started == info.started);
    assert_true(read_back.ready && read_back.keep && !read_back.exited && !read_back.dedicated);
    assert_int_equal(read_back.status, -1);
    assert_string_equal(read_back.command, info.command);
    place_close(&place, false);
}

/* A child that holds one, and is killed. */
static void kill_one(const char *name, bool keep)
{
    struct place_info info = {.pid = 1, .keep = keep, .status = -1};
    struct place place;
    int ends[2];
    pid_t child;
    char byte;

    assert_int_equal(pipe(ends), 0);
    child = fork();
    if (child == 0) {
        if (place_create(&place, name, NULL) || place_write_info(&place, &info, NULL))
            _exit(1);
        make_socket(&place);
        make_file(&place, "stdout");
        if (write(ends[1], "r", 1) == 1)
            pause();
        _exit(1);
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    close(ends[0]);
    assert_int_equal(place_find(&place, name, &err), 0);
    assert_true(place_is_held(&place));
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_false(place_is_held(&place));
}

static void what_the_dead_leave_is_removed(void **state)
{
    struct place place;

    (void)state;
    kill_one("lost", false);
    kill_one("kept", true);
    assert_int_equal(count_all(), 1);
    assert_int_equal(place_find(&place, "kept", &err), 0);
    assert_true(has(&place, "stdout"));
    assert_true(has(&place, "info"));
    assert_false(has(&place, "vsock_1024"));
    assert_failure(place_create(&place, "kept", &err), -EEXIST, &err, "husk rm kept");
    assert_int_equal(place_remove("kept", &err), 0);
    assert_int_equal(count_all(), 0);
}

static void what_is_kept_loses_its_sockets(void **state)
{
    const struct place_info info = {.keep = true, .exited = true, .status = 3};
    struct place_info read_back;
    struct place place;

    (void)state;
    assert_int_equal(place_create(&place, "kept", &err), 0);
    make_socket(&place);
    assert_int_equal(place_write_info(&place, &info, &err), 0);
    place_close(&place, true);
    assert_int_equal(count_all(), 1);
    assert_int_equal(place_find(&place, "kept", &err), 0);
    assert_false(has(&place, "vsock_1024"));
    assert_int_equal(place_read_info(&place, &read_back), 0);
    assert_int_equal(read_back.status, 3);
    assert_int_equal(place_remove("kept", &err), 0);
}

/* Not to know whether it lives is no reason to remove it. */
static void remove_it(void *context, const struct place *place)
{
    ++*(unsigned *)context;
    assert_int_equal(place_remove(place->name, &err), 0);
}

static void what_is_listed_may_be_removed(void **state)
{
    unsigned removed = 0;

    (void)state;
    kill_one("one", true);
    kill_one("two", true);
    alarm(60); /* and not wait for itself */
    assert_int_equal(place_each(remove_it, &removed, &err), 0);
    alarm(0);
    assert_int_equal(removed, 2);
    assert_int_equal(count_all(), 0);
}

static void a_lack_of_descriptors_removes_nothing(void **state)
{
    struct rlimit limit, before;
    struct place place;
    int next;

    (void)state;
    assert_int_equal(place_create(&place, "mine", &err), 0);
    make_file(&place, "stdout");
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    next = dup(0);
    close(next);
    limit = before;
    limit.rlim_cur = (rlim_t)next + 1; /* for the base's lock alone */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_failure(place_remove("mine", &err), -EMFILE, &err, "cannot lock");
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_true(has(&place, "stdout"));
    place_close(&place, false);
}

static void a_base_that_others_can_write_is_refused(void **state)
{
    struct scratch *scratch = *state;
    struct place place;
    char path[128];

    snprintf(path, sizeof path, "%s/husk", scratch->folder);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(chmod(path, 0770), 0);
    assert_failure(place_create(&place, NULL, &err), -EPERM, &err, "not a folder of this user");
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(symlink("/tmp", path), 0);
    assert_failure(place_create(&place, NULL, &err), -EPERM, &err, "not a folder of this user");
    assert_int_equal(unlink(path), 0);
    if (geteuid() == 0) {
        assert_int_equal(mkdir(path, 0700), 0);
        assert_int_equal(chown(path, 1234, 1234), 0);
        assert_failure(place_create(&place, NULL, &err), -EPERM, &err, "not a folder of this user");
    }
    setenv("XDG_RUNTIME_DIR", "/tmp/0123456789012345678901234567890123456789012345678901234567890",
           1);
    assert_failure(place_create(&place, NULL, &err), -ENAMETOOLONG, &err, "too long");
    setenv("XDG_RUNTIME_DIR", scratch->folder, 1);
}

/* Children that make, look and close; each finds what it has made, as long as it has it. */
static int live_with_others(void)
{
    for (int i = 0; i < 40; i++) {
        struct place place, found;
        unsigned all = 0;

        if (place_create(&place, i % 4 ? NULL : "same", NULL)) {
            if (i % 4)
                return 1;
            continue;
        }
        make_file(&place, "stdout");
        if (place_each(count, &all, NULL) || all == 0)
            return 2;
        if (place_find(&found, place.name, NULL) || !place_is_held(&found) ||
            !has(&place, "stdout"))
            return 3;
        place_close(&place, false);
    }
    return 0;
}

static void many_at_once_do_not_meet(void **state)
{
    pid_t children[6];
    int status;

    (void)state;
    for (size_t i = 0; i < 6; i++) {
        children[i] = fork();
        if (children[i] == 0)
            _exit(live_with_others());
    }
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    assert_int_equal(count_all(), 0);
}

int main(void)
{
#define IN_RUNTIME(test) cmocka_unit_test_setup_teardown(test, open_runtime, close_runtime)
    const struct CMUnitTest tests[] = {
        IN_RUNTIME(is_made_found_and_removed),
        IN_RUNTIME(bad_names_are_refused),
        IN_RUNTIME(info_is_read_as_written),
        IN_RUNTIME(what_the_dead_leave_is_removed),
        IN_RUNTIME(what_is_kept_loses_its_sockets),
        IN_RUNTIME(what_is_listed_may_be_removed),
        IN_RUNTIME(a_lack_of_descriptors_removes_nothing),
        IN_RUNTIME(a_base_that_others_can_write_is_refused),
        IN_RUNTIME(many_at_once_do_not_meet),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
