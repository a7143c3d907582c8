/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/run.h"

#include "sandbox/fail.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define INHERITED 3

/* Signals as a program of a shell has them, and no descriptor of ours but one. */
static int spawn(pid_t *pid, const char *program, const char *const *arguments, int out,
                 int inherited)
{
    static char *const environment[] = {
        (char *)"PATH=/usr/sbin:/usr/bin:/sbin:/bin", (char *)"LC_ALL=C", NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    int rc;

    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes,
                             POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    posix_spawn_file_actions_init(&actions);
    rc = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    rc = rc ?: posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    rc = rc ?: posix_spawn_file_actions_adddup2(&actions, out, STDERR_FILENO);
    if (rc == 0 && inherited >= 0)
        rc = posix_spawn_file_actions_adddup2(&actions, inherited, INHERITED);
    rc = rc ?: posix_spawn_file_actions_addclosefrom_np(&actions,
                                                        inherited >= 0 ? INHERITED + 1 : INHERITED);
    rc = rc ?: posix_spawn(pid, program, &actions, &attributes, (char *const *)arguments,
                           environment);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return -rc;
}

/* A pipe whose ends are above the numbers that the program's are moved to. */
static int open_pipe(int ends[2])
{
    int low[2], rc = 0;

    if (pipe2(low, O_CLOEXEC) < 0)
        return -errno;
    for (unsigned i = 0; i < 2; i++) {
        ends[i] = fcntl(low[i], F_DUPFD_CLOEXEC, INHERITED + 1);
        if (ends[i] < 0)
            rc = -errno;
        close(low[i]);
    }
    return rc;
}

int run_start(struct run *run, const char *program, const char *const *arguments, int inherited,
              struct husk_err *err)
{
    int ends[2] = {-1, -1};
    int rc = open_pipe(ends);

    *run = (struct run){.pid = -1, .said = ends[0]};
    if (rc == 0)
        rc = spawn(&run->pid, program, arguments, ends[1], inherited);
    if (ends[1] >= 0)
        close(ends[1]);
    if (rc == 0)
        return 0;
    if (ends[0] >= 0)
        close(ends[0]);
    return fail_sys(err, HUSK_ERR_HOST, rc, "cannot run %s", program);
}

/* Keeps the last line that is not empty. */
static void hear(struct run *run, const char *text, size_t size)
{
    size_t length = strlen(run->line);

    for (size_t i = 0; i < size; i++) {
        if (text[i] == '\n' || text[i] == '\r')
            length = 0;
        else if (length < sizeof run->line - 1)
            run->line[length++] = text[i];
        if (length > 0)
            run->line[length] = '\0';
    }
}

static int reap(struct run *run, struct husk_err *err)
{
    int status = 0;

    while (waitpid(run->pid, &status, 0) < 0 && errno == EINTR)
        ;
    run->pid = -1;
    close(run->said);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 1;
    return fail(err, HUSK_ERR_HOST, -EIO, "it failed (%s %d): %s",
                WIFEXITED(status) ? "status" : "signal",
                WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status), run->line);
}

int run_wait(struct run *run, int ms, struct husk_err *err)
{
    struct pollfd said = {.fd = run->said, .events = POLLIN};
    char text[512];
    ssize_t size;
    int ready;

    while ((ready = poll(&said, 1, ms)) > 0) {
        size = read(run->said, text, sizeof text);
        if (size <= 0)
            return reap(run, err);
        hear(run, text, (size_t)size);
    }
    return ready < 0 && errno != EINTR ? -errno : 0;
}

void run_abort(struct run *run)
{
    if (run->pid < 0)
        return;
    kill(run->pid, SIGKILL);
    reap(run, NULL);
}
