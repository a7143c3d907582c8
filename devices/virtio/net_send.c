/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transmit queues: a batch of the guest's frames to the network, from the guest's buffers. What the
 * network does not take at once stays in hand, and the ring fills up behind it.
 */
#include "devices/virtio/net_parts.h"

#include "core/iov.h"
#include "core/timing.h"

#include <linux/virtio_net.h>
#include <string.h>

static bool is_frame(const struct virtq_chain *chain)
{
    return chain->readable_size >= NET_HEADER_SIZE + NET_FRAME_MIN &&
           chain->readable_size <= NET_FRAME_ROOM;
}

/*
 * The pieces of a frame. A driver that has not accepted VIRTIO_NET_F_CSUM, on which all offloads
 * build, has nothing to say in the header: it is replaced.
 */
static unsigned lay_out(const struct net_sender *sender, const struct virtq_chain *chain,
                        struct iovec *iov)
{
    static uint8_t no_offloads[NET_HEADER_SIZE]; /* never written */

    if (virtio_device_has(&sender->self->device, VIRTIO_NET_F_CSUM)) {
        memcpy(iov, virtq_readable(chain), chain->readable_count * sizeof *iov);
        return chain->readable_count;
    }
    iov[0] = (struct iovec){no_offloads, sizeof no_offloads};
    return 1 + iov_slice(virtq_readable(chain), chain->readable_count, NET_HEADER_SIZE,
                         chain->readable_size - NET_HEADER_SIZE, iov + 1, VIRTQ_SIZE_MAX);
}

/* False when the rate limit does not let the frame pass now; then the timer brings a turn. */
static bool pay(struct net_sender *sender, const struct virtq_chain *chain)
{
    struct rate_pair *rate = &sender->self->options.send_rate;
    uint64_t now;

    if (!rate_pair_limits(rate))
        return true;
    now = timing_now();
    if (rate_pair_take(rate, chain->readable_size - NET_HEADER_SIZE, now))
        return true;
    timer_arm(&sender->timer, rate_pair_next(rate, now));
    return false;
}

/* Takes frames from the ring until a batch is full; false: the ring has no more for this turn. */
static bool gather(struct net_sender *sender, struct virtio_batch *batch)
{
    struct virtq_chain chain;
    unsigned used = 0;

    while (sender->count < NET_BATCH_FRAMES && used + VIRTQ_SIZE_MAX + 1 <= NET_PIECES_MAX) {
        struct iovec *iov = sender->iov + used;

        if (!virtio_batch_next(batch, &chain))
            return false;
        if (!is_frame(&chain)) {
            counter_add(&sender->queue->counters.errors, 1);
            virtio_queue_push(sender->queue, chain.token, 0);
            continue;
        }
        if (!pay(sender, &chain)) {
            virtio_batch_undo(batch, chain.token);
            return false;
        }
        sender->tokens[sender->count] = chain.token;
        sender->frames[sender->count] = (struct net_frame){
            iov, lay_out(sender, &chain, iov), (uint32_t)chain.readable_size};
        used += sender->frames[sender->count++].count;
    }
    return true;
}

/* Sends what is in hand; false: the network has no room for all of it. */
static bool send(struct net_sender *sender)
{
    struct virtq_used used[NET_BATCH_FRAMES];
    unsigned sent = net_send(sender->self->net, sender->pair, sender->frames, sender->count);

    for (unsigned i = 0; i < sent; i++)
        used[i] = (struct virtq_used){sender->tokens[i], 0};
    virtio_queue_push_all(sender->queue, used, sent);
    sender->count -= sent;
    memmove(sender->tokens, sender->tokens + sent, sender->count * sizeof sender->tokens[0]);
    memmove(sender->frames, sender->frames + sent, sender->count * sizeof sender->frames[0]);
    return sender->count == 0;
}

void net_sender_turn(struct net_sender *sender)
{
    struct virtio_batch batch;
    bool more = true;

    if (!virtio_queue_usable(sender->queue))
        return;
    virtio_batch_begin(&batch, sender->queue);
    while (virtio_queue_usable(sender->queue) && send(sender) && more)
        more = gather(sender, &batch);
    virtio_queue_interrupt(sender->queue);
}

void net_sender_init(struct net_sender *sender, struct virtio_net *self, unsigned pair)
{
    sender->self = self;
    sender->queue = &self->device.queues[(size_t)2 * pair + 1];
    sender->pair = pair;
}

void net_sender_drain(struct net_sender *sender)
{
    if (rate_pair_limits(&sender->self->options.send_rate))
        timer_disarm(&sender->timer);
    while (sender->count > 0)
        virtq_undo_pop(&sender->queue->ring, sender->tokens[--sender->count]);
}
