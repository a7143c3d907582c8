/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vhost-user: another process serves the guest's rings. This is the side that lends them; it knows
 * the protocol and nothing of virtio devices. (The protocol is QEMU's docs/interop/vhost-user.)
 *
 *     guest's kick -> eventfd -> the peer: ring, guest memory -> eventfd -> interrupt
 *
 * The peer maps the guest's memory, which therefore is shared (memory_create_shared()), and can do
 * to it what the guest itself can. Beyond that it is not trusted: each answer is checked, each wait
 * has a deadline, and a peer that ends, refuses, or says what it may not is lost for good. Its
 * socket is shut down then, so that a peer that lives hears of it, and every request fails at once.
 *
 * All on one thread, the device's loop's.
 */
#ifndef HUSK_DEVICES_VHOST_USER_H
#define HUSK_DEVICES_VHOST_USER_H

#include "core/err.h"
#include "core/lent_ring.h"
#include "core/memory.h"

#include <stdbool.h>
#include <stdint.h>

/* For a process that has to start, and for one that runs. */
#define VHOST_USER_GREETING_MS 20000
#define VHOST_USER_ANSWER_MS 10000

struct vhost_user {
    int fd; /* -1: there is none */
    const struct guest_memory *memory;
    unsigned patience;   /* ms, for all that a function asks */
    uint64_t deadline;   /* CLOCK_MONOTONIC ns, of what is being asked */
    uint64_t features;   /* of virtio, that the peer supports */
    bool has_protocol;   /* it knows of the protocol's own features */
    bool acknowledges;   /* it answers every request */
    const char *fault;   /* why it is lost, as "it ended"; NULL while it is not */
};

#define VHOST_USER_CLOSED {.fd = -1}

/* Takes `fd` over, a connected stream socket. `memory` must be shared, and stay as it is. */
void vhost_user_open(struct vhost_user *peer, int fd, const struct guest_memory *memory);
void vhost_user_close(struct vhost_user *peer);

/* First request: who it is. Errors: -ETIMEDOUT, -ECONNRESET, -EPROTO, -ENOTSUP no virtio 1. */
int vhost_user_greet(struct vhost_user *peer, struct err *err);

/* Of `features`, those of rings that the peer supports too; never packed rings. */
uint64_t vhost_user_supported(const struct vhost_user *peer, uint64_t features);

/* Tells it what the driver has accepted, and where memory is. While it has no ring; 0 or -errno. */
int vhost_user_begin(struct vhost_user *peer, uint64_t accepted);

/* Has it serve the ring; 0, or -errno and the peer is lost. */
int vhost_user_start_ring(struct vhost_user *peer, unsigned index, const struct lent_ring *ring);

/* It has let go of the ring, with nothing in flight: its position. Or -errno, and it is lost. */
int vhost_user_stop_ring(struct vhost_user *peer, unsigned index, uint16_t *position);

/* The socket is readable though nothing was asked: whatever comes, the peer is lost. */
void vhost_user_hear(struct vhost_user *peer);

#endif
