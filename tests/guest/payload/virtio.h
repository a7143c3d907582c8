/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The least virtio driver (virtio 1.2, 3.1, 4.1 and 4.2), on PCI if the machine has it: one queue,
 * split or packed, polled. A device with several queues has as many drivers, which differ in `queue`
 * and `ring`. The ring is in plain sight, for payloads that break the rules.
 */
#ifndef HUSK_GUEST_VIRTIO_H
#define HUSK_GUEST_VIRTIO_H

#include "guest.h"
#include "virtio_pci.h"

#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>

#define RING_SIZE 16

/* Of a packed ring's descriptors (2.8.1). */
#define PACKED_AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define PACKED_USED (1u << VRING_PACKED_DESC_F_USED)

struct split_ring {
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

struct packed_ring {
    struct vring_packed_desc descriptors[RING_SIZE] __attribute__((aligned(16)));
    struct vring_packed_desc_event driver_event __attribute__((aligned(4)));
    struct vring_packed_desc_event device_event __attribute__((aligned(4)));
    /* The driver's own. Positions run through two laps, the first with wrap counter 1. */
    uint16_t size;
    uint16_t next_avail;
    uint16_t next_used;
    uint16_t used_count;
    uint16_t slots[RING_SIZE]; /* of the chain whose id that is */
};

union ring {
    struct split_ring split;
    struct packed_ring packed;
};

struct virtio {
    struct virtio_pci pci;
    uint64_t base;      /* of its register window, or of its BAR when it was found */
    uint32_t size;      /* of that, as far as there is something */
    uint32_t id;        /* VIRTIO_ID_..., 0: nothing there */
    uint32_t queue;     /* 0, unless the payload wants another one */
    bool packed;        /* what virtio_negotiate() asks for */
    uint32_t more;      /* and which features of the high word */
    union ring *ring;   /* volatile in use: the device writes to it */
};

/* A part of a chain: where, how much, VRING_DESC_F_WRITE and _INDIRECT. */
struct buffer {
    uint64_t address;
    uint32_t size;
    uint16_t flags;
};

/* The device in window `index`, or PCI slot 1 + index, if there is one. */
bool virtio_find(struct virtio *virtio, unsigned index, union ring *ring);

/* A register by its offset in virtio-mmio, whatever carries the device. */
uint32_t virtio_read(const struct virtio *virtio, uint32_t offset);
void virtio_write(const struct virtio *virtio, uint32_t offset, uint32_t value);

/* Address of the device's configuration space. */
uint64_t virtio_config(const struct virtio *virtio);

uint32_t virtio_status(const struct virtio *virtio);

/* Writes 0 to the status and sees it come back as 0. */
bool virtio_reset(const struct virtio *virtio);

/* Feature bits of the low word (0) or the high one (1). */
uint32_t virtio_offered(const struct virtio *virtio, uint32_t word);

/* From reset to FEATURES_OK, with VERSION_1 and these feature bits of the low word. */
bool virtio_negotiate(const struct virtio *virtio, uint32_t features);

/* Tells the device where its ring of `size` entries is, a clean one; _set_ makes it ready too. */
void virtio_place_queue(const struct virtio *virtio, uint32_t size);
void virtio_set_queue(const struct virtio *virtio, uint32_t size);

/* virtio_negotiate(), virtio_set_queue() and DRIVER_OK. */
bool virtio_start(const struct virtio *virtio, uint32_t features);

/* Makes a chain available; a split ring's has its descriptors at the table's beginning. */
void virtio_offer(const struct virtio *virtio, const struct buffer *buffers, unsigned count);

void virtio_kick(const struct virtio *virtio);

/* Both. */
void virtio_submit(const struct virtio *virtio, const struct buffer *buffers, unsigned count);

/* How many chains are used since the ring was clean. */
uint16_t virtio_used(const struct virtio *virtio);

/* Waits until `count` chains are used, or the device has given up, or for too long. */
bool virtio_wait(const struct virtio *virtio, uint16_t count);

/* Split: fills descriptor `index`, and makes the chain that starts at `head` available. */
void virtio_describe(const struct virtio *virtio, uint16_t index, const void *buffer,
                     uint32_t size, uint16_t flags, uint16_t next);
void virtio_offer_head(const struct virtio *virtio, uint16_t head);

#endif
