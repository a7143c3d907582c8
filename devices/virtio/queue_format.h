/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the halves of a virtqueue: what both ring formats share (queue.c), and what differs
 * (queue_split.c, queue_packed.c). For these three files only.
 *
 * The memory order that both sides rely on (2.7.13, 2.7.7 to 2.7.10, 2.8.21, 2.8.22):
 *
 *     driver                              device
 *     write descriptors                   read "available" (acquire)
 *     release "available"          --->   read descriptors
 *     full fence                          write when a kick is wanted
 *     read when a kick is wanted          full fence, read "available" again
 *
 * and the mirror image for what is used and when an interrupt is wanted. "Available" is avail.idx
 * in a split ring and the flags of a chain's first descriptor in a packed one. Of two sides that
 * each write, fence and then read the other's word at least one sees the other's write, so no
 * wake-up is lost. The full fences are in queue.c, the rest is the formats'.
 */
#ifndef HUSK_DEVICES_VIRTIO_QUEUE_FORMAT_H
#define HUSK_DEVICES_VIRTIO_QUEUE_FORMAT_H

#include "devices/virtio/queue.h"

#include <endian.h>

/* When the driver wants the next interrupt. */
enum virtq_wish {
    VIRTQ_NEVER,
    VIRTQ_ALWAYS,
    VIRTQ_AT_POSITION, /* once the slot at a position is used */
};

/* Called on a queue that is started and not broken. Positions are advanced by the caller. */
struct virtq_format {
    /* Finds the rings and sets their period. NULL, or what is wrong with the layout. */
    const char *(*open)(struct virtq *queue, const struct virtq_setup *setup);
    /* Whether there is a chain at next_avail. */
    bool (*available)(const struct virtq *queue);
    /* Reads the chain at next_avail: 1 and a filled chain; 0 when there is none; -EPROTO. */
    int (*take)(struct virtq *queue, struct virtq_chain *chain);
    /* Writes what the driver takes `count` > 0 chains back by, from next_used on; all at once. */
    void (*give)(struct virtq *queue, const struct virtq_used *used, unsigned count);
    enum virtq_wish (*interrupt_wish)(const struct virtq *queue, uint16_t *position);
    void (*suppress_kicks)(struct virtq *queue);
    void (*enable_kicks)(struct virtq *queue);
};

extern const struct virtq_format virtq_split;
extern const struct virtq_format virtq_packed;

/* Breaks the queue; -EPROTO, for `return`. */
int virtq_broken(struct virtq *queue, const char *fault);

/* `position` and `slots` less than the period, or equal to it. */
static inline uint16_t virtq_forward(const struct virtq *queue, uint16_t position, uint32_t slots)
{
    uint32_t sum = position + slots;

    return (uint16_t)(sum < queue->period ? sum : sum - queue->period);
}

/* A part of the ring in guest memory; NULL when it is misaligned or not in memory. */
void *virtq_part(const struct virtq *queue, struct gpa base, uint64_t size, uint64_t alignment);

static inline uint16_t virtq_load(const __le16 *from)
{
    return le16toh(__atomic_load_n(from, __ATOMIC_RELAXED));
}

static inline uint16_t virtq_load_acquire(const __le16 *from)
{
    return le16toh(__atomic_load_n(from, __ATOMIC_ACQUIRE));
}

static inline void virtq_store(__le16 *to, uint16_t value)
{
    __atomic_store_n(to, htole16(value), __ATOMIC_RELAXED);
}

static inline void virtq_store_release(__le16 *to, uint16_t value)
{
    __atomic_store_n(to, htole16(value), __ATOMIC_RELEASE);
}

/* --- chains --- */

/* Both formats have descriptors of this size, which begin with address and length. */
#define VIRTQ_DESCRIPTOR_SIZE 16u

/* A private copy of one. */
struct virtq_descriptor {
    uint64_t address;
    uint32_t length;
    uint16_t flags; /* VRING_DESC_F_... */
    uint16_t link;  /* index of the next one (split), or buffer id (packed) */
};

/* A walk along a chain. The walker bounds its steps: a chain has at most VIRTQ_SIZE_MAX buffers. */
struct virtq_walk {
    struct virtq *queue;
    struct virtq_chain *chain;
    bool writable_seen;
};

/* Starts with an empty chain. */
struct virtq_walk virtq_walk(struct virtq *queue, struct virtq_chain *chain);

/* Checks a descriptor's buffer and adds it to the chain; 0 or -EPROTO. */
int virtq_add_buffer(struct virtq_walk *walk, const struct virtq_descriptor *descriptor);

/* A table of descriptors in guest memory: the descriptor area, or an indirect table. */
struct virtq_table {
    const uint8_t *bytes; /* an indirect table may lie at any address */
    uint32_t count;       /* descriptors */
    bool indirect;
};

/* The table that an indirect descriptor refers to (2.7.5.3, 2.8.7); 0 or -EPROTO. */
int virtq_enter_indirect(struct virtq *queue, const struct virtq_descriptor *descriptor,
                         struct virtq_table *table);

#endif
