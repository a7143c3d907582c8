/* SPDX-License-Identifier: Apache-2.0 */
#include "core/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Copies that none of the child's own numbers overwrites while they are handed out. */
static int copy_descriptors(const struct child_command *command, int *copies)
{
    for (unsigned i = 0; i < command->descriptor_count; i++) {
        int from = command->descriptors[i];

        copies[i] = from < 0 ? -1
                             : fcntl(from, F_DUPFD_CLOEXEC, (int)CHILD_DESCRIPTORS_MAX);
        if (from >= 0 && copies[i] < 0)
            return -errno;
    }
    return 0;
}

static void close_copies(const int *copies)
{
    for (unsigned i = 0; i < CHILD_DESCRIPTORS_MAX; i++)
        if (copies[i] >= 0)
            close(copies[i]);
}

static int hand_out(posix_spawn_file_actions_t *actions, const int *copies, unsigned count)
{
    int rc = 0;

    for (unsigned i = 0; i < count && rc == 0; i++)
        rc = copies[i] < 0 ? posix_spawn_file_actions_addopen(actions, (int)i, "/dev/null",
                                                              O_RDWR, 0)
                           : posix_spawn_file_actions_adddup2(actions, copies[i], (int)i);
    return rc ?: posix_spawn_file_actions_addclosefrom_np(actions, (int)count);
}

static int spawn(pid_t *pid, const struct child_command *command, const int *copies)
{
    static char *const no_environment[] = {NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    int rc;

    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                              POSIX_SPAWN_SETPGROUP);
    posix_spawn_file_actions_init(&actions);
    rc = hand_out(&actions, copies, command->descriptor_count);
    rc = rc ?: posix_spawn(pid, command->program, &actions, &attributes,
                           (char *const *)command->arguments, no_environment);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return -rc;
}

int child_start(struct child *child, const struct child_command *command, struct err *err)
{
    int copies[CHILD_DESCRIPTORS_MAX];
    pid_t pid = -1;
    int rc;

    *child = (struct child)CHILD_NONE;
    for (unsigned i = 0; i < CHILD_DESCRIPTORS_MAX; i++)
        copies[i] = -1;
    rc = copy_descriptors(command, copies);
    rc = rc ?: spawn(&pid, command, copies);
    close_copies(copies);
    if (rc)
        return err_sys(err, rc, "cannot run \"%s\"", command->program);
    child->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (child->pidfd >= 0)
        return 0;
    if (errno == ESRCH) /* it has ended and been waited for, and the number may be another's */
        return err_set(err, -ECHILD, "%s: %s", command->program, CHILD_LOST);
    rc = err_sys(err, -errno, "cannot hold on to \"%s\"", command->program);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return rc;
}

/* How it has ended, once it has. Errors: those of waitid(2). */
static int await_end(const struct child *child, int options, siginfo_t *info)
{
    int rc;

    *info = (siginfo_t){0};
    while ((rc = waitid(P_PIDFD, (id_t)child->pidfd, info, WEXITED | options)) < 0 && errno == EINTR)
        ;
    return rc < 0 ? -errno : 0;
}

int child_wait(struct child *child)
{
    siginfo_t info;
    int rc = await_end(child, 0, &info);

    close(child->pidfd);
    child->pidfd = -1;
    if (rc < 0)
        return rc;
    return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

/* Its own children, as long as its number, which is its group's, is not another's. */
static void kill_group(const struct child *child)
{
    siginfo_t info;

    if (await_end(child, WNOWAIT, &info) == 0 && info.si_pid > 0)
        kill(-info.si_pid, SIGKILL);
}

void child_end(struct child *child)
{
    if (child->pidfd < 0)
        return;
    syscall(SYS_pidfd_send_signal, child->pidfd, SIGKILL, NULL, 0);
    kill_group(child);
    child_wait(child);
}
