/* SPDX-License-Identifier: Apache-2.0 */
/* What a descriptor is decides how it is used; see console_open() and struct console. */
#include "devices/console/console.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- descriptors of our own --- */

/*
 * Opens `fd` anew, for a file description whose O_NONBLOCK is ours alone. Only pipes and
 * terminals: another file would get another offset, and a pty's master would become another pty.
 */
static int reopen(int fd, mode_t type, int access)
{
    char path[sizeof "/proc/self/fd/" + 3 * sizeof fd];
    unsigned pty;

    if (!S_ISFIFO(type) && !(S_ISCHR(type) && isatty(fd) && ioctl(fd, TIOCGPTN, &pty) < 0))
        return -1;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return open(path, access | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

/* A regular file or a device without poll() is always ready, and epoll does not take it. */
static bool always_ready(int fd, mode_t type)
{
    int epoll_fd;
    bool refused;

    if (S_ISFIFO(type) || S_ISSOCK(type) || (S_ISCHR(type) && isatty(fd)))
        return false;
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    refused = epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &(struct epoll_event){0}) < 0;
    close(epoll_fd);
    return refused;
}

/* Makes a channel of the caller's descriptor `fd`; `access` is O_RDONLY or O_WRONLY. */
static int channel_open(struct console_channel *channel, int fd, int access, struct err *err)
{
    const char *name = access == O_RDONLY ? "console input" : "console output";
    struct stat status;

    if (fd < 0)
        return 0;
    if (fstat(fd, &status) < 0)
        return err_sys(err, -errno, "%s: descriptor %d", name, fd);
    channel->is_socket = S_ISSOCK(status.st_mode);
    channel->is_pipe = S_ISFIFO(status.st_mode);
    channel->fd = reopen(fd, status.st_mode, access);
    if (channel->fd >= 0)
        return 0;
    channel->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (channel->fd < 0)
        return err_sys(err, -errno, "%s: descriptor %d", name, fd);
    channel->always_ready = always_ready(channel->fd, status.st_mode);
    channel->may_block = !channel->is_socket && !channel->always_ready;
    return 0;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* --- input --- */

static void input_ready(struct loop_source *source, uint32_t events)
{
    struct console *console = (struct console *)((char *)source - offsetof(struct console, input));

    (void)events;
    console->front_end->input(console->device);
}

/* A file that is always ready is watched in the shape of an eventfd that is. */
static int watch_fd(struct console *console, struct err *err)
{
    if (!console->in.always_ready) {
        console->input.fd = console->in.fd;
        return 0;
    }
    console->ready_fd = eventfd(1, EFD_CLOEXEC);
    if (console->ready_fd < 0)
        return err_sys(err, -errno, "console: cannot make an eventfd");
    console->input.fd = console->ready_fd;
    return 0;
}

void console_want_input(struct console *console, bool wanted)
{
    if (console->input.fd >= 0 && !console->input_ended)
        loop_watch(console->loop, &console->input, wanted ? EPOLLIN : 0);
}

static bool ready_now(const struct console_channel *channel, short events)
{
    struct pollfd poll_fd = {.fd = channel->fd, .events = events};

    return !channel->may_block || poll(&poll_fd, 1, 0) > 0;
}

static ssize_t read_some(const struct console_channel *channel, void *bytes, size_t size)
{
    ssize_t got;

    if (!ready_now(channel, POLLIN)) {
        errno = EAGAIN;
        return -1;
    }
    do {
        got = channel->is_socket ? recv(channel->fd, bytes, size, MSG_DONTWAIT)
                                 : read(channel->fd, bytes, size);
    } while (got < 0 && errno == EINTR);
    return got;
}

size_t console_read(struct console *console, void *bytes, size_t size)
{
    ssize_t got;

    if (console->in.fd < 0 || console->input_ended || size == 0)
        return 0;
    got = read_some(&console->in, bytes, size);
    if (got > 0)
        return (size_t)got;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return 0;
    loop_watch(console->loop, &console->input, 0);
    console->input_ended = true;
    return 0;
}

/* --- output --- */

/*
 * A blocking description that polls as writable takes this much without waiting: a pipe has room
 * for PIPE_BUF bytes (pipe(7)), anything else for one.
 */
static size_t safe_size(const struct console_channel *channel, size_t size)
{
    size_t safe = channel->is_pipe ? PIPE_BUF : 1;

    return channel->may_block && size > safe ? safe : size;
}

/* One write: a count, 0 when the host takes nothing now, or -errno. */
static ssize_t write_some(const struct console_channel *channel, const void *bytes, size_t size)
{
    ssize_t put;

    if (!ready_now(channel, POLLOUT))
        return 0;
    size = safe_size(channel, size);
    do {
        put = channel->is_socket ? send(channel->fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT)
                                 : write(channel->fd, bytes, size);
    } while (put < 0 && errno == EINTR);
    if (put < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno;
    return put;
}

/* As console_write(), without the promise of a call when there is room. Any thread. */
static size_t write_now(struct console *console, const char *bytes, size_t size)
{
    size_t done = 0;

    if (console->out.fd < 0)
        return size;
    while (done < size && !console_output_error(console)) {
        ssize_t put = write_some(&console->out, bytes + done, size - done);

        if (put == 0)
            return done;
        if (put < 0)
            atomic_store(&console->output_error, (int)put);
        else
            done += (size_t)put;
    }
    return size;
}

static void output_ready(struct loop_source *source, uint32_t events)
{
    struct console *console = (struct console *)((char *)source - offsetof(struct console, output));

    (void)events;
    loop_watch(console->loop, source, 0);
    console->front_end->output(console->device);
}

size_t console_write(struct console *console, const void *bytes, size_t size)
{
    size_t done = write_now(console, bytes, size);

    if (done < size)
        loop_watch(console->loop, &console->output, EPOLLOUT);
    return done;
}

/* Waits until the output takes something; false after console_abort(). */
static bool poll_for_room(const struct console *console)
{
    struct pollfd polled[] = {
        {.fd = console->out.fd, .events = POLLOUT},
        {.fd = console->abort_fd, .events = POLLIN},
    };

    while (poll(polled, 2, -1) < 0 && errno == EINTR)
        ;
    return polled[1].revents == 0;
}

static bool wait_for_room(const struct console *console)
{
    bool room;

    if (console->waits.begin)
        console->waits.begin(console->waits.context);
    room = poll_for_room(console);
    if (console->waits.begin)
        console->waits.end(console->waits.context);
    return room;
}

void console_write_all(struct console *console, const void *bytes, size_t size)
{
    size_t done = write_now(console, bytes, size);

    while (done < size && wait_for_room(console))
        done += write_now(console, (const char *)bytes + done, size - done);
}

void console_tell_waits(struct console *console, const struct console_waits *waits)
{
    console->waits = *waits;
}

void console_abort(struct console *console)
{
    eventfd_write(console->abort_fd, 1);
}

int console_output_error(const struct console *console)
{
    return atomic_load(&console->output_error);
}

/* --- life --- */

int console_open(struct console *console, struct loop *loop, int input_fd, int output_fd,
                 struct err *err)
{
    int rc;

    *console = (struct console){
        .loop = loop,
        .in.fd = -1,
        .out.fd = -1,
        .input = {.fd = -1, .ready = input_ready},
        .output = {.fd = -1, .ready = output_ready},
        .ready_fd = -1,
        .abort_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
    };
    if (console->abort_fd < 0)
        return err_sys(err, -errno, "console: cannot make an eventfd");
    if ((rc = channel_open(&console->in, input_fd, O_RDONLY, err)) < 0 ||
        (rc = channel_open(&console->out, output_fd, O_WRONLY, err)) < 0 ||
        (rc = watch_fd(console, err)) < 0) {
        console_close(console);
        return rc;
    }
    console->output.fd = console->out.fd;
    return 0;
}

void console_close(struct console *console)
{
    loop_watch(console->loop, &console->input, 0);
    loop_watch(console->loop, &console->output, 0);
    close_fd(&console->in.fd);
    close_fd(&console->out.fd);
    close_fd(&console->ready_fd);
    close_fd(&console->abort_fd);
}

void console_attach(struct console *console, const struct console_front_end *front_end,
                    void *device)
{
    console->front_end = front_end;
    console->device = device;
}
