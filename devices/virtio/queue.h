/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtqueue seen from the device (virtio 1.2, sections 2.6 to 2.8): the one place where rings and
 * descriptor chains are walked. Knows guest memory, and neither devices nor transports, which do
 * not notice in which of two formats the driver keeps its rings:
 *
 *              descriptor area        driver area                   device area
 *     split    {addr len flags next}  flags idx ring used_event     flags idx {id len} avail_event
 *              read                   read                          written
 *     packed   {addr len id flags}    off_wrap flags                off_wrap flags
 *              read and written       read                          written
 *
 * The format follows from the accepted features (VIRTIO_F_RING_PACKED) and is picked once, when
 * the queue starts. What both have in common is in queue.c, the rest in queue_split.c and
 * queue_packed.c, behind queue_format.h.
 *
 * A queue belongs to one thread, its loop's. Its layout is checked once, when the driver sets
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

/* The largest queue that a device here offers, and so the longest chain (2.7.5.3.1, 2.8.5). */
#define VIRTQ_SIZE_MAX 256u

/* What the driver wrote to the transport's registers; checked by virtq_start(). */
struct virtq_setup {
    uint32_t size;              /* a power of two if the ring is split */
    struct gpa descriptor_area; /* 16-byte aligned */
    struct gpa driver_area;     /* 2-byte aligned if the ring is split, 4-byte if packed */
    struct gpa device_area;     /* 4-byte aligned */
    bool ready;
};

struct virtq_format; /* queue_format.h */

struct virtq {
    const struct virtq_format *format;
    const struct guest_memory *memory;
    union { /* the ring's parts, in guest memory */
        struct {
            const struct vring_desc *descriptors;
            const struct vring_avail *avail;
            struct vring_used *used;
        } split;
        struct {
            struct vring_packed_desc *descriptors;
            const struct vring_packed_desc_event *driver_event;
            struct vring_packed_desc_event *device_event;
        } packed;
    };
    uint16_t size;
    /*
     * Positions count slots, which are entries of the avail and used rings (split) or descriptors
     * (packed), from 0 to the period and then from 0 again.
     */
    uint32_t period;
    uint16_t next_avail;  /* of the next chain to take */
    uint16_t next_used;   /* of the next chain to give back */
    uint32_t unsignalled; /* slots given back since an interrupt was last considered */
    uint32_t in_flight;   /* slots taken and not yet given back */
    bool started;
    bool event_idx;    /* VIRTIO_F_EVENT_IDX was accepted by the driver */
    bool indirect;     /* VIRTIO_F_INDIRECT_DESC was accepted by the driver */
    const char *fault; /* why the queue is broken; NULL while it is not */
};

/* Which chain it is, as virtq_push() wants to hear it. Only the queue looks inside. */
struct virtq_token {
    uint16_t id;    /* index of the first descriptor (split), or buffer id (packed) */
    uint16_t slots; /* how many it takes */
};

/*
 * One chain of buffers: what the driver wrote for the device, then what the device may write.
 * The buffers are guest memory, whose content can change at any time. Empty descriptors, which
 * the specification allows, are left out; so every iovec has at least one byte.
 */
struct virtq_chain {
    struct virtq_token token;
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
 * Picks the format, checks the layout, and starts at the beginning of the rings. `accepted` are
 * the driver's feature bits.
 * Errors: -EINVAL, with the reason in `fault`; the queue then stays stopped.
 */
int virtq_start(struct virtq *queue, const struct guest_memory *memory,
                const struct virtq_setup *setup, uint16_t size_max, uint64_t accepted,
                const char **fault);

/* Forgets the ring; no access to it afterwards. Harmless on a stopped queue. */
void virtq_stop(struct virtq *queue);

/*
 * Takes the next chain from the ring. 1: `chain` is filled; 0: the ring is empty, or the queue is
 * not started; -EPROTO: the queue is broken, see queue->fault.
 */
int virtq_pop(struct virtq *queue, struct virtq_chain *chain);

/* Whether virtq_pop() would find a chain, or a fault; cheap, for who looks often. */
bool virtq_available(const struct virtq *queue);

/*
 * Puts a chain back, so that the next pop gives it again. It is the one that was popped last, of
 * those that were not put back yet, and has not been pushed.
 */
void virtq_undo_pop(struct virtq *queue, struct virtq_token token);

/*
 * Gives a chain back to the driver, of whose writable part the first `written` bytes were
 * written; in any order. Visible to the driver at once. Does nothing on a stopped or broken queue.
 */
void virtq_push(struct virtq *queue, struct virtq_token token, uint32_t written);

/* A chain that is given back. */
struct virtq_used {
    struct virtq_token token;
    uint32_t written;
};

/* As virtq_push() of each in turn, but the driver sees all of them at once or none. */
void virtq_push_all(struct virtq *queue, const struct virtq_used *used, unsigned count);

/* Whether the driver wants an interrupt for what was pushed since this was last asked. */
bool virtq_wants_interrupt(struct virtq *queue);

/* Asks the driver not to kick while the device looks at the ring anyway; a hint. */
void virtq_suppress_kicks(struct virtq *queue);

/*
 * Asks for a kick with the next chain. True: a chain arrived meanwhile, for which the driver may
 * not have kicked; look again.
 */
bool virtq_enable_kicks(struct virtq *queue);

/*
 * Somebody else has served the ring, up to `position` (which is below the period), in order, and
 * has nothing in flight.
 */
void virtq_continue_at(struct virtq *queue, uint16_t position);

/*
 * How far somebody else who serves the ring, which is split, has come by its own account: the
 * position behind the last chain that was given back. Any value, for the guest can write it.
 */
uint16_t virtq_given_back(const struct virtq *queue);

/*
 * Ring positions, for snapshots. Restore: after virtq_start(), on the same layout; positions that
 * the ring does not have fail the reader.
 */
void virtq_save(const struct virtq *queue, struct state_writer *writer);
void virtq_restore(struct virtq *queue, struct state_reader *reader);

#endif
