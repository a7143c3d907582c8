/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio entropy source (virtio 1.2, section 5.4) from the host's getrandom(2), at a rate that
 * a guest which asks for ever more cannot use to burn the host's time.
 */
#ifndef HUSK_DEVICES_VIRTIO_RNG_H
#define HUSK_DEVICES_VIRTIO_RNG_H

#include "devices/virtio/device.h"

int virtio_rng_create(struct virtio_device **device, const struct virtio_environment *environment,
                      struct err *err);

#endif
