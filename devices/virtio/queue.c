/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walker of split rings; see queue.h. Touches guest memory and its own state, nothing else.
 *
 * The memory order that both sides rely on (2.7.13, 2.7.7 to 2.7.10):
 *
 *     driver                              device
 *     write descriptors, ring entry       read avail.idx (acquire)
 *     release avail.idx            --->   read ring entry, descriptors
 *     full fence                          write avail_event (or flags)
 *     read avail_event                    full fence, read avail.idx again
 *
 * and the mirror image for the used ring and used_event. Of two sides that each write, fence and
 * then read the other's word at least one sees the other's write, so no wake-up is lost.
 */
#include "devices/virtio/queue.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <string.h>

#define CHAIN_BYTES_MAX (UINT64_C(1) << 32) /* 2.7.5.2 */

static int broken(struct virtq *queue, const char *fault)
{
    queue->fault = fault;
    return -EPROTO;
}

static uint16_t load(const __virtio16 *from)
{
    return le16toh(__atomic_load_n(from, __ATOMIC_RELAXED));
}

static void store(__virtio16 *to, uint16_t value)
{
    __atomic_store_n(to, htole16(value), __ATOMIC_RELAXED);
}

/* The event words lie behind the last entry of the opposite ring. */
static __virtio16 *used_event(const struct virtq *queue)
{
    return &queue->avail->ring[queue->size];
}

static __virtio16 *avail_event(const struct virtq *queue)
{
    return (__virtio16 *)&queue->used->ring[queue->size];
}

/* --- layout --- */

static void *ring_part(const struct guest_memory *memory, struct gpa base, uint64_t size,
                       uint64_t alignment)
{
    return base.v % alignment ? NULL : memory_at(memory, base, size);
}

int virtq_start(struct virtq *queue, const struct guest_memory *memory,
                const struct virtq_setup *setup, uint16_t size_max, uint64_t accepted,
                const char **fault)
{
    uint32_t size = setup->size;

    *queue = (struct virtq){.memory = memory};
    if (size == 0 || size > size_max || size > VIRTQ_SIZE_MAX || (size & (size - 1)) != 0) {
        *fault = "queue size is not a power of two that the device offers";
        return -EINVAL;
    }
    queue->descriptors = ring_part(memory, setup->descriptor_area,
                                   sizeof(struct vring_desc) * size, VRING_DESC_ALIGN_SIZE);
    queue->avail = ring_part(memory, setup->driver_area,
                             sizeof(struct vring_avail) + sizeof(__virtio16) * (size + 1),
                             VRING_AVAIL_ALIGN_SIZE);
    queue->used = ring_part(memory, setup->device_area,
                            sizeof(struct vring_used) + sizeof(struct vring_used_elem) * size +
                                sizeof(__virtio16),
                            VRING_USED_ALIGN_SIZE);
    if (!queue->descriptors || !queue->avail || !queue->used) {
        *queue = (struct virtq){0};
        *fault = "a ring is misaligned or not in memory";
        return -EINVAL;
    }
    queue->size = (uint16_t)size;
    queue->event_idx = accepted >> VIRTIO_RING_F_EVENT_IDX & 1;
    queue->indirect = accepted >> VIRTIO_RING_F_INDIRECT_DESC & 1;
    queue->started = true;
    return 0;
}

void virtq_stop(struct virtq *queue)
{
    *queue = (struct virtq){0};
}

/* --- descriptor chains --- */

struct descriptor {
    uint64_t address;
    uint32_t length;
    uint16_t flags;
    uint16_t next;
};

/* A table of descriptors in guest memory: the descriptor area, or an indirect table. */
struct table {
    const uint8_t *bytes; /* an indirect table may lie at any address */
    uint32_t count;       /* descriptors */
    bool indirect;
};

static struct descriptor copy_descriptor(const struct table *table, uint32_t index)
{
    struct vring_desc copy;

    memcpy(&copy, table->bytes + index * sizeof copy, sizeof copy);
    __asm__ volatile("" : : : "memory"); /* the copy is what is checked and used: no re-reading */
    return (struct descriptor){
        .address = le64toh(copy.addr),
        .length = le32toh(copy.len),
        .flags = le16toh(copy.flags),
        .next = le16toh(copy.next),
    };
}

/* Enters an indirect table (2.7.5.3): the last descriptor of the chain in the main table. */
static int enter_indirect(struct virtq *queue, const struct descriptor *descriptor,
                          struct table *table)
{
    if (!queue->indirect)
        return broken(queue, "indirect descriptor without the feature");
    if (table->indirect)
        return broken(queue, "indirect table in an indirect table");
    if (descriptor->flags & VRING_DESC_F_NEXT)
        return broken(queue, "indirect descriptor that has a next one");
    if (descriptor->length == 0 || descriptor->length % sizeof(struct vring_desc) != 0)
        return broken(queue, "indirect table of odd length");
    table->bytes = memory_at(queue->memory, gpa(descriptor->address), descriptor->length);
    if (!table->bytes)
        return broken(queue, "indirect table is not in memory");
    table->count = descriptor->length / sizeof(struct vring_desc);
    table->indirect = true;
    return 0;
}

/*
 * Adds a buffer to the chain. The specification does not forbid empty ones; they say nothing but
 * their direction, and their address is not looked at.
 */
static int add_buffer(struct virtq *queue, const struct descriptor *descriptor,
                      struct virtq_chain *chain, bool *writable_seen)
{
    bool writable = descriptor->flags & VRING_DESC_F_WRITE;
    void *host;

    if (!writable && *writable_seen)
        return broken(queue, "readable buffer behind a writable one");
    *writable_seen = writable;
    if (descriptor->length == 0)
        return 0;
    if (chain->readable_size + chain->writable_size + descriptor->length > CHAIN_BYTES_MAX)
        return broken(queue, "chain of more than 4 GiB");
    host = memory_at(queue->memory, gpa(descriptor->address), descriptor->length);
    if (!host)
        return broken(queue, "buffer is not in memory");

    chain->iov[chain->readable_count + chain->writable_count] =
        (struct iovec){host, descriptor->length};
    if (writable) {
        chain->writable_count++;
        chain->writable_size += descriptor->length;
    } else {
        chain->readable_count++;
        chain->readable_size += descriptor->length;
    }
    return 0;
}

/*
 * Walks the chain from `head`. The number of steps is bounded, and so loops are found: in the main
 * table by the queue's size, as a longer walk must have been somewhere twice; in an indirect table
 * by VIRTQ_SIZE_MAX, because a driver that made its queue smaller than offered may still build
 * chains as long as the device's limits on segments, which follow from the offered size, allow.
 */
static int walk(struct virtq *queue, uint16_t head, struct virtq_chain *chain)
{
    struct table table = {(const uint8_t *)queue->descriptors, queue->size, false};
    uint32_t index = head;
    unsigned limit = queue->size;
    bool writable_seen = false;

    chain->head = head;
    chain->readable_count = chain->writable_count = 0;
    chain->readable_size = chain->writable_size = 0;

    for (unsigned steps = 0; steps < limit; steps++) {
        struct descriptor descriptor;
        int rc;

        if (index >= table.count)
            return broken(queue, "descriptor index past the end of the table");
        descriptor = copy_descriptor(&table, index);
        if (descriptor.flags & VRING_DESC_F_INDIRECT) {
            rc = enter_indirect(queue, &descriptor, &table);
            index = 0;
            limit = VIRTQ_SIZE_MAX + 1; /* the reference itself holds no buffer */
        } else {
            rc = add_buffer(queue, &descriptor, chain, &writable_seen);
            index = descriptor.next;
        }
        if (rc)
            return rc;
        if (!(descriptor.flags & (VRING_DESC_F_NEXT | VRING_DESC_F_INDIRECT)))
            return 0;
    }
    return broken(queue, "descriptor loop, or a chain longer than the queue");
}

/* --- avail ring --- */

/* 1 and the head of the next chain; 0 when there is none; -EPROTO. */
static int next_head(struct virtq *queue, uint16_t *head)
{
    uint16_t idx = le16toh(__atomic_load_n(&queue->avail->idx, __ATOMIC_ACQUIRE));
    uint16_t waiting = (uint16_t)(idx - queue->next_avail);

    if (waiting == 0)
        return 0;
    if (waiting > queue->size)
        return broken(queue, "avail index ran ahead by more than the queue's size");
    if (queue->in_flight == queue->size)
        return broken(queue, "more chains in flight than the queue has descriptors");
    *head = load(&queue->avail->ring[queue->next_avail & (queue->size - 1)]);
    if (*head >= queue->size)
        return broken(queue, "head index past the end of the table");
    return 1;
}

int virtq_pop(struct virtq *queue, struct virtq_chain *chain)
{
    uint16_t head;
    int rc;

    if (!queue->started)
        return 0;
    if (queue->fault)
        return -EPROTO;
    rc = next_head(queue, &head);
    if (rc <= 0)
        return rc;
    rc = walk(queue, head, chain);
    if (rc)
        return rc;
    queue->next_avail++;
    queue->in_flight++;
    return 1;
}

void virtq_undo_pop(struct virtq *queue)
{
    queue->next_avail--;
    queue->in_flight--;
}

void virtq_suppress_kicks(struct virtq *queue)
{
    /* With EVENT_IDX the old avail_event does it: the driver has passed it and kicks no more. */
    if (queue->started && !queue->event_idx)
        store(&queue->used->flags, VRING_USED_F_NO_NOTIFY);
}

bool virtq_enable_kicks(struct virtq *queue)
{
    if (!queue->started || queue->fault)
        return false;
    if (queue->event_idx)
        store(avail_event(queue), queue->next_avail);
    else
        store(&queue->used->flags, 0);
    __sync_synchronize(); /* a full fence */
    return load(&queue->avail->idx) != queue->next_avail;
}

/* --- used ring --- */

void virtq_push(struct virtq *queue, uint16_t head, uint32_t written)
{
    if (!queue->started || queue->fault)
        return;
    queue->used->ring[queue->next_used & (queue->size - 1)] =
        (struct vring_used_elem){htole32(head), htole32(written)};
    queue->next_used++;
    queue->in_flight--;
    __atomic_store_n(&queue->used->idx, htole16(queue->next_used), __ATOMIC_RELEASE);
}

bool virtq_wants_interrupt(struct virtq *queue)
{
    uint16_t before = queue->signalled_used;

    if (!queue->started || queue->fault || before == queue->next_used)
        return false;
    queue->signalled_used = queue->next_used;
    __sync_synchronize(); /* a full fence */
    if (queue->event_idx)
        return vring_need_event(load(used_event(queue)), queue->next_used, before);
    return !(load(&queue->avail->flags) & VRING_AVAIL_F_NO_INTERRUPT);
}

/* --- snapshots --- */

void virtq_save(const struct virtq *queue, struct state_writer *writer)
{
    state_put_u16(writer, queue->next_avail);
    state_put_u16(writer, queue->next_used);
    state_put_u16(writer, queue->signalled_used);
}

void virtq_restore(struct virtq *queue, struct state_reader *reader)
{
    queue->next_avail = state_get_u16(reader);
    queue->next_used = state_get_u16(reader);
    queue->signalled_used = state_get_u16(reader);
}
