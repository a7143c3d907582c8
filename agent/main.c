/* SPDX-License-Identifier: Apache-2.0 */
/*
 * husk-agent: the first process of a sandbox's guest.
 *
 *     boot()      from the initramfs to the sandbox's root
 *     then        one process for each connection of the host, with one job (agent/protocol.h)
 *
 * It is static and asks nothing of the root that it lives in.
 */
#include "agent/boot.h"
#include "agent/command.h"
#include "agent/frame.h"
#include "agent/mark.h"
#include "agent/protocol.h"
#include "agent/tree.h"
#include "agent/vsock.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- files --- */

static void answer(int connection, int rc, const struct tree_fault *fault)
{
    struct fields fields = {0};
    char text[512];

    snprintf(text, sizeof text, "%s%s%s", fault->path, fault->path[0] ? ": " : "", strerror(-rc));
    fields_add_number(&fields, "code", (uint64_t)-rc);
    fields_add(&fields, "text", text);
    frame_send(connection, rc ? AGENT_FAILED : AGENT_DONE, rc ? &fields : NULL);
    fields_release(&fields);
}

/* As cp has it: into a folder that is there, or as what the path says. */
static int put(int connection, const char *path, struct tree_fault *fault)
{
    char above[PATH_MAX], leaf[PATH_MAX];
    const char *folder = path;
    struct tree_target target = {.mode_mask = 07777, .limit = UINT64_MAX};
    struct stat status;
    int rc;

    snprintf(above, sizeof above, "%s", path);
    snprintf(leaf, sizeof leaf, "%s", path);
    if (stat(path, &status) < 0 || !S_ISDIR(status.st_mode)) {
        target.name = basename(leaf);
        folder = dirname(above);
    }
    target.folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (target.folder < 0)
        return -errno;
    rc = tree_receive(connection, &target, fault);
    close(target.folder);
    return rc;
}

static void serve_put(int connection, const char *path)
{
    struct tree_fault fault = {0};

    answer(connection, put(connection, path, &fault), &fault);
}

static void serve_get(int connection, const char *path)
{
    struct tree_fault fault = {0};
    int rc = access(path, F_OK) < 0 ? -errno : 0;

    answer(connection, rc, &fault);
    if (rc == 0)
        tree_send(connection, AT_FDCWD, path, &fault);
}

/* --- jobs --- */

static void serve_job(int connection, const struct frame_reader *job)
{
    const char *path = frame_field(job, "path");

    switch (job->header.type) {
    case AGENT_EXEC:
        command_serve(connection, job);
        break;
    case AGENT_PUT:
        if (path)
            serve_put(connection, path);
        break;
    case AGENT_GET:
        if (path)
            serve_get(connection, path);
        break;
    case AGENT_STOP:
        sync();
        reboot(RB_POWER_OFF);
        break;
    default:
        break;
    }
}

static void serve_connection(int connection)
{
    struct frame_reader job = {.limit = AGENT_JOB_MAX};

    if (frame_reader_read(&job, connection) == 1)
        serve_job(connection, &job);
    frame_reader_release(&job);
}

static void take_connection(int listener)
{
    int connection = vsock_accept(listener);
    pid_t pid;

    if (connection < 0)
        return;
    pid = fork();
    if (pid == 0) {
        close(listener);
        serve_connection(connection);
        _exit(0);
    }
    if (pid < 0) {
        struct tree_fault none = {0};

        answer(connection, -errno, &none);
    }
    close(connection);
}

static void reap(int signals)
{
    struct signalfd_siginfo info;

    if (read(signals, &info, sizeof info) < 0)
        return;
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
}

_Noreturn static void serve(int listener, int signals)
{
    for (;;) {
        struct pollfd sources[] = {
            {.fd = listener, .events = POLLIN}, {.fd = signals, .events = POLLIN}};

        if (poll(sources, 2, -1) < 0)
            continue;
        if (sources[0].revents)
            take_connection(listener);
        if (sources[1].revents)
            reap(signals);
    }
}

/* The first process has no default actions, but those of its children are as usual. */
static int watch_children(void)
{
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &signals, SFD_CLOEXEC);
}

int main(void)
{
    struct report report = {.fd = -1};
    struct late_modules late = {0};
    uint32_t port = AGENT_PORT;
    int signals, listener;

    if (getpid() != 1) {
        fprintf(stderr, "husk-agent is the first process of a guest; 'husk sandbox' starts it\n");
        return 2;
    }
    mark();
    boot(&report, &late);
    command_prepare();
    signals = watch_children();
    listener = vsock_listen(&port);
    if (signals < 0 || listener < 0)
        report_failure(&report, errno, "cannot listen for the host");
    report_ready(&report);
    boot_load_late(&late);
    serve(listener, signals);
}
