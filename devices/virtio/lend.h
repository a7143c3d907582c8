/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queues that somebody else serves while they run, the host's kernel or a process; between device.c
 * and lend.c only. All of it on the queue's loop.
 */
#ifndef HUSK_DEVICES_VIRTIO_LEND_H
#define HUSK_DEVICES_VIRTIO_LEND_H

#include "devices/virtio/device.h"

/* A queue that cannot be lent, until virtio_queue_make_lendable(). */
void virtio_queue_init_loan(struct virtio_queue *queue);

/* Lends a queue that begins to run, if its device wants that. */
bool virtio_queue_lend(struct virtio_queue *queue);

/* Takes a queue back that is lent; it does not run then. */
void virtio_queue_take_back(struct virtio_queue *queue);

/* device.c's: interrupts the driver and counts it, whether the driver wants to hear or not. */
void virtio_queue_raise(struct virtio_queue *queue);

#endif
