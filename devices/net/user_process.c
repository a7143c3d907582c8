/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/net/user_process.h"
#include "devices/net/backend.h"

#include "core/child.h"
#include "core/program.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PROGRAM "husk-net-user"
#define ARGUMENTS_MAX (2 * NET_FORWARDS_MAX + 2 * NET_EGRESS_MAX + 8)
#define READY_TIMEOUT_MS 10000

struct net_user {
    struct child child;
    int said; /* what the child says; its end is the child's */
    size_t heard;
    char line[ERR_MESSAGE_MAX + 64];
};

/* --- its program --- */

static int find_program(char path[PATH_MAX], const char *given, struct err *err)
{
    struct err missing = {0};
    int rc;

    if (!given) {
        rc = program_find(path, PROGRAM, &missing);
        return rc ? err_set(err, rc, "%s, or say where it is by program=PATH", missing.message) : 0;
    }
    snprintf(path, PATH_MAX, "%s", given);
    return access(given, X_OK) < 0 ? err_sys(err, -errno, "cannot run \"%s\"", given) : 0;
}

/* --- starting it --- */

struct command {
    const char *arguments[ARGUMENTS_MAX];
    char rules[NET_FORWARDS_MAX][NET_FORWARD_TEXT_MAX];
    char mtu[16];
};

static void build_command(struct command *command, const struct net_user_options *options)
{
    unsigned count = 0;

    snprintf(command->mtu, sizeof command->mtu, "%u", options->mtu);
    command->arguments[count++] = PROGRAM;
    command->arguments[count++] = "--mtu";
    command->arguments[count++] = command->mtu;
    if (options->restricted)
        command->arguments[count++] = "--restrict";
    for (unsigned i = 0; i < options->forward_count; i++) {
        net_forward_print(&options->forwards[i], command->rules[i]);
        command->arguments[count++] = "--hostfwd";
        command->arguments[count++] = command->rules[i];
    }
    if (options->egress_denied) {
        command->arguments[count++] = "--egress";
        command->arguments[count++] = "deny";
    }
    for (unsigned i = 0; i < options->allow_count; i++) {
        command->arguments[count++] = "--allow";
        command->arguments[count++] = options->allows[i];
    }
    command->arguments[count] = NULL;
}

static void close_pair(int ends[2])
{
    for (unsigned i = 0; i < 2; i++)
        if (ends[i] >= 0)
            close(ends[i]);
}

static int open_pair(int ends[2], struct err *err)
{
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0)
        return 0;
    ends[0] = ends[1] = -1;
    return err_sys(err, -errno, "cannot make a socket pair");
}

static int start_child(struct net_user *user, const struct net_user_options *options, int wire,
                       int said, struct err *err)
{
    const int descriptors[] = {wire, said, -1};
    char program[PATH_MAX];
    struct command command;
    int rc = find_program(program, options->program, err);

    if (rc)
        return rc;
    build_command(&command, options);
    return child_start(&user->child,
                       &(struct child_command){program, command.arguments, descriptors, 3}, err);
}

int net_user_start(struct net_user **out, struct net **net, const struct net_user_options *options,
                   struct err *err)
{
    struct net_user *user = calloc(1, sizeof *user);
    int wire[2] = {-1, -1}, said[2] = {-1, -1};
    int rc;

    if (!user)
        return err_set(err, -ENOMEM, "out of memory");
    user->child = (struct child)CHILD_NONE;
    user->said = -1;
    rc = open_pair(wire, err);
    rc = rc ?: open_pair(said, err);
    rc = rc ?: start_child(user, options, wire[1], said[1], err);
    if (rc == 0) {
        user->said = said[0];
        said[0] = -1;
        rc = net_adopt_stream(net, wire[0], "user", err);
        wire[0] = -1;
    }
    if (rc == 0)
        (*net)->mtu = options->mtu;
    close_pair(wire);
    close_pair(said);
    if (rc)
        net_user_stop(user);
    else
        *out = user;
    return rc;
}

/* --- waiting for it --- */

/* Reads more of what the child says. Errors: as net_user_await(). */
static int hear(struct net_user *user, struct err *err)
{
    struct pollfd said = {.fd = user->said, .events = POLLIN};
    size_t room = sizeof user->line - 1 - user->heard;
    ssize_t got;
    int ready;

    while ((ready = poll(&said, 1, READY_TIMEOUT_MS)) < 0 && errno == EINTR)
        ;
    if (ready <= 0)
        return err_set(err, -ETIMEDOUT, PROGRAM " does not become ready; try it once more");
    got = read(user->said, user->line + user->heard, room);
    if (got <= 0) /* also for a line that is too long, which leaves no room */
        return err_set(err, -ECHILD, PROGRAM " ended before it was ready; see the kernel's log");
    user->heard += (size_t)got;
    user->line[user->heard] = '\0';
    return 0;
}

/* 1: it is ready; 0: there is more to come; or the error that it reports. */
static int understand(const char *line, const struct log *log, struct err *err)
{
    char *message;
    long code;

    if (strcmp(line, "ready") == 0)
        return 1;
    if (strncmp(line, "note ", 5) == 0) {
        log_line(log, LOG_LEVEL_INFO, "network user: %s %s", PROGRAM, line + 5);
        return 0;
    }
    if (strncmp(line, "failed ", 7) == 0) {
        code = strtol(line + 7, &message, 10);
        if (code > 0 && code < 4096 && *message == ' ')
            return err_set(err, -(int)code, "%s", message + 1);
    }
    return err_set(err, -EPROTO, PROGRAM " says \"%s\"; install the one that belongs to this "
                   "version", line);
}

int net_user_await(struct net_user *user, const struct log *log, struct err *err)
{
    int rc = 0;

    while (rc == 0) {
        char *end = memchr(user->line, '\n', user->heard);

        if (!end) {
            rc = hear(user, err);
            continue;
        }
        *end++ = '\0';
        rc = understand(user->line, log, err);
        user->heard -= (size_t)(end - user->line);
        memmove(user->line, end, user->heard);
    }
    return rc < 0 ? rc : 0;
}

/* --- ending it --- */

void net_user_stop(struct net_user *user)
{
    if (!user)
        return;
    child_end(&user->child);
    if (user->said >= 0)
        close(user->said);
    free(user);
}
