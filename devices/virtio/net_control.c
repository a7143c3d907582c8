/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control queue (5.1.6.5): how many queue pairs are in use, and what received frames may leave
 * undone. There is nothing to say about receive modes and addresses, because nothing is filtered.
 *
 *     readable                                writable
 *     class, command | what the command wants ack
 */
#include "devices/virtio/net_parts.h"

#include "core/iov.h"

#include <endian.h>
#include <linux/virtio_net.h>

#define HEADER_SIZE sizeof(struct virtio_net_ctrl_hdr)

/* Copies what the command wants, if it is exactly so much. */
static bool read_exactly(const struct virtq_chain *chain, void *to, size_t size)
{
    return chain->readable_size == HEADER_SIZE + size &&
           iov_read(virtq_readable(chain), chain->readable_count, HEADER_SIZE, to, size) == size;
}

static bool set_pairs(struct virtio_net *self, const struct virtq_chain *chain)
{
    struct virtio_net_ctrl_mq command;

    return virtio_device_has(&self->device, VIRTIO_NET_F_MQ) &&
           read_exactly(chain, &command, sizeof command) &&
           virtio_net_set_pairs(self, le16toh(command.virtqueue_pairs)) == 0;
}

static bool set_offloads(struct virtio_net *self, const struct virtq_chain *chain)
{
    __le64 offloads;

    return virtio_device_has(&self->device, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) &&
           read_exactly(chain, &offloads, sizeof offloads) &&
           virtio_net_set_guest_offloads(self, le64toh(offloads)) == 0;
}

static bool carry_out(struct virtio_net *self, const struct virtq_chain *chain)
{
    struct virtio_net_ctrl_hdr header;

    if (iov_read(virtq_readable(chain), chain->readable_count, 0, &header, HEADER_SIZE) !=
        HEADER_SIZE)
        return false;
    switch (header.class << 8 | header.cmd) {
    case VIRTIO_NET_CTRL_MQ << 8 | VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET:
        return set_pairs(self, chain);
    case VIRTIO_NET_CTRL_GUEST_OFFLOADS << 8 | VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET:
        return set_offloads(self, chain);
    default:
        return false;
    }
}

void net_control_turn(struct virtio_net *self, struct virtio_queue *queue)
{
    struct virtio_batch batch;
    struct virtq_chain chain;

    virtio_batch_begin(&batch, queue);
    while (virtio_batch_next(&batch, &chain)) {
        uint8_t ack;

        if (chain.writable_size < sizeof ack) {
            virtio_device_break(&self->device, "command without room for its answer");
            break;
        }
        ack = carry_out(self, &chain) ? VIRTIO_NET_OK : VIRTIO_NET_ERR;
        if (ack != VIRTIO_NET_OK)
            counter_add(&queue->counters.errors, 1);
        iov_write(virtq_writable(&chain), chain.writable_count, 0, &ack, sizeof ack);
        virtio_queue_push(queue, chain.token, sizeof ack);
    }
    virtio_queue_interrupt(queue);
}
