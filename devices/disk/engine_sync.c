/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The synchronous engine: every request is done when disk_engine_submit() returns. It runs on the
 * loop's thread, and so a slow disk delays the machine's other devices; no request may take
 * unbounded time, and nothing here waits for anything but the disk.
 */
#include "devices/disk/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/falloc.h>
#include <limits.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#define ZERO_PIECE 65536u

/* Entries passed to one system call; a longer list takes several. */
#define VECTOR_MAX 64u
_Static_assert(VECTOR_MAX <= IOV_MAX, "preadv(2) takes no longer lists");

/* A place in a list of buffers. */
struct cursor {
    const struct iovec *iov;
    unsigned count;
    size_t done_in_first; /* bytes of iov[0] that are behind us */
};

/* The next system call's list, on the caller's stack; the request's own list stays as it is. */
static unsigned fill(const struct cursor *cursor, struct iovec *list)
{
    unsigned count = cursor->count < VECTOR_MAX ? cursor->count : VECTOR_MAX;

    for (unsigned i = 0; i < count; i++)
        list[i] = cursor->iov[i];
    if (count > 0) {
        list[0].iov_base = (char *)list[0].iov_base + cursor->done_in_first;
        list[0].iov_len -= cursor->done_in_first;
    }
    return count;
}

static void advance(struct cursor *cursor, size_t bytes)
{
    cursor->done_in_first += bytes;
    while (cursor->count > 0 && cursor->done_in_first >= cursor->iov->iov_len) {
        cursor->done_in_first -= cursor->iov->iov_len;
        cursor->iov++;
        cursor->count--;
    }
}

/*
 * Reads or writes the whole list. After a short transfer it goes on behind what was transferred:
 * nothing is done twice, because the guest may have changed the buffers meanwhile.
 */
static int transfer(const struct disk *disk, const struct disk_request *request)
{
    struct cursor cursor = {request->iov, request->iov_count, 0};
    uint64_t offset = request->offset;

    advance(&cursor, 0);
    while (cursor.count > 0) {
        struct iovec list[VECTOR_MAX];
        unsigned count = fill(&cursor, list);
        ssize_t done = request->operation == DISK_READ
                           ? preadv(disk->fd, list, (int)count, (off_t)offset)
                           : pwritev(disk->fd, list, (int)count, (off_t)offset);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return -errno;
        if (done == 0)
            return -EIO; /* somebody made the image shorter */
        offset += (uint64_t)done;
        advance(&cursor, (size_t)done);
    }
    return 0;
}

static int flush(const struct disk *disk)
{
    int rc;

    do
        rc = fdatasync(disk->fd);
    while (rc < 0 && errno == EINTR);
    return rc < 0 ? -errno : 0;
}

static bool unsupported(int code)
{
    return code == -EOPNOTSUPP || code == -ENOTTY || code == -ENOSYS || code == -EINVAL;
}

static int allocate(const struct disk *disk, int mode, const struct disk_request *request)
{
    int rc;

    do
        rc = fallocate(disk->fd, mode, (off_t)request->offset, (off_t)request->length);
    while (rc < 0 && errno == EINTR);
    return rc < 0 ? -errno : 0;
}

static int block_ioctl(const struct disk *disk, unsigned long operation,
                       const struct disk_request *request)
{
    uint64_t range[2] = {request->offset, request->length};

    return ioctl(disk->fd, operation, range) < 0 ? -errno : 0;
}

/* A hint: where the host cannot forget the content, it simply stays. */
static int discard(const struct disk *disk, const struct disk_request *request)
{
    int rc = disk->block_device
                 ? block_ioctl(disk, BLKDISCARD, request)
                 : allocate(disk, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, request);

    return unsupported(rc) ? 0 : rc;
}

/* The last resort of write_zeroes(): a bounded amount of zeros, written as data. */
static int write_zeros_as_data(const struct disk *disk, const struct disk_request *request)
{
    static const char zeros[ZERO_PIECE];
    uint64_t end = request->offset + request->length;

    for (uint64_t offset = request->offset; offset < end;) {
        size_t size = end - offset < ZERO_PIECE ? (size_t)(end - offset) : ZERO_PIECE;
        ssize_t done = pwrite(disk->fd, zeros, size, (off_t)offset);

        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return done < 0 ? -errno : -EIO;
        offset += (uint64_t)done;
    }
    return 0;
}

static int write_zeroes(const struct disk *disk, const struct disk_request *request)
{
    int rc = -EOPNOTSUPP;

    if (disk->block_device)
        rc = block_ioctl(disk, BLKZEROOUT, request);
    else if (request->unmap)
        rc = allocate(disk, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, request);
    if (unsupported(rc) && !disk->block_device)
        rc = allocate(disk, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, request);
    return unsupported(rc) ? write_zeros_as_data(disk, request) : rc;
}

static int execute(const struct disk *disk, const struct disk_request *request)
{
    switch (request->operation) {
    case DISK_READ:
    case DISK_WRITE:
        return transfer(disk, request);
    case DISK_FLUSH:
        return flush(disk);
    case DISK_DISCARD:
        return request->length > 0 ? discard(disk, request) : 0;
    case DISK_WRITE_ZEROES:
        return request->length > 0 ? write_zeroes(disk, request) : 0;
    }
    return -EINVAL;
}

void disk_engine_submit(struct disk *disk, struct disk_request *request)
{
    request->done(request, execute(disk, request));
}

void disk_engine_commit(struct disk *disk)
{
    if (disk->settled)
        disk->settled(disk->context); /* everything submitted has completed already */
}

void disk_engine_drain(struct disk *disk)
{
    (void)disk; /* nothing is ever in flight */
}
