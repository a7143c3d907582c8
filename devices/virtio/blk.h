/* SPDX-License-Identifier: Apache-2.0 */
/* virtio block device (virtio 1.2, section 5.2) over a disk/ backend. */
#ifndef HUSK_DEVICES_VIRTIO_BLK_H
#define HUSK_DEVICES_VIRTIO_BLK_H

#include "core/rate.h"
#include "devices/disk/disk.h"
#include "devices/virtio/device.h"

#define VIRTIO_BLK_QUEUES_MAX 16u

struct virtio_blk_options {
    const char *serial; /* cut at 20 bytes; NULL or "": the disk's identity. Copied. */
    unsigned queues;    /* 1 to VIRTIO_BLK_QUEUES_MAX; 0: 1 */
    struct rate_pair rate; /* all queues together; copied, so that a full bucket begins full */
};

/* The disk is borrowed and must outlive the device. `options` may be NULL. */
int virtio_blk_create(struct virtio_device **device, const struct virtio_environment *environment,
                      const struct virtio_blk_options *options, struct disk *disk,
                      struct err *err);

/*
 * On the device's loop: the disk's size may have changed. The driver hears of a new one. Errors:
 * as disk_refresh(); nothing has changed then.
 */
int virtio_blk_refresh(struct virtio_device *device, struct err *err);

#endif
