/* SPDX-License-Identifier: Apache-2.0 */
/* virtio block device (virtio 1.2, section 5.2) over a disk/ backend; one queue. */
#ifndef HUSK_DEVICES_VIRTIO_BLK_H
#define HUSK_DEVICES_VIRTIO_BLK_H

#include "devices/disk/disk.h"
#include "devices/virtio/device.h"

struct virtio_blk_options {
    const char *serial; /* cut at 20 bytes; NULL or "": the disk's identity. Copied. */
};

/* The disk is borrowed and must outlive the device. `options` may be NULL. */
int virtio_blk_create(struct virtio_device **device, const struct virtio_environment *environment,
                      const struct virtio_blk_options *options, struct disk *disk,
                      struct err *err);

#endif
