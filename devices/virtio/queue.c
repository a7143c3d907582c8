/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What split and packed virtqueues have in common; see queue.h and queue_format.h. Touches guest
 * memory and its own state, nothing else.
 */
#include "devices/virtio/queue_format.h"

#include <errno.h>
#include <linux/virtio_config.h>

/* 2.7.5.2. Packed rings have no such rule, but what was written has 32 bits there too. */
#define CHAIN_BYTES_MAX (UINT64_C(1) << 32)

int virtq_broken(struct virtq *queue, const char *fault)
{
    queue->fault = fault;
    return -EPROTO;
}

static bool usable(const struct virtq *queue)
{
    return queue->started && !queue->fault;
}

/* --- layout --- */

void *virtq_part(const struct virtq *queue, struct gpa base, uint64_t size, uint64_t alignment)
{
    return base.v % alignment ? NULL : memory_at(queue->memory, base, size);
}

int virtq_start(struct virtq *queue, const struct guest_memory *memory,
                const struct virtq_setup *setup, uint16_t size_max, uint64_t accepted,
                const char **fault)
{
    *queue = (struct virtq){
        .format = accepted >> VIRTIO_F_RING_PACKED & 1 ? &virtq_packed : &virtq_split,
        .memory = memory,
        .event_idx = accepted >> VIRTIO_RING_F_EVENT_IDX & 1,
        .indirect = accepted >> VIRTIO_RING_F_INDIRECT_DESC & 1,
    };
    if (setup->size == 0 || setup->size > size_max || setup->size > VIRTQ_SIZE_MAX) {
        *fault = "queue size is none that the device offers";
    } else {
        queue->size = (uint16_t)setup->size;
        *fault = queue->format->open(queue, setup);
    }
    if (*fault) {
        virtq_stop(queue);
        return -EINVAL;
    }
    queue->started = true;
    return 0;
}

void virtq_stop(struct virtq *queue)
{
    *queue = (struct virtq){0};
}

/* --- chains --- */

struct virtq_walk virtq_walk(struct virtq *queue, struct virtq_chain *chain)
{
    chain->readable_count = chain->writable_count = 0;
    chain->readable_size = chain->writable_size = 0;
    return (struct virtq_walk){queue, chain, false};
}

/*
 * The specification does not forbid empty buffers; they say nothing but their direction, and
 * their address is not looked at.
 */
int virtq_add_buffer(struct virtq_walk *walk, const struct virtq_descriptor *descriptor)
{
    struct virtq_chain *chain = walk->chain;
    bool writable = descriptor->flags & VRING_DESC_F_WRITE;
    void *host;

    if (!writable && walk->writable_seen)
        return virtq_broken(walk->queue, "readable buffer behind a writable one");
    walk->writable_seen = writable;
    if (descriptor->length == 0)
        return 0;
    if (chain->readable_size + chain->writable_size + descriptor->length > CHAIN_BYTES_MAX)
        return virtq_broken(walk->queue, "chain of more than 4 GiB");
    host = memory_at(walk->queue->memory, gpa(descriptor->address), descriptor->length);
    if (!host)
        return virtq_broken(walk->queue, "buffer is not in memory");

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

int virtq_enter_indirect(struct virtq *queue, const struct virtq_descriptor *descriptor,
                         struct virtq_table *table)
{
    if (!queue->indirect)
        return virtq_broken(queue, "indirect descriptor without the feature");
    if (descriptor->flags & VRING_DESC_F_NEXT)
        return virtq_broken(queue, "indirect descriptor that has a next one");
    if (descriptor->length == 0 || descriptor->length % VIRTQ_DESCRIPTOR_SIZE != 0)
        return virtq_broken(queue, "indirect table of odd length");
    table->bytes = memory_at(queue->memory, gpa(descriptor->address), descriptor->length);
    if (!table->bytes)
        return virtq_broken(queue, "indirect table is not in memory");
    table->count = descriptor->length / VIRTQ_DESCRIPTOR_SIZE;
    table->indirect = true;
    return 0;
}

/* --- chains taken --- */

bool virtq_available(const struct virtq *queue)
{
    return usable(queue) && queue->format->available(queue);
}

int virtq_pop(struct virtq *queue, struct virtq_chain *chain)
{
    int rc;

    if (!queue->started)
        return 0;
    if (queue->fault)
        return -EPROTO;
    rc = queue->format->take(queue, chain);
    if (rc <= 0)
        return rc;
    if (queue->in_flight + chain->token.slots > queue->size)
        return virtq_broken(queue, "more chains in flight than the queue has room for");
    queue->in_flight += chain->token.slots;
    queue->next_avail = virtq_forward(queue, queue->next_avail, chain->token.slots);
    return 1;
}

void virtq_undo_pop(struct virtq *queue, struct virtq_token token)
{
    if (!usable(queue))
        return;
    queue->in_flight -= token.slots;
    queue->next_avail = virtq_forward(queue, queue->next_avail, queue->period - token.slots);
}

void virtq_suppress_kicks(struct virtq *queue)
{
    if (usable(queue))
        queue->format->suppress_kicks(queue);
}

bool virtq_enable_kicks(struct virtq *queue)
{
    if (!usable(queue))
        return false;
    queue->format->enable_kicks(queue);
    __sync_synchronize(); /* a full fence */
    return queue->format->available(queue);
}

/* --- chains given back --- */

void virtq_push_all(struct virtq *queue, const struct virtq_used *used, unsigned count)
{
    if (!usable(queue) || count == 0)
        return;
    queue->format->give(queue, used, count);
    for (unsigned i = 0; i < count; i++) {
        queue->next_used = virtq_forward(queue, queue->next_used, used[i].token.slots);
        queue->in_flight -= used[i].token.slots;
        queue->unsignalled += used[i].token.slots;
    }
}

void virtq_push(struct virtq *queue, struct virtq_token token, uint32_t written)
{
    virtq_push_all(queue, &(struct virtq_used){token, written}, 1);
}

/* Whether the slot at `position` is one of the last `slots` that were used. */
static bool used_lately(const struct virtq *queue, uint16_t position, uint32_t slots)
{
    uint32_t ago = virtq_forward(queue, queue->next_used, queue->period - position);

    return (ago > 0 ? ago : queue->period) <= slots;
}

bool virtq_wants_interrupt(struct virtq *queue)
{
    uint32_t slots = queue->unsignalled;
    uint16_t position;

    if (!usable(queue) || slots == 0)
        return false;
    queue->unsignalled = 0;
    __sync_synchronize(); /* a full fence */
    switch (queue->format->interrupt_wish(queue, &position)) {
    case VIRTQ_NEVER:
        return false;
    case VIRTQ_AT_POSITION:
        return used_lately(queue, position, slots);
    case VIRTQ_ALWAYS:
    default:
        return true;
    }
}

/* --- positions --- */

void virtq_continue_at(struct virtq *queue, uint16_t position)
{
    queue->next_avail = queue->next_used = position;
    queue->unsignalled = 0;
}

uint16_t virtq_given_back(const struct virtq *queue)
{
    return virtq_load(&queue->split.used->idx);
}

void virtq_save(const struct virtq *queue, struct state_writer *writer)
{
    state_put_u16(writer, queue->next_avail);
    state_put_u16(writer, queue->next_used);
    state_put_u32(writer, queue->unsignalled);
}

void virtq_restore(struct virtq *queue, struct state_reader *reader)
{
    queue->next_avail = state_get_u16(reader);
    queue->next_used = state_get_u16(reader);
    queue->unsignalled = state_get_u32(reader);
    if (queue->started &&
        (queue->next_avail >= queue->period || queue->next_used >= queue->period)) {
        reader->failed = true;
        queue->next_avail = queue->next_used = 0;
    }
}
