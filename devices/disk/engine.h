/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the two halves of a disk: what it is (disk.c), and how requests reach the host (the
 * engine, engine_sync.c). For devices/disk only.
 */
#ifndef HUSK_DEVICES_DISK_ENGINE_H
#define HUSK_DEVICES_DISK_ENGINE_H

#include "devices/disk/disk.h"

struct disk {
    int fd;
    uint64_t size; /* bytes */
    uint32_t block_size;
    bool read_only;
    bool block_device;
    char identity[40];
    void (*settled)(void *context); /* NULL until a device attaches */
    void *context;
};

/* As the functions of disk.h; the request has been checked against the disk's size and mode. */
void disk_engine_submit(struct disk *disk, struct disk_request *request);
void disk_engine_commit(struct disk *disk);
void disk_engine_drain(struct disk *disk);

#endif
