/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a disk, for devices/disk only: disk.c makes it, channels work by it. */
#ifndef HUSK_DEVICES_DISK_IMAGE_H
#define HUSK_DEVICES_DISK_IMAGE_H

#include "devices/disk/disk.h"

#include <stdatomic.h>
#include <stddef.h>

/* Zeros to write where the host cannot make them: read-only memory that takes no page. */
#define DISK_ZEROS_SIZE ((size_t)256 << 10)

/* A host that wants more for direct transfers is not served. */
#define DIRECT_ALIGNMENT_MAX 4096u

struct disk {
    char *path;
    int lock_fd;   /* holds the lock, and has no part in requests */
    int fd;        /* through the page cache */
    int direct_fd; /* past it; -1 unless the cache is NONE */
    uint32_t memory_alignment; /* of direct transfers: of addresses and lengths in a list */
    uint32_t offset_alignment; /* of their place and total length */
    uint32_t block_size;
    struct disk_topology topology;
    _Atomic uint64_t size; /* bytes */
    atomic_bool flush_failed;
    bool read_only;
    bool block_device;
    enum disk_cache cache;
    enum disk_engine_choice engine;
    const void *zeros; /* DISK_ZEROS_SIZE; NULL for a read-only disk */
    char identity[40];
};

/*
 * Opens another description of the image, with more flags of open(2). Errors, with a message:
 * -ESTALE the path leads to another file by now; as open(2).
 */
int disk_open_again(const struct disk *disk, int flags, int *fd, struct err *err);

/* Whether there is nothing that a flush could make durable, or nobody who wants that. */
static inline bool disk_needs_no_sync(const struct disk *disk)
{
    return disk->read_only || disk->cache == DISK_CACHE_UNSAFE;
}

#endif
