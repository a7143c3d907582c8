/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The least virtio-mmio driver (virtio 1.2, 3.1 and 4.2): queue 0, polled, one chain at a time.
 * The ring is in plain sight, for payloads that break the rules.
 */
#ifndef HUSK_GUEST_VIRTIO_H
#define HUSK_GUEST_VIRTIO_H

#include "guest.h"

#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>

#define RING_SIZE 16

struct ring {
    struct vring_desc descriptors[RING_SIZE] __attribute__((aligned(16)));
    struct {
        uint16_t flags;
        uint16_t idx;
        uint16_t ring[RING_SIZE];
        uint16_t used_event;
    } avail __attribute__((aligned(2)));
    struct {
        uint16_t flags;
        uint16_t idx;
        struct vring_used_elem ring[RING_SIZE];
        uint16_t avail_event;
    } used __attribute__((aligned(4)));
};

struct virtio {
    uint64_t base;     /* of its register window */
    uint32_t id;       /* VIRTIO_ID_..., 0: nothing there */
    struct ring *ring; /* volatile in use: the device writes `used` */
};

/* The device in window `index`, if there is one. */
bool virtio_find(struct virtio *virtio, unsigned index, struct ring *ring);

uint32_t virtio_status(const struct virtio *virtio);

/* Writes 0 to the status and sees it come back as 0. */
bool virtio_reset(const struct virtio *virtio);

/* From reset to FEATURES_OK, with VERSION_1 and these feature bits of the low word. */
bool virtio_negotiate(const struct virtio *virtio, uint32_t features);

/* Gives the device a clean ring of `size` entries. */
void virtio_set_queue(const struct virtio *virtio, uint32_t size);

/* virtio_negotiate(), virtio_set_queue() and DRIVER_OK. */
bool virtio_start(const struct virtio *virtio, uint32_t features);

/* Makes the chain that starts at descriptor `head` available, and kicks. */
void virtio_submit(const struct virtio *virtio, uint16_t head);

/* Waits until `count` chains are used, or the device has given up, or for too long. */
bool virtio_wait(const struct virtio *virtio, uint16_t count);

/* Fills descriptor `index`. */
void virtio_describe(const struct virtio *virtio, uint16_t index, const void *buffer,
                     uint32_t size, uint16_t flags, uint16_t next);

#endif
