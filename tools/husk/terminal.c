/* SPDX-License-Identifier: Apache-2.0 */
#include "terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define ESCAPE 0x01 /* Ctrl-a */

static const char help[] = "\r\n"
                           "  Ctrl-a x       stop the machine and quit\r\n"
                           "  Ctrl-a h       this help\r\n"
                           "  Ctrl-a Ctrl-a  send a Ctrl-a to the guest\r\n";

int terminal_open(struct terminal *terminal, int fd)
{
    int ends[2];

    *terminal = (struct terminal){.fd = -1, .pipe_out = -1, .pipe_in = -1};
    if (tcgetattr(fd, &terminal->saved) < 0 || tcgetpgrp(fd) != getpgrp())
        return 0;
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
        return -errno;
    terminal->fd = fd;
    terminal->pipe_out = ends[0];
    terminal->pipe_in = ends[1];
    return 0;
}

void terminal_enter(struct terminal *terminal)
{
    struct termios raw = terminal->saved;

    if (terminal->fd < 0)
        return;
    cfmakeraw(&raw);
    terminal->raw = tcsetattr(terminal->fd, TCSANOW, &raw) == 0;
}

void terminal_leave(struct terminal *terminal)
{
    if (!terminal->raw)
        return;
    tcsetattr(terminal->fd, TCSADRAIN, &terminal->saved);
    terminal->raw = false;
}

enum order { ORDER_NONE, ORDER_PASS_ESCAPE, ORDER_QUIT };

/* What the key after a Ctrl-a asks for; help is given here. */
static enum order order_of(char key)
{
    switch (key) {
    case 'x':
        return ORDER_QUIT;
    case 'h':
    case '?':
        if (write(STDERR_FILENO, help, strlen(help)) < 0)
            break;
        break;
    case 'a':
    case ESCAPE:
        return ORDER_PASS_ESCAPE;
    default:
        break;
    }
    return ORDER_NONE;
}

/* Splits what was typed into orders and what is the guest's, in its order. True: quit. */
static bool sort_keys(struct terminal *terminal, const char *typed, size_t count, char *passed,
                      size_t *kept)
{
    for (size_t i = 0; i < count; i++) {
        enum order order;

        if (!terminal->escaped) {
            terminal->escaped = typed[i] == ESCAPE;
            if (!terminal->escaped)
                passed[(*kept)++] = typed[i];
            continue;
        }
        terminal->escaped = false;
        order = order_of(typed[i]);
        if (order == ORDER_QUIT)
            return true;
        if (order == ORDER_PASS_ESCAPE)
            passed[(*kept)++] = ESCAPE;
    }
    return false;
}

bool terminal_pump(struct terminal *terminal)
{
    char typed[256], passed[256];
    size_t kept = 0;
    ssize_t count = read(terminal->fd, typed, sizeof typed);

    /* A terminal that hangs up ends the machine, as it would end a shell. */
    if (count <= 0)
        return count == 0 || (errno != EINTR && errno != EAGAIN);
    if (sort_keys(terminal, typed, (size_t)count, passed, &kept))
        return true;
    if (kept > 0 && write(terminal->pipe_in, passed, kept) < 0)
        return false; /* the pipe is full: the guest does not read */
    return false;
}

void terminal_close(struct terminal *terminal)
{
    terminal_leave(terminal);
    if (terminal->fd < 0)
        return;
    close(terminal->pipe_out);
    close(terminal->pipe_in);
    terminal->fd = -1;
}
