/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/pump.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define BUFFER_SIZE ((size_t)64 * 1024)

int pump_open(struct pump *pump, int from, int to)
{
    struct stat status;

    if (fstat(to, &status) < 0)
        return -errno;
    *pump = (struct pump){
        .from = from,
        .to = to,
        .to_is_file = S_ISREG(status.st_mode),
        .to_is_socket = S_ISSOCK(status.st_mode),
        .most = UINT64_MAX,
        .buffer = malloc(BUFFER_SIZE),
    };
    if (pump->buffer)
        return 0;
    pump->from = -1;
    return -ENOMEM;
}

void pump_close(struct pump *pump)
{
    free(pump->buffer);
    *pump = (struct pump)PUMP_CLOSED;
}

void pump_poll(const struct pump *pump, struct pollfd entries[2])
{
    bool full = pump->start < pump->end;

    entries[0] = (struct pollfd){
        .fd = full || pump->source_ended ? -1 : pump->from, .events = POLLIN};
    entries[1] = (struct pollfd){.fd = pump->from < 0 ? -1 : pump->to, .events = full ? POLLOUT : 0};
}

static bool would_block(void)
{
    return errno == EAGAIN || errno == EINTR;
}

/* A terminal whose other side is closed says EIO, a socket whose guest is gone ECONNRESET. */
static void fill(struct pump *pump)
{
    ssize_t got = pump->moved <= pump->most ? read(pump->from, pump->buffer, BUFFER_SIZE) : 0;

    if (got < 0 && would_block())
        return;
    if (got <= 0) {
        pump->source_ended = true;
        return;
    }
    pump->start = 0;
    pump->end = (uint64_t)got < pump->most - pump->moved ? (size_t)got
                                                         : (size_t)(pump->most - pump->moved);
    pump->moved += (uint64_t)got;
}

/* A pipe or a terminal that polls writable takes PIPE_BUF bytes; more only if the kernel can tell. */
static ssize_t write_some(const struct pump *pump)
{
    struct iovec piece = {pump->buffer + pump->start, pump->end - pump->start};
    ssize_t done;

    if (pump->to_is_socket)
        return send(pump->to, piece.iov_base, piece.iov_len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (pump->to_is_file)
        return write(pump->to, piece.iov_base, piece.iov_len);
    done = pwritev2(pump->to, &piece, 1, -1, RWF_NOWAIT);
    if (done >= 0 || (errno != EOPNOTSUPP && errno != EINVAL && errno != ESPIPE))
        return done;
    if (poll(&(struct pollfd){.fd = pump->to, .events = POLLOUT}, 1, 0) == 0) {
        errno = EAGAIN; /* it was not polled for this: the bytes have only come */
        return -1;
    }
    if (piece.iov_len > PIPE_BUF)
        piece.iov_len = PIPE_BUF;
    return write(pump->to, piece.iov_base, piece.iov_len);
}

/* False: the target is broken. */
static bool empty(struct pump *pump)
{
    ssize_t done = write_some(pump);

    if (done < 0 && !would_block())
        pump->error = errno;
    if (done < 0)
        return pump->error == 0;
    pump->start += (size_t)done;
    return true;
}

enum pump_state pump_move(struct pump *pump, const struct pollfd entries[2])
{
    if (entries[0].fd >= 0 && entries[0].revents)
        fill(pump);
    if (pump->start < pump->end && (entries[1].revents || entries[0].revents) && !empty(pump))
        return PUMP_BROKEN;
    if (entries[1].revents & (POLLERR | POLLHUP | POLLNVAL))
        return PUMP_BROKEN;
    return pump->source_ended && pump->start == pump->end ? PUMP_ENDED : PUMP_RUNS;
}

void pump_finish(struct pump *pump)
{
    if (pump->from < 0 || pump->start < pump->end)
        return;
    fill(pump);
    if (pump->start == pump->end)
        pump->source_ended = true;
}
