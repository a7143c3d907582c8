/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of a virtio network device: what it is (net.c), its receive queues (net_receive.c),
 * its transmit queues (net_send.c) and its control queue (net_control.c). For these only.
 *
 * A pair's two queues run on one loop, and own their receiver and sender. The control queue has
 * none of its own; it may ask other loops, because it runs on the device's.
 */
#ifndef HUSK_DEVICES_VIRTIO_NET_PARTS_H
#define HUSK_DEVICES_VIRTIO_NET_PARTS_H

#include "core/timer.h"
#include "devices/virtio/net.h"

#define NET_PIECES_MAX 1024u /* IOV_MAX */
#define NET_BATCH_FRAMES 64u
#define NET_SLOTS 16u /* frames that are received at once */

/*
 * The guest's buffers for what comes. Chains are taken from the ring before it is known how many
 * the next frames need, and wait in `held`, oldest first:
 *
 *     iov   | consumed | pieces of held[first], held[first + 1], ... | free |
 *                      iov_first                                     iov_end
 *
 * A slot for a frame is the chains that it is thought to need and, behind them, a stage, so that a
 * frame that is larger is whole all the same. Frames that did not fit, came out of order or must
 * wait are moved into their stages whole, and go from there to the guest by a copy.
 */
struct net_receiver {
    struct virtio_net *self;
    struct virtio_queue *queue;
    unsigned pair;
    struct timer timer; /* the rate limit lets frames pass again */
    bool starved;       /* of this turn: the ring had no more chains */
    size_t room;        /* bytes in held chains */
    size_t expected;    /* bytes that the next frame may have */
    unsigned depth;     /* how many frames may come at once */
    bool paid;          /* the rate limit lets the next frame pass */
    unsigned first, end;
    struct net_held {
        struct virtq_token token;
        unsigned pieces;
        uint32_t size;
    } held[VIRTQ_SIZE_MAX];
    unsigned iov_first, iov_end;
    struct iovec iov[NET_PIECES_MAX];
    struct counter overflows; /* frames that the guest's buffers cannot hold */
    unsigned staged, staged_end; /* the stages that hold frames */
    size_t staged_size[NET_SLOTS];
    uint8_t stages[NET_SLOTS][NET_FRAME_ROOM];
};

/* Frames of the guest that the network has not taken yet, oldest first. */
struct net_sender {
    struct virtio_net *self;
    struct virtio_queue *queue;
    unsigned pair;
    struct timer timer;
    unsigned count;
    struct virtq_token tokens[NET_BATCH_FRAMES];
    struct net_frame frames[NET_BATCH_FRAMES];
    struct iovec iov[NET_PIECES_MAX];
};

struct virtio_net {
    struct virtio_device device; /* first member: the two convert to each other */
    struct net *net;
    struct virtio_net_options options;
    unsigned pair_count;
    unsigned pairs_in_use;     /* the control queue's */
    uint64_t guest_offloads;   /* features of received frames that are on; the control queue's */
    struct net_receiver *receivers; /* pair_count */
    struct net_sender *senders;
};

void net_receiver_init(struct net_receiver *receiver, struct virtio_net *self, unsigned pair);
void net_sender_init(struct net_sender *sender, struct virtio_net *self, unsigned pair);

/* Turns at a queue, on its loop. */
void net_receiver_turn(struct net_receiver *receiver);
void net_sender_turn(struct net_sender *sender);
void net_control_turn(struct virtio_net *self, struct virtio_queue *queue);

/* Every chain back where it was; what was received is lost. On the queue's loop. */
void net_receiver_drain(struct net_receiver *receiver);
void net_sender_drain(struct net_sender *sender);

/* For the control queue: 0, or -errno and nothing has changed. */
int virtio_net_set_guest_offloads(struct virtio_net *self, uint64_t features);
int virtio_net_set_pairs(struct virtio_net *self, unsigned pairs);

#endif
