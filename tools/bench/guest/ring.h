/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtqueue seen from the driver, split or packed (virtio 1.2, sections 2.7 and 2.8), polled: the
 * device is asked for no interrupts, unless `interrupts` wants what a driver that sleeps would
 * cause. Every chain is one descriptor, direct or indirect, and so takes one slot of either ring;
 * positions run freely, and the bit above the slot's tells a packed ring's laps apart.
 */
#ifndef HUSK_BENCH_RING_H
#define HUSK_BENCH_RING_H

#include "guest.h"

#include <linux/virtio_ring.h>

#define RING_SIZE 256u

#define PACKED_AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define PACKED_USED (1u << VRING_PACKED_DESC_F_USED)

struct ring {
    /* What chains consist of, by head; a packed ring's driver keeps it for itself. */
    struct vring_desc descriptors[RING_SIZE] __attribute__((aligned(4096)));
    struct {
        uint16_t flags;
        uint16_t idx;
        uint16_t ring[RING_SIZE];
        uint16_t used_event;
    } avail __attribute__((aligned(64)));
    struct {
        uint16_t flags;
        uint16_t idx;
        struct vring_used_elem ring[RING_SIZE];
        uint16_t avail_event;
    } used __attribute__((aligned(4096)));
    struct {
        struct vring_packed_desc ring[RING_SIZE];
        struct vring_packed_desc_event driver_event __attribute__((aligned(64)));
        struct vring_packed_desc_event device_event __attribute__((aligned(64)));
    } packed __attribute__((aligned(4096)));

    /* The driver's own. */
    uint64_t notify_address __attribute__((aligned(64)));
    uint64_t acknowledge_address; /* virtio-mmio's InterruptStatus, 0 with MSI-X */
    uint16_t index;               /* of the queue */
    bool wide_notify;             /* 32 bits, as virtio-mmio has it */
    bool interrupts;
    bool is_packed;
    uint16_t next_avail;
    uint16_t next_used;
    uint16_t kicked; /* next_avail when the device was last told */
    uint64_t kicks;
    uint64_t kick_cycles; /* spent in them */
};

/* The wrap counter at a position (2.8.1). */
static inline bool ring_wrap(uint16_t position)
{
    return !(position & RING_SIZE);
}

/* Fills entry `index` of an indirect table of `count`; a packed ring's have no links (2.8.7). */
static inline void ring_describe(const struct ring *ring, struct vring_desc *table,
                                 uint16_t index, uint16_t count, const volatile void *buffer,
                                 uint32_t size, uint16_t flags)
{
    uint16_t next = (uint16_t)(index + 1);

    if (ring->is_packed)
        ((struct vring_packed_desc *)table)[index] =
            (struct vring_packed_desc){(uintptr_t)buffer, size, 0, flags};
    else
        table[index] = (struct vring_desc){
            (uintptr_t)buffer, size, flags | (next < count ? VRING_DESC_F_NEXT : 0), next};
}

/* Adds a chain; ring_publish() shows it to the device, at the latest. */
static inline void ring_add(struct ring *ring, uint16_t head)
{
    uint16_t position = ring->next_avail++;
    const struct vring_desc *chain = &ring->descriptors[head];
    struct vring_packed_desc *slot = &ring->packed.ring[position % RING_SIZE];

    if (!ring->is_packed) {
        ring->avail.ring[position % RING_SIZE] = head;
        return;
    }
    slot->addr = chain->addr;
    slot->len = chain->len;
    slot->id = head;
    __atomic_store_n(&slot->flags,
                     chain->flags | (ring_wrap(position) ? PACKED_AVAIL : PACKED_USED),
                     __ATOMIC_RELEASE);
}

/* Whether the device wants to hear of the last `added` chains (2.7.7.2, 2.8.10). */
static inline bool ring_wants_kick(const struct ring *ring, uint16_t added)
{
    const struct vring_packed_desc_event *device = &ring->packed.device_event;
    uint16_t event, flags;

    if (!ring->is_packed) {
        event = __atomic_load_n(&ring->used.avail_event, __ATOMIC_RELAXED);
        return (uint16_t)(ring->next_avail - event - 1) < added;
    }
    flags = __atomic_load_n(&device->flags, __ATOMIC_ACQUIRE);
    if (flags != VRING_PACKED_EVENT_FLAG_DESC)
        return flags != VRING_PACKED_EVENT_FLAG_DISABLE;
    event = __atomic_load_n(&device->off_wrap, __ATOMIC_RELAXED);
    event = (uint16_t)(event % RING_SIZE +
                       (event >> VRING_PACKED_EVENT_F_WRAP_CTR ? 0 : RING_SIZE));
    return (uint16_t)(ring->next_avail - event - 1) % (2 * RING_SIZE) < added;
}

/* Shows what was added, and kicks if the device wants it. */
static inline void ring_publish(struct ring *ring)
{
    uint16_t added = (uint16_t)(ring->next_avail - ring->kicked);
    uint64_t start;

    if (added == 0)
        return;
    if (!ring->is_packed)
        __atomic_store_n(&ring->avail.idx, ring->next_avail, __ATOMIC_RELEASE);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    ring->kicked = ring->next_avail;
    if (!ring_wants_kick(ring, added))
        return;
    start = cycles_now();
    if (ring->wide_notify)
        write32(ring->notify_address, ring->index);
    else
        write16(ring->notify_address, ring->index);
    ring->kicks++;
    ring->kick_cycles += cycles_now() - start;
}

/* How many chains have come back that ring_take() has not given. */
static inline uint16_t ring_ready(const struct ring *ring)
{
    uint16_t ready = 0, outstanding = (uint16_t)(ring->next_avail - ring->next_used);

    if (!ring->is_packed)
        return (uint16_t)(__atomic_load_n(&ring->used.idx, __ATOMIC_ACQUIRE) - ring->next_used);
    for (; ready < outstanding; ready++) {
        uint16_t position = (uint16_t)(ring->next_used + ready);
        uint16_t flags = __atomic_load_n(&ring->packed.ring[position % RING_SIZE].flags,
                                         __ATOMIC_ACQUIRE);

        if (!!(flags & PACKED_USED) != ring_wrap(position))
            break;
    }
    return ready;
}

static inline struct vring_used_elem ring_take(struct ring *ring)
{
    uint16_t slot = ring->next_used++ % RING_SIZE;

    if (ring->is_packed)
        return (struct vring_used_elem){ring->packed.ring[slot].id, ring->packed.ring[slot].len};
    return ring->used.ring[slot];
}

/* The next chain is to cause an interrupt, or none is. */
static inline void ring_set_event(struct ring *ring)
{
    struct vring_packed_desc_event *driver = &ring->packed.driver_event;
    uint16_t next = ring->next_used;

    if (!ring->is_packed) {
        ring->avail.used_event = ring->interrupts ? next : (uint16_t)(next - 1);
        return;
    }
    driver->off_wrap = (uint16_t)(next % RING_SIZE |
                                  (unsigned)ring_wrap(next) << VRING_PACKED_EVENT_F_WRAP_CTR);
    __atomic_store_n(&driver->flags,
                     ring->interrupts ? VRING_PACKED_EVENT_FLAG_DESC
                                      : VRING_PACKED_EVENT_FLAG_DISABLE,
                     __ATOMIC_RELEASE);
}

/*
 * After taking chains: asks for an interrupt with the next one, and does what the handler of the
 * last would have done; or asks for none, by an event index that is never reached.
 */
static inline void ring_rearm(struct ring *ring)
{
    uint32_t pending;

    ring_set_event(ring);
    if (!ring->interrupts || !ring->acknowledge_address)
        return;
    pending = read32(ring->acknowledge_address);
    if (pending)
        write32(ring->acknowledge_address + 4, pending);
}

#endif
