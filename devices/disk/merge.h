/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests of a batch that follow each other on the disk, made one for the host. For devices/disk
 * only, and for the channel's thread.
 *
 *     member   member   member          as submitted, linked by disk_request.next
 *     +-------------------------+
 *     | run                     |       what the engine gets, with all their buffers
 *     +-------------------------+
 *
 * A run that fails is taken apart, and its members are tried one by one, so that each gets the
 * answer that is its own.
 */
#ifndef HUSK_DEVICES_DISK_MERGE_H
#define HUSK_DEVICES_DISK_MERGE_H

#include "devices/disk/channel.h"

#define MERGE_RUNS 16u
#define MERGE_PIECES 128u

/*
 * How long a run becomes. Reads: the host copies one while the guest has the last. Writes: where
 * the host leaves them to a worker, it does one after the other, and the end of each wakes the loop.
 */
#define MERGE_READ_MAX ((uint64_t)256 << 10)
#define MERGE_WRITE_MAX ((uint64_t)2 << 20)

struct merge_run {
    struct disk_request request; /* first member: the two convert to each other */
    struct merge_run *next_free;
    struct disk_request *members, *last;
    struct iovec iov[MERGE_PIECES];
};

/* What is kept back until the next request shows whether it follows. */
struct merge {
    struct disk_request *held; /* a request, or an open run; NULL: nothing */
    struct merge_run *runs;    /* MERGE_RUNS, of which nobody has touched those from runs_used on */
    unsigned runs_used;
    struct merge_run *free; /* the one used last is used next */
};

/* -ENOMEM */
int merge_open(struct merge *merge);
void merge_close(struct merge *merge);

/*
 * Offers a request. True: it is kept back, alone or as part of a run, and *release is NULL or what
 * was kept back until now. False: it cannot be merged; *release comes before it.
 */
bool merge_take(struct merge *merge, struct disk_request *request, struct disk_request **release);

/* What is kept back, which then is not any more; NULL: nothing. */
struct disk_request *merge_release(struct merge *merge);

/* The members of a run, whose memory is free again; NULL if `request` is none. */
struct disk_request *merge_take_apart(struct merge *merge, struct disk_request *request);

#endif
