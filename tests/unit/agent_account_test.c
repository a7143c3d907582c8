/* SPDX-License-Identifier: Apache-2.0 */
/* Users and groups by the files of a root of the test's own, which is entered for the whole program. */
#include "agent/account.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\n"
                             "no colons here\n"
                             "alice:x:1000:100:Alice,,,:/home/alice:/bin/sh\n"
                             "777:x:5:6::/digits:\n";
static const char group[] = "root:x:0:\n"
                            "audio:x:29:bob,alice\n"
                            "users:x:100:\n"
                            "video:x:44:alice\n";

struct outside {
    char folder[64];
    int root;
};

static int write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");

    if (!file)
        return -1;
    fputs(text, file);
    return fclose(file);
}

static int enter_root(void **state)
{
    struct outside *outside = calloc(1, sizeof *outside);

    *state = outside;
    snprintf(outside->folder, sizeof outside->folder, "/tmp/husk-account-XXXXXX");
    outside->root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (!mkdtemp(outside->folder) || (geteuid() != 0 && unshare(CLONE_NEWUSER) < 0) ||
        chroot(outside->folder) < 0 || chdir("/") < 0 || mkdir("/etc", 0700) < 0)
        return -1;
    return write_file("/etc/passwd", passwd) || write_file("/etc/group", group);
}

static int leave_root(void **state)
{
    struct outside *outside = *state;

    unlink("/etc/passwd");
    unlink("/etc/group");
    rmdir("/etc");
    if (fchdir(outside->root) < 0 || chroot(".") < 0 || rmdir(outside->folder) < 0)
        return -1;
    close(outside->root);
    free(outside);
    return 0;
}

static void check(const char *text, uid_t uid, gid_t gid, const char *name, const char *home)
{
    struct account account;

    assert_int_equal(account_find(&account, text), 0);
    assert_int_equal(account.uid, uid);
    assert_int_equal(account.gid, gid);
    assert_string_equal(account.name, name);
    assert_string_equal(account.home, home);
}

static void users_by_name_and_number(void **state)
{
    (void)state;
    check(NULL, 0, 0, "root", "/root");
    check("0", 0, 0, "root", "/root");
    check("alice", 1000, 100, "alice", "/home/alice");
    check("1000", 1000, 100, "alice", "/home/alice");
}

static void a_number_need_not_be_in_the_files(void **state)
{
    (void)state;
    check("4242", 4242, 0, "", "/");
    check("4242:4343", 4242, 4343, "", "/");
    check("777", 777, 0, "", "/"); /* a number, though somebody is called so */
}

static void a_group_that_is_asked_for_replaces_the_users(void **state)
{
    (void)state;
    check("alice:audio", 1000, 29, "alice", "/home/alice");
    check("alice:0", 1000, 0, "alice", "/home/alice");
}

static void groups_that_list_the_user(void **state)
{
    struct account account;

    (void)state;
    assert_int_equal(account_find(&account, "alice"), 0);
    assert_int_equal(account.group_count, 2);
    assert_int_equal(account.groups[0], 29);
    assert_int_equal(account.groups[1], 44);
    assert_int_equal(account_find(&account, "root"), 0);
    assert_int_equal(account.group_count, 0);
}

static void names_that_nobody_has(void **state)
{
    static const char *const texts[] = {
        "", ":", "bob", "alice:", "alice:nobody", "-1", "1x", " 1", "4294967295", "4294967296",
        "99999999999999999999", "0:-1",
        "a-name-that-is-longer-than-any-system-would-take-for-a-user-of-it",
    };
    struct account account;

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (account_find(&account, texts[i]) != -ENOENT)
            fail_msg("\"%s\" was found", texts[i]);
}

/* More groups than there is room for are left out. */
static void bounds_the_groups(void **state)
{
    FILE *file = fopen("/etc/group", "we");
    struct account account;

    (void)state;
    assert_non_null(file);
    for (unsigned i = 1; i <= 2 * ACCOUNT_GROUPS_MAX; i++)
        fprintf(file, "group%u:x:%u:alice\n", i, i);
    fclose(file);
    assert_int_equal(account_find(&account, "alice"), 0);
    assert_int_equal(account.group_count, ACCOUNT_GROUPS_MAX);
    assert_int_equal(account.groups[ACCOUNT_GROUPS_MAX - 1], ACCOUNT_GROUPS_MAX);
}

/* Roots of few files have neither of the two. */
static void a_root_without_files(void **state)
{
    struct account account;

    (void)state;
    unlink("/etc/passwd");
    unlink("/etc/group");
    check(NULL, 0, 0, "", "/");
    check("5:6", 5, 6, "", "/");
    assert_int_equal(account_find(&account, "alice"), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(users_by_name_and_number),
        cmocka_unit_test(a_number_need_not_be_in_the_files),
        cmocka_unit_test(a_group_that_is_asked_for_replaces_the_users),
        cmocka_unit_test(groups_that_list_the_user),
        cmocka_unit_test(names_that_nobody_has),
        cmocka_unit_test(bounds_the_groups),
        cmocka_unit_test(a_root_without_files),
    };

    return cmocka_run_group_tests(tests, enter_root, leave_root);
}
