/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/net/user/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RESOLV_CONF "/etc/resolv.conf"
#define NOBODY 65534u
#define MEMORY_MAX (1ull << 30)

/* --- files --- */

static bool write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    if (fd >= 0)
        close(fd);
    return written;
}

/* A mount namespace; who may not have one gets it in a user namespace, as the user it is. */
static bool enter_namespaces(void)
{
    unsigned user = geteuid(), group = getegid();
    char map[64];

    if (unshare(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS) == 0)
        return true;
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS) < 0)
        return false;
    snprintf(map, sizeof map, "%u %u 1\n", user, user);
    if (!write_text("/proc/self/setgroups", "deny") || !write_text("/proc/self/uid_map", map))
        return false;
    snprintf(map, sizeof map, "%u %u 1\n", group, group);
    return write_text("/proc/self/gid_map", map);
}

/* The one file there is. It is this file for good: one that replaces it later is not seen. */
static bool attach_resolv_conf(int tree)
{
    int fd = open("etc/resolv.conf", O_CREAT | O_WRONLY | O_CLOEXEC, 0444);

    if (fd < 0)
        return false;
    close(fd);
    return move_mount(tree, "", AT_FDCWD, "etc/resolv.conf", MOVE_MOUNT_F_EMPTY_PATH) == 0;
}

/* Mounted over /etc, where it can hide nothing that is still needed, then made the root. */
static bool make_root(int tree)
{
    static const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;

    if (mount("tmpfs", "/etc", "tmpfs", flags, "mode=0755,size=16k,nr_inodes=8") < 0 ||
        chdir("/etc") < 0 || mkdir("etc", 0755) < 0)
        return false;
    if (tree >= 0 && !attach_resolv_conf(tree))
        return false;
    if (mount(NULL, ".", NULL, flags | MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) < 0)
        return false;
    if (syscall(SYS_pivot_root, ".", ".") == 0)
        return umount2(".", MNT_DETACH) == 0 && chdir("/") == 0;
    return chroot(".") == 0; /* in an initramfs, whose root cannot be put away */
}

static bool replace_root(void)
{
    bool replaced;
    int tree;

    if (!enter_namespaces() || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return false;
    tree = open_tree(AT_FDCWD, RESOLV_CONF, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    replaced = make_root(tree);
    if (tree >= 0)
        close(tree);
    return replaced;
}

static bool allow_resolv_conf(int ruleset)
{
    struct landlock_path_beneath_attr rule = {
        .allowed_access = LANDLOCK_ACCESS_FS_READ_FILE,
        .parent_fd = open(RESOLV_CONF, O_PATH | O_CLOEXEC),
    };
    int rc;

    if (rule.parent_fd < 0)
        return true; /* there is none to be read */
    rc = (int)syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    close(rule.parent_fd);
    return rc == 0;
}

/* All that the first version of Landlock knows is handled, and so denied. */
static bool restrict_files(void)
{
    const struct landlock_ruleset_attr attributes = {
        .handled_access_fs = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1,
    };
    int ruleset =
        (int)syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0);
    bool restricted;

    if (ruleset < 0)
        return false;
    restricted = allow_resolv_conf(ruleset) &&
                 syscall(SYS_landlock_restrict_self, ruleset, 0) == 0;
    close(ruleset);
    return restricted;
}

/* --- user and capabilities --- */

/* Where only one user is mapped (a container of one's own) root is nobody special already. */
static void leave_root(void (*note)(const char *line))
{
    if (geteuid() != 0)
        return;
    if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
        setresuid(NOBODY, NOBODY, NOBODY) < 0)
        note("stays root, for there is no other user in this user namespace");
}

/*
 * The kernel signals the owner of a descriptor in the name of the user who has set the owner. That
 * may not be the one that this process is now, and then (but for the host's own root) may not.
 */
static void keep_signals_of(int fd)
{
    int owner = fcntl(fd, F_GETOWN);

    if (owner > 0)
        fcntl(fd, F_SETOWN, owner);
}

/* Those that a program could be given by its file; without privilege there are none to drop. */
static void bound_capabilities(void)
{
    for (unsigned long capability = 0; capability <= CAP_LAST_CAP; capability++)
        prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
}

static int drop_capabilities(struct err *err)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};

    if (syscall(SYS_capset, &header, none) < 0)
        return err_sys(err, -errno, "cannot drop capabilities");
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return err_sys(err, -errno, "cannot keep other processes out");
    return 0;
}

/* --- limits --- */

static int limit(int resource, rlim_t most, struct err *err)
{
    struct rlimit limits;

    getrlimit((__rlimit_resource_t)resource, &limits);
    if (limits.rlim_max < most)
        most = limits.rlim_max;
    limits.rlim_cur = limits.rlim_max = most;
    if (setrlimit((__rlimit_resource_t)resource, &limits) < 0)
        return err_sys(err, -errno, "cannot limit resource %d", resource);
    return 0;
}

static int limit_resources(unsigned descriptors, struct err *err)
{
    int rc = limit(RLIMIT_NOFILE, descriptors, err);

    rc = rc ?: limit(RLIMIT_CORE, 0, err);
    rc = rc ?: limit(RLIMIT_FSIZE, 0, err);
    rc = rc ?: limit(RLIMIT_NPROC, 0, err);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* their shadows are larger */
    rc = rc ?: limit(RLIMIT_AS, MEMORY_MAX, err);
#endif
    return rc;
}

/* --- all of it --- */

int confine(void (*note)(const char *line), unsigned descriptors, struct err *err)
{
    bool replaced = replace_root();
    int rc;

    if (!replaced)
        note("sees the host's files, for this host allows no mount namespace");
    bound_capabilities();
    leave_root(note);
    keep_signals_of(STDOUT_FILENO);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_sys(err, -errno, "cannot renounce new privileges");
    if (!restrict_files())
        note("is without Landlock, which this host's kernel does not offer");
    rc = drop_capabilities(err);
    rc = rc ?: limit_resources(descriptors, err);
    return rc ?: confine_syscalls(err);
}
