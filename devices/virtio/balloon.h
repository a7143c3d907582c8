/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio memory balloon (virtio 1.2, section 5.5): memory that a guest does not use comes back to the
 * host, in two ways.
 *
 * - Free page reporting: the guest tells by itself, all the time, which of its memory is free. It
 *   may use it again at any time, without asking.
 * - The balloon: the guest gives up as much as the host asks for, and has it back when the host
 *   asks for less, or when it runs out of memory.
 */
#ifndef HUSK_DEVICES_VIRTIO_BALLOON_H
#define HUSK_DEVICES_VIRTIO_BALLOON_H

#include "devices/virtio/device.h"

int virtio_balloon_create(struct virtio_device **device,
                          const struct virtio_environment *environment, struct err *err);

/*
 * Asks the guest to give up `bytes` in all, of which whole pages of 4 KiB count; at most the size of
 * its memory. Loop, or before it runs.
 */
void virtio_balloon_set_target(struct virtio_device *device, uint64_t bytes);

struct virtio_balloon_figures {
    uint64_t target;    /* bytes that the guest has been asked for */
    uint64_t actual;    /* bytes that it has given up, as it says */
    uint64_t discarded; /* bytes given back to the host, in all; some may be in use again */
};

/* Any thread. */
struct virtio_balloon_figures virtio_balloon_figures(const struct virtio_device *device);

#endif
