/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio device apart from what carries it: status, features, queues, configuration space
 * (virtio 1.2, chapters 2 and 3). Modern only: VIRTIO_F_VERSION_1 must be accepted.
 *
 *     transport (mmio, later pci)     registers, under the transport's own lock, vCPU threads
 *              |  virtio_device_...
 *     struct virtio_device            this file
 *              |  struct virtio_device_ops
 *     blk, console, rng               queues and device state, on the loop's thread, no lock
 *
 * Threads
 * - Functions marked "transport" are called under the transport's lock, by any thread. They never
 *   touch a queue or the device behind the ops: reset, activation and writes to the
 *   configuration space go to the loop's thread by loop_call().
 * - Functions marked "loop" are called on the loop's thread. They never take the transport's
 *   lock, so a vCPU thread may hold that lock while it waits in loop_call(): no deadlock.
 * - Both sides meet in three places: `status`, which is atomic and in which both only set bits
 *   (clearing it happens in reset, on the loop's thread, while the transport waits); the
 *   configuration space, a copy under config_lock, which is held for a memcpy and nothing else;
 *   and the kick eventfds.
 * - Setup of a queue is the transport's until DRIVER_OK, when activation copies it.
 */
#ifndef HUSK_DEVICES_VIRTIO_DEVICE_H
#define HUSK_DEVICES_VIRTIO_DEVICE_H

#include "core/err.h"
#include "core/log.h"
#include "core/loop.h"
#include "core/memory.h"
#include "core/state.h"
#include "devices/virtio/queue.h"

#include <linux/virtio_config.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define VIRTIO_CONFIG_SIZE_MAX 128u

/* What every device of a machine stands on; borrowed, must outlive the device. */
struct virtio_environment {
    const struct guest_memory *memory;
    struct loop *loop;
    const struct log *log; /* may be NULL */
};

struct virtio_device;

/* All run on the loop's thread. NULL where a device has nothing to do, but notify. */
struct virtio_device_ops {
    const char *name;   /* "blk" */
    uint32_t device_id; /* VIRTIO_ID_... */
    unsigned queue_count;
    /* The driver is ready; queues are started; device->accepted is final. */
    void (*activate)(struct virtio_device *device);
    /* The driver kicked `queue`, or it is time to look at it again. Never called unless active. */
    void (*notify)(struct virtio_device *device, unsigned queue);
    /* The driver wrote `size` bytes at `offset` of the configuration space, within its size. */
    void (*write_config)(struct virtio_device *device, unsigned offset, const void *bytes,
                         unsigned size);
    /* Finishes what is in flight: every popped chain is pushed or undone when it returns. */
    void (*drain)(struct virtio_device *device);
    /* Back to the state after create. Drained; the queues are stopped already. */
    void (*reset)(struct virtio_device *device);
    /* One section of core/state.h each. Drained; restore comes after activate. */
    void (*save)(struct virtio_device *device, struct state_writer *writer);
    int (*restore)(struct virtio_device *device, struct state_reader *reader, struct err *err);
    /* Frees what the device owns, and itself. The loop no longer runs. */
    void (*destroy)(struct virtio_device *device);
};

/* How a device reaches its driver. Called on the loop's thread; must not take the lock. */
struct virtio_transport_ops {
    void (*queue_interrupt)(void *transport, unsigned queue);
    void (*config_interrupt)(void *transport);
};

/* Written by the loop's thread only. */
struct virtio_queue_counters {
    uint64_t kicks;      /* times the loop was woken for the queue */
    uint64_t chains;     /* given back to the driver */
    uint64_t interrupts; /* sent to the driver */
    uint64_t bytes;      /* in the chains that were taken */
};

struct virtio_queue {
    struct virtio_device *device;
    unsigned index;
    uint16_t size_max;        /* the size that the device offers */
    struct virtq_setup setup; /* transport */
    struct virtq ring;        /* loop */
    struct loop_source kick;  /* eventfd */
    struct virtio_queue_counters counters;
};

struct virtio_device {
    const struct virtio_device_ops *ops;
    struct virtio_environment environment;
    uint64_t offered;
    uint64_t accepted; /* what the driver wrote; it decides behaviour once FEATURES_OK is set */
    _Atomic uint8_t status;
    bool active;          /* loop: between DRIVER_OK and reset */
    bool fault_logged;    /* loop: a device logs one broken ring in its life */
    uint64_t errors;      /* loop: requests answered with an error */
    struct virtio_queue *queues; /* ops->queue_count */

    pthread_mutex_t config_lock; /* a leaf: nothing is called while it is held */
    uint8_t config[VIRTIO_CONFIG_SIZE_MAX];
    unsigned config_size;
    uint32_t config_generation;

    const struct virtio_transport_ops *transport_ops;
    void *transport;
};

/* --- for the owner of the machine --- */

/* Ends and frees a device made by one of the virtio_..._create() functions; NULL is harmless. */
void virtio_device_destroy(struct virtio_device *device);

/* --- for transports --- */

/* Connects the device to its transport. Before the machine runs. */
void virtio_device_attach(struct virtio_device *device,
                          const struct virtio_transport_ops *transport_ops, void *transport);

/* Transport. Status bits, VIRTIO_CONFIG_S_... */
uint8_t virtio_device_status(const struct virtio_device *device);

/*
 * Transport. The driver writes the status register (2.1, 3.1.1): 0 resets; a write that would
 * clear a bit, or set one before its predecessors, is ignored. FEATURES_OK stays clear when the
 * driver accepted what was not offered, or not VERSION_1. DRIVER_OK activates the device; if a
 * queue's layout is bad, DEVICE_NEEDS_RESET is set. Returns after a reset is complete.
 */
void virtio_device_write_status(struct virtio_device *device, uint32_t value);

/* Transport. Bits [32 * word, 32 * word + 32) of the features; words past 1 are zero. */
uint32_t virtio_device_offered(const struct virtio_device *device, uint32_t word);
void virtio_device_accept(struct virtio_device *device, uint32_t word, uint32_t bits);

/* Transport. NULL for a queue that does not exist. */
struct virtio_queue *virtio_device_queue(struct virtio_device *device, uint32_t index);

/* Transport. The setup, if the driver may change it now (2.1.2 and 4.2.2.2); NULL otherwise. */
struct virtq_setup *virtio_queue_writable_setup(struct virtio_queue *queue);

/* Transport. Clearing it on an active device stops the queue for good, before this returns. */
void virtio_queue_set_ready(struct virtio_queue *queue, bool ready);

/* Transport. Any offset and size; bytes past the end read as 0 and are not written. */
void virtio_device_read_config(struct virtio_device *device, uint64_t offset, void *bytes,
                               unsigned size);
void virtio_device_write_config(struct virtio_device *device, uint64_t offset, const void *bytes,
                                unsigned size);
uint32_t virtio_device_config_generation(struct virtio_device *device);

/* Any thread, no lock: what an ioeventfd does. An eventfd written with 1 is a kick. */
void virtio_queue_kick(struct virtio_queue *queue);

/* Loop, or no loop runs, and no vCPU runs. Restore wants a device after create or reset. */
void virtio_device_save(struct virtio_device *device, struct state_writer *writer);
int virtio_device_restore(struct virtio_device *device, struct state_reader *reader,
                          struct err *err);

/* --- for devices, all on the loop's thread --- */

/*
 * First step of a constructor: `sizes` are the largest queue sizes (powers of two, at most
 * VIRTQ_SIZE_MAX), one for each queue; VERSION_1, INDIRECT_DESC and EVENT_IDX are added to
 * `features`. On error nothing is left to release.
 */
int virtio_device_init(struct virtio_device *device, const struct virtio_device_ops *ops,
                       const struct virtio_environment *environment, const uint16_t *sizes,
                       uint64_t features, struct err *err);

/* Last step of ops->destroy, before the device's memory is freed. */
void virtio_device_release(struct virtio_device *device);

static inline bool virtio_device_has(const struct virtio_device *device, unsigned feature)
{
    return device->accepted >> feature & 1;
}

/*
 * Publishes the configuration space (at most VIRTIO_CONFIG_SIZE_MAX bytes; the same size each
 * time). On an active device that changes the generation and interrupts the driver.
 */
void virtio_device_set_config(struct virtio_device *device, const void *config, unsigned size);

/* The driver broke the rules: DEVICE_NEEDS_RESET, a config interrupt, one log line. */
void virtio_device_break(struct virtio_device *device, const char *reason);

/* Gives a chain back; the driver hears of it by virtio_queue_interrupt(). */
void virtio_queue_push(struct virtio_queue *queue, uint16_t head, uint32_t written);

/* Interrupts the driver if it wants that for what was pushed: once for a batch. */
void virtio_queue_interrupt(struct virtio_queue *queue);

/*
 * One turn at a queue. It takes chains until the ring is empty, but no more than fits in a turn:
 * a driver that keeps its queue full is served again after the loop's other sources.
 *
 *     virtio_batch_begin(&batch, queue);
 *     while (virtio_batch_next(&batch, &chain))
 *         ... virtio_queue_push(queue, chain.head, written);
 *     virtio_queue_interrupt(queue);
 */
struct virtio_batch {
    struct virtio_queue *queue;
    unsigned chains_left;
    uint64_t bytes_left;
};

void virtio_batch_begin(struct virtio_batch *batch, struct virtio_queue *queue);

/* False: empty, broken, or the turn is over (then a kick of our own brings the next one). */
bool virtio_batch_next(struct virtio_batch *batch, struct virtq_chain *chain);

/*
 * Puts the chain of the last next() back and ends the turn, for a device that cannot go on. The
 * device looks at the queue again by itself; the driver is not asked for kicks meanwhile.
 */
void virtio_batch_undo(struct virtio_batch *batch);

#endif
