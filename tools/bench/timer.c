/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stopwatch of the launch benchmark: starts a command, waits until its standard output brings
 * the payload's byte, prints the nanoseconds that passed since before the fork, and ends the
 * command.
 *
 *     timer [--hold] COMMAND [ARG...]
 *
 * With --hold it prints the command's process id as well, and ends the command only when its own
 * standard input ends: to look at a monitor whose guest stands still.
 *
 * A small process of its own, because the cost of a fork grows with the one that forks; the
 * command is started by posix_spawn(), which does not copy page tables. It gets a process group,
 * which is ended as a whole, also when the stopwatch is interrupted or its parent dies.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAYLOAD_BYTE 6 /* as in payload.S */
#define TIMEOUT_MS 20000

extern char **environ;

static volatile sig_atomic_t command_group; /* for the signal handler; 0: none yet */

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void end_all(int number)
{
    if (command_group)
        kill(-command_group, SIGKILL);
    _exit(128 + number);
}

static void end_with_parent_or_signal(void)
{
    const struct sigaction action = {.sa_handler = end_all};

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
}

/* 0, or the number of what went wrong, as posix_spawn() returns it. */
static int start(char **command, int output, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int rc;

    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    rc = posix_spawnp(pid, command[0], &actions, &attributes, command, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return rc;
}

/* Some monitors print lines of their own first. */
static bool wait_for_byte(int input)
{
    struct pollfd source = {.fd = input, .events = POLLIN};
    char buffer[4096];

    while (poll(&source, 1, TIMEOUT_MS) > 0) {
        ssize_t got = read(input, buffer, sizeof buffer);

        if (got <= 0)
            return false;
        if (memchr(buffer, PAYLOAD_BYTE, (size_t)got))
            return true;
    }
    return false;
}

static void wait_for_end_of_input(void)
{
    char byte;

    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
}

static int measure(char **command, bool hold)
{
    int ends[2];
    uint64_t began, took;
    pid_t pid;
    bool arrived;
    int rc;

    if (pipe2(ends, O_CLOEXEC)) {
        perror("timer: pipe");
        return 1;
    }
    began = now_ns();
    rc = start(command, ends[1], &pid);
    close(ends[1]);
    if (rc) {
        fprintf(stderr, "timer: cannot start %s: %s\n", command[0], strerror(rc));
        return 1;
    }
    command_group = pid;
    arrived = wait_for_byte(ends[0]);
    took = now_ns() - began;
    if (arrived) {
        printf(hold ? "%" PRIu64 " %d\n" : "%" PRIu64 "\n", took, (int)pid);
        fflush(stdout);
        if (hold)
            wait_for_end_of_input();
    } else {
        fprintf(stderr, "timer: %s ended or said nothing for %d s\n", command[0],
                TIMEOUT_MS / 1000);
    }
    kill(-pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return arrived ? 0 : 1;
}

int main(int argc, char **argv)
{
    bool hold = argc > 1 && strcmp(argv[1], "--hold") == 0;

    if (argc < (hold ? 3 : 2)) {
        fprintf(stderr, "usage: timer [--hold] COMMAND [ARG...]\n");
        return 2;
    }
    end_with_parent_or_signal();
    return measure(argv + (hold ? 2 : 1), hold);
}
