/* SPDX-License-Identifier: Apache-2.0 */
/* virtio socket device (virtio 1.2, section 5.10), for stream sockets. */
#ifndef HUSK_DEVICES_VIRTIO_VSOCK_H
#define HUSK_DEVICES_VIRTIO_VSOCK_H

#include "devices/virtio/device.h"
#include "devices/vsock/vsock.h"

/* `vsock` stays the caller's, who closes it after the device is destroyed. */
int virtio_vsock_create(struct virtio_device **device,
                        const struct virtio_environment *environment, struct vsock *vsock,
                        struct err *err);

#endif
