/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A split virtqueue seen from the device (virtio 1.2, section 2.7): the one place where rings and
 * descriptor chains are walked. Knows guest memory, and neither devices nor transports.
 *
 *     descriptor area          driver area                     device area
 *     [addr len flags next]*N  flags idx ring[N] used_event    flags idx {id len}[N] avail_event
 *     read by the device       read by the device              written by the device
 *
 * A queue belongs to one thread, the loop's. Its layout is checked once, when the driver sets
 * DRIVER_OK, and its host addresses are kept from then on: nothing that the driver writes to its
 * registers later can move the ring.
 *
 * The driver is hostile. Ring indexes and descriptors are copied once, then checked, then used.
 * A ring that breaks a rule of the specification makes the queue broken: it gives no more chains
 * and touches the rings no more until it is stopped.
 */
#ifndef HUSK_DEVICES_VIRTIO_QUEUE_H
#define HUSK_DEVICES_VIRTIO_QUEUE_H

#include "core/err.h"
#include "core/memory.h"
#include "core/state.h"

#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

/* The largest queue that a device here offers, and so the longest chain (2.7.5.3.1). */
#define VIRTQ_SIZE_MAX 256u

/* What the driver wrote to the transport's registers; checked by virtq_start(). */
struct virtq_setup {
    uint32_t size;
    struct gpa descriptor_area; /* 16-byte aligned */
    struct gpa driver_area;     /* 2-byte aligned */
    struct gpa device_area;     /* 4-byte aligned */
    bool ready;
};

struct virtq {
    const struct guest_memory *memory;
    const struct vring_desc *descriptors; /* the ring's parts, in guest memory */
    struct vring_avail *avail;
    struct vring_used *used;
    uint16_t size;
    uint16_t next_avail;     /* index of the next entry to take from the avail ring */
    uint16_t next_used;      /* index of the next entry to put in the used ring */
    uint16_t signalled_used; /* next_used when the driver was last considered for an interrupt */
    bool started;
    bool event_idx;    /* VIRTIO_F_EVENT_IDX was accepted by the driver */
    bool indirect;     /* VIRTIO_F_INDIRECT_DESC was accepted by the driver */
    unsigned in_flight; /* chains popped and not yet pushed */
    const char *fault; /* why the queue is broken; NULL while it is not */
};

/*
 * One chain of buffers: what the driver wrote for the device, then what the device may write.
 * The buffers are guest memory, whose content can change at any time. Empty descriptors, which
 * the specification allows, are left out; so every iovec has at least one byte.
 */
struct virtq_chain {
    uint16_t head;
    unsigned readable_count;
    unsigned writable_count;
    uint64_t readable_size; /* bytes; both sizes together never pass 2^32 (2.7.5.2) */
    uint64_t writable_size;
    struct iovec iov[VIRTQ_SIZE_MAX];
};

static inline const struct iovec *virtq_readable(const struct virtq_chain *chain)
{
    return chain->iov;
}

static inline const struct iovec *virtq_writable(const struct virtq_chain *chain)
{
    return chain->iov + chain->readable_count;
}

/*
 * Checks the layout and starts at index 0 of both rings. `accepted` are the driver's feature bits.
 * Errors: -EINVAL, with the reason in `fault`; the queue then stays stopped.
 */
int virtq_start(struct virtq *queue, const struct guest_memory *memory,
                const struct virtq_setup *setup, uint16_t size_max, uint64_t accepted,
                const char **fault);

/* Forgets the ring; no access to it afterwards. Harmless on a stopped queue. */
void virtq_stop(struct virtq *queue);

/*
 * Takes the next chain from the avail ring. 1: `chain` is filled; 0: the ring is empty, or the
 * queue is not started; -EPROTO: the queue is broken, see queue->fault.
 */
int virtq_pop(struct virtq *queue, struct virtq_chain *chain);

/* Puts the chain that was popped last back, so that the next pop gives it again. */
void virtq_undo_pop(struct virtq *queue);

/*
 * Gives a chain back to the driver, of whose writable part the first `written` bytes were
 * written. Visible to the driver at once. Does nothing on a stopped or broken queue.
 */
void virtq_push(struct virtq *queue, uint16_t head, uint32_t written);

/* Whether the driver wants an interrupt for what was pushed since this was last asked. */
bool virtq_wants_interrupt(struct virtq *queue);

/* Asks the driver not to kick while the device looks at the ring anyway; a hint. */
void virtq_suppress_kicks(struct virtq *queue);

/*
 * Asks for a kick with the next chain. True: a chain arrived meanwhile, for which the driver may
 * not have kicked; look again.
 */
bool virtq_enable_kicks(struct virtq *queue);

/* Ring positions, for snapshots. Restore: after virtq_start(), on the same layout. */
void virtq_save(const struct virtq *queue, struct state_writer *writer);
void virtq_restore(struct virtq *queue, struct state_reader *reader);

#endif
