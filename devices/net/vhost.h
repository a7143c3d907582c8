/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vhost-net: the host's kernel moves the frames between a tap and the guest's rings, on a thread of
 * its own. Knows where rings are and who hears of them, and nothing of virtio devices.
 *
 *     guest's kick -> eventfd -> the kernel: ring, guest memory, tap -> eventfd -> interrupt
 *
 * One /dev/vhost-net serves one queue pair, whose loop calls the functions of rings. The kernel
 * finds the rings at the addresses that they have in this process, and buffers by the table of
 * guest memory.
 */
#ifndef HUSK_DEVICES_NET_VHOST_H
#define HUSK_DEVICES_NET_VHOST_H

#include "core/err.h"
#include "core/lent_ring.h"
#include "core/memory.h"

#include <stdint.h>

/* A pair's rings, as the kernel numbers them. */
#define VHOST_RECEIVE 0u
#define VHOST_SEND 1u

struct vhost {
    int fd;            /* -1: there is none */
    uint64_t features; /* of virtio, that the kernel supports */
};

#define VHOST_CLOSED {.fd = -1}

/*
 * Opens /dev/vhost-net for a process with this guest memory, which stays as it is from now on.
 * Errors: as open(2), with what to do; -ENOTSUP a kernel too old for virtio 1.
 */
int vhost_open(struct vhost *vhost, const struct guest_memory *memory, struct err *err);

/* As vhost_open(), with a descriptor that was opened before; takes `fd` over, on error too. */
int vhost_adopt(struct vhost *vhost, int fd, const struct guest_memory *memory, struct err *err);

/* Harmless if there is none. No ring runs afterwards. */
void vhost_close(struct vhost *vhost);

/* Of `features`, all but packed rings, and what else of rings the kernel does not support. */
uint64_t vhost_supported(const struct vhost *vhost, uint64_t features);

/* Tells the kernel what the driver has accepted. While no ring runs; 0 or -errno. */
int vhost_set_features(struct vhost *vhost, uint64_t accepted);

/* Has the kernel serve the ring with the tap's descriptor; 0, or -errno and it is not served. */
int vhost_start_ring(struct vhost *vhost, unsigned index, const struct lent_ring *ring, int tap);

/* The kernel has let go of the ring on return, with nothing in flight; the position it was at. */
uint16_t vhost_stop_ring(struct vhost *vhost, unsigned index);

#endif
