/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of a virtio block device: what it is (blk.c), and its queues (blk_queue.c). For these
 * only.
 */
#ifndef HUSK_DEVICES_VIRTIO_BLK_PARTS_H
#define HUSK_DEVICES_VIRTIO_BLK_PARTS_H

#include "core/timer.h"
#include "devices/disk/channel.h"
#include "devices/virtio/blk.h"

#include <linux/virtio_blk.h>

#define BLK_QUEUE_SIZE VIRTQ_SIZE_MAX
#define BLK_SEGMENTS_MAX (BLK_QUEUE_SIZE - 2) /* a chain also holds header and status */

/* One request may keep the host's disk busy for a moment, not for minutes. */
#define BLK_SEGMENT_SIZE_MAX (UINT32_C(256) << 10)
#define BLK_TRANSFER_SIZE_MAX ((uint64_t)BLK_SEGMENTS_MAX * BLK_SEGMENT_SIZE_MAX)

/* No more is taken while the disk has so many bytes to move: a reset waits for them. */
#define BLK_IN_FLIGHT_MAX ((uint64_t)64 << 20)

#define BLK_DISCARD_RANGES_MAX 16u
#define BLK_DISCARD_SECTORS_MAX (UINT32_C(4) << (30 - 9))
#define BLK_ZEROES_RANGES_MAX 1u
#define BLK_ZEROES_SECTORS_MAX (UINT32_C(64) << (20 - 9))

struct blk_queue;

struct blk_request {
    struct blk_queue *queue;
    uint8_t *status;  /* the last writable byte, in guest memory */
    uint32_t written; /* bytes that the driver may look at if all goes well */
    unsigned range, range_count; /* the one that the disk works on, of so many */
    struct disk_request disk;
    struct virtio_blk_discard_write_zeroes ranges[BLK_DISCARD_RANGES_MAX]; /* checked */
    struct virtq_chain chain; /* its list of buffers is used up by the disk */
};

/* On its queue's loop alone. */
struct blk_queue {
    struct virtio_blk *blk;
    struct virtio_queue *ring;
    struct disk_channel *channel;
    struct timer timer; /* the rate limit lets requests pass again; open if there is one */
    struct counter limited; /* times the queue had to wait for that */
    uint64_t in_flight;     /* bytes that the disk has to move */
    bool held_back;         /* the turn ended because these are too many */
    uint64_t covered;       /* by ranges, in bytes, while a request is started */
    /*
     * One request for each descriptor and one to pop into, so that there always is one. The slot
     * used last is used next, and memory that no guest needs is never touched.
     */
    struct blk_request *requests;
    struct blk_request *free_requests[BLK_QUEUE_SIZE + 1];
    unsigned free_count;
    /* What is answered and not yet given back: the driver hears of a batch at once. */
    struct virtq_used used[BLK_QUEUE_SIZE];
    unsigned used_count;
};

struct virtio_blk {
    struct virtio_device device; /* first member: the two convert to each other */
    struct disk *disk;
    char serial[VIRTIO_BLK_ID_BYTES];
    struct rate_pair rate;
    atomic_bool write_back; /* what the driver wants of the cache, if CONFIG_WCE was accepted */
    atomic_bool error_logged;
    struct blk_queue *queues; /* device.queue_count */
};

/* Of queue `index`; the device has its queues and its disk already. */
int blk_queue_open(struct virtio_blk *blk, unsigned index, struct err *err);

/* Drained, or never opened (zeroed). */
void blk_queue_close(struct blk_queue *queue);

/* One turn: takes what the driver offers, as far as the rate limit lets it. */
void blk_queue_turn(struct blk_queue *queue);

#endif
