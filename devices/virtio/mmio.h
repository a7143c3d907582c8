/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio over MMIO, version 2 (virtio 1.2, section 4.2): a page of registers, an edge interrupt.
 *
 * The fast path takes no lock and runs no code here: QueueNotify is an ioeventfd for each queue,
 * InterruptStatus and InterruptACK are one atomic word. All other registers are served on vCPU
 * threads under `lock`. The lock is held across loop_call() for reset and activation; that cannot
 * deadlock, because nothing that runs on the loop's thread takes it: interrupts only touch the
 * atomic word and the eventfd.
 */
#ifndef HUSK_DEVICES_VIRTIO_MMIO_H
#define HUSK_DEVICES_VIRTIO_MMIO_H

#include "core/bus.h"
#include "core/irq.h"
#include "devices/virtio/device.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

/* Size of the register window; its configuration space starts at 0x100. */
#define VIRTIO_MMIO_WINDOW 0x200u

/* Offset of QueueNotify: an ioeventfd of 4 bytes there, with the queue's index as datamatch. */
#define VIRTIO_MMIO_NOTIFY_OFFSET 0x50u

struct virtio_mmio {
    struct virtio_device *device; /* borrowed */
    struct irq_line irq;          /* owned; the machine connects it to its gsi */
    pthread_mutex_t lock;
    uint32_t offered_word;  /* DeviceFeaturesSel */
    uint32_t accepted_word; /* DriverFeaturesSel */
    uint32_t queue_index;   /* QueueSel */
    _Atomic uint32_t interrupt_status;
};

/* Attaches to `device`, which must outlive the transport. The gsi must be an edge. */
int virtio_mmio_open(struct virtio_mmio *transport, struct virtio_device *device, uint32_t gsi,
                     struct err *err);
/* No vCPU and no loop runs any more. */
void virtio_mmio_close(struct virtio_mmio *transport);

/* For bus_add(..., VIRTIO_MMIO_WINDOW, &virtio_mmio_ops, transport). Any thread. */
extern const struct bus_ops virtio_mmio_ops;

unsigned virtio_mmio_queue_count(const struct virtio_mmio *transport);

/*
 * The eventfd that stands for a write of `queue` to QueueNotify; -1 if there is no such queue.
 * Without an ioeventfd the write lands in virtio_mmio_ops, and works as well.
 */
int virtio_mmio_queue_notify_fd(const struct virtio_mmio *transport, unsigned queue);

/* Transport and device. No vCPU and no loop runs. */
void virtio_mmio_save(struct virtio_mmio *transport, struct state_writer *writer);
int virtio_mmio_restore(struct virtio_mmio *transport, struct state_reader *reader,
                        struct err *err);

#endif
