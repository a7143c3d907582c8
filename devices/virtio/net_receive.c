/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Receive queues: frames of the network into the guest's buffers, several at once where they are
 * small, and without a copy where the guess of their size was right. With VIRTIO_NET_F_MRG_RXBUF a
 * frame is spread over as many chains as it needs; without, it must fit in one.
 *
 * A guest that runs out of buffers is not served until it kicks again: the network is not watched
 * meanwhile, and a frame that had been received and does not fit waits for more.
 */
#include "devices/virtio/net_parts.h"

#include "core/iov.h"
#include "core/timing.h"

#include <endian.h>
#include <linux/virtio_net.h>
#include <string.h>

static bool mergeable(const struct net_receiver *receiver)
{
    return virtio_device_has(&receiver->self->device, VIRTIO_NET_F_MRG_RXBUF);
}

/* --- chains in hand --- */

static unsigned held_count(const struct net_receiver *receiver)
{
    return receiver->end - receiver->first;
}

static unsigned held_pieces(const struct net_receiver *receiver)
{
    return receiver->iov_end - receiver->iov_first;
}

/* How large a frame may be for what is held: without merging it gets a single chain. */
static size_t frame_room(const struct net_receiver *receiver)
{
    if (mergeable(receiver) || held_count(receiver) == 0)
        return receiver->room;
    return receiver->held[receiver->first].size;
}

/* Moves what is held to the start of its arrays. */
static void compact(struct net_receiver *receiver)
{
    memmove(receiver->held, receiver->held + receiver->first,
            held_count(receiver) * sizeof receiver->held[0]);
    memmove(receiver->iov, receiver->iov + receiver->iov_first,
            held_pieces(receiver) * sizeof receiver->iov[0]);
    receiver->end -= receiver->first;
    receiver->iov_end -= receiver->iov_first;
    receiver->first = receiver->iov_first = 0;
}

static bool fits(const struct net_receiver *receiver, const struct virtq_chain *chain)
{
    return receiver->end < VIRTQ_SIZE_MAX &&
           receiver->iov_end + chain->writable_count < NET_PIECES_MAX; /* a stage comes behind */
}

static void hold(struct net_receiver *receiver, const struct virtq_chain *chain)
{
    receiver->held[receiver->end++] = (struct net_held){
        chain->token, chain->writable_count, (uint32_t)chain->writable_size};
    memcpy(receiver->iov + receiver->iov_end, virtq_writable(chain),
           chain->writable_count * sizeof receiver->iov[0]);
    receiver->iov_end += chain->writable_count;
    receiver->room += chain->writable_size;
}

/* Takes one more chain; false: there is none, or no place for it. */
static bool take_chain(struct net_receiver *receiver, struct virtio_batch *batch)
{
    struct virtq_chain chain;

    receiver->starved = receiver->starved || !virtio_batch_next(batch, &chain);
    if (receiver->starved)
        return false;
    if (chain.writable_size < NET_HEADER_SIZE || chain.writable_size > UINT32_MAX) {
        virtio_device_break(&receiver->self->device, "receive buffer of impossible size");
        return false;
    }
    if (!fits(receiver, &chain))
        compact(receiver);
    if (!fits(receiver, &chain)) {
        virtio_batch_undo(batch, chain.token);
        return false;
    }
    hold(receiver, &chain);
    return true;
}

/* Takes chains for `size` bytes, as far as there are any. */
static void gather(struct net_receiver *receiver, struct virtio_batch *batch, size_t size)
{
    unsigned most = mergeable(receiver) ? VIRTQ_SIZE_MAX : 1;

    while (receiver->room < size && held_count(receiver) < most && take_chain(receiver, batch))
        ;
}

/* --- giving frames to the guest --- */

/* True when the rate limit lets the next frame pass; otherwise the timer brings the next turn. */
static bool pay(struct net_receiver *receiver, size_t size)
{
    struct rate_pair *rate = &receiver->self->options.receive_rate;
    uint64_t now;

    if (receiver->paid || !rate_pair_limits(rate))
        return true;
    now = timing_now();
    receiver->paid = rate_pair_take(rate, size - NET_HEADER_SIZE, now);
    if (!receiver->paid)
        timer_arm(&receiver->timer, rate_pair_next(rate, now));
    return receiver->paid;
}

/* Gives the frame that lies in the first chains: all but the last one are full (5.1.6.4). */
static void give(struct net_receiver *receiver, size_t size)
{
    struct iovec *iov = receiver->iov + receiver->iov_first;
    unsigned pieces = held_pieces(receiver), count = 0;
    struct virtq_used used[VIRTQ_SIZE_MAX];
    size_t left = size;
    __le16 buffers;

    while (left > 0) {
        const struct net_held *held = &receiver->held[receiver->first++];
        uint32_t written = left < held->size ? (uint32_t)left : held->size;

        used[count++] = (struct virtq_used){held->token, written};
        receiver->iov_first += held->pieces;
        receiver->room -= held->size;
        left -= written;
    }
    buffers = htole16((uint16_t)count);
    iov_write(iov, pieces, offsetof(struct virtio_net_hdr_v1, num_buffers), &buffers,
              sizeof buffers);
    virtio_queue_push_all(receiver->queue, used, count);
    receiver->paid = false;
}

/*
 * A lost frame takes its part of the turn as one that was given, or who floods a guest with such
 * frames would hold the thread. False: the turn is over.
 */
static bool lose(struct net_receiver *receiver, struct virtio_batch *batch)
{
    counter_add(&receiver->overflows, 1);
    receiver->paid = false;
    receiver->staged++;
    return virtio_batch_charge(batch);
}

/*
 * Whether the guest can offer more than is held: it has as many descriptors as the ring is long,
 * and each piece took one of them, unless they are indirect.
 */
static bool more_can_come(const struct net_receiver *receiver)
{
    return mergeable(receiver) && held_pieces(receiver) < receiver->queue->ring.size;
}

/* Gives the guest what is in stages, as far as it has buffers; false: not all of it. */
static bool give_staged(struct net_receiver *receiver, struct virtio_batch *batch)
{
    while (receiver->staged < receiver->staged_end) {
        size_t size = receiver->staged_size[receiver->staged];

        if (!pay(receiver, size))
            return false;
        gather(receiver, batch, size);
        if (frame_room(receiver) >= size) {
            iov_write(receiver->iov + receiver->iov_first, held_pieces(receiver), 0,
                      receiver->stages[receiver->staged], size);
            give(receiver, size);
            receiver->staged++;
        } else if (more_can_come(receiver) || held_count(receiver) == 0 || !lose(receiver, batch)) {
            return false;
        }
    }
    return true;
}

/* --- receiving --- */

/* Slots, each with its part of the list, of which the last piece is a stage. */
struct net_slots {
    unsigned count;
    unsigned pieces;
    struct net_slot slots[NET_SLOTS];
    size_t room[NET_SLOTS]; /* without the stage */
    struct iovec iov[NET_PIECES_MAX + NET_SLOTS];
};

/* A slot of `chains` held chains, beginning with number `held`, whose pieces begin at `piece`. */
static unsigned add_slot(struct net_receiver *receiver, struct net_slots *slots, unsigned held,
                         unsigned chains, unsigned piece)
{
    struct iovec *iov = slots->iov + slots->pieces;
    unsigned number = slots->count++, pieces = 0;
    size_t room = 0;

    for (unsigned i = 0; i < chains; i++) {
        room += receiver->held[held + i].size;
        pieces += receiver->held[held + i].pieces;
    }
    memcpy(iov, receiver->iov + piece, pieces * sizeof *iov);
    iov[pieces] = (struct iovec){receiver->stages[number],
                                 room < NET_FRAME_ROOM ? NET_FRAME_ROOM - room : 0};
    slots->slots[number] = (struct net_slot){.iov = iov, .count = pieces + 1};
    slots->room[number] = room;
    slots->pieces += pieces + 1;
    return piece + pieces;
}

/* A slot of one chain for each small frame, or one slot of all chains for a large one. */
static void lay_out(struct net_receiver *receiver, struct virtio_batch *batch,
                    struct net_slots *slots)
{
    unsigned piece;

    slots->count = slots->pieces = 0;
    gather(receiver, batch, receiver->expected);
    if (held_count(receiver) == 0)
        return;
    if (mergeable(receiver) && receiver->held[receiver->first].size < receiver->expected) {
        add_slot(receiver, slots, receiver->first, held_count(receiver), receiver->iov_first);
        return;
    }
    while (held_count(receiver) < receiver->depth && take_chain(receiver, batch))
        ;
    piece = receiver->iov_first;
    for (unsigned i = 0; i < held_count(receiver) && i < receiver->depth; i++)
        piece = add_slot(receiver, slots, receiver->first + i, 1, piece);
}

/* Large frames come in a row; small ones among them, as acknowledgements, change little. */
static void learn(struct net_receiver *receiver, size_t size)
{
    if (size >= receiver->expected)
        receiver->expected = size;
    else
        receiver->expected -= (receiver->expected - size) / 8;
}

/* Moves a frame out of the guest's buffers, behind those that are staged already. */
static void stage(struct net_receiver *receiver, const struct net_slots *slots, unsigned number)
{
    const struct net_slot *slot = &slots->slots[number];
    size_t room = slots->room[number] < slot->size ? slots->room[number] : slot->size;
    uint8_t *to = receiver->stages[receiver->staged_end];

    memmove(to + room, receiver->stages[number], slot->size - room);
    iov_read(slot->iov, slot->count - 1, 0, to, room);
    receiver->staged_size[receiver->staged_end++] = slot->size;
}

/*
 * Gives the guest the frames that lie in its buffers as they came. The first that does not, or must
 * wait, is staged, and so are all that follow it, whose chains are then free again.
 */
static void settle(struct net_receiver *receiver, const struct net_slots *slots)
{
    bool in_place = true;

    receiver->staged = receiver->staged_end = 0;
    for (unsigned i = 0; i < slots->count; i++) {
        size_t size = slots->slots[i].size;

        if (size == 0) {
            in_place = false;
            continue;
        }
        learn(receiver, size);
        in_place = in_place && size <= slots->room[i] && pay(receiver, size);
        if (in_place)
            give(receiver, size);
        else
            stage(receiver, slots, i);
    }
}

/* As many at once as came the last time, and some more. */
static void adapt(struct net_receiver *receiver, unsigned slots, unsigned frames)
{
    receiver->depth = frames == slots ? 2 * receiver->depth : frames + 1;
    if (receiver->depth > NET_SLOTS)
        receiver->depth = NET_SLOTS;
}

/* Moves some frames; false: there are no more (`idle`), or they must wait. */
static bool move_frames(struct net_receiver *receiver, struct virtio_batch *batch, bool *idle)
{
    struct net_slots slots;
    unsigned frames;

    *idle = false;
    if (!give_staged(receiver, batch))
        return false;
    lay_out(receiver, batch, &slots);
    if (slots.count == 0)
        return false;
    frames = net_receive(receiver->self->net, receiver->pair, slots.slots, slots.count);
    *idle = frames < slots.count;
    adapt(receiver, slots.count, frames);
    settle(receiver, &slots);
    return !*idle || receiver->staged < receiver->staged_end;
}

void net_receiver_turn(struct net_receiver *receiver)
{
    struct virtio_batch batch;
    bool idle = false;

    if (!virtio_queue_usable(receiver->queue)) {
        net_want_receive(receiver->self->net, receiver->pair, false);
        return;
    }
    virtio_batch_begin(&batch, receiver->queue);
    receiver->starved = false;
    while (virtio_queue_usable(receiver->queue) && move_frames(receiver, &batch, &idle))
        ;
    net_want_receive(receiver->self->net, receiver->pair, idle);
    virtio_queue_interrupt(receiver->queue);
}

/* Nothing is held, and the next frame is thought to be small. */
static void forget(struct net_receiver *receiver)
{
    receiver->first = receiver->end = receiver->iov_first = receiver->iov_end = 0;
    receiver->staged = receiver->staged_end = 0;
    receiver->room = 0;
    receiver->expected = NET_HEADER_SIZE;
    receiver->depth = 1;
    receiver->paid = false;
}

void net_receiver_init(struct net_receiver *receiver, struct virtio_net *self, unsigned pair)
{
    receiver->self = self;
    receiver->queue = &self->device.queues[(size_t)2 * pair];
    receiver->pair = pair;
    forget(receiver);
}

void net_receiver_drain(struct net_receiver *receiver)
{
    net_want_receive(receiver->self->net, receiver->pair, false);
    if (rate_pair_limits(&receiver->self->options.receive_rate))
        timer_disarm(&receiver->timer);
    while (held_count(receiver) > 0)
        virtq_undo_pop(&receiver->queue->ring, receiver->held[--receiver->end].token);
    forget(receiver);
}
