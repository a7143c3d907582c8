/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A raw disk: a regular file or a block device on the host. Knows nothing of virtio.
 *
 * Requests are asynchronous in shape: submitted one by one, handed to the host at the end of a
 * batch, completed by a callback on the loop's thread. The engine behind it today is synchronous
 * (preadv and friends): the callback runs inside disk_submit().
 */
#ifndef HUSK_DEVICES_DISK_H
#define HUSK_DEVICES_DISK_H

#include "core/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#define DISK_SECTOR 512u
#define DISK_IDENTITY_SIZE 20u

struct disk;

struct disk_options {
    const char *path;
    bool read_only;
};

/*
 * Opens and locks the image. A writer excludes everybody, readers share; the lock is an open file
 * description lock, so it also holds between two machines of one process, and ends with
 * disk_close() or the process. (A filesystem that has no locks gives none.)
 *
 * Every message ends in what to do. Errors: -EBUSY in use; -EISDIR, -EINVAL wrong kind of file,
 * empty, or a size that is no multiple of the sector (the tail would be lost to the guest, so it
 * is not silently cut off); -EACCES, -EROFS, -EPERM only readable, though read_only was not asked
 * for; or what open(2) says.
 */
int disk_open(struct disk **disk, const struct disk_options *options, struct err *err);

/* Nothing may be in flight. NULL is harmless. Does not flush: what was not flushed is the
 * guest's choice, and is in the host's page cache. */
void disk_close(struct disk *disk);

uint64_t disk_size(const struct disk *disk);       /* bytes, a multiple of disk_block_size() */
uint32_t disk_block_size(const struct disk *disk); /* bytes: the host's logical block, >= 512 */
bool disk_read_only(const struct disk *disk);

/* Stable as long as the image is the same file; NUL-padded, not always NUL-terminated. */
void disk_identity(const struct disk *disk, char identity[DISK_IDENTITY_SIZE]);

enum disk_operation {
    DISK_READ,
    DISK_WRITE,
    DISK_FLUSH,        /* all completed writes are durable when it completes */
    DISK_DISCARD,      /* the content may be forgotten; a host that cannot do it does nothing */
    DISK_WRITE_ZEROES, /* reads give zeros afterwards */
};

/* Owned by the caller; it and its iovecs stay valid and unchanged until `done`. */
struct disk_request {
    enum disk_operation operation;
    bool unmap;      /* DISK_WRITE_ZEROES: the space may be given back to the host */
    uint64_t offset; /* bytes */
    uint64_t length; /* bytes; for reads and writes the size of the list */
    const struct iovec *iov;
    unsigned iov_count;
    void *owner; /* the submitter's; the disk does not look at it */
    /*
     * Result: 0 or -errno. A request past the end of the disk is -EINVAL, a write to a read-only
     * disk -EROFS. After an error of a read or write any part of it may have happened.
     */
    void (*done)(struct disk_request *request, int result);
};

/*
 * Whom to tell, once for a batch of completions, that some `done` ran: the place to interrupt a
 * guest. At the latest disk_commit() tells it of what completed while the batch was submitted.
 */
void disk_attach(struct disk *disk, void (*settled)(void *context), void *context);

/* Takes a request. Loop's thread. `done` may run before this returns. */
void disk_submit(struct disk *disk, struct disk_request *request);

/* End of a batch of submissions: nothing is kept back any longer. */
void disk_commit(struct disk *disk);

/* Returns when nothing is in flight; every `done` has run. For resets and snapshots. */
void disk_drain(struct disk *disk);

#endif
