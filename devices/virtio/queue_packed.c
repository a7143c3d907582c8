/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packed virtqueues (virtio 1.2, section 2.8); see queue_format.h. There is one ring, in which the
 * driver makes descriptors available and the device overwrites some of them to say what is used:
 *
 *     [ used | used | skipped | in flight | in flight | available | available | old | old ]
 *                             ^ next_used             ^ next_avail
 *
 * A slot is a descriptor. A chain takes as many as it has descriptors, one behind the other; when
 * it is used, one is written and the others are skipped. Chains complete in any order, so what is
 * written at next_used need not be what was read from there; the id says which chain it is.
 *
 * The flags AVAIL and USED of a descriptor mean something relative to a wrap counter, which turns
 * with each lap around the ring (2.8.1). Positions count two laps, and so contain that counter.
 */
#include "devices/virtio/queue_format.h"

#include <stddef.h>
#include <string.h>

#define FLAG_AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define FLAG_USED (1u << VRING_PACKED_DESC_F_USED)

#define EVENT_FLAGS 0x3u /* 2.8.14: the other bits are reserved */
#define EVENT_WRAP (1u << VRING_PACKED_EVENT_F_WRAP_CTR)

#define EVENT_ALIGN_SIZE 4u /* 2.8.10.1 */

_Static_assert(sizeof(struct vring_packed_desc) == VIRTQ_DESCRIPTOR_SIZE, "2.8.13");

/* The wrap counter is 1 in the first lap. */
static bool wrap_counter(const struct virtq *queue, uint16_t position)
{
    return position < queue->size;
}

static uint16_t slot_of(const struct virtq *queue, uint16_t position)
{
    return wrap_counter(queue, position) ? position : (uint16_t)(position - queue->size);
}

static const char *find_parts(struct virtq *queue, const struct virtq_setup *setup)
{
    queue->packed.descriptors =
        virtq_part(queue, setup->descriptor_area, sizeof(struct vring_packed_desc) * setup->size,
                   VRING_DESC_ALIGN_SIZE);
    queue->packed.driver_event = virtq_part(
        queue, setup->driver_area, sizeof(struct vring_packed_desc_event), EVENT_ALIGN_SIZE);
    queue->packed.device_event = virtq_part(
        queue, setup->device_area, sizeof(struct vring_packed_desc_event), EVENT_ALIGN_SIZE);
    if (!queue->packed.descriptors || !queue->packed.driver_event || !queue->packed.device_event)
        return "a ring is misaligned or not in memory";
    queue->period = 2 * setup->size;
    return NULL;
}

/* --- descriptor chains --- */

static struct virtq_descriptor copy_descriptor(const uint8_t *bytes)
{
    struct vring_packed_desc copy;

    memcpy(&copy, bytes, sizeof copy);
    __asm__ volatile("" : : : "memory"); /* the copy is what is checked and used: no re-reading */
    return (struct virtq_descriptor){
        .address = le64toh(copy.addr),
        .length = le32toh(copy.len),
        .flags = le16toh(copy.flags),
        .link = le16toh(copy.id),
    };
}

/* The flags of the descriptor at `position`, before anything else of it is read. */
static uint16_t load_flags(const struct virtq *queue, uint16_t position)
{
    return virtq_load_acquire(&queue->packed.descriptors[slot_of(queue, position)].flags);
}

static bool is_available(const struct virtq *queue, uint16_t position, uint16_t flags)
{
    bool wrap = wrap_counter(queue, position);

    return !!(flags & FLAG_AVAIL) == wrap && !!(flags & FLAG_USED) != wrap;
}

/* False while the driver has not made it available. */
static bool copy_available(const struct virtq *queue, uint16_t position,
                           struct virtq_descriptor *descriptor)
{
    uint16_t flags = load_flags(queue, position);

    if (!is_available(queue, position, flags))
        return false;
    *descriptor =
        copy_descriptor((const uint8_t *)&queue->packed.descriptors[slot_of(queue, position)]);
    descriptor->flags = flags; /* what was checked, and not a second reading of it */
    return true;
}

/*
 * Adds all of an indirect table. Its descriptors follow one another, and nothing of them counts
 * but address, length and direction: all else is to be ignored (2.8.7).
 */
static int add_table(struct virtq_walk *walk, const struct virtq_descriptor *reference)
{
    struct virtq_table table = {0};
    int rc = virtq_enter_indirect(walk->queue, reference, &table);

    if (rc == 0 && table.count > VIRTQ_SIZE_MAX)
        rc = virtq_broken(walk->queue, "indirect table longer than the longest queue");
    for (uint32_t i = 0; i < table.count && rc == 0; i++) {
        struct virtq_descriptor descriptor =
            copy_descriptor(table.bytes + (size_t)i * VIRTQ_DESCRIPTOR_SIZE);

        rc = virtq_add_buffer(walk, &descriptor);
    }
    return rc;
}

/*
 * Adds the buffers of a chain in the ring, whose first descriptor is `descriptor`, at next_avail.
 * The last one has the chain's id (2.8.6). The driver must have made all of them available before
 * it did the first (2.8.17), so there is nothing to wait for.
 */
static int add_chained(struct virtq_walk *walk, struct virtq_descriptor *descriptor,
                       struct virtq_token *token)
{
    struct virtq *queue = walk->queue;
    uint16_t position = queue->next_avail;
    int rc;

    for (token->slots = 1;; token->slots++) {
        rc = virtq_add_buffer(walk, descriptor);
        if (rc)
            return rc;
        token->id = descriptor->link;
        if (!(descriptor->flags & VRING_DESC_F_NEXT))
            return 0;
        if (token->slots == queue->size)
            return virtq_broken(queue, "chain longer than the queue");
        position = virtq_forward(queue, position, 1);
        if (!copy_available(queue, position, descriptor))
            return virtq_broken(queue, "chain with a descriptor that is not available");
        if (descriptor->flags & VRING_DESC_F_INDIRECT)
            return virtq_broken(queue, "indirect descriptor in a chain");
    }
}

static bool available(const struct virtq *queue)
{
    return is_available(queue, queue->next_avail, load_flags(queue, queue->next_avail));
}

static int take(struct virtq *queue, struct virtq_chain *chain)
{
    struct virtq_walk walk = virtq_walk(queue, chain);
    struct virtq_descriptor descriptor;
    int rc;

    if (!copy_available(queue, queue->next_avail, &descriptor))
        return 0;
    chain->token = (struct virtq_token){descriptor.link, 1};
    if (descriptor.flags & VRING_DESC_F_INDIRECT)
        rc = add_table(&walk, &descriptor);
    else
        rc = add_chained(&walk, &descriptor, &chain->token);
    return rc ? rc : 1;
}

/* --- used descriptors --- */

/* With WRITE the length says how much; without it the length means nothing (2.8.4). */
static uint16_t used_flags(const struct virtq *queue, uint16_t position, uint32_t written)
{
    unsigned flags = wrap_counter(queue, position) ? FLAG_AVAIL | FLAG_USED : 0;

    return (uint16_t)(written > 0 ? flags | VRING_DESC_F_WRITE : flags);
}

/* The first one is marked last: the driver looks no further as long as that is not used (2.8.9). */
static void give(struct virtq *queue, const struct virtq_used *used, unsigned count)
{
    struct vring_packed_desc *ring = queue->packed.descriptors;
    uint16_t first = queue->next_used, position = first;

    for (unsigned i = 0; i < count; i++) {
        struct vring_packed_desc *slot = &ring[slot_of(queue, position)];

        slot->id = htole16(used[i].token.id);
        slot->len = htole32(used[i].written);
        if (i > 0)
            virtq_store(&slot->flags, used_flags(queue, position, used[i].written));
        position = virtq_forward(queue, position, used[i].token.slots);
    }
    virtq_store_release(&ring[slot_of(queue, first)].flags,
                        used_flags(queue, first, used[0].written));
}

/* --- event suppression --- */

/* 2.8.10. What the driver may not write counts as the wish for every interrupt. */
static enum virtq_wish interrupt_wish(const struct virtq *queue, uint16_t *position)
{
    const struct vring_packed_desc_event *event = queue->packed.driver_event;
    unsigned flags = virtq_load_acquire(&event->flags) & EVENT_FLAGS;
    uint16_t off_wrap, slot;

    if (flags == VRING_PACKED_EVENT_FLAG_DISABLE)
        return VIRTQ_NEVER;
    if (flags != VRING_PACKED_EVENT_FLAG_DESC || !queue->event_idx)
        return VIRTQ_ALWAYS;
    off_wrap = virtq_load(&event->off_wrap);
    slot = (uint16_t)(off_wrap & ~EVENT_WRAP);
    if (slot >= queue->size)
        return VIRTQ_ALWAYS;
    *position = off_wrap & EVENT_WRAP ? slot : (uint16_t)(slot + queue->size);
    return VIRTQ_AT_POSITION;
}

static void suppress_kicks(struct virtq *queue)
{
    /* With EVENT_IDX the old position does it: the driver has passed it and kicks no more. */
    if (!queue->event_idx)
        virtq_store(&queue->packed.device_event->flags, VRING_PACKED_EVENT_FLAG_DISABLE);
}

static void enable_kicks(struct virtq *queue)
{
    struct vring_packed_desc_event *event = queue->packed.device_event;
    unsigned off_wrap = slot_of(queue, queue->next_avail);

    if (!queue->event_idx) {
        virtq_store(&event->flags, VRING_PACKED_EVENT_FLAG_ENABLE);
        return;
    }
    if (wrap_counter(queue, queue->next_avail))
        off_wrap |= EVENT_WRAP;
    virtq_store(&event->off_wrap, (uint16_t)off_wrap);
    virtq_store_release(&event->flags, VRING_PACKED_EVENT_FLAG_DESC);
}

const struct virtq_format virtq_packed = {
    .open = find_parts,
    .available = available,
    .take = take,
    .give = give,
    .interrupt_wish = interrupt_wish,
    .suppress_kicks = suppress_kicks,
    .enable_kicks = enable_kicks,
};
