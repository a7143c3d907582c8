/* SPDX-License-Identifier: Apache-2.0 */
/* virtio file system device (virtio 1.2, section 5.11), whose queues virtiofsd serves. */
#ifndef HUSK_DEVICES_VIRTIO_FS_H
#define HUSK_DEVICES_VIRTIO_FS_H

#include "devices/fs/share.h"
#include "devices/virtio/device.h"

#define VIRTIO_FS_TAG_MAX 36u /* bytes */

/*
 * `tag` is the name that the guest mounts it by, 1 to VIRTIO_FS_TAG_MAX bytes. `share` stays the
 * caller's, who closes it after the device is destroyed. There is nothing to save: what of files the
 * guest has open virtiofsd alone knows.
 */
int virtio_fs_create(struct virtio_device **device, const struct virtio_environment *environment,
                     const char *tag, struct share *share, struct err *err);

/* Waits until the share is ready. Before the guest runs; errors as share_await(). */
int virtio_fs_await(struct virtio_device *device, struct err *err);

#endif
