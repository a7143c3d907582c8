/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio device apart from what carries it: status, features, queues, configuration space
 * (virtio 1.2, chapters 2 and 3). Modern only: VIRTIO_F_VERSION_1 must be accepted.
 *
 *     transport (mmio, pci)           registers, under the transport's own lock, vCPU threads
 *              |  virtio_device_...
 *     struct virtio_device            this file
 *              |  struct virtio_device_ops
 *     blk, console, rng               queues and device state, on loops, no lock
 *
 * Threads
 * - Functions marked "transport" are called under the transport's lock, by any thread. They never
 *   touch a queue or the device behind the ops: reset, activation and writes to the
 *   configuration space go to the device's loop by loop_call().
 * - Functions marked "loop" are called on the device's loop (environment.loop), which has control
 *   of the device: activation, reset, configuration space, snapshots.
 * - Functions marked "queue" are called on the queue's loop, which may be another one. While a
 *   queue runs, its ring and what the device keeps for it belong to that loop alone; queues share
 *   nothing but atomics and what is constant between activation and reset.
 * - Who may wait for whom in loop_call(): a vCPU for the device's loop and for a queue's, the
 *   device's loop for a queue's, a queue's loop for nobody. Loops never take the transport's
 *   lock. So nothing deadlocks.
 * - Transport and loops meet in three places: `status`, which is atomic and in which all only set
 *   bits (clearing it happens in reset, while the transport waits); the configuration space, a
 *   copy under config_lock, which is held for a memcpy and nothing else; and the kick eventfds.
 * - Setup of a queue is the transport's until DRIVER_OK, when activation copies it.
 *
 * A queue can be lent to who serves rings himself, as the host's kernel does (vhost): from then on
 * its loop neither watches nor polls it, and only hears of interrupts, if the transport has no
 * eventfd for them, and of faults. A reset, a snapshot or the end takes it back.
 */
#ifndef HUSK_DEVICES_VIRTIO_DEVICE_H
#define HUSK_DEVICES_VIRTIO_DEVICE_H

#include "core/counter.h"
#include "core/err.h"
#include "core/lent_ring.h"
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
    const struct log *log;     /* may be NULL */
    struct loop *queue_loops;  /* array of those that queues are spread over; NULL: `loop` alone */
    unsigned queue_loop_count;
    unsigned queue_loop_first; /* where this device begins, so that devices are spread too */
    bool packed_rings;         /* offer them; a driver that accepts has packed rings */
};

/* The loop for the n-th of a device's queues, or pairs of queues, that carry the load. */
static inline struct loop *virtio_environment_queue_loop(const struct virtio_environment *environment,
                                                         unsigned n)
{
    if (environment->queue_loop_count == 0)
        return environment->loop;
    n = (environment->queue_loop_first + n) % environment->queue_loop_count;
    return &environment->queue_loops[n];
}

struct virtio_device;

/* Run on the device's loop, but for what is marked "queue". NULL where there is nothing to do. */
struct virtio_device_ops {
    const char *name;   /* "blk" */
    uint32_t device_id; /* VIRTIO_ID_... */
    /* The driver is ready; device->accepted is final; no queue runs yet. */
    void (*activate)(struct virtio_device *device);
    /*
     * Queue. The driver kicked it, or it is time to look at it again. Never called unless the
     * queue runs. Never NULL.
     */
    void (*notify)(struct virtio_device *device, unsigned queue);
    /* Queue. Finishes what is in flight: every popped chain is pushed or undone on return. */
    void (*drain_queue)(struct virtio_device *device, unsigned queue);
    /*
     * Queue. It begins to run: lends it, or returns false to have it served here. Only for queues
     * of virtio_queue_make_lendable(). What should be lent and cannot be breaks the device.
     */
    bool (*lend_queue)(struct virtio_device *device, unsigned queue,
                       const struct lent_ring *ring);
    /* It is lent to a process, and not to the kernel: what that is given is not to be trusted any more. */
    bool lends_to_process;
    /* Queue. Takes it back, with all chains given back; returns the position in the ring. */
    uint16_t (*take_back_queue)(struct virtio_device *device, unsigned queue);
    /* The driver wrote `size` bytes at `offset` of the configuration space, within its size. */
    void (*write_config)(struct virtio_device *device, unsigned offset, const void *bytes,
                         unsigned size);
    /* Back to the state after create. The queues are drained and stopped already. */
    void (*reset)(struct virtio_device *device);
    /* Any thread. What the device counts for a queue beyond struct virtio_queue_counters. */
    void (*count)(const struct virtio_device *device, unsigned queue,
                  const struct counter_sink *sink);
    /* One section of core/state.h each. Drained; restore comes after activate. */
    void (*save)(struct virtio_device *device, struct state_writer *writer);
    int (*restore)(struct virtio_device *device, struct state_reader *reader, struct err *err);
    /* Frees what the device owns, and itself. The loop no longer runs. */
    void (*destroy)(struct virtio_device *device);
};

/* How a device reaches its driver. Called on any loop; must not take the transport's lock. */
struct virtio_transport_ops {
    void (*queue_interrupt)(void *transport, unsigned queue);
    void (*config_interrupt)(void *transport);
    /* An eventfd: writing it is an interrupt; -1: it takes queue_interrupt(). May be NULL. */
    int (*queue_event)(void *transport, unsigned queue);
};

/* The queue's loop counts. */
struct virtio_queue_counters {
    struct counter kicks;      /* times the loop was woken for the queue */
    struct counter polls;      /* times it found chains there without being woken */
    struct counter chains;     /* given back to the driver */
    struct counter interrupts; /* sent to the driver */
    struct counter bytes;      /* in the chains that were taken */
    struct counter errors;     /* requests answered with an error */
};

/* A queue as a device wants it. */
struct virtio_queue_options {
    uint16_t size_max; /* a power of two, at most VIRTQ_SIZE_MAX */
    struct loop *loop; /* NULL: the device's */
};

struct virtio_queue {
    struct virtio_device *device;
    unsigned index;
    struct loop *loop;        /* whose it is while it runs */
    uint16_t size_max;        /* the size that the device offers */
    struct virtq_setup setup; /* transport */
    struct virtq ring;        /* queue; the device's loop's while it does not run */
    bool running;             /* queue: served by the loop */
    bool lent;                /* queue: served by somebody else */
    bool watched;             /* queue: the device would take chains, if there were any */
    bool kicks_wanted;        /* queue: the driver was asked for them since */
    struct loop_source kick;  /* eventfd */
    struct loop_poll poll;    /* of the ring itself, while the queue runs */
    struct loop_source call;  /* eventfds of a queue that can be lent; -1: it cannot */
    struct loop_source fault;
    struct virtio_queue_counters counters;
};

struct virtio_device {
    const struct virtio_device_ops *ops;
    struct virtio_environment environment;
    uint64_t offered;
    uint64_t accepted; /* what the driver wrote; it decides behaviour once FEATURES_OK is set */
    _Atomic uint8_t status;
    bool active;              /* loop: between DRIVER_OK and reset */
    atomic_bool fault_logged; /* a device logs one broken ring in its life */
    struct virtio_queue *queues;
    unsigned queue_count;

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

/*
 * Both on the device's loop, the loops of its queues being held (loop_hold()). Suspending finishes
 * what is in flight and takes back what is lent, so that nothing touches the guest's memory until
 * the device is resumed; then it looks at all queues anew.
 */
void virtio_device_suspend(struct virtio_device *device);
void virtio_device_resume(struct virtio_device *device);

/* Hands out all counters of a queue. Any thread. */
void virtio_queue_count(const struct virtio_queue *queue, const struct counter_sink *sink);

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

/* Transport. Clearing it on an active device stops the queue, until a reset, before it returns. */
void virtio_queue_set_ready(struct virtio_queue *queue, bool ready);

/* Transport. Any offset and size; bytes past the end read as 0 and are not written. */
void virtio_device_read_config(struct virtio_device *device, uint64_t offset, void *bytes,
                               unsigned size);
void virtio_device_write_config(struct virtio_device *device, uint64_t offset, const void *bytes,
                                unsigned size);
uint32_t virtio_device_config_generation(struct virtio_device *device);

/* Any thread, no lock: what an ioeventfd does. An eventfd written with 1 is a kick. */
void virtio_queue_kick(struct virtio_queue *queue);

/* No loop and no vCPU runs. Restore wants a device after create or reset. */
void virtio_device_save(struct virtio_device *device, struct state_writer *writer);
int virtio_device_restore(struct virtio_device *device, struct state_reader *reader,
                          struct err *err);

/* --- for devices --- */

/*
 * First step of a constructor, with one of `queues` for each queue; VERSION_1, INDIRECT_DESC,
 * EVENT_IDX, and RING_PACKED if the environment says so, are added to `features`. On error nothing
 * is left to release.
 */
int virtio_device_init(struct virtio_device *device, const struct virtio_device_ops *ops,
                       const struct virtio_environment *environment,
                       const struct virtio_queue_options *queues, unsigned queue_count,
                       uint64_t features, struct err *err);

/* Prepares a queue for ops->lend_queue. In the constructor; on error release the device. */
int virtio_queue_make_lendable(struct virtio_queue *queue, struct err *err);

/* Last step of ops->destroy, before the device's memory is freed. */
void virtio_device_release(struct virtio_device *device);

static inline bool virtio_device_has(const struct virtio_device *device, unsigned feature)
{
    return device->accepted >> feature & 1;
}

/*
 * Loop. Publishes the configuration space (at most VIRTIO_CONFIG_SIZE_MAX bytes; the same size each
 * time). On an active device that changes the generation and interrupts the driver.
 */
void virtio_device_set_config(struct virtio_device *device, const void *config, unsigned size);

/* Loop. The same without the interrupt, for what the driver wrote itself. */
void virtio_device_keep_config(struct virtio_device *device, const void *config, unsigned size);

/*
 * Queue. Whom it was lent to is of no use any more: takes it back, and serves it here from now on.
 * Does nothing to a queue that is not lent.
 */
void virtio_queue_recall(struct virtio_queue *queue);

/* Any loop. The driver broke the rules: DEVICE_NEEDS_RESET, a config interrupt, one log line. */
void virtio_device_break(struct virtio_device *device, const char *reason);

/* Queue. Whether chains may be taken and given back: not before it runs, nor when it is broken. */
bool virtio_queue_usable(const struct virtio_queue *queue);

/* Queue. A turn that the device has ended for itself can be gone on with: the loop looks again. */
void virtio_queue_look_again(struct virtio_queue *queue);

/* Queue. Gives a chain back; the driver hears of it by virtio_queue_interrupt(). */
void virtio_queue_push(struct virtio_queue *queue, struct virtq_token token, uint32_t written);

/* Queue. Gives several back, which the driver sees all at once (5.1.6.4). */
void virtio_queue_push_all(struct virtio_queue *queue, const struct virtq_used *used,
                           unsigned count);

/* Queue. Interrupts the driver if it wants that for what was pushed: once for a batch. */
void virtio_queue_interrupt(struct virtio_queue *queue);

/*
 * Queue. One turn at it. It takes chains until the ring is empty, but no more than fits in a turn:
 * a driver that keeps its queue full is served again after the loop's other sources.
 *
 *     virtio_batch_begin(&batch, queue);
 *     while (virtio_batch_next(&batch, &chain))
 *         ... virtio_queue_push(queue, chain.token, written);
 *     virtio_queue_interrupt(queue);
 */
struct virtio_batch {
    struct virtio_queue *queue;
    unsigned chains_left;
    uint64_t bytes_left;
};

void virtio_batch_begin(struct virtio_batch *batch, struct virtio_queue *queue);

/*
 * False: empty, broken, or the turn is over. The loop looks again by itself, and asks the driver
 * for kicks before it waits.
 */
bool virtio_batch_next(struct virtio_batch *batch, struct virtq_chain *chain);

/* What a chain stands for may be more than its bytes: that ends the turn sooner, too. */
void virtio_batch_charge_bytes(struct virtio_batch *batch, uint64_t bytes);

/*
 * Work that took no chain costs one of the turn all the same. False: the turn is over, and another is
 * to come, which the ring alone would not tell of.
 */
bool virtio_batch_charge(struct virtio_batch *batch);

/*
 * Puts the chain of the last next() back and ends the turn, for a device that cannot go on. The
 * device looks at the queue again by itself; the driver is not asked for kicks meanwhile. Several
 * chains can be put back, the last one first.
 */
void virtio_batch_undo(struct virtio_batch *batch, struct virtq_token token);

#endif
