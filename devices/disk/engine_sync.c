/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The synchronous engine, for hosts without io_uring: every step is done when start() returns. It
 * runs on the loop's thread, and so a slow disk delays what else is on that loop.
 */
#include "devices/disk/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

static int open_nothing(struct disk_channel *channel)
{
    (void)channel;
    return 0;
}

int step_discard(const struct disk *disk, const struct disk_step *step)
{
    uint64_t range[2] = {step->offset, step->length};

    return ioctl(disk->fd, BLKDISCARD, range) < 0 ? -errno : 0;
}

static ssize_t execute(const struct disk_channel *channel, struct disk_step *step)
{
    int fd = step_fd(channel, step);
    unsigned count;
    struct iovec *iov = step_iov(step, &count);

    switch (step->kind) {
    case STEP_READ:
        return preadv(fd, iov, (int)count, (off_t)step->offset);
    case STEP_WRITE:
        return pwritev(fd, iov, (int)count, (off_t)step->offset);
    case STEP_SYNC:
        return fdatasync(fd);
    default:
        return fallocate(fd, step->mode, (off_t)step->offset, (off_t)step->length);
    }
}

static bool start(struct disk_channel *channel, struct disk_request *request, long *result)
{
    struct disk_step *step = &request->step;

    if (step->kind == STEP_DISCARD) {
        *result = step_discard(channel->disk, step);
        return true;
    }
    *result = execute(channel, step);
    if (*result < 0)
        *result = -errno;
    return true;
}

/* Nothing is ever kept back or in flight. */
static void nothing(struct disk_channel *channel)
{
    (void)channel;
}

const struct disk_engine disk_engine_sync = {
    .name = "sync",
    .open = open_nothing,
    .close = nothing,
    .start = start,
    .commit = nothing,
    .wait = nothing,
};
