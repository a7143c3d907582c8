/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver's side of a virtqueue, split or packed, in the memory of a mock guest. Keeps the rules
 * where a test does not want to break them, and is no part of what is tested: it shares nothing
 * with devices/virtio/queue*.c but the structures of <linux/virtio_ring.h>.
 */
#ifndef HUSK_TESTS_MOCK_RING_H
#define HUSK_TESTS_MOCK_RING_H

#include "devices/virtio/queue.h"

#include <stdbool.h>
#include <stdint.h>

struct mock_guest;

/* One descriptor, as the driver writes it. */
struct mock_descriptor {
    uint64_t address;
    uint32_t length;
    uint16_t flags;
    uint16_t next; /* packed: the id */
};

struct mock_ring {
    const struct mock_guest *guest;
    bool packed;
    uint16_t size;
    uint64_t descriptors, avail, used; /* the three areas; guest-physical */
    uint16_t avail_idx;                /* chains that were offered */
    uint16_t used_idx;                 /* chains that were taken back */
    uint16_t next_descriptor;          /* the next one that the driver fills */
    /* Packed. Positions run through two laps of the ring, the first with wrap counter 1. */
    uint16_t avail_position;
    uint16_t used_position;
    uint16_t next_id;
    uint16_t slots[VIRTQ_SIZE_MAX]; /* that the chain with that id takes; 0: no such chain */
};

/* Places ring number `index` in memory, zeroed, in the guest's format. */
void mock_ring_place(struct mock_ring *ring, const struct mock_guest *guest, unsigned index,
                     uint16_t size);
void mock_ring_setup(const struct mock_ring *ring, struct virtq_setup *setup);

/* Writes a descriptor as it is, in the ring (or the descriptor table) or in an indirect table. */
void mock_set_descriptor(const struct mock_ring *ring, uint16_t index,
                         const struct mock_descriptor *descriptor);
void mock_set_table_entry(const struct mock_guest *guest, uint64_t table, unsigned index,
                          const struct mock_descriptor *descriptor);

/*
 * Split: makes `head` available. Packed: makes the descriptor available that is next in the ring,
 * as it stands there, and counts it as a chain of one.
 */
void mock_offer(struct mock_ring *ring, uint16_t head);

/*
 * Chains `count` buffers (of their flags only WRITE and INDIRECT count) and offers them. The
 * chain's name, as mock_take() gives it: head or id.
 */
uint16_t mock_add(struct mock_ring *ring, const struct mock_descriptor *buffers, unsigned count);

/* Takes a chain back; false when there is none. */
bool mock_take(struct mock_ring *ring, uint32_t *name, uint32_t *length);

/* How many chains the device has given back, taken or not. */
uint16_t mock_used_idx(const struct mock_ring *ring);

/* Event suppression. Packed: an event index is a position, flags are the split ring's. */
uint16_t mock_used_flags(const struct mock_ring *ring);
uint16_t mock_avail_event(const struct mock_ring *ring);
void mock_set_used_event(const struct mock_ring *ring, uint16_t value);
void mock_set_avail_flags(const struct mock_ring *ring, uint16_t flags);

/* Split rings only. */
void mock_set_avail_idx(const struct mock_ring *ring, uint16_t idx);

#endif
