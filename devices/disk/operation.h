/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests as state machines, the same for every engine: which step an engine does next, and what
 * its result means. A read is one step, or several where the host transfers less than it was asked
 * to; zeros are tried as a hole, as a range of zeros and as data. For devices/disk only.
 */
#ifndef HUSK_DEVICES_DISK_OPERATION_H
#define HUSK_DEVICES_DISK_OPERATION_H

#include "devices/disk/channel.h"
#include "devices/disk/image.h"

enum disk_step_kind {
    STEP_READ,     /* preadv: the list, from `offset` */
    STEP_WRITE,    /* pwritev */
    STEP_SYNC,     /* fdatasync, by the channel's descriptor for that */
    STEP_ALLOCATE, /* fallocate: `mode`, `offset`, `length` */
    STEP_DISCARD,  /* BLKDISCARD: `offset`, `length` */
};

/* Another step is ready in request->step; all other outcomes are the request's result. */
#define OPERATION_GOES_ON 1

/*
 * Discards go to the host in pieces of this size: between two of them others have their turn, and
 * a channel that is drained can stop.
 */
#define DISCARD_SIZE ((uint64_t)256 << 20)

/* Bounced steps transfer no more at a time. */
#define BOUNCE_SIZE ((size_t)64 << 10)

/* Checks the request and prepares its first step: OPERATION_GOES_ON, 0 or -errno. */
int operation_begin(struct disk *disk, struct disk_request *request);

/*
 * The step had this result: bytes for reads and writes, 0 for others, or -errno. Prepares the next
 * one, or gives the request's own result.
 */
int operation_advance(struct disk *disk, struct disk_request *request, long result);

#endif
