/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/disk/operation.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>

#define MAKE_HOLE (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define MAKE_ZEROS (FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE)

static int check(const struct disk *disk, const struct disk_request *request)
{
    uint64_t size = disk_size(disk);

    if (request->operation == DISK_FLUSH)
        return 0;
    if (request->offset > size || request->length > size - request->offset)
        return -EINVAL;
    if (disk->read_only && request->operation != DISK_READ)
        return -EROFS;
    return 0;
}

/* --- transfers --- */

/* Moves the list forward over what is done, and over empty entries. */
static void consume(struct disk_step *step, uint64_t bytes)
{
    step->offset += bytes;
    step->length -= bytes;
    while (step->iov_count > 0 && bytes >= step->iov->iov_len) {
        bytes -= step->iov->iov_len;
        step->iov++;
        step->iov_count--;
    }
    if (bytes > 0) {
        step->iov->iov_base = (char *)step->iov->iov_base + bytes;
        step->iov->iov_len -= bytes;
    }
}

static bool memory_aligned(const struct disk *disk, const struct disk_step *step)
{
    for (unsigned i = 0; i < step->iov_count; i++)
        if (((uintptr_t)step->iov[i].iov_base | step->iov[i].iov_len) &
            (disk->memory_alignment - 1))
            return false;
    return true;
}

/*
 * Whether the next transfer goes past the page cache, if it shall. A place on the disk that is too
 * fine for that goes through the cache after all, with which the host keeps direct transfers
 * coherent as long as they do not overlap. Badly placed memory is copied.
 */
static int aim(const struct disk *disk, struct disk_step *step)
{
    step->direct = disk->direct_fd >= 0 &&
                   ((step->offset | step->length) & (disk->offset_alignment - 1)) == 0;
    step->bounced = step->direct && !memory_aligned(disk, step);
    return OPERATION_GOES_ON;
}

static int begin_transfer(struct disk *disk, struct disk_request *request)
{
    struct disk_step *step = &request->step;

    step->kind = request->operation == DISK_READ ? STEP_READ : STEP_WRITE;
    step->iov = request->iov;
    step->iov_count = request->iov_count;
    consume(step, 0);
    return step->iov_count > 0 ? aim(disk, step) : 0;
}

/* The next piece of zeros, as data; through the page cache, for they come in any size. */
static int write_zeros(const struct disk *disk, struct disk_step *step)
{
    size_t size = step->length < DISK_ZEROS_SIZE ? (size_t)step->length : DISK_ZEROS_SIZE;

    step->kind = STEP_WRITE;
    step->buffer = (struct iovec){(void *)disk->zeros, size};
    step->iov = &step->buffer;
    step->iov_count = 1;
    return OPERATION_GOES_ON;
}

/* The step that makes it durable, if that is asked for. */
static int end_write(struct disk_step *step)
{
    if (!step->sync_after)
        return 0;
    step->kind = STEP_SYNC;
    step->direct = step->bounced = false;
    return OPERATION_GOES_ON;
}

/* Nothing is done twice after a short transfer, for the guest may have changed its buffers. */
static int advance_transfer(const struct disk *disk, struct disk_request *request, long result)
{
    struct disk_step *step = &request->step;

    if (result < 0)
        return (int)result;
    if (result == 0)
        return -EIO; /* somebody made the image shorter */
    consume(step, (uint64_t)result);
    if (step->length == 0)
        return end_write(step);
    return request->operation == DISK_WRITE_ZEROES ? write_zeros(disk, step) : aim(disk, step);
}

/* --- flushes --- */

static int begin_sync(const struct disk *disk, struct disk_step *step)
{
    if (disk_needs_no_sync(disk))
        return 0;
    step->kind = STEP_SYNC;
    return OPERATION_GOES_ON;
}

/*
 * The host reports lost data once, forgets that it was dirty, and is content from then on. The
 * guest must not be told that what is lost is durable, so the failure stays. It does not concern
 * later writes that are durable by themselves: their own data is there.
 */
static int end_sync(struct disk *disk, const struct disk_request *request, long result)
{
    if (result < 0)
        atomic_store(&disk->flush_failed, true);
    if (result == 0 && request->operation == DISK_FLUSH && atomic_load(&disk->flush_failed))
        return -EIO;
    return (int)result;
}

/* --- space --- */

static bool unsupported(long code)
{
    return code == -EOPNOTSUPP || code == -ENOTTY || code == -ENOSYS || code == -EINVAL;
}

static int allocate(struct disk_step *step, int mode)
{
    step->kind = STEP_ALLOCATE;
    step->mode = mode;
    return OPERATION_GOES_ON;
}

/* The next piece, of all up to `end`. */
static int discard_up_to(const struct disk *disk, struct disk_step *step, uint64_t end)
{
    uint64_t left = end - step->offset;

    step->length = left < DISCARD_SIZE ? left : DISCARD_SIZE;
    if (left == 0)
        return 0;
    if (!disk->block_device)
        return allocate(step, MAKE_HOLE);
    step->kind = STEP_DISCARD;
    return OPERATION_GOES_ON;
}

static int advance_discard(const struct disk *disk, struct disk_request *request, long result)
{
    struct disk_step *step = &request->step;

    if (unsupported(result))
        return 0; /* a hint: where the host cannot forget the content, it stays */
    if (result < 0)
        return (int)result;
    step->offset += step->length;
    return discard_up_to(disk, step, request->offset + request->length);
}

static int begin_zeroes(struct disk_request *request)
{
    struct disk_step *step = &request->step;

    if (step->length == 0)
        return 0;
    return allocate(step, request->unmap ? MAKE_HOLE : MAKE_ZEROS);
}

static int advance_zeroes(const struct disk *disk, struct disk_step *step, long result)
{
    if (!unsupported(result))
        return result == 0 ? end_write(step) : (int)result;
    return step->mode == MAKE_HOLE ? allocate(step, MAKE_ZEROS) : write_zeros(disk, step);
}

/* --- all of them --- */

int operation_begin(struct disk *disk, struct disk_request *request)
{
    struct disk_step *step = &request->step;
    int rc = check(disk, request);

    if (rc)
        return rc;
    step->direct = step->bounced = false;
    step->sync_after = request->durable && !disk_needs_no_sync(disk) &&
                       (request->operation == DISK_WRITE ||
                        request->operation == DISK_WRITE_ZEROES);
    step->offset = request->offset;
    step->length = request->length;
    switch (request->operation) {
    case DISK_READ:
    case DISK_WRITE:
        return begin_transfer(disk, request);
    case DISK_FLUSH:
        return begin_sync(disk, step);
    case DISK_DISCARD:
        return discard_up_to(disk, step, request->offset + request->length);
    case DISK_WRITE_ZEROES:
        return begin_zeroes(request);
    }
    return -EINVAL;
}

int operation_advance(struct disk *disk, struct disk_request *request, long result)
{
    /* The same step again; it is canceled when the thread that started it has ended meanwhile. */
    if (result == -EINTR || result == -ECANCELED)
        return OPERATION_GOES_ON;
    switch (request->step.kind) {
    case STEP_READ:
    case STEP_WRITE:
        return advance_transfer(disk, request, result);
    case STEP_SYNC:
        return end_sync(disk, request, result);
    default:
        return request->operation == DISK_DISCARD
                   ? advance_discard(disk, request, result)
                   : advance_zeroes(disk, &request->step, result);
    }
}
