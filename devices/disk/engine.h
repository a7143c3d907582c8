/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between a channel and the engine that brings its steps to the host. For devices/disk only.
 *
 * All functions run on the channel's thread; open and close, also while nothing is in flight, on
 * the thread that owns the channel then.
 */
#ifndef HUSK_DEVICES_DISK_ENGINE_H
#define HUSK_DEVICES_DISK_ENGINE_H

#include "devices/disk/channel.h"
#include "devices/disk/image.h"
#include "devices/disk/merge.h"
#include "devices/disk/operation.h"

struct disk_engine {
    const char *name;
    /* Sets channel->ring up; 0, or -errno if the host does not have it or forbids it. */
    int (*open)(struct disk_channel *channel);
    void (*close)(struct disk_channel *channel);
    /*
     * Starts the step that is ready. True: it is done already, with *result as for
     * operation_advance(). False: channel_stepped() will be called, later.
     */
    bool (*start)(struct disk_channel *channel, struct disk_request *request, long *result);
    /* Hands all that was started to the host, and reports what is done already. */
    void (*commit)(struct disk_channel *channel);
    /* Waits until at least one step is done. Something is in flight. */
    void (*wait)(struct disk_channel *channel);
};

extern const struct disk_engine disk_engine_sync;
extern const struct disk_engine disk_engine_uring;

struct disk_ring; /* engine_uring.c */

struct disk_channel {
    struct disk *disk;
    struct disk_channel_options options;
    const struct disk_engine *engine; /* NULL before the first request */
    struct disk_ring *ring;
    struct merge merge;
    struct disk_request *again; /* members of runs that failed, to be tried one by one */
    unsigned in_flight; /* requests of the owner */
    bool draining;
    int sync_fd;        /* -1: nothing is synced; see channel.c */
    struct disk_request *syncing;   /* whose step the engine has, and all that it syncs for too */
    struct disk_request *sync_line; /* who came meanwhile */
    struct disk_request *synced;    /* who is to be told of the last one's result */
    long sync_result;
    void *bounce;       /* BOUNCE_SIZE bytes, if the disk goes past the page cache */
    struct disk_request *bounced;             /* whose step uses it */
    struct disk_request *waiting, **last_waiting; /* who wants it next, in order */
    struct disk_counters counters;
};

/* A step that was in flight is done. */
void channel_stepped(struct disk_channel *channel, struct disk_request *request, long result);

/* Some steps are done: tells the channel's owner. */
void channel_settled(struct disk_channel *channel);

/* The memory of a transfer step, and the descriptor a step goes by. */
static inline struct iovec *step_iov(struct disk_step *step, unsigned *count)
{
    *count = step->bounced ? 1 : step->iov_count;
    return step->bounced ? &step->buffer : step->iov;
}

static inline int step_fd(const struct disk_channel *channel, const struct disk_step *step)
{
    if (step->kind == STEP_SYNC)
        return channel->sync_fd;
    return step->direct ? channel->disk->direct_fd : channel->disk->fd;
}

/* BLKDISCARD, of which there is no asynchronous form on older hosts; 0 or -errno. */
int step_discard(const struct disk *disk, const struct disk_step *step);

#endif
