/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Split virtqueues (virtio 1.2, section 2.7); see queue_format.h. A slot is an entry of the avail
 * and of the used ring, each chain takes one, and positions are the rings' 16-bit indexes.
 */
#include "devices/virtio/queue_format.h"

#include <string.h>

#define PERIOD (UINT32_C(1) << 16)

_Static_assert(sizeof(struct vring_desc) == VIRTQ_DESCRIPTOR_SIZE, "2.7.5");

/* The event words lie behind the last entry of the opposite ring. */
static const __le16 *used_event(const struct virtq *queue)
{
    return &queue->split.avail->ring[queue->size];
}

static __le16 *avail_event(const struct virtq *queue)
{
    return (__le16 *)&queue->split.used->ring[queue->size];
}

static const char *find_parts(struct virtq *queue, const struct virtq_setup *setup)
{
    uint32_t size = setup->size;

    if ((size & (size - 1)) != 0)
        return "queue size is not a power of two";
    queue->split.descriptors =
        virtq_part(queue, setup->descriptor_area, sizeof(struct vring_desc) * size,
                   VRING_DESC_ALIGN_SIZE);
    queue->split.avail = virtq_part(
        queue, setup->driver_area, sizeof(struct vring_avail) + sizeof(__le16) * (size + 1),
        VRING_AVAIL_ALIGN_SIZE);
    queue->split.used =
        virtq_part(queue, setup->device_area,
                   sizeof(struct vring_used) + sizeof(struct vring_used_elem) * size +
                       sizeof(__le16),
                   VRING_USED_ALIGN_SIZE);
    if (!queue->split.descriptors || !queue->split.avail || !queue->split.used)
        return "a ring is misaligned or not in memory";
    queue->period = PERIOD;
    return NULL;
}

/* --- descriptor chains --- */

static struct virtq_descriptor copy_descriptor(const struct virtq_table *table, uint32_t index)
{
    struct vring_desc copy;

    memcpy(&copy, table->bytes + index * sizeof copy, sizeof copy);
    __asm__ volatile("" : : : "memory"); /* the copy is what is checked and used: no re-reading */
    return (struct virtq_descriptor){
        .address = le64toh(copy.addr),
        .length = le32toh(copy.len),
        .flags = le16toh(copy.flags),
        .link = le16toh(copy.next),
    };
}

/*
 * Walks the chain from `head`. The number of steps is bounded, and so loops are found: in the main
 * table by the queue's size, as a longer walk must have been somewhere twice; in an indirect table
 * by VIRTQ_SIZE_MAX, because a driver that made its queue smaller than offered may still build
 * chains as long as the device's limits on segments, which follow from the offered size, allow.
 */
static int walk_from(struct virtq *queue, uint16_t head, struct virtq_chain *chain)
{
    struct virtq_walk walk = virtq_walk(queue, chain);
    struct virtq_table table = {(const uint8_t *)queue->split.descriptors, queue->size, false};
    uint32_t index = head;
    unsigned limit = queue->size;

    for (unsigned steps = 0; steps < limit; steps++) {
        struct virtq_descriptor descriptor;
        int rc;

        if (index >= table.count)
            return virtq_broken(queue, "descriptor index past the end of the table");
        descriptor = copy_descriptor(&table, index);
        if (descriptor.flags & VRING_DESC_F_INDIRECT) {
            if (table.indirect)
                return virtq_broken(queue, "indirect table in an indirect table");
            rc = virtq_enter_indirect(queue, &descriptor, &table);
            index = 0;
            limit = VIRTQ_SIZE_MAX + 1; /* the reference itself holds no buffer */
        } else {
            rc = virtq_add_buffer(&walk, &descriptor);
            index = descriptor.link;
        }
        if (rc)
            return rc;
        if (!(descriptor.flags & (VRING_DESC_F_NEXT | VRING_DESC_F_INDIRECT)))
            return 0;
    }
    return virtq_broken(queue, "descriptor loop, or a chain longer than the queue");
}

/* --- avail ring --- */

static bool available(const struct virtq *queue)
{
    return virtq_load(&queue->split.avail->idx) != queue->next_avail;
}

static int take(struct virtq *queue, struct virtq_chain *chain)
{
    uint16_t idx = virtq_load_acquire(&queue->split.avail->idx);
    uint16_t waiting = (uint16_t)(idx - queue->next_avail);
    uint16_t head;
    int rc;

    if (waiting == 0)
        return 0;
    if (waiting > queue->size)
        return virtq_broken(queue, "avail index ran ahead by more than the queue's size");
    head = virtq_load(&queue->split.avail->ring[queue->next_avail & (queue->size - 1)]);
    if (head >= queue->size)
        return virtq_broken(queue, "head index past the end of the table");
    chain->token = (struct virtq_token){head, 1};
    rc = walk_from(queue, head, chain);
    return rc ? rc : 1;
}

static void suppress_kicks(struct virtq *queue)
{
    /* With EVENT_IDX the old avail_event does it: the driver has passed it and kicks no more. */
    if (!queue->event_idx)
        virtq_store(&queue->split.used->flags, VRING_USED_F_NO_NOTIFY);
}

static void enable_kicks(struct virtq *queue)
{
    if (queue->event_idx)
        virtq_store(avail_event(queue), queue->next_avail);
    else
        virtq_store(&queue->split.used->flags, 0);
}

/* --- used ring --- */

static void give(struct virtq *queue, const struct virtq_used *used, unsigned count)
{
    uint16_t idx = queue->next_used;

    for (unsigned i = 0; i < count; i++)
        queue->split.used->ring[idx++ & (queue->size - 1)] =
            (struct vring_used_elem){htole32(used[i].token.id), htole32(used[i].written)};
    virtq_store_release(&queue->split.used->idx, idx);
}

static enum virtq_wish interrupt_wish(const struct virtq *queue, uint16_t *position)
{
    if (queue->event_idx) {
        *position = virtq_load(used_event(queue));
        return VIRTQ_AT_POSITION;
    }
    return virtq_load(&queue->split.avail->flags) & VRING_AVAIL_F_NO_INTERRUPT ? VIRTQ_NEVER
                                                                               : VIRTQ_ALWAYS;
}

const struct virtq_format virtq_split = {
    .open = find_parts,
    .available = available,
    .take = take,
    .give = give,
    .interrupt_wish = interrupt_wish,
    .suppress_kicks = suppress_kicks,
    .enable_kicks = enable_kicks,
};
