/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A raw disk: a regular file or a block device on the host. Knows nothing of virtio.
 *
 *     struct disk             the image: descriptors, size, modes      this file
 *     struct disk_channel     a way to it that one thread uses         channel.h
 *       struct disk_request   a state machine of steps                 operation.h, private
 *         engine              how a step reaches the host              engine.h, private
 *                             io_uring, or plain preadv and friends
 *
 * Any number of channels share a disk. It is constant while they do, but for its size and for the
 * memory of a failed flush, which are atomic.
 */
#ifndef HUSK_DEVICES_DISK_H
#define HUSK_DEVICES_DISK_H

#include "core/err.h"
#include "core/log.h"

#include <stdbool.h>
#include <stdint.h>

#define DISK_SECTOR 512u
#define DISK_IDENTITY_SIZE 20u

struct disk;

enum disk_cache {
    DISK_CACHE_WRITEBACK, /* the host's page cache; a flush makes it durable */
    DISK_CACHE_NONE,      /* O_DIRECT; a flush empties the device's own cache */
    DISK_CACHE_UNSAFE,    /* the host's page cache; flushes do nothing */
};

enum disk_engine_choice {
    DISK_ENGINE_AUTO, /* io_uring where the host has and allows it, otherwise sync */
    DISK_ENGINE_IO_URING,
    DISK_ENGINE_SYNC,
};

struct disk_options {
    const char *path;
    bool read_only;
    enum disk_cache cache;
    enum disk_engine_choice engine;
};

/*
 * Opens and locks the image. A writer excludes everybody, readers share; the lock is an open file
 * description lock, so it also holds between two machines of one process, and ends with
 * disk_close() or the process. (A filesystem that has no locks gives none.)
 *
 * Every message ends in what to do. Errors: -EBUSY in use; -EISDIR, -EINVAL wrong kind of file,
 * empty, or a size that is no multiple of the sector (the tail would be lost to the guest, so it
 * is not silently cut off), or no O_DIRECT here; -EACCES, -EROFS, -EPERM only readable, though
 * read_only was not asked for; or what open(2) says.
 */
int disk_open(struct disk **disk, const struct disk_options *options, struct err *err);

/* No channel may be open. NULL is harmless. Does not flush: what was not flushed is the guest's
 * choice, and is in the host's page cache. */
void disk_close(struct disk *disk);

uint64_t disk_size(const struct disk *disk);       /* bytes, a multiple of the sector */
uint32_t disk_block_size(const struct disk *disk); /* bytes: the smallest good transfer, >= 512 */
bool disk_read_only(const struct disk *disk);
enum disk_cache disk_cache(const struct disk *disk);

/* What transfers the host likes; a driver may arrange its data by it. Bytes, multiples of 512. */
struct disk_topology {
    uint32_t physical_block; /* a power of two */
    uint32_t minimum_io;
    uint32_t optimal_io; /* 0: nothing better than any other */
};

struct disk_topology disk_topology(const struct disk *disk);

/* Stable as long as the image is the same file; NUL-padded, not always NUL-terminated. */
void disk_identity(const struct disk *disk, char identity[DISK_IDENTITY_SIZE]);

/*
 * Looks at the image's size again. Any thread. Requests that go on meanwhile are checked against
 * the old size or the new one. Errors, with the old size kept: -EINVAL as for disk_open().
 */
int disk_refresh(struct disk *disk, struct err *err);

#endif
