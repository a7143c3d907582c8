/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A way to a disk that one thread uses: that of the loop it was opened for. Nothing is shared with
 * the disk's other channels, so that each queue of a device has one of its own.
 *
 * Requests are submitted one by one, handed to the host together at the end of a batch, and
 * complete in any order. All memory that a request in flight needs is its owner's, or the
 * channel's from the start; nothing is allocated for it.
 */
#ifndef HUSK_DEVICES_DISK_CHANNEL_H
#define HUSK_DEVICES_DISK_CHANNEL_H

#include "core/counter.h"
#include "core/loop.h"
#include "devices/disk/disk.h"

#include <sys/uio.h>

struct disk_channel;

enum disk_operation {
    DISK_READ,
    DISK_WRITE,
    /*
     * All writes that completed before it was submitted, on any channel, are durable when it
     * completes. Writes still in flight may be or not. After one has failed all fail: the host
     * has dropped data then, of which nobody knows which.
     */
    DISK_FLUSH,
    DISK_DISCARD,      /* the content may be forgotten; a host that cannot do it does nothing */
    DISK_WRITE_ZEROES, /* reads give zeros afterwards */
};

#define DISK_OPERATIONS 5u

/* What an engine does next for a request; private to devices/disk. */
struct disk_step {
    unsigned char kind;
    bool direct;     /* by the descriptor that bypasses the page cache */
    bool bounced;    /* by the channel's buffer, not by that of the caller */
    bool sync_after; /* a last step makes it durable */
    int mode;        /* of fallocate */
    uint64_t offset; /* bytes */
    uint64_t length;
    struct iovec *iov;
    unsigned iov_count;
    struct iovec buffer; /* the list for what does not come from the caller */
};

/* Owned by the caller; it and its iovecs stay valid until `done`. */
struct disk_request {
    enum disk_operation operation;
    bool unmap;      /* DISK_WRITE_ZEROES: the space may be given back to the host */
    bool durable;    /* writes of both kinds: completes when it is durable, as if flushed */
    uint64_t offset; /* bytes */
    uint64_t length; /* bytes; for reads and writes the size of the list */
    struct iovec *iov; /* used up by the disk, which moves the entries forward */
    unsigned iov_count;
    void *owner; /* the submitter's; the disk does not look at it */
    /*
     * Result: 0 or -errno. A request past the end of the disk is -EINVAL, a write to a read-only
     * disk -EROFS. After an error of a read or write any part of it may have happened. It may
     * submit further requests.
     */
    void (*done)(struct disk_request *request, int result);

    struct disk_request *next; /* from here on the disk's, while it has the request */
    struct disk_step step;
};

struct disk_counters {
    struct counter requests[DISK_OPERATIONS];
    struct counter bytes_read;
    struct counter bytes_written;
    struct counter merged;  /* requests that went to the host as one with others */
    struct counter batches; /* times the engine handed requests to the host */
    struct counter errors;
};

struct disk_channel_options {
    struct loop *loop;
    unsigned depth; /* the most requests that are ever in flight */
    const struct log *log; /* may be NULL */
    /*
     * Whom to tell, once for a batch of completions, that some `done` ran: the place to interrupt
     * a guest. At the latest disk_channel_commit() tells it of what completed meanwhile.
     */
    void (*settled)(void *context);
    void *context;
};

/*
 * The disk must outlive the channel. What the engine needs of the host is asked for with the first
 * request, so that disks which no guest uses cost nothing; only if io_uring was asked for by name,
 * it is set up now, to fail now. Errors: -ENOMEM; what io_uring_setup(2) says.
 */
int disk_channel_open(struct disk_channel **channel, struct disk *disk,
                      const struct disk_channel_options *options, struct err *err);

/* Drained. NULL is harmless. */
void disk_channel_close(struct disk_channel *channel);

/* Takes a request. `done` may run before this returns. */
void disk_channel_submit(struct disk_channel *channel, struct disk_request *request);

/* End of a batch of submissions: nothing is kept back any longer. */
void disk_channel_commit(struct disk_channel *channel);

/*
 * Returns when nothing is in flight; every `done` has run. Discards are given up, with success. For
 * resets and snapshots.
 */
void disk_channel_drain(struct disk_channel *channel);

/* "io_uring" or "sync"; NULL before the first request. */
const char *disk_channel_engine(const struct disk_channel *channel);

/* Any thread may read them. */
const struct disk_counters *disk_channel_counters(const struct disk_channel *channel);

#endif
