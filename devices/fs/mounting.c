/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/fs/mounting.h"

#include "core/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

/*
 * Where it is mounted: a folder that every Linux host has, and in which no program looks for
 * anything, so that what is hidden there, and what the directory has in it, concerns nobody.
 */
#define PLACE "/proc/driver"

#define STACK_SIZE (64u << 10)

struct work {
    const struct mounting *mounting;
    struct err *err;
    int rc;
};

static unsigned recursive(const struct mounting *mounting)
{
    return mounting->one_file_system ? 0 : AT_RECURSIVE;
}

/*
 * A mount that is nowhere yet: its descriptor or -errno. What is mounted below the directory later
 * on does not appear in it, and so not writable in what is read-only.
 */
static int open_mount(const struct mounting *mounting)
{
    struct mount_attr attributes = {
        .attr_set = mounting->read_only ? MOUNT_ATTR_RDONLY : 0,
        .propagation = MS_PRIVATE,
    };
    int fd = open_tree(AT_FDCWD, mounting->path,
                       OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | recursive(mounting));
    int rc;

    if (fd < 0)
        return -errno;
    if (mount_setattr(fd, "", AT_EMPTY_PATH | recursive(mounting), &attributes,
                      sizeof attributes) == 0)
        return fd;
    rc = -errno;
    close(fd);
    return rc;
}

/* Nothing of it gets back to the namespace that was left, but what is unmounted there goes here. */
static int put_in_place(int mount_fd)
{
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0 ||
        move_mount(mount_fd, "", AT_FDCWD, PLACE, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return -errno;
    return 0;
}

static int explain(const struct mounting *mounting, int rc, struct err *err)
{
    if (rc == -EPERM || rc == -EACCES)
        return err_set(err, rc, "this host lets only root share a directory %s; run husk as root, "
                       "or leave that out", mounting->read_only ? "read-only" : "by itself");
    if (rc == -ENOSYS)
        return err_set(err, rc, "this host's kernel is too old to share a directory %s; it takes "
                       "Linux 5.12", mounting->read_only ? "read-only" : "by itself");
    return err_sys(err, rc, "cannot mount it for virtiofsd");
}

static int without_mount(const struct mounting *mounting, struct err *err)
{
    if (strchr(mounting->path, ','))
        return err_set(err, -EINVAL, "virtiofsd takes no comma in a path; run husk as root, or "
                       "rename it");
    return mounting->then(mounting->context, mounting->path, false);
}

static void *work(void *argument)
{
    struct work *work = argument;
    const struct mounting *mounting = work->mounting;
    int fd = open_mount(mounting), rc = fd < 0 ? fd : put_in_place(fd);

    if (fd >= 0)
        close(fd);
    if (rc == 0)
        work->rc = mounting->then(mounting->context, PLACE, true);
    else if (mounting->read_only || mounting->one_file_system)
        work->rc = explain(mounting, rc, work->err);
    else
        work->rc = without_mount(mounting, work->err);
    return NULL;
}

int mounting_do(const struct mounting *mounting, struct err *err)
{
    struct work todo = {mounting, err, 0};
    pthread_t thread;
    int rc = thread_start(&thread, STACK_SIZE, work, &todo);

    if (rc)
        return err_sys(err, rc, "cannot start a thread");
    pthread_join(thread, NULL);
    return todo.rc;
}
