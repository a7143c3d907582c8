/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How virtiofsd is started and ended: with scripts in its place, which tell what they were given,
 * and, where it is installed and this host lets us, with virtiofsd itself.
 */
#include "devices/fs/share.h"
#include "support/failure.h"
#include "support/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define VIRTIOFSD "/usr/lib/qemu/virtiofsd"

static struct guest_memory memory;

static int open_memory(void **state)
{
    const struct memory_range range = {gpa(0), 1u << 20};

    (void)state;
    return memory_create_shared(&memory, &range, 1, NULL);
}

static int close_memory(void **state)
{
    (void)state;
    memory_destroy(&memory);
    return 0;
}

/* Starts it, waits until it is ready, and ends it. */
static int try(const struct share_options *options, struct err *err)
{
    struct share *share = NULL;
    int rc = share_start(&share, options, &memory, err);

    rc = rc ?: share_await(share, err);
    share_close(share);
    return rc;
}

static void write_program(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    fprintf(file, "#!/bin/sh\n%s\n", text);
    fclose(file);
    chmod(path, 0700);
}

/* What a program that is this script makes of it, by its last words. */
static int try_program(const char *script, struct share_options options, struct err *err)
{
    struct scratch scratch;
    char program[128];
    int rc;

    scratch_open(&scratch);
    snprintf(program, sizeof program, "%s", scratch_file(&scratch, "program", 0));
    write_program(program, script);
    scratch_file(&scratch, "seen", 0);
    options.program = program;
    options.path = options.path ?: scratch.folder;
    rc = try(&options, err);
    scratch_close(&scratch);
    return rc;
}

static bool may_mount(void)
{
    int fd = open_tree(AT_FDCWD, "/", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static void says_what_is_wrong_with_the_path(void **state)
{
    struct share_options options = {.path = "/nonexistent"};
    struct scratch scratch;
    struct err err = {0};

    (void)state;
    assert_failure(try(&options, &err), -ENOENT, &err, "cannot be shared");
    scratch_open(&scratch);
    options.path = scratch_file(&scratch, "file", 0);
    assert_failure(try(&options, &err), -ENOTDIR, &err, "is no directory; give one");
    options.path = "/";
    options.program = "/nonexistent/virtiofsd";
    assert_failure(try(&options, &err), -ENOENT, &err, "cannot run \"/nonexistent/virtiofsd\"");
    scratch_close(&scratch);
}

static void tells_its_last_words(void **state)
{
    struct err err = {0};

    (void)state;
    assert_failure(try_program("echo first >&2; echo 'no; not here' >&2; exit 1",
                               (struct share_options){0}, &err),
                   -ECONNRESET, &err, "it ended, saying: no; not here; see that it can run");
    assert_failure(try_program("exit 0", (struct share_options){0}, &err), -ECONNRESET, &err,
                   "it ended; see that it can run");
}

static void gives_it_what_it_needs_and_nothing_else(void **state)
{
    int leaky = fcntl(STDERR_FILENO, F_DUPFD, 77); /* not closed by exec */
    struct err err = {0};

    (void)state;
    assert_int_equal(setenv("HUSK_TEST_SECRET", "x", 1), 0);
    assert_failure(try_program("echo $* >&2", (struct share_options){0}, &err), -ECONNRESET, &err,
                   may_mount() ? "saying: -f --fd=3 -o source=/proc/driver,sandbox=chroot,"
                                 "cache=auto,xattr,announce_submounts;"
                               : ",sandbox=namespace,cache=auto,xattr,announce_submounts;");
    assert_failure(try_program("echo /proc/self/fd/* $HUSK_TEST_SECRET. >&2",
                               (struct share_options){0}, &err),
                   -ECONNRESET, &err, "saying: /proc/self/fd/0 /proc/self/fd/1 ");
    assert_non_null(strstr(err.message, "/fd/3 ")); /* and what the shell has opened */
    assert_null(strstr(err.message, "77"));
    assert_null(strstr(err.message, "x."));
    unsetenv("HUSK_TEST_SECRET");
    close(leaky);
}

/* A directory that is shared read-only, or without what is mounted in it, is so for virtiofsd. */
static void the_host_sees_to_it(void **state)
{
    struct share_options options = {.read_only = true};
    struct err err = {0};

    (void)state;
    if (!may_mount()) {
        assert_failure(try_program("exit 1", options, &err), -EPERM, &err,
                       "only root share a directory read-only");
        skip();
    }
    assert_failure(try_program("cd /proc/driver; [ -e seen ] || exit; touch new 2>&1 | "
                               "sed 's/.*: //' >&2", options, &err),
                   -ECONNRESET, &err, "Read-only file system");
    options.read_only = false;
    assert_failure(try_program("touch /proc/driver/seen && echo written >&2", options, &err),
                   -ECONNRESET, &err, "saying: written");
    options = (struct share_options){.path = "/"};
    assert_failure(try_program("[ -e /proc/driver/proc/version ] && echo seen >&2", options, &err),
                   -ECONNRESET, &err, "saying: seen");
    options.one_file_system = true;
    assert_failure(try_program("[ -e /proc/driver/proc/version ] || echo hidden >&2", options, &err),
                   -ECONNRESET, &err, "saying: hidden");
}

/* Ours is as it was: what is mounted for virtiofsd is seen by it alone. */
static void nothing_is_mounted_here(void **state)
{
    FILE *mounts = fopen("/proc/self/mounts", "re");
    struct err err = {0};
    char line[1024];

    (void)state;
    try_program("exit 0", (struct share_options){0}, &err);
    assert_non_null(mounts);
    while (fgets(line, sizeof line, mounts))
        assert_null(strstr(line, "/proc/driver"));
    fclose(mounts);
}

static void starts_virtiofsd_itself(void **state)
{
    struct share_options options = {.path = "/", .read_only = true, .program = VIRTIOFSD};
    struct err err = {0};

    (void)state;
    if (access(VIRTIOFSD, X_OK) < 0 || !may_mount())
        skip();
    if (try(&options, &err))
        fail_msg("%s", err.message);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_what_is_wrong_with_the_path),
        cmocka_unit_test(tells_its_last_words),
        cmocka_unit_test(gives_it_what_it_needs_and_nothing_else),
        cmocka_unit_test(the_host_sees_to_it),
        cmocka_unit_test(nothing_is_mounted_here),
        cmocka_unit_test(starts_virtiofsd_itself),
    };

    return cmocka_run_group_tests(tests, open_memory, close_memory);
}
