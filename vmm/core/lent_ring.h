/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ring of virtio that somebody else serves: the host's kernel (devices/net/vhost.h), or a process
 * (devices/vhost_user). In core, because they and the device that lends it do not know each other.
 */
#ifndef HUSK_CORE_LENT_RING_H
#define HUSK_CORE_LENT_RING_H

#include <stdint.h>

/* Split (virtio 1.2, 2.7); the addresses of its parts are those in this process. */
struct lent_ring {
    unsigned size;
    const void *descriptors;
    const void *avail;
    void *used;
    uint16_t position; /* of the next chain to take */
    int kick;          /* eventfds: the driver has chains */
    int call;          /* the driver is to be interrupted */
    int fault;         /* the driver broke the ring, which must not be touched any more */
};

#endif
